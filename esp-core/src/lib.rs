//! IPsec ESP data plane: `no_std`, no heap, Sans-IO.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[cfg(test)]
extern crate std;

mod packet;
mod processor;
mod sa;
mod selector;
mod spd;
mod transform;
mod tunnel;

pub use packet::{NoRoom, PacketBuf};
pub use processor::{
    Arrival, Direction, Discard, Framing, Inbound, InstallError, Notice, Outbound, Processor,
    Settings, Tables,
};
pub use sa::{Encap, KeyMaterial, Lifetime, Limit, Mode, PolicyId, SaError, SaParams, Spi};
pub use selector::{Addresses, PortRange, Protocol, Selector, TrafficSelectors};
pub use spd::{Directions, FromPacket, Policy, Protect, SpdEntry};
pub use transform::{Aead, BlockCipher, Integrity, Transform};
pub use tunnel::{DontFragment, Dscp, Ecn, FlowLabel, Outer, TunnelOptions};
