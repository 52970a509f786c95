//! Pages: who holds which, with reference counts, so that forks share what they have in common.

use crate::EngineError;

/// The pages of one state group.
#[derive(Debug)]
struct PagePool {
    /// Tables that hold each page.
    refs: Vec<u32>,
    /// Pages that no table holds; the last is given out next.
    free: Vec<u32>,
}

impl PagePool {
    fn new(pages: usize) -> Self {
        PagePool { refs: vec![0; pages], free: (0..pages as u32).rev().collect() }
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
}

/// The pages of one sequence: for each state group, in order of the tokens they hold. It is no `Clone`, since a copy that no
/// count knows of would be released twice; it has to be shrunk to nothing in the end, or its pages are lost.
#[derive(Debug, Default)]
pub(crate) struct PageTable(Vec<Vec<u32>>);

impl PageTable {
    /// For each group the pages that hold the first tokens.
    pub(crate) fn first(&self, pages: usize) -> Vec<Vec<u32>> {
        self.0.iter().map(|table| table[..pages.min(table.len())].to_vec()).collect()
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
    page_tokens: usize,
}

impl Pages {
    /// Pages of `page_tokens` tokens, `counts` of them in each state group.
    pub(crate) fn new(counts: &[usize], page_tokens: usize) -> Self {
        Pages { pools: counts.iter().map(|pages| PagePool::new(*pages)).collect(), page_tokens }
    }

    /// Pages that `tokens` tokens take.
    pub(crate) fn count_for(&self, tokens: usize) -> usize {
        tokens.div_ceil(self.page_tokens)
    }

    /// Free pages of each group.
    pub(crate) fn free(&self) -> Vec<usize> {
        self.pools.iter().map(|pool| pool.free.len()).collect()
    }

    /// Makes a table ready for places `from..total` to be written: pages are added, and those among the written ones that others
    /// hold too are replaced. Nothing changes if there are too few.
    pub(crate) fn grow(
        &mut self,
        table: &mut PageTable,
        from: usize,
        total: usize,
    ) -> Result<Vec<PageCopy>, EngineError> {
        table.0.resize_with(self.pools.len(), Vec::new);
        let needed = self.needed(table, from, total);
        for (pool, needed) in self.pools.iter().zip(&needed) {
            if pool.free.len() < *needed {
                return Err(EngineError::OutOfPages { needed: *needed, free: pool.free.len() });
            }
        }
        let first = from / self.page_tokens;
        let mut copies = Vec::new();
        for (group, (pool, table)) in self.pools.iter_mut().zip(&mut table.0).enumerate() {
            let mut fresh = pool.take(needed[group]);
            for page in table.iter_mut().skip(first).filter(|page| pool.is_shared(**page)).collect::<Vec<_>>() {
                let Some(to) = fresh.pop() else { break };
                copies.push(PageCopy { group, from: *page, to });
                pool.release(*page);
                *page = to;
            }
            table.append(&mut fresh);
        }
        Ok(copies)
    }

    /// How many tokens a table could hold at most with the pages that are free, if places from `from` on are written.
    pub(crate) fn room(&self, table: &PageTable, from: usize) -> usize {
        let replaced = self.needed(table, from, 0);
        let held = |group: usize| table.0.get(group).map_or(0, Vec::len);
        let pages = |group: usize| (held(group) + self.pools[group].free.len()).saturating_sub(replaced[group]);
        (0..self.pools.len()).map(pages).min().map_or(usize::MAX, |pages| pages.saturating_mul(self.page_tokens))
    }

    /// A second table over the same pages.
    pub(crate) fn fork(&mut self, table: &PageTable) -> PageTable {
        for (pool, table) in self.pools.iter_mut().zip(&table.0) {
            table.iter().for_each(|page| pool.share(*page));
        }
        PageTable(table.0.clone())
    }

    /// Gives back all pages behind the first `tokens` tokens.
    pub(crate) fn shrink(&mut self, table: &mut PageTable, tokens: usize) {
        let keep = self.count_for(tokens);
        for (pool, table) in self.pools.iter_mut().zip(&mut table.0) {
            let gone = table.split_off(keep.min(table.len()));
            gone.into_iter().rev().for_each(|page| pool.release(page));
        }
    }

    /// Pages of each group that [`Pages::grow`] has to take.
    fn needed(&self, table: &PageTable, from: usize, total: usize) -> Vec<usize> {
        let (first, most) = (from / self.page_tokens, self.count_for(total));
        let needed = |(group, pool): (usize, &PagePool)| {
            let table = table.0.get(group).map_or(&[][..], Vec::as_slice);
            let shared = table.iter().skip(first).filter(|page| pool.is_shared(**page)).count();
            most.saturating_sub(table.len()) + shared
        };
        self.pools.iter().enumerate().map(needed).collect()
    }
}

#[cfg(test)]
mod tests;
