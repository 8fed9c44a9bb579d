//! Two gateways, packets between them, and everything that can be wrong with one.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test these are failures of the test"
)]

#[path = "support/hosts.rs"]
mod hosts;

use esp_core::*;
use hosts::*;

type Join = for<'t> fn(
    &'t mut (Memory, Memory),
    Settings,
    Transform,
    Ends,
    Encap,
) -> (Processor<'t>, Processor<'t>);

#[test]
fn a_packet_goes_through_every_transform_mode_family_and_framing() {
    for transform in transforms() {
        for outer in [V4, V6] {
            for encap in [Encap::None, UDP] {
                for framing in [Framing::Ip, Framing::Esp] {
                    for (join, inner) in
                        [(pair as Join, udp_v4(100, 0)), (pair_v6 as Join, udp_v6(100))]
                    {
                        let mut tables = (Tables::new(), Tables::new());
                        let settings = Settings { framing, ..Settings::DEFAULT };
                        let (mut a, mut b) = join(&mut tables, settings, transform, outer, encap);
                        let mut buffer = Buffer::new(&inner);
                        let sent = buffer.outbound(&mut a);
                        let Outbound::Send { outer: to, owner } = sent else { panic!("{sent:?}") };
                        assert_eq!((owner, to.local, to.remote), (A, outer.0, outer.1));
                        assert!(!contains(buffer.bytes(), &inner[28..]) || is_clear(transform));
                        let arrival = match framing {
                            Framing::Ip => Arrival::Ip,
                            Framing::Esp => Arrival::Esp(turned(to)),
                        };
                        let got = buffer.inbound(&mut b, arrival);
                        let Inbound::Deliver { owner, policy, advanced, outer: from } = got else {
                            panic!("{transform:?} {encap:?} {framing:?}: {got:?}")
                        };
                        assert_eq!((owner, policy, advanced), (B, PolicyId(1), true));
                        assert_eq!(
                            (from.local, from.remote, from.encap),
                            (outer.1, outer.0, turned(to).encap)
                        );
                        assert_eq!(buffer.bytes(), inner);
                        assert_eq!((a.stats().sent, b.stats().delivered), (1, 1));
                    }
                }
            }
        }
    }
}

#[test]
fn transport_mode_between_two_hosts() {
    for encap in [Encap::None, UDP] {
        for framing in [Framing::Ip, Framing::Esp] {
            for ends in [V4, V6] {
                let mut tables = (Tables::new(), Tables::new());
                let settings = Settings { framing, ..Settings::DEFAULT };
                let (mut a, mut b) = hosts(&mut tables, settings, ends, encap);
                let packet = udp_between(ends.0, ends.1, 50);
                let mut buffer = Buffer::new(&packet);
                let Outbound::Send { outer, .. } = buffer.outbound(&mut a) else {
                    panic!("not sent")
                };
                let arrival = match framing {
                    Framing::Ip => Arrival::Ip,
                    Framing::Esp => Arrival::Esp(turned(outer)),
                };
                let got = buffer.inbound(&mut b, arrival);
                assert!(matches!(got, Inbound::Deliver { .. }), "{got:?}");
                let len = packet.len();
                assert_eq!(buffer.bytes()[len - 58..], packet[len - 58..]);
                if framing == Framing::Ip {
                    assert_eq!(buffer.bytes(), packet);
                }
            }
        }
    }
}

/// RFC 3948 §3.1.2: a NAT has rewritten the outer source, and the checksum inside was made over the old one. UDP over IPv4
/// may have none, and other protocols have none over addresses.
#[test]
fn transport_mode_through_a_nat_renews_the_checksum() {
    const TCP: u8 = 6;
    const UDP_INSIDE: u8 = 17;
    const GRE: u8 = 47;
    const ICMPV6: u8 = 58;
    for (ends, protocol, checksum_at) in [
        (V4, UDP_INSIDE, Some(6)),
        (V6, UDP_INSIDE, Some(6)),
        (V4, UDP_INSIDE, None),
        (V4, TCP, Some(16)),
        (V6, TCP, Some(16)),
        (V6, ICMPV6, Some(2)),
        (V4, GRE, None),
    ] {
        let (protocol_at, source, header) =
            if ends == V4 { (9, 12..16, 20) } else { (6, 8..24, 40) };
        let mut packet = udp_between(ends.0, ends.1, 51);
        packet[protocol_at] = protocol;
        packet[header + 6..header + 8].fill(0);
        if let Some(at) = checksum_at {
            packet[header + at..header + at + 2].fill(0);
            let checksum = inner_checksum(&packet);
            packet[header + at..header + at + 2].copy_from_slice(&checksum.to_be_bytes());
        }
        let mut tables = (Tables::new(), Tables::new());
        let (mut a, mut b) = hosts(&mut tables, Settings::DEFAULT, ends, UDP);
        let mut buffer = Buffer::new(&packet);
        assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
        let nat = &[198, 51, 100, 7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12][..source.len()];
        buffer.bytes_mut()[source.clone()].copy_from_slice(nat);
        buffer.bytes_mut()[header..header + 2].copy_from_slice(&6000_u16.to_be_bytes());
        let got = buffer.inbound(&mut b, Arrival::Ip);
        let Inbound::Deliver { outer, .. } = got else { panic!("{got:?}") };
        assert_eq!(outer.encap, Encap::Udp { local_port: 4500, remote_port: 6000 });
        let mut got = buffer.bytes().to_vec();
        assert_eq!(got[source], *nat);
        if let Some(at) = checksum_at {
            assert_eq!(inner_checksum(&got), 0, "{protocol} over {ends:?}");
            let field = header + at..header + at + 2;
            got[field.clone()].copy_from_slice(&packet[field]);
        }
        assert_eq!(got[header..], packet[header..], "{protocol} over {ends:?}");
    }
}

