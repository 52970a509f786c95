//! The pre-tokenizers that `tokenizer.ggml.pre` names.
//!
//! The names are llama.cpp's. What they do is taken from the `tokenizer.json` of the models they are named after.

use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

use super::unsupported;
use crate::error::{Error, Result};

/// What happens to a text before BPE.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pre {
    names: &'static [&'static str],
    split: SplitBy,
    /// Unicode normalisation form C first.
    pub(super) nfc: bool,
    /// A word that is a token as a whole is that token, whatever the merges say.
    pub(super) whole_words: bool,
    /// BOS is added when `add_bos_token` is absent.
    pub(super) bos: bool,
}

#[derive(Clone, Copy, Debug)]
enum SplitBy {
    /// GPT-2's regular expression.
    Gpt2,
    /// Every numeric character (\p{N}) by itself, and only then GPT-2's regular expression.
    DigitsThenGpt2,
    Regex(&'static str),
}

/// Up to three digits are one word.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// Every digit is a word.
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

const KNOWN: [Pre; 4] = [
    Pre { names: &["gpt-2", "default"], split: SplitBy::Gpt2, nfc: false, whole_words: false, bos: false },
    Pre { names: &["smollm"], split: SplitBy::DigitsThenGpt2, nfc: false, whole_words: false, bos: false },
    Pre {
        names: &["llama-bpe", "llama3", "llama-v3"],
        split: SplitBy::Regex(LLAMA3),
        nfc: false,
        whole_words: true,
        bos: true,
    },
    Pre { names: &["qwen2"], split: SplitBy::Regex(QWEN2), nfc: true, whole_words: false, bos: false },
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
        let gpt2 = ByteLevel::new(false, true, true);
        Ok(match self.split {
            SplitBy::Gpt2 => gpt2.into(),
            SplitBy::DigitsThenGpt2 => Sequence::new(vec![Digits::new(true).into(), gpt2.into()]).into(),
            SplitBy::Regex(regex) => {
                let pattern = SplitPattern::Regex(regex.into());
                let split = Split::new(pattern, SplitDelimiterBehavior::Isolated, false);
                let split = split.map_err(|e| Error::malformed("tokenizer.ggml.pre", e))?;
                Sequence::new(vec![split.into(), ByteLevel::new(false, true, false).into()]).into()
            }
        })
    }
}
