//! Any bytes through every door: a verdict comes out, nothing panics, nothing is delivered that was not sealed.

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

/// Random bytes, or a good packet with some of its first bytes, which are the headers, exchanged.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let good = prop_oneof![
        (0..300_usize).prop_map(|len| udp_v4(len, 0)),
        (0..300_usize).prop_map(udp_v6),
        (0..300_usize).prop_map(|len| udp_ports(V4.0, V4.1, 4500, 4500, len)),
    ];
    let changes = prop::collection::vec((0..64_usize, any::<u8>()), 0..6);
    let changed =
        (good, changes, any::<prop::sample::Index>()).prop_map(|(mut packet, changes, end)| {
            for (at, value) in changes {
                if let Some(byte) = packet.get_mut(at) {
                    *byte = value;
                }
            }
            packet.truncate(end.index(packet.len() + 1).max(packet.len() / 2));
            packet
        });
    prop_oneof![prop::collection::vec(any::<u8>(), 0..200), changed]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn through_every_door(
        packet in bytes(),
        which in any::<prop::sample::Index>(),
        transport in any::<bool>(),
        ours in any::<bool>(),
        headroom in 0..80_usize,
    ) {
        let all = transforms();
        let transform = all[which.index(all.len())];
        let mut tables = (Tables::new(), Tables::new());
        let (mut a, mut b) = if transport {
            hosts(&mut tables, Settings::DEFAULT, V4, UDP)
        } else {
            pair(&mut tables, Settings::DEFAULT, transform, V4, UDP)
        };
        let mut packet = packet;
        // Half of them name an SA that there is, wherever the SPI would be.
        if ours {
            for at in [0, 28] {
                if let Some(spi) = packet.get_mut(at..at + 4) {
                    spi.copy_from_slice(&0x1000_u32.to_be_bytes());
                }
            }
        }
        let outer = Outer {
            local: V4.1,
            remote: V4.0,
            encap: UDP,
            traffic_class: 0,
            dont_fragment: false,
        };
        let with_room = [&vec![0; headroom][..], &packet, &[0; 49]].concat();
        let range = headroom..headroom + packet.len();
        for arrival in [Arrival::Ip, Arrival::Esp(outer)] {
            let mut memory = with_room.clone();
            let mut buffer = PacketBuf::new(&mut memory, range.clone()).expect("inside");
            let verdict = b.inbound(&mut buffer, arrival);
            let delivered = matches!(verdict, Inbound::Deliver { .. });
            prop_assert!(!delivered, "{:?}", verdict);
        }
        let mut memory = with_room.clone();
        let mut buffer = PacketBuf::new(&mut memory, range.clone()).expect("inside");
        match a.outbound(&mut buffer) {
            Outbound::Send { .. } => {
                let verdict = b.inbound(&mut buffer, Arrival::Ip);
                let delivered = matches!(verdict, Inbound::Deliver { .. });
                prop_assert!(delivered, "{:?}", verdict);
            }
            Outbound::Bypass => {}
            Outbound::Discard(_) | Outbound::Hold { .. } | Outbound::TooBig { .. } => {
                prop_assert_eq!(buffer.packet(), &packet[..buffer.len()]);
            }
        }
        prop_assert_eq!(a.icmp_error(&packet), None);
        let mut reply = [0; 1280];
        for own in [V4.0, V6.0] {
            if let Some(len) = too_big_reply(&packet, 1400, own, &mut reply) {
                prop_assert_eq!(a.icmp_error(&reply[..len]), None);
            }
        }
        let sa = || params(transform, V4, UDP, A, 0x1000);
        prop_assert!(OutboundSa::import(sa(), &packet, 0, &mut rng()).is_err());
        prop_assert!(InboundSa::import(sa(), &packet, 0, 0).is_err());
    }
}
