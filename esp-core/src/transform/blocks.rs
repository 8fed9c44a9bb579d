//! Many independent blocks through a cipher's backend.
//!
//! Backends that work on a few blocks at once, as the portable ones do (bit-sliced: two or four blocks
//! cost as much as one), are given that many. Backends with very wide steps are given single blocks:
//! a packet seldom fills the step, and moving its blocks into one costs more than it brings, while
//! single blocks that do not wait for each other overlap in the processor (measured: at 1400 bytes
//! twice as quick as the 64-block step of AVX-512).

use cipher::array::Array;
use cipher::consts::U16;
use cipher::typenum::Unsigned;
use cipher::{BlockCipherDecBackend, BlockCipherEncBackend};

/// An AES block.
pub(super) type Block = Array<u8, U16>;

/// How many blocks the callers here collect at most.
pub(super) const GROUP: usize = 8;

/// Encrypts each block.
#[inline(always)]
pub(super) fn encrypt_each<B: BlockCipherEncBackend<BlockSize = U16>>(
    backend: &B,
    blocks: &mut [Block],
) {
    if B::ParBlocksSize::USIZE <= GROUP {
        let (together, rest) = Array::slice_as_chunks_mut(blocks);
        for blocks in together {
            backend.encrypt_par_blocks_inplace(blocks);
        }
        backend.encrypt_tail_blocks_inplace(rest);
    } else {
        for block in blocks {
            backend.encrypt_block_inplace(block);
        }
    }
}

/// Decrypts each block.
#[inline(always)]
pub(super) fn decrypt_each<B: BlockCipherDecBackend<BlockSize = U16>>(
    backend: &B,
    blocks: &mut [Block],
) {
    if B::ParBlocksSize::USIZE <= GROUP {
        let (together, rest) = Array::slice_as_chunks_mut(blocks);
        for blocks in together {
            backend.decrypt_par_blocks_inplace(blocks);
        }
        backend.decrypt_tail_blocks_inplace(rest);
    } else {
        for block in blocks {
            backend.decrypt_block_inplace(block);
        }
    }
}

/// The exclusive or of two blocks.
#[inline(always)]
pub(super) fn mixed(one: &[u8; 16], other: &Block) -> [u8; 16] {
    (u128::from_ne_bytes(*one) ^ u128::from_ne_bytes(other.0)).to_ne_bytes()
}
