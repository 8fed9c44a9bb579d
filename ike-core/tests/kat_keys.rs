//! Keys, IVs and hashes: the NIST samples, and every value of recorded sessions with other implementations.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use esp_core::{KeyMaterial, Spi};
use ike_core::crypto::{CbcCipher, Prf, SOFTWARE};
use ike_core::keys::{
    CipherKey, Iv, KeyError, Nonces, Phase1Transcript, Skeyid, derive_keymat, hash_1, hash_2,
    hash_3,
};
use ike_core::wire::numbers::{EncryptionAlgorithm, HashAlgorithm, ProtocolId};
use ike_core::wire::{Cookie, CookiePair};
use serde_json::Value;

#[path = "vectors/read.rs"]
mod read;
use read::{hex, number, vectors};

fn prf_of(vector: &Value) -> Option<&'static dyn Prf> {
    let id = HashAlgorithm(number(vector, "hash"));
    let prf = SOFTWARE.hash(id);
    assert!(prf.is_some() || (id == HashAlgorithm::MD5 && !cfg!(feature = "legacy")), "{id}");
    prf
}

fn cipher_of(vector: &Value) -> Option<&'static dyn CbcCipher> {
    let id = EncryptionAlgorithm(number(vector, "cipher"));
    let cipher = SOFTWARE.cipher(id, number(vector, "key_bits"));
    let legacy = id == EncryptionAlgorithm::TRIPLE_DES_CBC && !cfg!(feature = "legacy");
    assert!(cipher.is_some() || legacy, "{id}");
    cipher
}

fn cookies_of(vector: &Value) -> CookiePair {
    let cookie = |key: &str| Cookie(hex(&vector[key]).try_into().unwrap());
    CookiePair { initiator: cookie("cookie_i"), responder: cookie("cookie_r") }
}

/// SKEYID and its family from the inputs of a vector.
fn skeyid_of(prf: &dyn Prf, vector: &Value) -> Skeyid {
    let (nonce_i, nonce_r) = (hex(&vector["nonce_i"]), hex(&vector["nonce_r"]));
    let nonces = Nonces { initiator: &nonce_i, responder: &nonce_r };
    let (shared, cookies) = (hex(&vector["shared"]), cookies_of(vector));
    let mut skeyid = Skeyid::empty();
    if vector["psk"].is_null() {
        skeyid.derive_from_nonces(prf, nonces, &shared, &cookies).unwrap();
    } else {
        skeyid.derive_from_psk(prf, &hex(&vector["psk"]), nonces, &shared, &cookies);
        // A secure element that computes SKEYID leads to the same.
        let mut other = Skeyid::empty();
        let root = hex(&vector["skeyid"]);
        let write_root = |place: &mut [u8]| {
            place.copy_from_slice(&root);
            true
        };
        other.derive(prf, &shared, &cookies, write_root).unwrap();
        assert_eq!((other.d(), other.a(), other.e()), (skeyid.d(), skeyid.a(), skeyid.e()));
    }
    skeyid
}

fn assert_family(skeyid: &Skeyid, vector: &Value) {
    assert_eq!(skeyid.root(), hex(&vector["skeyid"]), "SKEYID: {vector}");
    assert_eq!(skeyid.d(), hex(&vector["d"]), "SKEYID_d: {vector}");
    assert_eq!(skeyid.a(), hex(&vector["a"]), "SKEYID_a: {vector}");
    assert_eq!(skeyid.e(), hex(&vector["e"]), "SKEYID_e: {vector}");
}

#[test]
fn nist_samples_for_pre_shared_keys_and_signatures() {
    let vectors = vectors(include_str!("vectors/nist_ikev1_kdf.json"));
    assert_eq!(vectors.len(), 34);
    for vector in vectors {
        let prf = prf_of(&vector).unwrap();
        assert_family(&skeyid_of(prf, &vector), &vector);
    }
}

