//! What a packet's cost is made of: cipher, hash, and everything around them.
//!
//! Cipher and hash are measured on their own with the same crates that esp-core stands on. What is around them shows
//! where they are absent or refused early: a packet bypassed is parsed and found in the policy, one too short for its SA
//! is parsed and finds its SA, one replayed gets as far as the window.

use std::hint::black_box;

use aes::Aes128Enc;
use cbc::Encryptor;
use cipher::{BlockModeEncrypt, InnerIvInit, KeyInit};
use esp_core::{
    Arrival, BlockCipher, Inbound, Integrity, Outbound, PacketBuf, Policy, PolicyId, Processor,
    Settings, SpdEntry, Tables, TrafficSelectors, Transform,
};
use hmac::{Hmac, Mac};
use sha1::Sha1;

use super::{
    Batch, Contender, LENGTHS, PACKETS, What, compete, inner, open_in_batches, opener,
    seal_in_batches, sealer, timed,
};

/// The table: parts by rows, lengths by columns, ns a packet.
pub fn parts() {
    let mut columns = Vec::new();
    let mut names = Vec::new();
    for len in LENGTHS {
        let mut tables: [super::Memory; 8] = core::array::from_fn(|_| Tables::new());
        let mut contenders = contenders(&mut tables, len);
        columns.push(compete(&mut contenders));
        names = contenders.into_iter().map(|contender| contender.name).collect();
    }
    print!("| {:<52} |", "bytes inside");
    LENGTHS.iter().for_each(|len| print!(" {len:>6} |"));
    println!("\n|{}|{}", "-".repeat(54), "-------:|".repeat(LENGTHS.len()));
    let row = |name: &str, value: &dyn Fn(&[f64]) -> f64| {
        print!("| {name:<52} |");
        columns.iter().for_each(|took: &Vec<f64>| print!(" {:>6.0} |", value(took)));
        println!();
    };
    for (at, name) in names.iter().enumerate() {
        row(name, &|took| took[at]);
    }
    let at = |wanted: &str| names.iter().position(|name| name == wanted).expect("in the table");
    let (hash, null) = (at(HASH), (at(NULL_SEAL), at(NULL_OPEN)));
    row("around the hash, sealing: lookup, number, framing", &|took| took[null.0] - took[hash]);
    row("around the hash, opening: lookup, window, policy", &|took| took[null.1] - took[hash]);
}

const HASH: &str = "HMAC-SHA1 alone, kept states";
const NULL_SEAL: &str = "NULL HMAC-SHA1-96, seal";
const NULL_OPEN: &str = "NULL HMAC-SHA1-96, open";

fn contenders(tables: &mut [super::Memory; 8], len: usize) -> Vec<Contender<'_>> {
    let [t0, t1, t2, t3, t4, t5, t6, t7] = tables;
    let null = Transform::NullHmac(Integrity::HmacSha1_96);
    let cbc = Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha1_96);
    let mut all = Vec::new();

    let key = Aes128Enc::new(&[0x11; 16].into());
    let mut blocks = vec![cipher::Block::<Aes128Enc>::default(); (len + 2).div_ceil(16)];
    all.push(Contender::new("AES-128-CBC alone, one chain", What::Seal, move || {
        timed(|| {
            for _ in 0..PACKETS {
                Encryptor::inner_iv_init(&key, &Default::default()).encrypt_blocks(&mut blocks);
            }
        })
    }));
    let mac = <Hmac<Sha1> as hmac::KeyInit>::new_from_slice(&[0x11; 20]).expect("any length");
    let data = vec![0x5a; 8 + len + null.padding_len(len) + 2];
    all.push(Contender::new(HASH, What::Seal, move || {
        timed(|| {
            for _ in 0..PACKETS {
                let mut mac = mac.clone();
                mac.update(&data);
                black_box(mac.finalize());
            }
        })
    }));

    let mut bypassing = Processor::new(t0, Settings::DEFAULT);
    let everything = TrafficSelectors::between(esp_core::Addresses::Any, esp_core::Addresses::Any);
    let entry = SpdEntry::new(PolicyId(1), everything, Policy::Bypass);
    bypassing.set_policies(&[entry]).expect("valid");
    let mut packet = inner(len);
    all.push(Contender::new("parse, policy by the flow cache", What::Seal, move || {
        timed(|| {
            for _ in 0..PACKETS {
                let verdict = bypassing.outbound(&mut PacketBuf::whole(&mut packet));
                assert_eq!(black_box(verdict), Outbound::Bypass);
            }
        })
    }));
    let (mut from, mut to) = (sealer(t1, cbc), opener(t2, cbc));
    let mut batch = Batch::new(len);
    all.push(Contender::new(
        "parse, SA by its SPI, window: a replayed packet",
        What::Open,
        move || {
            // The first time they are opened, and afterwards each is a copy of one seen.
            let mut packets = batch.clear();
            let mut sent = vec![Outbound::Bypass; PACKETS];
            from.outbound_batch(&mut packets, &mut sent);
            let mut copies: Vec<Vec<u8>> =
                packets.iter().map(|one| one.packet().to_vec()).collect();
            for packet in &mut packets {
                assert!(matches!(to.inbound(packet, Arrival::Ip), Inbound::Deliver { .. }));
            }
            timed(|| {
                for copy in &mut copies {
                    let verdict = to.inbound(&mut PacketBuf::whole(copy), Arrival::Ip);
                    assert!(matches!(black_box(verdict), Inbound::Discard(_)));
                }
            })
        },
    ));

    let (mut processor, mut batch) = (sealer(t3, null), Batch::new(len));
    all.push(Contender::new(NULL_SEAL, What::Seal, move || {
        seal_in_batches(&mut processor, &mut batch, 1)
    }));
    let (mut from, mut to, mut batch) = (sealer(t4, null), opener(t5, null), Batch::new(len));
    all.push(Contender::new(NULL_OPEN, What::Open, move || {
        open_in_batches(&mut from, &mut to, &mut batch, 1)
    }));
    let (mut processor, mut batch) = (sealer(t6, cbc), Batch::new(len));
    all.push(Contender::new("AES-128-CBC HMAC-SHA1-96, seal", What::Seal, move || {
        seal_in_batches(&mut processor, &mut batch, 1)
    }));
    let (mut processor, mut batch) = (sealer(t7, cbc), Batch::new(len));
    all.push(Contender::new(
        "AES-128-CBC HMAC-SHA1-96, seal, batch of 32",
        What::Seal,
        move || seal_in_batches(&mut processor, &mut batch, PACKETS),
    ));
    all
}
