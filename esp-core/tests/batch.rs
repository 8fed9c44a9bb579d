//! A batch gives what its packets give one after the other: bytes, verdicts, counters, notices.

#![allow(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "in a test these are failures of the test"
)]

#[allow(dead_code, reason = "shared with other tests")]
#[path = "support/hosts.rs"]
mod hosts;

use esp_core::*;
use hosts::*;
use proptest::prelude::*;

/// Networks 10.2.0.0/24, 10.2.1.0/24, … have an SA each.
const SAS: usize = 4;

type Hosts<'t> = (Processor<'t>, Processor<'t>);

/// Two gateways with an SA per network, some of which end soon; the same for the same arguments.
fn gateways<'t>(
    tables: &'t mut (Memory, Memory),
    chosen: &[(usize, bool)],
    last_packet: u64,
) -> Hosts<'t> {
    let (first, second) = tables;
    let mut a = Processor::new(first, Settings::DEFAULT);
    let mut b = Processor::new(second, Settings::DEFAULT);
    let entry = |selectors| [SpdEntry::new(PolicyId(1), selectors, Policy::PROTECT)];
    a.set_policies(&entry(tunnel_selectors(true))).expect("valid");
    b.set_policies(&entry(tunnel_selectors(false))).expect("valid");
    for (at, (transform, esn)) in chosen.iter().enumerate() {
        let all = transforms();
        let transform = all[transform % all.len()];
        let spi = 0x1000 + u32::try_from(at).expect("few");
        let network = subnet(&format!("10.2.{at}.0"), 24);
        let mut out = params(transform, V4, Encap::None, 100 + u64::from(spi), spi);
        out.selectors.remote.addresses = network;
        out.esn = *esn;
        let mut inb = params(transform, (V4.1, V4.0), Encap::None, 200 + u64::from(spi), spi);
        inb.selectors.local.addresses = network;
        inb.esn = *esn;
        if at == 0 {
            (out.lifetime.soft.packets, out.lifetime.hard.packets) = (last_packet / 2, last_packet);
            (inb.lifetime.soft.packets, inb.lifetime.hard.packets) =
                (last_packet / 3, last_packet * 2 / 3);
        }
        a.install_outbound(out, &mut rng()).expect("valid");
        b.install_inbound(inb).expect("valid");
    }
    (a, b)
}

/// A packet of the batch, and what happens to it.
#[derive(Clone, Debug)]
struct Plan {
    network: u8,
    len: usize,
    /// Bytes of headroom: too few now and then.
    headroom: usize,
    on_the_way: OnTheWay,
}

#[derive(Clone, Copy, Debug)]
enum OnTheWay {
    Nothing,
    Flip(usize),
    Cut(usize),
    /// Arrives in place of this packet of the batch: a copy of it.
    CopyOf(usize),
}

fn plan() -> impl Strategy<Value = Plan> {
    let on_the_way = prop_oneof![
        6 => Just(OnTheWay::Nothing),
        1 => any::<usize>().prop_map(OnTheWay::Flip),
        1 => any::<usize>().prop_map(OnTheWay::Cut),
        1 => any::<usize>().prop_map(OnTheWay::CopyOf),
    ];
    let headroom = prop_oneof![9 => Just(72_usize), 1 => 0..72_usize];
    (0..6_u8, prop_oneof![0..200_usize, 0..1500_usize], headroom, on_the_way).prop_map(
        |(network, len, headroom, on_the_way)| Plan { network, len, headroom, on_the_way },
    )
}

struct Memories {
    bytes: Vec<Vec<u8>>,
    ranges: Vec<core::ops::Range<usize>>,
}

impl Memories {
    fn new(plans: &[Plan]) -> Self {
        let mut all = Self { bytes: Vec::new(), ranges: Vec::new() };
        for plan in plans {
            let mut inner = udp_v4(plan.len, 0);
            inner[18] = plan.network;
            set_header_checksum(&mut inner);
            all.ranges.push(plan.headroom..plan.headroom + inner.len());
            all.bytes.push([&vec![0; plan.headroom][..], &inner, &[0; 49]].concat());
        }
        all
    }

