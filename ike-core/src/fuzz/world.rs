//! Two endpoints, and a link that does what a fuzzer says.

use core::convert::Infallible;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use esp_core::{Addresses, BlockCipher, Integrity, Mode, PolicyId, TrafficSelectors, Transform};
use heapless::{Deque, Vec};
use rand_core::{TryCryptoRng, TryRng};

use crate::config::{
    ChildConfig, ChildId, Config, Dpd, DpdAction, EspProposal, Lifetime, LifetimePolicy, Limits,
    NatTraversal, PeerConfig, PeerId, Phase1Cipher, Phase1Mode, Phase1Proposal, Secret, Timing,
};
use crate::crypto::{Crypto, toy};
use crate::event::Event;
use crate::natt::{Classified, classify};
use crate::wire::Header;
use crate::wire::numbers::{GroupDescription, HashAlgorithm};
use crate::{Context, Endpoint, Instant, Path, Resources, Work};

/// Bytes of the largest message; a datagram has the marker in front.
pub(super) const MESSAGE: usize = 1024;
pub(super) const DATAGRAM: usize = MESSAGE + 4;

/// Long enough for retransmissions, in milliseconds.
pub(super) const HALF_A_MINUTE: u64 = 30_000;

pub(super) type Bytes = Vec<u8, DATAGRAM>;

const PHASE1: &[Phase1Proposal] = &[Phase1Proposal {
    cipher: Phase1Cipher::AesCbc(128),
    hash: HashAlgorithm::SHA2_256,
    group: GroupDescription::MODP_2048,
}];

const PHASE2: &[EspProposal] = &[EspProposal {
    transform: Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha256_128),
    esn: false,
}];

/// Where the two hosts are, and the subnets behind them.
const ADDRESSES: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2))];
const SUBNETS: [Addresses; 2] = [subnet(1), subnet(2)];

const fn subnet(third: u8) -> Addresses {
    Addresses::Subnet { network: IpAddr::V4(Ipv4Addr::new(10, third, 0, 0)), prefix: 16 }
}

/// The same numbers each time: splitmix64.
pub(super) struct Numbers(pub(super) u64);

impl TryRng for Numbers {
    type Error = Infallible;

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(mixed ^ mixed >> 31)
    }

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let Ok(number) = self.try_next_u64();
        let [_, _, _, _, a, b, c, d] = number.to_ne_bytes();
        Ok(u32::from_ne_bytes([a, b, c, d]))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            let number = self.try_next_u64()?.to_ne_bytes();
            chunk.iter_mut().zip(number).for_each(|(byte, number)| *byte = number);
        }
        Ok(())
    }
}

impl TryCryptoRng for Numbers {}

/// A datagram on its way.
pub(super) struct Flying {
    /// 0 or 1: the host that it is for.
    pub(super) to: usize,
    /// As its receiver sees it.
    pub(super) path: Path,
    pub(super) bytes: Bytes,
}

pub(super) struct Host<'s> {
    pub(super) endpoint: Endpoint<'s>,
    pub(super) rng: Numbers,
}

