//! Messages that are not what they seem: old ones that come again, our own that come back.

use core::time::Duration;

use ike_core::Path;
use ike_core::config::{ChildId, Dpd, DpdAction, Phase1Mode};
use ike_core::error::{Discard, Failure, PeerMisbehaved};
use ike_core::event::{DownReason, Event, Traffic};
use ike_core::wire::numbers::PayloadType;

use crate::duo::Who::{A, B};
use crate::duo::{CHILD, Duo, PEER, Who, exchange_type};

const INFORMATIONAL: u8 = 5;
const QUICK_MODE: u8 = 32;

fn stranger() -> Path {
    Path { remote: "203.0.113.9:4501".parse().unwrap(), ..A.path() }
}

fn sent_something(duo: &mut Duo, who: Who) {
    let child = duo.child(who);
    let seen = Traffic { sent: true, received: false };
    duo.call(who, |endpoint, cx| endpoint.note_traffic(cx, child, seen));
}

/// HASH(1) does not tell who made it. A question of ours that somebody sends back is no sign of life, it moves nobody,
/// and it gets no answer that could be sent back as well.
#[test]
fn an_echo_of_our_own_question_proves_nothing() {
    let second = Duration::from_secs(1);
    let dpd = Dpd { idle: 10 * second, retry: 2 * second, tries: 3, action: DpdAction::Clear };
    let mut duo = Duo::up(|_, peer| peer.dpd = Some(dpd));
    sent_something(&mut duo, A);
    let mut echoes = 0;
    for _ in 0..30 {
        duo.now += 1_000;
        for (_, mut question) in duo.turn(A) {
            echoes += 1;
            let _ = duo.receive(A, stranger(), &mut question);
            assert_eq!(duo.turn(A), [], "an echo was answered");
        }
        let moved = |event: &Event| matches!(event, Event::PathChanged { .. });
        assert!(!duo.a.events.iter().any(moved));
    }
    assert_eq!(echoes, 3);
    let dead =
        |event: &Event| matches!(event, Event::IkeSaDown { reason: DownReason::PeerDead, .. });
    assert!(duo.a.events.iter().any(dead), "{:?}", duo.a.events);
}

/// An answer that the peer gave once is no sign of life when it comes again: neither before the next question, nor as an
/// answer to it.
#[test]
fn an_old_answer_proves_nothing() {
    let second = Duration::from_secs(1);
    let dpd = Dpd { idle: 10 * second, retry: 2 * second, tries: 3, action: DpdAction::Clear };
    let mut duo = Duo::up(|_, peer| peer.dpd = Some(dpd));
    sent_something(&mut duo, A);
    duo.now += 10_000;
    let question = duo.turn(A).remove(0);
    duo.deliver(B, question).unwrap();
    let answer = duo.turn(B).remove(0);
    duo.deliver(A, answer.clone()).unwrap();
    assert_eq!(duo.turn(A), []);
    // From now on B is silent.
    sent_something(&mut duo, A);
    for _ in 0..30 {
        duo.now += 1_000;
        duo.turn(A);
        let _ = duo.deliver(A, answer.clone());
    }
    let dead =
        |event: &Event| matches!(event, Event::IkeSaDown { reason: DownReason::PeerDead, .. });
    assert!(duo.a.events.iter().any(dead), "{:?}", duo.a.events);
}

/// The peer refused a child once. Its notify, sent again, ends no other quick mode.
#[test]
fn an_old_refusal_does_not_end_another_quick_mode() {
    let mut duo = Duo::sized::<4, 12, 12>(2, |who, peer| {
        if who == B {
            peer.children = &peer.children[..1];
        }
    });
    duo.create_child(A, ChildId(2)).unwrap();
    let mut refusal = None;
    duo.run_while(1_000, |from, sent| {
        if from == B && exchange_type(sent) == INFORMATIONAL {
            refusal = Some(sent.clone());
        }
        true
    });
    let refused =
        |event: &Event| matches!(event, Event::Failed { reason: Failure::PeerRefused(_), .. });
    assert_eq!(duo.a.events.iter().filter(|event| refused(event)).count(), 1);
    duo.create_child(A, CHILD).unwrap();
    let question = duo.turn(A);
    assert_eq!(question.len(), 1);
    duo.deliver(A, refusal.unwrap()).unwrap();
    assert_eq!(duo.turn(A), []);
    for sent in question {
        duo.deliver(B, sent).unwrap();
    }
    duo.run(1_000);
    assert_eq!(duo.children(A), 1);
    assert_eq!(duo.a.events.iter().filter(|event| refused(event)).count(), 1);
}

/// One end begins anew: the other ends what is left of the time before, and nothing that is new. With aggressive mode
/// INITIAL-CONTACT comes by an informational exchange (RFC 2407 §4.6.3), here behind the first quick mode.
#[test]
fn initial_contact_ends_what_was_before_it() {
    for mode in [Phase1Mode::Main, Phase1Mode::Aggressive] {
        let change = |_, peer: &mut ike_core::config::PeerConfig<'static>| {
            peer.exchange = mode;
            peer.danger_answer_aggressive_psk = true;
        };
        let mut duo = Duo::up(change);
        let old = duo.child(B);
        duo.restart_a(1, change);
        duo.create_child(A, CHILD).unwrap();
        duo.run(3_000);
        let ended = duo.b.events.iter().any(|event| {
            matches!(event, Event::ChildSaDown { child, reason: DownReason::InitialContact, .. }
                if *child == old)
        });
        assert!(ended, "{mode:?}: {:?}", duo.b.events);
        assert_eq!((duo.children(A), duo.children(B)), (1, 1), "{mode:?}");
        assert_eq!(duo.b.endpoint.ike_sas().count(), 1);
    }
}

