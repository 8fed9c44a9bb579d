//! Packets that are too short, too long, cut in the middle of a header; buffers with too little room.

use esp_core::*;

use crate::forge::*;
use crate::hosts::*;

/// KAME: a packet shorter than its headers made a length negative. Every length up to a good packet's, by every way in,
/// the rest of it as it was, zeros, or ones.
#[test]
fn cve_2002_0666_esp_of_every_length() {
    for transform in transforms() {
        let mut tables = (Tables::new(), Tables::new());
        let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, transform, V4, Encap::None);
        let mut good = Buffer::new(&udp_v4(20, 0));
        assert!(matches!(good.outbound(&mut a), Outbound::Send { .. }));
        let esp = &good.bytes()[20..];
        let untouched = carried(&b);
        for len in 0..esp.len() {
            for filling in [None, Some(0), Some(0xff)] {
                let mut short = esp[..len].to_vec();
                if let (Some(filling), Some(rest)) = (filling, short.get_mut(4..)) {
                    rest.fill(filling);
                }
                for (bytes, arrival) in ways_in(&short) {
                    let mut buffer = Buffer::new(&bytes);
                    let verdict = buffer.inbound(&mut b, arrival);
                    // Behind UDP, less than an ESP header is no ESP: keepalives are of one byte (RFC 3948 §2.3).
                    let clear = len < 8 && arrival == Arrival::Ip && bytes[9] == 17;
                    match verdict {
                        Inbound::Bypass => assert!(clear, "{transform} {len}"),
                        Inbound::Discard(_) => assert!(!clear, "{transform} {len}"),
                        Inbound::Deliver { .. } => panic!("{transform} {len}: {verdict:?}"),
                    }
                    assert_eq!(buffer.bytes(), bytes);
                }
            }
        }
        assert_eq!(carried(&b), untouched);
        assert!(matches!(good.inbound(&mut b, Arrival::Ip), Inbound::Deliver { .. }));
    }
}

/// OpenBSD 2.7: an ESP packet of a few bytes, and nobody who asked for it. With SAs, without SAs, without policy.
#[test]
fn openbsd_2_7_tiny_esp_for_nobody() {
    let mut tables = (Tables::new(), Tables::new());
    let (_, mut with) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let mut nothing = Memory::new();
    let mut without = Processor::new(&mut nothing, Settings::DEFAULT);
    for len in 0..24 {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            for (bytes, arrival) in ways_in(&vec![byte; len]) {
                let verdict = Buffer::new(&bytes).inbound(&mut without, arrival);
                assert!(matches!(verdict, Inbound::Discard(_)), "{len} {byte}: {verdict:?}");
                let verdict = Buffer::new(&bytes).inbound(&mut with, arrival);
                let delivered = matches!(verdict, Inbound::Deliver { .. });
                assert!(!delivered, "{len} {byte}: {verdict:?}");
            }
        }
    }
    assert_eq!(carried(&with), [(0, 0)]);
    assert_eq!(without.stats().all_discarded(), 24 * 5 * 4);
}

/// Linux: a first fragment without all of the ESP header or the IV. No fragment of ESP is looked into: reassembly
/// comes first (RFC 4303 §3.4.1).
#[test]
fn cve_2007_6282_a_fragment_without_a_whole_header() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let mut good = Buffer::new(&udp_v4(20, 0));
    assert!(matches!(good.outbound(&mut a), Outbound::Send { .. }));
    let esp = good.bytes()[20..].to_vec();
    let fragment = Inbound::Discard(Discard::Fragment);
    for len in 0..=esp.len() {
        // More fragments; the first of them, a later one, the last.
        for flags in [0x2000_u16, 0x2001, 0x0001] {
            let mut four = ip_packet(V4.0, V4.1, 50, &esp[..len]);
            four[6..8].copy_from_slice(&flags.to_be_bytes());
            set_header_checksum(&mut four);
            assert_eq!(Buffer::new(&four).inbound(&mut b, Arrival::Ip), fragment, "{len}");
            let [word0, word1] = flags.rotate_left(3).to_be_bytes();
            let extension = [&[50, 0, word0, word1, 0, 0, 0, 1][..], &esp[..len]].concat();
            let six = ip_packet(V6.0, V6.1, 44, &extension);
            assert_eq!(Buffer::new(&six).inbound(&mut b, Arrival::Ip), fragment, "{len}");
        }
        // Cut and not marked as a fragment: the rest of it is missing, or the header already is.
        if len < esp.len() {
            let verdict =
                Buffer::new(&ip_packet(V4.0, V4.1, 50, &esp[..len])).inbound(&mut b, Arrival::Ip);
            assert!(matches!(verdict, Inbound::Discard(Discard::Malformed | Discard::Integrity)));
        }
    }
    assert_eq!(carried(&b), [(0, 0)]);
}

