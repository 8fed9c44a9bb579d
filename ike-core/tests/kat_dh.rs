//! Diffie-Hellman: published values, bad public values, and the promises of working in slices.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{SeedableRng, TryCryptoRng, TryRng};
use ike_core::crypto::ecp::{CURVE25519, ECP_256, ECP_384};
use ike_core::crypto::modp::{MODP_2048, MODP_3072, MODP_4096};
use ike_core::crypto::{
    DhError, DhGroup, MAX_PRIVATE_LEN, MAX_PUBLIC_LEN, PublicValueError, SOFTWARE, Step,
    WorkMemory, random_private,
};
use ike_core::wire::numbers::GroupDescription;

#[path = "vectors/read.rs"]
mod read;
use read::{hex, number, vectors};

/// What only the feature `legacy` brings; that it does, the counts of vectors show.
const WEAK: [GroupDescription; 3] =
    [GroupDescription::MODP_768, GroupDescription::MODP_1024, GroupDescription::MODP_1536];

fn compute(
    group: &dyn DhGroup,
    private: &[u8],
    peer: Option<&[u8]>,
    budget: u32,
) -> Result<Vec<u8>, DhError> {
    let mut memory = WorkMemory::new();
    group.begin(&mut memory, private, peer)?;
    let mut used = 0;
    loop {
        let step = group.step(&mut memory, budget);
        used += step.used;
        assert!(used < 10_000, "no end in sight");
        if step.done {
            break;
        }
        assert!(step.used >= 1 && step.used <= budget.max(1), "{step:?} of {budget}");
    }
    let mut out = [0; MAX_PUBLIC_LEN];
    let len = group.finish(&mut memory, &mut out)?;
    assert_eq!(len, if peer.is_some() { group.shared_len() } else { group.public_len() });
    assert!(memory.is_empty());
    Ok(out[..len].to_vec())
}

#[test]
fn modp_publishes_the_recorded_values() {
    let mut seen = 0;
    for vector in vectors(include_str!("vectors/modp_dh.json")) {
        let id = GroupDescription(number(&vector, "group"));
        let Some(group) = SOFTWARE.group(id) else {
            assert!(WEAK.contains(&id), "{id} is missing");
            continue;
        };
        let private_i = hex(&vector["priv_i"]);
        // The recorded exponents of groups 14 to 16 are longer than ours.
        let (m14, m15, m16) = (
            MODP_2048.with_private_len(private_i.len()),
            MODP_3072.with_private_len(private_i.len()),
            MODP_4096.with_private_len(private_i.len()),
        );
        let group: &dyn DhGroup = match id {
            GroupDescription::MODP_2048 => &m14,
            GroupDescription::MODP_3072 => &m15,
            GroupDescription::MODP_4096 => &m16,
            _ => group,
        };
        let private_r = hex(&vector["priv_r"]);
        let (public_i, public_r) = (hex(&vector["pub_i"]), hex(&vector["pub_r"]));
        let shared = hex(&vector["shared"]);
        assert_eq!(compute(group, &private_i, None, 50).as_ref(), Ok(&public_i), "{id}");
        assert_eq!(compute(group, &private_r, None, 50).as_ref(), Ok(&public_r), "{id}");
        assert_eq!(compute(group, &private_i, Some(&public_r), 50).as_ref(), Ok(&shared), "{id}");
        assert_eq!(compute(group, &private_r, Some(&public_i), 50).as_ref(), Ok(&shared), "{id}");
        seen += 1;
    }
    assert_eq!(seen, if cfg!(feature = "legacy") { 6 } else { 3 });
}

#[test]
fn ecp_gives_the_published_values() {
    for vector in vectors(include_str!("vectors/ecp_dh.json")) {
        let id = GroupDescription(number(&vector, "group"));
        let group = SOFTWARE.group(id).unwrap();
        let (private_i, private_r) = (hex(&vector["priv_i"]), hex(&vector["priv_r"]));
        let (public_i, public_r) = (hex(&vector["pub_i"]), hex(&vector["pub_r"]));
        let shared = hex(&vector["shared"]);
        assert_eq!(compute(group, &private_i, None, 1).as_ref(), Ok(&public_i), "{id}");
        assert_eq!(compute(group, &private_r, None, 1).as_ref(), Ok(&public_r), "{id}");
        assert_eq!(compute(group, &private_i, Some(&public_r), 1).as_ref(), Ok(&shared), "{id}");
        assert_eq!(compute(group, &private_r, Some(&public_i), 1).as_ref(), Ok(&shared), "{id}");
    }
}

