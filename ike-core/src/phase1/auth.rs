//! Authentication of phase 1 with a pre-shared key: RFC 2409 §5.4, and who the peer then is: RFC 2407 §4.6.2.

use subtle::ConstantTimeEq;

use crate::config::{Authentication, Config, Identity, PeerConfig, PeerId, Secret};
use crate::error::{Capacity, Error, Refusal};
use crate::event::Role;
use crate::ike_sa::{ID_KEPT, IkeSa};
use crate::keys::{Nonces, Phase1Transcript};
use crate::phase1::identity_of;
use crate::phase1::negotiate::Suite;
use crate::protect::Algorithms;
use crate::wire::IdPayload;

/// Proof that the peer has shown to hold the key and to be whom the configuration names. Only [`verify`] makes one, and
/// only with one an IKE SA becomes established.
#[derive(Debug)]
pub(crate) struct Authenticated {
    owner_id: OwnerId,
    identity: heapless::Vec<u8, ID_KEPT>,
}

/// Which peer was authenticated.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwnerId {
    pub(crate) peer: PeerId,
    /// Digest of peer and identity, see [`IkeSa::owner`].
    pub(crate) owner: u64,
}

impl Authenticated {
    pub(crate) const fn owner(&self) -> OwnerId {
        self.owner_id
    }

    /// The body of its ID payload; nothing if that is longer than what is kept.
    pub(crate) fn into_identity(self) -> heapless::Vec<u8, ID_KEPT> {
        self.identity
    }
}

/// What the peer says of itself.
pub(crate) struct Claim<'m> {
    /// Body of its ID payload.
    pub(crate) id: &'m [u8],
    /// Body of its HASH payload.
    pub(crate) hash: &'m [u8],
    /// Where in the datagram the identity stands.
    pub(crate) offset: usize,
}

/// Derives SKEYID and what follows from it into the IKE SA.
pub(crate) fn derive_keys(
    ike: &mut IkeSa,
    peer: &PeerConfig<'_>,
    algorithms: &Algorithms,
    nonces: Nonces<'_>,
    publics: (&[u8], &[u8]),
    shared: &[u8],
) -> Result<(), Error> {
    let prf = algorithms.prf;
    let cookies = ike.cookies;
    match peer.authentication {
        Authentication::PreSharedKey(Secret::Bytes(psk)) => {
            ike.skeyid.derive_from_psk(prf, psk, nonces, shared, &cookies);
        }
        Authentication::PreSharedKey(Secret::Oracle(oracle)) => ike
            .skeyid
            .derive(prf, shared, &cookies, |root| {
                let nonces = [nonces.initiator, nonces.responder];
                oracle.skeyid(peer.id, prf.id(), &nonces, root)
            })
            .map_err(|_| Refusal::NoCredentials)?,
    }
    ike.cipher_key.derive(prf, &ike.skeyid, algorithms.cipher);
    let (public_i, public_r) = publics;
    ike.iv = crate::keys::Iv::phase1(prf, algorithms.cipher, public_i, public_r);
    if ike.cipher_key.as_slice().is_empty() {
        return Err(Capacity::Algorithm.into());
    }
    Ok(())
}

/// Checks the hash of the peer, then its identity. The hash covers the identity as it was received. Returns also the
/// configuration of the peer that it is. `owner` makes the digest of a peer and its identity.
///
/// # Errors
///
/// [`Refusal::Authentication`] if the hash is wrong: whoever sent this has proved nothing. [`Refusal::Identity`] if it
/// is right, but the peer is somebody else.
pub(crate) fn verify<'c>(
    ike: &IkeSa,
    (config, peer): (&Config<'c>, &PeerConfig<'c>),
    algorithms: &Algorithms,
    transcript: &Phase1Transcript<'_>,
    claim: &Claim<'_>,
    owner: impl FnOnce(PeerId) -> u64,
) -> Result<(Authenticated, PeerConfig<'c>), Error> {
    let expected = match ike.role {
        Role::Initiator => transcript.hash_r(algorithms.prf, &ike.skeyid, claim.id),
        Role::Responder => transcript.hash_i(algorithms.prf, &ike.skeyid, claim.id),
    };
    if !expected.verify(claim.hash) {
        return Err(Refusal::Authentication.into());
    }
    let parsed = IdPayload::parse(claim.id, claim.offset)?;
    let identity = identity_of(&parsed);
    let peer = if peer.remote_id.accepts(&identity) {
        *peer
    } else {
        neighbour(ike, (config, peer), &identity).ok_or(Refusal::Identity(parsed.id_type))?
    };
    let owner_id = OwnerId { peer: peer.id, owner: owner(peer.id) };
    let identity = heapless::Vec::from_slice(claim.id).unwrap_or_default();
    Ok((Authenticated { owner_id, identity }, peer))
}

/// Main mode chose the peer, and with it the key, by the address, before the identity could be known (RFC 2409 §5.4). Where
/// several may come from there, the one that identifies itself so is meant instead, if it has the same key and the same
/// algorithms: what has been verified and agreed then holds for it, too.
fn neighbour<'c>(
    ike: &IkeSa,
    (config, chosen): (&Config<'c>, &PeerConfig<'c>),
    identity: &Identity<'_>,
) -> Option<PeerConfig<'c>> {
    if ike.role == Role::Initiator {
        return None;
    }
    let named = config.peers.by_identity(identity, ike.path.remote.ip())?;
    let named = config.peers.peer(named)?;
    let same_key = match (named.authentication, chosen.authentication) {
        (
            Authentication::PreSharedKey(Secret::Bytes(named)),
            Authentication::PreSharedKey(Secret::Bytes(chosen)),
        ) => bool::from(named.ct_eq(chosen)),
        _ => false,
    };
    let agreed = named.proposals.iter().any(|ours| Suite::from(*ours) == ike.suite);
    (same_key && agreed && named.remote_id.accepts(identity)).then_some(named)
}
