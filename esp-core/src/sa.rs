//! What describes one security association: the vocabulary that a key manager and the data plane share.
//!
//! RFC 4301 §4.4.2 lists what an SA consists of. [`SaParams`] is that list, for one direction. A key manager
//! (`ike-core`, another one, or a human with manual keys) fills it in; the data plane takes it by value and
//! expands the keys once.

use core::fmt;
use core::net::IpAddr;
use core::num::NonZeroU32;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::replay::ReplayWindow;
use crate::{TrafficSelectors, Transform};

/// Security Parameters Index, 32 bits, chosen by the receiver of the SA.
///
/// Zero means "no SA" on the wire, and 1 to 255 are reserved (RFC 4303 §2.1): none of them can be a `Spi`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Spi(NonZeroU32);

impl Spi {
    /// The smallest value that may be allocated.
    pub const MIN: u32 = 256;

    /// `value` as an SPI; `None` for the reserved values 0 to 255.
    #[must_use]
    pub const fn new(value: u32) -> Option<Self> {
        if value < Self::MIN {
            return None;
        }
        match NonZeroU32::new(value) {
            Some(value) => Some(Self(value)),
            None => None,
        }
    }

    /// The number as it stands in the ESP header.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The four bytes as they stand in the ESP header.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 4] {
        self.0.get().to_be_bytes()
    }
}

impl fmt::Debug for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Spi({:#010x})", self.get())
    }
}

impl fmt::Display for Spi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.get())
    }
}

/// What an SA protects: whole packets between two gateways, or the payload of the host's own (RFC 4301 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// The inner IP packet is carried whole behind a new outer header.
    Tunnel,
    /// The IP header stays; what follows it is protected.
    Transport,
}

/// What stands between the outer IP header and the ESP header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Encap {
    /// Nothing: IP protocol 50.
    None,
    /// A UDP header (RFC 3948), with these ports in host byte order.
    Udp {
        /// The port on our side, normally 4500.
        local_port: u16,
        /// The port at which the peer (or its NAT) is seen.
        remote_port: u16,
    },
}

/// The entry of the security policy database an SA serves. The host chooses the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyId(pub u32);

/// A set of DSCPs, the upper six bits of the TOS or traffic class (RFC 2474).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DscpSet(u64);

impl DscpSet {
    /// All 64.
    pub const ALL: Self = Self(u64::MAX);

    /// These; `None` if one is above 63.
    #[must_use]
    pub const fn of(values: &[u8]) -> Option<Self> {
        let (mut set, mut rest) = (0, values);
        while let [value, others @ ..] = rest {
            if *value > 63 {
                return None;
            }
            set |= 1 << *value;
            rest = others;
        }
        Some(Self(set))
    }

    /// All but these.
    #[must_use]
    pub const fn others(self) -> Self {
        Self(!self.0)
    }

    /// Whether that of a packet with this TOS or traffic class byte is one of them.
    #[must_use]
    pub const fn contains(self, traffic_class: u8) -> bool {
        self.0 >> (traffic_class >> 2) & 1 == 1
    }
}

impl fmt::Debug for DscpSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("ALL");
        }
        f.debug_set().entries((0..64_u8).filter(|value| self.contains(value << 2))).finish()
    }
}

/// One limit of an SA's life, in bytes and packets. `u64::MAX` means none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Bytes protected: what goes through the cipher (RFC 2407 §4.5, "kilobytes" there are 1024 of these).
    pub bytes: u64,
    /// Packets protected.
    pub packets: u64,
}

impl Limit {
    /// No limit.
    pub const NONE: Self = Self { bytes: u64::MAX, packets: u64::MAX };
}

/// When an SA is to be renewed (soft) and when it must not be used any more (hard): RFC 4301 §4.4.2.1.
///
/// Seconds are not here: this crate has no clock, they belong to the key manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// Beyond this a notice asks for a successor; traffic goes on.
    pub soft: Limit,
    /// Beyond this nothing is sealed or opened.
    pub hard: Limit,
}

