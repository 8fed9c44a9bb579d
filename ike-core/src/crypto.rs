//! The algorithms of IKE, as tables of `&'static dyn`: what is not listed is dropped by the linker.
//!
//! Phase 1 needs three kinds: a hash, which as an HMAC is also the PRF (RFC 2409 §4), a cipher in CBC mode
//! (RFC 2409 Appendix B), and a Diffie-Hellman group. [`SOFTWARE`] lists everything this build has. A device
//! with fewer needs writes its own [`Crypto`] with fewer entries; one with an accelerator puts its own
//! implementation of a trait into the table.
//!
//! What RFC 4109 asks of an IKEv1 implementation, and where it is here:
//!
//! | algorithm | RFC 4109 | here |
//! |---|---|---|
//! | SHA-1, HMAC-SHA-1 | MUST | always |
//! | pre-shared keys | MUST | always |
//! | 3DES-CBC | MUST | feature `legacy` |
//! | MODP-1024 (group 2) | MUST | feature `legacy` |
//! | AES-128-CBC | SHOULD | always, with 192 and 256 bits |
//! | MODP-2048 (group 14) | SHOULD | always, with groups 15, 16, 19, 20 and 31 |
//! | RSA signatures | SHOULD | no: refused |
//! | AES-XCBC as PRF | SHOULD | no: nobody offers it |
//! | MD5, MODP-768 (group 1) | MAY | feature `legacy`, with MODP-1536 |
//! | DES, Tiger, EC2N groups, DSA, RSA encryption | MAY | no: broken, or never used |
//!
//! Not in RFC 4109: SHA-256, SHA-384, SHA-512 (RFC 4868), always.
//!
//! Diffie-Hellman is the slow part: 0.17 s for MODP-2048 on a 168 MHz microcontroller. A [`DhGroup`] works
//! therefore in slices inside a [`WorkMemory`]:
//!
//! ```
//! use ike_core::crypto::{SOFTWARE, WorkMemory};
//! use ike_core::wire::numbers::GroupDescription;
//!
//! let group = SOFTWARE.group(GroupDescription::MODP_2048).unwrap();
//! let private = [0x42; 32]; // from `random_private`
//! let mut memory = WorkMemory::new();
//! group.begin(&mut memory, &private, None).unwrap();
//! while !group.step(&mut memory, 16).done {
//!     // feed the watchdog, serve the network
//! }
//! let mut public = [0; 256];
//! assert_eq!(group.finish(&mut memory, &mut public), Ok(256));
//! ```

use core::fmt;

use rand_core::CryptoRng;

use crate::wire::numbers::{EncryptionAlgorithm, GroupDescription, HashAlgorithm};

pub mod ecp;
pub mod modp;
pub mod soft;
#[cfg(feature = "_sim")]
pub mod toy;
mod work;

pub use work::WorkMemory;

/// The longest output of a hash: SHA-512's.
pub const MAX_HASH_LEN: usize = 64;
/// The longest key of a CBC cipher: AES-256's.
pub const MAX_CIPHER_KEY_LEN: usize = 32;
/// The longest block of a CBC cipher: AES's.
pub const MAX_BLOCK_LEN: usize = 16;
/// The longest public value, and the longest shared secret: MODP-4096's.
pub const MAX_PUBLIC_LEN: usize = 512;
/// The longest private value.
pub const MAX_PRIVATE_LEN: usize = 64;

/// The algorithms at hand. An algorithm that is not listed is not negotiated.
#[derive(Clone, Copy, Debug)]
pub struct Crypto {
    /// Hashes, each with its HMAC as the PRF.
    pub hashes: &'static [&'static dyn Prf],
    /// Ciphers in CBC mode, one entry for each key length.
    pub ciphers: &'static [&'static dyn CbcCipher],
    /// Diffie-Hellman groups.
    pub groups: &'static [&'static dyn DhGroup],
}

