//! Rotary position embeddings as tables (Su et al., 2021).
//!
//! Every named scaling (linear, dynamic NTK, llama3, yarn) reduces here to frequencies and a factor; kernels know none of the
//! names. The arithmetic follows transformers' `modeling_rope_utils.py`, in f32 where that uses f32, because a frequency is
//! multiplied with positions up to 10^5 and its rounding becomes visible.

use std::f64::consts::PI;

use ffai_checkpoint::Hparams;
use serde::Serialize;

use crate::Result;

/// How the coordinates of a head are paired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Pairing {
    /// Coordinate `i` turns with `i + width/2` (Hugging Face).
    Half,
    /// Coordinate `2i` turns with `2i + 1` (the q and k rows of llama in GGUF).
    Adjacent,
}

/// One rope of a model: which coordinates turn, and how fast.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rope {
    /// How many leading coordinates of a head turn; even.
    pub width: usize,
    /// How they are paired.
    pub pairing: Pairing,
    /// The frequencies.
    pub lengths: Lengths,
}

/// Frequencies, and whether they depend on how long a sequence will be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub enum Lengths {
    /// One table for all sequences.
    Any(RopeTable),
    /// One table for sequences up to a length, another for longer ones (LongRoPE, Ding et al., 2024).
    Long {
        /// `original_max_position_embeddings`: up to here `short` is the table.
        original: usize,
        /// For short sequences.
        short: RopeTable,
        /// For long ones, at all positions.
        long: RopeTable,
    },
    /// NTK scaling of the base by the length of the sequence, once that exceeds `context` tokens.
    Dynamic {
        /// The base (`rope_theta`).
        base: f64,
        /// `rope_scaling.factor`.
        factor: f64,
        /// `max_position_embeddings`: up to here the table is the plain one.
        context: usize,
    },
}

/// What kernels read: pair `i` at position `p` turns by `p * freqs[i]`, and cos and sin are multiplied by `scale`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RopeTable {
    /// Radians per position, one per pair.
    pub freqs: Vec<f32>,
    /// Factor on cos and sin (yarn's `attention_factor`).
    pub scale: f32,
}

impl Rope {
    /// One table for all lengths.
    pub fn fixed(width: usize, pairing: Pairing, freqs: Vec<f32>, scale: f32) -> Rope {
        Rope { width, pairing, lengths: Lengths::Any(RopeTable { freqs, scale }) }
    }

    /// The class of a sequence that will have at most `tokens` tokens. Sequences of one class share one table; keys cached under
    /// one class mean nothing under another.
    pub fn length_class(&self, tokens: usize) -> usize {
        match self.lengths {
            Lengths::Any(_) => 0,
            Lengths::Long { original, .. } => {
                if tokens > original {
                    original + 1
                } else {
                    0
                }
            }
            Lengths::Dynamic { context, .. } => {
                if tokens > context {
                    tokens
                } else {
                    0
                }
            }
        }
    }

    /// The table of a class given by [`Rope::length_class`].
    pub fn table(&self, class: usize) -> RopeTable {
        match &self.lengths {
            Lengths::Any(table) => table.clone(),
            Lengths::Long { original, short, long } => (if class > *original { long } else { short }).clone(),
            &Lengths::Dynamic { base, factor, context } => {
                let tokens = class.max(context) as f64;
                let exponent = self.width as f64 / (self.width as f64 - 2.0);
                let grown = base * (factor * tokens / context as f64 - (factor - 1.0)).powf(exponent);
                RopeTable { freqs: plain(grown, self.width), scale: 1.0 }
            }
        }
    }

    /// Reads the rope of a config, in the old form (`rope_theta` + `rope_scaling`) or the new (`rope_parameters`).
    pub(crate) fn from_config(hp: &Hparams, defaults: &RopeDefaults) -> Result<Rope> {
        let scaling = match hp.object("rope_scaling")? {
            Some(object) => Some(object),
            None => hp.object("rope_parameters")?,
        };
        Rope::scaled_by(hp, scaling.as_ref(), defaults)
    }

    /// The rope of layers of one kind: as [`Rope::from_config`], but from the object of that name in `rope_parameters` if there
    /// is one.
    pub(crate) fn of_layers(hp: &Hparams, kind: &str, defaults: &RopeDefaults) -> Result<Rope> {
        match hp.object("rope_parameters")?.map(|p| p.object(kind)).transpose()?.flatten() {
            Some(parameters) => Rope::scaled_by(hp, Some(&parameters), defaults),
            None => Rope::from_config(hp, defaults),
        }
    }

