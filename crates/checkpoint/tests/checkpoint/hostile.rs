//! Foreign bytes never stop the program: they open, or they are an error.

use std::path::Path;

use ffai_checkpoint::{Checkpoint, Hparams, Tensor};
use proptest::prelude::*;

use super::gguf_file::{ARRAY, GgufFile};
use super::safetensors::{file, write_config};

fn gguf() -> Vec<u8> {
    let mut bools = Vec::from(7u32.to_le_bytes());
    bools.extend(2u64.to_le_bytes());
    bools.extend([0, 1]);
    GgufFile::llama()
        .u32("llama.block_count", 1)
        .f32("llama.rope.freq_base", 1e4)
        .strings("tokenizer.ggml.tokens", &["a", "b"])
        .pair("bools", ARRAY, &bools)
        .tensor("a", &[32, 2], 3, &[7; 40])
        .tensor("b", &[2], 0, &[0; 8])
        .bytes()
}

fn safetensors() -> Vec<u8> {
    let header = r#"{"a":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},"b":{"dtype":"BF16","shape":[1],"data_offsets":[8,10]}}"#;
    file(header, &[1; 10])
}

/// Opens these bytes as a file of this name, and reads every tensor that opens.
fn read(name: &str, bytes: &[u8]) -> bool {
    let folder = tempfile::tempdir().unwrap();
    write_config(folder.path());
    std::fs::write(folder.path().join(name), bytes).unwrap();
    let Ok(checkpoint) = Checkpoint::open(folder.path()) else { return false };
    for entry in checkpoint.entries() {
        if let Ok(tensor) = Tensor::dense(entry) {
            assert_eq!(tensor.to_f32().len(), tensor.rows() * tensor.cols());
        }
    }
    true
}

#[test]
fn every_truncation_is_an_error() {
    for (name, bytes) in [("model.gguf", gguf()), ("model.safetensors", safetensors())] {
        assert!(read(name, &bytes));
        for len in 0..bytes.len() {
            assert!(!read(name, &bytes[..len]), "{name} of {len} bytes opens");
        }
    }
}

/// Changes to a file: where, and which bits.
fn flips() -> impl Strategy<Value = Vec<(prop::sample::Index, u8)>> {
    prop::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..6)
}

fn flip(bytes: &mut [u8], flips: &[(prop::sample::Index, u8)]) {
    for (at, mask) in flips {
        bytes[at.index(bytes.len())] ^= mask;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_gguf_never_panics(flips in flips()) {
        let mut bytes = gguf();
        flip(&mut bytes, &flips);
        read("model.gguf", &bytes);
    }

    #[test]
    fn changed_safetensors_never_panic(flips in flips()) {
        let mut bytes = safetensors();
        flip(&mut bytes, &flips);
        read("model.safetensors", &bytes);
    }

    #[test]
    fn random_json_never_panics(text in r#"[{}\[\]:,"0-9a-fINntly.\\-]{0,40}"#) {
        let wrapped = format!(r#"{{"model_type": "llama", "quantization": {text}}}"#);
        if let Ok(hparams) = Hparams::from_json(Path::new("config.json"), wrapped.as_bytes()) {
            let _ = hparams.quantization();
        }
    }
}
