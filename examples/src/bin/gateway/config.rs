//! The configuration file: TOML in, what the engine and the data plane want out; every mistake with its line and the
//! reason. `examples/gateway/site.toml` is the annotated schema.
//!
//! Two passes: the TOML reader gives each value its type (`values`), then [`Site::load`] looks at what only shows when
//! several values stand side by side and collects everything it finds.

mod check;
mod file;
mod values;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use esp_core::{Mode, PolicyId, SpdEntry, TrafficSelectors};
use ike_core::config::{
    ChildConfig, ChildId, Config, Dpd, EspProposal, Finding, Identity, Lifetime, LifetimePolicy,
    Limits, NatTraversal, PeerConfig, PeerId, Phase1Mode, Phase1Proposal, Preference, Quirks,
    RemoteAddress, RemoteId, Secret, Severity, Timing,
};
use ike_core::crypto::SOFTWARE;
use ike_core::wire::numbers::GroupDescription;

use crate::SIZES;

use check::Check;
use file::File;
use values::OwnedIdentity;

pub use values::Start;

/// A site that has been checked.
#[derive(Debug)]
pub struct Site {
    pub local: Local,
    pub timing: Timing,
    pub limits: Limits,
    pub peers: Vec<Peer>,
    /// The access list, in its order.
    pub policies: Vec<SpdEntry>,
}

/// This machine.
#[derive(Debug)]
pub struct Local {
    /// UDP ports 500 and 4500 are opened on each.
    pub addresses: Vec<IpAddr>,
    /// Name of the TUN device.
    pub device: String,
    /// What the TUN device is given as its own addresses.
    pub device_addresses: Vec<(IpAddr, u8)>,
    /// Largest inner packet, in bytes.
    pub mtu: u16,
    /// Largest outer packet, in bytes; 0 for no limit.
    pub path_mtu: u16,
    /// Whether the networks behind the peers are routed into the TUN device.
    pub routes: bool,
    /// Where `status` asks, if not at the usual place.
    pub control: Option<PathBuf>,
}

/// A peer; its place in [`Site::peers`] is its [`PeerId`].
#[derive(Debug)]
pub struct Peer {
    /// Where it stands in the file.
    line: usize,
    pub name: String,
    pub remote: RemoteAddress,
    /// Which of [`Local::addresses`] speaks with it.
    pub local: IpAddr,
    local_id: OwnedIdentity,
    remote_id: Option<Vec<OwnedIdentity>>,
    psk: Psk,
    exchange: Phase1Mode,
    danger_answer_aggressive_psk: bool,
    preference: Preference,
    proposals: Vec<Phase1Proposal>,
    lifetime: Lifetime,
    lifetime_policy: LifetimePolicy,
    nat_traversal: NatTraversal,
    fragmentation: bool,
    dpd: Option<Dpd>,
    initial_contact: bool,
    quirks: Quirks,
    pub children: Vec<Child>,
}

/// A child of a peer; its place in [`Peer::children`] is its [`ChildId`].
#[derive(Debug)]
pub struct Child {
    /// Where it stands in the file.
    line: usize,
    pub name: String,
    pub mode: Mode,
    pub policy: PolicyId,
    pub selectors: TrafficSelectors,
    pub start: Start,
    proposals: Vec<EspProposal>,
    pfs: Option<GroupDescription>,
    lifetime: Lifetime,
    /// Packets that one direction may carry; 0 for no limit.
    lifetime_packets: u32,
    replay_window: u16,
}

/// A pre-shared key, kept out of every log.
struct Psk(zeroize::Zeroizing<Vec<u8>>);

impl fmt::Debug for Psk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Psk(..)")
    }
}

/// A mistake in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1; `None` if the file could not be read at all.
    pub line: Option<usize>,
    pub reason: String,
}

