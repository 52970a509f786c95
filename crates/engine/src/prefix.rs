//! The prefix index: where the state of which tokens is.
//!
//! It is a tree over blocks of tokens, a page's worth each. A node is reached by the tokens themselves, from the first one on, so two
//! prefixes that only look alike cannot be mixed up; a root for each length class keeps keys of different ropes apart. A node knows the pages
//! of its block, one for each state group, and perhaps the slot with the state behind its last token: a snapshot. Behind a node there may be
//! tails, shorter than a block, with a snapshot each.
//!
//! The index holds nothing: pages and slots are free for everyone who needs them, and whoever takes one says so here.

use std::collections::BTreeMap;
use std::ops::Bound;

/// Names a node for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct NodeId(u64);

/// Whose state it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Owner {
    /// Everyone's: a fresh run of the tokens gives the same bits.
    #[default]
    Everyone,
    /// That of a session and its forks.
    Session(u64),
}

/// Where a sequence's prefixes are looked up and kept.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Scope {
    /// What the sequence was admitted with: keys under one class mean nothing under another.
    pub(crate) class: usize,
    /// Whether it shares with everyone.
    pub(crate) common: bool,
    /// The session whose own states it may go on from.
    pub(crate) session: Option<u64>,
}

/// A block, or the tail of one.
#[derive(Debug)]
pub(crate) struct Node {
    parent: Option<NodeId>,
    owner: Owner,
    tokens: Box<[u32]>,
    children: BTreeMap<Owner, BTreeMap<Box<[u32]>, NodeId>>,
    tails: Vec<NodeId>,
    /// For each state group. Groups without a window have theirs; one with a window may have lost it.
    pub(crate) pages: Vec<Option<u32>>,
    /// The slot with the state behind the last token.
    pub(crate) snapshot: Option<u32>,
}

/// The tree.
#[derive(Debug)]
pub(crate) struct Index {
    block: usize,
    nodes: BTreeMap<NodeId, Node>,
    roots: BTreeMap<usize, NodeId>,
    last: u64,
}

impl Node {
    /// Whether it is everyone's.
    pub(crate) fn is_common(&self) -> bool {
        self.owner == Owner::Everyone
    }

    /// The node before it.
    pub(crate) fn parent(&self) -> Option<NodeId> {
        self.parent
    }

    fn is_bare(&self) -> bool {
        let childless = self.children.is_empty() && self.tails.is_empty();
        childless && self.snapshot.is_none() && self.pages.iter().all(Option::is_none)
    }
}

impl Index {
    /// An empty index over blocks of `block` tokens.
    pub(crate) fn new(block: usize) -> Self {
        Index { block, nodes: BTreeMap::new(), roots: BTreeMap::new(), last: 0 }
    }

