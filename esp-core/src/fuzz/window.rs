//! The replay window against a list of all numbers received, and inference of the high half against the whole number.

use crate::replay::ReplayWindow;
use crate::sequence::SequenceNumber;

const MOST: usize = 1024;

/// Where it starts and how large the window is, then numbers, each as a distance from the newest.
pub fn replay(script: &[u8]) {
    let Some((&[size, start], script)) = script.split_first_chunk() else { return };
    let sizes = [32, 33, 63, 64, 65, 128, 1000, 1024_u16];
    let size = sizes.get(usize::from(size & 7)).copied().unwrap_or(32);
    let mut window = ReplayWindow::new(size);
    // At the beginning, in front of an edge of the low half, or in front of the end of all numbers.
    let start = match start & 3 {
        0 => 0,
        1 | 2 => (u64::from(start >> 2) << 32).saturating_sub(40),
        _ => u64::MAX - 5000,
    };
    window.skip(SequenceNumber(start));
    let mut seen = [0_u64; MOST];
    let (mut count, mut newest) = (0_usize, start);
    let (steps, _) = script.as_chunks::<2>();
    for step in steps.iter().take(MOST) {
        // Short steps forth and back, now and then a long one forth.
        let step = i16::from_be_bytes(*step);
        let number = match step {
            -64..=64 => newest.wrapping_add_signed(step.into()),
            _ if step & 7 == 7 => newest.saturating_add(u64::from(step.unsigned_abs()) << 18),
            _ => newest.wrapping_add_signed((step / 16).into()),
        };
        if number.abs_diff(newest) > 1 << 34 {
            // Around the ends of 64 bits: no sender does that.
            continue;
        }
        let of = |number| SequenceNumber(number);
        let size = u64::from(size);
        let age = newest.saturating_sub(number);
        let old = number == 0 || age >= size || number <= start;
        let known = seen.iter().take(count).any(|other| *other == number);
        let fresh = window.check(of(number)).is_ok();
        assert_eq!(fresh, !old && !known, "{number} after {newest}");

        // In the window, or ahead of it by less than what the low half can tell.
        let ahead = number.saturating_sub(newest);
        let behind = newest.saturating_sub(number);
        if behind < size && ahead.saturating_add(size) <= 1 << 32 {
            assert_eq!(window.infer(of(number).low()), of(number), "{number} after {newest}");
        }
        if fresh {
            assert_eq!(window.accept(of(number)), number > newest);
            newest = newest.max(number);
            if let Some(place) = seen.get_mut(count) {
                *place = number;
                count = count.saturating_add(1);
            }
            assert!(window.check(of(number)).is_err(), "taken once");
        }
        assert_eq!(window.newest(), newest);
        // What is restored is the same window.
        if count.is_multiple_of(16) {
            let restored = ReplayWindow::restored(window.size(), newest, *window.bits());
            let Some(restored) = restored else { unreachable!("it was one") };
            window = restored;
        }
    }
}
