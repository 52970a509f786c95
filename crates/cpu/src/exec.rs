//! A compiled program at work.

use ffai_program::{
    Buf, Executable, Output, Plan, Program, StepError, StepInputs, Traced, Want, Wanted, sample::sample,
};

use crate::machine::Machine;
use crate::ops::Ready;

/// An op with what a trace says of it.
pub(crate) struct Step {
    pub(crate) tag: String,
    pub(crate) outputs: Vec<Buf>,
    pub(crate) ready: Box<dyn Ready>,
}

/// The executable.
pub(crate) struct Exec {
    program: Program,
    plan: Plan,
    steps: Vec<Step>,
    machine: Machine,
}

impl Exec {
    pub(crate) fn new(program: Program, plan: Plan, steps: Vec<Step>, machine: Machine) -> Exec {
        Exec { program, plan, steps, machine }
    }

    fn show(&mut self, at: usize, inputs: &StepInputs, trace: &mut dyn FnMut(Traced<'_>)) {
        let step = &self.steps[at];
        for &buf in &step.outputs {
            let decl = self.program.buf(buf);
            let rows = self.machine.rows(buf, inputs);
            let data = &mut self.machine.bufs[buf.0 as usize].floats.slice_mut()[..rows * decl.width];
            trace(Traced { tag: &step.tag, buf: decl.name, width: decl.width, data });
        }
    }

    fn output(&mut self, i: usize, wanted: &Wanted) -> Output {
        let logits = &mut self.machine.bufs[self.program.logits.0 as usize];
        let width = logits.width;
        let logits = &mut logits.floats.slice_mut()[i * width..][..width];
        match &wanted.what {
            Want::Logits => Output::Logits(logits.to_vec()),
            Want::Sample(s) => {
                sample(logits, &s.sampling, &s.seen, s.position).map_or(Output::NotFinite, Output::Token)
            }
        }
    }
}

impl Executable for Exec {
    fn step_traced(
        &mut self,
        inputs: &StepInputs,
        mut trace: Option<&mut dyn FnMut(Traced<'_>)>,
    ) -> Result<Vec<Output>, StepError> {
        inputs.check(&self.program, &self.plan)?;
        self.machine.turns.set(inputs);
        self.machine.slots.begin(&inputs.seqs);
        for at in 0..self.steps.len() {
            self.steps[at].ready.run(&self.machine, inputs);
            if let Some(trace) = trace.as_mut() {
                self.show(at, inputs, trace);
            }
        }
        Ok(inputs.want.iter().enumerate().map(|(i, wanted)| self.output(i, wanted)).collect())
    }

    fn copy_page(&mut self, group: usize, from: u32, to: u32) {
        let page = self.machine.layouts[group].page();
        self.machine.kv[group].copy(from as usize * page, to as usize * page, page);
    }
}
