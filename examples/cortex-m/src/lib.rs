//! What `vpn` is made of: a board ([`board`], [`lan9118`]), the network interface of the protected side ([`tunnel`]), and
//! both crates between them ([`vpn`]).
//!
//! ```text
//!   protected side                                                         the link
//!   smoltcp Interface ── tunnel::Tunnel ── vpn::Vpn ── vpn::Outside ── smoltcp Interface ── lan9118::Ethernet
//!   10.1.0.1             one packet        Processor   UDP 500, 4500,  192.0.2.1
//!                        each way          Endpoint    IP protocol 50
//! ```
//!
//! [`tunnel`] and [`vpn`] know nothing of the board, and serve with any other device of smoltcp's.

#![no_std]

pub mod board;
pub mod lan9118;
pub mod tunnel;
pub mod vpn;
