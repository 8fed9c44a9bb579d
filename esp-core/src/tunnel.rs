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
    /// RFC 4301 §5.1.2.1: copied outwards; inwards a mark reaches an inner packet that can carry it, and is lost on
    /// one that cannot, where RFC 6040 drops the packet.
    Rfc4301,
}

/// The don't-fragment bit of an outer IPv4 header (RFC 4301 §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DontFragment {
    /// That of an inner IPv4 packet; set for an inner IPv6 packet, which routers never fragment.
    Copy,
    /// Always set. An inner IPv4 packet without DF that would become too large is then answered with
    /// [`TooBig`](crate::Outbound::TooBig) as well: the host fragments it to the size told, and seals the fragments. No ICMP
    /// error is due, its sender allowed fragments.
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
    /// The TOS or traffic class of the outer header. Of a dummy, which has no inner header, nothing is copied.
    pub(crate) fn traffic_class(&self, inner: Option<&Ip>) -> u8 {
        let copied = inner.map_or(0, |ip| ip.traffic_class);
        let dscp = match self.dscp {
            Dscp::Copy => copied & 0xfc,
            Dscp::Set(value) => value << 2,
        };
        let ecn = match self.ecn {
            Ecn::Copy | Ecn::Rfc4301 => copied & 3,
            Ecn::Compatibility => NOT_ECT,
        };
        dscp | ecn
    }

    /// The DF bit of an outer IPv4 header.
    pub(crate) fn dont_fragment(&self, inner: Option<&Ip>) -> bool {
        match self.dont_fragment {
            DontFragment::Copy => inner.is_some_and(|ip| ip.dont_fragment),
            DontFragment::Set => true,
            DontFragment::Clear => false,
        }
    }

    /// The flow label of an outer IPv6 header.
    pub(crate) fn flow_label(&self, inner: Option<&Ip>) -> u32 {
        match self.flow_label {
            FlowLabel::Zero => 0,
            FlowLabel::Copy => inner.map_or(0, |ip| ip.flow_label),
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

impl Ecn {
    /// The ECN bits of the packet that is delivered, from those of its inner and outer header (RFC 6040 §4.2); `None`
    /// if it must be dropped: congestion was marked on a packet whose sender would not see the mark.
    pub(crate) const fn decapsulate(self, inner: u8, outer: u8) -> Option<u8> {
        match (self, inner & 3, outer & 3) {
            (Self::Rfc4301, NOT_ECT, _) => Some(NOT_ECT),
            (_, NOT_ECT, CE) => None,
            (_, _, CE) => Some(CE),
            (Self::Rfc4301, inner, _) => Some(inner),
            // An outer ECT(1) turns ECT(0) into ECT(1); nothing else changes.
            (_, 0b10, 0b01) => Some(0b01),
            (_, inner, _) => Some(inner),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOT_ECT: u8 = 0;
    const ECT1: u8 = 1;
    const ECT0: u8 = 2;
    const CE: u8 = 3;

    /// A table: for each inner mark what comes of it under an outer Not-ECT, ECT(0), ECT(1), CE.
    fn assert_table(ecn: Ecn, rows: [(u8, [Option<u8>; 4]); 4]) {
        for (inner, row) in rows {
            for (outer, expected) in [NOT_ECT, ECT0, ECT1, CE].into_iter().zip(row) {
                // What is not ECN, the DSCP, plays no part.
                for (inner, outer) in [(inner, outer), (inner | 0xb8, outer | 0x28)] {
                    assert_eq!(ecn.decapsulate(inner, outer), expected, "{ecn:?} {inner} {outer}");
                }
            }
        }
    }

    /// The table of RFC 6040 §4.2, in its order: inner by rows, outer by columns.
    #[test]
    fn the_ecn_table_of_rfc_6040() {
        for ecn in [Ecn::Copy, Ecn::Compatibility] {
            assert_table(
                ecn,
                [
                    (NOT_ECT, [Some(NOT_ECT), Some(NOT_ECT), Some(NOT_ECT), None]),
                    (ECT0, [Some(ECT0), Some(ECT0), Some(ECT1), Some(CE)]),
                    (ECT1, [Some(ECT1), Some(ECT1), Some(ECT1), Some(CE)]),
                    (CE, [Some(CE); 4]),
                ],
            );
        }
    }

    /// RFC 4301 §5.1.2.1, note 6: only CE on ECT changes anything.
    #[test]
    fn the_ecn_table_of_rfc_4301() {
        assert_table(
            Ecn::Rfc4301,
            [
                (NOT_ECT, [Some(NOT_ECT); 4]),
                (ECT0, [Some(ECT0), Some(ECT0), Some(ECT0), Some(CE)]),
                (ECT1, [Some(ECT1), Some(ECT1), Some(ECT1), Some(CE)]),
                (CE, [Some(CE); 4]),
            ],
        );
    }
}
