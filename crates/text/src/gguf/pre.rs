//! The pre-tokenizers that `tokenizer.ggml.pre` names.
//!
//! The names are llama.cpp's. What they do is taken from the `tokenizer.json` of the models they are named after, as lists of
//! regular expressions: each isolates its matches in what the ones before it left together. llama.cpp matches some of them only
//! nearly: its `tekken` and `gpt-4o` know no marks and no case but that of ASCII, and it never normalises.

use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

use super::patterns::{
    DEEPSEEK_CODER, DEEPSEEK_LLM, DEEPSEEK_V3, DIGITS_THEN_GPT2, GPT2, GPT4O, LLAMA3, QWEN2, QWEN35, SEED, TEKKEN,
};
use super::unsupported;
use crate::error::{Error, Result};

/// What happens to a text before BPE.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pre {
    names: &'static [&'static str],
    splits: &'static [&'static str],
    /// Unicode normalisation form C first.
    pub(super) nfc: bool,
    /// A word that is a token as a whole is that token, whatever the merges say.
    pub(super) whole_words: bool,
    /// BOS is added when `add_bos_token` is absent.
    pub(super) bos: bool,
}

const fn pre(names: &'static [&'static str], splits: &'static [&'static str]) -> Pre {
    Pre { names, splits, nfc: false, whole_words: false, bos: false }
}

const KNOWN: [Pre; 15] = [
    pre(&["gpt-2", "default", "phi-2"], GPT2),
    Pre { nfc: true, ..pre(&["olmo", "mpt"], GPT2) },
    pre(&["smollm", "starcoder", "refact"], DIGITS_THEN_GPT2),
    Pre { nfc: true, ..pre(&["command-r"], DIGITS_THEN_GPT2) },
    Pre {
        whole_words: true,
        bos: true,
        ..pre(&["llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "lfm2"], LLAMA3)
    },
    pre(&["dbrx", "smaug-bpe", "chatglm-bpe"], LLAMA3),
    Pre { whole_words: true, ..pre(&["glm4"], LLAMA3) },
    Pre { nfc: true, ..pre(&["qwen2", "deepseek-r1-qwen", "megrez"], QWEN2) },
    Pre { nfc: true, ..pre(&["qwen35"], QWEN35) },
    pre(&["seed-coder"], SEED),
    pre(&["deepseek-llm"], DEEPSEEK_LLM),
    pre(&["deepseek-coder"], DEEPSEEK_CODER),
    pre(&["deepseek-v3"], DEEPSEEK_V3),
    Pre { whole_words: true, bos: true, ..pre(&["tekken"], TEKKEN) },
    pre(&["gpt-4o", "llama4", "minimax-m2"], GPT4O),
];

/// The pre-tokenizer of this name. Files from before there were names, and those whose maker left the name open
/// (`default`), get GPT-2's.
pub(super) fn find(name: Option<&str>) -> Result<Pre> {
    let name = name.unwrap_or("default");
    let known = KNOWN.into_iter().find(|pre| pre.names.contains(&name));
    known.ok_or_else(|| unsupported("tokenizer.ggml.pre", name, &KNOWN.map(|pre| pre.names.join(", ")).join(", ")))
}

impl Pre {
    pub(super) fn build(&self) -> Result<PreTokenizerWrapper> {
        let split = |regex: &&str| {
            let split = Split::new(SplitPattern::Regex((*regex).into()), SplitDelimiterBehavior::Isolated, false);
            split.map(PreTokenizerWrapper::from).map_err(|e| Error::malformed("tokenizer.ggml.pre", e))
        };
        let mut steps = self.splits.iter().map(split).collect::<Result<Vec<_>>>()?;
        steps.push(ByteLevel::new(false, true, false).into());
        Ok(Sequence::new(steps).into())
    }
}
