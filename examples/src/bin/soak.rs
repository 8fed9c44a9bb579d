//! A long life in foul weather, and the account of every packet of it.

use std::io::Write as _;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
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
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let sum = Mutex::new(Ok(Report::default()));
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= legs {
                        return;
                    }
                    let seed = seed.wrapping_mul(1_000_000).wrapping_add(number);
                    let leg = Leg { storm: Storm::Everything, seed, packets: LEG };
                    let result = leg.run();
                    let mut sum = sum.lock().expect("no other thread panicked");
                    match (&mut *sum, result) {
                        (Ok(sum), Ok(report)) => sum.add(&report),
                        (Ok(_), Err(failure)) => {
                            next.store(legs, Ordering::Relaxed);
                            *sum = Err(failure);
                        }
                        (Err(_), _) => {}
                    }
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    eprint!("\r{} of {} packets\x1b[K", done * LEG, legs * LEG);
                    let _ = std::io::stderr().flush();
                }
            });
        }
    });
    eprint!("\r\x1b[K");
    match sum.into_inner().expect("no thread panicked") {
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
