//! Reassembly: pieces that anybody can have sent.

use ike_core::error::{Discard, Malformed, MalformedKind};
use ike_core::wire::numbers::{ExchangeType, PayloadType};
use ike_core::wire::{CookiePair, Flags, HEADER_LEN};

use crate::puppet::{Puppet, SPI, clear, header};
use crate::stage::{mirror, path_from};
use crate::state::with_puppet;

/// A fragment as a message of its own.
fn piece(cookies: CookiePair, id: u16, number: u8, last: bool, data: &[u8]) -> Vec<u8> {
    // racoon sets the flag of the message that is inside, which is encrypted; others set none.
    let flags = if id.is_multiple_of(2) { Flags::NONE } else { Flags::ENCRYPTION };
    let head = header(cookies, ExchangeType::IDENTITY_PROTECTION, 0, flags);
    let [high, low] = id.to_be_bytes();
    let body = [&[high, low, number, u8::from(last)], data].concat();
    clear(&head, &[(PayloadType::FRAGMENT, body)])
}

fn pieces(cookies: CookiePair, id: u16, message: &[u8], count: usize) -> Vec<Vec<u8>> {
    let len = message.len().div_ceil(count);
    let count = message.len().div_ceil(len);
    let all = message.chunks(len).enumerate();
    all.map(|(at, data)| piece(cookies, id, at as u8 + 1, at + 1 == count, data)).collect()
}

/// CVE-2016-1287: a fragment whose length is less than its own header. CVE-2009-1574: a fragment without a piece.
#[test]
fn cve_2016_1287_fragments_of_every_short_length() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            puppet.establish(host, config, 0);
            let before = host.snapshot();
            for length in 0..=9_u8 {
                for len in 0..12 {
                    let mut message = piece(puppet.cookies, 1, 1, true, &[0x41; 12]);
                    message.truncate(HEADER_LEN + 4 + len);
                    let whole = message.len() as u32;
                    message[24..28].copy_from_slice(&whole.to_be_bytes());
                    message[HEADER_LEN + 3] = length;
                    let (result, answers) = Puppet::say(host, config, 0, &message);
                    assert!(result.is_err() && answers.is_empty(), "{length} {len}");
                    assert_eq!(host.snapshot(), before);
                }
            }
            let empty = Malformed { kind: MalformedKind::Fragment, offset: 32 };
            let (result, _) = Puppet::say(host, config, 0, &piece(puppet.cookies, 1, 1, true, &[]));
            assert_eq!(result, Err(Discard::Malformed(empty)));
        },
    );
}

/// CVE-2013-6076: a fragment before there is any state.
#[test]
fn cve_2013_6076_fragments_of_nobody() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            for responder in [[0; 8], [1; 8]] {
                let mut cookies = puppet.cookies;
                cookies.responder.0 = responder;
                for part in pieces(cookies, 1, &puppet.message_1(), 3) {
                    let (result, answers) = Puppet::say(host, config, 0, &part);
                    assert_eq!((result, answers.len()), (Err(Discard::UnknownSa), 0));
                }
            }
            assert_eq!(host.endpoint.poll_timeout(), None);
        },
    );
}

fn permutations(of: usize) -> Vec<Vec<usize>> {
    if of == 0 {
        return vec![vec![]];
    }
    let shorter = permutations(of - 1);
    let insert = |order: &Vec<usize>, at: usize| {
        let mut order = order.clone();
        order.insert(at, of - 1);
        order
    };
    shorter.iter().flat_map(|order| (0..of).map(move |at| insert(order, at))).collect()
}

/// racoon, 2026 (and CVE-2016-10396): pieces in every order, each of them twice; the last first; a new set behind an old
/// one that never was completed.
#[test]
fn racoon_2026_pieces_in_every_order() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            puppet.establish(host, config, 0);
            let spi = puppet.spi();
            let mut probe = 0_u32;
            for count in 2..=5 {
                for order in permutations(count) {
                    probe += 1;
                    let data = probe.to_be_bytes();
                    let asked = vec![crate::puppet::notify(1, &spi, 36_136, &data)];
                    let message = puppet.informational(1_000 + probe, asked);
                    let parts = pieces(puppet.cookies, probe as u16, &message, count);
                    assert_eq!(parts.len(), count);
                    // Something of an older set.
                    let stale = piece(puppet.cookies, probe as u16 ^ 0x8000, 1, false, b"stale");
                    assert_eq!(Puppet::say(host, config, 0, &stale).0, Ok(()));
                    let mut heard = 0;
                    for (said, at) in order.iter().enumerate() {
                        let (result, answers) = Puppet::say(host, config, 0, &parts[*at]);
                        assert_eq!(result, Ok(()), "{order:?}");
                        heard += answers.len();
                        if said + 1 < count {
                            assert_eq!(heard, 0);
                            let (result, _) = Puppet::say(host, config, 0, &parts[*at]);
                            assert_eq!(result, Ok(()));
                        }
                    }
                    // Put together, decrypted, and answered, once.
                    assert_eq!(heard, 1, "{order:?}");
                }
            }
        },
    );
}

