//! Client identities of quick mode as selectors, and back: RFC 2409 §5.5, RFC 2407 §4.6.2.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use esp_core::{Addresses, Mode, PortRange, Protocol, Selector, TrafficSelectors};

use crate::config::{ChildConfig, PeerConfig};
use crate::endpoint::Path;
use crate::error::{Error, PeerMisbehaved, Refusal, SelectorMismatch};
use crate::exchange::Message;
use crate::wire::numbers::PayloadType;
use crate::wire::{AddressId, IdPayload, Payload};

/// The two identities of a quick mode message, initiator's first; `None` if there are none.
pub(crate) fn identities<'a>(
    message: &Message<'a>,
) -> Result<Option<(Payload<'a>, Payload<'a>)>, Error> {
    let mut ids = message.all(PayloadType::ID);
    match (ids.next(), ids.next()) {
        (Some(initiator), Some(responder)) => Ok(Some((initiator, responder))),
        (None, _) => Ok(None),
        (Some(_), None) => Err(PeerMisbehaved::LoneIdentity.into()),
    }
}

/// What the identities say, `local` and `remote` as seen from here. Without any, the two ends themselves are meant
/// (RFC 2409 §5.5).
pub(crate) fn selectors(
    local: Option<Payload<'_>>,
    remote: Option<Payload<'_>>,
    path: Path,
) -> Result<TrafficSelectors, Error> {
    let (Some(local), Some(remote)) = (local, remote) else {
        return Ok(TrafficSelectors::between(
            Addresses::host(path.local.ip()),
            Addresses::host(path.remote.ip()),
        ));
    };
    let (local_protocol, local) = selector(local)?;
    let (remote_protocol, remote) = selector(remote)?;
    // One of the two may leave the protocol open; two different ones make no sense.
    let protocol = match (local_protocol, remote_protocol) {
        (0, protocol) | (protocol, 0) => protocol,
        (a, b) if a == b => a,
        _ => return Err(PeerMisbehaved::IdentitiesChanged.into()),
    };
    let protocol = if protocol == 0 { Protocol::Any } else { Protocol::Number(protocol) };
    Ok(TrafficSelectors { local, remote, protocol })
}

fn selector(payload: Payload<'_>) -> Result<(u8, Selector), Error> {
    let id = IdPayload::parse(payload.body, payload.offset)?;
    // Row 43 of the published bugs: a name as client identity names no traffic.
    let addresses = id.addresses()?.ok_or(Refusal::Identity(id.id_type))?;
    let ports = if id.port == 0 { PortRange::ANY } else { PortRange::one(id.port) };
    Ok((id.protocol, Selector { addresses, ports }))
}

/// Identity data of one side of a child; `Any` is said as the whole of the family of `family`.
pub(crate) fn identity(
    selectors: &TrafficSelectors,
    side: &Selector,
    family: IpAddr,
) -> Option<([u8; 36], usize)> {
    let addresses = match (side.addresses, family) {
        (Addresses::Any, IpAddr::V4(_)) => {
            Addresses::Subnet { network: IpAddr::V4(Ipv4Addr::UNSPECIFIED), prefix: 0 }
        }
        (Addresses::Any, IpAddr::V6(_)) => {
            Addresses::Subnet { network: IpAddr::V6(Ipv6Addr::UNSPECIFIED), prefix: 0 }
        }
        (addresses, _) => addresses,
    };
    let protocol = match selectors.protocol {
        Protocol::Any => 0,
        Protocol::Number(number) => number,
    };
    // IKEv1 can name one port or all of them.
    let port = match side.ports {
        PortRange::ANY => 0,
        PortRange { first, last } if first == last => first,
        PortRange { .. } => return None,
    };
    let id = AddressId::new(addresses)?;
    let payload = id.payload(protocol, port);
    let mut body = [0; 36];
    let len = payload.data.len().checked_add(4)?;
    let (head, data) = body.get_mut(..len)?.split_at_mut_checked(4)?;
    head.copy_from_slice(&payload.head());
    data.copy_from_slice(payload.data);
    Some((body, len))
}

/// The child in transport mode that is meant behind a NAT. There the identities are addresses as each end knows its own,
/// while packets carry those that the NAT made of them: ports and protocol count, and the addresses of the path.
pub(crate) fn find_transport_child<'c>(
    children: &'c [ChildConfig<'c>],
    asked: &TrafficSelectors,
    path: Path,
) -> Option<&'c ChildConfig<'c>> {
    let is_host = |side: &Selector| bounds(side.addresses).is_some_and(|(_, a, b)| a == b);
    if !is_host(&asked.local) || !is_host(&asked.remote) {
        return None;
    }
    let seen = |side: &Selector, address| Selector { addresses: Addresses::host(address), ..*side };
    let seen = TrafficSelectors {
        local: seen(&asked.local, path.local.ip()),
        remote: seen(&asked.remote, path.remote.ip()),
        protocol: asked.protocol,
    };
    children.iter().find(|child| child.mode == Mode::Transport && within(&seen, &child.selectors))
}

/// Whether two sets of selectors mean the same traffic, however they are written.
pub(crate) fn same(a: &TrafficSelectors, b: &TrafficSelectors) -> bool {
    a.protocol == b.protocol && same_side(&a.local, &b.local) && same_side(&a.remote, &b.remote)
}

fn same_side(a: &Selector, b: &Selector) -> bool {
    a.ports == b.ports && bounds(a.addresses) == bounds(b.addresses)
}

