//! Hyperparameters of GGUF files whose layers with a window have other heads and widths than those without.

use ffai_checkpoint::Hparams;

use super::gguf_file::{F32, GgufFile};

/// Three layers, the second without a window.
fn gemma() -> GgufFile {
    GgufFile::new()
        .text("general.architecture", "gemma4")
        .u32("gemma4.block_count", 3)
        .bools("gemma4.attention.sliding_window_pattern", &[true, false, true])
        .u32("gemma4.attention.key_length", 512)
        .u32("gemma4.attention.key_length_swa", 256)
        .u32("gemma4.attention.shared_kv_layers", 1)
        .f32("gemma4.rope.freq_base", 1e6)
        .f32("gemma4.rope.freq_base_swa", 1e4)
        .tensor("rope_freqs.weight", &[1], 0, &[0; 4])
}

fn hparams(file: &GgufFile) -> Hparams {
    file.open().unwrap().hparams().clone()
}

#[test]
fn two_kinds_of_layers_have_widths_and_ropes_of_their_own() {
    let file = gemma().u32("gemma4.attention.head_count_kv", 2).u32("gemma4.feed_forward_length", 96);
    let hparams = hparams(&file);
    let kinds = ["sliding_attention", "full_attention", "sliding_attention"];
    assert_eq!(hparams.texts("layer_types").unwrap().unwrap(), kinds);
    for (name, count) in [
        ("head_dim", 256),
        ("global_head_dim", 512),
        ("num_key_value_heads", 2),
        ("intermediate_size", 96),
        ("num_kv_shared_layers", 1),
    ] {
        assert_eq!(hparams.need_count(name).unwrap(), count, "{name}");
    }
    let ropes = hparams.object("rope_parameters").unwrap().unwrap();
    for (kind, base) in [("full_attention", 1e6), ("sliding_attention", 1e4)] {
        assert_eq!(ropes.object(kind).unwrap().unwrap().need_float("rope_theta").unwrap(), base);
    }
    assert!(hparams.value("per_layer_config").is_none() && hparams.value("use_double_wide_mlp").is_none());
}

#[test]
fn arrays_say_what_each_layer_has() {
    let heads = gemma().u32s("gemma4.attention.head_count_kv", &[4, 1, 4]);
    let heads = hparams(&heads);
    let own = heads.object("per_layer_config").unwrap().unwrap();
    let layer = |i: &str| {
        let own = own.object(i).unwrap().unwrap();
        (own.need_count("num_key_value_heads").unwrap(), own.need_count("head_dim").unwrap())
    };
    assert_eq!((layer("0"), layer("1"), layer("2")), ((4, 256), (1, 512), (4, 256)));
    let wide = hparams(&gemma().u32s("gemma4.feed_forward_length", &[96, 96, 192]));
    assert_eq!(
        (wide.need_count("intermediate_size").unwrap(), wide.need_flag("use_double_wide_mlp").unwrap()),
        (96, true)
    );
    let same = hparams(&gemma().u32s("gemma4.feed_forward_length", &[96, 96, 96]));
    assert!(!same.need_flag("use_double_wide_mlp").unwrap());
}

#[test]
fn keys_are_values_where_a_layer_without_a_window_has_keys_alone() {
    let keys = gemma().tensor("blk.1.attn_k.weight", &[1], 0, &[0; 4]);
    assert!(hparams(&keys).need_flag("attention_k_eq_v").unwrap());
    let both = keys.tensor("blk.1.attn_v.weight", &[1], 0, &[0; 4]);
    assert!(!hparams(&both).need_flag("attention_k_eq_v").unwrap());
}

#[test]
fn what_cannot_be_said_is_refused_by_key() {
    let pattern = "gemma4.attention.sliding_window_pattern";
    let base = || GgufFile::new().text("general.architecture", "gemma4").u32("gemma4.block_count", 3);
    for (file, key) in [
        (base(), pattern),
        (base().bools(pattern, &[true]), pattern),
        (base().bools(pattern, &[true, false, true]), "gemma4.attention.key_length"),
        (gemma().u32s("gemma4.feed_forward_length", &[96, 192, 192]), "gemma4.feed_forward_length"),
        (gemma().u32s("gemma4.feed_forward_length", &[96, 96, 100]), "gemma4.feed_forward_length"),
        (gemma().u32s("gemma4.feed_forward_length", &[]), "gemma4.feed_forward_length"),
        (gemma().u32s("gemma4.attention.head_count_kv", &[1, 1]), "gemma4.attention.head_count_kv"),
        (gemma().u32("gemma4.attention.value_length", 64), "gemma4.attention.value_length"),
        (gemma().u32("gemma4.rope.dimension_count_swa", 64), "gemma4.rope.dimension_count_swa"),
        (gemma().text("gemma4.rope.scaling.type", "yarn"), "gemma4.rope.scaling.type"),
        (gemma().pair("gemma4.rope.freq_base_swa", F32, &f32::NAN.to_le_bytes()), "gemma4.rope.freq_base_swa"),
    ] {
        let error = file.error();
        assert!(error.contains(&format!("`{key}`")), "{key}: {error}");
    }
}

#[test]
fn a_window_of_nothing_is_none() {
    let file = GgufFile::llama().u32("llama.attention.sliding_window", 0);
    assert!(hparams(&file).value("sliding_window").is_none());
}

#[test]
fn the_factors_that_stop_pairs_are_asked_for() {
    let file = GgufFile::new()
        .text("general.architecture", "gemma4")
        .u32("gemma4.block_count", 1)
        .bools("gemma4.attention.sliding_window_pattern", &[false])
        .u32("gemma4.attention.key_length", 512)
        .u32("gemma4.attention.key_length_swa", 256);
    assert!(file.error().contains("`rope_freqs.weight`: missing"), "{}", file.error());
}
