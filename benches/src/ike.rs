//! ike-core: what a handshake costs, and of what it consists.

use std::hint::black_box;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use chacha20::ChaCha8Rng;
use chacha20::rand_core::SeedableRng;
use ike_core::crypto::{
    DhGroup, MAX_PRIVATE_LEN, MAX_PUBLIC_LEN, SOFTWARE, WorkMemory, random_private,
};
use ike_core::keys::{Nonces, Skeyid};
use ike_core::wire::{Cookie, CookiePair};

use ike_core::Resources;
use ike_core::wire::numbers::GroupDescription;

use crate::measure::{median, nanoseconds};

mod pair;
use pair::{Pair, Spent};

/// Room for the largest number of IKE SAs that is measured. Static, it costs neither stack nor start-up.
type Memory = Resources<10_240, 64, 1_024, 1_536>;
static CLIENTS: Mutex<Memory> = Mutex::new(Memory::new());
static GATEWAY: Mutex<Memory> = Mutex::new(Memory::new());

/// A fresh pair for `measure`.
fn with_pair(group: GroupDescription, measure: impl for<'s> FnOnce(&mut Pair<'s>)) {
    let mut clients = CLIENTS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mut gateway = GATEWAY.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    measure(&mut Pair::new(clients.storage(), gateway.storage(), group));
}

/// Microseconds in the middle of many samples.
fn median_of(samples: &[[Spent; 2]], figure: impl Fn(&[Spent; 2]) -> Duration) -> f64 {
    let mut samples: Vec<f64> =
        samples.iter().map(|sample| figure(sample).as_secs_f64() * 1e6).collect();
    median(&mut samples)
}

/// Handshakes in one process, one thread: each end's time, and what part of it goes into exponentiations.
pub fn handshakes() {
    const WARM_UP: u32 = 8;
    println!("                                 both ends   the gateway's share");
    println!(
        "group        exchange                   /s          /s   exponentiation   beyond it µs"
    );
    for group in SOFTWARE.groups {
        for child in [false, true] {
            with_pair(group.id(), |pair| {
                let began = Instant::now();
                let mut samples = Vec::new();
                for number in 0..1_000 {
                    if samples.len() > 20 && began.elapsed() > Duration::from_secs(2) {
                        break;
                    }
                    pair.handshake(number, child);
                    let spent = pair.spent();
                    if number >= WARM_UP {
                        samples.push(spent);
                    }
                }
                assert_eq!(pair.established(), samples.len().saturating_add(WARM_UP as usize));
                let total = |spent: &Spent| spent.exponentiation.saturating_add(spent.engine);
                let both = median_of(&samples, |ends| ends.iter().map(total).sum());
                let gateway = median_of(&samples, |[_, gateway]| total(gateway));
                let exponentiation = median_of(&samples, |[_, gateway]| gateway.exponentiation);
                let engine = median_of(&samples, |[_, gateway]| gateway.engine);
                println!(
                    "{:<12} {:<20} {:>8.0}    {:>8.0}   {:>12.1} %   {engine:>10.1}",
                    group.id(),
                    if child { "main and quick mode" } else { "main mode" },
                    1e6 / both,
                    1e6 / gateway,
                    100.0 * exponentiation / gateway,
                );
            });
        }
    }
}

/// The gateway answers R-U-THERE of peers that take turns, while it holds more and more IKE SAs.
pub fn dead_peer_detection() {
    println!("IKE SAs   R-U-THERE answered, µs");
    for ike_sas in [1, 100, 10_000] {
        with_pair(GroupDescription::CURVE25519, |pair| {
            for number in 0..ike_sas {
                // As many of them as there is room for have a child, and so a reason to ask.
                pair.handshake(number, number % 16 == 0);
            }
            assert_eq!(pair.established(), ike_sas as usize);
            pair.spent();
            let samples: Vec<_> = (0..4_000)
                .map(|round| {
                    pair.probe(round);
                    pair.spent()
                })
                .collect();
            let each = median_of(&samples, |[_, gateway]| gateway.engine);
            println!("{ike_sas:>7}   {each:>22.2}");
        });
    }
}

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
