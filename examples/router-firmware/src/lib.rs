//! `ike-core` and `esp-core` behind the C interface of [`include/ipsec.h`](../include/ipsec.h), which is its
//! documentation. `no_std`, no heap, no statics.
//!
//! | file | what |
//! |---|---|
//! | `lib.rs` | the functions, each a few lines: check what C handed over, call the router |
//! | `abi.rs` | the header's structures and numbers |
//! | `memory.rs` | what lies in a `struct ipsec` |
//! | `config.rs` | the configuration; which algorithms are linked |
//! | `router.rs` | both engines, and the loop between them |
//! | `host.rs`, `text.rs` | callbacks, lines of text |
//!
//! The crates below are free of `unsafe`; here it takes pointers for what the header says they are, and each use says
//! why that is right. No panic is known that a caller or the network could reach. Should there be one all the same, it
//! calls `abort()`, which a firmware without a C library defines: to restart the device, as its watchdog would.
#![no_std]
#![allow(clippy::missing_safety_doc, reason = "the header says what is to be handed over")]

mod abi;
mod config;
mod host;
mod memory;
mod router;
mod text;

use core::ffi::{c_char, c_int};
use core::ptr::null;

use esp_core::{Arrival, PacketBuf, too_big_reply};

use abi::{Answer, Fault, array, array_mut, borrow, borrow_mut, code};
use host::Host;
use memory::{Memory, close, enter, open};
use router::{Router, Verdict};

pub use abi::ipsec_layout;

