//! Policy and SAs together: what happens to a packet (RFC 4301 §5).
//!
//! ```text
//!  IP packet ─► outbound() ─► Spd ─┬─ Bypass ──────────────────────────────► Bypass
//!                                  ├─ Discard ─────────────────────────────► Discard
//!                                  └─ Protect ─► SA? ─┬─ yes ─► seal ──────► Send
//!                                                     └─ no ── Acquire ────► Hold
//!
//!  ESP ───────► inbound() ──► Sad ─► open ─► selectors, Spd ─┬─ fit ───────► Deliver
//!  clear IP ──►            ──► Spd ─┬─ Bypass ─► Bypass      └─ else ──────► Discard
//!                                   └─ Protect, Discard, nothing ──────────► Discard
//! ```

use rand_core::CryptoRng;

use crate::packet::{NoRoom, PacketBuf};
use crate::spd::SpdEntry;
use crate::tunnel::Outer;
use crate::{PolicyId, SaError, SaParams, Spi, TrafficSelectors};

/// All the memory of a [`Processor`]: its sizes are the whole memory budget.
///
/// `POLICIES` lines of the access list, `SAS` security associations in each direction, and `FLOWS` entries of the
/// cache that remembers which line a flow matched (0 is allowed). The empty value is all zero bits, so that a static
/// lies in `.bss`.
#[derive(Debug)]
pub struct Tables<const POLICIES: usize, const SAS: usize, const FLOWS: usize> {
    _private: (),
}

impl<const POLICIES: usize, const SAS: usize, const FLOWS: usize> Tables<POLICIES, SAS, FLOWS> {
    /// Empty tables.
    #[must_use]
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl<const POLICIES: usize, const SAS: usize, const FLOWS: usize> Default
    for Tables<POLICIES, SAS, FLOWS>
{
    fn default() -> Self {
        Self::new()
    }
}

/// What a protected packet looks like in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A whole IP packet, UDP header included where there is one: for stacks that send IP packets.
    Ip,
    /// ESP alone, from the SPI on: for hosts that give it to a UDP socket (or to a raw socket of IP protocol 50),
    /// whose addresses the verdict tells.
    Esp,
}

/// What a processor needs to know of its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What sealed packets look like.
    pub framing: Framing,
    /// Our UDP port for encapsulated ESP: 4500. Only for [`Arrival::Ip`], where it tells ESP in UDP from other UDP.
    pub encap_port: u16,
}

impl Settings {
    /// Whole IP packets, port 4500.
    pub const DEFAULT: Self = Self { framing: Framing::Ip, encap_port: 4500 };
}

impl Default for Settings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What an incoming buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A whole IP packet from the outside: ESP, ESP in UDP, or clear traffic.
    Ip,
    /// ESP alone, from the SPI on: the payload of a UDP datagram that was no IKE message, or of a raw socket.
    Esp(Outer),
}

/// What is to be done with an outgoing packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outbound {
    /// Send what is in the buffer now.
    Send {
        /// Whom to, and what the outer header should carry where the host writes it.
        outer: Outer,
        /// The key manager's name of the SA.
        owner: u64,
    },
    /// Send the packet as it is.
    Bypass,
    /// Drop it.
    Discard(Discard),
    /// Policy says protect and there is no SA: the packet is untouched, and the host may keep it and try again when
    /// an SA was installed. An [`Notice::Acquire`] is waiting.
    Hold {
        /// The entry that wants it protected.
        policy: PolicyId,
    },
    /// Sealed, the packet would be larger than the path allows and must not be fragmented. It is untouched.
    TooBig {
        /// The largest inner packet that fits, in bytes: what an ICMP error should tell the sender.
        mtu: u16,
    },
}

/// What is to be done with an incoming packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Inbound {
    /// The buffer holds a packet that came protected, as policy wants it.
    Deliver {
        /// The key manager's name of the SA.
        owner: u64,
        /// The entry that the SA serves.
        policy: PolicyId,
        /// The packet is newer than every one before it on this SA: only then may its outer address say where the
        /// peer is now, and does it prove the peer alive.
        advanced: bool,
        /// Whom it came from.
        outer: Outer,
    },
    /// A packet in clear that may be in clear; untouched.
    Bypass,
    /// Drop it.
    Discard(Discard),
}

/// Why a packet is dropped. Each reason has a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Discard {
    /// No entry of the policy matches.
    NoPolicy,
    /// An entry says so.
    Policy,
    /// It came in clear and should have been protected.
    Unprotected,
    /// It is no IP or ESP packet that could be handled.
    Malformed,
    /// A fragment that policy cannot be applied to (RFC 4301 §7), or that may not be protected.
    Fragment,
    /// No SA has this SPI.
    UnknownSpi,
    /// A sequence number seen before, or too old to know.
    Replay,
    /// Its integrity check failed. Nothing more can be said.
    Integrity,
    /// A dummy packet (RFC 4303 §2.6): nothing to deliver.
    Dummy,
    /// What came out of the SA is not what the SA or the policy is for.
    Selectors,
    /// The SA has reached its hard limit.
    Expired,
    /// The buffer has too little room around the packet.
    NoRoom(NoRoom),
}

