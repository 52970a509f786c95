//! Random arrivals, cancels, sessions and plans: every request ends, gets the tokens it would have got alone, and no page or slot is
//! lost.

use std::collections::BTreeMap;

use ffai_engine::{Engine, EngineError, EngineOptions, Event, Finish, LogitRows, Request, RequestId, SessionId};
use ffai_program::{Plan, Program, Sampling};
use proptest::prelude::*;

use crate::fake::{self, VOCAB, alone};

#[derive(Clone, Debug)]
enum Op {
    Submit(Request),
    /// On one of the sessions.
    Continue(usize, Request),
    Cancel(usize),
    Step(usize),
    Open(Option<usize>),
    Fork(usize),
    Truncate(usize, usize),
    Logits(usize, Vec<u32>, LogitRows),
    Close(usize),
}

/// Many begin alike, so that there is something to share.
fn tokens(most: usize) -> impl Strategy<Value = Vec<u32>> {
    let alike = (0..3u32, 0..most, prop::collection::vec(0..50u32, 0..3)).prop_map(move |(first, len, end)| {
        let mut tokens: Vec<u32> = (first..).take(len).collect();
        tokens.extend(end);
        tokens.truncate(most);
        tokens
    });
    prop_oneof![1 => prop::collection::vec(0..50u32, 0..most), 2 => alike]
}

fn request() -> impl Strategy<Value = Request> {
    let sampling = prop_oneof![
        3 => Just(Sampling::greedy()),
        1 => (0..9u64).prop_map(|seed| Sampling { seed, top_k: 20, ..Sampling::default() }),
        1 => Just(Sampling { repetition_penalty: 1.5, frequency_penalty: 0.5, ..Sampling::greedy() }),
    ];
    let max_tokens = prop_oneof![4 => (0..12usize).prop_map(Some), 1 => Just(None)];
    let stop_ids = prop::collection::vec(0..VOCAB as u32, 0..4);
    (tokens(20), sampling, max_tokens, stop_ids).prop_map(|(tokens, sampling, max_tokens, stop_ids)| Request {
        tokens,
        sampling,
        max_tokens,
        stop_ids,
        session: None,
    })
}

fn op() -> impl Strategy<Value = Op> {
    let which = 0..4usize;
    let rows = prop_oneof![Just(LogitRows::All), Just(LogitRows::Last)];
    prop_oneof![
        5 => request().prop_map(Op::Submit),
        4 => (which.clone(), request()).prop_map(|(at, request)| Op::Continue(at, request)),
        2 => (0..6usize).prop_map(Op::Cancel),
        6 => (1..6usize).prop_map(Op::Step),
        2 => prop_oneof![Just(None), (1..30usize).prop_map(Some)].prop_map(Op::Open),
        2 => which.clone().prop_map(Op::Fork),
        1 => (which.clone(), 0..20usize).prop_map(|(at, len)| Op::Truncate(at, len)),
        2 => (which.clone(), tokens(9), rows).prop_map(|(at, tokens, rows)| Op::Logits(at, tokens, rows)),
        1 => which.prop_map(Op::Close),
    ]
}

/// Pages for `groups` state groups, and slots if there shall be any.
fn plan(groups: usize, slots: bool) -> impl Strategy<Value = Plan> {
    let pages = prop::collection::vec(2..30usize, groups);
    (1..12usize, 1..5usize, 1..5usize, 4..40usize, 1..6usize, pages, 0..5usize).prop_map(
        move |(rows, wanted, seqs, context, page_tokens, pages, snapshots)| Plan {
            rows,
            wanted,
            seqs,
            context,
            page_tokens,
            pages,
            slots: if slots { seqs + 1 + snapshots } else { 0 },
            deterministic: false,
            rounding: ffai_program::Rounding::Exact,
        },
    )
}