/// HAZARDS: CVE-2020-1749. Policy says protect: without an SA a packet is held and untouched, whatever happened before.
#[test]
fn nothing_leaves_in_clear_without_an_sa() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, _) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let inner = udp_v4(64, 0);
    let hold = Outbound::Hold { policy: PolicyId(1) };
    let send = |a: &mut Processor<'_>| {
        let mut buffer = Buffer::new(&inner);
        let verdict = buffer.outbound(a);
        if verdict == hold {
            assert_eq!(buffer.bytes(), inner);
        }
        assert!(!matches!(verdict, Outbound::Bypass));
        verdict
    };
    assert!(matches!(send(&mut a), Outbound::Send { .. }));
    assert_eq!(a.remove_owner(A), 2);
    assert_eq!((send(&mut a), send(&mut a)), (hold, hold));
    // One notice for the two of them: it tells what to negotiate.
    let Some(Notice::Acquire { policy, selectors, packet }) = a.poll_notice() else { panic!() };
    assert_eq!((policy, selectors), (PolicyId(1), tunnel_selectors(true)));
    assert_eq!(packet.local.addresses, Addresses::host(ip("10.1.0.1")));
    assert_eq!(a.poll_notice(), None);
    assert_eq!(send(&mut a), hold);
    assert!(matches!(a.poll_notice(), Some(Notice::Acquire { .. })));
    a.install_outbound(params(AES_SHA1, V4, Encap::None, A + 5, 0x1111), &mut rng())
        .expect("valid");
    assert!(matches!(send(&mut a), Outbound::Send { owner, .. } if owner == A + 5));
    a.set_policies(&[]).expect("valid");
    assert_eq!(send(&mut a), Outbound::Discard(Discard::NoPolicy));
}

/// CVE-2002-0414 and step 4 of RFC 4301 §5.2: what comes out of an SA must be what it is for.
#[test]
fn a_peer_cannot_speak_for_other_networks() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    // The sender's policy is wider than what was negotiated.
    let mut wide = params(AES_SHA1, V4, Encap::None, A, 0x1000);
    wide.selectors = TrafficSelectors::between(Addresses::Any, Addresses::Any);
    a.set_policies(&[SpdEntry::new(PolicyId(1), wide.selectors, Policy::PROTECT)]).expect("valid");
    a.install_outbound(wide, &mut rng()).expect("valid");
    let mut forged = udp_v4(64, 0);
    forged[12..16].copy_from_slice(&[10, 9, 0, 1]);
    let mut buffer = Buffer::new(&forged);
    assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
    assert_eq!(buffer.inbound(&mut b, Arrival::Ip), Inbound::Discard(Discard::Selectors));

    // And within the SA's selectors, an earlier line that gives a part of them to somebody else wins.
    let other = SpdEntry::new(
        PolicyId(2),
        TrafficSelectors::between(subnet("10.2.0.0", 24), Addresses::host(ip("10.1.0.1"))),
        Policy::PROTECT,
    );
    let entries: Vec<_> = [other].into_iter().chain(b.policies().copied()).collect();
    b.set_policies(&entries).expect("valid");
    let mut buffer = Buffer::new(&udp_v4(64, 0));
    assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
    assert_eq!(buffer.inbound(&mut b, Arrival::Ip), Inbound::Discard(Discard::Selectors));
}

