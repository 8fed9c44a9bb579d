//! An exchange under way: its state, the message it waits to be answered, and the bodies that hashes will cover.

use core::time::Duration;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::crypto::MAX_PRIVATE_LEN;
use crate::endpoint::Path;
use crate::error::{Capacity, Error};
use crate::event::Role;
use crate::exchange::OnSilence;
use crate::keys::Iv;
use crate::phase1::aggressive::AggressiveMode;
use crate::phase1::main_mode::MainMode;
use crate::phase2::quick_mode::QuickMode;
use crate::time::Instant;
use crate::wire::numbers::{ExchangeType, NotifyType};

/// What an exchange waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum State {
    /// Main mode.
    Main(MainMode),
    /// Aggressive mode.
    Aggressive(AggressiveMode),
    /// Quick mode.
    Quick(QuickMode),
    /// Done; it only answers duplicates.
    Lingering,
}

/// Bytes in the exchange's buffer of held bodies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u16,
    len: u16,
}

impl Span {
    pub(crate) fn of(self, held: &[u8]) -> &[u8] {
        let start = usize::from(self.start);
        held.get(start..start.saturating_add(usize::from(self.len))).unwrap_or_default()
    }

    pub(crate) fn of_mut(self, held: &mut [u8]) -> &mut [u8] {
        let start = usize::from(self.start);
        held.get_mut(start..start.saturating_add(usize::from(self.len))).unwrap_or_default()
    }
}

/// Appends to the held bodies. What is appended counts only once [`Exchange::held_len`] is set to [`Arena::len`]: a
/// transition that fails leaves no trace.
#[derive(Debug)]
pub(crate) struct Arena<'a> {
    bytes: &'a mut [u8],
    len: u16,
}

impl<'a> Arena<'a> {
    pub(crate) const fn new(bytes: &'a mut [u8], len: u16) -> Self {
        Self { bytes, len }
    }

    pub(crate) const fn len(&self) -> u16 {
        self.len
    }

    pub(crate) const fn bytes(&self) -> &[u8] {
        self.bytes
    }

    pub(crate) fn hold(&mut self, body: &[u8]) -> Result<Span, Error> {
        let span = self.reserve(body.len())?;
        span.of_mut(self.bytes).copy_from_slice(body);
        Ok(span)
    }

    pub(crate) fn reserve(&mut self, len: usize) -> Result<Span, Error> {
        let start = self.len;
        let end = usize::from(start).saturating_add(len);
        let too_long = Error::Capacity(Capacity::Message(end));
        if end > self.bytes.len() {
            return Err(too_long);
        }
        self.len = u16::try_from(end).map_err(|_| too_long)?;
        Ok(Span { start, len: self.len.saturating_sub(start) })
    }

    pub(crate) fn span_mut(&mut self, span: Span) -> &mut [u8] {
        span.of_mut(self.bytes)
    }
}

/// A private Diffie-Hellman value.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Private {
    pub(crate) bytes: [u8; MAX_PRIVATE_LEN],
    pub(crate) len: usize,
}

impl Private {
    pub(crate) const fn empty() -> Self {
        Self { bytes: [0; MAX_PRIVATE_LEN], len: 0 }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl core::fmt::Debug for Private {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Private(..)")
    }
}

/// The Diffie-Hellman operation that an exchange waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DhWork {
    pub(crate) group: crate::wire::numbers::GroupDescription,
    /// Where our public value goes, if it is wanted.
    pub(crate) public: Option<Span>,
    /// The peer's public value, if the shared secret is wanted.
    pub(crate) peer_public: Option<Span>,
}

