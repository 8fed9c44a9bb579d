//! Bodies of the fuzz targets, here so that they are compiled, linted and run with the rest: each of them also runs
//! over the committed corpus, over recorded messages, and over thousands of variations of them, in ordinary tests.
//!
//! A body takes any bytes, must not panic, and asserts what has to hold beyond that.

#[cfg(feature = "_fuzz")]
mod conversation;
mod fragments;
#[cfg(feature = "_fuzz")]
mod impostor;
#[cfg(feature = "_fuzz")]
mod null;
#[cfg(feature = "_fuzz")]
mod strangers;
#[cfg(feature = "_fuzz")]
mod world;

use core::fmt::{self, Write as _};
use core::net::{IpAddr, Ipv4Addr};

#[cfg(feature = "_fuzz")]
pub use conversation::conversation;
pub use fragments::fragments;
#[cfg(feature = "_fuzz")]
pub use impostor::{initiator, responder};
#[cfg(feature = "_fuzz")]
pub use strangers::strangers;

use esp_core::{Arrival, Inbound, PacketBuf, PolicyId, Processor, Settings, SpdEntry, Tables};

use crate::error::{BufferTooSmall, Malformed, MalformedKind};
use crate::natt::{self, Classified};
use crate::trace::{MAX_LINES, Trace};
use crate::wire::numbers::{ConfigType, Doi, ExchangeType, PayloadType, ProtocolId};
use crate::wire::{
    Attributes, AttributesWriter, CertificatePayload, ConfigPayload, Cookie, CookiePair,
    DeletePayload, Flags, FragmentPayload, HEADER_LEN, Header, IdPayload, MAX_MESSAGE,
    MessageWriter, NatOriginalAddress, NotifyPayload, Payload, Payloads, SITUATION_IDENTITY_ONLY,
    SaBody, VERSION, Value, VendorId,
};

/// A whole datagram: header, payload chain and every payload, of which those that are well-formed are written again
/// and must read the same.
pub fn payloads(datagram: &[u8]) {
    let Ok(header) = Header::parse(datagram) else { return };
    let mut emitted = [0; HEADER_LEN];
    assert_eq!(header.emit(&mut emitted), Ok(()));
    assert_eq!(datagram.get(..HEADER_LEN), Some(&emitted[..]));

    let chain = datagram.get(HEADER_LEN..).unwrap_or_default();
    let mut payloads = Payloads::new(header.next_payload, chain, HEADER_LEN);
    let mut end = 0;
    while let Some(payload) = payloads.next() {
        let payload = match payload {
            Ok(payload) => payload,
            Err(malformed) => {
                inside(malformed, datagram.len());
                assert!(payloads.next().is_none(), "nothing is read behind an error");
                return;
            }
        };
        assert!(payloads.end() > end && payloads.end() <= chain.len(), "progress");
        end = payloads.end();
        if let Err(malformed) = written_again(&payload) {
            inside(malformed, datagram.len());
        }
    }
    let split = Payloads::new(header.next_payload, chain, HEADER_LEN).split_first();
    if let Ok((first, others)) = split {
        assert_eq!(first.whole_len().saturating_add(others.len()), end);
    }
}

/// Attributes up to the end of the bytes. If they are well-formed, writing them again gives the same bytes.
pub fn attributes(bytes: &[u8]) {
    let all = Attributes::new(bytes, 0);
    for attribute in all {
        match attribute {
            Ok(attribute) => {
                assert!(attribute.as_u32().is_none_or(|n| attribute.as_u64() == Some(n.into())));
            }
            Err(malformed) => inside(malformed, bytes.len()),
        }
    }
    if all.clone().all(|attribute| attribute.is_ok()) {
        let mut buffer = [0; MAX_MESSAGE];
        let Ok(mut message) = MessageWriter::new(&mut buffer, &HEADER) else { return };
        let Ok(mut config) = message.config(ConfigType::REPLY, 0) else {
            return;
        };
        if copy_attributes(all, &mut config).is_ok() {
            assert!(message.written().ends_with(bytes));
        }
    }
}

