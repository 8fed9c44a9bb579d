//! Writes messages into a caller's buffer: RFC 2408 §3.
//!
//! Every length, count and next-payload field is right after every call, so that there is nothing to close and no
//! half-built message to send by mistake. A call that fails for lack of room leaves the message as it was.

use core::ops::Range;

use super::attribute::{tlv_header, tlv_u32, tv};
use super::header::{HEADER_LEN, Header};
use super::numbers::{ConfigType, Doi, PayloadType, ProtocolId};
use super::payload::GENERIC_HEADER_LEN;
use super::sa::Transform;
use crate::error::BufferTooSmall;

/// The largest message: the lengths of payloads have 16 bits, and so has UDP's.
pub const MAX_MESSAGE: usize = 0xffff;

/// Where the header names the first payload.
const FIRST_PAYLOAD_AT: usize = 16;
/// Where the header has the message's length.
const LENGTH_AT: usize = 24;

/// A message under construction: the header, then payloads one behind the other.
#[derive(Debug)]
pub struct MessageWriter<'b> {
    /// At most [`MAX_MESSAGE`] bytes, so that every length fits its field.
    buffer: &'b mut [u8],
    len: usize,
    /// Where the kind of the payload that comes next is to be written.
    next_payload_at: usize,
}

impl<'b> MessageWriter<'b> {
    /// Starts a message in `buffer` with `header`, whose length and next payload are filled in here.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`] if not even the header fits.
    pub fn new(buffer: &'b mut [u8], header: &Header) -> Result<Self, BufferTooSmall> {
        let usable = buffer.len().min(MAX_MESSAGE);
        let buffer = buffer.get_mut(..usable).unwrap_or_default();
        Header { next_payload: PayloadType::NONE, ..*header }.emit(buffer)?;
        let mut message = Self { buffer, len: HEADER_LEN, next_payload_at: FIRST_PAYLOAD_AT };
        message.patch_message_length();
        Ok(message)
    }

    /// Appends a payload whose body is the concatenation of `parts`; returns where in the message the body stands.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`]; the message is then as before.
    pub fn payload(
        &mut self,
        kind: PayloadType,
        parts: &[&[u8]],
    ) -> Result<Range<usize>, BufferTooSmall> {
        let body_len = parts.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
        let body = self.reserve(kind, body_len)?;
        let mut rest = self.buffer.get_mut(body.clone()).unwrap_or_default();
        for part in parts {
            let (place, behind) = rest.split_at_mut_checked(part.len()).unwrap_or_default();
            place.copy_from_slice(part);
            rest = behind;
        }
        Ok(body)
    }

    /// Appends a payload of `body_len` zeros, to be filled in later through [`Self::written_mut`]: a HASH, whose
    /// value covers what is appended behind it.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`]; the message is then as before.
    pub fn reserve(
        &mut self,
        kind: PayloadType,
        body_len: usize,
    ) -> Result<Range<usize>, BufferTooSmall> {
        let start = self.len;
        let whole = self.grow(body_len.saturating_add(GENERIC_HEADER_LEN))?;
        self.patch(self.next_payload_at, [kind.0]);
        self.next_payload_at = start;
        self.patch_length(start);
        Ok(whole.start.saturating_add(GENERIC_HEADER_LEN)..whole.end)
    }

    /// Appends an SA payload without proposals, and lends the message to add them.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`]; the message is then as before.
    pub fn sa(&mut self, doi: Doi, situation: u32) -> Result<SaWriter<'_, 'b>, BufferTooSmall> {
        let start = self.len;
        self.payload(PayloadType::SA, &[&doi.0.to_be_bytes(), &situation.to_be_bytes()])?;
        Ok(SaWriter { message: self, start, last: None })
    }

