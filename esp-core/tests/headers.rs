//! What becomes of the headers of IP: options, chains of extension headers, marks, sizes.

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

const ESP: u8 = 50;
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;

/// A UDP packet with these options, whole words, in its IPv4 header.
fn with_options(packet: &[u8], options: &[u8]) -> Vec<u8> {
    let mut packet = [&packet[..20], options, &packet[20..]].concat();
    packet[0] += u8::try_from(options.len() / 4).expect("short");
    let len = u16::try_from(packet.len()).expect("short");
    packet[2..4].copy_from_slice(&len.to_be_bytes());
    renew_v4_checksum(&mut packet);
    packet
}

fn v4_header_sums_to_zero(packet: &[u8]) -> bool {
    let mut copy = packet.to_vec();
    renew_v4_checksum(&mut copy);
    copy == packet
}

fn renew_v4_checksum(packet: &mut [u8]) {
    let len = usize::from(packet[0] & 0x0f) * 4;
    packet[10..12].fill(0);
    let mut sum: u32 =
        packet[..len].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum();
    sum = (sum & 0xffff) + (sum >> 16);
    sum = (sum & 0xffff) + (sum >> 16);
    packet[10..12].copy_from_slice(&(!u16::try_from(sum).expect("folded")).to_be_bytes());
}

/// A UDP packet over IPv6 with these extension headers; each is its kind and how many bytes it has.
fn with_chain(packet: &[u8], chain: &[(u8, usize)]) -> Vec<u8> {
    let kinds: Vec<u8> = chain.iter().map(|(kind, _)| *kind).chain([17]).collect();
    let mut result = packet[..40].to_vec();
    result[6] = kinds[0];
    for ((kind, len), next) in chain.iter().zip(&kinds[1..]) {
        let mut header = vec![0; *len];
        header[0] = *next;
        match *kind {
            // A fragment header of a packet that is in one piece (RFC 6946).
            FRAGMENT => header[7] = 9,
            _ => {
                header[1] = u8::try_from(len / 8 - 1).expect("short");
                // PadN over the rest; for a routing header, of an unknown type with no segments left.
                let fill = u8::try_from(len - 4).expect("short");
                header[2..4].copy_from_slice(&if *kind == ROUTING { [200, 0] } else { [1, fill] });
            }
        }
        result.extend(header);
    }
    result.extend(&packet[40..]);
    let len = u16::try_from(result.len() - 40).expect("short");
    result[4..6].copy_from_slice(&len.to_be_bytes());
    result
}

/// In transport mode the options of IPv4 stay in front of ESP, and come back as they were (RFC 4303 §3.1.1).
#[test]
fn ipv4_options_stay_in_front_of_esp() {
    for encap in [Encap::None, UDP] {
        for words in 0..=10 {
            let options = vec![1; words * 4]; // no-operation
            let packet = with_options(&udp_between(V4.0, V4.1, 60), &options);
            let mut tables = (Tables::new(), Tables::new());
            let (mut a, mut b) = hosts(&mut tables, Settings::DEFAULT, V4, encap);
            let mut buffer = Buffer::new(&packet);
            assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
            let sealed = buffer.bytes();
            let at = 20 + options.len();
            assert_eq!(sealed[0], packet[0]);
            assert_eq!(sealed[20..at], options);
            let (protocol, udp_len) = if encap == UDP { (17, 8) } else { (ESP, 0) };
            assert_eq!(sealed[9], protocol);
            assert_eq!(sealed[at + udp_len..at + udp_len + 4], 0x1000_u32.to_be_bytes());
            assert_eq!(usize::from(u16::from_be_bytes([sealed[2], sealed[3]])), sealed.len());
            assert!(v4_header_sums_to_zero(sealed));
            let got = buffer.inbound(&mut b, Arrival::Ip);
            assert!(matches!(got, Inbound::Deliver { .. }), "{words} words: {got:?}");
            assert_eq!(buffer.bytes(), packet);
        }
    }
}

