//! What an attacker who chooses plaintexts or ciphertexts could learn.

use std::collections::HashSet;

use chacha20::ChaCha20Rng;
use esp_core::*;
use rand_core::SeedableRng as _;

use crate::forge::*;
use crate::hosts::*;

/// Nuopponen and Vaarala: with IVs that can be foretold, chosen plaintexts become an oracle (RFC 3602 §3). Over 2^16
/// packets no IV of CBC comes twice, none is the last block of the packet before, none lies at the same distance from its
/// predecessor as that one from its own, and each of their bits is one about as often as zero. Another
/// start or another key gives others.
#[test]
fn row_79_ivs_are_not_repeated_and_not_predicted() {
    const PACKETS: usize = 1 << 16;
    for transform in transforms() {
        let Transform::CbcHmac(cipher, _) = transform else { continue };
        let len = cipher.block_len();
        let first_iv = |spi, seed| {
            let params = params(transform, V4, Encap::None, A, spi);
            let mut random = ChaCha20Rng::seed_from_u64(seed);
            let mut sa = OutboundSa::new(params, &mut random).expect("valid");
            seal(&mut sa, &udp_v4(0, 0))[28..28 + len].to_vec()
        };
        assert_ne!(first_iv(0x1000, 1), first_iv(0x1000, 2), "{transform}: the same start");
        assert_ne!(first_iv(0x1000, 1), first_iv(0x1001, 1), "{transform}: the same key");

        let params = params(transform, V4, Encap::None, A, 0x1000);
        let mut sa = OutboundSa::new(params, &mut rng()).expect("valid");
        let (mut seen, mut ones) = (HashSet::with_capacity(PACKETS), vec![0_usize; 8 * len]);
        let (mut last_iv, mut last_block, mut last_step) = (0, Vec::new(), 0);
        for _ in 0..PACKETS {
            let sealed = seal(&mut sa, &udp_v4(0, 0));
            let iv = &sealed[28..28 + len];
            assert_ne!(iv, last_block, "{transform}: chained");
            let number = iv.iter().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
            let step = number.wrapping_sub(last_iv);
            assert_ne!(step, last_step, "{transform}: counted");
            assert!(seen.insert(number), "{transform}: repeated");
            for (bit, ones) in ones.iter_mut().enumerate() {
                *ones += (number >> bit) as usize & 1;
            }
            let end = sealed.len() - transform.icv_len();
            (last_iv, last_step, last_block) = (number, step, sealed[end - len..end].to_vec());
        }
        // Half of 2^16 and six standard deviations, each of 128.
        let half = PACKETS / 2 - 6 * 128..PACKETS / 2 + 6 * 128;
        assert!(ones.iter().all(|ones| half.contains(ones)), "{transform}: {ones:?}");
    }
}

/// The same for combined modes, whose IV has to be new and need not be a secret (RFC 4106 §3.1): it is the sequence number, so
/// that it comes once under a key, however many SAs there were before.
#[test]
fn row_79_nonces_of_combined_modes_are_the_sequence_number() {
    for transform in transforms() {
        let Transform::Aead(_) = transform else { continue };
        let params = params(transform, V4, Encap::None, A, 0x1000);
        let mut sa = OutboundSa::new(params, &mut rng()).expect("valid");
        for number in 1..=1_u64 << 16 {
            let sealed = seal(&mut sa, &udp_v4(0, 0));
            assert_eq!(sealed[28..36], number.to_be_bytes(), "{transform}");
            assert_eq!(sealed[24..28], (number as u32).to_be_bytes(), "{transform}");
        }
    }
}

fn seal(sa: &mut OutboundSa, inner: &[u8]) -> Vec<u8> {
    let mut memory = [&[0; 80][..], inner, &[0; 80]].concat();
    let mut packet = PacketBuf::new(&mut memory, 80..80 + inner.len()).expect("inside");
    sa.seal(&mut packet).expect("fits");
    packet.packet().to_vec()
}

/// Vaudenay 2002, Degabriele and Paterson 2007: what the receiver says of padding. Every trailer there is: with a wrong ICV
/// the answer is one and the same; with the right one only the pad length counts, since peers fill padding as they like.
#[test]
fn row_80_padding_is_not_looked_at_before_the_icv() {
    let mut tables = Memory::new();
    let mut b = receiver(&mut tables, Mode::Tunnel, ANY);
    let inner = udp_v4(20, 0);
    let mut sequence = 0;
    for pad_len in 0..=255_u8 {
        for (filling, next_header) in [(0, 4), (0xff, 4), (0x33, 77)] {
            sequence += 1;
            let padding = vec![filling; usize::from(pad_len).min(60)];
            let plaintext = [&inner[..], &padding, &[pad_len, next_header]].concat();
            let good = authentic(sequence, &plaintext);
            for byte in 0..12 {
                let mut bad = good.clone();
                let at = bad.len() - 1 - byte;
                bad[at] ^= 0x10;
                let verdict = Buffer::new(&bad).inbound(&mut b, Arrival::Esp(OUTER));
                assert_eq!(verdict, Inbound::Discard(Discard::Integrity), "{pad_len} {filling}");
            }
            let mut buffer = Buffer::new(&good);
            let verdict = buffer.inbound(&mut b, Arrival::Esp(OUTER));
            // All there is besides the trailer may be padding; then nothing is left to be an IP packet.
            let left = (inner.len() + padding.len()).checked_sub(usize::from(pad_len));
            if next_header == 4 && left.is_some_and(|left| left >= inner.len()) {
                assert!(matches!(verdict, Inbound::Deliver { .. }), "{pad_len}: {verdict:?}");
                assert_eq!(buffer.bytes(), inner);
            } else {
                assert_eq!(verdict, Inbound::Discard(Discard::Malformed), "{pad_len}");
            }
        }
    }
}

/// Degabriele and Paterson: a packet that comes out of the wrong SA, or with selectors that the SA is not for, is dropped
/// whatever its addresses are made to be. Every address of a small world.
#[test]
fn row_81_selectors_are_checked_behind_the_icv() {
    let mut tables = Memory::new();
    let mut b = receiver(&mut tables, Mode::Tunnel, tunnel_selectors(false));
    let mut sequence = 0;
    for (from, to) in (0..5).flat_map(|from| (0..5).map(move |to| (from, to))) {
        for protocol in [1, 6, 17, 47, 50] {
            let inner = ip_packet(
                ip(&format!("10.{from}.0.1")),
                ip(&format!("10.{to}.0.1")),
                protocol,
                &[0; 24],
            );
            sequence += 1;
            let mut buffer = Buffer::new(&forged(sequence, &inner, 4));
            let verdict = buffer.inbound(&mut b, Arrival::Esp(OUTER));
            let delivered = matches!(verdict, Inbound::Deliver { .. });
            assert_eq!(delivered, (from, to) == (1, 2), "{from} {to}: {verdict:?}");
            assert!(delivered || verdict == Inbound::Discard(Discard::Selectors));
        }
    }
}
