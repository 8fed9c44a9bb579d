//! A long life in foul weather: restarts, NATs that rebind, clocks that jump, requests at bad moments, an attacker; and an
//! account of every packet.
//!
//! A soak is made of legs. Each is a world of its own with a seed of its own: it storms, the storm ends, the two must find
//! together again within the time of dead peer detection, everything is deleted, and every slot must be free. So the
//! memory of a soak is that of one leg, however long it is.
//!
//! What a host says of a packet that it drops is not believed: it counts as unexplained unless the simulator, which has seen
//! what the host has seen, finds that it is so.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use chacha20::ChaCha20Rng;
use esp_core::Discard;
use ike_core::config::{Dpd, DpdAction, Lifetime};
use rand_core::{Rng as _, SeedableRng as _};

use crate::host::Dropped;
use crate::sim::hostile::Hostile;
use crate::sim::{Fate, HostId, LEFT, RIGHT, Renewals, Scenario, Weather, World};

/// What happens, besides packets, weather and renewals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storm {
    /// Nothing: what the link delivers must come out, or be too late for the window.
    RenewalsOnly,
    /// Everything.
    Everything,
}

/// One leg.
#[derive(Clone, Copy, Debug)]
pub struct Leg {
    /// What happens.
    pub storm: Storm,
    /// The source of all randomness; odd ones have a NAT, two in three an attacker.
    pub seed: u64,
    /// Packets to send while it storms.
    pub packets: u64,
}

/// The account of one leg, or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Inner packets that hosts were given to send.
    pub sent: u64,
    /// Those that came out where they should.
    pub delivered: u64,
    /// Those that did not, by what became of them.
    pub lost: BTreeMap<Bucket, u64>,
    /// Those of which it is not known what became of them, or that came out changed or elsewhere.
    pub unexplained: u64,
    /// Those that came out more than once.
    pub twice: u64,
    /// Those that could be read on the link.
    pub clear: u64,
    /// Renewals of both kinds, counted where they were begun.
    pub renewals: Renewals,
    /// Hosts switched off and on.
    pub restarts: u64,
    /// NATs that forgot their bindings.
    pub rebindings: u64,
    /// Clocks set forward or back.
    pub jumps: u64,
    /// Packets that the attacker put on the link.
    pub injected: u64,
    /// How long it was, by the clock of the world.
    pub duration: Duration,
}

/// What became of a packet that did not come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Bucket {
    /// The link lost it.
    LostByLink,
    /// A NAT did not know whom it was for, and the sender had not heard from where the peer was then.
    NatForgot,
    /// The link flipped a bit of it, and the receiver noticed.
    Corrupted,
    /// It came too late: others had overtaken it by more than the replay window.
    OutsideWindow,
    /// The receiver had no such SA any more: it had been switched off, or had ended it otherwise than by a renewal.
    UnknownSpi,
    /// It waited for an SA in vain, or there was no room to wait, and none came up meanwhile.
    Held,
    /// It waited in a host that was switched off.
    SwitchedOff,
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::LostByLink => "lost by the link",
            Self::NatForgot => "forgotten by the NAT",
            Self::Corrupted => "corrupted by the link",
            Self::OutsideWindow => "outside the window",
            Self::UnknownSpi => "SPI unknown",
            Self::Held => "no SA in time",
            Self::SwitchedOff => "switched off",
        })
    }
}

impl Bucket {
    /// `None` for what came out, and for what cannot be explained.
    fn of(fate: Fate) -> Option<Self> {
        Some(match fate {
            Fate::LostByLink => Self::LostByLink,
            Fate::NatForgot => Self::NatForgot,
            Fate::Corrupted => Self::Corrupted,
            Fate::Dropped(Dropped::Inbound(Discard::Replay)) => Self::OutsideWindow,
            Fate::Dropped(Dropped::Inbound(Discard::UnknownSpi)) => Self::UnknownSpi,
            Fate::Dropped(Dropped::HeldTooLong | Dropped::HoldFull) => Self::Held,
            Fate::Dropped(Dropped::SwitchedOff) => Self::SwitchedOff,
            _ => return None,
        })
    }
}

