//! The access list (RFC 4301 §4.4.1): what an entry matches, what it asks for, and changing it.

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

/// Asks for an SA and gives the selectors it wants.
fn wanted(entry: SpdEntry, packet: &[u8]) -> TrafficSelectors {
    let mut tables = Tables::<1, 1, 2>::new();
    let mut a = Processor::new(&mut tables, Settings::DEFAULT);
    a.set_policies(&[entry]).expect("valid");
    let verdict = Buffer::new(packet).outbound(&mut a);
    assert_eq!(verdict, Outbound::Hold { policy: entry.id });
    let Some(Notice::Acquire { policy, selectors, .. }) = a.poll_notice() else { panic!() };
    assert_eq!(policy, entry.id);
    selectors
}

fn protect(selectors: TrafficSelectors, from_packet: FromPacket) -> SpdEntry {
    let policy = Policy::Protect(Protect { from_packet, tunnel: TunnelOptions::DEFAULT });
    SpdEntry::new(PolicyId(7), selectors, policy)
}

/// Every subset of the flags takes exactly these selectors from the packet, over both families.
#[test]
fn each_selector_alone_and_together_is_taken_from_the_packet() {
    let v4 = (ip("10.1.0.1"), ip("10.2.0.1"), subnet("10.1.0.0", 16), subnet("10.2.0.0", 16));
    let v6 = (ip("fd01::1"), ip("fd02::1"), subnet("fd01::", 16), subnet("fd02::", 16));
    for (source, destination, from, to) in [v4, v6] {
        let entry = TrafficSelectors::between(from, to);
        for set in 0..32_u8 {
            let flag = |bit: u8| set >> bit & 1 == 1;
            let from_packet = FromPacket {
                local_address: flag(0),
                remote_address: flag(1),
                protocol: flag(2),
                local_port: flag(3),
                remote_port: flag(4),
            };
            let choose = |bit, packet, entry| if flag(bit) { packet } else { entry };
            let one = |port| PortRange::one(port);
            let expected = TrafficSelectors {
                local: Selector {
                    addresses: choose(0, Addresses::host(source), from),
                    ports: if flag(3) { one(1000) } else { PortRange::ANY },
                },
                remote: Selector {
                    addresses: choose(1, Addresses::host(destination), to),
                    ports: if flag(4) { one(2000) } else { PortRange::ANY },
                },
                protocol: if flag(2) { Protocol::Number(17) } else { Protocol::Any },
            };
            let packet = udp_between(source, destination, 10);
            assert_eq!(wanted(protect(entry, from_packet), &packet), expected, "{set:05b}");
        }
    }
}

/// For ICMP the type and code stand in the place of both ports; a protocol without ports gives none.
#[test]
fn icmp_and_protocols_without_ports_from_the_packet() {
    let from_packet =
        FromPacket { protocol: true, local_port: true, remote_port: true, ..FromPacket::NOTHING };
    let entry = protect(tunnel_selectors(true), from_packet);
    let mut icmp = udp_v4(20, 0);
    icmp[9] = 1;
    icmp[20..22].copy_from_slice(&[8, 3]);
    let selectors = wanted(entry, &icmp);
    assert_eq!(selectors.protocol, Protocol::Number(1));
    assert_eq!(selectors.local.ports, PortRange::one(8 << 8 | 3));
    assert_eq!(selectors.remote.ports, PortRange::one(8 << 8 | 3));
    let mut gre = udp_v4(20, 0);
    gre[9] = 47;
    let selectors = wanted(entry, &gre);
    assert_eq!(selectors.protocol, Protocol::Number(47));
    assert_eq!((selectors.local.ports, selectors.remote.ports), (PortRange::ANY, PortRange::ANY));
}

