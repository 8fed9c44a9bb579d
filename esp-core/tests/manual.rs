//! The manual names only tests that exist, and its figures add up.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "support/mutants.rs"]
mod mutants;
#[path = "support/named.rs"]
mod named;

#[test]
fn every_test_that_the_manual_names_exists() {
    let named = named::tests_named_in("src/manual/compliance.md");
    assert!(named > 110, "the manual has lost its tests: {named}");
}

#[test]
fn every_mutant_that_survives_is_explained() {
    let mutants = mutants::mutants_counted_in("src/manual/mutants.md");
    assert!(mutants > 1100, "the manual has lost its mutants: {mutants}");
    let named = named::tests_named_in("src/manual/mutants.md");
    assert!(named > 4, "the manual has lost its tests: {named}");
}
