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

use core::fmt;

use rand_core::CryptoRng;

use crate::batch::{BATCH, Jobs, by_sa};
use crate::inbound::{Concluded, Incoming, Located, locate, locate_quoted};
use crate::index::Cell;
use crate::outbound::Prepared;
use crate::packet::{NoRoom, PacketBuf};
use crate::sad::{Held, Sad};
use crate::selector::{Flow, Match};
use crate::slots::Slot;
use crate::spd::{CachedFlow, FlowCache, Line, Policy, Spd, SpdEntry, Verdict};
use crate::transform::Verified;
use crate::tunnel::{Outer, TunnelOptions};
use crate::wire::icmp::{self, IcmpError};
use crate::wire::ip::Ip;
use crate::{
    Arrival, Framing, InboundSa, OpenError, OutboundSa, PolicyId, SaError, SaParams, SealError,
    SequenceNumber, Spi, StateError, TrafficSelectors,
};

/// All the memory of a [`Processor`]: its sizes are the whole memory budget.
///
/// `POLICIES` lines of the access list, `SAS` security associations in each direction, and `FLOWS` entries of the
/// cache that remembers which line a flow matched (0 is allowed). The empty value is all zero bits, so that a static
/// lies in `.bss`.
///
/// ```
/// use esp_core::{Processor, Settings, Tables};
///
/// let mut tables = Tables::<8, 4, 16>::new();
/// let mut processor = Processor::new(&mut tables, Settings::DEFAULT);
/// assert_eq!(processor.poll_notice(), None);
/// ```
#[derive(Debug)]
pub struct Tables<const POLICIES: usize, const SAS: usize, const FLOWS: usize> {
    lines: [Slot<Line>; POLICIES],
    line_cells: [[Cell; 2]; POLICIES],
    inbound: [Slot<Held<InboundSa>>; SAS],
    inbound_cells: [[Cell; 2]; SAS],
    outbound: [Slot<Held<OutboundSa>>; SAS],
    outbound_cells: [[Cell; 2]; SAS],
    flows: [CachedFlow; FLOWS],
}

impl<const POLICIES: usize, const SAS: usize, const FLOWS: usize> Tables<POLICIES, SAS, FLOWS> {
    /// Empty tables.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            lines: [const { Slot::EMPTY }; POLICIES],
            line_cells: [[Cell::EMPTY; 2]; POLICIES],
            inbound: [const { Slot::EMPTY }; SAS],
            inbound_cells: [[Cell::EMPTY; 2]; SAS],
            outbound: [const { Slot::EMPTY }; SAS],
            outbound_cells: [[Cell::EMPTY; 2]; SAS],
            flows: [CachedFlow::EMPTY; FLOWS],
        }
    }
}

impl<const POLICIES: usize, const SAS: usize, const FLOWS: usize> Default
    for Tables<POLICIES, SAS, FLOWS>
{
    fn default() -> Self {
        Self::new()
    }
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

/// The verdict on a packet that came out of an SA, but for the outside it came from.
struct Accepted {
    owner: u64,
    policy: PolicyId,
    advanced: bool,
}

impl Accepted {
    const fn deliver(self, located: &Located) -> Inbound {
        let Self { owner, policy, advanced } = self;
        Inbound::Deliver { owner, policy, advanced, outer: located.outer }
    }
}

/// The verdicts that do not send: what [`Outbound`] is without its largest part.
enum Kept {
    Bypass,
    Discard(Discard),
    Hold { policy: PolicyId },
    TooBig { mtu: u16 },
}

impl From<Kept> for Outbound {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Bypass => Self::Bypass,
            Kept::Discard(reason) => Self::Discard(reason),
            Kept::Hold { policy } => Self::Hold { policy },
            Kept::TooBig { mtu } => Self::TooBig { mtu },
        }
    }
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
    /// Congestion was marked on a packet that cannot carry the mark (RFC 6040 §4.2).
    Congestion,
    /// Sealed, it would be longer than an IP packet can be.
    TooLong,
}

impl Discard {
    /// How many reasons there are.
    const REASONS: usize = 14;

