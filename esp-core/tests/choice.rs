//! Which SA a packet goes by where more than its own addresses and ports decide: fragments, ICMP errors, classes of
//! service, and many SAs of one entry.

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

use core::net::IpAddr;

use esp_core::*;
use hosts::*;

const FRAGMENTS: PolicyId = PolicyId(3);
const WEB: PolicyId = PolicyId(4);

fn owner_of(verdict: Outbound) -> Option<u64> {
    match verdict {
        Outbound::Send { owner, .. } => Some(owner),
        _ => None,
    }
}

/// Two gateways that protect UDP to one port, seen from `a`, and what shows no ports, under an SA each.
fn with_an_sa_for_fragments<'t>(
    tables: &'t mut (Memory, Memory),
    networks: (Addresses, Addresses),
) -> (Processor<'t>, Processor<'t>) {
    let selectors = |from_a: bool, ports: PortRange| {
        let (mut near, mut far) =
            (Selector::addresses(networks.0), Selector::addresses(networks.1));
        far.ports = ports;
        if ports == PortRange::OPAQUE {
            near.ports = ports;
        }
        let (local, remote) = if from_a { (near, far) } else { (far, near) };
        TrafficSelectors { local, remote, protocol: Protocol::Number(17) }
    };
    let both = [(FRAGMENTS, PortRange::OPAQUE, 0x1003), (WEB, PortRange::one(2000), 0x1004)];
    let gateway = |tables: &'t mut Memory, from_a| {
        let mut processor = Processor::new(tables, Settings::DEFAULT);
        let entries =
            both.map(|(id, ports, _)| SpdEntry::new(id, selectors(from_a, ports), Policy::PROTECT));
        processor.set_policies(&entries).expect("valid");
        for (id, ports, spi) in both {
            let ends = if from_a { V4 } else { (V4.1, V4.0) };
            let mut sa = params(AES_SHA1, ends, Encap::None, spi.into(), spi);
            (sa.policy, sa.selectors) = (id, selectors(from_a, ports));
            if from_a {
                processor.install_outbound(sa, &mut rng()).expect("valid");
            } else {
                processor.install_inbound(sa).expect("valid");
            }
        }
        processor
    };
    (gateway(&mut tables.0, true), gateway(&mut tables.1, false))
}

/// RFC 4301 §4.4.1.1, §7.2: OPAQUE is what shows no ports, and nothing else.
#[test]
fn opaque_ports_are_those_that_a_packet_does_not_show() {
    let mut tables = (Tables::new(), Tables::new());
    let networks = (subnet("10.1.0.0", 16), subnet("10.2.0.0", 16));
    let (mut a, mut b) = with_an_sa_for_fragments(&mut tables, networks);
    let sealed = |a: &mut Processor<'_>, packet: &[u8]| {
        let mut buffer = Buffer::new(packet);
        (buffer.outbound(a), buffer)
    };
    // Whole, first, later. Fragment offsets count in units of eight bytes.
    for (fragment, spi) in [(0, 0x1004), (0x2000, 0x1004), (0x2010, 0x1003), (0x00b9, 0x1003)] {
        let packet = udp_v4(600, fragment);
        let (verdict, mut buffer) = sealed(&mut a, &packet);
        assert_eq!(owner_of(verdict), Some(spi), "{fragment:#x}");
        assert!(matches!(
            buffer.inbound(&mut b, Arrival::Ip),
            Inbound::Deliver { owner, .. } if owner == spi
        ));
        assert_eq!(buffer.bytes(), packet);
    }
    // RFC 4301 §7.2: not where it could write over the ports that another fragment showed.
    for fragment in [0x2001, 0x0002, 0x000f] {
        let (verdict, _) = sealed(&mut a, &udp_v4(600, fragment));
        assert_eq!(verdict, Outbound::Discard(Discard::Fragment), "{fragment:#x}");
    }
    // Another port, shown: neither entry's.
    let other = udp_ports(ip("10.1.0.1"), ip("10.2.0.1"), 1000, 2001, 64);
    assert_eq!(sealed(&mut a, &other).0, Outbound::Discard(Discard::NoPolicy));
}