impl Crypto {
    /// The hash with this number, if it is listed.
    #[must_use]
    pub fn hash(&self, id: HashAlgorithm) -> Option<&'static dyn Prf> {
        self.hashes.iter().copied().find(|hash| hash.id() == id)
    }

    /// The cipher with this number and this value of the Key Length attribute; 0 stands for an absent attribute.
    ///
    /// AES must be offered with a key length (RFC 3602 §5.3 has no default for IKE), a cipher whose key length is
    /// fixed without one (RFC 2409 Appendix A): everything else is not found.
    #[must_use]
    pub fn cipher(&self, id: EncryptionAlgorithm, key_bits: u16) -> Option<&'static dyn CbcCipher> {
        self.ciphers
            .iter()
            .copied()
            .find(|cipher| cipher.id() == id && cipher.key_length_attribute() == key_bits)
    }

    /// The group with this number, if it is listed.
    #[must_use]
    pub fn group(&self, id: GroupDescription) -> Option<&'static dyn DhGroup> {
        self.groups.iter().copied().find(|group| group.id() == id)
    }
}

impl fmt::Debug for dyn Prf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.id(), f)
    }
}

impl fmt::Debug for dyn CbcCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}, {} bytes of key", self.id(), self.key_len())
    }
}

impl fmt::Debug for dyn DhGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.id(), f)
    }
}

/// Everything this build has in software.
pub static SOFTWARE: Crypto =
    Crypto { hashes: soft::HASHES, ciphers: soft::CIPHERS, groups: SOFTWARE_GROUPS };

const SOFTWARE_GROUPS: &[&dyn DhGroup] = &[
    &ecp::CURVE25519,
    &ecp::ECP_256,
    &ecp::ECP_384,
    &modp::MODP_2048,
    &modp::MODP_3072,
    &modp::MODP_4096,
    #[cfg(feature = "legacy")]
    &modp::MODP_1536,
    #[cfg(feature = "legacy")]
    &modp::MODP_1024,
    #[cfg(feature = "legacy")]
    &modp::MODP_768,
];

/// A hash, and the pseudo-random function that is the HMAC over it (RFC 2409 §4, RFC 2104).
///
/// Data come in pieces and count as their concatenation. At most `output_len` bytes are written, the first ones
/// of the result; an `out` that is shorter cuts it. What lies behind them in `out` is not touched.
pub trait Prf: Sync {
    /// The number of the hash in a phase 1 transform.
    fn id(&self) -> HashAlgorithm;

    /// Bytes of output, at most [`MAX_HASH_LEN`].
    fn output_len(&self) -> usize;

    /// prf(key, data): the HMAC. A key may have any length, none included.
    fn prf(&self, key: &[u8], data: &[&[u8]], out: &mut [u8]);

    /// hash(data).
    fn hash(&self, data: &[&[u8]], out: &mut [u8]);
}

/// A block cipher in CBC mode (RFC 2409 Appendix B).
pub trait CbcCipher: Sync {
    /// The number of the cipher in a phase 1 transform.
    fn id(&self) -> EncryptionAlgorithm;

    /// Bytes of key, at most [`MAX_CIPHER_KEY_LEN`].
    fn key_len(&self) -> usize;

    /// The Key Length attribute that goes with this cipher, in bits; 0 where the attribute must be absent.
    fn key_length_attribute(&self) -> u16;

    /// Bytes of a block, and of the IV; at most [`MAX_BLOCK_LEN`].
    fn block_len(&self) -> usize;

