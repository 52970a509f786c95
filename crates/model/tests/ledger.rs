//! Every tensor is used, or ignored for a named reason, or the checkpoint is refused by file and tensor.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{collections::BTreeMap, fs};

use ffai_checkpoint::Checkpoint;
use ffai_model::{Fate, Ledger, Weights};
use safetensors::{Dtype, serialize_to_file, tensor::TensorView};
use serde_json::{Value, json};

/// Name to type, shape and bytes.
type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

const HIDDEN: usize = 64;

fn config() -> Value {
    json!({
        "model_type": "llama", "hidden_size": HIDDEN, "intermediate_size": 128, "num_hidden_layers": 1,
        "num_attention_heads": 2, "vocab_size": 10, "max_position_embeddings": 32, "tie_word_embeddings": true
    })
}

fn plain(shape: &[usize]) -> (Dtype, Vec<usize>, Vec<u8>) {
    (Dtype::BF16, shape.to_vec(), vec![0; shape.iter().product::<usize>() * 2])
}

fn tensors() -> Tensors {
    let mut all = Tensors::new();
    let mut add = |name: &str, shape: &[usize]| all.insert(name.to_owned(), plain(shape));
    add("model.embed_tokens.weight", &[10, HIDDEN]);
    add("model.norm.weight", &[HIDDEN]);
    for norm in ["input_layernorm", "post_attention_layernorm"] {
        add(&format!("model.layers.0.{norm}.weight"), &[HIDDEN]);
    }
    for name in ["q", "k", "v", "o"] {
        add(&format!("model.layers.0.self_attn.{name}_proj.weight"), &[HIDDEN, HIDDEN]);
    }
    for (name, shape) in [("gate", [128, HIDDEN]), ("up", [128, HIDDEN]), ("down", [HIDDEN, 128])] {
        add(&format!("model.layers.0.mlp.{name}_proj.weight"), &shape);
    }
    all
}

/// Makes a module affine with `bits` and `group`, as mlx-lm saves it.
fn quantize(all: &mut Tensors, module: &str, bits: usize, group: usize) {
    let (_, shape, _) = all[&format!("{module}.weight")].clone();
    let (rows, cols) = (shape[0], shape[1]);
    let words = cols * bits / 32;
    all.insert(format!("{module}.weight"), (Dtype::U32, vec![rows, words], vec![0; rows * words * 4]));
    for part in ["scales", "biases"] {
        all.insert(format!("{module}.{part}"), plain(&[rows, cols / group]));
    }
}

fn bind(config: &Value, tensors: &Tensors) -> Result<Ledger, String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    let views = tensors
        .iter()
        .map(|(name, (dtype, shape, bytes))| (name, TensorView::new(*dtype, shape.clone(), bytes).unwrap()));
    serialize_to_file(views, None, &folder.path().join("model.safetensors")).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).map_err(|e| e.to_string())?;
    let spec = ffai_model::spec(&checkpoint).map_err(|e| e.to_string())?;
    let message = |e: ffai_model::Error| e.to_string().replace(folder.path().to_str().unwrap(), "DIR");
    Weights::bind(&spec, &checkpoint).map(|w| w.ledger().clone()).map_err(message)
}

fn fate<'a>(ledger: &'a Ledger, tensor: &str) -> &'a Fate {
    &ledger.rows.iter().find(|r| r.tensor == tensor).unwrap().fate
}

#[test]
fn a_whole_checkpoint_is_used_to_the_last_tensor() {
    let ledger = bind(&config(), &tensors()).unwrap();
    assert_eq!(ledger.rows.len(), tensors().len());
    assert!(ledger.rows.iter().all(|r| matches!(r.fate, Fate::Used { .. })));
}

#[test]
fn a_missing_tensor_is_an_error_with_name_role_and_shape() {
    let mut all = tensors();
    all.remove("model.layers.0.self_attn.k_proj.weight");
    insta::assert_snapshot!(bind(&config(), &all).unwrap_err(), @"DIR: tensor model.layers.0.self_attn.k_proj.weight is missing (role layers.0.attn.k, expected [64, 64])");
}