/// Whatever is printed, of whatever bytes: it ends, it is bounded, and it is text.
pub fn trace(datagram: &[u8]) {
    print(Trace::new(datagram));
    if let Some((head, chain)) = datagram.split_first_chunk::<HEADER_LEN>()
        && let Ok(header) = Header::parse(head)
    {
        print(Trace::decrypted(header, chain));
    }
    // With a header that always fits, so that the payloads get their share.
    if let Some((first, chain)) = datagram.split_first() {
        print(Trace::decrypted(Header { next_payload: PayloadType(*first), ..HEADER }, chain));
    }
}

/// What comes in on UDP port 4500, which IKE and ESP share: the data plane, given the whole packet, sees it as the keying
/// engine does.
pub fn classify(datagram: &[u8]) {
    const FRONT: usize = 28;
    let mut memory = [0; 2048];
    let Some(datagram) = datagram.get(..datagram.len().min(memory.len().saturating_sub(FRONT)))
    else {
        return;
    };
    let len = datagram.len();
    let mut copy = [0; 2048];
    let Some(copy) = copy.get_mut(..len) else { return };
    copy.copy_from_slice(datagram);
    let esp = match natt::classify(copy) {
        Classified::Ike(message) => {
            assert_eq!(Some(&*message), datagram.strip_prefix(&[0; 4]));
            false
        }
        Classified::Esp(esp) => {
            assert!(*esp == *datagram && !datagram.starts_with(&[0; 4]));
            // What has no whole ESP header passes as any other UDP.
            len >= 8
        }
        Classified::Keepalive => {
            assert_eq!(datagram, [0xff]);
            false
        }
        Classified::Short => {
            assert!(len < 4);
            false
        }
    };

    let own = Ipv4Addr::new(192, 0, 2, 1);
    let field = |len: usize| u16::try_from(len).unwrap_or_default().to_be_bytes();
    let ([len0, len1], [udp0, udp1]) =
        (field(len.saturating_add(FRONT)), field(len.saturating_add(8)));
    let front = [0x45, 0, len0, len1, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 2]
        .into_iter()
        .chain(own.octets())
        .chain([0x11, 0x94, 0x11, 0x94, udp0, udp1, 0, 0]);
    let bytes = front.chain(datagram.iter().copied());
    memory.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    let Some(mut packet) = PacketBuf::new(&mut memory, 0..len.saturating_add(FRONT)) else {
        return;
    };
    let mut tables = Tables::<1, 1, 0>::new();
    let mut processor = Processor::new(&mut tables, Settings::DEFAULT);
    let entry = SpdEntry::own_udp(PolicyId(1), IpAddr::V4(own), natt::NAT_PORT);
    assert_eq!(processor.set_policies(&[entry]), Ok(()));
    let verdict = processor.inbound(&mut packet, Arrival::Ip);
    assert_eq!(matches!(verdict, Inbound::Discard(_)), esp, "{verdict:?}");
}

/// Calls of the writer in any order, with a buffer of any size. After each of them, refused or not, what is written is a
/// whole message whose every length is right.
pub fn writer(script: &[u8]) {
    let mut buffer = [0xee; 2048];
    let mut script = script.iter().copied();
    let mut next = move || script.next();
    let Some(size) = next() else { return };
    let size = usize::from(size).saturating_mul(8);
    let Ok(mut message) = MessageWriter::new(buffer.get_mut(..size).unwrap_or_default(), &HEADER)
    else {
        assert!(size < HEADER_LEN);
        return;
    };
    let mut count = 0;
    while let (Some(call), Some(a), Some(b)) = (next(), next(), next()) {
        let before = message.written().len();
        let parts: [&[u8]; 2] = [&[b; 255], &[a; 64]];
        let [long, short] = parts.map(|part| part.get(..usize::from(a)).unwrap_or(part));
        let result = match call & 3 {
            0 => message.payload(PayloadType(b | 1), &[long, short]).map(drop),
            1 => message.reserve(PayloadType::HASH, usize::from(a)).map(drop),
            2 => write_sa(&mut message, a, &mut next),
            _ => message.config(ConfigType(a), 0).and_then(|mut config| {
                config.attribute_tlv(u16::from(b), short)?;
                config.attribute_tv(u16::from(b), u16::from(a))
            }),
        };
        // A refused call adds nothing; within an SA or a configuration, the calls before it may have.
        let grown = message.written().len() > before;
        assert!(grown || result.is_err());
        count = usize::from(grown).saturating_add(count);
        assert_eq!(count_payloads(message.written()), count);
    }
    let unpadded = message.written().len();
    if message.pad_to(16).is_ok() {
        assert!(message.written().len().saturating_sub(HEADER_LEN).is_multiple_of(16));
        assert_eq!(count_payloads(message.written()), count);
    } else {
        assert_eq!(message.written().len(), unpadded);
    }
    let len = message.finish();
    assert!(len <= size && buffer.iter().skip(size).all(|byte| *byte == 0xee));
}