#[test]
fn clear_traffic_that_should_be_protected_is_dropped_and_counted() {
    let mut tables = (Tables::new(), Tables::new());
    let (_, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let mut buffer = Buffer::new(&udp_v4(64, 0));
    let verdict = buffer.inbound(&mut b, Arrival::Ip);
    assert_eq!(verdict, Inbound::Discard(Discard::Unprotected));
    assert_eq!(b.stats().discarded(Discard::Unprotected), 1);
    let ike = udp_ports(V4.0, V4.1, 500, 500, 40);
    let mut buffer = Buffer::new(&ike);
    assert_eq!(buffer.inbound(&mut b, Arrival::Ip), Inbound::Bypass);
    assert_eq!(buffer.bytes(), ike);
}

/// On the encapsulation port, four zero bytes are IKE and one 0xff a keepalive (RFC 3948 §2): neither is ESP.
#[test]
fn ike_and_keepalives_on_the_encapsulation_port_are_not_esp() {
    let mut tables = (Tables::new(), Tables::new());
    let (_, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, UDP);
    for len in [0, 1, 4, 7, 40] {
        let mut buffer = Buffer::new(&udp_ports(V4.0, V4.1, 4500, 4500, len));
        buffer.bytes_mut()[28..].fill(if len == 1 { 0xff } else { 0 });
        assert_eq!(buffer.inbound(&mut b, Arrival::Ip), Inbound::Bypass, "{len}");
    }
    let mut buffer = Buffer::new(&udp_ports(V4.0, V4.1, 4500, 4500, 40));
    buffer.bytes_mut()[28..].fill(7);
    let verdict = buffer.inbound(&mut b, Arrival::Ip);
    assert_eq!(verdict, Inbound::Discard(Discard::UnknownSpi));
    // In a later fragment nothing is a UDP header, whatever it looks like.
    buffer.bytes_mut()[6..8].copy_from_slice(&[0, 8]);
    set_header_checksum(buffer.bytes_mut());
    let verdict = buffer.inbound(&mut b, Arrival::Ip);
    assert_eq!(verdict, Inbound::Discard(Discard::NoPolicy));
}

/// Bytes of a packet around what is encrypted, and of what that is a multiple.
fn around_and_block(transform: Transform) -> (usize, usize) {
    let icv_len = |integrity| match integrity {
        Integrity::HmacSha256_128 => 16,
        Integrity::HmacSha384_192 => 24,
        Integrity::HmacSha512_256 => 32,
        _ => 12,
    };
    match transform {
        Transform::CbcHmac(cipher, integrity) => {
            use BlockCipher::{Aes128, Aes192, Aes256};
            let block = if matches!(cipher, Aes128 | Aes192 | Aes256) { 16 } else { 8 };
            (8 + block + icv_len(integrity), block)
        }
        Transform::NullHmac(integrity) => (8 + icv_len(integrity), 1),
        _ => (8 + 8 + 16, 1),
    }
}

/// Every bit and every length of a good packet. What cannot be a packet of the SA is not worth any cryptography.
#[test]
fn tampering_is_refused_and_changes_nothing() {
    for transform in transforms() {
        let mut tables = (Tables::new(), Tables::new());
        let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, transform, V4, Encap::None);
        let mut good = Buffer::new(&udp_v4(20, 0));
        assert!(matches!(good.outbound(&mut a), Outbound::Send { .. }));
        let esp = good.bytes()[20..].to_vec();
        let outer = Outer {
            local: V4.1,
            remote: V4.0,
            encap: Encap::None,
            traffic_class: 0,
            dont_fragment: false,
        };
        for bit in 0..esp.len() * 8 {
            let mut bad = esp.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let verdict = Buffer::new(&bad).inbound(&mut b, Arrival::Esp(outer));
            let expected = match bit {
                0..32 => Discard::UnknownSpi,
                // The number becomes 0, which no packet has.
                56 => Discard::Replay,
                _ => Discard::Integrity,
            };
            let reserved = bad[..3] == [0; 3];
            assert!(
                verdict == Inbound::Discard(expected) || reserved,
                "{transform:?} bit {bit}: {verdict:?}"
            );
        }
        let (around, block) = around_and_block(transform);
        for len in 0..esp.len() {
            let verdict = Buffer::new(&esp[..len]).inbound(&mut b, Arrival::Esp(outer));
            let Inbound::Discard(reason) = verdict else { panic!("{len}: {verdict:?}") };
            let whole = len >= around + 2 && (len - around) % block == 0;
            let expected = if whole { Discard::Integrity } else { Discard::Malformed };
            assert_eq!(reason, expected, "{transform} {len}");
        }
        let sa = b.inbound_sas().next().expect("installed");
        assert_eq!((sa.counters().packets, sa.newest_sequence().0), (0, 0));
        let verdict = good.inbound(&mut b, Arrival::Ip);
        assert!(matches!(verdict, Inbound::Deliver { .. }));
    }
}

#[test]
fn outer_fragments_are_refused_and_inner_ones_carried() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let mut buffer = Buffer::new(&udp_v4(64, 0x2000));
    assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
    let mut fragment = buffer.clone();
    fragment.bytes_mut()[6] = 0x20;
    let verdict = fragment.inbound(&mut b, Arrival::Ip);
    assert_eq!(verdict, Inbound::Discard(Discard::Fragment));
    assert!(matches!(buffer.inbound(&mut b, Arrival::Ip), Inbound::Deliver { .. }));
    // A later fragment: its ports are not there, and the entry does not ask for them.
    let mut buffer = Buffer::new(&udp_v4(64, 0x0008));
    assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
    assert!(matches!(buffer.inbound(&mut b, Arrival::Ip), Inbound::Deliver { .. }));
}

/// RFC 4301 §7 leaves the choice; ours is that a fragment never slips past an entry that might be meant for it.
#[test]
fn a_later_fragment_does_not_pass_an_entry_that_looks_at_ports() {
    let mut tables = Tables::<4, 1, 4>::new();
    let mut a = Processor::new(&mut tables, Settings::DEFAULT);
    let mut port = tunnel_selectors(true);
    port.protocol = Protocol::Number(17);
    port.remote.ports = PortRange::one(53);
    let rest = SpdEntry::new(PolicyId(9), ANY, Policy::Bypass);
    for (policy, expected) in [
        (Policy::PROTECT, Outbound::Discard(Discard::Fragment)),
        (Policy::Discard, Outbound::Discard(Discard::Fragment)),
        (Policy::Bypass, Outbound::Bypass),
    ] {
        a.set_policies(&[SpdEntry::new(PolicyId(1), port, policy), rest]).expect("valid");
        let mut later = Buffer::new(&udp_v4(64, 0x0008));
        assert_eq!(later.outbound(&mut a), expected);
        // A whole packet to another port is none of that entry's business.
        let mut whole = Buffer::new(&udp_v4(64, 0));
        assert_eq!(whole.outbound(&mut a), Outbound::Bypass);
    }
}

