//! Byte-level BPE (`tokenizer.ggml.model = gpt2`).

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::{NormalizerWrapper, Tokenizer as Inner};

use super::{Vocabulary, index, pre};
use crate::error::{Error, Result};

const MERGES: &str = "tokenizer.ggml.merges";

/// The tokenizer without its added tokens, and whether it adds BOS when the metadata does not say.
pub(super) fn build(vocabulary: &Vocabulary) -> Result<(Inner, bool)> {
    let pre = pre::find(vocabulary.pre.as_deref())?;
    let tokens = index(&vocabulary.tokens)?.into_iter().map(|(token, id)| (token.to_owned(), id));
    let model = BPE::builder()
        .vocab_and_merges(tokens.collect::<Vocab>(), merges(vocabulary)?)
        .ignore_merges(pre.whole_words)
        .build()
        .map_err(|e| Error::malformed(MERGES, e))?;
    let mut inner = Inner::new(model);
    inner.with_pre_tokenizer(Some(pre.build()?));
    inner.with_normalizer(pre.nfc.then(|| NormalizerWrapper::from(tokenizers::normalizers::NFC)));
    inner.with_decoder(Some(tokenizers::decoders::byte_level::ByteLevel::default()));
    Ok((inner, pre.bos))
}

pub(super) fn merges(vocabulary: &Vocabulary) -> Result<Vec<(String, String)>> {
    // Tokens spell their spaces in another way, so the only one separates the pair.
    let split = |(line, merge): (usize, &String)| match merge.split_once(' ') {
        Some((left, right)) if !left.is_empty() && !right.is_empty() => Ok((left.to_owned(), right.to_owned())),
        _ => Err(Error::malformed(MERGES, format!("merge {line} is {merge:?}, not two tokens"))),
    };
    vocabulary.merges.iter().enumerate().map(split).collect()
}
