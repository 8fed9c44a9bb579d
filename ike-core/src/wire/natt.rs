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
