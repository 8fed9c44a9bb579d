//! The security policy database: an ordered access list, first match wins (RFC 4301 §4.4.1).

use core::net::IpAddr;

use crate::tunnel::TunnelOptions;
use crate::{Addresses, PolicyId, PortRange, Protocol, Selector, TrafficSelectors};

/// What happens to the traffic of an entry (RFC 4301 §4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// PROTECT: only under an SA; held while there is none.
    Protect(Protect),
    /// BYPASS: in clear.
    Bypass,
    /// DISCARD.
    Discard,
}

impl Policy {
    /// Protect, with one SA for all traffic of the entry and the tunnel header built by the defaults.
    pub const PROTECT: Self =
        Self::Protect(Protect { from_packet: FromPacket::NOTHING, tunnel: TunnelOptions::DEFAULT });
}

/// How the traffic of a PROTECT entry is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Protect {
    /// Which selectors of a new SA are taken from the packet that asks for it.
    pub from_packet: FromPacket,
    /// How the outer header is built.
    pub tunnel: TunnelOptions,
}

/// The "populate from packet" flags (RFC 4301 §4.4.1): where set, an SA is asked for with the packet's own value
/// instead of the entry's range, so that each host or flow gets an SA of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FromPacket {
    /// Our side's address.
    pub local_address: bool,
    /// The peer's side's address.
    pub remote_address: bool,
    /// The protocol.
    pub protocol: bool,
    /// Our side's port, or the ICMP type and code.
    pub local_port: bool,
    /// The peer's side's port, or the ICMP type and code.
    pub remote_port: bool,
}

impl FromPacket {
    /// One SA for all traffic of the entry.
    pub const NOTHING: Self = Self {
        local_address: false,
        remote_address: false,
        protocol: false,
        local_port: false,
        remote_port: false,
    };
}

/// The directions in which an entry is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directions {
    /// Both.
    Both,
    /// Only for what comes in.
    Inbound,
    /// Only for what goes out.
    Outbound,
}

/// One line of the access list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpdEntry {
    /// The host's number for it; SAs name it, and it must be unique in the list.
    pub id: PolicyId,
    /// Where it applies.
    pub directions: Directions,
    /// The traffic, as seen from this host.
    pub selectors: TrafficSelectors,
    /// What to do.
    pub policy: Policy,
}

impl SpdEntry {
    /// An entry for both directions.
    #[must_use]
    pub const fn new(id: PolicyId, selectors: TrafficSelectors, policy: Policy) -> Self {
        Self { id, directions: Directions::Both, selectors, policy }
    }

    /// Lets the device's own UDP traffic on `port` pass: 500 and 4500 for IKE. To stand before the entries that protect.
    #[must_use]
    pub const fn own_udp(id: PolicyId, own: IpAddr, port: u16) -> Self {
        let local = Selector { addresses: Addresses::host(own), ports: PortRange::one(port) };
        let selectors =
            TrafficSelectors { local, remote: Selector::ANY, protocol: Protocol::Number(17) };
        Self::new(id, selectors, Policy::Bypass)
    }

    /// Lets the device's own ESP packets pass, sealed ones that come back to [`crate::Processor::outbound`] because
    /// the stack hooks it there.
    #[must_use]
    pub const fn own_esp(id: PolicyId, own: IpAddr) -> Self {
        let local = Selector::addresses(Addresses::host(own));
        let selectors =
            TrafficSelectors { local, remote: Selector::ANY, protocol: Protocol::Number(50) };
        Self::new(id, selectors, Policy::Bypass)
    }

    /// Lets IPv6 neighbour discovery pass: ICMPv6 types 133 to 137 (RFC 4861), which must work before any SA can.
    #[must_use]
    pub const fn neighbour_discovery(id: PolicyId) -> Self {
        let end = Selector {
            addresses: Addresses::Any,
            ports: PortRange { first: 133 << 8, last: 137 << 8 | 0xff },
        };
        Self::new(
            id,
            TrafficSelectors { local: end, remote: end, protocol: Protocol::Number(58) },
            Policy::Bypass,
        )
    }
}
