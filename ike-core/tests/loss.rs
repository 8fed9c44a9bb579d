//! Datagrams that are lost, doubled, late or broken: the negotiation comes to its end all the same, and what is sent
//! again is sent when it should be.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

use core::time::Duration;

use examples::sim::{
    Fate, HostId, Kind, LEFT, Outcome, Plan, RIGHT, Scenario, Weather, What, World,
};
use ike_core::wire::numbers::GroupDescription;

const SECOND: Duration = Duration::from_secs(1);
/// Datagrams of a loss-free main mode and quick mode.
const DATAGRAMS: usize = 9;

/// Brings the tunnel up by a ping and checks that both agree in the end.
fn comes_up(world: &mut World<'_>, limit: Duration) {
    let ping = world.ping(LEFT, RIGHT);
    world.run_until_done(limit, |world| world.fate(ping) == Fate::Delivered);
    assert_eq!(world.fate(ping), Fate::Delivered);
    world.run_for(5 * SECOND);
    let second = world.ping(RIGHT, LEFT);
    world.run_for(5 * SECOND);
    assert_eq!(world.fate(second), Fate::Delivered);
    assert_eq!(world.recorder.figures().clear, 0);
}

#[test]
fn each_message_is_lost_once() {
    for pfs in [None, Some(GroupDescription::MODP_2048)] {
        for nat in [false, true] {
            for lost in 0..DATAGRAMS {
                let mut scenario = Scenario::site_to_site().children(|child| child.pfs = pfs);
                if nat {
                    scenario = scenario.behind_nat();
                }
                scenario.run(|world| {
                    let plan = |number| if number == lost { Plan::Drop } else { Plan::Deliver };
                    world.link.plan(Kind::Ike, (0..DATAGRAMS).map(plan));
                    world.note(format!("IKE datagram {lost} will be lost"));
                    comes_up(world, 30 * SECOND);
                });
            }
        }
    }
}

#[test]
fn every_datagram_is_doubled() {
    for nat in [false, true] {
        let scenario =
            Scenario::site_to_site().weather(Weather { duplicate: 100.0, ..Weather::FAIR });
        let scenario = if nat { scenario.behind_nat() } else { scenario };
        scenario.run(|world| {
            comes_up(world, 5 * SECOND);
            let figures = world.recorder.figures();
            assert_eq!((figures.delivered, figures.twice), (figures.sent, 0), "{figures:?}");
            for host in [LEFT, RIGHT] {
                let endpoint = &world.host(host).node.endpoint;
                assert_eq!(endpoint.child_sas().count(), 1);
            }
        });
    }
}

#[test]
fn foul_weather() {
    for seed in 0..30 {
        let scenario =
            Scenario::site_to_site().seed(seed).weather(Weather { loss: 20.0, ..Weather::FOUL });
        scenario.run(|world| {
            let mut arrived = false;
            for _ in 0..20 {
                let ping = world.ping(LEFT, RIGHT);
                world.run_for(10 * SECOND);
                arrived |= world.fate(ping) == Fate::Delivered;
            }
            assert!(arrived);
            let figures = world.recorder.figures();
            assert_eq!((figures.twice, figures.clear, figures.astray), (0, 0, 0), "{figures:?}");
        });
    }
}

/// When `host` put IKE datagrams on the link, in milliseconds.
fn sent_at(world: &World<'_>, host: HostId) -> Vec<u64> {
    let ike = world.transcript.since(0).filter_map(|entry| match &entry.what {
        What::OnLink { from: Some(from), packet, .. }
            if *from == host && Kind::Ike.includes(packet) =>
        {
            Some(entry.at.as_millis())
        }
        _ => None,
    });
    ike.collect()
}

/// The first message of main mode, unanswered: after 1 s, then 1.6 times as long each time.
#[test]
fn the_retransmission_schedule() {
    Scenario::site_to_site().weather(Weather { loss: 100.0, ..Weather::FAIR }).run(|world| {
        let ping = world.ping(LEFT, RIGHT);
        world.run_for(120 * SECOND);
        let waits: Vec<u64> =
            sent_at(world, LEFT).windows(2).map(|pair| pair[1] - pair[0]).collect();
        let schedule = [1_000, 1_600, 2_560, 4_096, 6_553];
        assert_eq!(waits.len(), schedule.len(), "{waits:?}");
        for (wait, planned) in waits.iter().zip(schedule) {
            assert!(wait.abs_diff(planned) <= 2, "{waits:?}");
        }
        assert!(matches!(world.fate(ping), Fate::Dropped(_)));
        assert_eq!(world.host(LEFT).node.endpoint.ike_sas().count(), 0);
        assert_eq!(sent_at(world, RIGHT).len(), 0);
    });
}

/// A responder that has not seen proof of the peer sends nothing on its own: it answers what comes.
#[test]
fn a_responder_does_not_retransmit_to_the_unproven() {
    Scenario::site_to_site().run(|world| {
        world.link.plan(Kind::Ike, [Plan::Deliver].into_iter().chain([Plan::Drop; 20]));
        world.ping(LEFT, RIGHT);
        world.run_for(120 * SECOND);
        let received = world.transcript.since(0).filter(|entry| match &entry.what {
            What::OnLink { from: Some(LEFT), packet, outcome: Outcome::Passed, .. } => {
                Kind::Ike.includes(packet)
            }
            _ => false,
        });
        assert!(sent_at(world, RIGHT).len() <= received.count());
        assert_eq!(world.host(RIGHT).node.endpoint.ike_sas().count(), 0);
    });
}
