//! Renewals that do not go as planned: nothing that is up ends for it, and they are tried again.

use core::time::Duration;

use esp_core::{
    KeyMaterial, Notice, Outbound, OutboundSa, PacketBuf, Policy, Processor, SaParams, Settings,
    SpdEntry, Tables,
};
use examples::host::roomy;
use examples::packet;
use ike_core::config::{ChildId, Dpd, DpdAction, NatTraversal, Phase1Mode};
use ike_core::error::{ApiError, Capacity, Error, Failure};
use ike_core::event::{ChildSaHandle, DownReason, Event, Traffic};

use crate::duo::Who::{A, B};
use crate::duo::{CHILD, Duo, Who, exchange_type};

const AGGRESSIVE: u8 = 4;
const INFORMATIONAL: u8 = 5;
const QUICK_MODE: u8 = 32;

fn renewals(duo: &mut Duo, who: Who) -> usize {
    let renewed = |event: &&Event| matches!(event, Event::ChildSaReady { replaces: Some(_), .. });
    duo.side(who).events.iter().filter(renewed).count()
}

/// No slot is free when the time has come; a little later there is one.
#[test]
fn a_renewal_that_found_no_room_is_tried_again() {
    let mut duo = Duo::sized::<4, 12, 2>(2, |_, _| ());
    for child in [1, 2] {
        duo.create_child(A, ChildId(child)).unwrap();
        duo.run(1_000);
    }
    assert_eq!(duo.children(A), 2);
    // The soft lifetime is over, at 80 to 92 percent of an hour; both tables are full.
    duo.run(3_400_000);
    assert_eq!((renewals(&mut duo, A), renewals(&mut duo, B)), (0, 0));
    let second = duo.a.endpoint.child_sas().nth(1).unwrap().handle;
    duo.call(A, |endpoint, cx| endpoint.delete_child(cx, second)).unwrap();
    duo.run(60_000);
    assert_eq!((renewals(&mut duo, A), renewals(&mut duo, B)), (1, 1));
}

/// The host does not want the new pair. The old one goes on, and is renewed after all.
#[test]
fn a_successor_that_was_rejected_is_not_the_last() {
    let mut duo = Duo::up(|_, _| ());
    let old = duo.child(A);
    duo.call(A, |endpoint, cx| endpoint.rekey_child(cx, old)).unwrap();
    for sent in duo.turn(A) {
        duo.deliver(B, sent).unwrap();
    }
    for sent in duo.turn(B) {
        duo.deliver(A, sent).unwrap();
    }
    let Some(Event::ChildSaReady { child: new, .. }) = duo.a.endpoint.poll_event() else {
        panic!("no new pair");
    };
    duo.call(A, |endpoint, cx| endpoint.reject_child(cx, new)).unwrap();
    // The peer has answered, and nobody waits for us: the Delete is all that there is to say.
    let sent = duo.turn(A);
    assert_eq!(sent.iter().map(exchange_type).collect::<Vec<_>>(), [INFORMATIONAL]);
    for sent in sent {
        duo.deliver(B, sent).unwrap();
    }
    duo.run(60_000);
    duo.call(A, |endpoint, cx| endpoint.rekey_child(cx, old)).unwrap();
    duo.run(1_000);
    assert_eq!(renewals(&mut duo, A), 1);
}

