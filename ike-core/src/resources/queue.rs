//! A first-in-first-out list of slots that have something pending, linked through an array beside the slots.

/// Slots that wait to be looked at, each at most once.
#[derive(Debug)]
pub(crate) struct Queue<'s> {
    /// By slot: 0 if it is not queued, else one more than the slot behind it; the last one names itself.
    next: &'s mut [u16],
    head: u16,
    tail: u16,
}

impl<'s> Queue<'s> {
    pub(crate) fn new(next: &'s mut [u16]) -> Self {
        next.fill(0);
        Self { next, head: 0, tail: 0 }
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) {
        self.next.fill(0);
        (self.head, self.tail) = (0, 0);
    }

    /// The slot in front.
    pub(crate) fn front(&self) -> Option<u16> {
        self.head.checked_sub(1)
    }

    /// Whether `slot` is queued.
    pub(crate) fn contains(&self, slot: u16) -> bool {
        self.link(slot).is_some_and(|link| link != 0)
    }

    /// Appends `slot` unless it is queued already.
    pub(crate) fn push(&mut self, slot: u16) {
        let name = slot.saturating_add(1);
        if self.link(slot) != Some(0) {
            return;
        }
        self.set(slot, name);
        match self.tail.checked_sub(1) {
            Some(tail) => self.set(tail, name),
            None => self.head = name,
        }
        self.tail = name;
    }

    /// Takes the slot in front.
    pub(crate) fn pop(&mut self) -> Option<u16> {
        let slot = self.front()?;
        self.unlink_front(slot);
        Some(slot)
    }

    /// Takes `slot` out, wherever it stands: O(n) in the length of the queue, for slots that are released early.
    pub(crate) fn remove(&mut self, slot: u16) {
        match self.link(slot) {
            None | Some(0) => return,
            Some(_) if self.front() == Some(slot) => return self.unlink_front(slot),
            Some(_) => {}
        }
        let name = slot.saturating_add(1);
        let mut at = self.head;
        for _ in 0..self.next.len() {
            let Some(current) = at.checked_sub(1) else { return };
            let Some(behind) = self.link(current) else { return };
            if behind == name {
                if self.tail == name {
                    self.set(current, at);
                    self.tail = at;
                } else {
                    let after = self.link(slot).unwrap_or_default();
                    self.set(current, after);
                }
                self.set(slot, 0);
                return;
            }
            if behind == at {
                return;
            }
            at = behind;
        }
    }

    /// How many slots are queued: O(n).
    pub(crate) fn len(&self) -> usize {
        let mut at = self.front();
        let mut count = 0_usize;
        while let Some(slot) = at {
            count = count.saturating_add(1);
            at = self
                .link(slot)
                .and_then(|behind| behind.checked_sub(1))
                .filter(|behind| *behind != slot && count <= self.next.len());
        }
        count
    }

    fn unlink_front(&mut self, slot: u16) {
        let behind = self.link(slot).unwrap_or_default();
        self.set(slot, 0);
        if behind == self.head {
            (self.head, self.tail) = (0, 0);
        } else {
            self.head = behind;
        }
    }

    fn link(&self, slot: u16) -> Option<u16> {
        self.next.get(usize::from(slot)).copied()
    }

    fn set(&mut self, slot: u16, link: u16) {
        if let Some(entry) = self.next.get_mut(usize::from(slot)) {
            *entry = link;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_a_list() {
        extern crate std;
        use std::collections::VecDeque;
        let mut next = [0; 8];
        let mut queue = Queue::new(&mut next);
        let mut model = VecDeque::new();
        let mut seed = 7_u64;
        for _ in 0..20_000 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let slot = (seed >> 61) as u16;
            match (seed >> 50) % 5 {
                0..=2 => {
                    queue.push(slot);
                    if !model.contains(&slot) {
                        model.push_back(slot);
                    }
                }
                3 => assert_eq!(queue.pop(), model.pop_front()),
                _ => {
                    queue.remove(slot);
                    model.retain(|queued| *queued != slot);
                }
            }
            assert_eq!(queue.front(), model.front().copied());
            assert_eq!(queue.contains(slot), model.contains(&slot));
        }
    }
}
