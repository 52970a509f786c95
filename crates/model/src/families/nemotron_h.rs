//! Nemotron H and Nemotron 3: a scan, attention without positions, an MLP or a mixture, one in each layer.
//! Reference: transformers `modeling_nemotron_h.py`.

use ffai_checkpoint::Hparams;

use super::deepseek::{self, Mixture};
use super::dims::{MOST, size};
use super::ssd::{self, Kind};
use super::{Defaults, Dims, mamba2};
use crate::names::{
    Row,
    Source::{Stack, Whole},
};
use crate::{Activation, Attention, Latent, Layer, Mixer, Mlp, Moe, Result, Shared, Spec};

const UP: &[&str] = &["layers.{i}.moe.experts.{e}.up"];
const DOWN: &[&str] = &["layers.{i}.moe.experts.{e}.down"];

pub(super) const HF: &[&[Row]] = &[
    mamba2::NAMES,
    &[
        ("layers.{i}.attn.norm", Whole("backbone.layers.{i}.norm.weight")),
        ("layers.{i}.attn.q", Whole("backbone.layers.{i}.mixer.q_proj.weight")),
        ("layers.{i}.attn.k", Whole("backbone.layers.{i}.mixer.k_proj.weight")),
        ("layers.{i}.attn.v", Whole("backbone.layers.{i}.mixer.v_proj.weight")),
        ("layers.{i}.attn.o", Whole("backbone.layers.{i}.mixer.o_proj.weight")),
        ("layers.{i}.mlp.norm", Whole("backbone.layers.{i}.norm.weight")),
        ("layers.{i}.mlp.up", Whole("backbone.layers.{i}.mixer.up_proj.weight")),
        ("layers.{i}.mlp.up_bias", Whole("backbone.layers.{i}.mixer.up_proj.bias")),
        ("layers.{i}.mlp.down", Whole("backbone.layers.{i}.mixer.down_proj.weight")),
        ("layers.{i}.mlp.down_bias", Whole("backbone.layers.{i}.mixer.down_proj.bias")),
        ("layers.{i}.moe.norm", Whole("backbone.layers.{i}.norm.weight")),
        ("layers.{i}.moe.router", Whole("backbone.layers.{i}.mixer.gate.weight")),
        ("layers.{i}.moe.correction", Whole("backbone.layers.{i}.mixer.gate.e_score_correction_bias")),
        ("layers.{i}.moe.latent_in", Whole("backbone.layers.{i}.mixer.fc1_latent_proj.weight")),
        ("layers.{i}.moe.latent_in_bias", Whole("backbone.layers.{i}.mixer.fc1_latent_proj.bias")),
        ("layers.{i}.moe.latent_out", Whole("backbone.layers.{i}.mixer.fc2_latent_proj.weight")),
        ("layers.{i}.moe.latent_out_bias", Whole("backbone.layers.{i}.mixer.fc2_latent_proj.bias")),
        ("layers.{i}.moe.experts.{e}.up", Whole("backbone.layers.{i}.mixer.experts.{e}.up_proj.weight")),
        ("layers.{i}.moe.experts.{e}.up", Stack("backbone.layers.{i}.mixer.switch_mlp.fc1.weight", UP)),
        ("layers.{i}.moe.experts.{e}.down", Whole("backbone.layers.{i}.mixer.experts.{e}.down_proj.weight")),
        ("layers.{i}.moe.experts.{e}.down", Stack("backbone.layers.{i}.mixer.switch_mlp.fc2.weight", DOWN)),
        ("layers.{i}.moe.shared.up", Whole("backbone.layers.{i}.mixer.shared_experts.up_proj.weight")),
        ("layers.{i}.moe.shared.up_bias", Whole("backbone.layers.{i}.mixer.shared_experts.up_proj.bias")),
        ("layers.{i}.moe.shared.down", Whole("backbone.layers.{i}.mixer.shared_experts.down_proj.weight")),
        ("layers.{i}.moe.shared.down_bias", Whole("backbone.layers.{i}.mixer.shared_experts.down_proj.bias")),
    ],
];

pub(super) const GGUF: &[&[Row]] = &[
    mamba2::NAMES_IN_GGUF,
    &[
        ("layers.{i}.mlp.norm", Whole("blk.{i}.attn_norm.weight")),
        ("layers.{i}.moe.norm", Whole("blk.{i}.attn_norm.weight")),
        ("layers.{i}.moe.latent_in", Whole("blk.{i}.ffn_latent_down.weight")),
        ("layers.{i}.moe.latent_out", Whole("blk.{i}.ffn_latent_up.weight")),
    ],
];

