//! Two endpoints face to face: main mode and quick mode come up, agree on keys, renew and go down.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use core::net::{IpAddr, SocketAddr};

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use esp_core::{Addresses, BlockCipher, Integrity, Mode, PolicyId, TrafficSelectors, Transform};
use ike_core::config::{
    ChildConfig, ChildId, Config, EspProposal, Identity, Lifetime, Limits, NatTraversal,
    PeerConfig, PeerId, Phase1Cipher, Phase1Mode, Phase1Proposal, RemoteAddress, RemoteId, Secret,
    Timing,
};
use ike_core::error::{Discard, Error, Failure, Refusal};
use ike_core::event::{DownReason, Event};
use ike_core::wire::numbers::{GroupDescription, HashAlgorithm, IdType, NotifyType};
use ike_core::{Context, Endpoint, Instant, Path, Resources, Work, natt};

const A: &str = "192.0.2.1:500";
const B: &str = "192.0.2.2:500";

fn selectors(local: &str, remote: &str) -> TrafficSelectors {
    let subnet = |text: &str| Addresses::Subnet { network: text.parse().unwrap(), prefix: 24 };
    TrafficSelectors::between(subnet(local), subnet(remote))
}

const PHASE1: &[Phase1Proposal] = &[Phase1Proposal {
    cipher: Phase1Cipher::AesCbc(128),
    hash: HashAlgorithm::SHA2_256,
    group: GroupDescription::CURVE25519,
}];

const PHASE2: &[EspProposal] = &[EspProposal {
    transform: Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha256_128),
    esn: false,
}];

fn child(local: &str, remote: &str, pfs: bool) -> ChildConfig<'static> {
    ChildConfig {
        id: ChildId(1),
        policy: PolicyId(7),
        selectors: selectors(local, remote),
        mode: Mode::Tunnel,
        proposals: PHASE2,
        pfs: pfs.then_some(GroupDescription::CURVE25519),
        lifetime: Lifetime::PHASE2,
        replay_window: 64,
    }
}

struct Host<'s> {
    endpoint: Endpoint<'s>,
    rng: ChaCha20Rng,
    events: Vec<Event>,
    inbound: Vec<esp_core::SaParams>,
    outbound: Vec<esp_core::SaParams>,
    /// Lengths of what was sent.
    lengths: Vec<usize>,
}

impl<'s> Host<'s> {
    fn new(resources: &'s mut Resources<4, 8, 8, 1536>, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let endpoint = Endpoint::new(resources.storage(), &mut rng).unwrap();
        Self { endpoint, rng, events: vec![], inbound: vec![], outbound: vec![], lengths: vec![] }
    }

    /// Runs until there is nothing more to do now, and returns what is to be sent.
    fn turn(&mut self, now: Instant, config: &Config<'_>) -> Vec<(Path, Vec<u8>)> {
        let mut cx = Context { now, rng: &mut self.rng, config };
        self.endpoint.handle_timeout(&mut cx);
        while self.endpoint.handle_work(&mut cx, 64) == Work::More {}
        while let Some(event) = self.endpoint.poll_event() {
            match event {
                Event::ChildSaReady { child, .. } => {
                    self.inbound.push(self.endpoint.take_inbound(child).unwrap());
                }
                Event::ChildSaOutbound { child } => {
                    self.outbound.push(self.endpoint.take_outbound(child).unwrap());
                }
                _ => {}
            }
            self.events.push(event);
        }
        let mut sent = vec![];
        while let Some(transmit) = self.endpoint.poll_transmit() {
            self.lengths.push(transmit.datagram.len());
            sent.push((transmit.path, transmit.datagram.to_vec()));
        }
        sent
    }
}

fn mirror(path: Path) -> Path {
    Path { local: path.remote, remote: path.local, encap: path.encap }
}

/// Lets both talk until they are silent, then moves the clock on, up to `until`.
fn run<'s>(
    now: &mut u64,
    until: u64,
    a: &mut Host<'s>,
    b: &mut Host<'s>,
    config_a: &Config<'_>,
    config_b: &Config<'_>,
) {
    loop {
        let mut quiet = true;
        for from_a in [true, false] {
            let (host, config) = if from_a { (&mut *a, config_a) } else { (&mut *b, config_b) };
            let sent = host.turn(Instant::from_millis(*now), config);
            let (other, config) = if from_a { (&mut *b, config_b) } else { (&mut *a, config_a) };
            for (path, mut datagram) in sent {
                quiet = false;
                let bytes = if path.encap {
                    match natt::classify(&mut datagram) {
                        natt::Classified::Ike(message) => message,
                        natt::Classified::Keepalive => continue,
                        other => panic!("{other:?}"),
                    }
                } else {
                    &mut datagram[..]
                };
                let mut cx =
                    Context { now: Instant::from_millis(*now), rng: &mut other.rng, config };
                other.endpoint.handle_datagram(&mut cx, mirror(path), bytes).unwrap();
            }
        }
        if !quiet && *now <= until {
            continue;
        }
        let next = [a.endpoint.poll_timeout(), b.endpoint.poll_timeout()];
        match next.into_iter().flatten().min() {
            Some(at) if at.as_millis() <= until => *now = (*now).max(at.as_millis()),
            _ => return,
        }
    }
}

