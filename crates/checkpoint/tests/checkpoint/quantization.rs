//! What configs say about quantization.

use std::path::Path;

use ffai_checkpoint::{Error, Hparams, Microscaled, Mode, Module, Params, Quantization, Result};

fn read(rest: &str) -> Result<Option<Quantization>> {
    let json = format!(r#"{{"model_type": "llama", {rest}}}"#);
    Hparams::from_json(Path::new("config.json"), json.as_bytes())?.quantization()
}

fn params(bits: u8, group: u32) -> Params {
    Params { bits, group, mode: Mode::Affine }
}

#[test]
fn plain_weights_have_none() {
    assert_eq!(read(r#""quantization": null"#).unwrap(), None);
}

#[test]
fn modules_may_differ_from_the_default() {
    let quantization = read(
        r#""quantization": {"group_size": 32, "bits": 3, "mode": "affine",
            "model.embed_tokens": {"group_size": 64, "bits": 8},
            "lm_head": false,
            "model.layers.0.mlp.up_proj": true,
            "model.layers.0.mlp.down_proj": {"bits": 6}}"#,
    );
    let quantization = quantization.unwrap().unwrap();
    assert_eq!(quantization.module("model.layers.0.self_attn.q_proj"), Module::Quantized(params(3, 32)));
    assert_eq!(quantization.module("model.embed_tokens"), Module::Quantized(params(8, 64)));
    assert_eq!(quantization.module("lm_head"), Module::Plain);
    assert_eq!(quantization.module("model.layers.0.mlp.up_proj"), Module::Quantized(params(3, 32)));
    assert_eq!(quantization.modules.len(), 4);
}

#[test]
fn a_module_of_its_own_inherits_nothing() {
    let quantization =
        read(r#""quantization": {"group_size": 32, "bits": 3, "lm_head": {"bits": 6}}"#).unwrap().unwrap();
    assert_eq!(quantization.module("lm_head"), Module::Quantized(params(6, 64)));
}

#[test]
fn microscaled_modes_are_read_and_a_module_without_a_mode_is_affine() {
    let quantization = read(
        r#""quantization": {"group_size": 32, "bits": 4, "mode": "mxfp4",
            "lm_head": {"group_size": 64, "bits": 8}, "model.embed_tokens": {"mode": "nvfp4"}}"#,
    );
    let quantization = quantization.unwrap().unwrap();
    let micro = |bits, group, mode| Params { bits, group, mode: Mode::Microscaled(mode) };
    assert_eq!(quantization.default, micro(4, 32, Microscaled::Mxfp4));
    assert_eq!(quantization.module("lm_head"), Module::Quantized(params(8, 64)));
    assert_eq!(quantization.module("model.embed_tokens"), Module::Quantized(micro(4, 16, Microscaled::Nvfp4)));
}

#[test]
fn the_copy_is_read_where_it_stands_alone() {
    let quantization = read(r#""quantization_config": {"group_size": 64, "bits": 4}"#).unwrap().unwrap();
    assert_eq!(quantization.default, params(4, 64));
}

#[test]
fn other_methods_are_refused_by_name() {
    let cases = [
        (r#"{"quant_method": "fp8", "activation_scheme": "dynamic"}"#, "fp8"),
        (r#"{"quant_method": "awq", "bits": 4, "group_size": 128}"#, "awq"),
        (r#"{"quant_method": "gptq", "bits": 4, "group_size": 128}"#, "gptq"),
        (r#"{"quant_method": "compressed-tensors"}"#, "compressed-tensors"),
        (r#"{"load_in_8bit": true}"#, "bitsandbytes"),
        (r#"{"group_size": 32, "bits": 4, "mode": "mxint4"}"#, "mxint4"),
        (r#"{"group_size": 64, "bits": 4, "lm_head": {"mode": "fp4", "bits": 4, "group_size": 64}}"#, "fp4"),
        (r#"{"group_size": 64, "bits": 1}"#, "MLX affine with 1 bit"),
        (r#"{"group_size": 64, "bits": 4, "lm_head": {"bits": 1}}"#, "MLX affine with 1 bit"),
    ];
    for (json, expected) in cases {
        let error = read(&format!(r#""quantization_config": {json}"#)).unwrap_err();
        assert!(matches!(&error, Error::UnsupportedQuantization { method, .. } if method == expected), "{error}");
    }
}

#[test]
fn broken_descriptions_name_their_key() {
    let cases = [
        (r#"{"bits": 4}"#, "`quantization.group_size` is missing"),
        (r#"{"group_size": 64}"#, "`quantization.bits` is missing"),
        (r#"{"group_size": 64, "bits": 7}"#, "`quantization.bits` is 7, expected one of [2, 3, 4, 5, 6, 8]"),
        (r#"{"group_size": 48, "bits": 4}"#, "`quantization.group_size` is 48, expected one of [32, 64, 128]"),
        (
            r#"{"group_size": 64, "bits": 4, "mode": "mxfp4"}"#,
            "`quantization.group_size` is 64, expected 32, as mode mxfp4",
        ),
        (r#"{"group_size": 32, "bits": 4, "mode": "mxfp8"}"#, "`quantization.bits` is 4, expected 8, as mode mxfp8"),
        (r#"{"group_size": 64, "bits": 260}"#, "`quantization.bits` is 260, expected one of [2, 3, 4, 5, 6, 8]"),
        (r#"{"group_size": 64, "bits": 4, "lm_head": {"bits": "x"}}"#, r#"`quantization.lm_head.bits` is "x""#),
        ("4", "`quantization` is 4, expected an object"),
    ];
    for (json, expected) in cases {
        let error = read(&format!(r#""quantization": {json}"#)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
}
