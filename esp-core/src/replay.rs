//! Anti-replay: the window of one inbound SA (RFC 4303 §3.4.3), laid out as RFC 6479 does it, and the high half of an
//! extended sequence number, which the packet does not carry (RFC 4303 App. A).
//!
//! A bit stands for a sequence number and a word for 64 of them; words form a ring. The window slides by clearing words,
//! never by shifting, so that moving it costs the same for any size. The ring has one word more than the window,
//! since the newest word is seldom full.
//!
//! ```text
//!  oldest accepted                    newest = T
//!        |<--------- window W ---------->|
//!   left | 1 0 1 1 ..                  1 | right: not seen yet
//! ```
//!
//! A packet is first checked ([`ReplayWindow::check`]), then authenticated, then accepted ([`ReplayWindow::accept`]):
//! a forged packet changes nothing.

use crate::sequence::SequenceNumber;

/// Words of 64 packets: a window of 1024 and the word that is being filled.
pub(crate) const WORDS: usize = 17;
/// The same, to reckon with.
const RING: u64 = 17;

/// Which packets of an SA have been received.
#[derive(Debug)]
pub(crate) struct ReplayWindow {
    /// The highest number accepted; 0 before the first.
    newest: u64,
    /// How many numbers up to `newest` are told apart.
    size: u16,
    seen: [u64; WORDS],
}

/// Why a number is refused: it was seen, or is too old to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Replayed;

impl ReplayWindow {
    /// The largest window, in packets.
    pub(crate) const MAX: u16 = 1024;
    /// The smallest (RFC 4303 §3.4.3 demands 32).
    pub(crate) const MIN: u16 = 32;

    /// An empty window of `size` packets.
    pub(crate) const fn new(size: u16) -> Self {
        Self { newest: 0, size, seen: [0; WORDS] }
    }

    /// A window as it was; `None` if it cannot have been so: its newest packet is not marked, or packets
    /// are although there was none.
    pub(crate) fn restored(size: u16, newest: u64, seen: [u64; WORDS]) -> Option<Self> {
        let window = Self { newest, size, seen };
        let marked = seen.iter().any(|word| *word != 0);
        let newest_marked = window.check(SequenceNumber(newest)).is_err();
        (if newest == 0 { !marked } else { newest_marked }).then_some(window)
    }

    /// Takes every number up to `last` as seen.
    pub(crate) fn skip(&mut self, last: SequenceNumber) {
        if last.0 > self.newest {
            self.newest = last.0;
            self.seen = [u64::MAX; WORDS];
            // Numbers ahead in the newest word have not been seen; the other words are cleared as the window
            // comes to them.
            let (word, bit) = Self::place(last.0);
            if let Some(seen) = self.seen.get_mut(word) {
                *seen = bit | bit.wrapping_sub(1);
            }
        }
    }

    pub(crate) const fn size(&self) -> u16 {
        self.size
    }

    pub(crate) const fn bits(&self) -> &[u64; WORDS] {
        &self.seen
    }

    /// The highest number accepted; 0 before the first.
    pub(crate) const fn newest(&self) -> u64 {
        self.newest
    }

    /// The 64-bit number that a packet with these low 32 bits has, if it is not forged (RFC 4303 App. A2.2).
    ///
    /// The number is the one nearest to the window: in the same 2³² as the window's lower edge or in the next.
    pub(crate) const fn infer(&self, low: u32) -> SequenceNumber {
        let newest = SequenceNumber(self.newest);
        let (newest_high, newest_low) = (newest.high(), newest.low());
        let reach = self.size.saturating_sub(1) as u32;
        let bottom = newest_low.wrapping_sub(reach);
        let high = if newest_low >= reach {
            // Case A: the window lies within one 2³². Lower numbers can only be those of the next.
            if low >= bottom { newest_high } else { newest_high.wrapping_add(1) }
        } else {
            // Case B: the window began in the 2³² before. High numbers are its left part.
            if low >= bottom { newest_high.wrapping_sub(1) } else { newest_high }
        };
        SequenceNumber::from_parts(high, low)
    }

    /// Whether a packet with this number could be accepted. To be asked before any cryptography.
    pub(crate) fn check(&self, number: SequenceNumber) -> Result<(), Replayed> {
        let number = number.0;
        // The first packet of an SA has number 1 (RFC 4303 §3.3.3): 0 is never valid.
        if number == 0 {
            return Err(Replayed);
        }
        if number > self.newest {
            return Ok(());
        }
        let age = self.newest.saturating_sub(number);
        if age >= u64::from(self.size) {
            return Err(Replayed);
        }
        let (word, bit) = Self::place(number);
        if self.seen.get(word).is_some_and(|seen| seen & bit != 0) {
            return Err(Replayed);
        }
        Ok(())
    }

