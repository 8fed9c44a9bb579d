//! What happened, in order, as text that a person reads: what a failing test prints, and what the demo tells.

use std::collections::VecDeque;
use std::fmt;

use esp_core::{Direction, PolicyId};
use ike_core::Instant;
use ike_core::event::{Event, Role};

use super::HostId;
use super::link::{Kind, Outcome};
use super::recorder::PacketId;
use crate::host::Dropped;
use crate::packet::{View, protocol};

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Entry {
    /// When, by the clock of the world.
    pub at: Instant,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum What {
    /// A packet is put on the link.
    OnLink {
        /// By whom; `None` for an attacker.
        from: Option<HostId>,
        /// The whole IP packet, behind the NAT if there is one.
        packet: Vec<u8>,
        /// What the link does to it.
        outcome: Outcome,
        /// The inner packet in it, if one is known to be.
        inner: Option<PacketId>,
    },
    /// A packet that was under way reaches nobody.
    Undelivered {
        /// Who sent it; `None` for an attacker.
        from: Option<HostId>,
        /// The whole IP packet.
        packet: Vec<u8>,
        /// Why not.
        outcome: Outcome,
    },
    /// A host was given an inner packet to send.
    Inside {
        /// Which host.
        host: HostId,
        /// The packet.
        packet: Vec<u8>,
    },
    /// A host keeps an inner packet until there is an SA for it.
    Holding {
        /// Which host.
        host: HostId,
        /// The policy entry that says so.
        policy: PolicyId,
    },
    /// A host hands an inner packet to its inside.
    Delivered {
        /// Which host.
        host: HostId,
        /// The packet.
        packet: Vec<u8>,
    },
    /// A host drops a packet.
    Dropped {
        /// Which host.
        host: HostId,
        /// Why.
        why: Dropped,
    },
    /// An engine reports something.
    Event {
        /// Whose.
        host: HostId,
        /// What.
        event: Event,
    },
    /// An engine did nothing with a datagram.
    Ignored {
        /// Whose.
        host: HostId,
        /// Why.
        why: ike_core::error::Discard,
    },
    /// A host installs an SA.
    Installed {
        /// Which host.
        host: HostId,
        /// Which direction.
        direction: Direction,
        /// The SPI.
        spi: esp_core::Spi,
    },
    /// The test says something.
    Note(String),
}

/// The last things that happened. Older ones are forgotten, so that a long run does not fill the memory.
#[derive(Debug)]
pub struct Transcript {
    names: Vec<String>,
    entries: VecDeque<Entry>,
    forgotten: usize,
    room: usize,
    pub(super) quiet: bool,
}

impl Transcript {
    const ROOM: usize = 4096;

    pub(super) fn new(names: Vec<String>, quiet: bool) -> Self {
        Self { names, entries: VecDeque::new(), forgotten: 0, room: Self::ROOM, quiet }
    }

    /// Remembers so many entries from now on.
    pub fn set_room(&mut self, room: usize) {
        self.room = room;
    }

    pub(super) fn push(&mut self, at: Instant, what: What) {
        if self.quiet {
            return;
        }
        self.entries.push_back(Entry { at, what });
        while self.entries.len() > self.room {
            self.entries.pop_front();
            self.forgotten += 1;
        }
    }

    /// How many things have happened: the number that the next entry will have.
    #[must_use]
    pub fn len(&self) -> usize {
        self.forgotten + self.entries.len()
    }

    /// Whether nothing has happened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries from number `start` on, as far as they are remembered.
    pub fn since(&self, start: usize) -> impl Iterator<Item = &Entry> {
        self.entries.iter().skip(start.saturating_sub(self.forgotten))
    }

    /// The name of a host; the attacker's for `None`.
    #[must_use]
    pub fn name(&self, host: Option<HostId>) -> &str {
        host.and_then(|host| self.names.get(host.0)).map_or("attacker", String::as_str)
    }

    /// One entry as text, a line or more without the last line feed.
    #[must_use]
    pub fn line(&self, entry: &Entry) -> String {
        let time = Time(entry.at);
        let name = |host: &HostId| self.name(Some(*host));
        match &entry.what {
            What::OnLink { from, packet, outcome, .. } => {
                let text = format!("{time}  {:<6} {} {outcome}", self.name(*from), summary(packet));
                text.trim_end().to_string()
            }
            What::Undelivered { from, packet, outcome } => {
                format!("{time}  {:<6} {} {outcome}", self.name(*from), summary(packet))
            }
            What::Inside { host, packet } => {
                format!("{time}  {:<6} has {}", name(host), summary(packet))
            }
            What::Holding { host, policy } => {
                let PolicyId(number) = policy;
                format!(
                    "{time}  {:<6} holds it: policy entry {number} says protect, and there is no SA",
                    name(host)
                )
            }
            What::Delivered { host, packet } => {
                format!("{time}  {:<6} delivers {}", name(host), summary(packet))
            }
            What::Dropped { host, why } => {
                format!("{time}  {:<6} drops a packet: {why:?}", name(host))
            }
            What::Event { host, event } => format!("{time}  {:<6} {}", name(host), describe(event)),
            What::Ignored { host, why } => {
                format!("{time}  {:<6} ignores a datagram: {why:?}", name(host))
            }
            What::Installed { host, direction, spi } => {
                let direction = match direction {
                    Direction::Inbound => "inbound",
                    Direction::Outbound => "outbound",
                };
                format!("{time}  {:<6} installs the {direction} SA {spi}", name(host))
            }
            What::Note(text) => format!("{time}  -- {text}"),
        }
    }
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.forgotten > 0 {
            writeln!(f, "({} earlier entries are forgotten)", self.forgotten)?;
        }
        self.entries.iter().try_for_each(|entry| writeln!(f, "{}", self.line(entry)))
    }
}

