//! How the elements of a line print. Each limits what it writes.

use core::fmt::{self, Display as _};
use core::net::{Ipv4Addr, Ipv6Addr};

use esp_core::Addresses;

use crate::wire::numbers::{
    AuthenticationAlgorithm, AuthenticationMethod, ConfigAttribute, EncapsulationMode,
    EncryptionAlgorithm, GroupDescription, HashAlgorithm, IdType, IpsecAttribute, LifeType,
    Phase1Attribute, ProtocolId,
};
use crate::wire::{Attribute, Attributes, IdPayload, Value};

/// Bytes shown of a value.
const MAX_BYTES: usize = 32;
/// Bytes shown of a text.
const MAX_TEXT: usize = 128;
/// Attributes shown of a set.
const MAX_ATTRIBUTES: usize = 32;
/// SPIs shown of a list.
const MAX_SPIS: usize = 16;
/// Networks shown of a list.
const MAX_NETWORKS: usize = 16;

/// Bytes in hexadecimal, and how many there are if not all are shown.
pub(super) struct Hex<'a>(pub(super) &'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x")?;
        for byte in self.0.iter().take(MAX_BYTES) {
            write!(f, "{byte:02x}")?;
        }
        match self.0.len() {
            ..=MAX_BYTES => Ok(()),
            len => write!(f, "… ({len} bytes)"),
        }
    }
}

/// Text of the peer's: in quotes, with everything escaped that is not printable ASCII.
struct Text<'a>(&'a [u8]);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.get(..MAX_TEXT) {
            Some(start) if self.0.len() > MAX_TEXT => {
                write!(f, "\"{}…\" ({} bytes)", start.escape_ascii(), self.0.len())
            }
            _ => write!(f, "\"{}\"", self.0.escape_ascii()),
        }
    }
}

/// SPIs of `size` bytes one behind the other, with a label in front; nothing if there are none.
pub(super) struct Spis<'a> {
    pub(super) label: &'static str,
    pub(super) bytes: &'a [u8],
    pub(super) size: usize,
}

impl fmt::Display for Spis<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.bytes.is_empty() {
            return Ok(());
        }
        f.write_str(self.label)?;
        let spis = self.bytes.chunks(self.size.max(1));
        let count = spis.len();
        for spi in spis.take(MAX_SPIS) {
            write!(f, " {}", Hex(spi))?;
        }
        if count > MAX_SPIS { write!(f, " … ({count} SPIs)") } else { Ok(()) }
    }
}

/// An identity with its type.
pub(super) struct Identity<'a>(pub(super) IdPayload<'a>);

impl fmt::Display for Identity<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = &self.0;
        match id.id_type.name() {
            Some(name) => write!(f, "{name} ")?,
            None => write!(f, "type {} ", id.id_type.0)?,
        }
        match (id.addresses(), id.id_type) {
            (Ok(Some(addresses)), _) => show_addresses(addresses, f)?,
            (Err(malformed), _) => write!(f, "{} malformed: {malformed}", Hex(id.data))?,
            (Ok(None), IdType::FQDN | IdType::USER_FQDN) => Text(id.data).fmt(f)?,
            (Ok(None), _) => Hex(id.data).fmt(f)?,
        }
        if id.protocol != 0 {
            write!(f, ", protocol {}", id.protocol)?;
        }
        if id.port != 0 {
            write!(f, ", port {}", id.port)?;
        }
        Ok(())
    }
}

fn show_addresses(addresses: Addresses, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match addresses {
        Addresses::Any => f.write_str("any"),
        host @ Addresses::Subnet { network, .. } if host == Addresses::host(network) => {
            network.fmt(f)
        }
        Addresses::Subnet { network, prefix } => write!(f, "{network}/{prefix}"),
        Addresses::Range { first, last } => write!(f, "{first} to {last}"),
    }
}

/// What the types of attributes mean.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum AttributeSet {
    /// RFC 2409 Appendix A.
    Phase1,
    /// RFC 2407 §4.5.
    Ipsec,
    /// Mode Config and XAUTH.
    Config,
}

impl AttributeSet {
    /// The attributes of a transform for `protocol`.
    pub(super) fn of(protocol: ProtocolId) -> Self {
        if protocol == ProtocolId::ISAKMP { Self::Phase1 } else { Self::Ipsec }
    }
}

/// Attributes, each with a comma in front.
pub(super) struct ShowAttributes<'a> {
    pub(super) attributes: Attributes<'a>,
    pub(super) set: AttributeSet,
}

impl fmt::Display for ShowAttributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, attribute) in self.attributes.enumerate() {
            f.write_str(", ")?;
            if index == MAX_ATTRIBUTES {
                return f.write_str("…");
            }
            match (attribute, self.set) {
                (Err(malformed), _) => write!(f, "malformed: {malformed}")?,
                (Ok(attribute), AttributeSet::Phase1) => phase1(&attribute, f)?,
                (Ok(attribute), AttributeSet::Ipsec) => ipsec(&attribute, f)?,
                (Ok(attribute), AttributeSet::Config) => config(&attribute, f)?,
            }
        }
        Ok(())
    }
}

fn phase1(attribute: &Attribute<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let kind = Phase1Attribute(attribute.kind);
    let name: Option<&dyn fmt::Display> = match (kind, code_point(attribute)) {
        (Phase1Attribute::ENCRYPTION_ALGORITHM, Some(value)) => Some(&EncryptionAlgorithm(value)),
        (Phase1Attribute::HASH_ALGORITHM, Some(value)) => Some(&HashAlgorithm(value)),
        (Phase1Attribute::AUTHENTICATION_METHOD, Some(value)) => Some(&AuthenticationMethod(value)),
        (Phase1Attribute::GROUP_DESCRIPTION, Some(value)) => Some(&GroupDescription(value)),
        (Phase1Attribute::LIFE_TYPE, Some(value)) => Some(&LifeType(value)),
        _ => None,
    };
    labelled(kind.name(), attribute, name, f)
}

