//! Messages that belong to no exchange: notifies, Deletes, answers to probes, keepalives. A few fixed places; when all
//! are taken the oldest is overwritten, and counted.

use crate::endpoint::Path;
use crate::resources::place::{Place, whole};

/// Messages that may wait.
const PLACES: usize = 8;
/// Bytes of the longest one: an encrypted Delete of a few SAs, or a notify, has about a hundred.
pub(crate) const PLACE_LEN: usize = 256;

/// A message to be sent once, and forgotten.
#[derive(Debug)]
struct Outgoing {
    /// Where to.
    path: Path,
    /// Bytes that count.
    len: u16,
    /// The message, the non-ESP marker included where the path wants it.
    bytes: [u8; PLACE_LEN],
}

whole!(Outgoing);

/// The places.
#[derive(Debug)]
pub(crate) struct Ring {
    places: [Place<Outgoing>; PLACES],
    head: u8,
    len: u8,
    /// The message in front of the head has been read, and may go at the next call.
    lent: bool,
    /// Messages overwritten before they were sent.
    pub(crate) lost: u32,
}

impl Ring {
    pub(crate) const fn new() -> Self {
        Self { places: [const { Place::EMPTY }; PLACES], head: 0, len: 0, lent: false, lost: 0 }
    }

    /// Drops all messages, and forgets how many were lost.
    pub(crate) fn clear(&mut self) {
        self.places = [const { Place::EMPTY }; PLACES];
        (self.head, self.len, self.lent, self.lost) = (0, 0, false, 0);
    }

    /// Whether the next message would take the place of the oldest.
    pub(crate) const fn is_full(&self) -> bool {
        self.len as usize >= PLACES
    }

    /// Queues `message` for `path`; one that is too long is dropped and counted.
    pub(crate) fn push(&mut self, path: Path, marker: &[u8], message: &[u8]) {
        self.take_back();
        let total = marker.len().saturating_add(message.len());
        let Ok(len) = u16::try_from(total) else { return self.lose() };
        if total > PLACE_LEN {
            return self.lose();
        }
        if self.is_full() {
            self.lose();
            self.advance();
            self.take_back();
        }
        let place = usize::from(self.head).saturating_add(usize::from(self.len)) % PLACES;
        let mut bytes = [0; PLACE_LEN];
        for (to, from) in bytes.iter_mut().zip(marker.iter().chain(message)) {
            *to = *from;
        }
        if let Some(entry) = self.places.get_mut(place) {
            *entry = Place::Used(Outgoing { path, len, bytes });
            self.len = self.len.saturating_add(1);
        }
    }

    /// The oldest message. It stays readable until the next call.
    pub(crate) fn pop(&mut self) -> Option<(Path, &[u8])> {
        self.take_back();
        if self.len == 0 {
            return None;
        }
        let place = usize::from(self.head);
        self.advance();
        let Outgoing { path, len, bytes } = self.places.get(place)?.get()?;
        Some((*path, bytes.get(..usize::from(*len))?))
    }

    fn advance(&mut self) {
        self.head = u8::try_from(usize::from(self.head).saturating_add(1) % PLACES).unwrap_or(0);
        self.len = self.len.saturating_sub(1);
        self.lent = true;
    }

    /// Empties the place whose message was lent.
    fn take_back(&mut self) {
        if !core::mem::take(&mut self.lent) {
            return;
        }
        let place = usize::from(self.head).saturating_add(PLACES.saturating_sub(1)) % PLACES;
        if let Some(place) = self.places.get_mut(place) {
            *place = Place::EMPTY;
        }
        if self.len == 0 {
            self.head = 0;
        }
    }

    fn lose(&mut self) {
        self.lost = self.lost.saturating_add(1);
    }
}
