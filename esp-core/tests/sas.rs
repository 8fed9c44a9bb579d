//! SAs in their tables: which takes whose place, which move, and what is counted and told.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test these are failures of the test"
)]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/hosts.rs"]
mod hosts;

use esp_core::*;
use hosts::*;

/// Only the SAs of the owner move, and none to an address of the other family.
#[test]
fn a_move_is_for_one_owner_and_one_family() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, _) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, UDP);
    let mut other = params(AES_SHA1, V4, UDP, A + 1, 0x1001);
    other.selectors.local.addresses = Addresses::host(ip("10.1.0.9"));
    a.install_outbound(other, &mut rng()).expect("valid");
    let at = |remote| Outer {
        local: V4.0,
        remote,
        encap: Encap::Udp { local_port: 4500, remote_port: 7777 },
        traffic_class: 0,
        dont_fragment: false,
    };
    let moved = ip("198.51.100.7");
    assert_eq!((a.move_peer(A, at(V6.1)), a.move_peer(A + 2, at(moved))), (0, 0));
    assert_eq!(a.move_peer(A, at(moved)), 1);
    let (own, others) = (udp_v4(64, 0), udp_between(ip("10.1.0.9"), ip("10.2.0.1"), 64));
    for (packet, expected) in [(own, (A, moved)), (others, (A + 1, V4.1))] {
        let verdict = Buffer::new(&packet).outbound(&mut a);
        let Outbound::Send { owner, outer } = verdict else { panic!("{verdict:?}") };
        assert_eq!((owner, outer.remote), expected);
    }
}

/// In tunnel mode the newest SA for the same traffic takes over, wherever the peer is; in transport mode two clients
/// behind one NAT differ in nothing else.
#[test]
fn what_takes_the_place_of_an_outbound_sa() {
    type Change = fn(&mut SaParams);
    let other_port = Encap::Udp { local_port: 4500, remote_port: 7777 };
    let changes: [(Change, bool, bool); 6] = [
        (|_| {}, true, true),
        (|sa| sa.remote = ip("198.51.100.7"), true, false),
        (|sa| sa.encap = Encap::None, true, false),
        (|sa| sa.selectors.remote.ports = PortRange::one(80), false, false),
        (|sa| sa.policy = PolicyId(2), false, false),
        (
            |sa| {
                sa.mode = if sa.mode == Mode::Tunnel { Mode::Transport } else { Mode::Tunnel };
            },
            false,
            false,
        ),
    ];
    for (change, in_tunnel, in_transport) in changes {
        for (mode, replaces) in [(Mode::Tunnel, in_tunnel), (Mode::Transport, in_transport)] {
            let mut tables = Tables::<1, 2, 0>::new();
            let mut a = Processor::new(&mut tables, Settings::DEFAULT);
            let mut sa = |owner, change: Change| {
                let mut sa = params(AES_SHA1, V4, other_port, owner, 0x1000);
                sa.mode = mode;
                change(&mut sa);
                a.install_outbound(sa, &mut rng()).expect("valid");
            };
            sa(A, |_| {});
            sa(A + 1, change);
            let expected: &[u64] = if replaces { &[A + 1] } else { &[A, A + 1] };
            let owners: Vec<_> = a.outbound_sas().map(OutboundSa::owner).collect();
            assert_eq!(owners, expected, "{mode:?}");
        }
    }
}

/// What an SA had to tell is not told of its successor, which lies where it lay.
#[test]
fn a_successor_has_nothing_to_tell() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, _) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let mut limited = params(AES_SHA1, V4, Encap::None, A + 1, 0x3000);
    limited.lifetime.soft.packets = 1;
    a.install_outbound(limited, &mut rng()).expect("valid");
    assert!(matches!(Buffer::new(&udp_v4(64, 0)).outbound(&mut a), Outbound::Send { .. }));
    let successor = params(AES_SHA1, V4, Encap::None, A + 2, 0x3001);
    a.install_outbound(successor, &mut rng()).expect("valid");
    assert_eq!(a.poll_notice(), None);
}

