//! Which tensor of a checkpoint plays which role: tables of patterns, one for each layout.
//!
//! A pattern may hold `{i}`, which stands for the layer's index. What is ignored is listed with the reason; such a pattern may
//! end in `*`. A family's own rows (`Family::hf`, `Family::gguf`) come before those that most share.

pub(crate) mod gguf;
pub(crate) mod hf;

use ffai_checkpoint::Layout;

use crate::families::Family;

/// How a weight is made of a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// It is the tensor.
    Whole(&'static str),
    /// It is some rows of the tensor, in which these roles lie one after the other.
    Rows(&'static str, &'static [&'static str]),
    /// It is the tensor plus one.
    PlusOne(&'static str),
}

/// Role pattern and where its weight comes from.
pub type Row = (&'static str, Source);

const QKV: &[&str] = &["layers.{i}.attn.q", "layers.{i}.attn.k", "layers.{i}.attn.v"];
const GATE_UP: &[&str] = &["layers.{i}.mlp.gate", "layers.{i}.mlp.up"];

/// The tables of one family in one layout.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// The family's own rows, which come before those of the layout.
    own: &'static [&'static [Row]],
    roles: &'static [Row],
    /// Tensor pattern and the reason why nothing reads it.
    ignored: [&'static [(&'static str, &'static str)]; 2],
    wrapper: &'static [(&'static str, &'static str)],
}

/// A weight's source with the layer's index and the wrapper's prefix put in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The recipe.
    pub source: Source,
    /// The tensor's name in the file.
    pub tensor: String,
    /// The roles of [`Source::Rows`].
    pub parts: Vec<String>,
}

impl Names {
    /// The tables of a family in a layout. `has` says whether the checkpoint holds a tensor: the prefix of a language model
    /// among other towers is known by its embedding.
    pub fn of(layout: Layout, family: &Family, has: impl Fn(&str) -> bool) -> Names {
        let mut names = match layout {
            Layout::HuggingFace => {
                Names { own: family.hf, roles: hf::ROLES, ignored: [hf::IGNORED, family.ignored], wrapper: &[] }
            }
            Layout::Gguf => Names { own: family.gguf, roles: gguf::ROLES, ignored: [&[], &[]], wrapper: &[] },
        };
        if layout == Layout::HuggingFace {
            let fits = |wrapper| Names { wrapper, ..names }.tensor("embed").is_some_and(|embed| has(&embed));
            names.wrapper = hf::WRAPPERS.iter().copied().find(|wrapper| fits(*wrapper)).unwrap_or_default();
        }
        names
    }

    /// Where the weight with this role comes from, or none when the layout has no name for it.
    pub fn find(&self, role: &str) -> Option<Found> {
        let rows = self.own.iter().copied().flatten().chain(self.roles);
        let (index, source) =
            rows.into_iter().find_map(|(pattern, source)| Some((capture(pattern, role)?, *source)))?;
        let (Source::Whole(tensor) | Source::Rows(tensor, _) | Source::PlusOne(tensor)) = source;
        let parts = if let Source::Rows(_, parts) = source { parts } else { &[] };
        Some(Found {
            source,
            tensor: self.wrapped(&tensor.replace("{i}", index)),
            parts: parts.iter().map(|part| part.replace("{i}", index)).collect(),
        })
    }

    /// The tensor that plays `role`.
    pub fn tensor(&self, role: &str) -> Option<String> {
        self.find(role).map(|found| found.tensor)
    }

    fn wrapped(&self, tensor: &str) -> String {
        let swap = |(from, to): &(&str, &str)| tensor.strip_prefix(from).map(|rest| format!("{to}{rest}"));
        self.wrapper.iter().find_map(swap).unwrap_or_else(|| tensor.to_owned())
    }

    /// Why a tensor may stay unread, if a rule says so.
    pub fn ignored(&self, tensor: &str) -> Option<&'static str> {
        let rules = self.ignored.into_iter().flatten();
        rules.into_iter().find(|(pattern, _)| self.covers(pattern, tensor)).map(|(_, reason)| *reason)
    }

    fn covers(&self, pattern: &str, tensor: &str) -> bool {
        match pattern.strip_suffix('*') {
            Some(prefix) => tensor.starts_with(prefix),
            None => capture(&self.wrapped(pattern), tensor).is_some(),
        }
    }
}

/// Matches `name` against a pattern with at most one `{i}`; gives the digits it stands for (empty where the pattern has none).
fn capture<'a>(pattern: &str, name: &'a str) -> Option<&'a str> {
    let Some((before, after)) = pattern.split_once("{i}") else {
        return (pattern == name).then_some("");
    };
    let middle = name.strip_prefix(before)?.strip_suffix(after)?;
    (!middle.is_empty() && middle.bytes().all(|b| b.is_ascii_digit())).then_some(middle)
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
        assert!(hf.ignored("model.layers.3.self_attn.rotary_emb.inv_freq").is_some());
        assert_eq!(hf.ignored("model.layers.3.self_attn.q_proj.weight"), None);
    }

    #[test]
    fn a_language_model_among_other_towers_is_found_by_its_embedding() {
        let has = |name: &str| name == "language_model.model.embed_tokens.weight";
        let hf = Names::of(Layout::HuggingFace, crate::families::named("mistral3").expect("a family"), has);
        assert_eq!(hf.tensor("final_norm").as_deref(), Some("language_model.model.norm.weight"));
        assert_eq!(hf.tensor("head").as_deref(), Some("language_model.lm_head.weight"));
        assert!(hf.ignored("vision_tower.patch_conv.weight").is_some());
    }

    #[test]
    fn rows_of_one_matrix_know_their_neighbours() {
        let found = names(Layout::HuggingFace, "phi3").find("layers.2.attn.k").expect("a source");
        assert_eq!(found.tensor, "model.layers.2.self_attn.qkv_proj.weight");
        assert_eq!(found.parts, ["layers.2.attn.q", "layers.2.attn.k", "layers.2.attn.v"]);
    }
}