    fn scaled_by(hp: &Hparams, scaling: Option<&Hparams>, defaults: &RopeDefaults) -> Result<Rope> {
        let get = |key: &str| -> Result<Option<f64>> {
            let nested = scaling.map(|s| s.float(key)).transpose()?.flatten();
            Ok(match nested {
                Some(value) => Some(value),
                None => hp.float(key)?,
            })
        };
        let (head_dim, context) = (defaults.head_dim, defaults.context);
        let base = get("rope_theta")?.unwrap_or(defaults.theta);
        let partial = get("partial_rotary_factor")?.unwrap_or(defaults.partial);
        if scaling.is_some_and(|s| matches!(s.text("rope_type"), Ok(Some("proportional")))) {
            require(hp, "partial_rotary_factor", (0.0..=1.0).contains(&partial), "a share from 0 to 1")?;
            require(hp, "rope_theta", base > 0.0 && base.is_finite(), "a positive number")?;
            require(hp, "head_dim", head_dim.is_multiple_of(2), "an even width")?;
            let factor = get("factor")?.unwrap_or(1.0);
            require(hp, "factor", factor > 0.0 && factor.is_finite(), "a positive number")?;
            return Ok(Rope::proportional(base, head_dim, partial, factor, defaults.pairing));
        }
        let width = (head_dim as f64 * partial) as usize;
        require(hp, "rope_theta", base > 0.0 && base.is_finite(), "a positive number")?;
        // The key that is to blame, and the object that has it.
        let key = if partial == 1.0 { "head_dim" } else { "partial_rotary_factor" };
        let at = scaling.filter(|scaling| scaling.value(key).is_some()).unwrap_or(hp);
        require(
            at,
            key,
            width >= 2 && width.is_multiple_of(2) && width <= head_dim,
            "an even rotary width of at least 2",
        )?;
        let lengths = match scaling {
            Some(scaling) => scaled(hp, scaling, base, width, context)?,
            None => Lengths::Any(RopeTable { freqs: plain(base, width), scale: 1.0 }),
        };
        Ok(Rope { width, pairing: defaults.pairing, lengths })
    }

    /// A rope over the whole head of which only the first share of pairs turns.
    pub(crate) fn proportional(base: f64, head_dim: usize, share: f64, factor: f64, pairing: Pairing) -> Rope {
        let turning = (share * head_dim as f64 / 2.0) as usize;
        let freqs = plain(base, head_dim).into_iter().enumerate();
        let freqs = freqs.map(|(i, freq)| if i < turning { freq / factor as f32 } else { 0.0 }).collect();
        Rope::fixed(head_dim, pairing, freqs, 1.0)
    }

    /// The rope without any scaling.
    pub(crate) fn unscaled(base: f64, width: usize, pairing: Pairing) -> Rope {
        Rope::fixed(width, pairing, plain(base, width), 1.0)
    }
}

/// What a rope is where the config is silent.
#[derive(Clone, Debug)]
pub(crate) struct RopeDefaults {
    pub(crate) head_dim: usize,
    /// `max_position_embeddings`.
    pub(crate) context: usize,
    /// The base.
    pub(crate) theta: f64,
    /// The share of a head that turns.
    pub(crate) partial: f64,
    pub(crate) pairing: Pairing,
}

fn scaled(config: &Hparams, hp: &Hparams, base: f64, width: usize, context: usize) -> Result<Lengths> {
    let kind = match hp.text("rope_type")? {
        Some(kind) => kind,
        None => hp.text("type")?.unwrap_or("default"),
    };
    let table = match kind {
        "default" => RopeTable { freqs: plain(base, width), scale: 1.0 },
        "linear" => linear(base, width, factor(hp)?),
        "dynamic" => {
            require(hp, "rope_type", width > 2, "a rotary width above 2 for dynamic scaling")?;
            return Ok(Lengths::Dynamic { base, factor: factor(hp)?, context });
        }
        "longrope" | "su" => return longrope(config, hp, base, width, context),
        "llama3" => llama3(hp, base, width, context)?,
        "yarn" => yarn(hp, base, width, context)?,
        _ => {
            let key = if hp.text("rope_type")?.is_some() { "rope_type" } else { "type" };
            return Err(hp.invalid(key, "default, linear, dynamic, llama3, yarn, longrope, su or proportional").into());
        }
    };
    Ok(Lengths::Any(table))
}

/// `base^(-2i/width)`, rounded as torch does: the power to f32, then its reciprocal.
fn plain(base: f64, width: usize) -> Vec<f32> {
    (0..width / 2).map(|i| 1.0 / base.powf((2 * i) as f64 / width as f64) as f32).collect()
}

fn linear(base: f64, width: usize, factor: f64) -> RopeTable {
    let freqs = plain(base, width).into_iter().map(|f| f / factor as f32).collect();
    RopeTable { freqs, scale: 1.0 }
}

