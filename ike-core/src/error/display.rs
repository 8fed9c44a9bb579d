//! What the errors say to people. One line each, without a full stop; the types say the same to programs.

use core::fmt::{self, Display, Formatter};

use super::{
    ApiError, Capacity, Discard, Error, Failure, MismatchedAttribute, PeerMisbehaved,
    ProposalMismatch, Refusal, SelectorMismatch,
};
use crate::crypto::PublicValueError;
use crate::wire::numbers::{
    AuthenticationAlgorithm, AuthenticationMethod, EncapsulationMode, EncryptionAlgorithm,
    EspTransformId, ExchangeType, GroupDescription, HashAlgorithm, IpsecAttribute, LifeType,
    Phase1Attribute, ProtocolId,
};

impl Display for Error {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => write!(f, "malformed: {malformed}"),
            Self::PeerMisbehaved(misbehaved) => misbehaved.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Capacity(capacity) => capacity.fmt(f),
        }
    }
}

impl Display for PeerMisbehaved {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingPayload(payload) => write!(f, "the message lacks its payload {payload}"),
            Self::UnexpectedPayload(payload) => {
                write!(f, "payload {payload} has no place in the message")
            }
            Self::TooManyPayloads(payload) => write!(f, "too many payloads {payload}"),
            Self::PayloadOrder(payload) => write!(f, "payload {payload} is not where it must be"),
            Self::NotEncrypted => f.write_str("the message is not encrypted"),
            Self::Encrypted => f.write_str("the message is encrypted and must not be"),
            Self::UnexpectedExchange(exchange) => write!(f, "{exchange} has no place here"),
            Self::MessageId(id) => write!(f, "message ID {id:08x} has no place here"),
            Self::ChosenNotProposed => f.write_str("the peer chose what was not proposed"),
            Self::SeveralChosen => f.write_str("the peer chose more than one transform"),
            Self::NonceLength(length) => write!(f, "a nonce of {length} bytes"),
            Self::Reflected => f.write_str("our own value came back"),
            Self::PublicValue(PublicValueError::Length { expected, given }) => {
                write!(f, "a public value of {given} bytes where the group has {expected}")
            }
            Self::PublicValue(_) => f.write_str("a public value that no honest peer sends"),
            Self::LoneIdentity => f.write_str("one client identity without the other"),
            Self::IdentitiesChanged => f.write_str("the answer names other networks than we did"),
            Self::Spi => f.write_str("an impossible SPI"),
            Self::MessageIdReused(id) => write!(f, "message ID {id:08x} was used before"),
        }
    }
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proposal(mismatch) => mismatch.fmt(f),
            Self::Selectors(mismatch) => mismatch.fmt(f),
            Self::Identity(kind) => {
                write!(f, "the peer is not who it has to be (it sent an {kind} identity)")
            }
            Self::Authentication => f.write_str("authentication failed: often a PSK mismatch"),
            Self::NoPeer => f.write_str("no peer is configured for this address"),
            Self::Unconfigured => f.write_str("the peer is not in the configuration any more"),
            Self::NoCredentials => f.write_str("there is no key for this peer"),
            Self::AggressiveMode => f.write_str("aggressive mode is not allowed with this peer"),
            Self::Exchange(exchange) => write!(f, "{exchange} is not supported"),
            Self::Doi(doi) => write!(f, "DOI {doi} is not supported"),
            Self::Situation(situation) => write!(f, "situation {situation:#x} is not supported"),
            Self::Rejected => f.write_str("rejected by the host"),
        }
    }
}

impl Display for ProposalMismatch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no proposal fits; the closest is proposal {} transform {}: {}: ours {}, theirs {}",
            self.proposal,
            self.transform,
            self.attribute,
            Value(self.attribute, self.ours),
            Value(self.attribute, self.theirs)
        )
    }
}

impl Display for MismatchedAttribute {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Protocol => f.write_str("protocol"),
            Self::TransformId => f.write_str("transform"),
            Self::Phase1(attribute) => attribute.fmt(f),
            Self::Ipsec(attribute) => attribute.fmt(f),
            Self::Bundle => f.write_str("several protocols in one proposal"),
            Self::Repeated => f.write_str("an attribute with two values"),
        }
    }
}

/// The value of an attribute by the name that its registry gives it.
struct Value(MismatchedAttribute, Option<u32>);

impl Display for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(attribute, Some(value)) = *self else { return f.write_str("none") };
        let small = u16::try_from(value);
        let byte = u8::try_from(value);
        match (attribute, small, byte) {
            (MismatchedAttribute::Protocol, _, Ok(value)) => ProtocolId(value).fmt(f),
            (MismatchedAttribute::TransformId, _, Ok(value)) => EspTransformId(value).fmt(f),
            (MismatchedAttribute::Phase1(attribute), Ok(value), _) => match attribute {
                Phase1Attribute::ENCRYPTION_ALGORITHM => EncryptionAlgorithm(value).fmt(f),
                Phase1Attribute::HASH_ALGORITHM => HashAlgorithm(value).fmt(f),
                Phase1Attribute::AUTHENTICATION_METHOD => AuthenticationMethod(value).fmt(f),
                Phase1Attribute::GROUP_DESCRIPTION => GroupDescription(value).fmt(f),
                Phase1Attribute::LIFE_TYPE => LifeType(value).fmt(f),
                _ => value.fmt(f),
            },
            (MismatchedAttribute::Ipsec(attribute), Ok(value), _) => match attribute {
                IpsecAttribute::AUTHENTICATION_ALGORITHM => AuthenticationAlgorithm(value).fmt(f),
                IpsecAttribute::ENCAPSULATION_MODE => EncapsulationMode(value).fmt(f),
                IpsecAttribute::GROUP_DESCRIPTION => GroupDescription(value).fmt(f),
                IpsecAttribute::LIFE_TYPE => LifeType(value).fmt(f),
                _ => value.fmt(f),
            },
            _ => value.fmt(f),
        }
    }
}

