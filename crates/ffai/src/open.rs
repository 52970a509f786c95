//! From a name to a spec with its weights, before any device is involved.

use ffai_checkpoint::{CacheDirs, Checkpoint, FetchEvent, resolve};
use ffai_model::{Spec, Weights};
use ffai_program::{Backend, Executable, Output, Plan, Program, Progress, Rounding, StepInputs, lower};

use ffai_text::{Declared, Text};

use crate::{Capability, Device, Error, GenerateOptions, LoadOptions, Prompt, devices};

/// What happens while a model is loaded.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LoadEvent {
    /// The model is fetched: see the inner event for bytes.
    Fetching(FetchEvent),
    /// A device that would have been taken first cannot run this, and the next is tried.
    PassedOver {
        /// The device.
        device: Device,
        /// Why not.
        why: String,
    },
    /// The device that runs the model.
    Device {
        /// As its backend calls it: `cpu (AVX-512, 2 threads)`.
        name: String,
    },
    /// Weights are made ready on the device.
    Loading {
        /// Weights done.
        done: usize,
        /// Weights in all.
        total: usize,
    },
    /// The model can be used.
    Ready,
    /// Loading has failed: [`crate::Model::load_with`] returns the error. For those who only watch.
    Failed {
        /// The error in words.
        why: String,
    },
}

/// A model's files, understood: what it is, and where each weight lies. Nothing has been read but headers and configs.
///
/// ```no_run
/// let model = ffai::Description::open("smollm2", &mut |_| {})?;
/// println!("{}", model.spec);
/// # Ok::<(), ffai::Error>(())
/// ```
#[derive(Debug)]
pub struct Description {
    /// The files.
    pub checkpoint: Checkpoint,
    /// The model as data.
    pub spec: Spec,
    /// The weights by role, and the ledger of all tensors.
    pub weights: Weights,
    /// The ops of a step.
    pub program: Program,
}

impl Description {
    /// Finds a model by name (folder, .gguf file, `org/repo` in the Hugging Face cache, alias), fetching an alias that is not there
    /// yet, and reads what its files declare. No tokenizer is needed.
    ///
    /// # Errors
    /// A name that leads nowhere, a broken file, an unsupported architecture, a tensor that is missing, odd or unread.
    pub fn open(name: &str, on: &mut dyn FnMut(LoadEvent)) -> Result<Description, Error> {
        let path = resolve(name, &CacheDirs::from_env(), &mut |event| on(LoadEvent::Fetching(event)))?;
        let checkpoint = Checkpoint::open(&path)?;
        let spec = ffai_model::spec(&checkpoint)?;
        let weights = Weights::bind(&spec, &checkpoint)?;
        let program = lower(&spec);
        Ok(Description { checkpoint, spec, weights, program })
    }

    /// What the files declare the model to be capable of.
    ///
    /// # Errors
    /// A file of the tokenizer that cannot be read.
    pub fn capabilities(&self) -> Result<Vec<Capability>, Error> {
        Ok(Capability::of(Declared::of(&self.checkpoint)?))
    }

    /// The token ids of a prompt, for work without an engine. Loads the tokenizer.
    ///
    /// # Errors
    /// A checkpoint without tokenizer or chat template, a template that refuses the messages.
    pub fn encode(&self, prompt: &Prompt, options: &GenerateOptions) -> Result<Vec<u32>, Error> {
        Ok(prompt.encode(&Text::from_checkpoint(&self.checkpoint)?, options)?)
    }

    /// The plan for sequences of at most `context` tokens (none: the default), as [`crate::Model::load`] makes it.
    pub fn plan(&self, options: &LoadOptions, backend: &dyn Backend) -> Plan {
        let context = options.context.unwrap_or(self.spec.context.min(LoadOptions::DEFAULT_CONTEXT));
        let chunk = options.chunk.unwrap_or_else(|| backend.prompt_rows()).min(context);
        let snapshots = options.snapshots.unwrap_or(options.parallel.saturating_add(1));
        let plan = Plan::new(&self.program, options.parallel, context, chunk).with_snapshots(snapshots);
        Plan { deterministic: options.deterministic, rounding: self.rounding(options), ..plan }
    }

    /// One forward pass over `tokens`, away from any engine: logits f32, row after row of `spec.vocab`.
    ///
    /// # Errors
    /// An empty list, a token outside the vocabulary, a device that cannot run the model.
    pub fn forward(&self, tokens: &[u32], options: &LoadOptions) -> Result<Vec<f32>, Error> {
        self.forward_with(tokens, options, &mut |_| {})
    }

    /// As [`Description::forward`], telling what happens.
    ///
    /// # Errors
    /// As [`Description::forward`].
    pub fn forward_with(
        &self,
        tokens: &[u32],
        options: &LoadOptions,
        on: &mut dyn FnMut(LoadEvent),
    ) -> Result<Vec<f32>, Error> {
        let (deterministic, rounding) = (options.deterministic, self.rounding(options));
        let plan = Plan { deterministic, rounding, ..Plan::for_tokens(&self.program, tokens.len()) };
        let (mut executable, _) = devices::first(options, on, |backend, on| self.compile(backend, &plan, on))?;
        let outputs = executable.step(&StepInputs::prompt(&self.program, &plan, tokens))?;
        let rows = outputs.into_iter().filter_map(|o| if let Output::Logits(row) = o { Some(row) } else { None });
        Ok(rows.flatten().collect())
    }

    fn rounding(&self, options: &LoadOptions) -> Rounding {
        options.rounding.unwrap_or_else(|| Rounding::usual(&self.program))
    }

    pub(crate) fn compile(
        &self,
        backend: &dyn Backend,
        plan: &Plan,
        on: &mut dyn FnMut(LoadEvent),
    ) -> Result<Box<dyn Executable>, Error> {
        let mut progress = |Progress { done, total }| on(LoadEvent::Loading { done, total });
        Ok(backend.compile(&self.program, &self.weights, plan, &mut progress)?)
    }
}
