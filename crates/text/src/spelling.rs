//! How a vocabulary spells bytes: the decoder of a tokenizer, taken apart so that it works token by token.

use serde_json::Value;
use tokenizers::Tokenizer as Inner;

use crate::error::{Error, Result};

/// From the spelling of a token to bytes. What the two forms have in common is that a token's bytes do not depend on
/// its neighbours, but for spaces at the very beginning of the text.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Spelling {
    /// GPT-2's: each byte is written as one printable character.
    ByteLevel,
    /// SentencePiece's: a replaced space, and `<0x0A>` for bytes if `fallback`.
    Pieces { replace: Vec<(String, String)>, fallback: bool, strip: usize },
}

impl Spelling {
    /// Reads the decoder of a tokenizer.
    pub(crate) fn of(inner: &Inner) -> Result<Spelling> {
        let decoder = serde_json::to_value(inner.get_decoder()).map_err(|e| Error::malformed("tokenizer.json", e))?;
        let steps = match &decoder {
            Value::Null => return Err(unsupported("none")),
            Value::Object(object) if object["type"] == "Sequence" => object["decoders"].as_array().cloned(),
            step => Some(vec![step.clone()]),
        };
        Spelling::from_steps(&steps.unwrap_or_default())
    }

    fn from_steps(steps: &[Value]) -> Result<Spelling> {
        let (mut replace, mut fallback, mut strip, mut fused) = (Vec::new(), false, 0, false);
        for step in steps {
            let count = |key: &str| step[key].as_u64().unwrap_or(0) as usize;
            match step["type"].as_str().unwrap_or_default() {
                "ByteLevel" if steps.len() == 1 => return Ok(Spelling::ByteLevel),
                "ByteFallback" => fallback = true,
                "Fuse" => fused = true,
                "Replace" => replace.push(replacement(step)?),
                "Metaspace" => {
                    replace.push((text(&step["replacement"]), " ".into()));
                    strip = usize::from(step["prepend_scheme"] != "never");
                }
                // Before Fuse it would strip every token, which no model does.
                "Strip" if fused && count("stop") == 0 && step["content"] == " " => strip = count("start"),
                other => return Err(unsupported(other)),
            }
        }
        Ok(Spelling::Pieces { replace, fallback, strip })
    }

    /// How many spaces at the beginning of a text are not part of it.
    pub(crate) fn leading_spaces(&self) -> usize {
        match self {
            Spelling::ByteLevel => 0,
            Spelling::Pieces { strip, .. } => *strip,
        }
    }

    pub(crate) fn bytes(&self, token: &str) -> Vec<u8> {
        match self {
            Spelling::ByteLevel => byte_level(token),
            Spelling::Pieces { replace, fallback, .. } => match fallback.then(|| fallback_byte(token)).flatten() {
                Some(byte) => vec![byte],
                None => replace.iter().fold(token.to_owned(), |text, (from, to)| text.replace(from, to)).into_bytes(),
            },
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn replacement(step: &Value) -> Result<(String, String)> {
    match step["pattern"]["String"].as_str() {
        Some(pattern) if !pattern.is_empty() => Ok((pattern.to_owned(), text(&step["content"]))),
        _ => Err(unsupported("Replace with a regular expression")),
    }
}

fn unsupported(decoder: &str) -> Error {
    Error::UnsupportedTokenizer {
        key: "decoder",
        value: decoder.to_owned(),
        supported: "ByteLevel, Metaspace, and sequences of Replace, ByteFallback, Fuse and Strip".into(),
    }
}

/// `<0x0A>` is the byte 10.
fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    (digits.len() == 2).then(|| u8::from_str_radix(digits, 16).ok())?
}

/// A token with a character outside the byte alphabet (an added token with a space in it, say) stands for itself.
fn byte_level(token: &str) -> Vec<u8> {
    token.chars().map(alphabet_byte).collect::<Option<Vec<u8>>>().unwrap_or_else(|| token.as_bytes().to_vec())
}

/// The inverse of GPT-2's `bytes_to_unicode`: bytes that print stand for themselves, the other 68 are numbered from
/// U+0100 in their order.
fn alphabet_byte(c: char) -> Option<u8> {
    match u32::from(c) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => u8::try_from(code).ok(),
        code @ 0x100..=0x120 => u8::try_from(code - 0x100).ok(),
        code @ 0x121..=0x142 => u8::try_from(code - 0x121 + 0x7f).ok(),
        0x143 => Some(0xad),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_byte_alphabet_covers_every_byte_once() {
        let bytes: std::collections::BTreeSet<u8> = ('\0'..='\u{200}').filter_map(alphabet_byte).collect();
        assert_eq!(bytes.len(), 256);
        let ours = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
        assert!(ours.into_iter().all(|c| alphabet_byte(c).is_some()));
    }

    #[test]
    fn the_byte_alphabet_is_that_of_the_tokenizers_crate() {
        use tokenizers::{OffsetReferential, OffsetType, PreTokenizedString, PreTokenizer};
        let byte_level = tokenizers::pre_tokenizers::byte_level::ByteLevel::new(false, true, false);
        for text in ["\0\n\t \u{7f}!~", "\u{a0}\u{ad}\u{ff}", "caf\u{e9} \u{1f600}"] {
            let mut pieces = PreTokenizedString::from(text);
            byte_level.pre_tokenize(&mut pieces).unwrap();
            let spelled: String =
                pieces.get_splits(OffsetReferential::Original, OffsetType::Byte).iter().map(|split| split.0).collect();
            assert_eq!(super::byte_level(&spelled), text.as_bytes());
        }
    }

    #[test]
    fn bytes_are_spelled_in_hexadecimal() {
        assert_eq!(fallback_byte("<0x0A>"), Some(10));
        assert_eq!(fallback_byte("<0xZZ>"), None);
        assert_eq!(fallback_byte("<0x0AB>"), None);
    }

    #[test]
    fn an_unknown_decoder_is_refused_by_name() {
        let error = Spelling::from_steps(&[serde_json::json!({"type": "WordPiece"})]).unwrap_err();
        assert!(error.to_string().contains("\"WordPiece\""), "{error}");
    }
}
