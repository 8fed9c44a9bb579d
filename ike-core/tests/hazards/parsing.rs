//! Lengths, chains, loops: what broke parsers and printers.
//!
//! Not here, because there is nothing they could be about: the AH header's length (CVE-2016-7922: no AH), and the
//! state behind a message (null dereferences after a missing payload: no state is involved in parsing).

use core::fmt::Write;

use ike_core::error::{Malformed, MalformedKind};
use ike_core::trace::{MAX_LINES, Trace};
use ike_core::wire::numbers::{
    CertificateEncoding, ConfigAttribute, ConfigType, Doi, ExchangeType, IdType, NotifyType,
    PayloadType, Phase1Attribute, ProtocolId,
};
use ike_core::wire::{
    Attributes, CertificatePayload, ConfigPayload, Cookie, CookiePair, DeletePayload, Flags,
    HEADER_LEN, Header, IdPayload, MAX_MESSAGE, MessageWriter, NotifyPayload, Payload, Payloads,
    SITUATION_IDENTITY_ONLY, SaBody, VERSION, VendorId,
};

use crate::recorded::{Message, sessions};
use crate::walk::{Fixed, print, walk, walk_chain};

/// Everything recorded whose payloads we can read, as a datagram in plaintext.
fn plain_messages() -> Vec<Vec<u8>> {
    let plain = |message: &Message| {
        let chain = message.chain()?;
        let mut datagram = message.datagram[..HEADER_LEN].to_vec();
        datagram[19] &= !Flags::ENCRYPTION.0;
        datagram.extend(chain);
        Some(datagram)
    };
    let sessions = sessions();
    let messages: Vec<_> = sessions.iter().flat_map(|session| &session.messages).collect();
    let plain: Vec<_> = messages.into_iter().filter_map(plain).collect();
    assert!(plain.len() > 90);
    plain
}

fn payloads(datagram: &[u8]) -> Vec<Payload<'_>> {
    let header = Header::parse(datagram).unwrap();
    Payloads::new(header.next_payload, &datagram[HEADER_LEN..], HEADER_LEN)
        .map(Result::unwrap)
        .collect()
}

/// A message made of these payloads.
fn message(parts: &[(PayloadType, &[u8])]) -> Vec<u8> {
    let header = Header {
        cookies: CookiePair { initiator: Cookie([7; 8]), responder: Cookie::ZERO },
        next_payload: PayloadType::NONE,
        version: VERSION,
        exchange: ExchangeType::IDENTITY_PROTECTION,
        flags: Flags::NONE,
        message_id: 0,
        length: 0,
    };
    let mut buffer = vec![0; MAX_MESSAGE];
    let mut writer = MessageWriter::new(&mut buffer, &header).unwrap();
    for (kind, body) in parts {
        writer.payload(*kind, &[body]).unwrap();
    }
    let len = writer.finish();
    buffer.truncate(len);
    buffer
}

/// The largest body that a message with one payload can have.
const LARGEST_BODY: usize = MAX_MESSAGE - HEADER_LEN - 4;

#[test]
fn recorded_messages_are_well_formed() {
    for datagram in plain_messages() {
        assert!(walk(&datagram).unwrap() > 0);
    }
}

/// CVE-2004-0218: a payload of length zero made isakmpd loop for ever.
#[test]
fn cve_2004_0218_payload_length_below_its_header() {
    for datagram in plain_messages() {
        for payload in payloads(&datagram) {
            for length in 0..4 {
                let mut datagram = datagram.clone();
                datagram[payload.start() + 2] = 0;
                datagram[payload.start() + 3] = length;
                let offset = payload.start() as u16 + 2;
                let expected = Malformed { kind: MalformedKind::PayloadLength, offset };
                assert_eq!(walk(&datagram), Err(expected));
            }
        }
    }
}

