//! Encryption of ISAKMP messages, in place: everything behind the header, whole blocks, CBC. RFC 2409 Appendix B.

use crate::config::Config;
use crate::crypto::{CbcCipher, Prf};
use crate::error::{Capacity, Discard, Error, Malformed, MalformedKind};
use crate::ike_sa::IkeSa;
use crate::keys::{CipherKey, Iv};
use crate::phase1::negotiate::Suite;
use crate::wire::{HEADER_LEN, MessageWriter};

/// The algorithms behind the numbers of a suite.
#[derive(Clone, Copy)]
pub(crate) struct Algorithms {
    pub(crate) prf: &'static dyn Prf,
    pub(crate) cipher: &'static dyn CbcCipher,
}

impl Algorithms {
    pub(crate) fn of(config: &Config<'_>, suite: Suite) -> Result<Self, Error> {
        let gone = Error::Capacity(Capacity::Algorithm);
        Ok(Self {
            prf: config.crypto.hash(suite.hash).ok_or(gone)?,
            cipher: config.crypto.cipher(suite.encryption, suite.key_bits).ok_or(gone)?,
        })
    }

    pub(crate) fn of_sa(config: &Config<'_>, ike: &IkeSa) -> Result<Self, Error> {
        Self::of(config, ike.suite)
    }

    /// Decrypts a datagram and returns the IV of the message after it. That IV counts only once the message is
    /// authenticated.
    pub(crate) fn decrypt(
        &self,
        key: &CipherKey,
        iv: &Iv,
        datagram: &mut [u8],
    ) -> Result<Iv, Discard> {
        let body = datagram.get_mut(HEADER_LEN..).unwrap_or_default();
        let bad_length = Malformed::new(MalformedKind::CiphertextLength, HEADER_LEN);
        let whole = body.len().checked_rem(self.cipher.block_len()) == Some(0);
        if body.is_empty() || !whole {
            return Err(bad_length.into());
        }
        let next = iv.next(body).ok_or(bad_length)?;
        self.cipher.decrypt(key.as_slice(), iv.as_slice(), body).map_err(|_| bad_length)?;
        Ok(next)
    }

    /// Pads and encrypts a finished message; returns its length and the IV of the message after it.
    pub(crate) fn encrypt(
        &self,
        key: &CipherKey,
        iv: &Iv,
        mut message: MessageWriter<'_>,
    ) -> Result<(usize, Iv), Error> {
        message.pad_to(self.cipher.block_len())?;
        let body = message.written_mut().get_mut(HEADER_LEN..).unwrap_or_default();
        let gone = Error::Capacity(Capacity::Algorithm);
        self.cipher.encrypt(key.as_slice(), iv.as_slice(), body).map_err(|_| gone)?;
        let next = iv.next(body).ok_or(gone)?;
        Ok((message.finish(), next))
    }
}
