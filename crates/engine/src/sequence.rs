//! A sequence: its tokens, and which of them are in the pages.

use ffai_program::{Executable, Seen};

use crate::EngineError;
use crate::pages::{PageTable, Pages};

/// Tokens with the state that was computed of the first of them. As with its table, it has to be cleared in the end.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    tokens: Vec<u32>,
    /// How many of the tokens are in the pages; the others are rows still to be run.
    cached: usize,
    table: PageTable,
    /// Where the state is of a sequence that is at work, if the model has any.
    slot: Option<u32>,
    /// Fixed for life: keys cached under one class mean nothing under another.
    length_class: usize,
}

impl Sequence {
    pub(crate) fn new(length_class: usize) -> Self {
        Sequence { length_class, ..Sequence::default() }
    }

    pub(crate) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    pub(crate) fn len(&self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn cached(&self) -> usize {
        self.cached
    }

    pub(crate) fn table(&self) -> &PageTable {
        &self.table
    }

    pub(crate) fn slot(&self) -> Option<u32> {
        self.slot
    }

    pub(crate) fn length_class(&self) -> usize {
        self.length_class
    }

    /// Tokens that are not in the pages yet.
    pub(crate) fn pending(&self) -> &[u32] {
        &self.tokens[self.cached..]
    }

    /// Appends a prompt. Afterwards at least one token is pending, since an output takes a row: if none is new, the last token
    /// is run again.
    pub(crate) fn append(&mut self, tokens: &[u32]) {
        self.tokens.extend(tokens);
        self.cached = self.cached.min(self.tokens.len().saturating_sub(1));
    }

    /// Appends a token that was drawn.
    pub(crate) fn push(&mut self, token: u32) {
        self.tokens.push(token);
    }

    /// Notes that the first `rows` pending tokens are in the pages now, and lets go of those behind a window.
    pub(crate) fn advance(&mut self, rows: usize, pages: &mut Pages) {
        self.cached += rows;
        pages.slide(&mut self.table, self.cached);
    }

    /// Takes pages so that the sequence can grow to `total` tokens, and a slot.
    pub(crate) fn reserve(
        &mut self,
        total: usize,
        pages: &mut Pages,
        executable: &mut dyn Executable,
    ) -> Result<(), EngineError> {
        if self.slot.is_none() && !pages.has_room() {
            return Err(EngineError::OutOfSlots);
        }
        for copy in pages.grow(&mut self.table, self.cached, total)? {
            executable.copy_page(copy.group, copy.from, copy.to);
        }
        if self.slot.is_none() {
            self.slot = pages.take_slot();
        }
        Ok(())
    }

    /// Most tokens for which [`Sequence::reserve`] succeeds now.
    pub(crate) fn room(&self, pages: &Pages) -> usize {
        pages.room(&self.table, self.cached)
    }

    /// Drops the tokens past `len`, and all pages that hold nothing. Where a window has left behind what the next row would see, or the
    /// model has states in slots, all tokens will be run anew.
    pub(crate) fn truncate(&mut self, len: usize, pages: &mut Pages) {
        self.tokens.truncate(len);
        self.cached = self.cached.min(len);
        if pages.has_slots() {
            return self.evict(pages);
        }
        if !pages.reaches(&self.table, self.cached) {
            self.cached = 0;
        }
        pages.shrink(&mut self.table, self.cached);
    }

    /// Gives back all pages and the slot but keeps the tokens: they will be run anew.
    pub(crate) fn evict(&mut self, pages: &mut Pages) {
        self.cached = 0;
        pages.shrink(&mut self.table, 0);
        pages.give_slot(self.slot.take());
    }

    pub(crate) fn fork(&self, pages: &mut Pages) -> Sequence {
        Sequence {
            tokens: self.tokens.clone(),
            cached: self.cached,
            table: pages.fork(&self.table),
            slot: None,
            length_class: self.length_class,
        }
    }
}

/// Counts of the tokens that a sequence has seen, ascending by id, kept up to date token by token.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeenTokens(Vec<Seen>);

impl SeenTokens {
    /// Of a prompt: nothing was generated.
    pub(crate) fn of_prompt(tokens: &[u32]) -> Self {
        let mut ids = tokens.to_vec();
        ids.sort_unstable();
        ids.dedup();
        SeenTokens(ids.into_iter().map(|token| Seen { token, generated: 0 }).collect())
    }

    /// Counts a generated token.
    pub(crate) fn count(&mut self, token: u32) {
        match self.0.binary_search_by_key(&token, |seen| seen.token) {
            Ok(at) => self.0[at].generated += 1,
            Err(at) => self.0.insert(at, Seen { token, generated: 1 }),
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<Seen> {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seen_tokens_are_ascending_and_count_what_was_generated() {
        let mut seen = SeenTokens::of_prompt(&[9, 2, 9]);
        [9, 5, 9, 1].into_iter().for_each(|token| seen.count(token));
        let counts: Vec<_> = seen.to_vec().iter().map(|s| (s.token, s.generated)).collect();
        assert_eq!(counts, [(1, 1), (2, 0), (5, 1), (9, 2)]);
    }
}
