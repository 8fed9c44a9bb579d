//! The demo as a newcomer runs it.

use std::process::{Command, Output};

const HEADINGS: [&str; 5] = [
    "Step 1: interesting traffic",
    "Step 2: IKE phase 1",
    "Step 3: IKE phase 2",
    "Step 4: data transfer",
    "Step 5: tunnel termination",
];

fn run(options: &[&str]) -> (Output, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_five_steps")).args(options).output().unwrap();
    let story = String::from_utf8(output.stdout.clone()).unwrap();
    (output, story)
}

/// The numbers of the last line: sent, delivered, lost, in the clear.
fn figures(story: &str) -> [u64; 4] {
    let line = story.lines().last().unwrap();
    let numbers: Vec<u64> =
        line.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
    let [sent, delivered, lost, clear] = numbers[..] else { panic!("the last line is: {line}") };
    assert_eq!(
        line,
        format!("packets sent {sent}, delivered {delivered}, lost {lost}, in the clear {clear}")
    );
    [sent, delivered, lost, clear]
}

#[test]
fn it_tells_five_steps_and_loses_nothing() {
    for options in
        [&[][..], &["--pfs"], &["--nat"], &["--ipv6"], &["--ipv6", "--nat", "--pfs", "--seed", "9"]]
    {
        let (output, story) = run(options);
        assert!(output.status.success(), "{options:?}:\n{story}");
        let headings: Vec<&str> = story.lines().filter(|line| line.starts_with("Step ")).collect();
        assert_eq!(headings, HEADINGS);
        let [sent, delivered, lost, clear] = figures(&story);
        assert!(sent > 200, "{sent}");
        assert_eq!((delivered, lost, clear), (sent, 0, 0));
        // What was negotiated is shown, what is encrypted too; and the keys were renewed on the way.
        for words in ["main mode", "KE (256 bytes)", "quick mode", "a renewal", "INITIAL-CONTACT"] {
            assert!(story.contains(words), "no '{words}' in\n{story}");
        }
        assert!(!story.contains('\x1b'), "colour without a terminal");
    }
}

#[test]
fn variants_tell_their_own_story() {
    let variants = [
        (&["--mode", "aggressive"][..], "aggressive mode"),
        (&["--mode", "aggressive", "--nat", "--pfs"], "aggressive mode"),
        (&["--rekey-phase1"], "IKE SA renewed, its children go on"),
        (&["--rekey-phase1", "--nat", "--ipv6"], "IKE SA renewed, its children go on"),
        (&["--simultaneous-rekey"], "the right router renews its child SAs"),
        (&["--simultaneous-rekey", "--rekey-phase1", "--pfs"], "a renewal"),
    ];
    for (options, words) in variants {
        let (output, story) = run(options);
        assert!(output.status.success(), "{options:?}:\n{story}");
        assert!(story.contains(words), "{options:?}: no '{words}' in\n{story}");
        let [sent, delivered, lost, clear] = figures(&story);
        assert_eq!((delivered, lost, clear), (sent, 0, 0));
    }
}

#[test]
fn an_outage_is_found_out_and_survived() {
    for options in [&["--dpd-loss"][..], &["--dpd-loss", "--nat"]] {
        let (output, story) = run(options);
        assert!(output.status.success(), "{story}");
        for words in ["R-U-THERE", "PeerDead"] {
            assert!(story.contains(words), "no '{words}' in\n{story}");
        }
        let [sent, delivered, lost, clear] = figures(&story);
        // What was sent into the outage, a packet a second, and nothing else.
        assert!((1..30).contains(&(sent - delivered)), "{sent} {delivered}");
        assert_eq!((lost, clear), (0, 0));
    }
}

#[test]
fn a_bad_link_loses_packets_but_the_tunnel_does_not() {
    for seed in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        let (output, story) = run(&["--loss", "10", "--seed", seed]);
        assert!(output.status.success(), "{story}");
        let [sent, delivered, lost, clear] = figures(&story);
        assert!(delivered < sent && delivered > sent * 3 / 4, "{delivered} of {sent}");
        assert_eq!((lost, clear), (0, 0));
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let story = |seed| run(&["--seed", seed]).1;
    assert_eq!(story("5"), story("5"));
    assert_ne!(story("5"), story("6"));
}

#[test]
fn out_writes_a_capture_and_its_keys() {
    let directory = std::env::temp_dir().join(format!("five-steps-{}", std::process::id()));
    let (output, _) = run(&["--out", directory.to_str().unwrap()]);
    assert!(output.status.success());
    let capture = std::fs::read(directory.join("capture.pcap")).unwrap();
    assert_eq!((&capture[..4], capture[20]), (&[0xd4, 0xc3, 0xb2, 0xa1][..], 101));
    let lines = |name| std::fs::read_to_string(directory.join(name)).unwrap().lines().count();
    // Two IKE SAs; three pairs of ESP SAs: the first, its renewal, and the one after the end.
    assert_eq!((lines("ikev1_decryption_table"), lines("esp_sa")), (2, 6));
    std::fs::remove_dir_all(directory).unwrap();
}

#[test]
fn what_it_cannot_do_it_says() {
    let (output, story) = run(&["--out", "/dev/null/nowhere"]);
    assert!(!output.status.success() || cfg!(not(unix)), "{story}");
    let (output, _) = run(&["--loss", "all"]);
    assert_eq!(output.status.code(), Some(2));
    let (output, help) = run(&["--help"]);
    assert!(output.status.success());
    for option in ["--pfs", "--ipv6", "--nat", "--loss", "--seed", "--out"] {
        assert!(help.contains(option), "{help}");
    }
}
