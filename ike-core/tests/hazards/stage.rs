//! Two hosts, with an attacker who may put in a word before each datagram that is delivered.

use core::net::{IpAddr, SocketAddr};
use std::collections::VecDeque;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use esp_core::{
    Addresses, BlockCipher, Integrity, Mode, PolicyId, SaParams, TrafficSelectors, Transform,
};
use ike_core::config::{
    ChildConfig, ChildId, Config, EspProposal, Lifetime, Limits, PeerConfig, PeerId, Phase1Cipher,
    Phase1Mode, Phase1Proposal, Secret, Timing,
};
use ike_core::error::Discard;
use ike_core::event::Event;
use ike_core::wire::numbers::{GroupDescription, HashAlgorithm};
use ike_core::{ChildSaInfo, Context, Endpoint, IkeSaInfo, Instant, Path, Resources, Work, natt};

pub(crate) const PSK: &[u8] = b"a key that both of them know";
pub(crate) const PEER: PeerId = PeerId(1);
pub(crate) const CHILD: ChildId = ChildId(1);

pub(crate) const PHASE1: &[Phase1Proposal] = &[Phase1Proposal {
    cipher: Phase1Cipher::AesCbc(128),
    hash: HashAlgorithm::SHA2_256,
    group: GroupDescription::CURVE25519,
}];

pub(crate) const PHASE2: &[EspProposal] = &[EspProposal {
    transform: Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha256_128),
    esn: false,
}];

pub(crate) type Memory = Resources<8, 12, 12, 1536>;

/// The addresses of the two sides: the initiator's first.
pub(crate) fn address(side: usize) -> IpAddr {
    [192, 0, 2, 1 + u8::try_from(side).unwrap()].into()
}

/// From `side` to the other one.
pub(crate) fn path_from(side: usize) -> Path {
    let local: SocketAddr = (address(side), 500).into();
    Path { local, remote: (address(1 - side), 500).into(), encap: false }
}

pub(crate) fn mirror(path: Path) -> Path {
    Path { local: path.remote, remote: path.local, encap: path.encap }
}

fn subnet(side: usize) -> Addresses {
    let network = [10, 1 + u8::try_from(side).unwrap(), 0, 0].into();
    Addresses::Subnet { network, prefix: 24 }
}

pub(crate) fn child(side: usize) -> ChildConfig<'static> {
    ChildConfig {
        id: CHILD,
        policy: PolicyId(7),
        selectors: TrafficSelectors::between(subnet(side), subnet(1 - side)),
        mode: Mode::Tunnel,
        proposals: PHASE2,
        pfs: None,
        lifetime: Lifetime::PHASE2,
        replay_window: 64,
    }
}

/// What a status program would show.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Snapshot {
    pub(crate) ikes: Vec<IkeSaInfo>,
    pub(crate) children: Vec<ChildSaInfo>,
    pub(crate) timeout: Option<Instant>,
}

pub(crate) struct Host<'s> {
    pub(crate) endpoint: Endpoint<'s>,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) events: Vec<Event>,
    pub(crate) inbound: Vec<SaParams>,
    pub(crate) outbound: Vec<SaParams>,
    /// Everything that it has sent, marker included.
    pub(crate) sent: Vec<Vec<u8>>,
}

