//! Phase 1: what main mode and aggressive mode share. RFC 2409 §5.
//!
//! ```text
//! first message ──► slot, within limits ──► exchange of keys ──► identities and hashes ──► Established
//! ```

use core::net::IpAddr;
use core::time::Duration;

use crate::config::{Identity, NatTraversal, PeerConfig, PeerId};
use crate::crypto::{DhError, random_private};
use crate::digest::Kind;
use crate::endpoint::{Context, Endpoint, Path};
use crate::error::{Capacity, Discard, Error, Failure, PeerMisbehaved, Refusal};
use crate::event::{DownReason, Role};
use crate::exchange::state::{DhWork, Exchange, Name, Private, State};
use crate::exchange::{Message, MessageSpec};
use crate::ike_sa::{Announced, IkeSa, Phase};
use crate::lifetime;
use crate::natt::NatMethod;
use crate::wire::numbers::{
    ExchangeType, GroupDescription, IdType, NotifyType, PayloadType, ProtocolId,
};
use crate::wire::{
    AddressId, CookiePair, Header, IdPayload, MessageWriter, NotifyPayload, VendorId,
};

pub(crate) mod aggressive;
pub(crate) mod auth;
mod establish;
pub(crate) mod main_mode;
pub(crate) mod negotiate;

/// Bytes of our nonces: as many as the longest PRF's security asks for (RFC 2409 §5 allows 8 to 256).
pub(crate) const NONCE_LEN: usize = 32;

/// A message without our cookie.
pub(crate) struct FirstMessage<'m> {
    pub(crate) path: Path,
    pub(crate) header: &'m Header,
    pub(crate) datagram: &'m [u8],
    /// The digest under which its exchange is entered.
    pub(crate) key: u64,
    /// The digest of the datagram.
    pub(crate) digest: u64,
}