fn pair(
    pfs: bool,
    test: impl for<'s> FnOnce(&mut Host<'s>, &mut Host<'s>, &Config<'_>, &Config<'_>),
) {
    pair_with(pfs, |_| (), test);
}

/// A pair whose peers are configured alike, and changed by `change`.
fn pair_with(
    pfs: bool,
    change: impl Fn(&mut PeerConfig<'_>),
    test: impl for<'s> FnOnce(&mut Host<'s>, &mut Host<'s>, &Config<'_>, &Config<'_>),
) {
    let (child_a, child_b) =
        ([child("10.1.0.0", "10.2.0.0", pfs)], [child("10.2.0.0", "10.1.0.0", pfs)]);
    pair_of(&child_a, &child_b, change, test);
}

fn pair_of(
    child_a: &[ChildConfig<'_>],
    child_b: &[ChildConfig<'_>],
    change: impl Fn(&mut PeerConfig<'_>),
    test: impl for<'s> FnOnce(&mut Host<'s>, &mut Host<'s>, &Config<'_>, &Config<'_>),
) {
    let (addr_a, addr_b): (IpAddr, IpAddr) =
        ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
    let psk = Secret::Bytes(b"interop-psk-0123456789");
    let mut peers_a = [PeerConfig::new(PeerId(1), addr_a, addr_b, psk, PHASE1, child_a)];
    let mut peers_b = [PeerConfig::new(PeerId(1), addr_b, addr_a, psk, PHASE1, child_b)];
    change(&mut peers_a[0]);
    change(&mut peers_b[0]);
    let config_a = Config {
        peers: &peers_a,
        crypto: &ike_core::crypto::SOFTWARE,
        timing: Timing::DEFAULT,
        limits: Limits::DEFAULT,
    };
    let config_b = Config { peers: &peers_b, ..config_a };
    let (mut memory_a, mut memory_b) = (Resources::new(), Resources::new());
    let (mut a, mut b) = (Host::new(&mut memory_a, 1), Host::new(&mut memory_b, 2));
    test(&mut a, &mut b, &config_a, &config_b);
}

fn path() -> Path {
    let (local, remote): (SocketAddr, SocketAddr) = (A.parse().unwrap(), B.parse().unwrap());
    Path { local, remote, encap: false }
}

fn begin(a: &mut Host<'_>, config: &Config<'_>) {
    let mut cx = Context { now: Instant::ZERO, rng: &mut a.rng, config };
    a.endpoint.create_child(&mut cx, PeerId(1), ChildId(1), path()).unwrap();
}

fn assert_same_keys(a: &Host<'_>, b: &Host<'_>) {
    assert_eq!(a.inbound.len(), b.outbound.len());
    assert_eq!(a.outbound.len(), b.inbound.len());
    for (from, to) in [(&a.inbound, &b.outbound), (&b.inbound, &a.outbound)] {
        for inbound in from {
            let outbound = to.iter().find(|sa| sa.spi == inbound.spi).expect("both directions");
            assert_eq!(inbound.keys.as_slice(), outbound.keys.as_slice());
            assert_eq!(inbound.keys.as_slice().len(), inbound.transform.key_material_len());
        }
    }
}

#[test]
fn comes_up_in_both_roles_with_and_without_pfs() {
    for pfs in [false, true] {
        pair(pfs, |a, b, config_a, config_b| {
            begin(a, config_a);
            let mut now = 0;
            run(&mut now, 10_000, a, b, config_a, config_b);
            assert_eq!((a.inbound.len(), b.inbound.len()), (1, 1), "{:?} {:?}", a.events, b.events);
            assert_same_keys(a, b);
            assert!(matches!(a.events[0], Event::IkeSaUp { .. }));
            assert!(matches!(b.events[0], Event::IkeSaUp { .. }));
        });
    }
}

#[test]
fn aggressive_mode_comes_up_where_it_is_allowed() {
    for force_nat in [false, true] {
        let change = |peer: &mut PeerConfig<'_>| {
            peer.exchange = Phase1Mode::Aggressive;
            peer.danger_answer_aggressive_psk = true;
            if force_nat {
                peer.nat_traversal = NatTraversal::Force;
            }
        };
        pair_with(true, change, |a, b, config_a, config_b| {
            begin(a, config_a);
            let mut now = 0;
            run(&mut now, 10_000, a, b, config_a, config_b);
            assert_eq!((a.inbound.len(), b.inbound.len()), (1, 1), "{:?} {:?}", a.events, b.events);
            assert_same_keys(a, b);
            for sa in a.inbound.iter().chain(&b.inbound) {
                assert_eq!(sa.encap != esp_core::Encap::None, force_nat);
            }
        });
    }
}

#[test]
fn aggressive_mode_is_refused_unless_it_is_allowed() {
    let change = |peer: &mut PeerConfig<'_>| peer.exchange = Phase1Mode::Aggressive;
    pair_with(false, change, |a, b, config_a, config_b| {
        begin(a, config_a);
        let message = a.turn(Instant::ZERO, config_a).remove(0);
        let mut cx = Context { now: Instant::ZERO, rng: &mut b.rng, config: config_b };
        let mut datagram = message.1;
        let refused = b.endpoint.handle_datagram(&mut cx, mirror(message.0), &mut datagram);
        assert_eq!(refused, Err(Discard::Refused(Refusal::AggressiveMode)));
        assert_eq!(b.endpoint.ike_sas().count(), 0);
    });
}

#[test]
fn forced_nat_traversal_moves_to_port_4500() {
    let change = |peer: &mut PeerConfig<'_>| peer.nat_traversal = NatTraversal::Force;
    pair_with(false, change, |a, b, config_a, config_b| {
        begin(a, config_a);
        let mut now = 0;
        run(&mut now, 10_000, a, b, config_a, config_b);
        for host in [&*a, &*b] {
            let sa = host.endpoint.ike_sas().next().unwrap();
            assert_eq!((sa.path.local.port(), sa.path.remote.port()), (4500, 4500));
            assert!(sa.path.encap);
            let udp = esp_core::Encap::Udp { local_port: 4500, remote_port: 4500 };
            assert_eq!(host.inbound[0].encap, udp);
        }
        assert_same_keys(a, b);
    });
}

#[test]
fn large_messages_go_in_fragments() {
    pair(true, |a, b, config_a, config_b| {
        let limits = Limits { datagram: 100, ..Limits::DEFAULT };
        let (config_a, config_b) =
            (&Config { limits, ..*config_a }, &Config { limits, ..*config_b });
        begin(a, config_a);
        let mut now = 0;
        run(&mut now, 10_000, a, b, config_a, config_b);
        assert_eq!((a.inbound.len(), b.inbound.len()), (1, 1), "{:?} {:?}", a.events, b.events);
        assert_same_keys(a, b);
        // Once both have announced it, nothing is longer than allowed.
        assert!(a.lengths[1..].iter().all(|len| *len <= 100), "{:?}", a.lengths);
        assert!(a.lengths.len() > 8, "{:?}", a.lengths);
    });
}

#[test]
fn transport_mode_with_and_without_nat() {
    for force_nat in [false, true] {
        let hosts = |local: &str, remote: &str| {
            let host = |text: &str| Addresses::host(text.parse().unwrap());
            let selectors = TrafficSelectors::between(host(local), host(remote));
            ChildConfig { selectors, mode: Mode::Transport, ..child("10.1.0.0", "10.2.0.0", false) }
        };
        // Behind a NAT an end knows itself by another address than the peer does.
        let own_a = if force_nat { "10.9.9.9" } else { "192.0.2.1" };
        let child_a = [hosts(own_a, "192.0.2.2")];
        let child_b = [hosts("192.0.2.2", "192.0.2.1")];
        let change = |peer: &mut PeerConfig<'_>| {
            if force_nat {
                peer.nat_traversal = NatTraversal::Force;
            }
        };
        pair_of(&child_a, &child_b, change, |a, b, config_a, config_b| {
            begin(a, config_a);
            let mut now = 0;
            run(&mut now, 10_000, a, b, config_a, config_b);
            assert_same_keys(a, b);
            assert_eq!(a.inbound.len(), 1, "{:?} {:?}", a.events, b.events);
            assert!(a.inbound.iter().all(|sa| sa.selectors == child_a[0].selectors));
            assert!(b.inbound.iter().all(|sa| sa.selectors == child_b[0].selectors));
            for sa in a.inbound.iter().chain(&b.inbound) {
                assert_eq!(sa.mode, Mode::Transport);
                assert_eq!(sa.encap != esp_core::Encap::None, force_nat);
            }
        });
    }
}

#[test]
fn a_responder_with_another_identity_is_refused_and_told() {
    let change = |peer: &mut PeerConfig<'_>| {
        if peer.remote == RemoteAddress::Host("192.0.2.2".parse().unwrap()) {
            peer.remote_id = RemoteId::Exactly(Identity::Fqdn("somebody.else"));
        }
    };
    pair_with(false, change, |a, b, config_a, config_b| {
        begin(a, config_a);
        // Message 6 is refused by `a`, so the pair is driven by hand.
        let mut now = 0;
        for _ in 0..40 {
            for from_a in [true, false] {
                let (host, config) = if from_a { (&mut *a, config_a) } else { (&mut *b, config_b) };
                let sent = host.turn(Instant::from_millis(now), config);
                let (other, config) =
                    if from_a { (&mut *b, config_b) } else { (&mut *a, config_a) };
                for (path, mut datagram) in sent {
                    let now = Instant::from_millis(now);
                    let mut cx = Context { now, rng: &mut other.rng, config };
                    let _ = other.endpoint.handle_datagram(&mut cx, mirror(path), &mut datagram);
                }
            }
            now += 100;
        }
        let reason = a.events.iter().find_map(|event| match event {
            Event::Failed { reason, .. } => Some(*reason),
            _ => None,
        });
        let refused = Error::Refused(Refusal::Identity(IdType::IPV4_ADDR));
        assert_eq!(reason, Some(Failure::Error(refused)));
        assert_eq!(a.endpoint.ike_sas().count(), 0);
        assert_eq!(b.endpoint.ike_sas().count(), 0, "{:?}", b.events);
    });
}

#[test]
fn a_refusal_in_the_clear_is_a_hint_and_no_more() {
    let change = |peer: &mut PeerConfig<'_>| {
        if peer.remote == RemoteAddress::Host("192.0.2.1".parse().unwrap()) {
            peer.remote = RemoteAddress::Host("192.0.2.99".parse().unwrap());
        }
    };
    pair_with(false, change, |a, b, config_a, config_b| {
        begin(a, config_a);
        let (to_b, mut first) = a.turn(Instant::ZERO, config_a).remove(0);
        let mut cx = Context { now: Instant::ZERO, rng: &mut b.rng, config: config_b };
        let refused = b.endpoint.handle_datagram(&mut cx, mirror(to_b), &mut first);
        assert_eq!(refused, Err(Discard::Refused(Refusal::NoPeer)));
        let (to_a, answer) = b.turn(Instant::ZERO, config_b).remove(0);
        assert!(answer.len() <= first.len());
        for _ in 0..3 {
            let mut cx = Context { now: Instant::ZERO, rng: &mut a.rng, config: config_a };
            let hint = a.endpoint.handle_datagram(&mut cx, mirror(to_a), &mut answer.clone());
            assert_eq!(hint, Err(Discard::Hint(NotifyType::NO_PROPOSAL_CHOSEN)));
        }
        assert_eq!(a.endpoint.ike_sas().count(), 1, "the exchange goes on");
        a.turn(Instant::ZERO, config_a);
        let hints = a.events.iter().filter(|event| matches!(event, Event::Hint { .. })).count();
        assert_eq!(hints, 1, "one a second: {:?}", a.events);
    });
}

