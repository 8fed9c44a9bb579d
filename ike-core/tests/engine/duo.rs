//! Two endpoints and what is between them: a test sees every datagram, and decides what becomes of it.

use core::net::{IpAddr, SocketAddr};

use chacha20::ChaCha20Rng;
use chacha20::rand_core::SeedableRng;
use esp_core::{Addresses, BlockCipher, Integrity, Mode, PolicyId, TrafficSelectors, Transform};
use ike_core::config::{
    ChildConfig, ChildId, Config, EspProposal, Lifetime, Limits, PeerConfig, PeerId, Phase1Cipher,
    Phase1Proposal, Secret, Timing,
};
use ike_core::error::{ApiError, Discard};
use ike_core::event::{ChildSaHandle, Event, IkeSaHandle};
use ike_core::wire::numbers::{GroupDescription, HashAlgorithm};
use ike_core::{Context, Endpoint, Instant, Path, Resources, Work, natt};

pub(crate) const PEER: PeerId = PeerId(1);
pub(crate) const CHILD: ChildId = ChildId(1);

const PHASE1: &[Phase1Proposal] = &[Phase1Proposal {
    cipher: Phase1Cipher::AesCbc(128),
    hash: HashAlgorithm::SHA2_256,
    group: GroupDescription::CURVE25519,
}];

const PHASE2: &[EspProposal] = &[EspProposal {
    transform: Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha256_128),
    esn: false,
}];

/// The side that begins, and the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    A,
    B,
}

use Who::{A, B};

impl Who {
    pub(crate) const fn other(self) -> Self {
        match self {
            A => B,
            B => A,
        }
    }

    fn address(self) -> SocketAddr {
        let text = if self == A { "192.0.2.1:500" } else { "192.0.2.2:500" };
        text.parse().unwrap()
    }

    pub(crate) fn path(self) -> Path {
        Path { local: self.address(), remote: self.other().address(), encap: false }
    }
}

/// A datagram on its way: as its sender sees the path, non-ESP marker included.
pub(crate) type Sent = (Path, Vec<u8>);

pub(crate) fn mirror(path: Path) -> Path {
    Path { local: path.remote, remote: path.local, encap: path.encap }
}

/// The exchange type of a datagram, behind the marker.
pub(crate) fn exchange_type(sent: &Sent) -> u8 {
    let start = if sent.0.encap { 4 } else { 0 };
    sent.1.get(start + 18).copied().unwrap_or_default()
}

pub(crate) struct Side {
    pub(crate) endpoint: Endpoint<'static>,
    pub(crate) config: Config<'static>,
    pub(crate) rng: ChaCha20Rng,
    pub(crate) events: Vec<Event>,
    /// Whether SAs are taken as soon as they are shown.
    pub(crate) takes: bool,
    /// Where its storage lies, and how long it is.
    pub(crate) storage: (usize, usize),
    /// The storage before anything was in it.
    pub(crate) unused: Vec<u8>,
}

pub(crate) struct Duo {
    pub(crate) a: Side,
    pub(crate) b: Side,
    pub(crate) now: u64,
}

/// `count` children, side by side, each a pair of /24 networks.
fn children(who: Who, count: u8) -> &'static [ChildConfig<'static>] {
    let side = |who: Who, number: u8| {
        let network = IpAddr::from([10, if who == A { 1 } else { 2 }, number, 0]);
        Addresses::Subnet { network, prefix: 24 }
    };
    let child = |number: u8| ChildConfig {
        id: ChildId(u32::from(number)),
        policy: PolicyId(7),
        selectors: TrafficSelectors::between(side(who, number), side(who.other(), number)),
        mode: Mode::Tunnel,
        proposals: PHASE2,
        pfs: None,
        lifetime: Lifetime::PHASE2,
        replay_window: 64,
    };
    (1..=count).map(child).collect::<Vec<_>>().leak()
}

