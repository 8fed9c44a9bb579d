//! Beside the reference: what is claimed, and how far tests would see it broken.

/// The rules of the standards that this crate claims to follow, with the test that shows each, and what is left to the host.
#[doc = include_str!("manual/compliance.md")]
pub mod compliance {}

/// Which changes of the code no test sees, and why they change nothing.
#[doc = include_str!("manual/mutants.md")]
pub mod mutants {}
