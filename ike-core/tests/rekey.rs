//! Renewal: new SAs are up before the old ones go, so that traffic does not notice.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

use core::time::Duration;

use examples::sim::scenario::PHASE1;
use examples::sim::{Fate, Figures, HostId, LEFT, RIGHT, Scenario, Weather, What, World};
use ike_core::config::{Dpd, DpdAction, Lifetime, Timing};
use ike_core::event::{DownReason, Event};
use ike_core::wire::numbers::GroupDescription;

const SECOND: Duration = Duration::from_secs(1);

/// Both directions, a packet each every `gap`, for so long. The left side brings the tunnel up.
fn chat(world: &mut World<'_>, duration: Duration, gap: Duration, size: usize) -> Figures {
    world.ping(LEFT, RIGHT);
    world.run_until_done(30 * SECOND, |world| {
        let first = world.recorder.packets().next();
        first.is_some_and(|(_, packet)| packet.fate == Fate::Delivered)
    });
    let end = world.now().after(duration);
    while world.now() < end {
        world.udp(LEFT, RIGHT, size);
        world.udp(RIGHT, LEFT, size);
        world.run_for(gap);
    }
    world.run_for(5 * SECOND);
    world.recorder.figures()
}

fn count(world: &World<'_>, host: HostId, wanted: impl Fn(&Event) -> bool) -> usize {
    let events = world.transcript.since(0).filter(|entry| match &entry.what {
        What::Event { host: of, event } => *of == host && wanted(event),
        _ => false,
    });
    events.count()
}

fn renewals(world: &World<'_>, host: HostId) -> usize {
    count(world, host, |event| matches!(event, Event::ChildSaReady { replaces: Some(_), .. }))
}

/// Pairs that went because another had come: at the end that noticed first, and at the one that was told.
fn replaced(world: &World<'_>, host: HostId) -> usize {
    count(world, host, |event| match event {
        Event::ChildSaDown { reason, .. } => {
            assert!(matches!(reason, DownReason::Replaced | DownReason::PeerDeleted), "{reason:?}");
            true
        }
        _ => false,
    })
}

fn assert_unharmed(figures: &Figures) {
    assert_eq!(figures.delivered, figures.sent, "{figures:?}");
    assert_eq!((figures.twice, figures.clear, figures.astray), (0, 0, 0), "{figures:?}");
}

#[test]
fn by_time_without_loss() {
    for pfs in [None, Some(GroupDescription::MODP_2048)] {
        let scenario = Scenario::site_to_site().children(|child| {
            child.pfs = pfs;
            child.lifetime = Lifetime { seconds: 400, kilobytes: 0 };
        });
        scenario.run(|world| {
            world.transcript.set_room(usize::MAX);
            let figures = chat(world, 2_000 * SECOND, Duration::from_millis(500), 64);
            assert_unharmed(&figures);
            for host in [LEFT, RIGHT] {
                // Renewed at 80 to 85 % of 400 s by the end that leads: 2 000 s hold five or six such spans.
                assert!((5..=6).contains(&renewals(world, host)), "{}", renewals(world, host));
                assert!(replaced(world, host) >= 4, "{}", replaced(world, host));
                let pairs = world.host(host).node.endpoint.child_sas().count();
                assert!(pairs <= 2, "{pairs} pairs are left");
            }
        });
    }
}

#[test]
fn by_bytes_without_loss() {
    let scenario = Scenario::site_to_site()
        .children(|child| child.lifetime = Lifetime { seconds: 3_600, kilobytes: 64 });
    scenario.run(|world| {
        world.transcript.set_room(usize::MAX);
        let figures = chat(world, 10 * SECOND, Duration::from_millis(20), 400);
        assert_unharmed(&figures);
        assert!(renewals(world, LEFT) >= 3, "{}", renewals(world, LEFT));
    });
}

/// What the key management loses is sent again; the packets that the link does not lose all come out.
#[test]
fn by_time_on_a_bad_link() {
    for seed in 0..5 {
        let scenario = Scenario::site_to_site()
            .seed(seed)
            .weather(Weather { loss: 10.0, duplicate: 5.0, ..Weather::FAIR })
            .children(|child| child.lifetime = Lifetime { seconds: 120, kilobytes: 0 });
        scenario.run(|world| {
            world.transcript.set_room(usize::MAX);
            let figures = chat(world, 600 * SECOND, Duration::from_millis(250), 64);
            assert_eq!(figures.delivered + figures.lost_by_link, figures.sent, "{figures:?}");
            assert_eq!((figures.twice, figures.clear), (0, 0), "{figures:?}");
            assert!(renewals(world, LEFT) >= 4);
        });
    }
}

