//! Tiny models with recurrent layers on the engine: a sequence that was continued, forked, cut short, cancelled or found again has the
//! bytes of one that ran at once, on the CPU backend and on the interpreter.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use ffai_checkpoint::Checkpoint;
use ffai_cpu::{Cpu, CpuOptions};
use ffai_engine::{Engine, EngineOptions, Event, Finish, LogitRows, Request, RequestId, SessionId};
use ffai_model::Weights;
use ffai_program::{Backend, Plan, Program, Reference, Sampling, lower};
use proptest::prelude::*;

const MODELS: [&str; 3] = ["qwen3_next/bf16", "lfm2/bf16", "mamba2/bf16"];
const CONTEXT: usize = 96;

struct Model {
    program: Program,
    weights: Weights,
}

impl Model {
    fn open(name: &str) -> Model {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name);
        let checkpoint = Checkpoint::open(&folder).unwrap();
        let spec = ffai_model::spec(&checkpoint).unwrap();
        let weights = Weights::bind(&spec, &checkpoint).unwrap();
        Model { program: lower(&spec), weights }
    }

    /// Recurrences run token by token, in steps of up to eighteen rows.
    fn token_by_token(&self, backend: &dyn Backend, prefix_cache: bool, snapshots: usize) -> Engine {
        let plan = Plan { deterministic: true, ..Plan::new(&self.program, 3, CONTEXT, 18) };
        self.engine(plan, backend, prefix_cache, snapshots)
    }

    /// Pages of eight tokens.
    fn engine(&self, plan: Plan, backend: &dyn Backend, prefix_cache: bool, snapshots: usize) -> Engine {
        let plan = Plan { page_tokens: 8, ..plan };
        let pages = self.program.states.iter().map(|group| 4 * plan.pages_of(group, plan.context)).collect();
        let plan = Plan { pages, ..plan }.with_snapshots(snapshots);
        let executable = backend.compile(&self.program, &self.weights, &plan, &mut |_| {}).unwrap();
        let options = EngineOptions { prefix_cache, snapshot_every: 16, ..EngineOptions::default() };
        Engine::new(executable, &self.program, plan, options).unwrap()
    }
}

/// What happens to sessions; the numbers choose among those there are.
#[derive(Clone, Debug)]
enum Op {
    Open,
    Fork(usize),
    Truncate(usize, usize),
    Read(usize, Vec<u32>),
    /// Two of them at once, and a request without a session.
    Generate([usize; 2], Vec<u32>, usize),
    Cancel(usize, Vec<u32>, usize),
}

fn op() -> impl Strategy<Value = Op> {
    let which = 0..4usize;
    let tokens = (0..2u32, 1..30u32).prop_map(|(first, len)| (first..first + len).collect::<Vec<_>>());
    prop_oneof![
        1 => Just(Op::Open),
        2 => which.clone().prop_map(Op::Fork),
        2 => (which.clone(), 0..60usize).prop_map(|(at, len)| Op::Truncate(at, len)),
        2 => (which.clone(), tokens.clone()).prop_map(|(at, tokens)| Op::Read(at, tokens)),
        4 => ([which.clone(), which.clone()], tokens.clone(), 1..6usize)
            .prop_map(|(at, tokens, new)| Op::Generate(at, tokens, new)),
        1 => (which, tokens, 0..5usize).prop_map(|(at, tokens, steps)| Op::Cancel(at, tokens, steps)),
    ]
}

struct World<'a> {
    engine: Engine,
    /// Runs everything from its first token on.
    plain: Engine,
    backend: &'a str,
    sessions: Vec<SessionId>,
    cached: usize,
}

