//! A long life in foul weather, and the account of every packet of it.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use examples::parallel;
use examples::soak::{Leg, Report, Storm};

/// Two gateways on a link that loses, doubles, delays, reorders and corrupts; NATs that rebind, hosts that are switched off
/// and on, clocks that jump, an attacker who replays, forges and floods. Every packet is accounted for.
#[derive(Parser)]
#[command(name = "soak")]
struct Options {
    /// How many packets.
    #[arg(long, default_value = "1000000")]
    packets: u64,

    /// The source of all randomness.
    #[arg(long, default_value = "1")]
    seed: u64,
}

/// Packets of one leg.
const LEG: u64 = 20_000;

fn main() -> ExitCode {
    let Options { packets, seed } = Options::parse();
    let began = Instant::now();
    let legs = packets.div_ceil(LEG);
    let leg = |number| {
        let seed = seed.wrapping_mul(1_000_000).wrapping_add(number);
        Leg { storm: Storm::Everything, seed, packets: LEG }.run()
    };
    let progress = |done, of| {
        eprint!("\r{} of {} packets\x1b[K", done * LEG, of * LEG);
        let _ = std::io::stderr().flush();
    };
    let sum = parallel::sum(legs, leg, Report::add, progress);
    eprint!("\r\x1b[K");
    match sum {
        Ok(report) => {
            print(seed, &report, began);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn print(seed: u64, report: &Report, began: Instant) {
    let line = |name: &str, count: u64| println!("{name:<26}{count:>10}");
    line("seed", seed);
    line("packets sent", report.sent);
    line("delivered", report.delivered);
    for (bucket, count) in &report.lost {
        line(&format!("  {bucket}"), *count);
    }
    line("unexplained", report.unexplained);
    line("twice", report.twice);
    line("in clear", report.clear);
    line("child SAs renewed", report.renewals.children);
    line("IKE SAs renewed", report.renewals.ike_sas);
    line("restarts", report.restarts);
    line("NAT rebindings", report.rebindings);
    line("clock jumps", report.jumps);
    line("packets of the attacker", report.injected);
    line("hours on the link", report.duration.as_secs() / 3_600);
    println!("took {:.0} s", began.elapsed().as_secs_f64());
}
