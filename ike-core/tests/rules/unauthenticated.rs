//! From the moment SKEYID exists, a datagram that fails authentication changes nothing: no deadline, and not a byte of the
//! storage, where also stands what is to be sent and told. Before it, nothing from another address does.

use core::time::Duration;

use ike_core::Path;
use ike_core::config::{Dpd, DpdAction, NatTraversal, PeerConfig, Phase1Mode};
use ike_core::error::Discard;
use ike_core::event::Traffic;
use ike_core::wire::numbers::GroupDescription;

use crate::duo::Who::{A, B};
use crate::duo::{CHILD, Duo, Sent, Who, exchange_type, mirror};

/// Exchanges before there is a key: what arrives there from the right address may be what is awaited.
const MAIN_MODE: u8 = 2;
const AGGRESSIVE: u8 = 4;

/// Everything of an endpoint that is not a counter.
#[derive(PartialEq, Eq)]
struct Whole {
    bytes: Vec<u8>,
    timeout: Option<ike_core::Instant>,
}

fn whole(duo: &mut Duo, who: Who) -> Whole {
    let side = duo.side(who);
    Whole { bytes: side.bytes(), timeout: side.endpoint.poll_timeout() }
}

struct Attacker {
    /// Datagrams seen on the link, and who sent them.
    seen: Vec<(Who, Sent)>,
    /// By number in phase 1: how many messages of the one under way have been delivered.
    phase1: usize,
    forged: usize,
    random: u64,
}

