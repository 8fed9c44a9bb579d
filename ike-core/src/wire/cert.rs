//! The certificate and the certificate request payload: RFC 2408 §3.9, §3.10.
//!
//! ```text
//! +---------------+-----------------------------------------------+
//! |   encoding    |  certificate, or name of an authority         |
//! +---------------+-----------------------------------------------+
//! ```

use core::ops::Range;

use super::numbers::{CertificateEncoding, PayloadType};
use super::reader::Reader;
use super::writer::MessageWriter;
use crate::error::{BufferTooSmall, Malformed};

/// The body of a certificate payload, or of a certificate request: they have the same form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificatePayload<'a> {
    /// What kind of certificate is carried or wanted.
    pub encoding: CertificateEncoding,
    /// The certificate; in a request the authority's distinguished name, empty if any will do.
    pub data: &'a [u8],
    /// Where the data start in the datagram; 0 for what was not received.
    pub offset: usize,
}

impl<'a> CertificatePayload<'a> {
    /// Parses `body`, which starts at byte `offset` of the datagram.
    ///
    /// # Errors
    ///
    /// [`Truncated`](crate::error::MalformedKind::Truncated) if it is empty.
    pub fn parse(body: &'a [u8], offset: usize) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, offset);
        Ok(Self {
            encoding: CertificateEncoding(reader.u8()?),
            data: reader.rest(),
            offset: reader.offset(),
        })
    }

    /// Appends a payload of `kind`, which is [`PayloadType::CERTIFICATE`] or [`PayloadType::CERTIFICATE_REQUEST`], to
    /// `message`; returns where its body stands.
    ///
    /// # Errors
    ///
    /// [`BufferTooSmall`].
    pub fn emit(
        &self,
        message: &mut MessageWriter<'_>,
        kind: PayloadType,
    ) -> Result<Range<usize>, BufferTooSmall> {
        message.payload(kind, &[&[self.encoding.0], self.data])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::MalformedKind;

    #[test]
    fn parse() {
        let certificate = CertificatePayload::parse(&[4, 0x30, 0x82], 32).unwrap();
        assert_eq!(certificate.encoding, CertificateEncoding::X509_SIGNATURE);
        assert_eq!((certificate.data, certificate.offset), (&[0x30, 0x82][..], 33));
    }

    #[test]
    fn a_request_may_name_nobody_but_must_say_what_it_wants() {
        assert!(CertificatePayload::parse(&[4], 32).unwrap().data.is_empty());
        let malformed = CertificatePayload::parse(&[], 32).unwrap_err();
        assert_eq!(malformed, Malformed { kind: MalformedKind::Truncated, offset: 32 });
    }
}
