//! Private: Diffie-Hellman for simulators, replays and fuzzers. No security whatever.
//!
//! [`Toy`] is a real group, of 61 bits: both sides compute the same secret in a microsecond, so that a simulator can
//! run thousands of handshakes. [`Recorded`] gives back what a recorded session used.

use super::{Crypto, DhError, DhGroup, PublicValueError, Step, WorkMemory, soft};
use crate::wire::numbers::GroupDescription;

/// Everything in software, but for the Diffie-Hellman, which is [`Toy::MODP_2048`].
pub static CRYPTO: Crypto =
    Crypto { hashes: soft::HASHES, ciphers: soft::CIPHERS, groups: &[&Toy::MODP_2048] };

/// The integers modulo 2^61 - 1, under the number and with the lengths of another group.
#[derive(Clone, Copy, Debug)]
pub struct Toy {
    /// The number it goes by.
    pub id: GroupDescription,
    /// Bytes of a public value and of a shared secret, at least 8.
    pub public_len: usize,
    /// Bytes of a private value, at least 8.
    pub private_len: usize,
    /// Modular multiplications a computation pretends to cost.
    pub cost: u32,
}

impl Toy {
    /// In the place of MODP-2048, with its lengths.
    pub const MODP_2048: Self =
        Self { id: GroupDescription::MODP_2048, public_len: 256, private_len: 32, cost: 64 };

    const P: u64 = (1 << 61) - 1;
    const LAST: u64 = Self::P - 2;
    /// A primitive root modulo P.
    const GENERATOR: u64 = 37;

    #[expect(clippy::cast_possible_truncation, reason = "a remainder modulo P is below 2^61")]
    #[expect(clippy::arithmetic_side_effects, reason = "factors below 2^64 in 128 bits")]
    const fn multiply(a: u64, b: u64) -> u64 {
        ((a as u128 * b as u128) % Self::P as u128) as u64
    }

    fn power(base: u64, exponent: u64) -> u64 {
        (0..u64::BITS).rev().fold(1, |power, bit| {
            let square = Self::multiply(power, power);
            if exponent >> bit & 1 == 1 { Self::multiply(square, base) } else { square }
        })
    }

    /// The last eight bytes as a number, and whether those before them are zero.
    fn number(bytes: &[u8]) -> (u64, bool) {
        match bytes.split_last_chunk() {
            Some((head, tail)) => (u64::from_be_bytes(*tail), head.iter().all(|byte| *byte == 0)),
            None => (0, false),
        }
    }
}

impl DhGroup for Toy {
    fn id(&self) -> GroupDescription {
        self.id
    }

    fn public_len(&self) -> usize {
        self.public_len
    }

    fn private_len(&self) -> usize {
        self.private_len
    }

    fn shared_len(&self) -> usize {
        self.public_len
    }

    fn check_public(&self, public: &[u8]) -> Result<(), PublicValueError> {
        if public.len() != self.public_len {
            return Err(PublicValueError::Length {
                expected: self.public_len,
                given: public.len(),
            });
        }
        match Self::number(public) {
            (2..=Self::LAST, true) => Ok(()),
            _ => Err(PublicValueError::OutOfRange),
        }
    }

    fn begin(
        &self,
        memory: &mut WorkMemory,
        private: &[u8],
        peer_public: Option<&[u8]>,
    ) -> Result<(), DhError> {
        memory.start(self, private, peer_public)
    }

    fn step(&self, memory: &mut WorkMemory, budget: u32) -> Step {
        if !memory.is_at_work(self.id) || memory.is_done() {
            return Step { used: 0, done: true };
        }
        let left = self.cost.saturating_sub(memory.position);
        let used = left.min(budget.max(1));
        memory.position = memory.position.saturating_add(used);
        let done = used == left;
        if done {
            let base = match memory.value() {
                [] => Self::GENERATOR,
                public => Self::number(public).0,
            };
            let result = Self::power(base, Self::number(memory.private()).0).to_be_bytes();
            let mut padded = [0; super::MAX_PUBLIC_LEN];
            let place = padded.get_mut(..self.public_len).and_then(<[u8]>::split_last_chunk_mut);
            if let Some((_, place)) = place {
                *place = result;
            }
            let _ = memory.set_result(padded.get(..self.public_len).unwrap_or_default());
        }
        Step { used, done }
    }

    fn finish(&self, memory: &mut WorkMemory, out: &mut [u8]) -> Result<usize, DhError> {
        memory.take_result(self.id, out)
    }
}

/// The computations of a recorded session, to be replayed.
///
/// The first byte of a private value is the index of the computation it belongs to, so that a session with PFS can
/// have one for each exchange.
#[derive(Clone, Copy, Debug)]
pub struct Recorded {
    /// The number of the group.
    pub id: GroupDescription,
    /// Bytes of a private value, at least 1: what the engine asks its generator for.
    pub private_len: usize,
    /// One for each pair of public value and shared secret. Lengths are those of the first.
    pub computations: &'static [RecordedComputation],
}

/// One recorded Diffie-Hellman computation.
#[derive(Clone, Copy, Debug)]
pub struct RecordedComputation {
    /// What we sent.
    pub public: &'static [u8],
    /// What the peer sent; another value is refused.
    pub peer_public: &'static [u8],
    /// What came of it.
    pub shared: &'static [u8],
}

impl Recorded {
    fn computation(&self, private: &[u8]) -> Option<&'static RecordedComputation> {
        self.computations.get(usize::from(*private.first()?))
    }
}

impl DhGroup for Recorded {
    fn id(&self) -> GroupDescription {
        self.id
    }

    fn public_len(&self) -> usize {
        self.computations.first().map_or(0, |first| first.public.len())
    }

    fn private_len(&self) -> usize {
        self.private_len
    }

    fn shared_len(&self) -> usize {
        self.computations.first().map_or(0, |first| first.shared.len())
    }

    fn is_private(&self, private: &[u8]) -> bool {
        private.len() == self.private_len && self.computation(private).is_some()
    }

    fn check_public(&self, public: &[u8]) -> Result<(), PublicValueError> {
        if public.len() != self.public_len() {
            return Err(PublicValueError::Length {
                expected: self.public_len(),
                given: public.len(),
            });
        }
        if self.computations.iter().any(|computation| computation.peer_public == public) {
            Ok(())
        } else {
            Err(PublicValueError::OutOfRange)
        }
    }

    fn begin(
        &self,
        memory: &mut WorkMemory,
        private: &[u8],
        peer_public: Option<&[u8]>,
    ) -> Result<(), DhError> {
        memory.start(self, private, peer_public)
    }

    fn step(&self, memory: &mut WorkMemory, _budget: u32) -> Step {
        if !memory.is_at_work(self.id) || memory.is_done() {
            return Step { used: 0, done: true };
        }
        if let Some(computation) = self.computation(memory.private()) {
            let public = memory.value().is_empty();
            let _ = memory.set_result(if public { computation.public } else { computation.shared });
        }
        Step { used: 1, done: true }
    }

    fn finish(&self, memory: &mut WorkMemory, out: &mut [u8]) -> Result<usize, DhError> {
        memory.take_result(self.id, out)
    }
}
