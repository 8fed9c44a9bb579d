//! The configuration: C's structures taken over once, and lent to the engines call by call.

use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use esp_core::{
    Addresses, Aead, BlockCipher, Directions, Integrity, Mode, Policy, PolicyId, PortRange,
    Protocol, Selector, SpdEntry, TrafficSelectors, Transform,
};
use heapless::Vec;
use ike_core::Path;
use ike_core::config::{
    ChildConfig, ChildId, Config, Dpd, DpdAction, EspProposal, Finding, Identity, Lifetime, Limits,
    NatTraversal, PeerConfig, PeerId, Phase1Cipher, Phase1Proposal, RemoteAddress, RemoteId,
    Secret, Severity, Sizes, Timing,
};
use ike_core::crypto::{Crypto, ecp, modp, soft};
use ike_core::natt::{IKE_PORT, NAT_PORT};
use ike_core::wire::numbers::{GroupDescription, HashAlgorithm};
use zeroize::Zeroizing;

use crate::abi::header::{
    IPSEC_MAX_CHILDREN, IPSEC_MAX_EXCHANGES, IPSEC_MAX_IDENTITY, IPSEC_MAX_MESSAGE,
    IPSEC_MAX_PEERS, IPSEC_MAX_POLICIES, IPSEC_MAX_PROPOSALS, IPSEC_MAX_PSK,
};
use crate::abi::{self, Fault, array, header};

/// What phase 1 can use. What is not listed is not linked.
static CRYPTO: Crypto = Crypto {
    hashes: &[&soft::SHA2_256, &soft::SHA2_384, &soft::SHA2_512, &soft::SHA1],
    ciphers: &[&soft::AES_256, &soft::AES_192, &soft::AES_128],
    groups: &[
        &modp::MODP_2048,
        &modp::MODP_3072,
        &modp::MODP_4096,
        &ecp::ECP_256,
        &ecp::CURVE25519,
    ],
};

/// A renewal needs a second SA for the time of the overlap, of either kind.
pub const SIZES: Sizes = Sizes {
    ike_sas: 2 * IPSEC_MAX_PEERS,
    exchanges: IPSEC_MAX_EXCHANGES,
    child_sas: 2 * IPSEC_MAX_CHILDREN,
    message: IPSEC_MAX_MESSAGE,
};

/// Lines that are no child's are numbered from here on; those of a child have its number.
const FIRST_OTHER_POLICY: u32 = 0x8000_0000;

/// The access list.
pub type Policies = Vec<SpdEntry, IPSEC_MAX_POLICIES>;

/// A configuration of our own.
pub struct Settings {
    peers: Vec<Peer, IPSEC_MAX_PEERS>,
    /// Those of the first peer, then those of the second, and so on.
    children: Vec<Child, IPSEC_MAX_CHILDREN>,
    /// The largest outer packet in bytes; 0 for no limit.
    pub path_mtu: u16,
}

struct Peer {
    id: PeerId,
    local: IpAddr,
    remote: RemoteAddress,
    local_id: Name,
    remote_id: Name,
    psk: Zeroizing<Vec<u8, IPSEC_MAX_PSK>>,
    proposals: Vec<Phase1Proposal, IPSEC_MAX_PROPOSALS>,
    lifetime: Lifetime,
    dpd: Option<Dpd>,
    nat_traversal: NatTraversal,
}

struct Child {
    peer: PeerId,
    id: ChildId,
    selectors: TrafficSelectors,
    mode: Mode,
    proposals: Vec<EspProposal, IPSEC_MAX_PROPOSALS>,
    pfs: Option<GroupDescription>,
    lifetime: Lifetime,
    replay_window: u16,
}

enum Name {
    Address,
    Fqdn(Vec<u8, IPSEC_MAX_IDENTITY>),
    User(Vec<u8, IPSEC_MAX_IDENTITY>),
    Key(Vec<u8, IPSEC_MAX_IDENTITY>),
}

impl Settings {
    /// No peers.
    pub const fn new() -> Self {
        Self { peers: Vec::new(), children: Vec::new(), path_mtu: 0 }
    }

