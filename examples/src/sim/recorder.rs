//! What became of every inner packet.
//!
//! Each one carries its number, over and over, in its payload. So the recorder knows of it wherever it shows up: when a
//! host delivers it (once, twice, never), and when any part of it can be read on the link, where policy says it never
//! should.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use ike_core::Instant;

use super::HostId;
use crate::host::Dropped;
use crate::packet::{self, View};

/// The number of an inner packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(pub u64);

/// What stands in front of each number in a payload.
const MARK: [u8; 8] = *b"packet #";
const TAG: usize = MARK.len() + 8;

/// `length` bytes of payload that say who they are: every 31 bytes of it in a row hold the whole tag.
#[must_use]
pub fn payload(id: PacketId, length: usize) -> Vec<u8> {
    let mut tag = MARK.to_vec();
    tag.extend_from_slice(&id.0.to_be_bytes());
    tag.into_iter().cycle().take(length).collect()
}

/// The first tag in `bytes`.
#[must_use]
pub fn tag_in(bytes: &[u8]) -> Option<PacketId> {
    let at = bytes.windows(MARK.len()).position(|window| window == MARK)?;
    let number = bytes.get(at + MARK.len()..at + TAG)?;
    Some(PacketId(u64::from_be_bytes(number.try_into().ok()?)))
}

/// Where an inner packet is, or how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It came out where it should.
    Delivered,
    /// It waits at its sender for an SA.
    Held,
    /// It is on the link, protected.
    OnTheLink,
    /// The link lost it.
    LostByLink,
    /// The link broke it.
    Corrupted,
    /// A NAT did not know whom it was for, nor could its sender know better.
    NatForgot,
    /// It was sent where nobody is, or too big for the link, and its sender could know better.
    Misdirected,
    /// A host dropped it, although the link had not.
    Dropped(Dropped),
    /// A host dropped it, and what it gave as its reason is not so.
    Unexcused(Dropped),
    /// It came out at another host, or not as it was sent.
    Astray,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered => f.write_str("delivered"),
            Self::Held => f.write_str("held for an SA"),
            Self::OnTheLink => f.write_str("on the link"),
            Self::LostByLink => f.write_str("lost by the link"),
            Self::Corrupted => f.write_str("corrupted by the link"),
            Self::NatForgot => f.write_str("forgotten by a NAT"),
            Self::Misdirected => f.write_str("sent where it cannot arrive"),
            Self::Dropped(why) => write!(f, "dropped: {why:?}"),
            Self::Unexcused(why) => write!(f, "dropped without reason: {why:?}"),
            Self::Astray => f.write_str("astray"),
        }
    }
}

/// All that is known of one inner packet.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Who sent it.
    pub from: HostId,
    /// Who should get it.
    pub to: HostId,
    /// When it was sent.
    pub sent: Instant,
    /// When it came out first.
    pub arrived: Option<Instant>,
    /// Whether it may be in clear on the link: policy says Bypass.
    pub clear_allowed: bool,
    /// Where it is now.
    pub fate: Fate,
    /// How often it came out.
    pub delivered: u32,
    /// How often it was seen in clear on the link.
    pub clear: u32,
    digest: u64,
}

/// The sums over all packets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Inner packets that hosts were given to send.
    pub sent: u64,
    /// Those that came out, at least once.
    pub delivered: u64,
    /// Those that came out more than once.
    pub twice: u64,
    /// Those that the link delivered, or never got, and that did not come out.
    pub lost: u64,
    /// Those that the link lost, or broke.
    pub lost_by_link: u64,
    /// Those that are still under way or held.
    pub waiting: u64,
    /// Those that were seen in clear and should not have been.
    pub clear: u64,
    /// Those that came out at another place, or changed.
    pub astray: u64,
    /// The lost ones by what dropped them.
    pub reasons: BTreeMap<String, u64>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, delivered, lost, clear, .. } = self;
        write!(f, "packets sent {sent}, delivered {delivered}, lost {lost}, in the clear {clear}")
    }
}

/// Knows every inner packet.
#[derive(Debug, Default)]
pub struct Recorder {
    packets: Vec<Packet>,
}

impl Recorder {
    /// The number that the next packet will have.
    #[must_use]
    pub fn next_id(&self) -> PacketId {
        PacketId(self.packets.len() as u64)
    }

    /// `bytes`, whose payload is that of [`Self::next_id`], is handed to `from` to be sent.
    pub(super) fn sent(
        &mut self,
        from: HostId,
        to: HostId,
        now: Instant,
        bytes: &[u8],
    ) -> PacketId {
        let id = self.next_id();
        self.packets.push(Packet {
            from,
            to,
            sent: now,
            arrived: None,
            clear_allowed: false,
            fate: Fate::Held,
            delivered: 0,
            clear: 0,
            digest: digest(bytes),
        });
        id
    }

    /// Its policy lets this packet pass in clear.
    pub fn allow_clear(&mut self, id: PacketId) {
        if let Some(packet) = self.get_mut(id) {
            packet.clear_allowed = true;
        }
    }

    /// It is somewhere else now. What was delivered stays delivered, and what went astray stays so.
    pub(super) fn moved(&mut self, id: PacketId, fate: Fate) {
        let at_large = |packet: &&mut Packet| packet.delivered == 0 && packet.fate != Fate::Astray;
        if let Some(packet) = self.get_mut(id).filter(at_large) {
            packet.fate = fate;
        }
    }

