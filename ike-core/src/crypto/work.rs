//! The memory of one Diffie-Hellman computation that is done in slices.

use core::fmt;

use crypto_bigint::Word;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{DhError, DhGroup, MAX_PRIVATE_LEN, MAX_PUBLIC_LEN};
use crate::wire::numbers::GroupDescription;

/// Bytes of the window table: sixteen powers of MODP-2048, eight of MODP-4096.
pub(super) const TABLE_BYTES: usize = 4096;

/// Room for one Diffie-Hellman computation, the largest group's: 5.2 KB.
///
/// Empty, it is all zero bits, so that a static one lies in `.bss`. It is wiped when a computation ends or a new
/// one begins, and when it is dropped. What the compiler leaves of intermediate values on the stack is not.
///
/// An implementation of [`DhGroup`] outside this crate keeps its operands and its result here by the methods below.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct WorkMemory {
    /// Powers of the peer's public value in Montgomery form, in the words of the machine.
    pub(super) table: [Word; TABLE_BYTES / size_of::<Word>()],
    /// The number computed so far, in the same form.
    pub(super) accumulator: [Word; MAX_PUBLIC_LEN / size_of::<Word>()],
    /// The peer's public value, later the result.
    value: [u8; MAX_PUBLIC_LEN],
    private: [u8; MAX_PRIVATE_LEN],
    /// Number of the group at work; 0, which is no group's, means empty.
    group: u16,
    value_len: usize,
    private_len: usize,
    /// Modular multiplications done so far.
    pub(super) position: u32,
    done: bool,
}

impl WorkMemory {
    /// Empty memory.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            table: [0; TABLE_BYTES / size_of::<Word>()],
            accumulator: [0; MAX_PUBLIC_LEN / size_of::<Word>()],
            value: [0; MAX_PUBLIC_LEN],
            private: [0; MAX_PRIVATE_LEN],
            group: 0,
            value_len: 0,
            private_len: 0,
            position: 0,
            done: false,
        }
    }

    /// Whether nothing is at work here.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.group == 0
    }

    /// Wipes the memory and stores the operands of a computation of `group`, after checking them both.
    ///
    /// # Errors
    /// As [`DhGroup::begin`].
    pub fn start(
        &mut self,
        group: &dyn DhGroup,
        private: &[u8],
        peer_public: Option<&[u8]>,
    ) -> Result<(), DhError> {
        self.zeroize();
        if let Some(peer_public) = peer_public {
            group.check_public(peer_public)?;
        }
        if !group.is_private(private) {
            return Err(DhError::PrivateValue);
        }
        let place = self.private.get_mut(..private.len()).ok_or(DhError::PrivateValue)?;
        place.copy_from_slice(private);
        self.private_len = private.len();
        self.set_value(peer_public.unwrap_or_default())?;
        self.group = group.id().0;
        Ok(())
    }

    /// Whether a computation of the group with this number is here, done or not.
    #[must_use]
    pub fn is_at_work(&self, group: GroupDescription) -> bool {
        self.group != 0 && self.group == group.0
    }

    /// Our private value.
    #[must_use]
    pub fn private(&self) -> &[u8] {
        self.private.get(..self.private_len).unwrap_or_default()
    }

    /// The peer's public value, empty if our own public value is wanted; the result, once it is there.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        self.value.get(..self.value_len).unwrap_or_default()
    }

    fn set_value(&mut self, value: &[u8]) -> Result<(), DhError> {
        const TOO_LONG: DhError = DhError::Output { needed: MAX_PUBLIC_LEN };
        let place = self.value.get_mut(..value.len()).ok_or(TOO_LONG)?;
        place.copy_from_slice(value);
        self.value_len = value.len();
        Ok(())
    }

    /// Stores the result, big endian, and marks the computation as done.
    ///
    /// # Errors
    /// [`DhError::Output`] if it is longer than [`MAX_PUBLIC_LEN`].
    pub fn set_result(&mut self, result: &[u8]) -> Result<(), DhError> {
        self.set_value(result)?;
        self.done = true;
        Ok(())
    }

    /// Whether the result is here.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        self.done
    }

    /// Moves the result to the head of `out` and wipes the memory, which is what [`DhGroup::finish`] has to do.
    ///
    /// # Errors
    /// As [`DhGroup::finish`]; the memory is wiped in any case.
    pub fn take_result(
        &mut self,
        group: GroupDescription,
        out: &mut [u8],
    ) -> Result<usize, DhError> {
        let result = if !self.is_at_work(group) {
            Err(DhError::NotBegun)
        } else if !self.done {
            Err(DhError::NotDone)
        } else {
            let value = self.value();
            match out.get_mut(..value.len()) {
                Some(place) => {
                    place.copy_from_slice(value);
                    Ok(value.len())
                }
                None => Err(DhError::Output { needed: value.len() }),
            }
        };
        self.zeroize();
        result
    }
}

impl Default for WorkMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for WorkMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkMemory")
            .field("group", &GroupDescription(self.group))
            .field("done", &self.done)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::modp::MODP_2048;

    fn is_all_zero(memory: &WorkMemory) -> bool {
        let words = memory.table.iter().chain(&memory.accumulator).all(|word| *word == 0);
        let bytes = memory.value.iter().chain(&memory.private).all(|byte| *byte == 0);
        let numbers = [memory.value_len, memory.private_len, usize::from(memory.group)];
        words && bytes && numbers == [0; 3] && memory.position == 0 && !memory.done
    }

    /// Every byte, those behind the stored lengths included.
    #[test]
    fn a_finished_computation_leaves_zeros() {
        let mut memory = WorkMemory::new();
        assert!(is_all_zero(&memory));
        let mut out = [0; MAX_PUBLIC_LEN];
        for peer_public in [None, Some([3; 256])] {
            let peer_public = peer_public.as_ref().map(<[u8; 256]>::as_slice);
            MODP_2048.begin(&mut memory, &[0x77; 32], peer_public).unwrap();
            assert!(!MODP_2048.step(&mut memory, 100).done);
            assert!(memory.accumulator.iter().any(|word| *word != 0));
            assert_eq!(memory.table.iter().any(|word| *word != 0), peer_public.is_some());
            assert!(MODP_2048.step(&mut memory, u32::MAX).done);
            assert_eq!(MODP_2048.finish(&mut memory, &mut out), Ok(256));
            assert!(is_all_zero(&memory));
        }
    }

    /// The documented size.
    #[test]
    fn size_is_as_documented() {
        assert!((5180..5280).contains(&size_of::<WorkMemory>()), "{}", size_of::<WorkMemory>());
    }
}