impl World<'_> {
    fn run(&mut self, op: &Op) {
        let at = |n: usize| (!self.sessions.is_empty()).then(|| self.sessions[n % self.sessions.len()]);
        match op {
            Op::Open if self.sessions.len() < 4 => self.sessions.push(self.engine.open(None).unwrap()),
            Op::Fork(n) if self.sessions.len() < 4 => {
                let fork = at(*n).map(|id| self.engine.fork(id).unwrap());
                self.sessions.extend(fork);
            }
            Op::Truncate(n, len) => {
                let Some(id) = at(*n) else { return };
                let held = self.engine.tokens(id).unwrap().len();
                self.engine.truncate(id, held.min(*len)).unwrap();
            }
            Op::Read(n, tokens) => {
                let Some(id) = at(*n).filter(|id| self.fits(*id, tokens.len())) else { return };
                // With too few free pages the session stays as it was.
                if let Ok(got) = self.engine.logits(id, tokens, LogitRows::All) {
                    let all = self.engine.tokens(id).unwrap().to_vec();
                    let expected = self.logits(&all);
                    assert_eq!(bits(&got), bits(&expected[all.len() - tokens.len()..]), "{}", self.backend);
                }
            }
            Op::Generate(which, tokens, new) => self.generate(which.map(at), tokens, *new),
            Op::Cancel(n, tokens, steps) => {
                let Some(id) = at(*n).filter(|id| self.fits(*id, tokens.len() + 9)) else { return };
                let request = self.engine.submit(greedy(Some(id), tokens, 9)).unwrap();
                (0..*steps).for_each(|_| drop(self.engine.step()));
                self.engine.cancel(request);
            }
            _ => {}
        }
    }

    fn fits(&self, id: SessionId, more: usize) -> bool {
        self.engine.tokens(id).unwrap().len() + more <= CONTEXT
    }

    fn generate(&mut self, [one, two]: [Option<SessionId>; 2], tokens: &[u32], new: usize) {
        let two = two.filter(|id| Some(*id) != one);
        let sessions = [one, two].into_iter().flatten().filter(|id| self.fits(*id, tokens.len() + new));
        let sessions: Vec<Option<SessionId>> = sessions.map(Some).chain([None]).collect();
        let held = |id: &Option<SessionId>| id.map(|id| self.engine.tokens(id).unwrap().to_vec()).unwrap_or_default();
        let prompts: Vec<Vec<u32>> = sessions.iter().map(|id| [held(id), tokens.to_vec()].concat()).collect();
        let submit = |id| self.engine.submit(greedy(id, tokens, new)).unwrap();
        let ids: Vec<RequestId> = sessions.into_iter().map(submit).collect();
        let events = finish(&mut self.engine);
        for (prompt, id) in prompts.into_iter().zip(ids) {
            let Some((got, cached)) = answer(&events, id) else { continue };
            self.cached += cached;
            let plain = self.plain.submit(greedy(None, &prompt, new)).unwrap();
            let (expected, none) = answer(&finish(&mut self.plain), plain).unwrap();
            assert_eq!((got, none), (expected, 0), "{}: {prompt:?}", self.backend);
        }
    }

    /// Those behind each token, run at once.
    fn logits(&mut self, tokens: &[u32]) -> Vec<Vec<f32>> {
        let session = self.plain.open(None).unwrap();
        let logits = self.plain.logits(session, tokens, LogitRows::All).unwrap();
        self.plain.close(session).unwrap();
        logits
    }

    /// All that is held in the end is right, and nothing is lost.
    fn end(mut self, slots: usize, pages: &[usize]) -> usize {
        for id in std::mem::take(&mut self.sessions) {
            let tokens = self.engine.tokens(id).unwrap().to_vec();
            if !tokens.is_empty()
                && let Ok(got) = self.engine.logits(id, &[], LogitRows::Last)
            {
                assert_eq!(bits(&got), bits(&self.logits(&tokens)[tokens.len() - 1..]), "{}", self.backend);
            }
            self.engine.close(id).unwrap();
        }
        assert_eq!((self.engine.free_slots(), &self.engine.free_pages()[..]), (slots, pages));
        self.cached
    }
}

fn greedy(session: Option<SessionId>, tokens: &[u32], new: usize) -> Request {
    Request { sampling: Sampling::greedy(), max_tokens: Some(new), session, ..Request::new(tokens) }
}

fn finish(engine: &mut Engine) -> Vec<(RequestId, Event)> {
    let mut events = Vec::new();
    while !engine.is_idle() {
        events.extend(engine.step());
    }
    events
}

/// The new tokens of a request and how many of its prompt were cached; none if there were no pages for it.
fn answer(events: &[(RequestId, Event)], id: RequestId) -> Option<(Vec<u32>, usize)> {
    let mut tokens = Vec::new();
    for (_, event) in events.iter().filter(|(of, _)| *of == id) {
        match event {
            Event::Token { id } => tokens.push(*id),
            Event::Finished { reason: Finish::Length, usage } => return Some((tokens, usage.cached_tokens)),
            _ => {}
        }
    }
    None
}