/// The IKE SA that made a pair is gone, another one speaks for it: what the data plane sees still keeps the peer alive, or
/// shows that it is dead.
#[test]
fn traffic_of_an_adopted_pair_is_noted() {
    let second = Duration::from_secs(1);
    let dpd = Dpd { idle: 5 * second, retry: second, tries: 2, action: DpdAction::Clear };
    let mut duo = Duo::up(|_, peer| peer.dpd = Some(dpd));
    let ike = duo.ike(A);
    let child = duo.child(A);
    // A quick mode begins under the old IKE SA and ends there, after the new one has come up.
    duo.a.takes = false;
    duo.call(A, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
    for sent in duo.turn(A) {
        duo.deliver(B, sent).unwrap();
    }
    let held_back = duo.turn(B);
    duo.call(A, |endpoint, cx| endpoint.rekey_ike(cx, ike)).unwrap();
    duo.run(900);
    for sent in held_back {
        let _ = duo.deliver(A, sent);
    }
    duo.a.takes = true;
    duo.run(60_000);
    assert_eq!(duo.a.endpoint.ike_sas().count(), 1);
    assert_ne!(duo.ike(A), ike);
    let child = duo.child(A);
    let seen = Traffic { sent: true, received: false };
    duo.call(A, |endpoint, cx| endpoint.note_traffic(cx, child, seen));
    duo.run_while(duo.now + 30_000, |_, _| false);
    let dead =
        |event: &Event| matches!(event, Event::IkeSaDown { reason: DownReason::PeerDead, .. });
    assert!(duo.a.events.iter().any(dead), "{:?}", duo.a.events);
}

/// The peer begins anew and says nothing of it, as strongSwan does with aggressive mode. Its old IKE SA answers no question
/// and ends; that it is alive the new one has shown, which stays. The child that the peer did not set up again comes up
/// under it.
#[test]
fn a_peer_that_began_anew_is_not_dead() {
    let second = Duration::from_secs(1);
    for action in [DpdAction::Clear, DpdAction::Restart] {
        let change = |_, peer: &mut ike_core::config::PeerConfig<'static>| {
            peer.exchange = Phase1Mode::Aggressive;
            peer.danger_answer_aggressive_psk = true;
            peer.initial_contact = false;
            peer.dpd = Some(Dpd { idle: 2 * second, retry: second, tries: 2, action });
        };
        let mut duo = Duo::sized::<4, 12, 12>(2, change);
        for child in [CHILD, ChildId(2)] {
            duo.create_child(A, child).unwrap();
            duo.run(1_500);
        }
        let old = duo.ike(B);
        let (sent, child) = (Traffic { sent: true, received: false }, duo.child(B));
        duo.call(B, |endpoint, cx| endpoint.note_traffic(cx, child, sent));
        duo.run_while(duo.now + 500, |_, _| false);
        duo.restart_a(2, change);
        duo.create_child(A, CHILD).unwrap();
        duo.run(10_000);
        let down: Vec<_> = duo
            .b
            .events
            .iter()
            .filter_map(|event| match event {
                Event::IkeSaDown { ike, reason, .. } => Some((*ike, *reason)),
                _ => None,
            })
            .collect();
        assert_eq!(down, [(old, DownReason::PeerDead)], "{action:?}");
        assert_eq!(duo.children(A), 2, "{action:?}: {:?}", duo.a.events);
        duo.run(30_000);
        assert_eq!((duo.children(A), duo.children(B)), (2, 2), "{action:?}: {:?}", duo.b.events);

        // Dead at last, it is found out on the new one. Its children are begun anew where that is wanted.
        let child = duo.b.endpoint.child_sas().find(|child| !child.replaced).unwrap().handle;
        duo.call(B, |endpoint, cx| endpoint.note_traffic(cx, child, sent));
        let mut begins = false;
        duo.run_while(duo.now + 10_000, |from, sent| {
            begins |= from == B && exchange_type(sent) == AGGRESSIVE;
            false
        });
        assert_eq!(duo.children(B), 0, "{action:?}: {:?}", duo.b.events);
        assert_eq!(begins, action == DpdAction::Restart);
    }
}

/// Both began at once, so that there are two IKE SAs. A peer that does not answer on the one is asked on the other, without
/// another wait; then it is dead.
#[test]
fn a_peer_with_two_ike_sas_is_asked_on_both() {
    let second = Duration::from_secs(1);
    let dpd = Dpd { idle: 20 * second, retry: second, tries: 2, action: DpdAction::Clear };
    let mut duo = Duo::new(|_, peer| peer.dpd = Some(dpd));
    for who in [A, B] {
        duo.create_child(who, CHILD).unwrap();
    }
    duo.run(1_500);
    assert_eq!(duo.a.endpoint.ike_sas().filter(|ike| ike.established).count(), 2);
    let (sent, child) = (Traffic { sent: true, received: false }, duo.child(A));
    duo.call(A, |endpoint, cx| endpoint.note_traffic(cx, child, sent));
    duo.run_while(duo.now + 23_000, |_, _| false);
    assert!(duo.children(A) > 0);
    duo.run_while(duo.now + 3_000, |_, _| false);
    assert_eq!(duo.children(A), 0, "{:?}", duo.a.events);
}

