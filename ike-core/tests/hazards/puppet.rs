//! A peer that holds the right key and says whatever a test wants it to say. It shares with the engine only the
//! primitives: hashes, ciphers, Diffie-Hellman, the writer of messages.

use ike_core::config::Config;
use ike_core::crypto::{CbcCipher, DhGroup, Prf, SOFTWARE, WorkMemory};
use ike_core::error::Discard;
use ike_core::keys::{CipherKey, Iv, Nonces, Phase1Transcript, Skeyid, hash_1, hash_2, hash_3};
use ike_core::wire::numbers::{
    EncryptionAlgorithm, ExchangeType, GroupDescription, HashAlgorithm, PayloadType,
};
use ike_core::wire::{
    Cookie, CookiePair, Flags, HEADER_LEN, Header, MessageWriter, Payloads, VERSION,
};

use crate::stage::{Host, PSK, address, mirror, path_from};

/// Payloads with their bodies.
pub(crate) type Parts = Vec<(PayloadType, Vec<u8>)>;

pub(crate) fn prf() -> &'static dyn Prf {
    SOFTWARE.hash(HashAlgorithm::SHA2_256).unwrap()
}

fn cipher() -> &'static dyn CbcCipher {
    SOFTWARE.cipher(EncryptionAlgorithm::AES_CBC, 128).unwrap()
}

pub(crate) fn group() -> &'static dyn DhGroup {
    SOFTWARE.group(GroupDescription::CURVE25519).unwrap()
}

fn power(private: &[u8], public: Option<&[u8]>) -> Vec<u8> {
    let mut memory = WorkMemory::new();
    group().begin(&mut memory, private, public).unwrap();
    while !group().step(&mut memory, 64).done {}
    let mut out = vec![0; 512];
    let len = group().finish(&mut memory, &mut out).unwrap();
    out.truncate(len);
    out
}

pub(crate) fn header(cookies: CookiePair, exchange: ExchangeType, id: u32, flags: Flags) -> Header {
    Header {
        cookies,
        next_payload: PayloadType::NONE,
        version: VERSION,
        exchange,
        flags,
        message_id: id,
        length: 0,
    }
}

/// A message in the clear.
pub(crate) fn clear(header: &Header, parts: &[(PayloadType, Vec<u8>)]) -> Vec<u8> {
    let mut buffer = vec![0; 8192];
    let mut writer = MessageWriter::new(&mut buffer, header).unwrap();
    for (kind, body) in parts {
        writer.payload(*kind, &[body]).unwrap();
    }
    let len = writer.finish();
    buffer.truncate(len);
    buffer
}

/// Attributes in the short form, or in the long one where the value asks for it.
pub(crate) fn attributes(all: &[(u16, u32)]) -> Vec<u8> {
    let mut bytes = vec![];
    for (kind, value) in all {
        match u16::try_from(*value) {
            Ok(value) => {
                bytes.extend([(kind | 0x8000).to_be_bytes(), value.to_be_bytes()].concat())
            }
            Err(_) => {
                bytes.extend([kind.to_be_bytes(), [0, 4]].concat());
                bytes.extend(value.to_be_bytes());
            }
        }
    }
    bytes
}

/// The body of an SA payload: one proposal with these transforms.
pub(crate) fn sa(protocol: u8, spi: &[u8], transforms: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut inner = vec![];
    for (number, (id, attributes)) in transforms.iter().enumerate() {
        let next = if number + 1 == transforms.len() { 0 } else { 3 };
        let len = u16::try_from(8 + attributes.len()).unwrap().to_be_bytes();
        inner.extend([next, 0, len[0], len[1], number as u8 + 1, *id, 0, 0]);
        inner.extend(attributes);
    }
    let len = u16::try_from(8 + spi.len() + inner.len()).unwrap().to_be_bytes();
    let mut body = vec![0, 0, 0, 1, 0, 0, 0, 1];
    body.extend([0, 0, len[0], len[1], 1, protocol, spi.len() as u8, transforms.len() as u8]);
    body.extend(spi);
    body.extend(inner);
    body
}

/// What the hosts of [`crate::stage`] accept for phase 1.
pub(crate) const PHASE1: &[(u16, u32)] =
    &[(1, 7), (14, 128), (2, 4), (3, 1), (4, 31), (11, 1), (12, 28_800)];

/// The same for phase 2.
pub(crate) const PHASE2: &[(u16, u32)] = &[(1, 1), (2, 3_600), (4, 1), (5, 5), (6, 128)];

pub(crate) const SPI: [u8; 4] = [0xab, 0xcd, 0x12, 0x34];

