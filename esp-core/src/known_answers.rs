//! Packets that nobody of this project made: published test vectors and recorded traffic.
//!
//! Sealing with a given IV goes through [`seal_with_iv`], which only tests can: the two steps that
//! [`OutboundSa::seal`] takes at once, and the IV's counter exchanged between them.

use std::string::String;
use std::vec::Vec;

use core::net::{IpAddr, Ipv4Addr};

use chacha20::ChaCha20Rng;
use rand_core::SeedableRng;
use serde_json::Value;

use crate::outbound::Prepared;
use crate::packet::PacketBuf;
use crate::transform::{OpenKeys, SealKeys, Verified};
use crate::wire::ip::Ip;
use crate::{
    Addresses, Aead, Arrival, BlockCipher, DscpSet, Encap, InboundSa, Integrity, KeyMaterial,
    Lifetime, Mode, OutboundSa, PolicyId, SaParams, Spi, TrafficSelectors, Transform,
};

/// A file of vectors.
pub(crate) fn vectors(text: &str) -> Value {
    serde_json::from_str(text).expect("a file of ours")
}

/// A string of hexadecimal digits.
pub(crate) fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().expect("a string");
    let digits = |at: usize| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(digits).collect()
}

fn spi(value: &Value) -> Spi {
    let bytes = hex(value).try_into().expect("four bytes");
    Spi::new(u32::from_be_bytes(bytes)).expect("not reserved")
}

/// An SA between two addresses that the packets do not matter to.
pub(crate) fn sa_params(transform: Transform, keys: &[u8], mode: Mode) -> SaParams {
    SaParams {
        spi: Spi::new(0x1234_5678).expect("not reserved"),
        mode,
        local: Ipv4Addr::new(192, 0, 2, 1).into(),
        remote: Ipv4Addr::new(192, 0, 2, 2).into(),
        encap: Encap::None,
        transform,
        keys: KeyMaterial::from_slice(keys).expect("fits"),
        esn: false,
        replay_window: 64,
        lifetime: Lifetime::UNLIMITED,
        selectors: TrafficSelectors::between(Addresses::Any, Addresses::Any),
        dscp: DscpSet::ALL,
        policy: PolicyId(1),
        owner: 1,
    }
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

/// Seals `inner` as the packet of this number and IV; gives the packet from the SPI on.
fn seal_with_iv(
    sa: &mut OutboundSa,
    keys: &[u8],
    sequence: u64,
    iv: &[u8],
    inner: &[u8],
) -> Vec<u8> {
    let mut buffer = [0; 2048];
    let end = PacketBuf::HEADROOM + inner.len();
    buffer[PacketBuf::HEADROOM..end].copy_from_slice(inner);
    let mut packet = PacketBuf::new(&mut buffer, PacketBuf::HEADROOM..end).expect("fits");
    sa.set_last_sequence(sequence - 1);
    let mut prepared = Prepared::NONE;
    sa.prepare(&mut packet, &mut prepared).expect("sealable");
    // For CBC the field holds what is encrypted to the IV.
    let mut counter = iv.to_vec();
    if let Transform::CbcHmac(cipher, _) = sa.association.transform {
        let keys =
            crate::transform::CbcDecrypt::new(cipher, &keys[..cipher.key_len()]).expect("fits");
        keys.decrypt(&[0; 16][..iv.len()], &mut counter);
    }
    let field = prepared.esp_at + 8..prepared.esp_at + 8 + iv.len();
    packet.packet_mut()[field].copy_from_slice(&counter);
    sa.finish(&mut packet, &prepared);
    packet.packet()[prepared.esp_at..].to_vec()
}

/// RFC 3602 §4: the packets have no ICV; all bytes before ours must be theirs, and open to what they hold.
#[test]
fn rfc_3602_cases_5_to_8() {
    let file = vectors(include_str!("../tests/vectors/rfc3602.json"));
    for case in file["cases"].as_array().expect("a list") {
        let mode = if case["next_header"] == 4 { Mode::Tunnel } else { Mode::Transport };
        let inner = [hex(&case["ip_header"]), hex(&case["payload"])].concat();
        let ip = Ip::parse(&inner).expect("a packet");
        let keys = [hex(&case["key"]), [7; 20].to_vec()].concat();
        let transform = Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha1_96);
        let params = |outbound| {
            let mut params = sa_params(transform, &keys, mode);
            let (source, destination) = (ip.source(), ip.destination());
            (params.local, params.remote) =
                if outbound { (source, destination) } else { (destination, source) };
            params.spi = spi(&case["spi"]);
            params
        };
        let mut sa = OutboundSa::new(params(true), &mut rng()).expect("valid");
        let sequence = case["seq"].as_u64().expect("a number");
        let esp = seal_with_iv(&mut sa, &keys, sequence, &hex(&case["iv"]), &inner);
        assert_eq!(esp[..esp.len() - 12], hex(&case["esp_packet_no_icv"]), "case {}", case["case"]);

        let mut sa = InboundSa::new(params(false)).expect("valid");
        let outer = crate::Outer {
            local: ip.destination(),
            remote: ip.source(),
            encap: Encap::None,
            traffic_class: 0,
            dont_fragment: false,
        };
        let mut buffer = [&[0; 40], &esp[..]].concat();
        let end = buffer.len();
        let mut packet = PacketBuf::new(&mut buffer, 40..end).expect("fits");
        let opened = sa.open(&mut packet, Arrival::Esp(outer)).expect("authentic");
        assert_eq!(opened.sequence.0, sequence);
        // In transport mode the header did not arrive; what it is made of here did.
        assert_eq!(packet.packet()[ip.payload_at..], inner[ip.payload_at..]);
        assert_eq!(Ip::parse(packet.packet()).expect("a packet").source(), ip.source());
    }
}

