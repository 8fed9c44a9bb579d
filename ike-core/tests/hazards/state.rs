//! Who may change what, and when: nothing moves for a message that proves nothing, and none is taken out of its turn.

use ike_core::config::{Config, PeerConfig, PskOracle, RemoteId, Secret};
use ike_core::error::{Discard, Error, Failure, PeerMisbehaved, Refusal};
use ike_core::event::{DownReason, Event};
use ike_core::wire::numbers::{ExchangeType, GroupDescription, HashAlgorithm, PayloadType};
use ike_core::wire::{Cookie, CookiePair, Flags, HEADER_LEN, Header};
use ike_core::{Context, Instant, Path};

use crate::puppet::{
    PHASE2, Parts, Puppet, SPI, attributes, body, clear, delete, header, id_address, id_subnet,
    notify, sa, sa_phase2,
};
use crate::stage::{
    CHILD, Host, Letter, Memory, PEER, Stage, aggressive, child, mirror, path_from, plain, stage,
};

const R_U_THERE: u16 = 36_136;
const INITIAL_CONTACT: u16 = 24_578;

/// A host, side 1 of the stage, and a puppet with an IKE SA of its own number.
pub(crate) fn with_puppet(
    change: impl Fn(&mut PeerConfig<'_>),
    test: impl for<'s> FnOnce(&mut Host<'s>, &Config<'_>, &mut Puppet),
) {
    stage(
        |_, peer, _| change(peer),
        |stage| {
            let mut puppet = Puppet::new(0);
            let config = stage.configs[1];
            test(&mut stage.hosts[1], &config, &mut puppet);
        },
    );
}

/// `message` is refused, and leaves everything as it was; at most something is said again.
fn unmoved(stage: &mut Stage<'_, '_>, side: usize, path: Path, message: &[u8]) {
    let before = stage.hosts[side].snapshot();
    let (events, sent) = (stage.hosts[side].events.len(), stage.hosts[side].sent.len());
    let letter = Letter { to: side, path, message: message.to_vec() };
    let result = stage.deliver(&letter);
    assert!(result.is_err(), "taken: {letter:?}");
    stage.turn(side);
    let host = &stage.hosts[side];
    assert_eq!(host.snapshot(), before, "{result:?}: {letter:?}");
    // A notify in the clear may be shown to the host, as what it is.
    let hint = |event: &Event| matches!(event, Event::Hint { authenticated: false, .. });
    assert!(host.events[events..].iter().all(hint), "{:?}: {letter:?}", host.events.last());
    let (old, new) = host.sent.split_at(sent);
    for datagram in new {
        assert!(old.contains(datagram), "{result:?}: {letter:?} answered {datagram:02x?}");
    }
}

/// From the same host, and from somewhere else.
fn paths(path: Path) -> [Path; 2] {
    let mut elsewhere = path;
    elsewhere.remote.set_ip([198, 51, 100, 66].into());
    [path, elsewhere]
}

/// Forged with the right cookies, in every kind of exchange.
fn forge(stage: &mut Stage<'_, '_>, side: usize, exchanges: impl Iterator<Item = u8> + Clone) {
    let host = &stage.hosts[side];
    let spis: Vec<[u8; 4]> = host
        .endpoint
        .child_sas()
        .flat_map(|child| [Some(child.inbound), child.outbound])
        .flatten()
        .map(|spi| spi.to_be_bytes())
        .collect();
    let ikes: Vec<_> = host.endpoint.ike_sas().collect();
    for ike in ikes {
        let cookies = ike.cookies;
        let both = [cookies.initiator.0, cookies.responder.0].concat();
        let mut bodies: Vec<Parts> = vec![
            vec![notify(1, &both, INITIAL_CONTACT, &[])],
            vec![notify(1, &both, R_U_THERE, &[0, 0, 0, 1])],
            vec![notify(1, &[], 14, &[])],
            vec![delete(1, &[&both])],
            vec![(PayloadType::HASH, vec![0; 32]), delete(1, &[&both])],
        ];
        bodies.extend(spis.iter().map(|spi| vec![delete(3, &[spi])]));
        for exchange in exchanges.clone() {
            for (flags, id) in
                [(Flags::NONE, 0), (Flags::NONE, 7), (Flags::ENCRYPTION, 0), (Flags::ENCRYPTION, 7)]
            {
                // Without our cookie it would be a first message: somebody else's beginning.
                if cookies.responder == Cookie::ZERO {
                    continue;
                }
                for body in &bodies {
                    let head = header(cookies, ExchangeType(exchange), id, flags);
                    let mut message = clear(&head, body);
                    let whole = (message.len() - HEADER_LEN).next_multiple_of(16) + HEADER_LEN;
                    message.resize(whole, 0xa5);
                    message[24..28].copy_from_slice(&(whole as u32).to_be_bytes());
                    for path in paths(ike.path) {
                        unmoved(stage, side, path, &message);
                    }
                }
            }
        }
    }
}

const KINDS: [u8; 7] = [0, 2, 4, 5, 6, 32, 33];

/// What was said before, to `side` and by it.
fn replay_and_reflect(stage: &mut Stage<'_, '_>, side: usize) {
    for letter in stage.delivered.clone() {
        // A first message is a beginning, again.
        if letter.message[8..16] == [0; 8] {
            continue;
        }
        for path in paths(mirror(path_from(side))) {
            unmoved(stage, side, path, &letter.message);
        }
    }
}

/// Every bit of an encrypted message, but for those of the header that nothing protects: the minor version and the
/// flags that are of no use. Nor does anything protect the padding (RFC 2409 Appendix B), which may be all of the last
/// block: that one is left as it is.
fn mutate(stage: &mut Stage<'_, '_>, letter: &Letter) {
    if letter.message[19] & 1 == 0 {
        return;
    }
    for bit in 0..(letter.message.len() - 16) * 8 {
        let (byte, mask) = (bit / 8, 1 << (bit % 8));
        if (byte == 17 && mask < 0x10) || (byte == 19 && mask != 1) {
            continue;
        }
        let mut message = letter.message.clone();
        message[byte] ^= mask;
        unmoved(stage, letter.to, letter.path, &message);
    }
    for cut in (32..letter.message.len() - HEADER_LEN).step_by(16) {
        let mut message = letter.message[..letter.message.len() - cut].to_vec();
        let len = message.len() as u32;
        message[24..28].copy_from_slice(&len.to_be_bytes());
        unmoved(stage, letter.to, letter.path, &message);
    }
}

fn attack(stage: &mut Stage<'_, '_>, letter: &Letter) {
    for side in 0..2 {
        forge(stage, side, KINDS.into_iter());
        replay_and_reflect(stage, side);
    }
    mutate(stage, letter);
}

/// CVE-2004-0164, and the rule behind many others: with an attacker who sees everything and puts in a word before each
/// datagram, in every state of both roles, nothing moves but by what the peer has said.
#[test]
fn cve_2004_0164_nothing_unauthenticated_changes_anything() {
    for pfs in [None, Some(GroupDescription::CURVE25519)] {
        let change =
            |_: usize, peer: &mut PeerConfig<'_>, child: &mut ike_core::config::ChildConfig<'_>| {
                // A notify behind HASH_I is not covered by it (RFC 2409 §5).
                peer.initial_contact = false;
                child.pfs = pfs;
            };
        stage(change, |stage| {
            stage.begin(0);
            stage.settle_with(attack);
            stage.assert_up();
            assert!(stage.delivered.len() == 9);
        });
    }
}

/// The same in aggressive mode, and while a child is renewed.
#[test]
fn cve_2004_0164_the_same_in_aggressive_mode_and_at_renewal() {
    stage(aggressive, |stage| {
        stage.begin(0);
        stage.settle_with(attack);
        stage.assert_up();
        let old = stage.hosts[1].endpoint.child_sas().next().unwrap().handle;
        stage.with(1, |endpoint, cx| endpoint.rekey_child(cx, old)).unwrap();
        stage.settle_with(attack);
        assert_eq!(stage.hosts.each_ref().map(|host| host.inbound.len()), [2, 2]);
    });
}

/// CVE-2019-10155: an informational message whose hash was computed and not compared.
#[test]
fn cve_2019_10155_every_bit_of_an_informational_message() {
    stage(plain, |stage| {
        stage.up();
        let ike = stage.hosts[0].endpoint.ike_sas().next().unwrap().handle;
        stage.with(0, |endpoint, cx| endpoint.delete_ike(cx, ike)).unwrap();
        // Deletes of the pair, twice, and of the IKE SA.
        let letters = stage.turn(0);
        assert_eq!(letters.len(), 3);
        for letter in &letters {
            assert_eq!(letter.message[18], ExchangeType::INFORMATIONAL.0);
            mutate(stage, letter);
        }
        for letter in &letters {
            stage.deliver(letter).unwrap();
        }
        stage.run_until(10_000);
        assert_eq!(stage.hosts[1].endpoint.ike_sas().count(), 0);
        assert_eq!(stage.hosts[1].endpoint.child_sas().count(), 0);
    });
}

/// CVE-2007-1841: a Delete, or a notify, with valid cookies and without a key.
#[test]
fn cve_2007_1841_forged_deletes_and_notifies() {
    stage(plain, |stage| {
        stage.up();
        for side in 0..2 {
            forge(stage, side, [ExchangeType::INFORMATIONAL.0].into_iter());
        }
        stage.assert_up();
        for host in &stage.hosts {
            assert!(host.endpoint.stats().hints > 0 && host.endpoint.stats().undecryptable > 0);
        }
    });
}

fn failures(host: &Host<'_>) -> usize {
    host.events.iter().filter(|event| matches!(event, Event::Failed { .. })).count()
}

/// The host begins a renewal of its only child, and waits for the answer.
fn ask_for_renewal(host: &mut Host<'_>, config: &Config<'_>, now: u64) {
    let child = host.endpoint.child_sas().find(|child| child.up).unwrap().handle;
    let mut cx = Context { now: Instant::from_millis(now), rng: &mut host.rng, config };
    host.endpoint.rekey_child(&mut cx, child).unwrap();
    assert_eq!(host.turn(now, config).len(), 1);
}

/// A puppet with an IKE SA and a child.
fn with_child(host: &mut Host<'_>, config: &Config<'_>, puppet: &mut Puppet) {
    puppet.establish(host, config, 0);
    child_under(host, config, puppet);
}

/// A child under the IKE SA of `puppet`.
fn child_under(host: &mut Host<'_>, config: &Config<'_>, puppet: &Puppet) {
    let message_1 = puppet.honest_quick_mode(7, SPI);
    let (_, answers) = Puppet::say(host, config, 0, &message_1);
    let message_3 = puppet.confirm(7, &message_1, &answers[0]);
    assert_eq!(Puppet::say(host, config, 0, &message_3).0, Ok(()));
    assert_eq!(host.endpoint.child_sas().filter(|child| child.up).count(), 1);
}

/// The same with a key, but of another peer: cookies and SPIs can be seen by anybody, and somebody who is one of our peers
/// has nothing to say of the SAs of the others.
#[test]
fn cve_2007_1841_a_peer_ends_nothing_of_another() {
    with_puppet(
        |peer| peer.remote_id = RemoteId::Anyone,
        |host, config, puppet| {
            with_child(host, config, puppet);
            let inbound = host.inbound[0].spi.to_be_bytes();
            let mut other = Puppet::new(1);
            other.begin(host, config, 0);
            let message_5 = other.message_5(&[1, 0, 0, 0, 192, 0, 2, 77], vec![]);
            let (result, answers) = Puppet::say(host, config, 0, &message_5);
            assert_eq!(result, Ok(()));
            let iv = other.iv.next(&message_5).unwrap();
            other.iv = other.open(iv, &answers[0]).1;
            ask_for_renewal(host, config, 0);
            let children: Vec<_> = host.endpoint.child_sas().collect();
            let parts = vec![
                notify(3, &[], 14, &[]),
                delete(3, &[&SPI, &inbound]),
                delete(1, &[&puppet.spi()]),
                notify(1, &other.spi(), INITIAL_CONTACT, &[]),
            ];
            let (result, answers) = Puppet::say(host, config, 0, &other.informational(9, parts));
            assert_eq!((result, answers.len(), failures(host)), (Ok(()), 0, 0));
            assert_eq!(host.endpoint.child_sas().collect::<Vec<_>>(), children);
            // Nor in a while: an IKE SA that is deleted stays a moment.
            Puppet::say(host, config, 3_000, &[]).0.unwrap_err();
            assert_eq!(host.endpoint.ike_sas().filter(|ike| ike.established).count(), 2);
            // Its own peer may.
            let parts = vec![notify(3, &[], 14, &[]), delete(1, &[&puppet.spi()])];
            Puppet::say(host, config, 3_000, &puppet.informational(10, parts)).0.unwrap();
            Puppet::say(host, config, 6_000, &[]).0.unwrap_err();
            assert_eq!((failures(host), host.endpoint.ike_sas().count()), (1, 1));
        },
    );
}

/// A notify ends the quick mode that waits for an answer only if it is an error, and one without an SPI only once: it may be
/// an old one that is sent again.
#[test]
fn cve_2007_1841_what_is_no_refusal_ends_nothing() {
    const INVALID_SPI: u16 = 11;
    for (kind, ends) in [(INVALID_SPI, false), (14, true), (16_383, true), (16_384, false)] {
        with_puppet(
            |_| (),
            |host, config, puppet| {
                with_child(host, config, puppet);
                ask_for_renewal(host, config, 0);
                let message = puppet.informational(9, vec![notify(3, &[], kind, &[])]);
                assert_eq!(Puppet::say(host, config, 0, &message).0, Ok(()));
                assert_eq!(failures(host), usize::from(ends), "{kind}");
                let hint = |event: &Event| matches!(event, Event::Hint { authenticated: true, .. });
                assert_eq!(host.events.iter().any(hint), kind == INVALID_SPI);
                if ends {
                    ask_for_renewal(host, config, 0);
                    assert_eq!(Puppet::say(host, config, 0, &message).0, Ok(()));
                    assert_eq!(failures(host), 1, "an old refusal");
                }
            },
        );
    }
}

/// Nor one under another IKE SA of the same peer: it is about the quick modes of its own.
#[test]
fn cve_2007_1841_a_refusal_is_about_its_own_ike_sa() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            with_child(host, config, puppet);
            ask_for_renewal(host, config, 0);
            let mut other = Puppet::new(1);
            other.establish(host, config, 0);
            for (teller, failed) in [(&other, 0), (&*puppet, 1)] {
                let message = teller.informational(9, vec![notify(3, &[], 14, &[])]);
                assert_eq!(Puppet::say(host, config, 0, &message).0, Ok(()));
                assert_eq!(failures(host), failed);
            }
        },
    );
}

