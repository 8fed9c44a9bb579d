//! The algorithms of an SA and their lengths. Encryption without integrity cannot be expressed.
//!
//! What every transform does to a packet has one shape (RFC 4303 §2), and the lengths here are all that the rest of
//! the crate needs to know of it:
//!
//! ```text
//! | SPI | sequence number | IV | payload | padding | pad length | next header | ICV |
//!                              |<------------- encrypted ------------------>|
//! |<---------------------------- authenticated ---------------------------->|
//! ```

mod aead;
mod blocks;
mod cbc_hmac;
mod hmac;
mod keys;
mod multi_buffer;
mod sizes;

#[cfg(test)]
mod wycheproof;

#[cfg(test)]
pub(crate) use cbc_hmac::CbcDecrypt;
pub(crate) use keys::{HighBits, Job, OpenKeys, SealKeys, Verified};

/// Block ciphers in CBC mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BlockCipher {
    /// AES-CBC, 128-bit key (RFC 3602).
    Aes128,
    /// AES-CBC, 192-bit key.
    Aes192,
    /// AES-CBC, 256-bit key.
    Aes256,
    /// 3DES-CBC (RFC 2451). Weak: 64-bit blocks.
    #[cfg(feature = "legacy")]
    TripleDes,
}

/// Integrity algorithms that accompany CBC and NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Integrity {
    /// HMAC-SHA1-96 (RFC 2404).
    HmacSha1_96,
    /// HMAC-SHA2-256-128 (RFC 4868).
    HmacSha256_128,
    /// HMAC-SHA2-384-192 (RFC 4868).
    HmacSha384_192,
    /// HMAC-SHA2-512-256 (RFC 4868).
    HmacSha512_256,
    /// HMAC-MD5-96 (RFC 2403). Weak.
    #[cfg(feature = "legacy")]
    HmacMd5_96,
    /// HMAC-SHA2-256 cut to 96 bits, as early Linux and Android did before RFC 4868.
    #[cfg(feature = "legacy")]
    HmacSha256_96,
}

/// Combined-mode algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Aead {
    /// AES-GCM, 128-bit key, 16-byte ICV (RFC 4106).
    Aes128Gcm16,
    /// AES-GCM, 192-bit key, 16-byte ICV.
    Aes192Gcm16,
    /// AES-GCM, 256-bit key, 16-byte ICV.
    Aes256Gcm16,
    /// AES-GMAC, 128-bit key: integrity alone (RFC 4543).
    Aes128Gmac,
    /// AES-GMAC, 192-bit key.
    Aes192Gmac,
    /// AES-GMAC, 256-bit key.
    Aes256Gmac,
    /// ChaCha20-Poly1305 (RFC 7634).
    ChaCha20Poly1305,
}

/// The algorithms of one SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Transform {
    /// A cipher in CBC mode and an HMAC over the result.
    CbcHmac(BlockCipher, Integrity),
    /// No confidentiality, an HMAC (RFC 2410).
    NullHmac(Integrity),
    /// A combined mode.
    Aead(Aead),
}

impl BlockCipher {
    /// Length of the key in bytes.
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128 => 16,
            Self::Aes192 => 24,
            Self::Aes256 => 32,
            #[cfg(feature = "legacy")]
            Self::TripleDes => 24,
        }
    }

    /// Length of a block, and of the IV, in bytes.
    #[must_use]
    pub const fn block_len(self) -> usize {
        match self {
            Self::Aes128 | Self::Aes192 | Self::Aes256 => 16,
            #[cfg(feature = "legacy")]
            Self::TripleDes => 8,
        }
    }
}

impl Integrity {
    /// Length of the key in bytes: that of the hash (RFC 4868 §2.1.1).
    #[must_use]
    pub const fn key_len(self) -> usize {
        match self {
            Self::HmacSha1_96 => 20,
            Self::HmacSha256_128 => 32,
            Self::HmacSha384_192 => 48,
            Self::HmacSha512_256 => 64,
            #[cfg(feature = "legacy")]
            Self::HmacMd5_96 => 16,
            #[cfg(feature = "legacy")]
            Self::HmacSha256_96 => 32,
        }
    }

    /// Length of the integrity check value in bytes.
    #[must_use]
    pub const fn icv_len(self) -> usize {
        match self {
            Self::HmacSha1_96 => 12,
            Self::HmacSha256_128 => 16,
            Self::HmacSha384_192 => 24,
            Self::HmacSha512_256 => 32,
            #[cfg(feature = "legacy")]
            Self::HmacMd5_96 | Self::HmacSha256_96 => 12,
        }
    }
}

impl Aead {
    /// Length in bytes of the key and the 4-byte salt behind it (RFC 4106 §8.1, RFC 7634 §2).
    #[must_use]
    pub const fn key_and_salt_len(self) -> usize {
        match self {
            Self::Aes128Gcm16 | Self::Aes128Gmac => 20,
            Self::Aes192Gcm16 | Self::Aes192Gmac => 28,
            Self::Aes256Gcm16 | Self::Aes256Gmac | Self::ChaCha20Poly1305 => 36,
        }
    }
}

impl Transform {
    /// Bytes of key material for one direction: cipher key (and salt), then integrity key.
    #[must_use]
    pub const fn key_material_len(self) -> usize {
        match self {
            #[expect(clippy::arithmetic_side_effects, reason = "at most 32 + 64")]
            Self::CbcHmac(cipher, integrity) => cipher.key_len() + integrity.key_len(),
            Self::NullHmac(integrity) => integrity.key_len(),
            Self::Aead(aead) => aead.key_and_salt_len(),
        }
    }

    /// Bytes of IV that stand in every packet.
    #[must_use]
    pub const fn iv_len(self) -> usize {
        match self {
            Self::CbcHmac(cipher, _) => cipher.block_len(),
            Self::NullHmac(_) => 0,
            Self::Aead(_) => 8,
        }
    }

    /// What the encrypted part must be a multiple of, in bytes: the block of the cipher, and 4 at least, so that the
    /// ICV stays aligned (RFC 4303 §2.4).
    #[must_use]
    pub const fn alignment(self) -> usize {
        match self {
            Self::CbcHmac(cipher, _) => cipher.block_len(),
            Self::NullHmac(_) | Self::Aead(_) => 4,
        }
    }

    /// Bytes of the integrity check value.
    #[must_use]
    pub const fn icv_len(self) -> usize {
        match self {
            Self::CbcHmac(_, integrity) | Self::NullHmac(integrity) => integrity.icv_len(),
            Self::Aead(_) => 16,
        }
    }

    /// Bytes that are neither payload nor padding: SPI, sequence number, IV, the two bytes of the trailer, ICV.
    #[must_use]
    #[expect(clippy::arithmetic_side_effects, reason = "at most 8 + 16 + 2 + 32")]
    pub const fn overhead(self) -> usize {
        8 + self.iv_len() + 2 + self.icv_len()
    }

    /// Bytes of padding behind `payload_len` bytes, less than [`Self::alignment`].
    #[must_use]
    pub const fn padding_len(self, payload_len: usize) -> usize {
        // Alignments are powers of two: what is missing to the next multiple.
        payload_len.wrapping_add(2).wrapping_neg() & self.alignment().wrapping_sub(1)
    }
}
