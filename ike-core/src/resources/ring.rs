//! Messages that belong to no exchange: notifies, Deletes, answers to probes, keepalives. A few fixed places; when all
//! are taken the oldest is overwritten, and counted.

use crate::endpoint::Path;

/// Messages that may wait.
const PLACES: usize = 8;
/// Bytes of the longest one: an encrypted Delete of a few SAs, or a notify, has about a hundred.
pub(crate) const PLACE_LEN: usize = 256;

/// A message to be sent once, and forgotten.
#[derive(Debug)]
#[repr(u8)]
#[expect(clippy::large_enum_variant, reason = "there is no heap to put the message on")]
pub(crate) enum Outgoing {
    /// No message.
    None = 0,
    /// A message, the non-ESP marker included where the path wants it.
    Message {
        /// Where to.
        path: Path,
        /// Bytes that count.
        len: u16,
        /// The message.
        bytes: [u8; PLACE_LEN],
    },
}

/// The places.
#[derive(Debug)]
pub(crate) struct Ring {
    places: [Outgoing; PLACES],
    head: u8,
    len: u8,
    /// Messages overwritten before they were sent.
    pub(crate) lost: u32,
}

impl Ring {
    pub(crate) const fn new() -> Self {
        Self { places: [const { Outgoing::None }; PLACES], head: 0, len: 0, lost: 0 }
    }

    /// Queues `message` for `path`; one that is too long is dropped and counted.
    pub(crate) fn push(&mut self, path: Path, marker: &[u8], message: &[u8]) {
        let total = marker.len().saturating_add(message.len());
        let Ok(len) = u16::try_from(total) else { return self.lose() };
        if total > PLACE_LEN {
            return self.lose();
        }
        if usize::from(self.len) >= PLACES {
            self.lose();
            self.advance();
        }
        let place = usize::from(self.head).saturating_add(usize::from(self.len)) % PLACES;
        let mut bytes = [0; PLACE_LEN];
        for (to, from) in bytes.iter_mut().zip(marker.iter().chain(message)) {
            *to = *from;
        }
        if let Some(entry) = self.places.get_mut(place) {
            *entry = Outgoing::Message { path, len, bytes };
            self.len = self.len.saturating_add(1);
        }
    }

    /// The oldest message. It stays readable until the next call.
    pub(crate) fn pop(&mut self) -> Option<(Path, &[u8])> {
        if self.len == 0 {
            return None;
        }
        let place = usize::from(self.head);
        self.advance();
        match self.places.get(place) {
            Some(Outgoing::Message { path, len, bytes }) => {
                Some((*path, bytes.get(..usize::from(*len))?))
            }
            _ => None,
        }
    }

    fn advance(&mut self) {
        self.head = u8::try_from(usize::from(self.head).saturating_add(1) % PLACES).unwrap_or(0);
        self.len = self.len.saturating_sub(1);
    }

    fn lose(&mut self) {
        self.lost = self.lost.saturating_add(1);
    }
}
