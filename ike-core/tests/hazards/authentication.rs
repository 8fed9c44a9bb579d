//! Authentication and cryptography: who gets in, and with which numbers.

use hex_literal::hex;
use ike_core::config::{
    Authentication, ChildConfig, Config, Finding, FindingKind, Identity, PeerConfig, PeerId,
    Phase1Cipher, Phase1Proposal, RemoteId, Secret, Severity, Sizes,
};
use ike_core::crypto::{Crypto, PublicValueError, SOFTWARE};
use ike_core::error::{ApiError, Discard, Failure, PeerMisbehaved, Refusal};
use ike_core::event::Event;
use ike_core::wire::numbers::{ExchangeType, GroupDescription, NotifyType, PayloadType};
use ike_core::wire::{Cookie, Flags, HEADER_LEN};
use ike_core::{Context, Instant, Path};

use crate::puppet::{
    PHASE1, Puppet, SPI, attributes, clear, header, id_address, notify, parts, sa,
};
use crate::stage::{PEER, PHASE1 as PROPOSALS, PSK, mirror, path_from, plain, stage};
use crate::state::with_puppet;

/// CVE-2021-45079 and its kind: nobody is authenticated before the proof. Every bit of HASH_I, under the right keys.
#[test]
fn cve_2021_45079_every_bit_of_hash_i() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            puppet.begin(host, config, 0);
            let good =
                puppet.transcript().hash_i(crate::puppet::prf(), &puppet.skeyid, &id_address(0));
            let head =
                header(puppet.cookies, ExchangeType::IDENTITY_PROTECTION, 0, Flags::ENCRYPTION);
            let mut hashes: Vec<Vec<u8>> = (0..256)
                .map(|bit| {
                    let mut hash = good.as_slice().to_vec();
                    hash[bit / 8] ^= 1 << (bit % 8);
                    hash
                })
                .collect();
            // Too short, too long, empty.
            hashes.extend([0, 1, 12, 31].map(|len| good.as_slice()[..len].to_vec()));
            hashes.push([good.as_slice(), &[0]].concat());
            for hash in hashes {
                let parts = [(PayloadType::ID, id_address(0)), (PayloadType::HASH, hash)];
                let message = puppet.seal(&head, puppet.iv, &parts);
                let (result, answers) = Puppet::say(host, config, 0, &message);
                assert_eq!((result, answers.len()), (Err(Discard::Unauthenticated), 0));
                assert!(host.endpoint.ike_sas().all(|ike| !ike.established));
            }
            let message_5 = puppet.message_5(&id_address(0), vec![]);
            assert_eq!(Puppet::say(host, config, 0, &message_5).0, Ok(()));
            assert!(host.endpoint.ike_sas().all(|ike| ike.established));
        },
    );
}

/// CVE-2020-16088: the right key, and somebody else's name.
#[test]
fn cve_2020_16088_another_identity_under_the_same_key() {
    for id in
        [id_address(1), vec![2, 0, 0, 0, b'a'], vec![11, 0, 0, 0, 192, 0, 2, 1], vec![1, 0, 0, 0]]
    {
        with_puppet(
            |_| (),
            |host, config, puppet| {
                puppet.begin(host, config, 0);
                let (result, _) = Puppet::say(host, config, 0, &puppet.message_5(&id, vec![]));
                assert!(
                    matches!(result, Err(Discard::Refused(Refusal::Identity(_)))),
                    "{result:?}"
                );
                assert_eq!(host.endpoint.ike_sas().count(), 0);
            },
        );
    }
}