    /// Appends a configuration payload (`ATTR`) without attributes, and lends the message to add them.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`]; the message is then as before.
    pub fn config(
        &mut self,
        kind: ConfigType,
        identifier: u16,
    ) -> Result<AttributesWriter<'_, 'b>, BufferTooSmall> {
        let start = self.len;
        self.payload(PayloadType::ATTRIBUTES, &[&[kind.0, 0], &identifier.to_be_bytes()])?;
        Ok(AttributesWriter { message: self, enclosing: [start; 3] })
    }

    /// The message so far.
    #[must_use]
    pub fn written(&self) -> &[u8] {
        self.buffer.get(..self.len).unwrap_or_default()
    }

    /// The message so far, to fill in what was reserved.
    #[must_use]
    pub fn written_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(..self.len).unwrap_or_default()
    }

    /// Appends zeros, at least one, until what follows the header is a multiple of `block` bytes (RFC 2409 Appendix B);
    /// the length in the header counts them, no payload does. A `block` of 0 adds nothing.
    ///
    /// At least one, as strongSwan does: a peer that takes the last byte for the length of the padding (racoon in its
    /// strict mode) finds a zero there, not the end of a payload.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`]; the message is then as before.
    pub fn pad_to(&mut self, block: usize) -> Result<(), BufferTooSmall> {
        let encrypted = self.len.saturating_sub(HEADER_LEN);
        let missing = encrypted.checked_rem(block).map_or(0, |over| block.saturating_sub(over));
        self.grow(missing).map(drop)
    }

    /// Bytes of the message.
    #[must_use]
    pub const fn finish(self) -> usize {
        self.len
    }

    /// Appends `count` zeros; the only place where the message grows.
    fn grow(&mut self, count: usize) -> Result<Range<usize>, BufferTooSmall> {
        let needed = self.len.saturating_add(count);
        let grown = self.len..needed;
        self.buffer.get_mut(grown.clone()).ok_or(BufferTooSmall { needed })?.fill(0);
        self.len = needed;
        self.patch_message_length();
        Ok(grown)
    }

    /// Whether `count` more bytes fit.
    fn room_for(&self, count: usize) -> Result<(), BufferTooSmall> {
        let needed = self.len.saturating_add(count);
        if needed > self.buffer.len() { Err(BufferTooSmall { needed }) } else { Ok(()) }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), BufferTooSmall> {
        let place = self.grow(bytes.len())?;
        self.buffer.get_mut(place).unwrap_or_default().copy_from_slice(bytes);
        Ok(())
    }

    /// Overwrites bytes that were appended before.
    fn patch<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        let place = self.buffer.get_mut(at..).and_then(|tail| tail.first_chunk_mut());
        debug_assert!(place.is_some(), "only what was written is patched");
        if let Some(place) = place {
            *place = bytes;
        }
    }

    /// Sets the length of the payload, proposal or transform that starts at `start` and ends where the message ends.
    fn patch_length(&mut self, start: usize) {
        // At most MAX_MESSAGE, as is the buffer.
        let length = u16::try_from(self.len.saturating_sub(start)).unwrap_or(u16::MAX);
        self.patch(start.saturating_add(2), length.to_be_bytes());
    }

    fn patch_message_length(&mut self) {
        let length = u32::try_from(self.len).unwrap_or(u32::MAX);
        self.patch(LENGTH_AT, length.to_be_bytes());
    }
}

/// Adds proposals to an SA payload.
#[derive(Debug)]
pub struct SaWriter<'w, 'b> {
    message: &'w mut MessageWriter<'b>,
    /// Where the SA payload starts.
    start: usize,
    /// Where the last proposal starts.
    last: Option<usize>,
}

