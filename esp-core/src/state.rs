//! An SA across a restart.
//!
//! The host keeps the key manager's parameters, keys included, in its own safe place; what is exported here is what has
//! happened since: numbers, no secrets. Two things could go wrong, and both are ruled out by construction.
//!
//! *A number used twice.* An export of an outbound SA reserves a range of sequence numbers, and of IVs with them. The running SA
//! refuses to seal beyond the range until it is exported again; the imported one starts behind it.
//!
//! *A state used twice.* Every state carries a generation. The host stores the one it expects, raises it before it imports, and
//! so uses each state once.
//!
//! What a restored replay window cannot know are the packets received after its export: an attacker who recorded those can have them
//! accepted once more. A host that exports rarely imports with `skipped` above zero, which gives up as many
//! numbers: packets up to there count as seen.
//!
//! ```text
//! | "ESPo" or "ESPi" | version 1 | ESN | window | SPI | key, IV, ICV length | generation | number | bytes | packets | bits |
//!        4                1        1      2       4            4                 8           8       8        8     17 × 8
//! ```

use core::fmt;

use rand_core::CryptoRng;

use crate::replay::{ReplayWindow, WORDS};
use crate::sequence::SequenceNumber;
use crate::{Counters, InboundSa, OutboundSa, SaError, SaParams};

const OUTBOUND: [u8; 4] = *b"ESPo";
const INBOUND: [u8; 4] = *b"ESPi";
const VERSION: u8 = 1;
/// What both directions have, in bytes.
const COMMON: usize = 48;

/// Why a state is not imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// The parameters make no sense.
    Sa(SaError),
    /// It is no state of this direction, or has the wrong length or version.
    Format,
    /// It is of another SA: SPI, algorithms, ESN or window differ.
    OtherSa,
    /// It has another generation than the host expects: it is old, or was used.
    Generation,
    /// Its numbers are not possible.
    Numbers,
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sa(error) => error.fmt(f),
            Self::Format => f.write_str("not a state of an SA of this direction"),
            Self::OtherSa => f.write_str("the state of another SA"),
            Self::Generation => f.write_str("a state of another generation"),
            Self::Numbers => f.write_str("a state with impossible numbers"),
        }
    }
}

impl core::error::Error for StateError {}

impl From<SaError> for StateError {
    fn from(error: SaError) -> Self {
        Self::Sa(error)
    }
}

/// What a state says besides whose it is.
struct State {
    number: u64,
    counters: Counters,
}

impl OutboundSa {
    /// Length of a state in bytes.
    pub const STATE_LEN: usize = COMMON;

    /// The state for a restart. From now on the SA seals `reserve` more packets, and then none until it is exported again.
    pub fn export(&mut self, reserve: u64, generation: u64) -> [u8; Self::STATE_LEN] {
        let number = self.reserve(reserve);
        let a = &self.association;
        let whose = (a.spi.to_be_bytes(), a.esn, 0, lengths(a.transform));
        emit(OUTBOUND, whose, generation, &State { number, counters: self.counters() })
    }

    /// The SA of `params`, going on behind the numbers that `state` had reserved. All of them count as packets
    /// sent; how many bytes they had nobody knows.
    ///
    /// # Errors
    /// If `state` does not fit `params` and `generation` in every respect.
    pub fn import(
        params: SaParams,
        state: &[u8],
        generation: u64,
        rng: &mut dyn CryptoRng,
    ) -> Result<Self, StateError> {
        let whose = (params.spi.to_be_bytes(), params.esn, 0, lengths(params.transform));
        let state: &[u8; Self::STATE_LEN] = state.try_into().map_err(|_| StateError::Format)?;
        let mut state = parse(OUTBOUND, whose, generation, state)?;
        let mut sa = Self::new(params, rng)?;
        state.counters.packets = state.counters.packets.max(state.number);
        if !sa.restore(state.number, state.counters) {
            return Err(StateError::Numbers);
        }
        Ok(sa)
    }
}

impl InboundSa {
    /// Length of a state in bytes.
    pub const STATE_LEN: usize = COMMON + 8 * WORDS;