fn write_sa(
    message: &mut MessageWriter<'_>,
    proposals: u8,
    next: &mut impl FnMut() -> Option<u8>,
) -> Result<(), BufferTooSmall> {
    let mut sa = message.sa(Doi::IPSEC, SITUATION_IDENTITY_ONLY)?;
    for number in 0..proposals & 3 {
        let spi = [number; 16];
        let spi = spi.get(..usize::from(next().unwrap_or(4))).unwrap_or_default();
        let mut proposal = sa.proposal(number, ProtocolId::ESP, spi)?;
        for number in 0..=next().unwrap_or_default() & 3 {
            let mut transform = proposal.transform(number, 12)?;
            transform.attribute_u32(1, u32::from(next().unwrap_or_default()) << 9)?;
        }
    }
    Ok(())
}

/// Checks a written message down to the attributes; returns the number of its payloads.
fn count_payloads(written: &[u8]) -> usize {
    let Ok(header) = Header::parse(written) else { unreachable!("the header is always right") };
    let chain = written.get(HEADER_LEN..).unwrap_or_default();
    let mut count = 0usize;
    for payload in Payloads::new(header.next_payload, chain, HEADER_LEN) {
        let Ok(payload) = payload else { unreachable!("the chain is always right") };
        if let (PayloadType::SA, Ok(sa)) =
            (payload.kind, SaBody::parse(payload.body, payload.offset))
            && sa.doi == Doi::IPSEC
        {
            // Proposals without transforms are not finished yet; nothing else can be wrong.
            let kind = sa.check().map_err(|malformed| malformed.kind);
            assert!(matches!(kind, Ok(()) | Err(MalformedKind::NoProposal)), "{kind:?}");
        }
        count = count.saturating_add(1);
    }
    count
}

const HEADER: Header = Header {
    cookies: CookiePair { initiator: Cookie([7; 8]), responder: Cookie::ZERO },
    next_payload: PayloadType::NONE,
    version: VERSION,
    exchange: ExchangeType::IDENTITY_PROTECTION,
    flags: Flags::NONE,
    message_id: 0,
    length: 28,
};

fn inside(malformed: Malformed, len: usize) {
    assert!(usize::from(malformed.offset) <= len, "{malformed} of {len}");
}

fn print(trace: Trace<'_>) {
    /// Counts, and keeps nothing.
    struct Count {
        lines: usize,
        bytes: usize,
    }
    impl fmt::Write for Count {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.bytes = self.bytes.saturating_add(text.len());
            for byte in text.bytes() {
                assert!(byte == b'\n' || !byte.is_ascii_control());
                self.lines = self.lines.saturating_add(usize::from(byte == b'\n'));
            }
            Ok(())
        }
    }
    let mut count = Count { lines: 1, bytes: 0 };
    assert!(write!(count, "{trace}").is_ok());
    assert!(count.lines <= MAX_LINES && count.bytes <= MAX_LINES.saturating_mul(20_000));
}

