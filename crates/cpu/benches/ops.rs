//! Ops by themselves, as steps of decoding and of prompts run them: `cargo bench -p ffai-cpu [part of a name]`.
//!
//! Products read matrices of 2048 x 1024 in turn, more of them than a cache holds; attention has the heads of Qwen3-0.6B. Throughput is
//! bytes of weights, keys and values for one row, and multiply-adds for prompts. Set it beside the machine's own with the example `gemv`.

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use ffai_checkpoint::{Affine, Block, Float, Microscaled, Storage};
use ffai_cpu::{Cpu, CpuOptions};
use ffai_model::{Shape, WeightDecl};
use ffai_program::conform::{Bag, Rng, random_tensor};
use ffai_program::{
    Backend, Buf, Builder, Executable, Heads, Op, PageList, Plan, Program, Proj, Rows, SeqStep, StepInputs,
};

const ROWS: usize = 2048;
const COLS: usize = 1024;
/// More bytes of weights than caches hold.
const BYTES: usize = 96 << 20;
/// Rows of a prompt.
const PROMPT: usize = 64;

fn main() {
    divan::main();
}

const STORAGES: [&str; 8] = ["bf16", "8-bit g64", "6-bit g64", "4-bit g64", "3-bit g64", "mxfp4", "Q4_0", "Q4_K"];

fn storage(name: &str) -> Storage {
    let affine = |bits| Storage::Affine(Affine { bits, group: 64, scales: Float::BF16 });
    match name {
        "bf16" => Storage::Dense(Float::BF16),
        "8-bit g64" => affine(8),
        "6-bit g64" => affine(6),
        "4-bit g64" => affine(4),
        "3-bit g64" => affine(3),
        "mxfp4" => Storage::Microscaled(Microscaled::Mxfp4),
        "Q4_0" => Storage::Block(Block::Q4_0),
        _ => Storage::Block(Block::Q4K),
    }
}

/// An executable with a step for it.
struct Work {
    executable: Box<dyn Executable>,
    inputs: StepInputs,
}

impl Work {
    fn new(program: &Program, bag: &Bag, plan: &Plan, inputs: StepInputs) -> Work {
        let cpu = Cpu::new(CpuOptions::default()).expect("threads");
        Work { executable: cpu.compile(program, bag, plan, &mut |_| {}).expect("a program"), inputs }
    }

    fn run(&mut self) {
        self.executable.step(&self.inputs).expect("a step");
    }
}

fn matrix(role: String, rows: usize, cols: usize) -> WeightDecl {
    WeightDecl { role, shape: Shape::Matrix { rows, cols } }
}

/// A row of the table for each token, so that there is something to work on.
fn embed(b: &mut Builder, bag: &mut Bag, width: usize) -> Buf {
    bag.0.insert("embed".to_owned(), random_tensor("embed", Storage::Dense(Float::F32), 8, width, &mut Rng(7)));
    let x = b.buf("x", Rows::Step, width);
    let table = b.w("embed");
    b.push("embed".to_owned(), Op::Embed { table, scale: 1.0, out: x });
    x
}

/// `rows` rows through as many matrices as are more than caches hold, or through one; and the bytes of those.
fn products(storage: Storage, rows: usize) -> (Work, usize) {
    let each = random_tensor("w", storage, ROWS, COLS, &mut Rng(1)).bytes_len();
    let count = if rows == 1 { BYTES.div_ceil(each) } else { 1 };
    let mut bag = Bag::default();
    let mut decls = vec![matrix("embed".to_owned(), 8, COLS)];
    for i in 0..count {
        decls.push(matrix(format!("w{i}"), ROWS, COLS));
        bag.0.insert(format!("w{i}"), random_tensor("w", storage, ROWS, COLS, &mut Rng(i as u64)));
    }
    let mut b = Builder::new(decls, Vec::new());
    let out = b.buf("out", Rows::Step, ROWS);
    let x = embed(&mut b, &mut bag, COLS);
    for i in 0..count {
        let proj = Proj { w: b.w(&format!("w{i}")), bias: None, out };
        b.push(format!("linear {i}"), Op::Linear { x, norm: None, proj, scale: 1.0, add: None });
    }
    let program = b.finish(out, 8, rows);
    let plan = Plan::for_tokens(&program, rows);
    let tokens: Vec<u32> = (0..rows as u32).map(|t| t % 8).collect();
    let mut inputs = StepInputs::prompt(&program, &plan, &tokens);
    inputs.want.clear();
    (Work::new(&program, &bag, &plan, inputs), count * each)
}

#[divan::bench(args = STORAGES)]
fn product_of_one_row(bencher: Bencher<'_, '_>, name: &str) {
    let (mut work, bytes) = products(storage(name), 1);
    bencher.counter(BytesCount::new(bytes)).bench_local(|| work.run());
}

#[divan::bench(args = STORAGES)]
fn product_of_a_prompt(bencher: Bencher<'_, '_>, name: &str) {
    let (mut work, _) = products(storage(name), PROMPT);
    bencher.counter(ItemsCount::new(ROWS * COLS * PROMPT)).bench_local(|| work.run());
}

/// One row's attention over `keys` keys.
#[divan::bench(args = [128, 1024, 4096])]
fn attention_of_one_row(bencher: Bencher<'_, '_>, keys: usize) {
    let heads = Heads { q: 16, kv: 8, dim: 128 };
    let mut b = Builder::new(vec![matrix("embed".to_owned(), 8, heads.q * heads.dim)], Vec::new());
    let mut bag = Bag::default();
    let q = embed(&mut b, &mut bag, heads.q * heads.dim);
    let out = b.buf("out", Rows::Step, heads.q * heads.dim);
    let kv = b.kv(heads.kv, heads.dim, None);
    let scale = (heads.dim as f32).sqrt().recip();
    b.push("attend".to_owned(), Op::Attend { q, heads, kv, scale, cap: None, window: None, sinks: None, out });
    let program = b.finish(out, 8, keys);
    let plan = Plan::new(&program, 1, keys, 1);
    let pages = PageList::from((0..keys.div_ceil(plan.page_tokens) as u32).collect::<Vec<_>>());
    let seq = SeqStep { rows: 1, past: keys - 1, pages: vec![pages], length_class: 0, slot: None };
    let positions = vec![keys as u32 - 1];
    let inputs = StepInputs { tokens: vec![1], positions, seqs: vec![seq], want: Vec::new() };
    let mut work = Work::new(&program, &bag, &plan, inputs);
    let bytes = 2 * keys * heads.kv * heads.dim * size_of::<f32>();
    bencher.counter(BytesCount::new(bytes)).bench_local(|| work.run());
}
