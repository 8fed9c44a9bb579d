//! Beside the reference: what is claimed.

/// The rules of the standards that this crate claims to follow, with the test that shows each, and what is left to the host.
#[doc = include_str!("manual/compliance.md")]
pub mod compliance {}
