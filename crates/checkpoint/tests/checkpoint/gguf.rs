//! GGUF files, right and wrong.

use ffai_checkpoint::gguf::Value;
use ffai_checkpoint::{Block, Dtype, Error, Float, Layout, Tensor};

use super::gguf_file::{ARRAY, F32, GgufFile, STRING, U32};

fn le(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn array(kind: u32, count: u64, items: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes(), count.to_le_bytes().as_slice(), items].concat()
}

#[test]
fn shapes_are_reversed_to_rows_and_columns() {
    let values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
    let checkpoint = GgufFile::llama().tensor("w", &[3, 2], 0, &le(&values)).open().unwrap();
    let entry = checkpoint.entry("w").unwrap();
    assert_eq!((checkpoint.layout(), entry.shape.as_slice()), (Layout::Gguf, [2, 3].as_slice()));
    let tensor = Tensor::dense(entry).unwrap();
    assert_eq!((tensor.rows(), tensor.cols(), tensor.to_f32()), (2, 3, values.to_vec()));
}

#[test]
fn entries_come_sorted_with_their_types() {
    let file = GgufFile::llama()
        .tensor("d", &[256], 12, &[0; 144])
        .tensor("b", &[32, 2], 3, &[0; 40])
        .tensor("c", &[2], 30, &[0; 4])
        .tensor("a", &[1], 26, &[0; 4]);
    let checkpoint = file.open().unwrap();
    let types: Vec<String> = checkpoint.entries().map(|entry| format!("{} {}", entry.name, entry.dtype)).collect();
    assert_eq!(types, ["a i32", "b Q4_1", "c bf16", "d Q4_K"]);
    assert_eq!(checkpoint.entry("b").unwrap().dtype, Dtype::Block(Block::Q4_1));
    assert_eq!(checkpoint.entry("c").unwrap().dtype, Dtype::Float(Float::BF16));
}

#[test]
fn types_without_a_decoder_are_refused_by_name() {
    for (number, name, bytes) in
        [(16, "IQ2_XXS", 66), (23, "IQ4_XS", 136), (29, "IQ1_M", 56), (34, "TQ1_0", 54), (35, "TQ2_0", 66)]
    {
        let checkpoint = GgufFile::llama().tensor("w", &[256], number, &vec![0; bytes]).open().unwrap();
        let error = Tensor::dense(checkpoint.entry("w").unwrap()).unwrap_err();
        assert!(matches!(&error, Error::UnsupportedDtype { dtype, .. } if dtype == name), "{error}");
        assert!(error.to_string().contains(&format!("`w` is stored as {name}, expected f32, ")), "{error}");
    }
}

#[test]
fn version_2_is_read_too() {
    let mut file = GgufFile::llama().tensor("w", &[1], 0, &le(&[3.0]));
    file.version = 2;
    assert!(file.open().unwrap().entry("w").is_some());
}

#[test]
fn the_alignment_of_the_file_counts() {
    let mut file = GgufFile::llama().u32("general.alignment", 64);
    file.alignment = 64;
    let checkpoint = file.tensor("a", &[1], 0, &le(&[1.0])).tensor("b", &[1], 0, &le(&[2.0])).open().unwrap();
    assert_eq!(Tensor::dense(checkpoint.entry("b").unwrap()).unwrap().to_f32(), [2.0]);
}

#[test]
fn metadata_is_typed() {
    let nested = array(ARRAY, 1, &array(U32, 2, &[1, 0, 0, 0, 2, 0, 0, 0]));
    let file = GgufFile::llama()
        .strings("tokenizer.ggml.tokens", &["a", "b"])
        .pair("scores", ARRAY, &array(F32, 2, &le(&[0.5, -1.0])))
        .pair("types", ARRAY, &array(5, 2, &[1, 0, 0, 0, 255, 255, 255, 255]))
        .pair("charsmap", ARRAY, &array(0, 3, &[7, 8, 9]))
        .pair("nested", ARRAY, &nested)
        .pair("flag", 7, &[1])
        .pair("small", 1, &[254]);
    let checkpoint = file.open().unwrap();
    let metadata = checkpoint.metadata().unwrap();
    assert_eq!(metadata.strings("tokenizer.ggml.tokens").unwrap().unwrap(), ["a", "b"]);
    assert_eq!(metadata.floats("scores").unwrap().unwrap(), [0.5, -1.0]);
    assert_eq!(metadata.ints("types").unwrap().unwrap(), [1, -1]);
    assert_eq!(metadata.bytes("charsmap").unwrap().unwrap(), [7, 8, 9]);
    assert_eq!(metadata.get("nested"), Some(&Value::Arrays(vec![Value::Ints(vec![1, 2])])));
    assert_eq!((metadata.flag("flag").unwrap(), metadata.flag("none").unwrap()), (Some(true), None));
    assert_eq!(metadata.float("small").unwrap(), Some(-2.0));
    assert_eq!(metadata.text("general.architecture").unwrap(), Some("llama"));
    assert_eq!(metadata.iter().next().unwrap().0, "charsmap");
}

