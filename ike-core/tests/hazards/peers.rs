//! How real peers behave: what they do differently is accepted where that is safe, and only there.

use core::time::Duration;

use ike_core::config::{
    ChildConfig, Config, Dpd, DpdAction, Lifetime, LifetimePolicy, Limits, NatTraversal,
    PeerConfig, Quirks, RemoteId, Timing,
};
use ike_core::error::{Discard, PeerMisbehaved, Refusal};
use ike_core::event::{Event, Traffic};
use ike_core::wire::numbers::{ExchangeType, PayloadType};
use ike_core::wire::{Flags, Header, VendorId};
use ike_core::{Context, Instant};

use crate::puppet::{
    PHASE1, PHASE2, Puppet, SPI, attributes, body, clear, header, id_address, id_subnet, notify,
    parts, prf, sa,
};
use crate::stage::{Host, Letter, Stage, child, mirror, path_from, plain, stage};
use crate::state::with_puppet;

const HOUR: Lifetime = Lifetime { seconds: 3_600, kilobytes: 0 };
const HALF: Lifetime = Lifetime { seconds: 1_800, kilobytes: 0 };

/// I1, I4: the responder wants another lifetime. Obeyed, claimed and told, or refused, as configured; what was told is
/// kept by the initiator.
#[test]
fn i1_i4_lifetimes_that_differ() {
    for (policy, longer, shorter) in [
        (LifetimePolicy::Obey, Some(3_600), Some(1_800)),
        (LifetimePolicy::Claim, Some(1_800), Some(1_800)),
        (LifetimePolicy::Strict, None, Some(1_800)),
        (LifetimePolicy::Exact, None, None),
    ] {
        for (ours, theirs, expected) in [(HALF, HOUR, longer), (HOUR, HALF, shorter)] {
            let change = |side: usize, peer: &mut PeerConfig<'_>, child: &mut ChildConfig<'_>| {
                peer.lifetime_policy = policy;
                child.lifetime = if side == 1 { ours } else { theirs };
            };
            stage(change, |stage| {
                stage.begin(0);
                stage.settle_tolerantly();
                for host in &stage.hosts {
                    let mut up = host.endpoint.child_sas().filter(|child| child.up);
                    let seconds = up.next().map(|child| child.lifetime.seconds);
                    assert_eq!(seconds, expected, "{policy:?} {ours:?} {theirs:?}");
                }
            });
        }
    }
}

/// I2: RESPONDER-LIFETIME for phase 1 with the attribute numbers of phase 2 (FortiGate). Shorter counts, longer does
/// not, nonsense does nothing.
#[test]
fn i2_responder_lifetime_in_either_numbering() {
    for (protocol, numbers, seconds, expected) in [
        (1, [11, 12], 7_200, 7_200),
        (1, [1, 2], 7_200, 7_200),
        (1, [11, 12], 86_400, 28_800),
        (1, [1, 2], 0, 28_800),
        (1, [77, 78], 60, 28_800),
        (1, [11, 78], 60, 28_800),
        // About a child, which it does not come for in this exchange.
        (3, [1, 2], 7_200, 28_800),
    ] {
        stage(plain, |stage| {
            stage.begin(0);
            let first = stage.turn(0).remove(0);
            let config = stage.configs[0];
            let host = &mut stage.hosts[0];
            let mut puppet = Puppet::new(0);
            puppet.respond(host, &config, 1_000, &first.message);
            let data = attributes(&[(numbers[0], 1), (numbers[1], seconds)]);
            let told = notify(protocol, &puppet.spi(), 24_576, &data);
            let message = puppet.informational(3, vec![told]);
            assert_eq!(host.receive(1_000, &config, path_from(0), &message), Ok(()));
            let ike = host.endpoint.ike_sas().next().unwrap();
            assert_eq!(ike.lifetime.seconds, expected);
        });
    }
    // The initiator proposed it, and is not told by the initiator.
    with_puppet(
        |_| (),
        |host, config, puppet| {
            puppet.establish(host, config, 0);
            let told = notify(1, &puppet.spi(), 24_576, &attributes(&[(11, 1), (12, 60)]));
            let message = puppet.informational(3, vec![told]);
            assert_eq!(Puppet::say(host, config, 0, &message).0, Ok(()));
            assert_eq!(host.endpoint.ike_sas().next().unwrap().lifetime.seconds, 28_800);
        },
    );
}

