//! The SA payload of quick mode: ESP transforms, proposed, chosen and checked. RFC 2407 §4.4.4 and §4.5.

use esp_core::{Aead, BlockCipher, Integrity, Mode, Spi, Transform as EspTransform};

use crate::config::{ChildConfig, EspProposal, Lifetime, Limits, PeerConfig, Preference};
use crate::error::{Error, MismatchedAttribute, PeerMisbehaved};
use crate::lifetime::{self, Agreed, LifetimeReader, Wish};
use crate::natt::NatMethod;
use crate::offer::{self, Near};
use crate::wire::numbers::{
    AuthenticationAlgorithm, Doi, EncapsulationMode, EspTransformId, GroupDescription,
    IpsecAttribute, ProtocolId,
};
use crate::wire::{
    AttributesWriter, MessageWriter, Payload, Proposal, SITUATION_IDENTITY_ONLY, SaBody, Transform,
};

/// An ESP transform as the wire names it. All zero until it is agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EspSuite {
    /// [`EspTransformId`].
    id: u8,
    /// Key length in bits, 0 where the attribute is absent.
    key_bits: u16,
    /// [`AuthenticationAlgorithm`], 0 where the attribute is absent.
    authentication: u16,
    pub(crate) esn: bool,
    /// The peer cuts HMAC-SHA2-256 to 96 bits.
    cut: bool,
}

impl EspSuite {
    pub(crate) fn new(proposal: EspProposal) -> Self {
        let (id, key_bits, authentication) = match proposal.transform {
            EspTransform::CbcHmac(cipher, integrity) => {
                let (id, bits) = match cipher {
                    BlockCipher::Aes128 => (EspTransformId::AES_CBC, 128),
                    BlockCipher::Aes192 => (EspTransformId::AES_CBC, 192),
                    BlockCipher::Aes256 => (EspTransformId::AES_CBC, 256),
                    #[cfg(feature = "legacy")]
                    BlockCipher::TripleDes => (EspTransformId::TRIPLE_DES, 0),
                    _ => (EspTransformId(0), 0),
                };
                (id, bits, authentication(integrity))
            }
            EspTransform::NullHmac(integrity) => {
                (EspTransformId::NULL, 0, authentication(integrity))
            }
            EspTransform::Aead(aead) => {
                let (id, bits) = match aead {
                    Aead::Aes128Gcm16 => (EspTransformId::AES_GCM_16, 128),
                    Aead::Aes192Gcm16 => (EspTransformId::AES_GCM_16, 192),
                    Aead::Aes256Gcm16 => (EspTransformId::AES_GCM_16, 256),
                    Aead::Aes128Gmac => (EspTransformId::NULL_AUTH_AES_GMAC, 128),
                    Aead::Aes192Gmac => (EspTransformId::NULL_AUTH_AES_GMAC, 192),
                    Aead::Aes256Gmac => (EspTransformId::NULL_AUTH_AES_GMAC, 256),
                    Aead::ChaCha20Poly1305 => (EspTransformId::CHACHA20_POLY1305, 0),
                    _ => (EspTransformId(0), 0),
                };
                (id, bits, 0)
            }
            _ => (EspTransformId(0), 0, 0),
        };
        Self {
            id: id.0,
            key_bits,
            authentication,
            esn: proposal.esn,
            cut: is_cut(proposal.transform),
        }
    }

    /// The same with HMAC-SHA2-256 cut to 96 bits: the wire has no name for it, so it is the peer's configuration that
    /// says so.
    #[cfg(feature = "legacy")]
    pub(crate) const fn with_sha256_96(self) -> Self {
        Self { cut: true, ..self }
    }

