//! The SA payload and what it holds: RFC 2408 §3.4 to §3.6, RFC 2407 §4.6.1.
//!
//! ```text
//! SA ─ DOI (4) ─ situation (4) ─ Proposal 1 ─┬ number, protocol, SPI size, transforms, SPI
//!                                            ├ Transform 1 ─ number, id, 0, 0, attributes
//!                                            └ Transform 2 …
//!                                Proposal 1 … (same number: both together)
//!                                Proposal 2 … (next number: or this one)
//! ```

use super::attribute::Attributes;
use super::numbers::{Doi, PayloadType, ProtocolId};
use super::reader::Reader;
use crate::error::{Malformed, MalformedKind};

/// The only situation in use: the peers are known by their identities (RFC 2407 §4.2.1).
///
/// The other two bits (2 secrecy, 4 integrity) put labels in front of the proposals.
pub const SITUATION_IDENTITY_ONLY: u32 = 1;

/// The body of an SA payload.
#[derive(Clone, Copy, Debug)]
pub struct SaBody<'a> {
    /// Domain of interpretation.
    pub doi: Doi,
    /// The situation field.
    pub situation: u32,
    proposals: Reader<'a>,
}

impl<'a> SaBody<'a> {
    /// Parses `body`, which starts at byte `offset` of the datagram.
    ///
    /// DOI and situation are the caller's to judge, and first: under another DOI, or with labels in the situation,
    /// what follows need not be proposals.
    ///
    /// # Errors
    ///
    /// [`Truncated`](MalformedKind::Truncated) below eight bytes.
    pub fn parse(body: &'a [u8], offset: usize) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, offset);
        Ok(Self { doi: Doi(reader.u32()?), situation: reader.u32()?, proposals: reader })
    }

    /// The proposals in order.
    #[must_use]
    pub const fn proposals(&self) -> ProposalIter<'a> {
        ProposalIter { chain: Chain::new(self.proposals, PayloadType::PROPOSAL) }
    }

    /// Walks all proposals, transforms and attributes once, so that nothing is chosen from an SA whose end is broken.
    ///
    /// # Errors
    ///
    /// What any of the iterators would return; [`NoProposal`](MalformedKind::NoProposal) if the SA is empty.
    pub fn check(&self) -> Result<(), Malformed> {
        if self.proposals.is_empty() {
            return Err(self.proposals.error(MalformedKind::NoProposal));
        }
        for proposal in self.proposals() {
            for transform in proposal?.transforms() {
                for attribute in transform?.attributes() {
                    attribute?;
                }
            }
        }
        Ok(())
    }
}

/// One proposal: a protocol, with transforms to choose one of.
#[derive(Clone, Copy, Debug)]
pub struct Proposal<'a> {
    /// Its number; neighbours with the same number are meant together (RFC 2408 §4.2).
    pub number: u8,
    /// Which protocol.
    pub protocol: ProtocolId,
    /// The sender's SPI for it, 0 to 255 bytes.
    pub spi: &'a [u8],
    /// How many transforms it holds.
    pub transform_count: u8,
    /// Where it starts in the datagram, its generic header included.
    pub offset: usize,
    transforms: Reader<'a>,
}

impl<'a> Proposal<'a> {
    fn parse(mut reader: Reader<'a>, offset: usize) -> Result<Self, Malformed> {
        let number = reader.u8()?;
        let protocol = ProtocolId(reader.u8()?);
        let bad_size = reader.error(MalformedKind::SpiSize);
        let spi_size = reader.u8()?;
        let empty = reader.error(MalformedKind::NoProposal);
        let transform_count = reader.u8()?;
        let spi = reader.take(usize::from(spi_size)).ok_or(bad_size)?;
        if transform_count == 0 {
            return Err(empty);
        }
        Ok(Self { number, protocol, spi, transform_count, offset, transforms: reader })
    }

    /// The transforms in order of the sender's preference.
    #[must_use]
    pub const fn transforms(&self) -> TransformIter<'a> {
        TransformIter {
            chain: Chain::new(self.transforms, PayloadType::TRANSFORM),
            left: self.transform_count,
        }
    }
}

/// One transform: an algorithm and its attributes.
#[derive(Clone, Copy, Debug)]
pub struct Transform<'a> {
    /// Its number within the proposal.
    pub number: u8,
    /// Which algorithm, in the numbers of the proposal's protocol: `IsakmpTransformId`, `EspTransformId`.
    pub id: u8,
    /// Where it starts in the datagram, its generic header included.
    pub offset: usize,
    attributes: Reader<'a>,
}

