//! The values of the configuration file: text in, a typed value or the reason why not out. The TOML reader adds the
//! line to the reason.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use esp_core::{Addresses, Aead, BlockCipher, Integrity, PortRange, Protocol, Transform};
use ike_core::config::{EspProposal, Identity, Phase1Cipher, Phase1Proposal, RemoteAddress};
use ike_core::wire::numbers::{GroupDescription, HashAlgorithm};
use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};

/// Makes a type that is read from a TOML string by `$parse`.
macro_rules! from_text {
    ($(#[$meta:meta])* $name:ident($inner:ty), $parse:path) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(pub $inner);

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                $parse(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                text.parse()
            }
        }
    };
}

from_text! {
    /// A phase 1 proposal: `aes256-sha256-modp2048`.
    Phase1(Phase1Proposal), phase1
}
from_text! {
    /// An ESP proposal: `aes128-sha256`, `aes256gcm16`, `chacha20poly1305`, `null-sha1`; with `-esn` for extended
    /// sequence numbers.
    Esp(EspProposal), esp
}
from_text! {
    /// A Diffie-Hellman group: `modp2048`.
    Group(GroupDescription), group
}
from_text! {
    /// Where a peer is: an address, a network, or `any`.
    Remote(RemoteAddress), remote
}
from_text! {
    /// The addresses of one side: `10.1.0.0/24`, `10.1.0.1`, `10.1.0.1-10.1.0.9`, `any`.
    Network(Addresses), network
}
from_text! {
    /// An address with the length of its prefix: `10.1.0.1/24`.
    Interface((IpAddr, u8)), prefix
}
from_text! {
    /// How long: `90s`, `15m`, `8h`, `1d`.
    Span(Duration), span
}
from_text! {
    /// Who somebody is: an address, a name, `user@name`, or `keyid:` with hexadecimal digits behind it.
    Id(OwnedIdentity), identity
}
from_text! {
    /// A key in hexadecimal digits.
    Hex(Vec<u8>), hex
}

/// An [`Identity`] that owns its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedIdentity {
    Address(IpAddr),
    Fqdn(String),
    UserFqdn(String),
    KeyId(Vec<u8>),
}

impl OwnedIdentity {
    pub fn lend(&self) -> Identity<'_> {
        match self {
            Self::Address(address) => Identity::Address(*address),
            Self::Fqdn(name) => Identity::Fqdn(name),
            Self::UserFqdn(name) => Identity::UserFqdn(name),
            Self::KeyId(bytes) => Identity::KeyId(bytes),
        }
    }
}

/// The identities a peer may have: `any`, one, or a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ids {
    Any,
    These(Vec<Id>),
}

impl<'de> Deserialize<'de> for Ids {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OneOrMany;
        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Ids;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an identity or a list of identities")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Ids, E> {
                if text == "any" {
                    return Ok(Ids::Any);
                }
                text.parse().map(|id| Ids::These(vec![id])).map_err(E::custom)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Ids, A::Error> {
                let mut ids = Vec::new();
                while let Some(id) = seq.next_element()? {
                    ids.push(id);
                }
                if ids.is_empty() {
                    Err(A::Error::custom("an empty list accepts nobody"))
                } else {
                    Ok(Ids::These(ids))
                }
            }
        }
        from.deserialize_any(OneOrMany)
    }
}

/// A protocol by name or number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IpProtocol(pub Protocol);

impl<'de> Deserialize<'de> for IpProtocol {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct NameOrNumber;
        impl Visitor<'_> for NameOrNumber {
            type Value = IpProtocol;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("any, icmp, tcp, udp, icmpv6 or a number up to 255")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<IpProtocol, E> {
                let protocol = match text {
                    "any" => Protocol::Any,
                    "icmp" => Protocol::Number(1),
                    "tcp" => Protocol::Number(6),
                    "udp" => Protocol::Number(17),
                    "icmpv6" => Protocol::Number(58),
                    other => return Err(E::custom(format!("protocol {other:?}: use its number"))),
                };
                Ok(IpProtocol(protocol))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<IpProtocol, E> {
                u8::try_from(number)
                    .map(|number| IpProtocol(Protocol::Number(number)))
                    .map_err(|_| E::custom(format!("protocol {number} is not between 0 and 255")))
            }
        }
        from.deserialize_any(NameOrNumber)
    }
}

/// One port, or `[first, last]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports(pub PortRange);

