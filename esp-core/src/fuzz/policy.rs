//! The access list against a model that knows what the packet is, since it made it.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::wire::ip::NewHeader;
use crate::{
    Addresses, Arrival, Directions, Discard, Inbound, InstallError, Outbound, PacketBuf, Policy,
    PolicyId, PortRange, Processor, Protocol, Selector, Settings, SpdEntry, Tables,
    TrafficSelectors,
};

const LINES: usize = 4;

/// What a packet is, as its maker knows it.
#[derive(Clone, Copy, Debug)]
struct Facts {
    local: IpAddr,
    remote: IpAddr,
    protocol: u8,
    /// `None`: not in this packet, it being a later fragment.
    ports: Option<(u16, u16)>,
}

/// A list of up to four lines, then packets, each twice and in both directions.
pub fn spd(script: &[u8]) {
    let mut script = script.iter().copied();
    let Some(lines) = script.next() else { return };
    let mut next = || script.next().unwrap_or_default();
    let mut list = [SpdEntry::new(PolicyId(0), super::ANY, Policy::Discard); LINES];
    let lines = usize::from(lines).checked_rem(LINES + 1).unwrap_or_default();
    let list = list.get_mut(..lines).unwrap_or_default();
    for (at, entry) in list.iter_mut().enumerate() {
        *entry = line(u32::try_from(at).unwrap_or_default(), &mut next);
    }
    let mut tables = Tables::<LINES, 1, 3>::new();
    let mut processor = Processor::new(&mut tables, Settings::DEFAULT);
    if let Err(error) = processor.set_policies(list) {
        assert!(matches!(error, InstallError::Selectors(_)), "{error}");
        assert!(list.iter().any(|entry| !sensible(&entry.selectors)));
        return;
    }
    assert!(list.iter().all(|entry| sensible(&entry.selectors)));
    for _ in 0..12 {
        let facts = facts(&mut next);
        let mut memory = [0; 512];
        for inbound in [false, true, false, true] {
            let len = emit(&facts, inbound, &mut memory);
            let Some(mut packet) = PacketBuf::new(&mut memory, 0..len) else { return };
            let expected = expected(list, &facts, inbound);
            if inbound {
                let verdict = processor.inbound(&mut packet, Arrival::Ip);
                let expected = match expected {
                    Ok(Policy::Bypass) => Inbound::Bypass,
                    Ok(Policy::Protect(_)) => Inbound::Discard(Discard::Unprotected),
                    Ok(Policy::Discard) => Inbound::Discard(Discard::Policy),
                    Err(reason) => Inbound::Discard(reason),
                };
                assert_eq!(verdict, expected, "{facts:?} {list:?}");
            } else {
                let verdict = processor.outbound(&mut packet);
                let expected = match expected {
                    Ok(Policy::Bypass) => Some(Outbound::Bypass),
                    Ok(Policy::Protect(_)) => None,
                    Ok(Policy::Discard) => Some(Outbound::Discard(Discard::Policy)),
                    Err(reason) => Some(Outbound::Discard(reason)),
                };
                let held = matches!(verdict, Outbound::Hold { .. });
                assert!(
                    expected.map_or(held, |expected| verdict == expected),
                    "{facts:?} {list:?}"
                );
            }
        }
    }
}

/// The first line that matches. A later fragment that might belong to a line is dropped, unless the line would let it pass, or
/// is for what shows no ports: over IPv4 not for these, which begin eight bytes into the packet.
fn expected(list: &[SpdEntry], facts: &Facts, inbound: bool) -> Result<Policy, Discard> {
    for entry in list {
        let applies = match entry.directions {
            Directions::Both => true,
            Directions::Inbound => inbound,
            Directions::Outbound => !inbound,
        };
        let TrafficSelectors { local, remote, protocol } = entry.selectors;
        let fits = holds(local.addresses, facts.local)
            && holds(remote.addresses, facts.remote)
            && (protocol == Protocol::Any || protocol == Protocol::Number(facts.protocol));
        if !applies || !fits {
            continue;
        }
        if local.ports == PortRange::ANY && remote.ports == PortRange::ANY {
            return Ok(entry.policy);
        }
        let opaque = [local.ports, remote.ports]
            .iter()
            .all(|ports| [PortRange::ANY, PortRange::OPAQUE].contains(ports));
        match facts.ports {
            Some((near, far)) => {
                let has_ports = matches!(facts.protocol, 1 | 6 | 17 | 58);
                let inside = |range: PortRange, port| (range.first..=range.last).contains(&port);
                if !has_ports && opaque {
                    return Ok(entry.policy);
                }
                if has_ports && inside(local.ports, near) && inside(remote.ports, far) {
                    return Ok(entry.policy);
                }
            }
            None if opaque && facts.local.is_ipv6() => return Ok(entry.policy),
            None if entry.policy == Policy::Bypass => {}
            None => return Err(Discard::Fragment),
        }
    }
    Err(Discard::NoPolicy)
}

/// Bit by bit.
fn holds(addresses: Addresses, address: IpAddr) -> bool {
    let bit = |address: IpAddr, at: u8| match address {
        IpAddr::V4(address) => {
            address.to_bits().rotate_left(u32::from(at).saturating_add(1)) & 1 == 1
        }
        IpAddr::V6(address) => {
            address.to_bits().rotate_left(u32::from(at).saturating_add(1)) & 1 == 1
        }
    };
    match addresses {
        Addresses::Any => true,
        Addresses::Subnet { network, prefix } => {
            network.is_ipv4() == address.is_ipv4()
                && (0..prefix).all(|at| bit(network, at) == bit(address, at))
        }
        Addresses::Range { first, last } => {
            first.is_ipv4() == address.is_ipv4() && first <= address && address <= last
        }
    }
}

