//! Errors, sorted by blame: what is wrong with the bytes, with the peer, with us.

use core::fmt;

/// The bytes are not what RFC 2408 §3 and RFC 2407 §4 describe.
///
/// Nothing about the sender is known at this point: a malformed message may at most be counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// What is wrong.
    pub kind: MalformedKind,
    /// Where: the byte of the datagram (from the first byte of the ISAKMP header) at which the offending
    /// field or structure starts.
    pub offset: u16,
}

impl Malformed {
    /// `kind`, found at byte `offset` of the datagram.
    #[must_use]
    pub fn new(kind: MalformedKind, offset: usize) -> Self {
        // A UDP datagram ends before 65535, so that the saturation only serves callers with larger slices.
        Self { kind, offset: u16::try_from(offset).unwrap_or(u16::MAX) }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.kind, self.offset)
    }
}

impl core::error::Error for Malformed {}

/// What is wrong with bytes: one kind for each cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum MalformedKind {
    /// A field of fixed size lies beyond the end of what encloses it.
    Truncated,
    /// The major version is not 1 (RFC 2408 §3.1).
    Version,
    /// The length in the ISAKMP header is not that of the datagram (RFC 2408 §5.1).
    HeaderLength,
    /// The encrypted part is empty, or no multiple of the cipher's block (RFC 2409 Appendix B).
    CiphertextLength,
    /// A payload's length is below its own header's, or reaches beyond what encloses it (RFC 2408 §3.2).
    PayloadLength,
    /// Bytes are left behind the last element of a structure whose length says that they belong to it.
    TrailingBytes,
    /// An SA holds something else than proposals, or a proposal something else than transforms (RFC 2408 §3.5, §3.6).
    NextPayload,
    /// The SA, or one of its proposals, is empty (RFC 2408 §4.2).
    NoProposal,
    /// The number of transforms that a proposal announces is not the number it holds (RFC 2408 §3.5).
    TransformCount,
    /// An attribute in the long form reaches beyond what encloses it (RFC 2408 §3.3).
    AttributeLength,
    /// An SPI is longer than the payload that carries it (RFC 2408 §3.5, §3.14, §3.15).
    SpiSize,
    /// Size times number of the SPIs in a Delete is not the length of what follows (RFC 2408 §3.15).
    SpiCount,
    /// The data of an identity or of a NAT-OA have not the length that its type demands (RFC 2407 §4.6.2).
    AddressLength,
    /// A subnet mask with a one behind a zero (RFC 2407 §4.6.2.5).
    AddressMask,
    /// An address range that ends before it starts (RFC 2407 §4.6.2.8).
    AddressRange,
    /// The address type of a NAT-OA is neither IPv4 nor IPv6 (RFC 3947 §5.2).
    AddressType,
    /// A fragment without data, or with number 0.
    Fragment,
}

impl MalformedKind {
    const fn text(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::Version => "major version is not 1",
            Self::HeaderLength => "header length differs from the datagram's",
            Self::CiphertextLength => "encrypted part is empty or not whole blocks",
            Self::PayloadLength => "payload length out of bounds",
            Self::TrailingBytes => "trailing bytes",
            Self::NextPayload => "next payload not allowed here",
            Self::NoProposal => "no proposal",
            Self::TransformCount => "wrong number of transforms",
            Self::AttributeLength => "attribute length out of bounds",
            Self::SpiSize => "SPI size out of bounds",
            Self::SpiCount => "SPI size times count differs from the length",
            Self::AddressLength => "address data of the wrong length",
            Self::AddressMask => "subnet mask is not contiguous",
            Self::AddressRange => "address range is reversed",
            Self::AddressType => "neither IPv4 nor IPv6",
            Self::Fragment => "fragment without data or number",
        }
    }
}

impl fmt::Display for MalformedKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

/// A message does not fit the buffer given for it; what was written before still stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferTooSmall {
    /// Bytes that the buffer would need for the message so far and the element that was refused.
    ///
    /// More than 65 535 says that no buffer would do, since no datagram is that long.
    pub needed: usize,
}

impl fmt::Display for BufferTooSmall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "buffer too small: {} bytes needed", self.needed)
    }
}

impl core::error::Error for BufferTooSmall {}
