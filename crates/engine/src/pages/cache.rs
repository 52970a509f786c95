//! Prefixes that are found again: pages and snapshots that the index knows, taken over, kept, and given up where others need them.

use super::{GroupTable, PageTable, Pages};
use crate::prefix::{Node, NodeId, Owner, Scope};

/// What is known of the beginning of a sequence.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// Tokens that need not be run.
    pub(crate) tokens: usize,
    /// The nodes of their blocks, the last perhaps only in part.
    nodes: Vec<NodeId>,
    /// Tokens of it that are everyone's.
    pub(crate) common: usize,
    /// The state behind them, for sequences with slots.
    pub(crate) snapshot: Option<u32>,
    /// How far the index knows the tokens, whether or not their state is still there.
    pub(crate) known: usize,
}

impl Scope {
    /// Whose states a sequence may go on from, its own first.
    fn owners(&self) -> Vec<Owner> {
        let everyone = self.common.then_some(Owner::Everyone);
        self.session.map(Owner::Session).into_iter().chain(everyone).collect()
    }

    /// Whose a block is that ends at `end`, of a sequence whose first `exact` tokens were computed as everyone would.
    fn owner(&self, end: usize, exact: usize) -> Option<Owner> {
        if self.common && end <= exact { Some(Owner::Everyone) } else { self.session.map(Owner::Session) }
    }
}

impl Pages {
    /// The longest beginning of `tokens`, of at most `most` tokens, whose state is there.
    pub(crate) fn find(&self, scope: &Scope, tokens: &[u32], most: usize) -> Found {
        let owners = scope.owners();
        // What is a session's own may hide what everyone has, and the other way round.
        let mixed = self.find_among(scope.class, &owners, tokens, most);
        if owners.len() < 2 {
            return mixed;
        }
        let common = self.find_among(scope.class, &owners[1..], tokens, most);
        let known = mixed.known.max(common.known);
        Found { known, ..if common.tokens > mixed.tokens { common } else { mixed } }
    }

    fn find_among(&self, class: usize, owners: &[Owner], tokens: &[u32], most: usize) -> Found {
        let path = self.index.path(class, owners, tokens);
        let rest = &tokens[path.len() * self.page_tokens..];
        let nearest = self.index.nearest(class, &path, rest);
        let known = path.len() * self.page_tokens + nearest.map_or(0, |(_, tokens)| tokens);
        let found = if self.slots.exist() {
            self.find_snapshot(class, owners, tokens, most, &path)
        } else {
            self.find_pages(path, nearest, most)
        };
        Found { known, ..found.unwrap_or_default() }
    }

    /// Without slots: as many tokens as there are pages of.
    fn find_pages(&self, mut path: Vec<NodeId>, nearest: Option<(NodeId, usize)>, most: usize) -> Option<Found> {
        let block = self.page_tokens;
        // A page that is written on is copied, which has to be worth it.
        let worthy = nearest.filter(|(_, tokens)| *tokens >= block.div_ceil(4));
        if let Some((node, tokens)) = worthy
            && let Some(found) = self.covered(&[&path[..], &[node]].concat(), (path.len() * block + tokens).min(most))
        {
            return Some(found);
        }
        while !path.is_empty() {
            if let Some(found) = self.covered(&path, (path.len() * block).min(most)) {
                return Some(found);
            }
            path.pop();
        }
        None
    }

    /// With slots: the last snapshot on the way.
    fn find_snapshot(
        &self,
        class: usize,
        owners: &[Owner],
        tokens: &[u32],
        most: usize,
        path: &[NodeId],
    ) -> Option<Found> {
        (0..=path.len()).rev().find_map(|depth| {
            let (path, begin) = (&path[..depth], depth * self.page_tokens);
            let end = tokens.len().min(begin + self.page_tokens).min(most);
            let tail = tokens.get(begin..end).and_then(|rest| self.index.tail(class, path, owners, rest));
            let tail = tail.and_then(|(id, len)| self.with_snapshot(&[path, &[id]].concat(), begin + len));
            tail.or_else(|| self.with_snapshot(path, begin).filter(|_| begin <= most))
        })
    }

    fn with_snapshot(&self, nodes: &[NodeId], tokens: usize) -> Option<Found> {
        let snapshot = self.index.get(*nodes.last()?)?.snapshot?;
        self.covered(nodes, tokens).map(|found| Found { snapshot: Some(snapshot), ..found })
    }

    /// The first `tokens` tokens of the blocks of these nodes, if all pages are there that the rows behind them see.
    fn covered(&self, nodes: &[NodeId], tokens: usize) -> Option<Found> {
        let nodes = &nodes[..self.count_for(tokens)];
        if tokens == 0 {
            return None;
        }
        let seen = |id: &NodeId, group: usize| self.index.get(*id).is_some_and(|node| node.pages[group].is_some());
        let all = |group: usize| nodes[self.first_page(group, tokens)..].iter().all(|id| seen(id, group));
        if !(0..self.pools.len()).all(all) {
            return None;
        }
        let common = |id: &&NodeId| self.index.get(**id).is_some_and(Node::is_common);
        let common = nodes.iter().take_while(common).count() * self.page_tokens;
        Some(Found { tokens, nodes: nodes.to_vec(), common: common.min(tokens), ..Found::default() })
    }

