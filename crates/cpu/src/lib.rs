//! The CPU backend: programs run on the vector units, over weights as they lie in the mapped file.
//!
//! Kernels are written once over a small set of vector operations ([`Level`] says which sets there are) and once for each op;
//! a storage adds a loader that decodes 32 of its numbers. The level is found when the program runs, so one binary serves all.
//!
//! The key decision is one arithmetic for any number of rows: an element of a product is one chain of multiply-adds in each
//! vector lane along the inner dimension and one sum of the lanes in fixed order (on processors with VNNI a chain over groups
//! whose own sums are exact whole numbers), and attention takes keys page by page at
//! their absolute places. So a sequence's results are the same bits in any batch, in any chunks and with any number of threads.
//! Recurrences keep that promise under a deterministic [`Plan`]; otherwise whole chunks of [`Cpu::CHUNK`] tokens run in a chunked form, and
//! results depend, within 1e-4, on which chunks a step cuts.
//!
//! ```
//! use ffai_cpu::{Cpu, CpuOptions};
//! use ffai_program::Backend;
//!
//! let cpu = Cpu::new(CpuOptions { threads: Some(2), ..CpuOptions::default() })?;
//! assert!(cpu.name().ends_with("2 threads)"));
//! # Ok::<(), ffai_cpu::CpuError>(())
//! ```

mod bandwidth;
mod compile;
mod cores;
mod exec;
mod floats;
mod grouped;
mod halves;
mod kernels;
mod level;
mod machine;
mod matrix;
mod ops;
mod pages;
mod pool;
mod rope;
mod select;
mod simd;
mod slots;

use std::sync::Arc;

use ffai_checkpoint::Float;
use ffai_program::{Backend, CompileError, Executable, Footprint, Plan, Program, Progress, WeightSource};

pub use level::Level;
use pool::Pool;

/// Choices that are found out where they are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuOptions {
    /// Threads, the caller of a step included. Otherwise one for each physical core that the process may use.
    pub threads: Option<usize>,
    /// The level. Otherwise the best that the machine has.
    pub level: Option<Level>,
    /// What keys and values are kept as. Otherwise as [`Plan::kv`] says.
    pub kv: Option<Float>,
}

/// Why the backend cannot be had as asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CpuError {
    /// The machine lacks the instructions of a level.
    #[error("this processor does not have {wanted}; its best level is {best}")]
    Level {
        /// What was asked for.
        wanted: Level,
        /// What there is.
        best: Level,
    },
    /// A number of threads that makes no sense.
    #[error("{threads} threads were asked for; choose from 1 to {most}")]
    Threads {
        /// What was asked for.
        threads: usize,
        /// [`Cpu::MOST_THREADS`].
        most: usize,
    },
    /// The system gives no more threads.
    #[error("cannot start {threads} threads: {source}")]
    Start {
        /// What was asked for.
        threads: usize,
        /// What the system says.
        source: std::io::Error,
    },
}

/// The backend. Programs that one `Cpu` compiled share its threads and take turns.
pub struct Cpu {
    level: Level,
    kv: Option<Float>,
    pool: Arc<Pool>,
}

impl Cpu {
    /// More threads than any machine has cores.
    pub const MOST_THREADS: usize = 1024;

    /// Tokens that recurrences take at once in prompts, unless the plan is deterministic. Such a chunk begins at a position that is a
    /// multiple of it and lies in one step as a whole; all other tokens run one by one.
    pub const CHUNK: usize = kernels::chunk::CHUNK;

    /// Starts the threads.
    ///
    /// # Errors
    /// A level that the machine lacks, or threads that cannot be started.
    pub fn new(options: CpuOptions) -> Result<Cpu, CpuError> {
        let best = Level::best();
        let level = options.level.unwrap_or(best);
        if !level.is_available() {
            return Err(CpuError::Level { wanted: level, best });
        }
        let threads = options.threads.unwrap_or_else(cores::physical);
        if !(1..=Cpu::MOST_THREADS).contains(&threads) {
            return Err(CpuError::Threads { threads, most: Cpu::MOST_THREADS });
        }
        let pool = Pool::new(threads).map_err(|source| CpuError::Start { threads, source })?;
        Ok(Cpu { level, kv: options.kv, pool: Arc::new(pool) })
    }

    /// The level in use.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Threads, the caller of a step included.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }
}

impl Backend for Cpu {
    fn name(&self) -> String {
        let plural = if self.threads() == 1 { "" } else { "s" };
        format!("cpu ({}, {} thread{plural})", self.level, self.threads())
    }

    fn footprint(&self, program: &Program, weights: &dyn WeightSource, plan: &Plan) -> Footprint {
        let storages = program.weights.iter().filter_map(|decl| weights.weight(&decl.role));
        let orders = storages.filter_map(|t| matrix::Matrix::orders_of(self.level, t.storage()));
        let orders: Vec<_> = orders.flatten().collect();
        let scratch = machine::Machine::scratch_bytes(program, plan, self.threads(), &orders);
        let general = plan.footprint(program, weights.bytes());
        let storages = program.weights.iter().filter_map(|decl| Some(weights.weight(&decl.role)?.storage()));
        let kv = general.kv / size_of::<f32>() as u64 * self.kv.unwrap_or_else(|| Plan::kv(storages)).size() as u64;
        Footprint { kv, scratch, ..general }
    }

    fn read_bandwidth(&self) -> Option<f64> {
        Some(bandwidth::read(&self.pool))
    }

    fn compile(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
        plan: &Plan,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Box<dyn Executable>, CompileError> {
        Ok(Box::new(compile::compile(self, program, weights, plan, progress)?))
    }
}
