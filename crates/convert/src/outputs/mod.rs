//! Which tensors are written, and of which stored rows each consists.

mod from_gguf;

use std::collections::HashMap;

use ffai_checkpoint::{Checkpoint, Dtype, Float, Int, Storage, Tensor};
use ffai_model::{
    Shape, Spec, Weights, families,
    families::OwnWidth,
    names::{Found, Names, Source},
};

pub(crate) use self::from_gguf::outputs_of_gguf;
use crate::{Error, Result, mlx, part::Part};

/// A tensor that is written, with the scales and biases beside it.
pub(crate) struct Output {
    /// Its name.
    pub(crate) name: String,
    /// Its shape in numbers.
    pub(crate) shape: Vec<usize>,
    /// Its rows, one part after the other.
    pub(crate) parts: Vec<Part>,
    /// The first role it plays.
    pub(crate) role: String,
    /// Whether mlx-lm can quantize it.
    pub(crate) module: bool,
    /// The family's own rule.
    pub(crate) own: Option<OwnWidth>,
    /// Whether it comes from a GGUF.
    pub(crate) from_gguf: bool,
    /// How it is written.
    pub(crate) storage: Storage,
}

impl Output {
    pub(crate) fn rows(&self) -> usize {
        self.parts.iter().map(Part::rows).sum()
    }

    pub(crate) fn cols(&self) -> usize {
        self.parts.first().map_or(1, Part::cols)
    }

    /// The path of its module: what a config calls it.
    pub(crate) fn path(&self) -> &str {
        self.name.strip_suffix(".weight").unwrap_or(&self.name)
    }

    /// The storage that all parts have, if they have the same.
    pub(crate) fn stored(&self) -> Option<Storage> {
        let first = self.parts.first()?.storage();
        self.parts.iter().all(|part| part.storage() == first && part.tensor.factor() == 1.0).then_some(first)
    }

    /// The storage of MLX that stands for what is stored, scales being of this type where the file's are none of MLX's: of parts that
    /// differ the widest, and none where they are plain, in part or all.
    pub(crate) fn kept(&self, scales: Float) -> Option<Storage> {
        let of = |part: &Part| match part.storage() {
            Storage::Block(block) => Some(mlx::storage_of(block, scales)),
            Storage::Dense(_) => None,
            own => Some(own).filter(|_| part.tensor.factor() == 1.0),
        };
        let all = self.parts.iter().map(of).collect::<Option<Vec<_>>>()?;
        let first = *all.first()?;
        if all.iter().all(|one| *one == first) {
            return Some(first);
        }
        let blocks = self.parts.iter().all(|part| matches!(part.storage(), Storage::Block(_)));
        all.into_iter().filter(|_| blocks).max_by_key(|storage| storage.row_bytes(self.cols()))
    }

    /// Whether blocks of GGUF are the source.
    pub(crate) fn is_of_blocks(&self) -> bool {
        self.parts.iter().any(|part| matches!(part.storage(), Storage::Block(_)))
    }
}

