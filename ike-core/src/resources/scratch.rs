//! Where messages are built before they count. What is left of them is wiped when there is nothing more to send.

/// Room for one message.
#[derive(Debug)]
pub(crate) struct Scratch<'s> {
    bytes: &'s mut [u8],
    used: bool,
}

impl<'s> Scratch<'s> {
    pub(crate) fn new(bytes: &'s mut [u8]) -> Self {
        let mut scratch = Self { bytes, used: true };
        scratch.wipe();
        scratch
    }

    /// All the room, with anything in it.
    pub(crate) const fn room(&mut self) -> &mut [u8] {
        self.used = true;
        self.bytes
    }

    /// What was written.
    pub(crate) fn get(&self, range: core::ops::Range<usize>) -> Option<&[u8]> {
        self.bytes.get(range)
    }

    /// Forgets what was written.
    pub(crate) fn wipe(&mut self) {
        if core::mem::take(&mut self.used) {
            self.bytes.fill(0);
        }
    }
}