impl Endpoint<'_> {
    /// A message of main or aggressive mode.
    pub(crate) fn phase1_datagram(
        &mut self,
        cx: &mut Context<'_>,
        path: Path,
        header: &Header,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        if header.message_id != 0 {
            return Err(PeerMisbehaved::MessageId(header.message_id).into());
        }
        if header.cookies.responder.is_zero() {
            return self.first_message(cx, path, header, datagram);
        }
        let ike_index = self.find_ike(&header.cookies).ok_or(Discard::UnknownSa)?;
        let ike = self.store.ikes.get(ike_index).ok_or(Discard::UnknownSa)?;
        // Until the peer is authenticated its address is all that ties a message to it. The port may differ: NATs, and
        // peers that move to port 4500 early or answer from there.
        if ike.path.remote.ip() != path.remote.ip() {
            return Err(Discard::WrongAddress);
        }
        let index = ike.exchange.ok_or(Discard::Duplicate)?;
        let exchange = self.store.exchanges.get(index).ok_or(Discard::UnknownSa)?;
        if exchange.kind != header.exchange {
            return Err(PeerMisbehaved::UnexpectedExchange(header.exchange).into());
        }
        let digest = self.digests.of(Kind::Datagram, &[datagram]);
        if digest == exchange.last_received {
            self.answer_duplicate(index);
            return Err(Discard::Duplicate);
        }
        if exchange.work.is_some() {
            return Err(Discard::Busy);
        }
        match exchange.state {
            State::Main(state) => {
                self.main_mode_message(cx, path, index, state, header, datagram)?;
            }
            State::Aggressive(state) => {
                self.aggressive_message(cx, path, index, state, header, datagram)?;
            }
            State::Quick(_) | State::Lingering => return Err(Discard::Duplicate),
        }
        if let Some(exchange) = self.store.exchanges.get_mut(index) {
            exchange.last_received = digest;
        }
        Ok(())
    }

    /// A message without our cookie: somebody, perhaps, wants to begin.
    fn first_message(
        &mut self,
        cx: &mut Context<'_>,
        path: Path,
        header: &Header,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        let digest = self.digests.of(Kind::Datagram, &[datagram]);
        let key = self.first_message_key(header, path);
        let known = self.store.exchanges_by_key.candidates(key).find(|index| {
            self.store.exchanges.get(*index).is_some_and(|exchange| exchange.key == key)
        });
        if let Some(index) = known {
            let exchange = self.store.exchanges.get(index).ok_or(Discard::UnknownSa)?;
            // Only the same bytes are the same message; an answer goes out for as many bytes as came in.
            if exchange.last_received == digest && exchange.received_number() == 1 {
                self.answer_duplicate(index);
            }
            return Err(Discard::Duplicate);
        }
        if self.is_own_cookie(header.cookies.initiator) {
            return Err(PeerMisbehaved::Reflected.into());
        }
        let peer_id = cx.config.peers.by_address(path.remote.ip());
        let peer = peer_id.and_then(|id| cx.config.peers.peer(id));
        let first = FirstMessage { path, header, datagram, key, digest };
        let result = match (header.exchange, peer) {
            // Aggressive mode goes by the identity, wherever that comes from.
            (ExchangeType::AGGRESSIVE, _) => self.aggressive_first(cx, &first),
            (_, Some(peer)) => self.main_mode_first(cx, &peer, &first),
            (_, None) => Err(Error::Refused(Refusal::NoPeer)),
        };
        if let Err(error) = result {
            if let (Error::Refused(_), Some(notify)) = (error, error.notify()) {
                self.notify_in_clear(path, header.cookies.initiator, notify, datagram.len());
            }
            if matches!(error, Error::Refused(_)) {
                self.report(peer_id, None, Role::Responder, path, Failure::Error(error));
            }
            return Err(error.into());
        }
        Ok(())
    }

    fn first_message_key(&self, header: &Header, path: Path) -> u64 {
        let port = path.remote.port().to_be_bytes();
        let cookie = &header.cookies.initiator.0;
        match path.remote.ip() {
            IpAddr::V4(ip) => self.digests.of(Kind::FirstMessage, &[cookie, &port, &ip.octets()]),
            IpAddr::V6(ip) => self.digests.of(Kind::FirstMessage, &[cookie, &port, &ip.octets()]),
        }
    }

    /// Makes room for one more peer that has proved nothing (DESIGN: the oldest such slot that is at least a second
    /// old goes; established SAs are never touched).
    pub(crate) fn make_room(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        path: Path,
    ) -> Result<(), Error> {
        let limits = &cx.config.limits;
        let digest = self.digests.of_address(Kind::Peer, peer.0, path.remote.ip());
        let from_source = self.store.ikes_by_peer.candidates(digest).filter(|index| {
            self.store.ikes.get(*index).is_some_and(|ike| {
                ike.phase == Phase::HalfOpen
                    && ike.role == Role::Responder
                    && ike.path.remote.ip() == path.remote.ip()
            })
        });
        let full = self.store.unproven.len() >= usize::from(limits.half_open)
            || self.store.ikes.is_full()
            || self.store.exchanges.is_full();
        // Anybody can send in the peer's name: its places are given up as those of all are, or it could be kept out with
        // a few datagrams.
        let oldest = if from_source.clone().count() >= usize::from(limits.half_open_per_source) {
            from_source
                .filter_map(|index| self.store.ikes.get(index)?.exchange)
                .filter(|index| self.store.unproven.contains(*index))
                .min_by_key(|index| self.store.exchanges.get(*index).map(|it| it.began))
        } else if full {
            self.store.unproven.front()
        } else {
            return Ok(());
        };
        if self.evict_aged(cx, oldest, Duration::from_secs(1)) {
            Ok(())
        } else {
            Err(Capacity::HalfOpen.into())
        }
    }

    /// Makes room for what we begin ourselves, or a proven peer does: what is done and only answers duplicates goes
    /// first, then what has proved nothing, then what has proved no more than its address. Neither a flood of first messages
    /// nor an army that answers keeps an SA from being renewed.
    pub(crate) fn make_room_for_ours(&mut self, cx: &mut Context<'_>) {
        self.make_room_for_exchange(cx);
        if self.store.ikes.is_full() {
            self.evict_unauthenticated(cx);
        }
    }

    /// The same for a quick mode, which needs no slot of an IKE SA.
    pub(crate) fn make_room_for_exchange(&mut self, cx: &mut Context<'_>) {
        if self.store.exchanges.is_full() && !self.release_done(None) {
            self.evict_unauthenticated(cx);
        }
    }

    fn evict_unauthenticated(&mut self, cx: &mut Context<'_>) {
        if self.evict_aged(cx, self.store.unproven.front(), Duration::ZERO) {
            return;
        }
        let phase1 = |exchange: &Exchange| {
            exchange.role == Role::Responder
                && matches!(exchange.state, State::Main(_) | State::Aggressive(_))
        };
        let oldest = self
            .store
            .exchanges
            .iter()
            .filter(|(_, exchange)| phase1(exchange))
            .min_by_key(|(_, exchange)| exchange.began);
        if let Some((oldest, _)) = oldest {
            self.evict(cx, oldest);
        }
    }

    /// Releases the exchange that has been done for longest: of any, or of the quick modes of an IKE SA. `false` if there is
    /// none.
    pub(crate) fn release_done(&mut self, of: Option<(u16, u32)>) -> bool {
        let wanted = |exchange: &Exchange| {
            of.is_none_or(|ike| exchange.ike == ike && exchange.kind == ExchangeType::QUICK_MODE)
        };
        let done = self.store.exchanges.iter().filter(|(_, it)| it.is_done() && wanted(it));
        let Some((index, _)) = done.min_by_key(|(_, exchange)| exchange.deadline) else {
            return false;
        };
        self.release_exchange(index);
        true
    }

    /// Gives up a phase 1 whose peer has not echoed our cookie, if it is `age` old.
    fn evict_aged(&mut self, cx: &mut Context<'_>, oldest: Option<u16>, age: Duration) -> bool {
        let Some(oldest) = oldest else { return false };
        let Some(exchange) = self.store.exchanges.get(oldest) else { return false };
        if cx.now.since(exchange.began) < age {
            return false;
        }
        self.evict(cx, oldest);
        true
    }

    /// Ends a phase 1 that the peer began, to make room.
    fn evict(&mut self, cx: &mut Context<'_>, index: u16) {
        let Some((ike, serial)) = self.store.exchanges.get(index).map(|exchange| exchange.ike)
        else {
            return;
        };
        self.release_exchange(index);
        if self.store.ikes.is(ike, serial) {
            self.discard_half_open(cx, ike, Failure::Cancelled);
        }
        self.stats.evicted = self.stats.evicted.saturating_add(1);
    }

    /// Takes slots for an IKE SA and its phase 1, and enters them in the indexes.
    pub(crate) fn open_phase1(
        &mut self,
        cx: &Context<'_>,
        ike: IkeSa,
        kind: ExchangeType,
        state: State,
        key: u64,
    ) -> Result<(u16, u16), Error> {
        let (role, path) = (ike.role, ike.path);
        let (cookie, peer) = (ike.cookie_digest(&self.digests), ike.peer_digest(&self.digests));
        let serial = self.next_serial();
        let ike_index = self.store.ikes.allocate(serial, ike).ok_or(Capacity::IkeSas)?;
        let name = Name { kind, role, message_id: 0, key };
        let exchange = Exchange::new((ike_index, serial), name, state, path, cx.now);
        let serial = self.next_serial();
        let Some(index) = self.store.exchanges.allocate(serial, exchange) else {
            self.store.ikes.release(ike_index);
            return Err(Capacity::Exchanges.into());
        };
        if let Some(ike) = self.store.ikes.get_mut(ike_index) {
            ike.exchange = Some(index);
        }
        self.store.ikes_by_cookie.insert(cookie, ike_index);
        self.store.ikes_by_peer.insert(peer, ike_index);
        self.store.exchanges_by_key.insert(key, index);
        Ok((ike_index, index))
    }

    /// Makes a private value for `work` and queues it.
    pub(crate) fn begin_work(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        work: DhWork,
    ) -> Result<(), Error> {
        let group = cx.config.crypto.group(work.group).ok_or(Capacity::Algorithm)?;
        let exchange = self.store.exchanges.get_mut(index).ok_or(Capacity::Exchanges)?;
        if work.public.is_some() {
            exchange.private = Private::empty();
            let len = random_private(group, cx.rng, &mut exchange.private.bytes)
                .map_err(|_| Capacity::Algorithm)?;
            exchange.private.len = len;
        }
        exchange.work = Some(work);
        exchange.outbox.at = None;
        exchange.deadline = None;
        self.store.work_queue.push(index);
        self.refresh_exchange(index);
        Ok(())
    }

    /// Goes on with an exchange whose Diffie-Hellman is done. `shared` is empty unless it was asked for.
    pub(crate) fn work_done(&mut self, cx: &mut Context<'_>, index: u16, shared: &[u8]) {
        let Some(exchange) = self.store.exchanges.get_mut(index) else { return };
        exchange.work = None;
        let result = match exchange.state {
            State::Main(state) => self.main_mode_computed(cx, index, state, shared),
            State::Aggressive(state) => self.aggressive_computed(cx, index, state, shared),
            State::Quick(state) => self.quick_mode_computed(cx, index, state, shared),
            State::Lingering => Ok(()),
        };
        if let Err(error) = result {
            self.fail_exchange(cx, index, Failure::Error(error));
        }
    }

    /// A Diffie-Hellman that has no result: the peer's public value was at fault.
    pub(crate) fn work_failed(&mut self, cx: &mut Context<'_>, index: u16, error: DhError) {
        let error = match error {
            DhError::PublicValue(error) => PeerMisbehaved::PublicValue(error).into(),
            _ => Error::Capacity(Capacity::Algorithm),
        };
        self.fail_exchange(cx, index, Failure::Error(error));
    }

    /// Notes notifies that came encrypted in message 5 or 6 of main mode, after its hash was verified: INITIAL-CONTACT is
    /// obeyed. Aggressive mode does not protect them well enough (RFC 2407 §4.6.3).
    pub(crate) fn phase1_notifies(
        &mut self,
        cx: &mut Context<'_>,
        ike_index: u16,
        message: &Message<'_>,
    ) {
        let contact = message.all(PayloadType::NOTIFICATION).any(|payload| {
            NotifyPayload::parse(payload.body, payload.offset).is_ok_and(|notify| {
                notify.kind == NotifyType::INITIAL_CONTACT && notify.protocol == ProtocolId::ISAKMP
            })
        });
        if contact {
            self.initial_contact(cx, ike_index);
        }
    }

    /// Tells a peer that has proved to hold the key, but is not whom the configuration names. Where it takes the IKE SA
    /// for established, as a responder does after message 6, it is asked to delete it.
    pub(crate) fn refuse_peer(
        &mut self,
        cx: &mut Context<'_>,
        ike_index: u16,
        iv: crate::keys::Iv,
        error: Error,
    ) {
        let Some(ike) = self.store.ikes.get_mut(ike_index) else { return };
        ike.iv = iv;
        let role = ike.role;
        if let Some(notify) = error.notify() {
            self.notify_peer(cx, ike_index, notify, (ProtocolId::ISAKMP, &[]));
        }
        if role == Role::Initiator {
            self.send_delete_ike(cx, ike_index);
        }
    }

    /// Whether nothing of an earlier time is left that INITIAL-CONTACT would destroy. Of children no index by peer is kept:
    /// where there is no IKE SA with the peer any more this looks at all of them, next to a Diffie-Hellman.
    pub(crate) fn is_first_contact(&self, ike_index: u16) -> bool {
        let Some(ike) = self.store.ikes.get(ike_index) else { return false };
        let digest = ike.peer_digest(&self.digests);
        let mut others = self.store.ikes_by_peer.candidates(digest).filter(|i| *i != ike_index);
        let before = |other: &IkeSa| other.peer == ike.peer && other.is_established();
        ike.replaces.is_none()
            && !others.any(|other| self.store.ikes.get(other).is_some_and(before))
            && !self.store.children.iter().any(|(_, child)| child.peer == ike.peer)
    }

    /// Takes in what the vendor IDs of a later message announce. They may stand anywhere (RFC 2408 §3.16): Cisco's of dead
    /// peer detection come in messages 3 to 6. NAT traversal is settled before (RFC 3947 §3.1: messages 1 and 2).
    pub(crate) fn announced_late(&mut self, ike_index: u16, message: &Message<'_>) {
        let Some(ike) = self.store.ikes.get_mut(ike_index) else { return };
        let nat = ike.announced.nat;
        ike.announced.note_all(message);
        ike.announced.nat = nat;
    }

    /// The peer began anew: what we had with it before is gone at its end (RFC 2407 §4.6.3.3). What came up after
    /// this IKE SA was begun is of the peer's new life, and a second one means nothing: the message may be an old one.
    pub(crate) fn initial_contact(&mut self, cx: &mut Context<'_>, ike_index: u16) {
        let Some(ike) = self.store.ikes.get_mut(ike_index) else { return };
        if core::mem::replace(&mut ike.contacted, true) {
            return;
        }
        let owner = ike.owner;
        let Some(begun) = self.store.ikes.serial(ike_index) else { return };
        self.end_children_before(cx, owner, begun, DownReason::InitialContact);
        let mut next = self.store.ikes_by_owner.candidates(owner).next();
        while let Some(other) = next {
            next = self.store.ikes_by_owner.behind(other);
            let Some(ike) = self.store.ikes.get(other) else { continue };
            if ike.owner == owner && ike.up_serial < begun {
                self.end_ike(cx, other, DownReason::InitialContact);
            }
        }
    }
}

