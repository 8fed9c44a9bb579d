//! Fragments of IKE messages, as Cisco and Microsoft have them (MS-IKEE §3.3): a message too large for one datagram is
//! sent as several, each behind an ISAKMP header of its own with one fragment payload.
//!
//! Nothing protects a fragment; what protects the message is its hash, after all pieces are together. Pieces are
//! therefore kept only for IKE SAs that exist, from the address where the peer is, in a fixed number of slots.

use core::net::SocketAddr;
use core::time::Duration;

use crate::endpoint::{Context, Endpoint, Path, header};
use crate::error::{Capacity, Discard, Error, Malformed, MalformedKind};
use crate::resources::{Place, whole};
use crate::time::Instant;
use crate::wire::numbers::PayloadType;
use crate::wire::{
    Cookie, CookiePair, FragmentPayload, GENERIC_HEADER_LEN, HEADER_LEN, Header, MessageWriter,
    Payloads,
};

/// Messages that may be in pieces at the same time.
pub(crate) const SLOTS: usize = 2;

/// Pieces of one message; the largest messages, with chains of certificates, have about ten.
const PIECES: usize = 16;

/// How long pieces wait for the rest.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What is there of a message. Its pieces lie in the order they came in; they are put in order when all are there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pieces {
    cookies: CookiePair,
    remote: SocketAddr,
    id: u16,
    since: Instant,
    /// By number, less one: start and length; length 0 while it is missing.
    pieces: [(u16, u16); PIECES],
    /// How many there are to be, once the last one has come.
    total: Option<u8>,
    /// Bytes so far.
    len: u16,
}

whole!(Pieces);

/// Room for the pieces of one message.
pub(crate) type Slot = Place<Pieces>;

/// The slots, and the bytes of the messages in them.
#[derive(Debug)]
pub(crate) struct Reassembly<'s> {
    slots: &'s mut [Slot; SLOTS],
    bytes: &'s mut [u8],
}

impl<'s> Reassembly<'s> {
    pub(crate) fn new(slots: &'s mut [Slot; SLOTS], bytes: &'s mut [u8]) -> Self {
        let mut all = Self { slots, bytes };
        all.clear();
        all
    }

    /// Forgets all pieces.
    pub(crate) fn clear(&mut self) {
        *self.slots = [const { Place::EMPTY }; SLOTS];
        self.bytes.fill(0);
    }

    /// Forgets the pieces of an IKE SA.
    pub(crate) fn forget(&mut self, initiator: Cookie) {
        let stride = self.stride();
        for (slot, bytes) in self.slots.iter_mut().zip(self.bytes.chunks_mut(stride.max(1))) {
            if slot.get().is_some_and(|pieces| pieces.cookies.initiator == initiator) {
                *slot = Place::EMPTY;
                bytes.fill(0);
            }
        }
    }

    fn stride(&self) -> usize {
        self.bytes.len() / SLOTS
    }

