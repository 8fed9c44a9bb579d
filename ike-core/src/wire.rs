//! The bytes of ISAKMP: RFC 2408 §3 and the IPsec DOI, RFC 2407 §4. Parsing borrows from the datagram and copies
//! nothing; emitting writes into a caller's buffer.
//!
//! | received | | sent |
//! |---|---|---|
//! | [`Header::parse`] | the 28 bytes in front | [`MessageWriter::new`] |
//! | [`Payloads`] | the chain behind it, one [`Payload`] after the other | [`MessageWriter::payload`] |
//! | [`SaBody`] → [`Proposal`] → [`Transform`] → [`Attributes`] | what an SA holds | [`MessageWriter::sa`] |
//! | [`IdPayload`], [`NotifyPayload`], [`DeletePayload`], … | the other payloads with a structure | their `emit` |
//!
//! KE, NONCE, HASH, SIG and NAT-D have no structure of their own: their [`Payload::body`] is all there is.
//!
//! Whatever the bytes, a parser here returns; it reads nothing outside of what it was given, and each step of an
//! iterator consumes bytes or ends. Values that this crate does not know survive: judging them is not the parser's
//! business. Offsets in errors count from the first byte of the ISAKMP header.
//!
//! ```
//! use ike_core::wire::numbers::{Doi, ExchangeType, PayloadType, Phase1Attribute, ProtocolId};
//! use ike_core::wire::*;
//!
//! let header = Header {
//!     cookies: CookiePair { initiator: Cookie(*b"whatever"), responder: Cookie::ZERO },
//!     next_payload: PayloadType::NONE, // filled in, as is the length
//!     version: VERSION,
//!     exchange: ExchangeType::IDENTITY_PROTECTION,
//!     flags: Flags::NONE,
//!     message_id: 0,
//!     length: 0,
//! };
//! let mut buffer = [0; 200];
//! let mut message = MessageWriter::new(&mut buffer, &header)?;
//! let mut sa = message.sa(Doi::IPSEC, SITUATION_IDENTITY_ONLY)?;
//! let mut proposal = sa.proposal(1, ProtocolId::ISAKMP, &[])?;
//! let mut transform = proposal.transform(1, 1)?;
//! transform.attribute_u32(Phase1Attribute::LIFE_DURATION.0, 86_400)?;
//! message.payload(PayloadType::VENDOR_ID, &[VendorId::NatT.body()])?;
//! let len = message.finish();
//!
//! let datagram = &buffer[..len];
//! let header = Header::parse(datagram)?;
//! for payload in Payloads::new(header.next_payload, &datagram[HEADER_LEN..], HEADER_LEN) {
//!     let payload = payload?;
//!     println!("{} of {} bytes at byte {}", payload.kind, payload.body.len(), payload.offset);
//! }
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

pub mod attribute;
mod cert;
mod config;
mod delete;
mod fragment;
mod header;
mod id;
mod natt;
mod notify;
pub mod numbers;
mod payload;
mod reader;
mod sa;
mod vendor;
mod writer;

pub use attribute::{Attribute, Attributes, Value};
pub use cert::CertificatePayload;
pub use config::ConfigPayload;
pub use delete::DeletePayload;
pub use fragment::FragmentPayload;
pub use header::{Cookie, CookiePair, Flags, HEADER_LEN, Header, VERSION};
pub use id::{AddressId, IdPayload};
pub use natt::NatOriginalAddress;
pub use notify::NotifyPayload;
pub use payload::{GENERIC_HEADER_LEN, Payload, Payloads};
pub use sa::{Proposal, ProposalIter, SITUATION_IDENTITY_ONLY, SaBody, Transform, TransformIter};
pub use vendor::VendorId;
pub use writer::{AttributesWriter, MAX_MESSAGE, MessageWriter, ProposalWriter, SaWriter};
