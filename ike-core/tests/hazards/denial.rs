//! Denial of service and amplification: what peers that have proved nothing may cost.

use ike_core::config::{Config, Limits, RemoteAddress, RemoteId};
use ike_core::error::{Capacity, Discard};
use ike_core::event::Event;
use ike_core::wire::numbers::{ExchangeType, PayloadType};
use ike_core::wire::{Flags, HEADER_LEN, Header};

use crate::puppet::{
    PHASE1, Puppet, SPI, attributes, clear, header, id_address, parts, sa, sa_phase1,
};
use crate::recorded::sessions;
use crate::stage::{Host, mirror, path_from, stage};
use crate::state::with_puppet;

/// Somebody's message from an address of its own; returns the result and the bytes that came back.
fn from(
    host: &mut Host<'_>,
    config: &Config<'_>,
    now: u64,
    who: u32,
    message: &[u8],
) -> (Result<(), Discard>, usize) {
    let mut path = mirror(path_from(0));
    let [a, b, c, d] = who.to_be_bytes();
    path.remote = ([198 ^ a, 18 ^ b, c, d], 500).into();
    let result = host.receive(now, config, path, message);
    let sent = host.turn(now, config);
    (result, sent.iter().map(|(_, datagram)| datagram.len()).sum())
}

/// CVE-2016-5361 and the rule behind it: until a message carries our cookie, no more bytes leave than came. First
/// messages of every recorded peer, with every byte changed, each said three times, and then a minute of silence.
#[test]
fn cve_2016_5361_no_more_bytes_leave_than_came() {
    let mut worst = 0.0_f64;
    for session in sessions() {
        let first = session.messages[0].datagram.clone();
        if Header::parse(&first).unwrap().exchange != ExchangeType::IDENTITY_PROTECTION {
            continue;
        }
        with_puppet(
            |peer| peer.remote = RemoteAddress::Any,
            |host, config, puppet| {
                let mut now = 0;
                let mut variants = vec![first.clone(), puppet.message_1()];
                for at in 0..first.len() {
                    let mut message = first.clone();
                    message[at] ^= 0x10;
                    variants.push(message);
                    let mut cut = first[..at].to_vec();
                    if at > HEADER_LEN {
                        cut[24..28].copy_from_slice(&(at as u32).to_be_bytes());
                    }
                    variants.push(cut);
                }
                for (number, message) in variants.iter().enumerate() {
                    now += 500;
                    let (mut came, mut left) = (0, 0);
                    for _ in 0..3 {
                        came += message.len();
                        left += from(host, config, now, number as u32, message).1;
                        assert!(left <= came, "{left} for {came}: {message:02x?}");
                    }
                    if came > 0 {
                        worst = worst.max(left as f64 / came as f64);
                    }
                }
                for second in 0..60 {
                    assert!(host.turn(now + second * 1_000, config).is_empty(), "not asked");
                }
            },
        );
    }
    assert!(worst > 0.5 && worst <= 1.0, "{worst}");
    println!("main mode: at most {worst:.2} bytes leave for each that comes");
}

/// A first message that was answered, and other bytes with its cookie from its address: they are not the same message, and may
/// be much shorter. Nothing answers them.
#[test]
fn cve_2016_5361_a_known_cookie_elicits_nothing() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            let first = puppet.message_1();
            let (_, answers) = Puppet::say(host, config, 0, &first);
            assert_eq!(answers.len(), 1);
            for len in HEADER_LEN..first.len() {
                let mut short = first[..len].to_vec();
                short[24..28].copy_from_slice(&(len as u32).to_be_bytes());
                let (result, answers) = Puppet::say(host, config, 0, &short);
                assert!(result.is_err() && answers.is_empty(), "{len} bytes");
            }
            assert_eq!(Puppet::say(host, config, 0, &first).1, answers);
        },
    );
}

/// The same for aggressive mode, where it is allowed: one answer a request. Its ratio is printed.
#[test]
fn cve_2016_5361_aggressive_mode_answers_once() {
    stage(crate::stage::aggressive, |stage| {
        stage.begin(0);
        let first = stage.turn(0).remove(0);
        stage.deliver(&first).unwrap();
        let answer = stage.turn(1).remove(0);
        println!("aggressive mode: {} bytes for {}", answer.message.len(), first.message.len());
        let mut left = 0;
        for _ in 0..20 {
            let _ = stage.deliver(&first);
            left += stage.turn(1).len();
        }
        assert!(left <= 20, "{left}");
        let mut unasked = 0;
        for second in 0..60 {
            stage.now += second * 100;
            unasked += stage.turn(1).len();
        }
        assert_eq!(unasked, 0);
        assert!(answer.message.len() <= 2 * first.message.len());
    });
}

