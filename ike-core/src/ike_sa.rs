//! The IKE SA: what phase 1 agrees on, and what lives on it afterwards. RFC 2409 §5, RFC 2408 §2.

use heapless::Vec;

use crate::config::{ChildId, Lifetime, PeerId};
use crate::digest::{Digests, Kind};
use crate::endpoint::{Context, Path};
use crate::event::{DownReason, IkeSaHandle, Role};
use crate::exchange::Message;
use crate::keys::{CipherKey, Iv, Skeyid};
use crate::lifetime::Schedule;
use crate::natt::{Nat, NatMethod};
use crate::phase1::negotiate::Suite;
use crate::time::Instant;
use crate::wire::numbers::PayloadType;
use crate::wire::{Cookie, CookiePair, VendorId};

/// Children that may wait for the IKE SA to come up.
pub(crate) const WANTED: usize = 8;

/// Message ids of quick modes that one IKE SA can remember. A message id is never used twice, nor forgotten, as long as
/// the IKE SA lives (draft-spencer); when the table nears full the IKE SA is renewed, when it is full no more quick
/// modes begin under it.
pub(crate) const MESSAGE_IDS: usize = 64;

/// Bytes of an ID payload's body that are kept: four of head, and 64 of data.
pub(crate) const ID_KEPT: usize = 4 + 64;

/// How far an IKE SA is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In phase 1.
    HalfOpen,
    /// The peer is authenticated.
    Established,
    /// Over; the host has still to read of it. Keys are gone.
    Down(DownReason),
}

/// What is waiting to be told to the host, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) up: bool,
    pub(crate) path: bool,
    pub(crate) replaced: Option<IkeSaHandle>,
    pub(crate) down: bool,
}

/// What a peer's vendor IDs announce.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Announced {
    pub(crate) nat: NatMethod,
    pub(crate) dead_peer_detection: bool,
    pub(crate) fragmentation: bool,
}

impl Announced {
    pub(crate) fn note_all(&mut self, message: &Message<'_>) {
        for payload in message.all(PayloadType::VENDOR_ID) {
            match VendorId::recognise(payload.body) {
                Some(VendorId::DeadPeerDetection) => self.dead_peer_detection = true,
                Some(VendorId::Fragmentation) => self.fragmentation = true,
                Some(other) => self.nat = self.nat.max(NatMethod::announced(other)),
                None => {}
            }
        }
    }
}

/// Dead peer detection as far as it has got (RFC 3706).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Liveness {
    /// When the peer last proved to be alive.
    pub(crate) heard: Instant,
    /// Since when we send without hearing anything; `None` while there is no reason to worry.
    pub(crate) worried_since: Option<Instant>,
    /// Number of our last R-U-THERE.
    pub(crate) sequence: u32,
    /// R-U-THEREs that we have sent; their numbers end with `sequence`.
    pub(crate) asked: u32,
    /// R-U-THEREs without an answer.
    pub(crate) unanswered: u8,
    /// When the next one is due, or the peer is dead.
    pub(crate) due: Option<Instant>,
    /// The greatest sequence number of the peer's own R-U-THEREs, once there was one.
    pub(crate) peer_sequence: Option<u32>,
}

impl Liveness {
    /// The number of our next R-U-THERE. RFC 3706 §6.2: the first is random, its highest bit zero.
    pub(crate) fn next_sequence(&mut self, random: u32) -> u32 {
        self.sequence = if self.asked == 0 { random >> 1 } else { self.sequence.wrapping_add(1) };
        self.asked = self.asked.saturating_add(1);
        self.sequence
    }

    /// Whether one of our own R-U-THEREs had this number.
    pub(crate) const fn is_own(&self, sequence: u32) -> bool {
        self.sequence.wrapping_sub(sequence) < self.asked
    }
}

/// A slot's content.
#[derive(Debug)]
pub(crate) struct IkeSa {
    pub(crate) phase: Phase,
    pub(crate) role: Role,
    pub(crate) peer: PeerId,
    /// Digest of the peer's number and its authenticated identity: what children belong to.
    pub(crate) owner: u64,
    pub(crate) path: Path,
    pub(crate) cookies: CookiePair,
    /// The exchange of phase 1, while it is there.
    pub(crate) exchange: Option<u16>,
    /// Quick modes under way, and finished ones that still answer duplicates.
    pub(crate) exchanges: u8,
    pub(crate) suite: Suite,
    pub(crate) lifetime: Lifetime,
    /// RESPONDER-LIFETIME is due: the initiator proposed more than we give.
    pub(crate) tell_lifetime: bool,
    pub(crate) skeyid: Skeyid,
    pub(crate) cipher_key: CipherKey,
    /// In phase 1 the IV of the next message, afterwards the last block of phase 1.
    pub(crate) iv: Iv,
    pub(crate) nat: Nat,
    pub(crate) announced: Announced,
    pub(crate) schedule: Schedule,
    /// When its own lifetime ends, whatever shortens it for the sake of a successor.
    pub(crate) expires: Option<Instant>,
    /// Bytes encrypted and decrypted.
    pub(crate) bytes: u64,
    pub(crate) keepalive: Option<Instant>,
    pub(crate) liveness: Liveness,
    pub(crate) wanted: Vec<ChildId, WANTED>,
    pub(crate) message_ids: Vec<u32, MESSAGE_IDS>,
    /// The peer has deleted it: it only verifies what is still under way.
    pub(crate) closing: bool,
    /// The successor, once there is one, and until when this one stays for exchanges under way.
    pub(crate) replaced_by: Option<IkeSaHandle>,
    /// The IKE SA that this one is to replace.
    pub(crate) replaces: Option<IkeSaHandle>,
    /// Serial at the moment it came up: SAs with a lower one were there before.
    pub(crate) up_serial: u32,
    /// INITIAL-CONTACT has been obeyed: it may come again, and counts once.
    pub(crate) contacted: bool,
    /// When it came up.
    pub(crate) since: Option<Instant>,
    /// Who the peer has proved to be: the body of its ID payload, empty if that is longer.
    pub(crate) identity: Vec<u8, ID_KEPT>,
    pub(crate) pending: Pending,
}

