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
