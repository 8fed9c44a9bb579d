//! MODP groups: modular exponentiation that can stop after any multiplication.
//!
//! RFC 2409 §6 (groups 1 and 2), RFC 3526 (5, 14, 15, 16). All have the generator 2.
//!
//! The arithmetic is crypto-bigint's, in Montgomery form with parameters that are compile-time constants: built at
//! run time they would cost 11 KB of flash more. The loop over the exponent is ours, so that it can be left and
//! entered again:
//!
//! ```text
//! our public value, 2^x     for each bit of x:     square, then double if the bit is set
//!
//! shared secret, y^x        table of y^0 .. y^(2^w - 1), then
//!                           for each w bits of x:  square w times, then multiply by table[bits]
//! ```
//!
//! Both do the same operations for every exponent of the group's length, and a look-up reads the whole table, so
//! that neither time nor addresses tell of the exponent. The exponent is as long as the strength of the group asks
//! for, not as long as the prime (RFC 3526 §8), which makes it about eight times as fast.

use core::marker::PhantomData;

use crypto_bigint::modular::{ConstMontyForm, ConstMontyParams};
use crypto_bigint::{CtAssign, CtEq, CtSelect, Uint, Word};
#[cfg(feature = "legacy")]
use crypto_bigint::{U768, U1024, U1536};
use crypto_bigint::{U2048, U3072, U4096};
use zeroize::Zeroize;

use super::work::TABLE_BYTES;
use super::{DhError, DhGroup, MAX_PRIVATE_LEN, PublicValueError, Step, WorkMemory};
use crate::wire::numbers::GroupDescription;

mod primes;

#[cfg(feature = "legacy")]
use primes::{Prime768, Prime1024, Prime1536};
use primes::{Prime2048, Prime3072, Prime4096};

/// Group 14 (RFC 3526 §3), exponents of 256 bits.
pub static MODP_2048: Modp<Prime2048, { U2048::LIMBS }> =
    Modp::new(GroupDescription::MODP_2048, 32);
/// Group 15 (RFC 3526 §4), exponents of 320 bits.
pub static MODP_3072: Modp<Prime3072, { U3072::LIMBS }> =
    Modp::new(GroupDescription::MODP_3072, 40);
/// Group 16 (RFC 3526 §5), exponents of 384 bits.
pub static MODP_4096: Modp<Prime4096, { U4096::LIMBS }> =
    Modp::new(GroupDescription::MODP_4096, 48);
/// Group 5 (RFC 3526 §2). Weak.
#[cfg(feature = "legacy")]
pub static MODP_1536: Modp<Prime1536, { U1536::LIMBS }> =
    Modp::new(GroupDescription::MODP_1536, 32);
/// Group 2 (RFC 2409 §6.2). Weak: within reach of states (Logjam, 2015).
#[cfg(feature = "legacy")]
pub static MODP_1024: Modp<Prime1024, { U1024::LIMBS }> =
    Modp::new(GroupDescription::MODP_1024, 32);
/// Group 1 (RFC 2409 §6.1). Broken in practice.
#[cfg(feature = "legacy")]
pub static MODP_768: Modp<Prime768, { U768::LIMBS }> = Modp::new(GroupDescription::MODP_768, 32);

/// The group of the integers modulo the prime `P`, of `LIMBS` machine words.
#[derive(Clone, Copy, Debug)]
pub struct Modp<P, const LIMBS: usize> {
    id: GroupDescription,
    private_len: usize,
    prime: PhantomData<fn() -> P>,
}

/// A number modulo `P` in Montgomery form.
type Element<P, const LIMBS: usize> = ConstMontyForm<P, LIMBS>;

impl<P: ConstMontyParams<LIMBS>, const LIMBS: usize> DhGroup for Modp<P, LIMBS> {
    fn id(&self) -> GroupDescription {
        self.id
    }

    fn public_len(&self) -> usize {
        Self::LEN
    }

    fn private_len(&self) -> usize {
        self.private_len
    }

    fn shared_len(&self) -> usize {
        Self::LEN
    }

    /// Anything but zero, whose public value would be 1.
    fn is_private(&self, private: &[u8]) -> bool {
        private.len() == self.private_len() && private.iter().fold(0, |or, byte| or | byte) != 0
    }

