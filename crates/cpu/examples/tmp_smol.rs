//! Temporary.
use ffai_checkpoint::{Block, Float, Storage};
use ffai_cpu::{Cpu, CpuOptions};
use ffai_model::*;
use ffai_program::conform::{Bag, Rng, random_tensor};
use ffai_program::*;
use std::time::Instant;
fn main() {
    let threads = std::env::args().nth(1).map(|t| t.parse().unwrap());
    let norm = Norm { eps: 1e-5 };
    let attention = Attention {
        heads: 9,
        kv_heads: 3,
        head_dim: 64,
        qkv_bias: false,
        out_bias: false,
        qk_norm: None,
        rope: Some(0),
        scale: 0.125,
        window: None,
    };
    let mlp = Mlp { inner: 1536, act: Activation::Silu, bias: false };
    let spec = Spec {
        family: "t",
        hidden: 576,
        vocab: 49152,
        context: 2048,
        ropes: vec![Rope::fixed(64, Pairing::Adjacent, (0..32).map(|i| 0.7f32.powi(i)).collect(), 1.0)],
        layers: vec![Layer::pre_norm(norm, [attention.into(), mlp.into()]); 30],
        final_norm: norm,
        head: Head { tied: true },
    };
    let mut bag = Bag::default();
    let mut rng = Rng(1);
    for d in spec.weights() {
        let t = match d.shape {
            Shape::Matrix { rows, cols } => random_tensor(
                "w",
                if rows > 40000 { Storage::Block(Block::Q8_0) } else { Storage::Block(Block::Q4_1) },
                rows,
                cols,
                &mut rng,
            ),
            Shape::Vector { len } => random_tensor("w", Storage::Dense(Float::F32), 1, len, &mut rng),
        };
        bag.0.insert(d.role, t);
    }
    let program = lower(&spec);
    let plan = Plan::new(&program, 1, 2048, 512);
    let cpu = Cpu::new(CpuOptions { threads, level: None }).unwrap();
    let mut run = cpu.compile(&program, &bag, &plan, &mut |_| {}).unwrap();
    let bytes: usize = bag.0.values().map(|t| t.bytes_len()).sum();
    let pages: Vec<u32> = (0..64).collect();
    let mut past = 0;
    for rows in [512usize, 512, 1, 1, 512] {
        let times = if rows == 1 { 64 } else { 1 };
        let t = Instant::now();
        let mut best = f64::INFINITY;
        for _ in 0..times {
            let t = Instant::now();
            let inputs = StepInputs {
                tokens: (0..rows as u32).collect(),
                positions: (past..past + rows as u32).collect(),
                seqs: vec![SeqStep { rows, past: past as usize, pages: vec![pages.clone()], length_class: 0 }],
                want: vec![Wanted {
                    row: rows - 1,
                    what: Want::Sample(Box::new(SampleInputs { sampling: Sampling::greedy(), ..Default::default() })),
                }],
            };
            run.step(&inputs).unwrap();
            past += rows as u32;
            best = best.min(t.elapsed().as_secs_f64());
        }
        let s = t.elapsed().as_secs_f64();
        println!(
            "{rows} rows x {times}, past {past}: {:.1} tok/s mean, {:.1} best; {:.1} GB/s best",
            (rows * times) as f64 / s,
            rows as f64 / best,
            bytes as f64 / best / 1e9
        );
    }
}
