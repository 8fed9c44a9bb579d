//! HMAC of many messages in step: each has a lane of wide registers, and all are compressed a block at a time.
//!
//! ```text
//!             step 0     step 1     step 2  ...
//!  lane 0:    block 0    block 1    block 2            words of all lanes lie side by side: word 0 of block 0
//!  lane 1:    block 0    block 1    last block         of each message, word 1 of each, ...
//!  lane 2:    block 0    last block (ended)
//! ```
//!
//! Sixteen hashes in a 512-bit register are two to three times as quick as the processor's own instructions for one at a
//! time. Code for such registers is made only where the compiler may count on them, and that is inside a closure of
//! the `aes` crate's backend for them, which the crate picks at run time: a cipher is keyed with zeros to get in,
//! and nothing is encrypted. For every other backend the closure is empty.

use core::marker::PhantomData;
use core::ops::{BitAnd, BitXor, Not};

use super::VerifyLane;
use super::sha::{Blocks, States, sha1, sha256, sha512};
use crate::transform::hmac::{
    Hash, KeyStates, MAX_DIGEST, Sha1, Sha256, Sha384, Sha512, Tail, whole_blocks,
};
use aes::Aes128Enc;
use cipher::array::Array;
use cipher::consts::U16;
use cipher::typenum::Unsigned;
use cipher::{
    BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit,
};

/// The step, in blocks, of the backend with 512-bit registers. No other has as long a one.
const WIDE: usize = 64;

/// A word of a hash, in the byte order of the message.
pub(super) trait Word:
    Copy + Default + BitAnd<Output = Self> + BitXor<Output = Self> + Not<Output = Self>
{
    const BYTES: usize;
    /// The bit that ends a message, in its place.
    const END: Self;
    fn from_number(number: u16) -> Self;
    fn to_message_order(self) -> Self;
    /// Puts the words of a block into a lane as they lie there, or zeros if it is none.
    fn place<const N: usize>(block: &[u8], lane: usize, words: &mut Blocks<Self, N>);
}

macro_rules! word {
    ($word:ty, $bytes:literal, $block:literal) => {
        impl Word for $word {
            const BYTES: usize = $bytes;
            const END: Self = Self::to_be(1 << (8 * $bytes - 1));

            #[inline(always)]
            fn from_number(number: u16) -> Self {
                number.into()
            }

            #[inline(always)]
            fn to_message_order(self) -> Self {
                self.to_be()
            }

            #[inline(always)]
            fn place<const N: usize>(block: &[u8], lane: usize, words: &mut Blocks<Self, N>) {
                let block = block.first_chunk::<$block>().unwrap_or(&[0; $block]);
                for (words, word) in words.iter_mut().zip(block.as_chunks().0) {
                    if let Some(place) = words.get_mut(lane) {
                        *place = Self::from_ne_bytes(*word);
                    }
                }
            }
        }
    };
}

word!(u32, 4, 64);
word!(u64, 8, 128);

/// A hash of which `N` messages can go in step.
pub(super) trait InStep<W: Word, const N: usize, const WORDS: usize>:
    Hash<State = [W; WORDS]>
{
    /// From how many messages on that is quicker than one after the other (measured).
    const LEAST: usize;
    fn compress_in_step(states: &mut States<W, N, WORDS>, blocks: &mut Blocks<W, N>);
}

impl InStep<u32, 16, 5> for Sha1 {
    const LEAST: usize = 7;
    #[inline(always)]
    fn compress_in_step(states: &mut States<u32, 16, 5>, blocks: &mut Blocks<u32, 16>) {
        sha1(states, blocks);
    }
}

impl InStep<u32, 16, 8> for Sha256 {
    const LEAST: usize = 10;
    #[inline(always)]
    fn compress_in_step(states: &mut States<u32, 16, 8>, blocks: &mut Blocks<u32, 16>) {
        sha256(states, blocks);
    }
}

impl InStep<u64, 8, 8> for Sha384 {
    const LEAST: usize = 2;
    #[inline(always)]
    fn compress_in_step(states: &mut States<u64, 8, 8>, blocks: &mut Blocks<u64, 8>) {
        sha512(states, blocks);
    }
}

