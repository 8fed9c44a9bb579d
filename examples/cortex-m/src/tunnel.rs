//! The network interface of the protected side: a device of smoltcp's without hardware. What the stack sends through it is
//! sealed, and what was opened comes out of it.

use esp_core::PacketBuf;
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// The largest inner packet: with what ESP and UDP add it stays below 1500 bytes.
pub const MTU: usize = 1400;

/// One packet each way. A packet that waits for an SA stays where it is, and the stack finds the interface busy.
pub struct Tunnel {
    /// What goes, with the room around it that sealing needs.
    outgoing: [u8; PacketBuf::HEADROOM + MTU + PacketBuf::TAILROOM],
    outgoing_len: usize,
    incoming: [u8; MTU],
    incoming_len: usize,
}

impl Tunnel {
    /// Nothing goes, nothing comes.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            outgoing: [0; PacketBuf::HEADROOM + MTU + PacketBuf::TAILROOM],
            outgoing_len: 0,
            incoming: [0; MTU],
            incoming_len: 0,
        }
    }

    /// The packet that waits to be sealed.
    pub fn outgoing(&mut self) -> Option<PacketBuf<'_>> {
        let range = PacketBuf::HEADROOM..PacketBuf::HEADROOM + self.outgoing_len;
        (self.outgoing_len != 0).then(|| PacketBuf::new(&mut self.outgoing, range)).flatten()
    }

    /// It has gone.
    pub const fn sent(&mut self) {
        self.outgoing_len = 0;
    }

    /// A packet was opened. The stack has to be polled before the next; one that is too long is dropped.
    pub fn deliver(&mut self, packet: &[u8]) {
        if let Some(place) = self.incoming.get_mut(..packet.len()) {
            place.copy_from_slice(packet);
            self.incoming_len = packet.len();
        }
    }
}

impl Default for Tunnel {
    fn default() -> Self {
        Self::new()
    }
}

/// A packet that was opened.
pub struct Received<'p>(&'p [u8]);

/// Room for a packet that is to be sealed.
pub struct Transmit<'p> {
    room: &'p mut [u8],
    len: &'p mut usize,
}

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(self.0)
    }
}

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        *self.len = len;
        fill(&mut self.room[PacketBuf::HEADROOM..PacketBuf::HEADROOM + len])
    }
}

impl Device for Tunnel {
    type RxToken<'p> = Received<'p>;
    type TxToken<'p> = Transmit<'p>;

    /// smoltcp answers at once, so that what has come waits until there is room for an answer.
    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Transmit<'_>)> {
        if self.incoming_len == 0 || self.outgoing_len != 0 {
            return None;
        }
        let len = core::mem::take(&mut self.incoming_len);
        let transmit = Transmit { room: &mut self.outgoing, len: &mut self.outgoing_len };
        Some((Received(&self.incoming[..len]), transmit))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_>> {
        let busy = self.outgoing_len != 0;
        (!busy).then(|| Transmit { room: &mut self.outgoing, len: &mut self.outgoing_len })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}
