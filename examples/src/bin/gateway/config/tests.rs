use esp_core::{
    Aead, BlockCipher, FromPacket, Integrity, Policy, Protect, Protocol, Transform, TunnelOptions,
};

use super::*;

const SCHEMA: &str = include_str!("../../../../gateway/site.toml");

const SMALL: &str = r#"[local]
addresses = ["192.0.2.1", "2001:db8::1"]

[[peer]]
name = "p"
remote = "192.0.2.2"
psk = "secret"
proposals = ["aes128-sha256-modp2048"]

[[peer.child]]
name = "c"
local = "10.1.0.0/24"
remote = "10.2.0.0/24"
proposals = ["aes128-sha256"]
"#;

fn parse(text: &str) -> Result<Site, Vec<Mistake>> {
    Site::parse(text, Path::new("/nonexistent"))
}

/// [`SMALL`] with `from` replaced by `to`, which must be a mistake: line and reason of the only one.
fn mistake(from: &str, to: &str) -> (usize, String) {
    assert!(SMALL.contains(from), "{from}");
    let mut mistakes = parse(&SMALL.replacen(from, to, 1)).expect_err(to);
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    let mistake = mistakes.remove(0);
    (mistake.line.expect("a line"), mistake.reason)
}

#[test]
fn the_schema_is_valid_and_says_the_defaults() {
    let as_written = parse(SCHEMA).expect("valid");
    // Every commented key with its default switched on: it must parse, and change nothing.
    let mut spelled_out = String::new();
    for line in SCHEMA.lines() {
        let key = line.strip_prefix('#').filter(|rest| !rest.starts_with(' '));
        let examples = ["device_addresses", "path_mtu", "local_port", "remote_port"];
        match key {
            Some(key) if examples.iter().all(|word| !key.starts_with(word)) => {
                spelled_out.push_str(key)
            }
            _ => spelled_out.push_str(line),
        }
        spelled_out.push('\n');
    }
    let control = "/run/ike-gateway.sock";
    let mut explicit =
        parse(&spelled_out).unwrap_or_else(|mistakes| panic!("{mistakes:?}\n{spelled_out}"));
    assert_eq!(explicit.local.control.take().as_deref(), Some(Path::new(control)));
    assert_eq!(crate::CONTROL, control);
    assert_eq!(format!("{explicit:?}"), format!("{as_written:?}"));
}

#[test]
fn policies_keep_their_order_and_children_follow() {
    let site = parse(SCHEMA).expect("valid");
    let actions: Vec<_> = site.policies.iter().map(|entry| entry.policy).collect();
    assert_eq!(actions, [Policy::Discard, Policy::PROTECT]);
    assert_eq!(site.child_of_policy(site.policies[1].id), Some((PeerId(0), ChildId(0))));
    assert_eq!(site.child_of_policy(site.policies[0].id), None);

    let behind = SMALL.to_owned() + "[[policy]]\naction = \"discard\"\nprotocol = \"udp\"\n";
    let site = parse(&behind).expect("valid");
    assert_eq!(site.policies[0].selectors.protocol, Protocol::Number(17));
    assert_eq!(site.policies[1].policy, Policy::PROTECT);
}

#[test]
fn what_the_engine_gets() {
    let site = parse(SMALL).expect("valid");
    let tables = site.tables();
    let peers = site.peer_configs(&tables);
    assert_eq!(peers[0].local_id, Identity::Address([192, 0, 2, 1].into()));
    assert!(peers[0].remote_id.accepts(&Identity::Address([192, 0, 2, 2].into())));
    assert!(!peers[0].remote_id.accepts(&Identity::Fqdn("p")));
    assert_eq!(peers[0].children[0].selectors.to_string(), "10.1.0.0/24 === 10.2.0.0/24");
    assert_eq!(site.policies[0].policy, Policy::PROTECT);
    assert_eq!(site.name(PeerId(0), Some(ChildId(0))), "p/c");
    assert_eq!(site.name(PeerId(7), None), "peer 7");
}

#[test]
fn mistakes_in_a_value_have_the_line() {
    for (from, to, line, reason) in [
        ("aes128-sha256-modp2048", "aes127-sha256-modp2048", 8, "unknown cipher \"aes127\""),
        ("aes128-sha256-modp2048", "aes128-modp2048", 8, "is not CIPHER-HASH-GROUP"),
        ("modp2048", "modp2047", 8, "unknown group \"modp2047\""),
        ("\"aes128-sha256\"", "\"aes128\"", 14, "encryption without integrity is not offered"),
        ("\"192.0.2.2\"", "\"192.0.2.256\"", 6, "is not an IPv4 or IPv6 address"),
        ("10.2.0.0/24", "10.2.0.0/33", 13, "is not between 0 and 32"),
        ("10.2.0.0/24", "10.2.0.9-10.2.0.1", 13, "ends before it starts"),
        ("psk =", "pks =", 7, "unknown field `pks`"),
        ("name = \"c\"", "", 10, "missing field `name`"),
        ("\"p\"", "p", 5, ""),
    ] {
        let (found, text) = mistake(from, to);
        assert_eq!(found, line, "{to}: {text}");
        assert!(text.contains(reason), "{text}");
    }
}

