//! The loop: one thread waits for sockets, device, signals, questions and the next deadline, and moves bytes between
//! them and a [`Node`].

use std::fs::File;
use std::io::{self, BufWriter, Read as _};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::ops::Range;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use esp_core::{
    Addresses, Arrival, Encap, Framing, Mode, Outer, PacketBuf, Processor, Settings, Tables,
};
use examples::capture::{KeyLog, Pcap};
use examples::host::Node;
use ike_core::config::{ChildId, Config, PeerId, RemoteAddress};
use ike_core::error::Discard;
use ike_core::natt::{Classified, classify};
use ike_core::{Context, Endpoint, Instant, Path, Resources, crypto};
use rand_core::UnwrapErr;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use signal_hook::consts::{SIGINT, SIGTERM};
use tracing::{debug, info, warn};

use crate::config::{Site, Start};
use crate::control::Control;
use crate::diversion::divert;
use crate::outward::{Listener, Outcome, Outward};
use crate::report;
use crate::tun::{Tun, Undo};
use crate::{CONTROL, FAILED, NO_ANSWER, Run, SIZES};

/// Whole UDP datagrams and IP packets fit.
const LARGEST: usize = 65_535;
/// Datagrams or packets taken from one descriptor before the others have their turn.
const TURN: usize = 64;
/// How long after a tunnel was lost it is asked for again: twice as long each time it fails, up to the last.
const AGAIN_FIRST: Duration = Duration::from_secs(2);
const AGAIN_LAST: Duration = Duration::from_secs(300);

type Memory =
    Resources<{ SIZES.ike_sas }, { SIZES.exchanges }, { SIZES.child_sas }, { SIZES.message }>;
/// Lines of the access list, SAs in each direction, flows remembered.
type DataPlane = Tables<256, 512, 1024>;

/// Runs the gateway until it is interrupted, or with `--once` until the first tunnel ends; the exit status.
pub fn run(site: &Site, arguments: &Run) -> io::Result<u8> {
    let mut rng = UnwrapErr(getrandom::SysRng);
    let mut memory = Box::new(Memory::new());
    let mut data_plane = Box::new(DataPlane::new());
    let settings = Settings { framing: Framing::Esp, ..Settings::DEFAULT };
    let mut processor = Processor::new(&mut data_plane, settings);
    processor.set_policies(&site.policies).map_err(io::Error::other)?;
    let endpoint = Endpoint::new(memory.storage(), &mut rng).map_err(io::Error::other)?;

    let (mut interrupts, interrupted) = UnixStream::pair()?;
    interrupts.set_nonblocking(true)?;
    for signal in [SIGINT, SIGTERM] {
        signal_hook::low_level::pipe::register(signal, interrupted.try_clone()?)?;
    }
    let listeners =
        site.local.addresses.iter().copied().map(Listener::open).collect::<io::Result<Vec<_>>>()?;
    let pcap = arguments
        .pcap
        .as_deref()
        .map(File::create)
        .transpose()?
        .map(BufWriter::new)
        .map(Pcap::new)
        .transpose()?;
    let keylog = arguments.keylog.as_deref().map(KeyLog::create).transpose()?;
    let tun = Tun::create(&site.local.device, &site.local.device_addresses, site.local.mtu)?;
    let _undo = routes(site, &tun)?;
    let path =
        arguments.control.as_deref().or(site.local.control.as_deref()).unwrap_or(CONTROL.as_ref());
    let control = Control::listen(path)?;

    let tables = site.tables();
    let peers = site.peer_configs(&tables);
    let config = Config {
        peers: &peers.as_slice(),
        crypto: &crypto::SOFTWARE,
        timing: site.timing,
        limits: site.limits,
    };
    let mut gateway = Gateway {
        site,
        config,
        node: Node::new(endpoint, processor),
        outward: Outward::new(site, listeners, tun, pcap, keylog),
        rng: &mut rng,
        began: std::time::Instant::now(),
        again: Vec::new(),
        hints: Vec::new(),
        quiet: Quiet::default(),
    };
    info!("listening on {} with device {}", list(&site.local.addresses), site.local.device);
    gateway.start();
    let outcome = gateway.serve(&mut interrupts, &control, arguments.once)?;
    gateway.stop();
    Ok(match outcome {
        None | Some(Outcome::Closed) => 0,
        Some(Outcome::Failed) => FAILED,
        Some(Outcome::NoAnswer) => NO_ANSWER,
    })
}

