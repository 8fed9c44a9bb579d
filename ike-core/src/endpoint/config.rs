//! What the host wants: peers, proposals, lifetimes, limits. Lent to every call, never stored.
//!
//! The engine keeps a [`PeerId`] and the values it negotiated, never a reference into the configuration; the host
//! may change anything between two calls. Every default stands here with its reason.

use core::net::IpAddr;
use core::time::Duration;

use esp_core::{Mode, PolicyId, TrafficSelectors};

use crate::crypto::Crypto;
use crate::lifetime::percent;
use crate::time::Instant;
use crate::wire::numbers::{GroupDescription, HashAlgorithm, IdType, LifeType};

mod check;
mod profile;

pub use check::{Finding, FindingKind, Severity, Sizes};
pub use profile::Profile;

/// Everything the engine needs to know of the host's wishes.
#[derive(Clone, Copy)]
pub struct Config<'c> {
    /// Whom to speak with.
    pub peers: &'c dyn PeerDirectory,
    /// The algorithms at hand.
    pub crypto: &'c Crypto,
    /// Clocks and counts.
    pub timing: Timing,
    /// What unproven peers may cost.
    pub limits: Limits,
}

impl core::fmt::Debug for Config<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Config")
            .field("timing", &self.timing)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// The host's own number for a peer. It must stay the same as long as an SA with that peer may live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerId(pub u32);

/// The host's own number for a child of a peer: one pair of selectors with its proposals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChildId(pub u32);

/// Where the engine looks peers up. A slice of [`PeerConfig`] is one; a host with thousands of peers, or with a
/// database, brings its own. A lookup is pure: it cannot call the engine.
pub trait PeerDirectory {
    /// The peer with this number.
    fn peer(&self, id: PeerId) -> Option<PeerConfig<'_>>;

    /// The peer a first message from `remote` belongs to. In main mode the key is chosen by it, because the
    /// identity comes encrypted under that key (RFC 2409 §5.4). The most specific entry should win.
    fn by_address(&self, remote: IpAddr) -> Option<PeerId>;

    /// The peer that identifies itself so in aggressive mode, from this address.
    fn by_identity(&self, identity: &Identity<'_>, remote: IpAddr) -> Option<PeerId>;

    /// The peer at a position, counted from 0: for [`Config::check`], which ends at the first `None`. A directory that
    /// cannot list its peers need not.
    fn at(&self, position: usize) -> Option<PeerConfig<'_>> {
        let _ = position;
        None
    }
}

impl PeerDirectory for [PeerConfig<'_>] {
    fn peer(&self, id: PeerId) -> Option<PeerConfig<'_>> {
        self.iter().find(|peer| peer.id == id).copied()
    }

    fn by_address(&self, remote: IpAddr) -> Option<PeerId> {
        self.iter()
            .filter_map(|peer| peer.remote.specificity(remote).map(|bits| (bits, peer.id)))
            .max_by_key(|(bits, _)| *bits)
            .map(|(_, id)| id)
    }

    fn by_identity(&self, identity: &Identity<'_>, remote: IpAddr) -> Option<PeerId> {
        self.iter()
            .filter(|peer| peer.remote_id.accepts(identity))
            .filter_map(|peer| peer.remote.specificity(remote).map(|bits| (bits, peer.id)))
            .max_by_key(|(bits, _)| *bits)
            .map(|(_, id)| id)
    }

    fn at(&self, position: usize) -> Option<PeerConfig<'_>> {
        self.get(position).copied()
    }
}

impl<T: PeerDirectory + ?Sized> PeerDirectory for &T {
    fn peer(&self, id: PeerId) -> Option<PeerConfig<'_>> {
        (**self).peer(id)
    }

    fn by_address(&self, remote: IpAddr) -> Option<PeerId> {
        (**self).by_address(remote)
    }

    fn by_identity(&self, identity: &Identity<'_>, remote: IpAddr) -> Option<PeerId> {
        (**self).by_identity(identity, remote)
    }

    fn at(&self, position: usize) -> Option<PeerConfig<'_>> {
        (**self).at(position)
    }
}

