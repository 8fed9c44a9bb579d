//! The superloop of a VPN client on a microcontroller, with mailboxes where a board has its network driver, its
//! clock and its random number generator. It is linked to see what it takes, not to be run:
//!
//! ```text
//! rustup target add thumbv7em-none-eabihf
//! cargo build --release --target thumbv7em-none-eabihf
//! size -A target/thumbv7em-none-eabihf/release/footprint
//! ```
//!
//! The memory of the engine is one static, and all zero bits: it lies in `.bss` and costs no flash, which
//! `.ci/no-std.sh` checks.

#![no_std]
#![no_main]

use core::convert::Infallible;
use core::hint::black_box;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use core::ptr::{addr_of, addr_of_mut};

use esp_core::{Addresses, BlockCipher, Integrity, Mode, PolicyId, TrafficSelectors, Transform};
use ike_core::config::{
    ChildConfig, ChildId, Config, EspProposal, Lifetime, Limits, PeerConfig, PeerId, Phase1Cipher,
    Phase1Proposal, Secret, Timing,
};
use ike_core::crypto::{Crypto, modp, soft};
use ike_core::event::Event;
use ike_core::wire::numbers::{GroupDescription, HashAlgorithm};
use ike_core::{Context, Endpoint, Instant, Path, Resources, Work};
use panic_halt as _;
use rand_core::{TryCryptoRng, TryRng};

/// One peer with a child, and room for renewing both.
type Memory = Resources<2, 4, 2, 1536>;
static mut RESOURCES: Memory = Memory::new();

/// What this device negotiates, and all that gets linked.
static CRYPTO: Crypto =
    Crypto { hashes: &[&soft::SHA2_256], ciphers: &[&soft::AES_128], groups: &[&modp::MODP_2048] };

/// Where the rest of a firmware would leave and find things.
struct Board {
    milliseconds: u64,
    random: u32,
    received: usize,
    transmitted: usize,
}

static mut BOARD: Board = Board { milliseconds: 0, random: 0, received: 0, transmitted: 0 };
/// What came, `received` bytes of it, and what is to go.
static mut DATAGRAMS: [[u8; 1536]; 2] = [[0; 1536]; 2];

macro_rules! read {
    ($field:ident) => {
        // SAFETY: reading a field of a static that no reference of ours points to.
        unsafe { addr_of!(BOARD.$field).read_volatile() }
    };
}

macro_rules! write {
    ($field:ident, $value:expr) => {
        // SAFETY: writing a field of a static that no reference of ours points to.
        unsafe { addr_of_mut!(BOARD.$field).write_volatile($value) }
    };
}

/// The hardware's random numbers.
struct Random;

impl TryRng for Random {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(read!(random))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from(read!(random)) << 32 | u64::from(read!(random)))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.iter_mut().for_each(|byte| *byte = read!(random) as u8);
        Ok(())
    }
}

impl TryCryptoRng for Random {}

const LOCAL: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const REMOTE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
const PATH: Path =
    Path { local: SocketAddr::new(LOCAL, 500), remote: SocketAddr::new(REMOTE, 500), encap: false };

#[cortex_m_rt::entry]
fn main() -> ! {
    let subnet = |third| Addresses::Subnet {
        network: IpAddr::V4(Ipv4Addr::new(10, third, 0, 0)),
        prefix: 24,
    };
    let children = [ChildConfig {
        id: ChildId(1),
        policy: PolicyId(1),
        selectors: TrafficSelectors::between(subnet(1), subnet(2)),
        mode: Mode::Tunnel,
        proposals: &[EspProposal {
            transform: Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha256_128),
            esn: false,
        }],
        pfs: None,
        lifetime: Lifetime::PHASE2,
        replay_window: 64,
    }];
    let proposals = [Phase1Proposal {
        cipher: Phase1Cipher::AesCbc(128),
        hash: HashAlgorithm::SHA2_256,
        group: GroupDescription::MODP_2048,
    }];
    let psk = Secret::Bytes(b"kept where the device keeps secrets");
    let peers = [PeerConfig::new(PeerId(1), LOCAL, REMOTE, psk, &proposals, &children)];
    let config =
        Config { peers: &peers, crypto: &CRYPTO, timing: Timing::DEFAULT, limits: Limits::DEFAULT };

    // SAFETY: `main` runs once, and these are the only references there ever are.
    let (resources, [receive, send]) =
        unsafe { (&mut *addr_of_mut!(RESOURCES), &mut *addr_of_mut!(DATAGRAMS)) };
    let mut rng = Random;
    let Ok(mut endpoint) = Endpoint::new(resources.storage(), &mut rng) else { halt() };
    loop {
        let now = Instant::from_millis(read!(milliseconds));
        let mut cx = Context { now, rng: &mut rng, config: &config };
        let received = read!(received);
        if received != 0 {
            if let Some(datagram) = black_box(&mut *receive).get_mut(..received) {
                // What is discarded is counted by the endpoint.
                let _ = endpoint.handle_datagram(&mut cx, PATH, datagram);
            }
            write!(received, 0);
        }
        if endpoint.poll_timeout().is_some_and(|at| at <= now) {
            endpoint.handle_timeout(&mut cx);
        }
        // Sixteen modular multiplications are about 6 ms at 168 MHz: the watchdog does not mind.
        if endpoint.handle_work(&mut cx, 16) == Work::Idle && endpoint.ike_sas().next().is_none() {
            let _ = endpoint.create_child(&mut cx, PeerId(1), ChildId(1), PATH);
        }
        while let Some(event) = endpoint.poll_event() {
            match event {
                Event::ChildSaReady { child, .. } => drop(endpoint.take_inbound(child)),
                Event::ChildSaOutbound { child } => drop(endpoint.take_outbound(child)),
                _ => {}
            }
        }
        if let Some(transmit) = endpoint.poll_transmit() {
            if let Some(place) = send.get_mut(..transmit.datagram.len()) {
                place.copy_from_slice(transmit.datagram);
                black_box(place);
                write!(transmitted, transmit.datagram.len());
            }
        }
    }
}

/// The storage does not serve: a fault of this file.
fn halt() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
