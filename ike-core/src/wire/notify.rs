//! The notification payload: RFC 2408 §3.14.
//!
//! ```text
//! +---------------------------------------------------------------+
//! |                              DOI                              |
//! +---------------+---------------+-------------------------------+
//! |  protocol     |   SPI size    |      notify message type      |
//! +---------------+---------------+-------------------------------+
//! |                       SPI, then data                          |
//! +---------------------------------------------------------------+
//! ```

use core::ops::Range;

use super::attribute::Attributes;
use super::numbers::{Doi, NotifyType, PayloadType, ProtocolId};
use super::reader::Reader;
use super::writer::MessageWriter;
use crate::error::{BufferTooSmall, Malformed, MalformedKind};

/// The body of a notification payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotifyPayload<'a> {
    /// Domain of interpretation.
    pub doi: Doi,
    /// What the SPI is of.
    pub protocol: ProtocolId,
    /// What it is about, 0 to 255 bytes: the cookies for ISAKMP, four bytes for ESP; often empty.
    pub spi: &'a [u8],
    /// What is notified.
    pub kind: NotifyType,
    /// More about it.
    pub data: &'a [u8],
    /// Where the data start in the datagram; 0 for what was not received.
    pub offset: usize,
}

impl<'a> NotifyPayload<'a> {
    /// Parses `body`, which starts at byte `offset` of the datagram.
    ///
    /// # Errors
    ///
    /// [`Truncated`](MalformedKind::Truncated) below eight bytes, [`SpiSize`](MalformedKind::SpiSize) if the SPI does
    /// not fit.
    pub fn parse(body: &'a [u8], offset: usize) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, offset);
        let doi = Doi(reader.u32()?);
        let protocol = ProtocolId(reader.u8()?);
        let bad_size = reader.error(MalformedKind::SpiSize);
        let spi_size = reader.u8()?;
        let kind = NotifyType(reader.u16()?);
        let spi = reader.take(usize::from(spi_size)).ok_or(bad_size)?;
        Ok(Self { doi, protocol, spi, kind, data: reader.rest(), offset: reader.offset() })
    }

    /// The data read as attributes, which is what they are in RESPONDER-LIFETIME (RFC 2407 §4.6.3.1).
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.data, self.offset)
    }

    /// Appends the payload to `message`; returns where its body stands.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`]; no buffer would do for an SPI longer than 255 bytes.
    pub fn emit(&self, message: &mut MessageWriter<'_>) -> Result<Range<usize>, BufferTooSmall> {
        let spi_size =
            u8::try_from(self.spi.len()).map_err(|_| BufferTooSmall { needed: usize::MAX })?;
        message.payload(
            PayloadType::NOTIFICATION,
            &[
                &self.doi.0.to_be_bytes(),
                &[self.protocol.0, spi_size],
                &self.kind.0.to_be_bytes(),
                self.spi,
                self.data,
            ],
        )
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    /// R-U-THERE with both cookies as its SPI and sequence number 5.
    const BODY: [u8; 28] = hex!("00000001 01 10 8d28 018ef04f7cf72e4f5f28fdf279308a94 00000005");

    #[test]
    fn parse() {
        let notify = NotifyPayload::parse(&BODY, 60).unwrap();
        assert_eq!((notify.doi, notify.protocol), (Doi::IPSEC, ProtocolId::ISAKMP));
        assert_eq!(notify.kind, NotifyType::R_U_THERE);
        assert_eq!((notify.spi, notify.data, notify.offset), (&BODY[8..24], &BODY[24..], 84));
    }

    #[test]
    fn the_fixed_part_and_the_spi_must_be_there() {
        for len in 0..24 {
            let malformed = NotifyPayload::parse(&BODY[..len], 60).unwrap_err();
            let kind = if len < 8 { MalformedKind::Truncated } else { MalformedKind::SpiSize };
            assert_eq!(malformed.kind, kind);
        }
        assert!(NotifyPayload::parse(&BODY[..24], 60).unwrap().data.is_empty());
        for size in 0..=u8::MAX {
            let mut body = BODY;
            body[5] = size;
            match NotifyPayload::parse(&body, 0) {
                Ok(notify) => assert_eq!(notify.spi.len() + notify.data.len(), 20),
                Err(malformed) => {
                    assert!(size > 20);
                    assert_eq!(malformed, Malformed { kind: MalformedKind::SpiSize, offset: 5 });
                }
            }
        }
    }
}
