//! Dead peer detection: RFC 3706. The peer is asked only when we have sent something and heard nothing; it is answered
//! always.

use crate::child_sa::ChildSa;
use crate::config::{ChildId, DpdAction};
use crate::endpoint::{Context, Endpoint, Path};
use crate::error::{ApiError, Capacity, Error, Failure, Refusal};
use crate::event::{DownReason, Role};
use crate::ike_sa::{IkeSa, WANTED};
use crate::lifetime::{LifetimeReader, Wish};
use crate::wire::numbers::{Doi, NotifyType, Phase1Attribute, ProtocolId};
use crate::wire::{CookiePair, NotifyPayload};

impl Endpoint<'_> {
    /// Answers R-U-THERE with the same sequence number (RFC 3706 §5.4).
    pub(crate) fn on_r_u_there(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        path: Path,
        notify: &NotifyPayload<'_>,
    ) {
        let Some(ike) = self.store.ikes.get_mut(index) else { return };
        let sequence = sequence(notify);
        // HASH(1) does not say who sent it: somebody may have sent a question of ours back to us. It gets no answer,
        // because the answer, sent back in its turn, would be taken for the peer's.
        if sequence.is_some_and(|number| ike.liveness.is_own(number)) {
            return;
        }
        // The message may be an old one that somebody sends again: only a number that goes up is a sign of life, and
        // of where the peer is.
        let fresh = match (sequence, ike.liveness.peer_sequence) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some(new), Some(old)) => new > old,
        };
        if fresh {
            ike.liveness.peer_sequence = sequence;
        }
        let cookies = ike.cookies;
        if fresh {
            self.peer_heard(cx, index, path, true);
        }
        self.send_probe(cx, index, cookies, NotifyType::R_U_THERE_ACK, notify.data);
    }

    /// Any answer to a question that is open counts, whatever its number: some peers get that wrong.
    pub(crate) fn on_r_u_there_ack(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        notify: &NotifyPayload<'_>,
    ) {
        let Some(ike) = self.store.ikes.get(index) else { return };
        let asked = u32::from(ike.liveness.unanswered);
        let open = match sequence(notify) {
            Some(number) => ike.liveness.sequence.wrapping_sub(number) < asked.max(1),
            None => true,
        };
        if asked > 0 && open {
            // Not taken as a proof of place: with a lenient number it may be an old message.
            if let Some(ike) = self.store.ikes.get_mut(index) {
                ike.heard(cx.now);
            }
            self.refresh_ike(index);
        }
    }

    /// The peer has been silent for too long while we sent: asks it, or gives it up.
    pub(crate) fn dpd_due(&mut self, cx: &mut Context<'_>, index: u16) {
        let Some(ike) = self.store.ikes.get_mut(index) else { return };
        ike.liveness.due = None;
        let Some(dpd) = cx.config.peers.peer(ike.peer).and_then(|peer| peer.dpd) else { return };
        if ike.liveness.unanswered >= dpd.tries {
            return self.peer_dead(cx, index, dpd.action);
        }
        let sequence = ike.liveness.next_sequence(cx.rng.next_u32());
        ike.liveness.unanswered = ike.liveness.unanswered.saturating_add(1);
        ike.liveness.due = Some(cx.now.after(dpd.retry));
        let cookies = ike.cookies;
        self.send_probe(cx, index, cookies, NotifyType::R_U_THERE, &sequence.to_be_bytes());
        self.refresh_ike(index);
    }

    /// The peer did not answer: everything with it ends. Unless there is another IKE SA with it: the peer may not know this
    /// one, because the last message of its phase 1 was lost for good. Then it ends alone, and the other one is asked.
    fn peer_dead(&mut self, cx: &mut Context<'_>, index: u16, action: DpdAction) {
        let Some(ike) = self.store.ikes.get(index) else { return };
        let (owner, peer, path) = (ike.owner, ike.peer, ike.path);
        let another = self.store.ikes_by_owner.candidates(owner).find(|other| {
            let usable = |ike: &IkeSa| ike.owner == owner && ike.is_usable();
            *other != index && self.store.ikes.get(*other).is_some_and(usable)
        });
        if let Some(another) = another {
            let began_anew = self.heard_on_newer(index, another);
            self.end_ike(cx, index, DownReason::PeerDead);
            if began_anew {
                self.doubt_children(cx, another);
            }
            return self.ask_at_once(cx, another);
        }
        let mut lost: heapless::Vec<ChildId, WANTED> = heapless::Vec::new();
        let mut next = self.store.children_by_owner.candidates(owner).next();
        while let Some(child) = next {
            next = self.store.children_by_owner.behind(child);
            let live = |sa: &&ChildSa| sa.owner == owner && sa.is_live();
            let Some(sa) = self.store.children.get(child).filter(live) else { continue };
            let config = sa.config;
            if lost.contains(&config) || action == DpdAction::Clear {
                continue;
            }
            if lost.push(config).is_err() {
                let reason = Failure::Error(Capacity::ExchangesPerIkeSa.into());
                self.report(Some(peer), Some(config), Role::Initiator, path, reason);
            }
        }
        self.end_children_of(cx, owner, DownReason::PeerDead);
        let mut next = self.store.ikes_by_owner.candidates(owner).next();
        while let Some(other) = next {
            next = self.store.ikes_by_owner.behind(other);
            if self.store.ikes.get(other).is_some_and(|ike| ike.owner == owner) {
                self.end_ike(cx, other, DownReason::PeerDead);
            }
        }
        for child in lost {
            if let Err(error) = self.create_child(cx, peer, child, path) {
                let reason = match error {
                    ApiError::Capacity(capacity) => Error::from(capacity),
                    _ => Refusal::Unconfigured.into(),
                };
                let reason = Failure::Error(reason);
                self.report(Some(peer), Some(child), Role::Initiator, path, reason);
            }
        }
    }

    /// Whether the IKE SA `other` is newer than this one, and the peer was heard on it later: it has begun anew, say, and no
    /// INITIAL-CONTACT told of it.
    fn heard_on_newer(&self, this: u16, other: u16) -> bool {
        let ikes = &self.store.ikes;
        let heard = |index| ikes.get(index).map(|ike| ike.liveness.heard);
        ikes.serial(other) > ikes.serial(this) && heard(other) > heard(this)
    }

    /// Whether the peer still has the children from before this IKE SA, nobody knows: a renewal under it does no harm if it
    /// has, and heals it if not. Those that the peer itself has renewed meanwhile are retired.
    fn doubt_children(&mut self, cx: &Context<'_>, ike: u16) {
        let Some(owner) = self.store.ikes.get(ike).map(|ike| ike.owner) else { return };
        let begun = self.store.ikes.serial(ike);
        let mut next = self.store.children_by_owner.candidates(owner).next();
        while let Some(child) = next {
            next = self.store.children_by_owner.behind(child);
            let before = self.store.children.serial(child) < begun;
            let Some(sa) = self.store.children.get_mut(child) else { continue };
            if sa.owner != owner || !before || !sa.is_live() {
                continue;
            }
            match &mut sa.schedule.soft {
                Some(soft) => {
                    *soft = cx.now;
                    self.refresh_child(child);
                }
                None => self.retire_child(cx, child),
            }
        }
    }

    /// There is reason to doubt that the peer is alive.
    fn ask_at_once(&mut self, cx: &Context<'_>, index: u16) {
        let Some(ike) = self.store.ikes.get_mut(index) else { return };
        ike.worried(cx);
        if ike.liveness.worried_since.is_some() && ike.liveness.unanswered == 0 {
            ike.liveness.due = Some(cx.now);
        }
        self.refresh_ike(index);
    }

    fn send_probe(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        cookies: CookiePair,
        kind: NotifyType,
        data: &[u8],
    ) {
        let spi = cookies.to_spi();
        self.send_informational(cx, index, |message| {
            let notify = NotifyPayload {
                doi: Doi::IPSEC,
                protocol: ProtocolId::ISAKMP,
                spi: &spi,
                kind,
                data,
                offset: 0,
            };
            notify.emit(message)?;
            Ok(())
        });
    }

    /// RESPONDER-LIFETIME for phase 1: the IKE SA ends earlier than we proposed (RFC 2407 §4.6.3.1).
    pub(crate) fn on_phase1_lifetime(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        notify: &NotifyPayload<'_>,
    ) {
        let mut reader = LifetimeReader::default();
        for attribute in notify.attributes().flatten() {
            // Some peers write the numbers of phase 2 here (FortiGate): 1 and 2 there are 11 and 12 here.
            match attribute.kind {
                kind if kind == Phase1Attribute::LIFE_TYPE.0 || kind == 1 => {
                    reader.life_type(&attribute);
                }
                kind if kind == Phase1Attribute::LIFE_DURATION.0 || kind == 2 => {
                    reader.duration(&attribute);
                }
                _ => {}
            }
        }
        // It is for the initiator to learn. A message that was held back must not make the IKE SA live longer.
        let Some(ike) = self.store.ikes.get_mut(index) else { return };
        let wish = Wish::of_initiator(ike.lifetime, &cx.config.limits);
        let lifetime = wish.accept(reader.finish(ike.lifetime));
        if ike.role != Role::Initiator || lifetime == ike.lifetime {
            return;
        }
        ike.lifetime = lifetime;
        let before = ike.schedule;
        crate::phase1::schedule(cx, ike);
        ike.schedule = ike.schedule.earlier_of(before);
        self.refresh_ike(index);
    }
}

fn sequence(notify: &NotifyPayload<'_>) -> Option<u32> {
    <[u8; 4]>::try_from(notify.data).ok().map(u32::from_be_bytes)
}
