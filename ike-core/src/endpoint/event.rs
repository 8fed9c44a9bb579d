//! What the engine tells the host. `Copy`, and never a secret inside.

use esp_core::{PolicyId, Spi};

use crate::endpoint::Path;
use crate::endpoint::config::{ChildId, PeerId};
use crate::error::Failure;
use crate::wire::numbers::NotifyType;

/// Which end began an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// We did.
    Initiator,
    /// The peer did.
    Responder,
}

impl core::fmt::Display for Role {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Initiator => "initiator",
            Self::Responder => "responder",
        })
    }
}

/// Names an IKE SA. Stale handles are recognised: a slot that is used again has another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IkeSaHandle {
    pub(crate) index: u16,
    pub(crate) generation: u32,
}

/// Names a pair of child SAs. Stale handles are recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ChildSaHandle {
    pub(crate) index: u16,
    pub(crate) generation: u32,
}

impl ChildSaHandle {
    /// The handle as a number: what the engine writes into [`esp_core::SaParams::owner`].
    #[must_use]
    pub const fn to_owner(self) -> u64 {
        ((self.generation as u64) << 16) | self.index as u64
    }

    /// The handle that [`Self::to_owner`] made into `owner`.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "takes the two fields apart")]
    pub const fn from_owner(owner: u64) -> Self {
        Self { index: owner as u16, generation: (owner >> 16) as u32 }
    }
}

/// Something happened. For one SA the order is: ready, replaced, down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// Phase 1 is done: the peer is authenticated.
    IkeSaUp {
        /// The new IKE SA.
        ike: IkeSaHandle,
        /// With whom.
        peer: PeerId,
        /// Who began.
        role: Role,
        /// Where it is.
        path: Path,
    },
    /// An IKE SA took the place of another; the children go on.
    IkeSaReplaced {
        /// The one that goes.
        old: IkeSaHandle,
        /// The one that stays.
        new: IkeSaHandle,
    },
    /// An IKE SA ended. Its keys are gone.
    IkeSaDown {
        /// Which one.
        ike: IkeSaHandle,
        /// With whom.
        peer: PeerId,
        /// Why.
        reason: DownReason,
    },
    /// Both directions are agreed and the inbound one must be installed now: [`take_inbound`], or [`reject_child`].
    /// The message that lets the peer send waits for it.
    ///
    /// [`take_inbound`]: crate::Endpoint::take_inbound
    /// [`reject_child`]: crate::Endpoint::reject_child
    ChildSaReady {
        /// The new pair.
        child: ChildSaHandle,
        /// With whom.
        peer: PeerId,
        /// Which entry of the peer's configuration.
        config: ChildId,
        /// The policy it serves.
        policy: PolicyId,
        /// Who began.
        role: Role,
        /// Our SPI.
        inbound: Spi,
        /// The peer's SPI.
        outbound: Spi,
        /// The pair it will replace, if it is a rekey.
        replaces: Option<ChildSaHandle>,
    },
    /// The outbound SA may be used now: [`take_outbound`](crate::Endpoint::take_outbound).
    ChildSaOutbound {
        /// Which pair.
        child: ChildSaHandle,
    },
    /// Our outbound SA must not be used any more (the peer deleted it), the inbound one still receives.
    ChildSaOutboundGone {
        /// Which pair.
        child: ChildSaHandle,
        /// The policy it serves.
        policy: PolicyId,
        /// The SPI to remove.
        outbound: Spi,
    },
    /// A pair of child SAs ended: remove both directions.
    ChildSaDown {
        /// Which pair.
        child: ChildSaHandle,
        /// With whom.
        peer: PeerId,
        /// Which entry of the peer's configuration.
        config: ChildId,
        /// Our SPI.
        inbound: Spi,
        /// The peer's SPI.
        outbound: Spi,
        /// Why.
        reason: DownReason,
    },
    /// The peer is seen at another address or port: outbound SAs must follow.
    PathChanged {
        /// Which IKE SA; all children of its peer are meant.
        ike: IkeSaHandle,
        /// With whom.
        peer: PeerId,
        /// Where it is now.
        path: Path,
    },
    /// A notify that may explain something, and changes nothing: it came in the clear, where anybody can have sent it, or
    /// it says that the peer received ESP for an SPI that it does not know. At most one a second.
    Hint {
        /// The IKE SA it names.
        ike: IkeSaHandle,
        /// With whom.
        peer: PeerId,
        /// What it says.
        notify: NotifyType,
        /// Whether it came under the protection of the IKE SA.
        authenticated: bool,
    },
    /// An exchange ended without what it was for; nothing that was up has been touched.
    Failed {
        /// With whom, if that is known.
        peer: Option<PeerId>,
        /// For which child, if it was a quick mode.
        child: Option<ChildId>,
        /// Who began.
        role: Role,
        /// Where the peer is.
        path: Path,
        /// Why, with the attribute or selector that did not match.
        reason: Failure,
    },
}

/// Why an SA ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DownReason {
    /// The host asked for it.
    Requested,
    /// The peer sent a Delete.
    PeerDeleted,
    /// Its hard lifetime ran out: seconds, or the kilobytes of an IKE SA. The bytes and packets of a child the data plane
    /// counts; the host then deletes it.
    Expired,
    /// A successor is up and the overlap is over.
    Replaced,
    /// The peer did not answer dead peer detection.
    PeerDead,
    /// The peer began anew (INITIAL-CONTACT).
    InitialContact,
    /// The peer is not in the configuration any more.
    Unconfigured,
    /// The host rejected it.
    Rejected,
    /// The exchange it came from failed after the SA had been shown.
    Failed(Failure),
}

impl core::fmt::Display for DownReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Requested => "asked for",
            Self::PeerDeleted => "deleted by the peer",
            Self::Expired => "its lifetime ran out",
            Self::Replaced => "replaced",
            Self::PeerDead => "the peer is dead",
            Self::InitialContact => "the peer began anew",
            Self::Unconfigured => "the peer is not configured any more",
            Self::Rejected => "rejected",
            Self::Failed(failure) => return failure.fmt(f),
        })
    }
}

/// What the data plane has seen of a pair of child SAs since it was last told: what DPD, keepalives and the switch
/// to a new outbound SA need to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Packets that passed `open`.
    pub received: bool,
    /// Packets that were sealed.
    pub sent: bool,
}