/// Where ESP goes in a chain of IPv6 headers: behind hop-by-hop options, routing and fragment header; destination
/// options in front of a routing header are for the hops it names and stay outside, those behind it, or
/// without one, are the destination's and go inside (RFC 4303 §3.1.1, RFC 8200 §4.1).
#[test]
fn ipv6_extension_headers_stay_or_go_inside() {
    // The chain, and how many bytes of it stay in front.
    let cases: &[(&[(u8, usize)], usize)] = &[
        (&[(HOP_BY_HOP, 8)], 8),
        (&[(HOP_BY_HOP, 24)], 24),
        (&[(ROUTING, 16)], 16),
        (&[(FRAGMENT, 8)], 8),
        (&[(DESTINATION, 8)], 0),
        (&[(DESTINATION, 256)], 0),
        (&[(DESTINATION, 8), (ROUTING, 8)], 16),
        (&[(ROUTING, 8), (DESTINATION, 16)], 8),
        (&[(HOP_BY_HOP, 8), (DESTINATION, 8), (ROUTING, 24), (DESTINATION, 8)], 40),
        (&[(HOP_BY_HOP, 8), (ROUTING, 8), (FRAGMENT, 8), (DESTINATION, 8)], 24),
    ];
    for (chain, outside) in cases {
        for encap in [Encap::None, UDP] {
            let packet = with_chain(&udp_between(V6.0, V6.1, 60), chain);
            let mut tables = (Tables::new(), Tables::new());
            let (mut a, mut b) = hosts(&mut tables, Settings::DEFAULT, V6, encap);
            let mut buffer = Buffer::new(&packet);
            let sent = buffer.outbound(&mut a);
            assert!(matches!(sent, Outbound::Send { .. }), "{chain:?}: {sent:?}");
            let sealed = buffer.bytes();
            let (protocol, udp_len) = if encap == UDP { (17, 8) } else { (ESP, 0) };
            let at = 40 + outside;
            assert_eq!(sealed[at + udp_len..at + udp_len + 4], 0x1000_u32.to_be_bytes());
            // Whatever names what follows the last header outside names it now.
            let mut front = packet[..at].to_vec();
            let (mut names, mut end) = (6, 40);
            for (_, len) in *chain {
                if end < at {
                    names = end;
                    end += len;
                }
            }
            front[names] = protocol;
            let payload_len = u16::try_from(sealed.len() - 40).expect("short");
            front[4..6].copy_from_slice(&payload_len.to_be_bytes());
            assert_eq!(sealed[..at], front, "{chain:?}");
            let got = buffer.inbound(&mut b, Arrival::Ip);
            assert!(matches!(got, Inbound::Deliver { .. }), "{chain:?} {encap:?}: {got:?}");
            assert_eq!(buffer.bytes(), packet, "{chain:?}");
        }
    }
}

/// A packet is judged by what its chain of headers carries, not by the first of them.
#[test]
fn policy_sees_through_a_chain_of_extension_headers() {
    let mut tables = Tables::<2, 1, 4>::new();
    let mut a = Processor::new(&mut tables, Settings::DEFAULT);
    let mut udp = ANY;
    udp.protocol = Protocol::Number(17);
    udp.remote.ports = PortRange::one(2000);
    a.set_policies(&[SpdEntry::new(PolicyId(1), udp, Policy::Bypass)]).expect("valid");
    let chain = [(HOP_BY_HOP, 8), (ROUTING, 8), (DESTINATION, 16)];
    let packet = with_chain(&udp_between(V6.0, V6.1, 60), &chain);
    assert_eq!(Buffer::new(&packet).outbound(&mut a), Outbound::Bypass);
    let mut other_port = packet.clone();
    other_port[40 + 32 + 3] ^= 1;
    let verdict = Buffer::new(&other_port).outbound(&mut a);
    assert_eq!(verdict, Outbound::Discard(Discard::NoPolicy));
    // A chain that ends nowhere is no packet.
    let mut endless = packet;
    endless[40 + 16] = DESTINATION;
    let verdict = Buffer::new(&endless).outbound(&mut a);
    assert_eq!(verdict, Outbound::Discard(Discard::Malformed));
}

