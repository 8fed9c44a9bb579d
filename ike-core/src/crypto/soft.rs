//! Hashes and ciphers in software: the RustCrypto crates behind our traits.

use core::marker::PhantomData;

use aes::{Aes128, Aes192, Aes256};
use cbc::{Decryptor, Encryptor};
use cipher::{
    Array, BlockCipherDecrypt, BlockCipherEncrypt, BlockModeDecrypt, BlockModeEncrypt,
    BlockSizeUser, InnerIvInit, KeyInit, typenum::Unsigned,
};
use hmac::{EagerHash, Hmac, Mac};
use zeroize::Zeroize;

use super::{CbcCipher, CryptoError, Prf};
use crate::wire::numbers::{EncryptionAlgorithm, HashAlgorithm};

/// SHA-1. Collisions are known; as an HMAC it still stands, and RFC 4109 requires it.
pub static SHA1: Hash<sha1::Sha1> = Hash::new(HashAlgorithm::SHA1);
/// SHA-256.
pub static SHA2_256: Hash<sha2::Sha256> = Hash::new(HashAlgorithm::SHA2_256);
/// SHA-384.
pub static SHA2_384: Hash<sha2::Sha384> = Hash::new(HashAlgorithm::SHA2_384);
/// SHA-512.
pub static SHA2_512: Hash<sha2::Sha512> = Hash::new(HashAlgorithm::SHA2_512);
/// MD5. Weak.
#[cfg(feature = "legacy")]
pub static MD5: Hash<md5::Md5> = Hash::new(HashAlgorithm::MD5);

/// AES-CBC with a 128-bit key.
pub static AES_128: Cbc<Aes128> = Cbc::new(EncryptionAlgorithm::AES_CBC, 128);
/// AES-CBC with a 192-bit key.
pub static AES_192: Cbc<Aes192> = Cbc::new(EncryptionAlgorithm::AES_CBC, 192);
/// AES-CBC with a 256-bit key.
pub static AES_256: Cbc<Aes256> = Cbc::new(EncryptionAlgorithm::AES_CBC, 256);
/// 3DES-CBC, encrypt-decrypt-encrypt with three keys. Weak: 64-bit blocks.
#[cfg(feature = "legacy")]
pub static TRIPLE_DES: Cbc<des::TdesEde3> = Cbc::new(EncryptionAlgorithm::TRIPLE_DES_CBC, 0);

/// The hashes of this build.
pub const HASHES: &[&dyn Prf] = &[
    &SHA2_256,
    &SHA2_384,
    &SHA2_512,
    &SHA1,
    #[cfg(feature = "legacy")]
    &MD5,
];

/// The ciphers of this build.
pub const CIPHERS: &[&dyn CbcCipher] = &[
    &AES_256,
    &AES_192,
    &AES_128,
    #[cfg(feature = "legacy")]
    &TRIPLE_DES,
];

/// A hash of the RustCrypto crates, and its HMAC.
#[derive(Clone, Copy, Debug)]
pub struct Hash<D> {
    id: HashAlgorithm,
    digest: PhantomData<fn() -> D>,
}

impl<D> Hash<D> {
    const fn new(id: HashAlgorithm) -> Self {
        Self { id, digest: PhantomData }
    }
}

impl<D: hmac::digest::Digest + EagerHash> Prf for Hash<D> {
    fn id(&self) -> HashAlgorithm {
        self.id
    }

    fn output_len(&self) -> usize {
        <D as hmac::digest::Digest>::output_size()
    }

    fn prf(&self, key: &[u8], data: &[&[u8]], out: &mut [u8]) {
        // HMAC takes keys of any length; a longer one than the hash's block is hashed first (RFC 2104 §2).
        let Ok(mut mac) = <Hmac<D> as KeyInit>::new_from_slice(key) else { return };
        for piece in data {
            mac.update(piece);
        }
        let mut output = mac.finalize().into_bytes();
        for (out, byte) in out.iter_mut().zip(&output) {
            *out = *byte;
        }
        output.zeroize();
    }

    fn hash(&self, data: &[&[u8]], out: &mut [u8]) {
        let mut digest = D::new();
        for piece in data {
            hmac::digest::Digest::update(&mut digest, piece);
        }
        for (out, byte) in out.iter_mut().zip(digest.finalize()) {
            *out = byte;
        }
    }
}

/// A block cipher of the RustCrypto crates, in CBC mode.
#[derive(Clone, Copy, Debug)]
pub struct Cbc<C> {
    id: EncryptionAlgorithm,
    key_length_attribute: u16,
    cipher: PhantomData<fn() -> C>,
}

impl<C> Cbc<C> {
    const fn new(id: EncryptionAlgorithm, key_length_attribute: u16) -> Self {
        Self { id, key_length_attribute, cipher: PhantomData }
    }
}

impl<C: KeyInit + BlockCipherEncrypt + BlockCipherDecrypt> CbcCipher for Cbc<C> {
    fn id(&self) -> EncryptionAlgorithm {
        self.id
    }

    fn key_len(&self) -> usize {
        C::KeySize::USIZE
    }

    fn key_length_attribute(&self) -> u16 {
        self.key_length_attribute
    }

    fn block_len(&self) -> usize {
        C::BlockSize::USIZE
    }

    fn encrypt(&self, key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError> {
        let (cipher, iv, blocks) = operands::<C>(key, iv, data)?;
        Encryptor::inner_iv_init(cipher, iv).encrypt_blocks(blocks);
        Ok(())
    }

    fn decrypt(&self, key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError> {
        let (cipher, iv, blocks) = operands::<C>(key, iv, data)?;
        Decryptor::inner_iv_init(cipher, iv).decrypt_blocks(blocks);
        Ok(())
    }
}

type Operands<'d, C> = (C, &'d Block<C>, &'d mut [Block<C>]);
type Block<C> = Array<u8, <C as BlockSizeUser>::BlockSize>;

/// The key expanded, the IV and the data as blocks, or what is wrong with their lengths.
fn operands<'d, C: KeyInit + BlockSizeUser>(
    key: &[u8],
    iv: &'d [u8],
    data: &'d mut [u8],
) -> Result<Operands<'d, C>, CryptoError> {
    let cipher = C::new_from_slice(key).map_err(|_| CryptoError::KeyLength)?;
    let iv = <&Block<C>>::try_from(iv).map_err(|_| CryptoError::IvLength)?;
    let (blocks, rest) = Block::<C>::slice_as_chunks_mut(data);
    if rest.is_empty() { Ok((cipher, iv, blocks)) } else { Err(CryptoError::PartialBlock) }
}
