//! Transport mode: what this host itself exchanges with a peer, brought into the TUN device by the system's routing rules.
//!
//! ```text
//!   TCP, ICMP ... to the peer ─► rule 4501 ─► table 4500: dev ike0, from our address ─► sealed ─┐
//!   IKE, ESP to the peer ──────► rule 4500 ─► table main: the real interface ◄─ protocol 50 ────┘
//! ```
//!
//! The same three entries as in a policy database: BYPASS for IKE and for ESP, PROTECT for the child's traffic; neighbour
//! discovery of IPv6 asks no routing table. What comes in is written into the device with the peer's address as source,
//! and the system takes it, since its destination is ours. Reverse path filtering is content: the rules answer for the
//! device and for the real interface, as they do for packets that leave.

use std::io;
use std::net::IpAddr;

use esp_core::{PortRange, Protocol, TrafficSelectors};

use crate::tun::{Tun, Undo, ip};

/// Of the routing table, and of the rules for what is not protected: the port of IKE behind a NAT. The rule for what is
/// protected comes next.
const TABLE: &str = "4500";
const BYPASS: &str = "4500";
const PROTECT: &str = "4501";

/// Brings the traffic that `selectors` describe, between `local` and `remote`, into `tun`.
pub fn divert(
    tun: &Tun,
    local: IpAddr,
    remote: IpAddr,
    selectors: &TrafficSelectors,
    undo: &mut Undo,
) -> io::Result<()> {
    tun.route_host(remote, local, TABLE, undo)?;
    let family = if remote.is_ipv4() { "-4" } else { "-6" };
    for rule in rules(remote, selectors) {
        let change = |how| [family, "rule", how].into_iter().chain(rule.split(' '));
        // A gateway that was killed has left its rules behind.
        let _ = ip(&change("del").collect::<Vec<_>>());
        ip(&change("add").collect::<Vec<_>>())?;
        undo.later(change("del"));
    }
    Ok(())
}

/// What follows `ip rule add`, first what is not protected.
fn rules(remote: IpAddr, selectors: &TrafficSelectors) -> [String; 4] {
    let to = format!("to {remote}");
    let mut protect = format!("pref {PROTECT} {to}");
    if let Protocol::Number(number) = selectors.protocol {
        protect += &format!(" ipproto {number}");
    }
    for (word, PortRange { first, last }) in
        [("sport", selectors.local.ports), ("dport", selectors.remote.ports)]
    {
        if (PortRange { first, last }) != PortRange::ANY {
            protect += &format!(" {word} {first}-{last}");
        }
    }
    [
        format!("pref {BYPASS} {to} ipproto 50 lookup main"),
        format!("pref {BYPASS} {to} ipproto 17 sport 500 lookup main"),
        format!("pref {BYPASS} {to} ipproto 17 sport 4500 lookup main"),
        format!("{protect} lookup {TABLE}"),
    ]
}

#[cfg(test)]
mod tests {
    use esp_core::{Addresses, Selector};

    use super::*;

    #[test]
    fn ike_and_esp_go_past_the_device_and_the_childs_traffic_into_it() {
        let (local, remote) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let side = |address, ports| Selector { addresses: Addresses::host(address), ports };
        let written = |selectors| rules(remote, &selectors);
        let all = TrafficSelectors {
            local: side(local, PortRange::ANY),
            remote: side(remote, PortRange::ANY),
            protocol: Protocol::Any,
        };
        assert_eq!(
            written(all),
            [
                "pref 4500 to 192.0.2.2 ipproto 50 lookup main",
                "pref 4500 to 192.0.2.2 ipproto 17 sport 500 lookup main",
                "pref 4500 to 192.0.2.2 ipproto 17 sport 4500 lookup main",
                "pref 4501 to 192.0.2.2 lookup 4500",
            ]
        );
        let web = TrafficSelectors {
            remote: side(remote, PortRange::one(443)),
            protocol: Protocol::Number(6),
            ..all
        };
        assert_eq!(written(web)[3], "pref 4501 to 192.0.2.2 ipproto 6 dport 443-443 lookup 4500");
    }
}