/// RFC 4303 §3.3.4: transport mode does not protect fragments, whichever they are.
#[test]
fn transport_mode_refuses_fragments() {
    for (offset, more) in [(0_u16, true), (8, true), (8, false)] {
        let mut tables = (Tables::new(), Tables::new());
        let (mut a, _) = hosts(&mut tables, Settings::DEFAULT, V4, Encap::None);
        let mut packet = udp_between(V4.0, V4.1, 60);
        let word = (offset / 8) | if more { 0x2000 } else { 0 };
        packet[6..8].copy_from_slice(&word.to_be_bytes());
        let mut buffer = Buffer::new(&packet);
        assert_eq!(buffer.outbound(&mut a), Outbound::Discard(Discard::Fragment));
        assert_eq!(buffer.bytes(), packet);

        let mut tables = (Tables::new(), Tables::new());
        let (mut a, _) = hosts(&mut tables, Settings::DEFAULT, V6, Encap::None);
        let mut packet = with_chain(&udp_between(V6.0, V6.1, 60), &[(FRAGMENT, 8)]);
        packet[42..44].copy_from_slice(&(offset | u16::from(more)).to_be_bytes());
        let verdict = Buffer::new(&packet).outbound(&mut a);
        assert_eq!(verdict, Outbound::Discard(Discard::Fragment));
    }
}

/// Transport mode is between the two ends of the SA and nobody else.
#[test]
fn transport_mode_refuses_packets_of_others() {
    for (source, destination) in [(ip("192.0.2.9"), V4.1), (V4.0, ip("192.0.2.9"))] {
        let mut tables = (Tables::new(), Tables::new());
        let (mut a, _) = hosts(&mut tables, Settings::DEFAULT, V4, Encap::None);
        let packet = udp_between(source, destination, 60);
        let mut buffer = Buffer::new(&packet);
        assert_eq!(buffer.outbound(&mut a), Outbound::Discard(Discard::Selectors));
        assert_eq!(buffer.bytes(), packet);
    }
}

/// RFC 8200 §8.1: over IPv6 a UDP header without a checksum is dropped by its receiver; over IPv4 RFC 3948 §2.1 asks for none.
#[test]
fn the_udp_checksum_of_encapsulation() {
    for transform in transforms() {
        for len in [0, 1, 100, 101] {
            let mut tables = (Tables::new(), Tables::new());
            let (mut a, _) = pair(&mut tables, Settings::DEFAULT, transform, V6, UDP);
            let mut one = Buffer::new(&udp_v4(len, 0));
            assert!(matches!(one.outbound(&mut a), Outbound::Send { .. }));
            assert_ne!(one.bytes()[46..48], [0, 0]);
            assert_eq!(inner_checksum(one.bytes()), 0, "{transform}");

            // And in a batch, where it is written elsewhere.
            let inner = udp_v4(len, 0);
            let mut memory = vec![[&[0; 80][..], &inner, &[0; 80]].concat(); 3];
            let range = 80..80 + inner.len();
            let mut packets: Vec<_> = memory
                .iter_mut()
                .map(|memory| PacketBuf::new(memory, range.clone()).expect("inside"))
                .collect();
            a.outbound_batch(&mut packets, &mut [Outbound::Bypass; 3]);
            assert!(packets.iter().all(|packet| inner_checksum(packet.packet()) == 0));
        }
    }
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, _) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, UDP);
    let mut buffer = Buffer::new(&udp_v4(100, 0));
    assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
    assert_eq!(buffer.bytes()[26..28], [0, 0]);
}

fn gateways_with(
    tables: &mut (Memory, Memory),
    tunnel: TunnelOptions,
    ends: Ends,
    v4_inside: bool,
) -> (Processor<'_>, Processor<'_>) {
    let nets = if v4_inside {
        (subnet("10.1.0.0", 16), subnet("10.2.0.0", 16))
    } else {
        (subnet("fd01::", 16), subnet("fd02::", 16))
    };
    let protect = Policy::Protect(Protect { from_packet: FromPacket::NOTHING, tunnel });
    let (first, second) = tables;
    let mut a = Processor::new(first, Settings::DEFAULT);
    let mut b = Processor::new(second, Settings::DEFAULT);
    let from_a = TrafficSelectors::between(nets.0, nets.1);
    let from_b = TrafficSelectors::between(nets.1, nets.0);
    a.set_policies(&[SpdEntry::new(PolicyId(1), from_a, protect)]).expect("valid");
    b.set_policies(&[SpdEntry::new(PolicyId(1), from_b, protect)]).expect("valid");
    let mut out = params(AES_SHA1, ends, Encap::None, A, 0x1000);
    out.selectors = from_a;
    a.install_outbound(out, &mut rng()).expect("valid");
    let mut inb = params(AES_SHA1, (ends.1, ends.0), Encap::None, B, 0x1000);
    inb.selectors = from_b;
    b.install_inbound(inb).expect("valid");
    (a, b)
}