    const fn index(self) -> usize {
        match self {
            Self::NoPolicy => 0,
            Self::Policy => 1,
            Self::Unprotected => 2,
            Self::Malformed => 3,
            Self::Fragment => 4,
            Self::UnknownSpi => 5,
            Self::Replay => 6,
            Self::Integrity => 7,
            Self::Dummy => 8,
            Self::Selectors => 9,
            Self::Expired => 10,
            Self::NoRoom(_) => 11,
            Self::Congestion => 12,
            Self::TooLong => 13,
        }
    }
}

impl From<SealError> for Discard {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Malformed => Self::Malformed,
            SealError::Fragment => Self::Fragment,
            SealError::NotBetweenTheEnds => Self::Selectors,
            SealError::TooBig { .. } | SealError::TooLong => Self::TooLong,
            SealError::NoRoom(room) => Self::NoRoom(room),
            SealError::Expired | SealError::ReservationSpent => Self::Expired,
        }
    }
}

impl From<OpenError> for Discard {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Malformed | OpenError::Inner => Self::Malformed,
            OpenError::Spi => Self::UnknownSpi,
            OpenError::Fragment => Self::Fragment,
            OpenError::Replay => Self::Replay,
            OpenError::Integrity => Self::Integrity,
            OpenError::Dummy => Self::Dummy,
            OpenError::Congestion => Self::Congestion,
            OpenError::Expired => Self::Expired,
            OpenError::NoRoom(room) => Self::NoRoom(room),
        }
    }
}

/// What a processor has done with packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sealed.
    pub sent: u64,
    /// Opened and handed over.
    pub delivered: u64,
    /// Let pass in clear, in either direction.
    pub bypassed: u64,
    /// Held for want of an SA.
    pub held: u64,
    /// Refused as too big for the path.
    pub too_big: u64,
    discarded: [u64; Discard::REASONS],
}

impl Stats {
    /// Packets dropped for this reason.
    #[must_use]
    pub fn discarded(&self, reason: Discard) -> u64 {
        self.discarded.get(reason.index()).copied().unwrap_or_default()
    }

    /// Packets dropped for any reason.
    #[must_use]
    pub fn all_discarded(&self) -> u64 {
        self.discarded.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    fn count_outbound(&mut self, verdict: &Outbound) {
        match verdict {
            Outbound::Send { .. } => increase(&mut self.sent),
            Outbound::Bypass => increase(&mut self.bypassed),
            Outbound::Hold { .. } => increase(&mut self.held),
            Outbound::TooBig { .. } => increase(&mut self.too_big),
            Outbound::Discard(reason) => self.count_discard(*reason),
        }
    }

    fn count_discard(&mut self, reason: Discard) {
        if let Some(count) = self.discarded.get_mut(reason.index()) {
            increase(count);
        }
    }
}

const fn increase(count: &mut u64) {
    *count = count.saturating_add(1);
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
    /// The numbers that the SA's last export reserved run out: it should be exported again
    /// ([`Processor::export_outbound`]), or it stops.
    ReservationLow {
        /// The key manager's name of the SA.
        owner: u64,
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
    /// The state does not fit the SA.
    State(StateError),
    /// Every slot is in use.
    Full,
    /// Another inbound SA has this SPI.
    DuplicateSpi(Spi),
    /// Two entries of the policy have this number.
    DuplicatePolicy(PolicyId),
    /// The selectors of this entry mix families, or a range ends before it starts.
    Selectors(PolicyId),
}

impl From<StateError> for InstallError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl From<SaError> for InstallError {
    fn from(error: SaError) -> Self {
        Self::Sa(error)
    }
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sa(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
            Self::Full => f.write_str("the table is full"),
            Self::DuplicateSpi(spi) => write!(f, "SPI {spi} is in use"),
            Self::DuplicatePolicy(id) => write!(f, "policy {} is there twice", id.0),
            Self::Selectors(id) => write!(f, "policy {} makes no sense", id.0),
        }
    }
}

impl core::error::Error for InstallError {}

/// The policy database and the SAs of one device, and what becomes of its packets.
#[derive(Debug)]
pub struct Processor<'s> {
    settings: Settings,
    spd: Spd<'s>,
    sad: Sad<'s>,
    flows: FlowCache<'s>,
    stats: Stats,
}