/// I2: RESPONDER-LIFETIME that was held back on its way shortens a life if it can, and prolongs none.
#[test]
fn i2_a_late_responder_lifetime_prolongs_nothing() {
    stage(plain, |stage| {
        stage.begin(0);
        let first = stage.turn(0).remove(0);
        let config = stage.configs[0];
        let host = &mut stage.hosts[0];
        let mut puppet = Puppet::new(0);
        puppet.respond(host, &config, 1_000, &first.message);
        // Without the quick mode nothing is due but what the lifetime wants.
        let child = host.endpoint.child_sas().next().unwrap().handle;
        let now = Instant::from_millis(1_000);
        let mut cx = Context { now, rng: &mut host.rng, config: &config };
        host.endpoint.delete_child(&mut cx, child).unwrap();
        let due = host.endpoint.poll_timeout();
        let data = attributes(&[(11, 1), (12, 14_400)]);
        let told = puppet.informational(3, vec![notify(1, &puppet.spi(), 24_576, &data)]);
        assert_eq!(host.receive(20_000_000, &config, path_from(0), &told), Ok(()));
        assert_eq!(host.endpoint.ike_sas().next().unwrap().lifetime.seconds, 14_400);
        assert!(due.is_some() && host.endpoint.poll_timeout() <= due);
    });
}

/// I3, I12: lifetimes are always proposed, and those that are taken everywhere.
#[test]
fn i3_i12_lifetimes_are_proposed() {
    assert_eq!((Lifetime::PHASE1.seconds, Lifetime::PHASE2.seconds), (28_800, 3_600));
    stage(plain, |stage| {
        stage.begin(0);
        let first = stage.turn(0).remove(0);
        let offer = body(&parts(&first.message), PayloadType::SA);
        let lifetime = attributes(&[(11, 1), (12, 28_800)]);
        assert!(offer.windows(lifetime.len()).any(|it| it == lifetime), "{offer:02x?}");
    });
}

/// Kilobytes renew an IKE SA with the very message that reaches the share of them, and once: while the renewal is under way
/// nothing else is due, and when it has failed the next message does not hasten it.
#[test]
fn kilobytes_renew_with_the_message_that_reaches_them_and_once() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            let timing = Timing { rekey_percent_responder: 50, ..config.timing };
            let shortest_lifetime = Lifetime { seconds: 10, kilobytes: 1 };
            let limits = Limits { shortest_lifetime, ..config.limits };
            let config = &Config { timing, limits, ..*config };
            let with_kilobyte = [PHASE1, &[(11, 2), (12, 1)]].concat();
            puppet.sa_i = sa(1, &[], &[(1, attributes(&with_kilobyte))]);
            puppet.establish(host, config, 0);
            let rekey_at = |host: &Host<'_>| {
                let ike = host.endpoint.ike_sas().find(|ike| ike.established).unwrap();
                (ike.bytes, ike.rekey_at.map(Instant::as_millis))
            };
            let regular = rekey_at(host).1.unwrap();
            assert_eq!((rekey_at(host).0, regular > 60_000), (0, true));
            // A hash of 36 bytes and a notify of 220.
            let quarter =
                |id| puppet.informational(id, vec![notify(1, &puppet.spi(), 16_384, &[0; 192])]);
            let path = mirror(path_from(0));
            for (id, after) in [(1, (256, Some(regular))), (2, (512, Some(1_000)))] {
                host.receive(1_000, config, path, &quarter(id)).unwrap();
                assert_eq!(rekey_at(host), after);
            }
            assert_eq!(host.turn(1_000, config).len(), 1);
            assert_eq!(rekey_at(host).1, None);
            let mut now = 1_000;
            let again = loop {
                if let (_, Some(again)) = rekey_at(host) {
                    break again;
                }
                now += 1_000;
                host.turn(now, config);
            };
            assert!(again > now);
            host.receive(now, config, path, &puppet.informational(3, vec![])).unwrap();
            assert_eq!(rekey_at(host).1, Some(again));
        },
    );
}