impl<const N: usize> PeerDirectory for [PeerConfig<'_>; N] {
    fn peer(&self, id: PeerId) -> Option<PeerConfig<'_>> {
        self.as_slice().peer(id)
    }

    fn by_address(&self, remote: IpAddr) -> Option<PeerId> {
        self.as_slice().by_address(remote)
    }

    fn by_identity(&self, identity: &Identity<'_>, remote: IpAddr) -> Option<PeerId> {
        self.as_slice().by_identity(identity, remote)
    }

    fn at(&self, position: usize) -> Option<PeerConfig<'_>> {
        self.as_slice().at(position)
    }
}

/// One peer: who it is, how it proves that, what may be agreed with it.
#[derive(Clone, Copy, Debug)]
pub struct PeerConfig<'c> {
    /// The host's number for it.
    pub id: PeerId,
    /// The addresses it comes from.
    pub remote: RemoteAddress,
    /// Who we say we are.
    pub local_id: Identity<'c>,
    /// Who it must say it is.
    pub remote_id: RemoteId<'c>,
    /// How both prove it.
    pub authentication: Authentication<'c>,
    /// The phase 1 exchange we start with.
    pub exchange: Phase1Mode,
    /// Whether to answer aggressive mode with a pre-shared key. It hands anyone who asks a hash to guess the key
    /// by (CVE-2002-1623), and one Diffie-Hellman operation; off by default.
    pub danger_answer_aggressive_psk: bool,
    /// Whose order counts when we choose from several proposals.
    pub preference: Preference,
    /// Phase 1 proposals, best first. All go into one message, so there is little use for more than four.
    pub proposals: &'c [Phase1Proposal],
    /// Lifetime of the IKE SA.
    pub lifetime: Lifetime,
    /// What to do about a peer that wants another lifetime.
    pub lifetime_policy: LifetimePolicy,
    /// The child SAs that may be set up.
    pub children: &'c [ChildConfig<'c>],
    /// NAT traversal.
    pub nat_traversal: NatTraversal,
    /// Whether to announce fragmentation of IKE messages (Cisco, Microsoft), and to use it with a peer that announces it
    /// too, for messages longer than [`Limits::datagram`]. Fragments are taken in any case: some peers do not announce.
    pub fragmentation: bool,
    /// Dead peer detection; `None` answers probes but sends none.
    pub dpd: Option<Dpd>,
    /// Whether to send INITIAL-CONTACT with the first IKE SA since the engine began (RFC 2407 §4.6.3.3).
    pub initial_contact: bool,
    /// Deviations for peers that cannot be changed.
    pub quirks: Quirks,
}

impl<'c> PeerConfig<'c> {
    /// A peer at one address that is known by that address, with a pre-shared key and defaults for the rest.
    #[must_use]
    pub const fn new(
        id: PeerId,
        local: IpAddr,
        remote: IpAddr,
        psk: Secret<'c>,
        proposals: &'c [Phase1Proposal],
        children: &'c [ChildConfig<'c>],
    ) -> Self {
        Self {
            id,
            remote: RemoteAddress::Host(remote),
            local_id: Identity::Address(local),
            remote_id: RemoteId::Exactly(Identity::Address(remote)),
            authentication: Authentication::PreSharedKey(psk),
            exchange: Phase1Mode::Main,
            danger_answer_aggressive_psk: false,
            preference: Preference::Initiator,
            proposals,
            lifetime: Lifetime::PHASE1,
            lifetime_policy: LifetimePolicy::Obey,
            children,
            nat_traversal: NatTraversal::Auto,
            fragmentation: true,
            dpd: None,
            initial_contact: true,
            quirks: Quirks::NONE,
        }
    }

    /// The number that our first proposal has.
    pub(crate) const fn first_proposal(&self) -> u8 {
        #[cfg(feature = "_sim")]
        if self.quirks.proposals_from_zero {
            return 0;
        }
        1
    }

    /// The child with this number.
    #[must_use]
    pub fn child(&self, id: ChildId) -> Option<&'c ChildConfig<'c>> {
        self.children.iter().find(|child| child.id == id)
    }
}