#[test]
fn both_ask_for_a_renewal_at_once() {
    Scenario::site_to_site().run(|world| {
        chat(world, SECOND, Duration::from_millis(100), 64);
        for host in [LEFT, RIGHT] {
            let child = world.host(host).node.endpoint.child_sas().next().unwrap().handle;
            world.request(host, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
        }
        let figures = chat(world, 60 * SECOND, Duration::from_millis(100), 64);
        assert_unharmed(&figures);
        // Whatever they made of it, no pair is left over but the one in use.
        world.run_for(60 * SECOND);
        let pairs = |host| {
            world.host(host).node.endpoint.child_sas().filter(|child| !child.replaced).count()
        };
        assert!(
            pairs(LEFT) <= 2 && pairs(LEFT) == pairs(RIGHT),
            "{} {}",
            pairs(LEFT),
            pairs(RIGHT)
        );
    });
}

#[test]
fn the_ike_sa_is_renewed_and_adopts_its_children() {
    let scenario = Scenario::site_to_site().each(|host| {
        host.peers[0].adjust(|peer| peer.lifetime = Lifetime { seconds: 300, kilobytes: 0 });
    });
    scenario.run(|world| {
        world.transcript.set_room(usize::MAX);
        let figures = chat(world, 1_000 * SECOND, Duration::from_millis(500), 64);
        assert_unharmed(&figures);
        let ups = count(world, LEFT, |event| matches!(event, Event::IkeSaUp { .. }));
        assert!((3..=6).contains(&ups), "{ups}");
        for host in [LEFT, RIGHT] {
            // The children belong to the peer: nobody had to negotiate them anew.
            let pairs = count(world, host, |event| matches!(event, Event::ChildSaReady { .. }));
            assert_eq!(pairs, 1);
            assert!(world.host(host).node.endpoint.ike_sas().count() <= 2);
        }
    });
}

#[test]
fn an_expired_child_stops_and_the_next_packet_makes_another() {
    let scenario = Scenario::site_to_site()
        .each(|host| {
            // Nobody renews anything.
            host.timing = Timing {
                rekey_percent: 100,
                rekey_percent_responder: 100,
                rekey_jitter_percent: 0,
                ..Timing::DEFAULT
            };
        })
        .children(|child| child.lifetime = Lifetime { seconds: 60, kilobytes: 0 });
    scenario.run(|world| {
        let first = world.ping(LEFT, RIGHT);
        world.run_for(130 * SECOND);
        assert_eq!(world.fate(first), Fate::Delivered);
        let second = world.ping(LEFT, RIGHT);
        world.run_for(5 * SECOND);
        assert_eq!(world.fate(second), Fate::Delivered);
        assert_eq!(world.recorder.figures().clear, 0);
    });
}

fn with_dpd() -> Scenario {
    Scenario::site_to_site().host(LEFT, |host| {
        host.peers[0].proposals = vec![PHASE1];
        host.peers[0].adjust(|peer| {
            peer.dpd = Some(Dpd {
                idle: 10 * SECOND,
                retry: 2 * SECOND,
                tries: 4,
                action: DpdAction::Clear,
            });
        });
    })
}

/// The left side sends, the right one never answers by itself; but it answers when it is asked whether it lives.
#[test]
fn dead_peer_detection_is_answered() {
    with_dpd().run(|world| {
        world.host_mut(RIGHT).answers = false;
        for _ in 0..60 {
            world.udp(LEFT, RIGHT, 64);
            world.run_for(SECOND);
        }
        assert_unharmed(&world.recorder.figures());
        let questions = world.story().matches("R-U-THERE").count();
        assert!(questions >= 4, "{questions} questions and answers");
        assert_eq!(world.host(LEFT).node.endpoint.ike_sas().count(), 1);
    });
}

#[test]
fn a_dead_peer_is_found_out() {
    with_dpd().run(|world| {
        let ping = world.ping(LEFT, RIGHT);
        world.run_for(SECOND);
        assert_eq!(world.fate(ping), Fate::Delivered);
        world.link.weather.loss = 100.0;
        for _ in 0..60 {
            world.udp(LEFT, RIGHT, 64);
            world.run_for(SECOND);
        }
        let dead = count(world, LEFT, |event| {
            matches!(event, Event::ChildSaDown { reason: DownReason::PeerDead, .. })
        });
        assert_eq!(dead, 1);
        assert_eq!(world.recorder.figures().clear, 0);
    });
}