/// Edge cases of the arithmetic, points off the curve, points of small order.
#[test]
fn curves_against_wycheproof() {
    let (mut good, mut bad) = (0, 0);
    let files = [
        include_str!("vectors/wycheproof_ecdh.json"),
        include_str!("vectors/wycheproof_x25519.json"),
    ];
    for vector in files.iter().flat_map(|file| vectors(file)) {
        let group = SOFTWARE.group(GroupDescription(number(&vector, "group"))).unwrap();
        let (private, public) = (hex(&vector["private"]), hex(&vector["public"]));
        let result = compute(group, &private, Some(&public), 1);
        if vector["shared"].is_null() {
            let reason = match group.id() {
                GroupDescription::CURVE25519 => PublicValueError::SmallOrder,
                _ => PublicValueError::NotOnCurve,
            };
            assert_eq!(result, Err(DhError::PublicValue(reason)), "{vector}");
            bad += 1;
        } else {
            assert_eq!(result, Ok(hex(&vector["shared"])), "{vector}");
            good += 1;
        }
    }
    assert_eq!((good, bad), (220, 63));
}

/// RFC 7748 §6.1.
#[test]
fn curve25519_gives_the_published_values() {
    use hex_literal::hex;
    let private_i = hex!("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
    let public_i = hex!("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
    let private_r = hex!("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
    let public_r = hex!("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
    let shared = hex!("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742");
    assert_eq!(compute(&CURVE25519, &private_i, None, 1).unwrap(), public_i);
    assert_eq!(compute(&CURVE25519, &private_r, None, 1).unwrap(), public_r);
    assert_eq!(compute(&CURVE25519, &private_i, Some(&public_r), 1).unwrap(), shared);
    assert_eq!(compute(&CURVE25519, &private_r, Some(&public_i), 1).unwrap(), shared);
}

/// The software groups; those of MODP with the published prime.
fn modp_groups() -> Vec<(&'static dyn DhGroup, Vec<u8>)> {
    let groups: Vec<_> = vectors(include_str!("vectors/modp_primes.json"))
        .iter()
        .filter_map(|vector| {
            let group = SOFTWARE.group(GroupDescription(number(vector, "group")))?;
            Some((group, hex(&vector["prime"])))
        })
        .collect();
    assert_eq!(groups.len(), if cfg!(feature = "legacy") { 6 } else { 3 });
    groups
}

/// `number` plus or minus one.
fn neighbour(number: &[u8], up: bool) -> Vec<u8> {
    let mut number = number.to_vec();
    for byte in number.iter_mut().rev() {
        let (next, carry) = if up { byte.overflowing_add(1) } else { byte.overflowing_sub(1) };
        *byte = next;
        if !carry {
            break;
        }
    }
    number
}

/// CVE-2015-3240, CVE-2023-41913: 0, 1, p-1, p, p+1, all ones; every wrong length. Since p-2 passes and p-1 does not,
/// the modulus is the published prime to the last bit.
#[test]
fn bad_public_values_of_modp_are_refused() {
    const OUT_OF_RANGE: Result<(), PublicValueError> = Err(PublicValueError::OutOfRange);
    for (group, p) in modp_groups() {
        let len = p.len();
        assert_eq!((group.public_len(), group.shared_len()), (len, len));
        let zero = vec![0; len];
        let one = neighbour(&zero, true);
        let two = neighbour(&one, true);
        let p_minus_1 = neighbour(&p, false);
        let p_minus_2 = neighbour(&p_minus_1, false);
        for bad in [&zero, &one, &p_minus_1, &p, &neighbour(&p, true), &vec![0xff; len]] {
            assert_eq!(group.check_public(bad), OUT_OF_RANGE, "{group:?}");
            let mut memory = WorkMemory::new();
            let private = vec![1; group.private_len()];
            let refused = group.begin(&mut memory, &private, Some(bad));
            assert_eq!(refused, Err(DhError::PublicValue(PublicValueError::OutOfRange)));
            assert!(memory.is_empty());
        }
        for good in [&two, &p_minus_2] {
            assert_eq!(group.check_public(good), Ok(()), "{group:?}");
        }
        for given in (0..len).chain([len + 1, 2 * len, MAX_PUBLIC_LEN + 1]) {
            let refused = Err(PublicValueError::Length { expected: len, given });
            assert_eq!(group.check_public(&vec![2; given]), refused);
        }
        // An empty value is a wrong one, not the wish for our own.
        let private = vec![1; group.private_len()];
        let refused = compute(group, &private, Some(&[]), 1000);
        let length = PublicValueError::Length { expected: len, given: 0 };
        assert_eq!(refused, Err(DhError::PublicValue(length)));
    }
}

#[test]
fn bad_public_values_of_curves_are_refused() {
    for group in [&CURVE25519 as &dyn DhGroup, &ECP_256, &ECP_384] {
        let len = group.public_len();
        for given in (0..=2 * len + 2).filter(|given| *given != len) {
            let refused = Err(PublicValueError::Length { expected: len, given });
            assert_eq!(group.check_public(&vec![9; given]), refused, "{group:?}");
        }
    }
    for group in [&ECP_256 as &dyn DhGroup, &ECP_384] {
        for filling in [0, 1, 0x55, 0xff] {
            let point = vec![filling; group.public_len()];
            assert_eq!(group.check_public(&point), Err(PublicValueError::NotOnCurve));
        }
        // One bit off the curve.
        let private = vec![0x31; group.private_len()];
        let public = compute(group, &private, None, 1).unwrap();
        assert_eq!(group.check_public(&public), Ok(()));
        for bit in 0..public.len() * 8 {
            let mut off = public.clone();
            off[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(group.check_public(&off), Err(PublicValueError::NotOnCurve), "bit {bit}");
        }
    }
}

#[test]
fn private_values_have_their_range() {
    for group in SOFTWARE.groups {
        let len = group.private_len();
        let zero_allowed = group.id() == GroupDescription::CURVE25519;
        assert_eq!(group.is_private(&vec![0; len]), zero_allowed, "{group:?}");
        assert!(group.is_private(&vec![0x7f; len]));
        for wrong in (0..2 * len).filter(|wrong| *wrong != len) {
            assert!(!group.is_private(&vec![0x7f; wrong]));
            let mut memory = WorkMemory::new();
            let refused = group.begin(&mut memory, &vec![0x7f; wrong], None);
            assert_eq!(refused, Err(DhError::PrivateValue));
        }
    }
    // The orders of P-256 and P-384 are below 2^256 and 2^384.
    for group in [&ECP_256 as &dyn DhGroup, &ECP_384] {
        assert!(!group.is_private(&vec![0xff; group.private_len()]));
    }

    let mut rng = ChaCha8Rng::from_seed([7; 32]);
    for group in SOFTWARE.groups {
        let mut out = [0; MAX_PRIVATE_LEN];
        let len = group.private_len();
        assert_eq!(random_private(*group, &mut rng, &mut out), Ok(len));
        assert!(group.is_private(&out[..len]) && out[len..].iter().all(|byte| *byte == 0));
        let short = random_private(*group, &mut rng, &mut out[..len - 1]);
        assert_eq!(short, Err(DhError::Output { needed: len }));
    }
    // A generator that gives nothing but ones or zeros is reported, not waited for.
    for (group, byte) in [(&ECP_256 as &dyn DhGroup, 0xff), (&MODP_2048, 0)] {
        let mut out = [0; MAX_PRIVATE_LEN];
        let refused = random_private(group, &mut Stuck(byte), &mut out);
        assert_eq!(refused, Err(DhError::PrivateValue));
    }
}

/// The size of the slices does not change the result, and the work adds up to the same.
#[test]
fn any_budget_gives_the_same_result() {
    let mut rng = ChaCha8Rng::from_seed([9; 32]);
    for group in SOFTWARE.groups {
        let mut private = vec![0; group.private_len()];
        random_private(*group, &mut rng, &mut private).unwrap();
        let peer = compute(*group, &vec![0x13; group.private_len()], None, u32::MAX).unwrap();
        for peer in [None, Some(peer.as_slice())] {
            let expected = compute(*group, &private, peer, u32::MAX);
            assert!(expected.is_ok());
            for budget in (0..20).chain([21, 50, 100, 333, 400, 1000]) {
                assert_eq!(
                    compute(*group, &private, peer, budget),
                    expected,
                    "{group:?}, {budget}"
                );
            }
            let mut memory = WorkMemory::new();
            let total = |memory: &mut WorkMemory, budget| {
                group.begin(memory, &private, peer).unwrap();
                let mut total = 0;
                loop {
                    let step = group.step(memory, budget);
                    total += step.used;
                    if step.done {
                        break total;
                    }
                }
            };
            assert_eq!(total(&mut memory, 1), total(&mut memory, u32::MAX), "{group:?}");
        }
    }
}

/// Both ends agree, whatever the group, with private values from the generator.
#[test]
fn both_ends_agree() {
    let mut rng = ChaCha8Rng::from_seed([11; 32]);
    for group in SOFTWARE.groups {
        for _ in 0..4 {
            let mut privates = [vec![0; group.private_len()], vec![0; group.private_len()]];
            for private in &mut privates {
                random_private(*group, &mut rng, private).unwrap();
            }
            let publics =
                privates.each_ref().map(|private| compute(*group, private, None, 40).unwrap());
            assert_ne!(publics[0], publics[1]);
            let shared_i = compute(*group, &privates[0], Some(&publics[1]), 40).unwrap();
            let shared_r = compute(*group, &privates[1], Some(&publics[0]), 40).unwrap();
            assert_eq!(shared_i, shared_r, "{group:?}");
        }
    }
}

/// Finished, failed or begun anew: nothing of a computation stays.
#[test]
fn memory_is_wiped() {
    let blank = format!("{:?}", WorkMemory::new());
    let is_blank = |memory: &WorkMemory| {
        memory.is_empty()
            && memory.private().is_empty()
            && memory.value().is_empty()
            && format!("{memory:?}") == blank
    };
    for group in SOFTWARE.groups {
        let private = vec![0x5a; group.private_len()];
        let mut memory = WorkMemory::new();
        let mut out = [0; MAX_PUBLIC_LEN];
        // Finished.
        group.begin(&mut memory, &private, None).unwrap();
        assert!(memory.is_at_work(group.id()) && !memory.is_done());
        assert!(group.step(&mut memory, u32::MAX).done);
        assert_eq!(group.finish(&mut memory, &mut out), Ok(group.public_len()));
        assert!(is_blank(&memory), "{group:?}");
        // Finished too early.
        group.begin(&mut memory, &private, None).unwrap();
        assert_eq!(group.finish(&mut memory, &mut out), Err(DhError::NotDone));
        assert!(is_blank(&memory));
        // Into too small a buffer.
        group.begin(&mut memory, &private, None).unwrap();
        group.step(&mut memory, u32::MAX);
        let needed = group.public_len();
        let refused = group.finish(&mut memory, &mut out[..needed - 1]);
        assert_eq!(refused, Err(DhError::Output { needed }));
        assert!(is_blank(&memory));
        // By another group.
        group.begin(&mut memory, &private, None).unwrap();
        let other = SOFTWARE.groups.iter().find(|other| other.id() != group.id()).unwrap();
        assert_eq!(other.step(&mut memory, 1), Step { used: 0, done: true });
        assert_eq!(other.finish(&mut memory, &mut out), Err(DhError::NotBegun));
        assert!(is_blank(&memory));
        // Never begun.
        assert_eq!(group.step(&mut memory, 1), Step { used: 0, done: true });
        assert_eq!(group.finish(&mut memory, &mut out), Err(DhError::NotBegun));
        // Begun with something bad over something good.
        group.begin(&mut memory, &private, None).unwrap();
        assert!(group.begin(&mut memory, &private, Some(&[])).is_err());
        assert!(is_blank(&memory));
    }
}

/// A generator that is stuck.
struct Stuck(u8);

impl TryRng for Stuck {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(u32::from_ne_bytes([self.0; 4]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(u64::from_ne_bytes([self.0; 8]))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.fill(self.0);
        Ok(())
    }
}

impl TryCryptoRng for Stuck {}

#[cfg(feature = "_sim")]
mod sim {
    use super::*;
    use ike_core::crypto::toy::{Recorded, RecordedComputation, Toy};

    #[test]
    fn the_toy_group_is_a_group() {
        let toy = Toy::MODP_2048;
        let mut rng = ChaCha8Rng::from_seed([13; 32]);
        let mut privates = [[0; 32]; 2];
        for private in &mut privates {
            random_private(&toy, &mut rng, private).unwrap();
        }
        let publics = privates.map(|private| compute(&toy, &private, None, 7).unwrap());
        assert_ne!(publics[0], publics[1]);
        assert_eq!(publics[0].len(), 256);
        let shared_i = compute(&toy, &privates[0], Some(&publics[1]), 1).unwrap();
        let shared_r = compute(&toy, &privates[1], Some(&publics[0]), u32::MAX).unwrap();
        assert_eq!(shared_i, shared_r);
        for bad in [vec![0; 256], vec![0xff; 256]] {
            assert_eq!(toy.check_public(&bad), Err(PublicValueError::OutOfRange));
        }
    }

    #[test]
    fn a_recorded_group_gives_back_the_recording() {
        static COMPUTATIONS: &[RecordedComputation] = &[
            RecordedComputation { public: &[1; 8], peer_public: &[2; 8], shared: &[3; 8] },
            RecordedComputation { public: &[4; 8], peer_public: &[5; 8], shared: &[6; 8] },
        ];
        let group = Recorded {
            id: GroupDescription::MODP_1024,
            private_len: 4,
            computations: COMPUTATIONS,
        };
        for (index, expected) in (0..).zip(COMPUTATIONS) {
            let private = [index, 9, 9, 9];
            assert_eq!(compute(&group, &private, None, 1).unwrap(), expected.public);
            let shared = compute(&group, &private, Some(expected.peer_public), 1);
            assert_eq!(shared.unwrap(), expected.shared);
        }
        assert!(group.check_public(&[1; 8]).is_err());
        assert!(!group.is_private(&[2, 9, 9, 9]));
    }
}
