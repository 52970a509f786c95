//! What a `tokenizer.json` is asked before the tokenizers crate sees it, because that crate panics where an error belongs.

use serde::Deserialize;
use serde_json::Value;
use tokenizers::normalizers::precompiled::Precompiled;

use crate::error::{Error, Result};

/// The parts that have to be looked at. Reading them reads the whole file, so its syntax is right afterwards: the crate expects
/// nothing else of a decoder. The rest is only skimmed, for vocabularies are long.
#[derive(Deserialize)]
struct Parts {
    #[serde(default, rename = "decoder")]
    _decoder: Value,
    #[serde(default)]
    normalizer: Value,
}

/// Refuses what would make the tokenizers crate panic.
pub(crate) fn vet(bytes: &[u8]) -> Result<()> {
    let parts: Parts = serde_json::from_slice(bytes).map_err(|e| Error::malformed("tokenizer.json", e))?;
    precompiled(&parts.normalizer)
}

/// Every `Precompiled` in a normalizer can be read: its character map is binary, in base64.
fn precompiled(normalizer: &Value) -> Result<()> {
    if normalizer["type"] == "Precompiled" {
        Precompiled::deserialize(normalizer).map_err(|e| Error::malformed("tokenizer.json: normalizer", e))?;
    }
    normalizer["normalizers"].as_array().into_iter().flatten().try_for_each(precompiled)
}

#[cfg(test)]
mod tests {
    use crate::Tokenizer;

    fn refused(json: &str) -> String {
        Tokenizer::from_json(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn a_decoder_with_a_syntax_error_is_an_error_and_no_panic() {
        let error =
            refused(r#"{"version": "1.0", "decoder": {"type": "ByteLevel", "trim_offsets": true"use_regex": true}}"#);
        assert!(error.starts_with("tokenizer.json: expected `,` or `}`"), "{error}");
    }

    #[test]
    fn a_number_that_is_none_in_a_decoder_is_an_error_and_no_panic() {
        let error = refused(r#"{"version": "1.0", "decoder": {"type": "Strip", "start": 1e999}}"#);
        assert!(error.contains("number out of range"), "{error}");
    }

    #[test]
    fn a_precompiled_normalizer_that_cannot_be_read_is_an_error_and_no_panic() {
        for map in ["", "AAAA", "/////w==", "!"] {
            let inner = format!(r#"{{"type": "Precompiled", "precompiled_charsmap": "{map}"}}"#);
            for normalizer in [inner.clone(), format!(r#"{{"type": "Sequence", "normalizers": [{inner}]}}"#)] {
                let error = refused(&format!(r#"{{"version": "1.0", "normalizer": {normalizer}, "model": {{}}}}"#));
                assert!(error.starts_with("tokenizer.json"), "{error}");
            }
        }
    }
}
