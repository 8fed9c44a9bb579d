//! In the manner of the PROTOS suite c09-isakmp: the fields of a message, and what can be wrong with each. The fuzzers
//! begin with the same.

use ike_core::wire::numbers::PayloadType;
use ike_core::wire::{HEADER_LEN, Header, Payloads, SaBody};

/// A field of a message: where it is, and how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Field {
    pub(crate) at: usize,
    pub(crate) len: usize,
}

/// Every field of a message that is well-formed.
pub(crate) fn fields(datagram: &[u8]) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut note = |at, lens: &[usize]| {
        let mut at = at;
        for len in lens {
            fields.push(Field { at, len: *len });
            at += len;
        }
    };
    // Cookies, next payload, version, exchange, flags, message ID, length.
    note(0, &[8, 8, 1, 1, 1, 1, 4, 4]);
    let header = Header::parse(datagram).unwrap();
    for payload in Payloads::new(header.next_payload, &datagram[HEADER_LEN..], HEADER_LEN) {
        let payload = payload.unwrap();
        // Next payload, reserved, length, body.
        note(payload.start(), &[1, 1, 2, payload.body.len()]);
        if payload.kind != PayloadType::SA {
            continue;
        }
        note(payload.offset, &[4, 4]);
        for proposal in SaBody::parse(payload.body, payload.offset).unwrap().proposals() {
            let proposal = proposal.unwrap();
            // Next payload, reserved, length, number, protocol, SPI size, transforms, SPI.
            note(proposal.offset, &[1, 1, 2, 1, 1, 1, 1, proposal.spi.len()]);
            for transform in proposal.transforms() {
                let transform = transform.unwrap();
                note(transform.offset, &[1, 1, 2, 1, 1, 2]);
                for attribute in transform.attributes() {
                    let attribute = attribute.unwrap();
                    let value = attribute.as_bytes().map_or(0, <[u8]>::len);
                    note(attribute.offset, &[2, 2, value]);
                }
            }
        }
    }
    fields.retain(|field| field.len != 0);
    fields.sort_unstable();
    fields.dedup();
    fields
}

/// The anomalies of a field, each as what stands in its place; not of the same length, necessarily.
pub(crate) fn anomalies(original: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    match *original {
        [_] => all.extend((0..=u8::MAX).map(|value| vec![value])),
        [high, low] => {
            let value = u16::from_be_bytes([high, low]);
            let near = (-9..=9).map(|step| value.wrapping_add_signed(step));
            let powers = (0..16).flat_map(|bit| [1 << bit, (1 << bit) - 1, !(1 << bit)]);
            all.extend(near.chain(powers).map(|value: u16| value.to_be_bytes().to_vec()));
            all.push(vec![low, high]);
        }
        [a, b, c, d] => {
            let value = u32::from_be_bytes([a, b, c, d]);
            let near = (-9..=9).map(|step| value.wrapping_add_signed(step));
            let powers = (0..32).flat_map(|bit| [1 << bit, (1 << bit) - 1, !(1 << bit)]);
            all.extend(near.chain(powers).map(|value: u32| value.to_be_bytes().to_vec()));
            all.push(vec![d, c, b, a]);
        }
        _ => {}
    }
    // Nothing, all zeros, all ones, itself twice, one byte less or more.
    all.extend([vec![], vec![0; original.len()], vec![0xff; original.len()], original.repeat(2)]);
    all.push(original[1..].to_vec());
    all.push([original, &[0]].concat());
    // Far too long: bytes, format strings, a path, wide characters.
    for len in [16, 127, 128, 255, 256, 257, 1024, 4096, 32_768, 60_000] {
        all.push(vec![b'a'; len]);
    }
    all.push(b"%s%n%x%d".repeat(64));
    all.push(b"../".repeat(64));
    all.push([0xff, 0xfe, 0, 0x30].repeat(64));
    all
}

/// Sets the length in the header to that of the datagram, so that the anomaly gets past the first check.
pub(crate) fn repair_header(datagram: &mut [u8]) {
    let len = datagram.len() as u32;
    if let Some(length) = datagram.get_mut(24..28) {
        length.copy_from_slice(&len.to_be_bytes());
    }
}

/// Adds to the length of the payload that holds `at` what the datagram has grown by, where that fits.
pub(crate) fn repair_payload(datagram: &mut [u8], original: &[u8], at: usize) {
    let header = Header::parse(original).unwrap();
    let holder = Payloads::new(header.next_payload, &original[HEADER_LEN..], HEADER_LEN)
        .map(Result::unwrap)
        .find(|payload| (payload.offset..payload.offset + payload.body.len()).contains(&at));
    let Some(holder) = holder else { return };
    let length = holder.whole_len() + datagram.len() - original.len();
    if let Ok(length) = u16::try_from(length) {
        datagram[holder.start() + 2..holder.start() + 4].copy_from_slice(&length.to_be_bytes());
    }
}
