//! esp-core for scripts: one request a line on standard input, one answer a line on standard output.
//!
//! ```text
//! seal CIPHER INTEGRITY tunnel|transport none|udp esn|esn:LAST|- LOCAL REMOTE SPI KEYS PACKET[,PACKET...]
//! open CIPHER INTEGRITY tunnel|transport none|udp esn|esn:LAST|- LOCAL REMOTE SPI KEYS PACKET[,PACKET...]
//! ```
//!
//! CIPHER is aes-cbc, 3des-cbc (feature `legacy`), null, aes-gcm, aes-gmac or chacha20-poly1305; INTEGRITY is hmac-sha1-96 and so
//! on, or `-`. SPI, KEYS and PACKET are hexadecimal; the length of KEYS tells that of the cipher's key. Every request has an SA of
//! its own: what is sealed has the numbers behind LAST (decimal), or from 1 on. The answer is the packets, or `error:` and why.

use std::error::Error;
use std::io::{BufRead, Write};

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use esp_core::{
    Addresses, Aead, Arrival, BlockCipher, DscpSet, Encap, InboundSa, Integrity, KeyMaterial,
    Lifetime, Mode, OutboundSa, PacketBuf, PolicyId, SaParams, Spi, TrafficSelectors, Transform,
};

fn transform(cipher: &str, integrity: &str, keys_len: usize) -> Result<Transform, Box<dyn Error>> {
    let hmac = match integrity {
        "hmac-sha1-96" => Some(Integrity::HmacSha1_96),
        "hmac-sha256-128" => Some(Integrity::HmacSha256_128),
        "hmac-sha384-192" => Some(Integrity::HmacSha384_192),
        "hmac-sha512-256" => Some(Integrity::HmacSha512_256),
        #[cfg(feature = "legacy")]
        "hmac-md5-96" => Some(Integrity::HmacMd5_96),
        _ => None,
    };
    let ciphers = [
        #[cfg(feature = "legacy")]
        ("3des-cbc", BlockCipher::TripleDes),
        ("aes-cbc", BlockCipher::Aes128),
        ("aes-cbc", BlockCipher::Aes192),
        ("aes-cbc", BlockCipher::Aes256),
    ];
    let cbc = ciphers.into_iter().filter(|(name, _)| *name == cipher);
    let cbc = cbc.filter_map(|(_, cipher)| Some(Transform::CbcHmac(cipher, hmac?)));
    let null = hmac.filter(|_| cipher == "null").map(Transform::NullHmac);
    let aeads = [
        ("aes-gcm", Aead::Aes128Gcm16),
        ("aes-gcm", Aead::Aes192Gcm16),
        ("aes-gcm", Aead::Aes256Gcm16),
        ("aes-gmac", Aead::Aes128Gmac),
        ("aes-gmac", Aead::Aes192Gmac),
        ("aes-gmac", Aead::Aes256Gmac),
        ("chacha20-poly1305", Aead::ChaCha20Poly1305),
    ];
    let aead = aeads.into_iter().filter(|(name, _)| *name == cipher && integrity == "-");
    let mut all = cbc.chain(null).chain(aead.map(|(_, aead)| Transform::Aead(aead)));
    let found = all.find(|transform| transform.key_material_len() == keys_len);
    Ok(found.ok_or("no such algorithms with keys of that length")?)
}

fn hex(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return Err("odd hexadecimal".into());
    }
    let pairs = (0..text.len()).step_by(2).filter_map(|at| text.get(at..at + 2));
    pairs.map(|pair| u8::from_str_radix(pair, 16).map_err(Into::into)).collect()
}

fn answer(line: &str) -> Result<String, Box<dyn Error>> {
    let words: Vec<_> = line.split_whitespace().collect();
    let [what, cipher, integrity, mode, encap, esn, local, remote, spi, keys, packets] = words[..]
    else {
        return Err("eleven words are wanted".into());
    };
    let keys = hex(keys)?;
    let transform = transform(cipher, integrity, keys.len())?;
    let last = esn.strip_prefix("esn:").map_or(Ok(0), str::parse)?;
    let params = || -> Result<SaParams, Box<dyn Error>> {
        Ok(SaParams {
            spi: Spi::new(u32::from_str_radix(spi, 16)?).ok_or("a reserved SPI")?,
            mode: if mode == "transport" { Mode::Transport } else { Mode::Tunnel },
            local: local.parse()?,
            remote: remote.parse()?,
            encap: match encap {
                "udp" => Encap::Udp { local_port: 4500, remote_port: 4500 },
                _ => Encap::None,
            },
            transform,
            keys: KeyMaterial::from_slice(&keys).ok_or("more key than any transform has")?,
            esn: esn.starts_with("esn"),
            replay_window: 64,
            lifetime: Lifetime::UNLIMITED,
            selectors: TrafficSelectors::between(Addresses::Any, Addresses::Any),
            dscp: DscpSet::ALL,
            policy: PolicyId(0),
            owner: 0,
        })
    };
    // As after a restart: behind the numbers that are reserved, or skipped.
    let mut rng = ChaCha20Rng::seed_from_u64(line.len() as u64);
    let state = OutboundSa::new(params()?, &mut rng)?.export(last, 0);
    let mut outbound = OutboundSa::import(params()?, &state, 0, &mut rng)?;
    let state = InboundSa::new(params()?)?.export(0);
    let mut inbound = InboundSa::import(params()?, &state, 0, last)?;
    let mut answers = Vec::new();
    for packet in packets.split(',') {
        let packet = hex(packet)?;
        let front = PacketBuf::HEADROOM;
        let end = front + packet.len();
        let mut memory = [&vec![0; front][..], &packet, &[0; PacketBuf::TAILROOM]].concat();
        let mut packet = PacketBuf::new(&mut memory, front..end).ok_or("no packet")?;
        match what {
            "seal" => drop(outbound.seal(&mut packet)?),
            "open" => drop(inbound.open(&mut packet, Arrival::Ip)?),
            _ => return Err("seal or open".into()),
        }
        answers.push(packet.packet().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    }
    Ok(answers.join(","))
}

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        match answer(&line?) {
            Ok(packet) => writeln!(out, "{packet}")?,
            Err(error) => writeln!(out, "error: {error}")?,
        }
        out.flush()?;
    }
    Ok(())
}
