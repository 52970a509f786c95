//! Sessions: what they hold after each call, and what they share.

use ffai_engine::{Engine, EngineError, EngineOptions, Event, Finish, LogitRows, Request, Usage};
use ffai_program::{Plan, Sampling};

use crate::fake::{self, BROKEN, FAILS, alone, engine, generated, greedy, plan, run};

const ALL: LogitRows = LogitRows::All;
const LAST: LogitRows = LogitRows::Last;

#[test]
fn logits_do_not_depend_on_how_the_tokens_come() {
    let tokens: Vec<u32> = (1..24).collect();
    let expected: Vec<_> = (1..=tokens.len()).map(|n| fake::logits(&tokens[..n])).collect();
    for cut in 0..tokens.len() {
        let mut engine = engine(&plan(), 100);
        let session = engine.open(None).expect("room");
        let mut logits = engine.logits(session, &tokens[..cut], ALL).expect("a session");
        logits.extend(engine.logits(session, &tokens[cut..], ALL).expect("a session"));
        assert_eq!(logits, expected);
    }
}

#[test]
fn the_last_logits_are_those_behind_everything_held() {
    let mut engine = engine(&plan(), 100);
    let session = engine.open(None).expect("room");
    assert_eq!(engine.logits(session, &[], LAST), Err(EngineError::EmptyPrompt));
    assert_eq!(engine.logits(session, &[], ALL), Ok(vec![]));
    assert_eq!(engine.logits(session, &[1, 2, 3], LAST), Ok(vec![fake::logits(&[1, 2, 3])]));
    assert_eq!(engine.logits(session, &[], LAST), Ok(vec![fake::logits(&[1, 2, 3])]));
    assert_eq!(engine.tokens(session), Ok(&[1, 2, 3][..]));
}

#[test]
fn a_session_goes_on_where_the_generation_ended() {
    let mut engine = engine(&plan(), 100);
    let session = engine.open(None).expect("room");
    let turn = |tokens: &[u32]| Request { session: Some(session), ..greedy(tokens, 3) };
    let first = engine.submit(turn(&[1, 2])).expect("fits");
    let first = generated(&run(&mut engine), first);
    let held = [&[1, 2][..], &first].concat();
    assert_eq!(first, alone(&[], &turn(&[1, 2]), 3));
    assert_eq!(engine.tokens(session), Ok(&held[..]));

    let second = engine.submit(turn(&[9])).expect("fits");
    let events = run(&mut engine);
    assert_eq!(generated(&events, second), alone(&held, &turn(&[9]), 3));
    // Of the five tokens held, the one drawn last was never run.
    let usage = Usage { prompt_tokens: 6, cached_tokens: 4, generated_tokens: 0 };
    assert_eq!(events[0], (second, Event::Prefilled { usage }));
}

#[test]
fn a_session_holds_the_stop_token_and_can_be_continued_without_a_prompt() {
    let mut engine = engine(&plan(), 100);
    let session = engine.open(None).expect("room");
    let free = alone(&[], &greedy([4], 9), 9);
    let request = Request { session: Some(session), stop_ids: vec![free[3]], ..greedy([4], 9) };
    engine.submit(request).expect("fits");
    run(&mut engine);
    let stop = free.iter().position(|t| *t == free[3]).expect("it is there");
    let held = [&[4][..], &free[..=stop]].concat();
    assert_eq!(engine.tokens(session), Ok(&held[..]));

    let more = engine.submit(Request { session: Some(session), ..greedy([], 2) }).expect("fits");
    assert_eq!(generated(&run(&mut engine), more), alone(&held, &greedy([], 2), 2));
}

#[test]
fn logits_after_a_generation_run_the_last_token_first() {
    let mut engine = engine(&plan(), 100);
    let session = engine.open(None).expect("room");
    engine.submit(Request { session: Some(session), ..greedy([4], 2) }).expect("fits");
    run(&mut engine);
    let held = engine.tokens(session).expect("idle").to_vec();
    let longer = [&held[..], &[8]].concat();
    assert_eq!(engine.logits(session, &[], LAST), Ok(vec![fake::logits(&held)]));
    assert_eq!(engine.logits(session, &[8], ALL), Ok(vec![fake::logits(&longer)]));
}

#[test]
fn forks_share_pages_and_go_their_own_ways() {
    let mut engine = engine(&plan(), 100);
    let origin = engine.open(None).expect("room");
    engine.logits(origin, &[1, 2, 3, 4, 5, 6], LAST).expect("fits");
    let fork = engine.fork(origin).expect("a session");
    assert_eq!(engine.free_pages(), [38, 38], "two pages, shared");
    assert_eq!(engine.logits(fork, &[7], ALL), Ok(vec![fake::logits(&[1, 2, 3, 4, 5, 6, 7])]));
    assert_eq!(engine.free_pages(), [37, 37], "the written page was copied");
    assert_eq!(engine.logits(origin, &[8], ALL), Ok(vec![fake::logits(&[1, 2, 3, 4, 5, 6, 8])]));
    engine.truncate(fork, 3).expect("it holds seven");
    assert_eq!(engine.logits(fork, &[9], ALL), Ok(vec![fake::logits(&[1, 2, 3, 9])]));
    assert_eq!(engine.logits(origin, &[], LAST), Ok(vec![fake::logits(&[1, 2, 3, 4, 5, 6, 8])]));
    engine.close(origin).expect("open");
    assert_eq!(engine.tokens(fork), Ok(&[1, 2, 3, 9][..]));
    engine.close(fork).expect("open");
    assert_eq!(engine.free_pages(), plan().pages);
}

