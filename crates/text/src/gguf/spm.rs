//! SentencePiece BPE (`tokenizer.ggml.model = llama`, or `gemma4` with a list of merges).
//!
//! SentencePiece joins the neighbours whose union has the best score; BPE joins by the order of a list. The list is
//! therefore every way to cut a token into two others, by falling score of the whole.

use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::{Prepend, Replace, Sequence};
use tokenizers::{DecoderWrapper, NormalizerWrapper, Tokenizer as Inner, decoders};

use super::{TOKENS, Vocabulary, index};
use crate::error::{Error, Result};

/// What stands for a space.
const SPACE: &str = "\u{2581}";
/// Longer tokens are not cut: SentencePiece's own limit is 16 characters, converted models have a little more.
const MAX_TOKEN_CHARS: usize = 256;

pub(super) fn build(vocabulary: &Vocabulary, merges: Vec<(String, String)>) -> Result<Inner> {
    let tokens = index(&vocabulary.tokens)?;
    let tokens = tokens.into_iter().map(|(token, id)| (token.to_owned(), id)).collect::<Vocab>();
    let mut model = BPE::builder().vocab_and_merges(tokens, merges).byte_fallback(true).fuse_unk(true);
    if let Some(unknown) = vocabulary.token(vocabulary.unknown) {
        model = model.unk_token(unknown.to_owned());
    }
    let mut inner = Inner::new(model.build().map_err(|e| Error::malformed(TOKENS, e))?);
    let prefix = vocabulary.add_space_prefix.unwrap_or(true);
    inner.with_normalizer(Some(normalizer(prefix)?));
    inner.with_decoder(Some(decoder(prefix)?));
    Ok(inner)
}

/// The list of joins that the scores mean.
pub(super) fn merges_by_score(vocabulary: &Vocabulary) -> Result<Vec<(String, String)>> {
    if vocabulary.scores.is_empty() {
        return Err(Error::malformed("tokenizer.ggml.scores", "missing, and SentencePiece cannot do without"));
    }
    let tokens = index(&vocabulary.tokens)?;
    let mut ranked: Vec<(f32, u32, u32)> = Vec::new();
    for (token, score) in vocabulary.tokens.iter().zip(&vocabulary.scores) {
        let first = ranked.len();
        let cuts = token.char_indices().skip(1).take(MAX_TOKEN_CHARS).map(|(at, _)| token.split_at(at));
        ranked.extend(cuts.filter_map(|(left, right)| Some((*score, *tokens.get(left)?, *tokens.get(right)?))));
        ranked[first..].sort_by_key(|&(_, left, right)| (left, right));
    }
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0));
    let token = |id: u32| vocabulary.tokens[id as usize].clone();
    Ok(ranked.into_iter().map(|(_, left, right)| (token(left), token(right))).collect())
}

fn normalizer(prefix: bool) -> Result<NormalizerWrapper> {
    let replace = Replace::new(" ", SPACE).map_err(|e| Error::malformed(TOKENS, e))?;
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if prefix {
        steps.push(Prepend::new(SPACE.into()).into());
    }
    steps.push(replace.into());
    Ok(Sequence::new(steps).into())
}

fn decoder(prefix: bool) -> Result<DecoderWrapper> {
    let replace = Replace::new(SPACE, " ").map_err(|e| Error::malformed(TOKENS, e))?;
    let mut steps: Vec<DecoderWrapper> =
        vec![replace.into(), decoders::byte_fallback::ByteFallback::new().into(), decoders::fuse::Fuse::new().into()];
    if prefix {
        steps.push(decoders::strip::Strip::new(' ', 1, 0).into());
    }
    Ok(decoders::sequence::Sequence::new(steps).into())
}
