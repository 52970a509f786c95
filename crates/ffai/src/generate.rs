//! An answer as it comes into being.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use ffai_engine::{EventStream, Usage};
use ffai_text::{Detokenizer, StopStrings, Text};

use crate::{Error, GenerateOptions};

/// What happens while an answer is generated.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The prompt has been read.
    Prompt(Usage),
    /// A token was drawn. The end token is not among these.
    Token(u32),
    /// A piece of text: whole characters, never part of a stop text.
    Text(String),
    /// The end.
    End {
        /// Why.
        finish: Finish,
        /// Counts of tokens.
        usage: Usage,
        /// How long it took.
        timing: Timing,
    },
}

/// Why an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model ended it with this token.
    Token(u32),
    /// It would have continued with this stop text.
    Text(String),
    /// It has as many tokens as were asked for.
    Length,
    /// The context is full.
    Context,
}

/// How long an answer took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timing {
    /// From the request to the end of the prompt, waiting included.
    pub prompt: Duration,
    /// From there to the last token.
    pub decode: Duration,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// Its text; empty when the model was loaded without text.
    pub text: String,
    /// Its tokens, without the end token.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub finish: Finish,
    /// Counts of tokens.
    pub usage: Usage,
    /// How long it took.
    pub timing: Timing,
}

/// An answer as a stream of events; it ends after [`Event::End`] or an error. Dropping it cancels the request.
pub struct Generation<'a> {
    events: Option<EventStream>,
    detokenizer: Option<Detokenizer<'a>>,
    stop: StopStrings,
    ready: VecDeque<Event>,
    usage: Usage,
    began: Instant,
    prompt: Duration,
}

impl<'a> Generation<'a> {
    /// `continues` says that the answer goes on with a text, rather than being one of its own: then a space at its
    /// beginning belongs to it.
    pub(crate) fn new(events: EventStream, text: Option<&'a Text>, options: &GenerateOptions, continues: bool) -> Self {
        let detokenizer = |t: &'a Text| match continues {
            true => Detokenizer::continuing(&t.tokenizer),
            false => Detokenizer::new(&t.tokenizer),
        };
        Generation {
            events: Some(events),
            detokenizer: text.map(detokenizer),
            stop: StopStrings::new(options.stop.iter().cloned()),
            ready: VecDeque::new(),
            usage: Usage::default(),
            began: Instant::now(),
            prompt: Duration::ZERO,
        }
    }

    /// Waits for the whole answer.
    ///
    /// # Errors
    /// A request that fails on the way.
    pub fn completion(self) -> Result<Completion, Error> {
        let (mut text, mut tokens) = (String::new(), Vec::new());
        for event in self {
            match event? {
                Event::Text(piece) => text.push_str(&piece),
                Event::Token(token) => tokens.push(token),
                Event::End { finish, usage, timing } => return Ok(Completion { text, tokens, finish, usage, timing }),
                Event::Prompt(_) => {}
            }
        }
        Err(ffai_engine::EngineError::Stopped.into())
    }

    /// Turns one event of the engine into ready events.
    fn take(&mut self, event: ffai_engine::Event) -> Result<(), Error> {
        match event {
            ffai_engine::Event::Prefilled { usage } => {
                self.usage = usage;
                self.prompt = self.began.elapsed();
                self.ready.push_back(Event::Prompt(usage));
            }
            ffai_engine::Event::Token { id } => self.token(id)?,
            ffai_engine::Event::Finished { reason, usage } => {
                self.usage = usage;
                self.end(match reason {
                    ffai_engine::Finish::Stop(id) => Finish::Token(id),
                    ffai_engine::Finish::Length => Finish::Length,
                    ffai_engine::Finish::Context => Finish::Context,
                });
            }
            ffai_engine::Event::Failed(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn token(&mut self, id: u32) -> Result<(), Error> {
        self.usage.generated_tokens += 1;
        self.ready.push_back(Event::Token(id));
        if let Some(detokenizer) = &mut self.detokenizer {
            let piece = detokenizer.push(id)?;
            self.text(&piece);
        }
        if let Some(stop) = self.stop.matched() {
            let stop = stop.to_owned();
            self.close(Finish::Text(stop));
        }
        Ok(())
    }

    fn text(&mut self, piece: &str) {
        let passed = self.stop.push(piece);
        if !passed.is_empty() {
            self.ready.push_back(Event::Text(passed));
        }
    }

    /// The engine is done: what was held back is text after all, unless it completes a stop text.
    fn end(&mut self, finish: Finish) {
        let rest = self.detokenizer.as_mut().map(Detokenizer::finish).unwrap_or_default();
        self.text(&rest);
        let finish = self.stop.matched().map_or(finish, |stop| Finish::Text(stop.to_owned()));
        let held = self.stop.finish();
        if !held.is_empty() {
            self.ready.push_back(Event::Text(held));
        }
        self.close(finish);
    }

    fn close(&mut self, finish: Finish) {
        let timing = Timing { prompt: self.prompt, decode: self.began.elapsed().saturating_sub(self.prompt) };
        self.ready.push_back(Event::End { finish, usage: self.usage, timing });
        self.events = None;
    }
}

impl Iterator for Generation<'_> {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(Ok(event));
            }
            let event = self.events.as_mut()?.next()?;
            if let Err(error) = self.take(event) {
                self.events = None;
                self.ready.clear();
                return Some(Err(error));
            }
        }
    }
}

impl Timing {
    /// Prompt tokens per second, those not counted that were cached.
    pub fn prompt_rate(&self, usage: &Usage) -> f64 {
        rate(usage.prompt_tokens - usage.cached_tokens, self.prompt)
    }

    /// Generated tokens per second. The first one comes with the prompt and is not counted.
    pub fn decode_rate(&self, usage: &Usage) -> f64 {
        rate(usage.generated_tokens.saturating_sub(1), self.decode)
    }
}

fn rate(tokens: usize, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { tokens as f64 / time.as_secs_f64() }
}
