//! Qwen 3 Next and 3.5: delta nets, and gated attention in every fourth layer. Norms are kept minus one, but for those of delta nets.
//! Reference: transformers `modeling_qwen3_next.py`, `modeling_qwen3_5.py`, `modeling_qwen3_5_moe.py`.

use ffai_checkpoint::Hparams;
use serde_json::{Map, Value};

use super::dims::{MOST, attention_layers, kept, size};
use super::{
    Defaults, Dims,
    qwen::dense_layers,
    written::{EXPERTS, Keys, NORMALISED, SHARED_EXPERT, Source as Gguf, Written},
};
use crate::names::{
    Row,
    Source::{Centred, Grouped, MinusExp, Rows, Squeezed, Stack, Whole},
    gguf,
};
use crate::{Attention, CausalConv, DeltaNet, HeadOrder, Layer, Mixer, Moe, QkNorm, Result, Router, Shared, Spec};

const QUERIES: &[&str] = &["layers.{i}.attn.q", "layers.{i}.attn.gate"];
const TAPS: &[&str] = &["layers.{i}.delta.q_taps", "layers.{i}.delta.k_taps", "layers.{i}.delta.v_taps"];
const QKV: &[&str] = &["layers.{i}.delta.q", "layers.{i}.delta.k", "layers.{i}.delta.v"];
const QKVZ: &[&str] = &["layers.{i}.delta.q", "layers.{i}.delta.k", "layers.{i}.delta.v", "layers.{i}.delta.z"];
const BA: &[&str] = &["layers.{i}.delta.b", "layers.{i}.delta.a"];
const GATE: &[&str] = &["layers.{i}.moe.experts.{e}.gate"];
const UP: &[&str] = &["layers.{i}.moe.experts.{e}.up"];
const GATE_UP: &[&str] = &["layers.{i}.moe.experts.{e}.gate", "layers.{i}.moe.experts.{e}.up"];
const DOWN: &[&str] = &["layers.{i}.moe.experts.{e}.down"];

/// Products in a group for each key head.
pub(super) const HF_NEXT: &[&[Row]] = &[
    COMMON,
    &[
        ("layers.{i}.delta.q", Grouped("model.layers.{i}.linear_attn.in_proj_qkvz.weight", QKVZ)),
        ("layers.{i}.delta.k", Grouped("model.layers.{i}.linear_attn.in_proj_qkvz.weight", QKVZ)),
        ("layers.{i}.delta.v", Grouped("model.layers.{i}.linear_attn.in_proj_qkvz.weight", QKVZ)),
        ("layers.{i}.delta.z", Grouped("model.layers.{i}.linear_attn.in_proj_qkvz.weight", QKVZ)),
        ("layers.{i}.delta.b", Grouped("model.layers.{i}.linear_attn.in_proj_ba.weight", BA)),
        ("layers.{i}.delta.a", Grouped("model.layers.{i}.linear_attn.in_proj_ba.weight", BA)),
    ],
];

/// Products one after the other, and experts fused.
pub(super) const HF: &[&[Row]] = &[
    COMMON,
    &[
        ("layers.{i}.delta.q", Rows("model.layers.{i}.linear_attn.in_proj_qkv.weight", QKV)),
        ("layers.{i}.delta.k", Rows("model.layers.{i}.linear_attn.in_proj_qkv.weight", QKV)),
        ("layers.{i}.delta.v", Rows("model.layers.{i}.linear_attn.in_proj_qkv.weight", QKV)),
        ("layers.{i}.delta.z", Whole("model.layers.{i}.linear_attn.in_proj_z.weight")),
        ("layers.{i}.delta.b", Whole("model.layers.{i}.linear_attn.in_proj_b.weight")),
        ("layers.{i}.delta.a", Whole("model.layers.{i}.linear_attn.in_proj_a.weight")),
        ("layers.{i}.moe.experts.{e}.gate", Stack("model.layers.{i}.mlp.experts.gate_up_proj", GATE_UP)),
        ("layers.{i}.moe.experts.{e}.gate", Stack("model.layers.{i}.mlp.switch_mlp.gate_proj.weight", GATE)),
        ("layers.{i}.moe.experts.{e}.up", Stack("model.layers.{i}.mlp.experts.gate_up_proj", GATE_UP)),
        ("layers.{i}.moe.experts.{e}.up", Stack("model.layers.{i}.mlp.switch_mlp.up_proj.weight", UP)),
        ("layers.{i}.moe.experts.{e}.down", Stack("model.layers.{i}.mlp.experts.down_proj", DOWN)),
        ("layers.{i}.moe.experts.{e}.down", Stack("model.layers.{i}.mlp.switch_mlp.down_proj.weight", DOWN)),
    ],
];