impl Report {
    /// Adds another leg.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.delivered += other.delivered;
        for (bucket, count) in &other.lost {
            *self.lost.entry(*bucket).or_default() += count;
        }
        self.unexplained += other.unexplained;
        self.twice += other.twice;
        self.clear += other.clear;
        self.renewals.add(other.renewals);
        self.restarts += other.restarts;
        self.rebindings += other.rebindings;
        self.jumps += other.jumps;
        self.injected += other.injected;
        self.duration += other.duration;
    }

    /// How many packets ended so.
    #[must_use]
    pub fn lost_as(&self, bucket: Bucket) -> u64 {
        self.lost.get(&bucket).copied().unwrap_or(0)
    }

    fn account_for(&mut self, world: &World<'_>) {
        for (_, packet) in world.recorder.packets() {
            self.sent += 1;
            self.twice += u64::from(packet.delivered > 1);
            self.clear += u64::from(packet.clear > 0);
            match (packet.fate, Bucket::of(packet.fate)) {
                (Fate::Delivered, _) => self.delivered += 1,
                (_, Some(bucket)) => *self.lost.entry(bucket).or_default() += 1,
                (_, None) => self.unexplained += 1,
            }
        }
        self.renewals = world.renewals;
        self.injected = world.injected;
        self.duration = world.now().since(ike_core::Instant::ZERO);
    }
}

/// A leg that did not end as it should.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which one.
    pub leg: Leg,
    /// What is wrong.
    pub why: String,
    /// The last that happened.
    pub story: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}---- {:?}: {}", self.story, self.leg, self.why)
    }
}

/// The first packets that no bucket takes, a line each.
fn unexplained(world: &World<'_>) -> String {
    let open = |fate| fate != Fate::Delivered && Bucket::of(fate).is_none();
    let packets = world.recorder.packets().filter(|(_, packet)| open(packet.fate)).take(20);
    packets
        .map(|(_, packet)| format!("\n  sent at {} ms: {}", packet.sent.as_millis(), packet.fate))
        .collect()
}

const SECOND: Duration = Duration::from_secs(1);
const LIVES: usize = 8;

impl Leg {
    /// Lives through it.
    ///
    /// # Errors
    ///
    /// What is wrong, and the last that happened.
    pub fn run(&self) -> Result<Report, Box<Failure>> {
        let mut scenario = self.scenario();
        scenario.quiet = true;
        scenario.run(|world| self.live(world)).map_err(|why| {
            // Once more, and this time somebody writes down what happens.
            let story = self.scenario().run(|world| {
                let _ = self.live(world);
                world.story()
            });
            Box::new(Failure { leg: *self, why, story })
        })
    }

    fn scenario(&self) -> Scenario {
        let mut scenario = Scenario::site_to_site()
            .seed(self.seed)
            .children(|child| child.lifetime = Lifetime { seconds: 120, kilobytes: 100 })
            .each(|host| {
                host.peers[0].adjust(|peer| {
                    peer.lifetime = Lifetime { seconds: 150, kilobytes: 0 };
                    // Or a Delete of a child that is lost, or overtaken by that of its IKE SA, would leave the child
                    // without anyone to watch over it.
                    peer.quirks.delete_ike_deletes_children = true;
                    peer.dpd = Some(Dpd {
                        idle: 15 * SECOND,
                        retry: 3 * SECOND,
                        tries: 4,
                        action: DpdAction::Clear,
                    });
                });
            });
        if self.seed % 2 == 1 {
            scenario = scenario.behind_nat();
        }
        scenario.lives = LIVES;
        scenario
    }

    fn live(&self, world: &mut World<'_>) -> Result<Report, String> {
        let mut rng = ChaCha20Rng::seed_from_u64(self.seed ^ 0x5eed);
        world.ping(LEFT, RIGHT);
        world.run_for(5 * SECOND);
        world.link.weather = Weather::FOUL;
        if self.storm == Storm::Everything && !self.seed.is_multiple_of(3) {
            world.attack(Hostile::new(self.seed));
        }
        let mut report = Report::default();
        let end = world.recorder.next_id().0 + self.packets;
        while world.recorder.next_id().0 < end {
            self.round(world, &mut rng, &mut report);
        }
        world.end_attack();
        world.link.weather = Weather::FAIR;
        world.note("the storm is over");
        find_together(world)?;
        everything_ends(world)?;
        report.account_for(world);
        if (report.unexplained, report.twice, report.clear) != (0, 0, 0) {
            return Err(format!(
                "unexplained, twice or in clear: {report:?}{}",
                unexplained(world)
            ));
        }
        Ok(report)
    }