/// What an engine reports, in words.
#[must_use]
pub fn describe(event: &Event) -> String {
    let role = |role: &Role| match role {
        Role::Initiator => "initiator",
        Role::Responder => "responder",
    };
    match event {
        Event::IkeSaUp { role: of, .. } => {
            format!("IKE SA up as {}: the peer is authenticated", role(of))
        }
        Event::IkeSaReplaced { .. } => "IKE SA renewed, its children go on".to_string(),
        Event::IkeSaDown { reason, .. } => format!("IKE SA down: {reason:?}"),
        Event::ChildSaReady { role: of, inbound, outbound, replaces, .. } => {
            let renewal = if replaces.is_some() { ", a renewal" } else { "" };
            format!("child SAs agreed as {}: in {inbound}, out {outbound}{renewal}", role(of))
        }
        Event::ChildSaOutbound { .. } => "the new outbound SA may be used".to_string(),
        Event::ChildSaOutboundGone { outbound, .. } => {
            format!("the peer does not receive on {outbound} any more")
        }
        Event::ChildSaDown { inbound, outbound, reason, .. } => {
            format!("child SAs in {inbound}, out {outbound} down: {reason:?}")
        }
        Event::PathChanged { path, .. } => format!("the peer is at {} now", path.remote),
        Event::Failed { role: of, reason, .. } => {
            format!("an exchange failed as {}: {reason:?}", role(of))
        }
        other => format!("{other:?}"),
    }
}

/// A moment as seconds with milliseconds, right-aligned.
#[derive(Clone, Copy, Debug)]
pub struct Time(pub Instant);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        write!(f, "{:>6}.{:03}", millis / 1000, millis % 1000)
    }
}

/// One line about a packet: who to whom, and what it is.
#[must_use]
pub fn summary(packet: &[u8]) -> String {
    let Some(view) = View::of(packet) else {
        return format!("{} bytes that are no IP packet", packet.len());
    };
    let payload = &packet[view.payload.clone()];
    let ends = match view.ports {
        Some(_) => format!("{} > {}", view.from(), view.to()),
        None => format!("{} > {}", view.source, view.destination),
    };
    let what = match (Kind::of(packet), view.protocol) {
        (Some(Kind::Ike), _) => ike(payload),
        (Some(Kind::Esp), _) => esp(payload),
        (_, protocol::ICMP | protocol::ICMPV6) => match payload.first() {
            Some(8 | 128) => "ICMP echo request".to_string(),
            Some(0 | 129) => "ICMP echo reply".to_string(),
            _ => "ICMP".to_string(),
        },
        (_, protocol::UDP) if payload == [0xff] => "NAT keepalive".to_string(),
        (_, protocol::UDP) => "UDP".to_string(),
        (_, other) => format!("IP protocol {other}"),
    };
    format!("{ends} {what}, {} bytes", packet.len())
}

/// The ISAKMP message in a UDP payload, without the non-ESP marker.
#[must_use]
pub fn isakmp(payload: &[u8]) -> &[u8] {
    // A cookie of the initiator is never zero (RFC 2408 §2.5.3), the marker always is.
    payload.strip_prefix(&[0; 4]).unwrap_or(payload)
}

fn ike(payload: &[u8]) -> String {
    let message = isakmp(payload);
    let (Some(exchange), Some(flags), Some(id)) =
        (message.get(18), message.get(19), message.get(20..24))
    else {
        return "IKE, no whole header".to_string();
    };
    let exchange = ike_core::wire::numbers::ExchangeType(*exchange);
    let encrypted = if flags & 1 == 1 { ", encrypted" } else { "" };
    let id = u32::from_be_bytes([id[0], id[1], id[2], id[3]]);
    match id {
        0 => format!("IKE {exchange}{encrypted}"),
        _ => format!("IKE {exchange} {id:08x}{encrypted}"),
    }
}

fn esp(payload: &[u8]) -> String {
    match payload {
        [a, b, c, d, e, f, g, h, ..] => format!(
            "ESP SPI {:08x} #{}",
            u32::from_be_bytes([*a, *b, *c, *d]),
            u32::from_be_bytes([*e, *f, *g, *h])
        ),
        _ => "ESP, no whole header".to_string(),
    }
}
