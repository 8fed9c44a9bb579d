//! Which traffic a policy or an SA is for: RFC 4301 §4.4.1.1.

use core::net::IpAddr;

use crate::wire::ip::{Fragment, ICMP, ICMPV6, Ip, TCP, address, bits, is_extension_header};

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

impl Addresses {
    /// Whether `address` is one of them.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.holds(address.is_ipv4(), bits(address))
    }

    /// The same for an address as a number.
    pub(crate) fn holds(&self, v4: bool, address: u128) -> bool {
        match *self {
            Self::Any => true,
            Self::Subnet { network, prefix } => {
                let unused: u32 = if v4 { 96 } else { 0 };
                let shared = (bits(network) ^ address).leading_zeros();
                network.is_ipv4() == v4 && shared >= unused.saturating_add(prefix.into())
            }
            Self::Range { first, last } => {
                first.is_ipv4() == v4 && bits(first) <= address && address <= bits(last)
            }
        }
    }

    /// Whether the prefix fits the family, and a range is of one family and in order.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        match self {
            Self::Any => true,
            Self::Subnet { network, prefix } => *prefix <= if network.is_ipv4() { 32 } else { 128 },
            Self::Range { first, last } => first.is_ipv4() == last.is_ipv4() && first <= last,
        }
    }

    /// Whether they are of IPv4; `None` for both families.
    const fn is_ipv4(&self) -> Option<bool> {
        match self {
            Self::Any => None,
            Self::Subnet { network: address, .. } | Self::Range { first: address, .. } => {
                Some(address.is_ipv4())
            }
        }
    }
}

impl PortRange {
    const fn is_any(self) -> bool {
        self.first == 0 && self.last == u16::MAX
    }

    const fn contains(self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }
}

impl TrafficSelectors {
    /// Whether addresses are of one family and ranges in order.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        let families = match (self.local.addresses.is_ipv4(), self.remote.addresses.is_ipv4()) {
            (Some(local), Some(remote)) => local == remote,
            _ => true,
        };
        families
            && [self.local, self.remote]
                .iter()
                .all(|end| end.addresses.is_consistent() && end.ports.first <= end.ports.last)
    }

    /// Whether a packet is among this traffic.
    pub(crate) fn matches(&self, flow: &Flow) -> Match {
        let addresses = self.local.addresses.holds(flow.v4, flow.local)
            && self.remote.addresses.holds(flow.v4, flow.remote);
        if !addresses {
            return Match::No;
        }
        match self.protocol {
            Protocol::Number(number) if number != flow.protocol => {
                return if flow.protocol_is_hidden() { Match::Unknown } else { Match::No };
            }
            Protocol::Any | Protocol::Number(_) => {}
        }
        let all_ports = self.local.ports.is_any() && self.remote.ports.is_any();
        match flow.ports() {
            _ if all_ports => Match::Yes,
            Ports::Known { local, remote }
                if self.local.ports.contains(local) && self.remote.ports.contains(remote) =>
            {
                Match::Yes
            }
            Ports::Known { .. } | Ports::None => Match::No,
            Ports::Hidden => Match::Unknown,
        }
    }
}

/// Whether a packet is among some traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Match {
    Yes,
    No,
    /// All that the packet shows fits, but it does not show all: a later fragment (RFC 4301 §7).
    Unknown,
}

/// A packet's own selectors, in plain numbers, as in [`Ip`]: flows are written, compared and copied quickly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) local: u128,
    pub(crate) remote: u128,
    /// Both ports, the local one in the upper half, if they are shown.
    pub(crate) both_ports: u32,
    pub(crate) shown: Shown,
    pub(crate) protocol: u8,
    pub(crate) v4: bool,
}

/// What a packet shows of its ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Shown {
    /// Its protocol has none.
    None = 0,
    /// Both.
    Known,
    /// Its protocol has them, the packet does not show them.
    Hidden,
}

/// The ports of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Ports {
    /// Its protocol has none.
    None,
    /// For ICMP both are the type and code.
    Known { local: u16, remote: u16 },
    /// Its protocol has them, the packet does not show them.
    Hidden,
}

impl Flow {
    /// Of a packet that goes out.
    #[inline]
    pub(crate) fn outbound(ip: &Ip, packet: &[u8]) -> Self {
        let (shown, both_ports) = Self::read_ports(ip, packet);
        let (local, remote) = (ip.source, ip.destination);
        Self { local, remote, both_ports, shown, protocol: ip.protocol, v4: ip.v4 }
    }

    /// Of a packet that comes in.
    #[inline]
    pub(crate) fn inbound(ip: &Ip, packet: &[u8]) -> Self {
        let (shown, both_ports) = Self::read_ports(ip, packet);
        let (local, remote) = (ip.destination, ip.source);
        let both_ports = both_ports.rotate_left(16);
        Self { local, remote, both_ports, shown, protocol: ip.protocol, v4: ip.v4 }
    }

    /// Source port in the upper half, destination port in the lower.
    #[inline]
    fn read_ports(ip: &Ip, packet: &[u8]) -> (Shown, u32) {
        const DCCP: u8 = 33;
        const SCTP: u8 = 132;
        const UDP_LITE: u8 = 136;
        const UDP: u8 = crate::wire::udp::PROTOCOL;
        let later = ip.fragment == Fragment::Later;
        let payload = packet.get(ip.payload_at..ip.total_len).unwrap_or_default();
        match ip.protocol {
            TCP | UDP | DCCP | SCTP | UDP_LITE => match payload.first_chunk() {
                Some(ports) if !later => (Shown::Known, u32::from_be_bytes(*ports)),
                _ => (Shown::Hidden, 0),
            },
            ICMP | ICMPV6 => match *payload {
                [kind, code, ..] if !later => {
                    (Shown::Known, u32::from_be_bytes([kind, code, kind, code]))
                }
                _ => (Shown::Hidden, 0),
            },
            _ if later => (Shown::Hidden, 0),
            _ => (Shown::None, 0),
        }
    }

    pub(crate) const fn ports(&self) -> Ports {
        match self.shown {
            Shown::None => Ports::None,
            Shown::Hidden => Ports::Hidden,
            Shown::Known => {
                let [l0, l1, r0, r1] = self.both_ports.to_be_bytes();
                let (local, remote) = (u16::from_be_bytes([l0, l1]), u16::from_be_bytes([r0, r1]));
                Ports::Known { local, remote }
            }
        }
    }

    /// A later fragment of a chain of IPv6 extension headers may be of any protocol.
    pub(crate) const fn protocol_is_hidden(&self) -> bool {
        is_extension_header(self.protocol)
    }

    /// The same as selectors: exactly this packet's traffic.
    pub(crate) const fn selectors(&self) -> TrafficSelectors {
        let (local, remote) = match self.ports() {
            Ports::Known { local, remote } => (PortRange::one(local), PortRange::one(remote)),
            Ports::None | Ports::Hidden => (PortRange::ANY, PortRange::ANY),
        };
        TrafficSelectors {
            local: Selector {
                addresses: Addresses::host(address(self.v4, self.local)),
                ports: local,
            },
            remote: Selector {
                addresses: Addresses::host(address(self.v4, self.remote)),
                ports: remote,
            },
            protocol: Protocol::Number(self.protocol),
        }
    }
}