    fn check_public(&self, public: &[u8]) -> Result<(), PublicValueError> {
        if public.len() != Self::LEN {
            return Err(PublicValueError::Length { expected: Self::LEN, given: public.len() });
        }
        let value = Uint::<LIMBS>::from_be_slice(public);
        let p_minus_one = Element::<P, LIMBS>::MODULUS.get().wrapping_sub(&Uint::ONE);
        if value <= Uint::ONE || value >= p_minus_one {
            return Err(PublicValueError::OutOfRange);
        }
        Ok(())
    }

    fn begin(
        &self,
        memory: &mut WorkMemory,
        private: &[u8],
        peer_public: Option<&[u8]>,
    ) -> Result<(), DhError> {
        memory.start(self, private, peer_public)?;
        if let Some(public) = peer_public {
            // `start` has checked the length.
            let base = Element::<P, LIMBS>::new(&Uint::from_be_slice(public));
            store(&Element::<P, LIMBS>::ONE, table_entry(&mut memory.table, LIMBS, 0));
            store(&base, table_entry(&mut memory.table, LIMBS, 1));
        }
        Ok(())
    }

    fn step(&self, memory: &mut WorkMemory, budget: u32) -> Step {
        if !memory.is_at_work(self.id) || memory.is_done() {
            return Step { used: 0, done: true };
        }
        let generator = memory.value().is_empty();
        let total = if generator { self.public_cost() } else { self.shared_cost() };
        let start = memory.position;
        let end = total.min(start.saturating_add(budget.max(1)));
        let mut power =
            if generator { self.raise_two(memory, end) } else { self.raise_public(memory, end) };
        memory.position = end;
        if end == total {
            let mut bytes = power.retrieve().to_be_bytes();
            // The number fits: LEN is at most MAX_PUBLIC_LEN.
            let _ = memory.set_result(bytes.as_slice());
            bytes.as_mut_slice().zeroize();
        } else {
            store(&power, &mut memory.accumulator);
        }
        power.zeroize();
        Step { used: end.saturating_sub(start), done: end == total }
    }

    fn finish(&self, memory: &mut WorkMemory, out: &mut [u8]) -> Result<usize, DhError> {
        memory.take_result(self.id, out)
    }
}

#[expect(
    clippy::arithmetic_side_effects,
    reason = "all counts are far below 2^32: exponents have at most 512 bits, windows four; \
              subtractions are of a lower bit from a higher one, or of a past position from a later"
)]
impl<P: ConstMontyParams<LIMBS>, const LIMBS: usize> Modp<P, LIMBS> {
    /// Bytes of a number.
    const LEN: usize = LIMBS * size_of::<Word>();
    /// Bits of the exponent taken at a time: four if sixteen powers fit the table, else three.
    const WINDOW: u32 = if Self::LEN * 16 <= TABLE_BYTES { 4 } else { 3 };
    /// Powers in the table.
    const POWERS: u32 = 1 << Self::WINDOW;

    const fn new(id: GroupDescription, private_len: usize) -> Self {
        const { assert!(Self::LEN * (Self::POWERS as usize) <= TABLE_BYTES) };
        Self { id, private_len, prime: PhantomData }
    }

    /// The same group with private values of `len` bytes, brought to 16 at least and [`MAX_PRIVATE_LEN`] at most.
    ///
    /// The time grows with it; both ends may differ.
    #[must_use]
    pub const fn with_private_len(self, len: usize) -> Self {
        let private_len = match len {
            0..16 => 16,
            16..MAX_PRIVATE_LEN => len,
            _ => MAX_PRIVATE_LEN,
        };
        Self { private_len, ..self }
    }

    #[expect(clippy::cast_possible_truncation, reason = "private_len is at most MAX_PRIVATE_LEN")]
    const fn exponent_bits(&self) -> u32 {
        self.private_len as u32 * 8
    }

    const fn windows(&self) -> u32 {
        self.exponent_bits().div_ceil(Self::WINDOW)
    }

    /// Multiplications for 2^x: a squaring for each bit but the first.
    const fn public_cost(&self) -> u32 {
        self.exponent_bits() - 1
    }

