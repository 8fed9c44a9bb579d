//! What went wrong in this field before: a named test for each published bug and attack that applies.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

#[path = "vectors/read.rs"]
mod read;
#[path = "vectors/recorded.rs"]
mod recorded;
#[path = "hazards/walk.rs"]
mod walk;

#[path = "hazards/parsing.rs"]
mod parsing;
#[path = "hazards/protos.rs"]
mod protos;
