//! The configuration file: TOML in, what the engine and the data plane want out; every mistake with its line and the
//! reason. `examples/gateway/site.toml` is the annotated schema.
//!
//! Two passes: the TOML reader gives each value its type (`values`), then [`Site::load`] looks at what only shows when
//! several values stand side by side and collects everything it finds.

mod values;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use esp_core::{
    Addresses, Mode, Policy, PolicyId, PortRange, Protocol, Selector, SpdEntry, TrafficSelectors,
};
use ike_core::config::{
    Authentication, ChildConfig, ChildId, Dpd, DpdAction, EspProposal, Identity, Lifetime,
    LifetimePolicy, Limits, NatTraversal, PeerConfig, PeerId, Phase1Mode, Phase1Proposal, Quirks,
    RemoteAddress, RemoteId, Secret, Timing,
};
use serde::Deserialize;
use toml::Spanned;
use values::{
    Esp, Group, Hex, Id, Ids, Interface, IpProtocol, Network, OwnedIdentity, Phase1, Ports, Remote,
    Span,
};

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
    /// Whether the networks behind the peers are routed into the TUN device.
    pub routes: bool,
    /// Where `status` asks, if not at the usual place.
    pub control: Option<PathBuf>,
}

/// A peer; its place in [`Site::peers`] is its [`PeerId`].
#[derive(Debug)]
pub struct Peer {
    pub name: String,
    pub remote: RemoteAddress,
    /// Which of [`Local::addresses`] speaks with it.
    pub local: IpAddr,
    local_id: OwnedIdentity,
    remote_id: Option<Vec<OwnedIdentity>>,
    psk: Psk,
    exchange: Phase1Mode,
    danger_answer_aggressive_psk: bool,
    proposals: Vec<Phase1Proposal>,
    lifetime: Lifetime,
    lifetime_policy: LifetimePolicy,
    nat_traversal: NatTraversal,
    dpd: Option<Dpd>,
    initial_contact: bool,
    quirks: Quirks,
    pub children: Vec<Child>,
}

/// A child of a peer; its place in [`Peer::children`] is its [`ChildId`].
#[derive(Debug)]
pub struct Child {
    pub name: String,
    pub policy: PolicyId,
    pub selectors: TrafficSelectors,
    pub start: Start,
    proposals: Vec<EspProposal>,
    pfs: Option<ike_core::wire::numbers::GroupDescription>,
    lifetime: Lifetime,
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

