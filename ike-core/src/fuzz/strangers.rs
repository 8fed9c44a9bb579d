//! An endpoint and strangers: datagrams of any bytes, from several addresses, to either port. A script may ask for the
//! length to be repaired, for the endpoint's own cookie to be put in, and for what a peer with another key would send
//! next, with changes: so that it gets as far as one gets without the key.
//!
//! Whatever comes: nothing panics, nothing is established, nothing that nobody asked for is sent, and to an address that has not
//! shown our cookie no more bytes are sent than came from it.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::world::{Bytes, Flying, Setup, path, repair_length, with_world};
use crate::Path;
use crate::natt::{IKE_PORT, NAT_PORT, NON_ESP_MARKER};
use crate::wire::Header;

const STRANGERS: usize = 4;

#[derive(Clone, Copy, Default)]
struct Stranger {
    received: usize,
    sent: usize,
    cookie: [u8; 8],
    proven: bool,
}

/// Takes records: a control byte, a length, as many bytes.
pub fn strangers(script: &[u8]) {
    with_world(Setup { other_key: true, ..Setup::PLAIN }, |world| {
        world.request(0, 4);
        let mut all = [Stranger::default(); STRANGERS];
        let mut rest = script;
        while let Some((&[control, len], tail)) = rest.split_first_chunk() {
            let (bytes, tail) = tail.split_at_checked(len.into()).unwrap_or((tail, &[]));
            rest = tail;
            let now = u64::from(control >> 5 & 3).saturating_mul(400).saturating_add(world.now);
            world.now = now;
            let mut from = usize::from(control & 3);
            let mut path = path_of(from, control & 4 != 0);
            let mut datagram = Bytes::from_slice(bytes).unwrap_or_default();
            if let (true, Some(next)) = (control & 0x80 != 0, world.flying.pop_front()) {
                datagram = next.bytes;
                let at = bytes.first().copied().unwrap_or_default().into();
                let changes = bytes.iter().skip(1);
                datagram.iter_mut().skip(at).zip(changes).for_each(|(to, change)| *to ^= change);
                (from, path) = (0, next.path);
            } else if path.encap {
                let _ = datagram.resize(bytes.len().saturating_add(NON_ESP_MARKER.len()), 0);
                datagram.rotate_right(NON_ESP_MARKER.len());
            }
            let marker = if path.encap { NON_ESP_MARKER.len() } else { 0 };
            let Some(stranger) = all.get_mut(from) else { return };
            let mut message =
                Bytes::from_slice(datagram.get(marker..).unwrap_or_default()).unwrap_or_default();
            if control & 8 != 0 {
                repair_length(&mut message);
            }
            if let (true, Some(cookie)) = (control & 16 != 0, message.get_mut(8..16)) {
                cookie.copy_from_slice(&stranger.cookie);
            }
            stranger.proven |=
                stranger.cookie != [0; 8] && message.get(8..16) == Some(&stranger.cookie[..]);
            datagram.truncate(marker);
            let _ = datagram.extend_from_slice(&message);
            stranger.received = stranger.received.saturating_add(datagram.len());

            let [other, host] = &mut world.hosts;
            let [other_config, config] = &world.configs;
            let mut answers = heapless::Vec::<(Path, Bytes), 4>::new();
            host.receive(now, config, path, &mut datagram);
            host.turn(now, config, |path, bytes| {
                let of = (0..STRANGERS).find(|of| path_of(*of, path.encap) == path);
                let Some(stranger) = of.and_then(|of| all.get_mut(of)) else {
                    unreachable!("nobody is at {path:?}");
                };
                stranger.sent = stranger.sent.saturating_add(bytes.len());
                let message = bytes.get(if path.encap { NON_ESP_MARKER.len() } else { 0 }..);
                if let Some(Ok(header)) = message.map(Header::parse)
                    && header.cookies.responder.0 != [0; 8]
                {
                    stranger.cookie = header.cookies.responder.0;
                }
                assert!(stranger.proven || stranger.sent <= stranger.received, "amplified");
                if of == Some(0) {
                    let _ = answers.push((path, Bytes::from_slice(bytes).unwrap_or_default()));
                }
            });
            assert_eq!(host.established(), 0);
            for (path, mut bytes) in answers {
                let path = Path { local: path.remote, remote: path.local, encap: path.encap };
                other.receive(now, other_config, path, &mut bytes);
            }
            let flying = &mut world.flying;
            other.turn(now, other_config, |path, bytes| {
                let path = Path { local: path.remote, remote: path.local, encap: path.encap };
                let bytes = Bytes::from_slice(bytes).unwrap_or_default();
                let _ = flying.push_back(Flying { to: 1, path, bytes });
            });
            assert_eq!(other.established(), 0);
        }
    });
}

/// The first is the peer that is configured; all are known by their address.
fn path_of(stranger: usize, encap: bool) -> Path {
    let Path { local, remote, .. } = path(1);
    let last = u8::try_from(stranger).unwrap_or_default();
    let remote = match stranger {
        0 => remote.ip(),
        _ => IpAddr::V4(Ipv4Addr::new(198, 51, 100, last)),
    };
    let port = if encap { NAT_PORT } else { IKE_PORT };
    Path { local: SocketAddr::new(local.ip(), port), remote: SocketAddr::new(remote, port), encap }
}

#[cfg(test)]
mod tests {
    use super::super::tests::recorded;
    use super::*;

    /// A peer with another key gets as far as the last message of main mode, and no further, whatever is changed.
    #[test]
    fn a_peer_with_another_key() {
        let next = [0x80, 0];
        strangers(&next.repeat(8));
        for round in 0..6 {
            for at in 0..=u8::MAX {
                for change in [1, 0x80, 0xff] {
                    let changed = [0x88, 2, at, change];
                    strangers(&[&next.repeat(round)[..], &changed, &next.repeat(3)].concat());
                }
            }
        }
    }

    /// The recorded first messages, from everybody, with every control byte; and each of their bytes changed.
    #[test]
    fn recorded_messages_from_strangers() {
        for message in recorded().iter().filter(|message| message.len() < 256) {
            let len = message.len() as u8;
            for control in 0..=u8::MAX {
                let one = [&[control, len], &message[..]].concat();
                strangers(&[&one[..], &one, &one].concat());
            }
            for at in (0..message.len()).step_by(3) {
                for change in [1, 0x80, 0xff] {
                    let mut varied = [&[8, len], &message[..], &[24, len], message].concat();
                    varied[2 + at] ^= change;
                    strangers(&varied);
                }
            }
        }
    }
}