/// INITIAL-CONTACT is about IKE SAs, and says so (RFC 2407 §4.6.3.3).
#[test]
fn cve_2007_1841_initial_contact_names_its_protocol() {
    for (protocol, kind, children) in
        [(1, INITIAL_CONTACT, 0), (3, INITIAL_CONTACT, 1), (1, INITIAL_CONTACT + 1, 1)]
    {
        for in_message_5 in [false, true] {
            with_puppet(
                |_| (),
                |host, config, puppet| {
                    with_child(host, config, puppet);
                    let mut again = Puppet::new(1);
                    let contact = |again: &Puppet| vec![notify(protocol, &again.spi(), kind, &[])];
                    let message = if in_message_5 {
                        again.begin(host, config, 0);
                        again.message_5(&id_address(0), contact(&again))
                    } else {
                        again.establish(host, config, 0);
                        again.informational(9, contact(&again))
                    };
                    assert_eq!(Puppet::say(host, config, 0, &message).0, Ok(()));
                    let up = host.endpoint.child_sas().filter(|child| child.up).count();
                    assert_eq!(up, children, "{protocol} {kind} {in_message_5}");
                },
            );
        }
    }
}

/// CVE-2009-0790: R-U-THERE where there is no state yet.
#[test]
fn cve_2009_0790_r_u_there_before_there_is_a_key() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            let probe = |cookies: CookiePair, flags| {
                let head = header(cookies, ExchangeType::INFORMATIONAL, 9, flags);
                let mut message = clear(&head, &[notify(1, &[7; 16], R_U_THERE, &[0, 0, 0, 1])]);
                message.resize(HEADER_LEN + 32, 0);
                message[24..28].copy_from_slice(&60_u32.to_be_bytes());
                message
            };
            for flags in [Flags::NONE, Flags::ENCRYPTION] {
                let (result, answers) = Puppet::say(host, config, 0, &probe(puppet.cookies, flags));
                assert_eq!((result, answers.len()), (Err(Discard::UnknownSa), 0));
            }
            let (_, answers) = Puppet::say(host, config, 0, &puppet.message_1());
            puppet.hear_2(&answers[0]);
            for flags in [Flags::NONE, Flags::ENCRYPTION] {
                let before = host.snapshot();
                let (result, answers) = Puppet::say(host, config, 0, &probe(puppet.cookies, flags));
                assert!(result.is_err() && answers.is_empty());
                assert_eq!(host.snapshot(), before);
            }
        },
    );
}

