//! Prints messages, one line a payload: for logs, tests and examples, all from one decoder.
//!
//! ```text
//! main mode 018ef04f7cf72e4f > 0000000000000000, 100 bytes
//!   SA: DOI IPsec, identity only
//!     P 1: ISAKMP, 1 transform
//!       T 1: KEY_IKE, encryption AES-CBC, key length 128, hash SHA-1, group MODP-2048, …
//!   VID: RFC 3947
//! ```
//!
//! Meant for bytes nobody has checked: whatever they are, printing ends, and what it prints is bounded
//! ([`MAX_LINES`], and a limit for each element of a line). Text of the peer's is escaped. Secrets are not shown: of
//! keys, nonces, hashes and signatures only the length, of passwords nothing else either.

mod show;

use core::fmt;

use crate::error::Malformed;
use crate::wire::numbers::{
    AhTransformId, Doi, EspTransformId, ExchangeType, IpcompTransformId, IsakmpTransformId,
    NotifyType, PayloadType, ProtocolId,
};
use crate::wire::{
    CertificatePayload, ConfigPayload, DeletePayload, Flags, FragmentPayload, HEADER_LEN, Header,
    IdPayload, NatOriginalAddress, NotifyPayload, Payload, Payloads, SITUATION_IDENTITY_ONLY,
    SaBody, VERSION, VendorId,
};
use show::{AttributeSet, Hex, Identity, ShowAttributes, Spis};

/// Lines printed for one message; the last of them says that there is more.
pub const MAX_LINES: usize = 100;

/// A message that prints itself: several lines, without a line feed at the end.
///
/// ```
/// use ike_core::trace::Trace;
///
/// assert_eq!(
///     Trace::new(b"not ISAKMP").to_string(),
///     "no ISAKMP message (10 bytes): truncated at byte 8",
/// );
/// ```
#[derive(Clone, Copy)]
pub struct Trace<'a> {
    header: Result<Header, Malformed>,
    /// What follows the header, if it can be read.
    chain: Option<&'a [u8]>,
    /// Bytes of the datagram.
    len: usize,
}

impl<'a> Trace<'a> {
    /// A datagram as it is on the wire, from the first byte of the ISAKMP header. What is encrypted stays so.
    #[must_use]
    pub fn new(datagram: &'a [u8]) -> Self {
        let header = Header::parse(datagram);
        let readable = header.is_ok_and(|header| !header.flags.contains(Flags::ENCRYPTION));
        let chain = datagram.get(HEADER_LEN..).filter(|_| readable);
        Self { header, chain, len: datagram.len() }
    }

    /// A message that has been decrypted: its header, and what follows it with the padding.
    #[must_use]
    pub const fn decrypted(header: Header, chain: &'a [u8]) -> Self {
        let len = chain.len().saturating_add(HEADER_LEN);
        Self { header: Ok(header), chain: Some(chain), len }
    }
}

impl fmt::Debug for Trace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Trace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Printer { f, lines: 0 };
        match (&self.header, self.chain) {
            (Err(malformed), _) => {
                out.line(0, format_args!("no ISAKMP message ({} bytes): {malformed}", self.len))
            }
            (Ok(header), Some(chain)) => {
                out.header(header, self.len)?;
                out.payloads(Payloads::new(header.next_payload, chain, HEADER_LEN), chain.len())
            }
            (Ok(header), None) => {
                out.header(header, self.len)?;
                let len = self.len.saturating_sub(HEADER_LEN);
                out.line(1, format_args!("encrypted ({len} bytes)"))
            }
        }
    }
}

/// Writes lines, and stops at [`MAX_LINES`].
struct Printer<'p, 'f> {
    f: &'p mut fmt::Formatter<'f>,
    lines: usize,
}

impl Printer<'_, '_> {
    fn line(&mut self, depth: usize, text: fmt::Arguments<'_>) -> fmt::Result {
        if self.lines >= MAX_LINES {
            return Ok(());
        }
        self.lines = self.lines.saturating_add(1);
        if self.lines > 1 {
            self.f.write_str("\n")?;
        }
        if self.lines == MAX_LINES {
            return self.f.write_str("  …");
        }
        let indent = depth.saturating_mul(2);
        write!(self.f, "{:indent$}{text}", "")
    }

