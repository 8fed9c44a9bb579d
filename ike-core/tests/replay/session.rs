//! A recorded session, read from `vectors/sessions/*.json`. End a began it, end b answered.

use core::net::{IpAddr, SocketAddr};
use core::ops::Range;

use esp_core::{
    Addresses, Aead, BlockCipher, Integrity, Mode, PortRange, Protocol, Selector, TrafficSelectors,
    Transform,
};
use ike_core::config::{Identity, Phase1Cipher, Phase1Proposal};
use ike_core::wire::numbers::{ExchangeType, GroupDescription, HashAlgorithm, PayloadType};
use ike_core::wire::{HEADER_LEN, Header, Payloads};
use serde_json::Value;

use crate::read::{hex, number};

/// One end of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    A,
    B,
}

impl End {
    pub(crate) const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// Its key in the files.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::A => "a",
            Self::B => "b",
        }
    }
}

pub(crate) struct Session {
    file: Value,
    pub(crate) messages: Vec<Message>,
}

/// A recorded message.
pub(crate) struct Message {
    pub(crate) from: End,
    /// Milliseconds since the session began.
    pub(crate) at: u64,
    /// Whether it went over UDP port 4500.
    pub(crate) encap: bool,
    /// Which child the quick mode that begins here is for.
    pub(crate) child: Option<u32>,
    /// Belongs to a quick mode about algorithms that this crate does not have.
    pub(crate) unsupported: bool,
    /// Was sent before.
    pub(crate) duplicate: bool,
    /// The second NAT-D payload is random: the sender pretends to be behind a NAT.
    pub(crate) source_faked: bool,
    /// From the first byte of the ISAKMP header.
    pub(crate) datagram: Vec<u8>,
    /// What follows the header once decrypted, padding included.
    pub(crate) plaintext: Option<Vec<u8>>,
}

/// One Diffie-Hellman computation.
pub(crate) struct Exponentiation {
    pub(crate) group: GroupDescription,
    pub(crate) public: [Vec<u8>; 2],
    pub(crate) shared: Vec<u8>,
}

impl Session {
    pub(crate) fn read(text: &str) -> Self {
        let file: Value = serde_json::from_str(text).expect("JSON");
        assert!(file["provenance"].is_string());
        let messages = file["messages"].as_array().expect("messages");
        let messages = messages.iter().map(Message::read).collect();
        Self { file, messages }
    }

    pub(crate) fn psk(&self, end: End) -> Vec<u8> {
        text(&self.file["psk"][end.name()]).as_bytes().to_vec()
    }

    pub(crate) fn is_aggressive(&self) -> bool {
        self.file["phase1"]["mode"] == "aggressive"
    }

    pub(crate) fn sends_initial_contact(&self) -> bool {
        self.file["initial_contact"] == true
    }

    pub(crate) fn numbers_from_zero(&self) -> bool {
        self.file["numbers_from_zero"] == true
    }

    /// Where `end` is, as it knows itself.
    pub(crate) fn address(&self, end: End) -> IpAddr {
        text(&self.file["ends"][end.name()]["address"]).parse().expect("an address")
    }

    /// Where `end` is as the other one sees it, on the port of NAT traversal or on IKE's own.
    pub(crate) fn seen_at(&self, end: End, encap: bool) -> SocketAddr {
        let port = if encap { 4500 } else { 500 };
        let seen = &self.file["ends"][end.name()]["seen_by_b_at"];
        if seen.is_null() {
            return SocketAddr::new(self.address(end), port);
        }
        // The NAT-D payloads tell the mapping of port 500. That of port 4500 is on no message: another one.
        let mapped: u16 = number(seen, "port");
        SocketAddr::new(text(&seen["address"]).parse().unwrap(), mapped + u16::from(encap))
    }

    pub(crate) fn identity(&self, end: End) -> Identity<'static> {
        let name = text(&self.file["ends"][end.name()]["id"]).to_owned();
        match name.parse() {
            Ok(address) => Identity::Address(address),
            Err(_) => Identity::Fqdn(name.leak()),
        }
    }

    pub(crate) fn proposal(&self) -> Phase1Proposal {
        let phase1 = &self.file["phase1"];
        let cipher = match number(phase1, "encryption") {
            7 => Phase1Cipher::AesCbc(number(phase1, "bits")),
            #[cfg(feature = "legacy")]
            5 => Phase1Cipher::TripleDesCbc,
            other => panic!("cipher {other}"),
        };
        let hash = HashAlgorithm(number(phase1, "hash"));
        Phase1Proposal { cipher, hash, group: GroupDescription(number(phase1, "group")) }
    }

    pub(crate) fn lifetime(&self) -> u32 {
        number(&self.file["phase1"], "lifetime")
    }

    pub(crate) fn children(&self) -> &[Value] {
        self.file["children"].as_array().expect("children")
    }

    /// In phase 1 first, then in the quick modes with perfect forward secrecy.
    pub(crate) fn exponentiations(&self) -> Vec<Exponentiation> {
        let all = self.file["dh"].as_array().expect("dh").iter();
        let read = all.map(|dh| Exponentiation {
            group: GroupDescription(number(dh, "group")),
            public: [hex(&dh["a"]), hex(&dh["b"])],
            shared: hex(&dh["shared"]),
        });
        read.collect()
    }

    /// SKEYID and its family, HASH_I and HASH_R: what a PRF gave `end`, by name.
    pub(crate) fn derived(&self, end: End) -> Vec<(String, Vec<u8>)> {
        let keys = self.file["keys"][end.name()].as_object().expect("keys");
        let derived =
            keys.iter().filter(|(name, _)| !["cipher_key", "iv"].contains(&name.as_str()));
        derived.map(|(name, value)| (name.clone(), hex(value))).collect()
    }

    /// The key of the cipher, and the IV of the first encrypted message.
    pub(crate) fn cipher_key_and_iv(&self, end: End) -> (Vec<u8>, Vec<u8>) {
        let keys = &self.file["keys"][end.name()];
        (hex(&keys["cipher_key"]), hex(&keys["iv"]))
    }

    /// KEYMAT of the SA with this SPI.
    pub(crate) fn keymat(&self, spi: u32) -> Vec<u8> {
        hex(&self.file["keymat"][format!("{spi:08x}")])
    }
}

