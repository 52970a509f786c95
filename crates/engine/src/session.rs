//! Sessions: sequences that are kept between calls. Tokens in, logits out; fork, truncate, generate.
//!
//! A session holds tokens, and pages for those of them that were run. They differ by one after a generation: the token drawn
//! last is held but was never run, and goes first in whatever comes next. Where the model has states in slots, a session leaves them
//! behind as snapshots, at the end of each turn and now and then in long prompts, and goes on from the last one that fits.

use std::collections::BTreeMap;
use std::fmt;

use ffai_program::{Output, Want};

use crate::request::check_tokens;
use crate::sequence::Sequence;
use crate::step::StepBuilder;
use crate::{Engine, EngineError};

/// Names a session within its engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which logits are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogitRows {
    /// Those behind each of the appended tokens.
    All,
    /// Those behind the last token that the session holds.
    Last,
}

/// A kept sequence.
#[derive(Debug)]
pub(crate) struct Session {
    /// None while a request has it.
    pub(crate) sequence: Option<Sequence>,
    /// Names all forks of one session: they know each other's states.
    pub(crate) root: u64,
    /// Most tokens.
    pub(crate) capacity: usize,
}

impl Engine {
    /// A new, empty session of at most `capacity` tokens, by default as many as the context has. The capacity decides the length
    /// class of the rope once and for all; pages are taken only as tokens come.
    ///
    /// # Errors
    /// A capacity beyond the context.
    pub fn open(&mut self, capacity: Option<usize>) -> Result<SessionId, EngineError> {
        let context = self.context();
        let capacity = capacity.unwrap_or(context);
        if capacity > context {
            return Err(EngineError::CapacityTooLarge { capacity, context });
        }
        let root = self.next_id();
        let sequence = Sequence::new(self.scope(capacity, Some(root)));
        Ok(self.insert(Session { sequence: Some(sequence), root, capacity }))
    }

    /// Appends tokens; gives logits, `[vocab]` for each wanted row. The session's own pending token, if any, is run first and is
    /// not among [`LogitRows::All`]. No tokens are fine: then `Last` gives the logits behind what is held, `All` nothing.
    ///
    /// Runs to the end before it returns, in steps of at most the plan's rows and wanted rows; running requests pause.
    ///
    /// # Errors
    /// A session that is unknown, busy, full or (for `Last`) empty; a token outside the vocabulary; too few free pages; a step
    /// that failed. The session holds what it held before.
    pub fn logits(&mut self, id: SessionId, tokens: &[u32], rows: LogitRows) -> Result<Vec<Vec<f32>>, EngineError> {
        check_tokens(tokens, self.program.vocab)?;
        let (capacity, sequence) = idle(&mut self.sessions, id)?;
        let (held, added) = (sequence.len(), tokens.len());
        if added > capacity - held {
            return Err(EngineError::SessionFull { held, added, capacity });
        }
        match (rows, added, held) {
            (LogitRows::All, 0, _) => return Ok(Vec::new()),
            (LogitRows::Last, 0, 0) => return Err(EngineError::EmptyPrompt),
            _ => {}
        }
        let mut sequence = std::mem::take(sequence);
        sequence.append(tokens);
        let first = if rows == LogitRows::All { held } else { sequence.len() - 1 };
        let logits = self.read(&mut sequence, first);
        let keep = if logits.is_ok() { sequence.len() } else { held };
        sequence.rest(&mut self.pages);
        sequence.truncate(keep, &mut self.pages);
        if let Some(session) = self.sessions.get_mut(&id) {
            session.sequence = Some(sequence);
        }
        logits
    }

    /// A second session with the same tokens and capacity. Pages are shared until one of the two writes to them; snapshots for good.
    ///
    /// # Errors
    /// A session that is unknown or busy.
    pub fn fork(&mut self, id: SessionId) -> Result<SessionId, EngineError> {
        let (capacity, sequence) = idle(&mut self.sessions, id)?;
        let fork = sequence.fork(&mut self.pages);
        let root = self.sessions.get(&id).map_or(0, |session| session.root);
        Ok(self.insert(Session { sequence: Some(fork), root, capacity }))
    }