    /// Marks an authentic packet as received; whether it is the newest. It must have passed [`Self::check`].
    pub(crate) fn accept(&mut self, number: SequenceNumber) -> bool {
        let number = number.0;
        let advanced = number > self.newest;
        if advanced {
            // Words between the old and the new edge come round with bits of long ago.
            let (old, new) = (self.newest / 64, number / 64);
            let passed = new.saturating_sub(old).min(RING);
            for step in 0..passed {
                let (word, _) = Self::place(new.saturating_sub(step).saturating_mul(64));
                if let Some(seen) = self.seen.get_mut(word) {
                    *seen = 0;
                }
            }
            self.newest = number;
        }
        let (word, bit) = Self::place(number);
        if let Some(seen) = self.seen.get_mut(word) {
            *seen |= bit;
        }
        advanced
    }

    /// The word of the ring and the bit in it that stand for `number`.
    const fn place(number: u64) -> (usize, u64) {
        ((number / 64 % RING) as usize, 1 << (number % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn n(number: u64) -> SequenceNumber {
        SequenceNumber(number)
    }

    /// What RFC 4303 §3.4.3 says, with a set instead of bits.
    struct Model {
        newest: u64,
        size: u64,
        seen: BTreeSet<u64>,
    }

    impl Model {
        fn receive(&mut self, number: u64) -> bool {
            let too_old = number == 0 || number + self.size <= self.newest;
            if too_old || !self.seen.insert(number) {
                return false;
            }
            self.newest = self.newest.max(number);
            true
        }
    }

    /// Small deterministic generator for the order of packets.
    fn next(state: &mut u64) -> u64 {
        *state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        *state >> 33
    }

    #[test]
    fn agrees_with_a_set_for_every_size_and_step() {
        for size in 1..=ReplayWindow::MAX {
            let mut random = u64::from(size);
            let mut window = ReplayWindow::new(size);
            let mut model = Model { newest: 0, size: size.into(), seen: BTreeSet::new() };
            let steps = if size.is_power_of_two() || size % 64 == 63 { 10_000 } else { 400 };
            for _ in 0..steps {
                let spread =
                    [3, 70, 1200, 5000][usize::try_from(next(&mut random) % 4).expect("small")];
                let base = model.newest.saturating_sub(spread / 2);
                let number = base + next(&mut random) % spread;
                let fresh = window.check(n(number)).is_ok();
                assert_eq!(fresh, model.receive(number), "size {size}, number {number}");
                if fresh {
                    let advanced = number > window.newest();
                    assert_eq!(window.accept(n(number)), advanced);
                }
                assert_eq!(window.newest(), model.newest);
            }
        }
    }

    /// A window that has received something has received its newest; one that has received nothing has no marks.
    #[test]
    fn a_window_is_restored_as_it_can_have_been() {
        let mut five = [0; WORDS];
        five[0] = 1 << 5;
        for (newest, seen, good) in
            [(0, [0; WORDS], true), (0, five, false), (5, five, true), (6, five, false)]
        {
            assert_eq!(ReplayWindow::restored(64, newest, seen).is_some(), good, "{newest}");
        }
    }

    /// Up to the newest, nothing is given up: what is missing may still come. Beyond it, all up to there is.
    #[test]
    fn skipping_gives_up_what_is_missing() {
        for (last, open, closed) in
            [(4, [2, 4, 6], [1, 3, 5]), (5, [2, 4, 6], [1, 3, 5]), (6, [7, 8, 9], [2, 4, 6])]
        {
            let mut window = ReplayWindow::new(64);
            for number in [1, 3, 5] {
                window.accept(n(number));
            }
            window.skip(n(last));
            assert!(open.iter().all(|number| window.check(n(*number)).is_ok()), "{last}");
            assert!(closed.iter().all(|number| window.check(n(*number)).is_err()), "{last}");
        }
    }

    /// The smallest windows, and every order in which six packets with numbers around an edge can come, repetitions
    /// included: at the beginning, where a word of the ring ends, where the ring comes round, at 2³², and at the very end.
    #[test]
    fn agrees_with_a_set_in_every_order() {
        const NUMBERS: u64 = 7;
        let round = 64 * u64::try_from(WORDS).expect("small");
        for start in [0, 61, round - 3, (1 << 32) - 3, u64::MAX - NUMBERS] {
            for size in 1..=4_u16 {
                for order in 0..NUMBERS.pow(6) {
                    let mut window = ReplayWindow::new(size);
                    let mut newest = start;
                    let mut seen = [false; 8];
                    if start > 0 {
                        window.accept(n(start));
                        seen[0] = true;
                    }
                    let mut rest = order;
                    for _ in 0..6 {
                        let step = 1 + rest % NUMBERS;
                        rest /= NUMBERS;
                        let number = start + step;
                        let place = &mut seen[usize::try_from(step).expect("small")];
                        let fresh = newest - number.min(newest) < size.into() && !*place;
                        assert_eq!(
                            window.check(n(number)).is_ok(),
                            fresh,
                            "{start} {size} {order}"
                        );
                        if fresh {
                            *place = true;
                            newest = newest.max(number);
                            window.accept(n(number));
                        }
                    }
                }
            }
        }
    }

    /// A sender that counts in 64 bits, a link that loses and reorders, and a receiver that sees 32 of them: what it infers
    /// is the truth, and it takes each packet once, for every window and across every edge of 2³².
    #[test]
    fn infers_the_truth_whatever_the_link_does() {
        for size in (1..=ReplayWindow::MAX).step_by(9) {
            for start in [0, (1_u64 << 32) - 700, (3 << 32) - 40, (1 << 63) - 5, u64::MAX - 5_000] {
                let mut random = start ^ u64::from(size);
                let mut window = ReplayWindow::new(size);
                let mut taken = BTreeSet::new();
                if start > 0 {
                    window.accept(n(start));
                    taken.insert(start);
                }
                let mut sent = start;
                for _ in 0..300 {
                    sent +=
                        1 + [0, 0, 1, 20][usize::try_from(next(&mut random) % 4).expect("small")];
                    let late = next(&mut random) % u64::from(size);
                    let oldest = window.newest().saturating_sub(u64::from(size) - 1);
                    let truth = if late % 8 == 7 { oldest } else { sent.saturating_sub(late) };
                    let truth = truth.max(1);
                    if window.newest().saturating_sub(truth) >= size.into() {
                        continue;
                    }
                    let low = n(truth).low();
                    assert_eq!(window.infer(low), n(truth), "size {size}, start {start}");
                    let fresh = window.check(n(truth)).is_ok();
                    assert_eq!(fresh, taken.insert(truth), "size {size}, {truth}");
                    if fresh {
                        window.accept(n(truth));
                    }
                }
            }
        }
    }

    #[test]
    fn the_edges_of_the_window() {
        let mut window = ReplayWindow::new(64);
        assert_eq!(window.check(n(0)), Err(Replayed));
        window.accept(n(100));
        assert_eq!(window.check(n(100)), Err(Replayed));
        assert_eq!(window.check(n(37)), Ok(()));
        assert_eq!(window.check(n(36)), Err(Replayed));
        window.accept(n(1 << 40));
        assert_eq!(window.check(n((1 << 40) - 1)), Ok(()));
        assert_eq!(window.check(n(101)), Err(Replayed));
    }

    /// Every number within reach of the window is told right from its low half, at both sides of every multiple
    /// of 2³²: the largest part of 2³² ahead of the window's edge, and the window behind it.
    #[test]
    fn inference_at_the_edges_of_the_window_and_of_the_low_half() {
        const WRAP: u64 = 1 << 32;
        for size in [32, 64, 1024_u16] {
            let reach = u64::from(size) - 1;
            for newest in (0..4).flat_map(|k| {
                let edge = k * WRAP;
                (edge.saturating_sub(2100)..edge + 2100).step_by(7).chain([edge + WRAP / 2])
            }) {
                let mut window = ReplayWindow::new(size);
                if newest > 0 {
                    window.accept(n(newest));
                }
                let ahead = [1, 2, 63, 64, 65, 5000, WRAP / 2, WRAP - 1 - reach];
                let behind = [0, 1, 2, reach - 1, reach];
                let numbers = ahead
                    .iter()
                    .map(|a| newest + a)
                    .chain(behind.iter().filter_map(|b| newest.checked_sub(*b)));
                for number in numbers {
                    assert_eq!(
                        window.infer(n(number).low()),
                        n(number),
                        "newest {newest} size {size}"
                    );
                }
            }
        }
    }

    #[test]
    fn before_the_first_wrap_nothing_is_older_than_zero() {
        // With nothing received, the left part of the window would lie below zero: such numbers come out as
        // enormous and their integrity check fails.
        let window = ReplayWindow::new(64);
        assert_eq!(window.infer(1), n(1));
        assert_eq!(window.infer(u32::MAX).high(), u32::MAX);
    }
}
