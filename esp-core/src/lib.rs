//! IPsec ESP data plane: `no_std`, no heap, Sans-IO.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

#[cfg(test)]
extern crate std;

mod batch;
mod inbound;
mod index;
mod outbound;
mod packet;
mod processor;
mod replay;
mod sa;
mod sad;
mod selector;
mod sequence;
mod slots;
mod spd;
mod text;
mod transform;
mod transport;
mod tunnel;
mod wire;

#[cfg(test)]
mod known_answers;

pub use inbound::{Arrival, InboundSa, OpenError, Opened};
pub use outbound::{Framing, OutboundSa, SealError, Sealed};
pub use packet::{NoRoom, PacketBuf};
pub use processor::{
    Direction, Discard, Inbound, InstallError, Notice, Outbound, Processor, Settings, Stats, Tables,
};
pub use sa::{
    Counters, Encap, KeyMaterial, Lifetime, Limit, Mode, PolicyId, SaError, SaParams, Spi,
};
pub use selector::{Addresses, PortRange, Protocol, Selector, TrafficSelectors};
pub use sequence::SequenceNumber;
pub use spd::{Directions, FromPacket, Policy, Protect, SpdEntry};
pub use transform::{Aead, BlockCipher, Integrity, Transform};
pub use tunnel::{DontFragment, Dscp, Ecn, FlowLabel, Outer, TunnelOptions};
pub use wire::icmp::{IcmpError, too_big_reply};
