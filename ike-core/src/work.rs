//! Diffie-Hellman outside of message handling: in slices by [`Endpoint::handle_work`], or taken out as a [`Job`] for
//! another core, an accelerator, a secure element.

use zeroize::{Zeroize, Zeroizing};

use crate::crypto::{DhError, DhGroup, MAX_PUBLIC_LEN, WorkMemory};
use crate::endpoint::{Context, Endpoint};
use crate::error::ApiError;
use crate::exchange::state::{DhWork, Private, Span};

/// Whether there is more to compute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Work {
    /// Nothing is waiting.
    Idle,
    /// The budget is used up and something is waiting.
    More,
}

/// The computation that is in the work area.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WorkState {
    current: Option<Current>,
}

#[derive(Clone, Copy, Debug)]
struct Current {
    exchange: u16,
    serial: u32,
    /// The shared secret is being computed; before that, our public value.
    shared: bool,
}

impl WorkState {
    pub(crate) fn is_of(&self, exchange: u16) -> bool {
        self.current.is_some_and(|current| current.exchange == exchange)
    }

    pub(crate) fn clear(&mut self) {
        self.current = None;
    }
}

/// A Diffie-Hellman operation to be done elsewhere, with all that it needs. [`Job::run`] does it in software.
#[must_use = "the exchange waits until the job's result comes back, or `Job::fail`'s"]
pub struct Job {
    exchange: u16,
    serial: u32,
    work: DhWork,
    group: &'static dyn DhGroup,
    private: Private,
    peer_public: [u8; MAX_PUBLIC_LEN],
    peer_public_len: usize,
}

impl core::fmt::Debug for Job {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Job").field("group", &self.group.id()).finish_non_exhaustive()
    }
}

/// What came of a [`Job`].
pub struct JobResult {
    exchange: u16,
    serial: u32,
    public: [u8; MAX_PUBLIC_LEN],
    public_len: usize,
    shared: Zeroizing<[u8; MAX_PUBLIC_LEN]>,
    shared_len: usize,
    error: Option<DhError>,
}

impl core::fmt::Debug for JobResult {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("JobResult").field("error", &self.error).finish_non_exhaustive()
    }
}

impl Job {
    /// The group.
    #[must_use]
    pub fn group(&self) -> &'static dyn DhGroup {
        self.group
    }

    /// Our private value.
    #[must_use]
    pub fn private(&self) -> &[u8] {
        self.private.as_slice()
    }

    /// Whether our public value is wanted.
    #[must_use]
    pub const fn wants_public(&self) -> bool {
        self.work.public.is_some()
    }

    /// The peer's public value, checked, if the shared secret is wanted.
    #[must_use]
    pub fn peer_public(&self) -> Option<&[u8]> {
        self.work.peer_public?;
        self.peer_public.get(..self.peer_public_len)
    }

    /// Computes, in one go.
    #[must_use]
    pub fn run(self) -> JobResult {
        let mut memory = WorkMemory::new();
        let mut result = self.result();
        if self.wants_public() {
            match compute(self.group, &mut memory, self.private(), None, &mut result.public) {
                Ok(len) => result.public_len = len,
                Err(error) => result.error = Some(error),
            }
        }
        if let Some(peer_public) = self.peer_public() {
            let out = &mut *result.shared;
            match compute(self.group, &mut memory, self.private(), Some(peer_public), out) {
                Ok(len) => result.shared_len = len,
                Err(error) => result.error = Some(error),
            }
        }
        result
    }

    /// The result as computed by somebody else: public value and shared secret, big endian, each empty unless wanted.
    ///
    /// # Errors
    ///
    /// The job, if a length is not the group's.
    #[expect(clippy::result_large_err, reason = "the job is handed back, and there is no heap")]
    pub fn complete(self, public: &[u8], shared: &[u8]) -> Result<JobResult, Self> {
        let public_len = if self.wants_public() { self.group.public_len() } else { 0 };
        let shared_len = if self.peer_public().is_some() { self.group.shared_len() } else { 0 };
        if public.len() != public_len || shared.len() != shared_len {
            return Err(self);
        }
        let mut result = self.result();
        let places = (result.public.get_mut(..public_len), result.shared.get_mut(..shared_len));
        if let (Some(public_place), Some(shared_place)) = places {
            public_place.copy_from_slice(public);
            shared_place.copy_from_slice(shared);
        }
        (result.public_len, result.shared_len) = (public_len, shared_len);
        Ok(result)
    }

    /// That it cannot be done: an accelerator is out of order, say. The exchange fails.
    #[must_use]
    pub fn fail(self) -> JobResult {
        let mut result = self.result();
        result.error = Some(DhError::NotBegun);
        result
    }

    fn result(&self) -> JobResult {
        JobResult {
            exchange: self.exchange,
            serial: self.serial,
            public: [0; MAX_PUBLIC_LEN],
            public_len: 0,
            shared: Zeroizing::new([0; MAX_PUBLIC_LEN]),
            shared_len: 0,
            error: None,
        }
    }
}

