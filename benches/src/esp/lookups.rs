//! SAs and policies found among many.

use std::hint::black_box;
use std::net::Ipv4Addr;

use esp_core::{
    Addresses, Arrival, Encap, Integrity, PacketBuf, Policy, PolicyId, Processor, Settings,
    SpdEntry, Tables, TrafficSelectors, Transform,
};

use super::{LOCAL, REMOTE, inner, sa};
use crate::measure::nanoseconds;

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
