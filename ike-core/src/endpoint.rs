//! The endpoint: datagrams, timeouts and requests in; datagrams, events and SAs out.
//!
//! After each call that changes something, drain [`Endpoint::poll_transmit`] and [`Endpoint::poll_event`], let
//! [`Endpoint::handle_work`] run until it is idle, and ask [`Endpoint::poll_timeout`] when to come back.

use esp_core::{KeyMaterial, SaParams, Spi};
use rand_core::CryptoRng;

use crate::child_sa::{self, ChildSa, Outbound};
use crate::digest::{Digests, Kind};
use crate::error::{ApiError, Capacity, Discard, PeerMisbehaved, Refusal};
use crate::exchange::state::{Exchange, State};
use crate::exchange::{OnDuplicate, OnSilence};
use crate::ike_sa::{self, IkeSa};
use crate::natt::NON_ESP_MARKER;
use crate::phase2::quick_mode::QuickMode;
use crate::resources::Storage;
use crate::time::Instant;
use crate::wire::numbers::{ExchangeType, PayloadType};
use crate::wire::{Cookie, CookiePair, Flags, Header};
use crate::work::WorkState;
use config::Config;
use event::{ChildSaHandle, Event, IkeSaHandle, Role, Traffic};

pub mod config;
pub(crate) mod diagnostics;
pub mod event;
mod limits;
mod path;
mod requests;
mod stats;
mod teardown;
mod timeouts;

pub(crate) use limits::Rate;
pub use path::Path;
pub use stats::{ChildSaInfo, IkeSaInfo, InUse, Stats};

/// What the host lends to a call.
pub struct Context<'c> {
    /// The time.
    pub now: Instant,
    /// Cryptographically secure randomness.
    pub rng: &'c mut dyn CryptoRng,
    /// The configuration as it is now.
    pub config: &'c Config<'c>,
}

impl core::fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Context").field("now", &self.now).finish_non_exhaustive()
    }
}

/// A datagram to send. The bytes are lent: they stand in the buffer that is kept for retransmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// From where to where.
    pub path: Path,
    /// The UDP payload, non-ESP marker included where the path wants it.
    pub datagram: &'a [u8],
}

/// An IKEv1 endpoint: all IKE SAs, exchanges and child SAs of a host.
pub struct Endpoint<'s> {
    pub(crate) store: Storage<'s>,
    pub(crate) digests: Digests,
    /// The serial of the newest occupation of a slot.
    serial: u32,
    pub(crate) stats: Stats,
    pub(crate) dh_rate: Rate,
    pub(crate) hint_rate: Rate,
    pub(crate) work: WorkState,
}

impl core::fmt::Debug for Endpoint<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Endpoint").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Drop for Endpoint<'_> {
    /// Keys, messages and whatever else was in the storage are wiped.
    fn drop(&mut self) {
        self.store.clear();
    }
}

impl<'s> Endpoint<'s> {
    /// An endpoint without SAs in `storage`. Of `rng` it takes the key of its hash tables.
    ///
    /// # Errors
    ///
    /// [`ApiError::Storage`] if a kind of slot is missing altogether or messages are below 576 bytes.
    pub fn new(storage: Storage<'s>, rng: &mut dyn CryptoRng) -> Result<Self, ApiError> {
        let enough = storage.ikes.capacity() > 0
            && storage.exchanges.capacity() > 0
            && storage.children.capacity() > 0
            && storage.buffers.message_len() >= 576;
        if !enough {
            return Err(ApiError::Storage);
        }
        Ok(Self {
            store: storage,
            digests: Digests::new(rng),
            serial: 0,
            stats: Stats::default(),
            dh_rate: Rate::default(),
            hint_rate: Rate::default(),
            work: WorkState::default(),
        })
    }

    // ---- in ------------------------------------------------------------------------------------

    /// Takes an IKE message from the network. On a socket that ESP shares, pass what
    /// [`natt::classify`](crate::natt::classify) returns. The message is decrypted in place.
    ///
    /// # Errors
    ///
    /// Why the datagram changed nothing. Counted in [`Self::stats`]; nothing needs to be done about it.
    pub fn handle_datagram(
        &mut self,
        cx: &mut Context<'_>,
        path: Path,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        let result = self.dispatch(cx, path, datagram);
        self.stats.note(&result);
        result
    }

