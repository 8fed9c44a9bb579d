//! Main mode, both roles, with a pre-shared key: RFC 2409 §5.4; NAT detection by RFC 3947 §3 and §4.
//!
//! ```text
//!  initiator                                            responder
//!
//!  ExpectSa                ──1 SA, VID…──►
//!                          ◄─2 SA, VID…──               ExpectInitiatorPublic
//!  ComputingPublic
//!  ExpectResponderPublic   ──3 KE, Ni, NAT-D…──►        Computing
//!                          ◄─4 KE, Nr, NAT-D…──         ExpectAuth
//!  Computing
//!  ExpectAuth              ──5 {IDii, HASH_I}──►        established
//!  established             ◄─6 {IDir, HASH_R}──
//! ```
//!
//! A computing state waits for the Diffie-Hellman, which is done outside. Braces: encrypted. If a NAT was found the
//! initiator moves to port 4500 with message 5.

use crate::config::{NatTraversal, PeerConfig};
use crate::digest::Kind;
use crate::endpoint::{Context, Endpoint, Path, check_flags, header};
use crate::error::{ApiError, Capacity, Discard, Error, Failure, PeerMisbehaved, Refusal};
use crate::event::{IkeSaHandle, Role};
use crate::exchange::state::{Arena, DhWork, Span, State};
use crate::exchange::{MAIN_MODE, Message, MessageSpec};
use crate::ike_sa::{Announced, IkeSa};
use crate::keys::{Iv, Nonces, Phase1Transcript};
use crate::natt::{NAT_PORT, NatD, NatMethod, detect};
use crate::phase1::auth::{self, Claim, derive_keys};
use crate::phase1::negotiate;
use crate::phase1::{
    FirstMessage, ID_BODY_LEN, NONCE_LEN, announced, check_own, identity_body, key_exchange,
    our_vendor_ids,
};
use crate::protect::Algorithms;
use crate::wire::numbers::{Doi, ExchangeType, NotifyType, PayloadType, ProtocolId};
use crate::wire::{
    CookiePair, Header, MessageWriter, NotifyPayload, SITUATION_IDENTITY_ONLY, Transform, VendorId,
};

/// What main mode waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum MainMode {
    /// Initiator: message 2.
    ExpectSa {
        /// Our offer, SAi_b.
        sa_i: Span,
    },
    /// Initiator: our public value.
    ComputingPublic {
        /// Our offer.
        sa_i: Span,
        /// Where our public value will be.
        public_i: Span,
    },
    /// Initiator: message 4.
    ExpectResponderPublic {
        /// Our offer.
        sa_i: Span,
        /// Our public value.
        public_i: Span,
        /// Our nonce.
        nonce_i: Span,
    },
    /// Responder: message 3.
    ExpectInitiatorPublic {
        /// The peer's offer.
        sa_i: Span,
    },
    /// Both: the shared secret, and the responder's public value.
    Computing(Transcript),
    /// Both: the peer's identity and hash.
    ExpectAuth(Transcript),
}

/// A message of a main mode under way.
#[derive(Clone, Copy)]
struct Arrival {
    index: u16,
    ike: u16,
    path: Path,
    header: Header,
}

/// What both hashes cover, and the nonces.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Transcript {
    pub(crate) sa_i: Span,
    pub(crate) public_i: Span,
    pub(crate) public_r: Span,
    pub(crate) nonce_i: Span,
    pub(crate) nonce_r: Span,
}

impl Transcript {
    pub(crate) fn of<'h>(&self, held: &'h [u8], cookies: CookiePair) -> Phase1Transcript<'h> {
        Phase1Transcript {
            public_i: self.public_i.of(held),
            public_r: self.public_r.of(held),
            cookies,
            sa_i_body: self.sa_i.of(held),
        }
    }

    pub(crate) fn nonces<'h>(&self, held: &'h [u8]) -> Nonces<'h> {
        Nonces { initiator: self.nonce_i.of(held), responder: self.nonce_r.of(held) }
    }
}

