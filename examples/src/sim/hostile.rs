//! Someone on the link who wishes no good: records, replays, forges, floods.

use std::net::SocketAddr;
use std::time::Duration;

use chacha20::ChaCha20Rng;
use ike_core::Instant;
use rand_core::{Rng as _, SeedableRng as _};

use super::link::{Attacker, Injection, Kind, Verdict, chance};
use super::transcript::isakmp;
use crate::packet::{self, End, View};

/// How many packets are remembered.
const MEMORY: usize = 500;

/// An attacker who lets everything pass and adds to it. All shares are in percent of the packets seen.
#[derive(Debug)]
pub struct Hostile {
    /// An earlier packet is sent once more, up to two seconds later.
    pub replay: f64,
    /// An earlier packet is sent once more with a bit flipped, the checksums that routers check being right.
    pub forge: f64,
    /// A first message of phase 1 is sent with another cookie, from another address or port.
    pub flood: f64,
    rng: ChaCha20Rng,
    heard: Vec<Vec<u8>>,
    first_messages: Vec<Vec<u8>>,
}

impl Hostile {
    /// One that does a bit of everything.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            replay: 10.0,
            forge: 10.0,
            flood: 2.0,
            rng: ChaCha20Rng::seed_from_u64(seed),
            heard: Vec::new(),
            first_messages: Vec::new(),
        }
    }

    fn remember(&mut self, packet: &[u8]) {
        if is_first_message(packet) && self.first_messages.len() < MEMORY {
            self.first_messages.push(packet.to_vec());
        }
        if self.heard.len() < MEMORY {
            self.heard.push(packet.to_vec());
        } else {
            let at = self.below(MEMORY);
            self.heard[at] = packet.to_vec();
        }
    }

    fn replayed(&mut self) -> Vec<u8> {
        let at = self.below(self.heard.len());
        self.heard[at].clone()
    }

    fn forged(&mut self) -> Vec<u8> {
        let mut packet = self.replayed();
        let at = self.below(packet.len());
        packet[at] ^= 1 << self.below(8);
        packet::repair(&mut packet);
        packet
    }

    /// From the peer's own address, or from one that nobody has.
    fn flooding(&mut self) -> Option<Vec<u8>> {
        if self.first_messages.is_empty() {
            return None;
        }
        let at = self.below(self.first_messages.len());
        let mut packet = self.first_messages[at].clone();
        let view = View::of(&packet)?;
        let marker = view.payload.len() - isakmp(&packet[view.payload.clone()]).len();
        let cookie = view.payload.start + marker;
        self.rng.fill_bytes(&mut packet[cookie..cookie + 8]);
        if self.below(2) == 0 && view.source.is_ipv4() {
            let [_, _, high, low] = self.rng.next_u32().to_be_bytes();
            let source = SocketAddr::new([198, 18, high, low].into(), view.from().port());
            packet::rewrite(&mut packet, End::Source, source);
        } else {
            packet::repair(&mut packet);
        }
        Some(packet)
    }

    fn below(&mut self, end: usize) -> usize {
        self.rng.next_u32() as usize % end
    }

    fn in_a_moment(&mut self, packet: Vec<u8>) -> Injection {
        Injection { after: Duration::from_millis(self.below(2_000) as u64), packet }
    }
}

impl Attacker for Hostile {
    fn sees(&mut self, _: Instant, packet: &[u8], inject: &mut Vec<Injection>) -> Verdict {
        self.remember(packet);
        if chance(self.replay, &mut self.rng) {
            let packet = self.replayed();
            inject.push(self.in_a_moment(packet));
        }
        if chance(self.forge, &mut self.rng) {
            let packet = self.forged();
            inject.push(self.in_a_moment(packet));
        }
        if chance(self.flood, &mut self.rng)
            && let Some(packet) = self.flooding()
        {
            inject.push(self.in_a_moment(packet));
        }
        Verdict::Pass
    }
}

/// IKE without a cookie of the responder.
fn is_first_message(packet: &[u8]) -> bool {
    let Some(view) = View::of(packet).filter(|_| Kind::of(packet) == Some(Kind::Ike)) else {
        return false;
    };
    isakmp(&packet[view.payload]).get(8..16) == Some(&[0; 8])
}
