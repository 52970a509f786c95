use super::*;
use crate::template::RenderInput;
use crate::{Detokenizer, Message};

const TOKENIZER: &str = r#"{
  "version": "1.0",
  "added_tokens": [
    {"id": 4, "content": "<s>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false},
    {"id": 5, "content": "</s>", "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false}
  ],
  "post_processor": {
    "type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "pair": [],
    "special_tokens": {"<s>": {"id": "<s>", "ids": [4], "tokens": ["<s>"]}}
  },
  "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
  "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
  "model": {"type": "BPE", "vocab": {"h": 0, "i": 1, "hi": 2, "<end>": 3}, "merges": ["h i"]}
}"#;
const CONFIG: &str = r#"{"model_type": "llama", "eos_token_id": 5, "bos_token_id": 4}"#;

/// A folder with a config, weights without tensors, and `files`.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    write("config.json", CONFIG.as_bytes());
    write("model.safetensors", b"\x02\0\0\0\0\0\0\0{}");
    for (name, content) in files {
        write(name, content.as_bytes());
    }
    folder
}

fn text(files: &[(&str, &str)]) -> Result<Text> {
    let folder = folder(files);
    Text::from_checkpoint(&Checkpoint::open(folder.path()).unwrap())
}

fn with_tokenizer(files: &[(&str, &str)]) -> Text {
    text(&[&[("tokenizer.json", TOKENIZER)], files].concat()).unwrap()
}

fn rendered(text: &Text, name: Option<&str>, tools: bool) -> String {
    let messages = vec![Message::new("user", "hi")];
    text.render(name, &RenderInput { messages, tools: tools.then(Vec::new), ..RenderInput::default() }).unwrap()
}

#[test]
fn a_checkpoint_without_tokenizer_is_an_error_that_names_what_was_looked_for() {
    let error = text(&[]).unwrap_err();
    assert!(matches!(error, Error::NoTokenizer { .. }));
    assert!(
        error
            .to_string()
            .ends_with("no tokenizer; looked for tokenizer.json, and tokenizer.ggml.model in the metadata of a GGUF")
    );
}