/// CVE-2023-30570: an error was answered with a responder cookie, and the next message with it met half a state.
#[test]
fn cve_2023_30570_error_replies_name_no_cookie() {
    for mode in [ExchangeType::IDENTITY_PROTECTION, ExchangeType::AGGRESSIVE] {
        with_puppet(
            |peer| peer.danger_answer_aggressive_psk = true,
            |host, config, puppet| {
                let offer = sa(1, &[], &[(1, attributes(&[(1, 5), (2, 1), (3, 1), (4, 1)]))]);
                let mut parts = vec![(PayloadType::SA, offer)];
                if mode == ExchangeType::AGGRESSIVE {
                    parts.push((PayloadType::KEY_EXCHANGE, puppet.public_i.clone()));
                    parts.push((PayloadType::NONCE, puppet.nonce_i.clone()));
                    parts.push((PayloadType::ID, id_address(0)));
                }
                let first = clear(&header(puppet.cookies, mode, 0, Flags::NONE), &parts);
                let (result, answers) = Puppet::say(host, config, 0, &first);
                assert!(
                    matches!(result, Err(Discard::Refused(Refusal::Proposal(_)))),
                    "{result:?}"
                );
                assert_eq!(answers.len(), 1);
                assert!(answers[0].len() <= first.len());
                let answer = Header::parse(&answers[0]).unwrap();
                assert_eq!(answer.cookies, puppet.cookies);
                assert_eq!(answer.cookies.responder, Cookie::ZERO);
                assert_eq!(host.endpoint.ike_sas().count(), 0);
                // Whatever responder cookie one makes up for it.
                for responder in [answer.cookies.initiator, Cookie([1; 8]), Cookie([0xff; 8])] {
                    puppet.cookies.responder = responder;
                    for exchange in [mode, ExchangeType::QUICK_MODE, ExchangeType::INFORMATIONAL] {
                        let head = header(puppet.cookies, exchange, 0, Flags::NONE);
                        let (result, answers) = Puppet::say(host, config, 0, &clear(&head, &parts));
                        assert!(result.is_err() && answers.is_empty());
                        assert_eq!(host.endpoint.ike_sas().count(), 0);
                    }
                }
            },
        );
    }
}

