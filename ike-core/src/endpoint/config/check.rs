//! What of a configuration cannot work, and what works but should not be used. Findings are typed: a program words them
//! as it likes, [`Display`](core::fmt::Display) gives a sentence.

use core::fmt;

use esp_core::{BlockCipher, Integrity, PortRange, Transform};

use crate::config::{
    Authentication, ChildConfig, ChildId, Config, Lifetime, Limits, PeerConfig, PeerId,
    Phase1Cipher, Phase1Mode, RemoteAddress, RemoteId, Secret, Timing,
};
use crate::crypto::{Crypto, DhGroup};
use crate::phase1::negotiate::{Suite, is_known};
use crate::phase2::{negotiate, selectors};
use crate::wire::numbers::{GroupDescription, HashAlgorithm};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It works, and somebody should know.
    Warning,
    /// It cannot work.
    Error,
}

/// One thing that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The peer it is about, if it is about one.
    pub peer: Option<PeerId>,
    /// The child of that peer, if it is about one.
    pub child: Option<ChildId>,
    /// What it is.
    pub kind: FindingKind,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FindingKind {
    /// Two peers, or two children of a peer, have the same number.
    SameNumber,
    /// Nothing to propose.
    NoProposals,
    /// A proposal names an algorithm that is not in the tables of this build.
    UnknownAlgorithm,
    /// A pre-shared key of no bytes, or of more than 256.
    KeyLength(usize),
    /// A lifetime of less than a minute.
    LifetimeTooShort(u32),
    /// A phase 1 lifetime above a day: some peers refuse it, and keys should not be used longer.
    LifetimeLong(u32),
    /// Something that must not be zero: a wait, or a number of tries.
    Zero(&'static str),
    /// A renewal that begins after this share of a lifetime, in percent, jitter subtracted: 1 to 99 work.
    RenewalShare(i16),
    /// The responder renews after a smaller share of the lifetime than the initiator: both will lead.
    RenewalOrder,
    /// A lifetime that leaves the renewal fewer seconds than a lost message takes to be given up.
    RenewalMargin {
        /// Seconds between the begin of the renewal and the end of the SA.
        margin: u32,
        /// Seconds that all retransmissions take.
        needed: u32,
    },
    /// Datagrams so small that a fragment carries next to nothing: at least 128 bytes work.
    Datagram(u16),
    /// Aggressive mode can propose one group only.
    AggressiveGroups,
    /// Another peer has the same addresses, and main mode cannot tell them apart: the key is chosen by the address
    /// (RFC 2409 §5.4).
    SameAddresses(PeerId),
    /// Another peer has the same addresses and identity, and nothing else tells them apart, in aggressive mode or where they
    /// share a key.
    SameIdentity(PeerId),
    /// A replay window outside of 32 to 1024 packets.
    ReplayWindow(u16),
    /// A range of ports, which IKEv1 cannot name: one port, or all (RFC 2407 §4.6.2).
    PortRange,
    /// Selectors of two address families, a prefix too long, or a range that runs backwards.
    Selectors,
    /// Another child has the same selectors.
    SameSelectors(ChildId),
    /// Another child's selectors overlap with these: the order of the policy decides.
    OverlappingSelectors(ChildId),
    /// A pre-shared key below 16 bytes can be guessed offline by whoever is in the middle (CVE-2018-5389).
    KeyShort(usize),
    /// Aggressive mode shows identities, and a hash of the key, to anybody (CVE-2002-1623).
    Aggressive,
    /// A weak algorithm, and the document that says so.
    Weak {
        /// Its name.
        algorithm: &'static str,
        /// The document.
        source: &'static str,
    },
    /// A 64-bit block cipher without a limit in kilobytes (CVE-2016-2183).
    NoByteLimit,
    /// Fewer slots than the peers of the configuration need at the same time.
    Storage {
        /// Of what.
        of: &'static str,
        /// How many are needed.
        needed: usize,
        /// How many there are.
        given: usize,
    },
}

/// The sizes of [`Resources`](crate::Resources), in the order of its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// IKE SAs.
    pub ike_sas: usize,
    /// Exchanges at a time.
    pub exchanges: usize,
    /// Pairs of child SAs.
    pub child_sas: usize,
    /// Bytes of a message.
    pub message: usize,
}

