//! Errors, sorted by blame: what is wrong with the bytes, with the peer, with us.

mod display;

use core::fmt;

use esp_core::TrafficSelectors;

use crate::crypto::PublicValueError;
use crate::wire::numbers::{
    Doi, ExchangeType, IdType, IpsecAttribute, NotifyType, PayloadType, Phase1Attribute,
};

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

/// What stands in the way of going on, by blame.
///
/// Which notify the peer is sent for it, if any, is a function of this value alone: [`Error::notify`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The bytes are wrong.
    Malformed(Malformed),
    /// The bytes are right, the protocol is not.
    PeerMisbehaved(PeerMisbehaved),
    /// Bytes and protocol are right; our configuration says no.
    Refused(Refusal),
    /// We have no room, or no time.
    Capacity(Capacity),
}

/// Legal bytes that break the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerMisbehaved {
    /// A payload that the message must have is missing.
    MissingPayload(PayloadType),
    /// A payload stands where none of its kind may.
    UnexpectedPayload(PayloadType),
    /// More payloads of a kind than the message may have.
    TooManyPayloads(PayloadType),
    /// A payload that must come first does not.
    PayloadOrder(PayloadType),
    /// The message must be encrypted and is not.
    NotEncrypted,
    /// The message must not be encrypted and is.
    Encrypted,
    /// No such exchange in this state.
    UnexpectedExchange(ExchangeType),
    /// The message id is wrong for the exchange.
    MessageId(u32),
    /// What was chosen is not what we proposed.
    ChosenNotProposed,
    /// An answer must hold one proposal with one transform (RFC 2408 §4.2).
    SeveralChosen,
    /// A nonce is 8 to 256 bytes long (RFC 2409 §5).
    NonceLength(u16),
    /// Our own cookie, nonce or public value came back.
    Reflected,
    /// A public value that no honest peer sends.
    PublicValue(PublicValueError),
    /// One client identity without the other (RFC 2409 §5.5).
    LoneIdentity,
    /// An answer with other client identities than we sent.
    IdentitiesChanged,
    /// An SPI of the wrong size, zero, or reserved.
    Spi,
    /// A message id that was used before under this IKE SA.
    MessageIdReused(u32),
}

/// Legal, but not with us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// Nothing that was proposed is acceptable.
    Proposal(ProposalMismatch),
    /// No child is configured for these selectors.
    Selectors(SelectorMismatch),
    /// The peer is not who it has to be.
    Identity(IdType),
    /// HASH_I or HASH_R is wrong: the keys differ, most often the pre-shared ones.
    Authentication,
    /// No peer is configured for this address.
    NoPeer,
    /// The peer was in the configuration and is not any more.
    Unconfigured,
    /// No key for this peer.
    NoCredentials,
    /// The configuration does not allow aggressive mode with this peer.
    AggressiveMode,
    /// An exchange that this library does not speak.
    Exchange(ExchangeType),
    /// A DOI other than IPsec.
    Doi(Doi),
    /// A situation other than SIT_IDENTITY_ONLY.
    Situation(u32),
    /// The host rejected the child.
    Rejected,
}

/// Why no transform of an offer was taken: the transform that came closest, and what was wrong with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProposalMismatch {
    /// Number of the proposal in the offer.
    pub proposal: u8,
    /// Number of the transform in it.
    pub transform: u8,
    /// What did not match.
    pub attribute: MismatchedAttribute,
    /// Our value: of the local proposal that came closest. `None` if we wanted the attribute absent.
    pub ours: Option<u32>,
    /// The peer's value; `None` if it was absent.
    pub theirs: Option<u32>,
}

/// What of a transform did not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MismatchedAttribute {
    /// The protocol of the proposal.
    Protocol,
    /// The number of the transform (its cipher, in phase 2).
    TransformId,
    /// A phase 1 attribute.
    Phase1(Phase1Attribute),
    /// A phase 2 attribute.
    Ipsec(IpsecAttribute),
    /// Several protocols that must be used together (RFC 2408 §4.2): not supported.
    Bundle,
    /// An attribute occurs twice with different values.
    Repeated,
}

