//! How exchanges and SAs end: slots released, keys wiped, the host and the peer told.

use esp_core::Spi;

use crate::child_sa::{self, Outbound};
use crate::config::ChildId;
use crate::digest::Kind;
use crate::endpoint::{Context, Endpoint, header};
use crate::error::{Error, Failure};
use crate::event::{DownReason, Event, Role};
use crate::ike_sa;
use crate::keys::{CipherKey, Skeyid, hash_1};
use crate::lifetime::Schedule;
use crate::protect::Algorithms;
use crate::wire::numbers::{Doi, ExchangeType, NotifyType, PayloadType, ProtocolId};
use crate::wire::{DeletePayload, HEADER_LEN, MessageWriter, NotifyPayload};

impl Endpoint<'_> {
    /// Ends an exchange without what it was for. Nothing that was up is touched.
    pub(crate) fn fail_exchange(&mut self, cx: &mut Context<'_>, index: u16, reason: Failure) {
        let Some(exchange) = self.store.exchanges.get(index) else { return };
        let (ike_index, serial) = exchange.ike;
        let (kind, role, path, child) =
            (exchange.kind, exchange.role, exchange.path, exchange.child);
        let alive = self.store.ikes.is(ike_index, serial);
        let peer = self.store.ikes.get(ike_index).filter(|_| alive).map(|ike| ike.peer);
        let mut config = None;
        if let Some((child, serial)) = child
            && self.store.children.is(child, serial)
        {
            config = self.store.children.get(child).map(|sa| sa.config);
            self.child_failed(cx, child, reason);
        }
        self.release_exchange(index);
        self.report(peer, config, role, path, reason);
        if alive && kind != ExchangeType::QUICK_MODE {
            self.discard_half_open(cx, ike_index, reason);
        }
    }

    /// Tells the host of an exchange that failed.
    pub(crate) fn report(
        &mut self,
        peer: Option<crate::config::PeerId>,
        child: Option<ChildId>,
        role: Role,
        path: crate::endpoint::Path,
        reason: Failure,
    ) {
        self.stats.failed = self.stats.failed.saturating_add(1);
        let event = Event::Failed { peer, child, role, path, reason };
        match role {
            // The host waits for what becomes of its requests.
            Role::Initiator => self.store.diagnostics.push(event),
            Role::Responder => self.store.diagnostics.offer(event),
        }
    }

    /// The pair of a quick mode that failed: forgotten if the host never knew of it, else down.
    fn child_failed(&mut self, cx: &mut Context<'_>, index: u16, reason: Failure) {
        let Some(sa) = self.store.children.get(index) else { return };
        let (replaces, inbound) = (sa.replaces, sa.inbound);
        if sa.phase == child_sa::Phase::Negotiating {
            self.forget_child(index);
        } else {
            // The peer may have got what it waited for, and we not its answer: it must not send into nothing.
            if let Some(ike) = self.ike_of_child(index).filter(|_| reason != Failure::IkeSaDown) {
                self.send_delete_child(cx, ike, inbound);
            }
            self.end_child(index, DownReason::Failed(reason));
        }
        // The pair that was to be replaced goes on, and will try again.
        if let Some(old) = replaces
            && let Some(sa) = self.child_mut(old)
        {
            sa.successor = None;
            if sa.is_live() && sa.schedule.soft.is_none() {
                sa.schedule.soft = Some(cx.now.after(RETRY));
            }
            self.refresh_child(old.index);
        }
    }

    /// Frees the slot of an exchange; its messages and its private value are wiped.
    pub(crate) fn release_exchange(&mut self, index: u16) {
        let Some(exchange) = self.store.exchanges.get(index) else { return };
        let (key, (ike, serial), child) = (exchange.key, exchange.ike, exchange.child);
        let quick_mode = exchange.kind == ExchangeType::QUICK_MODE;
        self.store.exchanges_by_key.remove(key, index);
        self.store.work_queue.remove(index);
        self.store.unproven.remove(index);
        if self.work.is_of(index) {
            self.work.clear();
            zeroize::Zeroize::zeroize(self.store.work);
        }
        self.store.exchanges.release(index);
        self.store.buffers.clear(index);
        if self.store.ikes.is(ike, serial)
            && let Some(ike) = self.store.ikes.get_mut(ike)
        {
            ike.exchanges = ike.exchanges.saturating_sub(quick_mode.into());
            if ike.exchange == Some(index) {
                ike.exchange = None;
            }
        }
        if let Some((child, serial)) = child
            && self.store.children.is(child, serial)
            && let Some(sa) = self.store.children.get_mut(child)
        {
            sa.exchange = None;
        }
    }

    /// Frees an IKE SA that never came up. The children that waited for it are reported.
    pub(crate) fn discard_half_open(&mut self, cx: &mut Context<'_>, index: u16, reason: Failure) {
        let Some(ike) = self.store.ikes.get(index) else { return };
        if ike.is_established() {
            return;
        }
        let (peer, role, path, replaces) = (ike.peer, ike.role, ike.path, ike.replaces);
        let wanted = ike.wanted.clone();
        self.unlink_ike(index);
        self.store.ikes.release(index);
        for child in wanted {
            self.report(Some(peer), Some(child), role, path, reason);
        }
        // The IKE SA that was to be replaced goes on, and will try again.
        if let Some(old) = replaces
            && self.ike(old).is_some()
        {
            if let Some(ike) = self.store.ikes.get_mut(old.index) {
                ike.replaced_by = None;
                ike.schedule.soft = Some(cx.now.after(RETRY));
            }
            self.refresh_ike(old.index);
        }
    }

    /// Ends an IKE SA: its exchanges fail, its keys are wiped at once, the host reads of it.
    pub(crate) fn end_ike(&mut self, cx: &mut Context<'_>, index: u16, reason: DownReason) {
        let Some(ike) = self.store.ikes.get(index) else { return };
        match ike.phase {
            ike_sa::Phase::HalfOpen => {
                if let Some(exchange) = ike.exchange {
                    self.fail_exchange(cx, exchange, Failure::Cancelled);
                } else {
                    self.discard_half_open(cx, index, Failure::Cancelled);
                }
                return;
            }
            ike_sa::Phase::Down(_) => return,
            ike_sa::Phase::Established => {}
        }
        if let Some(exchange) = ike.exchange {
            self.release_exchange(exchange);
        }
        let serial = self.store.ikes.serial(index).unwrap_or_default();
        for exchange in 0..u16::try_from(self.store.exchanges.capacity()).unwrap_or(u16::MAX) {
            let under = self.store.exchanges.get(exchange).map(|exchange| exchange.ike);
            if under == Some((index, serial)) {
                let done =
                    self.store.exchanges.get(exchange).is_some_and(|exchange| exchange.is_done());
                if done {
                    self.release_exchange(exchange);
                } else {
                    self.fail_exchange(cx, exchange, Failure::IkeSaDown);
                }
            }
        }
        self.successor_ended(cx, index);
        self.unlink_ike(index);
        let Some(ike) = self.store.ikes.get_mut(index) else { return };
        ike.phase = ike_sa::Phase::Down(reason);
        ike.skeyid = Skeyid::empty();
        ike.cipher_key = CipherKey::empty();
        ike.pending.down = true;
        ike.wanted.clear();
        self.store.ikes.pending.push(index);
        self.store.ikes.timers.set(index, None);
    }

    /// An IKE SA that has taken the place of another ends, or is deleted by the peer: the other, if it is still there,
    /// lives on, and is renewed anew.
    pub(crate) fn successor_ended(&mut self, cx: &Context<'_>, successor: u16) {
        let (Some(handle), Some(owner)) =
            (self.ike_handle(successor), self.store.ikes.get(successor).map(|ike| ike.owner))
        else {
            return;
        };
        let mut next = self.store.ikes_by_owner.candidates(owner).next();
        while let Some(index) = next {
            next = self.store.ikes_by_owner.behind(index);
            let Some(ike) = self.store.ikes.get_mut(index) else { continue };
            if ike.replaced_by == Some(handle) && ike.is_usable() {
                ike.replaced_by = None;
                ike.schedule.hard = ike.expires;
                ike.schedule.soft = Some(cx.now.after(RETRY));
                self.refresh_ike(index);
            }
        }
    }

    /// Takes an IKE SA out of the indexes.
    fn unlink_ike(&mut self, index: u16) {
        let Some(ike) = self.store.ikes.get(index) else { return };
        let cookie = ike.cookie_digest(&self.digests);
        let peer = ike.peer_digest(&self.digests);
        let (owner, established) = (ike.owner, ike.is_established());
        self.store.reassembly.forget(ike.cookies.initiator);
        self.store.ikes_by_cookie.remove(cookie, index);
        self.store.ikes_by_peer.remove(peer, index);
        if established {
            self.store.ikes_by_owner.remove(owner, index);
        }
    }

    /// Frees a pair of child SAs that the host never saw.
    pub(crate) fn forget_child(&mut self, index: u16) {
        self.unlink_child(index);
        self.store.children.release(index);
    }

    /// Ends a pair of child SAs; what the host has not taken of its keys is wiped at once.
    pub(crate) fn end_child(&mut self, index: u16, reason: DownReason) {
        let Some(sa) = self.store.children.get(index) else { return };
        if matches!(sa.phase, child_sa::Phase::Down(_)) {
            return;
        }
        if sa.phase == child_sa::Phase::Negotiating {
            return self.forget_child(index);
        }
        if let Some(exchange) = sa.exchange {
            self.release_exchange(exchange);
        }
        self.unlink_child(index);
        let Some(sa) = self.store.children.get_mut(index) else { return };
        sa.phase = child_sa::Phase::Down(reason);
        zeroize::Zeroize::zeroize(&mut sa.keys_in);
        zeroize::Zeroize::zeroize(&mut sa.keys_out);
        sa.use_outbound = Outbound::Gone;
        sa.schedule = Schedule::default();
        sa.pending.outbound = false;
        sa.pending.gone = false;
        sa.pending.down = true;
        self.store.children.pending.push(index);
        self.store.children.timers.set(index, None);
    }

    fn unlink_child(&mut self, index: u16) {
        let Some(sa) = self.store.children.get(index) else { return };
        if matches!(sa.phase, child_sa::Phase::Down(_)) {
            return;
        }
        let (spi, owner) = (sa.spi_digest(&self.digests), sa.owner);
        self.store.children_by_spi.remove(spi, index);
        self.store.children_by_owner.remove(owner, index);
    }

    /// Ends all children of an owner.
    pub(crate) fn end_children_of(&mut self, cx: &mut Context<'_>, owner: u64, reason: DownReason) {
        self.end_children_before(cx, owner, u32::MAX, reason);
    }

    /// Ends the children of an owner whose serial is below `serial`; quick modes under way for them fail.
    pub(crate) fn end_children_before(
        &mut self,
        cx: &mut Context<'_>,
        owner: u64,
        serial: u32,
        reason: DownReason,
    ) {
        let mut next = self.store.children_by_owner.candidates(owner).next();
        while let Some(child) = next {
            next = self.store.children_by_owner.behind(child);
            let Some(sa) = self.store.children.get(child) else { continue };
            if sa.owner != owner || self.store.children.serial(child) >= Some(serial) {
                continue;
            }
            match sa.exchange.filter(|_| sa.phase == child_sa::Phase::Negotiating) {
                Some(exchange) => self.fail_exchange(cx, exchange, Failure::IkeSaDown),
                None => self.end_child(child, reason),
            }
        }
    }

    // ---- telling the peer ----------------------------------------------------------------------

    /// Sends an informational message under an established IKE SA; `fill` appends the payloads behind the HASH.
    /// If it cannot be built nothing is sent: such messages are never waited for.
    pub(crate) fn send_informational(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        fill: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), Error>,
    ) {
        let _ = self.try_informational(cx, index, fill);
    }

    fn try_informational(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        fill: impl FnOnce(&mut MessageWriter<'_>) -> Result<(), Error>,
    ) -> Option<()> {
        // Under keys that were wiped, or never derived, nothing can be said.
        let ike = self.store.ikes.get(index).filter(|ike| !ike.skeyid.is_empty())?;
        let algorithms = Algorithms::of_sa(cx.config, ike).ok()?;
        let message_id = cx.rng.next_u32().max(1);
        let header = header(ike.cookies, ExchangeType::INFORMATIONAL, message_id, true);
        let mut message = MessageWriter::new(self.store.scratch.room(), &header).ok()?;
        let hash = message.reserve(PayloadType::HASH, algorithms.prf.output_len()).ok()?;
        fill(&mut message).ok()?;
        let rest = message.written().get(hash.end..)?;
        let value = hash_1(algorithms.prf, &ike.skeyid, message_id, rest);
        message.written_mut().get_mut(hash)?.copy_from_slice(value.as_slice());
        let iv = ike.iv.phase2(algorithms.prf, message_id);
        let (len, _) = algorithms.encrypt(&ike.cipher_key, &iv, message).ok()?;
        let path = ike.path;
        self.count_bytes(cx, index, len);
        self.send_once(path, len);
        Some(())
    }

    /// Tells the peer, under the IKE SA, what went wrong.
    pub(crate) fn notify_peer(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        kind: NotifyType,
        (protocol, spi): (ProtocolId, &[u8]),
    ) {
        self.send_informational(cx, index, |message| {
            let notify =
                NotifyPayload { doi: Doi::IPSEC, protocol, spi, kind, data: &[], offset: 0 };
            notify.emit(message)?;
            Ok(())
        });
    }

    /// Sends a notify in the clear, in answer to a first message that cannot be taken: with no responder cookie, so
    /// that nothing can be built on it (CVE-2023-30570), and never longer than what provoked it.
    pub(crate) fn notify_in_clear(
        &mut self,
        path: crate::endpoint::Path,
        initiator: crate::wire::Cookie,
        kind: NotifyType,
        received_len: usize,
    ) {
        let cookies = crate::wire::CookiePair { initiator, responder: crate::wire::Cookie::ZERO };
        let header = header(cookies, ExchangeType::INFORMATIONAL, 0, false);
        let notify = NotifyPayload {
            doi: Doi::IPSEC,
            protocol: ProtocolId::ISAKMP,
            spi: &[],
            kind,
            data: &[],
            offset: 0,
        };
        let Ok(mut message) = MessageWriter::new(self.store.scratch.room(), &header) else {
            return;
        };
        if notify.emit(&mut message).is_err() {
            return;
        }
        let len = message.finish();
        if len <= received_len {
            self.send_once(path, len);
        }
    }

    /// Tells the peer that we do not receive with this SPI any more (RFC 2408 §3.15).
    pub(crate) fn send_delete_child(&mut self, cx: &mut Context<'_>, ike: u16, inbound: Spi) {
        self.send_informational(cx, ike, |message| {
            DeletePayload::emit_one(message, ProtocolId::ESP, &inbound.to_be_bytes())?;
            Ok(())
        });
    }

    /// Tells the peer that we do not receive with any of an owner's SPIs any more, many in one message. Nothing answers a
    /// Delete, and the loss of these leaves the peer sending into the void: they go twice, as far as there is room.
    pub(crate) fn send_delete_children(&mut self, cx: &mut Context<'_>, ike: u16, owner: u64) {
        self.send_deletes_of(cx, ike, owner, false);
        self.send_deletes_of(cx, ike, owner, true);
    }

    fn send_deletes_of(&mut self, cx: &mut Context<'_>, ike: u16, owner: u64, again: bool) {
        /// SPIs of one message: as many as fit where replies wait.
        const MOST: usize = 32;
        let mut next = self.store.children_by_owner.candidates(owner).next();
        while next.is_some() && !(again && self.store.ring.is_full()) {
            let mut spis: heapless::Vec<u8, { 4 * MOST }> = heapless::Vec::new();
            while let Some(child) = next.filter(|_| !spis.is_full()) {
                next = self.store.children_by_owner.behind(child);
                let Some(sa) = self.store.children.get(child) else { continue };
                if sa.owner == owner && sa.phase != child_sa::Phase::Negotiating {
                    let _ = spis.extend_from_slice(&sa.inbound.to_be_bytes());
                }
            }
            let Some(delete) = DeletePayload::esp(&spis) else { continue };
            self.send_informational(cx, ike, |message| {
                delete.emit(message)?;
                Ok(())
            });
        }
    }

    /// Tells the peer that the IKE SA ends.
    pub(crate) fn send_delete_ike(&mut self, cx: &mut Context<'_>, index: u16) {
        let Some(ike) = self.store.ikes.get(index) else { return };
        let spi = ike.cookies.to_spi();
        self.send_informational(cx, index, |message| {
            DeletePayload::emit_one(message, ProtocolId::ISAKMP, &spi)?;
            Ok(())
        });
    }

    /// Counts bytes that went through the cipher of an IKE SA. If it may carry only so many, it is renewed before that, and
    /// ends then.
    pub(crate) fn count_bytes(&mut self, cx: &Context<'_>, index: u16, len: usize) {
        let Some(ike) = self.store.ikes.get_mut(index) else { return };
        let body = u64::try_from(len.saturating_sub(HEADER_LEN)).unwrap_or(u64::MAX);
        let before = ike.bytes;
        ike.bytes = before.saturating_add(body);
        if ike.lifetime.kilobytes == 0 || !ike.is_established() {
            return;
        }
        let timing = &cx.config.timing;
        let share = match ike.role {
            Role::Initiator => timing.rekey_percent,
            Role::Responder => timing.rekey_percent_responder,
        };
        let hard = u64::from(ike.lifetime.kilobytes).saturating_mul(1024);
        let soft = hard.saturating_mul(share.min(100).into()) / 100;
        if ike.bytes >= hard {
            ike.schedule.hard = Some(cx.now);
        } else if before < soft && ike.bytes >= soft && ike.replaced_by.is_none() {
            ike.schedule.soft = Some(cx.now);
        }
        self.refresh_ike(index);
    }

    /// The established IKE SA that speaks for a child: the one it came from or that adopted it.
    pub(crate) fn ike_of_child(&self, child: u16) -> Option<u16> {
        let sa = self.store.children.get(child)?;
        let (index, serial) = sa.ike;
        if self.store.ikes.is(index, serial)
            && self.store.ikes.get(index).is_some_and(ike_sa::IkeSa::is_usable)
        {
            return Some(index);
        }
        self.newest_ike_of(sa.owner)
    }

    /// The newest established IKE SA of an owner that the peer has not deleted.
    pub(crate) fn newest_ike_of(&self, owner: u64) -> Option<u16> {
        self.store
            .ikes_by_owner
            .candidates(owner)
            .filter(|index| {
                self.store.ikes.get(*index).is_some_and(|ike| ike.owner == owner && ike.is_usable())
            })
            .max_by_key(|index| self.store.ikes.serial(*index))
    }

    /// The digest that children of this peer belong to.
    pub(crate) fn owner_digest(&self, peer: crate::config::PeerId, id_body: &[u8]) -> u64 {
        // Type and data; protocol and port in between say nothing about who it is.
        let kind = id_body.get(..1).unwrap_or_default();
        let data = id_body.get(4..).unwrap_or_default();
        self.digests.of(Kind::Owner, &[&peer.0.to_be_bytes(), kind, data])
    }
}

/// How long a renewal that failed waits before it is tried again.
pub(crate) const RETRY: core::time::Duration = core::time::Duration::from_secs(10);
