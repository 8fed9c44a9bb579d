//! Full tables: whose slots go, and what nobody can keep from happening.

use core::net::SocketAddr;
use core::time::Duration;

use ike_core::config::{ChildId, Limits, NatTraversal, PeerConfig, RemoteAddress, Timing};
use ike_core::error::{ApiError, Capacity, Discard, Error, Failure, PeerMisbehaved};
use ike_core::event::{DownReason, Event};
use ike_core::{Path, Work};

use crate::duo::Who::{A, B};
use crate::duo::{CHILD, Duo, Who, mirror};

/// A first message of main mode with a life duration of `padding` bytes more than it needs.
fn first_message(number: u8, padding: u8) -> Vec<u8> {
    let mut attributes = [
        [0x80, 1, 0, 7],
        [0x80, 14, 0, 128],
        [0x80, 2, 0, 4],
        [0x80, 4, 0, 31],
        [0x80, 3, 0, 1],
        [0x80, 11, 0, 1],
    ]
    .concat();
    let duration = 1_200 + usize::from(padding);
    attributes.extend([0, 12]);
    attributes.extend((duration as u16).to_be_bytes());
    attributes.extend(vec![0; duration - 1]);
    attributes.push(200);
    let wrap = |head: &[u8], body: &[u8]| {
        let len = (4 + head.len() + body.len()) as u16;
        [&[0, 0], &len.to_be_bytes()[..], head, body].concat()
    };
    let transform = wrap(&[1, 1, 0, 0], &attributes);
    let proposal = wrap(&[1, 1, 0, 1], &transform);
    let sa = wrap(&[0, 0, 0, 1, 0, 0, 0, 1], &proposal);
    let total = (28 + sa.len()) as u32;
    let mut message = vec![number; 8];
    message.extend([0; 8]);
    message.extend([1, 0x10, 2, 0, 0, 0, 0, 0]);
    message.extend(total.to_be_bytes());
    message.extend(sa);
    message
}

/// A first message in the name of `remote`.
fn forge(duo: &mut Duo, remote: SocketAddr, number: u8, padding: u8) {
    let path = Path { remote, ..B.path() };
    let _ = duo.receive(B, path, &mut first_message(number, padding));
}

fn stranger(number: u8) -> SocketAddr {
    ([198, 51, 100, number], 500).into()
}

fn half_open(duo: &Duo) -> usize {
    duo.b.endpoint.ike_sas().filter(|ike| !ike.established).count()
}

/// An answer that only just fits where it is built, and not where it is kept, leaves nothing behind: every slot that is
/// taken has a deadline.
#[test]
fn no_length_of_a_first_message_leaves_a_slot_behind() {
    let mut taken = 0;
    for padding in 180..=255 {
        let mut duo = Duo::new(|_, _| ());
        forge(&mut duo, A.path().local, 1, padding);
        taken += half_open(&duo);
        let _ = duo.turn(B);
        duo.run(120_000);
        assert_eq!(half_open(&duo), 0, "{padding}");
        assert_eq!(duo.b.endpoint.poll_timeout(), None);
    }
    assert!(taken > 0, "none was taken at all");
}

/// The table is full of first messages; what is up is renewed all the same.
#[test]
fn a_flood_keeps_nothing_from_being_renewed() {
    let open = |_, peer: &mut PeerConfig<'static>| {
        peer.remote = RemoteAddress::Any;
    };
    let mut duo = Duo::sized::<8, 3, 8>(1, open);
    duo.create_child(A, CHILD).unwrap();
    duo.run(60_000);
    for number in 1..=3 {
        forge(&mut duo, stranger(number), number, 0);
    }
    assert_eq!(half_open(&duo), 3);
    let child = duo.child(B);
    duo.call(B, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
    duo.run(1_000);
    let renewed = |event: &Event| matches!(event, Event::ChildSaReady { replaces: Some(_), .. });
    assert!(duo.b.events.iter().any(renewed), "{:?}", duo.b.events);

    let mut duo = Duo::sized::<2, 8, 8>(1, open);
    duo.create_child(A, CHILD).unwrap();
    duo.run(60_000);
    forge(&mut duo, stranger(1), 1, 0);
    assert_eq!(half_open(&duo), 1);
    let ike = duo.ike(B);
    duo.call(B, |endpoint, cx| endpoint.rekey_ike(cx, ike)).unwrap();
    duo.run(5_000);
    assert!(duo.b.events.iter().any(|event| matches!(event, Event::IkeSaReplaced { .. })));
}

