//! Which storage each tensor gets, by the rules of mlx-lm.

use std::collections::BTreeMap;

use ffai_checkpoint::{Affine, Float, Hparams, Mode, Params, Storage};
use ffai_model::{Spec, families::OwnWidth};

use crate::{
    Error, Options, Recipe, Result, Width,
    config::FLOATS,
    outputs::{Output, float},
};

/// What the config says of widths: of most modules, and of those that differ.
pub(crate) struct Widths {
    /// The default; none where nothing is quantized.
    pub(crate) default: Option<Params>,
    /// By the path of the module.
    pub(crate) modules: BTreeMap<String, Params>,
    /// The type of plain numbers, where one was chosen.
    pub(crate) dtype: Option<Float>,
}

/// Decides the storage of every output.
pub(crate) fn decide(outputs: &mut [Output], spec: &Spec, options: &Options, config: &Hparams) -> Result<Widths> {
    let dtype = options.dtype.or(declared(config)?).or(usual(outputs, options));
    let has_names = outputs.iter().any(|output| output.path().contains("down_proj"));
    if matches!(options.width, Width::Recipe(..)) && !has_names {
        return Err(Error::NoRecipe { family: spec.family });
    }
    if let Some(bits) = options.head_bits.filter(|_| spec.head.tied) {
        let expected = "left out: the head is the embedding, so use --embedding-bits";
        return Err(Error::Option { option: "--head-bits", value: bits.to_string(), expected });
    }
    for output in &mut *outputs {
        output.storage = storage(output, spec, options, dtype);
    }
    let dtype = dtype.or_else(|| float_of(outputs.iter().find(|output| output.from_gguf && output.role == "embed")?));
    let all = outputs.iter().filter_map(|output| Some((output.path().to_owned(), params(output.storage)?)));
    let all: BTreeMap<String, Params> = all.collect();
    let default = options.width.params().filter(|_| !all.is_empty()).or_else(|| commonest(&all));
    let modules = all.into_iter().filter(|(_, params)| Some(*params) != default).collect();
    Ok(Widths { default, modules, dtype })
}

/// The float type of numbers or scales.
fn float_of(output: &Output) -> Option<Float> {
    match output.storage {
        Storage::Dense(float) => Some(float),
        Storage::Affine(affine) => Some(affine.scales),
        Storage::Microscaled(_) | Storage::Block(_) => Some(Float::BF16),
    }
}

/// The type that the config declares; none where it is silent or has another.
fn declared(config: &Hparams) -> Result<Option<Float>> {
    let text = config.object("text_config")?;
    let of = |hp: &Hparams| -> Result<Option<Float>> {
        let name = match hp.text("torch_dtype")? {
            Some(name) => Some(name),
            None => hp.text("dtype")?,
        };
        Ok(FLOATS.iter().find(|(float, _)| Some(*float) == name).map(|(_, float)| *float))
    };
    match of(config)? {
        Some(float) => Ok(Some(float)),
        None => text.as_ref().map_or(Ok(None), of),
    }
}

/// The type of plain numbers beside codes that are made of a GGUF, which declares none: that of the embedding, bf16 where that has
/// codes. Norms are f32 there whatever the model is.
fn usual(outputs: &[Output], options: &Options) -> Option<Float> {
    let of_gguf = outputs.iter().any(|output| output.from_gguf);
    options.width.params().filter(|_| of_gguf)?;
    let embedding = outputs.iter().find(|output| output.role == "embed");
    Some(embedding.and_then(Output::stored).and_then(float).unwrap_or(Float::BF16))
}

