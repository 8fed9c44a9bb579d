//! The expanded keys of one SA and direction, and what they do to a packet laid out in the buffer.

use super::Transform;
use super::aead::AeadKeys;
use super::cbc_hmac::{CbcDecrypt, CbcEncrypt};
use super::hmac::Hmac;
use crate::SaError;

/// The high half of an extended sequence number, which is authenticated and not sent (RFC 4303 §2.2.1), or nothing.
pub(crate) type HighBits = Option<[u8; 4]>;

/// Keys for sealing.
#[allow(
    clippy::large_enum_variant,
    reason = "the keys are the SA; there is no heap to put them on"
)]
pub(crate) enum SealKeys {
    /// Gone.
    Wiped,
    /// RFC 3602, 2451 with RFC 2404, 4868.
    CbcHmac(CbcEncrypt, Hmac),
    /// RFC 2410.
    NullHmac(Hmac),
    /// RFC 4106, 4543, 7634.
    Aead(AeadKeys),
}

/// Keys for opening.
#[allow(
    clippy::large_enum_variant,
    reason = "the keys are the SA; there is no heap to put them on"
)]
pub(crate) enum OpenKeys {
    /// Gone.
    Wiped,
    /// RFC 3602, 2451 with RFC 2404, 4868.
    CbcHmac(CbcDecrypt, Hmac),
    /// RFC 2410.
    NullHmac(Hmac),
    /// RFC 4106, 4543, 7634.
    Aead(AeadKeys),
}

/// Cuts cipher and integrity key out of the key material.
fn split(transform: Transform, keys: &[u8]) -> Result<(&[u8], &[u8]), SaError> {
    let wrong = SaError::KeyLength { needed: transform.key_material_len(), given: keys.len() };
    if keys.len() != transform.key_material_len() {
        return Err(wrong);
    }
    let cipher_len = match transform {
        Transform::CbcHmac(cipher, _) => cipher.key_len(),
        Transform::NullHmac(_) => 0,
        Transform::Aead(aead) => aead.key_and_salt_len(),
    };
    keys.split_at_checked(cipher_len).ok_or(wrong)
}

impl SealKeys {
    /// Expands `keys`.
    pub(crate) fn new(transform: Transform, keys: &[u8]) -> Result<Self, SaError> {
        let (cipher_key, integrity_key) = split(transform, keys)?;
        let wrong = SaError::KeyLength { needed: transform.key_material_len(), given: keys.len() };
        match transform {
            Transform::CbcHmac(cipher, integrity) => Ok(Self::CbcHmac(
                CbcEncrypt::new(cipher, cipher_key).ok_or(wrong)?,
                Hmac::new(integrity, integrity_key),
            )),
            Transform::NullHmac(integrity) => {
                Ok(Self::NullHmac(Hmac::new(integrity, integrity_key)))
            }
            Transform::Aead(aead) => Ok(Self::Aead(AeadKeys::new(aead, cipher_key).ok_or(wrong)?)),
        }
    }

    /// Encrypts and authenticates `esp`, from the SPI to the end of the room for the ICV. The IV field holds the
    /// packet's counter: encrypted in place for CBC, as it is for a combined mode.
    pub(crate) fn seal(&self, transform: Transform, esp: &mut [u8], high: HighBits) {
        let Some((message, icv)) = split_icv(esp, transform) else { return };
        let suffix: &[u8] = high.as_ref().map_or(&[], |high| high);
        match self {
            Self::Wiped => {}
            Self::CbcHmac(cipher, hmac) => {
                cipher.encrypt(message.get_mut(8..).unwrap_or_default());
                hmac.sign(message, suffix, icv);
            }
            Self::NullHmac(hmac) => hmac.sign(message, suffix, icv),
            Self::Aead(keys) => keys.seal(message, high, icv),
        }
    }
}

impl OpenKeys {
    /// Expands `keys`.
    pub(crate) fn new(transform: Transform, keys: &[u8]) -> Result<Self, SaError> {
        let (cipher_key, integrity_key) = split(transform, keys)?;
        let wrong = SaError::KeyLength { needed: transform.key_material_len(), given: keys.len() };
        match transform {
            Transform::CbcHmac(cipher, integrity) => Ok(Self::CbcHmac(
                CbcDecrypt::new(cipher, cipher_key).ok_or(wrong)?,
                Hmac::new(integrity, integrity_key),
            )),
            Transform::NullHmac(integrity) => {
                Ok(Self::NullHmac(Hmac::new(integrity, integrity_key)))
            }
            Transform::Aead(aead) => Ok(Self::Aead(AeadKeys::new(aead, cipher_key).ok_or(wrong)?)),
        }
    }

    /// Checks the ICV of `esp`, from the SPI to the end of the ICV, and only then decrypts it in place. Whether it
    /// was right. The caller has checked that the encrypted part is whole blocks.
    pub(crate) fn open(&self, transform: Transform, esp: &mut [u8], high: HighBits) -> bool {
        let Some((message, icv)) = split_icv(esp, transform) else { return false };
        let suffix: &[u8] = high.as_ref().map_or(&[], |high| high);
        match self {
            Self::Wiped => false,
            Self::CbcHmac(cipher, hmac) => {
                let good = hmac.verify(message, suffix, icv);
                if good
                    && let Some((header, payload)) =
                        message.split_at_mut_checked(8_usize.saturating_add(transform.iv_len()))
                {
                    cipher.decrypt(header.get(8..).unwrap_or_default(), payload);
                }
                good
            }
            Self::NullHmac(hmac) => hmac.verify(message, suffix, icv),
            Self::Aead(keys) => keys.open(message, high, icv),
        }
    }
}

fn split_icv(esp: &mut [u8], transform: Transform) -> Option<(&mut [u8], &mut [u8])> {
    let message_len = esp.len().checked_sub(transform.icv_len())?;
    esp.split_at_mut_checked(message_len)
}
