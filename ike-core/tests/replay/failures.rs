//! Recorded sessions that fail, and those that begin what this crate does not speak: XAUTH and signatures.

use core::time::Duration;

use ike_core::config::{Config, Limits, PeerConfig, PeerId, Phase1Proposal, Secret, Timing};
use ike_core::crypto::SOFTWARE;
use ike_core::error::{Discard, Error, Failure, MismatchedAttribute, ProposalMismatch, Refusal};
use ike_core::event::{Event, Role};
use ike_core::wire::numbers::{
    AuthenticationMethod, EspTransformId, ExchangeType, GroupDescription, HashAlgorithm,
    NotifyType, PayloadType, Phase1Attribute, ProtocolId,
};
use ike_core::wire::{HEADER_LEN, Header, NotifyPayload};
use ike_core::{Context, Endpoint, Instant, Path, Resources};

use crate::player::Player;
use crate::recorded::sessions;
use crate::script::Script;
use crate::session::{End, Session, payloads};

const FAIL_PSK: &str = include_str!("../vectors/sessions/fail-psk.json");
const FAIL_PROP: &str = include_str!("../vectors/sessions/fail-prop.json");
const MULTI_CHILD: &str = include_str!("../vectors/sessions/multi-child.json");

/// The first message that is encrypted, whose key is wrong.
const FIFTH: usize = 4;

#[test]
fn a_wrong_psk_as_responder_is_met_with_silence() {
    let session = Session::read(FAIL_PSK);
    let mut player = Player::new(&session, End::B);
    (0..FIFTH).for_each(|index| player.step(index));
    // SKEYID and the keys are those of the recorded responder, who had the same other key.
    player.check_keys();
    // Each of the initiator's retransmissions, too.
    let sent_by_a = |index: &usize| session.messages[*index].from == End::A;
    let fifth: Vec<usize> = (FIFTH..session.messages.len()).filter(sent_by_a).collect();
    assert_eq!(fifth.len(), 4);
    for index in fifth {
        assert_eq!(player.feed(index), Err(Discard::Undecryptable));
    }
    assert!(player.outbox.is_empty() && player.events.is_empty(), "{:?}", player.events);
    player.pass(Duration::from_secs(60));
    assert_eq!(player.endpoint.ike_sas().count(), 0);
    assert!(player.outbox.is_empty());
}

#[test]
fn a_wrong_psk_as_initiator_ends_without_an_answer() {
    let session = Session::read(FAIL_PSK);
    let mut player = Player::new(&session, End::A);
    (0..=FIFTH).for_each(|index| player.step(index));
    player.check_keys();
    // What the responder says comes encrypted under another key: it would end the exchange, if it were authentic.
    for (index, message) in session.messages.iter().enumerate().skip(FIFTH) {
        if message.from == End::B {
            assert_eq!(player.feed(index), Err(Discard::Undecryptable));
        }
    }
    // Retransmissions are the same bytes, as the recorded ones are.
    for _ in 0..100 {
        player.pass(Duration::from_millis(500));
    }
    assert_eq!(player.outbox.len(), 5);
    for (path, datagram) in &player.outbox {
        assert!(path.encap);
        assert_eq!(datagram[4..], session.messages[FIFTH].datagram);
    }
    let (exchange, message) = (ExchangeType::IDENTITY_PROTECTION, 5);
    let expected = Failure::NoAnswer { exchange, message, hint: None };
    assert!(
        matches!(player.events[..], [Event::Failed { reason, .. }] if reason == expected),
        "{:?}",
        player.events
    );
    assert_eq!(player.endpoint.ike_sas().count(), 0);
}

