//! What was typed. What will be done is decided in `plan.rs`.

use std::path::PathBuf;

use clap::{
    Args, Parser, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use ffai::{
    Device,
    convert::Recipe,
    measure::{Block, Float, Microscaled},
};

/// Runs language models from Hugging Face on the machine you have.
#[derive(Debug, Parser)]
#[command(
    name = "ffai",
    version,
    max_term_width = 100,
    after_help = "\
MODEL is a folder with config.json and safetensors, a .gguf file, the name of a repository\n\
on the Hugging Face Hub (org/repo), or an alias; `ffai models` lists those.\n\n\
Try:\n  \
  ffai run smollm2 \"Why is the sky blue?\"\n  \
  ffai inspect smollm2\n"
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Answer a prompt, or chat when no prompt is given
    Run(RunArgs),
    /// One forward pass over token ids; writes the logits to a safetensors file
    Logits(LogitsArgs),
    /// Show what a model is: family, shapes, storages, bytes, capabilities
    Inspect(InspectArgs),
    /// Time prompts and decoding, and compare them with the machine's memory
    Bench(BenchArgs),
    /// Check a model on this machine against the built-in interpreter
    Verify(VerifyArgs),
    /// Perplexity of a model over a text
    Perplexity(PerplexityArgs),
    /// What one model loses against another, token by token over a text
    Compare(CompareArgs),
    /// Write a model in the layout of MLX, plain or quantized
    Convert(ConvertArgs),
    /// Send a model's folder to a repository of the Hugging Face Hub
    Upload(UploadArgs),
    /// Say what this machine has and what is missing
    Doctor(DoctorArgs),
    /// Run every kernel's conformance cases on this machine
    Selftest(SelftestArgs),
    /// List aliases and the models in the caches
    Models(ModelsArgs),
    /// Download a model, or the newest revision of it
    Pull(PullArgs),
    /// Remove a model from the caches
    Rm(RmArgs),
}

/// Which model.
#[derive(Args, Debug)]
pub(crate) struct ModelName {
    /// Folder, .gguf file, org/repo on the Hugging Face Hub, or alias
    pub(crate) model: String,
}

/// How results are printed.
#[derive(Args, Debug)]
pub(crate) struct Format {
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a model is loaded, and where it runs.
#[derive(Args, Debug)]
pub(crate) struct LoadArgs {
    /// Refuse to load a model that needs more than this, such as 4GB or 800MB
    #[arg(long, value_name = "BYTES", value_parser = crate::units::parse_bytes)]
    pub(crate) memory_limit: Option<u64>,
    /// Give the same bits however prompts are cut and whoever runs beside; models with recurrent layers read prompts more slowly
    #[arg(long)]
    pub(crate) deterministic: bool,
    /// Round activations that meet quantized weights to eight bits, and those that meet bf16 weights to bf16: prompts are read faster on
    /// processors with AVX-512 VNNI or BF16, and answers are a little off (`ffai verify MODEL --fast` says how much)
    #[arg(long)]
    pub(crate) fast: bool,
    /// Do not even round activations to bf16 in MLPs with bf16 weights, as processors with AVX-512 BF16 do unless a model has experts
    #[arg(long, conflicts_with = "fast")]
    pub(crate) exact: bool,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}

/// Where something runs.
#[derive(Args, Debug)]
pub(crate) struct DeviceArgs {
    /// Where to run: auto, cpu, cuda, or cuda:N for the NVIDIA card with number N
    #[arg(long, default_value_t = Device::Auto)]
    pub(crate) device: Device,
    /// Threads of the processor, which is then the device; its number of physical cores unless given
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// What the processor keeps keys and values as, which is then the device; f16 unless given, or f32 where all weights are
    #[arg(long, value_name = "TYPE")]
    pub(crate) kv: Option<Kv>,
}

/// What keys and values are kept as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kv {
    Bf16,
    F16,
    F32,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Without PROMPT, `ffai run` reads one: from a pipe as it stands, from a terminal as a chat with history\n\
(/clear begins anew, /exit or Ctrl-D ends it). Options that are not given come from the model's\n\
generation_config.json.\n\n\
Examples:\n  \
  ffai run smollm2 \"Why is the sky blue?\"\n  \
  ffai run smollm2 --raw --temperature 0 --max-tokens 20 \"Once upon a time\"\n  \
  git diff | ffai run smollm2 --system \"Summarize this change in one sentence.\"")]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) name: ModelName,
    /// The prompt; without it a chat begins
    pub(crate) prompt: Option<String>,
    /// Continue the prompt as plain text, without a chat template
    #[arg(long, conflicts_with = "system")]
    pub(crate) raw: bool,
    /// The system message
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// Most tokens to generate; without it as many as fit the context
    #[arg(long, value_name = "N")]
    pub(crate) max_tokens: Option<usize>,
    /// 0 always takes the likeliest token, 1 draws from the model's own distribution
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub(crate) temperature: Option<f32>,
    /// Draw among the K likeliest tokens; 0 for all
    #[arg(long, value_name = "K")]
    pub(crate) top_k: Option<usize>,
    /// Draw among the likeliest tokens that together reach probability P
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub(crate) top_p: Option<f32>,
    /// Draw among tokens at least P times as likely as the likeliest
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub(crate) min_p: Option<f32>,
    /// Divide the scores of tokens seen before; 1 for off
    #[arg(long, value_name = "R", allow_negative_numbers = true)]
    pub(crate) repetition_penalty: Option<f32>,
    /// Subtract from the scores of tokens generated before
    #[arg(long, value_name = "A", allow_negative_numbers = true)]
    pub(crate) presence_penalty: Option<f32>,
    /// Subtract from the scores of tokens for each time they were generated
    #[arg(long, value_name = "A", allow_negative_numbers = true)]
    pub(crate) frequency_penalty: Option<f32>,
    /// Make the draws repeatable; a seed of the clock's otherwise
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// End before this text; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,
    /// Longest conversation, in tokens; the model's own limit or 8192, whichever is less, unless given
    #[arg(long, value_name = "N")]
    pub(crate) context: Option<usize>,
    /// States of recurrent layers to keep beside the running one, for later turns; 2 unless given
    #[arg(long, value_name = "N")]
    pub(crate) snapshots: Option<usize>,
    /// Print one JSON object instead of streaming text
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "\
The file holds one tensor, `logits`, f32 [tokens, vocab]. No tokenizer is needed.\n\n\
Example:\n  \
  ffai logits smollm2 --tokens \"1 2 3\" --out logits.safetensors")]
