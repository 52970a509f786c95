//! Which tensor of a checkpoint plays which role: tables of patterns, one for each layout.
//!
//! A pattern may hold `{i}`, which stands for the layer's index. What is ignored is listed with the reason.

mod gguf;
mod hf;

use ffai_checkpoint::Layout;

/// The tables of one layout.
#[derive(Clone, Copy, Debug)]
pub struct Names {
    /// Role pattern, tensor pattern.
    pub roles: &'static [(&'static str, &'static str)],
    /// Tensor pattern and the reason why nothing reads it.
    pub ignored: &'static [(&'static str, &'static str)],
}

impl Names {
    /// The tables of a layout.
    pub fn of(layout: Layout) -> Names {
        match layout {
            Layout::HuggingFace => hf::NAMES,
            Layout::Gguf => gguf::NAMES,
        }
    }

    /// The tensor that plays `role`, or none when the layout has no name for it.
    pub fn tensor(&self, role: &str) -> Option<String> {
        let found = self.roles.iter().find_map(|(pattern, tensor)| Some((capture(pattern, role)?, tensor)));
        found.map(|(index, tensor)| tensor.replace("{i}", index))
    }

    /// Why a tensor may stay unread, if a rule says so.
    pub fn ignored(&self, tensor: &str) -> Option<&'static str> {
        self.ignored.iter().find(|(pattern, _)| capture(pattern, tensor).is_some()).map(|(_, reason)| *reason)
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

    #[test]
    fn a_role_is_found_under_the_name_of_its_layer() {
        let hf = Names::of(Layout::HuggingFace);
        assert_eq!(hf.tensor("layers.17.attn.q").as_deref(), Some("model.layers.17.self_attn.q_proj.weight"));
        let gguf = Names::of(Layout::Gguf);
        assert_eq!(gguf.tensor("layers.17.mlp.down").as_deref(), Some("blk.17.ffn_down.weight"));
        assert_eq!(hf.tensor("layers.x.attn.q"), None);
    }

    #[test]
    fn what_is_ignored_has_a_reason() {
        let hf = Names::of(Layout::HuggingFace);
        assert!(hf.ignored("model.layers.3.self_attn.rotary_emb.inv_freq").is_some());
        assert_eq!(hf.ignored("model.layers.3.self_attn.q_proj.weight"), None);
    }
}