impl Lifetime {
    /// No limits but the sequence number's.
    pub const UNLIMITED: Self = Self { soft: Limit::NONE, hard: Limit::NONE };
}

/// The keys of one direction, in the order of RFC 2409 §5.5 and RFC 4303: encryption key (with its salt, where
/// the transform has one, behind it), then integrity key. Zeroized on drop, never printed, never cloned.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct KeyMaterial {
    bytes: [u8; Self::MAX],
    len: usize,
}

impl KeyMaterial {
    /// The most any transform needs: 32 bytes of cipher key and 64 of integrity key.
    pub const MAX: usize = 96;

    /// Room for `len` bytes of keys, all zero, to be written in place through [`Self::as_mut_slice`].
    ///
    /// `None` if `len` is above [`Self::MAX`].
    #[must_use]
    pub const fn zeroed(len: usize) -> Option<Self> {
        if len > Self::MAX { None } else { Some(Self { bytes: [0; Self::MAX], len }) }
    }

    /// A copy of `keys`; `None` if it is longer than [`Self::MAX`].
    #[must_use]
    pub fn from_slice(keys: &[u8]) -> Option<Self> {
        let mut material = Self::zeroed(keys.len())?;
        material.as_mut_slice().copy_from_slice(keys);
        Some(material)
    }

    /// The keys.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    /// The keys, to be written.
    #[must_use]
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        self.bytes.get_mut(..self.len).unwrap_or_default()
    }
}

impl fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyMaterial({} bytes)", self.len)
    }
}

/// One direction of a security association, as agreed by the key manager (RFC 4301 §4.4.2.1).
///
/// "Local" is this host in both directions: for an inbound SA the packets come from `remote` to `local`.
#[derive(Debug)]
pub struct SaParams {
    /// Chosen by the receiver: ours for an inbound SA, the peer's for an outbound one.
    pub spi: Spi,
    /// Tunnel or transport.
    pub mode: Mode,
    /// Our address on the outside.
    pub local: IpAddr,
    /// The peer's address on the outside.
    pub remote: IpAddr,
    /// UDP encapsulation, or none.
    pub encap: Encap,
    /// The algorithms.
    pub transform: Transform,
    /// The keys; their length must be `transform.key_material_len()`.
    pub keys: KeyMaterial,
    /// 64-bit extended sequence numbers (RFC 4303 §2.2.1).
    pub esn: bool,
    /// Packets the anti-replay window spans (RFC 4303 §3.4.3). 32 to 1024; 0 is refused: this crate does not
    /// receive without anti-replay.
    pub replay_window: u16,
    /// Limits in bytes and packets.
    pub lifetime: Lifetime,
    /// The traffic the SA was negotiated for, checked against every inner packet.
    pub selectors: TrafficSelectors,
    /// Outbound: which packets go by this SA, where several with the same selectors stand side by side so that one class of
    /// service does not push another out of the replay window (RFC 4301 §4.1). Not negotiated, and nothing to the receiver:
    /// [`DscpSet::ALL`] unless the host has classes.
    pub dscp: DscpSet,
    /// The policy entry that this SA serves.
    pub policy: PolicyId,
    /// The key manager's own name for the SA; comes back in every notice, means nothing here.
    pub owner: u64,
}

impl SaParams {
    /// Whether an SA can be made of this. Installing does the same check; a key manager may do it before it answers
    /// its peer.
    ///
    /// # Errors
    /// What makes no sense: the length of the keys, the window, limits in the wrong order, families that do not fit.
    pub fn check(&self) -> Result<(), SaError> {
        let (needed, given) = (self.transform.key_material_len(), self.keys.as_slice().len());
        if needed != given {
            return Err(SaError::KeyLength { needed, given });
        }
        if !(ReplayWindow::MIN..=ReplayWindow::MAX).contains(&self.replay_window) {
            return Err(SaError::ReplayWindow(self.replay_window));
        }
        let Lifetime { soft, hard } = self.lifetime;
        if soft.bytes > hard.bytes || soft.packets > hard.packets {
            return Err(SaError::SoftAboveHard);
        }
        if self.local.is_ipv4() != self.remote.is_ipv4() || !self.selectors.is_consistent() {
            return Err(SaError::AddressFamily);
        }
        Ok(())
    }
}

