//! The ISAKMP header: RFC 2408 §3.1.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------------------------------------------------------+
//! |                       initiator cookie (8)                    |
//! +---------------------------------------------------------------+
//! |                       responder cookie (8)                    |
//! +---------------+-------+-------+---------------+---------------+
//! | next payload  | major | minor | exchange type |     flags     |
//! +---------------+-------+-------+---------------+---------------+
//! |                           message ID                          |
//! +---------------------------------------------------------------+
//! |                   length, header included                     |
//! +---------------------------------------------------------------+
//! ```

use core::fmt;

use super::numbers::{ExchangeType, PayloadType};
use super::reader::Reader;
use crate::error::{BufferTooSmall, Malformed, MalformedKind};

/// Bytes of the header.
pub const HEADER_LEN: usize = 28;

/// Major version 1, minor version 0: what this crate writes.
pub const VERSION: u8 = 0x10;

/// One side's cookie: eight bytes that only that side could have chosen (RFC 2408 §2.5.3).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cookie(pub [u8; 8]);

impl Cookie {
    /// Stands for the responder's cookie while there is none yet.
    pub const ZERO: Self = Self([0; 8]);

    /// Whether this is [`Self::ZERO`].
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        u64::from_ne_bytes(self.0) == 0
    }
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", u64::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cookie({self})")
    }
}

/// CKY-I and CKY-R, which together name an ISAKMP SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CookiePair {
    /// CKY-I.
    pub initiator: Cookie,
    /// CKY-R; zero in the first message of phase 1.
    pub responder: Cookie,
}

impl CookiePair {
    /// Both, one behind the other: the SPI of an ISAKMP SA in notifies and Deletes (RFC 2408 §3.14, §3.15).
    #[must_use]
    pub fn to_spi(self) -> [u8; 16] {
        let mut spi = [0; 16];
        let (initiator, responder) = spi.split_at_mut(8);
        initiator.copy_from_slice(&self.initiator.0);
        responder.copy_from_slice(&self.responder.0);
        spi
    }
}

/// The flags of the header. Unknown bits survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Flags(pub u8);

impl Flags {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All that follows the header is encrypted.
    pub const ENCRYPTION: Self = Self(1);
    /// The sender wants to wait for a CONNECTED notify.
    pub const COMMIT: Self = Self(2);
    /// Authenticated, although not encrypted.
    pub const AUTHENTICATION_ONLY: Self = Self(4);

    /// Whether all bits of `flag` are set.
    #[must_use]
    pub const fn contains(self, flag: Self) -> bool {
        self.0 & flag.0 == flag.0
    }
}

/// The header of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which ISAKMP SA.
    pub cookies: CookiePair,
    /// Kind of the first payload.
    pub next_payload: PayloadType,
    /// Major version in the upper four bits, minor in the lower.
    pub version: u8,
    /// Which exchange.
    pub exchange: ExchangeType,
    /// What was done to the payloads.
    pub flags: Flags,
    /// Zero in phase 1, afterwards the exchange's own number.
    pub message_id: u32,
    /// Bytes of the message, this header included.
    pub length: u32,
}

impl Header {
    /// The header of a datagram, which must be a whole message and nothing else.
    ///
    /// A minor version other than 0 is accepted: RFC 2408 §3.1 only asks that it not be relied upon.
    ///
    /// # Errors
    ///
    /// [`Truncated`](MalformedKind::Truncated) below 28 bytes, [`Version`](MalformedKind::Version) if the major
    /// version is not 1, [`HeaderLength`](MalformedKind::HeaderLength) if the length in the header is not the
    /// datagram's: a receiver that trusted either would read past the other's end.
    pub fn parse(datagram: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(datagram, 0);
        let cookies =
            CookiePair { initiator: Cookie(reader.array()?), responder: Cookie(reader.array()?) };
        let next_payload = PayloadType(reader.u8()?);
        let version_offset = reader.offset();
        let version = reader.u8()?;
        let exchange = ExchangeType(reader.u8()?);
        let flags = Flags(reader.u8()?);
        let message_id = reader.u32()?;
        let length_offset = reader.offset();
        let length = reader.u32()?;

        if version >> 4 != VERSION >> 4 {
            return Err(Malformed::new(MalformedKind::Version, version_offset));
        }
        if usize::try_from(length) != Ok(datagram.len()) {
            return Err(Malformed::new(MalformedKind::HeaderLength, length_offset));
        }
        Ok(Self { cookies, next_payload, version, exchange, flags, message_id, length })
    }

