//! IPv4 and IPv6 headers (RFC 791, RFC 8200): what policy and encapsulation need of them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::checksum::Checksum;

/// Length of an IPv4 header without options, in bytes.
pub(crate) const V4_HEADER_LEN: usize = 20;
/// Length of the fixed IPv6 header, in bytes.
pub(crate) const V6_HEADER_LEN: usize = 40;
/// Next header of an inner IPv4 packet.
pub(crate) const IPV4: u8 = 4;
/// Next header of an inner IPv6 packet.
pub(crate) const IPV6: u8 = 41;

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const ICMPV6: u8 = 58;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;

/// Whether a packet is a fragment, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fragment {
    /// None.
    Whole,
    /// The first one, which has the ports.
    First,
    /// A later one, which has not.
    Later,
}

/// What a packet's headers say. Offsets count from the start of the packet and lie within `total_len`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ip {
    /// Of version 4; otherwise 6.
    pub(crate) v4: bool,
    /// The addresses as numbers: those of IPv4 in the low 32 bits.
    pub(crate) source: u128,
    pub(crate) destination: u128,
    /// Length of the packet by its own header.
    pub(crate) total_len: usize,
    /// DSCP and ECN.
    pub(crate) traffic_class: u8,
    /// Routers must not fragment it: DF, and always so for IPv6.
    pub(crate) dont_fragment: bool,
    /// Of IPv6; 0 for IPv4.
    pub(crate) flow_label: u32,
    pub(crate) fragment: Fragment,
    /// Where in the whole packet a later fragment belongs, in bytes.
    pub(crate) fragment_offset: u16,
    /// The protocol behind all headers of IP.
    pub(crate) protocol: u8,
    /// Where that protocol's header begins.
    pub(crate) payload_at: usize,
    /// The byte that names what is at `payload_at`.
    pub(crate) protocol_at: usize,
    /// Where ESP goes in transport mode: behind the headers that routers on the way look at (RFC 4303 §3.1.1).
    pub(crate) esp_at: usize,
    /// The byte that names what is at `esp_at`.
    pub(crate) esp_protocol_at: usize,
}

/// An address that was kept as a number.
#[expect(clippy::cast_possible_truncation, reason = "an IPv4 address has 32 bits")]
pub(crate) const fn address(v4: bool, bits: u128) -> IpAddr {
    if v4 {
        IpAddr::V4(Ipv4Addr::from_bits(bits as u32))
    } else {
        IpAddr::V6(Ipv6Addr::from_bits(bits))
    }
}

/// An address as a number.
pub(crate) const fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_bits() as u128,
        IpAddr::V6(address) => address.to_bits(),
    }
}

