//! Keys, IVs and hashes of IKE: RFC 2409 §5, §5.5 and Appendix B.
//!
//! ```text
//! pre-shared key   SKEYID   = prf(pre-shared-key, Ni_b | Nr_b)
//! signatures       SKEYID   = prf(Ni_b | Nr_b, g^xy)
//!
//!                  SKEYID_d = prf(SKEYID, g^xy | CKY-I | CKY-R | 0)               for the keys of phase 2
//!                  SKEYID_a = prf(SKEYID, SKEYID_d | g^xy | CKY-I | CKY-R | 1)    for HASH(1) to HASH(3)
//!                  SKEYID_e = prf(SKEYID, SKEYID_a | g^xy | CKY-I | CKY-R | 2)    for the cipher's key
//!
//! phase 1          HASH_I   = prf(SKEYID, g^xi | g^xr | CKY-I | CKY-R | SAi_b | IDii_b)
//!                  HASH_R   = prf(SKEYID, g^xr | g^xi | CKY-R | CKY-I | SAi_b | IDir_b)
//! phase 2          HASH(1)  = prf(SKEYID_a, M-ID | what follows the HASH payload)
//!                  HASH(2)  = prf(SKEYID_a, M-ID | Ni_b | what follows the HASH payload)
//!                  HASH(3)  = prf(SKEYID_a, 0 | M-ID | Ni_b | Nr_b)
//!                  KEYMAT   = K1 | K2 | ..., Kn = prf(SKEYID_d, K(n-1) | [g(qm)^xy |] protocol | SPI | Ni_b | Nr_b)
//! ```
//!
//! Bodies go into a hash as they were received, never as we would write them. Secrets are written where they stay,
//! are wiped on drop and are not printed.

use core::fmt;

use esp_core::{KeyMaterial, Spi};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto::{CbcCipher, MAX_BLOCK_LEN, MAX_CIPHER_KEY_LEN, MAX_HASH_LEN, Prf};
use crate::wire::CookiePair;
use crate::wire::numbers::ProtocolId;

/// The longest nonce (RFC 2409 §5).
pub const MAX_NONCE_LEN: usize = 256;
/// The shortest nonce (RFC 2409 §5).
pub const MIN_NONCE_LEN: usize = 8;

/// SKEYID and what is derived from it; each value is as long as the PRF's output.
///
/// All zero bits while it is [empty](Self::empty).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Skeyid {
    root: [u8; MAX_HASH_LEN],
    d: [u8; MAX_HASH_LEN],
    a: [u8; MAX_HASH_LEN],
    e: [u8; MAX_HASH_LEN],
    len: usize,
}

