//! Pages: who holds which, with reference counts, so that forks share what they have in common.
//!
//! Pages behind a window are given back as a sequence moves on. A sequence that grows owns as many pages beside the shared ones as
//! it can need at once, and takes those behind its window round to the front: it never asks for more on the way.

use ffai_program::{PageList, Plan, StateGroup};

use crate::EngineError;

/// The pages of one state group.
#[derive(Debug)]
struct PagePool {
    /// Tables that hold each page.
    refs: Vec<u32>,
    /// Pages that no table holds; the last is given out next.
    free: Vec<u32>,
    /// Tokens before a sequence's next that have to stay: the window. One more than the next row sees, so that the last one can
    /// be run again. None keeps all.
    window: Option<usize>,
    /// Most pages that a sequence needs at once.
    most: usize,
}

/// What a table takes from a pool to grow.
#[derive(Clone, Copy, Debug)]
struct Need {
    /// Shared pages that will be written: each is replaced by a copy.
    replaced: usize,
    /// Pages behind the last.
    added: usize,
}

impl PagePool {
    fn new(pages: usize, window: Option<usize>, most: usize) -> Self {
        PagePool { refs: vec![0; pages], free: (0..pages as u32).rev().collect(), window, most }
    }

    /// The caller has made sure that there are `count`.
    fn take(&mut self, count: usize) -> Vec<u32> {
        let taken = self.free.split_off(self.free.len().saturating_sub(count));
        taken.iter().for_each(|page| self.refs[*page as usize] = 1);
        taken
    }

    fn share(&mut self, page: u32) {
        self.refs[page as usize] += 1;
    }

    fn release(&mut self, page: u32) {
        let refs = &mut self.refs[page as usize];
        debug_assert!(*refs > 0, "page {page} is released twice");
        *refs -= 1;
        if *refs == 0 {
            self.free.push(page);
        }
    }

    fn is_shared(&self, page: u32) -> bool {
        self.refs[page as usize] > 1
    }

    /// For pages `from..` to be written, up to `total` pages.
    fn need(&self, table: &GroupTable, from: usize, total: usize) -> Need {
        let written = from.saturating_sub(table.first).min(table.pages.len());
        let shared = |pages: &[u32]| pages.iter().filter(|page| self.is_shared(**page)).count();
        let (kept, replaced) = (shared(&table.pages[..written]), shared(&table.pages[written..]));
        // Shared pages serve as well, but others may keep them: they do not come round.
        let own = table.pages.len() - kept;
        let wanted = total.saturating_sub(table.first + kept).min(self.most);
        Need { replaced, added: wanted.saturating_sub(own) }
    }
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

/// All pages there are.
#[derive(Debug)]
pub(crate) struct Pages {
    pools: Vec<PagePool>,
    /// Slots that nobody holds; none where sequences need none.
    slots: Option<Vec<u32>>,
    page_tokens: usize,
}

impl Pages {
    /// The pages and slots of a plan for these state groups.
    pub(crate) fn new(plan: &Plan, groups: &[StateGroup]) -> Self {
        let most = |group: &StateGroup| group.window.map_or(usize::MAX, |_| plan.pages_of(group, usize::MAX));
        let pool = |(group, pages): (&StateGroup, &usize)| PagePool::new(*pages, group.window, most(group));
        let slots = (plan.slots > 0).then(|| (0..plan.slots as u32).rev().collect());
        Pages { pools: groups.iter().zip(&plan.pages).map(pool).collect(), page_tokens: plan.page_tokens, slots }
    }

    /// Pages that `tokens` tokens take.
    pub(crate) fn count_for(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.page_tokens)
    }

    /// Whether sequences have states that cannot be cut short.
    pub(crate) fn has_slots(&self) -> bool {
        self.slots.is_some()
    }

    /// Whether a sequence that has no slot could get one, or needs none.
    pub(crate) fn has_room(&self) -> bool {
        self.slots.as_ref().is_none_or(|free| !free.is_empty())
    }

    /// A slot, if there are any and one is free.
    pub(crate) fn take_slot(&mut self) -> Option<u32> {
        self.slots.as_mut()?.pop()
    }

    pub(crate) fn give_slot(&mut self, slot: Option<u32>) {
        if let Some(free) = &mut self.slots {
            free.extend(slot);
        }
    }

    /// Free pages of each group.
    pub(crate) fn free(&self) -> Vec<usize> {
        self.pools.iter().map(|pool| pool.free.len()).collect()
    }

    /// Makes a table ready for places `from..total` to be written: pages are added, as far ahead as there can be need for at once,
    /// and those among the written ones that others hold too are replaced. Nothing changes if there are too few.
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
            if pool.free.len() < needed {
                return Err(EngineError::OutOfPages { needed, free: pool.free.len() });
            }
        }
        let mut copies = Vec::new();
        for (group, (pool, table)) in self.pools.iter_mut().zip(&mut table.0).enumerate() {
            let mut fresh = pool.take(needs[group].replaced + needs[group].added);
            let written = table.pages.iter_mut().skip(first.saturating_sub(table.first));
            for page in written.filter(|page| pool.is_shared(**page)).collect::<Vec<_>>() {
                let Some(to) = fresh.pop() else { break };
                copies.push(PageCopy { group, from: *page, to });
                pool.release(*page);
                *page = to;
            }
            table.pages.append(&mut fresh);
            table.total = total;
        }
        Ok(copies)
    }

    /// How many tokens a table could grow to at most with the pages that are free, if places from `from` on are written.
    pub(crate) fn room(&self, table: &PageTable, from: usize) -> usize {
        let empty = GroupTable::default();
        let pages = |(group, pool): (usize, &PagePool)| {
            let table = table.0.get(group).unwrap_or(&empty);
            let endless = pool.need(table, from / self.page_tokens, usize::MAX);
            if endless.replaced.saturating_add(endless.added) <= pool.free.len() {
                return usize::MAX;
            }
            (table.first + table.pages.len() + pool.free.len()).saturating_sub(endless.replaced)
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
    /// grow and nobody shares them, else back to the pool.
    pub(crate) fn slide(&mut self, table: &mut PageTable, tokens: usize) {
        for (pool, table) in self.pools.iter_mut().zip(&mut table.0) {
            let Some(window) = pool.window else { continue };
            let gone = (tokens.saturating_sub(window) / self.page_tokens).saturating_sub(table.first);
            let gone: Vec<u32> = table.pages.drain(..gone.min(table.pages.len())).collect();
            table.first += gone.len();
            for page in gone {
                if table.first + table.pages.len() < table.total && !pool.is_shared(page) {
                    table.pages.push(page);
                } else {
                    pool.release(page);
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
