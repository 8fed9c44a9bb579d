//! The table of the README is what the program prints.

use std::process::Command;

#[test]
#[cfg_attr(
    any(not(target_pointer_width = "64"), feature = "legacy"),
    ignore = "the README shows the figures of 64-bit machines, without the larger key schedules of 3DES"
)]
fn the_readme_shows_the_memory() {
    let output = Command::new(env!("CARGO_BIN_EXE_memory")).output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    assert!(
        table.lines().count() == 5 && readme.contains(&table),
        "the README should show:\n{table}"
    );
}