/// Which of a port's SAs a later fragment belongs to nobody can say: it asks for none, it is dropped. By address it can be told.
#[test]
fn a_later_fragment_asks_for_no_sa_by_port() {
    let by_address =
        FromPacket { local_address: true, remote_address: true, ..FromPacket::NOTHING };
    let fragment = Outbound::Discard(Discard::Fragment);
    let hold = Outbound::Hold { policy: PolicyId(7) };
    for (from_packet, expected) in [
        (FromPacket { local_port: true, ..FromPacket::NOTHING }, fragment),
        (FromPacket { remote_port: true, ..FromPacket::NOTHING }, fragment),
        (FromPacket { protocol: true, ..FromPacket::NOTHING }, hold),
        (by_address, hold),
    ] {
        let mut tables = Tables::<1, 1, 2>::new();
        let mut a = Processor::new(&mut tables, Settings::DEFAULT);
        a.set_policies(&[protect(tunnel_selectors(true), from_packet)]).expect("valid");
        for (word, expected) in [(0x0008, expected), (0x2008, expected), (0x2000, hold)] {
            let verdict = Buffer::new(&udp_v4(64, word)).outbound(&mut a);
            assert_eq!(verdict, expected, "{from_packet:?} {word:#06x}");
        }
    }
    // Over IPv6 a later fragment may hide even the protocol, behind destination options.
    let mut later = udp_v6(64);
    later[6] = 44;
    later[40..48].copy_from_slice(&[60, 0, 0, 8, 0, 0, 0, 1]);
    let entry = TrafficSelectors::between(subnet("fd01::", 16), subnet("fd02::", 16));
    let mut tables = Tables::<1, 1, 2>::new();
    let mut a = Processor::new(&mut tables, Settings::DEFAULT);
    let by_protocol = FromPacket { protocol: true, ..FromPacket::NOTHING };
    a.set_policies(&[protect(entry, by_protocol)]).expect("valid");
    assert_eq!(Buffer::new(&later).outbound(&mut a), fragment);
    a.set_policies(&[protect(entry, by_address)]).expect("valid");
    assert_eq!(Buffer::new(&later).outbound(&mut a), hold);
}

/// Where a peer chose an SA for all ports, later fragments come in through it: nothing is taken from what has its SA.
#[test]
fn later_fragments_come_in_where_ports_are_taken_from_what_goes_out() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let from_packet = FromPacket { local_port: true, ..FromPacket::NOTHING };
    let policy = Policy::Protect(Protect { from_packet, tunnel: TunnelOptions::DEFAULT });
    b.set_policies(&[SpdEntry::new(PolicyId(1), tunnel_selectors(false), policy)]).expect("valid");
    let mut buffer = Buffer::new(&udp_v4(64, 0x0008));
    assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
    assert!(matches!(buffer.inbound(&mut b, Arrival::Ip), Inbound::Deliver { .. }));
}

/// Two flows of one entry with an SA each: each packet takes its own, with and without a cache.
#[test]
fn flows_with_an_sa_each() {
    fn check<const FLOWS: usize>() {
        let mut tables = Tables::<1, 4, FLOWS>::new();
        let mut a = Processor::new(&mut tables, Settings::DEFAULT);
        let from_packet = FromPacket { local_address: true, ..FromPacket::NOTHING };
        let entry = tunnel_selectors(true);
        a.set_policies(&[protect(entry, from_packet)]).expect("valid");
        let mut packets = Vec::new();
        for host in 1..=3_u8 {
            let mut packet = udp_v4(64, 0);
            packet[15] = host;
            set_header_checksum(&mut packet);
            let held = Buffer::new(&packet).outbound(&mut a);
            assert_eq!(held, Outbound::Hold { policy: PolicyId(7) });
            let Some(Notice::Acquire { selectors, packet: own, .. }) = a.poll_notice() else {
                panic!()
            };
            assert_eq!(selectors.local.addresses, Addresses::host(IpAddr::from([10, 1, 0, host])));
            assert_eq!(own.remote.ports, PortRange::one(2000));
            let spi = 0x1000 + u32::from(host);
            let mut sa = params(AES_SHA1, V4, Encap::None, spi.into(), spi);
            (sa.policy, sa.selectors) = (PolicyId(7), selectors);
            a.install_outbound(sa, &mut rng()).expect("valid");
            packets.push((packet, u64::from(spi)));
        }
        for _ in 0..3 {
            for (packet, expected) in &packets {
                let verdict = Buffer::new(packet).outbound(&mut a);
                assert!(matches!(verdict, Outbound::Send { owner, .. } if owner == *expected));
            }
        }
        // One goes: its flow waits again, the others do not.
        assert!(a.remove_outbound(PolicyId(7), Spi::new(0x1002).expect("valid")));
        assert!(!a.remove_outbound(PolicyId(7), Spi::new(0x1002).expect("valid")));
        assert!(!a.remove_outbound(PolicyId(6), Spi::new(0x1001).expect("valid")));
        for (packet, expected) in &packets {
            match Buffer::new(packet).outbound(&mut a) {
                Outbound::Send { owner, .. } => assert_eq!(owner, *expected),
                verdict => {
                    assert_eq!(
                        (verdict, *expected),
                        (Outbound::Hold { policy: PolicyId(7) }, 0x1002)
                    );
                }
            }
        }
    }
    check::<0>();
    check::<1>();
    check::<16>();
}