const COMMON: &[Row] = &[
    ("final_norm", Centred("model.norm.weight")),
    ("layers.{i}.attn.norm", Centred("model.layers.{i}.input_layernorm.weight")),
    ("layers.{i}.attn.q", Grouped("model.layers.{i}.self_attn.q_proj.weight", QUERIES)),
    ("layers.{i}.attn.gate", Grouped("model.layers.{i}.self_attn.q_proj.weight", QUERIES)),
    ("layers.{i}.attn.q_norm", Centred("model.layers.{i}.self_attn.q_norm.weight")),
    ("layers.{i}.attn.k_norm", Centred("model.layers.{i}.self_attn.k_norm.weight")),
    ("layers.{i}.delta.norm", Centred("model.layers.{i}.input_layernorm.weight")),
    ("layers.{i}.delta.q_taps", Squeezed("model.layers.{i}.linear_attn.conv1d.weight", TAPS)),
    ("layers.{i}.delta.k_taps", Squeezed("model.layers.{i}.linear_attn.conv1d.weight", TAPS)),
    ("layers.{i}.delta.v_taps", Squeezed("model.layers.{i}.linear_attn.conv1d.weight", TAPS)),
    ("layers.{i}.delta.decay", MinusExp("model.layers.{i}.linear_attn.A_log")),
    ("layers.{i}.delta.step", Whole("model.layers.{i}.linear_attn.dt_bias")),
    ("layers.{i}.delta.state_norm", Whole("model.layers.{i}.linear_attn.norm.weight")),
    ("layers.{i}.delta.o", Whole("model.layers.{i}.linear_attn.out_proj.weight")),
    ("layers.{i}.mlp.norm", Centred("model.layers.{i}.post_attention_layernorm.weight")),
    ("layers.{i}.moe.norm", Centred("model.layers.{i}.post_attention_layernorm.weight")),
];

/// In GGUF only the products of `b` and `a` are in groups, in older files those of `q`, `k`, `v` and `z` too.
pub(super) const GGUF_NEXT: &[&[Row]] = &[
    GGUF_COMMON,
    gguf::NORM_AFTER_ATTENTION,
    &[
        ("layers.{i}.delta.q", Rows("blk.{i}.attn_qkv.weight", QKV)),
        ("layers.{i}.delta.q", Grouped("blk.{i}.ssm_in.weight", QKVZ)),
        ("layers.{i}.delta.k", Rows("blk.{i}.attn_qkv.weight", QKV)),
        ("layers.{i}.delta.k", Grouped("blk.{i}.ssm_in.weight", QKVZ)),
        ("layers.{i}.delta.v", Rows("blk.{i}.attn_qkv.weight", QKV)),
        ("layers.{i}.delta.v", Grouped("blk.{i}.ssm_in.weight", QKVZ)),
        ("layers.{i}.delta.z", Whole("blk.{i}.attn_gate.weight")),
        ("layers.{i}.delta.z", Grouped("blk.{i}.ssm_in.weight", QKVZ)),
        ("layers.{i}.delta.b", Grouped("blk.{i}.ssm_ba.weight", BA)),
        ("layers.{i}.delta.a", Grouped("blk.{i}.ssm_ba.weight", BA)),
    ],
];

/// No groups; the value heads in another order, which is the spec's ([`HeadOrder::Tiled`]).
pub(super) const GGUF: &[&[Row]] = &[
    GGUF_COMMON,
    gguf::NORM_AFTER_ATTENTION,
    &[
        ("layers.{i}.delta.q", Rows("blk.{i}.attn_qkv.weight", QKV)),
        ("layers.{i}.delta.k", Rows("blk.{i}.attn_qkv.weight", QKV)),
        ("layers.{i}.delta.v", Rows("blk.{i}.attn_qkv.weight", QKV)),
        ("layers.{i}.delta.z", Whole("blk.{i}.attn_gate.weight")),
        ("layers.{i}.delta.b", Whole("blk.{i}.ssm_beta.weight")),
        ("layers.{i}.delta.a", Whole("blk.{i}.ssm_alpha.weight")),
    ],
];

