//! Reads all there is to read in a message, and holds the parsers to their promises while doing so.

use core::fmt::{self, Write};

use ike_core::error::Malformed;
use ike_core::trace::{MAX_LINES, Trace};
use ike_core::wire::numbers::PayloadType;
use ike_core::wire::{
    Attributes, CertificatePayload, ConfigPayload, DeletePayload, FragmentPayload, HEADER_LEN,
    Header, IdPayload, NatOriginalAddress, NotifyPayload, Payload, Payloads, SaBody, VendorId,
};

/// The most that a trace may print: each line has bounds of its own.
const MAX_TRACE: usize = MAX_LINES * 20_000;

/// Parses `datagram` down to the last attribute, and traces it. Returns the number of payloads.
pub(crate) fn walk(datagram: &[u8]) -> Result<usize, Malformed> {
    print(Trace::new(datagram));
    let result = Header::parse(datagram).and_then(|header| {
        print(Trace::decrypted(header, &datagram[HEADER_LEN..]));
        walk_chain(header.next_payload, &datagram[HEADER_LEN..])
    });
    if let Err(malformed) = result {
        assert!(usize::from(malformed.offset) <= datagram.len(), "{malformed}");
    }
    result
}

/// The same for a chain that follows the header.
pub(crate) fn walk_chain(first: PayloadType, chain: &[u8]) -> Result<usize, Malformed> {
    let mut payloads = Payloads::new(first, chain, HEADER_LEN);
    let mut count = 0;
    let mut end = 0;
    let mut worst = Ok(());
    while let Some(payload) = payloads.next() {
        let payload = payload?;
        assert!(payloads.end() >= end + 4 && payloads.end() <= chain.len(), "progress");
        end = payloads.end();
        assert_eq!(payload.offset - HEADER_LEN + payload.body.len(), end);
        assert_eq!(payload.body, &chain[payload.offset - HEADER_LEN..end]);
        count += 1;
        // What is wrong inside of one payload does not keep the others from being read.
        worst = worst.and(walk_payload(&payload));
    }
    worst.map(|()| count)
}

fn walk_payload(payload: &Payload<'_>) -> Result<(), Malformed> {
    let Payload { kind, body, offset } = *payload;
    match kind {
        PayloadType::SA => {
            let sa = SaBody::parse(body, offset)?;
            let mut steps = 0;
            for proposal in sa.proposals() {
                for transform in proposal?.transforms() {
                    for attribute in transform?.attributes() {
                        let attribute = attribute?;
                        assert!(
                            attribute
                                .as_u32()
                                .map(u64::from)
                                .is_none_or(|number| { attribute.as_u64() == Some(number) })
                        );
                        steps += 1;
                        assert!(steps <= body.len() / 4, "each attribute takes four bytes");
                    }
                }
            }
            sa.check()
        }
        PayloadType::ID => IdPayload::parse(body, offset)?.addresses().map(drop),
        PayloadType::CERTIFICATE | PayloadType::CERTIFICATE_REQUEST => {
            CertificatePayload::parse(body, offset).map(drop)
        }
        PayloadType::NOTIFICATION => {
            let notify = NotifyPayload::parse(body, offset)?;
            walk_attributes(notify.attributes()).ok();
            Ok(())
        }
        PayloadType::DELETE => {
            let delete = DeletePayload::parse(body, offset)?;
            assert_eq!(delete.spis().count(), usize::from(delete.count));
            assert!(delete.spis().all(|spi| spi.len() == usize::from(delete.spi_size)));
            Ok(())
        }
        PayloadType::VENDOR_ID => {
            assert!(VendorId::recognise(body).is_none_or(|id| id.body().len() <= body.len() + 2));
            Ok(())
        }
        PayloadType::ATTRIBUTES => {
            walk_attributes(ConfigPayload::parse(body, offset)?.attributes())
        }
        PayloadType::NAT_OA | PayloadType::NAT_OA_DRAFT => {
            NatOriginalAddress::parse(body, offset).map(drop)
        }
        PayloadType::FRAGMENT => FragmentPayload::parse(body, offset).map(drop),
        _ => Ok(()),
    }
}

fn walk_attributes(mut attributes: Attributes<'_>) -> Result<(), Malformed> {
    let mut left = attributes.bytes().len();
    while let Some(attribute) = attributes.next() {
        attribute?;
        assert!(attributes.bytes().len() + 4 <= left, "progress");
        left = attributes.bytes().len();
    }
    Ok(())
}

/// Prints; whatever the bytes, that ends, and has bounds.
pub(crate) fn print(trace: Trace<'_>) -> String {
    let text = trace.to_string();
    assert!(text.lines().count() <= MAX_LINES);
    assert!(text.len() <= MAX_TRACE, "{} bytes", text.len());
    assert!(!text.bytes().any(|byte| byte != b'\n' && byte.is_ascii_control()));
    text
}

/// A text of limited size, as a device without a heap would have it.
pub(crate) struct Fixed {
    pub(crate) text: String,
    pub(crate) room: usize,
}

impl Write for Fixed {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.text.len() + text.len() > self.room {
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}