    /// The state for a restart.
    #[must_use]
    pub fn export(&self, generation: u64) -> [u8; Self::STATE_LEN] {
        let a = &self.association;
        let window = self.window();
        let whose = (a.spi.to_be_bytes(), a.esn, window.size(), lengths(a.transform));
        let state = State { number: window.newest(), counters: self.counters() };
        let common = emit(INBOUND, whose, generation, &state);
        let mut out = [0; Self::STATE_LEN];
        let bits = window.bits().iter().flat_map(|word| word.to_be_bytes());
        for (to, from) in out.iter_mut().zip(common.into_iter().chain(bits)) {
            *to = from;
        }
        out
    }

    /// The SA of `params` with the window of `state`. The `skipped` numbers behind its newest count as seen.
    ///
    /// # Errors
    /// If `state` does not fit `params` and `generation` in every respect.
    pub fn import(
        params: SaParams,
        state: &[u8],
        generation: u64,
        skipped: u64,
    ) -> Result<Self, StateError> {
        let whose =
            (params.spi.to_be_bytes(), params.esn, params.replay_window, lengths(params.transform));
        let (common, bits) = state.split_first_chunk::<COMMON>().ok_or(StateError::Format)?;
        if bits.len() != state.len().min(Self::STATE_LEN).saturating_sub(COMMON) {
            return Err(StateError::Format);
        }
        let parsed = parse(INBOUND, whose, generation, common)?;
        let mut words = [0; WORDS];
        let (bits, rest) = bits.as_chunks::<8>();
        if bits.len() != WORDS || !rest.is_empty() {
            return Err(StateError::Format);
        }
        for (word, bytes) in words.iter_mut().zip(bits) {
            *word = u64::from_be_bytes(*bytes);
        }
        let most = if params.esn { u64::MAX } else { u32::MAX.into() };
        let mut window = ReplayWindow::restored(params.replay_window, parsed.number, words)
            .filter(|_| parsed.number <= most)
            .ok_or(StateError::Numbers)?;
        window.skip(SequenceNumber(parsed.number.saturating_add(skipped).min(most)));
        let mut sa = Self::new(params)?;
        sa.restore(window, parsed.counters);
        Ok(sa)
    }
}

/// SPI, ESN, window and lengths: what must agree.
type Whose = ([u8; 4], bool, u16, [u8; 4]);

/// The lengths that tell transforms apart as far as they must fit the keys.
fn lengths(transform: crate::Transform) -> [u8; 4] {
    let byte = |len: usize| u8::try_from(len).unwrap_or(u8::MAX);
    let kind = match transform {
        crate::Transform::CbcHmac(..) => 1,
        crate::Transform::NullHmac(_) => 2,
        crate::Transform::Aead(_) => 3,
    };
    [kind, byte(transform.key_material_len()), byte(transform.iv_len()), byte(transform.icv_len())]
}

fn emit(magic: [u8; 4], whose: Whose, generation: u64, state: &State) -> [u8; COMMON] {
    let (spi, esn, window, lengths) = whose;
    let mut out = [0; COMMON];
    let fields = magic
        .into_iter()
        .chain([VERSION, u8::from(esn)])
        .chain(window.to_be_bytes())
        .chain(spi)
        .chain(lengths)
        .chain(generation.to_be_bytes())
        .chain(state.number.to_be_bytes())
        .chain(state.counters.bytes.to_be_bytes())
        .chain(state.counters.packets.to_be_bytes());
    for (to, from) in out.iter_mut().zip(fields) {
        *to = from;
    }
    out
}

fn parse(
    magic: [u8; 4],
    whose: Whose,
    generation: u64,
    state: &[u8; COMMON],
) -> Result<State, StateError> {
    let (head, numbers) = state.split_first_chunk::<16>().ok_or(StateError::Format)?;
    let words = numbers.as_chunks::<8>().0;
    let &[given, number, bytes, packets] = words else { return Err(StateError::Format) };
    let expected = emit(magic, whose, 0, &State { number: 0, counters: Counters::default() });
    // Magic and version first: everything else has a meaning only under them.
    if head.first_chunk::<5>() != expected.first_chunk::<5>() {
        return Err(StateError::Format);
    }
    if Some(head) != expected.first_chunk::<16>() {
        return Err(StateError::OtherSa);
    }
    if u64::from_be_bytes(given) != generation {
        return Err(StateError::Generation);
    }
    let counters = Counters {
        bytes: u64::from_be_bytes(bytes),
        packets: u64::from_be_bytes(packets),
        ..Counters::default()
    };
    Ok(State { number: u64::from_be_bytes(number), counters })
}