fn sensible(selectors: &TrafficSelectors) -> bool {
    let family = |addresses| match addresses {
        Addresses::Any => None,
        Addresses::Subnet { network: first, .. } | Addresses::Range { first, .. } => {
            Some(first.is_ipv4())
        }
    };
    let ends = [selectors.local, selectors.remote];
    let [local, remote] = ends.map(|end| family(end.addresses));
    let families = local.is_none() || remote.is_none() || local == remote;
    families
        && ends.iter().all(|end| {
            let ordered = match end.addresses {
                Addresses::Range { first, last } => {
                    first.is_ipv4() == last.is_ipv4() && first <= last
                }
                Addresses::Subnet { network, prefix } => {
                    prefix <= if network.is_ipv4() { 32 } else { 128 }
                }
                Addresses::Any => true,
            };
            ordered && (end.ports.first <= end.ports.last || end.ports == PortRange::OPAQUE)
        })
}

/// Few addresses, so that they meet.
fn address(next: &mut impl FnMut() -> u8) -> IpAddr {
    let byte = next();
    let (net, host) = (byte >> 4 & 3, byte & 7);
    if byte & 0x80 == 0 {
        IpAddr::V4(Ipv4Addr::new(10, net, 0, host))
    } else {
        IpAddr::V6(Ipv6Addr::new(0xfd00, net.into(), 0, 0, 0, 0, 0, host.into()))
    }
}

fn line(id: u32, next: &mut impl FnMut() -> u8) -> SpdEntry {
    let mut end = || {
        let addresses = match next() & 3 {
            0 => Addresses::Any,
            1 | 2 => Addresses::Subnet { network: address(next), prefix: next() % 132 },
            _ => Addresses::Range { first: address(next), last: address(next) },
        };
        let ports = match next() & 3 {
            0 | 1 => PortRange::ANY,
            2 => match next() & 15 {
                8.. => PortRange::OPAQUE,
                port => PortRange::one(port.into()),
            },
            _ => PortRange { first: u16::from(next() & 7), last: u16::from(next() & 7) },
        };
        Selector { addresses, ports }
    };
    let (local, remote) = (end(), end());
    let what = next();
    let protocol = match what & 7 {
        0..=3 => Protocol::Any,
        4 => Protocol::Number(17),
        5 => Protocol::Number(6),
        6 => Protocol::Number(1),
        _ => Protocol::Number(47),
    };
    let policy = match what >> 3 & 3 {
        0 => Policy::PROTECT,
        1 => Policy::Discard,
        _ => Policy::Bypass,
    };
    let directions = match what >> 5 & 3 {
        0 => Directions::Inbound,
        1 => Directions::Outbound,
        _ => Directions::Both,
    };
    let selectors = TrafficSelectors { local, remote, protocol };
    SpdEntry { id: PolicyId(id), directions, selectors, policy }
}

fn facts(next: &mut impl FnMut() -> u8) -> Facts {
    let (local, mut remote, what) = (address(next), address(next), next());
    if local.is_ipv4() != remote.is_ipv4() {
        remote = local;
    }
    let protocol = match what & 7 {
        0..=3 => 17,
        4 => 6,
        5 => 1,
        6 => 47,
        _ => 58,
    };
    let (near, far) = (u16::from(next() & 7), u16::from(next() & 7));
    let ports = match protocol {
        // Type and code, in the place of both.
        1 | 58 => (near, near),
        _ => (near, far),
    };
    Facts { local, remote, protocol, ports: (what & 0x18 != 0x18).then_some(ports) }
}

/// The packet as bytes; its length.
fn emit(facts: &Facts, inbound: bool, memory: &mut [u8; 512]) -> usize {
    let Facts { local, remote, protocol, ports } = *facts;
    let (near, far) = ports.unwrap_or((0x0909, 0x0909));
    let (source, destination, first, second) =
        if inbound { (remote, local, far, near) } else { (local, remote, near, far) };
    let later = ports.is_none();
    let v6_fragment = later && source.is_ipv6();
    let header = NewHeader {
        source: &source,
        destination: &destination,
        traffic_class: 0,
        dont_fragment: false,
        identification: 7,
        flow_label: 0,
        ttl: 64,
        protocol: if v6_fragment { 44 } else { protocol },
    };
    let header_len = NewHeader::len_for(&source);
    let fragment = [protocol, 0, 0, 8, 0, 0, 0, 7];
    let extension = fragment.get(if v6_fragment { 0 } else { 8 }..).unwrap_or_default();
    let ports = first.to_be_bytes().into_iter().chain(second.to_be_bytes());
    let payload = extension.iter().copied().chain(ports).chain([0; 16]);
    let len = header_len.saturating_add(extension.len()).saturating_add(20);
    let Some(packet) = memory.get_mut(..len) else { return 0 };
    header.emit(packet);
    packet.iter_mut().skip(header_len).zip(payload).for_each(|(to, from)| *to = from);
    if let (true, true, Some(offset)) = (later, source.is_ipv4(), packet.get_mut(7)) {
        *offset = 1;
    }
    len
}