/// The packet is not IP, or its lengths are wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Ip {
    pub(crate) const fn source(&self) -> IpAddr {
        address(self.v4, self.source)
    }

    pub(crate) const fn destination(&self) -> IpAddr {
        address(self.v4, self.destination)
    }

    /// Reads the headers. `bytes` may be longer than the packet.
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        match bytes.first().ok_or(Malformed)? >> 4 {
            4 => Self::parse_v4(bytes),
            6 => Self::parse_v6(bytes),
            _ => Err(Malformed),
        }
    }

    /// Reads the headers of a packet whose end may be missing: it is as long as what is there.
    pub(crate) fn parse_cut(bytes: &[u8]) -> Option<Self> {
        let mut ip = match bytes.first()? >> 4 {
            4 => Self::read_v4(bytes).ok()?,
            6 => Self::read_v6(bytes).ok()?,
            _ => return None,
        };
        if !ip.v4 {
            ip.walk_extensions(bytes).ok()?;
        }
        ip.total_len = ip.total_len.min(bytes.len());
        (ip.payload_at <= ip.total_len).then_some(ip)
    }

    fn parse_v4(bytes: &[u8]) -> Result<Self, Malformed> {
        let ip = Self::read_v4(bytes)?;
        if ip.total_len > bytes.len() { Err(Malformed) } else { Ok(ip) }
    }

    #[inline]
    fn read_v4(bytes: &[u8]) -> Result<Self, Malformed> {
        let (header, _) = bytes.split_first_chunk::<V4_HEADER_LEN>().ok_or(Malformed)?;
        let [first, tos, len0, len1, _, _, flags, offset, _, protocol, _, _, addresses @ ..] =
            *header;
        let header_len = usize::from(first & 0x0f).saturating_mul(4);
        let total_len = usize::from(u16::from_be_bytes([len0, len1]));
        if header_len < V4_HEADER_LEN || total_len < header_len {
            return Err(Malformed);
        }
        let [s0, s1, s2, s3, d0, d1, d2, d3] = addresses;
        let more = flags & 0x20 != 0;
        let fragment_offset = u16::from_be_bytes([flags & 0x1f, offset]).wrapping_shl(3);
        Ok(Self {
            v4: true,
            source: u32::from_be_bytes([s0, s1, s2, s3]).into(),
            destination: u32::from_be_bytes([d0, d1, d2, d3]).into(),
            total_len,
            traffic_class: tos,
            dont_fragment: flags & 0x40 != 0,
            flow_label: 0,
            fragment: Fragment::of(fragment_offset, more),
            fragment_offset,
            protocol,
            payload_at: header_len,
            protocol_at: 9,
            esp_at: header_len,
            esp_protocol_at: 9,
        })
    }

    fn parse_v6(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut ip = Self::read_v6(bytes)?;
        ip.walk_extensions(bytes.get(..ip.total_len).ok_or(Malformed)?)?;
        Ok(ip)
    }

    /// The fixed header alone.
    fn read_v6(bytes: &[u8]) -> Result<Self, Malformed> {
        let (header, _) = bytes.split_first_chunk::<V6_HEADER_LEN>().ok_or(Malformed)?;
        let [b0, b1, b2, b3, len0, len1, next_header, _, addresses @ ..] = *header;
        let (source, destination) = addresses.split_first_chunk::<16>().ok_or(Malformed)?;
        let destination = destination.first_chunk::<16>().ok_or(Malformed)?;
        let total_len = usize::from(u16::from_be_bytes([len0, len1])).saturating_add(V6_HEADER_LEN);
        Ok(Self {
            v4: false,
            source: u128::from_be_bytes(*source),
            destination: u128::from_be_bytes(*destination),
            total_len,
            traffic_class: b0 << 4 | b1 >> 4,
            dont_fragment: true,
            flow_label: u32::from_be_bytes([0, b1 & 0x0f, b2, b3]),
            fragment: Fragment::Whole,
            fragment_offset: 0,
            protocol: next_header,
            payload_at: V6_HEADER_LEN,
            protocol_at: 6,
            esp_at: V6_HEADER_LEN,
            esp_protocol_at: 6,
        })
    }

    /// Goes along the extension headers to the upper-layer protocol. Each step is at least 8 bytes.
    fn walk_extensions(&mut self, packet: &[u8]) -> Result<(), Malformed> {
        loop {
            let kind = self.protocol;
            if !is_extension_header(kind) {
                return Ok(());
            }
            // RFC 8200 §4.1: hop-by-hop options come first or not at all.
            if kind == HOP_BY_HOP && self.payload_at != V6_HEADER_LEN {
                return Err(Malformed);
            }
            let header = packet.get(self.payload_at..).ok_or(Malformed)?;
            let (&[next_header, len, offset0, offset1, ..], _) =
                header.split_first_chunk::<8>().ok_or(Malformed)?;
            let header_len = match kind {
                FRAGMENT => 8,
                _ => usize::from(len).saturating_add(1).saturating_mul(8),
            };
            if header_len > header.len() {
                return Err(Malformed);
            }
            self.protocol_at = self.payload_at;
            self.payload_at = self.payload_at.saturating_add(header_len);
            self.protocol = next_header;
            if kind != DESTINATION_OPTIONS {
                self.esp_at = self.payload_at;
                self.esp_protocol_at = self.protocol_at;
            }
            if kind == FRAGMENT {
                let word = u16::from_be_bytes([offset0, offset1]);
                self.fragment_offset = word & 0xfff8;
                self.fragment = Fragment::of(self.fragment_offset, word & 1 != 0);
                if self.fragment == Fragment::Later {
                    return Ok(());
                }
            }
        }
    }
}

