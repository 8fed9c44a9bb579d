//! A host that asks at the wrong moment, twice, or for what is not there, gets a typed refusal and breaks nothing.

use core::convert::Infallible;
use core::net::SocketAddr;

use chacha20::rand_core::{Rng, TryCryptoRng, TryRng};
use ike_core::config::{ChildId, PeerId};
use ike_core::error::{ApiError, Capacity, Failure};
use ike_core::event::{DownReason, Event, Traffic};
use ike_core::{Context, Endpoint, Path, Work};

use crate::duo::Who::{A, B};
use crate::duo::{CHILD, Duo, PEER, Who, mirror};

/// The slot of a pair is used again: its old handle names nothing any more.
#[test]
fn handles_of_what_is_gone_are_stale() {
    let mut duo = Duo::up(|_, _| ());
    let (child, ike) = (duo.child(A), duo.ike(A));
    duo.call(A, |endpoint, cx| endpoint.delete_ike(cx, ike)).unwrap();
    duo.run(10_000);
    duo.create_child(A, CHILD).unwrap();
    duo.run(10_000);
    let before = (duo.child(A), duo.ike(A));
    assert_ne!(before, (child, ike));
    let (events, path) = (duo.a.events.len(), A.path());
    duo.call(A, |endpoint, cx| {
        assert_eq!(endpoint.rekey_child(cx, child), Err(ApiError::Stale));
        assert_eq!(endpoint.delete_child(cx, child), Err(ApiError::Stale));
        assert_eq!(endpoint.rekey_ike(cx, ike), Err(ApiError::Stale));
        assert_eq!(endpoint.delete_ike(cx, ike), Err(ApiError::Stale));
        assert!(endpoint.take_inbound(child).is_none());
        assert!(endpoint.take_outbound(child).is_none());
        assert_eq!(endpoint.reject_child(cx, child), Err(ApiError::Stale));
        endpoint.note_traffic(cx, child, Traffic { sent: true, received: true });
        endpoint.path_seen(cx, child, path);
    });
    assert_eq!(duo.turn(A), []);
    assert_eq!((before, duo.a.events.len()), ((duo.child(A), duo.ike(A)), events));
}

/// SAs are handed out once, and not before their time.
#[test]
fn keys_are_handed_out_once() {
    let mut duo = Duo::new(|_, _| ());
    duo.a.takes = false;
    duo.create_child(A, CHILD).unwrap();
    duo.run(500);
    let child = duo.child(A);
    assert!(duo.a.endpoint.take_outbound(child).is_none(), "before the third message has left");
    assert!(duo.a.endpoint.take_inbound(child).is_some());
    assert!(duo.a.endpoint.take_inbound(child).is_none());
    duo.run(2_000);
    assert!(duo.a.endpoint.take_outbound(child).is_some());
    assert!(duo.a.endpoint.take_outbound(child).is_none());
    duo.call(A, |endpoint, cx| {
        assert_eq!(endpoint.reject_child(cx, child), Ok(()));
        assert_eq!(endpoint.reject_child(cx, child), Err(ApiError::Stale));
    });
    duo.run(1_000);
    let rejected =
        |event: &&Event| matches!(event, Event::ChildSaDown { reason: DownReason::Rejected, .. });
    assert_eq!(duo.a.events.iter().filter(rejected).count(), 1);
}

/// Peers, children and paths that are not configured.
#[test]
fn what_is_not_configured_is_refused() {
    let mut duo = Duo::new(|_, _| ());
    let path = A.path();
    let elsewhere: SocketAddr = "203.0.113.9:500".parse().unwrap();
    let other_family: SocketAddr = "[2001:db8::2]:500".parse().unwrap();
    duo.call(A, |endpoint, cx| {
        let mut create = |peer, child, path| endpoint.create_child(cx, peer, child, path);
        assert_eq!(create(PeerId(9), CHILD, path), Err(ApiError::NoSuchPeer));
        assert_eq!(create(PEER, ChildId(9), path), Err(ApiError::NoSuchChild));
        for remote in [elsewhere, other_family] {
            assert_eq!(create(PEER, CHILD, Path { remote, ..path }), Err(ApiError::Path));
        }
        assert!(endpoint.take_work(cx).is_none());
        endpoint.handle_timeout(cx);
    });
    assert_eq!(duo.turn(A), []);
    assert_eq!((duo.a.endpoint.ike_sas().count(), duo.b.endpoint.ike_sas().count()), (0, 0));
    assert_eq!(duo.turn(B), []);
}

