//! What `trace` prints for the recorded sessions, as files to be read: `tests/traces/*.txt`.
//!
//! `UPDATE_TRACES=1 cargo test -p ike-core --test wire` writes them anew.

use core::fmt::Write as _;
use std::path::Path;

use ike_core::trace::Trace;

use crate::recorded::{Session, sessions};

fn printed(session: &Session) -> String {
    let mut text = String::new();
    for message in &session.messages {
        let trace = match &message.plaintext {
            Some(plaintext) => Trace::decrypted(message.header(), plaintext),
            None => Trace::new(&message.datagram),
        };
        writeln!(text, "{}: {trace}\n", message.from).unwrap();
    }
    text
}

#[test]
fn traces_of_recorded_sessions() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces");
    for session in sessions() {
        let path = folder.join(format!("{}.txt", session.name));
        let text = printed(&session);
        if std::env::var_os("UPDATE_TRACES").is_some() {
            std::fs::write(&path, &text).unwrap();
        }
        let expected = std::fs::read_to_string(&path).unwrap();
        for (number, (line, expected)) in text.lines().zip(expected.lines()).enumerate() {
            assert_eq!(line, expected, "{} line {}", path.display(), number + 1);
        }
        assert_eq!(text, expected, "{}", path.display());
    }
}
