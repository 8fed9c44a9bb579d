//! Quick mode, both roles, with and without perfect forward secrecy: RFC 2409 §5.5.
//!
//! ```text
//!  initiator                                              responder
//!
//!  [ComputingPublic]
//!  ExpectAnswer        ──1 {HASH(1), SA, Ni, [KE], IDs}──►  [Computing]
//!                                                           inbound SA is taken by the host
//!  [ComputingShared]   ◄─2 {HASH(2), SA, Nr, [KE], IDs}──   ExpectConfirmation
//!  inbound SA is taken by the host
//!  Lingering           ──3 {HASH(3)}──►                     outbound SA may be used
//! ```
//!
//! Each side withholds the message that lets the other send until the host has taken the inbound SA.

use esp_core::{KeyMaterial, Mode, Spi};

use crate::child_sa::{self, ChildSa, Outbound};
use crate::config::{ChildConfig, ChildId, PeerConfig};
use crate::endpoint::{Context, Endpoint, Path, fresh, header};
use crate::error::{Capacity, Discard, Error, Failure, PeerMisbehaved, Refusal};
use crate::event::{ChildSaHandle, Role};
use crate::exchange::state::{Arena, DhWork, Exchange, Name, Span, State};
use crate::exchange::{Message, OnSilence, QUICK_MODE};
use crate::ike_sa::{IkeSa, Remembered};
use crate::keys::{Iv, Nonces, hash_1, hash_2, hash_3};
use crate::lifetime::{self, Wish, emit_responder_lifetime};
use crate::phase1::{NO_COOKIES, NONCE_LEN, check_own, nonce};
use crate::phase2::companions::{emit_original_addresses, offered_spi, responder_lifetime};
use crate::phase2::negotiate::{self, Encapsulation, EspSuite};
use crate::phase2::selectors::{
    agreed_selectors, family, find_child, find_transport_child, identities, identity, selectors,
};
use crate::phase2::{Verified, verify};
use crate::protect::Algorithms;
use crate::resources::Pool;
use crate::wire::numbers::{Doi, ExchangeType, PayloadType, ProtocolId};
use crate::wire::{Header, MessageWriter, SITUATION_IDENTITY_ONLY};

/// What quick mode waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum QuickMode {
    /// Initiator: our public value.
    ComputingPublic(Offer),
    /// Initiator: message 2.
    ExpectAnswer(Offer),
    /// Initiator: the shared secret.
    ComputingShared(NoncePair),
    /// Responder: our public value and the shared secret.
    Computing(Answer),
    /// Responder: message 3.
    ExpectConfirmation(NoncePair),
}

/// What we sent as initiator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    nonce_i: Span,
    /// With perfect forward secrecy.
    public_i: Option<Span>,
}

/// Ni_b and Nr_b.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoncePair {
    nonce_i: Span,
    nonce_r: Span,
}

impl NoncePair {
    pub(super) fn of<'h>(&self, held: &'h [u8]) -> Nonces<'h> {
        Nonces { initiator: self.nonce_i.of(held), responder: self.nonce_r.of(held) }
    }
}

/// What we are going to send as responder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    nonces: NoncePair,
    /// Body of our SA payload.
    sa: Span,
    public_r: Option<Span>,
    /// Bodies of the client identities, as they were received.
    ids: Option<(Span, Span)>,
    /// RESPONDER-LIFETIME is due.
    tell_lifetime: bool,
}