impl Endpoint<'_> {
    /// Begins main mode: message 1.
    pub(crate) fn main_mode_initiate(
        &mut self,
        cx: &mut Context<'_>,
        peer: &PeerConfig<'_>,
        path: Path,
    ) -> Result<IkeSaHandle, ApiError> {
        self.make_room_for_ours(cx);
        let initiator = self.fresh_cookie(cx.rng)?;
        let ike = IkeSa::new(
            Role::Initiator,
            peer.id,
            path,
            CookiePair { initiator, responder: crate::wire::Cookie::ZERO },
        );
        let cookies = ike.cookies;
        let key = self.digests.of(Kind::FirstMessage, &[&initiator.0]);
        let state = State::Main(MainMode::ExpectSa { sa_i: Span::default() });
        let (ike_index, index) = self
            .open_phase1(cx, ike, ExchangeType::IDENTITY_PROTECTION, state, key)
            .map_err(|error| ApiError::Capacity(capacity(error)))?;
        let mut arena = Arena::new(self.store.buffers.held_mut(index), 0);
        match message_1(self.store.scratch.room(), &mut arena, peer, cookies) {
            Ok((len, sa_i)) => {
                let held_len = arena.len();
                if let Some(exchange) = self.store.exchanges.get_mut(index) {
                    exchange.held_len = held_len;
                    exchange.state = State::Main(MainMode::ExpectSa { sa_i });
                }
                self.send(cx, index, len, 1);
                self.ike_handle(ike_index).ok_or(ApiError::Stale)
            }
            Err(error) => {
                self.release_exchange(index);
                self.discard_half_open(cx, ike_index, Failure::Cancelled);
                Err(ApiError::Capacity(capacity(error)))
            }
        }
    }

    /// Message 1, as responder: chooses a transform and answers. No work is done yet and little memory taken.
    pub(crate) fn main_mode_first(
        &mut self,
        cx: &mut Context<'_>,
        peer: &PeerConfig<'_>,
        first: &FirstMessage<'_>,
    ) -> Result<(), Error> {
        check_flags(first.header, false)?;
        let [spec, answer, ..] = &MAIN_MODE;
        let message = Message::check(first.datagram, first.header, spec)?;
        let path = first.path;
        let offer = message.find(PayloadType::SA)?;
        let (chosen, number, transform) = negotiate::choose(offer, peer, cx.config)?;
        let announced = announced(&message, peer);
        let responder = self.fresh_cookie(cx.rng)?;
        let cookies = CookiePair { initiator: first.header.cookies.initiator, responder };
        let len = message_2(
            self.store.scratch.room(),
            peer,
            cookies,
            number,
            &transform,
            &message,
            answer,
        )?;
        // Nothing is amplified for an address that may be forged.
        if len > first.datagram.len() {
            return Err(Capacity::Message(len).into());
        }
        self.make_room(cx, peer.id, path)?;
        let mut ike = IkeSa::new(Role::Responder, peer.id, path, cookies);
        ike.suite = chosen.suite;
        ike.lifetime = chosen.agreed.lifetime;
        ike.tell_lifetime = chosen.agreed.tell;
        ike.announced = announced;
        let sa_i = Span::default();
        let state = State::Main(MainMode::ExpectInitiatorPublic { sa_i });
        let (ike_index, index) =
            self.open_phase1(cx, ike, ExchangeType::IDENTITY_PROTECTION, state, first.key)?;
        let mut arena = Arena::new(self.store.buffers.held_mut(index), 0);
        let held = arena.hold(offer.body);
        let held_len = arena.len();
        match held {
            Ok(sa_i) => {
                if let Some(exchange) = self.store.exchanges.get_mut(index) {
                    exchange.held_len = held_len;
                    exchange.last_received = first.digest;
                    exchange.state = State::Main(MainMode::ExpectInitiatorPublic { sa_i });
                }
                self.store.unproven.push(index);
                self.send(cx, index, len, 2);
                Ok(())
            }
            Err(error) => {
                self.release_exchange(index);
                self.discard_half_open(cx, ike_index, Failure::Cancelled);
                Err(error)
            }
        }
    }

    /// A message of main mode under way.
    pub(crate) fn main_mode_message(
        &mut self,
        cx: &mut Context<'_>,
        path: Path,
        index: u16,
        state: MainMode,
        header: &Header,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        let exchange = self.store.exchanges.get(index).ok_or(Discard::UnknownSa)?;
        let (ike_index, _) = exchange.ike;
        let role = exchange.role;
        let [_, second, third, fourth, fifth, sixth] = &MAIN_MODE;
        let (spec, clear) = match state {
            MainMode::ExpectSa { .. } => (second, true),
            MainMode::ExpectInitiatorPublic { .. } => (third, true),
            MainMode::ExpectResponderPublic { .. } => (fourth, true),
            MainMode::ExpectAuth(_) if role == Role::Responder => (fifth, false),
            MainMode::ExpectAuth(_) => (sixth, false),
            MainMode::ComputingPublic { .. } | MainMode::Computing(_) => return Err(Discard::Busy),
        };
        let at = Arrival { index, ike: ike_index, path, header: *header };
        if let (false, MainMode::ExpectAuth(transcript)) = (clear, state) {
            return self.on_auth(cx, &at, transcript, datagram, spec);
        }
        check_flags(header, false)?;
        let message = Message::check(datagram, header, spec)?;
        let result = match state {
            MainMode::ExpectSa { sa_i } => self.on_sa(cx, &at, sa_i, &message),
            MainMode::ExpectInitiatorPublic { sa_i } => {
                self.on_initiator_public(cx, &at, sa_i, &message)
            }
            MainMode::ExpectResponderPublic { sa_i, public_i, nonce_i } => {
                self.on_responder_public(cx, &at, (sa_i, public_i, nonce_i), &message)
            }
            _ => Ok(()),
        };
        result.map_err(Discard::from)
    }

    /// Message 2, as initiator: the responder's choice.
    fn on_sa(
        &mut self,
        cx: &mut Context<'_>,
        at: &Arrival,
        sa_i: Span,
        message: &Message<'_>,
    ) -> Result<(), Error> {
        let Arrival { index, ike: ike_index, path, header } = *at;
        let ike = self.store.ikes.get(ike_index).ok_or(Capacity::IkeSas)?;
        let peer = cx.config.peers.peer(ike.peer).ok_or(Refusal::Unconfigured)?;
        if header.cookies.responder == ike.cookies.initiator {
            return Err(PeerMisbehaved::Reflected.into());
        }
        let chosen =
            negotiate::check_answer(message.find(PayloadType::SA)?, &peer, &cx.config.limits)?;
        let announced = announced(message, &peer);
        let group = cx.config.crypto.group(chosen.suite.group).ok_or(Capacity::Algorithm)?;
        let held_len = self.store.exchanges.get(index).map_or(0, |exchange| exchange.held_len);
        let mut arena = Arena::new(self.store.buffers.held_mut(index), held_len);
        let public_i = arena.reserve(group.public_len())?;
        let held_len = arena.len();
        let work = DhWork { group: chosen.suite.group, public: Some(public_i), peer_public: None };
        self.begin_work(cx, index, work)?;
        // From here on nothing fails.
        if let Some(ike) = self.store.ikes.get_mut(ike_index) {
            ike.cookies.responder = header.cookies.responder;
            ike.suite = chosen.suite;
            ike.lifetime = chosen.agreed.lifetime;
            ike.announced = announced;
        }
        self.advance(index, path, held_len, MainMode::ComputingPublic { sa_i, public_i });
        Ok(())
    }

    /// Message 3, as responder: the initiator has echoed our cookie, and is where it says.
    fn on_initiator_public(
        &mut self,
        cx: &mut Context<'_>,
        at: &Arrival,
        sa_i: Span,
        message: &Message<'_>,
    ) -> Result<(), Error> {
        let Arrival { index, ike: ike_index, path, .. } = *at;
        let ike = self.store.ikes.get(ike_index).ok_or(Capacity::IkeSas)?;
        let (suite, cookies, method) = (ike.suite, ike.cookies, ike.announced.nat);
        let peer = cx.config.peers.peer(ike.peer).ok_or(Refusal::Unconfigured)?;
        let (public, nonce) = key_exchange(cx, message, suite.group)?;
        let algorithms = Algorithms::of(cx.config, suite)?;
        let nat = detect(message, method, algorithms.prf, &cookies, path.local, path.remote)
            .forced(peer.nat_traversal);
        let group = cx.config.crypto.group(suite.group).ok_or(Capacity::Algorithm)?;
        if !self.dh_rate.take(cx.now, cx.config.limits.unproven_dh_per_second) {
            return Err(Capacity::DiffieHellmanRate.into());
        }
        let held_len = self.store.exchanges.get(index).map_or(0, |exchange| exchange.held_len);
        let mut arena = Arena::new(self.store.buffers.held_mut(index), held_len);
        let public_i = arena.hold(public)?;
        let nonce_i = arena.hold(nonce)?;
        let public_r = arena.reserve(group.public_len())?;
        let nonce_r = arena.reserve(NONCE_LEN)?;
        cx.rng.fill_bytes(arena.span_mut(nonce_r));
        let held_len = arena.len();
        let work =
            DhWork { group: suite.group, public: Some(public_r), peer_public: Some(public_i) };
        self.begin_work(cx, index, work)?;
        if let Some(ike) = self.store.ikes.get_mut(ike_index) {
            ike.nat = nat;
        }
        self.announced_late(ike_index, message);
        self.store.unproven.remove(index);
        let transcript = Transcript { sa_i, public_i, public_r, nonce_i, nonce_r };
        self.advance(index, path, held_len, MainMode::Computing(transcript));
        Ok(())
    }

    /// Message 4, as initiator.
    fn on_responder_public(
        &mut self,
        cx: &mut Context<'_>,
        at: &Arrival,
        (sa_i, public_i, nonce_i): (Span, Span, Span),
        message: &Message<'_>,
    ) -> Result<(), Error> {
        let Arrival { index, ike: ike_index, path, .. } = *at;
        let ike = self.store.ikes.get(ike_index).ok_or(Capacity::IkeSas)?;
        let (suite, cookies, method) = (ike.suite, ike.cookies, ike.announced.nat);
        let peer = cx.config.peers.peer(ike.peer).ok_or(Refusal::Unconfigured)?;
        let (public, nonce) = key_exchange(cx, message, suite.group)?;
        let held = self.store.buffers.held(index);
        if public == public_i.of(held) || nonce == nonce_i.of(held) {
            return Err(PeerMisbehaved::Reflected.into());
        }
        let algorithms = Algorithms::of(cx.config, suite)?;
        let nat = detect(message, method, algorithms.prf, &cookies, path.local, path.remote)
            .forced(peer.nat_traversal);
        let held_len = self.store.exchanges.get(index).map_or(0, |exchange| exchange.held_len);
        let mut arena = Arena::new(self.store.buffers.held_mut(index), held_len);
        let public_r = arena.hold(public)?;
        let nonce_r = arena.hold(nonce)?;
        let held_len = arena.len();
        let work = DhWork { group: suite.group, public: None, peer_public: Some(public_r) };
        self.begin_work(cx, index, work)?;
        if let Some(ike) = self.store.ikes.get_mut(ike_index) {
            ike.nat = nat;
        }
        self.announced_late(ike_index, message);
        let transcript = Transcript { sa_i, public_i, public_r, nonce_i, nonce_r };
        self.advance(index, path, held_len, MainMode::Computing(transcript));
        Ok(())
    }

    /// Messages 5 and 6: who the peer is, and that it holds the key. Until its hash has been verified the message
    /// changes nothing.
    fn on_auth(
        &mut self,
        cx: &mut Context<'_>,
        at: &Arrival,
        transcript: Transcript,
        datagram: &mut [u8],
        spec: &MessageSpec,
    ) -> Result<(), Discard> {
        let Arrival { index, ike: ike_index, path, header } = *at;
        let ike = self.store.ikes.get(ike_index).ok_or(Discard::UnknownSa)?;
        let peer = cx.config.peers.peer(ike.peer).ok_or(Discard::Refused(Refusal::Unconfigured))?;
        let algorithms = Algorithms::of_sa(cx.config, ike)?;
        let clear = check_flags(&header, true).is_err();
        if clear && !peer.quirks.accept_unencrypted_auth {
            return Err(PeerMisbehaved::NotEncrypted.into());
        }
        let (message, next_iv) = if clear {
            let message = Message::check(datagram, &header, spec);
            (message.map_err(|_| Discard::Undecryptable)?, ike.iv)
        } else {
            algorithms.open(&ike.cipher_key, &ike.iv, &header, datagram, spec)?
        };
        let id = message.find(PayloadType::ID)?;
        let claim =
            Claim { id: id.body, hash: message.find(PayloadType::HASH)?.body, offset: id.offset };
        let held = self.store.buffers.held(index);
        let hashed = transcript.of(held, ike.cookies);
        let owner = |peer| self.owner_digest(peer, claim.id);
        let of = (cx.config, &peer);
        let (proof, peer) = match auth::verify(ike, of, &algorithms, &hashed, &claim, owner) {
            Ok(proven) => proven,
            Err(Error::Refused(Refusal::Authentication)) => {
                return Err(Discard::Unauthenticated);
            }
            // The peer holds the key, and is not the one it has to be: that ends the exchange.
            Err(error) => {
                self.refuse_peer(cx, ike_index, next_iv, error);
                self.fail_exchange(cx, index, Failure::Error(error));
                return Err(error.into());
            }
        };
        let role = ike.role;
        let sent_over = ike.path;
        match role {
            Role::Responder => {
                let built = message_5_or_6(
                    self.store.scratch.room(),
                    &peer,
                    ike,
                    &algorithms,
                    &hashed,
                    &next_iv,
                    false,
                );
                let (len, iv) = match built {
                    Ok(built) => built,
                    Err(error) => {
                        self.fail_exchange(cx, index, Failure::Error(error));
                        return Err(error.into());
                    }
                };
                if let Some(ike) = self.store.ikes.get_mut(ike_index) {
                    ike.iv = iv;
                }
                if let Some(exchange) = self.store.exchanges.get_mut(index) {
                    exchange.path = path;
                    exchange.state = State::Lingering;
                }
                self.forget_secrets(index);
                self.send(cx, index, len, 6);
            }
            Role::Initiator => {
                if let Some(ike) = self.store.ikes.get_mut(ike_index) {
                    ike.iv = next_iv;
                }
            }
        }
        // Some answer from port 500 after we have moved; they are spoken to on port 4500 all the same.
        let path = if sent_over.encap && !path.encap { sent_over } else { path };
        self.announced_late(ike_index, &message);
        self.establish(cx, ike_index, path, proof);
        if !clear {
            self.phase1_notifies(cx, ike_index, &message);
        }
        if role == Role::Initiator {
            self.release_exchange(index);
        }
        Ok(())
    }

    /// Goes on after the Diffie-Hellman.
    pub(crate) fn main_mode_computed(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        state: MainMode,
        shared: &[u8],
    ) -> Result<(), Error> {
        let exchange = self.store.exchanges.get(index).ok_or(Capacity::Exchanges)?;
        let ((ike_index, _), held_len, path) = (exchange.ike, exchange.held_len, exchange.path);
        // Only message 5 says so.
        let first_contact = exchange.role == Role::Initiator
            && matches!(state, MainMode::Computing(_))
            && self.is_first_contact(ike_index);
        let ike = self.store.ikes.get_mut(ike_index).ok_or(Capacity::IkeSas)?;
        let peer = cx.config.peers.peer(ike.peer).ok_or(Refusal::Unconfigured)?;
        let algorithms = Algorithms::of(cx.config, ike.suite)?;
        match state {
            MainMode::ComputingPublic { sa_i, public_i } => {
                let mut arena = Arena::new(self.store.buffers.held_mut(index), held_len);
                let nonce_i = arena.reserve(NONCE_LEN)?;
                cx.rng.fill_bytes(arena.span_mut(nonce_i));
                let held_len = arena.len();
                let (public, nonce) = (public_i.of(arena.bytes()), nonce_i.of(arena.bytes()));
                let len = message_3_or_4(
                    self.store.scratch.room(),
                    &peer,
                    ike,
                    path,
                    &algorithms,
                    public,
                    nonce,
                )?;
                let next = MainMode::ExpectResponderPublic { sa_i, public_i, nonce_i };
                self.advance(index, path, held_len, next);
                self.send(cx, index, len, 3);
            }
            MainMode::Computing(transcript) => {
                let held = self.store.buffers.held(index);
                let publics = (transcript.public_i.of(held), transcript.public_r.of(held));
                derive_keys(ike, &peer, &algorithms, transcript.nonces(held), publics, shared)?;
                let (len, number) = if ike.role == Role::Responder {
                    let (public, nonce) = (publics.1, transcript.nonce_r.of(held));
                    let len = message_3_or_4(
                        self.store.scratch.room(),
                        &peer,
                        ike,
                        path,
                        &algorithms,
                        public,
                        nonce,
                    )?;
                    (len, 4)
                } else {
                    let initial_contact = peer.initial_contact && first_contact;
                    let hashed = transcript.of(held, ike.cookies);
                    let (len, iv) = message_5_or_6(
                        self.store.scratch.room(),
                        &peer,
                        ike,
                        &algorithms,
                        &hashed,
                        &ike.iv,
                        initial_contact,
                    )?;
                    ike.iv = iv;
                    (len, 5)
                };
                // RFC 3947 §4: the initiator moves to port 4500 as soon as it knows of a NAT.
                let path = match ike.role {
                    Role::Initiator if ike.nat.found() => float(path),
                    _ => path,
                };
                if ike.role == Role::Initiator {
                    ike.path = path;
                }
                self.forget_secrets(index);
                self.advance(index, path, held_len, MainMode::ExpectAuth(transcript));
                self.send(cx, index, len, number);
            }
            MainMode::ExpectSa { .. }
            | MainMode::ExpectInitiatorPublic { .. }
            | MainMode::ExpectResponderPublic { .. }
            | MainMode::ExpectAuth(_) => {}
        }
        Ok(())
    }

    /// Commits a transition.
    fn advance(&mut self, index: u16, path: Path, held_len: u16, state: MainMode) {
        if let Some(exchange) = self.store.exchanges.get_mut(index) {
            exchange.path = path;
            exchange.held_len = held_len;
            exchange.state = State::Main(state);
        }
    }

    /// The private value has done its work.
    pub(crate) fn forget_secrets(&mut self, index: u16) {
        if let Some(exchange) = self.store.exchanges.get_mut(index) {
            exchange.private = crate::exchange::state::Private::empty();
        }
    }
}

