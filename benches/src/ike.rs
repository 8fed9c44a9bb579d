//! ike-core: what a handshake costs, and of what it consists.

use std::hint::black_box;

use chacha20::ChaCha8Rng;
use chacha20::rand_core::SeedableRng;
use ike_core::crypto::{
    DhGroup, MAX_PRIVATE_LEN, MAX_PUBLIC_LEN, SOFTWARE, WorkMemory, random_private,
};
use ike_core::keys::{Nonces, Skeyid};
use ike_core::wire::{Cookie, CookiePair};

use crate::measure::nanoseconds;

/// One computation, all at once.
fn compute(
    group: &dyn DhGroup,
    memory: &mut WorkMemory,
    private: &[u8],
    peer: Option<&[u8]>,
) -> Vec<u8> {
    let mut out = [0; MAX_PUBLIC_LEN];
    group.begin(memory, private, peer).expect("good operands");
    while !group.step(memory, u32::MAX).done {}
    let len = group.finish(memory, &mut out).expect("a result");
    out.get(..len).unwrap_or_default().to_vec()
}

pub fn diffie_hellman() {
    println!("group        private   public µs   shared µs   handshakes/s/core by these alone");
    let mut rng = ChaCha8Rng::from_seed([1; 32]);
    let mut memory = WorkMemory::new();
    for group in SOFTWARE.groups {
        let mut private = || {
            let mut out = [0; MAX_PRIVATE_LEN];
            let len = random_private(*group, &mut rng, &mut out).expect("a good generator");
            out.get(..len).unwrap_or_default().to_vec()
        };
        let (ours, theirs) = (private(), private());
        let peer = compute(*group, &mut memory, &theirs, None);
        let public = nanoseconds(|| {
            black_box(compute(*group, &mut memory, black_box(&ours), None));
        });
        let shared = nanoseconds(|| {
            black_box(compute(*group, &mut memory, black_box(&ours), Some(black_box(&peer))));
        });
        println!(
            "{:<12} {:>4} bits  {:>9.1}   {:>9.1}   {:>8.0}",
            group.id(),
            ours.len() * 8,
            public / 1e3,
            shared / 1e3,
            1e9 / (public + shared),
        );
    }
}

pub fn prf() {
    println!(
        "hash         HMAC of 64 B ns   of 1024 B ns   SKEYID family µs (2048-bit g^xy, 32-byte nonces)"
    );
    let cookies = CookiePair { initiator: Cookie([1; 8]), responder: Cookie([2; 8]) };
    let nonces = Nonces { initiator: &[3; 32], responder: &[4; 32] };
    let (psk, shared) = ([5; 20], [6; 256]);
    for hash in SOFTWARE.hashes {
        let mut out = [0; 64];
        let mut hmac = |data: &[u8]| {
            nanoseconds(|| hash.prf(black_box(&[7; 20]), &[black_box(data)], black_box(&mut out)))
        };
        let (short, long) = (hmac(&[8; 64]), hmac(&[8; 1024]));
        let mut skeyid = Skeyid::empty();
        let family = nanoseconds(|| {
            skeyid.derive_from_psk(*hash, black_box(&psk), nonces, black_box(&shared), &cookies);
            black_box(&skeyid);
        });
        println!("{:<12} {short:>15.0}   {long:>12.0}   {:>16.2}", hash.id(), family / 1e3);
    }
}
