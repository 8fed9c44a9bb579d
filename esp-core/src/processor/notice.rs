//! What a processor has to tell the key manager.

use crate::{PolicyId, Spi, TrafficSelectors};

/// What the key manager should hear. Notices are kept with the SA or policy entry they are about, not in a queue: none
/// is lost and none is told twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A packet waits for an SA. Told again by every later packet that finds none.
    Acquire {
        /// The entry that wants it.
        policy: PolicyId,
        /// What to negotiate: the entry's selectors, narrowed to the packet where the entry says so.
        selectors: TrafficSelectors,
        /// The packet's own selectors.
        packet: TrafficSelectors,
    },
    /// The SA should be renewed.
    SoftExpired {
        /// The key manager's name of the SA.
        owner: u64,
        /// Which one of the pair.
        direction: Direction,
        /// Its SPI.
        spi: Spi,
    },
    /// The SA has stopped: its keys are gone. It stays in the table until it is removed.
    HardExpired {
        /// The key manager's name of the SA.
        owner: u64,
        /// Which one of the pair.
        direction: Direction,
        /// Its SPI.
        spi: Spi,
    },
    /// The numbers that the SA's last export reserved run out: it should be exported again
    /// ([`Processor::export_outbound`](crate::Processor::export_outbound)), or it stops.
    ReservationLow {
        /// The key manager's name of the SA.
        owner: u64,
        /// Its SPI.
        spi: Spi,
    },
    /// Sequence numbers run out: the SA should be renewed (RFC 4303 §3.3.3).
    SequenceLow {
        /// The key manager's name of the SA.
        owner: u64,
        /// Its SPI.
        spi: Spi,
    },
}

/// Direction of an SA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the peer to us.
    Inbound,
    /// From us to the peer.
    Outbound,
}