/// A quick mode that the peer begins is answered once, however often its first message comes again.
#[test]
fn an_old_quick_mode_is_not_answered() {
    let mut duo = Duo::new(|_, _| ());
    duo.create_child(A, CHILD).unwrap();
    let mut first = None;
    duo.run_while(60_000, |from, sent| {
        if from == A && exchange_type(sent) == QUICK_MODE && first.is_none() {
            first = Some(sent.clone());
        }
        true
    });
    let pairs = duo.b.endpoint.child_sas().count();
    for _ in 0..3 {
        let (_, mut datagram) = first.clone().unwrap();
        assert!(duo.receive(B, B.path(), &mut datagram).is_err());
        assert_eq!(duo.turn(B), []);
    }
    assert_eq!(duo.b.endpoint.child_sas().count(), pairs);
}

/// It is not said where there is something that it would end.
#[test]
fn initial_contact_is_for_the_first_ike_sa_alone() {
    let mut duo = Duo::new(|_, _| ());
    for _ in 0..2 {
        duo.call(A, |endpoint, cx| endpoint.initiate(cx, PEER, A.path())).unwrap();
        duo.run(1_000);
    }
    assert_eq!(duo.b.endpoint.ike_sas().filter(|ike| ike.established).count(), 2);
}

/// Such as children that their IKE SA has left behind.
#[test]
fn children_that_are_left_need_no_initial_contact() {
    let mut duo = Duo::up(|_, peer| peer.lifetime.seconds = 600);
    // Its renewal is not heard.
    duo.run_while(700_000, |_, _| false);
    assert_eq!((duo.a.endpoint.ike_sas().count(), duo.b.endpoint.ike_sas().count()), (0, 0));
    let old = duo.child(B);
    duo.call(A, |endpoint, cx| endpoint.initiate(cx, PEER, A.path())).unwrap();
    duo.run(2_000);
    assert!(duo.b.endpoint.ike_sas().any(|ike| ike.established));
    let ended = |event: &Event| matches!(event, Event::ChildSaDown { child, .. } if *child == old);
    assert!(!duo.b.events.iter().any(ended), "{:?}", duo.b.events);
}

/// Before there are keys nothing is encrypted, and from then on everything. What says otherwise was garbled on its way, and
/// ends nothing.
#[test]
fn what_says_that_it_is_encrypted_must_be_and_no_other() {
    for (mode, in_clear) in [(Phase1Mode::Main, 4), (Phase1Mode::Aggressive, 2)] {
        let mut duo = by(mode);
        for (number, from) in [A, B, A, B, A].into_iter().take(in_clear + 1).enumerate() {
            let (path, good) = duo.turn(from).remove(0);
            let mut garbled = good.clone();
            garbled[19] ^= 1;
            let wrong = if number < in_clear {
                PeerMisbehaved::Encrypted
            } else {
                PeerMisbehaved::NotEncrypted
            };
            let refused = duo.deliver(from.other(), (path, garbled));
            assert_eq!(refused, Err(Discard::PeerMisbehaved(wrong)), "{mode:?}, {from:?}");
            duo.deliver(from.other(), (path, good)).unwrap();
        }
    }
}

/// Cookie, public value and nonce of an answer are the responder's own, not those that it was sent.
#[test]
fn an_answer_made_of_the_question_is_refused() {
    let range = |message: &[u8], kind: PayloadType| {
        let (mut next, mut at) = (message[16], 28);
        loop {
            let len = usize::from(u16::from_be_bytes([message[at + 2], message[at + 3]]));
            if next == kind.0 {
                return at + 4..at + len;
            }
            (next, at) = (message[at], at + len);
        }
    };
    let mut duo = by(Phase1Mode::Aggressive);
    let (path, first) = duo.turn(A).remove(0);
    duo.deliver(B, (path, first.clone())).unwrap();
    let (path, answer) = duo.turn(B).remove(0);
    for kind in [None, Some(PayloadType::KEY_EXCHANGE), Some(PayloadType::NONCE)] {
        let mut forged = answer.clone();
        match kind {
            Some(kind) => {
                let its = range(&forged, kind);
                forged[its].copy_from_slice(&first[range(&first, kind)]);
            }
            None => forged.copy_within(..8, 8),
        }
        let refused = duo.deliver(A, (path, forged));
        let reflected = Err(Discard::PeerMisbehaved(PeerMisbehaved::Reflected));
        assert_eq!(refused, reflected, "{kind:?}");
    }
    duo.deliver(A, (path, answer)).unwrap();
}

/// A is about to begin.
fn by(mode: Phase1Mode) -> Duo {
    let mut duo = Duo::new(|_, peer| {
        peer.exchange = mode;
        peer.danger_answer_aggressive_psk = true;
    });
    duo.create_child(A, CHILD).unwrap();
    duo
}