fn class_of(packet: &[u8]) -> u8 {
    if packet[0] >> 4 == 4 { packet[1] } else { packet[0] << 4 | packet[1] >> 4 }
}

fn set_class(packet: &mut [u8], class: u8) {
    if packet[0] >> 4 == 4 {
        packet[1] = class;
        renew_v4_checksum(packet);
    } else {
        packet[0] = 0x60 | class >> 4;
        packet[1] = packet[1] & 0x0f | class << 4;
    }
}

/// Every inner and outer mark over every pair of families, by RFC 6040 and by RFC 4301, through the gateways' policy.
#[test]
fn congestion_marks_by_either_rule() {
    let (not_ect, ect1, ect0, ce) = (0, 1, 2, 3);
    for ecn in [Ecn::Copy, Ecn::Rfc4301] {
        for ends in [V4, V6] {
            for v4_inside in [true, false] {
                let tunnel = TunnelOptions { ecn, ..TunnelOptions::DEFAULT };
                let mut tables = (Tables::new(), Tables::new());
                let (mut a, mut b) = gateways_with(&mut tables, tunnel, ends, v4_inside);
                for inner_mark in [not_ect, ect1, ect0, ce] {
                    for outer_mark in [not_ect, ect1, ect0, ce] {
                        let mut inner = if v4_inside { udp_v4(64, 0) } else { udp_v6(64) };
                        set_class(&mut inner, 0xb8 | inner_mark);
                        let mut buffer = Buffer::new(&inner);
                        assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
                        assert_eq!(class_of(buffer.bytes()), 0xb8 | inner_mark);
                        set_class(buffer.bytes_mut(), 0x28 | outer_mark);
                        let expected = match (inner_mark, outer_mark) {
                            (0, 3) if ecn == Ecn::Copy => None,
                            (0, _) => Some(not_ect),
                            (_, 3) => Some(ce),
                            (2, 1) if ecn == Ecn::Copy => Some(ect1),
                            (mark, _) => Some(mark),
                        };
                        let got = buffer.inbound(&mut b, Arrival::Ip);
                        let what = format!("{ecn:?} {inner_mark} {outer_mark}: {got:?}");
                        let Some(expected) = expected else {
                            assert_eq!(got, Inbound::Discard(Discard::Congestion), "{what}");
                            continue;
                        };
                        assert!(matches!(got, Inbound::Deliver { .. }), "{what}");
                        set_class(&mut inner, 0xb8 | expected);
                        assert_eq!(buffer.bytes(), inner, "{what}");
                    }
                }
            }
        }
    }
}

/// DF, flow label, TTL and DSCP of the outer header, over all pairs of families.
#[test]
fn the_outer_header_over_all_families() {
    use DontFragment::{Clear, Copy, Set};
    for ends in [V4, V6] {
        for v4_inside in [true, false] {
            for (dont_fragment, label) in
                [(Copy, FlowLabel::Copy), (Set, FlowLabel::Zero), (Clear, FlowLabel::Copy)]
            {
                let tunnel = TunnelOptions {
                    dont_fragment,
                    flow_label: label,
                    dscp: Dscp::Set(46),
                    ttl: 7,
                    ..TunnelOptions::DEFAULT
                };
                let mut tables = (Tables::new(), Tables::new());
                let (mut a, _) = gateways_with(&mut tables, tunnel, ends, v4_inside);
                for inner_df in [false, true] {
                    let flags = if inner_df { 0x4000 } else { 0 };
                    let mut inner = if v4_inside { udp_v4(64, flags) } else { udp_v6(64) };
                    if !v4_inside {
                        (inner[1], inner[2], inner[3]) = (0x0a, 0xbc, 0xde);
                    }
                    let mut buffer = Buffer::new(&inner);
                    let Outbound::Send { outer, .. } = buffer.outbound(&mut a) else { panic!() };
                    let header = buffer.bytes();
                    assert_eq!(class_of(header) >> 2, 46);
                    let expected = match dont_fragment {
                        Copy => inner_df || !v4_inside,
                        Set => true,
                        Clear => false,
                    };
                    assert_eq!(outer.dont_fragment, expected);
                    if ends == V4 {
                        assert_eq!((header[6] & 0x40 != 0, header[8]), (expected, 7));
                        assert!(v4_header_sums_to_zero(header));
                    } else {
                        let copied = label == FlowLabel::Copy && !v4_inside;
                        let expected = if copied { [0x0a, 0xbc, 0xde] } else { [0; 3] };
                        assert_eq!([header[1] & 0x0f, header[2], header[3]], expected);
                        assert_eq!(header[7], 7);
                    }
                }
            }
        }
    }
}

