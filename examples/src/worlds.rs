//! Small worlds, all of them: two hosts, one exchange, and every fate that its first datagrams can meet with.
//!
//! A mask gives each of the first IKE datagrams a fate; those behind it meet with a perfect link. Whatever the mask, the
//! two must agree again within the time of dead peer detection or of a lifetime, on a tunnel that is up or on none at
//! all; no packet that the link delivered may be lost, come out twice or be read on the way; and no slot may stay in use.
//!
//! ```text
//!   set up on a perfect link ─► begin the exchange, mask in force, traffic in both directions
//!       ─► both idle and of one mind ─► a ping must pass ─► everything deleted ─► every slot is free
//! ```
//!
//! A world that uses only the first few fates of its mask is the world of all masks that begin so: it is played once.

use std::cell::Cell;
use std::fmt;
use std::num::NonZero;
use std::time::Duration;

use esp_core::Spi;
use ike_core::Instant;
use ike_core::config::{Dpd, DpdAction, Lifetime, Phase1Mode};
use ike_core::crypto::Crypto;

use crate::host::Dropped;
use crate::parallel;
use crate::sim::{
    Attacker, Fate, HostId, Injection, Kind, LEFT, PacketId, Plan, RIGHT, Scenario, Verdict, World,
};

/// What is under way while the link does harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exchange {
    /// Main mode and the first quick mode.
    Main,
    /// Aggressive mode and the first quick mode.
    Aggressive,
    /// A child is renewed.
    ChildRekey,
    /// Both renew the child at once.
    ChildRekeyBoth,
    /// Phase 1 is renewed.
    IkeRenewal,
    /// Both renew phase 1 at once.
    IkeRenewalBoth,
    /// A child is deleted.
    ChildDelete,
    /// An IKE SA is deleted, and its children.
    IkeDelete,
}

impl Exchange {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Main,
        Self::Aggressive,
        Self::ChildRekey,
        Self::ChildRekeyBoth,
        Self::IkeRenewal,
        Self::IkeRenewalBoth,
        Self::ChildDelete,
        Self::IkeDelete,
    ];

    /// Its name, in tables and on command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Main => "main",
            Self::Aggressive => "aggressive",
            Self::ChildRekey => "child-rekey",
            Self::ChildRekeyBoth => "child-rekey-both",
            Self::IkeRenewal => "ike-renewal",
            Self::IkeRenewalBoth => "ike-renewal-both",
            Self::ChildDelete => "child-delete",
            Self::IkeDelete => "ike-delete",
        }
    }

    /// IKE datagrams of a perfect run, to the Delete of what was renewed.
    #[must_use]
    pub const fn datagrams(self) -> u32 {
        match self {
            Self::Main => 9,
            Self::Aggressive | Self::IkeRenewal => 7,
            Self::ChildRekey => 4,
            Self::ChildRekeyBoth => 8,
            Self::IkeRenewalBoth => 14,
            Self::ChildDelete => 1,
            Self::IkeDelete => 3,
        }
    }

    /// Whether the tunnel is brought up before the link does harm.
    const fn begins_up(self) -> bool {
        !matches!(self, Self::Main | Self::Aggressive)
    }

    const fn is_delete(self) -> bool {
        matches!(self, Self::ChildDelete | Self::IkeDelete)
    }

    /// How long the two may be of different minds. Nothing answers a Delete: a lost one is made up for when the
    /// lifetime ends.
    const fn patience(self) -> Duration {
        let seconds = match self {
            Self::Main | Self::Aggressive => 120,
            Self::ChildRekey | Self::ChildRekeyBoth => CHILD_LIFETIME,
            _ => IKE_LIFETIME,
        };
        Duration::from_secs(seconds as u64)
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

const SECOND: Duration = Duration::from_secs(1);
/// More than a finished exchange still answers duplicates for, after the two have agreed.
const MINUTE: Duration = Duration::from_secs(60);
/// Seconds.
const CHILD_LIFETIME: u32 = 300;
/// Seconds.
const IKE_LIFETIME: u32 = 600;

/// What all worlds of a series have in common.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// What is under way.
    pub exchange: Exchange,
    /// The algorithms.
    pub crypto: &'static Crypto,
    /// Whether the left side is behind a NAT.
    pub nat: bool,
}

