//! A table of slots in memory that the caller lends: taken and freed in O(1), and a list of those that have something
//! to tell.
//!
//! The empty table is all zero bits: links are "slot plus one", and what has never been used is in no list.
//!
//! So is the place of a value that was dropped. To assign an empty variant is to write its tag; what stood behind the tag
//! stays. The empty variant is therefore as long as the full one, and its content is zeros: assigning it writes all of them,
//! padding included, by the rules of the language and not by the grace of a compiler.
//!
//! ```text
//!  Empty   | 0 | 0 0 0 0 0 0 0 0 0 0 0 0 0 |
//!  Used    | 1 | padding |      value      |
//! ```

use core::fmt::Debug;

/// A value, or zeros.
#[derive(Debug)]
#[repr(u8)]
pub(crate) enum Place<T: Whole> {
    /// Nothing.
    Empty(T::Zeros) = 0,
    /// A value.
    Used(T) = 1,
}

/// What a place can hold. Implemented by [`whole`], which counts the zeros.
pub(crate) trait Whole: Sized {
    /// An array of bytes that covers a place but for its tag.
    type Zeros: Debug;
    /// That many zeros.
    const ZEROS: Self::Zeros;
}

/// How a used place is laid out: `#[repr(u8)]` says so (RFC 2195 of Rust).
#[repr(C)]
struct Used<T>(u8, T);

/// Bytes of a place for a `T` behind its tag.
pub(crate) const fn behind_the_tag<T>() -> usize {
    size_of::<Used<T>>().saturating_sub(1)
}

/// Implements [`Whole`] for types.
macro_rules! whole {
    ($($kind:ty),*) => {$(
        impl $crate::slots::Whole for $kind {
            type Zeros = [u8; $crate::slots::behind_the_tag::<Self>()];
            const ZEROS: Self::Zeros = [0; $crate::slots::behind_the_tag::<Self>()];
        }

        const _: () = {
            let covered = $crate::slots::behind_the_tag::<$kind>().saturating_add(1);
            assert!(size_of::<$crate::slots::Place<$kind>>() == covered);
        };
    )*};
}
pub(crate) use whole;

impl<T: Whole> Place<T> {
    /// An empty place.
    pub(crate) const EMPTY: Self = Self::Empty(T::ZEROS);

    pub(crate) const fn get(&self) -> Option<&T> {
        match self {
            Self::Empty(_) => None,
            Self::Used(value) => Some(value),
        }
    }

    pub(crate) const fn get_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Empty(_) => None,
            Self::Used(value) => Some(value),
        }
    }
}

/// One slot.
#[derive(Debug)]
pub(crate) struct Slot<T: Whole> {
    place: Place<T>,
    /// A free slot: the next free one. A slot of the host's choice otherwise. Plus one; 0 for none.
    link: u32,
    /// The next slot that has something to tell, plus one.
    next_pending: u32,
    pending: bool,
}

impl<T: Whole> Slot<T> {
    /// A slot never used.
    pub(crate) const EMPTY: Self =
        Self { place: Place::EMPTY, link: 0, next_pending: 0, pending: false };
}

/// The table.
#[derive(Debug)]
pub(crate) struct Slots<'s, T: Whole> {
    slots: &'s mut [Slot<T>],
    /// Slots from here on have never been used.
    fresh: usize,
    free: u32,
    used: usize,
    first_pending: u32,
    last_pending: u32,
}

const fn link_to(slot: usize) -> u32 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "tables have less than 2³² slots; larger ones are cut"
    )]
    let link = slot as u32;
    link.wrapping_add(1)
}

const fn linked(link: u32) -> Option<usize> {
    (link as usize).checked_sub(1)
}

impl<'s, T: Whole> Slots<'s, T> {
    /// An empty table.
    pub(crate) fn new(slots: &'s mut [Slot<T>]) -> Self {
        for slot in slots.iter_mut() {
            if slot.place.get().is_some() || slot.pending || slot.link != 0 {
                *slot = Slot::EMPTY;
            }
        }
        Self { slots, fresh: 0, free: 0, used: 0, first_pending: 0, last_pending: 0 }
    }

    /// How many there can be.
    pub(crate) const fn capacity(&self) -> usize {
        self.slots.len()
    }

    pub(crate) fn get(&self, slot: usize) -> Option<&T> {
        self.slots.get(slot)?.place.get()
    }

