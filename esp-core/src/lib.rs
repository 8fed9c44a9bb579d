//! IPsec ESP data plane: `no_std`, no heap, Sans-IO.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod sa;
mod selector;
mod transform;

pub use sa::{Encap, KeyMaterial, Lifetime, Limit, Mode, PolicyId, SaError, SaParams, Spi};
pub use selector::{Addresses, PortRange, Protocol, Selector, TrafficSelectors};
pub use transform::{Aead, BlockCipher, Integrity, Transform};
