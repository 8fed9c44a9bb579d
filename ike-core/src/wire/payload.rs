//! The payload chain: RFC 2408 §3.2.
//!
//! ```text
//! +---------------+---------------+-------------------------------+
//! | next payload  |   reserved    |  length, these 4 bytes incl.  |
//! +---------------+---------------+-------------------------------+
//! |                             body                              |
//! +---------------------------------------------------------------+
//! ```
//!
//! Each payload names the kind of the one *behind* it; the header names the first. Lengths are authoritative.
//! What follows the last payload is padding of the encryption, and peers put anything there: zeros, random
//! bytes with a count, a whole extra block. It is never looked at.

use super::numbers::PayloadType;
use super::reader::Reader;
use crate::error::{Malformed, MalformedKind};

/// Bytes of the generic header that starts each payload.
pub const GENERIC_HEADER_LEN: usize = 4;

/// One payload of a message, as received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload<'a> {
    /// Its kind, as the payload before it (or the header) says.
    pub kind: PayloadType,
    /// What follows its generic header.
    pub body: &'a [u8],
    /// Where the body starts in the datagram.
    pub offset: usize,
}

impl Payload<'_> {
    /// Bytes of the payload, its generic header included.
    #[must_use]
    pub const fn whole_len(&self) -> usize {
        self.body.len().saturating_add(GENERIC_HEADER_LEN)
    }

    /// Where the payload, its generic header included, starts in the datagram.
    #[must_use]
    pub const fn start(&self) -> usize {
        self.offset.saturating_sub(GENERIC_HEADER_LEN)
    }
}

/// The payloads of a message, in order. Stops after the last one, or after the first error:
/// [`Truncated`](MalformedKind::Truncated) if not even a generic header is left,
/// [`PayloadLength`](MalformedKind::PayloadLength) if the length in it is below 4 or reaches too far.
///
/// The reserved byte is not looked at. RFC 2408 §5.3 would have the message discarded if it is not zero; nothing
/// is gained by that, since the hashes cover the byte.
#[derive(Clone, Copy, Debug)]
pub struct Payloads<'a> {
    next: PayloadType,
    reader: Reader<'a>,
    chain: &'a [u8],
}

impl<'a> Payloads<'a> {
    /// The payloads in `chain`, the first being of kind `first`; `chain` starts at byte `offset` of the datagram.
    #[must_use]
    pub const fn new(first: PayloadType, chain: &'a [u8], offset: usize) -> Self {
        Self { next: first, reader: Reader::new(chain, offset), chain }
    }

    /// Bytes of the chain that the payloads returned so far take up: once the iterator has ended, `..end` of
    /// the chain is the message and `end..` its padding.
    #[must_use]
    pub const fn end(&self) -> usize {
        self.chain.len().saturating_sub(self.reader.rest().len())
    }

    /// The first payload, and the bytes of all those behind it exactly as received, without the padding.
    ///
    /// This is what phase 2 hashes are about: a HASH payload comes first, and its value covers what follows
    /// (RFC 2409 §5.5, §5.7).
    ///
    /// # Errors
    ///
    /// [`Truncated`](MalformedKind::Truncated) if there is no payload at all; what iterating over the chain returns.
    pub fn split_first(mut self) -> Result<(Payload<'a>, &'a [u8]), Malformed> {
        let empty = self.reader.error(MalformedKind::Truncated);
        let first = self.next().unwrap_or(Err(empty))?;
        let behind_first = self.end();
        for payload in &mut self {
            payload?;
        }
        let others = self.chain.get(behind_first..self.end()).unwrap_or_default();
        Ok((first, others))
    }

    fn parse_next(&mut self) -> Result<Payload<'a>, Malformed> {
        let kind = self.next;
        let (next, body) = self.reader.element()?;
        self.next = PayloadType(next);
        Ok(Payload { kind, body: body.rest(), offset: body.offset() })
    }
}

