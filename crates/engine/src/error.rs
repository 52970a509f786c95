//! What can go wrong, in one line each.

use ffai_program::StepError;

use crate::SessionId;

/// Why the engine refused or gave up something.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The plan or the options leave no room to run anything.
    #[error("the plan cannot serve requests: {problem}")]
    Plan {
        /// What is wrong.
        problem: String,
    },
    /// Nothing to continue: no tokens given, none held.
    #[error("the prompt is empty: give at least one token")]
    EmptyPrompt,
    /// A token id that the model does not have.
    #[error("token {token} is outside the vocabulary of {vocab}")]
    Token {
        /// The id.
        token: u32,
        /// Ids are below it.
        vocab: usize,
    },
    /// A sampling option outside of its range.
    #[error("{option} is {value}, it must be {range}")]
    Sampling {
        /// The option.
        option: &'static str,
        /// What was given.
        value: f32,
        /// What is allowed.
        range: &'static str,
    },
    /// The prompt leaves no room for a new token.
    #[error(
        "the prompt has {prompt} tokens, the context is {context}: shorten the prompt or load with a longer context"
    )]
    PromptTooLong {
        /// Tokens of the prompt, those that the session holds included.
        prompt: usize,
        /// Longest sequence: the plan's context, or the session's capacity.
        context: usize,
    },
    /// The prompt fits, but not together with the new tokens that were asked for.
    #[error("{prompt} prompt + {new} new tokens exceed the context of {context}: ask for at most {} new tokens", context.saturating_sub(*prompt))]
    RequestTooLong {
        /// Tokens of the prompt, those that the session holds included.
        prompt: usize,
        /// `max_tokens` of the request.
        new: usize,
        /// Longest sequence: the plan's context, or the session's capacity.
        context: usize,
    },
    /// Tokens appended to a session exceed its capacity.
    #[error(
        "the session holds {held} tokens, {added} more exceed its capacity of {capacity}: truncate it or open a larger one"
    )]
    SessionFull {
        /// Tokens in the session.
        held: usize,
        /// Tokens to be appended.
        added: usize,
        /// Most tokens the session may hold.
        capacity: usize,
    },
    /// A session that is larger than the context.
    #[error("a session of {capacity} tokens exceeds the context of {context}")]
    CapacityTooLarge {
        /// What was asked for.
        capacity: usize,
        /// The plan's context.
        context: usize,
    },
    /// A truncation to more tokens than there are.
    #[error("the session holds {held} tokens and cannot be truncated to {len}")]
    TruncateTooLong {
        /// The length asked for.
        len: usize,
        /// Tokens in the session.
        held: usize,
    },
    /// No such session: never opened, or closed.
    #[error("there is no session {0}")]
    UnknownSession(SessionId),
    /// A request is queued or running on the session.
    #[error("session {0} is busy with a request: wait for its end or drop its stream")]
    SessionBusy(SessionId),
    /// Sessions hold pages that are needed, and nothing is running that would give some back.
    #[error("{needed} pages are needed, {free} are free: close or truncate sessions")]
    OutOfPages {
        /// Pages needed in some state group.
        needed: usize,
        /// Pages free in that group.
        free: usize,
    },
    /// All slots for states of recurrent layers are in use, and nothing is running that would give one back.
    #[error("no slot is free for the state of the sequence: wait for running requests to end")]
    OutOfSlots,
    /// No token could be drawn.
    #[error(
        "no finite logits after token {position}: the weights or the input are broken, or keys and values grow beyond what f16 can hold: try them in f32"
    )]
    NotFinite {
        /// Place in the sequence of the token that was to be drawn.
        position: usize,
    },
    /// The backend could not run the step that the request was part of.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The backend broke its promise.
    #[error("the backend gave {got}, expected {expected}: please report this")]
    Backend {
        /// What the step wanted.
        expected: String,
        /// What came.
        got: String,
    },
    /// The backend panicked; the engine is gone.
    #[error("the engine failed: {message}")]
    Panicked {
        /// What the panic said.
        message: String,
    },
    /// The engine's thread has ended.
    #[error("the engine has stopped")]
    Stopped,
    /// The engine's thread could not be started.
    #[error("no thread for the engine: {problem}")]
    Thread {
        /// What the system said.
        problem: String,
    },
}

impl EngineError {
    pub(crate) fn unexpected(got: &str, expected: &str) -> Self {
        EngineError::Backend { expected: expected.to_owned(), got: got.to_owned() }
    }
}