pub(crate) struct LogitsArgs {
    #[command(flatten)]
    pub(crate) name: ModelName,
    /// Token ids, separated by spaces or commas
    #[arg(long, value_name = "IDS")]
    pub(crate) tokens: String,
    /// The safetensors file to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Run the reference interpreter: slow, and right by definition
    #[arg(long, conflicts_with_all = ["threads", "device", "kv", "deterministic", "fast", "exact"])]
    pub(crate) reference: bool,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:\n  \
  ffai inspect smollm2\n  \
  ffai inspect ./my-model --tensors\n  \
  ffai inspect ./my-model --json")]
pub(crate) struct InspectArgs {
    #[command(flatten)]
    pub(crate) name: ModelName,
    /// Tokens of context to count memory for; the model's own limit unless given
    #[arg(long, value_name = "N")]
    pub(crate) context: Option<usize>,
    /// Sequences at once to count memory for
    #[arg(long, value_name = "B", default_value_t = 1)]
    pub(crate) batch: usize,
    /// States of recurrent layers to keep beside those of the sequences; one more than --batch unless given
    #[arg(long, value_name = "N")]
    pub(crate) snapshots: Option<usize>,
    /// Print the spec: the model as data
    #[arg(long, group = "what")]
    pub(crate) spec: bool,
    /// Print the program: the ops of a step
    #[arg(long, group = "what")]
    pub(crate) program: bool,
    /// Print every tensor and what became of it
    #[arg(long, group = "what")]
    pub(crate) tensors: bool,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Decoding is bytes moved over bandwidth: the share says how near it comes to what the same\n\
threads read in the same run. With --random-weights the weights are random bits in the shape\n\
of a config.json; no tokenizer or download is needed.\n\n\
Examples:\n  \
  ffai bench smollm2\n  \
  ffai bench --config bench/shapes/qwen3-0.6b.json --random-weights --bits 4 --batch 1,4,16")]
pub(crate) struct BenchArgs {
    /// Folder, .gguf file, org/repo or alias; or give --config
    #[arg(required_unless_present = "config", conflicts_with = "config")]
    pub(crate) model: Option<String>,
    /// The config.json of a shape to fill with random weights
    #[arg(long, value_name = "FILE", requires = "random_weights")]
    pub(crate) config: Option<PathBuf>,
    /// Use random weights in the shape of --config
    #[arg(long, requires = "config")]
    pub(crate) random_weights: bool,
    /// Bits of the random weights: 16 is bf16, 32 is f32, others are MLX affine
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::builder::PossibleValuesParser::new(["2", "3", "4", "5", "6", "8", "16", "32"]).map(|s| s.parse::<u8>().unwrap_or(16)))]
    pub(crate) bits: u8,
    /// Group size of the random weights
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::builder::PossibleValuesParser::new(["32", "64", "128"]).map(|s| s.parse::<u32>().unwrap_or(64)))]
    pub(crate) group_size: u32,
    /// A GGUF type for the random weights instead of --bits
    #[arg(long, value_name = "TYPE", ignore_case = true, conflicts_with_all = ["bits", "group_size", "mode"], value_parser = named(Block::ALL, Block::name))]
    pub(crate) gguf: Option<Block>,
    /// A mode of MLX without biases for the random weights instead of --bits
    #[arg(long, value_name = "MODE", ignore_case = true, conflicts_with_all = ["bits", "group_size"], value_parser = named(Microscaled::ALL, Microscaled::name))]
    pub(crate) mode: Option<Microscaled>,
    /// Tokens of the prompt
    #[arg(long, value_name = "N", default_value_t = 512)]
    pub(crate) prompt: usize,
    /// Tokens to decode
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub(crate) decode: usize,
    /// Numbers of sequences at once, separated by commas
    #[arg(long, value_name = "N,N", default_value = "1", value_delimiter = ',')]
    pub(crate) batch: Vec<usize>,
    /// Longest sequence to keep memory for; prompt and decoded tokens together unless given
    #[arg(long, value_name = "N")]
    pub(crate) context: Option<usize>,
    /// Counted runs, after one that warms up
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) runs: usize,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
}

