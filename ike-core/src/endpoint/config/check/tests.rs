//! What is found, and what is not.

use core::net::IpAddr;
use core::time::Duration;
use std::vec::Vec;

use esp_core::{Addresses, Mode, PolicyId, TrafficSelectors};

use super::*;
use crate::config::{Dpd, DpdAction, EspProposal, Identity, Phase1Proposal};
use crate::crypto::SOFTWARE;

const GOOD: &[Phase1Proposal] = &[Phase1Proposal {
    cipher: Phase1Cipher::AesCbc(256),
    hash: HashAlgorithm::SHA2_256,
    group: GroupDescription::MODP_2048,
}];
const ESP: &[EspProposal] = &[EspProposal {
    transform: Transform::CbcHmac(BlockCipher::Aes256, Integrity::HmacSha256_128),
    esn: false,
}];
const KEY: Secret<'static> = Secret::Bytes(b"0123456789abcdef0123");
const SIZES: Sizes = Sizes { ike_sas: 4, exchanges: 4, child_sas: 8, message: 1536 };

fn subnet(third: u8) -> Addresses {
    Addresses::Subnet { network: IpAddr::from([10, 0, third, 0]), prefix: 24 }
}

fn child(id: u32) -> ChildConfig<'static> {
    ChildConfig {
        id: ChildId(id),
        policy: PolicyId(id),
        selectors: TrafficSelectors::between(subnet(0), subnet(id as u8)),
        mode: Mode::Tunnel,
        proposals: ESP,
        pfs: None,
        lifetime: Lifetime::PHASE2,
        replay_window: 64,
    }
}

fn peer<'c>(id: u32, children: &'c [ChildConfig<'c>]) -> PeerConfig<'c> {
    let (local, remote) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, id as u8]));
    PeerConfig::new(PeerId(id), local, remote, KEY, GOOD, children)
}