/// The same peer on the ports of NAT traversal.
pub(crate) fn float(path: Path) -> Path {
    if path.encap {
        return path;
    }
    let (mut local, mut remote) = (path.local, path.remote);
    local.set_port(NAT_PORT);
    remote.set_port(NAT_PORT);
    Path { local, remote, encap: true }
}

/// The capacity behind an error of our own making.
pub(crate) const fn capacity(error: Error) -> Capacity {
    match error {
        Error::Capacity(capacity) => capacity,
        _ => Capacity::Exchanges,
    }
}

/// HDR, SA, VID…
fn message_1(
    out: &mut [u8],
    arena: &mut Arena<'_>,
    peer: &PeerConfig<'_>,
    cookies: CookiePair,
) -> Result<(usize, Span), Error> {
    let header = header(cookies, ExchangeType::IDENTITY_PROTECTION, 0, false);
    let mut message = MessageWriter::new(out, &header)?;
    let body = negotiate::propose(&mut message, peer, peer.proposals)?;
    for vendor in our_vendor_ids(peer) {
        message.payload(PayloadType::VENDOR_ID, &[vendor.body()])?;
    }
    let sa_i = arena.hold(message.written().get(body).unwrap_or_default())?;
    let [spec, ..] = &MAIN_MODE;
    check_own(&message, spec)?;
    Ok((message.finish(), sa_i))
}