/// Packets of a Linux kernel, without integrity but that of GCM: a tag of ours is put behind the others.
#[test]
fn linux_kernel() {
    let file = vectors(include_str!("../tests/vectors/linux_kernel.json"));
    for vector in file["packets"].as_array().expect("a list") {
        let (mut keys, mut esp) = (hex(&vector["key"]), hex(&vector["esp"]));
        let transform = match vector["algorithm"].as_str().expect("a name") {
            "AES-CBC" => Transform::CbcHmac(
                match keys.len() {
                    16 => BlockCipher::Aes128,
                    24 => BlockCipher::Aes192,
                    _ => BlockCipher::Aes256,
                },
                Integrity::HmacSha256_128,
            ),
            #[cfg(feature = "legacy")]
            "3DES" => Transform::CbcHmac(BlockCipher::TripleDes, Integrity::HmacSha256_128),
            "AES-GCM" => Transform::Aead(match keys.len() {
                20 => Aead::Aes128Gcm16,
                28 => Aead::Aes192Gcm16,
                _ => Aead::Aes256Gcm16,
            }),
            _ => continue,
        };
        if let Transform::CbcHmac(_, integrity) = transform {
            use ::hmac::{Hmac, KeyInit, Mac};
            keys.extend([9; 32]);
            let mut mac = Hmac::<sha2::Sha256>::new_from_slice(&[9; 32]).expect("any length");
            mac.update(&esp);
            esp.extend(&mac.finalize().into_bytes()[..integrity.icv_len()]);
        }
        let open = OpenKeys::new(transform, &keys).expect("fits");
        assert!(open.open(transform, &mut esp, None, Verified::NotYet), "{}", vector["algorithm"]);
        let inner = hex(&vector["inner"]);
        let payload = &esp[8 + transform.iv_len()..];
        assert_eq!(payload[..inner.len()], inner, "{}", vector["algorithm"]);
    }
}

/// Packets between an Apple client and strongSwan: opened, and sealed again to the same bytes.
#[test]
fn wireshark_12671() {
    let file = vectors(include_str!("../tests/vectors/wireshark_12671.json"));
    let transform = Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha1_96);
    for recorded in file["packets"].as_array().expect("a list") {
        let sa = &file["sas"][recorded["spi"].as_str().expect("a name")];
        let keys = [hex(&sa["enc"]), hex(&sa["auth"])].concat();
        let mut esp = hex(&recorded["esp"]);
        let inner = hex(&recorded["inner"]);
        let mut params = sa_params(transform, &keys, Mode::Tunnel);
        params.spi = spi(&recorded["spi"]);
        let mut outbound = OutboundSa::new(params, &mut rng()).expect("valid");
        let sequence = recorded["seq"].as_u64().expect("a number");
        let ours = seal_with_iv(&mut outbound, &keys, sequence, &esp[8..24], &inner);
        assert_eq!(ours, esp);

        let mut params = sa_params(transform, &keys, Mode::Tunnel);
        params.spi = spi(&recorded["spi"]);
        let mut inbound = InboundSa::new(params).expect("valid");
        let mut packet = PacketBuf::whole(&mut esp);
        let outer = crate::Outer {
            local: address(&recorded["dst"]),
            remote: address(&recorded["src"]),
            encap: Encap::None,
            traffic_class: 0,
            dont_fragment: false,
        };
        inbound.open(&mut packet, Arrival::Esp(outer)).expect("authentic");
        assert_eq!(packet.packet(), inner);
    }
}

fn address(value: &Value) -> IpAddr {
    value.as_str().expect("a string").parse().expect("an address")
}

