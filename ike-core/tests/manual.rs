//! The manual names only tests that exist.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

#[path = "../../esp-core/tests/support/named.rs"]
mod named;

use named::tests_named_in;

#[test]
fn every_test_that_the_manual_names_exists() {
    let named = tests_named_in("src/manual/compliance.md");
    assert!(named > 30, "the manual has lost its tests: {named}");
    let named = tests_named_in("src/manual/rules.md");
    assert!(named > 20, "the manual has lost its tests: {named}");
    let named = tests_named_in("src/manual/hazards.md");
    assert!(named > 100, "the manual has lost its tests: {named}");
    let named = tests_named_in("src/manual/mutants.md");
    assert!(named > 12, "the manual has lost its tests: {named}");
}

/// Each line of the hazards names a test, or says why there is none.
#[test]
fn every_hazard_has_its_line() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manual = fs::read_to_string(root.join("src/manual/hazards.md")).unwrap();
    let mut lines = manual.lines().filter(|line| line.starts_with("| ")).map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [number, _, here] = cells[..] else { unreachable!("{line}") };
        (number.to_owned(), here.to_owned())
    });
    let peers = (1..=32).map(|number| format!("I{number}"));
    let published = (1..=116).map(|number: u32| number.to_string());
    for expected in peers.chain(published) {
        let (number, here) = lines.by_ref().find(|(number, _)| !number.is_empty()).unwrap();
        assert_eq!(number, expected);
        let says = here.contains("::")
            || here.starts_with("does not apply: ")
            || here.starts_with("later");
        assert!(says, "{number}: {here}");
    }
    assert_eq!(lines.find(|(number, _)| !number.is_empty()), None);
}

/// And each test of a hazard, in either crate, stands in a line.
#[test]
fn every_hazard_test_is_in_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manual = fs::read_to_string(root.join("src/manual/hazards.md")).unwrap();
    for (folder, at_least) in [("tests/hazards", 60), ("../esp-core/tests/hazards", 25)] {
        let mut found = 0_usize;
        for file in fs::read_dir(root.join(folder)).unwrap() {
            let source = fs::read_to_string(file.unwrap().path()).unwrap();
            for test in source.split("#[test]\nfn ").skip(1) {
                let (name, _) = test.split_once('(').unwrap();
                assert!(manual.contains(&format!("::{name}`")), "{name} of {folder}");
                found = found.saturating_add(1);
            }
        }
        assert!(found >= at_least, "{folder} has lost its tests: {found}");
    }
}