    /// Reads C's configuration.
    ///
    /// # Safety
    /// The arrays of `config`, and what they point to, are as long as it says.
    pub unsafe fn read(&mut self, config: &abi::Config) -> Result<Policies, Fault> {
        // SAFETY: by this function's contract, for all three.
        let peers = unsafe { array(config.peers, config.peer_count) }?;
        // SAFETY: as above.
        let children = unsafe { array(config.children, config.child_count) }?;
        // SAFETY: as above.
        let policies = unsafe { array(config.policies, config.policy_count) }?;
        self.path_mtu = config.path_mtu;
        for peer in peers {
            // SAFETY: the peer's own pointers are in order by this function's contract.
            unsafe { self.read_peer(peer) }?;
            for child in children.iter().filter(|child| child.peer == peer.id) {
                self.children.push(Child::read(child)?).map_err(|_| Fault::Full)?;
            }
        }
        // A child that no peer has, or two have.
        if self.children.len() != children.len() {
            return Err(Fault::Unknown);
        }
        for (at, child) in self.children.iter().enumerate() {
            let others = self.children.iter().take(at);
            if others.into_iter().any(|other| other.id == child.id) {
                return Err(Fault::Config);
            }
        }
        let mut list = Policies::new();
        for (policy, number) in policies.iter().zip(FIRST_OTHER_POLICY..) {
            list.push(self.read_policy(policy, number)?).map_err(|_| Fault::Full)?;
        }
        Ok(list)
    }

    /// # Safety
    /// The pointers of `peer` are as [`Self::read`] wants them.
    unsafe fn read_peer(&mut self, peer: &abi::Peer) -> Result<(), Fault> {
        let mut proposals = Vec::new();
        for proposal in &peer.proposals {
            if let Some(proposal) = ike_proposal(proposal)? {
                proposals.push(proposal).map_err(|_| Fault::Full)?;
            } else {
                break;
            }
        }
        let remote = match optional_address(&peer.remote)? {
            Some(remote) => RemoteAddress::Host(remote),
            None => RemoteAddress::Any,
        };
        let idle = Duration::from_secs(peer.dpd_seconds.into());
        let entry = Peer {
            id: PeerId(peer.id),
            local: address(&peer.local)?,
            remote,
            // SAFETY: by this function's contract.
            local_id: unsafe { Name::read(&peer.local_id) }?,
            // SAFETY: as above.
            remote_id: unsafe { Name::read(&peer.remote_id) }?,
            psk: Zeroizing::new(Vec::new()),
            proposals,
            lifetime: Lifetime {
                seconds: or_default(peer.lifetime_seconds, Lifetime::PHASE1.seconds),
                kilobytes: 0,
            },
            dpd: (!idle.is_zero()).then_some(Dpd {
                idle,
                retry: Duration::from_secs(5),
                tries: 4,
                action: DpdAction::Clear,
            }),
            nat_traversal: match i32::from(peer.nat_traversal) {
                header::IPSEC_NAT_AUTO => NatTraversal::Auto,
                header::IPSEC_NAT_FORCE => NatTraversal::Force,
                header::IPSEC_NAT_OFF => NatTraversal::Off,
                _ => return Err(Fault::Config),
            },
        };
        self.peers.push(entry).map_err(|_| Fault::Full)?;
        // The key is written where it stays.
        if let Some(entry) = self.peers.last_mut() {
            // SAFETY: by this function's contract.
            let psk = unsafe { array(peer.psk.cast::<u8>(), peer.psk_length) }?;
            entry.psk.extend_from_slice(psk).map_err(|_| Fault::Config)?;
        }
        Ok(())
    }

