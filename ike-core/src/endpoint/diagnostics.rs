//! Failures of exchanges, kept until the host reads them: a few places. What finds none is counted: of what others began
//! the newest, of our own requests the oldest.

use crate::event::Event;
use crate::resources::{Place, whole};

const PLACES: usize = 8;

whole!(Event);

/// The places.
#[derive(Debug)]
pub(crate) struct Diagnostics {
    places: [Place<Event>; PLACES],
    head: u8,
    len: u8,
    pub(crate) lost: u32,
}

impl Diagnostics {
    pub(crate) const fn new() -> Self {
        Self { places: [const { Place::EMPTY }; PLACES], head: 0, len: 0, lost: 0 }
    }

    /// Drops all events, and forgets how many were lost.
    pub(crate) fn clear(&mut self) {
        self.places = [const { Place::EMPTY }; PLACES];
        (self.head, self.len, self.lost) = (0, 0, 0);
    }

    /// Keeps an event if there is room: one that strangers can bring about displaces no other.
    pub(crate) fn offer(&mut self, event: Event) {
        if usize::from(self.len) >= PLACES {
            self.lost = self.lost.saturating_add(1);
        } else {
            self.push(event);
        }
    }

    /// Keeps an event, in the place of the oldest if there is no room.
    pub(crate) fn push(&mut self, event: Event) {
        if usize::from(self.len) >= PLACES {
            self.lost = self.lost.saturating_add(1);
            let _ = self.pop();
        }
        let place = usize::from(self.head).saturating_add(usize::from(self.len)) % PLACES;
        if let Some(entry) = self.places.get_mut(place) {
            *entry = Place::Used(event);
            self.len = self.len.saturating_add(1);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.len = self.len.checked_sub(1)?;
        let place = usize::from(self.head);
        let next = if self.len == 0 { 0 } else { place.saturating_add(1) % PLACES };
        self.head = u8::try_from(next).unwrap_or(0);
        let place = self.places.get_mut(place)?;
        let event = place.get().copied();
        *place = Place::EMPTY;
        event
    }
}
