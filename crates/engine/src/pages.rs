//! Pages: who holds which, with reference counts, so that forks share what they have in common.
//!
//! Pages behind a window are given back as a sequence moves on. A sequence that grows owns as many pages beside the shared ones as
//! it can need at once, and takes those behind its window round to the front: it never asks for more on the way.
//!
//! Pages that no sequence holds any more stay known to the prefix index until somebody needs them: they count as free.

mod cache;
mod pool;

use ffai_program::{PageList, Plan, StateGroup};

use crate::EngineError;
use crate::prefix::Index;
use crate::slots::Slots;
use pool::PagePool;

/// What a table takes from a pool to grow.
#[derive(Clone, Copy, Debug)]
struct Need {
    /// Shared pages that will be written: each is replaced by a copy.
    replaced: usize,
    /// Pages behind the last.
    added: usize,
}

/// A sequence's pages of one group, in order of the tokens they hold.
#[derive(Clone, Debug, Default)]
struct GroupTable {
    /// Pages before them that are gone.
    first: usize,
    pages: Vec<u32>,
    /// Pages of the longest the sequence may grow to, the gone ones included.
    total: usize,
}

/// The pages of one sequence. It is no `Clone`, since a copy that no count knows of would be released twice; it has to be shrunk to
/// nothing in the end, or its pages are lost.
#[derive(Debug, Default)]
pub(crate) struct PageTable(Vec<GroupTable>);

impl PageTable {
    /// For each group the pages up to page number `pages`.
    pub(crate) fn first(&self, pages: usize) -> Vec<PageList> {
        let list = |table: &GroupTable| {
            let held = pages.saturating_sub(table.first).min(table.pages.len());
            PageList { first: table.first, pages: table.pages[..held].to_vec() }
        };
        self.0.iter().map(list).collect()
    }
}

/// A page to be copied before it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageCopy {
    pub(crate) group: usize,
    pub(crate) from: u32,
    pub(crate) to: u32,
}

/// All pages and slots there are, and what is known of their content.
#[derive(Debug)]
pub(crate) struct Pages {
    pools: Vec<PagePool>,
    pub(crate) slots: Slots,
    index: Index,
    page_tokens: usize,
}

impl Pages {
    /// The pages and slots of a plan for these state groups.
    pub(crate) fn new(plan: &Plan, groups: &[StateGroup]) -> Self {
        let most = |group: &StateGroup| group.window.map_or(usize::MAX, |_| plan.pages_of(group, usize::MAX));
        let pool = |(group, pages): (&StateGroup, &usize)| PagePool::new(*pages, group.window, most(group));
        Pages {
            pools: groups.iter().zip(&plan.pages).map(pool).collect(),
            slots: Slots::new(plan.slots),
            index: Index::new(plan.page_tokens),
            page_tokens: plan.page_tokens,
        }
    }

    pub(crate) fn page_tokens(&self) -> usize {
        self.page_tokens
    }

