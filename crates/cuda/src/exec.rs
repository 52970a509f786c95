//! A compiled program at work.
#![expect(unsafe_code, reason = "a graph that moves between threads")]

use std::collections::HashMap;

use cudarc::driver::{CudaGraph, sys};
use ffai_program::{Buf, Executable, Output, Plan, Program, StepError, StepInputs, Traced, Want};

use crate::CudaError;
use crate::ahead::{following, is_foretold};
use crate::device::{Chains, hold_streams};
use crate::hand_over::HandOver;
use crate::machine::{Machine, Shape, kv_bytes};
use crate::ops::Ready;
use crate::ops::product::FEW_ROWS;
use crate::sampler::Sampler;

/// An op with what a trace says of it.
pub(crate) struct Step {
    pub(crate) tag: String,
    pub(crate) outputs: Vec<Buf>,
    pub(crate) ready: Box<dyn Ready>,
}

/// The executable.
pub(crate) struct Exec {
    name: String,
    program: Program,
    plan: Plan,
    steps: Vec<Step>,
    machine: Machine,
    sampler: Sampler,
    hand_over: HandOver,
    /// Launches of decoding steps, recorded once for each shape.
    graphs: HashMap<Shape, CudaGraph>,
    /// The number of the last step that was put on the stream and draws tokens.
    number: u32,
    /// What that step is, if it was begun before anybody asked for it.
    ahead: Option<StepInputs>,
    /// Whether this one runs chains, of all that share its card.
    chains: Chains,
}

// SAFETY: the driver's objects may be used from any thread that has made their context current, which `step_traced` and `copy_page`
// do first; `Rc` and `RefCell` inside never leave this value.
unsafe impl Send for Exec {}

impl Exec {
    pub(crate) fn new(
        name: String,
        program: Program,
        plan: Plan,
        steps: Vec<Step>,
        machine: Machine,
        sampler: Sampler,
        hand_over: HandOver,
    ) -> Exec {
        let (graphs, chains) = (HashMap::new(), Chains::new(machine.library.card().ordinal));
        Exec { name, program, plan, steps, machine, sampler, hand_over, graphs, number: 0, ahead: None, chains }
    }

    fn failed(&self, error: &CudaError) -> StepError {
        StepError::Device { backend: self.name.clone(), problem: error.to_string() }
    }

    fn bind(&self) -> Result<(), CudaError> {
        self.machine.library.card().context.bind_to_thread().map_err(CudaError::driver("select the card"))
    }

    fn shape(&mut self, inputs: &StepInputs) -> Shape {
        let shape = Shape::of(inputs);
        let may = shape.rows == 1 && shape.fused && self.machine.scratch.exchange.len() > 0;
        Shape { chained: may && self.chains.take(), ..shape }
    }

    /// All launches of a step.
    fn launch(&self, shape: &Shape) -> Result<(), CudaError> {
        self.steps.iter().try_for_each(|step| step.ready.launch(&self.machine, shape))?;
        self.sample(shape)
    }

    /// From logits to tokens on their way to the host.
    fn sample(&self, shape: &Shape) -> Result<(), CudaError> {
        if shape.wanted == 0 {
            return Ok(());
        }
        self.sampler.launch(&self.machine.stream, shape, self.machine.at(self.program.logits))?;
        self.hand_over.launch(&self.machine, &self.sampler, shape)
    }

    /// Tells the card of a step. Its number is the next one.
    fn describe(&mut self, inputs: &StepInputs, shape: &Shape) -> Result<(), CudaError> {
        let stream = self.machine.stream.clone();
        let number = self.number.wrapping_add(1);
        self.machine.info.set(inputs, number, &stream)?;
        if shape.sampled {
            let vocab = self.sampler.vocab();
            self.sampler.rows.set(inputs, vocab, &stream)?;
        }
        self.number = if shape.wanted > 0 { number } else { self.number };
        Ok(())
    }

    /// Begins the step behind one that is on its way, if the card can run it by itself.
    fn run_ahead(&mut self, inputs: &StepInputs) -> Result<(), CudaError> {
        let Some(next) = following(inputs, &self.program, &self.plan) else { return Ok(()) };
        let shape = self.shape(&next);
        self.run(shape)?;
        self.number = self.number.wrapping_add(1);
        self.ahead = Some(next);
        Ok(())
    }

    /// Runs the launches of a step: those of a decoding step from a recording.
    fn run(&mut self, shape: Shape) -> Result<(), CudaError> {
        if shape.tiles > 0 || shape.rows > FEW_ROWS {
            return self.launch(&shape);
        }
        if !self.graphs.contains_key(&shape) {
            let graph = self.record(&shape)?;
            self.graphs.insert(shape, graph);
        }
        match self.graphs.get(&shape) {
            Some(graph) => graph.launch().map_err(CudaError::driver("launch a graph")),
            None => self.launch(&shape),
        }
    }

