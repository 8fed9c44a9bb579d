//! IKEv1 keying engine: `no_std`, no heap, Sans-IO.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod crypto;
pub mod error;
pub mod keys;
mod time;
pub mod trace;
pub mod wire;

pub use time::Instant;
