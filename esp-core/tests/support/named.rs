//! Pages of a manual name tests: do they exist?

use std::fs;
use std::path::Path;

/// Checks that the tests named in `page`, of the crate under test, exist, and returns how many there are.
pub(crate) fn tests_named_in(page: &str) -> usize {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let manual = fs::read_to_string(root.join(page)).unwrap();
    let mut named = 0_usize;
    for word in manual.split('`').skip(1).step_by(2) {
        let Some((file, test)) = word.split_once("::").filter(|(file, _)| *file != "file") else {
            continue;
        };
        named = named.saturating_add(1);
        let path = match (file.strip_prefix("src/"), file.strip_prefix("esp-core/")) {
            (Some(source), _) => root.join("src").join(source),
            (_, Some(other)) => root.join("../esp-core").join(other),
            _ => root.join("tests").join(file).with_extension("rs"),
        };
        let source = fs::read_to_string(&path).unwrap_or_default();
        let test = format!("fn {test}(");
        let mut tests = source.split("#[test]").skip(1).map(str::trim_start);
        assert!(
            tests.any(|rest| rest.starts_with(&test)),
            "{word} is no test of {}",
            path.display()
        );
    }
    named
}
