//! safetensors files, right and wrong, one file in a folder.

use std::path::Path;

use ffai_checkpoint::{Checkpoint, Dtype, Error, Int, Result};

/// A file of this header and data.
pub(crate) fn file(header: &str, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::from((header.len() as u64).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

pub(crate) fn write_config(folder: &Path) {
    std::fs::write(folder.join("config.json"), r#"{"model_type": "llama"}"#).unwrap();
}

fn open(bytes: &[u8]) -> Result<Checkpoint> {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    std::fs::write(folder.path().join("model.safetensors"), bytes).unwrap();
    Checkpoint::open(folder.path())
}

#[test]
fn tensors_are_cut_out_of_the_data() {
    let header = r#"{"__metadata__": {"format": "mlx"},
        "b": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [4, 6]},
        "a": {"dtype": "U32", "shape": [1, 1], "data_offsets": [0, 4]}}"#;
    let checkpoint = open(&file(header, &[1, 2, 3, 4, 5, 6])).unwrap();
    let a = checkpoint.entry("a").unwrap();
    assert_eq!(
        (&a.dtype, a.shape.as_slice(), &*a.bytes),
        (&Dtype::Int(Int::U32), [1, 1].as_slice(), [1, 2, 3, 4].as_slice())
    );
    let b = checkpoint.entry("b").unwrap();
    assert_eq!((&b.dtype, &*b.bytes), (&Dtype::Other("F8_E4M3".into()), [5, 6].as_slice()));
    assert_eq!(checkpoint.entries().count(), 2);
}

#[test]
fn each_broken_rule_is_an_error() {
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"w": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {offsets}}}}}"#)
    };
    let huge = usize::MAX / 8;
    let cases = [
        (file("{", &[]), "bad safetensors header"),
        (file("[]", &[]), "bad safetensors header"),
        (vec![1, 2, 3], "in the middle of the header's length: 8 bytes needed, 3 left"),
        (u64::MAX.to_le_bytes().to_vec(), "in the middle of the header"),
        (file(&one("F33", "[1]", "[0, 4]"), &[0; 4]), "tensor `w`: unknown variant `F33`"),
        (
            file(&one("F32", "[1]", "[0, 5]"), &[0; 5]),
            "tensor `w`: bytes 0..5 do not hold F32 of shape [1] from byte 0 on",
        ),
        (file(&one("F32", "[1]", "[4, 8]"), &[0; 8]), "tensor `w`: bytes 4..8 do not hold F32"),
        (file(&one("F32", "[1]", "[4, 0]"), &[0; 8]), "tensor `w`: bytes 4..0 do not hold F32"),
        (file(&one("F32", "[2]", "[0, 8]"), &[0; 4]), "in the middle of tensor `w`: 8 bytes needed, 4 left"),
        (file(&one("U8", &format!("[{huge}]"), &format!("[0, {huge}]")), &[]), "in the middle of tensor `w`"),
        (file(&one("F32", &format!("[{huge}, 4]"), "[0, 4]"), &[0; 4]), "tensor `w`: bytes 0..4 do not hold F32"),
        (file(&one("F4", "[3]", "[0, 1]"), &[0]), "tensor `w`: bytes 0..1 do not hold F4"),
        (file(&one("F32", "[1]", "[0, 4]"), &[0; 6]), "2 bytes follow the last tensor"),
        (file(r#"{"w": 3}"#, &[]), "tensor `w`: invalid type"),
    ];
    for (bytes, expected) in cases {
        let error = open(&bytes).unwrap_err();
        assert!(matches!(error, Error::Malformed { .. } | Error::Tensor { .. } | Error::Truncated { .. }));
        let text = error.to_string();
        assert!(text.contains("model.safetensors") && text.contains(expected), "got: {text}\nexpected: {expected}");
    }
}

#[test]
fn an_empty_file_is_an_error() {
    assert!(matches!(open(&[]), Err(Error::Truncated { .. })));
}
