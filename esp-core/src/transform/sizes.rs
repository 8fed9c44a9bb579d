//! How many bytes the expanded keys of each transform need. A slot of the table has room for the largest.

use aes::{Aes128Dec, Aes128Enc, Aes192Dec, Aes192Enc, Aes256Dec, Aes256Enc};
use chacha20poly1305::ChaCha20Poly1305;
#[cfg(feature = "legacy")]
use des::TdesEde3;
use polyval::Polyval;

#[cfg(feature = "legacy")]
use super::hmac::Md5;
use super::hmac::{KeyStates, Sha1, Sha256, Sha384, Sha512};
use super::{Aead, BlockCipher, Integrity, Transform};

impl Transform {
    /// Bytes that the expanded keys need in an [`OutboundSa`](crate::OutboundSa): key schedule and kept states of the hash.
    /// They depend on the target.
    #[must_use]
    pub const fn seal_keys_len(self) -> usize {
        match self {
            Self::CbcHmac(cipher, integrity) => {
                cipher.encrypt_len().saturating_add(integrity.states_len())
            }
            Self::NullHmac(integrity) => integrity.states_len(),
            Self::Aead(aead) => aead.keys_len(),
        }
    }

    /// The same for an [`InboundSa`](crate::InboundSa).
    #[must_use]
    pub const fn open_keys_len(self) -> usize {
        match self {
            Self::CbcHmac(cipher, integrity) => {
                cipher.decrypt_len().saturating_add(integrity.states_len())
            }
            Self::NullHmac(integrity) => integrity.states_len(),
            Self::Aead(aead) => aead.keys_len(),
        }
    }
}

impl BlockCipher {
    const fn encrypt_len(self) -> usize {
        match self {
            Self::Aes128 => size_of::<Aes128Enc>(),
            Self::Aes192 => size_of::<Aes192Enc>(),
            Self::Aes256 => size_of::<Aes256Enc>(),
            #[cfg(feature = "legacy")]
            Self::TripleDes => size_of::<TdesEde3>(),
        }
    }

    const fn decrypt_len(self) -> usize {
        match self {
            Self::Aes128 => size_of::<Aes128Dec>(),
            Self::Aes192 => size_of::<Aes192Dec>(),
            Self::Aes256 => size_of::<Aes256Dec>(),
            #[cfg(feature = "legacy")]
            Self::TripleDes => size_of::<TdesEde3>(),
        }
    }
}

impl Integrity {
    const fn states_len(self) -> usize {
        match self {
            Self::HmacSha1_96 => size_of::<KeyStates<Sha1>>(),
            Self::HmacSha256_128 => size_of::<KeyStates<Sha256>>(),
            Self::HmacSha384_192 => size_of::<KeyStates<Sha384>>(),
            Self::HmacSha512_256 => size_of::<KeyStates<Sha512>>(),
            #[cfg(feature = "legacy")]
            Self::HmacMd5_96 => size_of::<KeyStates<Md5>>(),
            #[cfg(feature = "legacy")]
            Self::HmacSha256_96 => size_of::<KeyStates<Sha256>>(),
        }
    }
}

impl Aead {
    const fn keys_len(self) -> usize {
        const SALT: usize = 4;
        let schedule = match self {
            Self::Aes128Gcm16 | Self::Aes128Gmac => size_of::<Aes128Enc>(),
            Self::Aes192Gcm16 | Self::Aes192Gmac => size_of::<Aes192Enc>(),
            Self::Aes256Gcm16 | Self::Aes256Gmac => size_of::<Aes256Enc>(),
            Self::ChaCha20Poly1305 => return size_of::<ChaCha20Poly1305>().saturating_add(SALT),
        };
        schedule.saturating_add(size_of::<Polyval>()).saturating_add(SALT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transform::{OpenKeys, SealKeys};

    /// The largest fills the slot, but for tags and alignment: nothing is forgotten in the reckoning.
    #[test]
    fn the_largest_fills_the_slot() {
        use BlockCipher::Aes256;
        let all = [
            Transform::CbcHmac(Aes256, Integrity::HmacSha512_256),
            Transform::Aead(Aead::Aes256Gcm16),
            Transform::Aead(Aead::ChaCha20Poly1305),
            #[cfg(feature = "legacy")]
            Transform::CbcHmac(BlockCipher::TripleDes, Integrity::HmacSha512_256),
        ];
        let seal = all.iter().map(|transform| transform.seal_keys_len()).max().expect("some");
        let open = all.iter().map(|transform| transform.open_keys_len()).max().expect("some");
        for (needed, slot) in [(seal, size_of::<SealKeys>()), (open, size_of::<OpenKeys>())] {
            assert!((needed..=needed + 64).contains(&slot), "{needed} of {slot}");
        }
        for transform in all {
            let expanded = transform.seal_keys_len().min(transform.open_keys_len());
            assert!(expanded >= transform.key_material_len(), "{transform}");
        }
    }
}