    fn header(&mut self, header: &Header, len: usize) -> fmt::Result {
        let Header { cookies, version, exchange, flags, message_id, .. } = header;
        let (initiator, responder) = (cookies.initiator, cookies.responder);
        self.line(
            0,
            format_args!(
                "{} {initiator} > {responder}, {}{}{}{len} bytes",
                Exchange(*exchange),
                MessageId(*message_id),
                MinorVersion(*version),
                ShowFlags(*flags),
            ),
        )
    }

    fn payloads(&mut self, mut payloads: Payloads<'_>, chain_len: usize) -> fmt::Result {
        for payload in &mut payloads {
            match payload {
                Ok(payload) => self.payload(&payload)?,
                Err(malformed) => return self.line(1, format_args!("malformed: {malformed}")),
            }
        }
        match chain_len.saturating_sub(payloads.end()) {
            0 => Ok(()),
            padding => self.line(1, format_args!("padding ({padding} bytes)")),
        }
    }

    fn payload(&mut self, payload: &Payload<'_>) -> fmt::Result {
        let Payload { kind, body, offset } = *payload;
        let result = match kind {
            PayloadType::SA => return self.sa(body, offset),
            PayloadType::ID => IdPayload::parse(body, offset)
                .map(|id| self.line(1, format_args!("ID: {}", Identity(id)))),
            PayloadType::NOTIFICATION => {
                NotifyPayload::parse(body, offset).map(|notify| self.notify(&notify))
            }
            PayloadType::DELETE => {
                DeletePayload::parse(body, offset).map(|delete| self.delete(&delete))
            }
            PayloadType::CERTIFICATE | PayloadType::CERTIFICATE_REQUEST => {
                CertificatePayload::parse(body, offset).map(|certificate| {
                    let (encoding, len) = (certificate.encoding, certificate.data.len());
                    self.line(1, format_args!("{kind}: {encoding} ({len} bytes)"))
                })
            }
            PayloadType::VENDOR_ID => Ok(self.vendor_id(body)),
            PayloadType::ATTRIBUTES => {
                ConfigPayload::parse(body, offset).map(|config| self.config(&config))
            }
            PayloadType::NAT_OA | PayloadType::NAT_OA_DRAFT => {
                NatOriginalAddress::parse(body, offset)
                    .map(|original| self.line(1, format_args!("{kind}: {}", original.0)))
            }
            PayloadType::FRAGMENT => {
                FragmentPayload::parse(body, offset).map(|fragment| self.fragment(&fragment))
            }
            // KE, NONCE, HASH, SIG, NAT-D: bytes without structure, and what is unknown.
            _ => Ok(match kind.name() {
                Some(name) => self.line(1, format_args!("{name} ({} bytes)", body.len())),
                None => self.line(1, format_args!("payload {} ({} bytes)", kind.0, body.len())),
            }),
        };
        result.unwrap_or_else(|malformed| {
            self.line(1, format_args!("{kind}: malformed: {malformed}"))
        })
    }

    fn sa(&mut self, body: &[u8], offset: usize) -> fmt::Result {
        let sa = match SaBody::parse(body, offset) {
            Ok(sa) => sa,
            Err(malformed) => return self.line(1, format_args!("SA: malformed: {malformed}")),
        };
        let doi = sa.doi;
        if sa.situation != SITUATION_IDENTITY_ONLY {
            let situation = sa.situation;
            return self.line(1, format_args!("SA: DOI {doi}, situation {situation:#x}"));
        }
        self.line(1, format_args!("SA: DOI {doi}, identity only"))?;
        for proposal in sa.proposals() {
            let proposal = match proposal {
                Ok(proposal) => proposal,
                Err(malformed) => return self.line(2, format_args!("P: malformed: {malformed}")),
            };
            let (number, protocol) = (proposal.number, proposal.protocol);
            let count = proposal.transform_count;
            let plural = if count == 1 { "" } else { "s" };
            let spi = Spis { label: ", SPI", bytes: proposal.spi, size: proposal.spi.len() };
            self.line(2, format_args!("P {number}: {protocol}{spi}, {count} transform{plural}"))?;
            for transform in proposal.transforms() {
                let transform = match transform {
                    Ok(transform) => transform,
                    Err(malformed) => {
                        self.line(3, format_args!("T: malformed: {malformed}"))?;
                        break;
                    }
                };
                let id = TransformId(protocol, transform.id);
                let attributes = ShowAttributes {
                    attributes: transform.attributes(),
                    set: AttributeSet::of(protocol),
                };
                self.line(3, format_args!("T {}: {id}{attributes}", transform.number))?;
            }
        }
        Ok(())
    }

