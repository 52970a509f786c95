//! The engine: requests in, steps run, events out.

use std::collections::{BTreeMap, VecDeque};

use ffai_program::{Executable, Output, Plan, Program, StepInputs, Want};

use crate::cuts::Cuts;
use crate::job::{Job, Leave};
use crate::pages::{PageTable, Pages};
use crate::prefix::Scope;
use crate::scheduler::{Limits, Turn, turns};
use crate::sequence::Sequence;
use crate::session::{Session, idle};
use crate::step::StepBuilder;
use crate::{EngineError, Event, Request, RequestId, SessionId};

/// Choices that change speed. Where the backend's results do not depend on how prompts are cut, they do not change results either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Most prompt rows in a step. Small numbers keep running requests smooth while a long prompt is read, large ones read it
    /// faster. The plan's rows bound it too.
    pub chunk: usize,
    /// Whether requests and sessions take over what others have computed of the same first tokens, under the same length class of the rope.
    /// Without it a session still goes on from its own states.
    pub prefix_cache: bool,
    /// In models with slots, the least number of tokens between two states that a prompt leaves behind on its way, if there is room.
    pub snapshot_every: usize,
}

impl Default for EngineOptions {
    fn default() -> Self {
        EngineOptions { chunk: 256, prefix_cache: true, snapshot_every: 1024 }
    }
}

/// Runs requests and sessions on one executable. No thread, no clock: whoever owns it calls [`Engine::step`].
pub struct Engine {
    pub(crate) executable: Box<dyn Executable>,
    pub(crate) program: Program,
    pub(crate) plan: Plan,
    pub(crate) limits: Limits,
    options: EngineOptions,
    context: usize,
    pub(crate) pages: Pages,
    pub(crate) sessions: BTreeMap<SessionId, Session>,
    /// In order of arrival.
    queue: VecDeque<Job>,
    /// In order of arrival.
    running: Vec<Job>,
    last_id: u64,
}

impl Engine {
    /// An engine over an executable that was compiled for this program and plan.
    ///
    /// # Errors
    /// [`EngineError::Plan`] when a capacity is zero or pages are not given for each state group.
    pub fn new(
        executable: Box<dyn Executable>,
        program: &Program,
        plan: Plan,
        options: EngineOptions,
    ) -> Result<Engine, EngineError> {
        check_plan(program, &plan, options)?;
        let pages = Pages::new(&plan, &program.states);
        let slots = if program.slots.is_empty() { usize::MAX } else { plan.slots };
        let running = plan.seqs.min(plan.rows).min(plan.wanted).min(slots);
        Ok(Engine {
            executable,
            program: program.clone(),
            limits: Limits {
                rows: plan.rows,
                chunk: options.chunk,
                running,
                spare: usize::from(plan.slots > running),
                cuts: Cuts::new(program, &plan, options.chunk, running, options.snapshot_every),
            },
            options,
            context: pages.room(&PageTable::default(), 0).min(plan.context),
            plan,
            pages,
            sessions: BTreeMap::new(),
            queue: VecDeque::new(),
            running: Vec::new(),
            last_id: 0,
        })
    }

    /// Longest sequence in tokens: the plan's context, or what all pages together hold if that is less.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Free pages of each state group, those that only the prefix index knows among them. When nothing runs and no session is open, these are
    /// all pages of the plan.
    pub fn free_pages(&self) -> Vec<usize> {
        self.pages.free()
    }

    /// Slots that nobody writes or is about to read: snapshots that could be given up are among them. When nothing runs, these are all
    /// slots of the plan.
    pub fn free_slots(&self) -> usize {
        self.pages.slots.available()
    }

