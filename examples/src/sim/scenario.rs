//! What a world consists of: hosts with their peers and policies, the weather, the seed.
//!
//! A [`Scenario`] is plain data that owns everything; [`Scenario::run`] lays out the memory, lends the
//! configuration to the hosts, and calls the test with the [`World`] made of it.

use std::collections::BinaryHeap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use chacha20::ChaCha20Rng;
use esp_core::{
    Addresses, BlockCipher, Integrity, Mode, Policy, PolicyId, Processor, Settings, SpdEntry,
    Tables, TrafficSelectors, Transform,
};
use ike_core::config::{
    ChildConfig, ChildId, Config, EspProposal, Identity, Lifetime, Limits, NatTraversal,
    PeerConfig, PeerDirectory, PeerId, Phase1Cipher, Phase1Proposal, RemoteAddress, Secret, Timing,
};
use ike_core::crypto::{Crypto, SOFTWARE};
use ike_core::wire::numbers::{GroupDescription, HashAlgorithm};
use ike_core::{Endpoint, Instant, Path, Resources};
use rand_core::SeedableRng as _;

use super::host::{IKE_PORT, NATT_PORT, Route};
use super::link::{Link, Weather};
use super::nat::Nat;
use super::recorder::Recorder;
use super::transcript::Transcript;
use super::witness::Witness;
use super::{Host, HostId, Keys, LEFT, RIGHT, Renewals, World};
use crate::host::Node;

/// The memory of one simulated engine.
pub type EngineMemory = Resources<8, 16, 32, 2048>;
/// The memory of one simulated data plane: policies, SAs in each direction, flows.
pub type DataPlaneMemory = Tables<16, 32, 0>;

/// Addresses of one family, or the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4, inside and outside.
    V4,
    /// IPv6, inside and outside.
    V6,
}

/// Everything a world is made of.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// The source of all randomness.
    pub seed: u64,
    /// The hosts, numbered from 0.
    pub hosts: Vec<HostPlan>,
    /// Public addresses of the NATs.
    pub nats: Vec<IpAddr>,
    /// What the link does.
    pub weather: Weather,
    /// Whether to keep every packet that is put on the link.
    pub capture: bool,
    /// Whether nobody writes down what happens: for worlds by the thousand. The transcript and the keys stay empty.
    pub quiet: bool,
    /// How often a host can begin: one more than the restarts that the test asks for.
    pub lives: usize,
}

/// One host.
#[derive(Clone, Debug)]
pub struct HostPlan {
    /// Its name, for people.
    pub name: String,
    /// Its address on the outside.
    pub address: IpAddr,
    /// The NAT it is behind, as a place in [`Scenario::nats`].
    pub nat: Option<usize>,
    /// The address of the station behind it.
    pub station: IpAddr,
    /// The peers it knows.
    pub peers: Vec<PeerPlan>,
    /// Its security policy, in order.
    pub policies: Vec<SpdEntry>,
    /// Its algorithms.
    pub crypto: &'static Crypto,
    /// Its clocks and counts.
    pub timing: Timing,
    /// What unproven peers may cost it.
    pub limits: Limits,
    /// How long a public-key operation takes it.
    pub work_time: Duration,
}

/// A peer of a host.
#[derive(Clone)]
pub struct PeerPlan {
    /// The host's number for it.
    pub id: PeerId,
    /// Where it is seen.
    pub remote: RemoteAddress,
    /// Its address as it knows it itself, which is its identity too.
    pub identity: IpAddr,
    /// The pre-shared key.
    pub psk: Vec<u8>,
    /// Phase 1 proposals.
    pub proposals: Vec<Phase1Proposal>,
    /// What may be set up with it.
    pub children: Vec<ChildPlan>,
    /// Changes anything else of the configuration.
    pub adjust: Rc<Adjust>,
}

/// Changes a peer's configuration before it is used.
pub type Adjust = dyn Fn(&mut PeerConfig<'_>);

/// A child of a peer: owns what [`ChildConfig`] borrows.
#[derive(Clone, Debug)]
pub struct ChildPlan {
    /// The host's number for it.
    pub id: ChildId,
    /// The policy entry it serves.
    pub policy: PolicyId,
    /// The traffic.
    pub selectors: TrafficSelectors,
    /// Tunnel or transport.
    pub mode: Mode,
    /// ESP transforms, best first.
    pub proposals: Vec<EspProposal>,
    /// Perfect forward secrecy.
    pub pfs: Option<GroupDescription>,
    /// Lifetime in seconds and kilobytes.
    pub lifetime: Lifetime,
}

/// The policy entry that protects what goes between the two sites.
pub const SITE_TO_SITE: PolicyId = PolicyId(10);
/// The peer of each host in a scenario of two.
pub const PEER: PeerId = PeerId(1);
/// The child of that peer.
pub const CHILD: ChildId = ChildId(1);

/// Packets that the anti-replay window of a child spans.
pub const REPLAY_WINDOW: u16 = 64;

/// AES-128, SHA-256, MODP-2048.
pub const PHASE1: Phase1Proposal = Phase1Proposal {
    cipher: Phase1Cipher::AesCbc(128),
    hash: HashAlgorithm::SHA2_256,
    group: GroupDescription::MODP_2048,
};
/// AES-128 with HMAC-SHA-256-128.
pub const ESP: EspProposal = EspProposal {
    transform: Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha256_128),
    esn: false,
};

