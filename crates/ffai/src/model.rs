//! A loaded model.

use std::sync::Arc;

use ffai_engine::{Engine, EngineHandle, EngineOptions, Request};
use ffai_program::{Plan, Sampling};
use ffai_text::{Declared, Text};

use crate::{
    Capability, Description, Error, GenerateOptions, Generation, LoadEvent, LoadOptions, Prompt, Session, Spec, devices,
};

/// A loaded model. Clones share it; requests of all clones and threads run side by side on its engine.
#[derive(Clone)]
pub struct Model {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) description: Description,
    pub(crate) engine: EngineHandle,
    pub(crate) text: Option<Text>,
    enabled: Vec<Capability>,
    plan: Plan,
    backend: String,
}

impl Model {
    /// Loads a model by name: a folder with `config.json` and safetensors, a `.gguf` file, `org/repo` in the Hugging Face cache, or
    /// the alias `smollm2`, which is fetched when it is used first.
    ///
    /// # Errors
    /// A name that leads nowhere, a broken file, an unsupported architecture or storage; each names file and tensor or key.
    pub fn load(name: &str) -> Result<Model, Error> {
        Model::load_with(name, &LoadOptions::default(), &mut |_| {})
    }

    /// As [`Model::load`], with options, telling what happens.
    ///
    /// # Errors
    /// As [`Model::load`]; an option that makes no sense; a capability that the model does not declare.
    pub fn load_with(name: &str, options: &LoadOptions, on: &mut dyn FnMut(LoadEvent)) -> Result<Model, Error> {
        let loaded = Model::try_load(name, options, on);
        on(match &loaded {
            Ok(_) => LoadEvent::Ready,
            Err(error) => LoadEvent::Failed { why: error.to_string() },
        });
        loaded
    }

    fn try_load(name: &str, options: &LoadOptions, on: &mut dyn FnMut(LoadEvent)) -> Result<Model, Error> {
        check(options)?;
        let description = Description::open(name, on)?;
        check_context(&description, options)?;
        check_snapshots(&description, options)?;
        let text = if wants_text(options) { Text::find(&description.checkpoint)? } else { None };
        let enabled = enabled(text.as_ref().map(Declared::of_text).unwrap_or_default(), options)?;
        let ((executable, plan), backend) = devices::first(options, on, |backend, on| {
            let plan = description.plan(options, backend);
            Ok((description.compile(backend, &plan, on)?, plan))
        })?;
        let chunk = options.chunk.unwrap_or(plan.rows);
        let engine_options = EngineOptions { chunk, prefix_cache: options.prefix_cache, ..EngineOptions::default() };
        let engine = Engine::new(executable, &description.program, plan.clone(), engine_options)?;
        let engine = EngineHandle::spawn(engine)?;
        let backend = backend.name();
        Ok(Model { inner: Arc::new(Inner { description, engine, text, enabled, plan, backend }) })
    }

