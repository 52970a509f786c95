//! Conversations whose state is kept.

use ffai_engine::{EngineHandle, LogitRows, SessionId};

use crate::{Error, GenerateOptions, Generation, Model, Prompt};

/// A sequence of tokens whose keys and values are kept between calls.
///
/// Models with recurrent layers keep their states as well, at the end of each turn and now and then in long prompts, as many as
/// [`crate::LoadOptions::snapshots`] allows; what is not kept any more is run again.
///
/// For turns of a conversation use [`Session::generate`] with the whole conversation each time: what the session already holds
/// is not run again. The lower level is [`Session::logits`], [`Session::fork`] and [`Session::truncate`]:
///
/// ```no_run
/// # fn main() -> Result<(), ffai::Error> {
/// let model = ffai::Model::load("smollm2")?;
/// let mut session = model.session()?;
/// let rows = session.logits(&[1, 2, 3])?; // one row of vocab logits for each token
/// assert_eq!((rows.len(), rows[0].len()), (3, model.spec().vocab));
/// let mut other = session.fork()?; // shares what it holds; the two go their own ways from here
/// other.truncate(2)?;
/// other.logits(&[7])?;
/// assert_eq!(session.tokens()?, [1, 2, 3]);
/// assert_eq!(other.tokens()?, [1, 2, 7]);
/// # Ok(())
/// # }
/// ```
pub struct Session {
    model: Model,
    id: SessionId,
}

impl Session {
    pub(crate) fn open(model: Model) -> Result<Session, Error> {
        let id = model.inner().engine.open(None)?;
        Ok(Session { model, id })
    }

    fn engine(&self) -> &EngineHandle {
        &self.model.inner().engine
    }

    /// Continues a prompt, of which the part that the session holds already is not run again; what the session holds beyond the
    /// common part is dropped. Afterwards the session holds the prompt and the answer.
    ///
    /// # Errors
    /// As [`Model::generate`].
    pub fn generate(&mut self, prompt: impl Into<Prompt>, options: &GenerateOptions) -> Result<Generation<'_>, Error> {
        let prompt = prompt.into();
        let tokens = self.model.encode(&prompt, options)?;
        let common = self.tokens()?.iter().zip(&tokens).take_while(|(a, b)| a == b).count();
        // At least one token has to run, or there would be nothing to continue.
        let kept = common.min(tokens.len().saturating_sub(1));
        self.truncate(kept)?;
        let mut request = self.model.request(tokens[kept..].to_vec(), options);
        request.session = Some(self.id);
        let events = self.engine().submit(request)?;
        Ok(Generation::new(events, self.model.inner().text.as_ref(), options, prompt.is_continued()))
    }

    /// Appends tokens; gives the logits behind each of them, `[vocab]` each.
    ///
    /// # Errors
    /// A token outside the vocabulary, a session that is full.
    pub fn logits(&mut self, tokens: &[u32]) -> Result<Vec<Vec<f32>>, Error> {
        Ok(self.engine().logits(self.id, tokens, LogitRows::All)?)
    }

    /// Appends tokens; gives the logits behind the last token only.
    ///
    /// # Errors
    /// As [`Session::logits`]; a session that is empty and stays so.
    pub fn last_logits(&mut self, tokens: &[u32]) -> Result<Vec<f32>, Error> {
        let rows = self.engine().logits(self.id, tokens, LogitRows::Last)?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }

    /// The tokens it holds.
    ///
    /// # Errors
    /// An engine that has failed.
    pub fn tokens(&self) -> Result<Vec<u32>, Error> {
        Ok(self.engine().tokens(self.id)?)
    }

    /// Drops all tokens past the first `len`.
    ///
    /// # Errors
    /// Fewer tokens than that.
    pub fn truncate(&mut self, len: usize) -> Result<(), Error> {
        Ok(self.engine().truncate(self.id, len)?)
    }

    /// A second session with the same tokens. Memory is shared until one of the two writes to it.
    ///
    /// # Errors
    /// An engine that has failed.
    pub fn fork(&self) -> Result<Session, Error> {
        Ok(Session { model: self.model.clone(), id: self.engine().fork(self.id)? })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The engine may have failed; then there is nothing left to close.
        let _ = self.engine().close(self.id);
    }
}
