//! Contenders: what `peers/peer.h` asks of each.

use std::ffi::{c_int, c_void};

use esp_core::{Aead, BlockCipher, Integrity, Transform};

use super::{PACKETS, inner};

type NewSa = unsafe extern "C" fn(c_int) -> *mut c_void;
type Seal = unsafe extern "C" fn(*mut c_void, *mut *mut u8, usize, usize);
type Open = unsafe extern "C" fn(*mut c_void, *mut *mut u8, usize, usize) -> usize;

/// A contender.
#[derive(Clone, Copy)]
pub struct Peer {
    pub name: &'static str,
    /// Whether it is any quicker with several packets at a time.
    pub batches: bool,
    /// Whether it takes bare IP packets and puts its own frame around.
    frames: bool,
    sa: NewSa,
    seal: Seal,
    open: Open,
}

macro_rules! peer {
    ($name:literal, batches: $batches:literal, frames: $frames:literal, $sa:ident, $seal:ident, $open:ident) => {{
        unsafe extern "C" {
            fn $sa(algorithm: c_int) -> *mut c_void;
            fn $seal(sa: *mut c_void, packets: *mut *mut u8, count: usize, text: usize);
            fn $open(sa: *mut c_void, packets: *mut *mut u8, count: usize, text: usize) -> usize;
        }
        Peer { name: $name, batches: $batches, frames: $frames, sa: $sa, seal: $seal, open: $open }
    }};
}

/// Those that were built.
fn all() -> Vec<Peer> {
    vec![
        #[cfg(openssl)]
        peer!("OpenSSL EVP", batches: false, frames: false, openssl_sa, openssl_seal, openssl_open),
        #[cfg(rust_peers)]
        peer!("aws-lc-rs", batches: false, frames: false, aws_lc_sa, aws_lc_seal, aws_lc_open),
        #[cfg(rust_peers)]
        peer!("boringtun", batches: false, frames: true, boringtun_sa, boringtun_seal, boringtun_open),
        #[cfg(ipsec_mb)]
        peer!("ipsec-mb", batches: true, frames: false, ipsec_mb_sa, ipsec_mb_seal, ipsec_mb_open),
    ]
}

/// Those that have this transform, with their number for it.
pub fn with(transform: Transform) -> Vec<(Peer, c_int)> {
    use BlockCipher::{Aes128, Aes256};
    let algorithm = match transform {
        Transform::CbcHmac(Aes128, Integrity::HmacSha1_96) => 0,
        Transform::CbcHmac(Aes256, Integrity::HmacSha256_128) => 1,
        Transform::CbcHmac(Aes256, Integrity::HmacSha512_256) => 2,
        Transform::Aead(Aead::Aes128Gcm16) => 3,
        Transform::Aead(Aead::Aes256Gcm16) => 4,
        Transform::Aead(Aead::ChaCha20Poly1305) => 5,
        _ => return Vec::new(),
    };
    let has = |peer: &Peer| !peer.sa(algorithm).state.is_null();
    all().into_iter().filter(has).map(|peer| (peer, algorithm)).collect()
}

impl Peer {
    /// An SA of it. Never freed: a benchmark ends soon.
    pub fn sa(&self, algorithm: c_int) -> Sa {
        // SAFETY: every contender takes the numbers of `peer.h`.
        Sa { peer: *self, state: unsafe { (self.sa)(algorithm) } }
    }
}

/// An SA of a contender.
pub struct Sa {
    peer: Peer,
    state: *mut c_void,
}

impl Sa {
    pub fn seal(&self, packets: &mut Packets, size: usize) {
        let (text, size) = (packets.text(&self.peer), self.chunk(size));
        for packets in packets.starts.chunks_mut(size) {
            // SAFETY: the packets have the lengths that `peer.h` says, and the SA is alive.
            unsafe { (self.peer.seal)(self.state, packets.as_mut_ptr(), packets.len(), text) };
        }
    }

    /// How many packets go into a call: one that keeps its own datagrams is to see all before they are opened, and takes
    /// them one by one all the same.
    const fn chunk(&self, size: usize) -> usize {
        if self.peer.frames { PACKETS } else { size }
    }

    /// How many were authentic.
    pub fn open(&self, packets: &mut Packets, size: usize) -> usize {
        let (text, size) = (packets.text(&self.peer), self.chunk(size));
        let chunks = packets.starts.chunks_mut(size);
        // SAFETY: as in `seal`.
        chunks
            .map(|packets| unsafe {
                (self.peer.open)(self.state, packets.as_mut_ptr(), packets.len(), text)
            })
            .sum()
    }
}

/// Packets laid out for a contender, and where each begins.
pub struct Packets {
    memory: Vec<Vec<u8>>,
    starts: Vec<*mut u8>,
    clear: Vec<u8>,
    len: usize,
    padded: usize,
}

impl Packets {
    pub fn new(transform: Transform, len: usize) -> Self {
        let padded = len + transform.padding_len(len) + 2;
        let front = vec![0x5a; 8 + transform.iv_len()];
        let back = vec![0; padded - len + transform.icv_len()];
        let clear = [front, inner(len), back].concat();
        let mut memory = vec![clear.clone(); PACKETS];
        let starts = memory.iter_mut().map(|packet| packet.as_mut_ptr()).collect();
        Self { memory, starts, clear, len, padded }
    }

    /// Clear again.
    pub fn restore(&mut self) {
        self.memory.iter_mut().for_each(|packet| packet.copy_from_slice(&self.clear));
    }

    const fn text(&self, peer: &Peer) -> usize {
        if peer.frames { self.len } else { self.padded }
    }
}
