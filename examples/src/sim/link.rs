//! The network between the hosts, and all the harm it can do to a packet.

use std::fmt;
use std::time::Duration;

use chacha20::ChaCha20Rng;
use ike_core::Instant;
use rand_core::Rng as _;

use crate::packet::{self, View, protocol};

/// What happens to packets at random. All shares are in percent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weather {
    /// Packets that vanish.
    pub loss: f64,
    /// Packets that arrive twice.
    pub duplicate: f64,
    /// Packets in which one bit flips, the checksums that routers check being right again.
    pub corrupt: f64,
    /// Packets that are held back by `delay` five times over, so that others overtake them.
    pub reorder: f64,
    /// The time from one host to another.
    pub delay: Duration,
    /// Up to so much is added to the delay, evenly spread. Packets can overtake each other by it.
    pub jitter: Duration,
    /// The largest packet that passes, IP header included.
    pub mtu: usize,
}

impl Weather {
    /// Nothing is lost, nothing changes, 10 ms.
    pub const FAIR: Self = Self {
        loss: 0.0,
        duplicate: 0.0,
        corrupt: 0.0,
        reorder: 0.0,
        delay: Duration::from_millis(10),
        jitter: Duration::ZERO,
        mtu: 1500,
    };

    /// A bit of everything.
    pub const FOUL: Self = Self {
        loss: 5.0,
        duplicate: 2.0,
        corrupt: 1.0,
        reorder: 2.0,
        delay: Duration::from_millis(40),
        jitter: Duration::from_millis(30),
        mtu: 1500,
    };
}

/// What is decided beforehand for one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plan {
    /// It passes.
    Deliver,
    /// It vanishes.
    Drop,
    /// It arrives twice.
    Duplicate,
}

/// Which packets a list of plans is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// All.
    Any,
    /// IKE datagrams, on both ports.
    Ike,
    /// ESP, raw or in UDP.
    Esp,
}

impl Kind {
    /// Whether `packet` is of this kind.
    #[must_use]
    pub fn includes(self, packet: &[u8]) -> bool {
        self == Self::Any || Self::of(packet) == Some(self)
    }

    /// [`Self::Ike`] or [`Self::Esp`], by protocol and port, behind a NAT too; `None` for anything else, keepalives
    /// included.
    #[must_use]
    pub fn of(packet: &[u8]) -> Option<Self> {
        let view = View::of(packet)?;
        if view.protocol == protocol::ESP {
            return Some(Self::Esp);
        }
        let (source, destination) = view.ports?;
        if source == 4500 || destination == 4500 {
            return match &packet[view.payload] {
                [0, 0, 0, 0, ..] => Some(Self::Ike),
                [_] | [] => None,
                _ => Some(Self::Esp),
            };
        }
        (source == 500 || destination == 500).then_some(Self::Ike)
    }
}

/// What the link did to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is under way.
    Passed,
    /// Twice.
    Duplicated,
    /// Under way with a bit flipped.
    Corrupted,
    /// Lost.
    Lost,
    /// Too big.
    TooBig,
    /// Nobody has this address.
    NoRoute,
    /// A NAT would not let it through.
    NatRefused,
    /// The attacker took it.
    Intercepted,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passed => "",
            Self::Duplicated => "duplicated",
            Self::Corrupted => "corrupted",
            Self::Lost => "LOST",
            Self::TooBig => "TOO BIG",
            Self::NoRoute => "NO ROUTE",
            Self::NatRefused => "REFUSED BY NAT",
            Self::Intercepted => "INTERCEPTED",
        })
    }
}

/// Someone on the link who sees every packet before anything else happens to it.
pub trait Attacker {
    /// Sees a packet, and may put others on the link through `inject`.
    fn sees(&mut self, now: Instant, packet: &[u8], inject: &mut Vec<Injection>) -> Verdict;
}

/// What an attacker does with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Lets it pass.
    Pass,
    /// Takes it.
    Take,
    /// Lets this pass in its place.
    Replace(Vec<u8>),
}

/// A packet that an attacker puts on the link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// How long from now it reaches its receiver.
    pub after: Duration,
    /// The whole IP packet.
    pub packet: Vec<u8>,
}

/// A closure is an attacker who injects nothing.
impl<F: FnMut(Instant, &[u8]) -> Verdict> Attacker for F {
    fn sees(&mut self, now: Instant, packet: &[u8], _: &mut Vec<Injection>) -> Verdict {
        self(now, packet)
    }
}

/// Decides the fate of each packet: first by plan, then by weather.
#[derive(Debug)]
pub struct Link {
    /// What happens at random.
    pub weather: Weather,
    plans: std::vec::IntoIter<Plan>,
    planned: Kind,
}

/// What the link will do: when each copy arrives.
pub(super) struct Passage {
    pub(super) outcome: Outcome,
    pub(super) arrivals: Vec<Instant>,
}

impl Link {
    pub(super) fn new(weather: Weather) -> Self {
        Self { weather, plans: Vec::new().into_iter(), planned: Kind::Any }
    }

    /// The next packets of this kind meet with these fates, one each; those after them with the weather.
    pub fn plan(&mut self, kind: Kind, plans: impl IntoIterator<Item = Plan>) {
        self.plans = plans.into_iter().collect::<Vec<_>>().into_iter();
        self.planned = kind;
    }

    /// How many plans are left.
    #[must_use]
    pub fn planned(&self) -> usize {
        self.plans.len()
    }

