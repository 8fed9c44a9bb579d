//! aws-lc-rs and boringtun as contenders: the three functions of `../peer.h` each.

use std::slice::{from_raw_parts, from_raw_parts_mut};

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::{PublicKey, StaticSecret};

/// Bytes of SPI, sequence number and IV in front of the text.
const FRONT: usize = 16;
const TAG: usize = 16;

fn nonce(packet: &[u8]) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&packet[8..FRONT]);
    Nonce::assume_unique_for_key(nonce)
}

#[unsafe(no_mangle)]
pub extern "C" fn aws_lc_sa(algorithm: i32) -> *mut LessSafeKey {
    let (algorithm, len) = match algorithm {
        3 => (&AES_128_GCM, 16),
        4 => (&AES_256_GCM, 32),
        5 => (&CHACHA20_POLY1305, 32),
        _ => return std::ptr::null_mut(),
    };
    let key = UnboundKey::new(algorithm, &[0x11; 32][..len]).expect("a key of its length");
    Box::into_raw(Box::new(LessSafeKey::new(key)))
}

/// # Safety
/// `sa` is from `aws_lc_sa`, and each of `count` packets has 16 bytes, `text` and 16 more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aws_lc_seal(
    sa: *mut LessSafeKey,
    packets: *const *mut u8,
    count: usize,
    text: usize,
) {
    // SAFETY: as above.
    let (key, packets) = unsafe { (&*sa, from_raw_parts(packets, count)) };
    for packet in packets {
        // SAFETY: as above.
        let packet = unsafe { from_raw_parts_mut(*packet, FRONT + text + TAG) };
        let (head, rest) = packet.split_at_mut(FRONT);
        let (text, icv) = rest.split_at_mut(text);
        let tag = key
            .seal_in_place_separate_tag(nonce(head), Aad::from(&head[..8]), text)
            .expect("short enough");
        icv.copy_from_slice(tag.as_ref());
    }
}

/// # Safety
/// As for `aws_lc_seal`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn aws_lc_open(
    sa: *mut LessSafeKey,
    packets: *const *mut u8,
    count: usize,
    text: usize,
) -> usize {
    // SAFETY: as above.
    let (key, packets) = unsafe { (&*sa, from_raw_parts(packets, count)) };
    let opened = packets.iter().filter(|packet| {
        // SAFETY: as above.
        let packet = unsafe { from_raw_parts_mut(**packet, FRONT + text + TAG) };
        let (head, rest) = packet.split_at_mut(FRONT);
        key.open_in_place(nonce(head), Aad::from(&head[..8]), rest).is_ok()
    });
    opened.count()
}

/// Two ends of a WireGuard tunnel that have shaken hands, and the datagrams between them.
pub struct Tunnel {
    from: Tunn,
    to: Tunn,
    datagrams: Vec<(Vec<u8>, usize)>,
    clear: Vec<u8>,
}

#[unsafe(no_mangle)]
pub extern "C" fn boringtun_sa(algorithm: i32) -> *mut Tunnel {
    if algorithm != 5 {
        return std::ptr::null_mut();
    }
    let (a, b) = (StaticSecret::from([7; 32]), StaticSecret::from([9; 32]));
    let (public_a, public_b) = (PublicKey::from(&a), PublicKey::from(&b));
    let mut from = Tunn::new(a, public_b, None, None, 1, None);
    let mut to = Tunn::new(b, public_a, None, None, 2, None);
    let (mut forth, mut back) = ([0; 2048], [0; 2048]);
    let len = sent(&from.format_handshake_initiation(&mut forth, false));
    let len = sent(&to.decapsulate(None, &forth[..len], &mut back));
    let len = sent(&from.decapsulate(None, &back[..len], &mut forth));
    to.decapsulate(None, &forth[..len], &mut back);
    let datagrams = vec![(vec![0; 16 * 1024], 0); 64];
    Box::into_raw(Box::new(Tunnel { from, to, datagrams, clear: vec![0; 16 * 1024] }))
}

fn sent(result: &TunnResult<'_>) -> usize {
    match result {
        TunnResult::WriteToNetwork(datagram) => datagram.len(),
        other => panic!("{other:?}"),
    }
}

/// # Safety
/// `sa` is from `boringtun_sa`, there are at most 64 packets, and each has 16 bytes and an IP packet of `text` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn boringtun_seal(
    sa: *mut Tunnel,
    packets: *const *mut u8,
    count: usize,
    text: usize,
) {
    // SAFETY: as above.
    let (tunnel, packets) = unsafe { (&mut *sa, from_raw_parts(packets, count)) };
    for (packet, (datagram, len)) in packets.iter().zip(&mut tunnel.datagrams) {
        // SAFETY: as above.
        let inner = unsafe { from_raw_parts(packet.add(FRONT), text) };
        *len = sent(&tunnel.from.encapsulate(inner, datagram));
    }
}

/// # Safety
/// As for `boringtun_seal`, which went before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn boringtun_open(
    sa: *mut Tunnel,
    _packets: *const *mut u8,
    count: usize,
    _text: usize,
) -> usize {
    // SAFETY: as above.
    let tunnel = unsafe { &mut *sa };
    let datagrams = tunnel.datagrams.iter().take(count);
    let opened = datagrams.filter(|(datagram, len)| {
        let result = tunnel.to.decapsulate(None, &datagram[..*len], &mut tunnel.clear);
        matches!(result, TunnResult::WriteToTunnelV4(..))
    });
    opened.count()
}