    /// Whether a step would do nothing.
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.running.is_empty()
    }

    /// Queues a request; its events come from [`Engine::step`]. A session is busy until its request ends.
    ///
    /// # Errors
    /// A request that can never run: an empty prompt, a token outside the vocabulary, a sampling option out of range, a prompt or
    /// `max_tokens` that do not fit the context (of a session: its capacity), a session that is unknown or busy.
    pub fn submit(&mut self, request: Request) -> Result<RequestId, EngineError> {
        request.check(self.program.vocab)?;
        let (held, context) = match request.session {
            Some(id) => idle(&mut self.sessions, id).map(|(capacity, sequence)| (sequence.len(), capacity))?,
            None => (0, self.context()),
        };
        let room = request.room(held, context)?;
        let taken = request.session.and_then(|id| self.sessions.get_mut(&id)?.sequence.take());
        let sequence = match taken {
            Some(sequence) => sequence,
            None => Sequence::new(self.scope(request.tokens.len() + room, None)),
        };
        let id = RequestId(self.next_id());
        self.queue.push_back(Job::new(id, request, sequence, room));
        Ok(id)
    }

    /// Where a sequence of at most `tokens` tokens shares its prefixes.
    pub(crate) fn scope(&self, tokens: usize, session: Option<u64>) -> Scope {
        Scope { class: self.program.length_class(tokens), common: self.options.prefix_cache, session }
    }

    /// Ends a request without an event; false if there is none of that id. Its session keeps the prompt and what was generated
    /// so far; if nothing was, it is as it was before the request.
    pub fn cancel(&mut self, id: RequestId) -> bool {
        let job = match self.queue.iter().position(|job| job.id == id) {
            Some(at) => self.queue.remove(at),
            None => self.running.iter().position(|job| job.id == id).map(|at| self.running.remove(at)),
        };
        let Some(job) = job else { return false };
        let leave = if job.generated() > 0 { Leave::Everything } else { Leave::Before };
        self.retire(job, leave);
        true
    }

    /// Admits what fits, runs one step, and says what came of it. Does nothing when idle.
    ///
    /// A step that fails is the end of the requests that took part in it; the others go on.
    pub fn step(&mut self) -> Vec<(RequestId, Event)> {
        let mut events = self.admit();
        let turns = turns(&self.running.iter().map(Job::ready).collect::<Vec<_>>(), self.limits);
        if turns.is_empty() {
            return events;
        }
        let inputs = self.inputs(&turns);
        match self.run(&inputs) {
            Ok(outputs) => self.apply(&turns, outputs, &mut events),
            Err(error) => self.fail(&turns, &error, &mut events),
        }
        events
    }

    /// Runs a step; gives one output for each wanted row.
    pub(crate) fn run(&mut self, inputs: &StepInputs) -> Result<Vec<Output>, EngineError> {
        let outputs = self.executable.step(inputs)?;
        if outputs.len() == inputs.want.len() {
            return Ok(outputs);
        }
        let (got, expected) = (outputs.len(), inputs.want.len());
        Err(EngineError::unexpected(&format!("{got} outputs"), &expected.to_string()))
    }

    pub(crate) fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// First come, first served: who does not fit yet holds up all behind, so that nobody starves.
    fn admit(&mut self) -> Vec<(RequestId, Event)> {
        let mut events = Vec::new();
        while self.running.len() < self.limits.running {
            let Some(mut job) = self.queue.pop_front() else { break };
            match self.reserve(&mut job) {
                Ok(()) => self.running.push(job),
                Err(_) if !self.running.is_empty() => {
                    self.queue.push_front(job);
                    break;
                }
                // Who waits behind gives up what the session had; it is run anew, or found.
                Err(_) if self.queue.iter().any(|job| job.sequence.cached() > 0) => {
                    self.queue.iter_mut().for_each(|job| job.sequence.release(&mut self.pages));
                    self.queue.push_front(job);
                }
                // Only sessions hold pages now, and they may do so for ever.
                Err(error) => {
                    events.push((job.id, Event::Failed(error)));
                    self.retire(job, Leave::Before);
                }
            }
        }
        events
    }

    /// Takes all pages a request may need, and a slot; one that is alone and open-ended makes do with what sessions left.
    fn reserve(&mut self, job: &mut Job) -> Result<(), EngineError> {
        let sequence = &mut job.sequence;
        // At least one row has to run.
        let found = sequence.resume(sequence.len() - 1, &mut self.pages, &self.limits.cuts);
        if self.running.is_empty() {
            job.make_do(job.sequence.room(&self.pages));
        }
        let total = job.total();
        let reserved = job.sequence.reserve(total, self.limits.spare, &mut self.pages, &mut *self.executable);
        match reserved {
            Ok(()) => job.admitted(),
            // Others may be at work on what it found.
            Err(_) if found => job.sequence.release(&mut self.pages),
            Err(_) => job.sequence.rest(&mut self.pages),
        }
        reserved
    }

    fn inputs(&self, turns: &[Turn]) -> StepInputs {
        let mut step = StepBuilder::default();
        for turn in turns {
            let job = &self.running[turn.job];
            let end = step.rows(&job.sequence, turn.rows, &self.pages);
            if job.draws_after(turn.rows) {
                step.want(end - 1, Want::Sample(Box::new(job.sample_inputs())));
            }
        }
        step.finish()
    }

    fn apply(&mut self, turns: &[Turn], outputs: Vec<Output>, events: &mut Vec<(RequestId, Event)>) {
        let mut outputs = outputs.into_iter();
        let mut ended = BTreeMap::new();
        for turn in turns {
            let job = &mut self.running[turn.job];
            let output = if job.draws_after(turn.rows) { outputs.next() } else { None };
            job.sequence.advance(turn.rows, self.limits.spare, &mut self.pages, &self.limits.cuts);
            let id = job.id;
            let say = |event| events.push((id, event));
            if let Some(leave) = job.advance(output, say) {
                ended.insert(turn.job, leave);
            }
        }
        self.end(&ended);
    }

    fn fail(&mut self, turns: &[Turn], error: &EngineError, events: &mut Vec<(RequestId, Event)>) {
        events.extend(turns.iter().map(|turn| (self.running[turn.job].id, Event::Failed(error.clone()))));
        self.end(&turns.iter().map(|turn| (turn.job, Leave::BeforeWithoutPages)).collect());
        // Nobody knows what a backend that fails has done to what others left.
        self.pages.forget();
    }

    /// Takes running requests out, by index.
    fn end(&mut self, ended: &BTreeMap<usize, Leave>) {
        for (at, job) in std::mem::take(&mut self.running).into_iter().enumerate() {
            match ended.get(&at) {
                Some(leave) => self.retire(job, *leave),
                None => self.running.push(job),
            }
        }
    }

    /// Gives the sequence back to its session, or its pages to all.
    fn retire(&mut self, job: Job, leave: Leave) {
        let held = job.held();
        let mut sequence = job.sequence;
        let session = job.session.and_then(|id| self.sessions.get_mut(&id));
        if leave.is_sound() && (session.is_some() || self.options.prefix_cache) {
            sequence.rest(&mut self.pages);
        } else {
            sequence.release(&mut self.pages);
        }
        match session {
            Some(session) => {
                let keep = if leave == Leave::Everything { sequence.len() } else { held };
                sequence.truncate(keep, &mut self.pages);
                session.sequence = Some(sequence);
            }
            None => self.discard(sequence),
        }
    }

    /// Lets go of a sequence that nobody will continue, and of what only it and its session could go on from.
    pub(crate) fn discard(&mut self, mut sequence: Sequence) {
        sequence.release(&mut self.pages);
        let Some(session) = sequence.session() else { return };
        let lives = |s: &Session| s.root == session;
        if !self.sessions.values().any(lives) {
            self.pages.forget_session(session);
        }
    }
}

fn check_plan(program: &Program, plan: &Plan, options: EngineOptions) -> Result<(), EngineError> {
    let sizes = [
        ("rows", plan.rows),
        ("wanted", plan.wanted),
        ("seqs", plan.seqs),
        ("context", plan.context),
        ("page_tokens", plan.page_tokens),
        ("chunk", options.chunk),
    ];
    let pages = plan.pages.iter().map(|pages| ("pages", *pages));
    if let Some((name, _)) = sizes.into_iter().chain(pages).find(|(_, size)| *size == 0) {
        return Err(EngineError::Plan { problem: format!("{name} is 0") });
    }
    if (plan.slots == 0) != program.slots.is_empty() {
        let (got, expected) = (plan.slots, program.slots.len());
        return Err(EngineError::Plan {
            problem: format!("it has {got} slots, whose parts in the program are {expected}"),
        });
    }
    if plan.pages.len() == program.states.len() {
        return Ok(());
    }
    let (got, expected) = (plan.pages.len(), program.states.len());
    Err(EngineError::Plan { problem: format!("it has pages for {got} state groups, the program has {expected}") })
}