/// CVE-2016-6381, CVE-2016-1344: half sets without end. They take the slots there are; everything else goes on.
#[test]
fn cve_2016_6381_half_sets_without_end() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            puppet.establish(host, config, 0);
            let before = host.snapshot();
            let mut cookies = puppet.cookies;
            for number in 0..100_000_u32 {
                // From strangers, and from the peer's address with the right cookies.
                cookies.initiator.0[..4].copy_from_slice(&number.to_be_bytes());
                let whose = if number % 2 == 0 { cookies } else { puppet.cookies };
                let part = piece(whose, number as u16, 2, false, &[0x41; 64]);
                let (_, answers) = Puppet::say(host, config, 0, &part);
                assert!(answers.is_empty());
            }
            assert_eq!(host.snapshot(), before);
            let message = puppet.honest_quick_mode(3, SPI);
            for part in pieces(puppet.cookies, 7, &message, 3) {
                assert_eq!(Puppet::say(host, config, 0, &part).0, Ok(()));
            }
            assert_eq!(host.endpoint.child_sas().count(), 1);
        },
    );
}

/// The pieces of a message come from one place. Those from another port are of another message, and those from another address
/// are not even kept.
#[test]
fn pieces_from_elsewhere_do_not_join() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            puppet.establish(host, config, 0);
            let all = pieces(puppet.cookies, 7, &puppet.honest_quick_mode(3, SPI), 2);
            let mut path = mirror(path_from(0));
            path.remote.set_port(40_000);
            assert_eq!(host.receive(0, config, path, &all[0]), Ok(()));
            assert_eq!(Puppet::say(host, config, 0, &all[1]).0, Ok(()));
            assert_eq!(host.endpoint.child_sas().count(), 0);
            path.remote.set_ip([198, 51, 100, 66].into());
            assert_eq!(host.receive(0, config, path, &all[0]), Err(Discard::WrongAddress));
            assert_eq!(Puppet::say(host, config, 0, &all[0]).0, Ok(()));
            assert_eq!(host.endpoint.child_sas().count(), 1);
        },
    );
}

/// What the pieces make is as suspect as any datagram: fragments in fragments, other cookies, noise, a forgery.
#[test]
fn a_message_from_pieces_proves_nothing() {
    with_puppet(
        |_| (),
        |host, config, puppet| {
            puppet.establish(host, config, 0);
            let before = host.snapshot();
            let mut other = puppet.cookies;
            other.initiator.0[0] ^= 1;
            let both = puppet.spi();
            let head = header(puppet.cookies, ExchangeType::INFORMATIONAL, 5, Flags::NONE);
            let hostile = [
                piece(puppet.cookies, 9, 1, true, b"again"),
                clear(&header(other, ExchangeType::INFORMATIONAL, 5, Flags::NONE), &[]),
                clear(&head, &[crate::puppet::delete(1, &[&both])]),
                Puppet::new(1).message_1(),
                vec![0xff; 200],
                vec![0; 5],
            ];
            for (id, message) in (10..).zip(hostile) {
                let parts = pieces(puppet.cookies, id, &message, 2);
                for part in &parts[..parts.len() - 1] {
                    assert_eq!(Puppet::say(host, config, 0, part).0, Ok(()));
                }
                let (result, answers) = Puppet::say(host, config, 0, parts.last().unwrap());
                assert!(result.is_err() && answers.is_empty(), "{message:02x?}");
                assert_eq!(host.snapshot(), before);
                // Pieces of pieces are not even looked for.
                let nested = Discard::from(Malformed::new(MalformedKind::Fragment, HEADER_LEN));
                assert!(id != 10 || result == Err(nested), "{result:?}");
            }
        },
    );
}