fn compute(
    group: &dyn DhGroup,
    memory: &mut WorkMemory,
    private: &[u8],
    peer_public: Option<&[u8]>,
    out: &mut [u8],
) -> Result<usize, DhError> {
    group.begin(memory, private, peer_public)?;
    while !group.step(memory, u32::MAX).done {}
    group.finish(memory, out)
}

impl Endpoint<'_> {
    /// Computes for about `budget` modular multiplications: a MODP-2048 operation has about 330, an elliptic curve is
    /// done at once whatever the budget. Call it until it says [`Work::Idle`]; give it `u32::MAX` where time does not
    /// matter.
    pub fn handle_work(&mut self, cx: &mut Context<'_>, budget: u32) -> Work {
        let mut left = budget;
        loop {
            let Some(current) = self.current_work(cx) else { return Work::Idle };
            let group = self
                .store
                .exchanges
                .get(current.exchange)
                .and_then(|exchange| exchange.work)
                .and_then(|work| cx.config.crypto.group(work.group));
            let Some(group) = group else {
                self.finish_work(cx, current, Err(DhError::NotBegun));
                continue;
            };
            let step = group.step(self.store.work, left.max(1));
            left = left.saturating_sub(step.used.max(1));
            if step.done {
                let mut out = Zeroizing::new([0; MAX_PUBLIC_LEN]);
                let result = group
                    .finish(self.store.work, &mut *out)
                    .map(|len| out.get(..len).unwrap_or_default());
                self.finish_work(cx, current, result);
            }
            if left == 0 {
                let idle = self.work.current.is_none() && self.store.work_queue.front().is_none();
                return if idle { Work::Idle } else { Work::More };
            }
        }
    }

    /// The computation in the work area, or the next one, begun.
    fn current_work(&mut self, cx: &mut Context<'_>) -> Option<Current> {
        if let Some(current) = self.work.current {
            if self.store.exchanges.is(current.exchange, current.serial) {
                return Some(current);
            }
            self.work.clear();
            self.store.work.zeroize();
        }
        while let Some(index) = self.store.work_queue.pop() {
            let Some(serial) = self.store.exchanges.serial(index) else { continue };
            let Some(work) = self.store.exchanges.get(index).and_then(|exchange| exchange.work)
            else {
                continue;
            };
            let current = Current { exchange: index, serial, shared: work.public.is_none() };
            self.work.current = Some(current);
            match self.begin_computation(cx, current, work) {
                Ok(()) => return Some(current),
                Err(error) => {
                    self.work.clear();
                    self.work_failed(cx, index, error);
                }
            }
        }
        None
    }

    fn begin_computation(
        &mut self,
        cx: &Context<'_>,
        current: Current,
        work: DhWork,
    ) -> Result<(), DhError> {
        let group = cx.config.crypto.group(work.group).ok_or(DhError::NotBegun)?;
        let exchange = self.store.exchanges.get(current.exchange).ok_or(DhError::NotBegun)?;
        let held = self.store.buffers.held(current.exchange);
        let peer_public = work.peer_public.filter(|_| current.shared).map(|span| span.of(held));
        group.begin(self.store.work, exchange.private.as_slice(), peer_public)
    }

    /// One result is there: our public value goes among the held bodies, the shared secret ends the work.
    fn finish_work(
        &mut self,
        cx: &mut Context<'_>,
        current: Current,
        result: Result<&[u8], DhError>,
    ) {
        self.work.clear();
        let index = current.exchange;
        let work = self.store.exchanges.get(index).and_then(|exchange| exchange.work);
        let (Ok(value), Some(work)) = (result, work) else {
            return self.work_failed(cx, index, result.err().unwrap_or(DhError::NotBegun));
        };
        if current.shared {
            return self.work_done(cx, index, value);
        }
        self.store_public(index, work.public, value);
        if work.peer_public.is_none() {
            return self.work_done(cx, index, &[]);
        }
        let next = Current { shared: true, ..current };
        self.work.current = Some(next);
        if let Err(error) = self.begin_computation(cx, next, work) {
            self.work.clear();
            self.work_failed(cx, index, error);
        }
    }

    fn store_public(&mut self, index: u16, place: Option<Span>, value: &[u8]) {
        let held = self.store.buffers.held_mut(index);
        if let Some(place) = place.map(|span| span.of_mut(held))
            && place.len() == value.len()
        {
            place.copy_from_slice(value);
        }
    }

    /// Takes a waiting operation out, to be computed elsewhere and handed back to [`Self::complete_work`]. The exchange
    /// waits for it as long as it takes, its timers stopped: one that cannot be done must come back too, by [`Job::fail`].
    pub fn take_work(&mut self, cx: &mut Context<'_>) -> Option<Job> {
        while let Some(index) = self.store.work_queue.pop() {
            let Some(serial) = self.store.exchanges.serial(index) else { continue };
            let Some(exchange) = self.store.exchanges.get(index) else { continue };
            let Some(work) = exchange.work else { continue };
            let Some(group) = cx.config.crypto.group(work.group) else {
                self.work_failed(cx, index, DhError::NotBegun);
                continue;
            };
            let mut private = Private::empty();
            private.bytes = exchange.private.bytes;
            private.len = exchange.private.len;
            let held = self.store.buffers.held(index);
            let value = work.peer_public.map_or(&[][..], |span| span.of(held));
            let mut peer_public = [0; MAX_PUBLIC_LEN];
            if let Some(place) = peer_public.get_mut(..value.len()) {
                place.copy_from_slice(value);
            }
            let peer_public_len = value.len();
            return Some(Job {
                exchange: index,
                serial,
                work,
                group,
                private,
                peer_public,
                peer_public_len,
            });
        }
        None
    }

    /// Goes on with an exchange whose [`Job`] is done.
    ///
    /// # Errors
    ///
    /// [`ApiError::Stale`] if the exchange is gone: it was deleted, or made room for another.
    pub fn complete_work(
        &mut self,
        cx: &mut Context<'_>,
        result: JobResult,
    ) -> Result<(), ApiError> {
        let index = result.exchange;
        if !self.store.exchanges.is(index, result.serial) {
            return Err(ApiError::Stale);
        }
        let exchange = self.store.exchanges.get(index).ok_or(ApiError::Stale)?;
        let work = exchange.work.ok_or(ApiError::Stale)?;
        if let Some(error) = result.error {
            self.work_failed(cx, index, error);
            return Ok(());
        }
        let expected = (work.public.is_some(), work.peer_public.is_some());
        if expected != (result.public_len > 0, result.shared_len > 0) {
            return Err(ApiError::Stale);
        }
        self.store_public(
            index,
            work.public,
            result.public.get(..result.public_len).unwrap_or_default(),
        );
        self.work_done(cx, index, result.shared.get(..result.shared_len).unwrap_or_default());
        Ok(())
    }
}
