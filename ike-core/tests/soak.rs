//! Worlds in which everything goes wrong at random: foul weather, restarts, NATs that rebind, clocks that jump, requests
//! at bad moments, an attacker who replays and forges. Nothing ever comes out twice or leaves in the clear, and when the
//! storm is over the two agree again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    clippy::std_instead_of_core,
    reason = "a test fails by panicking, and std is at hand"
)]

use std::time::Duration;

use chacha20::ChaCha20Rng;
use examples::sim::{
    Attacker, Fate, Figures, HostId, Injection, LEFT, RIGHT, Scenario, Verdict, Weather, World,
};
use ike_core::Instant;
use ike_core::config::{Dpd, DpdAction, Lifetime};
use rand_core::{Rng, SeedableRng};

const SECOND: Duration = Duration::from_secs(1);

/// Remembers what passes and sends it again later, some of it changed.
struct Replayer {
    rng: ChaCha20Rng,
    heard: Vec<Vec<u8>>,
}

impl Attacker for Replayer {
    fn sees(&mut self, _: Instant, packet: &[u8], inject: &mut Vec<Injection>) -> Verdict {
        if self.heard.len() < 500 {
            self.heard.push(packet.to_vec());
        } else {
            let at = self.rng.next_u32() as usize % self.heard.len();
            self.heard[at] = packet.to_vec();
        }
        if self.rng.next_u32().is_multiple_of(4) {
            let mut packet = self.heard[self.rng.next_u32() as usize % self.heard.len()].clone();
            if self.rng.next_u32().is_multiple_of(2) {
                let at = self.rng.next_u32() as usize % packet.len();
                packet[at] ^= 1 << (self.rng.next_u32() % 8);
                examples::packet::repair(&mut packet);
            }
            let after = Duration::from_millis(u64::from(self.rng.next_u32() % 2_000));
            inject.push(Injection { after, packet });
        }
        Verdict::Pass
    }
}

fn scenario(seed: u64) -> Scenario {
    let mut scenario = Scenario::site_to_site()
        .seed(seed)
        .children(|child| child.lifetime = Lifetime { seconds: 150, kilobytes: 200 })
        .each(|host| {
            host.peers[0].adjust(|peer| {
                peer.lifetime = Lifetime { seconds: 400, kilobytes: 0 };
                // Or a Delete of a child that is lost, or overtaken by that of its IKE SA, would leave the child without
                // anyone to watch over it.
                peer.quirks.delete_ike_deletes_children = true;
                peer.dpd = Some(Dpd {
                    idle: 15 * SECOND,
                    retry: 3 * SECOND,
                    tries: 4,
                    action: DpdAction::Clear,
                });
            });
        });
    if seed % 2 == 1 {
        scenario = scenario.behind_nat();
    }
    scenario.lives = 8;
    scenario
}

fn storm(world: &mut World<'_>, rng: &mut ChaCha20Rng, rounds: usize) {
    let mut restarts = 7;
    for _ in 0..rounds {
        let host = if rng.next_u32().is_multiple_of(2) { LEFT } else { RIGHT };
        let other = if host == LEFT { RIGHT } else { LEFT };
        match rng.next_u32() % 400 {
            0 if restarts > 0 => {
                restarts -= 1;
                world.restart(host);
            }
            1..=3 => world.nats.iter_mut().for_each(|nat| nat.rebind()),
            4..=5 => {
                let jump = i64::from(rng.next_u32() % 40_000) - 20_000;
                world.note(format!("the clock of {host:?} jumps by {jump} ms"));
                world.host_mut(host).jump_clock(jump);
            }
            6..=8 => request(world, host, |ask| ask.rekey_child = true),
            9 => request(world, host, |ask| ask.delete_child = true),
            10 => request(world, host, |ask| ask.delete_ike = true),
            11..=12 => request(world, host, |ask| ask.rekey_ike = true),
            13..=16 => {
                world.link.weather =
                    if rng.next_u32().is_multiple_of(2) { Weather::FAIR } else { Weather::FOUL };
            }
            _ => {
                world.udp(host, other, 16 + rng.next_u32() as usize % 1_200);
            }
        }
        world.run_for(Duration::from_millis(u64::from(rng.next_u32() % 600)));
    }
}

#[derive(Default)]
struct Ask {
    rekey_child: bool,
    rekey_ike: bool,
    delete_child: bool,
    delete_ike: bool,
}