    /// The transform for the data plane; `None` while nothing is agreed.
    pub(crate) fn transform(&self) -> Option<EspTransform> {
        let transform = match (EspTransformId(self.id), self.key_bits) {
            (EspTransformId::AES_CBC, 128) => self.cbc_hmac(BlockCipher::Aes128)?,
            (EspTransformId::AES_CBC, 192) => self.cbc_hmac(BlockCipher::Aes192)?,
            (EspTransformId::AES_CBC, 256) => self.cbc_hmac(BlockCipher::Aes256)?,
            #[cfg(feature = "legacy")]
            (EspTransformId::TRIPLE_DES, 0) => self.cbc_hmac(BlockCipher::TripleDes)?,
            (EspTransformId::NULL, 0) => EspTransform::NullHmac(self.integrity()?),
            (EspTransformId::AES_GCM_16, 128) => EspTransform::Aead(Aead::Aes128Gcm16),
            (EspTransformId::AES_GCM_16, 192) => EspTransform::Aead(Aead::Aes192Gcm16),
            (EspTransformId::AES_GCM_16, 256) => EspTransform::Aead(Aead::Aes256Gcm16),
            (EspTransformId::NULL_AUTH_AES_GMAC, 128) => EspTransform::Aead(Aead::Aes128Gmac),
            (EspTransformId::NULL_AUTH_AES_GMAC, 192) => EspTransform::Aead(Aead::Aes192Gmac),
            (EspTransformId::NULL_AUTH_AES_GMAC, 256) => EspTransform::Aead(Aead::Aes256Gmac),
            (EspTransformId::CHACHA20_POLY1305, 0) => EspTransform::Aead(Aead::ChaCha20Poly1305),
            _ => return None,
        };
        Some(transform)
    }

    fn cbc_hmac(&self, cipher: BlockCipher) -> Option<EspTransform> {
        Some(EspTransform::CbcHmac(cipher, self.integrity()?))
    }

    fn integrity(&self) -> Option<Integrity> {
        Some(match AuthenticationAlgorithm(self.authentication) {
            AuthenticationAlgorithm::HMAC_SHA1 => Integrity::HmacSha1_96,
            #[cfg(feature = "legacy")]
            AuthenticationAlgorithm::HMAC_SHA2_256 if self.cut => Integrity::HmacSha256_96,
            AuthenticationAlgorithm::HMAC_SHA2_256 => Integrity::HmacSha256_128,
            AuthenticationAlgorithm::HMAC_SHA2_384 => Integrity::HmacSha384_192,
            AuthenticationAlgorithm::HMAC_SHA2_512 => Integrity::HmacSha512_256,
            #[cfg(feature = "legacy")]
            AuthenticationAlgorithm::HMAC_MD5 => Integrity::HmacMd5_96,
            _ => return None,
        })
    }
}

const fn authentication(integrity: Integrity) -> u16 {
    match integrity {
        Integrity::HmacSha1_96 => AuthenticationAlgorithm::HMAC_SHA1.0,
        Integrity::HmacSha256_128 => AuthenticationAlgorithm::HMAC_SHA2_256.0,
        Integrity::HmacSha384_192 => AuthenticationAlgorithm::HMAC_SHA2_384.0,
        Integrity::HmacSha512_256 => AuthenticationAlgorithm::HMAC_SHA2_512.0,
        #[cfg(feature = "legacy")]
        Integrity::HmacMd5_96 => AuthenticationAlgorithm::HMAC_MD5.0,
        #[cfg(feature = "legacy")]
        Integrity::HmacSha256_96 => AuthenticationAlgorithm::HMAC_SHA2_256.0,
        _ => 0,
    }
}

/// Whether the transform cuts HMAC-SHA2-256 short: the wire has no name for that.
const fn is_cut(transform: EspTransform) -> bool {
    match transform {
        #[cfg(feature = "legacy")]
        EspTransform::CbcHmac(_, integrity) | EspTransform::NullHmac(integrity) => {
            matches!(integrity, Integrity::HmacSha256_96)
        }
        _ => false,
    }
}

/// How ESP is to be carried.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encapsulation {
    pub(crate) mode: Mode,
    pub(crate) method: NatMethod,
    pub(crate) udp: bool,
}

impl Encapsulation {
    /// The value to propose.
    pub(crate) const fn attribute(self) -> EncapsulationMode {
        match (self.udp, self.mode) {
            (true, mode) => self.method.udp_mode(mode),
            (false, Mode::Tunnel) => EncapsulationMode::TUNNEL,
            (false, Mode::Transport) => EncapsulationMode::TRANSPORT,
        }
    }