/// The addresses a peer may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteAddress {
    /// One address; we can start the exchange ourselves.
    Host(IpAddr),
    /// Any address of a network: the first `1` bits given. We only answer.
    Subnet(IpAddr, u8),
    /// Any address. We only answer.
    Any,
}

impl RemoteAddress {
    /// How many bits of `remote` this names, `None` if it does not contain it.
    #[must_use]
    pub fn specificity(&self, remote: IpAddr) -> Option<u16> {
        match *self {
            Self::Host(address) => (address == remote).then_some(129),
            Self::Subnet(network, prefix) => same_prefix(network, remote, prefix)
                .then_some(u16::from(prefix).saturating_add(1).min(128)),
            Self::Any => Some(0),
        }
    }

    /// The address to send a first message to, if there is exactly one.
    #[must_use]
    pub const fn host(&self) -> Option<IpAddr> {
        match *self {
            Self::Host(address) => Some(address),
            Self::Subnet(..) | Self::Any => None,
        }
    }
}

fn same_prefix(a: IpAddr, b: IpAddr, prefix: u8) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let differing = u32::from(a) ^ u32::from(b);
            differing.leading_zeros() >= u32::from(prefix.min(32))
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let differing = u128::from(a) ^ u128::from(b);
            differing.leading_zeros() >= u32::from(prefix.min(128))
        }
        _ => false,
    }
}

/// A phase 1 identity (RFC 2407 §4.6.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity<'c> {
    /// ID_IPV4_ADDR or ID_IPV6_ADDR.
    Address(IpAddr),
    /// ID_FQDN: a name without a final dot.
    Fqdn(&'c str),
    /// ID_USER_FQDN: user@name.
    UserFqdn(&'c str),
    /// ID_KEY_ID: opaque bytes.
    KeyId(&'c [u8]),
    /// Any other type, with the bytes of its data as they stand on the wire (a distinguished name in DER, say).
    Other(IdType, &'c [u8]),
}

/// What a peer must identify itself as.
#[derive(Clone, Copy, Debug)]
pub enum RemoteId<'c> {
    /// Exactly this.
    Exactly(Identity<'c>),
    /// One of these.
    OneOf(&'c [Identity<'c>]),
    /// Anyone who holds the key. Sensible only where a key belongs to one peer alone.
    Anyone,
}

impl RemoteId<'_> {
    /// Whether `claimed` may be this peer.
    #[must_use]
    pub fn accepts(&self, claimed: &Identity<'_>) -> bool {
        match self {
            Self::Exactly(identity) => identity.is(claimed),
            Self::OneOf(identities) => identities.iter().any(|identity| identity.is(claimed)),
            Self::Anyone => true,
        }
    }
}

impl Identity<'_> {
    /// Whether both name the same. Names of hosts compare without case (RFC 4343), keys byte for byte.
    #[must_use]
    pub fn is(&self, other: &Identity<'_>) -> bool {
        match (self, other) {
            (Self::Address(a), Identity::Address(b)) => a == b,
            (Self::Fqdn(a), Identity::Fqdn(b)) | (Self::UserFqdn(a), Identity::UserFqdn(b)) => {
                a.eq_ignore_ascii_case(b)
            }
            (Self::KeyId(a), Identity::KeyId(b)) => a == b,
            (Self::Other(kind_a, a), Identity::Other(kind_b, b)) => kind_a == kind_b && a == b,
            _ => false,
        }
    }
}

/// How a peer is authenticated. Signatures and XAUTH are not supported yet; their payloads are parsed and refused.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Authentication<'c> {
    /// A key that both know (RFC 2409 §5.4).
    PreSharedKey(Secret<'c>),
}

