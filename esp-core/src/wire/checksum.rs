//! The Internet checksum (RFC 1071).

use core::net::IpAddr;

/// A one's complement sum in the making.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Checksum(u64);

impl Checksum {
    /// Takes in `bytes`; an odd last byte counts as the high half of a word.
    pub(crate) fn add(mut self, bytes: &[u8]) -> Self {
        let (words, rest) = bytes.as_chunks::<2>();
        for word in words {
            self.0 = self.0.saturating_add(u64::from(u16::from_be_bytes(*word)));
        }
        if let Some(last) = rest.first() {
            self.0 = self.0.saturating_add(u64::from(u16::from_be_bytes([*last, 0])));
        }
        self
    }

    /// Takes in the pseudo-header of a transport protocol (RFC 9293 §3.1, RFC 8200 §8.1).
    pub(crate) fn add_pseudo_header(
        self,
        source: IpAddr,
        destination: IpAddr,
        protocol: u8,
        len: usize,
    ) -> Self {
        let len = u32::try_from(len).unwrap_or(u32::MAX);
        self.add_address(source)
            .add_address(destination)
            .add(&[0, protocol])
            .add(&len.to_be_bytes())
    }

    fn add_address(self, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => self.add(&address.octets()),
            IpAddr::V6(address) => self.add(&address.octets()),
        }
    }

    /// The checksum as it stands in a header.
    #[expect(clippy::cast_possible_truncation, reason = "folded to 16 bits")]
    pub(crate) fn finish(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum >> 16).saturating_add(sum & 0xffff);
        }
        !(sum as u16)
    }
}

/// Writes the checksum of `payload`, all that is behind the headers of IP, into its field at `field_at`. A payload too
/// short to have the field is left alone.
pub(crate) fn write(
    payload: &mut [u8],
    field_at: usize,
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
) {
    let field = |payload: &mut [u8], value: [u8; 2]| {
        if let Some(field) = payload.get_mut(field_at..).and_then(<[u8]>::first_chunk_mut::<2>) {
            *field = value;
        }
    };
    field(payload, [0; 2]);
    let sum = Checksum::default()
        .add_pseudo_header(source, destination, protocol, payload.len())
        .add(payload)
        .finish();
    // UDP: a sum of zero is sent as its other form, zero meaning "none" (RFC 768).
    let sum = if sum == 0 && protocol == super::udp::PROTOCOL { 0xffff } else { sum };
    field(payload, sum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;

    /// The header of the first inner packet in RFC 3602 case 7.
    #[test]
    fn a_header_with_its_checksum_sums_to_zero() {
        let header = hex!("45000054090400004001f988c0a87b03c0a87bc8");
        assert_eq!(Checksum::default().add(&header).finish(), 0);
        let (mut cleared, sum) = (header, u16::from_be_bytes([header[10], header[11]]));
        cleared[10..12].fill(0);
        assert_eq!(Checksum::default().add(&cleared).finish(), sum);
    }

    #[test]
    fn an_odd_byte_is_the_high_half() {
        assert_eq!(Checksum::default().add(&[0x12]).finish(), !0x1200);
    }

    /// RFC 768: in UDP zero means that there is none.
    #[test]
    fn a_sum_of_zero_has_another_form_in_udp_alone() {
        let [from, to] = [1, 2].map(|host| IpAddr::from([192, 0, 2, host]));
        for (protocol, expected) in [(crate::wire::udp::PROTOCOL, [0xff; 2]), (6, [0; 2])] {
            let mut payload = [7, 7, 7, 7, 7, 7, 0, 0, 7, 7, 0, 0];
            write(&mut payload, 6, from, to, protocol);
            // With its own checksum among the data nothing is left for the field.
            payload.copy_within(6..8, 10);
            write(&mut payload, 6, from, to, protocol);
            assert_eq!(payload[6..8], expected);
        }
    }
}
