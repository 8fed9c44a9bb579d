//! The table of legal messages: which payloads each message has, whether it is encrypted, what silence and
//! duplicates do. One row a message; every message is checked against its row, those that come in and those
//! that we are about to send.
//!
//! ```text
//! main mode   (RFC 2409 §5)        quick mode   (RFC 2409 §5.5)
//!  1  I→R  HDR SA                   1  I→R  HDR* HASH(1) SA Ni [KE] [IDci IDcr]
//!  2  R→I  HDR SA                   2  R→I  HDR* HASH(2) SA Nr [KE] [IDci IDcr]
//!  3  I→R  HDR KE Ni [NAT-D…]       3  I→R  HDR* HASH(3)
//!  4  R→I  HDR KE Nr [NAT-D…]
//!  5  I→R  HDR* IDii HASH_I        aggressive mode
//!  6  R→I  HDR* IDir HASH_R         1  I→R  HDR SA KE Ni IDii
//!                                   2  R→I  HDR SA KE Nr IDir HASH_R [NAT-D…]
//! informational                     3  I→R  HDR* HASH_I [NAT-D…]
//!  1        HDR* HASH(1) N/D…
//! ```

pub(crate) mod state;

use crate::endpoint::event::Role;
use crate::error::{Error, PeerMisbehaved};
use crate::wire::numbers::{ExchangeType, PayloadType};
use crate::wire::{HEADER_LEN, Header, Payload, Payloads};

/// What the sender of a message does when no answer comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnSilence {
    /// Sends it again, at growing intervals.
    Retransmit,
    /// Waits; only the other end retransmits. A responder that has seen no proof of the initiator's address
    /// must not send on its own.
    Wait,
    /// Nothing is expected.
    Done,
}

/// What the receiver of a message does when the same message comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnDuplicate {
    /// Sends its answer again.
    Answer,
    /// Nothing.
    Ignore,
}

/// One row: what a message must and may hold.
#[derive(Debug)]
pub(crate) struct MessageSpec {
    pub(crate) exchange: ExchangeType,
    /// 1 to 6.
    pub(crate) number: u8,
    pub(crate) sender: Role,
    pub(crate) encrypted: bool,
    /// The payload that must come first, if the order matters (RFC 2409 §5.5: HASH; RFC 2408 §3.4: SA).
    pub(crate) first: Option<PayloadType>,
    /// Kind, least and greatest count. Kinds that are not listed must not occur.
    pub(crate) payloads: &'static [(PayloadType, u8, u8)],
    pub(crate) on_silence: OnSilence,
    pub(crate) on_duplicate: OnDuplicate,
}

/// Vendor IDs and notifies may accompany everything; how many, within reason.
const VENDOR: (PayloadType, u8, u8) = (PayloadType::VENDOR_ID, 0, 32);
const NOTIFY: (PayloadType, u8, u8) = (PayloadType::NOTIFICATION, 0, 8);
const NAT_D: (PayloadType, u8, u8) = (PayloadType::NAT_D, 0, 8);
const NAT_D_DRAFT: (PayloadType, u8, u8) = (PayloadType::NAT_D_DRAFT, 0, 8);
/// Parsed, and ignored with a pre-shared key: some peers send certificate requests whatever the method.
const CERTIFICATE_REQUEST: (PayloadType, u8, u8) = (PayloadType::CERTIFICATE_REQUEST, 0, 16);

const SA: (PayloadType, u8, u8) = (PayloadType::SA, 1, 1);
const KEY_EXCHANGE: (PayloadType, u8, u8) = (PayloadType::KEY_EXCHANGE, 1, 1);
const NONCE: (PayloadType, u8, u8) = (PayloadType::NONCE, 1, 1);
const ID: (PayloadType, u8, u8) = (PayloadType::ID, 1, 1);
const HASH: (PayloadType, u8, u8) = (PayloadType::HASH, 1, 1);

macro_rules! spec {
    ($exchange:ident $number:literal $sender:ident, encrypted: $encrypted:literal, first: $first:expr,
     [$($payload:expr),*], silence: $silence:ident, duplicate: $duplicate:ident) => {
        MessageSpec {
            exchange: ExchangeType::$exchange,
            number: $number,
            sender: Role::$sender,
            encrypted: $encrypted,
            first: $first,
            payloads: &[$($payload),*],
            on_silence: OnSilence::$silence,
            on_duplicate: OnDuplicate::$duplicate,
        }
    };
}

