//! Whole IP packets as bytes: built, read and rewritten, with real checksums.
//!
//! The simulator's hosts send these, its NAT rewrites them, and the capture files hold them. Only what that needs is
//! here: IPv4 without options (RFC 791), IPv6 without extension headers (RFC 8200), UDP (RFC 768), and the echo
//! messages of ICMP (RFC 792) and ICMPv6 (RFC 4443 §4).

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// IP protocol numbers.
pub mod protocol {
    /// ICMP.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// Encapsulating Security Payload.
    pub const ESP: u8 = 50;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
}

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const UDP_HEADER: usize = 8;
const HOP_LIMIT: u8 = 64;

/// Which of the two echo messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Echo {
    /// What `ping` sends.
    Request,
    /// What comes back.
    Reply,
}

/// An IP packet around `payload`. Both addresses must be of one family.
///
/// # Panics
///
/// If the families differ, or the packet would be longer than 65 535 bytes: both are mistakes of the caller.
#[must_use]
pub fn ip(source: IpAddr, destination: IpAddr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = Vec::with_capacity(IPV6_HEADER + payload.len());
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            let total =
                u16::try_from(IPV4_HEADER + payload.len()).expect("packet fits 65 535 bytes");
            packet.extend_from_slice(&[0x45, 0]);
            packet.extend_from_slice(&total.to_be_bytes());
            packet.extend_from_slice(&[0, 0, 0, 0, HOP_LIMIT, protocol, 0, 0]);
            packet.extend_from_slice(&source.octets());
            packet.extend_from_slice(&destination.octets());
            let sum = checksum(&[&packet]);
            packet[10..12].copy_from_slice(&sum.to_be_bytes());
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            let length = u16::try_from(payload.len()).expect("payload fits 65 535 bytes");
            packet.extend_from_slice(&[0x60, 0, 0, 0]);
            packet.extend_from_slice(&length.to_be_bytes());
            packet.extend_from_slice(&[protocol, HOP_LIMIT]);
            packet.extend_from_slice(&source.octets());
            packet.extend_from_slice(&destination.octets());
        }
        _ => panic!("{source} and {destination} are of two families"),
    }
    packet.extend_from_slice(payload);
    packet
}

/// A UDP datagram in its IP packet.
#[must_use]
pub fn udp(source: SocketAddr, destination: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(UDP_HEADER + payload.len()).expect("datagram fits 65 535 bytes");
    let mut datagram = Vec::with_capacity(usize::from(length));
    datagram.extend_from_slice(&source.port().to_be_bytes());
    datagram.extend_from_slice(&destination.port().to_be_bytes());
    datagram.extend_from_slice(&length.to_be_bytes());
    datagram.extend_from_slice(&[0, 0]);
    datagram.extend_from_slice(payload);
    let sum = transport_checksum(source.ip(), destination.ip(), protocol::UDP, &datagram);
    datagram[6..8].copy_from_slice(&sum.to_be_bytes());
    ip(source.ip(), destination.ip(), protocol::UDP, &datagram)
}

/// An ICMP or ICMPv6 echo message in its IP packet.
#[must_use]
pub fn echo(
    source: IpAddr,
    destination: IpAddr,
    kind: Echo,
    identifier: u16,
    sequence: u16,
    payload: &[u8],
) -> Vec<u8> {
    let (protocol, message_type) = match (source.is_ipv4(), kind) {
        (true, Echo::Request) => (protocol::ICMP, 8),
        (true, Echo::Reply) => (protocol::ICMP, 0),
        (false, Echo::Request) => (protocol::ICMPV6, 128),
        (false, Echo::Reply) => (protocol::ICMPV6, 129),
    };
    let mut message = vec![message_type, 0, 0, 0];
    message.extend_from_slice(&identifier.to_be_bytes());
    message.extend_from_slice(&sequence.to_be_bytes());
    message.extend_from_slice(payload);
    // ICMPv6 sums the pseudo-header too, ICMP does not (RFC 4443 §2.3).
    let sum = match source {
        IpAddr::V4(_) => checksum(&[&message]),
        IpAddr::V6(_) => transport_checksum(source, destination, protocol, &message),
    };
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ip(source, destination, protocol, &message)
}

/// What the headers of a packet say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The sender.
    pub source: IpAddr,
    /// The receiver.
    pub destination: IpAddr,
    /// The protocol behind the IP header.
    pub protocol: u8,
    /// Where what that protocol carries lies in the packet: behind the UDP header, or behind the IP header.
    pub payload: Range<usize>,
    /// Source and destination port, if it is UDP.
    pub ports: Option<(u16, u16)>,
}

