//! Reads the vector files beside it.

#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use serde_json::Value;

/// The bytes of a string of hex digits.
pub(crate) fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("a string of hex digits");
    assert!(text.len().is_multiple_of(2));
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex digits"))
        .collect()
}

/// The number under `key`.
pub(crate) fn number<N: TryFrom<u64>>(value: &Value, key: &str) -> N {
    let number = value[key].as_u64().unwrap_or_else(|| panic!("{key} is not a number"));
    N::try_from(number).unwrap_or_else(|_| panic!("{key} is too large"))
}

/// The member "vectors" of a file, which is never empty.
pub(crate) fn vectors(text: &str) -> Vec<Value> {
    let file: Value = serde_json::from_str(text).expect("JSON");
    let vectors = file["vectors"].as_array().expect("vectors").clone();
    assert!(!vectors.is_empty());
    vectors
}
