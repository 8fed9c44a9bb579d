//! The caller's buffer, with a packet somewhere in it.
//!
//! Everything happens in place. Sealing puts headers in front of the packet and a trailer behind it, opening takes
//! them away, so the packet needs room on both sides:
//!
//! ```text
//!            start                          end
//! | headroom   | the packet                   | tailroom |
//! |<--- outer IP, UDP, ESP, IV                | padding, next header, ICV --->|
//! ```

use core::fmt;
use core::ops::Range;

/// A packet in a buffer that the caller owns.
pub struct PacketBuf<'b> {
    buffer: &'b mut [u8],
    start: usize,
    end: usize,
}

/// There is not enough room around the packet. The packet is untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRoom {
    /// Bytes needed in front of the packet.
    pub headroom: usize,
    /// Bytes needed behind it.
    pub tailroom: usize,
}

impl fmt::Display for NoRoom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the packet needs {} bytes in front and {} behind", self.headroom, self.tailroom)
    }
}

impl core::error::Error for NoRoom {}

impl<'b> PacketBuf<'b> {
    /// Headroom that is enough to seal any packet: IPv6 (40), UDP (8), ESP (8) and the IV (16).
    pub const HEADROOM: usize = 72;
    /// Tailroom that is enough to seal any packet without traffic flow confidentiality: at most 15 bytes of padding, the two
    /// bytes of the trailer and a 32-byte ICV.
    pub const TAILROOM: usize = 49;

    /// The packet in `buffer[range]`; `None` if the range does not lie in the buffer.
    #[must_use]
    pub fn new(buffer: &'b mut [u8], range: Range<usize>) -> Option<Self> {
        buffer.get(range.clone())?;
        Some(Self { buffer, start: range.start, end: range.end })
    }

    /// The packet that fills all of `buffer`: what an incoming packet is, which only shrinks; but in transport mode one that
    /// came without its IP header ([`crate::Arrival::Esp`]) needs room for it.
    #[must_use]
    pub fn whole(buffer: &'b mut [u8]) -> Self {
        let end = buffer.len();
        Self { buffer, start: 0, end }
    }

    /// The packet.
    #[must_use]
    pub fn packet(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    /// The packet, to be changed.
    #[must_use]
    pub fn packet_mut(&mut self) -> &mut [u8] {
        self.buffer.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// Where the packet lies in the buffer.
    #[must_use]
    pub const fn range(&self) -> Range<usize> {
        self.start..self.end
    }

    /// Length of the packet in bytes.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether the packet has no bytes.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes free in front of the packet.
    #[must_use]
    pub const fn headroom(&self) -> usize {
        self.start
    }

    /// Bytes free behind the packet.
    #[must_use]
    pub const fn tailroom(&self) -> usize {
        self.buffer.len().saturating_sub(self.end)
    }

    /// Refuses unless this much room is there.
    pub(crate) const fn need(&self, headroom: usize, tailroom: usize) -> Result<(), NoRoom> {
        if self.headroom() < headroom || self.tailroom() < tailroom {
            return Err(NoRoom { headroom, tailroom });
        }
        Ok(())
    }

    /// Moves the front edge outwards over `front` bytes of headroom and the back edge over `back` bytes of tailroom.
    /// What the new bytes hold is whatever the buffer held.
    pub(crate) fn grow(&mut self, front: usize, back: usize) -> Result<(), NoRoom> {
        self.need(front, back)?;
        self.start = self.start.saturating_sub(front);
        self.end = self.end.saturating_add(back);
        Ok(())
    }

    /// Cuts `front` bytes off the front and keeps `len` bytes of the rest. Beyond the packet's end it stops there.
    pub(crate) fn cut(&mut self, front: usize, len: usize) {
        self.start = self.start.saturating_add(front).min(self.end);
        self.end = self.start.saturating_add(len).min(self.end);
    }
}

impl fmt::Debug for PacketBuf<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PacketBuf({}..{} of {})", self.start, self.end, self.buffer.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_outside_the_buffer_is_refused() {
        let mut buffer = [0; 8];
        assert!(PacketBuf::new(&mut buffer, 2..9).is_none());
        #[expect(clippy::reversed_empty_ranges, reason = "that is the case under test")]
        let reversed = 5..4;
        assert!(PacketBuf::new(&mut buffer, reversed).is_none());
        let packet = PacketBuf::new(&mut buffer, 2..6).expect("inside");
        assert_eq!((packet.headroom(), packet.len(), packet.tailroom()), (2, 4, 2));
        assert_eq!(std::format!("{packet:?}"), "PacketBuf(2..6 of 8)");
    }

    #[test]
    fn growing_needs_room_on_both_sides_and_a_refusal_changes_nothing() {
        let mut buffer = [0; 8];
        let mut packet = PacketBuf::new(&mut buffer, 2..6).expect("inside");
        assert_eq!(packet.grow(3, 0), Err(NoRoom { headroom: 3, tailroom: 0 }));
        assert_eq!(packet.grow(0, 3), Err(NoRoom { headroom: 0, tailroom: 3 }));
        assert_eq!(packet.range(), 2..6);
        packet.grow(2, 2).expect("fits exactly");
        assert_eq!(packet.range(), 0..8);
    }

    #[test]
    fn cutting_stops_at_the_end() {
        let mut buffer = [0; 8];
        let mut packet = PacketBuf::new(&mut buffer, 2..6).expect("inside");
        packet.cut(1, 2);
        assert_eq!((packet.range(), packet.is_empty()), (3..5, false));
        packet.cut(9, 9);
        assert_eq!((packet.range(), packet.is_empty()), (5..5, true));
    }
}
