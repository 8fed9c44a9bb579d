//! Benchmarks. Without an argument all sections are measured; `--help` names them.

mod esp;
mod ike;
mod instructions;
mod measure;

/// Name, what it measures, and the function that prints it.
type Section = (&'static str, &'static str, fn());

const SECTIONS: &[Section] = &[
    ("esp", "ESP packets: seal and open, alone and in batches", esp::packets),
    ("lookup", "SAs and policies found among many", esp::lookups),
    ("parts", "what the cost of an ESP packet is made of", esp::parts),
    ("instructions", "instructions an ESP packet, counted by valgrind", instructions::table),
    ("dh", "Diffie-Hellman groups: public value, shared secret", ike::diffie_hellman),
    ("prf", "HMAC and key derivation", ike::prf),
    ("handshake", "main mode and quick mode, both ends in one process", ike::handshakes),
    ("dpd", "dead peer detection, with many IKE SAs", ike::dead_peer_detection),
];

const USAGE: &str = "\
cargo run --release -p benches [--features peers] -- [SECTION]...

Each figure is the median of several samples in one thread; contenders of one table take turns. Machines differ and so do
their moods: read ratios, and compare what was measured in one run.

The feature `peers` adds contenders to the section `esp`: OpenSSL and Intel's ipsec-mb where they are installed (Debian:
libssl-dev, libipsec-mb-dev), aws-lc-rs and boringtun, which it builds, given a C compiler.

Sections, all of them if none is named:";

fn usage() -> String {
    let mut text = String::from(USAGE);
    for (name, about, _) in SECTIONS {
        text += &format!("\n  {name:<12} {about}");
    }
    text
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    if wanted.iter().any(|word| matches!(word.as_str(), "-h" | "--help" | "help")) {
        return println!("{}", usage());
    }
    if instructions::case(&wanted) {
        return;
    }
    let unknown = wanted.iter().find(|name| !SECTIONS.iter().any(|section| section.0 == **name));
    if let Some(unknown) = unknown {
        eprintln!("no section {unknown}\n\n{}", usage());
        std::process::exit(2);
    }
    for (name, about, run) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            println!("\n{name}: {about}\n");
            run();
        }
    }
}
