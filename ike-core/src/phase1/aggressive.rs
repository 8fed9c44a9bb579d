//! Aggressive mode: RFC 2409 §5.4.

use crate::endpoint::{Context, Endpoint, Path};
use crate::error::{Discard, Error, Refusal};
use crate::wire::Header;

/// What aggressive mode waits for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum AggressiveMode {}

impl Endpoint<'_> {
    pub(crate) fn aggressive_first(
        &mut self,
        _: &mut Context<'_>,
        _: Path,
        _: &Header,
        _: &[u8],
        _: u64,
        _: u64,
    ) -> Result<(), Error> {
        Err(Refusal::AggressiveMode.into())
    }

    pub(crate) fn aggressive_message(
        &mut self,
        _: &mut Context<'_>,
        _: Path,
        _: u16,
        state: AggressiveMode,
        _: &Header,
        _: &mut [u8],
    ) -> Result<(), Discard> {
        match state {}
    }

    pub(crate) fn aggressive_computed(
        &mut self,
        _: &mut Context<'_>,
        _: u16,
        state: AggressiveMode,
        _: &[u8],
    ) -> Result<(), Error> {
        match state {}
    }
}
