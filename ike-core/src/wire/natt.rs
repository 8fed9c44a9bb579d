//! The payloads of NAT traversal: RFC 3947 §3.2, §5.2.
//!
//! NAT-D has no structure: its body is a hash as long as phase 1's. NAT-OA is an address as the sender knows it:
//!
//! ```text
//! +---------------+-----------------------------------------------+
//! |   ID type     |  reserved                                     |
//! +---------------+-----------------------------------------------+
//! |  IPv4 address (4) or IPv6 address (16)                        |
//! +---------------------------------------------------------------+
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use super::numbers::{IdType, PayloadType};
use super::reader::Reader;
use super::writer::MessageWriter;
use crate::error::{BufferTooSmall, Malformed, MalformedKind};

/// The body of a NAT-OA payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatOriginalAddress(pub IpAddr);

impl NatOriginalAddress {
    /// Parses `body`, which starts at byte `offset` of the datagram.
    ///
    /// # Errors
    ///
    /// [`Truncated`](MalformedKind::Truncated) below four bytes; [`AddressType`](MalformedKind::AddressType) unless the
    /// type is IPv4 or IPv6; [`AddressLength`](MalformedKind::AddressLength) if the address has not its length.
    pub fn parse(body: &[u8], offset: usize) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, offset);
        let [id_type, _, _, _] = reader.array()?;
        let bad_length = reader.error(MalformedKind::AddressLength);
        let rest = reader.rest();
        let address = match IdType(id_type) {
            IdType::IPV4_ADDR => <[u8; 4]>::try_from(rest).map(Ipv4Addr::from).map(IpAddr::V4),
            IdType::IPV6_ADDR => <[u8; 16]>::try_from(rest).map(Ipv6Addr::from).map(IpAddr::V6),
            _ => return Err(Malformed::new(MalformedKind::AddressType, offset)),
        };
        address.map(Self).map_err(|_| bad_length)
    }

    /// Appends a payload of `kind`, which is [`PayloadType::NAT_OA`] or its number in the drafts, to `message`; returns
    /// where its body stands.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn emit(
        &self,
        message: &mut MessageWriter<'_>,
        kind: PayloadType,
    ) -> Result<Range<usize>, BufferTooSmall> {
        match self.0 {
            IpAddr::V4(address) => {
                message.payload(kind, &[&[IdType::IPV4_ADDR.0, 0, 0, 0], &address.octets()])
            }
            IpAddr::V6(address) => {
                message.payload(kind, &[&[IdType::IPV6_ADDR.0, 0, 0, 0], &address.octets()])
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_of_both_families() {
        for (id_type, right) in [(IdType::IPV4_ADDR, 4), (IdType::IPV6_ADDR, 16)] {
            for len in 0..=24 {
                let mut body = [7; 24];
                body[0] = id_type.0;
                match NatOriginalAddress::parse(&body[..len], 0) {
                    Ok(NatOriginalAddress(address)) => {
                        assert_eq!(len, 4 + right);
                        assert_eq!(address.is_ipv4(), right == 4);
                    }
                    Err(malformed) if len < 4 => {
                        assert_eq!(malformed.kind, MalformedKind::Truncated);
                    }
                    Err(malformed) => {
                        assert_ne!(len, 4 + right);
                        assert_eq!(malformed.kind, MalformedKind::AddressLength);
                    }
                }
            }
        }
    }

    #[test]
    fn only_addresses() {
        for id_type in (0..=u8::MAX).filter(|id_type| ![1, 5].contains(id_type)) {
            let malformed = NatOriginalAddress::parse(&[id_type, 0, 0, 0, 1, 2, 3, 4], 9);
            assert_eq!(malformed, Err(Malformed { kind: MalformedKind::AddressType, offset: 9 }));
        }
    }
}
