//! The manual names only tests that exist.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "support/named.rs"]
mod named;

#[test]
fn every_test_that_the_manual_names_exists() {
    let named = named::tests_named_in("src/manual/compliance.md");
    assert!(named > 110, "the manual has lost its tests: {named}");
}