impl Attacker {
    fn new() -> Self {
        Self { seen: vec![], phase1: 0, forged: 0, random: 1 }
    }

    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        self.random >> 33
    }

    /// Hands a datagram over and checks that nothing comes of it.
    fn try_one(&mut self, duo: &mut Duo, to: Who, path: Path, datagram: &[u8], before: &Whole) {
        self.forged += 1;
        let result = duo.receive(to, path, &mut datagram.to_vec());
        let told = format!("{to:?}, over {path:?}: {result:?} for {datagram:02x?}");
        assert!(result.is_err(), "it was taken: {told}");
        if result == Err(Discard::Duplicate) {
            // Its answer may go out again, which is no news to anybody.
            return self.let_answer_out(duo, to);
        }
        let after = whole(duo, to);
        let changed = (0..after.bytes.len()).find(|at| after.bytes[*at] != before.bytes[*at]);
        assert_eq!(changed, None, "a byte of the storage: {told}");
        assert!(after.timeout == before.timeout, "a deadline: {told}");
    }

    fn let_answer_out(&self, duo: &mut Duo, to: Who) {
        while duo.side(to).endpoint.poll_transmit().is_some() {}
    }

    /// Before `sent` is delivered: variants of it, from where it comes and from elsewhere, and whatever was on the link
    /// before, from elsewhere.
    fn before(&mut self, duo: &mut Duo, from: Who, sent: &Sent) {
        let to = from.other();
        let (path, datagram) = (mirror(sent.0), &sent.1);
        let before = whole(duo, to);
        let elsewhere = Path { remote: "203.0.113.7:500".parse().unwrap(), ..path };
        let phase1 = [MAIN_MODE, AGGRESSIVE].contains(&exchange_type(sent));
        let first = phase1 && self.phase1 == 0;
        let head = if path.encap { 4 } else { 0 };
        if !first && phase1 {
            self.try_one(duo, to, elsewhere, datagram, &before);
        }
        // Main mode is authenticated from message 5 on, aggressive mode with message 3 (as initiator, with 2, but only
        // after the computation).
        let keyed = match exchange_type(sent) {
            MAIN_MODE => self.phase1 >= 4,
            AGGRESSIVE => self.phase1 >= 2,
            _ => true,
        };
        self.phase1 = if phase1 { self.phase1 + 1 } else { 0 };
        if keyed && datagram.len() > head + 28 {
            self.variants(duo, to, path, head, datagram, &before);
        }
        for (who, (old_path, old)) in self.seen.clone() {
            if who == from
                && old_path.encap == path.encap
                && exchange_type(&(old_path, old.clone())) != 5
            {
                let first = old.get(head + 8..head + 16) == Some(&[0; 8]);
                if !first && old.len() > head + 28 {
                    let before = whole(duo, to);
                    self.replay(duo, to, elsewhere, &old, &before);
                }
            }
        }
        self.seen.push((from, sent.clone()));
    }

    /// An old datagram, which may be authentic and yet must do nothing.
    fn replay(&mut self, duo: &mut Duo, to: Who, path: Path, datagram: &[u8], before: &Whole) {
        self.forged += 1;
        let result = duo.receive(to, path, &mut datagram.to_vec());
        assert!(result.is_err(), "an old message was taken: {datagram:02x?}");
        if result == Err(Discard::Duplicate) {
            return self.let_answer_out(duo, to);
        }
        assert!(
            whole(duo, to) == *before,
            "{result:?}: an old message did something: {datagram:02x?}"
        );
    }

    fn variants(
        &mut self,
        duo: &mut Duo,
        to: Who,
        path: Path,
        head: usize,
        datagram: &[u8],
        before: &Whole,
    ) {
        let with_len = |mut datagram: Vec<u8>| {
            let len = (datagram.len() - head) as u32;
            datagram[head + 24..head + 28].copy_from_slice(&len.to_be_bytes());
            datagram
        };
        for at in head..datagram.len() {
            // Minor version and flags mean nothing but for one bit. The last block may be padding, which is in no hash;
            // the one before it flips bits there.
            if [17, 19].contains(&(at - head)) || at + 32 >= datagram.len() {
                continue;
            }
            let mut changed = datagram.to_vec();
            changed[at] ^= 1 << (self.random() % 8);
            self.try_one(duo, to, path, &changed, before);
        }
        let mut unencrypted = datagram.to_vec();
        unencrypted[head + 19] &= !1;
        if exchange_type(&(mirror(path), unencrypted.clone())) != 5 {
            self.try_one(duo, to, path, &unencrypted, before);
        }
        for len in (head + 28..datagram.len() - 16).step_by(4) {
            self.try_one(duo, to, path, &with_len(datagram[..len].to_vec()), before);
        }
        for (one, other) in [(0, 1), (1, 2), (0, 2)] {
            let block = |number: usize| head + 28 + 16 * number..head + 44 + 16 * number;
            if block(one.max(other)).end <= datagram.len() && block(one) != block(other) {
                let mut swapped = datagram.to_vec();
                let kept = swapped[block(one)].to_vec();
                swapped.copy_within(block(other), block(one).start);
                swapped[block(other)].copy_from_slice(&kept);
                self.try_one(duo, to, path, &swapped, before);
            }
        }
        for _ in 0..4 {
            let mut noise = datagram.to_vec();
            for byte in &mut noise[head + 28..] {
                *byte = self.random() as u8;
            }
            self.try_one(duo, to, path, &noise, before);
        }
    }
}