impl<'de> Deserialize<'de> for Ports {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct OneOrTwo;
        impl<'de> Visitor<'de> for OneOrTwo {
            type Value = Ports;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a port or a pair of ports [first, last]")
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Ports, E> {
                u16::try_from(number)
                    .map(|port| Ports(PortRange::one(port)))
                    .map_err(|_| E::custom(format!("port {number} is not between 0 and 65535")))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Ports, A::Error> {
                let short = || A::Error::custom("a range of ports is [first, last]");
                let first: u16 = seq.next_element()?.ok_or_else(short)?;
                let last: u16 = seq.next_element()?.ok_or_else(short)?;
                if seq.next_element::<u16>()?.is_some() {
                    return Err(short());
                }
                if first > last {
                    return Err(A::Error::custom(format!(
                        "ports {first} to {last}: ends before it starts"
                    )));
                }
                Ok(Ports(PortRange { first, last }))
            }
        }
        from.deserialize_any(OneOrTwo)
    }
}

/// When a child SA is set up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Start {
    /// With the program, and again whenever it ended.
    Now,
    /// With the first packet for it.
    #[default]
    Traffic,
    /// When the peer asks.
    Never,
}

fn phase1(text: &str) -> Result<Phase1Proposal, String> {
    let parts: Vec<&str> = text.split('-').collect();
    let [cipher_name, hash_name, group_name] = parts[..] else {
        return Err(format!("{text:?} is not CIPHER-HASH-GROUP, as in aes256-sha256-modp2048"));
    };
    let cipher = match cipher_name {
        "aes128" => Phase1Cipher::AesCbc(128),
        "aes192" => Phase1Cipher::AesCbc(192),
        "aes256" => Phase1Cipher::AesCbc(256),
        #[cfg(feature = "legacy")]
        "3des" => Phase1Cipher::TripleDesCbc,
        #[cfg(not(feature = "legacy"))]
        "3des" => return Err(legacy(cipher_name)),
        other => {
            return Err(format!(
                "unknown cipher {other:?} in {text:?}: aes128, aes192, aes256, 3des"
            ));
        }
    };
    let hash = match hash_name {
        "sha1" => HashAlgorithm::SHA1,
        "sha256" => HashAlgorithm::SHA2_256,
        "sha384" => HashAlgorithm::SHA2_384,
        "sha512" => HashAlgorithm::SHA2_512,
        #[cfg(feature = "legacy")]
        "md5" => HashAlgorithm::MD5,
        #[cfg(not(feature = "legacy"))]
        "md5" => return Err(legacy(hash_name)),
        other => {
            return Err(format!(
                "unknown hash {other:?} in {text:?}: sha1, sha256, sha384, sha512, md5"
            ));
        }
    };
    Ok(Phase1Proposal { cipher, hash, group: group(group_name)? })
}

/// A phase 1 proposal for people.
pub fn phase1_text(proposal: &Phase1Proposal) -> String {
    let cipher = match proposal.cipher {
        Phase1Cipher::AesCbc(bits) => format!("AES-CBC-{bits}"),
        #[cfg(feature = "legacy")]
        Phase1Cipher::TripleDesCbc => "3DES-CBC".to_owned(),
        _ => "another cipher".to_owned(),
    };
    format!("{cipher} {} {}", proposal.hash, proposal.group)
}

fn group(text: &str) -> Result<GroupDescription, String> {
    Ok(match text {
        #[cfg(feature = "legacy")]
        "modp768" => GroupDescription::MODP_768,
        #[cfg(feature = "legacy")]
        "modp1024" => GroupDescription::MODP_1024,
        #[cfg(feature = "legacy")]
        "modp1536" => GroupDescription::MODP_1536,
        #[cfg(not(feature = "legacy"))]
        "modp768" | "modp1024" | "modp1536" => return Err(legacy(text)),
        "modp2048" => GroupDescription::MODP_2048,
        "modp3072" => GroupDescription::MODP_3072,
        "modp4096" => GroupDescription::MODP_4096,
        "ecp256" => GroupDescription::ECP_256,
        "ecp384" => GroupDescription::ECP_384,
        "curve25519" | "x25519" => GroupDescription::CURVE25519,
        other => {
            return Err(format!(
                "unknown group {other:?}: modp2048, modp3072, modp4096, ecp256, ecp384, curve25519, \
                 modp768, modp1024, modp1536"
            ));
        }
    })
}

