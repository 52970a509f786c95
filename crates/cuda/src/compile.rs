//! From a program to ops made ready.

use std::cell::Cell;
use std::rc::Rc;

use cudarc::driver::CudaStream;
use ffai_checkpoint::{Float, Tensor};
use ffai_program::{Buf, CompileError, Heads, NormW, NormWKind, Op, Plan, Program, Progress, Proj, W, WeightSource};

use crate::CudaError;
use crate::kernels::Library;
use crate::machine::Gather;
use crate::matrix::{Matrix, Trouble};
use crate::memory::Memory;
use crate::ops::attend::{Attend, Parts};
use crate::ops::chain::{self, Member};
use crate::ops::conv::Convs;
use crate::ops::embed::Embed;
use crate::ops::experts::{ExpertsDown, ExpertsUp, Role};
use crate::ops::gate_up::GateUp;
use crate::ops::heads::HeadProject;
use crate::ops::input::Input;
use crate::ops::latent::LatentAppend;
use crate::ops::pointwise::{AddNorm, By, Gate, GatherRows, SoftCap, Times};
use crate::ops::product::{Part, Products};
use crate::ops::recurrent;
use crate::ops::rotate::{Rotate, Turn};
use crate::ops::route::Route;
use crate::ops::{ActArgs, Before, Norm, Ready};

/// Makes the ops of a program ready.
pub(crate) struct Compiler<'a> {
    pub(crate) name: &'a str,
    pub(crate) library: &'a Library,
    pub(crate) stream: &'a CudaStream,
    pub(crate) program: &'a Program,
    tensors: Vec<Tensor>,
    /// Matrices on the card; a tied weight is there once for both its uses.
    matrices: Vec<Option<Rc<Matrix>>>,
    pub(crate) gather: Gather,
    pub(crate) kv_f32: bool,
    before: Option<Before>,
    /// Routes whose first products of experts are all tiled: what comes after these need not wait for the routes.
    pub(crate) routed: Cell<Option<Buf>>,
    /// Ops that may be links of a chain, by their place.
    members: Vec<(usize, Member)>,
}

