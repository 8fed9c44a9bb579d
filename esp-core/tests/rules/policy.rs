//! No plaintext leaves while the policy says protect, and none is taken in: worlds of policies that change, SAs that come,
//! expire and go, and packets in between, against a list that is looked through by hand.

use chacha20::ChaCha20Rng;
use esp_core::*;
use rand_core::{Rng, SeedableRng};

use crate::hosts::*;

/// What an entry does, to reckon with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Say {
    Protect,
    Bypass,
    Discard,
}

/// An entry: third byte of the remote /24 or all of 10.2.0.0/16, a port or all.
#[derive(Clone, Copy, Debug)]
struct Entry {
    id: u32,
    third: Option<u8>,
    port: Option<u16>,
    say: Say,
}

impl Entry {
    fn matches(&self, third: u8, port: u16) -> bool {
        self.third.is_none_or(|own| own == third) && self.port.is_none_or(|own| own == port)
    }

    fn selectors(&self) -> TrafficSelectors {
        let remote = match self.third {
            Some(third) => subnet(&format!("10.2.{third}.0"), 24),
            None => subnet("10.2.0.0", 16),
        };
        let mut selectors = TrafficSelectors::between(subnet("10.1.0.0", 16), remote);
        if let Some(port) = self.port {
            selectors.protocol = Protocol::Number(17);
            selectors.remote.ports = PortRange::one(port);
        }
        selectors
    }

    fn entry(&self) -> SpdEntry {
        let policy = match self.say {
            Say::Protect => Policy::PROTECT,
            Say::Bypass => Policy::Bypass,
            Say::Discard => Policy::Discard,
        };
        SpdEntry::new(PolicyId(self.id), self.selectors(), policy)
    }
}

/// An outbound SA as we know it.
struct Known {
    spi: u32,
    entry: Entry,
    left: u64,
}

struct World {
    random: ChaCha20Rng,
    entries: Vec<Entry>,
    sas: Vec<Known>,
    next_spi: u32,
    /// Sent, held, passed in clear, dropped.
    verdicts: [usize; 4],
}

impl World {
    fn below(&mut self, end: u32) -> u32 {
        self.random.next_u32() % end
    }

    fn entry(&mut self, id: u32) -> Entry {
        let third = [None, Some(0), Some(1)][self.below(3) as usize];
        let port = [None, Some(2000), Some(2001)][self.below(3) as usize];
        let say = [Say::Protect, Say::Protect, Say::Bypass, Say::Discard][self.below(4) as usize];
        Entry { id, third, port, say }
    }

    fn set_policies(&mut self, processor: &mut Processor<'_>) {
        let count = self.below(5);
        self.entries = (0..count).map(|id| self.entry(id)).collect();
        let entries: Vec<_> = self.entries.iter().map(Entry::entry).collect();
        processor.set_policies(&entries).unwrap();
    }

    /// An SA for an entry that is there, or for one that has gone.
    fn install(&mut self, processor: &mut Processor<'_>) {
        let id = self.below(4);
        let entry = match self.entries.get(id as usize) {
            Some(entry) => *entry,
            None => self.entry(id),
        };
        self.next_spi += 1;
        let left = u64::from(self.below(6));
        let mut sa = params(AES_SHA1, V4, Encap::None, A, self.next_spi);
        (sa.selectors, sa.policy) = (entry.selectors(), PolicyId(id));
        let hard = Limit { bytes: u64::MAX, packets: left };
        sa.lifetime = Lifetime { soft: hard, hard };
        if processor.install_outbound(sa, &mut rng()).is_ok() {
            let new = Known { spi: self.next_spi, entry, left };
            let alike = |old: &&mut Known| {
                (old.entry.id, old.entry.selectors()) == (entry.id, entry.selectors())
            };
            match self.sas.iter_mut().find(alike) {
                Some(old) => *old = new,
                None => self.sas.push(new),
            }
        }
    }

    fn remove(&mut self, processor: &mut Processor<'_>) {
        if !self.sas.is_empty() {
            let at = self.below(self.sas.len() as u32) as usize;
            let sa = self.sas.remove(at);
            let spi = Spi::new(sa.spi).unwrap();
            assert!(processor.remove_outbound(PolicyId(sa.entry.id), spi));
        }
    }

