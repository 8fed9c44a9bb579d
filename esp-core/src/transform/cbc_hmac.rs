//! AES-CBC and 3DES-CBC (RFC 3602, RFC 2451), one key schedule for each direction, and the IVs of what is sealed.
//!
//! The IV of a packet is the encryption of a counter under the SA's own key: nobody without the key can tell it
//! beforehand (RFC 3602 §3 asks for that) and no packet costs a call of the random number generator. Encrypting a
//! counter block and then a chain that starts from the result is the same as one chain, started from zero, over counter
//! and payload; so the counter is written where the IV will stand, and one pass does both.

use aes::{Aes128Dec, Aes128Enc, Aes192Dec, Aes192Enc, Aes256Dec, Aes256Enc};
use cipher::array::Array;
use cipher::{
    BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt, InnerIvInit,
    KeyInit,
};
#[cfg(feature = "legacy")]
use des::TdesEde3;

use super::BlockCipher;

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

    /// Encrypts `iv_and_payload`, a counter block and whole blocks of payload, in place.
    pub(super) fn encrypt(&self, iv_and_payload: &mut [u8]) {
        match self {
            Self::Aes128(aes) => encrypt(aes, iv_and_payload),
            Self::Aes192(aes) => encrypt(aes, iv_and_payload),
            Self::Aes256(aes) => encrypt(aes, iv_and_payload),
            #[cfg(feature = "legacy")]
            Self::TripleDes(des) => encrypt(des, iv_and_payload),
        }
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
            Self::Aes128(aes) => decrypt(aes, iv, payload),
            Self::Aes192(aes) => decrypt(aes, iv, payload),
            Self::Aes256(aes) => decrypt(aes, iv, payload),
            #[cfg(feature = "legacy")]
            Self::TripleDes(des) => decrypt(des, iv, payload),
        }
    }
}

fn encrypt<C: BlockCipherEncrypt>(cipher: &C, iv_and_payload: &mut [u8]) {
    let blocks = Array::slice_as_chunks_mut(iv_and_payload).0;
    cbc::Encryptor::inner_iv_init(cipher, &Array::default()).encrypt_blocks(blocks);
}

fn decrypt<C: BlockCipherDecrypt>(cipher: &C, iv: &[u8], payload: &mut [u8]) {
    let blocks = Array::slice_as_chunks_mut(payload).0;
    // The caller gives an IV of one block; were it not so, the packet would decrypt to noise.
    let iv = <&Array<u8, C::BlockSize>>::try_from(iv).cloned().unwrap_or_default();
    cbc::Decryptor::inner_iv_init(cipher, &iv).decrypt_blocks(blocks);
}
