//! Worlds in which everything goes wrong at random: see `examples::soak`. Nothing ever comes out twice or leaves in the
//! clear, every packet is accounted for, and when the storm is over the two agree again.
//!
//! A long one: `cargo run --release -p examples --bin soak`.

#![allow(clippy::panic, clippy::arithmetic_side_effects, reason = "a test fails by panicking")]

use examples::soak::{Bucket, Leg, Report, Storm};

fn run(storm: Storm, seed: u64, packets: u64) -> Report {
    match (Leg { storm, seed, packets }).run() {
        Ok(report) => report,
        Err(failure) => panic!("{failure}"),
    }
}

#[test]
fn short_storms() {
    let mut sum = Report::default();
    for seed in 0..30 {
        sum.add(&run(Storm::Everything, seed, 2_000));
    }
    assert!(sum.delivered > sum.sent / 2, "{sum:?}");
    // What a storm is made of did happen.
    assert!(sum.renewals.children > 100 && sum.renewals.ike_sas > 30, "{sum:?}");
    assert!(sum.restarts > 10 && sum.rebindings > 10 && sum.jumps > 10, "{sum:?}");
    assert!(sum.injected > 1_000 && sum.lost_as(Bucket::OutsideWindow) > 0, "{sum:?}");
}

/// Renewals at random moments, on a link that loses, doubles and reorders, through a NAT that rebinds: whatever the link
/// delivers comes out, or is too late for the window. (The newest packets of a rebinding NAT may meet the old port.)
#[test]
fn renewals_lose_nothing() {
    for seed in 0..30 {
        let report = run(Storm::RenewalsOnly, seed, 1_000);
        let explained =
            [Bucket::LostByLink, Bucket::NatForgot, Bucket::Corrupted, Bucket::OutsideWindow]
                .map(|bucket| report.lost_as(bucket));
        assert_eq!(report.delivered + explained.iter().sum::<u64>(), report.sent, "{report:?}");
    }
}
