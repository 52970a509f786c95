//! How fast matrix products are, by storage: `cargo run --release -p ffai-cpu --example gemv [parts of storages' names]`.
//!
//! A chain of products as in decoding (one row, GB/s, over more weights than the caches hold) and as in a prompt (64 rows,
//! GFLOP/s). Bytes are those of the weights with scales and biases; they are set against a loop that only reads, and
//! multiply-adds against a loop that does nothing else, both by as many threads beside the measurement. The best of some runs
//! counts, so that other processes disturb little. `--busy` measures one thread by the time that it had a processor, for
//! machines that others keep busy. `--fast` lets activations have eight bits.
#![expect(unsafe_code, reason = "the loop of multiply-adds needs the level's instructions")]

use std::time::Instant;

use ffai_checkpoint::{Affine, Block, Float, Microscaled, Storage};
use ffai_cpu::{Cpu, CpuOptions, Level};
use ffai_model::{Shape, WeightDecl};
use ffai_program::conform::{Bag, Rng, random_tensor};
use ffai_program::{Backend, Builder, Op, Plan, Proj, Rounding, Rows, StepInputs};

const BUSY: &str = "--busy";
const FAST: &str = "--fast";

const ROWS: usize = 4096;
const COLS: usize = 2048;
/// Bytes of weights: some times the last cache, read in a few milliseconds, so that some runs fall between other processes.
const BYTES: usize = 96 << 20;
/// Matrices of a prompt's measurement, which is about arithmetic.
const FEW: usize = 2;

fn main() {
    let filter: Vec<String> = std::env::args().skip(1).filter(|arg| arg != BUSY && arg != FAST).collect();
    let threads = asked(BUSY).then_some(1);
    println!("extensions: {:?}", Level::extensions());
    for level in Level::ALL.into_iter().filter(|l| l.is_available()) {
        let cpu = Cpu::new(CpuOptions { level: Some(level), threads, ..CpuOptions::default() }).expect("threads");
        println!("\n{}", cpu.name());
        println!(
            "{:28} {:>8} {:>8} {:>5}   {:>10} {:>10} {:>5}",
            "storage", "1 row", "reading", "%", "64 rows", "FMA", "%"
        );
        let wanted = |s: &Storage| filter.is_empty() || filter.iter().any(|f| s.to_string().contains(f.as_str()));
        for storage in storages().into_iter().filter(wanted) {
            line(&cpu, storage);
        }
    }
}

/// Whether an option was given.
fn asked(option: &str) -> bool {
    std::env::args().any(|arg| arg == option)
}

fn storages() -> Vec<Storage> {
    let affine = |bits| Storage::Affine(Affine { bits, group: 64, scales: Float::BF16 });
    let dense = [Float::F32, Float::F16, Float::BF16].map(Storage::Dense);
    let blocks = Block::ALL.map(Storage::Block);
    let micro = Microscaled::ALL.map(Storage::Microscaled);
    dense.into_iter().chain(Affine::BITS.map(affine)).chain(micro).chain(blocks).collect()
}

fn line(cpu: &Cpu, storage: Storage) {
    let bytes_of_one = random_tensor("w", storage, ROWS, COLS, &mut Rng(1)).bytes_len();
    let count = BYTES.div_ceil(bytes_of_one);
    let mut bag = Bag::default();
    for i in 0..count {
        bag.0.insert(format!("w{i}"), random_tensor("w", storage, ROWS, COLS, &mut Rng(i as u64)));
    }
    bag.0.insert("embed".to_owned(), random_tensor("embed", Storage::Dense(Float::F32), 8, COLS, &mut Rng(7)));
    let reading = read_bandwidth(cpu.threads());
    let decode = (count * bytes_of_one) as f64 / seconds(cpu, &bag, count, 1, 30) / 1e9;
    let reading = reading.max(read_bandwidth(cpu.threads()));
    let peak = fma_peak(cpu.level(), cpu.threads());
    let prompt = (2 * 64 * ROWS * COLS * FEW) as f64 / seconds(cpu, &bag, FEW, 64, 8) / 1e9;
    let peak = peak.max(fma_peak(cpu.level(), cpu.threads()));
    let percent = |a: f64, b: f64| 100.0 * a / b;
    println!(
        "{:28} {decode:8.1} {reading:8.1} {:5.0}   {prompt:10.1} {peak:10.1} {:5.0}",
        storage.to_string(),
        percent(decode, reading),
        percent(prompt, peak)
    );
}

