//! The SA payload of phase 1: what we propose, which transform we choose, and whether an answer is one of ours.
//! RFC 2409 §4 and Appendix A; RFC 2408 §4.2.

use crate::config::{
    Config, Lifetime, Limits, PeerConfig, Phase1Cipher, Phase1Proposal, Preference,
};
use crate::crypto::Crypto;
use crate::error::{Error, MismatchedAttribute, PeerMisbehaved};
use crate::lifetime::{self, Agreed, LifetimeReader, Wish};
use crate::offer::{self, Near};
use crate::wire::numbers::{
    AuthenticationMethod, Doi, EncryptionAlgorithm, GroupDescription, HashAlgorithm,
    IsakmpTransformId, Phase1Attribute, ProtocolId,
};
use crate::wire::{AttributesWriter, MessageWriter, Payload, SITUATION_IDENTITY_ONLY, Transform};

/// RFC 2407 §4.2 wants IPsec in phase 1 too; some peers say ISAKMP there.
const PHASE1_DOIS: &[Doi] = &[Doi::IPSEC, Doi::ISAKMP];

/// The algorithms of an IKE SA. All zero until they are agreed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suite {
    pub(crate) encryption: EncryptionAlgorithm,
    /// Value of the key length attribute in bits, 0 where the cipher has none.
    pub(crate) key_bits: u16,
    pub(crate) hash: HashAlgorithm,
    pub(crate) group: GroupDescription,
}

impl Suite {
    pub(crate) const NONE: Self = Self {
        encryption: EncryptionAlgorithm(0),
        key_bits: 0,
        hash: HashAlgorithm(0),
        group: GroupDescription(0),
    };
}

impl From<Phase1Proposal> for Suite {
    fn from(proposal: Phase1Proposal) -> Self {
        let (encryption, key_bits) = match proposal.cipher {
            Phase1Cipher::AesCbc(bits) => (EncryptionAlgorithm::AES_CBC, bits),
            #[cfg(feature = "legacy")]
            Phase1Cipher::TripleDesCbc => (EncryptionAlgorithm::TRIPLE_DES_CBC, 0),
        };
        Self { encryption, key_bits, hash: proposal.hash, group: proposal.group }
    }
}

/// A transform that was taken, with what follows from it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen {
    pub(crate) suite: Suite,
    pub(crate) agreed: Agreed,
}

/// Appends our SA payload: one proposal, a transform for each entry of the peer's configuration.
pub(crate) fn propose(
    message: &mut MessageWriter<'_>,
    peer: &PeerConfig<'_>,
    proposals: &[Phase1Proposal],
) -> Result<core::ops::Range<usize>, Error> {
    let mut sa = message.sa(Doi::IPSEC, SITUATION_IDENTITY_ONLY)?;
    let mut proposal = sa.proposal(peer.first_proposal(), ProtocolId::ISAKMP, &[])?;
    for (number, suite) in (1_u8..=u8::MAX).zip(proposals) {
        let mut attributes = proposal.transform(number, IsakmpTransformId::KEY_IKE.0)?;
        emit_suite(&mut attributes, Suite::from(*suite), peer.lifetime)?;
    }
    Ok(sa.body())
}

/// Attributes may come in any order; this is strongSwan's.
fn emit_suite(
    attributes: &mut AttributesWriter<'_, '_>,
    suite: Suite,
    lifetime: Lifetime,
) -> Result<(), Error> {
    attributes.attribute_tv(Phase1Attribute::ENCRYPTION_ALGORITHM.0, suite.encryption.0)?;
    if suite.key_bits != 0 {
        attributes.attribute_tv(Phase1Attribute::KEY_LENGTH.0, suite.key_bits)?;
    }
    attributes.attribute_tv(Phase1Attribute::HASH_ALGORITHM.0, suite.hash.0)?;
    attributes.attribute_tv(Phase1Attribute::GROUP_DESCRIPTION.0, suite.group.0)?;
    attributes.attribute_tv(
        Phase1Attribute::AUTHENTICATION_METHOD.0,
        AuthenticationMethod::PRE_SHARED_KEY.0,
    )?;
    lifetime::emit(
        attributes,
        Phase1Attribute::LIFE_TYPE.0,
        Phase1Attribute::LIFE_DURATION.0,
        lifetime,
    )?;
    Ok(())
}

