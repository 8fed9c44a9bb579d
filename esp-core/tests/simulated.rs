//! Two data planes with manual keys over a bad link: every packet that the link delivers comes out once, or falls into a
//! bucket that says why, and none is ever seen in clear.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

use core::net::IpAddr;
use core::time::Duration;

use chacha20::ChaCha20Rng;
use esp_core::{
    Addresses, BlockCipher, Discard, DscpSet, Encap, Integrity, KeyMaterial, Lifetime, Limit, Mode,
    Policy, SaParams, SpdEntry, Spi, Transform,
};
use examples::host::Dropped;
use examples::sim::scenario::SITE_TO_SITE;
use examples::sim::{
    Family, Fate, Figures, HostId, Kind, LEFT, Plan, RIGHT, Scenario, Weather, World,
};
use rand_core::SeedableRng;

const TRANSFORMS: [Transform; 3] = [
    Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha1_96),
    Transform::CbcHmac(BlockCipher::Aes256, Integrity::HmacSha256_128),
    Transform::NullHmac(Integrity::HmacSha256_128),
];

/// What both ends agree on.
#[derive(Clone, Copy)]
struct Manual {
    transform: Transform,
    encap: Encap,
    esn: bool,
    lifetime: Lifetime,
}

const MANUAL: Manual = Manual {
    transform: TRANSFORMS[0],
    encap: Encap::None,
    esn: false,
    lifetime: Lifetime::UNLIMITED,
};

const NATT: Encap = Encap::Udp { local_port: 4500, remote_port: 4500 };

impl Manual {
    fn params(
        &self,
        world: &World<'_>,
        own: HostId,
        peer: HostId,
        sender: HostId,
        number: u8,
    ) -> SaParams {
        let spi = 0x1000 + 0x100 * u32::from(number) + sender.0 as u32;
        let seed = number ^ (sender.0 as u8) << 7;
        let keys = vec![seed; self.transform.key_material_len()];
        let network = |host: HostId| subnet(world.host(host).station);
        SaParams {
            spi: Spi::new(spi).unwrap(),
            mode: Mode::Tunnel,
            local: world.host(own).address,
            remote: world.host(peer).address,
            encap: self.encap,
            transform: self.transform,
            keys: KeyMaterial::from_slice(&keys).unwrap(),
            esn: self.esn,
            replay_window: 64,
            lifetime: self.lifetime,
            selectors: esp_core::TrafficSelectors::between(network(own), network(peer)),
            dscp: DscpSet::ALL,
            policy: SITE_TO_SITE,
            owner: u64::from(number),
        }
    }

    /// A pair of SAs between the two hosts, the `number`th.
    fn install(&self, world: &mut World<'_>, number: u8) {
        for (own, peer) in [(LEFT, RIGHT), (RIGHT, LEFT)] {
            let mut rng = ChaCha20Rng::seed_from_u64(u64::from(number));
            let inbound = self.params(world, own, peer, peer, number);
            let outbound = self.params(world, own, peer, own, number);
            let processor = &mut world.host_mut(own).node.processor;
            processor.install_inbound(inbound).unwrap();
            processor.install_outbound(outbound, &mut rng).unwrap();
        }
    }
}

/// NULL protects against change, not against readers: the recorder sees all of it.
fn is_null(transform: Transform) -> bool {
    matches!(transform, Transform::NullHmac(_))
}

/// Two gateways without a key manager: it knows no peers.
fn unmanaged(family: Family) -> Scenario {
    Scenario::site_to_site_over(family).each(|host| host.peers.clear())
}

fn subnet(station: IpAddr) -> Addresses {
    Addresses::Subnet { network: station, prefix: if station.is_ipv4() { 24 } else { 64 } }
}

fn chat(world: &mut World<'_>, rounds: usize) -> Figures {
    for round in 0..rounds {
        world.udp(LEFT, RIGHT, 16 + round % 1300);
        world.udp(RIGHT, LEFT, 16 + (round * 7) % 1300);
        world.run_for(Duration::from_millis(3));
    }
    world.run_for(Duration::from_secs(2));
    world.recorder.figures()
}

