//! `generation_config.json`: how a checkpoint wants to be sampled.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// What `generation_config.json` says; everything may be absent.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct GenerationConfig {
    /// Draw tokens by chance; absent means take the most likely one.
    pub do_sample: Option<bool>,
    /// Divides the logits.
    pub temperature: Option<f32>,
    /// Keep this many most likely tokens; 0 keeps all.
    pub top_k: Option<u32>,
    /// Keep the most likely tokens that together have this probability.
    pub top_p: Option<f32>,
    /// Keep tokens with at least this share of the best one's probability.
    pub min_p: Option<f32>,
    /// Divides (or multiplies, below zero) the logits of tokens that occurred.
    pub repetition_penalty: Option<f32>,
    /// The longest answer, in tokens.
    pub max_new_tokens: Option<usize>,
    /// Every token that ends an answer.
    #[serde(deserialize_with = "one_or_many")]
    pub eos_token_id: Vec<u32>,
    /// The token that begins a text.
    pub bos_token_id: Option<u32>,
    /// The token that fills up batches.
    pub pad_token_id: Option<u32>,
}

/// How transformers' `generate()` would choose tokens.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplingDefaults {
    /// 0 means greedy.
    pub temperature: f32,
    /// 0 means off.
    pub top_k: u32,
    /// 1 means off.
    pub top_p: f32,
    /// 0 means off.
    pub min_p: f32,
    /// 1 means off. Counts for greedy decoding too.
    pub repetition_penalty: f32,
}

impl GenerationConfig {
    /// Reads the bytes of a `generation_config.json`. Keys that are not known here are ignored.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_json(bytes: &[u8]) -> Result<GenerationConfig> {
        // By way of an object, because a struct may also be read from a list.
        let object = serde_json::from_slice::<Map<String, Value>>(bytes);
        object
            .and_then(|object| serde_json::from_value(object.into()))
            .map_err(|e| Error::malformed("generation_config.json", e))
    }

    /// How `generate()` of transformers chooses tokens with this configuration: greedily unless `do_sample` is true,
    /// whatever the other options say; and when it samples, with `top_k` 50 unless the file says otherwise.
    pub fn sampling(&self) -> SamplingDefaults {
        let repetition_penalty = self.repetition_penalty.unwrap_or(1.0);
        if self.do_sample != Some(true) {
            return SamplingDefaults { temperature: 0.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty };
        }
        SamplingDefaults {
            temperature: self.temperature.unwrap_or(1.0),
            top_k: self.top_k.unwrap_or(50),
            top_p: self.top_p.unwrap_or(1.0),
            min_p: self.min_p.unwrap_or(0.0),
            repetition_penalty,
        }
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "eos_token_id must be a token id or a list of them")]
    enum Ids {
        One(u32),
        Many(Vec<u32>),
    }
    Ok(match Option::<Ids>::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Ids::One(id)) => vec![id],
        Some(Ids::Many(ids)) => ids,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> GenerationConfig {
        GenerationConfig::from_json(text.as_bytes()).unwrap()
    }

    #[test]
    fn one_end_token_and_many_are_both_read() {
        assert_eq!(read(r#"{"eos_token_id": 2}"#).eos_token_id, [2]);
        assert_eq!(read(r#"{"eos_token_id": [128001, 128008, 128009]}"#).eos_token_id, [128001, 128008, 128009]);
        assert!(read(r#"{"eos_token_id": null}"#).eos_token_id.is_empty());
    }

    #[test]
    fn without_do_sample_decoding_is_greedy_whatever_else_is_set() {
        let greedy = read(r#"{"temperature": 0.6, "top_p": 0.9, "repetition_penalty": 1.1}"#).sampling();
        assert_eq!((greedy.temperature, greedy.top_p, greedy.repetition_penalty), (0.0, 1.0, 1.1));
        assert_eq!(read(r#"{"do_sample": false, "temperature": 0.6}"#).sampling().temperature, 0.0);
    }

    #[test]
    fn sampling_keeps_fifty_tokens_unless_told_otherwise() {
        let llama = read(r#"{"do_sample": true, "temperature": 0.6, "top_p": 0.9}"#).sampling();
        assert_eq!((llama.temperature, llama.top_k, llama.top_p), (0.6, 50, 0.9));
        assert_eq!(read(r#"{"do_sample": true, "top_k": 20}"#).sampling().top_k, 20);
    }

    #[test]
    fn a_wrong_type_is_an_error_that_names_the_file() {
        let error = GenerationConfig::from_json(br#"{"eos_token_id": "</s>"}"#).unwrap_err().to_string();
        assert!(error.starts_with("generation_config.json: eos_token_id must be"), "{error}");
    }
}
