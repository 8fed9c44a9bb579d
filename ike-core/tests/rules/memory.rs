//! A freed slot equals a never-used one, byte for byte, and no key outlives its SA: read from memory itself.

use core::time::Duration;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use ike_core::Work;
use ike_core::config::{
    Authentication, Dpd, DpdAction, Lifetime, Limits, NatTraversal, PeerConfig, PeerId,
    Phase1Cipher, Phase1Mode, Phase1Proposal, PskOracle, RemoteAddress, Secret,
};
use ike_core::event::{Event, Traffic};
use ike_core::wire::numbers::{ExchangeType, GroupDescription, HashAlgorithm, PayloadType};
use ike_core::wire::{CookiePair, Flags, FragmentPayload, Header, MessageWriter, VERSION};

use crate::duo::Who::{A, B};
use crate::duo::{CHILD, Duo, Who};

/// The storage is what it was before anybody used it: zeros, but for padding that nobody ever writes.
fn assert_blank(duo: &mut Duo, who: Who, when: &str) {
    let side = duo.side(who);
    let (bytes, unused) = (side.bytes(), &side.unused);
    assert!(unused.iter().filter(|byte| **byte != 0).count() < 8);
    let left: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at] != unused[*at]).collect();
    assert!(left.is_empty(), "{when}: {who:?} keeps {} bytes, from {}", left.len(), left[0]);
}

fn holds(duo: &mut Duo, who: Who, key: &[u8]) -> bool {
    duo.side(who).bytes().windows(key.len()).any(|window| window == key)
}

fn cipher_key(duo: &mut Duo, who: Who) -> Vec<u8> {
    let ike = duo.ike(who);
    duo.side(who).endpoint.danger_keylog(ike).unwrap().1.to_vec()
}

/// The first piece of a message, whose others do not come.
fn first_piece(cookies: CookiePair) -> Vec<u8> {
    let header = Header {
        cookies,
        next_payload: PayloadType::NONE,
        version: VERSION,
        exchange: ExchangeType::QUICK_MODE,
        flags: Flags::NONE,
        message_id: 0,
        length: 0,
    };
    let mut buffer = [0; 64];
    let mut message = MessageWriter::new(&mut buffer, &header).unwrap();
    FragmentPayload { id: 1, number: 1, last: false, data: &[1; 8] }.emit(&mut message).unwrap();
    message.written().to_vec()
}

