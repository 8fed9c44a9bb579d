//! What went wrong in this field before: a named test for each published bug and attack that applies. The table of all
//! of them is in the manual, `ike_core::manual::hazards`.

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

#[path = "hazards/puppet.rs"]
mod puppet;
#[path = "hazards/stage.rs"]
mod stage;

#[path = "hazards/anomalies.rs"]
mod anomalies;
#[path = "hazards/authentication.rs"]
mod authentication;
#[path = "hazards/denial.rs"]
mod denial;
#[path = "hazards/fragments.rs"]
mod fragments;
#[path = "hazards/parsing.rs"]
mod parsing;
#[path = "hazards/peers.rs"]
mod peers;
#[path = "hazards/protos.rs"]
mod protos;
#[path = "hazards/state.rs"]
mod state;