/// A secret that the host keeps: its bytes, or somebody who computes with it.
#[derive(Clone, Copy)]
pub enum Secret<'c> {
    /// The key itself, 1 to 256 bytes. Never truncated: a longer one is refused by [`Config::check`].
    Bytes(&'c [u8]),
    /// A secure element, or a database that hands keys out one at a time.
    Oracle(&'c dyn PskOracle),
}

impl core::fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Computes with a pre-shared key that never leaves its keeper.
pub trait PskOracle {
    /// Writes SKEYID = prf(pre-shared-key, Ni_b | Nr_b) (RFC 2409 §5), the PRF being HMAC over `hash`, into
    /// `skeyid`, whose length is that of the hash. `false` if it cannot: the exchange then ends with
    /// `NoCredentials`.
    fn skeyid(
        &self,
        peer: PeerId,
        hash: HashAlgorithm,
        nonces: &[&[u8]],
        skeyid: &mut [u8],
    ) -> bool;
}

/// Which phase 1 exchange we begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase1Mode {
    /// Main mode: six messages, identities encrypted.
    Main,
    /// Aggressive mode: three messages, identities and a hash of the key in the clear.
    Aggressive,
}

/// Whose order of proposals a responder follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preference {
    /// The initiator's, which is why it sends them in an order (RFC 2408 §4.2).
    Initiator,
    /// Our own.
    Responder,
}

/// A phase 1 cipher with its key length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase1Cipher {
    /// AES-CBC with a key of this many bits: 128, 192 or 256.
    AesCbc(u16),
    /// 3DES-CBC. Weak; RFC 4109 makes it mandatory.
    #[cfg(feature = "legacy")]
    TripleDesCbc,
}

/// One set of phase 1 algorithms: a transform of the SA payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phase1Proposal {
    /// Cipher.
    pub cipher: Phase1Cipher,
    /// Hash, whose HMAC is the PRF.
    pub hash: HashAlgorithm,
    /// Diffie-Hellman group.
    pub group: GroupDescription,
}

/// How long an SA lives. Zero kilobytes means no limit in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Seconds; at least 60.
    pub seconds: u32,
    /// Kilobytes of 1024 bytes; 0 for no limit.
    pub kilobytes: u32,
}

impl Lifetime {
    /// Eight hours: what the field proposes for phase 1 (28 800 s; some peers refuse much more).
    pub const PHASE1: Self = Self { seconds: 28_800, kilobytes: 0 };
    /// One hour: what the field proposes for phase 2.
    pub const PHASE2: Self = Self { seconds: 3_600, kilobytes: 0 };

    /// The duration in one unit.
    #[must_use]
    pub const fn of(&self, unit: LifeType) -> u32 {
        match unit {
            LifeType::KILOBYTES => self.kilobytes,
            _ => self.seconds,
        }
    }
}

/// What a responder does when the initiator proposes another lifetime than its own (racoon's `proposal_check`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifetimePolicy {
    /// Take the initiator's, unless it is below [`Limits::shortest_lifetime`], which none of these takes.
    Obey,
    /// Use the shorter; if ours is, say so with RESPONDER-LIFETIME (RFC 2407 §4.6.3.1).
    Claim,
    /// Refuse one that is longer than ours, take a shorter one.
    Strict,
    /// Refuse any other.
    Exact,
}

/// One pair of selectors with what may protect it: what one quick mode negotiates.
#[derive(Clone, Copy, Debug)]
pub struct ChildConfig<'c> {
    /// The host's number for it.
    pub id: ChildId,
    /// The entry of the security policy database it serves.
    pub policy: PolicyId,
    /// The traffic: client identities of quick mode (RFC 2409 §5.5).
    pub selectors: TrafficSelectors,
    /// Tunnel or transport.
    pub mode: Mode,
    /// ESP transforms, best first.
    pub proposals: &'c [EspProposal],
    /// Perfect forward secrecy: the group of a second Diffie-Hellman.
    pub pfs: Option<GroupDescription>,
    /// Lifetime; seconds are kept here, bytes by the data plane. Packets can be limited there, too, without IKEv1
    /// knowing: the host sets them in the [`esp_core::SaParams`] it takes.
    pub lifetime: Lifetime,
    /// Packets the anti-replay window spans: 32 to 1024.
    pub replay_window: u16,
}

