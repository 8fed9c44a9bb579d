//! esp-core alone: two hosts in one process, with keys from a file and no key manager.
//!
//! `cargo run --release -p examples --bin manual_keys [-- FILE]`
//!
//! The one pings the other through the tunnel, and the packet is shown as it is on the wire. Somebody changes it, replays it and
//! sends it in clear, and none of that gets through.

use std::error::Error;
use std::net::IpAddr;
use std::process::ExitCode;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use esp_core::{
    Addresses, Arrival, BlockCipher, DscpSet, Encap, Inbound, Integrity, KeyMaterial, Lifetime,
    Mode, Outbound, PacketBuf, Policy, PolicyId, Processor, SaParams, Settings, SpdEntry, Spi,
    Tables, TrafficSelectors, Transform,
};
use examples::packet::{self, Echo};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    left: End,
    right: End,
    sa: Sa,
    left_to_right: Direction,
    right_to_left: Direction,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    address: IpAddr,
    network: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Sa {
    mode: ModeName,
    encryption: Encryption,
    integrity: IntegrityName,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ModeName {
    Tunnel,
    Transport,
}

#[derive(Clone, Copy, Deserialize)]
enum Encryption {
    #[serde(rename = "aes-cbc-128")]
    Aes128,
    #[serde(rename = "aes-cbc-256")]
    Aes256,
    #[serde(rename = "null")]
    Null,
}

#[derive(Clone, Copy, Deserialize)]
enum IntegrityName {
    #[serde(rename = "hmac-sha1-96")]
    Sha1,
    #[serde(rename = "hmac-sha256-128")]
    Sha256,
    #[serde(rename = "hmac-sha512-256")]
    Sha512,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Direction {
    spi: u32,
    #[serde(default)]
    encryption_key: String,
    integrity_key: String,
}

/// One host's side of the file: everything that an SA of either direction needs.
struct View<'f> {
    file: &'f File,
    own: &'f End,
    peer: &'f End,
}

const POLICY: PolicyId = PolicyId(1);

impl View<'_> {
    fn selectors(&self) -> Result<TrafficSelectors, Box<dyn Error>> {
        Ok(match self.file.sa.mode {
            ModeName::Tunnel => {
                TrafficSelectors::between(subnet(&self.own.network)?, subnet(&self.peer.network)?)
            }
            ModeName::Transport => TrafficSelectors::between(
                Addresses::host(self.own.address),
                Addresses::host(self.peer.address),
            ),
        })
    }

    fn params(&self, direction: &Direction) -> Result<SaParams, Box<dyn Error>> {
        let integrity = match self.file.sa.integrity {
            IntegrityName::Sha1 => Integrity::HmacSha1_96,
            IntegrityName::Sha256 => Integrity::HmacSha256_128,
            IntegrityName::Sha512 => Integrity::HmacSha512_256,
        };
        let transform = match self.file.sa.encryption {
            Encryption::Aes128 => Transform::CbcHmac(BlockCipher::Aes128, integrity),
            Encryption::Aes256 => Transform::CbcHmac(BlockCipher::Aes256, integrity),
            Encryption::Null => Transform::NullHmac(integrity),
        };
        let keys = [hex(&direction.encryption_key)?, hex(&direction.integrity_key)?].concat();
        Ok(SaParams {
            spi: Spi::new(direction.spi).ok_or("SPIs begin at 256")?,
            mode: match self.file.sa.mode {
                ModeName::Tunnel => Mode::Tunnel,
                ModeName::Transport => Mode::Transport,
            },
            local: self.own.address,
            remote: self.peer.address,
            encap: Encap::None,
            transform,
            keys: KeyMaterial::from_slice(&keys).ok_or("more key than any transform has")?,
            esn: false,
            replay_window: 64,
            lifetime: Lifetime::UNLIMITED,
            selectors: self.selectors()?,
            dscp: DscpSet::ALL,
            policy: POLICY,
            owner: direction.spi.into(),
        })
    }

    /// A processor with one line of policy and one SA in each direction.
    fn host<'t>(
        &self,
        tables: &'t mut Memory,
        sends: &Direction,
        receives: &Direction,
    ) -> Result<Processor<'t>, Box<dyn Error>> {
        let mut host = Processor::new(tables, Settings::DEFAULT);
        host.set_policies(&[SpdEntry::new(POLICY, self.selectors()?, Policy::PROTECT)])?;
        // A generator for IVs; seeded from the clock, which is enough for a demonstration and for nothing else.
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
        let mut rng =
            ChaCha20Rng::seed_from_u64(now.as_secs() ^ u64::from(now.subsec_nanos()) << 32);
        host.install_inbound(self.params(receives)?)?;
        host.install_outbound(self.params(sends)?, &mut rng)?;
        Ok(host)
    }

    /// An address that the policy is for: the second of the network, or the host's own.
    fn inhabitant(&self) -> Result<IpAddr, Box<dyn Error>> {
        match (self.file.sa.mode, subnet(&self.own.network)?) {
            (ModeName::Tunnel, Addresses::Subnet { network: IpAddr::V4(network), .. }) => {
                Ok(IpAddr::V4(std::net::Ipv4Addr::from_bits(network.to_bits() | 1)))
            }
            (ModeName::Tunnel, Addresses::Subnet { network: IpAddr::V6(network), .. }) => {
                Ok(IpAddr::V6(std::net::Ipv6Addr::from_bits(network.to_bits() | 1)))
            }
            _ => Ok(self.own.address),
        }
    }
}

