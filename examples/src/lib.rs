//! What the programs of this package share, and what the tests of the two crates run on.
//!
//! - [`hold`]: where packets wait while their security association is being negotiated.
//! - [`packet`]: IP packets as bytes.
//! - [`sim`]: hosts on a virtual clock; [`worlds`]: small ones, exhaustively; [`soak`]: long ones.
//! - [`parallel`]: work shared out to all cores.
//! - [`capture`]: pcap files and the key files with which Wireshark decrypts them.

pub mod capture;
pub mod hold;
pub mod host;
pub mod packet;
pub mod parallel;
pub mod sim;
pub mod soak;
pub mod worlds;
