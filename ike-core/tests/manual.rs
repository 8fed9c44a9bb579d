//! The manual names only tests that exist.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

#[test]
fn every_test_that_the_manual_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manual = fs::read_to_string(root.join("src/manual/compliance.md")).unwrap();
    let mut named = 0;
    for word in manual.split('`').skip(1).step_by(2) {
        let Some((file, test)) = word.split_once("::").filter(|(file, _)| *file != "file") else {
            continue;
        };
        named += 1;
        let path = match file.strip_prefix("src/") {
            Some(source) => root.join("src").join(source),
            None => root.join("tests").join(file).with_extension("rs"),
        };
        let source = fs::read_to_string(&path).unwrap_or_default();
        assert!(source.contains(&format!("fn {test}(")), "{word} is not in {}", path.display());
    }
    assert!(named > 30, "the manual has lost its tests: {named}");
}
