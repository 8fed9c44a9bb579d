//! How much RAM the two crates take, and on what: all of it is in two types whose sizes the host chooses.
//!
//! `cargo run -p examples --bin memory` prints two tables in Markdown, which the README shows: what devices need, and what
//! an SA needs by its algorithms. The figures are of a 64-bit machine; on a 32-bit microcontroller pointers, and so some of
//! the slots, are smaller.

use esp_core::{Aead, BlockCipher, InboundSa, Integrity, OutboundSa, Tables, Transform};
use ike_core::{Footprint, Resources};

/// What goes into one line of the table.
struct Row {
    peers: usize,
    children: usize,
    engine: Footprint,
    policies: usize,
    security_associations: usize,
}

/// A configuration: what a device is for, and the sizes that serve it.
///
/// A renewal overlaps with what it renews, so there are more IKE SAs than peers (one in eight of many), and half as many
/// child SAs again. As many exchanges run at once as there are renewals. A message of 1 280 bytes holds four proposals, a
/// key of MODP-4096 and their company.
macro_rules! row {
    ($peers:literal peers, $children:literal children: $ikes:literal IKE SAs, $exchanges:literal exchanges,
     $sas:literal pairs, $policies:literal policies) => {
        Row {
            peers: $peers,
            children: $children,
            engine: Resources::<$ikes, $exchanges, $sas, 1_280>::footprint(),
            policies: size_of::<Tables<$policies, $sas, 0>>() - size_of::<Tables<0, $sas, 0>>(),
            security_associations: size_of::<Tables<0, $sas, 0>>(),
        }
    };
}

fn main() {
    print_devices();
    println!();
    print_security_associations();
}

/// Key schedules and kept states by algorithm, and the whole SA, which has room for the largest of them.
fn print_security_associations() {
    use BlockCipher::{Aes128, Aes256};
    use Integrity::{HmacSha1_96, HmacSha256_128, HmacSha512_256};
    println!("| algorithms | keys, outbound | keys, inbound |");
    println!("|:--|--:|--:|");
    for transform in [
        Transform::CbcHmac(Aes128, HmacSha1_96),
        Transform::CbcHmac(Aes256, HmacSha256_128),
        Transform::CbcHmac(Aes256, HmacSha512_256),
        Transform::NullHmac(HmacSha1_96),
        Transform::Aead(Aead::Aes128Gcm16),
        Transform::Aead(Aead::Aes256Gcm16),
        Transform::Aead(Aead::ChaCha20Poly1305),
    ] {
        println!("| {transform} | {} | {} |", transform.seal_keys_len(), transform.open_keys_len());
    }
    println!("| **an SA** | **{}** | **{}** |", size_of::<OutboundSa>(), size_of::<InboundSa>());
}

fn print_devices() {
    let rows = [
        row!(1 peers, 2 children: 2 IKE SAs, 3 exchanges, 3 pairs, 8 policies),
        row!(8 peers, 16 children: 10 IKE SAs, 8 exchanges, 24 pairs, 32 policies),
        row!(64 peers, 256 children: 72 IKE SAs, 32 exchanges, 384 pairs, 300 policies),
    ];
    println!(
        "| peers | children | IKE SAs | exchanges | child SAs | messages | replies | Diffie-Hellman | ike-core | \
         policies | SAs | esp-core |"
    );
    println!("|{}", "--:|".repeat(12));
    for Row { peers, children, engine, policies, security_associations } in rows {
        println!(
            "| {peers} | {children} | {} | {} | {} | {} | {} | {} | **{}** | {policies} | {security_associations} | **{}** |",
            engine.ike_sas,
            engine.exchanges,
            engine.child_sas,
            engine.messages,
            engine.replies,
            engine.work,
            engine.total,
            policies + security_associations,
        );
    }
}
