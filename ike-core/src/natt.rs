//! NAT traversal: RFC 3947 (finding a NAT, moving to port 4500) and RFC 3948 (what shares that port).
//!
//! ```text
//! on UDP 4500:   00 00 00 00 | ISAKMP header …      an IKE message behind the non-ESP marker
//!                SPI (not 0) | sequence number …    ESP
//!                ff                                 a keepalive, one byte
//! ```

use core::net::{IpAddr, SocketAddr};

use subtle::ConstantTimeEq;

use crate::config::NatTraversal;
use crate::crypto::{MAX_HASH_LEN, Prf};
use crate::exchange::Message;
use crate::wire::numbers::{EncapsulationMode, PayloadType};
use crate::wire::{CookiePair, VendorId};

/// What stands before an IKE message on the port that ESP shares (RFC 3948 §2.2).
pub const NON_ESP_MARKER: [u8; 4] = [0; 4];

/// The datagram that keeps a NAT mapping alive (RFC 3948 §2.3).
pub const KEEPALIVE: [u8; 1] = [0xff];

/// IKE's port.
pub const IKE_PORT: u16 = 500;

/// The port of NAT traversal.
pub const NAT_PORT: u16 = 4500;

/// What a datagram from UDP port 4500 is.
#[derive(Debug, PartialEq, Eq)]
pub enum Classified<'d> {
    /// An IKE message, its marker taken off: for [`Endpoint::handle_datagram`](crate::Endpoint::handle_datagram).
    Ike(&'d mut [u8]),
    /// An ESP packet, from the SPI on: for the data plane.
    Esp(&'d mut [u8]),
    /// A NAT keepalive: to be ignored.
    Keepalive,
    /// Nothing of these: shorter than an SPI.
    Short,
}

/// Tells IKE, ESP and keepalives on UDP port 4500 from each other (RFC 3948 §2).
#[must_use]
pub fn classify(datagram: &mut [u8]) -> Classified<'_> {
    if datagram == KEEPALIVE {
        return Classified::Keepalive;
    }
    if datagram.starts_with(&NON_ESP_MARKER) {
        let (_, message) = datagram.split_at_mut_checked(NON_ESP_MARKER.len()).unwrap_or_default();
        Classified::Ike(message)
    } else if datagram.len() < NON_ESP_MARKER.len() {
        Classified::Short
    } else {
        Classified::Esp(datagram)
    }
}

/// Which document a peer follows for NAT traversal. They differ in numbers, and in when the ports move.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NatMethod {
    /// None is announced.
    #[default]
    None,
    /// draft-ietf-ipsec-nat-t-ike-02, as which both forms of its vendor ID count.
    Draft02,
    /// draft-ietf-ipsec-nat-t-ike-03.
    Draft03,
    /// RFC 3947.
    Rfc3947,
}

impl NatMethod {
    /// What a vendor ID announces.
    pub(crate) const fn announced(vendor: VendorId) -> Self {
        match vendor {
            VendorId::NatT => Self::Rfc3947,
            VendorId::NatTDraft03 => Self::Draft03,
            VendorId::NatTDraft02 | VendorId::NatTDraft02LineFeed => Self::Draft02,
            _ => Self::None,
        }
    }

    /// The number of the NAT-D payload.
    pub(crate) const fn nat_d(self) -> PayloadType {
        match self {
            Self::Draft02 | Self::Draft03 => PayloadType::NAT_D_DRAFT,
            Self::None | Self::Rfc3947 => PayloadType::NAT_D,
        }
    }

    /// The number of the NAT-OA payload.
    pub(crate) const fn nat_oa(self) -> PayloadType {
        match self {
            Self::Draft02 | Self::Draft03 => PayloadType::NAT_OA_DRAFT,
            Self::None | Self::Rfc3947 => PayloadType::NAT_OA,
        }
    }

    /// The encapsulation mode to propose with UDP encapsulation.
    pub(crate) const fn udp_mode(self, mode: esp_core::Mode) -> EncapsulationMode {
        match (self, mode) {
            (Self::Draft02 | Self::Draft03, esp_core::Mode::Tunnel) => {
                EncapsulationMode::UDP_TUNNEL_DRAFT
            }
            (Self::Draft02 | Self::Draft03, esp_core::Mode::Transport) => {
                EncapsulationMode::UDP_TRANSPORT_DRAFT
            }
            (_, esp_core::Mode::Tunnel) => EncapsulationMode::UDP_TUNNEL,
            (_, esp_core::Mode::Transport) => EncapsulationMode::UDP_TRANSPORT,
        }
    }
}

/// What is known of NATs between us and a peer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Nat {
    pub(crate) method: NatMethod,
    /// Our address is not what the peer sees.
    pub(crate) local_behind: bool,
    /// The peer's address is not what we see, or it pretends so.
    pub(crate) remote_behind: bool,
}

impl Nat {
    /// Where the configuration forces encapsulation, a NAT on our side is pretended.
    pub(crate) fn forced(mut self, setting: NatTraversal) -> Self {
        self.local_behind |= setting == NatTraversal::Force && self.method != NatMethod::None;
        self
    }

    /// Whether ESP has to go in UDP.
    pub(crate) const fn found(&self) -> bool {
        self.local_behind || self.remote_behind
    }
}

/// A NAT-D value, HASH(CKY-I | CKY-R | IP | Port) (RFC 3947 §3.2).
#[derive(Clone, Copy)]
pub(crate) struct NatD {
    value: [u8; MAX_HASH_LEN],
    len: usize,
}

