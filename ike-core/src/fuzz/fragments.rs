//! Pieces of messages in any order, of any length, of several peers. A piece's bytes tell its number, so that what is put
//! together tells whether it was put together right.

use core::net::SocketAddr;

use crate::fragment::{Reassembly, SLOTS, Slot};
use crate::time::Instant;
use crate::wire::{Cookie, CookiePair, FragmentPayload};

/// Bytes of each message.
const ROOM: usize = 512;

/// Takes records of four bytes: whose, which message and how much later; number and whether it is the last; length.
pub fn fragments(script: &[u8]) {
    let mut slots = [const { Slot::EMPTY }; SLOTS];
    let mut bytes = [0; SLOTS * ROOM];
    let mut all = Reassembly::new(&mut slots, &mut bytes);
    let mut now = 0;
    let (records, _) = script.as_chunks::<4>();
    for &[who, when, which, len] in records {
        now = u64::from(when & 0xf0).saturating_mul(50).saturating_add(now);
        let cookie = Cookie([who & 3; 8]);
        let cookies = CookiePair { initiator: cookie, responder: cookie };
        let remote = SocketAddr::from(([192, 0, 2, who >> 2 & 1], 500));
        let number = which & 0x1f;
        let data = [number; 255];
        let data = data.get(..usize::from(len)).unwrap_or_default();
        let id = u16::from(when & 3);
        let fragment = FragmentPayload { id, number, last: which & 0x80 != 0, data };
        let done = all.add(cookies, remote, &fragment, Instant::from_millis(now));
        let Ok(Some((slot, len))) = done else { continue };
        assert!(slot < SLOTS && (1..=ROOM).contains(&len));
        let message = all.message(slot, len);
        // Ones, then twos, and so on without a gap.
        let mut expected = 1;
        for byte in message {
            assert!(*byte == expected || *byte == expected.saturating_add(1), "out of order");
            expected = *byte;
        }
        assert_eq!(message.first(), Some(&1));
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::recorded;
    use super::*;

    #[test]
    fn messages_as_pieces() {
        for message in recorded() {
            (0..4.min(message.len())).for_each(|at| fragments(&message[at..]));
        }
        // Three pieces in every order, each of every length in turn.
        for order in
            [[1, 2, 0x83], [2, 1, 0x83], [0x83, 1, 2], [0x83, 2, 1], [1, 0x83, 2], [2, 0x83, 1]]
        {
            for len in 0..=u8::MAX {
                let records = order.map(|which| [0, 0, which, len]);
                fragments(records.as_flattened());
            }
        }
    }
}
