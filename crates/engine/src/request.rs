//! What a caller asks for, and what it hears back.

use std::fmt;

use ffai_program::Sampling;

use crate::{EngineError, SessionId};

/// Names a request within its engine; ids are given in order of submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub(crate) u64);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A prompt to be continued.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Request {
    /// The prompt; with a session, what is appended to it. It may be empty when the session holds tokens.
    pub tokens: Vec<u32>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// Most new tokens, the stop token included; 0 only reads the prompt. None: as many as fit the context. A number that does
    /// not fit together with the prompt is an error, never cut down in silence.
    ///
    /// It decides how many pages the request waits for and keeps, and with it the rope's length class: an honest number
    /// lets more requests run side by side.
    pub max_tokens: Option<usize>,
    /// Tokens that end the generation, usually every end-of-sequence id of the model. Stop strings are not the engine's business:
    /// whoever sees one cancels.
    pub stop_ids: Vec<u32>,
    /// The session that is continued.
    pub session: Option<SessionId>,
}

impl Request {
    /// Continues `tokens` with default sampling, as far as the context goes, without stop ids.
    pub fn new(tokens: impl Into<Vec<u32>>) -> Self {
        Request { tokens: tokens.into(), ..Request::default() }
    }

    /// Whether ids and sampling options are in their ranges. Stop ids past the vocabulary do no harm and are let through: model
    /// configs have them.
    pub(crate) fn check(&self, vocab: usize) -> Result<(), EngineError> {
        check_tokens(&self.tokens, vocab)?;
        check_tokens(self.sampling.bias.iter().map(|(token, _)| token), vocab)?;
        check_sampling(&self.sampling)
    }

    /// How many new tokens it may draw behind `held` tokens and its own, in a context of `context`.
    pub(crate) fn room(&self, held: usize, context: usize) -> Result<usize, EngineError> {
        let prompt = held + self.tokens.len();
        if prompt == 0 {
            return Err(EngineError::EmptyPrompt);
        }
        let least = self.max_tokens.map_or(1, |new| new.min(1));
        if prompt + least > context {
            return Err(EngineError::PromptTooLong { prompt, context });
        }
        match self.max_tokens {
            Some(new) if new > context - prompt => Err(EngineError::RequestTooLong { prompt, new, context }),
            Some(new) => Ok(new),
            None => Ok(context - prompt),
        }
    }
}

/// What happens to a request: `Prefilled`, then tokens, then `Finished`; or `Failed` at any time. The last two end it.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The prompt has been read. In the same step the first token is drawn.
    Prefilled {
        /// Tokens of the prompt, and how many of them had been read before.
        usage: Usage,
    },
    /// A new token. The stop token is not among them: it comes with [`Event::Finished`].
    Token {
        /// Its id.
        id: u32,
    },
    /// The request is done.
    Finished {
        /// Why.
        reason: Finish,
        /// What it took.
        usage: Usage,
    },
    /// The request could not be done; others are not affected.
    Failed(EngineError),
}

impl Event {
    /// Whether nothing follows.
    pub fn is_last(&self) -> bool {
        matches!(self, Event::Finished { .. } | Event::Failed(_))
    }
}

/// Why a request is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model drew this stop id.
    Stop(u32),
    /// `max_tokens` new tokens were drawn.
    Length,
    /// `max_tokens` was none, and the context, the session's capacity or the free pages are used up.
    Context,
}

/// Counts of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt, those that the session held included.
    pub prompt_tokens: usize,
    /// How many of them had been read before, by the session or by whoever began with the same tokens.
    pub cached_tokens: usize,
    /// New tokens, the stop token included.
    pub generated_tokens: usize,
}

pub(crate) fn check_tokens<'a>(tokens: impl IntoIterator<Item = &'a u32>, vocab: usize) -> Result<(), EngineError> {
    match tokens.into_iter().find(|token| **token as usize >= vocab) {
        Some(token) => Err(EngineError::Token { token: *token, vocab }),
        None => Ok(()),
    }
}

fn check_sampling(s: &Sampling) -> Result<(), EngineError> {
    let checks = [
        ("temperature", s.temperature, s.temperature >= 0.0, "a number of at least 0"),
        ("top_p", s.top_p, (0.0..=1.0).contains(&s.top_p), "between 0 and 1"),
        ("min_p", s.min_p, (0.0..=1.0).contains(&s.min_p), "between 0 and 1"),
        ("repetition_penalty", s.repetition_penalty, s.repetition_penalty > 0.0, "a number above 0"),
        ("presence_penalty", s.presence_penalty, true, "a number"),
        ("frequency_penalty", s.frequency_penalty, true, "a number"),
    ];
    match checks.into_iter().find(|(_, value, ok, _)| !(value.is_finite() && *ok)) {
        Some((option, value, _, range)) => Err(EngineError::Sampling { option, value, range }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_an_error_with_the_counts() {
        let room = |prompt: usize, max_tokens| {
            let request = Request { max_tokens, ..Request::new(vec![0; prompt]) };
            request.room(4, 10).map_err(|e| e.to_string())
        };
        let too_long = "the prompt has 10 tokens, the context is 10: shorten the prompt or load with a longer context";
        let too_much = "9 prompt + 2 new tokens exceed the context of 10: ask for at most 1 new tokens";
        assert_eq!(room(1, None), Ok(5));
        assert_eq!(room(1, Some(5)), Ok(5));
        assert_eq!(room(6, Some(0)), Ok(0));
        assert_eq!(room(6, None), Err(too_long.to_owned()));
        assert_eq!(room(6, Some(1)), Err(too_long.to_owned()));
        assert_eq!(room(5, Some(2)), Err(too_much.to_owned()));
    }

    #[test]
    fn options_out_of_range_are_named() {
        let check = |sampling| Request { sampling, ..Request::new([1]) }.check(10).map_err(|e| e.to_string());
        assert_eq!(check(Sampling::default()), Ok(()));
        let temperature = Sampling { temperature: -1.0, ..Sampling::default() };
        assert_eq!(check(temperature), Err("temperature is -1, it must be a number of at least 0".to_owned()));
        let top_p = Sampling { top_p: f32::NAN, ..Sampling::default() };
        assert_eq!(check(top_p), Err("top_p is NaN, it must be between 0 and 1".to_owned()));
        let bias = Sampling { bias: vec![(10, 1.0)], ..Sampling::default() };
        assert_eq!(check(bias), Err("token 10 is outside the vocabulary of 10".to_owned()));
    }
}