impl NatD {
    pub(crate) fn new(prf: &dyn Prf, cookies: &CookiePair, address: SocketAddr) -> Self {
        let port = address.port().to_be_bytes();
        let (v4, v6);
        let ip: &[u8] = match address.ip() {
            IpAddr::V4(ip) => {
                v4 = ip.octets();
                &v4
            }
            IpAddr::V6(ip) => {
                v6 = ip.octets();
                &v6
            }
        };
        let mut value = [0; MAX_HASH_LEN];
        prf.hash(&[&cookies.initiator.0, &cookies.responder.0, ip, &port], &mut value);
        Self { value, len: prf.output_len() }
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.value.get(..self.len).unwrap_or_default()
    }
}

/// Compares the NAT-D payloads of a message with what we know (RFC 3947 §3.2): the first is the address the peer
/// sends to, the others are those it may send from. Without any, or where NAT traversal is not agreed, nothing is known
/// and nothing assumed.
pub(crate) fn detect(
    message: &Message<'_>,
    method: NatMethod,
    prf: &dyn Prf,
    cookies: &CookiePair,
    local: SocketAddr,
    remote: SocketAddr,
) -> Nat {
    let local = NatD::new(prf, cookies, local);
    let remote = NatD::new(prf, cookies, remote);
    let mut payloads = message.all(method.nat_d());
    let Some(destination) = payloads.next().filter(|_| method != NatMethod::None) else {
        return Nat { method, ..Nat::default() };
    };
    let matches = |body: &[u8], ours: &NatD| bool::from(body.ct_eq(ours.as_slice()));
    Nat {
        method,
        local_behind: !matches(destination.body, &local),
        remote_behind: !payloads.any(|source| matches(source.body, &remote)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::header;
    use crate::exchange::MAIN_MODE;
    use crate::wire::numbers::{ExchangeType, HashAlgorithm};
    use crate::wire::{Cookie, Header, MessageWriter};

    #[test]
    fn classify_by_rfc_3948() {
        assert_eq!(classify(&mut [0xff]), Classified::Keepalive);
        assert_eq!(classify(&mut []), Classified::Short);
        assert_eq!(classify(&mut [0xfe]), Classified::Short);
        assert_eq!(classify(&mut [0, 0, 0]), Classified::Short);
        assert_eq!(classify(&mut [0, 0, 0, 0]), Classified::Ike(&mut []));
        assert_eq!(classify(&mut [0, 0, 0, 0, 7]), Classified::Ike(&mut [7]));
        assert_eq!(classify(&mut [0, 0, 1, 0]), Classified::Esp(&mut [0, 0, 1, 0]));
        assert_eq!(classify(&mut [0xff; 4]), Classified::Esp(&mut [0xff; 4]));
    }

    #[test]
    fn each_document_has_its_numbers() {
        use esp_core::Mode::{Transport, Tunnel};
        let drafts = [VendorId::NatTDraft03, VendorId::NatTDraft02, VendorId::NatTDraft02LineFeed];
        for (vendors, numbers) in
            [(&[VendorId::NatT][..], [20, 21, 3, 4]), (&drafts, [130, 131, 61_443, 61_444])]
        {
            for vendor in vendors {
                let method = NatMethod::announced(*vendor);
                let payloads = [method.nat_d(), method.nat_oa()].map(|kind| u16::from(kind.0));
                let modes = [Tunnel, Transport].map(|mode| method.udp_mode(mode).0);
                assert_eq!([payloads, modes].concat(), numbers, "{vendor:?}");
            }
        }
        assert_eq!(NatMethod::announced(VendorId::NatTDraft00), NatMethod::None);
        assert!(NatMethod::Rfc3947 > NatMethod::Draft03 && NatMethod::Draft03 > NatMethod::Draft02);
    }

    /// The first NAT-D is where the peer sends to, the others are where it may send from: of those, one that fits is enough.
    #[test]
    fn a_nat_is_found_where_addresses_differ() {
        let prf = crate::crypto::SOFTWARE.hash(HashAlgorithm::SHA2_256).unwrap();
        let initiator = Cookie([1; 8]);
        let cookies = CookiePair { initiator, responder: Cookie([2; 8]) };
        let address = |last, port| SocketAddr::from(([192, 0, 2, last], port));
        let (ours, peers, others) = (address(1, 500), address(2, 500), address(2, 501));
        let method = NatMethod::Rfc3947;
        for (said, [local_behind, remote_behind]) in [
            (&[][..], [false, false]),
            (&[ours, peers], [false, false]),
            (&[ours, others], [false, true]),
            (&[others, peers], [true, false]),
            (&[others, others], [true, true]),
            (&[ours, others, peers], [false, false]),
            (&[ours], [false, true]),
        ] {
            let mut buffer = [0; 512];
            let head = header(cookies, ExchangeType::IDENTITY_PROTECTION, 0, false);
            let mut message = MessageWriter::new(&mut buffer, &head).unwrap();
            message.payload(PayloadType::KEY_EXCHANGE, &[&[1; 32]]).unwrap();
            message.payload(PayloadType::NONCE, &[&[1; 16]]).unwrap();
            for address in said {
                let value = NatD::new(prf, &cookies, *address);
                message.payload(method.nat_d(), &[value.as_slice()]).unwrap();
            }
            let written = message.written();
            let head = Header::parse(written).unwrap();
            let message = Message::check(written, &head, &MAIN_MODE[2]).unwrap();
            let found = detect(&message, method, prf, &cookies, ours, peers);
            assert_eq!(found, Nat { method, local_behind, remote_behind }, "{said:?}");
        }
    }
}
