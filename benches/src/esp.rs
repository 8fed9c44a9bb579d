//! esp-core: what a packet costs, alone and in batches, and beside OpenSSL.
//!
//! Ours is the full path of [`Processor`]: policy and SA lookup, sequence number, IV, headers, padding, cipher, ICV,
//! replay window, policy again. The contender gets a packet laid out with its IV and does cipher and ICV alone.

#[cfg(feature = "peers")]
mod peers;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::SeedableRng;
use esp_core::{
    Addresses, Aead, Arrival, BlockCipher, Encap, Inbound, InboundSa, Integrity, KeyMaterial,
    Lifetime, Mode, Outbound, OutboundSa, PacketBuf, Policy, PolicyId, Processor, SaParams,
    Settings, SpdEntry, Spi, Tables, TrafficSelectors, Transform,
};

use crate::measure::nanoseconds;

/// Packets of one measurement.
const PACKETS: usize = 32;
/// Lengths of inner packets in bytes.
const LENGTHS: [usize; 4] = [64, 576, 1400, 9000];
/// How often each contender has its turn.
const ROUNDS: usize = 61;
/// What OpenSSL is to be beaten by at least: algorithm, what, at 1400 bytes.
const AIMS: [(&str, &str, f64); 6] = [
    ("AES-CBC-128 HMAC-SHA1-96", "seal", 1.55),
    ("AES-CBC-128 HMAC-SHA1-96", "seal, batch of 32", 2.8),
    ("AES-CBC-128 HMAC-SHA1-96", "open", 1.1),
    ("AES-CBC-128 HMAC-SHA1-96", "open, batch of 32", 1.65),
    ("AES-GCM-128", "seal", 1.0),
    ("AES-GCM-128", "open", 1.0),
];

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
struct Batch {
    memory: Vec<Vec<u8>>,
    inner: Vec<u8>,
}

const FRONT: usize = PacketBuf::HEADROOM;

impl Batch {
    fn new(len: usize) -> Self {
        let inner = inner(len);
        let one = [&[0; FRONT][..], &inner, &[0; PacketBuf::TAILROOM]].concat();
        Self { memory: vec![one; PACKETS], inner }
    }

    /// Clear packets again: their headers at least, which is what anybody looks at.
    fn clear(&mut self) -> Vec<PacketBuf<'_>> {
        let (len, header) = (self.inner.len(), &self.inner[..24]);
        let packets = self.memory.iter_mut().map(|memory| {
            memory[FRONT..FRONT + header.len()].copy_from_slice(header);
            PacketBuf::new(memory, FRONT..FRONT + len).expect("inside")
        });
        packets.collect()
    }
}

/// A contender: does [`PACKETS`] packets and tells how many nanoseconds it took.
struct Contender<'c> {
    name: String,
    run: Box<dyn FnMut() -> f64 + 'c>,
}

impl<'c> Contender<'c> {
    fn new(name: impl Into<String>, run: impl FnMut() -> f64 + 'c) -> Self {
        Self { name: name.into(), run: Box::new(run) }
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

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples[samples.len() / 2]
}

fn timed(work: impl FnOnce()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64() * 1e9
}

type Memory = Tables<4, 4, 64>;

fn gateway(tables: &mut Memory) -> Processor<'_> {
    let mut processor = Processor::new(tables, Settings::DEFAULT);
    let everything = TrafficSelectors::between(Addresses::Any, Addresses::Any);
    processor
        .set_policies(&[SpdEntry::new(PolicyId(1), everything, Policy::PROTECT)])
        .expect("valid");
    processor
}

fn sealer(tables: &mut Memory, transform: Transform) -> Processor<'_> {
    let mut processor = gateway(tables);
    processor.install_outbound(sa(transform, false, 0x1000), &mut rng()).expect("valid");
    processor
}

fn opener(tables: &mut Memory, transform: Transform) -> Processor<'_> {
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