/// CVE-2003-0108, CVE-2003-0989: tcpdump's printer looped. Ours prints a bounded number of lines whatever it is given.
#[test]
fn cve_2003_0108_the_printer_ends() {
    for kind in [0, 1, 2, 3, 8, 13].map(PayloadType) {
        // The smallest payloads that there are, as many as fit; then the smallest proposals and transforms.
        let chain = [kind.0, 0, 0, 4].repeat(16_000);
        let header = Header { next_payload: kind, ..header_of(&message(&[])) };
        print(Trace::decrypted(header, &chain));
    }
    let mut sa = vec![0, 0, 0, 1, 0, 0, 0, 1];
    sa.extend([2, 0, 0, 16, 1, 1, 0, 1, 0, 0, 0, 8, 1, 1, 0, 0].repeat(4000));
    let text = print(Trace::new(&message(&[(PayloadType::SA, &sa)])));
    assert_eq!(text.lines().count(), MAX_LINES);
    assert!(text.ends_with('…'));
}

fn header_of(datagram: &[u8]) -> Header {
    Header::parse(datagram).unwrap()
}

/// CVE-2002-2222: payloads in another order crashed isakmpd.
#[test]
fn cve_2002_2222_payloads_in_any_order() {
    for datagram in plain_messages() {
        let payloads = payloads(&datagram);
        let count = payloads.len();
        for seed in 0..24 {
            // Permutation number `seed`, in the factorial number system, of the first four; the rest rotates.
            let mut left: Vec<_> = payloads.iter().map(|p| (p.kind, p.body)).collect();
            left.rotate_left(seed % count);
            let mut parts = Vec::new();
            let mut number = seed;
            for radix in (1..=4).rev() {
                if !left.is_empty() {
                    parts.push(left.remove(number % radix % left.len()));
                    number /= radix;
                }
            }
            parts.append(&mut left);
            assert_eq!(walk(&message(&parts)), Ok(count));
        }
    }
}

/// CVE-2004-0221, CVE-2004-0183: more SPIs announced than there are. Every size with every number of SPIs.
#[test]
fn cve_2004_0221_delete_with_spis_that_are_not_there() {
    let mut body = [0; 8 + 240];
    let mut good = 0;
    for size in 0..=u8::MAX {
        for count in 0..=u16::MAX {
            body[5] = size;
            body[6..8].copy_from_slice(&count.to_be_bytes());
            let right = usize::from(size) * usize::from(count) == 240;
            assert_eq!(DeletePayload::parse(&body, 0).is_ok(), right);
            good += usize::from(right);
        }
    }
    assert_eq!(good, 20, "240 has 20 divisors, all of them below 256 or with a cofactor that is");
}

/// CVE-2004-0184: an ID payload shorter than its fixed part.
#[test]
fn cve_2004_0184_id_too_short() {
    for id_type in 0..=u8::MAX {
        for len in 0..=8 {
            let mut body = [0; 8];
            body[0] = id_type;
            let result = walk(&message(&[(PayloadType::ID, &body[..len])]));
            match (len, IdType(id_type)) {
                (..4, _) => assert_eq!(result.unwrap_err().kind, MalformedKind::Truncated),
                (8, IdType::IPV4_ADDR) => assert_eq!(result, Ok(1)),
                (_, IdType(1 | 4..=8)) => {
                    assert_eq!(result.unwrap_err().kind, MalformedKind::AddressLength);
                }
                _ => assert_eq!(result, Ok(1)),
            }
        }
    }
}

/// CVE-2004-0369: the size of an SPI in a proposal was trusted.
#[test]
fn cve_2004_0369_spi_of_any_size() {
    for size in 0..=255usize {
        let mut sa = vec![0, 0, 0, 1, 0, 0, 0, 1];
        sa.extend([0, 0, 0, 0, 1, 3, size as u8, 1]);
        sa.resize(sa.len() + size, 0xab);
        sa.extend([0, 0, 0, 8, 1, 12, 0, 0]);
        let proposal_len = (sa.len() - 8) as u16;
        sa[10..12].copy_from_slice(&proposal_len.to_be_bytes());
        let datagram = message(&[(PayloadType::SA, &sa)]);
        assert_eq!(walk(&datagram), Ok(1));
        let parsed = SaBody::parse(&sa, 0).unwrap().proposals().next().unwrap().unwrap();
        assert_eq!(parsed.spi.len(), size);
        // The same, with a size that reaches one byte too far, and as far as it can.
        for claimed in [size + 9, 255] {
            let Ok(claimed) = u8::try_from(claimed) else { continue };
            if usize::from(claimed) > size + 8 {
                sa[14] = claimed;
                let error = walk(&message(&[(PayloadType::SA, &sa)])).unwrap_err();
                assert_eq!(error.kind, MalformedKind::SpiSize);
            }
        }
    }
}