/// Several peers may come from the same address, and share a key: the identity tells which of them it is (RFC 2409 §5.4).
/// Not so where the key or the algorithms are others, for nothing is proved or agreed of those.
#[test]
fn peers_that_share_an_address_and_a_key_are_told_apart() {
    let aes_256 = [Phase1Proposal { cipher: Phase1Cipher::AesCbc(256), ..PROPOSALS[0] }];
    for (key, proposals, taken) in [
        (PSK, PROPOSALS, true),
        (&b"another key of twenty bytes"[..], PROPOSALS, false),
        (PSK, &aes_256[..], false),
    ] {
        with_puppet(
            |_| (),
            |host, config, puppet| {
                let mut named = config.peers.peer(PEER).unwrap();
                named.id = PeerId(7);
                named.authentication = Authentication::PreSharedKey(Secret::Bytes(key));
                named.proposals = proposals;
                named.remote_id = RemoteId::OneOf(&[Identity::Fqdn("seven.example")]);
                // The last of them is the one that is found by the address.
                let peers = [named, config.peers.peer(PEER).unwrap()];
                let config = &Config { peers: &peers, ..*config };
                puppet.begin(host, config, 0);
                let id = [&[2, 0, 0, 0], &b"seven.example"[..]].concat();
                let (result, answers) =
                    Puppet::say(host, config, 0, &puppet.message_5(&id, vec![]));
                let ike = host.endpoint.ike_sas().next();
                if taken {
                    let ike = ike.unwrap();
                    assert_eq!((result, answers.len(), ike.peer), (Ok(()), 1, PeerId(7)));
                    let identity = host.endpoint.peer_identity(ike.handle);
                    assert_eq!(identity, Some(Identity::Fqdn("seven.example")));
                } else {
                    assert!(matches!(result, Err(Discard::Refused(Refusal::Identity(_)))));
                    assert_eq!(ike, None);
                }
            },
        );
    }
}

/// Identities of up to 64 bytes are kept and told. A longer one proves as much, and is not kept.
#[test]
fn an_identity_of_64_bytes_is_kept() {
    for (len, kept) in [(64, true), (65, false)] {
        let name = "n".repeat(len);
        let identities = [Identity::Fqdn(&name)];
        with_puppet(
            |_| (),
            |host, config, puppet| {
                let mut named = config.peers.peer(PEER).unwrap();
                named.remote_id = RemoteId::OneOf(&identities);
                let peers = [named];
                let config = &Config { peers: &peers, ..*config };
                puppet.begin(host, config, 0);
                let id = [&[2, 0, 0, 0], name.as_bytes()].concat();
                let (result, _) = Puppet::say(host, config, 0, &puppet.message_5(&id, vec![]));
                assert_eq!(result, Ok(()));
                let ike = host.endpoint.ike_sas().next().unwrap();
                assert!(ike.established);
                let told = host.endpoint.peer_identity(ike.handle);
                assert_eq!(told, kept.then_some(Identity::Fqdn(&name)));
            },
        );
    }
}

/// The responder has the key and another name for us in its configuration. It says so, and the initiator believes it at once.
#[test]
fn an_identity_that_is_refused_ends_phase_1_at_both_ends() {
    let change = |side: usize, peer: &mut PeerConfig<'_>, _: &mut ChildConfig<'_>| {
        if side == 1 {
            peer.remote_id = RemoteId::OneOf(&[Identity::Fqdn("somebody.example")]);
        }
    };
    stage(change, |stage| {
        stage.begin(0);
        stage.settle_tolerantly();
        let refused = Failure::PeerRefused(NotifyType::INVALID_ID_INFORMATION);
        for (host, expected) in stage.hosts.iter().zip([true, false]) {
            assert_eq!(host.endpoint.ike_sas().count(), 0);
            let told = host
                .events
                .iter()
                .any(|event| matches!(event, Event::Failed { reason, .. } if *reason == refused));
            assert_eq!(told, expected, "{:?}", host.events);
        }
    });
}

/// What ends a main mode of ours before its last message is an error, under its keys, from where we sent ours to. Status
/// notifies and messages from elsewhere do not, and nobody ends one that we answer.
#[test]
fn only_an_authentic_refusal_ends_phase_1() {
    let error = |puppet: &Puppet, id, kind| {
        puppet.informational(id, vec![notify(1, &puppet.spi(), kind, b"")])
    };
    stage(plain, |stage| {
        stage.begin(0);
        let first = stage.turn(0).remove(0);
        let config = stage.configs[0];
        let host = &mut stage.hosts[0];
        let mut puppet = Puppet::new(0);
        puppet.hear_5(host, &config, 1_000, &first.message);
        let elsewhere = Path { remote: "203.0.113.9:500".parse().unwrap(), ..path_from(0) };
        let refused = error(&puppet, 9, 18);
        let mut garbled = refused.clone();
        *garbled.last_mut().unwrap() ^= 1;
        for (path, message) in [
            (path_from(0), error(&puppet, 7, 16_384)),
            (path_from(0), error(&puppet, 8, 24_578)),
            (elsewhere, refused.clone()),
            (path_from(0), garbled),
        ] {
            let _ = host.receive(1_000, &config, path, &message);
            host.turn(1_000, &config);
            assert_eq!(host.endpoint.ike_sas().count(), 1);
        }
        assert_eq!(host.receive(1_000, &config, path_from(0), &refused), Ok(()));
        host.turn(1_000, &config);
        assert_eq!(host.endpoint.ike_sas().count(), 0);
        let reason = Failure::PeerRefused(NotifyType::INVALID_ID_INFORMATION);
        assert!(
            host.events
                .iter()
                .any(|event| matches!(event, Event::Failed { reason: of, .. } if *of == reason))
        );
    });
    with_puppet(
        |_| (),
        |host, config, puppet| {
            puppet.begin(host, config, 0);
            let refused = error(puppet, 9, 18);
            assert!(Puppet::say(host, config, 0, &refused).0.is_err());
            assert_eq!(host.endpoint.ike_sas().count(), 1);
        },
    );
}

