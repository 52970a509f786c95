//! A sequence: its tokens, and where the state is of the first of them.

use ffai_program::{Executable, Seen, SlotUse};

use crate::EngineError;
use crate::cuts::Cuts;
use crate::pages::{PageTable, Pages};
use crate::prefix::Scope;

/// Tokens with the state that was computed of the first of them. As with its table, it has to be cleared in the end.
///
/// A sequence at work in a model with slots writes one of its own. At rest it has none: its state is a snapshot that the index knows,
/// which others may need more; then it is found no longer, and the tokens run again.
#[derive(Debug, Default)]
pub(crate) struct Sequence {
    tokens: Vec<u32>,
    /// How many of the tokens are in the pages; the others are rows still to be run.
    cached: usize,
    table: PageTable,
    /// The slot that is written, of a sequence at work.
    work: Option<u32>,
    /// The snapshot that the next step reads instead; pinned.
    read: Option<u32>,
    /// Where its prefixes are known.
    scope: Scope,
    /// How many of the cached tokens were run as everyone would run them: from the first on, cut at the same places.
    exact: usize,
    /// How many of the tokens the index was told of.
    known: usize,
    /// Where the state of the prompt is to be kept, ascending.
    stops: Vec<usize>,
}

impl Sequence {
    pub(crate) fn new(scope: Scope) -> Self {
        Sequence { scope, ..Sequence::default() }
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

    /// The session it belongs to.
    pub(crate) fn session(&self) -> Option<u64> {
        self.scope.session
    }

    /// Where the next step reads and writes the state.
    pub(crate) fn slot(&self) -> Option<SlotUse> {
        let write = self.work?;
        Some(self.read.map_or(SlotUse::in_place(write, self.cached), |read| SlotUse { read: Some(read), write }))
    }

    pub(crate) fn length_class(&self) -> usize {
        self.scope.class
    }

    /// Tokens that are not in the pages yet.
    pub(crate) fn pending(&self) -> &[u32] {
        &self.tokens[self.cached..]
    }

    /// Where the next step has to end at the latest: the end, or where the state is to be kept.
    pub(crate) fn end(&self) -> usize {
        self.stops.first().copied().unwrap_or(self.len())
    }

    /// Appends a prompt. Afterwards at least one token is pending, since an output takes a row: if none is new, the last token
    /// is run again.
    pub(crate) fn append(&mut self, tokens: &[u32]) {
        self.tokens.extend(tokens);
        self.go_back(self.tokens.len().saturating_sub(1));
    }

    /// Appends a token that was drawn.
    pub(crate) fn push(&mut self, token: u32) {
        self.tokens.push(token);
    }

    /// Finds the place to go on from, at most `most` tokens from the beginning: what it holds itself, or what the index knows if that is
    /// more. Whether it was the index.
    pub(crate) fn resume(&mut self, most: usize, pages: &mut Pages, cuts: &Cuts) -> bool {
        let found = pages.find(&self.scope, &self.tokens, most);
        let has_slots = pages.slots.exist();
        let adopts = found.tokens > 0 && (has_slots || found.tokens > self.cached);
        if adopts {
            let table = pages.adopt(&found);
            self.release(pages);
            self.table = table;
            (self.cached, self.exact, self.known) = (found.tokens, found.common, found.tokens);
            self.read = found.snapshot;
            self.read.into_iter().for_each(|slot| pages.slots.pin(slot));
        } else if has_slots {
            self.release(pages);
        }
        self.stops = if has_slots { cuts.stops(self.cached, found.known, self.len()) } else { Vec::new() };
        adopts
    }

    /// Takes pages so that the sequence can grow to `total` tokens, and a slot, such that `spare` others can still be had. It reads the
    /// snapshot that it goes on from, or works on in its slot if there is no other.
    pub(crate) fn reserve(
        &mut self,
        total: usize,
        spare: usize,
        pages: &mut Pages,
        executable: &mut dyn Executable,
    ) -> Result<(), EngineError> {
        let available = pages.slots.available();
        let alone = available == spare && self.read.is_some_and(|slot| pages.slots.is_pinned_once(slot));
        if pages.slots.exist() && available <= spare && !alone {
            return Err(EngineError::OutOfSlots);
        }
        for copy in pages.grow(&mut self.table, self.cached, total)? {
            executable.copy_page(copy.group, copy.from, copy.to);
        }
        match self.read.filter(|_| alone) {
            Some(slot) => {
                pages.consume_slot(slot);
                self.work = self.read.take();
            }
            None => self.work = pages.take_slot(),
        }
        Ok(())
    }

    /// Most tokens for which there are pages now.
    pub(crate) fn room(&self, pages: &Pages) -> usize {
        pages.room(&self.table, self.cached)
    }

    /// Notes that the first `rows` pending tokens are in the pages now, tells the index, keeps the state if it is to be kept here, and lets go
    /// of pages behind a window.
    pub(crate) fn advance(&mut self, rows: usize, spare: usize, pages: &mut Pages, cuts: &Cuts) {
        let past = self.cached;
        self.cached += rows;
        self.read.take().into_iter().for_each(|slot| pages.slots.unpin(slot));
        if self.exact == past {
            self.exact = cuts.before(self.cached);
        }
        let stops = self.stops.iter().take_while(|stop| **stop <= self.cached).count();
        let stop = self.stops.drain(..stops).next_back();
        match pages.slots.exist() {
            true if stop == Some(self.cached) => self.keep(spare, pages),
            true => {}
            false => self.tell(pages),
        }
        pages.slide(&mut self.table, self.cached);
    }

    /// Makes blocks known that have become whole.
    fn tell(&mut self, pages: &mut Pages) {
        let whole = self.exact - self.exact % pages.page_tokens();
        if whole > self.known && self.scope.common {
            pages.know(&self.scope, &self.tokens[..whole], &self.table, self.exact);
            self.known = whole;
        }
    }

    /// Makes the slot a snapshot and goes on in another, if there is one.
    fn keep(&mut self, spare: usize, pages: &mut Pages) {
        if pages.slots.available() <= spare {
            return;
        }
        let known = pages.know(&self.scope, &self.tokens[..self.cached], &self.table, self.exact);
        let Some((slot, node)) = self.work.zip(known) else { return };
        if pages.keep(slot, node) {
            pages.slots.pin(slot);
            (self.read, self.work) = (Some(slot), pages.take_slot());
        }
    }

    /// The work is over for now. Where there are slots, what it wrote becomes a snapshot if the sequence or anyone may go on from it, and the
    /// index alone knows its pages from now on.
    pub(crate) fn rest(&mut self, pages: &mut Pages) {
        if pages.slots.exist() {
            self.leave(pages);
            self.release(pages);
        }
    }

    fn leave(&mut self, pages: &mut Pages) {
        // A snapshot that no step has read is still the state.
        let unread = self.read.take().map(|slot| pages.slots.unpin(slot)).is_some();
        let Some(slot) = self.work.filter(|_| !unread && self.cached > 0) else { return };
        let node = pages.know(&self.scope, &self.tokens[..self.cached], &self.table, self.exact);
        if node.is_some_and(|node| pages.keep(slot, node)) {
            self.work = None;
        }
    }

    /// Drops the tokens past `len`, and all pages that hold nothing. Where a window has left behind what the next row would see, all tokens
    /// will be run anew. Only at rest.
    pub(crate) fn truncate(&mut self, len: usize, pages: &mut Pages) {
        self.tokens.truncate(len);
        self.go_back(len);
        if !pages.reaches(&self.table, self.cached) {
            self.go_back(0);
        }
        pages.shrink(&mut self.table, self.cached);
    }

    /// Gives back all pages and slots but keeps the tokens: they will be run anew, or found.
    pub(crate) fn release(&mut self, pages: &mut Pages) {
        self.go_back(0);
        self.stops.clear();
        pages.shrink(&mut self.table, 0);
        self.read.take().into_iter().for_each(|slot| pages.slots.unpin(slot));
        self.work.take().into_iter().for_each(|slot| pages.slots.give(slot));
    }

    /// A second sequence with the same tokens and pages. Only at rest.
    pub(crate) fn fork(&self, pages: &mut Pages) -> Sequence {
        Sequence {
            tokens: self.tokens.clone(),
            table: pages.fork(&self.table),
            cached: self.cached,
            exact: self.exact,
            known: self.known,
            ..Sequence::new(self.scope)
        }
    }

    fn go_back(&mut self, tokens: usize) {
        self.cached = self.cached.min(tokens);
        self.exact = self.exact.min(self.cached);
        self.known = self.known.min(self.cached);
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
