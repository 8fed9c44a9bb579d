//! A world of simulated hosts: real engines and real data planes on a virtual clock, over a link that does harm.
//!
//! ```text
//!   station ── host ──┬── (NAT) ──┐                      ┌── host ── station
//!                     │           ├── attacker ── link ──┤
//!   station ── host ──┘           │   loss, delay, …     └── host ── station
//!                                 └─ capture, recorder
//! ```
//!
//! Time jumps from one event to the next, so that hours pass in milliseconds. All randomness comes from one seed: the
//! same seed gives the same bytes. A world that is dropped by a panic prints its seed and its transcript.
//!
//! ```
//! use std::time::Duration;
//! use examples::sim::{Scenario, LEFT, RIGHT};
//!
//! Scenario::site_to_site().run(|world| {
//!     world.ping(LEFT, RIGHT);
//!     world.run_for(Duration::from_secs(5));
//!     assert_eq!(world.recorder.figures().delivered, 2); // the request and its reply
//! });
//! ```

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use chacha20::ChaCha20Rng;
use ike_core::config::{ChildId, PeerId};
use ike_core::event::{Event, Role};
use ike_core::{Context, Endpoint, Instant};

use crate::host::Dropped;
use crate::packet::{self, Echo, View, protocol};

pub mod host;
pub mod hostile;
pub mod link;
pub mod nat;
pub mod recorder;
pub mod reveal;
pub mod scenario;
pub mod transcript;
mod witness;

pub use host::Host;
pub use hostile::Hostile;
pub use link::{Attacker, Injection, Kind, Link, Outcome, Plan, Verdict, Weather};
pub use nat::Nat;
pub use recorder::{Fate, Figures, PacketId, Recorder};
pub use scenario::{ChildPlan, Family, HostPlan, PeerPlan, Scenario};
pub use transcript::{Entry, Transcript, What};

use host::Action;
use link::Passage;
use witness::{Label, Witness};

/// Which host: its place in the scenario's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub usize);

/// The first host of [`Scenario::site_to_site`].
pub const LEFT: HostId = HostId(0);
/// The second host of [`Scenario::site_to_site`].
pub const RIGHT: HostId = HostId(1);

/// Everything there is, at one moment.
pub struct World<'w> {
    /// What happens to packets on the link.
    pub link: Link,
    /// The translators, in the order in which the scenario names them.
    pub nats: Vec<Nat>,
    /// What became of the inner packets.
    pub recorder: Recorder,
    /// What happened.
    pub transcript: Transcript,
    /// Everything that was put on the link, if the scenario wants it kept.
    pub captured: Option<Vec<(Instant, Vec<u8>)>>,
    /// The keys of all SAs there have been, as Wireshark wants them.
    pub keys: Keys,
    /// Renewals there have been.
    pub renewals: Renewals,
    /// Packets that the attacker has put on the link.
    pub injected: u64,
    seed: u64,
    now: Instant,
    hosts: Vec<Host<'w>>,
    attacker: Option<Box<dyn Attacker + 'w>>,
    agenda: BinaryHeap<Reverse<Appointment>>,
    serial: u64,
    rng: ChaCha20Rng,
    echo_sequence: u16,
    witness: Witness,
}

/// Renewals, counted at the end that began them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Renewals {
    /// Of pairs of child SAs.
    pub children: u64,
    /// Of IKE SAs.
    pub ike_sas: u64,
}

impl Renewals {
    /// Adds those of another world.
    pub fn add(&mut self, other: Self) {
        self.children += other.children;
        self.ike_sas += other.ike_sas;
    }

    fn count(&mut self, event: &Event) {
        match event {
            Event::ChildSaReady { role: Role::Initiator, replaces: Some(_), .. } => {
                self.children += 1;
            }
            Event::IkeSaReplaced { .. } => self.ike_sas += 1,
            _ => {}
        }
    }
}

/// The keys of all SAs there have been.
#[derive(Debug, Default)]
pub struct Keys {
    /// Initiator cookie and encryption key of each IKE SA.
    pub ike: BTreeSet<([u8; 8], Vec<u8>)>,
    /// A line of `esp_sa` for each direction of each child SA.
    pub esp: BTreeSet<String>,
}

impl Keys {
    /// The key of the IKE SA with this initiator cookie.
    #[must_use]
    pub fn ike_key(&self, cookie: [u8; 8]) -> Option<&[u8]> {
        self.ike.iter().find(|(other, _)| *other == cookie).map(|(_, key)| key.as_slice())
    }
}

