//! What a host may ask of an endpoint in any order, at any moment, with handles of now and of long ago and of the other
//! endpoint, while datagrams are lost and clocks stand or leap: nothing panics, every loop ends, and nothing is left.

use core::time::Duration;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use ike_core::config::{ChildId, Dpd, DpdAction, Lifetime, NatTraversal, PeerConfig, Phase1Mode};
use ike_core::event::{ChildSaHandle, Event, IkeSaHandle, Traffic};
use ike_core::wire::numbers::GroupDescription;
use ike_core::{Job, Work};

use crate::duo::Who::{A, B};
use crate::duo::{Duo, PEER, Sent, Who, mirror};

struct Script {
    rng: ChaCha20Rng,
    children: Vec<ChildSaHandle>,
    ikes: Vec<IkeSaHandle>,
    jobs: Vec<(Who, Job)>,
    flying: Vec<(Who, Sent)>,
}

impl Script {
    fn below(&mut self, end: usize) -> usize {
        self.rng.next_u32() as usize % end
    }

    fn one_of<T: Copy>(&mut self, all: fn(&Self) -> &[T]) -> Option<T> {
        let at = self.below(all(self).len().max(1));
        all(self).get(at).copied()
    }

    /// The handles of what there is; those of before are kept.
    fn learn(&mut self, duo: &Duo) {
        for endpoint in [&duo.a.endpoint, &duo.b.endpoint] {
            self.children.extend(endpoint.child_sas().map(|child| child.handle));
            self.ikes.extend(endpoint.ike_sas().map(|ike| ike.handle));
        }
    }

    /// Whatever comes of a call: at the wrong moment the answer is no.
    fn step(&mut self, duo: &mut Duo) {
        let who = if self.below(2) == 0 { A } else { B };
        let child = self.one_of(|script| &script.children);
        let ike = self.one_of(|script| &script.ikes);
        match self.below(24) {
            0 => duo.now += [0, 1, 700, 5_000, 60_000, 4_000_000][self.below(6)],
            1..=6 if !self.flying.is_empty() => {
                let at = self.below(self.flying.len());
                let (to, sent) = self.flying.swap_remove(at);
                let _ = duo.deliver(to, sent);
            }
            7 => drop(self.flying.pop()),
            8 | 9 => {
                let side = duo.side(who);
                while let Some(transmit) = side.endpoint.poll_transmit() {
                    let sent = (transmit.path, transmit.datagram.to_vec());
                    self.flying.push((who.other(), sent));
                    assert!(self.flying.len() < 5_000, "sends for ever");
                }
            }
            10 => {
                let budget = self.below(50) as u32;
                let _ = duo.call(who, |endpoint, cx| endpoint.handle_work(cx, budget));
            }
            11 => {
                let job = duo.call(who, |endpoint, cx| endpoint.take_work(cx));
                self.jobs.extend(job.map(|job| (who, job)));
            }
            12 if !self.jobs.is_empty() => {
                let at = self.below(self.jobs.len());
                let (who, job) = self.jobs.swap_remove(at);
                let result = if self.below(4) == 0 { job.fail() } else { job.run() };
                let _ = duo.call(who, |endpoint, cx| endpoint.complete_work(cx, result));
            }
            13 | 14 => match duo.side(who).endpoint.poll_event() {
                Some(Event::ChildSaReady { child, .. }) => self.children.push(child),
                Some(Event::IkeSaUp { ike, .. }) => self.ikes.push(ike),
                _ => {}
            },
            15 => drop(duo.create_child(who, ChildId(1 + self.below(3) as u32))),
            16 => duo.call(who, |endpoint, cx| endpoint.handle_timeout(cx)),
            17 => {
                let path = who.path();
                let _ = duo.call(who, |endpoint, cx| endpoint.initiate(cx, PEER, path));
            }
            call => {
                let Some(child) = child else { return };
                let seen = Traffic { sent: self.below(2) == 0, received: self.below(2) == 0 };
                let ending = self.below(3) == 0;
                duo.call(who, |endpoint, cx| match (call, ike) {
                    (18, _) => drop(endpoint.take_inbound(child)),
                    (19, _) => drop(endpoint.take_outbound(child)),
                    (20, _) => endpoint.note_traffic(cx, child, seen),
                    (21, _) => drop(endpoint.rekey_child(cx, child)),
                    (22, Some(ike)) if ending => drop(endpoint.delete_ike(cx, ike)),
                    (22, Some(ike)) => drop(endpoint.rekey_ike(cx, ike)),
                    (23, _) if ending => drop(endpoint.reject_child(cx, child)),
                    (23, _) if seen.sent => drop(endpoint.delete_child(cx, child)),
                    _ => endpoint.path_seen(cx, child, mirror(who.other().path())),
                });
            }
        }
    }
}

