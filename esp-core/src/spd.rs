//! The security policy database: an ordered access list, first match wins (RFC 4301 §4.4.1).
//!
//! Later fragments show no ports. Such a packet belongs to an entry only if the entry does not look at ports, or asks for
//! packets without ([`PortRange::OPAQUE`]); where it meets one that does and fits otherwise, nobody can say whether it is meant. If that entry protects or discards, the
//! packet is dropped, since it might be what the entry keeps from leaving in clear; if it bypasses, the search goes on
//! (RFC 4301 §7 leaves the choice). An entry that takes ports from the packet looks at ports too: which of its SAs the
//! fragment belongs to, nobody can say.

use core::net::IpAddr;

use crate::index::{Cell, Index};
use crate::processor::{Direction, InstallError};
use crate::selector::{Flow, Match, Shown};
use crate::slots::{Slot, Slots, whole};
use crate::tunnel::{Dscp, TunnelOptions};
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

    /// Whether a later fragment does not show what is to be taken from it.
    const fn needs_more_than(self, flow: &Flow) -> bool {
        let ports = (self.local_port || self.remote_port) && flow.hides_ports();
        ports || self.protocol && flow.protocol_is_hidden()
    }
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
            ports: PortRange {
                first: u16::from_be_bytes([133, 0]),
                last: u16::from_be_bytes([137, 255]),
            },
        };
        Self::new(
            id,
            TrafficSelectors { local: end, remote: end, protocol: Protocol::Number(58) },
            Policy::Bypass,
        )
    }

    const fn applies(&self, direction: Direction) -> bool {
        matches!(
            (self.directions, direction),
            (Directions::Both, _)
                | (Directions::Inbound, Direction::Inbound)
                | (Directions::Outbound, Direction::Outbound)
        )
    }

    /// Whether a packet is this entry's. What comes in has its SA already: nothing is taken from it.
    fn matches(&self, direction: Direction, flow: &Flow) -> Match {
        let matched = self.selectors.matches(flow);
        match self.policy {
            Policy::Protect(Protect { from_packet, .. })
                if matched == Match::Yes
                    && direction == Direction::Outbound
                    && from_packet.needs_more_than(flow) =>
            {
                Match::Unknown
            }
            _ => matched,
        }
    }

    fn check(&self) -> Result<(), InstallError> {
        let TrafficSelectors { local, remote, .. } = self.selectors;
        let protect_fits = match self.policy {
            Policy::Protect(Protect { from_packet, tunnel }) => {
                // RFC 4301 §4.4.2.2: what packets do not show cannot be taken from them.
                let local = from_packet.local_port && local.ports.is_opaque();
                let remote = from_packet.remote_port && remote.ports.is_opaque();
                !local && !remote && !matches!(tunnel.dscp, Dscp::Set(64..))
            }
            Policy::Bypass | Policy::Discard => true,
        };
        if self.selectors.is_consistent() && protect_fits {
            Ok(())
        } else {
            Err(InstallError::Selectors(self.id))
        }
    }

    /// What to negotiate for a packet of this entry.
    fn wanted(&self, from_packet: FromPacket, flow: &Flow) -> TrafficSelectors {
        let mut wanted = self.selectors;
        let packet = flow.selectors();
        if from_packet.local_address {
            wanted.local.addresses = packet.local.addresses;
        }
        if from_packet.remote_address {
            wanted.remote.addresses = packet.remote.addresses;
        }
        if from_packet.protocol {
            wanted.protocol = packet.protocol;
        }
        if from_packet.local_port {
            wanted.local.ports = packet.local.ports;
        }
        if from_packet.remote_port {
            wanted.remote.ports = packet.remote.ports;
        }
        wanted
    }
}

/// An entry and the packet that waits for an SA of it.
#[derive(Debug)]
pub(crate) struct Line {
    entry: SpdEntry,
    waiting: Option<Flow>,
}

whole!(Line);

/// The list.
#[derive(Debug)]
pub(crate) struct Spd<'s> {
    /// In order: slot 0 is looked at first.
    lines: Slots<'s, Line>,
    /// By number.
    index: Index<'s>,
}

/// What the list says of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The entry that matched, by its place in the list.
    Entry(u32),
    /// None matched.
    None,
    /// A later fragment met an entry that looks at ports.
    Undecidable,
}

