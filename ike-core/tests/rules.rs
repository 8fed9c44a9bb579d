//! The rules that do not bend, each as a test over many worlds. The manual says which is which, and how each test was
//! seen to fail: `ike_core::manual::rules`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]
#![cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "memory is read through /proc"))]

#[path = "engine/duo.rs"]
#[allow(dead_code, reason = "other tests of the engine use the rest")]
mod duo;

#[cfg(target_os = "linux")]
#[path = "rules/memory.rs"]
mod memory;
#[path = "rules/repetition.rs"]
mod repetition;
#[path = "rules/strangers.rs"]
mod strangers;
#[cfg(target_os = "linux")]
#[path = "rules/unauthenticated.rs"]
mod unauthenticated;
