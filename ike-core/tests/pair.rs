//! Two hosts, main mode and quick mode: over both families, with and without PFS and NAT, begun from either side; what
//! happens where they do not agree; and the end of it all.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

use core::time::Duration;

use esp_core::{Addresses, BlockCipher, Integrity, Transform};
use examples::sim::scenario::{CHILD, ESP, PEER, PHASE1};
use examples::sim::{Family, Fate, HostId, Kind, LEFT, RIGHT, Scenario, What, World};
use ike_core::config::{EspProposal, Phase1Cipher, Phase1Proposal};
use ike_core::error::{Discard, Error, Failure, MismatchedAttribute, Refusal};
use ike_core::event::{DownReason, Event, Role};
use ike_core::wire::numbers::{
    ExchangeType, GroupDescription, HashAlgorithm, NotifyType, Phase1Attribute,
};

const SECOND: Duration = Duration::from_secs(1);

/// A ping from `from` brings the tunnel up, and the answer comes back.
fn comes_up(world: &mut World<'_>, from: HostId) {
    let to = if from == LEFT { RIGHT } else { LEFT };
    let request = world.ping(from, to);
    world.run_for(2 * SECOND);
    assert_eq!(world.fate(request), Fate::Delivered);
    let figures = world.recorder.figures();
    assert_eq!((figures.sent, figures.delivered, figures.clear), (2, 2, 0), "{figures:?}");
    for host in [LEFT, RIGHT] {
        let endpoint = &world.host(host).node.endpoint;
        assert_eq!(endpoint.ike_sas().filter(|ike| ike.established).count(), 1);
        assert_eq!(endpoint.child_sas().filter(|child| child.up).count(), 1);
        let role = if host == from { Role::Initiator } else { Role::Responder };
        assert!(endpoint.ike_sas().all(|ike| ike.role == role));
    }
}

fn events(world: &World<'_>, host: HostId) -> Vec<Event> {
    let of_host = world.transcript.since(0).filter_map(|entry| match &entry.what {
        What::Event { host: of, event } if *of == host => Some(*event),
        _ => None,
    });
    of_host.collect()
}

fn failures(world: &World<'_>, host: HostId) -> Vec<Failure> {
    let reasons = events(world, host).into_iter().filter_map(|event| match event {
        Event::Failed { reason, .. } => Some(reason),
        _ => None,
    });
    reasons.collect()
}

/// Nothing is left of a negotiation.
fn is_empty(world: &World<'_>, host: HostId) -> bool {
    let endpoint = &world.host(host).node.endpoint;
    endpoint.ike_sas().count() == 0 && endpoint.child_sas().count() == 0
}

#[test]
fn either_side_begins_over_either_family_with_and_without_pfs() {
    for family in [Family::V4, Family::V6] {
        for from in [LEFT, RIGHT] {
            Scenario::site_to_site_over(family).run(|world| comes_up(world, from));
            Scenario::site_to_site_over(family)
                .pfs(GroupDescription::MODP_2048)
                .run(|world| comes_up(world, from));
        }
    }
}

#[test]
fn a_loss_free_run_takes_nine_datagrams() {
    Scenario::site_to_site().run(|world| {
        comes_up(world, LEFT);
        let ike = world.transcript.since(0).filter(|entry| match &entry.what {
            What::OnLink { packet, .. } => Kind::Ike.includes(packet),
            _ => false,
        });
        assert_eq!(ike.count(), 9);
    });
}

#[test]
fn behind_a_nat_everything_moves_to_port_4500() {
    for family in [Family::V4, Family::V6] {
        Scenario::site_to_site_over(family).behind_nat().run(|world| {
            comes_up(world, LEFT);
            let host = world.host(RIGHT);
            let ike = host.node.endpoint.ike_sas().next().unwrap();
            assert!(ike.path.encap && ike.remote_nat && !ike.local_nat);
            assert_eq!(ike.path.local.port(), 4500);
            assert_eq!(ike.path.remote.ip(), world.nats[0].public());
            assert_ne!(ike.path.remote.port(), 4500);
            let ike = world.host(LEFT).node.endpoint.ike_sas().next().unwrap();
            assert!(ike.path.encap && ike.local_nat && !ike.remote_nat);
            // The right side can use the mapping too.
            let ping = world.ping(RIGHT, LEFT);
            world.run_for(SECOND);
            assert_eq!(world.fate(ping), Fate::Delivered);
        });
    }
}

