//! Every way to lose the first datagrams of main mode and quick mode, with MODP-2048. With a toy group there are more
//! such worlds, of other exchanges too: `worlds.rs`.

#![allow(clippy::panic, clippy::arithmetic_side_effects, reason = "a test fails by panicking")]

use core::num::NonZero;

use examples::worlds::{Exchange, Series, Setup};
use ike_core::crypto::SOFTWARE;

#[test]
fn every_loss_of_the_first_twelve() {
    let setup = Setup { exchange: Exchange::Main, crypto: &SOFTWARE, nat: false };
    let series = Series::loss(setup);
    match series.play_all(NonZero::<u64>::MIN, |_, _| {}) {
        Ok(tally) => assert_eq!((tally.masks, tally.up + tally.down), (4096, 4096)),
        Err(failure) => panic!("{failure}"),
    }
}
