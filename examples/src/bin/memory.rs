//! How much RAM the two crates take, and on what: all of it is in two types whose sizes the host chooses.
//!
//! `cargo run --release -p examples --bin memory`. The figures are of the machine that runs it: on a 32-bit
//! microcontroller pointers, and so some of the slots, are smaller.

use esp_core::Tables;
use ike_core::Resources;

/// A configuration: what a device is for, and the sizes that serve it.
///
/// A renewal overlaps with what it renews, so there is one IKE SA more than peers (one in eight of many), and half as
/// many child SAs again. As many exchanges run at once as there are renewals; a message of 1 280 bytes holds four
/// proposals, a key of MODP-4096 and their company.
macro_rules! row {
    ($peers:literal peers, $children:literal children: $ikes:literal, $exchanges:literal, $sas:literal, $policies:literal) => {{
        let engine = Resources::<$ikes, $exchanges, $sas, 1_280>::footprint();
        let data_plane = size_of::<Tables<$policies, $sas, 0>>();
        println!(
            "{:>5} {:>8}  {:>8} {:>9} {:>9} {:>9} {:>9} {:>8} {:>9}  {:>10}",
            $peers,
            $children,
            engine.ike_sas,
            engine.exchanges,
            engine.child_sas,
            engine.messages,
            engine.replies,
            engine.work,
            engine.total,
            data_plane
        );
    }};
}

fn main() {
    println!("Bytes of RAM. No heap is used beyond them; the stack is not in them.\n");
    println!(
        "             ike_core::Resources                                                        esp_core::Tables"
    );
    println!(
        "peers children   IKE SAs exchanges child SAs  messages   replies  DH work     total       total"
    );
    row!(1 peers, 2 children: 2, 3, 3, 8);
    row!(8 peers, 16 children: 10, 8, 24, 32);
    row!(64 peers, 256 children: 72, 32, 384, 300);
    println!(
        "\nmessages: what was sent last, kept for retransmission, and what the peer sent, of each exchange."
    );
    println!(
        "Diffie-Hellman has one work area, whatever the number of exchanges that wait for it."
    );
}