    pub(super) fn pass(
        &mut self,
        packet: &mut [u8],
        now: Instant,
        rng: &mut ChaCha20Rng,
    ) -> Passage {
        let weather = self.weather;
        let lost = |outcome| Passage { outcome, arrivals: Vec::new() };
        if packet.len() > weather.mtu {
            return lost(Outcome::TooBig);
        }
        let plan = if self.planned.includes(packet) { self.plans.next() } else { None };
        let outcome = match plan {
            Some(Plan::Deliver) => Outcome::Passed,
            Some(Plan::Drop) => return lost(Outcome::Lost),
            Some(Plan::Duplicate) => Outcome::Duplicated,
            None if chance(weather.loss, rng) => return lost(Outcome::Lost),
            None if chance(weather.duplicate, rng) => Outcome::Duplicated,
            None if chance(weather.corrupt, rng) && flip_a_bit(packet, rng) => Outcome::Corrupted,
            None => Outcome::Passed,
        };
        let copies = if outcome == Outcome::Duplicated { 2 } else { 1 };
        let arrivals = (0..copies).map(|_| now.after(travel(&weather, rng))).collect();
        Passage { outcome, arrivals }
    }
}

fn travel(weather: &Weather, rng: &mut ChaCha20Rng) -> Duration {
    let jitter = weather.jitter.as_millis() as u64;
    let extra = if jitter == 0 { 0 } else { rng.next_u64() % (jitter + 1) };
    let held_back = if chance(weather.reorder, rng) { weather.delay * 5 } else { Duration::ZERO };
    weather.delay + held_back + Duration::from_millis(extra)
}

/// Draws only if it matters, so that fair weather takes nothing from the generator.
pub(super) fn chance(percent: f64, rng: &mut ChaCha20Rng) -> bool {
    percent > 0.0 && f64::from(rng.next_u32()) < percent / 100.0 * f64::from(u32::MAX)
}

/// Flips one bit behind the outer headers, as a faulty router would: the checksums are computed anew.
fn flip_a_bit(packet: &mut [u8], rng: &mut ChaCha20Rng) -> bool {
    let Some(payload) = View::of(packet).map(|view| view.payload) else { return false };
    if payload.is_empty() {
        return false;
    }
    let at = payload.start + usize::try_from(rng.next_u64() % payload.len() as u64).unwrap_or(0);
    packet[at] ^= 1 << (rng.next_u32() % 8);
    packet::repair(packet);
    true
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::packet::{ip, udp};

    fn ike() -> Vec<u8> {
        udp("10.0.0.1:500".parse().unwrap(), "10.0.0.2:500".parse().unwrap(), &[7; 40])
    }

    #[test]
    fn kinds() {
        let on = |a: &str, b: &str, payload: &[u8]| {
            Kind::of(&udp(a.parse().unwrap(), b.parse().unwrap(), payload))
        };
        assert_eq!(on("10.0.0.1:500", "10.0.0.2:500", &[1; 28]), Some(Kind::Ike));
        assert_eq!(on("10.0.0.1:61000", "10.0.0.2:500", &[1; 28]), Some(Kind::Ike));
        assert_eq!(on("10.0.0.1:61000", "10.0.0.2:4500", &[0; 32]), Some(Kind::Ike));
        assert_eq!(on("10.0.0.1:4500", "10.0.0.2:61000", &[1; 32]), Some(Kind::Esp));
        assert_eq!(on("10.0.0.1:4500", "10.0.0.2:4500", &[0xff]), None);
        assert_eq!(on("10.0.0.1:53", "10.0.0.2:53", &[0; 32]), None);
        let raw = ip([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), protocol::ESP, &[1; 40]);
        assert_eq!(Kind::of(&raw), Some(Kind::Esp));
    }

    #[test]
    fn plans_come_first_and_only_for_their_kind() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut link = Link::new(Weather::FAIR);
        link.plan(Kind::Ike, [Plan::Drop, Plan::Duplicate, Plan::Deliver]);
        let mut esp = ip([10, 0, 0, 1].into(), [10, 0, 0, 2].into(), protocol::ESP, &[1; 40]);
        assert_eq!(link.pass(&mut esp, Instant::ZERO, &mut rng).outcome, Outcome::Passed);
        let outcomes: Vec<_> = (0..4)
            .map(|_| link.pass(&mut ike(), Instant::ZERO, &mut rng))
            .map(|passage| (passage.outcome, passage.arrivals.len()))
            .collect();
        assert_eq!(
            outcomes,
            [
                (Outcome::Lost, 0),
                (Outcome::Duplicated, 2),
                (Outcome::Passed, 1),
                (Outcome::Passed, 1)
            ]
        );
    }

    #[test]
    fn shares_are_percent() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut link = Link::new(Weather { loss: 10.0, ..Weather::FAIR });
        let lost = (0..10_000)
            .filter(|_| link.pass(&mut ike(), Instant::ZERO, &mut rng).outcome == Outcome::Lost)
            .count();
        assert!((900..1100).contains(&lost), "{lost} of 10 000 lost");
    }

    #[test]
    fn corruption_flips_one_bit_and_routers_do_not_notice() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut link = Link::new(Weather { corrupt: 100.0, ..Weather::FAIR });
        let mut packet = ike();
        assert_eq!(link.pass(&mut packet, Instant::ZERO, &mut rng).outcome, Outcome::Corrupted);
        let payload = View::of(&packet).unwrap().payload;
        let flipped: u32 = packet[payload].iter().map(|byte| (byte ^ 7).count_ones()).sum();
        assert_eq!(flipped, 1);
        assert!(packet::checksums_hold(&packet));
    }

    #[test]
    fn what_is_too_big_does_not_pass() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut link = Link::new(Weather { mtu: 60, ..Weather::FAIR });
        assert_eq!(link.pass(&mut ike(), Instant::ZERO, &mut rng).outcome, Outcome::TooBig);
    }
}
