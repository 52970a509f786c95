//! The interpreter: what a program means. Slow and obvious; products are summed in f64 and rounded once, so that it stands
//! nearer to the truth than anything it judges.

mod attention;
mod experts;
mod latent;
mod linear;
mod recurrent;

use ffai_checkpoint::Tensor;
use ffai_model::Activation;

use crate::{
    Backend, Buf, CompileError, Executable, ExpertUp, Gating, KvLayout, NormW, NormWKind, Op, Output, Plan, Program,
    Progress, Rows, StepError, StepInputs, Traced, W, Want, WeightSource, sample,
};

/// The interpreter as a backend.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reference;

impl Backend for Reference {
    fn name(&self) -> String {
        "reference interpreter (f32)".to_owned()
    }

    fn compile(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
        plan: &Plan,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Box<dyn Executable>, CompileError> {
        let total = program.weights.len();
        let mut tensors = Vec::with_capacity(total);
        for decl in &program.weights {
            tensors.push(CompileError::check(decl, weights.weight(&decl.role))?);
            progress(Progress { done: tensors.len(), total });
        }
        let layouts: Vec<_> = program.states.iter().map(|g| KvLayout::new(g, plan.page_tokens)).collect();
        Ok(Box::new(Interpreter {
            bufs: vec![Vec::new(); program.bufs.len()],
            kv: layouts.iter().zip(&plan.pages).map(|(l, pages)| vec![0.0; l.page() * pages]).collect(),
            layouts,
            slots: vec![program.slots.iter().map(|part| vec![0.0; part.width]).collect(); plan.slots],
            tensors,
            program: program.clone(),
            plan: plan.clone(),
        }))
    }
}

struct Interpreter {
    program: Program,
    plan: Plan,
    tensors: Vec<Tensor>,
    /// `[rows, width]` each, sized anew for each step.
    bufs: Vec<Vec<f32>>,
    /// The pages of each state group.
    kv: Vec<Vec<f32>>,
    layouts: Vec<KvLayout>,
    /// The parts of each slot.
    slots: Vec<Vec<Vec<f32>>>,
}

impl Executable for Interpreter {
    fn step_traced(
        &mut self,
        inputs: &StepInputs,
        mut trace: Option<&mut dyn FnMut(Traced<'_>)>,
    ) -> Result<Vec<Output>, StepError> {
        inputs.check(&self.program, &self.plan)?;
        for (buf, decl) in self.bufs.iter_mut().zip(&self.program.bufs) {
            let rows = if decl.rows == Rows::Step { inputs.rows() } else { inputs.want.len() };
            buf.clear();
            buf.resize(rows * decl.width, 0.0);
        }
        let ops = std::mem::take(&mut self.program.ops);
        for tagged in &ops {
            self.run(&tagged.op, inputs);
            if let Some(trace) = trace.as_mut() {
                for buf in tagged.op.outputs() {
                    let decl = self.program.buf(buf);
                    let data = &mut self.bufs[buf.0 as usize][..];
                    trace(Traced { tag: &tagged.tag, buf: decl.name, width: decl.width, data });
                }
            }
        }
        self.program.ops = ops;
        Ok(self.outputs(inputs))
    }

    fn copy_page(&mut self, group: usize, from: u32, to: u32) {
        let page = self.layouts[group].page();
        self.kv[group].copy_within(from as usize * page..(from as usize + 1) * page, to as usize * page);
    }
}

impl Interpreter {
    fn get(&self, buf: Buf) -> &[f32] {
        &self.bufs[buf.0 as usize]
    }

    fn width(&self, buf: Buf) -> usize {
        self.program.buf(buf).width
    }

    fn tensor(&self, w: W) -> &Tensor {
        &self.tensors[w.0 as usize]
    }

    fn vector(&self, w: W) -> Vec<f32> {
        self.tensor(w).to_f32()
    }