    fn read_policy(&self, policy: &abi::Policy, number: u32) -> Result<SpdEntry, Fault> {
        let other = |action| {
            let selectors = selectors(&policy.selectors)?;
            Ok(SpdEntry {
                id: PolicyId(number),
                directions: Directions::Both,
                selectors,
                policy: action,
            })
        };
        match i32::from(policy.action) {
            header::IPSEC_POLICY_PROTECT => {
                let child = self.child(policy.child).ok_or(Fault::Unknown)?;
                Ok(SpdEntry::new(PolicyId(child.id.0), child.selectors, Policy::PROTECT))
            }
            header::IPSEC_POLICY_BYPASS => other(Policy::Bypass),
            header::IPSEC_POLICY_DISCARD => other(Policy::Discard),
            _ => Err(Fault::Config),
        }
    }

    /// Has the engine look for what cannot work, and for what should not be; whether it can work.
    pub fn check(&self, report: &mut dyn FnMut(Finding)) -> bool {
        let mut works = true;
        self.lend(|config| {
            config.check(SIZES, &mut |finding| {
                works &= finding.kind.severity() != Severity::Error;
                report(finding);
            });
        });
        works
    }

    /// The configuration as the engine wants it, for one call.
    pub fn lend<R>(&self, call: impl FnOnce(&Config<'_>) -> R) -> R {
        let mut children = Vec::<_, IPSEC_MAX_CHILDREN>::new();
        for child in &self.children {
            // As many as fit: both have one size. The same below.
            let _ = children.push(child.lend());
        }
        let mut peers = Vec::<_, IPSEC_MAX_PEERS>::new();
        let mut rest = children.as_slice();
        for peer in &self.peers {
            let count = self.children.iter().filter(|child| child.peer == peer.id).count();
            let (own, others) = rest.split_at_checked(count).unwrap_or_default();
            let _ = peers.push(peer.lend(own));
            rest = others;
        }
        let (timing, limits) = (Timing::DEFAULT, Limits::DEFAULT);
        call(&Config { peers: &peers.as_slice(), crypto: &CRYPTO, timing, limits })
    }

    fn child(&self, id: u32) -> Option<&Child> {
        self.children.iter().find(|child| child.id == ChildId(id))
    }

    /// Whether there is such a peer.
    pub fn knows(&self, peer: PeerId) -> bool {
        self.peers.iter().any(|other| other.id == peer)
    }

    /// Whom to negotiate a child with, and where: `None` if there is no such child, or the peer comes from anywhere.
    pub fn route(&self, child: u32) -> Option<(PeerId, ChildId, Path)> {
        let child = self.child(child)?;
        let peer = self.peers.iter().find(|peer| peer.id == child.peer)?;
        let path = Path {
            local: SocketAddr::new(peer.local, IKE_PORT),
            remote: SocketAddr::new(peer.remote.host()?, IKE_PORT),
            encap: false,
        };
        Some((peer.id, child.id, path))
    }
}

impl Peer {
    fn lend<'c>(&'c self, children: &'c [ChildConfig<'c>]) -> PeerConfig<'c> {
        let psk = Secret::Bytes(self.psk.as_slice());
        let remote = self.remote.host();
        let any = if self.local.is_ipv4() { IpAddr::from([0; 4]) } else { IpAddr::from([0; 16]) };
        let remote_or_any = remote.unwrap_or(any);
        let mut config =
            PeerConfig::new(self.id, self.local, remote_or_any, psk, &self.proposals, children);
        config.remote = self.remote;
        config.local_id = self.local_id.lend(self.local);
        config.remote_id = match (&self.remote_id, remote) {
            (Name::Address, None) => RemoteId::Anyone,
            (name, _) => RemoteId::Exactly(name.lend(remote_or_any)),
        };
        config.lifetime = self.lifetime;
        config.dpd = self.dpd;
        config.nat_traversal = self.nat_traversal;
        config
    }
}