#[test]
fn a_child_is_renewed_before_it_ends() {
    pair(false, |a, b, config_a, config_b| {
        begin(a, config_a);
        let mut now = 0;
        run(&mut now, 3_600_000, a, b, config_a, config_b);
        assert_eq!((a.inbound.len(), b.inbound.len()), (2, 2), "{:#?}", a.events);
        assert_same_keys(a, b);
        let down = |event: &&Event| matches!(event, Event::ChildSaDown { .. });
        assert_eq!(a.events.iter().filter(down).count(), 1);
        assert_eq!(b.events.iter().filter(down).count(), 1);
    });
}

#[test]
fn an_ike_sa_is_renewed_and_its_children_live_on() {
    pair(true, |a, b, config_a, config_b| {
        begin(a, config_a);
        let mut now = 0;
        run(&mut now, 3 * 28_800_000, a, b, config_a, config_b);
        for host in [&*a, &*b] {
            assert_eq!(host.endpoint.ike_sas().count(), 1);
            assert_eq!(host.endpoint.child_sas().count(), 1);
        }
        let replaced = a.events.iter().filter(|event| matches!(event, Event::IkeSaReplaced { .. }));
        assert!(replaced.count() >= 3);
        assert_same_keys(a, b);
    });
}

#[test]
fn deletes_may_overtake_each_other_and_some_may_be_lost() {
    for lost in 0..2 {
        pair(false, |a, b, config_a, config_b| {
            begin(a, config_a);
            let mut now = 0;
            run(&mut now, 10_000, a, b, config_a, config_b);
            let ike = a.endpoint.ike_sas().next().unwrap().handle;
            let at = Instant::from_millis(now);
            let mut cx = Context { now: at, rng: &mut a.rng, config: config_a };
            a.endpoint.delete_ike(&mut cx, ike).unwrap();
            let mut deletes = a.turn(at, config_a);
            assert_eq!(deletes.len(), 3, "the children's twice, the IKE SA's once");
            deletes.remove(lost);
            for (path, mut datagram) in deletes.into_iter().rev() {
                let mut cx = Context { now: at, rng: &mut b.rng, config: config_b };
                b.endpoint.handle_datagram(&mut cx, mirror(path), &mut datagram).unwrap();
            }
            let until = now + 60_000;
            run(&mut now, until, a, b, config_a, config_b);
            assert_eq!(b.endpoint.ike_sas().count(), 0);
            assert_eq!(b.endpoint.child_sas().count(), 0);
        });
    }
}

