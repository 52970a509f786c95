//! Temporary.
use ffai_checkpoint::{Affine, Block, Float, Storage};
use ffai_cpu::{Cpu, CpuOptions, Level};
use ffai_model::{Shape, WeightDecl};
use ffai_program::conform::{Bag, Rng, random_tensor};
use ffai_program::{Backend, Builder, Op, Plan, Proj, Rows, StepInputs};
use std::time::Instant;
fn main() {
    const ROWS: usize = 32768;
    const COLS: usize = 2048;
    let af = |bits| Storage::Affine(Affine{bits,group:64,scales:Float::BF16});
    for level in [Level::Avx512] {
        let cpu = Cpu::new(CpuOptions { level: Some(level), threads: Some(std::env::args().nth(1).unwrap().parse().unwrap()) }).unwrap();
        for s in [Storage::Dense(Float::F32), Storage::Dense(Float::BF16), af(4), af(8), Storage::Block(Block::Q4_0), Storage::Block(Block::Q8_0)] {
            let mut bag = Bag::default();
            bag.0.insert("w".into(), random_tensor("w", s, ROWS, COLS, &mut Rng(1)));
            bag.0.insert("embed".into(), random_tensor("w", Storage::Dense(Float::F32), 8, COLS, &mut Rng(1)));
            let m = |role: &str, rows| WeightDecl { role: role.into(), shape: Shape::Matrix { rows, cols: COLS } };
            let mut b = Builder::new(vec![m("w", ROWS), m("embed", 8)], vec![]);
            let (x, out) = (b.buf("x", Rows::Step, COLS), b.buf("out", Rows::Step, ROWS));
            let table = b.w("embed");
            b.push("embed".into(), Op::Embed { table, out: x });
            for _ in 0..2 {
                let proj = Proj { w: b.w("w"), bias: None, out };
                b.push("l".into(), Op::Linear { x, norm: None, proj, add: None });
            }
            let program = b.finish(out, 8, 64);
            let plan = Plan::for_tokens(&program, 64);
            let mut model = cpu.compile(&program, &bag, &plan, &mut |_| {}).unwrap();
            let mut go = |rows: usize, times| {
                let tokens: Vec<u32> = (0..rows as u32).map(|t| t % 8).collect();
                let mut inputs = StepInputs::prompt(&program, &plan, &tokens);
                inputs.want.clear();
                let mut best = f64::INFINITY;
                for _ in 0..times {
                    let t = Instant::now();
                    model.step(&inputs).unwrap();
                    best = best.min(t.elapsed().as_secs_f64());
                }
                best / 2.0
            };
            let bytes = bag.0["w"].bytes_len() as f64;
            let n = (ROWS * COLS) as f64;
            let t = go(1, 25);
            let p = 1.0;
            println!("{level} {s}: {:.1} GB/s, {:.1} Gelem/s; 64: {:.1} GFLOP/s", bytes / t / 1e9, n / t / 1e9, 128.0 * n / p / 1e9);
        }
    }
}
