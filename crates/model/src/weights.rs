//! Roles to tensors: which weights a spec needs, and the tensors of a checkpoint bound to them.

use std::{collections::HashMap, fmt};

use ffai_checkpoint::{Checkpoint, Tensor};

use crate::{
    Attention, CausalConv, DeltaNet, Keys, LatentAttention, LatentMatrices, Ledger, Mamba1, Mamba2, Mixer, Mlp, Moe,
    Norm, QkNorm, Result, RgLru, ShortConv, Spec, Sublayer, check::Binder,
};

/// The shape a role asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `[rows, cols]`, that is `[out, in]`; any storage.
    Matrix {
        /// Width of the output.
        rows: usize,
        /// Width of the input.
        cols: usize,
    },
    /// `[len]`; a plain float type.
    Vector {
        /// Its length.
        len: usize,
    },
}

/// A weight that a spec needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightDecl {
    /// Its role, such as `layers.3.attn.q`.
    pub role: String,
    /// Its shape.
    pub shape: Shape,
}

impl Shape {
    /// Rows and columns; a vector is one row.
    pub fn dims(self) -> (usize, usize) {
        match self {
            Shape::Matrix { rows, cols } => (rows, cols),
            Shape::Vector { len } => (1, len),
        }
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shape::Matrix { rows, cols } => write!(f, "[{rows}, {cols}]"),
            Shape::Vector { len } => write!(f, "[{len}]"),
        }
    }
}

impl Spec {
    /// Every weight the spec needs, in the order of use. A tied head is not listed: it is the embedding.
    pub fn weights(&self) -> Vec<WeightDecl> {
        let mut list = Decls(Vec::new());
        list.matrix("embed".to_owned(), self.vocab, self.hidden);
        if let Some(per_layer) = self.per_layer {
            let all = self.layers.len() * per_layer.width;
            list.matrix("per_layer.embed".to_owned(), self.vocab, all);
            list.matrix("per_layer.project".to_owned(), all, self.hidden);
            list.norm("per_layer.norm".to_owned(), per_layer.width, Some(per_layer.norm));
        }
        for (i, layer) in self.layers.iter().enumerate() {
            for sublayer in &layer.sublayers {
                list.sublayer(i, self.hidden, sublayer);
            }
            if layer.scaled {
                list.vector(format!("layers.{i}.scale"), 1);
            }
        }
        list.norm("final_norm".to_owned(), self.hidden, Some(self.final_norm));
        if self.head.bias {
            list.vector("head_bias".to_owned(), self.vocab);
        }
        if !self.head.tied {
            list.matrix("head".to_owned(), self.vocab, self.hidden);
        }
        list.0
    }
}

struct Decls(Vec<WeightDecl>);

impl Decls {
    fn matrix(&mut self, role: String, rows: usize, cols: usize) {
        self.0.push(WeightDecl { role, shape: Shape::Matrix { rows, cols } });
    }

    fn vector(&mut self, role: String, len: usize) {
        self.0.push(WeightDecl { role, shape: Shape::Vector { len } });
    }

    fn norm(&mut self, role: String, len: usize, norm: Option<Norm>) {
        let Some(norm) = norm else { return };
        if norm.has_bias() {
            self.vector(format!("{role}_bias"), len);
        }
        self.vector(role, len);
    }

    fn linear(&mut self, role: String, rows: usize, cols: usize, bias: bool) {
        if bias {
            self.vector(format!("{role}_bias"), rows);
        }
        self.matrix(role, rows, cols);
    }

    fn sublayer(&mut self, layer: usize, hidden: usize, sublayer: &Sublayer) {
        for branch in &sublayer.branches {
            let at = format!("layers.{layer}.{}", branch.mixer.key());
            self.norm(format!("{at}.norm"), hidden, branch.pre);
            match &branch.mixer {
                Mixer::Attention(attention) => self.attention(&at, hidden, attention),
                Mixer::LatentAttention(attention) => self.latent(&at, hidden, attention),
                Mixer::Mlp(mlp) => self.mlp(&at, hidden, mlp),
                Mixer::Moe(moe) => self.moe(&at, hidden, moe),
                Mixer::PerLayerInput(input) => {
                    self.matrix(format!("{at}.gate"), input.width, hidden);
                    self.matrix(format!("{at}.down"), hidden, input.width);
                }
                Mixer::ShortConv(conv) => self.short_conv(&at, hidden, conv),
                Mixer::Mamba1(mamba) => self.mamba1(&at, hidden, mamba),
                Mixer::Mamba2(mamba) => self.mamba2(&at, hidden, mamba),
                Mixer::DeltaNet(net) => self.delta(&at, hidden, net),
                Mixer::RgLru(lru) => self.lru(&at, hidden, lru),
            }
            self.norm(format!("{at}.post_norm"), hidden, branch.post);
        }
        if let Some(first) = sublayer.branches.first() {
            self.norm(format!("layers.{layer}.{}.sum_norm", first.mixer.key()), hidden, sublayer.post);
        }
    }

