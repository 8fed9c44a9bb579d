//! ICMP errors about packets that are too big or go nowhere (RFC 792, RFC 1191, RFC 4443).
//!
//! ```text
//! +---------------+---------------+-------------------------------+
//! |     type      |     code      |           checksum            |
//! +---------------+---------------+-------------------------------+
//! |  unused (IPv4: 16 bits, then)           MTU                   |
//! +---------------------------------------------------------------+
//! |  the packet in question, from its IP header on, maybe cut     ~
//! +---------------------------------------------------------------+
//! ```

use core::net::IpAddr;

use super::checksum::Checksum;
use super::ip::{Fragment, ICMP, ICMPV6, Ip, NewHeader, V4_HEADER_LEN, V6_HEADER_LEN};

/// Length of the header of an ICMP error in bytes.
const HEADER_LEN: usize = 8;
/// The longest error over IPv4 (RFC 1812 §4.3.2.3) and over IPv6 (RFC 4443 §2.4), in bytes.
const LONGEST: (usize, usize) = (576, 1280);

const UNREACHABLE_V4: u8 = 3;
const FRAGMENTATION_NEEDED: u8 = 4;
const TOO_BIG_V6: u8 = 2;

/// What an ICMP error says of the packet it quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IcmpError {
    /// It was larger than this many bytes, which is what the path takes. 0 if the router did not say.
    TooBig {
        /// In bytes.
        mtu: u16,
    },
    /// Anything else: unreachable, time exceeded, a parameter.
    Other {
        /// Of ICMP or ICMPv6, whichever family the packet is of.
        kind: u8,
        /// Its code.
        code: u8,
    },
}

/// Writes to `reply` the error that tells the sender of `packet` to send at most `mtu` bytes: Fragmentation Needed or
/// Packet Too Big, from `own`. Gives its length in bytes.
///
/// `None` where no error may be sent (RFC 1122 §3.2.2, RFC 4443 §2.4): about ICMP errors, later fragments, packets from an
/// address that is not one host's, and over IPv4 those to one; multicast over IPv6 hears of the size of its path. Also if
/// `own` is of the other family or `reply` too short for the headers and 28 bytes of the packet. 1280 bytes are always
/// enough.
#[must_use]
pub fn too_big_reply(packet: &[u8], mtu: u16, own: IpAddr, reply: &mut [u8]) -> Option<usize> {
    let ip = Ip::parse(packet).ok()?;
    if ip.fragment == Fragment::Later || own.is_ipv4() != ip.v4 || is_error(&ip, packet) {
        return None;
    }
    if !is_one_host(ip.source()) || ip.v4 && !is_one_host(ip.destination()) {
        return None;
    }
    let (ip_len, longest) =
        if ip.v4 { (V4_HEADER_LEN, LONGEST.0) } else { (V6_HEADER_LEN, LONGEST.1) };
    let headers = ip_len.saturating_add(HEADER_LEN);
    let room = reply.len().min(longest).checked_sub(headers)?;
    let quoted = packet.get(..ip.total_len.min(room))?;
    if quoted.len() < ip.total_len.min(28) {
        return None;
    }
    let len = headers.saturating_add(quoted.len());
    let reply = reply.get_mut(..len)?;
    let protocol = if ip.v4 { ICMP } else { ICMPV6 };
    let header = NewHeader {
        source: &own,
        destination: &ip.source(),
        traffic_class: 0,
        dont_fragment: false,
        identification: 0,
        flow_label: 0,
        ttl: crate::tunnel::DEFAULT_TTL,
        protocol,
    };
    header.emit(reply);
    let icmp = reply.get_mut(ip_len..)?;
    let (header, quote) = icmp.split_first_chunk_mut::<HEADER_LEN>()?;
    quote.copy_from_slice(quoted);
    let (kind, code) = if ip.v4 { (UNREACHABLE_V4, FRAGMENTATION_NEEDED) } else { (TOO_BIG_V6, 0) };
    let [mtu0, mtu1] = mtu.to_be_bytes();
    *header = [kind, code, 0, 0, 0, 0, mtu0, mtu1];
    let sum = if ip.v4 {
        Checksum::default()
    } else {
        let len = icmp.len();
        Checksum::default().add_pseudo_header(own, ip.source(), ICMPV6, len)
    };
    let checksum = sum.add(icmp).finish().to_be_bytes();
    icmp.get_mut(2..4)?.copy_from_slice(&checksum);
    Some(len)
}

/// What an ICMP error says, and the packet it quotes; `None` for anything else. Its checksum is the stack's to check.
pub(crate) fn parse_error<'p>(ip: &Ip, packet: &'p [u8]) -> Option<(IcmpError, &'p [u8])> {
    if !is_error(ip, packet) {
        return None;
    }
    let icmp = packet.get(ip.payload_at..ip.total_len)?;
    let (&[kind, code, _, _, m0, m1, m2, m3], quoted) = icmp.split_first_chunk::<HEADER_LEN>()?;
    let error = match (ip.v4, kind, code) {
        (true, UNREACHABLE_V4, FRAGMENTATION_NEEDED) => {
            IcmpError::TooBig { mtu: u16::from_be_bytes([m2, m3]) }
        }
        (false, TOO_BIG_V6, _) => {
            let mtu = u32::from_be_bytes([m0, m1, m2, m3]);
            IcmpError::TooBig { mtu: u16::try_from(mtu).unwrap_or(u16::MAX) }
        }
        _ => IcmpError::Other { kind, code },
    };
    Some((error, quoted))
}

