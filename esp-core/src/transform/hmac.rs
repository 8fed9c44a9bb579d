//! HMAC (RFC 2104) from kept states.
//!
//! The two blocks that depend on the key alone are compressed once, when the SA is set up; what is kept of them is two
//! chaining values, plain words. A packet then costs its own blocks and one more. The hashes are the RustCrypto
//! compression functions; the padding of Merkle and Damgård is written here, since that is all that is missing.

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::Integrity;

/// The longest digest of [`Integrity`], in bytes.
pub(super) const MAX_DIGEST: usize = 64;
/// The longest block, in bytes.
const MAX_BLOCK: usize = 128;

/// A compression function and what surrounds it in its hash.
pub(super) trait Hash {
    /// The chaining value.
    type State: Copy + Zeroize;
    /// Two blocks.
    type Blocks: AsMut<[u8]>;
    /// The chaining value at the start.
    const INITIAL: Self::State;
    /// Length of a block in bytes, at most [`MAX_BLOCK`].
    const BLOCK: usize;
    /// Length of the message length that ends the last block, in bytes.
    const LENGTH: usize;
    /// Length of the digest in bytes.
    const DIGEST: usize;
    /// Whether the message length is little-endian.
    const LITTLE_ENDIAN: bool;

    /// Two blocks of zeros.
    fn two_blocks() -> Self::Blocks;
    /// Takes in all whole blocks of `data`.
    fn compress(state: &mut Self::State, data: &[u8]);
    /// The chaining value as bytes.
    fn digest(state: &Self::State) -> [u8; MAX_DIGEST];
}

/// The chaining values behind the key's inner and outer block.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct KeyStates<H: Hash> {
    pub(super) inner: H::State,
    pub(super) outer: H::State,
}

impl<H: Hash> KeyStates<H> {
    /// From a key that is not longer than a block: those of [`Integrity`] never are.
    pub(super) fn new(key: &[u8]) -> Self {
        Self { inner: Self::keyed(key, 0x36), outer: Self::keyed(key, 0x5c) }
    }

    fn keyed(key: &[u8], pad: u8) -> H::State {
        let mut block = [pad; MAX_BLOCK];
        for (byte, key) in block.iter_mut().zip(key) {
            *byte ^= key;
        }
        let mut state = H::INITIAL;
        H::compress(&mut state, block.get(..H::BLOCK).unwrap_or_default());
        block.zeroize();
        state
    }

    /// The HMAC of `data` followed by `suffix`, which is at most 4 bytes.
    pub(super) fn mac(&self, data: &[u8], suffix: &[u8]) -> [u8; MAX_DIGEST] {
        let mut state = self.inner;
        H::compress(&mut state, data);
        self.finish_inner(&mut state, data, suffix);
        self.finish_outer(&state)
    }

    /// Ends the inner hash when every whole block of `data` has gone into `state`.
    pub(super) fn finish_inner(&self, state: &mut H::State, data: &[u8], suffix: &[u8]) {
        last_blocks::<H>(state, data, suffix);
    }

    /// The outer hash over the inner one.
    pub(super) fn finish_outer(&self, inner: &H::State) -> [u8; MAX_DIGEST] {
        let inner = H::digest(inner);
        let mut state = self.outer;
        last_blocks::<H>(&mut state, inner.get(..H::DIGEST).unwrap_or_default(), &[]);
        H::digest(&state)
    }
}

/// Compresses the part of `data` behind its last whole block, `suffix` and the padding. One block has gone before.
#[inline(always)]
fn last_blocks<H: Hash>(state: &mut H::State, data: &[u8], suffix: &[u8]) {
    let mut tail = H::two_blocks();
    let tail = tail.as_mut();
    let rest = data.chunks_exact(H::BLOCK).remainder();
    put(tail, 0, rest);
    put(tail, rest.len(), suffix);
    let message_end = rest.len().saturating_add(suffix.len());
    put(tail, message_end, &[0x80]);
    let filled = message_end.saturating_add(1);
    let bytes = data.len().saturating_add(suffix.len()).saturating_add(H::BLOCK);
    let bits = (bytes as u64).saturating_mul(8);
    // Room for the length must remain behind the 0x80; otherwise it goes into a block of its own.
    let end = if filled.saturating_add(H::LENGTH) <= H::BLOCK {
        H::BLOCK
    } else {
        H::BLOCK.saturating_mul(2)
    };
    if H::LITTLE_ENDIAN {
        put(tail, end.saturating_sub(8), &bits.to_le_bytes());
    } else {
        put(tail, end.saturating_sub(8), &bits.to_be_bytes());
    }
    H::compress(state, tail.get(..end).unwrap_or_default());
}

