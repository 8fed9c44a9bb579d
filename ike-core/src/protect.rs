//! Encryption of ISAKMP messages, in place: everything behind the header, whole blocks, CBC. RFC 2409 Appendix B.
//!
//! The padding of a message is in no hash, and its last block is the IV of the message after it. Whoever appends a block to
//! a copy of a message, and is faster, would so end the exchange with a message that is authentic. Blocks behind the last
//! payload therefore count only if they look like padding that somebody meant. What is left is a message that ends with a
//! block and has another one of padding behind, as strongSwan writes them: that block can be changed, or cut off.

use crate::config::Config;
use crate::crypto::{CbcCipher, Prf};
use crate::error::{Capacity, Discard, Error, Malformed, MalformedKind};
use crate::exchange::{Message, MessageSpec};
use crate::ike_sa::IkeSa;
use crate::keys::{CipherKey, Iv};
use crate::phase1::negotiate::Suite;
use crate::wire::{HEADER_LEN, Header, MessageWriter};

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

    /// Decrypts a datagram and checks it against its row. Also returns the IV of the message after it, which counts only
    /// once the message is authenticated.
    pub(crate) fn open<'d>(
        &self,
        key: &CipherKey,
        iv: &Iv,
        header: &Header,
        datagram: &'d mut [u8],
        spec: &MessageSpec,
    ) -> Result<(Message<'d>, Iv), Discard> {
        let last_block = self.decrypt(key, iv, datagram)?;
        // Under a wrong key the message decrypts to noise; what the parser says of noise helps nobody.
        let noise = |_| Discard::Undecryptable;
        let end = Message::check(datagram, header, spec).map_err(noise)?.end();
        let next_iv = self.behind(key, iv, datagram, end).unwrap_or(last_block);
        Ok((Message::check(datagram, header, spec).map_err(noise)?, next_iv))
    }

    /// The IV behind a decrypted datagram with whole blocks behind its payloads, which end at `end`, if some of those blocks
    /// are none that a peer would append: neither zeros, nor with their number of bytes in the last one, as racoon pads.
    /// It is then the last block of the rest (RFC 2409 Appendix B: padding is zeros, up to the nearest block).
    fn behind(&self, key: &CipherKey, iv: &Iv, datagram: &mut [u8], end: usize) -> Option<Iv> {
        let block = self.cipher.block_len();
        let blocks = end.saturating_sub(HEADER_LEN).div_ceil(block.max(1));
        let needed = HEADER_LEN.saturating_add(blocks.saturating_mul(block));
        let more = datagram.get(needed..).filter(|more| !more.is_empty())?;
        let zeros = more.chunks(block.max(1)).take_while(|block| block.iter().all(|b| *b == 0));
        let meant = needed.saturating_add(zeros.count().saturating_mul(block));
        let padding_len = datagram.len().saturating_sub(end);
        let said = usize::from(*more.last()?);
        if meant >= datagram.len() || said == padding_len || said == padding_len.saturating_sub(1) {
            return None;
        }
        let body = datagram.get_mut(HEADER_LEN..meant)?;
        self.cipher.encrypt(key.as_slice(), iv.as_slice(), body).ok()?;
        let next = iv.next(body);
        self.cipher.decrypt(key.as_slice(), iv.as_slice(), body).ok()?;
        next
    }

    /// Decrypts a datagram and returns its last block as it was.
    fn decrypt(&self, key: &CipherKey, iv: &Iv, datagram: &mut [u8]) -> Result<Iv, Discard> {
        let body = datagram.get_mut(HEADER_LEN..).unwrap_or_default();
        // None at all has no last block; what is not whole the cipher refuses.
        let bad_length = Malformed::new(MalformedKind::CiphertextLength, HEADER_LEN);
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
