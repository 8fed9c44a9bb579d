//! Combined modes: AES-GCM (RFC 4106), AES-GMAC (RFC 4543) and ChaCha20-Poly1305 (RFC 7634).
//!
//! GCM is put together here from counter mode and GHASH, so that the key schedule and the powers of the hash key are
//! made once for an SA and not once for a packet. The nonce is the salt from the key material and the eight bytes of IV
//! in the packet.
//!
//! ```text
//! GCM:   AAD = SPI | high half with ESN | sequence number           text = payload and trailer
//! GMAC:  AAD = the same | IV | payload and trailer                  text = nothing
//! ```

use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::AeadInOut;
use cipher::array::Array;
use cipher::consts::U16;
use cipher::{BlockCipherEncrypt, InnerIvInit, KeyInit, StreamCipherCore};
use ctr::CtrCore;
use ctr::flavors::Ctr32BE;
use ghash::GHash;
use ghash::universal_hash::UniversalHash;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Aead, HighBits};

/// Length of SPI and sequence number in bytes.
const HEADER: usize = 8;
/// Length of the IV in the packet.
const IV: usize = 8;
/// Length of the ICV.
const TAG: usize = 16;

type Block = Array<u8, U16>;

/// The keys of one SA. The same serve for sealing and for opening.
#[allow(
    clippy::large_enum_variant,
    reason = "the schedule is the SA; there is no heap to put it on"
)]
pub(crate) enum AeadKeys {
    Gcm(Gcm),
    Gmac(Gcm),
    ChaCha20Poly1305(ChaCha20Poly1305, Salt),
}

/// The part of the nonce that comes with the keys.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Salt([u8; 4]);

/// What GCM keeps for an SA.
pub(crate) struct Gcm {
    aes: Aes,
    ghash: GHash,
    salt: Salt,
}

#[allow(
    clippy::large_enum_variant,
    reason = "the schedule is the SA; there is no heap to put it on"
)]
enum Aes {
    Aes128(Aes128Enc),
    Aes192(Aes192Enc),
    Aes256(Aes256Enc),
}

impl AeadKeys {
    /// `None` if `key_and_salt` does not have `aead.key_and_salt_len()` bytes.
    pub(super) fn new(aead: Aead, key_and_salt: &[u8]) -> Option<Self> {
        let (key, salt) = key_and_salt.split_last_chunk::<4>()?;
        let salt = Salt(*salt);
        Some(match aead {
            Aead::Aes128Gcm16 | Aead::Aes192Gcm16 | Aead::Aes256Gcm16 => {
                Self::Gcm(Gcm::new(key, salt)?)
            }
            Aead::Aes128Gmac | Aead::Aes192Gmac | Aead::Aes256Gmac => {
                Self::Gmac(Gcm::new(key, salt)?)
            }
            Aead::ChaCha20Poly1305 => {
                Self::ChaCha20Poly1305(ChaCha20Poly1305::new_from_slice(key).ok()?, salt)
            }
        })
    }

    /// Encrypts `message`, from the SPI to the trailer, in place behind its IV, and writes the ICV to `icv`.
    pub(super) fn seal(&self, message: &mut [u8], high: HighBits, icv: &mut [u8]) {
        let Some(parts) = Parts::of(message, high) else { return };
        let tag: [u8; TAG] = match self {
            Self::Gcm(gcm) => {
                let (mask, mut stream) = gcm.start(parts.iv);
                stream.apply(parts.text);
                gcm.tag(parts.aad(), parts.text, &mask)
            }
            Self::Gmac(gcm) => gcm.gmac(&parts),
            Self::ChaCha20Poly1305(keys, salt) => {
                let nonce = nonce(salt, parts.iv).into();
                let aad = parts.aad;
                let aad = aad.get(..parts.aad_len).unwrap_or_default();
                match keys.encrypt_inout_detached(&nonce, aad, parts.text.into()) {
                    Ok(tag) => tag.into(),
                    // Only texts of more than 256 GiB are refused.
                    Err(_) => return,
                }
            }
        };
        for (to, from) in icv.iter_mut().zip(tag) {
            *to = from;
        }
    }

    /// Whether `icv` is right; only then is `message` decrypted in place.
    pub(super) fn open(&self, message: &mut [u8], high: HighBits, icv: &[u8]) -> bool {
        let (Some(parts), Ok(icv)) = (Parts::of(message, high), <&[u8; TAG]>::try_from(icv)) else {
            return false;
        };
        match self {
            Self::Gcm(gcm) => {
                let (mask, mut stream) = gcm.start(parts.iv);
                let good = gcm.tag(parts.aad(), parts.text, &mask).ct_eq(icv).into();
                if good {
                    stream.apply(parts.text);
                }
                good
            }
            Self::Gmac(gcm) => gcm.gmac(&parts).ct_eq(icv).into(),
            Self::ChaCha20Poly1305(keys, salt) => {
                let nonce = nonce(salt, parts.iv).into();
                let aad = parts.aad;
                let aad = aad.get(..parts.aad_len).unwrap_or_default();
                keys.decrypt_inout_detached(&nonce, aad, parts.text.into(), icv.into()).is_ok()
            }
        }
    }
}

fn nonce(salt: &Salt, iv: [u8; IV]) -> [u8; 12] {
    let [s0, s1, s2, s3] = salt.0;
    let [i0, i1, i2, i3, i4, i5, i6, i7] = iv;
    [s0, s1, s2, s3, i0, i1, i2, i3, i4, i5, i6, i7]
}

/// The parts of a packet, as a combined mode sees them.
struct Parts<'p> {
    /// SPI and sequence number, the high half between them with ESN; then zeros.
    aad: [u8; 16],
    aad_len: usize,
    iv: [u8; IV],
    text: &'p mut [u8],
}