impl View {
    /// Reads the headers; `None` if they are not whole, or longer than the packet.
    #[must_use]
    pub fn of(packet: &[u8]) -> Option<Self> {
        let (source, destination, protocol, body) = match packet.first()? >> 4 {
            4 => {
                let header = usize::from(packet[0] & 0x0f) * 4;
                let total = usize::from(u16_at(packet, 2)?);
                if header < IPV4_HEADER || total < header || total > packet.len() {
                    return None;
                }
                let source: [u8; 4] = packet.get(12..16)?.try_into().ok()?;
                let destination: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
                (source.into(), destination.into(), *packet.get(9)?, header..total)
            }
            6 => {
                let total = IPV6_HEADER + usize::from(u16_at(packet, 4)?);
                if total > packet.len() {
                    return None;
                }
                let source: [u8; 16] = packet.get(8..24)?.try_into().ok()?;
                let destination: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
                (source.into(), destination.into(), *packet.get(6)?, IPV6_HEADER..total)
            }
            _ => return None,
        };
        if protocol != protocol::UDP {
            return Some(Self { source, destination, protocol, payload: body, ports: None });
        }
        let length = usize::from(u16_at(packet, body.start + 4)?);
        if length < UDP_HEADER || length > body.len() {
            return None;
        }
        let ports = (u16_at(packet, body.start)?, u16_at(packet, body.start + 2)?);
        let payload = body.start + UDP_HEADER..body.start + length;
        Some(Self { source, destination, protocol, payload, ports: Some(ports) })
    }

    /// The sender with its port; port 0 if the packet has none.
    #[must_use]
    pub fn from(&self) -> SocketAddr {
        SocketAddr::new(self.source, self.ports.map_or(0, |(source, _)| source))
    }

    /// The receiver with its port; port 0 if the packet has none.
    #[must_use]
    pub fn to(&self) -> SocketAddr {
        SocketAddr::new(self.destination, self.ports.map_or(0, |(_, destination)| destination))
    }
}

/// Which end of a packet to rewrite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Where it comes from.
    Source,
    /// Where it goes.
    Destination,
}

/// Gives a UDP packet another address and port at one end and repairs its checksums, as a NAT does. A UDP checksum
/// of zero stays zero: over IPv4 it says that there is none (RFC 768). `false`, and nothing changed, if the packet
/// is not UDP or of the other family.
pub fn rewrite(packet: &mut [u8], end: End, address: SocketAddr) -> bool {
    let Some(view) = View::of(packet).filter(|view| view.ports.is_some()) else { return false };
    if view.source.is_ipv4() != address.is_ipv4() {
        return false;
    }
    let (at, port_at) = match end {
        End::Source => (0, 0),
        End::Destination => (1, 2),
    };
    match address.ip() {
        IpAddr::V4(address) => {
            packet[12 + at * 4..16 + at * 4].copy_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            packet[8 + at * 16..24 + at * 16].copy_from_slice(&address.octets());
        }
    }
    let udp = view.payload.start - UDP_HEADER;
    packet[udp + port_at..udp + port_at + 2].copy_from_slice(&address.port().to_be_bytes());
    repair(packet);
    true
}

