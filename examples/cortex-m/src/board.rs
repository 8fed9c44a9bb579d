//! Arm's MPS2 as QEMU has it (`mps2-an385`, `mps2-an386`): the time, and the host by semihosting.

use core::sync::atomic::{AtomicU32, Ordering};

use chacha20::ChaCha20Rng;
use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;
use cortex_m_semihosting::syscall;
use ike_core::Instant;
use rand_core::SeedableRng;

const HZ: u32 = 25_000_000;

/// Milliseconds since the clock was started. They wrap after 49 days.
static TICKS: AtomicU32 = AtomicU32::new(0);

#[exception]
fn SysTick() {
    // Nobody else writes it, and a Cortex-M0 cannot add atomically.
    TICKS.store(TICKS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

/// Milliseconds that do not wrap, as long as somebody asks once in 49 days.
#[derive(Debug)]
pub struct Clock {
    last: u32,
    wraps: u64,
}

impl Clock {
    /// Starts the timer, which wakes the processor every millisecond.
    pub fn start(mut timer: SYST) -> Self {
        timer.set_clock_source(SystClkSource::Core);
        timer.set_reload(HZ / 1000 - 1);
        timer.clear_current();
        timer.enable_counter();
        timer.enable_interrupt();
        Self { last: 0, wraps: 0 }
    }

    /// The time of both crates.
    pub fn now(&mut self) -> Instant {
        let ticks = TICKS.load(Ordering::Relaxed);
        self.wraps += u64::from(ticks < self.last);
        self.last = ticks;
        Instant::from_millis(self.wraps << 32 | u64::from(ticks))
    }
}

/// A generator seeded by the host's `/dev/urandom`: this board has no source of random numbers. One that has none
/// whatsoever cannot have a VPN either, for all keys follow from them.
pub fn random() -> Option<ChaCha20Rng> {
    const READ_BINARY: usize = 1;
    let path = c"/dev/urandom";
    let mut seed = [0_u8; 32];
    // SAFETY: the host reads the path, and nothing else.
    let file = unsafe { syscall!(OPEN, path.as_ptr(), READ_BINARY, path.count_bytes()) };
    // SAFETY: the host writes at most as many bytes as the third argument says, and `seed` has them.
    let missing = unsafe { syscall!(READ, file, seed.as_mut_ptr(), seed.len()) };
    (file != usize::MAX && missing == 0).then(|| ChaCha20Rng::from_seed(seed))
}

/// How much of the stack has ever been used.
pub mod stack {
    use core::ptr::{addr_of, addr_of_mut};

    const PAINT: u32 = 0xA5A5_5A5A;
    /// Below this distance from the stack pointer nothing of the painter's own is.
    const OWN: usize = 256;

    unsafe extern "C" {
        static mut __sheap: u32;
        static _stack_start: u32;
    }

    /// Marks all memory between the statics and the stack.
    pub fn paint() {
        let end = cortex_m::register::msp::read() as usize - OWN;
        let mut at = addr_of_mut!(__sheap);
        while (at as usize) < end {
            // SAFETY: between the end of the statics and the stack is memory that nothing uses; there is no heap.
            unsafe {
                at.write_volatile(PAINT);
                at = at.add(1);
            }
        }
    }

    /// Bytes of it that were overwritten since.
    #[must_use]
    pub fn used() -> usize {
        let top = addr_of!(_stack_start) as usize;
        let mut at = addr_of!(__sheap);
        // SAFETY: aligned words of memory, from the end of the statics to the beginning of the stack.
        while (at as usize) < top && unsafe { at.read_volatile() } == PAINT {
            at = at.wrapping_add(1);
        }
        top - at as usize
    }
}
