//! From a program to ops made ready.

use std::sync::Arc;

use ffai_checkpoint::Tensor;
use ffai_model::Activation;
use ffai_program::{
    CompileError, ExpertDown, ExpertUp, NormW, NormWKind, Op, Plan, Program, Progress, Proj, Rounding, W, WeightSource,
};

use crate::exec::{Exec, Step};
use crate::machine::{Machine, Needs, PANEL_ROWS};
use crate::matrix::Matrix;
use crate::ops::attend::{self, Attend};
use crate::ops::elementwise::{AddNorm, Factors, Gate, Scale, SoftCap, Times};
use crate::ops::embed::Embed;
use crate::ops::experts::{ExpertsDown, ExpertsUp, Last};
use crate::ops::gate_up::{First, GateUp};
use crate::ops::gather::Gather;
use crate::ops::head_project::HeadProject;
use crate::ops::input::Input;
use crate::ops::latent_append::LatentAppend;
use crate::ops::linear::{Part, Products};
use crate::ops::recurrent::{Conv, Delta, Lru, Scan, Ssd};
use crate::ops::rotate_append::{Rotate, RotateAppend};
use crate::ops::route::{self, Route};
use crate::ops::{Norm, Ready};
use crate::select::Kernels;
use crate::{Backend as _, Cpu};

/// Makes every op of a program ready and takes the memory that the plan says.
pub(crate) fn compile(
    cpu: &Cpu,
    program: &Program,
    weights: &dyn WeightSource,
    plan: &Plan,
    progress: &mut dyn FnMut(Progress),
) -> Result<Exec, CompileError> {
    let total = program.weights.len();
    let mut tensors = Vec::with_capacity(total);
    for decl in &program.weights {
        tensors.push(CompileError::check(decl, weights.weight(&decl.role))?);
        progress(Progress { done: tensors.len(), total });
    }
    let mut compiler = Compiler { cpu, tensors, rounding: plan.rounding, in_mlp: false, needs: Needs::default() };
    let mut steps = Vec::with_capacity(program.ops.len());
    let mut inner = None;
    for tagged in &program.ops {
        // What a gated product writes is the inner of an MLP until the next one writes, and what reads it is the MLP's last product.
        if let Op::GateUp { out, .. } = &tagged.op {
            inner = Some(*out);
        }
        compiler.in_mlp = match &tagged.op {
            Op::GateUp { .. } => true,
            Op::Linear { x, .. } => inner == Some(*x),
            _ => false,
        };
        let ready = compiler.op(program, &tagged.tag, &tagged.op)?;
        steps.push(Step { tag: tagged.tag.clone(), outputs: tagged.op.outputs(), ready });
    }
    let kv = cpu.kv.unwrap_or_else(|| Plan::kv(compiler.tensors.iter().map(Tensor::storage)));
    let kernels = Kernels::new(cpu.level, kv);
    let machine = Machine::new(program, plan, compiler.needs, Arc::clone(&cpu.pool), kernels, kv);
    Ok(Exec::new(program.clone(), plan.clone(), steps, machine))
}

struct Compiler<'a> {
    cpu: &'a Cpu,
    tensors: Vec<Tensor>,
    rounding: Rounding,
    /// Whether the op is of an MLP.
    in_mlp: bool,
    needs: Needs,
}