/// A program of some shape, and a plan for it.
fn subject() -> impl Strategy<Value = (Program, Plan)> {
    let window = prop_oneof![Just(None), (1..15usize).prop_map(Some)];
    let windows = prop_oneof![
        4 => window.clone().prop_map(|window| vec![None, window]),
        2 => window.prop_map(|window| vec![window]),
        1 => Just(Vec::new()),
    ];
    (windows, prop::bool::ANY).prop_flat_map(|(windows, slots)| {
        // Something has to hold the tokens: pages of all of them, or slots.
        let slots = slots || windows.first().is_none_or(Option::is_some);
        let program = fake::shaped(&windows, slots);
        plan(windows.len(), slots).prop_map(move |plan| (program.clone(), plan))
    })
}

fn options() -> impl Strategy<Value = EngineOptions> {
    (1..12usize, prop::bool::weighted(0.7), 1..20usize)
        .prop_map(|(chunk, prefix_cache, snapshot_every)| EngineOptions { chunk, prefix_cache, snapshot_every })
}

/// What a request should get.
#[derive(Debug)]
struct Expected {
    request: Request,
    held: Vec<u32>,
    limit: usize,
    got: Vec<u32>,
}

#[derive(Debug)]
struct Session {
    id: SessionId,
    tokens: Vec<u32>,
    capacity: usize,
    busy: Option<RequestId>,
}

struct World {
    engine: Engine,
    requests: BTreeMap<RequestId, Expected>,
    sessions: Vec<Session>,
}

impl World {
    fn run(&mut self, op: Op) {
        match op {
            Op::Submit(request) => self.submit(request, None),
            Op::Continue(at, request) if at < self.sessions.len() => self.submit(request, Some(at)),
            Op::Cancel(at) => self.cancel(at),
            Op::Step(steps) => (0..steps).for_each(|_| self.step()),
            Op::Open(capacity) => self.open(capacity),
            Op::Fork(at) if at < self.sessions.len() => self.fork(at),
            Op::Truncate(at, len) if at < self.sessions.len() => self.truncate(at, len),
            Op::Logits(at, tokens, rows) if at < self.sessions.len() => self.logits(at, &tokens, rows),
            Op::Close(at) if at < self.sessions.len() => {
                let session = self.sessions.remove(at);
                self.engine.close(session.id).expect("it is open");
            }
            _ => {}
        }
    }

    fn submit(&mut self, mut request: Request, session: Option<usize>) {
        let session = session.map(|at| &mut self.sessions[at]);
        request.session = session.as_ref().map(|s| s.id);
        let busy = session.as_ref().is_some_and(|s| s.busy.is_some());
        let held = session.as_ref().map(|s| s.tokens.clone()).unwrap_or_default();
        let context = session.as_ref().map_or(self.engine.context(), |s| s.capacity);
        let prompt = held.len() + request.tokens.len();
        let fits = prompt > 0 && prompt + request.max_tokens.unwrap_or(1) <= context && !busy;
        let submitted = self.engine.submit(request.clone());
        assert_eq!(submitted.is_ok(), fits, "{submitted:?}: {prompt} tokens and {request:?} in {context}");
        let Ok(id) = submitted else { return };
        if let Some(session) = session {
            session.busy = Some(id);
        }
        let limit = request.max_tokens.unwrap_or(context - prompt);
        self.requests.insert(id, Expected { request, held, limit, got: Vec::new() });
    }

    fn cancel(&mut self, at: usize) {
        let Some(id) = self.requests.keys().nth(at).copied() else { return };
        assert!(self.engine.cancel(id));
        let expected = self.requests.remove(&id).expect("it is there");
        let keep = !expected.got.is_empty();
        self.end(id, &expected, keep);
    }

    fn step(&mut self) {
        let working = !self.engine.is_idle();
        let events = self.engine.step();
        assert!(working || events.is_empty());
        for (id, event) in events {
            let expected = self.requests.get_mut(&id).expect("events of open requests only");
            match event {
                Event::Prefilled { usage } => {
                    assert_eq!(usage.prompt_tokens, expected.held.len() + expected.request.tokens.len());
                    assert!(usage.cached_tokens < usage.prompt_tokens, "at least one row is run");
                }
                Event::Token { id } => expected.got.push(id),
                Event::Finished { reason, usage } => {
                    if let Finish::Stop(id) = reason {
                        expected.got.push(id);
                    }
                    assert_eq!(usage.generated_tokens, expected.got.len());
                    self.finished(id, reason);
                }
                Event::Failed(error) => {
                    assert!(matches!(error, EngineError::OutOfPages { .. }), "{error}");
                    assert!(!self.sessions.is_empty(), "nobody holds pages for ever");
                    let expected = self.requests.remove(&id).expect("it is there");
                    self.end(id, &expected, false);
                }
            }
        }
    }

