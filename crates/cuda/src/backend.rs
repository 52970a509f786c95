//! The backend.

use std::path::PathBuf;
use std::sync::Arc;

use ffai_program::{Backend, CompileError, Executable, Footprint, Plan, Program, Progress, WeightSource};

use crate::cache::Kernels;
use crate::compile::Compiler;
use crate::device::Card;
use crate::exec::{Exec, Step};
use crate::footprint::footprint;
use crate::hand_over::HandOver;
use crate::kernels::Library;
use crate::machine::Machine;
use crate::sampler::Sampler;
use crate::{CudaError, bandwidth};

/// Choices that are found out where they are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CudaOptions {
    /// The card's number, from 0; none is the first.
    pub device: Option<usize>,
    /// Where compiled kernels are kept; none compiles them each time.
    pub cache: Option<PathBuf>,
    /// Where NVRTC is looked for before the usual places.
    pub roots: Vec<PathBuf>,
    /// Whether keys and values are kept as f32 (true) or f16 (false). Otherwise as f16, unless all weights are f32.
    pub kv_f32: Option<bool>,
}

/// A card with its compiler.
pub struct Cuda {
    card: Card,
    kernels: Arc<Kernels>,
    kv_f32: Option<bool>,
}

impl Cuda {
    /// Opens the card.
    ///
    /// # Errors
    /// What is missing, with the command that mends it.
    pub fn new(options: CudaOptions) -> Result<Cuda, CudaError> {
        let card = Card::open(options.device)?;
        let kernels = Kernels::new(options.cache, options.roots);
        // A missing compiler is better said now than at the first kernel. What is on the disk may do without one.
        if kernels.folder().is_none() {
            kernels.nvrtc()?;
        }
        Ok(Cuda { card, kernels: Arc::new(kernels), kv_f32: options.kv_f32 })
    }

    fn library(&self) -> Library {
        Library::new(self.card.clone(), Arc::clone(&self.kernels))
    }

    fn exec(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
        plan: &Plan,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Exec, CompileError> {
        let name = self.name();
        let failed = |error: CudaError| CompileError::Device { backend: name.clone(), problem: error.to_string() };
        let library = self.library();
        self.card.context.bind_to_thread().map_err(CudaError::driver("select the card")).map_err(failed)?;
        let stream = self.card.stream().map_err(failed)?;
        let mut compiler = Compiler::new(&name, &library, &stream, program, weights, self.kv_f32)?;
        let ready = compiler.ops(progress)?;
        let (needs, kv_f32) = (compiler.gather.needs(), compiler.kv_f32);
        let steps = program.ops.iter().zip(ready);
        let steps = steps.map(|(t, ready)| Step { tag: t.tag.clone(), outputs: t.op.outputs(), ready }).collect();
        let vocab = program.buf(program.logits).width;
        let sampler = Sampler::new(&library, plan, vocab).map_err(failed)?;
        let hand_over = HandOver::new(&library, plan, program.vocab).map_err(failed)?;
        let machine = Machine::new(library, stream.clone(), program, plan, needs, kv_f32).map_err(failed)?;
        Ok(Exec::new(name.clone(), program.clone(), plan.clone(), steps, machine, sampler, hand_over))
    }
}

impl Backend for Cuda {
    fn name(&self) -> String {
        format!("cuda:{} ({}, {})", self.card.ordinal, self.card.name, self.card.arch)
    }

    fn prompt_rows(&self) -> usize {
        2048
    }

    fn footprint(&self, program: &Program, weights: &dyn WeightSource, plan: &Plan) -> Footprint {
        footprint(program, weights, plan, self.kv_f32)
    }

    fn read_bandwidth(&self) -> Option<f64> {
        let stream = self.card.stream().ok()?;
        bandwidth::read(&self.library(), &stream).ok()
    }

    fn free_memory(&self) -> Option<u64> {
        self.card.free().ok()
    }

    fn compile(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
        plan: &Plan,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Box<dyn Executable>, CompileError> {
        if plan.deterministic {
            return Err(CompileError::Unsupported {
                backend: self.name(),
                tag: "a deterministic plan".to_owned(),
                problem: "its sums go in orders that depend on the step".to_owned(),
            });
        }
        Ok(Box::new(self.exec(program, weights, plan, progress)?))
    }
}
