//! More than two: a hub with spokes around it, restarts among them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::std_instead_of_core,
    reason = "a test fails by panicking"
)]

use std::time::Duration;

use examples::sim::{Fate, HostId, Scenario};

const SECOND: Duration = Duration::from_secs(1);
const HUB: HostId = HostId(0);
const SPOKES: u8 = 6;

fn spokes() -> impl Iterator<Item = HostId> {
    (1..=usize::from(SPOKES)).map(HostId)
}

#[test]
fn a_hub_serves_its_spokes() {
    Scenario::star(SPOKES).run(|world| {
        // All at once, and from both sides: half of the tunnels are begun by the hub.
        for spoke in spokes() {
            let (from, to) = if spoke.0 % 2 == 0 { (HUB, spoke) } else { (spoke, HUB) };
            world.ping(from, to);
        }
        world.run_for(5 * SECOND);
        let figures = world.recorder.figures();
        assert_eq!((figures.delivered, figures.clear), (2 * u64::from(SPOKES), 0), "{figures:?}");
        let endpoint = &world.host(HUB).node.endpoint;
        assert_eq!(endpoint.ike_sas().count(), usize::from(SPOKES));
        assert_eq!(endpoint.child_sas().count(), usize::from(SPOKES));
    });
}

/// A spoke that was switched off and on has forgotten everything. It says so with INITIAL-CONTACT, and the hub ends what it
/// had with that spoke, and with no other.
#[test]
fn a_spoke_restarts() {
    let mut scenario = Scenario::star(SPOKES);
    scenario.lives = 2;
    scenario.run(|world| {
        for spoke in spokes() {
            world.ping(spoke, HUB);
        }
        world.run_for(5 * SECOND);
        let restarted = HostId(3);
        world.restart(restarted);
        let ping = world.ping(restarted, HUB);
        world.run_for(5 * SECOND);
        assert_eq!(world.fate(ping), Fate::Delivered);
        for spoke in spokes() {
            let there = world.udp(HUB, spoke, 64);
            let back = world.udp(spoke, HUB, 64);
            world.run_for(SECOND);
            assert_eq!((world.fate(there), world.fate(back)), (Fate::Delivered, Fate::Delivered));
        }
        assert_eq!(world.host(HUB).node.endpoint.ike_sas().count(), usize::from(SPOKES));
        assert_eq!(world.recorder.figures().clear, 0);
    });
}
