//! How fast these threads read this machine's memory: the roof that decoding is measured against.

use std::hint::black_box;
use std::time::Instant;

use crate::pool::Pool;

/// More than any cache in reach holds.
const BYTES: usize = 512 << 20;
const PASSES: usize = 6;

/// Bytes per second of the fastest of some passes over a buffer, each thread reading its own part.
pub(crate) fn read(pool: &Pool) -> f64 {
    let mut data = vec![0u64; BYTES / 8];
    // Zeroed memory is one physical page until it is written.
    data.iter_mut().zip(1..).for_each(|(word, i)| *word = i);
    let part = data.len() / pool.threads();
    let pass = |_| {
        let began = Instant::now();
        pool.run(&|thread| {
            black_box(sum(&data[thread * part..(thread + 1) * part]));
        });
        began.elapsed().as_secs_f64()
    };
    let seconds = (0..PASSES).map(pass).fold(f64::INFINITY, f64::min);
    (part * pool.threads() * 8) as f64 / seconds
}

/// Independent sums, so that loads and not additions are waited for.
fn sum(data: &[u64]) -> u64 {
    let (chunks, _) = data.as_chunks::<64>();
    let mut sums = [0u64; 64];
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, word)| *sum = sum.wrapping_add(*word));
    }
    sums.iter().fold(0, |a, b| a.wrapping_add(*b))
}
