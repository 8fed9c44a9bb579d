//! Aggressive mode, both roles, with a pre-shared key: RFC 2409 §5.4; NAT detection by RFC 3947 §3.
//!
//! ```text
//!  initiator                                        responder
//!
//!  ComputingPublic
//!  ExpectAnswer    ──1 SA, KE, Ni, IDii──►          Computing
//!                  ◄─2 SA, KE, Nr, IDir, HASH_R──   ExpectAuth
//!  Computing
//!  established     ──3 {HASH_I, NAT-D…}──►          established
//! ```
//!
//! Identities are not protected, and message 2 hands anyone who asks a hash to guess the key by. As responder it is
//! done only where the configuration says so under a name with `danger` in it, at most once for a request, and within
//! the rate of Diffie-Hellman operations for unproven peers.

use crate::config::PeerConfig;
use crate::digest::Kind;
use crate::endpoint::{Context, Endpoint, Path, check_flags, header};
use crate::error::{ApiError, Capacity, Discard, Error, Failure, PeerMisbehaved, Refusal};
use crate::event::{IkeSaHandle, Role};
use crate::exchange::state::{Arena, DhWork, Span, State};
use crate::exchange::{AGGRESSIVE_MODE, Message};
use crate::ike_sa::IkeSa;
use crate::natt::{Nat, detect};
use crate::phase1::auth::{self, Claim, derive_keys};
use crate::phase1::main_mode::{Transcript, capacity, emit_initial_contact, float, nat_d};
use crate::phase1::negotiate;
use crate::phase1::{
    FirstMessage, ID_BODY_LEN, NONCE_LEN, announced, check_own, identity_body, identity_of,
    key_exchange, our_vendor_ids,
};
use crate::protect::Algorithms;
use crate::wire::numbers::{Doi, ExchangeType, PayloadType, ProtocolId};
use crate::wire::{
    Cookie, CookiePair, Header, IdPayload, MessageWriter, SITUATION_IDENTITY_ONLY, VendorId,
};

/// What aggressive mode waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AggressiveMode {
    /// Initiator: our public value.
    ComputingPublic {
        /// Where it will be.
        public_i: Span,
    },
    /// Initiator: message 2.
    ExpectAnswer(Offer),
    /// Initiator: the shared secret.
    ComputingShared(Answered),
    /// Responder: our public value and the shared secret.
    Computing(Answer),
    /// Responder: message 3.
    ExpectAuth {
        /// What HASH_I covers, but for the identity.
        transcript: Transcript,
        /// IDii_b.
        id_i: Span,
    },
}

/// What we sent as initiator.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Offer {
    sa_i: Span,
    public_i: Span,
    nonce_i: Span,
}

/// What came back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered {
    transcript: Transcript,
    id_r: Span,
    hash_r: Span,
    /// What the NAT-D payloads of message 2 told on arrival.
    nat: Nat,
}

/// What we are going to send as responder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer {
    transcript: Transcript,
    id_i: Span,
    /// Body of our SA payload.
    sa_r: Span,
    /// Which of our vendor IDs the initiator sent.
    vendors: u8,
}

