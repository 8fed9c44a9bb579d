//! Peers that have proved nothing: a flood of first messages costs what the limits say, is never answered with more
//! bytes than it brought, and does not touch what is up.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

use core::net::SocketAddr;
use core::time::Duration;

use examples::packet::{View, udp};
use examples::sim::{Fate, Kind, LEFT, Outcome, RIGHT, Scenario, What, World};
use ike_core::config::RemoteAddress;

const SECOND: Duration = Duration::from_secs(1);

/// The first message that the left side sends.
fn first_message() -> Vec<u8> {
    let mut scenario = Scenario::site_to_site();
    scenario.capture = true;
    scenario.run(|world| {
        world.ping(LEFT, RIGHT);
        let (_, packet) = world.captured.as_ref().unwrap()[0].clone();
        packet[View::of(&packet).unwrap().payload].to_vec()
    })
}

/// The same from another address with another cookie.
fn forged(message: &[u8], number: u16) -> Vec<u8> {
    let [high, low] = number.to_be_bytes();
    let source: SocketAddr = ([198, 18, high, low], 500).into();
    let mut message = message.to_vec();
    message[..2].copy_from_slice(&[high | 0x80, low]);
    udp(source, "198.51.100.2:500".parse().unwrap(), &message)
}

/// Every address may begin with the right side: it is a gateway for travellers.
fn open_to_all() -> Scenario {
    Scenario::site_to_site().host(RIGHT, |host| host.peers[0].remote = RemoteAddress::Any)
}

fn bytes(world: &World<'_>, mut of: impl FnMut(&What) -> Option<usize>) -> usize {
    world.transcript.since(0).filter_map(|entry| of(&entry.what)).sum()
}

#[test]
fn a_flood_is_bounded_and_not_amplified() {
    let message = first_message();
    open_to_all().run(|world| {
        world.transcript.set_room(usize::MAX);
        let up = world.ping(LEFT, RIGHT);
        world.run_for(SECOND);
        assert_eq!(world.fate(up), Fate::Delivered);
        let start = world.transcript.len();
        let limit = usize::from(world.host(RIGHT).config.limits.half_open);

        for number in 0..5_000 {
            world.inject(forged(&message, number));
            world.run_for(Duration::from_millis(5));
            let endpoint = &world.host(RIGHT).node.endpoint;
            let half_open = endpoint.ike_sas().filter(|ike| !ike.established).count();
            assert!(half_open <= limit, "{half_open} half-open IKE SAs");
        }
        // What is up still works, in the middle of it.
        let ping = world.ping(LEFT, RIGHT);
        world.run_for(SECOND);
        assert_eq!(world.fate(ping), Fate::Delivered);

        let attack: usize = world
            .transcript
            .since(start)
            .filter_map(|entry| match &entry.what {
                What::OnLink { from: None, packet, outcome: Outcome::Passed, .. } => {
                    Some(packet.len())
                }
                _ => None,
            })
            .sum();
        let answers: usize = world
            .transcript
            .since(start)
            .filter_map(|entry| match &entry.what {
                What::OnLink { from: Some(RIGHT), packet, .. } if Kind::Ike.includes(packet) => {
                    Some(packet.len())
                }
                _ => None,
            })
            .sum();
        assert!(answers <= attack, "{answers} bytes for {attack}");
        assert!(answers > 0, "nobody was answered at all");
    });
}

/// The table is full of first messages; the true peer comes, and gets in: the oldest that never echoed a cookie goes.
#[test]
fn a_true_peer_gets_in_although_the_table_is_full() {
    let message = first_message();
    open_to_all().run(|world| {
        for number in 0..100 {
            world.inject(forged(&message, number));
        }
        world.run_for(2 * SECOND);
        let ping = world.ping(LEFT, RIGHT);
        world.run_for(10 * SECOND);
        assert_eq!(world.fate(ping), Fate::Delivered);
    });
}

/// Half-open slots do not outlive their time.
#[test]
fn the_table_empties_by_itself() {
    let message = first_message();
    open_to_all().run(|world| {
        for number in 0..10 {
            world.inject(forged(&message, number));
        }
        world.run_for(SECOND);
        assert!(world.host(RIGHT).node.endpoint.ike_sas().count() > 0);
        world.run_for(60 * SECOND);
        assert_eq!(world.host(RIGHT).node.endpoint.ike_sas().count(), 0);
        let answered = bytes(world, |what| match what {
            What::OnLink { from: Some(RIGHT), packet, .. } => Some(packet.len()),
            _ => None,
        });
        assert!(answered <= 10 * (message.len() + 28), "{answered}");
    });
}