fn bits(logits: &[Vec<f32>]) -> Vec<Vec<u32>> {
    logits.iter().map(|row| row.iter().map(|l| l.to_bits()).collect()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(12) })]

    #[test]
    fn whatever_happens_to_a_session_its_bytes_are_those_of_an_uninterrupted_run(
        ops in prop::collection::vec(op(), 1..24),
        snapshots in 0..8usize,
    ) {
        let cpu = Cpu::new(CpuOptions { threads: Some(2), ..CpuOptions::default() }).unwrap();
        for name in MODELS {
            let model = Model::open(name);
            for backend in [&cpu as &dyn Backend, &Reference] {
                let engine = |prefix_cache| model.token_by_token(backend, prefix_cache, snapshots);
                let (engine, plain) = (engine(true), engine(false));
                let (slots, pages) = (engine.free_slots(), engine.free_pages());
                let label = format!("{name} on {}", backend.name());
                let mut world = World { engine, plain, backend: &label, sessions: Vec::new(), cached: 0 };
                ops.iter().for_each(|op| world.run(op));
                world.end(slots, &pages);
            }
        }
    }
}

#[test]
fn a_conversation_runs_only_what_is_new() {
    let cpu = Cpu::new(CpuOptions { threads: Some(2), ..CpuOptions::default() }).unwrap();
    for name in MODELS {
        let engine = |prefix_cache| Model::open(name).token_by_token(&cpu, prefix_cache, 4);
        let (engine, plain) = (engine(true), engine(false));
        let (slots, pages) = (engine.free_slots(), engine.free_pages());
        let mut world = World { engine, plain, backend: name, sessions: Vec::new(), cached: 0 };
        let turn = |n: u32| Op::Generate([0, 0], (n..n + 20).collect(), 4);
        [Op::Open, turn(1), Op::Fork(0), turn(2), Op::Truncate(0, 40)].iter().for_each(|op| world.run(op));
        // 23 tokens of the first turn; the prompts without a session have nothing in common.
        assert_eq!(world.cached, 23, "{name}");
        world.run(&turn(2));
        // The session goes on from token 40, near the end of its second prompt; the other prompt was there as far as token 16.
        assert_eq!(world.cached, 23 + 40 + 16, "{name}");
        world.end(slots, &pages);
    }
}

/// Longer than some chunks, and many begin alike.
fn prompt() -> impl Strategy<Value = Vec<u32>> {
    (0..2u32, 1..140u32, 0..9u32).prop_map(|(first, len, end)| {
        let tokens = (0..len).map(|i| (first + i) % 40);
        tokens.chain(std::iter::repeat_n(end, end as usize)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(8) })]

    /// Recurrences take whole chunks at once here, which shows in the last bits of what was cut elsewhere.
    #[test]
    fn a_prompt_has_the_same_bytes_whatever_was_found_of_it_and_ran_beside_it(
        prompts in prop::collection::vec((prompt(), 0..4usize), 2..8),
        snapshots in 1..8usize,
    ) {
        let cpu = Cpu::new(CpuOptions { threads: Some(2), ..CpuOptions::default() }).unwrap();
        for name in MODELS {
            let model = Model::open(name);
            let engine = |prefix_cache| {
                model.engine(Plan::new(&model.program, 3, 200, 70), &cpu, prefix_cache, snapshots)
            };
            let (mut warm, mut plain) = (engine(true), engine(false));
            for (prompt, steps) in &prompts {
                let last = |engine: &mut Engine| {
                    let session = engine.open(None).unwrap();
                    let logits = engine.logits(session, prompt, LogitRows::Last);
                    engine.close(session).unwrap();
                    logits
                };
                if let Ok(logits) = last(&mut warm) {
                    prop_assert_eq!(bits(&logits), bits(&last(&mut plain).unwrap()), "{}", name);
                }
                warm.submit(greedy(None, prompt, 5)).unwrap();
                (0..*steps).for_each(|_| drop(warm.step()));
            }
            finish(&mut warm);
        }
    }
}
