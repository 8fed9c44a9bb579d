//! Packets through SAs: made up, sealed, changed.

use super::{Kind, Numbers, SPI, V4};
use crate::transform::SealKeys;
use crate::wire::esp;
use crate::wire::ip::Ip;
use crate::{
    Arrival, Encap, Framing, Inbound, InboundSa, Mode, OpenError, Outbound, OutboundSa, Outer,
    PacketBuf, Policy, PolicyId, Processor, Settings, SpdEntry, Tables, TunnelOptions,
    too_big_reply,
};

const ROOM: usize = 128;
const MAX: usize = 2048;
const MEMORY: usize = MAX + 2 * ROOM;
/// What fills the buffer around a packet.
const AROUND: u8 = 0xa5;

/// A packet of any bytes, as it is or sealed with the right keys. What was not sealed is never opened; what was is
/// opened once, and what comes out is an IP packet or an error. Bytes around the packet stay.
pub fn open(script: &[u8]) {
    let Some((&[choice, flags, how], bytes)) = script.split_first_chunk() else { return };
    let kind = Kind::chosen([choice, flags]);
    let outer = Outer {
        local: kind.ends[1],
        remote: kind.ends[0],
        encap: kind.encap,
        traffic_class: flags >> 6,
        dont_fragment: false,
    };
    let mut memory = [AROUND; MEMORY];
    let sealed = how & 1 == 1;
    let len = if sealed {
        seal(kind, bytes, &mut memory)
    } else {
        let len = bytes.len().min(MAX);
        place(&mut memory, len, bytes.iter().copied());
        if how & 2 != 0 {
            // It names an SA that there is.
            place(&mut memory, 4.min(len), SPI.to_be_bytes().into_iter());
        }
        len
    };
    let whole = !sealed && how & 4 != 0;
    let arrival = if whole { Arrival::Ip } else { Arrival::Esp(outer) };
    let (Ok(mut sa), Some(mut packet)) = (
        InboundSa::new(kind.params(1)),
        PacketBuf::new(&mut memory, ROOM..ROOM.saturating_add(len)),
    ) else {
        unreachable!("the parameters make sense");
    };
    let opened = sa.open(&mut packet, arrival);
    let range = packet.range();
    let transport = kind.mode == Mode::Transport;
    assert!(range.end <= ROOM.saturating_add(len) && (transport || range.start >= ROOM));
    if opened.is_ok() {
        assert!(sealed, "opened what nobody sealed");
        let ip = Ip::parse(packet.packet());
        assert!(ip.is_ok_and(|ip| transport || ip.total_len == packet.len()));
    } else if !sealed {
        assert_eq!(sa.newest_sequence().0, 0);
    }
    let behind = ROOM.saturating_add(len);
    assert!(memory.iter().skip(behind).all(|byte| *byte == AROUND));

    // The same by way of a processor, whose verdict is no other.
    let mut tables = Tables::<1, 1, 2>::new();
    let mut processor = Processor::new(&mut tables, Settings::DEFAULT);
    let entry = SpdEntry::new(PolicyId(1), super::ANY, Policy::PROTECT);
    assert_eq!(processor.set_policies(&[entry]), Ok(()));
    assert_eq!(processor.install_inbound(kind.params(1)), Ok(()));
    let mut memory = [AROUND; MEMORY];
    let len = if sealed {
        seal(kind, bytes, &mut memory)
    } else {
        place(&mut memory, len, bytes.iter().copied());
        if how & 2 != 0 {
            place(&mut memory, 4.min(len), SPI.to_be_bytes().into_iter());
        }
        len
    };
    let before = memory;
    let Some(mut packet) = PacketBuf::new(&mut memory, ROOM..ROOM.saturating_add(len)) else {
        return;
    };
    let delivered = matches!(processor.inbound(&mut packet, arrival), Inbound::Deliver { .. });
    assert_eq!(delivered, opened.is_ok());
    if !sealed {
        assert!(memory == before, "a packet that is not authentic is untouched");
        assert_eq!(processor.icmp_error(bytes), None);
        let mut reply = [0; 1280];
        for own in V4 {
            if let Some(len) = too_big_reply(bytes, 1400, own, &mut reply) {
                assert!(Ip::parse(reply.get(..len).unwrap_or_default()).is_ok());
            }
        }
    } else if delivered {
        // Once.
        let mut memory = before;
        let Some(mut packet) = PacketBuf::new(&mut memory, ROOM..ROOM.saturating_add(len)) else {
            return;
        };
        let again = matches!(processor.inbound(&mut packet, arrival), Inbound::Deliver { .. });
        assert!(!again, "opened twice");
    }
}