/// CVE-2023-38711: a name as client identity.
#[test]
fn cve_2023_38711_every_type_of_client_identity() {
    for id_type in 0..=u8::MAX {
        with_puppet(
            |_| (),
            |host, config, puppet| {
                puppet.establish(host, config, 0);
                let mut message_id = 1;
                for len in [0, 1, 4, 8, 16, 17, 32, 200] {
                    let hostile = [vec![id_type, 0, 0, 0], vec![10; len]].concat();
                    for ids in [
                        [hostile.clone(), id_subnet(1)],
                        [id_subnet(0), hostile.clone()],
                        [hostile.clone(), hostile.clone()],
                    ] {
                        let message = puppet.quick_mode(message_id, sa_phase2(SPI), ids);
                        let (result, _) = Puppet::say(host, config, 0, &message);
                        assert!(result.is_err(), "type {id_type}, {len} bytes");
                        assert_eq!(host.endpoint.child_sas().count(), 0);
                        message_id += 1;
                    }
                }
                // The IKE SA has not suffered.
                let (result, answers) =
                    Puppet::say(host, config, 0, &puppet.honest_quick_mode(500, SPI));
                assert_eq!((result, answers.len()), (Ok(()), 1));
            },
        );
    }
}

/// CVE-2023-38712: notifies behind the Delete that ended the state they are about.
#[test]
fn cve_2023_38712_nothing_acts_behind_a_delete() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            puppet.establish(host, config, 0);
            let (_, answers) = Puppet::say(host, config, 0, &puppet.honest_quick_mode(5, SPI));
            assert_eq!(answers.len(), 1);
            let spi = puppet.spi();
            let parts = vec![
                delete(1, &[&spi, &spi]),
                notify(1, &spi, R_U_THERE, &[0, 0, 0, 9]),
                delete(3, &[&SPI]),
                delete(1, &[&spi]),
                notify(1, &spi, 14, &[]),
            ];
            let (result, _) = Puppet::say(host, config, 0, &puppet.informational(6, parts));
            assert_eq!(result, Ok(()));
            // What was overtaken is still verified for a moment; nothing new begins.
            let (result, _) = Puppet::say(host, config, 0, &puppet.honest_quick_mode(7, [9; 4]));
            assert!(result.is_err(), "{result:?}");
            for now in [1_000, 2_000, 3_000] {
                let probe = notify(1, &spi, R_U_THERE, &(now as u32).to_be_bytes());
                let _ =
                    Puppet::say(host, config, now, &puppet.informational(now as u32, vec![probe]));
            }
            assert_eq!(host.endpoint.ike_sas().count(), 0);
            assert_eq!(host.endpoint.child_sas().count(), 0);
            let downs = host.events.iter().filter(|event| {
                matches!(event, Event::IkeSaDown { reason: DownReason::PeerDeleted, .. })
            });
            assert_eq!(downs.count(), 1);
            let again = puppet.informational(8, vec![notify(1, &spi, R_U_THERE, &[0, 0, 0, 10])]);
            let (result, answers) = Puppet::say(host, config, 3_000, &again);
            assert_eq!((result, answers.len()), (Err(Discard::UnknownSa), 0));
        },
    );
}

