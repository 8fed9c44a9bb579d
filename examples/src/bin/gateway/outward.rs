//! The gateway's surroundings: sockets, device, capture, key log, and the account of what came up and went down.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::{SystemTime, UNIX_EPOCH};

use esp_core::{Direction, Encap, Outer, PolicyId, SaParams, too_big_reply};
use examples::capture::{KeyLog, Pcap};
use examples::host::{Dropped, Outside};
use examples::packet::{self, View};
use ike_core::config::{ChildId, PeerId, RemoteAddress};
use ike_core::event::{ChildSaHandle, DownReason, Event, Role};
use ike_core::natt::{IKE_PORT, NAT_PORT};
use ike_core::{Endpoint, Path};
use tracing::{debug, info, warn};

use crate::config::Site;
use crate::tun::Tun;

const UDP: u8 = 17;
const ESP: u8 = 50;

/// The sockets of one of our addresses.
#[derive(Debug)]
pub struct Listener {
    pub address: IpAddr,
    /// Port 500.
    pub ike: UdpSocket,
    /// Port 4500.
    pub natt: UdpSocket,
    /// IP protocol 50, without UDP. A raw socket reads and writes like a UDP socket whose ports mean nothing.
    pub esp: UdpSocket,
}

impl Listener {
    pub fn open(address: IpAddr) -> io::Result<Self> {
        let udp = |port| {
            let local = SocketAddr::new(address, port);
            let explain =
                |error: io::Error| io::Error::new(error.kind(), format!("UDP {local}: {error}"));
            let socket = UdpSocket::bind(local).map_err(explain)?;
            socket.set_nonblocking(true).map_err(explain)?;
            Ok::<_, io::Error>(socket)
        };
        Ok(Self { address, ike: udp(IKE_PORT)?, natt: udp(NAT_PORT)?, esp: raw_esp(address)? })
    }
}

fn raw_esp(address: IpAddr) -> io::Result<UdpSocket> {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with};

    let explain = |error: rustix::io::Errno| {
        let error = io::Error::from(error);
        io::Error::new(error.kind(), format!("raw ESP socket at {address}: {error}"))
    };
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket: OwnedFd =
        socket_with(family, SocketType::RAW, flags, Some(ipproto::ESP)).map_err(explain)?;
    bind(&socket, &SocketAddr::new(address, 0)).map_err(explain)?;
    Ok(UdpSocket::from(socket))
}

/// How a run with `--once` ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The tunnel was up and is closed.
    Closed,
    /// We do not agree with the peer.
    Failed,
    /// The peer does not answer.
    NoAnswer,
}

/// What a [`examples::host::Node`] asks for, done with the real things.
#[derive(Debug)]
pub struct Outward<'s> {
    pub site: &'s Site,
    pub listeners: Vec<Listener>,
    pub tun: Tun,
    pcap: RefCell<Option<Pcap<BufWriter<File>>>>,
    keylog: Option<KeyLog>,
    /// Children whose outbound SA is in use.
    up: Vec<Up>,
    /// Children that are to be brought up again: those configured to be always up.
    pub lost: Vec<(PeerId, ChildId)>,
    /// The first end of a tunnel, or of the attempt to have one.
    pub outcome: Option<Outcome>,
    pub dropped: u64,
}

#[derive(Clone, Copy, Debug)]
struct Up {
    handle: ChildSaHandle,
    peer: PeerId,
    config: ChildId,
    /// Whether the outbound SA could be used, too: only then it is a tunnel.
    outbound: bool,
}

impl<'s> Outward<'s> {
    pub fn new(
        site: &'s Site,
        listeners: Vec<Listener>,
        tun: Tun,
        pcap: Option<Pcap<BufWriter<File>>>,
        keylog: Option<KeyLog>,
    ) -> Self {
        Self {
            site,
            listeners,
            tun,
            pcap: RefCell::new(pcap),
            keylog,
            up: Vec::new(),
            lost: Vec::new(),
            outcome: None,
            dropped: 0,
        }
    }

    /// Where a peer is spoken with, if it has an address of its own.
    pub fn path(&self, peer: PeerId) -> Option<Path> {
        let peer = self.site.peers.get(usize::try_from(peer.0).ok()?)?;
        let RemoteAddress::Host(remote) = peer.remote else { return None };
        Some(Path {
            local: SocketAddr::new(peer.local, IKE_PORT),
            remote: SocketAddr::new(remote, IKE_PORT),
            encap: false,
        })
    }

    /// Whether a tunnel is up for this child.
    pub fn is_up(&self, peer: PeerId, child: ChildId) -> bool {
        self.up.iter().any(|up| (up.peer, up.config) == (peer, child))
    }