    fn attention(&mut self, at: &str, hidden: usize, a: &Attention) {
        let (queries, keys) = (a.heads * a.head_dim, a.kv_heads * a.head_dim);
        self.linear(format!("{at}.q"), queries, hidden, a.qkv_bias);
        if a.gated {
            self.matrix(format!("{at}.gate"), queries, hidden);
        }
        let (own_keys, own_values) = (!matches!(a.keys, Keys::OfLayer(_)), a.keys == Keys::Own);
        if own_keys {
            self.linear(format!("{at}.k"), keys, hidden, a.qkv_bias);
        }
        if own_values {
            self.linear(format!("{at}.v"), keys, hidden, a.qkv_bias);
        }
        if let Some(QkNorm { norm, whole }) = a.qk_norm {
            self.norm(format!("{at}.q_norm"), if whole { queries } else { a.head_dim }, Some(norm));
            let keys = if whole { keys } else { a.head_dim };
            self.norm(format!("{at}.k_norm"), keys, Some(norm).filter(|_| own_keys));
        }
        self.norm(format!("{at}.v_norm"), a.head_dim, a.v_norm);
        if a.sinks {
            self.vector(format!("{at}.sinks"), a.heads);
        }
        self.linear(format!("{at}.o"), hidden, queries, a.out_bias);
    }

    fn latent(&mut self, at: &str, hidden: usize, a: &LatentAttention) {
        let queries = a.heads * (a.unturned + a.turned);
        match a.q_rank {
            Some(rank) => {
                self.linear(format!("{at}.q_a"), rank, hidden, a.bias);
                self.norm(format!("{at}.q_a_norm"), rank, Some(a.norm));
                self.matrix(format!("{at}.q_b"), queries, rank);
            }
            None => self.matrix(format!("{at}.q"), queries, hidden),
        }
        self.linear(format!("{at}.kv_a"), a.latent + a.turned, hidden, a.bias);
        self.norm(format!("{at}.kv_a_norm"), a.latent, Some(a.norm));
        match a.matrices {
            LatentMatrices::Joint => self.matrix(format!("{at}.kv_b"), a.heads * (a.unturned + a.value), a.latent),
            LatentMatrices::Split => {
                self.matrix(format!("{at}.k_b"), a.heads * a.latent, a.unturned);
                self.matrix(format!("{at}.v_b"), a.heads * a.value, a.latent);
            }
        }
        self.linear(format!("{at}.o"), hidden, a.heads * a.value, a.bias);
    }

    /// The taps of each channel.
    fn conv(&mut self, role: &str, channels: usize, conv: CausalConv) {
        self.linear(role.to_owned(), channels, conv.kernel, conv.bias);
    }

    fn short_conv(&mut self, at: &str, hidden: usize, c: &ShortConv) {
        for part in ["b", "c", "x"] {
            self.linear(format!("{at}.{part}"), c.inner, hidden, c.bias);
        }
        self.conv(&format!("{at}.taps"), c.inner, c.conv);
        self.linear(format!("{at}.o"), hidden, c.inner, c.bias);
    }

    fn mamba1(&mut self, at: &str, hidden: usize, m: &Mamba1) {
        self.linear(format!("{at}.x"), m.inner, hidden, m.bias);
        self.linear(format!("{at}.z"), m.inner, hidden, m.bias);
        self.conv(&format!("{at}.taps"), m.inner, m.conv);
        for (part, width) in [("dt_low", m.dt_rank), ("b", m.state), ("c", m.state)] {
            self.matrix(format!("{at}.{part}"), width, m.inner);
            self.norm(format!("{at}.{part}_norm"), width, m.norm);
        }
        self.linear(format!("{at}.dt"), m.inner, m.dt_rank, true);
        self.matrix(format!("{at}.decay"), m.inner, m.state);
        self.vector(format!("{at}.d"), m.inner);
        self.linear(format!("{at}.o"), hidden, m.inner, m.bias);
    }

    fn mamba2(&mut self, at: &str, hidden: usize, m: &Mamba2) {
        for (part, width) in [("z", m.inner()), ("xbc", m.conv_width()), ("dt", m.heads)] {
            self.linear(format!("{at}.{part}"), width, hidden, m.bias);
        }
        self.conv(&format!("{at}.taps"), m.conv_width(), m.conv);
        self.vector(format!("{at}.decay"), m.heads);
        self.vector(format!("{at}.step"), m.heads);
        self.vector(format!("{at}.d"), if m.d_per_channel { m.inner() } else { m.heads });
        self.norm(format!("{at}.state_norm"), m.inner(), m.norm.map(|n| n.norm));
        self.linear(format!("{at}.o"), hidden, m.inner(), m.out_bias);
    }