#[test]
fn an_unread_tensor_is_an_error_with_its_shape() {
    let mut all = tensors();
    all.insert("model.layers.1.mlp.up_proj.weight".to_owned(), plain(&[4, 4]));
    all.insert("model.layers.0.self_attn.q_proj.bias".to_owned(), plain(&[64]));
    insta::assert_snapshot!(bind(&config(), &all).unwrap_err(), @"DIR/model.safetensors: tensor model.layers.0.self_attn.q_proj.bias [64] is not used by the llama family; the checkpoint is of another model, or of a newer form of it (and 1 more)");
}

#[test]
fn a_misshapen_tensor_is_an_error_with_both_shapes() {
    let mut all = tensors();
    all.insert("model.layers.0.mlp.up_proj.weight".to_owned(), plain(&[HIDDEN, 128]));
    insta::assert_snapshot!(bind(&config(), &all).unwrap_err(), @"DIR/model.safetensors: tensor model.layers.0.mlp.up_proj.weight has shape [64, 128], expected [128, 64] (role layers.0.mlp.up)");
}

#[test]
fn an_oddly_typed_tensor_is_an_error_with_its_type() {
    let mut all = tensors();
    all.insert(
        "model.layers.0.mlp.up_proj.weight".to_owned(),
        (Dtype::F8_E4M3, vec![128, HIDDEN], vec![0; 128 * HIDDEN]),
    );
    let error = bind(&config(), &all).unwrap_err();
    assert!(error.contains("model.layers.0.mlp.up_proj.weight") && error.contains("F8_E4M3"), "{error}");
    let mut all = tensors();
    all.insert("model.norm.weight".to_owned(), (Dtype::I32, vec![HIDDEN], vec![0; HIDDEN * 4]));
    let error = bind(&config(), &all).unwrap_err();
    assert!(error.contains("model.norm.weight") && error.contains("i32"), "{error}");
}

#[test]
fn a_head_beside_a_tied_embedding_is_ignored_for_that_reason() {
    let mut all = tensors();
    all.insert("lm_head.weight".to_owned(), plain(&[10, HIDDEN]));
    let ledger = bind(&config(), &all).unwrap();
    assert_eq!(fate(&ledger, "lm_head.weight"), &Fate::Ignored { reason: "the head is tied to the embedding" });
}

#[test]
fn shapes_decide_over_a_wrong_default_and_the_ledger_says_so() {
    let (mut all, mut config) = (tensors(), config());
    quantize(&mut all, "model.layers.0.mlp.up_proj", 6, 32);
    quantize(&mut all, "model.layers.0.mlp.down_proj", 4, 64);
    config["quantization"] = json!({"bits": 4, "group_size": 64});
    let ledger = bind(&config, &all).unwrap();
    let Fate::Used { note, .. } = fate(&ledger, "model.layers.0.mlp.up_proj.weight") else { panic!("it is used") };
    insta::assert_snapshot!(note.as_deref().unwrap(), @"the config's default is affine 4-bit g64, the shapes say affine 6-bit g32 (bf16 scales)");
    assert!(matches!(fate(&ledger, "model.layers.0.mlp.down_proj.weight"), Fate::Used { note: None, .. }));
}

#[test]
fn an_entry_of_the_modules_own_that_contradicts_the_tensors_is_an_error() {
    let (mut all, mut config) = (tensors(), config());
    quantize(&mut all, "model.layers.0.mlp.up_proj", 6, 32);
    config["quantization"] =
        json!({"bits": 6, "group_size": 32, "model.layers.0.mlp.up_proj": {"bits": 8, "group_size": 32}});
    insta::assert_snapshot!(bind(&config, &all).unwrap_err(), @"DIR/model.safetensors: module model.layers.0.mlp.up_proj is affine 6-bit g32 (bf16 scales), but the quantization entry of its own in config.json says affine 8-bit g32");
    config["quantization"] = json!({"bits": 6, "group_size": 32, "model.layers.0.mlp.up_proj": false});
    assert!(bind(&config, &all).unwrap_err().contains("says plain"));
}