/// One message of aggressive mode is lost. The first two are asked for again; the third nobody asks for, it goes out again with
/// the quick mode behind it.
#[test]
fn a_lost_message_of_aggressive_mode_heals() {
    for lost in 1..=3 {
        let mut duo = Duo::new(|_, peer| {
            peer.exchange = Phase1Mode::Aggressive;
            peer.danger_answer_aggressive_psk = true;
        });
        duo.create_child(A, CHILD).unwrap();
        let mut sent_so_far = 0;
        duo.run_while(20_000, |_, sent| {
            sent_so_far += u32::from(exchange_type(sent) == AGGRESSIVE);
            !(exchange_type(sent) == AGGRESSIVE && sent_so_far == lost)
        });
        assert_eq!((duo.children(A), duo.children(B)), (1, 1), "{lost}: {:?}", duo.a.events);
    }
}

/// What pads the last message of phase 1 is in the next IV, and in no hash: garbled on its way, it leaves two ends that are
/// both up and do not understand each other. The quick mode without an answer makes the initiator ask, and begin anew.
#[test]
fn garbled_padding_of_phase_1_heals() {
    let second = Duration::from_secs(1);
    let dpd = Dpd { idle: 5 * second, retry: second, tries: 3, action: DpdAction::Clear };
    let mut duo = Duo::new(|_, peer| peer.dpd = Some(dpd));
    duo.create_child(A, CHILD).unwrap();
    for number in 0..6 {
        let from = if number % 2 == 0 { A } else { B };
        for mut sent in duo.turn(from) {
            if number == 5 {
                *sent.1.last_mut().unwrap() ^= 1;
            }
            duo.deliver(from.other(), sent).unwrap();
        }
    }
    assert!(duo.a.endpoint.ike_sas().all(|ike| ike.established));
    for _ in 0..30 {
        duo.run(1_000);
        duo.create_child(A, CHILD).unwrap();
    }
    assert_eq!((duo.children(A), duo.children(B)), (1, 1), "{:?}", duo.a.events);
}

/// Who ends an IKE SA does not want its renewal either.
#[test]
fn deleting_an_ike_sa_cancels_its_renewal() {
    let mut duo = Duo::up(|_, _| ());
    let ike = duo.ike(A);
    duo.call(A, |endpoint, cx| endpoint.rekey_ike(cx, ike)).unwrap();
    let _ = duo.turn(A);
    duo.call(A, |endpoint, cx| endpoint.delete_ike(cx, ike)).unwrap();
    assert_eq!(duo.call(A, |endpoint, cx| endpoint.delete_ike(cx, ike)), Err(ApiError::Stale));
    duo.run(60_000);
    assert_eq!(duo.a.endpoint.ike_sas().count(), 0);
    assert_eq!(duo.b.endpoint.ike_sas().count(), 0);
}

/// The responder never gets the third message: its pair ends, and the initiator is told, who would otherwise send into
/// nothing.
#[test]
fn a_pair_that_one_side_gives_up_ends_at_the_other() {
    let mut duo = Duo::new(|_, _| ());
    duo.create_child(A, CHILD).unwrap();
    let mut quick = 0;
    duo.run_while(120_000, |from, sent| {
        if from == A && exchange_type(sent) == 32 {
            quick += 1;
        }
        !(from == A && exchange_type(sent) == 32 && quick > 1)
    });
    assert_eq!((duo.children(A), duo.children(B)), (0, 0));
}

/// Keepalives, and the old path, are not wanted where there is no NAT.
#[test]
fn no_keepalives_without_a_nat() {
    let mut duo = Duo::up(|_, peer| peer.nat_traversal = NatTraversal::Auto);
    let mut sent = 0;
    duo.run_while(duo.now + 300_000, |_, _| {
        sent += 1;
        true
    });
    assert_eq!(sent, 0);
}