pub(super) const IGNORED: &[(&str, &str)] = &[("mtp.*", "only the next token is predicted: no layers for more")];

const DEFAULTS: Defaults = Defaults {
    context: 4096,
    head_dim: Some(128),
    heads: Some(32),
    kv_heads: Some(8),
    vocab: Some(131_072),
    eps: 1e-5,
    ..Defaults::USUAL
};
const MIXTURE: Mixture = Mixture { experts: [8, 2], groups: [1, 1], scale: 1.0 };
const SILENT: ssd::Silent = ssd::Silent { heads: 128, groups: 8, state: 128, width: 128 * 64 };

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let kinds = kinds(hp)?;
    // Newer configs do not count their layers, and of those that do the pattern has the last word.
    let mut dims = Dims::from_config(hp, Defaults { layers: Some(kinds.len()), ..DEFAULTS })?;
    dims.layers = kinds.len();
    if hp.flag("attention_bias")?.unwrap_or(false) {
        return Err(hp.invalid("attention_bias", "false, the only value that is supported").into());
    }
    let attention: Mixer = Attention { rope: None, ..dims.attention() }.into();
    let scan: Mixer = ssd::mixer(hp, &dims, &SILENT, "use_bias")?.into();
    let has = |kind| kinds.contains(&kind);
    let mlp = has(Kind::Mlp).then(|| mlp(hp, "intermediate_size")).transpose()?;
    let moe = has(Kind::Moe).then(|| moe(hp, &dims)).transpose()?;
    let spec = dims.decoder(hp, |i| {
        let mixer = match kinds[i] {
            Kind::Scan => Some(scan.clone()),
            Kind::Attention => Some(attention.clone()),
            Kind::Mlp => mlp.clone().map(Mixer::from),
            Kind::Moe => moe.clone().map(Mixer::from),
        };
        Layer::pre_norm(dims.norm, mixer)
    })?;
    Ok(Spec { ropes: Vec::new(), ..spec })
}

/// What each layer is: by a letter each, or by name.
fn kinds(hp: &Hparams) -> Result<Vec<Kind>> {
    let pattern = "hybrid_override_pattern";
    let kinds = if hp.value(pattern).is_some_and(|value| value.is_string()) {
        let letters = hp.text(pattern)?.unwrap_or_default();
        let kinds: Option<Vec<_>> =
            letters.chars().map(|letter| Kind::named(letter.encode_utf8(&mut [0; 4]))).collect();
        kinds.ok_or_else(|| hp.invalid(pattern, "letters among M, *, - and E"))?
    } else {
        ssd::kinds(hp)?.unwrap_or_else(|| vec![Kind::Scan, Kind::Moe, Kind::Attention, Kind::Mlp])
    };
    if kinds.is_empty() || kinds.len() > 4096 {
        return Err(hp.invalid(pattern, "1 to 4096 layers").into());
    }
    Ok(kinds)
}

/// An MLP without a gate.
fn mlp(hp: &Hparams, width: &str) -> Result<Mlp> {
    let act = match hp.text("mlp_hidden_act")? {
        None | Some("relu2") => Activation::Relu2,
        Some("silu" | "swish") => Activation::Silu,
        Some(_) => return Err(hp.invalid("mlp_hidden_act", "relu2 or silu").into()),
    };
    let bias = hp.flag("mlp_bias")?.unwrap_or(false);
    Ok(Mlp { inner: size(hp, width, None, MOST)?, act, gated: false, bias })
}

/// Experts over the residual stream, or over a narrower one, beside an MLP over the former.
fn moe(hp: &Hparams, dims: &Dims) -> Result<Moe> {
    let moe = deepseek::moe(hp, dims, &MIXTURE)?;
    let expert = Mlp { bias: false, ..mlp(hp, "moe_intermediate_size")? };
    // GGUF has the key of other families.
    let other = "shared_expert_intermediate_size";
    let shared = mlp(hp, if hp.value(other).is_some() { other } else { "moe_shared_expert_intermediate_size" })?;
    let width = hp.value("moe_latent_size").map(|_| size(hp, "moe_latent_size", None, MOST)).transpose()?;
    let latent = width.map(|width| Latent { width, bias: shared.bias });
    Ok(Moe { expert, shared: Some(Shared { mlp: shared, gated: false }), latent, ..moe })
}
