//! Recorded sessions: parsed as an independent decoder parsed them, and written again byte for byte.

use ike_core::wire::numbers::{ExchangeType, PayloadType, ProtocolId};
use ike_core::wire::{
    CertificatePayload, ConfigPayload, DeletePayload, Flags, FragmentPayload, GENERIC_HEADER_LEN,
    HEADER_LEN, Header, IdPayload, MessageWriter, NotifyPayload, Payload, Payloads, SaBody, Value,
};

use serde_json::json;

use crate::recorded::{Message, sessions};

fn payloads(message: &Message) -> Option<(Header, Vec<Payload<'_>>, usize)> {
    let header = message.header();
    let chain = message.chain()?;
    let mut payloads = Payloads::new(header.next_payload, chain, HEADER_LEN);
    let all: Result<Vec<_>, _> = payloads.by_ref().collect();
    Some((header, all.expect("a recorded chain"), payloads.end()))
}

#[test]
fn headers_survive_a_round_trip() {
    for session in sessions() {
        for message in &session.messages {
            let header = message.header();
            let mut out = [0; HEADER_LEN];
            header.emit(&mut out).unwrap();
            assert_eq!(out, message.datagram[..HEADER_LEN], "{}", session.name);
            assert_eq!(header.length as usize, message.datagram.len());
        }
    }
}

#[test]
fn headers_are_what_tshark_sees() {
    let mut compared = 0;
    for session in sessions() {
        for message in &session.messages {
            let Some(expected) = &message.header_fields else { continue };
            let header = message.header();
            let fields = json!([
                header.cookies.initiator.to_string(),
                header.cookies.responder.to_string(),
                header.version,
                header.exchange.0,
                header.flags.0,
                header.message_id,
                header.length,
            ]);
            assert_eq!(&fields, expected, "{}", session.name);
            compared += 1;
        }
    }
    assert!(compared > 120, "only {compared} headers compared");
}

#[test]
fn headers_are_what_tcpdump_prints() {
    let mut compared = 0;
    for session in sessions() {
        for message in &session.messages {
            let Some(expected) = &message.tcpdump else { continue };
            let header = message.header();
            let phase = if header.message_id == 0 { "phase 1" } else { "phase 2/others" };
            let side = if message.from == "initiator" { "I" } else { "R" };
            let exchange = match header.exchange {
                ExchangeType::IDENTITY_PROTECTION => "ident",
                ExchangeType::INFORMATIONAL => "inf",
                ExchangeType::QUICK_MODE => "oakley-quick",
                other => panic!("{other:?} is not in this capture"),
            };
            let encrypted = if header.flags.contains(Flags::ENCRYPTION) { "[E]" } else { "" };
            assert_eq!(format!("{phase} {side} {exchange}{encrypted}"), *expected);
            compared += 1;
        }
    }
    assert_eq!(compared, 15);
}