#[test]
fn a_refused_proposal_as_initiator_is_kept_as_a_hint() {
    let session = Session::read(FAIL_PROP);
    let mut player = Player::new(&session, End::A);
    player.step(0);
    let hint = NotifyType::NO_PROPOSAL_CHOSEN;
    assert_eq!(player.feed(1), Err(Discard::Hint(hint)));
    let [Event::Hint { notify, authenticated: false, .. }] = player.events[..] else {
        panic!("{:?}", player.events)
    };
    assert_eq!(notify, hint);
    player.events.clear();
    for _ in 0..100 {
        player.pass(Duration::from_millis(500));
    }
    let (exchange, message) = (ExchangeType::IDENTITY_PROTECTION, 1);
    let expected = Failure::NoAnswer { exchange, message, hint: Some(hint) };
    assert!(
        matches!(player.events[..], [Event::Failed { reason, .. }] if reason == expected),
        "{:?}",
        player.events
    );
}

#[test]
fn a_refused_proposal_as_responder_is_answered_with_the_same_notify() {
    let session = Session::read(FAIL_PROP);
    let [offer, refusal] = &session.messages[..] else { panic!("two messages") };
    let proposals = [Phase1Proposal {
        cipher: ike_core::config::Phase1Cipher::AesCbc(256),
        hash: HashAlgorithm::SHA2_512,
        group: GroupDescription::MODP_4096,
    }];
    let (mismatch, sent) = refused(&proposals, &offer.datagram);
    assert_eq!(mismatch.attribute, attribute(Phase1Attribute::KEY_LENGTH));
    assert_eq!((mismatch.ours, mismatch.theirs), (Some(256), Some(128)));
    let header = Header::parse(&sent).unwrap();
    let ours = payloads(header.next_payload, &sent[HEADER_LEN..]);
    let recorded = refusal.payloads();
    assert_eq!(
        (header.exchange, header.flags),
        (refusal.header().exchange, refusal.header().flags)
    );
    assert_eq!(header.cookies.initiator, refusal.header().cookies.initiator);
    // The recorded one names cookies, where we have made none.
    let [ours, recorded] = [&ours, &recorded].map(|payloads| {
        let [(PayloadType::NOTIFICATION, body)] = &payloads[..] else { panic!("{payloads:?}") };
        let notify = NotifyPayload::parse(body, 0).unwrap();
        (notify.doi, notify.protocol, notify.kind, notify.data.to_vec())
    });
    assert_eq!(ours, recorded);
    assert_eq!((ours.1, ours.2), (ProtocolId::ISAKMP, NotifyType::NO_PROPOSAL_CHOSEN));
}

/// The third child of that session is about AES-CTR, which this crate does not have; ours wants AES-CBC.
#[test]
fn an_unknown_esp_transform_is_refused_under_the_ike_sa() {
    let session = Session::read(MULTI_CHILD);
    let mut player = Player::new(&session, End::B);
    let is_offer = |message: &crate::session::Message| message.unsupported;
    let offer = session.messages.iter().position(is_offer).expect("the offer");
    (0..offer).for_each(|index| player.step(index));
    player.outbox.clear();
    player.events.clear();
    let up = player.endpoint.child_sas().filter(|child| child.up).count();
    let result = player.receive_refused(offer);
    let Err(Discard::Refused(Refusal::Proposal(mismatch))) = result else { panic!("{result:?}") };
    assert_eq!(mismatch.attribute, MismatchedAttribute::TransformId);
    assert_eq!(mismatch.ours, Some(EspTransformId::AES_CBC.0.into()));
    assert_eq!(mismatch.theirs, Some(EspTransformId::AES_CTR.0.into()));
    let [Event::Failed { role: Role::Responder, reason: Failure::Error(reason), .. }] =
        player.events[..]
    else {
        panic!("{:?}", player.events)
    };
    assert_eq!(result, Err(reason.into()));
    assert_eq!(player.outbox.len(), 1, "the peer is told");
    // The other pairs are as they were.
    assert_eq!(player.endpoint.child_sas().filter(|child| child.up).count(), up);
    assert!(up > 0);
}

