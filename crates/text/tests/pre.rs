//! Hard texts under every pre-tokenizer of GGUF files, against llama.cpp and transformers (`tests/text/pre.py`).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use ffai_text::{Tokenizer, Vocabulary};
use serde_json::Value;

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../../tests/text/pre.json")).unwrap()
}

fn texts(list: &Value) -> Vec<String> {
    serde_json::from_value(list.clone()).unwrap()
}

/// The letters of all bytes in order, one token for each merge unless it is there already, then the added tokens.
fn vocabulary(fixture: &Value) -> Vocabulary {
    let printable = |code: &u32| matches!(code, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    let letters = (0..256).filter(printable).chain(0x100..0x144).filter_map(char::from_u32);
    let mut tokens: Vec<String> = letters.map(String::from).collect();
    let merges = texts(&fixture["merges"]);
    for merge in &merges {
        let joined = merge.replace(' ', "");
        if !tokens.contains(&joined) {
            tokens.push(joined);
        }
    }
    let mut token_types = vec![1; tokens.len()];
    for (key, kind) in [("control", 3), ("user_defined", 4)] {
        tokens.extend(texts(&fixture[key]));
        token_types.resize(tokens.len(), kind);
    }
    Vocabulary { model: "gpt2".into(), tokens, token_types, merges, ..Vocabulary::default() }
}

fn tokenizer(fixture: &Value, pre: &str) -> Tokenizer {
    Vocabulary { pre: Some(pre.into()), ..vocabulary(fixture) }.tokenizer().unwrap()
}

#[test]
fn ids_are_those_of_the_models_own_tokenizers_under_every_pre_tokenizer() {
    let fixture = fixture();
    let mut compared = std::collections::BTreeMap::<String, usize>::new();
    for row in fixture["rows"].as_array().unwrap() {
        for group in row["ids"].as_array().unwrap() {
            for name in texts(&group[0]) {
                *compared.entry(name).or_default() += 1;
            }
        }
    }
    let mut wrong = Vec::new();
    for name in compared.keys() {
        let tokenizer = tokenizer(&fixture, name);
        for row in fixture["rows"].as_array().unwrap() {
            let text = row["text"].as_str().unwrap();
            let groups = row["ids"].as_array().unwrap();
            let expected = groups.iter().find(|group| texts(&group[0]).contains(name)).map(|group| &group[1]);
            let ids = Value::from(tokenizer.encode(text, false).unwrap());
            if Some(&ids) != expected {
                wrong.push(format!("{name} {text:?}: {ids}, expected {}", expected.unwrap()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared.len() == 20 && compared.values().all(|&rows| rows > 300), "{compared:?}");
}

#[test]
fn decoding_gives_back_each_text() {
    let fixture = fixture();
    let tokenizer = tokenizer(&fixture, "llama-bpe");
    for row in fixture["rows"].as_array().unwrap() {
        let text = row["text"].as_str().unwrap();
        assert_eq!(tokenizer.decode(&tokenizer.encode(text, false).unwrap(), false).unwrap(), text);
    }
}

#[test]
fn a_tokenizer_json_of_each_gives_the_same_ids() {
    let fixture = fixture();
    for name in
        ["smollm", "llama-bpe", "qwen2", "tekken", "deepseek-v3", "deepseek-llm", "gpt-4o", "command-r", "default"]
    {
        let own = tokenizer(&fixture, name);
        let read = Tokenizer::from_json(&own.to_json().unwrap()).unwrap();
        for row in fixture["rows"].as_array().unwrap() {
            let text = row["text"].as_str().unwrap();
            let ids = own.encode(text, true).unwrap();
            assert_eq!(read.encode(text, true).unwrap(), ids, "{name} {text:?}");
            assert_eq!(read.decode(&ids, true).unwrap(), own.decode(&ids, true).unwrap(), "{name} {text:?}");
        }
    }
}
