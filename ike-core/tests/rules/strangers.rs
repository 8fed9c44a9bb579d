//! Until a message carries our cookie, no more bytes leave than came, and work and memory are bounded by constants. Worlds
//! of strangers in any order, who begin, answer, repeat themselves, or say nothing more.

use core::net::SocketAddr;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use ike_core::Path;
use ike_core::config::{ChildId, Identity, Limits, Phase1Mode, RemoteAddress, RemoteId};
use ike_core::event::Event;

use crate::duo::Who::{A, B};
use crate::duo::{CHILD, Duo, Sent, mirror};

const AGGRESSIVE: u8 = 4;

/// Somebody who speaks as A does, from another address, with a cookie of its own.
struct Stranger {
    duo: Duo,
    address: SocketAddr,
    /// Bytes to B and bytes from it while B has not heard its own cookie.
    came: usize,
    left: usize,
    requests: usize,
    answers: usize,
    first: Option<Sent>,
    /// What B has said, and the stranger may answer.
    letters: Vec<Sent>,
}

fn open(mode: Phase1Mode) -> impl Fn(crate::duo::Who, &mut ike_core::config::PeerConfig<'static>) {
    move |who, peer| {
        peer.exchange = mode;
        peer.danger_answer_aggressive_psk = true;
        if who == B {
            peer.remote = RemoteAddress::Any;
            peer.remote_id = RemoteId::Anyone;
        } else {
            peer.local_id = Identity::Fqdn("stranger.example");
        }
    }
}

impl Stranger {
    fn new(number: u8, mode: Phase1Mode) -> Self {
        let mut duo = Duo::new(open(mode));
        duo.a.rng = ChaCha20Rng::seed_from_u64(1_000 + u64::from(number));
        let address = ([198, 51, 100, number], 500).into();
        let (came, left, requests, answers) = (0, 0, 0, 0);
        Self { duo, address, came, left, requests, answers, first: None, letters: vec![] }
    }

    fn path(&self) -> Path {
        Path { remote: self.address, ..B.path() }
    }

    /// What it says first, changed by `fate` now and then.
    fn begin(&mut self, fate: &mut ChaCha20Rng) -> Vec<u8> {
        if self.first.is_none() {
            self.duo.create_child(A, CHILD).unwrap();
            self.first = self.duo.turn(A).pop();
        }
        let mut message = self.first.clone().unwrap().1;
        // Another cookie, and it is somebody's first message again.
        if message[18] == AGGRESSIVE && fate.next_u32().is_multiple_of(2) {
            fate.fill_bytes(&mut message[..8]);
        }
        if fate.next_u32().is_multiple_of(4) {
            let at = fate.next_u32() as usize % message.len();
            message[at] ^= 1 << (fate.next_u32() % 8);
        }
        message
    }
}

struct Told {
    main: f64,
    aggressive: f64,
}