fn place(memory: &mut [u8; MEMORY], len: usize, bytes: impl Iterator<Item = u8>) {
    let to = memory.iter_mut().skip(ROOM).take(len);
    to.zip(bytes).for_each(|(to, from)| *to = from);
}

/// Puts into `memory` what a holder of the keys makes of any plaintext, trailer included; its length.
fn seal(kind: Kind, plaintext: &[u8], memory: &mut [u8; MEMORY]) -> usize {
    let transform = kind.transform;
    let block = transform.alignment();
    let front = esp::HEADER_LEN.saturating_add(transform.iv_len());
    let whole = plaintext.len().min(1024) & !block.wrapping_sub(1);
    let plaintext = plaintext.get(..whole).unwrap_or_default();
    let len = front.saturating_add(whole).saturating_add(transform.icv_len());
    let sequence = 1_u32.to_be_bytes();
    let head = SPI.to_be_bytes().into_iter().chain(sequence);
    let iv = [0x11; 16].into_iter().take(transform.iv_len());
    let body = plaintext.iter().copied();
    place(memory, len, head.chain(iv).chain(body).chain([0; 64]));
    let high = kind.esn.then_some([0; 4]);
    let params = kind.params(0);
    let esp = memory.get_mut(ROOM..ROOM.saturating_add(len)).unwrap_or_default();
    match SealKeys::new(transform, params.keys.as_slice()) {
        Ok(keys) => keys.seal(transform, esp, high),
        Err(_) => unreachable!("the keys fit"),
    }
    len
}

