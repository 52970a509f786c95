//! Which files of a repository are needed. Pure functions over names: they judge the Hub's list and the cache alike.

use super::error::HubError;
use super::gguf;
use super::name::HubName;

pub(super) const INDEX: &str = "model.safetensors.index.json";
const SINGLE: &str = "model.safetensors";
const CONFIG: &str = "config.json";

/// The text files beside config and weights that a model may need, where they exist: tokenizers in their forms, chat templates and
/// defaults for sampling; besides the `.jinja` files in [`TEMPLATE_FOLDERS`]. No code.
pub const TEXT_FILES: [&str; 12] = [
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "tekken.json",
    "chat_template.jinja",
    "chat_template.json",
];
/// Any one of these makes a tokenizer.
const TOKENIZERS: [&str; 5] = ["tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "vocab.txt"];
/// Folders of further chat templates.
pub const TEMPLATE_FOLDERS: [&str; 2] = ["chat_templates", "additional_chat_templates"];

/// The files of one model.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Selection {
    /// The GGUF file to open; none where it is the folder.
    pub(super) gguf: Option<String>,
    /// Configuration, tokenizer and templates.
    pub(super) text: Vec<String>,
    /// The weights.
    pub(super) weights: Weights,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Weights {
    /// The index is to be asked which.
    Indexed,
    Files(Vec<String>),
}

/// Chooses among `names`. Safetensors come before GGUF, as when a folder is opened; a choice always means a GGUF.
pub(super) fn select(names: &[&str], wanted: &HubName<'_>) -> Result<Selection, HubError> {
    if let Some(choice) = wanted.choice {
        return Ok(Selection::gguf(gguf::chosen(names, choice)?));
    }
    let has = |name: &str| names.contains(&name);
    let top: Vec<&str> = names.iter().copied().filter(|name| is_top_safetensors(name)).collect();
    // As when a folder is opened: safetensors without a configuration are no model where there is GGUF.
    let plain = has(CONFIG) || gguf::models(names).is_empty();
    let weights = match top.as_slice() {
        _ if !plain => return gguf::only(names, wanted, || None).map(Selection::gguf),
        _ if has(INDEX) => Weights::Indexed,
        _ if has(SINGLE) => Weights::Files(vec![SINGLE.into()]),
        [] => return gguf::only(names, wanted, || foreign_weights(names)).map(Selection::gguf),
        files => Weights::Files(owned(files)),
    };
    let text = names.iter().copied().filter(|name| is_text(name));
    Ok(Selection { gguf: None, text: text.map(String::from).collect(), weights })
}

impl Selection {
    fn gguf(files: Vec<String>) -> Selection {
        Selection { gguf: files.first().cloned(), text: Vec::new(), weights: Weights::Files(files) }
    }
}

fn is_top_safetensors(name: &str) -> bool {
    !name.contains('/') && name.ends_with(".safetensors")
}

fn is_text(name: &str) -> bool {
    let in_folder = |folder: &&str| name.strip_prefix(*folder).and_then(|rest| rest.strip_prefix('/'));
    let is_template = |folder: &&str| in_folder(folder).is_some_and(|rest| rest.ends_with(".jinja"));
    [CONFIG, INDEX].contains(&name) || TEXT_FILES.contains(&name) || TEMPLATE_FOLDERS.iter().any(is_template)
}

/// Whether a folder has its configuration.
pub(super) fn has_config(names: &[&str]) -> bool {
    names.contains(&CONFIG)
}

/// Whether a folder has a tokenizer.
pub(super) fn has_tokenizer(names: &[&str]) -> bool {
    TOKENIZERS.iter().any(|name| names.contains(name))
}

fn foreign_weights(names: &[&str]) -> Option<String> {
    let foreign = [".bin", ".pt", ".pth", ".msgpack", ".h5", ".onnx", ".npz"];
    names.iter().find(|name| foreign.iter().any(|end| name.ends_with(end))).map(|name| (*name).to_owned())
}

pub(super) fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights(names: &[&str], name: &str) -> Result<Vec<String>, String> {
        let wanted = HubName::parse(name).unwrap_or_else(|| panic!("{name}"));
        match select(names, &wanted).map_err(|error| error.to_string())?.weights {
            Weights::Files(files) => Ok(files),
            Weights::Indexed => Ok(vec!["(index)".into()]),
        }
    }

    #[test]
    fn only_what_a_model_needs_is_selected() {
        let names = [
            "README.md",
            "config.json",
            "model.safetensors",
            "consolidated.safetensors",
            "pytorch_model.bin",
            "tokenizer.json",
            "chat_templates/tool.jinja",
            "onnx/model.onnx",
            "original/params.json",
            "a.gguf",
        ];
        let wanted = HubName { id: "a/b", revision: None, choice: None };
        let selection = select(&names, &wanted).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(selection.text, ["config.json", "tokenizer.json", "chat_templates/tool.jinja"]);
        assert_eq!(selection.weights, Weights::Files(vec!["model.safetensors".into()]));
        assert_eq!(selection.gguf, None);
    }

    #[test]
    fn an_index_decides_and_without_one_all_files_count() {
        let names = ["x-00001-of-00002.safetensors", "x-00002-of-00002.safetensors", "sub/y.safetensors"];
        assert_eq!(weights(&names, "a/b"), Ok(owned(&names[..2])));
        assert_eq!(weights(&[&names[..], &[INDEX]].concat(), "a/b"), Ok(vec!["(index)".into()]));
    }

    #[test]
    fn safetensors_without_a_configuration_do_not_hide_a_gguf() {
        let names = ["encoder.safetensors", "m.gguf"];
        assert_eq!(weights(&names, "a/b"), Ok(vec!["m.gguf".into()]));
        assert_eq!(weights(&[&names[..], &["config.json"]].concat(), "a/b"), Ok(vec!["encoder.safetensors".into()]));
    }

    const MANY: [&str; 7] = [
        "m-Q4_K_M.gguf",
        "m-Q4_K_S.gguf",
        "m-UD-Q4_K_XL.gguf",
        "mmproj-F16.gguf",
        "Q8_0/m-Q8_0-00001-of-00002.gguf",
        "Q8_0/m-Q8_0-00002-of-00002.gguf",
        "m.imatrix.gguf",
    ];

    #[test]
    fn a_gguf_is_chosen_by_quantization_or_path() {
        assert_eq!(weights(&MANY, "a/b:q4_k_m"), Ok(vec!["m-Q4_K_M.gguf".into()]));
        assert_eq!(weights(&MANY, "a/b:Q4_K_XL"), Ok(vec!["m-UD-Q4_K_XL.gguf".into()]));
        assert_eq!(weights(&MANY, "a/b:Q8_0"), Ok(owned(&MANY[4..6])));
        assert_eq!(weights(&MANY, "a/b/Q8_0/m-Q8_0-00001-of-00002.gguf"), Ok(owned(&MANY[4..6])));
        assert_eq!(weights(&["m.gguf"], "a/b"), Ok(vec!["m.gguf".into()]));
    }

    #[test]
    fn what_cannot_be_decided_is_an_error_with_the_files() {
        let list = "Q8_0/m-Q8_0-00001-of-00002.gguf, m-Q4_K_M.gguf, m-Q4_K_S.gguf, m-UD-Q4_K_XL.gguf";
        let several =
            "the repository has several GGUF files: choose one by `a/b/Q8_0/m-Q8_0-00001-of-00002.gguf`; there are ";
        assert_eq!(weights(&MANY, "a/b"), Err(format!("{several}{list}")));
        for choice in ["Q4_K", "XK_M", "Q4", "-Q4_K_M"] {
            let error = format!("`{choice}` names no GGUF file of the repository; there are {list}");
            assert_eq!(weights(&MANY, &format!("a/b:{choice}")), Err(error));
        }
        let error = "`Q4` names more than one GGUF file of the repository; there are a-Q4.gguf, b-Q4.gguf";
        assert_eq!(weights(&["a-Q4.gguf", "b-Q4.gguf"], "a/b:Q4"), Err(error.into()));
        let error = "the repository has no weights in safetensors or GGUF (it has x.bin): look for a converted version";
        assert_eq!(weights(&["x.bin"], "a/b"), Err(error.into()));
    }
}
