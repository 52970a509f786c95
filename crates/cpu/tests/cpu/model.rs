//! Random models small enough for many runs: one of attention with and without a window and sinks, latent attention, MLPs and a mixture;
//! one of everything with a state.

use ffai_checkpoint::{Float, Storage, Tensor};
use ffai_cpu::Cpu;
use ffai_model::{
    Activation, Attention, CausalConv, DeltaNet, Groups, Head, HeadOrder, Latent, LatentAttention, LatentMatrices,
    Layer, Mamba1, Mamba2, Mixer, Mlp, Moe, Norm, Pairing, QkNorm, RgLru, Rope, Router, Routing, Score, Shape, Shared,
    ShortConv, Spec, StateNorm,
};
use ffai_program::conform::{Bag, Rng, random_tensor};
use ffai_program::{
    Backend, Executable, Output, Plan, Program, Rounding, SeqStep, SlotUse, StepInputs, Want, Wanted, lower,
};

pub(crate) const VOCAB: usize = 97;
/// Tokens of the longest sequence.
pub(crate) const CONTEXT: usize = 160;

/// The program and its weights.
pub(crate) struct Model {
    pub(crate) program: Program,
    pub(crate) weights: Bag,
    pub(crate) plan: Plan,
}

/// A sequence under way: its tokens, how many have run, its pages.
pub(crate) struct Sequence {
    pub(crate) tokens: Vec<u32>,
    pub(crate) past: usize,
    pub(crate) pages: Vec<u32>,
    /// Which of the sequences it is: its state goes from one of two slots to the other.
    number: u32,
    /// Where its state is.
    pub(crate) state: Option<u32>,
}

impl Sequence {
    fn slot(&self) -> SlotUse {
        let first = 2 * self.number;
        SlotUse { read: self.state, write: if self.state == Some(first) { first + 1 } else { first } }
    }
}

impl Model {
    /// Attention and MLPs, matrices in `storage`; the inner width is more than a panel of columns.
    pub(crate) fn new(storage: Storage) -> Model {
        Model::of(&spec(attentions()), storage)
    }

    /// Mixers with a state and an attention.
    pub(crate) fn recurrent(storage: Storage) -> Model {
        Model::of(&spec(recurrences()), storage)
    }

    fn of(spec: &Spec, storage: Storage) -> Model {
        let mut rng = Rng(11);
        let mut weights = Bag::default();
        for decl in spec.weights() {
            let small = Storage::Dense(Float::F32);
            let tensor = match decl.shape {
                _ if decl.role.ends_with(".decay") => decay(&decl.role, decl.shape.dims(), &mut rng),
                Shape::Matrix { rows, cols } if cols < 32 => random_tensor(&decl.role, small, rows, cols, &mut rng),
                Shape::Matrix { rows, cols } => random_tensor(&decl.role, storage, rows, cols, &mut rng),
                Shape::Vector { len } => random_tensor(&decl.role, Storage::Dense(Float::BF16), 1, len, &mut rng),
            };
            weights.0.insert(decl.role, tensor);
        }
        let program = lower(spec);
        let plan = Plan::new(&program, 3, CONTEXT, 3 * CONTEXT);
        let pages = vec![3 * CONTEXT / 16; program.states.len()];
        let slots = if program.slots.is_empty() { 0 } else { 6 };
        Model { plan: Plan { wanted: 3 * CONTEXT, page_tokens: 16, pages, slots, ..plan }, program, weights }
    }

    /// The same with results that do not depend on how tokens are cut into steps.
    pub(crate) fn deterministic(mut self) -> Model {
        self.plan.deterministic = true;
        self
    }

    /// The same with activations rounded where there are kernels for it.
    pub(crate) fn rounded(mut self, rounding: Rounding) -> Model {
        self.plan.rounding = rounding;
        self
    }

    pub(crate) fn compile(&self, cpu: &Cpu) -> Box<dyn Executable> {
        cpu.compile(&self.program, &self.weights, &self.plan, &mut |_| {}).expect("a program that compiles")
    }

    /// A sequence on every third page, from page `n`.
    pub(crate) fn sequence(&self, n: usize, tokens: Vec<u32>) -> Sequence {
        let pages = (0..CONTEXT / self.plan.page_tokens).map(|p| (3 * p + n) as u32).collect();
        Sequence { tokens, past: 0, pages, number: n as u32, state: None }
    }

    /// A step of the next `rows` tokens of each sequence, with the logits of each row wanted.
    pub(crate) fn inputs(&self, seqs: &mut [(&mut Sequence, usize)]) -> StepInputs {
        let mut inputs = StepInputs::default();
        for (seq, rows) in seqs.iter_mut().filter(|(_, rows)| *rows > 0) {
            let taken = seq.past..seq.past + *rows;
            inputs.positions.extend(taken.clone().map(|p| p as u32));
            inputs.tokens.extend(&seq.tokens[taken]);
            let pages = vec![seq.pages.clone().into(); self.program.states.len()];
            let slot = (self.plan.slots > 0).then(|| seq.slot());
            inputs.seqs.push(SeqStep { rows: *rows, past: seq.past, pages, length_class: 0, slot });
            (seq.past, seq.state) = (seq.past + *rows, Some(seq.slot().write));
        }
        inputs.want = (0..inputs.rows()).map(|row| Wanted { row, what: Want::Logits }).collect();
        inputs
    }

