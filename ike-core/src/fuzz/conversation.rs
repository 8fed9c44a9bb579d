//! Two endpoints and a link that obeys a script: it delivers, loses, repeats, reorders and garbles datagrams, makes up
//! others, and moves the clock.
//!
//! Whatever the script: nothing panics, every loop ends, what an endpoint sends is a message, and what was made up
//! without a key changes no established SA. After the script the link is honest, and both come to rest.

use core::convert::Infallible;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use esp_core::{Addresses, BlockCipher, Integrity, Mode, PolicyId, TrafficSelectors, Transform};
use heapless::{Deque, Vec};
use rand_core::{TryCryptoRng, TryRng};

use crate::config::{
    ChildConfig, ChildId, Config, EspProposal, Lifetime, Limits, PeerConfig, PeerId, Phase1Cipher,
    Phase1Proposal, Secret, Timing,
};
use crate::crypto::toy;
use crate::event::Event;
use crate::natt::{Classified, classify};
use crate::wire::numbers::{GroupDescription, HashAlgorithm};
use crate::wire::{HEADER_LEN, Header};
use crate::{Context, Endpoint, Instant, Path, Resources, Work};

/// Bytes of the largest message; a datagram has the marker in front.
const MESSAGE: usize = 1024;
const DATAGRAM: usize = MESSAGE + 4;

/// Long enough for retransmissions, in milliseconds.
const HALF_A_MINUTE: u64 = 30_000;

type Bytes = Vec<u8, DATAGRAM>;

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
struct Numbers(u64);

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
struct Flying {
    /// 0 or 1: the host that it is for.
    to: usize,
    /// As its receiver sees it.
    path: Path,
    bytes: Bytes,
}

struct Host<'s> {
    endpoint: Endpoint<'s>,
    rng: Numbers,
}

