//! The whole memory of an endpoint, in one type whose size the host chooses.
//!
//! [`Resources`] owns the arrays; [`Storage`] lends them, their sizes forgotten, so that the engine is compiled once.
//! An IKE SA, an exchange and a pair of child SAs have a slot each; an exchange has two message buffers besides.

use core::fmt;

use crate::child_sa::ChildSa;
use crate::crypto::WorkMemory;
use crate::exchange::state::Exchange;
use crate::fragment::{Reassembly, SLOTS, Slot};
use crate::ike_sa::IkeSa;
use crate::natt::NON_ESP_MARKER;

mod index;
mod place;
mod pool;
mod queue;
mod ring;
mod scratch;

pub(crate) use index::Index;
pub(crate) use place::{Place, Whole, behind_the_tag, whole};
pub(crate) use pool::Pool;
pub(crate) use queue::Queue;
pub(crate) use ring::Ring;
pub(crate) use scratch::Scratch;

use crate::endpoint::diagnostics::Diagnostics;
use pool::PoolArrays;

whole!(IkeSa, Exchange, ChildSa);

/// Memory for `IKE_SAS` IKE SAs, `EXCHANGES` exchanges at a time, `CHILD_SAS` pairs of child SAs, and messages of up
/// to `MESSAGE` bytes.
///
/// Every main mode or quick mode under way holds an exchange, and a finished one a little longer, to answer
/// duplicates; a rekey holds two pairs of child SAs for the time of the overlap. `MESSAGE` must be at least 576; with
/// MODP-4096 it must be 2048, otherwise 1536 serves.
///
/// All its bits are zero until it is used: a `static` of this type costs no flash. They are zero again once all SAs have
/// ended and all events and datagrams have been read, and when the endpoint is dropped: what was in it leaves no trace.
///
/// ```
/// use ike_core::Resources;
///
/// // One peer with two children, and room for renewing both.
/// let mut resources = Resources::<2, 4, 4, 1536>::new();
/// let storage = resources.storage();
/// # let _ = storage;
/// ```
pub struct Resources<
    const IKE_SAS: usize,
    const EXCHANGES: usize,
    const CHILD_SAS: usize,
    const MESSAGE: usize,
> {
    ikes: PoolArrays<IkeSa, IKE_SAS>,
    exchanges: PoolArrays<Exchange, EXCHANGES>,
    children: PoolArrays<ChildSa, CHILD_SAS>,
    ikes_by_cookie: IndexArrays<IKE_SAS>,
    ikes_by_owner: IndexArrays<IKE_SAS>,
    ikes_by_peer: IndexArrays<IKE_SAS>,
    exchanges_by_key: IndexArrays<EXCHANGES>,
    children_by_spi: IndexArrays<CHILD_SAS>,
    children_by_owner: IndexArrays<CHILD_SAS>,
    work_queue: [u16; EXCHANGES],
    unproven: [u16; EXCHANGES],
    sent: [[u8; MESSAGE]; EXCHANGES],
    held: [[u8; MESSAGE]; EXCHANGES],
    scratch: [u8; MESSAGE],
    reassembly: [[u8; MESSAGE]; SLOTS],
    reassembly_slots: [Slot; SLOTS],
    ring: Ring,
    diagnostics: Diagnostics,
    work: WorkMemory,
}