impl IkeSa {
    pub(crate) fn new(role: Role, peer: PeerId, path: Path, cookies: CookiePair) -> Self {
        Self {
            phase: Phase::HalfOpen,
            role,
            peer,
            owner: 0,
            path,
            cookies,
            exchange: None,
            exchanges: 0,
            suite: Suite::NONE,
            lifetime: Lifetime { seconds: 0, kilobytes: 0 },
            tell_lifetime: false,
            skeyid: Skeyid::empty(),
            cipher_key: CipherKey::empty(),
            iv: Iv::empty(),
            nat: Nat::default(),
            announced: Announced::default(),
            schedule: Schedule::default(),
            expires: None,
            bytes: 0,
            keepalive: None,
            liveness: Liveness::default(),
            wanted: Vec::new(),
            message_ids: Vec::new(),
            closing: false,
            replaced_by: None,
            replaces: None,
            up_serial: 0,
            contacted: false,
            since: None,
            identity: Vec::new(),
            pending: Pending::default(),
        }
    }

    pub(crate) const fn own_cookie(&self) -> Cookie {
        match self.role {
            Role::Initiator => self.cookies.initiator,
            Role::Responder => self.cookies.responder,
        }
    }

    pub(crate) fn is_established(&self) -> bool {
        self.phase == Phase::Established
    }

    /// Remembers a message id of a quick mode; `false` if it was used before or the table is full.
    pub(crate) fn remember(&mut self, message_id: u32) -> Remembered {
        if self.message_ids.contains(&message_id) {
            return Remembered::Known;
        }
        match self.message_ids.push(message_id) {
            Ok(()) => Remembered::New,
            Err(_) => Remembered::Full,
        }
    }

    /// Whether so many message ids are used that the IKE SA should be renewed. Both ends have used the same ones: as with its
    /// lifetime the initiator leads, or each time both would.
    pub(crate) fn message_ids_near_full(&self) -> bool {
        let left = match self.role {
            Role::Initiator => MESSAGE_IDS / 4,
            Role::Responder => MESSAGE_IDS / 8,
        };
        self.message_ids.len() >= MESSAGE_IDS.saturating_sub(left)
    }

    /// Established, and good for new exchanges.
    pub(crate) fn is_usable(&self) -> bool {
        self.is_established() && !self.closing
    }

    /// The earliest of its deadlines.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if !self.is_established() {
            return None;
        }
        [self.schedule.soft, self.schedule.hard, self.keepalive, self.liveness.due]
            .into_iter()
            .flatten()
            .min()
    }

    /// Notes that the peer is alive.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.liveness.heard = now;
        self.liveness.worried_since = None;
        self.liveness.unanswered = 0;
        self.liveness.due = None;
    }

    /// Notes that something was sent that the peer should react to. If it can be asked whether it is alive it soon will
    /// be, unless it shows before.
    pub(crate) fn worried(&mut self, cx: &Context<'_>) {
        let dpd = cx.config.peers.peer(self.peer).and_then(|peer| peer.dpd);
        if let Some(dpd) = dpd.filter(|_| self.announced.dead_peer_detection && self.is_usable())
            && self.liveness.worried_since.is_none()
        {
            self.liveness.worried_since = Some(cx.now);
            self.liveness.due = Some(cx.now.after(dpd.idle));
        }
    }

    pub(crate) fn cookie_digest(&self, digests: &Digests) -> u64 {
        digests.of(Kind::Cookie, &[&self.own_cookie().0])
    }

    pub(crate) fn peer_digest(&self, digests: &Digests) -> u64 {
        digests.of_address(Kind::Peer, self.peer.0, self.path.remote.ip())
    }
}

/// What became of a message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remembered {
    New,
    Known,
    Full,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_end_renews_before_message_ids_run_out_and_the_initiator_leads() {
        let path = Path {
            local: ([192, 0, 2, 1], 500).into(),
            remote: ([192, 0, 2, 2], 500).into(),
            encap: false,
        };
        let cookies = CookiePair { initiator: Cookie([1; 8]), responder: Cookie([2; 8]) };
        for (role, enough) in [(Role::Initiator, 48), (Role::Responder, 56)] {
            let mut ike = IkeSa::new(role, PeerId(1), path, cookies);
            let near_full = |ike: &mut IkeSa, ids: core::ops::Range<u32>| {
                assert!(ids.into_iter().all(|id| ike.remember(id) == Remembered::New));
                ike.message_ids_near_full()
            };
            assert!(!near_full(&mut ike, 1..enough), "{role:?}");
            assert!(near_full(&mut ike, enough..enough + 1), "{role:?}");
        }
    }

    #[test]
    fn the_first_number_of_dead_peer_detection_has_room_above_it() {
        let mut liveness = Liveness::default();
        assert!(!liveness.is_own(0));
        assert_eq!(liveness.next_sequence(u32::MAX), 0x7fff_ffff);
        assert_eq!(liveness.next_sequence(u32::MAX), 0x8000_0000);
        let own = |sequence| liveness.is_own(sequence);
        assert!(own(0x7fff_ffff) && own(0x8000_0000));
        assert!(!own(0x7fff_fffe) && !own(0x8000_0001));
    }
}
