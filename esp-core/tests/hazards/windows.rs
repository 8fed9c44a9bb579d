//! Anti-replay: its window, its numbers across 2³², and its state across a restart.

use chacha20::ChaCha20Rng;
use esp_core::*;
use rand_core::{Rng as _, SeedableRng as _};

use crate::forge::*;
use crate::hosts::*;

const B_ENDS: Ends = (V4.1, V4.0);

/// Linux: the length of a bitmap was taken from whoever handed it in. For every size of window, a state of every other
/// length is refused, and so is the state of another size.
#[test]
fn cve_2017_7184_a_window_of_another_length() {
    let sizes = [32, 33, 63, 64, 65, 128, 1000, 1023, 1024];
    let sa = |size| SaParams { replay_window: size, ..params(NULL, B_ENDS, Encap::None, B, SPI) };
    for size in sizes {
        let mut running = InboundSa::new(sa(size)).expect("valid");
        for sequence in 1..5 {
            let mut buffer = forged(sequence, &udp_v4(9, 0), 4);
            let mut packet = PacketBuf::whole(&mut buffer);
            running.open(&mut packet, Arrival::Esp(OUTER)).expect("authentic");
        }
        let state = running.export(7);
        for len in (0..state.len()).chain(state.len() + 1..state.len() + 300) {
            let mut other = state.to_vec();
            other.resize(len, 0xff);
            let refused = InboundSa::import(sa(size), &other, 7, 0).map(drop);
            assert_eq!(refused, Err(StateError::Format), "{size} {len}");
        }
        for other in sizes.into_iter().filter(|other| *other != size) {
            let refused = InboundSa::import(sa(other), &state, 7, 0).map(drop);
            assert_eq!(refused, Err(StateError::OtherSa), "{size} {other}");
        }
        // A window that is no window is refused before the state is looked at, or by it.
        for none in [0, 31, 1025, u16::MAX] {
            let mut claimed = state;
            claimed[6..8].copy_from_slice(&none.to_be_bytes());
            assert!(InboundSa::import(sa(none), &claimed, 7, 0).is_err());
        }
        let restored = InboundSa::import(sa(size), &state, 7, 0).expect("its own state");
        assert_eq!(restored.newest_sequence().0, 4);
    }
}

/// Linux: the high half of a number was changed by two at once. A stream across 2³², and across the next, in any order
/// within the window: each packet is opened once, as the number it has.
#[test]
fn cve_2026_23440_numbers_across_2_32() {
    let mut random = ChaCha20Rng::seed_from_u64(23440);
    for transform in transforms() {
        for size in [32_u16, 64, 1024] {
            for edge in [1_u64 << 32, 2 << 32, u64::MAX >> 32 << 32] {
                let start = edge - 40;
                let sa = |ends, owner| SaParams {
                    esn: true,
                    replay_window: size,
                    ..params(transform, ends, Encap::None, owner, SPI)
                };
                // Both as after a restart at that number.
                let mut state = OutboundSa::new(sa(V4, A), &mut rng()).expect("valid").export(0, 1);
                state[24..32].copy_from_slice(&start.to_be_bytes());
                let mut a = OutboundSa::import(sa(V4, A), &state, 1, &mut rng()).expect("fits");
                let state = InboundSa::new(sa(B_ENDS, B)).expect("valid").export(1);
                let mut b = InboundSa::import(sa(B_ENDS, B), &state, 1, start).expect("fits");
                assert_eq!((a.last_sequence().0, b.newest_sequence().0), (start, start));

                let mut packets: Vec<_> = (1..=80)
                    .map(|offset| {
                        let mut memory = [&[0; 80][..], &udp_v4(20, 0), &[0; 80]].concat();
                        let mut packet = PacketBuf::new(&mut memory, 80..128).expect("inside");
                        let sealed = a.seal(&mut packet).expect("fits");
                        assert_eq!(sealed.sequence.0, start + offset);
                        (sealed.sequence, packet.packet().to_vec())
                    })
                    .collect();
                // Shuffled by less than the smallest window.
                for packets in packets.chunks_mut(16) {
                    for at in 0..packets.len() {
                        packets.swap(at, random.next_u32() as usize % packets.len());
                    }
                }
                for (sequence, sealed) in &packets {
                    let mut bytes = sealed.clone();
                    let opened = b.open(&mut PacketBuf::whole(&mut bytes), Arrival::Ip);
                    let opened = opened.expect("within the window");
                    assert_eq!(opened.sequence, *sequence, "{transform} {size}");
                }
                for (sequence, sealed) in &packets {
                    let mut bytes = sealed.clone();
                    let again = b.open(&mut PacketBuf::whole(&mut bytes), Arrival::Ip);
                    // Behind a small window the low half can only be of the next 2³², under which nothing was made.
                    let old = b.newest_sequence().0 - sequence.0 >= u64::from(size);
                    let refused = matches!(again, Err(OpenError::Replay));
                    assert!(refused || old && again == Err(OpenError::Integrity), "{again:?}");
                }
            }
        }
    }
}