fn copy(of: &SaParams) -> SaParams {
    SaParams { keys: KeyMaterial::from_slice(of.keys.as_slice()).unwrap(), ..*of }
}

/// An outbound SA has used fifteen of sixteen sequence numbers: the data plane tells its host, which asks for a renewal, and traffic
/// goes on under the new SA before the old one is out of numbers (RFC 4303 §3.3.3).
#[test]
fn an_sa_that_runs_out_of_sequence_numbers_is_renewed() {
    let mut duo = Duo::new(|_, _| ());
    let mut tables = Tables::<1, 4, 0>::new();
    let mut processor = Processor::new(&mut tables, Settings::DEFAULT);
    duo.a.takes = false;
    duo.create_child(A, CHILD).unwrap();
    duo.run(1_000);
    let old = duo.child(A);
    duo.a.endpoint.take_inbound(old).unwrap();
    duo.run(1_500);
    let outbound = duo.a.endpoint.take_outbound(old).unwrap();
    let entry = SpdEntry::new(outbound.policy, outbound.selectors, Policy::PROTECT);
    processor.set_policies(&[entry]).unwrap();
    // As exported after so many packets: the number stands behind 24 bytes.
    let mut state = OutboundSa::new(copy(&outbound), &mut duo.a.rng).unwrap().export(0, 1);
    let last = u64::from(u32::MAX) / 16 * 15;
    state[24..32].copy_from_slice(&last.to_be_bytes());
    processor.import_outbound(outbound, &state, 1, &mut duo.a.rng).unwrap();

    let [from, to] = ["10.1.1.5:1000", "10.2.1.5:1000"].map(|text| text.parse().unwrap());
    let seal = |processor: &mut Processor<'_>| {
        let packet = packet::udp(from, to, b"a flow");
        let mut buffer = roomy(&packet);
        let range = PacketBuf::HEADROOM..PacketBuf::HEADROOM + packet.len();
        match processor.outbound(&mut PacketBuf::new(&mut buffer, range).unwrap()) {
            Outbound::Send { owner, .. } => ChildSaHandle::from_owner(owner),
            other => panic!("{other:?}"),
        }
    };
    let mut asked = 0;
    let mut newest = None;
    for _ in 0..40 {
        assert_eq!(seal(&mut processor), newest.unwrap_or(old));
        while let Some(notice) = processor.poll_notice() {
            let Notice::SequenceLow { owner, .. } = notice else { panic!("{notice:?}") };
            assert_eq!(ChildSaHandle::from_owner(owner), old);
            duo.call(A, |endpoint, cx| endpoint.rekey_child(cx, old)).unwrap();
            asked += 1;
        }
        let known = duo.a.events.len();
        duo.run(100);
        for event in duo.a.events.split_off(known) {
            match event {
                Event::ChildSaReady { child, replaces, .. } => {
                    assert_eq!(replaces, Some(old));
                    duo.a.endpoint.take_inbound(child).unwrap();
                }
                Event::ChildSaOutbound { child } => {
                    let params = duo.a.endpoint.take_outbound(child).unwrap();
                    processor.install_outbound(params, &mut duo.a.rng).unwrap();
                    newest = Some(child);
                }
                _ => {}
            }
        }
    }
    assert_eq!(asked, 1);
    assert!(newest.is_some());
    // The old pair lingers for packets in flight, and goes.
    duo.run(60_000);
    assert_eq!((duo.children(A), duo.children(B)), (1, 1));
}

/// An initiator that moves to the new pair at once gives up the old one as any other does.
#[test]
fn a_switch_without_a_wait_retires_the_old_pair() {
    let mut duo = Duo::up(|_, _| ());
    duo.a.config.timing.outbound_switch = Duration::ZERO;
    let old = duo.child(A);
    duo.call(A, |endpoint, cx| endpoint.rekey_child(cx, old)).unwrap();
    duo.run(60_000);
    assert_eq!((duo.children(A), duo.children(B)), (1, 1));
    assert_ne!(duo.child(A), old);
}

