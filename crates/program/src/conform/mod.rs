//! Conformance: small programs over a table of shapes and storages, run by a backend and by the interpreter, compared op by op.
//!
//! A case is a program of the op in question behind `Embed` ops over plain tables: the tokens pick the inputs. Every backend runs
//! the same table; `compare` gives the error of each op by tag, so the first wrong op has a name.

mod cases;
mod experts;
mod random;

use std::collections::BTreeMap;

use ffai_checkpoint::Tensor;

use crate::{Backend, CompileError, Plan, Program, Reference, StepError, StepInputs, WeightSource};
pub use cases::{cases, recurrence};
pub use random::{Rng, random_tensor, storages};

/// A program with weights, a plan and steps to run one after the other.
#[derive(Clone, Debug)]
pub struct Case {
    /// Op, storage, shape.
    pub name: String,
    /// The program.
    pub program: Program,
    /// Its weights.
    pub weights: Bag,
    /// Its plan.
    pub plan: Plan,
    /// The steps.
    pub steps: Vec<StepInputs>,
}

/// Weights by role.
#[derive(Clone, Debug, Default)]
pub struct Bag(pub BTreeMap<String, Tensor>);

impl WeightSource for Bag {
    fn weight(&self, role: &str) -> Option<Tensor> {
        self.0.get(role).cloned()
    }
}

/// How far an op of a case is off.
#[derive(Clone, Debug)]
pub struct Difference {
    /// The op's tag.
    pub tag: String,
    /// The buffer it wrote.
    pub buf: &'static str,
    /// `||a - b|| / ||b||` over the whole buffer, `b` being the interpreter's. Infinite where `a` is not finite.
    pub error: f64,
}

/// What kept a comparison from being made.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// One of the two could not compile the program.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// One of the two could not run a step.
    #[error(transparent)]
    Step(#[from] StepError),
}

/// What an op wrote: its tag, the buffer, the numbers.
type Written = (String, &'static str, Vec<f32>);

impl Case {
    /// Runs all steps on `backend` and on the interpreter; gives each op's difference in each step, in order.
    ///
    /// # Errors
    /// When either cannot compile or run the case.
    pub fn compare(&self, backend: &dyn Backend) -> Result<Vec<Difference>, CompareError> {
        let (got, expected) = (self.trace(backend)?, self.trace(&Reference)?);
        let pairs = got.into_iter().zip(expected);
        Ok(pairs.map(|(a, b)| Difference { error: relative_error(&a.2, &b.2), tag: b.0, buf: b.1 }).collect())
    }

    fn trace(&self, backend: &dyn Backend) -> Result<Vec<Written>, CompareError> {
        let mut seen = Vec::new();
        let mut executable = backend.compile(&self.program, &self.weights, &self.plan, &mut |_| {})?;
        for step in &self.steps {
            executable.step_traced(step, Some(&mut |t| seen.push((t.tag.to_owned(), t.buf, t.data.to_vec()))))?;
        }
        Ok(seen)
    }
}

/// `||a - b|| / ||b||`; infinite where lengths differ or `a` is not finite.
pub fn relative_error(a: &[f32], b: &[f32]) -> f64 {
    if a.len() != b.len() || a.iter().any(|a| !a.is_finite()) {
        return f64::INFINITY;
    }
    let square = |x: f64| x * x;
    let off: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    let size: f64 = b.iter().map(|b| square(f64::from(*b))).sum();
    if off == 0.0 { 0.0 } else { (off / size.max(f64::MIN_POSITIVE)).sqrt() }
}