/// Whole outer packets of recorded sessions, each SA's in their order: opened to what an independent implementation
/// decrypted, and sealed again to the same ESP.
#[test]
fn recorded_sessions() {
    let file = vectors(include_str!("../tests/vectors/recorded.json"));
    let mut seen: Vec<String> = Vec::new();
    for session in file["sessions"].as_array().expect("a list") {
        let mode = if session["mode"] == "transport" { Mode::Transport } else { Mode::Tunnel };
        for (name, sa) in session["sas"].as_object().expect("a map") {
            let keys = hex(&sa["keys"]);
            let transform = match sa["transform"].as_str() {
                Some("aes128cbc-sha256") => {
                    Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha256_128)
                }
                Some("aes256gcm") => Transform::Aead(Aead::Aes256Gcm16),
                other => panic!("{other:?}"),
            };
            let packets = session["packets"].as_array().expect("a list").iter();
            let mut inbound: Option<InboundSa> = None;
            for recorded in packets.filter(|packet| packet["spi"] == name.as_str()) {
                let mut whole = hex(&recorded["packet"]);
                let ip = Ip::parse(&whole).expect("a packet");
                let udp_len = if ip.protocol == 17 { 8 } else { 0 };
                let esp = whole[ip.payload_at + udp_len..].to_vec();
                let params = |local, remote| {
                    let mut params = sa_params(transform, &keys, mode);
                    params.spi = spi(&recorded["spi"]);
                    params.esn = sa["esn"].as_bool().expect("a flag");
                    (params.local, params.remote) = (local, remote);
                    params
                };
                let inbound = inbound.get_or_insert_with(|| {
                    InboundSa::new(params(ip.destination(), ip.source())).expect("valid")
                });
                let mut packet = PacketBuf::whole(&mut whole);
                let opened = inbound.open(&mut packet, Arrival::Ip).expect("authentic");
                assert!(opened.advanced);
                let payload = hex(&recorded["payload"]);
                let inner = packet.packet().to_vec();
                assert!(inner.ends_with(&payload), "{}", session["name"]);

                let params = params(ip.source(), ip.destination());
                let mut outbound = OutboundSa::new(params, &mut rng()).expect("valid");
                let iv = &esp[8..8 + transform.iv_len()];
                let ours = seal_with_iv(&mut outbound, &keys, opened.sequence.0, iv, &inner);
                assert_eq!(ours, esp, "{}", session["name"]);
                seen.push(name.clone());
            }
        }
    }
    assert!(seen.len() >= 40, "{} packets", seen.len());
}

/// The fourteen packets of draft-mcgrew-gcm-test-01, some of which hold no IP packet.
#[test]
fn gcm_packets() {
    let file = vectors(include_str!("../tests/vectors/gcm_esp.json"));
    for case in file["cases"].as_array().expect("a list") {
        let keys = [hex(&case["key"]), hex(&case["salt"])].concat();
        let transform = Transform::Aead(match keys.len() {
            20 => Aead::Aes128Gcm16,
            28 => Aead::Aes192Gcm16,
            _ => Aead::Aes256Gcm16,
        });
        let esn = case["esn"].as_bool().expect("a flag");
        let high = esn.then(|| hex(&case["seq"])[..4].try_into().expect("four bytes"));
        let sealed = hex(&case["esp_packet"]);
        let plaintext = hex(&case["plaintext_incl_esp_trailer"]);
        let mut ours = [&sealed[..16], &plaintext, &[0; 16]].concat();
        SealKeys::new(transform, &keys).expect("fits").seal(transform, &mut ours, high);
        assert_eq!(ours, sealed, "case {}", case["case"]);
        let open = OpenKeys::new(transform, &keys).expect("fits");
        assert!(open.open(transform, &mut ours, high, Verified::NotYet), "case {}", case["case"]);
        assert_eq!(ours[16..16 + plaintext.len()], plaintext, "case {}", case["case"]);
    }
}

#[test]
fn rfc_7634_appendix_a() {
    let case = vectors(include_str!("../tests/vectors/rfc7634.json"));
    let (keys, inner) = (hex(&case["keymat"]), hex(&case["inner_packet"]));
    let transform = Transform::Aead(Aead::ChaCha20Poly1305);
    let params = || {
        let mut params = sa_params(transform, &keys, Mode::Tunnel);
        params.spi = spi(&case["spi"]);
        params
    };
    let mut outbound = OutboundSa::new(params(), &mut rng()).expect("valid");
    let sequence = case["seq"].as_u64().expect("a number");
    let mut esp = seal_with_iv(&mut outbound, &keys, sequence, &hex(&case["iv"]), &inner);
    assert_eq!(esp, hex(&case["esp_packet"]));
    let mut inbound = InboundSa::new(params()).expect("valid");
    let mut packet = PacketBuf::whole(&mut esp);
    let outer = crate::Outer {
        local: Ipv4Addr::new(203, 0, 113, 5).into(),
        remote: Ipv4Addr::new(203, 0, 113, 153).into(),
        encap: Encap::None,
        traffic_class: 0,
        dont_fragment: false,
    };
    inbound.open(&mut packet, Arrival::Esp(outer)).expect("authentic");
    assert_eq!(packet.packet(), inner);
}

/// Bytes of state per SA. Every SA has the size of the largest transform; a change should be meant.
#[cfg(target_arch = "x86_64")]
#[test]
fn sizes_are_pinned() {
    let sizes = (size_of::<OutboundSa>(), size_of::<InboundSa>(), size_of::<crate::SpdEntry>());
    let expected = if cfg!(feature = "legacy") { (848, 944, 100) } else { (736, 832, 100) };
    assert_eq!(sizes, expected);
}
