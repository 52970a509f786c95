//! The special tokens that `tokenizer_config.json` names.

use serde_json::{Map, Value};

/// The names under which templates know special tokens.
const NAMES: [&str; 7] = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/// The texts of the special tokens in a parsed `tokenizer_config.json` or `special_tokens_map.json`; either form is
/// read, a text or an object with `content`. Those that are null are absent, and undefined for templates.
pub(crate) fn named(config: &Value) -> Map<String, Value> {
    let text = |name: &str| match &config[name] {
        Value::Object(token) => token.get("content")?.as_str(),
        token => token.as_str(),
    };
    NAMES.iter().filter_map(|name| Some(((*name).to_owned(), Value::from(text(name)?)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_spellings_of_a_token_are_read_and_null_is_absent() {
        let config =
            json!({"bos_token": null, "eos_token": "</s>", "unk_token": {"content": "<unk>", "special": true}});
        assert_eq!(Value::Object(named(&config)), json!({"eos_token": "</s>", "unk_token": "<unk>"}));
    }
}
