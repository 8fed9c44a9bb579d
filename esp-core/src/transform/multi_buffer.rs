//! Several packets side by side.
//!
//! A CBC chain and a hash are serial within a packet: each step waits for the one before, and the units of the
//! processor idle. Packets do not wait for one another. So up to eight chains are stepped in turn inside one closure
//! of the cipher's backend, and each packet's hash follows one block behind its chain: the processor finds the
//! independent work by itself. Even one packet gains, its hash running beside its chain.
//!
//! ```text
//!  lane 0:  c c c c  c c c c  H c c c c  H c c c c ...      c: a block of the cipher
//!  lane 1:  c c c c  c c c c  H c c c c  H c c c c ...      H: a block of the hash
//! ```
//!
//! More than eight lanes gain nothing, four are enough for hashing alone. Lanes are of about the same length, the
//! caller having sorted them: what is longer than the shortest is done alone.

use cipher::array::Array;
use cipher::consts::U16;
use cipher::{BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser};

use super::blocks::{Block, encrypt_each, mixed};
use super::hmac::{Hash, Hmac, KeyStates, MAX_DIGEST, States};

/// Lanes for sealing.
pub(super) const SEAL_LANES: usize = 8;
/// Lanes for checking ICVs.
pub(super) const VERIFY_LANES: usize = 4;

/// Length of SPI and sequence number, which are hashed and not encrypted.
const HEADER: usize = 8;
const BLOCK: usize = 16;

/// One packet to be sealed.
pub(super) struct SealLane<'p> {
    /// From the SPI to the trailer; the first block behind the header holds the counter.
    pub(super) message: &'p mut [u8],
    /// What is hashed behind it.
    pub(super) suffix: [u8; 4],
    pub(super) suffix_len: usize,
    pub(super) icv: &'p mut [u8],
}

/// One packet to be checked.
#[derive(Clone, Copy)]
pub(super) struct VerifyLane<'p> {
    pub(super) message: &'p [u8],
    pub(super) suffix: &'p [u8],
}

impl SealLane<'_> {
    fn suffix(&self) -> &[u8] {
        self.suffix.get(..self.suffix_len).unwrap_or_default()
    }
}