impl<'s> Spd<'s> {
    pub(crate) fn new(lines: &'s mut [Slot<Line>], cells: &'s mut [Cell]) -> Self {
        Self { lines: Slots::new(lines), index: Index::new(cells) }
    }

    /// Replaces the list, or leaves it as it is.
    pub(crate) fn replace(&mut self, entries: &[SpdEntry]) -> Result<(), InstallError> {
        if entries.len() > self.lines.capacity() {
            return Err(InstallError::Full);
        }
        for entry in entries {
            entry.check()?;
        }
        // The index itself finds numbers used twice; it is made anew from the old list if there are.
        self.index.clear();
        for (at, entry) in entries.iter().enumerate() {
            if self.index.get(entry.id.0).is_some() {
                self.index.clear();
                for (at, line) in self.lines.iter() {
                    self.index.insert(line.entry.id.0, at);
                }
                return Err(InstallError::DuplicatePolicy(entry.id));
            }
            self.index.insert(entry.id.0, at);
        }
        self.lines.clear();
        for entry in entries {
            self.lines.insert(Line { entry: *entry, waiting: None });
        }
        Ok(())
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &SpdEntry> {
        self.lines.iter().map(|(_, line)| &line.entry)
    }

    pub(crate) fn entry(&self, at: u32) -> Option<&SpdEntry> {
        self.lines.get(at as usize).map(|line| &line.entry)
    }

    /// The entry with this number.
    pub(crate) fn by_id(&self, id: PolicyId) -> Option<&SpdEntry> {
        self.lines.get(self.index.get(id.0)?).map(|line| &line.entry)
    }

    /// The first entry that matches.
    pub(crate) fn look_up(&self, direction: Direction, flow: &Flow) -> Verdict {
        for (at, line) in self.lines.iter().filter(|(_, line)| line.entry.applies(direction)) {
            match (line.entry.matches(direction, flow), line.entry.policy) {
                (Match::Yes, _) => return u32::try_from(at).map_or(Verdict::None, Verdict::Entry),
                (Match::Unknown, Policy::Protect(_) | Policy::Discard) => {
                    return Verdict::Undecidable;
                }
                (Match::Unknown, Policy::Bypass) | (Match::No, _) => {}
            }
        }
        Verdict::None
    }

    /// Remembers that a packet waits for an SA of this entry. The first one is remembered until it was told.
    pub(crate) fn wait(&mut self, at: u32, flow: &Flow) {
        let at = at as usize;
        if let Some(line) = self.lines.get_mut(at) {
            line.waiting.get_or_insert(*flow);
            self.lines.push_pending(at);
        }
    }

    /// The next packet that waits: its entry, what to negotiate, and its own selectors.
    pub(crate) fn poll_waiting(
        &mut self,
    ) -> Option<(PolicyId, TrafficSelectors, TrafficSelectors)> {
        loop {
            let at = self.lines.pop_pending()?;
            let Some(line) = self.lines.get_mut(at) else { continue };
            if let (Some(flow), Policy::Protect(protect)) = (line.waiting.take(), line.entry.policy)
            {
                let wanted = line.entry.wanted(protect.from_packet, &flow);
                return Some((line.entry.id, wanted, flow.selectors()));
            }
        }
    }
}

/// What the flow cache remembers. The empty entry is all zero bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CachedFlow {
    /// The list's generation at the time; 0 for an empty entry.
    generation: u32,
    /// Place in the list, plus one.
    line: u32,
    /// The outbound SA used last, plus one; 0 for none.
    sa: u32,
    direction: Direction,
    flow: Flow,
}

/// Remembers which line a flow matched, so that the list is walked once per flow.
///
/// Direct-mapped: two flows in one place displace each other and cost a walk each, which is never more than without
/// the cache. Only matches are remembered; what is dropped is not worth a place.
#[derive(Debug)]
pub(crate) struct FlowCache<'s> {
    flows: &'s mut [CachedFlow],
    generation: u32,
}

impl CachedFlow {
    /// Remembers nothing.
    pub(crate) const EMPTY: Self = Self {
        generation: 0,
        line: 0,
        sa: 0,
        direction: Direction::Inbound,
        flow: Flow {
            local: 0,
            remote: 0,
            both_ports: 0,
            shown: Shown::None,
            protocol: 0,
            v4: false,
        },
    };
}

impl<'s> FlowCache<'s> {
    pub(crate) fn new(flows: &'s mut [CachedFlow]) -> Self {
        flows.fill(CachedFlow::EMPTY);
        Self { flows, generation: 1 }
    }