/// Kind and length of each payload, proposal and transform, in the order in which they stand.
fn structure(payloads: &[Payload<'_>]) -> (Vec<u8>, Vec<u16>) {
    let mut types = Vec::new();
    let mut lengths = Vec::new();
    let mut note = |kind: PayloadType, len: usize| {
        types.push(kind.0);
        lengths.push(u16::try_from(len).unwrap());
    };
    for payload in payloads {
        note(payload.kind, payload.whole_len());
        if payload.kind != PayloadType::SA {
            continue;
        }
        let sa = SaBody::parse(payload.body, payload.offset).unwrap();
        sa.check().unwrap();
        let end_of_sa = payload.offset + payload.body.len();
        let proposals: Vec<_> = sa.proposals().map(Result::unwrap).collect();
        for (index, proposal) in proposals.iter().enumerate() {
            let end = proposals.get(index + 1).map_or(end_of_sa, |next| next.offset);
            note(PayloadType::PROPOSAL, end - proposal.offset);
            let transforms: Vec<_> = proposal.transforms().map(Result::unwrap).collect();
            assert_eq!(transforms.len(), usize::from(proposal.transform_count));
            for transform in transforms {
                let attributes = transform.attributes();
                note(PayloadType::TRANSFORM, 8 + attributes.bytes().len());
                assert!(attributes.clone().all(|attribute| attribute.is_ok()));
            }
        }
    }
    (types, lengths)
}

#[test]
fn the_structure_is_what_tshark_sees() {
    let mut compared = 0;
    for session in sessions() {
        for message in &session.messages {
            let Some((_, payloads, _)) = payloads(message) else { continue };
            if message.types.is_empty() {
                continue;
            }
            let (types, lengths) = structure(&payloads);
            assert_eq!((&types, &lengths), (&message.types, &message.lengths), "{}", session.name);
            compared += 1;
        }
    }
    assert!(compared >= 90, "only {compared} messages compared");
}

/// Writes what was parsed, through the same calls that the engine writes with.
fn rewrite(message: &mut MessageWriter<'_>, payload: &Payload<'_>) {
    let Payload { kind, body, offset } = *payload;
    match kind {
        PayloadType::SA => {
            let received = SaBody::parse(body, offset).unwrap();
            let mut sa = message.sa(received.doi, received.situation).unwrap();
            for theirs in received.proposals().map(Result::unwrap) {
                let mut ours = sa.proposal(theirs.number, theirs.protocol, theirs.spi).unwrap();
                for transform in theirs.transforms().map(Result::unwrap) {
                    ours.transform_as_received(&transform).unwrap();
                }
            }
        }
        PayloadType::ID => {
            IdPayload::parse(body, offset).unwrap().emit(message).unwrap();
        }
        PayloadType::NOTIFICATION => {
            NotifyPayload::parse(body, offset).unwrap().emit(message).unwrap();
        }
        PayloadType::DELETE => {
            DeletePayload::parse(body, offset).unwrap().emit(message).unwrap();
        }
        PayloadType::CERTIFICATE | PayloadType::CERTIFICATE_REQUEST => {
            CertificatePayload::parse(body, offset).unwrap().emit(message, kind).unwrap();
        }
        PayloadType::ATTRIBUTES => {
            let received = ConfigPayload::parse(body, offset).unwrap();
            let mut config = message.config(received.kind, received.identifier).unwrap();
            for attribute in received.attributes().map(Result::unwrap) {
                match attribute.value {
                    Value::Short(value) => config.attribute_tv(attribute.kind, value).unwrap(),
                    Value::Long(value) => config.attribute_tlv(attribute.kind, value).unwrap(),
                }
            }
        }
        PayloadType::FRAGMENT => {
            FragmentPayload::parse(body, offset).unwrap().emit(message).unwrap();
        }
        _ => {
            message.payload(kind, &[body]).unwrap();
        }
    }
}

#[test]
fn every_message_is_written_again_byte_for_byte() {
    for session in sessions() {
        for message in &session.messages {
            let Some((header, payloads, end)) = payloads(message) else { continue };
            let mut buffer = vec![0xee; message.datagram.len()];
            let mut writer = MessageWriter::new(&mut buffer, &header).unwrap();
            for payload in &payloads {
                rewrite(&mut writer, payload);
            }
            assert_eq!(writer.written()[HEADER_LEN..], message.chain().unwrap()[..end]);
            assert_eq!(writer.written()[..24], message.datagram[..24]);
            let len = writer.written().len();
            assert_eq!(writer.written()[24..28], u32::try_from(len).unwrap().to_be_bytes());
        }
    }
}

#[test]
fn what_a_phase_2_hash_covers_is_what_follows_it() {
    let mut seen = 0;
    for session in sessions() {
        for message in &session.messages {
            let Some((header, payloads, end)) = payloads(message) else { continue };
            if header.message_id == 0 || header.next_payload != PayloadType::HASH {
                continue;
            }
            let chain = message.chain().unwrap();
            let whole = Payloads::new(header.next_payload, chain, HEADER_LEN);
            let (hash, others) = whole.split_first().unwrap();
            assert_eq!(hash, payloads[0]);
            assert_eq!(others, &chain[GENERIC_HEADER_LEN + hash.body.len()..end]);
            seen += 1;
        }
    }
    assert!(seen >= 40, "only {seen} messages with a phase 2 hash");
}

#[test]
fn a_message_cut_short_is_refused_with_an_offset_inside_of_it() {
    for session in sessions() {
        for message in &session.messages {
            let Some(chain) = message.chain() else { continue };
            let header = message.header();
            let whole: Vec<_> = Payloads::new(header.next_payload, chain, HEADER_LEN).collect();
            let mut payloads = Payloads::new(header.next_payload, chain, HEADER_LEN);
            payloads.by_ref().for_each(drop);
            for cut in 0..payloads.end() {
                let mut read: Vec<_> =
                    Payloads::new(header.next_payload, &chain[..cut], HEADER_LEN).collect();
                let last = read.pop().expect("at least the error");
                assert_eq!(
                    read[..],
                    whole[..read.len()],
                    "what stands before the cut is as it was"
                );
                let malformed = last.expect_err("cut short");
                assert!(usize::from(malformed.offset) <= HEADER_LEN + cut);
            }
        }
    }
}

#[test]
fn an_sa_cut_short_anywhere_is_refused() {
    for session in sessions() {
        for message in &session.messages {
            let Some((_, payloads, _)) = payloads(message) else { continue };
            for sa in payloads.iter().filter(|payload| payload.kind == PayloadType::SA) {
                for cut in 0..sa.body.len() {
                    let result =
                        SaBody::parse(&sa.body[..cut], sa.offset).and_then(|sa| sa.check());
                    let malformed = result.expect_err("cut short");
                    assert!(usize::from(malformed.offset) <= sa.offset + cut);
                }
            }
        }
    }
}

#[test]
fn lifetimes_come_in_both_forms() {
    // Cisco writes the phase 1 lifetime as four bytes, strongSwan as two: 86 400 and 3600 seconds.
    let mut seconds = Vec::new();
    for name in ["main-quick-cisco", "main-psk-strongswan-5.5.1"] {
        let session = sessions().into_iter().find(|session| session.name == name).unwrap();
        let (_, payloads, _) = payloads(&session.messages[0]).unwrap();
        let sa = SaBody::parse(payloads[0].body, payloads[0].offset).unwrap();
        let proposal = sa.proposals().next().unwrap().unwrap();
        assert_eq!(proposal.protocol, ProtocolId::ISAKMP);
        let transform = proposal.transforms().next().unwrap().unwrap();
        let duration = transform.attributes().map(Result::unwrap).find(|a| a.kind == 12).unwrap();
        seconds.push((duration.as_bytes().is_some(), duration.as_u32().unwrap()));
    }
    assert_eq!(seconds, [(true, 86_400), (false, 3600)]);
}
