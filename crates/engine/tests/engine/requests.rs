//! Requests: what they get, what they are refused, and what one does to another.

use ffai_engine::{Engine, EngineError, EngineOptions, Event, Finish, Request, Usage};
use ffai_program::{Plan, Sampling, SeqStep, StepError};

use crate::fake::{self, BROKEN, FAILS, Fake, SHORT, VOCAB, alone, engine, generated, greedy, plan, run};

#[test]
fn a_request_gets_its_tokens_and_an_account_of_them() {
    let mut engine = engine(&plan(), 100);
    let id = engine.submit(greedy([1, 2, 3], 2)).expect("a request that fits");
    let tokens = alone(&[], &greedy([1, 2, 3], 2), 2);
    let usage = |generated_tokens| Usage { prompt_tokens: 3, cached_tokens: 0, generated_tokens };
    let expected = [
        Event::Prefilled { usage: usage(0) },
        Event::Token { id: tokens[0] },
        Event::Token { id: tokens[1] },
        Event::Finished { reason: Finish::Length, usage: usage(2) },
    ];
    assert_eq!(run(&mut engine), expected.map(|event| (id, event)));
    assert_eq!(engine.free_pages(), plan().pages);
}

#[test]
fn a_stop_token_ends_the_request_and_comes_with_the_end() {
    let mut engine = engine(&plan(), 100);
    let tokens = alone(&[], &greedy([5], 4), 4);
    let id = engine.submit(Request { stop_ids: vec![63, tokens[2]], ..greedy([5], 30) }).expect("fits");
    let events = run(&mut engine);
    let usage = Usage { prompt_tokens: 1, cached_tokens: 0, generated_tokens: 3 };
    assert_eq!(events.last(), Some(&(id, Event::Finished { reason: Finish::Stop(tokens[2]), usage })));
    assert!(!events.contains(&(id, Event::Token { id: tokens[2] })));
}

#[test]
fn without_max_tokens_a_request_goes_on_to_the_end_of_the_context() {
    let mut engine = engine(&plan(), 100);
    let id = engine.submit(Request { sampling: Sampling::greedy(), ..Request::new([1, 2, 3]) }).expect("fits");
    let usage = Usage { prompt_tokens: 3, cached_tokens: 0, generated_tokens: 37 };
    assert_eq!(run(&mut engine).last(), Some(&(id, Event::Finished { reason: Finish::Context, usage })));
}

#[test]
fn no_new_tokens_means_that_the_prompt_is_read() {
    let mut engine = engine(&plan(), 100);
    let id = engine.submit(greedy(vec![1; 40], 0)).expect("a prompt that fills the context");
    let usage = Usage { prompt_tokens: 40, ..Usage::default() };
    let expected = [Event::Prefilled { usage }, Event::Finished { reason: Finish::Length, usage }];
    assert_eq!(run(&mut engine), expected.map(|event| (id, event)));
}

#[test]
fn what_can_never_run_is_refused_at_once() {
    let mut engine = engine(&plan(), 100);
    let vocab = VOCAB;
    assert_eq!(engine.submit(Request::new([])), Err(EngineError::EmptyPrompt));
    assert_eq!(engine.submit(greedy([64], 1)), Err(EngineError::Token { token: 64, vocab }));
    assert_eq!(engine.submit(Request::new([1; 40])), Err(EngineError::PromptTooLong { prompt: 40, context: 40 }));
    let too_long = EngineError::RequestTooLong { prompt: 39, new: 2, context: 40 };
    assert_eq!(engine.submit(greedy([1; 39], 2)), Err(too_long));
    assert!(engine.is_idle());
}

#[test]
fn a_pool_smaller_than_the_context_bounds_it() {
    let small = Plan { pages: vec![40, 3], ..plan() };
    let mut engine = engine(&small, 100);
    assert_eq!(engine.context(), 12);
    assert_eq!(engine.submit(greedy([1; 13], 1)), Err(EngineError::PromptTooLong { prompt: 13, context: 12 }));
}

#[test]
fn a_plan_without_room_is_refused() {
    let refused = |plan: Plan| {
        let fake = Box::new(Fake::new(&fake::program(), &plan));
        Engine::new(fake, &fake::program(), plan, EngineOptions::default()).err().map(|e| e.to_string())
    };
    assert_eq!(refused(plan()), None);
    let no_rows = refused(Plan { rows: 0, ..plan() });
    assert_eq!(no_rows.as_deref(), Some("the plan cannot serve requests: rows is 0"));
    let one_group = refused(Plan { pages: vec![4], ..plan() });
    let problem = "the plan cannot serve requests: it has pages for 1 state groups, the program has 2";
    assert_eq!(one_group.as_deref(), Some(problem));
}