#[test]
fn limits_are_told_once_and_end_the_sa() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, _) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let mut limited = params(AES_SHA1, V4, Encap::None, A + 1, 0x3000);
    limited.lifetime.soft.packets = 2;
    limited.lifetime.hard.packets = 3;
    a.install_outbound(limited, &mut rng()).expect("valid");
    let mut send = || {
        let verdict = Buffer::new(&udp_v4(64, 0)).outbound(&mut a);
        (matches!(verdict, Outbound::Send { .. }), a.poll_notice())
    };
    let spi = Spi::new(0x3000).expect("not reserved");
    let (owner, direction) = (A + 1, Direction::Outbound);
    assert_eq!(send(), (true, None));
    assert_eq!(send(), (true, Some(Notice::SoftExpired { owner, direction, spi })));
    assert_eq!(send(), (true, None));
    assert_eq!(send(), (false, Some(Notice::HardExpired { owner, direction, spi })));
    assert!(matches!(send(), (false, Some(Notice::Acquire { .. }))));
    assert_eq!(a.outbound_sas().count(), 1);
    assert_eq!(a.remove_owner(owner), 1);
}

#[test]
fn limits_in_bytes_count_what_goes_through_the_cipher() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    // 20 + 8 + 64 bytes and the trailer fill six blocks.
    let mut limited = params(AES_SHA1, (V4.1, V4.0), Encap::None, B + 1, 0x3000);
    (limited.lifetime.soft.bytes, limited.lifetime.hard.bytes) = (96, 2 * 96);
    b.install_inbound(limited).expect("valid");
    let peer = params(AES_SHA1, V4, Encap::None, A + 1, 0x3000);
    a.install_outbound(peer, &mut rng()).expect("valid");
    let mut receive = || {
        let mut buffer = Buffer::new(&udp_v4(64, 0));
        assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
        let verdict = buffer.inbound(&mut b, Arrival::Ip);
        (matches!(verdict, Inbound::Deliver { .. }), b.poll_notice())
    };
    let spi = Spi::new(0x3000).expect("not reserved");
    let (owner, direction) = (B + 1, Direction::Inbound);
    assert_eq!(receive(), (true, Some(Notice::SoftExpired { owner, direction, spi })));
    assert_eq!(receive(), (true, None));
    assert_eq!(receive(), (false, Some(Notice::HardExpired { owner, direction, spi })));
    assert_eq!(receive(), (false, None));
    assert_eq!(b.stats().discarded(Discard::Expired), 2);
}

/// Filling up to one length for all goes through the cipher as the packets do.
#[test]
fn filling_counts_towards_the_limit_in_bytes() {
    for pad_to in [0, 50, 600] {
        let options = TunnelOptions { pad_to, ..TunnelOptions::DEFAULT };
        let sa = OutboundSa::new(params(AES_SHA1, V4, Encap::None, A, 0x1000), &mut rng());
        let mut sa = sa.expect("valid").with(options, Framing::Esp);
        for sent in 1..=3 {
            let inner = udp_v4(64, 0);
            let mut memory = [&[0; 80][..], &inner, &[0; 800]].concat();
            let mut packet = PacketBuf::new(&mut memory, 80..80 + inner.len()).expect("inside");
            sa.seal(&mut packet).expect("fits");
            // Around what is encrypted: SPI and number, IV, ICV.
            let encrypted = packet.len() - 8 - 16 - 12;
            assert!(encrypted >= usize::from(pad_to).max(inner.len()));
            assert_eq!(sa.counters().bytes, sent * encrypted as u64, "{pad_to}");
        }
    }
}

