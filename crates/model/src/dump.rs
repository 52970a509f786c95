//! A spec as text: equal layers in one paragraph.

use std::fmt;

use crate::{
    Activation, Attention, Branch, CausalConv, DeltaNet, HeadOrder, Keys, LatentAttention, Layer, Lengths, Mamba1,
    Mamba2, Mixer, Mlp, Moe, Norm, NormKind, RgLru, Rope, Router, Score, ShortConv, Spec,
};

impl fmt::Display for Spec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "family {}: hidden {}, vocab {}, context {}", self.family, self.hidden, self.vocab, self.context)?;
        if self.embed_scale != 1.0 {
            writeln!(f, "embedding times {}", self.embed_scale)?;
        }
        for (i, rope) in self.ropes.iter().enumerate() {
            writeln!(f, "rope {i}: {rope}")?;
        }
        if let Some(p) = self.per_layer {
            let (width, scale) = (p.width, p.scale);
            writeln!(f, "per layer {width}: {scale} * a table + {}", norm(Some(p.norm), "a projection"))?;
        }
        for (first, last, layer) in runs(&self.layers) {
            if first == last {
                writeln!(f, "layer {first}:")?;
            } else {
                writeln!(f, "layers {first} to {last}:")?;
            }
            for sublayer in &layer.sublayers {
                let branches: Vec<String> = sublayer.branches.iter().map(Branch::to_string).collect();
                let sum = branches.join(" + ");
                writeln!(f, "  x += {}", if sublayer.post.is_some() { norm(sublayer.post, &sum) } else { sum })?;
            }
            if layer.scaled {
                writeln!(f, "  x *= a number")?;
            }
        }
        let head = if self.head.tied { "the embedding" } else { "a matrix of its own" };
        write!(f, "logits: {} * {head}", norm(Some(self.final_norm), "x"))?;
        if self.head.bias {
            write!(f, " + bias")?;
        }
        if self.head.scale != 1.0 {
            write!(f, ", times {}", self.head.scale)?;
        }
        if let Some(cap) = self.head.cap {
            write!(f, ", capped at {cap}")?;
        }
        writeln!(f)
    }
}

/// Runs of equal layers, as (first, last, layer).
fn runs(layers: &[Layer]) -> Vec<(usize, usize, &Layer)> {
    let mut runs: Vec<(usize, usize, &Layer)> = Vec::new();
    for (i, layer) in layers.iter().enumerate() {
        match runs.last_mut() {
            Some((_, last, same)) if *same == layer => *last = i,
            _ => runs.push((i, i, layer)),
        }
    }
    runs
}

fn norm(norm: Option<Norm>, x: &str) -> String {
    norm.map_or_else(|| x.to_owned(), |n| format!("{}({x}, {:e})", kind(n), n.eps))
}

fn kind(norm: Norm) -> &'static str {
    match norm.kind {
        NormKind::Rms => "rms",
        NormKind::Layer { bias: false } => "layernorm",
        NormKind::Layer { bias: true } => "layernorm+bias",
    }
}

impl fmt::Display for Branch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let x = norm(self.pre, "x");
        if self.scale != 1.0 {
            write!(f, "{} * ", self.scale)?;
        }
        match &self.mixer {
            Mixer::Attention(a) => write!(f, "{}: {a}", norm(self.post, &format!("attention({x})"))),
            Mixer::LatentAttention(a) => write!(f, "{}: {a}", norm(self.post, &format!("latent attention({x})"))),
            Mixer::Mlp(m) => write!(f, "{}: {m}", norm(self.post, &format!("mlp({x})"))),
            Mixer::Moe(m) => write!(f, "{}: {m}", norm(self.post, &format!("moe({x})"))),
            Mixer::PerLayerInput(p) => {
                let gated = norm(self.post, &format!("input({x})"));
                write!(f, "{gated}: {}-gated input of the layer, {}", p.act, p.width)
            }
            Mixer::ShortConv(c) => write!(f, "{}: {c}", norm(self.post, &format!("short convolution({x})"))),
            Mixer::Mamba1(m) => write!(f, "{}: {m}", norm(self.post, &format!("mamba 1({x})"))),
            Mixer::Mamba2(m) => write!(f, "{}: {m}", norm(self.post, &format!("mamba 2({x})"))),
            Mixer::DeltaNet(d) => write!(f, "{}: {d}", norm(self.post, &format!("delta net({x})"))),
            Mixer::RgLru(l) => write!(f, "{}: {l}", norm(self.post, &format!("linear recurrence({x})"))),
        }
    }
}

