//! Reads the numbers of `include/ipsec.h`, so that they stand in one place: what it defines and what its enumerations
//! number becomes a constant of the same name.

use std::{env, fs, io, path::Path};

fn main() -> io::Result<()> {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/ipsec.h");
    println!("cargo:rerun-if-changed={}", header.display());
    let constants: String = fs::read_to_string(header)?.lines().filter_map(constant).collect();
    let folder = env::var_os("OUT_DIR").unwrap_or_default();
    fs::write(Path::new(&folder).join("header.rs"), constants)
}

/// `#define NAME number` or `NAME = number,` as Rust.
fn constant(line: &str) -> Option<String> {
    let mut words = line.split([' ', '\t', ',']).filter(|word| !word.is_empty());
    let (name, value, kind) = match words.next()? {
        "#define" => (words.next()?, words.next()?, "usize"),
        name => (name, words.next().filter(|word| *word == "=").and(words.next())?, "i32"),
    };
    let digits = value.strip_prefix('-').unwrap_or(value);
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    (name.starts_with("IPSEC_") && is_number)
        .then(|| format!("pub const {name}: {kind} = {value};\n"))
}
