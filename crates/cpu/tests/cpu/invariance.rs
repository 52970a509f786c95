//! A sequence's results are the same bits in any batch, in any chunks, with any number of threads.

use ffai_checkpoint::{Affine, Block, Float, Microscaled, Storage};
use ffai_cpu::Level;
use ffai_program::conform::Rng;
use proptest::prelude::*;

use crate::model::{CONTEXT, Model, tokens};
use crate::{cpu, levels};

fn storages() -> [Storage; 11] {
    let affine = |bits, group| Storage::Affine(Affine { bits, group, scales: Float::F16 });
    [
        Storage::Dense(Float::F32),
        Storage::Dense(Float::BF16),
        affine(4, 64),
        affine(3, 32),
        affine(8, 128),
        Storage::Block(Block::Q4_1),
        Storage::Block(Block::Q5_0),
        Storage::Block(Block::Q4K),
        Storage::Block(Block::Q6K),
        Storage::Microscaled(Microscaled::Mxfp4),
        Storage::Microscaled(Microscaled::Nvfp4),
    ]
}

/// The logits of each row of a sequence that runs alone, all at once, in one thread.
fn alone(model: &Model, level: Level, tokens: &[u32]) -> Vec<Vec<u32>> {
    let mut run = model.compile(&cpu(level, 1));
    let mut seq = model.sequence(0, tokens.to_vec());
    let rows = tokens.len();
    model.step(&mut *run, &mut [(&mut seq, rows)]).remove(0)
}

#[test]
fn a_prompt_gives_the_same_bits_token_by_token() {
    for level in levels() {
        for storage in storages() {
            let model = Model::new(storage);
            let tokens = tokens(CONTEXT, &mut Rng(5));
            let expected = alone(&model, level, &tokens);
            let mut run = model.compile(&cpu(level, 2));
            let mut seq = model.sequence(1, tokens);
            for (row, expected) in expected.iter().enumerate() {
                let got = model.step(&mut *run, &mut [(&mut seq, 1)]).remove(0);
                assert_eq!(&got[0], expected, "row {row}, {storage}, {level}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn three_sequences_in_random_chunks_give_the_bits_that_each_gives_alone(
        seed in any::<u64>(), threads in 1usize..4, level in 0usize..3, storage in 0usize..11,
    ) {
        let levels = levels();
        let (level, model) = (levels[level % levels.len()], Model::new(storages()[storage]));
        let mut rng = Rng(seed);
        let texts: Vec<Vec<u32>> = (0..3).map(|_| { let len = 1 + rng.below(90); tokens(len, &mut rng) }).collect();
        let expected: Vec<_> = texts.iter().map(|t| alone(&model, level, t)).collect();
        let mut seqs: Vec<_> = texts.iter().enumerate().map(|(i, t)| model.sequence(i, t.clone())).collect();
        let mut run = model.compile(&cpu(level, threads));
        while seqs.iter().any(|s| s.past < s.tokens.len()) {
            let starts: Vec<usize> = seqs.iter().map(|s| s.past).collect();
            let most = [1, 4, 60][rng.below(3)];
            let mut taken: Vec<usize> =
                seqs.iter().map(|s| rng.below(most + 1).min(s.tokens.len() - s.past)).collect();
            if taken.iter().sum::<usize>() == 0 {
                let next = seqs.iter().position(|s| s.past < s.tokens.len()).expect("one is not done");
                taken[next] = 1;
            }
            let mut step: Vec<_> = seqs.iter_mut().zip(taken.iter().copied()).collect();
            let got = model.step(&mut *run, &mut step);
            for (i, rows) in got.iter().enumerate() {
                prop_assert!(rows[..] == expected[i][starts[i]..starts[i] + taken[i]], "sequence {} from {}", i, starts[i]);
            }
        }
    }
}
