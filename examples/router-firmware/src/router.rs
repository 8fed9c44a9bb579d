//! Both engines behind one door: what the data plane asks for goes to the keying engine, the SAs that this one makes go to
//! the data plane.
//!
//! ```text
//!   packet_out ──► Processor ── Hold ──► Notice::Acquire ──► Endpoint::create_child ──► poll
//!                      ▲                                          │
//!                      └── install_inbound, install_outbound ◄── event
//! ```

use core::fmt;

use esp_core::{
    Arrival, Inbound, InstallError, Notice, Outbound, Outer, PacketBuf, Processor, Spi,
};
use ike_core::config::{ChildId, PeerId};
use ike_core::error::{ApiError, Discard};
use ike_core::event::{ChildSaHandle, Event, Traffic};
use ike_core::natt::{Classified, classify};
use ike_core::{Context, Endpoint, Instant, Path, Work};

use crate::abi::{self, Answer, Fault, header};
use crate::config::{self, Policies, SIZES, Settings};
use crate::host::Host;
use crate::text::Line;

/// The router's IPsec.
pub struct Router<'s> {
    engines: Engines<'s>,
    settings: Settings,
    host: Host,
}

struct Engines<'s> {
    endpoint: Endpoint<'s>,
    processor: Processor<'s>,
}

/// A verdict on a packet, with what goes with some of them.
pub struct Verdict {
    pub answer: Answer,
    pub mtu: u16,
    pub why: Option<esp_core::Discard>,
}

impl Verdict {
    const fn new(answer: Answer) -> Self {
        Self { answer, mtu: 0, why: None }
    }

    const fn dropped(why: esp_core::Discard) -> Self {
        Self { answer: Answer::Drop, mtu: 0, why: Some(why) }
    }
}

impl<'s> Router<'s> {
    /// Without peers or policies: everything is dropped.
    pub const fn new(endpoint: Endpoint<'s>, processor: Processor<'s>, host: Host) -> Self {
        Self { engines: Engines { endpoint, processor }, settings: Settings::new(), host }
    }

    /// Takes over another configuration, or leaves everything as it is.
    ///
    /// # Safety
    /// As for [`Settings::read`].
    pub unsafe fn configure(&mut self, config: &abi::Config) -> Result<Answer, Fault> {
        let mut new = Settings::new();
        // SAFETY: by this function's contract.
        let policies: Policies = unsafe { new.read(config) }?;
        let host = self.host;
        let works = new.check(&mut |found| {
            let of = (found.peer.map_or(0, |peer| peer.0), found.child.map_or(0, |child| child.0));
            host.say(format_args!("configuration: peer {}, child {}: {}", of.0, of.1, found.kind));
        });
        if !works {
            return Err(Fault::Config);
        }
        if let Err(error) = self.engines.processor.set_policies(&policies) {
            host.say(format_args!("configuration: {error}"));
            return Err(Fault::Config);
        }
        core::mem::swap(&mut self.settings, &mut new);
        Ok(Answer::Done)
    }

    /// Calls the engines with what they need to be lent, and does what the data plane wants done then.
    fn call<R>(
        &mut self,
        now: u64,
        call: impl FnOnce(&mut Engines<'s>, &mut Context<'_>) -> R,
    ) -> R {
        let Self { engines, settings, host } = self;
        let mut rng = *host;
        settings.lend(|config| {
            let mut cx = Context { now: Instant::from_millis(now), rng: &mut rng, config };
            let result = call(engines, &mut cx);
            engines.follow_notices(&mut cx, settings, host);
            result
        })
    }

    pub fn packet_out(&mut self, now: u64, packet: &mut PacketBuf<'_>) -> Verdict {
        self.call(now, |engines, cx| match engines.processor.outbound(packet) {
            Outbound::Send { owner, .. } => {
                let seen = Traffic { sent: true, received: false };
                engines.endpoint.note_traffic(cx, ChildSaHandle::from_owner(owner), seen);
                Verdict::new(Answer::Send)
            }
            Outbound::Bypass => Verdict::new(Answer::Pass),
            Outbound::Hold { .. } => Verdict::new(Answer::Hold),
            Outbound::TooBig { mtu } => Verdict { mtu, ..Verdict::new(Answer::TooBig) },
            Outbound::Discard(why) => Verdict::dropped(why),
        })
    }