#[test]
fn scales_without_biases_are_an_error() {
    let mut all = tensors();
    quantize(&mut all, "model.layers.0.mlp.up_proj", 4, 64);
    all.remove("model.layers.0.mlp.up_proj.biases");
    let error = bind(&config(), &all).unwrap_err();
    assert!(error.contains("model.layers.0.mlp.up_proj.biases is missing"), "{error}");
}

/// q, k and v as rows of one matrix, gate and up of another.
fn fused() -> (Value, Tensors) {
    let (mut config, mut all) = (config(), tensors());
    config["model_type"] = json!("phi3");
    all.retain(|name, _| {
        !["q_proj", "k_proj", "v_proj", "gate_proj", "up_proj"].iter().any(|part| name.contains(part))
    });
    all.insert("model.layers.0.self_attn.qkv_proj.weight".to_owned(), plain(&[3 * HIDDEN, HIDDEN]));
    all.insert("model.layers.0.mlp.gate_up_proj.weight".to_owned(), plain(&[256, HIDDEN]));
    (config, all)
}

#[test]
fn the_ledger_says_which_rows_of_a_fused_tensor_play_which_role() {
    let (config, all) = fused();
    let ledger = bind(&config, &all).unwrap();
    let Fate::Used { role, .. } = fate(&ledger, "model.layers.0.self_attn.qkv_proj.weight") else {
        panic!("it is used")
    };
    assert_eq!(role, "layers.0.attn.q [0..64], layers.0.attn.k [64..128], layers.0.attn.v [128..192]");
}

#[test]
fn a_fused_tensor_with_more_rows_than_its_roles_is_an_error() {
    let (config, mut all) = fused();
    all.insert("model.layers.0.mlp.gate_up_proj.weight".to_owned(), plain(&[257, HIDDEN]));
    let error = bind(&config, &all).unwrap_err();
    assert!(error.contains("gate_up_proj.weight has shape [257, 64], expected [256, 64]"), "{error}");
}

/// Makes a module nvfp4 with a global scale, as mlx saves it.
fn nvfp4(all: &mut Tensors, module: &str) {
    let (_, shape, _) = all[&format!("{module}.weight")].clone();
    let (rows, cols) = (shape[0], shape[1]);
    all.insert(format!("{module}.weight"), (Dtype::U32, vec![rows, cols / 8], vec![0; rows * cols / 2]));
    all.insert(format!("{module}.scales"), (Dtype::U8, vec![rows, cols / 16], vec![0; rows * cols / 16]));
    all.insert(format!("{module}.global_scale"), (Dtype::F32, Vec::new(), vec![0; 4]));
}

#[test]
fn a_module_with_scales_of_bytes_needs_no_biases() {
    let mut all = tensors();
    nvfp4(&mut all, "model.layers.0.mlp.up_proj");
    let ledger = bind(&config(), &all).unwrap();
    for part in ["weight", "scales", "global_scale"] {
        let fate = fate(&ledger, &format!("model.layers.0.mlp.up_proj.{part}"));
        assert!(matches!(fate, Fate::Used { role, .. } if role == "layers.0.mlp.up"), "{fate:?}");
    }
}

#[test]
fn an_entry_without_a_mode_says_affine() {
    let mut all = tensors();
    nvfp4(&mut all, "model.layers.0.mlp.up_proj");
    let mut config = config();
    config["quantization"] = json!({"bits": 4, "group_size": 16, "mode": "nvfp4"});
    bind(&config, &all).unwrap();
    config["quantization"]["model.layers.0.mlp.up_proj"] = json!({"bits": 4, "group_size": 64});
    let error = bind(&config, &all).unwrap_err();
    assert!(error.contains("up_proj is nvfp4, but") && error.contains("says affine 4-bit g64"), "{error}");
}