/// What makes no sense is refused when it is installed, and nothing changes.
#[test]
fn installing_checks() {
    let mut tables = Tables::<1, 1, 0>::new();
    let mut a = Processor::new(&mut tables, Settings::DEFAULT);
    let sa = |spi| params(AES_SHA1, V4, Encap::None, A, spi);
    let refused = |change: fn(&mut SaParams)| {
        let mut sa = sa(0x1000);
        change(&mut sa);
        sa.check().expect_err("makes no sense")
    };
    let short = refused(|sa| sa.keys = KeyMaterial::from_slice(&[0; 35]).expect("fits"));
    assert_eq!(short, SaError::KeyLength { needed: 36, given: 35 });
    assert_eq!(refused(|sa| sa.replay_window = 0), SaError::ReplayWindow(0));
    assert_eq!(refused(|sa| sa.replay_window = 1025), SaError::ReplayWindow(1025));
    assert_eq!(refused(|sa| sa.lifetime.hard.bytes = 5), SaError::SoftAboveHard);
    assert_eq!(refused(|sa| sa.remote = V6.1), SaError::AddressFamily);
    assert_eq!((Spi::new(0), Spi::new(255)), (None, None));

    a.install_inbound(sa(0x1000)).expect("valid");
    let twice = a.install_inbound(sa(0x1000));
    assert_eq!(twice, Err(InstallError::DuplicateSpi(Spi::new(0x1000).expect("valid"))));
    assert_eq!(a.install_inbound(sa(0x1001)), Err(InstallError::Full));
    let entry = SpdEntry::new(PolicyId(1), ANY, Policy::Bypass);
    a.set_policies(&[entry]).expect("valid");
    assert_eq!(a.set_policies(&[entry, entry]), Err(InstallError::Full));
    let mut mixed = ANY;
    (mixed.local.addresses, mixed.remote.addresses) =
        (Addresses::host(V4.0), Addresses::host(V6.0));
    let mixed = a.set_policies(&[SpdEntry::new(PolicyId(2), mixed, Policy::Bypass)]);
    assert_eq!(mixed, Err(InstallError::Selectors(PolicyId(2))));
    assert_eq!(a.policies().collect::<Vec<_>>(), [&entry]);

    let mut tables = Tables::<2, 1, 0>::new();
    let mut a = Processor::new(&mut tables, Settings::DEFAULT);
    let twice = a.set_policies(&[entry, entry]);
    assert_eq!(twice, Err(InstallError::DuplicatePolicy(PolicyId(1))));
}

#[test]
fn a_buffer_too_small_is_refused_with_the_size() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, _) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let inner = udp_v4(64, 0);
    // Outer header, ESP, IV in front; two bytes of padding, trailer, ICV behind.
    let room = NoRoom { headroom: 20 + 8 + 16, tailroom: 2 + 2 + 12 };
    for (front, back) in [(43, 16), (44, 15), (0, 0)] {
        let mut memory = [&vec![0; front][..], &inner, &vec![0; back]].concat();
        let mut packet = PacketBuf::new(&mut memory, front..front + inner.len()).expect("inside");
        let verdict = a.outbound(&mut packet);
        assert_eq!(verdict, Outbound::Discard(Discard::NoRoom(room)));
        assert_eq!(packet.packet(), inner);
    }
    let mut memory = [&[0; 44][..], &inner, &[0; 16]].concat();
    let mut packet = PacketBuf::new(&mut memory, 44..44 + inner.len()).expect("inside");
    assert!(matches!(a.outbound(&mut packet), Outbound::Send { .. }));
    assert_eq!(a.outbound_sas().next().expect("installed").last_sequence().0, 1);
}

#[test]
fn a_packet_too_big_for_the_path_is_untouched_and_the_size_told_fits() {
    for transform in transforms() {
        let mut tables = (Tables::new(), Tables::new());
        let (mut a, _) = pair(&mut tables, Settings::DEFAULT, transform, V4, UDP);
        let tunnel = TunnelOptions { mtu: 1400, ..TunnelOptions::DEFAULT };
        let protect = Protect { from_packet: FromPacket::NOTHING, tunnel };
        let entry = SpdEntry::new(PolicyId(1), tunnel_selectors(true), Policy::Protect(protect));
        a.set_policies(&[entry]).expect("valid");
        a.install_outbound(params(transform, V4, UDP, A, 0x1000), &mut rng()).expect("valid");
        let inner = udp_v4(1372, 0x4000);
        let mut buffer = Buffer::new(&inner);
        let verdict = buffer.outbound(&mut a);
        let Outbound::TooBig { mtu } = verdict else { panic!("{transform:?}: {verdict:?}") };
        assert_eq!(buffer.bytes(), inner);
        let mut buffer = Buffer::new(&udp_v4(usize::from(mtu) - 28, 0x4000));
        assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }), "{transform:?}");
        assert!((1385..=1400).contains(&buffer.bytes().len()), "{}", buffer.bytes().len());
        let mut buffer = Buffer::new(&udp_v4(usize::from(mtu) - 27, 0x4000));
        assert!(matches!(buffer.outbound(&mut a), Outbound::TooBig { .. }));
        // Without DF the outer packet may be fragmented on its way.
        let mut buffer = Buffer::new(&udp_v4(1372, 0));
        assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
    }
}

