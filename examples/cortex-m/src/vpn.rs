//! The host's part: datagrams and packets go in, and what has to leave goes to an [`Outside`].

use esp_core::{Arrival, Inbound, Notice, Outbound, Outer, PacketBuf, Processor};
use ike_core::config::{ChildId, PeerId};
use ike_core::event::{ChildSaHandle, Event, Traffic};
use ike_core::{Context, Endpoint, Path, Work};

use crate::tunnel::Tunnel;

/// Where packets leave, and who wants to know what happens.
pub trait Outside {
    /// Sends an IKE datagram by UDP.
    fn send_ike(&mut self, path: Path, datagram: &[u8]);
    /// Sends ESP, from the SPI on: in UDP or as IP protocol 50, as `outer` says.
    fn send_esp(&mut self, outer: Outer, packet: &[u8]);
    /// For the log.
    fn event(&mut self, event: &Event);
}

/// Both crates, for one peer with one child.
pub struct Vpn<'s> {
    /// The keying engine.
    pub ike: Endpoint<'s>,
    /// The data plane.
    pub esp: Processor<'s>,
    /// Who is behind every policy that protects.
    pub peer: (PeerId, ChildId, Path),
}

impl Vpn<'_> {
    /// An IKE datagram came, without marker. What the engine discards it has counted.
    pub fn ike_in(&mut self, cx: &mut Context<'_>, path: Path, datagram: &mut [u8]) {
        let _ = self.ike.handle_datagram(cx, path, datagram);
    }

    /// ESP came, from the SPI on.
    pub fn esp_in(
        &mut self,
        cx: &mut Context<'_>,
        outer: Outer,
        packet: &mut [u8],
        inside: &mut Tunnel,
    ) {
        let mut packet = PacketBuf::whole(packet);
        let verdict = self.esp.inbound(&mut packet, Arrival::Esp(outer));
        let Inbound::Deliver { owner, advanced, outer, .. } = verdict else { return };
        inside.deliver(packet.packet());
        if advanced {
            let child = ChildSaHandle::from_owner(owner);
            self.ike.note_traffic(cx, child, Traffic { sent: false, received: true });
            if let Some(path) = Path::of_esp(outer) {
                self.ike.path_seen(cx, child, path);
            }
        }
    }

    /// Seals what waits inside. Without an SA it waits on, and one is asked for.
    pub fn packet_out(
        &mut self,
        cx: &mut Context<'_>,
        inside: &mut Tunnel,
        outside: &mut dyn Outside,
    ) {
        let Some(mut packet) = inside.outgoing() else { return };
        match self.esp.outbound(&mut packet) {
            Outbound::Send { outer, owner } => {
                outside.send_esp(outer, packet.packet());
                let seen = Traffic { sent: true, received: false };
                self.ike.note_traffic(cx, ChildSaHandle::from_owner(owner), seen);
            }
            Outbound::Hold { .. } => return,
            // The one interface behind this is a tunnel: what is not protected does not leave.
            Outbound::Bypass | Outbound::Discard(_) | Outbound::TooBig { .. } => {}
        }
        inside.sent();
    }

    /// Everything else that is due; to be called in every round. `budget` modular multiplications are computed.
    pub fn settle(&mut self, cx: &mut Context<'_>, budget: u32, outside: &mut dyn Outside) -> Work {
        if self.ike.poll_timeout().is_some_and(|at| at <= cx.now) {
            self.ike.handle_timeout(cx);
        }
        let work = self.ike.handle_work(cx, budget);
        while let Some(event) = self.ike.poll_event() {
            outside.event(&event);
            self.event(cx, event);
        }
        while let Some(notice) = self.esp.poll_notice() {
            self.notice(cx, notice);
        }
        while let Some(transmit) = self.ike.poll_transmit() {
            outside.send_ike(transmit.path, transmit.datagram);
        }
        work
    }

    fn event(&mut self, cx: &mut Context<'_>, event: Event) {
        match event {
            Event::ChildSaReady { child, .. } => {
                let sa = self.ike.take_inbound(child);
                if !sa.is_some_and(|sa| self.esp.install_inbound(sa).is_ok()) {
                    let _ = self.ike.reject_child(cx, child);
                }
            }
            Event::ChildSaOutbound { child } => {
                let sa = self.ike.take_outbound(child);
                if sa.is_some_and(|sa| self.esp.install_outbound(sa, cx.rng).is_err()) {
                    let _ = self.ike.delete_child(cx, child);
                }
            }
            Event::ChildSaOutboundGone { policy, outbound, .. } => {
                self.esp.remove_outbound(policy, outbound);
            }
            Event::ChildSaDown { child, .. } => {
                self.esp.remove_owner(child.to_owner());
            }
            Event::PathChanged { path, .. } => {
                for sa in self.ike.child_sas() {
                    self.esp.move_peer(sa.handle.to_owner(), path.outer());
                }
            }
            _ => {}
        }
    }

    /// What the engine refuses it is busy with already, or has reported by an event.
    fn notice(&mut self, cx: &mut Context<'_>, notice: Notice) {
        let (peer, child, path) = self.peer;
        let _ = match notice {
            Notice::Acquire { .. } => self.ike.create_child(cx, peer, child, path),
            Notice::SoftExpired { owner, .. } | Notice::SequenceLow { owner, .. } => {
                self.ike.rekey_child(cx, ChildSaHandle::from_owner(owner))
            }
            Notice::HardExpired { owner, .. } => {
                self.ike.delete_child(cx, ChildSaHandle::from_owner(owner))
            }
            Notice::ReservationLow { .. } => Ok(()), // nothing is exported
        };
    }
}