/// How one world went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How many of the fates were met with.
    pub used: usize,
    /// Whether there was a tunnel when the two agreed.
    pub up: bool,
    /// IKE datagrams that were sent until then.
    pub datagrams: u32,
    /// How long they were of different minds, from the beginning of the exchange.
    pub agreement: Duration,
}

/// A world that did not go as it should.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was under way.
    pub setup: Setup,
    /// What the link did.
    pub plans: Vec<Plan>,
    /// What is wrong.
    pub why: String,
    /// What happened.
    pub story: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { setup: Setup { exchange, nat, .. }, plans, why, story } = self;
        let nat = if *nat { " behind NAT" } else { "" };
        write!(f, "{story}---- {exchange}{nat} {}: {why}", mask_text(plans))
    }
}

/// A letter for each fate: `.` delivered, `x` dropped, `2` duplicated.
#[must_use]
pub fn mask_text(plans: &[Plan]) -> String {
    let letter = |plan: &Plan| match plan {
        Plan::Deliver => '.',
        Plan::Drop => 'x',
        Plan::Duplicate => '2',
    };
    plans.iter().map(letter).collect()
}

/// What [`mask_text`] wrote.
#[must_use]
pub fn mask_from_text(text: &str) -> Option<Vec<Plan>> {
    let plan = |letter| match letter {
        '.' => Some(Plan::Deliver),
        'x' => Some(Plan::Drop),
        '2' => Some(Plan::Duplicate),
        _ => None,
    };
    text.chars().map(plan).collect()
}

impl Setup {
    /// Plays one world.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and its transcript.
    pub fn play(&self, plans: &[Plan]) -> Result<Outcome, Box<Failure>> {
        let mut scenario = self.scenario();
        scenario.quiet = true;
        scenario.run(|world| judge(world, self.exchange, plans)).map_err(|why| {
            // Once more, and this time somebody writes down what happens.
            let story = self.story(plans);
            Box::new(Failure { setup: *self, plans: plans.to_vec(), why, story })
        })
    }

    /// The transcript of one world, whatever its end.
    #[must_use]
    pub fn story(&self, plans: &[Plan]) -> String {
        self.scenario().run(|world| {
            world.transcript.set_room(usize::MAX);
            let end = judge(world, self.exchange, plans);
            format!("{}{end:?}\n", world.story())
        })
    }

    fn scenario(&self) -> Scenario {
        let Self { exchange, crypto, nat } = *self;
        let scenario = Scenario::site_to_site()
            .children(|child| {
                child.lifetime = Lifetime { seconds: CHILD_LIFETIME, kilobytes: 0 };
            })
            .each(|host| {
                host.crypto = crypto;
                host.peers[0].adjust(move |peer| {
                    peer.lifetime = Lifetime { seconds: IKE_LIFETIME, kilobytes: 0 };
                    peer.dpd = Some(Dpd {
                        idle: 10 * SECOND,
                        retry: 2 * SECOND,
                        tries: 4,
                        action: DpdAction::Clear,
                    });
                    if exchange == Exchange::Aggressive {
                        peer.exchange = Phase1Mode::Aggressive;
                        peer.danger_answer_aggressive_psk = true;
                    }
                });
            });
        if nat { scenario.behind_nat() } else { scenario }
    }
}

fn judge(world: &mut World<'_>, exchange: Exchange, plans: &[Plan]) -> Result<Outcome, String> {
    if exchange.begins_up() {
        world.ping(LEFT, RIGHT);
        world.run_for(40 * SECOND);
        if !(agree(world) && idle(world) && is_up(world)) {
            return Err("not even a perfect link brings the tunnel up".to_string());
        }
    }
    world.attack(Repeater);
    let (before, pairs_before, ike_before) =
        (datagrams(world), pairs(world, LEFT, false), ike_sas(world, LEFT));
    let first = world.recorder.next_id();
    let start = world.now();
    world.link.plan(Kind::Ike, plans.iter().copied());
    begin(world, exchange);

    let agreement = until_they_agree(world, exchange)?;
    let used = plans.len() - world.link.planned();
    let datagrams = datagrams(world) - before;
    let up = is_up(world);
    world.link.plan(Kind::Any, []);
    no_packet_is_missing(world, exchange, first)?;
    let done = match exchange {
        Exchange::Main | Exchange::Aggressive => up,
        Exchange::ChildRekey | Exchange::ChildRekeyBoth => {
            pairs(world, LEFT, false) != pairs_before
        }
        Exchange::IkeRenewal | Exchange::IkeRenewalBoth => ike_sas(world, LEFT) != ike_before,
        Exchange::ChildDelete | Exchange::IkeDelete => true,
    };
    let dropped = plans.iter().filter(|plan| **plan == Plan::Drop).count();
    if dropped <= FORGIVEN && !done {
        return Err(format!("{dropped} datagrams are lost, and the exchange is given up"));
    }

    passes(world)?;
    everything_ends(world)?;
    let figures = world.recorder.figures();
    if (figures.clear, figures.twice, figures.astray, figures.waiting) != (0, 0, 0, 0) {
        return Err(format!("packets in clear, twice, astray or nowhere: {figures:?}"));
    }
    Ok(Outcome { used, up, datagrams, agreement: agreement.since(start) })
}