pub(crate) fn sa_phase1() -> Vec<u8> {
    sa(1, &[], &[(1, attributes(PHASE1))])
}

pub(crate) fn sa_phase2(spi: [u8; 4]) -> Vec<u8> {
    sa(3, &spi, &[(12, attributes(PHASE2))])
}

/// A notify of the IPsec DOI.
pub(crate) fn notify(protocol: u8, spi: &[u8], kind: u16, data: &[u8]) -> (PayloadType, Vec<u8>) {
    let mut body = vec![0, 0, 0, 1, protocol, spi.len() as u8];
    body.extend(kind.to_be_bytes());
    body.extend(spi);
    body.extend(data);
    (PayloadType::NOTIFICATION, body)
}

/// A Delete of the IPsec DOI.
pub(crate) fn delete(protocol: u8, spis: &[&[u8]]) -> (PayloadType, Vec<u8>) {
    let size = spis.first().map_or(0, |spi| spi.len());
    let mut body = vec![0, 0, 0, 1, protocol, size as u8, 0, spis.len() as u8];
    body.extend(spis.concat());
    (PayloadType::DELETE, body)
}

/// A subnet with a prefix of 24 bits as client identity.
pub(crate) fn id_subnet(side: u8) -> Vec<u8> {
    vec![4, 0, 0, 0, 10, 1 + side, 0, 0, 255, 255, 255, 0]
}

/// The address of a side as identity of phase 1.
pub(crate) fn id_address(side: usize) -> Vec<u8> {
    vec![1, 0, 0, 0, 192, 0, 2, 1 + side as u8]
}

/// The payloads of a message in the clear.
pub(crate) fn parts(message: &[u8]) -> Parts {
    let header = Header::parse(message).unwrap();
    Payloads::new(header.next_payload, &message[HEADER_LEN..], HEADER_LEN)
        .map(Result::unwrap)
        .map(|payload| (payload.kind, payload.body.to_vec()))
        .collect()
}

pub(crate) fn body(parts: &Parts, kind: PayloadType) -> Vec<u8> {
    parts.iter().find(|(it, _)| *it == kind).unwrap_or_else(|| panic!("no {kind:?}")).1.clone()
}

/// An initiator, at side 0 of the stage, with its IKE SA; or, by [`Puppet::respond`], a responder at side 1.
pub(crate) struct Puppet {
    pub(crate) cookies: CookiePair,
    pub(crate) sa_i: Vec<u8>,
    pub(crate) psk: Vec<u8>,
    pub(crate) private: Vec<u8>,
    pub(crate) public_i: Vec<u8>,
    pub(crate) public_r: Vec<u8>,
    pub(crate) nonce_i: Vec<u8>,
    pub(crate) nonce_r: Vec<u8>,
    pub(crate) skeyid: Skeyid,
    pub(crate) key: CipherKey,
    /// Of the last message of phase 1.
    pub(crate) iv: Iv,
    /// Whether its answer to a quick mode has the host's own SPI, and its own nonce.
    pub(crate) reflects: (bool, bool),
}

impl Puppet {
    /// Different ones have different cookies.
    pub(crate) fn new(number: u8) -> Self {
        let private = vec![number.wrapping_add(0x42); group().private_len()];
        Self {
            cookies: CookiePair {
                initiator: Cookie([0x70, 1, 2, 3, 4, 5, 6, number]),
                responder: Cookie::ZERO,
            },
            sa_i: sa_phase1(),
            psk: PSK.to_vec(),
            public_i: power(&private, None),
            private,
            public_r: vec![],
            nonce_i: vec![number.wrapping_add(1); 20],
            nonce_r: vec![],
            skeyid: Skeyid::empty(),
            key: CipherKey::empty(),
            iv: Iv::empty(),
            reflects: (false, false),
        }
    }

    fn main_mode(&self, parts: &[(PayloadType, Vec<u8>)]) -> Vec<u8> {
        let exchange = ExchangeType::IDENTITY_PROTECTION;
        clear(&header(self.cookies, exchange, 0, Flags::NONE), parts)
    }

    pub(crate) fn message_1(&self) -> Vec<u8> {
        self.main_mode(&[(PayloadType::SA, self.sa_i.clone())])
    }

    pub(crate) fn message_3(&self) -> Vec<u8> {
        self.main_mode(&[
            (PayloadType::KEY_EXCHANGE, self.public_i.clone()),
            (PayloadType::NONCE, self.nonce_i.clone()),
        ])
    }

