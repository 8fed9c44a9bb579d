//! A removed SA leaves nothing in its tables, byte for byte, and an expired one none of its keys: read from memory itself.

use core::ops::Range;
use std::collections::HashSet;
use std::os::unix::fs::FileExt;

use chacha20::ChaCha20Rng;
use esp_core::*;
use rand_core::{Rng, SeedableRng};

use crate::hosts::*;

/// Policies, SAs, and no cache of flows.
type Memory = Tables<4, 4, 0>;

struct Watched {
    tables: &'static mut Memory,
    address: usize,
}

impl Watched {
    fn new() -> Self {
        let tables = Box::leak(Box::new(Memory::new()));
        let address = core::ptr::from_mut(tables).expose_provenance();
        Self { tables, address }
    }
}

fn bytes(address: usize) -> Vec<u8> {
    bytes_of::<Memory>(address)
}

fn bytes_of<T>(address: usize) -> Vec<u8> {
    let mut bytes = vec![0; size_of::<T>()];
    let memory = std::fs::File::open("/proc/self/mem").unwrap();
    memory.read_exact_at(&mut bytes, address as u64).unwrap();
    bytes
}

/// Where something stands that no counter, address or length looks like: keys, round keys, states of a hash. Forty bytes
/// and more of it, since the padding of smaller things holds what was on the stack.
fn secrets(bytes: &[u8]) -> Vec<Range<usize>> {
    let mut found: Vec<Range<usize>> = vec![];
    for at in (0..bytes.len().saturating_sub(15)).step_by(8) {
        let distinct: HashSet<_> = bytes[at..at + 16].iter().filter(|byte| **byte != 0).collect();
        if distinct.len() < 12 {
            continue;
        }
        match found.last_mut() {
            Some(last) if last.end + 16 >= at => last.end = at + 16,
            _ => found.push(at..at + 16),
        }
    }
    found.retain(|range| range.len() >= 40);
    found
}

/// What the test itself has left on the stack must not get into the padding of what is put together there.
#[inline(never)]
fn clean_the_stack() {
    core::hint::black_box(&mut [0_u8; 65_536]);
}