/// What an SA is, its keys apart: what remains of [`SaParams`], for status programs.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Association {
    /// Chosen by the receiver.
    pub spi: Spi,
    /// Tunnel or transport.
    pub mode: Mode,
    /// Our address on the outside.
    pub local: IpAddr,
    /// The peer's address on the outside, as it is now.
    pub remote: IpAddr,
    /// UDP encapsulation, as it is now, or none.
    pub encap: Encap,
    /// The algorithms.
    pub transform: Transform,
    /// 64-bit extended sequence numbers.
    pub esn: bool,
    /// Limits in bytes and packets.
    pub lifetime: Lifetime,
    /// The traffic it is for.
    pub selectors: TrafficSelectors,
    /// Outbound: the classes of packets that it takes.
    pub dscp: DscpSet,
    /// The policy entry that it serves.
    pub policy: PolicyId,
    /// The key manager's own name for it.
    pub owner: u64,
}

impl From<&SaParams> for Association {
    fn from(params: &SaParams) -> Self {
        Self {
            spi: params.spi,
            mode: params.mode,
            local: params.local,
            remote: params.remote,
            encap: params.encap,
            transform: params.transform,
            esn: params.esn,
            lifetime: params.lifetime,
            selectors: params.selectors,
            dscp: params.dscp,
            policy: params.policy,
            owner: params.owner,
        }
    }
}

/// What an SA has carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes that went through the cipher: payload, padding and trailer.
    pub bytes: u64,
    /// Packets.
    pub packets: u64,
    /// Inbound: packets refused as replayed or too old.
    pub replayed: u64,
    /// Inbound: packets whose integrity check failed.
    pub integrity: u64,
}

impl Counters {
    /// Whether `bytes` more in one packet stay within `limit`.
    pub(crate) const fn allows(&self, limit: Limit, bytes: u64) -> bool {
        self.bytes.saturating_add(bytes) <= limit.bytes && self.packets < limit.packets
    }

    /// Whether `limit` is reached.
    pub(crate) const fn reached(&self, limit: Limit) -> bool {
        self.bytes >= limit.bytes || self.packets >= limit.packets
    }

    pub(crate) const fn count(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.packets = self.packets.saturating_add(1);
    }
}

/// What the key manager is to hear of an SA, once each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Raised {
    pub(crate) soft: bool,
    pub(crate) hard: bool,
    pub(crate) sequence_low: bool,
    pub(crate) reservation_low: bool,
}

/// Why an SA cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaError {
    /// The key material has the wrong length for the transform.
    KeyLength {
        /// Bytes that the transform needs.
        needed: usize,
        /// Bytes that were given.
        given: usize,
    },
    /// The replay window is not 32 to 1024 packets.
    ReplayWindow(u16),
    /// A soft limit lies above its hard limit.
    SoftAboveHard,
    /// Outer addresses of two families, or selectors that mix them.
    AddressFamily,
}

impl fmt::Display for SaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyLength { needed, given } => {
                write!(f, "key material of {given} bytes, the transform needs {needed}")
            }
            Self::ReplayWindow(size) => {
                write!(f, "replay window of {size} packets, not 32 to 1024")
            }
            Self::SoftAboveHard => f.write_str("soft limit above the hard limit"),
            Self::AddressFamily => f.write_str(
                "addresses of different families, or a range that ends before it starts",
            ),
        }
    }
}

impl core::error::Error for SaError {}