impl Display for SelectorMismatch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "no child is configured for {}: ", self.asked)?;
        match (self.local_known, self.remote_known) {
            (true, false) => write!(f, "the remote side {} is unknown", self.asked.remote),
            (false, true) => write!(f, "the local side {} is unknown", self.asked.local),
            (false, false) => f.write_str("neither side is known"),
            (true, true) => f.write_str("both sides are known, but not together"),
        }
    }
}

impl Display for Capacity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::IkeSas => f.write_str("no room for another IKE SA"),
            Self::Exchanges => f.write_str("no room for another exchange"),
            Self::ChildSas => f.write_str("no room for another child SA"),
            Self::Message(needed) => write!(f, "the message needs a buffer of {needed} bytes"),
            Self::HalfOpen => f.write_str("too many half-open IKE SAs"),
            Self::DiffieHellmanRate => {
                f.write_str("too many Diffie-Hellman operations for unproven peers")
            }
            Self::ExchangesPerIkeSa => f.write_str("too many exchanges under this IKE SA"),
            Self::MessageIds => f.write_str("the IKE SA has used up its message IDs"),
            Self::Algorithm => f.write_str("the algorithm is not in the tables"),
            Self::Randomness => f.write_str("the generator of randomness is stuck"),
        }
    }
}

impl Display for ApiError {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchPeer => f.write_str("no peer with this number"),
            Self::NoSuchChild => f.write_str("the peer has no child with this number"),
            Self::Stale => f.write_str("the handle names nothing any more"),
            Self::NotEstablished => f.write_str("the IKE SA is not established"),
            Self::Path => f.write_str("the path does not lead to the peer"),
            Self::NoProposals => f.write_str("nothing to propose"),
            Self::UnknownAlgorithm => {
                f.write_str("a proposal names an algorithm that is not in the tables")
            }
            Self::Capacity(capacity) => capacity.fmt(f),
            Self::Storage => {
                f.write_str("the storage lacks slots of some kind, or its buffers are too small")
            }
            Self::SeveralGroups => f.write_str("aggressive mode can propose one group only"),
        }
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer { exchange: ExchangeType::IDENTITY_PROTECTION, message: 5, hint } => {
                f.write_str("no answer to the first encrypted message: often a PSK mismatch")?;
                hint.map_or(Ok(()), |hint| write!(f, "; somebody said {hint}, in the clear"))
            }
            Self::NoAnswer { exchange, message, hint } => {
                write!(f, "no answer to message {message} of {exchange}")?;
                // HASH_R is in this message: who finds it wrong goes away, and cannot tell why under a key of ours.
                if (*exchange, *message) == (ExchangeType::AGGRESSIVE, 2) {
                    f.write_str(": often a PSK mismatch")?;
                }
                hint.map_or(Ok(()), |hint| write!(f, "; somebody said {hint}, in the clear"))
            }
            Self::PeerRefused(notify) => write!(f, "the peer says {notify}"),
            Self::Error(error) => error.fmt(f),
            Self::IkeSaDown => f.write_str("the IKE SA ended"),
            Self::Cancelled => f.write_str("taken back"),
        }
    }
}

impl Display for Discard {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(malformed) => write!(f, "malformed: {malformed}"),
            Self::PeerMisbehaved(misbehaved) => misbehaved.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Capacity(capacity) => capacity.fmt(f),
            Self::UnknownSa => f.write_str("no IKE SA with these cookies"),
            Self::Duplicate => f.write_str("the same as before"),
            Self::WrongAddress => f.write_str("from an address where the peer has not been"),
            Self::Undecryptable => f.write_str("does not decrypt: often a PSK mismatch"),
            Self::Unauthenticated => f.write_str("its hash is wrong"),
            Self::Hint(notify) => write!(f, "{notify} in the clear proves nothing"),
            Self::Busy => f.write_str("the exchange is computing"),
        }
    }
}

impl core::error::Error for ApiError {}
impl core::error::Error for Discard {}
impl core::error::Error for Error {}
impl core::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use super::*;
    use crate::wire::numbers::NotifyType;

    #[test]
    fn a_failure_names_what_did_not_match() {
        let mismatch = ProposalMismatch {
            proposal: 1,
            transform: 2,
            attribute: MismatchedAttribute::Phase1(Phase1Attribute::HASH_ALGORITHM),
            ours: Some(4),
            theirs: Some(6),
        };
        assert_eq!(
            Failure::Error(Error::Refused(Refusal::Proposal(mismatch))).to_string(),
            "no proposal fits; the closest is proposal 1 transform 2: hash: ours SHA-256, theirs SHA-512"
        );
    }

    #[test]
    fn silence_tells_where_it_began() {
        let silence = |message, hint| Failure::NoAnswer {
            exchange: ExchangeType::IDENTITY_PROTECTION,
            message,
            hint,
        };
        let aggressive =
            Failure::NoAnswer { exchange: ExchangeType::AGGRESSIVE, message: 2, hint: None };
        assert_eq!(
            aggressive.to_string(),
            "no answer to message 2 of aggressive mode: often a PSK mismatch"
        );
        assert_eq!(
            silence(5, None).to_string(),
            "no answer to the first encrypted message: often a PSK mismatch"
        );
        assert_eq!(
            silence(1, Some(NotifyType::NO_PROPOSAL_CHOSEN)).to_string(),
            "no answer to message 1 of main mode; somebody said NO-PROPOSAL-CHOSEN, in the clear"
        );
    }
}
