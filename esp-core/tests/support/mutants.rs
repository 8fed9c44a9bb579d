//! A page of a manual counts mutants: does it add up, and is each survivor explained?

use std::fs;
use std::path::Path;

/// Checks the table of `page`, of the crate under test, and returns how many mutants it tells of. A line of the table is a file
/// of the crate, its mutants, and what became of them; below, the survivors have lines that begin with their file, and
/// with how many they are if they are several.
pub(crate) fn mutants_counted_in(page: &str) -> u32 {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let manual = fs::read_to_string(source.join("..").join(page)).unwrap();
    let mut all = 0_u32;
    for line in manual.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [file, counts @ ..] = &cells[..] else { unreachable!("{line}") };
        let file = file.trim_matches('`');
        assert!(source.join(file).is_file(), "{file} is no file");
        let counts: Vec<u32> = counts.iter().map(|count| count.parse().unwrap()).collect();
        let [mutants, caught, timed_out, unbuilt, survive] = counts[..] else {
            unreachable!("{line}")
        };
        assert_eq!(mutants, caught + timed_out + unbuilt + survive, "{line}");
        let explained: u32 = manual
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("- `{file}`")))
            .map(|rest| match rest.strip_prefix(" (").and_then(|rest| rest.split_once(')')) {
                Some((number, _)) => number.parse().unwrap(),
                None => 1,
            })
            .sum();
        assert_eq!(explained, survive, "{line}");
        all += mutants;
    }
    all
}
