//! The outer header of tunnel mode: what of it comes from the inner packet, and what goes back (RFC 4301 §5.1.2).

use core::net::IpAddr;

use crate::Encap;
use crate::wire::ip::Ip;

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

impl TunnelOptions {
    /// The TOS or traffic class of the outer header.
    pub(crate) const fn traffic_class(&self, inner: &Ip) -> u8 {
        let dscp = match self.dscp {
            Dscp::Copy => inner.traffic_class & 0xfc,
            Dscp::Set(value) => value << 2,
        };
        let ecn = match self.ecn {
            Ecn::Copy => inner.traffic_class & 3,
            Ecn::Compatibility => NOT_ECT,
        };
        dscp | ecn
    }

    /// The DF bit of an outer IPv4 header.
    pub(crate) const fn dont_fragment(&self, inner: &Ip) -> bool {
        match self.dont_fragment {
            DontFragment::Copy => inner.dont_fragment,
            DontFragment::Set => true,
            DontFragment::Clear => false,
        }
    }

    /// The flow label of an outer IPv6 header.
    pub(crate) const fn flow_label(&self, inner: &Ip) -> u32 {
        match self.flow_label {
            FlowLabel::Zero => 0,
            FlowLabel::Copy => inner.flow_label,
        }
    }

    /// TTL or hop limit.
    pub(crate) const fn ttl(&self) -> u8 {
        if self.ttl == 0 { DEFAULT_TTL } else { self.ttl }
    }
}

/// TTL and hop limit where nothing else was said.
pub(crate) const DEFAULT_TTL: u8 = 64;

/// Not an ECN-capable transport.
const NOT_ECT: u8 = 0;
/// Congestion experienced.
const CE: u8 = 3;

/// The ECN bits of the packet that is delivered, from those of its inner and outer header (RFC 6040 §4.2); `None` if it
/// must be dropped: congestion was marked on a packet whose sender would not see the mark.
pub(crate) const fn decapsulate_ecn(inner: u8, outer: u8) -> Option<u8> {
    match (inner & 3, outer & 3) {
        (NOT_ECT, CE) => None,
        (_, CE) => Some(CE),
        // An outer ECT(1) turns ECT(0) into ECT(1); nothing else changes.
        (0b10, 0b01) => Some(0b01),
        (inner, _) => Some(inner),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of RFC 6040 §4.2, in its order: inner by rows, outer by columns.
    #[test]
    fn the_ecn_table() {
        let (not_ect, ect0, ect1, ce) = (0, 2, 1, 3);
        let columns = [not_ect, ect0, ect1, ce];
        let rows = [
            (not_ect, [Some(not_ect), Some(not_ect), Some(not_ect), None]),
            (ect0, [Some(ect0), Some(ect0), Some(ect1), Some(ce)]),
            (ect1, [Some(ect1), Some(ect1), Some(ect1), Some(ce)]),
            (ce, [Some(ce), Some(ce), Some(ce), Some(ce)]),
        ];
        for (inner, row) in rows {
            for (outer, expected) in columns.into_iter().zip(row) {
                assert_eq!(decapsulate_ecn(inner, outer), expected, "{inner} {outer}");
            }
        }
    }
}
