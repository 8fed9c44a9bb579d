//! The UDP header around ESP (RFC 3948 §2.1).
//!
//! ```text
//! +-------------------------------+-------------------------------+
//! |          source port          |       destination port        |
//! +-------------------------------+-------------------------------+
//! |            length             |    checksum (IPv4: 0)      |
//! +-------------------------------+-------------------------------+
//! ```

/// Length of the header in bytes.
pub(crate) const HEADER_LEN: usize = 8;
/// IP protocol 17.
pub(crate) const PROTOCOL: u8 = 17;

/// Source port, destination port, and the length of the payload the header claims; `None` if the header does not fit,
/// or claims more than there is.
pub(crate) fn parse(datagram: &[u8]) -> Option<(u16, u16, usize)> {
    let (&[s0, s1, d0, d1, l0, l1, _, _], rest) = datagram.split_first_chunk::<HEADER_LEN>()?;
    let len = usize::from(u16::from_be_bytes([l0, l1])).checked_sub(HEADER_LEN)?;
    (len <= rest.len()).then_some((u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]), len))
}

/// Where the checksum is in the header.
pub(crate) const CHECKSUM_AT: usize = 6;

/// Writes the header of a datagram of `len` bytes in all, with checksum 0: ESP has its own, and RFC 3948 §2.1 wants none
/// over IPv4.
pub(crate) fn emit(header: &mut [u8], source: u16, destination: u16, len: u16) {
    let words = [source, destination, len, 0];
    for (to, word) in header.chunks_exact_mut(2).zip(words) {
        to.copy_from_slice(&word.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_beyond_the_datagram_is_refused() {
        let mut datagram = [0; 12];
        emit(&mut datagram, 4500, 4501, 12);
        assert_eq!(parse(&datagram), Some((4500, 4501, 4)));
        assert_eq!(parse(&datagram[..11]), None);
        emit(&mut datagram, 4500, 4501, 7);
        assert_eq!(parse(&datagram), None);
        emit(&mut datagram, 4500, 4501, 8);
        assert_eq!(parse(&datagram), Some((4500, 4501, 0)));
    }
}
