//! Diffie-Hellman: published values, bad public values, and the promises of working in slices.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test fails by panicking"
)]

use ike_core::crypto::modp::{MODP_2048, MODP_3072, MODP_4096};
use ike_core::crypto::{DhError, DhGroup, MAX_PUBLIC_LEN, SOFTWARE, WorkMemory};
use ike_core::wire::numbers::GroupDescription;
#[path = "vectors/read.rs"]
mod read;
use read::{hex, number, vectors};

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
            assert!(!cfg!(feature = "legacy"), "{id} is missing");
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