#[test]
fn fair_weather_delivers_everything_once() {
    for family in [Family::V4, Family::V6] {
        for transform in TRANSFORMS {
            for encap in [Encap::None, NATT] {
                for esn in [false, true] {
                    unmanaged(family).run(|world| {
                        Manual { transform, encap, esn, ..MANUAL }.install(world, 1);
                        let figures = chat(world, 200);
                        assert_eq!((figures.sent, figures.delivered), (400, 400), "{figures:?}");
                        let readable = if is_null(transform) { figures.sent } else { 0 };
                        assert_eq!(
                            (figures.twice, figures.clear, figures.astray),
                            (0, readable, 0)
                        );
                    });
                }
            }
        }
    }
}

#[test]
fn foul_weather_loses_but_never_doubles_or_reveals() {
    for seed in 0..20 {
        let scenario = unmanaged(Family::V4).seed(seed).weather(Weather::FOUL);
        scenario.run(|world| {
            MANUAL.install(world, 1);
            let figures = chat(world, 500);
            assert_eq!((figures.twice, figures.clear, figures.astray), (0, 0, 0), "{figures:?}");
            assert_eq!(figures.waiting, 0);
            // What neither came out nor was lost by the link is explained: 5 × 40 ms late is more than 64 packets of
            // one every 3 ms.
            let late = figures.reasons.get("Inbound(Replay)").copied().unwrap_or(0);
            assert_eq!(
                figures.delivered + figures.lost_by_link + late,
                figures.sent,
                "{figures:?}"
            );
            assert!(figures.lost_by_link > 0 && figures.delivered > 800, "{figures:?}");
        });
    }
}

#[test]
fn a_duplicate_of_every_packet_is_recognised() {
    unmanaged(Family::V4).run(|world| {
        MANUAL.install(world, 1);
        world.link.plan(Kind::Esp, [Plan::Duplicate; 200]);
        let figures = chat(world, 100);
        assert_eq!((figures.delivered, figures.twice), (200, 0));
        assert_eq!(world.link.planned(), 0);
        for host in [LEFT, RIGHT] {
            let stats = world.host(host).node.processor.stats();
            assert_eq!(stats.discarded(Discard::Replay), 100, "{stats:?}");
        }
    });
}

#[test]
fn without_an_sa_packets_wait_and_never_leave() {
    unmanaged(Family::V4).run(|world| {
        world.host_mut(LEFT).node.processor.set_policies(&[]).unwrap();
        let unknown = world.udp(LEFT, RIGHT, 100);
        let held = world.udp(RIGHT, LEFT, 100);
        world.run_for(Duration::from_secs(1));
        assert_eq!(fate(world, unknown), Fate::Dropped(Dropped::Outbound(Discard::NoPolicy)));
        assert_eq!(fate(world, held), Fate::Held);
        world.run_for(Duration::from_secs(60));
        assert_eq!(fate(world, held), Fate::Dropped(Dropped::HeldTooLong));
        assert_eq!(world.recorder.figures().clear, 0);
    });
}

#[test]
fn clear_traffic_into_a_protected_subnet_is_dropped() {
    unmanaged(Family::V4).run(|world| {
        let everything = esp_core::TrafficSelectors::between(Addresses::Any, Addresses::Any);
        let bypass = SpdEntry::new(SITE_TO_SITE, everything, Policy::Bypass);
        world.host_mut(LEFT).node.processor.set_policies(&[bypass]).unwrap();
        let packet = world.udp(LEFT, RIGHT, 100);
        world.run_for(Duration::from_secs(1));
        assert_eq!(fate(world, packet), Fate::Dropped(Dropped::Inbound(Discard::Unprotected)));
        // The recorder does see clear packets: that the other tests find none means something.
        assert_eq!(world.recorder.figures().clear, 1);
    });
}

#[test]
fn an_expired_sa_stops() {
    let hard = Limit { bytes: u64::MAX, packets: 10 };
    unmanaged(Family::V4).run(|world| {
        Manual { lifetime: Lifetime { soft: hard, hard }, ..MANUAL }.install(world, 1);
        let figures = chat(world, 20);
        assert_eq!((figures.delivered, figures.clear), (20, 0), "{figures:?}");
    });
}

fn fate(world: &World<'_>, packet: examples::sim::PacketId) -> Fate {
    world.recorder.get(packet).unwrap().fate
}