/// An IKE SA that the peer has deleted only verifies what is still under way: what there is to say of its children is said
/// under another.
#[test]
fn a_deleted_ike_sa_does_not_speak_for_its_children() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            puppet.establish(host, config, 0);
            let mut other = Puppet::new(1);
            other.establish(host, config, 0);
            // The newer one takes over what is there, and this child comes later.
            child_under(host, config, puppet);
            let message = puppet.informational(9, vec![delete(1, &[&puppet.spi()])]);
            assert_eq!(Puppet::say(host, config, 0, &message).0, Ok(()));
            let child = host.endpoint.child_sas().next().unwrap().handle;
            let mut cx = Context { now: Instant::ZERO, rng: &mut host.rng, config };
            host.endpoint.delete_child(&mut cx, child).unwrap();
            let sent = host.turn(0, config);
            assert_eq!(sent.len(), 1);
            assert_eq!(Header::parse(&sent[0].1).unwrap().cookies, other.cookies);
        },
    );
}

/// The peer learns of the end of each pair that it knows, and nothing of one that is not agreed yet.
#[test]
fn no_delete_names_a_pair_that_is_not_agreed() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            with_child(host, config, puppet);
            let known = host.inbound[0].spi.to_be_bytes();
            ask_for_renewal(host, config, 0);
            assert_eq!(host.endpoint.child_sas().count(), 2);
            let ike = host.endpoint.ike_sas().next().unwrap().handle;
            let mut cx = Context { now: Instant::ZERO, rng: &mut host.rng, config };
            host.endpoint.delete_ike(&mut cx, ike).unwrap();
            let deletes: Vec<_> = host
                .turn(0, config)
                .iter()
                .map(|(_, message)| body(&puppet.hear(message), PayloadType::DELETE))
                .collect();
            let of_children = delete(3, &[&known]).1;
            let all = [of_children.clone(), of_children, delete(1, &[&puppet.spi()]).1];
            assert_eq!(deletes, all);
        },
    );
}

/// The peer deletes its only IKE SA, and the children stay. To renew one the host begins a phase 1.
#[test]
fn a_child_without_an_ike_sa_is_renewed_by_a_new_one() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            with_child(host, config, puppet);
            let message = puppet.informational(9, vec![delete(1, &[&puppet.spi()])]);
            assert_eq!(Puppet::say(host, config, 0, &message).0, Ok(()));
            host.turn(6_000, config);
            assert_eq!(host.endpoint.ike_sas().count(), 0);
            let child = host.endpoint.child_sas().find(|child| child.up).unwrap().handle;
            let mut cx = Context { now: Instant::from_millis(6_000), rng: &mut host.rng, config };
            host.endpoint.rekey_child(&mut cx, child).unwrap();
            let sent = host.turn(6_000, config);
            assert_eq!(sent.len(), 1);
            let exchange = Header::parse(&sent[0].1).unwrap().exchange;
            assert_eq!(exchange, ExchangeType::IDENTITY_PROTECTION);
        },
    );
}