#[test]
fn every_end_token_of_every_file_is_collected() {
    let text = with_tokenizer(&[
        ("generation_config.json", r#"{"eos_token_id": [5, 3]}"#),
        ("tokenizer_config.json", r#"{"eos_token": {"content": "hi"}}"#),
    ]);
    assert_eq!(text.eos, [2, 3, 5]);
    assert!(text.is_eos(3) && !text.is_eos(4));
}

#[test]
fn the_post_processor_decides_about_bos_and_there_is_never_a_second_one() {
    let text = with_tokenizer(&[("tokenizer_config.json", r#"{"bos_token": "<s>", "add_bos_token": false}"#)]);
    assert_eq!(text.bos, Some(4));
    assert_eq!(text.encode_prompt("hi").unwrap(), [4, 2]);
    assert_eq!(text.encode_prompt("<s>hi").unwrap(), [4, 2]);
}

#[test]
fn a_template_writes_bos_itself() {
    let config = r#"{"bos_token": "<s>", "chat_template": "{{ bos_token }}{{ messages[0].content }}"}"#;
    let text = with_tokenizer(&[("tokenizer_config.json", config)]);
    let input = RenderInput { messages: vec![Message::new("user", "hi")], ..RenderInput::default() };
    assert_eq!(text.encode_chat(None, &input).unwrap(), [4, 2]);
}

#[test]
fn template_files_win_over_the_config() {
    let config = ("tokenizer_config.json", r#"{"chat_template": "config"}"#);
    let legacy = ("chat_template.json", r#"{"chat_template": "legacy"}"#);
    let file = ("chat_template.jinja", "file");
    assert_eq!(rendered(&with_tokenizer(&[config, legacy, file]), None, false), "file");
    assert_eq!(rendered(&with_tokenizer(&[config, legacy]), None, false), "config");
    assert_eq!(rendered(&with_tokenizer(&[legacy]), None, false), "legacy");
}

#[test]
fn named_templates_come_from_their_folder_or_from_the_config() {
    let files = [("chat_template.jinja", "d"), ("additional_chat_templates/tool_use.jinja", "t")];
    let text = with_tokenizer(&files);
    assert_eq!((rendered(&text, None, false), rendered(&text, None, true)), ("d".into(), "t".into()));
    let list = r#"{"chat_template": [{"name": "default", "template": "d"}, {"name": "rag", "template": "r"}]}"#;
    assert_eq!(rendered(&with_tokenizer(&[("tokenizer_config.json", list)]), Some("rag"), false), "r");
}

#[test]
fn a_checkpoint_without_template_can_still_be_prompted() {
    let text = with_tokenizer(&[]);
    assert!(text.templates.is_empty());
    assert_eq!(text.encode_prompt("hi").unwrap(), [4, 2]);
    let input = RenderInput { messages: vec![Message::new("user", "hi")], ..RenderInput::default() };
    assert!(matches!(text.render(None, &input), Err(Error::NoTemplate)));
}

#[test]
fn special_tokens_of_the_config_that_the_tokenizer_only_has_as_text_become_special() {
    let text = with_tokenizer(&[("tokenizer_config.json", r#"{"eos_token": "<end>"}"#)]);
    assert_eq!(text.tokenizer.encode("hi<end>", false).unwrap(), [2, 3]);
    let mut stream = text.detokenizer();
    assert_eq!((stream.push(2).unwrap(), stream.push(3).unwrap()), ("hi".into(), String::new()));
    assert_eq!(Detokenizer::new(&text.tokenizer).skip_special(false).push(3).unwrap(), "<end>");
}

#[test]
fn a_broken_file_is_an_error_that_names_it() {
    for (name, content) in [("tokenizer_config.json", "{"), ("generation_config.json", "[]"), ("tokenizer.json", "{}")]
    {
        let error = text(&[("tokenizer.json", TOKENIZER), (name, content)]).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{name}: ")), "{error}");
    }
}

mod gguf {
    use super::*;
    use ffai_checkpoint::gguf::{Metadata, Value as Pair};

    fn metadata(more: &[(&str, Pair)]) -> Metadata {
        let texts = |list: &[&str]| Pair::Strings(list.iter().map(|text| (*text).to_owned()).collect());
        let pairs = [
            ("tokenizer.ggml.model", Pair::String("gpt2".into())),
            ("tokenizer.ggml.tokens", texts(&["h", "i", "hi", "<eos>", "<eot>"])),
            ("tokenizer.ggml.merges", texts(&["h i"])),
            ("tokenizer.ggml.token_type", Pair::Ints(vec![1, 1, 1, 3, 3])),
            ("tokenizer.ggml.eos_token_id", Pair::U32(3)),
            ("tokenizer.ggml.eot_token_id", Pair::U32(4)),
        ];
        let pairs = pairs.into_iter().chain(more.iter().cloned());
        Metadata::new("model.gguf".as_ref(), pairs.map(|(key, value)| (key.to_owned(), value)))
    }

    #[test]
    fn the_metadata_of_a_gguf_makes_a_tokenizer() {
        let tokenizer = vocabulary(&metadata(&[])).unwrap().tokenizer().unwrap();
        assert_eq!(tokenizer.encode("hi<eot>", true).unwrap(), [2, 4]);
    }

    #[test]
    fn templates_of_the_metadata_have_names() {
        let templates = templates_of_metadata(&metadata(&[
            ("tokenizer.chat_template", Pair::String("d".into())),
            ("tokenizer.chat_template.tool_use", Pair::String("t".into())),
        ]));
        assert_eq!(templates.unwrap().names().collect::<Vec<_>>(), ["default", "tool_use"]);
    }

    #[test]
    fn special_tokens_of_the_metadata_are_known_to_templates() {
        let metadata = metadata(&[]);
        let tokens = special_tokens(&metadata, &vocabulary(&metadata).unwrap()).unwrap();
        assert_eq!(Value::Object(tokens).to_string(), r#"{"eos_token":"<eos>"}"#);
    }
}
