//! What leaves, what comes in, and what must not: the access list on every way through.

use std::collections::BTreeMap;

use chacha20::ChaCha20Rng;
use esp_core::*;
use rand_core::{Rng as _, SeedableRng as _};

use crate::forge::*;
use crate::hosts::*;

/// KAME: packets that were forwarded escaped the list. Own, forwarded and decapsulated packets all meet it, in both
/// directions: where it says discard, protect or nothing, none of them passes.
#[test]
fn cve_2002_0414_forwarded_packets_meet_the_list() {
    let own = V4.0;
    let packets = [
        udp_between(own, ip("198.51.100.9"), 20),
        udp_between(ip("198.51.100.9"), own, 20),
        udp_between(ip("10.1.0.1"), ip("10.2.0.1"), 20),
        udp_between(ip("198.51.100.9"), ip("203.0.113.5"), 20),
        udp_v6(20),
        ip_packet(ip("10.1.0.1"), ip("10.2.0.1"), 47, &[0; 9]),
    ];
    let one = |policy| vec![SpdEntry::new(PolicyId(1), ANY, policy)];
    let lists = [vec![], one(Policy::Discard), one(Policy::PROTECT)];
    for list in lists {
        let mut tables = Tables::<1, 1, 4>::new();
        let mut a = Processor::new(&mut tables, Settings::DEFAULT);
        a.set_policies(&list).expect("valid");
        for packet in &packets {
            let mut buffer = Buffer::new(packet);
            let leaves =
                matches!(buffer.outbound(&mut a), Outbound::Send { .. } | Outbound::Bypass);
            let verdict = buffer.inbound(&mut a, Arrival::Ip);
            assert!(!leaves && matches!(verdict, Inbound::Discard(_)), "{list:?} {packet:02x?}");
            assert_eq!(buffer.bytes(), packet);
        }
    }
    // And what came out of an SA is looked up again: the list has changed since the SA was installed.
    let mut tables = Memory::new();
    let mut b = receiver(&mut tables, Mode::Tunnel, ANY);
    let inner = udp_v4(20, 0);
    let mut sequence = 0;
    let mut arrives = |b: &mut Processor<'_>| {
        sequence += 1;
        Buffer::new(&forged(sequence, &inner, 4)).inbound(b, Arrival::Esp(OUTER))
    };
    assert!(matches!(arrives(&mut b), Inbound::Deliver { .. }));
    for (list, expected) in [
        (vec![], Discard::NoPolicy),
        (one(Policy::Discard), Discard::Selectors),
        (one(Policy::Bypass), Discard::Selectors),
        (vec![SpdEntry::new(PolicyId(2), ANY, Policy::PROTECT)], Discard::Selectors),
    ] {
        b.set_policies(&list).expect("valid");
        assert_eq!(arrives(&mut b), Inbound::Discard(expected), "{list:?}");
    }
}

/// Mac OS X: a policy for one port protected, or opened, them all. The whole small model: two ends, protocols, ports.
#[test]
fn cve_2003_0242_ports_and_protocols_match_exactly() {
    let mut tables = Tables::<2, 1, 8>::new();
    let mut a = Processor::new(&mut tables, Settings::DEFAULT);
    let ports = [PortRange::ANY, PortRange::one(1000), PortRange { first: 1999, last: 2001 }];
    for protocol in [Protocol::Any, Protocol::Number(17), Protocol::Number(6)] {
        for local in ports {
            for remote in ports {
                let selectors = TrafficSelectors {
                    local: Selector { addresses: subnet("10.1.0.0", 16), ports: local },
                    remote: Selector { addresses: subnet("10.2.0.0", 16), ports: remote },
                    protocol,
                };
                a.set_policies(&[SpdEntry::new(PolicyId(1), selectors, Policy::Bypass)])
                    .expect("valid");
                for (source, destination) in
                    [(1000, 2000), (1000, 2002), (2000, 1000), (999, 1998), (1999, 2001)]
                {
                    let packet = udp_ports(ip("10.1.3.4"), ip("10.2.3.4"), source, destination, 8);
                    let back = udp_ports(ip("10.2.3.4"), ip("10.1.3.4"), destination, source, 8);
                    let inside =
                        |range: PortRange, port| (range.first..=range.last).contains(&port);
                    let expected = protocol != Protocol::Number(6)
                        && inside(local, source)
                        && inside(remote, destination);
                    // Twice: the second time the flow is remembered.
                    for _ in 0..2 {
                        let leaves = Buffer::new(&packet).outbound(&mut a) == Outbound::Bypass;
                        let enters =
                            Buffer::new(&back).inbound(&mut a, Arrival::Ip) == Inbound::Bypass;
                        assert_eq!(
                            (leaves, enters),
                            (expected, expected),
                            "{selectors:?} {source}"
                        );
                    }
                }
            }
        }
    }
}

