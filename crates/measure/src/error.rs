//! What can go wrong while measuring.

/// Shorthand for results of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The backend cannot run the model.
    #[error(transparent)]
    Compile(#[from] ffai_program::CompileError),
    /// A step failed.
    #[error(transparent)]
    Step(#[from] ffai_program::StepError),
    /// The backend broke its promise.
    #[error("the backend gave {got} where {expected} was wanted: please report this")]
    Output {
        /// What was wanted.
        expected: &'static str,
        /// What came.
        got: String,
    },
    /// An option that makes no sense for this model.
    #[error("{option} is {value}, it must be {expected}")]
    Option {
        /// The option.
        option: &'static str,
        /// What was given.
        value: String,
        /// What is allowed.
        expected: String,
    },
    /// Two models that cannot be compared token by token.
    #[error(
        "the two models have vocabularies of {a} and {b} tokens: only models with the same tokenizer can be compared"
    )]
    Vocabularies {
        /// Of the first.
        a: usize,
        /// Of the second.
        b: usize,
    },
}
