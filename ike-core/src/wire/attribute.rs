//! Data attributes: RFC 2408 §3.3.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-----------------------------+-------------------------------+
//! |F|        attribute type       | F=1: value                    |
//! |F|        attribute type       | F=0: length of the value      |
//! +-+-----------------------------+-------------------------------+
//! |                       F=0: value                              |
//! +---------------------------------------------------------------+
//! ```
//!
//! Attributes come in any order. Which form carries a number is the sender's choice (RFC 2407 §4.5), so that
//! readers ask for the number and not for the form.

use super::reader::Reader;
use crate::error::{Malformed, MalformedKind};

/// The bit that says that the value stands in the place of the length: "AF".
const SHORT_FORM: u16 = 0x8000;

/// One attribute. What the types mean depends on where the attribute stands: see `Phase1Attribute`,
/// `IpsecAttribute` and `ConfigAttribute` in [`numbers`](super::numbers).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Its type, 15 bits.
    pub kind: u16,
    /// Its value.
    pub value: Value<'a>,
    /// Where it starts in the datagram.
    pub offset: usize,
}

/// The value of an attribute, in the form in which it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// Type and value, "TV": 16 bits.
    Short(u16),
    /// Type, length and value, "TLV".
    Long(&'a [u8]),
}

impl<'a> Attribute<'a> {
    /// The value as a number, in either form; leading zeros of the long form do not count.
    ///
    /// `None` if the value is empty or needs more than 32 bits.
    #[must_use]
    pub fn as_u32(&self) -> Option<u32> {
        self.as_u64().and_then(|value| u32::try_from(value).ok())
    }

    /// The value as a number, in either form; leading zeros of the long form do not count.
    ///
    /// `None` if the value is empty or needs more than 64 bits.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self.value {
            Value::Short(value) => Some(u64::from(value)),
            Value::Long([]) => None,
            Value::Long(bytes) => {
                let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                let significant = bytes.get(zeros..).unwrap_or_default();
                if significant.len() > size_of::<u64>() {
                    return None;
                }
                Some(significant.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)))
            }
        }
    }

    /// The bytes of the long form; `None` in the short form.
    #[must_use]
    pub const fn as_bytes(&self) -> Option<&'a [u8]> {
        match self.value {
            Value::Short(_) => None,
            Value::Long(bytes) => Some(bytes),
        }
    }
}

/// A sequence of attributes, up to the end of what encloses them. Stops after the first error.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    reader: Reader<'a>,
    zero_tail: bool,
}

impl<'a> Attributes<'a> {
    /// The attributes in `bytes`, which start at byte `offset` of the datagram.
    #[must_use]
    pub const fn new(bytes: &'a [u8], offset: usize) -> Self {
        Self { reader: Reader::new(bytes, offset), zero_tail: false }
    }

    /// Likewise, for senders that pad inside of the payload: up to three zeros behind the last attribute are
    /// passed over. (Four of them are an attribute of type 0, without value.)
    pub(super) const fn with_zero_tail(bytes: &'a [u8], offset: usize) -> Self {
        Self { reader: Reader::new(bytes, offset), zero_tail: true }
    }

    /// The bytes of those that were not yet returned, as received.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.reader.rest()
    }

    fn parse_next(&mut self) -> Result<Attribute<'a>, Malformed> {
        let offset = self.reader.offset();
        let kind = self.reader.u16()?;
        let bad_length = self.reader.error(MalformedKind::AttributeLength);
        let value = self.reader.u16()?;
        if kind & SHORT_FORM != 0 {
            return Ok(Attribute { kind: kind & !SHORT_FORM, value: Value::Short(value), offset });
        }
        let bytes = self.reader.take(usize::from(value)).ok_or(bad_length)?;
        Ok(Attribute { kind, value: Value::Long(bytes), offset })
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.reader.rest();
        let zeros_only = || rest.len() < 4 && rest.iter().all(|byte| *byte == 0);
        if rest.is_empty() || self.zero_tail && zeros_only() {
            return None;
        }
        let result = self.parse_next();
        if result.is_err() {
            self.reader = Reader::new(&[], self.reader.offset());
        }
        Some(result)
    }
}

/// The short form: type and 16 bits.
#[must_use]
pub const fn tv(kind: u16, value: u16) -> [u8; 4] {
    let [k0, k1] = (kind | SHORT_FORM).to_be_bytes();
    let [v0, v1] = value.to_be_bytes();
    [k0, k1, v0, v1]
}

