//! Ids to text, one id at a time.

use crate::error::Result;
use crate::tokenizer::Tokenizer;

/// Turns ids into text as they come, and never gives out half a character.
///
/// The bytes of an unfinished character are held back until it is complete, cannot be completed any more, or the
/// stream ends; what is no character becomes U+FFFD, once for each maximal beginning of one (as in
/// [`String::from_utf8_lossy`] and Python's `decode("utf-8", "replace")`). The pieces together are what
/// [`Tokenizer::decode`] gives for all ids.
///
/// With SentencePiece vocabularies this differs from transformers in one case only: there, one invalid byte turns
/// every byte token around it into U+FFFD, which would mean to hold back whole emoji until the next ordinary token.
#[derive(Clone, Debug)]
pub struct Detokenizer<'a> {
    tokenizer: &'a Tokenizer,
    skip_special: bool,
    pending: Vec<u8>,
    /// Spaces still to be dropped from the beginning of the text.
    strip: usize,
}

impl<'a> Detokenizer<'a> {
    /// For ids that begin a text. Special tokens are left out.
    pub fn new(tokenizer: &'a Tokenizer) -> Detokenizer<'a> {
        let strip = tokenizer.spelling().leading_spaces();
        Detokenizer { tokenizer, skip_special: true, pending: Vec::new(), strip }
    }

    /// For ids that continue a text: the space before the first word, which SentencePiece vocabularies do not show at
    /// the beginning of a text, is kept.
    pub fn continuing(tokenizer: &'a Tokenizer) -> Detokenizer<'a> {
        Detokenizer { strip: 0, ..Detokenizer::new(tokenizer) }
    }

    /// Whether special tokens are left out (the default) or written as the vocabulary spells them.
    #[must_use]
    pub fn skip_special(mut self, skip: bool) -> Detokenizer<'a> {
        self.skip_special = skip;
        self
    }

    /// Takes the next id and returns the text that is now certain, often none.
    ///
    /// # Errors
    /// [`crate::Error::UnknownId`]; the stream is then as before.
    pub fn push(&mut self, id: u32) -> Result<String> {
        if self.skip_special && self.tokenizer.is_special(id) {
            return Ok(String::new());
        }
        let bytes = self.tokenizer.bytes_of(id)?;
        self.pending.extend_from_slice(self.without_leading_spaces(&bytes).0);
        self.strip = self.without_leading_spaces(&bytes).1;
        Ok(take_decided(&mut self.pending))
    }

    /// Ends the stream: what is left of an unfinished character becomes U+FFFD.
    pub fn finish(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.pending)).into_owned()
    }

    fn without_leading_spaces<'b>(&self, bytes: &'b [u8]) -> (&'b [u8], usize) {
        let spaces = bytes.iter().take(self.strip).take_while(|&&byte| byte == b' ').count();
        let rest = &bytes[spaces..];
        (rest, if rest.is_empty() { self.strip - spaces } else { 0 })
    }
}