    /// Drops the tokens past the first `len`. Where that goes back behind what a model with windows keeps, the tokens that stay are run
    /// again by whatever comes next; in a model with slots, those of them behind the last snapshot.
    ///
    /// # Errors
    /// A session that is unknown, busy, or holds fewer tokens.
    pub fn truncate(&mut self, id: SessionId, len: usize) -> Result<(), EngineError> {
        let (_, sequence) = idle(&mut self.sessions, id)?;
        if len > sequence.len() {
            return Err(EngineError::TruncateTooLong { len, held: sequence.len() });
        }
        sequence.truncate(len, &mut self.pages);
        Ok(())
    }

    /// The tokens that the session holds: all prompts and all that was generated, stop tokens included.
    ///
    /// # Errors
    /// A session that is unknown or busy.
    pub fn tokens(&self, id: SessionId) -> Result<&[u32], EngineError> {
        let session = self.sessions.get(&id).ok_or(EngineError::UnknownSession(id))?;
        session.sequence.as_ref().map(Sequence::tokens).ok_or(EngineError::SessionBusy(id))
    }

    /// Ends a session and gives its pages back; if a request is running on it, as soon as that ends.
    ///
    /// # Errors
    /// An unknown session.
    pub fn close(&mut self, id: SessionId) -> Result<(), EngineError> {
        let session = self.sessions.remove(&id).ok_or(EngineError::UnknownSession(id))?;
        if let Some(sequence) = session.sequence {
            self.discard(sequence);
        }
        Ok(())
    }

    fn insert(&mut self, session: Session) -> SessionId {
        let id = SessionId(self.next_id());
        self.sessions.insert(id, session);
        id
    }

    /// Runs what is pending; gives the logits of the tokens from `first` on.
    fn read(&mut self, sequence: &mut Sequence, first: usize) -> Result<Vec<Vec<f32>>, EngineError> {
        let found = sequence.resume(first.min(sequence.len() - 1), &mut self.pages, &self.limits.cuts);
        let reserved = sequence.reserve(sequence.len(), 0, &mut self.pages, &mut *self.executable);
        if found && reserved.is_err() {
            // Others may be at work on what it found.
            sequence.release(&mut self.pages);
        }
        reserved?;
        let mut logits = Vec::new();
        while sequence.cached() < sequence.len() {
            match self.read_chunk(sequence, first) {
                Ok(more) => logits.extend(more),
                Err(error) => {
                    sequence.release(&mut self.pages);
                    self.pages.forget();
                    return Err(error);
                }
            }
        }
        Ok(logits)
    }

    fn read_chunk(&mut self, sequence: &mut Sequence, first: usize) -> Result<Vec<Vec<f32>>, EngineError> {
        let past = sequence.cached();
        let wanted = first.max(past) + self.plan.wanted;
        let room = self.plan.rows.min(wanted - past);
        let end = match self.limits.cuts.rows(past, sequence.end(), room) {
            0 => past + room,
            rows => past + rows,
        };
        let mut step = StepBuilder::default();
        step.rows(sequence, end - past, &self.pages);
        (first.max(past)..end).for_each(|place| step.want(place - past, Want::Logits));
        let outputs = self.run(&step.finish())?;
        sequence.advance(end - past, 0, &mut self.pages, &self.limits.cuts);
        outputs.into_iter().map(into_logits).collect()
    }
}

fn into_logits(output: Output) -> Result<Vec<f32>, EngineError> {
    match output {
        Output::Logits(logits) => Ok(logits),
        Output::Token(_) | Output::NotFinite => Err(EngineError::unexpected("a token", "logits")),
    }
}

/// A session's capacity, and its sequence unless a request has it.
pub(crate) fn idle(
    sessions: &mut BTreeMap<SessionId, Session>,
    id: SessionId,
) -> Result<(usize, &mut Sequence), EngineError> {
    let session = sessions.get_mut(&id).ok_or(EngineError::UnknownSession(id))?;
    session.sequence.as_mut().map(|sequence| (session.capacity, sequence)).ok_or(EngineError::SessionBusy(id))
}