const GGUF_COMMON: &[Row] = &[
    ("layers.{i}.attn.q", Grouped("blk.{i}.attn_q.weight", QUERIES)),
    ("layers.{i}.attn.gate", Grouped("blk.{i}.attn_q.weight", QUERIES)),
    ("layers.{i}.delta.norm", Whole("blk.{i}.attn_norm.weight")),
    ("layers.{i}.delta.q_taps", Squeezed("blk.{i}.ssm_conv1d.weight", TAPS)),
    ("layers.{i}.delta.k_taps", Squeezed("blk.{i}.ssm_conv1d.weight", TAPS)),
    ("layers.{i}.delta.v_taps", Squeezed("blk.{i}.ssm_conv1d.weight", TAPS)),
    ("layers.{i}.delta.decay", Whole("blk.{i}.ssm_a")),
    ("layers.{i}.delta.step", Whole("blk.{i}.ssm_dt.bias")),
    ("layers.{i}.delta.state_norm", Whole("blk.{i}.ssm_norm.weight")),
    ("layers.{i}.delta.o", Whole("blk.{i}.ssm_out.weight")),
];

const TOWER: &str = "only text is read: no vision tower";
const MORE: &str = "only the next token is predicted: no layers for more";

pub(super) const IGNORED: &[(&str, &str)] = &[
    ("model.visual.*", TOWER),
    ("visual.*", TOWER),
    ("vision_tower.*", TOWER),
    ("model.vision_tower.*", TOWER),
    ("mtp.*", MORE),
    ("model.mtp.*", MORE),
    ("language_model.mtp.*", MORE),
    ("blk.{past}.*", MORE),
];

/// Keys of layers with a recurrence.
const DELTA_NET: Keys = &[
    ("full_attention_interval", "full_attention_interval"),
    ("linear_conv_kernel_dim", "linear_conv_kernel_dim"),
    ("linear_key_head_dim", "linear_key_head_dim"),
    ("linear_num_key_heads", "linear_num_key_heads"),
    ("linear_num_value_heads", "linear_num_value_heads"),
    ("linear_value_head_dim", "linear_value_head_dim"),
];

pub(super) const NEXT: Written = Written {
    keys: &[EXPERTS, SHARED_EXPERT, NORMALISED, DELTA_NET],
    values: &[
        ("decoder_sparse_step", "1"),
        ("mlp_only_layers", "[]"),
        ("attention_bias", "false"),
        ("norm_topk_prob", "true"),
    ],
    ..Written::new("qwen3_next", "Qwen3NextForCausalLM")
};

/// mlx-lm reads these among other towers only.
pub(super) const DENSE: Written = Written {
    keys: &[DELTA_NET],
    values: &[("attention_bias", "false")],
    tower: Some("qwen3_5"),
    finish: rope_inside,
    ..Written::new("qwen3_5_text", "Qwen3_5ForConditionalGeneration")
};
pub(super) const MIXTURE: Written = Written {
    keys: &[EXPERTS, SHARED_EXPERT, DELTA_NET],
    values: &[("attention_bias", "false")],
    tower: Some("qwen3_5_moe"),
    finish: rope_inside,
    ..Written::new("qwen3_5_moe_text", "Qwen3_5MoeForConditionalGeneration")
};

/// Theta and the share of a head that turns as parameters of the rope.
fn rope_inside(_: &Gguf<'_>, config: &mut Map<String, Value>) -> Result<()> {
    let mut rope = Map::from_iter([("rope_type".to_owned(), "default".into())]);
    for key in ["rope_theta", "partial_rotary_factor"] {
        rope.extend(config.remove(key).map(|value| (key.to_owned(), value)));
    }
    rope.entry("partial_rotary_factor").or_insert(1.0.into());
    config.insert("rope_parameters".into(), rope.into());
    Ok(())
}

const DEFAULTS: Defaults = Defaults { head_dim: Some(256), partial: 0.25, ..Defaults::USUAL };