/// The peer deletes the old pair before the time has come to send over the new one: that is done at once then.
#[test]
fn a_successor_does_not_wait_for_what_is_gone() {
    let mut duo = Duo::up(|_, _| ());
    duo.a.config.timing.outbound_switch = Duration::from_secs(10);
    let (old, at_b) = (duo.child(A), duo.child(B));
    duo.call(A, |endpoint, cx| endpoint.rekey_child(cx, old)).unwrap();
    duo.run(1_000);
    let usable = |duo: &Duo| {
        let usable = |event: &&Event| matches!(event, Event::ChildSaOutbound { .. });
        duo.a.events.iter().filter(usable).count()
    };
    assert_eq!(usable(&duo), 1);
    duo.call(B, |endpoint, cx| endpoint.delete_child(cx, at_b)).unwrap();
    duo.run(100);
    assert_eq!(usable(&duo), 2);
}

/// Both ends renew a pair, and that which was begun later is up first: the other does not take the traffic back.
#[test]
fn a_pair_that_was_outrun_carries_nothing() {
    let mut duo = Duo::up(|_, _| ());
    let handles = [A, B].map(|who| (who, duo.child(who)));
    let mut slow = vec![];
    for (who, old) in handles {
        duo.call(who, |endpoint, cx| endpoint.rekey_child(cx, old)).unwrap();
        if who == A {
            slow = duo.turn(A);
        }
    }
    // Not long enough for A to ask again.
    duo.run(100);
    assert_eq!(renewals(&mut duo, A), 1);
    duo.deliver(B, slow.remove(0)).unwrap();
    duo.run(3_000);
    assert_eq!(renewals(&mut duo, A), 2);
    let usable = |event: &&Event| matches!(event, Event::ChildSaOutbound { .. });
    assert_eq!(duo.a.events.iter().filter(usable).count(), 2);
}

/// Of two children that are negotiated side by side either may be up first, and takes nothing from the other.
#[test]
fn children_side_by_side_do_not_displace_each_other() {
    for held_back in [0, 1] {
        let mut duo = Duo::sized::<4, 12, 12>(3, |_, _| ());
        duo.create_child(A, CHILD).unwrap();
        duo.run(1_500);
        duo.create_child(A, ChildId(2)).unwrap();
        duo.create_child(A, ChildId(3)).unwrap();
        let mut sent = duo.turn(A);
        assert_eq!(sent.len(), 2);
        let slow = sent.remove(held_back);
        duo.deliver(B, sent.remove(0)).unwrap();
        duo.run(200);
        duo.deliver(B, slow).unwrap();
        duo.run(200);
        for who in [A, B] {
            let usable = |event: &&Event| matches!(event, Event::ChildSaOutbound { .. });
            assert_eq!(duo.side(who).events.iter().filter(usable).count(), 3, "{who:?}");
        }
    }
}

/// All that is lost with a dead peer is negotiated anew; what of it finds no place is reported, not forgotten.
#[test]
fn what_is_not_restarted_is_reported() {
    let mut duo = Duo::sized::<4, 24, 24>(12, |_, peer| peer.dpd = Some(impatient()));
    for child in 1..=12 {
        duo.create_child(A, ChildId(child)).unwrap();
        duo.run(1_000);
    }
    assert_eq!(duo.children(A), 12);
    falls_silent(&mut duo);
    assert_eq!(duo.children(A), 0);
    duo.run(60_000);
    let failed = |event: &&Event| matches!(event, Event::Failed { child: Some(_), .. });
    let failed = duo.a.events.iter().filter(failed).count();
    assert_eq!(duo.children(A) + failed, 12, "{:?}", duo.a.events);
    assert!(duo.children(A) >= 8);
}

