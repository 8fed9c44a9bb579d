//! Recorded sessions, played again: the engine takes the place of one end, the recorded datagrams of the other end are
//! its peer. Needs the private feature `_sim`.
//!
//! Cookies, nonces, SPIs, message ids and the results of Diffie-Hellman are the recorded ones, so that everything the
//! engine computes is known: each datagram it sends is compared with the recorded one byte for byte, vendor IDs aside,
//! which are each implementation's own. A single wrong hash, NAT-D, IV, key or payload body would show.
#![cfg(feature = "_sim")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

#[path = "replay/failures.rs"]
mod failures;
#[path = "replay/player.rs"]
mod player;
#[path = "vectors/read.rs"]
mod read;
#[path = "vectors/recorded.rs"]
mod recorded;
#[path = "replay/script.rs"]
mod script;
#[path = "replay/session.rs"]
mod session;
#[path = "replay/watch.rs"]
mod watch;

use player::{Link, play};
use session::End;

/// Three tests for each session: in the place of either end, and in both with forged and repeated datagrams.
macro_rules! replay {
    ($($(#[$attribute:meta])* $name:ident: $file:literal;)*) => {
        $($(#[$attribute])* mod $name {
            use super::*;

            const TEXT: &str = include_str!(concat!("vectors/sessions/", $file, ".json"));

            #[test]
            fn as_initiator() {
                play(TEXT, End::A, Link::Plain);
            }

            #[test]
            fn as_responder() {
                play(TEXT, End::B, Link::Plain);
            }

            #[test]
            fn with_forgeries_and_duplicates() {
                play(TEXT, End::A, Link::Hostile);
                play(TEXT, End::B, Link::Hostile);
            }
        })*
    };
}

replay! {
    #[cfg(feature = "legacy")]
    rub_main_mode: "rub-main-mode";
    main_psk: "main-psk";
    #[cfg(feature = "legacy")]
    pfs_3des_md5: "pfs-modp";
    behind_a_nat: "natt-real";
    without_nat_traversal: "nonat-main";
    over_ipv6: "v6";
    aggressive: "aggr-psk";
    pfs_curve25519: "pfs-curve25519";
    several_children: "multi-child";
    renewal_by_time: "rekey-time";
    deletion_by_the_responder: "delete-b";
    extended_sequence_numbers: "kernel-esn";
    gcm_with_pfs: "kernel-raw-gcm";
    transport_mode: "kernel-transport";
}
