//! Transport mode, inbound: the IP header in front of ESP becomes that of the packet again (RFC 4303 §3.1.1).
//!
//! Through a NAT the addresses have changed on the way and the checksum inside could not change with them. The packet is
//! authentic, so its checksum is computed anew over the addresses it has now (RFC 3948 §3.1.2 allows that).

use crate::Encap;
use crate::inbound::OpenError;
use crate::packet::PacketBuf;
use crate::tunnel::{DEFAULT_TTL, Outer};
use crate::wire::checksum;
use crate::wire::ip::{self, Fragment, Ip, NewHeader};
use crate::wire::udp;

/// Leaves in `packet` the IP packet that was protected: its header, or one made from `outer` where none arrived, and
/// the payload. `header` is the length of the headers that arrived and which of their bytes names what follows.
pub(crate) fn restore(
    packet: &mut PacketBuf<'_>,
    header: Option<(usize, usize)>,
    payload_at: usize,
    payload_len: usize,
    next_header: u8,
    outer: &Outer,
) -> Result<Ip, OpenError> {
    match header {
        Some((header_len, protocol_at)) => {
            let at = payload_at.checked_sub(header_len).ok_or(OpenError::Malformed)?;
            packet.packet_mut().copy_within(..header_len, at);
            packet.cut(at, header_len.saturating_add(payload_len));
            ip::rewrite(packet.packet_mut(), protocol_at, next_header);
        }
        None => {
            let header_len = NewHeader::len_for(&outer.local);
            packet.cut(payload_at, payload_len);
            packet.grow(header_len, 0).map_err(OpenError::NoRoom)?;
            let header = NewHeader {
                source: &outer.remote,
                destination: &outer.local,
                traffic_class: outer.traffic_class,
                dont_fragment: true,
                identification: 0,
                flow_label: 0,
                ttl: DEFAULT_TTL,
                protocol: next_header,
            };
            header.emit(packet.packet_mut());
        }
    }
    let restored = Ip::parse(packet.packet()).map_err(|_| OpenError::Inner)?;
    if matches!(outer.encap, Encap::Udp { .. }) {
        renew_checksum(packet.packet_mut(), &restored);
    }
    Ok(restored)
}

/// Computes the checksum of TCP, UDP or ICMPv6 over the addresses the packet has.
fn renew_checksum(packet: &mut [u8], restored: &Ip) {
    let field_at = match restored.protocol {
        ip::TCP => 16,
        udp::PROTOCOL => 6,
        ip::ICMPV6 => 2,
        _ => return,
    };
    let Some(payload) = packet.get_mut(restored.payload_at..) else { return };
    let Some(field) = payload.get(field_at..).and_then(|rest| rest.first_chunk::<2>()) else {
        return;
    };
    let absent = restored.protocol == udp::PROTOCOL && *field == [0; 2];
    // A fragment holds only a part of what the sum is over; UDP over IPv4 may have none.
    if restored.fragment != Fragment::Whole || absent {
        return;
    }
    checksum::write(
        payload,
        field_at,
        restored.source(),
        restored.destination(),
        restored.protocol,
    );
}
