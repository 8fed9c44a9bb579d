//! esp-core: what a packet costs, alone and in batches, and beside others.
//!
//! Ours is the full path of [`Processor`]: policy and SA lookup, sequence number, IV, headers, padding, cipher, ICV,
//! replay window, policy again. So is boringtun's, by WireGuard's measure. The other contenders get a packet laid out with
//! its IV and do cipher and ICV alone.

mod lookups;
mod parts;
#[cfg(feature = "peers")]
mod peers;

pub use lookups::lookups;
pub use parts::parts;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::SeedableRng;
use esp_core::{
    Addresses, Aead, Arrival, BlockCipher, DscpSet, Encap, Inbound, Integrity, KeyMaterial,
    Lifetime, Mode, Outbound, PacketBuf, Policy, PolicyId, Processor, SaParams, Settings, SpdEntry,
    Spi, Tables, TrafficSelectors, Transform,
};

use crate::measure::median;

/// Packets of one measurement.
pub const PACKETS: usize = 32;
/// Lengths of inner packets in bytes.
const LENGTHS: [usize; 4] = [64, 576, 1400, 9000];
/// How often each contender has its turn.
const ROUNDS: usize = 61;
/// What OpenSSL is to be beaten by at least: algorithm, what, length, times its speed.
const AIMS: [(&str, What, &str, usize, f64); 7] = [
    ("AES-CBC-128 HMAC-SHA1-96", What::Seal, OURS, 1400, 1.55),
    ("AES-CBC-128 HMAC-SHA1-96", What::Seal, OURS_32, 1400, 2.8),
    ("AES-CBC-128 HMAC-SHA1-96", What::Open, OURS, 1400, 1.1),
    ("AES-CBC-128 HMAC-SHA1-96", What::Open, OURS_32, 1400, 1.65),
    ("AES-CBC-128 HMAC-SHA1-96", What::Seal, OURS, 64, 2.0),
    ("AES-GCM-128", What::Seal, OURS, 1400, 1.0),
    ("AES-GCM-128", What::Open, OURS, 1400, 1.0),
];
const OURS: &str = "esp-core";
const OURS_32: &str = "esp-core, batch of 32";
/// The contender that the others are compared with.
const BASE: &str = "OpenSSL EVP";

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

fn transforms() -> [Transform; 6] {
    [
        Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha1_96),
        Transform::CbcHmac(BlockCipher::Aes256, Integrity::HmacSha256_128),
        Transform::CbcHmac(BlockCipher::Aes256, Integrity::HmacSha512_256),
        Transform::Aead(Aead::Aes128Gcm16),
        Transform::Aead(Aead::Aes256Gcm16),
        Transform::Aead(Aead::ChaCha20Poly1305),
    ]
}

fn sa(transform: Transform, inbound: bool, spi: u32) -> SaParams {
    let (local, remote) = if inbound { (REMOTE, LOCAL) } else { (LOCAL, REMOTE) };
    SaParams {
        spi: Spi::new(spi).expect("not reserved"),
        mode: Mode::Tunnel,
        local,
        remote,
        encap: Encap::None,
        transform,
        keys: KeyMaterial::from_slice(&vec![0x11; transform.key_material_len()]).expect("fits"),
        esn: false,
        replay_window: 1024,
        lifetime: Lifetime::UNLIMITED,
        selectors: TrafficSelectors::between(Addresses::Any, Addresses::Any),
        dscp: DscpSet::ALL,
        policy: PolicyId(1),
        owner: 1,
    }
}

fn rng() -> ChaCha8Rng {
    ChaCha8Rng::from_seed([1; 32])
}

/// A UDP packet of `len` bytes in all from 10.1.0.1 to 10.2.0.1.
fn inner(len: usize) -> Vec<u8> {
    let mut packet = vec![0x5a; len];
    let [len0, len1] = u16::try_from(len).expect("short").to_be_bytes();
    let header =
        [0x45, 0, len0, len1, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1, 4, 0, 4, 1];
    packet[..header.len()].copy_from_slice(&header);
    packet
}

/// The memory of a batch: each packet with room on both sides.
pub struct Batch {
    memory: Vec<Vec<u8>>,
    inner: Vec<u8>,
}

const FRONT: usize = PacketBuf::HEADROOM;

impl Batch {
    pub fn new(len: usize) -> Self {
        let inner = inner(len);
        let one = [&[0; FRONT][..], &inner, &[0; PacketBuf::TAILROOM]].concat();
        Self { memory: vec![one; PACKETS], inner }
    }

