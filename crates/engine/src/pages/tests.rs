//! Random operations against a model: every page says who holds it, and no count is ever wrong.

use proptest::prelude::*;

use super::*;
use crate::prefix::Scope;

const PAGE: usize = 3;
/// Most rows of a step.
const ROWS: usize = 4;

#[derive(Clone, Debug)]
enum Op {
    New,
    Grow { table: usize, more: usize },
    Rewrite { table: usize, back: usize },
    Fork { table: usize },
    Shrink { table: usize, tokens: usize },
    Run { table: usize, total: usize, rows: usize },
    Drop { table: usize },
}

fn op() -> impl Strategy<Value = Op> {
    let table = 0..6usize;
    prop_oneof![
        1 => Just(Op::New),
        4 => (table.clone(), 0..9usize).prop_map(|(table, more)| Op::Grow { table, more }),
        1 => (table.clone(), 1..4usize).prop_map(|(table, back)| Op::Rewrite { table, back }),
        3 => (table.clone(), 0..30usize, 1..=ROWS).prop_map(|(table, total, rows)| Op::Run { table, total, rows }),
        2 => table.clone().prop_map(|table| Op::Fork { table }),
        2 => (table.clone(), 0..12usize).prop_map(|(table, tokens)| Op::Shrink { table, tokens }),
        1 => table.prop_map(|table| Op::Drop { table }),
    ]
}

/// A table, and the content that its owner believes to have written: one number for each token.
struct Owner {
    table: PageTable,
    content: Vec<u32>,
}

/// Pages with their content: `[group][page][token]`.
struct World {
    pages: Pages,
    memory: Vec<Vec<[u32; PAGE]>>,
    owners: Vec<Owner>,
    written: u32,
}

impl World {
    fn new(counts: &[usize], window: usize) -> Self {
        World {
            pages: pages(counts, window),
            memory: counts.iter().map(|n| vec![[0; PAGE]; *n]).collect(),
            owners: Vec::new(),
            written: 0,
        }
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::New => self.owners.push(Owner { table: PageTable::default(), content: Vec::new() }),
            Op::Grow { table, more } => self.write(table, 0, more, ROWS),
            Op::Rewrite { table, back } => self.write(table, back, back, ROWS),
            Op::Run { table, total, rows } => self.write(table, 0, total, rows),
            Op::Fork { table } => {
                let Some(owner) = self.owners.get(table) else { return };
                let fork = Owner { table: self.pages.fork(&owner.table), content: owner.content.clone() };
                self.owners.push(fork);
            }
            Op::Shrink { table, tokens } => {
                let Some(owner) = self.owners.get_mut(table) else { return };
                owner.content.truncate(tokens);
                if !self.pages.reaches(&owner.table, owner.content.len()) {
                    owner.content.clear();
                }
                self.pages.shrink(&mut owner.table, owner.content.len());
            }
            Op::Drop { table } if table < self.owners.len() => {
                let mut owner = self.owners.swap_remove(table);
                self.pages.shrink(&mut owner.table, 0);
            }
            Op::Drop { .. } => {}
        }
    }

    /// Goes `back` tokens back and writes `count` from there, in steps of `rows`.
    fn write(&mut self, table: usize, back: usize, count: usize, rows: usize) {
        let Some(owner) = self.owners.get_mut(table) else { return };
        let from = owner.content.len().saturating_sub(back);
        if !self.pages.reaches(&owner.table, from) {
            return;
        }
        let (total, room) = (from + count, self.pages.room(&owner.table, from));
        let grown = self.pages.grow(&mut owner.table, from, total.max(owner.content.len()));
        assert_eq!(grown.is_ok(), total.max(owner.content.len()) <= room, "room says {room}, wanted {total}");
        let Ok(copies) = grown else { return };
        for copy in copies {
            self.memory[copy.group][copy.to as usize] = self.memory[copy.group][copy.from as usize];
        }
        owner.content.truncate(from);
        while owner.content.len() < total {
            let places = owner.content.len()..total.min(owner.content.len() + rows);
            for place in places {
                self.written += 1;
                owner.content.push(self.written);
                for (memory, table) in self.memory.iter_mut().zip(owner.table.first(usize::MAX)) {
                    memory[table.page(place / PAGE) as usize][place % PAGE] = self.written;
                }
            }
            self.pages.slide(&mut owner.table, owner.content.len());
        }
        self.pages.shrink(&mut owner.table, total);
    }

    fn check(&self) {
        for (group, pool) in self.pages.pools.iter().enumerate() {
            let mut refs = vec![0; pool.refs.len()];
            for owner in &self.owners {
                let pages = owner.table.0.get(group).into_iter().flat_map(|table| &table.pages);
                pages.for_each(|page| refs[*page as usize] += 1);
            }
            assert_eq!(refs, pool.refs, "counts of group {group}");
            let mut free = pool.free.clone();
            free.sort_unstable();
            let unheld: Vec<u32> = (0..refs.len() as u32).filter(|page| refs[*page as usize] == 0).collect();
            assert_eq!(free, unheld, "free pages of group {group}");
        }
        for owner in &self.owners {
            for ((memory, table), pool) in self.memory.iter().zip(&owner.table.first(usize::MAX)).zip(&self.pages.pools)
            {
                let tokens = owner.content.len();
                let seen = pool.window.map_or(0, |window| tokens.saturating_sub(window));
                let read: Vec<u32> =
                    (seen..tokens).map(|place| memory[table.page(place / PAGE) as usize][place % PAGE]).collect();
                assert_eq!(read, owner.content[seen..], "somebody wrote into another's page");
                assert!(table.pages.len() <= pool.most, "more pages than a sequence can need");
            }
        }
    }
}

