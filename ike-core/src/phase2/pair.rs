//! The pair of child SAs that a quick mode makes: keys for both directions, and which other pairs it stands beside.

use esp_core::KeyMaterial;

use crate::child_sa::{self, ChildSa, Outbound};
use crate::config::ChildId;
use crate::endpoint::{Context, Endpoint};
use crate::error::{Capacity, Error, PeerMisbehaved};
use crate::event::{ChildSaHandle, Role};
use crate::keys::derive_keymat;
use crate::lifetime;
use crate::phase2::quick_mode::NoncePair;
use crate::protect::Algorithms;
use crate::wire::numbers::ProtocolId;

impl Endpoint<'_> {
    /// Both sides agree: the keys of both directions are derived, and the host is told.
    pub(super) fn child_agreed(
        &mut self,
        cx: &mut Context<'_>,
        index: u16,
        nonces: NoncePair,
        shared: &[u8],
    ) -> Result<(), Error> {
        let exchange = self.store.exchanges.get(index).ok_or(Capacity::Exchanges)?;
        let (child_index, _) = exchange.child.ok_or(Capacity::ChildSas)?;
        let ike = self.store.ikes.get(exchange.ike.0).ok_or(Capacity::IkeSas)?;
        let algorithms = Algorithms::of_sa(cx.config, ike)?;
        let sa = self.store.children.get_mut(child_index).ok_or(Capacity::ChildSas)?;
        let nonces = nonces.of(self.store.buffers.held(index));
        #[cfg(feature = "legacy")]
        if cx.config.peers.peer(sa.peer).is_some_and(|peer| peer.quirks.sha256_96) {
            sa.suite = sa.suite.with_sha256_96();
        }
        let transform = sa.suite.transform().ok_or(Capacity::Algorithm)?;
        let len = transform.key_material_len();
        let outbound = sa.outbound.ok_or(PeerMisbehaved::Spi)?;
        for (spi, keys) in [(sa.inbound, &mut sa.keys_in), (outbound, &mut sa.keys_out)] {
            *keys = KeyMaterial::zeroed(len).ok_or(Capacity::Algorithm)?;
            let (prf, protocol) = (algorithms.prf, ProtocolId::ESP);
            derive_keymat(prf, &ike.skeyid, shared, protocol, spi, nonces, keys);
        }
        sa.soft_percent = lifetime::soft_percent(&cx.config.timing, sa.role, cx.rng);
        sa.schedule = lifetime::schedule(&cx.config.timing, sa.role, sa.lifetime, cx.now, cx.rng);
        sa.since = Some(cx.now);
        sa.phase = child_sa::Phase::Ready;
        sa.pending.ready = true;
        let wait = if sa.replaces.is_some() {
            cx.config.timing.outbound_switch
        } else {
            cx.config.timing.outbound_first
        };
        // A renewal goes this way without a wait, too: who moves to the new pair gives up the old one.
        if sa.role == Role::Initiator && (sa.replaces.is_some() || !wait.is_zero()) {
            sa.use_outbound = Outbound::From(cx.now.after(wait));
        }
        self.store.children.pending.push(child_index);
        self.stats.child_sas_up = self.stats.child_sas_up.saturating_add(1);
        self.refresh_child(child_index);
        Ok(())
    }

    /// The newest child of an owner and a configuration that `matches`.
    pub(crate) fn child_of(
        &self,
        owner: u64,
        config: ChildId,
        matches: impl Fn(&ChildSa) -> bool,
    ) -> Option<ChildSaHandle> {
        self.children_of(owner, config, matches).max_by_key(|child| child.generation)
    }

    /// The oldest live pair of the same child: what a quick mode that the peer begins renews.
    pub(super) fn oldest_child_of(&self, owner: u64, config: ChildId) -> Option<ChildSaHandle> {
        self.children_of(owner, config, ChildSa::is_live).min_by_key(|child| child.generation)
    }

    fn children_of(
        &self,
        owner: u64,
        config: ChildId,
        matches: impl Fn(&ChildSa) -> bool,
    ) -> impl Iterator<Item = ChildSaHandle> {
        self.store.children_by_owner.candidates(owner).filter_map(move |index| {
            let sa = self.store.children.get(index)?;
            let found = sa.owner == owner && sa.config == config && matches(sa);
            self.child_handle(index).filter(|_| found)
        })
    }
}