type Change = fn(Who, &mut PeerConfig<'static>);

/// Ways to live: what they change of a peer.
fn ways() -> [(&'static str, Change); 5] {
    [
        ("main mode", |_, _| ()),
        ("aggressive mode", |_, peer| {
            peer.exchange = Phase1Mode::Aggressive;
            peer.danger_answer_aggressive_psk = true;
        }),
        ("behind a NAT", |_, peer| peer.nat_traversal = NatTraversal::Force),
        ("with PFS", |_, peer| {
            let mut children = peer.children.to_vec();
            children[0].pfs = Some(GroupDescription::CURVE25519);
            peer.children = children.leak();
        }),
        ("for as long as the kilobytes last", |_, peer| {
            peer.lifetime = Lifetime { seconds: 600, kilobytes: 4 };
        }),
    ]
}

/// A life with everything that can happen in it, but for its end.
fn live(change: Change) -> Duo {
    let second = Duration::from_secs(1);
    let dpd = Dpd { idle: 5 * second, retry: second, tries: 3, action: DpdAction::Clear };
    let mut duo = Duo::up(|who, peer| {
        peer.dpd = Some(dpd);
        change(who, peer);
    });
    for who in [A, B] {
        let child = duo.child(who);
        duo.call(who, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
        duo.run(40_000);
        let child = duo.child(who);
        let seen = Traffic { sent: true, received: false };
        duo.call(who, |endpoint, cx| endpoint.note_traffic(cx, child, seen));
        duo.run(20_000);
        let ike = duo.ike(who);
        duo.call(who, |endpoint, cx| endpoint.rekey_ike(cx, ike)).unwrap();
        duo.run(40_000);
    }
    duo
}

#[test]
fn nothing_is_left_of_an_ended_life() {
    for (way, change) in ways() {
        let mut duo = live(change);
        let used = duo.a.bytes().iter().filter(|byte| **byte != 0).count();
        assert!(used > 300, "{way}: only {used} bytes are in use");
        let ike = duo.ike(A);
        duo.call(A, |endpoint, cx| endpoint.delete_ike(cx, ike)).unwrap();
        duo.run(120_000);
        assert_blank(&mut duo, A, way);
        assert_blank(&mut duo, B, way);
    }
}

/// The responder still answers duplicates of message 5, and needs no private value for it.
#[test]
fn the_private_value_is_gone_with_phase_1() {
    let mut duo = Duo::new(|_, _| ());
    // All that it draws, from the beginning.
    let mut drawn = vec![0; 4096];
    ChaCha20Rng::seed_from_u64(B as u64 + 1).fill_bytes(&mut drawn);
    duo.create_child(A, CHILD).unwrap();
    let mut said = vec![];
    for from in [A, B, A, B, A, B] {
        let sent = duo.turn(from).remove(0);
        said.extend(sent.1.clone());
        // What was drawn and is kept, cookies and nonces apart, which the peer is told.
        let keeps = |duo: &mut Duo| {
            drawn
                .windows(16)
                .step_by(4)
                .any(|part| !said.windows(16).any(|told| told == part) && holds(duo, B, part))
        };
        assert!(from == A || !keeps(&mut duo), "after {} bytes", said.len());
        duo.deliver(from.other(), sent).unwrap();
    }
}

/// The same for exchanges that fail at any place, with messages in fragments.
#[test]
fn nothing_is_left_of_what_failed() {
    for passed in 0..14 {
        let mut duo = Duo::new(|_, peer| peer.remote = RemoteAddress::Any);
        let limits = Limits { datagram: 120, ..Limits::DEFAULT };
        (duo.a.config.limits, duo.b.config.limits) = (limits, limits);
        duo.create_child(A, CHILD).unwrap();
        let mut seen = 0;
        duo.run_while(300_000, |_, _| {
            seen += 1;
            seen <= passed
        });
        for who in [A, B] {
            let all: Vec<_> = duo.side(who).endpoint.ike_sas().map(|ike| ike.handle).collect();
            for ike in all {
                let _ = duo.call(who, |endpoint, cx| endpoint.delete_ike(cx, ike));
            }
        }
        // Children whose IKE SA is gone live for an hour.
        duo.run_while(duo.now + 8_000_000, |_, _| false);
        assert_blank(&mut duo, A, &format!("after {passed} datagrams"));
        assert_blank(&mut duo, B, &format!("after {passed} datagrams"));
    }
}

/// A computation that is given up in the middle leaves neither our private value nor what it has made of it.
#[test]
fn nothing_is_left_of_a_computation_that_is_given_up() {
    const MODP: &[Phase1Proposal] = &[Phase1Proposal {
        cipher: Phase1Cipher::AesCbc(128),
        hash: HashAlgorithm::SHA2_256,
        group: GroupDescription::MODP_2048,
    }];
    let mut duo = Duo::new(|_, peer| peer.proposals = MODP);
    duo.create_child(A, CHILD).unwrap();
    for from in [A, B] {
        let sent = duo.turn(from).remove(0);
        duo.deliver(from.other(), sent).unwrap();
    }
    let work = duo.call(A, |endpoint, cx| endpoint.handle_work(cx, 20));
    assert_eq!(work, Work::More);
    let ike = duo.a.endpoint.ike_sas().next().unwrap().handle;
    duo.call(A, |endpoint, cx| endpoint.delete_ike(cx, ike)).unwrap();
    assert_eq!(duo.turn(A), []);
    assert_blank(&mut duo, A, "given up");
}

/// The keys of a pair whose quick mode fails, although the host has seen it, are gone before the host reads of that.
#[test]
fn keys_of_a_pair_that_fails_are_wiped_at_once() {
    let mut duo = Duo::new(|_, _| ());
    duo.a.takes = false;
    duo.create_child(A, CHILD).unwrap();
    duo.run_while(1_000, |_, _| true);
    // What A receives with is what B would send with; message 3 waits for A's host.
    let child = duo.child(A);
    let inbound = duo.a.endpoint.take_inbound(child).unwrap();
    let keys = inbound.keys.as_slice();
    assert!(holds(&mut duo, B, keys), "the search finds");
    for _ in 0..20 {
        duo.now += 30_000;
        duo.call(B, |endpoint, cx| endpoint.handle_timeout(cx));
    }
    assert_eq!(duo.b.endpoint.in_use().child_sas, 1, "its event is unread");
    assert_eq!(duo.b.endpoint.child_sas().count(), 0);
    assert!(!holds(&mut duo, B, keys));
}

/// Stands in for a secure element.
struct Fixed;

const SKEYID: [u8; 32] = *b"SKEYID, from which all keys come";

impl PskOracle for Fixed {
    fn skeyid(&self, _: PeerId, _: HashAlgorithm, _: &[&[u8]], skeyid: &mut [u8]) -> bool {
        skeyid.copy_from_slice(&SKEYID);
        true
    }
}

/// SKEYID is needed for the hashes of phase 1, and for nothing afterwards.
#[test]
fn skeyid_does_not_outlive_phase_1() {
    for (way, change) in &ways()[..2] {
        let mut duo = Duo::new(|who, peer| {
            change(who, peer);
            peer.authentication = Authentication::PreSharedKey(Secret::Oracle(&Fixed));
        });
        duo.create_child(A, CHILD).unwrap();
        // Between two messages: the initiator of aggressive mode needs it for a moment only.
        let mut found = false;
        duo.run_with(1_500, |duo, _, _| {
            found |= holds(duo, B, &SKEYID);
            true
        });
        assert_eq!((duo.children(A), duo.children(B)), (1, 1), "{way}");
        assert!(found, "{way}: the search finds");
        assert!(!holds(&mut duo, A, &SKEYID) && !holds(&mut duo, B, &SKEYID), "{way}");
    }
}

/// An endpoint that is dropped in the middle of its life leaves nothing either.
#[test]
fn nothing_is_left_of_a_dropped_endpoint() {
    for (way, change) in ways() {
        let mut duo = live(change);
        let ike = duo.ike(A);
        duo.call(A, |endpoint, cx| endpoint.rekey_ike(cx, ike)).unwrap();
        let sa = duo.a.endpoint.ike_sas().next().unwrap();
        let mut piece = first_piece(sa.cookies);
        duo.call(A, |endpoint, cx| endpoint.handle_datagram(cx, sa.path, &mut piece)).unwrap();
        let mut other = Duo::new(change);
        core::mem::swap(&mut duo.a, &mut other.a);
        let (storage, unused) = (other.a.storage, other.a.unused.clone());
        drop(other);
        (duo.a.storage, duo.a.unused) = (storage, unused);
        assert_blank(&mut duo, A, way);
    }
}

/// Keys are in the storage as long as they are needed there, and not a moment longer: those of an IKE SA until it ends,
/// whether the host has read of it or not, those of a child until the host has taken them. A pre-shared key is never.
#[test]
fn keys_are_wiped_when_they_have_done_their_work() {
    for (way, change) in ways() {
        let mut duo = Duo::up(change);
        let key = cipher_key(&mut duo, A);
        assert!(holds(&mut duo, A, &key) && holds(&mut duo, B, &key), "{way}: the search finds");
        for who in [A, B] {
            assert!(!holds(&mut duo, who, b"interop-psk-0123456789"), "{way}");
        }
        duo.b.takes = false;
        let child = duo.child(A);
        duo.call(A, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
        for sent in duo.turn(A) {
            duo.deliver(B, sent).unwrap();
        }
        let _ = duo.turn(B);
        let ready = duo.b.events.iter().rev().find_map(|event| match event {
            Event::ChildSaReady { child, .. } => Some(*child),
            _ => None,
        });
        let before = duo.b.bytes();
        let inbound = duo.b.endpoint.take_inbound(ready.unwrap()).unwrap();
        let keys = inbound.keys.as_slice();
        assert!(before.windows(keys.len()).any(|window| window == keys), "{way}: the search finds");
        assert!(!holds(&mut duo, B, keys), "{way}: an inbound key was kept");
        duo.b.takes = true;
        duo.run(1_000);
        // The end of the IKE SA, its event unread.
        let ike = duo.ike(A);
        duo.call(A, |endpoint, cx| endpoint.delete_ike(cx, ike)).unwrap();
        assert!(!holds(&mut duo, A, &key), "{way}: the key of an ended IKE SA");
        assert!(duo.a.endpoint.poll_event().is_some());
    }
}
