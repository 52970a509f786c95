//! An executable without weights. What it says next is a function of the tokens it reads back from its pages and its slots, so that a
//! mixed-up page, slot, place or length class shows as a wrong token.

use std::sync::{Arc, Mutex};

use ffai_engine::{Engine, EngineOptions, Event, Finish, Request, RequestId};
use ffai_model::{Lengths, Pairing, Rope};
use ffai_program::{
    Buf, Executable, Output, PageList, Plan, Program, Sampling, Seen, SeqStep, SlotPart, StateGroup, StepError,
    StepInputs, Traced, Values, Want, sample,
};

pub(crate) const VOCAB: usize = 64;
/// Logits behind it are not numbers.
pub(crate) const BROKEN: u32 = 60;
/// A step with it fails.
pub(crate) const FAILS: u32 = 61;
/// A step with it panics.
pub(crate) const PANICS: u32 = 62;
/// Sequences longer than this have a length class of their own.
pub(crate) const SHORT: usize = 12;

pub(crate) fn program() -> Program {
    windowed(None)
}

/// As [`program`], the second state group with a window.
pub(crate) fn windowed(window: Option<usize>) -> Program {
    shaped(&[None, window], false)
}

/// A program with a state group for each of `windows`, and with or without slots.
pub(crate) fn shaped(windows: &[Option<usize>], slots: bool) -> Program {
    let lengths = Lengths::Dynamic { base: 1e4, factor: 2.0, context: SHORT };
    let group =
        |window: &Option<usize>| StateGroup { kv_heads: 1, dim: 4, values: Values::Own, window: *window, layers: 1 };
    let part = SlotPart { tag: "state".to_owned(), width: 1 };
    Program {
        bufs: Vec::new(),
        weights: Vec::new(),
        ropes: vec![Rope { width: 4, pairing: Pairing::Half, lengths }],
        states: windows.iter().map(group).collect(),
        slots: if slots { vec![part] } else { Vec::new() },
        ops: Vec::new(),
        logits: Buf(0),
        vocab: VOCAB,
        context: 1000,
    }
}

pub(crate) fn plan() -> Plan {
    Plan {
        rows: 8,
        wanted: 4,
        seqs: 4,
        context: 40,
        page_tokens: 4,
        pages: vec![40, 40],
        slots: 0,
        deterministic: false,
        rounding: ffai_program::Rounding::Exact,
    }
}

pub(crate) fn engine(plan: &Plan, chunk: usize) -> Engine {
    logged(plan, chunk).0
}

pub(crate) fn logged(plan: &Plan, chunk: usize) -> (Engine, Log) {
    of(&program(), plan, chunk)
}

pub(crate) fn of(program: &Program, plan: &Plan, chunk: usize) -> (Engine, Log) {
    with(program, plan, EngineOptions { chunk, ..EngineOptions::default() })
}

pub(crate) fn with(program: &Program, plan: &Plan, options: EngineOptions) -> (Engine, Log) {
    let fake = Box::new(Fake::new(program, plan));
    let log = Arc::clone(&fake.log);
    (Engine::new(fake, program, plan.clone(), options).expect("a plan with room"), log)
}

/// An engine over a fake whose recurrence takes rows in blocks, so that it shows where prompts were cut.
pub(crate) fn in_blocks(program: &Program, plan: &Plan, options: EngineOptions, block: usize) -> Engine {
    let fake = Fake { block: Some(block), ..Fake::new(program, plan) };
    Engine::new(Box::new(fake), program, plan.clone(), options).expect("a plan with room")
}

/// A token in a page, with what it was written under.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Slot {
    token: u32,
    place: usize,
    class: usize,
}

/// What is in a slot.
#[derive(Clone, Debug, Default)]
struct State {
    /// What its sequence has read.
    tokens: Vec<Slot>,
    /// In which blocks.
    blocks: u64,
}