impl Endpoint<'_> {
    // ---- initiator -----------------------------------------------------------------------------

    /// Begins aggressive mode: all proposals must have the same group, since the public value goes with them
    /// (RFC 2409 §5).
    pub(crate) fn aggressive_initiate(
        &mut self,
        cx: &mut Context<'_>,
        peer: &PeerConfig<'_>,
        path: Path,
    ) -> Result<IkeSaHandle, ApiError> {
        let first = peer.proposals.first().ok_or(ApiError::NoProposals)?;
        if peer.proposals.iter().any(|proposal| proposal.group != first.group) {
            return Err(ApiError::SeveralGroups);
        }
        let group = cx.config.crypto.group(first.group).ok_or(ApiError::UnknownAlgorithm)?;
        self.make_room_for_ours(cx);
        let initiator = self.fresh_cookie(cx.rng)?;
        let cookies = CookiePair { initiator, responder: Cookie::ZERO };
        let ike = IkeSa::new(Role::Initiator, peer.id, path, cookies);
        let key = self.digests.of(Kind::FirstMessage, &[&initiator.0]);
        let public_i = Span::default();
        let state = State::Aggressive(AggressiveMode::ComputingPublic { public_i });
        let (ike_index, index) = self
            .open_phase1(cx, ike, ExchangeType::AGGRESSIVE, state, key)
            .map_err(|error| ApiError::Capacity(capacity(error)))?;
        let mut arena = Arena::new(self.store.buffers.held_mut(index), 0);
        let reserved = arena.reserve(group.public_len()).map(|public_i| (public_i, arena.len()));
        let begun = reserved.and_then(|(public_i, held_len)| {
            let state = AggressiveMode::ComputingPublic { public_i };
            self.advance_aggressive(index, path, held_len, state);
            let work = DhWork { group: group.id(), public: Some(public_i), peer_public: None };
            self.begin_work(cx, index, work)
        });
        match begun {
            Ok(()) => self.ike_handle(ike_index).ok_or(ApiError::Stale),
            Err(error) => {
                self.release_exchange(index);
                self.discard_half_open(cx, ike_index, Failure::Cancelled);
                Err(ApiError::Capacity(capacity(error)))
            }
        }
    }

    /// Message 1: everything at once.
    fn aggressive_offer(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        public_i: Span,
    ) -> Result<(), Error> {
        let exchange = self.store.exchanges.get(index).ok_or(Capacity::Exchanges)?;
        let (ike_index, path, held_len) = (exchange.ike.0, exchange.path, exchange.held_len);
        let ike = self.store.ikes.get(ike_index).ok_or(Capacity::IkeSas)?;
        let peer = cx.config.peers.peer(ike.peer).ok_or(Refusal::Unconfigured)?;
        let mut arena = Arena::new(self.store.buffers.held_mut(index), held_len);
        let nonce_i = arena.reserve(NONCE_LEN)?;
        cx.rng.fill_bytes(arena.span_mut(nonce_i));
        let mut id = [0; ID_BODY_LEN];
        let id = identity_body(&peer.local_id, &mut id).ok_or(Capacity::Message(ID_BODY_LEN))?;
        let header = header(ike.cookies, ExchangeType::AGGRESSIVE, 0, false);
        let mut message = MessageWriter::new(self.store.scratch.room(), &header)?;
        let body = negotiate::propose(&mut message, &peer, peer.proposals)?;
        message.payload(PayloadType::KEY_EXCHANGE, &[public_i.of(arena.bytes())])?;
        message.payload(PayloadType::NONCE, &[nonce_i.of(arena.bytes())])?;
        message.payload(PayloadType::ID, &[id])?;
        for vendor in our_vendor_ids(&peer) {
            message.payload(PayloadType::VENDOR_ID, &[vendor.body()])?;
        }
        let [first, ..] = &AGGRESSIVE_MODE;
        check_own(&message, first)?;
        let sa_i = arena.hold(message.written().get(body).unwrap_or_default())?;
        let held_len = arena.len();
        let len = message.finish();
        let offer = Offer { sa_i, public_i, nonce_i };
        self.advance_aggressive(index, path, held_len, AggressiveMode::ExpectAnswer(offer));
        self.send(cx, index, len, 1);
        Ok(())
    }

    /// Message 2, as initiator. Its hash can be verified only after the Diffie-Hellman.
    fn on_aggressive_answer(
        &mut self,
        cx: &mut Context<'_>,
        path: Path,
        index: u16,
        offer: Offer,
        message: &Message<'_>,
        responder: Cookie,
    ) -> Result<(), Error> {
        let exchange = self.store.exchanges.get(index).ok_or(Capacity::Exchanges)?;
        let (ike_index, held_len) = (exchange.ike.0, exchange.held_len);
        let ike = self.store.ikes.get(ike_index).ok_or(Capacity::IkeSas)?;
        let peer = cx.config.peers.peer(ike.peer).ok_or(Refusal::Unconfigured)?;
        let offered = message.find(PayloadType::SA)?;
        let chosen = negotiate::check_answer(offered, &peer, &cx.config.limits)?;
        let (public, nonce) = key_exchange(cx, message, chosen.suite.group)?;
        let held = self.store.buffers.held(index);
        let reflected = responder == ike.cookies.initiator
            || public == offer.public_i.of(held)
            || nonce == offer.nonce_i.of(held);
        if reflected {
            return Err(PeerMisbehaved::Reflected.into());
        }
        let announced = announced(message, &peer);
        let algorithms = Algorithms::of(cx.config, chosen.suite)?;
        let cookies = CookiePair { responder, ..ike.cookies };
        let prf = algorithms.prf;
        let method = announced.nat;
        let nat = detect(message, method, prf, &cookies, path.local, path.remote)
            .forced(peer.nat_traversal);
        let mut arena = Arena::new(self.store.buffers.held_mut(index), held_len);
        let public_r = arena.hold(public)?;
        let nonce_r = arena.hold(nonce)?;
        let id_r = arena.hold(message.find(PayloadType::ID)?.body)?;
        let hash_r = arena.hold(message.find(PayloadType::HASH)?.body)?;
        let held_len = arena.len();
        let transcript = Transcript {
            sa_i: offer.sa_i,
            public_i: offer.public_i,
            public_r,
            nonce_i: offer.nonce_i,
            nonce_r,
        };
        let work = DhWork { group: chosen.suite.group, public: None, peer_public: Some(public_r) };
        self.begin_work(cx, index, work)?;
        if let Some(ike) = self.store.ikes.get_mut(ike_index) {
            ike.cookies = cookies;
            ike.suite = chosen.suite;
            ike.lifetime = chosen.agreed.lifetime;
            ike.announced = announced;
        }
        let answered = Answered { transcript, id_r, hash_r, nat };
        self.advance_aggressive(index, path, held_len, AggressiveMode::ComputingShared(answered));
        Ok(())
    }

    /// Verifies HASH_R, and sends message 3. A wrong hash ends the exchange: whoever answered first is not the peer, or
    /// has another key, and no other answer can be taken any more.
    fn aggressive_confirm(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        answered: Answered,
        shared: &[u8],
    ) -> Result<(), Error> {
        let Answered { transcript, id_r, hash_r, nat } = answered;
        let exchange = self.store.exchanges.get(index).ok_or(Capacity::Exchanges)?;
        let (ike_index, path, held_len) = (exchange.ike.0, exchange.path, exchange.held_len);
        let first_contact = self.is_first_contact(ike_index);
        let ike = self.store.ikes.get_mut(ike_index).ok_or(Capacity::IkeSas)?;
        let peer = cx.config.peers.peer(ike.peer).ok_or(Refusal::Unconfigured)?;
        let algorithms = Algorithms::of(cx.config, ike.suite)?;
        let held = self.store.buffers.held(index);
        let publics = (transcript.public_i.of(held), transcript.public_r.of(held));
        derive_keys(ike, &peer, &algorithms, transcript.nonces(held), publics, shared)?;
        ike.nat = nat;
        let ike = self.store.ikes.get(ike_index).ok_or(Capacity::IkeSas)?;
        let cookies = ike.cookies;
        let hashed = transcript.of(held, cookies);
        let claim = Claim { id: id_r.of(held), hash: hash_r.of(held), offset: 0 };
        let owner = |peer| self.owner_digest(peer, claim.id);
        let of = (cx.config, &peer);
        let (proof, _) = auth::verify(ike, of, &algorithms, &hashed, &claim, owner)?;
        let mut id = [0; ID_BODY_LEN];
        let id = identity_body(&peer.local_id, &mut id).ok_or(Capacity::Message(ID_BODY_LEN))?;
        let value = hashed.hash_i(algorithms.prf, &ike.skeyid, id);
        let header = header(ike.cookies, ExchangeType::AGGRESSIVE, 0, true);
        let mut message = MessageWriter::new(self.store.scratch.room(), &header)?;
        message.payload(PayloadType::HASH, &[value.as_slice()])?;
        // NAT-D speaks of the datagram that carries it, which goes to port 4500 already (RFC 3947 §3.2, §4).
        let path = if nat.found() { float(path) } else { path };
        nat_d(&mut message, &peer, ike, ike.announced, path, &algorithms)?;
        let [.., third] = &AGGRESSIVE_MODE;
        check_own(&message, third)?;
        let (len, iv) = algorithms.encrypt(&ike.cipher_key, &ike.iv, message)?;
        if let Some(ike) = self.store.ikes.get_mut(ike_index) {
            ike.iv = iv;
        }
        self.forget_secrets(index);
        if let Some(exchange) = self.store.exchanges.get_mut(index) {
            exchange.path = path;
            exchange.held_len = held_len;
            exchange.state = State::Lingering;
        }
        self.send(cx, index, len, 3);
        self.establish(cx, ike_index, path, proof);
        if peer.initial_contact && first_contact {
            // RFC 2407 §4.6.3: aggressive mode protects no status notify, an informational exchange does.
            self.send_informational(cx, ike_index, |message| {
                emit_initial_contact(message, &cookies)
            });
        }
        Ok(())
    }

    // ---- responder -----------------------------------------------------------------------------

    /// Message 1, as responder: only for peers of whom the configuration says so.
    pub(crate) fn aggressive_first(
        &mut self,
        cx: &mut Context<'_>,
        first: &FirstMessage<'_>,
    ) -> Result<(), Error> {
        check_flags(first.header, false)?;
        let [spec, ..] = &AGGRESSIVE_MODE;
        let message = Message::check(first.datagram, first.header, spec)?;
        let path = first.path;
        let id = message.find(PayloadType::ID)?;
        let claimed = IdPayload::parse(id.body, id.offset)?;
        let remote = path.remote.ip();
        let peer = cx
            .config
            .peers
            .by_identity(&identity_of(&claimed), remote)
            .and_then(|id| cx.config.peers.peer(id))
            .ok_or(Refusal::NoPeer)?;
        if !peer.danger_answer_aggressive_psk {
            return Err(Refusal::AggressiveMode.into());
        }
        let offer = message.find(PayloadType::SA)?;
        let (chosen, number, transform) = negotiate::choose(offer, &peer, cx.config)?;
        let (public, nonce) = key_exchange(cx, &message, chosen.suite.group)?;
        let group = cx.config.crypto.group(chosen.suite.group).ok_or(Capacity::Algorithm)?;
        self.make_room(cx, peer.id, path)?;
        if !self.dh_rate.take(cx.now, cx.config.limits.unproven_dh_per_second) {
            return Err(Capacity::DiffieHellmanRate.into());
        }
        let responder = self.fresh_cookie(cx.rng)?;
        let cookies = CookiePair { initiator: first.header.cookies.initiator, responder };
        let announced = announced(&message, &peer);
        let mut ike = IkeSa::new(Role::Responder, peer.id, path, cookies);
        ike.suite = chosen.suite;
        ike.lifetime = chosen.agreed.lifetime;
        ike.tell_lifetime = chosen.agreed.tell;
        ike.announced = announced;
        let vendors = sent_vendors(&peer, &message);
        let state =
            State::Aggressive(AggressiveMode::ComputingPublic { public_i: Span::default() });
        let (ike_index, index) =
            self.open_phase1(cx, ike, ExchangeType::AGGRESSIVE, state, first.key)?;
        let result = (|| {
            let head = header(cookies, ExchangeType::AGGRESSIVE, 0, false);
            let mut sa_message = MessageWriter::new(self.store.scratch.room(), &head)?;
            let mut sa = sa_message.sa(Doi::IPSEC, SITUATION_IDENTITY_ONLY)?;
            sa.proposal(number, ProtocolId::ISAKMP, &[])?.transform_as_received(&transform)?;
            let sa_body = sa.body();
            let mut arena = Arena::new(self.store.buffers.held_mut(index), 0);
            let sa_r = arena.hold(sa_message.written().get(sa_body).unwrap_or_default())?;
            let sa_i = arena.hold(offer.body)?;
            let public_i = arena.hold(public)?;
            let nonce_i = arena.hold(nonce)?;
            let id_i = arena.hold(id.body)?;
            let public_r = arena.reserve(group.public_len())?;
            let nonce_r = arena.reserve(NONCE_LEN)?;
            cx.rng.fill_bytes(arena.span_mut(nonce_r));
            let held_len = arena.len();
            let transcript = Transcript { sa_i, public_i, public_r, nonce_i, nonce_r };
            let answer = Answer { transcript, id_i, sa_r, vendors };
            self.advance_aggressive(index, path, held_len, AggressiveMode::Computing(answer));
            let work =
                DhWork { group: group.id(), public: Some(public_r), peer_public: Some(public_i) };
            self.begin_work(cx, index, work)
        })();
        if result.is_err() {
            self.release_exchange(index);
            self.discard_half_open(cx, ike_index, Failure::Cancelled);
            return result;
        }
        if let Some(exchange) = self.store.exchanges.get_mut(index) {
            exchange.last_received = first.digest;
        }
        self.store.unproven.push(index);
        Ok(())
    }

    /// Message 2.
    fn aggressive_answer(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        answer: Answer,
        shared: &[u8],
    ) -> Result<(), Error> {
        let Answer { transcript, id_i, sa_r, vendors } = answer;
        let exchange = self.store.exchanges.get(index).ok_or(Capacity::Exchanges)?;
        let (ike_index, path, held_len) = (exchange.ike.0, exchange.path, exchange.held_len);
        let ike = self.store.ikes.get_mut(ike_index).ok_or(Capacity::IkeSas)?;
        let peer = cx.config.peers.peer(ike.peer).ok_or(Refusal::Unconfigured)?;
        let algorithms = Algorithms::of(cx.config, ike.suite)?;
        let held = self.store.buffers.held(index);
        let publics = (transcript.public_i.of(held), transcript.public_r.of(held));
        derive_keys(ike, &peer, &algorithms, transcript.nonces(held), publics, shared)?;
        let hashed = transcript.of(held, ike.cookies);
        let mut id = [0; ID_BODY_LEN];
        let id = identity_body(&peer.local_id, &mut id).ok_or(Capacity::Message(ID_BODY_LEN))?;
        let value = hashed.hash_r(algorithms.prf, &ike.skeyid, id);
        let header = header(ike.cookies, ExchangeType::AGGRESSIVE, 0, false);
        let mut message = MessageWriter::new(self.store.scratch.room(), &header)?;
        message.payload(PayloadType::SA, &[sa_r.of(held)])?;
        message.payload(PayloadType::KEY_EXCHANGE, &[publics.1])?;
        message.payload(PayloadType::NONCE, &[transcript.nonce_r.of(held)])?;
        message.payload(PayloadType::ID, &[id])?;
        message.payload(PayloadType::HASH, &[value.as_slice()])?;
        for (bit, vendor) in our_vendor_ids(&peer).enumerate() {
            if vendors.checked_shr(u32::try_from(bit).unwrap_or(8)).unwrap_or(0) & 1 == 1 {
                message.payload(PayloadType::VENDOR_ID, &[vendor.body()])?;
            }
        }
        nat_d(&mut message, &peer, ike, ike.announced, path, &algorithms)?;
        let [_, second, _] = &AGGRESSIVE_MODE;
        check_own(&message, second)?;
        let len = message.finish();
        self.forget_secrets(index);
        let next = AggressiveMode::ExpectAuth { transcript, id_i };
        self.advance_aggressive(index, path, held_len, next);
        self.send(cx, index, len, 2);
        Ok(())
    }

    /// Message 3, as responder. Until its hash has been verified it changes nothing.
    fn on_aggressive_auth(
        &mut self,
        cx: &mut Context<'_>,
        path: Path,
        index: u16,
        (transcript, id_i): (Transcript, Span),
        header: &Header,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        let exchange = self.store.exchanges.get(index).ok_or(Discard::UnknownSa)?;
        let (ike_index, _) = exchange.ike;
        let ike = self.store.ikes.get(ike_index).ok_or(Discard::UnknownSa)?;
        let unconfigured = Discard::Refused(Refusal::Unconfigured);
        let peer = cx.config.peers.peer(ike.peer).ok_or(unconfigured)?;
        let algorithms = Algorithms::of_sa(cx.config, ike)?;
        let clear = check_flags(header, true).is_err();
        if clear && !peer.quirks.accept_unencrypted_auth {
            return Err(PeerMisbehaved::NotEncrypted.into());
        }
        let [.., spec] = &AGGRESSIVE_MODE;
        let (message, next_iv) = if clear {
            let message = Message::check(datagram, header, spec);
            (message.map_err(|_| Discard::Undecryptable)?, ike.iv)
        } else {
            algorithms.open(&ike.cipher_key, &ike.iv, header, datagram, spec)?
        };
        let held = self.store.buffers.held(index);
        let hashed = transcript.of(held, ike.cookies);
        let claim =
            Claim { id: id_i.of(held), hash: message.find(PayloadType::HASH)?.body, offset: 0 };
        let owner = |peer| self.owner_digest(peer, claim.id);
        let of = (cx.config, &peer);
        let proof = match auth::verify(ike, of, &algorithms, &hashed, &claim, owner) {
            Ok((proof, _)) => proof,
            Err(Error::Refused(Refusal::Authentication)) => return Err(Discard::Unauthenticated),
            Err(error) => {
                self.refuse_peer(cx, ike_index, next_iv, error);
                self.fail_exchange(cx, index, Failure::Error(error));
                return Err(error.into());
            }
        };
        let (method, cookies) = (ike.announced.nat, ike.cookies);
        let first_path = exchange.path;
        // The initiator may have moved to port 4500 with this very message. Its NAT-D payloads then speak of that port
        // (strongSwan), or still of port 500: an address is behind a NAT if it fits neither.
        let prf = algorithms.prf;
        let [now, before] = [path, first_path]
            .map(|path| detect(&message, method, prf, &cookies, path.local, path.remote));
        let nat = Nat {
            method,
            local_behind: now.local_behind && before.local_behind,
            remote_behind: now.remote_behind && before.remote_behind,
        }
        .forced(peer.nat_traversal);
        if let Some(ike) = self.store.ikes.get_mut(ike_index) {
            ike.nat = nat;
            ike.iv = next_iv;
        }
        self.store.unproven.remove(index);
        self.announced_late(ike_index, &message);
        self.establish(cx, ike_index, path, proof);
        self.release_exchange(index);
        Ok(())
    }

    // ---- both ----------------------------------------------------------------------------------

    /// A message of aggressive mode under way.
    pub(crate) fn aggressive_message(
        &mut self,
        cx: &mut Context<'_>,
        path: Path,
        index: u16,
        state: AggressiveMode,
        header: &Header,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        match state {
            AggressiveMode::ExpectAnswer(offer) => {
                check_flags(header, false)?;
                let [_, spec, _] = &AGGRESSIVE_MODE;
                let message = Message::check(datagram, header, spec)?;
                let responder = header.cookies.responder;
                self.on_aggressive_answer(cx, path, index, offer, &message, responder)
                    .map_err(Discard::from)
            }
            AggressiveMode::ExpectAuth { transcript, id_i } => {
                self.on_aggressive_auth(cx, path, index, (transcript, id_i), header, datagram)
            }
            AggressiveMode::ComputingPublic { .. }
            | AggressiveMode::ComputingShared(_)
            | AggressiveMode::Computing(_) => Err(Discard::Busy),
        }
    }

    /// Goes on after the Diffie-Hellman.
    pub(crate) fn aggressive_computed(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        state: AggressiveMode,
        shared: &[u8],
    ) -> Result<(), Error> {
        match state {
            AggressiveMode::ComputingPublic { public_i } => {
                self.aggressive_offer(cx, index, public_i)
            }
            AggressiveMode::ComputingShared(answered) => {
                self.aggressive_confirm(cx, index, answered, shared)
            }
            AggressiveMode::Computing(answer) => self.aggressive_answer(cx, index, answer, shared),
            AggressiveMode::ExpectAnswer(_) | AggressiveMode::ExpectAuth { .. } => Ok(()),
        }
    }

    fn advance_aggressive(&mut self, index: u16, path: Path, held_len: u16, state: AggressiveMode) {
        if let Some(exchange) = self.store.exchanges.get_mut(index) {
            exchange.path = path;
            exchange.held_len = held_len;
            exchange.state = State::Aggressive(state);
        }
    }
}

/// Which of our vendor IDs a message has, as bits in the order of [`our_vendor_ids`].
fn sent_vendors(peer: &PeerConfig<'_>, message: &Message<'_>) -> u8 {
    our_vendor_ids(peer).zip(0_u32..8).fold(0, |bits, (vendor, bit)| {
        let sent = message
            .all(PayloadType::VENDOR_ID)
            .any(|payload| VendorId::recognise(payload.body) == Some(vendor));
        if sent { bits | 1_u8.checked_shl(bit).unwrap_or(0) } else { bits }
    })
}
