//! A map from 32-bit keys to slots: open addressing with linear probing, in cells that the caller lends.
//!
//! With at most half of the cells in use a look-up takes one or two steps, whatever the number of entries. Removal
//! closes the gap it leaves, so nothing builds up over time.

/// One cell. The empty one is all zero bits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    key: u32,
    /// The slot plus one; 0 for none.
    slot: u32,
}

impl Cell {
    /// An empty cell.
    pub(crate) const EMPTY: Self = Self { key: 0, slot: 0 };
}

/// The map. There must be more cells than entries.
#[derive(Debug)]
pub(crate) struct Index<'s> {
    cells: &'s mut [Cell],
}

impl<'s> Index<'s> {
    /// An empty map.
    pub(crate) fn new(cells: &'s mut [Cell]) -> Self {
        cells.fill(Cell::EMPTY);
        Self { cells }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.cells.fill(Cell::EMPTY);
    }

    /// The slot of `key`.
    pub(crate) fn get(&self, key: u32) -> Option<usize> {
        let at = self.find(key)?;
        let slot = self.cells.get(at)?.slot;
        (slot as usize).checked_sub(1)
    }

    /// Sets the slot of `key`. Nothing happens if no cell is free, which more cells than entries rule out.
    pub(crate) fn insert(&mut self, key: u32, slot: usize) {
        let Some(slot) = u32::try_from(slot).ok().and_then(|slot| slot.checked_add(1)) else {
            return;
        };
        if let Some(cell) = self.find(key).and_then(|at| self.cells.get_mut(at)) {
            *cell = Cell { key, slot };
        }
    }

    /// Forgets `key`.
    pub(crate) fn remove(&mut self, key: u32) {
        let Some(mut gap) = self.find(key) else { return };
        if self.cells.get(gap).is_none_or(|cell| cell.slot == 0) {
            return;
        }
        let mut at = gap;
        for _ in 0..self.cells.len() {
            at = self.after(at);
            let Some(cell) = self.cells.get(at).copied() else { break };
            if cell.slot == 0 {
                break;
            }
            // An entry moves into the gap unless its home lies behind the gap: a look-up from there would miss it.
            // Differences that wrap order the two as steps round the table would.
            let home = self.home(cell.key);
            if at.wrapping_sub(home) >= at.wrapping_sub(gap) {
                self.set(gap, cell);
                gap = at;
            }
        }
        self.set(gap, Cell::EMPTY);
    }

    /// The cell that holds `key`, or the free one where it would go.
    fn find(&self, key: u32) -> Option<usize> {
        let mut at = self.home(key);
        for _ in 0..self.cells.len() {
            let cell = self.cells.get(at)?;
            if cell.slot == 0 || cell.key == key {
                return Some(at);
            }
            at = self.after(at);
        }
        None
    }

    /// Where `key` is looked for first. Multiplication spreads neighbouring keys; the upper half of a product with the
    /// number of cells brings the result into range without a division.
    fn home(&self, key: u32) -> usize {
        let spread = u64::from(key.wrapping_mul(0x9e37_79b1));
        let home = spread.wrapping_mul(self.cells.len() as u64) >> 32;
        usize::try_from(home).unwrap_or(0)
    }

    const fn after(&self, at: usize) -> usize {
        let next = at.wrapping_add(1);
        if next >= self.cells.len() { 0 } else { next }
    }

    fn set(&mut self, at: usize, value: Cell) {
        if let Some(cell) = self.cells.get_mut(at) {
            *cell = value;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn agrees_with_a_hash_map_through_many_insertions_and_removals() {
        for size in [1, 2, 3, 8, 61] {
            let mut cells = std::vec![Cell { key: 9, slot: 9 }; 2 * size];
            let mut index = Index::new(&mut cells);
            let mut model = HashMap::new();
            let mut random = 1_u64;
            for round in 0..20_000_usize {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Few keys, so that they meet; multiples of 2²⁴ crowd into neighbouring homes.
                let key = (u32::try_from(random >> 33).expect("31 bits") % 97) << 24;
                if random >> 63 == 0 && model.len() < size {
                    index.insert(key, round);
                    model.insert(key, round);
                } else {
                    index.remove(key);
                    model.remove(&key);
                }
                for key in (0..97).map(|key| key << 24) {
                    assert_eq!(index.get(key), model.get(&key).copied());
                }
            }
        }
    }

    /// One and a half if keys were random, with half of the cells in use.
    #[test]
    fn a_look_up_takes_one_or_two_steps() {
        const ENTRIES: usize = 1000;
        let patterns: [fn(u32) -> u32; 3] =
            [|n| n, |n| n << 8, |n| n.wrapping_mul(1_103_515_245) ^ n >> 3];
        for pattern in patterns {
            let mut cells = std::vec![Cell::EMPTY; 2 * ENTRIES];
            let mut index = Index::new(&mut cells);
            let keys = || (0..1000).map(pattern);
            keys().enumerate().for_each(|(at, key)| index.insert(key, at));
            let steps = |key| {
                let at = index.find(key).expect("inserted");
                1 + (at + 2 * ENTRIES - index.home(key)) % (2 * ENTRIES)
            };
            let all: usize = keys().map(steps).sum();
            assert!(all <= 2 * ENTRIES, "{all} steps");
        }
    }

    #[test]
    fn no_cells_hold_nothing() {
        let mut index = Index::new(&mut []);
        index.insert(1, 1);
        index.remove(1);
        assert_eq!(index.get(1), None);
    }
}
