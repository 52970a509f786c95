//! A vocabulary of SentencePiece, as a GGUF holds it, against SentencePiece itself (`tests/text/pieces.py`).

use ffai_text::{Tokenizer, Vocabulary};
use serde_json::Value;

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../../tests/text/pieces.json")).expect("pieces.json is JSON")
}

fn tokenizer(fixture: &Value) -> Tokenizer {
    let list = |key: &str| fixture[key].clone();
    let vocabulary = Vocabulary {
        model: "llama".into(),
        tokens: serde_json::from_value(list("tokens")).expect("texts"),
        scores: serde_json::from_value(list("scores")).expect("numbers"),
        token_types: serde_json::from_value(list("types")).expect("numbers"),
        unknown: Some(0),
        bos: Some(1),
        eos: Some(2),
        ..Vocabulary::default()
    };
    vocabulary.tokenizer().expect("a tokenizer")
}

#[test]
fn ids_are_those_of_sentencepiece() {
    let fixture = fixture();
    let tokenizer = tokenizer(&fixture);
    for row in fixture["rows"].as_array().unwrap() {
        let text = row["text"].as_str().unwrap();
        let ids = tokenizer.encode(text, false).unwrap();
        assert_eq!(Value::from(ids.clone()), row["ids"], "{text:?}");
        assert_eq!(tokenizer.decode(&ids, true).unwrap(), text);
    }
}

#[test]
fn a_tokenizer_json_gives_the_same_ids() {
    let fixture = fixture();
    let own = tokenizer(&fixture);
    let read = Tokenizer::from_json(&own.to_json().unwrap()).unwrap().with_bos(Some(1));
    for row in fixture["rows"].as_array().unwrap() {
        let text = row["text"].as_str().unwrap();
        let ids = own.encode(text, true).unwrap();
        assert_eq!(read.encode(text, true).unwrap(), ids, "{text:?}");
        assert_eq!(read.decode(&ids, true).unwrap(), own.decode(&ids, true).unwrap());
    }
}
