//! A sequence's results are the same bits in any batch, in any chunks, with any number of threads.

use ffai_checkpoint::{Affine, Block, Float, Microscaled, Storage};
use ffai_cpu::{Cpu, Level};
use ffai_program::conform::{Rng, relative_error};
use ffai_program::{Executable, Rounding};
use proptest::prelude::*;

use crate::model::{CONTEXT, Model, tokens};
use crate::{cpu, cpu_with, levels};

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

/// What a sequence is given alone in one step is what it is given token by token, in two threads.
fn token_by_token(model: &Model, level: Level, tokens: &[u32]) {
    let expected = alone(model, level, tokens);
    let mut run = model.compile(&cpu(level, 2));
    let mut seq = model.sequence(1, tokens.to_vec());
    for (row, expected) in expected.iter().enumerate() {
        let got = model.step(&mut *run, &mut [(&mut seq, 1)]).remove(0);
        assert_eq!(&got[0], expected, "row {row}, {level}");
    }
}

/// Storages matter to products alone; rows enough for whole blocks of all of them and a rest, three pages and a window.
#[test]
fn a_prompt_gives_the_same_bits_token_by_token_in_each_storage() {
    let tokens = tokens(41, &mut Rng(5));
    for storage in storages() {
        let model = Model::new(storage);
        for level in levels() {
            token_by_token(&model, level, &tokens);
        }
    }
}

/// A few rows go one by one, more together.
#[test]
fn a_prompt_gives_the_same_bits_in_steps_of_a_few_rows_in_each_storage() {
    let tokens = tokens(14, &mut Rng(6));
    for storage in storages() {
        let model = Model::new(storage);
        let expected = alone(&model, Level::best(), &tokens);
        let mut run = model.compile(&cpu(Level::best(), 2));
        let (mut seq, mut got) = (model.sequence(1, tokens.clone()), Vec::new());
        for rows in 2..=5 {
            got.extend(model.step(&mut *run, &mut [(&mut seq, rows)]).remove(0));
        }
        assert_eq!(got, expected, "{storage}");
    }
}

/// Many rows leave out the low bytes or halves of activations, which are 0; one row does not.
#[test]
fn a_rounded_prompt_gives_the_same_bits_token_by_token_in_each_storage() {
    let tokens = tokens(41, &mut Rng(8));
    for storage in storages() {
        for rounding in [Rounding::Bf16, Rounding::Int8] {
            token_by_token(&Model::new(storage).rounded(rounding), Level::best(), &tokens);
        }
    }
}

#[test]
fn only_the_levels_with_whole_numbers_or_halves_have_anything_faster() {
    let tokens = tokens(41, &mut Rng(9));
    for storage in storages() {
        for level in levels() {
            let model = Model::new(storage);
            let exact = floats(&alone(&model, level, &tokens));
            let fast = floats(&alone(&model.rounded(Rounding::Int8), level, &tokens));
            let rounded = match storage {
                Storage::Dense(float) => level == Level::Avx512Bf16 && float == Float::BF16,
                _ => level >= Level::Avx512Vnni,
            };
            let error = relative_error(&fast, &exact);
            assert_eq!(error > 0.0, rounded, "{storage} {level}: {error:e}");
            assert!(error < 5e-2, "{storage} {level}: {error:e}");
        }
    }
}

#[test]
fn without_being_asked_only_inputs_of_mlps_with_bf16_weights_are_rounded() {
    let tokens = tokens(41, &mut Rng(9));
    for storage in storages() {
        for level in levels() {
            let run = |rounding| floats(&alone(&Model::new(storage).rounded(rounding), level, &tokens));
            let exact = run(Rounding::Exact);
            let [some, all] = [Rounding::Bf16, Rounding::Int8].map(|rounding| relative_error(&run(rounding), &exact));
            let bf16 = level == Level::Avx512Bf16 && storage == Storage::Dense(Float::BF16);
            assert_eq!(some > 0.0, bf16, "{storage} {level}: {some:e}");
            assert!(!bf16 || some < all, "{storage} {level}: {some:e} and {all:e}");
        }
    }
}

fn floats(rows: &[Vec<u32>]) -> Vec<f32> {
    rows.iter().flatten().map(|bits| f32::from_bits(*bits)).collect()
}

#[test]
fn a_prompt_gives_the_same_bits_token_by_token_whatever_keys_and_values_are_kept_as() {
    let (tokens, model) = (tokens(41, &mut Rng(5)), Model::new(storages()[0]));
    for level in levels() {
        for kv in [Float::F32, Float::F16, Float::BF16] {
            let mut run = model.compile(&cpu_with(level, 1, Some(kv)));
            let mut seq = model.sequence(0, tokens.clone());
            let expected = model.step(&mut *run, &mut [(&mut seq, 41)]).remove(0);
            let mut run = model.compile(&cpu_with(level, 2, Some(kv)));
            let mut seq = model.sequence(1, tokens.clone());
            for (row, expected) in expected.iter().enumerate() {
                let got = model.step(&mut *run, &mut [(&mut seq, 1)]).remove(0);
                assert_eq!(&got[0], expected, "row {row}, {level}, {kv}");
            }
        }
    }
}