impl Message {
    fn read(value: &Value) -> Self {
        Self {
            from: if value["from"] == "a" { End::A } else { End::B },
            at: number(value, "at"),
            encap: value["encap"] == true,
            child: value["child"].as_u64().map(|id| id as u32),
            unsupported: value["unsupported"] == true,
            duplicate: value["duplicate"] == true,
            source_faked: value["source_faked"] == true,
            datagram: hex(&value["datagram"]),
            plaintext: value.get("plaintext").map(hex),
        }
    }

    pub(crate) fn header(&self) -> Header {
        Header::parse(&self.datagram).expect("a recorded header")
    }

    pub(crate) fn is_phase1(&self) -> bool {
        let kind = self.header().exchange;
        kind == ExchangeType::IDENTITY_PROTECTION || kind == ExchangeType::AGGRESSIVE
    }

    /// Kinds and bodies of the payloads, in order.
    pub(crate) fn payloads(&self) -> Vec<(PayloadType, Vec<u8>)> {
        let chain = self.plaintext.as_deref().unwrap_or(&self.datagram[HEADER_LEN..]);
        payloads(self.header().next_payload, chain)
    }

    /// Where in the datagram stands what a hash covers, if it is encrypted: all payloads in phase 2; in phase 1 those
    /// up to the hash, for a notify behind it (RFC 2409 §5) is covered by nothing.
    pub(crate) fn covered(&self) -> Option<Range<usize>> {
        self.plaintext.as_ref()?;
        let payloads = self.payloads();
        let hash = payloads.iter().position(|(kind, _)| *kind == PayloadType::HASH)?;
        let count = if self.is_phase1() { hash + 1 } else { payloads.len() };
        let len: usize = payloads[..count].iter().map(|(_, body)| 4 + body.len()).sum();
        Some(HEADER_LEN..HEADER_LEN + len)
    }

    /// The body of the first payload of a kind.
    pub(crate) fn body(&self, kind: PayloadType) -> Option<Vec<u8>> {
        self.payloads().into_iter().find(|(is, _)| *is == kind).map(|(_, body)| body)
    }
}

pub(crate) fn payloads(first: PayloadType, chain: &[u8]) -> Vec<(PayloadType, Vec<u8>)> {
    let payloads = Payloads::new(first, chain, HEADER_LEN).map(Result::unwrap);
    payloads.map(|payload| (payload.kind, payload.body.to_vec())).collect()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// The selectors of a child as `end` sees them.
pub(crate) fn selectors(child: &Value, end: End) -> TrafficSelectors {
    let [local, mut remote] =
        ["local", "remote"].map(|side| Selector::addresses(subnet(text(&child[side]))));
    if !child["remote_port"].is_null() {
        remote.ports = PortRange::one(number(child, "remote_port"));
    }
    let protocol = match child["protocol"].as_u64() {
        Some(protocol) => Protocol::Number(protocol as u8),
        None => Protocol::Any,
    };
    let (local, remote) = if end == End::A { (local, remote) } else { (remote, local) };
    TrafficSelectors { local, remote, protocol }
}

fn subnet(text: &str) -> Addresses {
    let (network, prefix) = text.split_once('/').expect("a network");
    Addresses::Subnet { network: network.parse().unwrap(), prefix: prefix.parse().unwrap() }
}

pub(crate) fn mode(child: &Value) -> Mode {
    if child["mode"] == "transport" { Mode::Transport } else { Mode::Tunnel }
}

pub(crate) fn transform(child: &Value) -> Transform {
    match text(&child["transform"]) {
        "aes128-sha1" => Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha1_96),
        "aes128-sha256" => Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha256_128),
        #[cfg(feature = "legacy")]
        "3des-md5" => Transform::CbcHmac(BlockCipher::TripleDes, Integrity::HmacMd5_96),
        "aes256-gcm16" => Transform::Aead(Aead::Aes256Gcm16),
        other => panic!("transform {other}"),
    }
}