impl Mistake {
    /// As compilers print it: `site.toml:12: reason`.
    pub fn at(&self, file: &Path) -> String {
        match self.line {
            Some(line) => format!("{}:{line}: {}", file.display(), self.reason),
            None => format!("{}: {}", file.display(), self.reason),
        }
    }
}

impl Site {
    /// Reads and checks the file.
    ///
    /// # Errors
    /// All mistakes found, in the order of the file; only the first one where it is no valid TOML.
    pub fn load(path: &Path) -> Result<Self, Vec<Mistake>> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            vec![Mistake { line: None, reason: format!("cannot be read: {error}") }]
        })?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")))
    }

    /// The same for a text; key files are looked for in `folder`.
    ///
    /// # Errors
    /// As for [`Self::load`].
    pub fn parse(text: &str, folder: &Path) -> Result<Self, Vec<Mistake>> {
        let file: File = toml::from_str(text).map_err(|error| {
            vec![Mistake {
                line: error.span().map(|span| line_at(text, span.start)),
                reason: error.message().trim().replace('\n', ", "),
            }]
        })?;
        let mut check = Check { text, folder, mistakes: Vec::new() };
        let site = check.site(file);
        check.mistakes.sort_by_key(|mistake| mistake.line);
        if check.mistakes.is_empty() { Ok(site) } else { Err(check.mistakes) }
    }

    /// The tables that the engine's configuration borrows from.
    pub fn tables(&self) -> Tables<'_> {
        Tables {
            children: self
                .peers
                .iter()
                .map(|peer| {
                    peer.children.iter().zip(0..).map(|(child, id)| child.lend(id)).collect()
                })
                .collect(),
            remote_ids: self
                .peers
                .iter()
                .map(|peer| peer.remote_id.iter().flatten().map(OwnedIdentity::lend).collect())
                .collect(),
        }
    }

    /// The peers as the engine wants them.
    pub fn peer_configs<'t>(&'t self, tables: &'t Tables<'t>) -> Vec<PeerConfig<'t>> {
        let rows = self.peers.iter().zip(0..).zip(tables.children.iter().zip(&tables.remote_ids));
        rows.map(|((peer, id), (children, remote_ids))| {
            let psk = Secret::Bytes(&peer.psk.0);
            // The address is a placeholder of the constructor: `remote` follows.
            let mut config =
                PeerConfig::new(PeerId(id), peer.local, peer.local, psk, &peer.proposals, children);
            config.remote = peer.remote;
            config.local_id = peer.local_id.lend();
            config.remote_id = match peer.remote_id {
                Some(_) => RemoteId::OneOf(remote_ids),
                None => RemoteId::Anyone,
            };
            config.exchange = peer.exchange;
            config.danger_answer_aggressive_psk = peer.danger_answer_aggressive_psk;
            config.preference = peer.preference;
            config.lifetime = peer.lifetime;
            config.lifetime_policy = peer.lifetime_policy;
            config.nat_traversal = peer.nat_traversal;
            config.fragmentation = peer.fragmentation;
            config.dpd = peer.dpd;
            config.initial_contact = peer.initial_contact;
            config.quirks = peer.quirks;
            config
        })
        .collect()
    }

    /// What the engine itself finds wrong, or worth a warning, with the line of the peer or child it is about.
    pub fn findings(&self) -> Vec<(Severity, Mistake)> {
        let tables = self.tables();
        let peers = self.peer_configs(&tables);
        let config = Config {
            peers: &peers.as_slice(),
            crypto: &SOFTWARE,
            timing: self.timing,
            limits: self.limits,
        };
        let mut findings = Vec::new();
        config.check(SIZES, &mut |Finding { peer, child, kind }| {
            let peer = peer.and_then(|peer| self.peers.get(usize::try_from(peer.0).ok()?));
            let entry = child.and_then(|child| peer?.children.get(usize::try_from(child.0).ok()?));
            let line = entry.map(|child| child.line).or(peer.map(|peer| peer.line));
            let name = match (peer, entry) {
                (Some(peer), Some(child)) => format!("{}/{}: ", peer.name, child.name),
                (Some(peer), None) => format!("{}: ", peer.name),
                _ => String::new(),
            };
            let finding = (kind.severity(), Mistake { line, reason: format!("{name}{kind}") });
            if !findings.contains(&finding) {
                findings.push(finding);
            }
        });
        findings
    }

    /// The peer and the child with these numbers, for people.
    pub fn name(&self, peer: PeerId, child: Option<ChildId>) -> String {
        let Some(entry) = usize::try_from(peer.0).ok().and_then(|index| self.peers.get(index))
        else {
            return format!("peer {}", peer.0);
        };
        match child.and_then(|child| entry.children.get(usize::try_from(child.0).ok()?)) {
            Some(child) => format!("{}/{}", entry.name, child.name),
            None => entry.name.clone(),
        }
    }

    /// What we offer a peer in phase 1, or in phase 2 for one of its children.
    pub fn offer(&self, peer: PeerId, child: Option<ChildId>) -> String {
        let Some(entry) = usize::try_from(peer.0).ok().and_then(|index| self.peers.get(index))
        else {
            return "nothing".into();
        };
        let joined = |offers: Vec<String>| offers.join(" or ");
        match child.and_then(|child| entry.children.get(usize::try_from(child.0).ok()?)) {
            None => joined(entry.proposals.iter().map(values::phase1_text).collect()),
            Some(child) => {
                let transforms =
                    child.proposals.iter().map(|offer| offer.transform.to_string()).collect();
                let pfs =
                    child.pfs.map_or_else(|| "no PFS".to_owned(), |group| format!("PFS {group}"));
                format!("{} with {pfs} for {}", joined(transforms), child.selectors)
            }
        }
    }

    /// Where a peer is, as configured.
    pub fn remote(&self, peer: PeerId) -> String {
        match usize::try_from(peer.0)
            .ok()
            .and_then(|index| self.peers.get(index))
            .map(|peer| peer.remote)
        {
            Some(RemoteAddress::Host(address)) => address.to_string(),
            Some(RemoteAddress::Subnet(network, prefix)) => format!("{network}/{prefix}"),
            Some(RemoteAddress::Any) | None => "any".into(),
        }
    }

    /// How many packets each SA of this child may carry, if that is limited.
    pub fn packets(&self, peer: PeerId, child: ChildId) -> Option<u64> {
        let peer = self.peers.get(usize::try_from(peer.0).ok()?)?;
        let child = peer.children.get(usize::try_from(child.0).ok()?)?;
        (child.lifetime_packets > 0).then(|| child.lifetime_packets.into())
    }

    /// Peer and child that a policy entry belongs to.
    pub fn child_of_policy(&self, policy: PolicyId) -> Option<(PeerId, ChildId)> {
        self.peers.iter().zip(0..).find_map(|(peer, peer_id)| {
            let (_, child_id) =
                peer.children.iter().zip(0..).find(|(child, _)| child.policy == policy)?;
            Some((PeerId(peer_id), ChildId(child_id)))
        })
    }
}

impl Child {
    fn lend(&self, id: u32) -> ChildConfig<'_> {
        ChildConfig {
            id: ChildId(id),
            policy: self.policy,
            selectors: self.selectors,
            mode: self.mode,
            proposals: &self.proposals,
            pfs: self.pfs,
            lifetime: self.lifetime,
            replay_window: self.replay_window,
        }
    }
}

/// What [`Site::peer_configs`] borrows from besides the site itself.
#[derive(Debug)]
pub struct Tables<'s> {
    children: Vec<Vec<ChildConfig<'s>>>,
    remote_ids: Vec<Vec<Identity<'s>>>,
}

fn line_at(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|&byte| byte == b'\n').count().saturating_add(1)
}

#[cfg(test)]
mod tests;