    /// Writes the header to the first 28 bytes of `out`, every field as it stands here.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] if `out` is shorter than 28 bytes.
    pub fn emit(&self, out: &mut [u8]) -> Result<(), BufferTooSmall> {
        let out: &mut [u8; HEADER_LEN] =
            out.first_chunk_mut().ok_or(BufferTooSmall { needed: HEADER_LEN })?;
        *out = self.to_bytes();
        Ok(())
    }

    fn to_bytes(self) -> [u8; HEADER_LEN] {
        let [i0, i1, i2, i3, i4, i5, i6, i7] = self.cookies.initiator.0;
        let [r0, r1, r2, r3, r4, r5, r6, r7] = self.cookies.responder.0;
        let [m0, m1, m2, m3] = self.message_id.to_be_bytes();
        let [l0, l1, l2, l3] = self.length.to_be_bytes();
        let (next, version, exchange, flags) =
            (self.next_payload.0, self.version, self.exchange.0, self.flags.0);
        #[rustfmt::skip]
        let bytes = [
            i0, i1, i2, i3, i4, i5, i6, i7,
            r0, r1, r2, r3, r4, r5, r6, r7,
            next, version, exchange, flags,
            m0, m1, m2, m3,
            l0, l1, l2, l3,
        ];
        bytes
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    /// Third message of a recorded quick mode, with a plaintext body of four bytes in place of its own.
    const MESSAGE: [u8; 32] =
        hex!("018ef04f7cf72e4f 5f28fdf279308a94 08 10 20 03 b9bb408c 00000020 00000004");

    const HEADER: Header = Header {
        cookies: CookiePair {
            initiator: Cookie(hex!("018ef04f7cf72e4f")),
            responder: Cookie(hex!("5f28fdf279308a94")),
        },
        next_payload: PayloadType::HASH,
        version: VERSION,
        exchange: ExchangeType::QUICK_MODE,
        flags: Flags(3),
        message_id: 0xb9bb_408c,
        length: 32,
    };

    #[test]
    fn parse() {
        assert_eq!(Header::parse(&MESSAGE), Ok(HEADER));
        assert!(HEADER.flags.contains(Flags::ENCRYPTION));
        assert!(HEADER.flags.contains(Flags::COMMIT));
        assert!(!HEADER.flags.contains(Flags::AUTHENTICATION_ONLY));
        assert!(!HEADER.cookies.responder.is_zero() && Cookie::ZERO.is_zero());
    }

    #[test]
    fn emit() {
        let mut out = [0xee; 32];
        HEADER.emit(&mut out).unwrap();
        assert_eq!(out[..HEADER_LEN], MESSAGE[..HEADER_LEN]);
        assert_eq!(out[HEADER_LEN..], [0xee; 4]);
        for len in 0..HEADER_LEN {
            let mut out = [0xee; HEADER_LEN];
            assert_eq!(HEADER.emit(&mut out[..len]), Err(BufferTooSmall { needed: HEADER_LEN }));
            assert_eq!(out, [0xee; HEADER_LEN]);
        }
    }

    #[test]
    fn a_datagram_shorter_than_the_header_is_truncated() {
        for len in 0..HEADER_LEN {
            let malformed = Header::parse(&MESSAGE[..len]).unwrap_err();
            assert_eq!(malformed.kind, MalformedKind::Truncated);
            assert!(usize::from(malformed.offset) <= len);
        }
    }

    #[test]
    fn only_major_version_1_is_read() {
        for version in 0..=u8::MAX {
            let mut message = MESSAGE;
            message[17] = version;
            match version >> 4 {
                1 => assert_eq!(Header::parse(&message).unwrap().version, version),
                _ => assert_eq!(
                    Header::parse(&message),
                    Err(Malformed { kind: MalformedKind::Version, offset: 17 })
                ),
            }
        }
    }

    #[test]
    fn the_length_is_that_of_the_datagram() {
        let wrong = Err(Malformed { kind: MalformedKind::HeaderLength, offset: 24 });
        for length in [0, 27, 28, 31, 33, 0x20_0000, u32::MAX] {
            let mut message = MESSAGE;
            message[24..28].copy_from_slice(&u32::to_be_bytes(length));
            assert_eq!(Header::parse(&message), wrong, "{length}");
        }
        assert_eq!(Header::parse(&MESSAGE[..31]), wrong);
    }
}