/// HDR, SA with the one transform that was chosen, and of our vendor IDs those that the peer sent.
fn message_2(
    out: &mut [u8],
    peer: &PeerConfig<'_>,
    cookies: CookiePair,
    number: u8,
    chosen: &Transform<'_>,
    offer: &Message<'_>,
    spec: &MessageSpec,
) -> Result<usize, Error> {
    let header = header(cookies, ExchangeType::IDENTITY_PROTECTION, 0, false);
    let mut message = MessageWriter::new(out, &header)?;
    let mut sa = message.sa(Doi::IPSEC, SITUATION_IDENTITY_ONLY)?;
    sa.proposal(number, ProtocolId::ISAKMP, &[])?.transform_as_received(chosen)?;
    for vendor in our_vendor_ids(peer) {
        let sent = offer
            .all(PayloadType::VENDOR_ID)
            .any(|payload| VendorId::recognise(payload.body) == Some(vendor));
        if sent {
            message.payload(PayloadType::VENDOR_ID, &[vendor.body()])?;
        }
    }
    check_own(&message, spec)?;
    Ok(message.finish())
}

/// HDR, KE, Nx, and with NAT traversal NAT-D of the destination and of the source (RFC 3947 §3.2).
fn message_3_or_4(
    out: &mut [u8],
    peer: &PeerConfig<'_>,
    ike: &IkeSa,
    path: Path,
    algorithms: &Algorithms,
    public: &[u8],
    nonce: &[u8],
) -> Result<usize, Error> {
    let header = header(ike.cookies, ExchangeType::IDENTITY_PROTECTION, 0, false);
    let mut message = MessageWriter::new(out, &header)?;
    message.payload(PayloadType::KEY_EXCHANGE, &[public])?;
    message.payload(PayloadType::NONCE, &[nonce])?;
    nat_d(&mut message, peer, ike, ike.announced, path, algorithms)?;
    let [_, _, third, fourth, ..] = &MAIN_MODE;
    check_own(&message, if ike.role == Role::Initiator { third } else { fourth })?;
    Ok(message.finish())
}