pub(crate) struct Fake {
    program: Program,
    plan: Plan,
    /// `[group][page * page_tokens + token]`.
    pages: Vec<Vec<Option<Slot>>>,
    states: Vec<State>,
    /// Rows that a recurrence takes at once, which shows in what comes behind; none takes one by one.
    block: Option<usize>,
    /// All steps so far.
    log: Log,
}

/// The steps that a fake was given.
pub(crate) type Log = Arc<Mutex<Vec<StepInputs>>>;

impl Fake {
    pub(crate) fn new(program: &Program, plan: &Plan) -> Self {
        let pages = plan.pages.iter().map(|pages| vec![None; pages * plan.page_tokens]).collect();
        let states = vec![State::default(); plan.slots];
        Fake { program: program.clone(), plan: plan.clone(), pages, states, block: None, log: Log::default() }
    }

    fn slot(&self, pages: &PageList, place: usize) -> usize {
        pages.page(place / self.plan.page_tokens) as usize * self.plan.page_tokens + place % self.plan.page_tokens
    }

    /// Tokens `0..=place` of a sequence, which all groups and the slot must agree on, as far as windows go.
    fn read(&self, seq: &SeqStep, place: usize) -> Vec<u32> {
        let check = |slot: &Slot, at: usize| {
            assert_eq!((slot.place, slot.class), (at, seq.length_class), "the state of another sequence");
            slot.token
        };
        let read = |group: usize, at: usize| {
            check(&self.pages[group][self.slot(&seq.pages[group], at)].expect("a page that was written"), at)
        };
        let tokens: Vec<u32> = match seq.slot {
            Some(slot) => (0..=place).map(|at| check(&self.states[slot.write as usize].tokens[at], at)).collect(),
            None => (0..=place).map(|at| read(0, at)).collect(),
        };
        for (group, state) in self.program.states.iter().enumerate() {
            let seen = state.first_seen(place);
            (seen..=place).for_each(|at| assert_eq!(read(group, at), tokens[at], "state groups disagree"));
        }
        tokens
    }

    /// Appends a step's rows to what a slot holds.
    fn go_on(&mut self, seq: &SeqStep, tokens: &[u32]) {
        let Some(slot) = seq.slot else { return };
        let mut state = slot.read.map(|read| self.states[read as usize].clone()).unwrap_or_default();
        assert_eq!(state.tokens.len(), seq.past, "the state behind other tokens");
        let read = |(i, token): (usize, &u32)| Slot { token: *token, place: seq.past + i, class: seq.length_class };
        state.tokens.extend(tokens.iter().enumerate().map(read));
        for block in self.block.into_iter().flat_map(|block| tokens.chunks(block)) {
            state.blocks = mix(state.blocks, block.len() as u64);
        }
        self.states[slot.write as usize] = state;
    }
}

impl Executable for Fake {
    fn step_traced(
        &mut self,
        inputs: &StepInputs,
        _: Option<&mut dyn FnMut(Traced<'_>)>,
    ) -> Result<Vec<Output>, StepError> {
        inputs.check(&self.program, &self.plan)?;
        self.log.lock().expect("no panic before").push(inputs.clone());
        assert!(!inputs.tokens.contains(&PANICS), "the fake was asked to panic");
        let mut places = Vec::new();
        for seq in &inputs.seqs {
            self.go_on(seq, &inputs.tokens[places.len()..places.len() + seq.rows]);
            for place in seq.past..seq.past + seq.rows {
                let row = places.len();
                assert_eq!(inputs.positions[row] as usize, place);
                for (group, table) in seq.pages.iter().enumerate() {
                    let at = self.slot(table, place);
                    let slot = Slot { token: inputs.tokens[row], place, class: seq.length_class };
                    self.pages[group][at] = Some(slot);
                }
                places.push((seq, place));
            }
        }
        if inputs.tokens.contains(&FAILS) {
            self.pages.iter_mut().flatten().for_each(|slot| *slot = None);
            self.states.iter_mut().for_each(|state| state.tokens.clear());
            return Err(StepError::Inputs { problem: "the fake was asked to fail".to_owned() });
        }
        let output = |row: usize, what: &Want| {
            let (seq, place) = places[row];
            let history = self.read(seq, place);
            let blocks = seq.slot.filter(|_| self.block.is_some()).map(|slot| self.states[slot.write as usize].blocks);
            let shown = blocks.map(|blocks| (blocks % 50) as u32);
            let mut logits = logits(&history.iter().copied().chain(shown).collect::<Vec<_>>());
            match what {
                Want::Logits => Output::Logits(logits),
                Want::Sample(s) => {
                    assert_eq!(s.position as usize, history.len());
                    sample::sample(&mut logits, &s.sampling, &s.seen, s.position)
                        .map_or(Output::NotFinite, Output::Token)
                }
            }
        };
        Ok(inputs.want.iter().map(|want| output(want.row, &want.what)).collect())
    }

    fn copy_page(&mut self, group: usize, from: u32, to: u32) {
        let tokens = self.plan.page_tokens;
        let from = from as usize * tokens;
        self.pages[group].copy_within(from..from + tokens, to as usize * tokens);
    }
}

fn mix(hash: u64, more: u64) -> u64 {
    (hash ^ more).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29)
}

