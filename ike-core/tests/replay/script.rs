//! The random numbers of a recorded session, in place of a generator.

use core::convert::Infallible;
use std::collections::VecDeque;

use rand_core::{TryCryptoRng, TryRng};

/// Bytes of a private value: just the index of its computation, see [`ike_core::crypto::toy::Recorded`].
pub(crate) const PRIVATE_LEN: usize = 1;

/// What the engine will draw next. Lengths tell cookies, nonces and private values apart; SPIs and message ids come in
/// the order in which they are wanted.
#[derive(Debug, Default)]
pub(crate) struct Script {
    pub(crate) cookies: VecDeque<Vec<u8>>,
    pub(crate) nonces: VecDeque<Vec<u8>>,
    pub(crate) privates: VecDeque<u8>,
    pub(crate) numbers: VecDeque<u32>,
    /// Draws in a row of numbers that are on no message.
    unscripted: u32,
}

impl Script {
    pub(crate) fn is_used_up(&self) -> bool {
        let kinds =
            [self.cookies.len(), self.nonces.len(), self.privates.len(), self.numbers.len()];
        kinds == [0; 4]
    }
}

impl TryRng for Script {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        // What is not on the script is jitter. Zero is neither an SPI nor a message id, for which the engine would ask
        // again and again.
        self.unscripted = if self.numbers.is_empty() { self.unscripted + 1 } else { 0 };
        assert!(self.unscripted < 8, "a number that was not recorded is wanted");
        Ok(self.numbers.pop_front().unwrap_or(0))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        // The key of the hash tables.
        Ok(0x0123_4567_89ab_cdef)
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        self.unscripted = 0;
        let drawn = match out.len() {
            PRIVATE_LEN => vec![self.privates.pop_front().expect("a recorded private value")],
            8 => self.cookies.pop_front().expect("a recorded cookie"),
            _ => self.nonces.pop_front().expect("a recorded nonce"),
        };
        out.copy_from_slice(&drawn);
        Ok(())
    }
}

impl TryCryptoRng for Script {}