/// I5: the fifth message in the clear (SonicWall). Only with the quirk, and its hash counts all the same.
#[test]
fn i5_unencrypted_authentication_is_a_quirk() {
    for quirk in [false, true] {
        for wrong in [false, true] {
            with_puppet(
                |peer| peer.quirks.accept_unencrypted_auth = quirk,
                |host, config, puppet| {
                    puppet.begin(host, config, 0);
                    let id = id_address(0);
                    let mut hash =
                        puppet.transcript().hash_i(prf(), &puppet.skeyid, &id).as_slice().to_vec();
                    hash[7] ^= u8::from(wrong);
                    let head =
                        header(puppet.cookies, ExchangeType::IDENTITY_PROTECTION, 0, Flags::NONE);
                    let message = clear(&head, &[(PayloadType::ID, id), (PayloadType::HASH, hash)]);
                    let (result, _) = Puppet::say(host, config, 0, &message);
                    let expected = match (quirk, wrong) {
                        (false, _) => Err(Discard::PeerMisbehaved(PeerMisbehaved::NotEncrypted)),
                        (true, true) => Err(Discard::Unauthenticated),
                        (true, false) => Ok(()),
                    };
                    assert_eq!(result, expected);
                },
            );
        }
    }
    assert_eq!(
        PeerConfig::new(
            crate::stage::PEER,
            crate::stage::address(1),
            crate::stage::address(0),
            ike_core::config::Secret::Bytes(b"k"),
            &[],
            &[],
        )
        .quirks,
        Quirks::NONE
    );
}

/// I7: every exchange has an IV of its own; messages in between, and duplicates, do not move it.
#[test]
fn i7_exchanges_do_not_share_an_iv() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            puppet.establish(host, config, 0);
            let first = puppet.honest_quick_mode(7, SPI);
            let (_, answers) = Puppet::say(host, config, 0, &first);
            for id in 20..30 {
                let probe = notify(1, &puppet.spi(), 36_136, &id_bytes(id));
                let (result, answers) =
                    Puppet::say(host, config, 0, &puppet.informational(id, vec![probe]));
                assert_eq!((result, answers.len()), (Ok(()), 1));
                assert_eq!(Puppet::say(host, config, 0, &first).0, Err(Discard::Duplicate));
                let other = puppet.honest_quick_mode(id + 100, [id as u8; 4]);
                let _ = Puppet::say(host, config, 0, &other);
            }
            let third = puppet.confirm(7, &first, &answers[0]);
            assert_eq!(Puppet::say(host, config, 0, &third).0, Ok(()));
            assert_eq!(host.outbound.len(), 1);
        },
    );
}

fn id_bytes(number: u32) -> [u8; 4] {
    number.to_be_bytes()
}

/// I8: zeros behind the last payload, a block of them or more.
#[test]
fn i8_zeros_behind_the_last_payload() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            puppet.begin(host, config, 0);
            let id = id_address(0);
            let hash = puppet.transcript().hash_i(prf(), &puppet.skeyid, &id).as_slice().to_vec();
            let head =
                header(puppet.cookies, ExchangeType::IDENTITY_PROTECTION, 0, Flags::ENCRYPTION);
            let parts = [(PayloadType::ID, id), (PayloadType::HASH, hash)];
            let message = puppet.seal_padded(&head, puppet.iv, &parts, 40);
            assert_eq!(Puppet::say(host, config, 0, &message).0, Ok(()));
        },
    );
}

/// I8: racoon's padding is noise with its length in the last byte, or one less. The exchange goes on from its last block.
#[test]
fn i8_noise_that_tells_its_length() {
    for less in [0, 1] {
        with_puppet(
            |_| (),
            |host, config, puppet| {
                puppet.establish(host, config, 0);
                let message_1 = puppet.honest_quick_mode(7, SPI);
                let message_1 = puppet.padded_with_noise(7, &message_1, |len| len - less);
                let (result, answers) = Puppet::say(host, config, 0, &message_1);
                assert_eq!(result, Ok(()));
                let message_3 = puppet.confirm(7, &message_1, &answers[0]);
                assert_eq!(Puppet::say(host, config, 0, &message_3).0, Ok(()));
                assert_eq!(host.endpoint.child_sas().filter(|child| child.up).count(), 1);
            },
        );
    }
}