#[test]
fn algorithms_are_agreed() {
    let ciphers = [128, 192, 256].map(Phase1Cipher::AesCbc);
    let hashes = [
        HashAlgorithm::SHA1,
        HashAlgorithm::SHA2_256,
        HashAlgorithm::SHA2_384,
        HashAlgorithm::SHA2_512,
    ];
    for cipher in ciphers {
        for hash in hashes {
            Scenario::site_to_site()
                .each(|host| {
                    host.peers[0].proposals = vec![Phase1Proposal { cipher, hash, ..PHASE1 }]
                })
                .run(|world| {
                    comes_up(world, LEFT);
                    let ike = world.host(RIGHT).node.endpoint.ike_sas().next().unwrap();
                    assert_eq!(ike.hash, hash);
                    assert_eq!(Phase1Cipher::AesCbc(ike.key_bits), cipher);
                });
        }
    }
    let blocks = [BlockCipher::Aes128, BlockCipher::Aes192, BlockCipher::Aes256];
    let integrities = [
        Integrity::HmacSha1_96,
        Integrity::HmacSha256_128,
        Integrity::HmacSha384_192,
        Integrity::HmacSha512_256,
    ];
    for block in blocks {
        for integrity in integrities {
            for esn in [false, true] {
                let transform = Transform::CbcHmac(block, integrity);
                Scenario::site_to_site()
                    .children(|child| child.proposals = vec![EspProposal { transform, esn }])
                    .run(|world| {
                        comes_up(world, RIGHT);
                        let child = world.host(LEFT).node.endpoint.child_sas().next().unwrap();
                        assert_eq!((child.transform, child.esn), (Some(transform), esn));
                    });
            }
        }
    }
}

/// The responder takes the first proposal of the initiator that it knows too.
#[test]
fn the_initiators_order_of_proposals_counts() {
    let strong = Phase1Proposal { cipher: Phase1Cipher::AesCbc(256), ..PHASE1 };
    let sha1 = EspProposal {
        transform: Transform::CbcHmac(BlockCipher::Aes256, Integrity::HmacSha1_96),
        esn: false,
    };
    Scenario::site_to_site()
        .host(LEFT, |host| {
            host.peers[0].proposals = vec![strong, PHASE1];
            host.peers[0].children[0].proposals = vec![sha1, ESP];
        })
        .host(RIGHT, |host| {
            host.peers[0].proposals = vec![PHASE1, strong];
            host.peers[0].children[0].proposals = vec![ESP, sha1];
        })
        .run(|world| {
            comes_up(world, LEFT);
            let endpoint = &world.host(RIGHT).node.endpoint;
            assert_eq!(endpoint.ike_sas().next().unwrap().key_bits, 256);
            assert_eq!(endpoint.child_sas().next().unwrap().transform, Some(sha1.transform));
        });
}

#[test]
fn a_wrong_psk_is_met_with_silence_and_leaves_nothing_behind() {
    let scenario =
        Scenario::site_to_site().host(RIGHT, |host| host.peers[0].psk = b"wrong".to_vec());
    scenario.run(|world| {
        let ping = world.ping(LEFT, RIGHT);
        world.run_for(90 * SECOND);
        assert!(matches!(world.fate(ping), Fate::Dropped(_)), "{:?}", world.fate(ping));
        assert!(is_empty(world, LEFT) && is_empty(world, RIGHT));
        // The first encrypted message is the one that is never answered (RFC 2409 §5.4: both keys differ).
        assert!(
            failures(world, LEFT).iter().any(|failure| matches!(
                failure,
                Failure::NoAnswer { exchange: ExchangeType::IDENTITY_PROTECTION, message: 5, .. }
            )),
            "{:?}",
            failures(world, LEFT)
        );
        let undecryptable = world.transcript.since(0).any(|entry| {
            matches!(entry.what, What::Ignored { host: RIGHT, why: Discard::Undecryptable })
        });
        assert!(undecryptable);
        assert!(!events(world, RIGHT).iter().any(|event| matches!(event, Event::IkeSaUp { .. })));
    });
}