#[test]
fn phase_1_of_recorded_sessions() {
    let (mut seen, mut left_out) = (0, 0);
    for session in vectors(include_str!("vectors/sessions.json")) {
        let (Some(prf), Some(cipher)) = (prf_of(&session), cipher_of(&session)) else {
            left_out += 1;
            continue;
        };
        let name = session["name"].as_str().unwrap();
        let skeyid = skeyid_of(prf, &session);
        assert_family(&skeyid, &session);

        let mut key = CipherKey::empty();
        key.derive(prf, &skeyid, cipher);
        assert_eq!(key.as_slice(), hex(&session["cipher_key"]), "{name}: key");
        let (public_i, public_r) = (hex(&session["public_i"]), hex(&session["public_r"]));
        let iv = Iv::phase1(prf, cipher, &public_i, &public_r);
        assert_eq!(iv.as_slice(), hex(&session["iv"]), "{name}: IV");

        let transcript = Phase1Transcript {
            public_i: &public_i,
            public_r: &public_r,
            cookies: cookies_of(&session),
            sa_i_body: &hex(&session["sa_i_body"]),
        };
        let (id_i, id_r) = (hex(&session["id_i_body"]), hex(&session["id_r_body"]));
        let hash_i = transcript.hash_i(prf, &skeyid, &id_i);
        let hash_r = transcript.hash_r(prf, &skeyid, &id_r);
        assert_eq!(hash_i.as_slice(), hex(&session["hash_i"]), "{name}: HASH_I");
        assert_eq!(hash_r.as_slice(), hex(&session["hash_r"]), "{name}: HASH_R");

        for child in session["children"].as_array().unwrap() {
            let (nonce_i, nonce_r) = (hex(&child["nonce_i"]), hex(&child["nonce_r"]));
            let nonces = Nonces { initiator: &nonce_i, responder: &nonce_r };
            let spi = u32::from_be_bytes(hex(&child["spi"]).try_into().unwrap());
            let expected = hex(&child["keymat"]);
            let mut keys = KeyMaterial::zeroed(expected.len()).unwrap();
            let shared = hex(&child["shared"]);
            let spi = Spi::new(spi).unwrap();
            derive_keymat(prf, &skeyid, &shared, ProtocolId::ESP, spi, nonces, &mut keys);
            assert_eq!(keys.as_slice(), expected, "{name}: KEYMAT");
        }
        seen += 1;
    }
    assert_eq!((seen, left_out), if cfg!(feature = "legacy") { (12, 0) } else { (11, 1) });
}

/// The quick mode of the RUB-NDS session: IV chain, ciphertexts, HASH(1) to HASH(3).
#[test]
fn phase_2_of_a_recorded_session() {
    let sessions = vectors(include_str!("vectors/sessions.json"));
    let session = sessions.iter().find(|session| session["name"] == "RUB-NDS").unwrap();
    let (prf, cipher) = (prf_of(session).unwrap(), cipher_of(session).unwrap());
    let skeyid = skeyid_of(prf, session);
    let mut key = CipherKey::empty();
    key.derive(prf, &skeyid, cipher);

    let mut iv = Iv::phase1(prf, cipher, &hex(&session["public_i"]), &hex(&session["public_r"]));
    let mut nonces: Vec<Vec<u8>> = Vec::new();
    let messages = vectors(include_str!("vectors/rub_messages.json"));
    assert_eq!(messages.len(), 5);
    for message in &messages {
        let message_id = u32::from_be_bytes(hex(&message["message_id"]).try_into().unwrap());
        let n: u32 = number(message, "n");
        if n == 7 {
            // The first of quick mode; the last block of phase 1 is that of message 6.
            iv = iv.phase2(prf, message_id);
        }
        assert_eq!(iv.as_slice(), hex(&message["iv"]), "IV of message {n}");
        let ciphertext = hex(&message["ciphertext"]);
        let mut plaintext = ciphertext.clone();
        cipher.decrypt(key.as_slice(), iv.as_slice(), &mut plaintext).unwrap();
        let padding = hex(&message["padding"]);
        assert_eq!(plaintext, hex(&message["plaintext"]));
        let body = &plaintext[..plaintext.len() - padding.len()];
        let mut again = plaintext.clone();
        cipher.encrypt(key.as_slice(), iv.as_slice(), &mut again).unwrap();
        assert_eq!(again, ciphertext);
        iv = iv.next(&ciphertext).unwrap();
        if n < 7 {
            continue;
        }
        // Quick mode begins with its HASH payload: 4 bytes of header, 20 of SHA-1. The nonce comes behind the SA.
        let (hash, rest) = (&body[4..24], &body[24..]);
        let nonce = || {
            let sa_len = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
            let nonce_len = usize::from(u16::from_be_bytes([rest[sa_len + 2], rest[sa_len + 3]]));
            rest[sa_len + 4..sa_len + nonce_len].to_vec()
        };
        let computed = match n {
            7 => {
                nonces.push(nonce());
                hash_1(prf, &skeyid, message_id, rest)
            }
            8 => {
                nonces.push(nonce());
                hash_2(prf, &skeyid, message_id, &nonces[0], rest)
            }
            _ => {
                let nonces = Nonces { initiator: &nonces[0], responder: &nonces[1] };
                hash_3(prf, &skeyid, message_id, nonces)
            }
        };
        assert_eq!(computed.as_slice(), hash, "HASH of message {n}");
        // Every flipped bit, every other length shows (CVE-2019-10155).
        assert!(computed.verify(hash));
        for bit in 0..hash.len() * 8 {
            let mut wrong = hash.to_vec();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(!computed.verify(&wrong), "bit {bit}");
        }
        for length in 0..hash.len() {
            assert!(!computed.verify(&hash[..length]));
        }
        assert!(!computed.verify(&[hash, &[0]].concat()));
    }
}