    /// Adds a piece. When it completes its message, that one lies in order in the slot, whose number and length are
    /// returned, and the slot is free again.
    pub(crate) fn add(
        &mut self,
        cookies: CookiePair,
        remote: SocketAddr,
        fragment: &FragmentPayload<'_>,
        now: Instant,
    ) -> Result<Option<(usize, usize)>, Error> {
        let bad = Malformed::new(MalformedKind::Fragment, HEADER_LEN);
        let place = usize::from(fragment.number).checked_sub(1).filter(|place| *place < PIECES);
        let place = place.ok_or(bad)?;
        let slot = self.slot_for(cookies, remote, fragment.id, now)?;
        let start = slot.saturating_mul(self.stride());
        let end = start.saturating_add(self.stride());
        let (Some(Place::Used(pieces)), Some(bytes)) =
            (self.slots.get_mut(slot), self.bytes.get_mut(start..end))
        else {
            return Err(Capacity::Exchanges.into());
        };
        let inconsistent = pieces.total.is_some_and(|total| fragment.number > total)
            || (fragment.last && pieces.total.is_some_and(|total| total != fragment.number))
            || (fragment.last && pieces.has_beyond(fragment.number));
        if inconsistent {
            return Err(bad.into());
        }
        let entry = pieces.pieces.get_mut(place).ok_or(bad)?;
        if entry.1 == 0 {
            let from = usize::from(pieces.len);
            let to = from.saturating_add(fragment.data.len());
            let room = bytes.get_mut(from..to).ok_or(Capacity::Message(to))?;
            room.copy_from_slice(fragment.data);
            let len = u16::try_from(fragment.data.len()).map_err(|_| bad)?;
            *entry = (pieces.len, len);
            pieces.len = u16::try_from(to).map_err(|_| Capacity::Message(to))?;
        }
        if fragment.last {
            pieces.total = Some(fragment.number);
        }
        let complete = pieces.total.is_some_and(|total| {
            pieces.pieces.iter().take(usize::from(total)).all(|(_, len)| *len > 0)
        });
        if !complete {
            return Ok(None);
        }
        let len = usize::from(pieces.len);
        pieces.put_in_order(bytes);
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = Place::EMPTY;
        }
        Ok(Some((slot, len)))
    }

    /// A message that [`Self::add`] has completed.
    #[cfg(any(test, feature = "_fuzz"))]
    pub(crate) fn message(&self, slot: usize, len: usize) -> &[u8] {
        let start = slot.saturating_mul(self.stride());
        self.bytes.get(start..start.saturating_add(len)).unwrap_or_default()
    }

    /// The slot of this message; if it is new, a free one, or that of an older message of the same peer, or one whose
    /// pieces have waited long enough.
    fn slot_for(
        &mut self,
        cookies: CookiePair,
        remote: SocketAddr,
        id: u16,
        now: Instant,
    ) -> Result<usize, Error> {
        let position = |matches: &dyn Fn(&Pieces) -> bool| {
            self.slots.iter().position(|slot| slot.get().is_some_and(matches))
        };
        let same_peer = |pieces: &Pieces| pieces.cookies == cookies && pieces.remote == remote;
        // Pieces that have waited too long fit no others: one of them may be forged, or of another size.
        let late = |pieces: &Pieces| now.since(pieces.since) >= TIMEOUT;
        let fits = |pieces: &Pieces| same_peer(pieces) && pieces.id == id && !late(pieces);
        if let Some(slot) = position(&fits) {
            return Ok(slot);
        }
        let slot = position(&same_peer)
            .or_else(|| self.slots.iter().position(|slot| slot.get().is_none()))
            .or_else(|| position(&late))
            .ok_or(Capacity::Exchanges)?;
        let pieces = Pieces {
            cookies,
            remote,
            id,
            since: now,
            pieces: [(0, 0); PIECES],
            total: None,
            len: 0,
        };
        if let Some(slot) = self.slots.get_mut(slot) {
            *slot = Place::Used(pieces);
        }
        Ok(slot)
    }
}

impl Pieces {
    fn has_beyond(&self, number: u8) -> bool {
        self.pieces.iter().skip(usize::from(number)).any(|(_, len)| *len > 0)
    }

    /// Moves each piece to its place by rotating it past those before it: at most [`PIECES`] passes over the message.
    fn put_in_order(&mut self, bytes: &mut [u8]) {
        let mut done: u16 = 0;
        for place in 0..PIECES {
            let Some(&(start, len)) = self.pieces.get(place) else { return };
            let end = start.saturating_add(len);
            if let Some(range) = bytes.get_mut(usize::from(done)..usize::from(end)) {
                range.rotate_right(usize::from(len).min(range.len()));
            }
            for (other, _) in self.pieces.iter_mut().skip(place) {
                if *other >= done && *other < start {
                    *other = other.saturating_add(len);
                }
            }
            done = done.saturating_add(len);
        }
    }
}

