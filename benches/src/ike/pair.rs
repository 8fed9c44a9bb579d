//! Two endpoints in one process: one is every client, the other the gateway. What each of them spends is counted apart,
//! exponentiations apart from the rest.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant as Clock};

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use esp_core::{Addresses, BlockCipher, Integrity, Mode, PolicyId, TrafficSelectors, Transform};
use ike_core::config::{
    ChildConfig, ChildId, Config, Dpd, DpdAction, EspProposal, Identity, Lifetime, Limits,
    PeerConfig, PeerDirectory, PeerId, Phase1Cipher, Phase1Proposal, Secret, Timing,
};
use ike_core::event::{ChildSaHandle, Event, Traffic};
use ike_core::wire::numbers::{GroupDescription, HashAlgorithm};
use ike_core::{Context, Endpoint, Instant, Path, Storage};

const GATEWAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const CLIENTS: u32 = u32::from_be_bytes([10, 0, 0, 0]);

/// No SA is to be renewed while we measure.
const FOR_LONG: Lifetime = Lifetime { seconds: 2_000_000, kilobytes: 0 };
/// How long a peer is silent before it is asked.
const IDLE: Duration = Duration::from_secs(10);

fn client(peer: PeerId) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(CLIENTS.wrapping_add(peer.0)))
}

/// Peers by arithmetic: as quick as a host's own directory can be.
struct Directory {
    gateway: bool,
    proposals: [Phase1Proposal; 1],
    children: [ChildConfig<'static>; 1],
}

const ESP: &[EspProposal] = &[EspProposal {
    transform: Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha256_128),
    esn: false,
}];

impl Directory {
    fn new(gateway: bool, group: GroupDescription) -> Self {
        let subnet = |third| Addresses::Subnet {
            network: IpAddr::V4(Ipv4Addr::new(172, 16, third, 0)),
            prefix: 24,
        };
        let (ours, theirs) = if gateway { (1, 2) } else { (2, 1) };
        Self {
            gateway,
            proposals: [Phase1Proposal {
                cipher: Phase1Cipher::AesCbc(128),
                hash: HashAlgorithm::SHA2_256,
                group,
            }],
            children: [ChildConfig {
                id: ChildId(1),
                policy: PolicyId(1),
                selectors: TrafficSelectors::between(subnet(ours), subnet(theirs)),
                mode: Mode::Tunnel,
                proposals: ESP,
                pfs: None,
                lifetime: FOR_LONG,
                replay_window: 64,
            }],
        }
    }
}

impl PeerDirectory for Directory {
    fn peer(&self, id: PeerId) -> Option<PeerConfig<'_>> {
        let (local, remote) = if self.gateway {
            (IpAddr::V4(GATEWAY), client(id))
        } else {
            (client(id), IpAddr::V4(GATEWAY))
        };
        let psk = Secret::Bytes(b"a key that is long enough");
        let peer = PeerConfig::new(id, local, remote, psk, &self.proposals, &self.children);
        let dpd = Dpd { idle: IDLE, retry: IDLE, tries: 3, action: DpdAction::Clear };
        Some(PeerConfig { dpd: (!self.gateway).then_some(dpd), lifetime: FOR_LONG, ..peer })
    }

    fn by_address(&self, remote: IpAddr) -> Option<PeerId> {
        match remote {
            IpAddr::V4(address) => u32::from(address).checked_sub(CLIENTS).map(PeerId),
            IpAddr::V6(_) => None,
        }
    }

    fn by_identity(&self, _: &Identity<'_>, remote: IpAddr) -> Option<PeerId> {
        self.by_address(remote)
    }
}

/// Time that one end took.
#[derive(Clone, Copy, Default)]
pub struct Spent {
    /// In exponentiations.
    pub exponentiation: Duration,
    /// In everything else the engine does.
    pub engine: Duration,
}

/// One of the two.
struct Side<'s> {
    endpoint: Endpoint<'s>,
    rng: ChaCha20Rng,
    directory: Directory,
    spent: Spent,
    /// Datagrams sent.
    sent: u64,
    children: Vec<ChildSaHandle>,
}

impl<'s> Side<'s> {
    fn new(storage: Storage<'s>, gateway: bool, group: GroupDescription) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(u64::from(gateway));
        Self {
            endpoint: Endpoint::new(storage, &mut rng).expect("storage that serves"),
            rng,
            directory: Directory::new(gateway, group),
            spent: Spent::default(),
            sent: 0,
            children: Vec::new(),
        }
    }

    /// Calls the engine and counts the time as its own.
    fn engine<T>(
        &mut self,
        now: Instant,
        call: impl FnOnce(&mut Endpoint<'s>, &mut Context<'_>) -> T,
    ) -> T {
        let config = Config {
            peers: &self.directory,
            crypto: &ike_core::crypto::SOFTWARE,
            timing: Timing::DEFAULT,
            limits: Limits {
                half_open: u16::MAX,
                half_open_per_source: u16::MAX,
                unproven_dh_per_second: u16::MAX,
                ..Limits::DEFAULT
            },
        };
        let mut cx = Context { now, rng: &mut self.rng, config: &config };
        let began = Clock::now();
        let result = call(&mut self.endpoint, &mut cx);
        self.spent.engine = self.spent.engine.saturating_add(began.elapsed());
        result
    }

