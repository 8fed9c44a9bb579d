//! What `status` tells: the answer of the control socket, as JSON and for people.

use std::fmt;

#[cfg(target_os = "linux")]
use examples::host::Node;
#[cfg(target_os = "linux")]
use ike_core::{
    ChildSaInfo, Instant,
    config::{ChildId, Identity, PeerId},
};
use serde::{Deserialize, Serialize};

#[cfg(target_os = "linux")]
use crate::config::Site;

/// The state of a running gateway.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub uptime_seconds: u64,
    pub peers: Vec<PeerReport>,
    pub ike: IkeCounters,
    pub packets: PacketCounters,
}

/// A peer of the configuration.
#[derive(Debug, Serialize, Deserialize)]
pub struct PeerReport {
    pub name: String,
    /// Address, network or `any`, as configured.
    pub remote: String,
    pub ike_sas: Vec<IkeSaReport>,
    pub children: Vec<ChildReport>,
}

/// An IKE SA.
#[derive(Debug, Serialize, Deserialize)]
pub struct IkeSaReport {
    /// CKY-I and CKY-R in hexadecimal digits.
    pub cookies: String,
    pub established: bool,
    /// Who the peer has proved to be.
    pub identity: Option<String>,
    pub up_seconds: Option<u64>,
    /// Since the peer last showed that it is alive.
    pub silent_seconds: Option<u64>,
    pub role: String,
    pub local: String,
    pub remote: String,
    pub algorithms: String,
    /// Whether a NAT was found on our side, on the peer's.
    pub nat: [bool; 2],
    pub rekey_in_seconds: Option<u64>,
    pub expires_in_seconds: Option<u64>,
}

/// A child of the configuration with the pairs of SAs that are up for it.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChildReport {
    pub name: String,
    pub selectors: String,
    pub sas: Vec<ChildSaReport>,
}

/// A pair of child SAs.
#[derive(Debug, Serialize, Deserialize)]
pub struct ChildSaReport {
    /// Our SPI and the peer's in hexadecimal digits.
    pub inbound: String,
    pub outbound: String,
    pub role: String,
    pub algorithms: String,
    pub udp: bool,
    /// A successor is in use; this pair only receives.
    pub replaced: bool,
    pub rekey_in_seconds: Option<u64>,
    pub expires_in_seconds: Option<u64>,
    pub packets_in: u64,
    pub bytes_in: u64,
    pub packets_out: u64,
    pub bytes_out: u64,
}

/// What became of IKE datagrams.
#[derive(Debug, Serialize, Deserialize)]
pub struct IkeCounters {
    pub accepted: u32,
    pub sent: u32,
    pub retransmitted: u32,
    pub duplicates: u32,
    pub discarded: u32,
    pub undecryptable: u32,
    pub failed_exchanges: u32,
}

/// What became of packets.
#[derive(Debug, Serialize, Deserialize)]
pub struct PacketCounters {
    pub protected: u64,
    pub delivered: u64,
    pub held: u64,
    pub discarded: u64,
    /// Everything that ended here, those included.
    pub dropped_by_host: u64,
}

#[cfg(target_os = "linux")]
impl Report {
    /// The state of `node`, running the configuration `site`; `dropped` packets went no further in the host.
    pub fn of(site: &Site, node: &Node<'_>, dropped: u64, now: Instant) -> Self {
        let left = |at: Option<Instant>| at.map(|at| at.since(now).as_secs());
        let ago = |at: Option<Instant>| at.map(|at| now.since(at).as_secs());
        let stats = node.endpoint.stats();
        let packets = node.processor.stats();
        let peers = site.peers.iter().zip(0..).map(|(peer, id)| {
            let ike_sas =
                node.endpoint.ike_sas().filter(|sa| sa.peer == PeerId(id)).map(|sa| IkeSaReport {
                    cookies: format!("{}.{}", sa.cookies.initiator, sa.cookies.responder),
                    established: sa.established,
                    identity: node.endpoint.peer_identity(sa.handle).map(identity),
                    up_seconds: ago(sa.since),
                    silent_seconds: ago(sa.heard),
                    role: sa.role.to_string(),
                    local: sa.path.local.to_string(),
                    remote: sa.path.remote.to_string(),
                    algorithms: format!(
                        "{}-{} {} {}",
                        sa.encryption, sa.key_bits, sa.hash, sa.group
                    ),
                    nat: [sa.local_nat, sa.remote_nat],
                    rekey_in_seconds: left(sa.rekey_at),
                    expires_in_seconds: left(sa.expires_at),
                });
            let children = peer.children.iter().zip(0..).map(|(child, child_id)| {
                let sas = node
                    .endpoint
                    .child_sas()
                    .filter(|sa| sa.peer == PeerId(id) && sa.config == ChildId(child_id));
                ChildReport {
                    name: child.name.clone(),
                    selectors: child.selectors.to_string(),
                    sas: sas
                        .filter(|sa| sa.up)
                        .map(|sa| ChildSaReport::of(&sa, node, left))
                        .collect(),
                }
            });
            PeerReport {
                name: peer.name.clone(),
                remote: site.remote(PeerId(id)),
                ike_sas: ike_sas.collect(),
                children: children.collect(),
            }
        });
        Self {
            uptime_seconds: now.as_millis() / 1_000,
            peers: peers.collect(),
            ike: IkeCounters {
                accepted: stats.accepted,
                sent: stats.sent,
                retransmitted: stats.retransmitted,
                duplicates: stats.duplicates,
                discarded: [
                    stats.malformed,
                    stats.misbehaved,
                    stats.refused,
                    stats.no_room,
                    stats.unknown_sa,
                    stats.wrong_address,
                    stats.undecryptable,
                    stats.unauthenticated,
                    stats.hints,
                    stats.busy,
                ]
                .into_iter()
                .fold(0, u32::saturating_add),
                undecryptable: stats.undecryptable,
                failed_exchanges: stats.failed,
            },
            packets: PacketCounters {
                protected: packets.sent,
                delivered: packets.delivered,
                held: packets.held,
                discarded: packets.all_discarded(),
                dropped_by_host: dropped,
            },
        }
    }
}