fn processor(tables: &'static mut Memory) -> Processor<'static> {
    let mut processor = Processor::new(tables, Settings::DEFAULT);
    let entry = SpdEntry::new(PolicyId(1), tunnel_selectors(true), Policy::PROTECT);
    processor.set_policies(&[entry]).unwrap();
    processor
}

/// Keys that look like what a key manager derives.
fn random_keys(mut sa: SaParams) -> SaParams {
    let mut keys = vec![0; sa.keys.as_slice().len()];
    ChaCha20Rng::seed_from_u64(sa.spi.get().into()).fill_bytes(&mut keys);
    clean_the_stack();
    sa.keys.as_mut_slice().copy_from_slice(&keys);
    sa
}

fn install(
    processor: &mut Processor<'_>,
    transform: Transform,
    lifetime: Lifetime,
    owners: &[u64],
) {
    for owner in owners.iter().copied() {
        let number = u32::from(owner == B);
        let sa = |spi| {
            clean_the_stack();
            let mut sa = random_keys(params(transform, V4, Encap::None, owner, spi));
            sa.lifetime = lifetime;
            sa
        };
        let mut rng = rng();
        processor.install_inbound(sa(0x2000 + number)).unwrap();
        // The second one succeeds the first, in its slot.
        processor.install_outbound(sa(0x1000 + number), &mut rng).unwrap();
    }
}

fn use_all(processor: &mut Processor<'_>, transform: Transform, packets: usize, batches: bool) {
    let mut peer = OutboundSa::new(
        random_keys(SaParams {
            selectors: tunnel_selectors(false),
            ..params(transform, (V4.1, V4.0), Encap::None, A, 0x2000)
        }),
        &mut rng(),
    )
    .unwrap();
    for _ in 0..packets {
        if batches {
            let mut memory = [&[0; 200][..], &udp_v4(200, 0), &[0; 200][..]].concat();
            let end = memory.len() - 200;
            let mut one = [PacketBuf::new(&mut memory, 200..end).unwrap()];
            processor.outbound_batch(&mut one, &mut [Outbound::Bypass]);
        } else {
            let _ = Buffer::new(&udp_v4(200, 0)).outbound(processor);
        }
        let inner = udp_between(ip("10.2.0.1"), ip("10.1.0.1"), 100);
        let mut memory = [&[0; 200][..], &inner, &[0; 200][..]].concat();
        let end = 200 + inner.len();
        let mut packet = PacketBuf::new(&mut memory, 200..end).unwrap();
        peer.seal(&mut packet).unwrap();
        let sealed = packet.packet().to_vec();
        let _ = Buffer::new(&sealed).inbound(processor, Arrival::Ip);
    }
}

#[test]
fn a_removed_sa_leaves_nothing() {
    for transform in transforms() {
        let watched = Watched::new();
        let mut processor = processor(watched.tables);
        let before = bytes(watched.address);
        install(&mut processor, transform, Lifetime::UNLIMITED, &[A, B]);
        use_all(&mut processor, transform, 3, false);
        assert_eq!((processor.stats().sent, processor.stats().delivered), (3, 3), "{transform:?}");
        let found = secrets(&bytes(watched.address)).len();
        assert!(found >= 3, "{transform:?}: the search finds {found}");
        while processor.poll_notice().is_some() {}
        assert_eq!(processor.remove_owner(A), 1, "{transform:?}: the successor took its slot");
        assert!(secrets(&bytes(watched.address)).len() < found, "{transform:?}");
        assert_eq!(processor.remove_owner(B), 2);
        let after = bytes(watched.address);
        let left = (0..after.len()).filter(|at| after[*at] != before[*at]).count();
        assert_eq!(left, 0, "{transform:?}: {left} bytes are left");
    }
}

/// An SA at its hard limit stays in the table, until it is removed, without its keys.
#[test]
fn an_expired_sa_keeps_no_key() {
    for (transform, batches) in transforms().into_iter().flat_map(|one| [(one, false), (one, true)])
    {
        let watched = Watched::new();
        let mut processor = processor(watched.tables);
        let before = bytes(watched.address);
        let hard = Limit { bytes: u64::MAX, packets: 2 };
        install(&mut processor, transform, Lifetime { soft: hard, hard }, &[A]);
        let mut keys = secrets(&bytes(watched.address));
        keys.retain(|range| before[range.clone()].iter().all(|byte| *byte == 0));
        assert!(!keys.is_empty(), "{transform:?}: the search finds nothing");
        use_all(&mut processor, transform, 3, batches);
        assert_eq!((processor.stats().sent, processor.stats().delivered), (2, 2), "{transform:?}");
        assert_eq!(processor.inbound_sas().count() + processor.outbound_sas().count(), 2);
        let after = bytes(watched.address);
        for range in keys {
            // What borders on the keys may look like them.
            let inner = range.start + 8..range.end - 8;
            let kept = after[inner].iter().filter(|byte| **byte != 0).count();
            assert_eq!(kept, 0, "{transform:?} keeps {kept} bytes of {range:?}");
        }
    }
}

/// The same of an SA by itself that ends in the middle of a batch: once the packets before its end are sealed.
#[test]
fn an_sa_that_ends_in_a_batch_keeps_no_key() {
    for transform in transforms() {
        let hard = Limit { bytes: u64::MAX, packets: 2 };
        let mut params = random_keys(params(transform, V4, Encap::None, A, 0x1000));
        params.lifetime = Lifetime { soft: hard, hard };
        let mut sa = Box::new(OutboundSa::new(params, &mut rng()).unwrap());
        let address = core::ptr::from_mut(&mut *sa).expose_provenance();
        let keys = secrets(&bytes_of::<OutboundSa>(address));
        assert!(!keys.is_empty(), "{transform:?}: the search finds nothing");
        let inner = udp_v4(100, 0);
        let mut memory = [(); 3].map(|()| [&[0; 100][..], &inner, &[0; 100]].concat());
        let mut packets =
            memory.each_mut().map(|memory| PacketBuf::new(memory, 100..100 + inner.len()).unwrap());
        let mut results = [Err(SealError::Malformed); 3];
        sa.seal_batch(&mut packets, &mut results);
        assert!(results[0].is_ok() && results[1].is_ok(), "{transform:?}");
        assert_eq!(results[2], Err(SealError::Expired), "{transform:?}");
        let after = bytes_of::<OutboundSa>(address);
        for range in keys {
            let inner = range.start + 8..range.end - 8;
            let kept = after[inner].iter().filter(|byte| **byte != 0).count();
            assert_eq!(kept, 0, "{transform:?} keeps {kept} bytes of {range:?}");
        }
    }
}

#[test]
fn a_dropped_processor_leaves_no_key() {
    for transform in transforms() {
        let watched = Watched::new();
        let mut processor = processor(watched.tables);
        let before = bytes(watched.address);
        install(&mut processor, transform, Lifetime::UNLIMITED, &[A, B]);
        use_all(&mut processor, transform, 3, false);
        drop(processor);
        assert!(bytes(watched.address) == before, "{transform:?}");
    }
}