/// Every message that is answered is sent six times: the loss of so many datagrams ends no exchange.
const FORGIVEN: usize = 5;

/// Sends every ESP packet once more.
struct Repeater;

impl Attacker for Repeater {
    fn sees(&mut self, _: Instant, packet: &[u8], inject: &mut Vec<Injection>) -> Verdict {
        if Kind::of(packet) == Some(Kind::Esp) {
            let after = Duration::from_millis(15);
            inject.push(Injection { after, packet: packet.to_vec() });
        }
        Verdict::Pass
    }
}

fn begin(world: &mut World<'_>, exchange: Exchange) {
    let ends: &[HostId] = match exchange {
        Exchange::ChildRekeyBoth | Exchange::IkeRenewalBoth => &[LEFT, RIGHT],
        _ => &[LEFT],
    };
    for end in ends {
        let endpoint = &world.host(*end).node.endpoint;
        let child = endpoint.child_sas().next().map(|child| child.handle);
        let ike = endpoint.ike_sas().next().map(|ike| ike.handle);
        let done = world.request(*end, |endpoint, cx| match (exchange, child, ike) {
            (Exchange::ChildRekey | Exchange::ChildRekeyBoth, Some(child), _) => {
                endpoint.rekey_child(cx, child)
            }
            (Exchange::ChildDelete, Some(child), _) => endpoint.delete_child(cx, child),
            (Exchange::IkeRenewal | Exchange::IkeRenewalBoth, _, Some(ike)) => {
                endpoint.rekey_ike(cx, ike)
            }
            (Exchange::IkeDelete, _, Some(ike)) => endpoint.delete_ike(cx, ike),
            _ => Ok(()),
        });
        done.expect("a request at a good moment");
    }
}

/// Lets time pass, with traffic now and then, until both are idle and agree. The moment from which on they agreed.
fn until_they_agree(world: &mut World<'_>, exchange: Exchange) -> Result<Instant, String> {
    let limit = world.now().after(exchange.patience());
    let mut gap = Duration::from_millis(200);
    let agreed_since = Cell::new(None);
    loop {
        traffic(world, exchange);
        let settled = world.run_until_done(gap, |world| {
            let agree = agree(world);
            agreed_since.set(agreed_since.get().filter(|_| agree).or(agree.then(|| world.now())));
            agree && idle(world)
        });
        gap = (gap * 8 / 5).min(MINUTE);
        match agreed_since.get() {
            Some(since) if settled => return Ok(since),
            _ if world.now() <= limit.after(MINUTE) => {}
            Some(_) => return Err("exchanges do not come to an end".to_string()),
            None => return Err("the two do not agree".to_string()),
        }
    }
}

/// A packet or two, each way. A Delete is watched in silence: traffic would bring up what it took down.
fn traffic(world: &mut World<'_>, exchange: Exchange) {
    if exchange.begins_up() && !exchange.is_delete() {
        world.udp(LEFT, RIGHT, 64);
        world.udp(RIGHT, LEFT, 64);
    } else if !exchange.is_delete() {
        // The right side does not begin by itself.
        world.ping(LEFT, RIGHT);
    }
}

/// Each pair and each IKE SA of one side is known to the other.
fn agree(world: &World<'_>) -> bool {
    pairs(world, LEFT, false) == pairs(world, RIGHT, true)
        && ike_sas(world, LEFT) == ike_sas(world, RIGHT)
}