    fn notify(&mut self, notify: &NotifyPayload<'_>) -> fmt::Result {
        let NotifyPayload { doi, protocol, spi, kind, data, .. } = *notify;
        let doi = OtherDoi(doi);
        let spi = Spis { label: ", SPI", bytes: spi, size: spi.len() };
        match (kind, data) {
            (_, []) => self.line(1, format_args!("N: {kind}, {doi}{protocol}{spi}")),
            (NotifyType::R_U_THERE | NotifyType::R_U_THERE_ACK, &[a, b, c, d]) => {
                let sequence = u32::from_be_bytes([a, b, c, d]);
                self.line(1, format_args!("N: {kind}, {doi}{protocol}{spi}, sequence {sequence}"))
            }
            (NotifyType::RESPONDER_LIFETIME, _) => {
                let set = AttributeSet::of(protocol);
                let attributes = ShowAttributes { attributes: notify.attributes(), set };
                self.line(1, format_args!("N: {kind}, {doi}{protocol}{spi}{attributes}"))
            }
            _ => self.line(1, format_args!("N: {kind}, {doi}{protocol}{spi}, data {}", Hex(data))),
        }
    }

    fn delete(&mut self, delete: &DeletePayload<'_>) -> fmt::Result {
        let doi = OtherDoi(delete.doi);
        let size = usize::from(delete.spi_size);
        let spis = Spis { label: ", SPI", bytes: delete.spi_bytes(), size };
        self.line(1, format_args!("D: {doi}{}{spis}", delete.protocol))
    }

    fn vendor_id(&mut self, body: &[u8]) -> fmt::Result {
        match VendorId::recognise(body) {
            Some(known) => self.line(1, format_args!("VID: {}", known.name())),
            None => self.line(1, format_args!("VID: {}", Hex(body))),
        }
    }

    fn config(&mut self, config: &ConfigPayload<'_>) -> fmt::Result {
        let (kind, identifier) = (config.kind, config.identifier);
        let attributes =
            ShowAttributes { attributes: config.attributes(), set: AttributeSet::Config };
        self.line(1, format_args!("ATTR: {kind}, id {identifier}{attributes}"))
    }

    fn fragment(&mut self, fragment: &FragmentPayload<'_>) -> fmt::Result {
        let FragmentPayload { id, number, last, data } = fragment;
        let last = if *last { ", last" } else { "" };
        self.line(
            1,
            format_args!("FRAGMENT: id {id}, number {number}{last} ({} bytes)", data.len()),
        )
    }
}

struct Exchange(ExchangeType);

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "exchange {}", self.0.0),
        }
    }
}

/// Shown only where there is one: in phase 1 it is zero.
struct MessageId(u32);

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => Ok(()),
            id => write!(f, "message ID {id:08x}, "),
        }
    }
}

/// Shown only where it is not 1.0.
struct MinorVersion(u8);

impl fmt::Display for MinorVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            VERSION => Ok(()),
            other => write!(f, "version {}.{}, ", other >> 4, other & 0xf),
        }
    }
}

struct ShowFlags(Flags);

impl fmt::Display for ShowFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut unknown = self.0.0;
        for (flag, name) in [
            (Flags::ENCRYPTION, "encrypted"),
            (Flags::COMMIT, "commit"),
            (Flags::AUTHENTICATION_ONLY, "authentication only"),
        ] {
            if self.0.contains(flag) {
                unknown &= !flag.0;
                write!(f, "{name}, ")?;
            }
        }
        match unknown {
            0 => Ok(()),
            bits => write!(f, "flags {bits:#04x}, "),
        }
    }
}

/// Shown only where it is not IPsec's.
struct OtherDoi(Doi);

