//! Algorithms that remember what they were asked: in software, looked at from the place where a host puts its own.

use std::sync::{Mutex, MutexGuard};

use ike_core::crypto::toy::{Recorded, RecordedComputation};
use ike_core::crypto::{CbcCipher, Crypto, CryptoError, DhGroup, Prf, SOFTWARE};
use ike_core::wire::numbers::{EncryptionAlgorithm, GroupDescription, HashAlgorithm};

use crate::script::PRIVATE_LEN;
use crate::session::{End, Session};

/// The algorithms of one session.
pub(crate) struct Watch {
    pub(crate) crypto: &'static Crypto,
    pub(crate) prf: &'static WatchedPrf,
    pub(crate) cipher: &'static WatchedCipher,
}

impl Watch {
    pub(crate) fn new(session: &Session, end: End) -> Self {
        let proposal = session.proposal();
        let inner = SOFTWARE.hash(proposal.hash).expect("the hash");
        let prf: &'static _ = Box::leak(Box::new(WatchedPrf { inner, outputs: Mutex::default() }));
        let (id, bits) = match proposal.cipher {
            ike_core::config::Phase1Cipher::AesCbc(bits) => (EncryptionAlgorithm::AES_CBC, bits),
            _ => (EncryptionAlgorithm::TRIPLE_DES_CBC, 0),
        };
        let inner = SOFTWARE.cipher(id, bits).expect("the cipher");
        let cipher: &'static _ = Box::leak(Box::new(WatchedCipher {
            inner,
            used: Mutex::default(),
            substitute: Mutex::default(),
        }));
        let crypto = Crypto {
            hashes: Box::leak(Box::new([prf as &dyn Prf])),
            ciphers: Box::leak(Box::new([cipher as &dyn CbcCipher])),
            groups: groups(session, end).leak(),
        };
        Self { crypto: Box::leak(Box::new(crypto)), prf, cipher }
    }
}

/// Groups whose results are the recorded ones.
fn groups(session: &Session, end: End) -> Vec<&'static dyn DhGroup> {
    let all = session.exponentiations();
    let mut ids: Vec<GroupDescription> = all.iter().map(|dh| dh.group).collect();
    if ids.is_empty() {
        ids.push(session.proposal().group);
    }
    ids.dedup();
    let group = |id: GroupDescription| -> &'static dyn DhGroup {
        let of_group = all.iter().filter(|dh| dh.group == id).map(|dh| {
            let [ours, theirs] = match end {
                End::A => [&dh.public[0], &dh.public[1]],
                End::B => [&dh.public[1], &dh.public[0]],
            };
            RecordedComputation {
                public: ours.clone().leak(),
                peer_public: theirs.clone().leak(),
                shared: dh.shared.clone().leak(),
            }
        });
        let computations = of_group.collect::<Vec<_>>().leak();
        Box::leak(Box::new(Recorded { id, private_len: PRIVATE_LEN, computations }))
    };
    ids.into_iter().map(group).collect()
}

pub(crate) struct WatchedPrf {
    inner: &'static dyn Prf,
    outputs: Mutex<Vec<Vec<u8>>>,
}

impl WatchedPrf {
    /// Whether this value was computed.
    pub(crate) fn gave(&self, value: &[u8]) -> bool {
        self.outputs.lock().unwrap().iter().any(|output| output == value)
    }
}

impl Prf for WatchedPrf {
    fn id(&self) -> HashAlgorithm {
        self.inner.id()
    }

    fn output_len(&self) -> usize {
        self.inner.output_len()
    }

    fn prf(&self, key: &[u8], data: &[&[u8]], out: &mut [u8]) {
        self.inner.prf(key, data, out);
        let len = self.output_len().min(out.len());
        self.outputs.lock().unwrap().push(out[..len].to_vec());
    }

    fn hash(&self, data: &[&[u8]], out: &mut [u8]) {
        self.inner.hash(data, out);
    }
}

pub(crate) struct WatchedCipher {
    inner: &'static dyn CbcCipher,
    used: Mutex<Vec<Used>>,
    substitute: Mutex<Option<Vec<u8>>>,
}

/// One use of a cipher.
pub(crate) struct Used {
    pub(crate) key: Vec<u8>,
    pub(crate) iv: Vec<u8>,
    /// What was to be encrypted, before the substitution.
    pub(crate) plaintext: Option<Vec<u8>>,
}

impl WatchedCipher {
    /// What is encrypted next is this, of the same length, whatever the engine wants to encrypt.
    pub(crate) fn substitute(&self, plaintext: &[u8]) {
        *self.substitute.lock().unwrap() = Some(plaintext.to_vec());
    }

    /// All uses until now.
    pub(crate) fn used(&self) -> MutexGuard<'_, Vec<Used>> {
        self.used.lock().unwrap()
    }

    fn note(&self, key: &[u8], iv: &[u8], plaintext: Option<&[u8]>) {
        let (key, iv, plaintext) = (key.to_vec(), iv.to_vec(), plaintext.map(<[u8]>::to_vec));
        self.used.lock().unwrap().push(Used { key, iv, plaintext });
    }
}

impl CbcCipher for WatchedCipher {
    fn id(&self) -> EncryptionAlgorithm {
        self.inner.id()
    }

    fn key_len(&self) -> usize {
        self.inner.key_len()
    }

    fn key_length_attribute(&self) -> u16 {
        self.inner.key_length_attribute()
    }

    fn block_len(&self) -> usize {
        self.inner.block_len()
    }

    fn encrypt(&self, key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError> {
        self.note(key, iv, Some(data));
        if let Some(substitute) = self.substitute.lock().unwrap().take() {
            data.copy_from_slice(&substitute);
        }
        self.inner.encrypt(key, iv, data)
    }

    fn decrypt(&self, key: &[u8], iv: &[u8], data: &mut [u8]) -> Result<(), CryptoError> {
        self.note(key, iv, None);
        self.inner.decrypt(key, iv, data)
    }
}