#[inline(always)]
fn put(buffer: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = buffer.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len())) {
        place.copy_from_slice(bytes);
    }
}

/// The keyed states of one SA.
pub(crate) struct Hmac {
    pub(super) states: States,
    pub(super) icv_len: usize,
}

/// By algorithm.
pub(super) enum States {
    Sha1(KeyStates<Sha1>),
    Sha256(KeyStates<Sha256>),
    Sha384(KeyStates<Sha384>),
    Sha512(KeyStates<Sha512>),
    #[cfg(feature = "legacy")]
    Md5(KeyStates<Md5>),
}

impl Hmac {
    /// The states for a key of `integrity.key_len()` bytes.
    pub(super) fn new(integrity: Integrity, key: &[u8]) -> Self {
        let states = match integrity {
            Integrity::HmacSha1_96 => States::Sha1(KeyStates::new(key)),
            Integrity::HmacSha256_128 => States::Sha256(KeyStates::new(key)),
            Integrity::HmacSha384_192 => States::Sha384(KeyStates::new(key)),
            Integrity::HmacSha512_256 => States::Sha512(KeyStates::new(key)),
            #[cfg(feature = "legacy")]
            Integrity::HmacMd5_96 => States::Md5(KeyStates::new(key)),
            #[cfg(feature = "legacy")]
            Integrity::HmacSha256_96 => States::Sha256(KeyStates::new(key)),
        };
        Self { states, icv_len: integrity.icv_len() }
    }

    fn mac(&self, data: &[u8], suffix: &[u8]) -> [u8; MAX_DIGEST] {
        match &self.states {
            States::Sha1(states) => states.mac(data, suffix),
            States::Sha256(states) => states.mac(data, suffix),
            States::Sha384(states) => states.mac(data, suffix),
            States::Sha512(states) => states.mac(data, suffix),
            #[cfg(feature = "legacy")]
            States::Md5(states) => states.mac(data, suffix),
        }
    }

    /// Writes the ICV of `data` and `suffix` to `icv`, which has the length of an ICV.
    pub(super) fn sign(&self, data: &[u8], suffix: &[u8], icv: &mut [u8]) {
        let mac = self.mac(data, suffix);
        put(icv, 0, mac.get(..self.icv_len).unwrap_or_default());
    }

    /// Whether `icv` is that of `data` and `suffix`.
    pub(super) fn verify(&self, data: &[u8], suffix: &[u8], icv: &[u8]) -> bool {
        self.matches(&self.mac(data, suffix), icv)
    }

    /// Whether `icv` is the front of `mac`, in a time that does not depend on where it differs.
    pub(super) fn matches(&self, mac: &[u8; MAX_DIGEST], icv: &[u8]) -> bool {
        let expected = mac.get(..self.icv_len).unwrap_or_default();
        icv.len() == self.icv_len && bool::from(expected.ct_eq(icv))
    }
}