impl Endpoint<'_> {
    // ---- initiator -----------------------------------------------------------------------------

    /// Begins a quick mode for a child; `replaces` is the pair it is to renew.
    pub(crate) fn begin_quick_mode(
        &mut self,
        cx: &mut Context<'_>,
        ike_index: u16,
        child: ChildId,
        replaces: Option<ChildSaHandle>,
    ) -> Result<ChildSaHandle, Error> {
        let ike = self.store.ikes.get(ike_index).ok_or(Capacity::IkeSas)?;
        let (owner, peer_id, path) = (ike.owner, ike.peer, ike.path);
        if let Some(under_way) = self.child_of(owner, child, |sa| {
            sa.phase == child_sa::Phase::Negotiating && sa.role == Role::Initiator
        }) {
            return Ok(under_way);
        }
        let peer = cx.config.peers.peer(peer_id).ok_or(Refusal::Unconfigured)?;
        let config = peer.child(child).ok_or(Refusal::Unconfigured)?;
        let group = match config.pfs {
            Some(group) => Some(cx.config.crypto.group(group).ok_or(Capacity::Algorithm)?),
            None => None,
        };
        self.room_for_quick_mode(cx, ike_index)?;
        let message_id = self.fresh_message_id(cx, ike_index)?;
        self.refresh_ike(ike_index);
        let spi = self.fresh_spi(cx.rng)?;
        let (index, child_index) = self.open_quick_mode(
            cx,
            ike_index,
            &peer,
            config,
            (Role::Initiator, message_id, spi, path),
            replaces,
        )?;
        let mut arena = Arena::new(self.store.buffers.held_mut(index), 0);
        let prepared = (|| {
            let nonce_i = arena.reserve(NONCE_LEN)?;
            cx.rng.fill_bytes(arena.span_mut(nonce_i));
            let public_i = match group {
                Some(group) => Some(arena.reserve(group.public_len())?),
                None => None,
            };
            Ok((Offer { nonce_i, public_i }, arena.len()))
        })();
        let result = prepared.and_then(|(offer, held_len): (Offer, u16)| {
            if let Some(exchange) = self.store.exchanges.get_mut(index) {
                exchange.held_len = held_len;
                exchange.state = State::Quick(QuickMode::ComputingPublic(offer));
            }
            match (offer.public_i, group) {
                (Some(public), Some(group)) => {
                    let work =
                        DhWork { group: group.id(), public: Some(public), peer_public: None };
                    self.begin_work(cx, index, work)
                }
                _ => self.quick_mode_offer(cx, index, offer),
            }
        });
        match result {
            Ok(()) => {
                let new = self.child_handle(child_index).ok_or(Capacity::ChildSas)?;
                if let Some(old) = replaces.and_then(|old| self.child_mut(old)) {
                    old.successor = Some(new);
                }
                Ok(new)
            }
            Err(error) => {
                self.release_exchange(index);
                self.forget_child(child_index);
                Err(error)
            }
        }
    }

    /// Sends message 1.
    fn quick_mode_offer(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        offer: Offer,
    ) -> Result<(), Error> {
        let (exchange, ike, sa) =
            parts(&self.store.exchanges, &self.store.ikes, &self.store.children, index)?;
        let peer = cx.config.peers.peer(ike.peer).ok_or(Refusal::Unconfigured)?;
        let config = peer.child(sa.config).ok_or(Refusal::Unconfigured)?;
        let algorithms = Algorithms::of_sa(cx.config, ike)?;
        let message_id = exchange.message_id;
        let iv = ike.iv.phase2(algorithms.prf, message_id);
        let held = self.store.buffers.held(index);
        let header = header(ike.cookies, ExchangeType::QUICK_MODE, message_id, true);
        let mut message = MessageWriter::new(self.store.scratch.room(), &header)?;
        let hash = message.reserve(PayloadType::HASH, algorithms.prf.output_len())?;
        let encapsulation = encapsulation(ike, config);
        let number = peer.first_proposal();
        negotiate::propose(&mut message, number, config, encapsulation, sa.inbound)?;
        message.payload(PayloadType::NONCE, &[offer.nonce_i.of(held)])?;
        if let Some(public) = offer.public_i {
            message.payload(PayloadType::KEY_EXCHANGE, &[public.of(held)])?;
        }
        let family = family(&config.selectors, ike.path);
        for side in [&config.selectors.local, &config.selectors.remote] {
            let (body, len) = identity(&config.selectors, side, family)
                .ok_or(Refusal::Identity(crate::wire::numbers::IdType(0)))?;
            message.payload(PayloadType::ID, &[body.get(..len).unwrap_or_default()])?;
        }
        emit_original_addresses(&mut message, ike, (sa.role, sa.mode))?;
        let [first, ..] = &QUICK_MODE;
        check_own(&message, first)?;
        let rest = message.written().get(hash.end..).unwrap_or_default();
        let value = hash_1(algorithms.prf, &ike.skeyid, message_id, rest);
        fill(&mut message, hash, value.as_slice());
        let (len, iv) = algorithms.encrypt(&ike.cipher_key, &iv, message)?;
        let (ike_index, path) = (exchange.ike.0, ike.path);
        self.commit_quick(index, path, iv, State::Quick(QuickMode::ExpectAnswer(offer)));
        self.count_bytes(cx, ike_index, len);
        self.send(cx, index, len, 1);
        Ok(())
    }

    /// Message 2: the responder's choice. The hash has been verified.
    fn on_answer(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        offer: Offer,
        message: &Message<'_>,
        next_iv: Iv,
        path: Path,
    ) -> Result<(), Error> {
        let (exchange, ike, sa) =
            parts(&self.store.exchanges, &self.store.ikes, &self.store.children, index)?;
        let peer = cx.config.peers.peer(ike.peer).ok_or(Refusal::Unconfigured)?;
        let config = peer.child(sa.config).ok_or(Refusal::Unconfigured)?;
        let chosen = negotiate::check_answer(
            message.find(PayloadType::SA)?,
            config,
            encapsulation(ike, config),
            &cx.config.limits,
        )?;
        let nonce_r = nonce(message)?;
        let held = self.store.buffers.held(index);
        if nonce_r == offer.nonce_i.of(held) || chosen.spi == sa.inbound {
            return Err(PeerMisbehaved::Reflected.into());
        }
        let agreed = agreed_selectors(message, &peer, config, path)?;
        let lifetime = Wish::of_initiator(chosen.agreed.lifetime, &cx.config.limits)
            .accept(responder_lifetime(message));
        let public_r = self.peer_public(cx, message, config)?;
        let (child_index, held_len) = (exchange.child, exchange.held_len);
        let mut arena = Arena::new(self.store.buffers.held_mut(index), held_len);
        let nonce_r = arena.hold(nonce_r)?;
        let public_r = match public_r {
            Some(public) => Some(arena.hold(public)?),
            None => None,
        };
        let held_len = arena.len();
        let nonces = NoncePair { nonce_i: offer.nonce_i, nonce_r };
        if let Some((child, _)) = child_index
            && let Some(sa) = self.store.children.get_mut(child)
        {
            sa.outbound = Some(chosen.spi);
            sa.suite = chosen.suite;
            sa.lifetime = lifetime;
            sa.selectors = agreed;
        }
        if let Some(exchange) = self.store.exchanges.get_mut(index) {
            exchange.held_len = held_len;
        }
        let state = State::Quick(QuickMode::ComputingShared(nonces));
        self.commit_quick(index, path, next_iv, state);
        match (public_r, config.pfs) {
            (Some(public), Some(group)) => {
                let work = DhWork { group, public: None, peer_public: Some(public) };
                self.begin_work(cx, index, work)
            }
            _ => self.quick_mode_confirm(cx, index, nonces, &[]),
        }
    }

    /// Sends message 3, once the host has taken the inbound SA.
    fn quick_mode_confirm(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        nonces: NoncePair,
        shared: &[u8],
    ) -> Result<(), Error> {
        self.child_agreed(cx, index, nonces, shared)?;
        let (exchange, ike, _) =
            parts(&self.store.exchanges, &self.store.ikes, &self.store.children, index)?;
        let algorithms = Algorithms::of_sa(cx.config, ike)?;
        let (ike_index, message_id, iv) = (exchange.ike.0, exchange.message_id, exchange.iv);
        let held = self.store.buffers.held(index);
        let header = header(ike.cookies, ExchangeType::QUICK_MODE, message_id, true);
        let mut message = MessageWriter::new(self.store.scratch.room(), &header)?;
        let value = hash_3(algorithms.prf, &ike.skeyid, message_id, nonces.of(held));
        message.payload(PayloadType::HASH, &[value.as_slice()])?;
        let [.., third] = &QUICK_MODE;
        check_own(&message, third)?;
        let (len, iv) = algorithms.encrypt(&ike.cipher_key, &iv, message)?;
        let path = ike.path;
        self.commit_quick(index, path, iv, State::Lingering);
        self.forget_secrets(index);
        self.count_bytes(cx, ike_index, len);
        self.send(cx, index, len, 3);
        self.withhold(index);
        Ok(())
    }

    // ---- responder -----------------------------------------------------------------------------

    /// A message of quick mode, of either role.
    pub(crate) fn quick_mode_datagram(
        &mut self,
        cx: &mut Context<'_>,
        path: Path,
        header: &Header,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        let ike_index = self.established(header)?;
        let Some(index) = self.find_exchange(ike_index, header.message_id) else {
            return self.quick_mode_first(cx, path, ike_index, header, datagram);
        };
        let exchange = self.store.exchanges.get(index).ok_or(Discard::UnknownSa)?;
        let ike = self.store.ikes.get(ike_index).ok_or(Discard::UnknownSa)?;
        let digest = self.digests.of(crate::digest::Kind::Datagram, &[datagram]);
        if digest == exchange.last_received {
            self.answer_duplicate(index);
            return Err(Discard::Duplicate);
        }
        if exchange.work.is_some() {
            return Err(Discard::Busy);
        }
        let State::Quick(state) = exchange.state else { return Err(Discard::Duplicate) };
        let algorithms = Algorithms::of_sa(cx.config, ike)?;
        let (prf, iv, message_id) = (algorithms.prf, exchange.iv, header.message_id);
        let held = self.store.buffers.held(index);
        let [_, second, third] = &QUICK_MODE;
        let len = datagram.len();
        match state {
            QuickMode::ExpectAnswer(offer) => {
                let verified =
                    verify(&algorithms, &ike.cipher_key, &iv, header, datagram, second, |rest| {
                        hash_2(prf, &ike.skeyid, message_id, offer.nonce_i.of(held), rest)
                    })?;
                self.accepted(cx, ike_index, index, path, digest, len);
                let (message, next_iv) = (verified.message, verified.next_iv);
                self.on_answer(cx, index, offer, &message, next_iv, path).map_err(|error| {
                    self.quick_mode_failed(cx, ike_index, index, error);
                    error.into()
                })
            }
            QuickMode::ExpectConfirmation(nonces) => {
                let (confirmed, ike_path) = (exchange.on_silence == OnSilence::Done, ike.path);
                verify(&algorithms, &ike.cipher_key, &iv, header, datagram, third, |_| {
                    hash_3(prf, &ike.skeyid, message_id, nonces.of(held))
                })?;
                // Where packets have confirmed the pair already it says nothing new, and, kept back by somebody on the path, where
                // the peer was then.
                let path = if confirmed { ike_path } else { path };
                self.accepted(cx, ike_index, index, path, digest, len);
                if let Some((child, serial)) = exchange_child(&self.store.exchanges, index)
                    && self.store.children.is(child, serial)
                {
                    self.outbound_usable(cx, child);
                }
                self.release_exchange(index);
                Ok(())
            }
            QuickMode::ComputingPublic(_)
            | QuickMode::ComputingShared(_)
            | QuickMode::Computing(_) => Err(Discard::Busy),
        }
    }

    /// Message 1, as responder.
    fn quick_mode_first(
        &mut self,
        cx: &mut Context<'_>,
        path: Path,
        ike_index: u16,
        header: &Header,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        let ike = self.store.ikes.get(ike_index).ok_or(Discard::UnknownSa)?;
        let message_id = header.message_id;
        if !ike.is_usable() {
            return Err(Discard::UnknownSa);
        }
        if ike.message_ids.contains(&message_id) {
            return Err(PeerMisbehaved::MessageIdReused(message_id).into());
        }
        let algorithms = Algorithms::of_sa(cx.config, ike)?;
        let prf = algorithms.prf;
        let iv = ike.iv.phase2(prf, message_id);
        let digest = self.digests.of(crate::digest::Kind::Datagram, &[datagram]);
        let len = datagram.len();
        let [first, ..] = &QUICK_MODE;
        let verified =
            verify(&algorithms, &ike.cipher_key, &iv, header, datagram, first, |rest| {
                hash_1(prf, &ike.skeyid, message_id, rest)
            })?;
        self.room_for_quick_mode(cx, ike_index)?;
        let ike = self.store.ikes.get_mut(ike_index).ok_or(Discard::UnknownSa)?;
        match ike.remember(message_id) {
            Remembered::New => {}
            Remembered::Known => return Err(PeerMisbehaved::MessageIdReused(message_id).into()),
            Remembered::Full => return Err(Discard::Capacity(Capacity::MessageIds)),
        }
        let peer_id = ike.peer;
        renew_when_full(cx, ike);
        self.count_bytes(cx, ike_index, len);
        self.peer_heard(cx, ike_index, path, true);
        self.on_offer(cx, ike_index, message_id, path, digest, &verified).map_err(|error| {
            if let Some(notify) = error.notify() {
                let spi = offered_spi(&verified.message);
                self.notify_peer(cx, ike_index, notify, (ProtocolId::ESP, &spi));
            }
            self.report(Some(peer_id), None, Role::Responder, path, Failure::Error(error));
            error.into()
        })
    }

    fn on_offer(
        &mut self,
        cx: &mut Context<'_>,
        ike_index: u16,
        message_id: u32,
        path: Path,
        digest: u64,
        verified: &Verified<'_>,
    ) -> Result<(), Error> {
        let Verified { message, next_iv } = verified;
        let ike = self.store.ikes.get(ike_index).ok_or(Capacity::IkeSas)?;
        let peer = cx.config.peers.peer(ike.peer).ok_or(Refusal::Unconfigured)?;
        let nonce_i = nonce(message)?;
        let ids = identities(message)?;
        // The first identity is the initiator's side, which is remote from here.
        let asked = selectors(ids.map(|ids| ids.1), ids.map(|ids| ids.0), path)?;
        let nat = ike.nat;
        let config = match find_child(peer.children, &asked) {
            Ok(config) => config,
            Err(error) if nat.found() => {
                find_transport_child(peer.children, &asked, path).ok_or(error)?
            }
            Err(error) => return Err(error),
        };
        let selectors = if config.mode == Mode::Transport { config.selectors } else { asked };
        let (chosen, number, transform) = negotiate::choose(
            message.find(PayloadType::SA)?,
            &peer,
            config,
            encapsulation(ike, config),
            &cx.config.limits,
        )?;
        let public_i = self.peer_public(cx, message, config)?;
        let spi = self.fresh_spi(cx.rng)?;
        let owner = ike.owner;
        let replaces = self.oldest_child_of(owner, config.id);
        let (index, child_index) = self.open_quick_mode(
            cx,
            ike_index,
            &peer,
            config,
            (Role::Responder, message_id, spi, path),
            replaces,
        )?;
        if let Some(sa) = self.store.children.get_mut(child_index) {
            sa.outbound = Some(chosen.spi);
            sa.suite = chosen.suite;
            sa.lifetime = chosen.agreed.lifetime;
            sa.selectors = selectors;
        }
        let result = (|| {
            let cookies = NO_COOKIES;
            let head = header(cookies, ExchangeType::QUICK_MODE, message_id, true);
            let mut sa_message = MessageWriter::new(self.store.scratch.room(), &head)?;
            let mut sa = sa_message.sa(Doi::IPSEC, SITUATION_IDENTITY_ONLY)?;
            sa.proposal(number, ProtocolId::ESP, &spi.to_be_bytes())?
                .transform_as_received(&transform)?;
            let sa_body = sa.body();
            let mut arena = Arena::new(self.store.buffers.held_mut(index), 0);
            let sa = arena.hold(sa_message.written().get(sa_body).unwrap_or_default())?;
            let nonce_i = arena.hold(nonce_i)?;
            let nonce_r = arena.reserve(NONCE_LEN)?;
            cx.rng.fill_bytes(arena.span_mut(nonce_r));
            let ids = match ids {
                Some((i, r)) => Some((arena.hold(i.body)?, arena.hold(r.body)?)),
                None => None,
            };
            let (public_i, public_r) = match (public_i, config.pfs) {
                (Some(public), Some(group)) => {
                    let group = cx.config.crypto.group(group).ok_or(Capacity::Algorithm)?;
                    (Some(arena.hold(public)?), Some(arena.reserve(group.public_len())?))
                }
                _ => (None, None),
            };
            let nonces = NoncePair { nonce_i, nonce_r };
            let tell_lifetime = chosen.agreed.tell;
            let answer = Answer { nonces, sa, public_r, ids, tell_lifetime };
            let held_len = arena.len();
            if let Some(exchange) = self.store.exchanges.get_mut(index) {
                exchange.held_len = held_len;
                exchange.last_received = digest;
            }
            let state = State::Quick(QuickMode::Computing(answer));
            self.commit_quick(index, path, *next_iv, state);
            match (public_i, config.pfs) {
                (Some(_), Some(group)) => {
                    let work = DhWork { group, public: public_r, peer_public: public_i };
                    self.begin_work(cx, index, work)
                }
                _ => self.quick_mode_answer(cx, index, answer, &[]),
            }
        })();
        if result.is_err() {
            self.release_exchange(index);
            self.forget_child(child_index);
        }
        result
    }

    /// Sends message 2, once the host has taken the inbound SA.
    fn quick_mode_answer(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        answer: Answer,
        shared: &[u8],
    ) -> Result<(), Error> {
        self.child_agreed(cx, index, answer.nonces, shared)?;
        let (exchange, ike, sa) =
            parts(&self.store.exchanges, &self.store.ikes, &self.store.children, index)?;
        let algorithms = Algorithms::of_sa(cx.config, ike)?;
        let (ike_index, message_id, iv) = (exchange.ike.0, exchange.message_id, exchange.iv);
        let held = self.store.buffers.held(index);
        let nonces = answer.nonces.of(held);
        let header = header(ike.cookies, ExchangeType::QUICK_MODE, message_id, true);
        let mut message = MessageWriter::new(self.store.scratch.room(), &header)?;
        let hash = message.reserve(PayloadType::HASH, algorithms.prf.output_len())?;
        message.payload(PayloadType::SA, &[answer.sa.of(held)])?;
        message.payload(PayloadType::NONCE, &[nonces.responder])?;
        if let Some(public) = answer.public_r {
            message.payload(PayloadType::KEY_EXCHANGE, &[public.of(held)])?;
        }
        if let Some((id_i, id_r)) = answer.ids {
            message.payload(PayloadType::ID, &[id_i.of(held)])?;
            message.payload(PayloadType::ID, &[id_r.of(held)])?;
        }
        emit_original_addresses(&mut message, ike, (sa.role, sa.mode))?;
        if answer.tell_lifetime {
            let spi = sa.inbound.to_be_bytes();
            emit_responder_lifetime(&mut message, ProtocolId::ESP, &spi, sa.lifetime)?;
        }
        let [_, second, _] = &QUICK_MODE;
        check_own(&message, second)?;
        let rest = message.written().get(hash.end..).unwrap_or_default();
        let value = hash_2(algorithms.prf, &ike.skeyid, message_id, nonces.initiator, rest);
        fill(&mut message, hash, value.as_slice());
        let (len, iv) = algorithms.encrypt(&ike.cipher_key, &iv, message)?;
        let path = ike.path;
        let state = State::Quick(QuickMode::ExpectConfirmation(answer.nonces));
        self.commit_quick(index, path, iv, state);
        self.forget_secrets(index);
        self.count_bytes(cx, ike_index, len);
        self.send(cx, index, len, 2);
        self.withhold(index);
        Ok(())
    }

    // ---- both ----------------------------------------------------------------------------------

    /// Goes on after the Diffie-Hellman.
    pub(crate) fn quick_mode_computed(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        state: QuickMode,
        shared: &[u8],
    ) -> Result<(), Error> {
        match state {
            QuickMode::ComputingPublic(offer) => self.quick_mode_offer(cx, index, offer),
            QuickMode::ComputingShared(nonces) => {
                self.quick_mode_confirm(cx, index, nonces, shared)
            }
            QuickMode::Computing(answer) => self.quick_mode_answer(cx, index, answer, shared),
            QuickMode::ExpectAnswer(_) | QuickMode::ExpectConfirmation(_) => Ok(()),
        }
    }

    /// Makes room for one more quick mode under an IKE SA. Asked before a message id is taken: without room none is used
    /// up, and the peer may ask again with the same message.
    fn room_for_quick_mode(&mut self, cx: &mut Context<'_>, ike_index: u16) -> Result<(), Error> {
        let ike = self.store.ikes.get(ike_index).ok_or(Capacity::IkeSas)?;
        let serial = self.store.ikes.serial(ike_index).ok_or(Capacity::IkeSas)?;
        if self.store.children.is_full() {
            return Err(Capacity::ChildSas.into());
        }
        if ike.exchanges >= cx.config.limits.exchanges_per_ike_sa
            && !self.release_done(Some((ike_index, serial)))
        {
            return Err(Capacity::ExchangesPerIkeSa.into());
        }
        self.make_room_for_exchange(cx);
        if self.store.exchanges.is_full() {
            return Err(Capacity::Exchanges.into());
        }
        Ok(())
    }

    /// Takes slots for a quick mode and its pair of child SAs, behind [`Self::room_for_quick_mode`].
    fn open_quick_mode(
        &mut self,
        cx: &Context<'_>,
        ike_index: u16,
        peer: &PeerConfig<'_>,
        config: &ChildConfig<'_>,
        (role, message_id, inbound, path): (Role, u32, Spi, Path),
        replaces: Option<ChildSaHandle>,
    ) -> Result<(u16, u16), Error> {
        let ike_serial = self.store.ikes.serial(ike_index).ok_or(Capacity::IkeSas)?;
        let ike = self.store.ikes.get(ike_index).ok_or(Capacity::IkeSas)?;
        let (owner, encap) = (ike.owner, ike.nat.found());
        let no_keys = || KeyMaterial::zeroed(0).ok_or(Capacity::ChildSas);
        let child = ChildSa {
            phase: child_sa::Phase::Negotiating,
            role,
            peer: peer.id,
            owner,
            config: config.id,
            policy: config.policy,
            ike: (ike_index, ike_serial),
            exchange: None,
            inbound,
            outbound: None,
            suite: EspSuite::default(),
            mode: config.mode,
            selectors: config.selectors,
            replay_window: config.replay_window,
            path,
            encap,
            lifetime: config.lifetime,
            soft_percent: 0,
            keys_in: no_keys()?,
            keys_out: no_keys()?,
            use_outbound: Outbound::Early,
            schedule: lifetime::Schedule::default(),
            since: None,
            replaces,
            successor: None,
            pending: child_sa::Pending::default(),
        };
        let spi_digest = child.spi_digest(&self.digests);
        let child_serial = self.next_serial();
        let child_index =
            self.store.children.allocate(child_serial, child).ok_or(Capacity::ChildSas)?;
        let key = self.exchange_key(ike_index, message_id);
        let name = Name { kind: ExchangeType::QUICK_MODE, role, message_id, key };
        let mut exchange =
            Exchange::new((ike_index, ike_serial), name, State::Lingering, path, cx.now);
        exchange.child = Some((child_index, child_serial));
        let serial = self.next_serial();
        let Some(index) = self.store.exchanges.allocate(serial, exchange) else {
            self.store.children.release(child_index);
            return Err(Capacity::Exchanges.into());
        };
        self.store.exchanges_by_key.insert(key, index);
        self.store.children_by_spi.insert(spi_digest, child_index);
        self.store.children_by_owner.insert(owner, child_index);
        if let Some(sa) = self.store.children.get_mut(child_index) {
            sa.exchange = Some(index);
        }
        if let Some(ike) = self.store.ikes.get_mut(ike_index) {
            ike.exchanges = ike.exchanges.saturating_add(1);
        }
        Ok((index, child_index))
    }

    /// An authenticated message has come in.
    fn accepted(
        &mut self,
        cx: &Context<'_>,
        ike_index: u16,
        index: u16,
        path: Path,
        digest: u64,
        len: usize,
    ) {
        if let Some(exchange) = self.store.exchanges.get_mut(index) {
            exchange.last_received = digest;
        }
        self.count_bytes(cx, ike_index, len);
        self.peer_heard(cx, ike_index, path, true);
    }

    /// An authenticated answer that cannot be taken: the peer is told, and the exchange ends.
    fn quick_mode_failed(
        &mut self,
        cx: &mut Context<'_>,
        ike_index: u16,
        index: u16,
        error: Error,
    ) {
        if let Some(notify) = error.notify() {
            let spi = exchange_child(&self.store.exchanges, index)
                .and_then(|(child, _)| self.store.children.get(child))
                .map(|sa| sa.inbound.to_be_bytes());
            let spi: &[u8] = spi.as_ref().map_or(&[], |spi| spi);
            self.notify_peer(cx, ike_index, notify, (ProtocolId::ESP, spi));
        }
        self.fail_exchange(cx, index, Failure::Error(error));
    }

    fn commit_quick(&mut self, index: u16, path: Path, iv: Iv, state: State) {
        if let Some(exchange) = self.store.exchanges.get_mut(index) {
            exchange.path = path;
            exchange.iv = iv;
            exchange.state = state;
        }
    }

    /// What was just sent waits for the host to take the inbound SA.
    fn withhold(&mut self, index: u16) {
        if let Some(exchange) = self.store.exchanges.get_mut(index) {
            exchange.outbox.withheld = true;
        }
        self.refresh_exchange(index);
    }

    /// A message id that was not used under this IKE SA, and is now.
    fn fresh_message_id(&mut self, cx: &mut Context<'_>, ike: u16) -> Result<u32, Error> {
        let ike = self.store.ikes.get_mut(ike).ok_or(Capacity::IkeSas)?;
        let message_id = fresh(|| {
            let message_id = cx.rng.next_u32();
            (message_id != 0 && !ike.message_ids.contains(&message_id)).then_some(message_id)
        })?;
        if ike.remember(message_id) != Remembered::New {
            return Err(Capacity::MessageIds.into());
        }
        renew_when_full(cx, ike);
        Ok(message_id)
    }

    /// The public value of a message that must have one exactly if perfect forward secrecy is configured.
    fn peer_public<'a>(
        &self,
        cx: &Context<'_>,
        message: &Message<'a>,
        config: &ChildConfig<'_>,
    ) -> Result<Option<&'a [u8]>, Error> {
        let public = message.all(PayloadType::KEY_EXCHANGE).next().map(|payload| payload.body);
        match (public, config.pfs) {
            (None, None) => Ok(None),
            (Some(public), Some(group)) => {
                let group = cx.config.crypto.group(group).ok_or(Capacity::Algorithm)?;
                group.check_public(public).map_err(PeerMisbehaved::PublicValue)?;
                Ok(Some(public))
            }
            (None, Some(_)) => {
                Err(PeerMisbehaved::MissingPayload(PayloadType::KEY_EXCHANGE).into())
            }
            (Some(_), None) => {
                Err(PeerMisbehaved::UnexpectedPayload(PayloadType::KEY_EXCHANGE).into())
            }
        }
    }
}

