//! Combined modes: AES-GCM (RFC 4106), AES-GMAC (RFC 4543) and ChaCha20-Poly1305 (RFC 7634).
//!
//! GCM is put together here from AES and POLYVAL, so that the key schedule and the powers of the hash
//! key are made once for an SA and not once for a packet, and so that the cipher's backend is entered
//! once for a packet. GHASH is POLYVAL with the bytes of every block turned round, under another key
//! (RFC 8452 App. A). The nonce is the salt from the key material and the eight bytes of IV in the
//! packet.
//!
//! ```text
//! GCM:   AAD = SPI | high half with ESN | sequence number           text = payload and trailer
//! GMAC:  AAD = the same | IV | payload and trailer                  text = nothing
//! ```
//!
//! RFC 4543 is not clear whether the IV belongs to the AAD of GMAC: its Figure 4 has it in, and so have
//! the Linux kernel and everybody who talks to it.

use aes::{Aes128Enc, Aes192Enc, Aes256Enc};
use chacha20poly1305::ChaCha20Poly1305;
use chacha20poly1305::aead::AeadInOut;
use cipher::array::Array;
use cipher::consts::U16;
use cipher::{
    BlockCipherEncBackend, BlockCipherEncClosure, BlockCipherEncrypt, BlockSizeUser, KeyInit,
};
use polyval::Polyval;
use polyval::universal_hash::UniversalHash;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, optimization_barrier};

use super::blocks::{Block, GROUP, encrypt_each, mixed};
use super::{Aead, HighBits};

/// Length of SPI and sequence number in bytes.
const HEADER: usize = 8;
/// Length of the IV in the packet.
const IV: usize = 8;
/// Length of the ICV.
const TAG: usize = 16;

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
    polyval: Polyval,
    salt: Salt,
}

impl Drop for Gcm {
    /// The cipher and the salt wipe themselves. The hash could, but then every packet's copy of it would
    /// too, at the price of the whole rest.
    fn drop(&mut self) {
        self.polyval = Polyval::new(&Block::default());
        optimization_barrier(&self.polyval);
    }
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
            Self::Gcm(gcm) => gcm.seal(parts),
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
            Self::Gcm(gcm) => gcm.open(parts, icv),
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

#[cfg(test)]
impl AeadKeys {
    /// GCM with AAD of any length, which ESP has not: for published vectors. Gives the tag.
    pub(super) fn gcm_with_aad(&self, iv: [u8; IV], aad: &[u8], text: &mut [u8]) -> [u8; TAG] {
        let Self::Gcm(gcm) = self else { panic!("GCM alone") };
        let (mut hash, mut mask) = (gcm.ghash(), Block::default());
        hash.absorb(aad);
        let counter = Counter::new(&gcm.salt, iv);
        gcm.aes.run(Stream { counter, mask: &mut mask, text });
        hash.absorb(text);
        hash.push(&lengths(aad.len(), text.len()));
        hash.tag(&mask)
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
        aes.run(Single { block: &mut hash_key });
        let mut key = Array(polyval_key(hash_key.0));
        let polyval = Polyval::new(&key);
        hash_key.zeroize();
        key.zeroize();
        Some(Self { aes, polyval, salt })
    }

    /// Encrypts the text; gives the tag.
    fn seal(&self, parts: Parts<'_>) -> [u8; TAG] {
        let mut tag = [0; TAG];
        let counter = Counter::new(&self.salt, parts.iv);
        self.aes.run(Seal { parts, counter, hash: self.ghash(), tag: &mut tag });
        tag
    }

    /// Whether `icv` is right; only then is the text decrypted.
    fn open(&self, parts: Parts<'_>, icv: &[u8; TAG]) -> bool {
        let mut good = false;
        let counter = Counter::new(&self.salt, parts.iv);
        self.aes.run(Open { parts, counter, hash: self.ghash(), icv, good: &mut good });
        good
    }

    /// The tag of GMAC: everything is AAD.
    fn gmac(&self, parts: &Parts<'_>) -> [u8; TAG] {
        let mut mask = Counter::new(&self.salt, parts.iv).next();
        self.aes.run(Single { block: &mut mask });
        // The header fills half of the first block or three quarters, and the IV the rest and the
        // start of the next: the text begins wherever they end.
        let mut head = [0; 32];
        let start = parts.aad.iter().take(parts.aad_len).chain(&parts.iv);
        for (to, from) in head.iter_mut().zip(start.chain(&*parts.text)) {
            *to = *from;
        }
        let head_len = parts.aad_len.saturating_add(IV);
        let total = head_len.saturating_add(parts.text.len());
        let rest = parts.text.get(head.len().saturating_sub(head_len)..).unwrap_or_default();
        let mut hash = self.ghash();
        hash.absorb(head.get(..total.min(32)).unwrap_or(&head));
        hash.absorb(rest);
        hash.push(&lengths(total, 0));
        hash.tag(&mask)
    }

