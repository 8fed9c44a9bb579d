//! AES-CBC and 3DES-CBC (RFC 3602, RFC 2451), one key schedule for each direction, and the IVs of what is sealed.
//!
//! The IV of a packet is the encryption of a counter under the SA's own key: nobody without the key can tell it
//! beforehand (RFC 3602 §3 asks for that) and no packet costs a call of the random number generator. Encrypting a
//! counter block and then a chain that starts from the result is the same as one chain, started from zero, over counter
//! and payload; so the counter is written where the IV will stand, and one pass does both.

use aes::{Aes128Dec, Aes128Enc, Aes192Dec, Aes192Enc, Aes256Dec, Aes256Enc};
use cipher::array::Array;
use cipher::consts::U16;
use cipher::{
    BlockCipherDecBackend, BlockCipherDecClosure, BlockCipherDecrypt, BlockCipherEncrypt,
    BlockModeEncrypt, BlockSizeUser, InnerIvInit, KeyInit,
};
#[cfg(feature = "legacy")]
use des::TdesEde3;

use super::BlockCipher;
use super::blocks::{Block, GROUP, decrypt_each, mixed};
use super::hmac::Hmac;
use super::multi_buffer::{self, SealLane};

/// A key schedule for sealing.
#[allow(
    clippy::large_enum_variant,
    reason = "the schedule is the SA; there is no heap to put it on"
)]
pub(crate) enum CbcEncrypt {
    Aes128(Aes128Enc),
    Aes192(Aes192Enc),
    Aes256(Aes256Enc),
    #[cfg(feature = "legacy")]
    TripleDes(TdesEde3),
}

/// A key schedule for opening.
#[allow(
    clippy::large_enum_variant,
    reason = "the schedule is the SA; there is no heap to put it on"
)]
pub(crate) enum CbcDecrypt {
    Aes128(Aes128Dec),
    Aes192(Aes192Dec),
    Aes256(Aes256Dec),
    #[cfg(feature = "legacy")]
    TripleDes(TdesEde3),
}

impl CbcEncrypt {
    /// `None` if the key does not have `cipher.key_len()` bytes.
    pub(crate) fn new(cipher: BlockCipher, key: &[u8]) -> Option<Self> {
        Some(match cipher {
            BlockCipher::Aes128 => Self::Aes128(Aes128Enc::new_from_slice(key).ok()?),
            BlockCipher::Aes192 => Self::Aes192(Aes192Enc::new_from_slice(key).ok()?),
            BlockCipher::Aes256 => Self::Aes256(Aes256Enc::new_from_slice(key).ok()?),
            #[cfg(feature = "legacy")]
            BlockCipher::TripleDes => Self::TripleDes(TdesEde3::new_from_slice(key).ok()?),
        })
    }

    /// Encrypts and authenticates packets side by side.
    pub(super) fn seal<const K: usize>(&self, hmac: &Hmac, lanes: &mut [SealLane<'_>; K]) {
        match self {
            Self::Aes128(aes) => multi_buffer::seal(aes, hmac, lanes),
            Self::Aes192(aes) => multi_buffer::seal(aes, hmac, lanes),
            Self::Aes256(aes) => multi_buffer::seal(aes, hmac, lanes),
            #[cfg(feature = "legacy")]
            Self::TripleDes(_) => lanes.iter_mut().for_each(|lane| self.seal_plainly(hmac, lane)),
        }
    }

    /// Encrypts one packet and then authenticates it.
    pub(super) fn seal_plainly(&self, hmac: &Hmac, lane: &mut SealLane<'_>) {
        let iv_and_payload = lane.message.get_mut(8..).unwrap_or_default();
        match self {
            Self::Aes128(aes) => encrypt(aes, iv_and_payload),
            Self::Aes192(aes) => encrypt(aes, iv_and_payload),
            Self::Aes256(aes) => encrypt(aes, iv_and_payload),
            #[cfg(feature = "legacy")]
            Self::TripleDes(des) => encrypt(des, iv_and_payload),
        }
        let suffix = lane.suffix.get(..lane.suffix_len).unwrap_or_default();
        hmac.sign(lane.message, suffix, lane.icv);
    }
}

impl CbcDecrypt {
    /// `None` if the key does not have `cipher.key_len()` bytes.
    pub(crate) fn new(cipher: BlockCipher, key: &[u8]) -> Option<Self> {
        Some(match cipher {
            BlockCipher::Aes128 => Self::Aes128(Aes128Dec::new_from_slice(key).ok()?),
            BlockCipher::Aes192 => Self::Aes192(Aes192Dec::new_from_slice(key).ok()?),
            BlockCipher::Aes256 => Self::Aes256(Aes256Dec::new_from_slice(key).ok()?),
            #[cfg(feature = "legacy")]
            BlockCipher::TripleDes => Self::TripleDes(TdesEde3::new_from_slice(key).ok()?),
        })
    }

    /// Decrypts `payload`, whole blocks, in place.
    pub(crate) fn decrypt(&self, iv: &[u8], payload: &mut [u8]) {
        match self {
            Self::Aes128(aes) => aes.decrypt_with_backend(Decrypt::new(iv, payload)),
            Self::Aes192(aes) => aes.decrypt_with_backend(Decrypt::new(iv, payload)),
            Self::Aes256(aes) => aes.decrypt_with_backend(Decrypt::new(iv, payload)),
            #[cfg(feature = "legacy")]
            Self::TripleDes(des) => {
                use cipher::BlockModeDecrypt;
                let blocks = Array::slice_as_chunks_mut(payload).0;
                let iv = <&Array<u8, _>>::try_from(iv).copied().unwrap_or_default();
                cbc::Decryptor::inner_iv_init(des, &iv).decrypt_blocks(blocks);
            }
        }
    }
}

fn encrypt<C: BlockCipherEncrypt>(cipher: &C, iv_and_payload: &mut [u8]) {
    let blocks = Array::slice_as_chunks_mut(iv_and_payload).0;
    cbc::Encryptor::inner_iv_init(cipher, &Array::default()).encrypt_blocks(blocks);
}

/// CBC backwards, which is not a chain: all blocks are decrypted on their own, and each is mixed with
/// the ciphertext before it.
struct Decrypt<'p> {
    iv: Block,
    payload: &'p mut [u8],
}

impl<'p> Decrypt<'p> {
    fn new(iv: &[u8], payload: &'p mut [u8]) -> Self {
        // The caller gives an IV of one block; were it not so, the packet would decrypt to noise.
        Self { iv: <&Block>::try_from(iv).copied().unwrap_or_default(), payload }
    }
}

impl BlockSizeUser for Decrypt<'_> {
    type BlockSize = U16;
}

impl BlockCipherDecClosure for Decrypt<'_> {
    #[inline(always)]
    fn call<B: BlockCipherDecBackend<BlockSize = U16>>(self, backend: &B) {
        let mut before = self.iv;
        let mut one_group = |group: &mut [[u8; 16]]| {
            let mut encrypted = [Block::default(); GROUP];
            for (to, from) in encrypted.iter_mut().zip(group.iter()) {
                *to = Array(*from);
            }
            let mut decrypted = encrypted;
            decrypt_each(backend, decrypted.get_mut(..group.len()).unwrap_or_default());
            for ((to, decrypted), encrypted) in group.iter_mut().zip(&decrypted).zip(&encrypted) {
                *to = mixed(&decrypted.0, &before);
                before = *encrypted;
            }
        };
        let (groups, rest) = self.payload.as_chunks_mut::<16>().0.as_chunks_mut::<GROUP>();
        for group in groups {
            one_group(group);
        }
        one_group(rest);
    }
}
