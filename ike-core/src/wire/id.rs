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

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    fn id(id_type: IdType, data: &[u8]) -> IdPayload<'_> {
        IdPayload { id_type, protocol: 0, port: 0, data, offset: 8 }
    }

    fn v4(text: &str) -> IpAddr {
        IpAddr::V4(text.parse().unwrap())
    }

    fn v6(text: &str) -> IpAddr {
        IpAddr::V6(text.parse().unwrap())
    }

    #[test]
    fn parse() {
        let body = hex!("01 11 01f4 c0a80064");
        let id = IdPayload::parse(&body, 32).unwrap();
        assert_eq!((id.id_type, id.protocol, id.port), (IdType::IPV4_ADDR, 17, 500));
        assert_eq!((id.data, id.offset), (&body[4..], 36));
        assert_eq!(id.addresses(), Ok(Some(Addresses::host(v4("192.168.0.100")))));
        assert_eq!(id.head(), body[..4]);
        for len in 0..4 {
            let malformed = IdPayload::parse(&body[..len], 32).unwrap_err();
            assert_eq!(malformed.kind, MalformedKind::Truncated);
        }
        assert!(IdPayload::parse(&body[..4], 32).unwrap().data.is_empty());
    }

    #[test]
    fn what_is_no_address_has_none() {
        for id_type in [0, 2, 3, 9, 10, 11, 12, 255].map(IdType) {
            assert_eq!(id(id_type, b"gateway.example").addresses(), Ok(None));
        }
    }

    #[test]
    fn every_address_type_has_its_length_only() {
        for (id_type, right) in [
            (IdType::IPV4_ADDR, 4),
            (IdType::IPV4_ADDR_SUBNET, 8),
            (IdType::IPV4_ADDR_RANGE, 8),
            (IdType::IPV6_ADDR, 16),
            (IdType::IPV6_ADDR_SUBNET, 32),
            (IdType::IPV6_ADDR_RANGE, 32),
        ] {
            for len in 0..=40 {
                let data = [0; 40];
                match id(id_type, &data[..len]).addresses() {
                    Ok(addresses) => assert!(addresses.is_some() && len == right),
                    Err(malformed) => {
                        assert_eq!(malformed.kind, MalformedKind::AddressLength);
                        assert_ne!(len, right);
                    }
                }
            }
        }
    }

    #[test]
    fn masks_become_prefixes_unless_they_have_holes() {
        for prefix in 0..=32u8 {
            let mask = !(u64::from(u32::MAX) >> prefix) as u32;
            let mut data = hex!("0a010203 00000000");
            data[4..].copy_from_slice(&mask.to_be_bytes());
            let expected = Addresses::Subnet { network: v4("10.1.2.3"), prefix };
            assert_eq!(id(IdType::IPV4_ADDR_SUBNET, &data).addresses(), Ok(Some(expected)));
            for hole in 1..u32::from(prefix) {
                let holed = mask & !(1 << (32 - hole));
                data[4..].copy_from_slice(&holed.to_be_bytes());
                assert_eq!(
                    id(IdType::IPV4_ADDR_SUBNET, &data).addresses(),
                    Err(Malformed { kind: MalformedKind::AddressMask, offset: 12 })
                );
            }
        }
        let mut data = [0; 32];
        for prefix in 0..=128u8 {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            data[16..].copy_from_slice(&mask.to_be_bytes());
            let expected = Addresses::Subnet { network: v6("::"), prefix };
            assert_eq!(id(IdType::IPV6_ADDR_SUBNET, &data).addresses(), Ok(Some(expected)));
        }
        data[31] = 1;
        data[16] = 0;
        let holed = id(IdType::IPV6_ADDR_SUBNET, &data).addresses().unwrap_err();
        assert_eq!(holed.kind, MalformedKind::AddressMask);
    }

    #[test]
    fn a_range_does_not_run_backwards() {
        let data = hex!("0a000001 0a0000ff");
        let range = Addresses::Range { first: v4("10.0.0.1"), last: v4("10.0.0.255") };
        assert_eq!(id(IdType::IPV4_ADDR_RANGE, &data).addresses(), Ok(Some(range)));
        let reversed = hex!("0a0000ff 0a000001");
        assert_eq!(
            id(IdType::IPV4_ADDR_RANGE, &reversed).addresses(),
            Err(Malformed { kind: MalformedKind::AddressRange, offset: 8 })
        );
    }

    #[test]
    fn addresses_survive_a_round_trip() {
        let mut count = 0;
        let mut check = |addresses| {
            let id = AddressId::new(addresses).unwrap();
            assert_eq!(id.payload(6, 80).addresses(), Ok(Some(addresses)));
            assert_eq!((id.payload(6, 80).protocol, id.payload(6, 80).port), (6, 80));
            count += 1;
        };
        for prefix in 0..=32 {
            let network =
                Ipv4Addr::from_bits(u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0));
            check(Addresses::Subnet { network: network.into(), prefix });
        }
        for prefix in 0..=128 {
            let network =
                Ipv6Addr::from_bits(u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0));
            check(Addresses::Subnet { network: network.into(), prefix });
        }
        check(Addresses::Range { first: v4("10.0.0.9"), last: v4("10.0.1.3") });
        check(Addresses::Range { first: v6("2001:db8::1"), last: v6("2001:db8::ffff") });
        assert_eq!(count, 33 + 129 + 2);
    }

    #[test]
    fn what_one_identity_cannot_say() {
        assert_eq!(AddressId::new(Addresses::Any), None);
        for (network, prefix) in [(v4("10.0.0.0"), 33), (v6("2001:db8::"), 129)] {
            assert_eq!(AddressId::new(Addresses::Subnet { network, prefix }), None);
        }
        assert_eq!(
            AddressId::new(Addresses::Range { first: v4("10.0.0.1"), last: v6("::1") }),
            None
        );
    }

    #[test]
    fn bits_behind_the_prefix_are_not_sent() {
        let id = AddressId::new(Addresses::Subnet { network: v4("10.1.2.3"), prefix: 24 }).unwrap();
        assert_eq!(id.payload(0, 0).data, hex!("0a010200 ffffff00"));
    }
}
