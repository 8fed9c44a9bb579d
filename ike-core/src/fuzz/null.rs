//! Algorithms that do nothing: every hash is zeros, every ciphertext is its plaintext. Under them whoever can form a
//! message can form an authentic one, and a fuzzer gets to what stands behind the cryptography.

use crate::crypto::toy::Toy;
use crate::crypto::{CbcCipher, Crypto, CryptoError, Prf};
use crate::wire::numbers::{EncryptionAlgorithm, HashAlgorithm};

/// In the places of AES-128-CBC, SHA-256 and MODP-2048.
pub(super) static CRYPTO: Crypto =
    Crypto { hashes: &[&Null], ciphers: &[&Null], groups: &[&Toy::MODP_2048] };

/// Bytes of every hash.
pub(super) const HASH_LEN: usize = 32;
/// Bytes of a block.
pub(super) const BLOCK_LEN: usize = 16;

struct Null;

impl Prf for Null {
    fn id(&self) -> HashAlgorithm {
        HashAlgorithm::SHA2_256
    }

    fn output_len(&self) -> usize {
        HASH_LEN
    }

    fn prf(&self, _: &[u8], _: &[&[u8]], out: &mut [u8]) {
        out.iter_mut().take(HASH_LEN).for_each(|byte| *byte = 0);
    }

    fn hash(&self, _: &[&[u8]], out: &mut [u8]) {
        out.iter_mut().take(HASH_LEN).for_each(|byte| *byte = 0);
    }
}

impl CbcCipher for Null {
    fn id(&self) -> EncryptionAlgorithm {
        EncryptionAlgorithm::AES_CBC
    }

    fn key_len(&self) -> usize {
        16
    }

    fn key_length_attribute(&self) -> u16 {
        128
    }

    fn block_len(&self) -> usize {
        BLOCK_LEN
    }

    fn encrypt(&self, _: &[u8], _: &[u8], data: &mut [u8]) -> Result<(), CryptoError> {
        self.decrypt(&[], &[], data)
    }

    fn decrypt(&self, _: &[u8], _: &[u8], data: &mut [u8]) -> Result<(), CryptoError> {
        if data.len().is_multiple_of(BLOCK_LEN) { Ok(()) } else { Err(CryptoError::PartialBlock) }
    }
}