/// The table of everything: transforms × lengths × seal and open × alone and in batches.
pub fn packets() {
    let mut against_aims = Vec::new();
    for transform in transforms() {
        println!("{transform}");
        println!("  bytes  what                      ns/packet     MB/s   ratio to OpenSSL");
        for len in LENGTHS {
            let mut tables: [Memory; 9] = core::array::from_fn(|_| Tables::new());
            let [t0, t1, t2, t3, t4, t5, t6, t7, t8] = &mut tables;
            let sizes = [1, 8, 32];
            let seals = [t0, t1, t2].map(|tables| sealer(tables, transform));
            let opens = [(t3, t4), (t5, t6), (t7, t8)]
                .map(|(from, to)| (sealer(from, transform), opener(to, transform)));
            let mut contenders = Vec::new();
            for (mut processor, size) in seals.into_iter().zip(sizes) {
                let mut batch = Batch::new(len);
                contenders.push(Contender::new(named("seal", size), move || {
                    seal_in_batches(&mut processor, &mut batch, size)
                }));
            }
            for ((mut from, mut to), size) in opens.into_iter().zip(sizes) {
                let mut batch = Batch::new(len);
                contenders.push(Contender::new(named("open", size), move || {
                    open_in_batches(&mut from, &mut to, &mut batch, size)
                }));
            }
            add_peers(&mut contenders, transform, len);
            let took = compete(&mut contenders);
            let peer = |what: &str| {
                let name = format!("OpenSSL {what}");
                let at = contenders.iter().position(|contender| contender.name == name)?;
                took.get(at).copied()
            };
            for (contender, ns) in contenders.iter().zip(&took) {
                let what = if contender.name.contains("seal") { "seal" } else { "open" };
                let ratio = peer(what).map(|peer| peer / ns);
                let shown = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
                let name = &contender.name;
                println!(
                    "  {len:>5}  {name:<24} {ns:>10.0} {:>8.0}   {shown}",
                    len as f64 * 1e3 / ns
                );
                if len == 1400 {
                    against_aims.extend(AIMS.iter().filter_map(|(algorithm, what, aim)| {
                        let meant = *algorithm == transform.to_string() && *what == name;
                        Some((*algorithm, *what, *aim, ratio?)).filter(|_| meant)
                    }));
                }
            }
        }
        println!();
    }
    if !against_aims.is_empty() {
        println!("aims at 1400 bytes, ratio to OpenSSL");
        for (algorithm, what, aim, ratio) in against_aims {
            let verdict = if ratio >= aim { "reached" } else { "missed" };
            println!("  {algorithm:<26} {what:<20} aim {aim:<5} measured {ratio:.2}  {verdict}");
        }
    }
}

fn named(what: &str, size: usize) -> String {
    if size == 1 { what.into() } else { format!("{what}, batch of {size}") }
}

