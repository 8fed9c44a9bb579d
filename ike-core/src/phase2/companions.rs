//! What accompanies a quick mode: RESPONDER-LIFETIME (RFC 2407 §4.6.3.1) and the original addresses (RFC 3947 §5.2).

use esp_core::Mode;

use crate::child_sa::ChildSa;
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
    sa: &ChildSa,
) -> Result<(), Error> {
    if sa.mode != Mode::Transport || !ike.nat.found() {
        return Ok(());
    }
    let (local, remote) = (ike.path.local.ip(), ike.path.remote.ip());
    let (initiator, responder) = match sa.role {
        Role::Initiator => (local, remote),
        Role::Responder => (remote, local),
    };
    let kind = ike.nat.method.nat_oa();
    NatOriginalAddress(initiator).emit(message, kind)?;
    NatOriginalAddress(responder).emit(message, kind)?;
    Ok(())
}