/// What the engine answers does not matter here: at a bad moment it says no.
fn request(world: &mut World<'_>, host: HostId, choose: impl FnOnce(&mut Ask)) {
    let mut ask = Ask::default();
    choose(&mut ask);
    let endpoint = &world.host(host).node.endpoint;
    let child = endpoint.child_sas().next().map(|child| child.handle);
    let ike = endpoint.ike_sas().next().map(|ike| ike.handle);
    world.request(host, |endpoint, cx| {
        if let Some(child) = child {
            if ask.rekey_child {
                let _ = endpoint.rekey_child(cx, child);
            }
            if ask.delete_child {
                let _ = endpoint.delete_child(cx, child);
            }
        }
        if let Some(ike) = ike {
            if ask.rekey_ike {
                let _ = endpoint.rekey_ike(cx, ike);
            }
            if ask.delete_ike {
                let _ = endpoint.delete_ike(cx, ike);
            }
        }
    });
}

fn weather_the_storm(seed: u64, rounds: usize) -> Figures {
    scenario(seed).run(|world| {
        let mut rng = ChaCha20Rng::seed_from_u64(seed ^ 0x5eed);
        world.link.weather = Weather::FOUL;
        if !seed.is_multiple_of(3) {
            world.attack(Replayer { rng: ChaCha20Rng::seed_from_u64(seed), heard: Vec::new() });
        }
        storm(world, &mut rng, rounds);

        let figures = world.recorder.figures();
        assert_eq!((figures.twice, figures.clear, figures.astray), (0, 0, 0), "{figures:?}");

        // The storm is over. Within the time of dead peer detection the two have found together again.
        world.end_attack();
        world.link.weather = Weather::FAIR;
        world.note("the storm is over");
        for _ in 0..100 {
            world.udp(LEFT, RIGHT, 64);
            if world.nats.is_empty() {
                world.udp(RIGHT, LEFT, 64);
            }
            world.run_for(SECOND);
        }
        let ping = world.ping(LEFT, RIGHT);
        world.run_for(5 * SECOND);
        assert_eq!(world.fate(ping), Fate::Delivered);
        let figures = world.recorder.figures();
        assert_eq!((figures.twice, figures.clear, figures.astray), (0, 0, 0), "{figures:?}");
        assert_eq!(figures.waiting, 0, "{figures:?}");

        // In the end every slot is free again.
        for host in [LEFT, RIGHT] {
            // A child that has lost its IKE SA would otherwise see to it that it gets another.
            let endpoint = &world.host(host).node.endpoint;
            let children: Vec<_> = endpoint.child_sas().map(|child| child.handle).collect();
            let ikes: Vec<_> = endpoint.ike_sas().map(|ike| ike.handle).collect();
            for child in children {
                world.request(host, |endpoint, cx| endpoint.delete_child(cx, child)).unwrap();
            }
            for ike in ikes {
                // A half-open one may have ended with its child.
                let _ = world.request(host, |endpoint, cx| endpoint.delete_ike(cx, ike));
            }
        }
        world.run_for(600 * SECOND);
        for host in [LEFT, RIGHT] {
            let endpoint = &world.host(host).node.endpoint;
            assert_eq!((endpoint.ike_sas().count(), endpoint.child_sas().count()), (0, 0));
        }
        figures
    })
}

/// Renewals at random moments, on a link that loses, doubles and reorders, through a NAT that rebinds: whatever the link
/// delivers comes out, or is too late for the window. (The newest packets of a rebinding NAT may meet the old port.)
#[test]
fn renewals_lose_nothing() {
    for seed in 0..30 {
        scenario(seed).run(|world| {
            let mut rng = ChaCha20Rng::seed_from_u64(seed);
            world.link.weather = Weather::FOUL;
            for _ in 0..1_000 {
                let host = if rng.next_u32().is_multiple_of(2) { LEFT } else { RIGHT };
                let other = if host == LEFT { RIGHT } else { LEFT };
                match rng.next_u32() % 200 {
                    0..=2 => request(world, host, |ask| ask.rekey_child = true),
                    3 => request(world, host, |ask| ask.rekey_ike = true),
                    4..=5 => world.nats.iter_mut().for_each(|nat| nat.rebind()),
                    _ => {
                        world.udp(host, other, 16 + rng.next_u32() as usize % 1_200);
                    }
                }
                world.run_for(Duration::from_millis(u64::from(rng.next_u32() % 600)));
            }
            world.run_for(5 * SECOND);
            let figures = world.recorder.figures();
            let late = figures.reasons.get("Inbound(Replay)").copied().unwrap_or(0);
            assert_eq!(figures.lost, late, "{figures:?}");
            assert_eq!((figures.twice, figures.clear, figures.astray), (0, 0, 0), "{figures:?}");
            assert_eq!(
                figures.delivered + figures.lost_by_link + late,
                figures.sent,
                "{figures:?}"
            );
        });
    }
}

#[test]
fn short_storms() {
    for seed in 0..40 {
        let figures = weather_the_storm(seed, 1_500);
        assert!(figures.delivered > 500, "seed {seed}: {figures:?}");
    }
}