    fn finished(&mut self, id: RequestId, reason: Finish) {
        let expected = self.requests.remove(&id).expect("it is there");
        let mut alone = alone(&expected.held, &expected.request, expected.limit);
        if reason == Finish::Context {
            // It made do with the pages that there were.
            assert!(!expected.got.is_empty());
            alone.truncate(expected.got.len());
        }
        assert_eq!(expected.got, alone);
        self.end(id, &expected, true);
    }

    fn end(&mut self, id: RequestId, expected: &Expected, keep: bool) {
        if let Some(session) = self.sessions.iter_mut().find(|s| s.busy == Some(id)) {
            session.busy = None;
            if keep {
                session.tokens.extend(expected.request.tokens.iter().chain(&expected.got));
            }
            assert_eq!(self.engine.tokens(session.id), Ok(&session.tokens[..]));
        }
    }

    fn open(&mut self, capacity: Option<usize>) {
        let context = self.engine.context();
        let capacity = capacity.map_or(context, |c| c.min(context));
        let id = self.engine.open(Some(capacity)).expect("it fits the context");
        self.sessions.push(Session { id, tokens: Vec::new(), capacity, busy: None });
    }

    fn fork(&mut self, at: usize) {
        let session = &self.sessions[at];
        let fork = self.engine.fork(session.id);
        assert_eq!(fork.is_ok(), session.busy.is_none());
        let Ok(id) = fork else { return };
        let fork = Session { id, tokens: session.tokens.clone(), capacity: session.capacity, busy: None };
        self.sessions.push(fork);
    }

    fn truncate(&mut self, at: usize, len: usize) {
        let session = &mut self.sessions[at];
        let fits = session.busy.is_none() && len <= session.tokens.len();
        assert_eq!(self.engine.truncate(session.id, len).is_ok(), fits);
        if fits {
            session.tokens.truncate(len);
        }
    }

    fn logits(&mut self, at: usize, tokens: &[u32], rows: LogitRows) {
        let session = &mut self.sessions[at];
        let held = session.tokens.len();
        let some = rows == LogitRows::All || held + tokens.len() > 0;
        let fits = session.busy.is_none() && held + tokens.len() <= session.capacity && some;
        let logits = self.engine.logits(session.id, tokens, rows);
        if matches!(logits, Err(EngineError::OutOfPages { .. })) {
            return;
        }
        assert_eq!(logits.is_ok(), fits);
        let Ok(logits) = logits else { return };
        session.tokens.extend(tokens);
        let first = if rows == LogitRows::All { held + 1 } else { session.tokens.len() };
        let expected: Vec<_> = (first..=session.tokens.len()).map(|n| fake::logits(&session.tokens[..n])).collect();
        assert!(logits == expected, "logits of {:?}", session.tokens);
    }

    /// Every request comes to its end within as many steps as there are rows to run.
    fn drain(&mut self) {
        let rows = |e: &Expected| e.held.len() + e.request.tokens.len() + e.limit + 1;
        let steps: usize = self.requests.values().map(rows).sum();
        (0..steps).for_each(|_| self.step());
        assert!(self.engine.is_idle() && self.requests.is_empty(), "{:?} did not end", self.requests);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn whatever_happens_every_request_ends_as_if_it_were_alone(
        (program, plan) in subject(),
        options in options(),
        ops in prop::collection::vec(op(), 1..60),
    ) {
        let (engine, _) = fake::with(&program, &plan, options);
        let mut world = World { engine, requests: BTreeMap::new(), sessions: Vec::new() };
        ops.into_iter().for_each(|op| world.run(op));
        world.drain();
        while !world.sessions.is_empty() {
            world.run(Op::Close(0));
        }
        prop_assert_eq!(world.engine.free_pages(), plan.pages);
        prop_assert_eq!(world.engine.free_slots(), plan.slots);
    }
}
