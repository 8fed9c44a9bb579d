//! What becomes of packets, and the counters of it.

use crate::inbound::{Located, OpenError};
use crate::packet::NoRoom;
use crate::tunnel::Outer;
use crate::{PolicyId, SealError};

/// What is to be done with an outgoing packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Outbound {
    /// Send what is in the buffer now.
    Send {
        /// Whom to, and what the outer header should carry where the host writes it.
        outer: Outer,
        /// The key manager's name of the SA.
        owner: u64,
    },
    /// Send the packet as it is.
    Bypass,
    /// Drop it.
    Discard(Discard),
    /// Policy says protect and there is no SA: the packet is untouched, and the host may keep it and try again when
    /// an SA was installed. An [`Notice::Acquire`](crate::Notice::Acquire) is waiting. Or there is one, and it has used up the
    /// numbers that its last export reserved: the host was told by [`Notice::ReservationLow`](crate::Notice::ReservationLow).
    Hold {
        /// The entry that wants it protected.
        policy: PolicyId,
    },
    /// Sealed, the packet would be larger than the path allows and must not be fragmented. It is untouched.
    TooBig {
        /// The largest inner packet that fits, in bytes: what an ICMP error should tell the sender.
        mtu: u16,
    },
}

/// What is to be done with an incoming packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Inbound {
    /// The buffer holds a packet that came protected, as policy wants it.
    Deliver {
        /// The key manager's name of the SA.
        owner: u64,
        /// The entry that the SA serves.
        policy: PolicyId,
        /// The packet is newer than every one before it on this SA: only then may its outer address say where the
        /// peer is now, and does it prove the peer alive.
        advanced: bool,
        /// Whom it came from.
        outer: Outer,
    },
    /// A packet in clear that may be in clear; untouched.
    Bypass,
    /// Drop it.
    Discard(Discard),
}

/// The verdict on a packet that came out of an SA, but for the outside it came from.
pub(super) struct Accepted {
    pub(super) owner: u64,
    pub(super) policy: PolicyId,
    pub(super) advanced: bool,
}

impl Accepted {
    pub(super) const fn deliver(self, located: &Located) -> Inbound {
        let Self { owner, policy, advanced } = self;
        Inbound::Deliver { owner, policy, advanced, outer: located.outer }
    }
}

/// The verdicts that do not send: what [`Outbound`] is without its largest part.
pub(super) enum Kept {
    Bypass,
    Discard(Discard),
    Hold { policy: PolicyId },
    TooBig { mtu: u16 },
}

impl From<Kept> for Outbound {
    fn from(kept: Kept) -> Self {
        match kept {
            Kept::Bypass => Self::Bypass,
            Kept::Discard(reason) => Self::Discard(reason),
            Kept::Hold { policy } => Self::Hold { policy },
            Kept::TooBig { mtu } => Self::TooBig { mtu },
        }
    }
}

/// Why a packet is dropped. Each reason has a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Discard {
    /// No entry of the policy matches.
    NoPolicy,
    /// An entry says so.
    Policy,
    /// It came in clear and should have been protected.
    Unprotected,
    /// It is no IP or ESP packet that could be handled.
    Malformed,
    /// A fragment that policy cannot be applied to (RFC 4301 §7), or that may not be protected.
    Fragment,
    /// No SA has this SPI.
    UnknownSpi,
    /// A sequence number seen before, or too old to know.
    Replay,
    /// Its integrity check failed. Nothing more can be said.
    Integrity,
    /// A dummy packet (RFC 4303 §2.6): nothing to deliver.
    Dummy,
    /// What came out of the SA is not what the SA or the policy is for.
    Selectors,
    /// The SA has reached its hard limit.
    Expired,
    /// The buffer has too little room around the packet.
    NoRoom(NoRoom),
    /// Congestion was marked on a packet that cannot carry the mark (RFC 6040 §4.2).
    Congestion,
    /// Sealed, it would be longer than an IP packet can be.
    TooLong,
}