/// A mixture of 3 experts in place of the MLP; each expert is 32 wide.
fn mixture() -> (Value, Tensors) {
    let mut config = config();
    for (key, value) in
        [("num_experts", 3), ("num_experts_per_tok", 2), ("moe_intermediate_size", 32), ("head_dim", 32)]
    {
        config[key] = json!(value);
    }
    (config["model_type"], config["num_key_value_heads"]) = (json!("qwen3_moe"), json!(2));
    let mut all = tensors();
    all.retain(|name, _| !name.contains(".mlp."));
    all.insert("model.layers.0.mlp.gate.weight".to_owned(), plain(&[3, HIDDEN]));
    for norm in ["q_norm", "k_norm"] {
        all.insert(format!("model.layers.0.self_attn.{norm}.weight"), plain(&[32]));
    }
    (config, all)
}

#[test]
fn experts_of_their_own_names_are_one_row_when_folded() {
    let (config, mut all) = mixture();
    for expert in 0..3 {
        for (name, shape) in [("gate", [32, HIDDEN]), ("up", [32, HIDDEN]), ("down", [HIDDEN, 32])] {
            all.insert(format!("model.layers.0.mlp.experts.{expert}.{name}_proj.weight"), plain(&shape));
        }
    }
    let ledger = bind(&config, &all).unwrap();
    assert_eq!(ledger.rows.len(), all.len());
    let folded = ledger.folded();
    let (row, n) = folded.iter().find(|(row, _)| row.tensor.contains("up_proj")).unwrap();
    assert_eq!(
        (row.tensor.as_str(), *n, row.bytes),
        ("model.layers.0.mlp.experts.*.up_proj.weight", 3, 3 * 32 * 64 * 2)
    );
    assert_eq!(row.fate, Fate::Used { role: "layers.0.moe.experts.*.up".to_owned(), note: None });
}

#[test]
fn stacks_of_experts_are_bound_by_their_shape() {
    let (config, mut all) = mixture();
    all.insert("model.layers.0.mlp.experts.gate_up_proj".to_owned(), plain(&[3, 64, HIDDEN]));
    all.insert("model.layers.0.mlp.switch_mlp.down_proj.weight".to_owned(), plain(&[3, HIDDEN, 32]));
    let ledger = bind(&config, &all).unwrap();
    let role = "layers.0.moe.experts.*.gate [0..32], layers.0.moe.experts.*.up [32..64]".to_owned();
    assert_eq!(*fate(&ledger, "model.layers.0.mlp.experts.gate_up_proj"), Fate::Used { role, note: None });
    all.insert("model.layers.0.mlp.switch_mlp.down_proj.weight".to_owned(), plain(&[2, HIDDEN, 32]));
    let error = bind(&config, &all).unwrap_err();
    let expected = "DIR/model.safetensors: tensor model.layers.0.mlp.switch_mlp.down_proj.weight has shape [2, 64, 32], expected [3, 64, 32] (role layers.0.moe.experts.*.down)";
    assert_eq!(error, expected);
}

#[test]
fn each_expert_of_a_stack_may_have_a_global_scale() {
    let (config, mut all) = mixture();
    all.insert("model.layers.0.mlp.experts.gate_up_proj".to_owned(), plain(&[3, 64, HIDDEN]));
    let down = "model.layers.0.mlp.switch_mlp.down_proj";
    all.insert(format!("{down}.weight"), (Dtype::U32, vec![3, HIDDEN, 4], vec![0; 3 * HIDDEN * 16]));
    all.insert(format!("{down}.scales"), (Dtype::U8, vec![3, HIDDEN, 2], vec![0x38; 3 * HIDDEN * 2]));
    let scales = |n: usize| (Dtype::F32, vec![n], vec![0; n * 4]);
    all.insert(format!("{down}.global_scale"), scales(3));
    bind(&config, &all).unwrap();
    all.insert(format!("{down}.global_scale"), scales(2));
    assert!(bind(&config, &all).unwrap_err().contains("global_scale has shape [2], expected [3]"));
}