/// Main mode, RFC 2409 §5.
pub(crate) static MAIN_MODE: [MessageSpec; 6] = [
    spec!(IDENTITY_PROTECTION 1 Initiator, encrypted: false, first: Some(PayloadType::SA),
        [SA, VENDOR, NOTIFY], silence: Retransmit, duplicate: Answer),
    spec!(IDENTITY_PROTECTION 2 Responder, encrypted: false, first: Some(PayloadType::SA),
        [SA, VENDOR, NOTIFY], silence: Wait, duplicate: Answer),
    spec!(IDENTITY_PROTECTION 3 Initiator, encrypted: false, first: None,
        [KEY_EXCHANGE, NONCE, NAT_D, NAT_D_DRAFT, CERTIFICATE_REQUEST, VENDOR, NOTIFY],
        silence: Retransmit, duplicate: Answer),
    spec!(IDENTITY_PROTECTION 4 Responder, encrypted: false, first: None,
        [KEY_EXCHANGE, NONCE, NAT_D, NAT_D_DRAFT, CERTIFICATE_REQUEST, VENDOR, NOTIFY],
        silence: Wait, duplicate: Answer),
    spec!(IDENTITY_PROTECTION 5 Initiator, encrypted: true, first: None,
        [ID, HASH, CERTIFICATE_REQUEST, VENDOR, NOTIFY], silence: Retransmit, duplicate: Answer),
    spec!(IDENTITY_PROTECTION 6 Responder, encrypted: true, first: None,
        [ID, HASH, CERTIFICATE_REQUEST, VENDOR, NOTIFY], silence: Done, duplicate: Ignore),
];

/// Aggressive mode, RFC 2409 §5. The third message may come in the clear from some peers.
pub(crate) static AGGRESSIVE_MODE: [MessageSpec; 3] = [
    spec!(AGGRESSIVE 1 Initiator, encrypted: false, first: Some(PayloadType::SA),
        [SA, KEY_EXCHANGE, NONCE, ID, CERTIFICATE_REQUEST, VENDOR, NOTIFY],
        silence: Retransmit, duplicate: Answer),
    spec!(AGGRESSIVE 2 Responder, encrypted: false, first: Some(PayloadType::SA),
        [SA, KEY_EXCHANGE, NONCE, ID, HASH, NAT_D, NAT_D_DRAFT, CERTIFICATE_REQUEST, VENDOR, NOTIFY],
        silence: Wait, duplicate: Answer),
    spec!(AGGRESSIVE 3 Initiator, encrypted: true, first: None,
        [HASH, NAT_D, NAT_D_DRAFT, VENDOR, NOTIFY], silence: Done, duplicate: Ignore),
];

const CLIENT_IDS: (PayloadType, u8, u8) = (PayloadType::ID, 0, 2);
const PFS: (PayloadType, u8, u8) = (PayloadType::KEY_EXCHANGE, 0, 1);
const NAT_OA: (PayloadType, u8, u8) = (PayloadType::NAT_OA, 0, 2);
const NAT_OA_DRAFT: (PayloadType, u8, u8) = (PayloadType::NAT_OA_DRAFT, 0, 2);

/// Quick mode, RFC 2409 §5.5.
pub(crate) static QUICK_MODE: [MessageSpec; 3] = [
    spec!(QUICK_MODE 1 Initiator, encrypted: true, first: Some(PayloadType::HASH),
        [HASH, SA, NONCE, PFS, CLIENT_IDS, NAT_OA, NAT_OA_DRAFT, VENDOR, NOTIFY],
        silence: Retransmit, duplicate: Answer),
    spec!(QUICK_MODE 2 Responder, encrypted: true, first: Some(PayloadType::HASH),
        [HASH, SA, NONCE, PFS, CLIENT_IDS, NAT_OA, NAT_OA_DRAFT, VENDOR, NOTIFY],
        silence: Retransmit, duplicate: Answer),
    spec!(QUICK_MODE 3 Initiator, encrypted: true, first: Some(PayloadType::HASH),
        [HASH, VENDOR, NOTIFY], silence: Done, duplicate: Ignore),
];

/// Informational exchange under an IKE SA, RFC 2409 §5.7.
pub(crate) static INFORMATIONAL: MessageSpec = spec!(INFORMATIONAL 1 Initiator, encrypted: true,
    first: Some(PayloadType::HASH),
    [HASH, (PayloadType::NOTIFICATION, 0, 16), (PayloadType::DELETE, 0, 16), VENDOR],
    silence: Done, duplicate: Ignore);

/// Informational exchange in the clear, before there is a key. It is a hint, never an order.
pub(crate) static INFORMATIONAL_CLEAR: MessageSpec = spec!(INFORMATIONAL 1 Initiator, encrypted: false,
    first: None,
    [(PayloadType::NOTIFICATION, 0, 16), (PayloadType::DELETE, 0, 16), (PayloadType::HASH, 0, 1), VENDOR],
    silence: Done, duplicate: Ignore);

/// The row of a message.
pub(crate) fn spec(exchange: ExchangeType, number: u8) -> Option<&'static MessageSpec> {
    let rows: &[MessageSpec] = match exchange {
        ExchangeType::IDENTITY_PROTECTION => &MAIN_MODE,
        ExchangeType::AGGRESSIVE => &AGGRESSIVE_MODE,
        ExchangeType::QUICK_MODE => &QUICK_MODE,
        _ => return None,
    };
    rows.iter().find(|row| row.number == number)
}

/// A message whose payload chain is sound and fits its row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    /// The payloads, up to the end of the last one; padding is not among them.
    chain: &'a [u8],
    first: PayloadType,
    /// Where the chain starts in the datagram.
    offset: usize,
}

