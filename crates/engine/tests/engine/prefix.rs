//! Prefixes that are found again: what is taken over, what is kept, and that nothing shows but the time it saves.

use proptest::prelude::*;

use ffai_engine::{Engine, EngineOptions, Event, LogitRows, Request, RequestId, SessionId, Usage};
use ffai_program::{Plan, Program, SlotUse};

use crate::fake::{self, FAILS, Log, SHORT, alone, generated, greedy, plan, run};

const LAST: LogitRows = LogitRows::Last;

fn options() -> EngineOptions {
    EngineOptions { snapshot_every: 16, ..EngineOptions::default() }
}

/// Two state groups, no slots, one length class.
fn attention() -> Engine {
    let program = Program { ropes: Vec::new(), ..fake::program() };
    fake::with(&program, &plan(), options()).0
}

/// A state group and slots, one length class.
fn recurrent() -> Program {
    Program { ropes: Vec::new(), ..fake::shaped(&[None], true) }
}

/// Prompts are cut at multiples of four.
fn hybrid(snapshots: usize) -> (Engine, Log) {
    let plan = Plan { seqs: 3, pages: vec![60], slots: 4 + snapshots, ..plan() };
    fake::with(&recurrent(), &plan, options())
}

/// Runs a request alone; gives its new tokens, and what it says of the prompt.
fn ask(engine: &mut Engine, request: Request) -> (Vec<u32>, Usage) {
    let id = engine.submit(request).expect("fits");
    let events = run(engine);
    (generated(&events, id), usage(&events, id))
}

fn usage(events: &[(RequestId, Event)], id: RequestId) -> Usage {
    let of = |event: &Event| match event {
        Event::Prefilled { usage } => Some(*usage),
        _ => None,
    };
    events.iter().filter(|(of, _)| *of == id).find_map(|(_, event)| of(event)).expect("the prompt was read")
}

fn cached(engine: &mut Engine, tokens: &[u32]) -> usize {
    let request = greedy(tokens, 2);
    let (got, usage) = ask(engine, request.clone());
    assert_eq!(got, alone(&[], &request, 2), "what was found is right");
    usage.cached_tokens
}

fn on(session: SessionId, tokens: &[u32]) -> Request {
    Request { session: Some(session), ..greedy(tokens, 2) }
}

fn numbers(n: u32) -> Vec<u32> {
    (0..n).collect()
}

#[test]
fn a_request_takes_over_what_another_has_computed_of_the_same_tokens() {
    let mut engine = attention();
    assert_eq!(cached(&mut engine, &numbers(20)), 0);
    assert_eq!(cached(&mut engine, &numbers(20)), 19, "one row has to run");
    let other = [&numbers(17)[..], &[50, 51, 52]].concat();
    assert_eq!(cached(&mut engine, &other), 17, "a page is shared in part");
    assert_eq!(engine.free_pages(), plan().pages);
}

#[test]
fn what_was_generated_is_found_as_well() {
    let mut engine = attention();
    let (got, _) = ask(&mut engine, greedy(numbers(6), 20));
    let longer = [&numbers(6)[..], &got, &[9]].concat();
    assert_eq!(cached(&mut engine, &longer), 24, "25 tokens were run; the last of them fill no block");
}

#[test]
fn two_at_once_share_pages_as_soon_as_they_are_full() {
    let mut engine = attention();
    engine.submit(greedy(numbers(20), 15)).expect("fits");
    (0..4).for_each(|_| drop(engine.step()));
    let second = engine.submit(greedy(numbers(20), 2)).expect("fits");
    let events = run(&mut engine);
    assert_eq!(usage(&events, second).cached_tokens, 19);
    assert_eq!(generated(&events, second), alone(&[], &greedy(numbers(20), 2), 2));
}

#[test]
fn another_length_class_finds_nothing() {
    let mut engine = fake::engine(&plan(), 100);
    assert_eq!(cached(&mut engine, &numbers(8)), 0);
    let long = greedy(numbers(8), SHORT);
    assert_eq!(ask(&mut engine, long).1.cached_tokens, 0);
    assert_eq!(cached(&mut engine, &numbers(8)), 7);
}

#[test]
fn without_the_prefix_cache_nothing_is_shared() {
    let options = EngineOptions { prefix_cache: false, ..options() };
    for (program, slots) in [(fake::program(), 0), (fake::shaped(&[None, None], true), 9)] {
        let mut engine = fake::with(&program, &Plan { slots, ..plan() }, options).0;
        assert_eq!(cached(&mut engine, &numbers(30)), 0);
        assert_eq!(cached(&mut engine, &numbers(30)), 0);
        let session = engine.open(None).expect("room");
        assert_eq!(ask(&mut engine, on(session, &numbers(20))).1.cached_tokens, 0);
        assert_eq!(ask(&mut engine, on(session, &[7])).1.cached_tokens, 21, "what is its own it goes on from");
    }
}