fn findings(peers: &[PeerConfig<'_>], sizes: Sizes) -> Vec<FindingKind> {
    findings_with(peers, sizes, Timing::DEFAULT, Limits::DEFAULT)
}

fn findings_with(
    peers: &[PeerConfig<'_>],
    sizes: Sizes,
    timing: Timing,
    limits: Limits,
) -> Vec<FindingKind> {
    let config = Config { peers: &peers, crypto: &SOFTWARE, timing, limits };
    let mut all = Vec::new();
    config.check(sizes, &mut |finding| all.push(finding.kind));
    all
}

#[test]
fn nothing_is_found_where_nothing_is_wrong() {
    let children = [child(1), child(2)];
    assert_eq!(findings(&[peer(2, &children), peer(3, &children)], SIZES), []);
}

#[test]
fn each_mistake_is_found() {
    let one = |change: fn(&mut PeerConfig<'_>)| {
        let children = [child(1)];
        let mut peer = peer(2, &children);
        change(&mut peer);
        findings(&[peer], SIZES)
    };
    assert_eq!(one(|peer| peer.proposals = &[]), [FindingKind::NoProposals]);
    assert_eq!(
        one(|peer| peer.authentication = Authentication::PreSharedKey(Secret::Bytes(&[]))),
        [FindingKind::KeyLength(0)]
    );
    assert_eq!(
        one(|peer| {
            peer.authentication = Authentication::PreSharedKey(Secret::Bytes(&[1; 257]));
        }),
        [FindingKind::KeyLength(257)]
    );
    assert_eq!(
        one(|peer| peer.authentication = Authentication::PreSharedKey(Secret::Bytes(b"short"))),
        [FindingKind::KeyShort(5)]
    );
    assert_eq!(one(|peer| peer.lifetime.seconds = 59), [FindingKind::LifetimeTooShort(59)]);
    assert_eq!(one(|peer| peer.lifetime.seconds = 86_401), [FindingKind::LifetimeLong(86_401)]);
    assert_eq!(one(|peer| peer.danger_answer_aggressive_psk = true), [FindingKind::Aggressive]);
    const DPD: Dpd = Dpd {
        idle: Duration::from_secs(10),
        retry: Duration::from_secs(2),
        tries: 3,
        action: DpdAction::Clear,
    };
    assert_eq!(one(|peer| peer.dpd = Some(DPD)), []);
    for found in [
        one(|peer| peer.dpd = Some(Dpd { retry: Duration::ZERO, ..DPD })),
        one(|peer| peer.dpd = Some(Dpd { tries: 0, ..DPD })),
    ] {
        assert!(matches!(found[..], [FindingKind::Zero(_)]), "{found:?}");
    }
}

#[test]
fn each_mistake_of_a_child_is_found() {
    let one = |change: fn(&mut ChildConfig<'_>)| {
        let mut child = child(1);
        change(&mut child);
        findings(&[peer(2, &[child])], SIZES)
    };
    assert_eq!(one(|child| child.proposals = &[]), [FindingKind::NoProposals]);
    assert_eq!(one(|child| child.replay_window = 31), [FindingKind::ReplayWindow(31)]);
    assert_eq!(one(|child| child.lifetime.seconds = 1), [FindingKind::LifetimeTooShort(1)]);
    assert_eq!(
        one(|child| child.selectors.local.ports = PortRange { first: 1, last: 2 }),
        [FindingKind::PortRange]
    );
    assert_eq!(
        one(|child| {
            child.selectors.local.addresses = Addresses::host(IpAddr::from([0; 16]));
        }),
        [FindingKind::Selectors]
    );
    assert_eq!(
        one(|child| child.pfs = Some(GroupDescription::MODP_8192)),
        [FindingKind::UnknownAlgorithm]
    );
}

#[test]
fn contradictions_between_peers_and_children_are_found() {
    let mut other_key = peer(2, &[]);
    other_key.id = PeerId(9);
    other_key.authentication =
        Authentication::PreSharedKey(Secret::Bytes(b"another key, long enough"));
    let all = findings(&[peer(2, &[]), other_key], SIZES);
    assert_eq!(all, [FindingKind::SameAddresses(PeerId(2))]);
    assert_eq!(findings(&[peer(2, &[]), peer(2, &[])], SIZES), [FindingKind::SameNumber]);
    let mut same = child(2);
    same.selectors = child(1).selectors;
    let all = findings(&[peer(2, &[child(1), same])], SIZES);
    assert_eq!(all, [FindingKind::SameSelectors(ChildId(1))]);
    let mut wide = child(2);
    wide.selectors.remote.addresses = Addresses::Any;
    let all = findings(&[peer(2, &[child(1), wide])], SIZES);
    assert_eq!(all, [FindingKind::OverlappingSelectors(ChildId(1))]);
}

#[test]
fn peers_that_nothing_tells_apart_are_found() {
    let answers = |id, remote_id, aggressive| {
        let mut peer = peer(id, &[]);
        peer.remote = RemoteAddress::Any;
        peer.danger_answer_aggressive_psk = aggressive;
        peer.remote_id = remote_id;
        peer
    };
    let name = |name| RemoteId::Exactly(Identity::Fqdn(name));
    let several = RemoteId::OneOf(&[Identity::Fqdn("a.example"), Identity::Fqdn("b.example")]);
    for (one, other, same) in [
        (name("a.example"), name("A.example"), true),
        (name("a.example"), name("b.example"), false),
        (name("a.example"), RemoteId::Anyone, true),
        (several, name("b.example"), true),
        (name("c.example"), several, false),
        (RemoteId::Anyone, RemoteId::Anyone, true),
    ] {
        // In main mode they share a key.
        for aggressive in [false, true] {
            let peers = [answers(2, one, aggressive), answers(3, other, aggressive)];
            let mut all = findings(&peers, SIZES);
            all.retain(|kind| *kind != FindingKind::Aggressive);
            let expected = same.then_some(FindingKind::SameIdentity(PeerId(2)));
            assert_eq!(all, Vec::from_iter(expected), "{one:?} {other:?} {aggressive}");
        }
    }
    // Only one of them goes by the identity, and each has its own key: the address decides, and cannot.
    let mut other_key = answers(3, RemoteId::Anyone, false);
    other_key.authentication = Authentication::PreSharedKey(Secret::Bytes(&[7; 20]));
    let all = findings(&[answers(2, RemoteId::Anyone, true), other_key], SIZES);
    assert_eq!(all, [FindingKind::Aggressive, FindingKind::SameAddresses(PeerId(2))]);
    let mut elsewhere = answers(3, RemoteId::Anyone, true);
    elsewhere.remote = RemoteAddress::Host(IpAddr::from([192, 0, 2, 3]));
    let all = findings(&[answers(2, RemoteId::Anyone, true), elsewhere], SIZES);
    assert_eq!(all, [FindingKind::Aggressive; 2]);
}

#[test]
fn clocks_and_counts_that_cannot_work_are_found() {
    let one = |change: fn(&mut Timing, &mut Limits)| {
        let (mut timing, mut limits) = (Timing::DEFAULT, Limits::DEFAULT);
        change(&mut timing, &mut limits);
        findings_with(&[], SIZES, timing, limits)
    };
    assert_eq!(one(|_, _| ()), []);
    let zero = |all: &[FindingKind]| matches!(all, [FindingKind::Zero(_)]);
    assert!(zero(&one(|timing, _| timing.retransmit_first = Duration::ZERO)));
    assert!(zero(&one(|timing, _| timing.exchange_timeout = Duration::ZERO)));
    assert!(zero(&one(|_, limits| limits.exchanges_per_ike_sa = 0)));
    assert_eq!(one(|_, limits| limits.datagram = 127), [FindingKind::Datagram(127)]);
    let share = FindingKind::RenewalShare;
    assert_eq!(one(|timing, _| timing.rekey_percent_responder = 100), [share(100)]);
    assert_eq!(one(|timing, _| timing.rekey_percent = 5), [share(0)]);
    assert_eq!(one(|timing, _| timing.rekey_percent = 6), []);
    assert_eq!(one(|timing, _| timing.rekey_percent = 93), [FindingKind::RenewalOrder]);
}

/// Retransmissions take 26 s; 15 % of 173 s are less, in whole seconds.
#[test]
fn a_lifetime_too_short_to_be_renewed_in_time_is_found() {
    let with = |phase1, phase2| {
        let mut child = child(1);
        child.lifetime.seconds = phase2;
        let children = [child];
        let mut peer = peer(2, &children);
        peer.lifetime.seconds = phase1;
        findings(&[peer], SIZES)
    };
    assert_eq!(Timing::DEFAULT.retransmission_span().as_secs(), 26);
    assert_eq!(with(174, 174), []);
    let short = FindingKind::RenewalMargin { margin: 25, needed: 26 };
    assert_eq!(with(173, 3_600), [short]);
    assert_eq!(with(3_600, 173), [short]);
}

#[test]
fn what_is_just_allowed_is_not_found() {
    let one = |change: fn(&mut PeerConfig<'_>)| {
        let mut peer = peer(2, &[]);
        change(&mut peer);
        findings(&[peer], SIZES)
    };
    let key = |bytes| Authentication::PreSharedKey(Secret::Bytes(bytes));
    let [key_1, key_15, key_16, key_256] =
        [key(&[1; 1]), key(&[1; 15]), key(&[1; 16]), key(&[1; 256])];
    for (key, found) in [
        (key_1, Some(FindingKind::KeyShort(1))),
        (key_15, Some(FindingKind::KeyShort(15))),
        (key_16, None),
        (key_256, None),
    ] {
        let mut peer = peer(2, &[]);
        peer.authentication = key;
        assert_eq!(findings(&[peer], SIZES), Vec::from_iter(found));
    }
    assert_eq!(one(|peer| peer.lifetime.seconds = 86_400), []);
    let short = FindingKind::RenewalMargin { margin: 9, needed: 26 };
    assert_eq!(one(|peer| peer.lifetime.seconds = 60), [short]);
    for (replay_window, ports, found) in [
        (32, PortRange::ANY, None),
        (1024, PortRange::one(80), None),
        (1025, PortRange::ANY, Some(FindingKind::ReplayWindow(1025))),
    ] {
        let mut child = ChildConfig { replay_window, ..child(1) };
        child.selectors.remote.ports = ports;
        assert_eq!(findings(&[peer(2, &[child])], SIZES), Vec::from_iter(found));
    }
    let limits = Limits { datagram: 128, ..Limits::DEFAULT };
    assert_eq!(findings_with(&[], SIZES, Timing::DEFAULT, limits), []);
    let timing = Timing { rekey_percent_responder: 99, ..Timing::DEFAULT };
    assert_eq!(findings_with(&[], SIZES, timing, Limits::DEFAULT), []);
    let timing = Timing { rekey_percent_responder: 85, ..Timing::DEFAULT };
    assert_eq!(findings_with(&[], SIZES, timing, Limits::DEFAULT), []);
}

/// Main mode: the key is chosen by the address, so that two keys for one address cannot work.
#[test]
fn keys_are_told_apart_by_address() {
    let net = |last, bits| RemoteAddress::Subnet(IpAddr::from([10, 0, 0, last]), bits);
    let host = |last| RemoteAddress::Host(IpAddr::from([10, 0, 0, last]));
    for (one, other, same) in [
        (host(1), host(1), true),
        (host(1), host(2), false),
        (net(0, 24), net(77, 24), true),
        (net(0, 24), net(0, 25), false),
        (net(0, 25), net(128, 25), false),
        (RemoteAddress::Any, RemoteAddress::Any, true),
        (RemoteAddress::Any, host(1), false),
    ] {
        let (mut one, mut other) = (
            PeerConfig { remote: one, ..peer(2, &[]) },
            PeerConfig { remote: other, ..peer(3, &[]) },
        );
        assert_eq!(findings(&[one, other], SIZES), [], "the same key");
        other.authentication = Authentication::PreSharedKey(Secret::Bytes(&[7; 20]));
        let expected = same.then_some(FindingKind::SameAddresses(PeerId(2)));
        assert_eq!(findings(&[one, other], SIZES), Vec::from_iter(expected));
        // Aggressive mode has the identity to go by.
        one.exchange = Phase1Mode::Aggressive;
        assert_eq!(findings(&[one, other], SIZES), [FindingKind::Aggressive]);
    }
}

#[test]
fn aggressive_mode_has_one_group() {
    let other_hash = Phase1Proposal { hash: HashAlgorithm::SHA2_512, ..GOOD[0] };
    let other_group = Phase1Proposal { group: GroupDescription::MODP_3072, ..GOOD[0] };
    use Phase1Mode::{Aggressive, Main};
    for (exchange, second, found) in [
        (Main, other_group, &[][..]),
        (Aggressive, other_hash, &[FindingKind::Aggressive]),
        (Aggressive, other_group, &[FindingKind::Aggressive, FindingKind::AggressiveGroups]),
    ] {
        let proposals = [GOOD[0], second];
        let peer = PeerConfig { exchange, proposals: &proposals, ..peer(2, &[]) };
        assert_eq!(findings(&[peer], SIZES), found);
    }
}

#[test]
fn each_weak_algorithm_is_named() {
    let named = |peer: PeerConfig<'_>| -> Vec<_> {
        let name = |kind| match kind {
            FindingKind::Weak { algorithm, .. } => Some(algorithm),
            FindingKind::NoByteLimit => Some("no limit"),
            _ => None,
        };
        findings(&[peer], SIZES).into_iter().filter_map(name).collect()
    };
    use GroupDescription as Group;
    for (proposal, names) in [
        (GOOD[0], &[][..]),
        (Phase1Proposal { hash: HashAlgorithm::SHA1, ..GOOD[0] }, &["SHA-1"]),
        (Phase1Proposal { hash: HashAlgorithm::MD5, ..GOOD[0] }, &["MD5"]),
        (Phase1Proposal { group: Group::MODP_768, ..GOOD[0] }, &["MODP-768"]),
        (Phase1Proposal { group: Group::MODP_1024, ..GOOD[0] }, &["MODP-1024"]),
        (Phase1Proposal { group: Group::MODP_1536, ..GOOD[0] }, &["MODP-1536"]),
        #[cfg(feature = "legacy")]
        (Phase1Proposal { cipher: Phase1Cipher::TripleDesCbc, ..GOOD[0] }, &["3DES"]),
    ] {
        assert_eq!(named(PeerConfig { proposals: &[proposal], ..peer(2, &[]) }), names);
    }
    let cbc = Transform::CbcHmac;
    for (transform, kilobytes, pfs, names) in [
        (Transform::NullHmac(Integrity::HmacSha256_128), 0, None, &[][..]),
        (cbc(BlockCipher::Aes128, Integrity::HmacSha1_96), 0, None, &["HMAC-SHA-1-96"]),
        (Transform::NullHmac(Integrity::HmacSha1_96), 0, None, &["HMAC-SHA-1-96"]),
        (ESP[0].transform, 0, Some(Group::MODP_1024), &["MODP-1024"]),
        #[cfg(feature = "legacy")]
        (Transform::NullHmac(Integrity::HmacMd5_96), 0, None, &["HMAC-MD5-96"]),
        #[cfg(feature = "legacy")]
        (
            cbc(BlockCipher::Aes128, Integrity::HmacSha256_96),
            0,
            None,
            &["HMAC-SHA-256 cut to 96 bits"],
        ),
        #[cfg(feature = "legacy")]
        (cbc(BlockCipher::TripleDes, Integrity::HmacSha256_128), 0, None, &["3DES", "no limit"]),
        #[cfg(feature = "legacy")]
        (cbc(BlockCipher::TripleDes, Integrity::HmacSha256_128), 9, None, &["3DES"]),
    ] {
        let proposals = [EspProposal { transform, esn: false }];
        let lifetime = Lifetime { kilobytes, ..Lifetime::PHASE2 };
        let children = [ChildConfig { proposals: &proposals, lifetime, pfs, ..child(1) }];
        assert_eq!(named(peer(2, &children)), names, "{transform:?}");
    }
}

#[test]
fn findings_have_a_weight_and_a_sentence() {
    assert_eq!(FindingKind::KeyShort(5).severity(), Severity::Warning);
    assert_eq!(FindingKind::KeyLength(0).severity(), Severity::Error);
    let storage = FindingKind::Storage { of: "exchanges", needed: 2, given: 1 };
    let text = std::format!("{storage}");
    assert_eq!(text, "storage for 1 exchanges, and 2 may be needed at a time");
}

/// A peer with two children and 256 bytes of public value: just enough, and one too few of each.
#[test]
fn storage_that_cannot_serve_is_found() {
    let children = [child(1), child(2)];
    let enough = Sizes { ike_sas: 2, exchanges: 2, child_sas: 3, message: 1_024 };
    let missing = |of, needed| [FindingKind::Storage { of, needed, given: needed - 1 }];
    for (sizes, expected) in [
        (Sizes { ike_sas: 1, ..enough }, missing("IKE SAs", 2)),
        (Sizes { exchanges: 1, ..enough }, missing("exchanges", 2)),
        (Sizes { child_sas: 2, ..enough }, missing("pairs of child SAs", 3)),
        (Sizes { message: 1_023, ..enough }, missing("bytes a message", 1_024)),
    ] {
        assert_eq!(findings(&[peer(2, &children)], enough), []);
        assert_eq!(findings(&[peer(2, &children)], sizes), expected);
    }
    let pfs = [ChildConfig { pfs: Some(GroupDescription::MODP_4096), ..child(1) }];
    let needed = missing("bytes a message", 1_536);
    assert_eq!(findings(&[peer(2, &pfs)], Sizes { message: 1_535, ..enough }), needed);
    let none = Sizes { message: 575, ..enough };
    assert_eq!(findings(&[], none), missing("bytes a message", 576));
}
