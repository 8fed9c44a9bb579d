//! What accompanies a quick mode: RESPONDER-LIFETIME (RFC 2407 §4.6.3.1) and the original addresses (RFC 3947 §5.2).

use esp_core::Mode;

use crate::config::Lifetime;
use crate::error::Error;
use crate::event::Role;
use crate::exchange::Message;
use crate::ike_sa::IkeSa;
use crate::lifetime::LifetimeReader;
use crate::wire::numbers::{IpsecAttribute, NotifyType, PayloadType};
use crate::wire::{MessageWriter, NatOriginalAddress, NotifyPayload, SaBody};

/// The SPI that an offer names first, for a notify about it.
pub(super) fn offered_spi(message: &Message<'_>) -> heapless::Vec<u8, 4> {
    message
        .all(PayloadType::SA)
        .next()
        .and_then(|payload| SaBody::parse(payload.body, payload.offset).ok())
        .and_then(|sa| sa.proposals().next()?.ok())
        .and_then(|proposal| heapless::Vec::from_slice(proposal.spi).ok())
        .unwrap_or_default()
}

/// RESPONDER-LIFETIME of a message, if it has one (RFC 2407 §4.6.3.1). Some peers name another protocol or SPI in it.
pub(super) fn responder_lifetime(message: &Message<'_>) -> Lifetime {
    let mut reader = LifetimeReader::default();
    for payload in message.all(PayloadType::NOTIFICATION) {
        let Ok(notify) = NotifyPayload::parse(payload.body, payload.offset) else { continue };
        if notify.kind != NotifyType::RESPONDER_LIFETIME {
            continue;
        }
        for attribute in notify.attributes().flatten() {
            match IpsecAttribute(attribute.kind) {
                IpsecAttribute::LIFE_TYPE => reader.life_type(&attribute),
                IpsecAttribute::LIFE_DURATION => reader.duration(&attribute),
                _ => {}
            }
        }
    }
    reader.finish(Lifetime { seconds: u32::MAX, kilobytes: 0 })
}

/// In transport mode behind a NAT, tells the peer both addresses as we know them, initiator's first, so that it can
/// mend checksums (RFC 3947 §5.2). We need no such help: what ESP has authenticated gets new checksums.
pub(super) fn emit_original_addresses(
    message: &mut MessageWriter<'_>,
    ike: &IkeSa,
    (role, mode): (Role, Mode),
) -> Result<(), Error> {
    if mode != Mode::Transport || !ike.nat.found() {
        return Ok(());
    }
    let (local, remote) = (ike.path.local.ip(), ike.path.remote.ip());
    let (initiator, responder) = match role {
        Role::Initiator => (local, remote),
        Role::Responder => (remote, local),
    };
    let kind = ike.nat.method.nat_oa();
    NatOriginalAddress(initiator).emit(message, kind)?;
    NatOriginalAddress(responder).emit(message, kind)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::config::PeerId;
    use crate::endpoint::{Path, header};
    use crate::natt::{Nat, NatMethod};
    use crate::wire::numbers::ExchangeType;
    use crate::wire::{Cookie, CookiePair, HEADER_LEN, Payloads};

    fn original_addresses(nat: Nat, role: Role, mode: Mode) -> Vec<NatOriginalAddress> {
        let cookies = CookiePair { initiator: Cookie([1; 8]), responder: Cookie([2; 8]) };
        let (local, remote) =
            ("192.0.2.1:4500".parse().unwrap(), "192.0.2.2:4500".parse().unwrap());
        let path = Path { local, remote, encap: true };
        // Whoever began the IKE SA, it is the quick mode's initiator that comes first.
        let mut ike = IkeSa::new(Role::Initiator, PeerId(1), path, cookies);
        ike.nat = nat;
        let mut buffer = [0; 128];
        let head = header(cookies, ExchangeType::QUICK_MODE, 1, false);
        let mut message = MessageWriter::new(&mut buffer, &head).unwrap();
        emit_original_addresses(&mut message, &ike, (role, mode)).unwrap();
        let kind = crate::wire::Header::parse(message.written()).unwrap().next_payload;
        Payloads::new(kind, &message.written()[HEADER_LEN..], HEADER_LEN)
            .map(|payload| {
                let payload = payload.unwrap();
                assert_eq!(payload.kind, PayloadType::NAT_OA);
                NatOriginalAddress::parse(payload.body, payload.offset).unwrap()
            })
            .collect()
    }

    /// RFC 3947 §5.2: in transport mode behind a NAT both, initiator's first.
    #[test]
    fn original_addresses_are_for_transport_mode_behind_a_nat() {
        let none = Nat { method: NatMethod::Rfc3947, ..Nat::default() };
        let nat = Nat { local_behind: true, ..none };
        let [local, remote] =
            ["192.0.2.1", "192.0.2.2"].map(|it| NatOriginalAddress(it.parse().unwrap()));
        for (nat, role, mode, expected) in [
            (nat, Role::Initiator, Mode::Transport, vec![local, remote]),
            (nat, Role::Responder, Mode::Transport, vec![remote, local]),
            (nat, Role::Initiator, Mode::Tunnel, vec![]),
            (none, Role::Initiator, Mode::Transport, vec![]),
        ] {
            assert_eq!(original_addresses(nat, role, mode), expected, "{role:?} {mode:?}");
        }
    }
}
