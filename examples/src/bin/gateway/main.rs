//! A VPN gateway for Linux on ike-core and esp-core: UDP sockets on one side, a TUN device on the other.
//!
//! ```text
//! gateway run --config site.toml [--once] [--pcap FILE] [--keylog DIR] [--control PATH]
//! gateway check --config site.toml
//! gateway status [--json] [--control PATH]
//! ```
//!
//! `examples/gateway/site.toml` explains the configuration. One thread, one poll loop (`run`); what connects engine and
//! data plane is `examples::host::Node`, the same that the simulator's hosts are made of.

mod config;
#[cfg(target_os = "linux")]
mod control;
#[cfg(target_os = "linux")]
mod diversion;
#[cfg(target_os = "linux")]
mod outward;
mod report;
#[cfg(target_os = "linux")]
mod run;
#[cfg(target_os = "linux")]
mod tun;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use config::Site;
use ike_core::config::{Severity, Sizes};

/// The configuration has a mistake, or the command line.
const CONFIGURATION: u8 = 2;
/// The negotiation failed.
const FAILED: u8 = 3;
/// The peer did not answer.
const NO_ANSWER: u8 = 4;

/// What there is room for: IKE SAs, exchanges at a time, pairs of child SAs, bytes of a message.
const SIZES: Sizes = Sizes { ike_sas: 64, exchanges: 128, child_sas: 256, message: 2048 };

/// Where a running gateway listens for `status`, if nothing else is said.
const CONTROL: &str = "/run/ike-gateway.sock";

/// An IKEv1/IPsec gateway for Linux, on a TUN device and UDP sockets.
#[derive(Parser)]
#[command(
    version,
    after_help = "examples/gateway/site.toml explains the configuration. Logs go to standard error; RUST_LOG=debug shows \
                  more."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Brings up what the configuration says and forwards packets until it is interrupted.
    Run(Run),
    /// Reports mistakes in a configuration, and what is weak in it, with the line and the reason.
    Check {
        /// The configuration.
        #[arg(long)]
        config: PathBuf,
    },
    /// Asks the running gateway for its peers, SAs, algorithms, lifetimes and counters.
    Status {
        /// As JSON.
        #[arg(long)]
        json: bool,
        /// The running gateway's control socket.
        #[arg(long, default_value = CONTROL)]
        control: PathBuf,
    },
}

#[derive(Args)]
#[command(
    after_help = "Exit status: 0 interrupted, or with --once the tunnel was up and is closed; 1 the system refused \
                        something; 2 mistake in the configuration; with --once: 3 the negotiation failed, 4 no answer."
)]
struct Run {
    /// The configuration.
    #[arg(long)]
    config: PathBuf,
    /// Ends when the first tunnel ends, or cannot be brought up.
    #[arg(long)]
    once: bool,
    /// Writes every IKE and ESP datagram to this file, for Wireshark.
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
    /// Writes the keys of all SAs to this folder, as Wireshark wants them. Whoever has them reads the traffic.
    #[arg(long, value_name = "DIR")]
    keylog: Option<PathBuf>,
    /// Where `status` asks; overrides the configuration's `control`.
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(arguments) => run(&arguments),
        Command::Check { config } => match load(&config) {
            Ok((site, warnings)) => {
                println!("{}: {}", config.display(), summary(&site, warnings));
                ExitCode::SUCCESS
            }
            Err(code) => code,
        },
        Command::Status { json, control } => status(json, &control),
    }
}

/// Reads the configuration and says what is wrong with it; with how many warnings.
fn load(path: &Path) -> Result<(Site, usize), ExitCode> {
    let refuse = ExitCode::from(CONFIGURATION);
    let site = Site::load(path).map_err(|mistakes| {
        for mistake in mistakes {
            eprintln!("{}", mistake.at(path));
        }
        refuse
    })?;
    let findings = site.findings();
    for (severity, mut finding) in findings.iter().cloned() {
        if severity == Severity::Warning {
            finding.reason.insert_str(0, "warning: ");
        }
        eprintln!("{}", finding.at(path));
    }
    if findings.iter().any(|(severity, _)| *severity == Severity::Error) {
        return Err(refuse);
    }
    Ok((site, findings.len()))
}

fn summary(site: &Site, warnings: usize) -> String {
    let children: usize = site.peers.iter().map(|peer| peer.children.len()).sum();
    format!(
        "no mistakes, warnings: {warnings}; peers: {}, children: {children}, policies: {}",
        site.peers.len(),
        site.policies.len()
    )
}

#[cfg(target_os = "linux")]
fn run(arguments: &Run) -> ExitCode {
    use std::io::IsTerminal as _;

    use tracing::level_filters::LevelFilter;

    let site = match load(&arguments.config) {
        Ok((site, _)) => site,
        Err(code) => return code,
    };
    let level = std::env::var("RUST_LOG").ok().and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .with_max_level(level.unwrap_or(LevelFilter::INFO))
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    match run::run(&site, arguments) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("gateway: {error}{}", advice(error.kind()));
            ExitCode::FAILURE
        }
    }
}

/// What usually helps.
#[cfg(target_os = "linux")]
fn advice(kind: std::io::ErrorKind) -> &'static str {
    use std::io::ErrorKind;

    match kind {
        ErrorKind::PermissionDenied => {
            "; it needs root: the device, its routes, the ports below 1024 and IP protocol 50 are the system's"
        }
        ErrorKind::AddrInUse => "; another IKE daemon, or another gateway, has it",
        ErrorKind::AddrNotAvailable => "; [local] addresses must be those of an interface",
        ErrorKind::ResourceBusy => "; another program has this device",
        _ => "",
    }
}

#[cfg(target_os = "linux")]
fn status(json: bool, control: &Path) -> ExitCode {
    match control::ask(control) {
        Ok(text) if json => print(&format!("{text}\n")),
        Ok(text) => match serde_json::from_str::<report::Report>(&text) {
            Ok(report) => print(&report.to_string()),
            Err(error) => {
                eprintln!("gateway: the answer makes no sense: {error}");
                ExitCode::FAILURE
            }
        },
        Err(error) => {
            eprintln!("gateway: {}: {error} (is a gateway running?)", control.display());
            ExitCode::FAILURE
        }
    }
}

/// To standard output; a reader that has heard enough is no failure.
#[cfg(target_os = "linux")]
fn print(text: &str) -> ExitCode {
    use std::io::{ErrorKind, Write as _};

    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => ExitCode::FAILURE,
        _ => ExitCode::SUCCESS,
    }
}

#[cfg(not(target_os = "linux"))]
fn run(_: &Run) -> ExitCode {
    elsewhere()
}

#[cfg(not(target_os = "linux"))]
fn status(_: bool, _: &Path) -> ExitCode {
    elsewhere()
}

#[cfg(not(target_os = "linux"))]
fn elsewhere() -> ExitCode {
    eprintln!(
        "gateway: only `check` works here: `run` needs Linux, with a TUN device and UDP ports 500 and 4500"
    );
    ExitCode::FAILURE
}
