//! Where the peer is: who may move it, and what follows.

use core::time::Duration;

use esp_core::{Addresses, Mode, TrafficSelectors};
use ike_core::Path;
use ike_core::config::{ChildConfig, Dpd, DpdAction, NatTraversal, PeerConfig, Phase1Mode};
use ike_core::event::{Event, Traffic};
use ike_core::wire::numbers::PayloadType;
use ike_core::wire::{HEADER_LEN, Header, MessageWriter, Payloads, VendorId};

use crate::duo::Who::{A, B};
use crate::duo::{Duo, Sent, Who, mirror};

/// A NAT before A: on the port of NAT traversal, B sees it at this port.
struct Nat(u16);

impl Nat {
    /// Hands over what `from` sends.
    fn pass(&self, duo: &mut Duo, from: Who, (path, mut datagram): Sent) {
        let mut path = mirror(path);
        if path.encap && from == A {
            path.remote.set_port(self.0);
        }
        if path.encap && from == B {
            if path.local.port() != self.0 {
                return;
            }
            path.local.set_port(4500);
        }
        let _ = duo.receive(from.other(), path, &mut datagram);
    }

    fn run(&self, duo: &mut Duo) {
        for _ in 0..40 {
            for from in [A, B] {
                for sent in duo.turn(from) {
                    self.pass(duo, from, sent);
                }
            }
        }
    }
}

fn behind_a_nat(who: Who, peer: &mut PeerConfig<'static>) {
    if who == A {
        peer.nat_traversal = NatTraversal::Force;
    }
}

fn up_behind_a_nat() -> Duo {
    up_behind_a_nat_by(Phase1Mode::Main)
}

fn up_behind_a_nat_by(mode: Phase1Mode) -> Duo {
    let mut duo = Duo::new(|who, peer| {
        behind_a_nat(who, peer);
        peer.exchange = mode;
        peer.danger_answer_aggressive_psk = true;
    });
    duo.create_child(A, crate::duo::CHILD).unwrap();
    Nat(4500).run(&mut duo);
    assert_eq!((duo.children(A), duo.children(B)), (1, 1));
    duo
}

fn moves(duo: &mut Duo, who: Who) -> Vec<u16> {
    let port = |event: &Event| match event {
        Event::PathChanged { path, .. } => Some(path.remote.port()),
        _ => None,
    };
    duo.side(who).events.iter().filter_map(port).collect()
}

/// A peer that no NAT hides is where it said. An authenticated message of it that somebody else passes on moves nobody.
#[test]
fn a_peer_without_a_nat_is_not_moved() {
    let second = Duration::from_secs(1);
    let dpd = Dpd { idle: second, retry: second, tries: 5, action: DpdAction::Clear };
    for nat in [false, true] {
        let mut duo = Duo::up(|who, peer| {
            peer.dpd = Some(dpd);
            if nat {
                behind_a_nat(who, peer);
            }
        });
        let child = duo.child(A);
        let seen = Traffic { sent: true, received: false };
        duo.call(A, |endpoint, cx| endpoint.note_traffic(cx, child, seen));
        duo.now += 1_500;
        let (path, mut question) = duo.turn(A).remove(0);
        let elsewhere = Path { remote: "203.0.113.9:4501".parse().unwrap(), ..mirror(path) };
        duo.receive(B, elsewhere, &mut question).unwrap();
        let answer = duo.turn(B).remove(0);
        assert_eq!(moves(&mut duo, B), if nat { vec![4501] } else { vec![] });
        assert_eq!(answer.0, if nat { elsewhere } else { B.path() });
    }
}