#[test]
fn without_a_common_phase_1_proposal_the_attribute_is_named() {
    let other = Phase1Proposal { hash: HashAlgorithm::SHA2_512, ..PHASE1 };
    Scenario::site_to_site().host(RIGHT, |host| host.peers[0].proposals = vec![other]).run(
        |world| {
            world.ping(LEFT, RIGHT);
            world.run_for(90 * SECOND);
            assert!(is_empty(world, LEFT) && is_empty(world, RIGHT));
            let refusals = failures(world, RIGHT);
            let named = refusals.iter().any(|failure| match failure {
                Failure::Error(Error::Refused(Refusal::Proposal(mismatch))) => {
                    mismatch.attribute
                        == MismatchedAttribute::Phase1(Phase1Attribute::HASH_ALGORITHM)
                }
                _ => false,
            });
            let ignored = world.transcript.since(0).any(|entry| match &entry.what {
                What::Ignored {
                    host: RIGHT,
                    why: Discard::Refused(Refusal::Proposal(mismatch)),
                } => {
                    mismatch.attribute
                        == MismatchedAttribute::Phase1(Phase1Attribute::HASH_ALGORITHM)
                }
                _ => false,
            });
            assert!(named || ignored, "{refusals:?}");
        },
    );
}

#[test]
fn without_a_common_esp_proposal_the_initiator_hears_it() {
    let other =
        EspProposal { transform: Transform::NullHmac(Integrity::HmacSha512_256), esn: false };
    Scenario::site_to_site()
        .host(RIGHT, |host| host.peers[0].children[0].proposals = vec![other])
        .run(|world| {
            world.ping(LEFT, RIGHT);
            world.run_for(60 * SECOND);
            let refused = Failure::PeerRefused(NotifyType::NO_PROPOSAL_CHOSEN);
            assert!(failures(world, LEFT).contains(&refused), "{:?}", failures(world, LEFT));
            for host in [LEFT, RIGHT] {
                assert_eq!(world.host(host).node.endpoint.child_sas().count(), 0);
                assert_eq!(world.recorder.figures().clear, 0);
            }
        });
}

#[test]
fn other_selectors_are_refused_and_named() {
    let elsewhere = Addresses::Subnet { network: [10, 99, 0, 0].into(), prefix: 16 };
    Scenario::site_to_site()
        .host(RIGHT, |host| host.peers[0].children[0].selectors.remote.addresses = elsewhere)
        .run(|world| {
            world.ping(LEFT, RIGHT);
            world.run_for(60 * SECOND);
            let refused = Failure::PeerRefused(NotifyType::INVALID_ID_INFORMATION);
            assert!(failures(world, LEFT).contains(&refused), "{:?}", failures(world, LEFT));
            let named = failures(world, RIGHT).iter().any(|failure| match failure {
                Failure::Error(Error::Refused(Refusal::Selectors(mismatch))) => {
                    mismatch.local_known && !mismatch.remote_known
                }
                _ => false,
            });
            assert!(named, "{:?}", failures(world, RIGHT));
            for host in [LEFT, RIGHT] {
                assert_eq!(world.host(host).node.endpoint.child_sas().count(), 0);
            }
        });
}

#[test]
fn pfs_on_one_side_only_is_refused() {
    Scenario::site_to_site()
        .host(RIGHT, |host| host.peers[0].children[0].pfs = Some(GroupDescription::MODP_2048))
        .run(|world| {
            world.ping(LEFT, RIGHT);
            world.run_for(60 * SECOND);
            let refused = Failure::PeerRefused(NotifyType::NO_PROPOSAL_CHOSEN);
            assert!(failures(world, LEFT).contains(&refused), "{:?}", failures(world, LEFT));
            assert_eq!(world.host(RIGHT).node.endpoint.child_sas().count(), 0);
        });
}