#[test]
fn an_ike_sa_outlives_a_successor_that_ends_first() {
    pair(false, |a, b, config_a, config_b| {
        begin(a, config_a);
        let mut now = 0;
        run(&mut now, 10_000, a, b, config_a, config_b);
        let old = a.endpoint.ike_sas().next().unwrap().handle;
        let at = Instant::from_millis(now);
        let mut cx = Context { now: at, rng: &mut a.rng, config: config_a };
        a.endpoint.rekey_ike(&mut cx, old).unwrap();
        let until = now + 1_000;
        run(&mut now, until, a, b, config_a, config_b);
        assert_eq!(a.endpoint.ike_sas().count(), 2);
        let new = b.endpoint.ike_sas().max_by_key(|sa| sa.expires_at).unwrap().handle;
        let at = Instant::from_millis(now);
        let mut cx = Context { now: at, rng: &mut b.rng, config: config_b };
        b.endpoint.delete_ike(&mut cx, new).unwrap();
        let until = now + 120_000;
        run(&mut now, until, a, b, config_a, config_b);
        // The old one was not deleted at the end of the overlap, as nothing had taken its place any more.
        for host in [&*a, &*b] {
            assert!(host.endpoint.ike_sas().count() >= 1, "{:?}", host.events);
        }
    });
}