impl<'a> Transform<'a> {
    fn parse(mut reader: Reader<'a>, offset: usize) -> Result<Self, Malformed> {
        let [number, id, _, _] = reader.array()?;
        Ok(Self { number, id, offset, attributes: reader })
    }

    /// Its attributes.
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.attributes.rest(), self.attributes.offset())
    }
}

/// A chain whose elements are all of one kind, and which fills what encloses it.
#[derive(Clone, Copy, Debug)]
struct Chain<'a> {
    reader: Reader<'a>,
    kind: PayloadType,
}

impl<'a> Chain<'a> {
    const fn new(reader: Reader<'a>, kind: PayloadType) -> Self {
        Self { reader, kind }
    }

    /// The body of the next element and where the element starts; `None` at the end. After an error, the end.
    fn next(&mut self) -> Option<Result<(Reader<'a>, usize), Malformed>> {
        if self.reader.is_empty() {
            return None;
        }
        let offset = self.reader.offset();
        let result = self.step().map(|body| (body, offset));
        if result.is_err() {
            self.reader = Reader::new(&[], self.reader.offset());
        }
        Some(result)
    }

    fn step(&mut self) -> Result<Reader<'a>, Malformed> {
        let start = self.reader;
        let (next, body) = self.reader.element()?;
        // Zero ends the chain (RFC 2408 §3.5, §3.6), and there the enclosing payload has to end as well.
        match PayloadType(next) {
            PayloadType::NONE if self.reader.is_empty() => Ok(body),
            PayloadType::NONE => Err(self.reader.error(MalformedKind::TrailingBytes)),
            kind if kind != self.kind => Err(start.error(MalformedKind::NextPayload)),
            _ if self.reader.is_empty() => Err(self.reader.error(MalformedKind::Truncated)),
            _ => Ok(body),
        }
    }
}

/// The proposals of an SA. Stops after the first error.
#[derive(Clone, Copy, Debug)]
pub struct ProposalIter<'a> {
    chain: Chain<'a>,
}

impl<'a> Iterator for ProposalIter<'a> {
    type Item = Result<Proposal<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.chain.next()?.and_then(|(body, offset)| Proposal::parse(body, offset));
        if result.is_err() {
            self.chain.reader = Reader::new(&[], self.chain.reader.offset());
        }
        Some(result)
    }
}

/// The transforms of a proposal. Stops after the first error.
#[derive(Clone, Copy, Debug)]
pub struct TransformIter<'a> {
    chain: Chain<'a>,
    left: u8,
}

impl<'a> TransformIter<'a> {
    fn parse_next(&mut self) -> Option<Result<Transform<'a>, Malformed>> {
        let wrong_count = self.chain.reader.error(MalformedKind::TransformCount);
        let Some(element) = self.chain.next() else {
            return (self.left != 0).then_some(Err(wrong_count));
        };
        Some(element.and_then(|(body, offset)| {
            self.left = self.left.checked_sub(1).ok_or(wrong_count)?;
            Transform::parse(body, offset)
        }))
    }
}

impl<'a> Iterator for TransformIter<'a> {
    type Item = Result<Transform<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let result = self.parse_next()?;
        if result.is_err() {
            self.chain.reader = Reader::new(&[], self.chain.reader.offset());
            self.left = 0;
        }
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;
    use crate::wire::Value;

    /// Two proposals: ESP with an SPI and two transforms, AH with one transform.
    const SA: [u8; 72] = hex!(
        "00000001 00000001"
        "02000028 01030402 11223344"
        "0300000c 010c0000 80060080" "00000010 020b0000 80050002 80040001"
        "00000018 01020001" "00000010 01020000 80050002 80040001"
    );

    fn parsed(sa: &[u8]) -> Result<(), Malformed> {
        SaBody::parse(sa, 32)?.check()
    }

    /// `SA` with one byte changed.
    fn changed(at: usize, value: u8) -> [u8; SA.len()] {
        let mut sa = SA;
        sa[at] = value;
        sa
    }

    #[track_caller]
    fn refused(sa: &[u8], kind: MalformedKind, at: u16) {
        assert_eq!(parsed(sa), Err(Malformed { kind, offset: 32 + at }));
    }