    fn run(&mut self, op: &Op, inputs: &StepInputs) {
        match op {
            Op::Embed { table, scale, out } => self.embed(*table, *scale, *out, &inputs.tokens),
            Op::Project { x, norm, outs } => {
                let x = self.normed(*x, *norm);
                outs.iter().for_each(|p| self.bufs[p.out.0 as usize] = self.product(&x, p.w, p.bias));
            }
            Op::Linear { x, norm, proj, scale, add } => {
                let mut y = self.product(&self.normed(*x, *norm), proj.w, proj.bias);
                y.iter_mut().for_each(|y| *y *= scale);
                if let Some(add) = add {
                    y.iter_mut().zip(self.get(*add)).for_each(|(y, a)| *y += a);
                }
                self.bufs[proj.out.0 as usize] = y;
            }
            Op::GateUp { x, norm, gate, gate_bias, up, up_bias, act, out } => {
                let x = self.normed(*x, *norm);
                let mlp = ExpertUp { gate: *gate, gate_bias: *gate_bias, up: *up, up_bias: *up_bias };
                self.bufs[out.0 as usize] = self.gate_up(&x, &mlp, *act);
            }
            Op::Route { .. } => self.route(op),
            Op::ExpertsUp { .. } => self.experts_up(op),
            Op::ExpertsDown { .. } => self.experts_down(op),
            Op::Gate { x, gate, by } => {
                let (width, gates) = (self.width(*x) / self.width(*gate), self.get(*gate).to_vec());
                let factor = |g: f32| match by {
                    Gating::Sigmoid => linear::sigmoid(g),
                    Gating::Silu => g * linear::sigmoid(g),
                    Gating::GeluTanh => linear::gated(Activation::GeluTanh, g, None),
                };
                let parts = self.bufs[x.0 as usize].chunks_exact_mut(width);
                parts.zip(gates).for_each(|(part, g)| part.iter_mut().for_each(|x| *x *= factor(g)));
            }
            Op::Factors { x, parts } => {
                let factors = parts.iter().flat_map(|(width, factor)| std::iter::repeat_n(factor, *width));
                self.bufs[x.0 as usize].iter_mut().zip(factors.cycle()).for_each(|(x, factor)| *x *= factor);
            }
            Op::Times { x, by, first } => {
                let (width, all) = (self.width(*x), self.width(*by));
                let by: Vec<f32> =
                    self.get(*by).chunks_exact(all).flat_map(|row| &row[*first..][..width]).copied().collect();
                self.bufs[x.0 as usize].iter_mut().zip(by).for_each(|(x, by)| *x *= by);
            }
            Op::Scale { x, by } => {
                let by = self.vector(*by)[0];
                self.bufs[x.0 as usize].iter_mut().for_each(|x| *x *= by);
            }
            Op::Rotate { x, dim, norm, rope, growth } => {
                self.turn(*x, *dim, *norm, *rope, inputs);
                if let Some(growth) = growth {
                    self.grow(*x, *growth, &inputs.positions);
                }
            }
            Op::Norm { x, norm, part, add, out } => {
                let mut y = self.get(*x).to_vec();
                let norm = self.norm(*norm);
                let parts = norm.parts(*part);
                y.chunks_exact_mut(*part).zip(parts.iter().cycle()).for_each(|(y, norm)| norm.apply(y));
                if let Some(add) = add {
                    y.iter_mut().zip(self.get(*add)).for_each(|(y, a)| *y += a);
                }
                self.bufs[out.0 as usize] = y;
            }
            Op::SoftCap { x, cap } => self.bufs[x.0 as usize].iter_mut().for_each(|x| *x = cap * (*x / cap).tanh()),
            Op::RotateAppend { .. } => self.rotate_append(op, inputs),
            Op::HeadProject { x, matrices, out } => self.head_project(*x, *matrices, *out),
            Op::LatentAppend { .. } => self.latent_append(op, inputs),
            Op::Attend { .. } => self.attend(op, inputs),
            Op::Conv { .. } => self.conv(op, inputs),
            Op::Scan { .. } => self.scan(op, inputs),
            Op::Lru { .. } => self.lru(op, inputs),
            Op::Ssd { .. } => self.ssd(op, inputs),
            Op::Delta { .. } => self.delta(op, inputs),
            Op::Gather { x, out } => self.gather(*x, *out, inputs),
        }
    }

    fn embed(&mut self, table: W, scale: f32, out: Buf, tokens: &[u32]) {
        let width = self.width(out);
        let table = &self.tensors[table.0 as usize];
        let rows = self.bufs[out.0 as usize].chunks_exact_mut(width);
        rows.zip(tokens).for_each(|(row, token)| {
            table.decode_row(*token as usize, row);
            row.iter_mut().for_each(|x| *x *= scale);
        });
    }

    fn gather(&mut self, x: Buf, out: Buf, inputs: &StepInputs) {
        let width = self.width(x);
        let row = |row: usize| &self.get(x)[row * width..(row + 1) * width];
        self.bufs[out.0 as usize] = inputs.want.iter().flat_map(|w| row(w.row)).copied().collect();
    }

    fn normed(&self, x: Buf, norm: Option<NormW>) -> Vec<f32> {
        let mut out = self.get(x).to_vec();
        if let Some(norm) = norm {
            let norm = self.norm(norm);
            out.chunks_exact_mut(norm.weight.len()).for_each(|row| norm.apply(row));
        }
        out
    }

    fn norm(&self, norm: NormW) -> linear::NormValues {
        let (center, bias) = match norm.kind {
            NormWKind::Rms => (false, None),
            NormWKind::Layer { bias } => (true, bias.map(|bias| self.vector(bias))),
        };
        linear::NormValues { weight: self.vector(norm.weight), center, bias, eps: norm.eps }
    }

    fn product(&self, x: &[f32], w: W, bias: Option<W>) -> Vec<f32> {
        linear::product(x, self.tensor(w), bias.map(|b| self.vector(b)).as_deref())
    }

    fn gate_up(&self, x: &[f32], mlp: &ExpertUp, act: Activation) -> Vec<f32> {
        let gate = self.product(x, mlp.gate, mlp.gate_bias);
        let up = mlp.up.map(|up| self.product(x, up, mlp.up_bias));
        let pair = |(i, gate): (usize, &f32)| linear::gated(act, *gate, up.as_ref().map(|up| up[i]));
        gate.iter().enumerate().map(pair).collect()
    }

    fn outputs(&self, inputs: &StepInputs) -> Vec<Output> {
        let rows = self.get(self.program.logits).chunks_exact(self.width(self.program.logits));
        rows.zip(&inputs.want)
            .map(|(logits, wanted)| match &wanted.what {
                Want::Logits => Output::Logits(logits.to_vec()),
                Want::Sample(s) => sample::sample(&mut logits.to_vec(), &s.sampling, &s.seen, s.position)
                    .map_or(Output::NotFinite, Output::Token),
            })
            .collect()
    }
}