#[test]
fn pages_are_given_up_for_whoever_needs_them() {
    let mut engine = fake::with(&fake::program(), &Plan { pages: vec![10, 10], ..plan() }, options()).0;
    assert_eq!(cached(&mut engine, &numbers(20)), 0);
    assert_eq!(cached(&mut engine, &[5; 38]), 0, "all ten pages");
    assert_eq!(cached(&mut engine, &numbers(20)), 0);
    assert_eq!(engine.free_pages(), [10, 10]);
}

#[test]
fn a_step_that_fails_leaves_nothing_to_be_found() {
    let mut engine = attention();
    assert_eq!(cached(&mut engine, &numbers(20)), 0);
    engine.submit(greedy([FAILS], 1)).expect("fits");
    run(&mut engine);
    assert_eq!(cached(&mut engine, &numbers(20)), 0);
}

#[test]
fn a_session_with_slots_goes_on_with_its_state() {
    let (mut engine, _) = hybrid(0);
    let session = engine.open(None).expect("room");
    let (first, usage) = ask(&mut engine, on(session, &numbers(5)));
    assert_eq!((first.len(), usage.cached_tokens), (2, 0));
    let held = engine.tokens(session).expect("idle").to_vec();
    let (second, usage) = ask(&mut engine, on(session, &[9]));
    assert_eq!(second, alone(&held, &greedy([9], 2), 2));
    assert_eq!(usage, Usage { prompt_tokens: 8, cached_tokens: 6, generated_tokens: 0 });
    assert_eq!(engine.free_slots(), 4);
}

#[test]
fn forks_read_one_snapshot_and_write_slots_of_their_own() {
    let (mut engine, log) = hybrid(2);
    let origin = engine.open(None).expect("room");
    ask(&mut engine, on(origin, &numbers(5)));
    let held = engine.tokens(origin).expect("idle").to_vec();
    let fork = engine.fork(origin).expect("idle");
    log.lock().expect("no panic").clear();
    let ids = [origin, fork].map(|session| (session, engine.submit(on(session, &[9])).expect("fits")));
    let events = run(&mut engine);
    for (session, id) in ids {
        assert_eq!(generated(&events, id), alone(&held, &greedy([9], 2), 2));
        assert_eq!(usage(&events, id).cached_tokens, 6);
        assert_eq!(engine.tokens(session).map(<[u32]>::len), Ok(10));
    }
    let steps = log.lock().expect("no panic");
    let uses: Vec<SlotUse> = steps[0].seqs.iter().filter_map(|seq| seq.slot).collect();
    assert_eq!(uses[0].read, uses[1].read, "no copy for the fork");
    assert!(uses[0].write != uses[1].write && uses.iter().all(|slot| slot.read != Some(slot.write)));
}

#[test]
fn a_truncated_session_runs_only_what_is_behind_its_last_snapshot() {
    let (mut engine, _) = hybrid(4);
    let session = engine.open(None).expect("room");
    ask(&mut engine, on(session, &numbers(5)));
    ask(&mut engine, on(session, &numbers(5)));
    let held = engine.tokens(session).expect("idle").to_vec();
    assert_eq!(held.len(), 14);
    engine.truncate(session, 10).expect("it holds more");
    let (got, usage) = ask(&mut engine, on(session, &[40, 41]));
    assert_eq!(got, alone(&held[..10], &greedy([40, 41], 2), 2));
    assert_eq!(usage.cached_tokens, 8, "near the end of the second prompt");
    engine.truncate(session, 7).expect("it holds more");
    assert_eq!(ask(&mut engine, on(session, &[42])).1.cached_tokens, 6, "the end of the first turn");
    engine.truncate(session, 3).expect("it holds more");
    assert_eq!(engine.logits(session, &[7], LAST), Ok(vec![fake::logits(&[0, 1, 2, 7])]));
    engine.close(session).expect("open");
    assert_eq!((engine.free_slots(), engine.free_pages()), (8, vec![60]));
}

#[test]
fn a_prompt_leaves_states_where_the_next_may_want_them() {
    let (mut engine, _) = hybrid(5);
    assert_eq!(cached(&mut engine, &numbers(38)), 0);
    assert_eq!(cached(&mut engine, &numbers(38)), 36, "near the end of the prompt");
    let other = |from: usize| [&numbers(38)[..from], &[50; 12][..38 - from.max(26)]].concat();
    assert_eq!(cached(&mut engine, &other(34)), 32, "every sixteen tokens");
    assert_eq!(cached(&mut engine, &other(29)), 16);
    assert_eq!(cached(&mut engine, &[&numbers(29)[..], &[51; 9]].concat()), 28, "where others have gone another way");
}

