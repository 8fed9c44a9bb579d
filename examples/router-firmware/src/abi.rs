//! `include/ipsec.h` as Rust sees it. Its numbers come from the header itself; its structures are written down twice,
//! and [`ipsec_layout`] lets a C test compare them field by field.

use core::ffi::{c_char, c_int, c_void};
use core::mem::offset_of;

/// The numbers of the header, by `build.rs`.
#[allow(missing_docs, dead_code, reason = "all of the header, needed here or not")]
pub mod header {
    include!(concat!(env!("OUT_DIR"), "/header.rs"));
}

use header::{IPSEC_MAX_PROPOSALS, IPSEC_MAX_TEXT};

/// Declares structures as C lays them out, and the table of their sizes and offsets.
macro_rules! structures {
    ($($name:ident { $($field:ident: $type:ty,)* })*) => {
        $(
            #[allow(missing_docs, reason = "see the header")]
            #[derive(Clone, Copy)]
            #[repr(C)]
            pub struct $name {
                $(pub $field: $type,)*
            }
        )*

        const LAYOUT: &[Place] = &[
            $(
                Place::new("sizeof", size_of::<$name>()),
                $(Place::new(stringify!($field), offset_of!($name, $field)),)*
            )*
            Place::new("", 0),
        ];
    };
}

structures! {
    Address { family: u8, bytes: [u8; 16], }
    Path { local: Address, remote: Address, local_port: u16, remote_port: u16, }
    IkeProposal { cipher: u8, hash: u8, group: u8, }
    EspProposal { cipher: u8, hash: u8, esn: u8, }
    Selectors {
        local: Address,
        local_prefix: u8,
        remote: Address,
        remote_prefix: u8,
        protocol: u8,
        local_port: u16,
        remote_port: u16,
    }
    Identity { kind: u8, data: *const c_void, length: usize, }
    Peer {
        id: u32,
        local: Address,
        remote: Address,
        local_id: Identity,
        remote_id: Identity,
        psk: *const c_void,
        psk_length: usize,
        proposals: [IkeProposal; IPSEC_MAX_PROPOSALS],
        lifetime_seconds: u32,
        dpd_seconds: u16,
        nat_traversal: u8,
    }
    Child {
        id: u32,
        peer: u32,
        selectors: Selectors,
        proposals: [EspProposal; IPSEC_MAX_PROPOSALS],
        lifetime_seconds: u32,
        lifetime_kilobytes: u32,
        replay_window: u16,
        mode: u8,
        pfs: u8,
    }
    Policy { action: u8, child: u32, selectors: Selectors, }
    Config {
        peers: *const Peer,
        peer_count: usize,
        children: *const Child,
        child_count: usize,
        policies: *const Policy,
        policy_count: usize,
        path_mtu: u16,
    }
    Host {
        random: Option<unsafe extern "C" fn(arg: *mut c_void, bytes: *mut c_void, length: usize)>,
        log: Option<unsafe extern "C" fn(arg: *mut c_void, line: *const c_char)>,
        arg: *mut c_void,
    }
    Packet {
        buffer: *mut u8,
        size: usize,
        offset: usize,
        length: usize,
        mtu: u16,
        why: *const c_char,
    }
    Datagram { path: Path, data: *const u8, length: usize, }
    Event {
        kind: u32,
        peer: u32,
        child: u32,
        spi_in: u32,
        spi_out: u32,
        text: [u8; IPSEC_MAX_TEXT],
    }
    Stats {
        sealed: u64,
        opened: u64,
        passed: u64,
        held: u64,
        dropped: u64,
        ike_sas: u32,
        child_sas: u32,
        exchanges: u32,
    }
}

/// Each structure's size and its fields' offsets, in the order in which they stand here, and an empty name at the end.
/// For `tests/layout.c`; no part of the interface, and no firmware that does not name it links it.
#[unsafe(no_mangle)]
#[allow(non_upper_case_globals, reason = "a name of C")]
pub static ipsec_layout: [Place; LAYOUT.len()] = {
    let mut table = [Place::new("", 0); LAYOUT.len()];
    table.copy_from_slice(LAYOUT);
    table
};

