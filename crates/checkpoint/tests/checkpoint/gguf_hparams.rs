//! Hyperparameters of GGUF under the names of Hugging Face.

use ffai_checkpoint::Hparams;

use super::gguf_file::GgufFile;

fn smollm() -> GgufFile {
    GgufFile::llama()
        .u32("llama.block_count", 30)
        .u32("llama.context_length", 8192)
        .u32("llama.embedding_length", 576)
        .u32("llama.feed_forward_length", 1536)
        .u32("llama.attention.head_count", 9)
        .u32("llama.attention.head_count_kv", 3)
        .f32("llama.attention.layer_norm_rms_epsilon", 1e-5)
        .f32("llama.rope.freq_base", 100000.0)
        .u32("llama.rope.dimension_count", 64)
        .strings("tokenizer.ggml.tokens", &["a", "b", "c"])
        .u32("tokenizer.ggml.bos_token_id", 1)
        .u32("tokenizer.ggml.eos_token_id", 2)
}

fn hparams(file: &GgufFile) -> Hparams {
    file.open().unwrap().hparams().clone()
}

fn scaling(file: &GgufFile) -> Hparams {
    hparams(file).object("rope_scaling").unwrap().expect("there is a scaling")
}

#[test]
fn keys_get_the_names_of_configs() {
    let hparams = hparams(&smollm());
    assert_eq!(hparams.model_type(), "llama");
    let counts = [
        ("num_hidden_layers", 30),
        ("max_position_embeddings", 8192),
        ("hidden_size", 576),
        ("intermediate_size", 1536),
        ("num_attention_heads", 9),
        ("num_key_value_heads", 3),
        ("vocab_size", 3),
        ("bos_token_id", 1),
        ("eos_token_id", 2),
    ];
    for (name, count) in counts {
        assert_eq!(hparams.need_count(name).unwrap(), count, "{name}");
    }
    assert_eq!(hparams.need_float("rope_theta").unwrap(), 100000.0);
    assert!(hparams.value("partial_rotary_factor").is_none() && hparams.value("rope_scaling").is_none());
}

#[test]
fn single_precision_gives_the_number_that_was_meant() {
    assert_eq!(hparams(&smollm()).need_float("rms_norm_eps").unwrap(), 1e-5);
}

#[test]
fn a_head_is_tied_where_there_is_none() {
    assert!(hparams(&smollm()).need_flag("tie_word_embeddings").unwrap());
    let separate = smollm().tensor("output.weight", &[1], 0, &[0; 4]);
    assert!(!hparams(&separate).need_flag("tie_word_embeddings").unwrap());
}

#[test]
fn biases_are_declared_by_the_tensors_that_are_there() {
    let file = smollm().tensor("blk.0.attn_q.bias", &[1], 0, &[0; 4]);
    let hparams = hparams(&file);
    assert!(hparams.need_flag("attention_bias").unwrap());
    assert!(!hparams.need_flag("mlp_bias").unwrap());
}

#[test]
fn other_architectures_need_no_code() {
    let file = GgufFile::new()
        .text("general.architecture", "qwen3")
        .u32("qwen3.block_count", 28)
        .u32("qwen3.attention.key_length", 128)
        .u32("qwen3.vocab_size", 151936);
    let hparams = hparams(&file);
    assert_eq!(hparams.model_type(), "qwen3");
    assert_eq!(hparams.need_count("head_dim").unwrap(), 128);
    assert_eq!(hparams.need_count("vocab_size").unwrap(), 151936);
}

#[test]
fn part_of_a_head_may_rotate() {
    let file = GgufFile::llama().u32("llama.attention.key_length", 128).u32("llama.rope.dimension_count", 32);
    assert_eq!(hparams(&file).need_float("partial_rotary_factor").unwrap(), 0.25);
    let file = GgufFile::llama().u32("llama.attention.key_length", 32).u32("llama.rope.dimension_count", 64);
    assert!(file.error().contains("`llama.rope.dimension_count` is U32(64), expected 1 to 32"));
}

#[test]
fn yarn_becomes_the_object_of_a_config() {
    let file = smollm()
        .text("llama.rope.scaling.type", "yarn")
        .f32("llama.rope.scaling.factor", 4.0)
        .u32("llama.rope.scaling.original_context_length", 32768)
        .f32("llama.rope.scaling.yarn_beta_fast", 24.0);
    let scaling = scaling(&file);
    assert_eq!(scaling.need_text("rope_type").unwrap(), "yarn");
    assert_eq!(scaling.need_float("factor").unwrap(), 4.0);
    assert_eq!(scaling.need_count("original_max_position_embeddings").unwrap(), 32768);
    assert_eq!(scaling.need_float("beta_fast").unwrap(), 24.0);
    assert!(scaling.value("attention_factor").is_none());
}

#[test]
fn an_attention_factor_multiplies_the_one_of_yarn() {
    let file = smollm()
        .text("llama.rope.scaling.type", "yarn")
        .f32("llama.rope.scaling.factor", 4.0)
        .f32("llama.rope.scaling.attn_factor", 0.5);
    let factor = scaling(&file).need_float("attention_factor").unwrap();
    assert!((factor - 0.5 * (0.1 * 4f64.ln() + 1.0)).abs() < 1e-12, "{factor}");
}

#[test]
fn linear_scaling_has_an_old_key_and_a_new_one() {
    let new = smollm().text("llama.rope.scaling.type", "linear").f32("llama.rope.scaling.factor", 2.0);
    let old = smollm().f32("llama.rope.scale_linear", 2.0);
    for file in [new, old] {
        let scaling = scaling(&file);
        assert_eq!((scaling.need_text("rope_type").unwrap(), scaling.need_float("factor").unwrap()), ("linear", 2.0));
    }
}

#[test]
fn no_scaling_is_no_object() {
    let file = smollm().text("llama.rope.scaling.type", "none").f32("llama.rope.scaling.factor", 2.0);
    assert!(hparams(&file).value("rope_scaling").is_none());
}

#[test]
fn scalings_that_no_config_can_say_are_refused() {
    let file = smollm().text("llama.rope.scaling.type", "spiral");
    assert!(file.error().contains(r#"`llama.rope.scaling.type` is "spiral", expected none, linear, yarn"#));
    let file = smollm().text("llama.rope.scaling.type", "yarn").f32("llama.rope.scaling.yarn_ext_factor", 0.5);
    assert!(file.error().contains("`llama.rope.scaling.yarn_ext_factor` is F32(0.5), expected 1"));
}

#[test]
fn errors_name_the_key_of_the_file_too() {
    let error = hparams(&GgufFile::llama()).need_count("num_hidden_layers").unwrap_err().to_string();
    assert!(error.ends_with("model.gguf: `num_hidden_layers (llama.block_count)` is missing"), "{error}");
    let file = smollm().text("llama.rope.scaling.type", "yarn");
    let error = scaling(&file).need_float("factor").unwrap_err().to_string();
    assert!(error.ends_with("`rope_scaling.factor (llama.rope.scaling.factor)` is missing"), "{error}");
}

#[test]
fn keys_of_the_wrong_type_are_named_as_the_file_names_them() {
    let file = GgufFile::llama().text("llama.block_count", "many");
    assert_eq!(file.error(), r#"model.gguf: `llama.block_count` is "many", expected an integer from 0 up"#);
    let file = GgufFile::llama().f32("llama.rope.freq_base", f32::NAN);
    assert_eq!(file.error(), "model.gguf: `llama.rope.freq_base` is F32(NaN), expected a finite number");
}