/// I10: several subnets, each with a quick mode of its own under one IKE SA.
#[test]
fn i10_a_quick_mode_for_each_pair_of_subnets() {
    use crate::stage::{Host, Memory, PEER, PSK, address, config};
    use esp_core::{Addresses, TrafficSelectors};
    use ike_core::config::{ChildId, Secret};
    let net =
        |second, third| Addresses::Subnet { network: [10, second, third, 0].into(), prefix: 24 };
    let children = [0, 1, 2].map(|third| ChildConfig {
        id: ChildId(u32::from(third)),
        selectors: TrafficSelectors::between(net(2, third), net(1, 0)),
        ..child(1)
    });
    let mut peer = PeerConfig::new(
        PEER,
        address(1),
        address(0),
        Secret::Bytes(PSK),
        crate::stage::PHASE1,
        &[],
    );
    peer.children = &children;
    let peers = [peer];
    let config = config(&peers);
    let mut memory = Memory::new();
    let mut host = Host::new(&mut memory, 5);
    let mut puppet = Puppet::new(0);
    puppet.establish(&mut host, &config, 0);
    for third in [0, 2, 1] {
        let local = vec![4, 0, 0, 0, 10, 2, third, 0, 255, 255, 255, 0];
        let spi = [9, 9, 9, third];
        let offer = sa(3, &spi, &[(12, attributes(PHASE2))]);
        let message = puppet.quick_mode(u32::from(third) + 1, offer, [id_subnet(0), local]);
        assert_eq!(Puppet::say(&mut host, &config, 0, &message).0, Ok(()));
    }
    let mut ids: Vec<_> = host.endpoint.child_sas().map(|child| child.config.0).collect();
    ids.sort_unstable();
    assert_eq!(ids, [0, 1, 2]);
    assert_eq!(host.endpoint.ike_sas().count(), 1);
}

/// I11: an answer with the identities that were asked for; with narrower ones only if the quirk says so; with others
/// never.
#[test]
fn i11_answers_with_narrower_selectors() {
    let host_of = |side: u8| vec![1, 0, 0, 0, 10, 1 + side, 0, 9];
    for quirk in [false, true] {
        for (ids, expected) in [
            ([id_subnet(0), id_subnet(1)], true),
            ([host_of(0), host_of(1)], quirk),
            ([id_subnet(0), host_of(1)], quirk),
            ([id_subnet(0), vec![4, 0, 0, 0, 10, 2, 0, 0, 255, 255, 0, 0]], false),
            ([id_subnet(1), id_subnet(0)], false),
            ([id_subnet(0), vec![2, 0, 0, 0, b'x']], false),
        ] {
            stage(
                |_, peer, _| peer.quirks.accept_narrowing = quirk,
                |stage| {
                    stage.begin(0);
                    let first = stage.turn(0).remove(0);
                    let config = stage.configs[0];
                    let host = &mut stage.hosts[0];
                    let mut puppet = Puppet::new(0);
                    let quick_1 = puppet.respond(host, &config, 1_000, &first.message);
                    let quick_2 = puppet.answer_quick_mode(&quick_1, ids);
                    let result = host.receive(1_000, &config, path_from(0), &quick_2);
                    host.turn(1_000, &config);
                    assert_eq!(result.is_ok(), expected, "{result:?}");
                    assert_eq!(host.inbound.len(), usize::from(expected));
                    assert_eq!(host.endpoint.child_sas().count(), usize::from(expected));
                },
            );
        }
    }
}

/// I14: from another port than before, until the peer is authenticated; from another address never.
#[test]
fn i14_ports_may_change_before_authentication() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            let mut path = mirror(path_from(0));
            let mut at = |host: &mut Host<'_>, port, message: &[u8]| {
                path.remote.set_port(port);
                let result = host.receive(0, config, path, message);
                (
                    result,
                    host.turn(0, config)
                        .pop()
                        .map(|(path, datagram)| (path.remote.port(), datagram)),
                )
            };
            let (_, answer) = at(host, 500, &puppet.message_1());
            puppet.hear_2(&answer.unwrap().1);
            let (result, answer) = at(host, 4500, &puppet.message_3());
            let (port, answer) = answer.unwrap();
            assert_eq!((result, port), (Ok(()), 4500));
            puppet.hear_4(&answer);
            let (result, answer) = at(host, 61_000, &puppet.message_5(&id_address(0), vec![]));
            assert_eq!((result, answer.unwrap().0), (Ok(()), 61_000));
        },
    );
}

