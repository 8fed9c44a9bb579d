//! Instructions a packet, counted by callgrind: a figure without noise, of the same build as everything else here.
//!
//! The processor that valgrind simulates has AES and carry-less multiplication and no SHA instructions (3.19), so this is
//! the path of machines without those. Each case is a process of its own, this program again under valgrind, and only what
//! runs inside [`counted_packets`] and [`counted_batch`] is counted.

use std::hint::black_box;
use std::process::Command;

use esp_core::{
    Arrival, BlockCipher, Inbound, Integrity, Outbound, PacketBuf, Processor, Tables, Transform,
};

use crate::esp::{Batch, Memory, opener, sealer};

const LENGTHS: [usize; 3] = [64, 576, 1400];
const WHAT: [&str; 4] = ["seal", "seal, batch of 32", "open", "open, batch of 32"];
/// The word in front of a case on the command line.
const CASE: &str = "--counted-case";

fn transforms() -> [Transform; 6] {
    use BlockCipher::{Aes128, Aes256};
    use esp_core::Aead::{Aes128Gcm16, Aes256Gcm16, ChaCha20Poly1305};
    [
        Transform::CbcHmac(Aes128, Integrity::HmacSha1_96),
        Transform::CbcHmac(Aes256, Integrity::HmacSha256_128),
        Transform::NullHmac(Integrity::HmacSha1_96),
        Transform::Aead(Aes128Gcm16),
        Transform::Aead(Aes256Gcm16),
        Transform::Aead(ChaCha20Poly1305),
    ]
}

/// The table.
pub fn table() {
    if !valgrind_is_there() {
        return println!(
            "valgrind is not installed here (Debian package valgrind): nothing counted"
        );
    }
    print!("| {:<27} | {:<18} |", "", "bytes inside");
    LENGTHS.iter().for_each(|len| print!(" {len:>7} |"));
    println!("\n|{}|{}|{}", "-".repeat(29), "-".repeat(20), "--------:|".repeat(LENGTHS.len()));
    for (at, transform) in transforms().iter().enumerate() {
        for (what, name) in WHAT.iter().enumerate() {
            print!("| {:<27} | {name:<18} |", transform.to_string());
            for len in LENGTHS {
                match count(at, what, len) {
                    Some(count) => print!(" {count:>7} |"),
                    None => {
                        println!("\n{transform}, {name}, {len} bytes: not counted");
                        std::process::exit(1);
                    }
                }
            }
            println!();
        }
    }
}

fn valgrind_is_there() -> bool {
    Command::new("valgrind").arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Instructions a packet: what callgrind says it collected, by the packets.
fn count(transform: usize, what: usize, len: usize) -> Option<u64> {
    let program = std::env::current_exe().ok()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .args(["--toggle-collect=*counted_packets*", "--toggle-collect=*counted_batch*"])
        .arg(program)
        .args([CASE.to_string(), transform.to_string(), what.to_string(), len.to_string()])
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    let said = String::from_utf8(output.stderr).ok()?;
    let collected = said.lines().find_map(|line| line.split_once("Collected : "))?.1;
    Some(collected.trim().parse::<u64>().ok()? / crate::esp::PACKETS as u64)
}

/// Runs one case if the command line asks for it; whether it did.
pub fn case(words: &[String]) -> bool {
    let [word, transform, what, len] = words else { return false };
    let numbers = [transform, what, len].map(|word| word.parse::<usize>().ok());
    let [Some(transform), Some(what), Some(len)] = numbers else { return false };
    let Some(transform) = transforms().get(transform).copied().filter(|_| word == CASE) else {
        return false;
    };
    let mut tables: [Memory; 2] = core::array::from_fn(|_| Tables::new());
    let [from, to] = &mut tables;
    let (mut from, mut to) = (sealer(from, transform), opener(to, transform));
    let mut batch = Batch::new(len);
    // Twice: the first time finds the flow and picks what the processor has.
    for counted in [false, true] {
        let mut packets = batch.clear();
        match (counted, what) {
            (true, 0) => counted_packets(&mut packets, |packet| sends(&mut from, packet)),
            (true, 1) => counted_batch(&mut packets, |packets| sends_all(&mut from, packets)),
            _ => sends_all(&mut from, &mut packets),
        }
        match (counted, what) {
            (true, 2) => counted_packets(&mut packets, |packet| delivers(&mut to, packet)),
            (true, 3) => counted_batch(&mut packets, |packets| delivers_all(&mut to, packets)),
            _ => delivers_all(&mut to, &mut packets),
        }
    }
    true
}

#[inline(never)]
fn counted_packets(packets: &mut [PacketBuf<'_>], mut work: impl FnMut(&mut PacketBuf<'_>)) {
    packets.iter_mut().for_each(&mut work);
}

#[inline(never)]
fn counted_batch(packets: &mut [PacketBuf<'_>], mut work: impl FnMut(&mut [PacketBuf<'_>])) {
    work(packets);
}

fn sends(processor: &mut Processor<'_>, packet: &mut PacketBuf<'_>) {
    assert!(matches!(black_box(processor.outbound(packet)), Outbound::Send { .. }));
}

fn sends_all(processor: &mut Processor<'_>, packets: &mut [PacketBuf<'_>]) {
    let mut verdicts = vec![Outbound::Bypass; packets.len()];
    processor.outbound_batch(packets, &mut verdicts);
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Outbound::Send { .. })));
}

fn delivers(processor: &mut Processor<'_>, packet: &mut PacketBuf<'_>) {
    assert!(matches!(black_box(processor.inbound(packet, Arrival::Ip)), Inbound::Deliver { .. }));
}

fn delivers_all(processor: &mut Processor<'_>, packets: &mut [PacketBuf<'_>]) {
    let mut verdicts = vec![Inbound::Bypass; packets.len()];
    processor.inbound_batch(packets, &vec![Arrival::Ip; packets.len()], &mut verdicts);
    assert!(verdicts.iter().all(|verdict| matches!(verdict, Inbound::Deliver { .. })));
}