impl<'a> Iterator for Payloads<'a> {
    type Item = Result<Payload<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == PayloadType::NONE {
            return None;
        }
        let result = self.parse_next();
        if result.is_err() {
            self.next = PayloadType::NONE;
        }
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    /// A HASH of two bytes, an empty NONCE, an ID of one byte, and padding.
    const CHAIN: [u8; 18] = hex!("0a000006 aabb 0500 0004 ff000005 cc 070707");

    fn chain(bytes: &[u8]) -> Payloads<'_> {
        Payloads::new(PayloadType::HASH, bytes, 28)
    }

    #[test]
    fn parse() {
        let mut bytes = CHAIN;
        bytes[10] = 0;
        let mut payloads = chain(&bytes);
        let expected = [
            Payload { kind: PayloadType::HASH, body: &[0xaa, 0xbb], offset: 32 },
            Payload { kind: PayloadType::NONCE, body: &[], offset: 38 },
            Payload { kind: PayloadType::ID, body: &[0xcc], offset: 42 },
        ];
        for payload in expected {
            assert_eq!(payloads.next(), Some(Ok(payload)));
        }
        assert_eq!(payloads.next(), None);
        assert_eq!(payloads.end(), 15);
        assert_eq!((expected[0].whole_len(), expected[0].start()), (6, 28));
    }

    #[test]
    fn the_reserved_byte_and_the_padding_are_not_looked_at() {
        let mut bytes = CHAIN;
        bytes[10] = 0;
        for reserved in 0..=u8::MAX {
            (bytes[1], bytes[17]) = (reserved, reserved);
            assert_eq!(chain(&bytes).filter(Result::is_ok).count(), 3);
        }
    }

    #[test]
    fn no_kind_no_payload() {
        let mut payloads = Payloads::new(PayloadType::NONE, &CHAIN, 28);
        assert_eq!(payloads.next(), None);
        assert_eq!(payloads.end(), 0);
    }

    #[test]
    fn a_length_below_4_or_beyond_the_end_stops_the_chain() {
        // Each of the three payloads in turn; the offset is that of the length field.
        for (at, position) in [(0, 0), (6, 1), (10, 2)] {
            let room = CHAIN.len() - at;
            for length in (0..=3).chain([room + 1, 0xffff]) {
                let mut bytes = CHAIN;
                bytes[at + 2..at + 4]
                    .copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
                let mut payloads = chain(&bytes);
                assert_eq!(
                    payloads.by_ref().take(position).filter(Result::is_ok).count(),
                    position
                );
                let offset = u16::try_from(28 + at + 2).unwrap();
                let malformed = Malformed { kind: MalformedKind::PayloadLength, offset };
                assert_eq!(payloads.next(), Some(Err(malformed)));
                assert_eq!(payloads.next(), None, "nothing is read behind an error");
                assert_eq!(payloads.end(), at);
            }
        }
    }

    #[test]
    fn the_longest_chain_ends() {
        // Empty payloads of 4 bytes to the end of the largest datagram, each announcing one more.
        let bytes = [1, 0, 0, 4].repeat(16_000);
        let mut payloads = chain(&bytes);
        assert_eq!(payloads.by_ref().filter(Result::is_ok).count(), 16_000);
        assert_eq!(payloads.end(), bytes.len());
    }

    #[test]
    fn split_first() {
        let mut bytes = CHAIN;
        bytes[10] = 0;
        let (hash, others) = chain(&bytes).split_first().unwrap();
        assert_eq!(hash.body, [0xaa, 0xbb]);
        assert_eq!(others, &bytes[6..15]);

        let alone = hex!("00000006 aabb ffff");
        assert!(chain(&alone).split_first().unwrap().1.is_empty());

        let nothing = Payloads::new(PayloadType::NONE, &CHAIN, 28).split_first();
        assert_eq!(nothing, Err(Malformed { kind: MalformedKind::Truncated, offset: 28 }));

        // A fourth payload is announced, but three bytes are not enough for one.
        let broken_behind = chain(&CHAIN).split_first().unwrap_err();
        assert_eq!(broken_behind, Malformed { kind: MalformedKind::Truncated, offset: 28 + 17 });
    }
}
