//! An endpoint and a peer without scruples that has the keys: under algorithms that do nothing ([`super::null`]) every
//! message it forms is authentic. It begins as an honest one, up to any state; then it changes, leaves out, repeats and makes up
//! messages, payload by payload, as a script says.
//!
//! Whatever it does: nothing panics, every loop ends, what the endpoint sends is a message, what it hands over makes
//! an SA, and afterwards, with an honest peer, it comes to rest.

use super::null;
use super::world::{Bytes, HALF_A_MINUTE, Setup, World, path, repair_length, with_world};
use crate::Path;
use crate::event::Role;
use crate::natt::NON_ESP_MARKER;
use crate::wire::numbers::{ExchangeType, PayloadType};
use crate::wire::{Cookie, CookiePair, Flags, GENERIC_HEADER_LEN, HEADER_LEN, Header, VERSION};

/// The endpoint that began is the one attacked.
pub fn initiator(script: &[u8]) {
    impersonate(script, 0);
}

/// The endpoint that answered is the one attacked.
pub fn responder(script: &[u8]) {
    impersonate(script, 1);
}

fn impersonate(script: &[u8], victim: usize) {
    let Some((&[setup, honest], script)) = script.split_first_chunk() else { return };
    with_world(Setup::chosen(setup, &null::CRYPTO), |world| {
        world.request(0, 4);
        for _ in 0..honest & 15 {
            world.deliver_next();
        }
        let mut script = script.iter().copied();
        while let Some(call) = script.next() {
            obey(world, victim, call, &mut script);
        }
        world.settle(HALF_A_MINUTE);
    });
}

fn obey(world: &mut World<'_, '_>, victim: usize, call: u8, script: &mut impl Iterator<Item = u8>) {
    let times = call >> 4;
    let mut next = || script.next().unwrap_or_default();
    match call & 15 {
        0..=2 => drop(world.deliver_next()),
        3..=6 => {
            // What the honest peer would have said, with changes.
            let Some(flying) = world.flying.pop_front() else { return };
            let mut draft = Draft::of(&flying.bytes, flying.path.encap);
            if flying.to == victim {
                for _ in 0..=times & 3 {
                    draft.change(&mut next);
                }
            }
            world.deliver(flying.to, flying.path, &draft.datagram());
        }
        7..=9 => {
            let (path, draft) = made_up(world, victim, times, &mut next);
            world.deliver(victim, path, &draft.datagram());
        }
        10 => {
            // What was delivered last, to whomever, again or back.
            let mut draft = Draft::of(&world.last, false);
            for _ in 0..times & 3 {
                draft.change(&mut next);
            }
            world.deliver(victim, path(victim), &draft.datagram());
        }
        11 => drop(world.flying.pop_front()),
        12 => {
            if let Some(flying) = world.flying.pop_front() {
                let _ = world.flying.push_back(flying);
            }
        }
        13 => world.request(usize::from(times & 1), next()),
        14 => drop(world.wait(u64::MAX)),
        _ => {
            world.now = world.now.saturating_add(u64::from(next()).saturating_mul(250));
            world.turn();
        }
    }
}

const NOBODY: CookiePair = CookiePair { initiator: Cookie([7; 8]), responder: Cookie::ZERO };

/// A message under one of the victim's SAs, or of nobody.
fn made_up(
    world: &World<'_, '_>,
    victim: usize,
    which: u8,
    next: &mut impl FnMut() -> u8,
) -> (Path, Draft) {
    let known = world.hosts.get(victim).and_then(|host| {
        let ikes = host.endpoint.ike_sas().count().max(1);
        host.endpoint.ike_sas().nth(usize::from(which).checked_rem(ikes)?)
    });
    let (cookies, to, role) = known.map_or_else(
        || (NOBODY, path(victim), Role::Responder),
        |ike| (ike.cookies, ike.path, ike.role),
    );
    let [exchange, id] = [next(), next()];
    let exchange = match exchange & 7 {
        0 => ExchangeType::IDENTITY_PROTECTION,
        1 => ExchangeType::AGGRESSIVE,
        2 => ExchangeType::TRANSACTION,
        3 | 4 => ExchangeType::INFORMATIONAL,
        5 | 6 => ExchangeType::QUICK_MODE,
        _ => ExchangeType(exchange),
    };
    let phase1 = matches!(exchange.0, 2 | 4);
    let header = Header {
        cookies,
        next_payload: PayloadType::NONE,
        version: VERSION,
        exchange,
        flags: if phase1 && role == Role::Responder { Flags::NONE } else { Flags::ENCRYPTION },
        message_id: if phase1 { 0 } else { 0x0101_0100 | u32::from(id) },
        length: 0,
    };
    let mut draft = Draft::new(&header, to.encap);
    if !phase1 {
        draft.append(PayloadType::HASH, [0; null::HASH_LEN].into_iter());
    }
    for _ in 0..next() & 3 {
        draft.change(next);
    }
    (to, draft)
}

