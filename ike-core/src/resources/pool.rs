//! Slots of one kind, with their timers and the list of those that have something pending.

use crate::resources::queue::Queue;
use crate::time::Instant;
use crate::timer::Timers;

/// Links are slot numbers plus one, in 16 bits.
const MAX_SLOTS: usize = 0xfffe;

/// A slot. The explicit tag makes a free slot all zero bits, so that a static full of them lies in `.bss`.
#[derive(Debug)]
#[repr(u8)]
pub(crate) enum Slot<T> {
    /// Nothing uses it.
    Free = 0,
    /// In use, under a serial that no other occupation has.
    Used {
        /// Told apart by it: handles, jobs.
        serial: u32,
        /// The content.
        value: T,
    },
}

/// The arrays of a pool of `N` slots.
#[derive(Debug)]
pub(crate) struct PoolArrays<T, const N: usize> {
    slots: [Slot<T>; N],
    free: [u16; N],
    deadlines: [Instant; N],
    heap: [u16; N],
    places: [u16; N],
    pending: [u16; N],
}

impl<T, const N: usize> PoolArrays<T, N> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: [const { Slot::Free }; N],
            free: [0; N],
            deadlines: [Instant::ZERO; N],
            heap: [0; N],
            places: [0; N],
            pending: [0; N],
        }
    }

    pub(crate) fn pool(&mut self) -> Pool<'_, T> {
        for slot in &mut self.slots {
            *slot = Slot::Free;
        }
        Pool {
            slots: &mut self.slots,
            free: &mut self.free,
            free_len: 0,
            fresh: 0,
            timers: Timers::new(&mut self.deadlines, &mut self.heap, &mut self.places),
            pending: Queue::new(&mut self.pending),
        }
    }
}

/// A pool, its size forgotten.
#[derive(Debug)]
pub(crate) struct Pool<'s, T> {
    slots: &'s mut [Slot<T>],
    /// A stack of slots that were used and released.
    free: &'s mut [u16],
    free_len: u16,
    /// Slots from here on were never used.
    fresh: u16,
    pub(crate) timers: Timers<'s>,
    pub(crate) pending: Queue<'s>,
}

impl<T> Pool<'_, T> {
    /// Puts `value` into a free slot, under `serial`.
    pub(crate) fn allocate(&mut self, serial: u32, value: T) -> Option<u16> {
        let index = if let Some(top) = self.free_len.checked_sub(1) {
            let index = *self.free.get(usize::from(top))?;
            self.free_len = top;
            index
        } else {
            let index = self.fresh;
            if usize::from(index) >= self.capacity() {
                return None;
            }
            self.fresh = self.fresh.saturating_add(1);
            index
        };
        *self.slots.get_mut(usize::from(index))? = Slot::Used { serial, value };
        Some(index)
    }

    /// Frees a slot: its content, timers and pending marks are gone.
    pub(crate) fn release(&mut self, index: u16) {
        let Some(slot @ Slot::Used { .. }) = self.slots.get_mut(usize::from(index)) else { return };
        *slot = Slot::Free;
        self.timers.set(index, None);
        self.pending.remove(index);
        if let Some(entry) = self.free.get_mut(usize::from(self.free_len)) {
            *entry = index;
            self.free_len = self.free_len.saturating_add(1);
        }
    }

    /// The content of an occupied slot.
    pub(crate) fn get(&self, index: u16) -> Option<&T> {
        match self.slots.get(usize::from(index)) {
            Some(Slot::Used { value, .. }) => Some(value),
            _ => None,
        }
    }

    /// The content of an occupied slot, to be changed.
    pub(crate) fn get_mut(&mut self, index: u16) -> Option<&mut T> {
        match self.slots.get_mut(usize::from(index)) {
            Some(Slot::Used { value, .. }) => Some(value),
            _ => None,
        }
    }

    /// The serial of an occupied slot.
    pub(crate) fn serial(&self, index: u16) -> Option<u32> {
        match self.slots.get(usize::from(index)) {
            Some(Slot::Used { serial, .. }) => Some(*serial),
            _ => None,
        }
    }

    /// Whether `index` is still occupied under `serial`.
    pub(crate) fn is(&self, index: u16, serial: u32) -> bool {
        self.serial(index) == Some(serial)
    }

    /// The occupied slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u16, &T)> {
        (0..self.fresh).filter_map(|index| self.get(index).map(|value| (index, value)))
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.len().min(MAX_SLOTS)
    }

    pub(crate) fn is_full(&self) -> bool {
        usize::from(self.used()) >= self.capacity()
    }

    pub(crate) fn used(&self) -> u16 {
        self.fresh.saturating_sub(self.free_len)
    }
}
