//! Reads what is encrypted of IKE, with the keys that the hosts gave away: what Wireshark does with a key file.
//!
//! The cipher and the hash are in the SA payload that the responder returns, the first IV is made of both public
//! values, and every further one is the last block of the message before (RFC 2409 Appendix B). So a reader must see
//! the messages from the first one on, in their order.

use std::collections::HashMap;

use ike_core::crypto::{CbcCipher, Prf, SOFTWARE};
use ike_core::keys::Iv;
use ike_core::trace::Trace;
use ike_core::wire::numbers::{EncryptionAlgorithm, HashAlgorithm, PayloadType, Phase1Attribute};
use ike_core::wire::{Flags, HEADER_LEN, Header, Payloads, SaBody};

use super::transcript::isakmp;
use super::{Entry, Keys, Kind, What};
use crate::packet::View;

/// Follows the IKE SAs of a link.
#[derive(Default)]
pub struct Reader {
    sas: HashMap<[u8; 8], IkeSa>,
}

/// What is known of one IKE SA, by its initiator's cookie.
#[derive(Default)]
struct IkeSa {
    algorithms: Option<(&'static dyn Prf, &'static dyn CbcCipher)>,
    public_i: Vec<u8>,
    public_r: Vec<u8>,
    /// The IV of the next message of phase 1, and in the end what those of phase 2 begin with.
    phase1: Option<Iv>,
    /// The IV of the next message of each exchange of phase 2.
    phase2: HashMap<u32, Iv>,
    /// Messages by their bytes, to know one that is sent again.
    seen: HashMap<Vec<u8>, String>,
}

impl Reader {
    /// The IKE message that an entry of the transcript puts on the link, if it does.
    pub fn read_entry(&mut self, entry: &Entry, keys: &Keys) -> Option<String> {
        let What::OnLink { packet, .. } = &entry.what else { return None };
        if Kind::of(packet) != Some(Kind::Ike) {
            return None;
        }
        let payload = View::of(packet)?.payload;
        Some(self.read(isakmp(&packet[payload]), keys))
    }

    /// A message from the ISAKMP header on, as [`Trace`] shows it; decrypted if `keys` and what was seen before allow.
    pub fn read(&mut self, message: &[u8], keys: &Keys) -> String {
        let shown = || Trace::new(message).to_string();
        let Ok(header) = Header::parse(message) else { return shown() };
        let sa = self.sas.entry(header.cookies.initiator.0).or_default();
        if let Some(text) = sa.seen.get(message) {
            return text.clone();
        }
        let text = if header.flags.contains(Flags::ENCRYPTION) {
            match keys
                .ike_key(header.cookies.initiator.0)
                .and_then(|key| sa.decrypt(&header, message, key))
            {
                Some(chain) => Trace::decrypted(header, &chain).to_string(),
                None => return shown(),
            }
        } else {
            sa.listen(&header, message);
            shown()
        };
        sa.seen.insert(message.to_vec(), text.clone());
        text
    }
}

impl IkeSa {
    /// Takes from a message in clear what later ones are decrypted with.
    fn listen(&mut self, header: &Header, message: &[u8]) {
        let from_responder = !header.cookies.responder.is_zero();
        let chain = message.get(HEADER_LEN..).unwrap_or_default();
        for payload in Payloads::new(header.next_payload, chain, HEADER_LEN).flatten() {
            match payload.kind {
                PayloadType::SA if from_responder => self.algorithms = algorithms(payload.body),
                // The initiator is the first to send its public value.
                PayloadType::KEY_EXCHANGE if self.public_i.is_empty() => {
                    self.public_i = payload.body.to_vec();
                }
                PayloadType::KEY_EXCHANGE
                    if self.public_r.is_empty() && self.public_i != payload.body =>
                {
                    self.public_r = payload.body.to_vec();
                }
                _ => {}
            }
        }
    }

    fn decrypt(&mut self, header: &Header, message: &[u8], key: &[u8]) -> Option<Vec<u8>> {
        let (hash, cipher) = self.algorithms?;
        let begin = || Iv::phase1(hash, cipher, &self.public_i, &self.public_r);
        let iv = match header.message_id {
            0 => self.phase1.unwrap_or_else(begin),
            id => match self.phase2.get(&id) {
                Some(iv) => *iv,
                None => self.phase1?.phase2(hash, id),
            },
        };
        let mut chain = message.get(HEADER_LEN..)?.to_vec();
        let next = iv.next(&chain)?;
        cipher.decrypt(key, iv.as_slice(), &mut chain).ok()?;
        match header.message_id {
            0 => self.phase1 = Some(next),
            id => drop(self.phase2.insert(id, next)),
        }
        Some(chain)
    }
}

/// The hash and the cipher of the transform that the responder chose.
fn algorithms(sa: &[u8]) -> Option<(&'static dyn Prf, &'static dyn CbcCipher)> {
    let proposal = SaBody::parse(sa, 0).ok()?.proposals().next()?.ok()?;
    let attributes: Vec<_> = proposal.transforms().next()?.ok()?.attributes().flatten().collect();
    let value = |kind: Phase1Attribute| {
        let attribute = attributes.iter().find(|attribute| attribute.kind == kind.0)?;
        u16::try_from(attribute.as_u32()?).ok()
    };
    let hash = SOFTWARE.hash(HashAlgorithm(value(Phase1Attribute::HASH_ALGORITHM)?))?;
    let bits = value(Phase1Attribute::KEY_LENGTH).unwrap_or(0);
    let cipher = EncryptionAlgorithm(value(Phase1Attribute::ENCRYPTION_ALGORITHM)?);
    Some((hash, SOFTWARE.cipher(cipher, bits)?))
}