impl FindingKind {
    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        match self {
            Self::LifetimeLong(_)
            | Self::RenewalOrder
            | Self::RenewalMargin { .. }
            | Self::OverlappingSelectors(_)
            | Self::KeyShort(_)
            | Self::Aggressive
            | Self::Weak { .. }
            | Self::NoByteLimit => Severity::Warning,
            _ => Severity::Error,
        }
    }
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::SameNumber => f.write_str("the same number occurs twice"),
            Self::NoProposals => f.write_str("nothing to propose"),
            Self::UnknownAlgorithm => f.write_str("an algorithm that this build does not have"),
            Self::KeyLength(len) => write!(f, "a pre-shared key of {len} bytes; 1 to 256 work"),
            Self::LifetimeTooShort(seconds) => {
                write!(f, "a lifetime of {seconds} s; at least 60 s are needed to renew in time")
            }
            Self::LifetimeLong(seconds) => {
                write!(
                    f,
                    "a phase 1 lifetime of {seconds} s; more than a day is refused by some peers"
                )
            }
            Self::Zero(what) => write!(f, "{what} is zero"),
            Self::RenewalShare(percent) => {
                write!(f, "a renewal after {percent} % of a lifetime; 1 to 99 work")
            }
            Self::RenewalOrder => {
                f.write_str("a responder that renews before the initiator; both will, each time")
            }
            Self::RenewalMargin { margin, needed } => write!(
                f,
                "a renewal has {margin} s until the SA ends; retransmissions may take {needed} s"
            ),
            Self::Datagram(bytes) => {
                write!(f, "datagrams of {bytes} bytes; at least 128 are needed")
            }
            Self::AggressiveGroups => {
                f.write_str("aggressive mode can propose one Diffie-Hellman group only")
            }
            Self::SameAddresses(PeerId(other)) => write!(
                f,
                "peer {other} has the same addresses; main mode chooses the key by address (RFC 2409 §5.4)"
            ),
            Self::SameIdentity(PeerId(other)) => write!(
                f,
                "peer {other} has the same addresses and identity; nothing tells them apart"
            ),
            Self::ReplayWindow(window) => {
                write!(f, "a replay window of {window} packets; 32 to 1024 work")
            }
            Self::PortRange => f.write_str("a range of ports; IKEv1 can name one port or all"),
            Self::Selectors => f.write_str("selectors that name no traffic"),
            Self::SameSelectors(ChildId(other)) => {
                write!(f, "child {other} has the same selectors")
            }
            Self::OverlappingSelectors(ChildId(other)) => {
                write!(
                    f,
                    "the selectors overlap with those of child {other}; the order of the policy decides"
                )
            }
            Self::KeyShort(len) => write!(
                f,
                "a pre-shared key of {len} bytes can be guessed offline by whoever is in the middle (CVE-2018-5389)"
            ),
            Self::Aggressive => f.write_str(
                "aggressive mode shows identities and a hash of the key to anybody (CVE-2002-1623)",
            ),
            Self::Weak { algorithm, source } => write!(f, "{algorithm} is weak ({source})"),
            Self::NoByteLimit => f.write_str("3DES without a limit in kilobytes (CVE-2016-2183)"),
            Self::Storage { of, needed, given } => {
                write!(f, "storage for {given} {of}, and {needed} may be needed at a time")
            }
        }
    }
}

