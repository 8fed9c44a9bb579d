//! The vendor ID payload: RFC 2408 §3.16. Its body is bytes that a vendor made up, most often an MD5 sum.
//!
//! An unknown vendor ID is no error. A known one is recognised by all of its bytes; only where a version number is
//! documented to follow is the rest left open.

/// A vendor ID that means something to this crate, or is worth naming in a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VendorId {
    /// NAT traversal as in RFC 3947.
    NatT,
    /// NAT traversal, draft 00.
    NatTDraft00,
    /// NAT traversal, draft 01.
    NatTDraft01,
    /// NAT traversal, draft 02.
    NatTDraft02,
    /// NAT traversal, draft 02, as Windows writes it: with a line feed in what was hashed.
    NatTDraft02LineFeed,
    /// NAT traversal, draft 03.
    NatTDraft03,
    /// Dead peer detection (RFC 3706 §5.1).
    DeadPeerDetection,
    /// Fragmentation of IKE messages, Cisco and Microsoft. Cisco appends four bytes of capabilities.
    Fragmentation,
    /// Extended authentication (draft-beaulieu-ike-xauth-02 §4).
    Xauth,
    /// Cisco Unity: the client extensions of Mode Config. Its last two bytes are a version.
    CiscoUnity,
    /// Cisco VPN 3000 concentrator, and ASA after it; a version follows.
    CiscoVpn3000,
    /// strongSwan.
    StrongSwan,
    /// racoon of the KAME project.
    Racoon,
    /// Windows; four bytes of version follow.
    MicrosoftNt5,
    /// Windows: has an initial contact notify of its own.
    MicrosoftInitialContact,
    /// Windows: negotiation discovery.
    MicrosoftNegotiationDiscovery,
    /// Windows: "Mamie exists", authentication in a second exchange.
    MicrosoftAuthIp,
    /// Windows: cryptographically generated addresses.
    MicrosoftCga,
}

/// How much of a vendor ID is fixed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Match {
    Exact,
    /// A version, or capabilities, follow.
    Prefix,
}

/// A row: the ID, its bytes, whether more may follow, and its name in logs.
type Row = (VendorId, &'static [u8], Match, &'static str);

use Match::{Exact, Prefix};

#[rustfmt::skip]
const KNOWN: &[Row] = &[
    (VendorId::NatT, &hex::<16>(b"4a131c81070358455c5728f20e95452f"), Exact, "RFC 3947"),
    (VendorId::NatTDraft00, &hex::<16>(b"4485152d18b6bbcd0be8a8469579ddcc"), Exact, "draft-ietf-ipsec-nat-t-ike-00"),
    (VendorId::NatTDraft01, &hex::<16>(b"16f6ca16e4a4066d83821a0f0aeaa862"), Exact, "draft-ietf-ipsec-nat-t-ike-01"),
    (VendorId::NatTDraft02, &hex::<16>(b"cd60464335df21f87cfdb2fc68b6a448"), Exact, "draft-ietf-ipsec-nat-t-ike-02"),
    (VendorId::NatTDraft02LineFeed, &hex::<16>(b"90cb80913ebb696e086381b5ec427b1f"), Exact, "draft-ietf-ipsec-nat-t-ike-02\\n"),
    (VendorId::NatTDraft03, &hex::<16>(b"7d9419a65310ca6f2c179d9215529d56"), Exact, "draft-ietf-ipsec-nat-t-ike-03"),
    (VendorId::DeadPeerDetection, &hex::<16>(b"afcad71368a1f1c96b8696fc77570100"), Exact, "dead peer detection 1.0"),
    (VendorId::Fragmentation, &hex::<16>(b"4048b7d56ebce88525e7de7f00d6c2d3"), Prefix, "fragmentation"),
    (VendorId::Xauth, &hex::<8>(b"09002689dfd6b712"), Exact, "XAUTH"),
    (VendorId::CiscoUnity, &hex::<14>(b"12f5f28c457168a9702d9fe274cc"), Prefix, "Cisco Unity"),
    (VendorId::CiscoVpn3000, &hex::<14>(b"1f07f70eaa6514d3b0fa96542a50"), Prefix, "Cisco VPN 3000"),
    (VendorId::StrongSwan, &hex::<16>(b"882fe56d6fd20dbc2251613b2ebe5beb"), Exact, "strongSwan"),
    (VendorId::Racoon, &hex::<16>(b"7003cbc1097dbe9c2600ba6983bc8b35"), Exact, "KAME/racoon"),
    (VendorId::MicrosoftNt5, &hex::<16>(b"1e2b516905991c7d7c96fcbfb587e461"), Prefix, "MS NT5 ISAKMPOAKLEY"),
    (VendorId::MicrosoftInitialContact, &hex::<16>(b"26244d38eddb61b3172a36e3d0cfb819"), Exact, "Vid-Initial-Contact"),
    (VendorId::MicrosoftNegotiationDiscovery, &hex::<16>(b"fb1de3cdf341b7ea16b7e5be0855f120"), Exact, "MS-Negotiation Discovery Capable"),
    (VendorId::MicrosoftAuthIp, &hex::<16>(b"214ca4faffa7f32d6748e5303395ae83"), Exact, "MS-MamieExists"),
    (VendorId::MicrosoftCga, &hex::<16>(b"e3a5966a76379fe707228231e5ce8652"), Exact, "IKE CGA version 1"),
];

