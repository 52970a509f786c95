//! Falcon H1: a scan and attention side by side in each layer, and a factor wherever one can be.
//! Reference: transformers `modeling_falcon_h1.py`.

use ffai_checkpoint::Hparams;

use super::{Defaults, Dims, mamba2, ssd};
use crate::names::{Row, Source::Whole};
use crate::{Activation, Attention, Branch, Head, Layer, Mamba2, Mlp, Result, Spec, StateNorm, Sublayer};

pub(super) const HF: &[&[Row]] = &[ssd::HF, ssd::AROUND];

/// The converter of llama.cpp leaves one name without its end.
pub(super) const GGUF: &[&[Row]] = &[mamba2::NAMES_IN_GGUF, &[("layers.{i}.mlp.norm", Whole("blk.{i}.ffn_norm"))]];

const DEFAULTS: Defaults =
    Defaults { context: 8192, heads: Some(32), kv_heads: Some(8), vocab: Some(128_000), eps: 1e-5, ..Defaults::USUAL };

/// The factors that are still to be applied.
struct Factors {
    embedding: f32,
    logits: f32,
    /// Of the scores, of the output of attention.
    attention: [f32; 2],
    /// Of what the first product of the scan gives, of the output.
    scan: ([f32; 5], f32),
    /// Of the gate, of the output.
    mlp: [f32; 2],
}

/// The factors of the config.
pub(super) fn spec(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let factor = |key: &str| dims.factor(hp, key);
    let input = factor("attention_in_multiplier")?;
    let [gate, down] = several(hp, "mlp_multipliers")?;
    let (scan_input, scan) = (factor("ssm_in_multiplier")?, several::<5>(hp, "ssm_multipliers")?);
    // Without biases, factors of inputs are factors of products: q and k make the scores, v the output.
    unbiased(hp, "attention_bias", input)?;
    unbiased(hp, "mamba_proj_bias", scan_input)?;
    let factors = Factors {
        embedding: factor("embedding_multiplier")?,
        logits: factor("lm_head_multiplier")?,
        attention: [factor("key_multiplier")? * input * input, factor("attention_out_multiplier")? * input],
        scan: (scan.map(|part| part * scan_input), factor("ssm_out_multiplier")?),
        mlp: [gate, down],
    };
    decoder(hp, &dims, &factors)
}

/// Those that mlx-lm leaves when it multiplies weights with them: of keys and of the input of values. The head that is the embedding
/// has the embedding's too.
pub(super) fn in_mlx(hp: &Hparams) -> Result<Spec> {
    let dims = Dims::from_config(hp, DEFAULTS)?;
    let factor = |key: &str| dims.factor(hp, key);
    let input = factor("attention_in_multiplier")?;
    for key in ["attention_out_multiplier", "attention_in_multiplier"] {
        unbiased(hp, "attention_bias", factor(key)?)?;
    }
    unbiased(hp, "projectors_bias", factor("ssm_out_multiplier")?)?;
    for part in several::<5>(hp, "ssm_multipliers")? {
        unbiased(hp, "mamba_proj_bias", part * factor("ssm_in_multiplier")?)?;
    }
    for part in several::<2>(hp, "mlp_multipliers")? {
        unbiased(hp, "mlp_bias", part)?;
    }
    let tied = hp.flag("tie_word_embeddings")?.unwrap_or(false);
    let logits = if tied { factor("lm_head_multiplier")? / factor("embedding_multiplier")? } else { 1.0 };
    let attention = [factor("key_multiplier")?, input];
    decoder(hp, &dims, &Factors { embedding: 1.0, logits, attention, scan: ([1.0; 5], 1.0), mlp: [1.0; 2] })
}

fn decoder(hp: &Hparams, dims: &Dims, factors: &Factors) -> Result<Spec> {
    let bias = hp.flag("attention_bias")?.unwrap_or(false);
    let usual = dims.attention();
    let attention = Attention { qkv_bias: bias, out_bias: bias, scale: usual.scale * factors.attention[0], ..usual };
    let scan = scan(hp, dims, factors.scan.0)?;
    let mlp = dims.mlp(hp)?;
    let gate = factors.mlp[0];
    let act = if gate == 1.0 { mlp.act } else { Activation::ScaledSilu { factor: gate } };
    if gate != 1.0 && mlp.act != Activation::Silu {
        return Err(hp.invalid("hidden_act", "silu").into());
    }
    let mlp = Mlp { act, ..mlp };
    let norm = Some(dims.norm);
    let spec = dims.decoder(hp, |_| {
        let scan = Branch { scale: factors.scan.1, ..Branch::new(norm, scan, None) };
        let attention = Branch { scale: factors.attention[1], ..Branch::new(norm, attention.clone(), None) };
        let mlp = Branch { scale: factors.mlp[1], ..Branch::new(norm, mlp.clone(), None) };
        let sublayer = |branches| Sublayer { branches, post: None };
        Layer { sublayers: vec![sublayer(vec![scan, attention]), sublayer(vec![mlp])], scaled: false }
    })?;
    Ok(Spec { embed_scale: factors.embedding, head: Head { scale: factors.logits, ..spec.head }, ..spec })
}

fn scan(hp: &Hparams, dims: &Dims, factors: [f32; 5]) -> Result<Mamba2> {
    let width = match hp.count("mamba_d_ssm")? {
        Some(width) => width,
        // A null is not the default of a config that says nothing.
        None if hp.keys().any(|key| key == "mamba_d_ssm") => ssd::expanded(hp, dims)?,
        None => 1024,
    };
    let silent = ssd::Silent { heads: 128, groups: 1, state: 256, width };
    let scan = ssd::mixer(hp, dims, &silent, "mamba_proj_bias")?;
    let normed = hp.flag("mamba_rms_norm")?.unwrap_or(false);
    // GGUF does not say; llama.cpp has the gate first.
    let gate_first = !hp.flag("mamba_norm_before_gate")?.unwrap_or(!hp.is_gguf());
    Ok(Mamba2 {
        out_bias: hp.flag("projectors_bias")?.unwrap_or(false),
        norm: scan.norm.filter(|_| normed).map(|norm| StateNorm { gate_first, ..norm }),
        factors,
        ..scan
    })
}

/// That many factors; ones where the config is silent.
fn several<const N: usize>(hp: &Hparams, key: &str) -> Result<[f32; N]> {
    let Some(factors) = hp.floats(key)? else { return Ok([1.0; N]) };
    let factors: Option<[f64; N]> = factors.try_into().ok();
    let factors = factors.map(|factors| factors.map(|factor| factor as f32));
    let finite = factors.filter(|factors| factors.iter().all(|factor| factor.is_finite() && *factor != 0.0));
    Ok(finite.ok_or_else(|| hp.invalid(key, format!("{N} finite numbers other than 0")))?)
}

/// Products with biases may not have a factor that would have to be on the product alone.
fn unbiased(hp: &Hparams, bias: &str, factor: f32) -> Result<()> {
    if factor != 1.0 && hp.flag(bias)?.unwrap_or(false) {
        return Err(hp.invalid(bias, "false, the only value that is supported beside factors other than 1").into());
    }
    Ok(())
}