#[cfg(not(feature = "peers"))]
fn add_peers(_contenders: &mut Vec<Contender<'_>>, _transform: Transform, _len: usize) {}

#[cfg(feature = "peers")]
fn add_peers(contenders: &mut Vec<Contender<'_>>, transform: Transform, len: usize) {
    use peers::OpenSsl;
    let openssl = match transform {
        Transform::CbcHmac(BlockCipher::Aes128, _) => {
            OpenSsl::cbc(c"AES-128-CBC", c"SHA1", 16, 20, 12)
        }
        Transform::CbcHmac(_, Integrity::HmacSha256_128) => {
            OpenSsl::cbc(c"AES-256-CBC", c"SHA256", 32, 32, 16)
        }
        Transform::CbcHmac(..) => OpenSsl::cbc(c"AES-256-CBC", c"SHA512", 32, 64, 32),
        Transform::Aead(Aead::Aes128Gcm16) => OpenSsl::aead(c"AES-128-GCM"),
        Transform::Aead(Aead::Aes256Gcm16) => OpenSsl::aead(c"AES-256-GCM"),
        Transform::Aead(_) => OpenSsl::aead(c"ChaCha20-Poly1305"),
        _ => return,
    };
    let esp_len = len + transform.padding_len(len) + transform.overhead();
    let packets = vec![vec![0x5a; esp_len]; PACKETS];
    let mut to_seal = packets.clone();
    contenders.push(Contender::new("OpenSSL seal", move || {
        timed(|| to_seal.iter_mut().for_each(|packet| openssl.seal(packet)))
    }));
    let mut to_open = packets;
    contenders.push(Contender::new("OpenSSL open", move || {
        to_open.iter_mut().for_each(|packet| openssl.seal(packet));
        timed(|| {
            for packet in &mut to_open {
                assert!(openssl.open(packet));
            }
        })
    }));
}

/// Looking up an SA and a policy among many.
pub fn lookups() {
    println!("entries      SA by SPI, ns      policy: new flow, ns    known flow, ns");
    lookups_among::<1>();
    lookups_among::<1_000>();
    lookups_among::<100_000>();
}

fn lookups_among<const N: usize>() {
    // On the heap and not on the stack: 100 000 SAs are some hundred megabytes.
    let mut tables: Box<Tables<N, N, 4096>> = big_box();
    let mut processor = Processor::new(&mut tables, Settings::DEFAULT);
    let network = |at: u32| Ipv4Addr::from_bits(0x0b00_0000 + at * 256);
    let entries: Vec<_> = (0..u32::try_from(N).expect("few"))
        .map(|at| {
            let remote = Addresses::Subnet { network: network(at).into(), prefix: 24 };
            let selectors = TrafficSelectors::between(Addresses::Any, remote);
            SpdEntry::new(PolicyId(at), selectors, Policy::PROTECT)
        })
        .collect();
    processor.set_policies(&entries).expect("valid");
    // NULL with HMAC: the smallest states, since it is the look-up that is of interest.
    let transform = Transform::NullHmac(Integrity::HmacSha1_96);
    for at in 0..u32::try_from(N).expect("few") {
        let spi = 0x1000 + at.wrapping_mul(2_654_435_761) / 2;
        let mut params = sa(transform, true, spi);
        params.policy = PolicyId(at);
        processor.install_inbound(params).expect("valid");
    }
    let spis: Vec<u32> = processor.inbound_sas().map(|sa| sa.spi().get()).collect();
    // An ESP packet too short for its SA: found, and refused before any cryptography. What remains with an unknown SPI
    // is what is not the look-up.
    let mut random = 1_u32;
    let mut refuse = |spis: &[u32]| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let spi = spis[(random as usize >> 8) % spis.len()];
        let mut packet = [0; 12];
        packet[..4].copy_from_slice(&spi.to_be_bytes());
        let outer = esp_core::Outer {
            local: REMOTE,
            remote: LOCAL,
            encap: Encap::None,
            traffic_class: 0,
            dont_fragment: false,
        };
        let _ =
            black_box(processor.inbound(&mut PacketBuf::whole(&mut packet), Arrival::Esp(outer)));
    };
    let found = nanoseconds(|| refuse(&spis));
    let packet_to = |at: u32| {
        let mut packet = inner(64);
        packet[16..20].copy_from_slice(&(network(at).to_bits() + 1).to_be_bytes());
        packet
    };
    let last = packet_to(u32::try_from(N).expect("few") - 1);
    let mut known = last.clone();
    let known = nanoseconds(|| {
        let _ = black_box(processor.outbound(&mut PacketBuf::whole(&mut known)));
    });
    // Every packet of another flow: the list is walked to its last line each time.
    let mut fresh = last;
    let mut port = 0_u16;
    let fresh = nanoseconds(|| {
        port = port.wrapping_add(1);
        fresh[20..22].copy_from_slice(&port.to_be_bytes());
        let _ = black_box(processor.outbound(&mut PacketBuf::whole(&mut fresh)));
    });
    println!("{N:>7}      {found:>10.1}        {fresh:>12.1}           {known:>10.1}");
}

fn big_box<const N: usize>() -> Box<Tables<N, N, 4096>> {
    // Built where it will stay: a new thread has a stack for one copy on the way.
    let bytes = size_of::<Tables<N, N, 4096>>();
    std::thread::Builder::new()
        .stack_size(4 * bytes + (1 << 20))
        .spawn(|| Box::new(Tables::new()))
        .expect("memory")
        .join()
        .expect("memory")
}

/// Bytes of state.
pub fn memory() {
    println!(
        "OutboundSa {:>6} bytes, of which the largest transform sets the size",
        size_of::<OutboundSa>()
    );
    println!("InboundSa  {:>6} bytes", size_of::<InboundSa>());
    println!("Tables<8, 4, 16>     {:>8} bytes", size_of::<Tables<8, 4, 16>>());
    println!("Tables<64, 64, 256>  {:>8} bytes", size_of::<Tables<64, 64, 256>>());
}