#[test]
fn metadata_of_another_type_is_an_error_that_names_the_key() {
    let checkpoint = GgufFile::llama().text("scores", "many").pair("small", 1, &[254]).open().unwrap();
    let metadata = checkpoint.metadata().unwrap();
    let error = metadata.floats("scores").unwrap_err();
    assert!(error.to_string().ends_with(r#"`scores` is "many", expected an array of f32"#), "{error}");
    assert!(matches!(metadata.count("small"), Err(Error::Key { got, .. }) if got == "I8(-2)"));
}

#[test]
fn files_that_are_not_read_are_refused_by_name() {
    let with = |change: fn(&mut GgufFile)| {
        let mut file = GgufFile::llama();
        change(&mut file);
        file.error()
    };
    let cases = [
        (with(|file| file.magic = *b"GGML"), "model.gguf: not a GGUF file: it does not begin with `GGUF`"),
        (with(|file| file.version = 1), "GGUF version 1 is not supported; convert the model again"),
        (with(|file| file.version = 3u32.swap_bytes()), "big-endian GGUF is not supported"),
        (with(|file| file.version = 4), "GGUF version 4 is not supported; versions 2 and 3 are read"),
    ];
    for (error, expected) in cases {
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn each_broken_rule_is_named_with_its_tensor_or_key() {
    let data = |file: GgufFile| file.tensor("w", &[8], 0, &[0; 32]);
    let long = |kind: u32| array(kind, u64::MAX / 4, &[]);
    let cases = [
        (data(GgufFile::llama()).declare("v", &[8], 0, 0), "tensor `v`: offset 0 lies inside the tensor before it"),
        (data(GgufFile::llama()).declare("v", &[8], 0, 31), "tensor `v`: offset 31 is no multiple of 32"),
        (data(GgufFile::llama()).declare("v", &[8], 0, 32), "tensor `v`: 32 bytes needed, 0 left"),
        (data(GgufFile::llama()).declare("v", &[8], 0, u64::MAX - 31), "tensor `v`: 32 bytes needed, 0 left"),
        (data(GgufFile::llama()).tensor("w", &[8], 0, &[0; 32]), "tensor `w`: declared twice"),
        (GgufFile::llama().declare("w", &[u64::MAX, 2], 0, 0), "shape [2, 18446744073709551615] is no whole number"),
        (GgufFile::llama().declare("w", &[48], 3, 0), "shape [48] is no whole number of Q4_1 blocks of 32"),
        (GgufFile::llama().declare("w", &[1; 5], 0, 0), "tensor `w`: 5 dimensions, at most 4 exist"),
        (GgufFile::llama().declare("w", &[1], 99, 0), "tensor `w`: unknown type 99"),
        (GgufFile::llama().text("general.architecture", "qwen3"), "the key `general.architecture` occurs twice"),
        (GgufFile::llama().u32("general.alignment", 24), "`general.alignment` is U32(24), expected a power of two"),
        (GgufFile::llama().pair("k", 13, &[]), "`k` has the unknown type 13"),
        (GgufFile::llama().pair("k", 7, &[2]), "`k` holds 2, which is no boolean"),
        (GgufFile::llama().pair("k", ARRAY, &long(U32)), "in the middle of k"),
        (GgufFile::llama().pair("k", ARRAY, &long(STRING)), "in the middle of k"),
        (GgufFile::llama().pair("k", STRING, &u64::MAX.to_le_bytes()), "in the middle of k"),
        (GgufFile::llama().pair("k", STRING, &[2, 0, 0, 0, 0, 0, 0, 0, b'x']), "the file ends in the middle of k"),
        (GgufFile::new(), "model.gguf: `general.architecture` is missing"),
    ];
    for (file, expected) in cases {
        let error = file.error();
        assert!(error.contains(expected), "got: {error}\nexpected: {expected}");
    }
}

#[test]
fn arrays_that_nest_too_deeply_are_an_error() {
    let mut bytes = array(U32, 0, &[]);
    for _ in 0..10 {
        bytes = array(ARRAY, 1, &bytes);
    }
    assert!(GgufFile::llama().pair("k", ARRAY, &bytes).error().contains("`k` nests arrays too deeply"));
}