/// Chooses a transform of the peer's SA payload, as responder. Returns it as it was received, for the answer.
pub(crate) fn choose<'a>(
    payload: Payload<'a>,
    peer: &PeerConfig<'_>,
    config: &Config<'_>,
) -> Result<(Chosen, u8, Transform<'a>), Error> {
    let sa = offer::parse(payload, PHASE1_DOIS)?;
    let wish = Wish {
        policy: peer.lifetime_policy,
        ours: peer.lifetime,
        shortest: config.limits.shortest_lifetime,
    };
    let mut nearest: Option<Near> = None;
    let mut best: Option<(usize, Chosen, u8, Transform<'a>)> = None;
    for proposal in sa.proposals() {
        let proposal = proposal?;
        for transform in proposal.transforms() {
            let transform = transform?;
            let offered = Offered::read(&transform)?;
            for (rank, ours) in peer.proposals.iter().enumerate() {
                let ours = Suite::from(*ours);
                let verdict = if proposal.protocol != ProtocolId::ISAKMP {
                    Err(Near::new(
                        0,
                        MismatchedAttribute::Protocol,
                        Some(1),
                        Some(proposal.protocol.0.into()),
                    ))
                } else if !is_known(config.crypto, ours) {
                    continue;
                } else {
                    offered.matches(ours, transform.id).and_then(|()| offered.agree(&wish))
                };
                match verdict {
                    Ok(agreed) => {
                        let chosen = Chosen { suite: ours, agreed };
                        match peer.preference {
                            Preference::Initiator => {
                                return Ok((chosen, proposal.number, transform));
                            }
                            Preference::Responder => {
                                if best.as_ref().is_none_or(|(found, ..)| rank < *found) {
                                    best = Some((rank, chosen, proposal.number, transform));
                                }
                            }
                        }
                    }
                    Err(near) => Near::keep(&mut nearest, near, proposal.number, transform.number),
                }
            }
        }
    }
    best.map(|(_, chosen, number, transform)| (chosen, number, transform))
        .ok_or_else(|| Near::refusal(nearest))
}

/// Whether a responder's SA payload is one of our own transforms, as initiator (RFC 2408 §4.2: exactly one, its
/// attributes unchanged).
pub(crate) fn check_answer(
    payload: Payload<'_>,
    peer: &PeerConfig<'_>,
    limits: &Limits,
) -> Result<Chosen, Error> {
    let (proposal, transform) = offer::only(&offer::parse(payload, PHASE1_DOIS)?)?;
    if proposal.protocol != ProtocolId::ISAKMP {
        return Err(PeerMisbehaved::ChosenNotProposed.into());
    }
    let offered = Offered::read(&transform)?;
    let mut ours = peer.proposals.iter().map(|ours| Suite::from(*ours));
    let suite = ours
        .find(|ours| offered.matches(*ours, transform.id).is_ok())
        .ok_or(PeerMisbehaved::ChosenNotProposed)?;
    // Some peers answer with a shorter lifetime of their own instead of ours; that is harmless.
    let lifetime = Wish::of_initiator(peer.lifetime, limits).accept(offered.lifetime());
    Ok(Chosen { suite, agreed: Agreed { lifetime, tell: false } })
}

pub(crate) fn is_known(crypto: &Crypto, suite: Suite) -> bool {
    crypto.cipher(suite.encryption, suite.key_bits).is_some()
        && crypto.hash(suite.hash).is_some()
        && crypto.group(suite.group).is_some()
}

/// What a transform of the peer's says.
#[derive(Clone, Copy, Debug, Default)]
struct Offered {
    encryption: Option<u32>,
    key_bits: Option<u32>,
    hash: Option<u32>,
    method: Option<u32>,
    group: Option<u32>,
    prf: Option<u32>,
    /// An attribute that we cannot take into account and must not ignore.
    unsupported: Option<(Phase1Attribute, u32)>,
    repeated: bool,
    lifetime: LifetimeReader,
}

impl Offered {
    fn read(transform: &Transform<'_>) -> Result<Self, Error> {
        let mut offered = Self::default();
        for attribute in transform.attributes() {
            let attribute = attribute?;
            let value = attribute.as_u32().unwrap_or(u32::MAX);
            let place = match Phase1Attribute(attribute.kind) {
                Phase1Attribute::ENCRYPTION_ALGORITHM => &mut offered.encryption,
                Phase1Attribute::KEY_LENGTH => &mut offered.key_bits,
                Phase1Attribute::HASH_ALGORITHM => &mut offered.hash,
                Phase1Attribute::AUTHENTICATION_METHOD => &mut offered.method,
                Phase1Attribute::GROUP_DESCRIPTION => &mut offered.group,
                Phase1Attribute::PRF => &mut offered.prf,
                Phase1Attribute::LIFE_TYPE => {
                    offered.lifetime.life_type(&attribute);
                    continue;
                }
                Phase1Attribute::LIFE_DURATION => {
                    offered.lifetime.duration(&attribute);
                    continue;
                }
                // Sent beside a group description by some; 1 is MODP and 2 is ECP, which the description says too.
                Phase1Attribute::GROUP_TYPE => continue,
                other => {
                    offered.unsupported = Some((other, value));
                    continue;
                }
            };
            if place.replace(value).is_some() {
                offered.repeated = true;
            }
        }
        Ok(offered)
    }

    /// Compares attribute by attribute; on failure, the first that differs and how many agreed before it.
    fn matches(&self, ours: Suite, transform_id: u8) -> Result<(), Near> {
        if transform_id != IsakmpTransformId::KEY_IKE.0 {
            let attribute = MismatchedAttribute::TransformId;
            return Err(Near::new(0, attribute, Some(1), Some(transform_id.into())));
        }
        if self.repeated {
            return Err(Near::new(0, MismatchedAttribute::Repeated, None, None));
        }
        let key_bits = (ours.key_bits != 0).then_some(u32::from(ours.key_bits));
        let rows = [
            (
                Phase1Attribute::ENCRYPTION_ALGORITHM,
                Some(ours.encryption.0.into()),
                self.encryption,
            ),
            (Phase1Attribute::KEY_LENGTH, key_bits, self.key_bits),
            (Phase1Attribute::HASH_ALGORITHM, Some(ours.hash.0.into()), self.hash),
            (
                Phase1Attribute::AUTHENTICATION_METHOD,
                Some(AuthenticationMethod::PRE_SHARED_KEY.0.into()),
                self.method,
            ),
            (Phase1Attribute::GROUP_DESCRIPTION, Some(ours.group.0.into()), self.group),
            (Phase1Attribute::PRF, None, self.prf),
        ];
        for (agreed, (attribute, ours, theirs)) in (1_u8..).zip(rows) {
            if ours != theirs {
                return Err(Near::new(
                    agreed,
                    MismatchedAttribute::Phase1(attribute),
                    ours,
                    theirs,
                ));
            }
        }
        if let Some((attribute, value)) = self.unsupported {
            return Err(Near::new(7, MismatchedAttribute::Phase1(attribute), None, Some(value)));
        }
        Ok(())
    }

    /// The lifetime, once everything else agrees.
    fn agree(&self, wish: &Wish) -> Result<Agreed, Near> {
        wish.agree(self.lifetime()).map_err(|(ours, theirs)| {
            let attribute = MismatchedAttribute::Phase1(Phase1Attribute::LIFE_DURATION);
            Near::new(8, attribute, Some(ours), Some(theirs))
        })
    }

    fn lifetime(&self) -> Lifetime {
        self.lifetime.finish(lifetime::DEFAULT)
    }
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};

    use super::*;
    use crate::config::{PeerId, Secret, Timing};
    use crate::crypto::SOFTWARE;
    use crate::endpoint::header;
    use crate::error::{ProposalMismatch, Refusal};
    use crate::wire::numbers::{ExchangeType, PayloadType};
    use crate::wire::{Cookie, CookiePair};

    const A: Phase1Proposal = Phase1Proposal {
        cipher: Phase1Cipher::AesCbc(128),
        hash: HashAlgorithm::SHA2_256,
        group: GroupDescription::CURVE25519,
    };
    const B: Phase1Proposal = Phase1Proposal { cipher: Phase1Cipher::AesCbc(256), ..A };

    fn peer(proposals: &[Phase1Proposal]) -> PeerConfig<'_> {
        let (psk, any) = (Secret::Bytes(b"key"), IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        PeerConfig::new(PeerId(1), any, any, psk, proposals, &[])
    }

    /// What becomes of an offer of ours at a peer: the numbers of proposal and transform, and the algorithms.
    fn chosen(
        offered: &[Phase1Proposal],
        ours: &[Phase1Proposal],
        preference: Preference,
        crypto: &Crypto,
    ) -> Result<(u8, u8, Suite), Error> {
        let cookies = CookiePair { initiator: Cookie([1; 8]), responder: Cookie::ZERO };
        let head = header(cookies, ExchangeType::IDENTITY_PROTECTION, 0, false);
        let mut buffer = [0; 512];
        let mut message = MessageWriter::new(&mut buffer, &head).unwrap();
        let range = propose(&mut message, &peer(offered), offered).unwrap();
        let (kind, offset) = (PayloadType::SA, range.start);
        let payload = Payload { kind, body: &message.written()[range], offset };
        let peer = PeerConfig { preference, ..peer(ours) };
        let peers = [peer];
        let (timing, limits) = (Timing::DEFAULT, Limits::DEFAULT);
        let config = Config { peers: &peers, crypto, timing, limits };
        choose(payload, &peer, &config)
            .map(|(chosen, proposal, transform)| (proposal, transform.number, chosen.suite))
    }

    #[test]
    fn the_order_of_whoever_is_preferred_counts() {
        use Preference::{Initiator, Responder};
        for (preference, offered, ours, number, taken) in [
            (Initiator, &[A, B][..], &[B, A], 1, A),
            (Responder, &[A, B], &[B, A], 2, B),
            (Responder, &[B, A], &[B, A], 1, B),
            // Of two that are the same the first.
            (Responder, &[A, B, B], &[B, A], 2, B),
        ] {
            let chosen = chosen(offered, ours, preference, &SOFTWARE).unwrap();
            assert_eq!(chosen, (1, number, taken.into()), "{preference:?} {offered:?} {ours:?}");
        }
    }

    #[test]
    fn the_first_that_came_furthest_is_named() {
        let other_group = Phase1Proposal { group: GroupDescription::ECP_256, ..A };
        let third_group = Phase1Proposal { group: GroupDescription::ECP_384, ..A };
        let other_hash = Phase1Proposal { hash: HashAlgorithm::SHA2_512, ..A };
        let offered = [B, other_group, other_hash, third_group];
        let expected = Refusal::Proposal(ProposalMismatch {
            proposal: 1,
            transform: 2,
            attribute: MismatchedAttribute::Phase1(Phase1Attribute::GROUP_DESCRIPTION),
            ours: Some(GroupDescription::CURVE25519.0.into()),
            theirs: Some(GroupDescription::ECP_256.0.into()),
        });
        let result = chosen(&offered, &[A], Preference::Initiator, &SOFTWARE);
        assert_eq!(result, Err(expected.into()));
    }

    /// A proposal of ours counts only if all three of its algorithms are in the tables.
    #[test]
    fn what_a_table_lacks_is_not_chosen() {
        let whole = SOFTWARE;
        for (crypto, taken) in [
            (whole, true),
            (Crypto { ciphers: &[], ..whole }, false),
            (Crypto { hashes: &[], ..whole }, false),
            (Crypto { groups: &[], ..whole }, false),
        ] {
            let result = chosen(&[A], &[A], Preference::Initiator, &crypto);
            assert_eq!(result.is_ok(), taken, "{result:?}");
        }
    }
}