    /// Encrypts `data` in place.
    ///
    /// # Errors
    /// A key or IV of another length than the cipher's, or data that are not whole blocks; `data` is then as before.
    fn encrypt(&self, key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError>;

    /// Decrypts `data` in place.
    ///
    /// # Errors
    /// As [`Self::encrypt`].
    fn decrypt(&self, key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError>;
}

/// A Diffie-Hellman group, computed in slices.
///
/// One computation at a time lives in a [`WorkMemory`]: `begin`, then `step` until it is done, then `finish`.
/// A public value is the body of the KE payload, big endian, padded to its full length (RFC 2409 §5).
pub trait DhGroup: Sync {
    /// The number of the group in a transform.
    fn id(&self) -> GroupDescription;

    /// Bytes of a public value, at most [`MAX_PUBLIC_LEN`].
    fn public_len(&self) -> usize;

    /// Bytes of a private value, at most [`MAX_PRIVATE_LEN`]; twice the strength of the group in bits, or more.
    fn private_len(&self) -> usize;

    /// Bytes of a shared secret, at most [`MAX_PUBLIC_LEN`].
    fn shared_len(&self) -> usize;

    /// Whether `private` has the right length and lies in the range the group asks for.
    fn is_private(&self, private: &[u8]) -> bool {
        private.len() == self.private_len()
    }

    /// Checks the peer's public value, without a slow operation.
    ///
    /// # Errors
    /// The wrong length, a value that leaves no secret (0, 1, p-1, p and above), or a point off the curve.
    fn check_public(&self, public: &[u8]) -> Result<(), PublicValueError>;

    /// Starts to compute our public value (`peer_public` is `None`), or the shared secret with the peer's.
    /// What was in `memory` is wiped first.
    ///
    /// # Errors
    /// [`Self::check_public`]'s, or [`DhError::PrivateValue`]; `memory` is then empty.
    fn begin(
        &self,
        memory: &mut WorkMemory,
        private: &[u8],
        peer_public: Option<&[u8]>,
    ) -> Result<(), DhError>;

    /// Goes on for about `budget` modular multiplications of this group, at least one.
    ///
    /// An elliptic curve is done in one step, whatever the budget. On a Cortex-M4 curve25519 takes a sixteenth of
    /// MODP-2048's time and P-256 a quarter; P-384 takes three times as long as P-256.
    fn step(&self, memory: &mut WorkMemory, budget: u32) -> Step;

    /// Writes the result, big endian, to the head of `out`, and wipes `memory`. Returns its length:
    /// [`Self::public_len`] or [`Self::shared_len`].
    ///
    /// # Errors
    /// Nothing begun with this group or not yet done, `out` too short, or a shared secret that is no secret
    /// (curve25519 with a point of small order). `memory` is wiped all the same.
    fn finish(&self, memory: &mut WorkMemory, out: &mut [u8]) -> Result<usize, DhError>;
}

/// What a [`DhGroup::step`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Modular multiplications used, or what a curve costs in those of MODP-2048, roughly.
    pub used: u32,
    /// The result is ready for [`DhGroup::finish`].
    pub done: bool,
}

/// A private value from `rng`, to the head of `out`; returns its length, [`DhGroup::private_len`].
///
/// # Errors
/// [`DhError::Output`] if `out` is too short; [`DhError::PrivateValue`] if the generator gives nothing usable:
/// it is broken (a good one fails once in 2^1000 times).
pub fn random_private(
    group: &dyn DhGroup,
    rng: &mut dyn CryptoRng,
    out: &mut [u8],
) -> Result<usize, DhError> {
    // P-256 refuses one value in 2^32: those at or above the group's order, and zero.
    const TRIES: usize = 32;
    let needed = group.private_len();
    let private = out.get_mut(..needed).ok_or(DhError::Output { needed })?;
    for _ in 0..TRIES {
        rng.fill_bytes(private);
        if group.is_private(private) {
            return Ok(needed);
        }
    }
    private.fill(0);
    Err(DhError::PrivateValue)
}

/// What is wrong with the peer's public value: never used, and worth `INVALID-KEY-INFORMATION` to the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublicValueError {
    /// Not the group's length (RFC 2409 §5).
    Length {
        /// Bytes of the group's public values.
        expected: usize,
        /// Bytes that came.
        given: usize,
    },
    /// 0, 1, p-1 or not below p: the shared secret would be known to everybody (CVE-2015-3240).
    OutOfRange,
    /// Not a point of the curve, or the point at infinity.
    NotOnCurve,
    /// A point of small order: the shared secret came out as zero (RFC 7748 §6.1).
    SmallOrder,
}

/// Why a Diffie-Hellman computation gives no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DhError {
    /// The peer's public value is at fault.
    PublicValue(PublicValueError),
    /// The private value has the wrong length or is out of range.
    PrivateValue,
    /// Nothing was begun in this memory, or by another group.
    NotBegun,
    /// There is work left.
    NotDone,
    /// The output buffer is too short.
    Output {
        /// Bytes it must have.
        needed: usize,
    },
}

impl From<PublicValueError> for DhError {
    fn from(error: PublicValueError) -> Self {
        Self::PublicValue(error)
    }
}

/// Why a cipher refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CryptoError {
    /// The key has the wrong length for the cipher.
    KeyLength,
    /// The IV is not one block long.
    IvLength,
    /// The data are not whole blocks.
    PartialBlock,
}