fn ipsec(attribute: &Attribute<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let kind = IpsecAttribute(attribute.kind);
    let name: Option<&dyn fmt::Display> = match (kind, code_point(attribute)) {
        (IpsecAttribute::LIFE_TYPE, Some(value)) => Some(&LifeType(value)),
        (IpsecAttribute::GROUP_DESCRIPTION, Some(value)) => Some(&GroupDescription(value)),
        (IpsecAttribute::ENCAPSULATION_MODE, Some(value)) => Some(&EncapsulationMode(value)),
        (IpsecAttribute::AUTHENTICATION_ALGORITHM, Some(value)) => {
            Some(&AuthenticationAlgorithm(value))
        }
        _ => None,
    };
    labelled(kind.name(), attribute, name, f)
}

/// The value as a code point, of which there are 16 bits.
fn code_point(attribute: &Attribute<'_>) -> Option<u16> {
    attribute.as_u32().and_then(|value| u16::try_from(value).ok())
}

fn labelled(
    label: Option<&'static str>,
    attribute: &Attribute<'_>,
    name: Option<&dyn fmt::Display>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    match label {
        Some(label) => write!(f, "{label} ")?,
        None => write!(f, "attribute {} ", attribute.kind)?,
    }
    match (name, attribute.as_u64(), attribute.value) {
        (Some(name), _, _) => name.fmt(f),
        (None, Some(number), _) => number.fmt(f),
        (None, None, Value::Long(bytes)) => Hex(bytes).fmt(f),
        (None, None, Value::Short(number)) => number.fmt(f),
    }
}

fn config(attribute: &Attribute<'_>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let kind = ConfigAttribute(attribute.kind);
    match kind.name() {
        Some(name) => f.write_str(name)?,
        None => write!(f, "attribute {}", kind.0)?,
    }
    match (kind, attribute.value) {
        // A request names the attribute it wants and leaves the value empty.
        (_, Value::Long([])) => Ok(()),
        // Credentials are nobody's business.
        (
            ConfigAttribute::XAUTH_USER_PASSWORD
            | ConfigAttribute::XAUTH_PASSCODE
            | ConfigAttribute::XAUTH_NEXT_PIN
            | ConfigAttribute::XAUTH_ANSWER,
            _,
        ) => f.write_str(" (not shown)"),
        (_, Value::Short(number)) => write!(f, " {number}"),
        (
            ConfigAttribute::INTERNAL_IP4_ADDRESS
            | ConfigAttribute::INTERNAL_IP4_NETMASK
            | ConfigAttribute::INTERNAL_IP4_DNS
            | ConfigAttribute::INTERNAL_IP4_NBNS
            | ConfigAttribute::INTERNAL_IP4_DHCP,
            Value::Long(&[a, b, c, d]),
        ) => write!(f, " {}", Ipv4Addr::new(a, b, c, d)),
        (
            ConfigAttribute::UNITY_SPLIT_INCLUDE
            | ConfigAttribute::UNITY_LOCAL_LAN
            | ConfigAttribute::INTERNAL_IP4_SUBNET,
            Value::Long(networks),
        ) => show_networks(kind, networks, f),
        (
            ConfigAttribute::INTERNAL_IP6_DNS
            | ConfigAttribute::INTERNAL_IP6_NBNS
            | ConfigAttribute::INTERNAL_IP6_DHCP
            | ConfigAttribute::INTERNAL_IP6_ADDRESS
            | ConfigAttribute::INTERNAL_IP6_NETMASK,
            Value::Long(bytes),
        ) => match <[u8; 16]>::try_from(bytes) {
            Ok(bytes) => write!(f, " {}", Ipv6Addr::from(bytes)),
            Err(_) => write!(f, " {}", Hex(bytes)),
        },
        (
            ConfigAttribute::APPLICATION_VERSION
            | ConfigAttribute::XAUTH_USER_NAME
            | ConfigAttribute::XAUTH_MESSAGE
            | ConfigAttribute::XAUTH_DOMAIN
            | ConfigAttribute::UNITY_BANNER
            | ConfigAttribute::UNITY_DEF_DOMAIN
            | ConfigAttribute::UNITY_SPLIT_DNS
            | ConfigAttribute::UNITY_DDNS_HOSTNAME,
            Value::Long(text),
        ) => write!(f, " {}", Text(text)),
        (_, Value::Long(bytes)) => write!(f, " {}", Hex(bytes)),
    }
}

/// IPv4 networks as address and mask. Cisco's have six bytes behind each: protocol, two ports, and one that is 0.
fn show_networks(
    kind: ConfigAttribute,
    networks: &[u8],
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let size = if kind == ConfigAttribute::INTERNAL_IP4_SUBNET { 8 } else { 14 };
    if !networks.len().is_multiple_of(size) {
        return write!(f, " {}", Hex(networks));
    }
    for network in networks.chunks_exact(size).take(MAX_NETWORKS) {
        if let [a, b, c, d, m, n, o, p, ..] = *network {
            write!(f, " {}/{}", Ipv4Addr::new(a, b, c, d), Ipv4Addr::new(m, n, o, p))?;
        }
    }
    let count = networks.len().checked_div(size).unwrap_or_default();
    if count > MAX_NETWORKS { write!(f, " … ({count} networks)") } else { Ok(()) }
}