    /// Reads message 2.
    pub(crate) fn hear_2(&mut self, message: &[u8]) {
        self.cookies = Header::parse(message).unwrap().cookies;
    }

    /// Reads message 4, and derives the keys.
    pub(crate) fn hear_4(&mut self, message: &[u8]) {
        let parts = parts(message);
        self.public_r = body(&parts, PayloadType::KEY_EXCHANGE);
        self.nonce_r = body(&parts, PayloadType::NONCE);
        let shared = power(&self.private, Some(&self.public_r));
        self.derive(&shared);
    }

    fn derive(&mut self, shared: &[u8]) {
        let nonces = Nonces { initiator: &self.nonce_i, responder: &self.nonce_r };
        self.skeyid.derive_from_psk(prf(), &self.psk, nonces, shared, &self.cookies);
        self.key.derive(prf(), &self.skeyid, cipher());
        self.iv = Iv::phase1(prf(), cipher(), &self.public_i, &self.public_r);
    }

    /// Answers the main mode that `host`, side 0 of the stage, has begun with `message_1`, until it has said who it is: the
    /// keys are there, and message 6 is not said.
    pub(crate) fn hear_5(
        &mut self,
        host: &mut Host<'_>,
        config: &Config<'_>,
        now: u64,
        message_1: &[u8],
    ) {
        let mut say = |message: &[u8]| {
            host.receive(now, config, path_from(0), message).unwrap();
            host.turn(now, config).remove(0).1
        };
        let responder = Cookie([0x71; 8]);
        self.cookies = CookiePair { responder, ..Header::parse(message_1).unwrap().cookies };
        // One proposal with one transform: the answer is the offer.
        self.sa_i = body(&parts(message_1), PayloadType::SA);
        let message_3 = parts(&say(&self.main_mode(&[(PayloadType::SA, self.sa_i.clone())])));
        let (public, nonce) = (self.public_i.clone(), self.nonce_i.clone());
        let message_4 = self.main_mode(&[
            (PayloadType::KEY_EXCHANGE, public.clone()),
            (PayloadType::NONCE, nonce.clone()),
        ]);
        self.public_i = body(&message_3, PayloadType::KEY_EXCHANGE);
        self.nonce_i = body(&message_3, PayloadType::NONCE);
        (self.public_r, self.nonce_r) = (public, nonce);
        let shared = power(&self.private, Some(&self.public_i));
        self.derive(&shared);
        self.iv = self.iv.next(&say(&message_4)).unwrap();
    }

    /// Answers the main mode that `host`, side 0 of the stage, has begun with `message_1`; returns what it says then:
    /// message 1 of quick mode.
    pub(crate) fn respond(
        &mut self,
        host: &mut Host<'_>,
        config: &Config<'_>,
        now: u64,
        message_1: &[u8],
    ) -> Vec<u8> {
        self.hear_5(host, config, now, message_1);
        let id = id_address(1);
        let hash = self.transcript().hash_r(prf(), &self.skeyid, &id).as_slice().to_vec();
        let exchange = ExchangeType::IDENTITY_PROTECTION;
        let head = header(self.cookies, exchange, 0, Flags::ENCRYPTION);
        let message_6 =
            self.seal(&head, self.iv, &[(PayloadType::ID, id), (PayloadType::HASH, hash)]);
        self.iv = self.iv.next(&message_6).unwrap();
        host.receive(now, config, path_from(0), &message_6).unwrap();
        host.turn(now, config).remove(0).1
    }

    /// Message 2 of quick mode, in answer to `message_1`, with these identities.
    pub(crate) fn answer_quick_mode(&self, message_1: &[u8], ids: [Vec<u8>; 2]) -> Vec<u8> {
        let id = Header::parse(message_1).unwrap().message_id;
        let (offer, iv) = self.open(self.phase2_iv(id), message_1);
        let mut sa = body(&offer, PayloadType::SA);
        let nonce_i = body(&offer, PayloadType::NONCE);
        let (own_spi, own_nonce) = self.reflects;
        // Behind DOI, situation and the head of the proposal.
        if !own_spi {
            sa[16..20].copy_from_slice(&SPI);
        }
        let nonce_r = if own_nonce { nonce_i.clone() } else { vec![0x4e; 16] };
        let [id_i, id_r] = ids;
        let parts = vec![
            (PayloadType::SA, sa),
            (PayloadType::NONCE, nonce_r),
            (PayloadType::ID, id_i),
            (PayloadType::ID, id_r),
        ];
        let head = header(self.cookies, ExchangeType::QUICK_MODE, id, Flags::ENCRYPTION);
        let rest = clear(&head, &parts)[HEADER_LEN..].to_vec();
        let hash = hash_2(prf(), &self.skeyid, id, &nonce_i, &rest).as_slice().to_vec();
        let all = [vec![(PayloadType::HASH, hash)], parts].concat();
        self.seal(&head, iv, &all)
    }

