//! A router that translates addresses and ports, as RFC 3947 expects to meet one.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chacha20::ChaCha20Rng;
use ike_core::Instant;
use rand_core::Rng as _;

use crate::packet::{self, End, View};

/// Translates the UDP packets of the hosts behind it: each inside socket is given a port of the public address, chosen
/// at random, for as long as packets leave from it. Other protocols do not pass, raw ESP included.
#[derive(Debug)]
pub struct Nat {
    public: IpAddr,
    patience: Duration,
    bindings: Vec<Binding>,
}

#[derive(Debug)]
struct Binding {
    inside: SocketAddr,
    port: u16,
    used: Instant,
}

impl Nat {
    /// A translator with this public address, which forgets a binding after two idle minutes (RFC 4787 §4.3).
    #[must_use]
    pub fn new(public: IpAddr) -> Self {
        Self { public, patience: Duration::from_secs(120), bindings: Vec::new() }
    }

    /// The address that the outside sees.
    #[must_use]
    pub fn public(&self) -> IpAddr {
        self.public
    }

    /// Forgets all bindings, as after a restart: every socket is seen at another port from its next packet on.
    pub fn rebind(&mut self) {
        self.bindings.clear();
    }

    /// Forgets all bindings and has another public address from now on.
    pub fn move_to(&mut self, public: IpAddr) {
        self.public = public;
        self.bindings.clear();
    }

    /// Whether what goes to this address reaches somebody behind it.
    pub(super) fn knows(&self, address: SocketAddr, now: Instant) -> bool {
        let fresh = |binding: &Binding| now.since(binding.used) < self.patience;
        address.ip() == self.public
            && self.bindings.iter().any(|it| it.port == address.port() && fresh(it))
    }

    /// A packet on its way out; whether it may pass.
    pub(super) fn outward(
        &mut self,
        packet: &mut [u8],
        now: Instant,
        rng: &mut ChaCha20Rng,
    ) -> bool {
        let Some(view) = View::of(packet).filter(|view| view.ports.is_some()) else { return false };
        let (inside, patience) = (view.from(), self.patience);
        self.bindings.retain(|binding| now.since(binding.used) < patience);
        let port = match self.bindings.iter_mut().find(|binding| binding.inside == inside) {
            Some(binding) => {
                binding.used = now;
                binding.port
            }
            None => {
                let port = self.free_port(rng);
                self.bindings.push(Binding { inside, port, used: now });
                port
            }
        };
        packet::rewrite(packet, End::Source, SocketAddr::new(self.public, port))
    }

    /// A packet to the public address; whether somebody behind it is meant.
    pub(super) fn inward(&mut self, packet: &mut [u8], now: Instant) -> bool {
        let Some((_, port)) = View::of(packet).and_then(|view| view.ports) else { return false };
        let patience = self.patience;
        let binding = self
            .bindings
            .iter()
            .find(|binding| binding.port == port && now.since(binding.used) < patience);
        binding.is_some_and(|binding| packet::rewrite(packet, End::Destination, binding.inside))
    }

    fn free_port(&self, rng: &mut ChaCha20Rng) -> u16 {
        loop {
            let port = 1024 + u16::try_from(rng.next_u32() % 64_512).unwrap_or(0);
            if self.bindings.iter().all(|binding| binding.port != port) {
                return port;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::packet::{ip, protocol, udp};

    const NOW: Instant = Instant::ZERO;

    fn socket(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn answers_find_back_until_the_binding_goes() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut nat = Nat::new([203, 0, 113, 1].into());
        let (inside, peer) = (socket("10.0.0.2:500"), socket("192.0.2.2:500"));
        let mut packet = udp(inside, peer, b"one");
        assert!(nat.outward(&mut packet, NOW, &mut rng));
        let seen = View::of(&packet).unwrap().from();
        assert_eq!(seen.ip(), nat.public());
        assert_ne!(seen.port(), 500);

        let mut answer = udp(peer, seen, b"two");
        assert!(nat.inward(&mut answer.clone(), NOW));
        assert!(nat.inward(&mut answer, Instant::from_millis(119_999)));
        assert_eq!(View::of(&answer).unwrap().to(), inside);
        assert!(packet::checksums_hold(&answer));

        let mut late = udp(peer, seen, b"three");
        assert!(!nat.inward(&mut late, Instant::from_millis(120_000)));
        nat.rebind();
        assert!(!nat.inward(&mut late, NOW));
        let mut packet = udp(inside, peer, b"four");
        assert!(nat.outward(&mut packet, NOW, &mut rng));
        assert_ne!(View::of(&packet).unwrap().from(), seen);
    }

    #[test]
    fn raw_esp_does_not_pass() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut nat = Nat::new([203, 0, 113, 1].into());
        let mut packet = ip([10, 0, 0, 2].into(), [192, 0, 2, 2].into(), protocol::ESP, &[0; 64]);
        assert!(!nat.outward(&mut packet, NOW, &mut rng));
    }
}