impl fmt::Display for Attention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} heads over {} of {}, scale {}", self.heads, self.kv_heads, self.head_dim, self.scale)?;
        match self.rope {
            Some(rope) => write!(f, ", rope {rope}")?,
            None => write!(f, ", no rope")?,
        }
        if let Some(growth) = self.growth {
            write!(f, ", q growing by {} from {}", growth.beta, growth.original)?;
        }
        if let Some(qk) = self.qk_norm {
            let whole = if qk.whole { "whole " } else { "" };
            write!(f, ", {whole}q and k {} {:e}", kind(qk.norm), qk.norm.eps)?;
        }
        match self.keys {
            Keys::Own => {}
            Keys::AreValues => write!(f, ", values are keys")?,
            Keys::OfLayer(layer) => write!(f, ", keys and values of layer {layer}")?,
        }
        if let Some(v_norm) = self.v_norm {
            write!(f, ", v {} {:e}", kind(v_norm), v_norm.eps)?;
        }
        if let Some(cap) = self.cap {
            write!(f, ", scores capped at {cap}")?;
        }
        if let Some(window) = self.window {
            write!(f, ", window {window}")?;
        }
        if self.sinks {
            f.write_str(", sinks")?;
        }
        if self.gated {
            f.write_str(", gated")?;
        }
        f.write_str(match (self.qkv_bias, self.out_bias) {
            (true, true) => ", biases",
            (true, false) => ", q, k and v biases",
            (false, true) => ", output bias",
            (false, false) => "",
        })
    }
}

impl fmt::Display for LatentAttention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (heads, unturned, turned, value) = (self.heads, self.unturned, self.turned, self.value);
        write!(
            f,
            "{heads} heads of {unturned} + {turned}, values of {value}, over {} ({:?})",
            self.latent, self.matrices
        )?;
        if let Some(rank) = self.q_rank {
            write!(f, ", queries through {rank}")?;
        }
        write!(f, ", {} {:e}, scale {}, rope {}", kind(self.norm), self.norm.eps, self.scale, self.rope)?;
        f.write_str(if self.bias { ", biases" } else { "" })
    }
}

impl fmt::Display for CausalConv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} taps{}", self.kernel, if self.bias { " + bias" } else { "" })
    }
}

impl fmt::Display for ShortConv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} channels, {}{}", self.inner, self.conv, if self.bias { ", biases" } else { "" })
    }
}

impl fmt::Display for RgLru {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} heads of {}, {}, GeluTanh-gated, biases", self.heads, self.head_dim, self.conv)
    }
}

impl fmt::Display for Mamba1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} channels of {}, dt through {}, {}", self.inner, self.state, self.dt_rank, self.conv)?;
        if let Some(norm) = self.norm {
            write!(f, ", dt, B and C {} {:e}", kind(norm), norm.eps)?;
        }
        f.write_str(if self.bias { ", biases" } else { "" })
    }
}

