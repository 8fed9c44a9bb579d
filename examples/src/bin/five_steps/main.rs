//! The five steps of IPsec, told as they happen between two simulated routers.
//!
//! `cargo run --release -p examples --bin five_steps -- --help`

mod narrator;
mod output;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use examples::sim::{Family, Fate, HostId, LEFT, RIGHT, Scenario, Weather, World};
use ike_core::config::{Dpd, DpdAction, Lifetime, Phase1Mode};
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
    /// How phase 1 is done.
    #[arg(long, value_enum, default_value_t = Mode::Main)]
    mode: Mode,
    /// Renews the IKE SA too, while traffic flows: the child SAs go over to the new one.
    #[arg(long)]
    rekey_phase1: bool,
    /// Has both routers ask for a renewal of the child SAs in the same moment.
    #[arg(long)]
    simultaneous_rekey: bool,
    /// Lets the link fail, until dead peer detection finds the other router dead, and come back.
    #[arg(long)]
    dpd_loss: bool,
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

/// The exchanges of phase 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    /// Six messages, identities encrypted.
    Main,
    /// Three messages. With a pre-shared key it hands anyone who asks a hash to guess the key by.
    Aggressive,
}

fn percent(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse() {
        Ok(value) if (0.0..=90.0).contains(&value) => Ok(value),
        _ => Err("a number from 0 to 90 is expected".to_string()),
    }
}

/// Impatient, so that the show does not drag on.
const DPD: Dpd = Dpd {
    idle: Duration::from_secs(5),
    retry: Duration::from_secs(2),
    tries: 3,
    action: DpdAction::Clear,
};

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
        let (mode, dpd) = (self.mode, self.dpd_loss);
        scenario = scenario.each(|host| {
            host.peers[0].adjust(move |peer| {
                if mode == Mode::Aggressive {
                    peer.exchange = Phase1Mode::Aggressive;
                    peer.danger_answer_aggressive_psk = true;
                }
                if dpd {
                    peer.dpd = Some(DPD);
                }
            });
        });
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
    let mut narrator = Narrator::new(world, options.mode);
    narrator.picture(world)?;

    let up = ping_until_it_arrives(world);
    world.run_for(Duration::from_millis(100));
    narrator.negotiation(world)?;
    if up {
        talk(options, world);
        narrator.traffic(world)?;
    }
    if up && options.dpd_loss {
        narrator.paragraph(
            "The link fails. The left router sends and hears nothing; it asks, and in the end it gives up.",
        )?;
        outage(world);
        narrator.rest(world)?;
        narrator.paragraph("The link is back, and the next packet begins anew:")?;
        ping_until_it_arrives(world);
        world.run_for(Duration::from_secs(1));
        narrator.briefly(world)?;
    }

    narrator.heading(Step::Termination)?;
    for (ike, _) in world.host(LEFT).node.ike_sas().collect::<Vec<_>>() {
        // An SA that is gone already needs no end.
        let _ = world.request(LEFT, |endpoint, cx| endpoint.delete_ike(cx, ike));
    }
    world.run_for(Duration::from_secs(5));
    narrator.rest(world)?;
    narrator.paragraph("The next packet finds no SA again, and everything begins anew:")?;
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
    let by_link = if options.dpd_loss { figures.lost_by_link } else { 0 };
    let whole = options.loss > 0.0 || figures.delivered + by_link == figures.sent;
    Ok(up && whole && figures.clear == 0 && figures.twice == 0 && figures.astray == 0)
}

/// Pings, and a stream of UDP both ways: enough for the SAs to reach their limit in bytes and be renewed meanwhile.
fn talk(options: &Options, world: &mut World<'_>) {
    for _ in 0..3 {
        world.ping(LEFT, RIGHT);
        world.ping(RIGHT, LEFT);
        world.run_for(Duration::from_millis(200));
    }
    for round in 0..120 {
        match round {
            30 if options.rekey_phase1 => renew_phase1(world),
            60 if options.simultaneous_rekey => {
                renew(world, LEFT);
                renew(world, RIGHT);
            }
            _ => {}
        }
        world.udp(LEFT, RIGHT, 200 + round * 8);
        world.udp(RIGHT, LEFT, 1200 - round * 8);
        world.run_for(Duration::from_millis(20));
    }
    world.run_for(Duration::from_secs(2));
}

// What an engine refuses here it is doing already, by its own clock.

fn renew_phase1(world: &mut World<'_>) {
    world.note("the left router renews the IKE SA");
    let ike = world.host(LEFT).node.endpoint.ike_sas().next();
    if let Some(ike) = ike {
        let _ = world.request(LEFT, |endpoint, cx| endpoint.rekey_ike(cx, ike.handle));
    }
}

fn renew(world: &mut World<'_>, host: HostId) {
    let name = world.host(host).name.clone();
    world.note(format!("the {name} router renews its child SAs"));
    let child = world.host(host).node.endpoint.child_sas().find(|child| !child.replaced);
    if let Some(child) = child {
        let _ = world.request(host, |endpoint, cx| endpoint.rekey_child(cx, child.handle));
    }
}

/// Nothing passes until the left router has given its peer up.
fn outage(world: &mut World<'_>) {
    let fair = world.link.weather;
    world.link.weather.loss = 100.0;
    for _ in 0..60 {
        if world.host(LEFT).node.endpoint.child_sas().next().is_none() {
            break;
        }
        world.udp(LEFT, RIGHT, 100);
        world.run_for(Duration::from_secs(1));
    }
    world.link.weather = fair;
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