    /// Pages that `tokens` tokens take.
    pub(crate) fn count_for(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.page_tokens)
    }

    /// Free pages of each group, those that only the index knows among them.
    pub(crate) fn free(&self) -> Vec<usize> {
        self.pools.iter().map(PagePool::available).collect()
    }

    /// Makes a table ready for places `from..total` to be written: pages are added, as far ahead as there can be need for at once,
    /// and those among the written ones that others hold too are replaced; those that the index knows as well, or it forgets them if there are
    /// too few pages for that. With a window all pages that others hold are replaced, since they will come round. Nothing changes if
    /// there are too few at all.
    pub(crate) fn grow(
        &mut self,
        table: &mut PageTable,
        from: usize,
        total: usize,
    ) -> Result<Vec<PageCopy>, EngineError> {
        table.0.resize_with(self.pools.len(), GroupTable::default);
        let (first, total) = (from / self.page_tokens, self.count_for(total));
        let needs: Vec<Need> =
            self.pools.iter().zip(&table.0).map(|(pool, table)| pool.need(table, first, total)).collect();
        for (pool, Need { replaced, added }) in self.pools.iter().zip(&needs) {
            let needed = replaced + added;
            if pool.available() < needed {
                return Err(EngineError::OutOfPages { needed, free: pool.available() });
            }
        }
        let mut copies = Vec::new();
        for (group, table) in table.0.iter_mut().enumerate() {
            let Need { mut replaced, added } = needs[group];
            for (number, page) in (table.first..).zip(&mut table.pages) {
                let pool = &self.pools[group];
                let shared = pool.is_shared(*page) && (number >= first || pool.window.is_some());
                if !shared && (number < first || pool.node(*page).is_none()) {
                    continue;
                }
                replaced -= usize::from(shared);
                if let Some(to) = self.instead(group, *page, replaced + added) {
                    copies.push(PageCopy { group, from: *page, to });
                    self.pools[group].release(*page);
                    *page = to;
                }
            }
            table.pages.extend((0..added).map_while(|_| self.take(group)));
            table.total = total;
        }
        Ok(copies)
    }

    /// A page to be written instead of one that others hold or the index knows, if it must or can be: `needed` are spoken for.
    fn instead(&mut self, group: usize, page: u32, needed: usize) -> Option<u32> {
        let pool = &self.pools[group];
        let node = pool.node(page);
        if pool.is_shared(page) {
            return self.take(group);
        }
        let node = node?;
        if pool.available() <= needed {
            self.lose(node, group);
            return None;
        }
        let to = self.take(group)?;
        if self.pools[group].node(page).is_some() {
            return Some(to);
        }
        // To make room the index has forgotten this very page.
        self.pools[group].release(to);
        None
    }

    /// How many tokens a table could grow to at most with the pages that are free, if places from `from` on are written.
    pub(crate) fn room(&self, table: &PageTable, from: usize) -> usize {
        let empty = GroupTable::default();
        let pages = |(group, pool): (usize, &PagePool)| {
            let table = table.0.get(group).unwrap_or(&empty);
            let endless = pool.need(table, from / self.page_tokens, usize::MAX);
            if endless.replaced.saturating_add(endless.added) <= pool.available() {
                return usize::MAX;
            }
            (table.first + table.pages.len() + pool.available()).saturating_sub(endless.replaced)
        };
        let pages = self.pools.iter().enumerate().map(pages).min();
        pages.map_or(usize::MAX, |pages| pages.saturating_mul(self.page_tokens))
    }

    /// A second table over the same pages.
    pub(crate) fn fork(&mut self, table: &PageTable) -> PageTable {
        for (pool, table) in self.pools.iter_mut().zip(&table.0) {
            table.pages.iter().for_each(|page| pool.share(*page));
        }
        PageTable(table.0.clone())
    }

    /// Takes the pages behind the window of a sequence that has come to `tokens` tokens: round to the front while it has still to
    /// grow and nobody shares them, else back to the pool. One that the index knows goes back, and the oldest comes instead.
    pub(crate) fn slide(&mut self, table: &mut PageTable, tokens: usize) {
        for (group, table) in table.0.iter_mut().enumerate() {
            let Some(window) = self.pools[group].window else { continue };
            let gone = (tokens.saturating_sub(window) / self.page_tokens).saturating_sub(table.first);
            let gone: Vec<u32> = table.pages.drain(..gone.min(table.pages.len())).collect();
            table.first += gone.len();
            for page in gone {
                let alone = !self.pools[group].is_shared(page);
                self.pools[group].release(page);
                if alone && table.first + table.pages.len() < table.total {
                    table.pages.extend(self.take(group));
                }
            }
        }
    }

    /// Whether a table still holds what the rows behind `tokens` tokens see.
    pub(crate) fn reaches(&self, table: &PageTable, tokens: usize) -> bool {
        let reaches = |(pool, table): (&PagePool, &GroupTable)| {
            let seen = pool.window.map_or(0, |window| tokens.saturating_sub(window));
            table.first * self.page_tokens <= seen
        };
        self.pools.iter().zip(&table.0).all(reaches)
    }

    /// Gives back all pages behind the first `tokens` tokens.
    pub(crate) fn shrink(&mut self, table: &mut PageTable, tokens: usize) {
        let keep = self.count_for(tokens);
        for (pool, table) in self.pools.iter_mut().zip(&mut table.0) {
            let held = keep.saturating_sub(table.first).min(table.pages.len());
            table.pages.split_off(held).into_iter().rev().for_each(|page| pool.release(page));
            table.first = table.first.min(keep);
            table.total = keep;
        }
    }
}

#[cfg(test)]
mod tests;