impl Side {
    fn new<const I: usize, const X: usize, const C: usize>(
        who: Who,
        count: u8,
        change: &dyn Fn(Who, &mut PeerConfig<'static>),
    ) -> Self {
        let resources = Box::leak(Box::new(Resources::<I, X, C, 1536>::new()));
        let storage = (core::ptr::from_mut(resources).expose_provenance(), size_of_val(resources));
        let mut rng = ChaCha20Rng::seed_from_u64(who as u64 + 1);
        let endpoint = Endpoint::new(resources.storage(), &mut rng).unwrap();
        let (local, remote) = (who.address().ip(), who.other().address().ip());
        let psk = Secret::Bytes(b"interop-psk-0123456789");
        let children = children(who, count);
        let mut peer = PeerConfig::new(PEER, local, remote, psk, PHASE1, children);
        change(who, &mut peer);
        let peers: &'static [PeerConfig<'static>; 1] = Box::leak(Box::new([peer]));
        let config = Config {
            peers,
            crypto: &ike_core::crypto::SOFTWARE,
            timing: Timing::DEFAULT,
            limits: Limits::DEFAULT,
        };
        let unused = vec![];
        let mut side = Self { endpoint, config, rng, events: vec![], takes: true, storage, unused };
        side.unused = side.bytes();
        side
    }

    /// Every byte of the storage, as it lies in memory: what no type can show.
    #[cfg(target_os = "linux")]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        use std::os::unix::fs::FileExt;
        let (address, len) = self.storage;
        let mut bytes = vec![0; len];
        let memory = std::fs::File::open("/proc/self/mem").unwrap();
        memory.read_exact_at(&mut bytes, address as u64).unwrap();
        bytes
    }

    #[cfg(not(target_os = "linux"))]
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let _ = self.storage;
        vec![]
    }
}