/// Llama 3.1's: long wavelengths are divided by the factor, short ones kept, and those between are mixed.
fn llama3(hp: &Hparams, base: f64, width: usize, context: usize) -> Result<RopeTable> {
    let factor = factor(hp)? as f32;
    let low = hp.need_float("low_freq_factor")? as f32;
    let high = hp.need_float("high_freq_factor")? as f32;
    let original = original_context(hp, context)? as f32;
    require(hp, "high_freq_factor", high != low && low > 0.0, "a number other than low_freq_factor, both positive")?;
    let turn = |freq: f32| {
        let wavelength = 2.0 * PI as f32 / freq;
        if wavelength < original / high {
            freq
        } else if wavelength > original / low {
            freq / factor
        } else {
            let smooth = (original / wavelength - low) / (high - low);
            (1.0 - smooth) * freq / factor + smooth * freq
        }
    };
    Ok(RopeTable { freqs: plain(base, width).into_iter().map(turn).collect(), scale: 1.0 })
}

/// YaRN (Peng et al., 2023): a ramp over the pairs mixes kept and interpolated frequencies, and the scores are sharpened.
fn yarn(hp: &Hparams, base: f64, width: usize, context: usize) -> Result<RopeTable> {
    let original = original_context(hp, context)?;
    let factor = match hp.float("factor")? {
        Some(_) => factor(hp)?,
        None => context as f64 / original,
    };
    let turns = |turns: f64| width as f64 * (original / (turns * 2.0 * PI)).ln() / (2.0 * base.ln());
    let mut low = turns(nonzero(hp.float("beta_fast")?).unwrap_or(32.0));
    let mut high = turns(nonzero(hp.float("beta_slow")?).unwrap_or(1.0));
    if hp.flag("truncate")?.unwrap_or(true) {
        (low, high) = (low.floor(), high.ceil());
    }
    let (low, mut high) = (low.max(0.0), high.min(width as f64 - 1.0));
    if low == high {
        high += 0.001;
    }
    let mix = |(i, freq): (usize, f32)| {
        let ramp = (((i as f64 - low) / (high - low)) as f32).clamp(0.0, 1.0);
        freq / factor as f32 * ramp + freq * (1.0 - ramp)
    };
    let freqs = plain(base, width).into_iter().enumerate().map(mix).collect();
    Ok(RopeTable { freqs, scale: yarn_scale(hp, factor)? as f32 })
}

fn yarn_scale(hp: &Hparams, factor: f64) -> Result<f64> {
    let mscale = |m: f64| if factor <= 1.0 { 1.0 } else { 0.1 * m * factor.ln() + 1.0 };
    if let Some(given) = hp.float("attention_factor")? {
        return Ok(given);
    }
    Ok(match (nonzero(hp.float("mscale")?), nonzero(hp.float("mscale_all_dim")?)) {
        (Some(m), Some(all)) => mscale(m) / mscale(all),
        _ => mscale(1.0),
    })
}

/// LongRoPE: each frequency has its own divisor, one list for short sequences and one for long.
fn longrope(config: &Hparams, hp: &Hparams, base: f64, width: usize, context: usize) -> Result<Lengths> {
    let given = match hp.count("original_max_position_embeddings")? {
        Some(original) => Some(original),
        None => config.count("original_max_position_embeddings")?,
    };
    let original = given.unwrap_or(context);
    require(hp, "original_max_position_embeddings", original > 1, "a count above 1")?;
    let factor = match (given, hp.float("factor")?) {
        (None, Some(factor)) => factor,
        _ => context as f64 / original as f64,
    };
    let scale = match hp.float("attention_factor")? {
        Some(given) => given,
        None if factor <= 1.0 => 1.0,
        None => (1.0 + factor.ln() / (original as f64).ln()).sqrt(),
    };
    let table = |key: &str| -> Result<RopeTable> {
        let divisors = hp.need_floats(key)?;
        require(hp, key, divisors.len() == width / 2, "one number for each pair of rotary coordinates")?;
        let power = |i: usize| base.powf((2 * i) as f64 / width as f64) as f32;
        let freqs = divisors.iter().enumerate().map(|(i, divisor)| 1.0 / (*divisor as f32 * power(i))).collect();
        Ok(RopeTable { freqs, scale: scale as f32 })
    };
    Ok(Lengths::Long { original, short: table("short_factor")?, long: table("long_factor")? })
}

fn factor(hp: &Hparams) -> Result<f64> {
    let factor = hp.need_float("factor")?;
    require(hp, "factor", factor > 0.0 && factor.is_finite(), "a positive number")?;
    Ok(factor)
}

fn original_context(hp: &Hparams, context: usize) -> Result<f64> {
    let original = hp.count("original_max_position_embeddings")?.unwrap_or(context);
    require(hp, "original_max_position_embeddings", original > 0, "a positive count")?;
    Ok(original as f64)
}

fn nonzero(value: Option<f64>) -> Option<f64> {
    value.filter(|v| *v != 0.0)
}

fn require(hp: &Hparams, key: &str, ok: bool, expected: &str) -> Result<()> {
    if ok { Ok(()) } else { Err(hp.invalid(key, expected).into()) }
}