impl fmt::Display for Mamba2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} heads of {} x {}, {} groups, {}", self.heads, self.head_dim, self.state, self.groups, self.conv)?;
        if self.dt_limits != [0.0, f32::INFINITY] {
            write!(f, ", dt from {} to {}", self.dt_limits[0], self.dt_limits[1])?;
        }
        if self.d_per_channel {
            write!(f, ", D for each channel")?;
        }
        if self.factors != [1.0; 5] {
            write!(f, ", z, x, B, C and dt times {:?}", self.factors)?;
        }
        match self.norm {
            Some(n) if n.gate_first => write!(f, ", {} {:e} of {} gated", kind(n.norm), n.norm.eps, n.part)?,
            Some(n) => write!(f, ", gated {} {:e} of {}", kind(n.norm), n.norm.eps, n.part)?,
            None => write!(f, ", gated")?,
        }
        f.write_str(if self.bias { ", biases" } else { "" })
    }
}

impl fmt::Display for DeltaNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let order = if self.order == HeadOrder::Tiled { ", key heads tiled" } else { "" };
        write!(
            f,
            "{} key heads of {}, {} value heads of {}{order}, {}, gated {} {:e}",
            self.k_heads,
            self.k_dim,
            self.v_heads,
            self.v_dim,
            self.conv,
            kind(self.norm),
            self.norm.eps
        )
    }
}

impl fmt::Display for Mlp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bias = if self.bias { ", biases" } else { "" };
        let gated = if self.gated { "-gated" } else { "" };
        write!(f, "{}{gated}, inner {}{bias}", self.act, self.inner)
    }
}

impl fmt::Display for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Activation::Silu | Activation::GeluTanh | Activation::Relu2 => write!(f, "{self:?}"),
            Activation::ScaledSilu { factor } => write!(f, "Silu({factor} x)"),
            Activation::ClampedSwiglu { alpha, limit } => write!(f, "Swiglu of {alpha} clamped at {limit}"),
        }
    }
}

impl fmt::Display for Moe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} experts by {}; each {}", self.per_token, self.experts, self.router, self.expert)?;
        if let Some(latent) = self.latent {
            let bias = if latent.bias { ", biases" } else { "" };
            write!(f, " over a product of width {}{bias}", latent.width)?;
        }
        match &self.shared {
            None => Ok(()),
            Some(s) if s.gated => write!(f, "; sigmoid times a shared {}", s.mlp),
            Some(s) => write!(f, "; a shared {}", s.mlp),
        }
    }
}

impl fmt::Display for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.routing.score {
            Score::Softmax => write!(f, "softmax")?,
            Score::Sigmoid => write!(f, "sigmoid")?,
            Score::SparseMixer { jitter } => write!(f, "sparse mixer within {jitter}")?,
        }
        if let Some(own) = self.norm {
            write!(f, " of {}", norm(Some(own), "x"))?;
        }
        if let Some(groups) = self.routing.groups {
            write!(f, " within {} of {} groups", groups.keep, groups.count)?;
        }
        for (there, what) in [(self.bias, "biases"), (self.correction, "corrections"), (self.factors, "factors")] {
            if there {
                write!(f, ", {what}")?;
            }
        }
        match self.routing.normalise {
            Some(0.0) => write!(f, ", gates of sum 1")?,
            Some(eps) => write!(f, ", gates of sum 1 ({eps:e})")?,
            None => {}
        }
        if self.routing.scale != 1.0 {
            write!(f, ", times {}", self.routing.scale)?;
        }
        Ok(())
    }
}

impl fmt::Display for Rope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "width {}, pairs {:?}, ", self.width, self.pairing)?;
        match &self.lengths {
            Lengths::Any(table) => {
                let ends = (table.freqs.first().copied().unwrap_or(0.0), table.freqs.last().copied().unwrap_or(0.0));
                write!(f, "frequencies {} to {:.4e}, factor {}", ends.0, ends.1, table.scale)
            }
            Lengths::Long { original, short, long } => {
                write!(f, "frequencies {:.4e} or, beyond {original} tokens, ", short.freqs.last().unwrap_or(&0.0))?;
                write!(f, "{:.4e}, factor {}", long.freqs.last().unwrap_or(&0.0), short.scale)
            }
            Lengths::Dynamic { base, factor, context } => {
                write!(f, "base {base} growing by {factor} beyond {context} tokens")
            }
        }
    }
}