/// A quick mode, its IKE SA and its pair of child SAs.
fn parts<'p>(
    exchanges: &'p Pool<'_, Exchange>,
    ikes: &'p Pool<'_, IkeSa>,
    children: &'p Pool<'_, ChildSa>,
    index: u16,
) -> Result<(&'p Exchange, &'p IkeSa, &'p ChildSa), Error> {
    let exchange = exchanges.get(index).ok_or(Capacity::Exchanges)?;
    let ike = ikes.get(exchange.ike.0).ok_or(Capacity::IkeSas)?;
    let (child, _) = exchange.child.ok_or(Capacity::ChildSas)?;
    let sa = children.get(child).ok_or(Capacity::ChildSas)?;
    Ok((exchange, ike, sa))
}

fn exchange_child(exchanges: &Pool<'_, Exchange>, index: u16) -> Option<(u16, u32)> {
    exchanges.get(index).and_then(|exchange| exchange.child)
}

/// An IKE SA that has used most of the message ids it can remember is due for renewal.
fn renew_when_full(cx: &Context<'_>, ike: &mut IkeSa) {
    if ike.message_ids_near_full() && ike.replaced_by.is_none() {
        ike.schedule.soft = Some(cx.now);
    }
}

/// How ESP is to be carried under this IKE SA.
fn encapsulation(ike: &IkeSa, config: &ChildConfig<'_>) -> Encapsulation {
    Encapsulation { mode: config.mode, method: ike.nat.method, udp: ike.nat.found() }
}

fn fill(message: &mut MessageWriter<'_>, place: core::ops::Range<usize>, value: &[u8]) {
    if let Some(place) = message.written_mut().get_mut(place) {
        place.copy_from_slice(value);
    }
}
