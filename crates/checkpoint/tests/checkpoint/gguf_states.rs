//! Hyperparameters of GGUF files of models with recurrent layers.

use ffai_checkpoint::Hparams;

use super::gguf_file::GgufFile;

fn scans() -> GgufFile {
    GgufFile::new()
        .text("general.architecture", "mamba2")
        .u32("mamba2.block_count", 2)
        .u32("mamba2.embedding_length", 32)
        .u32("mamba2.feed_forward_length", 0)
        .u32("mamba2.attention.head_count", 0)
        .u32("mamba2.ssm.conv_kernel", 4)
        .u32("mamba2.ssm.state_size", 16)
        .u32("mamba2.ssm.group_count", 2)
        .u32("mamba2.ssm.time_step_rank", 4)
}

fn hparams(file: &GgufFile) -> Result<Hparams, String> {
    file.open().map(|checkpoint| checkpoint.hparams().clone()).map_err(|error| error.to_string())
}

#[test]
fn a_scan_has_the_names_of_its_config_and_no_heads_of_attention() {
    let hparams = hparams(&scans().u32("mamba2.ssm.inner_size", 64)).unwrap();
    for (name, count) in [("conv_kernel", 4), ("state_size", 16), ("n_groups", 2), ("num_heads", 4), ("head_dim", 16)] {
        assert_eq!(hparams.need_count(name).unwrap(), count, "{name}");
    }
    assert!(hparams.value("num_attention_heads").is_none());
    let refusal = hparams.invalid("head_dim", "less").to_string();
    assert!(refusal.contains("mamba2.ssm.inner_size"), "{refusal}");
}

#[test]
fn a_delta_net_has_the_names_of_its_config() {
    for architecture in ["qwen3next", "qwen35", "qwen35moe"] {
        let key = |key: &str| format!("{architecture}.{key}");
        let file = GgufFile::new()
            .text("general.architecture", architecture)
            .u32(&key("attention.head_count"), 8)
            .u32(&key("attention.key_length"), 256)
            .u32(&key("rope.dimension_count"), 64)
            .u32(&key("full_attention_interval"), 4)
            .u32(&key("block_count"), 9)
            .u32(&key("nextn_predict_layers"), 1)
            .u32(&key("ssm.conv_kernel"), 4)
            .u32(&key("ssm.state_size"), 128)
            .u32(&key("ssm.group_count"), 16)
            .u32(&key("ssm.time_step_rank"), 32)
            .u32(&key("ssm.inner_size"), 4096);
        let hparams = hparams(&file).unwrap();
        for (name, count) in [
            ("num_attention_heads", 8),
            ("head_dim", 256),
            ("num_hidden_layers", 8),
            ("full_attention_interval", 4),
            ("linear_conv_kernel_dim", 4),
            ("linear_key_head_dim", 128),
            ("linear_num_key_heads", 16),
            ("linear_num_value_heads", 32),
            ("linear_value_head_dim", 128),
        ] {
            assert_eq!(hparams.need_count(name).unwrap(), count, "{name}");
        }
        assert_eq!(hparams.need_float("partial_rotary_factor").unwrap(), 0.25);
    }
}

#[test]
fn what_a_silent_file_means_is_not_guessed() {
    assert!(hparams(&scans()).unwrap_err().contains("mamba2.ssm.inner_size"));
}

#[test]
fn channels_that_do_not_divide_into_heads_are_refused_by_key() {
    for inner in [63, 65] {
        let refusal = hparams(&scans().u32("mamba2.ssm.inner_size", inner)).unwrap_err();
        assert!(refusal.contains("mamba2.ssm.inner_size") && refusal.contains("a multiple"), "{refusal}");
    }
    let none = GgufFile::new()
        .text("general.architecture", "mamba2")
        .u32("mamba2.ssm.conv_kernel", 4)
        .u32("mamba2.ssm.state_size", 16)
        .u32("mamba2.ssm.group_count", 2)
        .u32("mamba2.ssm.time_step_rank", 0)
        .u32("mamba2.ssm.inner_size", 64);
    assert!(hparams(&none).unwrap_err().contains("mamba2.ssm.inner_size"));
}

fn one_mixer_a_layer(architecture: &str) -> GgufFile {
    let key = |key: &str| format!("{architecture}.{key}");
    GgufFile::new()
        .text("general.architecture", architecture)
        .u32(&key("ssm.conv_kernel"), 4)
        .u32(&key("ssm.state_size"), 16)
        .u32(&key("ssm.group_count"), 2)
        .u32(&key("ssm.time_step_rank"), 4)
        .u32(&key("ssm.inner_size"), 64)
        .u32s(&key("attention.head_count_kv"), &[0, 0, 2])
}

#[test]
fn layers_of_one_mixer_are_told_apart_by_their_widths() {
    for (architecture, wide) in [("nemotron_h", "mlp"), ("nemotron_h_moe", "moe")] {
        let widths = format!("{architecture}.feed_forward_length");
        let refusal = hparams(&one_mixer_a_layer(architecture).u32s(&widths, &[0, 48])).unwrap_err();
        assert!(refusal.contains(&widths) && refusal.contains("one for each layer"), "{refusal}");
        let hparams = hparams(&one_mixer_a_layer(architecture).u32s(&widths, &[0, 48, 0])).unwrap();
        assert_eq!(hparams.model_type(), "nemotron_h");
        let kinds = hparams.texts("layers_block_type").unwrap().unwrap();
        assert_eq!(kinds, ["linear_attention", wide, "full_attention"]);
        assert_eq!(hparams.need_count("num_key_value_heads").unwrap(), 2);
    }
}

#[test]
fn whether_keys_turn_beside_scans_is_said_by_a_flag() {
    for (turns, name) in [(true, "rope"), (false, "nope")] {
        let file = GgufFile::new()
            .text("general.architecture", "granitehybrid")
            .u32("granitehybrid.ssm.conv_kernel", 4)
            .u32("granitehybrid.ssm.state_size", 16)
            .u32("granitehybrid.ssm.group_count", 1)
            .u32("granitehybrid.ssm.time_step_rank", 4)
            .u32("granitehybrid.ssm.inner_size", 64)
            .pair("granitehybrid.rope.scaling.finetuned", 7, &[u8::from(turns)]);
        assert_eq!(hparams(&file).unwrap().need_text("position_embedding_type").unwrap(), name);
    }
}
