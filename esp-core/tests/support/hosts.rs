//! Gateways, hosts and packets to test with.

use core::net::IpAddr;
use core::ops::Range;

use chacha20::ChaCha20Rng;
use esp_core::*;
use rand_core::SeedableRng;

/// Owners: of `a`'s SAs and of `b`'s.
pub(crate) const A: u64 = 100;
pub(crate) const B: u64 = 200;

/// Outer addresses of `a` and `b`.
pub(crate) type Ends = (IpAddr, IpAddr);
pub(crate) const V4: Ends = (
    IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 1)),
    IpAddr::V4(core::net::Ipv4Addr::new(192, 0, 2, 2)),
);
pub(crate) const V6: Ends = (
    IpAddr::V6(core::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    IpAddr::V6(core::net::Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2)),
);
pub(crate) const UDP: Encap = Encap::Udp { local_port: 4500, remote_port: 4500 };
pub(crate) const ANY: TrafficSelectors = TrafficSelectors::between(Addresses::Any, Addresses::Any);
pub(crate) const AES_SHA1: Transform =
    Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha1_96);

/// Every transform that is built in.
pub(crate) fn transforms() -> Vec<Transform> {
    use BlockCipher::{Aes192, Aes256};
    use Integrity::{HmacSha1_96, HmacSha256_128, HmacSha384_192, HmacSha512_256};
    #[cfg_attr(not(feature = "legacy"), expect(unused_mut, reason = "legacy adds to it"))]
    let mut all = vec![
        AES_SHA1,
        Transform::CbcHmac(Aes192, HmacSha256_128),
        Transform::CbcHmac(Aes256, HmacSha384_192),
        Transform::CbcHmac(Aes256, HmacSha512_256),
        Transform::NullHmac(HmacSha1_96),
        Transform::NullHmac(HmacSha512_256),
        Transform::Aead(Aead::Aes128Gcm16),
        Transform::Aead(Aead::Aes192Gcm16),
        Transform::Aead(Aead::Aes256Gcm16),
        Transform::Aead(Aead::Aes128Gmac),
        Transform::Aead(Aead::Aes256Gmac),
        Transform::Aead(Aead::ChaCha20Poly1305),
    ];
    #[cfg(feature = "legacy")]
    all.extend([
        Transform::CbcHmac(BlockCipher::TripleDes, Integrity::HmacMd5_96),
        Transform::CbcHmac(Aes256, Integrity::HmacSha256_96),
    ]);
    all
}

/// Whether a transform leaves the payload readable.
pub(crate) fn is_clear(transform: Transform) -> bool {
    use Aead::{Aes128Gmac, Aes192Gmac, Aes256Gmac};
    matches!(
        transform,
        Transform::NullHmac(_) | Transform::Aead(Aes128Gmac | Aes192Gmac | Aes256Gmac)
    )
}

pub(crate) fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(7)
}

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

pub(crate) fn subnet(network: &str, prefix: u8) -> Addresses {
    Addresses::Subnet { network: ip(network), prefix }
}

/// The networks behind `a` and `b`, seen from one of them.
pub(crate) fn tunnel_selectors(from_a: bool) -> TrafficSelectors {
    let (a, b) = (subnet("10.1.0.0", 16), subnet("10.2.0.0", 16));
    if from_a { TrafficSelectors::between(a, b) } else { TrafficSelectors::between(b, a) }
}

/// An SA of one end, whose first address is its own; keys follow from the SPI.
pub(crate) fn params(
    transform: Transform,
    ends: Ends,
    encap: Encap,
    owner: u64,
    spi: u32,
) -> SaParams {
    let mut keys = KeyMaterial::zeroed(transform.key_material_len()).expect("fits");
    for (at, byte) in keys.as_mut_slice().iter_mut().enumerate() {
        *byte = u8::try_from((spi as usize * 31 + at * 7) % 251).expect("small");
    }
    SaParams {
        spi: Spi::new(spi).expect("not reserved"),
        mode: Mode::Tunnel,
        local: ends.0,
        remote: ends.1,
        encap,
        transform,
        keys,
        esn: false,
        replay_window: 64,
        lifetime: Lifetime::UNLIMITED,
        selectors: tunnel_selectors(ends.0 < ends.1),
        dscp: DscpSet::ALL,
        policy: PolicyId(1),
        owner,
    }
}

