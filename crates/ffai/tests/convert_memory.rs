//! A conversion takes memory for some rows, whatever the size of the tensors.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{
    fs,
    io::{BufWriter, Write},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use ffai_checkpoint::Checkpoint;
use ffai_convert::{Options, Width, convert};

const VOCAB: usize = 64_000;
const CONFIG: &str = r#"{"model_type": "llama", "hidden_size": 1024, "intermediate_size": 64, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32, "vocab_size": 64000, "max_position_embeddings": 64,
    "tie_word_embeddings": true, "torch_dtype": "bfloat16"}"#;

/// A checkpoint that is almost only its embedding, of 131 MB.
fn write(folder: &Path) {
    fs::write(folder.join("config.json"), CONFIG).unwrap();
    let layer = |name: &str| format!("model.layers.0.{name}.weight");
    let tensors = [
        ("model.embed_tokens.weight".to_owned(), vec![VOCAB, 1024]),
        ("model.norm.weight".to_owned(), vec![1024]),
        (layer("input_layernorm"), vec![1024]),
        (layer("post_attention_layernorm"), vec![1024]),
        (layer("self_attn.q_proj"), vec![64, 1024]),
        (layer("self_attn.k_proj"), vec![32, 1024]),
        (layer("self_attn.v_proj"), vec![32, 1024]),
        (layer("self_attn.o_proj"), vec![1024, 64]),
        (layer("mlp.gate_proj"), vec![64, 1024]),
        (layer("mlp.up_proj"), vec![64, 1024]),
        (layer("mlp.down_proj"), vec![1024, 64]),
    ];
    let (mut header, mut at) = (serde_json::Map::new(), 0);
    for (name, shape) in tensors {
        let end = at + shape.iter().product::<usize>() * 2;
        header.insert(name, serde_json::json!({"dtype": "BF16", "shape": shape, "data_offsets": [at, end]}));
        at = end;
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = BufWriter::new(fs::File::create(folder.join("model.safetensors")).unwrap());
    file.write_all(&(header.len() as u64).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    (0..at / 2).for_each(|i| file.write_all(&(0x3c00 + (i * 7919 % 509) as u16).to_le_bytes()).unwrap());
}

/// Memory of this process that no file backs.
fn anonymous() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

/// A GGUF of the same sizes in Q8_0, whose embedding has 70 MB.
fn write_gguf(path: &Path) {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let count = |key: &str, n: u32| {
        [text(&format!("llama.{key}")), 4u32.to_le_bytes().to_vec(), n.to_le_bytes().to_vec()].concat()
    };
    let eps =
        [text("llama.attention.layer_norm_rms_epsilon"), 6u32.to_le_bytes().to_vec(), 1e-5f32.to_le_bytes().to_vec()]
            .concat();
    let pairs = [
        [text("general.architecture"), 8u32.to_le_bytes().to_vec(), text("llama")].concat(),
        count("block_count", 1),
        count("context_length", 64),
        count("embedding_length", 1024),
        count("feed_forward_length", 64),
        count("attention.head_count", 2),
        count("attention.head_count_kv", 1),
        count("attention.key_length", 32),
        count("vocab_size", VOCAB as u32),
        eps,
    ];
    let layer = |name: &str| format!("blk.0.{name}.weight");
    let tensors = [
        ("token_embd.weight".to_owned(), vec![VOCAB, 1024]),
        ("output_norm.weight".to_owned(), vec![1024]),
        (layer("attn_norm"), vec![1024]),
        (layer("ffn_norm"), vec![1024]),
        (layer("attn_q"), vec![64, 1024]),
        (layer("attn_k"), vec![32, 1024]),
        (layer("attn_v"), vec![32, 1024]),
        (layer("attn_output"), vec![1024, 64]),
        (layer("ffn_gate"), vec![64, 1024]),
        (layer("ffn_up"), vec![64, 1024]),
        (layer("ffn_down"), vec![1024, 64]),
    ];
    let (mut header, mut at) = (Vec::new(), 0);
    header.extend([b"GGUF".as_slice(), &3u32.to_le_bytes(), &(tensors.len() as u64).to_le_bytes()].concat());
    header.extend([&(pairs.len() as u64).to_le_bytes(), pairs.concat().as_slice()].concat());
    for (name, shape) in &tensors {
        let (numbers, plain) = (shape.iter().product::<usize>(), shape.len() == 1);
        header.extend(text(name));
        header.extend((shape.len() as u32).to_le_bytes());
        shape.iter().rev().for_each(|size| header.extend((*size as u64).to_le_bytes()));
        header.extend(if plain { 0u32 } else { 8 }.to_le_bytes());
        header.extend((at as u64).to_le_bytes());
        at += (if plain { numbers * 4 } else { numbers / 32 * 34 }).next_multiple_of(32);
    }
    header.resize(header.len().next_multiple_of(32), 0);
    let mut file = BufWriter::new(fs::File::create(path).unwrap());
    file.write_all(&header).unwrap();
    // Bytes that are small positive numbers in f16 and f32 wherever they lie.
    (0..at).for_each(|i| file.write_all(&[0x20 + (i % 7) as u8]).unwrap());
}

/// The most memory that a conversion takes beyond what was there.
fn taken(source: &Path, options: Options) -> u64 {
    let (before, done) = (anonymous(), AtomicBool::new(false));
    let most = thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(anonymous());
                thread::sleep(Duration::from_millis(1));
            }
            most
        });
        let out = tempfile::tempdir().unwrap();
        let checkpoint = Checkpoint::open(source).unwrap();
        convert(&checkpoint, &out.path().join("out"), &options, &mut |_, _| {}).unwrap();
        done.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    });
    most.saturating_sub(before)
}

#[test]
fn memory_does_not_grow_with_the_tensors() {
    let scratch = tempfile::tempdir().unwrap();
    write(scratch.path());
    // The scales and biases of a tensor, an eighth of it in 4 bits, and some rows.
    let taken = taken(scratch.path(), Options { width: Width::affine(4, 64), ..Options::default() });
    assert!(taken < 40 << 20, "{taken} bytes for a tensor of 131 MB");
    // In the same test, for one beside this would be counted too.
    let file = scratch.path().join("wide.gguf");
    write_gguf(&file);
    let taken = self::taken(&file, Options::default());
    assert!(taken < 40 << 20, "{taken} bytes for a tensor of 70 MB");
}