/// CVE-2011-4073: a computation came back to a state that was gone.
#[test]
fn cve_2011_4073_results_for_what_is_gone_are_refused() {
    stage(plain, |stage| {
        stage.begin(0);
        let first = stage.turn(0).remove(0);
        stage.deliver(&first).unwrap();
        let second = stage.turn(1).remove(0);
        stage.deliver(&second).unwrap();
        let ike = stage.hosts[0].endpoint.ike_sas().next().unwrap().handle;
        let job = stage.with(0, |endpoint, cx| endpoint.take_work(cx)).unwrap();
        stage.with(0, |endpoint, cx| endpoint.delete_ike(cx, ike)).unwrap();
        // The same slot, used again and waiting for just such a result, does not take it for its own.
        stage.begin(0);
        for side in 0..2 {
            let letter = stage.turn(side).remove(0);
            stage.deliver(&letter).unwrap();
        }
        let result = stage.with(0, |endpoint, cx| endpoint.complete_work(cx, job.run()));
        assert_eq!(result, Err(ApiError::Stale));
        stage.settle();
        stage.assert_up();
    });
}

/// CVE-2002-1623, CVE-2025-44647: aggressive mode with a pre-shared key is answered only where the configuration says
/// so, with a word of warning in its name, and `check` warns of it.
#[test]
fn cve_2025_44647_aggressive_mode_is_off_by_default() {
    stage(
        |side, peer, _| {
            if side == 0 {
                crate::stage::aggressive(side, peer, &mut crate::stage::child(0));
            }
        },
        |stage| {
            stage.begin(0);
            let first = stage.turn(0).remove(0);
            let refused = Err(Discard::Refused(Refusal::AggressiveMode));
            assert_eq!(stage.deliver(&first), refused);
            // No hash, no public value: an error of 40 bytes at most.
            for answer in stage.turn(1) {
                let kinds: Vec<_> = parts(&answer.message).iter().map(|(kind, _)| *kind).collect();
                assert_eq!(kinds, [PayloadType::NOTIFICATION]);
            }
            let sizes = Sizes { ike_sas: 8, exchanges: 12, child_sas: 12, message: 1536 };
            let mut found = vec![];
            stage.configs[0].check(sizes, &mut |finding: Finding| found.push(finding));
            let warned = |it: &Finding| it.kind == FindingKind::Aggressive;
            assert!(found.iter().any(warned), "{found:?}");
        },
    );
}

/// CVE-2001-0376: only the first 48 bytes of a key counted.
#[test]
fn cve_2001_0376_every_byte_of_the_key_counts() {
    for len in [1, 48, 49, 64, 65, 128, 256] {
        for wrong in [None, Some(0), Some(len - 1)] {
            let right: Vec<u8> = (0..len).map(|at| at as u8 ^ 0x55).collect();
            let mut other = right.clone();
            if let Some(at) = wrong {
                other[at] ^= 1;
            }
            let keys = [&right, &other];
            for (psk, up) in [(keys[0], true), (keys[1], wrong.is_none())] {
                // The host's key is `right`; the puppet's is `psk`.
                let secret: &[u8] = &right;
                stage_with_key(secret, psk, up);
            }
            // One byte less is another key.
            if len > 1 {
                stage_with_key(&right, &right[..len - 1], false);
            }
        }
    }
}