    pub(crate) fn dispatch(
        &mut self,
        cx: &mut Context<'_>,
        path: Path,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        let header = Header::parse(datagram)?;
        if header.cookies.initiator.is_zero() {
            return Err(Discard::UnknownSa);
        }
        // Fragments are never encrypted, although racoon's copy the flags of the message they are of.
        if header.next_payload == PayloadType::FRAGMENT {
            return self.fragment_datagram(cx, path, &header, datagram);
        }
        match header.exchange {
            ExchangeType::IDENTITY_PROTECTION | ExchangeType::AGGRESSIVE => {
                self.phase1_datagram(cx, path, &header, datagram)
            }
            ExchangeType::QUICK_MODE => self.quick_mode_datagram(cx, path, &header, datagram),
            ExchangeType::INFORMATIONAL => self.informational_datagram(cx, path, &header, datagram),
            other => Err(Discard::Refused(Refusal::Exchange(other))),
        }
    }

    /// Tells what the data plane saw of a pair of child SAs since the last time. Call it now and then while packets
    /// pass, and with `received` at the first packet of a new inbound SA.
    pub fn note_traffic(&mut self, cx: &mut Context<'_>, child: ChildSaHandle, seen: Traffic) {
        let Some(sa) = self.child(child) else { return };
        let use_outbound = sa.use_outbound;
        if seen.received {
            match use_outbound {
                Outbound::From(_) => self.outbound_usable(cx, child.index),
                Outbound::Early => self.confirmed_by_traffic(cx, child.index),
                _ => {}
            }
        }
        // The IKE SA that it came from may be gone; the peer's newest one speaks for it then.
        let Some(index) = self.ike_of_child(child.index) else { return };
        let Some(ike) = self.store.ikes.get_mut(index) else { return };
        if seen.received {
            ike.heard(cx.now);
        } else if seen.sent {
            ike.worried(cx);
        }
        if seen.sent && ike.keepalive.is_some() {
            ike.keepalive = Some(cx.config.timing.next_keepalive(cx.now));
        }
        self.refresh_ike(index);
    }

    /// Message 3 of the quick mode has not come, a packet under its keys has. They are made of both nonces, so the packet
    /// proves what HASH(3) would: the initiator is alive and has our answer. The message may still come, and need not.
    fn confirmed_by_traffic(&mut self, cx: &mut Context<'_>, child: u16) {
        let Some(index) = self.store.children.get(child).and_then(|sa| sa.exchange) else { return };
        let Some(exchange) = self.store.exchanges.get_mut(index) else { return };
        if !matches!(exchange.state, State::Quick(QuickMode::ExpectConfirmation(_))) {
            return;
        }
        exchange.on_silence = OnSilence::Done;
        exchange.outbox.at = None;
        exchange.deadline = Some(cx.now.after(cx.config.timing.exchange_timeout));
        self.refresh_exchange(index);
        self.outbound_usable(cx, child);
    }

    /// Tells that a packet of this child came over `path` and advanced the replay window: the peer's NAT has moved
    /// it, if that is another path than before. Only then; anything else can be forged.
    pub fn path_seen(&mut self, _: &mut Context<'_>, child: ChildSaHandle, path: Path) {
        let Some(sa) = self.child(child) else { return };
        if sa.encap
            && path.encap
            && let Some(ike) = self.ike_of_child(child.index)
        {
            self.move_peer(ike, path);
        }
    }

    // ---- out -----------------------------------------------------------------------------------