fn verdict(selectors: TrafficSelectors, packet: &[u8]) -> bool {
    let mut tables = Tables::<1, 1, 0>::new();
    let mut a = Processor::new(&mut tables, Settings::DEFAULT);
    a.set_policies(&[SpdEntry::new(PolicyId(1), selectors, Policy::Bypass)]).expect("valid");
    match Buffer::new(packet).outbound(&mut a) {
        Outbound::Bypass => true,
        other => {
            assert_eq!(other, Outbound::Discard(Discard::NoPolicy));
            false
        }
    }
}

/// Addresses of every kind, against the arithmetic of their bits: either family, either end.
#[test]
fn addresses_by_subnet_range_and_family() {
    let hosts_of = |net: &str, last: &[u16]| -> Vec<IpAddr> {
        last.iter()
            .map(|n| {
                ip(&if net.contains(':') { format!("{net}{n:x}") } else { format!("{net}{n}") })
            })
            .collect()
    };
    let v4 = hosts_of("10.1.0.", &[0, 1, 7, 8, 9, 15, 16, 127, 128, 254, 255]);
    let v6 = hosts_of("fd01::", &[0, 1, 7, 8, 9, 15, 16, 127, 128, 254, 255]);
    for (family, other, net, bits) in [(&v4, &v6, "10.1.0.8", 32), (&v6, &v4, "fd01::8", 128)] {
        let network = ip(net);
        let last = |address: IpAddr| match address {
            IpAddr::V4(address) => u32::from(address.octets()[3]),
            IpAddr::V6(address) => u32::from(address.segments()[7]),
        };
        let range = Addresses::Range { first: family[2], last: family[7] };
        for address in family {
            for prefix in bits - 8..=bits {
                let unused = u32::from(bits - prefix);
                let expected = last(*address) >> unused == 8 >> unused;
                let addresses = Addresses::Subnet { network, prefix };
                assert_eq!(addresses.contains(*address), expected, "{address} {prefix}");
                for local in [true, false] {
                    let mut selectors = ANY;
                    let peer = if address.is_ipv4() { ip("10.9.9.9") } else { ip("fd09::9") };
                    let packet = if local {
                        selectors.local.addresses = addresses;
                        udp_between(*address, peer, 10)
                    } else {
                        selectors.remote.addresses = addresses;
                        udp_between(peer, *address, 10)
                    };
                    assert_eq!(verdict(selectors, &packet), expected);
                }
            }
            assert!(Addresses::Subnet { network, prefix: 0 }.contains(*address));
            assert!(Addresses::Any.contains(*address));
            assert_eq!(range.contains(*address), (7..=127).contains(&last(*address)), "{address}");
            assert_eq!(Addresses::host(network).contains(*address), *address == network);
        }
        // A family never holds an address of the other, though both are kept as numbers.
        for address in other {
            assert!(!Addresses::Subnet { network, prefix: 0 }.contains(*address));
            let all = match network {
                IpAddr::V4(_) => ("0.0.0.0", "255.255.255.255"),
                IpAddr::V6(_) => ("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            };
            assert!(!Addresses::Range { first: ip(all.0), last: ip(all.1) }.contains(*address));
        }
    }
    // An IPv4 address is not the IPv6 address of the same number.
    assert!(!Addresses::host(ip("::10.1.0.8")).contains(ip("10.1.0.8")));
    assert!(!Addresses::host(ip("10.1.0.8")).contains(ip("::10.1.0.8")));
}

/// Type and code of ICMP, as one number of 16 bits, in ranges.
#[test]
fn icmp_by_type_and_code() {
    for (protocol, mut packet, at) in [(1, udp_v4(20, 0), 20), (58, udp_v6(20), 40)] {
        packet[if at == 20 { 9 } else { 6 }] = protocol;
        for (first, last) in [((8, 0), (8, 0)), ((3, 0), (3, 255)), ((3, 4), (4, 0))] {
            let word = |(kind, code): (u8, u8)| u16::from_be_bytes([kind, code]);
            let ports = PortRange { first: word(first), last: word(last) };
            for kind in [0, 2, 3, 4, 8] {
                for code in [0, 3, 4, 5, 255] {
                    packet[at..at + 2].copy_from_slice(&[kind, code]);
                    let inside = (first..=last).contains(&(kind, code));
                    let mut selectors = ANY;
                    selectors.protocol = Protocol::Number(protocol);
                    selectors.local.ports = ports;
                    assert_eq!(verdict(selectors, &packet), inside);
                    (selectors.local.ports, selectors.remote.ports) = (PortRange::ANY, ports);
                    assert_eq!(verdict(selectors, &packet), inside);
                }
            }
        }
    }
}

/// Neighbour discovery passes, and nothing else of ICMPv6.
#[test]
fn neighbour_discovery_passes() {
    let mut packet = udp_v6(20);
    packet[6] = 58;
    let mut tables = Tables::<2, 1, 0>::new();
    let mut a = Processor::new(&mut tables, Settings::DEFAULT);
    a.set_policies(&[
        SpdEntry::neighbour_discovery(PolicyId(2)),
        SpdEntry::new(PolicyId(1), ANY, Policy::PROTECT),
    ])
    .expect("valid");
    for kind in 0..=255 {
        packet[40] = kind;
        packet[41] = 0;
        let discovery = (133..=137).contains(&kind);
        let verdict = Buffer::new(&packet).outbound(&mut a);
        let expected =
            if discovery { Outbound::Bypass } else { Outbound::Hold { policy: PolicyId(1) } };
        assert_eq!(verdict, expected, "type {kind}");
        let verdict = Buffer::new(&packet).inbound(&mut a, Arrival::Ip);
        let expected =
            if discovery { Inbound::Bypass } else { Inbound::Discard(Discard::Unprotected) };
        assert_eq!(verdict, expected, "type {kind}");
    }
}

/// The device's own ESP and UDP pass, seen from its side in either direction.
#[test]
fn entries_for_the_devices_own_traffic() {
    let mut tables = Tables::<2, 1, 4>::new();
    let mut a = Processor::new(&mut tables, Settings::DEFAULT);
    a.set_policies(&[
        SpdEntry::own_udp(PolicyId(1), V4.0, 500),
        SpdEntry::own_esp(PolicyId(2), V4.0),
    ])
    .expect("valid");
    let no_policy = Outbound::Discard(Discard::NoPolicy);
    let mut esp = udp_between(V4.0, V4.1, 20);
    esp[9] = 50;
    for (packet, expected) in [
        (udp_ports(V4.0, V4.1, 500, 9999, 10), Outbound::Bypass),
        (udp_ports(V4.0, V4.1, 501, 500, 10), no_policy),
        (udp_ports(V4.1, V4.0, 500, 500, 10), no_policy),
        (esp.clone(), Outbound::Bypass),
    ] {
        assert_eq!(Buffer::new(&packet).outbound(&mut a), expected);
    }
    for (packet, expected) in [
        (udp_ports(V4.1, V4.0, 9999, 500, 10), Inbound::Bypass),
        (udp_ports(V4.1, V4.0, 500, 501, 10), Inbound::Discard(Discard::NoPolicy)),
    ] {
        assert_eq!(Buffer::new(&packet).inbound(&mut a, Arrival::Ip), expected);
    }
}

/// Entries for one direction are not looked at in the other, and the first that matches wins.
#[test]
fn directions_and_order() {
    let forth = udp_v4(10, 0);
    let mut back = forth.clone();
    let (source, destination) = (forth[12..16].to_vec(), forth[16..20].to_vec());
    back[12..16].copy_from_slice(&destination);
    back[16..20].copy_from_slice(&source);
    for (directions, out_matches, in_matches) in [
        (Directions::Both, true, true),
        (Directions::Outbound, true, false),
        (Directions::Inbound, false, true),
    ] {
        for (policy, out, inn) in [
            (Policy::Bypass, Outbound::Bypass, Inbound::Bypass),
            (
                Policy::Discard,
                Outbound::Discard(Discard::Policy),
                Inbound::Discard(Discard::Policy),
            ),
            (
                Policy::PROTECT,
                Outbound::Hold { policy: PolicyId(1) },
                Inbound::Discard(Discard::Unprotected),
            ),
        ] {
            let mut tables = Tables::<2, 1, 4>::new();
            let mut a = Processor::new(&mut tables, Settings::DEFAULT);
            let mut first = SpdEntry::new(PolicyId(1), tunnel_selectors(true), policy);
            first.directions = directions;
            // What the first does not take is discarded by the second, or bypassed if the first discards.
            let other = if policy == Policy::Discard { Policy::Bypass } else { Policy::Discard };
            let second = SpdEntry::new(PolicyId(2), ANY, other);
            a.set_policies(&[first, second]).expect("valid");
            for _ in 0..2 {
                let outbound = Buffer::new(&forth).outbound(&mut a);
                assert_eq!(outbound == out, out_matches, "{directions:?} {policy:?} {outbound:?}");
                let inbound = Buffer::new(&back).inbound(&mut a, Arrival::Ip);
                assert_eq!(inbound == inn, in_matches, "{directions:?} {policy:?} {inbound:?}");
            }
        }
    }
}

/// The list is replaced at once: the next packet meets the new one whatever a cache knew, and a list refused changes nothing.
#[test]
fn the_list_changes_between_two_packets() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let entry = |policy| SpdEntry::new(PolicyId(1), tunnel_selectors(true), policy);
    let mut send = |a: &mut Processor<'_>, protected: bool| {
        let mut buffer = Buffer::new(&udp_v4(64, 0));
        let verdict = buffer.outbound(a);
        if protected {
            assert!(matches!(buffer.inbound(&mut b, Arrival::Ip), Inbound::Deliver { .. }));
        }
        verdict
    };
    assert!(matches!(send(&mut a, true), Outbound::Send { .. }));
    a.set_policies(&[entry(Policy::Discard)]).expect("valid");
    assert_eq!(send(&mut a, false), Outbound::Discard(Discard::Policy));
    a.set_policies(&[entry(Policy::Bypass)]).expect("valid");
    assert_eq!(send(&mut a, false), Outbound::Bypass);
    // Back again: the SA is still there and goes on with its numbers.
    a.set_policies(&[entry(Policy::PROTECT)]).expect("valid");
    assert!(matches!(send(&mut a, true), Outbound::Send { .. }));
    let mut nonsense = entry(Policy::Bypass);
    nonsense.selectors.remote.ports = PortRange { first: 2, last: 1 };
    assert_eq!(a.set_policies(&[nonsense]), Err(InstallError::Selectors(PolicyId(1))));
    assert_eq!(
        a.set_policies(&[entry(Policy::Bypass), entry(Policy::Bypass)]),
        Err(InstallError::DuplicatePolicy(PolicyId(1)))
    );
    assert!(matches!(send(&mut a, true), Outbound::Send { .. }));
    assert_eq!(a.outbound_sas().next().expect("installed").last_sequence().0, 3);
}