/// Reads what the vendor IDs of a message announce, less what is switched off for the peer.
pub(crate) fn announced(message: &Message<'_>, peer: &PeerConfig<'_>) -> Announced {
    let mut announced = Announced::default();
    announced.note_all(message);
    if peer.nat_traversal == NatTraversal::Off {
        announced.nat = NatMethod::None;
    }
    announced
}

/// The public value and the nonce of a message, checked (RFC 2409 §5: a nonce has 8 to 256 bytes).
pub(crate) fn key_exchange<'a>(
    cx: &Context<'_>,
    message: &Message<'a>,
    group: GroupDescription,
) -> Result<(&'a [u8], &'a [u8]), Error> {
    let nonce = nonce(message)?;
    let public = message.find(PayloadType::KEY_EXCHANGE)?.body;
    let group = cx.config.crypto.group(group).ok_or(Capacity::Algorithm)?;
    group.check_public(public).map_err(PeerMisbehaved::PublicValue)?;
    Ok((public, nonce))
}

/// The nonce of a message.
pub(crate) fn nonce<'a>(message: &Message<'a>) -> Result<&'a [u8], Error> {
    let nonce = message.find(PayloadType::NONCE)?.body;
    if (8..=256).contains(&nonce.len()) {
        Ok(nonce)
    } else {
        let len = u16::try_from(nonce.len()).unwrap_or(u16::MAX);
        Err(PeerMisbehaved::NonceLength(len).into())
    }
}