impl<const I: usize, const X: usize, const C: usize, const M: usize> Resources<I, X, C, M> {
    /// Memory that nothing uses yet.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            ikes: PoolArrays::new(),
            exchanges: PoolArrays::new(),
            children: PoolArrays::new(),
            ikes_by_cookie: IndexArrays::new(),
            ikes_by_owner: IndexArrays::new(),
            ikes_by_peer: IndexArrays::new(),
            exchanges_by_key: IndexArrays::new(),
            children_by_spi: IndexArrays::new(),
            children_by_owner: IndexArrays::new(),
            work_queue: [0; X],
            unproven: [0; X],
            sent: [[0; M]; X],
            held: [[0; M]; X],
            scratch: [0; M],
            reassembly: [[0; M]; SLOTS],
            reassembly_slots: [const { Place::EMPTY }; SLOTS],
            ring: Ring::new(),
            diagnostics: Diagnostics::new(),
            work: WorkMemory::new(),
        }
    }

    /// The memory, lent to an endpoint. Whatever was in it is forgotten.
    pub fn storage(&mut self) -> Storage<'_> {
        self.ring.clear();
        self.diagnostics.clear();
        Storage {
            ikes: self.ikes.pool(),
            exchanges: self.exchanges.pool(),
            children: self.children.pool(),
            ikes_by_cookie: self.ikes_by_cookie.index(),
            ikes_by_owner: self.ikes_by_owner.index(),
            ikes_by_peer: self.ikes_by_peer.index(),
            exchanges_by_key: self.exchanges_by_key.index(),
            children_by_spi: self.children_by_spi.index(),
            children_by_owner: self.children_by_owner.index(),
            work_queue: Queue::new(&mut self.work_queue),
            unproven: Queue::new(&mut self.unproven),
            buffers: Buffers {
                sent: self.sent.as_flattened_mut(),
                held: self.held.as_flattened_mut(),
                stride: M,
            },
            // What is built here is kept behind room for the marker: nothing longer may come about.
            scratch: Scratch::new(
                self.scratch.get_mut(..M.saturating_sub(NON_ESP_MARKER.len())).unwrap_or_default(),
            ),
            reassembly: Reassembly::new(
                &mut self.reassembly_slots,
                self.reassembly.as_flattened_mut(),
            ),
            ring: &mut self.ring,
            diagnostics: &mut self.diagnostics,
            work: &mut self.work,
        }
    }

    /// Bytes by purpose, for a table of the memory budget.
    #[must_use]
    pub const fn footprint() -> Footprint {
        Footprint {
            ike_sas: size_of::<PoolArrays<IkeSa, I>>()
                .saturating_add(size_of::<[IndexArrays<I>; 3]>()),
            exchanges: size_of::<PoolArrays<Exchange, X>>()
                .saturating_add(size_of::<IndexArrays<X>>())
                .saturating_add(size_of::<[[u16; X]; 2]>()),
            child_sas: size_of::<PoolArrays<ChildSa, C>>()
                .saturating_add(size_of::<[IndexArrays<C>; 2]>()),
            messages: size_of::<[[u8; M]; X]>()
                .saturating_mul(2)
                .saturating_add(M)
                .saturating_add(size_of::<[[u8; M]; SLOTS]>())
                .saturating_add(size_of::<[Slot; SLOTS]>()),
            replies: size_of::<Ring>().saturating_add(size_of::<Diagnostics>()),
            work: size_of::<WorkMemory>(),
            total: size_of::<Self>(),
        }
    }
}

impl<const I: usize, const X: usize, const C: usize, const M: usize> Default
    for Resources<I, X, C, M>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<const I: usize, const X: usize, const C: usize, const M: usize> fmt::Debug
    for Resources<I, X, C, M>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Resources({I} IKE SAs, {X} exchanges, {C} child SAs, {M} bytes a message)")
    }
}

/// What the memory of an endpoint is spent on, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// IKE SAs with their indexes and timers.
    pub ike_sas: usize,
    /// Exchanges with their index and timers, without messages.
    pub exchanges: usize,
    /// Pairs of child SAs with their indexes and timers.
    pub child_sas: usize,
    /// Message buffers: two an exchange, one to build in, and those for messages in pieces.
    pub messages: usize,
    /// Replies that belong to no exchange, and diagnostics.
    pub replies: usize,
    /// Work area of the Diffie-Hellman.
    pub work: usize,
    /// All together.
    pub total: usize,
}

