//! A request under way.

use ffai_program::{Output, SampleInputs, Sampling};

use crate::scheduler::Ready;
use crate::sequence::{SeenTokens, Sequence};
use crate::{EngineError, Event, Finish, Request, RequestId, SessionId, Usage};

/// What a request that ends leaves to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leave {
    /// All tokens.
    Everything,
    /// What was there before the request.
    Before,
    /// What was there before, to be run anew: the pages cannot be trusted.
    BeforeWithoutPages,
}

impl Leave {
    /// Whether the state that was computed may be used again.
    pub(crate) fn is_sound(self) -> bool {
        self != Leave::BeforeWithoutPages
    }
}

/// A request, queued or running.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) id: RequestId,
    pub(crate) session: Option<SessionId>,
    pub(crate) sequence: Sequence,
    /// Tokens that the session held before.
    held: usize,
    /// Tokens of the prompt, held ones included.
    prompt: usize,
    /// Tokens of the prompt whose state was there when it was admitted.
    reused: usize,
    /// Most new tokens.
    limit: usize,
    /// What reaching the limit means.
    at_limit: Finish,
    sampling: Sampling,
    stop_ids: Vec<u32>,
    /// Only where a penalty asks for it.
    seen: Option<SeenTokens>,
}

impl Job {
    /// Appends the request's tokens to the sequence; `room` is how many new tokens fit behind them.
    pub(crate) fn new(id: RequestId, request: Request, mut sequence: Sequence, room: usize) -> Self {
        let held = sequence.len();
        sequence.append(&request.tokens);
        Job {
            id,
            session: request.session,
            held,
            prompt: sequence.len(),
            reused: 0,
            limit: request.max_tokens.unwrap_or(room),
            at_limit: if request.max_tokens.is_some() { Finish::Length } else { Finish::Context },
            seen: request.sampling.has_penalties().then(|| SeenTokens::of_prompt(sequence.tokens())),
            sampling: request.sampling,
            stop_ids: request.stop_ids,
            sequence,
        }
    }

    /// Tokens in the end, if no stop id comes first.
    pub(crate) fn total(&self) -> usize {
        self.prompt + self.limit
    }

    pub(crate) fn held(&self) -> usize {
        self.held
    }

    pub(crate) fn generated(&self) -> usize {
        self.sequence.len() - self.prompt
    }

    /// Rows still to be run before the next token can be drawn.
    fn rows(&self) -> usize {
        self.sequence.pending().len()
    }

    pub(crate) fn ready(&self) -> Ready {
        if self.generated() > 0 {
            return Ready::Decode;
        }
        Ready::Prompt { past: self.sequence.cached(), end: self.sequence.end() }
    }

    /// It runs from here: what comes before is there.
    pub(crate) fn admitted(&mut self) {
        self.reused = self.sequence.cached();
    }

    /// A request that goes on as far as there is room makes do with `room` tokens in all, if that gives it any.
    pub(crate) fn make_do(&mut self, room: usize) {
        if self.at_limit == Finish::Context && room > self.prompt {
            self.limit = self.limit.min(room - self.prompt);
        }
    }

    /// Whether a token is drawn behind the next `rows` rows: if they are all that is pending, and not only the prompt is to be
    /// read.
    pub(crate) fn draws_after(&self, rows: usize) -> bool {
        rows == self.rows() && self.limit > 0
    }

    pub(crate) fn sample_inputs(&self) -> SampleInputs {
        SampleInputs {
            sampling: self.sampling.clone(),
            seen: self.seen.as_ref().map(SeenTokens::to_vec).unwrap_or_default(),
            position: self.sequence.len() as u64,
        }
    }

    /// Takes in what a step gave, once the sequence has; says what is left behind if that was the end.
    pub(crate) fn advance(&mut self, output: Option<Output>, mut say: impl FnMut(Event)) -> Option<Leave> {
        if self.rows() > 0 {
            return None;
        }
        if self.generated() == 0 {
            say(Event::Prefilled { usage: self.usage() });
        }
        match output.map(|output| self.token(&output)) {
            None => {}
            Some(Err(error)) => {
                say(Event::Failed(error));
                return Some(Leave::Before);
            }
            Some(Ok(id)) => {
                self.push(id);
                if self.stop_ids.contains(&id) {
                    say(Event::Finished { reason: Finish::Stop(id), usage: self.usage() });
                    return Some(Leave::Everything);
                }
                say(Event::Token { id });
            }
        }
        if self.generated() < self.limit {
            return None;
        }
        say(Event::Finished { reason: self.at_limit, usage: self.usage() });
        Some(Leave::Everything)
    }

    fn token(&self, output: &Output) -> Result<u32, EngineError> {
        match output {
            Output::Token(id) => Ok(*id),
            Output::NotFinite => Err(EngineError::NotFinite { position: self.sequence.len() }),
            Output::Logits(_) => Err(EngineError::unexpected("logits", "a token")),
        }
    }

    fn push(&mut self, token: u32) {
        self.sequence.push(token);
        if let Some(seen) = &mut self.seen {
            seen.count(token);
        }
    }

    fn usage(&self) -> Usage {
        Usage { prompt_tokens: self.prompt, cached_tokens: self.reused, generated_tokens: self.generated() }
    }
}