    pub fn packet_in(&mut self, now: u64, packet: &mut PacketBuf<'_>, from: Arrival) -> Verdict {
        self.call(now, |engines, cx| match engines.processor.inbound(packet, from) {
            Inbound::Deliver { owner, advanced, outer, .. } => {
                if advanced {
                    engines.heard(cx, ChildSaHandle::from_owner(owner), outer);
                }
                Verdict::new(Answer::Deliver)
            }
            Inbound::Bypass => Verdict::new(Answer::Pass),
            Inbound::Discard(why) => Verdict::dropped(why),
        })
    }

    pub fn datagram_in(&mut self, now: u64, path: Path, datagram: &mut PacketBuf<'_>) -> Verdict {
        if path.encap {
            match classify(datagram.packet_mut()) {
                Classified::Ike(message) => self.ike_in(now, path, message),
                Classified::Esp(_) => {
                    let arrival = Arrival::Esp(path.outer());
                    return self.packet_in(now, datagram, arrival);
                }
                Classified::Keepalive | Classified::Short => {}
            }
        } else {
            self.ike_in(now, path, datagram.packet_mut());
        }
        Verdict::new(Answer::Done)
    }

    fn ike_in(&mut self, now: u64, path: Path, message: &mut [u8]) {
        match self.call(now, |engines, cx| engines.endpoint.handle_datagram(cx, path, message)) {
            Ok(()) | Err(Discard::Duplicate) => {}
            Err(why) => {
                self.host.say(format_args!("datagram from {} discarded: {why}", path.remote));
            }
        }
    }

    pub fn poll(&mut self) -> Option<abi::Datagram> {
        let transmit = self.engines.endpoint.poll_transmit()?;
        let Path { local, remote, .. } = transmit.path;
        let path = abi::Path {
            local: config::to_address(local.ip()),
            remote: config::to_address(remote.ip()),
            local_port: local.port(),
            remote_port: remote.port(),
        };
        let data = transmit.datagram.as_ptr();
        Some(abi::Datagram { path, data, length: transmit.datagram.len() })
    }

    /// The next event that C is to hear of; others are acted upon on the way.
    pub fn event(&mut self, now: u64) -> Option<abi::Event> {
        let (host, path_mtu) = (self.host, self.settings.path_mtu);
        loop {
            let event = self.engines.endpoint.poll_event()?;
            let told = self.call(now, |engines, cx| {
                engines.apply(cx, &event, path_mtu, &host);
                engines.tell(&event)
            });
            if told.is_some() {
                return told;
            }
        }
    }

    pub fn deadline(&self) -> u64 {
        self.engines.endpoint.poll_timeout().map_or(u64::MAX, Instant::as_millis)
    }

    pub fn timeout(&mut self, now: u64) {
        if self.deadline() <= now {
            self.call(now, |engines, cx| engines.endpoint.handle_timeout(cx));
        }
    }

    pub fn work(&mut self, now: u64, budget: u32) -> Answer {
        match self.call(now, |engines, cx| engines.endpoint.handle_work(cx, budget)) {
            Work::More => Answer::More,
            Work::Idle => Answer::Done,
        }
    }

    pub fn start(&mut self, now: u64, child: u32) -> Result<Answer, Fault> {
        let (peer, child, path) = self.settings.route(child).ok_or(Fault::Unknown)?;
        self.call(now, |engines, cx| engines.endpoint.create_child(cx, peer, child, path))
            .map_err(fault)?;
        Ok(Answer::Done)
    }

    pub fn renew(&mut self, now: u64, child: u32) -> Result<Answer, Fault> {
        let sas = self.engines.endpoint.child_sas();
        let current =
            |sa: &ike_core::ChildSaInfo| sa.config == ChildId(child) && sa.up && !sa.replaced;
        let sa = sas.into_iter().find(current).ok_or(Fault::Unknown)?;
        self.call(now, |engines, cx| engines.endpoint.rekey_child(cx, sa.handle)).map_err(fault)?;
        Ok(Answer::Done)
    }