    pub(crate) fn transcript(&self) -> Phase1Transcript<'_> {
        Phase1Transcript {
            public_i: &self.public_i,
            public_r: &self.public_r,
            cookies: self.cookies,
            sa_i_body: &self.sa_i,
        }
    }

    /// Message 5 with this identity and these payloads behind its hash.
    pub(crate) fn message_5(&self, id: &[u8], more: Parts) -> Vec<u8> {
        let hash = self.transcript().hash_i(prf(), &self.skeyid, id).as_slice().to_vec();
        let mut parts = vec![(PayloadType::ID, id.to_vec()), (PayloadType::HASH, hash)];
        parts.extend(more);
        let exchange = ExchangeType::IDENTITY_PROTECTION;
        self.seal(&header(self.cookies, exchange, 0, Flags::ENCRYPTION), self.iv, &parts)
    }

    /// Encrypts under `iv`.
    pub(crate) fn seal(
        &self,
        header: &Header,
        iv: Iv,
        parts: &[(PayloadType, Vec<u8>)],
    ) -> Vec<u8> {
        self.seal_padded(header, iv, parts, 0)
    }

    /// The same with at least `padding` zeros behind the last payload.
    pub(crate) fn seal_padded(
        &self,
        header: &Header,
        iv: Iv,
        parts: &[(PayloadType, Vec<u8>)],
        padding: usize,
    ) -> Vec<u8> {
        let mut message = clear(header, parts);
        let whole = (message.len() - HEADER_LEN + padding).next_multiple_of(16) + HEADER_LEN;
        message.resize(whole, 0);
        let length = u32::try_from(whole).unwrap().to_be_bytes();
        message[24..28].copy_from_slice(&length);
        cipher().encrypt(self.key.as_slice(), iv.as_slice(), &mut message[HEADER_LEN..]).unwrap();
        message
    }

    /// First message `id` of phase 2 with noise behind its payloads, a block of it and more; `last` makes the last byte of its
    /// length.
    pub(crate) fn padded_with_noise(
        &self,
        id: u32,
        message: &[u8],
        last: impl Fn(u8) -> u8,
    ) -> Vec<u8> {
        let iv = self.phase2_iv(id);
        let mut message = message.to_vec();
        cipher().decrypt(self.key.as_slice(), iv.as_slice(), &mut message[HEADER_LEN..]).unwrap();
        let header = Header::parse(&message).unwrap();
        let mut payloads = Payloads::new(header.next_payload, &message[HEADER_LEN..], HEADER_LEN);
        assert!(payloads.by_ref().all(|payload| payload.is_ok()));
        let end = payloads.end();
        message.truncate(HEADER_LEN + end);
        let whole = (end + 17).next_multiple_of(16);
        message.resize(HEADER_LEN + whole, 0x5a);
        *message.last_mut().unwrap() = last((whole - end) as u8);
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        message[24..28].copy_from_slice(&length);
        cipher().encrypt(self.key.as_slice(), iv.as_slice(), &mut message[HEADER_LEN..]).unwrap();
        message
    }

    /// Decrypts a message that came under `iv`; returns its payloads and the IV of the next.
    pub(crate) fn open(&self, iv: Iv, message: &[u8]) -> (Parts, Iv) {
        let next = iv.next(&message[HEADER_LEN..]).unwrap();
        let mut message = message.to_vec();
        cipher().decrypt(self.key.as_slice(), iv.as_slice(), &mut message[HEADER_LEN..]).unwrap();
        let header = Header::parse(&message).unwrap();
        let payloads = Payloads::new(header.next_payload, &message[HEADER_LEN..], HEADER_LEN);
        (payloads.map(Result::unwrap).map(|it| (it.kind, it.body.to_vec())).collect(), next)
    }

    fn phase2_iv(&self, id: u32) -> Iv {
        self.iv.phase2(prf(), id)
    }

    /// The payloads of a first message of phase 2.
    pub(crate) fn hear(&self, message: &[u8]) -> Parts {
        let id = Header::parse(message).unwrap().message_id;
        self.open(self.phase2_iv(id), message).0
    }

    /// A first message of phase 2 under HASH(1).
    pub(crate) fn phase2(&self, exchange: ExchangeType, id: u32, parts: Parts) -> Vec<u8> {
        let head = header(self.cookies, exchange, id, Flags::ENCRYPTION);
        let rest = match parts.first() {
            Some(_) => clear(&head, &parts)[HEADER_LEN..].to_vec(),
            None => vec![],
        };
        let hash = hash_1(prf(), &self.skeyid, id, &rest).as_slice().to_vec();
        let mut all = vec![(PayloadType::HASH, hash)];
        all.extend(parts);
        self.seal(&head, self.phase2_iv(id), &all)
    }

    pub(crate) fn informational(&self, id: u32, parts: Parts) -> Vec<u8> {
        self.phase2(ExchangeType::INFORMATIONAL, id, parts)
    }

    /// A quick mode with these identities.
    pub(crate) fn quick_mode(&self, id: u32, sa: Vec<u8>, ids: [Vec<u8>; 2]) -> Vec<u8> {
        let [id_i, id_r] = ids;
        let parts = vec![
            (PayloadType::SA, sa),
            (PayloadType::NONCE, vec![0x4e; 16]),
            (PayloadType::ID, id_i),
            (PayloadType::ID, id_r),
        ];
        self.phase2(ExchangeType::QUICK_MODE, id, parts)
    }

    /// The quick mode that the hosts of the stage expect.
    pub(crate) fn honest_quick_mode(&self, id: u32, spi: [u8; 4]) -> Vec<u8> {
        self.quick_mode(id, sa_phase2(spi), [id_subnet(0), id_subnet(1)])
    }

    /// Message 3 of quick mode `id`, in answer to `message_2`, which came behind `message_1`.
    pub(crate) fn confirm(&self, id: u32, message_1: &[u8], message_2: &[u8]) -> Vec<u8> {
        let iv = self.phase2_iv(id).next(message_1).unwrap();
        let (parts, iv) = self.open(iv, message_2);
        let nonce_i = vec![0x4e; 16];
        let (hash, nonce_r) = (body(&parts, PayloadType::HASH), body(&parts, PayloadType::NONCE));
        let behind =
            clear(&header(self.cookies, ExchangeType::QUICK_MODE, id, Flags::NONE), &parts[1..]);
        let expected = hash_2(prf(), &self.skeyid, id, &nonce_i, &behind[HEADER_LEN..]);
        assert_eq!(hash, expected.as_slice());
        let nonces = Nonces { initiator: &nonce_i, responder: &nonce_r };
        let hash = hash_3(prf(), &self.skeyid, id, nonces).as_slice().to_vec();
        let head = header(self.cookies, ExchangeType::QUICK_MODE, id, Flags::ENCRYPTION);
        self.seal(&head, iv, &[(PayloadType::HASH, hash)])
    }

    /// Says `message` to `host`, which is side 1 of the stage, and hears what it answers.
    pub(crate) fn say(
        host: &mut Host<'_>,
        config: &Config<'_>,
        now: u64,
        message: &[u8],
    ) -> (Result<(), Discard>, Vec<Vec<u8>>) {
        assert_eq!(address(0), path_from(0).local.ip());
        let result = host.receive(now, config, mirror(path_from(0)), message);
        let answers = host.turn(now, config).into_iter().map(|(_, datagram)| datagram);
        (result, answers.collect())
    }

    /// Up to the keys, message 5 not yet said.
    pub(crate) fn begin(&mut self, host: &mut Host<'_>, config: &Config<'_>, now: u64) {
        let (result, answers) = Self::say(host, config, now, &self.message_1());
        assert_eq!(result, Ok(()));
        self.hear_2(&answers[0]);
        let (result, answers) = Self::say(host, config, now, &self.message_3());
        assert_eq!(result, Ok(()));
        self.hear_4(&answers[0]);
    }

    /// All of main mode.
    pub(crate) fn establish(&mut self, host: &mut Host<'_>, config: &Config<'_>, now: u64) {
        self.begin(host, config, now);
        let message_5 = self.message_5(&id_address(0), vec![]);
        let (result, answers) = Self::say(host, config, now, &message_5);
        assert_eq!(result, Ok(()));
        let iv = self.iv.next(&message_5).unwrap();
        let (parts, iv) = self.open(iv, &answers[0]);
        let id = body(&parts, PayloadType::ID);
        let expected = self.transcript().hash_r(prf(), &self.skeyid, &id);
        assert_eq!(body(&parts, PayloadType::HASH), expected.as_slice());
        self.iv = iv;
    }

    /// The SPI of an IKE SA: both cookies.
    pub(crate) fn spi(&self) -> Vec<u8> {
        [self.cookies.initiator.0, self.cookies.responder.0].concat()
    }
}
