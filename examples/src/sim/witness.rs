//! Whether what a host says of a packet can be true.
//!
//! A host that loses packets by a mistake of its own has a reason for each all the same: too late for the window, an SPI
//! that it does not know, no SA in time. The simulator sees what the host sees, and knows whether it is so.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;

use esp_core::{Direction, Discard, Spi};
use ike_core::Instant;
use ike_core::event::{DownReason, Event};

use super::HostId;
use super::link::Kind;
use super::scenario::REPLAY_WINDOW;
use crate::host::Dropped;
use crate::packet::{View, protocol};

/// What a packet on its way shows of its SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Label {
    spi: u32,
    sequence: u32,
    from: SocketAddr,
}

impl Label {
    /// `None` for anything but ESP, raw or in UDP.
    pub(super) fn of(packet: &[u8]) -> Option<Self> {
        let view = View::of(packet).filter(|_| Kind::of(packet) == Some(Kind::Esp))?;
        let number = |at: usize| {
            let bytes = packet.get(view.payload.start + at..)?.first_chunk()?;
            Some(u32::from_be_bytes(*bytes))
        };
        let from = match view.protocol {
            protocol::ESP => SocketAddr::new(view.source, 0),
            _ => view.from(),
        };
        Some(Self { spi: number(0)?, sequence: number(4)?, from })
    }
}

/// What is known of one host in its present life.
#[derive(Debug, Default)]
struct Known {
    /// SAs for what comes in: the highest number that came out of each, and how it ended, if it has.
    inbound: BTreeMap<u32, (u32, Option<DownReason>)>,
    /// SAs for what goes out that have ended.
    outbound_gone: BTreeSet<u32>,
    /// When it last could send under a new SA.
    outbound_since: Option<Instant>,
    /// Where the newest packet came from.
    heard_from: Option<SocketAddr>,
}

/// Remembers what hosts have been told.
#[derive(Debug, Default)]
pub(super) struct Witness {
    hosts: HashMap<HostId, Known>,
    /// SAs of earlier lives.
    forgotten: HashMap<HostId, Vec<u32>>,
}

impl Witness {
    pub(super) fn installed(&mut self, host: HostId, direction: Direction, spi: Spi, now: Instant) {
        let known = self.hosts.entry(host).or_default();
        match direction {
            Direction::Inbound => drop(known.inbound.insert(spi.get(), (0, None))),
            Direction::Outbound => known.outbound_since = Some(now),
        }
    }

    pub(super) fn event(&mut self, host: HostId, event: &Event) {
        let known = self.hosts.entry(host).or_default();
        match event {
            Event::ChildSaOutboundGone { outbound, .. } => {
                known.outbound_gone.insert(outbound.get());
            }
            Event::ChildSaDown { inbound, outbound, reason, .. } => {
                known.outbound_gone.insert(outbound.get());
                if let Some((_, ended)) = known.inbound.get_mut(&inbound.get()) {
                    *ended = Some(*reason);
                }
            }
            _ => {}
        }
    }

    /// `host` has begun a new life.
    pub(super) fn restarted(&mut self, host: HostId) {
        let known = self.hosts.remove(&host).unwrap_or_default();
        self.forgotten.entry(host).or_default().extend(known.inbound.keys());
    }

    /// A packet came out at `host`.
    pub(super) fn came_out(&mut self, host: HostId, label: Label) {
        let known = self.hosts.entry(host).or_default();
        let (newest, _) = known.inbound.entry(label.spi).or_default();
        if label.sequence > *newest {
            *newest = label.sequence;
            known.heard_from = Some(label.from);
        }
    }

    /// Where `host` has to send what goes to its peer, as far as packets have told.
    pub(super) fn heard_from(&self, host: HostId) -> Option<SocketAddr> {
        self.hosts.get(&host)?.heard_from
    }

    /// Whether `host` has been told that the SA of this packet, which it sends, is no more.
    pub(super) fn has_ended(&self, host: HostId, label: Label) -> bool {
        self.hosts.get(&host).is_some_and(|known| known.outbound_gone.contains(&label.spi))
    }

    /// Whether `host` has reason to drop this packet from the link as it says.
    pub(super) fn excuses(&self, host: HostId, label: Label, why: Discard) -> bool {
        let sa = self.hosts.get(&host).and_then(|known| known.inbound.get(&label.spi));
        match (why, sa) {
            // It had not come out before, so it can only be too old.
            (Discard::Replay, Some((newest, _))) => {
                newest.saturating_sub(label.sequence) >= REPLAY_WINDOW.into()
            }
            (Discard::UnknownSpi, Some((_, ended))) => {
                // While it has a successor an SA stays as long as the peer may use it.
                ended.is_some_and(|reason| reason != DownReason::Replaced)
            }
            (Discard::UnknownSpi, None) => {
                self.forgotten.get(&host).is_some_and(|spis| spis.contains(&label.spi))
            }
            _ => false,
        }
    }

    /// Whether `host` has reason to drop a packet of its own, which it was given at `sent`, as it says.
    pub(super) fn excuses_own(&self, host: HostId, sent: Instant, why: Dropped) -> bool {
        match why {
            Dropped::HeldTooLong | Dropped::HoldFull => {
                let since = self.hosts.get(&host).and_then(|known| known.outbound_since);
                since.is_none_or(|since| since < sent)
            }
            _ => true,
        }
    }
}