/// CVE-2004-0040, CVE-2004-0469: a large certificate request, and whatever else can be large.
#[test]
fn cve_2004_0040_the_largest_payload_of_every_kind() {
    let zeros = vec![0; LARGEST_BODY];
    let ones = vec![0xff; LARGEST_BODY];
    for kind in 1..=u8::MAX {
        for body in [&zeros, &ones] {
            let datagram = message(&[(PayloadType(kind), body)]);
            assert_eq!(datagram.len(), MAX_MESSAGE);
            // Which of them are well-formed does not matter here: they are read or refused.
            walk(&datagram).ok();
        }
    }
    let datagram = message(&[(PayloadType::CERTIFICATE_REQUEST, &ones)]);
    let request = CertificatePayload::parse(payloads(&datagram)[0].body, 32).unwrap();
    assert_eq!(request.data.len(), LARGEST_BODY - 1);
}

/// CVE-2004-0699, CVE-2013-6075: ASN.1 with hostile lengths. A name or a certificate is bytes to the parser.
#[test]
fn cve_2004_0699_asn1_is_not_looked_into() {
    for der in [&[0x30][..], &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff], &[0x30, 0x80], &[0; 1], &[]] {
        let mut id = vec![IdType::DER_ASN1_DN.0, 0, 0, 0];
        id.extend(der);
        let mut certificate = vec![CertificateEncoding::X509_SIGNATURE.0];
        certificate.extend(der);
        let datagram = message(&[(PayloadType::ID, &id), (PayloadType::CERTIFICATE, &certificate)]);
        assert_eq!(walk(&datagram), Ok(2));
        let payloads = payloads(&datagram);
        assert_eq!(IdPayload::parse(payloads[0].body, 0).unwrap().data, der);
        assert_eq!(CertificatePayload::parse(payloads[1].body, 0).unwrap().data, der);
    }
}

/// CVE-2004-0403, CVE-2013-4564: the length in the header and the datagram's did not agree.
#[test]
fn cve_2013_4564_header_length_is_the_datagrams() {
    for datagram in plain_messages() {
        let len = datagram.len();
        for length in [0, 1, 27, 28, len - 1, len + 1, len + 16, 0xffff, 0x1_0000, 0xffff_ffff] {
            let mut datagram = datagram.clone();
            datagram[24..28].copy_from_slice(&(length as u32).to_be_bytes());
            let expected = Malformed { kind: MalformedKind::HeaderLength, offset: 24 };
            assert_eq!(walk(&datagram), Err(expected));
        }
        for short in 0..=HEADER_LEN {
            assert!(walk(&datagram[..short]).is_err());
        }
        for version in 0..=u8::MAX {
            let mut datagram = datagram.clone();
            datagram[17] = version;
            assert_eq!(walk(&datagram).is_ok(), version >> 4 == 1, "version {version:#x}");
        }
    }
}

/// CVE-2005-3732, CVE-2006-1646: a mandatory payload left out. What is there is read as before.
#[test]
fn cve_2005_3732_any_payload_left_out() {
    for datagram in plain_messages() {
        let payloads = payloads(&datagram);
        for skipped in 0..payloads.len() {
            let mut parts: Vec<_> = payloads.iter().map(|p| (p.kind, p.body)).collect();
            parts.remove(skipped);
            assert_eq!(walk(&message(&parts)), Ok(payloads.len() - 1));
        }
    }
}

