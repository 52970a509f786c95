//! The tokenizer and the template of SmolLM2's GGUF, if it is in the cache (`ffai run smollm2` puts it there).
//!
//! The ids are made by `tests/text/tokens.py`, the renders by `tests/text/templates.py`.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use ffai_checkpoint::{CATALOGUE, CacheDirs, Checkpoint};
use ffai_text::{Detokenizer, Message, RenderInput, Text};
use serde_json::Value;

fn fixture(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/text").join(name);
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The cached file; without a Python to ask, nothing is downloaded.
fn cached() -> Option<PathBuf> {
    let alias = CATALOGUE.iter().find(|alias| alias.alias == "smollm2")?;
    let path = ffai_checkpoint::fetch(alias, &CacheDirs::from_env().ffai, &[], &mut |_| {}).ok();
    if path.is_none() {
        std::io::stderr()
            .write_all(b"SKIPPED: SmolLM2 is not in the cache; `ffai run smollm2 hi` fetches it\n")
            .unwrap();
    }
    path
}

fn check_tokens(text: &Text) {
    for row in fixture("tokens.json").as_array().unwrap() {
        let (string, expected) = (row["text"].as_str().unwrap(), &row["ids"]);
        let ids = text.encode_prompt(string).unwrap();
        assert_eq!(&Value::from(ids.clone()), expected, "{string:?}");
        assert_eq!(text.tokenizer.decode(&ids, false).unwrap(), string);
        let mut stream = Detokenizer::new(&text.tokenizer).skip_special(false);
        let pieces: String = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
        assert_eq!(pieces + &stream.finish(), string);
    }
}

fn check_renders(text: &Text) {
    let fixture = fixture("templates.json");
    for (name, expected) in fixture["foreign"]["smollm2"]["renders"].as_object().unwrap() {
        let conversation = &fixture["conversations"][name];
        let messages: Vec<Message> = serde_json::from_value(conversation["messages"].clone()).unwrap();
        let input = RenderInput {
            messages,
            tools: conversation["tools"].as_array().cloned(),
            add_generation_prompt: conversation["add_generation_prompt"] == true,
            ..RenderInput::default()
        };
        match text.render(None, &input) {
            Ok(rendered) => assert_eq!(expected["text"], rendered.as_str(), "{name}"),
            Err(error) => assert!(expected["fails"].is_string(), "{name}: {error}"),
        }
    }
}

#[test]
fn smollm2_tokenizes_and_renders_as_the_reference() {
    let Some(path) = cached() else { return };
    let text = Text::from_checkpoint(&Checkpoint::open(&path).unwrap()).unwrap();
    assert_eq!((text.bos, text.eos.as_slice(), text.tokenizer.vocab_size()), (Some(1), [2].as_slice(), 49152));
    assert_eq!(text.tokenizer.special_ids().collect::<Vec<_>>(), (0..17).collect::<Vec<_>>());
    check_tokens(&text);
    check_renders(&text);
}