/// First and last address, as numbers with the family; the empty prefix of either family is also `Any`.
fn bounds(addresses: Addresses) -> Option<(bool, u128, u128)> {
    match addresses {
        Addresses::Any | Addresses::Subnet { prefix: 0, .. } => None,
        Addresses::Subnet { network: IpAddr::V4(network), prefix } => {
            let host = u32::MAX.checked_shr(prefix.into()).unwrap_or(0);
            let first = network.to_bits() & !host;
            Some((false, first.into(), (first | host).into()))
        }
        Addresses::Subnet { network: IpAddr::V6(network), prefix } => {
            let host = u128::MAX.checked_shr(prefix.into()).unwrap_or(0);
            let first = network.to_bits() & !host;
            Some((true, first, first | host))
        }
        Addresses::Range { first: IpAddr::V4(first), last: IpAddr::V4(last) } => {
            Some((false, first.to_bits().into(), last.to_bits().into()))
        }
        Addresses::Range { first, last } => {
            let number = |address| match address {
                IpAddr::V4(address) => u128::from(Ipv4Addr::to_bits(address)),
                IpAddr::V6(address) => address.to_bits(),
            };
            Some((true, number(first), number(last)))
        }
    }
}

/// Whether some packet fits both.
pub(crate) fn overlap(a: &TrafficSelectors, b: &TrafficSelectors) -> bool {
    let side = |a: &Selector, b: &Selector| {
        let addresses = match (bounds(a.addresses), bounds(b.addresses)) {
            (Some((family_a, first_a, last_a)), Some((family_b, first_b, last_b))) => {
                family_a == family_b && first_a <= last_b && first_b <= last_a
            }
            _ => true,
        };
        addresses && a.ports.first <= b.ports.last && b.ports.first <= a.ports.last
    };
    let protocol =
        a.protocol == b.protocol || a.protocol == Protocol::Any || b.protocol == Protocol::Any;
    protocol && side(&a.local, &b.local) && side(&a.remote, &b.remote)
}

/// Whether the selectors name traffic that can be: one address family, prefixes that fit it, ranges that run forwards.
pub(crate) fn is_sound(selectors: &TrafficSelectors) -> bool {
    let side = |side: &Selector| match side.addresses {
        Addresses::Any => true,
        Addresses::Subnet { network: IpAddr::V4(_), prefix } => prefix <= 32,
        Addresses::Subnet { network: IpAddr::V6(_), prefix } => prefix <= 128,
        Addresses::Range { first, last } => first <= last && first.is_ipv4() == last.is_ipv4(),
    };
    let is_ipv4 = |side: &Selector| match side.addresses {
        Addresses::Any => None,
        Addresses::Subnet { network, .. } => Some(network.is_ipv4()),
        Addresses::Range { first, .. } => Some(first.is_ipv4()),
    };
    let families = match (is_ipv4(&selectors.local), is_ipv4(&selectors.remote)) {
        (Some(local), Some(remote)) => local == remote,
        _ => true,
    };
    let ports = |side: &Selector| side.ports.first <= side.ports.last;
    let both = [&selectors.local, &selectors.remote];
    families && both.into_iter().all(|one| side(one) && ports(one))
}

/// Whether `inner` lies within `outer`: an answer narrower than what was asked.
pub(crate) fn within(inner: &TrafficSelectors, outer: &TrafficSelectors) -> bool {
    let side = |inner: &Selector, outer: &Selector| {
        let addresses = match (bounds(inner.addresses), bounds(outer.addresses)) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some((family, first, last)), Some((outer_family, outer_first, outer_last))) => {
                family == outer_family && first >= outer_first && last <= outer_last
            }
        };
        addresses && inner.ports.first >= outer.ports.first && inner.ports.last <= outer.ports.last
    };
    let protocol = outer.protocol == Protocol::Any || inner.protocol == outer.protocol;
    protocol && side(&inner.local, &outer.local) && side(&inner.remote, &outer.remote)
}

/// The child that is configured for exactly this traffic.
pub(crate) fn find_child<'c>(
    children: &'c [ChildConfig<'c>],
    asked: &TrafficSelectors,
) -> Result<&'c ChildConfig<'c>, Error> {
    children.iter().find(|child| same(&child.selectors, asked)).ok_or_else(|| {
        let known = |side: fn(&TrafficSelectors) -> Selector| {
            children.iter().any(|child| same_side(&side(&child.selectors), &side(asked)))
        };
        Refusal::Selectors(SelectorMismatch {
            asked: *asked,
            local_known: known(|selectors| selectors.local),
            remote_known: known(|selectors| selectors.remote),
        })
        .into()
    })
}

/// The address family of a child's traffic: of whichever side names one.
pub(super) fn family(selectors: &TrafficSelectors, path: Path) -> IpAddr {
    let of = |side: &Selector| match side.addresses {
        Addresses::Any => None,
        Addresses::Subnet { network, .. } => Some(network),
        Addresses::Range { first, .. } => Some(first),
    };
    of(&selectors.local).or_else(|| of(&selectors.remote)).unwrap_or(path.local.ip())
}

/// The identities of an answer must be those that we sent (RFC 2409 §5.5), or within them for peers that narrow.
pub(super) fn agreed_selectors(
    message: &Message<'_>,
    peer: &PeerConfig<'_>,
    config: &ChildConfig<'_>,
    path: Path,
) -> Result<TrafficSelectors, Error> {
    let ids = identities(message)?;
    let answered = selectors(ids.map(|ids| ids.0), ids.map(|ids| ids.1), path)?;
    if same(&answered, &config.selectors) {
        return Ok(config.selectors);
    }
    if peer.quirks.accept_narrowing && within(&answered, &config.selectors) {
        return Ok(answered);
    }
    Err(PeerMisbehaved::IdentitiesChanged.into())
}
