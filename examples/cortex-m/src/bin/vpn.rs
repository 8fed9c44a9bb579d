//! A VPN client on a microcontroller with Ethernet: smoltcp on both sides, both crates between them. A ping for the network
//! behind the peer is the interesting traffic that brings the tunnel up; when a hundred have been answered it is deleted.
//!
//! It runs in QEMU, against strongSwan: `examples/cortex-m/run`. On another board `board` and `lan9118` are replaced.

#![no_std]
#![no_main]

use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::time::Duration;

use cortex_m_firmware::board::{self, Clock, stack};
use cortex_m_firmware::lan9118::Ethernet;
use cortex_m_firmware::tunnel::Tunnel;
use cortex_m_firmware::vpn::{Outside, Vpn};
use cortex_m_semihosting::debug::{EXIT_FAILURE, EXIT_SUCCESS, exit};
use cortex_m_semihosting::hprintln;
use esp_core::{
    Addresses, BlockCipher, Encap, Framing, Integrity, Mode, Outer, Policy, PolicyId, Processor,
    Settings, SpdEntry, Tables, TrafficSelectors, Transform,
};
use ike_core::config::{
    ChildConfig, ChildId, Config, EspProposal, Lifetime, Limits, PeerConfig, PeerId, Phase1Cipher,
    Phase1Proposal, Secret, Timing,
};
use ike_core::crypto::{Crypto, modp, soft};
use ike_core::event::{Event, IkeSaHandle};
use ike_core::natt::{Classified, classify};
use ike_core::wire::numbers::{GroupDescription, HashAlgorithm};
use ike_core::{Context, Endpoint, Instant, Path, Resources, Work};
use panic_semihosting as _;
use rand_core::Rng;
use smoltcp::iface::{
    self, Interface, PollIngressSingleResult, PollResult, SocketHandle, SocketSet, SocketStorage,
};
use smoltcp::phy::{ChecksumCapabilities, Device};
use smoltcp::socket::{icmp, raw, udp};
use smoltcp::storage::{PacketBuffer, PacketMetadata};
use smoltcp::wire::{
    EthernetAddress, HardwareAddress, Icmpv4Packet, Icmpv4Repr, IpAddress, IpCidr, IpProtocol,
    IpVersion, Ipv4Packet, Ipv4Repr,
};

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const LOCAL: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const REMOTE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 1);
const BEHIND: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 1);
const PSK: &[u8] = b"interop-psk-0123456789";

const PEER: PeerId = PeerId(1);

/// What this device negotiates, and all that gets linked.
static CRYPTO: Crypto =
    Crypto { hashes: &[&soft::SHA2_256], ciphers: &[&soft::AES_128], groups: &[&modp::MODP_2048] };
const PHASE1: Phase1Proposal = Phase1Proposal {
    cipher: Phase1Cipher::AesCbc(128),
    hash: HashAlgorithm::SHA2_256,
    group: GroupDescription::MODP_2048,
};
const ESP: EspProposal = EspProposal {
    transform: Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha256_128),
    esn: false,
};
const CHILD: ChildConfig<'static> = ChildConfig {
    id: ChildId(1),
    policy: PolicyId(1),
    selectors: TrafficSelectors::between(network(INSIDE), network(BEHIND)),
    mode: Mode::Tunnel,
    proposals: &[ESP],
    pfs: None,
    lifetime: Lifetime::PHASE2,
    replay_window: 64,
};

/// strongSwan installs its first SAs some time after our third message.
const TIMING: Timing = Timing { outbound_first: Duration::from_millis(100), ..Timing::DEFAULT };

const fn network(host: Ipv4Addr) -> Addresses {
    let [a, b, c, _] = host.octets();
    Addresses::Subnet { network: IpAddr::V4(Ipv4Addr::new(a, b, c, 0)), prefix: 24 }
}

const fn path(port: u16, encap: bool) -> Path {
    Path {
        local: SocketAddr::new(IpAddr::V4(LOCAL), port),
        remote: SocketAddr::new(IpAddr::V4(REMOTE), port),
        encap,
    }
}