/// What waits for an SA when the list changes is asked for by the new list or not at all.
#[test]
fn a_list_that_changes_forgets_what_waited() {
    let mut tables = Tables::<2, 1, 4>::new();
    let mut a = Processor::new(&mut tables, Settings::DEFAULT);
    let entry = SpdEntry::new(PolicyId(1), tunnel_selectors(true), Policy::PROTECT);
    a.set_policies(&[entry]).expect("valid");
    assert!(matches!(Buffer::new(&udp_v4(64, 0)).outbound(&mut a), Outbound::Hold { .. }));
    a.set_policies(&[SpdEntry { policy: Policy::Discard, ..entry }]).expect("valid");
    assert_eq!(a.poll_notice(), None);
}

/// Selectors that make no sense are refused when the entry, or the SA, is installed.
#[test]
fn selectors_that_make_no_sense_are_refused() {
    let nonsense: &[fn(&mut TrafficSelectors)] = &[
        |s| s.local.addresses = Addresses::Subnet { network: ip("10.0.0.0"), prefix: 33 },
        |s| s.local.addresses = Addresses::Subnet { network: ip("fd00::"), prefix: 129 },
        |s| s.remote.addresses = Addresses::Range { first: ip("10.0.0.2"), last: ip("10.0.0.1") },
        |s| s.remote.addresses = Addresses::Range { first: ip("10.0.0.2"), last: ip("fd00::") },
        |s| s.local.ports = PortRange { first: 9, last: 8 },
        |s| s.remote.ports = PortRange { first: 9, last: 8 },
        |s| {
            s.local.addresses = Addresses::host(V4.0);
            s.remote.addresses = Addresses::host(V6.0);
        },
    ];
    let mut tables = Tables::<2, 2, 0>::new();
    let mut a = Processor::new(&mut tables, Settings::DEFAULT);
    for spoil in nonsense {
        let mut selectors = ANY;
        spoil(&mut selectors);
        assert!(!selectors.is_consistent(), "{selectors:?}");
        let refused = a.set_policies(&[SpdEntry::new(PolicyId(1), selectors, Policy::Bypass)]);
        assert_eq!(refused, Err(InstallError::Selectors(PolicyId(1))));
        let sa = || {
            let mut sa = params(AES_SHA1, V4, Encap::None, A, 0x1000);
            sa.selectors = selectors;
            sa
        };
        let no_sense = Err(InstallError::Sa(SaError::AddressFamily));
        assert_eq!(a.install_inbound(sa()), no_sense);
        assert_eq!(a.install_outbound(sa(), &mut rng()), no_sense);
    }
    let mut dscp = TunnelOptions { dscp: Dscp::Set(64), ..TunnelOptions::DEFAULT };
    let entry = |tunnel| {
        let policy = Policy::Protect(Protect { from_packet: FromPacket::NOTHING, tunnel });
        SpdEntry::new(PolicyId(1), ANY, policy)
    };
    assert_eq!(a.set_policies(&[entry(dscp)]), Err(InstallError::Selectors(PolicyId(1))));
    dscp.dscp = Dscp::Set(63);
    assert_eq!(a.set_policies(&[entry(dscp)]), Ok(()));
    assert_eq!((a.inbound_sas().count(), a.outbound_sas().count()), (0, 0));
}