impl Duo {
    pub(crate) fn new(change: impl Fn(Who, &mut PeerConfig<'static>)) -> Self {
        Self::sized::<4, 12, 12>(1, change)
    }

    /// Two sides with so much room and so many children each.
    pub(crate) fn sized<const I: usize, const X: usize, const C: usize>(
        children: u8,
        change: impl Fn(Who, &mut PeerConfig<'static>),
    ) -> Self {
        let a = Side::new::<I, X, C>(A, children, &change);
        let b = Side::new::<I, X, C>(B, children, &change);
        Self { a, b, now: 0 }
    }

    /// B has room for one pair only.
    pub(crate) fn narrow_b(children: u8) -> Self {
        let a = Side::new::<4, 12, 12>(A, children, &|_, _| ());
        let b = Side::new::<4, 12, 1>(B, children, &|_, _| ());
        Self { a, b, now: 0 }
    }

    /// A forgets everything, as if its power had failed.
    pub(crate) fn restart_a(
        &mut self,
        children: u8,
        change: impl Fn(Who, &mut PeerConfig<'static>),
    ) {
        self.a = Side::new::<4, 12, 12>(A, children, &change);
        self.a.rng = ChaCha20Rng::seed_from_u64(77);
    }

    pub(crate) fn side(&mut self, who: Who) -> &mut Side {
        match who {
            A => &mut self.a,
            B => &mut self.b,
        }
    }

    /// Calls an endpoint.
    pub(crate) fn call<T>(
        &mut self,
        who: Who,
        call: impl FnOnce(&mut Endpoint<'static>, &mut Context<'_>) -> T,
    ) -> T {
        let now = Instant::from_millis(self.now);
        let Side { endpoint, config, rng, .. } = self.side(who);
        call(endpoint, &mut Context { now, rng, config })
    }

    pub(crate) fn create_child(&mut self, who: Who, child: ChildId) -> Result<(), ApiError> {
        self.call(who, |endpoint, cx| endpoint.create_child(cx, PEER, child, who.path()))
    }

    /// What a side sends now: timers, work and events done.
    pub(crate) fn turn(&mut self, who: Who) -> Vec<Sent> {
        self.call(who, |endpoint, cx| {
            endpoint.handle_timeout(cx);
            while endpoint.handle_work(cx, 64) == Work::More {}
        });
        let side = self.side(who);
        while let Some(event) = side.endpoint.poll_event() {
            match event {
                Event::ChildSaReady { child, .. } if side.takes => {
                    side.endpoint.take_inbound(child).unwrap();
                }
                Event::ChildSaOutbound { child } if side.takes => {
                    side.endpoint.take_outbound(child).unwrap();
                }
                _ => {}
            }
            side.events.push(event);
        }
        let mut sent = vec![];
        while let Some(transmit) = side.endpoint.poll_transmit() {
            sent.push((transmit.path, transmit.datagram.to_vec()));
        }
        sent
    }

    /// Hands a datagram to `to`, as the network does; keepalives go no further.
    pub(crate) fn deliver(&mut self, to: Who, (path, mut datagram): Sent) -> Result<(), Discard> {
        self.receive(to, mirror(path), &mut datagram)
    }

    /// Hands a datagram to `to`, who sees it come over `path`.
    pub(crate) fn receive(
        &mut self,
        to: Who,
        path: Path,
        datagram: &mut [u8],
    ) -> Result<(), Discard> {
        let message = match (path.encap, natt::classify(datagram)) {
            (true, natt::Classified::Ike(_)) => &mut datagram[4..],
            (true, _) => return Ok(()),
            (false, _) => datagram,
        };
        self.call(to, |endpoint, cx| endpoint.handle_datagram(cx, path, message))
    }

    /// Lets both talk until `until`; `pass` says which datagrams get through.
    pub(crate) fn run_while(&mut self, until: u64, mut pass: impl FnMut(Who, &Sent) -> bool) {
        self.run_with(until, |_, from, sent| pass(from, sent));
    }

    /// The same; `pass` may put in a word before each datagram.
    pub(crate) fn run_with(
        &mut self,
        until: u64,
        mut pass: impl FnMut(&mut Self, Who, &Sent) -> bool,
    ) {
        loop {
            let mut quiet = true;
            for from in [A, B] {
                for sent in self.turn(from) {
                    quiet = false;
                    if pass(self, from, &sent) {
                        let _ = self.deliver(from.other(), sent);
                    }
                }
            }
            if !quiet {
                continue;
            }
            let next = [self.a.endpoint.poll_timeout(), self.b.endpoint.poll_timeout()];
            match next.into_iter().flatten().min() {
                Some(at) if at.as_millis() <= until => self.now = self.now.max(at.as_millis()),
                _ => break,
            }
        }
        self.now = self.now.max(until);
    }

    /// Lets both talk for so many milliseconds.
    pub(crate) fn run(&mut self, millis: u64) {
        self.run_while(self.now + millis, |_, _| true);
    }

    /// A pair that `change` configures, with the first child up, begun by A.
    pub(crate) fn up(change: impl Fn(Who, &mut PeerConfig<'static>)) -> Self {
        let mut duo = Self::new(change);
        duo.create_child(A, CHILD).unwrap();
        duo.run(1_500);
        assert_eq!((duo.children(A), duo.children(B)), (1, 1), "{:?}", duo.a.events);
        duo
    }

    /// Pairs of child SAs that are up.
    pub(crate) fn children(&mut self, who: Who) -> usize {
        self.side(who).endpoint.child_sas().filter(|child| child.up).count()
    }

    pub(crate) fn child(&mut self, who: Who) -> ChildSaHandle {
        self.side(who).endpoint.child_sas().next().unwrap().handle
    }

    pub(crate) fn ike(&mut self, who: Who) -> IkeSaHandle {
        self.side(who).endpoint.ike_sas().find(|ike| ike.established).unwrap().handle
    }
}