/// One ESP transform to propose or accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EspProposal {
    /// The algorithms.
    pub transform: esp_core::Transform,
    /// Extended sequence numbers (RFC 4304).
    pub esn: bool,
}

/// NAT traversal with a peer (RFC 3947).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatTraversal {
    /// Announced and used if a NAT is found.
    Auto,
    /// Announced, and a NAT pretended: UDP encapsulation always.
    Force,
    /// Not announced.
    Off,
}

/// Dead peer detection (RFC 3706).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dpd {
    /// How long the peer may be silent, while we send, before it is asked.
    pub idle: Duration,
    /// How long each question waits for its answer.
    pub retry: Duration,
    /// Questions without an answer before the peer is dead.
    pub tries: u8,
    /// What then.
    pub action: DpdAction,
}

/// What happens when a peer is found dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DpdAction {
    /// Its SAs end. While the host's policy still says protect, the next packet for the peer is held and asks for new ones:
    /// what other implementations call hold, or trap. A host that wants none takes the entry out of its policy.
    Clear,
    /// Its SAs end, and up to eight of its children are negotiated anew at once. What of them finds no room, and the
    /// others, are reported by [`Event::Failed`](crate::event::Event::Failed): the host has to ask for them.
    Restart,
}

/// Deviations from the standards that some peers need. All off by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quirks {
    /// Accept a third aggressive or fifth main mode message that is not encrypted; its hash is still checked
    /// (SonicWall; strongSwan has `accept_unencrypted_mainmode_messages` for it).
    pub accept_unencrypted_auth: bool,
    /// Accept a quick mode answer whose selectors are narrower than what we asked for (Cisco, Fortinet split
    /// policies).
    pub accept_narrowing: bool,
    /// HMAC-SHA2-256 cut to 96 bits in ESP (Android up to 6, Linux before 2.6.33).
    #[cfg(feature = "legacy")]
    pub sha256_96: bool,
    /// A Delete of the last IKE SA with the peer takes the children with it.
    pub delete_ike_deletes_children: bool,
    /// Private: our proposals are numbered from 0, as those of a recorded session.
    #[cfg(feature = "_sim")]
    pub proposals_from_zero: bool,
}

impl Quirks {
    /// None.
    pub const NONE: Self = Self {
        accept_unencrypted_auth: false,
        accept_narrowing: false,
        #[cfg(feature = "legacy")]
        sha256_96: false,
        delete_ike_deletes_children: false,
        #[cfg(feature = "_sim")]
        proposals_from_zero: false,
    };
}

/// Clocks and counts that are the same for all peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// First retransmission after this long; each further one waits `backoff_percent` of the wait before.
    pub retransmit_first: Duration,
    /// Growth of the wait, in percent: 160 is 1.6 times.
    pub backoff_percent: u16,
    /// Retransmissions before an exchange fails.
    pub retransmit_tries: u8,
    /// A half-open responder waits this long for each message, and a finished exchange answers duplicates this long.
    pub exchange_timeout: Duration,
    /// Soft lifetime as a share of the hard one, for the initiator, in percent.
    pub rekey_percent: u8,
    /// The same for the responder: later, so that one end leads (draft-spencer).
    pub rekey_percent_responder: u8,
    /// Up to this share of the hard lifetime is subtracted at random from the soft one, in percent.
    pub rekey_jitter_percent: u8,
    /// A replaced pair of child SAs still receives this long.
    pub overlap: Duration,
    /// A pair whose peer sent a Delete still receives this long: packets may be in flight.
    pub linger: Duration,
    /// How often a NAT mapping is refreshed when nothing else is sent (RFC 3948 §4).
    pub keepalive: Duration,
    /// An initiator waits this long after its third message before it uses the first outbound SA of a child, unless the
    /// peer sends before: for peers that install theirs late and lose what comes too early. Packets are held meanwhile.
    pub outbound_first: Duration,
    /// An initiator moves to a rekeyed outbound SA this long after its third message, unless the peer used it
    /// before.
    pub outbound_switch: Duration,
}