fn pairs(world: &World<'_>, host: HostId, swap: bool) -> Sorted<(Spi, Option<Spi>)> {
    let up = world.host(host).node.endpoint.child_sas().filter(|child| child.up);
    Sorted::of(up.filter_map(|child| {
        let (inbound, outbound) = (child.inbound, child.outbound?);
        Some(if swap { (outbound, Some(inbound)) } else { (inbound, Some(outbound)) })
    }))
}

fn ike_sas(world: &World<'_>, host: HostId) -> Sorted<[u8; 8]> {
    let up = world.host(host).node.endpoint.ike_sas().filter(|ike| ike.established);
    Sorted::of(up.map(|ike| ike.cookies.initiator.0))
}

/// A few values in order, without a heap: they are looked at after every event.
#[derive(Debug, PartialEq, Eq)]
struct Sorted<T>([Option<T>; 8]);

impl<T: Copy + Ord> Sorted<T> {
    fn of(values: impl Iterator<Item = T>) -> Self {
        let mut all = [None; 8];
        for (place, value) in all.iter_mut().zip(values) {
            *place = Some(value);
        }
        all.sort_unstable();
        Self(all)
    }
}

fn is_up(world: &World<'_>) -> bool {
    [LEFT, RIGHT].iter().all(|host| pairs(world, *host, false).0.iter().any(Option::is_some))
}

/// No exchange is under way or lingers, no IKE SA is half open, no pair waits for its end.
fn idle(world: &World<'_>) -> bool {
    [LEFT, RIGHT].iter().all(|host| {
        let endpoint = &world.host(*host).node.endpoint;
        let in_use = endpoint.in_use();
        let established = endpoint.ike_sas().filter(|ike| ike.established).count();
        let in_force = endpoint.child_sas().filter(|child| child.up && !child.replaced).count();
        in_use.exchanges == 0 && in_use.ike_sas == established && in_use.child_sas == in_force
    })
}

fn datagrams(world: &World<'_>) -> u32 {
    [LEFT, RIGHT].iter().map(|host| world.host(*host).node.endpoint.stats().sent).sum()
}

/// The plans are for IKE alone, so the link has lost no packet: each has come out, or has waited for an SA in vain.
fn no_packet_is_missing(
    world: &World<'_>,
    exchange: Exchange,
    first: PacketId,
) -> Result<(), String> {
    for (id, packet) in world.recorder.packets().skip_while(|(id, _)| *id < first) {
        let waited = !exchange.begins_up()
            && matches!(packet.fate, Fate::Held | Fate::Dropped(Dropped::HeldTooLong));
        if packet.fate != Fate::Delivered && !waited {
            return Err(format!("packet {} is {}", id.0, packet.fate));
        }
    }
    Ok(())
}

/// A packet gets through, by what there is or by what it makes.
fn passes(world: &mut World<'_>) -> Result<(), String> {
    let ping = world.ping(LEFT, RIGHT);
    let reply = PacketId(ping.0 + 1);
    world.run_until_done(5 * SECOND, |world| {
        world.recorder.get(reply).is_some_and(|packet| packet.fate == Fate::Delivered)
    });
    match world.recorder.get(reply).map(|packet| packet.fate) {
        Some(Fate::Delivered) => Ok(()),
        _ => Err(format!("nothing passes any more: a ping is {}", world.fate(ping))),
    }
}

/// Both are told to end everything; then every slot of both halves is free again.
fn everything_ends(world: &mut World<'_>) -> Result<(), String> {
    for host in [LEFT, RIGHT] {
        let all: Vec<_> = world.host(host).node.endpoint.ike_sas().map(|ike| ike.handle).collect();
        for ike in all {
            // The first may take the others with it.
            let _ = world.request(host, |endpoint, cx| endpoint.delete_ike(cx, ike));
        }
    }
    world.run_for(40 * SECOND);
    for host in [LEFT, RIGHT] {
        let node = &world.host(host).node;
        let in_use = node.endpoint.in_use();
        let (inbound, outbound) =
            (node.processor.inbound_sas().count(), node.processor.outbound_sas().count());
        if !in_use.is_nothing() || inbound + outbound + node.held() != 0 {
            let name = &world.host(host).name;
            return Err(format!(
                "{name} still has {in_use:?}, {inbound} inbound SAs, {outbound} outbound"
            ));
        }
    }
    Ok(())
}