/// The peer is taken out of the configuration before message `at`, of the host that receives it.
fn unconfigured(at: usize) -> bool {
    let mut happened = false;
    stage(plain, |stage| {
        stage.begin(0);
        let none: &[PeerConfig<'_>; 0] = &[];
        let mut count = 0;
        let mut queue: Vec<_> = stage.turn(0);
        while let Some(letter) = queue.pop() {
            if count == at {
                happened = true;
                stage.configs[letter.to].peers = none;
            }
            count += 1;
            // Refused from here on, perhaps; never a panic.
            let _ = stage.deliver(&letter);
            queue.extend((0..2).flat_map(|side| stage.turn(side)));
            assert!(count < 100);
        }
        // With the time the other side gives up, too: its children expire at the latest.
        stage.configs[0].peers = none;
        stage.configs[1].peers = none;
        for _ in 0..1_000 {
            let next = stage.hosts.iter().filter_map(|host| host.endpoint.poll_timeout()).min();
            let Some(next) = next else { break };
            stage.now = stage.now.max(next.as_millis());
            for side in 0..2 {
                for letter in stage.turn(side) {
                    let _ = stage.deliver(&letter);
                }
            }
        }
        for host in &stage.hosts {
            let snapshot = host.snapshot();
            assert!(snapshot.ikes.is_empty() && snapshot.children.is_empty(), "{snapshot:#?}");
            assert_eq!(snapshot.timeout, None);
            let up = |event: &&Event| matches!(event, Event::IkeSaUp { .. });
            let down = |event: &&Event| matches!(event, Event::IkeSaDown { .. });
            let count = |which: fn(&&Event) -> bool| host.events.iter().filter(which).count();
            assert_eq!(count(up), count(down), "{:#?}", host.events);
        }
    });
    happened
}

/// CVE-2024-2357: the peer's configuration was gone when it was needed.
#[test]
fn cve_2024_2357_a_peer_vanishes_before_any_message() {
    let steps = (0..20).take_while(|at| unconfigured(*at)).count();
    assert_eq!(steps, 9);
}

struct Keyless;

impl PskOracle for Keyless {
    fn skeyid(
        &self,
        _: ike_core::config::PeerId,
        _: HashAlgorithm,
        _: &[&[u8]],
        _: &mut [u8],
    ) -> bool {
        false
    }
}

/// CVE-2024-2357, CVE-2026-14957: no key for this peer. The exchange ends, and says why.
#[test]
fn cve_2026_14957_missing_keys_end_the_exchange() {
    use ike_core::config::{Authentication, Phase1Mode};
    for mode in [Phase1Mode::Main, Phase1Mode::Aggressive] {
        for keyless in 0..2 {
            let change = |side: usize,
                          peer: &mut PeerConfig<'_>,
                          _: &mut ike_core::config::ChildConfig<'_>| {
                peer.exchange = mode;
                peer.danger_answer_aggressive_psk = true;
                if side == keyless {
                    peer.authentication = Authentication::PreSharedKey(Secret::Oracle(&Keyless));
                }
            };
            stage(change, |stage| {
                stage.begin(0);
                stage.settle();
                let host = &stage.hosts[keyless];
                assert_eq!(host.endpoint.ike_sas().count(), 0);
                let why = Failure::Error(Error::Refused(Refusal::NoCredentials));
                let told =
                    |event: &Event| matches!(event, Event::Failed { reason, .. } if *reason == why);
                assert!(host.events.iter().any(told), "{:#?}", host.events);
                stage.run_until(120_000);
                for host in &stage.hosts {
                    assert_eq!(host.endpoint.ike_sas().count(), 0);
                    assert_eq!(host.endpoint.child_sas().count(), 0);
                }
            });
        }
    }
}

/// CVE-2024-3652: a transform for which there was no length of key. All of them, with every authentication.
#[test]
fn cve_2024_3652_every_esp_transform() {
    for cipher in 0..=u8::MAX {
        with_puppet(
            |_| (),
            |host, config, puppet| {
                puppet.establish(host, config, 0);
                for (id, key) in [(1, None), (2, Some(0)), (3, Some(128)), (4, Some(65_535))] {
                    let transforms: Vec<_> = (0..16)
                        .filter(|auth| (cipher, *auth, key) != (12, 5, Some(128)))
                        .map(|auth| {
                            let mut all = vec![(1, 1), (2, 3_600), (4, 1), (5, auth)];
                            all.extend(key.map(|bits| (6, bits)));
                            (cipher, attributes(&all))
                        })
                        .collect();
                    let offer = sa(3, &SPI, &transforms);
                    let message = puppet.quick_mode(id, offer, [id_subnet(0), id_subnet(1)]);
                    let (result, _) = Puppet::say(host, config, 0, &message);
                    let refused = matches!(result, Err(Discard::Refused(Refusal::Proposal(_))));
                    assert!(refused, "cipher {cipher}: {result:?}");
                }
                assert_eq!((host.inbound.len(), host.endpoint.child_sas().count()), (0, 0));
            },
        );
    }
}