/// A peer that does not look where its fragments belong: what could write over ports, and what shows them, is refused
/// behind the SA for what shows none.
#[test]
fn an_sa_for_opaque_ports_lets_nothing_else_in() {
    let mut tables = (Tables::new(), Tables::new());
    let networks = (subnet("10.1.0.0", 16), subnet("10.2.0.0", 16));
    let (_, mut b) = with_an_sa_for_fragments(&mut tables, networks);
    let mut peer =
        OutboundSa::new(params(AES_SHA1, V4, Encap::None, A, 0x1003), &mut rng()).expect("valid");
    for (fragment, expected) in [(0x0010, true), (0x0001, false), (0x000f, false), (0, false)] {
        let packet = udp_v4(600, fragment);
        let mut memory = [&[0; 72][..], &packet, &[0; 49]].concat();
        let mut packet = PacketBuf::new(&mut memory, 72..72 + packet.len()).expect("inside");
        peer.seal(&mut packet).expect("sealed");
        let verdict = b.inbound(&mut packet, Arrival::Ip);
        if expected {
            assert!(matches!(verdict, Inbound::Deliver { .. }), "{fragment:#x} {verdict:?}");
        } else {
            assert_eq!(verdict, Inbound::Discard(Discard::Selectors), "{fragment:#x}");
        }
    }
}

/// Over IPv6 nobody can say from where on a fragment is harmless (RFC 4301 App. D).
#[test]
fn opaque_ports_over_ipv6_and_where_there_are_none() {
    let mut tables = (Tables::new(), Tables::new());
    let networks = (subnet("fd01::", 16), subnet("fd02::", 16));
    let (mut a, _) = with_an_sa_for_fragments(&mut tables, networks);
    let mut later = udp_v6(64);
    later[6] = 44;
    later[40..48].copy_from_slice(&[17, 0, 0, 8, 0, 0, 0, 1]);
    assert_eq!(owner_of(Buffer::new(&later).outbound(&mut a)), Some(0x1003));

    // RFC 4301 §4.4.1: also what has no ports at all.
    let mut a = Tables::<1, 1, 0>::new();
    let mut a = Processor::new(&mut a, Settings::DEFAULT);
    let mut selectors = tunnel_selectors(true);
    (selectors.local.ports, selectors.remote.ports) = (PortRange::OPAQUE, PortRange::OPAQUE);
    a.set_policies(&[SpdEntry::new(PolicyId(1), selectors, Policy::Bypass)]).expect("valid");
    let mut gre = udp_v4(64, 0);
    gre[9] = 47;
    assert_eq!(Buffer::new(&gre).outbound(&mut a), Outbound::Bypass);
    let shown = Buffer::new(&udp_v4(64, 0)).outbound(&mut a);
    assert_eq!(shown, Outbound::Discard(Discard::NoPolicy));
    // RFC 4301 §4.4.2.2: what is not shown cannot be taken from a packet.
    let from_packet = FromPacket { remote_port: true, ..FromPacket::NOTHING };
    let policy = Policy::Protect(Protect { from_packet, tunnel: TunnelOptions::DEFAULT });
    let entry = SpdEntry::new(PolicyId(1), selectors, policy);
    assert_eq!(a.set_policies(&[entry]), Err(InstallError::Selectors(PolicyId(1))));
    assert_eq!(selectors.to_string(), "10.1.0.0/16[opaque] === 10.2.0.0/16[opaque]");
}

/// An ICMP error from `router` about `packet`.
fn too_big(packet: &[u8], router: IpAddr) -> Vec<u8> {
    let mut reply = [0; 1280];
    let len = too_big_reply(packet, 1300, router, &mut reply).expect("may be sent");
    reply[..len].to_vec()
}