    /// Clear packets again: their headers at least, which is what anybody looks at.
    pub fn clear(&mut self) -> Vec<PacketBuf<'_>> {
        let (len, header) = (self.inner.len(), &self.inner[..24]);
        let packets = self.memory.iter_mut().map(|memory| {
            memory[FRONT..FRONT + header.len()].copy_from_slice(header);
            PacketBuf::new(memory, FRONT..FRONT + len).expect("inside")
        });
        packets.collect()
    }
}

/// Sealing or opening.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Seal,
    Open,
}

/// A contender: does [`PACKETS`] packets and tells how many nanoseconds it took.
struct Contender<'c> {
    name: String,
    what: What,
    run: Box<dyn FnMut() -> f64 + 'c>,
}

impl<'c> Contender<'c> {
    fn new(name: impl Into<String>, what: What, run: impl FnMut() -> f64 + 'c) -> Self {
        Self { name: name.into(), what, run: Box::new(run) }
    }
}

/// Median nanoseconds per packet of each, taken in turns so that all meet the same moods of the machine.
fn compete(contenders: &mut [Contender<'_>]) -> Vec<f64> {
    const CALLS: usize = 5;
    let mut samples = vec![Vec::new(); contenders.len()];
    for round in 0..ROUNDS {
        for (contender, samples) in contenders.iter_mut().zip(&mut samples) {
            for _ in 0..CALLS {
                let took = (contender.run)() / PACKETS as f64;
                if round > 0 {
                    samples.push(took);
                }
            }
        }
    }
    samples.iter_mut().map(|samples| median(samples)).collect()
}

fn timed(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64() * 1e9
}

pub type Memory = Tables<4, 4, 64>;

fn gateway(tables: &mut Memory) -> Processor<'_> {
    let mut processor = Processor::new(tables, Settings::DEFAULT);
    let everything = TrafficSelectors::between(Addresses::Any, Addresses::Any);
    processor
        .set_policies(&[SpdEntry::new(PolicyId(1), everything, Policy::PROTECT)])
        .expect("valid");
    processor
}

pub fn sealer(tables: &mut Memory, transform: Transform) -> Processor<'_> {
    let mut processor = gateway(tables);
    processor.install_outbound(sa(transform, false, 0x1000), &mut rng()).expect("valid");
    processor
}

pub fn opener(tables: &mut Memory, transform: Transform) -> Processor<'_> {
    let mut processor = gateway(tables);
    processor.install_inbound(sa(transform, true, 0x1000)).expect("valid");
    processor
}

fn seal_in_batches(processor: &mut Processor<'_>, batch: &mut Batch, size: usize) -> f64 {
    let mut packets = batch.clear();
    let mut verdicts = vec![Outbound::Bypass; size];
    timed(|| {
        for packets in packets.chunks_mut(size) {
            if size == 1 {
                for packet in packets {
                    let _ = black_box(processor.outbound(packet));
                }
            } else {
                processor.outbound_batch(packets, &mut verdicts);
                black_box(&verdicts);
            }
        }
    })
}

/// Seals, not timed, and opens, timed.
fn open_in_batches(
    from: &mut Processor<'_>,
    to: &mut Processor<'_>,
    batch: &mut Batch,
    size: usize,
) -> f64 {
    let mut packets = batch.clear();
    let mut sent = vec![Outbound::Bypass; PACKETS];
    from.outbound_batch(&mut packets, &mut sent);
    let arrivals = vec![Arrival::Ip; size];
    let mut verdicts = vec![Inbound::Bypass; size];
    let took = timed(|| {
        for packets in packets.chunks_mut(size) {
            if size == 1 {
                for (packet, verdict) in packets.iter_mut().zip(&mut verdicts) {
                    *verdict = to.inbound(packet, Arrival::Ip);
                }
            } else {
                to.inbound_batch(packets, &arrivals, &mut verdicts);
            }
        }
    });
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Inbound::Deliver { .. })));
    took
}