/// CVE-2018-0159, CVE-2012-0381: sequences of messages that are each as they should be, and in no order at all.
#[test]
fn cve_2018_0159_recorded_messages_in_any_order() {
    let sessions = sessions();
    let messages: Vec<_> = sessions
        .iter()
        .flat_map(|session| session.messages.iter().map(|it| &it.datagram))
        .collect();
    with_puppet(
        |peer| {
            peer.remote = RemoteAddress::Any;
            peer.remote_id = RemoteId::Anyone;
            peer.danger_answer_aggressive_psk = true;
        },
        |host, config, puppet| {
            puppet.establish(host, config, 0);
            let mut state = 1_u32;
            let mut now = 0;
            for _ in 0..4_000 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let mut message = messages[(state >> 8) as usize % messages.len()].clone();
                // Half of them carry the cookies of an SA that is there.
                if state & 0x80 != 0
                    && let Some(ike) = host.endpoint.ike_sas().nth((state >> 4) as usize & 3)
                {
                    message[..8].copy_from_slice(&ike.cookies.initiator.0);
                    message[8..16].copy_from_slice(&ike.cookies.responder.0);
                }
                now += u64::from(state & 0xff);
                from(host, config, now, (state >> 12) & 3, &message).0.ok();
            }
            let up = host.endpoint.ike_sas().filter(|ike| ike.established).count();
            assert_eq!(up, 1);
            let message = puppet.honest_quick_mode(1, SPI);
            assert_eq!(Puppet::say(host, config, now, &message).0, Ok(()));
        },
    );
}

/// CVE-2019-15256: memory. A hundred thousand beginnings by as many strangers take what the limits say; what is up goes
/// on, and a true peer gets in among them.
#[test]
fn cve_2019_15256_a_hundred_thousand_cookies() {
    with_puppet(
        |peer| peer.remote = RemoteAddress::Any,
        |host, config, puppet| {
            let limits = Limits { half_open: 4, ..Limits::DEFAULT };
            let config = &Config { limits, ..*config };
            puppet.establish(host, config, 0);
            let mut message = puppet.message_1();
            message[8..16].fill(0);
            let (mut evicted, mut refused) = (0, 0);
            for number in 0..100_000_u32 {
                let now = u64::from(number) / 10;
                message[..4].copy_from_slice(&(number + 1).to_be_bytes());
                match from(host, config, now, number, &message).0 {
                    Ok(()) => evicted += 1,
                    Err(Discard::Capacity(Capacity::HalfOpen)) => refused += 1,
                    Err(error) => panic!("{error:?}"),
                }
                let half_open = host.endpoint.ike_sas().filter(|ike| !ike.established).count();
                assert!(half_open <= 4);
            }
            assert!(evicted >= 20 && refused > 90_000, "{evicted} {refused}");
            // Established SAs have not been touched, and serve.
            let quick_mode = puppet.honest_quick_mode(1, SPI);
            assert_eq!(Puppet::say(host, config, 10_000, &quick_mode).0, Ok(()));
            // A second later the oldest of the strangers makes room.
            let mut other = Puppet::new(99);
            other.establish(host, config, 11_500);
            assert_eq!(host.endpoint.ike_sas().filter(|ike| ike.established).count(), 2);
        },
    );
}

/// CVE-2015-3240 and DHEat: no public-key work before our cookie has been echoed, and then only so much a second.
#[test]
fn dheat_work_for_strangers_is_rationed() {
    with_puppet(
        |peer| peer.remote = RemoteAddress::Any,
        |host, config, puppet| {
            let limits = Limits { unproven_dh_per_second: 3, ..Limits::DEFAULT };
            let config = &Config { limits, ..*config };
            let path = mirror(path_from(0));
            let mut allowed = 0;
            for number in 0..8_u8 {
                let mut stranger = Puppet::new(number);
                let mut path = path;
                path.remote = ([203, 0, 113, number], 500).into();
                host.receive(0, config, path, &stranger.message_1()).unwrap();
                let work = |host: &mut Host<'_>| {
                    let now = ike_core::Instant::from_millis(0);
                    let mut cx = ike_core::Context { now, rng: &mut host.rng, config };
                    host.endpoint.take_work(&mut cx).is_some()
                };
                assert!(!work(host), "work for a first message");
                let sent = host.turn(0, config);
                stranger.hear_2(&sent[0].1);
                match host.receive(0, config, path, &stranger.message_3()) {
                    Ok(()) => {
                        assert!(work(host));
                        allowed += 1;
                    }
                    Err(error) => {
                        assert_eq!(error, Discard::Capacity(Capacity::DiffieHellmanRate));
                        assert!(!work(host));
                    }
                }
                if host.endpoint.ike_sas().count() > 6 {
                    break;
                }
            }
            assert_eq!(allowed, 3);
            let _ = puppet;
        },
    );
}