/// CVE-2015-3204: bits of the DOI and of the situation that nobody assigned, and kinds of payload neither.
#[test]
fn cve_2015_3204_unassigned_values_are_printed() {
    for word in (0..32).map(|bit| 1 << bit).chain([0, u32::MAX, 0x8000_0001]) {
        for (doi, situation) in [(word, 1), (1, word), (word, word)] {
            let mut sa = doi.to_be_bytes().to_vec();
            sa.extend(situation.to_be_bytes());
            let text = print(Trace::new(&message(&[(PayloadType::SA, &sa)])));
            assert!(text.contains("SA: DOI"), "{text}");
            let parsed = SaBody::parse(&sa, 0).unwrap();
            assert_eq!((parsed.doi, parsed.situation), (Doi(doi), situation));
            assert_eq!(parsed.check().unwrap_err().kind, MalformedKind::NoProposal);
        }
    }
    for datagram in plain_messages() {
        let starts: Vec<_> = payloads(&datagram).iter().map(Payload::start).collect();
        for at in starts.into_iter().chain([16]) {
            for kind in 0..=u8::MAX {
                let mut datagram = datagram.clone();
                datagram[at] = kind;
                walk(&datagram).ok();
            }
        }
    }
}

/// CVE-2011-3380: a KEY_LENGTH that no cipher has, or where none belongs.
#[test]
fn cve_2011_3380_key_lengths() {
    let key_length = Phase1Attribute::KEY_LENGTH.0;
    for bits in 0..=u16::MAX {
        let short = ike_core::wire::attribute::tv(key_length, bits);
        let attribute = Attributes::new(&short, 0).next().unwrap().unwrap();
        assert_eq!((attribute.kind, attribute.as_u32()), (key_length, Some(u32::from(bits))));
    }
    for len in 0..=16u8 {
        let mut long = vec![0, key_length as u8, 0, len];
        long.resize(4 + usize::from(len), 1);
        let attribute = Attributes::new(&long, 0).next().unwrap().unwrap();
        assert_eq!(attribute.as_u32().is_some(), (1..=4).contains(&len));
    }
}

/// CVE-2013-2052, CVE-2013-2053, CVE-2013-2054: a text with `=` in it was read as a name, into a static buffer.
#[test]
fn cve_2013_2053_text_goes_into_any_buffer_or_fails() {
    let mut id = vec![IdType::FQDN.0, 0, 0, 0];
    id.extend("C=CH, O=strongSwan, CN=\u{1}\n\"".repeat(60).bytes());
    let datagram = message(&[(PayloadType::ID, &id)]);
    let whole = print(Trace::new(&datagram));
    for room in 0..=whole.len() {
        let mut fixed = Fixed { text: String::new(), room };
        let result = write!(fixed, "{}", Trace::new(&datagram));
        assert_eq!(result.is_ok(), room == whole.len());
        assert!(whole.starts_with(&fixed.text));
    }
}

/// CVE-2017-12896, -12990, -13039, CVE-2018-14469, CVE-2012-6059: over-reads in printers of NAT-OA and notifications.
#[test]
fn cve_2017_12896_printers_of_short_bodies() {
    let body: Vec<_> = (0..=u8::MAX).collect();
    for kind in (1..=u8::MAX).map(PayloadType) {
        for len in 0..64 {
            for start in [0, 1, 5, 0xc0] {
                walk(&message(&[(kind, &body[start..start + len])])).ok();
            }
        }
    }
}

/// tcpdump, 2024: SPIs of no bytes, but many of them.
#[test]
fn tcpdump_2024_delete_with_spis_of_no_bytes() {
    for count in 1..=u16::MAX {
        let mut body = [0, 0, 0, 1, 3, 0, 0, 0];
        body[6..].copy_from_slice(&count.to_be_bytes());
        let expected = Malformed { kind: MalformedKind::SpiSize, offset: 5 };
        assert_eq!(DeletePayload::parse(&body, 0), Err(expected));
    }
}

/// CVE-2019-5719: decryption was wanted where nothing was there to decrypt with, or nothing to decrypt.
#[test]
fn cve_2019_5719_encrypted_without_a_key() {
    for len in 0..64 {
        let mut datagram = message(&[(PayloadType::HASH, &vec![0x5a; len])]);
        datagram.truncate(HEADER_LEN + len);
        let length = datagram.len() as u32;
        datagram[24..28].copy_from_slice(&length.to_be_bytes());
        datagram[19] = Flags::ENCRYPTION.0;
        let text = print(Trace::new(&datagram));
        assert!(text.ends_with(&format!("  encrypted ({len} bytes)")), "{text}");
    }
}

