//! The identification payload: RFC 2407 §4.6.2.
//!
//! ```text
//! +---------------+---------------+-------------------------------+
//! |   ID type     |  protocol     |  port                         |
//! +---------------+---------------+-------------------------------+
//! |                       identification data                     |
//! +---------------------------------------------------------------+
//! ```

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::Range;

use esp_core::Addresses;

use super::numbers::{IdType, PayloadType};
use super::reader::Reader;
use super::writer::MessageWriter;
use crate::error::{BufferTooSmall, Malformed, MalformedKind};

/// The body of an identification payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdPayload<'a> {
    /// What the data are.
    pub id_type: IdType,
    /// IP protocol the identity is limited to; 0 for all. In phase 1 it is 0 or 17 (RFC 2407 §4.6.2).
    pub protocol: u8,
    /// Port the identity is limited to; 0 for all. In phase 1 it is 0 or 500.
    pub port: u16,
    /// The identity, in the form that the type demands. Its length is not limited here.
    pub data: &'a [u8],
    /// Where the data start in the datagram; 0 for what was not received.
    pub offset: usize,
}

impl<'a> IdPayload<'a> {
    /// Parses `body`, which starts at byte `offset` of the datagram.
    ///
    /// # Errors
    ///
    /// [`Truncated`](MalformedKind::Truncated) below four bytes.
    pub fn parse(body: &'a [u8], offset: usize) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, offset);
        Ok(Self {
            id_type: IdType(reader.u8()?),
            protocol: reader.u8()?,
            port: reader.u16()?,
            data: reader.rest(),
            offset: reader.offset(),
        })
    }

    /// The first four bytes of the body; the data follow.
    #[must_use]
    pub const fn head(&self) -> [u8; 4] {
        let [p0, p1] = self.port.to_be_bytes();
        [self.id_type.0, self.protocol, p0, p1]
    }

    /// Appends the payload to `message`; returns where its body stands.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn emit(&self, message: &mut MessageWriter<'_>) -> Result<Range<usize>, BufferTooSmall> {
        message.payload(PayloadType::ID, &[&self.head(), self.data])
    }

    /// The identity as a set of addresses; `None` if it is of a kind that is none.
    ///
    /// # Errors
    ///
    /// [`AddressLength`](MalformedKind::AddressLength), [`AddressMask`](MalformedKind::AddressMask),
    /// [`AddressRange`](MalformedKind::AddressRange) if the data are not what the type announces.
    pub fn addresses(&self) -> Result<Option<Addresses>, Malformed> {
        let mut reader = Reader::new(self.data, self.offset);
        let addresses = match self.id_type {
            IdType::IPV4_ADDR => Addresses::host(reader.ipv4()?),
            IdType::IPV6_ADDR => Addresses::host(reader.ipv6()?),
            IdType::IPV4_ADDR_SUBNET => {
                let network = reader.ipv4()?;
                let mask = reader.offset();
                let bits = u32::from_be_bytes(reader.address_bytes()?);
                subnet(network, u128::from(bits) << 96, mask)?
            }
            IdType::IPV6_ADDR_SUBNET => {
                let network = reader.ipv6()?;
                let mask = reader.offset();
                subnet(network, u128::from_be_bytes(reader.address_bytes()?), mask)?
            }
            IdType::IPV4_ADDR_RANGE => range(reader.ipv4()?, reader.ipv4()?, self.offset)?,
            IdType::IPV6_ADDR_RANGE => range(reader.ipv6()?, reader.ipv6()?, self.offset)?,
            _ => return Ok(None),
        };
        if reader.is_empty() {
            Ok(Some(addresses))
        } else {
            Err(Malformed::new(MalformedKind::AddressLength, self.offset))
        }
    }
}

/// The subnet of `network` under a mask that is left-aligned in `mask`, as it stands at `offset`.
///
/// RFC 2407 §4.6.2.5 allows no holes in the mask; counting its leading ones would otherwise widen or narrow
/// what the peer meant.
fn subnet(network: IpAddr, mask: u128, offset: usize) -> Result<Addresses, Malformed> {
    let ones = mask.leading_ones();
    match u8::try_from(ones) {
        Ok(prefix) if ones == mask.count_ones() => Ok(Addresses::Subnet { network, prefix }),
        _ => Err(Malformed::new(MalformedKind::AddressMask, offset)),
    }
}

