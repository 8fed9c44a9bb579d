//! IKEv1 keying engine for routers and RTOS network stacks: `no_std`, no heap, Sans-IO.
//!
//! The engine takes UDP datagrams and the time, and gives datagrams, events and the keys of IPsec security associations.
//! It owns no socket, no clock, no thread, no allocator and no source of randomness. The SAs it makes are for
//! [`esp_core`], or for any other ESP.
//!
//! ```
//! use ike_core::config::{Config, Limits, PeerConfig, PeerId, Phase1Cipher, Phase1Proposal, Secret, Timing};
//! use ike_core::wire::numbers::{GroupDescription, HashAlgorithm};
//! use ike_core::{Context, Endpoint, Instant, Path, Resources, Work};
//! # use chacha20::rand_core::SeedableRng;
//! # let mut rng = chacha20::ChaCha20Rng::seed_from_u64(0);
//!
//! // Two IKE SAs, four exchanges, four pairs of child SAs, messages of up to 1536 bytes: the whole memory there is.
//! let mut resources = Resources::<2, 4, 4, 1536>::new();
//! let mut endpoint = Endpoint::new(resources.storage(), &mut rng)?;
//!
//! let proposals = [Phase1Proposal {
//!     cipher: Phase1Cipher::AesCbc(128),
//!     hash: HashAlgorithm::SHA2_256,
//!     group: GroupDescription::MODP_2048,
//! }];
//! let (here, there) = ([192, 0, 2, 1].into(), [198, 51, 100, 2].into());
//! let psk = Secret::Bytes(b"twenty bytes of noise, at the least");
//! let peers = [PeerConfig::new(PeerId(1), here, there, psk, &proposals, &[])];
//! let config = Config {
//!     peers: &peers,
//!     crypto: &ike_core::crypto::SOFTWARE,
//!     timing: Timing::DEFAULT,
//!     limits: Limits::DEFAULT,
//! };
//!
//! let mut cx = Context { now: Instant::from_millis(0), rng: &mut rng, config: &config };
//! let path = Path { local: (here, 500).into(), remote: (there, 500).into(), encap: false };
//! endpoint.initiate(&mut cx, PeerId(1), path)?;
//! while endpoint.handle_work(&mut cx, u32::MAX) == Work::More {}
//! let first = endpoint.poll_transmit().expect("message 1 of main mode");
//! assert_eq!(first.path, path);
//! println!("{}", ike_core::trace::Trace::new(first.datagram));
//! # Ok::<(), ike_core::error::ApiError>(())
//! ```
//!
//! # The loop of a host
//!
//! After each call that changes something:
//!
//! 1. [`handle_work`](Endpoint::handle_work) until it is [`Idle`](Work::Idle), in slices that suit the watchdog;
//! 2. [`poll_event`](Endpoint::poll_event) until there is none: install and remove SAs as it says;
//! 3. [`poll_transmit`](Endpoint::poll_transmit) until there is none;
//! 4. sleep until a datagram comes or [`poll_timeout`](Endpoint::poll_timeout) has.
//!
//! The order matters in one place only: a message that lets the peer send is withheld until
//! [`take_inbound`](Endpoint::take_inbound) has handed out the SA to receive with.
//!
//! # Where things are
//!
//! | RFC | here |
//! |---|---|
//! | 2408 §3, 2407 §4: payloads, numbers | [`wire`], printed by [`trace`] |
//! | 2409 §5: main and aggressive mode | `phase1`, `phase1/main_mode`, `phase1/aggressive` |
//! | 2409 §5.5, §5.7: quick mode, informational exchanges | `phase2`, `phase2/quick_mode`, `phase2/informational` |
//! | 2409 §5 and Appendix B: keys, IVs, hashes | [`keys`], `protect` |
//! | 2409 §6, 3526, 5903, 8031: Diffie-Hellman | [`crypto`], done outside of message handling: [`Job`], `work` |
//! | 3706: dead peer detection | `phase2/dpd` |
//! | 3947, 3948: NAT traversal | [`natt`] |
//! | MS-IKEE: fragmentation | `fragment` |
//! | which message may hold what | `exchange`, one table |
//!
//! What is claimed of each RFC, with the test that shows it, is in [`manual::compliance`].
//!
//! # What is not supported
//!
//! Signatures, certificates, XAUTH and Mode Config: they are parsed, and refused by name. AH, IPComp, new group mode.
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(
    test,
    allow(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        reason = "a test fails by panicking"
    )
)]

#[cfg(test)]
extern crate std;

mod child_sa;
pub mod crypto;
mod digest;
mod endpoint;
pub mod error;
mod exchange;
mod fragment;
#[cfg(any(test, feature = "_fuzz"))]
#[doc(hidden)]
pub mod fuzz;
mod ike_sa;
pub mod keys;
mod lifetime;
pub mod manual;
pub mod natt;
mod offer;
mod phase1;
mod phase2;
mod protect;
mod resources;
mod time;
mod timer;
pub mod trace;
pub mod wire;
mod work;

pub use endpoint::config;
pub use endpoint::event;
pub use endpoint::{ChildSaInfo, Context, Endpoint, IkeSaInfo, InUse, Path, Stats, Transmit};
pub use resources::{Footprint, Resources, Storage};
pub use time::Instant;
pub use work::{Job, JobResult, Work};

/// The README's code is compiled as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