/// Parses a payload, writes what was understood, and compares that with what was received.
fn written_again(payload: &Payload<'_>) -> Result<(), Malformed> {
    let mut buffer = [0; MAX_MESSAGE];
    let Ok(mut message) = MessageWriter::new(&mut buffer, &HEADER) else { return Ok(()) };
    let Payload { kind, body, offset } = *payload;
    // What is reserved, and flags without a meaning, are not written again; where that is so, they are blanked.
    let written = match kind {
        PayloadType::SA => {
            let sa = SaBody::parse(body, offset)?;
            sa.check()?;
            let Ok(()) = copy_sa(&sa, &mut message) else { return Ok(()) };
            return same_sa(&sa, message.written());
        }
        PayloadType::ID => {
            let id = IdPayload::parse(body, offset)?;
            id.addresses()?;
            id.emit(&mut message)
        }
        PayloadType::CERTIFICATE | PayloadType::CERTIFICATE_REQUEST => {
            CertificatePayload::parse(body, offset)?.emit(&mut message, kind)
        }
        PayloadType::NOTIFICATION => {
            let notify = NotifyPayload::parse(body, offset)?;
            for attribute in notify.attributes() {
                if let Err(malformed) = attribute {
                    inside(malformed, offset.saturating_add(body.len()));
                }
            }
            notify.emit(&mut message)
        }
        PayloadType::DELETE => {
            let delete = DeletePayload::parse(body, offset)?;
            assert_eq!(delete.spis().len(), usize::from(delete.count));
            delete.emit(&mut message)
        }
        PayloadType::ATTRIBUTES => {
            let config = ConfigPayload::parse(body, offset)?;
            for attribute in config.attributes() {
                attribute?;
            }
            return Ok(());
        }
        PayloadType::NAT_OA | PayloadType::NAT_OA_DRAFT => {
            let address = NatOriginalAddress::parse(body, offset)?;
            let Ok(written) = address.emit(&mut message, kind) else { return Ok(()) };
            let written = message.written().get(written).unwrap_or_default();
            assert_eq!(NatOriginalAddress::parse(written, offset), Ok(address));
            return Ok(());
        }
        PayloadType::FRAGMENT => {
            let fragment = FragmentPayload::parse(body, offset)?;
            let Ok(written) = fragment.emit(&mut message) else { return Ok(()) };
            let written = message.written().get(written).unwrap_or_default();
            assert_eq!(FragmentPayload::parse(written, offset), Ok(fragment));
            return Ok(());
        }
        PayloadType::VENDOR_ID => {
            let known = VendorId::recognise(body);
            assert!(known.is_none_or(|id| VendorId::recognise(id.body()) == Some(id)));
            message.payload(kind, &[body])
        }
        _ => message.payload(kind, &[body]),
    };
    if let Ok(written) = written {
        assert_eq!(message.written().get(written), Some(body));
    }
    Ok(())
}

fn copy_sa(sa: &SaBody<'_>, message: &mut MessageWriter<'_>) -> Result<(), BufferTooSmall> {
    let mut copy = message.sa(sa.doi, sa.situation)?;
    for proposal in sa.proposals().flatten() {
        let mut to = copy.proposal(proposal.number, proposal.protocol, proposal.spi)?;
        for transform in proposal.transforms().flatten() {
            to.transform_as_received(&transform)?;
        }
    }
    Ok(())
}

fn same_sa(sa: &SaBody<'_>, written: &[u8]) -> Result<(), Malformed> {
    let chain = written.get(HEADER_LEN..).unwrap_or_default();
    let (copy, _) = Payloads::new(PayloadType::SA, chain, HEADER_LEN).split_first()?;
    let copy = SaBody::parse(copy.body, copy.offset)?;
    copy.check()?;
    assert_eq!((sa.doi, sa.situation), (copy.doi, copy.situation));
    assert_eq!(sa.proposals().count(), copy.proposals().count());
    for (ours, theirs) in copy.proposals().flatten().zip(sa.proposals().flatten()) {
        assert_eq!(
            (ours.number, ours.protocol, ours.spi),
            (theirs.number, theirs.protocol, theirs.spi)
        );
        assert_eq!(ours.transforms().count(), theirs.transforms().count());
        for (ours, theirs) in ours.transforms().flatten().zip(theirs.transforms().flatten()) {
            assert_eq!((ours.number, ours.id), (theirs.number, theirs.id));
            assert_eq!(ours.attributes().bytes(), theirs.attributes().bytes());
        }
    }
    Ok(())
}