/// Bytes of an identity payload's body that we send: four of head, and the data.
pub(crate) const ID_BODY_LEN: usize = 4 + 256;

/// The body of our ID payload, written to `out`; `None` if it does not fit.
pub(crate) fn identity_body<'o>(identity: &Identity<'_>, out: &'o mut [u8]) -> Option<&'o [u8]> {
    let address;
    let (id_type, data): (IdType, &[u8]) = match identity {
        Identity::Address(ip) => {
            address = AddressId::new(esp_core::Addresses::host(*ip))?;
            let payload = address.payload(0, 0);
            return write_id(payload.id_type, payload.data, out);
        }
        Identity::Fqdn(name) => (IdType::FQDN, name.as_bytes()),
        Identity::UserFqdn(name) => (IdType::USER_FQDN, name.as_bytes()),
        Identity::KeyId(key) => (IdType::KEY_ID, key),
        Identity::Other(id_type, data) => (*id_type, data),
    };
    write_id(id_type, data, out)
}

fn write_id<'o>(id_type: IdType, data: &[u8], out: &'o mut [u8]) -> Option<&'o [u8]> {
    let len = data.len().checked_add(4)?;
    let body = out.get_mut(..len)?;
    let (head, rest) = body.split_at_mut_checked(4)?;
    head.copy_from_slice(&[id_type.0, 0, 0, 0]);
    rest.copy_from_slice(data);
    Some(body)
}