impl<'s> Processor<'s> {
    /// A processor without policies or SAs, in the memory of `tables`. Without policies every packet is dropped.
    pub fn new<const POLICIES: usize, const SAS: usize, const FLOWS: usize>(
        tables: &'s mut Tables<POLICIES, SAS, FLOWS>,
        settings: Settings,
    ) -> Self {
        let Tables { lines, line_cells, inbound, inbound_cells, outbound, outbound_cells, flows } =
            tables;
        Self {
            settings,
            spd: Spd::new(lines, line_cells.as_flattened_mut()),
            sad: Sad::new(
                inbound,
                inbound_cells.as_flattened_mut(),
                outbound,
                outbound_cells.as_flattened_mut(),
            ),
            flows: FlowCache::new(flows),
            stats: Stats::default(),
        }
    }

    /// Replaces the whole policy at once. SAs stay; those whose entry is gone carry nothing any more. Tunnel options
    /// of an entry are taken over by SAs that are installed later.
    ///
    /// # Errors
    /// If an entry makes no sense or there are too many; then nothing changes.
    pub fn set_policies(&mut self, entries: &[SpdEntry]) -> Result<(), InstallError> {
        self.spd.replace(entries)?;
        self.flows.forget();
        Ok(())
    }

    /// The policy, in its order.
    pub fn policies(&self) -> impl Iterator<Item = &SpdEntry> {
        self.spd.entries()
    }

    /// Installs an SA for what comes in. Older ones of the same policy stay, so that packets under way are not lost.
    ///
    /// # Errors
    /// If the SA makes no sense, its SPI is taken, or the table is full; then nothing changes.
    pub fn install_inbound(&mut self, params: SaParams) -> Result<(), InstallError> {
        self.sad.admits_inbound(params.spi)?;
        self.put_inbound(InboundSa::new(params)?)
    }

    fn put_inbound(&mut self, sa: InboundSa) -> Result<(), InstallError> {
        let ecn = self.tunnel_options(sa.association.policy).ecn;
        self.sad.install_inbound(sa.with(ecn))
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
        let sa = OutboundSa::new(params, rng)?;
        self.put_outbound(sa)
    }

    fn put_outbound(&mut self, sa: OutboundSa) -> Result<(), InstallError> {
        let options = self.tunnel_options(sa.association.policy);
        let sa = sa.with(options, self.settings.framing);
        if self.sad.install_outbound(sa)? {
            self.flows.forget();
        }
        Ok(())
    }

    fn tunnel_options(&self, policy: PolicyId) -> TunnelOptions {
        match self.spd.by_id(policy).map(|entry| entry.policy) {
            Some(Policy::Protect(protect)) => protect.tunnel,
            _ => TunnelOptions::DEFAULT,
        }
    }

    /// Removes the inbound SA with this SPI; whether there was one. Its keys are wiped.
    pub fn remove_inbound(&mut self, spi: Spi) -> bool {
        self.sad.remove_inbound(spi)
    }

    /// Removes the outbound SA of this policy with this SPI; whether there was one. Its keys are wiped.
    pub fn remove_outbound(&mut self, policy: PolicyId, spi: Spi) -> bool {
        self.sad.remove_outbound(policy, spi)
    }

    /// Removes every SA, in both directions, that this owner installed; how many there were. Looks at every slot.
    pub fn remove_owner(&mut self, owner: u64) -> usize {
        self.sad.remove_owner(owner)
    }

    /// Sends the outbound SAs of `owner` to where the peer is seen now, a NAT having changed its ports (RFC 3948 §5);
    /// how many there are. `outer` is that of an [`Inbound::Deliver`] with `advanced` set, and of no other packet.
    pub fn move_peer(&mut self, owner: u64, outer: Outer) -> usize {
        self.sad.move_peer(owner, outer.remote, outer.encap)
    }

