//! The wire format against what real implementations sent.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

#[path = "vectors/read.rs"]
mod read;
#[path = "vectors/recorded.rs"]
mod recorded;
#[path = "wire/sessions.rs"]
mod sessions;
#[path = "wire/snapshots.rs"]
mod snapshots;
