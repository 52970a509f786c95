//! What a backend promises: it compiles programs, and it pulls its weights.

use ffai_checkpoint::Tensor;
use ffai_model::Weights;

use crate::{Footprint, Output, Plan, Program, StepInputs};

/// Where a backend gets its weights, by role. Pulling gives streaming, progress and shards for nothing.
pub trait WeightSource {
    /// The tensor that plays `role`, or none.
    fn weight(&self, role: &str) -> Option<Tensor>;

    /// Bytes of all weights as stored, for [`crate::Footprint`]; 0 where nobody counts.
    fn bytes(&self) -> u64 {
        0
    }
}

impl WeightSource for Weights {
    fn weight(&self, role: &str) -> Option<Tensor> {
        self.get(role).cloned()
    }

    fn bytes(&self) -> u64 {
        Weights::bytes(self)
    }
}

/// How far a compilation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Weights made ready.
    pub done: usize,
    /// Weights in all.
    pub total: usize,
}

/// A device that runs programs.
pub trait Backend {
    /// Its name, for people: `cpu (AVX-512, 2 threads)`.
    fn name(&self) -> String;

    /// Bytes that a compiled program keeps, within 2 % of their sum. The weights are asked how they are stored, not read.
    fn footprint(&self, program: &Program, weights: &dyn WeightSource, plan: &Plan) -> Footprint {
        plan.footprint(program, weights.bytes())
    }

    /// Bytes per second that the device reads from its memory, measured now with the means that steps have (the same threads, the
    /// same card) over more bytes than its caches hold. None where that means nothing.
    fn read_bandwidth(&self) -> Option<f64> {
        None
    }

    /// Rows that a step of a prompt should have, unless somebody decides otherwise: enough to keep the device busy, few enough for
    /// other sequences to get their turn.
    fn prompt_rows(&self) -> usize {
        256
    }

    /// Bytes of the device's own memory that nobody uses now. None where programs live in the system's.
    fn free_memory(&self) -> Option<u64> {
        None
    }

    /// Makes a program ready to run within the capacities of a plan.
    ///
    /// # Errors
    /// An op or storage that the backend does not have, naming op and layer; a role without a tensor.
    fn compile(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
        plan: &Plan,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Box<dyn Executable>, CompileError>;
}

/// A compiled program with its weights, buffers and pages.
pub trait Executable: Send {
    /// Runs one step; gives one output for each wanted row. A row without finite logits is [`Output::NotFinite`] and harms no other.
    ///
    /// # Errors
    /// Inputs that do not fit. State of the step's sequences is undefined afterwards.
    fn step(&mut self, inputs: &StepInputs) -> Result<Vec<Output>, StepError> {
        self.step_traced(inputs, None)
    }

    /// As [`Executable::step`], showing what each op wrote.
    ///
    /// # Errors
    /// As [`Executable::step`].
    fn step_traced(
        &mut self,
        inputs: &StepInputs,
        trace: Option<&mut dyn FnMut(Traced<'_>)>,
    ) -> Result<Vec<Output>, StepError>;

    /// Copies a page of a state group: what a fork needs before it writes into a shared page.
    fn copy_page(&mut self, group: usize, from: u32, to: u32);
}

/// What an op wrote.
#[derive(Debug)]
pub struct Traced<'a> {
    /// The op's tag.
    pub tag: &'a str,
    /// The buffer's name.
    pub buf: &'static str,
    /// Elements in a row.
    pub width: usize,
    /// `[rows, width]`. What is written here is what the ops after it read.
    pub data: &'a mut [f32],
}

/// Why a program cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// A role without a tensor.
    #[error("no tensor for role {role}")]
    MissingWeight {
        /// The role.
        role: String,
    },
    /// A tensor of another shape than the program declares.
    #[error("the tensor for role {role} is {got}, the program needs {expected}")]
    WeightShape {
        /// The role.
        role: String,
        /// What the program declares.
        expected: String,
        /// What the tensor has.
        got: String,
    },
    /// The backend lacks an op or a storage.
    #[error("{backend} cannot run {tag}: {problem}")]
    Unsupported {
        /// The backend's name.
        backend: String,
        /// The op's tag, which names the layer.
        tag: String,
        /// What it lacks.
        problem: String,
    },
    /// The model does not fit the memory.
    #[error(
        "the model needs {}: weights {}, keys and values {}, slots {}, buffers {}, scratch {}; {what} is {}: ask for a shorter context or fewer \
         requests at once, or take a smaller model",
        mega(footprint.total()), mega(footprint.weights), mega(footprint.kv), mega(footprint.slots), mega(footprint.buffers), mega(footprint.scratch),
        mega(*limit)
    )]
    Memory {
        /// What it needs.
        footprint: Footprint,
        /// What there is.
        limit: u64,
        /// `the limit` or `the available memory`.
        what: &'static str,
    },
    /// The device failed while it was made ready: no thread could be started, no memory was left.
    #[error("{backend} could not be set up: {problem}")]
    Device {
        /// The backend's name.
        backend: String,
        /// What failed.
        problem: String,
    },
}

/// Why a step did not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// The inputs contradict the program or the plan.
    #[error("step inputs: {problem}")]
    Inputs {
        /// What is wrong.
        problem: String,
    },
    /// A token id that the embedding table does not have.
    #[error("token {token} is outside the vocabulary of {vocab}")]
    Token {
        /// The id.
        token: u32,
        /// Rows of the table.
        vocab: usize,
    },
    /// The device failed.
    #[error("{backend} failed: {problem}")]
    Device {
        /// The backend's name.
        backend: String,
        /// What failed.
        problem: String,
    },
}

fn mega(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}

impl CompileError {
    /// Checks a weight against its declaration; backends call it for each weight they pull.
    ///
    /// # Errors
    /// A missing or misshapen tensor.
    pub fn check(decl: &ffai_model::WeightDecl, tensor: Option<Tensor>) -> Result<Tensor, CompileError> {
        let tensor = tensor.ok_or_else(|| CompileError::MissingWeight { role: decl.role.clone() })?;
        if (tensor.rows(), tensor.cols()) == decl.shape.dims() {
            return Ok(tensor);
        }
        Err(CompileError::WeightShape {
            role: decl.role.clone(),
            expected: decl.shape.to_string(),
            got: format!("[{}, {}]", tensor.rows(), tensor.cols()),
        })
    }
}
