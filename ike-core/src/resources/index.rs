//! A hash index over the slots of a pool: chains of slot numbers, as many buckets as slots.
//!
//! The hash is keyed with a secret of the endpoint, because peers choose some of what is looked up.

/// From a hash to the slots that were entered under it.
#[derive(Debug)]
pub(crate) struct Index<'s> {
    /// By bucket: one more than the first slot of its chain, or 0.
    heads: &'s mut [u16],
    /// By slot: one more than the next slot of its chain, or 0.
    next: &'s mut [u16],
}

impl<'s> Index<'s> {
    pub(crate) fn new(heads: &'s mut [u16], next: &'s mut [u16]) -> Self {
        let mut index = Self { heads, next };
        index.clear();
        index
    }

    /// Takes everything out.
    pub(crate) fn clear(&mut self) {
        self.heads.fill(0);
        self.next.fill(0);
    }

    /// Enters `slot` under `hash`. A slot is entered once.
    pub(crate) fn insert(&mut self, hash: u64, slot: u16) {
        let bucket = self.bucket(hash);
        let Some(head) = self.heads.get_mut(bucket) else { return };
        let Some(link) = self.next.get_mut(usize::from(slot)) else { return };
        *link = *head;
        *head = slot.saturating_add(1);
    }

    /// Takes `slot` out of the chain of `hash`.
    pub(crate) fn remove(&mut self, hash: u64, slot: u16) {
        let name = slot.saturating_add(1);
        let after = self.next.get(usize::from(slot)).copied().unwrap_or_default();
        let bucket = self.bucket(hash);
        let Some(head) = self.heads.get_mut(bucket) else { return };
        if *head == name {
            *head = after;
        } else {
            let mut at = *head;
            for _ in 0..self.next.len() {
                let Some(current) = at.checked_sub(1) else { return };
                let Some(link) = self.next.get_mut(usize::from(current)) else { return };
                if *link == name {
                    *link = after;
                    break;
                }
                at = *link;
            }
        }
        if let Some(link) = self.next.get_mut(usize::from(slot)) {
            *link = 0;
        }
    }

    /// The slots in the bucket of `hash`, newest first; the caller compares the full key.
    pub(crate) fn candidates(&self, hash: u64) -> Candidates<'_> {
        let at = self.heads.get(self.bucket(hash)).copied().unwrap_or_default();
        Candidates { next: self.next, at, fuel: self.next.len() }
    }

    /// The slot behind `slot` in its chain: for walks that change what the slots hold.
    pub(crate) fn behind(&self, slot: u16) -> Option<u16> {
        self.next.get(usize::from(slot))?.checked_sub(1)
    }

    fn bucket(&self, hash: u64) -> usize {
        let buckets = u64::try_from(self.heads.len()).unwrap_or(u64::MAX);
        usize::try_from(hash.checked_rem(buckets).unwrap_or_default()).unwrap_or_default()
    }
}

/// Iterator over the slots of one bucket.
#[derive(Clone, Debug)]
pub(crate) struct Candidates<'i> {
    next: &'i [u16],
    at: u16,
    fuel: usize,
}

impl Iterator for Candidates<'_> {
    type Item = u16;

    fn next(&mut self) -> Option<u16> {
        self.fuel = self.fuel.checked_sub(1)?;
        let slot = self.at.checked_sub(1)?;
        self.at = self.next.get(usize::from(slot)).copied().unwrap_or_default();
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_entered_and_not_removed() {
        let (mut heads, mut next) = ([0; 8], [0; 8]);
        let mut index = Index::new(&mut heads, &mut next);
        let hash = |slot: u16| u64::from(slot % 3);
        for slot in 0..8 {
            index.insert(hash(slot), slot);
        }
        index.remove(hash(3), 3);
        index.remove(hash(0), 0);
        index.remove(hash(7), 7);
        for slot in 0..8 {
            let found = index.candidates(hash(slot)).any(|candidate| candidate == slot);
            assert_eq!(found, ![0, 3, 7].contains(&slot));
        }
        assert_eq!(index.candidates(2).count(), 2);
    }
}