/// One of `all`, by its name.
fn named<T: Copy + Send + Sync + 'static, const N: usize>(
    all: [T; N],
    name: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    let same = move |typed: &str| all.into_iter().find(|&one| name(one).eq_ignore_ascii_case(typed));
    PossibleValuesParser::new(all.map(name)).try_map(move |typed| same(&typed).ok_or("no such name"))
}

#[derive(Args, Debug)]
#[command(after_help = "\
Runs the model on the device and on the interpreter, over the same tokens: the prompt in\n\
chunks, the last tokens one by one, and in company of other sequences. On failure it names\n\
the first op that is off. Exit code 0: passed, 1: failed or refused.\n\n\
Examples:\n  \
  ffai verify smollm2\n  \
  ffai verify ./my-model --tokens 512 --json")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) name: ModelName,
    /// How many tokens to run
    #[arg(long, value_name = "N", default_value_t = 96)]
    pub(crate) tokens: usize,
    /// A text to run instead of the built-in one
    #[arg(long, value_name = "FILE")]
    pub(crate) text: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
}

#[derive(Args, Debug)]
pub(crate) struct PerplexityArgs {
    #[command(flatten)]
    pub(crate) name: ModelName,
    #[command(flatten)]
    pub(crate) over: OverArgs,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "\
The divergence is that of B from A, so give the more exact model first.\n\n\
Example:\n  \
  ffai compare ./model-bf16 ./model-4bit --text wiki.txt")]
pub(crate) struct CompareArgs {
    /// The model that is taken as the truth
    pub(crate) a: String,
    /// The model that is judged; it must have the same tokenizer
    pub(crate) b: String,
    #[command(flatten)]
    pub(crate) over: OverArgs,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
}

/// A text and how it is cut.
#[derive(Args, Debug)]
pub(crate) struct OverArgs {
    /// The text, UTF-8
    #[arg(long, value_name = "FILE")]
    pub(crate) text: PathBuf,
    /// Tokens in a window; 512 or the model's own limit, whichever is less, unless given
    #[arg(long, value_name = "N")]
    pub(crate) context: Option<usize>,
    /// Tokens from one window to the next; the context unless given
    #[arg(long, value_name = "N")]
    pub(crate) stride: Option<usize>,
}

#[derive(Args, Debug)]
#[command(after_help = "\
DEST gets config.json, safetensors and the tokenizer as mlx-lm saves them, and is written whole\n\
or not at all. Codes, scales and biases are those that mx.quantize gives. Without --bits, --mode,\n\
--recipe and --dtype numbers stay as they are stored; --dtype alone makes all of them plain.\n\
Of a GGUF codes stay what they are where MLX has such codes, and a line for each tensor says\n\
whether it is exact or what error was added.\n\n\
Examples:\n  \
  ffai convert Qwen/Qwen3-0.6B qwen3-4bit --bits 4\n  \
  ffai convert ./my-model my-model-mixed --recipe mixed_4_6 --embedding-bits 8\n  \
  ffai convert ./my-model-4bit my-model-bf16 --dtype bf16\n  \
  ffai convert ./my-model-Q4_0.gguf my-model-mlx\n  \
  ffai convert Qwen/Qwen3-0.6B qwen3-4bit --bits 4 --upload-repo me/qwen3-4bit")]
