//! What a peer that holds the keys can send and a sender of ours never would: authentic packets with any content.

use core::net::IpAddr;

use esp_core::*;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;

use crate::hosts::*;

/// No encryption: what is inside can be written down.
pub(crate) const NULL: Transform = Transform::NullHmac(Integrity::HmacSha1_96);
/// The SA of the receiver here.
pub(crate) const SPI: u32 = 0x1000;

/// `b`, with this one SA and a policy of the same selectors.
pub(crate) fn receiver(
    tables: &mut Memory,
    mode: Mode,
    selectors: TrafficSelectors,
) -> Processor<'_> {
    let mut b = Processor::new(tables, Settings::DEFAULT);
    b.set_policies(&[SpdEntry::new(PolicyId(1), selectors, Policy::PROTECT)]).expect("valid");
    let mut sa = params(NULL, (V4.1, V4.0), Encap::None, B, SPI);
    (sa.selectors, sa.mode) = (selectors, mode);
    b.install_inbound(sa).expect("valid");
    b
}

/// ESP of this SA, its ICV right, around any `payload`, whatever the next header says of it.
pub(crate) fn forged(sequence: u32, payload: &[u8], next_header: u8) -> Vec<u8> {
    let padding = (4 - (payload.len() + 2) % 4) % 4;
    let padding: Vec<u8> = (1..=padding as u8).collect();
    let trailer = [&padding[..], &[padding.len() as u8, next_header]].concat();
    authentic(sequence, &[payload, &trailer].concat())
}

/// The same around any plaintext, trailer included.
pub(crate) fn authentic(sequence: u32, plaintext: &[u8]) -> Vec<u8> {
    let keys = params(NULL, V4, Encap::None, A, SPI).keys;
    let mut esp = [&SPI.to_be_bytes()[..], &sequence.to_be_bytes(), plaintext].concat();
    let mut mac = Hmac::<Sha1>::new_from_slice(keys.as_slice()).expect("any length");
    mac.update(&esp);
    esp.extend(&mac.finalize().into_bytes()[..12]);
    esp
}

/// From `a`, as its receiver sees it.
pub(crate) const OUTER: Outer = outer(Encap::None);

pub(crate) const fn outer(encap: Encap) -> Outer {
    Outer { local: V4.1, remote: V4.0, encap, traffic_class: 0, dont_fragment: false }
}

/// An IP packet around `payload`, without options or extension headers, its lengths right.
pub(crate) fn ip_packet(from: IpAddr, to: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let [len0, len1] = (20 + payload.len() as u16).to_be_bytes();
            let mut packet = vec![0x45, 0, len0, len1, 0, 1, 0, 0, 64, protocol, 0, 0];
            packet.extend(from.octets().into_iter().chain(to.octets()));
            set_header_checksum(&mut packet);
            packet.extend(payload);
            packet
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let [len0, len1] = (payload.len() as u16).to_be_bytes();
            let mut packet = vec![0x60, 0, 0, 0, len0, len1, protocol, 64];
            packet.extend(from.octets().into_iter().chain(to.octets()));
            packet.extend(payload);
            packet
        }
        _ => panic!("two families"),
    }
}

/// Every way in for this ESP: alone, in IP, in UDP.
pub(crate) fn ways_in(esp: &[u8]) -> [(Vec<u8>, Arrival); 4] {
    let udp_len = (8 + esp.len() as u16).to_be_bytes();
    let [port0, port1] = 4500_u16.to_be_bytes();
    let udp = [&[port0, port1, port0, port1][..], &udp_len, &[0, 0], esp].concat();
    [
        (esp.to_vec(), Arrival::Esp(OUTER)),
        (esp.to_vec(), Arrival::Esp(outer(UDP))),
        (ip_packet(V4.0, V4.1, 50, esp), Arrival::Ip),
        (ip_packet(V4.0, V4.1, 17, &udp), Arrival::Ip),
    ]
}

/// What must not change by a packet that is not authentic: packets counted and the newest number, of every SA.
pub(crate) fn carried(processor: &Processor<'_>) -> Vec<(u64, u64)> {
    let of = |sa: &InboundSa| (sa.counters().packets, sa.newest_sequence().0);
    processor.inbound_sas().map(of).collect()
}
