//! Keys of recurrent layers: GGUF has the same for all architectures, configs have names of their own in each family.
//! Reference: llama.cpp's converter, and `load_arch_hparams` of the architectures.

use serde_json::{Map, Value};

use crate::gguf::Metadata;
use crate::{Error, Result};

/// What the keys of some architectures mean.
struct States {
    architectures: &'static [&'static str],
    /// Keys after `{architecture}.ssm.`, and the names they get.
    keys: &'static [(&'static str, &'static str)],
    /// The name of `inner_size / time_step_rank`, the width of a head.
    head_dim: Option<&'static str>,
    /// Whether there is attention. Where there is none, converters write that it has no heads.
    attends: bool,
}

const STATES: &[States] = &[
    States {
        architectures: &["mamba"],
        keys: &[
            ("conv_kernel", "conv_kernel"),
            ("state_size", "state_size"),
            ("time_step_rank", "time_step_rank"),
            ("inner_size", "intermediate_size"),
        ],
        head_dim: None,
        attends: false,
    },
    States {
        architectures: &["jamba"],
        keys: &[
            ("conv_kernel", "mamba_d_conv"),
            ("state_size", "mamba_d_state"),
            ("time_step_rank", "mamba_dt_rank"),
            ("inner_size", "mamba_d_inner"),
        ],
        head_dim: None,
        attends: true,
    },
    States {
        architectures: &["mamba2"],
        keys: &[
            ("conv_kernel", "conv_kernel"),
            ("state_size", "state_size"),
            ("group_count", "n_groups"),
            ("time_step_rank", "num_heads"),
        ],
        head_dim: Some("head_dim"),
        attends: false,
    },
    States {
        architectures: &["granitehybrid", "falcon-h1"],
        keys: &[
            ("conv_kernel", "mamba_d_conv"),
            ("state_size", "mamba_d_state"),
            ("group_count", "mamba_n_groups"),
            ("time_step_rank", "mamba_n_heads"),
        ],
        head_dim: Some("mamba_d_head"),
        attends: true,
    },
    States {
        architectures: LAYERS_BY_WIDTHS,
        keys: &[
            ("conv_kernel", "conv_kernel"),
            ("state_size", "ssm_state_size"),
            ("group_count", "n_groups"),
            ("time_step_rank", "mamba_num_heads"),
        ],
        head_dim: Some("mamba_head_dim"),
        attends: true,
    },
    States {
        architectures: &["qwen3next", "qwen35", "qwen35moe"],
        keys: &[
            ("conv_kernel", "linear_conv_kernel_dim"),
            ("state_size", "linear_key_head_dim"),
            ("group_count", "linear_num_key_heads"),
            ("time_step_rank", "linear_num_value_heads"),
        ],
        head_dim: Some("linear_value_head_dim"),
        attends: true,
    },
];

/// Architectures whose layers are one mixer each: attention where there are key heads, an MLP or experts where those have a width, else
/// a scan.
const LAYERS_BY_WIDTHS: &[&str] = &["nemotron_h", "nemotron_h_moe"];

fn of(architecture: &str) -> Option<&'static States> {
    STATES.iter().find(|states| states.architectures.contains(&architecture))
}

/// The keys of a config that recurrent layers add, none for other architectures. All must be there: what a silent config means is
/// not what a silent file means.
pub(super) fn translate(metadata: &Metadata, architecture: &str) -> Result<Map<String, Value>> {
    let mut map = Map::new();
    let Some(states) = of(architecture) else { return Ok(map) };
    for (key, name) in states.keys {
        map.insert((*name).to_owned(), need(metadata, architecture, key)?.into());
    }
    if let Some(name) = states.head_dim {
        let (inner, heads) =
            (need(metadata, architecture, "inner_size")?, need(metadata, architecture, "time_step_rank")?);
        if heads == 0 || !inner.is_multiple_of(heads) {
            let key = full(architecture, "inner_size");
            return Err(metadata.invalid(&key, format!("a multiple of {architecture}.ssm.time_step_rank = {heads}")));
        }
        map.insert(name.to_owned(), (inner / heads).into());
    }
    if LAYERS_BY_WIDTHS.contains(&architecture) {
        // One class of configs has both kinds of wide layers.
        map.insert("model_type".to_owned(), LAYERS_BY_WIDTHS[0].into());
        map.extend(layers_by_widths(metadata, architecture)?);
    }
    if architecture == "granitehybrid" {
        let turns = metadata.flag("granitehybrid.rope.scaling.finetuned")?.unwrap_or(false);
        map.insert("position_embedding_type".to_owned(), if turns { "rope" } else { "nope" }.into());
    }
    if !states.attends {
        map.extend([("num_attention_heads".to_owned(), Value::Null), ("num_key_value_heads".to_owned(), Value::Null)]);
    }
    Ok(map)
}

/// The kinds of layers, and the widths that some of them have.
fn layers_by_widths(metadata: &Metadata, architecture: &str) -> Result<Map<String, Value>> {
    let of_layers = |key: &str| {
        let key = format!("{architecture}.{key}");
        metadata.ints(&key)?.ok_or_else(|| Error::MissingKey { file: metadata.file().to_owned(), key })
    };
    let (heads, widths) = (of_layers("attention.head_count_kv")?, of_layers("feed_forward_length")?);
    if heads.len() != widths.len() {
        let key = format!("{architecture}.feed_forward_length");
        return Err(metadata.invalid(&key, format!("{} numbers, one for each layer", heads.len())));
    }
    let wide = if architecture.ends_with("_moe") { "moe" } else { "mlp" };
    let kind = |(heads, width): (&i64, &i64)| match (heads, width) {
        (0, 0) => "linear_attention",
        (0, _) => wide,
        _ => "full_attention",
    };
    let most = |numbers: &[i64]| numbers.iter().copied().max().unwrap_or(0);
    let kinds: Value = heads.iter().zip(widths).map(kind).collect();
    let mut map = Map::from_iter([("layers_block_type".to_owned(), kinds)]);
    for (name, numbers) in [("num_key_value_heads", heads), ("intermediate_size", widths)] {
        // Of no layer: what is not there has the width that a silent config gives it.
        let value = if most(numbers) == 0 { Value::Null } else { most(numbers).into() };
        map.insert(name.to_owned(), value);
    }
    Ok(map)
}

fn need(metadata: &Metadata, architecture: &str, key: &str) -> Result<usize> {
    let key = full(architecture, key);
    metadata.count(&key)?.ok_or_else(|| Error::MissingKey { file: metadata.file().to_owned(), key })
}

fn full(architecture: &str, key: &str) -> String {
    format!("{architecture}.ssm.{key}")
}

/// The key in the file behind a name, for error messages.
pub(super) fn original(architecture: &str, name: &str) -> Option<String> {
    let states = of(architecture)?;
    let width = (states.head_dim == Some(name)).then_some("inner_size");
    let key = states.keys.iter().find(|row| row.1 == name).map(|&(key, _)| key).or(width)?;
    Some(full(architecture, key))
}
