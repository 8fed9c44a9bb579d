//! Whole conversations as text, one file each in `tests/transcripts`: what was sent, when, and what came of it. A change
//! of the protocol shows as a change of a readable file.
//!
//! `UPDATE_TRANSCRIPTS=1 cargo test -p ike-core --test transcripts` writes them anew.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::std_instead_of_core,
    reason = "a test fails by panicking, and std is at hand"
)]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use examples::sim::{Family, Kind, LEFT, Plan, RIGHT, Scenario, World};
use ike_core::wire::numbers::GroupDescription;

const SECOND: Duration = Duration::from_secs(1);

fn check(name: &str, scenario: &Scenario, play: impl FnOnce(&mut World<'_>)) {
    let story = scenario.run(|world| {
        play(world);
        world.story()
    });
    let path =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/transcripts/{name}.txt"));
    if std::env::var_os("UPDATE_TRANSCRIPTS").is_some() {
        fs::write(&path, &story).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap();
    if story != expected {
        let differs = story.lines().zip(expected.lines()).position(|(new, old)| new != old);
        let line = differs.unwrap_or_else(|| story.lines().count().min(expected.lines().count()));
        panic!(
            "{} differs from line {} on:\n  was: {}\n  is:  {}",
            path.display(),
            line + 1,
            expected.lines().nth(line).unwrap_or("(the end)"),
            story.lines().nth(line).unwrap_or("(the end)"),
        );
    }
}

/// Up by a ping, down by a Delete.
fn up_and_down(world: &mut World<'_>) {
    world.ping(LEFT, RIGHT);
    world.run_for(3 * SECOND);
    let ike = world.host(LEFT).node.endpoint.ike_sas().next().unwrap().handle;
    world.request(LEFT, |endpoint, cx| endpoint.delete_ike(cx, ike)).unwrap();
    world.run_for(3 * SECOND);
}

#[test]
fn main_mode_and_quick_mode() {
    check("main-quick", &Scenario::site_to_site(), up_and_down);
}

#[test]
fn with_pfs_over_ipv6() {
    let scenario = Scenario::site_to_site_over(Family::V6).pfs(GroupDescription::MODP_2048);
    check("pfs-ipv6", &scenario, up_and_down);
}

#[test]
fn behind_a_nat() {
    check("nat", &Scenario::site_to_site().behind_nat(), up_and_down);
}

#[test]
fn message_six_is_lost() {
    check("message-6-lost", &Scenario::site_to_site(), |world| {
        let plans = [Plan::Deliver; 5].into_iter().chain([Plan::Drop]);
        world.link.plan(Kind::Ike, plans);
        up_and_down(world);
    });
}

#[test]
fn a_wrong_psk() {
    let scenario =
        Scenario::site_to_site().host(RIGHT, |host| host.peers[0].psk = b"wrong".to_vec());
    check("wrong-psk", &scenario, |world| {
        world.ping(LEFT, RIGHT);
        world.run_for(60 * SECOND);
    });
}

#[test]
fn a_renewal() {
    check("rekey", &Scenario::site_to_site(), |world| {
        world.ping(LEFT, RIGHT);
        world.run_for(SECOND);
        let child = world.host(LEFT).node.endpoint.child_sas().next().unwrap().handle;
        world.request(LEFT, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
        world.run_for(5 * SECOND);
        world.ping(RIGHT, LEFT);
        world.run_for(60 * SECOND);
    });
}