#[test]
fn either_side_deletes_the_ike_sa_and_all_is_gone() {
    for deleter in [LEFT, RIGHT] {
        let other = if deleter == LEFT { RIGHT } else { LEFT };
        Scenario::site_to_site().run(|world| {
            comes_up(world, LEFT);
            let ike = world.host(deleter).node.endpoint.ike_sas().next().unwrap().handle;
            world.request(deleter, |endpoint, cx| endpoint.delete_ike(cx, ike)).unwrap();
            // What is under way may still arrive for a little while.
            world.run_for(3 * SECOND);
            assert!(is_empty(world, LEFT) && is_empty(world, RIGHT));
            let down = |host, wanted| {
                events(world, host).iter().any(
                    |event| matches!(event, Event::ChildSaDown { reason, .. } if *reason == wanted),
                )
            };
            assert!(down(deleter, DownReason::Requested));
            assert!(down(other, DownReason::PeerDeleted));
            // What comes next starts anew, and nothing of it leaves in the clear.
            let ping = world.ping(LEFT, RIGHT);
            world.run_for(SECOND);
            assert_eq!(world.fate(ping), Fate::Delivered);
            assert_eq!(world.recorder.figures().clear, 0);
        });
    }
}

#[test]
fn either_side_deletes_a_child_and_the_ike_sa_stays() {
    for deleter in [LEFT, RIGHT] {
        Scenario::site_to_site().run(|world| {
            comes_up(world, LEFT);
            let child = world.host(deleter).node.endpoint.child_sas().next().unwrap().handle;
            world.request(deleter, |endpoint, cx| endpoint.delete_child(cx, child)).unwrap();
            world.run_for(3 * SECOND);
            for host in [LEFT, RIGHT] {
                let endpoint = &world.host(host).node.endpoint;
                assert_eq!((endpoint.ike_sas().count(), endpoint.child_sas().count()), (1, 0));
            }
            let before = world.transcript.len();
            let ping = world.ping(LEFT, RIGHT);
            world.run_for(SECOND);
            assert_eq!(world.fate(ping), Fate::Delivered);
            // Under the same IKE SA: quick mode alone.
            let main_mode = world.transcript.since(before).any(|entry| match &entry.what {
                What::OnLink { packet, .. } => {
                    examples::sim::transcript::summary(packet).contains("main mode")
                }
                _ => false,
            });
            assert!(!main_mode);
        });
    }
}

#[test]
fn both_begin_at_once_and_both_directions_work() {
    Scenario::site_to_site().run(|world| {
        let there = world.ping(LEFT, RIGHT);
        let back = world.ping(RIGHT, LEFT);
        world.run_for(5 * SECOND);
        assert_eq!((world.fate(there), world.fate(back)), (Fate::Delivered, Fate::Delivered));
        let figures = world.recorder.figures();
        assert_eq!((figures.delivered, figures.sent, figures.clear), (4, 4, 0));
    });
}

#[test]
fn a_slow_host_comes_up_as_well() {
    for slow in [LEFT, RIGHT] {
        let scenario = Scenario::site_to_site()
            .pfs(GroupDescription::MODP_2048)
            .host(slow, |host| host.work_time = Duration::from_millis(1_500));
        scenario.run(|world| {
            let ping = world.ping(LEFT, RIGHT);
            world.run_for(20 * SECOND);
            assert_eq!(world.fate(ping), Fate::Delivered);
            assert!(failures(world, LEFT).is_empty() && failures(world, RIGHT).is_empty());
        });
    }
}

#[test]
fn a_second_request_for_the_same_child_is_harmless() {
    Scenario::site_to_site().run(|world| {
        for _ in 0..3 {
            world.create_child(LEFT, PEER, CHILD).unwrap();
        }
        world.run_for(SECOND);
        for host in [LEFT, RIGHT] {
            let endpoint = &world.host(host).node.endpoint;
            assert_eq!((endpoint.ike_sas().count(), endpoint.child_sas().count()), (1, 1));
        }
    });
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let run = |seed| {
        let mut scenario = Scenario::site_to_site().behind_nat().seed(seed);
        scenario.capture = true;
        scenario.run(|world| {
            world.ping(LEFT, RIGHT);
            world.run_for(30 * SECOND);
            world.captured.take().unwrap()
        })
    };
    assert!(run(7) == run(7));
    assert!(run(7) != run(8));
}
