//! A cursor over received bytes that knows where in the datagram it stands.

use super::payload::GENERIC_HEADER_LEN;
use crate::error::{Malformed, MalformedKind};

/// What is left of a structure, and the offset of its next byte in the datagram.
///
/// Every `take` either moves forward or fails; none can run past the end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`, the first of which is byte `offset` of the datagram.
    pub(super) const fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { rest: bytes, offset }
    }

    /// Where the next byte stands in the datagram.
    pub(super) const fn offset(&self) -> usize {
        self.offset
    }

    /// What is left.
    pub(super) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `len` bytes; `None`, and nothing taken, if there are fewer.
    pub(super) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(len);
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) =
            self.rest.split_first_chunk().ok_or_else(|| self.error(MalformedKind::Truncated))?;
        self.rest = rest;
        self.offset = self.offset.saturating_add(N);
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Malformed> {
        self.array().map(|[byte]| byte)
    }

    pub(super) fn u16(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    /// One element of a chain of payloads, proposals or transforms (RFC 2408 §3.2): the kind of the element behind
    /// it, and a reader over its body. Moves by at least the four bytes of the generic header, or fails and stays.
    pub(super) fn element(&mut self) -> Result<(u8, Self), Malformed> {
        let mut reader = *self;
        let [next, _reserved] = reader.array()?;
        let bad_length = reader.error(MalformedKind::PayloadLength);
        let body_len =
            usize::from(reader.u16()?).checked_sub(GENERIC_HEADER_LEN).ok_or(bad_length)?;
        let offset = reader.offset;
        let body = reader.take(body_len).ok_or(bad_length)?;
        *self = reader;
        Ok((next, Self::new(body, offset)))
    }

    /// `kind` at the current offset.
    pub(super) fn error(&self, kind: MalformedKind) -> Malformed {
        Malformed::new(kind, self.offset)
    }
}
