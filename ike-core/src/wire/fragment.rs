//! The fragment payload, as Cisco and Microsoft have it: MS-IKEE §2.2.3.1. There is no RFC for it.
//!
//! ```text
//! +-------------------------------+---------------+---------------+
//! |          fragment ID          |    number     |     flags     |
//! +-------------------------------+---------------+---------------+
//! |               piece of a whole message, header included       |
//! +---------------------------------------------------------------+
//! ```

use core::ops::Range;

use super::numbers::PayloadType;
use super::reader::Reader;
use super::writer::MessageWriter;
use crate::error::{BufferTooSmall, Malformed, MalformedKind};

/// The body of a fragment payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FragmentPayload<'a> {
    /// The same for all fragments of one message.
    pub id: u16,
    /// Counts from 1.
    pub number: u8,
    /// Whether this is the fragment with the highest number.
    pub last: bool,
    /// The piece; never empty.
    pub data: &'a [u8],
}

impl<'a> FragmentPayload<'a> {
    /// Bytes in front of the piece, the generic header not counted.
    pub const HEAD_LEN: usize = 4;

    const LAST: u8 = 1;

    /// Parses `body`, which starts at byte `offset` of the datagram.
    ///
    /// # Errors
    ///
    /// [`Truncated`](MalformedKind::Truncated) below four bytes; [`Fragment`](MalformedKind::Fragment) if there is no
    /// piece, or the number is 0.
    pub fn parse(body: &'a [u8], offset: usize) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, offset);
        let id = reader.u16()?;
        let [number, flags] = reader.array()?;
        let data = reader.rest();
        if number == 0 || data.is_empty() {
            return Err(Malformed::new(MalformedKind::Fragment, offset));
        }
        Ok(Self { id, number, last: flags & Self::LAST != 0, data })
    }

    /// Appends the payload to `message`; returns where its body stands.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn emit(&self, message: &mut MessageWriter<'_>) -> Result<Range<usize>, BufferTooSmall> {
        let [id0, id1] = self.id.to_be_bytes();
        message.payload(
            PayloadType::FRAGMENT,
            &[&[id0, id1, self.number, u8::from(self.last)], self.data],
        )
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    #[test]
    fn parse() {
        let body = hex!("0102 03 00 aabb");
        let fragment = FragmentPayload::parse(&body, 32).unwrap();
        let expected = FragmentPayload { id: 0x102, number: 3, last: false, data: &[0xaa, 0xbb] };
        assert_eq!(fragment, expected);
        // One bit says it; the others have no meaning.
        for flags in 0..=u8::MAX {
            let body = [1, 2, 3, flags, 0xaa];
            assert_eq!(FragmentPayload::parse(&body, 32).unwrap().last, flags % 2 == 1);
        }
    }

    #[test]
    fn lengths() {
        let body = hex!("0001 01 01 aabb");
        for len in 0..body.len() {
            let result = FragmentPayload::parse(&body[..len], 32);
            match len {
                ..4 => assert_eq!(result.unwrap_err().kind, MalformedKind::Truncated),
                4 => assert_eq!(result.unwrap_err().kind, MalformedKind::Fragment),
                _ => assert_eq!(result.unwrap().data.len(), len - 4),
            }
        }
    }

    #[test]
    fn numbers_start_at_one() {
        let malformed = FragmentPayload::parse(&hex!("0001 00 01 aabb"), 32).unwrap_err();
        assert_eq!(malformed, Malformed { kind: MalformedKind::Fragment, offset: 32 });
    }
}