    fn ghash(&self) -> Ghash {
        Ghash { hash: self.polyval.clone(), waiting: [Block::default(); GROUP], count: 0 }
    }
}

/// GHASH under way. Blocks are collected, since several at once are quicker.
struct Ghash {
    hash: Polyval,
    waiting: [Block; GROUP],
    count: usize,
}

impl Ghash {
    #[inline(always)]
    fn push(&mut self, block: &[u8; 16]) {
        if let Some(place) = self.waiting.get_mut(self.count) {
            *place = reversed(block);
        }
        self.count = self.count.saturating_add(1);
        if self.count == GROUP {
            self.hash.update(&self.waiting);
            self.count = 0;
        }
    }

    /// Takes in `data`, padded with zeros to whole blocks.
    #[inline(always)]
    fn absorb(&mut self, data: &[u8]) {
        let (blocks, rest) = data.as_chunks();
        for block in blocks {
            self.push(block);
        }
        if !rest.is_empty() {
            self.push(&padded(rest));
        }
    }

    #[inline(always)]
    fn tag(mut self, mask: &Block) -> [u8; TAG] {
        self.hash.update(self.waiting.get(..self.count).unwrap_or_default());
        let hash = u128::from_le_bytes(self.hash.finalize().0);
        (hash ^ u128::from_be_bytes(mask.0)).to_be_bytes()
    }
}

/// A block as POLYVAL wants it.
fn reversed(block: &[u8; 16]) -> Block {
    let mut turned = *block;
    turned.reverse();
    Array(turned)
}

/// Up to 16 bytes and zeros behind them.
fn padded(bytes: &[u8]) -> [u8; 16] {
    let mut block = [0; 16];
    for (to, from) in block.iter_mut().zip(bytes) {
        *to = *from;
    }
    block
}

/// The key for POLYVAL that makes it GHASH under `hash_key`: turned round, and multiplied by x.
fn polyval_key(hash_key: [u8; 16]) -> [u8; 16] {
    /// x^128 modulo the polynomial of POLYVAL, x^128 + x^127 + x^126 + x^121 + 1.
    const REDUCED: u128 = 1 << 127 | 1 << 126 | 1 << 121 | 1;
    let key = u128::from_be_bytes(hash_key);
    // All ones if a bit is shifted out: no branch on a secret.
    let carry = 0_u128.wrapping_sub(key >> 127);
    (key << 1 ^ carry & REDUCED).to_le_bytes()
}

/// The last block of the hash: the lengths of AAD and text in bits, turned round.
const fn lengths(aad_len: usize, text_len: usize) -> [u8; 16] {
    let bits = (aad_len as u128).wrapping_shl(67) | (text_len as u128).wrapping_shl(3);
    bits.to_be_bytes()
}

impl Aes {
    fn run(&self, work: impl BlockCipherEncClosure<BlockSize = U16>) {
        match self {
            Self::Aes128(aes) => aes.encrypt_with_backend(work),
            Self::Aes192(aes) => aes.encrypt_with_backend(work),
            Self::Aes256(aes) => aes.encrypt_with_backend(work),
        }
    }
}

/// Encrypts one block.
struct Single<'t> {
    block: &'t mut Block,
}

impl BlockSizeUser for Single<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Single<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        backend.encrypt_block_inplace(self.block);
    }
}

/// The blocks whose encryption is the key stream: the nonce and a number that starts at 1 (RFC 4106 §3.1).
struct Counter {
    /// The nonce as the front of a little-endian number, so that blocks are made in registers.
    nonce: u128,
    next: u32,
}

impl Counter {
    fn new(salt: &Salt, iv: [u8; IV]) -> Self {
        Self { nonce: u128::from_le_bytes(padded(&nonce(salt, iv))), next: 1 }
    }

    /// The next block. A packet is far too short for them to run out.
    #[inline(always)]
    fn next(&mut self) -> Block {
        let number = u128::from(self.next.swap_bytes()) << 96;
        self.next = self.next.wrapping_add(1);
        Array((self.nonce | number).to_le_bytes())
    }

