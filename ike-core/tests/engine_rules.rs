//! The rules that do not bend, one test each, on two endpoints face to face.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

#[path = "engine/duo.rs"]
mod duo;

#[path = "engine/any_order.rs"]
mod any_order;
#[path = "engine/forgery.rs"]
mod forgery;
#[path = "engine/lifetimes.rs"]
mod lifetimes;
#[path = "engine/misuse.rs"]
mod misuse;
#[path = "engine/paths.rs"]
mod paths;
#[path = "engine/renewal.rs"]
mod renewal;
#[path = "engine/room.rs"]
mod room;