/// A first message in the peer's name does not make us wait for its third.
#[test]
fn a_forged_first_message_does_not_hold_our_own_back() {
    let mut duo = Duo::new(|_, _| ());
    forge(&mut duo, A.path().local, 9, 0);
    let _ = duo.turn(B);
    assert_eq!(half_open(&duo), 1);
    duo.create_child(B, CHILD).unwrap();
    duo.run(2_000);
    assert_eq!((duo.children(A), duo.children(B)), (1, 1));
}

/// Nor does it keep us from saying that we begin anew.
#[test]
fn a_forged_first_message_hides_no_initial_contact() {
    let mut duo = Duo::up(|_, _| ());
    let old = duo.child(B);
    duo.restart_a(1, |_, _| ());
    duo.receive(A, A.path(), &mut first_message(9, 0)).unwrap();
    duo.create_child(A, CHILD).unwrap();
    duo.run(3_000);
    let ended = |event: &Event| {
        matches!(event, Event::ChildSaDown { child, reason: DownReason::InitialContact, .. }
            if *child == old)
    };
    assert!(duo.b.events.iter().any(ended), "{:?}", duo.b.events);
}

/// Exchanges that are done and only answer duplicates make way: more children come up at once than may be in negotiation.
#[test]
fn exchanges_that_are_done_hold_nobody_up() {
    for exchanges in [9, 24] {
        let mut duo = if exchanges == 9 {
            Duo::sized::<4, 9, 24>(20, |_, _| ())
        } else {
            Duo::sized::<4, 24, 24>(20, |_, _| ())
        };
        for child in 1..=20 {
            duo.create_child(A, ChildId(child)).unwrap();
            duo.run(1_000);
        }
        assert_eq!((duo.children(A), duo.children(B)), (20, 20), "{exchanges}");
    }
}