/// The last message sent, and when it is sent again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Outbox {
    /// Its number in the exchange, 0 if there is none.
    pub(crate) number: u8,
    /// Bytes, the room for the marker in front included.
    pub(crate) len: u16,
    /// To be sent at the next poll.
    pub(crate) due: bool,
    /// Not before the host has taken the inbound SA.
    pub(crate) withheld: bool,
    /// Retransmissions left.
    pub(crate) tries: u8,
    /// The wait before the next one.
    pub(crate) wait: Duration,
    /// When the next one is due.
    pub(crate) at: Option<Instant>,
    /// Largest datagram if the message goes in fragments, else 0.
    pub(crate) fragment: u16,
    /// Tells its fragments from those of other messages.
    pub(crate) fragment_id: u16,
    /// Fragments that went out in this round.
    pub(crate) fragments_sent: u8,
    /// Duplicates of the peer's message that were answered.
    pub(crate) answered: u8,
}

/// What tells an exchange from others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Name {
    pub(crate) kind: ExchangeType,
    pub(crate) role: Role,
    /// 0 in phase 1.
    pub(crate) message_id: u32,
    /// The digest under which it is indexed.
    pub(crate) key: u64,
}

/// A slot's content.
#[derive(Debug)]
pub(crate) struct Exchange {
    /// The IKE SA: slot and serial.
    pub(crate) ike: (u16, u32),
    pub(crate) kind: ExchangeType,
    pub(crate) role: Role,
    pub(crate) message_id: u32,
    /// The digest under which it is indexed.
    pub(crate) key: u64,
    pub(crate) state: State,
    /// IV of the next message, in phase 2.
    pub(crate) iv: Iv,
    pub(crate) outbox: Outbox,
    pub(crate) on_silence: OnSilence,
    /// Where the last accepted message came from.
    pub(crate) path: Path,
    /// Digest of the last accepted message, as it was received.
    pub(crate) last_received: u64,
    pub(crate) held_len: u16,
    pub(crate) private: Private,
    pub(crate) work: Option<DhWork>,
    /// When it is given up, or forgotten.
    pub(crate) deadline: Option<Instant>,
    /// The pair of child SAs it negotiates: slot and serial.
    pub(crate) child: Option<(u16, u32)>,
    /// A notify in the clear that may explain the silence.
    pub(crate) hint: Option<NotifyType>,
    /// When it began.
    pub(crate) began: Instant,
}

impl Exchange {
    pub(crate) fn new(
        ike: (u16, u32),
        name: Name,
        state: State,
        path: Path,
        began: Instant,
    ) -> Self {
        let Name { kind, role, message_id, key } = name;
        Self {
            ike,
            kind,
            role,
            message_id,
            key,
            state,
            iv: Iv::empty(),
            outbox: Outbox::default(),
            on_silence: OnSilence::Done,
            path,
            last_received: 0,
            held_len: 0,
            private: Private::empty(),
            work: None,
            deadline: None,
            child: None,
            hint: None,
            began,
        }
    }

    /// The number of the last message accepted: the one that our last message answers.
    pub(crate) const fn received_number(&self) -> u8 {
        self.outbox.number.saturating_sub(1)
    }

    /// Whether its last message is out, and it only answers duplicates.
    pub(crate) const fn is_done(&self) -> bool {
        matches!(self.state, State::Lingering) && !self.outbox.due && !self.outbox.withheld
    }

    /// The earliest of its deadlines. While it computes, no message can be missing.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.work.is_some() || self.outbox.withheld {
            return None;
        }
        [self.outbox.at, self.deadline].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arena_is_filled_to_its_last_byte_and_no_further() {
        let mut bytes = [0; 8];
        let mut arena = Arena::new(&mut bytes, 2);
        assert!(arena.reserve(8).is_err());
        assert!(arena.reserve(7).is_err());
        assert!(arena.hold(&[7; 6]).is_ok());
        assert_eq!(arena.len(), 8);
        assert!(arena.reserve(1).is_err());
        assert_eq!(bytes, [0, 0, 7, 7, 7, 7, 7, 7]);
    }

    #[test]
    fn a_private_value_is_not_printed() {
        let private = Private { bytes: [7; MAX_PRIVATE_LEN], len: 2 };
        assert_eq!(std::format!("{private:?}"), "Private(..)");
    }
}
