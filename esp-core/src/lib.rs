//! An IPsec ESP data plane and its policy database: `no_std`, no heap, Sans-IO.
//!
//! The crate owns no socket, no clock, no thread, no memory and no randomness. A host (an operating system, an RTOS, a
//! bare-metal stack) lends it tables of fixed size, gives it packets in its own buffers, and does with
//! them what the verdict says. Keys come from any key manager, `ike-core` being one, or from a file.
//!
//! ```text
//!             +------------------- Processor ------------------+
//!  IP packet  |  Spd: which line?   Sad: which SA?   OutboundSa |  ESP
//! ----------->|  outbound() ----------------------> seal ------|------>
//!             |                                                 |
//!  IP packet  |  Spd: as it should be?               InboundSa  |  ESP
//! <-----------|  <----------------------------- open <---------|<------ inbound()
//!             +-------------------------------------------------+
//!                        | poll_notice(): Acquire, SoftExpired, HardExpired ...
//!                        v
//!                   key manager
//! ```
//!
//! # A host
//!
//! ```
//! use chacha20::{ChaCha20Rng, rand_core::SeedableRng};
//! use esp_core::*;
//!
//! // Ten lines of policy, four SAs in each direction, sixteen flows remembered: all the memory there is.
//! let mut tables = Tables::<10, 4, 16>::new();
//! let mut processor = Processor::new(&mut tables, Settings::DEFAULT);
//!
//! // What goes to 10.2.0.0/16 is protected; everything else is dropped, since nothing says otherwise.
//! let net = |b| Addresses::Subnet { network: [10, b, 0, 0].into(), prefix: 16 };
//! let selectors = TrafficSelectors::between(net(1), net(2));
//! processor.set_policies(&[SpdEntry::new(PolicyId(1), selectors, Policy::PROTECT)]).unwrap();
//!
//! // A packet in the middle of a buffer: headers go in front of it and a trailer behind.
//! let ip = [0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 10, 1, 0, 1, 10, 2, 0, 1];
//! let mut buffer = [0; 256];
//! buffer[100..120].copy_from_slice(&ip);
//! let mut packet = PacketBuf::new(&mut buffer, 100..120).unwrap();
//!
//! // There is no SA yet: the packet stays with the host, and the key manager hears of it.
//! assert_eq!(processor.outbound(&mut packet), Outbound::Hold { policy: PolicyId(1) });
//! let Some(Notice::Acquire { policy, selectors, .. }) = processor.poll_notice() else { panic!() };
//!
//! // What a key manager agrees on.
//! let transform = Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha256_128);
//! let params = SaParams {
//!     spi: Spi::new(0xc0ff_ee00).unwrap(),
//!     mode: Mode::Tunnel,
//!     local: [192, 0, 2, 1].into(),
//!     remote: [192, 0, 2, 2].into(),
//!     encap: Encap::None,
//!     transform,
//!     keys: KeyMaterial::zeroed(transform.key_material_len()).unwrap(), // never in earnest
//!     esn: false,
//!     replay_window: 64,
//!     lifetime: Lifetime::UNLIMITED,
//!     selectors,
//!     dscp: DscpSet::ALL,
//!     policy,
//!     owner: 1,
//! };
//! let mut rng = ChaCha20Rng::from_seed([7; 32]); // the host's own, in earnest
//! processor.install_outbound(params, &mut rng).unwrap();
//!
//! assert!(matches!(processor.outbound(&mut packet), Outbound::Send { .. }));
//! assert_eq!(packet.packet()[9], 50);
//! ```
//!
//! # Where to look
//!
//! | RFC | what | here |
//! |---|---|---|
//! | 4301 §4.4.1 | the ordered access list | [`SpdEntry`], [`Processor::set_policies`] |
//! | 4301 §4.4.2 | security associations | [`SaParams`], [`OutboundSa`], [`InboundSa`] |
//! | 4301 §5 | what becomes of a packet | [`Processor`] |
//! | 4301 §5.1.2, 6040 | the outer header | [`TunnelOptions`] |
//! | 4301 §8 | path MTU, ICMP | [`Outbound::TooBig`], [`too_big_reply`], [`Processor::icmp_error`] |
//! | 4303 | ESP, anti-replay, ESN, dummies | [`OutboundSa::seal`], [`InboundSa::open`] |
//! | 3948 | ESP in UDP | [`Encap`], [`Framing`], [`Arrival`] |
//! | 3602, 2404, 4868, 4106, 4543, 7634, 2410 | algorithms | [`Transform`] |
//!
//! What is claimed of each, section by section with its test, is in [`manual::compliance`].
//!
//! # What it promises
//!
//! - While policy says protect, nothing leaves in clear: without an SA a packet is held or dropped.
//! - An ICV is checked before anything is decrypted, and until then a packet changes nothing but a counter. All
//!   failures of cryptography are one error.
//! - A sequence number, and with it a nonce, is used once under a key, across a restart too ([`OutboundSa::export`]).
//! - Encryption without integrity cannot be configured. Weak algorithms are behind the feature `legacy`.
//! - Keys are wiped when an SA ends or is removed, and appear in no error, notice or debug output.
//! - A look-up of an SA costs the same among one and among a hundred thousand. (A packet of a flow that is not in the cache looks
//!   through the outbound SAs of its entry that are for the same hosts, or all for networks: few, unless they differ by port.)
//!
//! # What it leaves out
//!
//! AH, manual keys for counter modes (nothing would keep a key from being used with the same numbers twice), multicast
//! SAs, compression, and reassembly: fragments are the stack's, before and after. The whole list ends [`manual::compliance`].
#![no_std]
#![forbid(unsafe_code)]
#![deny(missing_docs)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, clippy::cast_possible_truncation))]

#[cfg(test)]
extern crate std;

mod batch;
mod inbound;
mod index;
pub mod manual;
mod outbound;
mod packet;
mod processor;
mod replay;
mod sa;
mod sad;
mod selector;
mod sequence;
mod slots;
mod spd;
mod state;
mod text;
mod transform;
mod transport;
mod tunnel;
mod wire;

#[cfg(test)]
mod known_answers;

#[cfg(any(test, feature = "_fuzz"))]
#[doc(hidden)]
pub mod fuzz;

pub use inbound::{Arrival, InboundSa, OpenError, Opened};
pub use outbound::{Framing, OutboundSa, SealError, Sealed};
pub use packet::{NoRoom, PacketBuf};
pub use processor::{
    Direction, Discard, Inbound, InstallError, Notice, Outbound, Processor, Settings, Stats, Tables,
};
pub use sa::{
    Association, Counters, DscpSet, Encap, KeyMaterial, Lifetime, Limit, Mode, PolicyId, SaError,
    SaParams, Spi,
};
pub use selector::{Addresses, PortRange, Protocol, Selector, TrafficSelectors};
pub use sequence::SequenceNumber;
pub use spd::{Directions, FromPacket, Policy, Protect, SpdEntry};
pub use state::StateError;
pub use transform::{Aead, BlockCipher, Integrity, Transform};
pub use tunnel::{DontFragment, Dscp, Ecn, FlowLabel, Outer, TunnelOptions};
pub use wire::icmp::{IcmpError, too_big_reply};
