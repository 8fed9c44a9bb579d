//! SAs and policies found among many.

use std::hint::black_box;
use std::net::Ipv4Addr;

use esp_core::{
    Addresses, Arrival, Encap, Integrity, PacketBuf, Policy, PolicyId, Processor, Settings,
    SpdEntry, Spi, Tables, TrafficSelectors, Transform,
};

use super::{LOCAL, REMOTE, inner, rng, sa};
use crate::measure::nanoseconds;

/// Looking up an SA and a policy among many.
pub fn lookups() {
    println!(
        "entries   index by SPI, ns   inbound path, ns   policy: new flow, ns   known flow, ns"
    );
    lookups_among::<1>();
    lookups_among::<1_000>();
    lookups_among::<100_000>();
    println!("\nSAs of one entry, one for each host   outbound path without the flow cache, ns");
    hosts_among::<1>();
    hosts_among::<1_000>();
    hosts_among::<100_000>();
}

/// The outbound SA of a host, of one entry's many, up to the refusal for want of room.
fn hosts_among<const N: usize>() {
    let mut tables: Box<Tables<1, N, 0>> = big_box();
    let mut processor = Processor::new(&mut tables, Settings::DEFAULT);
    let all = TrafficSelectors::between(Addresses::Any, Addresses::Any);
    processor.set_policies(&[SpdEntry::new(PolicyId(1), all, Policy::PROTECT)]).expect("valid");
    let host = |at: u32| Ipv4Addr::from_bits(0x0b00_0000 + at);
    let count = u32::try_from(N).expect("few");
    for at in 0..count {
        let mut params = sa(Transform::NullHmac(Integrity::HmacSha1_96), false, 0x1000 + at);
        let remote = Addresses::host(host(at).into());
        params.selectors = TrafficSelectors::between(Addresses::Any, remote);
        processor.install_outbound(params, &mut rng()).expect("valid");
    }
    let (mut packet, mut random) = (inner(64), 1_u32);
    let took = nanoseconds(|| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        packet[16..20].copy_from_slice(&host((random >> 8) % count).octets());
        let _ = black_box(processor.outbound(&mut PacketBuf::whole(&mut packet)));
    });
    println!("{N:>36}   {took:>44.1}");
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
    // The look-up by itself, over all entries in random order, each waiting for the one before.
    let mut random = 1_u32;
    let index = nanoseconds(|| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let at = u32::try_from((u64::from(random) * N as u64) >> 32).expect("few");
        let spi = Spi::new(0x1000 + at.wrapping_mul(2_654_435_761) / 2).expect("not reserved");
        random = random.wrapping_add(u32::from(black_box(processor.spi_in_use(spi))));
    });
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
    println!("{N:>7}   {index:>16.1}   {found:>16.1}   {fresh:>20.1}   {known:>14.1}");
}

fn big_box<const LINES: usize, const N: usize, const FLOWS: usize>() -> Box<Tables<LINES, N, FLOWS>>
{
    // Built where it will stay: a new thread has a stack for one copy on the way.
    let bytes = size_of::<Tables<LINES, N, FLOWS>>();
    std::thread::Builder::new()
        .stack_size(4 * bytes + (1 << 20))
        .spawn(|| Box::new(Tables::new()))
        .expect("memory")
        .join()
        .expect("memory")
}