#[cfg(target_os = "linux")]
impl ChildSaReport {
    fn of(
        sa: &ChildSaInfo,
        node: &Node<'_>,
        left: impl Fn(Option<Instant>) -> Option<u64>,
    ) -> Self {
        let inbound = node.processor.inbound_sa(sa.inbound);
        let outbound =
            node.processor.outbound_sas().find(|outbound| outbound.owner() == sa.handle.to_owner());
        let received = inbound.map(|inbound| inbound.counters()).unwrap_or_default();
        let sent = outbound.map(|outbound| outbound.counters()).unwrap_or_default();
        Self {
            inbound: sa.inbound.to_string(),
            outbound: sa.outbound.map(|spi| spi.to_string()).unwrap_or_default(),
            role: sa.role.to_string(),
            algorithms: sa.transform.map(|transform| transform.to_string()).unwrap_or_default(),
            udp: sa.encap,
            replaced: sa.replaced,
            rekey_in_seconds: left(sa.rekey_at),
            expires_in_seconds: left(sa.expires_at),
            packets_in: received.packets,
            bytes_in: received.bytes,
            packets_out: sent.packets,
            bytes_out: sent.bytes,
        }
    }
}

/// Text of a peer's is escaped: it goes to terminals.
#[cfg(target_os = "linux")]
fn identity(identity: Identity<'_>) -> String {
    let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match identity {
        Identity::Address(address) => address.to_string(),
        Identity::Fqdn(name) | Identity::UserFqdn(name) => name.escape_default().to_string(),
        Identity::KeyId(key) => format!("key id {}", digits(key)),
        Identity::Other(kind, data) => format!("{kind} {}", digits(data)),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "up for {}", Seconds(self.uptime_seconds))?;
        for peer in &self.peers {
            writeln!(f, "peer {} at {}", peer.name, peer.remote)?;
            for sa in &peer.ike_sas {
                writeln!(
                    f,
                    "  IKE SA {} {}, {}, {} - {}{}, {}",
                    sa.cookies,
                    if sa.established { "up" } else { "in negotiation" },
                    sa.role,
                    sa.local,
                    sa.remote,
                    match sa.nat {
                        [false, false] => "",
                        [true, false] => " (we are behind a NAT)",
                        [false, true] => " (the peer is behind a NAT)",
                        [true, true] => " (both are behind a NAT)",
                    },
                    sa.algorithms,
                )?;
                if let (Some(up), Some(silent)) = (sa.up_seconds, sa.silent_seconds) {
                    let (up, silent) = (Seconds(up), Seconds(silent));
                    let who = sa.identity.as_deref().unwrap_or("a long name");
                    writeln!(f, "      {who}, up for {up}, last heard {silent} ago")?;
                }
                lifetime(f, sa.rekey_in_seconds, sa.expires_in_seconds)?;
            }
            for child in &peer.children {
                let state = if child.sas.is_empty() { ": down" } else { "" };
                writeln!(f, "  child {} {}{state}", child.name, child.selectors)?;
                for sa in &child.sas {
                    writeln!(
                        f,
                        "    in {} out {}, {}, {}{}{}",
                        sa.inbound,
                        sa.outbound,
                        sa.role,
                        sa.algorithms,
                        if sa.udp { " in UDP" } else { "" },
                        if sa.replaced { ", replaced" } else { "" },
                    )?;
                    writeln!(
                        f,
                        "      {} packets in ({} bytes), {} out ({} bytes)",
                        sa.packets_in, sa.bytes_in, sa.packets_out, sa.bytes_out,
                    )?;
                    lifetime(f, sa.rekey_in_seconds, sa.expires_in_seconds)?;
                }
            }
        }
        writeln!(
            f,
            "IKE: {} accepted, {} sent, {} retransmitted, {} duplicates, {} discarded ({} undecryptable), {} exchanges failed",
            self.ike.accepted,
            self.ike.sent,
            self.ike.retransmitted,
            self.ike.duplicates,
            self.ike.discarded,
            self.ike.undecryptable,
            self.ike.failed_exchanges,
        )?;
        writeln!(
            f,
            "packets: {} protected, {} delivered, {} held, {} discarded by policy or SA, {} dropped here",
            self.packets.protected,
            self.packets.delivered,
            self.packets.held,
            self.packets.discarded,
            self.packets.dropped_by_host,
        )
    }
}

fn lifetime(f: &mut fmt::Formatter<'_>, rekey: Option<u64>, expires: Option<u64>) -> fmt::Result {
    match (rekey, expires) {
        (Some(rekey), Some(expires)) => {
            writeln!(f, "      renewed in {}, expires in {}", Seconds(rekey), Seconds(expires))
        }
        (None, Some(expires)) => writeln!(f, "      expires in {}", Seconds(expires)),
        _ => Ok(()),
    }
}

/// A time as people say it: `2h 5m`, `90s`.
struct Seconds(u64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds @ ..120 => write!(f, "{seconds}s"),
            seconds @ ..7_200 => write!(f, "{}m {}s", seconds / 60, seconds % 60),
            seconds => write!(f, "{}h {}m", seconds / 3_600, seconds / 60 % 60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_for_people() {
        for (seconds, text) in [(0, "0s"), (119, "119s"), (121, "2m 1s"), (7_320, "2h 2m")] {
            assert_eq!(Seconds(seconds).to_string(), text);
        }
    }
}