/// Pings to be answered, how often they are sent, in milliseconds, and how many are under way at the most: what a peer that was
/// held up answers all at once has room in the controller.
const PINGS: u16 = 100;
const INTERVAL: u64 = 20;
const UNDER_WAY: u16 = 4;
const IDENT: u16 = 0x1cef;
/// When it is given up, in milliseconds.
const PATIENCE: u64 = 30_000;
/// Sixteen modular multiplications are about 6 ms at 168 MHz: a watchdog does not mind, nor does the network.
const BUDGET: u32 = 16;

/// The sockets of the side where the peer is.
struct Link<'a> {
    sockets: SocketSet<'a>,
    ike: SocketHandle,
    encap: SocketHandle,
    esp: SocketHandle,
    now: Instant,
    ike_sa: Option<IkeSaHandle>,
    down: bool,
}

impl Outside for Link<'_> {
    fn send_ike(&mut self, path: Path, datagram: &[u8]) {
        let socket = if path.encap { self.encap } else { self.ike };
        let socket = self.sockets.get_mut::<udp::Socket>(socket);
        // What finds no room is lost, as on the link, and sent again by its timer.
        let _ = socket.send_slice(datagram, path.remote);
    }

    fn send_esp(&mut self, outer: Outer, packet: &[u8]) {
        if let Encap::Udp { remote_port, .. } = outer.encap {
            let socket = self.sockets.get_mut::<udp::Socket>(self.encap);
            let _ = socket.send_slice(packet, (outer.remote, remote_port));
            return;
        }
        let (IpAddr::V4(src_addr), IpAddr::V4(dst_addr)) = (outer.local, outer.remote) else {
            return;
        };
        let header = Ipv4Repr {
            src_addr,
            dst_addr,
            next_header: IpProtocol::IpSecEsp,
            payload_len: packet.len(),
            hop_limit: 64,
        };
        let socket = self.sockets.get_mut::<raw::Socket>(self.esp);
        if let Ok(room) = socket.send(header.buffer_len() + packet.len()) {
            let mut whole = Ipv4Packet::new_unchecked(room);
            header.emit(&mut whole, &ChecksumCapabilities::default());
            whole.payload_mut().copy_from_slice(packet);
        }
    }

    fn event(&mut self, event: &Event) {
        let ms = self.now.as_millis();
        match event {
            Event::IkeSaUp { ike, .. } => {
                self.ike_sa = Some(*ike);
                hprintln!("{:6} ms  IKE SA up", ms);
            }
            Event::ChildSaReady { inbound, outbound, .. } => {
                hprintln!("{:6} ms  child SA {:?} in, {:?} out", ms, inbound, outbound);
            }
            Event::ChildSaOutbound { .. } => hprintln!("{:6} ms  child SA in use", ms),
            Event::ChildSaDown { reason, .. } => {
                hprintln!("{:6} ms  child SA down: {}", ms, reason)
            }
            Event::IkeSaDown { reason, .. } => {
                self.down = true;
                hprintln!("{:6} ms  IKE SA down: {}", ms, reason);
            }
            Event::Failed { reason, .. } => hprintln!("{:6} ms  failed: {}", ms, reason),
            other => hprintln!("{:6} ms  {:?}", ms, other),
        }
    }
}