/// A message in the making. Its payloads are never encrypted: nothing is, here.
struct Draft {
    bytes: Bytes,
    encap: bool,
}

impl Draft {
    /// A datagram, whose marker is taken off.
    fn of(datagram: &[u8], encap: bool) -> Self {
        let marker = if encap { NON_ESP_MARKER.len() } else { 0 };
        let message = datagram.get(marker..).unwrap_or_default();
        Self { bytes: Bytes::from_slice(message).unwrap_or_default(), encap }
    }

    fn new(header: &Header, encap: bool) -> Self {
        let mut bytes = Bytes::new();
        let _ = bytes.resize(HEADER_LEN, 0);
        let _ = header.emit(&mut bytes);
        Self { bytes, encap }
    }

    /// With the length right, whole blocks if it is encrypted, and its marker.
    fn datagram(mut self) -> Bytes {
        if self.bytes.get(19).is_some_and(|flags| flags & Flags::ENCRYPTION.0 != 0) {
            while !self.bytes.len().saturating_sub(HEADER_LEN).is_multiple_of(null::BLOCK_LEN) {
                if self.bytes.push(0).is_err() {
                    break;
                }
            }
        }
        repair_length(&mut self.bytes);
        let mut datagram = Bytes::new();
        if self.encap {
            let _ = datagram.extend_from_slice(&NON_ESP_MARKER);
        }
        let room = datagram.capacity().saturating_sub(datagram.len()).min(self.bytes.len());
        let _ = datagram.extend_from_slice(self.bytes.get(..room).unwrap_or_default());
        datagram
    }

    /// Where the `nth` payload begins, counted around, and where the byte is that names its kind; `None` if there is
    /// none.
    fn payload(&self, nth: u8) -> Option<(usize, usize)> {
        let count = self.payloads().count();
        self.payloads().nth(usize::from(nth).checked_rem(count)?)
    }

    fn payloads(&self) -> impl Iterator<Item = (usize, usize)> {
        let (mut kind_at, mut at) = (16, HEADER_LEN);
        core::iter::from_fn(move || {
            let here = (at, kind_at);
            self.bytes.get(kind_at).filter(|kind| **kind != 0)?;
            kind_at = at;
            at = at.saturating_add(self.length_at(at).filter(|len| *len >= GENERIC_HEADER_LEN)?);
            (at <= self.bytes.len()).then_some(here)
        })
    }

    fn length_at(&self, at: usize) -> Option<usize> {
        let field = self.bytes.get(at..)?.first_chunk::<4>()?;
        let &[_, _, high, low] = field;
        Some(usize::from(u16::from_be_bytes([high, low])))
    }

    fn set_length(&mut self, at: usize, len: usize) {
        let len = u16::try_from(len).unwrap_or(u16::MAX).to_be_bytes();
        if let Some([_, _, field @ ..]) =
            self.bytes.get_mut(at..).and_then(|b| b.first_chunk_mut::<4>())
        {
            *field = len;
        }
    }

    /// Puts `new` in the place of `removed` bytes; what does not fit in is lost.
    fn splice(&mut self, at: usize, removed: usize, new: impl Iterator<Item = u8>) {
        let tail = self.bytes.get(at.saturating_add(removed)..).unwrap_or_default();
        let tail = Bytes::from_slice(tail).unwrap_or_default();
        self.bytes.truncate(at);
        for byte in new.chain(tail) {
            if self.bytes.push(byte).is_err() {
                return;
            }
        }
    }

    /// One more payload at the end of the chain; padding behind it goes.
    fn append(&mut self, kind: PayloadType, body: impl Iterator<Item = u8>) {
        let (mut end, mut kind_at) = (HEADER_LEN, 16);
        for (at, _) in self.payloads() {
            end = at.saturating_add(self.length_at(at).unwrap_or_default());
            kind_at = at;
        }
        self.bytes.truncate(end);
        if let Some(byte) = self.bytes.get_mut(kind_at) {
            *byte = kind.0;
        }
        let _ = self.bytes.extend_from_slice(&[0; GENERIC_HEADER_LEN]);
        for byte in body {
            let _ = self.bytes.push(byte);
        }
        self.set_length(end, self.bytes.len().saturating_sub(end));
    }