/// Linux: the room for a large packet was reckoned in one place and used in another. With every transform and outside,
/// a packet either becomes one of at most 65535 bytes that opens again, or is refused and untouched.
#[test]
fn cve_2022_27666_the_largest_packets() {
    for transform in transforms() {
        for (ends, encap) in [(V4, Encap::None), (V4, UDP), (V6, UDP)] {
            let mut tables = (Tables::new(), Tables::new());
            let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, transform, ends, encap);
            let outer_header = if ends == V4 { 20 } else { 40 };
            let udp = if encap == UDP { 8 } else { 0 };
            // The inner length, trailer included, is a multiple of the block in the largest packet there is.
            let block =
                if let Transform::CbcHmac(cipher, _) = transform { cipher.block_len() } else { 4 };
            let around = outer_header + udp + 8 + transform.iv_len() + transform.icv_len();
            let largest = (65_535 - around) / block * block - 2;
            for len in largest - 2..=largest + 2 {
                let inner = udp_v4(len - 28, 0);
                let mut buffer = Buffer::new(&inner);
                match buffer.outbound(&mut a) {
                    Outbound::Send { .. } => {
                        assert!(len <= largest, "{transform} {len}");
                        assert!(buffer.bytes().len() <= 65_535);
                        let verdict = buffer.inbound(&mut b, Arrival::Ip);
                        assert!(
                            matches!(verdict, Inbound::Deliver { .. }),
                            "{transform} {len}: {verdict:?}"
                        );
                    }
                    verdict => {
                        assert_eq!(
                            verdict,
                            Outbound::Discard(Discard::TooLong),
                            "{transform} {len}"
                        );
                        assert!(len > largest, "{transform} {len}");
                    }
                }
                assert_eq!(buffer.bytes(), inner);
            }
        }
    }
}

