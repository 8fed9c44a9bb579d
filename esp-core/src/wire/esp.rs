//! The ESP header and trailer (RFC 4303 §2).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +---------------------------------------------------------------+
//! |                Security Parameters Index (SPI)                |
//! +---------------------------------------------------------------+
//! |                  Sequence Number (its low half)               |
//! +---------------------------------------------------------------+
//! |                        IV, then payload                       ~
//! +               +-----------------------------------------------+
//! |               |          padding, 0 to 255 bytes              ~
//! +---------------+---------------+---------------+---------------+
//! |      ~        padding         |  pad length   |  next header  |
//! +-------------------------------+---------------+---------------+
//! |                             ICV                               ~
//! +---------------------------------------------------------------+
//! ```

use crate::Spi;

/// Length of SPI and sequence number in bytes.
pub(crate) const HEADER_LEN: usize = 8;
/// Length of pad length and next header in bytes.
pub(crate) const TRAILER_LEN: usize = 2;

/// IP protocol 50.
pub(crate) const PROTOCOL: u8 = 50;
/// Next header of a dummy packet (RFC 4303 §2.6).
pub(crate) const NO_NEXT_HEADER: u8 = 59;

/// SPI and low half of the sequence number; `None` if there are no 8 bytes or the SPI is a reserved one.
pub(crate) fn parse_header(esp: &[u8]) -> Option<(Spi, u32)> {
    let (spi, rest) = esp.split_first_chunk::<4>()?;
    let (sequence, _) = rest.split_first_chunk::<4>()?;
    Some((Spi::new(u32::from_be_bytes(*spi))?, u32::from_be_bytes(*sequence)))
}

/// Writes SPI and low half of the sequence number.
pub(crate) fn emit_header(esp: &mut [u8], spi: Spi, sequence: u32) {
    if let Some((first, rest)) = esp.split_first_chunk_mut::<4>() {
        *first = spi.to_be_bytes();
        if let Some(second) = rest.first_chunk_mut::<4>() {
            *second = sequence.to_be_bytes();
        }
    }
}

/// Writes the trailer into all of `trailer`, padding included: 1, 2, 3 … (RFC 4303 §2.4).
pub(crate) fn emit_trailer(trailer: &mut [u8], next_header: u8) {
    if let Some((padding, last)) = trailer.split_last_chunk_mut::<TRAILER_LEN>() {
        let mut value = 0_u8;
        for byte in padding.iter_mut() {
            value = value.wrapping_add(1);
            *byte = value;
        }
        *last = [value, next_header];
    }
}

/// Length of the payload and next header of the decrypted part `plaintext`; `None` if the pad length is too large.
///
/// What the padding holds is not looked at: its place is authenticated, and peers fill it as they like.
pub(crate) fn parse_trailer(plaintext: &[u8]) -> Option<(usize, u8)> {
    let (rest, &[pad_len, next_header]) = plaintext.split_last_chunk::<TRAILER_LEN>()?;
    let payload_len = rest.len().checked_sub(pad_len.into())?;
    Some((payload_len, next_header))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_spis_and_short_headers_do_not_parse() {
        assert_eq!(parse_header(&[0, 0, 0, 255, 0, 0, 0, 1]), None);
        assert_eq!(parse_header(&[0, 0, 1, 0, 0, 0, 0]), None);
        let (spi, sequence) = parse_header(&[0, 0, 1, 0, 0, 0, 0, 7, 9]).expect("eight bytes");
        assert_eq!((spi.get(), sequence), (256, 7));
    }

    #[test]
    fn the_trailer_comes_back() {
        let mut plaintext = [0xaa; 12];
        emit_trailer(&mut plaintext[5..], 4);
        assert_eq!(plaintext[5..], [1, 2, 3, 4, 5, 5, 4]);
        assert_eq!(parse_trailer(&plaintext), Some((5, 4)));
        assert_eq!(parse_trailer(&[4]), None);
        assert_eq!(parse_trailer(&[0, 2, 4]), None);
        assert_eq!(parse_trailer(&[0, 1, 4]), Some((0, 4)));
    }
}