/// CVE-2022-23094, CVE-2020-1763: an error was to be logged before there was anything to log it with.
#[test]
fn cve_2022_23094_errors_need_no_state() {
    for session in crate::recorded::sessions() {
        let first = &session.messages[0].datagram;
        with_puppet(
            |_| (),
            |host, config, _| {
                for at in 0..first.len() {
                    for value in [0, 1, 0x7f, 0xff] {
                        let mut message = first.clone();
                        message[at] = value;
                        let (result, _) = Puppet::say(host, config, 0, &message);
                        if let Err(discard) = result {
                            assert!(!discard.to_string().is_empty());
                            assert!(!format!("{discard:?}").is_empty());
                        }
                    }
                }
                for event in &host.events {
                    if let Event::Failed { reason, .. } = event {
                        assert!(!reason.to_string().is_empty());
                    }
                }
            },
        );
    }
}

/// CVE-2014-2338 (an unestablished SA was renewed), CVE-2019-12312: every kind of exchange, in every state.
#[test]
fn cve_2014_2338_every_exchange_in_every_state() {
    stage(plain, |stage| {
        stage.begin(0);
        let mut states = 0;
        stage.settle_with(|stage, _| {
            states += 1;
            for side in 0..2 {
                forge(stage, side, 0..=u8::MAX);
            }
        });
        assert_eq!(states, 9);
        stage.assert_up();
    });
    // Before the other side is known our own requests are refused as well.
    stage(plain, |stage| {
        stage.begin(0);
        let mut asked = 0;
        stage.settle_with(|stage, _| {
            for side in 0..2 {
                for ike in stage.hosts[side].endpoint.ike_sas().collect::<Vec<_>>() {
                    if !ike.established {
                        let result =
                            stage.with(side, |endpoint, cx| endpoint.rekey_ike(cx, ike.handle));
                        assert!(result.is_err());
                        asked += 1;
                    }
                }
            }
        });
        assert!(asked > 4);
        stage.assert_up();
    });
}

/// Message id 0 is that of phase 1 (RFC 2408 §3.1): under it there is no exchange of phase 2, whoever asks.
#[test]
fn message_id_0_is_no_exchange_of_phase_2() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            puppet.establish(host, config, 0);
            let before = host.snapshot();
            let probe = notify(1, &puppet.spi(), R_U_THERE, &[0, 0, 0, 1]);
            for message in [puppet.honest_quick_mode(0, SPI), puppet.informational(0, vec![probe])]
            {
                let (result, answers) = Puppet::say(host, config, 0, &message);
                let refused = Err(Discard::PeerMisbehaved(PeerMisbehaved::MessageId(0)));
                assert_eq!((result, answers.len()), (refused, 0));
                assert_eq!(host.snapshot(), before);
            }
        },
    );
}

/// A public value comes with perfect forward secrecy and with nothing else: without one the keys would not be what was agreed,
/// and one that nobody asked for is not passed over.
#[test]
fn a_public_value_comes_exactly_with_pfs() {
    const KE: PayloadType = PayloadType::KEY_EXCHANGE;
    for (pfs, sent, refusal) in [
        (false, true, Some(PeerMisbehaved::UnexpectedPayload(KE))),
        (true, false, Some(PeerMisbehaved::MissingPayload(KE))),
        (true, true, None),
    ] {
        stage(
            |_, _, child| child.pfs = pfs.then_some(GroupDescription::CURVE25519),
            |stage| {
                let config = stage.configs[1];
                let host = &mut stage.hosts[1];
                let mut puppet = Puppet::new(0);
                puppet.establish(host, &config, 0);
                let mut offer = PHASE2.to_vec();
                offer.extend(pfs.then_some((3, 31)));
                let mut parts = vec![
                    (PayloadType::SA, sa(3, &SPI, &[(12, attributes(&offer))])),
                    (PayloadType::NONCE, vec![0x4e; 16]),
                ];
                parts.extend(sent.then(|| (KE, puppet.public_i.clone())));
                parts.extend([id_subnet(0), id_subnet(1)].map(|id| (PayloadType::ID, id)));
                let message = puppet.phase2(ExchangeType::QUICK_MODE, 7, parts);
                let (result, _) = Puppet::say(host, &config, 0, &message);
                assert_eq!(result, refusal.map_or(Ok(()), |it| Err(Discard::PeerMisbehaved(it))));
                assert_eq!(host.endpoint.child_sas().count(), usize::from(refusal.is_none()));
            },
        );
    }
}

