//! Authentic packets with something inside that no honest peer sends: the receiver has to look at it as at any other.

use core::net::IpAddr;

use esp_core::*;

use crate::forge::*;
use crate::hosts::*;

/// Opens what carries `payload`, each time under the next number; the verdict, and what came out.
fn open(
    b: &mut Processor<'_>,
    sequence: &mut u32,
    payload: &[u8],
    next_header: u8,
) -> (Inbound, Vec<u8>) {
    *sequence += 1;
    let mut buffer = Buffer::new(&forged(*sequence, payload, next_header));
    let verdict = buffer.inbound(b, Arrival::Esp(OUTER));
    // It was authentic: the number is taken whatever became of the packet.
    assert_eq!(
        b.inbound_sas().next().expect("installed").newest_sequence().0,
        u64::from(*sequence)
    );
    (verdict, buffer.bytes().to_vec())
}

/// Linux: an inner length of nothing made a loop without end. Every length that the inner header can state and every
/// header length: what is stated comes out if it is there and holds the header, and nothing otherwise.
#[test]
fn cve_2026_31472_inner_lengths() {
    let mut tables = Memory::new();
    let mut b = receiver(&mut tables, Mode::Tunnel, ANY);
    let mut sequence = 0;
    let four = udp_v4(40, 0);
    for ihl in 0..16_u8 {
        for total in (0..=four.len() as u16 + 8).chain([0xfff0, 0xffff]) {
            let mut inner = four.clone();
            inner[0] = 0x40 | ihl;
            inner[2..4].copy_from_slice(&total.to_be_bytes());
            let (verdict, out) = open(&mut b, &mut sequence, &inner, 4);
            let (header, total) = (usize::from(ihl) * 4, usize::from(total));
            if header >= 20 && header <= total && total <= inner.len() {
                assert!(matches!(verdict, Inbound::Deliver { .. }), "{ihl} {total}: {verdict:?}");
                assert_eq!(out, inner[..total]);
            } else {
                assert_eq!(verdict, Inbound::Discard(Discard::Malformed), "{ihl} {total}");
            }
        }
    }
    let six = udp_v6(40);
    for payload_len in (0..=six.len() as u16).chain([0xffff]) {
        let mut inner = six.clone();
        inner[4..6].copy_from_slice(&payload_len.to_be_bytes());
        let (verdict, out) = open(&mut b, &mut sequence, &inner, 41);
        let total = 40 + usize::from(payload_len);
        if total <= inner.len() {
            assert!(matches!(verdict, Inbound::Deliver { .. }), "{total}: {verdict:?}");
            assert_eq!(out, inner[..total]);
        } else {
            assert_eq!(verdict, Inbound::Discard(Discard::Malformed), "{total}");
        }
    }
    // Nothing, and less than a header, of either family.
    for len in 0..40 {
        for (inner, next_header) in [(&four, 4), (&six, 41)] {
            let (verdict, _) = open(&mut b, &mut sequence, &inner[..len], next_header);
            assert_eq!(verdict, Inbound::Discard(Discard::Malformed), "{len}");
        }
    }
}

/// IP in IP, and Treck: what is taken out of a tunnel that nobody authenticated. Every next header with either family
/// inside: the two have to agree, and clear IP in IP is never looked into.
#[test]
fn cve_2020_10136_only_what_was_authenticated_leaves_a_tunnel() {
    let mut tables = Memory::new();
    let mut b = receiver(&mut tables, Mode::Tunnel, ANY);
    let mut sequence = 0;
    for next_header in 0..=255 {
        for (inner, fits) in [(udp_v4(9, 0), 4), (udp_v6(9), 41), (vec![0x50; 60], 5)] {
            let (verdict, _) = open(&mut b, &mut sequence, &inner, next_header);
            match next_header {
                59 => assert_eq!(verdict, Inbound::Discard(Discard::Dummy)),
                _ if next_header == fits && fits != 5 => {
                    assert!(matches!(verdict, Inbound::Deliver { .. }), "{verdict:?}");
                }
                _ => assert_eq!(verdict, Inbound::Discard(Discard::Malformed), "{next_header}"),
            }
        }
    }
    // The same packets without ESP, and with ESP whose ICV is wrong.
    let mut tables = Memory::new();
    let mut b = receiver(&mut tables, Mode::Tunnel, tunnel_selectors(false));
    let inner = udp_v4(9, 0);
    for (protocol, inner) in [(4, inner.clone()), (41, udp_v6(9))] {
        let clear = ip_packet(V4.0, V4.1, protocol, &inner);
        let mut buffer = Buffer::new(&clear);
        assert_eq!(buffer.inbound(&mut b, Arrival::Ip), Inbound::Discard(Discard::NoPolicy));
        assert_eq!(buffer.bytes(), clear);
    }
    let mut wrong = forged(1, &inner, 4);
    let last = wrong.len() - 1;
    wrong[last] ^= 1;
    let mut buffer = Buffer::new(&wrong);
    assert_eq!(buffer.inbound(&mut b, Arrival::Esp(OUTER)), Inbound::Discard(Discard::Integrity));
    assert_eq!(buffer.bytes(), wrong);
    assert_eq!(carried(&b), [(0, 0)]);
}