/// Appends the NAT-D payloads, if NAT traversal is agreed.
pub(crate) fn nat_d(
    message: &mut MessageWriter<'_>,
    peer: &PeerConfig<'_>,
    ike: &IkeSa,
    announced: Announced,
    path: Path,
    algorithms: &Algorithms,
) -> Result<(), Error> {
    let method = announced.nat;
    if method == NatMethod::None {
        return Ok(());
    }
    let destination = NatD::new(algorithms.prf, &ike.cookies, path.remote);
    // To force encapsulation, claim a source that no NAT could leave as it is.
    let mut claimed = path.local;
    if peer.nat_traversal == NatTraversal::Force {
        claimed.set_port(0);
    }
    let source = NatD::new(algorithms.prf, &ike.cookies, claimed);
    message.payload(method.nat_d(), &[destination.as_slice()])?;
    message.payload(method.nat_d(), &[source.as_slice()])?;
    Ok(())
}

/// HDR*, ID, HASH, and from an initiator INITIAL-CONTACT.
fn message_5_or_6(
    out: &mut [u8],
    peer: &PeerConfig<'_>,
    ike: &IkeSa,
    algorithms: &Algorithms,
    hashed: &Phase1Transcript<'_>,
    iv: &Iv,
    initial_contact: bool,
) -> Result<(usize, Iv), Error> {
    let mut id = [0; ID_BODY_LEN];
    let id = identity_body(&peer.local_id, &mut id).ok_or(Capacity::Message(ID_BODY_LEN))?;
    let hash = match ike.role {
        Role::Initiator => hashed.hash_i(algorithms.prf, &ike.skeyid, id),
        Role::Responder => hashed.hash_r(algorithms.prf, &ike.skeyid, id),
    };
    let header = header(ike.cookies, ExchangeType::IDENTITY_PROTECTION, 0, true);
    let mut message = MessageWriter::new(out, &header)?;
    message.payload(PayloadType::ID, &[id])?;
    message.payload(PayloadType::HASH, &[hash.as_slice()])?;
    if initial_contact {
        emit_initial_contact(&mut message, &ike.cookies)?;
    }
    let [.., fifth, sixth] = &MAIN_MODE;
    check_own(&message, if ike.role == Role::Initiator { fifth } else { sixth })?;
    algorithms.encrypt(&ike.cipher_key, iv, message)
}

/// INITIAL-CONTACT names the IKE SA by its cookies (RFC 2407 §4.6.3.3).
pub(crate) fn emit_initial_contact(
    message: &mut MessageWriter<'_>,
    cookies: &CookiePair,
) -> Result<(), Error> {
    let spi = cookies.to_spi();
    let notify = NotifyPayload {
        doi: Doi::IPSEC,
        protocol: ProtocolId::ISAKMP,
        spi: &spi,
        kind: NotifyType::INITIAL_CONTACT,
        data: &[],
        offset: 0,
    };
    notify.emit(message)?;
    Ok(())
}
