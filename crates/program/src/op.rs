//! The ops, and the program that strings them together.
//!
//! All buffers hold f32 rows, `[rows, width]`, as far as a backend lets anyone see; what it keeps inside is its own affair.
//! Ops sit where fusion is natural: the norm before a product, its bias and its residual are fields. A backend that lacks a
//! fusion runs two kernels.

mod heads;
mod slot;

use ffai_model::{Activation, Growth, Rope, Routing, WeightDecl};

pub use heads::{HeadMatrices, Heads};
pub use slot::{DeltaHeads, SlotPart, SlotRef, SsdHeads};

/// A buffer of the program, by index into [`Program::bufs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Buf(pub u32);

/// A weight of the program, by index into [`Program::weights`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct W(pub u32);

/// How many rows a buffer has in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    /// One for each token of the step.
    Step,
    /// One for each row that somebody wants an output of.
    Wanted,
}

/// A buffer's declaration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BufDecl {
    /// For printing and tracing.
    pub name: &'static str,
    /// What its rows are.
    pub rows: Rows,
    /// Elements in a row.
    pub width: usize,
}

/// A norm with its weight.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NormW {
    /// The weight, a vector.
    pub weight: W,
    /// Added to the mean square.
    pub eps: f32,
    /// What is divided by what.
    pub kind: NormWKind,
}

/// The kinds of norms, with the weights that only one of them has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormWKind {
    /// `weight * x / sqrt(mean(x^2) + eps)`.
    Rms,
    /// `weight * y / sqrt(mean(y^2) + eps) + bias` with `y = x - mean(x)`.
    Layer {
        /// A vector as long as the weight.
        bias: Option<W>,
    },
}

/// One matrix of a projection, with its bias and where its product goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proj {
    /// The matrix, `[out.width, x.width]`.
    pub w: W,
    /// Added to each row of the product; `[out.width]`.
    pub bias: Option<W>,
    /// The product.
    pub out: Buf,
}

/// The first matrices of one expert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpertUp {
    /// The matrix under the activation, `[inner, x.width]`.
    pub gate: W,
    /// Its bias.
    pub gate_bias: Option<W>,
    /// The other matrix.
    pub up: Option<W>,
    /// Its bias.
    pub up_bias: Option<W>,
}

/// The last matrix of one expert.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ExpertDown {
    /// The matrix, `[out.width, inner]`.
    pub w: W,
    /// Its bias.
    pub bias: Option<W>,
}

/// Where an attention keeps its keys and values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KvRef {
    /// Index into [`Program::states`].
    pub group: usize,
    /// The layer's index within the group.
    pub layer: usize,
}

/// What a gate is of its logits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gating {
    /// `1 / (1 + exp(-x))`.
    Sigmoid,
    /// `x / (1 + exp(-x))`.
    Silu,
    /// As [`Activation::GeluTanh`].
    GeluTanh,
}

/// A rope, by index into [`Program::ropes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RopeRef(pub usize);

