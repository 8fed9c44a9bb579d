//! The five steps of IPsec, told as they happen between two simulated routers.
//!
//! `cargo run --release -p examples --bin five_steps -- --help`

mod narrator;
mod output;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use examples::sim::{Family, Fate, LEFT, RIGHT, Scenario, Weather, World};
use ike_core::config::Lifetime;
use ike_core::wire::numbers::GroupDescription;

use narrator::{Narrator, Step};

/// The five steps of IPsec between two simulated routers: real IKE and ESP engines, a virtual clock, no network.
///
/// A packet for the other site finds no security association and waits; main mode and quick mode are negotiated; the
/// packet and many after it cross the tunnel, while the keys are renewed under way; then the tunnel is taken down, and
/// the next packet makes a new one. Every message is shown as it is on the wire and, where it is encrypted, as it reads
/// with the keys of the routers.
///
/// Exit status 0 says that nothing was in the clear, and, without --loss, that nothing was lost.
#[derive(Parser, Debug)]
#[command(name = "five_steps", version)]
struct Options {
    /// A Diffie-Hellman exchange of its own for each quick mode (perfect forward secrecy).
    #[arg(long)]
    pfs: bool,
    /// IPv6, inside and outside of the tunnel.
    #[arg(long)]
    ipv6: bool,
    /// A NAT in front of the left router: IKE moves to port 4500, ESP travels in UDP.
    #[arg(long)]
    nat: bool,
    /// Share of packets that the link loses.
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = percent)]
    loss: f64,
    /// Source of all randomness: the same number gives the same run, byte for byte.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Writes DIR/capture.pcap and the keys with which Wireshark decrypts it. Then:
    /// WIRESHARK_CONFIG_DIR=DIR tshark -r DIR/capture.pcap -o esp.enable_encryption_decode:TRUE
    /// -o esp.enable_authentication_check:TRUE
    #[arg(long, value_name = "DIR", verbatim_doc_comment)]
    out: Option<PathBuf>,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse() {
        Ok(value) if (0.0..=90.0).contains(&value) => Ok(value),
        _ => Err("a number from 0 to 90 is expected".to_string()),
    }
}

impl Options {
    fn scenario(&self) -> Scenario {
        let family = if self.ipv6 { Family::V6 } else { Family::V4 };
        let mut scenario = Scenario::site_to_site_over(family)
            .seed(self.seed)
            .weather(Weather { loss: self.loss, ..Weather::FAIR })
            // Small, so that the keys are renewed in the middle of the show.
            .children(|child| child.lifetime = Lifetime { seconds: 3_600, kilobytes: 100 });
        if self.pfs {
            scenario = scenario.pfs(GroupDescription::MODP_2048);
        }
        if self.nat {
            scenario = scenario.behind_nat();
        }
        scenario.capture = self.out.is_some();
        scenario
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let told = options.scenario().run(|world| tell(&options, world));
    match told {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // Whoever closes our standard output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("five_steps: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the world and tells of it; whether all went well.
fn tell(options: &Options, world: &mut World<'_>) -> io::Result<bool> {
    let mut narrator = Narrator::new(world);
    narrator.picture(world)?;

    let up = ping_until_it_arrives(world);
    world.run_for(Duration::from_millis(100));
    narrator.negotiation(world)?;
    if up {
        talk(world);
        narrator.traffic(world)?;
    }

    narrator.heading(Step::Termination)?;
    for (ike, _) in world.host(LEFT).node.ike_sas().collect::<Vec<_>>() {
        // An SA that is gone already needs no end.
        let _ = world.request(LEFT, |endpoint, cx| endpoint.delete_ike(cx, ike));
    }
    world.run_for(Duration::from_secs(5));
    narrator.rest(world)?;
    narrator.afterwards()?;
    ping_until_it_arrives(world);
    world.run_for(Duration::from_secs(1));
    narrator.briefly(world)?;

    if let Some(directory) = &options.out {
        output::write(directory, world)?;
        narrator.written(directory)?;
    }
    narrator.figures(world)?;
    io::stdout().flush()?;
    let figures = world.recorder.figures();
    let whole = options.loss > 0.0 || figures.delivered == figures.sent;
    Ok(up && whole && figures.clear == 0 && figures.twice == 0 && figures.astray == 0)
}

/// Pings, and a stream of UDP both ways: enough for the SAs to reach their limit in bytes and be renewed meanwhile.
fn talk(world: &mut World<'_>) {
    for _ in 0..3 {
        world.ping(LEFT, RIGHT);
        world.ping(RIGHT, LEFT);
        world.run_for(Duration::from_millis(200));
    }
    for round in 0..120 {
        world.udp(LEFT, RIGHT, 200 + round * 8);
        world.udp(RIGHT, LEFT, 1200 - round * 8);
        world.run_for(Duration::from_millis(20));
    }
    world.run_for(Duration::from_secs(2));
}

/// Once is enough, unless the link loses it. Whether one arrived.
fn ping_until_it_arrives(world: &mut World<'_>) -> bool {
    (0..10).any(|_| {
        let ping = world.ping(LEFT, RIGHT);
        world.run_until_done(Duration::from_secs(120), |world| {
            !matches!(world.fate(ping), Fate::Held | Fate::OnTheLink)
        });
        world.fate(ping) == Fate::Delivered
    })
}
