//! Recorded sessions decrypted, XAUTH and RSA signatures among them: the IV chain of each exchange by RFC 2409
//! Appendix B, whatever the padding and whoever sends.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

#[path = "vectors/read.rs"]
mod read;
#[path = "vectors/recorded.rs"]
mod recorded;

use std::collections::HashMap;

use ike_core::crypto::{CbcCipher, Prf, SOFTWARE};
use ike_core::keys::{Iv, Nonces, Phase1Transcript, Skeyid};
use ike_core::wire::numbers::{EncryptionAlgorithm, HashAlgorithm, PayloadType};
use ike_core::wire::{HEADER_LEN, Header, Payloads};
use read::{hex, number, vectors};
use recorded::{Message, Session, sessions};
use serde_json::Value;

/// The session and the algorithms of a vector; `None` if this build has no such algorithms.
fn setting(vector: &Value) -> Option<(Session, &'static dyn Prf, &'static dyn CbcCipher)> {
    let prf = SOFTWARE.hash(HashAlgorithm(number(vector, "hash")));
    let cipher = EncryptionAlgorithm(number(vector, "cipher"));
    let cipher = SOFTWARE.cipher(cipher, number(vector, "key_bits"));
    assert!(cfg!(not(feature = "legacy")) || (prf.is_some() && cipher.is_some()));
    let of_name = |session: &Session| vector["session"] == session.name.as_str();
    let session = sessions().into_iter().find(of_name).expect("a recorded session");
    Some((session, prf?, cipher?))
}

#[test]
fn every_encrypted_message_becomes_its_plaintext() {
    let mut decrypted = 0;
    for vector in vectors(include_str!("vectors/recorded_keys.json")) {
        let Some((session, prf, cipher)) = setting(&vector) else { continue };
        let key = hex(&vector["cipher_key"]);
        // The first IV is the head of a hash over both public values.
        let public = |from: &str| {
            let of = |message: &&Message| message.from == from && body(message, KE).is_some();
            session.messages.iter().find(of).and_then(|message| body(message, KE)).unwrap()
        };
        let mut phase1 = Iv::phase1(prf, cipher, &public("initiator"), &public("responder"));
        assert_eq!(phase1.as_slice(), hex(&vector["iv"]), "{}", session.name);
        let mut exchanges = HashMap::new();
        for message in &session.messages {
            let Some(expected) = &message.plaintext else { continue };
            let header = message.header();
            let chain = match header.message_id {
                0 => &mut phase1,
                id => exchanges.entry(id).or_insert_with(|| phase1.phase2(prf, id)),
            };
            let mut text = message.datagram[HEADER_LEN..].to_vec();
            let next = chain.next(&text).expect("at least a block");
            cipher.decrypt(&key, chain.as_slice(), &mut text).unwrap();
            assert_eq!(text, *expected, "{}: {header:?}", session.name);
            *chain = next;
            decrypted += 1;
        }
    }
    assert!(decrypted >= 50, "only {decrypted} messages");
}

/// The hashes of an XAUTH client and its gateway are those of a pre-shared key.
#[test]
fn both_hashes_of_a_recorded_xauth_session_verify() {
    let all = vectors(include_str!("vectors/recorded_keys.json"));
    let vector = all.iter().find(|vector| vector["session"] == "xauth-mode-config-apple").unwrap();
    let (session, prf, _) = setting(vector).expect("no legacy algorithm");
    let [sa_i, _, third, fourth, fifth, sixth, ..] = &session.messages[..] else {
        panic!("main mode has six messages")
    };
    let part = |message: &Message, kind| body(message, kind).expect("the payload");
    let (nonce_i, nonce_r) = (part(third, PayloadType::NONCE), part(fourth, PayloadType::NONCE));
    let cookies = sixth.header().cookies;
    let mut skeyid = Skeyid::empty();
    // SKEYID does not depend on g^xy, which nobody knows any more.
    let nonces = Nonces { initiator: &nonce_i, responder: &nonce_r };
    skeyid.derive_from_psk(prf, &hex(&vector["psk"]), nonces, &[], &cookies);
    assert_eq!(skeyid.root(), hex(&vector["skeyid"]));
    let (public_i, public_r) = (part(third, KE), part(fourth, KE));
    let sa_i_body = part(sa_i, PayloadType::SA);
    let transcript = Phase1Transcript {
        public_i: &public_i,
        public_r: &public_r,
        cookies,
        sa_i_body: &sa_i_body,
    };
    let hash_i = transcript.hash_i(prf, &skeyid, &part(fifth, PayloadType::ID));
    let hash_r = transcript.hash_r(prf, &skeyid, &part(sixth, PayloadType::ID));
    assert!(hash_i.verify(&part(fifth, PayloadType::HASH)));
    assert!(hash_r.verify(&part(sixth, PayloadType::HASH)));
}

const KE: PayloadType = PayloadType::KEY_EXCHANGE;

/// The body of the first payload of a kind, of a message in the clear or decrypted.
fn body(message: &Message, kind: PayloadType) -> Option<Vec<u8>> {
    let Header { next_payload, .. } = message.header();
    let payloads = Payloads::new(next_payload, message.chain()?, HEADER_LEN);
    let found = payloads.map(Result::unwrap).find(|payload| payload.kind == kind);
    found.map(|payload| payload.body.to_vec())
}