impl Config<'_> {
    /// Reports what of the configuration cannot work, or should not be used, to `report`. It sees the peers that
    /// [`PeerDirectory::at`](super::PeerDirectory::at) lists.
    pub fn check(&self, sizes: Sizes, report: &mut dyn FnMut(Finding)) {
        let mut children = 0_usize;
        let mut peers = 0_usize;
        while let Some(peer) = self.peers.at(peers) {
            peer.check(self.crypto, report);
            check_margins(&peer, &self.timing, report);
            children = children.saturating_add(peer.children.len());
            for earlier in 0..peers {
                if let Some(other) = self.peers.at(earlier) {
                    check_pair(&other, &peer, report);
                }
            }
            check_messages(&peer, self.crypto, sizes.message, report);
            peers = peers.saturating_add(1);
        }
        check_timing(&self.timing, &self.limits, &mut |kind| {
            report(Finding { peer: None, child: None, kind });
        });
        let mut storage = |of, needed, given| {
            if needed > given {
                let kind = FindingKind::Storage { of, needed, given };
                report(Finding { peer: None, child: None, kind });
            }
        };
        // A renewal holds the old and the new at the same time; not all renew at once.
        storage("IKE SAs", peers.saturating_add(1), sizes.ike_sas);
        storage("pairs of child SAs", children.saturating_add(1), sizes.child_sas);
        storage("exchanges", 2, sizes.exchanges);
        storage("bytes a message", 576, sizes.message);
    }
}

/// Two peers that a first message cannot tell apart.
fn check_pair(one: &PeerConfig<'_>, other: &PeerConfig<'_>, report: &mut dyn FnMut(Finding)) {
    let mut found = |kind| report(Finding { peer: Some(other.id), child: None, kind });
    if one.id == other.id {
        found(FindingKind::SameNumber);
    }
    let same_key = match (one.authentication, other.authentication) {
        (
            Authentication::PreSharedKey(Secret::Bytes(a)),
            Authentication::PreSharedKey(Secret::Bytes(b)),
        ) => a == b,
        _ => false,
    };
    let by_address = one.exchange == Phase1Mode::Main && other.exchange == Phase1Mode::Main;
    if by_address && !same_key && same_addresses(&one.remote, &other.remote) {
        found(FindingKind::SameAddresses(one.id));
    }
    // Of peers that share a key, main mode goes by the identity, too.
    let by_identity = (one.danger_answer_aggressive_psk && other.danger_answer_aggressive_psk)
        || (by_address && same_key && one.id != other.id);
    if by_identity
        && same_addresses(&one.remote, &other.remote)
        && same_identity(&one.remote_id, &other.remote_id)
    {
        found(FindingKind::SameIdentity(one.id));
    }
}

fn same_identity(one: &RemoteId<'_>, other: &RemoteId<'_>) -> bool {
    match (one, other) {
        (RemoteId::Exactly(identity), other) | (other, RemoteId::Exactly(identity)) => {
            other.accepts(identity)
        }
        (RemoteId::OneOf(identities), other) | (other, RemoteId::OneOf(identities)) => {
            identities.iter().any(|identity| other.accepts(identity))
        }
        (RemoteId::Anyone, RemoteId::Anyone) => true,
    }
}

/// What holds for all peers: waits, shares of lifetimes, sizes.
fn check_timing(timing: &Timing, limits: &Limits, found: &mut dyn FnMut(FindingKind)) {
    for (what, wait) in [
        ("the wait before the first retransmission", timing.retransmit_first),
        ("the wait for the next message of an exchange", timing.exchange_timeout),
    ] {
        if wait.is_zero() {
            found(FindingKind::Zero(what));
        }
    }
    if limits.exchanges_per_ike_sa == 0 {
        found(FindingKind::Zero("the number of exchanges under an IKE SA"));
    }
    if limits.datagram < 128 {
        found(FindingKind::Datagram(limits.datagram));
    }
    let (leads, follows) = (timing.rekey_percent, timing.rekey_percent_responder);
    for latest in [leads, follows] {
        let earliest = i16::from(latest).saturating_sub(timing.rekey_jitter_percent.into());
        if latest > 99 {
            found(FindingKind::RenewalShare(latest.into()));
        } else if earliest < 1 {
            found(FindingKind::RenewalShare(earliest));
        }
    }
    if follows < leads {
        found(FindingKind::RenewalOrder);
    }
}