    fn delta(&mut self, at: &str, hidden: usize, d: &DeltaNet) {
        let (keys, values) = d.widths();
        let heads = d.v_heads;
        for (part, width) in [("q", keys), ("k", keys), ("v", values), ("z", values), ("b", heads), ("a", heads)] {
            self.matrix(format!("{at}.{part}"), width, hidden);
        }
        for (part, width) in [("q", keys), ("k", keys), ("v", values)] {
            self.conv(&format!("{at}.{part}_taps"), width, d.conv);
        }
        self.vector(format!("{at}.decay"), heads);
        self.vector(format!("{at}.step"), heads);
        self.norm(format!("{at}.state_norm"), d.v_dim, Some(d.norm));
        self.matrix(format!("{at}.o"), hidden, values);
    }

    fn lru(&mut self, at: &str, hidden: usize, l: &RgLru) {
        let inner = l.inner();
        for part in ["x", "y"] {
            self.linear(format!("{at}.{part}"), inner, hidden, true);
        }
        self.conv(&format!("{at}.taps"), inner, l.conv);
        for part in ["input", "gate"] {
            self.linear(format!("{at}.{part}"), inner, l.head_dim, true);
        }
        self.vector(format!("{at}.decay"), inner);
        self.linear(format!("{at}.o"), hidden, inner, true);
    }

    fn mlp(&mut self, at: &str, hidden: usize, m: &Mlp) {
        if m.gated {
            self.linear(format!("{at}.gate"), m.inner, hidden, m.bias);
        }
        self.linear(format!("{at}.up"), m.inner, hidden, m.bias);
        self.linear(format!("{at}.down"), hidden, m.inner, m.bias);
    }

    fn moe(&mut self, at: &str, hidden: usize, m: &Moe) {
        self.norm(format!("{at}.router_norm"), hidden, m.router.norm);
        self.linear(format!("{at}.router"), m.experts, hidden, m.router.bias);
        if m.router.correction {
            self.vector(format!("{at}.correction"), m.experts);
        }
        if m.router.factors {
            self.vector(format!("{at}.factors"), m.experts);
        }
        let width = m.latent.map_or(hidden, |latent| latent.width);
        if let Some(latent) = m.latent {
            self.linear(format!("{at}.latent_in"), width, hidden, latent.bias);
        }
        for e in 0..m.experts {
            self.mlp(&format!("{at}.experts.{e}"), width, &m.expert);
        }
        if let Some(latent) = m.latent {
            self.linear(format!("{at}.latent_out"), hidden, width, latent.bias);
        }
        if let Some(shared) = &m.shared {
            if shared.gated {
                self.matrix(format!("{at}.shared_gate"), 1, hidden);
            }
            self.mlp(&format!("{at}.shared"), hidden, &shared.mlp);
        }
    }
}

/// The weights of a spec, bound to the tensors of a checkpoint. Tensors stay in the mapped files until a backend reads them.
#[derive(Clone, Debug)]
pub struct Weights {
    tensors: Vec<(String, Tensor)>,
    index: HashMap<String, usize>,
    ledger: Ledger,
}

impl Weights {
    /// Finds the tensor for each role and accounts for every other tensor of the checkpoint.
    ///
    /// # Errors
    /// A tensor that is missing, misshapen, oddly typed, unread, or quantized otherwise than an entry of its own in the config
    /// says; each names file, tensor, expected and got.
    pub fn bind(spec: &Spec, checkpoint: &Checkpoint) -> Result<Weights> {
        let mut binder = Binder::new(spec, checkpoint)?;
        let mut tensors = Vec::new();
        for decl in spec.weights() {
            let tensor = binder.bind(&decl)?;
            tensors.push((decl.role, tensor));
        }
        let index = tensors.iter().enumerate().map(|(i, (role, _))| (role.clone(), i)).collect();
        Ok(Weights { tensors, index, ledger: binder.finish()? })
    }

    /// The tensor that plays `role`.
    pub fn get(&self, role: &str) -> Option<&Tensor> {
        self.index.get(role).map(|&i| &self.tensors[i].1)
    }

    /// Roles and tensors, in the order of use.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(role, tensor)| (role.as_str(), tensor))
    }

    /// How many weights there are.
    pub fn len(&self) -> usize {
        self.tensors.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Bytes of all weights as stored, scales and biases counted.
    pub fn bytes(&self) -> u64 {
        self.tensors.iter().map(|(_, tensor)| tensor.bytes_len() as u64).sum()
    }

    /// What became of every tensor of the checkpoint.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }
}
