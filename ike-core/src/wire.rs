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
