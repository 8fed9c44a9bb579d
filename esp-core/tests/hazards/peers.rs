//! How real peers behave, as far as the data plane sees it.

use esp_core::*;

use crate::hosts::*;

/// Windows, L2TP: two clients behind one NAT, in transport mode to one server. They share an address and differ in the port
/// they are seen at: neither takes the other's place, each gets its own packets, and the checksum inside is made anew.
#[test]
fn i13_two_clients_behind_one_nat() {
    let nat = ip("198.51.100.7");
    let server = V4.1;
    let clients = [(ip("192.168.0.5"), 6000, 1701), (ip("192.168.0.6"), 6001, 1702)];
    let mut tables = Tables::<2, 4, 8>::new();
    let mut b = Processor::new(&mut tables, Settings::DEFAULT);
    let l2tp = TrafficSelectors {
        local: Selector { addresses: Addresses::host(server), ports: PortRange::one(1701) },
        remote: Selector::ANY,
        protocol: Protocol::Number(17),
    };
    b.set_policies(&[SpdEntry::new(PolicyId(1), l2tp, Policy::PROTECT)]).expect("valid");
    // What was agreed with a client: its address as it is seen, and the port of its L2TP.
    let sa = |spi, owner, seen_at, port| {
        let encap = Encap::Udp { local_port: 4500, remote_port: seen_at };
        let mut sa = params(AES_SHA1, (server, nat), encap, owner, spi);
        sa.mode = Mode::Transport;
        sa.selectors = l2tp;
        sa.selectors.remote =
            Selector { addresses: Addresses::host(nat), ports: PortRange::one(port) };
        sa
    };
    for (at, (_, seen_at, port)) in clients.into_iter().enumerate() {
        let at = at as u32;
        b.install_inbound(sa(0x1000 + at, B + u64::from(at), seen_at, port)).expect("valid");
        b.install_outbound(sa(0x2000 + at, B + u64::from(at), seen_at, port), &mut rng())
            .expect("valid");
    }
    assert_eq!(b.outbound_sas().count(), 2);
    let answers = |b: &mut Processor<'_>| {
        clients.map(|(_, _, port)| {
            let verdict = Buffer::new(&udp_ports(server, nat, 1701, port, 30)).outbound(b);
            let Outbound::Send { outer, owner } = verdict else { panic!("{verdict:?}") };
            (owner, outer.encap)
        })
    };
    let seen = |port| Encap::Udp { local_port: 4500, remote_port: port };
    assert_eq!(answers(&mut b), [(B, seen(6000)), (B + 1, seen(6001))]);
    for (at, (client, seen_at, port)) in clients.into_iter().enumerate() {
        let mut own = params(AES_SHA1, (client, server), UDP, A, 0x1000 + at as u32);
        (own.mode, own.selectors) = (Mode::Transport, ANY);
        let mut own = OutboundSa::new(own, &mut rng()).expect("valid");
        let inner = udp_ports(client, server, port, 1701, 30);
        let mut memory = [&[0; 80][..], &inner, &[0; 80]].concat();
        let mut packet = PacketBuf::new(&mut memory, 80..80 + inner.len()).expect("inside");
        own.seal(&mut packet).expect("fits");
        // The NAT writes its own address and port.
        let mut buffer = Buffer::new(packet.packet());
        buffer.bytes_mut()[12..16].copy_from_slice(&[198, 51, 100, 7]);
        buffer.bytes_mut()[20..22].copy_from_slice(&u16::to_be_bytes(seen_at));
        let verdict = buffer.inbound(&mut b, Arrival::Ip);
        let Inbound::Deliver { owner, outer, .. } = verdict else { panic!("{verdict:?}") };
        assert_eq!((owner, outer.encap), (B + at as u64, seen(seen_at)));
        assert_eq!(buffer.bytes()[12..16], [198, 51, 100, 7]);
        assert_eq!(inner_checksum(buffer.bytes()), 0);
    }
    // A third one that differs in nothing but the port it is seen at takes nobody's place either.
    b.install_outbound(sa(0x2002, B + 2, 6002, 1701), &mut rng()).expect("valid");
    assert_eq!(b.outbound_sas().count(), 3);
    assert_eq!(b.remove_owner(B + 2), 1);
    // A renewal of the first, and its NAT moving it, leave the second alone.
    b.install_outbound(sa(0x2010, B + 10, 6000, 1701), &mut rng()).expect("valid");
    assert_eq!(b.outbound_sas().count(), 2);
    let mut outer = crate::forge::outer(seen(7000));
    outer.remote = nat;
    assert_eq!(b.move_peer(B + 10, outer), 1);
    assert_eq!(answers(&mut b), [(B + 10, seen(7000)), (B + 1, seen(6001))]);
}

