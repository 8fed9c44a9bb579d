//! Sequence numbers: 64 bits on either side, 32 of them in the packet (RFC 4303 §2.2).

/// A sequence number in full. Without ESN its high half is zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SequenceNumber(pub u64);

impl SequenceNumber {
    /// The half that is sent.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
    pub const fn low(self) -> u32 {
        self.0 as u32
    }

    /// The half that is not.
    #[must_use]
    pub const fn high(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) const fn from_parts(high: u32, low: u32) -> Self {
        Self((high as u64) << 32 | low as u64)
    }
}

/// The counter of an outbound SA: hands out every number once.
#[derive(Debug)]
pub(crate) struct SequenceCounter {
    /// The last number used; 0 before the first packet.
    last: u64,
    /// The last number that may be used.
    end: u64,
    /// The last number that may be used before the next export; `u64::MAX` if there was none.
    reserved: u64,
    /// How many numbers that export reserved.
    reserve: u64,
}

/// Why there is no next number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoNumber {
    /// All have been used.
    Spent,
    /// All that were reserved have been used.
    ReservationSpent,
}

impl SequenceCounter {
    /// Starts behind 0 and ends where the number would cycle (RFC 4303 §3.3.3).
    pub(crate) const fn new(esn: bool) -> Self {
        let end = if esn { u64::MAX } else { u32::MAX as u64 };
        Self { last: 0, end, reserved: u64::MAX, reserve: 0 }
    }

    /// The last number used.
    pub(crate) const fn last(&self) -> u64 {
        self.last
    }

    /// Whether less than a sixteenth of the numbers is left.
    pub(crate) const fn is_low(&self) -> bool {
        self.last >= self.end.saturating_sub(self.end / 16)
    }

    /// Whether a reservation is three quarters spent.
    pub(crate) const fn is_reservation_low(&self) -> bool {
        self.reserved.saturating_sub(self.last) <= self.reserve / 4
    }

    /// The next number, once.
    pub(crate) fn take(&mut self) -> Result<SequenceNumber, NoNumber> {
        if self.last >= self.end {
            return Err(NoNumber::Spent);
        }
        if self.last >= self.reserved {
            return Err(NoNumber::ReservationSpent);
        }
        self.last = self.last.saturating_add(1);
        Ok(SequenceNumber(self.last))
    }

    /// Allows `reserve` more numbers, up to the one it gives, and no others until the next call.
    pub(crate) fn reserve(&mut self, reserve: u64) -> u64 {
        self.reserved = self.last.saturating_add(reserve).min(self.end);
        self.reserve = reserve;
        self.reserved
    }

    /// Goes on behind `last`; whether that can be.
    pub(crate) fn resume(&mut self, last: u64) -> bool {
        self.last = last;
        last <= self.end
    }

    /// As after `last` packets.
    #[cfg(test)]
    pub(crate) fn set_last(&mut self, last: u64) {
        self.last = last;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_cycles() {
        for (esn, end) in [(false, u64::from(u32::MAX)), (true, u64::MAX)] {
            let mut counter = SequenceCounter::new(esn);
            assert_eq!(counter.take(), Ok(SequenceNumber(1)));
            assert!(!counter.is_low());
            counter.set_last(end - end / 16 - 1);
            assert!(!counter.is_low());
            assert!(counter.take().is_ok() && counter.is_low());
            counter.set_last(end - 1);
            assert!(counter.is_low());
            assert_eq!(counter.take(), Ok(SequenceNumber(end)));
            assert_eq!(counter.take(), Err(NoNumber::Spent));
            assert_eq!(counter.take(), Err(NoNumber::Spent));
        }
    }

    #[test]
    fn a_reservation_is_low_when_a_quarter_is_left() {
        let mut counter = SequenceCounter::new(false);
        assert!(!counter.is_reservation_low());
        assert_eq!(counter.reserve(8), 8);
        for number in 1..=8 {
            assert_eq!(counter.take(), Ok(SequenceNumber(number)));
            assert_eq!(counter.is_reservation_low(), number >= 6, "{number}");
        }
        assert_eq!(counter.take(), Err(NoNumber::ReservationSpent));
        // A reservation does not reach beyond the last number.
        counter.set_last(u64::from(u32::MAX) - 2);
        assert_eq!(counter.reserve(8), u64::from(u32::MAX));
        assert!(counter.resume(u64::from(u32::MAX)) && !counter.resume(1 << 32));
    }
}
