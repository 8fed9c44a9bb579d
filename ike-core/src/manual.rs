//! Beside the reference: what is claimed, and why things are as they are.

/// The rules of the standards that this crate claims to follow, with the test that shows each.
#[doc = include_str!("manual/compliance.md")]
pub mod compliance {}

/// The rules that do not bend, with the tests that show them and how those were seen to fail.
#[doc = include_str!("manual/rules.md")]
pub mod rules {}

/// What went wrong with other implementations, row by row, with the test that shows how it is here.
#[doc = include_str!("manual/hazards.md")]
pub mod hazards {}

/// Mutation testing: what was counted, and why what survives changes nothing.
#[doc = include_str!("manual/mutants.md")]
pub mod mutants {}