impl Host<'_> {
    /// What must not change by anything that was made up: established IKE SAs, and child SAs in use.
    pub(super) fn established(&self) -> u64 {
        let ikes = self.endpoint.ike_sas().filter(|ike| ike.established);
        let ikes = ikes.map(|ike| u64::from_ne_bytes(ike.cookies.initiator.0));
        let children = self.endpoint.child_sas().filter(|child| child.up);
        let children = children.map(|child| u64::from(child.inbound.get()));
        ikes.chain(children)
            .fold(0, |sum, number| sum.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    pub(super) fn receive(
        &mut self,
        now: u64,
        config: &Config<'_>,
        path: Path,
        datagram: &mut [u8],
    ) {
        let message = if path.encap {
            match classify(datagram) {
                Classified::Ike(message) => message,
                _ => return,
            }
        } else {
            datagram
        };
        let mut cx = Context { now: Instant::from_millis(now), rng: &mut self.rng, config };
        // Why a datagram is discarded does not matter here.
        let _ = self.endpoint.handle_datagram(&mut cx, path, message);
    }

    /// Does what is due; hands over what is to be sent.
    pub(super) fn turn(
        &mut self,
        now: u64,
        config: &Config<'_>,
        mut send: impl FnMut(Path, &[u8]),
    ) {
        let mut cx = Context { now: Instant::from_millis(now), rng: &mut self.rng, config };
        self.endpoint.handle_timeout(&mut cx);
        let mut left = 1000u32;
        let mut once_more = move || {
            left = left.saturating_sub(1);
            assert!(left > 0, "no end");
        };
        while self.endpoint.handle_work(&mut cx, 64) == Work::More {
            once_more();
        }
        while let Some(event) = self.endpoint.poll_event() {
            once_more();
            match event {
                Event::ChildSaReady { child, .. } => {
                    let params = self.endpoint.take_inbound(child);
                    assert!(params.is_some_and(|params| params.check().is_ok()));
                    assert!(self.endpoint.take_inbound(child).is_none(), "once");
                }
                Event::ChildSaOutbound { child } => {
                    let params = self.endpoint.take_outbound(child);
                    assert!(params.is_none_or(|params| params.check().is_ok()));
                }
                _ => {}
            }
        }
        while let Some(transmit) = self.endpoint.poll_transmit() {
            once_more();
            let message = transmit.datagram.get(if transmit.path.encap { 4 } else { 0 }..);
            let keepalive = transmit.datagram == [0xff];
            assert!(keepalive || message.is_some_and(|message| Header::parse(message).is_ok()));
            send(transmit.path, transmit.datagram);
        }
    }
}

pub(super) struct World<'s, 'c> {
    pub(super) now: u64,
    pub(super) hosts: [Host<'s>; 2],
    pub(super) configs: [Config<'c>; 2],
    pub(super) flying: Deque<Flying, 16>,
    /// The last datagram delivered, as it was.
    pub(super) last: Bytes,
}

impl World<'_, '_> {
    /// Lets both do what is due.
    pub(super) fn turn(&mut self) {
        for (from, to) in [(0, 1), (1, 0)] {
            let (Some(host), Some(config)) = (self.hosts.get_mut(from), self.configs.get(from))
            else {
                return;
            };
            host.turn(self.now, config, |path, bytes| {
                let path = Path { local: path.remote, remote: path.local, encap: path.encap };
                let Ok(bytes) = Bytes::from_slice(bytes) else { unreachable!("it fits") };
                // A link that is full loses.
                let _ = self.flying.push_back(Flying { to, path, bytes });
            });
        }
    }

    pub(super) fn deliver(&mut self, to: usize, path: Path, bytes: &[u8]) {
        let Ok(mut bytes) = Bytes::from_slice(bytes) else { return };
        self.last.clone_from(&bytes);
        if let (Some(host), Some(config)) = (self.hosts.get_mut(to), self.configs.get(to)) {
            host.receive(self.now, config, path, &mut bytes);
        }
        self.turn();
    }

    /// Delivers what no key was used for.
    pub(super) fn forge(&mut self, to: usize, path: Path, bytes: &[u8]) {
        let Ok(mut bytes) = Bytes::from_slice(bytes) else { return };
        if let (Some(host), Some(config)) = (self.hosts.get_mut(to), self.configs.get(to)) {
            let before = host.established();
            host.receive(self.now, config, path, &mut bytes);
            assert_eq!(host.established(), before, "a forgery changed an established SA");
        }
        self.turn();
    }

    pub(super) fn deliver_next(&mut self) -> bool {
        let Some(next) = self.flying.pop_front() else { return false };
        self.deliver(next.to, next.path, &next.bytes);
        true
    }

    /// Moves the clock to the next thing to be done, if that is before `until`.
    pub(super) fn wait(&mut self, until: u64) -> bool {
        let timeouts = self.hosts.iter().filter_map(|host| host.endpoint.poll_timeout());
        match timeouts.map(Instant::as_millis).min() {
            Some(at) if at <= until => {
                self.now = self.now.max(at);
                self.turn();
                true
            }
            _ => false,
        }
    }

    /// Child SAs in use on either side.
    pub(super) fn in_use(&self) -> [usize; 2] {
        self.hosts.each_ref().map(|host| host.endpoint.child_sas().filter(|child| child.up).count())
    }

    /// An honest link, for `span` milliseconds.
    pub(super) fn settle(&mut self, span: u64) {
        let until = self.now.saturating_add(span);
        let mut left = 20_000u32;
        while self.deliver_next() || self.wait(until) {
            left = left.saturating_sub(1);
            assert!(left > 0, "no rest");
        }
    }

    pub(super) fn request(&mut self, of: usize, what: u8) {
        let (Some(host), Some(config)) = (self.hosts.get_mut(of), self.configs.get(of)) else {
            return;
        };
        let Host { endpoint, rng } = host;
        let mut cx = Context { now: Instant::from_millis(self.now), rng, config };
        let child = endpoint.child_sas().next().map(|child| child.handle);
        let ike = endpoint.ike_sas().next().map(|ike| ike.handle);
        // A refusal is as good an answer as any.
        let _ = match (what % 5, child, ike) {
            (0, Some(child), _) => endpoint.rekey_child(&mut cx, child),
            (1, Some(child), _) => endpoint.delete_child(&mut cx, child),
            (2, _, Some(ike)) => endpoint.rekey_ike(&mut cx, ike),
            (3, _, Some(ike)) => endpoint.delete_ike(&mut cx, ike),
            _ => endpoint.create_child(&mut cx, PeerId(1), ChildId(1), path(of)),
        };
        self.turn();
    }
}

pub(super) fn repair_length(bytes: &mut Bytes) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    if let Some(length) = bytes.get_mut(24..28) {
        length.copy_from_slice(&len);
    }
}

/// The path as host `of` sees it.
pub(super) fn path(of: usize) -> Path {
    let [a, b] = ADDRESSES.map(|address| SocketAddr::new(address, 500));
    let (local, remote) = if of == 0 { (a, b) } else { (b, a) };
    Path { local, remote, encap: false }
}

/// What the two have configured, both alike.
#[derive(Clone, Copy)]
pub(super) struct Setup {
    pub(super) crypto: &'static Crypto,
    /// The second one has another key than the first.
    pub(super) other_key: bool,
    pub(super) aggressive: bool,
    pub(super) nat_traversal: NatTraversal,
    pub(super) pfs: bool,
    pub(super) dpd: bool,
    /// Every deviation that can be allowed.
    pub(super) lenient: bool,
    /// Messages above 300 bytes go in fragments.
    pub(super) fragments: bool,
    pub(super) short_lives: bool,
}

impl Setup {
    /// Main mode and the defaults.
    pub(super) const PLAIN: Self = Self {
        crypto: &toy::CRYPTO,
        other_key: false,
        aggressive: false,
        nat_traversal: NatTraversal::Auto,
        pfs: false,
        dpd: false,
        lenient: false,
        fragments: false,
        short_lives: false,
    };

    /// One of all that there are, for each byte.
    pub(super) fn chosen(byte: u8, crypto: &'static Crypto) -> Self {
        let is_set = |bit: u8| byte >> bit & 1 == 1;
        Self {
            crypto,
            other_key: false,
            aggressive: is_set(0),
            nat_traversal: match byte >> 1 & 3 {
                0 => NatTraversal::Off,
                1 => NatTraversal::Force,
                _ => NatTraversal::Auto,
            },
            pfs: is_set(3),
            dpd: is_set(4),
            lenient: is_set(5),
            fragments: is_set(6),
            short_lives: is_set(7),
        }
    }
}

/// Two hosts at rest, in the hands of `act`.
pub(super) fn with_world<R>(setup: Setup, act: impl FnOnce(&mut World<'_, '_>) -> R) -> R {
    let psk = Secret::Bytes(b"fuzzed");
    let psk_b = if setup.other_key { Secret::Bytes(b"other") } else { psk };
    let [a, b] = ADDRESSES;
    let [net_a, net_b] = SUBNETS;
    let short = Lifetime { seconds: 120, kilobytes: 1000 };
    let child = |local, remote| ChildConfig {
        id: ChildId(1),
        policy: PolicyId(1),
        selectors: TrafficSelectors::between(local, remote),
        mode: Mode::Tunnel,
        proposals: PHASE2,
        pfs: setup.pfs.then_some(GroupDescription::MODP_2048),
        lifetime: if setup.short_lives { short } else { Lifetime::PHASE2 },
        replay_window: 64,
    };
    let (children_a, children_b) = ([child(net_a, net_b)], [child(net_b, net_a)]);
    let peer = |local, remote, psk, children| {
        let mut peer = PeerConfig::new(PeerId(1), local, remote, psk, PHASE1, children);
        if setup.aggressive {
            peer.exchange = Phase1Mode::Aggressive;
            peer.danger_answer_aggressive_psk = true;
        }
        peer.nat_traversal = setup.nat_traversal;
        peer.dpd = setup.dpd.then_some(Dpd {
            idle: Duration::from_secs(2),
            retry: Duration::from_secs(1),
            tries: 2,
            action: DpdAction::Restart,
        });
        if setup.lenient {
            peer.quirks.accept_unencrypted_auth = true;
            peer.quirks.accept_narrowing = true;
            peer.quirks.delete_ike_deletes_children = true;
            peer.lifetime_policy = LifetimePolicy::Exact;
        }
        if setup.short_lives {
            peer.lifetime = Lifetime { seconds: 300, ..Lifetime::PHASE1 };
        }
        peer
    };
    let peers_a = [peer(a, b, psk, &children_a)];
    let peers_b = [peer(b, a, psk_b, &children_b)];
    let mut limits = Limits::DEFAULT;
    if setup.fragments {
        limits.datagram = 300;
    }
    let config_a =
        Config { peers: &peers_a, crypto: setup.crypto, timing: Timing::DEFAULT, limits };
    let config_b = Config { peers: &peers_b, ..config_a };

    let mut memory = [Resources::<3, 6, 6, MESSAGE>::new(), Resources::new()];
    let [memory_a, memory_b] = &mut memory;
    let (mut rng_a, mut rng_b) = (Numbers(1), Numbers(2));
    let (Ok(endpoint_a), Ok(endpoint_b)) = (
        Endpoint::new(memory_a.storage(), &mut rng_a),
        Endpoint::new(memory_b.storage(), &mut rng_b),
    ) else {
        unreachable!("the storage is large enough");
    };
    let mut world = World {
        now: 0,
        hosts: [
            Host { endpoint: endpoint_a, rng: rng_a },
            Host { endpoint: endpoint_b, rng: rng_b },
        ],
        configs: [config_a, config_b],
        flying: Deque::new(),
        last: Bytes::new(),
    };
    act(&mut world)
}