impl<'p> Parts<'p> {
    fn of(message: &'p mut [u8], high: HighBits) -> Option<Self> {
        let (header, rest) = message.split_first_chunk_mut::<HEADER>()?;
        let (iv, text) = rest.split_first_chunk_mut::<IV>()?;
        let [a, b, c, d, e, f, g, h] = *header;
        let (aad, aad_len) = match high {
            None => ([a, b, c, d, e, f, g, h, 0, 0, 0, 0, 0, 0, 0, 0], 8),
            Some([i, j, k, l]) => ([a, b, c, d, i, j, k, l, e, f, g, h, 0, 0, 0, 0], 12),
        };
        Some(Self { aad, aad_len, iv: *iv, text })
    }

    /// The AAD in one block, and its length.
    const fn aad(&self) -> (&[u8; 16], usize) {
        (&self.aad, self.aad_len)
    }
}

impl Gcm {
    fn new(key: &[u8], salt: Salt) -> Option<Self> {
        let aes = match key.len() {
            16 => Aes::Aes128(Aes128Enc::new_from_slice(key).ok()?),
            24 => Aes::Aes192(Aes192Enc::new_from_slice(key).ok()?),
            32 => Aes::Aes256(Aes256Enc::new_from_slice(key).ok()?),
            _ => return None,
        };
        let mut hash_key = Block::default();
        aes.encrypt_block(&mut hash_key);
        let ghash = GHash::new(&hash_key);
        hash_key.zeroize();
        Some(Self { aes, ghash, salt })
    }

    /// The mask of the tag, which is the key stream's first block, and the key stream behind it.
    fn start(&self, iv: [u8; IV]) -> (Block, KeyStream<'_>) {
        let [n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11] = nonce(&self.salt, iv);
        let first = Array([n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, n10, n11, 0, 0, 0, 1]);
        let mut stream = match &self.aes {
            Aes::Aes128(aes) => KeyStream::Aes128(CtrCore::inner_iv_init(aes, &first)),
            Aes::Aes192(aes) => KeyStream::Aes192(CtrCore::inner_iv_init(aes, &first)),
            Aes::Aes256(aes) => KeyStream::Aes256(CtrCore::inner_iv_init(aes, &first)),
        };
        (stream.block(), stream)
    }

    /// The tag over `aad` and ciphertext.
    fn tag(&self, (aad, aad_len): (&[u8; 16], usize), text: &[u8], mask: &Block) -> [u8; TAG] {
        let mut ghash = self.ghash.clone();
        ghash.update(&[Array(*aad)]);
        ghash.update_padded(text);
        finish(ghash, aad_len, text.len(), mask)
    }

    /// The tag of GMAC: everything is AAD.
    fn gmac(&self, parts: &Parts<'_>) -> [u8; TAG] {
        let (mask, _) = self.start(parts.iv);
        let mut ghash = self.ghash.clone();
        // The header fills half of the first block or three quarters, and the IV the rest and the start of the next:
        // the text begins wherever they end.
        let mut head = [0; 32];
        for (to, from) in head
            .iter_mut()
            .zip(parts.aad.iter().take(parts.aad_len).chain(&parts.iv).chain(&*parts.text))
        {
            *to = *from;
        }
        let head_len = parts.aad_len.saturating_add(IV);
        let taken = head.len().saturating_sub(head_len);
        let total = head_len.saturating_add(parts.text.len());
        ghash.update_padded(head.get(..total.min(head.len())).unwrap_or(&head));
        ghash.update_padded(parts.text.get(taken..).unwrap_or_default());
        finish(ghash, total, 0, &mask)
    }
}

/// Takes in the lengths, and masks the hash.
fn finish(mut ghash: GHash, aad_len: usize, text_len: usize, mask: &Block) -> [u8; TAG] {
    let bits = (aad_len as u128).wrapping_shl(67) | (text_len as u128).wrapping_shl(3);
    ghash.update(&[Array(bits.to_be_bytes())]);
    let mut tag: [u8; TAG] = ghash.finalize().into();
    for (byte, mask) in tag.iter_mut().zip(mask) {
        *byte ^= mask;
    }
    tag
}

impl Aes {
    fn encrypt_block(&self, block: &mut Block) {
        match self {
            Self::Aes128(aes) => aes.encrypt_block(block),
            Self::Aes192(aes) => aes.encrypt_block(block),
            Self::Aes256(aes) => aes.encrypt_block(block),
        }
    }
}

/// AES in counter mode from some block on.
enum KeyStream<'k> {
    Aes128(CtrCore<&'k Aes128Enc, Ctr32BE>),
    Aes192(CtrCore<&'k Aes192Enc, Ctr32BE>),
    Aes256(CtrCore<&'k Aes256Enc, Ctr32BE>),
}

impl KeyStream<'_> {
    fn block(&mut self) -> Block {
        let mut block = Block::default();
        match self {
            Self::Aes128(stream) => stream.write_keystream_block(&mut block),
            Self::Aes192(stream) => stream.write_keystream_block(&mut block),
            Self::Aes256(stream) => stream.write_keystream_block(&mut block),
        }
        block
    }

    /// Encrypts or decrypts all of `text`; the stream is of no use any more.
    fn apply(&mut self, text: &mut [u8]) {
        let (blocks, rest) = Array::slice_as_chunks_mut(text);
        match self {
            Self::Aes128(stream) => stream.apply_keystream_blocks(blocks),
            Self::Aes192(stream) => stream.apply_keystream_blocks(blocks),
            Self::Aes256(stream) => stream.apply_keystream_blocks(blocks),
        }
        if !rest.is_empty() {
            for (byte, key) in rest.iter_mut().zip(self.block()) {
                *byte ^= key;
            }
        }
    }
}