#[test]
fn the_outer_header_follows_its_options() {
    use DontFragment as Df;
    let cases = [
        (TunnelOptions::DEFAULT, 0x4000, 0xb9, (0xb9, true, 64)),
        (TunnelOptions::DEFAULT, 0, 0, (0, false, 64)),
        (
            TunnelOptions {
                dscp: Dscp::Set(10),
                ecn: Ecn::Compatibility,
                ttl: 9,
                ..TunnelOptions::DEFAULT
            },
            0,
            0xb9,
            (10 << 2, false, 9),
        ),
        (TunnelOptions { dont_fragment: Df::Set, ..TunnelOptions::DEFAULT }, 0, 0, (0, true, 64)),
        (
            TunnelOptions { dont_fragment: Df::Clear, ..TunnelOptions::DEFAULT },
            0x4000,
            0,
            (0, false, 64),
        ),
    ];
    for (tunnel, flags, class, expected) in cases {
        let mut tables = Tables::<1, 1, 0>::new();
        let mut a = Processor::new(&mut tables, Settings::DEFAULT);
        let protect = Protect { from_packet: FromPacket::NOTHING, tunnel };
        let entry = SpdEntry::new(PolicyId(1), tunnel_selectors(true), Policy::Protect(protect));
        a.set_policies(&[entry]).expect("valid");
        a.install_outbound(params(AES_SHA1, V4, Encap::None, A, 0x1000), &mut rng())
            .expect("valid");
        let mut inner = udp_v4(64, flags);
        inner[1] = class;
        let mut buffer = Buffer::new(&inner);
        let Outbound::Send { outer, .. } = buffer.outbound(&mut a) else { panic!() };
        let header = buffer.bytes();
        assert_eq!((header[1], header[6] & 0x40 != 0, header[8]), expected);
        assert_eq!((outer.traffic_class, outer.dont_fragment), (expected.0, expected.1));
    }
}

/// RFC 6040: a mark on the outside reaches the inner packet, or the packet is dropped.
#[test]
fn congestion_marks_come_through() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    for (inner_class, expected) in [(0xb8, None), (0xba, Some(0xbb)), (0xb9, Some(0xbb))] {
        let mut inner = udp_v4(64, 0);
        inner[1] = inner_class;
        let mut buffer = Buffer::new(&inner);
        assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
        buffer.bytes_mut()[1] |= 3;
        match (buffer.inbound(&mut b, Arrival::Ip), expected) {
            (Inbound::Deliver { .. }, Some(class)) => {
                assert_eq!(buffer.bytes()[1], class);
                assert_eq!(header_checksum(buffer.bytes()), 0);
            }
            (verdict, None) => assert_eq!(verdict, Inbound::Discard(Discard::Congestion)),
            (verdict, _) => panic!("{verdict:?}"),
        }
    }
}

#[test]
fn traffic_flow_confidentiality_makes_packets_alike() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let tunnel = TunnelOptions { pad_to: 1000, mtu: 1500, ..TunnelOptions::DEFAULT };
    let protect = Protect { from_packet: FromPacket::NOTHING, tunnel };
    let entry = SpdEntry::new(PolicyId(1), tunnel_selectors(true), Policy::Protect(protect));
    a.set_policies(&[entry]).expect("valid");
    a.install_outbound(params(AES_SHA1, V4, Encap::None, A, 0x1000), &mut rng()).expect("valid");
    let mut lengths = Vec::new();
    for payload in [0, 1, 500, 972] {
        let inner = udp_v4(payload, 0);
        let mut buffer = Buffer::new(&inner);
        assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
        lengths.push(buffer.bytes().len());
        assert!(matches!(buffer.inbound(&mut b, Arrival::Ip), Inbound::Deliver { .. }));
        assert_eq!(buffer.bytes(), inner);
    }
    assert_eq!(lengths, [lengths[0]; 4]);
}

#[test]
fn a_nat_that_moves_the_peer() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, UDP);
    let mut buffer = Buffer::new(&udp_v4(64, 0));
    assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
    buffer.bytes_mut()[20..22].copy_from_slice(&7777_u16.to_be_bytes());
    let got = buffer.inbound(&mut b, Arrival::Ip);
    let Inbound::Deliver { owner, advanced: true, outer, .. } = got else { panic!("{got:?}") };
    assert_eq!(b.move_peer(owner, outer), 1);
    let mut back = udp_v4(64, 0);
    let (source, destination) = ([10, 1, 0, 1], [10, 2, 0, 1]);
    back[12..16].copy_from_slice(&destination);
    back[16..20].copy_from_slice(&source);
    let mut buffer = Buffer::new(&back);
    assert!(matches!(buffer.outbound(&mut b), Outbound::Send { .. }));
    assert_eq!(buffer.bytes()[22..24], 7777_u16.to_be_bytes());
}

/// RFC 4301 §4.4.1.1: populate-from-packet gives each flow an SA of its own.
#[test]
fn selectors_from_the_packet() {
    let mut tables = Tables::<2, 4, 4>::new();
    let mut a = Processor::new(&mut tables, Settings::DEFAULT);
    let from_packet = FromPacket {
        local_address: true,
        remote_address: true,
        protocol: true,
        local_port: false,
        remote_port: true,
    };
    let protect = Protect { from_packet, tunnel: TunnelOptions::DEFAULT };
    let entry = SpdEntry::new(PolicyId(1), tunnel_selectors(true), Policy::Protect(protect));
    a.set_policies(&[entry]).expect("valid");
    let inner = udp_v4(64, 0);
    assert_eq!(Buffer::new(&inner).outbound(&mut a), Outbound::Hold { policy: PolicyId(1) });
    let Some(Notice::Acquire { selectors, .. }) = a.poll_notice() else { panic!() };
    let expected = TrafficSelectors {
        local: Selector::addresses(Addresses::host(ip("10.1.0.1"))),
        remote: Selector {
            addresses: Addresses::host(ip("10.2.0.1")),
            ports: PortRange::one(2000),
        },
        protocol: Protocol::Number(17),
    };
    assert_eq!(selectors, expected);
    let mut narrow = params(AES_SHA1, V4, Encap::None, A, 0x1000);
    narrow.selectors = expected;
    a.install_outbound(narrow, &mut rng()).expect("valid");
    assert!(matches!(Buffer::new(&inner).outbound(&mut a), Outbound::Send { .. }));
    let mut other = inner.clone();
    other[23] ^= 1;
    assert!(matches!(Buffer::new(&other).outbound(&mut a), Outbound::Hold { .. }));
    assert!(matches!(a.poll_notice(), Some(Notice::Acquire { .. })));
}

