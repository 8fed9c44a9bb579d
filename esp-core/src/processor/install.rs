//! Policies and SAs put in, changed, saved and taken out.

use core::fmt;

use rand_core::CryptoRng;

use super::Processor;
use crate::spd::{Policy, SpdEntry};
use crate::tunnel::{Outer, TunnelOptions};
use crate::{InboundSa, OutboundSa, PolicyId, SaError, SaParams, Spi, StateError};

/// Why an SA or a policy is not installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstallError {
    /// The SA makes no sense.
    Sa(SaError),
    /// The state does not fit the SA.
    State(StateError),
    /// Every slot is in use.
    Full,
    /// Another inbound SA has this SPI.
    DuplicateSpi(Spi),
    /// Two entries of the policy have this number.
    DuplicatePolicy(PolicyId),
    /// This entry makes no sense: its selectors mix families, a range ends before it starts, a port is to be taken from packets
    /// that show none, or a DSCP is above 63.
    Selectors(PolicyId),
}

impl From<StateError> for InstallError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl From<SaError> for InstallError {
    fn from(error: SaError) -> Self {
        Self::Sa(error)
    }
}

impl fmt::Display for InstallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sa(error) => error.fmt(f),
            Self::State(error) => error.fmt(f),
            Self::Full => f.write_str("the table is full"),
            Self::DuplicateSpi(spi) => write!(f, "SPI {spi} is in use"),
            Self::DuplicatePolicy(id) => write!(f, "policy {} is there twice", id.0),
            Self::Selectors(id) => write!(f, "policy {} makes no sense", id.0),
        }
    }
}

impl core::error::Error for InstallError {}