/// Qwen 3 Next.
pub(super) fn next(hp: &Hparams) -> Result<Spec> {
    let defaults = Defaults { heads: Some(16), kv_heads: Some(2), vocab: Some(151_936), ..DEFAULTS };
    let dims = Dims::from_config(hp, defaults)?;
    let normalise = hp.flag("norm_topk_prob")?.unwrap_or(true);
    let moe = moe(hp, &dims, [512, 10], normalise)?;
    let dense = dense_layers(hp, dims.layers)?;
    let mlp = dense.contains(&true).then(|| dims.mlp(hp)).transpose()?;
    decoder(hp, &dims, |i| match &mlp {
        Some(mlp) if dense[i] => mlp.clone().into(),
        _ => moe.clone().into(),
    })
}

/// Qwen 3.5 with MLPs.
pub(super) fn dense(hp: &Hparams) -> Result<Spec> {
    let text = hp.object("text_config")?;
    let hp = text.as_ref().unwrap_or(hp);
    let defaults = Defaults { heads: Some(16), kv_heads: Some(4), vocab: Some(248_320), ..DEFAULTS };
    let dims = Dims::from_config(hp, defaults)?;
    let mlp = dims.mlp(hp)?;
    decoder(hp, &dims, |_| mlp.clone().into())
}

/// Qwen 3.5 with mixtures.
pub(super) fn mixture(hp: &Hparams) -> Result<Spec> {
    let text = hp.object("text_config")?;
    let hp = text.as_ref().unwrap_or(hp);
    let defaults = Defaults { heads: Some(16), kv_heads: Some(2), vocab: Some(248_320), ..DEFAULTS };
    let dims = Dims::from_config(hp, defaults)?;
    let moe = moe(hp, &dims, [256, 8], true)?;
    decoder(hp, &dims, |_| moe.clone().into())
}

fn moe(hp: &Hparams, dims: &Dims, sizes: [usize; 2], normalise: bool) -> Result<Moe> {
    let mlp = dims.mlp_of(hp, "shared_expert_intermediate_size")?;
    let shared = Some(Shared { mlp, gated: true });
    Ok(Moe { shared, ..dims.moe(hp, "moe_intermediate_size", sizes, Router::softmax(normalise))? })
}

fn decoder(hp: &Hparams, dims: &Dims, channel: impl Fn(usize) -> Mixer) -> Result<Spec> {
    if hp.flag("attention_bias")?.unwrap_or(false) {
        return Err(hp.invalid("attention_bias", "false, the only value that is supported").into());
    }
    let qk_norm = Some(QkNorm { norm: dims.norm, whole: false });
    let attention = Attention { qk_norm, gated: true, ..dims.attention() };
    let delta = delta(hp, dims)?;
    let attends = attends(hp, dims.layers)?;
    dims.decoder(hp, |i| {
        let mixer: Mixer = if attends[i] { attention.clone().into() } else { delta.into() };
        Layer::pre_norm(dims.norm, [mixer, channel(i)])
    })
}

fn delta(hp: &Hparams, dims: &Dims) -> Result<DeltaNet> {
    let k_heads = size(hp, "linear_num_key_heads", Some(16), 1 << 16)?;
    let v_heads = size(hp, "linear_num_value_heads", Some(32), 1 << 16)?;
    if !v_heads.is_multiple_of(k_heads) {
        return Err(hp.invalid("linear_num_value_heads", format!("a multiple of {k_heads} key heads")).into());
    }
    let kernel = size(hp, "linear_conv_kernel_dim", Some(4), 1 << 10)?;
    let k_dim = size(hp, "linear_key_head_dim", Some(128), MOST >> 16)?;
    let v_dim = size(hp, "linear_value_head_dim", Some(128), MOST >> 16)?;
    kept(hp, "linear_value_head_dim", &[v_heads, k_dim, v_dim])?;
    kept(hp, "linear_conv_kernel_dim", &[2 * k_heads * k_dim + v_heads * v_dim, kernel])?;
    Ok(DeltaNet {
        k_heads,
        v_heads,
        k_dim,
        v_dim,
        conv: CausalConv { kernel, bias: false },
        norm: dims.norm,
        order: HeadOrder::Grouped,
    })
}

/// Which layers attend; the others are delta nets.
fn attends(hp: &Hparams, layers: usize) -> Result<Vec<bool>> {
    attention_layers(hp, layers, "linear_attention", || {
        let every = size(hp, "full_attention_interval", Some(4), MOST)?;
        Ok((0..layers).map(|i| (i + 1).is_multiple_of(every)).collect())
    })
}
