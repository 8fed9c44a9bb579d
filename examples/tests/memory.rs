//! The tables of the README are what the program prints.

use std::process::Command;

#[test]
#[cfg_attr(
    any(not(target_pointer_width = "64"), feature = "legacy"),
    ignore = "the README shows the figures of 64-bit machines, without the larger key schedules of 3DES"
)]
fn the_readme_shows_the_memory() {
    let output = Command::new(env!("CARGO_BIN_EXE_memory")).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let (devices, algorithms) = printed.split_once("\n\n").unwrap();
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let readme = std::fs::read_to_string(readme).unwrap();
    assert_eq!(devices.lines().count(), 5);
    assert!(readme.contains(devices), "the README should show:\n{devices}");
    // Key schedules differ by machine: this is one with AES instructions that may be absent.
    assert_eq!(algorithms.lines().count(), 10);
    assert!(
        readme.contains(algorithms) || !cfg!(target_arch = "x86_64"),
        "the README should show:\n{algorithms}"
    );
}
