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

mod inbound;
mod install;
mod notice;
mod outbound;
mod verdict;

use crate::inbound::{InboundSa, locate_quoted};
use crate::index::Cell;
use crate::sad::{Held, Sad};
use crate::selector::Flow;
use crate::slots::Slot;
use crate::spd::{CachedFlow, FlowCache, Line, Spd, Verdict};
use crate::wire::icmp::{self, IcmpError};
use crate::wire::ip::Ip;
use crate::{Framing, OutboundSa};

pub use install::InstallError;
pub use notice::{Direction, Notice};
pub use verdict::{Discard, Inbound, Outbound, Stats};

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
    /// Our UDP port for encapsulated ESP: 4500. Only for [`Arrival::Ip`](crate::Arrival::Ip), where it tells ESP in UDP from other UDP.
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

/// The policy database and the SAs of one device, and what becomes of its packets.
#[derive(Debug)]
pub struct Processor<'s> {
    settings: Settings,
    spd: Spd<'s>,
    sad: Sad<'s>,
    flows: FlowCache<'s>,
    stats: Stats,
}

impl Drop for Processor<'_> {
    /// SAs are wiped: the tables may be used again, or lie in a static.
    fn drop(&mut self) {
        self.sad.clear();
    }
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

    /// What was done so far.
    #[must_use]
    pub const fn stats(&self) -> &Stats {
        &self.stats
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
    #[inline]
    fn line_for(
        &mut self,
        direction: Direction,
        flow: &Flow,
    ) -> Result<(u32, Option<u32>), Discard> {
        match self.flows.get(direction, flow) {
            Some(found) => Ok(found),
            None => self.look_up(direction, flow),
        }
    }

    /// The same for a flow that is not in the cache.
    #[cold]
    fn look_up(
        &mut self,
        direction: Direction,
        flow: &Flow,
    ) -> Result<(u32, Option<u32>), Discard> {
        match self.spd.look_up(direction, flow) {
            Verdict::Entry(line) => {
                self.flows.put(direction, flow, line, None);
                Ok((line, None))
            }
            Verdict::None => Err(Discard::NoPolicy),
            Verdict::Undecidable => Err(Discard::Fragment),
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
