//! The end of phase 1: the IKE SA is up, takes over the children of its peer, and begins what waited for it.

use crate::child_sa;
use crate::endpoint::{Context, Endpoint, Path};
use crate::error::Failure;
use crate::ike_sa::Phase;
use crate::lifetime::emit_responder_lifetime;
use crate::phase1::auth::Authenticated;
use crate::phase1::schedule;
use crate::wire::numbers::ProtocolId;

impl Endpoint<'_> {
    /// The peer is authenticated, by `proof`: the IKE SA is established. `path` is where it is.
    pub(crate) fn establish(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        path: Path,
        proof: Authenticated,
    ) {
        let owner = proof.owner();
        let handle = self.ike_handle(index);
        let up_serial = self.next_serial();
        let Some(ike) = self.store.ikes.get(index) else { return };
        let old_digest = ike.peer_digest(&self.digests);
        self.store.ikes_by_peer.remove(old_digest, index);
        let Some(ike) = self.store.ikes.get_mut(index) else { return };
        ike.phase = Phase::Established;
        ike.peer = owner.peer;
        ike.owner = owner.owner;
        ike.identity = proof.into_identity();
        ike.up_serial = up_serial;
        ike.since = Some(cx.now);
        ike.path = path;
        ike.pending.up = true;
        ike.skeyid.forget_phase1();
        ike.heard(cx.now);
        schedule(cx, ike);
        // Only the side behind the NAT has a mapping to keep (RFC 3948 §4).
        ike.keepalive =
            (ike.nat.local_behind && path.encap).then(|| cx.config.timing.next_keepalive(cx.now));
        let peer_digest = ike.peer_digest(&self.digests);
        let replaces = ike.replaces.take();
        self.store.ikes_by_peer.insert(peer_digest, index);
        self.store.ikes_by_owner.insert(owner.owner, index);
        self.store.ikes.pending.push(index);
        self.stats.ike_sas_up = self.stats.ike_sas_up.saturating_add(1);
        self.adopt_children(index, path, owner.owner);
        if let (Some(old), Some(new)) = (replaces, handle)
            && self.ike(old).is_some_and(|old| old.owner == owner.owner)
        {
            if let Some(sa) = self.store.ikes.get_mut(old.index) {
                sa.replaced_by = Some(new);
                sa.pending.replaced = Some(new);
                // Exchanges under way finish on the old one; then it is deleted.
                sa.schedule.soft = None;
                let end = cx.now.after(cx.config.timing.overlap);
                sa.schedule.hard = Some(sa.schedule.hard.map_or(end, |hard| hard.min(end)));
            }
            self.store.ikes.pending.push(old.index);
            self.refresh_ike(old.index);
        }
        self.refresh_ike(index);
        self.tell_lifetime(cx, index);
        self.begin_wanted(cx, index);
    }

    /// The children of a peer outlive the phase 1 they came from: the newest IKE SA speaks for them.
    /// Where UDP carries their packets, they follow it to where the peer is now.
    fn adopt_children(&mut self, index: u16, path: Path, owner: u64) {
        let Some(serial) = self.store.ikes.serial(index) else { return };
        let mut moved = false;
        let mut next = self.store.children_by_owner.candidates(owner).next();
        while let Some(child) = next {
            if let Some(sa) = self.store.children.get_mut(child)
                && sa.owner == owner
                && sa.phase != child_sa::Phase::Negotiating
            {
                sa.ike = (index, serial);
                if sa.encap && path.encap && sa.path != path {
                    sa.path = path;
                    moved = true;
                }
            }
            next = self.store.children_by_owner.behind(child);
        }
        if let Some(ike) = self.store.ikes.get_mut(index) {
            ike.pending.path |= moved;
        }
    }

    /// As responder that gives less than the initiator proposed: says so.
    fn tell_lifetime(&mut self, cx: &mut Context<'_>, index: u16) {
        let Some(ike) = self.store.ikes.get_mut(index) else { return };
        if !core::mem::take(&mut ike.tell_lifetime) {
            return;
        }
        let (spi, lifetime) = (ike.cookies.to_spi(), ike.lifetime);
        self.send_informational(cx, index, |message| {
            emit_responder_lifetime(message, ProtocolId::ISAKMP, &spi, lifetime)
        });
    }

    /// Begins the quick modes that waited for the IKE SA.
    fn begin_wanted(&mut self, cx: &mut Context<'_>, index: u16) {
        let Some(ike) = self.store.ikes.get_mut(index) else { return };
        let wanted = core::mem::take(&mut ike.wanted);
        let (peer, role, path, owner) = (ike.peer, ike.role, ike.path, ike.owner);
        for child in wanted {
            let replaces = self.child_of(owner, child, |sa| sa.is_live());
            if let Err(error) = self.begin_quick_mode(cx, index, child, replaces) {
                self.report(Some(peer), Some(child), role, path, Failure::Error(error));
            }
        }
    }
}
