//! The rules that do not bend, each as a test over many worlds. The manual of `ike-core` says which is which, and how each
//! test was seen to fail.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "in a test these are failures of the test"
)]

#[path = "support/hosts.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod hosts;

#[cfg(target_os = "linux")]
#[path = "rules/memory.rs"]
mod memory;
#[path = "rules/policy.rs"]
mod policy;
#[path = "rules/restart.rs"]
mod restart;