/// A host that cannot use a pair after all: the peer learns of it, at whatever point, and sends nothing into the void.
#[test]
fn the_peer_of_a_rejected_pair_is_told() {
    for who in [A, B] {
        for taken in [false, true] {
            let mut duo = Duo::new(|_, _| ());
            duo.side(who).takes = false;
            duo.create_child(A, CHILD).unwrap();
            duo.run(1_000);
            let child = duo.child(who);
            if taken {
                assert!(duo.side(who).endpoint.take_inbound(child).is_some());
                duo.run(1_000);
                assert_eq!(duo.children(who.other()), 1);
            }
            duo.call(who, |endpoint, cx| endpoint.reject_child(cx, child)).unwrap();
            duo.run(4_000);
            for side in [A, B] {
                assert_eq!(duo.children(side), 0, "{who:?} rejects, taken: {taken}");
                assert_eq!(duo.side(side).endpoint.child_sas().count(), 0, "{who:?}, {taken}");
            }
            let refused = duo.a.events.iter().any(|event| {
                matches!(event, Event::Failed { reason: Failure::PeerRefused(_), .. })
            });
            assert_eq!(refused, who == B && !taken, "{:?}", duo.a.events);
        }
    }
}

/// A generator of randomness that gives the same byte for ever; after so many draws the test has seen enough.
struct Stuck {
    byte: u8,
    draws: u32,
}

impl TryRng for Stuck {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        self.draws += 1;
        assert!(self.draws < 1_000, "draws for ever");
        bytes.fill(self.byte);
        Ok(())
    }
}

impl TryCryptoRng for Stuck {}

/// Hardware fails: what needs a number that is not in use fails with it, and what is up goes on.
#[test]
fn a_generator_that_is_stuck_stops_nobody() {
    fn stuck<T>(
        duo: &mut Duo,
        who: Who,
        byte: u8,
        call: impl FnOnce(&mut Endpoint<'static>, &mut Context<'_>) -> T,
    ) -> T {
        duo.call(who, |endpoint, cx| {
            let mut rng = Stuck { byte, draws: 0 };
            let (now, config) = (cx.now, cx.config);
            call(endpoint, &mut Context { now, rng: &mut rng, config })
        })
    }
    let refused = Err(ApiError::Capacity(Capacity::Randomness));
    for byte in [0, 1, 0xff] {
        let mut duo = Duo::up(|_, _| ());
        let (mut first, mut sent) = (vec![], vec![]);
        for who in [A, B] {
            let (child, ike) = (duo.child(who), duo.ike(who));
            // What is drawn is good once, unless it is zeros.
            let good = byte != 0;
            let begun = stuck(&mut duo, who, byte, |it, cx| it.initiate(cx, PEER, who.path()));
            assert_eq!(begun.is_ok(), good, "{begun:?}");
            let again = stuck(&mut duo, who, byte, |it, cx| it.initiate(cx, PEER, who.path()));
            assert_eq!(again.map(|_| ()), refused);
            assert_eq!(stuck(&mut duo, who, byte, |it, cx| it.rekey_ike(cx, ike)), refused);
            assert_eq!(
                stuck(&mut duo, who, byte, |it, cx| it.rekey_child(cx, child)).is_ok(),
                good
            );
            first.extend(duo.turn(who));
        }
        // A stranger's beginning, and the peer's: no cookie can be had for an answer.
        let mut other = Duo::new(|_, _| ());
        // With a cookie of its own.
        let _ = other.a.rng.next_u64();
        other.create_child(A, CHILD).unwrap();
        for (path, mut datagram) in other.turn(A) {
            let path = mirror(path);
            let result =
                stuck(&mut duo, B, byte, |it, cx| it.handle_datagram(cx, path, &mut datagram));
            assert!(result.is_err(), "{result:?}");
            while stuck(&mut duo, B, byte, |it, cx| it.handle_work(cx, 64)) == Work::More {}
            sent.extend(duo.turn(B));
        }
        assert!(sent.is_empty());
        assert!(duo.children(A) >= 1 && duo.children(B) >= 1);
    }
}

/// What is printed of an endpoint and of a call names it, and the time, and no more.
#[test]
fn an_endpoint_prints_its_name() {
    let mut duo = Duo::up(|_, _| ());
    duo.call(A, |endpoint, cx| {
        assert!(format!("{endpoint:?}").starts_with("Endpoint"), "{endpoint:?}");
        assert!(format!("{cx:?}").starts_with("Context { now: "), "{cx:?}");
    });
}