/// RFC 4303 §2.6: a dummy looks like any other packet, and its receiver drops and counts it.
#[test]
fn dummies_are_sent_and_dropped() {
    for transform in transforms() {
        for (framing, mode) in [(Framing::Ip, Mode::Tunnel), (Framing::Esp, Mode::Transport)] {
            let mut out = params(transform, V4, UDP, A, 0x1000);
            out.mode = mode;
            let mut sa = OutboundSa::new(out, &mut rng())
                .expect("valid")
                .with(TunnelOptions::DEFAULT, framing);
            let mut inb = params(transform, (V4.1, V4.0), UDP, B, 0x1000);
            inb.mode = mode;
            let mut peer = InboundSa::new(inb).expect("valid");
            let mut memory = [0x77; 400];
            let mut packet = PacketBuf::new(&mut memory, 100..200).expect("inside");
            let sealed = sa.seal_dummy(&mut packet).expect("room");
            assert_eq!((sealed.sequence.0, sealed.outer.remote), (1, V4.1));
            let arrival = match framing {
                Framing::Ip => Arrival::Ip,
                Framing::Esp => Arrival::Esp(turned(sealed.outer)),
            };
            assert_eq!(peer.open(&mut packet, arrival), Err(OpenError::Dummy), "{transform}");
            assert_eq!(peer.newest_sequence().0, 1);
        }
    }
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let mut memory = [0x77; 400];
    let mut packet = PacketBuf::new(&mut memory, 100..200).expect("inside");
    assert!(matches!(a.dummy(A, &mut packet), Some(Outbound::Send { .. })));
    assert_eq!(b.inbound(&mut packet, Arrival::Ip), Inbound::Discard(Discard::Dummy));
    assert_eq!(a.dummy(B, &mut packet), None);
    // As large as the path, and no larger: two bytes of trailer fill the fourth block.
    let sealed_len = 20 + 8 + 16 + 64 + 12;
    for (mtu, len, fits) in
        [(sealed_len, 62, true), (sealed_len, 63, false), (sealed_len - 1, 62, false)]
    {
        assert_eq!(a.set_mtu(A, mtu), 1);
        let mut packet = PacketBuf::new(&mut memory, 100..100 + len).expect("inside");
        let verdict = a.dummy(A, &mut packet).expect("installed");
        if fits {
            assert!(matches!(verdict, Outbound::Send { .. }));
            assert_eq!(packet.len(), usize::from(sealed_len));
        } else {
            assert_eq!(verdict, Outbound::Discard(Discard::TooLong));
            assert_eq!(packet.len(), len);
        }
    }
}

/// RFC 4301 §8.2: an ICMP error about a sealed packet leads to its SA, and the path's size to what the next sender hears.
#[test]
fn path_mtu_from_an_icmp_error() {
    for encap in [Encap::None, UDP] {
        let mut tables = (Tables::new(), Tables::new());
        let (mut a, _) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, encap);
        let inner = udp_v4(1400, 0x4000);
        let mut buffer = Buffer::new(&inner);
        assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
        let router = ip("198.51.100.1");
        let mut error = [0; 576];
        let len = too_big_reply(buffer.bytes(), 1400, router, &mut error).expect("may be sent");
        let told = Some((A, IcmpError::TooBig { mtu: 1400 }));
        assert_eq!(a.icmp_error(&error[..len]), told);
        // Who shrinks a path must have seen both the peer and the SPI in one packet.
        let spi = 28 + 20 + if encap == UDP { 8 } else { 0 };
        for at in [28 + 19, spi + 3] {
            let mut guessed = error[..len].to_vec();
            guessed[at] ^= 1;
            assert_eq!(a.icmp_error(&guessed), None);
        }
        // Routers may quote as little as eight bytes: enough for the SPI of raw ESP.
        let shortest = 28 + 20 + 8;
        assert_eq!(a.icmp_error(&error[..len.min(shortest)]), None);
        let mut short = error[..shortest].to_vec();
        short[2..4].copy_from_slice(&56_u16.to_be_bytes());
        assert_eq!(a.icmp_error(&short), told.filter(|_| encap == Encap::None));

        assert_eq!(a.set_mtu(A, 1400), 1);
        let mut buffer = Buffer::new(&inner);
        let Outbound::TooBig { mtu } = buffer.outbound(&mut a) else { panic!("too big") };
        let len = too_big_reply(&inner, mtu, ip("10.1.0.254"), &mut error).expect("may be sent");
        assert_eq!(error[20..22], [3, 4]);
        assert_eq!(error[26..28], mtu.to_be_bytes());
        assert_eq!(error[28..len], inner[..len - 28]);
        // Somebody else's packets are none of ours.
        let mut forged = error[..len].to_vec();
        forged[48] ^= 1;
        assert_eq!(a.icmp_error(&forged), None);
    }
}