/// A fork of lwIP had one bitmap for all SAs. Two SAs, interleaved: the numbers of one say nothing of the other's, and
/// what was sealed for one is not for the other.
#[test]
fn lwip_fork_windows_are_apart() {
    let sa = |ends, owner, spi| {
        InboundSa::new(params(AES_SHA1, ends, Encap::None, owner, spi)).expect("valid")
    };
    let sender = |spi| {
        OutboundSa::new(params(AES_SHA1, V4, Encap::None, A, spi), &mut rng()).expect("valid")
    };
    let spis = [0x1000, 0x2000];
    let (mut senders, mut receivers) = (spis.map(sender), spis.map(|spi| sa(B_ENDS, B, spi)));
    for round in 0..200 {
        for which in [0, 1] {
            // The second one is a hundred packets ahead.
            for _ in 0..if round == 0 && which == 1 { 100 } else { 1 } {
                let mut memory = [&[0; 80][..], &udp_v4(20, 0), &[0; 80]].concat();
                let mut packet = PacketBuf::new(&mut memory, 80..128).expect("inside");
                senders[which].seal(&mut packet).expect("fits");
                let sealed = packet.packet().to_vec();
                let other = &mut receivers[1 - which];
                let mut bytes = sealed.clone();
                let mut packet = PacketBuf::whole(&mut bytes);
                assert_eq!(other.open(&mut packet, Arrival::Ip), Err(OpenError::Spi));
                // Nor with the SPI of the other, the keys being different.
                let mut bytes = sealed.clone();
                bytes[20..24].copy_from_slice(&spis[1 - which].to_be_bytes());
                let newest = other.newest_sequence();
                let mut packet = PacketBuf::whole(&mut bytes);
                assert!(other.open(&mut packet, Arrival::Ip).is_err());
                assert_eq!(other.newest_sequence(), newest);
                let mut bytes = sealed.clone();
                let mut packet = PacketBuf::whole(&mut bytes);
                assert!(receivers[which].open(&mut packet, Arrival::Ip).is_ok());
            }
        }
    }
    assert_eq!(receivers.map(|sa| sa.newest_sequence().0), [200, 299]);
}

/// ancwrd1/isakmp, ryke: no replay check at all. A packet is taken once: again at once, again later, twice in a batch, and
/// by every way in.
#[test]
fn ryke_a_packet_is_taken_once() {
    for transform in transforms() {
        let mut tables = (Tables::new(), Tables::new());
        let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, transform, V4, Encap::None);
        let mut seal = || {
            let mut buffer = Buffer::new(&udp_v4(20, 0));
            assert!(matches!(buffer.outbound(&mut a), Outbound::Send { .. }));
            buffer.bytes().to_vec()
        };
        let packets: Vec<_> = (0..70).map(|_| seal()).collect();
        for packet in &packets {
            let verdict = Buffer::new(packet).inbound(&mut b, Arrival::Ip);
            assert!(matches!(verdict, Inbound::Deliver { .. }), "{transform}: {verdict:?}");
            assert_eq!(
                Buffer::new(packet).inbound(&mut b, Arrival::Ip),
                Inbound::Discard(Discard::Replay)
            );
        }
        for packet in &packets {
            for (bytes, arrival) in ways_in(&packet[20..]) {
                let verdict = Buffer::new(&bytes).inbound(&mut b, arrival);
                assert_eq!(verdict, Inbound::Discard(Discard::Replay), "{transform}");
            }
        }
        let mut copies = [seal(), seal(), seal()].map(|packet| [packet.clone(), packet]);
        let mut batch: Vec<_> =
            copies.as_flattened_mut().iter_mut().map(|bytes| PacketBuf::whole(bytes)).collect();
        let mut verdicts = [Inbound::Bypass; 6];
        b.inbound_batch(&mut batch, &[Arrival::Ip; 6], &mut verdicts);
        for pair in verdicts.chunks(2) {
            assert!(matches!(pair[0], Inbound::Deliver { .. }), "{transform}");
            assert_eq!(pair[1], Inbound::Discard(Discard::Replay), "{transform}");
        }
    }
}
