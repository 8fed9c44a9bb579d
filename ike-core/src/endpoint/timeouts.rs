//! What happens when a deadline passes.

use crate::child_sa::{self, Outbound};
use crate::config::PeerConfig;
use crate::endpoint::teardown::RETRY;
use crate::endpoint::{Context, Endpoint};
use crate::error::Failure;
use crate::event::{DownReason, Role};
use crate::exchange::OnSilence;
use crate::exchange::state::State;
use crate::natt::KEEPALIVE;
use crate::phase2::quick_mode::QuickMode;
use crate::time::Instant;
use crate::wire::numbers::ExchangeType;

impl Endpoint<'_> {
    /// Does what is due. Call it when [`Self::poll_timeout`] has come; calling it early or late does no harm.
    ///
    /// Where much is due at once it stops while what there is to send finds no room, and [`Self::poll_timeout`] stays in the
    /// past: drain [`Self::poll_transmit`] between two calls.
    pub fn handle_timeout(&mut self, cx: &mut Context<'_>) {
        // Each round either moves a deadline into the future or removes it, and queues one reply at most, but for an SA
        // that ends with its children.
        while let Some(index) = due(self.store.exchanges.timers.next(), cx.now) {
            self.exchange_due(cx, index);
        }
        while let Some(index) = due(self.store.children.timers.next(), cx.now)
            && !self.store.ring.is_full()
        {
            self.child_due(cx, index);
        }
        while let Some(index) = due(self.store.ikes.timers.next(), cx.now)
            && !self.store.ring.is_full()
        {
            self.ike_due(cx, index);
        }
    }

    fn exchange_due(&mut self, cx: &mut Context<'_>, index: u16) {
        let Some(exchange) = self.store.exchanges.get_mut(index) else {
            return self.store.exchanges.timers.set(index, None);
        };
        let silent = exchange.on_silence == OnSilence::Retransmit
            && exchange.outbox.at.is_some_and(|at| at <= cx.now);
        if silent {
            let outbox = &mut exchange.outbox;
            if let Some(tries) = outbox.tries.checked_sub(1) {
                outbox.tries = tries;
                outbox.wait = cx.config.timing.next_wait(outbox.wait);
                outbox.at = Some(cx.now.after(outbox.wait));
                outbox.due = true;
                self.stats.retransmitted = self.stats.retransmitted.saturating_add(1);
                let (kind, ike) = (exchange.kind, exchange.ike);
                if kind == ExchangeType::QUICK_MODE {
                    self.doubt_phase1(cx, ike);
                }
                self.store.exchanges.pending.push(index);
                return self.refresh_exchange(index);
            }
        } else if exchange.deadline.is_none_or(|deadline| deadline > cx.now) {
            return self.refresh_exchange(index);
        }
        if matches!(exchange.state, State::Lingering) {
            if exchange.outbox.due {
                // The host took its time: the last message has still to go out.
                exchange.deadline = Some(cx.now.after(cx.config.timing.exchange_timeout));
                return self.refresh_exchange(index);
            }
            return self.release_exchange(index);
        }
        let confirmed = exchange.on_silence == OnSilence::Done
            && matches!(exchange.state, State::Quick(QuickMode::ExpectConfirmation(_)));
        if confirmed {
            return self.release_exchange(index);
        }
        let failure = Failure::NoAnswer {
            exchange: exchange.kind,
            message: exchange.outbox.number,
            hint: exchange.hint,
        };
        let (kind, role, ike, wait) =
            (exchange.kind, exchange.role, exchange.ike, exchange.outbox.wait);
        self.fail_exchange(cx, index, failure);
        // Nobody answers a quick mode, and nothing else was heard meanwhile: the peer does not know this IKE SA, because the
        // last message of its phase 1 was lost for good, say. Kept, it would be in the way of one that works.
        let deaf = |ike: &crate::ike_sa::IkeSa| {
            ike.is_established() && cx.now.since(ike.liveness.heard) >= wait
        };
        if silent
            && kind == ExchangeType::QUICK_MODE
            && role == Role::Initiator
            && self.store.ikes.is(ike.0, ike.1)
            && self.store.ikes.get(ike.0).is_some_and(deaf)
        {
            self.end_ike(cx, ike.0, DownReason::PeerDead);
        }
    }

    /// A quick mode gets no answer. Perhaps the peer has no such IKE SA, or one with another IV: what phase 1 pads its
    /// messages with is in the IV, and in no hash. Dead peer detection will tell. Or the last message of phase 1 was lost,
    /// which nobody asks for again where the responder of aggressive mode waits for it: it goes out once more, ahead of
    /// the quick mode.
    fn doubt_phase1(&mut self, cx: &Context<'_>, (ike, serial): (u16, u32)) {
        if !self.store.ikes.is(ike, serial) {
            return;
        }
        let Some(sa) = self.store.ikes.get_mut(ike) else { return };
        sa.worried(cx);
        let phase1 = sa.exchange;
        self.refresh_ike(ike);
        let Some(index) = phase1 else { return };
        let Some(exchange) = self.store.exchanges.get_mut(index) else { return };
        if exchange.role == Role::Initiator && exchange.is_done() {
            exchange.outbox.due = true;
            self.store.exchanges.pending.push(index);
        }
    }

    fn child_due(&mut self, cx: &mut Context<'_>, index: u16) {
        let Some(sa) = self.store.children.get_mut(index) else {
            return self.store.children.timers.set(index, None);
        };
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= cx.now);
        if passed(sa.schedule.hard) {
            let reason = match (sa.phase, sa.use_outbound) {
                (_, Outbound::Gone) => DownReason::PeerDeleted,
                (child_sa::Phase::Replaced, _) => DownReason::Replaced,
                _ => DownReason::Expired,
            };
            let (inbound, tell) = (sa.inbound, sa.use_outbound != Outbound::Gone);
            self.use_successor(cx, index);
            if let Some(ike) = self.ike_of_child(index).filter(|_| tell) {
                self.send_delete_child(cx, ike, inbound);
            }
            return self.end_child(index, reason);
        }
        if let Outbound::From(at) = sa.use_outbound
            && at <= cx.now
        {
            return self.outbound_usable(cx, index);
        }
        if passed(sa.schedule.soft) {
            // Until a successor carries the traffic it is looked after again: the renewal may find no room, or fail.
            sa.schedule.soft = Some(cx.now.after(RETRY));
            self.refresh_child(index);
            self.renew_child(cx, index);
            return;
        }
        self.refresh_child(index);
    }

    fn ike_due(&mut self, cx: &mut Context<'_>, index: u16) {
        let Some(ike) = self.store.ikes.get_mut(index) else {
            return self.store.ikes.timers.set(index, None);
        };
        let passed = |at: Option<Instant>| at.is_some_and(|at| at <= cx.now);
        if passed(ike.schedule.hard) {
            if ike.closing {
                return self.end_ike(cx, index, DownReason::PeerDeleted);
            }
            let reason =
                if ike.replaced_by.is_some() { DownReason::Replaced } else { DownReason::Expired };
            self.send_delete_ike(cx, index);
            return self.end_ike(cx, index, reason);
        }
        if passed(ike.schedule.soft) {
            ike.schedule.soft = None;
            let handle = self.ike_handle(index);
            let renewal = self.renew_ike(cx, index);
            if renewal.is_err() && handle.is_some_and(|ike| self.ike(ike).is_some()) {
                // No room, perhaps: there may be some soon.
                if let Some(ike) = self.store.ikes.get_mut(index) {
                    ike.schedule.soft = Some(cx.now.after(RETRY));
                }
            }
            return self.refresh_ike(index);
        }
        if passed(ike.liveness.due) {
            self.dpd_due(cx, index);
            return self.refresh_ike(index);
        }
        if passed(ike.keepalive) {
            ike.keepalive = Some(cx.config.timing.next_keepalive(cx.now));
            let path = ike.path;
            // RFC 3948 §2.3: one byte, and no marker in front of it.
            self.store.ring.push(path, &[], &KEEPALIVE);
        }
        self.refresh_ike(index);
    }

    /// Whether the peer is still configured; if not, what we have with it ends.
    pub(crate) fn configured<'c>(
        &mut self,
        cx: &mut Context<'c>,
        ike: u16,
    ) -> Option<PeerConfig<'c>> {
        let peer = self.store.ikes.get(ike)?.peer;
        let found = cx.config.peers.peer(peer);
        if found.is_none() {
            self.delete_all(cx, ike, DownReason::Unconfigured);
        }
        found
    }
}

fn due(next: Option<(Instant, u16)>, now: Instant) -> Option<u16> {
    next.filter(|(at, _)| *at <= now).map(|(_, index)| index)
}
