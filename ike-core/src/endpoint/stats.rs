//! Counters, and what status programs want to know of the SAs.

use esp_core::{Mode, PolicyId, Spi, TrafficSelectors, Transform};

use crate::child_sa;
use crate::config::{ChildId, Identity, Lifetime, PeerId};
use crate::endpoint::{Endpoint, Path};
use crate::error::Discard;
use crate::event::{ChildSaHandle, IkeSaHandle, Role};
use crate::ike_sa;
use crate::phase1::identity_of;
use crate::time::Instant;
use crate::wire::numbers::{EncryptionAlgorithm, GroupDescription, HashAlgorithm};
use crate::wire::{CookiePair, IdPayload};

/// What happened since the endpoint began. Counters wrap nowhere near: they stop at their maximum.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Datagrams that were accepted.
    pub accepted: u32,
    /// Datagrams that were sent, retransmissions included.
    pub sent: u32,
    /// Messages sent again because no answer came.
    pub retransmitted: u32,
    /// Discarded: messages received again, answered or not.
    pub duplicates: u32,
    /// Discarded: bytes are wrong.
    pub malformed: u32,
    /// Discarded: the protocol is wrong.
    pub misbehaved: u32,
    /// Discarded: not wanted by configuration.
    pub refused: u32,
    /// Discarded: no room.
    pub no_room: u32,
    /// Discarded: no SA with these cookies.
    pub unknown_sa: u32,
    /// Discarded: from a wrong address.
    pub wrong_address: u32,
    /// Discarded: does not decrypt.
    pub undecryptable: u32,
    /// Discarded: wrong hash.
    pub unauthenticated: u32,
    /// Discarded: notifies in the clear.
    pub hints: u32,
    /// Discarded: while computing.
    pub busy: u32,
    /// Half-open IKE SAs that made room for newer ones.
    pub evicted: u32,
    /// IKE SAs that came up.
    pub ike_sas_up: u32,
    /// Child SAs that came up.
    pub child_sas_up: u32,
    /// Exchanges that failed.
    pub failed: u32,
    /// Replies that were overwritten before they could be sent.
    pub replies_lost: u32,
    /// Failure events that were overwritten before they were read.
    pub events_lost: u32,
}

impl Stats {
    pub(crate) fn note(&mut self, result: &Result<(), Discard>) {
        let counter = match result {
            Ok(()) => &mut self.accepted,
            Err(Discard::Malformed(_)) => &mut self.malformed,
            Err(Discard::PeerMisbehaved(_)) => &mut self.misbehaved,
            Err(Discard::Refused(_)) => &mut self.refused,
            Err(Discard::Capacity(_)) => &mut self.no_room,
            Err(Discard::UnknownSa) => &mut self.unknown_sa,
            Err(Discard::Duplicate) => &mut self.duplicates,
            Err(Discard::WrongAddress) => &mut self.wrong_address,
            Err(Discard::Undecryptable) => &mut self.undecryptable,
            Err(Discard::Unauthenticated) => &mut self.unauthenticated,
            Err(Discard::Hint(_)) => &mut self.hints,
            Err(Discard::Busy) => &mut self.busy,
        };
        *counter = counter.saturating_add(1);
    }
}

/// How many slots of each kind are in use, of those that [`Resources`](crate::Resources) has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InUse {
    /// IKE SAs: half open, established, and those whose end the host has not read yet.
    pub ike_sas: usize,
    /// Exchanges: under way, and finished ones that still answer duplicates.
    pub exchanges: usize,
    /// Pairs of child SAs: in negotiation, up, and those whose end the host has not read yet.
    pub child_sas: usize,
}

impl InUse {
    /// Whether no slot is in use.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.ike_sas == 0 && self.exchanges == 0 && self.child_sas == 0
    }
}

/// An IKE SA, for a status program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IkeSaInfo {
    /// Its handle.
    pub handle: IkeSaHandle,
    /// With whom.
    pub peer: PeerId,
    /// Who began.
    pub role: Role,
    /// Where.
    pub path: Path,
    /// CKY-I and CKY-R; the latter is zero until the responder has answered.
    pub cookies: CookiePair,
    /// Whether the peer is authenticated. Who it has proved to be is told by [`Endpoint::peer_identity`].
    pub established: bool,
    /// When it came up.
    pub since: Option<Instant>,
    /// When the peer last showed, by an authentic message or packet, that it is alive; once it is established.
    pub heard: Option<Instant>,
    /// Whether it only ends what is under way: another has taken its place, or the peer has deleted it.
    pub ending: bool,
    /// Cipher.
    pub encryption: EncryptionAlgorithm,
    /// Key length in bits, 0 where the cipher has one only.
    pub key_bits: u16,
    /// Hash.
    pub hash: HashAlgorithm,
    /// Diffie-Hellman group.
    pub group: GroupDescription,
    /// Lifetime agreed.
    pub lifetime: Lifetime,
    /// When it will be renewed; `None` if it will not be.
    pub rekey_at: Option<Instant>,
    /// When it ends.
    pub expires_at: Option<Instant>,
    /// Bytes encrypted and decrypted under it, in phase 2, headers not counted: what its kilobytes limit.
    pub bytes: u64,
    /// Quick modes that were begun under it, of the 64 that it has room for.
    pub quick_modes: usize,
    /// Whether the peer has announced dead peer detection.
    pub dead_peer_detection: bool,
    /// Whether the peer has announced fragmentation.
    pub fragmentation: bool,
    /// Whether a NAT was found on our side.
    pub local_nat: bool,
    /// Whether a NAT was found on the peer's side.
    pub remote_nat: bool,
}

