//! How to load, and how to generate.

use ffai_checkpoint::Float;
use ffai_program::Rounding;
use serde_json::{Map, Value};

use crate::{Capability, Device};

/// How a model is loaded. The default is what most people want.
#[derive(Clone, Debug, PartialEq)]
pub struct LoadOptions {
    /// Where it runs.
    pub device: Device,
    /// Threads of the CPU backend; none means the number of physical cores.
    pub threads: Option<usize>,
    /// Longest sequence in tokens, prompt and answer together. None means the model's own limit, but at most
    /// [`LoadOptions::DEFAULT_CONTEXT`]: memory for keys and values grows with it.
    pub context: Option<usize>,
    /// Most requests that run at once; others wait.
    pub parallel: usize,
    /// Most prompt tokens in one step; none leaves it to the device. It changes how smoothly requests share the machine, never what
    /// they answer; but see [`LoadOptions::deterministic`].
    pub chunk: Option<usize>,
    /// Whether answers are the same bits in any company and with any [`LoadOptions::chunk`], also those of models with recurrent layers,
    /// whose prompts then run token by token there. Without it they run in a faster form, whose results are within 1e-4 of that, and depend
    /// on a chunk of less than 64 and on what of a [`crate::Session`] was generated; other layers are the same bits anyway. On the processor
    /// only.
    pub deterministic: bool,
    /// How activations may be rounded where they meet weights, for prompts that are read faster. None means to bf16 in MLPs with bf16
    /// weights (other engines do so everywhere), but not in models that choose experts, where a number that is a little off may choose others.
    /// [`Rounding::Int8`] rounds to bf16 wherever weights are bf16, and to eight bits, with a scale for each group of weights, where they are
    /// quantized: answers are a little off, and `ffai verify MODEL --fast` says how much. On processors with AVX-512 BF16 and VNNI; others,
    /// and cards, go on as they would.
    pub rounding: Option<Rounding>,
    /// Whether requests take over what others have computed of the same first tokens: [`crate::Usage::cached_tokens`] counts them. On the
    /// processor that changes no bit of an answer. Off, nobody can tell from the time it takes what others have asked.
    pub prefix_cache: bool,
    /// Of models with recurrent layers, how many states are kept beside those of running requests, so that sessions go on, fork and go back
    /// without running their tokens again, and prompts that begin alike share their beginning. None means `parallel + 1`;
    /// `ffai inspect` says what they take.
    pub snapshots: Option<usize>,
    /// What the processor keeps keys and values as; none means f16, or f32 where all weights are f32. bf16 takes as many bytes, rounds eight times
    /// more, and has the range of f32, for a model whose keys or values exceed 65,504.
    pub kv: Option<Float>,
    /// Most bytes that weights, keys and values, buffers and scratch may take together; none means the memory that is available
    /// now, as far as the system tells. A model that needs more is refused before its weights are touched.
    pub memory_limit: Option<u64>,
    /// What to enable of that which the model declares; none means everything. What is not enabled is not loaded.
    pub enable: Option<Vec<Capability>>,
}

impl LoadOptions {
    /// The longest sequence unless [`LoadOptions::context`] says otherwise.
    pub const DEFAULT_CONTEXT: usize = 8192;
}

impl Default for LoadOptions {
    fn default() -> Self {
        LoadOptions {
            device: Device::Auto,
            threads: None,
            context: None,
            parallel: 4,
            chunk: None,
            deterministic: false,
            rounding: None,
            prefix_cache: true,
            snapshots: None,
            kv: None,
            memory_limit: None,
            enable: None,
        }
    }
}

/// How an answer is generated. What is none comes from the model's `generation_config.json`, as in transformers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GenerateOptions {
    /// Most new tokens; none means as many as fit the context.
    pub max_tokens: Option<usize>,
    /// 0 always takes the likeliest token; 1 draws from the model's own distribution.
    pub temperature: Option<f32>,
    /// Draw among the `k` likeliest tokens; 0 means all.
    pub top_k: Option<usize>,
    /// Draw among the likeliest tokens that together reach this probability.
    pub top_p: Option<f32>,
    /// Draw among tokens at least this likely relative to the likeliest.
    pub min_p: Option<f32>,
    /// Divides the scores of tokens seen before; 1 means off.
    pub repetition_penalty: Option<f32>,
    /// Subtracted from the scores of tokens generated before.
    pub presence_penalty: Option<f32>,
    /// Subtracted from the scores of tokens for each time they were generated.
    pub frequency_penalty: Option<f32>,
    /// Added to the scores of these tokens.
    pub logit_bias: Vec<(u32, f32)>,
    /// Makes draws repeatable: the same seed gives the same answer on every device. None takes one from the clock.
    pub seed: Option<u64>,
    /// The answer ends before any of these texts.
    pub stop: Vec<String>,
    /// The answer ends at any of these tokens, besides the model's own end tokens.
    pub stop_ids: Vec<u32>,
    /// Tools the model may call, as JSON schemas; handed to the chat template.
    pub tools: Vec<Value>,
    /// Further variables for the chat template, such as `enable_thinking`.
    pub template: Map<String, Value>,
}

impl GenerateOptions {
    /// Always the likeliest token.
    pub fn greedy() -> Self {
        GenerateOptions { temperature: Some(0.0), ..GenerateOptions::default() }
    }

    /// At most `n` new tokens.
    #[must_use]
    pub fn max_tokens(mut self, n: usize) -> Self {
        self.max_tokens = Some(n);
        self
    }

    /// A seed for draws that need not be repeatable; what stands for [`GenerateOptions::seed`] where it is none.
    pub fn seed_from_clock() -> u64 {
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64)
    }

    /// Repeatable draws.
    #[must_use]
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}