    /// What `host` held is gone: it was switched off.
    pub(super) fn forget_held(&mut self, host: HostId) {
        let held = |packet: &&mut Packet| packet.from == host && packet.fate == Fate::Held;
        for packet in self.packets.iter_mut().filter(held) {
            packet.fate = Fate::Dropped(Dropped::SwitchedOff);
        }
    }

    /// `host` hands `bytes` to its inside.
    pub(super) fn delivered(&mut self, id: PacketId, host: HostId, now: Instant, bytes: &[u8]) {
        let Some(packet) = self.get_mut(id) else { return };
        if packet.to != host || packet.digest != digest(bytes) || !packet::checksums_hold(bytes) {
            packet.fate = Fate::Astray;
            return;
        }
        if packet.fate != Fate::Astray {
            packet.fate = Fate::Delivered;
        }
        packet.delivered += 1;
        packet.arrived.get_or_insert(now);
    }

    /// Looks at a packet on the link; the inner packet that can be read in it, if any.
    pub(super) fn watch(&mut self, bytes: &[u8]) -> Option<PacketId> {
        let id = tag_in(bytes)?;
        self.get_mut(id)?.clear += 1;
        Some(id)
    }

    /// What is known of a packet.
    #[must_use]
    pub fn get(&self, id: PacketId) -> Option<&Packet> {
        self.packets.get(usize::try_from(id.0).ok()?)
    }

    fn get_mut(&mut self, id: PacketId) -> Option<&mut Packet> {
        self.packets.get_mut(usize::try_from(id.0).ok()?)
    }

    /// All packets, in the order in which they were sent.
    pub fn packets(&self) -> impl Iterator<Item = (PacketId, &Packet)> {
        (0..).map(PacketId).zip(&self.packets)
    }

    /// The sums.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let mut sums = Figures::default();
        for packet in &self.packets {
            sums.sent += 1;
            sums.delivered += u64::from(packet.delivered > 0);
            sums.twice += u64::from(packet.delivered > 1);
            sums.clear += u64::from(packet.clear > 0 && !packet.clear_allowed);
            match packet.fate {
                Fate::Delivered => {}
                Fate::Held | Fate::OnTheLink => sums.waiting += 1,
                Fate::LostByLink | Fate::Corrupted | Fate::NatForgot => sums.lost_by_link += 1,
                Fate::Astray => sums.astray += 1,
                Fate::Misdirected | Fate::Unexcused(_) => {
                    sums.lost += 1;
                    *sums.reasons.entry(packet.fate.to_string()).or_default() += 1;
                }
                Fate::Dropped(why) => {
                    sums.lost += 1;
                    *sums.reasons.entry(format!("{why:?}")).or_default() += 1;
                }
            }
        }
        sums
    }
}

/// What must be the same at both ends: addresses, protocol, and all that follows the IP header. The hop limit and the
/// ECN bits may change on the way.
fn digest(bytes: &[u8]) -> u64 {
    // `DefaultHasher::new` has fixed keys: the same in every run.
    let mut hasher = DefaultHasher::new();
    match View::of(bytes) {
        Some(view) => {
            (view.source, view.destination, view.protocol, view.ports).hash(&mut hasher);
            bytes[view.payload].hash(&mut hasher);
        }
        None => bytes.hash(&mut hasher),
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Echo, echo};

    const A: HostId = HostId(0);
    const B: HostId = HostId(1);

    fn ping(id: PacketId) -> Vec<u8> {
        echo([10, 1, 0, 1].into(), [10, 2, 0, 1].into(), Echo::Request, 1, 1, &payload(id, 56))
    }

    #[test]
    fn any_long_enough_part_of_a_payload_betrays_it() {
        let bytes = payload(PacketId(0x0102_0304_0506_0708), 200);
        for window in bytes.windows(31) {
            assert_eq!(tag_in(window), Some(PacketId(0x0102_0304_0506_0708)));
        }
        assert_eq!(tag_in(&bytes[..15]), None);
    }

    #[test]
    fn once_twice_never_and_in_clear() {
        let mut recorder = Recorder::default();
        for _ in 0..4 {
            let bytes = ping(recorder.next_id());
            recorder.sent(A, B, Instant::ZERO, &bytes);
        }
        for number in [0, 1, 1] {
            recorder.delivered(PacketId(number), B, Instant::ZERO, &ping(PacketId(number)));
        }
        recorder.moved(PacketId(2), Fate::LostByLink);
        assert_eq!(recorder.watch(&ping(PacketId(3))), Some(PacketId(3)));
        recorder.moved(PacketId(3), Fate::Dropped(Dropped::HoldFull));
        let figures = recorder.figures();
        assert_eq!((figures.sent, figures.delivered, figures.twice), (4, 2, 1));
        assert_eq!((figures.lost, figures.lost_by_link, figures.clear), (1, 1, 1));
        assert_eq!(figures.to_string(), "packets sent 4, delivered 2, lost 1, in the clear 1");
    }

    #[test]
    fn a_changed_packet_is_astray() {
        let mut recorder = Recorder::default();
        let bytes = ping(recorder.next_id());
        let id = recorder.sent(A, B, Instant::ZERO, &bytes);
        let mut changed = bytes.clone();
        *changed.last_mut().unwrap() ^= 1;
        recorder.delivered(id, B, Instant::ZERO, &changed);
        assert_eq!(recorder.figures().astray, 1);
        recorder.delivered(id, A, Instant::ZERO, &bytes);
        assert_eq!(recorder.figures().astray, 1);
        recorder.delivered(id, B, Instant::ZERO, &bytes);
        assert_eq!(recorder.figures().delivered, 1);
    }
}
