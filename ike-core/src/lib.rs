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

pub mod crypto;
pub mod error;
#[cfg(any(test, feature = "_fuzz"))]
#[doc(hidden)]
pub mod fuzz;
pub mod keys;
mod time;
pub mod trace;
pub mod wire;

pub use time::Instant;