    /// Packets one after the other, or, now and then, something else.
    fn round(&self, world: &mut World<'_>, rng: &mut ChaCha20Rng, report: &mut Report) {
        let mut below = |end: u32| rng.next_u32() % end;
        let host = if below(2) == 0 { LEFT } else { RIGHT };
        let other = if host == LEFT { RIGHT } else { LEFT };
        let everything = self.storm == Storm::Everything;
        match below(400) {
            0..=2 => request(world, host, Request::RekeyChild),
            3 => request(world, host, Request::RekeyIke),
            4..=6 if !world.nats.is_empty() => {
                report.rebindings += 1;
                world.nats.iter_mut().for_each(|nat| nat.rebind());
                world.note("the NAT forgets");
            }
            7 if everything => request(world, host, Request::DeleteChild),
            8 if everything => request(world, host, Request::DeleteIke),
            9..=10 if everything => {
                report.jumps += 1;
                let jump = i64::from(below(40_000)) - 20_000;
                world.note(format!("the clock of {host:?} jumps by {jump} ms"));
                world.host_mut(host).jump_clock(jump);
            }
            11 if everything && report.restarts + 1 < LIVES as u64 => {
                report.restarts += 1;
                world.restart(host);
            }
            12..=13 if everything => {
                let fair = below(2) == 0;
                world.link.weather = if fair { Weather::FAIR } else { Weather::FOUL };
            }
            14..=15 => {
                // So close together that whoever is held back on the way is overtaken by a whole window.
                for _ in 0..200 {
                    world.udp(host, other, 64);
                    world.run_for(Duration::from_millis(1));
                }
            }
            _ => {
                for _ in 0..=below(12) {
                    world.udp(host, other, 16 + below(1_200) as usize);
                    world.run_for(Duration::from_millis(below(20).into()));
                }
            }
        }
        world.run_for(Duration::from_millis(below(900).into()));
    }
}

enum Request {
    RekeyChild,
    RekeyIke,
    DeleteChild,
    DeleteIke,
}

/// What the engine answers does not matter here: at a bad moment it says no.
fn request(world: &mut World<'_>, host: HostId, what: Request) {
    let endpoint = &world.host(host).node.endpoint;
    let child = endpoint.child_sas().next().map(|child| child.handle);
    let ike = endpoint.ike_sas().next().map(|ike| ike.handle);
    world.request(host, |endpoint, cx| {
        let _ = match (what, child, ike) {
            (Request::RekeyChild, Some(child), _) => endpoint.rekey_child(cx, child),
            (Request::DeleteChild, Some(child), _) => endpoint.delete_child(cx, child),
            (Request::RekeyIke, _, Some(ike)) => endpoint.rekey_ike(cx, ike),
            (Request::DeleteIke, _, Some(ike)) => endpoint.delete_ike(cx, ike),
            _ => Ok(()),
        };
    });
}

/// Within the time of dead peer detection the two have found together again.
fn find_together(world: &mut World<'_>) -> Result<(), String> {
    for _ in 0..100 {
        world.udp(LEFT, RIGHT, 64);
        if world.nats.is_empty() {
            world.udp(RIGHT, LEFT, 64);
        }
        world.run_for(SECOND);
    }
    let ping = world.ping(LEFT, RIGHT);
    world.run_for(5 * SECOND);
    match world.fate(ping) {
        Fate::Delivered => Ok(()),
        fate => Err(format!("the storm is over, and a ping is {fate}")),
    }
}

/// Everything is deleted, and every slot is free again.
fn everything_ends(world: &mut World<'_>) -> Result<(), String> {
    for host in [LEFT, RIGHT] {
        let endpoint = &world.host(host).node.endpoint;
        // A child that has lost its IKE SA would see to it that it gets another.
        let children: Vec<_> = endpoint.child_sas().map(|child| child.handle).collect();
        let ikes: Vec<_> = endpoint.ike_sas().map(|ike| ike.handle).collect();
        for child in children {
            let _ = world.request(host, |endpoint, cx| endpoint.delete_child(cx, child));
        }
        for ike in ikes {
            let _ = world.request(host, |endpoint, cx| endpoint.delete_ike(cx, ike));
        }
    }
    world.run_for(600 * SECOND);
    for host in [LEFT, RIGHT] {
        let node = &world.host(host).node;
        let in_use = node.endpoint.in_use();
        let sas = node.processor.inbound_sas().count() + node.processor.outbound_sas().count();
        if !in_use.is_nothing() || sas + node.held() != 0 {
            return Err(format!("{} still has {in_use:?} and {sas} SAs", world.host(host).name));
        }
    }
    Ok(())
}