impl Skeyid {
    /// Nothing derived yet: all values are empty.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            root: [0; MAX_HASH_LEN],
            d: [0; MAX_HASH_LEN],
            a: [0; MAX_HASH_LEN],
            e: [0; MAX_HASH_LEN],
            len: 0,
        }
    }

    /// Derives everything from a pre-shared key, of any length (RFC 2409 §5.4).
    pub fn derive_from_psk(
        &mut self,
        prf: &dyn Prf,
        psk: &[u8],
        nonces: Nonces<'_>,
        shared: &[u8],
        cookies: &CookiePair,
    ) {
        let write_root = |root: &mut [u8]| {
            prf.prf(psk, &[nonces.initiator, nonces.responder], root);
            true
        };
        // Such a root can always be written.
        let _ = self.derive(prf, shared, cookies, write_root);
    }

    /// Derives everything for authentication with signatures (RFC 2409 §5.1): the nonces are the key of the PRF.
    ///
    /// # Errors
    /// [`KeyError::NonceLength`]; the value is then empty.
    pub fn derive_from_nonces(
        &mut self,
        prf: &dyn Prf,
        nonces: Nonces<'_>,
        shared: &[u8],
        cookies: &CookiePair,
    ) -> Result<(), KeyError> {
        self.zeroize();
        let mut key = [0; 2 * MAX_NONCE_LEN];
        let (key_i, rest) =
            key.split_at_mut_checked(nonces.initiator.len()).ok_or(KeyError::NonceLength)?;
        let key_r = rest.get_mut(..nonces.responder.len()).ok_or(KeyError::NonceLength)?;
        key_i.copy_from_slice(nonces.initiator);
        key_r.copy_from_slice(nonces.responder);
        let key_len = nonces.initiator.len().saturating_add(nonces.responder.len());
        let key = key.get(..key_len).unwrap_or_default();
        let write_root = |root: &mut [u8]| {
            prf.prf(key, &[shared], root);
            true
        };
        self.derive(prf, shared, cookies, write_root)
    }

    /// Derives everything from the SKEYID that `write_root` writes: a secure element that keeps the pre-shared key,
    /// for example. It gets a slice of the PRF's output length and says whether it has filled it.
    ///
    /// # Errors
    /// [`KeyError::NoRoot`] if it has not; the value is then empty.
    pub fn derive(
        &mut self,
        prf: &dyn Prf,
        shared: &[u8],
        cookies: &CookiePair,
        write_root: impl FnOnce(&mut [u8]) -> bool,
    ) -> Result<(), KeyError> {
        self.zeroize();
        let len = prf.output_len();
        let Self { root, d, a, e, .. } = self;
        let values = (root.get_mut(..len), d.get_mut(..len), a.get_mut(..len), e.get_mut(..len));
        let (Some(root), Some(d), Some(a), Some(e)) = values else { return Err(KeyError::NoRoot) };
        if !write_root(root) {
            root.zeroize();
            return Err(KeyError::NoRoot);
        }
        let (cookie_i, cookie_r) = (&cookies.initiator.0, &cookies.responder.0);
        // RFC 2409 §5: each value goes into the next; the numbers 0, 1, 2 are single bytes.
        prf.prf(root, &[shared, cookie_i, cookie_r, &[0]], d);
        prf.prf(root, &[d, shared, cookie_i, cookie_r, &[1]], a);
        prf.prf(root, &[a, shared, cookie_i, cookie_r, &[2]], e);
        self.len = len;
        Ok(())
    }

    /// Whether nothing has been derived.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Wipes what nothing needs any more once phase 1 is over: SKEYID itself, of which its hashes were made, and
    /// SKEYID_e, of which the cipher's key was. Both then read as zeros.
    pub fn forget_phase1(&mut self) {
        self.root.zeroize();
        self.e.zeroize();
    }

    /// SKEYID.
    #[must_use]
    pub fn root(&self) -> &[u8] {
        self.root.get(..self.len).unwrap_or_default()
    }

    /// SKEYID_d.
    #[must_use]
    pub fn d(&self) -> &[u8] {
        self.d.get(..self.len).unwrap_or_default()
    }

    /// SKEYID_a.
    #[must_use]
    pub fn a(&self) -> &[u8] {
        self.a.get(..self.len).unwrap_or_default()
    }

    /// SKEYID_e.
    #[must_use]
    pub fn e(&self) -> &[u8] {
        self.e.get(..self.len).unwrap_or_default()
    }
}

impl Default for Skeyid {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for Skeyid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Skeyid(4 × {} bytes)", self.len)
    }
}

/// The bodies of the two nonce payloads of an exchange, 8 to 256 bytes each (RFC 2409 §5).
#[derive(Clone, Copy, Debug)]
pub struct Nonces<'a> {
    /// Ni_b.
    pub initiator: &'a [u8],
    /// Nr_b.
    pub responder: &'a [u8],
}

/// Why keys cannot be derived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyError {
    /// SKEYID could not be had.
    NoRoot,
    /// A nonce is longer than RFC 2409 §5 allows.
    NonceLength,
}