impl<'s> Host<'s> {
    pub(crate) fn new(memory: &'s mut Memory, seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let endpoint = Endpoint::new(memory.storage(), &mut rng).unwrap();
        let (events, inbound, outbound, sent) = (vec![], vec![], vec![], vec![]);
        Self { endpoint, rng, events, inbound, outbound, sent }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            ikes: self.endpoint.ike_sas().collect(),
            children: self.endpoint.child_sas().collect(),
            timeout: self.endpoint.poll_timeout(),
        }
    }

    /// Works, reads the events, and returns what is to be sent.
    pub(crate) fn turn(&mut self, now: u64, config: &Config<'_>) -> Vec<(Path, Vec<u8>)> {
        let now = Instant::from_millis(now);
        let mut cx = Context { now, rng: &mut self.rng, config };
        self.endpoint.handle_timeout(&mut cx);
        while self.endpoint.handle_work(&mut cx, 64) == Work::More {}
        let mut sent = vec![];
        // What was sent may be an event itself: the third message of quick mode.
        loop {
            let before = (self.events.len(), sent.len());
            while let Some(event) = self.endpoint.poll_event() {
                self.note(event);
            }
            while let Some(transmit) = self.endpoint.poll_transmit() {
                self.sent.push(transmit.datagram.to_vec());
                sent.push((transmit.path, transmit.datagram.to_vec()));
            }
            if before == (self.events.len(), sent.len()) {
                break;
            }
        }
        sent
    }

    fn note(&mut self, event: Event) {
        match event {
            Event::ChildSaReady { child, .. } => {
                self.inbound.push(self.endpoint.take_inbound(child).unwrap());
            }
            Event::ChildSaOutbound { child } => {
                self.outbound.push(self.endpoint.take_outbound(child).unwrap());
            }
            _ => {}
        }
        self.events.push(event);
    }

    /// Hands over a message without non-ESP marker.
    pub(crate) fn receive(
        &mut self,
        now: u64,
        config: &Config<'_>,
        path: Path,
        message: &[u8],
    ) -> Result<(), Discard> {
        let now = Instant::from_millis(now);
        let mut cx = Context { now, rng: &mut self.rng, config };
        self.endpoint.handle_datagram(&mut cx, path, &mut message.to_vec())
    }
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Letter {
    /// To whom.
    pub(crate) to: usize,
    /// As the receiver sees it.
    pub(crate) path: Path,
    /// Without non-ESP marker.
    pub(crate) message: Vec<u8>,
}