impl Endpoint<'_> {
    /// Takes a fragment. The message it completes, if it does, is handled as if it had come in one datagram.
    pub(crate) fn fragment_datagram(
        &mut self,
        cx: &mut Context<'_>,
        path: Path,
        header: &Header,
        datagram: &[u8],
    ) -> Result<(), Discard> {
        let index = self.find_ike(&header.cookies).ok_or(Discard::UnknownSa)?;
        let ike = self.store.ikes.get(index).ok_or(Discard::UnknownSa)?;
        if ike.path.remote.ip() != path.remote.ip() {
            return Err(Discard::WrongAddress);
        }
        let body = datagram.get(HEADER_LEN..).unwrap_or_default();
        let (payload, _) = Payloads::new(header.next_payload, body, HEADER_LEN).split_first()?;
        let fragment = FragmentPayload::parse(payload.body, payload.offset)?;
        let cookies = header.cookies;
        let Some((slot, len)) =
            self.store.reassembly.add(cookies, path.remote, &fragment, cx.now)?
        else {
            return Ok(());
        };
        // The message lies in storage; it is taken out of it while it is handled.
        let stride = self.store.reassembly.stride();
        let start = slot.saturating_mul(stride);
        let bytes = core::mem::take(&mut self.store.reassembly.bytes);
        let result = match bytes.get_mut(start..start.saturating_add(len)) {
            Some(message) => match Header::parse(message) {
                Err(error) => Err(error.into()),
                Ok(inner) if inner.next_payload == PayloadType::FRAGMENT => {
                    Err(Malformed::new(MalformedKind::Fragment, HEADER_LEN).into())
                }
                Ok(inner) if inner.cookies != cookies => Err(Discard::UnknownSa),
                Ok(_) => self.dispatch(cx, path, message),
            },
            None => Err(Discard::Capacity(Capacity::Message(len))),
        };
        // The other slots hold pieces of other messages.
        bytes.get_mut(start..start.saturating_add(stride)).unwrap_or_default().fill(0);
        self.store.reassembly.bytes = bytes;
        result
    }

    /// Writes fragment `number` of the message that `exchange` sends into the scratch: its length, and whether it is
    /// the last.
    pub(crate) fn write_fragment(&mut self, index: u16, number: u8) -> Option<(usize, bool)> {
        let exchange = self.store.exchanges.get(index)?;
        let ike = self.store.ikes.get(exchange.ike.0)?;
        let marker = crate::natt::NON_ESP_MARKER;
        let message =
            self.store.buffers.sent(index).get(marker.len()..usize::from(exchange.outbox.len))?;
        let overhead = HEADER_LEN
            .saturating_add(GENERIC_HEADER_LEN)
            .saturating_add(FragmentPayload::HEAD_LEN)
            .saturating_add(marker.len());
        // The other end has room for so many, whatever a datagram may hold.
        let fewest = message.len().div_ceil(PIECES);
        let piece = usize::from(exchange.outbox.fragment).checked_sub(overhead)?.max(fewest);
        let start = usize::from(number.checked_sub(1)?).saturating_mul(piece);
        let end = start.saturating_add(piece).min(message.len());
        let last = end == message.len();
        let fragment = FragmentPayload {
            id: exchange.outbox.fragment_id,
            number,
            last,
            data: message.get(start..end)?,
        };
        let header = header(ike.cookies, exchange.kind, exchange.message_id, false);
        let (room, rest) = self.store.scratch.room().split_at_mut_checked(marker.len())?;
        room.copy_from_slice(&marker);
        let mut out = MessageWriter::new(rest, &header).ok()?;
        fragment.emit(&mut out).ok()?;
        Some((out.finish().saturating_add(marker.len()), last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COOKIES: CookiePair = CookiePair { initiator: Cookie([1; 8]), responder: Cookie([2; 8]) };

    fn remote() -> SocketAddr {
        SocketAddr::from(([192, 0, 2, 1], 500))
    }

    fn piece<'a>(id: u16, number: u8, last: bool, data: &'a [u8]) -> FragmentPayload<'a> {
        FragmentPayload { id, number, last, data }
    }

    fn permutations(of: usize) -> std::vec::Vec<std::vec::Vec<usize>> {
        if of == 0 {
            return std::vec![std::vec![]];
        }
        let mut all = std::vec![];
        for shorter in permutations(of - 1) {
            for at in 0..of {
                let mut longer = shorter.clone();
                longer.insert(at, of - 1);
                all.push(longer);
            }
        }
        all
    }

    #[test]
    fn any_order_any_lengths() {
        let message: std::vec::Vec<u8> = (0..200).collect();
        for count in 1..=6 {
            let cuts: std::vec::Vec<usize> =
                (0..=count).map(|i| i * i * message.len() / (count * count)).collect();
            for order in permutations(count) {
                let (mut slots, mut bytes) = ([const { Place::EMPTY }; SLOTS], [0; 512]);
                let mut all = Reassembly::new(&mut slots, &mut bytes);
                let mut done = None;
                for (sent, number) in order.iter().enumerate() {
                    let data = &message[cuts[*number]..cuts[number + 1]];
                    let fragment = piece(1, *number as u8 + 1, *number + 1 == count, data);
                    done = all.add(COOKIES, remote(), &fragment, Instant::ZERO).unwrap();
                    if sent + 1 < count {
                        assert_eq!(done, None);
                        // The same once more changes nothing.
                        let again = all.add(COOKIES, remote(), &fragment, Instant::ZERO);
                        assert_eq!(again, Ok(None));
                    }
                }
                let (slot, len) = done.unwrap();
                assert_eq!(&bytes[slot * 256..slot * 256 + len], &message[..]);
            }
        }
    }

    #[test]
    fn contradictions_and_overflow_are_refused() {
        let (mut slots, mut bytes) = ([const { Place::EMPTY }; SLOTS], [0; 64]);
        let mut all = Reassembly::new(&mut slots, &mut bytes);
        let mut add = |id, number, last, data: &[u8]| {
            all.add(COOKIES, remote(), &piece(id, number, last, data), Instant::ZERO)
        };
        assert!(add(1, 17, false, &[0]).is_err(), "more pieces than there may be");
        assert_eq!(add(1, 3, true, &[0; 8]), Ok(None));
        assert!(add(1, 4, false, &[0]).is_err(), "beyond the last");
        assert!(add(1, 2, true, &[0]).is_err(), "another last");
        assert!(add(1, 1, false, &[0; 25]).is_err(), "larger than a message may be");
        // A new message of the same peer takes the place of the old one.
        assert_eq!(add(2, 2, true, &[7; 4]), Ok(None));
        assert_eq!(add(2, 1, false, &[6; 4]), Ok(Some((0, 8))));
        assert_eq!(add(3, 3, false, &[0; 4]), Ok(None));
        assert!(add(3, 2, true, &[0]).is_err(), "the last before one that is there");
    }

    #[test]
    fn a_piece_that_fits_no_others_is_forgotten() {
        let (mut slots, mut bytes) = ([const { Place::EMPTY }; SLOTS], [0; 64]);
        let mut all = Reassembly::new(&mut slots, &mut bytes);
        let mut add = |seconds: u64, number, last| {
            let now = Instant::from_millis(seconds * 1_000);
            all.add(COOKIES, remote(), &piece(1, number, last, &[number; 4]), now)
        };
        assert_eq!(add(0, 9, true), Ok(None), "forged");
        assert_eq!(add(1, 1, false), Ok(None));
        assert!(add(1, 2, true).is_err());
        // Sent again, under the same number, after the forged piece has had its time.
        assert_eq!(add(10, 1, false), Ok(None));
        assert_eq!(add(10, 2, true), Ok(Some((0, 8))));
    }

    #[test]
    fn half_sets_cannot_take_more_than_the_slots() {
        let (mut slots, mut bytes) = ([const { Place::EMPTY }; SLOTS], [0; 64]);
        let mut all = Reassembly::new(&mut slots, &mut bytes);
        let with = |n: u8| CookiePair { initiator: Cookie([n; 8]), ..COOKIES };
        let half = piece(1, 1, false, &[1; 8]);
        for number in [0, 17, 255] {
            let none =
                all.add(with(number), remote(), &piece(1, number, false, &[1]), Instant::ZERO);
            assert!(none.is_err());
        }
        for n in 0..SLOTS as u8 {
            assert_eq!(all.add(with(n), remote(), &half, Instant::ZERO), Ok(None));
        }
        for n in 10..=255 {
            let refused = all.add(with(n), remote(), &half, Instant::from_millis(9_999));
            assert!(refused.is_err());
        }
        assert_eq!(all.add(with(99), remote(), &half, Instant::from_millis(10_000)), Ok(None));
    }
}