    /// The same for a text; key files are looked for beside `folder`.
    fn parse(text: &str, folder: &Path) -> Result<Self, Vec<Mistake>> {
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
        rows.map(|((peer, id), (children, remote_ids))| PeerConfig {
            id: PeerId(id),
            remote: peer.remote,
            local_id: peer.local_id.lend(),
            remote_id: if peer.remote_id.is_some() {
                RemoteId::OneOf(remote_ids)
            } else {
                RemoteId::Anyone
            },
            authentication: Authentication::PreSharedKey(Secret::Bytes(&peer.psk.0)),
            exchange: peer.exchange,
            danger_answer_aggressive_psk: peer.danger_answer_aggressive_psk,
            proposals: &peer.proposals,
            lifetime: peer.lifetime,
            lifetime_policy: peer.lifetime_policy,
            children,
            nat_traversal: peer.nat_traversal,
            dpd: peer.dpd,
            initial_contact: peer.initial_contact,
            quirks: peer.quirks,
        })
        .collect()
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
            mode: Mode::Tunnel,
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

// ---- the file, as it is written ---------------------------------------------------------------------------------

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    local: LocalTable,
    #[serde(default)]
    timing: TimingTable,
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default, rename = "peer")]
    peers: Vec<PeerTable>,
    #[serde(default, rename = "policy")]
    policies: Vec<Spanned<PolicyTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LocalTable {
    addresses: Spanned<Vec<IpAddr>>,
    #[serde(default = "default_device")]
    device: Spanned<String>,
    #[serde(default)]
    device_addresses: Vec<Interface>,
    #[serde(default = "default_mtu")]
    mtu: Spanned<u16>,
    #[serde(default = "yes")]
    routes: bool,
    control: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TimingTable {
    retransmit_first: Option<Span>,
    backoff_percent: Option<u16>,
    retransmit_tries: Option<u8>,
    exchange_timeout: Option<Span>,
    rekey_percent: Option<u8>,
    rekey_percent_responder: Option<u8>,
    rekey_jitter_percent: Option<u8>,
    overlap: Option<Span>,
    keepalive: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LimitsTable {
    half_open: Option<u16>,
    half_open_per_source: Option<u16>,
    unproven_dh_per_second: Option<u16>,
    datagram: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PeerTable {
    name: Spanned<String>,
    remote: Spanned<Remote>,
    local: Option<Spanned<IpAddr>>,
    local_id: Option<Id>,
    remote_id: Option<Ids>,
    psk: Option<Spanned<String>>,
    psk_hex: Option<Spanned<Hex>>,
    psk_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    exchange: Exchange,
    #[serde(default)]
    danger_answer_aggressive_psk: bool,
    proposals: Spanned<Vec<Phase1>>,
    lifetime: Option<Spanned<Span>>,
    #[serde(default)]
    lifetime_policy: LifetimeRule,
    #[serde(default)]
    nat_traversal: Nat,
    dpd: Option<DpdTable>,
    #[serde(default = "yes")]
    initial_contact: bool,
    #[serde(default)]
    quirks: QuirksTable,
    #[serde(default, rename = "child")]
    children: Vec<ChildTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DpdTable {
    #[serde(default = "dpd_idle")]
    idle: Span,
    #[serde(default = "dpd_retry")]
    retry: Span,
    #[serde(default = "dpd_tries")]
    tries: u8,
    #[serde(default)]
    action: DpdThen,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct QuirksTable {
    accept_unencrypted_auth: bool,
    accept_narrowing: bool,
    delete_ike_deletes_children: bool,
    #[cfg(feature = "legacy")]
    sha256_96: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChildTable {
    name: Spanned<String>,
    local: Spanned<Network>,
    remote: Network,
    #[serde(default = "any_protocol")]
    protocol: IpProtocol,
    #[serde(default = "any_port")]
    local_port: Ports,
    #[serde(default = "any_port")]
    remote_port: Ports,
    proposals: Spanned<Vec<Esp>>,
    pfs: Option<Group>,
    lifetime: Option<Spanned<Span>>,
    #[serde(default)]
    lifetime_kilobytes: u32,
    #[serde(default = "default_window")]
    replay_window: Spanned<u16>,
    #[serde(default = "default_start")]
    start: Spanned<Start>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PolicyTable {
    action: Spanned<Action>,
    /// `PEER/CHILD`, for `protect`.
    child: Option<String>,
    local: Option<Network>,
    remote: Option<Network>,
    protocol: Option<IpProtocol>,
    local_port: Option<Ports>,
    remote_port: Option<Ports>,
}

/// An enum of one word each, with the engine's own behind it.
macro_rules! words {
    ($name:ident => $engine:ident { $first:ident => $first_value:ident $(, $word:ident => $value:ident)* }) => {
        #[derive(Clone, Copy, Default, Deserialize)]
        #[serde(rename_all = "lowercase")]
        enum $name { #[default] $first, $($word),* }

        impl From<$name> for $engine {
            fn from(word: $name) -> Self {
                match word {
                    $name::$first => Self::$first_value,
                    $($name::$word => Self::$value,)*
                }
            }
        }
    };
}

words!(Exchange => Phase1Mode { Main => Main, Aggressive => Aggressive });
words!(LifetimeRule => LifetimePolicy { Obey => Obey, Claim => Claim, Strict => Strict, Exact => Exact });
words!(Nat => NatTraversal { Auto => Auto, Force => Force, Off => Off });
words!(DpdThen => DpdAction { Restart => Restart, Clear => Clear });

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Action {
    Protect,
    Discard,
    Bypass,
}

fn default_device() -> Spanned<String> {
    Spanned::new(0..0, "ike0".into())
}
fn default_mtu() -> Spanned<u16> {
    // What fits an Ethernet path with every header and trailer of ESP in UDP over IPv6.
    Spanned::new(0..0, 1_380)
}
fn default_window() -> Spanned<u16> {
    Spanned::new(0..0, 128)
}
fn default_start() -> Spanned<Start> {
    Spanned::new(0..0, Start::default())
}
fn any_protocol() -> IpProtocol {
    IpProtocol(Protocol::Any)
}
fn any_port() -> Ports {
    Ports(PortRange::ANY)
}
fn dpd_idle() -> Span {
    Span(Duration::from_secs(30))
}
fn dpd_retry() -> Span {
    Span(Duration::from_secs(5))
}
fn dpd_tries() -> u8 {
    4
}
fn yes() -> bool {
    true
}

// ---- the second pass ----------------------------------------------------------------------------------------------

struct Check<'f> {
    text: &'f str,
    folder: &'f Path,
    mistakes: Vec<Mistake>,
}

impl Check<'_> {
    fn mistake<T>(&mut self, place: &Spanned<T>, reason: impl Into<String>) {
        self.mistakes.push(Mistake {
            line: Some(line_at(self.text, place.span().start)),
            reason: reason.into(),
        });
    }

    fn site(&mut self, file: File) -> Site {
        let local = self.local(file.local);
        let mut next_policy = 0;
        let mut peers: Vec<Peer> = Vec::new();
        for table in file.peers {
            let place = table.name.clone();
            let peer = self.peer(table, &local, &mut next_policy);
            if peers.iter().any(|other| other.name == peer.name) {
                self.mistake(&place, format!("two peers are named {:?}", peer.name));
            }
            if peers
                .iter()
                .any(|other| other.remote == peer.remote && other.exchange == peer.exchange)
                && peer.exchange == Phase1Mode::Main
            {
                // RFC 2409 §5.4: the key is chosen by address.
                self.mistake(&place, "two main mode peers at the same address: main mode chooses the key by address alone");
            }
            peers.push(peer);
        }
        let policies = self.policies(file.policies, &peers, next_policy);
        Site { local, timing: file.timing.into(), limits: file.limits.into(), peers, policies }
    }

    fn local(&mut self, table: LocalTable) -> Local {
        if table.addresses.get_ref().is_empty() {
            self.mistake(&table.addresses, "no address to listen on");
        }
        if let Some(address) =
            table.addresses.get_ref().iter().find(|address| address.is_unspecified())
        {
            self.mistake(
                &table.addresses,
                format!("{address} is no address: NAT detection and tunnels need the one the peer sees; list each"),
            );
        }
        // IFNAMSIZ is 16, the terminating zero included.
        if table.device.get_ref().is_empty() || table.device.get_ref().len() > 15 {
            self.mistake(&table.device, "the name of a device has 1 to 15 bytes");
        }
        if !(576..=9000).contains(table.mtu.get_ref()) {
            self.mistake(&table.mtu, "mtu is not between 576 and 9000");
        }
        Local {
            addresses: table.addresses.into_inner(),
            device: table.device.into_inner(),
            device_addresses: table
                .device_addresses
                .into_iter()
                .map(|Interface(address)| address)
                .collect(),
            mtu: table.mtu.into_inner(),
            routes: table.routes,
            control: table.control,
        }
    }

    fn peer(&mut self, table: PeerTable, local: &Local, next_policy: &mut u32) -> Peer {
        let Remote(remote) = *table.remote.get_ref();
        let family = match remote {
            RemoteAddress::Host(address) | RemoteAddress::Subnet(address, _) => {
                Some(address.is_ipv4())
            }
            RemoteAddress::Any => None,
        };
        let address = match &table.local {
            Some(address) if local.addresses.contains(address.get_ref()) => *address.get_ref(),
            Some(address) => {
                self.mistake(
                    address,
                    format!("{} is not among the addresses of [local]", address.get_ref()),
                );
                *address.get_ref()
            }
            None => {
                let fits = local
                    .addresses
                    .iter()
                    .find(|address| family.is_none_or(|v4| v4 == address.is_ipv4()));
                fits.copied().unwrap_or_else(|| {
                    self.mistake(&table.remote, "[local] has no address of the same family");
                    IpAddr::from([0, 0, 0, 0])
                })
            }
        };
        if family.is_some_and(|v4| v4 != address.is_ipv4()) && table.local.is_some() {
            self.mistake(&table.remote, "remote and local address are of two families");
        }
        if table.proposals.get_ref().is_empty() {
            self.mistake(&table.proposals, "no phase 1 proposal");
        }
        let remote_id = match (table.remote_id, remote) {
            (Some(Ids::Any), _) => None,
            (Some(Ids::These(ids)), _) => Some(ids.into_iter().map(|Id(id)| id).collect()),
            (None, RemoteAddress::Host(address)) => Some(vec![OwnedIdentity::Address(address)]),
            (None, RemoteAddress::Subnet(..) | RemoteAddress::Any) => {
                self.mistake(&table.remote, "remote_id is needed for a peer without a fixed address; \"any\" accepts whoever holds the key");
                None
            }
        };
        let psk = self.psk(&table.name, table.psk, table.psk_hex, table.psk_file);
        let mut children: Vec<Child> = Vec::new();
        for child in table.children {
            let place = child.name.clone();
            if *child.start.get_ref() != Start::Never && remote.host().is_none() {
                let start = child.start.clone();
                let place =
                    if start.span().is_empty() { &table.remote.span() } else { &start.span() };
                self.mistake(
                    &Spanned::new(place.clone(), ()),
                    format!("child {:?} needs start = \"never\": without a fixed remote address we can only answer", child.name.get_ref()),
                );
            }
            let child = self.child(child, PolicyId(*next_policy));
            *next_policy = next_policy.saturating_add(1);
            if children.iter().any(|other| other.name == child.name) {
                self.mistake(
                    &place,
                    format!("two children of this peer are named {:?}", child.name),
                );
            }
            children.push(child);
        }
        if children.is_empty() {
            self.mistake(&table.name, "the peer has no [[peer.child]]: nothing could be protected");
        }
        let mut quirks = Quirks::NONE;
        quirks.accept_unencrypted_auth = table.quirks.accept_unencrypted_auth;
        quirks.accept_narrowing = table.quirks.accept_narrowing;
        quirks.delete_ike_deletes_children = table.quirks.delete_ike_deletes_children;
        #[cfg(feature = "legacy")]
        {
            quirks.sha256_96 = table.quirks.sha256_96;
        }
        Peer {
            name: table.name.into_inner(),
            remote,
            local: address,
            local_id: table.local_id.map_or(OwnedIdentity::Address(address), |Id(id)| id),
            remote_id,
            psk,
            exchange: table.exchange.into(),
            danger_answer_aggressive_psk: table.danger_answer_aggressive_psk,
            proposals: table
                .proposals
                .into_inner()
                .into_iter()
                .map(|Phase1(proposal)| proposal)
                .collect(),
            lifetime: self.lifetime(table.lifetime, 0, Lifetime::PHASE1),
            lifetime_policy: table.lifetime_policy.into(),
            nat_traversal: table.nat_traversal.into(),
            dpd: table.dpd.map(|dpd| Dpd {
                idle: dpd.idle.0,
                retry: dpd.retry.0,
                tries: dpd.tries,
                action: dpd.action.into(),
            }),
            initial_contact: table.initial_contact,
            quirks,
            children,
        }
    }

    fn psk(
        &mut self,
        place: &Spanned<String>,
        text: Option<Spanned<String>>,
        hex: Option<Spanned<Hex>>,
        file: Option<Spanned<PathBuf>>,
    ) -> Psk {
        let given = [text.is_some(), hex.is_some(), file.is_some()]
            .into_iter()
            .filter(|&given| given)
            .count();
        if given != 1 {
            self.mistake(
                place,
                "the peer needs its key from exactly one of psk, psk_hex and psk_file",
            );
        }
        let (place, key) = if let Some(text) = text {
            (Spanned::new(text.span(), ()), text.into_inner().into_bytes())
        } else if let Some(hex) = hex {
            (Spanned::new(hex.span(), ()), hex.into_inner().0)
        } else if let Some(file) = file {
            let place = Spanned::new(file.span(), ());
            let path = self.folder.join(file.get_ref());
            match std::fs::read(&path) {
                Ok(mut key) => {
                    while key.last().is_some_and(|byte| matches!(byte, b'\n' | b'\r')) {
                        key.pop();
                    }
                    (place, key)
                }
                Err(error) => {
                    self.mistake(&place, format!("{}: {error}", path.display()));
                    return Psk(Vec::new().into());
                }
            }
        } else {
            return Psk(Vec::new().into());
        };
        if !(1..=256).contains(&key.len()) {
            self.mistake(
                &place,
                format!("a pre-shared key has 1 to 256 bytes, this one {}", key.len()),
            );
        }
        Psk(key.into())
    }

    fn child(&mut self, table: ChildTable, policy: PolicyId) -> Child {
        if let (Some(a), Some(b)) = (family(table.local.get_ref().0), family(table.remote.0))
            && a != b
        {
            self.mistake(&table.local, "local and remote network are of two families");
        }
        if table.proposals.get_ref().is_empty() {
            self.mistake(&table.proposals, "no ESP proposal");
        }
        if !(32..=1024).contains(table.replay_window.get_ref()) {
            self.mistake(&table.replay_window, "replay_window is not between 32 and 1024 packets");
        }
        Child {
            policy,
            selectors: TrafficSelectors {
                local: Selector { addresses: table.local.get_ref().0, ports: table.local_port.0 },
                remote: Selector { addresses: table.remote.0, ports: table.remote_port.0 },
                protocol: table.protocol.0,
            },
            name: table.name.into_inner(),
            start: table.start.into_inner(),
            proposals: table
                .proposals
                .into_inner()
                .into_iter()
                .map(|Esp(proposal)| proposal)
                .collect(),
            pfs: table.pfs.map(|Group(group)| group),
            lifetime: self.lifetime(table.lifetime, table.lifetime_kilobytes, Lifetime::PHASE2),
            replay_window: table.replay_window.into_inner(),
        }
    }

    fn lifetime(
        &mut self,
        span: Option<Spanned<Span>>,
        kilobytes: u32,
        default: Lifetime,
    ) -> Lifetime {
        let Some(span) = span else { return Lifetime { kilobytes, ..default } };
        let seconds = u32::try_from(span.get_ref().0.as_secs()).unwrap_or(u32::MAX);
        if seconds < 60 {
            self.mistake(&span, "a lifetime is at least 60s");
        }
        Lifetime { seconds, kilobytes }
    }

    /// The access list: the `[[policy]]` tables in their order, then every child that none of them placed, in the
    /// order of the file. What matches nothing is discarded.
    fn policies(
        &mut self,
        tables: Vec<Spanned<PolicyTable>>,
        peers: &[Peer],
        mut next: u32,
    ) -> Vec<SpdEntry> {
        let mut entries: Vec<SpdEntry> = Vec::new();
        let protect = |child: &Child| SpdEntry::new(child.policy, child.selectors, Policy::PROTECT);
        for table in tables {
            let table = table.into_inner();
            let selectors = [
                table.local.is_some(),
                table.remote.is_some(),
                table.protocol.is_some(),
                table.local_port.is_some(),
                table.remote_port.is_some(),
            ];
            match (*table.action.get_ref(), &table.child) {
                (Action::Bypass, _) => self.mistake(
                    &table.action,
                    "the gateway sees only what is routed into its device: give traffic that shall not be protected another route",
                ),
                (Action::Protect, None) => {
                    self.mistake(&table.action, "action = \"protect\" needs child = \"PEER/CHILD\"");
                }
                (Action::Protect, Some(_)) if selectors.contains(&true) => {
                    self.mistake(&table.action, "the traffic of a protect entry is that of its child");
                }
                (Action::Protect, Some(name)) => {
                    let child = peers
                        .iter()
                        .flat_map(|peer| peer.children.iter().map(move |child| (peer, child)))
                        .find(|(peer, child)| name.split_once('/') == Some((&peer.name, &child.name)));
                    match child {
                        None => self.mistake(&table.action, format!("there is no child {name:?} (PEER/CHILD)")),
                        Some((_, child)) if entries.iter().any(|entry| entry.id == child.policy) => {
                            self.mistake(&table.action, format!("{name:?} stands in the list already"));
                        }
                        Some((_, child)) => entries.push(protect(child)),
                    }
                }
                (Action::Discard, Some(_)) => self.mistake(&table.action, "only action = \"protect\" has a child"),
                (Action::Discard, None) => {
                    let any = Network(Addresses::Any);
                    let ports = |ports: Option<Ports>| ports.map_or(PortRange::ANY, |Ports(range)| range);
                    entries.push(SpdEntry::new(
                        PolicyId(next),
                        TrafficSelectors {
                            local: Selector {
                                addresses: table.local.unwrap_or(any.clone()).0,
                                ports: ports(table.local_port),
                            },
                            remote: Selector {
                                addresses: table.remote.unwrap_or(any).0,
                                ports: ports(table.remote_port),
                            },
                            protocol: table.protocol.map_or(Protocol::Any, |IpProtocol(protocol)| protocol),
                        },
                        Policy::Discard,
                    ));
                    next = next.saturating_add(1);
                }
            }
        }
        for child in peers.iter().flat_map(|peer| &peer.children) {
            if entries.iter().all(|entry| entry.id != child.policy) {
                entries.push(protect(child));
            }
        }
        entries
    }
}

impl From<TimingTable> for Timing {
    fn from(table: TimingTable) -> Self {
        let or = |span: Option<Span>, default: Duration| span.map_or(default, |Span(span)| span);
        let default = Self::DEFAULT;
        Self {
            retransmit_first: or(table.retransmit_first, default.retransmit_first),
            backoff_percent: table.backoff_percent.unwrap_or(default.backoff_percent),
            // Once less than the engine's default: people wait for a program's word, 22 s then.
            retransmit_tries: table.retransmit_tries.unwrap_or(4),
            exchange_timeout: or(table.exchange_timeout, default.exchange_timeout),
            rekey_percent: table.rekey_percent.unwrap_or(default.rekey_percent),
            rekey_percent_responder: table
                .rekey_percent_responder
                .unwrap_or(default.rekey_percent_responder),
            rekey_jitter_percent: table
                .rekey_jitter_percent
                .unwrap_or(default.rekey_jitter_percent),
            overlap: or(table.overlap, default.overlap),
            keepalive: or(table.keepalive, default.keepalive),
            outbound_switch: default.outbound_switch,
        }
    }
}

impl From<LimitsTable> for Limits {
    fn from(table: LimitsTable) -> Self {
        let default = Self::DEFAULT;
        Self {
            half_open: table.half_open.unwrap_or(default.half_open),
            half_open_per_source: table
                .half_open_per_source
                .unwrap_or(default.half_open_per_source),
            unproven_dh_per_second: table
                .unproven_dh_per_second
                .unwrap_or(default.unproven_dh_per_second),
            datagram: table.datagram.unwrap_or(default.datagram),
            ..default
        }
    }
}

fn family(addresses: Addresses) -> Option<bool> {
    match addresses {
        Addresses::Any => None,
        Addresses::Subnet { network, .. } => Some(network.is_ipv4()),
        Addresses::Range { first, .. } => Some(first.is_ipv4()),
    }
}

fn line_at(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|&byte| byte == b'\n').count().saturating_add(1)
}

#[cfg(test)]
mod tests;