// ---- all of them --------------------------------------------------------------------------------

/// All masks of one length for one exchange.
#[derive(Clone, Copy, Debug)]
pub struct Series {
    /// What its worlds have in common.
    pub setup: Setup,
    /// The fates that a datagram can meet with.
    pub fates: &'static [Plan],
    /// How many datagrams meet with one.
    pub length: u32,
}

/// Delivered, or lost.
pub const LOSS: &[Plan] = &[Plan::Deliver, Plan::Drop];
/// Delivered, lost, or doubled.
pub const ANY: &[Plan] = &[Plan::Deliver, Plan::Drop, Plan::Duplicate];

/// The sums over many worlds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Masks that were tried.
    pub masks: u64,
    /// Worlds that were played for them: masks that begin alike may be one world.
    pub worlds: u64,
    /// Masks after which there is a tunnel.
    pub up: u64,
    /// Masks after which neither side has one.
    pub down: u64,
    /// IKE datagrams, over all worlds.
    pub datagrams: u64,
    /// The longest that the two were of different minds.
    pub worst: Duration,
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.masks += other.masks;
        self.worlds += other.worlds;
        self.up += other.up;
        self.down += other.down;
        self.datagrams += other.datagrams;
        self.worst = self.worst.max(other.worst);
    }
}

impl Series {
    /// Every way to lose the datagrams of a perfect run and three more.
    #[must_use]
    pub const fn loss(setup: Setup) -> Self {
        Self { setup, fates: LOSS, length: setup.exchange.datagrams() + 3 }
    }

    /// Every way to deliver, lose or double the first eleven.
    #[must_use]
    pub const fn any(setup: Setup) -> Self {
        Self { setup, fates: ANY, length: 11 }
    }

    /// How many masks there are.
    #[must_use]
    pub fn masks(&self) -> u64 {
        self.base().pow(self.length)
    }

    /// The masks are shared out by how they begin: so many beginnings there are.
    #[must_use]
    pub fn beginnings(&self) -> u64 {
        self.base().pow(self.length.min(BEGINNING))
    }

    /// Plays every mask that begins so.
    ///
    /// # Errors
    ///
    /// The first world that does not go as it should.
    pub fn play(&self, beginning: u64) -> Result<Tally, Box<Failure>> {
        let rest = self.base().pow(self.length.saturating_sub(BEGINNING));
        let mut tally = Tally::default();
        let mut mask = beginning * rest;
        while mask < (beginning + 1) * rest {
            let outcome = self.setup.play(&self.plans(mask))?;
            // All masks that differ only in fates nobody met with are this world.
            let unused = self.length - u32::try_from(outcome.used).unwrap_or(self.length);
            let alike = self.base().pow(unused);
            let next = ((mask / alike + 1) * alike).min((beginning + 1) * rest);
            let masks = next - mask;
            tally.add(&Tally {
                masks,
                worlds: 1,
                up: if outcome.up { masks } else { 0 },
                down: if outcome.up { 0 } else { masks },
                datagrams: outcome.datagrams.into(),
                worst: outcome.agreement,
            });
            mask = next;
        }
        Ok(tally)
    }

    /// Plays one beginning in `every`, on all cores. `progress` is told how many beginnings are done, of how many.
    ///
    /// # Errors
    ///
    /// A world that does not go as it should.
    ///
    /// # Panics
    ///
    /// If a world does.
    pub fn play_all(
        &self,
        every: NonZero<u64>,
        progress: impl Fn(u64, u64) + Sync,
    ) -> Result<Tally, Box<Failure>> {
        let count = self.beginnings().div_ceil(every.get());
        parallel::sum(count, |number| self.play(number * every.get()), Tally::add, progress)
    }

    fn base(&self) -> u64 {
        self.fates.len() as u64
    }

    /// The mask with this number: its first digit is the first datagram's.
    fn plans(&self, mask: u64) -> Vec<Plan> {
        let digit = |place| mask / self.base().pow(place) % self.base();
        (0..self.length).rev().map(|place| self.fates[digit(place) as usize]).collect()
    }
}

/// Fates that say which thread plays a mask.
const BEGINNING: u32 = 6;