impl<'a> Message<'a> {
    /// Checks the payload chain behind `header` in `datagram`, which is in the clear by now, against `spec`.
    pub(crate) fn check(
        datagram: &'a [u8],
        header: &Header,
        spec: &MessageSpec,
    ) -> Result<Self, Error> {
        let offset = HEADER_LEN;
        let body = datagram.get(offset..).unwrap_or_default();
        let mut payloads = Payloads::new(header.next_payload, body, offset);
        let mut counts = [0_u8; 16];
        let mut first = true;
        for payload in payloads.by_ref() {
            let kind = payload?.kind;
            if first && spec.first.is_some_and(|required| required != kind) {
                return Err(PeerMisbehaved::PayloadOrder(kind).into());
            }
            first = false;
            match spec.payloads.iter().zip(counts.iter_mut()).find(|((row, ..), _)| *row == kind) {
                Some(((_, _, max), count)) if *count < *max => *count = count.saturating_add(1),
                Some(_) => return Err(PeerMisbehaved::TooManyPayloads(kind).into()),
                // Numbers for private use (RFC 2408 §3.1) mean nothing between strangers, and do no harm.
                None if kind.0 >= 128 => {}
                None => return Err(PeerMisbehaved::UnexpectedPayload(kind).into()),
            }
        }
        let end = payloads.end();
        for ((kind, min, _), count) in spec.payloads.iter().zip(counts) {
            if count < *min {
                return Err(PeerMisbehaved::MissingPayload(*kind).into());
            }
        }
        Ok(Self { chain: body.get(..end).unwrap_or_default(), first: header.next_payload, offset })
    }

    /// Where in the datagram the last payload ends.
    pub(crate) const fn end(&self) -> usize {
        self.offset.saturating_add(self.chain.len())
    }

    /// All payloads in order. The chain was checked: none is an error.
    pub(crate) fn payloads(&self) -> impl Iterator<Item = Payload<'a>> + use<'a> {
        Payloads::new(self.first, self.chain, self.offset).flatten()
    }

    /// Payloads of one kind.
    pub(crate) fn all(&self, kind: PayloadType) -> impl Iterator<Item = Payload<'a>> + use<'a> {
        self.payloads().filter(move |payload| payload.kind == kind)
    }

    /// The first payload of a kind.
    pub(crate) fn find(&self, kind: PayloadType) -> Result<Payload<'a>, Error> {
        self.all(kind).next().ok_or(PeerMisbehaved::MissingPayload(kind).into())
    }

    /// The bytes behind the first payload, up to the end of the last one: what HASH(1) and HASH(2) cover, as they
    /// were received (RFC 2409 §5.5).
    pub(crate) fn behind_first(&self) -> &'a [u8] {
        let whole = self.payloads().next().map_or(0, |payload| payload.whole_len());
        self.chain.get(whole..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::header;
    use crate::wire::{Cookie, CookiePair, MessageWriter};

    /// What is said of a message with these payloads, in this order.
    fn check(spec: &MessageSpec, kinds: &[PayloadType]) -> Result<(), Error> {
        let cookies = CookiePair { initiator: Cookie([1; 8]), responder: Cookie([2; 8]) };
        let mut buffer = [0; 512];
        let head = header(cookies, spec.exchange, 0, false);
        let mut message = MessageWriter::new(&mut buffer, &head).unwrap();
        for kind in kinds {
            message.payload(*kind, &[&[0; 8]]).unwrap();
        }
        let written = message.written();
        Message::check(written, &Header::parse(written).unwrap(), spec).map(|_| ())
    }

    #[test]
    fn a_message_holds_what_its_row_says() {
        use PeerMisbehaved::{MissingPayload, PayloadOrder, TooManyPayloads, UnexpectedPayload};
        let (ke, nonce) = (PayloadType::KEY_EXCHANGE, PayloadType::NONCE);
        let (nat_d, sa, id) = (PayloadType::NAT_D, PayloadType::SA, PayloadType::ID);
        let [unassigned, private, last] = [127, 128, 255].map(PayloadType);
        let third = &MAIN_MODE[2];
        let with = |more: &[PayloadType]| check(third, &[&[ke, nonce], more].concat());
        assert_eq!(with(&[]), Ok(()));
        assert_eq!(with(&[nat_d; 8]), Ok(()));
        assert_eq!(with(&[nat_d; 9]), Err(TooManyPayloads(nat_d).into()));
        assert_eq!(with(&[nonce]), Err(TooManyPayloads(nonce).into()));
        assert_eq!(with(&[id]), Err(UnexpectedPayload(id).into()));
        assert_eq!(with(&[unassigned]), Err(UnexpectedPayload(unassigned).into()));
        assert_eq!(with(&[private, last]), Ok(()));
        assert_eq!(check(third, &[ke]), Err(MissingPayload(nonce).into()));
        assert_eq!(check(&MAIN_MODE[0], &[sa, PayloadType::VENDOR_ID]), Ok(()));
        let vendor = PayloadType::VENDOR_ID;
        assert_eq!(check(&MAIN_MODE[0], &[vendor, sa]), Err(PayloadOrder(vendor).into()));
    }
}
