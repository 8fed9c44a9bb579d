//! What lies in a `struct ipsec`, and who may touch it when. All that is unsafe about memory is in this file and in
//! [`crate::abi`].

use core::mem::MaybeUninit;
use core::ptr::{addr_of, addr_of_mut};

use esp_core::{Processor, Settings, Tables};
use ike_core::{Endpoint, Resources};

use crate::abi::Fault;
use crate::abi::header::{
    IPSEC_MAX_EXCHANGES, IPSEC_MAX_FLOWS, IPSEC_MAX_MESSAGE, IPSEC_MAX_POLICIES, IPSEC_SIZE_32,
    IPSEC_SIZE_64,
};
use crate::config::SIZES;
use crate::host::Host;
use crate::router::Router;

type Keying =
    Resources<{ SIZES.ike_sas }, IPSEC_MAX_EXCHANGES, { SIZES.child_sas }, IPSEC_MAX_MESSAGE>;
type DataPlane = Tables<IPSEC_MAX_POLICIES, { SIZES.child_sas }, IPSEC_MAX_FLOWS>;

/// The content of a `struct ipsec`.
///
/// While it is open `router` borrows from `keying` and `data_plane`: nobody else touches those, and no reference to
/// the whole is made.
#[repr(C)]
pub struct Memory {
    state: u32,
    router: MaybeUninit<Router<'static>>,
    keying: Keying,
    data_plane: DataPlane,
}

// The values of `state`. Memory that was never initialised will hardly hold one of the latter two.
const CLOSED: u32 = 0;
const OPEN: u32 = 0x4950_7365;
const BUSY: u32 = 0x6275_7379;

/// What the header says that it takes.
const SIZE: usize = if cfg!(target_pointer_width = "64") { IPSEC_SIZE_64 } else { IPSEC_SIZE_32 };

/// Bytes that are needed and are not there: if the compiler found an array of another length than 0 here, that is what
/// `IPSEC_SIZE_32` or `IPSEC_SIZE_64` of the header must be.
const _: [(); 0] = [(); NEEDED * (NEEDED > SIZE) as usize];
const NEEDED: usize = size_of::<Memory>();
const _: () = assert!(align_of::<Memory>() <= 16, "IPSEC_ALIGNED of the header is too small");
const _: () = assert!(SIZE.is_multiple_of(16), "C would round it up");

/// Opens `memory`, and closes it again if `configure` fails.
///
/// # Safety
/// `memory` is null or points to `size` bytes that nothing else uses during the call, nor moves or changes until it is
/// closed.
pub unsafe fn open(
    memory: *mut Memory,
    size: usize,
    mut host: Host,
    configure: impl FnOnce(&mut Router<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    if memory.is_null() {
        return Err(Fault::Null);
    }
    if size != SIZE || !memory.is_aligned() {
        return Err(Fault::Size);
    }
    // SAFETY: `SIZE` bytes, which a `Memory` does not exceed, by this function's contract.
    unsafe { wipe(memory) };
    // SAFETY: aligned and in bounds. Zeros are the value of both types that nothing uses yet: their documentation
    // promises it, and `.ci/no-std.sh` sees it in `.bss`. No other reference to them exists or, until `close` has
    // dropped the router, will; so `'static` is not longer than they live.
    let (keying, data_plane): (&'static mut Keying, &'static mut DataPlane) =
        unsafe { (&mut *addr_of_mut!((*memory).keying), &mut *addr_of_mut!((*memory).data_plane)) };
    let endpoint = Endpoint::new(keying.storage(), &mut host).map_err(|_| Fault::Size)?;
    let processor = Processor::new(data_plane, Settings::DEFAULT);
    // SAFETY: aligned and in bounds; no reference to it exists.
    let router = unsafe { &mut *addr_of_mut!((*memory).router) };
    let router = router.write(Router::new(endpoint, processor, host));
    // From here on callbacks may be called, and find it busy.
    // SAFETY: aligned and in bounds; no reference to it exists.
    unsafe { addr_of_mut!((*memory).state).write(BUSY) };
    let configured = configure(router);
    // SAFETY: as above.
    unsafe { addr_of_mut!((*memory).state).write(OPEN) };
    if configured.is_err() {
        // SAFETY: it has just been opened.
        unsafe { close(memory) }?;
    }
    configured
}

/// Calls `call` with the router in `memory`, which is open and not in a call already.
///
/// # Safety
/// `memory` is null, or what [`open`] was called with, or zeros; nothing else uses it during the call.
pub unsafe fn enter<R>(
    memory: *mut Memory,
    call: impl FnOnce(&mut Router<'static>) -> R,
) -> Result<R, Fault> {
    // SAFETY: by this function's contract.
    unsafe { check(memory) }?;
    // SAFETY: `check` has found it in order. It is not entered twice, so no other reference to the router exists; it is
    // initialised while the state is OPEN.
    let router = unsafe {
        addr_of_mut!((*memory).state).write(BUSY);
        (*addr_of_mut!((*memory).router)).assume_init_mut()
    };
    let result = call(router);
    // SAFETY: as above.
    unsafe { addr_of_mut!((*memory).state).write(OPEN) };
    Ok(result)
}

/// Ends what is in `memory`, and leaves zeros.
///
/// # Safety
/// As for [`enter`].
pub unsafe fn close(memory: *mut Memory) -> Result<(), Fault> {
    // SAFETY: by this function's contract.
    unsafe { check(memory) }?;
    // SAFETY: `check` has found it in order: the router is initialised, and no reference to it exists. Behind it nothing
    // borrows from the memory any more.
    unsafe {
        addr_of_mut!((*memory).state).write(CLOSED);
        (*addr_of_mut!((*memory).router)).assume_init_drop();
        wipe(memory);
    }
    Ok(())
}

/// Whether `memory` is open and not in a call.
///
/// # Safety
/// As for [`enter`].
unsafe fn check(memory: *mut Memory) -> Result<(), Fault> {
    if memory.is_null() {
        return Err(Fault::Null);
    }
    if !memory.is_aligned() {
        return Err(Fault::Size);
    }
    // SAFETY: aligned, and initialised by this function's contract.
    match unsafe { addr_of!((*memory).state).read() } {
        OPEN => Ok(()),
        BUSY => Err(Fault::Busy),
        _ => Err(Fault::Closed),
    }
}

/// Zeros, and no optimiser may think that nobody will look.
///
/// # Safety
/// `memory` is aligned and points to `SIZE` bytes that nothing refers to.
unsafe fn wipe(memory: *mut Memory) {
    let words = memory.cast::<u64>();
    for at in 0..const { SIZE / size_of::<u64>() } {
        // SAFETY: within the `SIZE` bytes; a `Memory` is aligned at least as a `u64` is.
        unsafe { words.add(at).write_volatile(0) };
    }
}