/// Takes everything but a beginning of a character at the end.
fn take_decided(pending: &mut Vec<u8>) -> String {
    let mut text = String::new();
    loop {
        let Err(error) = std::str::from_utf8(pending) else {
            text.push_str(&String::from_utf8_lossy(pending));
            pending.clear();
            return text;
        };
        let valid = error.valid_up_to();
        text.push_str(&String::from_utf8_lossy(&pending[..valid]));
        let Some(invalid) = error.error_len() else {
            pending.drain(..valid);
            return text;
        };
        text.push(char::REPLACEMENT_CHARACTER);
        pending.drain(..valid + invalid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gguf::tests::{byte_level_tokenizer, sentencepiece_tokenizer};
    use proptest::prelude::*;

    fn pieces(stream: &mut Detokenizer<'_>, ids: &[u32]) -> Vec<String> {
        let mut pieces: Vec<String> = ids.iter().map(|&id| stream.push(id).unwrap()).collect();
        pieces.push(stream.finish());
        pieces
    }

    #[test]
    fn half_a_character_is_never_emitted() {
        let tokenizer = byte_level_tokenizer();
        let ids = tokenizer.encode("\u{1f600}!", false).unwrap();
        assert_eq!(ids.len(), 5, "one token for each byte");
        assert_eq!(pieces(&mut Detokenizer::new(&tokenizer), &ids), ["", "", "", "\u{1f600}", "!", ""]);
    }

    #[test]
    fn a_byte_that_cannot_be_completed_becomes_a_replacement_character_at_once() {
        let tokenizer = byte_level_tokenizer();
        let mut ids = tokenizer.encode("\u{1f600}", false).unwrap();
        ids.truncate(2);
        ids.extend(tokenizer.encode("!", false).unwrap());
        assert_eq!(pieces(&mut Detokenizer::new(&tokenizer), &ids), ["", "", "\u{fffd}!", ""]);
    }

    #[test]
    fn an_unfinished_character_at_the_end_becomes_a_replacement_character() {
        let tokenizer = byte_level_tokenizer();
        let ids = tokenizer.encode("\u{e9}", false).unwrap();
        assert_eq!(pieces(&mut Detokenizer::new(&tokenizer), &ids[..1]), ["", "\u{fffd}"]);
    }

    #[test]
    fn special_tokens_are_skipped_or_written() {
        let tokenizer = byte_level_tokenizer();
        let ids = tokenizer.encode("a<|end|>b", false).unwrap();
        assert_eq!(ids.len(), 3);
        assert_eq!(tokenizer.decode(&ids, true).unwrap(), "ab");
        assert_eq!(tokenizer.decode(&ids, false).unwrap(), "a<|end|>b");
    }

    #[test]
    fn a_text_of_sentencepieces_loses_its_first_space_and_a_continuation_keeps_it() {
        let tokenizer = sentencepiece_tokenizer(&[]);
        let ids = tokenizer.encode("hello hello", false).unwrap();
        assert_eq!(pieces(&mut Detokenizer::new(&tokenizer), &ids).concat(), "hello hello");
        assert_eq!(pieces(&mut Detokenizer::continuing(&tokenizer), &ids).concat(), " hello hello");
    }

    #[test]
    fn byte_tokens_of_sentencepiece_are_put_together() {
        let tokenizer = sentencepiece_tokenizer(&[]);
        let ids = tokenizer.encode("hello\u{1f600}", false).unwrap();
        assert_eq!(pieces(&mut Detokenizer::new(&tokenizer), &ids), ["hello", "", "", "", "\u{1f600}", ""]);
    }

    #[test]
    fn an_id_outside_the_vocabulary_is_an_error() {
        let tokenizer = byte_level_tokenizer();
        let error = Detokenizer::new(&tokenizer).push(9_999).unwrap_err();
        assert_eq!(error.to_string(), "token id 9999 is outside the vocabulary of 260 tokens");
    }

    proptest! {
        #[test]
        fn the_pieces_are_what_decoding_everything_at_once_gives(
            ids in proptest::collection::vec(0u32..260, 0..40),
            skip: bool,
        ) {
            let tokenizer = byte_level_tokenizer();
            let together = pieces(&mut Detokenizer::new(&tokenizer).skip_special(skip), &ids).concat();
            let bytes: Vec<u8> = ids.iter().filter(|&&id| !(skip && tokenizer.is_special(id)))
                .flat_map(|&id| tokenizer.bytes_of(id).unwrap()).collect();
            prop_assert_eq!(&together, &String::from_utf8_lossy(&bytes));
            prop_assert_eq!(together, tokenizer.decode(&ids, skip).unwrap());
        }

        #[test]
        fn text_survives_encoding_and_decoding(text in "\\PC{0,24}") {
            for tokenizer in [byte_level_tokenizer(), sentencepiece_tokenizer(&[])] {
                let ids = tokenizer.encode(&text, false).unwrap();
                prop_assert_eq!(&tokenizer.decode(&ids, false).unwrap(), &text);
            }
        }
    }
}
