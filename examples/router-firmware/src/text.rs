//! Lines of text for C: cut to their room, closed by a zero.

use core::ffi::CStr;
use core::fmt::{self, Write as _};

use esp_core::Discard;

use crate::abi::Fault;
use crate::abi::header::IPSEC_MAX_TEXT;

/// A line. What does not fit is cut off.
pub struct Line {
    bytes: [u8; IPSEC_MAX_TEXT],
    len: usize,
}

impl Line {
    /// What `format_args!` says.
    pub fn new(text: fmt::Arguments<'_>) -> Self {
        let mut line = Self { bytes: [0; IPSEC_MAX_TEXT], len: 0 };
        // It fails when the line is full.
        let _ = line.write_fmt(text);
        line
    }

    /// With the zero that ends it, and zeros behind.
    pub const fn bytes(&self) -> &[u8; IPSEC_MAX_TEXT] {
        &self.bytes
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            // The last byte stays zero. All texts are ASCII: none is cut within a character.
            let room = self.bytes.split_last_mut().and_then(|(_, room)| room.get_mut(self.len));
            *room.ok_or(fmt::Error)? = byte;
            self.len = self.len.wrapping_add(1);
        }
        Ok(())
    }
}

/// Why a packet was dropped.
pub const fn why(reason: Discard) -> &'static CStr {
    match reason {
        Discard::NoPolicy => c"no policy matches",
        Discard::Policy => c"policy discards it",
        Discard::Unprotected => c"in clear, where policy wants it protected",
        Discard::Malformed => c"malformed",
        Discard::Fragment => c"a fragment that policy cannot be applied to",
        Discard::UnknownSpi => c"unknown SPI",
        Discard::Replay => c"replayed, or too old",
        Discard::Integrity => c"integrity check failed",
        Discard::Dummy => c"a dummy",
        Discard::Selectors => c"not what its SA is for",
        Discard::Expired => c"its SA has ended",
        Discard::NoRoom(_) => c"too little room around the packet",
        Discard::Congestion => c"congestion marked where it cannot be",
        Discard::TooLong => c"too long when sealed",
        _ => c"dropped",
    }
}

/// A fault in words.
pub const fn fault(fault: Fault) -> &'static CStr {
    match fault {
        Fault::Null => c"a pointer is null",
        Fault::Size => c"memory of the wrong size or alignment",
        Fault::Closed => c"not initialised, or closed",
        Fault::Busy => c"called from within a callback",
        Fault::Buffer => c"the packet does not lie in its buffer",
        Fault::Config => c"the configuration cannot work",
        Fault::Full => c"no room",
        Fault::Unknown => c"no such peer or child, or nothing of it is up",
        Fault::Address => c"no address, or addresses that do not fit",
    }
}