impl Discard {
    /// How many reasons there are.
    const REASONS: usize = 14;

    const fn index(self) -> usize {
        match self {
            Self::NoPolicy => 0,
            Self::Policy => 1,
            Self::Unprotected => 2,
            Self::Malformed => 3,
            Self::Fragment => 4,
            Self::UnknownSpi => 5,
            Self::Replay => 6,
            Self::Integrity => 7,
            Self::Dummy => 8,
            Self::Selectors => 9,
            Self::Expired => 10,
            Self::NoRoom(_) => 11,
            Self::Congestion => 12,
            Self::TooLong => 13,
        }
    }
}

impl From<SealError> for Discard {
    fn from(error: SealError) -> Self {
        match error {
            SealError::Malformed => Self::Malformed,
            SealError::Fragment => Self::Fragment,
            SealError::NotBetweenTheEnds => Self::Selectors,
            SealError::TooBig { .. } | SealError::TooLong => Self::TooLong,
            SealError::NoRoom(room) => Self::NoRoom(room),
            SealError::Expired | SealError::ReservationSpent => Self::Expired,
        }
    }
}

impl From<OpenError> for Discard {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Malformed | OpenError::Inner => Self::Malformed,
            OpenError::Spi => Self::UnknownSpi,
            OpenError::Fragment => Self::Fragment,
            OpenError::Replay => Self::Replay,
            OpenError::Integrity => Self::Integrity,
            OpenError::Dummy => Self::Dummy,
            OpenError::Congestion => Self::Congestion,
            OpenError::Expired => Self::Expired,
            OpenError::NoRoom(room) => Self::NoRoom(room),
        }
    }
}

/// What a processor has done with packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Sealed.
    pub sent: u64,
    /// Opened and handed over.
    pub delivered: u64,
    /// Let pass in clear, in either direction.
    pub bypassed: u64,
    /// Held for want of an SA.
    pub held: u64,
    /// Refused as too big for the path.
    pub too_big: u64,
    discarded: [u64; Discard::REASONS],
}

impl Stats {
    /// Packets dropped for this reason.
    #[must_use]
    pub fn discarded(&self, reason: Discard) -> u64 {
        self.discarded.get(reason.index()).copied().unwrap_or_default()
    }

    /// Packets dropped for any reason.
    #[must_use]
    pub fn all_discarded(&self) -> u64 {
        self.discarded.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    pub(super) fn count_outbound(&mut self, verdict: &Outbound) {
        match verdict {
            Outbound::Send { .. } => increase(&mut self.sent),
            Outbound::Bypass => increase(&mut self.bypassed),
            Outbound::Hold { .. } => increase(&mut self.held),
            Outbound::TooBig { .. } => increase(&mut self.too_big),
            Outbound::Discard(reason) => self.count_discard(*reason),
        }
    }

    pub(super) fn count_discard(&mut self, reason: Discard) {
        if let Some(count) = self.discarded.get_mut(reason.index()) {
            increase(count);
        }
    }
}

pub(super) const fn increase(count: &mut u64) {
    *count = count.saturating_add(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_counter() {
        let room = NoRoom { headroom: 0, tailroom: 0 };
        let reasons: [_; Discard::REASONS] = [
            Discard::NoPolicy,
            Discard::Policy,
            Discard::Unprotected,
            Discard::Malformed,
            Discard::Fragment,
            Discard::UnknownSpi,
            Discard::Replay,
            Discard::Integrity,
            Discard::Dummy,
            Discard::Selectors,
            Discard::Expired,
            Discard::NoRoom(room),
            Discard::Congestion,
            Discard::TooLong,
        ];
        let mut stats = Stats::default();
        for (reason, times) in reasons.into_iter().zip(1..) {
            (0..times).for_each(|_| stats.count_discard(reason));
        }
        for (reason, times) in reasons.into_iter().zip(1..) {
            assert_eq!(stats.discarded(reason), times, "{reason:?}");
        }
        assert_eq!(stats.all_discarded(), (1..=14_u64).sum::<u64>());
    }
}