/// The key of the cipher that protects ISAKMP messages (RFC 2409 Appendix B).
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct CipherKey {
    bytes: [u8; MAX_CIPHER_KEY_LEN],
    len: usize,
}

impl CipherKey {
    /// No key yet.
    #[must_use]
    pub const fn empty() -> Self {
        Self { bytes: [0; MAX_CIPHER_KEY_LEN], len: 0 }
    }

    /// Takes the first bytes of SKEYID_e, or where that is too short, of
    /// `Ka = K1 | K2 | ...`, `K1 = prf(SKEYID_e, 0)`, `Kn = prf(SKEYID_e, K(n-1))` (RFC 2409 Appendix B).
    ///
    /// 3DES takes its 24 bytes as they come: parity bits are ignored, and only single DES has to skip weak keys
    /// there; the chance of a weak one is about 2^-52.
    pub fn derive(&mut self, prf: &dyn Prf, skeyid: &Skeyid, cipher: &dyn CbcCipher) {
        self.zeroize();
        let Some(key) = self.bytes.get_mut(..cipher.key_len()) else { return };
        match skeyid.e().get(..key.len()) {
            Some(head) => key.copy_from_slice(head),
            None => expand(prf, &[0], key, |last, block| prf.prf(skeyid.e(), &[last], block)),
        }
        self.len = key.len();
    }

    /// The key, for [`CbcCipher`].
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Default for CipherKey {
    fn default() -> Self {
        Self::empty()
    }
}

impl fmt::Debug for CipherKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CipherKey({} bytes)", self.len)
    }
}

/// Fills `out` with `K1 | K2 | ...`, as many as are needed, by `next(K(n-1), Kn)`; before K1 stands `first`.
fn expand<'o>(prf: &dyn Prf, first: &'o [u8], out: &'o mut [u8], next: impl Fn(&[u8], &mut [u8])) {
    let mut last = first;
    for block in out.chunks_mut(prf.output_len().max(1)) {
        next(last, block);
        last = block;
    }
}

/// KEYMAT of one SA of quick mode, all of `out`: the initiator's inbound SA and the responder's differ by the SPI.
///
/// `shared` is g(qm)^xy with perfect forward secrecy, else empty. The nonces are those of the quick mode. How the
/// bytes are shared out among cipher and integrity key is the transform's business (RFC 2409 §5.5).
pub fn derive_keymat(
    prf: &dyn Prf,
    skeyid: &Skeyid,
    shared: &[u8],
    protocol: ProtocolId,
    spi: Spi,
    nonces: Nonces<'_>,
    out: &mut KeyMaterial,
) {
    let (protocol, spi) = ([protocol.0], spi.to_be_bytes());
    expand(prf, &[], out.as_mut_slice(), |last, block| {
        let seed = [last, shared, &protocol, &spi, nonces.initiator, nonces.responder];
        prf.prf(skeyid.d(), &seed, block);
    });
}

/// An initialization vector: one block of the cipher. Not a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iv {
    bytes: [u8; MAX_BLOCK_LEN],
    len: usize,
}

impl Iv {
    /// No IV yet.
    #[must_use]
    pub const fn empty() -> Self {
        Self { bytes: [0; MAX_BLOCK_LEN], len: 0 }
    }

    /// For the first encrypted message of phase 1: the head of hash(g^xi | g^xr) (RFC 2409 Appendix B).
    #[must_use]
    pub fn phase1(
        hash: &dyn Prf,
        cipher: &dyn CbcCipher,
        public_i: &[u8],
        public_r: &[u8],
    ) -> Self {
        Self::from_hash(hash, cipher.block_len(), &[public_i, public_r])
    }

    /// For the first message of an exchange of phase 2: the head of hash(last block of phase 1 | M-ID).
    ///
    /// `self` is the last block of ciphertext of phase 1; where none was encrypted, it is phase 1's own IV
    /// (RFC 2409 Appendix B).
    #[must_use]
    pub fn phase2(&self, hash: &dyn Prf, message_id: u32) -> Self {
        Self::from_hash(hash, self.len, &[self.as_slice(), &message_id.to_be_bytes()])
    }

