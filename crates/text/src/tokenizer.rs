//! Text to ids and back.

use std::collections::BTreeSet;
use std::fmt;

use tokenizers::{AddedToken, Tokenizer as Inner};

use crate::detokenizer::Detokenizer;
use crate::error::{Error, Result};
use crate::spelling::Spelling;
use crate::vet::vet;

/// A tokenizer: the one of `tokenizer.json`, or one built from the metadata of a GGUF.
///
/// Whether [`Tokenizer::encode`] adds BOS or EOS is decided by the post-processor in `tokenizer.json`, as in
/// transformers 5, which ignores `add_bos_token` of `tokenizer_config.json` when there is a `tokenizer.json`. A GGUF
/// says it in `tokenizer.ggml.add_bos_token` and `add_eos_token`.
pub struct Tokenizer {
    inner: Inner,
    spelling: Spelling,
    specials: BTreeSet<u32>,
    bos: Option<u32>,
}

/// Without the vocabulary, which would be pages.
impl fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("bos", &self.bos)
            .finish_non_exhaustive()
    }
}

impl Tokenizer {
    /// Reads the bytes of a `tokenizer.json`.
    ///
    /// # Errors
    /// [`Error::Malformed`] if they are not one, [`Error::UnsupportedTokenizer`] if its decoder is not known here.
    pub fn from_json(bytes: &[u8]) -> Result<Tokenizer> {
        vet(bytes)?;
        let mut inner = Inner::from_bytes(bytes).map_err(|e| Error::malformed("tokenizer.json", e))?;
        // Both are habits of training set-ups that some files carry along; transformers resets them too.
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| Error::malformed("tokenizer.json", e))?;
        Tokenizer::new(inner)
    }

    /// The bytes of a `tokenizer.json` that says the same.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it cannot be expressed, which no tokenizer of this crate does.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let json = self.inner.to_string(true).map_err(|e| Error::malformed("tokenizer.json", e))?;
        Ok(json.into_bytes())
    }

    pub(crate) fn new(inner: Inner) -> Result<Tokenizer> {
        let spelling = Spelling::of(&inner)?;
        let added = inner.get_added_tokens_decoder();
        let specials = added.iter().filter(|(_, token)| token.special).map(|(&id, _)| id).collect();
        Ok(Tokenizer { inner, spelling, specials, bos: None })
    }

    /// Tells the tokenizer which token is BOS, so that a text which already begins with it gets no second one.
    #[must_use]
    pub fn with_bos(mut self, bos: Option<u32>) -> Tokenizer {
        self.bos = bos;
        self
    }

    /// Makes these tokens special if they are not yet, as transformers does with the tokens that
    /// `tokenizer_config.json` names: they are matched whole inside text and skipped in output.
    pub(crate) fn add_specials<'a>(&mut self, tokens: impl IntoIterator<Item = &'a str>) {
        let known = tokens.into_iter().filter(|token| self.token_to_id(token).is_some());
        let added: Vec<AddedToken> = known.map(|token| AddedToken::from(token, true)).collect();
        self.inner.add_special_tokens(&added);
        self.specials.extend(added.iter().filter_map(|token| self.inner.token_to_id(&token.content)));
    }

    /// The ids of `text`. `add_special` adds BOS and EOS where the checkpoint wants them, and never a second BOS.
    ///
    /// A rendered chat template is encoded with `add_special = false`: it writes its own BOS. Special tokens that
    /// stand in the text are matched in both cases.
    ///
    /// # Errors
    /// [`Error::Encode`] if the tokenizer's model has no way to spell the text.
    pub fn encode(&self, text: &str, add_special: bool) -> Result<Vec<u32>> {
        let encoding = self.inner.encode_fast(text, add_special).map_err(|e| Error::Encode(e.to_string()))?;
        let mut ids = encoding.get_ids().to_vec();
        if add_special && self.has_two_bos(&ids) {
            ids.remove(0);
        }
        Ok(ids)
    }

    fn has_two_bos(&self, ids: &[u32]) -> bool {
        matches!((ids, self.bos), ([first, second, ..], Some(bos)) if *first == bos && *second == bos)
    }

    /// The text of `ids`, all at once; what a [`Detokenizer`] gives for them in pieces.
    ///
    /// # Errors
    /// [`Error::UnknownId`].
    pub fn decode(&self, ids: &[u32], skip_special: bool) -> Result<String> {
        let mut stream = Detokenizer::new(self).skip_special(skip_special);
        let mut text = String::new();
        for &id in ids {
            text.push_str(&stream.push(id)?);
        }
        text.push_str(&stream.finish());
        Ok(text)
    }

    /// The id of a token, given exactly as the vocabulary spells it.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// How the vocabulary spells a token.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// Whether this is a special token: control, not text.
    pub fn is_special(&self, id: u32) -> bool {
        self.specials.contains(&id)
    }

    /// All special tokens, in order of their ids.
    pub fn special_ids(&self) -> impl Iterator<Item = u32> {
        self.specials.iter().copied()
    }

    /// The number of tokens, added ones included. The logits of a model may be wider (padding).
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    pub(crate) fn spelling(&self) -> &Spelling {
        &self.spelling
    }

    /// The bytes that a token stands for, without regard to its place in the text.
    pub(crate) fn bytes_of(&self, id: u32) -> Result<Vec<u8>> {
        let unknown = || Error::UnknownId { id, vocab: self.vocab_size() };
        Ok(self.spelling.bytes(&self.inner.id_to_token(id).ok_or_else(unknown)?))
    }
}
