//! Phase 2: what quick mode and informational exchanges share. RFC 2409 §5.5, §5.7 and Appendix B.

use crate::digest::Kind;
use crate::endpoint::{Context, Endpoint, Path, check_flags};
use crate::error::{Discard, PeerMisbehaved};
use crate::exchange::{Message, MessageSpec};
use crate::keys::{HashValue, Iv};
use crate::protect::Algorithms;
use crate::wire::Header;
use crate::wire::numbers::PayloadType;

mod companions;
mod dpd;
mod informational;
pub(crate) mod negotiate;
mod pair;
pub(crate) mod quick_mode;
pub(crate) mod selectors;

/// A message whose hash has been verified, and the IV of the one after it.
pub(crate) struct Verified<'a> {
    pub(crate) message: Message<'a>,
    pub(crate) next_iv: Iv,
}

/// Decrypts a message of phase 2, checks it against its row, and verifies its HASH, which is `hash` of the bytes behind
/// the HASH payload as they were received. Nothing has changed when this fails.
pub(crate) fn verify<'a>(
    algorithms: &Algorithms,
    key: &crate::keys::CipherKey,
    iv: &Iv,
    header: &Header,
    datagram: &'a mut [u8],
    spec: &MessageSpec,
    hash: impl FnOnce(&[u8]) -> HashValue,
) -> Result<Verified<'a>, Discard> {
    check_flags(header, true)?;
    let (message, next_iv) = algorithms.open(key, iv, header, datagram, spec)?;
    let received = message.find(PayloadType::HASH)?;
    if hash(message.behind_first()).verify(received.body) {
        Ok(Verified { message, next_iv })
    } else {
        Err(Discard::Unauthenticated)
    }
}

impl Endpoint<'_> {
    /// The established IKE SA that a message of phase 2 belongs to.
    pub(crate) fn established(&self, header: &Header) -> Result<u16, Discard> {
        let index = self.find_ike(&header.cookies).ok_or(Discard::UnknownSa)?;
        let ike = self.store.ikes.get(index).ok_or(Discard::UnknownSa)?;
        if !ike.is_established() {
            return Err(PeerMisbehaved::UnexpectedExchange(header.exchange).into());
        }
        if header.message_id == 0 {
            return Err(PeerMisbehaved::MessageId(0).into());
        }
        Ok(index)
    }

    /// The digest under which an exchange of phase 2 is entered.
    pub(crate) fn exchange_key(&self, ike: u16, message_id: u32) -> u64 {
        let serial = self.store.ikes.serial(ike).unwrap_or_default();
        self.digests.of(
            Kind::Exchange,
            &[&ike.to_be_bytes(), &serial.to_be_bytes(), &message_id.to_be_bytes()],
        )
    }

    /// The exchange of phase 2 with this message id.
    pub(crate) fn find_exchange(&self, ike: u16, message_id: u32) -> Option<u16> {
        let key = self.exchange_key(ike, message_id);
        let serial = self.store.ikes.serial(ike)?;
        self.store.exchanges_by_key.candidates(key).find(|index| {
            self.store.exchanges.get(*index).is_some_and(|exchange| {
                exchange.ike == (ike, serial) && exchange.message_id == message_id
            })
        })
    }

    /// The peer has proved to be alive, and to be at `path` unless the message may be an old one.
    pub(crate) fn peer_heard(&mut self, cx: &Context<'_>, ike: u16, path: Path, fresh: bool) {
        if let Some(sa) = self.store.ikes.get_mut(ike) {
            sa.heard(cx.now);
        }
        if fresh {
            self.move_peer(ike, path);
        }
        self.refresh_ike(ike);
    }
}