impl Compiler<'_> {
    fn op(&mut self, program: &Program, tag: &str, op: &Op) -> Result<Box<dyn Ready>, CompileError> {
        Ok(match op {
            Op::Embed { table, scale, out } => {
                Box::new(Embed { table: self.matrix(tag, *table)?, scale: *scale, out: *out })
            }
            Op::Project { x, norm, outs } => {
                let parts = outs.iter().map(|p| self.part(tag, p, 1.0, None)).collect::<Result<Vec<_>, _>>()?;
                self.products(*x, *norm, parts)
            }
            Op::Linear { x, norm, proj, scale, add } => {
                let part = self.part(tag, proj, *scale, *add)?;
                self.products(*x, *norm, vec![part])
            }
            Op::GateUp { x, norm, gate, gate_bias, up, up_bias, act, out } => {
                let pair = ExpertUp { gate: *gate, gate_bias: *gate_bias, up: *up, up_bias: *up_bias };
                let first = self.first(tag, &pair, *act)?;
                let input = Input::new(*x, norm.map(|n| self.norm(n)), first.matrices());
                Box::new(GateUp { input, first, out: *out })
            }
            Op::Route { logits, correction, factors, routing, out } => {
                self.needs.normed = self.needs.normed.max(route::SCRATCH * program.buf(*logits).width);
                let (correction, factors) = (self.bias(*correction), self.bias(*factors));
                Box::new(Route { logits: *logits, correction, factors, routing: *routing, out: *out })
            }
            Op::ExpertsUp { x, norm, routes, experts, act, out } => {
                self.needs.experts = self.needs.experts.max(experts.len());
                let firsts = experts.iter().map(|e| self.first(tag, e, *act)).collect::<Result<Vec<_>, _>>()?;
                let input = Input::new(*x, norm.map(|n| self.norm(n)), firsts.iter().flat_map(First::matrices));
                let slots = program.buf(*routes).width / 2;
                Box::new(ExpertsUp { input, routes: *routes, slots, experts: firsts, out: *out })
            }
            Op::ExpertsDown { x, routes, experts, scale, add, out } => {
                self.needs.experts = self.needs.experts.max(experts.len());
                let mut last = |e: &ExpertDown| Ok(Last { matrix: self.matrix(tag, e.w)?, bias: self.bias(e.bias) });
                let experts = experts.iter().map(&mut last).collect::<Result<Vec<_>, CompileError>>()?;
                let input = Input::new(*x, None, experts.iter().map(|e| &e.matrix));
                let (slots, scale, add) = (program.buf(*routes).width / 2, *scale, *add);
                Box::new(ExpertsDown { input, routes: *routes, slots, experts, scale, add, out: *out })
            }
            Op::Gate { x, gate, by } => Box::new(Gate { x: *x, gate: *gate, by: *by }),
            Op::Factors { x, parts } => Box::new(Factors { x: *x, parts: parts.clone() }),
            Op::Conv { .. } | Op::Scan { .. } | Op::Ssd { .. } | Op::Delta { .. } | Op::Lru { .. } => {
                self.recurrent(op)
            }
            Op::Times { x, by, first } => Box::new(Times { x: *x, by: *by, first: *first }),
            Op::Scale { x, by } => Box::new(Scale { x: *x, by: self.tensors[by.0 as usize].to_f32()[0] }),
            Op::Rotate { x, dim, norm, rope, growth } => {
                let norm = norm.map(|n| self.norm(n));
                Box::new(Rotate { x: *x, dim: *dim, norm, rope: *rope, growth: *growth })
            }
            Op::Norm { x, norm, part, add, out } => {
                self.needs.normed = self.needs.normed.max(*part);
                Box::new(AddNorm { x: *x, norm: self.norm(*norm), part: *part, add: *add, out: *out })
            }
            Op::SoftCap { x, cap } => Box::new(SoftCap { x: *x, cap: *cap }),
            Op::RotateAppend { q, k, v, heads, q_norm, k_norm, rope, growth, kv } => {
                let (rope, growth) = (*rope, *growth);
                let (q_norm, k_norm) = (q_norm.map(|n| self.norm(n)), k_norm.map(|n| self.norm(n)));
                Box::new(RotateAppend { q: *q, k: *k, v: *v, heads: *heads, q_norm, k_norm, rope, growth, kv: *kv })
            }
            Op::HeadProject { x, matrices, out } => {
                let matrix = self.matrix(tag, matrices.w)?.in_floats();
                if !matrices.transposed {
                    self.needs.head = self.needs.head.max(matrix.cols());
                }
                Box::new(HeadProject { x: *x, matrix, matrices: *matrices, out: *out })
            }
            Op::LatentAppend { q, key, heads, norm, rope, kv } => {
                let norm = self.norm(*norm);
                self.needs.normed = self.needs.normed.max(norm.weight.len());
                Box::new(LatentAppend { q: *q, key: *key, heads: *heads, norm, rope: *rope, kv: *kv })
            }
            Op::Attend { q, heads, kv, scale, cap, window, sinks, out } => {
                self.needs.heads = self.needs.heads.max((heads.q / heads.kv).min(attend::HEADS));
                let (scale, cap, window, sinks) = (*scale, *cap, *window, self.bias(*sinks));
                Box::new(Attend { q: *q, heads: *heads, kv: *kv, scale, cap, window, sinks, out: *out })
            }
            Op::Gather { x, out } => Box::new(Gather { x: *x, out: *out }),
        })
    }

    /// An op with a state.
    fn recurrent(&mut self, op: &Op) -> Box<dyn Ready> {
        match op {
            Op::Conv { x, taps, bias, act, out, state } => {
                let kernel = self.tensors[taps.0 as usize].cols();
                let (taps, bias) = (self.transposed(*taps), self.bias(*bias));
                Box::new(Conv { x: *x, taps, kernel, bias, act: *act, out: *out, state: *state })
            }
            Op::Scan { x, dt, b, c, decay, d, out, state } => {
                let (decay, d) = (self.transposed(*decay), self.floats(*d));
                Box::new(Scan { x: *x, dt: *dt, b: *b, c: *c, decay, d, out: *out, state: *state })
            }
            Op::Ssd { xbc, dt, step, decay, d, heads, limits, out, state } => {
                let (step, decay, d) = (self.floats(*step), self.floats(*decay), self.floats(*d));
                let repeats = heads.count * heads.dim / d.len();
                let d = d.into_iter().flat_map(|d| std::iter::repeat_n(d, repeats)).collect();
                let (heads, limits, out, state) = (*heads, *limits, *out, *state);
                Box::new(Ssd { xbc: *xbc, dt: *dt, step, decay, d, heads, limits, out, state })
            }
            Op::Delta { q, k, v, b, a, step, decay, heads, out, state } => {
                let (step, decay) = (self.floats(*step), self.floats(*decay));
                let (q, k, v, b, a, heads, out, state) = (*q, *k, *v, *b, *a, *heads, *out, *state);
                Box::new(Delta { q, k, v, b, a, step, decay, heads, out, state })
            }
            Op::Lru { x, input, gate, input_bias, gate_bias, decay, out, state } => {
                let [input_bias, gate_bias, decay] = [input_bias, gate_bias, decay].map(|w| self.floats(*w));
                let (x, input, gate, out, state) = (*x, *input, *gate, *out, *state);
                Box::new(Lru { x, input, gate, input_bias, gate_bias, decay, out, state })
            }
            _ => unreachable!("an op without a state"),
        }
    }

    /// The numbers of a small matrix, columns first.
    fn transposed(&self, w: W) -> Vec<f32> {
        let (tensor, numbers) = (&self.tensors[w.0 as usize], self.floats(w));
        let cols = tensor.cols();
        (0..numbers.len()).map(|i| numbers[i % tensor.rows() * cols + i / tensor.rows()]).collect()
    }

    fn floats(&self, w: W) -> Vec<f32> {
        self.tensors[w.0 as usize].to_f32()
    }

    fn products(&self, x: ffai_program::Buf, norm: Option<NormW>, parts: Vec<Part>) -> Box<dyn Ready> {
        let input = Input::new(x, norm.map(|n| self.norm(n)), parts.iter().map(|p| &p.matrix));
        Box::new(Products { input, parts })
    }

    fn first(&mut self, tag: &str, mlp: &ExpertUp, act: Activation) -> Result<First, CompileError> {
        Ok(First {
            gate: self.matrix(tag, mlp.gate)?,
            gate_bias: self.bias(mlp.gate_bias),
            up: mlp.up.map(|up| self.matrix(tag, up)).transpose()?,
            up_bias: self.bias(mlp.up_bias),
            act,
        })
    }

    fn part(
        &mut self,
        tag: &str,
        proj: &Proj,
        scale: f32,
        add: Option<ffai_program::Buf>,
    ) -> Result<Part, CompileError> {
        Ok(Part { matrix: self.matrix(tag, proj.w)?, bias: self.bias(proj.bias), out: proj.out, scale, add })
    }

    fn matrix(&mut self, tag: &str, w: W) -> Result<Matrix, CompileError> {
        let tensor = self.tensors[w.0 as usize].clone();
        let storage = tensor.storage();
        let matrix = Matrix::new(tensor, self.cpu.level).ok_or_else(|| CompileError::Unsupported {
            backend: self.cpu.name(),
            tag: tag.to_owned(),
            problem: format!("no kernel reads {storage} weights"),
        })?;
        let matrix = match self.rounding {
            Rounding::Bf16 if !self.in_mlp => matrix,
            rounding => matrix.rounded(rounding),
        };
        self.needs.scales = self.needs.scales.max(matrix.scratch(PANEL_ROWS));
        matrix.orders().iter().for_each(|order| self.needs.orders[*order as usize] = true);
        Ok(matrix)
    }

    fn norm(&self, norm: NormW) -> Norm {
        let (center, bias) = match norm.kind {
            NormWKind::Rms => (false, None),
            NormWKind::Layer { bias } => (true, bias),
        };
        let weight = self.tensors[norm.weight.0 as usize].to_f32();
        Norm { weight, bias: self.bias(bias), eps: norm.eps, center }
    }

    fn bias(&self, bias: Option<W>) -> Option<Vec<f32>> {
        bias.map(|w| self.tensors[w.0 as usize].to_f32())
    }
}