/// racoon, 2026: a vendor ID shorter than what it was compared with; attributes at the very end of the buffer.
#[test]
fn racoon_2026_short_vendor_ids_and_attributes_at_the_end() {
    for known in [VendorId::DeadPeerDetection, VendorId::Fragmentation, VendorId::CiscoUnity] {
        for len in 0..14 {
            assert_eq!(VendorId::recognise(&known.body()[..len]), None);
        }
    }
    for len in 1..=12u8 {
        for announced in 0..=u8::MAX {
            let mut bytes = vec![0, 12, 0, announced];
            bytes.resize(4 + usize::from(len), 0xab);
            let first = Attributes::new(&bytes, 0).next().unwrap();
            assert_eq!(first.is_ok(), announced <= len);
        }
        let mut short_form = vec![0x80, 12, 0, 0xff];
        short_form.resize(4 + usize::from(len), 0x80);
        let first = Attributes::new(&short_form, 0).next().unwrap().unwrap();
        assert_eq!(first.as_u32(), Some(0xff));
    }
}

/// CVE-2014-9221: a group that exists only inside of another implementation.
#[test]
fn cve_2014_9221_every_group_number() {
    for group in 0..=u16::MAX {
        let [high, low] = group.to_be_bytes();
        let mut sa = vec![0, 0, 0, 1, 0, 0, 0, 1];
        sa.extend([0, 0, 0, 20, 1, 1, 0, 1, 0, 0, 0, 12, 1, 1, 0, 0, 0x80, 4, high, low]);
        let transform = SaBody::parse(&sa, 0)
            .and_then(|sa| sa.proposals().next().unwrap())
            .and_then(|proposal| proposal.transforms().next().unwrap())
            .unwrap();
        let attribute = transform.attributes().next().unwrap().unwrap();
        assert_eq!(attribute.as_u32(), Some(u32::from(group)));
        if group.is_multiple_of(257) {
            assert!(print(Trace::new(&message(&[(PayloadType::SA, &sa)]))).contains("group "));
        }
    }
}

/// CVE-2015-3991: payloads of the other version of IKE were parsed. CVE-2013-6467: messages of it, with a payload missing.
#[test]
fn cve_2015_3991_payloads_of_ikev2() {
    // The IKEv2 numbers, SA to EAP, and the fragment of RFC 7383: here they are unknown, with or without a body.
    for kind in (33..=48).chain([53]) {
        assert_eq!(PayloadType(kind).name(), None);
        for len in [0, 1, 4, 8, 40] {
            let datagram = message(&[(PayloadType(kind), &[0xff; 40][..len])]);
            assert_eq!(walk(&datagram), Ok(1));
            let text = print(Trace::new(&datagram));
            assert!(text.ends_with(&format!("  payload {kind} ({len} bytes)")), "{text}");
        }
    }
    // A message of IKEv2 is none of ours, whatever it holds.
    for mut datagram in plain_messages() {
        datagram[17] = 0x20;
        let expected = Malformed { kind: MalformedKind::Version, offset: 17 };
        assert_eq!(walk(&datagram), Err(expected));
    }
}

/// CVE-2013-5018: a user name of one byte, 0x30, was taken for the start of an ASN.1 sequence.
#[test]
fn cve_2013_5018_a_user_name_like_asn1() {
    for name in 0..=u8::MAX {
        let (kind, len) = (ConfigAttribute::XAUTH_USER_NAME.0.to_be_bytes(), [0, 1]);
        let body = [ConfigType::REPLY.0, 0, 0, 0, kind[0], kind[1], len[0], len[1], name];
        let config = ConfigPayload::parse(&body, 0).unwrap();
        let attribute = config.attributes().next().unwrap().unwrap();
        assert_eq!(attribute.as_bytes(), Some(&[name][..]));
        assert_eq!(walk(&message(&[(PayloadType::ATTRIBUTES, &body)])), Ok(1));
    }
}