/// Whether a header of this number stands between IPv6 and the upper layer, and can be walked over.
pub(crate) const fn is_extension_header(protocol: u8) -> bool {
    matches!(protocol, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS)
}

impl Fragment {
    const fn of(offset: u16, more: bool) -> Self {
        match (offset, more) {
            (0, true) => Self::First,
            (0, false) => Self::Whole,
            _ => Self::Later,
        }
    }
}

/// What goes into a new header without options.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewHeader<'a> {
    pub(crate) source: &'a IpAddr,
    pub(crate) destination: &'a IpAddr,
    pub(crate) traffic_class: u8,
    pub(crate) dont_fragment: bool,
    /// IPv4: must differ between fragments that may meet (RFC 6864 §4), where fragments can be.
    pub(crate) identification: u16,
    /// IPv6, 20 bits.
    pub(crate) flow_label: u32,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
}

impl NewHeader<'_> {
    /// Length in bytes: 20 or 40.
    pub(crate) const fn len_for(address: &IpAddr) -> usize {
        match address {
            IpAddr::V4(_) => V4_HEADER_LEN,
            IpAddr::V6(_) => V6_HEADER_LEN,
        }
    }

    /// Writes the header to the front of `packet`, whose length, up to 65535 behind the fixed part, it states.
    /// Addresses of two families, or too little room, write nothing.
    pub(crate) fn emit(&self, packet: &mut [u8]) {
        let len = packet.len();
        match (self.source, self.destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                let Some(header) = packet.first_chunk_mut::<V4_HEADER_LEN>() else { return };
                let len = u32::try_from(len).unwrap_or(u32::MAX).min(0xffff);
                let flags = if self.dont_fragment { 0x4000 } else { 0 };
                let mut words = [
                    0x4500_0000 | u32::from(self.traffic_class) << 16 | len,
                    u32::from(self.identification) << 16 | flags,
                    u32::from(self.ttl) << 24 | u32::from(self.protocol) << 16,
                    source.to_bits(),
                    destination.to_bits(),
                ];
                let sum = words.iter().fold(0_u32, |sum, word| {
                    sum.wrapping_add(word >> 16).wrapping_add(word & 0xffff)
                });
                // Ten halves: folding twice leaves 16 bits.
                let sum = (sum & 0xffff).wrapping_add(sum >> 16);
                let sum = (sum & 0xffff).wrapping_add(sum >> 16);
                if let Some(word) = words.get_mut(2) {
                    *word |= !sum & 0xffff;
                }
                for (to, word) in header.as_chunks_mut::<4>().0.iter_mut().zip(words) {
                    *to = word.to_be_bytes();
                }
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                let Some((header, _)) = packet.split_first_chunk_mut::<V6_HEADER_LEN>() else {
                    return;
                };
                let payload_len =
                    u16::try_from(len.saturating_sub(V6_HEADER_LEN)).unwrap_or(u16::MAX);
                let class = u32::from(self.traffic_class) << 20;
                let first = 6 << 28 | class | self.flow_label & 0x000f_ffff;
                let (fixed, addresses) = header.split_at_mut(8);
                for (to, from) in fixed.iter_mut().zip(
                    first
                        .to_be_bytes()
                        .into_iter()
                        .chain(payload_len.to_be_bytes())
                        .chain([self.protocol, self.ttl]),
                ) {
                    *to = from;
                }
                for (to, from) in addresses
                    .iter_mut()
                    .zip(source.octets().into_iter().chain(destination.octets()))
                {
                    *to = from;
                }
            }
            _ => {}
        }
    }
}