    /// Puts the key stream onto `text`, and shows each block of the result to `seen`.
    #[inline(always)]
    fn encrypt<B: BlockCipherEncBackend<BlockSize = U16>>(
        &mut self,
        backend: &B,
        text: &mut [u8],
        mut seen: impl FnMut(&[u8; 16]),
    ) {
        let (blocks, rest) = text.as_chunks_mut::<16>();
        let (groups, remainder) = blocks.as_chunks_mut::<GROUP>();
        for group in groups {
            let mut keys = [(); GROUP].map(|()| self.next());
            encrypt_each(backend, &mut keys);
            for (block, key) in group.iter_mut().zip(&keys) {
                *block = mixed(block, key);
            }
            group.iter().for_each(&mut seen);
        }
        let mut keys = [Block::default(); GROUP];
        let keys = keys.get_mut(..remainder.len()).unwrap_or_default();
        keys.iter_mut().for_each(|key| *key = self.next());
        encrypt_each(backend, keys);
        for (block, key) in remainder.iter_mut().zip(&*keys) {
            *block = mixed(block, key);
        }
        remainder.iter().for_each(&mut seen);
        if !rest.is_empty() {
            let mut key = self.next();
            backend.encrypt_block_inplace(&mut key);
            let block = mixed(&padded(rest), &key);
            for (to, from) in rest.iter_mut().zip(block) {
                *to = from;
            }
            seen(&padded(rest));
        }
    }
}

/// Encrypts and authenticates a packet; each group of blocks is hashed while the next is encrypted.
struct Seal<'t> {
    parts: Parts<'t>,
    counter: Counter,
    hash: Ghash,
    tag: &'t mut [u8; TAG],
}

impl BlockSizeUser for Seal<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Seal<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let Self { parts, mut counter, mut hash, tag } = self;
        let mut mask = counter.next();
        backend.encrypt_block_inplace(&mut mask);
        hash.push(&parts.aad);
        counter.encrypt(backend, parts.text, |block| hash.push(block));
        hash.push(&lengths(parts.aad_len, parts.text.len()));
        *tag = hash.tag(&mask);
    }
}

/// Checks the ICV of a packet, and decrypts it if that is right.
struct Open<'t> {
    parts: Parts<'t>,
    counter: Counter,
    hash: Ghash,
    icv: &'t [u8; TAG],
    good: &'t mut bool,
}

impl BlockSizeUser for Open<'_> {
    type BlockSize = U16;
}

impl BlockCipherEncClosure for Open<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(self, backend: &B) {
        let Self { parts, mut counter, mut hash, icv, good } = self;
        let mut mask = counter.next();
        backend.encrypt_block_inplace(&mut mask);
        hash.push(&parts.aad);
        hash.absorb(parts.text);
        hash.push(&lengths(parts.aad_len, parts.text.len()));
        *good = hash.tag(&mask).ct_eq(icv).into();
        if *good {
            counter.encrypt(backend, parts.text, |_| {});
        }
    }
}

/// The key stream alone.
#[cfg(test)]
struct Stream<'t> {
    counter: Counter,
    mask: &'t mut Block,
    text: &'t mut [u8],
}

#[cfg(test)]
impl BlockSizeUser for Stream<'_> {
    type BlockSize = U16;
}

#[cfg(test)]
impl BlockCipherEncClosure for Stream<'_> {
    #[inline(always)]
    fn call<B: BlockCipherEncBackend<BlockSize = U16>>(mut self, backend: &B) {
        *self.mask = self.counter.next();
        backend.encrypt_block_inplace(self.mask);
        self.counter.encrypt(backend, self.text, |_| {});
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// RFC 4543 §3: GMAC of a packet is GCM of nothing, with all of the packet as AAD. That GCM is right, published vectors
    /// show, for AAD of any length.
    #[test]
    fn gmac_is_gcm_of_nothing() {
        for (gmac, gcm) in [
            (Aead::Aes128Gmac, Aead::Aes128Gcm16),
            (Aead::Aes192Gmac, Aead::Aes192Gcm16),
            (Aead::Aes256Gmac, Aead::Aes256Gcm16),
        ] {
            let key: Vec<u8> = (1..).take(gmac.key_and_salt_len()).collect();
            let [gmac, gcm] = [gmac, gcm].map(|aead| AeadKeys::new(aead, &key).expect("fits"));
            let (spi, number) = ([0x12, 0x34, 0x56, 0x78], [0, 0, 0, 9]);
            let iv = [0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7];
            for text_len in 0..100 {
                let text: Vec<u8> = (0x40..).take(text_len).collect();
                let packet = [&spi[..], &number, &iv, &text].concat();
                for high in [None, Some([0, 0, 0, 5])] {
                    let high_bytes = high.as_ref().map_or(&[][..], |high| high);
                    let aad = [&spi[..], high_bytes, &number, &iv, &text].concat();
                    let expected = gcm.gcm_with_aad(iv, &aad, &mut []);
                    let (mut sealed, mut icv) = (packet.clone(), [0; TAG]);
                    gmac.seal(&mut sealed, high, &mut icv);
                    assert_eq!((&sealed, icv), (&packet, expected), "{text_len} {high:?}");
                    assert!(gmac.open(&mut sealed, high, &icv));
                    assert!(!gmac.open(&mut sealed, high, &icv[..12]), "cut");
                }
            }
        }
    }
}