impl<'b> SaWriter<'_, 'b> {
    /// Adds a proposal without transforms. `spi` has at most 255 bytes.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`]; no buffer would do for a longer `spi`.
    pub fn proposal(
        &mut self,
        number: u8,
        protocol: ProtocolId,
        spi: &[u8],
    ) -> Result<ProposalWriter<'_, 'b>, BufferTooSmall> {
        let spi_size =
            u8::try_from(spi.len()).map_err(|_| BufferTooSmall { needed: usize::MAX })?;
        let start = self.message.len;
        let fixed = [0, 0, 0, 0, number, protocol.0, spi_size, 0];
        self.message.room_for(fixed.len().saturating_add(spi.len()))?;
        self.message.append(&fixed)?;
        self.message.append(spi)?;
        if let Some(last) = self.last.replace(start) {
            self.message.patch(last, [PayloadType::PROPOSAL.0]);
        }
        self.message.patch_length(start);
        self.message.patch_length(self.start);
        Ok(ProposalWriter { message: self.message, sa: self.start, start, last: None, count: 0 })
    }

    /// Where in the message the body of the SA stands, so far: what phase 1 hashes call SAi_b.
    #[must_use]
    pub fn body(&self) -> Range<usize> {
        self.start.saturating_add(GENERIC_HEADER_LEN)..self.message.len
    }
}

/// Adds transforms to a proposal.
#[derive(Debug)]
pub struct ProposalWriter<'w, 'b> {
    message: &'w mut MessageWriter<'b>,
    sa: usize,
    start: usize,
    last: Option<usize>,
    count: u8,
}

impl<'b> ProposalWriter<'_, 'b> {
    /// Adds a transform without attributes.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`]; no buffer would do for more than 255 transforms.
    pub fn transform(
        &mut self,
        number: u8,
        id: u8,
    ) -> Result<AttributesWriter<'_, 'b>, BufferTooSmall> {
        let count = self.count.checked_add(1).ok_or(BufferTooSmall { needed: usize::MAX })?;
        let start = self.message.len;
        self.message.append(&[0, 0, 0, 0, number, id, 0, 0])?;
        if let Some(last) = self.last.replace(start) {
            self.message.patch(last, [PayloadType::TRANSFORM.0]);
        }
        self.count = count;
        self.message.patch(self.start.saturating_add(TRANSFORM_COUNT_AT), [count]);
        let mut attributes =
            AttributesWriter { message: self.message, enclosing: [start, self.start, self.sa] };
        attributes.patch_lengths();
        Ok(attributes)
    }

    /// Adds a transform of the peer's, number and attributes unchanged: a responder answers with what it chose
    /// exactly as it was offered (RFC 2408 §4.2, RFC 2409 §5).
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn transform_as_received(&mut self, chosen: &Transform<'_>) -> Result<(), BufferTooSmall> {
        let attributes = chosen.attributes().bytes();
        self.message.room_for(attributes.len().saturating_add(TRANSFORM_HEADER_LEN))?;
        self.transform(chosen.number, chosen.id)?.append(attributes)
    }
}

/// Where in a proposal the number of its transforms stands.
const TRANSFORM_COUNT_AT: usize = 7;
/// Bytes of a transform before its attributes.
const TRANSFORM_HEADER_LEN: usize = 8;

/// Adds attributes to a transform or to a configuration payload.
#[derive(Debug)]
pub struct AttributesWriter<'w, 'b> {
    message: &'w mut MessageWriter<'b>,
    /// Where the structures start whose lengths grow with each attribute: transform, proposal, SA.
    enclosing: [usize; 3],
}