    fn send(&mut self, processor: &mut Processor<'_>) {
        let (third, port) = (self.below(3) as u8, 2000 + self.below(3) as u16);
        let to = ip(&format!("10.2.{third}.9"));
        let packet = udp_ports(ip("10.1.0.9"), to, 1000, port, 40);
        let matching = self.entries.iter().find(|entry| entry.matches(third, port)).copied();
        let mut buffer = Buffer::new(&packet);
        let verdict = buffer.outbound(processor);
        let told = format!("{verdict:?} for {third} {port} under {:?}", self.entries);
        if !matches!(verdict, Outbound::Send { .. }) {
            assert_eq!(buffer.bytes(), packet, "touched: {told}");
        }
        match matching.map(|entry| (entry.say, entry.id)) {
            Some((Say::Bypass, _)) => assert_eq!(verdict, Outbound::Bypass, "{told}"),
            Some((Say::Discard, _)) => {
                assert_eq!(verdict, Outbound::Discard(Discard::Policy), "{told}");
            }
            None => assert_eq!(verdict, Outbound::Discard(Discard::NoPolicy), "{told}"),
            Some((Say::Protect, id)) => {
                let fits = |sa: &&mut Known| sa.entry.id == id && sa.entry.matches(third, port);
                match verdict {
                    Outbound::Send { outer, .. } => {
                        let sealed = buffer.bytes();
                        // The newest that has not come to its end; one that succeeds another takes its place.
                        let mut sas = self.sas.iter_mut().filter(fits);
                        let newest = sas.rfind(|sa| sa.left > 0);
                        let sa = newest.unwrap_or_else(|| panic!("no SA is for this: {told}"));
                        assert_eq!(sealed[20..24], sa.spi.to_be_bytes(), "another SA: {told}");
                        sa.left -= 1;
                        assert_eq!((outer.local, outer.remote, sealed[9]), (V4.0, V4.1, 50));
                        assert!(!contains(sealed, &packet[28..44]), "in clear: {told}");
                    }
                    Outbound::Hold { policy } => {
                        assert_eq!(policy, PolicyId(id), "{told}");
                        let fresh = self.sas.iter_mut().filter(fits).any(|sa| sa.left > 0);
                        assert!(!fresh, "there is an SA: {told}");
                    }
                    // At its hard limit an SA refuses, once, and is passed over from then on.
                    Outbound::Discard(Discard::Expired) => {
                        let ended = self.sas.iter_mut().filter(fits).any(|sa| sa.left == 0);
                        assert!(ended, "{told}");
                    }
                    _ => panic!("{told}"),
                }
            }
        }
        self.verdicts[match verdict {
            Outbound::Send { .. } => 0,
            Outbound::Hold { .. } => 1,
            Outbound::Bypass => 2,
            _ => 3,
        }] += 1;
    }

    /// A packet from the outside that should have come protected, or not at all.
    fn receive_in_clear(&mut self, processor: &mut Processor<'_>) {
        let (third, port) = (self.below(3) as u8, 2000 + self.below(3) as u16);
        let from = ip(&format!("10.2.{third}.9"));
        let packet = udp_ports(from, ip("10.1.0.9"), port, 1000, 40);
        let matching = self.entries.iter().find(|entry| entry.matches(third, port));
        let verdict = Buffer::new(&packet).inbound(processor, Arrival::Ip);
        let expected = match matching.map(|entry| entry.say) {
            Some(Say::Bypass) => Inbound::Bypass,
            Some(Say::Protect) => Inbound::Discard(Discard::Unprotected),
            Some(Say::Discard) => Inbound::Discard(Discard::Policy),
            None => Inbound::Discard(Discard::NoPolicy),
        };
        assert_eq!(verdict, expected, "{third} {port} under {:?}", self.entries);
    }
}

fn run<const FLOWS: usize>(seed: u64, verdicts: &mut [usize; 4]) {
    let mut tables = Tables::<4, 4, FLOWS>::new();
    let mut processor = Processor::new(&mut tables, Settings::DEFAULT);
    let mut world = World {
        random: ChaCha20Rng::seed_from_u64(seed),
        entries: vec![],
        sas: vec![],
        next_spi: 0x1000,
        verdicts: [0; 4],
    };
    for _ in 0..400 {
        match world.below(20) {
            0 => world.set_policies(&mut processor),
            1..4 => world.install(&mut processor),
            4 => world.remove(&mut processor),
            5..8 => world.receive_in_clear(&mut processor),
            8 => while processor.poll_notice().is_some() {},
            _ => world.send(&mut processor),
        }
    }
    for (all, own) in verdicts.iter_mut().zip(world.verdicts) {
        *all += own;
    }
}

#[test]
fn nothing_that_is_to_be_protected_passes_in_clear() {
    let mut verdicts = [0; 4];
    for seed in 0..200 {
        run::<0>(seed, &mut verdicts);
        run::<8>(seed, &mut verdicts);
    }
    println!("sent, held, in clear by policy, dropped: {verdicts:?}");
    assert!(verdicts.iter().all(|count| *count > 2_000), "{verdicts:?}");
}
