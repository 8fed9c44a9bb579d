//! A simulated host: what a real one does with sockets, here with vectors.
//!
//! Read it as the loop of a host without its waiting: bytes and moments come in, a [`Node`] is called, and what it
//! asks for is collected as a list of actions for the world to carry out.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use chacha20::ChaCha20Rng;
use esp_core::{Arrival, Direction, Outer, PacketBuf, PolicyId, SaParams, SpdEntry, Spi};
use ike_core::config::{ChildId, Config, PeerId};
use ike_core::error::Discard;
use ike_core::event::Event;
use ike_core::natt::{Classified, classify};
use ike_core::{Context, Endpoint, Instant, Path};

use super::recorder::{self, PacketId};
use super::scenario::Memory;
use crate::capture;
use crate::host::{Dropped, Node, Outside, roomy};
use crate::packet::{View, protocol};

/// The port of IKE (RFC 2408 §2.5.1).
pub const IKE_PORT: u16 = 500;
/// The port of IKE and ESP behind a NAT (RFC 3947 §4).
pub const NATT_PORT: u16 = 4500;

/// A host on a virtual clock.
#[derive(Debug)]
pub struct Host<'w> {
    /// Its name, for people.
    pub name: String,
    /// Its address on the outside.
    pub address: IpAddr,
    /// The address of the station behind it, whose packets it protects.
    pub station: IpAddr,
    /// Whether that station answers echo requests.
    pub answers: bool,
    /// The engine and the data plane.
    pub node: Node<'w>,
    /// What it is configured to do; lent to the engine at each call, and may change between two.
    pub config: Config<'w>,
    /// How long a public-key operation takes it.
    pub work_time: Duration,
    pub(super) nat: Option<usize>,
    pub(super) routes: Vec<Route>,
    pub(super) work_due: bool,
    pub(super) keys_wanted: bool,
    pub(super) policies: Vec<SpdEntry>,
    pub(super) spare: Vec<Memory<'w>>,
    rng: ChaCha20Rng,
    clock_offset: i64,
}

/// Whom to negotiate with for a policy entry.
#[derive(Clone, Copy, Debug)]
pub(super) struct Route {
    pub(super) policy: PolicyId,
    pub(super) peer: PeerId,
    pub(super) child: ChildId,
    pub(super) path: Path,
}

/// What a host wants done.
#[derive(Debug)]
pub(super) enum Action {
    Send { packet: Vec<u8>, inner: Option<PacketId> },
    Holding { policy: PolicyId },
    Deliver(Vec<u8>),
    Dropped { inner: Option<PacketId>, why: Dropped },
    Event(Event),
    Ignored(Discard),
    Installed { direction: Direction, spi: Spi, keys: Option<String> },
    IkeKey { cookie: [u8; 8], key: Vec<u8> },
}

impl<'w> Host<'w> {
    pub(super) fn new(
        name: &str,
        address: IpAddr,
        station: IpAddr,
        node: Node<'w>,
        config: Config<'w>,
        rng: ChaCha20Rng,
    ) -> Self {
        Self {
            name: name.to_string(),
            address,
            station,
            answers: true,
            node,
            config,
            work_time: Duration::ZERO,
            nat: None,
            routes: Vec::new(),
            work_due: false,
            keys_wanted: true,
            policies: Vec::new(),
            spare: Vec::new(),
            rng,
            clock_offset: 0,
        }
    }

    /// The host's own clock, which may be wrong.
    #[must_use]
    pub fn clock(&self, now: Instant) -> Instant {
        Instant::from_millis(now.as_millis().saturating_add_signed(self.clock_offset))
    }

    /// Sets the host's clock forward, or back, by this many milliseconds.
    pub fn jump_clock(&mut self, millis: i64) {
        self.clock_offset = self.clock_offset.saturating_add(millis);
    }

    /// Switches it off and on again: all it knew is gone, and what it held.
    pub(super) fn restart(&mut self) {
        let memory = self.spare.pop().expect("one life more in the scenario");
        self.node = memory.begin(&self.policies, &mut self.rng);
    }