impl Scenario {
    /// Two gateways over IPv4 with a subnet behind each: `left` (10.1.0.0/24) and `right` (10.2.0.0/24).
    #[must_use]
    pub fn site_to_site() -> Self {
        Self::site_to_site_over(Family::V4)
    }

    /// The same over either family, inside and outside.
    #[must_use]
    pub fn site_to_site_over(family: Family) -> Self {
        let [left, right] = match family {
            Family::V4 => ["192.0.2.1", "198.51.100.2"],
            Family::V6 => ["2001:db8:a::1", "2001:db8:b::2"],
        }
        .map(parse);
        let [left_station, right_station] = match family {
            Family::V4 => ["10.1.0.10", "10.2.0.20"],
            Family::V6 => ["fd00:1::10", "fd00:2::20"],
        }
        .map(parse);
        let mut scenario = Self::of_hosts(vec![
            HostPlan::new("left", left, left_station),
            HostPlan::new("right", right, right_station),
        ]);
        scenario.connect(LEFT, RIGHT);
        scenario
    }

    /// A hub with so many spokes around it, at most 8: host 0 is the hub, each spoke has a tunnel to it.
    #[must_use]
    pub fn star(spokes: u8) -> Self {
        let spoke = |number: u8| {
            let name = format!("spoke-{number}");
            HostPlan::new(&name, [192, 0, 2, number].into(), [10, number, 0, 10].into())
        };
        let hub = HostPlan::new("hub", [198, 51, 100, 1].into(), [10, 0, 0, 1].into());
        let mut scenario =
            Self::of_hosts(std::iter::once(hub).chain((1..=spokes).map(spoke)).collect());
        for number in 1..=spokes {
            scenario.connect(HostId(0), HostId(usize::from(number)));
        }
        scenario
    }

    /// Hosts that do not know each other yet.
    #[must_use]
    pub fn of_hosts(hosts: Vec<HostPlan>) -> Self {
        Self {
            seed: 1,
            hosts,
            nats: Vec::new(),
            weather: Weather::FAIR,
            capture: false,
            quiet: false,
            lives: 1,
        }
    }

    /// Makes two hosts peers, with a tunnel between the subnets behind them.
    pub fn connect(&mut self, one: HostId, other: HostId) {
        for (own, peer) in [(one, other), (other, one)] {
            let (address, station) = (self.hosts[peer.0].address, self.hosts[peer.0].station);
            let host = &mut self.hosts[own.0];
            let number = u32::try_from(host.peers.len()).expect("few peers");
            let policy = PolicyId(SITE_TO_SITE.0 + number);
            let selectors = TrafficSelectors::between(subnet(host.station), subnet(station));
            let child = ChildPlan { policy, ..ChildPlan::new(selectors) };
            host.peers
                .push(PeerPlan { id: PeerId(PEER.0 + number), ..PeerPlan::new(address, child) });
            host.policies.push(SpdEntry::new(policy, selectors, Policy::PROTECT));
        }
    }

    /// Another seed.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Other weather.
    #[must_use]
    pub fn weather(mut self, weather: Weather) -> Self {
        self.weather = weather;
        self
    }

    /// Perfect forward secrecy for all children.
    #[must_use]
    pub fn pfs(self, group: GroupDescription) -> Self {
        self.children(|child| child.pfs = Some(group))
    }

    /// Puts the left host of two behind a NAT, which is all that the right one sees of it.
    #[must_use]
    pub fn behind_nat(mut self) -> Self {
        let public = match self.hosts[LEFT.0].address {
            IpAddr::V4(_) => parse("203.0.113.254"),
            IpAddr::V6(_) => parse("2001:db8:ffff::fe"),
        };
        self.nats.push(public);
        self.hosts[LEFT.0].nat = Some(self.nats.len() - 1);
        for peer in &mut self.hosts[RIGHT.0].peers {
            peer.remote = RemoteAddress::Host(public);
        }
        self
    }

