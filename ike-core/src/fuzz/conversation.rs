//! A conversation over a link that obeys a script: it delivers, loses, repeats, reorders and garbles datagrams, makes up
//! others, and moves the clock.
//!
//! Whatever the script: nothing panics, every loop ends, what an endpoint sends is a message, and what was made up
//! without a key changes no established SA. After the script the link is honest, and both come to rest.

use super::world::{Bytes, HALF_A_MINUTE, Setup, World, path, repair_length, with_world};
use crate::wire::HEADER_LEN;

fn obey(world: &mut World<'_, '_>, call: u8, script: &mut impl Iterator<Item = u8>) {
    let mut next = || script.next().unwrap_or_default();
    match call & 15 {
        0..=4 => drop(world.deliver_next()),
        5 => drop(world.flying.pop_front()),
        6 => {
            // Twice.
            let Some(flying) = world.flying.pop_front() else { return };
            world.deliver(flying.to, flying.path, &flying.bytes);
            world.deliver(flying.to, flying.path, &flying.bytes);
        }
        7 => {
            // Garbled.
            let Some(mut flying) = world.flying.pop_front() else { return };
            let at = usize::from(u16::from_be_bytes([next(), next()]));
            let at = at.checked_rem(flying.bytes.len()).unwrap_or_default();
            if let Some(byte) = flying.bytes.get_mut(at) {
                *byte ^= next();
            }
            world.deliver(flying.to, flying.path, &flying.bytes);
        }
        8 => {
            // Cut, and the header says so.
            let Some(mut flying) = world.flying.pop_front() else { return };
            let keep = usize::from(next()).saturating_mul(4).max(HEADER_LEN);
            flying.bytes.truncate(keep);
            repair_length(&mut flying.bytes);
            world.deliver(flying.to, flying.path, &flying.bytes);
        }
        9 => drop(world.wait(u64::MAX)),
        10 => {
            let (to, last) = (usize::from(next() & 1), world.last.clone());
            world.deliver(to, path(to), &last);
        }
        11 | 12 => {
            // Out of nothing, or with the header of something that was real.
            let mut bytes = Bytes::new();
            if call & 15 == 12 {
                let header = world.last.get(..HEADER_LEN).unwrap_or_default();
                let _ = bytes.extend_from_slice(header);
                if let (Some(exchange), change) = (bytes.get_mut(18), next()) {
                    *exchange ^= change;
                }
                if let (Some(flags), change) = (bytes.get_mut(19), next()) {
                    *flags ^= change;
                }
            }
            for _ in 0..next() {
                let _ = bytes.push(next());
            }
            repair_length(&mut bytes);
            let to = usize::from(call >> 4 & 1);
            world.forge(to, path(to), &bytes);
        }
        13 => world.request(0, next()),
        14 => {
            if let Some(flying) = world.flying.pop_front() {
                let _ = world.flying.push_back(flying);
            }
        }
        _ => {
            world.now = world.now.saturating_add(u64::from(next()).saturating_mul(100));
            world.turn();
        }
    }
}

/// How it ended: child SAs in use on either side, `rest` milliseconds after the script.
fn converse(script: &[u8], rest: u64) -> [usize; 2] {
    with_world(Setup::PLAIN, |world| {
        world.request(0, 4);
        let mut script = script.iter().copied();
        while let Some(call) = script.next() {
            obey(world, call, &mut script);
        }
        world.settle(rest);
        world.in_use()
    })
}

/// Runs a script; see the head of this file.
pub fn conversation(script: &[u8]) {
    converse(script, HALF_A_MINUTE);
}

#[cfg(test)]
mod tests {
    use rand_core::TryRng as _;

    use super::super::world::Numbers;
    use super::*;

    #[test]
    fn an_honest_link_brings_a_child_up() {
        assert_eq!(converse(&[], HALF_A_MINUTE), [1, 1]);
        assert_eq!(converse(&[0; 20], HALF_A_MINUTE), [1, 1]);
    }

    #[test]
    fn losses_are_made_good() {
        // Each of the first messages lost once.
        for lost in 0..9 {
            let mut script = [0; 10];
            script[lost] = 5;
            assert_eq!(converse(&script, HALF_A_MINUTE), [1, 1], "message {lost}");
        }
    }

    #[test]
    fn every_call_after_both_are_up() {
        for call in 0..=u8::MAX {
            let mut script = [0; 40];
            script[12..20].copy_from_slice(&[call, 0, 1, call, 0, 20, 1, 2]);
            let up = converse(&script, HALF_A_MINUTE);
            // Deleting is the only call that may leave less than one child; a renewal may leave two for a while.
            assert!(call & 15 == 13 || up.iter().all(|count| *count >= 1), "{call:#x}: {up:?}");
        }
    }

    #[test]
    fn scripts_by_chance_and_a_day_afterwards() {
        let mut numbers = Numbers(3);
        for len in 0..400 {
            let mut script = [0; 400];
            let Ok(()) = numbers.try_fill_bytes(&mut script);
            converse(&script[..len], 86_400_000);
        }
    }
}