/// The NAT gives the peer another port while a quick mode waits for it: what is sent again goes to the new one.
#[test]
fn what_is_sent_again_follows_the_peer() {
    let mut duo = up_behind_a_nat();
    let child = duo.child(B);
    duo.call(B, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
    let lost = duo.turn(B);
    assert_eq!(lost[0].0.remote.port(), 4500);
    let mut path = lost[0].0;
    path.remote.set_port(40_000);
    duo.call(B, |endpoint, cx| endpoint.path_seen(cx, child, path));
    duo.now += 1_000;
    let again = duo.turn(B);
    assert_eq!(again[0].0, path);
    assert_eq!(moves(&mut duo, B), [40_000]);
    // So do the SAs that the host has yet to take.
    assert!(duo.b.endpoint.child_sas().all(|child| child.path == path));
}

/// The peer comes from another port with a new phase 1: its children are there too. From the same one, nobody has moved.
#[test]
fn children_follow_a_new_phase_1() {
    for (port, moved) in [(40_000, &[40_000][..]), (4500, &[])] {
        let mut duo = up_behind_a_nat();
        let ike = duo.ike(A);
        duo.call(A, |endpoint, cx| endpoint.rekey_ike(cx, ike)).unwrap();
        Nat(port).run(&mut duo);
        assert!(duo.a.events.iter().any(|event| matches!(event, Event::IkeSaReplaced { .. })));
        assert_eq!(moves(&mut duo, B), moved);
    }
}

/// An end that knows itself by another address than the peer sees is behind a NAT, or means another host: in transport mode
/// nothing is agreed for that one.
#[test]
fn another_address_in_transport_mode_needs_a_nat() {
    for nat in [false, true] {
        let mut duo = Duo::new(|who, peer| {
            let host = |text: &str| Addresses::host(text.parse().unwrap());
            let [own, other] =
                if who == A { ["10.9.9.9", "192.0.2.2"] } else { ["192.0.2.2", "192.0.2.1"] };
            let selectors = TrafficSelectors::between(host(own), host(other));
            let child = ChildConfig { selectors, mode: Mode::Transport, ..peer.children[0] };
            peer.children = vec![child].leak();
            if nat {
                behind_a_nat(who, peer);
            }
        });
        duo.create_child(A, crate::duo::CHILD).unwrap();
        duo.run(1_500);
        let up = usize::from(nat);
        assert_eq!((duo.children(A), duo.children(B)), (up, up), "behind a NAT: {nat}");
    }
}

/// RFC 3948 §4: whoever is behind a NAT keeps its mapping alive, and the other end has none to keep.
#[test]
fn keepalives_come_from_behind_the_nat_alone() {
    for mode in [Phase1Mode::Main, Phase1Mode::Aggressive] {
        let mut duo = up_behind_a_nat_by(mode);
        let mut keepalives = [0, 0];
        let until = duo.now + 101_000;
        duo.run_while(until, |from, (_, datagram)| {
            let keepalive = *datagram == ike_core::natt::KEEPALIVE;
            keepalives[usize::from(from == B)] += usize::from(keepalive);
            true
        });
        assert_eq!(keepalives, [5, 0], "{mode:?}");
    }
}

/// The NAT gives the peer other ports. A question with a number that goes up tells where it is now; the same one again may be
/// an old one, and tells nothing.
#[test]
fn an_old_question_moves_nobody() {
    let second = Duration::from_secs(1);
    let dpd = Dpd { idle: second, retry: second, tries: 5, action: DpdAction::Clear };
    let mut duo = Duo::up(|who, peer| {
        peer.dpd = Some(dpd);
        behind_a_nat(who, peer);
    });
    let child = duo.child(A);
    let seen = Traffic { sent: true, received: false };
    duo.call(A, |endpoint, cx| endpoint.note_traffic(cx, child, seen));
    let from_port = |duo: &mut Duo, (path, mut datagram): Sent, port| {
        let mut path = mirror(path);
        path.remote.set_port(port);
        duo.receive(B, path, &mut datagram).unwrap();
        duo.turn(B);
        moves(duo, B)
    };
    duo.now += 1_500;
    let first = duo.turn(A).remove(0);
    assert_eq!(from_port(&mut duo, first.clone(), 4501), [4501]);
    assert_eq!(from_port(&mut duo, first, 4502), [4501]);
    duo.now += 1_500;
    let second = duo.turn(A).remove(0);
    assert_eq!(from_port(&mut duo, second, 4503), [4501, 4503]);
}

/// An answer to a question of ours shows that the peer is alive. Any open question will do for it, so that it may be an old one:
/// it does not tell where the peer is.
#[test]
fn an_answer_to_a_question_moves_nobody() {
    let second = Duration::from_secs(1);
    let dpd = Dpd { idle: second, retry: second, tries: 5, action: DpdAction::Clear };
    let mut duo = Duo::up(|who, peer| {
        peer.dpd = Some(dpd);
        behind_a_nat(who, peer);
    });
    let child = duo.child(B);
    let seen = Traffic { sent: true, received: false };
    duo.call(B, |endpoint, cx| endpoint.note_traffic(cx, child, seen));
    duo.now += 1_500;
    let question = duo.turn(B).remove(0);
    duo.deliver(A, question).unwrap();
    let (path, mut answer) = duo.turn(A).remove(0);
    let mut path = mirror(path);
    path.remote.set_port(4502);
    duo.receive(B, path, &mut answer).unwrap();
    duo.turn(B);
    let heard = duo.b.endpoint.ike_sas().next().unwrap().heard;
    assert_eq!(heard.map(|at| at.as_millis()), Some(duo.now));
    assert!(moves(&mut duo, B).is_empty());
}

/// What a peer that does not know these vendor IDs would have sent.
fn without(datagram: &[u8], vendors: &[VendorId]) -> Vec<u8> {
    let header = Header::parse(datagram).unwrap();
    let mut buffer = [0; 1024];
    let mut kept = MessageWriter::new(&mut buffer, &header).unwrap();
    let chain = &datagram[HEADER_LEN..];
    for payload in Payloads::new(header.next_payload, chain, HEADER_LEN).map(Result::unwrap) {
        let vendor = VendorId::recognise(payload.body);
        if payload.kind != PayloadType::VENDOR_ID || !vendors.iter().any(|it| vendor == Some(*it)) {
            kept.payload(payload.kind, &[payload.body]).unwrap();
        }
    }
    kept.written().to_vec()
}

/// A peer that knows no more than a draft of NAT traversal is spoken to in that draft's numbers: NAT-D is 130 there.
#[test]
fn a_peer_of_a_draft_comes_up_behind_a_nat() {
    let rfc = [VendorId::NatT];
    let rfc_and_03 = [VendorId::NatT, VendorId::NatTDraft03];
    for (unknown, nat_d) in [
        (&[][..], PayloadType::NAT_D),
        (&rfc, PayloadType::NAT_D_DRAFT),
        (&rfc_and_03, PayloadType::NAT_D_DRAFT),
    ] {
        let mut duo = Duo::new(behind_a_nat);
        duo.create_child(A, crate::duo::CHILD).unwrap();
        for number in 1..=4 {
            let from = if number % 2 == 1 { A } else { B };
            let (path, datagram) = duo.turn(from).remove(0);
            let mut datagram = if number < 3 { without(&datagram, unknown) } else { datagram };
            if number > 2 {
                let head = Header::parse(&datagram).unwrap();
                let kinds: Vec<_> =
                    Payloads::new(head.next_payload, &datagram[HEADER_LEN..], HEADER_LEN)
                        .map(|payload| payload.unwrap().kind)
                        .filter(|kind| {
                            [PayloadType::NAT_D, PayloadType::NAT_D_DRAFT].contains(kind)
                        })
                        .collect();
                assert_eq!(kinds, [nat_d, nat_d]);
            }
            duo.receive(from.other(), mirror(path), &mut datagram).unwrap();
        }
        duo.run(1_000);
        assert_eq!((duo.children(A), duo.children(B)), (1, 1));
        for who in [A, B] {
            let ike = duo.side(who).endpoint.ike_sas().next().unwrap();
            assert!(ike.path.encap && ike.path.remote.port() == 4500);
            assert_eq!((ike.local_nat, ike.remote_nat), (who == A, who == B));
        }
    }
}

/// A peer whose last message of phase 1 comes from port 500, although both have moved on, is spoken to on port 4500.
#[test]
fn an_answer_from_the_old_port_moves_nobody_back() {
    let mut duo = Duo::new(behind_a_nat);
    duo.create_child(A, crate::duo::CHILD).unwrap();
    for number in 0..6 {
        let from = if number % 2 == 0 { A } else { B };
        for (path, mut datagram) in duo.turn(from) {
            if number == 5 {
                assert!(path.encap);
                duo.receive(A, A.path(), &mut datagram[4..]).unwrap();
            } else {
                duo.deliver(from.other(), (path, datagram)).unwrap();
            }
        }
    }
    let first = duo.turn(A).remove(0);
    assert!(first.0.encap, "{:?}", first.0);
    assert_eq!(first.0.remote.port(), 4500);
}

/// The NAT gives the peer another port before the last message of phase 1: it is spoken to where that came from.
#[test]
fn the_last_message_of_phase_1_says_where_the_peer_is() {
    let mut duo = Duo::new(behind_a_nat);
    duo.create_child(A, crate::duo::CHILD).unwrap();
    for number in 0..6 {
        let from = if number % 2 == 0 { A } else { B };
        for (path, mut datagram) in duo.turn(from) {
            let mut path = mirror(path);
            if number == 5 {
                path.remote.set_port(4501);
            }
            duo.receive(from.other(), path, &mut datagram).unwrap();
        }
    }
    let (path, _) = duo.turn(A).remove(0);
    assert_eq!((path.encap, path.remote.port()), (true, 4501));
}

/// An authenticated message that comes to port 500 once both have moved: by a peer that forgets to, or by somebody who took
/// its marker off. Nobody is moved back, where no ESP can follow.
#[test]
fn a_message_to_the_old_port_moves_nobody_back() {
    let mut duo = up_behind_a_nat();
    let child = duo.child(A);
    duo.call(A, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
    let (path, mut question) = duo.turn(A).remove(0);
    assert!(path.encap);
    let old = Path { remote: A.path().local, ..B.path() };
    duo.receive(B, old, &mut question[4..]).unwrap();
    let answer = duo.turn(B).remove(0);
    assert!(answer.0.encap, "{:?}", answer.0);
    assert!(moves(&mut duo, B).is_empty());
}
