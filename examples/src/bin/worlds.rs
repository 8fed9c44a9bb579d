//! Plays small worlds by the hundred thousand, and prints a table.

use std::io::Write as _;
use std::num::NonZero;
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use examples::worlds::{self, Exchange, Series, Setup, Tally};
use ike_core::crypto::{SOFTWARE, toy};

/// Every fate that the first datagrams of an exchange can meet with: two hosts, and a link that follows a mask.
///
/// Whatever is lost or doubled, both must agree in the end, no packet that the link delivered may be missing, come out
/// twice or leave in clear, and no slot may stay in use.
#[derive(Parser)]
#[command(name = "worlds")]
struct Options {
    /// Only these exchanges: main, aggressive, child-rekey, child-rekey-both, ike-renewal, ike-renewal-both,
    /// child-delete, ike-delete.
    #[arg(long, value_delimiter = ',')]
    exchange: Vec<String>,

    /// Delivered or lost, for the datagrams of a perfect run and three more.
    #[arg(long)]
    loss: bool,

    /// One mask in so many, evenly spread.
    #[arg(long, default_value = "1")]
    every: NonZero<u64>,

    /// Real Diffie-Hellman, MODP-2048, instead of the toy.
    #[arg(long)]
    modp: bool,

    /// With a NAT in front of the left side.
    #[arg(long)]
    nat: bool,

    /// Tells the story of one mask: `.` delivered, `x` lost, `2` doubled. With one --exchange.
    #[arg(long)]
    mask: Option<String>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let crypto = if options.modp { &SOFTWARE } else { &toy::CRYPTO };
    let chosen = |exchange: &Exchange| {
        options.exchange.is_empty() || options.exchange.iter().any(|name| name == exchange.name())
    };
    let setup = |exchange| Setup { exchange, crypto, nat: options.nat };
    let exchanges: Vec<Exchange> = Exchange::ALL.into_iter().filter(chosen).collect();
    if let Some(mask) = &options.mask {
        let plans = worlds::mask_from_text(mask).expect("a mask of . x 2");
        print!("{}", setup(exchanges[0]).story(&plans));
        return ExitCode::SUCCESS;
    }
    println!(
        "| exchange | fates | masks | worlds | up | down | datagrams | worst time to agreement | took |"
    );
    println!("|---|---|--:|--:|--:|--:|--:|--:|--:|");
    for exchange in exchanges {
        let setup = setup(exchange);
        let series = if options.loss { Series::loss(setup) } else { Series::any(setup) };
        let began = Instant::now();
        let progress = |done, of| {
            eprint!("\r{exchange}: {done} of {of} \x1b[K");
            let _ = std::io::stderr().flush();
        };
        match series.play_all(options.every, progress) {
            Ok(tally) => {
                eprint!("\r\x1b[K");
                line(&series, &tally, began);
            }
            Err(failure) => {
                eprintln!("\r{failure}");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

fn line(series: &Series, tally: &Tally, began: Instant) {
    let Tally { masks, worlds, up, down, datagrams, worst } = tally;
    let fates = format!("{}^{}", series.fates.len(), series.length);
    println!(
        "| {} | {fates} | {masks} | {worlds} | {up} | {down} | {datagrams} | {:.1} s | {:.1} s |",
        series.setup.exchange,
        worst.as_secs_f64(),
        began.elapsed().as_secs_f64(),
    );
}
