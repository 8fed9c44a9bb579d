//! What the library calls: the host's randomness, and its log.

use core::convert::Infallible;
use core::ffi::{c_char, c_void};
use core::fmt;

use rand_core::{TryCryptoRng, TryRng};

use crate::abi;
use crate::abi::Fault;
use crate::text::Line;

/// The host's callbacks.
#[derive(Clone, Copy)]
pub struct Host {
    random: unsafe extern "C" fn(*mut c_void, *mut c_void, usize),
    log: Option<unsafe extern "C" fn(*mut c_void, *const c_char)>,
    arg: *mut c_void,
}

impl Host {
    /// # Safety
    /// The functions do what the header says of them, as long as this value, or a copy, is used.
    pub unsafe fn new(host: &abi::Host) -> Result<Self, Fault> {
        let random = host.random.ok_or(Fault::Null)?;
        Ok(Self { random, log: host.log, arg: host.arg })
    }

    /// Hands the log a line.
    pub fn say(&self, text: fmt::Arguments<'_>) {
        if let Some(log) = self.log {
            let line = Line::new(text);
            // SAFETY: it takes a line that ends with a zero, by the contract of `new`.
            unsafe { log(self.arg, line.bytes().as_ptr().cast()) }
        }
    }

    fn array<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        self.fill(&mut bytes);
        bytes
    }

    fn fill(&self, bytes: &mut [u8]) {
        // SAFETY: it fills so many bytes, by the contract of `new`.
        unsafe { (self.random)(self.arg, bytes.as_mut_ptr().cast(), bytes.len()) }
    }
}

impl TryRng for Host {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_ne_bytes(self.array()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_ne_bytes(self.array()))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.fill(bytes);
        Ok(())
    }
}

impl TryCryptoRng for Host {}
