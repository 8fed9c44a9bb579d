//! Every way to lose the first datagrams of main mode and quick mode: the tunnel comes up, or nothing is left of it.

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

use examples::sim::{Fate, Kind, LEFT, Plan, RIGHT, Scenario, World};

const SECOND: Duration = Duration::from_secs(1);
/// Datagrams of a loss-free run.
const DATAGRAMS: u32 = 9;

/// Bit n of `mask` says what becomes of IKE datagram n.
fn play(mask: u32, bits: u32, set: Plan, nat: bool) {
    let scenario = Scenario::site_to_site();
    let scenario = if nat { scenario.behind_nat() } else { scenario };
    scenario.run(|world| {
        world.note(format!("mask {mask:b} of {bits}, {set:?}"));
        let plan = |bit| if mask >> bit & 1 == 1 { set } else { Plan::Deliver };
        world.link.plan(Kind::Ike, (0..bits).map(plan));
        let ping = world.ping(LEFT, RIGHT);
        world.run_until_done(60 * SECOND, |world| world.fate(ping) == Fate::Delivered);
        world.run_for(5 * SECOND);
        // A second ping is through what there is now, or through what it makes.
        let again = world.ping(LEFT, RIGHT);
        world.run_for(60 * SECOND);
        assert_eq!(world.fate(again), Fate::Delivered);
        both_agree(world);
        assert_eq!(world.recorder.figures().clear, 0);
    });
}

/// Each pair of one side is known to the other.
fn both_agree(world: &World<'_>) {
    let pairs = |host, swap: bool| {
        let endpoint = &world.host(host).node.endpoint;
        let mut spis: Vec<_> = endpoint
            .child_sas()
            .filter(|child| child.up)
            .map(|child| (child.inbound, child.outbound.unwrap()))
            .map(|(inbound, outbound)| if swap { (outbound, inbound) } else { (inbound, outbound) })
            .collect();
        spis.sort_unstable();
        spis
    };
    assert_eq!(pairs(LEFT, false), pairs(RIGHT, true));
}

#[test]
fn every_loss_of_the_first_nine() {
    for mask in 0..1 << DATAGRAMS {
        play(mask, DATAGRAMS, Plan::Drop, false);
    }
}

#[test]
fn every_duplication_of_the_first_nine() {
    for mask in 0..1 << DATAGRAMS {
        play(mask, DATAGRAMS, Plan::Duplicate, true);
    }
}
