//! `ffai run`: one answer, or a chat with history.

use std::io::{self, Write};

use anyhow::Result;
use ffai::{Completion, Event, Finish, Generation, Message, Model, Prompt, Session};
use rustyline::{DefaultEditor, error::ReadlineError};
use serde_json::json;

use crate::{
    plan::{Mode, RunPlan},
    progress::LoadProgress,
};

pub(crate) fn run(plan: &RunPlan) -> Result<()> {
    let mut progress = LoadProgress::default();
    let model = Model::load_with(&plan.model, &plan.load, &mut |event| progress.on(&event))?;
    drop(progress);
    match &plan.mode {
        Mode::Once(prompt) => once(&model, plan, Prompt::Chat(conversation(plan, prompt))),
        Mode::Raw(prompt) => once(&model, plan, Prompt::Raw(prompt.clone())),
        Mode::Chat { raw } => chat(&model, plan, *raw),
    }
}

fn conversation(plan: &RunPlan, prompt: &str) -> Vec<Message> {
    let system = plan.system.iter().map(|s| Message::new("system", s.as_str()));
    system.chain([Message::new("user", prompt)]).collect()
}

fn once(model: &Model, plan: &RunPlan, prompt: Prompt) -> Result<()> {
    let generation = model.generate(prompt, &plan.generate)?;
    if plan.json {
        let completion = generation.completion()?;
        writeln!(io::stdout(), "{:#}", as_json(&completion, model, plan))?;
        return Ok(());
    }
    let completion = stream(generation)?;
    report(&completion, &format!("{}; ", model.backend()));
    Ok(())
}

/// Prints an answer piece by piece.
fn stream(generation: Generation<'_>) -> Result<Completion> {
    let mut out = io::stdout().lock();
    let (mut text, mut tokens) = (String::new(), Vec::new());
    for event in generation {
        match event? {
            Event::Text(piece) => {
                out.write_all(piece.as_bytes())?;
                out.flush()?;
                text.push_str(&piece);
            }
            Event::Token(token) => tokens.push(token),
            Event::End { finish, usage, timing } => {
                writeln!(out)?;
                return Ok(Completion { text, tokens, finish, usage, timing });
            }
            _ => {}
        }
    }
    anyhow::bail!("the answer ended before its end: please report this")
}

/// What was counted; `before` stands in front of it.
fn report(c: &Completion, before: &str) {
    let cached = if c.usage.cached_tokens > 0 { format!(" ({} cached)", c.usage.cached_tokens) } else { String::new() };
    let why = match &c.finish {
        Finish::Length => "; ended by --max-tokens",
        Finish::Context => "; ended by the context: see --context",
        Finish::Token(_) | Finish::Text(_) => "",
    };
    eprintln!(
        "[{before}prompt: {} tokens{cached}, {:.1} tokens/s; decode: {} tokens, {:.1} tokens/s{why}]",
        c.usage.prompt_tokens,
        c.timing.prompt_rate(&c.usage),
        c.usage.generated_tokens,
        c.timing.decode_rate(&c.usage),
    );
}

fn as_json(c: &Completion, model: &Model, plan: &RunPlan) -> serde_json::Value {
    let finish = match &c.finish {
        Finish::Token(id) => json!({"reason": "stop", "token": id}),
        Finish::Text(text) => json!({"reason": "stop", "text": text}),
        Finish::Length => json!({"reason": "length"}),
        Finish::Context => json!({"reason": "context"}),
    };
    json!({
        "model": plan.model,
        "backend": model.backend(),
        "text": c.text,
        "tokens": c.tokens,
        "finish": finish,
        "seed": plan.generate.seed,
        "usage": {
            "prompt_tokens": c.usage.prompt_tokens,
            "cached_tokens": c.usage.cached_tokens,
            "generated_tokens": c.usage.generated_tokens,
        },
        "seconds": {"prompt": c.timing.prompt.as_secs_f64(), "decode": c.timing.decode.as_secs_f64()},
        "tokens_per_second": {"prompt": c.timing.prompt_rate(&c.usage), "decode": c.timing.decode_rate(&c.usage)},
    })
}

/// What was said so far: messages, or plain text that grows.
enum History {
    Messages(Vec<Message>),
    Text(String),
}

impl History {
    fn new(plan: &RunPlan, raw: bool) -> History {
        if raw {
            History::Text(String::new())
        } else {
            History::Messages(plan.system.iter().map(|s| Message::new("system", s.as_str())).collect())
        }
    }

    fn prompt(&self) -> Prompt {
        match self {
            History::Messages(messages) => Prompt::Chat(messages.clone()),
            History::Text(text) => Prompt::Raw(text.clone()),
        }
    }

    fn user(&mut self, line: &str) {
        match self {
            History::Messages(messages) => messages.push(Message::new("user", line)),
            History::Text(text) => text.push_str(line),
        }
    }

    fn answer(&mut self, answer: &str) {
        match self {
            History::Messages(messages) => messages.push(Message::new("assistant", answer)),
            History::Text(text) => text.push_str(answer),
        }
    }

    /// Takes back what the user said last.
    fn undo(&mut self, line: &str) {
        match self {
            History::Messages(messages) => drop(messages.pop()),
            History::Text(text) => text.truncate(text.len() - line.len()),
        }
    }
}

fn chat(model: &Model, plan: &RunPlan, raw: bool) -> Result<()> {
    eprintln!("{} on {}. /clear begins anew, /exit or Ctrl-D ends.", plan.model, model.backend());
    let mut editor = DefaultEditor::new()?;
    let mut session = model.session()?;
    let mut history = History::new(plan, raw);
    loop {
        match editor.readline("> ") {
            Ok(line) if line.trim().is_empty() => {}
            Ok(line) if line.trim() == "/exit" => return Ok(()),
            Ok(line) if line.trim() == "/clear" => history = History::new(plan, raw),
            Ok(line) => {
                let _ = editor.add_history_entry(&line);
                turn(&mut session, plan, &mut history, &line);
            }
            Err(ReadlineError::Eof | ReadlineError::Interrupted) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// One turn. What goes wrong is told, and the conversation stays as it was before.
fn turn(session: &mut Session, plan: &RunPlan, history: &mut History, line: &str) {
    history.user(line);
    let answer = session.generate(history.prompt(), &plan.generate).map_err(anyhow::Error::from).and_then(stream);
    match answer {
        Ok(completion) => {
            history.answer(&completion.text);
            report(&completion, "");
        }
        Err(error) => {
            history.undo(line);
            eprintln!("ffai: {error}");
        }
    }
}