/// A life with every exchange there is, each datagram of which an attacker sees first.
fn under_attack(change: fn(Who, &mut PeerConfig<'static>)) -> usize {
    let second = Duration::from_secs(1);
    let dpd = Dpd { idle: 5 * second, retry: second, tries: 3, action: DpdAction::Clear };
    let mut attacker = Attacker::new();
    let mut duo = Duo::new(|who, peer| {
        peer.dpd = Some(dpd);
        // HASH_I and HASH_R cover identities, not what stands behind them.
        peer.initial_contact = false;
        change(who, peer);
    });
    let mut run = |duo: &mut Duo, millis| {
        duo.run_with(duo.now + millis, |duo, from, sent| {
            attacker.before(duo, from, sent);
            true
        });
    };
    duo.create_child(A, CHILD).unwrap();
    run(&mut duo, 2_000);
    assert_eq!((duo.children(A), duo.children(B)), (1, 1), "{:?}", duo.a.events);
    for who in [B, A] {
        let child = duo.child(who);
        duo.call(who, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
        run(&mut duo, 40_000);
        let child = duo.child(who);
        let seen = Traffic { sent: true, received: false };
        duo.call(who, |endpoint, cx| endpoint.note_traffic(cx, child, seen));
        run(&mut duo, 20_000);
        assert_eq!((duo.children(A), duo.children(B)), (1, 1), "{:?}", duo.a.events);
    }
    let ike = duo.ike(B);
    duo.call(B, |endpoint, cx| endpoint.rekey_ike(cx, ike)).unwrap();
    run(&mut duo, 40_000);
    let child = duo.child(B);
    duo.call(B, |endpoint, cx| endpoint.delete_child(cx, child)).unwrap();
    run(&mut duo, 5_000);
    assert_eq!((duo.children(A), duo.children(B)), (0, 0));
    let ike = duo.ike(A);
    duo.call(A, |endpoint, cx| endpoint.delete_ike(cx, ike)).unwrap();
    run(&mut duo, 5_000);
    assert_eq!((duo.a.endpoint.ike_sas().count(), duo.b.endpoint.ike_sas().count()), (0, 0));
    attacker.forged
}

#[test]
fn nothing_unauthenticated_changes_a_byte() {
    let ways: [fn(Who, &mut PeerConfig<'static>); 4] = [
        |_, _| (),
        |_, peer| {
            peer.exchange = Phase1Mode::Aggressive;
            peer.danger_answer_aggressive_psk = true;
            peer.nat_traversal = NatTraversal::Off;
        },
        |_, peer| peer.nat_traversal = NatTraversal::Force,
        |_, peer| {
            let mut children = peer.children.to_vec();
            children[0].pfs = Some(GroupDescription::CURVE25519);
            peer.children = children.leak();
        },
    ];
    for way in ways {
        let forged = under_attack(way);
        assert!(forged > 2_000, "{forged}");
    }
}

/// The padding of a message is in no hash, and its last block is the next IV. Somebody who is faster appends a block, or
/// several, to a copy of each message: every exchange comes to its end all the same, and nothing has to be sent again.
#[test]
fn a_block_appended_by_somebody_faster_ends_nothing() {
    for blocks in 1..=3_usize {
        for mode in [Phase1Mode::Main, Phase1Mode::Aggressive] {
            let mut duo = Duo::new(|_, peer| {
                peer.exchange = mode;
                peer.danger_answer_aggressive_psk = true;
            });
            let mut taken = 0;
            let mut faster = |duo: &mut Duo, from: Who, sent: &Sent| {
                let encrypted = sent.1[19] & 1 == 1;
                if encrypted {
                    let mut copy = sent.1.clone();
                    // An odd last byte is neither zero nor a length.
                    copy.extend((0..16 * blocks).map(|at| (at as u8).wrapping_mul(73) ^ 0xa5));
                    let len = copy.len() as u32;
                    copy[24..28].copy_from_slice(&len.to_be_bytes());
                    taken +=
                        usize::from(duo.receive(from.other(), mirror(sent.0), &mut copy).is_ok());
                }
                true
            };
            duo.create_child(A, CHILD).unwrap();
            duo.run_with(900, &mut faster);
            assert_eq!((duo.children(A), duo.children(B)), (1, 1), "{mode:?}: {:?}", duo.a.events);
            let child = duo.child(A);
            duo.call(A, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
            duo.run_with(1_800, &mut faster);
            assert_eq!((duo.children(A), duo.children(B)), (2, 2), "{mode:?}: {:?}", duo.a.events);
            assert!(taken > 5, "only {taken} copies were taken for the message");
            assert_eq!(
                duo.a.endpoint.stats().retransmitted + duo.b.endpoint.stats().retransmitted,
                0
            );
        }
    }
}