/// A minute or two among strangers, or a few seconds in a crowd, with somebody known up from the start.
fn world(seed: u64, told: &mut Told) {
    let mut fate = ChaCha20Rng::seed_from_u64(seed);
    let crowd = seed % 2 == 1;
    let mut duo = if crowd {
        Duo::sized::<24, 24, 8>(1, open(Phase1Mode::Main))
    } else {
        Duo::sized::<6, 8, 8>(1, open(Phase1Mode::Main))
    };
    let (room, half_open, pause) = if crowd { (23, 20, 20) } else { (5, 4, 400) };
    duo.b.config.limits =
        Limits { half_open, half_open_per_source: 8, unproven_dh_per_second: 3, ..Limits::DEFAULT };
    duo.create_child(A, CHILD).unwrap();
    duo.run(1_000);
    assert_eq!(duo.children(B), 1);
    let mut strangers: Vec<_> = (1..=12)
        .map(|number| {
            let aggressive = number % 3 == 0;
            let mode = if aggressive { Phase1Mode::Aggressive } else { Phase1Mode::Main };
            Stranger::new(number, mode)
        })
        .collect();
    let mut operations: Vec<u64> = vec![];
    for _ in 0..600 {
        duo.now += u64::from(fate.next_u32() % pause);
        let who = &mut strangers[fate.next_u32() as usize % 12];
        let path = who.path();
        who.duo.now = duo.now;
        let proven = match (who.letters.pop(), fate.next_u32() % 3) {
            // It answers B, and so shows that it is where it says.
            (Some((_, mut letter)), 0) => {
                let _ = who.duo.receive(A, A.path(), &mut letter);
                who.duo.turn(A)
            }
            _ => vec![],
        };
        if proven.is_empty() {
            let mut message = who.begin(&mut fate);
            let echoes = message[8..16] != [0; 8];
            if !echoes {
                who.came += message.len();
                who.requests += 1;
            }
            let _ = duo.receive(B, path, &mut message);
        }
        for (_, mut message) in proven {
            if message.get(8..16) == Some(&[0; 8]) {
                who.came += message.len();
                who.requests += 1;
            }
            let _ = duo.receive(B, path, &mut message);
        }
        // Half-open and unproven at any moment.
        let half_open = duo.b.endpoint.ike_sas().filter(|ike| !ike.established);
        assert!(half_open.count() <= room, "more than the storage allows beside what is up");
        // Work: how many operations begin, and when.
        let (before, now) = (operations.len(), duo.now);
        while let Some(job) = duo.call(B, |endpoint, cx| endpoint.take_work(cx)) {
            operations.push(now);
            let result = job.run();
            let _ = duo.call(B, |endpoint, cx| endpoint.complete_work(cx, result));
        }
        assert!(operations.len() - before <= 1, "one datagram, one operation");
        let recent = operations.iter().filter(|at| **at + 1_000 > now).count();
        assert!(recent <= 6, "{recent} operations within a second: the rate and its reserve");
        for sent in duo.turn(B) {
            let Some(who) = strangers.iter_mut().find(|who| who.address == sent.0.remote) else {
                continue;
            };
            let message = &sent.1;
            // An answer to what does not carry our cookie.
            let clear = message[19] & 1 == 0;
            let second = clear && (message[16] == 1 || message[18] == 5);
            if second {
                who.left += message.len();
                who.answers += 1;
            }
            who.letters.push((mirror(sent.0), sent.1.clone()));
        }
        for who in &strangers {
            assert!(who.answers <= who.requests, "{} answers to {}", who.answers, who.requests);
            let ratio = who.left as f64 / who.came.max(1) as f64;
            if who.duo.a.config.peers.at(0).unwrap().exchange == Phase1Mode::Main {
                assert!(who.left <= who.came, "{} bytes for {}", who.left, who.came);
                told.main = told.main.max(ratio);
            } else {
                assert!(who.left <= 2 * who.came, "{} bytes for {}", who.left, who.came);
                told.aggressive = told.aggressive.max(ratio);
            }
        }
    }
    // What was up has not been touched, and still serves.
    let down = |event: &Event| matches!(event, Event::ChildSaDown { .. } | Event::IkeSaDown { .. });
    assert!(!duo.b.events.iter().any(down), "{:?}", duo.b.events);
    let child = duo.child(A);
    duo.call(A, |endpoint, cx| endpoint.rekey_child(cx, child)).unwrap();
    duo.run(2_000);
    assert_eq!(duo.children(A), 2);
    let _ = ChildId(0);
}

#[test]
fn strangers_get_no_more_than_they_bring() {
    let mut told = Told { main: 0.0, aggressive: 0.0 };
    for seed in 0..24 {
        world(seed, &mut told);
    }
    let Told { main, aggressive } = told;
    println!(
        "bytes out for each byte in, at most: main mode {main:.2}, aggressive mode {aggressive:.2}"
    );
    assert!(main > 0.5 && main <= 1.0, "main mode was answered at all: {main}");
    assert!(aggressive > 1.0, "aggressive mode was answered at all: {aggressive}");
}

/// An army that answers from its true addresses fills every slot: new peers have to wait, but what is up is renewed.
#[test]
fn an_army_keeps_nothing_from_being_renewed() {
    let mut duo = Duo::sized::<4, 6, 8>(1, open(Phase1Mode::Main));
    duo.create_child(A, CHILD).unwrap();
    duo.run(40_000);
    for number in 1..=8 {
        let mut stranger = Stranger::new(number, Phase1Mode::Main);
        let mut fate = ChaCha20Rng::seed_from_u64(2);
        let mut message = loop {
            let message = stranger.begin(&mut fate);
            if message == stranger.first.clone().unwrap().1 {
                break message;
            }
        };
        let _ = duo.receive(B, stranger.path(), &mut message);
        for (_, mut answer) in duo.turn(B) {
            let _ = stranger.duo.receive(A, A.path(), &mut answer);
            for (_, mut third) in stranger.duo.turn(A) {
                let _ = duo.receive(B, stranger.path(), &mut third);
            }
        }
        let _ = duo.turn(B);
    }
    let half_open = duo.b.endpoint.ike_sas().filter(|ike| !ike.established).count();
    assert_eq!(half_open, 3, "all slots but one");
    let ours = duo.ike(B);
    duo.call(B, |endpoint, cx| endpoint.rekey_ike(cx, ours)).unwrap();
    duo.run(5_000);
    assert!(duo.b.events.iter().any(|event| matches!(event, Event::IkeSaReplaced { .. })));
}
