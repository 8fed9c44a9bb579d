//! Bad luck that once left a hole: each of these was found by random worlds and has its own test since.

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

use examples::sim::scenario::{CHILD, PEER};
use examples::sim::{Fate, Kind, LEFT, Outcome, Plan, RIGHT, Scenario, What, World};
use ike_core::config::{Dpd, DpdAction, Lifetime};
use ike_core::event::{DownReason, Event};

const SECOND: Duration = Duration::from_secs(1);

fn everything_arrives(world: &World<'_>) {
    let figures = world.recorder.figures();
    assert_eq!(figures.delivered, figures.sent, "{figures:?}");
    assert_eq!((figures.twice, figures.clear), (0, 0));
}

/// Both began at once, so that there are two pairs; the peer deletes the one that carries our traffic. The data plane has
/// given up the other one's outbound SA for it, so a new pair is negotiated, although one is still up.
#[test]
fn the_newer_of_two_pairs_is_deleted() {
    Scenario::site_to_site().run(|world| {
        world.udp(LEFT, RIGHT, 64);
        world.udp(RIGHT, LEFT, 64);
        world.run_for(2 * SECOND);
        let pairs: Vec<_> = world.host(RIGHT).node.endpoint.child_sas().collect();
        assert_eq!(pairs.len(), 2);
        for pair in pairs {
            world.request(RIGHT, |endpoint, cx| endpoint.delete_child(cx, pair.handle)).unwrap();
            world.run_for(3 * SECOND);
            for (from, to) in [(LEFT, RIGHT), (RIGHT, LEFT)] {
                let packet = world.udp(from, to, 64);
                world.run_for(2 * SECOND);
                assert_eq!(world.fate(packet), Fate::Delivered);
            }
        }
    });
}