pub(crate) type Memory = Tables<4, 4, 8>;

fn end<'t>(
    tables: &'t mut Memory,
    settings: Settings,
    selectors: TrafficSelectors,
    inbound: SaParams,
    outbound: SaParams,
) -> Processor<'t> {
    let mut processor = Processor::new(tables, settings);
    let own = inbound.local;
    processor
        .set_policies(&[
            SpdEntry::own_udp(PolicyId(100), own, 500),
            SpdEntry::own_udp(PolicyId(101), own, 4500),
            SpdEntry::new(PolicyId(1), selectors, Policy::PROTECT),
        ])
        .expect("valid");
    processor.install_inbound(inbound).expect("valid");
    processor.install_outbound(outbound, &mut rng()).expect("valid");
    processor
}

/// Two gateways with a tunnel for IPv4. 0x1000 leads from `a` to `b`, 0x2000 back.
pub(crate) fn pair<'t>(
    tables: &'t mut (Memory, Memory),
    settings: Settings,
    transform: Transform,
    ends: Ends,
    encap: Encap,
) -> (Processor<'t>, Processor<'t>) {
    let selectors = (tunnel_selectors(true), tunnel_selectors(false));
    join(tables, settings, transform, ends, encap, Mode::Tunnel, selectors)
}

/// Two gateways with a tunnel for IPv6.
pub(crate) fn pair_v6<'t>(
    tables: &'t mut (Memory, Memory),
    settings: Settings,
    transform: Transform,
    ends: Ends,
    encap: Encap,
) -> (Processor<'t>, Processor<'t>) {
    let (a, b) = (subnet("fd01::", 16), subnet("fd02::", 16));
    let selectors = (TrafficSelectors::between(a, b), TrafficSelectors::between(b, a));
    join(tables, settings, transform, ends, encap, Mode::Tunnel, selectors)
}

/// Two hosts in transport mode.
pub(crate) fn hosts<'t>(
    tables: &'t mut (Memory, Memory),
    settings: Settings,
    ends: Ends,
    encap: Encap,
) -> (Processor<'t>, Processor<'t>) {
    let selectors = (ANY, ANY);
    join(tables, settings, AES_SHA1, ends, encap, Mode::Transport, selectors)
}

fn join<'t>(
    tables: &'t mut (Memory, Memory),
    settings: Settings,
    transform: Transform,
    ends: Ends,
    encap: Encap,
    mode: Mode,
    selectors: (TrafficSelectors, TrafficSelectors),
) -> (Processor<'t>, Processor<'t>) {
    let sa = |own, owner, spi, selectors| {
        let mut sa = params(transform, own, encap, owner, spi);
        (sa.selectors, sa.mode) = (selectors, mode);
        sa
    };
    let back = (ends.1, ends.0);
    let (for_a, for_b) = selectors;
    (
        end(&mut tables.0, settings, for_a, sa(ends, A, 0x2000, for_a), sa(ends, A, 0x1000, for_a)),
        end(&mut tables.1, settings, for_b, sa(back, B, 0x1000, for_b), sa(back, B, 0x2000, for_b)),
    )
}

/// The outside of a packet as its receiver sees it.
pub(crate) fn turned(outer: Outer) -> Outer {
    let encap = match outer.encap {
        Encap::None => Encap::None,
        Encap::Udp { local_port, remote_port } => {
            Encap::Udp { local_port: remote_port, remote_port: local_port }
        }
    };
    Outer { local: outer.remote, remote: outer.local, encap, ..outer }
}

/// Memory with a packet in it, and room on both sides.
#[derive(Clone)]
pub(crate) struct Buffer {
    memory: Vec<u8>,
    range: Range<usize>,
}

