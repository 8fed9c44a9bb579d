//! Project Wycheproof through our transforms: the corners of the algorithms, and tags that must be refused.

use super::aead::AeadKeys;
use super::hmac::{Hmac, KeyStates, MAX_DIGEST, Sha1, Sha256, Sha384, Sha512};
use super::{Aead, Integrity};
use crate::known_answers::{hex, vectors};

/// Digests cut as the vector has them, and through [`Hmac`] where key and cut are those of an algorithm of ESP.
#[test]
fn hmac() {
    let file = vectors(include_str!("../../tests/vectors/wycheproof_hmac.json"));
    let (mut good, mut bad, mut whole) = (0, 0, 0);
    for vector in file["vectors"].as_array().expect("a list") {
        let (key, data, tag) = (hex(&vector["key"]), hex(&vector["data"]), hex(&vector["tag"]));
        let expected = vector["good"].as_bool().expect("a flag");
        // The last bytes go in as the high half of a sequence number would.
        let (front, suffix) = data.split_at(data.len().saturating_sub(4));
        let (digest, integrity): ([u8; MAX_DIGEST], _) = match vector["alg"].as_str() {
            Some("hmac-sha1") => {
                (KeyStates::<Sha1>::new(&key).mac(front, suffix), Integrity::HmacSha1_96)
            }
            Some("hmac-sha256") => {
                (KeyStates::<Sha256>::new(&key).mac(front, suffix), Integrity::HmacSha256_128)
            }
            Some("hmac-sha384") => {
                (KeyStates::<Sha384>::new(&key).mac(front, suffix), Integrity::HmacSha384_192)
            }
            Some("hmac-sha512") => {
                (KeyStates::<Sha512>::new(&key).mac(front, suffix), Integrity::HmacSha512_256)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(digest[..tag.len()] == tag, expected, "{vector}");
        if key.len() == integrity.key_len() && tag.len() == integrity.icv_len() {
            let hmac = Hmac::new(integrity, &key);
            assert_eq!(hmac.verify(front, suffix, &tag), expected, "{vector}");
            assert_eq!(hmac.verify(&data, &[], &tag), expected, "{vector}");
            whole += 1;
        }
        *if expected { &mut good } else { &mut bad } += 1;
    }
    assert_eq!((good, bad), (252, 428));
    assert!(whole > 200, "{whole}");
}

/// Nonces of salt and IV. Where the AAD is as long as an ESP header, or one with ESN, the vector is a packet, sealed and
/// opened as such.
#[test]
fn combined_modes() {
    let file = vectors(include_str!("../../tests/vectors/wycheproof_aead.json"));
    let (mut good, mut bad, mut packets) = (0, 0, 0);
    for vector in file["vectors"].as_array().expect("a list") {
        let [key, iv, aad, text, sealed, tag] =
            ["key", "iv", "aad", "text", "sealed", "tag"].map(|field| hex(&vector[field]));
        let expected = vector["good"].as_bool().expect("a flag");
        let aead = match (vector["alg"].as_str(), key.len()) {
            (Some("aes-gcm"), 16) => Aead::Aes128Gcm16,
            (Some("aes-gcm"), 24) => Aead::Aes192Gcm16,
            (Some("aes-gcm"), 32) => Aead::Aes256Gcm16,
            _ => Aead::ChaCha20Poly1305,
        };
        let (salt, iv) = iv.split_at(4);
        let keys = AeadKeys::new(aead, &[&key[..], salt].concat()).expect("fits");
        if let (Some(header), high) = header_of(&aad) {
            let packet = |text: &[u8]| [&header[..], iv, text].concat();
            let (mut ours, mut icv) = (packet(&text), [0; 16]);
            keys.seal(&mut ours, high, &mut icv);
            assert_eq!(ours == packet(&sealed) && icv == tag[..], expected, "{vector}");
            let mut theirs = packet(&sealed);
            assert_eq!(keys.open(&mut theirs, high, &tag), expected, "{vector}");
            // What is refused is not decrypted.
            assert_eq!(theirs, packet(if expected { &text } else { &sealed }), "{vector}");
            packets += 1;
        }
        if aead != Aead::ChaCha20Poly1305 {
            let mut ours = text;
            let icv = keys.gcm_with_aad(iv.try_into().expect("eight bytes"), &aad, &mut ours);
            assert_eq!(ours == sealed && icv == tag[..], expected, "{vector}");
        }
        *if expected { &mut good } else { &mut bad } += 1;
    }
    assert_eq!((good, bad, packets), (163, 81, 52));
}

/// SPI and sequence number as they stand in the packet, and the high half that does not.
fn header_of(aad: &[u8]) -> (Option<[u8; 8]>, Option<[u8; 4]>) {
    match *aad {
        [a, b, c, d, e, f, g, h] => (Some([a, b, c, d, e, f, g, h]), None),
        [a, b, c, d, i, j, k, l, e, f, g, h] => {
            (Some([a, b, c, d, e, f, g, h]), Some([i, j, k, l]))
        }
        _ => (None, None),
    }
}
