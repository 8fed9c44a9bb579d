//! Failures of exchanges, kept until the host reads them: a few places, the oldest overwritten and counted.

use crate::event::Event;

const PLACES: usize = 8;

#[derive(Debug)]
#[repr(u8)]
enum Place {
    Empty = 0,
    Event(Event),
}

/// The places.
#[derive(Debug)]
pub(crate) struct Diagnostics {
    places: [Place; PLACES],
    head: u8,
    len: u8,
    pub(crate) lost: u32,
}

impl Diagnostics {
    pub(crate) const fn new() -> Self {
        Self { places: [const { Place::Empty }; PLACES], head: 0, len: 0, lost: 0 }
    }

    pub(crate) fn push(&mut self, event: Event) {
        if usize::from(self.len) >= PLACES {
            self.lost = self.lost.saturating_add(1);
            let _ = self.pop();
        }
        let place = usize::from(self.head).saturating_add(usize::from(self.len)) % PLACES;
        if let Some(entry) = self.places.get_mut(place) {
            *entry = Place::Event(event);
            self.len = self.len.saturating_add(1);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.len = self.len.checked_sub(1)?;
        let place = usize::from(self.head);
        self.head = u8::try_from(place.saturating_add(1) % PLACES).unwrap_or(0);
        match core::mem::replace(self.places.get_mut(place)?, Place::Empty) {
            Place::Event(event) => Some(event),
            Place::Empty => None,
        }
    }
}