/// What an ID payload says. A name that is not UTF-8 stays bytes, and so does an address of a wrong length.
pub(crate) fn identity_of<'a>(id: &IdPayload<'a>) -> Identity<'a> {
    let other = Identity::Other(id.id_type, id.data);
    match id.id_type {
        IdType::IPV4_ADDR => {
            <[u8; 4]>::try_from(id.data).map_or(other, |ip| Identity::Address(IpAddr::from(ip)))
        }
        IdType::IPV6_ADDR => {
            <[u8; 16]>::try_from(id.data).map_or(other, |ip| Identity::Address(IpAddr::from(ip)))
        }
        IdType::FQDN => core::str::from_utf8(id.data).map_or(other, Identity::Fqdn),
        IdType::USER_FQDN => core::str::from_utf8(id.data).map_or(other, Identity::UserFqdn),
        IdType::KEY_ID => Identity::KeyId(id.data),
        _ => other,
    }
}

/// The vendor IDs that we announce to a peer.
pub(crate) fn our_vendor_ids(peer: &PeerConfig<'_>) -> impl Iterator<Item = VendorId> {
    let nat: &[VendorId] = match peer.nat_traversal {
        NatTraversal::Off => &[],
        NatTraversal::Auto | NatTraversal::Force => {
            &[VendorId::NatT, VendorId::NatTDraft03, VendorId::NatTDraft02LineFeed]
        }
    };
    let fragmentation = peer.fragmentation.then_some(VendorId::Fragmentation);
    nat.iter().copied().chain([VendorId::DeadPeerDetection]).chain(fragmentation)
}