/// Android up to 6 cut HMAC-SHA2-256 to 96 bits. It is another transform with its own length; neither opens what the other
/// sealed, and it is there only where it was asked for.
#[cfg(feature = "legacy")]
#[test]
fn i17_sha256_96_is_an_algorithm_of_its_own() {
    let right = Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha256_128);
    let short = Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha256_96);
    assert_eq!((right.icv_len(), short.icv_len()), (16, 12));
    assert_eq!(right.key_material_len(), short.key_material_len());
    for (sender, receiver) in [(right, right), (short, short), (right, short), (short, right)] {
        let sa = |ends, transform, owner| params(transform, ends, Encap::None, owner, 0x1000);
        let mut a = OutboundSa::new(sa(V4, sender, A), &mut rng()).expect("valid");
        let mut b = InboundSa::new(sa((V4.1, V4.0), receiver, B)).expect("valid");
        let inner = udp_v4(50, 0);
        let mut memory = [&[0; 80][..], &inner, &[0; 80]].concat();
        let mut packet = PacketBuf::new(&mut memory, 80..80 + inner.len()).expect("inside");
        a.seal(&mut packet).expect("fits");
        let opened = b.open(&mut packet, Arrival::Ip);
        if sender == receiver {
            assert!(opened.is_ok());
            assert_eq!(packet.packet(), inner);
        } else {
            // Four bytes more or less are no whole block.
            assert_eq!(opened, Err(OpenError::Malformed));
        }
    }
}

/// Without `legacy` there is no such transform: no ICV of HMAC-SHA2-256 has 12 bytes.
#[cfg(not(feature = "legacy"))]
#[test]
fn i17_sha256_is_not_cut() {
    assert_eq!(Integrity::HmacSha256_128.icv_len(), 16);
    assert!(transforms().iter().all(|transform| {
        transform.icv_len() > 12
            || matches!(
                transform,
                Transform::CbcHmac(_, Integrity::HmacSha1_96)
                    | Transform::NullHmac(Integrity::HmacSha1_96)
            )
    }));
}

/// strongSwan: at a rekey the old outbound SA stayed, or the old inbound one went (I24), and packets left in clear between
/// (I25). A stream over many renewals, one packet always under way: each is sealed by the newest, each arrives.
#[test]
fn i24_i25_a_successor_takes_over_without_a_gap() {
    let mut tables = (Tables::new(), Tables::new());
    let (mut a, mut b) = pair(&mut tables, Settings::DEFAULT, AES_SHA1, V4, Encap::None);
    let inner = udp_v4(64, 0);
    let send = |a: &mut Processor<'_>, expected: u64| {
        let mut buffer = Buffer::new(&inner);
        let verdict = buffer.outbound(a);
        assert!(
            matches!(verdict, Outbound::Send { owner, .. } if owner == expected),
            "{verdict:?}"
        );
        assert!(!contains(buffer.bytes(), &inner[28..]));
        buffer
    };
    for generation in 0..100_u32 {
        let (old, new) = (u64::from(generation), u64::from(generation) + 1);
        let spi = 0x3000 + generation;
        let mut under_way = send(&mut a, A + old);
        // RFC 2409 §5.5 and make before break: first the receiver, then the sender.
        b.install_inbound(params(AES_SHA1, (V4.1, V4.0), Encap::None, B + new, spi)).expect("room");
        let mut between = send(&mut a, A + old);
        a.install_outbound(params(AES_SHA1, V4, Encap::None, A + new, spi), &mut rng())
            .expect("room");
        assert_eq!(a.outbound_sas().count(), 1, "the old one is gone");
        let mut fresh = send(&mut a, A + new);
        for (buffer, expected) in
            [(&mut fresh, B + new), (&mut under_way, B + old), (&mut between, B + old)]
        {
            let verdict = buffer.inbound(&mut b, Arrival::Ip);
            assert!(matches!(verdict, Inbound::Deliver { owner, .. } if owner == expected));
            assert_eq!(buffer.bytes(), inner);
        }
        assert!(b.remove_owner(B + old) >= 1);
    }
}
