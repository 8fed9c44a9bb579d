//! What the host can ask for.

use crate::child_sa;
use crate::config::{ChildId, PeerConfig, PeerId, Phase1Mode};
use crate::endpoint::{Context, Endpoint, Path};
use crate::error::{ApiError, Capacity, Error, Refusal};
use crate::event::{ChildSaHandle, DownReason, IkeSaHandle, Role};
use crate::ike_sa::{IkeSa, Phase};
use crate::phase1::negotiate::{Suite, is_known};
use crate::phase2::negotiate;
use crate::wire::numbers::ProtocolId;

impl Endpoint<'_> {
    /// Begins phase 1 with a peer, whether or not there is an IKE SA with it. `path` says from which socket to which address.
    /// [`Self::create_child`] does it where it is needed.
    ///
    /// # Errors
    ///
    /// If the configuration cannot work or there is no room.
    pub fn initiate(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        path: Path,
    ) -> Result<IkeSaHandle, ApiError> {
        let peer = cx.config.peers.peer(peer).ok_or(ApiError::NoSuchPeer)?;
        self.initiate_peer(cx, &peer, path)
    }

    fn initiate_peer(
        &mut self,
        cx: &mut Context<'_>,
        peer: &PeerConfig<'_>,
        path: Path,
    ) -> Result<IkeSaHandle, ApiError> {
        if path.local.is_ipv4() != path.remote.is_ipv4() {
            return Err(ApiError::Path);
        }
        if peer.remote.specificity(path.remote.ip()).is_none() {
            return Err(ApiError::Path);
        }
        if peer.proposals.is_empty() {
            return Err(ApiError::NoProposals);
        }
        if !peer.proposals.iter().all(|suite| is_known(cx.config.crypto, Suite::from(*suite))) {
            return Err(ApiError::UnknownAlgorithm);
        }
        match peer.exchange {
            Phase1Mode::Main => self.main_mode_initiate(cx, peer, path),
            Phase1Mode::Aggressive => self.aggressive_initiate(cx, peer, path),
        }
    }

    /// Sets up a child: quick mode under the newest IKE SA with the peer, and phase 1 before it if there is none. It does
    /// no harm to ask again: a child that is up, or on its way, stays alone.
    ///
    /// # Errors
    ///
    /// If the configuration cannot work or there is no room.
    pub fn create_child(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        child: ChildId,
        path: Path,
    ) -> Result<(), ApiError> {
        let config = cx.config.peers.peer(peer).ok_or(ApiError::NoSuchPeer)?;
        let child_config = config.child(child).ok_or(ApiError::NoSuchChild)?;
        if child_config.proposals.is_empty() {
            return Err(ApiError::NoProposals);
        }
        if !child_config.proposals.iter().all(negotiate::is_known) {
            return Err(ApiError::UnknownAlgorithm);
        }
        let digest = self.digests.of_address(crate::digest::Kind::Peer, peer.0, path.remote.ip());
        let newest = |matches: fn(&IkeSa) -> bool| {
            self.store
                .ikes_by_peer
                .candidates(digest)
                .filter(|index| {
                    self.store.ikes.get(*index).is_some_and(|ike| {
                        ike.peer == peer && ike.path.remote.ip() == path.remote.ip() && matches(ike)
                    })
                })
                .max_by_key(|index| self.store.ikes.serial(*index))
        };
        if let Some(index) = newest(IkeSa::is_usable) {
            let owner = self.store.ikes.get(index).map_or(0, |ike| ike.owner);
            // A pair that only receives is no help to a host that wants to send.
            let carries = |sa: &child_sa::ChildSa| {
                sa.is_live() && sa.use_outbound != child_sa::Outbound::Redundant
            };
            if self.child_of(owner, child, carries).is_some() {
                return Ok(());
            }
            return self
                .begin_quick_mode(cx, index, child, None)
                .map(|_| ())
                .map_err(|error| api_error(&error));
        }
        // Anybody can have begun one in the peer's name: only one of our own is worth waiting for.
        let begun = |ike: &IkeSa| ike.phase == Phase::HalfOpen && ike.role == Role::Initiator;
        let index = match newest(begun) {
            Some(index) => index,
            None => self.initiate_peer(cx, &config, path)?.index,
        };
        let Some(ike) = self.store.ikes.get_mut(index) else { return Err(ApiError::Stale) };
        if !ike.wanted.contains(&child) {
            ike.wanted.push(child).map_err(|_| ApiError::Capacity(Capacity::ExchangesPerIkeSa))?;
        }
        Ok(())
    }

    /// Renews a pair of child SAs: a new pair is up before the old one goes.
    ///
    /// # Errors
    ///
    /// [`ApiError::Stale`] if the pair is not up any more; otherwise as [`Self::create_child`].
    pub fn rekey_child(
        &mut self,
        cx: &mut Context<'_>,
        child: ChildSaHandle,
    ) -> Result<(), ApiError> {
        let sa = self.child(child).ok_or(ApiError::Stale)?;
        if sa.phase != child_sa::Phase::Up {
            return Err(ApiError::Stale);
        }
        if self.is_being_replaced(sa) {
            return Ok(());
        }
        let (peer, config, path) = (sa.peer, sa.config, sa.path);
        let Some(ike) = self.ike_of_child(child.index) else {
            // No IKE SA is left: a new phase 1, and behind it the quick mode.
            return self.create_child_anew(cx, peer, config, path);
        };
        self.begin_quick_mode(cx, ike, config, Some(child))
            .map(|_| ())
            .map_err(|error| api_error(&error))
    }

    /// Whether a pair is there, or under way, that is to replace this one. One that was, and is gone, does not count.
    fn is_being_replaced(&self, sa: &child_sa::ChildSa) -> bool {
        sa.successor
            .and_then(|new| self.child(new))
            .is_some_and(|new| new.phase == child_sa::Phase::Negotiating || new.is_live())
    }

    /// Phase 1 for a peer that has children and no IKE SA.
    fn create_child_anew(
        &mut self,
        cx: &mut Context<'_>,
        peer: PeerId,
        child: ChildId,
        path: Path,
    ) -> Result<(), ApiError> {
        let config = cx.config.peers.peer(peer).ok_or(ApiError::NoSuchPeer)?;
        config.child(child).ok_or(ApiError::NoSuchChild)?;
        self.create_child(cx, peer, child, path)
    }

    /// Renews an IKE SA: a new phase 1 takes over the children, then the old one is deleted.
    ///
    /// # Errors
    ///
    /// [`ApiError::Stale`], [`ApiError::NotEstablished`], or as [`Self::initiate`].
    pub fn rekey_ike(&mut self, cx: &mut Context<'_>, ike: IkeSaHandle) -> Result<(), ApiError> {
        let sa = self.ike(ike).ok_or(ApiError::Stale)?;
        if !sa.is_usable() {
            return Err(ApiError::NotEstablished);
        }
        self.renew_ike(cx, ike.index)
    }

    /// Ends a pair of child SAs and tells the peer.
    ///
    /// Nothing answers a Delete (RFC 2408 §3.15). Should it be lost, the peer sends into nothing until its own pair is
    /// renewed or at its end: no probe shows it, since the IKE SA is well, and an INVALID-SPI of ours would be a hint and no
    /// more. The data plane counts such packets as of an unknown SPI; a host that sees them go on may delete the IKE SA, whose
    /// Deletes go twice.
    ///
    /// # Errors
    ///
    /// [`ApiError::Stale`].
    pub fn delete_child(
        &mut self,
        cx: &mut Context<'_>,
        child: ChildSaHandle,
    ) -> Result<(), ApiError> {
        let sa = self.child(child).ok_or(ApiError::Stale)?;
        if matches!(sa.phase, child_sa::Phase::Down(_)) {
            return Err(ApiError::Stale);
        }
        let (inbound, negotiating) = (sa.inbound, sa.phase == child_sa::Phase::Negotiating);
        if negotiating {
            if let Some(exchange) = sa.exchange {
                self.fail_exchange(cx, exchange, crate::error::Failure::Cancelled);
            }
            return Ok(());
        }
        if let Some(ike) = self.ike_of_child(child.index) {
            self.send_delete_child(cx, ike, inbound);
        }
        self.end_child(child.index, DownReason::Requested);
        Ok(())
    }

    /// Ends an IKE SA and tells the peer. The children of its peer end with the newest IKE SA there is with it, and the peer
    /// is told of each; while there is a newer one they go on under that.
    ///
    /// # Errors
    ///
    /// [`ApiError::Stale`].
    pub fn delete_ike(&mut self, cx: &mut Context<'_>, ike: IkeSaHandle) -> Result<(), ApiError> {
        let sa = self.ike(ike).ok_or(ApiError::Stale)?;
        if matches!(sa.phase, Phase::Down(_)) {
            return Err(ApiError::Stale);
        }
        self.delete_all(cx, ike.index, DownReason::Requested);
        Ok(())
    }

    /// The host does not want the pair of an [`Event::ChildSaReady`](crate::event::Event::ChildSaReady), or cannot use it
    /// after all: it ends, and the peer is told. A message that would complete it is not sent.
    ///
    /// # Errors
    ///
    /// [`ApiError::Stale`] if the pair is not up, or about to be.
    pub fn reject_child(
        &mut self,
        cx: &mut Context<'_>,
        child: ChildSaHandle,
    ) -> Result<(), ApiError> {
        let sa = self.child(child).filter(|sa| sa.is_live()).ok_or(ApiError::Stale)?;
        let inbound = sa.inbound;
        // An initiator that waits for our answer knows of nothing that a Delete could name, and asks again and again.
        let asked = sa.outbound.filter(|_| sa.role == Role::Responder && sa.exchange.is_some());
        if let Some(ike) = self.ike_of_child(child.index) {
            if let (Some(spi), Some(notify)) = (asked, Error::from(Refusal::Rejected).notify()) {
                self.notify_peer(cx, ike, notify, (ProtocolId::ESP, &spi.to_be_bytes()));
            }
            self.send_delete_child(cx, ike, inbound);
        }
        self.end_child(child.index, DownReason::Rejected);
        Ok(())
    }

    /// Ends an IKE SA and the children of its owner, with Deletes.
    pub(crate) fn delete_all(&mut self, cx: &mut Context<'_>, index: u16, reason: DownReason) {
        let Some(handle) = self.ike_handle(index) else { return };
        if let Some(renewal) = self.renewal_of(handle) {
            self.end_ike(cx, renewal, reason);
        }
        let Some(ike) = self.store.ikes.get(index) else { return };
        if ike.is_established() {
            let owner = ike.owner;
            // Other IKE SAs with the same peer keep its children.
            let last = self.newest_ike_of(owner).is_none_or(|newest| newest == index);
            if last {
                self.send_delete_children(cx, index, owner);
                self.end_children_of(cx, owner, reason);
            }
            self.send_delete_ike(cx, index);
        }
        self.end_ike(cx, index, reason);
    }

    /// The soft lifetime of a pair is over.
    pub(crate) fn renew_child(&mut self, cx: &mut Context<'_>, index: u16) {
        if let Some(ike) = self.ike_of_child(index)
            && self.configured(cx, ike).is_none()
        {
            return;
        }
        if let Some(child) = self.child_handle(index) {
            // What fails here is tried again a little later.
            let _ = self.rekey_child(cx, child);
        }
    }

    /// The soft lifetime of an IKE SA is over.
    pub(crate) fn renew_ike(&mut self, cx: &mut Context<'_>, index: u16) -> Result<(), ApiError> {
        let Some(peer) = self.configured(cx, index) else { return Err(ApiError::NoSuchPeer) };
        let old = self.ike_handle(index).ok_or(ApiError::Stale)?;
        let ike = self.store.ikes.get(index).ok_or(ApiError::Stale)?;
        let (path, owner) = (ike.path, ike.owner);
        // One successor is enough, whoever began it.
        if self.newest_ike_of(owner) != Some(index) || self.renewal_of(old).is_some() {
            return Ok(());
        }
        let new = self.initiate_peer(cx, &peer, path)?;
        if let Some(ike) = self.store.ikes.get_mut(new.index) {
            ike.replaces = Some(old);
        }
        Ok(())
    }

    /// The phase 1 under way that is to renew `old`.
    fn renewal_of(&self, old: IkeSaHandle) -> Option<u16> {
        let renews = |ike: &IkeSa| ike.phase == Phase::HalfOpen && ike.replaces == Some(old);
        self.store.ikes.iter().find(|(_, ike)| renews(ike)).map(|(index, _)| index)
    }
}

fn api_error(error: &Error) -> ApiError {
    match error {
        Error::Capacity(capacity) => ApiError::Capacity(*capacity),
        _ => ApiError::NoSuchChild,
    }
}