    /// The next datagram to send, lent until the next call.
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        while let Some(index) = self.store.exchanges.pending.front() {
            let exchange = self.store.exchanges.get(index);
            if exchange.is_some_and(|it| it.outbox.due && !it.outbox.withheld) {
                return self.transmit_of(index);
            }
            let _ = self.store.exchanges.pending.pop();
        }
        self.store.scratch.wipe();
        // Behind the exchanges: a notify may speak of what the last message of phase 1 sets up.
        let (path, datagram) = self.store.ring.pop()?;
        self.stats.sent = self.stats.sent.saturating_add(1);
        Some(Transmit { path, datagram })
    }

    /// What is due of an exchange: its message, or the next fragment of it.
    fn transmit_of(&mut self, index: u16) -> Option<Transmit<'_>> {
        let exchange = self.store.exchanges.get_mut(index)?;
        let len = usize::from(exchange.outbox.len);
        // The peer may have moved since a quick mode sent this for the first time.
        let path = match (exchange.kind, self.store.ikes.get(exchange.ike.0)) {
            (ExchangeType::QUICK_MODE, Some(ike)) => ike.path,
            _ => exchange.path,
        };
        let start = if path.encap { 0 } else { NON_ESP_MARKER.len() };
        let fragment = exchange.outbox.fragments_sent.saturating_add(1);
        let in_fragments = exchange.outbox.fragment > 0;
        if in_fragments {
            exchange.outbox.fragments_sent = fragment;
        }
        self.stats.sent = self.stats.sent.saturating_add(1);
        let piece = if in_fragments { self.write_fragment(index, fragment) } else { None };
        if piece.is_none_or(|(_, last)| last) {
            self.message_left(index);
        }
        let datagram = match piece {
            Some((len, _)) => self.store.scratch.get(start..len),
            None => self.store.buffers.sent(index).get(start..len),
        };
        Some(Transmit { path, datagram: datagram.unwrap_or_default() })
    }

    /// All of an exchange's message is on its way.
    fn message_left(&mut self, index: u16) {
        let _ = self.store.exchanges.pending.pop();
        let Some(exchange) = self.store.exchanges.get_mut(index) else { return };
        exchange.outbox.due = false;
        exchange.outbox.fragments_sent = 0;
        if let (State::Lingering, Role::Initiator, Some((child, serial))) =
            (exchange.state, exchange.role, exchange.child)
        {
            // The third message of quick mode lets the peer send, and us.
            if self.store.children.is(child, serial) {
                self.third_message_sent(child);
            }
        }
    }

    /// The next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        while let Some(index) = self.store.ikes.pending.front() {
            if let Some(event) = self.ike_event(index) {
                return Some(event);
            }
            let _ = self.store.ikes.pending.pop();
        }
        while let Some(index) = self.store.children.pending.front() {
            if let Some(event) = self.child_event(index) {
                return Some(event);
            }
            let _ = self.store.children.pending.pop();
        }
        self.store.diagnostics.pop()
    }

    fn ike_event(&mut self, index: u16) -> Option<Event> {
        let handle = self.ike_handle(index)?;
        let ike = self.store.ikes.get_mut(index)?;
        let peer = ike.peer;
        if core::mem::take(&mut ike.pending.up) {
            return Some(Event::IkeSaUp { ike: handle, peer, role: ike.role, path: ike.path });
        }
        if core::mem::take(&mut ike.pending.path) {
            return Some(Event::PathChanged { ike: handle, peer, path: ike.path });
        }
        if let Some(new) = ike.pending.replaced.take() {
            return Some(Event::IkeSaReplaced { old: handle, new });
        }
        if let (true, ike_sa::Phase::Down(reason)) = (ike.pending.down, ike.phase) {
            self.store.ikes.release(index);
            return Some(Event::IkeSaDown { ike: handle, peer, reason });
        }
        None
    }

    fn child_event(&mut self, index: u16) -> Option<Event> {
        let child = self.child_handle(index)?;
        let sa = self.store.children.get_mut(index)?;
        let (peer, inbound) = (sa.peer, sa.inbound);
        let outbound = sa.outbound?;
        if core::mem::take(&mut sa.pending.ready) {
            return Some(Event::ChildSaReady {
                child,
                peer,
                config: sa.config,
                policy: sa.policy,
                role: sa.role,
                inbound,
                outbound,
                replaces: sa.replaces,
            });
        }
        if core::mem::take(&mut sa.pending.outbound) {
            return Some(Event::ChildSaOutbound { child });
        }
        if core::mem::take(&mut sa.pending.gone) {
            let policy = sa.policy;
            return Some(Event::ChildSaOutboundGone { child, policy, outbound });
        }
        if let (true, child_sa::Phase::Down(reason)) = (sa.pending.down, sa.phase) {
            let config = sa.config;
            self.store.children.release(index);
            return Some(Event::ChildSaDown { child, peer, config, inbound, outbound, reason });
        }
        None
    }

    /// When [`Self::handle_timeout`] is to be called next, if at all.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        [
            self.store.ikes.timers.next(),
            self.store.exchanges.timers.next(),
            self.store.children.timers.next(),
        ]
        .into_iter()
        .flatten()
        .map(|(at, _)| at)
        .min()
    }

    /// The inbound SA of a new pair, once. Install it, then poll for what to send: the message that lets the peer use
    /// it waits for this call.
    pub fn take_inbound(&mut self, child: ChildSaHandle) -> Option<SaParams> {
        let sa = self.child_mut(child)?;
        if sa.phase != child_sa::Phase::Ready {
            return None;
        }
        let keys = core::mem::replace(&mut sa.keys_in, KeyMaterial::zeroed(0)?);
        sa.phase = child_sa::Phase::Up;
        let params = sa.params(sa.inbound, keys, child.to_owner());
        self.release_message(child.index);
        self.refresh_child(child.index);
        params
    }

    /// The outbound SA of a pair, once, after [`Event::ChildSaOutbound`].
    pub fn take_outbound(&mut self, child: ChildSaHandle) -> Option<SaParams> {
        let sa = self.child_mut(child)?;
        if sa.use_outbound != Outbound::Usable {
            return None;
        }
        let keys = core::mem::replace(&mut sa.keys_out, KeyMaterial::zeroed(0)?);
        sa.use_outbound = Outbound::Taken;
        sa.params(sa.outbound?, keys, child.to_owner())
    }

    // ---- shared by the exchanges ---------------------------------------------------------------

    pub(crate) fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1).max(1);
        self.serial
    }

    pub(crate) fn ike_handle(&self, index: u16) -> Option<IkeSaHandle> {
        Some(IkeSaHandle { index, generation: self.store.ikes.serial(index)? })
    }

    pub(crate) fn child_handle(&self, index: u16) -> Option<ChildSaHandle> {
        Some(ChildSaHandle { index, generation: self.store.children.serial(index)? })
    }

    pub(crate) fn child(&self, child: ChildSaHandle) -> Option<&ChildSa> {
        self.store
            .children
            .is(child.index, child.generation)
            .then(|| self.store.children.get(child.index))
            .flatten()
    }

    pub(crate) fn child_mut(&mut self, child: ChildSaHandle) -> Option<&mut ChildSa> {
        if !self.store.children.is(child.index, child.generation) {
            return None;
        }
        self.store.children.get_mut(child.index)
    }

    pub(crate) fn ike(&self, ike: IkeSaHandle) -> Option<&IkeSa> {
        self.store
            .ikes
            .is(ike.index, ike.generation)
            .then(|| self.store.ikes.get(ike.index))
            .flatten()
    }

    /// The IKE SA with these cookies: by ours, whichever of the two it is.
    pub(crate) fn find_ike(&self, cookies: &CookiePair) -> Option<u16> {
        [cookies.responder, cookies.initiator].into_iter().find_map(|cookie| {
            let digest = self.digests.of(Kind::Cookie, &[&cookie.0]);
            self.store.ikes_by_cookie.candidates(digest).find(|index| {
                self.store.ikes.get(*index).is_some_and(|ike| {
                    ike.own_cookie() == cookie
                        && ike.cookies.initiator == cookies.initiator
                        // An initiator learns the responder's cookie from the first answer.
                        && (ike.cookies.responder == cookies.responder
                            || (ike.cookies.responder.is_zero() && ike.role == Role::Initiator))
                })
            })
        })
    }

    /// Whether one of our own IKE SAs that we began has this cookie.
    pub(crate) fn is_own_cookie(&self, cookie: Cookie) -> bool {
        let digest = self.digests.of(Kind::Cookie, &[&cookie.0]);
        self.store
            .ikes_by_cookie
            .candidates(digest)
            .any(|index| self.store.ikes.get(index).is_some_and(|ike| ike.own_cookie() == cookie))
    }

    /// A cookie that is not in use.
    pub(crate) fn fresh_cookie(&self, rng: &mut dyn CryptoRng) -> Result<Cookie, Capacity> {
        fresh(|| {
            let mut cookie = Cookie::ZERO;
            rng.fill_bytes(&mut cookie.0);
            (!cookie.is_zero() && !self.is_own_cookie(cookie)).then_some(cookie)
        })
    }

    /// An SPI that is not in use.
    pub(crate) fn fresh_spi(&self, rng: &mut dyn CryptoRng) -> Result<Spi, Capacity> {
        fresh(|| {
            let spi = Spi::new(rng.next_u32())?;
            let digest = self.digests.of(Kind::Spi, &[&spi.to_be_bytes()]);
            let taken = self.store.children_by_spi.candidates(digest).any(|index| {
                self.store.children.get(index).is_some_and(|child| child.inbound == spi)
            });
            (!taken).then_some(spi)
        })
    }

    /// Takes up the message of `len` bytes in the scratch as what `exchange` sends: now, and again as `number`'s row
    /// in the table of messages says.
    pub(crate) fn send(&mut self, cx: &Context<'_>, index: u16, len: usize, number: u8) {
        let Some(exchange) = self.store.exchanges.get_mut(index) else { return };
        let marker = NON_ESP_MARKER.len();
        let buffer = self.store.buffers.sent_mut(index);
        let end = marker.saturating_add(len);
        let (Some(place), Some(message)) =
            (buffer.get_mut(marker..end), self.store.scratch.get(0..len))
        else {
            return;
        };
        place.copy_from_slice(message);
        if let Some(place) = buffer.get_mut(..marker) {
            place.copy_from_slice(&NON_ESP_MARKER);
        }
        let on_silence = crate::exchange::spec(exchange.kind, number)
            .filter(|spec| spec.sender == exchange.role)
            .map_or(OnSilence::Done, |spec| spec.on_silence);
        exchange.on_silence = on_silence;
        let outbox = &mut exchange.outbox;
        outbox.number = number;
        outbox.len = u16::try_from(end).unwrap_or(u16::MAX);
        outbox.due = true;
        outbox.answered = 0;
        outbox.fragments_sent = 0;
        let fragments =
            self.store.ikes.get(exchange.ike.0).is_some_and(|ike| ike.announced.fragmentation);
        let limit = cx.config.limits.datagram;
        outbox.fragment = if fragments && len > usize::from(limit) { limit } else { 0 };
        outbox.fragment_id = outbox.fragment_id.wrapping_add(1).max(1);
        let timing = &cx.config.timing;
        match on_silence {
            OnSilence::Retransmit => {
                outbox.tries = timing.retransmit_tries;
                outbox.wait = timing.retransmit_first;
                outbox.at = Some(cx.now.after(outbox.wait));
                exchange.deadline = None;
            }
            OnSilence::Wait | OnSilence::Done => {
                outbox.at = None;
                exchange.deadline = Some(cx.now.after(timing.exchange_timeout));
            }
        }
        self.store.exchanges.pending.push(index);
        self.refresh_exchange(index);
    }

    /// Queues a message of `len` bytes in the scratch that belongs to no exchange.
    pub(crate) fn send_once(&mut self, path: Path, len: usize) {
        let marker: &[u8] = if path.encap { &NON_ESP_MARKER } else { &[] };
        let message = self.store.scratch.get(0..len).unwrap_or_default();
        self.store.ring.push(path, marker, message);
    }

    /// Answers a duplicate of the last accepted message with the last answer, a few times.
    pub(crate) fn answer_duplicate(&mut self, index: u16) {
        /// Answers to one message; the peer's retransmissions are fewer.
        const ANSWERS: u8 = 12;
        let Some(exchange) = self.store.exchanges.get_mut(index) else { return };
        let received = exchange.received_number();
        let answers = crate::exchange::spec(exchange.kind, received)
            .is_some_and(|spec| spec.on_duplicate == OnDuplicate::Answer);
        let ready = exchange.work.is_none() && !exchange.outbox.withheld;
        if answers && ready && exchange.outbox.len > 0 && exchange.outbox.answered < ANSWERS {
            exchange.outbox.answered = exchange.outbox.answered.saturating_add(1);
            exchange.outbox.due = true;
            self.store.exchanges.pending.push(index);
        }
    }

    /// The message of the quick mode behind `child` may go out now.
    fn release_message(&mut self, child: u16) {
        let Some(index) = self.store.children.get(child).and_then(|sa| sa.exchange) else { return };
        if let Some(exchange) = self.store.exchanges.get_mut(index) {
            exchange.outbox.withheld = false;
            exchange.outbox.due = true;
            self.store.exchanges.pending.push(index);
        }
        self.refresh_exchange(index);
    }

    /// The third message of quick mode has left: the first outbound SA of a child may be used.
    fn third_message_sent(&mut self, child: u16) {
        let Some(sa) = self.store.children.get(child) else { return };
        if sa.use_outbound == Outbound::Early {
            self.offer_outbound(child);
        }
    }

    /// The host may take the outbound SA of `index`, in the place of older ones. Not so if a newer pair of the same child
    /// was faster, its quick mode having lost fewer datagrams: the older one would take the traffic back.
    fn offer_outbound(&mut self, index: u16) {
        let Some(sa) = self.store.children.get(index) else { return };
        let (owner, config, serial) = (sa.owner, sa.config, self.store.children.serial(index));
        let mut outrun = false;
        let mut next = self.store.children_by_owner.candidates(owner).next();
        while let Some(other) = next {
            next = self.store.children_by_owner.behind(other);
            let newer = self.store.children.serial(other) > serial;
            let Some(sa) = self.store.children.get_mut(other) else { continue };
            let carries = matches!(sa.use_outbound, Outbound::Usable | Outbound::Taken);
            if other == index || (sa.owner, sa.config) != (owner, config) || !carries {
                continue;
            }
            if newer && sa.is_live() {
                outrun = true;
            } else if !newer {
                sa.use_outbound = Outbound::Redundant;
                sa.pending.outbound = false;
            }
        }
        let Some(sa) = self.store.children.get_mut(index) else { return };
        if outrun {
            sa.use_outbound = Outbound::Redundant;
            sa.schedule.soft = None;
        } else {
            sa.use_outbound = Outbound::Usable;
            sa.pending.outbound = true;
            self.store.children.pending.push(index);
        }
        self.refresh_child(index);
    }

    /// The outbound SA of `index` carries the traffic from now on; the pair it replaces only receives.
    pub(crate) fn outbound_usable(&mut self, cx: &Context<'_>, index: u16) {
        let handle = self.child_handle(index);
        let Some(sa) = self.store.children.get_mut(index) else { return };
        if !matches!(sa.use_outbound, Outbound::Early | Outbound::From(_)) {
            return;
        }
        let (replaces, role, owner, config) = (sa.replaces, sa.role, sa.owner, sa.config);
        self.offer_outbound(index);
        self.stop_renewing_older(index, owner, config);
        // Who began the renewal cleans up, after the overlap. The other end waits for the Delete, or for the end of the
        // old pair's lifetime: should both have begun one, neither then deletes what the other has just made.
        let (Some(old), Role::Initiator) = (replaces, role) else { return };
        if let Some(sa) = self.child_mut(old).filter(|sa| sa.is_live()) {
            sa.successor = handle;
            self.retire_child(cx, old.index);
        }
    }

    /// A pair that another one has taken the place of receives for a while, and is deleted.
    pub(crate) fn retire_child(&mut self, cx: &Context<'_>, index: u16) {
        let Some(sa) = self.store.children.get_mut(index) else { return };
        sa.phase = child_sa::Phase::Replaced;
        sa.schedule.soft = None;
        let end = cx.now.after(cx.config.timing.overlap);
        sa.schedule.hard = Some(sa.schedule.hard.map_or(end, |hard| hard.min(end)));
        self.refresh_child(index);
    }

    /// The pair `old` carries nothing any more: what is to take its place does so now, rather than when its time has come.
    pub(crate) fn use_successor(&mut self, cx: &Context<'_>, old: u16) {
        let Some(new) = self.store.children.get(old).and_then(|sa| sa.successor) else { return };
        if self.child(new).is_some_and(|sa| sa.phase == child_sa::Phase::Up) {
            self.outbound_usable(cx, new.index);
        }
    }

    /// Only the newest pair of a child is renewed; redundant ones, from renewals that both ends began, run out.
    fn stop_renewing_older(&mut self, newest: u16, owner: u64, config: config::ChildId) {
        let serial = self.store.children.serial(newest);
        let mut next = self.store.children_by_owner.candidates(owner).next();
        while let Some(index) = next {
            next = self.store.children_by_owner.behind(index);
            let older = self.store.children.serial(index) < serial;
            let Some(sa) = self.store.children.get_mut(index) else { continue };
            if older && sa.owner == owner && sa.config == config && sa.is_live() {
                sa.schedule.soft = None;
                self.refresh_child(index);
            }
        }
    }

    /// The peer is at `path` now, as an authenticated packet has shown that cannot be a replay. All its IKE SAs follow:
    /// whichever speaks next must reach it.
    ///
    /// Only a NAT moves a peer; whoever relays an authenticated packet of one that is behind none moves nobody. Nor does a
    /// message to port 500 once both have left it: ESP in UDP could not follow.
    pub(crate) fn move_peer(&mut self, index: u16, path: Path) {
        let moves = |ike: &&IkeSa| {
            ike.is_established() && ike.nat.remote_behind && (path.encap || !ike.path.encap)
        };
        let Some(ike) = self.store.ikes.get(index).filter(moves) else { return };
        let owner = ike.owner;
        let mut moved = false;
        let mut next = self.store.ikes_by_owner.candidates(owner).next();
        while let Some(other) = next {
            next = self.store.ikes_by_owner.behind(other);
            moved |= self.move_ike(other, owner, path);
        }
        if !moved {
            return;
        }
        if let Some(ike) = self.store.ikes.get_mut(index) {
            ike.pending.path = true;
            self.store.ikes.pending.push(index);
        }
        let mut next = self.store.children_by_owner.candidates(owner).next();
        while let Some(child) = next {
            if let Some(sa) = self.store.children.get_mut(child)
                && sa.owner == owner
            {
                sa.path = path;
            }
            next = self.store.children_by_owner.behind(child);
        }
    }

    /// Whether the IKE SA in slot `index` is one of `owner`'s and was not at `path` yet; it is now.
    fn move_ike(&mut self, index: u16, owner: u64, path: Path) -> bool {
        let Some(ike) = self.store.ikes.get(index) else { return false };
        if ike.owner != owner || !ike.is_established() || ike.path == path {
            return false;
        }
        let old_digest = ike.peer_digest(&self.digests);
        self.store.ikes_by_peer.remove(old_digest, index);
        let Some(ike) = self.store.ikes.get_mut(index) else { return false };
        ike.path = path;
        let digest = ike.peer_digest(&self.digests);
        self.store.ikes_by_peer.insert(digest, index);
        true
    }

    pub(crate) fn refresh_ike(&mut self, index: u16) {
        let deadline = self.store.ikes.get(index).and_then(IkeSa::deadline);
        self.store.ikes.timers.set(index, deadline);
    }

    pub(crate) fn refresh_exchange(&mut self, index: u16) {
        let deadline = self.store.exchanges.get(index).and_then(Exchange::deadline);
        self.store.exchanges.timers.set(index, deadline);
    }

    pub(crate) fn refresh_child(&mut self, index: u16) {
        let deadline = self.store.children.get(index).and_then(ChildSa::deadline);
        self.store.children.timers.set(index, deadline);
    }
}

/// The first good value that is drawn. A generator that is stuck gives none: the request fails, and the device goes on.
pub(crate) fn fresh<T>(mut draw: impl FnMut() -> Option<T>) -> Result<T, Capacity> {
    /// Of healthy randomness one draw in millions is no good.
    const TRIES: usize = 32;
    (0..TRIES).find_map(|_| draw()).ok_or(Capacity::Randomness)
}

/// The header of a message of ours.
pub(crate) const fn header(
    cookies: CookiePair,
    exchange: ExchangeType,
    message_id: u32,
    encrypted: bool,
) -> Header {
    Header {
        cookies,
        next_payload: PayloadType::NONE,
        version: crate::wire::VERSION,
        exchange,
        flags: if encrypted { Flags::ENCRYPTION } else { Flags::NONE },
        message_id,
        length: 0,
    }
}

/// Whether the encryption flag is as the message wants it.
pub(crate) fn check_flags(header: &Header, encrypted: bool) -> Result<(), PeerMisbehaved> {
    match (header.flags.contains(Flags::ENCRYPTION), encrypted) {
        (false, true) => Err(PeerMisbehaved::NotEncrypted),
        (true, false) => Err(PeerMisbehaved::Encrypted),
        _ => Ok(()),
    }
}