    /// One change, lengths being right afterwards unless they are what was changed.
    fn change(&mut self, next: &mut impl FnMut() -> u8) {
        let call = next();
        let Some((at, kind_at)) = self.payload(call >> 4) else {
            return self.append_made_up(next);
        };
        let len = self.length_at(at).unwrap_or_default();
        let body_at = at.saturating_add(GENERIC_HEADER_LEN);
        let body_len = len.saturating_sub(GENERIC_HEADER_LEN);
        match call & 15 {
            0..=2 => {
                // A byte of the body.
                let offset = usize::from(next()).checked_rem(body_len).unwrap_or_default();
                let value = next();
                if let Some(byte) = self.bytes.get_mut(body_at.saturating_add(offset)) {
                    *byte = value;
                }
            }
            3 => {
                // A byte of the header, or its length.
                let (offset, value) = (usize::from(next() & 3), next());
                if let Some(byte) = self.bytes.get_mut(at.saturating_add(offset)) {
                    *byte = value;
                }
            }
            4 | 5 => {
                // Bytes out of the body, and others into it.
                let offset = usize::from(next()).min(body_len);
                let removed = usize::from(next() & 15).min(body_len.saturating_sub(offset));
                let added = next() & 31;
                let mut new = [0; 31];
                new.iter_mut().take(usize::from(added)).for_each(|byte| *byte = next());
                let new = new.into_iter().take(added.into());
                self.splice(body_at.saturating_add(offset), removed, new);
                let len = len.saturating_sub(removed).saturating_add(added.into());
                self.set_length(at, len);
            }
            6 => {
                // The payload goes.
                let following = self.bytes.get(at).copied().unwrap_or_default();
                self.splice(at, len, core::iter::empty());
                if let Some(kind) = self.bytes.get_mut(kind_at) {
                    *kind = following;
                }
            }
            7 => {
                // It comes twice.
                let kind = PayloadType(self.bytes.get(kind_at).copied().unwrap_or_default());
                let body = self.bytes.get(body_at..body_at.saturating_add(body_len));
                let body = Bytes::from_slice(body.unwrap_or_default()).unwrap_or_default();
                self.append(kind, body.into_iter());
            }
            8 => {
                // It is called something else.
                if let Some(kind) = self.bytes.get_mut(kind_at) {
                    *kind = next();
                }
            }
            9 => {
                // A field of the header of the message.
                let (offset, value) = (usize::from(next() % 24), next());
                if let Some(byte) = self.bytes.get_mut(offset) {
                    *byte = value;
                }
            }
            _ => self.append_made_up(next),
        }
    }

    /// A payload of a script's making: of a kind that has a meaning somewhere, with a beginning that has one.
    fn append_made_up(&mut self, next: &mut impl FnMut() -> u8) {
        const DOI: [u8; 4] = [0, 0, 0, 1];
        let [kind, len] = [next(), next()];
        let mut body = [0; 64];
        let kind = match kind & 15 {
            0..=4 => PayloadType::NOTIFICATION,
            5..=7 => PayloadType::DELETE,
            8 => PayloadType::FRAGMENT,
            9 => PayloadType::ID,
            10 => PayloadType::NAT_D,
            11 => PayloadType::NAT_OA,
            12 => PayloadType::VENDOR_ID,
            13 => PayloadType::ATTRIBUTES,
            _ => PayloadType(kind),
        };
        let begins_with_doi = matches!(kind, PayloadType::NOTIFICATION | PayloadType::DELETE);
        let (doi, rest) = body.split_at_mut(if begins_with_doi { DOI.len() } else { 0 });
        doi.iter_mut().zip(DOI).for_each(|(to, from)| *to = from);
        let len = usize::from(len & 63);
        rest.iter_mut().take(len).for_each(|byte| *byte = next());
        let len = if begins_with_doi { len.saturating_add(DOI.len()) } else { len };
        self.append(kind, body.into_iter().take(len));
    }
}

#[cfg(test)]
mod tests {
    use rand_core::TryRng as _;

    use super::super::world::Numbers;
    use super::*;

    /// With every setting an honest peer gets a child up: otherwise nothing behind would be reached.
    #[test]
    fn doing_nothing_is_an_algorithm() {
        for setup in 0..=u8::MAX {
            let up = with_world(Setup::chosen(setup, &null::CRYPTO), |world| {
                world.request(0, 4);
                world.settle(HALF_A_MINUTE);
                world.in_use()
            });
            assert_eq!(up, [1, 1], "{setup:#b}");
        }
    }

    /// In every state and with every setting, each call once.
    #[test]
    fn every_call_in_every_state() {
        for honest in 0..12 {
            for setup in (0..=u8::MAX).step_by(5) {
                for call in (3..=u8::MAX).step_by(7) {
                    let script = [setup, honest, call, call, 3, 9, 200, call, 5, 0, 0, 0];
                    initiator(&script);
                    responder(&script);
                }
            }
        }
    }

    #[test]
    fn scripts_by_chance() {
        let mut numbers = Numbers(4);
        for len in 0..2_000 {
            let mut script = [0; 200];
            let Ok(()) = numbers.try_fill_bytes(&mut script);
            initiator(&script[..len / 10]);
            responder(&script[..len / 10]);
        }
    }
}