    /// When it wants to be called, by the clock of the world.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let own = self.node.deadline()?;
        let world = own.as_millis().saturating_add_signed(self.clock_offset.saturating_neg());
        Some(Instant::from_millis(world))
    }

    /// A packet from the station behind it, or its own.
    pub(super) fn packet_out(&mut self, now: Instant, packet: &[u8]) -> Vec<Action> {
        let mut buffer = roomy(packet);
        let range = PacketBuf::HEADROOM..PacketBuf::HEADROOM + packet.len();
        self.with(now, |node, cx, out| {
            if let Some(mut packet) = PacketBuf::new(&mut buffer, range) {
                node.packet_out(cx, &mut packet, out);
            }
        })
    }

    /// A packet from the link. IKE goes to the engine, everything else to the data plane.
    pub(super) fn packet_in(
        &mut self,
        now: Instant,
        mut packet: Vec<u8>,
        inner: Option<PacketId>,
    ) -> Vec<Action> {
        let own = self.address;
        let Some(view) = View::of(&packet) else { return Vec::new() };
        let to_us = view.protocol == protocol::UDP && view.destination == own;
        let path = |encap| Path {
            local: SocketAddr::new(own, view.to().port()),
            remote: view.from(),
            encap,
        };
        self.with(now, |node, cx, out| {
            out.inner = inner;
            let ike = match view.to().port() {
                IKE_PORT if to_us => Some((path(false), &mut packet[view.payload.clone()])),
                NATT_PORT if to_us => match classify(&mut packet[view.payload.clone()]) {
                    Classified::Ike(datagram) => Some((path(true), datagram)),
                    Classified::Esp(_) => None,
                    _ => return,
                },
                _ => None,
            };
            match ike {
                Some((path, datagram)) => {
                    if let Err(why) = node.ike_in(cx, path, datagram, out) {
                        out.actions.push(Action::Ignored(why));
                    }
                }
                None => {
                    let mut packet = PacketBuf::whole(&mut packet);
                    node.packet_in(cx, &mut packet, Arrival::Ip, out);
                }
            }
        })
    }

    /// Its deadline has come.
    pub(super) fn timeout(&mut self, now: Instant) -> Vec<Action> {
        self.with(now, |node, cx, out| node.timeout(cx, out))
    }

    /// It has had the time for its public-key operation.
    pub(super) fn work(&mut self, now: Instant) -> Vec<Action> {
        self.with(
            now,
            |node, cx, out| while node.work(cx, u32::MAX, out) == ike_core::Work::More {},
        )
    }

    /// Asks something of its engine.
    pub(super) fn request<R>(
        &mut self,
        now: Instant,
        ask: impl FnOnce(&mut Endpoint<'w>, &mut Context<'_>) -> R,
    ) -> (R, Vec<Action>) {
        let mut answer = None;
        let actions = self.with(now, |node, cx, out| answer = Some(node.request(cx, out, ask)));
        (answer.expect("asked once"), actions)
    }

    /// Lends the node what it needs for one call, and collects what it wants done.
    fn with(
        &mut self,
        now: Instant,
        call: impl FnOnce(&mut Node<'w>, &mut Context<'_>, &mut Outbox<'_>),
    ) -> Vec<Action> {
        let now = self.clock(now);
        self.node.work_at_once = self.work_time.is_zero();
        let mut cx = Context { now, rng: &mut self.rng, config: &self.config };
        let mut out = Outbox {
            routes: &self.routes,
            keys_wanted: self.keys_wanted,
            inner: None,
            actions: Vec::new(),
        };
        call(&mut self.node, &mut cx, &mut out);
        out.actions
    }
}

/// Collects what a node asks for. `inner` is the packet in hand: the one being sealed, or the one being opened.
struct Outbox<'h> {
    routes: &'h [Route],
    keys_wanted: bool,
    inner: Option<PacketId>,
    actions: Vec<Action>,
}

impl Outside for Outbox<'_> {
    fn route(&self, policy: PolicyId) -> Option<(PeerId, ChildId, Path)> {
        let route = self.routes.iter().find(|route| route.policy == policy)?;
        Some((route.peer, route.child, route.path))
    }

    fn send_ike(&mut self, path: Path, datagram: &[u8]) {
        let packet = crate::packet::udp(path.local, path.remote, datagram);
        self.actions.push(Action::Send { packet, inner: None });
    }

    fn sealing(&mut self, packet: &[u8]) {
        self.inner = recorder::tag_in(packet);
    }

    fn holding(&mut self, policy: PolicyId, _: &[u8]) {
        self.actions.push(Action::Holding { policy });
    }

    fn send_protected(&mut self, _: Outer, packet: &[u8]) {
        self.actions.push(Action::Send { packet: packet.to_vec(), inner: self.inner });
    }

    fn send_clear(&mut self, packet: &[u8]) {
        let inner = recorder::tag_in(packet);
        self.actions.push(Action::Send { packet: packet.to_vec(), inner });
    }

    fn deliver(&mut self, packet: &[u8]) {
        self.actions.push(Action::Deliver(packet.to_vec()));
    }

    fn dropped(&mut self, packet: &[u8], why: Dropped) {
        let inner = match why {
            Dropped::Inbound(_) => self.inner,
            _ => recorder::tag_in(packet),
        };
        self.actions.push(Action::Dropped { inner, why });
    }

    fn event(&mut self, endpoint: &Endpoint<'_>, event: &Event) {
        if self.keys_wanted
            && let Event::IkeSaUp { ike, .. } = event
            && let Some((cookies, key)) = endpoint.danger_keylog(*ike)
        {
            self.actions.push(Action::IkeKey { cookie: cookies.initiator.0, key: key.to_vec() });
        }
        self.actions.push(Action::Event(*event));
    }

    fn installing(&mut self, direction: Direction, params: &mut SaParams) {
        let keys = self.keys_wanted.then(|| capture::esp_line(params));
        self.actions.push(Action::Installed { direction, spi: params.spi, keys });
    }
}