    pub fn stop(&mut self, now: u64, peer: u32) -> Result<Answer, Fault> {
        let peer = PeerId(peer);
        if !self.settings.knows(peer) {
            return Err(Fault::Unknown);
        }
        self.call(now, |engines, cx| {
            // One SA at a time: to end one can end others. Each round ends one, or nothing is left.
            for _ in 0..SIZES.ike_sas {
                let mut sas = engines.endpoint.ike_sas().filter(|sa| sa.peer == peer);
                let Some(sa) = sas.next() else { break };
                drop(sas);
                let _ = engines.endpoint.delete_ike(cx, sa.handle);
            }
            for _ in 0..SIZES.child_sas {
                let mut sas = engines.endpoint.child_sas().filter(|sa| sa.peer == peer);
                let Some(sa) = sas.next() else { break };
                drop(sas);
                let _ = engines.endpoint.delete_child(cx, sa.handle);
            }
        });
        Ok(Answer::Done)
    }

    pub fn stats(&self) -> abi::Stats {
        let packets = self.engines.processor.stats();
        let in_use = self.engines.endpoint.in_use();
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        abi::Stats {
            sealed: packets.sent,
            opened: packets.delivered,
            passed: packets.bypassed,
            held: packets.held,
            dropped: packets.all_discarded(),
            ike_sas: count(in_use.ike_sas),
            child_sas: count(in_use.child_sas),
            exchanges: count(in_use.exchanges),
        }
    }
}

