//! The outer header of tunnel mode: what of it comes from the inner packet, and what goes back (RFC 4301 §5.1.2).

use core::net::IpAddr;

use crate::Encap;

/// How the outer header is built and what of it survives decapsulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TunnelOptions {
    /// The DSCP of the outer header.
    pub dscp: Dscp,
    /// Explicit congestion notification.
    pub ecn: Ecn,
    /// The don't-fragment bit of an outer IPv4 header.
    pub dont_fragment: DontFragment,
    /// TTL or hop limit of the outer header; 0 means 64.
    pub ttl: u8,
    /// The flow label of an outer IPv6 header.
    pub flow_label: FlowLabel,
    /// The largest outer IP packet, in bytes; 0 means no limit. A packet that would become larger is answered with
    /// `TooBig`. A host that learns a smaller path MTU lowers it for one SA.
    pub mtu: u16,
    /// Traffic flow confidentiality: inner packets are padded up to this many bytes (RFC 4303 §2.7); 0 means not at all.
    pub pad_to: u16,
}

/// The DSCP of the outer header (RFC 4301 §5.1.2, RFC 2983).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dscp {
    /// That of the inner packet.
    Copy,
    /// Always this value, 0 to 63.
    Set(u8),
}

/// What becomes of congestion marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ecn {
    /// RFC 6040: copied outwards; inwards by the table of its §4.2.
    Copy,
    /// RFC 6040 compatibility mode: the outer header is Not-ECT, marks inwards are handled all the same.
    Compatibility,
}

/// The don't-fragment bit of an outer IPv4 header (RFC 4301 §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DontFragment {
    /// That of an inner IPv4 packet; set for an inner IPv6 packet, which routers never fragment.
    Copy,
    /// Always set.
    Set,
    /// Always clear.
    Clear,
}

/// The flow label of an outer IPv6 header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowLabel {
    /// Zero.
    Zero,
    /// That of an inner IPv6 packet, zero for IPv4.
    Copy,
}

impl TunnelOptions {
    /// DSCP and DF copied, ECN by RFC 6040, TTL 64, no flow label, no limit on size, no padding.
    pub const DEFAULT: Self = Self {
        dscp: Dscp::Copy,
        ecn: Ecn::Copy,
        dont_fragment: DontFragment::Copy,
        ttl: 0,
        flow_label: FlowLabel::Zero,
        mtu: 0,
        pad_to: 0,
    };
}

impl Default for TunnelOptions {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The outside of a protected packet: whom it goes to or came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outer {
    /// Our address.
    pub local: IpAddr,
    /// The peer's address.
    pub remote: IpAddr,
    /// The ports, where ESP is carried in UDP.
    pub encap: Encap,
    /// DSCP (upper six bits) and ECN (lower two): the TOS or traffic class byte. A host that cannot learn it for
    /// an incoming packet gives 0.
    pub traffic_class: u8,
    /// The don't-fragment bit for IPv4. Means nothing for an incoming packet.
    pub dont_fragment: bool,
}