impl Host<'_> {
    /// What must not change by anything that was made up: established IKE SAs, and child SAs in use.
    fn established(&self) -> u64 {
        let ikes = self.endpoint.ike_sas().filter(|ike| ike.established);
        let ikes = ikes.map(|ike| u64::from_ne_bytes(ike.cookies.initiator.0));
        let children = self.endpoint.child_sas().filter(|child| child.up);
        let children = children.map(|child| u64::from(child.inbound.get()));
        ikes.chain(children)
            .fold(0, |sum, number| sum.wrapping_add(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
    }

    fn receive(&mut self, now: u64, config: &Config<'_>, path: Path, datagram: &mut [u8]) {
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
    fn turn(&mut self, now: u64, config: &Config<'_>, mut send: impl FnMut(Path, &[u8])) {
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
                    assert!(self.endpoint.take_inbound(child).is_some());
                    assert!(self.endpoint.take_inbound(child).is_none(), "once");
                }
                Event::ChildSaOutbound { child } => drop(self.endpoint.take_outbound(child)),
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

struct World<'s, 'c> {
    now: u64,
    hosts: [Host<'s>; 2],
    configs: [Config<'c>; 2],
    flying: Deque<Flying, 16>,
    /// The last datagram delivered, as it was.
    last: Bytes,
}

impl World<'_, '_> {
    /// Lets both do what is due.
    fn turn(&mut self) {
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

    fn deliver(&mut self, to: usize, path: Path, bytes: &[u8]) {
        let Ok(mut bytes) = Bytes::from_slice(bytes) else { return };
        self.last.clone_from(&bytes);
        if let (Some(host), Some(config)) = (self.hosts.get_mut(to), self.configs.get(to)) {
            host.receive(self.now, config, path, &mut bytes);
        }
        self.turn();
    }

    /// Delivers what no key was used for.
    fn forge(&mut self, to: usize, path: Path, bytes: &[u8]) {
        let Ok(mut bytes) = Bytes::from_slice(bytes) else { return };
        if let (Some(host), Some(config)) = (self.hosts.get_mut(to), self.configs.get(to)) {
            let before = host.established();
            host.receive(self.now, config, path, &mut bytes);
            assert_eq!(host.established(), before, "a forgery changed an established SA");
        }
        self.turn();
    }

    fn deliver_next(&mut self) -> bool {
        let Some(next) = self.flying.pop_front() else { return false };
        self.deliver(next.to, next.path, &next.bytes);
        true
    }

    /// Moves the clock to the next thing to be done, if that is before `until`.
    fn wait(&mut self, until: u64) -> bool {
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

    /// An honest link, for `span` milliseconds.
    fn settle(&mut self, span: u64) {
        let until = self.now.saturating_add(span);
        let mut left = 20_000u32;
        while self.deliver_next() || self.wait(until) {
            left = left.saturating_sub(1);
            assert!(left > 0, "no rest");
        }
    }

    fn request(&mut self, what: u8) {
        let (Some(host), Some(config)) = (self.hosts.first_mut(), self.configs.first()) else {
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
            _ => endpoint.create_child(&mut cx, PeerId(1), ChildId(1), path(0)),
        };
        self.turn();
    }

    fn obey(&mut self, call: u8, script: &mut impl Iterator<Item = u8>) {
        let mut next = || script.next().unwrap_or_default();
        match call & 15 {
            0..=4 => drop(self.deliver_next()),
            5 => drop(self.flying.pop_front()),
            6 => {
                // Twice.
                let Some(flying) = self.flying.pop_front() else { return };
                self.deliver(flying.to, flying.path, &flying.bytes);
                self.deliver(flying.to, flying.path, &flying.bytes);
            }
            7 => {
                // Garbled.
                let Some(mut flying) = self.flying.pop_front() else { return };
                let at = usize::from(u16::from_be_bytes([next(), next()]));
                let at = at.checked_rem(flying.bytes.len()).unwrap_or_default();
                if let Some(byte) = flying.bytes.get_mut(at) {
                    *byte ^= next();
                }
                self.deliver(flying.to, flying.path, &flying.bytes);
            }
            8 => {
                // Cut, and the header says so.
                let Some(mut flying) = self.flying.pop_front() else { return };
                let keep = usize::from(next()).saturating_mul(4).max(HEADER_LEN);
                flying.bytes.truncate(keep);
                repair_length(&mut flying.bytes);
                self.deliver(flying.to, flying.path, &flying.bytes);
            }
            9 => drop(self.wait(u64::MAX)),
            10 => {
                let (to, last) = (usize::from(next() & 1), self.last.clone());
                self.deliver(to, path(to), &last);
            }
            11 | 12 => {
                // Out of nothing, or with the header of something that was real.
                let mut bytes = Bytes::new();
                if call & 15 == 12 {
                    let header = self.last.get(..HEADER_LEN).unwrap_or_default();
                    let _ = bytes.extend_from_slice(header);
                    if let (Some(exchange), change) = (bytes.get_mut(18), next()) {
                        *exchange ^= change;
                    }
                    if let (Some(flags), change) = (bytes.get_mut(19), next()) {
                        *flags ^= change;
                    }
                }
                for _ in 0..next() {
                    let _ = bytes.push(next());
                }
                repair_length(&mut bytes);
                let to = usize::from(call >> 4 & 1);
                self.forge(to, path(to), &bytes);
            }
            13 => self.request(next()),
            14 => {
                if let Some(flying) = self.flying.pop_front() {
                    let _ = self.flying.push_back(flying);
                }
            }
            _ => {
                self.now = self.now.saturating_add(u64::from(next()).saturating_mul(100));
                self.turn();
            }
        }
    }
}

fn repair_length(bytes: &mut Bytes) {
    let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
    if let Some(length) = bytes.get_mut(24..28) {
        length.copy_from_slice(&len);
    }
}

/// The path as host `of` sees it.
fn path(of: usize) -> Path {
    let [a, b] = ADDRESSES.map(|address| SocketAddr::new(address, 500));
    let (local, remote) = if of == 0 { (a, b) } else { (b, a) };
    Path { local, remote, encap: false }
}

/// How it ended: child SAs in use on either side, `rest` milliseconds after the script.
fn converse(script: &[u8], rest: u64) -> [usize; 2] {
    let psk = Secret::Bytes(b"fuzzed");
    let [a, b] = ADDRESSES;
    let [net_a, net_b] = SUBNETS;
    let child = |local, remote| ChildConfig {
        id: ChildId(1),
        policy: PolicyId(1),
        selectors: TrafficSelectors::between(local, remote),
        mode: Mode::Tunnel,
        proposals: PHASE2,
        pfs: None,
        lifetime: Lifetime::PHASE2,
        replay_window: 64,
    };
    let (children_a, children_b) = ([child(net_a, net_b)], [child(net_b, net_a)]);
    let peers_a = [PeerConfig::new(PeerId(1), a, b, psk, PHASE1, &children_a)];
    let peers_b = [PeerConfig::new(PeerId(1), b, a, psk, PHASE1, &children_b)];
    let config_a = Config {
        peers: &peers_a,
        crypto: &toy::CRYPTO,
        timing: Timing::DEFAULT,
        limits: Limits::DEFAULT,
    };
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
    world.request(4);
    let mut script = script.iter().copied();
    while let Some(call) = script.next() {
        world.obey(call, &mut script);
    }
    world.settle(rest);
    world.hosts.each_ref().map(|host| host.endpoint.child_sas().filter(|child| child.up).count())
}

/// Runs a script; see the head of this file.
pub fn conversation(script: &[u8]) {
    converse(script, HALF_A_MINUTE);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_honest_link_brings_a_child_up() {
        assert_eq!(converse(&[], HALF_A_MINUTE), [1, 1]);
        assert_eq!(converse(&[0; 20], HALF_A_MINUTE), [1, 1]);
    }

    #[test]
    fn losses_are_made_good() {
        // Each of the first messages lost once.
        for lost in 0..9 {
            let mut script = [0; 10];
            script[lost] = 5;
            assert_eq!(converse(&script, HALF_A_MINUTE), [1, 1], "message {lost}");
        }
    }

    #[test]
    fn every_call_after_both_are_up() {
        for call in 0..=u8::MAX {
            let mut script = [0; 40];
            script[12..20].copy_from_slice(&[call, 0, 1, call, 0, 20, 1, 2]);
            let up = converse(&script, HALF_A_MINUTE);
            // Deleting is the only call that may leave less than one child; a renewal may leave two for a while.
            assert!(call & 15 == 13 || up.iter().all(|count| *count >= 1), "{call:#x}: {up:?}");
        }
    }

    #[test]
    fn scripts_by_chance_and_a_day_afterwards() {
        let mut numbers = Numbers(3);
        for len in 0..400 {
            let mut script = [0; 400];
            let Ok(()) = numbers.try_fill_bytes(&mut script);
            converse(&script[..len], 86_400_000);
        }
    }
}