/// Checks a message of ours against its row, as we check the peer's.
pub(crate) fn check_own(message: &MessageWriter<'_>, spec: &MessageSpec) -> Result<(), Error> {
    // The header's first payload stands at byte 16 (RFC 2408 §3.1).
    let first = message.written().get(16).copied().unwrap_or_default();
    let mut header = crate::endpoint::header(NO_COOKIES, spec.exchange, 0, spec.encrypted);
    header.next_payload = PayloadType(first);
    Message::check(message.written(), &header, spec).map(|_| ())
}

/// No cookies yet.
pub(crate) const NO_COOKIES: CookiePair =
    CookiePair { initiator: crate::wire::Cookie::ZERO, responder: crate::wire::Cookie::ZERO };

/// What comes of [`lifetime`] for phase 1.
pub(crate) fn schedule(cx: &mut Context<'_>, ike: &mut IkeSa) {
    ike.schedule = lifetime::schedule(&cx.config.timing, ike.role, ike.lifetime, cx.now, cx.rng);
    ike.expires = ike.schedule.hard;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exchange::MAIN_MODE;

    #[test]
    fn a_nonce_has_8_to_256_bytes() {
        for len in [0, 7, 8, 32, 256, 257] {
            let mut buffer = [0; 1024];
            let kind = ExchangeType::IDENTITY_PROTECTION;
            let head = crate::endpoint::header(NO_COOKIES, kind, 0, false);
            let mut writer = MessageWriter::new(&mut buffer, &head).unwrap();
            writer.payload(PayloadType::KEY_EXCHANGE, &[&[1; 32]]).unwrap();
            writer.payload(PayloadType::NONCE, &[&std::vec![2; len]]).unwrap();
            let header = Header { next_payload: PayloadType::KEY_EXCHANGE, ..head };
            let message = Message::check(writer.written(), &header, &MAIN_MODE[2]).unwrap();
            let expected = if (8..=256).contains(&len) {
                Ok(len)
            } else {
                Err(PeerMisbehaved::NonceLength(len as u16).into())
            };
            assert_eq!(nonce(&message).map(<[u8]>::len), expected);
        }
    }

    #[test]
    fn every_kind_of_identity_is_read_as_it_is_written() {
        for identity in [
            Identity::Address(IpAddr::from([192, 0, 2, 1])),
            Identity::Address(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1])),
            Identity::Fqdn("gate.example"),
            Identity::UserFqdn("somebody@gate.example"),
            Identity::KeyId(&[1, 2, 3]),
            Identity::Other(IdType(9), &[0x30, 0]),
        ] {
            let mut out = [0; ID_BODY_LEN];
            let body = identity_body(&identity, &mut out).expect("fits");
            assert_eq!(identity_of(&IdPayload::parse(body, 0).expect("whole")), identity);
        }
    }
}