/// What the key manager should hear. Notices are kept with the SA or policy entry they are about, not in a queue: none
/// is lost and none is told twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A packet waits for an SA. Told again by every later packet that finds none.
    Acquire {
        /// The entry that wants it.
        policy: PolicyId,
        /// What to negotiate: the entry's selectors, narrowed to the packet where the entry says so.
        selectors: TrafficSelectors,
        /// The packet's own selectors.
        packet: TrafficSelectors,
    },
    /// The SA should be renewed.
    SoftExpired {
        /// The key manager's name of the SA.
        owner: u64,
        /// Which one of the pair.
        direction: Direction,
        /// Its SPI.
        spi: Spi,
    },
    /// The SA has stopped: its keys are gone. It stays in the table until it is removed.
    HardExpired {
        /// The key manager's name of the SA.
        owner: u64,
        /// Which one of the pair.
        direction: Direction,
        /// Its SPI.
        spi: Spi,
    },
    /// Sequence numbers run out: the SA should be renewed (RFC 4303 §3.3.3).
    SequenceLow {
        /// The key manager's name of the SA.
        owner: u64,
        /// Its SPI.
        spi: Spi,
    },
}

/// Direction of an SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the peer to us.
    Inbound,
    /// From us to the peer.
    Outbound,
}

/// Why an SA or a policy is not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstallError {
    /// The SA makes no sense.
    Sa(SaError),
    /// Every slot is in use.
    Full,
    /// Another inbound SA has this SPI.
    DuplicateSpi(Spi),
    /// Two entries of the policy have this number.
    DuplicatePolicy(PolicyId),
    /// The selectors of this entry mix families, or a range ends before it starts.
    Selectors(PolicyId),
}

/// The policy database and the SAs of one device, and what becomes of its packets.
#[derive(Debug)]
pub struct Processor<'s> {
    settings: Settings,
    _storage: core::marker::PhantomData<&'s mut ()>,
}

impl<'s> Processor<'s> {
    /// A processor without policies or SAs, in the memory of `tables`.
    pub fn new<const POLICIES: usize, const SAS: usize, const FLOWS: usize>(
        tables: &'s mut Tables<POLICIES, SAS, FLOWS>,
        settings: Settings,
    ) -> Self {
        let _ = tables;
        Self { settings, _storage: core::marker::PhantomData }
    }

    /// Replaces the whole policy at once. SAs stay; those whose entry is gone carry nothing any more.
    ///
    /// # Errors
    /// If an entry makes no sense or there are too many; then nothing changes.
    pub fn set_policies(&mut self, entries: &[SpdEntry]) -> Result<(), InstallError> {
        let _ = entries;
        Ok(())
    }

    /// Installs an SA for what comes in. Older ones of the same policy stay, so that packets under way are not lost.
    ///
    /// # Errors
    /// If the SA makes no sense, its SPI is taken, or the table is full; then nothing changes.
    pub fn install_inbound(&mut self, params: SaParams) -> Result<(), InstallError> {
        drop(params);
        Err(InstallError::Full)
    }

    /// Installs an SA for what goes out. It takes the place of the one with the same policy, selectors and mode, at once.
    ///
    /// # Errors
    /// If the SA makes no sense or the table is full; then nothing changes.
    pub fn install_outbound(
        &mut self,
        params: SaParams,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), InstallError> {
        let _ = rng;
        drop(params);
        Err(InstallError::Full)
    }

    /// Removes the inbound SA with this SPI; whether there was one. Its keys are wiped.
    pub fn remove_inbound(&mut self, spi: Spi) -> bool {
        let _ = spi;
        false
    }

    /// Removes the outbound SA of this policy with this SPI; whether there was one. Its keys are wiped.
    pub fn remove_outbound(&mut self, policy: PolicyId, spi: Spi) -> bool {
        let _ = (policy, spi);
        false
    }

    /// Removes every SA, in both directions, that this owner installed; how many there were. Looks at every slot.
    pub fn remove_owner(&mut self, owner: u64) -> usize {
        let _ = owner;
        0
    }

    /// Sends the outbound SAs of `owner` to where the peer is seen now (RFC 3948 §5: a NAT may change its ports).
    pub fn move_peer(&mut self, owner: u64, outer: Outer) {
        let _ = (owner, outer);
    }

    /// An outgoing IP packet, forwarded or the device's own.
    pub fn outbound(&mut self, packet: &mut PacketBuf<'_>) -> Outbound {
        let _ = (packet, self.settings.framing);
        Outbound::Discard(Discard::NoPolicy)
    }

    /// An incoming packet, forwarded or for the device itself.
    pub fn inbound(&mut self, packet: &mut PacketBuf<'_>, arrival: Arrival) -> Inbound {
        let _ = (packet, arrival);
        Inbound::Discard(Discard::NoPolicy)
    }

    /// The next thing to tell the key manager.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        None
    }
}