    /// For the next message of an exchange: the last block of this one's ciphertext (RFC 2409 Appendix B).
    /// `None` if `ciphertext` is shorter than a block.
    #[must_use]
    pub fn next(&self, ciphertext: &[u8]) -> Option<Self> {
        let start = ciphertext.len().checked_sub(self.len)?;
        let mut next = *self;
        next.bytes.get_mut(..self.len)?.copy_from_slice(ciphertext.get(start..)?);
        Some(next)
    }

    /// The block.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn from_hash(hash: &dyn Prf, block_len: usize, data: &[&[u8]]) -> Self {
        let mut iv = Self { bytes: [0; MAX_BLOCK_LEN], len: block_len.min(MAX_BLOCK_LEN) };
        hash.hash(data, iv.bytes.get_mut(..iv.len).unwrap_or_default());
        iv
    }
}

/// HASH_I, HASH_R, HASH(1), HASH(2) or HASH(3), as computed by us.
#[derive(Clone, Copy)]
pub struct HashValue {
    bytes: [u8; MAX_HASH_LEN],
    len: usize,
}

impl HashValue {
    /// The hash, to be sent.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// Whether the peer sent the same, in constant time. One of another length never is, nor is an empty one.
    #[must_use]
    pub fn verify(&self, received: &[u8]) -> bool {
        self.len != 0 && bool::from(self.as_slice().ct_eq(received))
    }

    fn new(prf: &dyn Prf, key: &[u8], data: &[&[u8]]) -> Self {
        let mut value = Self { bytes: [0; MAX_HASH_LEN], len: 0 };
        // No key, no hash: nothing verifies under a SKEYID that was never derived.
        if !key.is_empty() {
            value.len = prf.output_len().min(MAX_HASH_LEN);
            prf.prf(key, data, &mut value.bytes);
        }
        value
    }
}

impl fmt::Debug for HashValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HashValue({} bytes)", self.len)
    }
}

/// What both sides of phase 1 authenticate, besides the sender's identity (RFC 2409 §5).
#[derive(Clone, Copy, Debug)]
pub struct Phase1Transcript<'a> {
    /// g^xi, the body of the initiator's KE payload.
    pub public_i: &'a [u8],
    /// g^xr.
    pub public_r: &'a [u8],
    /// CKY-I and CKY-R.
    pub cookies: CookiePair,
    /// SAi_b, the body of the SA payload that the initiator sent, as it was sent.
    pub sa_i_body: &'a [u8],
}

impl Phase1Transcript<'_> {
    /// HASH_I. `id_i_body` is IDii_b, the body of the initiator's ID payload.
    #[must_use]
    pub fn hash_i(&self, prf: &dyn Prf, skeyid: &Skeyid, id_i_body: &[u8]) -> HashValue {
        let (cookie_i, cookie_r) = (&self.cookies.initiator.0, &self.cookies.responder.0);
        let data = [self.public_i, self.public_r, cookie_i, cookie_r, self.sa_i_body, id_i_body];
        HashValue::new(prf, skeyid.root(), &data)
    }

    /// HASH_R. `id_r_body` is IDir_b, the body of the responder's ID payload.
    #[must_use]
    pub fn hash_r(&self, prf: &dyn Prf, skeyid: &Skeyid, id_r_body: &[u8]) -> HashValue {
        let (cookie_i, cookie_r) = (&self.cookies.initiator.0, &self.cookies.responder.0);
        let data = [self.public_r, self.public_i, cookie_r, cookie_i, self.sa_i_body, id_r_body];
        HashValue::new(prf, skeyid.root(), &data)
    }
}