    /// Writes a datagram that came or goes into the capture.
    pub fn capture(&self, from: SocketAddr, to: SocketAddr, protocol: u8, payload: &[u8]) {
        if let Some(pcap) = self.pcap.borrow_mut().as_mut() {
            let bytes = match protocol {
                UDP => packet::udp(from, to, payload),
                _ => packet::ip(from.ip(), to.ip(), protocol, payload),
            };
            let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            if let Err(error) = pcap.packet(time, &bytes).and_then(|()| pcap.flush()) {
                warn!("capture: {error}; no more is written");
                self.pcap.replace(None);
            }
        }
    }

    fn socket(
        &self,
        address: IpAddr,
        pick: impl Fn(&Listener) -> &UdpSocket,
    ) -> Option<&UdpSocket> {
        self.listeners.iter().find(|listener| listener.address == address).map(pick)
    }

    fn send(
        &self,
        socket: Option<&UdpSocket>,
        from: SocketAddr,
        to: SocketAddr,
        protocol: u8,
        payload: &[u8],
    ) {
        let Some(socket) = socket else {
            debug!("{from} is not ours any more");
            return;
        };
        self.capture(from, to, protocol, payload);
        match socket.send_to(payload, to) {
            // What the kernel has no room for is lost as on any link.
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => debug!("to {to}: no room"),
            Err(error) => debug!("to {to}: {error}"),
        }
    }

    /// Tells the sender of a packet that did not fit the path how large packets may be (RFC 4301 §8.2.1). The error comes in
    /// the name of the packet's destination: from the device the system takes none that claims to come from
    /// itself. It cannot come from a group: of packets to one nothing is said.
    fn tell_size(&mut self, packet: &[u8], mtu: u16) {
        let Some(view) = View::of(packet).filter(|view| !view.destination.is_multicast()) else {
            return;
        };
        let mut reply = [0; 1280];
        let len = too_big_reply(packet, mtu, view.destination, &mut reply);
        if let Some(reply) = len.and_then(|len| reply.get(..len)) {
            self.deliver(reply);
        }
    }

    fn ended(&mut self, outcome: Outcome) {
        self.outcome.get_or_insert(outcome);
    }

    fn child_down(&mut self, child: ChildSaHandle, peer: PeerId, reason: DownReason) {
        let Some(place) = self.up.iter().position(|up| up.handle == child) else { return };
        let gone = self.up.swap_remove(place);
        if self.is_up(peer, gone.config) {
            return;
        }
        if gone.outbound {
            info!("{}: tunnel down: {}", self.site.name(peer, Some(gone.config)), reason);
            self.ended(Outcome::Closed);
        }
        self.lost.push((peer, gone.config));
    }

    fn failed(
        &mut self,
        peer: Option<PeerId>,
        child: Option<ChildId>,
        role: Role,
        path: Path,
        reason: ike_core::error::Failure,
    ) {
        use ike_core::error::Failure;

        let who = peer.map_or_else(|| path.remote.to_string(), |peer| self.site.name(peer, child));
        let phase = if child.is_some() { "phase 2" } else { "negotiation" };
        let ours = match (peer, role) {
            (Some(peer), Role::Initiator) => {
                format!("; we offered {}", self.site.offer(peer, child))
            }
            _ => String::new(),
        };
        warn!("{who}: {phase} with {} failed: {reason}{ours}", path.remote);
        debug!(?reason, "the same for programs");
        let Some(peer) = peer else { return };
        let outcome = match (reason, role) {
            (Failure::Cancelled, _) => return,
            // An answerer has seen somebody go away; the next one may come.
            (Failure::NoAnswer { .. } | Failure::IkeSaDown, Role::Responder) => return,
            (Failure::NoAnswer { hint: None, .. } | Failure::IkeSaDown, Role::Initiator) => {
                Outcome::NoAnswer
            }
            _ => Outcome::Failed,
        };
        // A renewal that failed has not ended the tunnel: it will be tried again, or the SA expires.
        match child {
            Some(child) if self.is_up(peer, child) => return,
            None if self.up.iter().any(|up| up.peer == peer) => return,
            _ => {}
        }
        self.ended(outcome);
        if role == Role::Initiator {
            let children = self
                .site
                .peers
                .get(usize::try_from(peer.0).unwrap_or(usize::MAX))
                .map_or(0, |p| p.children.len());
            match child {
                Some(child) => self.lost.push((peer, child)),
                None => self.lost.extend((0..).take(children).map(|child| (peer, ChildId(child)))),
            }
        }
    }
}