    /// The list has changed: nothing remembered is right any more.
    pub(crate) fn forget(&mut self) {
        self.generation = self.generation.checked_add(1).unwrap_or_else(|| {
            self.flows.fill(CachedFlow::EMPTY);
            1
        });
    }

    /// The line that the flow matched, and the slot of the SA it used.
    #[inline]
    pub(crate) fn get(&self, direction: Direction, flow: &Flow) -> Option<(u32, Option<u32>)> {
        let cached = self.flows.get(self.place(direction, flow)?)?;
        let current = cached.generation == self.generation;
        if !current || cached.direction != direction || cached.flow != *flow {
            return None;
        }
        Some((cached.line.checked_sub(1)?, cached.sa.checked_sub(1)))
    }

    /// Remembers both.
    pub(crate) fn put(&mut self, direction: Direction, flow: &Flow, line: u32, sa: Option<u32>) {
        let generation = self.generation;
        if let Some(cached) = self.place(direction, flow).and_then(|at| self.flows.get_mut(at)) {
            *cached = CachedFlow {
                generation,
                line: line.saturating_add(1),
                sa: sa.map_or(0, |slot| slot.saturating_add(1)),
                direction,
                flow: *flow,
            };
        }
    }

    #[inline]
    fn place(&self, direction: Direction, flow: &Flow) -> Option<usize> {
        let [p0, p1, p2, p3] = flow.both_ports.to_be_bytes();
        let rest = u64::from_be_bytes([0, 0, p0, p1, p2, p3, flow.protocol, direction as u8]);
        // Each word is spread before the next one joins: a host's number must not make up for a direction.
        let mut hash = 0_u64;
        for word in [rest, fold(flow.local), fold(flow.remote)] {
            hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            hash ^= hash >> 32;
        }
        let place = (hash & 0xffff_ffff).wrapping_mul(self.flows.len() as u64) >> 32;
        usize::try_from(place).ok()
    }
}

/// Both halves of an address mixed.
#[expect(clippy::cast_possible_truncation, reason = "both halves are taken")]
pub(crate) const fn fold(bits: u128) -> u64 {
    (bits >> 64) as u64 ^ bits as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// 64 flows in 256 places: if they fell there at random, 57 of them would not be displaced by a later one.
    #[test]
    fn flows_that_differ_in_one_thing_seldom_displace_each_other() {
        type Change = fn(&mut Flow, u8);
        let flow = Flow {
            local: 0x0a01_0001,
            remote: 0x0a02_0001,
            both_ports: 0x03e8_07d0,
            shown: Shown::Known,
            protocol: 17,
            v4: true,
        };
        let differ: &[(&str, Change)] = &[
            ("local host", |flow, n| flow.local ^= u128::from(n)),
            ("remote host", |flow, n| flow.remote ^= u128::from(n)),
            ("both hosts", |flow, n| {
                flow.local ^= u128::from(n);
                flow.remote ^= u128::from(n);
            }),
            ("local network", |flow, n| flow.local ^= u128::from(n) << 16),
            ("remote network", |flow, n| flow.remote ^= u128::from(n) << 16),
            ("local network of IPv6", |flow, n| flow.local ^= u128::from(n) << 64),
            ("remote network of IPv6", |flow, n| flow.remote ^= u128::from(n) << 64),
            ("local port", |flow, n| flow.both_ports ^= u32::from(n) << 16),
            ("remote port", |flow, n| flow.both_ports ^= u32::from(n)),
            ("protocol", |flow, n| flow.protocol = n),
        ];
        let mut memory = [CachedFlow::EMPTY; 256];
        for (what, differ) in differ {
            let mut cache = FlowCache::new(&mut memory);
            let directions = [Direction::Outbound, Direction::Inbound];
            let flows: Vec<_> = directions
                .into_iter()
                .flat_map(|direction| (0..32).map(move |n| (direction, n)))
                .map(|(direction, n)| {
                    let mut flow = flow;
                    differ(&mut flow, n);
                    (direction, flow)
                })
                .collect();
            for (direction, flow) in &flows {
                cache.put(*direction, flow, 0, None);
            }
            let kept = |(direction, flow): &&(_, _)| cache.get(*direction, flow).is_some();
            let kept = flows.iter().filter(kept).count();
            assert!(kept >= 50, "{what}: {kept} of 64");
        }
    }
}