    /// Does what is to be done; appends what is to be sent to `out`.
    fn turn(&mut self, now: Instant, out: &mut Vec<(Path, Vec<u8>)>) {
        while let Some(job) = self.engine(now, |endpoint, cx| endpoint.take_work(cx)) {
            let began = Clock::now();
            let result = job.run();
            self.spent.exponentiation = self.spent.exponentiation.saturating_add(began.elapsed());
            self.engine(now, |endpoint, cx| endpoint.complete_work(cx, result))
                .expect("an exchange that waits");
        }
        while let Some(event) = self.engine(now, |endpoint, _| endpoint.poll_event()) {
            match event {
                Event::ChildSaReady { child, .. } => {
                    self.engine(now, |endpoint, _| endpoint.take_inbound(child))
                        .expect("an inbound SA");
                    self.children.push(child);
                }
                Event::ChildSaOutbound { child } => {
                    self.engine(now, |endpoint, _| endpoint.take_outbound(child))
                        .expect("an outbound SA");
                }
                Event::IkeSaUp { .. } => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
        loop {
            let began = Clock::now();
            let transmit = self.endpoint.poll_transmit();
            self.spent.engine = self.spent.engine.saturating_add(began.elapsed());
            let Some(transmit) = transmit else { break };
            self.sent = self.sent.wrapping_add(1);
            out.push((transmit.path, transmit.datagram.to_vec()));
        }
    }
}

/// Clients and gateway, and the clock they share.
pub struct Pair<'s> {
    /// All clients.
    clients: Side<'s>,
    /// What a router does.
    gateway: Side<'s>,
    now: u64,
}

impl<'s> Pair<'s> {
    /// Two fresh endpoints that will use `group`.
    pub fn new(clients: Storage<'s>, gateway: Storage<'s>, group: GroupDescription) -> Self {
        Self {
            clients: Side::new(clients, false, group),
            gateway: Side::new(gateway, true, group),
            now: 1_000,
        }
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.now)
    }

    /// Main mode of client `number`, and quick mode behind it if `child`. A second passes, so that what has ended does
    /// not pile up.
    pub fn handshake(&mut self, number: u32, child: bool) {
        let (local, remote) = (client(PeerId(number)), IpAddr::V4(GATEWAY));
        let path = Path {
            local: SocketAddr::new(local, 500),
            remote: SocketAddr::new(remote, 500),
            encap: false,
        };
        let peer = PeerId(number);
        let now = self.now();
        self.clients.engine(now, |endpoint, cx| {
            if child {
                endpoint.create_child(cx, peer, ChildId(1), path).expect("a child begun");
            } else {
                endpoint.initiate(cx, peer, path).expect("a phase 1 begun");
            }
        });
        self.talk();
        self.pass(Duration::from_secs(1));
    }

    /// One client, they take turns, has sent packets and heard nothing: it asks, the gateway answers.
    pub fn probe(&mut self, round: usize) {
        let children = self.clients.children.len();
        let child =
            self.clients.children.iter().cycle().nth(round.checked_rem(children).unwrap_or(0));
        let child = *child.expect("a child");
        let seen = Traffic { received: false, sent: true };
        let now = self.now();
        self.clients.engine(now, |endpoint, cx| endpoint.note_traffic(cx, child, seen));
        let answered = self.gateway.sent;
        self.pass(IDLE);
        assert_eq!(self.gateway.sent, answered.wrapping_add(1), "one answer");
    }

    /// What clients and gateway took since they were asked last.
    pub fn spent(&mut self) -> [Spent; 2] {
        [&mut self.clients, &mut self.gateway].map(|side| std::mem::take(&mut side.spent))
    }

    /// IKE SAs of the gateway.
    pub fn established(&self) -> usize {
        self.gateway.endpoint.ike_sas().count()
    }

    /// Lets both talk until nothing more is to be said.
    fn talk(&mut self) {
        let now = self.now();
        let mut datagrams = Vec::new();
        loop {
            let mut silent = true;
            for from_clients in [true, false] {
                let (from, to) = if from_clients {
                    (&mut self.clients, &mut self.gateway)
                } else {
                    (&mut self.gateway, &mut self.clients)
                };
                from.turn(now, &mut datagrams);
                for (path, mut datagram) in datagrams.drain(..) {
                    silent = false;
                    let path = Path { local: path.remote, remote: path.local, ..path };
                    to.engine(now, |endpoint, cx| {
                        endpoint.handle_datagram(cx, path, &mut datagram)
                    })
                    .expect("a datagram that is welcome");
                }
            }
            if silent {
                return;
            }
        }
    }

    /// Time passes; timers run.
    fn pass(&mut self, duration: Duration) {
        self.now = self.now.saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
        let now = self.now();
        for side in [&mut self.clients, &mut self.gateway] {
            if side.endpoint.poll_timeout().is_some_and(|at| at <= now) {
                side.engine(now, |endpoint, cx| endpoint.handle_timeout(cx));
            }
        }
        self.talk();
    }
}
