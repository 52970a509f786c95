//! Steps beside the arithmetic: pages, rows that are broken, inputs and options that are wrong.

use ffai_checkpoint::{Float, Storage, Tensor};
use ffai_cpu::{Cpu, CpuError, CpuOptions, Level};
use ffai_program::conform::{Rng, relative_error};
use ffai_program::{Backend, Output, Reference, SampleInputs, Sampling, SlotUse, StepError, StepInputs, Traced, Want};

use crate::model::{Model, tokens};
use crate::{cpu, cpu_with, levels};

const F32: Storage = Storage::Dense(Float::F32);

#[test]
fn a_copied_page_serves_a_fork_as_the_page_itself_does() {
    for model in [Model::new(F32), Model::recurrent(F32)] {
        let mut run = model.compile(&cpu(Level::best(), 2));
        let tokens = tokens(40, &mut Rng(3));
        let mut seq = model.sequence(0, tokens.clone());
        model.step(&mut *run, &mut [(&mut seq, 39)]);
        let mut fork = model.sequence(1, tokens);
        (fork.past, fork.state) = (39, seq.state);
        for group in 0..model.program.states.len() {
            for (from, to) in seq.pages.iter().zip(&fork.pages) {
                run.copy_page(group, *from, *to);
            }
        }
        let of_fork = model.step(&mut *run, &mut [(&mut fork, 1)]);
        assert_eq!(of_fork, model.step(&mut *run, &mut [(&mut seq, 1)]));
    }
}

/// A model whose token 5 has an embedding that is no number.
fn broken() -> Model {
    let mut model = Model::recurrent(F32);
    let embed = &model.weights.0["embed"];
    let (rows, cols) = (embed.rows(), embed.cols());
    let mut values = embed.to_f32();
    values[5 * cols..6 * cols].fill(f32::NAN);
    model.weights.0.insert("embed".to_owned(), Tensor::from_f32("embed", rows, cols, values));
    model
}

#[test]
fn a_row_without_finite_logits_is_not_finite_and_harms_no_other_sequence() {
    let model = broken();
    for level in levels() {
        let mut run = model.compile(&cpu(level, 2));
        let mut inputs = StepInputs::prompt(&model.program, &model.plan, &[1, 2, 3]);
        let mut other = StepInputs::prompt(&model.program, &model.plan, &[5, 6]);
        other.seqs[0].pages.iter_mut().for_each(|pages| *pages = vec![7].into());
        other.seqs[0].slot = Some(SlotUse::in_place(1, 0));
        let alone = run.step(&inputs).unwrap();
        inputs.tokens.append(&mut other.tokens);
        inputs.positions.append(&mut other.positions);
        inputs.seqs.append(&mut other.seqs);
        let sample =
            || Want::Sample(Box::new(SampleInputs { sampling: Sampling::greedy(), ..SampleInputs::default() }));
        inputs.want.extend([3, 4].map(|row| ffai_program::Wanted { row, what: sample() }));
        let outputs = run.step(&inputs).unwrap();
        assert_eq!(outputs[..3], alone[..]);
        assert_eq!(outputs[3..], [Output::NotFinite, Output::NotFinite]);
    }
}

#[test]
fn a_row_that_is_no_number_harms_no_row_of_its_sequence_before_it() {
    let model = broken();
    let (mut fine, mut rng) = (vec![1; 70], Rng(4));
    fine.fill_with(|| 6 + rng.below(60) as u32);
    for level in levels() {
        let mut run = model.compile(&cpu(level, 2));
        let expected = run.step(&StepInputs::prompt(&model.program, &model.plan, &fine)).unwrap();
        for bad in [0, 1, 30, 50, 69] {
            let mut tokens = fine.clone();
            tokens[bad] = 5;
            let got = run.step(&StepInputs::prompt(&model.program, &model.plan, &tokens)).unwrap();
            assert!(got[..bad] == expected[..bad], "before row {bad}, {level}");
        }
    }
}

#[test]
fn greedy_sampling_takes_the_best_logit() {
    let model = Model::new(F32);
    let mut run = model.compile(&cpu(Level::best(), 2));
    let mut inputs = StepInputs::prompt(&model.program, &model.plan, &[1, 2, 3]);
    let logits = run.step(&inputs).unwrap();
    let sampling = Sampling::greedy();
    inputs.want.iter_mut().for_each(|want| {
        want.what = Want::Sample(Box::new(SampleInputs { sampling: sampling.clone(), ..SampleInputs::default() }));
    });
    for (token, logits) in run.step(&inputs).unwrap().iter().zip(&logits) {
        let Output::Logits(logits) = logits else { panic!("logits were wanted") };
        let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
        assert_eq!(*token, Output::Token(best as u32));
    }
}

#[test]
fn inputs_that_do_not_fit_are_errors() {
    let model = Model::new(F32);
    let mut run = model.compile(&cpu(Level::best(), 1));
    let inputs = StepInputs::prompt(&model.program, &model.plan, &[1, 2, 97]);
    assert_eq!(run.step(&inputs), Err(StepError::Token { token: 97, vocab: 97 }));
    assert!(matches!(run.step(&StepInputs::default()), Err(StepError::Inputs { .. })));
}

#[test]
fn a_weight_that_is_missing_is_an_error_with_its_role() {
    let mut model = Model::new(F32);
    model.weights.0.remove("layers.1.mlp.up");
    let result = cpu(Level::best(), 1).compile(&model.program, &model.weights, &model.plan, &mut |_| {});
    assert_eq!(result.err().unwrap().to_string(), "no tensor for role layers.1.mlp.up");
}

#[test]
fn the_name_says_level_and_threads() {
    assert_eq!(cpu(Level::Scalar, 1).name(), "cpu (scalar, 1 thread)");
    assert_eq!(cpu(Level::Scalar, 3).name(), "cpu (scalar, 3 threads)");
}

#[test]
fn a_number_of_threads_that_makes_no_sense_is_an_error() {
    for threads in [0, Cpu::MOST_THREADS + 1] {
        let result = Cpu::new(CpuOptions { threads: Some(threads), ..CpuOptions::default() });
        assert!(matches!(result, Err(CpuError::Threads { .. })));
    }
}

#[test]
fn what_is_written_in_a_trace_is_what_the_ops_after_it_read() {
    let model = Model::new(F32);
    let logits = |backend: &dyn Backend, factor: f32| {
        let mut run = backend.compile(&model.program, &model.weights, &model.plan, &mut |_| {}).unwrap();
        let mut inputs = StepInputs::prompt(&model.program, &model.plan, &[1, 2, 3]);
        inputs.want = vec![ffai_program::Wanted { row: 2, what: Want::Logits }];
        let mut change = |written: Traced<'_>| written.data.iter_mut().for_each(|value| *value *= factor);
        match run.step_traced(&inputs, Some(&mut change)).unwrap().remove(0) {
            Output::Logits(logits) => logits,
            other => panic!("logits were wanted, not {other:?}"),
        }
    };
    let cpu = cpu_with(Level::best(), 2, Some(Float::F32));
    let (as_it_is, changed) = (logits(&Reference, 1.0), logits(&Reference, 0.7));
    assert!(relative_error(&changed, &as_it_is) > 0.1);
    assert!(relative_error(&logits(&cpu, 0.7), &changed) < 1e-3);
}