impl Engines<'_> {
    /// A packet that is newer than all before it: the peer is alive, and where it came from.
    fn heard(&mut self, cx: &mut Context<'_>, child: ChildSaHandle, outer: Outer) {
        self.endpoint.note_traffic(cx, child, Traffic { sent: false, received: true });
        if let Some(path) = Path::of_esp(outer) {
            self.endpoint.path_seen(cx, child, path);
        }
    }

    /// A request that the engine refuses is one it is busy with already, or one that it reports by an event.
    fn follow_notices(&mut self, cx: &mut Context<'_>, settings: &Settings, host: &Host) {
        while let Some(notice) = self.processor.poll_notice() {
            let result = match notice {
                Notice::Acquire { policy, .. } => match settings.route(policy.0) {
                    Some((peer, child, path)) => self.endpoint.create_child(cx, peer, child, path),
                    // It has to begin itself.
                    None => Ok(()),
                },
                Notice::SoftExpired { owner, .. } | Notice::SequenceLow { owner, .. } => {
                    self.endpoint.rekey_child(cx, ChildSaHandle::from_owner(owner))
                }
                Notice::HardExpired { owner, .. } => {
                    self.endpoint.delete_child(cx, ChildSaHandle::from_owner(owner))
                }
                // Nothing is exported: SAs end with the device.
                Notice::ReservationLow { .. } => Ok(()),
            };
            if let Err(error) = result {
                host.say(format_args!("the data plane's request: {error}"));
            }
        }
    }

    /// Does what an event asks for.
    fn apply(&mut self, cx: &mut Context<'_>, event: &Event, path_mtu: u16, host: &Host) {
        match *event {
            Event::ChildSaReady { child, .. } => {
                let Some(params) = self.endpoint.take_inbound(child) else { return };
                if let Err(error) = self.processor.install_inbound(params) {
                    host.say(format_args!("SA not installed: {error}"));
                    let _ = self.endpoint.reject_child(cx, child);
                }
            }
            Event::ChildSaOutbound { child } => {
                if let Err(error) = self.install_outbound(cx, child, path_mtu) {
                    // Half a tunnel is of no use to anybody.
                    host.say(format_args!("SA not installed: {error}"));
                    let _ = self.endpoint.delete_child(cx, child);
                }
            }
            Event::ChildSaOutboundGone { policy, outbound, .. } => {
                self.processor.remove_outbound(policy, outbound);
            }
            Event::ChildSaDown { child, .. } => {
                self.processor.remove_owner(child.to_owner());
            }
            Event::PathChanged { peer, path, .. } => {
                for sa in self.endpoint.child_sas().filter(|sa| sa.peer == peer) {
                    self.processor.move_peer(sa.handle.to_owner(), path.outer());
                }
            }
            _ => {}
        }
    }

    fn install_outbound(
        &mut self,
        cx: &mut Context<'_>,
        child: ChildSaHandle,
        path_mtu: u16,
    ) -> Result<(), InstallError> {
        let Some(params) = self.endpoint.take_outbound(child) else { return Ok(()) };
        self.processor.install_outbound(params, cx.rng)?;
        self.processor.set_mtu(child.to_owner(), path_mtu);
        Ok(())
    }

    /// An event as C hears it; `None` for those that are the library's business alone.
    fn tell(&self, event: &Event) -> Option<abi::Event> {
        let of_peer = |kind, peer: PeerId, text: fmt::Arguments<'_>| {
            told(kind, (peer.0, 0), (0, 0), format_args!("peer {}: {text}", peer.0))
        };
        let of_child =
            |kind, peer: PeerId, child: ChildId, spis: (Spi, Spi), text: fmt::Arguments<'_>| {
                let text = format_args!("peer {}, child {}: {text}", peer.0, child.0);
                told(kind, (peer.0, child.0), (spis.0.get(), spis.1.get()), text)
            };
        Some(match *event {
            Event::IkeSaUp { peer, role, path, .. } => {
                let text = format_args!("up at {}, as {role}", path.remote);
                of_peer(header::IPSEC_PEER_UP, peer, text)
            }
            Event::IkeSaDown { peer, reason, .. } => {
                of_peer(header::IPSEC_PEER_DOWN, peer, format_args!("down: {reason}"))
            }
            Event::PathChanged { peer, path, .. } => {
                of_peer(header::IPSEC_PEER_MOVED, peer, format_args!("now at {}", path.remote))
            }
            Event::ChildSaOutbound { child } => {
                // Not there any more, if it could not be installed.
                let sa = self.endpoint.child_sas().find(|sa| sa.handle == child)?;
                let (transform, spis) = (sa.transform?, (sa.inbound, sa.outbound?));
                let text = format_args!("up with {transform} for {}", sa.selectors);
                of_child(header::IPSEC_CHILD_UP, sa.peer, sa.config, spis, text)
            }
            Event::ChildSaDown { peer, config, inbound, outbound, reason, .. } => {
                let text = format_args!("down: {reason}");
                of_child(header::IPSEC_CHILD_DOWN, peer, config, (inbound, outbound), text)
            }
            Event::Failed { peer, child, path, reason, .. } => {
                let numbers = (peer.map_or(0, |peer| peer.0), child.map_or(0, |child| child.0));
                let text = format_args!("failed with {}: {reason}", path.remote);
                told(header::IPSEC_FAILED, numbers, (0, 0), text)
            }
            Event::Hint { peer, notify, authenticated, .. } => {
                let how = if authenticated { "" } else { ", which anybody can have sent" };
                of_peer(header::IPSEC_HINT, peer, format_args!("says {notify}{how}"))
            }
            _ => return None,
        })
    }
}

fn told(kind: i32, numbers: (u32, u32), spis: (u32, u32), text: fmt::Arguments<'_>) -> abi::Event {
    let ((peer, child), (spi_in, spi_out)) = (numbers, spis);
    let text = *Line::new(text).bytes();
    abi::Event { kind: kind.unsigned_abs(), peer, child, spi_in, spi_out, text }
}

const fn fault(error: ApiError) -> Fault {
    match error {
        ApiError::Capacity(_) => Fault::Full,
        ApiError::NoSuchPeer
        | ApiError::NoSuchChild
        | ApiError::Stale
        | ApiError::NotEstablished => Fault::Unknown,
        ApiError::Path => Fault::Address,
        _ => Fault::Config,
    }
}