#[test]
fn a_session_does_not_grow_past_its_capacity() {
    let mut engine = engine(&plan(), 100);
    assert_eq!(engine.open(Some(41)), Err(EngineError::CapacityTooLarge { capacity: 41, context: 40 }));
    let session = engine.open(Some(5)).expect("room");
    engine.logits(session, &[1, 2, 3], LAST).expect("fits");
    let full = EngineError::SessionFull { held: 3, added: 3, capacity: 5 };
    assert_eq!(engine.logits(session, &[4, 5, 6], LAST), Err(full));
    let request = |n| Request { session: Some(session), ..greedy([4], n) };
    assert_eq!(engine.submit(request(2)), Err(EngineError::RequestTooLong { prompt: 4, new: 2, context: 5 }));
    engine.submit(request(1)).expect("it fits exactly");
    run(&mut engine);
    assert_eq!(engine.tokens(session).map(<[u32]>::len), Ok(5));
    assert_eq!(engine.logits(session, &[], LAST).map(|l| l.len()), Ok(1));
    assert_eq!(engine.truncate(session, 6), Err(EngineError::TruncateTooLong { len: 6, held: 5 }));
}

#[test]
fn a_busy_session_says_so() {
    let mut engine = engine(&plan(), 100);
    let session = engine.open(None).expect("room");
    let request = Request { session: Some(session), ..greedy([4], 5) };
    let id = engine.submit(request.clone()).expect("fits");
    let busy = EngineError::SessionBusy(session);
    assert_eq!(engine.submit(request), Err(busy.clone()));
    assert_eq!(engine.logits(session, &[1], LAST), Err(busy.clone()));
    assert_eq!(engine.fork(session), Err(busy.clone()));
    assert_eq!(engine.truncate(session, 0), Err(busy.clone()));
    assert_eq!(engine.tokens(session), Err(busy));
    engine.cancel(id);
    assert_eq!(engine.tokens(session), Ok(&[][..]), "nothing was generated");
}

#[test]
fn a_request_cancelled_on_the_way_leaves_what_it_generated() {
    let mut engine = engine(&plan(), 100);
    let session = engine.open(None).expect("room");
    let id = engine.submit(Request { session: Some(session), ..greedy([4, 5], 9) }).expect("fits");
    engine.step();
    engine.step();
    engine.cancel(id);
    let held = [&[4, 5][..], &alone(&[], &greedy([4, 5], 2), 2)].concat();
    assert_eq!(engine.tokens(session), Ok(&held[..]));
    assert_eq!(engine.logits(session, &[6], ALL), Ok(vec![fake::logits(&[&held[..], &[6]].concat())]));
}

#[test]
fn a_failed_request_leaves_its_session_as_it_was() {
    for bad in [BROKEN, FAILS] {
        let mut engine = engine(&plan(), 100);
        let session = engine.open(None).expect("room");
        engine.logits(session, &[1, 2, 3, 4, 5], LAST).expect("fits");
        let id = engine.submit(Request { session: Some(session), ..greedy([bad], 9) }).expect("fits");
        let events = run(&mut engine);
        assert!(matches!(events.last(), Some((of, Event::Failed(_))) if *of == id));
        assert_eq!(engine.tokens(session), Ok(&[1, 2, 3, 4, 5][..]));
        assert_eq!(engine.logits(session, &[6], ALL), Ok(vec![fake::logits(&[1, 2, 3, 4, 5, 6])]));
    }
}

#[test]
fn failed_logits_leave_the_session_as_it_was() {
    let mut engine = engine(&plan(), 100);
    let session = engine.open(None).expect("room");
    engine.logits(session, &[1, 2], LAST).expect("fits");
    assert!(matches!(engine.logits(session, &[3, FAILS], ALL), Err(EngineError::Step(_))));
    assert_eq!(engine.logits(session, &[3], ALL), Ok(vec![fake::logits(&[1, 2, 3])]));
}

#[test]
fn a_session_closed_under_its_request_lets_it_end() {
    let mut engine = engine(&plan(), 100);
    let session = engine.open(None).expect("room");
    let id = engine.submit(Request { session: Some(session), ..greedy([4], 5) }).expect("fits");
    engine.step();
    engine.close(session).expect("open");
    assert_eq!(engine.close(session), Err(EngineError::UnknownSession(session)));
    assert_eq!(generated(&run(&mut engine), id).len(), 4);
    assert_eq!(engine.free_pages(), plan().pages);
}