/// CVE-2008-3652, CVE-2009-1632: what failed stayed in memory. A thousand failures, of every kind, leave nothing.
#[test]
fn cve_2008_3652_failures_leave_nothing_behind() {
    with_puppet(
        |_| (),
        |host, config, _| {
            let mut now = 0;
            for number in 0..=u8::MAX {
                let mut puppet = Puppet::new(number);
                if number % 4 == 0 {
                    puppet.psk = b"another key".to_vec();
                }
                now += 10_000;
                host.turn(now, config);
                if number % 4 == 1 {
                    Puppet::say(host, config, now, &puppet.message_1()).0.unwrap();
                    continue;
                }
                puppet.begin(host, config, now);
                let id = if number % 4 == 2 { vec![2, 0, 0, 0, b'x'] } else { id_address(0) };
                let message_5 = puppet.message_5(&id, vec![]);
                let (result, _) = Puppet::say(host, config, now, &message_5);
                if number % 4 == 3 {
                    assert_eq!(result, Ok(()));
                    puppet.iv = puppet.iv.next(&message_5).unwrap();
                    let ike = host.endpoint.ike_sas().find(|ike| ike.cookies == puppet.cookies);
                    let time = Instant::from_millis(now);
                    let mut cx = Context { now: time, rng: &mut host.rng, config };
                    host.endpoint.delete_ike(&mut cx, ike.unwrap().handle).unwrap();
                } else {
                    assert!(result.is_err());
                }
                host.turn(now, config);
            }
            for _ in 0..200 {
                let Some(next) = host.endpoint.poll_timeout() else { break };
                now = now.max(next.as_millis());
                host.turn(now, config);
            }
            let snapshot = host.snapshot();
            assert!(snapshot.ikes.is_empty() && snapshot.children.is_empty());
            assert_eq!(snapshot.timeout, None);
            // All slots can be had again: as many as there are, at once.
            for number in 0..4 {
                now += 10;
                Puppet::new(number).establish(host, config, now);
            }
            assert_eq!(host.endpoint.ike_sas().count(), 4);
        },
    );
}

/// CVE-2006-4436: as responder, an SA was installed without replay window.
#[test]
fn cve_2006_4436_both_roles_have_the_replay_window() {
    stage(plain, |stage| {
        stage.up();
        for host in &stage.hosts {
            assert_eq!(host.inbound[0].replay_window, child(0).replay_window);
        }
    });
}

/// CVE-2023-38710: an error about a protocol number, and our own writer could not write it.
#[test]
fn cve_2023_38710_every_protocol_number_is_answered() {
    for protocol in (0..=u8::MAX).filter(|protocol| *protocol != 3) {
        with_puppet(
            |_| (),
            |host, config, puppet| {
                puppet.establish(host, config, 0);
                for (id, spi) in [(1, &SPI[..]), (2, &[]), (3, &[9; 16]), (4, &[7; 255])] {
                    let offer = sa(protocol, spi, &[(12, attributes(PHASE2))]);
                    let message = puppet.quick_mode(id, offer, [id_subnet(0), id_subnet(1)]);
                    let (result, answers) = Puppet::say(host, config, 0, &message);
                    assert!(result.is_err());
                    for answer in answers {
                        let head = Header::parse(&answer).unwrap();
                        assert_eq!(head.exchange, ExchangeType::INFORMATIONAL);
                        let iv = puppet.iv.phase2(crate::puppet::prf(), head.message_id);
                        let (parts, _) = puppet.open(iv, &answer);
                        assert_eq!(parts[1].0, PayloadType::NOTIFICATION);
                    }
                }
            },
        );
    }
}

/// Quick mode again with a message id that was used: neither a second pair, nor another answer.
#[test]
fn a_quick_mode_is_taken_once() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            puppet.establish(host, config, 0);
            let first = puppet.honest_quick_mode(77, SPI);
            let (result, answers) = Puppet::say(host, config, 0, &first);
            assert_eq!(result, Ok(()));
            let (result, again) = Puppet::say(host, config, 0, &first);
            assert_eq!((result, &again), (Err(Discard::Duplicate), &answers));
            let third = puppet.confirm(77, &first, &answers[0]);
            assert_eq!(Puppet::say(host, config, 0, &third).0, Ok(()));
            // With the exchange done, and at any later time.
            for now in [1, 60_000, 600_000] {
                let (result, answers) = Puppet::say(host, config, now, &first);
                let reused = Discard::PeerMisbehaved(PeerMisbehaved::MessageIdReused(77));
                assert_eq!((result, answers.len()), (Err(reused), 0));
            }
            // And with other contents under the same number.
            let other = puppet.honest_quick_mode(77, [9; 4]);
            assert!(Puppet::say(host, config, 600_001, &other).0.is_err());
            assert_eq!(host.endpoint.child_sas().count(), 1);
        },
    );
}

/// No datagram reaches a host whose request is out of order.
#[test]
fn requests_of_the_host_are_refused_where_they_make_no_sense() {
    let mut memory = Memory::new();
    let mut host = Host::new(&mut memory, 3);
    let none: &[PeerConfig<'_>; 0] = &[];
    stage(plain, |stage| {
        stage.up();
        let ike = stage.hosts[0].endpoint.ike_sas().next().unwrap().handle;
        let child = stage.hosts[0].endpoint.child_sas().next().unwrap().handle;
        let config = Config { peers: none, ..stage.configs[0] };
        let mut cx = Context { now: Instant::ZERO, rng: &mut host.rng, config: &config };
        assert!(host.endpoint.rekey_ike(&mut cx, ike).is_err());
        assert!(host.endpoint.delete_ike(&mut cx, ike).is_err());
        assert!(host.endpoint.rekey_child(&mut cx, child).is_err());
        assert!(host.endpoint.delete_child(&mut cx, child).is_err());
        assert!(host.endpoint.take_inbound(child).is_none());
        assert!(host.endpoint.take_outbound(child).is_none());
        assert!(host.endpoint.create_child(&mut cx, PEER, CHILD, path_from(0)).is_err());
        assert_eq!(host.endpoint.poll_timeout(), None);
    });
}