    /// Changes every host.
    #[must_use]
    pub fn each(mut self, change: impl FnMut(&mut HostPlan)) -> Self {
        self.hosts.iter_mut().for_each(change);
        self
    }

    /// Changes one host.
    #[must_use]
    pub fn host(mut self, host: HostId, change: impl FnOnce(&mut HostPlan)) -> Self {
        change(&mut self.hosts[host.0]);
        self
    }

    /// Changes every child of every peer.
    #[must_use]
    pub fn children(self, mut change: impl FnMut(&mut ChildPlan)) -> Self {
        self.each(|host| {
            host.peers.iter_mut().flat_map(|peer| &mut peer.children).for_each(&mut change);
        })
    }

    /// Makes the world and hands it to `test`.
    ///
    /// # Panics
    ///
    /// If the scenario makes no sense: policies that the data plane refuses, say.
    pub fn run<R>(&self, test: impl FnOnce(&mut World<'_>) -> R) -> R {
        let mut memory: Vec<Vec<_>> = self
            .hosts
            .iter()
            .map(|_| (0..self.lives).map(|_| MemoryOfOneLife::default()).collect())
            .collect();
        let children: Vec<Vec<Vec<ChildConfig<'_>>>> = self
            .hosts
            .iter()
            .map(|host| host.peers.iter().map(PeerPlan::child_configs).collect())
            .collect();
        let directories: Vec<Directory<'_>> = self
            .hosts
            .iter()
            .zip(&children)
            .map(|(host, children)| Directory::new(host, children))
            .collect();
        let hosts = (self.hosts.iter().zip(&mut memory).zip(&directories))
            .enumerate()
            .map(|(index, ((plan, lives), peers))| {
                let memory = lives.iter_mut().map(MemoryOfOneLife::lend).collect();
                let mut host = plan.build(self.host_rng(index), memory, peers);
                host.keys_wanted = !self.quiet;
                host
            })
            .collect();
        let mut world = World {
            link: Link::new(self.weather),
            nats: self.nats.iter().copied().map(Nat::new).collect(),
            recorder: Recorder::default(),
            transcript: Transcript::new(
                self.hosts.iter().map(|host| host.name.clone()).collect(),
                self.quiet,
            ),
            captured: self.capture.then(Vec::new),
            keys: Keys::default(),
            renewals: Renewals::default(),
            injected: 0,
            seed: self.seed,
            now: Instant::ZERO,
            hosts,
            attacker: None,
            agenda: BinaryHeap::new(),
            serial: 0,
            rng: self.host_rng(usize::MAX),
            echo_sequence: 0,
            witness: Witness::default(),
        };
        test(&mut world)
    }

    /// A generator for each host, and one for the link: what one draws does not change what another gets.
    fn host_rng(&self, index: usize) -> ChaCha20Rng {
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed);
        rng.set_stream(index as u64);
        rng
    }
}

impl HostPlan {
    /// A host without peers, which lets IKE and neighbour discovery pass and nothing else.
    #[must_use]
    pub fn new(name: &str, address: IpAddr, station: IpAddr) -> Self {
        Self {
            name: name.to_string(),
            address,
            nat: None,
            station,
            peers: Vec::new(),
            policies: vec![
                SpdEntry::own_udp(PolicyId(1), address, IKE_PORT),
                SpdEntry::own_udp(PolicyId(2), address, NATT_PORT),
                SpdEntry::neighbour_discovery(PolicyId(3)),
            ],
            crypto: &SOFTWARE,
            timing: Timing::DEFAULT,
            limits: Limits::DEFAULT,
            work_time: Duration::ZERO,
        }
    }

    fn build<'w>(
        &self,
        mut rng: ChaCha20Rng,
        mut memory: Vec<Memory<'w>>,
        peers: &'w Directory<'_>,
    ) -> Host<'w> {
        let first = memory.pop().expect("a life");
        let node = first.begin(&self.policies, &mut rng);
        let config =
            Config { peers, crypto: self.crypto, timing: self.timing, limits: self.limits };
        let mut host = Host::new(&self.name, self.address, self.station, node, config, rng);
        host.nat = self.nat;
        host.work_time = self.work_time;
        host.routes = self.peers.iter().flat_map(|peer| self.routes(peer)).collect();
        host.policies.clone_from(&self.policies);
        host.spare = memory;
        host
    }

    fn routes(&self, peer: &PeerPlan) -> impl Iterator<Item = Route> {
        let remote = peer.remote.host().unwrap_or(peer.identity);
        let path = Path {
            local: SocketAddr::new(self.address, IKE_PORT),
            remote: SocketAddr::new(remote, IKE_PORT),
            encap: false,
        };
        let id = peer.id;
        peer.children.iter().map(move |child| Route {
            policy: child.policy,
            peer: id,
            child: child.id,
            path,
        })
    }
}