/// Which packets beyond the path's size are refused and which may be fragmented on their way (RFC 4301 §8.2, RFC 8200 §5).
#[test]
fn who_hears_of_the_size_of_the_path() {
    use DontFragment::{Clear, Copy, Set};
    for ends in [V4, V6] {
        for dont_fragment in [Copy, Set, Clear] {
            let tunnel = TunnelOptions { dont_fragment, mtu: 1300, ..TunnelOptions::DEFAULT };
            for (inner, v4_inside, inner_df) in [
                (udp_v4(1372, 0), true, false),
                (udp_v4(1372, 0x4000), true, true),
                (udp_v6(1352), false, true),
            ] {
                let mut tables = (Tables::new(), Tables::new());
                let (mut a, _) = gateways_with(&mut tables, tunnel, ends, v4_inside);
                let outer_df = match dont_fragment {
                    Copy => inner_df,
                    Set => true,
                    Clear => false,
                };
                // An outer packet of IPv6 is fragmented by us, its source, if at all.
                let may = v4_inside && !inner_df && (!outer_df || ends == V6);
                let mut buffer = Buffer::new(&inner);
                let verdict = buffer.outbound(&mut a);
                if may {
                    assert!(matches!(verdict, Outbound::Send { .. }), "{verdict:?}");
                } else {
                    assert!(matches!(verdict, Outbound::TooBig { .. }), "{verdict:?}");
                    assert_eq!(buffer.bytes(), inner);
                }
            }
        }
    }
}

/// A sender of IPv6 ignores word of a path below 1280 bytes (RFC 8201 §4) and goes on with what it sends: so it hears 1280, and
/// its packets of that size are taken, to be fragmented outside.
#[test]
fn a_sender_of_ipv6_is_not_told_less_than_1280() {
    for ends in [V4, V6] {
        for mtu in [600, 1280, 1300, 1333, 1400] {
            let tunnel = TunnelOptions { mtu, ..TunnelOptions::DEFAULT };
            let mut tables = (Tables::new(), Tables::new());
            let (mut a, _) = gateways_with(&mut tables, tunnel, ends, false);
            let verdict = Buffer::new(&udp_v6(1352)).outbound(&mut a);
            let Outbound::TooBig { mtu: told } = verdict else { panic!("{verdict:?}") };
            let fits = usize::from(mtu) - if ends == V4 { 20 } else { 40 } - 8 - 16 - 12;
            let fits = fits / 16 * 16 - 2;
            assert_eq!(usize::from(told), fits.max(1280));
            let verdict = Buffer::new(&udp_v6(usize::from(told) - 48)).outbound(&mut a);
            assert!(matches!(verdict, Outbound::Send { .. }), "{verdict:?}");
            let verdict = Buffer::new(&udp_v6(usize::from(told) - 47)).outbound(&mut a);
            assert!(matches!(verdict, Outbound::TooBig { .. }), "{verdict:?}");
        }
    }
}

/// In transport mode the size told counts the packet's own header, options included.
#[test]
fn the_size_told_in_transport_mode_fits() {
    for options in [0, 8, 40] {
        let mut tables = (Tables::new(), Tables::new());
        let (mut a, _) = hosts(&mut tables, Settings::DEFAULT, V4, UDP);
        assert_eq!(a.set_mtu(A, 1000), 1);
        let packet = |len: usize| {
            let mut packet = with_options(&udp_between(V4.0, V4.1, len), &vec![1; options]);
            packet[6] = 0x40;
            renew_v4_checksum(&mut packet);
            packet
        };
        let verdict = Buffer::new(&packet(1200)).outbound(&mut a);
        let Outbound::TooBig { mtu } = verdict else { panic!("{verdict:?}") };
        let header = 28 + options;
        let mut fits = Buffer::new(&packet(usize::from(mtu) - header));
        assert!(matches!(fits.outbound(&mut a), Outbound::Send { .. }));
        assert!((985..=1000).contains(&fits.bytes().len()));
        let verdict = Buffer::new(&packet(usize::from(mtu) - header + 1)).outbound(&mut a);
        assert!(matches!(verdict, Outbound::TooBig { .. }));
    }
}