#[test]
fn xauth_is_refused_by_the_authentication_attribute() {
    let aes256 = Phase1Proposal {
        cipher: ike_core::config::Phase1Cipher::AesCbc(256),
        hash: HashAlgorithm::SHA2_256,
        group: GroupDescription::MODP_2048,
    };
    let [apple, strongswan] = ["xauth-mode-config-apple", "main-xauth-psk"].map(first_message);
    for datagram in [apple, strongswan] {
        refused_for_its_method(&aes256, &datagram, 65_001);
    }
}

#[test]
fn signatures_are_refused_by_the_authentication_attribute() {
    let aes256 = Phase1Proposal {
        cipher: ike_core::config::Phase1Cipher::AesCbc(256),
        hash: HashAlgorithm::SHA2_256,
        group: GroupDescription::MODP_2048,
    };
    let rsa = AuthenticationMethod::RSA_SIGNATURES.0;
    refused_for_its_method(&aes256, &first_message("main-rsa-frag"), rsa);
    #[cfg(feature = "legacy")]
    {
        let old = Phase1Proposal {
            cipher: ike_core::config::Phase1Cipher::TripleDesCbc,
            hash: HashAlgorithm::MD5,
            group: GroupDescription::MODP_1024,
        };
        refused_for_its_method(&old, &first_message("rsa-signatures-openswan-juniper"), rsa);
    }
}

fn first_message(name: &str) -> Vec<u8> {
    let session = sessions().into_iter().find(|session| session.name == name).expect("a session");
    session.messages[0].datagram.clone()
}

/// All of the proposal is right but for the method.
fn refused_for_its_method(proposal: &Phase1Proposal, datagram: &[u8], method: u16) {
    let (mismatch, _) = refused(core::slice::from_ref(proposal), datagram);
    assert_eq!(mismatch.attribute, attribute(Phase1Attribute::AUTHENTICATION_METHOD));
    assert_eq!(mismatch.ours, Some(AuthenticationMethod::PRE_SHARED_KEY.0.into()));
    assert_eq!(mismatch.theirs, Some(method.into()));
}

const fn attribute(attribute: Phase1Attribute) -> MismatchedAttribute {
    MismatchedAttribute::Phase1(attribute)
}

/// A responder with these proposals, and a first message that it refuses: why, and what it answers.
fn refused(proposals: &[Phase1Proposal], datagram: &[u8]) -> (ProposalMismatch, Vec<u8>) {
    let path = Path {
        local: "192.0.2.2:500".parse().unwrap(),
        remote: "192.0.2.1:500".parse().unwrap(),
        encap: false,
    };
    let psk = Secret::Bytes(b"interop-psk-0123456789");
    let (local, remote) = (path.local.ip(), path.remote.ip());
    let peers = [PeerConfig::new(PeerId(1), local, remote, psk, proposals, &[])];
    let (timing, limits) = (Timing::default(), Limits::default());
    let config = Config { peers: &peers, crypto: &SOFTWARE, timing, limits };
    let mut script = Script::default();
    let mut resources = Box::new(Resources::<2, 2, 2, 2048>::new());
    let mut endpoint = Endpoint::new(resources.storage(), &mut script).expect("storage");
    let mut cx = Context { now: Instant::from_millis(0), rng: &mut script, config: &config };
    let result = endpoint.handle_datagram(&mut cx, path, &mut datagram.to_vec());
    let Err(Discard::Refused(Refusal::Proposal(mismatch))) = result else { panic!("{result:?}") };
    let expected = Failure::Error(Error::Refused(Refusal::Proposal(mismatch)));
    let event = endpoint.poll_event();
    assert!(matches!(event, Some(Event::Failed { reason, .. }) if reason == expected), "{event:?}");
    assert_eq!(endpoint.ike_sas().count(), 0);
    let answer = endpoint.poll_transmit().expect("an answer");
    (mismatch, answer.datagram.to_vec())
}