#[test]
fn mistakes_between_values_have_the_line() {
    for (from, to, line, reason) in [
        ("10.1.0.0/24", "2001:db8::/64", 12, "two families"),
        ("\"secret\"", "\"\"", 7, "1 to 256 bytes"),
        ("psk = \"secret\"", "psk_hex = \"abc\"", 7, "hexadecimal"),
        ("psk = \"secret\"", "psk_file = \"no-such-key\"", 7, "no-such-key"),
        ("psk = \"secret\"\n", "", 5, "exactly one of psk, psk_hex and psk_file"),
        (
            "psk = \"secret\"",
            "psk = \"secret\"\nlocal = \"192.0.2.7\"",
            8,
            "not among the addresses",
        ),
        ("psk = \"secret\"", "psk = \"secret\"\nlifetime = \"59s\"", 8, "at least 60s"),
        ("\"192.0.2.1\"", "\"0.0.0.0\"", 2, "list each"),
        ("proposals = [\"aes128-sha256\"]", "proposals = []", 14, "no ESP proposal"),
        (
            "proposals = [\"aes128-sha256\"]",
            "proposals = [\"aes128-sha256\"]\nreplay_window = 31",
            15,
            "between 32 and 1024",
        ),
        ("remote = \"192.0.2.2\"", "remote = \"any\"\nremote_id = \"any\"", 6, "start = \"never\""),
        ("local = \"10.1.0.0/24\"\n", "", 11, "a tunnel needs its local network"),
        ("remote = \"10.2.0.0/24\"\n", "", 11, "a tunnel needs its remote network"),
        (
            "local = \"10.1.0.0/24\"\nremote = \"10.2.0.0/24\"",
            "mode = \"transport\"\nremote = \"10.2.0.0/24\"",
            13,
            "the two hosts themselves: remote is 192.0.2.2",
        ),
    ] {
        let (found, text) = mistake(from, to);
        assert_eq!(found, line, "{to}: {text}");
        assert!(text.contains(reason), "{text}");
    }
}

#[test]
fn transport_mode_is_between_the_two_hosts() {
    let networks = "local = \"10.1.0.0/24\"\nremote = \"10.2.0.0/24\"";
    let text = SMALL.replace(networks, "mode = \"transport\"");
    let site = parse(&text).expect("valid");
    let tables = site.tables();
    let child = site.peer_configs(&tables)[0].children[0];
    assert_eq!(child.mode, Mode::Transport);
    assert_eq!(child.selectors.to_string(), "192.0.2.1 === 192.0.2.2");

    let anywhere = text
        .replace("remote = \"192.0.2.2\"", "remote = \"any\"\nremote_id = \"any\"")
        .replace("name = \"c\"", "name = \"c\"\nstart = \"never\"");
    let mistakes = parse(&anywhere).expect_err("no address to divert");
    assert_eq!(mistakes[0].reason, "transport mode needs a peer with a fixed remote address");
}

#[test]
fn every_mistake_is_told_and_in_order() {
    let text = SMALL.replace("\"secret\"", "\"\"").replace("10.1.0.0/24", "2001:db8::/64");
    let lines: Vec<_> =
        parse(&text).expect_err("two mistakes").into_iter().map(|mistake| mistake.line).collect();
    assert_eq!(lines, [Some(7), Some(12)]);
}

#[test]
fn a_policy_must_make_sense() {
    for (entry, reason) in [
        ("action = \"bypass\"", "another route"),
        ("action = \"protect\"", "needs child"),
        ("action = \"protect\"\nchild = \"p/x\"", "there is no child"),
        ("action = \"protect\"\nchild = \"p/c\"\nprotocol = 6", "that of its child"),
        ("action = \"discard\"\nchild = \"p/c\"", "only action"),
        (
            "action = \"protect\"\nchild = \"p/c\"\n[[policy]]\naction = \"protect\"\nchild = \"p/c\"",
            "already",
        ),
    ] {
        let mistakes = parse(&format!("{SMALL}[[policy]]\n{entry}\n")).expect_err(entry);
        assert!(mistakes[0].reason.contains(reason), "{mistakes:?}");
        assert!(mistakes[0].line.is_some_and(|line| line >= 16), "{mistakes:?}");
    }
}

#[test]
fn twins_are_refused() {
    let (_, rest) = SMALL.split_once("[[peer]]").expect("a peer");
    let mistakes = parse(&format!("{SMALL}[[peer]]{rest}")).expect_err("twins");
    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(mistakes[0].reason.contains("two peers are named"), "{mistakes:?}");
    assert_eq!(mistakes[0].line, Some(16));
}