/// HASH_R of two aggressive exchanges: what an offline search for the key compares with.
#[test]
fn hash_r_of_recorded_aggressive_exchanges() {
    for vector in vectors(include_str!("vectors/aggressive_hash_r.json")) {
        let Some(prf) = prf_of(&vector) else { continue };
        let (nonce_i, nonce_r) = (hex(&vector["nonce_i"]), hex(&vector["nonce_r"]));
        let nonces = Nonces { initiator: &nonce_i, responder: &nonce_r };
        let cookies = cookies_of(&vector);
        let mut skeyid = Skeyid::empty();
        // g^xy goes into neither SKEYID nor HASH_R.
        skeyid.derive_from_psk(prf, &hex(&vector["psk"]), nonces, &[], &cookies);
        assert_eq!(skeyid.root(), hex(&vector["skeyid"]));
        let transcript = Phase1Transcript {
            public_i: &hex(&vector["public_i"]),
            public_r: &hex(&vector["public_r"]),
            cookies,
            sa_i_body: &hex(&vector["sa_i_body"]),
        };
        let hash_r = transcript.hash_r(prf, &skeyid, &hex(&vector["id_r_body"]));
        assert!(hash_r.verify(&hex(&vector["hash_r"])));
        // Reflected, it proves nothing (Cremers 2011).
        let hash_i = transcript.hash_i(prf, &skeyid, &hex(&vector["id_r_body"]));
        assert!(!hash_i.verify(hash_r.as_slice()));
    }
}

/// Every hash with every cipher: the IV is cut to the block, the key is the head of SKEYID_e or of its expansion, no
/// shorter than the cipher asks (libreswan issue 2027 cut nothing; others used 128 bits where 256 were agreed).
#[test]
fn ivs_and_keys_fit_every_cipher() {
    let cookies = CookiePair { initiator: Cookie([3; 8]), responder: Cookie([4; 8]) };
    let nonces = Nonces { initiator: &[1; 16], responder: &[2; 16] };
    for prf in SOFTWARE.hashes {
        let mut skeyid = Skeyid::empty();
        skeyid.derive_from_psk(*prf, b"key", nonces, &[5; 128], &cookies);
        for cipher in SOFTWARE.ciphers {
            let block_len = cipher.block_len();
            let mut digest = [0; 64];
            prf.hash(&[&[6; 128], &[7; 128]], &mut digest);
            let iv = Iv::phase1(*prf, *cipher, &[6; 128], &[7; 128]);
            assert_eq!(iv.as_slice(), &digest[..block_len], "{prf:?}, {cipher:?}");
            prf.hash(&[iv.as_slice(), &[0, 0, 1, 2]], &mut digest);
            let iv = iv.phase2(*prf, 0x0102);
            assert_eq!(iv.as_slice(), &digest[..block_len], "{prf:?}, {cipher:?}");
            // The next message's is the last block, whatever comes before it.
            let ciphertext: Vec<u8> = (0..).take(3 * block_len).collect();
            let next = iv.next(&ciphertext).unwrap();
            assert_eq!(next.as_slice(), &ciphertext[2 * block_len..]);
            assert_eq!(iv.next(&ciphertext[..block_len - 1]), None);

            let mut key = CipherKey::empty();
            key.derive(*prf, &skeyid, *cipher);
            let mut expected = skeyid.e().to_vec();
            if expected.len() < cipher.key_len() {
                let block = |data: &[u8]| {
                    let mut block = vec![0; prf.output_len()];
                    prf.prf(skeyid.e(), &[data], &mut block);
                    block
                };
                let first = block(&[0]);
                expected = [first.clone(), block(&first)].concat();
            }
            assert_eq!(key.as_slice(), &expected[..cipher.key_len()], "{prf:?}, {cipher:?}");
        }
    }
}

