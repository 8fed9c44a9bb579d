//! Deadlines: an index heap over the slots of a pool, at most one entry a slot.
//!
//! Setting, moving and removing a deadline costs O(log n), looking at the next one O(1).

use crate::time::Instant;

/// The next deadline of each slot of a pool, ordered.
#[derive(Debug)]
pub(crate) struct Timers<'s> {
    /// By slot: its deadline, meaningful while `place` is not 0.
    deadlines: &'s mut [Instant],
    /// A binary heap of slot numbers, the earliest deadline first.
    heap: &'s mut [u16],
    /// By slot: its place in the heap, plus one; 0 if it has no deadline.
    places: &'s mut [u16],
    len: u16,
}

impl<'s> Timers<'s> {
    pub(crate) fn new(
        deadlines: &'s mut [Instant],
        heap: &'s mut [u16],
        places: &'s mut [u16],
    ) -> Self {
        let mut timers = Self { deadlines, heap, places, len: 0 };
        timers.clear();
        timers
    }

    /// Takes every deadline away.
    pub(crate) fn clear(&mut self) {
        self.deadlines.fill(Instant::ZERO);
        self.heap.fill(0);
        self.places.fill(0);
        self.len = 0;
    }

    /// The earliest deadline and its slot.
    pub(crate) fn next(&self) -> Option<(Instant, u16)> {
        let slot = self.slot_at(0)?;
        Some((self.deadline(slot), slot))
    }

    /// Gives `slot` this deadline, or none.
    pub(crate) fn set(&mut self, slot: u16, deadline: Option<Instant>) {
        let place = self.places.get(usize::from(slot)).copied().unwrap_or_default();
        match (place.checked_sub(1), deadline) {
            (None, None) => {}
            (None, Some(deadline)) => {
                let place = self.len;
                if usize::from(place) >= self.heap.len() {
                    return;
                }
                self.len = self.len.saturating_add(1);
                self.store_deadline(slot, deadline);
                self.put(place, slot);
                self.rise(place);
            }
            (Some(place), Some(deadline)) => {
                self.store_deadline(slot, deadline);
                self.rise(place);
                self.sink(self.place_of(slot));
            }
            (Some(place), None) => self.remove(place, slot),
        }
    }

    fn remove(&mut self, place: u16, slot: u16) {
        let last = self.len.saturating_sub(1);
        self.len = last;
        if let Some(entry) = self.places.get_mut(usize::from(slot)) {
            *entry = 0;
        }
        self.store_deadline(slot, Instant::ZERO);
        let Some(end) = self.heap.get_mut(usize::from(last)) else { return };
        let moved = core::mem::take(end);
        if place != last {
            self.put(place, moved);
            self.rise(place);
            self.sink(self.place_of(moved));
        }
    }

    fn rise(&mut self, mut place: u16) {
        while place > 0 {
            let parent = place.saturating_sub(1) / 2;
            if !self.earlier(place, parent) {
                return;
            }
            self.swap(place, parent);
            place = parent;
        }
    }

    fn sink(&mut self, mut place: u16) {
        loop {
            let left = place.saturating_mul(2).saturating_add(1);
            let right = left.saturating_add(1);
            if left >= self.len {
                return;
            }
            let child = if right < self.len && self.earlier(right, left) { right } else { left };
            if !self.earlier(child, place) {
                return;
            }
            self.swap(child, place);
            place = child;
        }
    }

    fn earlier(&self, a: u16, b: u16) -> bool {
        match (self.slot_at(a), self.slot_at(b)) {
            (Some(a), Some(b)) => self.deadline(a) < self.deadline(b),
            _ => false,
        }
    }

    fn swap(&mut self, a: u16, b: u16) {
        if let (Some(slot_a), Some(slot_b)) = (self.slot_at(a), self.slot_at(b)) {
            self.put(a, slot_b);
            self.put(b, slot_a);
        }
    }

    fn put(&mut self, place: u16, slot: u16) {
        if let Some(entry) = self.heap.get_mut(usize::from(place)) {
            *entry = slot;
        }
        if let Some(entry) = self.places.get_mut(usize::from(slot)) {
            *entry = place.saturating_add(1);
        }
    }

    fn slot_at(&self, place: u16) -> Option<u16> {
        if place < self.len { self.heap.get(usize::from(place)).copied() } else { None }
    }

    fn place_of(&self, slot: u16) -> u16 {
        self.places.get(usize::from(slot)).copied().unwrap_or_default().saturating_sub(1)
    }

    fn deadline(&self, slot: u16) -> Instant {
        self.deadlines.get(usize::from(slot)).copied().unwrap_or_default()
    }

    fn store_deadline(&mut self, slot: u16, deadline: Instant) {
        if let Some(entry) = self.deadlines.get_mut(usize::from(slot)) {
            *entry = deadline;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_a_sorted_model() {
        let (mut deadlines, mut heap, mut places) = ([Instant::ZERO; 16], [0; 16], [0; 16]);
        let mut timers = Timers::new(&mut deadlines, &mut heap, &mut places);
        let mut model: [Option<u64>; 16] = [None; 16];
        let mut seed = 1_u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let slot = (seed >> 60) as usize;
            let value = (!(seed >> 40).is_multiple_of(5)).then_some((seed >> 20) % 50);
            model[slot] = value;
            timers.set(slot as u16, value.map(Instant::from_millis));
            let expected = model.iter().flatten().min().copied();
            assert_eq!(timers.next().map(|(at, _)| at.as_millis()), expected);
            if let Some((at, slot)) = timers.next() {
                assert_eq!(model[usize::from(slot)], Some(at.as_millis()));
            }
        }
    }
}
