//! What went wrong in this field before, on the data plane: a named test for each published bug that applies. The table of
//! all of them is in the manual of the keying engine, `ike_core::manual::hazards`.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test these are failures of the test"
)]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/hosts.rs"]
mod hosts;

#[path = "hazards/forge.rs"]
mod forge;

#[path = "hazards/inner.rs"]
mod inner;
#[path = "hazards/lengths.rs"]
mod lengths;
#[path = "hazards/oracles.rs"]
mod oracles;
#[path = "hazards/peers.rs"]
mod peers;
#[path = "hazards/policy.rs"]
mod policy;
#[path = "hazards/windows.rs"]
mod windows;