/// What a step does, one after the other. `norm(x)` is the identity where `norm` is none; norms and sums are taken in f32.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// `out[r] = scale * table[token of row r]`.
    Embed {
        /// `[vocab, out.width]`.
        table: W,
        /// Factor on the row.
        scale: f32,
        /// `[Step, hidden]`.
        out: Buf,
    },
    /// `p.out = norm(x) p.w^T + p.bias` for each projection `p`: q, k and v of one input.
    Project {
        /// The input.
        x: Buf,
        /// Norm of the input.
        norm: Option<NormW>,
        /// The products; their storages may differ.
        outs: Vec<Proj>,
    },
    /// `out = add + scale * (norm(x) w^T + bias)`: a product that ends a branch, or the head.
    Linear {
        /// The input.
        x: Buf,
        /// Norm of the input.
        norm: Option<NormW>,
        /// Matrix, bias, destination.
        proj: Proj,
        /// Factor on the product.
        scale: f32,
        /// The residual; may be the destination itself.
        add: Option<Buf>,
    },
    /// `out = act(norm(x) gate^T + gate_bias) * (norm(x) up^T + up_bias)`; without the second factor where there is no `up`.
    GateUp {
        /// The input.
        x: Buf,
        /// Norm of the input.
        norm: Option<NormW>,
        /// The gate's matrix, `[out.width, x.width]`.
        gate: W,
        /// The gate's bias.
        gate_bias: Option<W>,
        /// The other matrix.
        up: Option<W>,
        /// Its bias.
        up_bias: Option<W>,
        /// The activation on the gate.
        act: Activation,
        /// The product.
        out: Buf,
    },
    /// Which experts each row goes to, and with which gates: `out[r] = [ids.., gates..]`, the best first, of equal ones the lower id
    /// first. Ids are whole numbers below `logits.width`, all different, whatever the logits are: what is not a number is worse
    /// than any number. Gates are `factors[id]` times what [`Routing`] says. Computed in f32.
    Route {
        /// `[rows, experts]`.
        logits: Buf,
        /// Added to the scores when experts are chosen; `[experts]`.
        correction: Option<W>,
        /// Factors on the gates; `[experts]`.
        factors: Option<W>,
        /// From logits to choice and gates.
        routing: Routing,
        /// `[rows, 2 * experts of a row]`.
        out: Buf,
    },
    /// `out[r, slot] = act(norm(x[r]) gate_e^T + gate_bias_e) * (norm(x[r]) up_e^T + up_bias_e)` where `e` is the expert in that slot of
    /// row r's routes; without the second factor where there is no `up`. Only the weights of chosen experts are read.
    ExpertsUp {
        /// The input.
        x: Buf,
        /// Norm of the input.
        norm: Option<NormW>,
        /// What [`Op::Route`] wrote.
        routes: Buf,
        /// All experts; they are alike in shape, but not always in storage.
        experts: Vec<ExpertUp>,
        /// The activation.
        act: Activation,
        /// `[rows, experts of a row * inner]`.
        out: Buf,
    },
    /// `out[r] = add[r] + scale * sum over the slots of gate[r, slot] * (x[r, slot] w_e^T + bias_e)` with `e` as above.
    ExpertsDown {
        /// `[rows, experts of a row * inner]`.
        x: Buf,
        /// What [`Op::Route`] wrote.
        routes: Buf,
        /// All experts.
        experts: Vec<ExpertDown>,
        /// Factor on the sum.
        scale: f32,
        /// The residual; may be the destination itself.
        add: Option<Buf>,
        /// `[rows, width]`.
        out: Buf,
    },
    /// `x = f(gate) * x`, in place: element by element, or a gate for each part of the row where it is narrower.
    Gate {
        /// What is gated.
        x: Buf,
        /// The logits of the gates; its width divides that of `x`.
        gate: Buf,
        /// The function.
        by: Gating,
    },
    /// `x[r] = x[r] * by[r, first..first + x.width]`, in place.
    Times {
        /// What is multiplied.
        x: Buf,
        /// The factors of this op and of others.
        by: Buf,
        /// Where its own begin.
        first: usize,
    },
    /// `x = x * by`, in place.
    Scale {
        /// What is multiplied.
        x: Buf,
        /// One number.
        by: W,
    },
    /// `x[r, part] = factor * x[r, part]`, in place, for each part and its factor: the parts make up a row.
    Factors {
        /// What is multiplied.
        x: Buf,
        /// Widths and factors.
        parts: Vec<(usize, f32)>,
    },
    /// `out = add + norm(x)`, each part of a row by itself.
    Norm {
        /// The input.
        x: Buf,
        /// The norm. Its weight is as long as a part, or several: then it is repeated after those.
        norm: NormW,
        /// Width of a part.
        part: usize,
        /// The residual; may be the destination itself.
        add: Option<Buf>,
        /// The sum; may be the input.
        out: Buf,
    },
    /// `x = cap * tanh(x / cap)`, in place.
    SoftCap {
        /// What is capped.
        x: Buf,
        /// The bound that it approaches.
        cap: f32,
    },
    /// Norms each head of q and k, turns both by the row's position, and writes k and v to the row's place in the pages.
    /// q is changed in place; k and v are scratch afterwards.
    RotateAppend {
        /// `[Step, heads.q * dim]`.
        q: Buf,
        /// `[Step, heads.kv * dim]`.
        k: Buf,
        /// `[Step, heads.kv * dim]`.
        v: Buf,
        /// The heads.
        heads: Heads,
        /// Norm of each query head; its weight has length `dim`.
        q_norm: Option<NormW>,
        /// Norm of each key head.
        k_norm: Option<NormW>,
        /// Which rope, if any.
        rope: Option<RopeRef>,
        /// Factor on the turned queries.
        growth: Option<Growth>,
        /// Where the keys and values go.
        kv: KvRef,
    },
    /// Norms each part of `dim` coordinates and turns it by the row's position, in place: queries of keys that are there already.
    Rotate {
        /// `[Step, heads * dim]`.
        x: Buf,
        /// Width of a head.
        dim: usize,
        /// Norm of each head; its weight has length `dim`.
        norm: Option<NormW>,
        /// Which rope, if any.
        rope: Option<RopeRef>,
        /// Factor on what was turned.
        growth: Option<Growth>,
    },
    /// `out[r, h] = [m_h x[r, h, ..a], x[r, h, a..]]`: each head's first coordinates are multiplied with the head's matrix, those
    /// behind them are copied.
    HeadProject {
        /// `[Step, heads * (a + rest)]`.
        x: Buf,
        /// From `a` to `b` coordinates.
        matrices: HeadMatrices,
        /// `[Step, heads * (b + rest)]`.
        out: Buf,
    },
    /// For keys that are a latent vector and a few turned coordinates behind it, shared by all heads: turns the last coordinates
    /// of each query head and of the key by the row's position, norms the latent vector and writes the key to the row's place
    /// in the pages. q is changed in place; the key is scratch afterwards.
    LatentAppend {
        /// `[Step, heads.q * dim]`.
        q: Buf,
        /// `[Step, dim]`: the latent vector, then as many coordinates as the rope is wide.
        key: Buf,
        /// The heads; one of keys.
        heads: Heads,
        /// Norm of the latent vector.
        norm: NormW,
        /// The rope.
        rope: RopeRef,
        /// Where the keys go.
        kv: KvRef,
    },
    /// `out[r, h] = softmax(capped(scale * q[r, h] . keys)) values` over the keys visible to row r: positions `j <= i`, and
    /// `j > i - window` where there is a window, `i` being the row's place in its sequence. A sink `s` of head h adds `exp(s)`
    /// to the softmax's denominator.
    Attend {
        /// `[Step, heads.q * dim]`.
        q: Buf,
        /// The heads.
        heads: Heads,
        /// Where the keys and values are.
        kv: KvRef,
        /// Factor on the scores.
        scale: f32,
        /// Scores `s` become `cap * tanh(s / cap)`.
        cap: Option<f32>,
        /// How many keys a query sees, itself included.
        window: Option<usize>,
        /// A sink for each query head, `[heads.q]`; neither scaled nor capped.
        sinks: Option<W>,
        /// `[Step, heads.q * values]`, `values` being the width of a value: see [`StateGroup::values`].
        out: Buf,
    },
    /// `out[t] = act(bias + sum over j of taps[.., j] * x[t - kernel + 1 + j])`, each channel by itself, over the rows of a sequence
    /// in order. The part of the slot holds the last `kernel - 1` inputs.
    Conv {
        /// `[Step, channels]`.
        x: Buf,
        /// `[channels, kernel]`.
        taps: W,
        /// `[channels]`.
        bias: Option<W>,
        /// The activation, if any.
        act: Option<Activation>,
        /// `[Step, channels]`; not `x`.
        out: Buf,
        /// `(kernel - 1) * channels` numbers.
        state: SlotRef,
    },
    /// A selective scan with a state `h` of `b.width` numbers for each channel, over the rows of a sequence in order: `dt =
    /// softplus(dt)`, `h = exp(dt * decay) * h + dt * x * b`, `out = h . c + d * x` (Gu and Dao, 2023).
    Scan {
        /// `[Step, channels]`.
        x: Buf,
        /// `[Step, channels]`.
        dt: Buf,
        /// `[Step, state]`.
        b: Buf,
        /// `[Step, state]`.
        c: Buf,
        /// `[channels, state]`, all below 0.
        decay: W,
        /// `[channels]`.
        d: W,
        /// `[Step, channels]`.
        out: Buf,
        /// `channels * state` numbers.
        state: SlotRef,
    },
    /// A selective scan with a state `S [dim, state]` for each head, over the rows of a sequence in order: `dt =
    /// clamp(softplus(dt + step))`, `S = exp(dt * decay) * S + dt * x b^T`, `out = S c + d * x` (Dao and Gu, 2024).
    Ssd {
        /// `[Step, heads.width()]`: `x` of all heads, then `b` and `c` of all groups.
        xbc: Buf,
        /// `[Step, heads]`.
        dt: Buf,
        /// Added to `dt`, `[heads]`.
        step: W,
        /// `[heads]`, all below 0.
        decay: W,
        /// `[heads]`, or `[heads * dim]`.
        d: W,
        /// The heads.
        heads: SsdHeads,
        /// Bounds of `dt`.
        limits: [f32; 2],
        /// `[Step, heads * dim]`.
        out: Buf,
        /// [`SsdHeads::kept`] numbers.
        state: SlotRef,
    },
    /// The gated delta rule with a state `S [k_dim, v_dim]` for each value head, over the rows of a sequence in order (Yang et al.,
    /// 2024). With `q` and `k` of each head divided by `sqrt(sum of squares + 1e-6)`, and `q` by `sqrt(k_dim)` too: `S = exp(decay *
    /// softplus(a + step)) * S`, `S = S + k (sigmoid(b) * (v - S^T k))^T`, `out = S^T q`.
    Delta {
        /// `[Step, heads.k * k_dim]`.
        q: Buf,
        /// `[Step, heads.k * k_dim]`.
        k: Buf,
        /// `[Step, heads.v * v_dim]`.
        v: Buf,
        /// `[Step, heads.v]`.
        b: Buf,
        /// `[Step, heads.v]`.
        a: Buf,
        /// Added to `a`, `[heads.v]`.
        step: W,
        /// `[heads.v]`, all below 0.
        decay: W,
        /// The heads.
        heads: DeltaHeads,
        /// `[Step, heads.v * v_dim]`.
        out: Buf,
        /// [`DeltaHeads::kept`] numbers.
        state: SlotRef,
    },
    /// A linear recurrence with a state of one number for each channel, over the rows of a sequence in order (De et al., 2024): `a =
    /// exp(decay * sigmoid(gate + gate_bias))`, `h = a * h + sqrt(1 - a^2) * x * sigmoid(input + input_bias)`, `out = h`. At position 0
    /// `h` is the gated `x` itself.
    Lru {
        /// `[Step, channels]`.
        x: Buf,
        /// Logits of the gate on the input, `[Step, channels]`.
        input: Buf,
        /// Logits of the gate on the decay, `[Step, channels]`.
        gate: Buf,
        /// `[channels]`.
        input_bias: W,
        /// `[channels]`.
        gate_bias: W,
        /// `[channels]`, all below 0.
        decay: W,
        /// `[Step, channels]`.
        out: Buf,
        /// `channels` numbers.
        state: SlotRef,
    },
    /// `out[i] = x[the i-th wanted row]`.
    Gather {
        /// `[Step, width]`.
        x: Buf,
        /// `[Wanted, width]`.
        out: Buf,
    },
}