impl Child {
    fn read(child: &abi::Child) -> Result<Self, Fault> {
        let mut proposals = Vec::new();
        for proposal in &child.proposals {
            if let Some(transform) = transform(proposal)? {
                let proposal = EspProposal { transform, esn: proposal.esn != 0 };
                proposals.push(proposal).map_err(|_| Fault::Full)?;
            } else {
                break;
            }
        }
        if child.id == 0 || child.id >= FIRST_OTHER_POLICY {
            return Err(Fault::Config);
        }
        Ok(Self {
            peer: PeerId(child.peer),
            id: ChildId(child.id),
            selectors: selectors(&child.selectors)?,
            mode: match i32::from(child.mode) {
                header::IPSEC_TUNNEL => Mode::Tunnel,
                header::IPSEC_TRANSPORT => Mode::Transport,
                _ => return Err(Fault::Config),
            },
            proposals,
            pfs: group(child.pfs)?,
            lifetime: Lifetime {
                seconds: or_default(child.lifetime_seconds, Lifetime::PHASE2.seconds),
                kilobytes: child.lifetime_kilobytes,
            },
            replay_window: if child.replay_window == 0 { 64 } else { child.replay_window },
        })
    }

    fn lend(&self) -> ChildConfig<'_> {
        ChildConfig {
            id: self.id,
            policy: PolicyId(self.id.0),
            selectors: self.selectors,
            mode: self.mode,
            proposals: &self.proposals,
            pfs: self.pfs,
            lifetime: self.lifetime,
            replay_window: self.replay_window,
        }
    }
}

impl Name {
    /// # Safety
    /// `data` is null or `length` bytes long.
    unsafe fn read(identity: &abi::Identity) -> Result<Self, Fault> {
        // SAFETY: by this function's contract.
        let data = unsafe { array(identity.data.cast::<u8>(), identity.length) }?;
        let copy = |name: fn(_) -> Self| {
            if data.is_empty() {
                return Err(Fault::Config);
            }
            Vec::from_slice(data).map(name).map_err(|_| Fault::Config)
        };
        match i32::from(identity.kind) {
            header::IPSEC_ID_ADDRESS => Ok(Self::Address),
            header::IPSEC_ID_KEY => copy(Self::Key),
            _ if core::str::from_utf8(data).is_err() => Err(Fault::Config),
            header::IPSEC_ID_FQDN => copy(Self::Fqdn),
            header::IPSEC_ID_USER => copy(Self::User),
            _ => Err(Fault::Config),
        }
    }

    fn lend(&self, address: IpAddr) -> Identity<'_> {
        // It was read as UTF-8.
        let text = |bytes| core::str::from_utf8(bytes).unwrap_or_default();
        match self {
            Self::Address => Identity::Address(address),
            Self::Fqdn(name) => Identity::Fqdn(text(name)),
            Self::User(name) => Identity::UserFqdn(text(name)),
            Self::Key(bytes) => Identity::KeyId(bytes),
        }
    }
}

const fn or_default(value: u32, default: u32) -> u32 {
    if value == 0 { default } else { value }
}

/// One address.
pub fn address(address: &abi::Address) -> Result<IpAddr, Fault> {
    optional_address(address)?.ok_or(Fault::Address)
}

fn optional_address(address: &abi::Address) -> Result<Option<IpAddr>, Fault> {
    let [a, b, c, d, ..] = address.bytes;
    match usize::from(address.family) {
        0 => Ok(None),
        header::IPSEC_IPV4 => Ok(Some(IpAddr::from([a, b, c, d]))),
        header::IPSEC_IPV6 => Ok(Some(IpAddr::from(address.bytes))),
        _ => Err(Fault::Address),
    }
}

/// The same for C.
pub fn to_address(address: IpAddr) -> abi::Address {
    let mut bytes = [0; 16];
    let family = match address {
        IpAddr::V4(address) => {
            bytes.iter_mut().zip(address.octets()).for_each(|(to, from)| *to = from);
            4
        }
        IpAddr::V6(address) => {
            bytes = address.octets();
            6
        }
    };
    abi::Address { family, bytes }
}

/// Where a datagram comes from. Our port says whether it is the one that ESP shares.
pub fn path(path: &abi::Path) -> Result<Path, Fault> {
    let (local, remote) = (address(&path.local)?, address(&path.remote)?);
    if local.is_ipv4() != remote.is_ipv4() {
        return Err(Fault::Address);
    }
    Ok(Path {
        local: SocketAddr::new(local, path.local_port),
        remote: SocketAddr::new(remote, path.remote_port),
        encap: path.local_port == NAT_PORT,
    })
}

