//! Benchmarks: `cargo run --release -p benches -- [SECTION]...`, all sections without an argument.
//!
//! Each figure is the median of several samples in one thread. Machines differ and so do their moods: read ratios,
//! and compare contenders measured in one run.

mod esp;
mod ike;
mod measure;

/// Name, what it measures, and the function that prints it.
type Section = (&'static str, &'static str, fn());

const SECTIONS: &[Section] = &[
    ("esp", "ESP packets: seal and open, alone and in batches", esp::packets),
    ("lookup", "SAs and policies found among many", esp::lookups),
    ("memory", "bytes of state of ESP", esp::memory),
    ("dh", "Diffie-Hellman groups: public value, shared secret", ike::diffie_hellman),
    ("prf", "HMAC and key derivation", ike::prf),
    ("handshake", "main mode and quick mode, both ends in one process", ike::handshakes),
    ("dpd", "dead peer detection, with many IKE SAs", ike::dead_peer_detection),
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let unknown = wanted.iter().find(|name| !SECTIONS.iter().any(|section| section.0 == **name));
    if let Some(unknown) = unknown {
        eprintln!("no section {unknown}; there are:");
        for (name, about, _) in SECTIONS {
            eprintln!("  {name:<12} {about}");
        }
        std::process::exit(2);
    }
    for (name, about, run) in SECTIONS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            println!("\n{name}: {about}\n");
            run();
        }
    }
}