/// What stands before the value in the long form: type and length.
#[must_use]
pub const fn tlv_header(kind: u16, len: u16) -> [u8; 4] {
    let [k0, k1] = (kind & !SHORT_FORM).to_be_bytes();
    let [l0, l1] = len.to_be_bytes();
    [k0, k1, l0, l1]
}

/// The long form of a 32-bit number.
#[must_use]
pub const fn tlv_u32(kind: u16, value: u32) -> [u8; 8] {
    let [k0, k1, l0, l1] = tlv_header(kind, 4);
    let [v0, v1, v2, v3] = value.to_be_bytes();
    [k0, k1, l0, l1, v0, v1, v2, v3]
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    #[test]
    fn parse_both_forms_in_any_order() {
        let bytes = hex!("000c 0004 00015180 800b 0001 0006 0000 ffff 1234");
        let mut attributes = Attributes::new(&bytes, 100);
        let long = Value::Long(&bytes[4..8]);
        for (kind, value, offset) in [
            (12, long, 100),
            (11, Value::Short(1), 108),
            (6, Value::Long(&[]), 112),
            (0x7fff, Value::Short(0x1234), 116),
        ] {
            assert_eq!(attributes.next(), Some(Ok(Attribute { kind, value, offset })));
        }
        assert_eq!(attributes.next(), None);
    }

    #[test]
    fn emit_both_forms() {
        assert_eq!(tv(11, 1), hex!("800b 0001"));
        assert_eq!(tv(0xffff, 1), hex!("ffff 0001"));
        assert_eq!(tlv_header(0xffff, 4), hex!("7fff 0004"));
        assert_eq!(tlv_u32(12, 86_400), hex!("000c 0004 00015180"));
    }

    #[test]
    fn a_value_beyond_the_end_is_refused() {
        let bytes = hex!("800b 0001 000c 0004 00015180");
        for cut in 5..bytes.len() {
            let mut attributes = Attributes::new(&bytes[..cut], 0);
            assert!(attributes.next().unwrap().is_ok());
            let malformed = attributes.next().unwrap().unwrap_err();
            let (kind, offset) = match cut {
                5 => (MalformedKind::Truncated, 4),
                6 | 7 => (MalformedKind::Truncated, 6),
                _ => (MalformedKind::AttributeLength, 6),
            };
            assert_eq!(malformed, Malformed { kind, offset }, "{cut}");
            assert_eq!(attributes.next(), None);
        }
    }

    #[test]
    fn numbers_in_every_length() {
        let number = |value| Attribute { kind: 1, value, offset: 0 };
        let both = |value| (number(value).as_u32(), number(value).as_u64());
        assert_eq!(both(Value::Short(65_535)), (Some(65_535), Some(65_535)));
        assert_eq!(both(Value::Long(&[])), (None, None));
        assert_eq!(both(Value::Long(&[0])), (Some(0), Some(0)));
        assert_eq!(both(Value::Long(&hex!("0e10"))), (Some(3600), Some(3600)));
        assert_eq!(both(Value::Long(&[0xff; 4])), (Some(u32::MAX), Some(0xffff_ffff)));
        assert_eq!(both(Value::Long(&hex!("01 00000000"))), (None, Some(1 << 32)));
        assert_eq!(both(Value::Long(&[0xff; 8])), (None, Some(u64::MAX)));
        assert_eq!(both(Value::Long(&[0xff; 9])), (None, None));
        assert_eq!(both(Value::Long(&hex!("00000000000000000000 0e10"))), (Some(3600), Some(3600)));
    }

    #[test]
    fn a_tail_of_zeros_is_passed_over_only_where_that_is_asked_for() {
        for zeros in 1..4 {
            let bytes = &hex!("800b 0001 000000")[..4 + zeros];
            let mut strict = Attributes::new(bytes, 0);
            assert!(strict.next().unwrap().is_ok());
            assert_eq!(strict.next().unwrap().unwrap_err().kind, MalformedKind::Truncated);
            assert_eq!(Attributes::with_zero_tail(bytes, 0).filter(Result::is_ok).count(), 1);
        }
        let not_zero = hex!("800b 0001 0001");
        assert!(Attributes::with_zero_tail(&not_zero, 0).any(|attribute| attribute.is_err()));
    }
}