/// Owns what [`Memory`] lends.
#[derive(Default)]
struct MemoryOfOneLife {
    engine: Box<EngineMemory>,
    tables: Box<DataPlaneMemory>,
}

impl MemoryOfOneLife {
    fn lend(&mut self) -> Memory<'_> {
        Memory { engine: &mut self.engine, tables: &mut self.tables }
    }
}

/// What one life of a host lives in.
#[derive(Debug)]
pub(super) struct Memory<'w> {
    engine: &'w mut EngineMemory,
    tables: &'w mut DataPlaneMemory,
}

impl<'w> Memory<'w> {
    /// A host that has just been switched on.
    pub(super) fn begin(self, policies: &[SpdEntry], rng: &mut ChaCha20Rng) -> Node<'w> {
        let endpoint = Endpoint::new(self.engine.storage(), rng).expect("memory for an engine");
        let mut processor = Processor::new(self.tables, Settings::DEFAULT);
        processor.set_policies(policies).expect("policies that make sense");
        Node::new(endpoint, processor)
    }
}

impl PeerPlan {
    /// A peer at this address with one child, and a key that both ends of a test share.
    #[must_use]
    pub fn new(address: IpAddr, child: ChildPlan) -> Self {
        Self {
            id: PEER,
            remote: RemoteAddress::Host(address),
            identity: address,
            psk: b"correct horse battery staple".to_vec(),
            proposals: vec![PHASE1],
            children: vec![child],
            adjust: Rc::new(|_| {}),
        }
    }

    /// Changes the configuration that this plan becomes.
    pub fn adjust(&mut self, change: impl Fn(&mut PeerConfig<'_>) + 'static) {
        self.adjust = Rc::new(change);
    }

    fn child_configs(&self) -> Vec<ChildConfig<'_>> {
        self.children.iter().map(ChildPlan::config).collect()
    }

    fn config<'c>(&'c self, own: IpAddr, children: &'c [ChildConfig<'c>]) -> PeerConfig<'c> {
        let secret = Secret::Bytes(&self.psk);
        let mut config =
            PeerConfig::new(self.id, own, self.identity, secret, &self.proposals, children);
        config.remote = self.remote;
        config.local_id = Identity::Address(own);
        config.nat_traversal = NatTraversal::Auto;
        (self.adjust)(&mut config);
        config
    }
}

impl fmt::Debug for PeerPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PeerPlan")
            .field("id", &self.id)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

impl ChildPlan {
    /// A tunnel for this traffic, with AES-128 and HMAC-SHA-256.
    #[must_use]
    pub fn new(selectors: TrafficSelectors) -> Self {
        Self {
            id: CHILD,
            policy: SITE_TO_SITE,
            selectors,
            mode: Mode::Tunnel,
            proposals: vec![ESP],
            pfs: None,
            lifetime: Lifetime::PHASE2,
        }
    }

    fn config(&self) -> ChildConfig<'_> {
        ChildConfig {
            id: self.id,
            policy: self.policy,
            selectors: self.selectors,
            mode: self.mode,
            proposals: &self.proposals,
            pfs: self.pfs,
            lifetime: self.lifetime,
            replay_window: REPLAY_WINDOW,
        }
    }
}

/// The peers of one host, as the engine looks them up.
struct Directory<'c>(Vec<PeerConfig<'c>>);

impl<'c> Directory<'c> {
    fn new(host: &'c HostPlan, children: &'c [Vec<ChildConfig<'c>>]) -> Self {
        let peers = host.peers.iter().zip(children);
        Self(peers.map(|(peer, children)| peer.config(host.address, children)).collect())
    }
}

impl PeerDirectory for Directory<'_> {
    fn peer(&self, id: PeerId) -> Option<PeerConfig<'_>> {
        self.0.as_slice().peer(id)
    }

    fn by_address(&self, remote: IpAddr) -> Option<PeerId> {
        self.0.as_slice().by_address(remote)
    }

    fn by_identity(&self, identity: &Identity<'_>, remote: IpAddr) -> Option<PeerId> {
        self.0.as_slice().by_identity(identity, remote)
    }
}

fn parse(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

/// The /24 or /64 around an address.
fn subnet(station: IpAddr) -> Addresses {
    match station {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            Addresses::Subnet { network: [a, b, c, 0].into(), prefix: 24 }
        }
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Addresses::Subnet { network: [a, b, c, d, 0, 0, 0, 0].into(), prefix: 64 }
        }
    }
}