/// CVE-2016-6415: an answer carried what had been in memory before. Here a message with secrets' worth of other bytes
/// went through the same buffers first.
#[test]
fn cve_2016_6415_answers_hold_nothing_of_before() {
    let answer = |before: Option<u8>| {
        let mut out = vec![];
        with_puppet(
            |_| (),
            |host, config, puppet| {
                if let Some(filler) = before {
                    // Taken and held, until it is given up for want of an answer to ours.
                    let other = Puppet::new(9);
                    let secret = vec![(20_000, u32::from_be_bytes([filler; 4])); 100];
                    let offer = sa(1, &[], &[(77, attributes(&secret)), (1, attributes(PHASE1))]);
                    let exchange = ExchangeType::IDENTITY_PROTECTION;
                    let head = header(other.cookies, exchange, 0, Flags::NONE);
                    let message = clear(&head, &[(PayloadType::SA, offer)]);
                    assert_eq!(Puppet::say(host, config, 0, &message).0, Ok(()));
                    host.turn(120_000, config);
                    assert_eq!(host.endpoint.ike_sas().count(), 0);
                }
                let (_, answers) = Puppet::say(host, config, 120_000, &puppet.message_1());
                let message = &mut answers[0].clone();
                // Our cookie is a matter of chance.
                message[8..16].fill(0);
                let message = &*message;
                // Every byte belongs to a payload that was written.
                let listed: usize = parts(message).iter().map(|(_, body)| body.len() + 4).sum();
                assert_eq!(HEADER_LEN + listed, message.len());
                out = message.clone();
            },
        );
        out
    };
    let clean = answer(None);
    assert_eq!(answer(Some(0xaa)), clean);
    assert_eq!(answer(Some(0x55)), clean);
}

/// CVE-2004-2679: a vendor ID that made the other side tell its version. All that comes back are those of ours that
/// were sent.
#[test]
fn cve_2004_2679_vendor_ids_elicit_nothing() {
    let unknown =
        [vec![0xf4, 0xed, 0x19, 0xe0], vec![], vec![7; 16], b"CHECKPOINT VERSION?".to_vec()];
    let answer = |vendors: &[Vec<u8>]| {
        let mut out = vec![];
        with_puppet(
            |_| (),
            |host, config, puppet| {
                let mut parts = vec![(PayloadType::SA, sa_phase1())];
                parts.extend(vendors.iter().map(|body| (PayloadType::VENDOR_ID, body.clone())));
                let exchange = ExchangeType::IDENTITY_PROTECTION;
                let message = clear(&header(puppet.cookies, exchange, 0, Flags::NONE), &parts);
                out = Puppet::say(host, config, 0, &message).1.remove(0);
            },
        );
        out
    };
    let plain = answer(&[]);
    for vendor in unknown {
        assert_eq!(answer(&[vendor]), plain);
    }
    assert_eq!(parts(&plain).len(), 1);
}

/// CVE-2023-28771: the text of an error went to a shell. What leaves here are numbers; the text of a peer never does.
#[test]
fn cve_2023_28771_no_text_of_a_peer_reaches_the_host() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            let text = b"\";reboot;echo -n \"$(id)".to_vec();
            puppet.begin(host, config, 0);
            let id = [vec![2, 0, 0, 0], text.clone()].concat();
            let (result, _) = Puppet::say(host, config, 0, &puppet.message_5(&id, vec![]));
            let mut all = format!("{result:?} {}", result.unwrap_err());
            for event in &host.events {
                all += &format!("{event:?}");
                if let Event::Failed { reason, .. } = event {
                    all += &reason.to_string();
                }
            }
            assert!(all.len() > 40 && !all.contains("reboot"), "{all}");
        },
    );
}

/// CVE-2004-2230: credentials of the host's own were too long. An identity of any length is sent or refused.
#[test]
fn cve_2004_2230_credentials_of_any_length() {
    use ike_core::config::{Authentication, Identity, Secret};
    let long = vec![b'x'; 5_000];
    for len in [1, 255, 256, 257, 1_500, 5_000] {
        let change = |_: usize,
                      peer: &mut ike_core::config::PeerConfig<'_>,
                      _: &mut ike_core::config::ChildConfig<'_>| {
            // Leaked on purpose: the stage wants one lifetime for all.
            let name: &'static [u8] = Vec::leak(long[..len].to_vec());
            peer.local_id = Identity::KeyId(name);
            peer.remote_id = RemoteId::Exactly(Identity::KeyId(name));
            peer.authentication = Authentication::PreSharedKey(Secret::Bytes(name));
        };
        stage(change, |stage| {
            stage.begin(0);
            stage.settle();
            let up = stage.hosts[1].endpoint.ike_sas().filter(|ike| ike.established).count();
            assert_eq!(up, usize::from(len <= 256), "{len}");
        });
    }
    let _ = id_address(0);
}
