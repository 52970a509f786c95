//! A tokenizer from the metadata of a GGUF.

mod bpe;
mod patterns;
mod pre;
mod spm;

use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, Tokenizer as Inner};

use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

const MODEL: &str = "tokenizer.ggml.model";
const TOKENS: &str = "tokenizer.ggml.tokens";

/// The `tokenizer.ggml.*` pairs of a GGUF. Lists may be empty where the file has none.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// `model`: `gpt2` (byte-level BPE), `llama` (SentencePiece BPE by scores) or `gemma4` (the same by merges).
    pub model: String,
    /// `pre`: the name of the pre-tokenizer, for `gpt2`.
    pub pre: Option<String>,
    /// `tokens`, by id.
    pub tokens: Vec<String>,
    /// `token_type`, by id; see [`TokenType`].
    pub token_types: Vec<i64>,
    /// `scores`, by id: the logarithmic probabilities of SentencePiece.
    pub scores: Vec<f32>,
    /// `merges`, best first, for `gpt2` and `gemma4`: two tokens with a space between.
    pub merges: Vec<String>,
    /// `add_bos_token`. Absent means yes for `llama`, `gemma4` and for the pre-tokenizer of Llama 3.
    pub add_bos: Option<bool>,
    /// `add_eos_token`. Absent means no.
    pub add_eos: Option<bool>,
    /// `add_space_prefix`, for `llama`. Absent means yes.
    pub add_space_prefix: Option<bool>,
    /// `bos_token_id`.
    pub bos: Option<u32>,
    /// `eos_token_id`.
    pub eos: Option<u32>,
    /// `unknown_token_id`.
    pub unknown: Option<u32>,
}

/// The kinds of tokens that matter here, with ggml's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i64)]
pub enum TokenType {
    /// Matched whole inside text; not part of the output.
    Control = 3,
    /// Matched whole inside text; part of the output.
    UserDefined = 4,
}

impl Vocabulary {
    /// Builds the tokenizer.
    ///
    /// # Errors
    /// [`Error::UnsupportedTokenizer`] for models and pre-tokenizers that are not known here, [`Error::Malformed`] for
    /// lists that contradict each other.
    pub fn tokenizer(&self) -> Result<Tokenizer> {
        self.check()?;
        let (mut inner, bos_by_default) = match self.model.as_str() {
            "gpt2" => bpe::build(self)?,
            "llama" => (spm::build(self, spm::merges_by_score(self)?)?, true),
            "gemma4" => (spm::build(self, bpe::merges(self)?)?, true),
            other => return Err(unsupported(MODEL, other, "gpt2, llama, gemma4")),
        };
        self.add_tokens(&mut inner);
        self.add_post_processor(&mut inner, bos_by_default)?;
        Ok(Tokenizer::new(inner)?.with_bos(self.bos))
    }

    fn check(&self) -> Result<()> {
        let count = self.tokens.len();
        if count == 0 {
            return Err(Error::malformed(TOKENS, "the list of tokens is missing or empty"));
        }
        for (key, len) in [("token_type", self.token_types.len()), ("scores", self.scores.len())] {
            if len != 0 && len != count {
                return Err(Error::malformed(
                    format!("tokenizer.ggml.{key}"),
                    format!("{len} entries for {count} tokens"),
                ));
            }
        }
        Ok(())
    }

    /// The token of an id that the metadata names.
    pub(crate) fn token(&self, id: Option<u32>) -> Option<&str> {
        self.tokens.get(id? as usize).map(String::as_str)
    }

    fn add_tokens(&self, inner: &mut Inner) {
        let of_type = |wanted: TokenType| {
            let typed = self.tokens.iter().zip(&self.token_types);
            let content = typed.filter(move |(_, kind)| **kind == wanted as i64).map(|(token, _)| token.clone());
            content
                .filter(|token| !token.is_empty())
                .map(move |token| AddedToken::from(token, wanted == TokenType::Control))
        };
        inner.add_special_tokens(&of_type(TokenType::Control).collect::<Vec<_>>());
        let user_defined: Vec<_> = of_type(TokenType::UserDefined).map(|token| token.normalized(false)).collect();
        inner.add_tokens(&user_defined);
    }

    fn add_post_processor(&self, inner: &mut Inner, bos_by_default: bool) -> Result<()> {
        let bos = self.wanted("bos", self.add_bos.unwrap_or(bos_by_default && self.bos.is_some()), self.bos)?;
        let eos = self.wanted("eos", self.add_eos.unwrap_or(false), self.eos)?;
        if bos.is_none() && eos.is_none() {
            return Ok(());
        }
        let mut single = Vec::from_iter(bos.is_some().then_some("bos"));
        single.push("$A");
        single.extend(eos.is_some().then_some("eos"));
        let specials: Vec<(String, u32)> =
            [("bos", bos), ("eos", eos)].into_iter().filter_map(|(name, id)| Some((name.to_owned(), id?))).collect();
        let processor =
            TemplateProcessing::builder().try_single(single).map(|builder| builder.special_tokens(specials).build());
        let processor = processor.map_err(|e| Error::malformed(TOKENS, e))?.map_err(|e| Error::malformed(TOKENS, e))?;
        inner.with_post_processor(Some(processor));
        Ok(())
    }

    fn wanted(&self, name: &str, add: bool, id: Option<u32>) -> Result<Option<u32>> {
        match id {
            _ if !add => Ok(None),
            Some(id) if (id as usize) < self.tokens.len() => Ok(Some(id)),
            _ => Err(Error::malformed(
                format!("tokenizer.ggml.add_{name}_token"),
                format!("is true, but tokenizer.ggml.{name}_token_id names no token"),
            )),
        }
    }
}

fn unsupported(key: &'static str, value: &str, supported: &str) -> Error {
    Error::UnsupportedTokenizer { key, value: value.to_owned(), supported: supported.to_owned() }
}

/// Token to id; each token may stand in the list once only.
fn index(tokens: &[String]) -> Result<std::collections::HashMap<&str, u32>> {
    let mut index = std::collections::HashMap::with_capacity(tokens.len());
    for (id, token) in (0u32..).zip(tokens) {
        if let Some(first) = index.insert(token.as_str(), id) {
            return Err(Error::malformed(TOKENS, format!("tokens {first} and {id} are both {token:?}")));
        }
    }
    Ok(index)
}

#[cfg(test)]
pub(crate) mod tests;
