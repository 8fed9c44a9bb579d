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
