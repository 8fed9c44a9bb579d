//! The messages of `recorded_messages.json`: what real implementations sent, as an independent decoder
//! (tshark) read it.

#![allow(dead_code, reason = "each test file uses a part")]

use ike_core::wire::Header;
use serde_json::Value;

use crate::read::hex;

/// A recorded session.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) name: String,
    pub(crate) messages: Vec<Message>,
}

/// A recorded message.
#[derive(Debug)]
pub(crate) struct Message {
    /// "initiator" or "responder".
    pub(crate) from: String,
    /// From the first byte of the ISAKMP header.
    pub(crate) datagram: Vec<u8>,
    /// What follows the header once decrypted, padding included.
    pub(crate) plaintext: Option<Vec<u8>>,
    /// The header's fields: cookies, version, exchange, flags, message ID, length; none for what was reassembled.
    pub(crate) header_fields: Option<Value>,
    /// How tcpdump prints the message, where its tests say so.
    pub(crate) tcpdump: Option<String>,
    /// Kinds of every payload, proposal and transform in order.
    pub(crate) types: Vec<u8>,
    /// Their lengths.
    pub(crate) lengths: Vec<u16>,
}

impl Message {
    pub(crate) fn header(&self) -> Header {
        Header::parse(&self.datagram).expect("a recorded header")
    }

    /// The payload chain in plaintext, if we have it.
    pub(crate) fn chain(&self) -> Option<&[u8]> {
        match &self.plaintext {
            Some(plaintext) => Some(plaintext),
            None => (self.datagram[19] & 1 == 0).then(|| &self.datagram[28..]),
        }
    }
}

/// All of them.
pub(crate) fn sessions() -> Vec<Session> {
    let text = include_str!("recorded_messages.json");
    let file: Value = serde_json::from_str(text).expect("JSON");
    let sessions: Vec<Session> = array(&file["sessions"]).map(session).collect();
    assert!(sessions.len() >= 11, "the file has been cut");
    sessions
}

fn session(value: &Value) -> Session {
    let name = value["name"].as_str().expect("a name").to_owned();
    Session { name, messages: array(&value["messages"]).map(message).collect() }
}

fn message(value: &Value) -> Message {
    Message {
        from: value["from"].as_str().expect("a side").to_owned(),
        datagram: hex(&value["datagram"]),
        plaintext: value.get("plaintext").map(hex),
        header_fields: value.get("header").cloned(),
        tcpdump: value.get("tcpdump").map(|text| text.as_str().expect("a text").to_owned()),
        types: array(&value["types"]).map(number).collect(),
        lengths: array(&value["lengths"]).map(number).collect(),
    }
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("an array").iter()
}

fn number<T: TryFrom<u64, Error: core::fmt::Debug>>(value: &Value) -> T {
    value.as_u64().expect("a number").try_into().expect("a small number")
}