fn stage_with_key(hosts: &[u8], puppets: &[u8], up: bool) {
    use crate::stage::{Host, Memory, PEER, PHASE1, address, child, config};
    let children = [child(1)];
    let secret = Secret::Bytes(hosts);
    let mut peer = PeerConfig::new(PEER, address(1), address(0), secret, PHASE1, &[]);
    peer.children = &children;
    assert!(matches!(peer.authentication, Authentication::PreSharedKey(_)));
    let peers = [peer];
    let config = config(&peers);
    let mut memory = Memory::new();
    let mut host = Host::new(&mut memory, 4);
    let mut puppet = Puppet::new(0);
    puppet.psk = puppets.to_vec();
    puppet.begin(&mut host, &config, 0);
    let (result, _) = Puppet::say(&mut host, &config, 0, &puppet.message_5(&id_address(0), vec![]));
    assert_eq!(result.is_ok(), up, "{result:?}");
    assert_eq!(host.endpoint.ike_sas().any(|ike| ike.established), up);
}

/// CVE-2018-5389: a key that can be guessed. `check` tells of short ones.
#[test]
fn cve_2018_5389_short_keys_are_reported() {
    stage(
        |_, peer, _| peer.authentication = Authentication::PreSharedKey(Secret::Bytes(b"secret")),
        |stage| {
            let sizes = Sizes { ike_sas: 8, exchanges: 12, child_sas: 12, message: 1536 };
            let mut found = vec![];
            stage.configs[0].check(sizes, &mut |finding: Finding| found.push(finding.kind));
            assert!(found.contains(&FindingKind::KeyShort(6)), "{found:?}");
            assert!(FindingKind::KeyShort(6).severity() != Severity::Error);
        },
    );
}

/// CVE-2015-3240, CVE-2023-41913: public values that leave no secret, or of another length. Before any computation.
#[test]
fn cve_2015_3240_public_values_without_a_secret() {
    let group = SOFTWARE.group(GroupDescription::MODP_2048).unwrap();
    let len = group.public_len();
    let mut values = vec![vec![0; len], [vec![0; len - 1], vec![1]].concat(), vec![0xff; len]];
    // p, p-1 and p+1: its first and last 64 bits are ones (RFC 3526 §3), the rest is found by bisection.
    let p = modulus();
    for last in [0xfe, 0xff] {
        let mut value = p.clone();
        value[len - 1] = last;
        values.push(value);
    }
    values.extend([vec![], vec![2], vec![2; len - 1], vec![2; len + 1], vec![2; 2_000]]);
    with_puppet(
        |peer| peer.proposals = MODP,
        |host, config, puppet| {
            let offer = [(1, 7), (14, 128), (2, 4), (3, 1), (4, 14), (11, 1), (12, 28_800)];
            puppet.sa_i = sa(1, &[], &[(1, attributes(&offer))]);
            let (_, answers) = Puppet::say(host, config, 0, &puppet.message_1());
            puppet.hear_2(&answers[0]);
            let before = host.snapshot();
            for value in values {
                puppet.public_i = value;
                let (result, answers) = Puppet::say(host, config, 0, &puppet.message_3());
                let refused = matches!(
                    result,
                    Err(Discard::PeerMisbehaved(PeerMisbehaved::PublicValue(
                        PublicValueError::OutOfRange | PublicValueError::Length { .. }
                    )))
                );
                assert!(refused, "{result:?}");
                assert!(answers.is_empty());
                assert_eq!(host.snapshot(), before);
            }
            // An honest one is still welcome.
            puppet.public_i = [vec![0; len - 1], vec![4]].concat();
            let (result, answers) = Puppet::say(host, config, 0, &puppet.message_3());
            assert_eq!((result, answers.len()), (Ok(()), 1));
        },
    );
}

const MODP: &[Phase1Proposal] =
    &[Phase1Proposal { group: GroupDescription::MODP_2048, ..crate::stage::PHASE1[0] }];

/// The prime of group 14: the smallest number whose successor is refused, found from above, bit by bit.
fn modulus() -> Vec<u8> {
    let group = SOFTWARE.group(GroupDescription::MODP_2048).unwrap();
    let mut value = vec![0_u8; group.public_len()];
    for bit in 0..value.len() * 8 {
        value[bit / 8] |= 0x80 >> (bit % 8);
        if group.check_public(&value).is_err() && value.iter().any(|byte| *byte > 1) {
            value[bit / 8] ^= 0x80 >> (bit % 8);
        }
    }
    // The largest that is accepted is p-2, and p is odd.
    let last = value.len() - 1;
    value[last] += 2;
    value
}