/// A line of it.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Place {
    name: [u8; 24],
    bytes: usize,
}

impl Place {
    const fn new(field: &str, bytes: usize) -> Self {
        let mut name = [0; 24];
        // A name too long for it does not compile.
        name.split_at_mut(field.len()).0.copy_from_slice(field.as_bytes());
        Self { name, bytes }
    }
}

/// What a call that is in order answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs, reason = "see the header")]
pub enum Answer {
    Done = header::IPSEC_DONE,
    More = header::IPSEC_MORE,
    Send = header::IPSEC_SEND,
    Deliver = header::IPSEC_DELIVER,
    Pass = header::IPSEC_PASS,
    Hold = header::IPSEC_HOLD,
    TooBig = header::IPSEC_TOO_BIG,
    Drop = header::IPSEC_DROP,
}

/// What is wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs, reason = "see the header")]
pub enum Fault {
    Null = header::IPSEC_ERR_NULL,
    Size = header::IPSEC_ERR_SIZE,
    Closed = header::IPSEC_ERR_CLOSED,
    Busy = header::IPSEC_ERR_BUSY,
    Buffer = header::IPSEC_ERR_BUFFER,
    Config = header::IPSEC_ERR_CONFIG,
    Full = header::IPSEC_ERR_FULL,
    Unknown = header::IPSEC_ERR_UNKNOWN,
    Address = header::IPSEC_ERR_ADDRESS,
}

/// Both as C gets them.
pub fn code(result: Result<Answer, Fault>) -> c_int {
    match result {
        Ok(answer) => answer as c_int,
        Err(fault) => fault as c_int,
    }
}

/// What `pointer` points to, to be read.
///
/// # Safety
/// If it is not null it points to a `T` that stays as it is for `'a`.
pub unsafe fn borrow<'a, T>(pointer: *const T) -> Result<&'a T, Fault> {
    if !pointer.is_aligned() {
        return Err(Fault::Size);
    }
    // SAFETY: aligned, and valid or null by this function's contract.
    unsafe { pointer.as_ref() }.ok_or(Fault::Null)
}

/// The same, to be written.
///
/// # Safety
/// If it is not null it points to a `T` that nothing else uses for `'a`.
pub unsafe fn borrow_mut<'a, T>(pointer: *mut T) -> Result<&'a mut T, Fault> {
    if !pointer.is_aligned() {
        return Err(Fault::Size);
    }
    // SAFETY: aligned, and valid or null by this function's contract.
    unsafe { pointer.as_mut() }.ok_or(Fault::Null)
}

/// An array of C's: `count` may be zero, and only then the pointer null.
///
/// # Safety
/// If the pointer is not null it points to `count` values that stay as they are for `'a`.
pub unsafe fn array<'a, T>(pointer: *const T, count: usize) -> Result<&'a [T], Fault> {
    if !fits(pointer, count)? {
        return Ok(&[]);
    }
    // SAFETY: `fits` has checked what can be, the rest is this function's contract.
    Ok(unsafe { core::slice::from_raw_parts(pointer, count) })
}

/// The same, to be written.
///
/// # Safety
/// If the pointer is not null it points to `count` values that nothing else uses for `'a`.
pub unsafe fn array_mut<'a, T>(pointer: *mut T, count: usize) -> Result<&'a mut [T], Fault> {
    if !fits(pointer, count)? {
        return Ok(&mut []);
    }
    // SAFETY: `fits` has checked what can be, the rest is this function's contract.
    Ok(unsafe { core::slice::from_raw_parts_mut(pointer, count) })
}

/// Whether there is an array at all; a fault if it cannot be one.
fn fits<T>(pointer: *const T, count: usize) -> Result<bool, Fault> {
    if count == 0 {
        return Ok(false);
    }
    if pointer.is_null() {
        return Err(Fault::Null);
    }
    let bytes = count.checked_mul(size_of::<T>()).and_then(|bytes| isize::try_from(bytes).ok());
    if bytes.is_none() || !pointer.is_aligned() {
        return Err(Fault::Size);
    }
    Ok(true)
}