/// However small a datagram may be: a message goes in no more pieces than there is room for, and all of them end.
#[test]
fn the_smallest_fragments_arrive() {
    let mut duo = Duo::new(|_, _| ());
    for datagram in [1, 40, 41, 45, 64] {
        let limits = Limits { datagram, ..Limits::DEFAULT };
        (duo.a.config.limits, duo.b.config.limits) = (limits, limits);
        let before = duo.children(A);
        if before == 0 {
            duo.create_child(A, CHILD).unwrap();
        } else {
            let child = duo.child(A);
            duo.call(A, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
        }
        let mut sent = 0;
        duo.run_while(duo.now + 60_000, |_, _| {
            sent += 1;
            assert!(sent < 500, "{datagram}");
            true
        });
        assert_eq!((duo.children(A), duo.children(B)), (1, 1), "{datagram}");
    }
}

/// A message that is as long as a datagram may be goes in one; a byte less room, and it goes in pieces.
#[test]
fn a_message_that_just_fits_is_not_cut() {
    let mut duo = Duo::up(|_, _| ());
    let renewal = |duo: &mut Duo| {
        let child = duo.a.endpoint.child_sas().find(|child| !child.replaced).unwrap().handle;
        duo.call(A, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
        let sent = duo.turn(A);
        let lengths: Vec<_> = sent.iter().map(|(_, datagram)| datagram.len()).collect();
        for sent in sent {
            duo.deliver(B, sent).unwrap();
        }
        duo.run(60_000);
        lengths
    };
    let whole = renewal(&mut duo);
    let datagram = u16::try_from(whole[0]).unwrap();
    duo.a.config.limits = Limits { datagram, ..Limits::DEFAULT };
    assert_eq!(renewal(&mut duo), whole);
    duo.a.config.limits = Limits { datagram: datagram - 1, ..Limits::DEFAULT };
    assert_eq!(renewal(&mut duo).len(), 2);
}

/// Pieces of two messages come in turn. The first message that is whole does not take the other one's pieces with it.
#[test]
fn pieces_of_two_messages_do_not_meet() {
    let mut duo = Duo::new(|_, _| ());
    let limits = Limits { datagram: 120, ..Limits::DEFAULT };
    (duo.a.config.limits, duo.b.config.limits) = (limits, limits);
    for _ in 0..2 {
        duo.call(A, |endpoint, cx| endpoint.initiate(cx, crate::duo::PEER, A.path())).unwrap();
    }
    for from in [A, B, A, B, A, B] {
        let mut sent = duo.turn(from);
        // First pieces, then second ones, and so on.
        sent.sort_by_key(|(_, datagram)| (datagram[16] == 132).then(|| datagram[34]));
        for datagram in sent {
            let _ = duo.deliver(from.other(), datagram);
        }
    }
    for who in [A, B] {
        let up = duo.side(who).endpoint.ike_sas().filter(|ike| ike.established).count();
        assert_eq!(up, 2, "{who:?}");
        assert_eq!(duo.side(who).endpoint.stats().undecryptable, 0);
    }
}

/// A clock set to nothing is a mistake, not a loop.
#[test]
fn timers_of_zero_come_to_an_end() {
    let mut duo = Duo::new(|_, peer| peer.nat_traversal = NatTraversal::Force);
    let timing = Timing {
        keepalive: Duration::ZERO,
        overlap: Duration::ZERO,
        linger: Duration::ZERO,
        outbound_switch: Duration::ZERO,
        ..Timing::DEFAULT
    };
    (duo.a.config.timing, duo.b.config.timing) = (timing, timing);
    duo.create_child(A, CHILD).unwrap();
    duo.run(5_000);
    assert_eq!((duo.children(A), duo.children(B)), (1, 1));
}

/// The host shows no hurry to take an inbound SA: the third message goes out when it has, however late.
#[test]
fn a_message_that_was_withheld_for_long_goes_out() {
    let mut duo = Duo::new(|_, _| ());
    duo.a.takes = false;
    duo.create_child(A, CHILD).unwrap();
    duo.run(20_000);
    let ready = duo.a.events.iter().find_map(|event| match event {
        Event::ChildSaReady { child, .. } => Some(*child),
        _ => None,
    });
    let late = Timing { exchange_timeout: Duration::from_secs(5), ..Timing::DEFAULT };
    duo.a.config.timing = late;
    let _ = duo.a.endpoint.take_inbound(ready.unwrap()).unwrap();
    duo.now += 40_000;
    let sent = duo.turn(A);
    assert_eq!(sent.len(), 1);
    let _ = duo.deliver(B, sent[0].clone());
    assert_eq!(mirror(sent[0].0), B.path());
}

/// Somebody else was to compute, and cannot: the exchange fails, and leaves nothing behind.
#[test]
fn a_job_that_fails_ends_its_exchange() {
    let mut duo = Duo::new(|_, _| ());
    duo.create_child(A, CHILD).unwrap();
    let first = duo.turn(A).remove(0);
    duo.deliver(B, first).unwrap();
    let second = duo.turn(B).remove(0);
    duo.deliver(A, second).unwrap();
    let job = duo.call(A, |endpoint, cx| endpoint.take_work(cx)).unwrap();
    assert_eq!(duo.call(A, |endpoint, cx| endpoint.handle_work(cx, 1)), Work::Idle);
    duo.call(A, |endpoint, cx| endpoint.complete_work(cx, job.fail())).unwrap();
    let _ = duo.turn(A);
    assert_eq!(duo.a.endpoint.ike_sas().count(), 0);
    assert!(matches!(duo.a.events[..], [Event::Failed { .. }, Event::Failed { .. }]));
}

/// A public value that no honest peer sends leads nowhere, and the event says so.
#[test]
fn a_public_value_of_no_use_is_named() {
    let mut duo = Duo::new(|_, _| ());
    duo.create_child(A, CHILD).unwrap();
    for from in [A, B, A] {
        let sent = duo.turn(from).remove(0);
        duo.deliver(from.other(), sent).unwrap();
    }
    let (path, mut fourth) = duo.turn(B).remove(0);
    // Behind the header of the message and that of its first payload, KE.
    fourth[32..64].fill(0);
    let _ = duo.deliver(A, (path, fourth));
    let _ = duo.turn(A);
    let named = duo.a.events.iter().any(|event| {
        let Event::Failed { reason: Failure::Error(error), .. } = event else { return false };
        matches!(error, Error::PeerMisbehaved(PeerMisbehaved::PublicValue(_)))
    });
    assert!(named, "{:?}", duo.a.events);
}

/// Duplicates of a message are answered as it was, a few times, and not before there is an answer.
#[test]
fn a_duplicate_is_answered_twelve_times() {
    let mut duo = Duo::new(|_, _| ());
    duo.create_child(A, CHILD).unwrap();
    let (path, first) = duo.turn(A).remove(0);
    duo.deliver(B, (path, first.clone())).unwrap();
    let second = duo.turn(B).remove(0);
    let mut other = first.clone();
    *other.last_mut().unwrap() ^= 1;
    for (again, answers) in [(first, 1), (other, 0)] {
        assert_eq!(duo.deliver(B, (path, again)), Err(Discard::Duplicate));
        assert_eq!(duo.turn(B).len(), answers, "only the same bytes are the same message");
    }
    duo.deliver(A, second).unwrap();
    let third = duo.turn(A).remove(0);
    for _ in 0..2 {
        let _ = duo.deliver(B, third.clone());
        assert!(duo.b.endpoint.poll_transmit().is_none(), "the answer is not computed yet");
    }
    let fourth = duo.turn(B);
    assert_eq!(fourth.len(), 1);
    let mut answers = 0;
    for _ in 0..20 {
        let _ = duo.deliver(B, third.clone());
        let sent = duo.turn(B);
        assert!(sent.is_empty() || sent == fourth);
        answers += sent.len();
    }
    assert_eq!(answers, 12);
}

/// There is no room for a pair when the peer asks for it. It asks again, and then there is.
#[test]
fn a_quick_mode_that_found_no_room_may_come_again() {
    let mut duo = Duo::narrow_b(2);
    duo.create_child(A, CHILD).unwrap();
    duo.run(1_000);
    let first = duo.child(B);
    duo.create_child(A, ChildId(2)).unwrap();
    for sent in duo.turn(A) {
        assert!(duo.deliver(B, sent).is_err());
    }
    duo.call(B, |endpoint, cx| endpoint.delete_child(cx, first)).unwrap();
    duo.run(10_000);
    assert_eq!((duo.children(A), duo.children(B)), (1, 1), "{:?}", duo.a.events);
    assert_ne!(duo.child(B), first);
}

/// Somebody who cannot hear us sends first messages in the peer's name. They take all the places that one address has, and
/// give them up for the peer's own.
#[test]
fn first_messages_in_the_peers_name_do_not_keep_it_out() {
    // With room for more of them elsewhere.
    let mut duo = Duo::sized::<8, 12, 12>(1, |_, _| ());
    for number in 1..=4 {
        forge(&mut duo, A.path().local, number, 0);
    }
    let _ = duo.turn(B);
    assert_eq!(half_open(&duo), 4);
    forge(&mut duo, A.path().local, 5, 0);
    assert_eq!(duo.b.endpoint.stats().evicted, 0, "within a second nobody gives way");
    duo.now += 1_000;
    duo.create_child(A, CHILD).unwrap();
    duo.run(500);
    assert_eq!((duo.children(A), duo.children(B)), (1, 1));
    assert_eq!((half_open(&duo), duo.b.endpoint.stats().evicted), (3, 1));
}

/// What is up does not count as half open: with one place for its address, a peer renews its IKE SA all the same.
#[test]
fn what_is_up_takes_no_place_of_the_half_open() {
    let mut duo = Duo::new(|_, _| ());
    duo.b.config.limits.half_open_per_source = 1;
    duo.create_child(A, CHILD).unwrap();
    duo.run(1_500);
    let ike = duo.ike(A);
    duo.call(A, |endpoint, cx| endpoint.rekey_ike(cx, ike)).unwrap();
    duo.run(100);
    assert!(duo.a.events.iter().any(|event| matches!(event, Event::IkeSaReplaced { .. })));
}

/// No more are half open than may be, and than there is room for; who is at least a second old gives way.
#[test]
fn strangers_get_as_many_places_as_there_are() {
    let anybody = |_: Who, peer: &mut PeerConfig<'static>| peer.remote = RemoteAddress::Any;
    for (mut duo, limit) in [
        (Duo::sized::<8, 12, 12>(1, anybody), 2),
        (Duo::sized::<2, 12, 12>(1, anybody), 16),
        (Duo::sized::<8, 2, 12>(1, anybody), 16),
    ] {
        duo.b.config.limits.half_open = limit;
        for number in 1..=3 {
            forge(&mut duo, stranger(number), number, 0);
        }
        assert_eq!((half_open(&duo), duo.b.endpoint.stats().evicted), (2, 0));
        duo.now += 1_000;
        forge(&mut duo, stranger(4), 4, 0);
        assert_eq!((half_open(&duo), duo.b.endpoint.stats().evicted), (2, 1));
    }
}

/// Two quick modes have all the places. A third waits: the peer of those is proven.
#[test]
fn a_quick_mode_pushes_no_other_out() {
    let mut duo = Duo::sized::<2, 2, 6>(3, |_, _| ());
    duo.create_child(A, CHILD).unwrap();
    duo.run(60_000);
    let child = duo.child(B);
    for other in [2, 3] {
        duo.create_child(A, ChildId(other)).unwrap();
    }
    for sent in duo.turn(A) {
        duo.deliver(B, sent).unwrap();
    }
    let refused = duo.call(B, |endpoint, cx| endpoint.rekey_child(cx, child));
    assert_eq!(refused, Err(ApiError::Capacity(Capacity::Exchanges)));
    duo.run(10_000);
    assert_eq!((duo.children(A), duo.children(B)), (3, 3));
}

/// A quick mode needs no place of an IKE SA: a full table of those does not make it push a newcomer out.
#[test]
fn a_quick_mode_pushes_no_newcomer_out() {
    let mut duo = Duo::sized::<2, 8, 8>(1, |_, peer| peer.remote = RemoteAddress::Any);
    duo.create_child(A, CHILD).unwrap();
    duo.run(60_000);
    forge(&mut duo, stranger(1), 1, 0);
    assert_eq!(half_open(&duo), 1);
    for who in [A, B] {
        let child = duo.child(who);
        duo.call(who, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
        duo.run(1_000);
    }
    assert_eq!(half_open(&duo), 1);
}

/// A host may ask for what there is no room for as often as it likes: it uses up no message id.
#[test]
fn no_room_uses_up_no_message_id() {
    let mut duo = Duo::sized::<4, 8, 1>(2, |_, _| ());
    duo.create_child(A, CHILD).unwrap();
    duo.run(60_000);
    for _ in 0..100 {
        let refused = duo.create_child(A, ChildId(2));
        assert_eq!(refused, Err(ApiError::Capacity(Capacity::ChildSas)));
    }
    let child = duo.child(A);
    duo.call(A, |endpoint, cx| endpoint.delete_child(cx, child)).unwrap();
    duo.run(5_000);
    duo.create_child(A, ChildId(2)).unwrap();
    duo.run(5_000);
    assert_eq!((duo.children(A), duo.children(B)), (1, 1));
    assert!(!duo.a.events.iter().any(|event| matches!(event, Event::IkeSaReplaced { .. })));
}

/// More quick modes at once than one IKE SA may have: the peer asks again, with the same message, and gets its turn.
#[test]
fn quick_modes_beyond_the_limit_get_their_turn() {
    let mut duo = Duo::sized::<4, 12, 12>(4, |_, _| ());
    duo.b.config.limits.exchanges_per_ike_sa = 2;
    duo.create_child(A, CHILD).unwrap();
    duo.run(40_000);
    for child in 2..=4 {
        duo.create_child(A, ChildId(child)).unwrap();
    }
    duo.run(10_000);
    assert_eq!((duo.children(A), duo.children(B)), (4, 4), "{:?}", duo.a.events);
}

/// Of one IKE SA's places its own quick modes give way, and not phase 1, whose last message may be lost: it is said again.
#[test]
fn a_quick_mode_takes_no_place_of_phase_1() {
    let mut duo = Duo::sized::<4, 12, 12>(2, |_, _| ());
    duo.b.config.limits.exchanges_per_ike_sa = 1;
    duo.call(A, |endpoint, cx| endpoint.initiate(cx, crate::duo::PEER, A.path())).unwrap();
    let mut fifth = None;
    duo.run_while(1_500, |from, sent| {
        if from == A {
            fifth = Some(sent.clone());
        }
        true
    });
    for child in [CHILD, ChildId(2)] {
        duo.create_child(B, child).unwrap();
        duo.run(1_500);
    }
    assert_eq!((duo.children(A), duo.children(B)), (2, 2));
    assert_eq!(duo.deliver(B, fifth.unwrap()), Err(Discard::Duplicate));
    assert_eq!(duo.turn(B).len(), 1);
}

/// The host is told which table is full.
#[test]
fn a_full_table_is_named() {
    let initiate = |duo: &mut Duo| {
        duo.call(A, |endpoint, cx| endpoint.initiate(cx, crate::duo::PEER, A.path()).map(|_| ()))
    };
    let mut duo = Duo::sized::<1, 4, 4>(1, |_, _| ());
    assert_eq!(initiate(&mut duo), Ok(()));
    assert_eq!(initiate(&mut duo), Err(ApiError::Capacity(Capacity::IkeSas)));
    let mut duo = Duo::sized::<4, 1, 4>(1, |_, _| ());
    assert_eq!(initiate(&mut duo), Ok(()));
    assert_eq!(initiate(&mut duo), Err(ApiError::Capacity(Capacity::Exchanges)));
}

/// More timers at one moment than there are places for what they send: the host comes back for the rest.
#[test]
fn timers_at_one_moment_lose_nothing() {
    let mut duo = Duo::sized::<24, 24, 4>(1, |_, peer| {
        peer.nat_traversal = NatTraversal::Force;
    });
    duo.b.config.limits.half_open_per_source = 12;
    for _ in 0..12 {
        duo.call(A, |endpoint, cx| endpoint.initiate(cx, crate::duo::PEER, A.path())).unwrap();
    }
    duo.run(1_000);
    let up = duo.a.endpoint.ike_sas().filter(|ike| ike.established).count();
    assert_eq!(up, 12);
    let mut keepalives = 0;
    duo.run_while(21_000, |from, (_, datagram)| {
        keepalives += usize::from(from == A && datagram.len() == 1);
        true
    });
    assert_eq!((keepalives, duo.a.endpoint.stats().replies_lost), (12, 0));
}

/// First messages of nobody we know are reported, but not at the cost of what became of our own request.
#[test]
fn strangers_do_not_displace_what_the_host_waits_for() {
    let mut duo = Duo::new(|_, _| ());
    duo.create_child(A, CHILD).unwrap();
    duo.run_while(25_000, |_, _| false);
    duo.now = 60_000;
    duo.call(A, |endpoint, cx| endpoint.handle_timeout(cx));
    for number in 1..=20 {
        let path = Path { remote: stranger(number), ..A.path() };
        let _ = duo.receive(A, path, &mut first_message(number, 0));
    }
    let _ = duo.turn(A);
    let own = |event: &&Event| matches!(event, Event::Failed { child: Some(CHILD), .. });
    assert_eq!(duo.a.events.iter().filter(own).count(), 1, "{:?}", duo.a.events);
    assert!(duo.a.endpoint.stats().events_lost > 0);
}