fn selectors(from: &abi::Selectors) -> Result<TrafficSelectors, Fault> {
    let end = |address, prefix, port| {
        let addresses = match optional_address(address)? {
            Some(network) => Addresses::Subnet { network, prefix },
            None => Addresses::Any,
        };
        let ports = if port == 0 { PortRange::ANY } else { PortRange::one(port) };
        Ok(Selector { addresses, ports })
    };
    let protocol = match from.protocol {
        0 => Protocol::Any,
        number => Protocol::Number(number),
    };
    Ok(TrafficSelectors {
        local: end(&from.local, from.local_prefix, from.local_port)?,
        remote: end(&from.remote, from.remote_prefix, from.remote_port)?,
        protocol,
    })
}

/// `None` for the entry of zeros that ends a list.
fn ike_proposal(proposal: &abi::IkeProposal) -> Result<Option<Phase1Proposal>, Fault> {
    let bits = match i32::from(proposal.cipher) {
        0 => return Ok(None),
        header::IPSEC_AES128 => 128,
        header::IPSEC_AES192 => 192,
        header::IPSEC_AES256 => 256,
        _ => return Err(Fault::Config),
    };
    let hash = match i32::from(proposal.hash) {
        header::IPSEC_SHA1 => HashAlgorithm::SHA1,
        header::IPSEC_SHA256 => HashAlgorithm::SHA2_256,
        header::IPSEC_SHA384 => HashAlgorithm::SHA2_384,
        header::IPSEC_SHA512 => HashAlgorithm::SHA2_512,
        _ => return Err(Fault::Config),
    };
    let group = group(proposal.group)?.ok_or(Fault::Config)?;
    Ok(Some(Phase1Proposal { cipher: Phase1Cipher::AesCbc(bits), hash, group }))
}

fn group(number: u8) -> Result<Option<GroupDescription>, Fault> {
    Ok(Some(match i32::from(number) {
        header::IPSEC_NO_GROUP => return Ok(None),
        header::IPSEC_MODP2048 => GroupDescription::MODP_2048,
        header::IPSEC_MODP3072 => GroupDescription::MODP_3072,
        header::IPSEC_MODP4096 => GroupDescription::MODP_4096,
        header::IPSEC_ECP256 => GroupDescription::ECP_256,
        header::IPSEC_CURVE25519 => GroupDescription::CURVE25519,
        _ => return Err(Fault::Config),
    }))
}

/// `None` for the entry of zeros that ends a list. A cipher without integrity cannot be written down.
fn transform(proposal: &abi::EspProposal) -> Result<Option<Transform>, Fault> {
    let integrity = match i32::from(proposal.hash) {
        header::IPSEC_NO_HASH => None,
        header::IPSEC_SHA1 => Some(Integrity::HmacSha1_96),
        header::IPSEC_SHA256 => Some(Integrity::HmacSha256_128),
        header::IPSEC_SHA384 => Some(Integrity::HmacSha384_192),
        header::IPSEC_SHA512 => Some(Integrity::HmacSha512_256),
        _ => return Err(Fault::Config),
    };
    Ok(Some(match (i32::from(proposal.cipher), integrity) {
        (0, None) => return Ok(None),
        (header::IPSEC_AES128, Some(hash)) => Transform::CbcHmac(BlockCipher::Aes128, hash),
        (header::IPSEC_AES192, Some(hash)) => Transform::CbcHmac(BlockCipher::Aes192, hash),
        (header::IPSEC_AES256, Some(hash)) => Transform::CbcHmac(BlockCipher::Aes256, hash),
        (header::IPSEC_NULL, Some(hash)) => Transform::NullHmac(hash),
        (header::IPSEC_AES128_GCM, None) => Transform::Aead(Aead::Aes128Gcm16),
        (header::IPSEC_AES256_GCM, None) => Transform::Aead(Aead::Aes256Gcm16),
        (header::IPSEC_CHACHA20_POLY1305, None) => Transform::Aead(Aead::ChaCha20Poly1305),
        _ => return Err(Fault::Config),
    }))
}