pub(crate) struct Stage<'s, 'c> {
    pub(crate) hosts: [Host<'s>; 2],
    pub(crate) configs: [Config<'c>; 2],
    pub(crate) now: u64,
    /// Everything that was delivered.
    pub(crate) delivered: Vec<Letter>,
}

/// The configuration that serves in most tests.
pub(crate) fn config<'c>(peers: &'c [PeerConfig<'c>; 1]) -> Config<'c> {
    Config {
        peers,
        crypto: &ike_core::crypto::SOFTWARE,
        timing: Timing::DEFAULT,
        limits: Limits::DEFAULT,
    }
}

/// Two hosts that are configured alike, but for what `change` does to peer and child of each side.
pub(crate) fn stage(
    change: impl Fn(usize, &mut PeerConfig<'_>, &mut ChildConfig<'_>),
    test: impl for<'s, 'c> FnOnce(&mut Stage<'s, 'c>),
) {
    let mut children = [[child(0)], [child(1)]];
    let peer = |side| {
        PeerConfig::new(PEER, address(side), address(1 - side), Secret::Bytes(PSK), PHASE1, &[])
    };
    let mut peers = [[peer(0)], [peer(1)]];
    for side in 0..2 {
        change(side, &mut peers[side][0], &mut children[side][0]);
    }
    let [[peer_a], [peer_b]] = peers;
    let peers_a = [PeerConfig { children: &children[0], ..peer_a }];
    let peers_b = [PeerConfig { children: &children[1], ..peer_b }];
    let (mut memory_a, mut memory_b) = (Memory::new(), Memory::new());
    let hosts = [Host::new(&mut memory_a, 1), Host::new(&mut memory_b, 2)];
    let configs = [config(&peers_a), config(&peers_b)];
    test(&mut Stage { hosts, configs, now: 1_000, delivered: vec![] });
}

impl Stage<'_, '_> {
    pub(crate) fn begin(&mut self, side: usize) {
        let (host, config) = (&mut self.hosts[side], &self.configs[side]);
        let now = Instant::from_millis(self.now);
        let mut cx = Context { now, rng: &mut host.rng, config };
        host.endpoint.create_child(&mut cx, PEER, CHILD, path_from(side)).unwrap();
    }

    pub(crate) fn with<R>(
        &mut self,
        side: usize,
        call: impl FnOnce(&mut Endpoint<'_>, &mut Context<'_>) -> R,
    ) -> R {
        let (host, config) = (&mut self.hosts[side], &self.configs[side]);
        let now = Instant::from_millis(self.now);
        call(&mut host.endpoint, &mut Context { now, rng: &mut host.rng, config })
    }

    /// What `side` has to send now.
    pub(crate) fn turn(&mut self, side: usize) -> Vec<Letter> {
        let sent = self.hosts[side].turn(self.now, &self.configs[side]);
        let letters = sent.into_iter().filter_map(|(path, mut datagram)| {
            let message = if path.encap {
                match natt::classify(&mut datagram) {
                    natt::Classified::Ike(message) => message.to_vec(),
                    _ => return None,
                }
            } else {
                datagram
            };
            Some(Letter { to: 1 - side, path: mirror(path), message })
        });
        letters.collect()
    }

    pub(crate) fn deliver(&mut self, letter: &Letter) -> Result<(), Discard> {
        let config = &self.configs[letter.to];
        self.hosts[letter.to].receive(self.now, config, letter.path, &letter.message)
    }

    /// Lets both talk, at this moment, until they are silent. `before` is called before each delivery.
    pub(crate) fn settle_with(&mut self, mut before: impl FnMut(&mut Self, &Letter)) {
        let mut queue: VecDeque<_> = (0..2).flat_map(|side| self.turn(side)).collect();
        for _ in 0..256 {
            let Some(letter) = queue.pop_front() else { return };
            before(self, &letter);
            self.deliver(&letter).unwrap_or_else(|error| panic!("{error:?}: {letter:?}"));
            self.delivered.push(letter);
            queue.extend((0..2).flat_map(|side| self.turn(side)));
        }
        panic!("they never stop");
    }

    pub(crate) fn settle(&mut self) {
        self.settle_with(|_, _| ());
    }

    /// Delivers whatever is sent at this moment, wanted or not.
    pub(crate) fn settle_tolerantly(&mut self) {
        for _ in 0..64 {
            let letters: Vec<_> = (0..2).flat_map(|side| self.turn(side)).collect();
            if letters.is_empty() {
                return;
            }
            for letter in letters {
                let _ = self.deliver(&letter);
                self.delivered.push(letter);
            }
        }
        panic!("they never stop");
    }

    /// Moves the clock on to `until`, delivering whatever is sent.
    pub(crate) fn run_until(&mut self, until: u64) {
        loop {
            self.settle_tolerantly();
            let next = self.hosts.iter().filter_map(|host| host.endpoint.poll_timeout()).min();
            match next {
                Some(at) if at.as_millis() <= until => self.now = self.now.max(at.as_millis()),
                _ => break,
            }
        }
        self.now = until;
    }

    /// One tunnel, the same at both ends.
    pub(crate) fn assert_up(&self) {
        let [a, b] = &self.hosts;
        assert_eq!((a.inbound.len(), b.inbound.len()), (1, 1), "{:#?} {:#?}", a.events, b.events);
        assert_eq!((a.outbound.len(), b.outbound.len()), (1, 1));
        for (from, to) in [(a, b), (b, a)] {
            assert_eq!(from.outbound[0].spi, to.inbound[0].spi);
            assert_eq!(from.outbound[0].keys.as_slice(), to.inbound[0].keys.as_slice());
        }
        for host in &self.hosts {
            assert_eq!(host.endpoint.ike_sas().filter(|ike| ike.established).count(), 1);
            assert_eq!(host.endpoint.child_sas().filter(|child| child.up).count(), 1);
        }
    }

    pub(crate) fn up(&mut self) {
        self.begin(0);
        self.settle();
        self.assert_up();
    }
}

/// Nothing different from what everyone has.
pub(crate) fn plain(_: usize, _: &mut PeerConfig<'_>, _: &mut ChildConfig<'_>) {}

/// Aggressive mode, allowed on both sides.
pub(crate) fn aggressive(_: usize, peer: &mut PeerConfig<'_>, _: &mut ChildConfig<'_>) {
    peer.exchange = Phase1Mode::Aggressive;
    peer.danger_answer_aggressive_psk = true;
    // What stands behind the hash is not covered by it.
    peer.initial_contact = false;
    peer.nat_traversal = ike_core::config::NatTraversal::Off;
}