/// What finds no place at all is reported with the table that is full: the slot of the IKE SA that has ended is free only when
/// the host has read of it.
#[test]
fn what_is_not_restarted_names_the_full_table() {
    let mut duo = Duo::sized::<1, 8, 8>(1, |_, peer| peer.dpd = Some(impatient()));
    duo.create_child(A, CHILD).unwrap();
    duo.run(1_500);
    falls_silent(&mut duo);
    let full = Failure::Error(Error::Capacity(Capacity::IkeSas));
    let told = |event: &Event| matches!(event, Event::Failed { child: Some(CHILD), reason, .. } if *reason == full);
    assert!(duo.a.events.iter().any(told), "{:?}", duo.a.events);
}

/// A child that the peer has deleted is not among them, although its pair is still there for packets in flight.
#[test]
fn what_the_peer_has_deleted_is_not_restarted() {
    let mut duo = Duo::sized::<4, 12, 12>(2, |_, peer| peer.dpd = Some(impatient()));
    duo.a.config.timing.linger = Duration::from_secs(60);
    for child in [ChildId(2), CHILD] {
        duo.create_child(A, child).unwrap();
        duo.run(1_500);
    }
    let deleted = duo.b.endpoint.child_sas().find(|child| child.config == ChildId(2)).unwrap();
    duo.call(B, |endpoint, cx| endpoint.delete_child(cx, deleted.handle)).unwrap();
    duo.run(500);
    assert_eq!(duo.a.endpoint.child_sas().count(), 2);
    falls_silent(&mut duo);
    assert_eq!(duo.children(A), 0);
    duo.run(60_000);
    let up: Vec<_> = duo.a.endpoint.child_sas().map(|child| child.config).collect();
    assert_eq!(up, [CHILD]);
}

fn impatient() -> Dpd {
    let second = Duration::from_secs(1);
    Dpd { idle: 2 * second, retry: second, tries: 2, action: DpdAction::Restart }
}

/// A sends, and hears nothing for so long that B is dead.
fn falls_silent(duo: &mut Duo) {
    let child = duo.a.endpoint.child_sas().find(|child| !child.replaced).unwrap().handle;
    let seen = Traffic { sent: true, received: false };
    duo.call(A, |endpoint, cx| endpoint.note_traffic(cx, child, seen));
    duo.run_while(duo.now + 10_000, |_, _| false);
}

/// The renewal of an IKE SA finds no answer. It is tried again soon, and not when the lifetime is nearly over.
#[test]
fn a_renewal_of_an_ike_sa_without_an_answer_is_tried_again() {
    let mut duo = Duo::up(|_, _| ());
    let ike = duo.ike(A);
    duo.call(A, |endpoint, cx| endpoint.rekey_ike(cx, ike)).unwrap();
    let replaced = |event: &Event| matches!(event, Event::IkeSaReplaced { .. });
    duo.run_while(duo.now + 60_000, |_, _| false);
    assert!(!duo.a.events.iter().any(replaced));
    duo.run(120_000);
    assert!(duo.a.events.iter().any(replaced), "{:?}", duo.a.events);
}

/// One message of quick mode is lost. Both ends ask again for what they wait for; the third message, which nothing answers,
/// goes out again for a second message that comes again.
#[test]
fn a_lost_message_of_quick_mode_heals() {
    for lost in 1..=3 {
        let mut duo = Duo::new(|_, _| ());
        duo.create_child(A, CHILD).unwrap();
        let mut sent_so_far = 0;
        duo.run_while(60_000, |_, sent| {
            sent_so_far += u32::from(exchange_type(sent) == QUICK_MODE);
            !(exchange_type(sent) == QUICK_MODE && sent_so_far == lost)
        });
        assert_eq!((duo.children(A), duo.children(B)), (1, 1), "{lost}: {:?}", duo.a.events);
    }
}