#[test]
fn a_long_prompt_gives_the_same_bits_token_by_token() {
    let model = Model::new(storages()[1]);
    for level in levels() {
        token_by_token(&model, level, &tokens(CONTEXT, &mut Rng(6)));
    }
}

#[test]
fn a_deterministic_prompt_gives_the_same_bits_token_by_token_through_recurrences() {
    let model = Model::recurrent(storages()[2]).deterministic();
    for level in levels() {
        token_by_token(&model, level, &tokens(CONTEXT, &mut Rng(7)));
    }
}

/// A model for any number: attention as it is, recurrences with a deterministic plan.
fn model(kind: usize) -> Model {
    if kind < 11 { Model::new(storages()[kind]) } else { Model::recurrent(storages()[kind - 11]).deterministic() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn three_sequences_in_random_chunks_give_the_bits_that_each_gives_alone(
        seed in any::<u64>(), threads in 1usize..4, level in 0usize..4, kind in 0usize..15,
    ) {
        let levels = levels();
        let (level, model) = (levels[level % levels.len()], model(kind));
        let mut rng = Rng(seed);
        let most = if kind < 11 { 45 } else { 90 };
        let texts: Vec<Vec<u32>> = (0..3).map(|_| { let len = 1 + rng.below(most); tokens(len, &mut rng) }).collect();
        let expected: Vec<_> = texts.iter().map(|t| alone(&model, level, t)).collect();
        let mut run = model.compile(&cpu(level, threads));
        let steps = || { let most = [1, 4, 60][rng.below(3)]; [0; 3].map(|_| rng.below(most + 1)) };
        for part in run_in_steps(&model, &mut *run, &texts, steps) {
            prop_assert!(part.is_of(&expected), "sequence {} from {}", part.seq, part.from);
        }
    }
}

/// Logits of some rows of a sequence.
struct Part {
    seq: usize,
    /// The first of the rows.
    from: usize,
    logits: Vec<Vec<u32>>,
}

impl Part {
    fn is_of(&self, expected: &[Vec<Vec<u32>>]) -> bool {
        self.logits[..] == expected[self.seq][self.from..self.from + self.logits.len()]
    }
}

/// What each sequence gets in each step; `next` says how many rows the sequences would have in a step.
fn run_in_steps(
    model: &Model,
    run: &mut dyn Executable,
    texts: &[Vec<u32>],
    mut next: impl FnMut() -> [usize; 3],
) -> Vec<Part> {
    let mut seqs: Vec<_> = texts.iter().enumerate().map(|(i, t)| model.sequence(i, t.clone())).collect();
    let mut got = Vec::new();
    while let Some(behind) = seqs.iter().position(|s| s.past < s.tokens.len()) {
        let starts: Vec<usize> = seqs.iter().map(|s| s.past).collect();
        let mut taken: Vec<usize> =
            seqs.iter().zip(next()).map(|(s, rows)| rows.min(s.tokens.len() - s.past)).collect();
        if taken.iter().sum::<usize>() == 0 {
            taken[behind] = Cpu::CHUNK.min(seqs[behind].tokens.len() - starts[behind]);
        }
        let mut step: Vec<_> = seqs.iter_mut().zip(taken).collect();
        let rows = model.step(run, &mut step);
        got.extend(starts.into_iter().zip(rows).enumerate().map(|(seq, (from, logits))| Part { seq, from, logits }));
    }
    got
}

/// The promise of the chunked forms: what a sequence gets depends on steps only where they cut a chunk.
#[test]
fn steps_that_cut_no_chunk_of_recurrences_give_the_same_bits() {
    let model = Model::recurrent(storages()[1]);
    let mut rng = Rng(9);
    for (level, threads) in levels().into_iter().zip([3, 2, 1].into_iter().cycle()) {
        let texts = [150, 32, 77].map(|len| tokens(len, &mut rng)).to_vec();
        let expected: Vec<_> = texts.iter().map(|t| alone(&model, level, t)).collect();
        let mut run = model.compile(&cpu(level, threads));
        let steps = || [0; 3].map(|_| rng.below(3) * Cpu::CHUNK);
        for part in run_in_steps(&model, &mut *run, &texts, steps) {
            assert!(part.is_of(&expected), "sequence {} from {}, {level}", part.seq, part.from);
        }
    }
}