/// Linux: of a check for the head and a check for the tail only one was left. Every room in front and behind: the packet
/// is sealed where both suffice, filling included, and is untouched where one does not.
#[test]
fn cve_2026_63912_room_in_front_and_behind() {
    for transform in transforms() {
        for pad_to in [0, 100] {
            let mut tables = (Tables::new(), Tables::new());
            let (mut a, _) = pair(&mut tables, Settings::DEFAULT, transform, V4, UDP);
            let tunnel = TunnelOptions { pad_to, ..TunnelOptions::DEFAULT };
            let protect = Protect { from_packet: FromPacket::NOTHING, tunnel };
            let entry =
                SpdEntry::new(PolicyId(1), tunnel_selectors(true), Policy::Protect(protect));
            a.set_policies(&[entry]).expect("valid");
            a.install_outbound(params(transform, V4, UDP, A, 0x1000), &mut rng()).expect("valid");
            let inner = udp_v4(33, 0);
            let front_needed = 20 + 8 + 8 + transform.iv_len();
            let (mut sealed, mut shortest) = (0, usize::MAX);
            for front in front_needed - 2..front_needed + 2 {
                for back in 0..=PacketBuf::TAILROOM + usize::from(pad_to) {
                    let mut memory = [&vec![0; front][..], &inner, &vec![0; back]].concat();
                    let range = front..front + inner.len();
                    let mut packet = PacketBuf::new(&mut memory, range).expect("inside");
                    match a.outbound(&mut packet) {
                        Outbound::Send { .. } => {
                            assert!(front >= front_needed);
                            shortest = shortest.min(back);
                            sealed += 1;
                        }
                        verdict => {
                            let Outbound::Discard(Discard::NoRoom(room)) = verdict else {
                                panic!("{transform} {front} {back}: {verdict:?}")
                            };
                            assert!(front < room.headroom || back < room.tailroom);
                            assert_eq!(packet.packet(), inner);
                        }
                    }
                }
            }
            // What is behind: filling, one byte of padding up to a block's, trailer, ICV; no more and no less.
            let fill = usize::from(pad_to).saturating_sub(inner.len());
            let least = fill + 2 + transform.icv_len();
            assert!((least..least + 16).contains(&shortest), "{transform} {shortest}");
            assert_eq!(sealed, 2 * (PacketBuf::TAILROOM + usize::from(pad_to) + 1 - shortest));
            assert_eq!(
                a.outbound_sas().next().expect("installed").last_sequence().0,
                sealed as u64
            );
        }
    }
}

/// Linux: decrypting in place wrote into pages that others read. What is around the packet in the buffer stays, and
/// of a packet that is refused the packet too.
#[test]
fn cve_2026_43284_opening_writes_into_the_packet_alone() {
    for transform in transforms() {
        let mut tables = (Tables::new(), Tables::new());
        let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, transform, V4, Encap::None);
        let mut good = Buffer::new(&udp_v4(200, 0));
        assert!(matches!(good.outbound(&mut a), Outbound::Send { .. }));
        let sealed = good.bytes().to_vec();
        let mut open = |change: Option<usize>| {
            let mut memory = [&[0xa5; 64][..], &sealed, &[0xa5; 64]].concat();
            if let Some(at) = change {
                memory[64 + at] ^= 1;
            }
            let before = memory.clone();
            let range = 64..64 + sealed.len();
            let mut packet = PacketBuf::new(&mut memory, range.clone()).expect("inside");
            let verdict = b.inbound(&mut packet, Arrival::Ip);
            let around = |bytes: &[u8]| [&bytes[..64], &bytes[range.end..]].concat();
            assert_eq!(around(&memory), around(&before), "{transform}");
            let delivered = matches!(verdict, Inbound::Deliver { .. });
            assert!(delivered || memory == before, "{transform} {verdict:?}");
            delivered
        };
        for at in 24..sealed.len() {
            assert!(!open(Some(at)));
        }
        assert!(open(None));
        assert!(!open(None), "replayed");
    }
}

/// Linux: SPI 0 could be allocated. Neither 0 nor one of the reserved values is an SPI, by any way in (RFC 4303 §2.1);
/// behind UDP, zero is the mark of IKE.
#[test]
fn cve_2025_39965_reserved_spis() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let mut good = Buffer::new(&udp_v4(20, 0));
    assert!(matches!(good.outbound(&mut a), Outbound::Send { .. }));
    for value in 0..=256_u32 {
        let spi = Spi::new(value);
        assert_eq!(spi.map(Spi::get), Some(value).filter(|value| *value > 255));
        let mut esp = good.bytes()[20..].to_vec();
        esp[..4].copy_from_slice(&value.to_be_bytes());
        for (bytes, arrival) in ways_in(&esp) {
            let behind_udp = arrival == Arrival::Ip && bytes[9] == 17;
            let expected = match value {
                0 if behind_udp => Inbound::Bypass,
                0..=255 => Inbound::Discard(Discard::Malformed),
                _ => Inbound::Discard(Discard::UnknownSpi),
            };
            assert_eq!(Buffer::new(&bytes).inbound(&mut b, arrival), expected, "{value}");
        }
    }
}