/// Whether a renewal whose messages get lost is through, or has failed, before the SA ends.
fn check_margins(peer: &PeerConfig<'_>, timing: &Timing, report: &mut dyn FnMut(Finding)) {
    let needed = timing.retransmission_span().as_secs();
    let left = 100_u8.saturating_sub(timing.rekey_percent);
    let mut check = |child, lifetime: Lifetime| {
        let margin = u64::from(lifetime.seconds).saturating_mul(left.into()) / 100;
        // One that is too short anyway has been told.
        if margin < needed && too_short(lifetime).is_none() {
            let [margin, needed] =
                [margin, needed].map(|seconds| u32::try_from(seconds).unwrap_or(u32::MAX));
            let kind = FindingKind::RenewalMargin { margin, needed };
            report(Finding { peer: Some(peer.id), child, kind });
        }
    };
    check(None, peer.lifetime);
    for child in peer.children {
        check(Some(child.id), child.lifetime);
    }
}

fn same_addresses(one: &RemoteAddress, other: &RemoteAddress) -> bool {
    match (one, other) {
        (RemoteAddress::Host(a), RemoteAddress::Host(b)) => a == b,
        (RemoteAddress::Subnet(a, bits), RemoteAddress::Subnet(_, other_bits)) => {
            bits == other_bits && other.specificity(*a).is_some()
        }
        (RemoteAddress::Any, RemoteAddress::Any) => true,
        _ => false,
    }
}

/// Whether the bodies that an exchange holds fit the buffers.
fn check_messages(
    peer: &PeerConfig<'_>,
    crypto: &Crypto,
    given: usize,
    report: &mut dyn FnMut(Finding),
) {
    let public_len = |group: GroupDescription| crypto.group(group).map_or(0, DhGroup::public_len);
    let longest = peer
        .proposals
        .iter()
        .map(|proposal| public_len(proposal.group))
        .chain(peer.children.iter().filter_map(|child| child.pfs).map(public_len))
        .max();
    // Two public values, two nonces, the SA, an identity and a hash.
    let needed = longest.unwrap_or(0).saturating_mul(2).saturating_add(512);
    if needed > given {
        let kind = FindingKind::Storage { of: "bytes a message", needed, given };
        report(Finding { peer: Some(peer.id), child: None, kind });
    }
}

impl PeerConfig<'_> {
    /// Reports what is found about this peer alone.
    pub fn check(&self, crypto: &Crypto, report: &mut dyn FnMut(Finding)) {
        let mut found = |kind| report(Finding { peer: Some(self.id), child: None, kind });
        if self.proposals.is_empty() {
            found(FindingKind::NoProposals);
        }
        for proposal in self.proposals {
            if !is_known(crypto, Suite::from(*proposal)) {
                found(FindingKind::UnknownAlgorithm);
            }
            #[cfg(feature = "legacy")]
            if proposal.cipher == Phase1Cipher::TripleDesCbc {
                found(weak("3DES", "RFC 8247 §2.1"));
            }
            #[cfg(not(feature = "legacy"))]
            let Phase1Cipher::AesCbc(_) = proposal.cipher;
            weak_hash(proposal.hash).into_iter().for_each(&mut found);
            weak_group(proposal.group).into_iter().for_each(&mut found);
        }
        if let Authentication::PreSharedKey(Secret::Bytes(key)) = self.authentication {
            match key.len() {
                len @ (0 | 257..) => found(FindingKind::KeyLength(len)),
                len @ 1..16 => found(FindingKind::KeyShort(len)),
                _ => {}
            }
        }
        if self.exchange == Phase1Mode::Aggressive || self.danger_answer_aggressive_psk {
            found(FindingKind::Aggressive);
        }
        let one_group =
            self.proposals.windows(2).all(|pair| matches!(pair, [a, b] if a.group == b.group));
        if self.exchange == Phase1Mode::Aggressive && !one_group {
            found(FindingKind::AggressiveGroups);
        }
        if let Some(kind) = too_short(self.lifetime) {
            found(kind);
        } else if self.lifetime.seconds > 86_400 {
            found(FindingKind::LifetimeLong(self.lifetime.seconds));
        }
        if let Some(dpd) = self.dpd {
            if dpd.retry.is_zero() {
                found(FindingKind::Zero("the wait for the answer of a peer that may be dead"));
            }
            if dpd.tries == 0 {
                found(FindingKind::Zero("the number of questions to a peer that may be dead"));
            }
        }
        for (position, child) in self.children.iter().enumerate() {
            check_child(self, child, crypto, report);
            for earlier in self.children.iter().take(position) {
                let kind = if earlier.id == child.id {
                    FindingKind::SameNumber
                } else if selectors::same(&earlier.selectors, &child.selectors) {
                    FindingKind::SameSelectors(earlier.id)
                } else if selectors::overlap(&earlier.selectors, &child.selectors) {
                    FindingKind::OverlappingSelectors(earlier.id)
                } else {
                    continue;
                };
                report(Finding { peer: Some(self.id), child: Some(child.id), kind });
            }
        }
    }
}