    /// The first page of a group that rows behind `tokens` tokens see.
    fn first_page(&self, group: usize, tokens: usize) -> usize {
        self.pools[group].window.map_or(0, |window| tokens.saturating_sub(window) / self.page_tokens)
    }

    /// A table over the pages that were found; they are shared from now on.
    pub(crate) fn adopt(&mut self, found: &Found) -> PageTable {
        let table = |group: usize| {
            let first = self.first_page(group, found.tokens);
            let pages = found.nodes[first..].iter().filter_map(|id| self.index.get(*id)?.pages[group]);
            GroupTable { first, pages: pages.collect(), total: found.nodes.len() }
        };
        let tables: Vec<_> = (0..self.pools.len()).map(table).collect();
        for (pool, table) in self.pools.iter_mut().zip(&tables) {
            table.pages.iter().for_each(|page| pool.share(*page));
        }
        PageTable(tables)
    }

    /// Makes known the pages of `tokens`, all of which a sequence has run, the first `exact` of them as everyone would; gives the node of the
    /// last. None where nobody may know them, or a page of theirs is known under another name.
    pub(crate) fn know(&mut self, scope: &Scope, tokens: &[u32], table: &PageTable, exact: usize) -> Option<NodeId> {
        let mut path = Vec::new();
        for (number, block) in tokens.chunks(self.page_tokens).enumerate() {
            let end = number * self.page_tokens + block.len();
            let known = scope.owner(end, exact).and_then(|owner| {
                let id = self.index.enter(scope.class, &path, owner, block, self.pools.len());
                self.equip(id, table, number).then_some(id)
            });
            let Some(id) = known else {
                path.last().into_iter().for_each(|last| self.index.prune(*last));
                return None;
            };
            path.push(id);
        }
        path.last().copied()
    }

    /// Gives a node the pages that it lacks, as far as the table has them. False, and the node is gone, if one is missing that it must have.
    fn equip(&mut self, id: NodeId, table: &PageTable, number: usize) -> bool {
        let Some(node) = self.index.get_mut(id) else { return false };
        for (group, (pool, held)) in
            self.pools.iter_mut().zip(&mut node.pages).enumerate().filter(|(_, (_, held))| held.is_none())
        {
            let page = table.0.get(group).and_then(|t| t.pages.get(number.checked_sub(t.first)?).copied());
            // A page has one name.
            *held = page.filter(|page| pool.node(*page).is_none());
            held.iter().for_each(|page| pool.know(*page, id));
        }
        let whole = self.pools.iter().zip(&node.pages).all(|(pool, page)| page.is_some() || pool.window.is_some());
        if !whole {
            self.remove(id);
        }
        whole
    }

    /// Keeps a slot as the state behind a node; false if the node has one, which is then as good as new.
    pub(crate) fn keep(&mut self, slot: u32, id: NodeId) -> bool {
        let Some(node) = self.index.get_mut(id) else { return false };
        if let Some(kept) = node.snapshot {
            self.slots.pin(kept);
            self.slots.unpin(kept);
            return false;
        }
        node.snapshot = Some(slot);
        self.slots.keep(slot, id);
        true
    }

    /// A slot to write, if there is one.
    pub(crate) fn take_slot(&mut self) -> Option<u32> {
        let (slot, lost) = self.slots.take()?;
        self.without_snapshot(lost);
        Some(slot)
    }

    /// Makes a snapshot that only the caller is about to read the caller's own slot.
    pub(crate) fn consume_slot(&mut self, slot: u32) {
        let lost = self.slots.consume(slot);
        self.without_snapshot(lost);
    }

    fn without_snapshot(&mut self, lost: Option<NodeId>) {
        if let Some(id) = lost {
            self.index.get_mut(id).into_iter().for_each(|node| node.snapshot = None);
            self.index.prune(id);
        }
    }

    /// A page, if there is one: one that nobody knows, or the one that was let go of longest ago.
    pub(super) fn take(&mut self, group: usize) -> Option<u32> {
        if self.pools[group].free.is_empty() {
            let node = self.pools[group].oldest()?;
            self.lose(node, group);
        }
        self.pools[group].take()
    }

    /// Forgets a page that a node knows. What comes behind cannot be reached without the pages of a group that keeps all.
    pub(super) fn lose(&mut self, id: NodeId, group: usize) {
        if self.pools[group].window.is_none() {
            return self.remove(id);
        }
        if let Some(page) = self.index.get_mut(id).and_then(|node| node.pages[group].take()) {
            self.pools[group].forget(page);
        }
        self.index.prune(id);
    }

    /// Forgets a node and all behind it.
    fn remove(&mut self, id: NodeId) {
        let parent = self.index.get(id).and_then(Node::parent);
        for node in self.index.remove(id) {
            for (pool, page) in self.pools.iter_mut().zip(&node.pages) {
                page.iter().for_each(|page| pool.forget(*page));
            }
            node.snapshot.into_iter().for_each(|slot| self.slots.lose(slot));
        }
        parent.into_iter().for_each(|parent| self.index.prune(parent));
    }

    /// Forgets what is a session's own.
    pub(crate) fn forget_session(&mut self, session: u64) {
        self.index.of_session(session).into_iter().for_each(|id| self.remove(id));
    }

    /// Forgets everything.
    pub(crate) fn forget(&mut self) {
        self.index.all().into_iter().for_each(|id| self.remove(id));
    }
}
