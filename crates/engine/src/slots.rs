//! Slots: who works in which, and which hold states that are kept.
//!
//! A slot is written by one sequence, or it is a snapshot: then nobody writes it, any number of sequences may go on from it, and it is
//! given up for somebody who needs a slot, the one that was used longest ago first.

use std::collections::BTreeMap;

use crate::prefix::NodeId;

/// What a slot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Free,
    /// A sequence's that writes it.
    Work,
    /// A snapshot.
    Kept {
        /// Where the index has it; none once the index has let go.
        node: Option<NodeId>,
        /// When it was used last.
        used: u64,
        /// Sequences whose next step reads it.
        pins: u32,
    },
}

/// The slots of a plan; none where sequences need none.
#[derive(Debug)]
pub(crate) struct Slots {
    uses: Vec<Use>,
    free: Vec<u32>,
    /// Snapshots that nobody is about to read, by when they were used last.
    idle: BTreeMap<u64, u32>,
    clock: u64,
}

impl Slots {
    pub(crate) fn new(slots: usize) -> Self {
        let free = (0..slots as u32).rev().collect();
        Slots { uses: vec![Use::Free; slots], free, idle: BTreeMap::new(), clock: 0 }
    }

    /// Whether there are any.
    pub(crate) fn exist(&self) -> bool {
        !self.uses.is_empty()
    }

    /// Slots that could be taken now, idle snapshots among them.
    pub(crate) fn available(&self) -> usize {
        self.free.len() + self.idle.len()
    }

    /// A slot to write: a free one, or the oldest snapshot. Gives the node that has lost its snapshot.
    pub(crate) fn take(&mut self) -> Option<(u32, Option<NodeId>)> {
        let (slot, lost) = match self.free.pop() {
            Some(slot) => (slot, None),
            None => {
                let (_, slot) = self.idle.pop_first()?;
                let Use::Kept { node, .. } = self.uses[slot as usize] else { return None };
                (slot, node)
            }
        };
        self.uses[slot as usize] = Use::Work;
        Some((slot, lost))
    }

    /// Gives back a slot that a sequence wrote.
    pub(crate) fn give(&mut self, slot: u32) {
        debug_assert_eq!(self.uses[slot as usize], Use::Work, "slot {slot} is given back twice");
        self.uses[slot as usize] = Use::Free;
        self.free.push(slot);
    }

    /// What a sequence wrote becomes a snapshot.
    pub(crate) fn keep(&mut self, slot: u32, node: NodeId) {
        debug_assert_eq!(self.uses[slot as usize], Use::Work, "slot {slot} is nobody's");
        self.clock += 1;
        self.uses[slot as usize] = Use::Kept { node: Some(node), used: self.clock, pins: 0 };
        self.idle.insert(self.clock, slot);
    }

    /// Keeps a snapshot until it is unpinned: a step is about to read it.
    pub(crate) fn pin(&mut self, slot: u32) {
        self.clock += 1;
        if let Use::Kept { used, pins, .. } = &mut self.uses[slot as usize] {
            self.idle.remove(used);
            (*used, *pins) = (self.clock, *pins + 1);
        }
    }

    /// The step has read it, or will not.
    pub(crate) fn unpin(&mut self, slot: u32) {
        let Use::Kept { node, used, pins } = &mut self.uses[slot as usize] else { return };
        *pins = pins.saturating_sub(1);
        match (*pins, *node) {
            (0, Some(_)) => drop(self.idle.insert(*used, slot)),
            (0, None) => {
                self.uses[slot as usize] = Use::Free;
                self.free.push(slot);
            }
            _ => {}
        }
    }

    /// Whether only one step is about to read a snapshot.
    pub(crate) fn is_pinned_once(&self, slot: u32) -> bool {
        matches!(self.uses[slot as usize], Use::Kept { pins: 1, .. })
    }

    /// Makes a snapshot that the caller has pinned, and nobody else, the caller's own slot. Gives the node that has lost it.
    pub(crate) fn consume(&mut self, slot: u32) -> Option<NodeId> {
        debug_assert!(self.is_pinned_once(slot), "somebody else is about to read slot {slot}");
        match std::mem::replace(&mut self.uses[slot as usize], Use::Work) {
            Use::Kept { node, .. } => node,
            Use::Free | Use::Work => None,
        }
    }

    /// The index has let go of a snapshot.
    pub(crate) fn lose(&mut self, slot: u32) {
        let Use::Kept { node, used, pins } = &mut self.uses[slot as usize] else { return };
        *node = None;
        if *pins == 0 {
            self.idle.remove(used);
            self.uses[slot as usize] = Use::Free;
            self.free.push(slot);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u64) -> NodeId {
        crate::prefix::node(n)
    }

    #[test]
    fn the_snapshot_used_longest_ago_goes_first() {
        let mut slots = Slots::new(3);
        let taken: Vec<u32> = (0..3).filter_map(|_| slots.take()).map(|(slot, _)| slot).collect();
        (0..3).for_each(|i| slots.keep(taken[i], node(i as u64)));
        slots.pin(taken[0]);
        slots.unpin(taken[0]);
        let order: Vec<_> = (0..3).filter_map(|_| slots.take()).collect();
        assert_eq!(order, [1, 2, 0].map(|i| (taken[i], Some(node(i as u64)))));
        assert_eq!(slots.take(), None);
    }

    #[test]
    fn what_is_about_to_be_read_is_not_given_away() {
        let mut slots = Slots::new(1);
        let (slot, _) = slots.take().expect("it is free");
        slots.keep(slot, node(1));
        slots.pin(slot);
        slots.pin(slot);
        assert!(slots.take().is_none() && !slots.is_pinned_once(slot), "two are about to read it");
        slots.unpin(slot);
        assert_eq!(slots.consume(slot), Some(node(1)));
        slots.give(slot);
        assert_eq!(slots.available(), 1);
    }

    #[test]
    fn a_snapshot_that_the_index_forgets_is_free_when_it_has_been_read() {
        let mut slots = Slots::new(1);
        let (slot, _) = slots.take().expect("it is free");
        slots.keep(slot, node(1));
        slots.pin(slot);
        slots.lose(slot);
        assert_eq!(slots.available(), 0);
        slots.unpin(slot);
        assert_eq!(slots.available(), 1);
    }
}