impl InStep<u64, 8, 8> for Sha512 {
    const LEAST: usize = 2;
    #[inline(always)]
    fn compress_in_step(states: &mut States<u64, 8, 8>, blocks: &mut Blocks<u64, 8>) {
        sha512(states, blocks);
    }
}

/// Whether hashes in step are of use on this processor.
pub(super) fn is_quick() -> bool {
    let mut wide = false;
    enter(Probe(&mut wide));
    wide
}

/// The MACs of up to `N` messages. Only where [`is_quick`]: elsewhere nothing happens.
pub(super) fn macs<H, W, const N: usize, const WORDS: usize>(
    keys: &KeyStates<H>,
    lanes: &[VerifyLane<'_>],
    macs: &mut [[u8; MAX_DIGEST]],
) where
    H: InStep<W, N, WORDS>,
    W: Word,
{
    enter(Macs::<H, W, N, WORDS> { keys, lanes, macs, words: PhantomData });
}

fn enter(closure: impl BlockCipherEncClosure<BlockSize = U16>) {
    Aes128Enc::new(&Array::default()).encrypt_with_backend(closure);
}

struct Probe<'a>(&'a mut bool);

impl BlockSizeUser for Probe<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Probe<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, _: &B) {
        *self.0 = B::ParBlocksSize::USIZE >= WIDE;
    }
}

struct Macs<'a, 'p, H: Hash, W, const N: usize, const WORDS: usize> {
    keys: &'a KeyStates<H>,
    lanes: &'a [VerifyLane<'p>],
    macs: &'a mut [[u8; MAX_DIGEST]],
    words: PhantomData<W>,
}

impl<H: Hash, W, const N: usize, const WORDS: usize> BlockSizeUser
    for Macs<'_, '_, H, W, N, WORDS>
{
    type BlockSize = U16;
}

impl<H, W, const N: usize, const WORDS: usize> BlockCipherEncClosure
    for Macs<'_, '_, H, W, N, WORDS>
where
    H: InStep<W, N, WORDS>,
    W: Word,
{
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, _: &B) {
        if B::ParBlocksSize::USIZE >= WIDE {
            all_lanes(self.keys, self.lanes, self.macs);
        }
    }
}

/// The MACs of up to `N` messages, in whatever registers there are.
#[inline(always)]
fn all_lanes<H, W, const N: usize, const WORDS: usize>(
    keys: &KeyStates<H>,
    lanes: &[VerifyLane<'_>],
    macs: &mut [[u8; MAX_DIGEST]],
) where
    H: InStep<W, N, WORDS>,
    W: Word,
{
    let mut messages = [const { Message::NONE }; N];
    for (message, lane) in messages.iter_mut().zip(lanes) {
        *message = Message::new::<H>(lane);
    }
    let longest = messages.iter().map(Message::len).max().unwrap_or_default();
    let mut states = keys.inner.map(|word| [word; N]);
    // The words of the next step are brought together while this one is compressed: there are two sets of them.
    let [now, next] = &mut [[[W::default(); N]; 16]; 2];
    let (mut now, mut next) = (now, next);
    read(&messages, 0, now);
    for at in (0..longest).step_by(H::BLOCK) {
        read(&messages, at.saturating_add(H::BLOCK), next);
        let before = states;
        H::compress_in_step(&mut states, now);
        // Lanes that have ended stay as they were.
        let alive = messages
            .each_ref()
            .map(|message| if at < message.len() { !W::default() } else { W::default() });
        for (after, before) in states.iter_mut().zip(&before) {
            for ((after, before), alive) in after.iter_mut().zip(before).zip(&alive) {
                *after = *before ^ (*alive & (*before ^ *after));
            }
        }
        core::mem::swap(&mut now, &mut next);
    }
    digests::<H, W, N, WORDS>(&states, now);
    let mut outer = keys.outer.map(|word| [word; N]);
    H::compress_in_step(&mut outer, now);
    for (lane, mac) in macs.iter_mut().take(N).enumerate() {
        *mac =
            H::digest(&outer.each_ref().map(|words| words.get(lane).copied().unwrap_or_default()));
    }
}

/// What one lane hashes.
struct Message<'p> {
    /// Whole blocks.
    head: &'p [u8],
    /// The rest, padded.
    tail: Tail,
}

