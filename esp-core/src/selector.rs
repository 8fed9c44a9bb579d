//! Which traffic a policy or an SA is for: RFC 4301 §4.4.1.1.

use core::net::IpAddr;

/// A set of addresses of one family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Addresses {
    /// Every address of both families.
    Any,
    /// The addresses that share the first `prefix` bits with `network`. A single host is /32 or /128.
    Subnet {
        /// Any address of the network; the bits behind the prefix do not count.
        network: IpAddr,
        /// Length of the prefix in bits: 0 to 32, or 0 to 128.
        prefix: u8,
    },
    /// The addresses from `first` to `last`, both included.
    Range {
        /// The lowest address.
        first: IpAddr,
        /// The highest address, of the same family.
        last: IpAddr,
    },
}

impl Addresses {
    /// Exactly one address.
    #[must_use]
    pub const fn host(address: IpAddr) -> Self {
        let prefix = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        Self::Subnet { network: address, prefix }
    }
}

/// Ports from `first` to `last`, both included, in host byte order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
}

impl PortRange {
    /// Every port, and packets that have none.
    pub const ANY: Self = Self { first: 0, last: u16::MAX };

    /// Exactly one port.
    #[must_use]
    pub const fn one(port: u16) -> Self {
        Self { first: port, last: port }
    }
}

/// An IP protocol number, or any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Every protocol.
    Any,
    /// This one: 1 ICMP, 6 TCP, 17 UDP, 58 ICMPv6.
    Number(u8),
}

/// One end of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Selector {
    /// Its addresses.
    pub addresses: Addresses,
    /// Its ports; for ICMP the type and code stand in their place (RFC 4301 §4.4.1.1).
    pub ports: PortRange,
}

impl Selector {
    /// Everything.
    pub const ANY: Self = Self { addresses: Addresses::Any, ports: PortRange::ANY };

    /// All ports of these addresses.
    #[must_use]
    pub const fn addresses(addresses: Addresses) -> Self {
        Self { addresses, ports: PortRange::ANY }
    }
}

/// Both ends of a flow and its protocol, seen from this host: `local` is the source of what goes out and the
/// destination of what comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TrafficSelectors {
    /// Our side.
    pub local: Selector,
    /// The peer's side.
    pub remote: Selector,
    /// The protocol inside.
    pub protocol: Protocol,
}

impl TrafficSelectors {
    /// All ports and protocols between two sets of addresses.
    #[must_use]
    pub const fn between(local: Addresses, remote: Addresses) -> Self {
        Self {
            local: Selector::addresses(local),
            remote: Selector::addresses(remote),
            protocol: Protocol::Any,
        }
    }
}