    /// Whether the peer's value means the same. Some peers use the drafts' numbers with RFC 3947, and the other way.
    fn is(self, value: u32) -> bool {
        let same = |mode: EncapsulationMode| value == u32::from(mode.0);
        match (self.udp, self.mode) {
            (false, Mode::Tunnel) => same(EncapsulationMode::TUNNEL),
            (false, Mode::Transport) => same(EncapsulationMode::TRANSPORT),
            (true, Mode::Tunnel) => {
                same(EncapsulationMode::UDP_TUNNEL) || same(EncapsulationMode::UDP_TUNNEL_DRAFT)
            }
            (true, Mode::Transport) => {
                same(EncapsulationMode::UDP_TRANSPORT)
                    || same(EncapsulationMode::UDP_TRANSPORT_DRAFT)
            }
        }
    }
}

/// A transform that was taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Chosen {
    pub(crate) suite: EspSuite,
    pub(crate) agreed: Agreed,
    pub(crate) spi: Spi,
}

/// Appends our SA payload: one ESP proposal, a transform for each entry of the child's configuration.
pub(crate) fn propose(
    message: &mut MessageWriter<'_>,
    first_number: u8,
    child: &ChildConfig<'_>,
    encapsulation: Encapsulation,
    spi: Spi,
) -> Result<(), Error> {
    let mut sa = message.sa(Doi::IPSEC, SITUATION_IDENTITY_ONLY)?;
    let mut proposal = sa.proposal(first_number, ProtocolId::ESP, &spi.to_be_bytes())?;
    for (number, proposed) in (1_u8..=u8::MAX).zip(child.proposals) {
        let suite = EspSuite::new(*proposed);
        let mut attributes = proposal.transform(number, suite.id)?;
        emit_suite(&mut attributes, suite, child, encapsulation)?;
    }
    Ok(())
}

/// Attributes may come in any order; this is strongSwan's.
fn emit_suite(
    attributes: &mut AttributesWriter<'_, '_>,
    suite: EspSuite,
    child: &ChildConfig<'_>,
    encapsulation: Encapsulation,
) -> Result<(), Error> {
    if suite.key_bits != 0 {
        attributes.attribute_tv(IpsecAttribute::KEY_LENGTH.0, suite.key_bits)?;
    }
    if suite.authentication != 0 {
        attributes
            .attribute_tv(IpsecAttribute::AUTHENTICATION_ALGORITHM.0, suite.authentication)?;
    }
    if let Some(group) = child.pfs {
        attributes.attribute_tv(IpsecAttribute::GROUP_DESCRIPTION.0, group.0)?;
    }
    attributes.attribute_tv(IpsecAttribute::ENCAPSULATION_MODE.0, encapsulation.attribute().0)?;
    lifetime::emit(
        attributes,
        IpsecAttribute::LIFE_TYPE.0,
        IpsecAttribute::LIFE_DURATION.0,
        child.lifetime,
    )?;
    if suite.esn {
        // RFC 4304 §2: present and 1 for extended sequence numbers, else absent.
        attributes.attribute_tv(IpsecAttribute::EXTENDED_SEQUENCE_NUMBER.0, 1)?;
    }
    Ok(())
}

