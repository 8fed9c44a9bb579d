//! The second pass: what only shows when several values stand side by side.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use esp_core::{
    Addresses, FromPacket, Mode, Policy, PolicyId, PortRange, Protect, Protocol, Selector,
    SpdEntry, TrafficSelectors, TunnelOptions,
};
use ike_core::config::{Dpd, Lifetime, Quirks, RemoteAddress};
use toml::Spanned;

use super::file::{Action, ChildTable, File, LocalTable, PeerTable, PolicyTable};
use super::values::{
    Esp, Group, Hex, Id, Ids, Interface, IpProtocol, Network, OwnedIdentity, Phase1, Ports, Remote,
    Span,
};
use super::{Child, Local, Mistake, Peer, Psk, Site, Start, line_at};

/// Collects mistakes while it makes a site of a file.
pub(super) struct Check<'f> {
    pub(super) text: &'f str,
    pub(super) folder: &'f Path,
    pub(super) mistakes: Vec<Mistake>,
}

impl Check<'_> {
    fn line<T>(&self, place: &Spanned<T>) -> usize {
        line_at(self.text, place.span().start)
    }

    fn mistake<T>(&mut self, place: &Spanned<T>, reason: impl Into<String>) {
        self.mistakes.push(Mistake {
            line: Some(line_at(self.text, place.span().start)),
            reason: reason.into(),
        });
    }

    pub(super) fn site(&mut self, file: File) -> Site {
        let local = self.local(file.local);
        let mut next_policy = 0;
        let mut peers: Vec<Peer> = Vec::new();
        for table in file.peers {
            let place = table.name.clone();
            let peer = self.peer(table, &local, &mut next_policy);
            if peers.iter().any(|other| other.name == peer.name) {
                self.mistake(&place, format!("two peers are named {:?}", peer.name));
            }
            peers.push(peer);
        }
        let policies = self.policies(file.policies, &peers, next_policy, local.path_mtu);
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
        if let Some(path_mtu) = table.path_mtu.as_ref().filter(|mtu| *mtu.get_ref() < 576) {
            self.mistake(path_mtu, "path_mtu is below 576");
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
            path_mtu: table.path_mtu.map_or(0, Spanned::into_inner),
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
            let child = self.child(child, PolicyId(*next_policy), (address, remote.host()));
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
            line: self.line(&table.name),
            name: table.name.into_inner(),
            remote,
            local: address,
            local_id: table.local_id.map_or(OwnedIdentity::Address(address), |Id(id)| id),
            remote_id,
            psk,
            exchange: table.exchange.into(),
            danger_answer_aggressive_psk: table.danger_answer_aggressive_psk,
            preference: table.preference.into(),
            proposals: table
                .proposals
                .into_inner()
                .into_iter()
                .map(|Phase1(proposal)| proposal)
                .collect(),
            lifetime: self.lifetime(table.lifetime, 0, Lifetime::PHASE1),
            lifetime_policy: table.lifetime_policy.into(),
            nat_traversal: table.nat_traversal.into(),
            fragmentation: table.fragmentation,
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

    /// `ends` are the addresses of the two hosts, the peer's if it is known.
    fn child(
        &mut self,
        table: ChildTable,
        policy: PolicyId,
        ends: (IpAddr, Option<IpAddr>),
    ) -> Child {
        let mode = Mode::from(table.mode);
        let local = self.side(&table.name, &table.local, "local", mode, Some(ends.0));
        let remote = self.side(&table.name, &table.remote, "remote", mode, ends.1);
        if mode == Mode::Tunnel
            && let (Some(a), Some(b)) = (family(local), family(remote))
            && a != b
        {
            let place = table.local.as_ref().map_or(table.name.span(), Spanned::span);
            let place = Spanned::new(place, ());
            self.mistake(&place, "local and remote network are of two families");
        }
        if table.proposals.get_ref().is_empty() {
            self.mistake(&table.proposals, "no ESP proposal");
        }
        if !(32..=1024).contains(table.replay_window.get_ref()) {
            self.mistake(&table.replay_window, "replay_window is not between 32 and 1024 packets");
        }
        Child {
            line: self.line(&table.name),
            policy,
            selectors: TrafficSelectors {
                local: Selector { addresses: local, ports: table.local_port.0 },
                remote: Selector { addresses: remote, ports: table.remote_port.0 },
                protocol: table.protocol.0,
            },
            name: table.name.into_inner(),
            mode,
            start: table.start.into_inner(),
            proposals: table
                .proposals
                .into_inner()
                .into_iter()
                .map(|Esp(proposal)| proposal)
                .collect(),
            pfs: table.pfs.map(|Group(group)| group),
            lifetime: self.lifetime(table.lifetime, table.lifetime_kilobytes, Lifetime::PHASE2),
            lifetime_packets: table.lifetime_packets,
            replay_window: table.replay_window.into_inner(),
        }
    }

    /// What one side of a child protects: the network given, or in transport mode the host itself.
    fn side(
        &mut self,
        child: &Spanned<String>,
        given: &Option<Spanned<Network>>,
        side: &str,
        mode: Mode,
        host: Option<IpAddr>,
    ) -> Addresses {
        match (mode, given, host) {
            (Mode::Tunnel, Some(network), _) => network.get_ref().0,
            (Mode::Tunnel, None, _) => {
                self.mistake(child, format!("a tunnel needs its {side} network"));
                Addresses::Any
            }
            (Mode::Transport, None, Some(host)) => Addresses::host(host),
            (Mode::Transport, Some(network), Some(host)) => {
                if network.get_ref().0 != Addresses::host(host) {
                    self.mistake(
                        network,
                        format!(
                            "transport mode protects the two hosts themselves: {side} is {host}"
                        ),
                    );
                }
                network.get_ref().0
            }
            (Mode::Transport, _, None) => {
                self.mistake(child, "transport mode needs a peer with a fixed remote address");
                Addresses::Any
            }
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
        path_mtu: u16,
    ) -> Vec<SpdEntry> {
        let mut entries: Vec<SpdEntry> = Vec::new();
        let tunnel = TunnelOptions { mtu: path_mtu, ..TunnelOptions::DEFAULT };
        let how = Policy::Protect(Protect { from_packet: FromPacket::NOTHING, tunnel });
        let protect = |child: &Child| SpdEntry::new(child.policy, child.selectors, how);
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

fn family(addresses: Addresses) -> Option<bool> {
    match addresses {
        Addresses::Any => None,
        Addresses::Subnet { network, .. } => Some(network.is_ipv4()),
        Addresses::Range { first, .. } => Some(first.is_ipv4()),
    }
}