#[test]
fn running_requests_get_a_token_in_each_step_while_a_long_prompt_is_read() {
    let mut engine = engine(&plan(), 3);
    let first = engine.submit(greedy([1], 20)).expect("fits");
    engine.step();
    let long = engine.submit(greedy([2; 30], 2)).expect("fits");
    for _ in 0..9 {
        let events = engine.step();
        assert!(matches!(events[..], [(id, Event::Token { .. })] if id == first), "{events:?}");
    }
    let events = engine.step();
    assert!(events.iter().any(|(id, event)| *id == long && matches!(event, Event::Prefilled { .. })));
    assert_eq!(generated(&events, first).len(), 1);
}

#[test]
fn who_does_not_fit_waits_and_those_behind_wait_too() {
    let mut engine = engine(&Plan { pages: vec![10, 10], ..plan() }, 100);
    let first = engine.submit(greedy([1], 23)).expect("six pages");
    let large = engine.submit(greedy([2], 31)).expect("eight pages");
    let small = engine.submit(greedy([3], 3)).expect("one page");
    let events = run(&mut engine);
    let end = |of| events.iter().position(|(id, event)| *id == of && event.is_last()).expect("an end");
    let start = |of| events.iter().position(|(id, _)| *id == of).expect("a start");
    assert!(end(first) < start(large));
    assert!(start(large) < start(small));
}

#[test]
fn a_cancelled_request_gives_its_pages_back_and_is_silent() {
    let mut engine = engine(&plan(), 100);
    let gone = engine.submit(greedy([1, 2], 20)).expect("fits");
    let stays = engine.submit(greedy([3, 4], 20)).expect("fits");
    engine.step();
    assert!(engine.cancel(gone));
    assert!(!engine.cancel(gone));
    let events = run(&mut engine);
    assert!(events.iter().all(|(id, _)| *id == stays));
    assert_eq!(engine.free_pages(), plan().pages);
}

#[test]
fn a_row_without_finite_logits_fails_its_request_alone() {
    let mut engine = engine(&plan(), 100);
    let broken = engine.submit(greedy([1, BROKEN], 5)).expect("fits");
    let sound = engine.submit(greedy([1, 2], 5)).expect("fits");
    let events = run(&mut engine);
    assert!(events.contains(&(broken, Event::Failed(EngineError::NotFinite { position: 2 }))));
    assert_eq!(generated(&events, sound), alone(&[], &greedy([1, 2], 5), 5));
}

#[test]
fn a_step_that_fails_ends_the_requests_in_it_and_no_others() {
    let mut engine = engine(&Plan { seqs: 2, ..plan() }, 100);
    let ids: Vec<_> = [vec![1], vec![FAILS], vec![2, 3]]
        .into_iter()
        .map(|prompt| engine.submit(greedy(prompt, 4)).expect("fits"))
        .collect();
    let events = run(&mut engine);
    let error = EngineError::Step(StepError::Inputs { problem: "the fake was asked to fail".to_owned() });
    assert!(events.contains(&(ids[0], Event::Failed(error.clone()))));
    assert!(events.contains(&(ids[1], Event::Failed(error))));
    assert_eq!(generated(&events, ids[2]), alone(&[], &greedy([2, 3], 4), 4));
    assert_eq!(engine.free_pages(), plan().pages);
}

#[test]
fn penalties_see_the_prompt_and_count_what_was_generated() {
    let sampling =
        Sampling { repetition_penalty: 1.3, frequency_penalty: 0.4, presence_penalty: 0.2, ..Sampling::default() };
    let request = Request { sampling, ..greedy([7, 7, 9], 30) };
    let mut engine = engine(&plan(), 2);
    let id = engine.submit(request.clone()).expect("fits");
    assert_eq!(generated(&run(&mut engine), id), alone(&[], &request, 30));
}

#[test]
fn the_length_class_is_that_of_the_prompt_and_all_new_tokens() {
    let (mut engine, log) = fake::logged(&plan(), 100);
    engine.submit(greedy([1, 2], SHORT - 2)).expect("fits");
    engine.submit(greedy([1, 2], SHORT - 1)).expect("fits");
    engine.submit(Request::new([1, 2])).expect("fits");
    let short = engine.open(Some(SHORT)).expect("room");
    let long = engine.open(None).expect("room");
    for session in [short, long] {
        engine.submit(Request { session: Some(session), ..greedy([3], 1) }).expect("fits");
    }
    run(&mut engine);
    let class = |seq: &SeqStep| (seq.past == 0).then_some(seq.length_class);
    let steps = log.lock().expect("no panic");
    let classes: Vec<_> = steps.iter().flat_map(|step| &step.seqs).filter_map(class).collect();
    assert_eq!(classes, [0, SHORT + 1, 40, 0, 40]);
}