/// Any bytes as a packet to be sealed, under any options, with any room. What is sent is opened again and is what it was;
/// what is not is untouched. A batch of three gives the same bytes as three one by one.
pub fn round_trip(script: &[u8]) {
    let Some((&[choice, flags, how, ttl, mtu, pad_to, front, back], inner)) =
        script.split_first_chunk()
    else {
        return;
    };
    let kind = Kind::chosen([choice, flags]);
    let inner = inner.get(..inner.len().min(1500)).unwrap_or_default();
    let options = TunnelOptions {
        ttl,
        mtu: u16::from(mtu).saturating_mul(16),
        pad_to: u16::from(pad_to).saturating_mul(8),
        ..TunnelOptions::DEFAULT
    };
    let framing = if how & 1 == 0 { Framing::Ip } else { Framing::Esp };
    let sender = || match OutboundSa::new(kind.params(0), &mut Numbers) {
        Ok(sa) => sa.with(options, framing),
        Err(_) => unreachable!("the parameters make sense"),
    };
    let Ok(mut receiver) = InboundSa::new(kind.params(1)) else { return };
    // Mostly with enough room; where it is not, that must be noticed.
    let (front, back) = if how & 2 == 0 { (80, 1200) } else { (front.into(), back.into()) };
    let memory = |memory: &mut [u8; 4096]| {
        let range = front..inner.len().saturating_add(front);
        memory.fill(AROUND);
        if let Some(place) = memory.get_mut(range.clone()) {
            place.copy_from_slice(inner);
        }
        (range.clone(), range.end.saturating_add(back))
    };
    let mut one_by_one = [[0; 4096]; 3];
    let mut ranges = [0..0, 0..0, 0..0];
    let mut verdicts = [None; 3];
    let mut sa = sender();
    for ((bytes, range), verdict) in one_by_one.iter_mut().zip(&mut ranges).zip(&mut verdicts) {
        let (at, end) = memory(bytes);
        let Some(room) = bytes.get_mut(..end) else { unreachable!("there is room") };
        let Some(mut packet) = PacketBuf::new(room, at.clone()) else { return };
        let sealed = sa.seal(&mut packet);
        *range = packet.range();
        if sealed.is_err() {
            assert_eq!(packet.packet(), inner.get(..packet.len()).unwrap_or_default());
            assert_eq!(range.start, at.start);
        }
        assert!(bytes.iter().skip(end).all(|byte| *byte == AROUND));
        *verdict = Some(sealed);
    }
    let mut batch = [[0; 4096]; 3];
    let mut results = [Err(crate::SealError::Malformed); 3];
    let mut packets = batch.each_mut().map(|bytes| {
        let (at, end) = memory(bytes);
        PacketBuf::new(bytes.get_mut(..end).unwrap_or_default(), at)
    });
    if let [Some(a), Some(b), Some(c)] = &mut packets {
        let mut all = [a, b, c].map(|packet| core::mem::replace(packet, PacketBuf::whole(&mut [])));
        sender().seal_batch(&mut all, &mut results);
    }
    assert_eq!(results.map(Some), verdicts);
    assert!(batch == one_by_one, "a batch gives the same");

    let parsed = Ip::parse(inner);
    let total_len = parsed.map(|ip| ip.total_len);
    // In transport mode a packet that carries nothing cannot be told from a dummy (RFC 4303 §2.6).
    let dummy = kind.mode == Mode::Transport
        && parsed.is_ok_and(|ip| inner.get(ip.esp_protocol_at) == Some(&esp::NO_NEXT_HEADER));
    for ((bytes, range), verdict) in one_by_one.iter_mut().zip(ranges).zip(verdicts) {
        let Some(Ok(sealed)) = verdict else { continue };
        let Some(mut packet) = PacketBuf::new(bytes, range) else { return };
        let arrival = match framing {
            Framing::Ip => Arrival::Ip,
            Framing::Esp => Arrival::Esp(turned(sealed.outer)),
        };
        let opened = receiver.open(&mut packet, arrival);
        if dummy {
            assert_eq!(opened, Err(OpenError::Dummy));
            continue;
        }
        assert!(opened.is_ok(), "{opened:?}");
        // The host that writes the IP header of transport mode does not get it back as it was; nor is a checksum
        // kept that was wrong before.
        if kind.mode == Mode::Tunnel {
            assert_eq!(
                packet.packet(),
                inner.get(..total_len.unwrap_or_default()).unwrap_or_default()
            );
        } else if framing == Framing::Ip {
            assert_eq!(Ok(packet.len()), total_len);
        }
    }

    // And by way of a processor: sealed or kept, never in clear.
    let mut tables = Tables::<1, 1, 2>::new();
    let mut processor = Processor::new(&mut tables, Settings { framing, ..Settings::DEFAULT });
    let entry = SpdEntry::new(PolicyId(1), super::ANY, Policy::PROTECT);
    assert_eq!(processor.set_policies(&[entry]), Ok(()));
    assert_eq!(processor.install_outbound(kind.params(0), &mut Numbers), Ok(()));
    let [bytes, ..] = &mut one_by_one;
    let (at, end) = memory(bytes);
    let Some(mut packet) = bytes.get_mut(..end).and_then(|room| PacketBuf::new(room, at)) else {
        return;
    };
    match processor.outbound(&mut packet) {
        Outbound::Send { .. } | Outbound::Discard(_) | Outbound::TooBig { .. } => {}
        verdict @ (Outbound::Bypass | Outbound::Hold { .. }) => unreachable!("{verdict:?}"),
    }
}

const fn turned(outer: Outer) -> Outer {
    let encap = match outer.encap {
        Encap::None => Encap::None,
        Encap::Udp { local_port, remote_port } => {
            Encap::Udp { local_port: remote_port, remote_port: local_port }
        }
    };
    Outer { local: outer.remote, remote: outer.local, encap, ..outer }
}