/// I15: NAT traversal off: not announced, not used, whatever the peer announces.
#[test]
fn i15_nat_traversal_can_be_switched_off() {
    let change = |side: usize, peer: &mut PeerConfig<'_>, _: &mut ChildConfig<'_>| {
        peer.nat_traversal = if side == 0 { NatTraversal::Off } else { NatTraversal::Force };
    };
    for from in 0..2 {
        stage(change, |stage| {
            stage.begin(from);
            stage.settle_with(|_, letter| {
                if letter.message[19] & 1 == 0 {
                    let kinds = parts(&letter.message);
                    assert!(kinds.iter().all(|(kind, _)| *kind != PayloadType::NAT_D));
                }
                assert!(!letter.path.encap);
            });
            stage.assert_up();
            assert!(stage.hosts.iter().all(|host| host.inbound[0].encap == esp_core::Encap::None));
        });
    }
}

/// I16: attributes in any order; the same one twice, with two values, is no agreement.
#[test]
fn i16_attributes_in_any_order_but_once() {
    for turn in 0..PHASE1.len() {
        let mut all = PHASE1.to_vec();
        // Life type and duration are a pair; the others move around it.
        let pair = all.split_off(5);
        all.rotate_left(turn % 5);
        let all = [pair, all].concat();
        for repeated in [None, Some((14, 256)), Some((2, 2)), Some((1, 5))] {
            with_puppet(
                |_| (),
                |host, config, puppet| {
                    let all: Vec<_> = all.iter().copied().chain(repeated).collect();
                    puppet.sa_i = sa(1, &[], &[(1, attributes(&all))]);
                    let (result, _) = Puppet::say(host, config, 0, &puppet.message_1());
                    match repeated {
                        None => assert_eq!(result, Ok(())),
                        Some(_) => assert!(
                            matches!(result, Err(Discard::Refused(Refusal::Proposal(_)))),
                            "{repeated:?} {result:?}"
                        ),
                    }
                },
            );
        }
    }
}

/// I17: HMAC-SHA2-256 cut to 96 bits, for peers that cannot do better: only where the proposal names it.
#[cfg(feature = "legacy")]
#[test]
fn i17_sha256_96_is_asked_for_by_name() {
    use esp_core::{BlockCipher, Integrity, Transform};
    use ike_core::config::EspProposal;
    const CUT: &[EspProposal] = &[EspProposal {
        transform: Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha256_96),
        esn: false,
    }];
    for proposals in [crate::stage::PHASE2, CUT] {
        stage(
            |_, _, child| child.proposals = proposals,
            |stage| {
                stage.up();
                for host in &stage.hosts {
                    for sa in host.inbound.iter().chain(&host.outbound) {
                        assert_eq!(sa.transform, proposals[0].transform);
                    }
                }
            },
        );
    }
}

/// I22: DPD with numbers that are odd or missing: answered in kind; an answer nobody asked for does nothing.
#[test]
fn i22_dead_peer_detection_with_odd_numbers() {
    // Bytes are counted whatever they say.
    let state = |host: &Host<'_>| {
        let mut snapshot = host.snapshot();
        snapshot.ikes.iter_mut().for_each(|ike| ike.bytes = 0);
        snapshot
    };
    with_puppet(
        |_| (),
        |host, config, puppet| {
            puppet.establish(host, config, 0);
            let data: [&[u8]; 6] =
                [&[], &[1], &[0, 0, 0, 9], &[0, 0, 0, 9], &[0, 0, 0, 3], &[0; 8]];
            for (id, data) in (40..).zip(data) {
                let probe = notify(1, &puppet.spi(), 36_136, data);
                let (result, answers) =
                    Puppet::say(host, config, 0, &puppet.informational(id, vec![probe]));
                assert_eq!((result, answers.len()), (Ok(()), 1));
                let message_id = Header::parse(&answers[0]).unwrap().message_id;
                let (answer, _) = puppet.open(puppet.iv.phase2(prf(), message_id), &answers[0]);
                let expected = notify(1, &puppet.spi(), 36_137, data);
                assert_eq!(body(&answer, PayloadType::NOTIFICATION), expected.1);
                let ack = notify(1, &puppet.spi(), 36_137, data);
                let before = state(host);
                let (result, answers) =
                    Puppet::say(host, config, 0, &puppet.informational(id + 50, vec![ack]));
                assert_eq!((result, answers.len()), (Ok(()), 0));
                assert_eq!(state(host), before);
            }
        },
    );
}