fn storage(output: &Output, spec: &Spec, options: &Options, dtype: Option<Float>) -> Storage {
    // mlx-lm adds to what the embedding gives it, in its type: with scales in f16 some models would leave the range.
    let scales = if output.role == "embed" { Float::F32 } else { Float::F16 };
    let stored = output.kept(dtype.unwrap_or(scales)).or(output.stored());
    // Where no type was asked for, blocks that become plain lose nothing.
    let silent = if output.is_of_blocks() { Float::F32 } else { Float::BF16 };
    let own_float = stored.and_then(float).unwrap_or(silent);
    // A number that corrects the choice of experts keeps its type: rounded, it would choose others.
    let plain =
        Storage::Dense(if output.role.ends_with(".correction") { own_float } else { dtype.unwrap_or(own_float) });
    let asked = match options.width {
        _ if !output.module => return plain,
        Width::Plain => return plain,
        // What mlx-lm has no codes for is a matter of files that it did not write.
        Width::AsStored if output.from_gguf && output.own == Some(OwnWidth::Plain) => return plain,
        Width::AsStored => {
            return stored.filter(|stored| float(*stored).is_none()).unwrap_or(plain);
        }
        Width::Quantized(_) | Width::Recipe(..) => asked(output, spec, options),
    };
    match asked {
        Some(params) => match stored {
            Some(stored) if self::params(stored) == Some(params) => stored,
            _ => in_storage(params, dtype.unwrap_or(own_float)),
        },
        None => plain,
    }
}

/// Whether rows of a module are whole groups.
fn divides(output: &Output, params: Params) -> bool {
    output.cols().is_multiple_of(in_storage(params, Float::F32).step())
}

/// Whether a module was to be quantized and stays plain, as in mlx-lm, for its rows are no whole groups.
pub(crate) fn is_uneven(output: &Output, options: &Options) -> bool {
    let uneven = |params: Params| output.own != Some(OwnWidth::Plain) && !divides(output, params);
    output.module && options.width.params().is_some_and(uneven)
}

/// The parameters of a module; none where it stays plain.
fn asked(output: &Output, spec: &Spec, options: &Options) -> Option<Params> {
    let base = options.width.params()?;
    let divides = |params: &Params| divides(output, *params);
    if output.own == Some(OwnWidth::Plain) || !divides(&base) {
        return None;
    }
    let group = if base.mode == Mode::Affine { base.group } else { 64 };
    let affine = |bits: u8, group: u32| Params { bits, group, mode: Mode::Affine };
    let own = match (output.role.as_str(), options.width) {
        ("embed", _) if options.embedding_bits.is_some() => options.embedding_bits.map(|bits| affine(bits, group)),
        ("head", _) if options.head_bits.is_some() => options.head_bits.map(|bits| affine(bits, group)),
        (_, Width::Recipe(recipe, group)) => Some(affine(recipe_bits(output.path(), recipe, spec), group)),
        _ if output.own == Some(OwnWidth::Bits8) => Some(affine(8, 64)),
        _ => None,
    };
    Some(own.filter(divides).unwrap_or(base))
}

fn recipe_bits(path: &str, recipe: Recipe, spec: &Spec) -> u8 {
    let (low, high) = recipe.bits();
    let layer = path.split('.').find_map(|part| part.parse().ok()).unwrap_or(0);
    let wide = ["v_proj", "v_a_proj", "v_b_proj", "down_proj"].iter().any(|name| path.contains(name));
    if path.contains("lm_head") || (wide && Recipe::more(layer, spec.layers.len())) { high } else { low }
}

fn in_storage(params: Params, scales: Float) -> Storage {
    match params.mode {
        Mode::Affine => Storage::Affine(Affine { bits: params.bits, group: params.group, scales }),
        Mode::Microscaled(micro) => Storage::Microscaled(micro),
    }
}

/// What a config says of a storage; none for plain numbers.
fn params(storage: Storage) -> Option<Params> {
    match storage {
        Storage::Affine(Affine { bits, group, .. }) => Some(Params { bits, group, mode: Mode::Affine }),
        Storage::Microscaled(micro) => {
            Some(Params { bits: micro.bits(), group: micro.group(), mode: Mode::Microscaled(micro) })
        }
        Storage::Dense(_) | Storage::Block(_) => None,
    }
}

fn commonest(all: &BTreeMap<String, Params>) -> Option<Params> {
    all.values().copied().max_by_key(|one| all.values().filter(|other| *other == one).count())
}
