//! Which traffic a policy or an SA is for: RFC 4301 §4.4.1.1.

use core::net::IpAddr;

use crate::wire::icmp;
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
    /// Every port, and packets that have none or do not show it.
    pub const ANY: Self = Self { first: 0, last: u16::MAX };

    /// RFC 4301 §4.4.1, OPAQUE: packets that do not show the port, or have none. An entry with this at both ends, in
    /// front of those that look at ports, carries their later fragments (§7.2); those over IPv4 that could overlap the ports of
    /// the first one are no match. Written as key managers write it on the wire: a range that ends before it starts.
    pub const OPAQUE: Self = Self { first: u16::MAX, last: 0 };

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

    /// The address, if there is just one.
    pub(crate) fn one_host(&self) -> Option<u128> {
        match *self {
            Self::Any => None,
            Self::Subnet { network, .. } => (*self == Self::host(network)).then(|| bits(network)),
            Self::Range { first, last } => (first == last).then(|| bits(first)),
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

    pub(crate) const fn is_opaque(self) -> bool {
        self.first == u16::MAX && self.last == 0
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
            && [self.local, self.remote].iter().all(|Selector { addresses, ports }| {
                addresses.is_consistent() && (ports.first <= ports.last || ports.is_opaque())
            })
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
        let ends = [self.local.ports, self.remote.ports];
        let [local_ports, remote_ports] = ends;
        if local_ports.is_any() && remote_ports.is_any() {
            return Match::Yes;
        }
        let without_ports = ends.iter().all(|ports| ports.is_any() || ports.is_opaque());
        match flow.shown {
            Shown::None | Shown::Hidden if without_ports => Match::Yes,
            Shown::Hidden | Shown::MayOverlap => Match::Unknown,
            Shown::None => Match::No,
            Shown::Known => {
                let (local, remote) = flow.ports();
                if local_ports.contains(local) && remote_ports.contains(remote) {
                    Match::Yes
                } else {
                    Match::No
                }
            }
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
    /// The same, and put together it could write over those that another fragment showed (RFC 4301 §7.2).
    MayOverlap,
}

/// IPv4 fragments from here on, in bytes, cannot overlap ports: no header with options is so long (RFC 4301 App. D).
const BEYOND_PORTS: u16 = 128;

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

    /// Of the packets that answer the one which this ICMP error, on its way out, is about; `None` if it is none.
    pub(crate) fn outbound_return(ip: &Ip, packet: &[u8]) -> Option<Self> {
        icmp::quoted(ip, packet).map(|(quoted, quote)| Self::inbound(&quoted, quote))
    }

    /// The same for an ICMP error that comes in.
    pub(crate) fn inbound_return(ip: &Ip, packet: &[u8]) -> Option<Self> {
        icmp::quoted(ip, packet).map(|(quoted, quote)| Self::outbound(&quoted, quote))
    }

    /// Source port in the upper half, destination port in the lower.
    #[inline]
    fn read_ports(ip: &Ip, packet: &[u8]) -> (Shown, u32) {
        const DCCP: u8 = 33;
        const SCTP: u8 = 132;
        const UDP_LITE: u8 = 136;
        const UDP: u8 = crate::wire::udp::PROTOCOL;
        if ip.fragment == Fragment::Later {
            let may_overlap = ip.v4 && ip.fragment_offset < BEYOND_PORTS;
            return (if may_overlap { Shown::MayOverlap } else { Shown::Hidden }, 0);
        }
        let payload = packet.get(ip.payload_at..ip.total_len).unwrap_or_default();
        match ip.protocol {
            TCP | UDP | DCCP | SCTP | UDP_LITE => match payload.first_chunk() {
                Some(ports) => (Shown::Known, u32::from_be_bytes(*ports)),
                None => (Shown::Hidden, 0),
            },
            ICMP | ICMPV6 => match *payload {
                [kind, code, ..] => (Shown::Known, u32::from_be_bytes([kind, code, kind, code])),
                _ => (Shown::Hidden, 0),
            },
            _ => (Shown::None, 0),
        }
    }

    /// Local and remote port, if they are known; for ICMP both are the type and code.
    pub(crate) const fn ports(&self) -> (u16, u16) {
        let [l0, l1, r0, r1] = self.both_ports.to_be_bytes();
        (u16::from_be_bytes([l0, l1]), u16::from_be_bytes([r0, r1]))
    }

    pub(crate) const fn hides_ports(&self) -> bool {
        matches!(self.shown, Shown::Hidden | Shown::MayOverlap)
    }

    /// A later fragment of a chain of IPv6 extension headers may be of any protocol.
    pub(crate) const fn protocol_is_hidden(&self) -> bool {
        is_extension_header(self.protocol)
    }

    /// The same as selectors: exactly this packet's traffic.
    pub(crate) const fn selectors(&self) -> TrafficSelectors {
        let (local, remote) = match (self.shown, self.ports()) {
            (Shown::Known, (local, remote)) => (PortRange::one(local), PortRange::one(remote)),
            _ => (PortRange::ANY, PortRange::ANY),
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
