//! Keyed 64-bit digests for indexes and duplicate detection: SipHash under a secret of the endpoint, since peers choose
//! some of what is looked up.

use core::hash::Hasher as _;
use core::net::IpAddr;

use rand_core::CryptoRng;
use siphasher::sip::SipHasher13;

/// The key of an endpoint's digests.
pub(crate) struct Digests {
    key: [u64; 2],
}

impl Digests {
    pub(crate) fn new(rng: &mut dyn CryptoRng) -> Self {
        Self { key: [rng.next_u64(), rng.next_u64()] }
    }

    /// The digest of the concatenation, separated by `kind` from digests of other things.
    pub(crate) fn of(&self, kind: Kind, parts: &[&[u8]]) -> u64 {
        let [k0, k1] = self.key;
        let mut hasher = SipHasher13::new_with_keys(k0, k1);
        hasher.write_u8(kind as u8);
        for part in parts {
            hasher.write(part);
        }
        hasher.finish()
    }

    /// The digest of a number and an address.
    pub(crate) fn of_address(&self, kind: Kind, number: u32, address: IpAddr) -> u64 {
        let number = number.to_be_bytes();
        match address {
            IpAddr::V4(address) => self.of(kind, &[&number, &address.octets()]),
            IpAddr::V6(address) => self.of(kind, &[&number, &address.octets()]),
        }
    }
}

/// What a digest is of.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Cookie,
    Spi,
    Owner,
    Peer,
    Exchange,
    FirstMessage,
    Datagram,
}