/// Which client identities found no child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectorMismatch {
    /// What the peer asked for, seen from here: `local` is our side.
    pub asked: TrafficSelectors,
    /// Whether any child has the same local side (then the remote one is the culprit).
    pub local_known: bool,
    /// Whether any child has the same remote side.
    pub remote_known: bool,
}

/// What we have not enough of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Capacity {
    /// Slots for IKE SAs.
    IkeSas,
    /// Slots for exchanges.
    Exchanges,
    /// Slots for child SAs.
    ChildSas,
    /// Room for a message of this many bytes.
    Message(usize),
    /// Half-open IKE SAs, all together or from one source.
    HalfOpen,
    /// Diffie-Hellman operations a second for peers that proved nothing.
    DiffieHellmanRate,
    /// Exchanges under one IKE SA.
    ExchangesPerIkeSa,
    /// Message ids under one IKE SA: it has to be renewed first.
    MessageIds,
    /// An algorithm that was negotiated is not in the tables any more.
    Algorithm,
    /// Randomness: the generator gives what is in use, or zeros, again and again.
    Randomness,
}

/// The host asked for something that cannot be. Never caused by a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiError {
    /// No peer with this number.
    NoSuchPeer,
    /// The peer has no child with this number.
    NoSuchChild,
    /// The handle names nothing any more.
    Stale,
    /// The IKE SA is not established.
    NotEstablished,
    /// Addresses of two families, or an address where the peer cannot be.
    Path,
    /// Nothing to propose.
    NoProposals,
    /// A proposal names an algorithm that is not in the tables.
    UnknownAlgorithm,
    /// No room.
    Capacity(Capacity),
    /// The storage has no slots of some kind, or buffers below 576 bytes.
    Storage,
    /// Aggressive mode with proposals of several groups: the public value goes with the proposals, so there can be only
    /// one group.
    SeveralGroups,
}

/// Why an exchange ended without what it was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The peer did not answer our message with this number, 1 to 6 in main mode, 1 to 3 otherwise, in spite of
    /// all retransmissions. No answer to main mode message 5, the first encrypted one, is most often a
    /// mismatch of the pre-shared keys.
    NoAnswer {
        /// The exchange.
        exchange: ExchangeType,
        /// The number of the message.
        message: u8,
        /// A notify that came in the clear meanwhile. It proves nothing, and may be the reason.
        hint: Option<NotifyType>,
    },
    /// The peer said so, under the protection of the IKE SA, or of the keys of the phase 1 that it ends.
    PeerRefused(NotifyType),
    /// We found something wrong.
    Error(Error),
    /// The IKE SA below ended.
    IkeSaDown,
    /// The host took it back.
    Cancelled,
}

/// Why a datagram changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Discard {
    /// The bytes are wrong.
    Malformed(Malformed),
    /// The protocol is wrong.
    PeerMisbehaved(PeerMisbehaved),
    /// We do not want it.
    Refused(Refusal),
    /// We have no room for it.
    Capacity(Capacity),
    /// No SA with these cookies.
    UnknownSa,
    /// The same datagram as before; the answer is sent again if the protocol has one.
    Duplicate,
    /// From an address where the peer has not been.
    WrongAddress,
    /// Does not decrypt to a chain of payloads: the keys differ, most often the pre-shared ones.
    Undecryptable,
    /// Decrypts, but its hash is wrong.
    Unauthenticated,
    /// Notifies in the clear change nothing; this one was noted as a hint.
    Hint(NotifyType),
    /// The exchange is computing and takes no message now.
    Busy,
}