/// Chooses a transform of the peer's offer, as responder.
pub(crate) fn choose<'a>(
    payload: Payload<'a>,
    peer: &PeerConfig<'_>,
    child: &ChildConfig<'_>,
    encapsulation: Encapsulation,
    limits: &Limits,
) -> Result<(Chosen, u8, Transform<'a>), Error> {
    let sa = offer::parse(payload, &[Doi::IPSEC])?;
    let wish = Wish {
        policy: peer.lifetime_policy,
        ours: child.lifetime,
        shortest: limits.shortest_lifetime,
    };
    let mut nearest: Option<Near> = None;
    let mut best: Option<(usize, Chosen, u8, Transform<'a>)> = None;
    for proposal in sa.proposals() {
        let proposal = proposal?;
        if proposal.protocol != ProtocolId::ESP || is_bundled(&sa, &proposal)? {
            let attribute = if proposal.protocol == ProtocolId::ESP {
                MismatchedAttribute::Bundle
            } else {
                MismatchedAttribute::Protocol
            };
            let theirs = Some(proposal.protocol.0.into());
            let near = Near::new(0, attribute, Some(ProtocolId::ESP.0.into()), theirs);
            Near::keep(&mut nearest, near, proposal.number, 0);
            continue;
        }
        let spi = spi(&proposal)?;
        for transform in proposal.transforms() {
            let transform = transform?;
            let offered = Offered::read(&transform)?;
            for (rank, ours) in child.proposals.iter().enumerate() {
                let suite = EspSuite::new(*ours);
                let verdict = offered.matches(suite, transform.id, child, encapsulation);
                match verdict.and_then(|()| offered.agree(&wish)) {
                    Ok(agreed) => {
                        let chosen = Chosen { suite, agreed, spi };
                        if peer.preference == Preference::Initiator {
                            return Ok((chosen, proposal.number, transform));
                        }
                        if best.as_ref().is_none_or(|(found, ..)| rank < *found) {
                            best = Some((rank, chosen, proposal.number, transform));
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

/// Whether the responder's SA payload is one of our transforms, as initiator.
pub(crate) fn check_answer(
    payload: Payload<'_>,
    child: &ChildConfig<'_>,
    encapsulation: Encapsulation,
    limits: &Limits,
) -> Result<Chosen, Error> {
    let (proposal, transform) = offer::only(&offer::parse(payload, &[Doi::IPSEC])?)?;
    if proposal.protocol != ProtocolId::ESP {
        return Err(PeerMisbehaved::ChosenNotProposed.into());
    }
    let spi = spi(&proposal)?;
    let offered = Offered::read(&transform)?;
    let mut ours = child.proposals.iter().map(|ours| EspSuite::new(*ours));
    let suite = ours
        .find(|ours| offered.matches(*ours, transform.id, child, encapsulation).is_ok())
        .ok_or(PeerMisbehaved::ChosenNotProposed)?;
    let lifetime = Wish::of_initiator(child.lifetime, limits).accept(offered.lifetime());
    Ok(Chosen { suite, agreed: Agreed { lifetime, tell: false }, spi })
}

/// Whether another proposal has the same number: then both are meant together (RFC 2408 §4.2), ESP with AH, say.
fn is_bundled(sa: &SaBody<'_>, proposal: &Proposal<'_>) -> Result<bool, Error> {
    for other in sa.proposals() {
        let other = other?;
        if other.number == proposal.number && other.offset != proposal.offset {
            return Ok(true);
        }
    }
    Ok(false)
}

fn spi(proposal: &Proposal<'_>) -> Result<Spi, Error> {
    <[u8; 4]>::try_from(proposal.spi)
        .ok()
        .and_then(|spi| Spi::new(u32::from_be_bytes(spi)))
        .ok_or(PeerMisbehaved::Spi.into())
}

/// What a transform of the peer's says.
#[derive(Clone, Copy, Debug, Default)]
struct Offered {
    key_bits: Option<u32>,
    authentication: Option<u32>,
    group: Option<u32>,
    mode: Option<u32>,
    esn: Option<u32>,
    unsupported: Option<(IpsecAttribute, u32)>,
    repeated: bool,
    lifetime: LifetimeReader,
}

impl Offered {
    fn read(transform: &Transform<'_>) -> Result<Self, Error> {
        let mut offered = Self::default();
        for attribute in transform.attributes() {
            let attribute = attribute?;
            let value = attribute.as_u32().unwrap_or(u32::MAX);
            let place = match IpsecAttribute(attribute.kind) {
                IpsecAttribute::KEY_LENGTH => &mut offered.key_bits,
                IpsecAttribute::AUTHENTICATION_ALGORITHM => &mut offered.authentication,
                IpsecAttribute::GROUP_DESCRIPTION => &mut offered.group,
                IpsecAttribute::ENCAPSULATION_MODE => &mut offered.mode,
                IpsecAttribute::EXTENDED_SEQUENCE_NUMBER => &mut offered.esn,
                IpsecAttribute::LIFE_TYPE => {
                    offered.lifetime.life_type(&attribute);
                    continue;
                }
                IpsecAttribute::LIFE_DURATION => {
                    offered.lifetime.duration(&attribute);
                    continue;
                }
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

    fn matches(
        &self,
        ours: EspSuite,
        transform_id: u8,
        child: &ChildConfig<'_>,
        encapsulation: Encapsulation,
    ) -> Result<(), Near> {
        if transform_id != ours.id {
            let attribute = MismatchedAttribute::TransformId;
            return Err(Near::new(1, attribute, Some(ours.id.into()), Some(transform_id.into())));
        }
        if self.repeated {
            return Err(Near::new(0, MismatchedAttribute::Repeated, None, None));
        }
        let present = |value: u16| (value != 0).then_some(u32::from(value));
        let esn = match self.esn {
            Some(0) | None => None,
            other => other,
        };
        let group = child.pfs.map(|GroupDescription(group)| u32::from(group));
        let rows = [
            (IpsecAttribute::KEY_LENGTH, present(ours.key_bits), self.key_bits),
            (
                IpsecAttribute::AUTHENTICATION_ALGORITHM,
                present(ours.authentication),
                self.authentication,
            ),
            (IpsecAttribute::EXTENDED_SEQUENCE_NUMBER, ours.esn.then_some(1), esn),
            (IpsecAttribute::GROUP_DESCRIPTION, group, self.group),
        ];
        for (agreed, (attribute, ours, theirs)) in (2_u8..).zip(rows) {
            if ours != theirs {
                return Err(Near::new(agreed, MismatchedAttribute::Ipsec(attribute), ours, theirs));
            }
        }
        // RFC 2407 §4.5 leaves an absent mode to the host; nobody sends that, and guessing is worse than refusing.
        if !self.mode.is_some_and(|mode| encapsulation.is(mode)) {
            let attribute = MismatchedAttribute::Ipsec(IpsecAttribute::ENCAPSULATION_MODE);
            let ours = Some(encapsulation.attribute().0.into());
            return Err(Near::new(6, attribute, ours, self.mode));
        }
        if let Some((attribute, value)) = self.unsupported {
            return Err(Near::new(7, MismatchedAttribute::Ipsec(attribute), None, Some(value)));
        }
        Ok(())
    }

    /// The lifetime, once everything else agrees.
    fn agree(&self, wish: &Wish) -> Result<Agreed, Near> {
        wish.agree(self.lifetime()).map_err(|(ours, theirs)| {
            let attribute = MismatchedAttribute::Ipsec(IpsecAttribute::LIFE_DURATION);
            Near::new(8, attribute, Some(ours), Some(theirs))
        })
    }

    fn lifetime(&self) -> Lifetime {
        self.lifetime.finish(lifetime::DEFAULT)
    }
}

/// Whether this build can protect packets so.
pub(crate) fn is_known(proposal: &EspProposal) -> bool {
    EspSuite::new(*proposal).transform() == Some(proposal.transform)
}

#[cfg(test)]
mod tests {
    use core::net::{IpAddr, Ipv4Addr};
    use std::vec::Vec;

    use esp_core::{Addresses, PolicyId, TrafficSelectors};

    use super::*;
    use crate::config::{ChildId, PeerId, Secret};
    use crate::endpoint::header;
    use crate::error::{ProposalMismatch, Refusal};
    use crate::wire::numbers::{ExchangeType, PayloadType};
    use crate::wire::{Cookie, CookiePair};

    const A: EspProposal = EspProposal {
        transform: EspTransform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha256_128),
        esn: false,
    };
    const B: EspProposal = EspProposal {
        transform: EspTransform::CbcHmac(BlockCipher::Aes256, Integrity::HmacSha256_128),
        ..A
    };
    const TUNNEL: Encapsulation =
        Encapsulation { mode: Mode::Tunnel, method: NatMethod::None, udp: false };

    fn child(proposals: &[EspProposal]) -> ChildConfig<'_> {
        ChildConfig {
            id: ChildId(1),
            policy: PolicyId(1),
            selectors: TrafficSelectors::between(Addresses::Any, Addresses::Any),
            mode: Mode::Tunnel,
            proposals,
            pfs: None,
            lifetime: Lifetime::PHASE2,
            replay_window: 64,
        }
    }

    /// What becomes of an SA payload at a peer: the numbers of proposal and transform, and the algorithms.
    fn chosen_of(
        payload: Payload<'_>,
        ours: &[EspProposal],
        preference: Preference,
        encapsulation: Encapsulation,
    ) -> Result<(u8, u8, EspTransform), Error> {
        let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let peer = PeerConfig::new(PeerId(1), any, any, Secret::Bytes(b"key"), &[], &[]);
        let peer = PeerConfig { preference, ..peer };
        choose(payload, &peer, &child(ours), encapsulation, &Limits::DEFAULT).map(
            |(chosen, proposal, transform)| {
                (proposal, transform.number, chosen.suite.transform().unwrap())
            },
        )
    }

    /// Writes an SA payload and reads it.
    fn written<R>(
        write: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), Error>,
        read: impl FnOnce(Payload<'_>) -> R,
    ) -> R {
        let cookies = CookiePair { initiator: Cookie([1; 8]), responder: Cookie([2; 8]) };
        let mut buffer = [0; 1024];
        let mut message =
            MessageWriter::new(&mut buffer, &header(cookies, ExchangeType::QUICK_MODE, 1, false))
                .unwrap();
        write(&mut message).unwrap();
        let (_, written) = message.written().split_at(crate::wire::HEADER_LEN);
        let mut payloads = crate::wire::Payloads::new(PayloadType::SA, written, 0);
        read(payloads.next().unwrap().unwrap())
    }

    fn chosen(
        offered: &[EspProposal],
        ours: &[EspProposal],
        preference: Preference,
    ) -> Result<(u8, u8, EspTransform), Error> {
        let spi = Spi::new(0x1234).unwrap();
        written(
            |message| propose(message, 1, &child(offered), TUNNEL, spi),
            |payload| chosen_of(payload, ours, preference, TUNNEL),
        )
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
            let chosen = chosen(offered, ours, preference).unwrap();
            assert_eq!(chosen, (1, number, taken.transform), "{preference:?} {offered:?} {ours:?}");
        }
    }

    #[test]
    fn the_first_that_came_furthest_is_named() {
        let hmac = |integrity| EspProposal {
            transform: EspTransform::CbcHmac(BlockCipher::Aes128, integrity),
            ..A
        };
        let offered = [B, hmac(Integrity::HmacSha1_96), B, hmac(Integrity::HmacSha512_256)];
        let expected = Refusal::Proposal(ProposalMismatch {
            proposal: 1,
            transform: 2,
            attribute: MismatchedAttribute::Ipsec(IpsecAttribute::AUTHENTICATION_ALGORITHM),
            ours: Some(AuthenticationAlgorithm::HMAC_SHA2_256.0.into()),
            theirs: Some(AuthenticationAlgorithm::HMAC_SHA1.0.into()),
        });
        assert_eq!(chosen(&offered, &[A], Preference::Initiator), Err(expected.into()));
    }

    /// ESP transforms that there is a number for: what is proposed is what comes out at the other end.
    #[test]
    fn every_transform_is_understood_at_the_other_end() {
        let hmacs = [
            Integrity::HmacSha1_96,
            Integrity::HmacSha256_128,
            Integrity::HmacSha384_192,
            Integrity::HmacSha512_256,
            #[cfg(feature = "legacy")]
            Integrity::HmacMd5_96,
            #[cfg(feature = "legacy")]
            Integrity::HmacSha256_96,
        ];
        let ciphers = [
            BlockCipher::Aes128,
            BlockCipher::Aes192,
            BlockCipher::Aes256,
            #[cfg(feature = "legacy")]
            BlockCipher::TripleDes,
        ];
        let aeads = [
            Aead::Aes128Gcm16,
            Aead::Aes192Gcm16,
            Aead::Aes256Gcm16,
            Aead::Aes128Gmac,
            Aead::Aes192Gmac,
            Aead::Aes256Gmac,
            Aead::ChaCha20Poly1305,
        ];
        let cbc = ciphers.iter().flat_map(|cipher| {
            hmacs.iter().map(|integrity| EspTransform::CbcHmac(*cipher, *integrity))
        });
        let null = hmacs.iter().map(|integrity| EspTransform::NullHmac(*integrity));
        let all: Vec<_> = cbc.chain(null).chain(aeads.map(EspTransform::Aead)).collect();
        for transform in all {
            let proposal = EspProposal { transform, esn: false };
            assert!(is_known(&proposal), "{transform:?}");
            let result = chosen(&[proposal], &[proposal], Preference::Initiator);
            assert_eq!(result, Ok((1, 1, transform)));
        }
    }

    /// RFC 2407 §4.5 and RFC 3947 §5.1: tunnel and transport mode, in UDP and not, are four numbers; the drafts have two
    /// more, which mean the same as those of the RFC.
    #[test]
    fn a_mode_is_taken_for_what_it_is() {
        let carried = |mode, udp, method| Encapsulation { mode, method, udp };
        let (none, rfc, draft) = (NatMethod::None, NatMethod::Rfc3947, NatMethod::Draft02);
        let all = [
            (carried(Mode::Tunnel, false, none), 1, 1),
            (carried(Mode::Transport, false, none), 2, 2),
            (carried(Mode::Tunnel, true, rfc), 3, 3),
            (carried(Mode::Transport, true, rfc), 4, 4),
            (carried(Mode::Tunnel, true, draft), 61_443, 3),
            (carried(Mode::Transport, true, draft), 61_444, 4),
        ];
        for (offered, number, means) in all {
            assert_eq!(offered.attribute().0, number);
            for (ours, _, wanted) in all {
                let spi = Spi::new(0x1234).unwrap();
                let result = written(
                    |message| propose(message, 1, &child(&[A]), offered, spi),
                    |payload| chosen_of(payload, &[A], Preference::Initiator, ours),
                );
                assert_eq!(result.is_ok(), means == wanted, "{offered:?} {ours:?}");
            }
        }
    }

    /// RFC 2408 §4.2: proposals of one number are meant together. ESP with AH is more than we have; ESP alone, under another
    /// number, is not.
    #[test]
    fn a_bundle_is_refused_as_a_bundle() {
        let refused = |attribute, proposal| {
            let (ours, theirs) = (Some(ProtocolId::ESP.0.into()), Some(proposal));
            Err(Error::from(Refusal::Proposal(ProposalMismatch {
                proposal: 1,
                transform: 0,
                attribute,
                ours,
                theirs,
            })))
        };
        let (ah, esp) = (ProtocolId::AH, ProtocolId::ESP);
        for (proposals, expected) in [
            (&[(1, esp)][..], Ok((1, 1, A.transform))),
            (&[(1, esp), (1, ah)], refused(MismatchedAttribute::Bundle, 3)),
            (&[(1, ah), (1, esp)], refused(MismatchedAttribute::Protocol, 2)),
            (&[(1, ah)], refused(MismatchedAttribute::Protocol, 2)),
            (&[(1, esp), (1, ah), (2, esp)], Ok((2, 1, A.transform))),
        ] {
            let write = |message: &mut MessageWriter<'_>| {
                let mut sa = message.sa(Doi::IPSEC, SITUATION_IDENTITY_ONLY)?;
                for (number, protocol) in proposals {
                    let mut proposal = sa.proposal(*number, *protocol, &[0, 0, 0x12, 0x34])?;
                    let suite = EspSuite::new(A);
                    let mut attributes = proposal.transform(1, suite.id)?;
                    emit_suite(&mut attributes, suite, &child(&[A]), TUNNEL)?;
                }
                Ok(())
            };
            let result =
                written(write, |payload| chosen_of(payload, &[A], Preference::Initiator, TUNNEL));
            assert_eq!(result, expected, "{proposals:?}");
        }
    }
}