/// Valenta et al. 2017: curve25519 with a point of small order gives no secret. All there are, in every form that 32 bytes have
/// for them.
#[test]
fn valenta_2017_points_of_small_order() {
    let order_8 = [
        hex!("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
        hex!("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
    ];
    // p-1, p and p+1 are -1, 0 and 1.
    let near_p = [0xec, 0xed, 0xee].map(|low| [&[low][..], &[0xff; 30], &[0x7f]].concat());
    let small = [vec![0; 32], [vec![1], vec![0; 31]].concat()];
    let all = small.into_iter().chain(near_p).chain(order_8.map(Vec::from));
    // The highest bit does not count (RFC 7748 §5).
    for (mut public, high) in all.flat_map(|public| [(public.clone(), 0), (public, 0x80)]) {
        public[31] |= high;
        with_puppet(
            |_| (),
            |host, config, puppet| {
                let (_, answers) = Puppet::say(host, config, 0, &puppet.message_1());
                puppet.hear_2(&answers[0]);
                puppet.public_i = public.clone();
                let (_, answers) = Puppet::say(host, config, 0, &puppet.message_3());
                assert!(answers.is_empty());
                assert!(host.endpoint.ike_sas().all(|ike| !ike.established));
            },
        );
    }
}

static LESS: Crypto = Crypto { hashes: SOFTWARE.hashes, ciphers: &[], groups: &[] };

/// CVE-2018-10811, CVE-2016-3071: an algorithm was agreed that the library did not have.
#[test]
fn cve_2018_10811_what_is_not_in_the_tables_is_not_agreed() {
    stage(plain, |stage| {
        stage.begin(0);
        let first = stage.turn(0).remove(0);
        stage.configs[1].crypto = &LESS;
        let result = stage.deliver(&first);
        assert!(matches!(result, Err(Discard::Refused(Refusal::Proposal(_)))), "{result:?}");
        assert_eq!(stage.hosts[1].endpoint.ike_sas().count(), 0);
    });
    // Gone between two messages: the exchange does not go on, and nothing breaks.
    for at in 0..9 {
        stage(plain, |stage| {
            stage.begin(0);
            let mut queue = stage.turn(0);
            for _ in 0..at {
                if let Some(letter) = queue.pop() {
                    let _ = stage.deliver(&letter);
                }
                queue.extend((0..2).flat_map(|side| stage.turn(side)));
            }
            stage.configs = stage.configs.map(|config| Config { crypto: &LESS, ..config });
            for letter in queue {
                let _ = stage.deliver(&letter);
            }
            stage.run_until(8 * 3_600_000);
            for host in &stage.hosts {
                assert_eq!(host.endpoint.child_sas().count(), 0);
            }
        });
    }
}

/// Cremers 2011: our own messages come back to us: cookie, public value, nonce.
#[test]
fn cremers_2011_reflections_are_refused() {
    stage(plain, |stage| {
        stage.begin(0);
        let first = stage.turn(0).remove(0);
        let back = mirror(path_from(1));
        // Message 1, as if the peer had begun with our cookie.
        let result = stage.hosts[0].receive(1_000, &stage.configs[0], back, &first.message);
        assert!(result.is_err(), "{result:?}");
        assert_eq!(stage.hosts[0].endpoint.ike_sas().count(), 1);
        // Our offer as the answer to it, with our own cookie as the responder's.
        let mut answer = first.message.clone();
        let cookie: [u8; 8] = answer[..8].try_into().unwrap();
        answer[8..16].copy_from_slice(&cookie);
        let result = stage.hosts[0].receive(1_000, &stage.configs[0], back, &answer);
        assert_eq!(result, Err(Discard::PeerMisbehaved(PeerMisbehaved::Reflected)));
        // Message 3 as message 4.
        stage.deliver(&first).unwrap();
        let second = stage.turn(1).remove(0);
        stage.deliver(&second).unwrap();
        let third = stage.turn(0).remove(0);
        let result = stage.hosts[0].receive(1_000, &stage.configs[0], back, &third.message);
        assert_eq!(result, Err(Discard::PeerMisbehaved(PeerMisbehaved::Reflected)));
        // Our public value with another nonce, and the other way round.
        let parts = parts(&third.message);
        for changed in [PayloadType::KEY_EXCHANGE, PayloadType::NONCE] {
            let mut parts = parts.clone();
            for (_, body) in parts.iter_mut().filter(|(kind, _)| *kind == changed) {
                body[0] ^= 1;
            }
            let mut head = header(
                ike_core::wire::Header::parse(&third.message).unwrap().cookies,
                ExchangeType::IDENTITY_PROTECTION,
                0,
                Flags::NONE,
            );
            head.length = 0;
            let message = clear(&head, &parts);
            let result = stage.hosts[0].receive(1_000, &stage.configs[0], back, &message);
            assert_eq!(result, Err(Discard::PeerMisbehaved(PeerMisbehaved::Reflected)));
        }
        // The honest one goes on.
        stage.deliver(&third).unwrap();
        stage.settle();
        stage.assert_up();
    });
}

/// The same in quick mode: an answer with our own SPI, or our own nonce.
#[test]
fn cremers_2011_reflections_in_quick_mode_are_refused() {
    for (own_spi, own_nonce) in [(false, false), (true, false), (false, true)] {
        stage(plain, |stage| {
            stage.begin(0);
            let first = stage.turn(0).remove(0);
            let config = stage.configs[0];
            let host = &mut stage.hosts[0];
            let mut puppet = Puppet::new(0);
            let quick_1 = puppet.respond(host, &config, 1_000, &first.message);
            puppet.reflects = (own_spi, own_nonce);
            let ids = [crate::puppet::id_subnet(0), crate::puppet::id_subnet(1)];
            let quick_2 = puppet.answer_quick_mode(&quick_1, ids);
            let result = host.receive(1_000, &config, path_from(0), &quick_2);
            host.turn(1_000, &config);
            let reflected = Err(Discard::PeerMisbehaved(PeerMisbehaved::Reflected));
            let honest = !own_spi && !own_nonce;
            assert_eq!(result, if honest { Ok(()) } else { reflected });
            assert_eq!(host.endpoint.child_sas().count(), usize::from(honest));
        });
    }
}

/// What the hash covers are the bytes of the SA as they came: attributes in odd forms and orders, and transforms that
/// nobody knows, would not survive being written again.
#[test]
fn the_sa_is_hashed_as_received() {
    let mut reversed = PHASE1.to_vec();
    reversed.reverse();
    let mut long = vec![];
    for (kind, value) in PHASE1 {
        long.extend([kind.to_be_bytes(), [0, 4]].concat());
        long.extend(value.to_be_bytes());
    }
    let unknown =
        [attributes(&[(1, 7), (14, 128), (999, 1)]), vec![0x12, 0x34, 0, 3, 1, 2, 3]].concat();
    let offers = [
        vec![(1, attributes(&reversed))],
        vec![(1, long)],
        vec![(77, vec![]), (1, unknown), (1, attributes(PHASE1))],
    ];
    for transforms in offers {
        with_puppet(
            |_| (),
            |host, config, puppet| {
                puppet.sa_i = sa(1, &[], &transforms);
                puppet.establish(host, config, 0);
                assert_eq!(host.endpoint.ike_sas().filter(|ike| ike.established).count(), 1);
            },
        );
    }
}

/// Message ids are remembered as long as the IKE SA lives; when the memory is full nothing more is taken under it.
#[test]
fn message_ids_are_remembered_to_the_end() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            puppet.establish(host, config, 0);
            let mut taken = vec![];
            for id in 1..10_000 {
                // Refused for its contents, but authentic: the id is used.
                let offer = sa(3, &SPI, &[(1, vec![])]);
                let ids = [crate::puppet::id_subnet(0), crate::puppet::id_subnet(1)];
                let message = puppet.quick_mode(id, offer, ids);
                match Puppet::say(host, config, 0, &message).0 {
                    Err(Discard::Capacity(_)) => break,
                    Err(_) => taken.push(message),
                    Ok(()) => panic!("taken"),
                }
            }
            assert!((32..9_000).contains(&taken.len()), "{}", taken.len());
            for message in taken {
                let (result, answers) = Puppet::say(host, config, 0, &message);
                let reused = matches!(
                    result,
                    Err(Discard::PeerMisbehaved(PeerMisbehaved::MessageIdReused(_)))
                );
                assert!(reused && answers.is_empty(), "{result:?}");
            }
            let time = Instant::from_millis(0);
            let mut cx = Context { now: time, rng: &mut host.rng, config };
            host.endpoint.handle_timeout(&mut cx);
        },
    );
    assert_ne!(Cookie::ZERO, Cookie([1; 8]));
    assert_eq!(HEADER_LEN, 28);
}
