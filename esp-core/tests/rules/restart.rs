//! No sequence number and no IV is used twice under a key, whatever is exported, imported and lost in between.

use std::collections::HashSet;

use chacha20::ChaCha20Rng;
use esp_core::*;
use rand_core::{Rng, SeedableRng};

use crate::hosts::*;

/// A host that keeps its SA across power failures as `esp_core::OutboundSa::import` asks for: one generation, written
/// before anything is imported.
struct Device {
    sa: Option<OutboundSa>,
    /// In its flash.
    state: Option<[u8; OutboundSa::STATE_LEN]>,
    generation: u64,
    /// What left, under the one key: sequence numbers and IVs.
    numbers: HashSet<u64>,
    ivs: HashSet<Vec<u8>>,
    /// Packets that may still be sealed before the next export.
    allowed: Option<u64>,
}

struct World {
    transform: Transform,
    esn: bool,
    random: ChaCha20Rng,
}

impl World {
    fn params(&self) -> SaParams {
        let mut sa = params(self.transform, V4, Encap::None, A, 0x1000);
        sa.esn = self.esn;
        sa
    }

    fn below(&mut self, end: u32) -> u64 {
        u64::from(self.random.next_u32() % end)
    }
}

impl Device {
    fn seal(&mut self, world: &mut World) {
        let Some(sa) = &mut self.sa else { return };
        let inner = udp_v4(world.random.next_u32() as usize % 300, 0);
        let mut memory = [&[0; 200][..], &inner, &[0; 200][..]].concat();
        let end = 200 + inner.len();
        let mut packet = PacketBuf::new(&mut memory, 200..end).unwrap();
        let result = sa.seal(&mut packet);
        match (result, &mut self.allowed) {
            (Err(error), Some(0)) => assert_eq!(error, SealError::ReservationSpent),
            (result, allowed) => {
                let sealed = result.unwrap();
                if let Some(allowed) = allowed {
                    *allowed -= 1;
                }
                assert!(self.numbers.insert(sealed.sequence.0), "{:?} twice", sealed.sequence);
                let iv_len = world.transform.iv_len();
                if iv_len > 0 {
                    let iv = packet.packet()[28..28 + iv_len].to_vec();
                    assert!(self.ivs.insert(iv), "an IV twice, with {:?}", sealed.sequence);
                }
            }
        }
    }

    fn export(&mut self, world: &mut World) {
        let reserve = world.below(20);
        let Some(sa) = &mut self.sa else { return };
        let generation = self.generation;
        let state = sa.export(reserve, generation);
        self.allowed = Some(reserve);
        // The power may fail before it is written.
        if world.below(4) > 0 {
            self.state = Some(state);
        } else {
            // Then the old one is what there is, and its numbers may be used up already: the host must not go on.
            self.sa = None;
        }
    }

    fn restart(&mut self, world: &mut World) {
        self.sa = None;
        let expected = self.generation;
        // Written first.
        self.generation += 1;
        let Some(state) = self.state else { return };
        let old = OutboundSa::import(world.params(), &state, self.generation, &mut world.random);
        assert_eq!(old.err(), Some(StateError::Generation), "a state of the past");
        self.sa = OutboundSa::import(world.params(), &state, expected, &mut world.random).ok();
        self.allowed = None;
        // A state that was imported is not imported again.
        if let Some(sa) = self.sa.as_mut().filter(|_| world.below(2) > 0) {
            let again = sa.export(5, self.generation);
            (self.state, self.allowed) = (Some(again), Some(5));
        }
    }
}

#[test]
fn no_number_and_no_iv_is_used_twice() {
    let mut survived = 0;
    for transform in transforms() {
        for seed in 0..12 {
            let random = ChaCha20Rng::seed_from_u64(seed);
            let mut world = World { transform, esn: seed % 2 == 1, random };
            let sa = OutboundSa::new(world.params(), &mut world.random).unwrap();
            let mut device = Device {
                sa: Some(sa),
                state: None,
                generation: 1,
                numbers: HashSet::new(),
                ivs: HashSet::new(),
                allowed: None,
            };
            // Before it has a state it cannot come back.
            device.export(&mut world);
            for _ in 0..300 {
                match world.below(16) {
                    0 => device.export(&mut world),
                    1 => device.restart(&mut world),
                    _ => device.seal(&mut world),
                }
            }
            survived += usize::from(device.numbers.len() > 20 && device.generation > 3);
        }
    }
    assert!(survived > 10, "only {survived} lives with packets and restarts");
}

/// Near its last number an SA asks to be renewed, once; behind it there is nothing: it never starts over (RFC 4303 §3.3.3).
#[test]
fn the_last_numbers_ask_for_a_successor() {
    for esn in [false, true] {
        let mut sa = params(AES_SHA1, V4, Encap::None, A, 0x1000);
        sa.esn = esn;
        let end = if esn { u64::MAX } else { u64::from(u32::MAX) };
        let mut state = OutboundSa::new(sa, &mut rng()).unwrap().export(0, 1);
        // As exported after so many packets: the number stands behind 24 bytes.
        state[24..32].copy_from_slice(&(end - 3).to_be_bytes());
        let mut tables = Tables::<4, 4, 0>::new();
        let mut processor = Processor::new(&mut tables, Settings::DEFAULT);
        let entry = SpdEntry::new(PolicyId(1), tunnel_selectors(true), Policy::PROTECT);
        processor.set_policies(&[entry]).unwrap();
        let mut sa = params(AES_SHA1, V4, Encap::None, A, 0x1000);
        sa.esn = esn;
        processor.import_outbound(sa, &state, 1, &mut rng()).unwrap();
        let mut told = vec![];
        for number in 0..5 {
            let verdict = Buffer::new(&udp_v4(40, 0)).outbound(&mut processor);
            assert_eq!(matches!(verdict, Outbound::Send { .. }), number < 3, "{verdict:?}");
            told.extend(core::iter::from_fn(|| processor.poll_notice()));
        }
        let spi = Spi::new(0x1000).unwrap();
        let low = Notice::SequenceLow { owner: A, spi };
        let hard = Notice::HardExpired { owner: A, direction: Direction::Outbound, spi };
        told.retain(|notice| [low, hard].contains(notice));
        assert_eq!(told, [low, hard], "ESN {esn}");
    }
}
