//! SmolLM 3: some layers have no rope. Reference: transformers `modeling_smollm3.py`.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims, written::Written};
use crate::{Attention, Layer, Result, Spec};

const DEFAULTS: Defaults = Defaults { kv_heads: Some(4), theta: 2_000_000.0, tied: true, ..Defaults::USUAL };

pub(super) const WRITTEN: Written = Written {
    keys: &[&[("attention_bias", "attention_bias"), ("mlp_bias", "mlp_bias")]],
    values: &[("no_rope_layer_interval", "4"), ("use_sliding_window", "false")],
    ..Written::new("smollm3", "SmolLM3ForCausalLM")
};

pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let turns = ropes(hp, dims.layers)?;
    let windows = dims.windows_if_used(hp, |i| !turns[i])?;
    let bias = hp.flag("attention_bias")?.unwrap_or(false);
    let attention = Attention { qkv_bias: bias, out_bias: bias, ..dims.attention() };
    let mlp = dims.mlp(hp)?;
    dims.decoder(hp, |i| {
        let rope = attention.rope.filter(|_| turns[i]);
        let attention = Attention { rope, window: windows[i], ..attention.clone() };
        Layer::pre_norm(dims.norm, [attention.into(), mlp.clone().into()])
    })
}

/// Whether each layer has a rope. In `no_rope_layers` a 1 means that it has.
fn ropes(hp: &Hparams, layers: usize) -> Result<Vec<bool>> {
    if let Some(list) = hp.counts("no_rope_layers")? {
        if list.len() != layers {
            return Err(hp.invalid("no_rope_layers", format!("{layers} entries")).into());
        }
        return Ok(list.into_iter().map(|entry| entry != 0).collect());
    }
    let interval = hp.count("no_rope_layer_interval")?.unwrap_or(4).max(1);
    Ok((0..layers).map(|i| !(i + 1).is_multiple_of(interval)).collect())
}