impl Processor<'_> {
    /// Replaces the whole policy at once. SAs stay; those whose entry is gone carry nothing any more. Tunnel options
    /// of an entry are taken over by SAs that are installed later.
    ///
    /// # Errors
    /// If an entry makes no sense or there are too many; then nothing changes.
    pub fn set_policies(&mut self, entries: &[SpdEntry]) -> Result<(), InstallError> {
        self.spd.replace(entries)?;
        self.flows.forget();
        Ok(())
    }

    /// The policy, in its order.
    pub fn policies(&self) -> impl Iterator<Item = &SpdEntry> {
        self.spd.entries()
    }

    /// Installs an SA for what comes in. Older ones of the same policy stay, so that packets under way are not lost.
    ///
    /// # Errors
    /// If the SA makes no sense, its SPI is taken, or the table is full; then nothing changes.
    pub fn install_inbound(&mut self, params: SaParams) -> Result<(), InstallError> {
        self.sad.admits_inbound(params.spi)?;
        self.put_inbound(InboundSa::new(params)?)
    }

    fn put_inbound(&mut self, sa: InboundSa) -> Result<(), InstallError> {
        let ecn = self.tunnel_options(sa.association.policy).ecn;
        self.sad.install_inbound(sa.with(ecn))
    }

    /// Installs an SA for what goes out. It takes the place of the one with the same policy, selectors, DSCPs and mode, at once;
    /// other SAs of the policy stay beside it. Of several that fit a packet the one for just its hosts goes before one for
    /// networks, and the newer before the older.
    ///
    /// How it builds outer headers it takes from the policy as it is now: policies are set first. It does not inherit what
    /// [`Self::set_mtu`] said of its predecessor.
    ///
    /// # Errors
    /// If the SA makes no sense or the table is full; then nothing changes.
    pub fn install_outbound(
        &mut self,
        params: SaParams,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), InstallError> {
        let sa = OutboundSa::new(params, rng)?;
        self.put_outbound(sa)
    }

    fn put_outbound(&mut self, sa: OutboundSa) -> Result<(), InstallError> {
        let options = self.tunnel_options(sa.association.policy);
        let sa = sa.with(options, self.settings.framing);
        if self.sad.install_outbound(sa)? {
            self.flows.forget();
        }
        Ok(())
    }

    fn tunnel_options(&self, policy: PolicyId) -> TunnelOptions {
        match self.spd.by_id(policy).map(|entry| entry.policy) {
            Some(Policy::Protect(protect)) => protect.tunnel,
            _ => TunnelOptions::DEFAULT,
        }
    }

    /// Removes the inbound SA with this SPI; whether there was one. Its keys are wiped.
    pub fn remove_inbound(&mut self, spi: Spi) -> bool {
        self.sad.remove_inbound(spi)
    }

    /// Removes the outbound SA of this policy with this SPI; whether there was one. Its keys are wiped. Looks at every slot.
    pub fn remove_outbound(&mut self, policy: PolicyId, spi: Spi) -> bool {
        self.sad.remove_outbound(policy, spi)
    }

    /// Removes every SA, in both directions, that this owner installed; how many there were. Looks at every slot.
    pub fn remove_owner(&mut self, owner: u64) -> usize {
        self.sad.remove_owner(owner)
    }

    /// Sends the outbound SAs of `owner` to where the peer is seen now, a NAT having changed its ports (RFC 3948 §5);
    /// how many there are. Looks at every slot. `outer` is that of an [`Inbound::Deliver`](crate::Inbound::Deliver) with `advanced` set, and of no other packet.
    pub fn move_peer(&mut self, owner: u64, outer: Outer) -> usize {
        self.sad.move_peer(owner, outer.remote, outer.encap)
    }

    /// Sets the largest outer packet, in bytes, of `owner`'s outbound SAs, 0 meaning no limit; how many there are. Looks at
    /// every slot.
    pub fn set_mtu(&mut self, owner: u64, mtu: u16) -> usize {
        self.sad.set_mtu(owner, mtu)
    }

    /// Whether an inbound SA has this SPI, which a new one then cannot have: the look-up of every ESP packet, by itself.
    #[must_use]
    pub fn spi_in_use(&self, spi: Spi) -> bool {
        self.sad.inbound_slot(spi).is_some()
    }

    /// The inbound SA with this SPI.
    #[must_use]
    pub fn inbound_sa(&self, spi: Spi) -> Option<&InboundSa> {
        self.sad.inbound(self.sad.inbound_slot(spi)?)
    }

    /// The inbound SAs, in no order, for status programs: [`InboundSa::association`], [`InboundSa::counters`].
    pub fn inbound_sas(&self) -> impl Iterator<Item = &InboundSa> {
        self.sad.inbound_sas()
    }

    /// The outbound SAs, in no order: [`OutboundSa::association`], [`OutboundSa::counters`].
    pub fn outbound_sas(&self) -> impl Iterator<Item = &OutboundSa> {
        self.sad.outbound_sas()
    }

    /// The state of `owner`'s outbound SA for a restart ([`OutboundSa::export`]); `None` if it has none. Looks at every
    /// slot.
    pub fn export_outbound(
        &mut self,
        owner: u64,
        reserve: u64,
        generation: u64,
    ) -> Option<[u8; OutboundSa::STATE_LEN]> {
        let slot = self.sad.outbound_of(owner)?;
        let state = self.sad.outbound_mut(slot)?.export(reserve, generation);
        // That the last reservation ran low is over: the next can, and is told, even if one batch spends it.
        self.sad.note_outbound(slot);
        Some(state)
    }

    /// Installs an outbound SA that goes on from an exported state ([`OutboundSa::import`]).
    ///
    /// # Errors
    /// As [`Self::install_outbound`], and if the state does not fit; then nothing changes.
    pub fn import_outbound(
        &mut self,
        params: SaParams,
        state: &[u8],
        generation: u64,
        rng: &mut dyn CryptoRng,
    ) -> Result<(), InstallError> {
        let sa = OutboundSa::import(params, state, generation, rng)?;
        self.put_outbound(sa)
    }

    /// Installs an inbound SA that goes on from an exported state ([`InboundSa::import`]).
    ///
    /// # Errors
    /// As [`Self::install_inbound`], and if the state does not fit; then nothing changes.
    pub fn import_inbound(
        &mut self,
        params: SaParams,
        state: &[u8],
        generation: u64,
        skipped: u64,
    ) -> Result<(), InstallError> {
        self.sad.admits_inbound(params.spi)?;
        self.put_inbound(InboundSa::import(params, state, generation, skipped)?)
    }
}