impl fmt::Display for OtherDoi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Doi::IPSEC => Ok(()),
            other => write!(f, "DOI {other}, "),
        }
    }
}

/// A transform's number means something only under the proposal's protocol.
struct TransformId(ProtocolId, u8);

impl fmt::Display for TransformId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ProtocolId::ISAKMP => IsakmpTransformId(self.1).fmt(f),
            ProtocolId::ESP => EspTransformId(self.1).fmt(f),
            ProtocolId::AH => AhTransformId(self.1).fmt(f),
            ProtocolId::IPCOMP => IpcompTransformId(self.1).fmt(f),
            _ => write!(f, "transform {}", self.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::string::ToString;

    use hex_literal::hex;

    use super::*;
    use crate::wire::numbers::ConfigType;
    use crate::wire::{Cookie, CookiePair, MessageWriter};

    const HEADER: Header = Header {
        cookies: CookiePair {
            initiator: Cookie(hex!("018ef04f7cf72e4f")),
            responder: Cookie(hex!("5f28fdf279308a94")),
        },
        next_payload: PayloadType::NONE,
        version: VERSION,
        exchange: ExchangeType::INFORMATIONAL,
        flags: Flags::NONE,
        message_id: 0x1234_abcd,
        length: 0,
    };

    /// What is printed for a message with one payload, the header's line left out.
    #[track_caller]
    fn prints(kind: PayloadType, body: &[u8], expected: &str) {
        let mut buffer = [0; 300];
        let mut message = MessageWriter::new(&mut buffer, &HEADER).unwrap();
        message.payload(kind, &[body]).unwrap();
        let text = Trace::new(message.written()).to_string();
        assert_eq!(text.split_once('\n').unwrap().1, expected);
    }

    #[track_caller]
    fn header_prints(header: Header, expected: &str) {
        let mut buffer = [0; 28];
        Header { length: 28, ..header }.emit(&mut buffer).unwrap();
        assert_eq!(Trace::new(&buffer).to_string(), expected);
    }

    #[test]
    fn headers() {
        header_prints(
            Header { message_id: 0, exchange: ExchangeType::AGGRESSIVE, ..HEADER },
            "aggressive mode 018ef04f7cf72e4f > 5f28fdf279308a94, 28 bytes",
        );
        header_prints(
            Header { exchange: ExchangeType(240), flags: Flags(0xc6), version: 0x1f, ..HEADER },
            "exchange 240 018ef04f7cf72e4f > 5f28fdf279308a94, message ID 1234abcd, version 1.15, \
             commit, authentication only, flags 0xc0, 28 bytes",
        );
        header_prints(
            Header { version: 0x20, ..HEADER },
            "no ISAKMP message (28 bytes): major version is not 1 at byte 17",
        );
    }

    #[test]
    fn security_associations() {
        prints(
            PayloadType::SA,
            &hex!(
                "00000001 00000001"
                "02000020 01020401 aabbccdd 00000014 01030000 80050002 8004f003 80630007"
                "0000001c 01040201 1234 00000012 01020000 000200060000000186a0"
            ),
            "  SA: DOI IPsec, identity only\n    \
             P 1: AH, SPI 0xaabbccdd, 1 transform\n      \
             T 1: SHA, authentication HMAC-SHA-1, encapsulation mode UDP tunnel (draft), attribute 99 7\n    \
             P 1: IPCOMP, SPI 0x1234, 1 transform\n      \
             T 1: DEFLATE, life duration 100000",
        );
        prints(PayloadType::SA, &hex!("00000001 00000006"), "  SA: DOI IPsec, situation 0x6");
        prints(
            PayloadType::SA,
            &hex!("00000009 00000001 00000010 01010001 00000008 01010000 ffff"),
            "  SA: DOI 9, identity only\n    P: malformed: trailing bytes at byte 56",
        );
        prints(
            PayloadType::SA,
            &hex!("00000001 00000001 00000012 01010002 0000000a 01010000 ffff"),
            "  SA: DOI IPsec, identity only\n    \
             P 1: ISAKMP, 2 transforms\n      \
             T 1: KEY_IKE, malformed: truncated at byte 58\n      \
             T: malformed: wrong number of transforms at byte 58",
        );
    }

    #[test]
    fn identities() {
        for (body, expected) in [
            (
                &hex!("07 06 0050 0a000001 0a0000ff")[..],
                "IPv4 range 10.0.0.1 to 10.0.0.255, protocol 6, port 80",
            ),
            (&hex!("04 00 0000 0a010000 ffff0000"), "IPv4 subnet 10.1.0.0/16"),
            (
                &hex!("04 00 0000 0a010000 ff00ff00"),
                "IPv4 subnet 0x0a010000ff00ff00 malformed: subnet mask is not contiguous at byte 40",
            ),
            (&hex!("05 00 0000 20010db8000000000000000000000001"), "IPv6 address 2001:db8::1"),
            (b"\x03\0\0\0me@\"home\"\x07", r#"user@FQDN "me@\"home\"\x07""#),
            (&hex!("0b 00 0000 0102"), "key ID 0x0102"),
            (&hex!("ff 00 0000"), "type 255 0x"),
            (&hex!("01 00 00"), "malformed: truncated at byte 34"),
        ] {
            prints(PayloadType::ID, body, &std::format!("  ID: {expected}"));
        }
    }

    #[test]
    fn notifies() {
        for (body, expected) in [
            (&hex!("00000001 01 00 8d28 00000007")[..], "R-U-THERE, ISAKMP, sequence 7"),
            (&hex!("00000001 01 00 8d29 0007"), "R-U-THERE-ACK, ISAKMP, data 0x0007"),
            (
                &hex!("00000001 03 04 6000 c0ffee01 80010001 80020e10"),
                "RESPONDER-LIFETIME, ESP, SPI 0xc0ffee01, life type seconds, life duration 3600",
            ),
            (&hex!("00000000 01 00 000e"), "NO-PROPOSAL-CHOSEN, DOI ISAKMP, ISAKMP"),
            (&hex!("00000001 01 02 270f"), "malformed: SPI size out of bounds at byte 37"),
        ] {
            prints(PayloadType::NOTIFICATION, body, &std::format!("  N: {expected}"));
        }
    }

    #[test]
    fn the_other_payloads() {
        prints(PayloadType::NAT_OA, &hex!("01000000 0a000001"), "  NAT-OA: 10.0.0.1");
        prints(PayloadType::NAT_D, &[0; 20], "  NAT-D (20 bytes)");
        prints(PayloadType::SIGNATURE, &[0; 64], "  SIG (64 bytes)");
        prints(
            PayloadType::VENDOR_ID,
            &[0xab; 34],
            &std::format!("  VID: 0x{}… (34 bytes)", "ab".repeat(32)),
        );
        prints(
            PayloadType::DELETE,
            &hex!("00000001 03 04 0002 00000100 00000200"),
            "  D: ESP, SPI 0x00000100 0x00000200",
        );
        prints(PayloadType::DELETE, &hex!("00000001 03 00 0000"), "  D: ESP");
        prints(
            PayloadType::FRAGMENT,
            &hex!("0001 02 01 ff"),
            "  FRAGMENT: id 1, number 2, last (1 bytes)",
        );
        prints(
            PayloadType::ATTRIBUTES,
            &[
                ConfigType::ACK.0,
                0,
                0,
                9,
                0x70,
                4,
                0,
                14,
                10,
                1,
                0,
                0,
                255,
                255,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
            ],
            "  ATTR: ACK, id 9, UNITY_SPLIT_INCLUDE 10.1.0.0/255.255.0.0",
        );
        prints(
            PayloadType::ATTRIBUTES,
            &hex!("02 00 0009 0001 0004 0a0101"),
            "  ATTR: REPLY, id 9, malformed: attribute length out of bounds at byte 38",
        );
        prints(PayloadType(99), &[1], "  payload 99 (1 bytes)");
    }

    #[test]
    fn a_broken_chain_is_printed_as_far_as_it_goes() {
        let trace = Trace::decrypted(
            Header { next_payload: PayloadType::HASH, ..HEADER },
            &hex!("0a000006 aabb 00000003"),
        );
        let text = trace.to_string();
        let expected = "  HASH (2 bytes)\n  malformed: payload length out of bounds at byte 36";
        assert_eq!(text.split_once('\n').unwrap().1, expected);
    }
}