impl Error {
    /// The notify that tells the peer, if it is to be told (RFC 2408 §5). What fails authentication is met with
    /// silence, and so is what we have no room for.
    #[must_use]
    pub const fn notify(&self) -> Option<NotifyType> {
        Some(match self {
            Self::Malformed(_) => NotifyType::PAYLOAD_MALFORMED,
            Self::PeerMisbehaved(misbehaved) => match misbehaved {
                PeerMisbehaved::MissingPayload(_)
                | PeerMisbehaved::TooManyPayloads(_)
                | PeerMisbehaved::PayloadOrder(_) => NotifyType::PAYLOAD_MALFORMED,
                PeerMisbehaved::UnexpectedPayload(_) => NotifyType::INVALID_PAYLOAD_TYPE,
                PeerMisbehaved::NotEncrypted | PeerMisbehaved::Encrypted => {
                    NotifyType::INVALID_FLAGS
                }
                PeerMisbehaved::UnexpectedExchange(_) => NotifyType::INVALID_EXCHANGE_TYPE,
                PeerMisbehaved::MessageId(_) | PeerMisbehaved::MessageIdReused(_) => {
                    NotifyType::INVALID_MESSAGE_ID
                }
                PeerMisbehaved::ChosenNotProposed | PeerMisbehaved::SeveralChosen => {
                    NotifyType::BAD_PROPOSAL_SYNTAX
                }
                PeerMisbehaved::NonceLength(_) => NotifyType::PAYLOAD_MALFORMED,
                PeerMisbehaved::Reflected => return None,
                PeerMisbehaved::PublicValue(_) => NotifyType::INVALID_KEY_INFORMATION,
                PeerMisbehaved::LoneIdentity | PeerMisbehaved::IdentitiesChanged => {
                    NotifyType::INVALID_ID_INFORMATION
                }
                PeerMisbehaved::Spi => NotifyType::INVALID_SPI,
            },
            Self::Refused(refusal) => match refusal {
                Refusal::Proposal(_) | Refusal::NoPeer => NotifyType::NO_PROPOSAL_CHOSEN,
                Refusal::Selectors(_) | Refusal::Identity(_) => NotifyType::INVALID_ID_INFORMATION,
                Refusal::Exchange(_) | Refusal::AggressiveMode => {
                    NotifyType::UNSUPPORTED_EXCHANGE_TYPE
                }
                Refusal::Doi(_) => NotifyType::DOI_NOT_SUPPORTED,
                Refusal::Situation(_) => NotifyType::SITUATION_NOT_SUPPORTED,
                Refusal::Rejected => NotifyType::NO_PROPOSAL_CHOSEN,
                Refusal::Authentication | Refusal::Unconfigured | Refusal::NoCredentials => {
                    return None;
                }
            },
            Self::Capacity(_) => return None,
        })
    }
}

impl From<Malformed> for Error {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<PeerMisbehaved> for Error {
    fn from(misbehaved: PeerMisbehaved) -> Self {
        Self::PeerMisbehaved(misbehaved)
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Capacity> for Error {
    fn from(capacity: Capacity) -> Self {
        Self::Capacity(capacity)
    }
}

impl From<BufferTooSmall> for Error {
    fn from(small: BufferTooSmall) -> Self {
        Self::Capacity(Capacity::Message(small.needed))
    }
}

impl From<Error> for Discard {
    fn from(error: Error) -> Self {
        match error {
            Error::Malformed(malformed) => Self::Malformed(malformed),
            Error::PeerMisbehaved(misbehaved) => Self::PeerMisbehaved(misbehaved),
            Error::Refused(refusal) => Self::Refused(refusal),
            Error::Capacity(capacity) => Self::Capacity(capacity),
        }
    }
}

impl From<Malformed> for Discard {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

impl From<PeerMisbehaved> for Discard {
    fn from(misbehaved: PeerMisbehaved) -> Self {
        Self::PeerMisbehaved(misbehaved)
    }
}

impl From<Capacity> for ApiError {
    fn from(capacity: Capacity) -> Self {
        Self::Capacity(capacity)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}