impl Timing {
    /// 1 s, then 1.6 times as long, five times: 26 s in all. Rekey at 85 % (initiator) and 92 % (responder).
    pub const DEFAULT: Self = Self {
        retransmit_first: Duration::from_secs(1),
        backoff_percent: 160,
        retransmit_tries: 5,
        exchange_timeout: Duration::from_secs(30),
        rekey_percent: 85,
        rekey_percent_responder: 92,
        rekey_jitter_percent: 5,
        overlap: Duration::from_secs(30),
        linger: Duration::from_secs(2),
        keepalive: Duration::from_secs(20),
        outbound_first: Duration::ZERO,
        outbound_switch: Duration::from_secs(1),
    };
}

impl Timing {
    /// How long an exchange without an answer takes to fail.
    pub(crate) fn retransmission_span(&self) -> Duration {
        let (mut span, mut wait) = (self.retransmit_first, self.retransmit_first);
        for _ in 0..self.retransmit_tries {
            wait = self.next_wait(wait);
            span = span.saturating_add(wait);
        }
        span
    }

    /// The wait that follows one of this length.
    pub(crate) fn next_wait(&self, wait: Duration) -> Duration {
        percent(wait, u32::from(self.backoff_percent.max(100)).saturating_mul(100))
    }

    /// A keepalive of zero would never come to an end: once a second is often enough.
    pub(crate) fn next_keepalive(&self, now: Instant) -> Instant {
        now.after(self.keepalive.max(Duration::from_secs(1)))
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What peers that have not proved anything may cost us, and what proven ones may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// IKE SAs that we did not begin and whose peer has not shown, by our cookie, that it is where it says. One too many
    /// takes the place of the oldest, if that is at least a second old. Those whose peer has shown it are as many as there
    /// are slots, and give way only to what we begin ourselves or a proven peer does.
    pub half_open: u16,
    /// IKE SAs that we did not begin and whose peer is not authenticated, from one source address.
    pub half_open_per_source: u16,
    /// Diffie-Hellman operations a second for peers that have proved nothing.
    pub unproven_dh_per_second: u16,
    /// Quick modes at one time under one IKE SA. In its whole life it has room for 64: their message ids are remembered as
    /// long as it lives, so that none is taken twice. At 48 its initiator renews it, at 56 its responder, with 64 it begins and
    /// takes no more until it has been.
    pub exchanges_per_ike_sa: u8,
    /// Bytes of the largest IKE message we send in one datagram, IP and UDP headers not counted.
    pub datagram: u16,
    /// The shortest lifetime that a peer may make us agree to, of either phase, so that it cannot keep us renewing. As
    /// responder we refuse a shorter one, and say so; an answer with a shorter one counts as this one. What we are configured
    /// to propose ourselves is never too short.
    pub shortest_lifetime: Lifetime,
}

impl Limits {
    /// 16 half-open, 4 from one source, 32 Diffie-Hellman a second, 8 exchanges, 1 232 bytes (what fits an IPv6
    /// minimum MTU), lifetimes of 10 seconds and 64 kilobytes at least.
    pub const DEFAULT: Self = Self {
        half_open: 16,
        half_open_per_source: 4,
        unproven_dh_per_second: 32,
        exchanges_per_ike_sa: 8,
        datagram: 1_232,
        shortest_lifetime: Lifetime { seconds: 10, kilobytes: 64 },
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
