//! The glue that every host needs: notices of the data plane become requests to the engine, events of the engine
//! become security associations of the data plane.
//!
//! ```text
//!   inside packet ──► Processor::outbound ──► Send ─────────────► Outside::send_protected
//!                          │ Hold: kept here, released when the outbound SA is installed
//!                          ▼ Notice::Acquire
//!                     Endpoint::create_child ──► Transmit ──────► Outside::send_ike
//!                          │ Event::ChildSaReady, ChildSaOutbound
//!                          ▼
//!                     Processor::install_inbound, install_outbound
//! ```
//!
//! [`Node`] holds both halves and moves things between them; it knows neither sockets nor clocks. What it wants done
//! it asks of an [`Outside`]. The simulator's hosts and the gateway run on the same `Node`, so that what the simulator
//! proves is what the gateway does.

use std::collections::HashMap;

use esp_core::{
    Arrival, Direction, Inbound, InstallError, Notice, Outbound, Outer, PacketBuf, PolicyId,
    Processor, SaParams,
};
use ike_core::config::{ChildId, PeerId};
use ike_core::error::Discard;
use ike_core::event::{ChildSaHandle, Event, IkeSaHandle, Traffic};
use ike_core::{Context, Endpoint, Instant, Path, Work};

use crate::hold::{Held, Hold};

/// What a [`Node`] asks of its surroundings.
pub trait Outside {
    /// Whom to negotiate with for a policy entry, for which child, and along which path.
    fn route(&self, policy: PolicyId) -> Option<(PeerId, ChildId, Path)>;

    /// Sends one IKE datagram: by UDP, from `path.local` to `path.remote`. The non-ESP marker is in it already.
    fn send_ike(&mut self, path: Path, datagram: &[u8]);

    /// A packet from the inside is about to meet the policy; again, if it was held. For hosts that follow packets.
    fn sealing(&mut self, packet: &[u8]) {
        let _ = packet;
    }

    /// A packet from the inside waits for an SA of this policy entry.
    fn holding(&mut self, policy: PolicyId, packet: &[u8]) {
        let _ = (policy, packet);
    }

    /// Sends one sealed packet, framed as the processor's settings say.
    fn send_protected(&mut self, outer: Outer, packet: &[u8]);

    /// Sends a packet that policy lets pass in clear.
    fn send_clear(&mut self, packet: &[u8]);

    /// Hands a packet that came in to the inside.
    fn deliver(&mut self, packet: &[u8]);

    /// A packet ends here.
    fn dropped(&mut self, packet: &[u8], why: Dropped);

    /// Something happened. Called before the node acts on it.
    fn event(&mut self, endpoint: &Endpoint<'_>, event: &Event);

    /// An SA is about to be installed: the moment to log its keys, if that is wanted, or to limit the packets it may
    /// carry, for which IKEv1 has no words.
    fn installing(&mut self, direction: Direction, params: &mut SaParams);
}

/// Why a packet went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The data plane says so, on the way out.
    Outbound(esp_core::Discard),
    /// The data plane says so, on the way in.
    Inbound(esp_core::Discard),
    /// Sealed it would not fit the path; the sender should be told this size.
    TooBig(u16),
    /// More packets waited for an SA than there is room for.
    HoldFull,
    /// No SA came up while it waited.
    HeldTooLong,
    /// It waited in a host that was switched off.
    SwitchedOff,
}

/// An engine, a data plane, and the packets that wait between them.
#[derive(Debug)]
pub struct Node<'s> {
    /// The keying engine.
    pub endpoint: Endpoint<'s>,
    /// The data plane.
    pub processor: Processor<'s>,
    /// Whether Diffie-Hellman is computed as soon as it is wanted. If not, the host calls [`Self::work`] when it has
    /// the time.
    pub work_at_once: bool,
    hold: Hold,
    children: HashMap<ChildSaHandle, Child>,
    ike_sas: Vec<(IkeSaHandle, PeerId)>,
}

/// What the data plane wants to know of a pair of SAs and the engine's later events do not repeat.
#[derive(Clone, Copy, Debug)]
struct Child {
    peer: PeerId,
    policy: PolicyId,
}

impl<'s> Node<'s> {
    /// A node that holds up to the default number of packets.
    #[must_use]
    pub fn new(endpoint: Endpoint<'s>, processor: Processor<'s>) -> Self {
        Self {
            endpoint,
            processor,
            work_at_once: true,
            hold: Hold::default(),
            children: HashMap::new(),
            ike_sas: Vec::new(),
        }
    }

    /// A packet from the inside, forwarded or our own. There must be room around it for what sealing adds:
    /// [`PacketBuf::HEADROOM`] and [`PacketBuf::TAILROOM`].
    pub fn packet_out(
        &mut self,
        cx: &mut Context<'_>,
        packet: &mut PacketBuf<'_>,
        out: &mut dyn Outside,
    ) {
        self.seal(cx, packet, out);
        self.settle(cx, out);
    }