type Memory = Tables<1, 1, 4>;

fn subnet(text: &str) -> Result<Addresses, Box<dyn Error>> {
    let (network, prefix) = text.split_once('/').ok_or("a network is written address/prefix")?;
    let subnet = Addresses::Subnet { network: network.parse()?, prefix: prefix.parse()? };
    if subnet.is_consistent() { Ok(subnet) } else { Err("a prefix longer than its address".into()) }
}

fn hex(text: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    if !text.len().is_multiple_of(2) || !text.is_ascii() {
        return Err("keys are pairs of hexadecimal digits".into());
    }
    let pairs = (0..text.len()).step_by(2).filter_map(|at| text.get(at..at + 2));
    pairs.map(|pair| u8::from_str_radix(pair, 16).map_err(Into::into)).collect()
}

/// A packet in memory with room on both sides.
struct Buffer {
    memory: Vec<u8>,
    range: std::ops::Range<usize>,
}

impl Buffer {
    fn new(packet: &[u8]) -> Self {
        let front = PacketBuf::HEADROOM;
        let memory = [&vec![0; front][..], packet, &[0; PacketBuf::TAILROOM]].concat();
        Self { range: front..front + packet.len(), memory }
    }

    fn with<R>(&mut self, work: impl FnOnce(&mut PacketBuf<'_>) -> R) -> R {
        let mut packet = PacketBuf::new(&mut self.memory, self.range.clone()).expect("inside");
        let result = work(&mut packet);
        self.range = packet.range();
        result
    }

    fn bytes(&self) -> &[u8] {
        self.memory.get(self.range.clone()).unwrap_or_default()
    }

    fn show(&self, what: &str) {
        println!("{what}: {} bytes", self.bytes().len());
        for line in self.bytes().chunks(16) {
            let bytes: Vec<_> = line.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("    {}", bytes.join(" "));
        }
    }
}

fn run(text: &str) -> Result<bool, Box<dyn Error>> {
    let file: File = toml::from_str(text)?;
    let left_view = View { file: &file, own: &file.left, peer: &file.right };
    let right_view = View { file: &file, own: &file.right, peer: &file.left };
    let (mut left_memory, mut right_memory) = (Memory::new(), Memory::new());
    let mut left = left_view.host(&mut left_memory, &file.left_to_right, &file.right_to_left)?;
    let mut right = right_view.host(&mut right_memory, &file.right_to_left, &file.left_to_right)?;
    let (here, there) = (left_view.inhabitant()?, right_view.inhabitant()?);

    let request = packet::echo(here, there, Echo::Request, 1, 1, b"esp-core, with keys by hand");
    let mut buffer = Buffer::new(&request);
    buffer.show(&format!("ping from {here} to {there}"));
    let sent = buffer.with(|packet| left.outbound(packet));
    if !matches!(sent, Outbound::Send { .. }) {
        return Err(format!("the left host says {sent:?}").into());
    }
    buffer.show("\non the wire");
    let recorded = buffer.bytes().to_vec();
    let mut changed = recorded.clone();
    if let Some(byte) = changed.last_mut() {
        *byte ^= 1;
    }
    let changed = Buffer::new(&changed).with(|packet| right.inbound(packet, Arrival::Ip));
    println!("\nwith one bit changed: {changed:?}");
    let received = buffer.with(|packet| right.inbound(packet, Arrival::Ip));
    println!("as it was sent: {received:?}");
    let mut good = matches!(changed, Inbound::Discard(_))
        && matches!(received, Inbound::Deliver { .. })
        && buffer.bytes() == request;

    let reply = packet::echo(there, here, Echo::Reply, 1, 1, b"esp-core, with keys by hand");
    let mut buffer = Buffer::new(&reply);
    let sent = buffer.with(|packet| right.outbound(packet));
    let received = buffer.with(|packet| left.inbound(packet, Arrival::Ip));
    println!("the reply, back on the left: {received:?}\n");
    good &= matches!(sent, Outbound::Send { .. }) && matches!(received, Inbound::Deliver { .. });
    good &= buffer.bytes() == reply;

    for (what, bytes) in [("once more", &recorded), ("in clear", &request)] {
        let verdict = Buffer::new(bytes).with(|packet| right.inbound(packet, Arrival::Ip));
        println!("{what}: {verdict:?}");
        good &= matches!(verdict, Inbound::Discard(_));
    }
    Ok(good)
}

fn main() -> ExitCode {
    let text = match std::env::args_os().nth(1) {
        None => include_str!("../../manual_keys/keys.toml").to_owned(),
        Some(path) => match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) => {
                eprintln!("{}: {error}", path.display());
                return ExitCode::from(2);
            }
        },
    };
    match run(&text) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("a packet did not do what it should");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