    fn record(&self, shape: &Shape) -> Result<CudaGraph, CudaError> {
        let stream = &self.machine.stream;
        let _held = hold_streams();
        stream
            .begin_capture(sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL)
            .map_err(CudaError::driver("record a graph"))?;
        let launched = self.launch(shape);
        let flags = sys::CUgraphInstantiate_flags::CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
        let graph = stream.end_capture(flags);
        // A launch that fails says more than that nothing can be recorded.
        launched?;
        graph.map_err(CudaError::driver("record a graph"))?.ok_or_else(|| CudaError::Driver {
            what: "record a graph".to_owned(),
            code: "nothing was recorded".to_owned(),
        })
    }

    fn show(&self, step: &Step, shape: &Shape, trace: &mut dyn FnMut(Traced<'_>)) -> Result<(), CudaError> {
        for &buf in &step.outputs {
            let decl = self.program.buf(buf);
            let written = self.rows(buf, 0, self.machine.rows(buf, shape))?;
            let mut data = written.clone();
            trace(Traced { tag: &step.tag, buf: decl.name, width: decl.width, data: &mut data });
            if data != written {
                let bytes: Vec<u8> = data.iter().flat_map(|value| value.to_le_bytes()).collect();
                self.machine.buf(buf).memory.write(0, &bytes)?;
            }
        }
        Ok(())
    }

    /// Some rows of a buffer.
    fn rows(&self, buf: Buf, first: usize, count: usize) -> Result<Vec<f32>, CudaError> {
        let buffer = self.machine.buf(buf);
        let row = buffer.width * 4;
        let mut bytes = vec![0; count * row];
        buffer.memory.read(&self.machine.stream, first * row, &mut bytes)?;
        Ok(bytes.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect())
    }

    /// Waits for the step `number`.
    fn outputs(&mut self, inputs: &StepInputs, number: u32) -> Result<Vec<Output>, CudaError> {
        let stream = &self.machine.stream;
        if inputs.want.is_empty() {
            stream.synchronize().map_err(CudaError::driver("wait for the card"))?;
            return Ok(Vec::new());
        }
        let tokens = self.hand_over.take(stream, number, inputs.want.len())?;
        if let Some(ahead) = &mut self.ahead {
            // What is no token foretells nothing.
            ahead.tokens = tokens.iter().map(|token| token.unwrap_or(u32::MAX)).collect();
        }
        let output = |(i, (wanted, token)): (usize, (&ffai_program::Wanted, Option<u32>))| match &wanted.what {
            Want::Sample(_) => Ok(token.map_or(Output::NotFinite, Output::Token)),
            Want::Logits => Ok(Output::Logits(self.rows(self.program.logits, i, 1)?)),
        };
        inputs.want.iter().zip(tokens).enumerate().map(output).collect()
    }

    fn traced(
        &mut self,
        inputs: &StepInputs,
        trace: Option<&mut dyn FnMut(Traced<'_>)>,
    ) -> Result<Vec<Output>, CudaError> {
        self.bind()?;
        let shape = self.shape(inputs);
        let begun = self.ahead.take().is_some_and(|ahead| trace.is_none() && is_foretold(&ahead, inputs));
        if !begun {
            self.describe(inputs, &shape)?;
        }
        let number = self.number;
        match trace {
            None => {
                if !begun {
                    self.run(shape)?;
                }
                self.run_ahead(inputs)?;
            }
            Some(trace) => {
                let shape = Shape { fused: false, chained: false, ..shape };
                for step in &self.steps {
                    step.ready.launch(&self.machine, &shape)?;
                    self.show(step, &shape, trace)?;
                }
                self.sample(&shape)?;
            }
        }
        self.outputs(inputs, number)
    }
}

impl Drop for Exec {
    fn drop(&mut self) {
        // A step that ran ahead may still write to what is about to be freed. A card that fails has stopped.
        let _ = self.bind().and_then(|()| self.machine.stream.synchronize().map_err(CudaError::driver("wait")));
    }
}

impl Executable for Exec {
    fn step_traced(
        &mut self,
        inputs: &StepInputs,
        trace: Option<&mut dyn FnMut(Traced<'_>)>,
    ) -> Result<Vec<Output>, StepError> {
        inputs.check(&self.program, &self.plan)?;
        self.traced(inputs, trace).map_err(|error| {
            // What was sent for this step must not change on its way.
            let _ = self.machine.stream.synchronize();
            self.failed(&error)
        })
    }

    fn copy_page(&mut self, group: usize, from: u32, to: u32) {
        // What ran ahead may have read the page as it was.
        self.ahead = None;
        let page = self.machine.layouts[group].page() * kv_bytes(self.machine.kv_f32);
        // A card that fails here fails in the step that follows as well, which says so.
        let _ = self.bind().and_then(|()| {
            self.machine.kv[group].copy_within(&self.machine.stream, from as usize * page, to as usize * page, page)
        });
    }
}