fn esp(text: &str) -> Result<EspProposal, String> {
    let (algorithms, esn) = match text.strip_suffix("-esn") {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let transform = match algorithms.split_once('-') {
        None => match algorithms {
            "aes128gcm16" => Transform::Aead(Aead::Aes128Gcm16),
            "aes192gcm16" => Transform::Aead(Aead::Aes192Gcm16),
            "aes256gcm16" => Transform::Aead(Aead::Aes256Gcm16),
            "aes128gmac" => Transform::Aead(Aead::Aes128Gmac),
            "aes192gmac" => Transform::Aead(Aead::Aes192Gmac),
            "aes256gmac" => Transform::Aead(Aead::Aes256Gmac),
            "chacha20poly1305" => Transform::Aead(Aead::ChaCha20Poly1305),
            _ => {
                return Err(format!(
                    "{text:?} is neither CIPHER-INTEGRITY, as in aes128-sha256, nor aes128gcm16, aes192gcm16, \
                     aes256gcm16, chacha20poly1305, nor, without encryption, null-INTEGRITY, aes128gmac, aes192gmac, \
                     aes256gmac; encryption without integrity is not offered"
                ));
            }
        },
        Some(("null", name)) => Transform::NullHmac(integrity(name)?),
        Some((cipher, name)) => Transform::CbcHmac(block_cipher(cipher)?, integrity(name)?),
    };
    Ok(EspProposal { transform, esn })
}

fn block_cipher(name: &str) -> Result<BlockCipher, String> {
    Ok(match name {
        "aes128" => BlockCipher::Aes128,
        "aes192" => BlockCipher::Aes192,
        "aes256" => BlockCipher::Aes256,
        #[cfg(feature = "legacy")]
        "3des" => BlockCipher::TripleDes,
        #[cfg(not(feature = "legacy"))]
        "3des" => return Err(legacy(name)),
        other => {
            return Err(format!("unknown cipher {other:?}: aes128, aes192, aes256, 3des, null"));
        }
    })
}

fn integrity(name: &str) -> Result<Integrity, String> {
    Ok(match name {
        "sha1" => Integrity::HmacSha1_96,
        "sha256" => Integrity::HmacSha256_128,
        "sha384" => Integrity::HmacSha384_192,
        "sha512" => Integrity::HmacSha512_256,
        #[cfg(feature = "legacy")]
        "md5" => Integrity::HmacMd5_96,
        #[cfg(not(feature = "legacy"))]
        "md5" => return Err(legacy(name)),
        other => {
            return Err(format!("unknown integrity {other:?}: sha1, sha256, sha384, sha512, md5"));
        }
    })
}

#[cfg(not(feature = "legacy"))]
fn legacy(name: &str) -> String {
    format!(
        "{name} is weak and not built in; build with --features legacy to speak with a peer that has nothing else"
    )
}

fn remote(text: &str) -> Result<RemoteAddress, String> {
    if text == "any" {
        return Ok(RemoteAddress::Any);
    }
    if text.contains('/') {
        return prefix(text).map(|(network, prefix)| RemoteAddress::Subnet(network, prefix));
    }
    address(text).map(RemoteAddress::Host)
}

fn network(text: &str) -> Result<Addresses, String> {
    if text == "any" {
        return Ok(Addresses::Any);
    }
    if let Some((first, last)) = text.split_once('-') {
        let (first, last) = (address(first)?, address(last)?);
        if first.is_ipv4() != last.is_ipv4() {
            return Err(format!("{text:?} mixes IPv4 and IPv6"));
        }
        if first > last {
            return Err(format!("{text:?} ends before it starts"));
        }
        return Ok(Addresses::Range { first, last });
    }
    if text.contains('/') {
        return prefix(text).map(|(network, prefix)| Addresses::Subnet { network, prefix });
    }
    address(text).map(Addresses::host)
}

fn prefix(text: &str) -> Result<(IpAddr, u8), String> {
    let (network, length) = text
        .split_once('/')
        .ok_or_else(|| format!("{text:?} has no prefix length, as in 10.1.0.0/24"))?;
    let network = address(network)?;
    let most = if network.is_ipv4() { 32 } else { 128 };
    match length.parse() {
        Ok(length) if length <= most => Ok((network, length)),
        _ => Err(format!("prefix length {length:?} of {text:?} is not between 0 and {most}")),
    }
}

fn address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an IPv4 or IPv6 address"))
}

fn span(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time, as in 500ms, 90s, 15m, 8h, 1d");
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or_else(wrong)
}

fn identity(text: &str) -> Result<OwnedIdentity, String> {
    if text.is_empty() {
        return Err("an identity is empty".into());
    }
    if let Ok(address) = text.parse() {
        return Ok(OwnedIdentity::Address(address));
    }
    if let Some(digits) = text.strip_prefix("keyid:") {
        return hex(digits).map(OwnedIdentity::KeyId);
    }
    Ok(if text.contains('@') {
        OwnedIdentity::UserFqdn(text.into())
    } else {
        OwnedIdentity::Fqdn(text.into())
    })
}

fn hex(text: &str) -> Result<Vec<u8>, String> {
    let wrong = || "not an even number of hexadecimal digits".to_owned();
    let digits: Vec<u8> = text
        .chars()
        .map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok()))
        .collect::<Option<_>>()
        .ok_or_else(wrong)?;
    let (pairs, rest) = digits.as_chunks::<2>();
    if !rest.is_empty() || pairs.is_empty() {
        return Err(wrong());
    }
    Ok(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}