#[test]
fn pages_held_by_sessions_are_an_error_and_no_hang() {
    let mut engine = engine(&Plan { pages: vec![10, 10], ..plan() }, 100);
    let session = engine.open(None).expect("room");
    engine.logits(session, &[1; 25], LAST).expect("seven pages");
    let id = engine.submit(greedy([2], 15)).expect("four pages are allowed");
    let error = EngineError::OutOfPages { needed: 4, free: 3 };
    assert_eq!(run(&mut engine), [(id, Event::Failed(error.clone()))]);
    let other = engine.open(None).expect("pages are taken when tokens come");
    assert_eq!(engine.logits(other, &[2; 13], LAST), Err(error));
}

#[test]
fn an_open_ended_request_makes_do_with_what_sessions_leave() {
    let mut engine = engine(&Plan { pages: vec![10, 10], ..plan() }, 100);
    let session = engine.open(None).expect("room");
    engine.logits(session, &[1; 25], LAST).expect("seven pages");
    let open_ended = |tokens| Request { sampling: Sampling::greedy(), ..Request::new(tokens) };
    engine.submit(open_ended(vec![2])).expect("one page is enough to begin");
    let usage = Usage { prompt_tokens: 1, cached_tokens: 0, generated_tokens: 11 };
    let events = run(&mut engine);
    assert_eq!(events.last().map(|(_, e)| e), Some(&Event::Finished { reason: Finish::Context, usage }));

    let fork = engine.fork(session).expect("idle");
    engine.submit(Request { session: Some(fork), ..open_ended(vec![3]) }).expect("fits");
    // Three free pages, of which one becomes the copy of the page that the fork would write into.
    let usage = Usage { prompt_tokens: 26, cached_tokens: 25, generated_tokens: 10 };
    let events = run(&mut engine);
    assert_eq!(events.last().map(|(_, e)| e), Some(&Event::Finished { reason: Finish::Context, usage }));
}

/// A second group that keeps six tokens, in pages of four and steps of eight rows: five pages at most.
fn windowed() -> Engine {
    fake::of(&fake::windowed(Some(6)), &Plan { pages: vec![40, 5], ..plan() }, 100).0
}

#[test]
fn a_window_keeps_few_pages_however_long_the_session() {
    let mut engine = windowed();
    assert_eq!(engine.context(), 40);
    let session = engine.open(None).expect("room");
    engine.logits(session, &[1; 30], ALL).expect("five pages go round");
    assert_eq!(engine.free_pages(), [32, 3], "tokens 24 to 30 lie in two");
    let more = engine.submit(Request { session: Some(session), ..greedy([2], 9) }).expect("fits");
    let held = [1; 30];
    assert_eq!(generated(&run(&mut engine), more), alone(&held, &greedy([2], 9), 9));
    engine.close(session).expect("open");
    assert_eq!(engine.free_pages(), [40, 5]);
}

#[test]
fn a_truncation_behind_the_window_runs_what_stays_again() {
    // What the session has left behind may be found in the index, if there is one.
    let options = EngineOptions { prefix_cache: false, ..EngineOptions::default() };
    let plan = Plan { pages: vec![40, 5], ..plan() };
    let mut engine = fake::with(&fake::windowed(Some(6)), &plan, options).0;
    let session = engine.open(None).expect("room");
    let tokens: Vec<u32> = (0..30).collect();
    engine.logits(session, &tokens, LAST).expect("fits");
    engine.truncate(session, 29).expect("it holds more");
    let cached = |events: &[(_, Event)]| match events.last() {
        Some((_, Event::Finished { usage, .. })) => usage.cached_tokens,
        other => panic!("{other:?}"),
    };
    let request = Request { session: Some(session), ..greedy([50], 1) };
    engine.submit(request.clone()).expect("fits");
    assert_eq!(cached(&run(&mut engine)), 0, "token 23 is still seen, and its page is gone");
    engine.truncate(session, 30).expect("it holds 31");
    engine.submit(request).expect("fits");
    let events = run(&mut engine);
    assert_eq!(cached(&events), 30);
    engine.truncate(session, 5).expect("it holds more");
    assert_eq!(engine.free_pages(), [40, 5]);
    assert_eq!(engine.logits(session, &[], LAST), Ok(vec![fake::logits(&tokens[..5])]));
}

#[test]
fn a_cancelled_prompt_leaves_a_session_whose_window_has_gone_on() {
    let mut engine = windowed();
    let session = engine.open(None).expect("room");
    engine.logits(session, &[1, 2, 3, 4, 5], LAST).expect("fits");
    let id = engine.submit(Request { session: Some(session), ..greedy([7; 30], 3) }).expect("fits");
    (0..3).for_each(|_| drop(engine.step()));
    engine.cancel(id);
    assert_eq!(engine.free_pages(), [40, 5]);
    assert_eq!(engine.logits(session, &[6], LAST), Ok(vec![fake::logits(&[1, 2, 3, 4, 5, 6])]));
}
