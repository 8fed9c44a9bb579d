//! The attribute payload of Mode Config and XAUTH: draft-dukes-ike-mode-cfg §3.2.
//!
//! ```text
//! +---------------+---------------+-------------------------------+
//! |     type      |   reserved    |          identifier           |
//! +---------------+---------------+-------------------------------+
//! |                           attributes                          |
//! +---------------------------------------------------------------+
//! ```

use super::attribute::Attributes;
use super::numbers::ConfigType;
use super::reader::Reader;
use crate::error::Malformed;

/// The body of an attribute payload.
#[derive(Clone, Copy, Debug)]
pub struct ConfigPayload<'a> {
    /// Request, reply, set or acknowledgement.
    pub kind: ConfigType,
    /// Binds an answer to its question.
    pub identifier: u16,
    attributes: Reader<'a>,
}

impl<'a> ConfigPayload<'a> {
    /// Parses `body`, which starts at byte `offset` of the datagram.
    ///
    /// # Errors
    ///
    /// [`Truncated`](crate::error::MalformedKind::Truncated) below four bytes.
    pub fn parse(body: &'a [u8], offset: usize) -> Result<Self, Malformed> {
        let mut reader = Reader::new(body, offset);
        let [kind, _reserved] = reader.array()?;
        Ok(Self { kind: ConfigType(kind), identifier: reader.u16()?, attributes: reader })
    }

    /// Its attributes. Some peers pad inside of this payload: zeros at the end, too few for an attribute, are no error.
    #[must_use]
    pub const fn attributes(&self) -> Attributes<'a> {
        Attributes::with_zero_tail(self.attributes.rest(), self.attributes.offset())
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;
    use crate::wire::Value;

    #[test]
    fn parse() {
        let body = hex!("02 00 a4c1 0001 0004 0a010101 c08f 0001");
        let config = ConfigPayload::parse(&body, 32).unwrap();
        assert_eq!((config.kind, config.identifier), (ConfigType::REPLY, 0xa4c1));
        let mut attributes = config.attributes().map(Result::unwrap);
        assert_eq!(attributes.next().unwrap().value, Value::Long(&[10, 1, 1, 1]));
        let status = attributes.next().unwrap();
        assert_eq!((status.kind, status.value, status.offset), (16527, Value::Short(1), 44));
        assert!(attributes.next().is_none());
    }

    #[test]
    fn padding_inside_of_the_payload() {
        for zeros in 0..4 {
            let body = &hex!("02 00 0000 c08f 0001 000000")[..8 + zeros];
            let config = ConfigPayload::parse(body, 32).unwrap();
            assert_eq!(config.attributes().filter(Result::is_ok).count(), 1);
            assert!(config.attributes().all(|attribute| attribute.is_ok()));
        }
    }

    #[test]
    fn cut_short() {
        for len in 0..4 {
            assert!(ConfigPayload::parse(&[0; 4][..len], 32).is_err());
        }
    }
}