/// Windows: an IPv6 fragment inside of ESP. Chains of three headers, of every kind and length, cut everywhere, under a
/// policy for one port: what is delivered shows that port, by a reader that was written apart.
#[test]
fn cve_2022_34718_inner_ipv6_fragments() {
    let dns = TrafficSelectors {
        local: Selector { addresses: Addresses::Any, ports: PortRange::one(53) },
        remote: Selector::ANY,
        protocol: Protocol::Number(17),
    };
    let mut tables = Memory::new();
    let mut b = receiver(&mut tables, Mode::Tunnel, dns);
    let mut sequence = 0;
    let kinds = [0, 17, 43, 44, 50, 51, 58, 59, 60];
    let (mut delivered, mut dropped) = (0, 0);
    for (first, second, third) in kinds.into_iter().flat_map(|first| {
        kinds.into_iter().flat_map(move |second| kinds.map(|third| (first, second, third)))
    }) {
        for length in [0, 1, 2, 255] {
            // In a fragment header these two bytes are the offset; in options they are an option.
            for offset in [0_u16, 1, 8, 9, 0xfff8] {
                let [offset0, offset1] = offset.to_be_bytes();
                let header = |next| [next, length, offset0, offset1, 0, 0, 0, 53];
                let udp = [9, 9, 0, 53, 0, 12, 0, 0, 1, 2, 3, 4];
                let chain = [&header(second)[..], &header(third), &header(17), &udp].concat();
                let whole = chain.len();
                for len in [0, 3, 8, 12, 16, 20, 24, 26, 28, 32, whole] {
                    let inner = ip_packet(ip("fd01::1"), ip("fd02::1"), first, &chain[..len]);
                    let (verdict, out) = open(&mut b, &mut sequence, &inner, 41);
                    if matches!(verdict, Inbound::Deliver { .. }) {
                        assert_eq!(out, inner);
                        assert_eq!(destination_port(&inner), Some(53), "{inner:02x?}");
                        delivered += 1;
                    } else {
                        dropped += 1;
                    }
                }
            }
        }
    }
    assert!(delivered > 900 && dropped > 100_000, "{delivered} {dropped}");
}

/// The destination port of a UDP packet that shows it: not a later fragment, whatever headers are in front.
fn destination_port(packet: &[u8]) -> Option<u16> {
    let (mut kind, mut at) = (packet[6], 40);
    loop {
        match kind {
            17 => return Some(u16::from_be_bytes([*packet.get(at + 2)?, *packet.get(at + 3)?])),
            44 => {
                let offset = u16::from_be_bytes([*packet.get(at + 2)?, *packet.get(at + 3)?]);
                if offset >> 3 != 0 {
                    return None;
                }
                (kind, at) = (packet[at], at + 8);
            }
            0 | 43 | 60 => {
                (kind, at) = (*packet.get(at)?, at + 8 + 8 * usize::from(*packet.get(at + 1)?));
            }
            _ => return None,
        }
    }
}

/// Transport mode takes the address from the outside, so an IP packet inside of it is one protocol among others: its
/// own addresses never count.
#[test]
fn cve_2020_11896_a_tunnel_inside_of_transport_mode() {
    let mut tables = Memory::new();
    let between_ends = TrafficSelectors::between(Addresses::host(V4.1), Addresses::host(V4.0));
    let mut b = receiver(&mut tables, Mode::Transport, between_ends);
    let inner = udp_v4(20, 0);
    let mut sequence = 0;
    let (verdict, out) = open(&mut b, &mut sequence, &inner, 4);
    assert!(matches!(verdict, Inbound::Deliver { .. }), "{verdict:?}");
    let octets = |address| match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(_) => panic!("IPv4"),
    };
    assert_eq!((out[9], &out[12..16]), (4, &octets(V4.0)[..]));
    assert_eq!((&out[16..20], &out[20..]), (&octets(V4.1)[..], &inner[..]));
}