impl AttributesWriter<'_, '_> {
    /// Adds an attribute in the short form. `kind` has 15 bits.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn attribute_tv(&mut self, kind: u16, value: u16) -> Result<(), BufferTooSmall> {
        self.append(&tv(kind, value))
    }

    /// Adds an attribute in the long form. `kind` has 15 bits.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn attribute_tlv(&mut self, kind: u16, value: &[u8]) -> Result<(), BufferTooSmall> {
        let len = u16::try_from(value.len())
            .map_err(|_| BufferTooSmall { needed: self.message.len.saturating_add(value.len()) })?;
        let header = tlv_header(kind, len);
        self.message.room_for(header.len().saturating_add(value.len()))?;
        self.append(&header)?;
        self.append(value)
    }

    /// Adds a number in the shortest form: short up to 65 535, otherwise four bytes.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn attribute_u32(&mut self, kind: u16, value: u32) -> Result<(), BufferTooSmall> {
        match u16::try_from(value) {
            Ok(value) => self.attribute_tv(kind, value),
            Err(_) => self.append(&tlv_u32(kind, value)),
        }
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), BufferTooSmall> {
        self.message.append(bytes)?;
        self.patch_lengths();
        Ok(())
    }

    fn patch_lengths(&mut self) {
        for start in self.enclosing {
            self.message.patch_length(start);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::vec;

    use hex_literal::hex;

    use super::*;
    use crate::error::MalformedKind;
    use crate::wire::numbers::{ExchangeType, LifeType, Phase1Attribute};
    use crate::wire::{
        Cookie, CookiePair, Flags, Payloads, SITUATION_IDENTITY_ONLY, SaBody, VERSION,
    };

    fn header() -> Header {
        Header {
            cookies: CookiePair {
                initiator: Cookie(hex!("018ef04f7cf72e4f")),
                responder: Cookie::ZERO,
            },
            next_payload: PayloadType::NONE,
            version: VERSION,
            exchange: ExchangeType::IDENTITY_PROTECTION,
            flags: Flags::NONE,
            message_id: 0,
            length: 0,
        }
    }

    /// SAi_b of a strongSwan 5.5.1 initiator: RUB-NDS/ikev1-psk-main-mode-dict-attacker, numbers only.
    const SA_I_BODY: [u8; 52] = hex!(
        "00000001 00000001 0000002c 00010001 00000024 01010000 80010007 800e0080"
        "80020002 80040002 80030001 800b0001 800c0e10"
    );

    fn emit_sa(message: &mut MessageWriter<'_>) -> Result<Range<usize>, BufferTooSmall> {
        let mut sa = message.sa(Doi::IPSEC, SITUATION_IDENTITY_ONLY)?;
        let mut proposal = sa.proposal(0, ProtocolId::ISAKMP, &[])?;
        let mut transform = proposal.transform(1, 1)?;
        for (kind, value) in [
            (Phase1Attribute::ENCRYPTION_ALGORITHM, 7),
            (Phase1Attribute::KEY_LENGTH, 128),
            (Phase1Attribute::HASH_ALGORITHM, 2),
            (Phase1Attribute::GROUP_DESCRIPTION, 2),
            (Phase1Attribute::AUTHENTICATION_METHOD, 1),
            (Phase1Attribute::LIFE_TYPE, LifeType::SECONDS.0),
            (Phase1Attribute::LIFE_DURATION, 3600),
        ] {
            transform.attribute_u32(kind.0, u32::from(value))?;
        }
        Ok(sa.body())
    }

    fn lengths_are_right(message: &MessageWriter<'_>) -> usize {
        let written = message.written();
        assert_eq!(Header::parse(written).unwrap().length as usize, written.len());
        let header = Header::parse(written).unwrap();
        let mut payloads = Payloads::new(header.next_payload, &written[HEADER_LEN..], HEADER_LEN);
        let mut count = 0;
        for payload in payloads.by_ref().map(Result::unwrap) {
            if payload.kind == PayloadType::SA {
                let sa = SaBody::parse(payload.body, payload.offset).unwrap();
                sa.proposals().for_each(|proposal| {
                    // A proposal without transforms is not yet one.
                    assert!(matches!(
                        proposal.map_err(|malformed| malformed.kind),
                        Ok(_) | Err(MalformedKind::NoProposal)
                    ));
                });
            }
            count += 1;
        }
        assert_eq!(payloads.end(), written.len() - HEADER_LEN);
        count
    }

    #[test]
    fn a_recorded_sa_is_emitted_byte_for_byte() {
        let mut buffer = [0xee; 200];
        let mut message = MessageWriter::new(&mut buffer, &header()).unwrap();
        let body = emit_sa(&mut message).unwrap();
        assert_eq!(message.written()[body], SA_I_BODY);
        assert_eq!(lengths_are_right(&message), 1);
    }

    #[test]
    fn payloads_in_parts_and_reserved() {
        let mut buffer = [0xee; 100];
        let mut message = MessageWriter::new(&mut buffer, &header()).unwrap();
        assert_eq!(lengths_are_right(&message), 0);
        let hash = message.reserve(PayloadType::HASH, 4).unwrap();
        let nonce = message.payload(PayloadType::NONCE, &[&[1, 2], &[], &[3]]).unwrap();
        let empty = message.payload(PayloadType::ID, &[]).unwrap();
        assert_eq!(lengths_are_right(&message), 3);
        assert_eq!((hash.clone(), nonce, empty), (32..36, 40..43, 47..47));
        message.written_mut()[hash].copy_from_slice(&[9; 4]);
        assert_eq!(
            message.written()[HEADER_LEN..],
            hex!("0a000008 09090909 05000007 010203 00000004")
        );
        assert_eq!(message.finish(), 47);
        assert_eq!(buffer[47..], [0xee; 53], "nothing is written behind the message");
    }

    #[test]
    fn padding() {
        for (block, expected) in [(0, 33), (1, 34), (8, 36), (16, 44), (usize::MAX, 33)] {
            let mut buffer = [0xee; 60];
            let mut message = MessageWriter::new(&mut buffer, &header()).unwrap();
            message.payload(PayloadType::NONCE, &[&[7]]).unwrap();
            let padded = message.pad_to(block);
            assert_eq!(padded.is_err(), block == usize::MAX);
            assert_eq!(message.written().len(), expected);
            assert_eq!(Header::parse(message.written()).unwrap().length as usize, expected);
            assert!(message.written()[33..].iter().all(|byte| *byte == 0));
            if padded.is_ok() {
                // Nothing is missing: a whole block.
                message.pad_to(block).unwrap();
                assert_eq!(message.finish(), expected + block);
            }
        }
    }

    /// Everything the writer can do; `Err` as soon as something does not fit.
    fn everything(message: &mut MessageWriter<'_>) -> Result<(), BufferTooSmall> {
        message.reserve(PayloadType::HASH, 20)?;
        let sa = emit_sa(message)?;
        let received = message.written()[sa].to_vec();
        let received = SaBody::parse(&received, 0).unwrap();
        let theirs = received.proposals().next().unwrap().unwrap();
        let chosen = theirs.transforms().next().unwrap().unwrap();
        let mut sa = message.sa(Doi::IPSEC, SITUATION_IDENTITY_ONLY)?;
        sa.proposal(1, ProtocolId::ISAKMP, &[])?.transform_as_received(&chosen)?;
        let mut second = sa.proposal(2, ProtocolId::ESP, &[1, 2, 3, 4])?;
        second.transform(1, 12)?.attribute_u32(2, 65_536)?;
        second.transform(2, 3)?;
        message.payload(PayloadType::NONCE, &[&[7; 16]])?;
        let mut config = message.config(ConfigType::REQUEST, 3)?;
        config.attribute_tlv(1, &[10, 0, 0, 1])?;
        config.attribute_tv(16527, 1)?;
        message.pad_to(16)
    }

    #[test]
    fn every_size_of_buffer() {
        let mut whole = [0; 400];
        let mut message = MessageWriter::new(&mut whole, &header()).unwrap();
        everything(&mut message).unwrap();
        assert_eq!(payload_count(&message), 5);
        let len = message.finish();
        for size in 0..len {
            let mut buffer = [0xee; 400];
            let Ok(mut message) = MessageWriter::new(&mut buffer[..size], &header()) else {
                assert!(size < HEADER_LEN);
                continue;
            };
            let error = everything(&mut message).unwrap_err();
            assert!(error.needed > size && error.needed <= len, "{size} {error:?}");
            lengths_are_right(&message);
            let written = message.finish();
            assert!(written <= size);
            assert_eq!(buffer[written..], [0xee; 400][written..], "{size}");
        }
        let mut exact = vec![0; len];
        let mut message = MessageWriter::new(&mut exact, &header()).unwrap();
        everything(&mut message).unwrap();
        assert_eq!(message.finish(), len);
        assert_eq!(exact, whole[..len]);
    }

    #[test]
    fn a_refused_call_changes_nothing() {
        let received = SaBody::parse(&SA_I_BODY, 0).unwrap();
        let theirs = received.proposals().next().unwrap().unwrap();
        let chosen = theirs.transforms().next().unwrap().unwrap();
        // Room for an SA with a proposal and a transform, but only for a part of what is added then.
        let start = HEADER_LEN + 12 + 8 + 8;
        for room in 0..8 {
            let mut buffer = vec![0xee; start + room];
            let mut message = MessageWriter::new(&mut buffer, &header()).unwrap();
            let mut sa = message.sa(Doi::IPSEC, SITUATION_IDENTITY_ONLY).unwrap();
            let mut proposal = sa.proposal(1, ProtocolId::ISAKMP, &[]).unwrap();
            let mut transform = proposal.transform(1, 1).unwrap();
            let tlv = transform.attribute_tlv(12, &[0; 5]).unwrap_err();
            let tlv_u32 = transform.attribute_u32(12, 86_400).unwrap_err();
            assert_eq!((tlv.needed, tlv_u32.needed), (start + 9, start + 8));
            let copy = proposal.transform_as_received(&chosen).unwrap_err();
            assert_eq!(copy.needed, start + 36);
            let second = sa.proposal(2, ProtocolId::ESP, &[1, 2, 3, 4]).unwrap_err();
            assert_eq!(second.needed, start + 12);
            let nonce = message.payload(PayloadType::NONCE, &[&[0; 4]]).unwrap_err();
            assert_eq!(nonce.needed, start + 8);
            assert!(message.reserve(PayloadType::HASH, 4).is_err());
            assert!(message.sa(Doi::IPSEC, 1).is_err());
            assert!(message.config(ConfigType::SET, 1).is_err());
            assert_eq!(lengths_are_right(&message), 1);
            assert_eq!(message.finish(), start);
            assert_eq!(buffer[start..], [0xee; 8][..room]);
        }
    }

    fn payload_count(message: &MessageWriter<'_>) -> usize {
        let header = Header::parse(message.written()).unwrap();
        Payloads::new(header.next_payload, &message.written()[HEADER_LEN..], HEADER_LEN)
            .map(Result::unwrap)
            .count()
    }

    #[test]
    fn what_the_length_fields_cannot_hold_is_refused() {
        let mut buffer = vec![0; 70_000];
        let mut message = MessageWriter::new(&mut buffer, &header()).unwrap();
        let body = vec![0; MAX_MESSAGE];
        let error = message.payload(PayloadType::NONCE, &[&body]).unwrap_err();
        assert_eq!(error.needed, HEADER_LEN + GENERIC_HEADER_LEN + MAX_MESSAGE);
        let mut sa = message.sa(Doi::IPSEC, 1).unwrap();
        assert!(sa.proposal(1, ProtocolId::ESP, &[0; 256]).is_err());
        let mut proposal = sa.proposal(1, ProtocolId::ESP, &[0; 255]).unwrap();
        for number in 1..=255 {
            proposal.transform(number, 12).unwrap();
        }
        assert!(proposal.transform(0, 12).is_err());
        let mut last = sa.proposal(2, ProtocolId::ESP, &[]).unwrap();
        let mut transform = last.transform(1, 12).unwrap();
        assert!(transform.attribute_tlv(1, &body).is_err());
        assert!(transform.attribute_tlv(1, &vec![0; 70_000]).is_err());
        assert_eq!(lengths_are_right(&message), 1);
        let largest = MAX_MESSAGE - message.written().len() - GENERIC_HEADER_LEN;
        message.payload(PayloadType::NONCE, &[&body[..largest]]).unwrap();
        assert_eq!(lengths_are_right(&message), 2);
        assert_eq!(message.finish(), MAX_MESSAGE);
    }
}
