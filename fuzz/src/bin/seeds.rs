//! Writes what the fuzzers start from, `corpus/TARGET/*`, out of the recorded messages that the tests use.
//!
//! `cargo run --manifest-path fuzz/Cargo.toml --bin seeds`

use std::path::Path;
use std::{fs, io};

use serde_json::Value;

/// Bytes of the ISAKMP header.
const HEADER_LEN: usize = 28;

fn main() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = root.join("../ike-core/tests/vectors/recorded_messages.json");
    let file: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    let mut count = 0;
    for session in array(&file["sessions"]) {
        let name = session["name"].as_str().unwrap_or_default();
        for (number, message) in array(&session["messages"]).enumerate() {
            let mut datagram = hex(&message["datagram"]);
            if let Some(plaintext) = message.get("plaintext") {
                // As the engine sees it after decryption.
                datagram.truncate(HEADER_LEN);
                datagram.extend(hex(plaintext));
                datagram[19] = 0;
            }
            let seed = format!("{name}-{number}");
            write(&root.join("corpus/payloads"), &seed, &datagram)?;
            write(&root.join("corpus/trace"), &seed, &datagram)?;
            for (at, attributes) in transforms(&datagram).into_iter().enumerate() {
                write(&root.join("corpus/attributes"), &format!("{seed}-{at}"), attributes)?;
            }
            count += 1;
        }
    }
    // Both sides come up on an honest link; then each call of the script's language once, and the link is honest again.
    for call in 0..=u8::MAX {
        let mut script = vec![0; 12];
        script.extend([call, 0, 1, call, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 9, 0, 0]);
        write(&root.join("corpus/conversation"), &format!("{call:02x}"), &script)?;
        write(&root.join("corpus/writer"), &format!("{call:02x}"), &script[11..])?;
    }
    println!("{count} messages written to {}", root.join("corpus").display());
    Ok(())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    fs::write(folder.join(name), bytes)
}

/// The attributes of every transform of every SA.
fn transforms(datagram: &[u8]) -> Vec<&[u8]> {
    use ike_core::wire::numbers::PayloadType;
    use ike_core::wire::{Header, Payloads, SaBody};

    let Ok(header) = Header::parse(datagram) else { return Vec::new() };
    Payloads::new(header.next_payload, &datagram[HEADER_LEN..], HEADER_LEN)
        .flatten()
        .filter(|payload| payload.kind == PayloadType::SA)
        .filter_map(|payload| SaBody::parse(payload.body, payload.offset).ok())
        .flat_map(|sa| sa.proposals().flatten())
        .flat_map(|proposal| proposal.transforms().flatten())
        .map(|transform| transform.attributes().bytes())
        .collect()
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn hex(value: &Value) -> Vec<u8> {
    let digits = value.as_str().unwrap_or_default().as_bytes();
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default() as u8;
    digits.chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