fn check_child(
    peer: &PeerConfig<'_>,
    child: &ChildConfig<'_>,
    crypto: &Crypto,
    report: &mut dyn FnMut(Finding),
) {
    let mut found = |kind| report(Finding { peer: Some(peer.id), child: Some(child.id), kind });
    if child.proposals.is_empty() {
        found(FindingKind::NoProposals);
    }
    for proposal in child.proposals {
        if !negotiate::is_known(proposal) {
            found(FindingKind::UnknownAlgorithm);
        }
        if is_triple_des(proposal.transform) {
            found(weak("3DES", "RFC 8221 §5"));
            if child.lifetime.kilobytes == 0 {
                found(FindingKind::NoByteLimit);
            }
        }
        weak_integrity(proposal.transform).into_iter().for_each(&mut found);
    }
    if let Some(group) = child.pfs {
        if crypto.group(group).is_none() {
            found(FindingKind::UnknownAlgorithm);
        }
        weak_group(group).into_iter().for_each(&mut found);
    }
    too_short(child.lifetime).into_iter().for_each(&mut found);
    if !(32..=1024).contains(&child.replay_window) {
        found(FindingKind::ReplayWindow(child.replay_window));
    }
    for side in [&child.selectors.local, &child.selectors.remote] {
        if side.ports != PortRange::ANY && side.ports.first != side.ports.last {
            found(FindingKind::PortRange);
        }
    }
    if !selectors::is_sound(&child.selectors) {
        found(FindingKind::Selectors);
    }
}

const fn weak(algorithm: &'static str, source: &'static str) -> FindingKind {
    FindingKind::Weak { algorithm, source }
}

fn weak_hash(hash: HashAlgorithm) -> Option<FindingKind> {
    match hash {
        HashAlgorithm::MD5 => Some(weak("MD5", "RFC 8247 §2.2")),
        HashAlgorithm::SHA1 => Some(weak("SHA-1", "RFC 8247 §2.2")),
        _ => None,
    }
}

fn weak_group(group: GroupDescription) -> Option<FindingKind> {
    match group {
        GroupDescription::MODP_768 => Some(weak("MODP-768", "RFC 8247 §2.4")),
        GroupDescription::MODP_1024 => Some(weak("MODP-1024", "RFC 8247 §2.4")),
        GroupDescription::MODP_1536 => Some(weak("MODP-1536", "RFC 8247 §2.4")),
        _ => None,
    }
}

const fn is_triple_des(transform: Transform) -> bool {
    match transform {
        #[cfg(feature = "legacy")]
        Transform::CbcHmac(BlockCipher::TripleDes, _) => true,
        #[cfg(not(feature = "legacy"))]
        Transform::CbcHmac(BlockCipher::Aes128, _) => false,
        _ => false,
    }
}

fn weak_integrity(transform: Transform) -> Option<FindingKind> {
    let (Transform::CbcHmac(_, integrity) | Transform::NullHmac(integrity)) = transform else {
        return None;
    };
    match integrity {
        Integrity::HmacSha1_96 => Some(weak("HMAC-SHA-1-96", "RFC 8221 §6")),
        #[cfg(feature = "legacy")]
        Integrity::HmacMd5_96 => Some(weak("HMAC-MD5-96", "RFC 8221 §6")),
        #[cfg(feature = "legacy")]
        Integrity::HmacSha256_96 => Some(weak("HMAC-SHA-256 cut to 96 bits", "RFC 4868 §2.1")),
        _ => None,
    }
}

fn too_short(lifetime: Lifetime) -> Option<FindingKind> {
    (lifetime.seconds < 60).then_some(FindingKind::LifetimeTooShort(lifetime.seconds))
}

#[cfg(test)]
mod tests;