/// RFC 4301 §6.2: a router behind `b`, in no network that anybody protects, tells a host behind `a` that its packet was
/// too big. The error goes with the answers to that packet, and nothing else does.
#[test]
fn icmp_errors_go_with_the_answers_to_what_they_quote() {
    for v6 in [false, true] {
        let mut tables = (Tables::new(), Tables::new());
        let (mut a, mut b) = if v6 {
            pair_v6(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None)
        } else {
            pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None)
        };
        let packet = if v6 { udp_v6(1000) } else { udp_v4(1000, 0x4000) };
        let router = ip(if v6 { "fd99::1" } else { "172.16.0.1" });
        let error = too_big(&packet, router);
        let mut buffer = Buffer::new(&error);
        assert_eq!(owner_of(buffer.outbound(&mut b)), Some(B));
        assert!(matches!(buffer.inbound(&mut a, Arrival::Ip), Inbound::Deliver { owner: A, .. }));
        assert_eq!(buffer.bytes(), error);

        // Not with a packet that is none of the SA's, and not to another than its sender.
        let source_at = if v6 { 8 } else { 12 };
        let quote_at = if v6 { 48 } else { 28 };
        let mut foreign = error.clone();
        // Both ends of what is quoted lie elsewhere, and the error goes to its sender.
        foreign[quote_at + source_at + 1] = 0x77;
        foreign[if v6 { 24 } else { 16 } + 1] = 0x77;
        let mut misled = error.clone();
        *misled.get_mut(if v6 { 39 } else { 19 }).expect("there") = 9;
        let mut cut = error.clone();
        cut.truncate(quote_at + 12);
        if v6 {
            cut[4..6].copy_from_slice(&20_u16.to_be_bytes());
        } else {
            cut[2..4].copy_from_slice(&40_u16.to_be_bytes());
        }
        let mut no_error = error.clone();
        no_error[if v6 { 40 } else { 20 }] = if v6 { 128 } else { 8 };
        for (at, other) in [foreign, misled, cut, no_error].into_iter().enumerate() {
            let verdict = Buffer::new(&other).outbound(&mut b);
            assert_eq!(verdict, Outbound::Discard(Discard::NoPolicy));
            // A peer that sends it all the same.
            let mut sa = params(AES_SHA1, (V4.1, V4.0), Encap::None, B, 0x2000);
            sa.selectors = ANY;
            let mut state = OutboundSa::new(sa, &mut rng()).expect("valid");
            let mut memory = [&[0; 72][..], &other, &[0; 49]].concat();
            let mut packet = PacketBuf::new(&mut memory, 72..72 + other.len()).expect("inside");
            // Its numbers begin again: on, beyond those that were used.
            for _ in 0..10 * (at + 1) {
                let mut spare = [0; 200];
                let mut spare = PacketBuf::new(&mut spare, 72..100).expect("inside");
                state.seal_dummy(&mut spare).expect("sealed");
            }
            state.seal(&mut packet).expect("sealed");
            let verdict = a.inbound(&mut packet, Arrival::Ip);
            assert_eq!(verdict, Inbound::Discard(Discard::Selectors), "{at}");
        }
    }
}

/// RFC 4301 §6.2: no SA is made for such an error, and none is sent in clear for it.
#[test]
fn an_icmp_error_asks_for_no_sa() {
    let mut tables = Tables::<2, 1, 4>::new();
    let mut b = Processor::new(&mut tables, Settings::DEFAULT);
    let error = too_big(&udp_v4(1000, 0x4000), ip("172.16.0.1"));
    for policy in [Policy::PROTECT, Policy::Bypass, Policy::Discard] {
        b.set_policies(&[SpdEntry::new(PolicyId(1), tunnel_selectors(false), policy)])
            .expect("valid");
        let verdict = Buffer::new(&error).outbound(&mut b);
        assert!(matches!(verdict, Outbound::Discard(_)), "{policy:?} {verdict:?}");
        assert_eq!(b.poll_notice(), None);
    }
}

/// RFC 4301 §4.1: several SAs with the same selectors, told apart by the class of service; a successor takes the place of
/// that of its class.
#[test]
fn classes_of_service_have_an_sa_each() {
    fn check<const FLOWS: usize>() {
        let mut tables = Tables::<1, 4, FLOWS>::new();
        let mut a = Processor::new(&mut tables, Settings::DEFAULT);
        let entry = SpdEntry::new(PolicyId(1), tunnel_selectors(true), Policy::PROTECT);
        a.set_policies(&[entry]).expect("valid");
        let voice = DscpSet::of(&[46, 44]).expect("valid");
        assert_eq!(DscpSet::of(&[1, 64]), None);
        assert!(DscpSet::of(&[63]).is_some_and(|last| last.contains(0xff) && !last.contains(0xf8)));
        let mut install = |owner: u32, dscp| {
            let mut sa = params(AES_SHA1, V4, Encap::None, owner.into(), 0x1000 + owner);
            sa.dscp = dscp;
            a.install_outbound(sa, &mut rng()).expect("valid");
        };
        install(1, voice);
        install(2, voice.others());
        install(3, voice);
        assert_eq!(a.outbound_sas().count(), 2);
        let mut send = |class: u8| {
            let mut packet = udp_v4(64, 0);
            packet[1] = class;
            set_header_checksum(&mut packet);
            owner_of(Buffer::new(&packet).outbound(&mut a))
        };
        for _ in 0..2 {
            for dscp in 0..64_u8 {
                let owner = if matches!(dscp, 44 | 46) { 3 } else { 2 };
                // Whatever the congestion mark.
                assert_eq!(send(dscp << 2 | dscp & 3), Some(owner), "{dscp}");
            }
        }
        assert_eq!(a.remove_owner(2), 1);
        let mut packet = Buffer::new(&udp_v4(64, 0));
        assert_eq!(packet.outbound(&mut a), Outbound::Hold { policy: PolicyId(1) });
    }
    check::<0>();
    check::<16>();
}