/// Seconds for `rows` rows through `count` matrices.
fn seconds(cpu: &Cpu, bag: &Bag, count: usize, rows: usize, times: usize) -> f64 {
    let matrix = |role: String, rows| WeightDecl { role, shape: Shape::Matrix { rows, cols: COLS } };
    let mut decls: Vec<_> = (0..count).map(|i| matrix(format!("w{i}"), ROWS)).collect();
    decls.push(matrix("embed".to_owned(), 8));
    let mut b = Builder::new(decls, Vec::new());
    let (x, out) = (b.buf("x", Rows::Step, COLS), b.buf("out", Rows::Step, ROWS));
    let table = b.w("embed");
    b.push("embed".to_owned(), Op::Embed { table, scale: 1.0, out: x });
    for i in 0..count {
        let proj = Proj { w: b.w(&format!("w{i}")), bias: None, out };
        b.push(format!("linear {i}"), Op::Linear { x, norm: None, proj, scale: 1.0, add: None });
    }
    let program = b.finish(out, 8, rows);
    let rounding = if asked(FAST) { Rounding::Int8 } else { Rounding::Exact };
    let plan = Plan { rounding, ..Plan::for_tokens(&program, rows) };
    let mut model = cpu.compile(&program, bag, &plan, &mut |_| {}).expect("a program");
    let tokens: Vec<u32> = (0..rows as u32).map(|t| t % 8).collect();
    let mut inputs = StepInputs::prompt(&program, &plan, &tokens);
    inputs.want.clear();
    best(times, || drop(model.step(&inputs).expect("a step")))
}

/// Seconds of the fastest of some runs, after one that warms up; of all of them on average where this thread's time counts, for
/// systems count that in steps of milliseconds.
fn best(times: usize, mut run: impl FnMut()) -> f64 {
    run();
    if asked(BUSY) {
        let worked = seconds_of_this_thread();
        (0..times).for_each(|_| run());
        return (seconds_of_this_thread() - worked) / times as f64;
    }
    let timed = |run: &mut dyn FnMut()| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    (0..times).map(|_| timed(&mut run)).fold(f64::INFINITY, f64::min)
}

/// For how long this thread had a processor; 0 where the system does not say.
fn seconds_of_this_thread() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().next().and_then(|ns| ns.parse().ok()).map_or(0.0, |ns: f64| ns / 1e9)
}

/// GB/s of threads that only read, each its own part of a buffer.
fn read_bandwidth(threads: usize) -> f64 {
    let data: Vec<u64> = (0..BYTES as u64 / 8).collect();
    let part = data.len() / threads;
    let seconds = best(20, || {
        std::thread::scope(|s| {
            for part in data.chunks_exact(part).skip(1) {
                s.spawn(move || std::hint::black_box(sum(part)));
            }
            std::hint::black_box(sum(&data[..part]));
        });
    });
    (part * threads * 8) as f64 / seconds / 1e9
}

fn sum(data: &[u64]) -> u64 {
    let (chunks, _) = data.as_chunks::<64>();
    let mut sums = [0u64; 64];
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum = sum.wrapping_add(*x));
    }
    sums.iter().fold(0, |a, b| a.wrapping_add(*b))
}

/// GFLOP/s of threads that only multiply and add in registers.
fn fma_peak(level: Level, threads: usize) -> f64 {
    const STEPS: usize = 400_000;
    let chains = || match level {
        // SAFETY: the caller gives a level that the machine has.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { avx2_chains(STEPS) },
        // SAFETY: likewise.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 | Level::Avx512Vnni | Level::Avx512Bf16 => unsafe { avx512_chains(STEPS) },
        _ => scalar_chains(STEPS),
    };
    let seconds = best(20, || {
        std::thread::scope(|s| {
            (1..threads).for_each(|_| drop(s.spawn(chains)));
            chains();
        });
    });
    (threads * STEPS * 2 * 96) as f64 / seconds / 1e9
}

/// Twelve chains of 8 lanes, or six of 16.
macro_rules! chains {
    ($name:ident, $lanes:literal, |$x:ident, $y:ident| $step:expr $(, $features:literal)?) => {
        $(#[target_feature(enable = $features)])?
        fn $name(steps: usize) {
            let $y = std::hint::black_box([0.5f32; $lanes]);
            let mut sums = std::hint::black_box([[1.0f32; $lanes]; 96 / $lanes]);
            for _ in 0..steps {
                for sum in &mut sums {
                    for ($x, $y) in sum.iter_mut().zip(&$y) {
                        *$x = $step;
                    }
                }
            }
            std::hint::black_box(sums);
        }
    };
}

chains!(scalar_chains, 8, |x, y| *x * *y + *y);
#[cfg(target_arch = "x86_64")]
chains!(avx2_chains, 8, |x, y| x.mul_add(*y, *y), "avx2,fma");
#[cfg(target_arch = "x86_64")]
chains!(avx512_chains, 16, |x, y| x.mul_add(*y, *y), "avx512f,fma");