    fn with<R>(&mut self, work: impl FnOnce(&mut [PacketBuf<'_>]) -> R) -> R {
        let buffers = self.bytes.iter_mut().zip(&self.ranges);
        let mut packets: Vec<_> = buffers
            .map(|(bytes, range)| PacketBuf::new(bytes, range.clone()).expect("inside"))
            .collect();
        let result = work(&mut packets);
        self.ranges = packets.iter().map(PacketBuf::range).collect();
        result
    }

    fn disturb(&mut self, plans: &[Plan]) {
        let count = plans.len();
        for (at, plan) in plans.iter().enumerate() {
            let range = self.ranges[at].clone();
            match plan.on_the_way {
                OnTheWay::Nothing => {}
                OnTheWay::Flip(bit) => {
                    let bit = bit % (range.len() * 8);
                    self.bytes[at][range.start + bit / 8] ^= 1 << (bit % 8);
                }
                OnTheWay::Cut(len) => self.ranges[at].end = range.start + len % range.len(),
                OnTheWay::CopyOf(other) => {
                    let other = other % count;
                    self.bytes[at] = self.bytes[other].clone();
                    self.ranges[at] = self.ranges[other].clone();
                }
            }
        }
    }

    fn packets(&self) -> Vec<&[u8]> {
        self.bytes.iter().zip(&self.ranges).map(|(bytes, range)| &bytes[range.clone()]).collect()
    }
}

fn notices(processor: &mut Processor<'_>) -> Vec<Notice> {
    let mut notices: Vec<_> = core::iter::from_fn(|| processor.poll_notice()).collect();
    notices.sort_by_key(|notice| format!("{notice:?}"));
    notices
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn batch_equals_single(
        plans in prop::collection::vec(plan(), 1..80),
        chosen in prop::collection::vec((any::<usize>(), any::<bool>()), SAS),
        last_packet in 1..30_u64,
    ) {
        let mut tables = ((Tables::new(), Tables::new()), (Tables::new(), Tables::new()));
        let (mut a1, mut b1) = gateways(&mut tables.0, &chosen, last_packet);
        let (mut a2, mut b2) = gateways(&mut tables.1, &chosen, last_packet);
        let (mut one_by_one, mut batch) = (Memories::new(&plans), Memories::new(&plans));

        let out1: Vec<_> =
            one_by_one.with(|packets| packets.iter_mut().map(|packet| a1.outbound(packet)).collect());
        let mut out2 = vec![Outbound::Bypass; plans.len()];
        batch.with(|packets| a2.outbound_batch(packets, &mut out2));
        prop_assert_eq!(&out1, &out2);
        prop_assert_eq!(one_by_one.packets(), batch.packets());
        prop_assert_eq!(a1.stats(), a2.stats());
        prop_assert_eq!(notices(&mut a1), notices(&mut a2));

        one_by_one.disturb(&plans);
        batch.disturb(&plans);
        let in1: Vec<_> = one_by_one
            .with(|packets| packets.iter_mut().map(|packet| b1.inbound(packet, Arrival::Ip)).collect());
        let mut in2 = vec![Inbound::Bypass; plans.len()];
        let arrivals = vec![Arrival::Ip; plans.len()];
        batch.with(|packets| b2.inbound_batch(packets, &arrivals, &mut in2));
        prop_assert_eq!(&in1, &in2);
        for ((verdict, one), other) in in1.iter().zip(one_by_one.packets()).zip(batch.packets()) {
            if matches!(verdict, Inbound::Deliver { .. }) {
                prop_assert_eq!(one, other);
            }
        }
        prop_assert_eq!(b1.stats(), b2.stats());
        let counters = |processor: &Processor<'_>| {
            let sas = processor.inbound_sas().map(|sa| (sa.counters(), sa.newest_sequence()));
            sas.collect::<Vec<_>>()
        };
        prop_assert_eq!(counters(&b1), counters(&b2));
        prop_assert_eq!(notices(&mut b1), notices(&mut b2));
    }
}

/// One SA: `seal_batch` and `open_batch` against `seal` and `open`, for every transform, every number
/// of packets and lengths all about the places where a lane ends, a packet in the middle having been tampered with.
#[test]
fn seal_batch_and_open_batch_equal_seal_and_open() {
    for transform in transforms() {
        for esn in [false, true] {
            let sa = || {
                let mut sa = params(transform, V4, Encap::None, A, 0x1000);
                sa.esn = esn;
                sa
            };
            let mut outbound = [(); 2].map(|()| OutboundSa::new(sa(), &mut rng()).expect("valid"));
            let mut inbound = [(); 2].map(|()| InboundSa::new(sa()).expect("valid"));
            for count in [1_usize, 2, 3, 4, 5, 7, 8, 9, 13, 16, 31, 32, 33, 40] {
                let tampered = |at| at == 1 || at == count / 2;
                let plans: Vec<_> = (0..count)
                    .map(|at| Plan {
                        network: 0,
                        len: at * 37 % (count * 11),
                        headroom: 72,
                        // Behind the outer header, the SPI and the sequence number.
                        on_the_way: if tampered(at) {
                            OnTheWay::Flip(8 * 28 + at)
                        } else {
                            OnTheWay::Nothing
                        },
                    })
                    .collect();
                let (mut single, mut batch) = (Memories::new(&plans), Memories::new(&plans));
                let [out1, out2] = &mut outbound;
                let one: Vec<_> =
                    single.with(|packets| packets.iter_mut().map(|p| out1.seal(p)).collect());
                let mut other = vec![Err(SealError::Malformed); count];
                batch.with(|packets| out2.seal_batch(packets, &mut other));
                assert_eq!(one, other);
                assert_eq!(single.packets(), batch.packets(), "{transform} {count}");
                single.disturb(&plans);
                batch.disturb(&plans);
                let arrived: Vec<_> = single.packets().into_iter().map(<[u8]>::to_vec).collect();
                let [in1, in2] = &mut inbound;
                let one: Vec<_> = single
                    .with(|packets| packets.iter_mut().map(|p| in1.open(p, Arrival::Ip)).collect());
                let mut other = vec![Err(OpenError::Malformed); count];
                let arrivals = vec![Arrival::Ip; count];
                batch.with(|packets| in2.open_batch(packets, &arrivals, &mut other));
                assert_eq!(one, other);
                for (at, result) in one.iter().enumerate() {
                    let refused = matches!(result, Err(OpenError::Integrity));
                    assert!(
                        if tampered(at) { refused } else { result.is_ok() },
                        "{transform} {one:?}"
                    );
                }
                assert_eq!(single.packets(), batch.packets());
                // RFC 4303 §3.4.4.1: what is not authentic is not decrypted.
                for at in (0..count).filter(|at| tampered(*at)) {
                    assert_eq!(single.packets()[at], arrived[at], "{transform} {at} of {count}");
                }
                assert_eq!(in1.counters(), in2.counters());
            }
        }
    }
}

/// With ESN a packet too old for the window has the low half of one 2³² later, and is refused as one that is not authentic. In
/// a batch it becomes too old by a packet in front of it.
#[test]
fn a_packet_that_becomes_too_old_within_a_batch() {
    let sa = |owner, ends| {
        let mut sa = params(AES_SHA1, ends, Encap::None, owner, 0x1000);
        (sa.esn, sa.replay_window) = (true, 32);
        sa
    };
    let mut outbound = OutboundSa::new(sa(A, V4), &mut rng()).expect("valid");
    let sealed: Vec<_> = (0..100)
        .map(|_| {
            let mut memory = [&[0; 72][..], &udp_v4(30, 0), &[0; 49]].concat();
            let end = memory.len() - 49;
            let mut packet = PacketBuf::new(&mut memory, 72..end).expect("inside");
            outbound.seal(&mut packet).expect("sealed");
            packet.packet().to_vec()
        })
        .collect();
    let mut tables = [(); 2].map(|()| Memory::new());
    let [mut one, mut other] = tables.each_mut().map(|tables| {
        let mut processor = Processor::new(tables, Settings::DEFAULT);
        let entry = SpdEntry::new(PolicyId(1), tunnel_selectors(false), Policy::PROTECT);
        processor.set_policies(&[entry]).expect("valid");
        processor.install_inbound(sa(B, (V4.1, V4.0))).expect("valid");
        processor
    });
    let order = [50, 100, 40, 99];
    let mut copies = order.map(|number| sealed[number - 1].clone());
    let single =
        copies.each_mut().map(|copy| one.inbound(&mut PacketBuf::whole(copy), Arrival::Ip));
    assert_eq!(single[2], Inbound::Discard(Discard::Integrity));
    assert!(matches!(single[3], Inbound::Deliver { .. }));
    let mut copies = order.map(|number| sealed[number - 1].clone());
    let mut packets = copies.each_mut().map(|copy| PacketBuf::whole(copy));
    let mut batch = [Inbound::Bypass; 4];
    let (first, rest) = batch.split_at_mut(1);
    other.inbound_batch(&mut packets[..1], &[Arrival::Ip], first);
    other.inbound_batch(&mut packets[1..], &[Arrival::Ip; 3], rest);
    assert_eq!(single, batch);
    assert_eq!(one.stats(), other.stats());
}

/// What an export took back is told again, though a batch spends all of the next reservation at once.
#[test]
fn every_reservation_asks_for_the_next() {
    let mut tables = ((Tables::new(), Tables::new()), (Tables::new(), Tables::new()));
    let chosen = [(0, false); SAS];
    let (mut a1, _) = gateways(&mut tables.0, &chosen, 1000);
    let (mut a2, _) = gateways(&mut tables.1, &chosen, 1000);
    let plan = Plan { network: 1, len: 10, headroom: 72, on_the_way: OnTheWay::Nothing };
    let plans = vec![plan; 12];
    for generation in 1..4 {
        for processor in [&mut a1, &mut a2] {
            assert!(processor.export_outbound(100 + 0x1001, 8, generation).is_some());
        }
        let single: Vec<_> = Memories::new(&plans)
            .with(|packets| packets.iter_mut().map(|packet| a1.outbound(packet)).collect());
        let mut batch = vec![Outbound::Bypass; plans.len()];
        Memories::new(&plans).with(|packets| a2.outbound_batch(packets, &mut batch));
        assert_eq!(single, batch);
        assert!(matches!((batch[7], batch[8]), (Outbound::Send { .. }, Outbound::Hold { .. })));
        let told = notices(&mut a1);
        assert!(matches!(told[..], [Notice::ReservationLow { .. }]), "{told:?}");
        assert_eq!(told, notices(&mut a2), "{generation}");
    }
}
