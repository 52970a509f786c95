//! Which tensor of a checkpoint plays which role: tables of patterns, one for each layout.
//!
//! A pattern may hold `{i}`, which stands for the layer's index, and after it `{e}`, the expert's. What is ignored is listed with
//! the reason; such a pattern may end in `*`, and `{past}` stands for the index of a layer that the spec does not have. A family's own rows (`Family::hf`, `Family::gguf`) come before those that most
//! share. A role that has several rows in one table is found under the first name that the checkpoint holds.

pub(crate) mod gguf;
pub(crate) mod hf;
pub(crate) mod moe;

use std::collections::HashMap;

use ffai_checkpoint::Layout;

use crate::families::Family;
use crate::{Mixer, Spec};

/// How a weight is made of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is the tensor.
    Whole(&'static str),
    /// It is the tensor, which mlx-lm saves under the name of the row before.
    Former(&'static str),
    /// It is some rows of the tensor, in which these roles lie one after the other.
    Rows(&'static str, &'static [&'static str]),
    /// As [`Source::Rows`], but in a group for each key head (for each query head, where one of the roles is a gate): its part of each of
    /// these roles lies one after the other.
    Grouped(&'static str, &'static [&'static str]),
    /// It is the tensor plus one.
    PlusOne(&'static str),
    /// It is the tensor plus one, unless the checkpoint has taps of convolutions as MLX keeps them: then it is the tensor.
    Centred(&'static str),
    /// It is the tensor over the square root of its length.
    OverRoot(&'static str),
    /// It is one everywhere, and no tensor.
    Ones,
    /// It is one of a stack `[experts, ..]`, in each of which these roles lie one after the other.
    Stack(&'static str, &'static [&'static str]),
    /// It is every n-th row of one of a stack, in which the rows (or the numbers of vectors) of these roles take turns.
    Turns(&'static str, &'static [&'static str]),
    /// It is every n-th column of one of a stack `[experts, in, out]`, in which the columns of these roles take turns.
    Columns(&'static str, &'static [&'static str]),
    /// It is a stack of a matrix for each head, one under the other.
    Heads(&'static str),
    /// It is minus the exponential of the tensor.
    MinusExp(&'static str),
    /// It is `-8 ln(1 + e^x)` of the tensor.
    Forgetting(&'static str),
    /// It is the tensor, whose dimensions of length 1 do not count, or some rows of it, in which these roles lie one after the other.
    Squeezed(&'static str, &'static [&'static str]),
    /// It is the plain numbers of the tensor one after the other, whatever its shape (a vector in rows of groups).
    Flat(&'static str),
}

/// Role pattern and where its weight comes from.
pub type Row = (&'static str, Source);

const QKV: &[&str] = &["layers.{i}.attn.q", "layers.{i}.attn.k", "layers.{i}.attn.v"];
const GATE_UP: &[&str] = &["layers.{i}.mlp.gate", "layers.{i}.mlp.up"];

/// The tables of one family in one layout.
#[derive(Clone, Debug)]
pub struct Names {
    /// Where the weight of each role pattern may come from.
    roles: HashMap<&'static str, Vec<Source>>,
    /// Tensor pattern and the reason why nothing reads it.
    ignored: [&'static [(&'static str, &'static str)]; 2],
    wrapper: &'static [(&'static str, &'static str)],
}

/// A weight's source with the indices and the wrapper's prefix put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The recipe.
    pub source: Source,
    /// The tensor's name in the file.
    pub tensor: String,
    /// The roles of sources that hold several.
    pub parts: Vec<String>,
    /// The layer's index, and the expert's.
    pub indices: [Option<usize>; 2],
}

impl Found {
    /// How many groups the rows of the tensor come in: key heads, or query heads where each has a gate beside it.
    pub fn groups(&self, spec: &Spec) -> usize {
        let gated = self.parts.iter().any(|part| part.ends_with(".gate"));
        let groups = |mixer: &Mixer| match mixer {
            Mixer::Attention(a) => Some(if gated { a.heads } else { a.kv_heads }),
            Mixer::DeltaNet(net) => Some(net.k_heads),
            _ => None,
        };
        self.indices[0].and_then(|layer| spec.mixers_of(layer).find_map(groups)).unwrap_or(1)
    }
}

impl Names {
    /// The tables of a family in a layout. `has` says whether the checkpoint holds a tensor: the prefix of a language model
    /// among other towers is known by its embedding.
    pub fn of(layout: Layout, family: &Family, has: impl Fn(&str) -> bool) -> Names {
        let (own, shared, ignored) = match layout {
            Layout::HuggingFace => (family.hf, hf::ROLES, [hf::IGNORED, family.ignored]),
            Layout::Gguf => (family.gguf, gguf::ROLES, [&[] as &[_], family.ignored]),
        };
        let mut names = Names { roles: HashMap::new(), ignored, wrapper: &[] };
        own.iter().copied().chain([shared, moe::roles(layout)]).for_each(|table| names.add(table));
        if layout == Layout::HuggingFace {
            let embed = names.find("embed", &has).map(|found| found.tensor).unwrap_or_default();
            let fits = |wrapper: &&[(&str, &str)]| has(&wrapped(wrapper, &embed));
            names.wrapper = hf::WRAPPERS.iter().copied().find(fits).unwrap_or_default();
        }
        names
    }

    /// The tables of a family in safetensors, for a checkpoint that is yet to be written. `wrapped`: the names begin as mlx-lm has
    /// them for a language model among other towers.
    pub fn to_write(family: &Family, wrapped: bool) -> Names {
        let names = Names::of(Layout::HuggingFace, family, |_| false);
        Names { wrapper: if wrapped { hf::MLX_WRAPPER } else { &[] }, ..names }
    }

    /// Where mlx-lm saves the weight with this role: experts in the stack of a module; rows of a fused tensor in one of their own where
    /// there is a name for it; what may lie in several other places where it was read from (but not under a former name), else in the
    /// first of them.
    pub fn saved(&self, role: &str, read: Option<&Found>) -> Option<Found> {
        let (pattern, indices) = split(role);
        let sources = self.roles.get(pattern.as_str())?;
        let stack = sources.iter().rfind(|source| is_stack_of_module(source));
        let own = || sources.iter().rfind(|source| matches!(source, Source::Whole(_)));
        let split = || matches!(sources.first(), Some(Source::Rows(..))).then(own).flatten();
        let read = read.map(|read| read.source).filter(|source| !matches!(source, Source::Former(_)));
        let same = || sources.iter().find(|source| read == Some(**source));
        let source = stack.or_else(split).or_else(same).or(sources.first())?;
        let found = self.found(*source, &indices);
        Some(Found { indices: indices.map(|index| index.and_then(|index| index.parse().ok())), ..found })
    }

    /// As [`Names::saved`] for a weight that the tables `from` of another layout found: what may lie in several places there and here has
    /// them in the same order.
    pub fn saved_from(&self, role: &str, from: &Names, read: &Found) -> Option<Found> {
        let pattern = split(role).0;
        let (here, there) = (self.roles.get(pattern.as_str())?, from.roles.get(pattern.as_str())?);
        let nth = there.iter().position(|source| *source == read.source).filter(|_| here.len() == there.len());
        let same = nth.and_then(|nth| here.get(nth)).map(|source| Found { source: *source, ..read.clone() });
        self.saved(role, same.as_ref())
    }

    /// Whether the tensors' names begin with the prefix of a language model among other towers.
    pub fn is_wrapped(&self) -> bool {
        !self.wrapper.is_empty()
    }

    /// Rows of roles that no table before has.
    fn add(&mut self, table: &'static [Row]) {
        let mut new: HashMap<&str, Vec<Source>> = HashMap::new();
        for (pattern, source) in table.iter().filter(|(pattern, _)| !self.roles.contains_key(pattern)) {
            new.entry(pattern).or_default().push(*source);
        }
        self.roles.extend(new);
    }

    /// Where the weight with this role comes from, or none when the layout has no name for it. Where the checkpoint has none of
    /// the tensors that it may come from, that is the first of them.
    pub fn find(&self, role: &str, has: impl Fn(&str) -> bool) -> Option<Found> {
        let (pattern, indices) = split(role);
        let sources = self.roles.get(pattern.as_str())?;
        let mut all = sources.iter().map(|source| self.found(*source, &indices));
        let first = all.next()?;
        let found = if sources.len() == 1 || has(&first.tensor) {
            first
        } else {
            all.find(|found| has(&found.tensor)).unwrap_or(first)
        };
        Some(Found { indices: indices.map(|index| index.and_then(|index| index.parse().ok())), ..found })
    }

    fn found(&self, source: Source, indices: &[Option<&str>; 2]) -> Found {
        let (tensor, parts): (_, &[&str]) = match source {
            Source::Whole(tensor)
            | Source::Former(tensor)
            | Source::PlusOne(tensor)
            | Source::Centred(tensor)
            | Source::OverRoot(tensor)
            | Source::MinusExp(tensor)
            | Source::Forgetting(tensor)
            | Source::Flat(tensor)
            | Source::Heads(tensor) => (tensor, &[]),
            Source::Ones => ("", &[]),
            Source::Rows(tensor, parts)
            | Source::Grouped(tensor, parts)
            | Source::Stack(tensor, parts)
            | Source::Turns(tensor, parts)
            | Source::Columns(tensor, parts)
            | Source::Squeezed(tensor, parts) => (tensor, parts),
        };
        Found {
            source,
            tensor: wrapped(self.wrapper, &fill(tensor, indices)),
            parts: parts.iter().map(|part| fill(part, indices)).collect(),
            indices: [None; 2],
        }
    }

    /// The tensor that plays `role`, if the checkpoint may have several the first.
    pub fn tensor(&self, role: &str) -> Option<String> {
        self.find(role, |_| true).map(|found| found.tensor)
    }

    /// Why a tensor may stay unread by a spec of so many layers, if a rule says so.
    pub fn ignored(&self, tensor: &str, layers: usize) -> Option<&'static str> {
        let rules = self.ignored.into_iter().flatten();
        rules.into_iter().find(|(pattern, _)| self.covers(pattern, tensor, layers)).map(|(_, reason)| *reason)
    }

    fn covers(&self, pattern: &str, tensor: &str, layers: usize) -> bool {
        if let Some(prefix) = pattern.strip_suffix("{past}.*") {
            let rest = tensor.strip_prefix(wrapped(self.wrapper, prefix).as_str());
            let layer = rest.and_then(|rest| rest.split_once('.')?.0.parse::<usize>().ok());
            return layer.is_some_and(|layer| layer >= layers);
        }
        match pattern.strip_suffix('*') {
            Some(prefix) => tensor.starts_with(prefix),
            None => split(tensor).0 == wrapped(self.wrapper, pattern),
        }
    }
}

/// A stack of one role under the name of a module's parameter.
fn is_stack_of_module(source: &Source) -> bool {
    match source {
        Source::Stack(tensor, [_]) => tensor.ends_with(".weight") || tensor.ends_with(".bias"),
        _ => false,
    }
}

fn wrapped(wrapper: &[(&str, &str)], tensor: &str) -> String {
    let swap = |(from, to): &(&str, &str)| tensor.strip_prefix(from).map(|rest| format!("{to}{rest}"));
    wrapper.iter().find_map(swap).unwrap_or_else(|| tensor.to_owned())
}

/// A name as a pattern, and the numbers in it: `layers.3.moe.experts.17.up` is `layers.{i}.moe.experts.{e}.up` of 3 and 17.
fn split(name: &str) -> (String, [Option<&str>; 2]) {
    let (mut pattern, mut indices) = (String::with_capacity(name.len() + 4), [None; 2]);
    for (n, part) in name.split('.').enumerate() {
        if n > 0 {
            pattern.push('.');
        }
        let number = !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        match indices.iter().position(Option::is_none).filter(|_| number) {
            Some(at) => {
                indices[at] = Some(part);
                pattern.push_str(["{i}", "{e}"][at]);
            }
            None => pattern.push_str(part),
        }
    }
    (pattern, indices)
}

/// A role with `{i}` and `{e}` in place of its numbers.
pub(crate) fn pattern(role: &str) -> String {
    split(role).0
}

/// A pattern with the numbers put in.
fn fill(pattern: &str, indices: &[Option<&str>; 2]) -> String {
    let layer = pattern.replace("{i}", indices[0].unwrap_or_default());
    layer.replace("{e}", indices[1].unwrap_or_default())
}

/// A name with each expert's number as `*`: what experts have in common. Borrowed where there is none.
pub(crate) fn folded(name: &str) -> std::borrow::Cow<'_, str> {
    match split(name) {
        (pattern, [Some(layer), Some(_)]) if pattern.contains("experts.{e}") => {
            pattern.replace("{i}", layer).replace("{e}", "*").into()
        }
        _ => name.into(),
    }
}

/// The storages' companion of a matrix: `model.x.weight` -> `model.x.scales`.
pub(crate) fn companion(tensor: &str, part: &str) -> Option<String> {
    tensor.strip_suffix(".weight").map(|module| format!("{module}.{part}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(layout: Layout, family: &str) -> Names {
        Names::of(layout, crate::families::named(family).expect("a family"), |_| true)
    }

    #[test]
    fn a_role_is_found_under_the_name_of_its_layer() {
        let hf = names(Layout::HuggingFace, "llama");
        assert_eq!(hf.tensor("layers.17.attn.q").as_deref(), Some("model.layers.17.self_attn.q_proj.weight"));
        let gguf = names(Layout::Gguf, "llama");
        assert_eq!(gguf.tensor("layers.17.mlp.down").as_deref(), Some("blk.17.ffn_down.weight"));
        assert_eq!(hf.tensor("layers.x.attn.q"), None);
    }

    #[test]
    fn what_is_ignored_has_a_reason() {
        let hf = names(Layout::HuggingFace, "llama");
        assert!(hf.ignored("model.layers.3.self_attn.rotary_emb.inv_freq", 4).is_some());
        assert_eq!(hf.ignored("model.layers.3.self_attn.q_proj.weight", 4), None);
        let more = names(Layout::HuggingFace, "deepseek_v3");
        assert!(more.ignored("model.layers.4.eh_proj.weight", 4).is_some());
        assert_eq!(more.ignored("model.layers.3.eh_proj.weight", 4), None);
        let more = names(Layout::Gguf, "glm4_moe");
        assert!(more.ignored("blk.4.nextn.eh_proj.weight", 4).is_some());
        assert_eq!(more.ignored("blk.3.nextn.eh_proj.weight", 4), None);
        let more = names(Layout::Gguf, "qwen35");
        assert!(more.ignored("blk.4.attn_q.weight", 4).is_some());
    }

    #[test]
    fn a_language_model_among_other_towers_is_found_by_its_embedding() {
        let has = |name: &str| name == "language_model.model.embed_tokens.weight";
        let hf = Names::of(Layout::HuggingFace, crate::families::named("mistral3").expect("a family"), has);
        assert_eq!(hf.tensor("final_norm").as_deref(), Some("language_model.model.norm.weight"));
        assert_eq!(hf.tensor("head").as_deref(), Some("language_model.lm_head.weight"));
        assert!(hf.ignored("vision_tower.patch_conv.weight", 2).is_some());
    }

    #[test]
    fn rows_of_one_matrix_know_their_neighbours() {
        let found = names(Layout::HuggingFace, "phi3").find("layers.2.attn.k", |_| true).expect("a source");
        assert_eq!(found.tensor, "model.layers.2.self_attn.qkv_proj.weight");
        assert_eq!(found.parts, ["layers.2.attn.q", "layers.2.attn.k", "layers.2.attn.v"]);
    }

    #[test]
    fn an_expert_is_one_of_a_stack_or_a_tensor_of_its_own() {
        let hf = names(Layout::HuggingFace, "qwen3_moe");
        let stack = "model.layers.2.mlp.switch_mlp.gate_proj.weight";
        let found = hf.find("layers.2.moe.experts.17.gate", |name| name == stack).expect("a source");
        assert_eq!((found.tensor.as_str(), found.indices), (stack, [Some(2), Some(17)]));
        assert_eq!(found.parts, ["layers.2.moe.experts.17.gate"]);
        let own = "model.layers.2.mlp.experts.17.gate_proj.weight";
        let found = hf.find("layers.2.moe.experts.17.gate", |_| false).expect("a source");
        assert_eq!(
            (found.tensor.as_str(), found.source),
            (own, Source::Whole("model.layers.{i}.mlp.experts.{e}.gate_proj.weight"))
        );
    }

    #[test]
    fn experts_are_saved_as_the_stack_of_a_module() {
        let saved = |family: &str, role: &str| {
            let names = Names::to_write(crate::families::named(family).expect("a family"), false);
            names.saved(role, None).map(|found| found.tensor)
        };
        let stack = |name: &str| Some(name.to_owned());
        let (up, bias) = ("layers.2.moe.experts.17.up", "layers.2.moe.experts.17.down_bias");
        assert_eq!(saved("qwen3_moe", up), stack("model.layers.2.mlp.switch_mlp.up_proj.weight"));
        assert_eq!(saved("mixtral", up), stack("model.layers.2.block_sparse_moe.switch_mlp.up_proj.weight"));
        assert_eq!(saved("granitemoe", up), stack("model.layers.2.block_sparse_moe.switch_mlp.up_proj.weight"));
        assert_eq!(saved("gpt_oss", bias), stack("model.layers.2.mlp.experts.down_proj.bias"));
        assert_eq!(saved("gemma4_text", up), stack("model.layers.2.experts.switch_glu.up_proj.weight"));
        assert_eq!(saved("lfm2_moe", up), stack("model.layers.2.feed_forward.switch_mlp.up_proj.weight"));
        assert_eq!(saved("llama", "layers.2.attn.q"), stack("model.layers.2.self_attn.q_proj.weight"));
    }

    #[test]
    fn what_has_a_former_name_is_saved_under_the_new_one() {
        let names = Names::to_write(crate::families::named("lfm2_moe").expect("a family"), false);
        let (role, former) = ("layers.0.mlp.gate", "model.layers.0.feed_forward.w1.weight");
        let read = names.find(role, |name| name == former).expect("a source");
        assert_eq!(read.tensor, former);
        let saved = names.saved(role, Some(&read)).map(|found| found.tensor);
        assert_eq!(saved.as_deref(), Some("model.layers.0.feed_forward.gate_proj.weight"));
    }

    #[test]
    fn names_of_experts_fold() {
        assert_eq!(folded("layers.2.moe.experts.17.gate"), "layers.2.moe.experts.*.gate");
        assert_eq!(folded("layers.2.attn.q"), "layers.2.attn.q");
    }
}
