//! The clock: how long one call takes.

use std::time::{Duration, Instant};

/// Samples of which the median counts.
const SAMPLES: usize = 9;
/// How long a sample lasts at least.
const SAMPLE: Duration = Duration::from_millis(40);

/// Nanoseconds of one call of `operation`: the median of several samples, after one to warm up.
pub fn nanoseconds(mut operation: impl FnMut()) -> f64 {
    let mut calls = 1u32;
    // As many calls as fill a sample.
    loop {
        let began = Instant::now();
        for _ in 0..calls {
            operation();
        }
        if began.elapsed() >= SAMPLE {
            break;
        }
        calls = calls.saturating_mul(2);
    }
    let mut samples: Vec<f64> = (0..SAMPLES)
        .map(|_| {
            let began = Instant::now();
            for _ in 0..calls {
                operation();
            }
            began.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
        })
        .collect();
    median(&mut samples)
}

/// The median: what a busy machine disturbs least.
pub fn median(samples: &mut [f64]) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(f64::NAN)
}