/// See the header.
#[unsafe(no_mangle)]
pub extern "C" fn ipsec_strerror(error: c_int) -> *const c_char {
    const FAULTS: [Fault; 9] = [
        Fault::Null,
        Fault::Size,
        Fault::Closed,
        Fault::Busy,
        Fault::Buffer,
        Fault::Config,
        Fault::Full,
        Fault::Unknown,
        Fault::Address,
    ];
    let fault = FAULTS.into_iter().find(|fault| *fault as c_int == error);
    fault.map_or(c"no error", text::fault).as_ptr()
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_init(
    ipsec: *mut Memory,
    size: usize,
    host: *const abi::Host,
    config: *const abi::Config,
) -> c_int {
    let opened = || {
        // SAFETY: the header wants valid pointers, or null, which is found.
        let (host, config) = unsafe { (Host::new(borrow(host)?)?, borrow(config)?) };
        // SAFETY: the header wants memory of `size` bytes that stays where it is, and what `config` points to.
        unsafe { open(ipsec, size, host, |router| router.configure(config).map(drop)) }?;
        Ok(Answer::Done)
    };
    code(opened())
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_configure(ipsec: *mut Memory, config: *const abi::Config) -> c_int {
    // SAFETY: the header wants valid pointers, or null, which is found.
    let result = unsafe { enter(ipsec, |router| router.configure(borrow(config)?)) };
    code(result.flatten())
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_close(ipsec: *mut Memory) -> c_int {
    // SAFETY: the header wants memory that ipsec_init() has seen, or zeros.
    code(unsafe { close(ipsec) }.map(|()| Answer::Done))
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_packet_out(
    ipsec: *mut Memory,
    now: u64,
    packet: *mut abi::Packet,
) -> c_int {
    // SAFETY: the header says what both are.
    unsafe { with_packet(ipsec, packet, |router, packet| router.packet_out(now, packet)) }
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_packet_in(
    ipsec: *mut Memory,
    now: u64,
    packet: *mut abi::Packet,
) -> c_int {
    // SAFETY: the header says what both are.
    unsafe {
        with_packet(ipsec, packet, |router, packet| router.packet_in(now, packet, Arrival::Ip))
    }
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_datagram_in(
    ipsec: *mut Memory,
    now: u64,
    path: *const abi::Path,
    datagram: *mut abi::Packet,
) -> c_int {
    // SAFETY: the header wants a valid pointer, or null, which is found.
    match unsafe { borrow(path) }.and_then(config::path) {
        // SAFETY: the header says what both are.
        Ok(path) => unsafe {
            with_packet(ipsec, datagram, |router, packet| router.datagram_in(now, path, packet))
        },
        Err(fault) => code(Err(fault)),
    }
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_too_big(
    packet: *const abi::Packet,
    own: *const abi::Address,
    reply: *mut u8,
    size: usize,
) -> usize {
    let write = || {
        // SAFETY: the header wants valid pointers, or null, which is found.
        let (packet, own) = unsafe { (borrow(packet)?, borrow(own)?) };
        let end = packet.offset.checked_add(packet.length).ok_or(Fault::Buffer)?;
        // SAFETY: the header says that the buffer is `size` bytes long.
        let buffer = unsafe { array(packet.buffer, packet.size) }?;
        let bytes = buffer.get(packet.offset..end).ok_or(Fault::Buffer)?;
        // SAFETY: the header says that the reply is `size` bytes long, and nobody else's.
        let reply = unsafe { array_mut(reply, size) }?;
        Ok::<_, Fault>(too_big_reply(bytes, packet.mtu, config::address(own)?, reply))
    };
    write().ok().flatten().unwrap_or_default()
}

/// Lends a packet of C's to the router and writes back where it lies then.
///
/// # Safety
/// `ipsec` is as [`enter`] wants it; `packet` is null or a packet whose `buffer` is null or `size` bytes long.
unsafe fn with_packet(
    ipsec: *mut Memory,
    packet: *mut abi::Packet,
    call: impl FnOnce(&mut Router<'_>, &mut PacketBuf<'_>) -> Verdict,
) -> c_int {
    // SAFETY: by this function's contract.
    let result = unsafe {
        enter(ipsec, |router| {
            let packet = borrow_mut(packet)?;
            let buffer = array_mut(packet.buffer, packet.size)?;
            let end = packet.offset.checked_add(packet.length).ok_or(Fault::Buffer)?;
            let mut inner = PacketBuf::new(buffer, packet.offset..end).ok_or(Fault::Buffer)?;
            let verdict = call(router, &mut inner);
            (packet.offset, packet.length) = (inner.range().start, inner.len());
            packet.mtu = verdict.mtu;
            packet.why = verdict.why.map_or(null(), |reason| text::why(reason).as_ptr());
            Ok(verdict.answer)
        })
    };
    code(result.flatten())
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_poll(ipsec: *mut Memory, datagram: *mut abi::Datagram) -> c_int {
    // SAFETY: the header says what both are.
    unsafe { hand_out(ipsec, datagram, Router::poll) }
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_event(
    ipsec: *mut Memory,
    now: u64,
    event: *mut abi::Event,
) -> c_int {
    // SAFETY: the header says what both are.
    unsafe { hand_out(ipsec, event, |router| router.event(now)) }
}

/// Writes what `next` gives to `place`.
///
/// # Safety
/// `ipsec` is as [`enter`] wants it; `place` is null or may be written.
unsafe fn hand_out<T>(
    ipsec: *mut Memory,
    place: *mut T,
    next: impl FnOnce(&mut Router<'static>) -> Option<T>,
) -> c_int {
    if place.is_null() {
        return code(Err(Fault::Null));
    }
    if !place.is_aligned() {
        return code(Err(Fault::Size));
    }
    // SAFETY: by this function's contract.
    code(unsafe { enter(ipsec, next) }.map(|next| match next {
        Some(value) => {
            // SAFETY: not null, aligned, and to be written by this function's contract.
            unsafe { place.write(value) };
            Answer::More
        }
        None => Answer::Done,
    }))
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_deadline(ipsec: *const Memory) -> u64 {
    // SAFETY: the header wants memory that ipsec_init() has seen, or zeros. Nothing of it changes but who is in it.
    unsafe { enter(ipsec.cast_mut(), |router| router.deadline()) }.unwrap_or(u64::MAX)
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_timeout(ipsec: *mut Memory, now: u64) -> c_int {
    // SAFETY: the header wants memory that ipsec_init() has seen, or zeros.
    code(unsafe { enter(ipsec, |router| router.timeout(now)) }.map(|()| Answer::Done))
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_work(ipsec: *mut Memory, now: u64, budget: u32) -> c_int {
    // SAFETY: the header wants memory that ipsec_init() has seen, or zeros.
    code(unsafe { enter(ipsec, |router| router.work(now, budget)) })
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_start(ipsec: *mut Memory, now: u64, child: u32) -> c_int {
    // SAFETY: the header wants memory that ipsec_init() has seen, or zeros.
    code(unsafe { enter(ipsec, |router| router.start(now, child)) }.flatten())
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_renew(ipsec: *mut Memory, now: u64, child: u32) -> c_int {
    // SAFETY: the header wants memory that ipsec_init() has seen, or zeros.
    code(unsafe { enter(ipsec, |router| router.renew(now, child)) }.flatten())
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_stop(ipsec: *mut Memory, now: u64, peer: u32) -> c_int {
    // SAFETY: the header wants memory that ipsec_init() has seen, or zeros.
    code(unsafe { enter(ipsec, |router| router.stop(now, peer)) }.flatten())
}

/// See the header.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ipsec_stats(ipsec: *const Memory, stats: *mut abi::Stats) -> c_int {
    // SAFETY: the header says what both are. Of the memory nothing changes but who is in it.
    let result = unsafe {
        enter(ipsec.cast_mut(), |router| {
            *borrow_mut(stats)? = router.stats();
            Ok(Answer::Done)
        })
    };
    code(result.flatten())
}

unsafe extern "C" {
    safe fn abort() -> !;
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    abort()
}