/// The third message of the first quick mode is lost and sent again only after a renewal is complete: the pair that it
/// finishes is the older one and must not take the traffic back, for it soon goes.
#[test]
fn an_older_quick_mode_ends_after_its_renewal() {
    Scenario::site_to_site().run(|world| {
        let plans = [Plan::Deliver; 8].into_iter().chain([Plan::Drop]);
        world.link.plan(Kind::Ike, plans);
        // No packet passes yet that would stand in for the third message.
        world.create_child(LEFT, PEER, CHILD).unwrap();
        world.run_for(Duration::from_millis(200));
        let child = world.host(LEFT).node.endpoint.child_sas().next().unwrap().handle;
        world.request(LEFT, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
        world.run_for(2 * SECOND);
        for _ in 0..120 {
            world.udp(LEFT, RIGHT, 64);
            world.udp(RIGHT, LEFT, 64);
            world.run_for(SECOND);
        }
        everything_arrives(world);
    });
}

/// The peer's Delete of an IKE SA takes the children with it where that is wanted; but not that of one that was renewed.
#[test]
fn the_delete_of_a_renewed_ike_sa_spares_the_children() {
    let scenario = Scenario::site_to_site().each(|host| {
        host.peers[0].adjust(|peer| peer.quirks.delete_ike_deletes_children = true);
    });
    scenario.run(|world| {
        world.udp(LEFT, RIGHT, 64);
        world.run_for(SECOND);
        let ike = world.host(LEFT).node.endpoint.ike_sas().next().unwrap().handle;
        world.request(LEFT, |endpoint, cx| endpoint.rekey_ike(cx, ike)).unwrap();
        for _ in 0..60 {
            world.udp(LEFT, RIGHT, 64);
            world.udp(RIGHT, LEFT, 64);
            world.run_for(SECOND);
        }
        everything_arrives(world);
        assert_eq!(world.host(RIGHT).node.endpoint.ike_sas().count(), 1);
        let ike = world.host(LEFT).node.endpoint.ike_sas().next().unwrap().handle;
        world.link.plan(Kind::Ike, [Plan::Drop]);
        world.request(LEFT, |endpoint, cx| endpoint.delete_ike(cx, ike)).unwrap();
        world.run_for(SECOND);
        // The Delete of the child was lost, that of the IKE SA was not.
        assert_eq!(world.host(RIGHT).node.endpoint.child_sas().count(), 0);
    });
}

/// Every copy of message 6 is lost: the initiator gives up, the responder is left with an IKE SA that nobody else knows. Its
/// quick mode under it finds no answer; then the SA goes, and the next packet begins with a new one.
#[test]
fn a_responder_alone_with_its_ike_sa_gets_over_it() {
    Scenario::site_to_site().run(|world| {
        world.link.plan(Kind::Ike, [Plan::Deliver; 5].into_iter().chain([Plan::Drop; 40]));
        world.create_child(LEFT, PEER, CHILD).unwrap();
        world.run_for(30 * SECOND);
        assert_eq!(world.host(LEFT).node.endpoint.ike_sas().count(), 0);
        assert_eq!(world.host(RIGHT).node.endpoint.ike_sas().count(), 1);
        world.link.plan(Kind::Ike, []);
        for _ in 0..40 {
            world.udp(RIGHT, LEFT, 64);
            world.run_for(SECOND);
        }
        let packet = world.udp(RIGHT, LEFT, 64);
        world.run_for(SECOND);
        assert_eq!(world.fate(packet), Fate::Delivered);
        assert_eq!(world.recorder.figures().clear, 0);
    });
}

/// The NAT forgets its mapping after the IKE SA was renewed: the old and the new IKE SA both follow the peer, or dead peer
/// detection would ask at a port that nobody answers at.
#[test]
fn a_nat_rebinds_after_a_renewal_of_the_ike_sa() {
    let scenario = Scenario::site_to_site().behind_nat().host(RIGHT, |host| {
        host.peers[0].adjust(|peer| {
            peer.dpd = Some(Dpd {
                idle: 10 * SECOND,
                retry: 2 * SECOND,
                tries: 4,
                action: DpdAction::Clear,
            });
        });
    });
    scenario.run(|world| {
        world.udp(LEFT, RIGHT, 64);
        world.run_for(SECOND);
        // Unanswered: the old IKE SA will want to know.
        world.udp(RIGHT, LEFT, 64);
        let ike = world.host(LEFT).node.endpoint.ike_sas().next().unwrap().handle;
        world.request(LEFT, |endpoint, cx| endpoint.rekey_ike(cx, ike)).unwrap();
        world.run_for(SECOND);
        world.nats[0].rebind();
        world.udp(LEFT, RIGHT, 64);
        world.run_for(SECOND);
        // The left side has nothing to say; the right one has, and wonders whether anybody listens.
        world.host_mut(LEFT).answers = false;
        for _ in 0..60 {
            world.udp(RIGHT, LEFT, 64);
            world.run_for(SECOND);
        }
        let dead = world.transcript.since(0).any(|entry| {
            let What::Event { event, .. } = &entry.what else { return false };
            matches!(event, Event::IkeSaDown { reason: DownReason::PeerDead, .. })
        });
        assert!(!dead);
        everything_arrives(world);
    });
}

/// Message 3 of a renewal is lost for good, and so is what would tell of it. The initiator uses the new pair all the same;
/// its packets prove what message 3 would, so the responder keeps the pair and no packet meets with nothing.
#[test]
fn a_packet_stands_in_for_the_third_message() {
    Scenario::site_to_site().run(|world| {
        world.udp(LEFT, RIGHT, 64);
        world.run_for(5 * SECOND);
        let child = world.host(LEFT).node.endpoint.child_sas().next().unwrap().handle;
        let plans = [Plan::Deliver; 2].into_iter().chain([Plan::Drop; 7]);
        world.link.plan(Kind::Ike, plans);
        world.request(LEFT, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
        for _ in 0..120 {
            world.udp(LEFT, RIGHT, 64);
            world.udp(RIGHT, LEFT, 64);
            world.run_for(SECOND);
        }
        everything_arrives(world);
        let stats = world.host(RIGHT).node.endpoint.stats();
        assert_eq!((stats.failed, stats.child_sas_up), (0, 2));
        assert_eq!(world.host(RIGHT).node.endpoint.in_use().exchanges, 0);
    });
}

/// As before, and somebody on the path has the message and lets it go when the peer's NAT has long moved it: the pair is
/// confirmed, so that it says nothing new, least of all where the peer is.
#[test]
fn a_third_message_that_was_kept_back_moves_nobody() {
    Scenario::site_to_site().behind_nat().run(|world| {
        world.udp(LEFT, RIGHT, 64);
        world.run_for(5 * SECOND);
        let child = world.host(LEFT).node.endpoint.child_sas().next().unwrap().handle;
        let plans = [Plan::Deliver; 2].into_iter().chain([Plan::Drop; 7]);
        world.link.plan(Kind::Ike, plans);
        world.request(LEFT, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
        world.run_for(SECOND);
        let kept = world.transcript.since(0).filter_map(|entry| match &entry.what {
            What::OnLink { from: Some(LEFT), packet, outcome: Outcome::Lost, .. } => Some(packet),
            _ => None,
        });
        let kept = kept.last().unwrap().clone();
        for _ in 0..3 {
            world.udp(LEFT, RIGHT, 64);
            world.run_for(SECOND);
        }
        world.nats[0].rebind();
        world.udp(LEFT, RIGHT, 64);
        world.run_for(SECOND);
        let path =
            |world: &World<'_>| world.host(RIGHT).node.endpoint.ike_sas().next().unwrap().path;
        let (before, waiting) = (path(world), world.host(RIGHT).node.endpoint.in_use().exchanges);
        world.inject(kept);
        world.run_for(SECOND);
        assert_eq!(path(world), before);
        // It was taken for what it is all the same.
        assert_eq!(world.host(RIGHT).node.endpoint.in_use().exchanges, waiting - 1);
    });
}

/// Both renew the IKE SA at once, and the last message of one renewal is lost for good: the left side has two new IKE SAs,
/// the right one knows only one of them. What goes unanswered under the other does not mean that the peer is dead.
#[test]
fn one_of_two_ike_sas_is_unknown_to_the_peer() {
    let scenario = Scenario::site_to_site()
        .children(|child| child.lifetime = Lifetime { seconds: 300, kilobytes: 0 })
        .each(|host| {
            host.peers[0].adjust(|peer| {
                peer.dpd = Some(Dpd {
                    idle: 10 * SECOND,
                    retry: 2 * SECOND,
                    tries: 4,
                    action: DpdAction::Clear,
                });
            });
        });
    scenario.run(|world| {
        world.ping(LEFT, RIGHT);
        world.run_for(40 * SECOND);
        let plans = [(Plan::Deliver, 9), (Plan::Drop, 1), (Plan::Deliver, 2), (Plan::Drop, 5)];
        world.link.plan(
            Kind::Ike,
            plans.into_iter().flat_map(|(plan, times)| core::iter::repeat_n(plan, times)),
        );
        for host in [LEFT, RIGHT] {
            let ike = world.host(host).node.endpoint.ike_sas().next().unwrap().handle;
            world.request(host, |endpoint, cx| endpoint.rekey_ike(cx, ike)).unwrap();
        }
        world.run_for(40 * SECOND);
        let ike_sas = |host| world.host(host).node.endpoint.ike_sas().count();
        assert_eq!((ike_sas(LEFT), ike_sas(RIGHT)), (2, 1));
        for _ in 0..400 {
            world.udp(LEFT, RIGHT, 64);
            world.udp(RIGHT, LEFT, 64);
            world.run_for(SECOND);
        }
        everything_arrives(world);
    });
}
