//! HMAC and CBC against published values, and what their traits promise.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use ike_core::crypto::{Crypto, CryptoError, MAX_HASH_LEN, SOFTWARE};
use ike_core::wire::numbers::{EncryptionAlgorithm, HashAlgorithm};

#[path = "vectors/read.rs"]
mod read;
use read::{hex, number, vectors};

#[test]
fn hmac_gives_the_published_values() {
    let (mut seen, mut left_out) = (0, 0);
    for vector in vectors(include_str!("vectors/hmac.json")) {
        let id = HashAlgorithm(number(&vector, "hash"));
        let Some(prf) = SOFTWARE.hash(id) else {
            assert_eq!(id, HashAlgorithm::MD5);
            left_out += 1;
            continue;
        };
        let (key, data, expected) =
            (hex(&vector["key"]), hex(&vector["data"]), hex(&vector["mac"]));
        let mut out = vec![0; expected.len()];
        prf.prf(&key, &[&data], &mut out);
        assert_eq!(out, expected, "{id}: {vector}");
        // In pieces, cut anywhere, it is the same.
        let (head, tail) = data.split_at(data.len() / 3);
        let mut pieces = vec![0; expected.len()];
        prf.prf(&key, &[head, &[], tail], &mut pieces);
        assert_eq!(pieces, expected, "{id}: in pieces");
        seen += 1;
    }
    assert_eq!((seen, left_out), if cfg!(feature = "legacy") { (157, 0) } else { (150, 7) });
}

/// FIPS 180 and RFC 1321: the hashes of "abc".
#[test]
fn hashes_of_abc() {
    let published: [(HashAlgorithm, &[u8]); 4] = [
        (HashAlgorithm::SHA1, &hex_literal::hex!("a9993e364706816aba3e25717850c26c9cd0d89d")),
        (
            HashAlgorithm::SHA2_256,
            &hex_literal::hex!("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ),
        (
            HashAlgorithm::SHA2_384,
            &hex_literal::hex!(
                "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded163"
                "1a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7"
            ),
        ),
        (
            HashAlgorithm::SHA2_512,
            &hex_literal::hex!(
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
            ),
        ),
    ];
    for (id, expected) in published {
        let hash = SOFTWARE.hash(id).unwrap();
        assert_eq!(hash.output_len(), expected.len());
        let mut out = [0; MAX_HASH_LEN];
        hash.hash(&[b"a", b"", b"bc"], &mut out);
        assert_eq!(&out[..expected.len()], expected, "{id}");
        assert!(out[expected.len()..].iter().all(|byte| *byte == 0), "{id} writes too much");
        let mut short = [0; 7];
        hash.hash(&[b"abc"], &mut short);
        assert_eq!(short, expected[..7], "{id} cut");
    }
}

#[test]
fn cbc_gives_the_published_values() {
    let (mut seen, mut left_out) = (0, 0);
    for vector in vectors(include_str!("vectors/cbc.json")) {
        let id = EncryptionAlgorithm(number(&vector, "cipher"));
        let Some(cipher) = SOFTWARE.cipher(id, number(&vector, "key_bits")) else {
            assert_eq!(id, EncryptionAlgorithm::TRIPLE_DES_CBC);
            left_out += 1;
            continue;
        };
        let (key, iv) = (hex(&vector["key"]), hex(&vector["iv"]));
        let (plaintext, ciphertext) = (hex(&vector["plaintext"]), hex(&vector["ciphertext"]));
        assert_eq!((key.len(), iv.len()), (cipher.key_len(), cipher.block_len()));
        let mut data = plaintext.clone();
        assert_eq!(cipher.encrypt(&key, &iv, &mut data), Ok(()));
        assert_eq!(data, ciphertext, "{cipher:?}");
        assert_eq!(cipher.decrypt(&key, &iv, &mut data), Ok(()));
        assert_eq!(data, plaintext, "{cipher:?}");
        seen += 1;
    }
    assert_eq!((seen, left_out), if cfg!(feature = "legacy") { (120, 0) } else { (60, 60) });
}

#[test]
fn wrong_lengths_are_refused_and_change_nothing() {
    for cipher in SOFTWARE.ciphers {
        let (key, iv) = (vec![1; cipher.key_len()], vec![2; cipher.block_len()]);
        let mut data = vec![3; 2 * cipher.block_len()];
        let before = data.clone();
        for length in (0..64).filter(|length| *length != key.len()) {
            let wrong = vec![1; length];
            assert_eq!(cipher.encrypt(&wrong, &iv, &mut data), Err(CryptoError::KeyLength));
            assert_eq!(cipher.decrypt(&wrong, &iv, &mut data), Err(CryptoError::KeyLength));
        }
        for length in (0..32).filter(|length| *length != iv.len()) {
            let wrong = vec![2; length];
            assert_eq!(cipher.encrypt(&key, &wrong, &mut data), Err(CryptoError::IvLength));
            assert_eq!(cipher.decrypt(&key, &wrong, &mut data), Err(CryptoError::IvLength));
        }
        for length in (1..data.len()).filter(|length| length % iv.len() != 0) {
            let part = &mut data[..length];
            assert_eq!(cipher.encrypt(&key, &iv, part), Err(CryptoError::PartialBlock));
            assert_eq!(cipher.decrypt(&key, &iv, part), Err(CryptoError::PartialBlock));
        }
        assert_eq!(data, before);
        assert_eq!(cipher.encrypt(&key, &iv, &mut []), Ok(()));
    }
}

/// An algorithm that the provider lacks is not found, and neither is a key length that its cipher does not have:
/// CVE-2011-3380 (any), CVE-2018-10811 (absent algorithm).
#[test]
fn tables_answer_for_what_they_list() {
    let aes = EncryptionAlgorithm::AES_CBC;
    for key_bits in 0..=u16::MAX {
        let found = SOFTWARE.cipher(aes, key_bits);
        assert_eq!(found.is_some(), matches!(key_bits, 128 | 192 | 256), "{key_bits}");
        if let Some(cipher) = found {
            assert_eq!(cipher.key_len() * 8, usize::from(key_bits));
        }
    }
    let triple_des = EncryptionAlgorithm::TRIPLE_DES_CBC;
    assert_eq!(SOFTWARE.cipher(triple_des, 0).is_some(), cfg!(feature = "legacy"));
    assert!(SOFTWARE.cipher(triple_des, 192).is_none());
    assert!(SOFTWARE.cipher(EncryptionAlgorithm::DES_CBC, 0).is_none());
    assert_eq!(SOFTWARE.hash(HashAlgorithm::MD5).is_some(), cfg!(feature = "legacy"));
    assert!(SOFTWARE.hash(HashAlgorithm::TIGER).is_none());

    static SMALL: Crypto = Crypto {
        hashes: &[&ike_core::crypto::soft::SHA2_256],
        ciphers: &[&ike_core::crypto::soft::AES_128],
        groups: &[&ike_core::crypto::ecp::CURVE25519],
    };
    assert!(SMALL.hash(HashAlgorithm::SHA1).is_none());
    assert!(SMALL.cipher(aes, 128).is_some() && SMALL.cipher(aes, 256).is_none());
    let printed = format!("{SMALL:?}");
    assert!(printed.contains("SHA-256") && printed.contains("curve25519"), "{printed}");
}
