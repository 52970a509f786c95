//! The pages of one state group: how many tables hold each, which of them the prefix index knows, and which can be taken.

use std::collections::BTreeMap;

use super::{GroupTable, Need};
use crate::prefix::NodeId;

/// The pages of one state group.
#[derive(Debug)]
pub(super) struct PagePool {
    /// Tables that hold each page.
    pub(super) refs: Vec<u32>,
    /// The node of the index that knows each page.
    pub(super) nodes: Vec<Option<NodeId>>,
    /// Pages that neither a table nor the index holds; the last is given out next.
    pub(super) free: Vec<u32>,
    /// Pages that only the index knows, by when the last table let go of them.
    idle: BTreeMap<u64, u32>,
    /// When each page became idle.
    since: Vec<u64>,
    clock: u64,
    /// Tokens before a sequence's next that have to stay: the window. One more than the next row sees, so that the last one can
    /// be run again. None keeps all.
    pub(super) window: Option<usize>,
    /// Most pages that a sequence needs at once.
    pub(super) most: usize,
}

impl PagePool {
    pub(super) fn new(pages: usize, window: Option<usize>, most: usize) -> Self {
        PagePool {
            refs: vec![0; pages],
            nodes: vec![None; pages],
            free: (0..pages as u32).rev().collect(),
            idle: BTreeMap::new(),
            since: vec![0; pages],
            clock: 0,
            window,
            most,
        }
    }

    /// Pages that could be taken, those that only the index knows among them.
    pub(super) fn available(&self) -> usize {
        self.free.len() + self.idle.len()
    }

    /// A page that nobody knows.
    pub(super) fn take(&mut self) -> Option<u32> {
        let page = self.free.pop()?;
        self.refs[page as usize] = 1;
        Some(page)
    }

    /// The node of the page that has been idle longest.
    pub(super) fn oldest(&self) -> Option<NodeId> {
        self.idle.first_key_value().and_then(|(_, page)| self.nodes[*page as usize])
    }

    pub(super) fn share(&mut self, page: u32) {
        let at = page as usize;
        if self.refs[at] == 0 {
            self.idle.remove(&self.since[at]);
        }
        self.refs[at] += 1;
    }

    pub(super) fn release(&mut self, page: u32) {
        let at = page as usize;
        debug_assert!(self.refs[at] > 0, "page {page} is released twice");
        self.refs[at] -= 1;
        if self.refs[at] > 0 {
            return;
        }
        match self.nodes[at] {
            None => self.free.push(page),
            Some(_) => {
                self.clock += 1;
                self.since[at] = self.clock;
                self.idle.insert(self.clock, page);
            }
        }
    }

    /// The index knows a page from now on.
    pub(super) fn know(&mut self, page: u32, node: NodeId) {
        self.nodes[page as usize] = Some(node);
    }

    /// The index has let go of a page.
    pub(super) fn forget(&mut self, page: u32) {
        let at = page as usize;
        if self.nodes[at].take().is_some() && self.refs[at] == 0 {
            self.idle.remove(&self.since[at]);
            self.free.push(page);
        }
    }

    pub(super) fn is_shared(&self, page: u32) -> bool {
        self.refs[page as usize] > 1
    }

    pub(super) fn node(&self, page: u32) -> Option<NodeId> {
        self.nodes[page as usize]
    }

    /// For pages `from..` to be written, up to `total` pages.
    pub(super) fn need(&self, table: &GroupTable, from: usize, total: usize) -> Need {
        // With a window all pages are written in time: they come round.
        let from = if self.window.is_some() { 0 } else { from.saturating_sub(table.first) };
        let replaced = table.pages.iter().skip(from).filter(|page| self.is_shared(**page)).count();
        let wanted = total.saturating_sub(table.first).min(self.most);
        Need { replaced, added: wanted.saturating_sub(table.pages.len()) }
    }
}
