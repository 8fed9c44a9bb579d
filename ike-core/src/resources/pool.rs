//! Slots of one kind, with their timers and the list of those that have something pending.

use crate::resources::place::{Place, Whole};
use crate::resources::queue::Queue;
use crate::time::Instant;
use crate::timer::Timers;

/// Links are slot numbers plus one, in 16 bits.
const MAX_SLOTS: usize = 0xfffe;

/// The arrays of a pool of `N` slots.
#[derive(Debug)]
pub(crate) struct PoolArrays<T: Whole, const N: usize> {
    slots: [Place<T>; N],
    serials: [u32; N],
    free: [u16; N],
    deadlines: [Instant; N],
    heap: [u16; N],
    places: [u16; N],
    pending: [u16; N],
}

impl<T: Whole, const N: usize> PoolArrays<T, N> {
    pub(crate) const fn new() -> Self {
        Self {
            slots: [const { Place::EMPTY }; N],
            serials: [0; N],
            free: [0; N],
            deadlines: [Instant::ZERO; N],
            heap: [0; N],
            places: [0; N],
            pending: [0; N],
        }
    }

    pub(crate) fn pool(&mut self) -> Pool<'_, T> {
        let mut pool = Pool {
            slots: &mut self.slots,
            serials: &mut self.serials,
            free: &mut self.free,
            free_len: 0,
            fresh: 0,
            timers: Timers::new(&mut self.deadlines, &mut self.heap, &mut self.places),
            pending: Queue::new(&mut self.pending),
        };
        pool.clear();
        pool
    }
}

/// A pool, its size forgotten.
#[derive(Debug)]
pub(crate) struct Pool<'s, T: Whole> {
    slots: &'s mut [Place<T>],
    /// By slot: what no other occupation has, for handles and jobs; 0 while it is free.
    serials: &'s mut [u32],
    /// A stack of slots that were used and released.
    free: &'s mut [u16],
    free_len: u16,
    /// Slots from here on were never used.
    fresh: u16,
    pub(crate) timers: Timers<'s>,
    pub(crate) pending: Queue<'s>,
}

impl<T: Whole> Pool<'_, T> {
    /// Frees every slot, whatever was in it.
    pub(crate) fn clear(&mut self) {
        for slot in self.slots.iter_mut() {
            *slot = Place::EMPTY;
        }
        self.serials.fill(0);
        self.start_over();
        self.timers.clear();
        self.pending.clear();
    }

    /// No slot is in use: all are as if they had never been.
    fn start_over(&mut self) {
        self.free.fill(0);
        (self.free_len, self.fresh) = (0, 0);
    }

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
        *self.slots.get_mut(usize::from(index))? = Place::Used(value);
        *self.serials.get_mut(usize::from(index))? = serial;
        Some(index)
    }

    /// Frees a slot: its content, timers and pending marks are gone, and its bytes zeros.
    pub(crate) fn release(&mut self, index: u16) {
        let Some(slot @ Place::Used(_)) = self.slots.get_mut(usize::from(index)) else { return };
        *slot = Place::EMPTY;
        if let Some(serial) = self.serials.get_mut(usize::from(index)) {
            *serial = 0;
        }
        self.timers.set(index, None);
        self.pending.remove(index);
        if let Some(entry) = self.free.get_mut(usize::from(self.free_len)) {
            *entry = index;
            self.free_len = self.free_len.saturating_add(1);
        }
        if self.used() == 0 {
            self.start_over();
        }
    }

    /// The content of an occupied slot.
    pub(crate) fn get(&self, index: u16) -> Option<&T> {
        self.slots.get(usize::from(index))?.get()
    }

    /// The content of an occupied slot, to be changed.
    pub(crate) fn get_mut(&mut self, index: u16) -> Option<&mut T> {
        self.slots.get_mut(usize::from(index))?.get_mut()
    }

    /// The serial of an occupied slot.
    pub(crate) fn serial(&self, index: u16) -> Option<u32> {
        self.serials.get(usize::from(index)).copied().filter(|serial| *serial != 0)
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
