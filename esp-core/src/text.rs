//! How the vocabulary is written for people: in logs, errors and status programs.

use core::fmt::{self, Display, Formatter};

use crate::{
    Addresses, Aead, BlockCipher, Integrity, PortRange, Protocol, Selector, TrafficSelectors,
    Transform,
};

impl Display for BlockCipher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aes128 => "AES-CBC-128",
            Self::Aes192 => "AES-CBC-192",
            Self::Aes256 => "AES-CBC-256",
            #[cfg(feature = "legacy")]
            Self::TripleDes => "3DES-CBC",
        })
    }
}

impl Display for Integrity {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::HmacSha1_96 => "HMAC-SHA1-96",
            Self::HmacSha256_128 => "HMAC-SHA256-128",
            Self::HmacSha384_192 => "HMAC-SHA384-192",
            Self::HmacSha512_256 => "HMAC-SHA512-256",
            #[cfg(feature = "legacy")]
            Self::HmacMd5_96 => "HMAC-MD5-96",
            #[cfg(feature = "legacy")]
            Self::HmacSha256_96 => "HMAC-SHA256-96",
        })
    }
}

impl Display for Aead {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aes128Gcm16 => "AES-GCM-128",
            Self::Aes192Gcm16 => "AES-GCM-192",
            Self::Aes256Gcm16 => "AES-GCM-256",
            Self::Aes128Gmac => "AES-GMAC-128",
            Self::Aes192Gmac => "AES-GMAC-192",
            Self::Aes256Gmac => "AES-GMAC-256",
            Self::ChaCha20Poly1305 => "ChaCha20-Poly1305",
        })
    }
}

impl Display for Transform {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::CbcHmac(cipher, integrity) => write!(f, "{cipher} {integrity}"),
            Self::NullHmac(integrity) => write!(f, "NULL {integrity}"),
            Self::Aead(aead) => aead.fmt(f),
        }
    }
}

impl Display for Addresses {
    /// `any`, an address, `network/prefix` or `first-last`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Subnet { network, .. } if *self == Self::host(*network) => network.fmt(f),
            Self::Subnet { network, prefix } => write!(f, "{network}/{prefix}"),
            Self::Range { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

impl Display for PortRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if *self == Self::ANY {
            f.write_str("any")
        } else if *self == Self::OPAQUE {
            f.write_str("opaque")
        } else if self.first == self.last {
            write!(f, "{}", self.first)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

impl Display for Protocol {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Number(1) => f.write_str("icmp"),
            Self::Number(6) => f.write_str("tcp"),
            Self::Number(17) => f.write_str("udp"),
            Self::Number(58) => f.write_str("icmpv6"),
            Self::Number(number) => number.fmt(f),
        }
    }
}

impl Display for Selector {
    /// The addresses, and the ports in brackets unless they are all meant.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.ports == PortRange::ANY {
            self.addresses.fmt(f)
        } else {
            write!(f, "{}[{}]", self.addresses, self.ports)
        }
    }
}

impl Display for TrafficSelectors {
    /// Our side first: `10.1.0.0/24 === 10.2.0.0/24[80] tcp`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} === {}", self.local, self.remote)?;
        match self.protocol {
            Protocol::Any => Ok(()),
            protocol => write!(f, " {protocol}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::IpAddr;
    use std::string::ToString as _;

    use super::*;
    use crate::{InstallError, NoRoom, OpenError, PolicyId, SaError, SealError, Spi, StateError};

    #[test]
    fn selectors_and_transforms_in_words() {
        let subnet =
            |network: [u8; 4], prefix| Addresses::Subnet { network: IpAddr::from(network), prefix };
        let mut selectors =
            TrafficSelectors::between(subnet([10, 1, 0, 0], 24), subnet([10, 2, 0, 1], 32));
        assert_eq!(selectors.to_string(), "10.1.0.0/24 === 10.2.0.1");
        selectors.remote.ports = PortRange::one(80);
        selectors.protocol = Protocol::Number(6);
        assert_eq!(selectors.to_string(), "10.1.0.0/24 === 10.2.0.1[80] tcp");
        selectors.local = Selector {
            addresses: Addresses::Range {
                first: IpAddr::from([10, 1, 0, 1]),
                last: IpAddr::from([10, 1, 0, 9]),
            },
            ports: PortRange { first: 1024, last: 2047 },
        };
        selectors.protocol = Protocol::Number(132);
        assert_eq!(selectors.to_string(), "10.1.0.1-10.1.0.9[1024-2047] === 10.2.0.1[80] 132");
        assert_eq!(Selector::ANY.to_string(), "any");
        assert_eq!(
            Transform::CbcHmac(BlockCipher::Aes256, Integrity::HmacSha256_128).to_string(),
            "AES-CBC-256 HMAC-SHA256-128"
        );
        assert_eq!(Transform::NullHmac(Integrity::HmacSha1_96).to_string(), "NULL HMAC-SHA1-96");
        assert_eq!(Transform::Aead(Aead::Aes128Gcm16).to_string(), "AES-GCM-128");
    }

    #[test]
    fn errors_in_words() {
        let spi = Spi::new(0x1000).expect("not reserved");
        let room = NoRoom { headroom: 44, tailroom: 16 };
        let length = SaError::KeyLength { needed: 36, given: 35 };
        let texts: &[(&dyn Display, &str)] = &[
            (&InstallError::Sa(length), "key material of 35 bytes, the transform needs 36"),
            (
                &InstallError::Sa(SaError::ReplayWindow(5)),
                "replay window of 5 packets, not 32 to 1024",
            ),
            (
                &InstallError::State(StateError::Sa(SaError::SoftAboveHard)),
                "soft limit above the hard limit",
            ),
            (&InstallError::State(StateError::Generation), "a state of another generation"),
            (&InstallError::Full, "the table is full"),
            (&InstallError::DuplicateSpi(spi), "SPI 00001000 is in use"),
            (&InstallError::DuplicatePolicy(PolicyId(7)), "policy 7 is there twice"),
            (&InstallError::Selectors(PolicyId(7)), "policy 7 makes no sense"),
            (&SealError::TooBig { mtu: 1400 }, "larger than the 1400 bytes that fit the path"),
            (&SealError::NoRoom(room), "the packet needs 44 bytes in front and 16 behind"),
            (&OpenError::Integrity, "not authentic"),
            (&OpenError::NoRoom(room), "the packet needs 44 bytes in front and 16 behind"),
        ];
        for (error, text) in texts {
            assert_eq!(error.to_string(), *text);
        }
    }
}