macro_rules! hash {
    ($(#[$doc:meta])* $name:ident, [$word:ty; $words:literal], $block:literal, $length:literal, $digest:literal,
     $compress:path, $initial:expr, $bytes:ident, little_endian: $little:literal) => {
        $(#[$doc])*
        pub(super) enum $name {}

        impl Hash for $name {
            type State = [$word; $words];
            type Blocks = [u8; 2 * $block];
            const INITIAL: Self::State = $initial;
            const BLOCK: usize = $block;
            const LENGTH: usize = $length;
            const DIGEST: usize = $digest;
            const LITTLE_ENDIAN: bool = $little;

            #[inline(always)]
            fn two_blocks() -> Self::Blocks {
                [0; 2 * $block]
            }

            #[inline]
            fn compress(state: &mut Self::State, data: &[u8]) {
                $compress(state, data.as_chunks::<$block>().0);
            }

            #[inline]
            fn digest(state: &Self::State) -> [u8; MAX_DIGEST] {
                let mut bytes = [0; MAX_DIGEST];
                for (to, word) in bytes.chunks_exact_mut(size_of::<$word>()).zip(state) {
                    to.copy_from_slice(&word.$bytes());
                }
                bytes
            }
        }
    };
}

hash!(
    /// FIPS 180-4 §5.3.1, §6.1.
    Sha1, [u32; 5], 64, 8, 20, sha1::block_api::compress,
    [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0], to_be_bytes, little_endian: false
);
hash!(
    /// FIPS 180-4 §5.3.3, §6.2.
    Sha256, [u32; 8], 64, 8, 32, sha2::block_api::compress256,
    [
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a,
        0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19,
    ],
    to_be_bytes, little_endian: false
);
hash!(
    /// FIPS 180-4 §5.3.4, §6.5.
    Sha384, [u64; 8], 128, 16, 48, sha2::block_api::compress512,
    [
        0xcbbb_9d5d_c105_9ed8, 0x629a_292a_367c_d507, 0x9159_015a_3070_dd17, 0x152f_ecd8_f70e_5939,
        0x6733_2667_ffc0_0b31, 0x8eb4_4a87_6858_1511, 0xdb0c_2e0d_64f9_8fa7, 0x47b5_481d_befa_4fa4,
    ],
    to_be_bytes, little_endian: false
);
hash!(
    /// FIPS 180-4 §5.3.5, §6.4.
    Sha512, [u64; 8], 128, 16, 64, sha2::block_api::compress512,
    [
        0x6a09_e667_f3bc_c908, 0xbb67_ae85_84ca_a73b, 0x3c6e_f372_fe94_f82b, 0xa54f_f53a_5f1d_36f1,
        0x510e_527f_ade6_82d1, 0x9b05_688c_2b3e_6c1f, 0x1f83_d9ab_fb41_bd6b, 0x5be0_cd19_137e_2179,
    ],
    to_be_bytes, little_endian: false
);
#[cfg(feature = "legacy")]
hash!(
    /// RFC 1321 §3.
    Md5, [u32; 4], 64, 8, 16, md5::block_api::compress,
    [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476], to_le_bytes, little_endian: true
);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::known_answers::{hex, vectors};

    #[test]
    fn rfc_2202_and_4231() {
        let file = vectors(include_str!("../../tests/vectors/hmac.json"));
        let mut tried = 0;
        for vector in file["vectors"].as_array().expect("a list") {
            let (key, data) = (hex(&vector["key"]), hex(&vector["data"]));
            let digest = hex(&vector["digest"]);
            let mac = match vector["alg"].as_str() {
                Some("hmac-sha1") => KeyStates::<Sha1>::new(&key).mac(&data, &[]),
                Some("hmac-sha256") => KeyStates::<Sha256>::new(&key).mac(&data, &[]),
                Some("hmac-sha384") => KeyStates::<Sha384>::new(&key).mac(&data, &[]),
                Some("hmac-sha512") => KeyStates::<Sha512>::new(&key).mac(&data, &[]),
                #[cfg(feature = "legacy")]
                Some("hmac-md5") => KeyStates::<Md5>::new(&key).mac(&data, &[]),
                _ => continue,
            };
            assert_eq!(mac[..digest.len()], digest, "{vector}");
            tried += 1;
        }
        assert!(tried >= 20, "{tried} vectors");
    }

    /// Every length around the ends of blocks, and the suffix counted as data, against the `hmac` crate.
    #[test]
    fn lengths_around_the_block() {
        use ::hmac::{Hmac, KeyInit, Mac};
        let data: [u8; 300] = core::array::from_fn(|i| i as u8);
        for len in 4..data.len() {
            let (head, suffix) = data[..len].split_at(len - 4);
            let mut sha1 = Hmac::<::sha1::Sha1>::new_from_slice(&data[..20]).expect("any length");
            sha1.update(&data[..len]);
            let expected = sha1.finalize().into_bytes();
            let states = KeyStates::<Sha1>::new(&data[..20]);
            assert_eq!(states.mac(head, suffix)[..20], expected[..], "{len}");
            assert_eq!(states.mac(&data[..len], &[])[..20], expected[..], "{len}");
            let mut sha384 = Hmac::<sha2::Sha384>::new_from_slice(&data[..48]).expect("any length");
            sha384.update(&data[..len]);
            let expected = sha384.finalize().into_bytes();
            assert_eq!(
                KeyStates::<Sha384>::new(&data[..48]).mac(head, suffix)[..48],
                expected[..],
                "{len}"
            );
        }
    }
}