pub(crate) struct ConvertArgs {
    /// Folder, .gguf file, org/repo on the Hugging Face Hub, or alias
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// The folder to write; it must not exist, or be empty
    #[arg(value_name = "DEST")]
    pub(crate) destination: PathBuf,
    /// Bits of affine codes; 4 if only --group-size is given
    #[arg(long, value_name = "N", conflicts_with_all = ["mode", "recipe"], value_parser = bits())]
    pub(crate) bits: Option<u8>,
    /// A mode of MLX without biases instead of affine codes
    #[arg(long, value_name = "MODE", ignore_case = true, conflicts_with_all = ["recipe", "group_size"], value_parser = named(Microscaled::ALL, Microscaled::name))]
    pub(crate) mode: Option<Microscaled>,
    /// Two widths, as mlx-lm mixes them
    #[arg(long, value_name = "NAME", value_parser = named(Recipe::ALL, Recipe::name))]
    pub(crate) recipe: Option<Recipe>,
    /// Numbers that share a scale and a bias; 64 unless given
    #[arg(long, value_name = "N", value_parser = PossibleValuesParser::new(["32", "64", "128"]).map(|s| s.parse::<u32>().unwrap_or(64)))]
    pub(crate) group_size: Option<u32>,
    /// Type of plain numbers, scales and biases; that of the model unless given
    #[arg(long, value_name = "TYPE", value_parser = named([Float::BF16, Float::F16, Float::F32], float_name))]
    pub(crate) dtype: Option<Float>,
    /// Bits of the embedding, where they are to be others
    #[arg(long, value_name = "N", value_parser = bits())]
    pub(crate) embedding_bits: Option<u8>,
    /// Bits of the head, where they are to be others
    #[arg(long, value_name = "N", value_parser = bits())]
    pub(crate) head_bits: Option<u8>,
    /// Upload DEST to this repository of the Hugging Face Hub, made where it is missing
    #[arg(long, value_name = "ORG/NAME")]
    pub(crate) upload_repo: Option<String>,
    /// Make that repository private
    #[arg(long, requires = "upload_repo")]
    pub(crate) private: bool,
}

#[derive(Args, Debug)]
#[command(after_help = "\
All files of FOLDER become one commit; hidden ones stay here. What the Hub has already is not sent\n\
again, so an upload that broke off goes on when it is run again. Where neither has a README.md, a\n\
model card is written. The token is HF_TOKEN, or that of `hf auth login`; it needs write access.\n\n\
Examples:\n  \
  ffai upload ./qwen3-4bit me/qwen3-4bit --base-model Qwen/Qwen3-0.6B\n  \
  ffai upload ./my-model me/my-model --private --message \"A better tokenizer\"")]
pub(crate) struct UploadArgs {
    /// The folder of a model, as `ffai convert` writes it
    #[arg(value_name = "FOLDER")]
    pub(crate) folder: PathBuf,
    /// The repository, made where it is missing
    #[arg(value_name = "ORG/NAME")]
    pub(crate) repository: String,
    /// Make the repository private; nothing is sent to one that is public
    #[arg(long)]
    pub(crate) private: bool,
    /// The repository that the model was made from, for the model card
    #[arg(long, value_name = "ORG/NAME")]
    pub(crate) base_model: Option<String>,
    /// The first line of the commit
    #[arg(long, value_name = "TEXT", default_value = "Upload with ffai")]
    pub(crate) message: String,
}

fn bits() -> impl TypedValueParser<Value = u8> {
    PossibleValuesParser::new(["2", "3", "4", "5", "6", "8"]).map(|s| s.parse::<u8>().unwrap_or(4))
}

fn float_name(float: Float) -> &'static str {
    match float {
        Float::BF16 => "bf16",
        Float::F16 => "f16",
        Float::F32 => "f32",
    }
}

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
pub(crate) struct SelftestArgs {
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}

#[derive(Args, Debug)]
pub(crate) struct ModelsArgs {
    #[command(flatten)]
    pub(crate) format: Format,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Only the files that are needed are downloaded, into the cache that Python's tools share.\n\
An interrupted download goes on where it ended.\n\n\
Examples:\n  \
  ffai pull mlx-community/Qwen3-0.6B-4bit\n  \
  ffai pull org/repo-GGUF:Q8_0")]
pub(crate) struct PullArgs {
    /// org/repo, org/repo@revision, org/repo:QUANT, org/repo/file.gguf, or alias
    pub(crate) model: String,
}

#[derive(Args, Debug)]
pub(crate) struct RmArgs {
    /// The name as `ffai models` lists it
    pub(crate) model: String,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
}
