//! Bodies of the fuzz targets, here so that they are compiled, linted and run with the rest: each of them also runs over the
//! committed corpus and over random bytes in an ordinary test.
//!
//! A body takes any bytes, must not panic, and asserts what has to hold beyond that.

mod packets;
mod policy;
mod window;

pub use packets::{open, round_trip};
pub use policy::spd;
pub use window::replay;

use core::convert::Infallible;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use rand_core::{TryCryptoRng, TryRng};

use crate::{
    Addresses, Aead, BlockCipher, DscpSet, Encap, Integrity, KeyMaterial, Lifetime, Mode, PolicyId,
    SaParams, Spi, TrafficSelectors, Transform,
};

const TRANSFORMS: [Transform; 8] = [
    Transform::NullHmac(Integrity::HmacSha1_96),
    Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha1_96),
    Transform::CbcHmac(BlockCipher::Aes256, Integrity::HmacSha256_128),
    Transform::CbcHmac(BlockCipher::Aes192, Integrity::HmacSha512_256),
    Transform::NullHmac(Integrity::HmacSha384_192),
    Transform::Aead(Aead::Aes128Gcm16),
    Transform::Aead(Aead::Aes256Gmac),
    Transform::Aead(Aead::ChaCha20Poly1305),
];

/// Outer addresses of the two ends of an SA.
const V4: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2))];
const V6: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)),
];
const ANY: TrafficSelectors = TrafficSelectors::between(Addresses::Any, Addresses::Any);
const SPI: u32 = 0x1000;

/// What kind of SA: a bit of the script for each.
#[derive(Clone, Copy)]
struct Kind {
    transform: Transform,
    mode: Mode,
    ends: [IpAddr; 2],
    encap: Encap,
    esn: bool,
}

impl Kind {
    fn chosen([transform, flags]: [u8; 2]) -> Self {
        let is_set = |bit: u8| flags >> bit & 1 == 1;
        let at = usize::from(transform & 7);
        Self {
            transform: TRANSFORMS
                .get(at)
                .copied()
                .unwrap_or(Transform::NullHmac(Integrity::HmacSha1_96)),
            mode: if is_set(0) { Mode::Transport } else { Mode::Tunnel },
            ends: if is_set(1) { V6 } else { V4 },
            encap: if is_set(2) {
                Encap::Udp { local_port: 4500, remote_port: 4500 }
            } else {
                Encap::None
            },
            esn: is_set(3),
        }
    }

    /// The SA as the sender (`end` 0) or the receiver (`end` 1) has it.
    fn params(self, end: usize) -> SaParams {
        let [a, b] = self.ends;
        let (local, remote) = if end == 0 { (a, b) } else { (b, a) };
        let len = self.transform.key_material_len();
        let (Some(keys), Some(spi)) =
            (KeyMaterial::from_slice([0x5a; 96].get(..len).unwrap_or_default()), Spi::new(SPI))
        else {
            unreachable!("both are in range");
        };
        SaParams {
            spi,
            mode: self.mode,
            local,
            remote,
            encap: self.encap,
            transform: self.transform,
            keys,
            esn: self.esn,
            replay_window: 64,
            lifetime: Lifetime::UNLIMITED,
            selectors: ANY,
            dscp: DscpSet::ALL,
            policy: PolicyId(1),
            owner: 7,
        }
    }
}

/// The same numbers each time; where only differences matter.
struct Numbers;

impl TryRng for Numbers {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0x9e37_79b9)
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0x9e37_79b9_7f4a_7c15)
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(0x9e);
        Ok(())
    }
}

impl TryCryptoRng for Numbers {}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// Runs `body` over the inputs that the fuzzer has kept.
    fn over_the_corpus(target: &str, body: fn(&[u8])) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/");
        let file = std::fs::read_to_string(std::format!("{folder}{target}.hex")).expect("kept");
        assert!(file.lines().count() > 5);
        for line in file.lines() {
            let (digits, _) = line.as_bytes().as_chunks::<2>();
            let byte = |pair| u8::from_str_radix(str::from_utf8(pair).expect("text"), 16);
            let input: Vec<u8> = digits.iter().map(|pair| byte(pair).expect("hex")).collect();
            body(&input);
        }
    }

    /// Runs `body` over random scripts of all lengths up to 300 bytes, each also as one of few different bytes.
    fn over_random_bytes(body: fn(&[u8])) {
        let mut state = 1_u64;
        let mut next = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as u8
        };
        for round in 0..6_000 {
            let script: Vec<u8> = (0..round / 20).map(|_| next()).collect();
            body(&script);
            let few: Vec<u8> = script.iter().map(|byte| byte & 0x43).collect();
            body(&few);
        }
    }

    #[test]
    fn open_any_bytes() {
        over_the_corpus("open", open);
        over_random_bytes(open);
    }

    /// Found by the fuzzer: in transport mode a packet of protocol 59 carries nothing, and cannot be told from a dummy.
    #[test]
    fn a_packet_of_nothing_is_a_dummy() {
        let ends = [192, 0, 2, 1, 192, 0, 2, 2];
        let packet = [&[0x45, 0, 0, 20, 0, 1, 0, 0, 64, 59, 0, 0][..], &ends].concat();
        round_trip(&[&[0x27, 0x51, 0x0a, 0, 0, 0, 80, 90][..], &packet].concat());
    }

    #[test]
    fn round_trip_of_any_bytes() {
        over_the_corpus("round_trip", round_trip);
        over_random_bytes(round_trip);
    }

    #[test]
    fn spd_by_any_script() {
        over_the_corpus("spd", spd);
        over_random_bytes(spd);
    }

    #[test]
    fn replay_by_any_script() {
        over_the_corpus("replay", replay);
        over_random_bytes(replay);
    }
}