fn copy_attributes(
    attributes: Attributes<'_>,
    to: &mut AttributesWriter<'_, '_>,
) -> Result<(), BufferTooSmall> {
    for attribute in attributes.flatten() {
        match attribute.value {
            Value::Short(value) => to.attribute_tv(attribute.kind, value)?,
            Value::Long(value) => to.attribute_tlv(attribute.kind, value)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    /// The recorded messages, in plaintext where that is known.
    pub(super) fn recorded() -> Vec<Vec<u8>> {
        let file = include_str!("../tests/vectors/recorded_messages.json");
        let file: serde_json::Value = serde_json::from_str(file).unwrap();
        let sessions = file["sessions"].as_array().unwrap();
        let messages = sessions.iter().flat_map(|s| s["messages"].as_array().unwrap());
        let messages: Vec<_> = messages
            .map(|message| {
                let mut datagram = hex(message["datagram"].as_str().unwrap());
                if let Some(plaintext) = message.get("plaintext") {
                    datagram.truncate(HEADER_LEN);
                    datagram.extend(hex(plaintext.as_str().unwrap()));
                    datagram[19] = 0;
                }
                datagram
            })
            .collect();
        assert!(messages.len() > 100);
        messages
    }

    fn hex(text: &str) -> Vec<u8> {
        let (digits, _) = text.as_bytes().as_chunks::<2>();
        let byte = |pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap();
        digits.iter().map(|pair| byte(pair)).collect()
    }

    /// Runs `body` over each message as it is, and with each byte changed, cut off, or doubled.
    fn over_variations(body: fn(&[u8])) {
        for message in recorded() {
            body(&message);
            for at in 0..message.len() {
                for change in [1, 0x80, 0xff] {
                    let mut varied = message.clone();
                    varied[at] ^= change;
                    body(&varied);
                }
                let mut cut = message[..at].to_vec();
                let mut doubled = [&message[..at], &message[at.saturating_sub(4)..]].concat();
                for varied in [&mut cut, &mut doubled] {
                    let len = varied.len() as u32;
                    if let Some(length) = varied.get_mut(24..28) {
                        length.copy_from_slice(&len.to_be_bytes());
                    }
                    body(varied);
                }
            }
        }
    }

    /// Runs `body` over the inputs that the fuzzers have kept, and over random bytes.
    fn over_the_corpus(target: &str, body: fn(&[u8])) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/seeds/");
        let file = std::fs::read_to_string(std::format!("{folder}{target}.hex")).unwrap();
        assert!(file.lines().count() > 5);
        for line in file.lines() {
            body(&hex(line));
        }
        let mut state = 1_u64;
        for round in 0..2_000 {
            let next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 40) as u8
            };
            let script: Vec<u8> = core::iter::repeat_with(next).take(round / 10).collect();
            body(&script);
        }
    }

    #[test]
    fn what_the_fuzzers_have_kept() {
        over_the_corpus("attributes", attributes);
        over_the_corpus("classify", classify);
        over_the_corpus("fragments", fragments);
        over_the_corpus("payloads", payloads);
        over_the_corpus("trace", trace);
        over_the_corpus("writer", writer);
    }

    #[cfg(feature = "_fuzz")]
    #[test]
    fn what_the_fuzzers_of_the_engine_have_kept() {
        over_the_corpus("conversation", conversation);
        over_the_corpus("initiator", initiator);
        over_the_corpus("responder", responder);
        over_the_corpus("strangers", strangers);
    }

    #[test]
    fn classification_of_short_datagrams() {
        for len in 0..12 {
            for byte in [0, 1, 0xff] {
                for last in [0, 1, 0xff] {
                    let mut datagram = std::vec![byte; len];
                    datagram.extend([last]);
                    classify(&datagram);
                }
            }
        }
        classify(&[]);
        over_variations(classify);
    }

    #[test]
    fn payloads_of_varied_messages() {
        over_variations(payloads);
    }

    #[test]
    fn traces_of_varied_messages() {
        over_variations(trace);
    }

    #[test]
    fn writer_with_messages_as_scripts() {
        for message in recorded() {
            for size in 0..=u8::MAX {
                for start in [0, 20] {
                    writer(&[&[size], &message[start..]].concat());
                }
            }
        }
    }

    #[test]
    fn attributes_of_varied_messages() {
        // Every position, so that each attribute recorded is the start once.
        over_variations(|message| attributes(message.get(HEADER_LEN..).unwrap_or_default()));
        for message in recorded() {
            (0..message.len()).for_each(|at| attributes(&message[at..]));
        }
    }
}