    #[test]
    fn parse() {
        let sa = SaBody::parse(&SA, 32).unwrap();
        assert_eq!((sa.doi, sa.situation), (Doi::IPSEC, SITUATION_IDENTITY_ONLY));
        sa.check().unwrap();
        let [esp, ah] = [0, 1].map(|index| sa.proposals().nth(index).unwrap().unwrap());
        assert!(sa.proposals().nth(2).is_none());
        assert_eq!((esp.number, esp.protocol, esp.offset), (1, ProtocolId::ESP, 40));
        assert_eq!((esp.spi, esp.transform_count), (&hex!("11223344")[..], 2));
        assert_eq!((ah.number, ah.protocol, ah.offset), (1, ProtocolId::AH, 80));
        assert_eq!((ah.spi, ah.transform_count), (&[][..], 1));
        let transforms: [_; 2] = [0, 1].map(|index| esp.transforms().nth(index).unwrap().unwrap());
        assert!(esp.transforms().nth(2).is_none());
        assert_eq!((transforms[0].number, transforms[0].id), (1, 12));
        assert_eq!((transforms[1].number, transforms[1].id), (2, 11));
        assert_eq!(transforms[1].offset, 64);
        let attribute = transforms[0].attributes().next().unwrap().unwrap();
        assert_eq!((attribute.kind, attribute.value), (6, Value::Short(128)));
        assert_eq!(transforms[1].attributes().bytes(), hex!("80050002 80040001"));
    }

    #[test]
    fn cut_short_anywhere() {
        for len in 0..SA.len() {
            let malformed = parsed(&SA[..len]).unwrap_err();
            assert!(usize::from(malformed.offset) <= 32 + len);
        }
        refused(&SA[..7], MalformedKind::Truncated, 4);
        refused(&SA[..8], MalformedKind::NoProposal, 8);
        refused(&SA[..48], MalformedKind::Truncated, 48);
    }

    #[test]
    fn only_proposals_in_an_sa_and_only_transforms_in_a_proposal() {
        for next in 3..=u8::MAX {
            refused(&changed(8, next), MalformedKind::NextPayload, 8);
        }
        refused(&changed(8, 1), MalformedKind::NextPayload, 8);
        for next in (0..=u8::MAX).filter(|next| *next != 0 && *next != 3) {
            refused(&changed(20, next), MalformedKind::NextPayload, 20);
        }
    }

    #[test]
    fn a_chain_fills_what_encloses_it() {
        // Nothing more is announced, but there is more.
        refused(&changed(8, 0), MalformedKind::TrailingBytes, 48);
        refused(&changed(20, 0), MalformedKind::TrailingBytes, 32);
        // More is announced, but there is none.
        refused(&changed(48, 2), MalformedKind::Truncated, 72);
        refused(&changed(32, 3), MalformedKind::Truncated, 48);
    }

    #[test]
    fn the_number_of_transforms_is_the_announced_one() {
        refused(&changed(15, 0), MalformedKind::NoProposal, 15);
        refused(&changed(15, 1), MalformedKind::TransformCount, 32);
        for count in 3..=u8::MAX {
            refused(&changed(15, count), MalformedKind::TransformCount, 48);
        }
    }

    #[test]
    fn spi_sizes() {
        // 4 is right; what a wrong size leaves for the transforms is none; 33 to 255 exceed the proposal.
        for size in (0..=u8::MAX).filter(|size| *size != 4) {
            let sa = changed(14, size);
            let malformed = parsed(&sa).unwrap_err();
            match size {
                33.. => assert_eq!(malformed.kind, MalformedKind::SpiSize),
                _ => assert_ne!(malformed.kind, MalformedKind::SpiSize),
            }
        }
        // The longest there can be.
        let mut sa = hex!("00000001 00000001 00000113 0003ff01").to_vec();
        sa.extend([0xab; 255]);
        sa.extend(hex!("00000008 010c0000"));
        sa[10..12].copy_from_slice(&271u16.to_be_bytes());
        parsed(&sa).unwrap();
        let proposal = SaBody::parse(&sa, 0).unwrap().proposals().next().unwrap().unwrap();
        assert_eq!(proposal.spi, [0xab; 255]);
    }

    #[test]
    fn every_length_field_is_checked() {
        for at in [10, 22, 34, 50, 58] {
            for length in [0, 1, 2, 3, 4, 7, 255] {
                let malformed = parsed(&changed(at + 1, length)).unwrap_err();
                assert!(usize::from(malformed.offset) < 32 + SA.len(), "{malformed}");
            }
        }
    }

    #[test]
    fn iterators_end_after_an_error() {
        let sa = changed(20, 9);
        let proposal = SaBody::parse(&sa, 0).unwrap().proposals().next().unwrap().unwrap();
        let mut transforms = proposal.transforms();
        assert!(transforms.next().unwrap().is_err());
        assert!(transforms.next().is_none());
        let sa = changed(8, 9);
        let mut proposals = SaBody::parse(&sa, 0).unwrap().proposals();
        assert!(proposals.next().unwrap().is_err());
        assert!(proposals.next().is_none());
    }
}