impl Buffer {
    pub(crate) fn new(packet: &[u8]) -> Self {
        const ROOM: usize = 1200;
        let memory = [&[0xee; ROOM][..], packet, &[0xee; ROOM][..]].concat();
        Self { memory, range: ROOM..ROOM + packet.len() }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.memory[self.range.clone()]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.range.clone()]
    }

    pub(crate) fn outbound(&mut self, processor: &mut Processor<'_>) -> Outbound {
        let mut packet = PacketBuf::new(&mut self.memory, self.range.clone()).expect("inside");
        let verdict = processor.outbound(&mut packet);
        self.range = packet.range();
        verdict
    }

    pub(crate) fn inbound(&mut self, processor: &mut Processor<'_>, arrival: Arrival) -> Inbound {
        let mut packet = PacketBuf::new(&mut self.memory, self.range.clone()).expect("inside");
        let verdict = processor.inbound(&mut packet, arrival);
        self.range = packet.range();
        verdict
    }
}

fn sum(bytes: &[u8]) -> u32 {
    bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0)))
        .sum()
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).expect("folded")
}

/// 0 if the checksum of an IPv4 header is right.
pub(crate) fn header_checksum(packet: &[u8]) -> u16 {
    fold(sum(&packet[..20]))
}

/// 0 if the checksum that UDP, TCP or ICMPv6 has in a packet without options or extension headers is right.
pub(crate) fn inner_checksum(packet: &[u8]) -> u16 {
    let (protocol, addresses, payload) = if packet[0] >> 4 == 4 {
        (packet[9], &packet[12..20], &packet[20..])
    } else {
        (packet[6], &packet[8..40], &packet[40..])
    };
    let len = u32::try_from(payload.len()).expect("short");
    fold(sum(addresses) + u32::from(protocol) + len + sum(payload))
}

/// A UDP packet with `len` bytes of payload and a right checksum.
pub(crate) fn udp_ports(
    from: IpAddr,
    to: IpAddr,
    source: u16,
    destination: u16,
    len: usize,
) -> Vec<u8> {
    let udp_len = u16::try_from(8 + len).expect("short");
    let mut packet = match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let [len0, len1] = (20 + udp_len).to_be_bytes();
            let mut header = vec![0x45, 0, len0, len1, 0, 1, 0, 0, 64, 17, 0, 0];
            header.extend(from.octets().into_iter().chain(to.octets()));
            let checksum = header_checksum(&header);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            header
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let [len0, len1] = udp_len.to_be_bytes();
            let mut header = vec![0x60, 0, 0, 0, len0, len1, 17, 64];
            header.extend(from.octets().into_iter().chain(to.octets()));
            header
        }
        _ => panic!("two families"),
    };
    let at = packet.len();
    for word in [source, destination, udp_len, 0] {
        packet.extend(word.to_be_bytes());
    }
    packet.extend((0..len).map(|at| u8::try_from((at * 89 + 3) % 253).expect("small")));
    let checksum = inner_checksum(&packet);
    packet[at + 6..at + 8].copy_from_slice(&checksum.to_be_bytes());
    packet
}

pub(crate) fn udp_between(from: IpAddr, to: IpAddr, len: usize) -> Vec<u8> {
    udp_ports(from, to, 1000, 2000, len)
}

/// From the network behind `a` to that behind `b`, with these flags and fragment offset.
pub(crate) fn udp_v4(len: usize, fragment: u16) -> Vec<u8> {
    let mut packet = udp_between(ip("10.1.0.1"), ip("10.2.0.1"), len);
    packet[6..8].copy_from_slice(&fragment.to_be_bytes());
    set_header_checksum(&mut packet);
    packet
}

pub(crate) fn udp_v6(len: usize) -> Vec<u8> {
    udp_between(ip("fd01::1"), ip("fd02::1"), len)
}

pub(crate) fn set_header_checksum(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let checksum = header_checksum(packet);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
}

/// Whether `part` stands somewhere in `bytes`.
pub(crate) fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}
