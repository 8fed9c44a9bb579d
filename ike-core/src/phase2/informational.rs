//! Informational exchanges: RFC 2409 §5.7, RFC 2408 §4.8. Notifies and Deletes act only under a verified hash; in the
//! clear they are hints.

use esp_core::Spi;

use crate::child_sa::{self, ChildSa, Outbound};
use crate::config::PeerId;
use crate::endpoint::{Context, Endpoint, Path, check_flags};
use crate::error::{Discard, Failure};
use crate::event::{DownReason, Event, IkeSaHandle, Role};
use crate::exchange::state::{Exchange, State};
use crate::exchange::{INFORMATIONAL, INFORMATIONAL_CLEAR, Message};
use crate::ike_sa::Remembered;
use crate::keys::hash_1;
use crate::phase1::main_mode::MainMode;
use crate::phase2::quick_mode::QuickMode;
use crate::phase2::{Verified, verify};
use crate::protect::Algorithms;
use crate::wire::numbers::{NotifyType, PayloadType, ProtocolId};
use crate::wire::{CookiePair, DeletePayload, Flags, Header, NotifyPayload};

impl Endpoint<'_> {
    /// A message of an informational exchange.
    pub(crate) fn informational_datagram(
        &mut self,
        cx: &mut Context<'_>,
        path: Path,
        header: &Header,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        if !header.flags.contains(Flags::ENCRYPTION) {
            return self.informational_in_clear(cx, path, header, datagram);
        }
        let half_open = self.find_ike(&header.cookies).and_then(|index| {
            let ike = self.store.ikes.get(index).filter(|ike| !ike.is_established())?;
            let exchange = ike.exchange.filter(|_| ike.path.remote.ip() == path.remote.ip())?;
            self.awaits_message_6(exchange).then_some((index, exchange))
        });
        let index = match half_open {
            Some((index, _)) => index,
            None => self.established(header)?,
        };
        let ike = self.store.ikes.get(index).ok_or(Discard::UnknownSa)?;
        let algorithms = Algorithms::of_sa(cx.config, ike)?;
        let (prf, message_id) = (algorithms.prf, header.message_id);
        let iv = ike.iv.phase2(prf, message_id);
        let len = datagram.len();
        let Verified { message, .. } =
            verify(&algorithms, &ike.cipher_key, &iv, header, datagram, &INFORMATIONAL, |rest| {
                hash_1(prf, &ike.skeyid, message_id, rest)
            })?;
        if let Some((_, exchange)) = half_open {
            return self.refused_in_phase1(cx, exchange, &message);
        }
        self.count_bytes(cx, index, len);
        // Message ids of informational exchanges are not remembered: an old message may come again. Whatever it says
        // must therefore be harmless to repeat, and it proves neither life nor place.
        for payload in message.payloads() {
            // A Delete may have ended the IKE SA: what follows has nothing to act on (CVE-2023-38712).
            if !self.store.ikes.get(index).is_some_and(|ike| ike.is_established()) {
                break;
            }
            match payload.kind {
                PayloadType::NOTIFICATION => {
                    let notify = NotifyPayload::parse(payload.body, payload.offset)?;
                    self.on_notify(cx, index, path, message_id, &notify);
                }
                PayloadType::DELETE => {
                    let delete = DeletePayload::parse(payload.body, payload.offset)?;
                    self.on_delete(cx, index, &delete);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Whether an exchange is a main mode of ours that has said who we are: both ends have the keys by then.
    fn awaits_message_6(&self, exchange: u16) -> bool {
        self.store.exchanges.get(exchange).is_some_and(|exchange| {
            exchange.role == Role::Initiator
                && matches!(exchange.state, State::Main(MainMode::ExpectAuth(_)))
        })
    }

    /// The responder has the key and does not want us, our identity, say. It tells so under the keys of phase 1, as they are
    /// before its last message: an end that is authentic. The keys are of this exchange alone, so it is no old message.
    fn refused_in_phase1(
        &mut self,
        cx: &mut Context<'_>,
        exchange: u16,
        message: &Message<'_>,
    ) -> Result<(), Discard> {
        let error = message
            .all(PayloadType::NOTIFICATION)
            .filter_map(|payload| NotifyPayload::parse(payload.body, payload.offset).ok())
            .find(|notify| notify.kind.0 < 16384);
        if let Some(notify) = error {
            self.fail_exchange(cx, exchange, Failure::PeerRefused(notify.kind));
        }
        Ok(())
    }

    /// Anybody can have sent this. If one of our exchanges waits for an answer it is kept as a possible explanation.
    fn informational_in_clear(
        &mut self,
        cx: &Context<'_>,
        path: Path,
        header: &Header,
        datagram: &[u8],
    ) -> Result<(), Discard> {
        check_flags(header, false)?;
        let message = Message::check(datagram, header, &INFORMATIONAL_CLEAR)?;
        let kind = message
            .all(PayloadType::NOTIFICATION)
            .find_map(|payload| NotifyPayload::parse(payload.body, payload.offset).ok())
            .map_or(NotifyType(0), |notify| notify.kind);
        // An error about our first message may come with any responder cookie.
        let index = self.find_ike(&header.cookies);
        let ike = index.and_then(|index| self.store.ikes.get(index)).ok_or(Discard::UnknownSa)?;
        if ike.path.remote.ip() != path.remote.ip() {
            return Err(Discard::WrongAddress);
        }
        let (peer, exchange) = (ike.peer, ike.exchange);
        if let Some(handle) = index.and_then(|index| self.ike_handle(index)) {
            self.hint(cx, handle, peer, kind, false);
        }
        if let Some(exchange) = exchange.and_then(|index| self.store.exchanges.get_mut(index)) {
            exchange.hint = Some(kind);
        }
        Err(Discard::Hint(kind))
    }

    fn on_notify(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        path: Path,
        message_id: u32,
        notify: &NotifyPayload<'_>,
    ) {
        match notify.kind {
            NotifyType::R_U_THERE => self.on_r_u_there(cx, index, path, notify),
            NotifyType::R_U_THERE_ACK => self.on_r_u_there_ack(cx, index, notify),
            // RFC 2407 §4.6.3: after aggressive mode it comes this way.
            NotifyType::INITIAL_CONTACT if notify.protocol == ProtocolId::ISAKMP => {
                self.initial_contact(cx, index);
            }
            NotifyType::RESPONDER_LIFETIME if notify.protocol == ProtocolId::ISAKMP => {
                self.on_phase1_lifetime(cx, index, notify);
            }
            kind @ NotifyType::INVALID_SPI => {
                let peer = self.store.ikes.get(index).map(|ike| ike.peer);
                if let (Some(handle), Some(peer)) = (self.ike_handle(index), peer) {
                    self.hint(cx, handle, peer, kind, true);
                }
            }
            kind if kind.0 < 16384 => self.on_error_notify(cx, index, message_id, notify),
            _ => {}
        }
    }

    /// Shows the host a notify that changes nothing, at most one a second.
    fn hint(
        &mut self,
        cx: &Context<'_>,
        ike: IkeSaHandle,
        peer: PeerId,
        notify: NotifyType,
        authenticated: bool,
    ) {
        if self.hint_rate.take(cx.now, 1) {
            self.store.diagnostics.offer(Event::Hint { ike, peer, notify, authenticated });
        }
    }

    /// An error about a quick mode of ours that waits for its answer: the one that offered the SPI which the notify names;
    /// or, for peers that name none, the only one.
    fn on_error_notify(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        message_id: u32,
        notify: &NotifyPayload<'_>,
    ) {
        let named = <[u8; 4]>::try_from(notify.spi).ok();
        let named = named.and_then(|spi| Spi::new(u32::from_be_bytes(spi)));
        let Some(owner) = self.store.ikes.get(index).map(|ike| ike.owner) else { return };
        let Some(serial) = self.store.ikes.serial(index) else { return };
        let waits = |exchange: &Exchange| {
            exchange.ike == (index, serial)
                && matches!(exchange.state, State::Quick(QuickMode::ExpectAnswer(_)))
        };
        let mut waiting = self.store.children_by_owner.candidates(owner).filter_map(|child| {
            let sa = self.store.children.get(child)?;
            let exchange = sa.exchange?;
            waits(self.store.exchanges.get(exchange)?).then_some((sa.inbound, exchange))
        });
        let meant = match named {
            Some(named) => waiting.find(|(offered, _)| *offered == named),
            None => waiting.next().filter(|_| waiting.next().is_none()),
        };
        let Some((_, exchange)) = meant else { return };
        // Without an SPI it could be an old message about another quick mode: it counts once, as a quick mode does.
        let ike = self.store.ikes.get_mut(index);
        if named.is_none() && ike.is_some_and(|ike| ike.remember(message_id) != Remembered::New) {
            return;
        }
        self.fail_exchange(cx, exchange, Failure::PeerRefused(notify.kind));
    }

    /// Deletes of SAs that we know; others may be long gone.
    fn on_delete(&mut self, cx: &mut Context<'_>, index: u16, delete: &DeletePayload<'_>) {
        match delete.protocol {
            ProtocolId::ESP => {
                for spi in delete.spis() {
                    let spi = <[u8; 4]>::try_from(spi).ok();
                    if let Some(spi) = spi.and_then(|spi| Spi::new(u32::from_be_bytes(spi))) {
                        self.on_delete_child(cx, index, spi);
                    }
                }
            }
            ProtocolId::ISAKMP => {
                for spi in delete.spis() {
                    self.on_delete_ike(cx, index, spi);
                }
            }
            _ => {}
        }
    }

    /// The peer does not receive with this SPI any more. Our outbound SA goes at once; the inbound one lingers for
    /// packets in flight.
    fn on_delete_child(&mut self, cx: &mut Context<'_>, index: u16, spi: Spi) {
        let Some(ike) = self.store.ikes.get(index) else { return };
        let owner = ike.owner;
        let find = |matches: fn(&ChildSa, Spi) -> bool| {
            self.store.children_by_owner.candidates(owner).find(|child| {
                let sa = self.store.children.get(*child);
                sa.is_some_and(|sa| sa.owner == owner && matches(sa, spi))
            })
        };
        // Its own SPI, which is our outbound one (RFC 2408 §3.15). strongSwan names ours where its kernel refuses the
        // pair; it is as authentic, and the pair as useless.
        let found =
            find(|sa, spi| sa.outbound == Some(spi)).or_else(|| find(|sa, spi| sa.inbound == spi));
        let Some(child) = found else { return };
        let Some(sa) = self.store.children.get_mut(child) else { return };
        match sa.phase {
            child_sa::Phase::Negotiating | child_sa::Phase::Down(_) => {}
            child_sa::Phase::Ready => self.end_child(child, DownReason::PeerDeleted),
            child_sa::Phase::Up | child_sa::Phase::Replaced => {
                if sa.use_outbound == Outbound::Gone {
                    return;
                }
                sa.pending.gone = sa.use_outbound == Outbound::Taken;
                sa.pending.outbound = false;
                sa.use_outbound = Outbound::Gone;
                sa.phase = child_sa::Phase::Replaced;
                sa.schedule.soft = None;
                sa.schedule.hard = Some(cx.now.after(cx.config.timing.linger));
                self.store.children.pending.push(child);
                self.refresh_child(child);
                self.use_successor(cx, child);
            }
        }
    }

    fn on_delete_ike(&mut self, cx: &mut Context<'_>, index: u16, spi: &[u8]) {
        let Some(ike) = self.store.ikes.get(index) else { return };
        let (Some(initiator), Some(responder)) = (spi.get(..8), spi.get(8..16)) else { return };
        let owner = ike.owner;
        let cookies = match (<[u8; 8]>::try_from(initiator), <[u8; 8]>::try_from(responder)) {
            (Ok(initiator), Ok(responder)) => CookiePair {
                initiator: crate::wire::Cookie(initiator),
                responder: crate::wire::Cookie(responder),
            },
            _ => return,
        };
        // A renewed IKE SA may delete the one before it: both must belong to the same peer.
        let Some(found) = self.find_ike(&cookies) else { return };
        if !self.store.ikes.get(found).is_some_and(|ike| ike.owner == owner && ike.is_established())
        {
            return;
        }
        let with_children = self
            .store
            .ikes
            .get(found)
            .and_then(|ike| cx.config.peers.peer(ike.peer))
            .is_some_and(|peer| peer.quirks.delete_ike_deletes_children);
        // Deletes of its children may have been overtaken by this one: the keys stay a moment longer, to verify them.
        let end = cx.now.after(cx.config.timing.linger);
        if let Some(ike) = self.store.ikes.get_mut(found) {
            if ike.closing {
                return;
            }
            ike.closing = true;
            ike.liveness.due = None;
            ike.keepalive = None;
            ike.schedule.soft = None;
            ike.schedule.hard = Some(ike.schedule.hard.map_or(end, |hard| hard.min(end)));
        }
        self.refresh_ike(found);
        self.successor_ended(cx, found);
        // Its renewal has adopted them, if there is one.
        if with_children && self.newest_ike_of(owner).is_none() {
            self.end_children_of(cx, owner, DownReason::PeerDeleted);
        }
    }
}