/// Two tables, for sealing and for opening, of each transform: contenders by rows, lengths by columns.
pub fn packets() {
    let mut against_aims = Vec::new();
    for transform in transforms() {
        let mut names: Vec<(String, What)> = Vec::new();
        let mut columns = Vec::new();
        for len in LENGTHS {
            let mut tables: [Memory; 9] = core::array::from_fn(|_| Tables::new());
            let mut contenders = ours(&mut tables, transform, len);
            add_peers(&mut contenders, transform, len);
            columns.push(compete(&mut contenders));
            names = contenders.into_iter().map(|one| (one.name, one.what)).collect();
        }
        for (title, what) in [("sealing", What::Seal), ("opening", What::Open)] {
            println!("\n{transform}, {title}: ns a packet (times the speed of {BASE})\n");
            print!("| {:<24} |", "bytes inside");
            LENGTHS.iter().for_each(|len| print!(" {len:>14} |"));
            println!("\n|{}|{}", "-".repeat(26), "---------------:|".repeat(LENGTHS.len()));
            let base = names.iter().position(|(name, of)| name == BASE && *of == what);
            for (row, (name, _)) in names.iter().enumerate().filter(|(_, (_, of))| *of == what) {
                print!("| {name:<24} |");
                for (len, took) in LENGTHS.iter().zip(&columns) {
                    let ratio = base.map(|base| took[base] / took[row]);
                    let shown = ratio.map_or(String::new(), |ratio| format!("({ratio:.2})"));
                    print!(" {:>7.0} {shown:>6} |", took[row]);
                    against_aims.extend(AIMS.iter().filter_map(|aim| {
                        let meant = (aim.0, aim.1, aim.2, aim.3)
                            == (transform.to_string().as_str(), what, name.as_str(), *len);
                        Some((*aim, ratio?)).filter(|_| meant)
                    }));
                }
                println!();
            }
        }
    }
    if !against_aims.is_empty() {
        println!("\naims, in times the speed of {BASE}\n");
        for ((algorithm, what, name, len, aim), ratio) in against_aims {
            let title = if what == What::Seal { "seal" } else { "open" };
            let verdict = if ratio >= aim { "reached" } else { "missed" };
            println!(
                "  {algorithm:<26} {title} {len:>5}  {name:<22} aim {aim:<5} measured {ratio:.2}  {verdict}"
            );
        }
    }
}

/// Our own places in the table: alone and in batches, to seal and to open.
fn ours<'t>(tables: &'t mut [Memory; 9], transform: Transform, len: usize) -> Vec<Contender<'t>> {
    let [t0, t1, t2, t3, t4, t5, t6, t7, t8] = tables;
    let sizes = [1, 8, 32];
    let seals = [t0, t1, t2].map(|tables| sealer(tables, transform));
    let opens = [(t3, t4), (t5, t6), (t7, t8)]
        .map(|(from, to)| (sealer(from, transform), opener(to, transform)));
    let mut contenders = Vec::new();
    for (mut processor, size) in seals.into_iter().zip(sizes) {
        let mut batch = Batch::new(len);
        contenders.push(Contender::new(named(OURS, size), What::Seal, move || {
            seal_in_batches(&mut processor, &mut batch, size)
        }));
    }
    for ((mut from, mut to), size) in opens.into_iter().zip(sizes) {
        let mut batch = Batch::new(len);
        contenders.push(Contender::new(named(OURS, size), What::Open, move || {
            open_in_batches(&mut from, &mut to, &mut batch, size)
        }));
    }
    contenders
}

fn named(name: &str, size: usize) -> String {
    if size == 1 { name.into() } else { format!("{name}, batch of {size}") }
}

#[cfg(not(feature = "peers"))]
fn add_peers(_contenders: &mut Vec<Contender<'_>>, _transform: Transform, _len: usize) {}

#[cfg(feature = "peers")]
fn add_peers(contenders: &mut Vec<Contender<'_>>, transform: Transform, len: usize) {
    for (peer, algorithm) in peers::with(transform) {
        let sizes: &[usize] = if peer.batches { &[1, 8, 32] } else { &[1] };
        for size in sizes.iter().copied() {
            let sa = peer.sa(algorithm);
            let (mut to_seal, mut to_open) =
                (peers::Packets::new(transform, len), peers::Packets::new(transform, len));
            contenders.push(Contender::new(named(peer.name, size), What::Seal, move || {
                timed(|| sa.seal(&mut to_seal, size))
            }));
            let sa = peer.sa(algorithm);
            contenders.push(Contender::new(named(peer.name, size), What::Open, move || {
                to_open.restore();
                sa.seal(&mut to_open, size);
                let mut good = 0;
                let took = timed(|| good = sa.open(&mut to_open, size));
                assert_eq!(good, PACKETS, "packets that a contender sealed itself");
                took
            }));
        }
    }
}