/// An answer in quick mode shows that the peer is alive as well as any other message: it is not asked.
#[test]
fn who_answers_a_quick_mode_is_not_asked_whether_it_lives() {
    let second = Duration::from_secs(1);
    let dpd = Dpd { idle: 5 * second, retry: second, tries: 2, action: DpdAction::Clear };
    let mut duo = Duo::up(|_, peer| peer.dpd = Some(dpd));
    let child = duo.child(A);
    let seen = Traffic { sent: true, received: false };
    duo.call(A, |endpoint, cx| endpoint.note_traffic(cx, child, seen));
    duo.call(A, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
    let mut asked = false;
    duo.run_while(duo.now + 10_000, |_, sent| {
        asked |= exchange_type(sent) == INFORMATIONAL;
        true
    });
    assert_eq!((renewals(&mut duo, A), asked), (1, false));
}

/// The host had a pair renewed early, and nobody answered: the pair is renewed when its time comes, no sooner.
#[test]
fn a_failed_renewal_changes_no_regular_one() {
    let mut duo = Duo::up(|_, _| ());
    let old = duo.child(A);
    let rekey_at = |duo: &Duo| duo.a.endpoint.child_sas().next().unwrap().rekey_at;
    let regular = rekey_at(&duo);
    assert!(regular.is_some());
    duo.call(A, |endpoint, cx| endpoint.rekey_child(cx, old)).unwrap();
    duo.run_while(duo.now + 120_000, |_, _| false);
    let failed = |event: &Event| matches!(event, Event::Failed { child: Some(CHILD), .. });
    assert!(duo.a.events.iter().any(failed), "{:?}", duo.a.events);
    assert_eq!(rekey_at(&duo), regular);
}

/// Every quick mode is lost, and the peer is heard all the while: it is alive, and its IKE SA stays.
#[test]
fn a_peer_that_answers_no_quick_mode_is_not_dead() {
    let second = Duration::from_secs(1);
    let dpd = Dpd { idle: second, retry: second, tries: 5, action: DpdAction::Clear };
    let mut duo = Duo::up(|_, peer| peer.dpd = Some(dpd));
    let (ike, child) = (duo.ike(A), duo.child(A));
    duo.call(A, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
    let failed = |event: &Event| matches!(event, Event::Failed { .. });
    while !duo.a.events.iter().any(failed) {
        let seen = Traffic { sent: true, received: false };
        duo.call(A, |endpoint, cx| endpoint.note_traffic(cx, child, seen));
        duo.run_while(duo.now + 1_000, |_, sent| exchange_type(sent) != QUICK_MODE);
    }
    assert_eq!(duo.ike(A), ike);
    assert_eq!((duo.children(A), duo.children(B)), (1, 1));
}

/// A host that asks for a renewal while the new pair is up already, and the time to send over it has not come, gets no third.
/// If that pair is gone meanwhile it gets another.
#[test]
fn a_pair_with_a_successor_is_renewed_once() {
    let mut duo = Duo::up(|_, _| ());
    duo.a.config.timing.outbound_switch = Duration::from_secs(10);
    let old = duo.child(A);
    duo.call(A, |endpoint, cx| endpoint.rekey_child(cx, old)).unwrap();
    duo.run(1_000);
    assert_eq!(renewals(&mut duo, A), 1);
    duo.call(A, |endpoint, cx| endpoint.rekey_child(cx, old)).unwrap();
    assert!(duo.turn(A).is_empty());
    let new = duo.a.endpoint.child_sas().find(|child| child.handle != old).unwrap().handle;
    // The host has not read of its end yet.
    duo.call(A, |endpoint, cx| {
        endpoint.delete_child(cx, new).unwrap();
        endpoint.rekey_child(cx, old).unwrap();
    });
    assert!(duo.turn(A).iter().any(|sent| exchange_type(sent) == QUICK_MODE));
}

/// The host takes a minute and more for the inbound SA: the answer waits for that, and does not run out of tries.
#[test]
fn an_answer_that_is_withheld_has_no_timer() {
    let mut duo = Duo::new(|_, _| ());
    duo.b.takes = false;
    duo.create_child(A, CHILD).unwrap();
    duo.run(500);
    let child = duo.child(B);
    duo.run_while(duo.now + 120_000, |_, _| false);
    assert!(duo.turn(B).is_empty());
    duo.b.endpoint.take_inbound(child).unwrap();
    assert_eq!(duo.turn(B).iter().map(exchange_type).collect::<Vec<_>>(), [QUICK_MODE]);
}