impl<'p> Message<'p> {
    const NONE: Self = Self { head: &[], tail: Tail::NONE };

    #[inline(always)]
    fn new<H: Hash>(lane: &VerifyLane<'p>) -> Self {
        let (head, _) = whole_blocks::<H>(lane.message);
        Self { head, tail: Tail::new::<H>(lane.message, lane.suffix) }
    }

    #[inline(always)]
    fn len(&self) -> usize {
        self.head.len().saturating_add(self.tail.blocks().len())
    }

    /// The block that begins at `at`, and what comes behind it; nothing beyond the end.
    #[inline(always)]
    fn from(&self, at: usize) -> &[u8] {
        match at.checked_sub(self.head.len()) {
            None => self.head.get(at..).unwrap_or_default(),
            Some(at) => self.tail.blocks().get(at..).unwrap_or_default(),
        }
    }
}

/// Brings together the words of the blocks that begin at `at`.
#[inline(always)]
fn read<W: Word, const N: usize>(messages: &[Message<'_>; N], at: usize, words: &mut Blocks<W, N>) {
    for (lane, message) in messages.iter().enumerate() {
        W::place(message.from(at), lane, words);
    }
}

/// The blocks that the outer hash takes in: the inner digests, padded.
#[inline(always)]
fn digests<H, W, const N: usize, const WORDS: usize>(
    states: &States<W, N, WORDS>,
    blocks: &mut Blocks<W, N>,
) where
    H: InStep<W, N, WORDS>,
    W: Word,
{
    let words = H::DIGEST.checked_div(W::BYTES).unwrap_or_default();
    *blocks = [[W::default(); N]; 16];
    for (to, from) in blocks.iter_mut().zip(states).take(words) {
        *to = from.map(W::to_message_order);
    }
    if let Some(end) = blocks.get_mut(words) {
        *end = [W::END; N];
    }
    // Key block and digest: at most 192 bytes.
    let bits = H::BLOCK.saturating_add(H::DIGEST).saturating_mul(8);
    let [.., length] = blocks;
    *length = [W::from_number(u16::try_from(bits).unwrap_or_default()).to_message_order(); N];
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    fn bytes(len: usize, seed: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 31 + at * at + seed * 97) as u8).collect()
    }

    /// Every number of lanes, lengths around the ends of blocks, with and without the high half of a sequence number.
    fn agrees<H, W, const N: usize, const WORDS: usize>()
    where
        H: InStep<W, N, WORDS>,
        W: Word,
    {
        let keys = KeyStates::<H>::new(&bytes(H::DIGEST, 1));
        for (count, from) in
            (1..=N).flat_map(|count| [(count, 0), (count, H::BLOCK - 9), (count, 1400)])
        {
            let messages: Vec<_> =
                (0..count).map(|at| bytes(from + at * (count % 5), at)).collect();
            let lanes: Vec<_> = messages
                .iter()
                .enumerate()
                .map(|(at, message)| VerifyLane { message, suffix: &[1, 2, 3, 4][..at % 2 * 4] })
                .collect();
            let mut made = [[0; MAX_DIGEST]; N];
            all_lanes(&keys, &lanes, &mut made);
            let mut through_the_door = [[0; MAX_DIGEST]; N];
            macs(&keys, &lanes, &mut through_the_door);
            for (at, lane) in lanes.iter().enumerate() {
                let expected = keys.mac(lane.message, lane.suffix);
                assert_eq!(made[at][..H::DIGEST], expected[..H::DIGEST], "{at} of {count}");
                if is_quick() {
                    assert_eq!(through_the_door[at][..H::DIGEST], expected[..H::DIGEST]);
                }
            }
        }
    }

    #[test]
    fn in_step_is_as_one_after_the_other() {
        agrees::<Sha1, _, 16, 5>();
        agrees::<Sha256, _, 16, 8>();
        agrees::<Sha384, _, 8, 8>();
        agrees::<Sha512, _, 8, 8>();
    }
}