fn range(first: IpAddr, last: IpAddr, offset: usize) -> Result<Addresses, Malformed> {
    if first <= last {
        Ok(Addresses::Range { first, last })
    } else {
        Err(Malformed::new(MalformedKind::AddressRange, offset))
    }
}

impl Reader<'_> {
    fn address_bytes<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let bad_length = self.error(MalformedKind::AddressLength);
        self.array().map_err(|_| bad_length)
    }

    fn ipv4(&mut self) -> Result<IpAddr, Malformed> {
        self.address_bytes().map(|bytes: [u8; 4]| IpAddr::V4(Ipv4Addr::from(bytes)))
    }

    fn ipv6(&mut self) -> Result<IpAddr, Malformed> {
        self.address_bytes().map(|bytes: [u8; 16]| IpAddr::V6(Ipv6Addr::from(bytes)))
    }
}

/// Identification data made from addresses, to be lent to an [`IdPayload`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressId {
    id_type: IdType,
    bytes: [u8; 32],
    len: usize,
}

impl AddressId {
    /// The identity that says `addresses`: a single host as an address, anything else as a subnet or a range.
    ///
    /// `None` for [`Addresses::Any`], which is of both families and cannot be said in one identity, for a prefix
    /// longer than its family's addresses, and for a range across families.
    #[must_use]
    pub fn new(addresses: Addresses) -> Option<Self> {
        match addresses {
            Addresses::Any => None,
            Addresses::Subnet { network: IpAddr::V4(address), prefix: 32 } => {
                Some(Self::from_parts(IdType::IPV4_ADDR, &address.octets(), &[]))
            }
            Addresses::Subnet { network: IpAddr::V6(address), prefix: 128 } => {
                Some(Self::from_parts(IdType::IPV6_ADDR, &address.octets(), &[]))
            }
            Addresses::Subnet { network: IpAddr::V4(network), prefix } => {
                let mask = !u32::MAX.checked_shr(u32::from(prefix))?;
                let network = network.to_bits() & mask;
                Some(Self::from_parts(
                    IdType::IPV4_ADDR_SUBNET,
                    &network.to_be_bytes(),
                    &mask.to_be_bytes(),
                ))
            }
            Addresses::Subnet { network: IpAddr::V6(network), prefix } => {
                let mask = !u128::MAX.checked_shr(u32::from(prefix))?;
                let network = network.to_bits() & mask;
                Some(Self::from_parts(
                    IdType::IPV6_ADDR_SUBNET,
                    &network.to_be_bytes(),
                    &mask.to_be_bytes(),
                ))
            }
            Addresses::Range { first: IpAddr::V4(first), last: IpAddr::V4(last) } => {
                Some(Self::from_parts(IdType::IPV4_ADDR_RANGE, &first.octets(), &last.octets()))
            }
            Addresses::Range { first: IpAddr::V6(first), last: IpAddr::V6(last) } => {
                Some(Self::from_parts(IdType::IPV6_ADDR_RANGE, &first.octets(), &last.octets()))
            }
            Addresses::Range { .. } => None,
        }
    }

    /// The payload, limited to an IP protocol and a port (0 for all).
    #[must_use]
    pub fn payload(&self, protocol: u8, port: u16) -> IdPayload<'_> {
        let data = self.bytes.get(..self.len).unwrap_or_default();
        IdPayload { id_type: self.id_type, protocol, port, data, offset: 0 }
    }

    /// `first` and `second` have at most 16 bytes each.
    fn from_parts(id_type: IdType, first: &[u8], second: &[u8]) -> Self {
        let mut bytes = [0; 32];
        let parts = first.iter().chain(second);
        let len = bytes.iter_mut().zip(parts).map(|(place, byte)| *place = *byte).count();
        Self { id_type, bytes, len }
    }
}