/// A number is never used twice, a state neither, and what does not fit is refused.
#[test]
fn a_warm_restart() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let send = |a: &mut Processor<'_>| {
        let mut buffer = Buffer::new(&udp_v4(64, 0));
        (buffer.outbound(a), buffer)
    };
    let sequence =
        |buffer: &Buffer| u32::from_be_bytes(buffer.bytes()[24..28].try_into().expect("four"));
    for _ in 0..3 {
        assert!(matches!(send(&mut a).1.inbound(&mut b, Arrival::Ip), Inbound::Deliver { .. }));
    }
    let out = a.export_outbound(A, 8, 5).expect("installed");
    let running = b.inbound_sas().next().expect("installed");
    let (inn, carried) = (running.export(5), running.counters());
    assert_eq!((carried.packets, carried.bytes), (3, 3 * 96));
    let after: Vec<_> = (0..8).map(|_| send(&mut a)).collect();
    assert!(after.iter().all(|(verdict, _)| matches!(verdict, Outbound::Send { .. })));
    // The ninth waits, in the buffer and not in clear, until there is another export.
    assert_eq!(send(&mut a).0, Outbound::Hold { policy: PolicyId(1) });
    let spi = Spi::new(0x1000).expect("not reserved");
    assert_eq!(a.poll_notice(), Some(Notice::ReservationLow { owner: A, spi }));
    assert_eq!(a.poll_notice(), None);
    a.export_outbound(A, 8, 6).expect("installed");
    assert!(matches!(send(&mut a).0, Outbound::Send { .. }));

    let sa = || params(AES_SHA1, V4, Encap::None, A, 0x1000);
    let restarted = OutboundSa::import(sa(), &out, 5, &mut rng()).expect("fits");
    assert_eq!(restarted.last_sequence().0, 11);
    assert_eq!(restarted.counters().packets, 11);
    let mut tables = (Memory::new(), Memory::new());
    let mut a = Processor::new(&mut tables.0, Settings::DEFAULT);
    a.set_policies(&[SpdEntry::new(PolicyId(1), tunnel_selectors(true), Policy::PROTECT)])
        .expect("valid");
    a.import_outbound(sa(), &out, 5, &mut rng()).expect("fits");
    let (_, mut next) = send(&mut a);
    assert_eq!(sequence(&next), 12);

    let mut b = Processor::new(&mut tables.1, Settings::DEFAULT);
    b.set_policies(&[SpdEntry::new(PolicyId(1), tunnel_selectors(false), Policy::PROTECT)])
        .expect("valid");
    let peer = || params(AES_SHA1, (V4.1, V4.0), Encap::None, B, 0x1000);
    b.import_inbound(peer(), &inn, 5, 6).expect("fits");
    assert_eq!(b.inbound_sas().next().expect("installed").counters(), carried);
    let verdicts: Vec<_> =
        after.into_iter().map(|(_, mut buffer)| buffer.inbound(&mut b, Arrival::Ip)).collect();
    // Three were seen, six given up: the last two of the eight are new.
    assert!(verdicts[..6].iter().all(|verdict| *verdict == Inbound::Discard(Discard::Replay)));
    assert!(verdicts[6..].iter().all(|verdict| matches!(verdict, Inbound::Deliver { .. })));
    assert!(matches!(next.inbound(&mut b, Arrival::Ip), Inbound::Deliver { .. }));

    let import = |state: &[u8], generation| {
        OutboundSa::import(sa(), state, generation, &mut rng()).map(drop)
    };
    assert_eq!(import(&out, 6), Err(StateError::Generation));
    assert_eq!(import(&inn, 5), Err(StateError::Format));
    for len in 0..out.len() {
        assert_eq!(import(&out[..len], 5), Err(StateError::Format));
    }
    let changes: [fn(&mut SaParams); 5] = [
        |sa| sa.replay_window = 128,
        |sa| sa.esn = true,
        |sa| sa.transform = Transform::NullHmac(Integrity::HmacSha1_96),
        |sa| sa.transform = Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha256_128),
        |sa| sa.transform = Transform::CbcHmac(BlockCipher::Aes256, Integrity::HmacSha1_96),
    ];
    for (at, change) in changes.into_iter().enumerate() {
        let (mut ours, mut theirs) = (sa(), peer());
        change(&mut ours);
        change(&mut theirs);
        assert_eq!(InboundSa::import(theirs, &inn, 5, 0).map(drop), Err(StateError::OtherSa));
        // What goes out has no window.
        let imported = OutboundSa::import(ours, &out, 5, &mut rng()).map(drop);
        assert_eq!(imported, if at == 0 { Ok(()) } else { Err(StateError::OtherSa) });
    }
    let mut impossible = out;
    impossible[24] = 1;
    assert_eq!(import(&impossible, 5), Err(StateError::Numbers));
    let mut impossible = inn;
    // A newest number that is not marked as seen.
    impossible[31] = 9;
    assert_eq!(InboundSa::import(peer(), &impossible, 5, 0).map(drop), Err(StateError::Numbers));
}
