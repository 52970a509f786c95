//! Folders and files.

use std::path::Path;

use ffai_checkpoint::{Checkpoint, Error, Layout, Tensor};

use super::gguf_file::GgufFile;
use super::safetensors::{file, write_config};

/// A file with one f32 for each name.
fn write_weights(path: &Path, tensors: &[(&str, f32)]) {
    let entry = |(i, (name, _)): (usize, &(&str, f32))| {
        format!(r#""{name}": {{"dtype": "F32", "shape": [1], "data_offsets": [{}, {}]}}"#, 4 * i, 4 * i + 4)
    };
    let header: Vec<String> = tensors.iter().enumerate().map(entry).collect();
    let data: Vec<u8> = tensors.iter().flat_map(|(_, value)| value.to_le_bytes()).collect();
    std::fs::write(path, file(&format!("{{{}}}", header.join(",")), &data)).unwrap();
}

fn write_index(folder: &Path, map: &str) {
    let index = format!(r#"{{"metadata": {{"total_size": 8}}, "weight_map": {{{map}}}}}"#);
    std::fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
}

fn model() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    folder
}

fn value(checkpoint: &Checkpoint, name: &str) -> f32 {
    Tensor::dense(checkpoint.entry(name).unwrap()).unwrap().to_f32()[0]
}

fn error(folder: &Path) -> String {
    Checkpoint::open(folder).unwrap_err().to_string().replace(&format!("{}/", folder.display()), "")
}

#[test]
fn a_folder_with_one_file_opens() {
    let folder = model();
    write_weights(&folder.path().join("model.safetensors"), &[("a", 1.0)]);
    write_weights(&folder.path().join("consolidated.safetensors"), &[("a", 9.0)]);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!((checkpoint.layout(), checkpoint.path()), (Layout::HuggingFace, folder.path()));
    assert_eq!((checkpoint.hparams().model_type(), value(&checkpoint, "a")), ("llama", 1.0));
    assert!(checkpoint.metadata().is_none() && checkpoint.entry("b").is_none());
}

#[test]
fn an_index_decides_which_shards_are_read() {
    let folder = model();
    write_weights(&folder.path().join("one.safetensors"), &[("a", 1.0)]);
    write_weights(&folder.path().join("two.safetensors"), &[("b", 2.0), ("extra", 3.0)]);
    write_weights(&folder.path().join("other.safetensors"), &[("a", 9.0)]);
    write_index(folder.path(), r#""a": "one.safetensors", "b": "two.safetensors""#);
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let names: Vec<&str> = checkpoint.entries().map(|entry| entry.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "extra"], "what a shard holds beyond the index is for the reader to account for");
    assert_eq!((value(&checkpoint, "a"), value(&checkpoint, "b")), (1.0, 2.0));
}

#[test]
fn without_an_index_all_files_are_read() {
    let folder = model();
    write_weights(&folder.path().join("x.safetensors"), &[("a", 1.0)]);
    write_weights(&folder.path().join("y.safetensors"), &[("b", 2.0)]);
    std::fs::write(folder.path().join("._y.safetensors"), "left by another system").unwrap();
    assert_eq!(Checkpoint::open(folder.path()).unwrap().entries().count(), 2);
}

#[test]
fn a_tensor_in_two_files_is_an_error() {
    let folder = model();
    write_weights(&folder.path().join("x.safetensors"), &[("a", 1.0)]);
    write_weights(&folder.path().join("y.safetensors"), &[("a", 1.0)]);
    assert_eq!(error(folder.path()), "y.safetensors: tensor `a`: also in x.safetensors");
}

#[test]
fn an_index_that_is_wrong_is_an_error() {
    let cases = [
        (r#""a": "../one.safetensors""#, "the shard `../one.safetensors` does not lie inside of the folder"),
        (r#""a": "/etc/passwd""#, "the shard `/etc/passwd` does not lie inside of the folder"),
        (
            r#""a": "gone.safetensors""#,
            "gone.safetensors: model.safetensors.index.json names this shard, but it is not there",
        ),
        (
            r#""a": "one.safetensors", "b": "one.safetensors""#,
            "one.safetensors: tensor `b`: model.safetensors.index.json says",
        ),
        (
            r#""a": "two.safetensors", "c": "one.safetensors""#,
            "two.safetensors: tensor `a`: model.safetensors.index.json says",
        ),
        (r#""a": 3"#, "model.safetensors.index.json: `weight_map.a` is 3, expected a string"),
    ];
    for (map, expected) in cases {
        let folder = model();
        write_weights(&folder.path().join("one.safetensors"), &[("a", 1.0)]);
        write_weights(&folder.path().join("two.safetensors"), &[("d", 1.0)]);
        write_index(folder.path(), map);
        let error = error(folder.path());
        assert!(error.contains(expected), "got: {error}\nexpected: {expected}");
    }
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(error(folder.path()).starts_with("config.json: there is no such file"));
    write_config(folder.path());
    assert!(error(folder.path()).starts_with("model.safetensors: there are no .safetensors files"));
    assert!(matches!(Checkpoint::open(&folder.path().join("gone")), Err(Error::Io { .. })));
}

#[test]
fn one_gguf_opens_by_itself_and_by_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = GgufFile::llama().write(folder.path());
    std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    let by_file = Checkpoint::open(&path).unwrap();
    assert_eq!((by_file.layout(), by_file.text_file("tokenizer.json").unwrap()), (Layout::Gguf, None));
    let by_folder = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(by_folder.text_file("tokenizer.json").unwrap(), Some(b"{}".to_vec()));
}

#[test]
fn several_gguf_files_are_ambiguous() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(GgufFile::llama().write(folder.path()), folder.path().join("other.gguf")).unwrap();
    assert!(error(folder.path()).ends_with("2 .gguf files: give the path of one"));
}

#[test]
fn text_files_are_found_beside_the_weights() {
    let folder = model();
    write_weights(&folder.path().join("model.safetensors"), &[]);
    std::fs::create_dir(folder.path().join("chat_templates")).unwrap();
    for name in ["tool_use.jinja", "default.jinja"] {
        std::fs::write(folder.path().join("chat_templates").join(name), name).unwrap();
    }
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(checkpoint.text_file("tokenizer.json").unwrap(), None);
    assert_eq!(checkpoint.text_files_in("chat_templates").unwrap(), ["default.jinja", "tool_use.jinja"]);
    assert_eq!(checkpoint.text_files_in("elsewhere").unwrap(), [""; 0]);
    assert_eq!(checkpoint.text_file("chat_templates/default.jinja").unwrap(), Some(b"default.jinja".to_vec()));
    for name in ["../config.json", "/etc/passwd", "", "a/../../b", "..\\b"] {
        assert!(matches!(checkpoint.text_file(name), Err(Error::Malformed { .. })), "{name}");
    }
}
