//! What peers that proved nothing may cost in a second: Diffie-Hellman operations, and events.

use crate::time::Instant;

/// A bucket of permissions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    /// Thousandths of a permission.
    filled: u64,
    at: Instant,
    started: bool,
}

impl Rate {
    /// Takes one permission, if there is one: `per_second` come in a second, and as many are kept.
    pub(crate) fn take(&mut self, now: Instant, per_second: u16) -> bool {
        let full = u64::from(per_second).saturating_mul(1000);
        if self.started {
            let passed = now.as_millis().saturating_sub(self.at.as_millis());
            self.filled =
                self.filled.saturating_add(passed.saturating_mul(per_second.into())).min(full);
        } else {
            (self.filled, self.started) = (full, true);
        }
        self.at = self.at.max(now);
        match self.filled.checked_sub(1000) {
            Some(left) => {
                self.filled = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_a_second_as_allowed() {
        let mut rate = Rate::default();
        let at = Instant::from_millis;
        assert_eq!((0..10).filter(|_| rate.take(at(5), 4)).count(), 4);
        assert!(!rate.take(at(254), 4));
        assert!(rate.take(at(255), 4));
        assert_eq!((0..10).filter(|_| rate.take(at(90_000), 4)).count(), 4);
        assert!(!rate.take(at(0), 4), "a clock that steps back gives nothing");
    }
}
