//! The tensors of a GGUF in the places that mlx-lm and transformers look for them.
//!
//! A weight is bound by the tables of GGUF and placed by those of Hugging Face. Where a table says that a weight is made of a tensor,
//! its making is undone: one is taken from norms that add it again, rows of one tensor come together, and rows of q and k get the order
//! in which the ropes of the config turn them.

use std::collections::HashMap;

use ffai_checkpoint::{Checkpoint, Tensor};
use ffai_model::{
    DeltaNet, HeadOrder, Mixer, Pairing, Rope, Shape, Spec, WeightDecl, Weights, families,
    families::{Family, HuggingFaceForm},
    names::{Found, Names, Source},
};

use super::{Output, unplaced};
use crate::{
    Error, Result,
    part::{Order, Part},
};

/// All tensors to write, in the order of use: `gguf` is the spec that `weights` were bound to.
pub(crate) fn outputs_of_gguf(
    gguf: &Spec,
    form: &HuggingFaceForm,
    weights: &Weights,
    checkpoint: &Checkpoint,
) -> Result<Vec<Output>> {
    let spec = &form.spec;
    let family = |spec: &Spec| families::named(spec.family).ok_or_else(|| unplaced(spec, "model", ""));
    let has = |name: &str| checkpoint.entry(name).is_some();
    let read = Names::of(checkpoint.layout(), family(gguf)?, has);
    let mut places = Places { gguf, spec, family: family(spec)?, checkpoint, list: Vec::new(), index: HashMap::new() };
    let write = Names::to_write(places.family, form.wrapped);
    for decl in spec.weights() {
        let (Some(from), Some(tensor)) = (read.find(&decl.role, has), weights.get(&decl.role)) else {
            return Err(unplaced(spec, &decl.role, ""));
        };
        let Some(to) = write.saved_from(&decl.role, &read, &from) else {
            return Err(unplaced(spec, &decl.role, &from.tensor));
        };
        places.put(&decl, &from, to, tensor)?;
    }
    // Norms that other files keep minus one are as they multiply where taps have the form of mlx-lm.
    let folded = places.list.iter().any(|(_, to)| matches!(to.source, Source::Centred(_)));
    places.list.into_iter().map(|(output, to)| finish(spec, output, &to, folded)).collect()
}

/// Tensors so far, and where each goes.
struct Places<'a> {
    gguf: &'a Spec,
    spec: &'a Spec,
    family: &'static Family,
    checkpoint: &'a Checkpoint,
    list: Vec<(Output, Found)>,
    index: HashMap<String, usize>,
}