    /// A packet from the outside that is not IKE: ESP, ESP in UDP, or clear traffic.
    pub fn packet_in(
        &mut self,
        cx: &mut Context<'_>,
        packet: &mut PacketBuf<'_>,
        arrival: Arrival,
        out: &mut dyn Outside,
    ) {
        match self.processor.inbound(packet, arrival) {
            Inbound::Deliver { owner, advanced, outer, .. } => {
                out.deliver(packet.packet());
                self.heard(cx, ChildSaHandle::from_owner(owner), advanced, outer);
            }
            Inbound::Bypass => out.deliver(packet.packet()),
            Inbound::Discard(why) => out.dropped(packet.packet(), Dropped::Inbound(why)),
        }
        self.settle(cx, out);
    }

    /// An IKE datagram, without marker.
    ///
    /// # Errors
    ///
    /// Why the engine did nothing with it: a matter for the log, never for more than that.
    pub fn ike_in(
        &mut self,
        cx: &mut Context<'_>,
        path: Path,
        datagram: &mut [u8],
        out: &mut dyn Outside,
    ) -> Result<(), Discard> {
        let result = self.endpoint.handle_datagram(cx, path, datagram);
        self.settle(cx, out);
        result
    }

    /// When [`Self::timeout`] is due.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        [self.endpoint.poll_timeout(), self.hold.deadline()].into_iter().flatten().min()
    }

    /// The time is [`Self::deadline`], or later.
    pub fn timeout(&mut self, cx: &mut Context<'_>, out: &mut dyn Outside) {
        if self.endpoint.poll_timeout().is_some_and(|at| at <= cx.now) {
            self.endpoint.handle_timeout(cx);
        }
        for held in self.hold.expire(cx.now) {
            out.dropped(&held.packet, Dropped::HeldTooLong);
        }
        self.settle(cx, out);
    }

    /// Computes, for hosts that do not let [`Self::work_at_once`]: at most `budget` modular multiplications.
    pub fn work(&mut self, cx: &mut Context<'_>, budget: u32, out: &mut dyn Outside) -> Work {
        let work = self.endpoint.handle_work(cx, budget);
        self.settle(cx, out);
        work
    }

    /// Asks something of the engine, and does what follows from it.
    pub fn request<R>(
        &mut self,
        cx: &mut Context<'_>,
        out: &mut dyn Outside,
        ask: impl FnOnce(&mut Endpoint<'s>, &mut Context<'_>) -> R,
    ) -> R {
        let answer = ask(&mut self.endpoint, cx);
        self.settle(cx, out);
        answer
    }

    /// The IKE SAs that are up, oldest first.
    pub fn ike_sas(&self) -> impl Iterator<Item = (IkeSaHandle, PeerId)> + '_ {
        self.ike_sas.iter().copied()
    }

    /// The pairs of child SAs that are up, in the order of their numbers.
    #[must_use]
    pub fn children(&self) -> Vec<(ChildSaHandle, PolicyId)> {
        let mut all: Vec<_> =
            self.children.iter().map(|(handle, child)| (*handle, child.policy)).collect();
        all.sort_by_key(|(handle, _)| handle.to_owner());
        all
    }

    /// How many packets wait for an SA.
    #[must_use]
    pub fn held(&self) -> usize {
        self.hold.len()
    }

    /// Does everything that is waiting to be done. Events come before datagrams: the message that lets the peer send is
    /// withheld until the inbound SA is installed. Each round can make another necessary, and each ends.
    fn settle(&mut self, cx: &mut Context<'_>, out: &mut dyn Outside) {
        loop {
            let mut idle = true;
            while self.work_at_once && self.endpoint.handle_work(cx, u32::MAX) == Work::More {}
            while let Some(event) = self.endpoint.poll_event() {
                self.event(cx, event, out);
                idle = false;
            }
            while let Some(notice) = self.processor.poll_notice() {
                self.notice(cx, notice, out);
                idle = false;
            }
            while let Some(transmit) = self.endpoint.poll_transmit() {
                out.send_ike(transmit.path, transmit.datagram);
                idle = false;
            }
            if idle {
                return;
            }
        }
    }

    fn event(&mut self, cx: &mut Context<'_>, event: Event, out: &mut dyn Outside) {
        out.event(&self.endpoint, &event);
        match event {
            Event::IkeSaUp { ike, peer, .. } => self.ike_sas.push((ike, peer)),
            Event::IkeSaDown { ike, .. } => self.ike_sas.retain(|(other, _)| *other != ike),
            Event::ChildSaReady { child, peer, policy, .. } => {
                let installed = self.endpoint.take_inbound(child).is_some_and(|mut params| {
                    out.installing(Direction::Inbound, &mut params);
                    self.processor.install_inbound(params).is_ok()
                });
                if installed {
                    self.children.insert(child, Child { peer, policy });
                } else {
                    let _ = self.endpoint.reject_child(cx, child);
                }
            }
            Event::ChildSaOutbound { child } => self.go_outbound(cx, child, out),
            Event::ChildSaOutboundGone { policy, outbound, .. } => {
                self.processor.remove_outbound(policy, outbound);
            }
            Event::ChildSaDown { child, .. } => {
                self.children.remove(&child);
                self.processor.remove_owner(child.to_owner());
            }
            Event::PathChanged { peer, path, .. } => {
                for (child, _) in self.children.iter().filter(|(_, child)| child.peer == peer) {
                    self.processor.move_peer(child.to_owner(), path.outer());
                }
            }
            _ => {}
        }
    }

    fn go_outbound(&mut self, cx: &mut Context<'_>, child: ChildSaHandle, out: &mut dyn Outside) {
        if self.install_outbound(cx, child, out).is_err() {
            // Half a tunnel is of no use to anybody.
            let _ = self.endpoint.delete_child(cx, child);
        }
    }

    fn install_outbound(
        &mut self,
        cx: &mut Context<'_>,
        child: ChildSaHandle,
        out: &mut dyn Outside,
    ) -> Result<(), InstallError> {
        let Some(mut params) = self.endpoint.take_outbound(child) else { return Ok(()) };
        let policy = params.policy;
        out.installing(Direction::Outbound, &mut params);
        self.processor.install_outbound(params, cx.rng)?;
        for held in self.hold.release(policy) {
            let mut buffer = roomy(&held.packet);
            let range = PacketBuf::HEADROOM..PacketBuf::HEADROOM + held.packet.len();
            if let Some(mut packet) = PacketBuf::new(&mut buffer, range) {
                self.seal(cx, &mut packet, out);
            }
        }
        Ok(())
    }

    /// A request that the engine refuses is one it is already busy with, or one that cannot succeed, which it has
    /// reported by an event; the packet in hand is held or dropped all the same.
    fn notice(&mut self, cx: &mut Context<'_>, notice: Notice, out: &mut dyn Outside) {
        let _ = match notice {
            Notice::Acquire { policy, .. } => match out.route(policy) {
                Some((peer, child, path)) => self.endpoint.create_child(cx, peer, child, path),
                None => Ok(()),
            },
            Notice::SoftExpired { owner, .. } | Notice::SequenceLow { owner, .. } => {
                self.endpoint.rekey_child(cx, ChildSaHandle::from_owner(owner))
            }
            // This host exports nothing: its SAs end with it.
            Notice::ReservationLow { .. } => Ok(()),
            Notice::HardExpired { owner, .. } => {
                self.endpoint.delete_child(cx, ChildSaHandle::from_owner(owner))
            }
        };
    }

    fn seal(&mut self, cx: &mut Context<'_>, packet: &mut PacketBuf<'_>, out: &mut dyn Outside) {
        out.sealing(packet.packet());
        match self.processor.outbound(packet) {
            Outbound::Send { outer, owner } => {
                out.send_protected(outer, packet.packet());
                let seen = Traffic { sent: true, received: false };
                self.endpoint.note_traffic(cx, ChildSaHandle::from_owner(owner), seen);
            }
            Outbound::Bypass => out.send_clear(packet.packet()),
            Outbound::Discard(why) => out.dropped(packet.packet(), Dropped::Outbound(why)),
            Outbound::TooBig { mtu } => out.dropped(packet.packet(), Dropped::TooBig(mtu)),
            Outbound::Hold { policy } => {
                out.holding(policy, packet.packet());
                if let Some(Held { packet, .. }) =
                    self.hold.push(policy, packet.packet().to_vec(), cx.now)
                {
                    out.dropped(&packet, Dropped::HoldFull);
                }
            }
        }
    }

    /// A packet passed `open`: the peer is alive, and it is where the newest packet came from.
    fn heard(&mut self, cx: &mut Context<'_>, child: ChildSaHandle, advanced: bool, outer: Outer) {
        if !advanced {
            return;
        }
        self.endpoint.note_traffic(cx, child, Traffic { sent: false, received: true });
        if let Some(path) = Path::of_esp(outer) {
            self.endpoint.path_seen(cx, child, path);
        }
    }
}

/// `packet` with the room around it that sealing needs: it begins at [`PacketBuf::HEADROOM`].
#[must_use]
pub fn roomy(packet: &[u8]) -> Vec<u8> {
    let mut buffer = vec![0; PacketBuf::HEADROOM + packet.len() + PacketBuf::TAILROOM];
    buffer[PacketBuf::HEADROOM..PacketBuf::HEADROOM + packet.len()].copy_from_slice(packet);
    buffer
}