/// What the fake says behind a sequence of tokens. It never draws one of the special tokens by itself.
pub(crate) fn logits(history: &[u32]) -> Vec<f32> {
    if history.contains(&BROKEN) {
        return vec![f32::NAN; VOCAB];
    }
    let hash = history.iter().fold(history.len() as u64, |h, token| mix(h, u64::from(*token) + 1));
    let logit = |id: u64| (mix(mix(hash, id), 7) >> 40) as f32 / (1u64 << 22) as f32;
    (0..VOCAB as u64).map(|id| if id < u64::from(BROKEN) { logit(id) } else { f32::NEG_INFINITY }).collect()
}

/// What a request gets when it is alone: its new tokens, the stop token among them. `held` is what its session holds.
pub(crate) fn alone(held: &[u32], request: &Request, limit: usize) -> Vec<u32> {
    let prompt: Vec<u32> = held.iter().chain(&request.tokens).copied().collect();
    let mut tokens = prompt.clone();
    for _ in 0..limit {
        let seen = count(&prompt, &tokens[prompt.len()..]);
        let seen = if request.sampling.has_penalties() { seen } else { Vec::new() };
        let drawn = sample::sample(&mut logits(&tokens), &request.sampling, &seen, tokens.len() as u64);
        let token = drawn.expect("finite logits");
        tokens.push(token);
        if request.stop_ids.contains(&token) {
            break;
        }
    }
    tokens.split_off(prompt.len())
}

fn count(prompt: &[u32], generated: &[u32]) -> Vec<Seen> {
    let count = |token: u32| generated.iter().filter(|t| **t == token).count() as u32;
    let ids = (0..VOCAB as u32).filter(|id| prompt.contains(id) || generated.contains(id));
    ids.map(|token| Seen { token, generated: count(token) }).collect()
}

pub(crate) fn greedy(tokens: impl Into<Vec<u32>>, max_tokens: usize) -> Request {
    Request { sampling: Sampling::greedy(), max_tokens: Some(max_tokens), ..Request::new(tokens) }
}

/// Steps until nothing is left to do.
pub(crate) fn run(engine: &mut Engine) -> Vec<(RequestId, Event)> {
    let mut events = Vec::new();
    for _ in 0..10_000 {
        if engine.is_idle() {
            return events;
        }
        events.extend(engine.step());
    }
    panic!("the engine does not come to an end");
}

/// The new tokens of a request, the stop token among them.
pub(crate) fn generated(events: &[(RequestId, Event)], id: RequestId) -> Vec<u32> {
    let mut tokens = Vec::new();
    for (_, event) in events.iter().filter(|(of, _)| *of == id) {
        match event {
            Event::Token { id } | Event::Finished { reason: Finish::Stop(id), .. } => tokens.push(*id),
            _ => {}
        }
    }
    tokens
}
