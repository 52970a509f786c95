//! `verify` passes what is right and finds what is broken, by name: faults of the kinds that kernels have, put between the
//! verification and a backend that is right.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path as FilePath;

use ffai_checkpoint::{Affine, Float, Hparams, Layout, Storage, Tensor};
use ffai_measure::{Path, RandomWeights, Subject, Verification, VerifyOptions, verify};
use ffai_model::Spec;
use ffai_program::{
    Backend, CompileError, Executable, Op, Output, Plan, Program, Progress, Reference, StepError, StepInputs, Traced,
    WeightSource, lower,
};

fn spec() -> Spec {
    let config = r#"{"model_type": "qwen3", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 96,
        "max_position_embeddings": 256, "tie_word_embeddings": true}"#;
    let hparams = Hparams::from_json(FilePath::new("config.json"), config.as_bytes()).unwrap();
    ffai_model::spec_of(&hparams, Layout::HuggingFace).unwrap()
}

fn tokens() -> Vec<u32> {
    (0..70).map(|i| (i * 37 + i * i) % 96).collect()
}

/// What is broken.
#[derive(Clone)]
enum Fault {
    None,
    /// Changes the tensor of a role.
    Weight(&'static str, fn(&Tensor) -> Tensor),
    /// Changes the program.
    Program(fn(&mut Program)),
    /// Changes each step's inputs.
    Step(fn(&mut StepInputs)),
    /// Changes what each op wrote.
    Output(fn(&mut Traced<'_>)),
}

/// The interpreter with a fault before it.
struct Faulty(Fault);

struct FaultyWeights<'a>(&'a dyn WeightSource, &'a Fault);

struct FaultySteps(Box<dyn Executable>, Fault);

impl Backend for Faulty {
    fn name(&self) -> String {
        "faulty".to_owned()
    }

    fn compile(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
        plan: &Plan,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Box<dyn Executable>, CompileError> {
        let mut program = program.clone();
        if let Fault::Program(change) = &self.0 {
            change(&mut program);
        }
        let inner = Reference.compile(&program, &FaultyWeights(weights, &self.0), plan, progress)?;
        Ok(Box::new(FaultySteps(inner, self.0.clone())))
    }
}

impl WeightSource for FaultyWeights<'_> {
    fn weight(&self, role: &str) -> Option<Tensor> {
        let tensor = self.0.weight(role)?;
        match self.1 {
            Fault::Weight(broken, change) if *broken == role => Some(change(&tensor)),
            _ => Some(tensor),
        }
    }
}

impl Executable for FaultySteps {
    fn step_traced(
        &mut self,
        inputs: &StepInputs,
        mut trace: Option<&mut dyn FnMut(Traced<'_>)>,
    ) -> Result<Vec<Output>, StepError> {
        let mut inputs = inputs.clone();
        match &self.1 {
            Fault::Step(change) => change(&mut inputs),
            Fault::Output(change) => {
                let mut spoil = |mut written: Traced<'_>| {
                    change(&mut written);
                    if let Some(trace) = trace.as_mut() {
                        trace(written);
                    }
                };
                return self.0.step_traced(&inputs, Some(&mut spoil));
            }
            _ => {}
        }
        self.0.step_traced(&inputs, trace)
    }

    fn copy_page(&mut self, group: usize, from: u32, to: u32) {
        self.0.copy_page(group, from, to);
    }
}

fn check(fault: Fault) -> Verification {
    let spec = spec();
    let program = lower(&spec);
    let storage = Storage::Affine(Affine { bits: 4, group: 32, scales: Float::BF16 });
    let weights = RandomWeights::new(spec.weights(), storage, 1);
    let (broken, truth) = (Faulty(fault), Reference);
    let subject =
        |backend| Subject { program: &program, weights: &weights, backend, deterministic: false, rounding: None };
    verify(subject(&broken), subject(&truth), &tokens(), &VerifyOptions::default(), &mut |_, _| {}).unwrap()
}

/// The op that `verify` names, which must have failed the checkpoint.
fn culprit(fault: Fault) -> String {
    let result = check(fault);
    assert!(!result.passed, "the fault was not found: {result:?}");
    result.culprit.unwrap().tag
}

/// The tensor in plain f32, changed.
fn changed(tensor: &Tensor, change: impl Fn(&mut [f32])) -> Tensor {
    let mut values = tensor.to_f32();
    change(&mut values);
    Tensor::from_f32(tensor.name(), tensor.rows(), tensor.cols(), values)
}

#[test]
fn what_is_right_passes_on_every_path() {
    let result = check(Fault::None);
    assert!(result.passed && result.culprit.is_none(), "{result:?}");
    let paths: Vec<Path> = result.agreements.iter().map(|a| a.path).collect();
    assert_eq!(paths, [Path::Prompt, Path::Decode, Path::Batch]);
    assert_eq!(result.agreements[0].positions, 70);
    assert_eq!(result.agreements[1].positions, 16);
}

#[test]
fn a_flipped_scale_is_found() {
    let flip = |t: &Tensor| changed(t, |values| values[64 * 5..64 * 5 + 32].iter_mut().for_each(|v| *v = -*v));
    assert_eq!(culprit(Fault::Weight("layers.1.attn.v", flip)), "L1.attn.qkv");
}

#[test]
fn a_shifted_nibble_is_found() {
    let shift = |t: &Tensor| changed(t, |values| values[..64].rotate_right(1));
    assert_eq!(culprit(Fault::Weight("layers.0.mlp.up", shift)), "L0.mlp.gate_up");
}

#[test]
fn a_wrong_group_size_is_found() {
    // Every second group is read with its neighbour's scale and bias: the values of another group.
    let regroup =
        |t: &Tensor| changed(t, |values| values.chunks_exact_mut(64).for_each(|pair| pair.copy_within(0..32, 32)));
    assert_eq!(culprit(Fault::Weight("layers.1.mlp.down", regroup)), "L1.mlp.down");
}

#[test]
fn a_dropped_norm_is_found() {
    let drop_norm = |program: &mut Program| {
        let op = program.ops.iter_mut().find(|t| t.tag == "L1.mlp.gate_up").unwrap();
        if let Op::GateUp { norm, .. } = &mut op.op {
            *norm = None;
        }
    };
    assert_eq!(culprit(Fault::Program(drop_norm)), "L1.mlp.gate_up");
}

#[test]
fn a_swapped_kv_page_is_found() {
    let swap = |inputs: &mut StepInputs| {
        for seq in inputs.seqs.iter_mut().filter(|s| s.past > 0) {
            seq.pages
                .iter_mut()
                .map(|list| &mut list.pages)
                .filter(|pages| pages.len() > 1)
                .for_each(|pages| pages.swap(0, 1));
        }
    };
    assert_eq!(culprit(Fault::Step(swap)), "L0.attn.attend");
}

#[test]
fn a_wrong_rotation_is_found() {
    let shift = |inputs: &mut StepInputs| inputs.positions.iter_mut().for_each(|p| *p /= 2);
    assert_eq!(culprit(Fault::Step(shift)), "L0.attn.append");
}

#[test]
fn a_fault_of_decoding_alone_is_found_on_that_path() {
    let late = |inputs: &mut StepInputs| {
        if inputs.tokens.len() == 1 {
            inputs.positions[0] += 9;
        }
    };
    let result = check(Fault::Step(late));
    let failed: Vec<Path> = result.agreements.iter().filter(|a| !a.passed).map(|a| a.path).collect();
    assert_eq!(failed, [Path::Decode]);
    assert_eq!(result.culprit.unwrap().tag, "L0.attn.append");
}

/// Every op of the stream a little too large, as rounding might have it, and one more so.
fn swell(written: &mut Traced<'_>, most: f32) {
    let factor = if written.tag == "L1.mlp.down" { most } else { 1.01 };
    written.data.iter_mut().for_each(|value| *value *= factor);
}

#[test]
fn an_op_is_judged_by_its_own_inputs_and_what_all_add_up_to_by_the_logits() {
    let spoilt = check(Fault::Output(|written| swell(written, 1.03)));
    assert_eq!(spoilt.culprit.map(|culprit| culprit.tag).as_deref(), Some("L1.mlp.down"));
    let rounded = check(Fault::Output(|written| swell(written, 1.01)));
    assert_eq!((rounded.passed, rounded.culprit), (false, None));
}

#[test]
fn a_broken_embedding_is_found() {
    let zero = |t: &Tensor| changed(t, |values| values[..64].fill(3.0));
    assert_eq!(culprit(Fault::Weight("embed", zero)), "embed");
}