/// Computes the IPv4 header checksum and the UDP checksum of a packet anew.
pub fn repair(packet: &mut [u8]) {
    let Some(view) = View::of(packet) else { return };
    if view.source.is_ipv4() {
        let header = usize::from(packet[0] & 0x0f) * 4;
        packet[10..12].fill(0);
        let sum = checksum(&[&packet[..header]]);
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    if view.ports.is_some() {
        let udp = view.payload.start - UDP_HEADER;
        if packet[udp + 6..udp + 8] != [0, 0] {
            packet[udp + 6..udp + 8].fill(0);
            let datagram = &packet[udp..view.payload.end];
            let sum = transport_checksum(view.source, view.destination, protocol::UDP, datagram);
            packet[udp + 6..udp + 8].copy_from_slice(&sum.to_be_bytes());
        }
    }
}

/// Whether every checksum that the packet carries is right.
#[must_use]
pub fn checksums_hold(packet: &[u8]) -> bool {
    let Some(view) = View::of(packet) else { return false };
    if view.source.is_ipv4() {
        let header = usize::from(packet[0] & 0x0f) * 4;
        if checksum(&[&packet[..header]]) != 0 {
            return false;
        }
    }
    let body = |header: usize| &packet[view.payload.start - header..view.payload.end];
    match view.protocol {
        protocol::UDP => {
            let datagram = body(UDP_HEADER);
            let absent = datagram[6..8] == [0, 0];
            (absent && view.source.is_ipv4())
                || pseudo_sum(view.source, view.destination, protocol::UDP, datagram) == 0
        }
        protocol::ICMP => checksum(&[body(0)]) == 0,
        protocol::ICMPV6 => {
            pseudo_sum(view.source, view.destination, protocol::ICMPV6, body(0)) == 0
        }
        _ => true,
    }
}

/// The checksum of UDP and ICMPv6, as it is sent: zero is written as all ones (RFC 768).
fn transport_checksum(source: IpAddr, destination: IpAddr, protocol: u8, body: &[u8]) -> u16 {
    match pseudo_sum(source, destination, protocol, body) {
        0 => u16::MAX,
        sum => sum,
    }
}

fn pseudo_sum(source: IpAddr, destination: IpAddr, protocol: u8, body: &[u8]) -> u16 {
    let length = u32::try_from(body.len()).expect("length of a packet").to_be_bytes();
    let next = [0, 0, 0, protocol];
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            checksum(&[&source.octets(), &destination.octets(), &next, &length, body])
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            checksum(&[&source.octets(), &destination.octets(), &next, &length, body])
        }
        _ => panic!("{source} and {destination} are of two families"),
    }
}

/// The Internet checksum (RFC 1071) over parts laid end to end; all but the last must be of even length.
#[must_use]
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0_u64;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).expect("folded to 16 bits")
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// The IPv4 header that RFC 1071's readers know: 0xb861 is its checksum.
    #[test]
    fn checksum_of_a_known_header() {
        let header = [
            0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11, 0x00, 0x00, 0xc0, 0xa8,
            0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7,
        ];
        assert_eq!(checksum(&[&header]), 0xb861);
    }

    #[test]
    fn built_packets_carry_right_checksums() {
        for (a, b) in [("10.1.0.5:7", "10.2.0.5:9"), ("[2001:db8:1::5]:7", "[2001:db8:2::5]:9")] {
            let (a, b) = (socket(a), socket(b));
            for payload in [&b""[..], b"x", b"odd", b"even"] {
                let mut packet = udp(a, b, payload);
                assert!(checksums_hold(&packet));
                let view = View::of(&packet).unwrap();
                assert_eq!((view.from(), view.to()), (a, b));
                assert_eq!(&packet[view.payload], payload);
                let last = packet.len() - 1;
                packet[last] ^= 1;
                assert!(!checksums_hold(&packet));

                let mut packet = echo(a.ip(), b.ip(), Echo::Request, 1, 2, payload);
                assert!(checksums_hold(&packet));
                packet[if a.is_ipv4() { 24 } else { 44 }] ^= 1;
                assert!(!checksums_hold(&packet));
            }
        }
    }

    #[test]
    fn rewriting_keeps_checksums_right() {
        for (a, b, new) in [
            ("10.1.0.5:500", "10.2.0.5:500", "203.0.113.1:61234"),
            ("[2001:db8::5]:500", "[2001:db8::6]:500", "[2001:db8:ff::1]:61234"),
        ] {
            let mut packet = udp(socket(a), socket(b), b"payload");
            assert!(rewrite(&mut packet, End::Source, socket(new)));
            assert!(checksums_hold(&packet));
            assert_eq!(View::of(&packet).unwrap().from(), socket(new));
            assert!(rewrite(&mut packet, End::Destination, socket(new)));
            assert!(checksums_hold(&packet));
            assert_eq!(View::of(&packet).unwrap().to(), socket(new));
        }
    }

    #[test]
    fn what_is_not_udp_is_not_rewritten() {
        let mut packet = ip([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), protocol::ESP, &[1; 40]);
        let before = packet.clone();
        assert!(!rewrite(&mut packet, End::Source, socket("203.0.113.1:1")));
        assert!(!rewrite(&mut packet, End::Source, socket("[::1]:1")));
        assert_eq!(packet, before);
    }

    #[test]
    fn broken_headers_have_no_view() {
        let good = udp(socket("10.0.0.1:1"), socket("10.0.0.2:2"), b"abc");
        for length in 0..good.len() {
            assert_eq!(View::of(&good[..length]), None);
        }
        let good = udp(socket("[::1]:1"), socket("[::2]:2"), b"abc");
        for length in 0..good.len() {
            assert_eq!(View::of(&good[..length]), None);
        }
    }
}