/// RFC 4303 §2.1: the values 0 to 255 are nobody's; on the wire they are no SA's.
#[test]
fn reserved_spis() {
    let outer = Outer {
        local: V4.1,
        remote: V4.0,
        encap: Encap::None,
        traffic_class: 0,
        dont_fragment: false,
    };
    let mut tables = (Tables::new(), Tables::new());
    let (_, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    for spi in 0..=256_u32 {
        assert_eq!(Spi::new(spi).is_some(), spi == 256);
        let esp = [&spi.to_be_bytes()[..], &[0; 60]].concat();
        let expected = if spi < 256 { Discard::Malformed } else { Discard::UnknownSpi };
        let verdict = Buffer::new(&esp).inbound(&mut b, Arrival::Esp(outer));
        assert_eq!(verdict, Inbound::Discard(expected), "{spi}");
    }
}

/// Limits: soft may equal hard and not be above it, each of bytes and packets for itself; windows from 32 to 1024.
#[test]
fn limits_and_windows_at_their_edges() {
    let check = |change: &dyn Fn(&mut SaParams)| {
        let mut sa = params(AES_SHA1, V4, Encap::None, A, 0x1000);
        change(&mut sa);
        sa.check()
    };
    let limit = |bytes, packets| Limit { bytes, packets };
    for (soft, hard, good) in [
        (limit(5, 5), limit(5, 5), true),
        (limit(5, 6), limit(6, 5), false),
        (limit(6, 5), limit(5, 6), false),
        (limit(4, 4), limit(5, 5), true),
        (limit(u64::MAX, u64::MAX), limit(u64::MAX, u64::MAX), true),
        (limit(u64::MAX, 4), limit(5, 5), false),
    ] {
        let expected = if good { Ok(()) } else { Err(SaError::SoftAboveHard) };
        assert_eq!(check(&|sa| sa.lifetime = Lifetime { soft, hard }), expected);
    }
    for window in [0, 1, 31, 32, 33, 64, 1023, 1024, 1025, u16::MAX] {
        let good = (32..=1024).contains(&window);
        let expected = if good { Ok(()) } else { Err(SaError::ReplayWindow(window)) };
        assert_eq!(check(&|sa| sa.replay_window = window), expected);
    }
    for transform in transforms() {
        let needed = transform.key_material_len();
        for given in 0..=KeyMaterial::MAX {
            let expected =
                if given == needed { Ok(()) } else { Err(SaError::KeyLength { needed, given }) };
            let keys = || KeyMaterial::from_slice(&vec![1; given]).expect("fits");
            let found = check(&|sa| (sa.transform, sa.keys) = (transform, keys()));
            assert_eq!(found, expected, "{transform}");
        }
    }
    assert!(KeyMaterial::from_slice(&[0; KeyMaterial::MAX + 1]).is_none());
    assert!(KeyMaterial::zeroed(KeyMaterial::MAX + 1).is_none());
}
