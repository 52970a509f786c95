//! How fast one row attends: `cargo run --release -p ffai-cpu --example attend [tokens of context]`.
//!
//! A step of decoding that has nothing but attention, over more keys and values than the caches hold, set against a loop that only reads them.
//! The best and the median of some runs are shown: on a machine that others use, the first says what the code can do.

use std::time::Instant;

use ffai_checkpoint::{Float, Storage};
use ffai_cpu::{Cpu, CpuOptions};
use ffai_model::{Shape, WeightDecl};
use ffai_program::conform::{Bag, Rng, random_tensor};
use ffai_program::{Backend, Builder, Heads, Op, Plan, Rows, StepInputs};

/// Bytes of keys and values: some times the last cache.
const BYTES: usize = 192 << 20;
const RUNS: usize = 40;

fn main() {
    let context = std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(4096);
    let cpu = Cpu::new(CpuOptions { kv: Some(Float::F16), ..CpuOptions::default() }).expect("threads");
    println!("{}, {context} tokens of context, keys and values in f16", cpu.name());
    println!("{:32} {:>10} {:>10} {:>10}", "heads", "best GB/s", "median", "reading");
    for (q, kv, dim) in [(16, 8, 128), (32, 8, 64), (32, 8, 128), (9, 3, 64), (8, 2, 256), (4, 1, 256), (16, 16, 128)] {
        line(&cpu, Heads { q, kv, dim }, context);
    }
}

fn line(cpu: &Cpu, heads: Heads, context: usize) {
    let each = 2 * heads.kv * heads.dim * Float::F16.size() * context;
    let layers = BYTES.div_ceil(each);
    let widths = [("q", heads.q * heads.dim), ("k", heads.kv * heads.dim), ("v", heads.kv * heads.dim)];
    let decl =
        |(role, cols): (&str, usize)| WeightDecl { role: role.to_owned(), shape: Shape::Matrix { rows: 8, cols } };
    let mut b = Builder::new(widths.map(decl).to_vec(), Vec::new());
    let mut bag = Bag::default();
    let bufs = widths.map(|(role, cols)| {
        bag.0.insert(role.to_owned(), random_tensor(role, Storage::Dense(Float::F32), 8, cols, &mut Rng(3)));
        b.buf(role, Rows::Step, cols)
    });
    let [q, k, v] = bufs;
    for (buf, (role, _)) in bufs.into_iter().zip(widths) {
        let table = b.w(role);
        b.push(format!("embed {role}"), Op::Embed { table, scale: 1.0, out: buf });
    }
    let out = b.buf("out", Rows::Step, heads.q * heads.dim);
    let scale = (heads.dim as f32).sqrt().recip();
    for layer in 0..layers {
        let kv = b.kv(heads.kv, heads.dim, None);
        let (q_norm, k_norm, rope, growth) = (None, None, None, None);
        b.push(format!("append {layer}"), Op::RotateAppend { q, k, v, heads, q_norm, k_norm, rope, growth, kv });
        b.push(
            format!("attend {layer}"),
            Op::Attend { q, heads, kv, scale, cap: None, window: None, sinks: None, out },
        );
    }
    let program = b.finish(out, heads.q * heads.dim, context);
    let plan = Plan::new(&program, 1, context, Plan::PAGE_TOKENS);
    let mut run = cpu.compile(&program, &bag, &plan, &mut |_| {}).expect("a program");
    let tokens: Vec<u32> = (0..Plan::PAGE_TOKENS as u32).map(|t| t % 8).collect();
    let mut inputs = StepInputs::prompt(&program, &plan, &tokens);
    inputs.want.clear();
    run.step(&inputs).expect("a first page");
    let pages = context.div_ceil(Plan::PAGE_TOKENS) as u32;
    (1..pages).for_each(|page| run.copy_page(0, 0, page));
    inputs.tokens.truncate(1);
    inputs.positions = vec![context as u32 - 1];
    inputs.seqs[0].rows = 1;
    inputs.seqs[0].past = context - 1;
    inputs.seqs[0].pages = vec![(0..pages).collect::<Vec<_>>().into()];
    let bytes = (each * layers) as f64 / 1e9;
    let times = sorted((0..RUNS).map(|_| seconds(|| drop(run.step(&inputs).expect("a step")))).collect());
    let data: Vec<u64> = (0..BYTES as u64 / 8).collect();
    let reading = sorted((0..RUNS).map(|_| seconds(|| read(&data, cpu.threads()))).collect());
    println!(
        "{:32} {:10.1} {:10.1} {:10.1}",
        format!("{} over {} of {}", heads.q, heads.kv, heads.dim),
        bytes / times[0],
        bytes / times[RUNS / 2],
        BYTES as f64 / 1e9 / reading[0]
    );
}

fn sorted(mut times: Vec<f64>) -> Vec<f64> {
    times.sort_by(f64::total_cmp);
    times
}

fn seconds(run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_secs_f64()
}

/// Reads all of `data`, each thread its part.
fn read(data: &[u64], threads: usize) {
    std::thread::scope(|scope| {
        for part in data.chunks(data.len().div_ceil(threads)) {
            scope.spawn(move || {
                let mut sums = [0u64; 64];
                for chunk in part.chunks_exact(64) {
                    sums.iter_mut().zip(chunk).for_each(|(sum, x)| *sum = sum.wrapping_add(*x));
                }
                std::hint::black_box(sums);
            });
        }
    });
}