    /// The next `rows` tokens of each sequence in one step; gives the logits of each row, as bits.
    pub(crate) fn step(&self, run: &mut dyn Executable, seqs: &mut [(&mut Sequence, usize)]) -> Vec<Vec<Vec<u32>>> {
        let mut outputs = run.step(&self.inputs(seqs)).expect("a step that runs").into_iter();
        seqs.iter().map(|(_, rows)| outputs.by_ref().take(*rows).map(bits).collect()).collect()
    }
}

fn bits(output: Output) -> Vec<u32> {
    match output {
        Output::Logits(logits) => logits.into_iter().map(f32::to_bits).collect(),
        other => panic!("logits were wanted, not {other:?}"),
    }
}

fn spec(layers: Vec<Layer>) -> Spec {
    Spec {
        family: "test",
        hidden: 256,
        vocab: VOCAB,
        context: CONTEXT,
        embed_scale: 1.0,
        per_layer: None,
        ropes: vec![Rope::fixed(16, Pairing::Half, (0..8).map(|i| 0.5f32.powi(i)).collect(), 1.0)],
        layers,
        final_norm: Norm::rms(1e-5),
        head: Head { tied: false, bias: false, scale: 1.0, cap: None },
    }
}

fn attention(window: Option<usize>, mixer: Mixer) -> Layer {
    let norm = Norm::rms(1e-5);
    let attention = Attention {
        heads: 16,
        kv_heads: 2,
        head_dim: 16,
        qkv_bias: false,
        gated: window.is_some(),
        out_bias: true,
        keys: ffai_model::Keys::Own,
        v_norm: None,
        qk_norm: Some(QkNorm { norm, whole: false }),
        rope: Some(0),
        growth: None,
        cap: None,
        scale: 0.3,
        window,
        sinks: window.is_some(),
    };
    Layer::pre_norm(norm, [attention.into(), mixer])
}

fn mlp() -> Mlp {
    Mlp { inner: 768, act: Activation::Silu, gated: true, bias: true }
}

fn attentions() -> Vec<Layer> {
    let norm = Norm::rms(1e-5);
    let latent = LatentAttention {
        heads: 16,
        q_rank: None,
        latent: 256,
        unturned: 48,
        turned: 16,
        value: 16,
        bias: false,
        norm,
        rope: 0,
        scale: 0.2,
        matrices: LatentMatrices::Joint,
    };
    vec![
        attention(None, mlp().into()),
        attention(Some(21), mlp().into()),
        Layer::pre_norm(norm, [latent.into(), mlp().into()]),
        attention(None, mixture().into()),
    ]
}

fn recurrences() -> Vec<Layer> {
    let norm = Norm::rms(1e-5);
    vec![Layer::pre_norm(norm, recurrent()), attention(None, mlp().into()), Layer::pre_norm(norm, [mamba1()])]
}

/// Numbers below 0.
fn decay(role: &str, (rows, cols): (usize, usize), rng: &mut Rng) -> Tensor {
    Tensor::from_f32(role, rows, cols, (0..rows * cols).map(|_| -rng.unit().exp()).collect())
}

/// One of each mixer with a state.
fn recurrent() -> [Mixer; 4] {
    let conv = CausalConv { kernel: 4, bias: true };
    let norm = Norm::rms(1e-5);
    let gated = StateNorm { norm, part: 96, gate_first: true };
    [
        ShortConv { inner: 256, conv: CausalConv { kernel: 3, bias: false }, bias: true }.into(),
        Mamba2 {
            heads: 12,
            head_dim: 64,
            groups: 2,
            state: 128,
            conv,
            bias: false,
            out_bias: true,
            dt_limits: [0.0, 3.0],
            d_per_channel: false,
            norm: Some(gated),
            factors: [1.0, 0.5, 2.0, 1.5, 0.7],
        }
        .into(),
        DeltaNet { k_heads: 2, v_heads: 4, k_dim: 64, v_dim: 64, conv, norm, order: HeadOrder::Grouped }.into(),
        RgLru { heads: 4, head_dim: 64, conv }.into(),
    ]
}

fn mamba1() -> Mixer {
    let conv = CausalConv { kernel: 4, bias: true };
    Mamba1 { inner: 256, state: 8, dt_rank: 256, conv, bias: false, norm: Some(Norm::rms(1e-5)) }.into()
}

/// Nine experts of which each row goes to three, and an MLP with a gate.
fn mixture() -> Moe {
    let mlp = |inner, bias| Mlp { inner, act: Activation::Silu, gated: true, bias };
    let groups = Some(Groups { count: 3, keep: 2 });
    let routing = Routing { score: Score::Sigmoid, groups, normalise: Some(1e-20), scale: 1.5 };
    Moe {
        experts: 9,
        per_token: 3,
        expert: Mlp { act: Activation::Relu2, gated: false, ..mlp(256, true) },
        router: Router { bias: true, correction: true, routing, ..Router::softmax(true) },
        shared: Some(Shared { mlp: mlp(512, false), gated: true }),
        latent: Some(Latent { width: 256, bias: true }),
    }
}

/// Random tokens.
pub(crate) fn tokens(len: usize, rng: &mut Rng) -> Vec<u32> {
    (0..len).map(|_| rng.below(VOCAB) as u32).collect()
}