/// HASH(1) of quick mode, and the HASH of an informational or transaction exchange (RFC 2409 §5.5, §5.7).
///
/// `rest` is everything from behind the HASH payload to the end of the last payload, headers included, padding not.
#[must_use]
pub fn hash_1(prf: &dyn Prf, skeyid: &Skeyid, message_id: u32, rest: &[u8]) -> HashValue {
    HashValue::new(prf, skeyid.a(), &[&message_id.to_be_bytes(), rest])
}

/// HASH(2) of quick mode; `nonce_i` is Ni_b, `rest` as for [`hash_1`] (RFC 2409 §5.5).
#[must_use]
pub fn hash_2(
    prf: &dyn Prf,
    skeyid: &Skeyid,
    message_id: u32,
    nonce_i: &[u8],
    rest: &[u8],
) -> HashValue {
    HashValue::new(prf, skeyid.a(), &[&message_id.to_be_bytes(), nonce_i, rest])
}

/// HASH(3) of quick mode (RFC 2409 §5.5).
#[must_use]
pub fn hash_3(prf: &dyn Prf, skeyid: &Skeyid, message_id: u32, nonces: Nonces<'_>) -> HashValue {
    let data: [&[u8]; 4] = [&[0], &message_id.to_be_bytes(), nonces.initiator, nonces.responder];
    HashValue::new(prf, skeyid.a(), &data)
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::crypto::SOFTWARE;
    use crate::wire::numbers::HashAlgorithm;

    #[test]
    fn nothing_of_phase_1_is_left_that_is_not_needed() {
        let prf = SOFTWARE.hash(HashAlgorithm::SHA2_256).unwrap();
        let cookies = CookiePair {
            initiator: crate::wire::Cookie([1; 8]),
            responder: crate::wire::Cookie([2; 8]),
        };
        let mut skeyid = Skeyid::empty();
        skeyid.derive_from_psk(
            prf,
            b"key",
            Nonces { initiator: &[3; 16], responder: &[4; 16] },
            &[5; 32],
            &cookies,
        );
        let (d, a) = (skeyid.d().to_vec(), skeyid.a().to_vec());
        assert!(skeyid.root().iter().chain(skeyid.e()).any(|byte| *byte != 0));
        skeyid.forget_phase1();
        assert!(skeyid.root().iter().chain(skeyid.e()).all(|byte| *byte == 0));
        assert_eq!((skeyid.d(), skeyid.a()), (&d[..], &a[..]));
    }

    /// Appendix B and KEYMAT expansion over lengths that no cipher of ours asks for.
    #[test]
    fn expansion_gives_the_recorded_values() {
        let text = include_str!("../tests/vectors/nss_expansion.json");
        let file: serde_json::Value = serde_json::from_str(text).unwrap();
        let vectors = file["vectors"].as_array().unwrap();
        assert_eq!(vectors.len(), 24);
        for vector in vectors {
            let hex = |key: &str| -> Vec<u8> {
                let text = vector[key].as_str().unwrap();
                let digits = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
                (0..text.len()).step_by(2).map(digits).collect()
            };
            let id = vector["hash"].as_u64().unwrap();
            let prf = SOFTWARE.hash(HashAlgorithm(id.try_into().unwrap())).unwrap();
            let (key, seed, expected) = (hex("ikm"), hex("seed"), hex("okm"));
            let mut out = vec![0; expected.len()];
            match vector["type"].as_str().unwrap() {
                // A key no longer than SKEYID_e is its head.
                "ikeV1AppB" if out.len() <= key.len() => {
                    out.copy_from_slice(&key[..expected.len()])
                }
                "ikeV1AppB" => {
                    expand(prf, &[0], &mut out, |last, block| prf.prf(&key, &[last], block));
                }
                _ => expand(prf, &[], &mut out, |last, block| {
                    prf.prf(&key, &[last, &seed], block);
                }),
            }
            assert_eq!(out, expected, "{vector}");
        }
    }
}