/// Puts a packet's new length, and the protocol named at `protocol_at`, into its header, whichever family it is of.
pub(crate) fn rewrite(packet: &mut [u8], protocol_at: usize, protocol: u8) {
    if let Some(byte) = packet.get_mut(protocol_at) {
        *byte = protocol;
    }
    let len = packet.len();
    match packet.first().map(|first| first >> 4) {
        Some(4) => {
            if let Some(field) = packet.get_mut(2..4) {
                field.copy_from_slice(&u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes());
            }
            let header_len =
                packet.first().map_or(0, |first| usize::from(first & 0x0f).saturating_mul(4));
            write_v4_checksum(packet.get_mut(..header_len).unwrap_or_default());
        }
        Some(6) => {
            let len = u16::try_from(len.saturating_sub(V6_HEADER_LEN)).unwrap_or(u16::MAX);
            if let Some(field) = packet.get_mut(4..6) {
                field.copy_from_slice(&len.to_be_bytes());
            }
        }
        _ => {}
    }
}

/// Sets the ECN bits of a packet.
pub(crate) fn set_ecn(packet: &mut [u8], ecn: u8) {
    let Some((&mut [first, ref mut second], _)) = packet.split_first_chunk_mut::<2>() else {
        return;
    };
    match first >> 4 {
        4 => {
            *second = *second & 0xfc | ecn & 3;
            let header_len = usize::from(first & 0x0f).saturating_mul(4);
            write_v4_checksum(packet.get_mut(..header_len).unwrap_or_default());
        }
        6 => *second = *second & 0xcf | (ecn & 3) << 4,
        _ => {}
    }
}

