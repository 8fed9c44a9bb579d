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

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::wire::numbers::IdType;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// `NETWORK/PREFIX`, `FIRST-LAST` or `any`, all ports.
    fn side(text: &str) -> Selector {
        let addresses = if let Some((network, prefix)) = text.split_once('/') {
            Addresses::Subnet { network: ip(network), prefix: prefix.parse().unwrap() }
        } else if let Some((first, last)) = text.split_once('-') {
            Addresses::Range { first: ip(first), last: ip(last) }
        } else {
            assert_eq!(text, "any");
            Addresses::Any
        };
        Selector { addresses, ports: PortRange::ANY }
    }

    fn ports(first: u16, last: u16) -> Selector {
        Selector { ports: PortRange { first, last }, ..side("any") }
    }

    fn all(local: Selector, remote: Selector) -> TrafficSelectors {
        TrafficSelectors { local, remote, protocol: Protocol::Any }
    }

    /// Both ways round, and in the place of either side.
    fn both_sides(a: Selector, b: Selector) -> [(TrafficSelectors, TrafficSelectors); 2] {
        let any = side("any");
        [(all(a, any), all(b, any)), (all(any, a), all(any, b))]
    }

    #[test]
    fn the_same_traffic_can_be_written_in_several_ways() {
        for (a, b, expected) in [
            ("10.0.0.5/24", "10.0.0.0/24", true),
            ("10.0.0.5/24", "10.0.0.0-10.0.0.255", true),
            ("2001:db8::5/112", "2001:db8::-2001:db8::ffff", true),
            ("192.0.2.1/32", "192.0.2.1-192.0.2.1", true),
            ("0.0.0.0/0", "any", true),
            ("::/0", "any", true),
            ("10.0.0.0/24", "10.0.0.0/25", false),
            ("2001:db8::/112", "2001:db8::/113", false),
            ("10.0.0.0/24", "10.0.1.0/24", false),
            // The same numbers in another family.
            ("10.0.0.0/24", "::a00:0/120", false),
            ("10.0.0.0-10.0.0.9", "::a00:0-::a00:9", false),
        ] {
            for (one, other) in both_sides(side(a), side(b)) {
                assert_eq!(same(&one, &other), expected, "{a} {b}");
                assert_eq!(same(&other, &one), expected, "{a} {b}");
            }
        }
        for (one, other) in both_sides(ports(80, 80), ports(80, 81)) {
            assert!(same(&one, &one) && !same(&one, &other));
        }
        let any = all(side("any"), side("any"));
        assert!(!same(&any, &TrafficSelectors { protocol: Protocol::Number(6), ..any }));
    }

    /// Of two sets: whether the first lies in the second, the second in the first, and whether a packet fits both.
    #[test]
    fn narrower_wider_and_overlapping() {
        let addresses = [
            ("10.0.0.0/24", "10.0.0.0/24", [true, true, true]),
            ("10.0.0.0/25", "10.0.0.0/24", [true, false, true]),
            ("10.0.0.128/25", "10.0.0.0/24", [true, false, true]),
            ("10.0.0.0/24", "any", [true, false, true]),
            ("10.0.0.0-10.0.0.9", "10.0.0.9-10.0.0.20", [false, false, true]),
            ("10.0.0.0-10.0.0.9", "10.0.0.10-10.0.0.20", [false, false, false]),
            ("2001:db8::1/128", "2001:db8::/64", [true, false, true]),
            ("2001:db8::/64", "2001:db8:0:1::/64", [false, false, false]),
            ("10.0.0.0/24", "::a00:0/120", [false, false, false]),
        ];
        let addresses = addresses.map(|(a, b, expected)| (side(a), side(b), expected));
        let numbers = [
            (ports(80, 80), ports(80, 80), [true, true, true]),
            (ports(80, 80), ports(80, 90), [true, false, true]),
            (ports(90, 90), ports(80, 90), [true, false, true]),
            (ports(80, 85), ports(85, 90), [false, false, true]),
            (ports(80, 84), ports(85, 90), [false, false, false]),
        ];
        let sides = addresses.into_iter().chain(numbers);
        let mut pairs: Vec<_> = sides
            .flat_map(|(a, b, expected)| both_sides(a, b).map(|(a, b)| (a, b, expected)))
            .collect();
        let protocol = |protocol| TrafficSelectors { protocol, ..all(side("any"), side("any")) };
        let (any, tcp) = (protocol(Protocol::Any), protocol(Protocol::Number(6)));
        pairs.push((tcp, any, [true, false, true]));
        pairs.push((tcp, protocol(Protocol::Number(17)), [false, false, false]));
        pairs.push((tcp, tcp, [true, true, true]));
        for (a, b, [a_in_b, b_in_a, both]) in pairs {
            assert_eq!((within(&a, &b), within(&b, &a)), (a_in_b, b_in_a), "{a:?} {b:?}");
            assert_eq!((overlap(&a, &b), overlap(&b, &a)), (both, both), "{a:?} {b:?}");
        }
    }

    #[test]
    fn selectors_that_no_packet_can_fit_are_not_sound() {
        for (local, remote, expected) in [
            ("10.0.0.0/32", "any", true),
            ("10.0.0.0/33", "any", false),
            ("2001:db8::/128", "any", true),
            ("2001:db8::/129", "any", false),
            ("10.0.0.1-10.0.0.1", "any", true),
            ("10.0.0.2-10.0.0.1", "any", false),
            // In this order only the families are wrong.
            ("10.0.0.2-2001:db8::1", "any", false),
            ("10.0.0.0/24", "10.1.0.0-10.1.0.9", true),
            ("10.0.0.0/24", "2001:db8::/64", false),
            ("10.0.0.0/24", "2001:db8::1-2001:db8::9", false),
        ] {
            let (local, remote) = (side(local), side(remote));
            assert_eq!(is_sound(&all(local, remote)), expected, "{local:?} {remote:?}");
            assert_eq!(is_sound(&all(remote, local)), expected, "{remote:?} {local:?}");
        }
        for (ports, expected) in [(ports(7, 7), true), (ports(7, 8), true), (ports(8, 7), false)] {
            assert_eq!(is_sound(&all(ports, side("any"))), expected);
            assert_eq!(is_sound(&all(side("any"), ports)), expected);
        }
    }

    const PATH: Path = Path {
        local: core::net::SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 500),
        remote: core::net::SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)), 500),
        encap: false,
    };

    /// RFC 2407 §4.6.2: protocol and port 0 are any. One side may leave the protocol to the other.
    #[test]
    fn protocols_of_the_two_identities_must_agree() {
        for (local, remote, expected) in [
            (0, 0, Some(Protocol::Any)),
            (6, 6, Some(Protocol::Number(6))),
            (0, 6, Some(Protocol::Number(6))),
            (6, 0, Some(Protocol::Number(6))),
            (6, 17, None),
        ] {
            let body = |protocol, last| [IdType::IPV4_ADDR.0, protocol, 0, 80, 10, 0, 0, last];
            let (local_id, remote_id) = (body(local, 1), body(remote, 2));
            let payload = |body| Payload { kind: PayloadType::ID, body, offset: 0 };
            let result = selectors(Some(payload(&local_id)), Some(payload(&remote_id)), PATH);
            match expected {
                Some(protocol) => {
                    let said = result.unwrap();
                    assert_eq!(said.protocol, protocol);
                    assert_eq!(said.local.addresses, Addresses::host(ip("10.0.0.1")));
                    assert_eq!(said.remote.ports, PortRange::one(80));
                }
                None => assert_eq!(result, Err(PeerMisbehaved::IdentitiesChanged.into())),
            }
        }
    }

    #[test]
    fn one_port_or_all_can_be_said() {
        for (ports, said) in [
            (PortRange::ANY, Some(0)),
            (PortRange::one(80), Some(80)),
            (PortRange { first: 80, last: 81 }, None),
        ] {
            let one = Selector { ports, ..side("10.0.0.1/32") };
            let id = identity(&all(one, one), &one, PATH.local.ip());
            let port = id.map(|(body, _)| u16::from_be_bytes([body[2], body[3]]));
            assert_eq!(port, said, "{ports:?}");
        }
    }

    /// The child behind a NAT is found by protocol and ports, and only for single addresses and transport mode.
    #[test]
    fn behind_a_nat_addresses_of_hosts_count_as_the_paths() {
        let config = |mode| ChildConfig {
            id: crate::config::ChildId(1),
            policy: esp_core::PolicyId(1),
            selectors: TrafficSelectors {
                protocol: Protocol::Number(17),
                ..all(side("any"), side("any"))
            },
            mode,
            proposals: &[],
            pfs: None,
            lifetime: crate::config::Lifetime::PHASE2,
            replay_window: 64,
        };
        let ask = |local: &str, remote: &str, protocol| TrafficSelectors {
            protocol: Protocol::Number(protocol),
            ..all(side(local), side(remote))
        };
        let host = "10.9.0.1/32";
        for (mode, asked, expected) in [
            (Mode::Transport, ask(host, host, 17), true),
            (Mode::Tunnel, ask(host, host, 17), false),
            (Mode::Transport, ask(host, host, 6), false),
            (Mode::Transport, ask("10.9.0.0/24", host, 17), false),
            (Mode::Transport, ask(host, "10.9.0.0/24", 17), false),
        ] {
            let children = [config(mode)];
            let found = find_transport_child(&children, &asked, PATH);
            assert_eq!(found.is_some(), expected, "{mode:?} {asked:?}");
        }
    }
}