impl<'a> Link<'a> {
    fn new(
        places: &'a mut [SocketStorage<'a>],
        udp: [[udp::PacketBuffer<'static>; 2]; 2],
        [receive, send]: [raw::PacketBuffer<'static>; 2],
    ) -> Self {
        let mut sockets = SocketSet::new(places);
        let mut port = 500_u16;
        let [ike, encap] = udp.map(|[receive, send]| {
            let mut socket = udp::Socket::new(receive, send);
            let _ = socket.bind(core::mem::replace(&mut port, 4500));
            sockets.add(socket)
        });
        let (version, protocol) = (Some(IpVersion::Ipv4), Some(IpProtocol::IpSecEsp));
        let esp = sockets.add(raw::Socket::new(version, protocol, receive, send));
        Self { sockets, ike, encap, esp, now: Instant::from_millis(0), ike_sa: None, down: false }
    }

    /// Hands what has come to the crates.
    fn receive(
        &mut self,
        cx: &mut Context<'_>,
        vpn: &mut Vpn<'_>,
        buffer: &mut [u8],
        tunnel: &mut Tunnel,
    ) {
        for (handle, encap) in [(self.ike, false), (self.encap, true)] {
            let socket = self.sockets.get_mut::<udp::Socket>(handle);
            let Ok((len, from)) = socket.recv_slice(buffer) else { continue };
            let mut path = path(if encap { 4500 } else { 500 }, encap);
            path.remote = SocketAddr::new(from.endpoint.addr.into(), from.endpoint.port);
            let datagram = &mut buffer[..len];
            match if encap { classify(datagram) } else { Classified::Ike(datagram) } {
                Classified::Ike(message) => vpn.ike_in(cx, path, message),
                Classified::Esp(packet) => vpn.esp_in(cx, path.outer(), packet, tunnel),
                Classified::Keepalive | Classified::Short => {}
            }
        }
        let socket = self.sockets.get_mut::<raw::Socket>(self.esp);
        let Ok(len) = socket.recv_slice(buffer) else { return };
        if let Ok(mut packet) = Ipv4Packet::new_checked(&mut buffer[..len]) {
            let mut path = path(0, false);
            path.remote.set_ip(IpAddr::V4(packet.src_addr()));
            vpn.esp_in(cx, path.outer(), packet.payload_mut(), tunnel);
        }
    }
}

/// What waits in a socket, in and out: its lengths and addresses, which are not all zero bits, and apart from them its
/// bytes, which are and cost no flash.
type Meta<H> = [[PacketMetadata<H>; 4]; 2];
type Bytes = [[u8; 3072]; 2];

fn queues<H>(
    meta: &'static mut Meta<H>,
    bytes: &'static mut Bytes,
) -> [PacketBuffer<'static, H>; 2] {
    let ([meta_in, meta_out], [bytes_in, bytes_out]) = (meta, bytes);
    [
        PacketBuffer::new(&mut meta_in[..], &mut bytes_in[..]),
        PacketBuffer::new(&mut meta_out[..], &mut bytes_out[..]),
    ]
}

/// Pings from inside.
struct Pings {
    sent: u16,
    answered: u16,
    next: u64,
}

impl Pings {
    fn go(&mut self, now: Instant, socket: &mut icmp::Socket<'_>) {
        let checksum = ChecksumCapabilities::default();
        while let Ok((message, _)) = socket.recv() {
            let message = Icmpv4Packet::new_unchecked(message);
            if let Ok(Icmpv4Repr::EchoReply { .. }) = Icmpv4Repr::parse(&message, &checksum) {
                self.answered += 1;
            }
        }
        let room = self.sent - self.answered < UNDER_WAY;
        if self.sent < PINGS && room && now.as_millis() >= self.next && socket.can_send() {
            let echo =
                Icmpv4Repr::EchoRequest { ident: IDENT, seq_no: self.sent, data: &[0x5a; 1000] };
            if let Ok(room) = socket.send(echo.buffer_len(), BEHIND.into()) {
                echo.emit(&mut Icmpv4Packet::new_unchecked(room), &checksum);
                self.sent += 1;
                self.next = now.as_millis() + INTERVAL;
            }
        }
    }
}

fn interface(
    device: &mut impl Device,
    address: HardwareAddress,
    own: Ipv4Addr,
    random_seed: u64,
) -> Interface {
    let mut config = iface::Config::new(address);
    config.random_seed = random_seed;
    let mut interface = Interface::new(config, device, time(Instant::from_millis(0)));
    interface.update_ip_addrs(|all| {
        let _ = all.push(IpCidr::new(own.into(), 24));
    });
    interface
}

fn time(now: Instant) -> smoltcp::time::Instant {
    smoltcp::time::Instant::from_millis(now.as_millis() as i64)
}

#[cortex_m_rt::entry]
fn main() -> ! {
    static mut ETHERNET: Ethernet = Ethernet::new();
    static mut TUNNEL: Tunnel = Tunnel::new();
    // One peer with a child, and room for renewing both.
    static mut RESOURCES: Resources<2, 4, 2, 1536> = Resources::new();
    static mut TABLES: Tables<1, 2, 4> = Tables::new();
    static mut BUFFER: [u8; 1536] = [0; 1536];
    static mut IKE: Meta<udp::UdpMetadata> = [[PacketMetadata::EMPTY; 4]; 2];
    static mut ENCAP: Meta<udp::UdpMetadata> = [[PacketMetadata::EMPTY; 4]; 2];
    static mut RAW: Meta<()> = [[PacketMetadata::EMPTY; 4]; 2];
    static mut PING: Meta<IpAddress> = [[PacketMetadata::EMPTY; 4]; 2];
    static mut BYTES: [Bytes; 4] = [[[0; 3072]; 2]; 4];

    stack::paint();
    let (Some(peripherals), Some(mut rng)) = (cortex_m::Peripherals::take(), board::random())
    else {
        fail("no random numbers")
    };
    let mut clock = Clock::start(peripherals.SYST);
    if !ETHERNET.start(MAC) {
        fail("no Ethernet controller");
    }

    let psk = Secret::Bytes(PSK);
    let peers = [PeerConfig::new(PEER, LOCAL.into(), REMOTE.into(), psk, &[PHASE1], &[CHILD])];
    let config = Config { peers: &peers, crypto: &CRYPTO, timing: TIMING, limits: Limits::DEFAULT };
    let Ok(ike) = Endpoint::new(RESOURCES.storage(), &mut rng) else {
        fail("the storage does not serve")
    };
    let mut esp = Processor::new(TABLES, Settings { framing: Framing::Esp, ..Settings::DEFAULT });
    let policy = SpdEntry::new(CHILD.policy, CHILD.selectors, Policy::PROTECT);
    if esp.set_policies(&[policy]).is_err() {
        fail("the policy does not serve");
    }
    let mut vpn = Vpn { ike, esp, peer: (PEER, CHILD.id, path(500, false)) };

    let mac = HardwareAddress::Ethernet(EthernetAddress(MAC));
    let mut outer = interface(ETHERNET, mac, LOCAL, rng.next_u64());
    let mut inner = interface(TUNNEL, HardwareAddress::Ip, INSIDE, rng.next_u64());
    let _ = inner.routes_mut().add_default_ipv4_route(INSIDE);
    let mut places: [SocketStorage<'_>; 3] = Default::default();
    let [ike_bytes, encap_bytes, raw_bytes, ping_bytes] = BYTES;
    let mut link = Link::new(
        &mut places,
        [queues(IKE, ike_bytes), queues(ENCAP, encap_bytes)],
        queues(RAW, raw_bytes),
    );
    let mut places: [SocketStorage<'_>; 1] = Default::default();
    let mut inside = SocketSet::new(&mut places[..]);
    let [receive, send] = queues(PING, ping_bytes);
    let mut socket = icmp::Socket::new(receive, send);
    let _ = socket.bind(icmp::Endpoint::Ident(IDENT));
    let ping = inside.add(socket);
    let mut pings = Pings { sent: 0, answered: 0, next: 0 };

    loop {
        let now = clock.now();
        let mut cx = Context { now, rng: &mut rng, config: &config };
        link.now = now;
        // One frame a round: what comes in a burst waits in the controller and not in sockets, which have less room.
        let came = outer.poll_ingress_single(time(now), ETHERNET, &mut link.sockets);
        link.receive(&mut cx, &mut vpn, BUFFER, TUNNEL);
        pings.go(now, inside.get_mut::<icmp::Socket>(ping));
        inner.poll(time(now), TUNNEL, &mut inside);
        vpn.packet_out(&mut cx, TUNNEL, &mut link);
        let work = vpn.settle(&mut cx, BUDGET, &mut link);
        // A datagram of each socket at a time, until all have left: the Deletes of the last round, too.
        while outer.poll_egress(time(now), ETHERNET, &mut link.sockets) != PollResult::None {}

        if pings.answered == PINGS
            && let Some(ike) = link.ike_sa.take()
        {
            let _ = vpn.ike.delete_ike(&mut cx, ike);
        }
        if link.down || now.as_millis() > PATIENCE {
            break;
        }
        if work == Work::Idle && came == PollIngressSingleResult::None {
            cortex_m::asm::wfi();
        }
    }
    hprintln!("{} pings, {} answered", pings.sent, pings.answered);
    hprintln!("stack: {} bytes", stack::used());
    exit(if pings.answered == PINGS { EXIT_SUCCESS } else { EXIT_FAILURE });
    loop {}
}

fn fail(why: &str) -> ! {
    hprintln!("{}", why);
    exit(EXIT_FAILURE);
    loop {}
}