/// All tensors to write, in the order of use.
pub(crate) fn outputs(spec: &Spec, weights: &Weights, checkpoint: &Checkpoint) -> Result<Vec<Output>> {
    let has = |name: &str| checkpoint.entry(name).is_some();
    let family = families::named(spec.family).ok_or_else(|| unplaced(spec, "model", ""))?;
    if family.folded.is_some() && !families::is_folded(checkpoint) {
        return Err(Error::Unfolded { family: spec.family });
    }
    let read = Names::of(checkpoint.layout(), family, has);
    let write = Names::to_write(family, read.is_wrapped());
    // Norms that are kept minus one are written as they multiply, as mlx-lm saves them: it would not add the one to a checkpoint whose
    // experts are stacked. The shape of taps says which of the two a file has, so without any nothing changes.
    let taps = checkpoint.entries().any(|entry| entry.name.ends_with(".conv1d.weight"));
    let raw = taps && !families::is_folded(checkpoint);
    let centred = |source: &Source| raw && matches!(source, Source::Centred(_));
    let fold =
        raw && spec.weights().iter().any(|decl| read.find(&decl.role, has).is_some_and(|found| centred(&found.source)));
    let (mut outputs, mut index): (Vec<Output>, HashMap<String, usize>) = Default::default();
    for decl in spec.weights() {
        let role = decl.role;
        let (Some(from), Some(tensor)) = (read.find(&role, has), weights.get(&role)) else {
            return Err(unplaced(spec, &role, ""));
        };
        let Some(to) = write.saved(&role, Some(&from)) else { return Err(unplaced(spec, &role, &from.tensor)) };
        if to.source == Source::Ones {
            continue;
        }
        let whole = from.source == to.source;
        if let Some(&at) = index.get(&to.tensor) {
            // The whole tensor was taken for the first of its roles.
            if !whole {
                outputs[at].parts.push(Part::new(tensor.clone()));
            }
            continue;
        }
        let part = if whole { stored(checkpoint, &from, tensor)? } else { placed(spec, &role, &from, &to, tensor)? };
        index.insert(to.tensor.clone(), outputs.len());
        let (mut shape, storage) = (part.shape().to_vec(), part.storage());
        if let (true, Source::Squeezed(..), [_, 1, _]) = (fold, to.source, &*shape) {
            shape.swap(1, 2);
        }
        let part = if centred(&to.source) { Part::changed(&part, |value| 1.0 + value) } else { Part::new(part) };
        outputs.push(Output {
            module: matches!(decl.shape, Shape::Matrix { .. }) && to.tensor.ends_with(".weight"),
            shape,
            own: family.own_width(&role),
            storage,
            from_gguf: false,
            name: to.tensor,
            parts: vec![part],
            role,
        });
    }
    outputs.iter_mut().for_each(stack);
    Ok(outputs)
}

/// The tensor as it lies in the file, whatever becomes of it when a model is loaded.
fn stored(checkpoint: &Checkpoint, found: &Found, bound: &Tensor) -> Result<Tensor> {
    let entry = |name: &str| checkpoint.entry(name);
    let Some(weight) = entry(&found.tensor) else { return Ok(bound.clone()) };
    let part = |part: &str| entry(&format!("{}.{part}", found.tensor.strip_suffix(".weight")?));
    Ok(match (part("scales"), part("biases")) {
        (Some(scales), Some(biases)) => Tensor::affine(weight, scales, biases, bound.cols())?,
        (Some(scales), None) if scales.dtype == Dtype::Int(Int::U8) => match part("global_scale") {
            // Its scales are multiples of another number: only the bound tensor knows which of several is whose.
            Some(_) => bound.clone(),
            None => Tensor::microscaled(weight, scales, None, bound.cols())?,
        },
        _ => Tensor::dense(weight)?,
    })
}

/// A weight that moves: from a tensor of its own or a stack of another form into the stack of a module.
fn placed(spec: &Spec, role: &str, from: &Found, to: &Found, tensor: &Tensor) -> Result<Tensor> {
    match to.source {
        Source::Whole(_) | Source::Stack(_, [_])
            if !matches!(from.source, Source::PlusOne(_) | Source::OverRoot(_)) =>
        {
            Ok(tensor.clone())
        }
        _ => Err(unplaced(spec, role, &from.tensor)),
    }
}

/// Several parts are a stack: one matrix or vector for each expert.
fn stack(output: &mut Output) {
    let count = output.parts.len();
    if count > 1 {
        let own = if output.module { vec![output.parts[0].rows(), output.cols()] } else { vec![output.cols()] };
        output.shape = [&[count], own.as_slice()].concat();
    }
}

fn unplaced(spec: &Spec, role: &str, tensor: &str) -> Error {
    Error::NoPlace { role: role.to_owned(), family: spec.family, tensor: tensor.to_owned() }
}

/// The float type of a plain tensor.
pub(crate) fn float(storage: Storage) -> Option<Float> {
    if let Storage::Dense(float) = storage { Some(float) } else { None }
}