    /// Continues a prompt; a plain string is a user's message.
    ///
    /// # Errors
    /// A prompt that does not fit the context, an option out of range, a capability that is missing.
    pub fn generate(&self, prompt: impl Into<Prompt>, options: &GenerateOptions) -> Result<Generation<'_>, Error> {
        let prompt = prompt.into();
        let request = self.request(self.encode(&prompt, options)?, options);
        let events = self.inner.engine.submit(request)?;
        Ok(Generation::new(events, self.inner.text.as_ref(), options, prompt.is_continued()))
    }

    /// A new, empty session as long as the context.
    ///
    /// # Errors
    /// An engine that has failed.
    pub fn session(&self) -> Result<Session, Error> {
        Session::open(self.clone())
    }

    /// The token ids of a prompt, as [`Model::generate`] would run them.
    ///
    /// # Errors
    /// A missing capability, a template that refuses the messages.
    pub fn encode(&self, prompt: &Prompt, options: &GenerateOptions) -> Result<Vec<u32>, Error> {
        let (needed, hint) = match prompt {
            Prompt::Tokens(tokens) => return Ok(tokens.clone()),
            Prompt::Raw(_) => (Capability::Text, "give the prompt as token ids"),
            Prompt::Chat(_) if options.tools.is_empty() => (Capability::Chat, "continue plain text instead (--raw)"),
            Prompt::Chat(_) => (Capability::Tools, "ask without tools"),
        };
        Ok(prompt.encode(self.text(needed, hint)?, options)?)
    }

    /// The text of token ids; special tokens are left out.
    ///
    /// # Errors
    /// A missing capability, an unknown id.
    pub fn decode(&self, tokens: &[u32]) -> Result<String, Error> {
        Ok(self.text(Capability::Text, "take the token ids as they are")?.tokenizer.decode(tokens, true)?)
    }

    /// What is enabled.
    pub fn capabilities(&self) -> &[Capability] {
        &self.inner.enabled
    }

    /// The model as data.
    pub fn spec(&self) -> &Spec {
        &self.inner.description.spec
    }

    /// What its files say.
    pub fn description(&self) -> &Description {
        &self.inner.description
    }

    /// Longest sequence, in tokens.
    pub fn context(&self) -> usize {
        self.inner.plan.context
    }

    /// Where it runs, for people: `cpu (AVX-512, 2 threads)`.
    pub fn backend(&self) -> &str {
        &self.inner.backend
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(crate) fn request(&self, tokens: Vec<u32>, options: &GenerateOptions) -> Request {
        let mut stop_ids = options.stop_ids.clone();
        stop_ids.extend(self.inner.text.iter().flat_map(|t| &t.eos));
        Request { tokens, sampling: self.sampling(options), max_tokens: options.max_tokens, stop_ids, session: None }
    }

    /// Options first, then the model's generation config, then transformers' defaults: greedy unless the config says
    /// `do_sample` or an option asks for draws.
    fn sampling(&self, options: &GenerateOptions) -> Sampling {
        let mut config = self.inner.text.as_ref().map(|t| t.generation.clone()).unwrap_or_default();
        let draws = [options.temperature, options.top_p, options.min_p].iter().any(Option::is_some);
        if draws || options.top_k.is_some() {
            config.do_sample = Some(true);
        }
        let defaults = config.sampling();
        Sampling {
            temperature: options.temperature.unwrap_or(defaults.temperature),
            top_k: options.top_k.unwrap_or(defaults.top_k as usize),
            top_p: options.top_p.unwrap_or(defaults.top_p),
            min_p: options.min_p.unwrap_or(defaults.min_p),
            repetition_penalty: options.repetition_penalty.unwrap_or(defaults.repetition_penalty),
            presence_penalty: options.presence_penalty.unwrap_or(0.0),
            frequency_penalty: options.frequency_penalty.unwrap_or(0.0),
            bias: options.logit_bias.clone(),
            seed: options.seed.unwrap_or_else(GenerateOptions::seed_from_clock),
        }
    }

    /// The tokenizer and templates, for something that needs a capability.
    fn text(&self, needed: Capability, hint: &'static str) -> Result<&Text, Error> {
        match &self.inner.text {
            Some(text) if self.inner.enabled.contains(&needed) => Ok(text),
            _ => {
                let declared = self.inner.description.capabilities()?.contains(&needed);
                let why = if declared { "was loaded without its" } else { "has no" };
                Err(Error::Capability { capability: needed, why, hint })
            }
        }
    }
}

fn check(options: &LoadOptions) -> Result<(), Error> {
    let positive = [
        ("threads", options.threads),
        ("context", options.context),
        ("parallel", Some(options.parallel)),
        ("chunk", options.chunk),
    ];
    match positive.into_iter().find(|(_, value)| *value == Some(0)) {
        Some((option, _)) => Err(Error::Option { option, value: "0".to_owned(), expected: "at least 1".to_owned() }),
        None => Ok(()),
    }
}

/// A context beyond what the model was made for gives nonsense, unless its rope grows with the length.
fn check_context(description: &Description, options: &LoadOptions) -> Result<(), Error> {
    let most = description.spec.context;
    match options.context {
        Some(context) if context > most && description.program.length_class(context) == 0 => Err(Error::Option {
            option: "context",
            value: context.to_string(),
            expected: format!("at most {most}, the longest sequence the model was made for"),
        }),
        _ => Ok(()),
    }
}

/// Who asks for states to be kept means a model that has some.
fn check_snapshots(description: &Description, options: &LoadOptions) -> Result<(), Error> {
    match options.snapshots {
        Some(snapshots) if description.program.slots.is_empty() => Err(Error::Option {
            option: "snapshots",
            value: snapshots.to_string(),
            expected: "left out: the model has no recurrent layers, whose states could be kept".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Whether anything is to be enabled that a tokenizer is needed for.
fn wants_text(options: &LoadOptions) -> bool {
    options.enable.as_ref().is_none_or(|asked| asked.iter().any(|c| *c != Capability::Tokens))
}

fn enabled(text: Declared, options: &LoadOptions) -> Result<Vec<Capability>, Error> {
    let declared = Capability::of(text);
    let Some(asked) = &options.enable else { return Ok(declared) };
    if let Some(missing) = asked.iter().find(|c| !declared.contains(c)) {
        let hint = "ask for what `ffai inspect` lists under capabilities";
        return Err(Error::Capability { capability: *missing, why: "has no", hint });
    }
    let needs = |c: &Capability| match c {
        Capability::Tokens => true,
        Capability::Text => wants_text(options),
        Capability::Chat => asked.contains(&Capability::Chat) || asked.contains(&Capability::Tools),
        Capability::Tools => asked.contains(&Capability::Tools),
    };
    Ok(declared.into_iter().filter(needs).collect())
}