/// I26: the commit bit is ignored, and nothing lets the peer send before the inbound SA has been taken.
#[test]
fn i26_the_commit_bit_is_ignored() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            puppet.establish(host, config, 0);
            let mut message = puppet.honest_quick_mode(9, SPI);
            message[19] |= 2;
            let path = mirror(path_from(0));
            assert_eq!(host.receive(0, config, path, &message), Ok(()));
            assert!(host.endpoint.poll_transmit().is_none(), "message 2 before the inbound SA");
            let ready =
                core::iter::from_fn(|| host.endpoint.poll_event()).find_map(|event| match event {
                    Event::ChildSaReady { child, .. } => Some(child),
                    _ => None,
                });
            assert!(host.endpoint.take_inbound(ready.unwrap()).is_some());
            assert!(host.endpoint.poll_transmit().is_some());
        },
    );
}

/// I30: certificate requests from a peer with a pre-shared key, empty ones among them.
#[test]
fn i30_certificate_requests_are_passed_over() {
    for request in [vec![], vec![4], vec![4, 0x30, 0x00], vec![0; 600]] {
        with_puppet(
            |_| (),
            |host, config, puppet| {
                let (_, answers) = Puppet::say(host, config, 0, &puppet.message_1());
                puppet.hear_2(&answers[0]);
                let mut all = parts(&puppet.message_3());
                all.push((PayloadType::CERTIFICATE_REQUEST, request.clone()));
                let head =
                    header(puppet.cookies, ExchangeType::IDENTITY_PROTECTION, 0, Flags::NONE);
                let (result, answers) = Puppet::say(host, config, 0, &clear(&head, &all));
                assert_eq!(result, Ok(()));
                puppet.hear_4(&answers[0]);
                let message_5 = puppet.message_5(&id_address(0), vec![]);
                assert_eq!(Puppet::say(host, config, 0, &message_5).0, Ok(()));
            },
        );
    }
}

const DPD: Dpd = Dpd {
    idle: Duration::from_secs(5),
    retry: Duration::from_secs(2),
    tries: 3,
    action: DpdAction::Clear,
};

/// Whether the peer is asked if it is alive, after something was sent to it.
fn asks(host: &mut Host<'_>, config: &Config<'_>) -> bool {
    let child = host.endpoint.child_sas().next().unwrap().handle;
    let mut cx = Context { now: Instant::from_millis(1_000), rng: &mut host.rng, config };
    host.endpoint.note_traffic(&mut cx, child, Traffic { sent: true, received: false });
    let sent = host.turn(7_000, config);
    sent.iter().any(|(_, datagram)| datagram[18] == ExchangeType::INFORMATIONAL.0)
}