/// A pair of child SAs, for a status program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChildSaInfo {
    /// Its handle.
    pub handle: ChildSaHandle,
    /// With whom.
    pub peer: PeerId,
    /// Which entry of the peer's configuration.
    pub config: ChildId,
    /// The policy it serves.
    pub policy: PolicyId,
    /// The IKE SA that speaks for it; `None` while there is none.
    pub ike: Option<IkeSaHandle>,
    /// Where the peer is.
    pub path: Path,
    /// Who began.
    pub role: Role,
    /// Our SPI.
    pub inbound: Spi,
    /// The peer's SPI, once it is known.
    pub outbound: Option<Spi>,
    /// Algorithms, once they are agreed.
    pub transform: Option<Transform>,
    /// Extended sequence numbers.
    pub esn: bool,
    /// Tunnel or transport.
    pub mode: Mode,
    /// UDP encapsulation.
    pub encap: bool,
    /// The traffic it was negotiated for.
    pub selectors: TrafficSelectors,
    /// Lifetime agreed.
    pub lifetime: Lifetime,
    /// Whether the host has been shown the pair and may use it.
    pub up: bool,
    /// Whether a successor carries the traffic.
    pub replaced: bool,
    /// When it was agreed.
    pub since: Option<Instant>,
    /// When it will be renewed; `None` if it will not be.
    pub rekey_at: Option<Instant>,
    /// When it ends.
    pub expires_at: Option<Instant>,
}

impl Endpoint<'_> {
    /// The counters.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            replies_lost: self.store.ring.lost,
            events_lost: self.store.diagnostics.lost,
            ..self.stats
        }
    }

    /// How many slots are in use.
    #[must_use]
    pub fn in_use(&self) -> InUse {
        InUse {
            ike_sas: self.store.ikes.used().into(),
            exchanges: self.store.exchanges.used().into(),
            child_sas: self.store.children.used().into(),
        }
    }

    /// The IKE SAs that are not down.
    pub fn ike_sas(&self) -> impl Iterator<Item = IkeSaInfo> + '_ {
        self.store.ikes.iter().filter_map(|(index, ike)| {
            if matches!(ike.phase, ike_sa::Phase::Down(_)) {
                return None;
            }
            Some(IkeSaInfo {
                handle: self.ike_handle(index)?,
                peer: ike.peer,
                role: ike.role,
                path: ike.path,
                cookies: ike.cookies,
                established: ike.is_established(),
                since: ike.since,
                heard: ike.since.map(|_| ike.liveness.heard),
                ending: ike.closing || ike.replaced_by.is_some(),
                encryption: ike.suite.encryption,
                key_bits: ike.suite.key_bits,
                hash: ike.suite.hash,
                group: ike.suite.group,
                lifetime: ike.lifetime,
                rekey_at: ike.schedule.soft,
                expires_at: ike.schedule.hard,
                bytes: ike.bytes,
                quick_modes: ike.message_ids.len(),
                dead_peer_detection: ike.announced.dead_peer_detection,
                fragmentation: ike.announced.fragmentation,
                local_nat: ike.nat.local_behind,
                remote_nat: ike.nat.remote_behind,
            })
        })
    }

    /// The pairs of child SAs that are not down.
    pub fn child_sas(&self) -> impl Iterator<Item = ChildSaInfo> + '_ {
        self.store.children.iter().filter_map(|(index, child)| {
            if matches!(child.phase, child_sa::Phase::Down(_)) {
                return None;
            }
            Some(ChildSaInfo {
                handle: self.child_handle(index)?,
                peer: child.peer,
                config: child.config,
                policy: child.policy,
                ike: self.ike_of_child(index).and_then(|ike| self.ike_handle(ike)),
                path: child.path,
                role: child.role,
                inbound: child.inbound,
                outbound: child.outbound,
                transform: child.suite.transform(),
                esn: child.suite.esn,
                mode: child.mode,
                encap: child.encap,
                selectors: child.selectors,
                lifetime: child.lifetime,
                up: matches!(child.phase, child_sa::Phase::Up | child_sa::Phase::Replaced),
                replaced: child.phase == child_sa::Phase::Replaced,
                since: child.since,
                rekey_at: child.schedule.soft,
                expires_at: child.schedule.hard,
            })
        })
    }

    /// Who the peer of an established IKE SA has proved to be: what tells apart those that share an entry of the
    /// configuration ([`RemoteId::OneOf`], [`RemoteId::Anyone`]). `None` before that, and for identities of more than 64
    /// bytes, which are not kept.
    ///
    /// [`RemoteId::OneOf`]: crate::config::RemoteId::OneOf
    /// [`RemoteId::Anyone`]: crate::config::RemoteId::Anyone
    #[must_use]
    pub fn peer_identity(&self, ike: IkeSaHandle) -> Option<Identity<'_>> {
        let id = IdPayload::parse(&self.ike(ike)?.identity, 0).ok()?;
        Some(identity_of(&id))
    }

    /// The key that decrypts the messages of an IKE SA, with its cookies: for Wireshark, while debugging. Whoever has
    /// it reads everything that this IKE SA has protected and will protect. `None` until there is a key.
    #[must_use]
    pub fn danger_keylog(&self, ike: IkeSaHandle) -> Option<(CookiePair, &[u8])> {
        let ike = self.ike(ike)?;
        Some((ike.cookies, ike.cipher_key.as_slice())).filter(|(_, key)| !key.is_empty())
    }
}