#[cfg(feature = "legacy")]
#[test]
fn hmac_sha2_256_is_cut_where_the_peer_needs_it() {
    let change = |peer: &mut PeerConfig<'_>| peer.quirks.sha256_96 = true;
    pair_with(false, change, |a, b, config_a, config_b| {
        begin(a, config_a);
        let mut now = 0;
        run(&mut now, 10_000, a, b, config_a, config_b);
        assert_same_keys(a, b);
        let cut = Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha256_96);
        for sa in a.inbound.iter().chain(&a.outbound).chain(&b.inbound).chain(&b.outbound) {
            assert_eq!(sa.transform, cut);
        }
        assert_eq!(a.inbound.len(), 1);
    });
}

#[test]
fn deleting_takes_everything_down_on_both_sides() {
    pair(false, |a, b, config_a, config_b| {
        begin(a, config_a);
        let mut now = 0;
        run(&mut now, 10_000, a, b, config_a, config_b);
        let ike = a.endpoint.ike_sas().next().unwrap().handle;
        let mut cx = Context { now: Instant::from_millis(now), rng: &mut a.rng, config: config_a };
        a.endpoint.delete_ike(&mut cx, ike).unwrap();
        let until = now + 60_000;
        run(&mut now, until, a, b, config_a, config_b);
        for host in [&*a, &*b] {
            assert_eq!(host.endpoint.ike_sas().count(), 0);
            assert_eq!(host.endpoint.child_sas().count(), 0);
            assert_eq!(host.endpoint.poll_timeout(), None);
        }
        let down = |host: &Host<'_>| {
            host.events.iter().find_map(|event| match event {
                Event::ChildSaDown { config, reason, .. } => Some((*config, *reason)),
                _ => None,
            })
        };
        assert_eq!(down(a), Some((ChildId(1), DownReason::Requested)));
        assert_eq!(down(b), Some((ChildId(1), DownReason::PeerDeleted)));
    });
}