/// A vendor ID may stand in any message (RFC 2408 §3.16). Cisco IOS announces dead peer detection in messages 3 and 4, ASA
/// in 5 and 6: they are asked like others.
#[test]
fn dead_peer_detection_announced_late() {
    let vendor = VendorId::DeadPeerDetection.body();
    for (side, late) in [(0, false), (0, true), (1, false), (1, true)] {
        stage(
            |_, peer, _| peer.dpd = Some(DPD),
            |stage: &mut Stage<'_, '_>| {
                stage.begin(0);
                for number in 1..=4 {
                    let mut letter = stage.turn(1 - number % 2).remove(0);
                    if letter.to == side {
                        let head = Header::parse(&letter.message).unwrap();
                        let mut all = parts(&letter.message);
                        all.retain(|(_, body)| body != vendor);
                        if late && number > 2 {
                            all.push((PayloadType::VENDOR_ID, vendor.to_vec()));
                        }
                        letter = Letter { message: clear(&head, &all), ..letter };
                    }
                    stage.deliver(&letter).unwrap();
                }
                stage.settle();
                stage.assert_up();
                let config = stage.configs[side];
                assert_eq!(asks(&mut stage.hosts[side], &config), late, "side {side}");
            },
        );
    }
    for late in [false, true] {
        with_puppet(
            |peer| peer.dpd = Some(DPD),
            |host, config, puppet| {
                puppet.begin(host, config, 0);
                let more = late.then(|| (PayloadType::VENDOR_ID, vendor.to_vec()));
                let message_5 = puppet.message_5(&id_address(0), more.into_iter().collect());
                let (result, answers) = Puppet::say(host, config, 0, &message_5);
                assert_eq!(result, Ok(()));
                let iv = puppet.iv.next(&message_5).unwrap();
                puppet.iv = puppet.open(iv, &answers[0]).1;
                let quick_mode = puppet.honest_quick_mode(7, SPI);
                assert_eq!(Puppet::say(host, config, 0, &quick_mode).0, Ok(()));
                assert_eq!(asks(host, config), late);
            },
        );
    }
}

/// NAT-D from a peer that has not announced NAT traversal, or to one that has it switched off, mean nothing.
#[test]
fn nat_d_that_was_not_agreed_means_nothing() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            let (result, answers) = Puppet::say(host, config, 0, &puppet.message_1());
            assert_eq!(result, Ok(()));
            puppet.hear_2(&answers[0]);
            let mut all = parts(&puppet.message_3());
            all.extend([1, 2].map(|value| (PayloadType::NAT_D, vec![value; 32])));
            let head = Header::parse(&puppet.message_3()).unwrap();
            let (result, _) = Puppet::say(host, config, 0, &clear(&head, &all));
            assert_eq!(result, Ok(()));
            let ike = host.endpoint.ike_sas().next().unwrap();
            assert!(!ike.local_nat && !ike.remote_nat);
        },
    );
}

/// Several peers behind one NAT, each somebody else. One that moves takes none of the others along.
#[test]
fn a_peer_that_moves_takes_no_other_along() {
    with_puppet(
        |peer| peer.remote_id = RemoteId::Anyone,
        |host, config, _| {
            let mut puppets: Vec<_> = (0..8).map(Puppet::new).collect();
            for (number, puppet) in puppets.iter_mut().enumerate() {
                let mut first = parts(&puppet.message_1());
                first.push((PayloadType::VENDOR_ID, VendorId::NatT.body().to_vec()));
                let head = Header::parse(&puppet.message_1()).unwrap();
                let (_, answers) = Puppet::say(host, config, 0, &clear(&head, &first));
                puppet.hear_2(&answers[0]);
                let mut third = parts(&puppet.message_3());
                third.extend([1, 2].map(|value| (PayloadType::NAT_D, vec![value; 32])));
                let head = Header::parse(&puppet.message_3()).unwrap();
                let (_, answers) = Puppet::say(host, config, 0, &clear(&head, &third));
                puppet.hear_4(&answers[0]);
                let message_5 =
                    puppet.message_5(&[1, 0, 0, 0, 192, 0, 2, 77 + number as u8], vec![]);
                let (result, answers) = Puppet::say(host, config, 0, &message_5);
                assert_eq!(result, Ok(()));
                puppet.iv = puppet.open(puppet.iv.next(&message_5).unwrap(), &answers[0]).1;
            }
            for (number, puppet) in puppets.iter().enumerate() {
                let mut path = mirror(path_from(0));
                path.remote.set_port(40_000 + number as u16);
                let message = puppet.honest_quick_mode(7, [1, 1, 1, number as u8]);
                // Without UDP encapsulation it is refused, but who sent it is proven.
                let result = host.receive(0, config, path, &message);
                assert!(matches!(result, Err(Discard::Refused(_))), "{result:?}");
                let moved = host.endpoint.ike_sas().filter(|ike| ike.path == path);
                assert_eq!(moved.count(), 1, "{number}");
            }
        },
    );
}