/// A host that does its part, and an honest link, until nothing is due before `until`.
fn settle(duo: &mut Duo, until: u64) {
    for round in 0.. {
        assert!(round < 20_000, "no end");
        let mut quiet = true;
        for who in [A, B] {
            duo.call(who, |endpoint, cx| {
                endpoint.handle_timeout(cx);
                while endpoint.handle_work(cx, 64) == Work::More {}
            });
            let endpoint = &mut duo.side(who).endpoint;
            while let Some(event) = endpoint.poll_event() {
                match event {
                    Event::ChildSaReady { child, .. } => drop(endpoint.take_inbound(child)),
                    Event::ChildSaOutbound { child } => drop(endpoint.take_outbound(child)),
                    _ => {}
                }
            }
            let mut sent = vec![];
            while let Some(transmit) = endpoint.poll_transmit() {
                sent.push((transmit.path, transmit.datagram.to_vec()));
                assert!(sent.len() < 5_000, "sends for ever");
            }
            quiet &= sent.is_empty();
            for sent in sent {
                let _ = duo.deliver(who.other(), sent);
            }
        }
        let next = [A, B].into_iter().filter_map(|who| duo.side(who).endpoint.poll_timeout()).min();
        match next {
            _ if !quiet => {}
            Some(at) if at.as_millis() <= until => duo.now = duo.now.max(at.as_millis()),
            _ => break,
        }
    }
    duo.now = duo.now.max(until);
}

fn change(seed: u64) -> impl Fn(Who, &mut PeerConfig<'static>) {
    let second = Duration::from_secs(1);
    move |_, peer| {
        peer.dpd = Some(Dpd {
            idle: 10 * second,
            retry: second,
            tries: 3,
            action: if seed.is_multiple_of(2) { DpdAction::Clear } else { DpdAction::Restart },
        });
        peer.lifetime = Lifetime { seconds: 600, kilobytes: 0 };
        let mut children = peer.children.to_vec();
        for child in &mut children {
            child.lifetime = Lifetime { seconds: 300, kilobytes: 0 };
            child.pfs = seed.is_multiple_of(3).then_some(GroupDescription::CURVE25519);
        }
        peer.children = children.leak();
        if seed.is_multiple_of(5) {
            peer.nat_traversal = NatTraversal::Force;
        }
        if seed.is_multiple_of(7) {
            peer.exchange = Phase1Mode::Aggressive;
            peer.danger_answer_aggressive_psk = true;
        }
    }
}

#[test]
fn calls_in_any_order_leave_nothing_behind() {
    let nobody: &'static [PeerConfig<'static>; 0] = &[];
    let mut came_up = 0;
    for seed in 0..300 {
        // From one slot of each kind to plenty.
        let mut duo = match seed % 4 {
            0 => Duo::sized::<1, 1, 1>(2, change(seed)),
            1 => Duo::sized::<2, 2, 2>(2, change(seed)),
            2 => Duo::sized::<2, 6, 3>(2, change(seed)),
            _ => Duo::sized::<6, 12, 12>(2, change(seed)),
        };
        let mut script = Script {
            rng: ChaCha20Rng::seed_from_u64(seed),
            children: vec![],
            ikes: vec![],
            jobs: vec![],
            flying: vec![],
        };
        for _ in 0..8 {
            let _ = duo.create_child(A, ChildId(1));
            let soon = duo.now + 3_000;
            settle(&mut duo, soon);
            script.learn(&duo);
            for _ in 0..50 {
                script.step(&mut duo);
            }
        }
        came_up += duo.a.endpoint.stats().child_sas_up;
        for (who, job) in script.jobs {
            let _ = duo.call(who, |endpoint, cx| endpoint.complete_work(cx, job.fail()));
        }
        let (soon, end) = (duo.now + 300_000, duo.now + 20_000_000);
        settle(&mut duo, soon);
        for who in [A, B] {
            duo.side(who).config.peers = nobody;
        }
        settle(&mut duo, end);
        for who in [A, B] {
            let endpoint = &duo.side(who).endpoint;
            assert!(endpoint.in_use().is_nothing(), "seed {seed}: {who:?} {:?}", endpoint.in_use());
            assert_eq!(endpoint.poll_timeout(), None, "seed {seed}");
        }
    }
    assert!(came_up > 1_000, "{came_up} children");
}