/// Pools of these sizes; those after the first have a window.
fn pages(counts: &[usize], window: usize) -> Pages {
    let plan = Plan {
        rows: ROWS,
        wanted: 1,
        seqs: 1,
        context: 99,
        page_tokens: PAGE,
        pages: counts.to_vec(),
        slots: 0,
        deterministic: false,
        rounding: ffai_program::Rounding::Exact,
    };
    let group = |i: usize| StateGroup {
        kv_heads: 1,
        dim: 1,
        values: ffai_program::Values::Own,
        window: (i > 0).then_some(window),
        layers: 1,
    };
    Pages::new(&plan, &(0..counts.len()).map(group).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn no_page_is_lost_or_given_twice_or_written_by_a_stranger(
        counts in prop::collection::vec(1..14usize, 1..4),
        window in 1..9usize,
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let mut world = World::new(&counts, window);
        for op in &ops {
            world.run(op);
            world.check();
        }
        while !world.owners.is_empty() {
            world.run(&Op::Drop { table: 0 });
        }
        prop_assert_eq!(world.pages.free(), counts);
    }
}

#[test]
fn only_the_first_of_two_forks_copies_the_page_they_share() {
    let mut pages = pages(&[4], 1);
    let mut one = PageTable::default();
    assert_eq!(pages.grow(&mut one, 0, 4), Ok(vec![]));
    let mut two = pages.fork(&one);
    let copies = pages.grow(&mut two, 4, 5).expect("two pages are free");
    assert_eq!(copies.len(), 1);
    assert_eq!(pages.grow(&mut one, 4, 5), Ok(vec![]));
    assert_eq!(pages.free(), [1]);
}

#[test]
fn too_few_pages_are_an_error_that_changes_nothing() {
    let mut pages = pages(&[4, 2], 90);
    let mut table = PageTable::default();
    assert_eq!(pages.grow(&mut table, 0, 7), Err(EngineError::OutOfPages { needed: 3, free: 2 }));
    assert_eq!(pages.free(), [4, 2]);
}

#[test]
fn a_long_sequence_needs_no_more_pages_than_its_window_and_a_step() {
    // Four rows and the six tokens before them lie in at most four pages of three.
    let mut pages = pages(&[40, 4], 6);
    let mut table = PageTable::default();
    assert_eq!(pages.room(&table, 0), 120);
    assert_eq!(pages.grow(&mut table, 0, 120), Ok(vec![]));
    for tokens in (4..=120).step_by(4) {
        pages.slide(&mut table, tokens);
        assert!(pages.reaches(&table, tokens) && !pages.reaches(&table, tokens.saturating_sub(3)) || tokens < 12);
    }
    pages.shrink(&mut table, 120);
    assert_eq!(pages.free(), [0, 2]);
}

#[test]
fn a_fork_keeps_what_its_origin_leaves_behind() {
    let mut pages = pages(&[40, 9], 6);
    let mut one = PageTable::default();
    assert_eq!(pages.grow(&mut one, 0, 6), Ok(vec![]));
    let mut two = pages.fork(&one);
    let copies = pages.grow(&mut one, 6, 30).expect("four pages are free");
    assert_eq!(copies.len(), 2, "what comes round is nobody else's");
    assert_eq!(pages.free()[1], 3, "four of its own, two of the other");
    for tokens in [10, 14, 18, 22, 26, 30] {
        pages.slide(&mut one, tokens);
    }
    assert!(pages.reaches(&two, 6), "they are still there for the other");
    pages.shrink(&mut one, 0);
    assert_eq!(pages.free(), [38, 7]);
    pages.shrink(&mut two, 0);
    assert_eq!(pages.free(), [40, 9]);
}

const EVERYONE: Scope = Scope { class: 0, common: true, session: None };

/// A table that has run `tokens`, and made its whole blocks known.
fn ran(pages: &mut Pages, tokens: &[u32]) -> PageTable {
    let mut table = PageTable::default();
    pages.grow(&mut table, 0, tokens.len()).expect("pages are free");
    pages.know(&EVERYONE, &tokens[..tokens.len() / PAGE * PAGE], &table, tokens.len());
    table
}

#[test]
fn pages_that_nobody_holds_are_found_until_somebody_takes_them() {
    let mut pages = pages(&[4], 1);
    let tokens = [1, 2, 3, 4, 5, 6, 7];
    let mut first = ran(&mut pages, &tokens);
    pages.shrink(&mut first, 0);
    assert_eq!(pages.free(), [4], "what only the index knows is free");
    let found = pages.find(&EVERYONE, &tokens, 6);
    assert_eq!(found.tokens, 6);
    let mut second = pages.adopt(&found);
    assert_eq!(pages.free(), [2]);
    pages.shrink(&mut second, 0);
    let mut third = PageTable::default();
    pages.grow(&mut third, 0, 9).expect("three pages are free");
    assert_eq!(pages.find(&EVERYONE, &tokens, 6).tokens, 3, "the end of a prefix goes before its beginning");
}

#[test]
fn a_prefix_is_found_under_its_own_length_class_only() {
    let mut pages = pages(&[4], 1);
    ran(&mut pages, &[1, 2, 3]);
    let other = Scope { class: 9, ..EVERYONE };
    assert_eq!(pages.find(&other, &[1, 2, 3, 4], 3).tokens, 0);
    assert_eq!(pages.find(&EVERYONE, &[1, 2, 3, 4], 3).tokens, 3);
}

#[test]
fn part_of_a_page_is_found_and_copied_before_it_is_written() {
    let mut pages = pages(&[6], 1);
    let mut first = ran(&mut pages, &[1, 2, 3, 4, 5, 6]);
    let found = pages.find(&EVERYONE, &[1, 2, 3, 4, 5, 9, 9], 6);
    assert_eq!(found.tokens, 5);
    let mut second = pages.adopt(&found);
    let copies = pages.grow(&mut second, 5, 7).expect("pages are free");
    assert_eq!(copies.len(), 1, "others hold it");
    pages.shrink(&mut first, 0);
    pages.shrink(&mut second, 0);
    let mut third = pages.adopt(&pages.find(&EVERYONE, &[1, 2, 3, 4, 5, 9, 9], 6));
    let copies = pages.grow(&mut third, 5, 7).expect("pages are free");
    assert_eq!(copies.len(), 1, "nobody holds it, but the index knows it");
    pages.shrink(&mut third, 0);
    assert_eq!((pages.find(&EVERYONE, &[1, 2, 3, 4, 5, 6, 7], 6).tokens, pages.free()), (6, vec![6]));
}

#[test]
fn where_pages_are_few_the_index_forgets_instead_of_copying() {
    let mut pages = pages(&[2], 1);
    let mut first = ran(&mut pages, &[1, 2, 3, 4, 5, 6]);
    assert_eq!(pages.grow(&mut first, 4, 6), Ok(vec![]), "no page is free for a copy");
    assert_eq!(pages.find(&EVERYONE, &[1, 2, 3, 4, 5, 6], 5).tokens, 3);
}

#[test]
fn a_window_is_found_only_where_all_its_pages_are() {
    // The second group keeps four tokens, which lie in two or three pages.
    let mut pages = pages(&[9, 4], 4);
    let tokens: Vec<u32> = (0..15).collect();
    let mut table = PageTable::default();
    pages.grow(&mut table, 0, 15).expect("pages are free");
    for end in [3, 6, 9, 12, 15] {
        pages.know(&EVERYONE, &tokens[..end], &table, end);
        pages.slide(&mut table, end);
    }
    pages.shrink(&mut table, 0);
    let ends = |pages: &Pages| (1..15).map(|end| pages.find(&EVERYONE, &tokens[..end], end).tokens).max();
    assert_eq!(ends(&pages), Some(14));
    assert_eq!(pages.find(&EVERYONE, &tokens[..9], 9).tokens, 9, "tokens from 5 on lie in pages that are still there");
    assert_eq!(pages.find(&EVERYONE, &tokens[..6], 6).tokens, 0, "the first page went round");
    assert_eq!(pages.free(), [9, 4]);
    let found = pages.find(&EVERYONE, &tokens, 14);
    let mut one = pages.adopt(&found);
    let mut two = pages.adopt(&found);
    let copies = pages.grow(&mut two, 14, 15).expect("two pages are free");
    let copied = copies.iter().filter(|copy| copy.group == 1).count();
    assert_eq!(copied, 2, "what comes round is not shared");
    pages.shrink(&mut one, 0);
    pages.shrink(&mut two, 0);
    assert_eq!(pages.free(), [9, 4]);
}