/// The networks behind the peers lead into the device, and in transport mode what this host itself sends to them.
fn routes(site: &Site, tun: &Tun) -> io::Result<Undo> {
    let mut undo = Undo::default();
    if !site.local.routes {
        return Ok(undo);
    }
    for (peer, child) in
        site.peers.iter().flat_map(|peer| peer.children.iter().map(move |child| (peer, child)))
    {
        match (child.mode, peer.remote, child.selectors.remote.addresses) {
            (Mode::Transport, RemoteAddress::Host(remote), _) => {
                divert(tun, peer.local, remote, &child.selectors, &mut undo)?;
            }
            (Mode::Tunnel, _, Addresses::Subnet { network, prefix }) if prefix > 0 => {
                tun.route(network, prefix, &mut undo)?;
            }
            // It would catch the way to the peer itself.
            (_, _, other) => warn!("child {}: route for {other} is left to you", child.name),
        }
    }
    Ok(undo)
}

struct Gateway<'a, 's> {
    site: &'a Site,
    config: Config<'a>,
    node: Node<'s>,
    outward: Outward<'a>,
    rng: &'a mut UnwrapErr<getrandom::SysRng>,
    began: std::time::Instant,
    again: Vec<Again>,
    hints: Vec<(PeerId, u8)>,
    quiet: Quiet,
}

/// A child that shall always be up, and is not.
#[derive(Clone, Copy, Debug)]
struct Again {
    peer: PeerId,
    child: ChildId,
    at: Option<Instant>,
    wait: Duration,
}

/// Calls `$node.$method` with a context of this moment and the outside.
macro_rules! now {
    ($gateway:ident, $method:ident $(, $argument:expr)*) => {{
        let now = $gateway.now();
        let mut context = Context { now, rng: &mut *$gateway.rng, config: &$gateway.config };
        $gateway.node.$method(&mut context, $($argument,)* &mut $gateway.outward)
    }};
}

