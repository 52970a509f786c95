//! Models whose layers with a window have other heads, ropes and widths than those without (Gemma 4): GGUF says so by keys that
//! end in `_swa`, by arrays with an entry for each layer, and by a tensor. Reference: llama.cpp's `gemma4.cpp` and its converter.

use serde_json::{Map, Value, json};

use super::gguf_keys::number;
use crate::gguf::{Metadata, Value as Stored};
use crate::{Error, Result};

/// Architectures of such models.
const ARCHITECTURES: &[&str] = &["gemma4"];

/// The divisors of the frequencies of layers without a window. They are what says that only a part of the pairs turns.
const FACTORS: &str = "rope_freqs.weight";

/// The keys of a config that such files say in their own way, none for other architectures.
pub(super) fn translate(
    metadata: &Metadata,
    architecture: &str,
    has: impl Fn(&str) -> bool,
) -> Result<Map<String, Value>> {
    if !ARCHITECTURES.contains(&architecture) {
        return Ok(Map::new());
    }
    let file = Kinds { metadata, architecture };
    let slides = file.slides()?;
    let (full, windowed) = (file.width("attention.key_length")?, file.width("attention.key_length_swa")?);
    file.same("attention.value_length", full)?;
    file.same("attention.value_length_swa", windowed)?;
    let mut map = file.key_heads(&slides, full, windowed)?;
    map.extend(file.inner(slides.len())?);
    map.extend([
        ("head_dim".to_owned(), windowed.into()),
        ("global_head_dim".to_owned(), full.into()),
        ("rope_parameters".to_owned(), file.ropes(full, windowed, &has)?),
        ("layer_types".to_owned(), slides.iter().map(|slides| name(*slides)).collect()),
        ("attention_k_eq_v".to_owned(), keys_are_values(&slides, has).into()),
    ]);
    Ok(map)
}

fn name(slides: bool) -> &'static str {
    if slides { "sliding_attention" } else { "full_attention" }
}

/// A layer without a window that has keys has no values of its own.
fn keys_are_values(slides: &[bool], has: impl Fn(&str) -> bool) -> bool {
    let full = slides.iter().position(|slides| !slides);
    full.is_some_and(|i| has(&format!("blk.{i}.attn_k.weight")) && !has(&format!("blk.{i}.attn_v.weight")))
}

struct Kinds<'a> {
    metadata: &'a Metadata,
    architecture: &'a str,
}

impl Kinds<'_> {
    fn full(&self, key: &str) -> String {
        format!("{}.{key}", self.architecture)
    }

    /// Of each layer, whether it has the window.
    fn slides(&self) -> Result<Vec<bool>> {
        let key = self.full("attention.sliding_window_pattern");
        let layers = self.metadata.count(&self.full("block_count"))?;
        match self.metadata.flags(&key)? {
            Some(slides) if Some(slides.len()) == layers => Ok(slides.to_vec()),
            _ => Err(self.metadata.invalid(&key, "a boolean for each layer")),
        }
    }

    fn width(&self, key: &str) -> Result<usize> {
        let key = self.full(key);
        self.metadata.count(&key)?.ok_or_else(|| self.metadata.invalid(&key, "the width of a head"))
    }

    fn same(&self, key: &str, width: usize) -> Result<()> {
        let key = self.full(key);
        match self.metadata.count(&key)? {
            Some(other) if other != width => Err(self.metadata.invalid(&key, format!("{width}, as the keys have"))),
            _ => Ok(()),
        }
    }

    /// One number for all layers is read as any key is; with one for each, each layer has its own entry.
    fn key_heads(&self, slides: &[bool], full: usize, windowed: usize) -> Result<Map<String, Value>> {
        let key = self.full("attention.head_count_kv");
        let Some(heads) = self.array(&key, slides.len())? else { return Ok(Map::new()) };
        let entry = |(i, heads): (usize, &i64)| {
            let width = if slides[i] { windowed } else { full };
            (i.to_string(), json!({"num_key_value_heads": heads, "head_dim": width}))
        };
        let own: Map<String, Value> = heads.iter().enumerate().map(entry).collect();
        Ok([("num_key_value_heads".to_owned(), heads[0].into()), ("per_layer_config".to_owned(), own.into())]
            .into_iter()
            .collect())
    }

    /// The widths of the MLPs, those of layers without keys of their own perhaps twice as wide.
    fn inner(&self, layers: usize) -> Result<Map<String, Value>> {
        let key = self.full("feed_forward_length");
        let Some(widths) = self.array(&key, layers)? else { return Ok(Map::new()) };
        let shared = self.metadata.count(&self.full("attention.shared_kv_layers"))?.unwrap_or(0);
        let (own, others) = widths.split_at(layers.saturating_sub(shared));
        let first = widths[0];
        let double = others.iter().any(|width| *width != first);
        let expected = if double { first.saturating_mul(2) } else { first };
        if own.iter().any(|width| *width != first) || others.iter().any(|width| *width != expected) {
            let rule = "one width, and that or its double in layers that share keys";
            return Err(self.metadata.invalid(&key, rule));
        }
        Ok([("intermediate_size".to_owned(), first.into()), ("use_double_wide_mlp".to_owned(), double.into())]
            .into_iter()
            .collect())
    }

    /// A number for each layer, if there is not one for all.
    fn array(&self, key: &str, layers: usize) -> Result<Option<&[i64]>> {
        match self.metadata.get(key) {
            Some(Stored::Ints(numbers)) if !numbers.is_empty() && numbers.len() == layers => Ok(Some(numbers)),
            Some(Stored::Ints(_)) => Err(self.metadata.invalid(key, format!("{layers} integers, one for each layer"))),
            _ => Ok(None),
        }
    }

    /// All pairs have frequencies; the divisors in [`FACTORS`] then stop some of them in layers without a window.
    fn ropes(&self, full: usize, windowed: usize, has: impl Fn(&str) -> bool) -> Result<Value> {
        if !has(FACTORS) {
            let problem = "missing: it says which pairs turn in layers without a window";
            return Err(Error::tensor(self.metadata.file(), FACTORS, problem));
        }
        self.same("rope.dimension_count", full)?;
        self.same("rope.dimension_count_swa", windowed)?;
        self.unscaled()?;
        let rope = |key: &str| -> Result<Value> {
            let key = self.full(key);
            let base = self.metadata.float(&key)?.ok_or_else(|| self.metadata.invalid(&key, "a number"))?;
            Ok(json!({"rope_type": "default", "rope_theta": number(self.metadata, &key, base)?}))
        };
        Ok(json!({"full_attention": rope("rope.freq_base")?, "sliding_attention": rope("rope.freq_base_swa")?}))
    }

    fn unscaled(&self) -> Result<()> {
        let key = self.full("rope.scaling.type");
        match self.metadata.text(&key)? {
            None | Some("none") => Ok(()),
            Some(_) => Err(self.metadata.invalid(&key, "none")),
        }
    }
}