/// The bytes that hexadecimal digits stand for.
#[expect(
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "evaluated by the compiler, over the table above only: a mistake does not build"
)]
const fn hex<const N: usize>(digits: &[u8]) -> [u8; N] {
    const fn nibble(digit: u8) -> u8 {
        match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => panic!("not a hexadecimal digit"),
        }
    }
    assert!(digits.len() == 2 * N, "two digits a byte");
    let mut bytes = [0; N];
    let mut i = 0;
    while i < N {
        bytes[i] = nibble(digits[2 * i]) << 4 | nibble(digits[2 * i + 1]);
        i += 1;
    }
    bytes
}

impl VendorId {
    /// What `body`, the body of a vendor ID payload, says; `None` if it is unknown.
    #[must_use]
    pub fn recognise(body: &[u8]) -> Option<Self> {
        KNOWN
            .iter()
            .find(|(_, known, rest, _)| match rest {
                Exact => body == *known,
                Prefix => body.starts_with(known),
            })
            .map(|(id, ..)| *id)
    }

    /// The body to send. Where a version follows, it is version 1.0 of what we implement, or none.
    #[must_use]
    pub fn body(self) -> &'static [u8] {
        match self {
            Self::CiscoUnity => const { &hex::<16>(b"12f5f28c457168a9702d9fe274cc0100") },
            other => other.row().map_or(&[], |(_, known, ..)| known),
        }
    }

    /// The name for logs; where the bytes are an MD5 sum, mostly the text that was hashed.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().map_or("", |(.., name)| name)
    }

    fn row(self) -> Option<&'static Row> {
        KNOWN.iter().find(|(id, ..)| *id == self)
    }
}

#[cfg(test)]
mod tests {
    use hex_literal::hex;

    use super::*;

    #[test]
    fn each_recognises_what_it_sends() {
        for (id, known, rest, name) in KNOWN {
            assert!(id.body().starts_with(known), "{name}");
            assert_eq!(VendorId::recognise(id.body()), Some(*id));
            assert_eq!(id.name(), *name);
            assert!(*rest == Prefix || id.body() == *known);
        }
    }

    #[test]
    fn shorter_is_unknown_and_longer_too_unless_a_version_follows() {
        for (id, known, rest, name) in KNOWN {
            for len in 0..known.len() {
                assert_eq!(VendorId::recognise(&known[..len]), None, "{name}");
            }
            let mut longer = [0; 24];
            let longer = &mut longer[..known.len() + 4];
            longer[..known.len()].copy_from_slice(known);
            let expected = (*rest == Prefix).then_some(*id);
            assert_eq!(VendorId::recognise(longer), expected, "{name}");
        }
    }

    #[test]
    fn recorded_ones() {
        // As strongSwan, Cisco and Apple send them.
        for (body, id) in [
            (&hex!("4048b7d56ebce88525e7de7f00d6c2d380000000")[..], VendorId::Fragmentation),
            (&hex!("12f5f28c457168a9702d9fe274cc0100"), VendorId::CiscoUnity),
            (&hex!("09002689dfd6b712"), VendorId::Xauth),
            (&hex!("afcad71368a1f1c96b8696fc77570100"), VendorId::DeadPeerDetection),
        ] {
            assert_eq!(VendorId::recognise(body), Some(id));
        }
    }

    /// Where the bytes are the MD5 sum of a known text, they are recomputed here.
    #[cfg(feature = "legacy")]
    #[test]
    fn sums_of_known_texts() {
        use md5::{Digest, Md5};

        let mut checked = 0;
        for (id, known, _, name) in KNOWN {
            let text = match id {
                VendorId::NatTDraft02LineFeed => "draft-ietf-ipsec-nat-t-ike-02\n",
                VendorId::Fragmentation => "FRAGMENTATION",
                VendorId::CiscoUnity => "CISCO-UNITY",
                VendorId::DeadPeerDetection | VendorId::Xauth | VendorId::CiscoVpn3000 => continue,
                _ => name,
            };
            // The last two bytes of Cisco Unity's are a version.
            assert_eq!(Md5::digest(text)[..known.len()], **known, "{name}");
            checked += 1;
        }
        assert_eq!(checked, KNOWN.len() - 3);
    }
}
