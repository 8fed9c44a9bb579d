//! The delete payload: RFC 2408 §3.15.
//!
//! ```text
//! +---------------------------------------------------------------+
//! |                              DOI                              |
//! +---------------+---------------+-------------------------------+
//! |  protocol     |   SPI size    |        number of SPIs         |
//! +---------------+---------------+-------------------------------+
//! |                       SPIs, one behind the other              |
//! +---------------------------------------------------------------+
//! ```

use core::ops::Range;

use super::numbers::{Doi, PayloadType, ProtocolId};
use super::reader::Reader;
use super::writer::MessageWriter;
use crate::error::{BufferTooSmall, Malformed, MalformedKind};

/// The body of a delete payload. Size times count is the length of the SPIs, always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeletePayload<'a> {
    /// Domain of interpretation.
    pub doi: Doi,
    /// Protocol of the SAs that were deleted.
    pub protocol: ProtocolId,
    /// Bytes of each SPI: 4 for ESP, 16 (both cookies) for ISAKMP. Zero only if there are none.
    pub spi_size: u8,
    /// How many SPIs.
    pub count: u16,
    spis: &'a [u8],
}

impl<'a> DeletePayload<'a> {
    /// Parses `body`, which starts at byte `offset` of the datagram.
    ///
    /// # Errors
    ///
    /// [`Truncated`](MalformedKind::Truncated) below eight bytes; [`SpiSize`](MalformedKind::SpiSize) if SPIs of no
    /// bytes are announced; [`SpiCount`](MalformedKind::SpiCount) unless size times count is what follows.
    pub fn parse(body: &'a [u8], offset: usize) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, offset);
        let doi = Doi(reader.u32()?);
        let protocol = ProtocolId(reader.u8()?);
        let bad_size = reader.error(MalformedKind::SpiSize);
        let spi_size = reader.u8()?;
        let bad_count = reader.error(MalformedKind::SpiCount);
        let count = reader.u16()?;
        let spis = reader.rest();
        if spi_size == 0 && count != 0 {
            return Err(bad_size);
        }
        // 255 × 65 535 is far below usize::MAX.
        if usize::from(spi_size).saturating_mul(usize::from(count)) != spis.len() {
            return Err(bad_count);
        }
        Ok(Self { doi, protocol, spi_size, count, spis })
    }

    /// Each SPI, `spi_size` bytes.
    pub fn spis(&self) -> impl ExactSizeIterator<Item = &'a [u8]> + use<'a> {
        self.spis.chunks_exact(usize::from(self.spi_size).max(1))
    }

    /// All SPIs, one behind the other.
    #[must_use]
    pub const fn spi_bytes(&self) -> &'a [u8] {
        self.spis
    }

    /// The payload that deletes one SA; `None` if `spi` is empty or longer than 255 bytes.
    #[must_use]
    pub fn one(protocol: ProtocolId, spi: &'a [u8]) -> Option<Self> {
        let spi_size = u8::try_from(spi.len()).ok().filter(|size| *size != 0)?;
        Some(Self { doi: Doi::IPSEC, protocol, spi_size, count: 1, spis: spi })
    }

    /// The payload that deletes several ESP SAs, whose SPIs stand one behind the other in `spis`; `None` unless those are
    /// 1 to 65 535 SPIs of four bytes.
    #[must_use]
    pub fn esp(spis: &'a [u8]) -> Option<Self> {
        let count = u16::try_from(spis.len() / 4).ok().filter(|count| *count != 0)?;
        let whole = spis.len() == usize::from(count).saturating_mul(4);
        let (doi, protocol) = (Doi::IPSEC, ProtocolId::ESP);
        whole.then_some(Self { doi, protocol, spi_size: 4, count, spis })
    }

    /// Appends the payload to `message`; returns where its body stands.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn emit(&self, message: &mut MessageWriter<'_>) -> Result<Range<usize>, BufferTooSmall> {
        message.payload(
            PayloadType::DELETE,
            &[
                &self.doi.0.to_be_bytes(),
                &[self.protocol.0, self.spi_size],
                &self.count.to_be_bytes(),
                self.spis,
            ],
        )
    }

    /// Appends to `message` a payload that deletes one SA; returns where its body stands.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`]; no buffer would do if `spi` is empty or longer than 255 bytes.
    pub fn emit_one(
        message: &mut MessageWriter<'_>,
        protocol: ProtocolId,
        spi: &[u8],
    ) -> Result<Range<usize>, BufferTooSmall> {
        let one = DeletePayload::one(protocol, spi).ok_or(BufferTooSmall { needed: usize::MAX })?;
        one.emit(message)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use hex_literal::hex;

    use super::*;

    #[test]
    fn several_esp_spis_in_one() {
        let all = DeletePayload::esp(&BODY[8..]).unwrap();
        assert_eq!(DeletePayload::parse(&BODY, 0).unwrap(), all);
        for len in [0, 3, 5, 4 * 65_536] {
            assert_eq!(DeletePayload::esp(&std::vec![1; len]), None);
        }
    }

    const BODY: [u8; 16] = hex!("00000001 03 04 0002 c0ffee01 c0ffee02");

    #[test]
    fn parse() {
        let delete = DeletePayload::parse(&BODY, 64).unwrap();
        assert_eq!((delete.doi, delete.protocol), (Doi::IPSEC, ProtocolId::ESP));
        assert_eq!((delete.spi_size, delete.count), (4, 2));
        assert_eq!(delete.spis().collect::<Vec<_>>(), [&BODY[8..12], &BODY[12..]]);
        assert_eq!(delete.spi_bytes(), &BODY[8..]);
    }

    #[test]
    fn cut_short() {
        for len in 0..BODY.len() {
            let malformed = DeletePayload::parse(&BODY[..len], 0).unwrap_err();
            let kind = if len < 8 { MalformedKind::Truncated } else { MalformedKind::SpiCount };
            assert_eq!(malformed.kind, kind);
        }
    }

    #[test]
    fn one() {
        let delete = DeletePayload::one(ProtocolId::ESP, &BODY[8..12]).unwrap();
        assert_eq!((delete.spi_size, delete.count, delete.spi_bytes()), (4, 1, &BODY[8..12]));
        assert_eq!(DeletePayload::one(ProtocolId::ESP, &[]), None);
        assert_eq!(DeletePayload::one(ProtocolId::ESP, &[0; 256]), None);
    }

    #[test]
    fn nothing_deleted_is_no_error() {
        let delete = DeletePayload::parse(&hex!("00000001 03 00 0000"), 0).unwrap();
        assert_eq!(delete.spis().len(), 0);
    }
}