/// Linux: what should have gone through a tunnel left in clear (row 110), an SA was found after its removal (row 109), and
/// plaintext left while an SA was replaced (I25). A hundred thousand steps of traffic, changes of policy, installations,
/// removals and expiries, against a list that is walked by hand.
#[test]
fn cve_2020_1749_nothing_leaves_in_clear_whatever_happens() {
    let mut random = ChaCha20Rng::seed_from_u64(1749);
    let mut pick = |below: u32| random.next_u32() % below;
    let host = |net: u32, host: u32| ip(&format!("10.{net}.0.{host}"));
    // Any two lines may stand in any order; each protects, bypasses or discards.
    let lines = [
        tunnel_selectors(true),
        TrafficSelectors::between(Addresses::host(host(1, 1)), subnet("10.0.0.0", 8)),
        TrafficSelectors { protocol: Protocol::Number(17), ..tunnel_selectors(true) },
        TrafficSelectors::between(Addresses::Any, subnet("10.2.0.0", 30)),
    ];
    let mut tables = Tables::<4, 6, 3>::new();
    let mut a = Processor::new(&mut tables, Settings::DEFAULT);
    let mut list: Vec<SpdEntry> = Vec::new();
    // Policy and packets left of the SAs that are installed, by owner.
    let mut installed: BTreeMap<u64, (PolicyId, u64)> = BTreeMap::new();
    let (mut sent, mut bypassed, mut held) = (0, 0, 0);
    for step in 0..100_000_u64 {
        match pick(40) {
            0 => {
                list.clear();
                for _ in 0..pick(4) {
                    let at = pick(4);
                    let policies =
                        [Policy::PROTECT, Policy::PROTECT, Policy::Bypass, Policy::Discard];
                    if list.iter().all(|entry| entry.id != PolicyId(at)) {
                        let policy = policies[pick(4) as usize];
                        list.push(SpdEntry::new(PolicyId(at), lines[at as usize], policy));
                    }
                }
                a.set_policies(&list).expect("valid");
            }
            1..3 => {
                let at = pick(4);
                let mut sa = params(AES_SHA1, V4, Encap::None, step, 0x1000 + step as u32);
                (sa.policy, sa.selectors) = (PolicyId(at), lines[at as usize]);
                let life = u64::from(1 + pick(12));
                (sa.lifetime.soft.packets, sa.lifetime.hard.packets) = (life, life);
                if a.install_outbound(sa, &mut rng()).is_ok() {
                    // It takes the place of the one before it.
                    installed.retain(|_, (policy, _)| *policy != PolicyId(at));
                    installed.insert(step, (PolicyId(at), life));
                }
            }
            3 => {
                let nth = pick(6) as usize;
                if let Some(owner) = installed.keys().nth(nth).copied() {
                    assert_eq!(a.remove_owner(owner), 1);
                    installed.remove(&owner);
                    assert_eq!(a.export_outbound(owner, 1, 1), None);
                }
                assert_eq!(a.outbound_sas().count(), installed.len());
            }
            _ => {
                let (from, to) = (host(1 + pick(2), pick(6)), host(1 + pick(2), pick(6)));
                let protocol = [17, 17, 47][pick(3) as usize];
                let packet = ip_packet(from, to, protocol, &[9; 30]);
                let entry = list.iter().find(|entry| {
                    let TrafficSelectors { local, remote, protocol: number } = entry.selectors;
                    local.addresses.contains(from)
                        && remote.addresses.contains(to)
                        && (number == Protocol::Any || number == Protocol::Number(protocol))
                });
                let mut buffer = Buffer::new(&packet);
                let verdict = buffer.outbound(&mut a);
                match entry.map(|entry| (entry.id, entry.policy)) {
                    None => assert_eq!(verdict, Outbound::Discard(Discard::NoPolicy)),
                    Some((_, Policy::Discard)) => {
                        assert_eq!(verdict, Outbound::Discard(Discard::Policy));
                    }
                    Some((_, Policy::Bypass)) => {
                        assert_eq!(verdict, Outbound::Bypass);
                        bypassed += 1;
                    }
                    Some((id, Policy::Protect(_))) => {
                        let sa = installed
                            .iter_mut()
                            .find(|(_, (policy, left))| *policy == id && *left > 0);
                        if let Some((owner, (_, left))) = sa {
                            assert!(
                                matches!(verdict, Outbound::Send { owner: by, .. } if by == *owner)
                            );
                            *left -= 1;
                            sent += 1;
                        } else {
                            assert_eq!(verdict, Outbound::Hold { policy: id });
                            held += 1;
                        }
                    }
                }
                let sealed = matches!(verdict, Outbound::Send { .. });
                assert_eq!(sealed, buffer.bytes() != packet);
                assert!(!sealed || !contains(buffer.bytes(), &packet[20..]));
            }
        }
    }
    assert!(sent > 4_000 && bypassed > 4_000 && held > 4_000, "{sent} {bypassed} {held}");
}