fn write_v4_checksum(header: &mut [u8]) {
    if let Some(field) = header.get_mut(10..12) {
        field.fill(0);
    }
    let sum = Checksum::default().add(header).finish();
    if let Some(field) = header.get_mut(10..12) {
        field.copy_from_slice(&sum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hex_literal::hex;
    use std::vec;
    use std::vec::Vec;

    fn v6(next_header: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet =
            vec![0x60, 0, 0, 0, 0, u8::try_from(rest.len()).expect("short"), next_header, 64];
        packet.extend([0x20; 32]);
        packet.extend(rest);
        packet
    }

    #[test]
    fn an_ipv4_header_is_read_and_written() {
        let header = hex!("45b80054090440004001b8c0c0a87b03c0a87bc8");
        let mut packet = [0; 84];
        packet[..20].copy_from_slice(&header);
        let ip = Ip::parse(&packet).expect("well-formed");
        assert_eq!((ip.total_len, ip.protocol, ip.payload_at), (84, 1, 20));
        assert_eq!(
            (ip.traffic_class, ip.dont_fragment, ip.fragment),
            (0xb8, true, Fragment::Whole)
        );
        let mut again = [0; 84];
        NewHeader {
            source: &ip.source(),
            destination: &ip.destination(),
            traffic_class: 0xb8,
            dont_fragment: true,
            identification: 0x0904,
            flow_label: 0,
            ttl: 64,
            protocol: 1,
        }
        .emit(&mut again);
        assert_eq!(again[..10], packet[..10]);
        assert_eq!(Checksum::default().add(&again[..20]).finish(), 0);
    }

    #[test]
    fn the_checksum_of_a_new_header_is_right_whatever_its_sum() {
        for identification in 0..=u16::MAX {
            let mut header = [0; V4_HEADER_LEN];
            NewHeader {
                source: &Ipv4Addr::new(192, 0, 2, 1).into(),
                destination: &Ipv4Addr::new(192, 0, 2, 2).into(),
                traffic_class: 0,
                dont_fragment: false,
                identification,
                flow_label: 0,
                ttl: 64,
                protocol: 50,
            }
            .emit(&mut header);
            assert_eq!(Checksum::default().add(&header).finish(), 0, "{identification}");
        }
    }

    /// CVE-2026-31472 and its kin: lengths of nothing, less than a header, more than there is.
    #[test]
    fn lengths_that_cannot_be_are_refused() {
        let good = hex!("4500001800000000401100000a0000010a00000200000000");
        assert!(Ip::parse(&good).is_ok());
        for len in (0..20).chain(25..70) {
            let mut bad = good;
            bad[3] = len;
            assert!(Ip::parse(&bad).is_err(), "total length {len}");
        }
        for ihl in (0..5).chain(7..16) {
            let mut bad = good;
            bad[0] = 0x40 | ihl;
            assert!(Ip::parse(&bad).is_err(), "header length {ihl}");
        }
        for end in 0..good.len() {
            assert!(Ip::parse(&good[..end]).is_err());
        }
        let six = v6(59, &[]);
        for end in 0..six.len() {
            assert!(Ip::parse(&six[..end]).is_err());
        }
        assert!(Ip::parse(&[0x50; 60]).is_err());
    }

    #[test]
    fn extension_headers_are_walked_to_the_upper_layer() {
        let hop = [43, 0, 0, 0, 0, 0, 0, 0];
        let routing = [60, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let options = [17, 0, 0, 0, 0, 0, 0, 0];
        let packet = v6(0, &[&hop[..], &routing, &options, &[1, 2, 3, 4, 0, 8, 0, 0]].concat());
        let ip = Ip::parse(&packet).expect("well-formed");
        assert_eq!((ip.protocol, ip.payload_at, ip.protocol_at), (17, 72, 64));
        // Destination options behind the routing header are the destination's: they go inside.
        assert_eq!((ip.esp_at, ip.esp_protocol_at), (64, 48));
        // An error quotes less than all of a packet, and over IPv4 these numbers are protocols like any other.
        let cut = Ip::parse_cut(&packet[..74]).expect("whole headers");
        assert_eq!((cut.protocol, cut.payload_at, cut.total_len), (17, 72, 74));
        assert!(Ip::parse_cut(&packet[..71]).is_none());
        let four = hex!("450000180000000040000a000a0000010a000002");
        let cut = Ip::parse_cut(&four).expect("a whole header");
        assert_eq!((cut.protocol, cut.payload_at, cut.total_len), (0, 20, 20));
    }

    /// CVE-2022-34718: fragment headers in every place.
    #[test]
    fn fragments_are_told_apart_and_a_chain_that_runs_out_is_refused() {
        let fragment = |word: u16| {
            let [a, b] = word.to_be_bytes();
            v6(44, &[17, 0, a, b, 0, 0, 0, 1, 9, 9, 9, 9, 0, 8, 0, 0])
        };
        for (word, expected) in
            [(0, Fragment::Whole), (1, Fragment::First), (8, Fragment::Later), (9, Fragment::Later)]
        {
            let ip = Ip::parse(&fragment(word)).expect("well-formed");
            assert_eq!((ip.fragment, ip.protocol, ip.payload_at), (expected, 17, 48));
        }
        assert!(Ip::parse(&v6(44, &[17, 0, 0])).is_err());
        assert!(Ip::parse(&v6(60, &[17, 1, 0, 0, 0, 0, 0, 0])).is_err());
        let second_hop_by_hop = v6(60, &[0, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 0, 0, 0, 0, 0]);
        assert!(Ip::parse(&second_hop_by_hop).is_err());
        // A later fragment's payload is in the middle of something: nothing in it is a header.
        let later = v6(44, &[60, 0, 0, 8, 0, 0, 0, 1, 0xff, 0xff]);
        assert_eq!(Ip::parse(&later).expect("well-formed").fragment, Fragment::Later);
    }

    #[test]
    fn ecn_goes_into_either_header() {
        let mut four = hex!("45b80018000000004011000000000000000000000000000000");
        set_ecn(&mut four, 3);
        assert_eq!(four[1], 0xbb);
        assert_eq!(Checksum::default().add(&four[..20]).finish(), 0);
        let mut six = v6(17, &[]);
        set_ecn(&mut six, 1);
        assert_eq!(Ip::parse(&six).expect("well-formed").traffic_class, 1);
    }
}
