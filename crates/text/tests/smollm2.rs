//! The tokenizer and the template of SmolLM2's GGUF, if it is in the cache (`ffai run smollm2` puts it there).
//!
//! The ids are made by `tests/text/tokens.py`, the renders by `tests/text/templates.py`.

use std::io::Write as _;
use std::path::PathBuf;

use ffai_checkpoint::{CATALOGUE, CacheDirs, Checkpoint};
use ffai_text::{Detokenizer, Message, RenderInput, Text, Tokenizer};
use serde_json::Value;

fn rows(json: &str) -> Vec<Value> {
    serde_json::from_str(json).expect("tokens.json is a list")
}

/// The cached file; without a Python to ask, nothing is downloaded.
fn cached() -> Option<PathBuf> {
    let alias = CATALOGUE.iter().find(|alias| alias.alias == "smollm2")?;
    let path = ffai_checkpoint::fetch(alias, &CacheDirs::from_env(), &[], &mut |_| {}).ok();
    if path.is_none() {
        std::io::stderr()
            .write_all(b"SKIPPED: SmolLM2 is not in the cache; `ffai run smollm2 hi` fetches it\n")
            .expect("stderr can be written");
    }
    path
}

fn check_tokens(text: &Text) {
    for row in rows(include_str!("../../../tests/text/tokens.json")) {
        let (string, expected) = (row["text"].as_str().expect("a text"), &row["ids"]);
        let ids = text.encode_prompt(string).expect(string);
        assert_eq!(&Value::from(ids.clone()), expected, "{string:?}");
        assert_eq!(text.tokenizer.decode(&ids, false).expect(string), string);
        let mut stream = Detokenizer::new(&text.tokenizer).skip_special(false);
        let pieces: String = ids.iter().map(|&id| stream.push(id).expect(string)).collect();
        assert_eq!(pieces + &stream.finish(), string);
    }
}

fn check_renders(text: &Text) {
    let fixture: Value = serde_json::from_str(include_str!("../../../tests/text/templates.json")).expect("JSON");
    for (name, expected) in fixture["foreign"]["smollm2"]["renders"].as_object().expect("an object") {
        let conversation = &fixture["conversations"][name];
        let messages: Vec<Message> = serde_json::from_value(conversation["messages"].clone()).expect(name);
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

#[test]
fn a_tokenizer_json_of_smollm2_gives_the_same_ids() {
    let Some(path) = cached() else { return };
    let own = Text::from_checkpoint(&Checkpoint::open(&path).unwrap()).unwrap();
    let tokenizer = Tokenizer::from_json(&own.tokenizer.to_json().unwrap()).unwrap().with_bos(own.bos);
    assert!(own.tokenizer.special_ids().eq(tokenizer.special_ids()));
    check_tokens(&Text { tokenizer, ..own });
}
