//! How long IKE SAs live, in seconds and in kilobytes, and how all that hangs on one ends with it.

use core::time::Duration;

use ike_core::config::{ChildId, Dpd, DpdAction, Lifetime, LifetimePolicy, PeerConfig, Phase1Mode};
use ike_core::event::{Event, Traffic};

use crate::duo::Duo;
use crate::duo::Who::{A, B};

/// The responder gives less than the initiator proposed, and says so when the IKE SA is up (RFC 2407 §4.6.3.1).
#[test]
fn the_responder_tells_a_shorter_lifetime() {
    for mode in [Phase1Mode::Main, Phase1Mode::Aggressive] {
        let mut duo = Duo::up(|who, peer: &mut PeerConfig<'static>| {
            peer.exchange = mode;
            peer.danger_answer_aggressive_psk = true;
            if who == B {
                peer.lifetime = Lifetime { seconds: 600, kilobytes: 500 };
                peer.lifetime_policy = LifetimePolicy::Claim;
            }
        });
        for who in [A, B] {
            let ike = duo.side(who).endpoint.ike_sas().next().unwrap();
            assert_eq!(ike.lifetime, Lifetime { seconds: 600, kilobytes: 500 }, "{mode:?}");
            assert!(ike.expires_at.unwrap().as_millis() <= 602_000);
            assert!(ike.rekey_at < ike.expires_at);
        }
    }
}

/// An IKE SA may carry so many bytes, and is renewed before it has.
#[test]
fn kilobytes_renew_an_ike_sa() {
    let second = Duration::from_secs(1);
    let dpd = Dpd { idle: second, retry: second, tries: 5, action: DpdAction::Clear };
    let mut duo = Duo::up(|_, peer| {
        peer.lifetime = Lifetime { seconds: 28_800, kilobytes: 4 };
        peer.dpd = Some(dpd);
    });
    for _ in 0..100 {
        let child = duo.child(A);
        let seen = Traffic { sent: true, received: false };
        duo.call(A, |endpoint, cx| endpoint.note_traffic(cx, child, seen));
        duo.run(2_000);
    }
    let replaced = |event: &&Event| matches!(event, Event::IkeSaReplaced { .. });
    let renewed = duo.a.events.iter().filter(replaced).count();
    assert!((2..=6).contains(&renewed), "{renewed}");
    assert_eq!((duo.children(A), duo.children(B)), (1, 1));
}

/// More children than messages can wait to be sent: the peer learns of the end of each. Of 200 not all Deletes can go twice,
/// as those of 40 do, but each goes once.
#[test]
fn every_child_is_deleted_with_its_ike_sa() {
    every_child_is_deleted(40);
    every_child_is_deleted(200);
}

fn every_child_is_deleted(count: u8) {
    let mut duo = Duo::sized::<4, 24, 256>(count, |_, _| ());
    for child in 1..=count {
        duo.create_child(A, ChildId(child.into())).unwrap();
        duo.run(500);
    }
    // The IKE SA was renewed meanwhile: its message ids are few.
    duo.run(60_000);
    let all = usize::from(count);
    assert_eq!((duo.children(A), duo.children(B)), (all, all));
    let ike = duo.ike(A);
    duo.call(A, |endpoint, cx| endpoint.delete_ike(cx, ike)).unwrap();
    duo.run(5_000);
    assert_eq!(duo.b.endpoint.child_sas().count(), 0);
    assert_eq!(duo.b.endpoint.ike_sas().count(), 0);
    assert!(duo.a.endpoint.stats().replies_lost <= 1);
}

/// The message ids of an IKE SA run out at both ends at the same moment. One end leads: no second new IKE SA is left over.
#[test]
fn one_end_renews_an_ike_sa_without_message_ids() {
    let mut duo = Duo::sized::<4, 24, 128>(60, |_, _| ());
    for child in 1..=60 {
        duo.create_child(A, ChildId(child)).unwrap();
        duo.run(500);
    }
    duo.run(60_000);
    for who in [A, B] {
        let replaced = |event: &&Event| matches!(event, Event::IkeSaReplaced { .. });
        let renewals = duo.side(who).events.iter().filter(replaced).count();
        assert_eq!(renewals, usize::from(who == A), "{who:?}");
        assert_eq!(duo.side(who).endpoint.ike_sas().count(), 1, "{who:?}");
        assert_eq!(duo.children(who), 60);
    }
}

/// A byte limit so small that a share of it is next to nothing still has a soft one above zero.
#[test]
fn a_few_kilobytes_have_a_soft_limit() {
    let mut duo = Duo::new(|_, peer| {
        let mut children = peer.children.to_vec();
        children[0].lifetime = Lifetime { seconds: 3_600, kilobytes: 1 };
        peer.children = children.leak();
    });
    duo.a.takes = false;
    duo.create_child(A, ChildId(1)).unwrap();
    duo.run(1_000);
    let child = duo.child(A);
    let params = duo.a.endpoint.take_inbound(child).unwrap();
    let (soft, hard) = (params.lifetime.soft.bytes, params.lifetime.hard.bytes);
    assert_eq!(hard, 1_024);
    assert!((800..900).contains(&soft), "{soft}");
}