/// An op with the name that traces and errors use: `L3.attn.qkv`.
#[derive(Clone, Debug, PartialEq)]
pub struct Tagged {
    /// The name.
    pub tag: String,
    /// The op.
    pub op: Op,
}

/// Where the values of keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Values {
    /// Beside the keys, as wide as those.
    Own,
    /// They are the first coordinates of the keys, so many of them: latent attention.
    OfKeys(usize),
}

/// State that a sequence carries from step to step. Layers with equal state share one table of pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateGroup {
    /// Key and value heads.
    pub kv_heads: usize,
    /// Width of a key.
    pub dim: usize,
    /// Where the values are.
    pub values: Values,
    /// The window of the attentions in the group; keys behind it are never read again.
    pub window: Option<usize>,
    /// How many layers are in the group.
    pub layers: usize,
}

/// A model, lowered: what one step does.
#[derive(Clone, Debug, PartialEq)]
pub struct Program {
    /// Buffers.
    pub bufs: Vec<BufDecl>,
    /// Weights by role, in the order of first use.
    pub weights: Vec<WeightDecl>,
    /// Rope tables.
    pub ropes: Vec<Rope>,
    /// What a sequence carries along, more of it with each token.
    pub states: Vec<StateGroup>,
    /// What a sequence carries along, always as much: the parts of a slot.
    pub slots: Vec<SlotPart>,
    /// The ops, in order.
    pub ops: Vec<Tagged>,
    /// The buffer that holds the logits, `[Wanted, vocab]`.
    pub logits: Buf,
    /// Token ids are below it. The width of the logits is that of their buffer.
    pub vocab: usize,
    /// Longest sequence the model was made for.
    pub context: usize,
}