    pub(crate) fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.slots.get_mut(slot)?.place.get_mut()
    }

    /// All values, with their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        let used = self.slots.get(..self.fresh).unwrap_or_default();
        used.iter().enumerate().filter_map(|(at, slot)| Some((at, slot.place.get()?)))
    }

    /// Whether a value could be inserted.
    pub(crate) const fn is_full(&self) -> bool {
        self.used >= self.slots.len()
    }

    /// Puts a value into a free slot; `None` if there is none.
    pub(crate) fn insert(&mut self, value: T) -> Option<usize> {
        let at = match linked(self.free) {
            Some(at) => {
                self.free = self.slots.get(at)?.link;
                at
            }
            None => {
                let at = self.fresh;
                self.slots.get(at)?;
                self.fresh = at.wrapping_add(1);
                at
            }
        };
        let slot = self.slots.get_mut(at)?;
        slot.place = Place::Used(value);
        slot.link = 0;
        self.used = self.used.saturating_add(1);
        Some(at)
    }

    /// Drops the value of a slot; whether there was one.
    pub(crate) fn remove(&mut self, at: usize) -> bool {
        let Some(slot) = self.slots.get_mut(at) else { return false };
        if slot.place.get().is_none() {
            return false;
        }
        slot.place = Place::EMPTY;
        slot.link = self.free;
        self.free = link_to(at);
        self.used = self.used.saturating_sub(1);
        if self.used == 0 {
            self.start_over();
        }
        true
    }

    /// No slot is in use: all are as if they had never been.
    fn start_over(&mut self) {
        for slot in self.slots.iter_mut().take(self.fresh) {
            slot.link = 0;
        }
        (self.fresh, self.free) = (0, 0);
    }

    /// Drops all values and all that was pending.
    pub(crate) fn clear(&mut self) {
        for slot in self.slots.iter_mut().take(self.fresh) {
            *slot = Slot::EMPTY;
        }
        (self.fresh, self.free, self.used) = (0, 0, 0);
        (self.first_pending, self.last_pending) = (0, 0);
    }

    /// A slot linked to this one.
    pub(crate) fn link(&self, at: usize) -> Option<usize> {
        linked(self.slots.get(at)?.link)
    }

    /// Links a used slot to another.
    pub(crate) fn set_link(&mut self, at: usize, to: Option<usize>) {
        if let Some(slot) = self.slots.get_mut(at) {
            slot.link = to.map_or(0, link_to);
        }
    }

    /// Puts a slot into the list of those that have something to tell. One that is in it stays where it is.
    pub(crate) fn push_pending(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        if slot.pending {
            return;
        }
        slot.pending = true;
        slot.next_pending = 0;
        match linked(self.last_pending).and_then(|last| self.slots.get_mut(last)) {
            Some(last) => last.next_pending = link_to(at),
            None => self.first_pending = link_to(at),
        }
        self.last_pending = link_to(at);
    }

    /// Takes the first slot out of that list. It may be empty by now, or hold another value.
    pub(crate) fn pop_pending(&mut self) -> Option<usize> {
        let at = linked(self.first_pending)?;
        let slot = self.slots.get_mut(at)?;
        slot.pending = false;
        self.first_pending = core::mem::take(&mut slot.next_pending);
        if self.first_pending == 0 {
            self.last_pending = 0;
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    whole!(i32);

    #[test]
    fn slots_are_taken_freed_and_taken_again() {
        let mut memory = [const { Slot::EMPTY }; 3];
        let mut slots = Slots::new(&mut memory);
        let taken: Vec<_> = (0..4).map(|value| slots.insert(value)).collect();
        assert_eq!(taken, [Some(0), Some(1), Some(2), None]);
        assert!(slots.is_full() && slots.remove(1) && !slots.remove(1) && !slots.remove(7));
        assert_eq!(slots.iter().collect::<Vec<_>>(), [(0, &0), (2, &2)]);
        assert_eq!(slots.insert(9), Some(1));
        assert_eq!((slots.get(1), slots.is_full()), (Some(&9), true));
    }

    #[test]
    fn what_is_pending_is_told_once_and_in_order() {
        let mut memory = [const { Slot::EMPTY }; 3];
        let mut slots = Slots::new(&mut memory);
        for value in 0..3 {
            slots.insert(value);
        }
        for at in [2, 0, 2, 1] {
            slots.push_pending(at);
        }
        slots.remove(0);
        let order: Vec<_> = core::iter::from_fn(|| slots.pop_pending()).collect();
        assert_eq!(order, [2, 0, 1]);
        slots.push_pending(1);
        assert_eq!((slots.pop_pending(), slots.pop_pending()), (Some(1), None));
    }

    #[test]
    fn memory_used_before_starts_empty() {
        let mut memory = [const { Slot::EMPTY }; 2];
        let mut slots = Slots::new(&mut memory);
        slots.insert(1);
        slots.push_pending(0);
        let mut slots = Slots::new(&mut memory);
        assert_eq!(slots.pop_pending(), None);
        assert_eq!((slots.iter().next(), slots.get(0)), (None, None));
        assert_eq!(slots.insert(5), Some(0));
    }
}