/// RFC 4303 §2.7: filling goes as far as the path allows and no further, and never makes a packet too big.
#[test]
fn filling_stays_within_the_path() {
    for transform in transforms() {
        let mut tables = (Tables::new(), Tables::new());
        let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, transform, V4, Encap::None);
        let tunnel = TunnelOptions { pad_to: 1500, mtu: 1400, ..TunnelOptions::DEFAULT };
        let protect = Policy::Protect(Protect { from_packet: FromPacket::NOTHING, tunnel });
        a.set_policies(&[SpdEntry::new(PolicyId(1), tunnel_selectors(true), protect)])
            .expect("valid");
        a.install_outbound(params(transform, V4, Encap::None, A, 0x1000), &mut rng())
            .expect("valid");
        for len in [250, 400, 1000] {
            let inner = udp_v4(len, 0x4000);
            let mut buffer = Buffer::new(&inner);
            assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
            assert!((1385..=1400).contains(&buffer.bytes().len()), "{transform} {len}");
            assert!(matches!(buffer.inbound(&mut b, Arrival::Ip), Inbound::Deliver { .. }));
            assert_eq!(buffer.bytes(), inner);
        }
    }
}

/// RFC 4301 §5.2 and the length checks of RFC 4303: what comes out of a tunnel is one whole IP packet of the family that the
/// trailer names, no longer than the room it had. NULL encryption leaves it in sight, to be spoilt and signed again.
#[test]
fn the_inner_packet_must_fit_its_outside() {
    let sealed = |payload: &[u8], trailer_says_v6: bool| {
        let mut out =
            params(Transform::NullHmac(Integrity::HmacSha1_96), V4, Encap::None, A, 0x1000);
        out.selectors = ANY;
        let mut sa = OutboundSa::new(out, &mut rng()).expect("valid");
        let carrier = if trailer_says_v6 {
            udp_v6(payload.len() - 48)
        } else {
            udp_v4(payload.len() - 28, 0)
        };
        let mut buffer = [&[0; 80][..], &carrier, &[0; 80]].concat();
        let mut packet = PacketBuf::new(&mut buffer, 80..80 + carrier.len()).expect("inside");
        sa.seal(&mut packet).expect("sealable");
        packet.packet()[20..].to_vec()
    };
    let open = |esp: &[u8]| {
        let mut inb = params(
            Transform::NullHmac(Integrity::HmacSha1_96),
            (V4.1, V4.0),
            Encap::None,
            B,
            0x1000,
        );
        inb.selectors = ANY;
        let mut sa = InboundSa::new(inb).expect("valid");
        let mut esp = esp.to_vec();
        resign(&mut esp);
        let outer = Outer {
            local: V4.1,
            remote: V4.0,
            encap: Encap::None,
            traffic_class: 0,
            dont_fragment: false,
        };
        let result = sa.open(&mut PacketBuf::whole(&mut esp), Arrival::Esp(outer)).map(drop);
        (result, sa.newest_sequence().0)
    };
    let good = sealed(&[0; 100], false);
    assert_eq!(open(&good), (Ok(()), 1));
    let inner_at = 8;
    let trailer_at = good.len() - 14;
    let spoil = |at: usize, value: u8| {
        let mut bad = good.clone();
        bad[at] = value;
        open(&bad).0
    };
    // The family the trailer names is not the packet's.
    for next_header in [0, 6, 17, 41, 50, 58, 255] {
        assert_eq!(spoil(trailer_at + 1, next_header), Err(OpenError::Inner), "{next_header}");
    }
    assert_eq!(spoil(trailer_at + 1, 59), Err(OpenError::Dummy));
    // A version that does not exist, a header longer than the packet, a packet longer than its outside.
    for first in [0x05, 0x15, 0x55, 0x44, 0xf5] {
        assert_eq!(spoil(inner_at, first), Err(OpenError::Inner), "{first:#x}");
    }
    assert_eq!(spoil(inner_at + 3, 101), Err(OpenError::Inner));
    assert_eq!(spoil(inner_at + 3, 19), Err(OpenError::Inner));
    assert_eq!(spoil(inner_at + 2, 0xff), Err(OpenError::Inner));
    // Padding that is longer than what there is; padding that leaves less than the packet.
    for pad_len in [3, 100, 255] {
        assert_eq!(spoil(trailer_at, pad_len), Err(OpenError::Inner), "{pad_len}");
    }
    let six = sealed(&[0; 100], true);
    assert_eq!(open(&six), (Ok(()), 1));
    // All of these were authentic: their number is taken.
    let mut bad = good;
    bad[trailer_at] = 255;
    assert_eq!(open(&bad), (Err(OpenError::Inner), 1));
}