impl Places<'_> {
    fn put(&mut self, decl: &WeightDecl, from: &Found, to: Found, tensor: &Tensor) -> Result<()> {
        if to.source == Source::Ones {
            return Ok(());
        }
        let part = self.part(decl, from, &to, tensor)?;
        if let Some(&at) = self.index.get(&to.tensor) {
            let (output, _) = &mut self.list[at];
            // A tensor of several parts takes them in its own order; one that plays several roles was taken for the first.
            match to.parts.get(output.parts.len()) {
                Some(role) if *role == decl.role => output.parts.push(part),
                _ if matches!(to.source, Source::Stack(..)) => output.parts.push(part),
                None if to.parts.is_empty() => {}
                _ => return Err(unplaced(self.spec, &decl.role, &from.tensor)),
            }
            return Ok(());
        }
        self.index.insert(to.tensor.clone(), self.list.len());
        let vector = matches!(decl.shape, Shape::Vector { .. });
        let output = Output {
            module: matches!(decl.shape, Shape::Matrix { .. }) && to.tensor.ends_with(".weight"),
            shape: if vector { vec![part.cols()] } else { part.tensor.shape().to_vec() },
            own: self.family.own_width(&decl.role),
            storage: part.storage(),
            from_gguf: true,
            name: to.tensor.clone(),
            parts: vec![part],
            role: decl.role.clone(),
        };
        self.list.push((output, to));
        Ok(())
    }

    /// The rows of one weight as the new tensor has them.
    fn part(&self, decl: &WeightDecl, from: &Found, to: &Found, tensor: &Tensor) -> Result<Part> {
        let refuse = || Err(unplaced(self.spec, &decl.role, &from.tensor));
        let vector = matches!(decl.shape, Shape::Vector { .. });
        let stored = || match self.checkpoint.entry(&from.tensor) {
            Some(entry) => Ok(Part::new(Tensor::dense(entry)?)),
            None => refuse(),
        };
        match (from.source, to.source) {
            // Whatever is done to the one when it is loaded is done to the other.
            (Source::PlusOne(_), Source::PlusOne(_))
            | (Source::OverRoot(_), Source::OverRoot(_))
            | (Source::MinusExp(_), Source::MinusExp(_))
            | (Source::Heads(_), Source::Heads(_)) => stored(),
            (_, Source::PlusOne(_)) => Ok(Part::changed(tensor, |value| value - 1.0)),
            (_, Source::MinusExp(_)) => {
                let part = Part::changed(tensor, |value| (-value).ln());
                if part.tensor.to_f32().iter().any(|value| !value.is_finite()) {
                    let (file, tensor) = (tensor.file().to_owned(), tensor.name().to_owned());
                    return Err(Error::NotFinite { file, tensor, dtype: "a logarithm of a decay".to_owned() });
                }
                Ok(Part::ordered(part.tensor, self.heads(&decl.role, to), vector))
            }
            (_, Source::Rows(..) | Source::Grouped(..)) if vector => refuse(),
            (
                _,
                Source::Whole(_) | Source::Centred(_) | Source::Rows(..) | Source::Grouped(..) | Source::Squeezed(..),
            ) => {
                let order = match self.heads(&decl.role, to) {
                    Order::Straight => self.order(&decl.role, to),
                    heads => Some(heads),
                };
                let Some(order) = order else { return refuse() };
                Ok(Part::ordered(tensor.clone(), order, vector).with_columns(self.columns(&decl.role, to)))
            }
            (_, Source::Stack(_, [_])) => Ok(Part::new(tensor.clone())),
            _ => refuse(),
        }
    }

    /// The order of value heads, for what has rows or numbers of them.
    fn heads(&self, role: &str, to: &Found) -> Order {
        let Some(net) = to.indices[0].and_then(|layer| self.tiled(layer)) else { return Order::Straight };
        let (groups, heads) = (net.k_heads, net.v_heads);
        let of = |width| Order::Together { width, groups, heads };
        match role.rsplit_once(".delta.").map(|(_, part)| part) {
            Some("v" | "z" | "v_taps") => of(net.v_dim),
            Some("a" | "b" | "decay" | "step") => of(1),
            _ => Order::Straight,
        }
    }

    /// The order of value heads in the rows of the last matrix.
    fn columns(&self, role: &str, to: &Found) -> Order {
        match to.indices[0].and_then(|layer| self.tiled(layer)) {
            Some(net) if role.ends_with(".delta.o") => {
                Order::Together { width: net.v_dim, groups: net.k_heads, heads: net.v_heads }
            }
            _ => Order::Straight,
        }
    }

    /// The delta net of a layer whose value heads come in turn here and together there.
    fn tiled(&self, layer: usize) -> Option<DeltaNet> {
        let [here, there] = [self.gguf, self.spec].map(|spec| delta_net(spec, layer));
        here.filter(|here| {
            here.order == HeadOrder::Tiled && there.is_some_and(|there| there.order == HeadOrder::Grouped)
        })
    }

    /// The order of the rows of q and k, of their biases and norms.
    fn order(&self, role: &str, to: &Found) -> Option<Order> {
        const TURNED: [&str; 6] =
            [".attn.q", ".attn.k", ".attn.q_bias", ".attn.k_bias", ".attn.q_norm", ".attn.k_norm"];
        let layer = to.indices[0].filter(|_| TURNED.iter().any(|end| role.ends_with(end)));
        let Some(layer) = layer else { return Some(Order::Straight) };
        let Some(attention) = self.spec.attention(layer) else {
            let same = pairing(self.gguf, None) == pairing(self.spec, None);
            return same.then_some(Order::Straight);
        };
        let turned = attention.rope.and_then(|rope| self.spec.ropes.get(rope)).map_or(attention.head_dim, |r| r.width);
        match (pairing(self.gguf, attention.rope), pairing(self.spec, attention.rope)) {
            (Some(from), Some(to)) => Order::between(from, to, attention.head_dim, turned),
            _ => Some(Order::Straight),
        }
    }
}

fn delta_net(spec: &Spec, layer: usize) -> Option<DeltaNet> {
    spec.mixers_of(layer).find_map(|mixer| if let Mixer::DeltaNet(net) = mixer { Some(*net) } else { None })
}

/// How a rope pairs coordinates; for layers without one as the first does, for converters bring all layers into one order.
fn pairing(spec: &Spec, rope: Option<usize>) -> Option<Pairing> {
    spec.ropes.get(rope.unwrap_or(0)).map(|rope: &Rope| rope.pairing)
}

/// The shape of a tensor of several parts.
fn finish(spec: &Spec, mut output: Output, to: &Found, folded: bool) -> Result<Output> {
    let cols = output.cols();
    match to.source {
        Source::Rows(_, roles) | Source::Grouped(_, roles) if output.parts.len() != roles.len() => {
            return Err(unplaced(spec, &output.role, &output.name));
        }
        Source::Rows(..) => output.shape = vec![output.rows(), cols],
        Source::Grouped(..) => {
            let groups = to.groups(spec);
            output.shape = vec![output.rows(), cols];
            output.parts =
                (0..groups).flat_map(|group| output.parts.iter().map(move |part| share(part, group, groups))).collect();
        }
        Source::Stack(..) => {
            let own = if output.module { vec![output.parts[0].rows(), cols] } else { vec![cols] };
            output.shape = [&[output.parts.len()], own.as_slice()].concat();
        }
        // A convolution over one channel at a time.
        Source::Squeezed(..) if folded => output.shape = vec![output.rows(), cols, 1],
        Source::Squeezed(..) => output.shape = vec![output.rows(), 1, cols],
        _ => {}
    }
    Ok(output)
}

/// The rows of a part that belong to one of so many groups.
fn share(part: &Part, group: usize, groups: usize) -> Part {
    let rows = part.rows() / groups;
    part.range(group * rows..(group + 1) * rows)
}