    /// Multiplications for y^x: the table, then the squarings and a product for each window but the first.
    const fn shared_cost(&self) -> u32 {
        (Self::POWERS - 2) + (self.windows() - 1) * (Self::WINDOW + 1)
    }

    /// Takes 2^x from `memory.position` to `end`.
    fn raise_two(&self, memory: &WorkMemory, end: u32) -> Element<P, LIMBS> {
        let double_if = |power: Element<P, LIMBS>, bit: u32| {
            let mut power = power;
            power.ct_assign(&power.add(&power), bits(memory.private(), bit, 1).ct_eq(&1));
            power
        };
        let first = self.exponent_bits() - 1;
        let mut power = if memory.position == 0 {
            double_if(Element::<P, LIMBS>::ONE, first)
        } else {
            load(&memory.accumulator)
        };
        for position in memory.position..end {
            power = double_if(power.square(), first - 1 - position);
        }
        power
    }

    /// Takes y^x from `memory.position` to `end`.
    fn raise_public(&self, memory: &mut WorkMemory, end: u32) -> Element<P, LIMBS> {
        let mut power = load(&memory.accumulator);
        for position in memory.position..end {
            let Some(position) = position.checked_sub(Self::POWERS - 2) else {
                let next = position as usize + 2;
                let base: Element<P, LIMBS> = load(table_entry(&mut memory.table, LIMBS, 1));
                let last = load(table_entry(&mut memory.table, LIMBS, next - 1));
                store(&base.mul(&last), table_entry(&mut memory.table, LIMBS, next));
                continue;
            };
            if position == 0 {
                power = self.look_up(memory, 0);
            }
            power = if position % (Self::WINDOW + 1) < Self::WINDOW {
                power.square()
            } else {
                let number = position / (Self::WINDOW + 1) + 1;
                power.mul(&self.look_up(memory, number))
            };
        }
        power
    }

    /// The power for the window `number` of the exponent, the first being that of the highest bits.
    ///
    /// The whole table is read: which entry is wanted is secret.
    fn look_up(&self, memory: &WorkMemory, number: u32) -> Element<P, LIMBS> {
        let low = (self.windows() - 1 - number) * Self::WINDOW;
        let wanted = bits(memory.private(), low, Self::WINDOW);
        let mut words = [0; LIMBS];
        for (index, entry) in (0..Self::POWERS).zip(memory.table.chunks_exact(LIMBS)) {
            let mask = Word::ct_select(&0, &Word::MAX, index.ct_eq(&wanted));
            for (word, source) in words.iter_mut().zip(entry) {
                *word |= source & mask;
            }
        }
        let element = Element::from_montgomery(Uint::from_words(words));
        words.zeroize();
        element
    }
}

/// `count` bits of a big-endian number, the lowest of them having the weight 2^`low`. Bits beyond it are zero.
#[expect(clippy::arithmetic_side_effects, reason = "low is below 512, count at most 4")]
fn bits(number: &[u8], low: u32, count: u32) -> u32 {
    let bit = |index: u32| {
        let byte = number.iter().rev().nth(index as usize / 8).copied().unwrap_or_default();
        u32::from(byte >> (index % 8)) & 1
    };
    (0..count).fold(0, |bits, i| bits | bit(low + i) << i)
}

/// The entry `index` of a table of powers that have `limbs` words.
fn table_entry(table: &mut [Word], limbs: usize, index: usize) -> &mut [Word] {
    table.chunks_exact_mut(limbs).nth(index).unwrap_or_default()
}

fn load<P: ConstMontyParams<LIMBS>, const LIMBS: usize>(words: &[Word]) -> Element<P, LIMBS> {
    let mut number = [0; LIMBS];
    for (word, source) in number.iter_mut().zip(words) {
        *word = *source;
    }
    Element::from_montgomery(Uint::from_words(number))
}

fn store<P: ConstMontyParams<LIMBS>, const LIMBS: usize>(
    element: &Element<P, LIMBS>,
    words: &mut [Word],
) {
    for (word, source) in words.iter_mut().zip(element.as_montgomery().as_words()) {
        *word = *source;
    }
}