/// CVE-2001-0376: a key is never cut. 1, 48, 49, 128 bytes, and each one more, give different SKEYIDs.
#[test]
fn every_byte_of_a_pre_shared_key_counts() {
    let prf = SOFTWARE.hash(HashAlgorithm::SHA2_256).unwrap();
    let nonces = Nonces { initiator: &[1; 16], responder: &[2; 16] };
    let cookies = CookiePair { initiator: Cookie([3; 8]), responder: Cookie([4; 8]) };
    let root = |length: usize| {
        let mut skeyid = Skeyid::empty();
        skeyid.derive_from_psk(prf, &vec![b'k'; length], nonces, &[5; 32], &cookies);
        skeyid.root().to_vec()
    };
    for length in [1, 47, 48, 49, 63, 64, 65, 127, 128, 129, 1000] {
        assert_ne!(root(length), root(length + 1), "{length}");
    }
}

#[test]
fn what_cannot_be_derived_leaves_nothing_behind() {
    let prf = SOFTWARE.hash(HashAlgorithm::SHA1).unwrap();
    let cookies = CookiePair { initiator: Cookie([3; 8]), responder: Cookie([4; 8]) };
    let mut skeyid = Skeyid::empty();
    let fine = Nonces { initiator: &[1; 256], responder: &[2; 256] };
    assert_eq!(skeyid.derive_from_nonces(prf, fine, &[7; 128], &cookies), Ok(()));
    assert!(!skeyid.is_empty());
    let long = Nonces { initiator: &[1; 257], responder: &[2; 256] };
    let error = skeyid.derive_from_nonces(prf, long, &[7; 128], &cookies);
    assert_eq!(error, Err(KeyError::NonceLength));
    assert!(skeyid.is_empty() && skeyid.root().is_empty() && skeyid.e().is_empty());

    let refuse = |root: &mut [u8]| {
        root.fill(9);
        false
    };
    assert_eq!(skeyid.derive(prf, &[7; 128], &cookies, refuse), Err(KeyError::NoRoot));
    assert!(skeyid.is_empty());
    // Nothing verifies under keys that were never derived, not even an empty hash.
    let hash = hash_1(prf, &skeyid, 1, b"rest");
    assert!(!hash.verify(&[]) && !hash.verify(&[0; 20]));
}

#[test]
fn no_secret_is_printed() {
    let prf = SOFTWARE.hash(HashAlgorithm::SHA1).unwrap();
    let cookies = CookiePair { initiator: Cookie([3; 8]), responder: Cookie([4; 8]) };
    let nonces = Nonces { initiator: &[1; 8], responder: &[2; 8] };
    let mut skeyid = Skeyid::empty();
    skeyid.derive_from_psk(prf, b"secret", nonces, &[5; 8], &cookies);
    let mut key = CipherKey::empty();
    key.derive(prf, &skeyid, SOFTWARE.cipher(EncryptionAlgorithm::AES_CBC, 256).unwrap());
    assert_eq!(format!("{skeyid:?}"), "Skeyid(4 × 20 bytes)");
    assert_eq!(format!("{key:?}"), "CipherKey(32 bytes)");
}