/// Puts the ICV of the test SA's key behind a changed packet.
fn resign(esp: &mut [u8]) {
    use hmac::{Hmac, KeyInit, Mac};
    let keys = params(Transform::NullHmac(Integrity::HmacSha1_96), V4, Encap::None, A, 0x1000).keys;
    let (message, icv) = esp.split_at_mut(esp.len() - 12);
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(keys.as_slice()).expect("any length");
    mac.update(message);
    icv.copy_from_slice(&mac.finalize().into_bytes()[..12]);
}

/// RFC 4303 §2.6: a dummy is as long as the others of its SA, and nothing of its outer header tells it from them.
#[test]
fn a_dummy_looks_like_the_others() {
    let tunnel = |dont_fragment| TunnelOptions {
        dscp: Dscp::Set(46),
        dont_fragment,
        pad_to: 700,
        mtu: 1400,
        ttl: 17,
        ..TunnelOptions::DEFAULT
    };
    for (framing, fragments) in [
        (Framing::Ip, DontFragment::Set),
        (Framing::Ip, DontFragment::Clear),
        (Framing::Esp, DontFragment::Set),
        (Framing::Esp, DontFragment::Clear),
    ] {
        let sa = params(AES_SHA1, V4, UDP, A, 0x1000);
        let sa = OutboundSa::new(sa, &mut rng()).expect("valid");
        let mut sa = sa.with(tunnel(fragments), framing);
        let mut other = [0; 1200];
        let inner = udp_v4(100, 0);
        other[200..200 + inner.len()].copy_from_slice(&inner);
        let mut other = PacketBuf::new(&mut other, 200..200 + inner.len()).expect("inside");
        let mut dummy = [0; 1200];
        let mut dummy = PacketBuf::new(&mut dummy, 200..333).expect("inside");
        let other_sealed = sa.seal(&mut other).expect("sealed");
        let dummy_sealed = sa.seal_dummy(&mut dummy).expect("sealed");
        assert_eq!(dummy_sealed.outer, other_sealed.outer);
        assert_eq!(dummy.len(), other.len());
        if framing == Framing::Ip {
            // All but what counts: identification and checksum.
            let header = |packet: &PacketBuf<'_>| {
                let packet = packet.packet();
                [&packet[..4], &packet[6..10], &packet[12..32]].concat()
            };
            assert_eq!(header(&dummy), header(&other));
        }
    }
}

/// Without a limit of the path an IP packet is the limit: what would be filled beyond it is filled up to it.
#[test]
fn filling_up_without_a_limit() {
    let tunnel = TunnelOptions { pad_to: u16::MAX, ..TunnelOptions::DEFAULT };
    let sa = params(AES_SHA1, V4, Encap::None, A, 0x1000);
    let mut sa = OutboundSa::new(sa, &mut rng()).expect("valid").with(tunnel, Framing::Ip);
    let mut memory = vec![0; 70_000];
    let inner = udp_v4(100, 0);
    memory[200..200 + inner.len()].copy_from_slice(&inner);
    let mut packet = PacketBuf::new(&mut memory, 200..200 + inner.len()).expect("inside");
    sa.seal(&mut packet).expect("sealed");
    assert!((65_520..=65_535).contains(&packet.len()), "{}", packet.len());
}