#[test]
fn what_the_engine_finds_has_the_line() {
    let (_, rest) = SMALL.split_once("[[peer]]").expect("a peer");
    let text =
        format!("{SMALL}[[peer]]{}", rest.replace("\"p\"", "\"q\"").replace("secret", "other"));
    let findings = parse(&text).expect("no mistake by itself").findings();
    let found = |severity, line, words: &str| {
        findings.iter().any(|(kind, finding)| {
            *kind == severity && finding.line == Some(line) && finding.reason.contains(words)
        })
    };
    assert!(found(Severity::Error, 16, "the same addresses"), "{findings:?}");
    assert!(found(Severity::Warning, 5, "guessed offline"), "{findings:?}");
}

#[test]
fn keys_stay_out_of_the_log() {
    let site = parse(SMALL).expect("valid");
    assert!(!format!("{site:?}").contains("secret"));
}

/// Whatever the file holds: a site or a mistake. Every prefix of the schema, and every one of its bytes in another
/// value.
#[test]
fn rubbish_is_a_mistake_and_no_more() {
    for end in 0..SCHEMA.len() {
        let _ = parse(&SCHEMA[..end]);
    }
    for place in 0..SCHEMA.len() {
        for byte in [b'"', b'[', b'\n', b'9', b'-'] {
            let mut bytes = SCHEMA.as_bytes().to_vec();
            bytes[place] = byte;
            if let Err(mistakes) = parse(&String::from_utf8_lossy(&bytes)) {
                assert!(
                    mistakes
                        .iter()
                        .all(|mistake| mistake.line.is_some() && !mistake.reason.is_empty())
                );
            }
        }
    }
}

/// Whatever is left out, doubled or exchanged in the file: it is understood or refused with a line that is there.
#[test]
fn mutilated_files_are_understood_or_refused() {
    let site = include_str!("../../../../gateway/site.toml");
    let lines: Vec<_> = site.lines().filter(|line| !line.trim_start().starts_with('#')).collect();
    let site = lines.join("\n");
    let mut texts = Vec::new();
    for at in 0..lines.len() {
        let (before, rest) = lines.split_at(at);
        texts.push([before, &rest[1..]].concat().join("\n"));
        texts.push([before, &rest[..1], rest].concat().join("\n"));
    }
    for (at, _) in site.char_indices().step_by(3) {
        for other in ["0", "-", "\"", "[", "\n", "99999999999", "\u{7f}"] {
            texts.push(format!("{}{other}{}", &site[..at], &site[at + 1..]));
        }
    }
    let (mut understood, mut refused) = (0, 0);
    for text in texts.iter().filter(|text| !text.contains("psk_file")) {
        match Site::parse(text, Path::new("/nowhere")) {
            Ok(site) => {
                assert_eq!(site.peer_configs(&site.tables()).len(), site.peers.len());
                let _ = site.findings();
                understood += 1;
            }
            Err(mistakes) => {
                assert!(!mistakes.is_empty());
                let lines = text.lines().count() + 1;
                assert!(mistakes.iter().all(|mistake| mistake.line.is_none_or(|at| at <= lines)));
                refused += 1;
            }
        }
    }
    assert!(understood > 100 && refused > 1000, "{understood} {refused}");
}

#[test]
fn a_path_of_limited_size_limits_what_is_sealed() {
    let limited = SMALL.replacen("[local]\n", "[local]\npath_mtu = 1500\n", 1);
    let site = parse(&limited).expect("valid");
    let tunnel = TunnelOptions { mtu: 1500, ..TunnelOptions::DEFAULT };
    let protect = Protect { from_packet: FromPacket::NOTHING, tunnel };
    assert_eq!(site.policies[0].policy, Policy::Protect(protect));
    assert_eq!(mistake("[local]\n", "[local]\npath_mtu = 575\n").1, "path_mtu is below 576");
}

#[test]
fn esp_algorithms_by_name() {
    let sha256 = Integrity::HmacSha256_128;
    for (name, transform, esn) in [
        ("aes192-sha256", Transform::CbcHmac(BlockCipher::Aes192, sha256), false),
        ("null-sha256-esn", Transform::NullHmac(sha256), true),
        ("aes128gcm16", Transform::Aead(Aead::Aes128Gcm16), false),
        ("aes192gcm16-esn", Transform::Aead(Aead::Aes192Gcm16), true),
        ("aes256gcm16", Transform::Aead(Aead::Aes256Gcm16), false),
        ("aes128gmac", Transform::Aead(Aead::Aes128Gmac), false),
        ("aes192gmac", Transform::Aead(Aead::Aes192Gmac), false),
        ("aes256gmac-esn", Transform::Aead(Aead::Aes256Gmac), true),
        ("chacha20poly1305", Transform::Aead(Aead::ChaCha20Poly1305), false),
    ] {
        let text = SMALL.replace("[\"aes128-sha256\"]", &format!("[\"{name}\"]"));
        let site = parse(&text).expect(name);
        let proposal = site.peers[0].children[0].proposals[0];
        assert_eq!((proposal.transform, proposal.esn), (transform, esn), "{name}");
    }
}