/// The memory of an endpoint, lent by [`Resources::storage`].
pub struct Storage<'s> {
    pub(crate) ikes: Pool<'s, IkeSa>,
    pub(crate) exchanges: Pool<'s, Exchange>,
    pub(crate) children: Pool<'s, ChildSa>,
    /// By our own cookie.
    pub(crate) ikes_by_cookie: Index<'s>,
    /// By [`IkeSa::owner`]: established ones.
    pub(crate) ikes_by_owner: Index<'s>,
    /// By the host's number of the peer and its address.
    pub(crate) ikes_by_peer: Index<'s>,
    /// By what identifies a datagram of the exchange beside the cookies.
    pub(crate) exchanges_by_key: Index<'s>,
    /// By our SPI.
    pub(crate) children_by_spi: Index<'s>,
    /// By owner.
    pub(crate) children_by_owner: Index<'s>,
    /// Exchanges that wait for a Diffie-Hellman operation.
    pub(crate) work_queue: Queue<'s>,
    /// Exchanges whose peer has not echoed our cookie yet, oldest first.
    pub(crate) unproven: Queue<'s>,
    pub(crate) buffers: Buffers<'s>,
    pub(crate) scratch: Scratch<'s>,
    /// Messages that come in pieces.
    pub(crate) reassembly: Reassembly<'s>,
    pub(crate) ring: &'s mut Ring,
    pub(crate) diagnostics: &'s mut Diagnostics,
    pub(crate) work: &'s mut WorkMemory,
}

impl Storage<'_> {
    /// Wipes everything.
    pub(crate) fn clear(&mut self) {
        self.ikes.clear();
        self.exchanges.clear();
        self.children.clear();
        for index in [
            &mut self.ikes_by_cookie,
            &mut self.ikes_by_owner,
            &mut self.ikes_by_peer,
            &mut self.exchanges_by_key,
            &mut self.children_by_spi,
            &mut self.children_by_owner,
        ] {
            index.clear();
        }
        self.work_queue.clear();
        self.unproven.clear();
        self.buffers.sent.fill(0);
        self.buffers.held.fill(0);
        self.scratch.wipe();
        self.reassembly.clear();
        self.ring.clear();
        self.diagnostics.clear();
        zeroize::Zeroize::zeroize(self.work);
    }
}

impl fmt::Debug for Storage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage")
            .field("ike_sas", &self.ikes.capacity())
            .field("exchanges", &self.exchanges.capacity())
            .field("child_sas", &self.children.capacity())
            .field("message", &self.buffers.stride)
            .finish()
    }
}

/// Two message buffers an exchange.
pub(crate) struct Buffers<'s> {
    sent: &'s mut [u8],
    held: &'s mut [u8],
    stride: usize,
}

impl Buffers<'_> {
    /// Bytes of one buffer.
    pub(crate) const fn message_len(&self) -> usize {
        self.stride
    }

    /// The last message sent, kept for retransmission.
    pub(crate) fn sent(&self, exchange: u16) -> &[u8] {
        chunk(self.stride, exchange).and_then(|range| self.sent.get(range)).unwrap_or_default()
    }

    pub(crate) fn sent_mut(&mut self, exchange: u16) -> &mut [u8] {
        chunk(self.stride, exchange).and_then(|range| self.sent.get_mut(range)).unwrap_or_default()
    }

    /// Bodies of both sides, as they were sent and received.
    pub(crate) fn held(&self, exchange: u16) -> &[u8] {
        chunk(self.stride, exchange).and_then(|range| self.held.get(range)).unwrap_or_default()
    }

    pub(crate) fn held_mut(&mut self, exchange: u16) -> &mut [u8] {
        chunk(self.stride, exchange).and_then(|range| self.held.get_mut(range)).unwrap_or_default()
    }

    /// Forgets the messages of an exchange.
    pub(crate) fn clear(&mut self, exchange: u16) {
        self.sent_mut(exchange).fill(0);
        self.held_mut(exchange).fill(0);
    }
}

fn chunk(stride: usize, index: u16) -> Option<core::ops::Range<usize>> {
    let start = usize::from(index).checked_mul(stride)?;
    Some(start..start.checked_add(stride)?)
}

/// The arrays of an index over `N` slots.
#[derive(Debug)]
struct IndexArrays<const N: usize> {
    heads: [u16; N],
    next: [u16; N],
}

impl<const N: usize> IndexArrays<N> {
    const fn new() -> Self {
        Self { heads: [0; N], next: [0; N] }
    }

    fn index(&mut self) -> Index<'_> {
        Index::new(&mut self.heads, &mut self.next)
    }
}
