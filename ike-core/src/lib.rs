//! IKEv1 keying engine: `no_std`, no heap, Sans-IO.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        reason = "a test fails by panicking"
    )
)]

#[cfg(test)]
extern crate std;

mod child_sa;
pub mod crypto;
mod digest;
mod endpoint;
pub mod error;
mod exchange;
mod fragment;
#[cfg(any(test, feature = "_fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod ike_sa;
pub mod keys;
mod lifetime;
pub mod natt;
mod phase1;
mod phase2;
mod protect;
mod resources;
mod time;
mod timer;
pub mod trace;
pub mod wire;
mod work;

pub use endpoint::config;
pub use endpoint::event;
pub use endpoint::{ChildSaInfo, Context, Endpoint, IkeSaInfo, Path, Stats, Transmit};
pub use resources::{Footprint, Resources, Storage};
pub use time::Instant;
pub use work::{Job, JobResult, Work};
