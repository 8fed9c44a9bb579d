//! What the fuzzers start from.
//!
//! ```text
//! corpus seeds   writes to corpus/TARGET/* what is made of recorded messages and of the classes of published crashers
//! corpus pack    keeps corpus/TARGET/*, after it was minimised, in seeds/TARGET.hex, an input a line
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::{fs, io};

use ike_core::wire::numbers::PayloadType;
use ike_core::wire::{HEADER_LEN, Header, Payloads, SaBody};
use serde_json::Value;

#[path = "../../../ike-core/tests/hazards/anomalies.rs"]
mod anomalies;

/// The longest seed, in bytes.
const LONGEST: usize = 600;
/// How many bytes are kept for a target: the shortest inputs.
const KEPT: usize = 8 * 1024;

fn main() -> io::Result<()> {
    match std::env::args().nth(1).as_deref() {
        Some("seeds") => seeds(),
        Some("pack") => pack(),
        _ => Err(io::Error::other("usage: corpus seeds | pack")),
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn targets() -> io::Result<Vec<String>> {
    let files = fs::read_dir(root().join("fuzz_targets"))?;
    let mut names = files
        .map(|file| Ok(file?.path().file_stem().unwrap_or_default().to_string_lossy().into_owned()))
        .collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

fn pack() -> io::Result<()> {
    for target in targets()? {
        let mut inputs = BTreeSet::new();
        for file in fs::read_dir(root().join("corpus").join(&target))? {
            let input = fs::read(file?.path())?;
            inputs.insert((input.len(), input));
        }
        let mut text = String::new();
        for (len, input) in inputs.iter().filter(|(len, _)| *len > 0) {
            if text.len() / 2 + len > KEPT {
                break;
            }
            for byte in input {
                let _ = write!(text, "{byte:02x}");
            }
            text.push('\n');
        }
        println!("{target}: {} inputs, {} bytes", text.lines().count(), text.len());
        fs::create_dir_all(root().join("seeds"))?;
        fs::write(root().join("seeds").join(target).with_extension("hex"), text)?;
    }
    Ok(())
}

fn seeds() -> io::Result<()> {
    let file = root().join("../ike-core/tests/vectors/recorded_messages.json");
    let file: Value = serde_json::from_str(&fs::read_to_string(file)?)?;
    for session in array(&file["sessions"]) {
        let name = session["name"].as_str().unwrap_or_default();
        for (number, message) in array(&session["messages"]).enumerate() {
            let mut datagram = hex(message["datagram"].as_str().unwrap_or_default());
            if let Some(plaintext) = message.get("plaintext") {
                // As the engine sees it after decryption.
                datagram.truncate(HEADER_LEN);
                datagram.extend(hex(plaintext.as_str().unwrap_or_default()));
                datagram[19] = 0;
            }
            let seed = format!("{name}-{number}");
            for target in ["payloads", "trace", "classify"] {
                write(target, &seed, &datagram)?;
            }
            for (at, attributes) in transforms(&datagram).into_iter().enumerate() {
                write("attributes", &format!("{seed}-{at}"), attributes)?;
            }
            if let (0..2, Ok(len)) = (number, u8::try_from(datagram.len())) {
                let record = [&[24, len], &datagram[..]].concat();
                write("strangers", &seed, &record.repeat(2))?;
            }
            if number < 2 {
                published(&seed, &datagram)?;
            }
        }
    }
    scripts()?;
    let site = fs::read(root().join("../examples/gateway/site.toml"))?;
    // Each of its tables alone; the whole is a seed in any case.
    for (at, table) in String::from_utf8_lossy(&site).split("\n[").enumerate() {
        write("gateway", &format!("site-{at}"), format!("[{table}").as_bytes())?;
    }
    Ok(())
}

/// The classes of published crashers: every field of a first message with every anomaly that fits its kind.
fn published(seed: &str, datagram: &[u8]) -> io::Result<()> {
    for (at, field) in anomalies::fields(datagram).into_iter().enumerate() {
        let end = field.at + field.len;
        for (which, anomaly) in anomalies::anomalies(&datagram[field.at..end]).iter().enumerate() {
            // Of a byte or a word not every value: a fuzzer finds those itself.
            if anomaly.len() > LONGEST || field.len <= 4 && which % 16 != 0 {
                continue;
            }
            let mut varied = [&datagram[..field.at], anomaly, &datagram[end..]].concat();
            anomalies::repair_header(&mut varied);
            if anomaly.len() > field.len {
                anomalies::repair_payload(&mut varied, datagram, field.at);
            }
            let name = format!("{seed}-{at}-{which}");
            for target in ["payloads", "trace"] {
                write(target, &name, &varied)?;
            }
            if let Ok(len) = u8::try_from(varied.len()) {
                write("strangers", &name, &[&[24, len], &varied[..]].concat())?;
            }
        }
    }
    Ok(())
}

/// For bodies that take scripts: each call of their language after a beginning that gets somewhere.
fn scripts() -> io::Result<()> {
    for call in 0..=u8::MAX {
        let name = format!("{call:02x}");
        let tail = [call, 0, 1, call, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 9, 0, 0];
        let script = [&[0; 12], &tail[..]].concat();
        write("conversation", &name, &script)?;
        write("writer", &name, &script[11..])?;
        for honest in 0..12 {
            let begun = [&[call, honest, 0x10 * honest + 3 + honest % 7], &tail[..]].concat();
            write("initiator", &format!("{name}-{honest}"), &begun)?;
            write("responder", &format!("{name}-{honest}"), &begun)?;
        }
        let next = [0x80, 0];
        let strange = [&next.repeat(usize::from(call & 3))[..], &[0x80, 2, call, 1]].concat();
        write("strangers", &name, &[&strange[..], &next, &next].concat())?;
        write("fragments", &name, &[0, 0, 1, call, 0, 0, 3, call, 0, 0, 0x82, call, 0, 0, 3, 9])?;
        write("replay", &name, &[&[call, call], &tail[..], &script].concat())?;
        write("spd", &name, &[&[call], &tail.repeat(4)[..]].concat())?;
        let udp = [
            0x45, 0, 0, 36, 0, 1, 0, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1, 0, 9, 0, 53, 0, 16,
            0, 0, 1, 2, 3, 4, 5, 6, 7, 8,
        ];
        let ends = [0x45, 0, 0, 20, 0, 1, 0, 0, 64, 6, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        for (kind, packet) in [(0, &udp[..]), (1, &ends[..])] {
            let script = [&[call, call & 0xfe | kind, call >> 3, 0, 0, 0, 80, 90], packet].concat();
            write("round_trip", &format!("{name}-{kind}"), &script)?;
            let script = [&[call, call & 0xfe | kind, 1], packet, &[1, 2, 2, 4]].concat();
            write("open", &format!("{name}-{kind}"), &script)?;
        }
    }
    Ok(())
}

fn write(target: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let folder = root().join("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), bytes)
}

/// The attributes of every transform of every SA.
fn transforms(datagram: &[u8]) -> Vec<&[u8]> {
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

fn hex(digits: &str) -> Vec<u8> {
    let digit = |digit: u8| char::from(digit).to_digit(16).unwrap_or_default() as u8;
    digits.as_bytes().chunks_exact(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}