impl Gateway<'_, '_> {
    fn now(&self) -> Instant {
        Instant::from_millis(u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// Begins what shall be up from the beginning.
    fn start(&mut self) {
        let site = self.site;
        for (peer, peer_id) in site.peers.iter().zip(0..) {
            for (child, child_id) in peer.children.iter().zip(0..) {
                if child.start == Start::Now {
                    self.create(PeerId(peer_id), ChildId(child_id));
                }
            }
        }
    }

    fn create(&mut self, peer: PeerId, child: ChildId) {
        let Some(path) = self.outward.path(peer) else { return };
        let now = self.now();
        let mut context = Context { now, rng: &mut *self.rng, config: &self.config };
        let result = self.node.request(&mut context, &mut self.outward, |endpoint, context| {
            endpoint.create_child(context, peer, child, path)
        });
        if let Err(error) = result {
            warn!("{}: {error}", self.site.name(peer, Some(child)));
        }
    }

    fn serve(
        &mut self,
        interrupts: &mut UnixStream,
        control: &Control,
        once: bool,
    ) -> io::Result<Option<Outcome>> {
        let mut buffer = vec![0; PacketBuf::HEADROOM + LARGEST + PacketBuf::TAILROOM];
        loop {
            self.ask_again(once);
            if self.node.deadline().is_some_and(|at| at <= self.now()) {
                now!(self, timeout);
            }
            if once && self.outward.outcome.is_some() {
                return Ok(self.outward.outcome);
            }
            let ready = self.wait(interrupts, control)?;
            let mut signal = [0; 16];
            if ready.interrupts && interrupts.read(&mut signal).is_ok() {
                info!("interrupted: deleting the SAs");
                return Ok(self.outward.outcome.filter(|_| once));
            }
            if ready.control {
                control.answer(|| serde_json::to_string_pretty(&self.report()).unwrap_or_default());
            }
            for index in ready.listeners {
                self.read_outside(index, &mut buffer);
            }
            if ready.tun {
                self.read_inside(&mut buffer);
            }
        }
    }

    fn deadline(&self) -> Option<Instant> {
        self.again.iter().filter_map(|again| again.at).chain(self.node.deadline()).min()
    }

    /// Sleeps until there is something to do.
    fn wait(&self, interrupts: &UnixStream, control: &Control) -> io::Result<Ready> {
        let timeout = self.deadline().map(|at| {
            let wait = at.since(self.now());
            Timespec {
                tv_sec: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: wait.subsec_nanos().into(),
            }
        });
        let mut descriptors = vec![
            PollFd::new(interrupts, PollFlags::IN),
            PollFd::new(control, PollFlags::IN),
            PollFd::new(&self.outward.tun, PollFlags::IN),
        ];
        for listener in &self.outward.listeners {
            for socket in [&listener.ike, &listener.natt, &listener.esp] {
                descriptors.push(PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN));
            }
        }
        match poll(&mut descriptors, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = descriptors.iter().map(|descriptor| !descriptor.revents().is_empty());
        Ok(Ready {
            interrupts: ready.next().unwrap_or(false),
            control: ready.next().unwrap_or(false),
            tun: ready.next().unwrap_or(false),
            listeners: ready
                .collect::<Vec<_>>()
                .chunks(3)
                .enumerate()
                .filter(|(_, sockets)| sockets.contains(&true))
                .map(|(index, _)| index)
                .collect(),
        })
    }

    /// Takes what has come from the network to one of our addresses.
    fn read_outside(&mut self, index: usize, buffer: &mut [u8]) {
        // Transport mode writes an IP header in front of what the UDP socket, or a raw one of IPv6, has cut it from.
        const AT: usize = PacketBuf::HEADROOM;
        for _ in 0..TURN {
            let Some(listener) = self.outward.listeners.get(index) else { return };
            let address = listener.address;
            let mut idle = true;
            if let Some((len, remote)) = receive(&listener.ike, buffer) {
                idle = false;
                let path = Path { local: SocketAddr::new(address, 500), remote, encap: false };
                self.outward.capture(remote, path.local, 17, &buffer[..len]);
                self.ike(path, &mut buffer[..len]);
            }
            let Some(listener) = self.outward.listeners.get(index) else { return };
            if let Some((len, remote)) = receive(&listener.natt, &mut buffer[AT..]) {
                idle = false;
                let path = Path { local: SocketAddr::new(address, 4500), remote, encap: true };
                self.outward.capture(remote, path.local, 17, &buffer[AT..AT + len]);
                match classify(&mut buffer[AT..AT + len]) {
                    Classified::Ike(message) => self.ike(path, message),
                    Classified::Esp(_) => {
                        let encap = Encap::Udp { local_port: 4500, remote_port: remote.port() };
                        self.esp(from(address, remote.ip(), encap), &mut *buffer, AT..AT + len);
                    }
                    Classified::Keepalive | Classified::Short => {}
                }
            }
            let Some(listener) = self.outward.listeners.get(index) else { return };
            if let Some((len, remote)) = receive(&listener.esp, &mut buffer[AT..]) {
                idle = false;
                // A raw IPv4 socket hands the IP header over, an IPv6 one does not.
                let (arrival, header) = match address {
                    IpAddr::V4(_) => (Arrival::Ip, usize::from(buffer[AT] & 0x0f) * 4),
                    IpAddr::V6(_) => (from(address, remote.ip(), Encap::None), 0),
                };
                let esp = buffer[AT..AT + len].get(header..).unwrap_or_default();
                self.outward.capture(remote, SocketAddr::new(address, 0), 50, esp);
                self.esp(arrival, &mut *buffer, AT..AT + len);
            }
            if idle {
                return;
            }
        }
    }

    fn ike(&mut self, path: Path, datagram: &mut [u8]) {
        if let Err(discard) = now!(self, ike_in, path, datagram) {
            self.quiet.say(path, discard);
            self.note_hint(path, discard);
        }
    }

    fn esp(&mut self, arrival: Arrival, buffer: &mut [u8], packet: Range<usize>) {
        let Some(mut packet) = PacketBuf::new(buffer, packet) else { return };
        now!(self, packet_in, &mut packet, arrival);
    }

    /// Takes what the system has routed into the device.
    fn read_inside(&mut self, buffer: &mut [u8]) {
        for _ in 0..TURN {
            let room = &mut buffer[PacketBuf::HEADROOM..PacketBuf::HEADROOM + LARGEST];
            let Ok(len) = self.outward.tun.read(room) else { return };
            let Some(mut packet) =
                PacketBuf::new(buffer, PacketBuf::HEADROOM..PacketBuf::HEADROOM + len)
            else {
                return;
            };
            now!(self, packet_out, &mut packet);
        }
    }

    /// Brings up again what shall always be up, after a pause that grows while it fails.
    fn ask_again(&mut self, once: bool) {
        let now = self.now();
        for (peer, child) in std::mem::take(&mut self.outward.lost) {
            let configured =
                usize::try_from(peer.0).ok().and_then(|index| self.site.peers.get(index));
            let start = configured
                .and_then(|peer| peer.children.get(usize::try_from(child.0).ok()?))
                .map(|child| child.start);
            if once || start != Some(Start::Now) {
                continue;
            }
            let known =
                self.again.iter_mut().find(|again| (again.peer, again.child) == (peer, child));
            let wait = match known {
                Some(again) => {
                    if again.at.is_some() {
                        continue;
                    }
                    again.wait = again.wait.saturating_mul(2).min(AGAIN_LAST);
                    again.at = Some(now.after(again.wait));
                    again.wait
                }
                None => {
                    self.again.push(Again {
                        peer,
                        child,
                        at: Some(now.after(AGAIN_FIRST)),
                        wait: AGAIN_FIRST,
                    });
                    AGAIN_FIRST
                }
            };
            debug!("{}: again in {wait:?}", self.site.name(peer, Some(child)));
        }
        let outward = &self.outward;
        self.again.retain(|again| !outward.is_up(again.peer, again.child));
        let due: Vec<_> =
            self.again.iter_mut().filter(|again| again.at.is_some_and(|at| at <= now)).collect();
        let due: Vec<_> = due
            .into_iter()
            .map(|again| {
                again.at = None;
                (again.peer, again.child)
            })
            .collect();
        for (peer, child) in due {
            self.create(peer, child);
        }
    }

    /// A notify in the clear proves nothing, and the exchange goes on; but with `--once` nobody waits for the last
    /// retransmission of what was refused three times.
    fn note_hint(&mut self, path: Path, discard: Discard) {
        let Discard::Hint(notify) = discard else { return };
        let Some(peer) = self.config.peers.by_address(path.remote.ip()) else { return };
        let count = match self.hints.iter_mut().find(|(other, _)| *other == peer) {
            Some((_, count)) => {
                *count = count.saturating_add(1);
                *count
            }
            None => {
                self.hints.push((peer, 1));
                1
            }
        };
        if count == 3 && self.node.ike_sas().all(|(_, other)| other != peer) {
            let offer = self.site.offer(peer, None);
            warn!(
                "{}: the peer refuses with {notify} (in the clear, unproven); we offered {offer}",
                self.site.name(peer, None)
            );
            self.outward.outcome.get_or_insert(Outcome::Failed);
        }
    }

    /// Deletes every SA and tells the peers.
    fn stop(&mut self) {
        let sas: Vec<_> = self.node.ike_sas().collect();
        for (ike, peer) in sas {
            let now = self.now();
            let mut context = Context { now, rng: &mut *self.rng, config: &self.config };
            let result = self.node.request(&mut context, &mut self.outward, |endpoint, context| {
                endpoint.delete_ike(context, ike)
            });
            if let Err(error) = result {
                debug!("{}: {error}", self.site.name(peer, None));
            }
        }
    }

    fn report(&self) -> report::Report {
        report::Report::of(self.site, &self.node, self.outward.dropped, self.now())
    }
}

/// What can be read now.
struct Ready {
    interrupts: bool,
    control: bool,
    tun: bool,
    listeners: Vec<usize>,
}

/// ESP that came without an IP header, between these addresses.
fn from(local: IpAddr, remote: IpAddr, encap: Encap) -> Arrival {
    Arrival::Esp(Outer { local, remote, encap, traffic_class: 0, dont_fragment: false })
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
    // An error is "nothing there", or an ICMP message about an earlier datagram.
    socket.recv_from(buffer).ok()
}

fn list(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

/// Keeps the log readable while somebody sends rubbish: ten lines a second, then one with the number left out.
#[derive(Debug, Default)]
struct Quiet {
    second: u64,
    said: u32,
}

impl Quiet {
    const LINES: u32 = 10;

    fn say(&mut self, path: Path, discard: Discard) {
        if discard == Discard::Duplicate {
            debug!("from {}: {discard}", path.remote);
            return;
        }
        let second = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        if second != self.second {
            if self.said > Self::LINES {
                warn!("{} more datagrams discarded", self.said.saturating_sub(Self::LINES));
            }
            *self = Self { second, said: 0 };
        }
        self.said = self.said.saturating_add(1);
        if self.said <= Self::LINES {
            warn!("datagram from {} discarded: {discard} ({discard:?})", path.remote);
        }
    }
}
