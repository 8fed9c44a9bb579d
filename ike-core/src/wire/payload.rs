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

/// The payloads of a message, in order. Stops after the last one, or after the first error.
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
    /// [`Truncated`](MalformedKind::Truncated) if there is no payload at all;
    /// [`PayloadLength`](MalformedKind::PayloadLength) from anywhere in the chain.
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