/// Something that will happen. Ordered by time, then by when it was arranged.
#[derive(Debug)]
struct Appointment {
    at: Instant,
    serial: u64,
    what: Due,
}

#[derive(Debug)]
enum Due {
    Arrival(Flight),
    Work(HostId),
}

/// A packet under way.
#[derive(Clone, Debug)]
struct Flight {
    from: Option<HostId>,
    packet: Vec<u8>,
    inner: Option<PacketId>,
    corrupted: bool,
    /// Its sender could know that nobody is where it goes.
    misdirected: bool,
}

impl Flight {
    /// What no host sent.
    fn foreign(packet: Vec<u8>) -> Self {
        Self { from: None, packet, inner: None, corrupted: false, misdirected: false }
    }
}

impl<'w> World<'w> {
    /// The time, by a clock that never jumps.
    #[must_use]
    pub fn now(&self) -> Instant {
        self.now
    }

    /// A host.
    ///
    /// # Panics
    ///
    /// If the scenario has no such host.
    #[must_use]
    pub fn host(&self, host: HostId) -> &Host<'w> {
        &self.hosts[host.0]
    }

    /// A host, to be changed.
    ///
    /// # Panics
    ///
    /// If the scenario has no such host.
    pub fn host_mut(&mut self, host: HostId) -> &mut Host<'w> {
        &mut self.hosts[host.0]
    }

    /// The numbers of all hosts.
    pub fn host_ids(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len()).map(HostId)
    }

    /// Someone sits on the link from now on.
    pub fn attack(&mut self, attacker: impl Attacker + 'w) {
        self.attacker = Some(Box::new(attacker));
    }

    /// Nobody does any more.
    pub fn end_attack(&mut self) {
        self.attacker = None;
    }

    /// Writes a line into the transcript.
    pub fn note(&mut self, text: impl Into<String>) {
        self.transcript.push(self.now, What::Note(text.into()));
    }

    /// Writes down what happens, unless nobody wants to read it.
    fn tell(&mut self, what: impl FnOnce() -> What) {
        if !self.transcript.quiet {
            self.transcript.push(self.now, what());
        }
    }

    /// Where an inner packet is, or how it ended.
    ///
    /// # Panics
    ///
    /// If there is no such packet.
    #[must_use]
    pub fn fate(&self, packet: PacketId) -> Fate {
        self.recorder.get(packet).expect("a packet of this world").fate
    }

    /// The transcript with every IKE message as `ike_core::trace` shows it, decrypted where the keys are known.
    #[must_use]
    pub fn story(&self) -> String {
        let mut reader = reveal::Reader::default();
        let mut text = String::new();
        for entry in self.transcript.since(0) {
            text.push_str(&self.transcript.line(entry));
            text.push('\n');
            if let Some(message) = reader.read_entry(entry, &self.keys) {
                for line in message.lines() {
                    text.push_str(&format!("{:12}{line}\n", ""));
                }
            }
        }
        text
    }

    // ---- traffic -----------------------------------------------------------------------------

    /// The station behind `from` pings the one behind `to`, which answers if it may.
    pub fn ping(&mut self, from: HostId, to: HostId) -> PacketId {
        self.echo_sequence = self.echo_sequence.wrapping_add(1);
        let id = self.recorder.next_id();
        let payload = recorder::payload(id, 56);
        let (source, destination) = (self.host(from).station, self.host(to).station);
        let bytes =
            packet::echo(source, destination, Echo::Request, 0x0e1f, self.echo_sequence, &payload);
        self.send(from, to, &bytes)
    }

    /// The station behind `from` sends the one behind `to` a UDP datagram with so many bytes of payload; at least
    /// 16 are needed to recognise it.
    pub fn udp(&mut self, from: HostId, to: HostId, length: usize) -> PacketId {
        let id = self.recorder.next_id();
        let payload = recorder::payload(id, length.max(16));
        let source = SocketAddr::new(self.host(from).station, 40_000);
        let destination = SocketAddr::new(self.host(to).station, 5_001);
        self.send(from, to, &packet::udp(source, destination, &payload))
    }

    /// The station behind `from` sends a packet of the caller's own making. Its payload must be that of
    /// [`recorder::payload`] with the number that [`Recorder::next_id`] gave.
    pub fn send(&mut self, from: HostId, to: HostId, bytes: &[u8]) -> PacketId {
        let id = self.recorder.sent(from, to, self.now, bytes);
        self.tell(|| What::Inside { host: from, packet: bytes.to_vec() });
        let actions = self.hosts[from.0].packet_out(self.now, bytes);
        self.carry_out(from, actions);
        id
    }

    /// Puts a packet on the link that no host sent.
    pub fn inject(&mut self, packet: Vec<u8>) {
        let at = self.now.after(self.link.weather.delay);
        self.tell(|| What::OnLink {
            from: None,
            packet: packet.clone(),
            outcome: Outcome::Passed,
            inner: None,
        });
        self.arrange(at, Due::Arrival(Flight::foreign(packet)));
    }

    // ---- requests ----------------------------------------------------------------------------

    /// Asks something of a host's engine, and does what follows from it.
    pub fn request<R>(
        &mut self,
        host: HostId,
        ask: impl FnOnce(&mut Endpoint<'w>, &mut Context<'_>) -> R,
    ) -> R {
        let (answer, actions) = self.hosts[host.0].request(self.now, ask);
        self.carry_out(host, actions);
        answer
    }

    /// Has `host` negotiate its child `child` with `peer`, phase 1 included if it must be.
    ///
    /// # Errors
    ///
    /// What the engine says.
    ///
    /// # Panics
    ///
    /// If the scenario knows no such child.
    pub fn create_child(
        &mut self,
        host: HostId,
        peer: PeerId,
        child: ChildId,
    ) -> Result<(), ike_core::error::ApiError> {
        let routes = &self.hosts[host.0].routes;
        let route = routes.iter().find(|route| route.peer == peer && route.child == child);
        let path = route.expect("a child of the scenario").path;
        self.request(host, |endpoint, cx| endpoint.create_child(cx, peer, child, path))
    }

    /// Switches a host off and on again, without a word to anyone. Its clock and its randomness go on.
    ///
    /// # Panics
    ///
    /// If the scenario gave it no further life.
    pub fn restart(&mut self, host: HostId) {
        self.recorder.forget_held(host);
        self.witness.restarted(host);
        self.hosts[host.0].restart();
        let name = self.transcript.name(Some(host)).to_string();
        self.note(format!("{name} is switched off and on"));
    }

    // ---- time --------------------------------------------------------------------------------

    /// Lets so much time pass.
    pub fn run_for(&mut self, duration: Duration) {
        self.run_until(self.now.after(duration), |_| false);
    }

    /// Lets time pass until `done` holds, but not beyond `limit` from now. Whether it holds.
    pub fn run_until_done(&mut self, limit: Duration, done: impl Fn(&Self) -> bool) -> bool {
        self.run_until(self.now.after(limit), &done);
        done(self)
    }

    fn run_until(&mut self, end: Instant, done: impl Fn(&Self) -> bool) {
        // A deadline that stays in the past when it is served would stop the clock for ever.
        let mut standing = (self.now, 0_u32);
        while !done(self) {
            let Some(next) = self.next_event().filter(|at| *at <= end) else {
                self.now = self.now.max(end);
                return;
            };
            self.now = self.now.max(next);
            standing =
                if standing.0 == self.now { (self.now, standing.1 + 1) } else { (self.now, 0) };
            assert!(standing.1 < 100_000, "the clock stands still");
            self.step();
        }
    }

    fn next_event(&self) -> Option<Instant> {
        let arranged = self.agenda.peek().map(|Reverse(appointment)| appointment.at);
        let deadlines = self.hosts.iter().filter_map(Host::deadline);
        arranged.into_iter().chain(deadlines).min()
    }

    /// What is arranged for now comes first, then the deadlines of the hosts in their order.
    fn step(&mut self) {
        if self.agenda.peek().is_some_and(|Reverse(appointment)| appointment.at <= self.now) {
            match self.agenda.pop().map(|Reverse(appointment)| appointment.what) {
                Some(Due::Arrival(flight)) => self.arrive(flight),
                Some(Due::Work(host)) => {
                    self.hosts[host.0].work_due = false;
                    let actions = self.hosts[host.0].work(self.now);
                    self.carry_out(host, actions);
                }
                None => {}
            }
            return;
        }
        let due =
            self.hosts.iter().position(|host| host.deadline().is_some_and(|at| at <= self.now));
        if let Some(index) = due {
            let actions = self.hosts[index].timeout(self.now);
            self.carry_out(HostId(index), actions);
        }
    }

    fn arrange(&mut self, at: Instant, what: Due) {
        self.serial += 1;
        self.agenda.push(Reverse(Appointment { at, serial: self.serial, what }));
    }

    // ---- what hosts want done -----------------------------------------------------------------

    fn carry_out(&mut self, host: HostId, actions: Vec<Action>) {
        let mut replies = Vec::new();
        for action in actions {
            match action {
                Action::Send { packet, inner } => self.transmit(host, packet, inner),
                Action::Holding { policy } => {
                    self.transcript.push(self.now, What::Holding { host, policy });
                }
                Action::Deliver(packet) => {
                    if let Some(id) = recorder::tag_in(&packet) {
                        self.recorder.delivered(id, host, self.now, &packet);
                    }
                    replies.extend(self.reply(host, &packet));
                    self.transcript.push(self.now, What::Delivered { host, packet });
                }
                Action::Dropped { inner, why } => {
                    if let Some(id) = inner {
                        let sent = self.recorder.get(id).map_or(self.now, |packet| packet.sent);
                        let excused = self.witness.excuses_own(host, sent, why);
                        let fate = if excused { Fate::Dropped } else { Fate::Unexcused };
                        self.recorder.moved(id, fate(why));
                    }
                    self.transcript.push(self.now, What::Dropped { host, why });
                }
                Action::Event(event) => {
                    self.renewals.count(&event);
                    self.witness.event(host, &event);
                    self.transcript.push(self.now, What::Event { host, event });
                }
                Action::Ignored(why) => self.transcript.push(self.now, What::Ignored { host, why }),
                Action::Installed { direction, spi, keys } => {
                    self.keys.esp.extend(keys);
                    self.witness.installed(host, direction, spi, self.now);
                    self.transcript.push(self.now, What::Installed { host, direction, spi });
                }
                Action::IkeKey { cookie, key } => {
                    self.keys.ike.insert((cookie, key));
                }
            }
        }
        let Host { work_time, work_due, .. } = &mut self.hosts[host.0];
        if !work_time.is_zero() && !*work_due {
            *work_due = true;
            let at = self.now.after(*work_time);
            self.arrange(at, Due::Work(host));
        }
        for (to, reply) in replies {
            self.send(host, to, &reply);
        }
    }

    /// What the station behind `host` answers to a packet, and who shall get it.
    fn reply(&self, host: HostId, request: &[u8]) -> Option<(HostId, Vec<u8>)> {
        let view = View::of(request)?;
        let body = &request[view.payload.clone()];
        let is_request = match view.protocol {
            protocol::ICMP => body.first() == Some(&8),
            protocol::ICMPV6 => body.first() == Some(&128),
            _ => false,
        };
        if !is_request || !self.host(host).answers || body.len() < 8 {
            return None;
        }
        let to = self.host_ids().find(|to| self.host(*to).station == view.source)?;
        let payload = recorder::payload(self.recorder.next_id(), body.len() - 8);
        let number = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
        let (source, destination) = (view.destination, view.source);
        Some((to, packet::echo(source, destination, Echo::Reply, number(4), number(6), &payload)))
    }

    // ---- the link ------------------------------------------------------------------------------

    fn transmit(&mut self, from: HostId, mut packet: Vec<u8>, inner: Option<PacketId>) {
        // Another NAT than its own stands in front of the peer: it has to send to where it heard the peer last.
        let heard_from = self.witness.heard_from(from);
        let known = heard_from.filter(|at| self.nats.iter().any(|nat| nat.knows(*at, self.now)));
        let misdirected = known.is_some_and(|at| {
            View::of(&packet).is_some_and(|view| view.ports.is_some() && view.to() != at)
        });
        let nat = self.hosts[from.0].nat.and_then(|index| self.nats.get_mut(index));
        if nat.is_some_and(|nat| !nat.outward(&mut packet, self.now, &mut self.rng)) {
            return self.gone(Some(from), packet, inner, Outcome::NatRefused);
        }
        self.recorder.watch(&packet);
        if let Some(captured) = &mut self.captured {
            captured.push((self.now, packet.clone()));
        }
        // Its sender has been told that the SA is no more: wherever it goes, it counts as a mistake.
        if Label::of(&packet).is_some_and(|label| self.witness.has_ended(from, label)) {
            return self.gone(Some(from), packet, inner, Outcome::NoRoute);
        }
        let mut injections = Vec::new();
        let attacker = self.attacker.as_mut();
        let verdict = attacker.map(|attacker| attacker.sees(self.now, &packet, &mut injections));
        self.injected += injections.len() as u64;
        for Injection { after, packet } in injections {
            let at = self.now.after(after);
            self.arrange(at, Due::Arrival(Flight::foreign(packet)));
        }
        match verdict {
            None | Some(Verdict::Pass) => {}
            Some(Verdict::Take) => {
                return self.gone(Some(from), packet, inner, Outcome::Intercepted);
            }
            Some(Verdict::Replace(other)) => packet = other,
        }
        let passage = self.link.pass(&mut packet, self.now, &mut self.rng);
        if passage.arrivals.is_empty() {
            return self.gone(Some(from), packet, inner, passage.outcome);
        }
        if let Some(id) = inner {
            self.recorder.moved(id, Fate::OnTheLink);
        }
        let Passage { outcome, arrivals } = passage;
        self.tell(|| What::OnLink { from: Some(from), packet: packet.clone(), outcome, inner });
        let corrupted = outcome == Outcome::Corrupted;
        let flight = Flight { from: Some(from), packet, inner, corrupted, misdirected };
        if let [first, copies @ ..] = arrivals.as_slice() {
            for at in copies {
                self.arrange(*at, Due::Arrival(flight.clone()));
            }
            self.arrange(*first, Due::Arrival(flight));
        }
    }

    /// A packet that was under way reaches nobody.
    fn undelivered(
        &mut self,
        from: Option<HostId>,
        packet: Vec<u8>,
        inner: Option<PacketId>,
        outcome: Outcome,
        misdirected: bool,
    ) {
        if let Some(id) = inner {
            let forgot = outcome == Outcome::NatRefused && !misdirected;
            self.recorder.moved(id, if forgot { Fate::NatForgot } else { Fate::Misdirected });
        }
        self.transcript.push(self.now, What::Undelivered { from, packet, outcome });
    }

    /// The link does not take a packet.
    fn gone(
        &mut self,
        from: Option<HostId>,
        packet: Vec<u8>,
        inner: Option<PacketId>,
        outcome: Outcome,
    ) {
        if let Some(id) = inner {
            let lost = matches!(outcome, Outcome::Lost | Outcome::Intercepted);
            self.recorder.moved(id, if lost { Fate::LostByLink } else { Fate::Misdirected });
        }
        self.transcript.push(self.now, What::OnLink { from, packet, outcome, inner });
    }

    fn arrive(&mut self, flight: Flight) {
        let Flight { from, mut packet, inner, corrupted, misdirected } = flight;
        let Some(destination) = View::of(&packet).map(|view| view.destination) else { return };
        let nat = self.nats.iter_mut().position(|nat| nat.public() == destination);
        if let Some(index) = nat
            && !self.nats[index].inward(&mut packet, self.now)
        {
            return self.undelivered(from, packet, inner, Outcome::NatRefused, misdirected);
        }
        let Some(destination) = View::of(&packet).map(|view| view.destination) else { return };
        let reachable = |host: &Host<'_>| host.nat == nat;
        let to = self.hosts.iter().position(|host| {
            reachable(host) && (host.address == destination || host.station == destination)
        });
        let Some(index) = to else {
            return self.undelivered(from, packet, inner, Outcome::NoRoute, misdirected);
        };
        let label = Label::of(&packet);
        let actions = self.hosts[index].packet_in(self.now, packet, inner);
        let came_out = actions.iter().any(|action| matches!(action, Action::Deliver(_)));
        self.carry_out(HostId(index), actions);
        if let Some(label) = label {
            if came_out {
                self.witness.came_out(HostId(index), label);
            } else if let Some(id) = inner
                && let Fate::Dropped(why @ Dropped::Inbound(reason)) = self.fate(id)
                && !self.witness.excuses(HostId(index), label, reason)
            {
                self.recorder.moved(id, Fate::Unexcused(why));
            }
        }
        if let Some(id) = inner.filter(|_| corrupted) {
            // Whatever the host said of it: it was the link that broke it.
            self.recorder.moved(id, Fate::Corrupted);
        }
    }
}

impl PartialEq for Appointment {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Appointment {}

impl PartialOrd for Appointment {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Appointment {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

impl fmt::Debug for World<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.seed)
            .field("now", &self.now)
            .finish_non_exhaustive()
    }
}

/// A test that fails wants to be repeated and understood.
impl Drop for World<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (seed, now) = (self.seed, transcript::Time(self.now));
            eprintln!("---- seed {seed}, at {now}\n{}----", self.story());
        }
    }
}