impl Outside for Outward<'_> {
    fn route(&self, policy: PolicyId) -> Option<(PeerId, ChildId, Path)> {
        let (peer, child) = self.site.child_of_policy(policy)?;
        Some((peer, child, self.path(peer)?))
    }

    fn send_ike(&mut self, path: Path, datagram: &[u8]) {
        let socket = if path.encap {
            self.socket(path.local.ip(), |listener| &listener.natt)
        } else {
            self.socket(path.local.ip(), |listener| &listener.ike)
        };
        self.send(socket, path.local, path.remote, UDP, datagram);
    }

    fn send_protected(&mut self, outer: Outer, packet: &[u8]) {
        let (local_port, remote_port, protocol) = match outer.encap {
            Encap::None => (0, 0, ESP),
            Encap::Udp { local_port, remote_port } => (local_port, remote_port, UDP),
        };
        let socket = match outer.encap {
            Encap::None => self.socket(outer.local, |listener| &listener.esp),
            Encap::Udp { .. } => self.socket(outer.local, |listener| &listener.natt),
        };
        let from = SocketAddr::new(outer.local, local_port);
        self.send(socket, from, SocketAddr::new(outer.remote, remote_port), protocol, packet);
    }

    fn send_clear(&mut self, packet: &[u8]) {
        // The configuration offers no bypass: what is routed into the device has no other way out.
        self.dropped = self.dropped.saturating_add(1);
        debug!("{} bytes without a way out dropped", packet.len());
    }

    fn deliver(&mut self, packet: &[u8]) {
        if let Err(error) = self.tun.write(packet) {
            self.dropped = self.dropped.saturating_add(1);
            debug!("device: {error}");
        }
    }

    fn dropped(&mut self, packet: &[u8], why: Dropped) {
        self.dropped = self.dropped.saturating_add(1);
        debug!("packet of {} bytes dropped: {why:?}", packet.len());
        if let Dropped::TooBig(mtu) = why {
            self.tell_size(packet, mtu);
        }
    }

    fn event(&mut self, endpoint: &Endpoint<'_>, event: &Event) {
        match *event {
            Event::IkeSaUp { ike, peer, role, path } => {
                info!("{}: IKE SA up with {} as {}", self.site.name(peer, None), path.remote, role);
                if let (Some(keylog), Some((cookies, key))) =
                    (self.keylog.as_mut(), endpoint.danger_keylog(ike))
                    && let Err(error) = keylog.ike_sa(cookies.initiator.0, key)
                {
                    warn!("key log: {error}");
                }
            }
            Event::IkeSaReplaced { .. } => debug!(?event, "IKE SA renewed"),
            Event::IkeSaDown { peer, reason, .. } => {
                info!("{}: IKE SA down: {}", self.site.name(peer, None), reason);
            }
            Event::ChildSaReady { child, peer, config, inbound, outbound, replaces, .. } => {
                info!(
                    "{}: child SA {} (in {inbound}, out {outbound})",
                    self.site.name(peer, Some(config)),
                    if replaces.is_some() { "renewed" } else { "agreed" }
                );
                self.up.push(Up { handle: child, peer, config, outbound: false });
            }
            Event::ChildSaOutbound { child } => {
                let Some(place) = self.up.iter().position(|up| up.handle == child) else { return };
                let Some(up) = self.up.get_mut(place) else { return };
                up.outbound = true;
                let up = *up;
                let others = self.up.iter().filter(|other| {
                    other.outbound && (other.peer, other.config) == (up.peer, up.config)
                });
                if others.count() == 1 {
                    info!("{}: tunnel up", self.site.name(up.peer, Some(up.config)));
                } else {
                    info!(
                        "{}: moved to the renewed child SA",
                        self.site.name(up.peer, Some(up.config))
                    );
                }
            }
            Event::ChildSaOutboundGone { outbound, .. } => {
                debug!("outbound SA {outbound} deleted by the peer")
            }
            Event::ChildSaDown { child, peer, reason, .. } => self.child_down(child, peer, reason),
            Event::PathChanged { peer, path, .. } => {
                info!("{}: now at {}", self.site.name(peer, None), path.remote);
            }
            Event::Failed { peer, child, role, path, reason } => {
                self.failed(peer, child, role, path, reason)
            }
            _ => debug!(?event, "an event of a newer engine"),
        }
    }

    fn installing(&mut self, direction: Direction, params: &mut SaParams) {
        if let Some((peer, child)) = self.site.child_of_policy(params.policy)
            && let Some(packets) = self.site.packets(peer, child)
        {
            params.lifetime.hard.packets = packets;
            params.lifetime.soft.packets =
                packets.saturating_mul(self.site.timing.rekey_percent.into()) / 100;
        }
        debug!(
            "{direction:?} SA {} installed: {}, {:?}",
            params.spi, params.transform, params.encap
        );
        if let Some(keylog) = self.keylog.as_mut()
            && let Err(error) = keylog.esp_sa(params)
        {
            warn!("key log: {error}");
        }
    }
}