/// CVE-2010-3302, CVE-2010-3308: a banner overflowed a buffer, and what it said reached a shell.
#[test]
fn cve_2010_3302_a_banner_is_bytes() {
    let banner = "`reboot`; $(reboot)\n\u{1b}[2J".repeat(2600);
    let mut body = vec![ConfigType::REPLY.0, 0, 0, 0];
    body.extend(ConfigAttribute::UNITY_BANNER.0.to_be_bytes());
    body.extend((banner.len() as u16).to_be_bytes());
    body.extend(banner.bytes());
    let datagram = message(&[(PayloadType::ATTRIBUTES, &body)]);
    assert_eq!(walk(&datagram), Ok(1));
    let parsed = ConfigPayload::parse(&body, 0).unwrap().attributes().next().unwrap().unwrap();
    assert_eq!(parsed.as_bytes(), Some(banner.as_bytes()));
    let text = print(Trace::new(&datagram));
    assert!(text.contains(r"$(reboot)\n\x1b[2J") && text.len() < 1000, "{text}");
}

/// CVE-2025-9242, CVE-2025-14733: an ID payload longer than the buffer it was copied to. Nothing is copied here.
#[test]
fn cve_2025_9242_identities_of_any_length() {
    let mut body = vec![0xab; LARGEST_BODY];
    for id_type in 0..=u8::MAX {
        body[0] = id_type;
        for len in [513, 2048, LARGEST_BODY] {
            let id = IdPayload::parse(&body[..len], 0).unwrap();
            assert_eq!(id.data.len(), len - 4);
            match IdType(id_type) {
                IdType(1 | 4..=8) => {
                    let error = id.addresses().unwrap_err();
                    assert!(matches!(
                        error.kind,
                        MalformedKind::AddressLength | MalformedKind::AddressMask
                    ));
                }
                _ => assert_eq!(id.addresses(), Ok(None)),
            }
        }
        let text = print(Trace::new(&message(&[(PayloadType::ID, &body)])));
        assert!(text.len() < 1000);
    }
}

/// Secrets do not reach a log, however they are sent.
#[test]
fn passwords_are_not_printed() {
    let mut body = vec![ConfigType::REPLY.0, 0, 0, 0];
    for kind in [
        ConfigAttribute::XAUTH_USER_PASSWORD,
        ConfigAttribute::XAUTH_PASSCODE,
        ConfigAttribute::XAUTH_NEXT_PIN,
        ConfigAttribute::XAUTH_ANSWER,
    ] {
        body.extend(kind.0.to_be_bytes());
        body.extend([0, 6]);
        body.extend(b"secret");
        body.extend((kind.0 | 0x8000).to_be_bytes());
        body.extend(*b"sh");
    }
    let text = print(Trace::new(&message(&[(PayloadType::ATTRIBUTES, &body)])));
    assert_eq!(text.matches("(not shown)").count(), 8);
    let as_number = u16::from_be_bytes(*b"sh").to_string();
    assert!(!text.contains("secret") && !text.contains(&as_number), "{text}");
}

/// Status notifies with every size of SPI, and data that are no attributes.
#[test]
fn notifies_of_every_shape() {
    for kind in [14, 24576, 24578, 36136].map(NotifyType) {
        for spi_size in 0..=20 {
            for len in 0..32 {
                let mut body = vec![0, 0, 0, 1, ProtocolId::ISAKMP.0, spi_size];
                body.extend(kind.0.to_be_bytes());
                body.resize(8 + len, 0xff);
                let parsed = NotifyPayload::parse(&body, 0);
                assert_eq!(parsed.is_ok(), len >= usize::from(spi_size));
                walk(&message(&[(PayloadType::NOTIFICATION, &body)])).ok();
            }
        }
    }
}

/// Chains that do not start where they should, or with a kind that only belongs inside of an SA.
#[test]
fn proposals_and_transforms_outside_of_an_sa() {
    let body = [0, 0, 0, 1, 0, 0, 0, SITUATION_IDENTITY_ONLY as u8];
    for kind in [PayloadType::PROPOSAL, PayloadType::TRANSFORM] {
        assert_eq!(walk(&message(&[(kind, &body)])), Ok(1));
        assert!(walk_chain(kind, &body).is_err());
    }
}