/// Whether a packet is an ICMP error. ICMPv6 numbers its errors below 128.
fn is_error(ip: &Ip, packet: &[u8]) -> bool {
    let kind = packet.get(ip.payload_at).copied();
    match (ip.protocol, kind) {
        _ if ip.fragment == Fragment::Later => false,
        (ICMP, Some(kind)) => matches!(kind, 3 | 4 | 5 | 11 | 12),
        (ICMPV6, Some(kind)) => kind < 128,
        _ => false,
    }
}

/// For an ICMP error, the packet that it quotes: its headers and what there is of it. `None` for anything else, for a quote
/// too short for its headers, and for an error that goes to another than the sender of what it quotes.
pub(crate) fn quoted<'p>(ip: &Ip, packet: &'p [u8]) -> Option<(Ip, &'p [u8])> {
    let (_, quote) = parse_error(ip, packet)?;
    let quoted = Ip::parse_cut(quote)?;
    (quoted.v4 == ip.v4 && quoted.source == ip.destination).then_some((quoted, quote))
}

fn is_one_host(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_multicast() || address.is_loopback() || broadcast)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{Ipv4Addr, Ipv6Addr};
    use std::vec;
    use std::vec::Vec;

    const OWN: (IpAddr, IpAddr) = (
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1)),
    );

    fn packet(own: IpAddr, source: IpAddr, protocol: u8, len: usize) -> Vec<u8> {
        let mut packet = vec![0; len];
        let header = NewHeader {
            source: &source,
            destination: &own,
            traffic_class: 0,
            dont_fragment: true,
            identification: 0,
            flow_label: 0,
            ttl: 64,
            protocol,
        };
        header.emit(&mut packet);
        packet
    }

    #[test]
    fn the_reply_says_the_size_and_quotes_the_packet() {
        let hosts = (
            IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1)),
            IpAddr::V6(Ipv6Addr::LOCALHOST.to_bits().wrapping_add(1 << 120).into()),
        );
        for (own, host, longest) in [(OWN.0, hosts.0, 576), (OWN.1, hosts.1, 1280)] {
            for len in [68, 500, 1400, 3000] {
                let big = packet(own, host, 17, len);
                let mut reply = [0xee; 1280];
                let len = too_big_reply(&big, 1234, own, &mut reply).expect("may be sent");
                assert!(len <= longest);
                let ip = Ip::parse(&reply[..len]).expect("a packet");
                assert_eq!((ip.total_len, ip.destination(), ip.source()), (len, host, own));
                let (error, quoted) = parse_error(&ip, &reply[..len]).expect("an error");
                assert_eq!(error, IcmpError::TooBig { mtu: 1234 });
                assert_eq!(quoted, &big[..quoted.len()]);
                let icmp = &reply[ip.payload_at..len];
                let sum = match ip.v4 {
                    true => Checksum::default(),
                    false => Checksum::default().add_pseudo_header(own, host, ICMPV6, icmp.len()),
                };
                assert_eq!(sum.add(icmp).finish(), 0);
                // No error about an error.
                assert_eq!(too_big_reply(&reply[..len], 100, own, &mut [0; 1280]), None);
                let least = ip.payload_at + 8 + 28;
                for (room, expected) in [(40, None), (least - 1, None), (least, Some(least))] {
                    assert_eq!(too_big_reply(&big, 1234, own, &mut reply[..room]), expected);
                }
            }
        }
    }

    #[test]
    fn some_packets_are_not_answered() {
        let mut reply = [0; 1280];
        for source in [Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1)] {
            let big = packet(OWN.0, source.into(), 17, 1500);
            assert_eq!(too_big_reply(&big, 1400, OWN.0, &mut reply), None);
        }
        let host = Ipv4Addr::new(10, 0, 0, 1).into();
        for destination in [Ipv4Addr::BROADCAST, Ipv4Addr::new(224, 0, 0, 1)] {
            let big = packet(destination.into(), host, 17, 1500);
            assert_eq!(too_big_reply(&big, 1400, OWN.0, &mut reply), None, "{destination}");
        }
        // RFC 4443 §2.4: the one error that a sender of multicast needs.
        let group = Ipv6Addr::new(0xff0e, 0, 0, 0, 0, 0, 0, 1).into();
        let big = packet(group, Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 9).into(), 17, 1500);
        assert!(too_big_reply(&big, 1400, OWN.1, &mut reply).is_some());
        let mut later = packet(OWN.0, host, 17, 1500);
        assert_eq!(too_big_reply(&later, 1400, OWN.1, &mut reply), None);
        later[7] = 9;
        assert_eq!(too_big_reply(&later, 1400, OWN.0, &mut reply), None);
        // Nor does a later fragment tell of anything, though what it holds may look like an error.
        let len = too_big_reply(&packet(OWN.0, host, 17, 1500), 1400, OWN.0, &mut reply);
        let error = &mut reply[..len.expect("may be sent")];
        for (offset, tells) in [(0, true), (9, false)] {
            error[7] = offset;
            let ip = Ip::parse(error).expect("a packet");
            assert_eq!(parse_error(&ip, error).is_some(), tells);
        }
        assert_eq!(too_big_reply(&[], 1400, OWN.0, &mut reply), None);
    }
}