/// Encrypts and authenticates `K` packets.
pub(super) fn seal<C, const K: usize>(cipher: &C, hmac: &Hmac, lanes: &mut [SealLane<'_>; K])
where
    C: BlockCipherEncrypt<BlockSize = U16>,
{
    match &hmac.states {
        States::Sha1(keys) => seal_with(cipher, keys, lanes),
        States::Sha256(keys) => seal_with(cipher, keys, lanes),
        States::Sha384(keys) => seal_with(cipher, keys, lanes),
        States::Sha512(keys) => seal_with(cipher, keys, lanes),
        #[cfg(feature = "legacy")]
        States::Md5(keys) => seal_with(cipher, keys, lanes),
    }
}

fn seal_with<C, H, const K: usize>(cipher: &C, keys: &KeyStates<H>, lanes: &mut [SealLane<'_>; K])
where
    C: BlockCipherEncrypt<BlockSize = U16>,
    H: Hash,
{
    let mut hashes = LaneHashes::<H, K> { states: [keys.inner; K] };
    cipher.encrypt_with_backend(Stitch { lanes: &mut *lanes, hashes: &mut hashes });
    let parts =
        lanes.each_ref().map(|lane| VerifyLane { message: lane.message, suffix: lane.suffix() });
    let macs = keys.finish_lanes(hashes.states, &parts);
    for (lane, mac) in lanes.iter_mut().zip(macs) {
        for (to, from) in lane.icv.iter_mut().zip(mac) {
            *to = from;
        }
    }
}

/// The hashes of all lanes. Behind a trait object, so that the loop with the cipher in it is there
/// once for every key length and not once more for every hash.
trait Absorb {
    /// Length of a block in bytes, a multiple of the cipher's.
    fn block_len(&self) -> usize;
    /// Takes all whole blocks of `data` into the hash of a lane.
    fn absorb(&mut self, lane: usize, data: &[u8]);
}

struct LaneHashes<H: Hash, const K: usize> {
    states: [H::State; K],
}

impl<H: Hash, const K: usize> Absorb for LaneHashes<H, K> {
    fn block_len(&self) -> usize {
        H::BLOCK
    }

    #[inline]
    fn absorb(&mut self, lane: usize, data: &[u8]) {
        if let Some(state) = self.states.get_mut(lane) {
            H::compress(state, data);
        }
    }
}

struct Stitch<'a, 'p, const K: usize> {
    lanes: &'a mut [SealLane<'p>; K],
    hashes: &'a mut dyn Absorb,
}

impl<const K: usize> BlockSizeUser for Stitch<'_, '_, K> {
    type BlockSize = U16;
}

impl<const K: usize> BlockCipherEncClosure for Stitch<'_, '_, K> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let Self { lanes, hashes } = self;
        let hash_block = hashes.block_len();
        let step = hash_block / BLOCK;
        let common = lanes.iter().map(|lane| blocks(lane.message).len()).min().unwrap_or(0);

        // The chains start from zero: the first block is the counter, and becomes the IV.
        let mut chains = [Block::default(); K];
        let mut done = 0_usize;
        let mut hashed = 0_usize;
        while done < common {
            // A block of the hash that was complete a step ago: its last stores have landed.
            let lagging = done >= step.saturating_mul(2);
            let until = done.saturating_add(step).min(common);
            let mut parts: [&mut [[u8; BLOCK]]; K] = core::array::from_fn(|_| Default::default());
            for (part, lane) in parts.iter_mut().zip(lanes.iter_mut()) {
                *part = blocks_mut(lane.message).get_mut(done..until).unwrap_or_default();
            }
            for at in 0..until.saturating_sub(done) {
                for (chain, part) in chains.iter_mut().zip(&parts) {
                    if let Some(block) = part.get(at) {
                        *chain = Array(mixed(block, chain));
                    }
                }
                encrypt_each(backend, &mut chains);
                for (chain, part) in chains.iter().zip(&mut parts) {
                    if let Some(block) = part.get_mut(at) {
                        *block = chain.0;
                    }
                }
            }
            done = until;
            if lagging {
                let from = hashed.saturating_mul(hash_block);
                for (at, lane) in lanes.iter().enumerate() {
                    let rest = lane.message.get(from..).unwrap_or_default();
                    hashes.absorb(at, rest.get(..hash_block).unwrap_or_default());
                }
                hashed = hashed.saturating_add(1);
            }
        }
        let from = hashed.saturating_mul(hash_block);
        for (at, (lane, chain)) in lanes.iter_mut().zip(&mut chains).enumerate() {
            for block in blocks_mut(lane.message).get_mut(common..).unwrap_or_default() {
                *chain = Array(mixed(block, chain));
                backend.encrypt_block_inplace(chain);
                *block = chain.0;
            }
            hashes.absorb(at, lane.message.get(from..).unwrap_or_default());
        }
    }
}

/// The blocks behind the header.
#[inline(always)]
fn blocks(message: &[u8]) -> &[[u8; BLOCK]] {
    message.get(HEADER..).unwrap_or_default().as_chunks().0
}

#[inline(always)]
fn blocks_mut(message: &mut [u8]) -> &mut [[u8; BLOCK]] {
    message.get_mut(HEADER..).unwrap_or_default().as_chunks_mut().0
}

/// The MACs of `K` packets.
pub(super) fn macs<const K: usize>(
    hmac: &Hmac,
    lanes: &[VerifyLane<'_>; K],
) -> [[u8; MAX_DIGEST]; K] {
    match &hmac.states {
        States::Sha1(keys) => keys.mac_lanes(lanes),
        States::Sha256(keys) => keys.mac_lanes(lanes),
        States::Sha384(keys) => keys.mac_lanes(lanes),
        States::Sha512(keys) => keys.mac_lanes(lanes),
        #[cfg(feature = "legacy")]
        States::Md5(keys) => keys.mac_lanes(lanes),
    }
}

impl<H: Hash> KeyStates<H> {
    fn mac_lanes<const K: usize>(&self, lanes: &[VerifyLane<'_>; K]) -> [[u8; MAX_DIGEST]; K] {
        let mut states = [self.inner; K];
        let blocks = |lane: &VerifyLane<'_>| lane.message.len().checked_div(H::BLOCK);
        let common = lanes.iter().filter_map(blocks).min().unwrap_or(0);
        for block in 0..common {
            let from = block.saturating_mul(H::BLOCK);
            for (state, lane) in states.iter_mut().zip(lanes) {
                let rest = lane.message.get(from..).unwrap_or_default();
                H::compress(state, rest.get(..H::BLOCK).unwrap_or_default());
            }
        }
        let from = common.saturating_mul(H::BLOCK);
        for (state, lane) in states.iter_mut().zip(lanes) {
            H::compress(state, lane.message.get(from..).unwrap_or_default());
        }
        self.finish_lanes(states, lanes)
    }

    /// What remains when every whole block of each lane has gone into its state.
    fn finish_lanes<const K: usize>(
        &self,
        mut states: [H::State; K],
        lanes: &[VerifyLane<'_>; K],
    ) -> [[u8; MAX_DIGEST]; K] {
        for (state, lane) in states.iter_mut().zip(lanes) {
            self.finish_inner(state, lane.message, lane.suffix);
        }
        states.map(|state| self.finish_outer(&state))
    }
}