/// Each verdict has its counter, and each reason its own.
#[test]
fn every_verdict_is_counted_once() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let (inner, ike) = (udp_v4(64, 0), udp_ports(V4.0, V4.1, 500, 500, 40));
    let mut sealed = Buffer::new(&inner);
    assert!(matches!(sealed.outbound(&mut a), Outbound::Send { .. }));
    assert_eq!(a.set_mtu(A, 80), 1);
    for _ in 0..2 {
        let too_big = Buffer::new(&udp_v4(64, 0x4000)).outbound(&mut a);
        assert!(matches!(too_big, Outbound::TooBig { .. }));
    }
    assert_eq!(a.remove_owner(A), 2);
    for _ in 0..3 {
        assert!(matches!(Buffer::new(&inner).outbound(&mut a), Outbound::Hold { .. }));
    }
    for _ in 0..4 {
        assert_eq!(Buffer::new(&ike).outbound(&mut a), Outbound::Bypass);
    }
    for _ in 0..5 {
        let nobodys = udp_between(ip("10.9.0.1"), ip("10.9.0.2"), 10);
        let no_policy = Outbound::Discard(Discard::NoPolicy);
        assert_eq!(Buffer::new(&nobodys).outbound(&mut a), no_policy);
    }
    assert_eq!(Buffer::new(&[0; 20]).outbound(&mut a), Outbound::Discard(Discard::Malformed));
    let stats = *a.stats();
    assert_eq!((stats.sent, stats.too_big, stats.held, stats.bypassed), (1, 2, 3, 4));
    assert_eq!(stats.discarded(Discard::NoPolicy), 5);
    assert_eq!(stats.discarded(Discard::Malformed), 1);
    assert_eq!((stats.discarded(Discard::Replay), stats.all_discarded()), (0, 6));

    let mut again = sealed.clone();
    assert!(matches!(sealed.inbound(&mut b, Arrival::Ip), Inbound::Deliver { .. }));
    for _ in 0..2 {
        assert_eq!(again.inbound(&mut b, Arrival::Ip), Inbound::Discard(Discard::Replay));
        assert_eq!(Buffer::new(&ike).inbound(&mut b, Arrival::Ip), Inbound::Bypass);
    }
    let stats = *b.stats();
    assert_eq!((stats.delivered, stats.bypassed, stats.all_discarded()), (1, 2, 2));
    assert_eq!(stats.discarded(Discard::Replay), 2);
}

/// What is written to a log tells which SA it is and how far it has come, and none of its keys.
#[test]
fn debug_output_tells_no_keys() {
    let mut tables = (Tables::new(), Tables::new());
    let (a, _) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let inbound = a.inbound_sas().map(|sa| (format!("{sa:?}"), "InboundSa", 0x2000));
    let outbound = a.outbound_sas().map(|sa| (format!("{sa:?}"), "OutboundSa", 0x1000));
    for (text, name, spi) in inbound.chain(outbound) {
        assert!(text.starts_with(name) && text.contains("packets: 0"), "{text}");
        assert!(text.contains(&format!("spi: Spi(0x{spi:08x})")), "{text}");
        assert!(text.contains("dscp: ALL"), "{text}");
        let keys = params(AES_SHA1, V4, Encap::None, A, spi).keys;
        let key = format!("{:?}", &keys.as_slice()[..4]);
        assert!(!text.contains(key.trim_matches(['[', ']'])), "{text}");
        assert_eq!(format!("{keys:?}"), "KeyMaterial(36 bytes)");
    }
    assert_eq!(format!("{:?}", DscpSet::of(&[46, 8]).expect("valid")), "{8, 46}");
}

/// A status program sees the window, the size of the path, and which SA has come to its end.
#[test]
fn what_an_sa_tells_of_itself() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    assert_eq!(a.set_mtu(A, 1400), 1);
    let once = Limit { packets: 1, ..Limit::NONE };
    let mut limited = params(AES_SHA1, (V4.1, V4.0), Encap::None, B + 1, 0x3000);
    limited.replay_window = 128;
    limited.lifetime = Lifetime { soft: once, hard: once };
    b.install_inbound(limited).expect("valid");
    let twice = Limit { packets: 2, ..Limit::NONE };
    let mut peer = params(AES_SHA1, V4, Encap::None, A + 1, 0x3000);
    peer.lifetime = Lifetime { soft: twice, hard: twice };
    a.install_outbound(peer, &mut rng()).expect("valid");
    assert_eq!(a.set_mtu(A + 1, 1300), 1);
    let ended = |b: &Processor<'_>| {
        b.inbound_sas().map(|sa| (sa.replay_window(), sa.has_ended())).collect::<Vec<_>>()
    };
    for expected in [false, true] {
        let mut buffer = Buffer::new(&udp_v4(64, 0));
        assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
        let _ = buffer.inbound(&mut b, Arrival::Ip);
        assert_eq!(ended(&b), [(64, false), (128, expected)]);
    }
    for expected in [false, true] {
        let told: Vec<_> = a.outbound_sas().map(|sa| (sa.mtu(), sa.has_ended())).collect();
        assert_eq!(told, [(1300, expected)]);
        let third = Buffer::new(&udp_v4(64, 0)).outbound(&mut a);
        assert_eq!(third, Outbound::Hold { policy: PolicyId(1) });
    }
}
