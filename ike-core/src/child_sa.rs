//! A pair of child SAs: what one quick mode agrees on, and its life until both directions are gone.
//!
//! ```text
//! Negotiating ──► Ready ──► Up ──► Replaced ──► Down
//!      │            │       (inbound taken;    (a successor is up,
//!      │            │        outbound usable    inbound lingers for packets in flight)
//!      ▼            ▼        by its own rules)
//!   released      Down
//! ```

use esp_core::{
    DscpSet, Encap, KeyMaterial, Limit, Mode, PolicyId, SaParams, Spi, TrafficSelectors,
};

use crate::config::{ChildId, Lifetime, PeerId};
use crate::digest::{Digests, Kind};
use crate::endpoint::Path;
use crate::event::{ChildSaHandle, DownReason, Role};
use crate::lifetime::Schedule;
use crate::phase2::negotiate::EspSuite;
use crate::time::Instant;

/// How far a pair is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In quick mode; the host does not know of it.
    Negotiating,
    /// Agreed; the host has to take the inbound SA.
    Ready,
    /// The inbound SA is installed.
    Up,
    /// A successor carries the traffic; this one still receives.
    Replaced,
    /// Over; the host has still to read of it.
    Down(DownReason),
}

/// What is waiting to be told to the host, in this order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) ready: bool,
    pub(crate) outbound: bool,
    pub(crate) gone: bool,
    pub(crate) down: bool,
}

/// When the outbound SA may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outbound {
    /// Not agreed yet, or quick mode has not come that far.
    Early,
    /// An initiator of a rekey waits: for a packet on the new pair, or for this moment.
    From(Instant),
    /// The host may take it.
    Usable,
    /// The host has taken it.
    Taken,
    /// A newer pair of the same child carries the traffic: the host has given this SA up for it, or is not offered it.
    Redundant,
    /// The peer has deleted it.
    Gone,
}

/// A slot's content.
#[derive(Debug)]
pub(crate) struct ChildSa {
    pub(crate) phase: Phase,
    pub(crate) role: Role,
    pub(crate) peer: PeerId,
    pub(crate) owner: u64,
    pub(crate) config: ChildId,
    pub(crate) policy: PolicyId,
    /// The IKE SA that speaks for it now: slot and serial.
    pub(crate) ike: (u16, u32),
    /// The quick mode that made it, while that is there.
    pub(crate) exchange: Option<u16>,
    pub(crate) inbound: Spi,
    pub(crate) outbound: Option<Spi>,
    pub(crate) suite: EspSuite,
    pub(crate) mode: Mode,
    pub(crate) selectors: TrafficSelectors,
    pub(crate) replay_window: u16,
    pub(crate) path: Path,
    /// UDP encapsulation.
    pub(crate) encap: bool,
    pub(crate) lifetime: Lifetime,
    /// Share of the bytes after which it is renewed, in hundredths of a percent.
    pub(crate) soft_percent: u32,
    /// Empty once they have been taken.
    pub(crate) keys_in: KeyMaterial,
    pub(crate) keys_out: KeyMaterial,
    pub(crate) use_outbound: Outbound,
    pub(crate) schedule: Schedule,
    /// When it was agreed.
    pub(crate) since: Option<Instant>,
    /// The pair that this one is to replace.
    pub(crate) replaces: Option<ChildSaHandle>,
    /// A quick mode is under way that replaces this one, or has done so.
    pub(crate) successor: Option<ChildSaHandle>,
    pub(crate) pending: Pending,
}

impl ChildSa {
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self.phase {
            Phase::Negotiating | Phase::Down(_) => None,
            Phase::Ready | Phase::Up | Phase::Replaced => {
                let switch = match self.use_outbound {
                    Outbound::From(at) => Some(at),
                    _ => None,
                };
                [self.schedule.soft, self.schedule.hard, switch].into_iter().flatten().min()
            }
        }
    }

    /// Whether it carries traffic, or is about to.
    pub(crate) const fn is_live(&self) -> bool {
        matches!(self.phase, Phase::Ready | Phase::Up)
    }

    /// What the data plane gets for one direction.
    pub(crate) fn params(&self, spi: Spi, keys: KeyMaterial, owner: u64) -> Option<SaParams> {
        let encap = if self.encap {
            Encap::Udp { local_port: self.path.local.port(), remote_port: self.path.remote.port() }
        } else {
            Encap::None
        };
        let bytes = match self.lifetime.kilobytes {
            0 => u64::MAX,
            kilobytes => u64::from(kilobytes).saturating_mul(1024),
        };
        let soft = match bytes {
            u64::MAX => u64::MAX,
            bytes => bytes.saturating_mul(u64::from(self.soft_percent)) / 10_000,
        };
        Some(SaParams {
            spi,
            mode: self.mode,
            local: self.path.local.ip(),
            remote: self.path.remote.ip(),
            encap,
            transform: self.suite.transform()?,
            keys,
            esn: self.suite.esn,
            replay_window: self.replay_window,
            lifetime: esp_core::Lifetime {
                soft: Limit { bytes: soft, packets: u64::MAX },
                hard: Limit { bytes, packets: u64::MAX },
            },
            selectors: self.selectors,
            dscp: DscpSet::ALL,
            policy: self.policy,
            owner,
        })
    }

    pub(crate) fn spi_digest(&self, digests: &Digests) -> u64 {
        digests.of(Kind::Spi, &[&self.inbound.to_be_bytes()])
    }
}
