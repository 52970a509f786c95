//! InternLM 2 and 2.5: Llama with q, k and v in one matrix, whose rows come in a group for each key head, and names of its own.
//! Reference: `modeling_internlm2.py` in the model repositories; transformers' `modeling_llama.py` on the same values.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims, written::Written};
use crate::names::{Row, Source::Grouped, Source::Whole};
use crate::{Layer, Result, Spec};

const QKV: &[&str] = &["layers.{i}.attn.q", "layers.{i}.attn.k", "layers.{i}.attn.v"];

pub(super) const HF: &[&[Row]] = &[&[
    ("embed", Whole("model.tok_embeddings.weight")),
    ("head", Whole("output.weight")),
    ("layers.{i}.attn.norm", Whole("model.layers.{i}.attention_norm.weight")),
    ("layers.{i}.attn.q", Grouped("model.layers.{i}.attention.wqkv.weight", QKV)),
    ("layers.{i}.attn.k", Grouped("model.layers.{i}.attention.wqkv.weight", QKV)),
    ("layers.{i}.attn.v", Grouped("model.layers.{i}.attention.wqkv.weight", QKV)),
    ("layers.{i}.attn.o", Whole("model.layers.{i}.attention.wo.weight")),
    ("layers.{i}.mlp.norm", Whole("model.layers.{i}.ffn_norm.weight")),
    ("layers.{i}.mlp.gate", Whole("model.layers.{i}.feed_forward.w1.weight")),
    ("layers.{i}.mlp.up", Whole("model.layers.{i}.feed_forward.w3.weight")),
    ("layers.{i}.mlp.down", Whole("model.layers.{i}.feed_forward.w2.weight")),
]];

const DEFAULTS: Defaults = Defaults { context: 2048, vocab: Some(103_168), ..Defaults::USUAL };

pub(super) const WRITTEN: Written =
    Written { values: &[("bias", "false")], ..Written::new("internlm2", "InternLM2ForCausalLM") };

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    if hp.flag("bias")?.unwrap_or(false) {
        return Err(hp.invalid("bias", "false, the only value that is supported").into());
    }
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let (attention, mlp) = (dims.attention(), dims.mlp(hp)?);
    dims.decoder(hp, |_| Layer::pre_norm(dims.norm, [attention.clone().into(), mlp.clone().into()]))
}