    pub(crate) fn get(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    pub(crate) fn get_mut(&mut self, id: NodeId) -> Option<&mut Node> {
        self.nodes.get_mut(&id)
    }

    /// The nodes of the longest run of whole blocks that `tokens` begins with; at each step the first of `owners` that has the next.
    pub(crate) fn path(&self, class: usize, owners: &[Owner], tokens: &[u32]) -> Vec<NodeId> {
        let mut path = Vec::new();
        let mut at = self.roots.get(&class).copied();
        for block in tokens.chunks_exact(self.block) {
            at = at.and_then(|id| self.child(id, owners, block));
            let Some(id) = at else { break };
            path.push(id);
        }
        path
    }

    /// The child of everyone's whose block has the most first tokens in common with `rest`, and how many they are.
    pub(crate) fn nearest(&self, class: usize, path: &[NodeId], rest: &[u32]) -> Option<(NodeId, usize)> {
        let children = self.last_of(class, path)?.children.get(&Owner::Everyone)?;
        // In order of tokens, the nearest stands beside where `rest` would.
        let before = children.range::<[u32], _>((Bound::Unbounded, Bound::Included(rest))).next_back();
        let after = children.range::<[u32], _>((Bound::Included(rest), Bound::Unbounded)).next();
        let beside = before.into_iter().chain(after).map(|(tokens, id)| (*id, common(tokens, rest)));
        beside.max_by_key(|(_, tokens)| *tokens).filter(|(_, tokens)| *tokens > 0)
    }

    /// The longest tail behind a path that `rest` begins with.
    pub(crate) fn tail(
        &self,
        class: usize,
        path: &[NodeId],
        owners: &[Owner],
        rest: &[u32],
    ) -> Option<(NodeId, usize)> {
        let tails = self.last_of(class, path)?.tails.iter().filter_map(|id| Some((*id, self.nodes.get(id)?)));
        let fits = |node: &Node| owners.contains(&node.owner) && rest.starts_with(&node.tokens);
        tails.filter(|(_, node)| fits(node)).map(|(id, node)| (id, node.tokens.len())).max_by_key(|(_, len)| *len)
    }

    /// The node of a block behind `path`, or of a tail if `tokens` are fewer; new if there is none.
    pub(crate) fn enter(
        &mut self,
        class: usize,
        path: &[NodeId],
        owner: Owner,
        tokens: &[u32],
        groups: usize,
    ) -> NodeId {
        let parent = match path.last() {
            Some(parent) => *parent,
            None => self.root(class),
        };
        if let Some(id) = self.known(parent, owner, tokens) {
            return id;
        }
        let tokens: Box<[u32]> = tokens.into();
        let id = self.add(Some(parent), owner, tokens.clone(), groups);
        let whole = tokens.len() == self.block;
        if let Some(parent) = self.nodes.get_mut(&parent) {
            match whole {
                true => drop(parent.children.entry(owner).or_default().insert(tokens, id)),
                false => parent.tails.push(id),
            }
        }
        id
    }

    /// Takes a node out with all behind it; gives them back, so that pages and slots can be told.
    pub(crate) fn remove(&mut self, id: NodeId) -> Vec<Node> {
        self.unlink(id);
        let (mut removed, mut left) = (Vec::new(), vec![id]);
        while let Some(id) = left.pop() {
            let Some(node) = self.nodes.remove(&id) else { continue };
            left.extend(node.children.values().flat_map(BTreeMap::values).chain(&node.tails));
            removed.push(node);
        }
        removed
    }

    /// Takes a node out if nothing is left of it, and then those that only led to it.
    pub(crate) fn prune(&mut self, id: NodeId) {
        let mut at = Some(id);
        while let Some((id, node)) = at.and_then(|id| Some((id, self.nodes.get(&id)?))) {
            if !node.is_bare() {
                return;
            }
            at = node.parent;
            self.unlink(id);
            self.nodes.remove(&id);
        }
    }

    /// Where everything of a session begins.
    pub(crate) fn of_session(&self, session: u64) -> Vec<NodeId> {
        let owned = |(_, node): &(&NodeId, &Node)| node.owner == Owner::Session(session);
        self.nodes.iter().filter(owned).map(|(id, _)| *id).collect()
    }

    /// Where everything begins.
    pub(crate) fn all(&self) -> Vec<NodeId> {
        self.roots.values().copied().collect()
    }

    fn child(&self, id: NodeId, owners: &[Owner], block: &[u32]) -> Option<NodeId> {
        let children = &self.nodes.get(&id)?.children;
        owners.iter().find_map(|owner| children.get(owner)?.get(block).copied())
    }

    fn known(&self, parent: NodeId, owner: Owner, tokens: &[u32]) -> Option<NodeId> {
        if tokens.len() == self.block {
            return self.child(parent, &[owner], tokens);
        }
        let same = |id: &&NodeId| self.nodes.get(*id).is_some_and(|n| n.owner == owner && *n.tokens == *tokens);
        self.nodes.get(&parent)?.tails.iter().find(same).copied()
    }

    fn last_of(&self, class: usize, path: &[NodeId]) -> Option<&Node> {
        self.nodes.get(path.last().or_else(|| self.roots.get(&class))?)
    }

    fn root(&mut self, class: usize) -> NodeId {
        match self.roots.get(&class) {
            Some(root) => *root,
            None => {
                let root = self.add(None, Owner::Everyone, Box::default(), 0);
                self.roots.insert(class, root);
                root
            }
        }
    }

    fn add(&mut self, parent: Option<NodeId>, owner: Owner, tokens: Box<[u32]>, groups: usize) -> NodeId {
        self.last += 1;
        let id = NodeId(self.last);
        let pages = vec![None; groups];
        let (children, tails) = (BTreeMap::new(), Vec::new());
        self.nodes.insert(id, Node { parent, owner, tokens, children, tails, pages, snapshot: None });
        id
    }

    fn unlink(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(&id) else { return };
        let (owner, tokens) = (node.owner, node.tokens.clone());
        match node.parent.and_then(|parent| self.nodes.get_mut(&parent)) {
            Some(parent) => {
                parent.tails.retain(|tail| *tail != id);
                if let Some(children) = parent.children.get_mut(&owner) {
                    if children.get(&tokens) == Some(&id) {
                        children.remove(&tokens);
                    }
                    if children.is_empty() {
                        parent.children.remove(&owner);
                    }
                }
            }
            None => self.roots.retain(|_, root| *root != id),
        }
    }
}

fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A name for tests of others.
#[cfg(test)]
pub(crate) fn node(number: u64) -> NodeId {
    NodeId(number)
}

#[cfg(test)]
mod tests;
