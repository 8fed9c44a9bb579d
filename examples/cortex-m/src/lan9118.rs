//! SMSC's LAN9118 Ethernet controller, polled, as the device that smoltcp wants.

use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

const BASE: usize = 0x4020_0000;

/// Registers, by their distance from [`BASE`].
mod register {
    pub const RX_DATA: usize = 0x00;
    pub const TX_DATA: usize = 0x20;
    pub const RX_STATUS: usize = 0x40;
    pub const TX_STATUS: usize = 0x48;
    pub const BYTE_TEST: usize = 0x64;
    pub const FIFO_INT: usize = 0x68;
    pub const RX_CFG: usize = 0x6c;
    pub const TX_CFG: usize = 0x70;
    pub const HW_CFG: usize = 0x74;
    pub const RX_FIFO: usize = 0x7c;
    pub const TX_FIFO: usize = 0x80;
    pub const MAC_COMMAND: usize = 0xa4;
    pub const MAC_DATA: usize = 0xa8;
}

/// Registers of the MAC, behind a window.
mod mac {
    pub const CONTROL: u32 = 1;
    pub const ADDRESS_HIGH: u32 = 2;
    pub const ADDRESS_LOW: u32 = 3;
}

/// A frame, and what brings it to a whole number of words.
const FRAME: usize = 1516;
/// An Ethernet header and an IP packet of 1500 bytes.
const MTU: usize = 1514;

fn read(register: usize) -> u32 {
    // SAFETY: a register of the controller, which is there on this board, and which nothing else uses.
    unsafe { ((BASE + register) as *const u32).read_volatile() }
}

fn write(register: usize, value: u32) {
    // SAFETY: as in `read`.
    unsafe { ((BASE + register) as *mut u32).write_volatile(value) }
}

fn mac_write(register: u32, value: u32) {
    const BUSY: u32 = 1 << 31;
    write(register::MAC_DATA, value);
    write(register::MAC_COMMAND, BUSY | register);
    while read(register::MAC_COMMAND) & BUSY != 0 {}
}

/// The controller, and room for a frame each way.
pub struct Ethernet {
    received: [u8; FRAME],
    transmitted: [u8; FRAME],
}

impl Ethernet {
    /// Room without a controller yet: it costs no flash.
    #[must_use]
    pub const fn new() -> Self {
        Self { received: [0; FRAME], transmitted: [0; FRAME] }
    }

    /// Resets the controller and switches it on; false if there is none.
    #[must_use]
    pub fn start(&mut self, address: [u8; 6]) -> bool {
        if read(register::BYTE_TEST) != 0x8765_4321 {
            return false;
        }
        write(register::HW_CFG, 1);
        while read(register::HW_CFG) & 1 != 0 {}
        write(register::HW_CFG, 5 << 16 | 1 << 20);
        let [a, b, c, d, e, f] = address;
        mac_write(mac::ADDRESS_HIGH, u32::from_le_bytes([e, f, 0, 0]));
        mac_write(mac::ADDRESS_LOW, u32::from_le_bytes([a, b, c, d]));
        write(register::FIFO_INT, 0);
        write(register::RX_CFG, 0);
        write(register::TX_CFG, 1 << 1);
        mac_write(mac::CONTROL, 1 << 20 | 1 << 3 | 1 << 2);
        true
    }

    /// Reads the next frame; 0 if it was damaged. Its check sum, the last four bytes, is left out.
    fn receive_frame(&mut self) -> usize {
        let status = read(register::RX_STATUS);
        let len = (status >> 16) as usize & 0x3fff;
        for at in (0..len).step_by(4) {
            let word = read(register::RX_DATA).to_le_bytes();
            if let Some(place) = self.received.get_mut(at..at + 4) {
                place.copy_from_slice(&word);
            }
        }
        let damaged = status & 1 << 15 != 0;
        if damaged { 0 } else { len.saturating_sub(4).min(MTU) }
    }
}

impl Default for Ethernet {
    fn default() -> Self {
        Self::new()
    }
}

fn transmit_frame(frame: &[u8]) {
    let len = frame.len() as u32;
    write(register::TX_DATA, 1 << 13 | 1 << 12 | len);
    write(register::TX_DATA, len << 16 | len);
    for word in frame.chunks(4) {
        let mut bytes = [0; 4];
        bytes[..word.len()].copy_from_slice(word);
        write(register::TX_DATA, u32::from_le_bytes(bytes));
    }
    while read(register::TX_FIFO) >> 16 & 0xff != 0 {
        let _ = read(register::TX_STATUS);
    }
}

/// A frame that has come.
pub struct Received<'f>(&'f [u8]);

/// Room for a frame that goes.
pub struct Transmit<'f>(&'f mut [u8]);

impl RxToken for Received<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(self.0)
    }
}

impl TxToken for Transmit<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, fill: F) -> R {
        let frame = &mut self.0[..len];
        let result = fill(frame);
        transmit_frame(frame);
        result
    }
}

impl Device for Ethernet {
    type RxToken<'f> = Received<'f>;
    type TxToken<'f> = Transmit<'f>;

    fn receive(&mut self, _: Instant) -> Option<(Received<'_>, Transmit<'_>)> {
        if read(register::RX_FIFO) >> 16 & 0xff == 0 {
            return None;
        }
        let len = self.receive_frame();
        Some((Received(&self.received[..len]), Transmit(&mut self.transmitted)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Transmit<'_>> {
        Some(Transmit(&mut self.transmitted))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = MTU;
        capabilities
    }
}
