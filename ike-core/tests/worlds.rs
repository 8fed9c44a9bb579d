//! Small worlds: every fate that the first datagrams of an exchange can meet with. See `examples::worlds`.
//!
//! Of the long series one world in seven is played here. The whole of it is
//! `cargo run --release -p examples --features _sim --bin worlds`.

#![cfg(feature = "_sim")]
#![allow(clippy::panic, clippy::arithmetic_side_effects, reason = "a test fails by panicking")]

use core::num::NonZero;

use examples::worlds::{Exchange, Series, Setup};
use ike_core::crypto::toy;

/// Of a series with more masks than this,
const LONG: u64 = 5_000;
/// one mask in so many.
const SHARE: NonZero<u64> = NonZero::new(7).unwrap();

fn play(nat: bool) {
    for exchange in Exchange::ALL {
        let setup = Setup { exchange, crypto: &toy::CRYPTO, nat };
        for series in [Series::loss(setup), Series::any(setup)] {
            let every = if series.masks() > LONG { SHARE } else { NonZero::<u64>::MIN };
            match series.play_all(every, |_, _| {}) {
                Ok(tally) => {
                    assert_eq!(tally.up + tally.down, tally.masks);
                    assert!(tally.masks >= series.masks() / every);
                }
                Err(failure) => panic!("{failure}"),
            }
        }
    }
}

#[test]
fn two_gateways() {
    play(false);
}

#[test]
fn one_behind_a_nat() {
    play(true);
}