impl Program {
    /// A buffer's declaration.
    pub fn buf(&self, buf: Buf) -> &BufDecl {
        &self.bufs[buf.0 as usize]
    }

    /// A weight's declaration.
    pub fn weight(&self, w: W) -> &WeightDecl {
        &self.weights[w.0 as usize]
    }

    /// f32 in a slot; 0 where sequences need none.
    pub fn slot_width(&self) -> usize {
        self.slots.iter().map(|part| part.width).sum()
    }

    /// The class of a sequence of at most `tokens` tokens, for the choice of rope tables: see [`Rope::length_class`].
    pub fn length_class(&self, tokens: usize) -> usize {
        self.ropes.iter().map(|rope| rope.length_class(tokens)).max().unwrap_or(0)
    }
}

impl StateGroup {
    /// The first token that the row at `place` sees: all before it are behind the window.
    pub fn first_seen(&self, place: usize) -> usize {
        self.window.map_or(0, |window| (place + 1).saturating_sub(window))
    }

    /// Width of a value.
    pub fn value_dim(&self) -> usize {
        match self.values {
            Values::Own => self.dim,
            Values::OfKeys(width) => width,
        }
    }
}

impl Op {
    /// The buffers an op writes, which is what a trace shows of it.
    pub fn outputs(&self) -> Vec<Buf> {
        match self {
            Op::Embed { out, .. }
            | Op::GateUp { out, .. }
            | Op::Norm { out, .. }
            | Op::HeadProject { out, .. }
            | Op::Attend { out, .. }
            | Op::Route { out, .. }
            | Op::ExpertsUp { out, .. }
            | Op::ExpertsDown { out, .. }
            | Op::Conv { out, .. }
            | Op::Scan { out, .. }
            | Op::Ssd { out, .. }
            | Op::Delta { out, .. }
            | Op::Lru { out, .. }
            | Op::Gather { out, .. } => vec![*out],
            Op::SoftCap { x, .. }
            | Op::Gate { x, .. }
            | Op::Times { x, .. }
            | Op::Factors { x, .. }
            | Op::Scale { x, .. }
            | Op::Rotate { x, .. } => vec![*x],
            Op::Project { outs, .. } => outs.iter().map(|p| p.out).collect(),
            Op::Linear { proj, .. } => vec![proj.out],
            Op::RotateAppend { q, .. } | Op::LatentAppend { q, .. } => vec![*q],
        }
    }
}