#[test]
fn the_oldest_snapshot_makes_room_for_the_next() {
    let (mut engine, _) = hybrid(0);
    assert_eq!(cached(&mut engine, &numbers(38)), 0);
    for other in 40..44 {
        assert_eq!(cached(&mut engine, &[other; 38]), 0);
    }
    assert_eq!(cached(&mut engine, &numbers(38)), 0);
    assert_eq!(engine.free_slots(), 4);
}

#[test]
fn a_snapshot_that_is_about_to_be_read_is_not_given_up() {
    let plan = Plan { seqs: 1, pages: vec![60], slots: 3, ..plan() };
    let mut engine = fake::with(&recurrent(), &plan, options()).0;
    let id = engine.submit(greedy(numbers(38), 2)).expect("fits");
    (0..2).for_each(|_| drop(engine.step()));
    // The state behind sixteen tokens is a snapshot now, and no other slot is free but one.
    for first in [50, 51, 52] {
        let session = engine.open(None).expect("room");
        assert_eq!(engine.logits(session, &[first], LAST), Ok(vec![fake::logits(&[first])]));
    }
    assert_eq!(generated(&run(&mut engine), id), alone(&[], &greedy(numbers(38), 2), 2));
}

#[test]
fn a_cancelled_prompt_leaves_what_was_read_of_it() {
    let (mut engine, _) = hybrid(2);
    let session = engine.open(None).expect("room");
    let id = engine.submit(on(session, &numbers(30))).expect("fits");
    (0..2).for_each(|_| drop(engine.step()));
    assert!(engine.cancel(id));
    assert_eq!(engine.tokens(session), Ok(&[][..]));
    let (got, usage) = ask(&mut engine, on(session, &numbers(30)));
    assert_eq!(got, alone(&[], &greedy(numbers(30), 2), 2));
    assert!(usage.cached_tokens >= 8, "{usage:?}");
    engine.close(session).expect("open");
    assert_eq!(engine.free_slots(), 6);
}

#[test]
fn what_a_session_generated_is_its_own_and_its_forks() {
    let (mut engine, _) = hybrid(3);
    let session = engine.open(None).expect("room");
    ask(&mut engine, on(session, &numbers(6)));
    let held = engine.tokens(session).expect("idle").to_vec();
    let fork = engine.fork(session).expect("idle");
    engine.close(session).expect("open");
    assert_eq!(ask(&mut engine, on(fork, &[9])).1.cached_tokens, 7);
    let other = [&held[..], &[9]].concat();
    assert_eq!(cached(&mut engine, &other), 4, "what was generated others run as part of a prompt");
    engine.close(fork).expect("open");
    assert_eq!(engine.free_slots(), 7);
}

/// Prompts of which many begin alike.
fn prompt() -> impl Strategy<Value = Vec<u32>> {
    (0..2u32, 1..60u32, prop::collection::vec(0..50u32, 0..6)).prop_map(|(first, len, end)| {
        let mut tokens: Vec<u32> = (0..len).map(|i| (first + i) % 50).collect();
        tokens.extend(end);
        tokens
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(100) })]

    /// Where results depend on how a prompt is cut, they still do not depend on what was there, or ran beside it: neither at first nor for
    /// prompts that go on from the answers.
    #[test]
    fn what_is_taken_over_was_cut_at_the_same_places(
        prompts in prop::collection::vec((prompt(), 1..12usize, 0..12usize), 1..12),
        snapshots in 0..6usize,
        every in 1..40usize,
    ) {
        let plan = Plan { rows: 11, seqs: 3, context: 99, pages: vec![200], slots: 4 + snapshots, ..plan() };
        let program = recurrent();
        let engine = |prefix_cache| {
            let options = EngineOptions { prefix_cache, chunk: 100, snapshot_every: every };
            fake::in_blocks(&program, &plan, options, 8)
        };
        let (mut warm, mut prompts) = (engine(true), prompts);
        for _ in 0..2 {
            let mut events = Vec::new();
            let mut ids = Vec::new();
            for (prompt, new, steps) in &prompts {
                ids.push(warm.submit(greedy(prompt.clone(), *new)).expect("fits"));
                (0..*steps).for_each(|_| events.extend(warm.step()));
            }
            events.extend(run(&mut warm));
            for ((prompt, new, _), id) in prompts.iter_mut().zip(ids) {
                let (expected, _) = ask(&mut engine(false), greedy(prompt.clone(), *new));
                prop_assert_eq!(generated(&events, id), &expected[..]);
                prompt.extend(expected);
            }
        }
        prop_assert_eq!(warm.free_slots(), plan.slots);
    }
}