/// Linux: an SA, or what referred to it, outlived its removal. By every door nothing of it is found, and a table of
/// four is never full of what was removed.
#[test]
fn cve_2026_46172_what_was_removed_is_gone() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let inner = udp_v4(64, 0);
    for round in 0..10_000_u32 {
        let (old, new) = (0x1000 + round, 0x1001 + round);
        let mut buffer = Buffer::new(&inner);
        assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }), "{round}");
        let sealed = buffer.bytes().to_vec();
        assert!(matches!(buffer.inbound(&mut b, Arrival::Ip), Inbound::Deliver { .. }));
        let spi = Spi::new(old).expect("not reserved");
        if round % 2 == 0 {
            assert!(b.remove_inbound(spi) && !b.remove_inbound(spi));
            assert!(a.remove_outbound(PolicyId(1), spi) && !a.remove_outbound(PolicyId(1), spi));
        } else {
            let of_b = b.inbound_sas().find(|sa| sa.spi() == spi).expect("installed").owner();
            let of_a = a.outbound_sas().find(|sa| sa.spi() == spi).expect("installed").owner();
            assert!(b.remove_owner(of_b) >= 1 && b.remove_owner(of_b) == 0);
            assert!(a.remove_owner(of_a) >= 1 && a.remove_owner(of_a) == 0);
        }
        let verdict = Buffer::new(&sealed).inbound(&mut b, Arrival::Ip);
        assert_eq!(verdict, Inbound::Discard(Discard::UnknownSpi));
        let verdict = Buffer::new(&inner).outbound(&mut a);
        assert_eq!(verdict, Outbound::Hold { policy: PolicyId(1) });
        let mut error = [0; 576];
        let len = too_big_reply(&sealed, 1400, V4.0, &mut error).expect("may be sent");
        assert_eq!(a.icmp_error(&error[..len]), None);
        b.install_inbound(params(AES_SHA1, (V4.1, V4.0), Encap::None, u64::from(new), new))
            .expect("room");
        a.install_outbound(params(AES_SHA1, V4, Encap::None, u64::from(new), new), &mut rng())
            .expect("room");
    }
}