impl<'a> Compiler<'a> {
    /// Pulls the tensors; their bytes stay in their files until an op wants them.
    pub(crate) fn new(
        name: &'a str,
        library: &'a Library,
        stream: &'a CudaStream,
        program: &'a Program,
        weights: &dyn WeightSource,
        kv_f32: Option<bool>,
    ) -> Result<Compiler<'a>, CompileError> {
        let pull = |decl| CompileError::check(decl, weights.weight(&decl.role));
        let tensors = program.weights.iter().map(pull).collect::<Result<Vec<_>, _>>()?;
        let matrices = tensors.iter().map(|_| None).collect();
        let kv_f32 = kv_f32.unwrap_or_else(|| Plan::kv(tensors.iter().map(Tensor::storage)) == Float::F32);
        Ok(Compiler {
            name,
            library,
            stream,
            program,
            tensors,
            matrices,
            gather: Gather::default(),
            kv_f32,
            before: None,
            routed: Cell::new(None),
            members: Vec::new(),
        })
    }

    /// All ops, with the progress of their weights.
    pub(crate) fn ops(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<Vec<Box<dyn Ready>>, CompileError> {
        let total = self.program.ops.len();
        let mut ready = Vec::with_capacity(total);
        for (place, tagged) in self.program.ops.iter().enumerate() {
            ready.push(self.op(place, &tagged.op).map_err(|trouble| self.explain(&tagged.tag, trouble))?);
            progress(Progress { done: ready.len(), total });
        }
        let joined = chain::join(self.library, &self.gather, &self.program.ops, &self.members);
        joined.map_err(|error| self.explain("a chain", Trouble::Card(error)))?;
        Ok(ready)
    }

    fn explain(&self, tag: &str, trouble: Trouble) -> CompileError {
        let backend = self.name.to_owned();
        match trouble {
            Trouble::Odd(problem) => CompileError::Unsupported { backend, tag: tag.to_owned(), problem },
            Trouble::Card(error) => CompileError::Device { backend, problem: format!("{tag}: {error}") },
        }
    }

    fn op(&mut self, place: usize, op: &Op) -> Result<Box<dyn Ready>, Trouble> {
        let library = self.library;
        let before = self.before.take();
        Ok(match op {
            Op::Embed { table, scale, out } => {
                let table = self.matrix(*table)?;
                let kernel = library.kernel("embed.cu", "embed", &table.layout.options())?;
                Box::new(Embed { kernel, table, scale: *scale, out: *out })
            }
            Op::Project { x, norm, outs } => {
                let parts = outs.iter().map(|p| self.part(p, 1.0, None)).collect::<Result<Vec<_>, _>>()?;
                self.products(place, *x, *norm, parts, None)?
            }
            Op::Linear { x, norm, proj, scale, add } => {
                let part = self.part(proj, *scale, *add)?;
                let before = if let Some(Before::GateUp(gated)) = before { Some(gated) } else { None };
                self.products(place, *x, *norm, vec![part], before)?
            }
            Op::GateUp { x, norm, gate, gate_bias, up, up_bias, act, out } => {
                let input = self.input(*x, *norm)?;
                let gate = (self.matrix(*gate)?, self.vector(*gate_bias)?);
                let up = match up {
                    Some(up) => Some((self.matrix(*up)?, self.vector(*up_bias)?)),
                    None => None,
                };
                let ready = GateUp::new(library, &self.gather, input, gate, up, ActArgs::of(*act), *out)?;
                let ready = Rc::new(ready);
                self.before = Some(Before::GateUp(Rc::clone(&ready)));
                self.members.push((place, Member::GateUp(Rc::clone(&ready))));
                Box::new(ready)
            }
            Op::Conv { .. } => {
                let convs = if let Some(Before::Convs(convs)) = before { Some(convs) } else { None };
                let member = Convs::member(self, op, convs)?;
                self.before = Some(Before::Convs(Rc::clone(&member.0)));
                Box::new(member)
            }
            Op::Scan { .. } | Op::Ssd { .. } | Op::Delta { .. } | Op::Lru { .. } => recurrent::ready(self, op)?,
            Op::Factors { x, parts } => {
                let kernel = library.kernel("elementwise.cu", "times", &[])?;
                let each: Vec<f32> = parts.iter().flat_map(|(width, factor)| vec![*factor; *width]).collect();
                let by = By::Each(Memory::of_floats(&library.card().context, "factors", &each)?);
                Box::new(Times { kernel, x: *x, by })
            }
            Op::Norm { x, norm, part, add, out } => {
                let weights = self.tensors[norm.weight.0 as usize].cols() / part;
                let kernel = library.kernel("norm.cu", "add_norm", &[])?;
                let (norm, gate) = (self.norm(*norm)?, Cell::new(None));
                let ready = Rc::new(AddNorm { kernel, x: *x, norm, len: *part, weights, gate, add: *add, out: *out });
                if let Some(Before::Gate(gate)) = before {
                    ready.join(&gate, true);
                }
                self.before = Some(Before::Norm(Rc::clone(&ready)));
                Box::new(ready)
            }
            Op::SoftCap { x, cap } => {
                Box::new(SoftCap { kernel: library.kernel("elementwise.cu", "soft_cap", &[])?, x: *x, cap: *cap })
            }
            Op::RotateAppend { q, k, v, heads, q_norm, k_norm, rope, growth, kv } => {
                let options = [crate::kernels::define("KV_F32", u8::from(self.kv_f32))];
                let rotate = Rc::new(Rotate {
                    kernel: library.kernel("rotate.cu", "rotate_append", &options)?,
                    q: *q,
                    k: *k,
                    v: *v,
                    heads: *heads,
                    q_norm: q_norm.map(|n| self.norm(n)).transpose()?,
                    k_norm: k_norm.map(|n| self.norm(n)).transpose()?,
                    rope: *rope,
                    growth: *growth,
                    kv: *kv,
                    fuses: Cell::new(false),
                });
                self.before = Some(Before::Rotate(Rc::clone(&rotate)));
                Box::new(rotate)
            }
            Op::Attend { q, heads, kv, scale, cap, window, sinks, out } => {
                let sinks = self.vector(*sinks)?;
                let (q, heads, kv, scale, cap, window, out) = (*q, *heads, *kv, *scale, *cap, *window, *out);
                let values = self.program.states[kv.group].value_dim();
                let parts = Parts { q, heads, kv, scale, cap, window, sinks, values, out };
                let before = if let Some(Before::Rotate(rotate)) = before { Some(rotate) } else { None };
                Box::new(Attend::new(library, &self.gather, parts, before, self.kv_f32)?)
            }
            Op::Gather { x, out } => {
                Box::new(GatherRows { kernel: library.kernel("elementwise.cu", "gather", &[])?, x: *x, out: *out })
            }
            Op::Gate { x, gate, by } => {
                let kernel = library.kernel("elementwise.cu", "gate_parts", &[])?;
                let ready = Rc::new(Gate { kernel, x: *x, gate: *gate, by: *by, joined: Cell::new(false) });
                let joined = matches!(before, Some(Before::Norm(norm)) if norm.join(&ready, false));
                self.before = (!joined).then(|| Before::Gate(Rc::clone(&ready)));
                Box::new(ready)
            }
            Op::Times { x, by, first } => {
                let kernel = library.kernel("elementwise.cu", "times", &[])?;
                Box::new(Times { kernel, x: *x, by: By::Buf(*by, *first) })
            }
            Op::Scale { x, by } => {
                let kernel = library.kernel("elementwise.cu", "times", &[])?;
                Box::new(Times { kernel, x: *x, by: By::One(self.floats(*by)?) })
            }
            Op::Rotate { x, dim, norm, rope, growth } => {
                let options = [crate::kernels::define("KV_F32", u8::from(self.kv_f32))];
                let kernel = library.kernel("rotate.cu", "rotate_append", &options)?;
                let heads = Heads { q: self.program.buf(*x).width / dim, kv: 0, dim: *dim };
                let norm = norm.map(|n| self.norm(n)).transpose()?;
                Box::new(Turn { kernel, x: *x, heads, norm, rope: *rope, growth: *growth })
            }
            Op::Route { logits, correction, factors, routing, out } => {
                let (experts, slots) = (self.program.buf(*logits).width, self.program.buf(*out).width / 2);
                if !Route::fits(experts, slots, routing) {
                    return Err(Trouble::Odd(format!("{experts} experts are too many for the router's kernel")));
                }
                let kernel = library.kernel("route.cu", "route", &[])?;
                let (correction, factors) = (self.vector(*correction)?, self.vector(*factors)?);
                Box::new(Route { kernel, logits: *logits, correction, factors, routing: *routing, out: *out })
            }
            Op::ExpertsUp { x, norm, routes, experts, act, out } => {
                let input = self.input(*x, *norm)?;
                let gates = experts.iter().map(|e| self.pair(e.gate, e.gate_bias)).collect();
                let ups: Option<Role<'_>> = experts.iter().map(|e| Some(self.pair(e.up?, e.up_bias))).collect();
                let roles: Vec<_> = [Some(gates), ups].into_iter().flatten().collect();
                Box::new(ExpertsUp::new(self, input, *routes, &roles, ActArgs::of(*act), *out)?)
            }
            Op::ExpertsDown { x, routes, experts, scale, add, out } => {
                let role = experts.iter().map(|e| self.pair(e.w, e.bias)).collect();
                Box::new(ExpertsDown::new(self, [*x, *routes, *out], role, *scale, *add)?)
            }
            Op::HeadProject { x, matrices, out } => {
                let matrix = self.matrix(matrices.w)?;
                Box::new(HeadProject::new(library, matrix, *matrices, *x, *out)?)
            }
            Op::LatentAppend { q, key, heads, norm, rope, kv } => {
                let options = [crate::kernels::define("KV_F32", u8::from(self.kv_f32))];
                let kernel = library.kernel("rotate.cu", "latent_append", &options)?;
                let (norm, turned) = (self.norm(*norm)?, self.program.ropes[rope.0].width);
                let (q, key, heads, rope, kv) = (*q, *key, *heads, *rope, *kv);
                Box::new(LatentAppend { kernel, q, key, heads, norm, rope, turned, kv })
            }
        })
    }

    fn products(
        &mut self,
        place: usize,
        x: Buf,
        norm: Option<NormW>,
        parts: Vec<Part>,
        before: Option<Rc<GateUp>>,
    ) -> Result<Box<dyn Ready>, Trouble> {
        let input = self.input(x, norm)?;
        let ready = Rc::new(Products::new(self.library, &self.gather, input, parts, before)?);
        self.members.push((place, Member::Products(Rc::clone(&ready))));
        Ok(Box::new(ready))
    }

    fn input(&self, x: Buf, norm: Option<NormW>) -> Result<Input, Trouble> {
        let norm = norm.map(|n| self.norm(n)).transpose()?;
        Ok(Input::new(x, norm, self.library)?)
    }

    fn part(&mut self, proj: &Proj, scale: f32, add: Option<Buf>) -> Result<Part, Trouble> {
        Ok(Part { matrix: self.matrix(proj.w)?, bias: self.vector(proj.bias)?, out: proj.out, scale, add })
    }

    /// A matrix of an expert with its bias.
    fn pair(&self, w: W, bias: Option<W>) -> (&Tensor, Option<&Tensor>) {
        (&self.tensors[w.0 as usize], bias.map(|w| &self.tensors[w.0 as usize]))
    }

    fn matrix(&mut self, w: W) -> Result<Rc<Matrix>, Trouble> {
        let slot = &mut self.matrices[w.0 as usize];
        if let Some(matrix) = slot {
            return Ok(Rc::clone(matrix));
        }
        let matrix = Rc::new(Matrix::new(&self.tensors[w.0 as usize], self.library, self.stream)?);
        *slot = Some(Rc::clone(&matrix));
        Ok(matrix)
    }

    fn norm(&self, norm: NormW) -> Result<Norm, CudaError> {
        let (layer, bias) = match norm.kind {
            NormWKind::Rms => (false, None),
            NormWKind::Layer { bias } => (true, bias),
        };
        Ok(Norm { weight: self.floats(norm.weight)?, bias: self.vector(bias)?, eps: norm.eps, layer })
    }

    pub(crate) fn vector(&self, w: Option<W>) -> Result<Option<Memory>, CudaError> {
        w.map(|w| self.floats(w)).transpose()
    }

    pub(crate) fn tensor(&self, w: W) -> &Tensor {
        &self.tensors[w.0 as usize]
    }

    pub(crate) fn floats(&self, w: W) -> Result<Memory, CudaError> {
        let tensor = &self.tensors[w.0 as usize];
        Memory::of_floats(&self.library.card().context, tensor.name(), &tensor.to_f32())
    }
}