/// Many SAs of one entry, one for each pair of hosts, for one host of either side, and for the networks: a packet takes the
/// one that is most for it.
#[test]
fn the_sa_for_just_these_hosts_goes_first() {
    let mut tables = Tables::<1, 40, 8>::new();
    let mut a = Processor::new(&mut tables, Settings::DEFAULT);
    let entry = SpdEntry::new(PolicyId(1), tunnel_selectors(true), Policy::PROTECT);
    a.set_policies(&[entry]).expect("valid");
    let host = |net: u8, host: u8| Addresses::host(IpAddr::from([10, net, 0, host]));
    let [local, remote] =
        [tunnel_selectors(true).local, tunnel_selectors(true).remote].map(|end| end.addresses);
    let one = IpAddr::from([10, 2, 0, 5]);
    let mut wanted = vec![(local, Addresses::Range { first: one, last: one }, 30)];
    for at in 1..5 {
        wanted.push((host(1, at), remote, u32::from(at)));
        wanted.push((local, host(2, at), 10 + u32::from(at)));
    }
    wanted.push((host(1, 1), host(2, 1), 20));
    wanted.push((local, remote, 21));
    for (local, remote, owner) in &wanted {
        let mut sa = params(AES_SHA1, V4, Encap::None, (*owner).into(), 0x1000 + owner);
        sa.selectors = TrafficSelectors::between(*local, *remote);
        a.install_outbound(sa, &mut rng()).expect("valid");
    }
    let send = |a: &mut Processor<'_>, from: u8, to: u8| {
        let packet = udp_between(IpAddr::from([10, 1, 0, from]), IpAddr::from([10, 2, 0, to]), 9);
        owner_of(Buffer::new(&packet).outbound(a))
    };
    for (from, to, owner) in
        [(1, 1, 20), (1, 2, 12), (2, 1, 11), (3, 9, 3), (9, 4, 14), (9, 9, 21), (9, 5, 30)]
    {
        assert_eq!(send(&mut a, from, to), Some(owner), "{from} {to}");
    }
    // One after the other goes, and the next wider takes over.
    for (gone, next) in [(20, Some(11)), (11, Some(1)), (1, Some(21)), (21, None)] {
        let spi = Spi::new(0x1000 + gone).expect("valid");
        assert!(a.remove_outbound(PolicyId(1), spi) && !a.remove_outbound(PolicyId(1), spi));
        assert_eq!(send(&mut a, 1, 1), next);
    }
    assert_eq!(send(&mut a, 2, 2), Some(12));
}

/// What a status program shows of an SA.
#[test]
fn an_sa_tells_what_it_is() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, UDP);
    assert_eq!(a.set_mtu(A, 1400), 1);
    let moved = Outer {
        local: V4.0,
        remote: ip("198.51.100.7"),
        encap: Encap::Udp { local_port: 4500, remote_port: 7777 },
        traffic_class: 0,
        dont_fragment: false,
    };
    assert_eq!(a.move_peer(A, moved), 1);
    let sa = a.outbound_sas().next().expect("one");
    let Association { spi, mode, local, remote, encap, transform, selectors, .. } =
        *sa.association();
    assert_eq!((spi, mode, local, remote), (sa.spi(), Mode::Tunnel, V4.0, moved.remote));
    assert_eq!((encap, transform, selectors), (moved.encap, AES_SHA1, tunnel_selectors(true)));
    assert_eq!((sa.mtu(), sa.has_ended()), (1400, false));
    let sa = b.inbound_sas().next().expect("one");
    assert_eq!((sa.association().owner, sa.association().policy), (B, PolicyId(1)));
    assert_eq!((sa.replay_window(), sa.has_ended()), (64, false));
    let (own, other) = (Spi::new(0x1000).expect("valid"), Spi::new(0x1001).expect("valid"));
    assert_eq!(b.inbound_sa(own).map(InboundSa::owner), Some(B));
    assert!(b.spi_in_use(own) && !b.spi_in_use(other) && b.inbound_sa(other).is_none());
}