    /// The inbound SAs.
    pub fn inbound_sas(&self) -> impl Iterator<Item = &InboundSa> {
        self.sad.inbound_sas()
    }

    /// The outbound SAs.
    pub fn outbound_sas(&self) -> impl Iterator<Item = &OutboundSa> {
        self.sad.outbound_sas()
    }

    /// What was done so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
    }

    /// An outgoing IP packet, forwarded or the device's own.
    pub fn outbound(&mut self, packet: &mut PacketBuf<'_>) -> Outbound {
        match self.prepare_outbound(packet, None) {
            Ok((slot, prepared)) => {
                if let Some(sa) = self.sad.outbound(slot) {
                    sa.finish(packet, &prepared);
                }
                self.sad.note_outbound(slot);
                self.sent(slot, &prepared)
            }
            Err(kept) => self.kept(kept),
        }
    }

    fn sent(&mut self, slot: usize, prepared: &Prepared) -> Outbound {
        match self.sad.outbound(slot) {
            Some(sa) => {
                increase(&mut self.stats.sent);
                Outbound::Send { outer: sa.outer(prepared), owner: sa.owner() }
            }
            None => self.kept(Kept::Discard(Discard::NoPolicy)),
        }
    }

    fn kept(&mut self, kept: Kept) -> Outbound {
        let verdict = kept.into();
        self.stats.count_outbound(&verdict);
        verdict
    }

    /// Outgoing IP packets, of any SAs and lengths. The verdicts are those that [`Self::outbound`]
    /// would give one after the other, and come quicker. Packets for which there is no place in
    /// `verdicts` are left alone.
    pub fn outbound_batch(&mut self, packets: &mut [PacketBuf<'_>], verdicts: &mut [Outbound]) {
        for (packets, verdicts) in packets.chunks_mut(BATCH).zip(verdicts.chunks_mut(BATCH)) {
            let mut jobs = Jobs::new();
            for (at, (packet, verdict)) in packets.iter_mut().zip(verdicts).enumerate() {
                *verdict = match self.prepare_outbound(packet, Some(&jobs)) {
                    Ok((slot, prepared)) => {
                        jobs.push(prepared.job(at, slot, packet));
                        self.sent(slot, &prepared)
                    }
                    Err(kept) => self.kept(kept),
                };
            }
            for (slot, jobs) in by_sa(jobs.sorted()) {
                if let Some(sa) = self.sad.outbound_mut(slot) {
                    sa.finish_batch(packets, jobs);
                    sa.wipe_if_ended();
                }
                self.sad.note_outbound(slot);
            }
        }
    }

    /// Everything up to the cryptography: the slot of the SA and the packet laid out, or the
    /// verdict. `jobs` are the packets laid out before and not finished.
    fn prepare_outbound(
        &mut self,
        packet: &mut PacketBuf<'_>,
        jobs: Option<&Jobs>,
    ) -> Result<(usize, Prepared), Kept> {
        // By reference: what was parsed is not worth a copy.
        let parsed = Ip::parse(packet.packet());
        let Ok(ip) = &parsed else { return Err(Kept::Discard(Discard::Malformed)) };
        let flow = Flow::outbound(ip, packet.packet());
        let (line, mut hint) = self.line_for(Direction::Outbound, &flow).map_err(Kept::Discard)?;
        let entry = self.spd.entry(line).ok_or(Kept::Discard(Discard::NoPolicy))?;
        let policy = entry.id;
        match entry.policy {
            Policy::Bypass => return Err(Kept::Bypass),
            Policy::Discard => return Err(Kept::Discard(Discard::Policy)),
            Policy::Protect(_) => {}
        }
        // At most two rounds: an SA that turns out to have ended is passed over the second time.
        for _ in 0..2 {
            let Some(slot) = self.outbound_slot(policy, &flow, line, hint) else { break };
            let Some(sa) = self.sad.outbound_mut(slot) else { break };
            match sa.prepare_parsed(packet, ip) {
                Ok(prepared) => return Ok((slot, prepared)),
                Err(SealError::Expired) => {
                    if jobs.is_none_or(|jobs| !jobs.any_of(slot)) {
                        sa.wipe_if_ended();
                    }
                    self.sad.note_outbound(slot);
                    hint = None;
                }
                // Nobody needs to negotiate: the host exports the SA and tries again.
                Err(SealError::ReservationSpent) => return Err(Kept::Hold { policy }),
                Err(SealError::TooBig { mtu }) => return Err(Kept::TooBig { mtu }),
                Err(error) => return Err(Kept::Discard(error.into())),
            }
        }
        self.spd.wait(line, &flow);
        Err(Kept::Hold { policy })
    }

    /// The state of `owner`'s outbound SA for a restart ([`OutboundSa::export`]); `None` if it has none. Looks at every
    /// slot.
    pub fn export_outbound(
        &mut self,
        owner: u64,
        reserve: u64,
        generation: u64,
    ) -> Option<[u8; OutboundSa::STATE_LEN]> {
        let slot = self.sad.outbound_of(owner)?;
        Some(self.sad.outbound_mut(slot)?.export(reserve, generation))
    }

    /// Installs an outbound SA that goes on from an exported state ([`OutboundSa::import`]).
    ///
    /// # Errors
    /// As [`Self::install_outbound`], and if the state does not fit; then nothing changes.
    pub fn import_outbound(
        &mut self,
        params: SaParams,
        state: &[u8],
        generation: u64,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), InstallError> {
        let sa = OutboundSa::import(params, state, generation, rng)?;
        self.put_outbound(sa)
    }

    /// Installs an inbound SA that goes on from an exported state ([`InboundSa::import`]).
    ///
    /// # Errors
    /// As [`Self::install_inbound`], and if the state does not fit; then nothing changes.
    pub fn import_inbound(
        &mut self,
        params: SaParams,
        state: &[u8],
        generation: u64,
        skipped: u64,
    ) -> Result<(), InstallError> {
        self.sad.admits_inbound(params.spi)?;
        self.put_inbound(InboundSa::import(params, state, generation, skipped)?)
    }

    /// A dummy packet of `owner`'s outbound SA, made of what is in `packet` (RFC 4303 §2.6); `None` if the owner has no
    /// such SA. Looks at every slot.
    pub fn dummy(&mut self, owner: u64, packet: &mut PacketBuf<'_>) -> Option<Outbound> {
        let slot = self.sad.outbound_of(owner)?;
        let sealed = self.sad.outbound_mut(slot)?.seal_dummy(packet);
        self.sad.note_outbound(slot);
        let verdict = match sealed {
            Ok(sealed) => Outbound::Send { outer: sealed.outer, owner },
            Err(error) => Outbound::Discard(error.into()),
        };
        self.stats.count_outbound(&verdict);
        Some(verdict)
    }

    /// Sets the largest outer packet, in bytes, of `owner`'s outbound SAs, 0 meaning no limit; how many there are. Looks at
    /// every slot.
    pub fn set_mtu(&mut self, owner: u64, mtu: u16) -> usize {
        self.sad.set_mtu(owner, mtu)
    }

    /// What an ICMP error from the outside is about, if it quotes a packet of one of our SAs: the owner of the SA
    /// and the error (RFC 4301 §8.2.2). `None` for everything else. Looks at every outbound SA: a host limits
    /// the rate.
    ///
    /// Anybody can send such an error. A host that lowers the size of the path for it ([`Self::set_mtu`]) should not go
    /// below the least of the family, 1280 bytes or 576, should raise it again after some time, and may ignore everything else. Errors that come
    /// through a tunnel are ordinary packets here: policy decides by their own addresses.
    #[must_use]
    pub fn icmp_error(&self, packet: &[u8]) -> Option<(u64, IcmpError)> {
        let ip = Ip::parse(packet).ok()?;
        let (error, quoted) = icmp::parse_error(&ip, packet)?;
        let (remote, spi) = locate_quoted(quoted)?;
        let sa = self
            .sad
            .outbound_sas()
            .find(|sa| sa.spi() == spi && sa.association.remote == remote)?;
        Some((sa.owner(), error))
    }

    /// The line of the list for a packet, and the SA its flow used last.
    fn line_for(
        &mut self,
        direction: Direction,
        flow: &Flow,
    ) -> Result<(u32, Option<u32>), Discard> {
        if let Some(found) = self.flows.get(direction, flow) {
            return Ok(found);
        }
        match self.spd.look_up(direction, flow) {
            Verdict::Entry(line) => {
                self.flows.put(direction, flow, line, None);
                Ok((line, None))
            }
            Verdict::None => Err(Discard::NoPolicy),
            Verdict::Undecidable => Err(Discard::Fragment),
        }
    }

    /// The SA for a packet: the one its flow used last, if it still fits, or the newest that does.
    fn outbound_slot(
        &mut self,
        policy: PolicyId,
        flow: &Flow,
        line: u32,
        hint: Option<u32>,
    ) -> Option<usize> {
        if let Some(slot) = hint.map(|slot| slot as usize)
            && self.sad.outbound_fits(slot, policy, flow)
        {
            return Some(slot);
        }
        let slot = self.sad.outbound_for(policy, flow)?;
        self.flows.put(Direction::Outbound, flow, line, u32::try_from(slot).ok());
        Some(slot)
    }

    /// An incoming packet, forwarded or for the device itself.
    pub fn inbound(&mut self, packet: &mut PacketBuf<'_>, arrival: Arrival) -> Inbound {
        // What was found stays where it is, and the verdict is made where it goes: both are large, and
        // moving them would cost as much as all other book-keeping.
        let incoming = locate(packet.packet(), &arrival, Some(self.settings.encap_port));
        match &incoming {
            Ok(Incoming::Esp(located)) => match self.accept(packet, located) {
                Ok(accepted) => {
                    increase(&mut self.stats.delivered);
                    accepted.deliver(located)
                }
                Err(reason) => self.discarded(reason),
            },
            Ok(Incoming::Clear(ip)) => self.judge_clear(packet.packet(), ip),
            Err(error) => self.discarded((*error).into()),
        }
    }

    fn accept(
        &mut self,
        packet: &mut PacketBuf<'_>,
        located: &Located,
    ) -> Result<Accepted, Discard> {
        let (slot, sequence) = self.admit(packet, located)?;
        let sa = self.sad.inbound_mut(slot).ok_or(Discard::UnknownSpi)?;
        let opened = sa.conclude(packet, located, sequence, Verified::NotYet);
        self.judge_opened(slot, packet.packet(), &opened)
    }

    fn discarded(&mut self, reason: Discard) -> Inbound {
        self.stats.count_discard(reason);
        Inbound::Discard(reason)
    }

    /// Incoming packets, of any SAs and lengths. The verdicts are those that [`Self::inbound`] would
    /// give one after the other, and come quicker. Packets for which there is no arrival or no place
    /// in `verdicts` are left alone.
    pub fn inbound_batch(
        &mut self,
        packets: &mut [PacketBuf<'_>],
        arrivals: &[Arrival],
        verdicts: &mut [Inbound],
    ) {
        let arrivals = arrivals.chunks(BATCH);
        for ((packets, arrivals), verdicts) in
            packets.chunks_mut(BATCH).zip(arrivals).zip(verdicts.chunks_mut(BATCH))
        {
            let mut jobs = Jobs::new();
            let mut admitted = [const { None }; BATCH];
            let each = packets.iter().zip(arrivals).zip(verdicts.iter_mut()).zip(&mut admitted);
            for (at, (((packet, arrival), verdict), admitted)) in each.enumerate() {
                let port = Some(self.settings.encap_port);
                let located = match locate(packet.packet(), arrival, port) {
                    Ok(Incoming::Esp(located)) => located,
                    Ok(Incoming::Clear(ip)) => {
                        *verdict = self.judge_clear(packet.packet(), &ip);
                        continue;
                    }
                    Err(error) => {
                        *verdict = self.discarded(error.into());
                        continue;
                    }
                };
                match self.admit(packet, &located) {
                    Ok((slot, sequence)) => {
                        let sa = self.sad.inbound(slot);
                        if let Some(job) = sa.and_then(|sa| sa.job(at, slot, &located, sequence)) {
                            jobs.push(job);
                        }
                        *admitted = Some((slot, located, sequence));
                    }
                    Err(reason) => *verdict = self.discarded(reason),
                }
            }
            let mut verified = [Verified::NotYet; BATCH];
            for (slot, jobs) in by_sa(jobs.sorted()) {
                if let Some(sa) = self.sad.inbound(slot) {
                    sa.verify_batch(packets, jobs, &mut verified);
                }
            }
            let each = packets.iter_mut().zip(verdicts).zip(&admitted).zip(verified);
            for (((packet, verdict), admitted), verified) in each {
                let Some((slot, located, sequence)) = admitted else { continue };
                let Some(sa) = self.sad.inbound_mut(*slot) else { continue };
                let opened = sa.conclude(packet, located, *sequence, verified);
                *verdict = match self.judge_opened(*slot, packet.packet(), &opened) {
                    Ok(accepted) => {
                        increase(&mut self.stats.delivered);
                        accepted.deliver(located)
                    }
                    Err(reason) => self.discarded(reason),
                };
            }
        }
    }

    /// Everything up to the cryptography: the slot of the SA and the packet's number.
    fn admit(
        &self,
        packet: &PacketBuf<'_>,
        located: &Located,
    ) -> Result<(usize, SequenceNumber), Discard> {
        let slot = self.sad.inbound_slot(located.spi).ok_or(Discard::UnknownSpi)?;
        let sa = self.sad.inbound(slot).ok_or(Discard::UnknownSpi)?;
        Ok((slot, sa.admit(packet, located)?))
    }

    fn judge_opened(
        &mut self,
        slot: usize,
        packet: &[u8],
        opened: &Result<Concluded, OpenError>,
    ) -> Result<Accepted, Discard> {
        self.sad.note_inbound(slot);
        let Concluded { advanced, ip } = match opened {
            Ok(opened) => opened,
            Err(error) => return Err((*error).into()),
        };
        let sa = self.sad.inbound(slot).ok_or(Discard::UnknownSpi)?;
        let (owner, policy) = (sa.owner(), sa.association.policy);
        // RFC 4301 §5.2, step 4: what comes out must be what the SA is for. It must also be what the
        // list, which may have changed since, protects by this SA's entry: no peer may speak for the
        // networks of another.
        let flow = Flow::inbound(ip, packet);
        if sa.association.selectors.matches(&flow) != Match::Yes {
            return Err(Discard::Selectors);
        }
        let (line, _) = self.line_for(Direction::Inbound, &flow)?;
        if !self.protects(line, policy) {
            return Err(Discard::Selectors);
        }
        Ok(Accepted { owner, policy, advanced: *advanced })
    }

    fn protects(&self, line: u32, policy: PolicyId) -> bool {
        self.spd
            .entry(line)
            .is_some_and(|entry| entry.id == policy && matches!(entry.policy, Policy::Protect(_)))
    }

    fn judge_clear(&mut self, packet: &[u8], ip: &Ip) -> Inbound {
        let flow = Flow::inbound(ip, packet);
        let line = match self.line_for(Direction::Inbound, &flow) {
            Ok((line, _)) => line,
            Err(reason) => return self.discarded(reason),
        };
        match self.spd.entry(line).map(|entry| entry.policy) {
            Some(Policy::Bypass) => {
                increase(&mut self.stats.bypassed);
                Inbound::Bypass
            }
            Some(Policy::Protect(_)) => self.discarded(Discard::Unprotected),
            Some(Policy::Discard) => self.discarded(Discard::Policy),
            None => self.discarded(Discard::NoPolicy),
        }
    }

    /// The next thing to tell the key manager.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        if let Some(notice) = self.sad.poll_notice() {
            return Some(notice);
        }
        let (policy, selectors, packet) = self.spd.poll_waiting()?;
        Some(Notice::Acquire { policy, selectors, packet })
    }
}
