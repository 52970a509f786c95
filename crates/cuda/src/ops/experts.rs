//! The products of chosen experts. Matrices of experts that are alike lie in one stack, where kernels find those that a row goes to.
#![expect(unsafe_code, reason = "launches")]

use ffai_checkpoint::Tensor;
use ffai_program::Buf;

use super::gate_up::combine;
use super::input::Input;
use super::product::{Geometry, Handed, Output, PartArgs, PartsArgs, bare};
use super::{ActArgs, NormArgs, Ready, address};
use crate::CudaError;
use crate::compile::Compiler;
use crate::kernels::{Grid, Kernel, Library, args};
use crate::machine::{EXPERT_ROWS, Machine, Shape};
use crate::matrix::{Matrix, Trouble};
use crate::memory::Memory;
use crate::storage::Layout;

/// Most blocks of a grid in its second direction.
const MOST_PAIRS: usize = 65535;

/// One matrix of each expert, with its bias.
pub(crate) type Role<'a> = Vec<(&'a Tensor, Option<&'a Tensor>)>;

/// A role of some experts on the card.
struct Stack {
    matrix: Matrix,
    /// `[experts, rows]`.
    bias: Option<Memory>,
    /// `[experts]`.
    factors: Memory,
}

/// Experts whose matrices are stored alike.
struct Group {
    /// `[all experts]` i32: where each lies in the stacks, -1 where it is of another group.
    places: Memory,
    stacks: Vec<Stack>,
    /// For both stacks together, or for each.
    products: Vec<Product>,
}

/// The experts of an op.
pub(crate) struct Experts {
    routes: Buf,
    /// Experts that a row goes to.
    per_row: usize,
    groups: Vec<Group>,
}

/// A kernel for the rows of a (row, slot), or of all slots of a row.
struct Product {
    kernel: Kernel,
    /// None for f32.
    tiled: Option<Geometry>,
}

/// The product with all experts of a row at once, and their sum.
struct Joined {
    kernel: Kernel,
    geometry: Geometry,
    /// Whether routes are known before the kernel before it ends.
    early: bool,
}

/// `Experts` of `epilogue.cuh`.
#[derive(Clone, Copy)]
#[repr(C)]
struct ExpertsArgs {
    routes: u64,
    places: u64,
    factors: [u64; 2],
    per_row: i32,
    per_input: i32,
    blocks: i32,
    early: i32,
}

/// What a launch works on.
#[derive(Clone, Copy)]
struct Work {
    /// For tiles, before the norm.
    x: u64,
    /// For f32 matrices, behind it.
    plain_x: u64,
    norm: NormArgs,
    act: ActArgs,
    routes: u64,
    pairs: usize,
    /// Pairs that share a row of x.
    per_input: usize,
}

impl Stack {
    fn new(c: &Compiler<'_>, role: &Role<'_>, members: &[usize]) -> Result<Stack, Trouble> {
        let tensors: Vec<&Tensor> = members.iter().map(|e| role[*e].0).collect();
        let matrix = Matrix::stack(&tensors, c.library, c.stream)?;
        let context = &c.library.card().context;
        let bias = members.iter().any(|e| role[*e].1.is_some());
        let of = |e: &usize| role[*e].1.map_or_else(|| vec![0.0; matrix.rows], Tensor::to_f32);
        let bias = bias.then(|| members.iter().flat_map(of).collect::<Vec<f32>>());
        let bias = bias.map(|bias| Memory::of_floats(context, "biases", &bias)).transpose()?;
        let factors = Memory::of_floats(context, "scales", &matrix.factors)?;
        Ok(Stack { matrix, bias, factors })
    }

    fn output(&self, out: u64) -> Output {
        bare(out, address(self.bias.as_ref()), self.matrix.rows)
    }
}

impl Product {
    fn new(
        library: &Library,
        matrix: &Matrix,
        per_row: usize,
        norm: NormArgs,
        gated: bool,
    ) -> Result<Product, Trouble> {
        if matrix.layout == Layout::Plain {
            return Ok(Product { kernel: library.kernel("plain.cu", "plain_experts", &[])?, tiled: None });
        }
        let (card, per) = (library.card(), if gated { 2 } else { 1 });
        // All blocks of threads of a row run at once, if they can: four of 4 warps a multiprocessor, or two of 8.
        let once = (2 * card.multiprocessors..=4 * card.multiprocessors).contains(&(matrix.blocks() * per_row));
        let warps = if once || matrix.tiles_per_row() <= 16 { 4 } else { 8 };
        // As many blocks of threads as may run at once when a step has one row.
        let places = (3 * card.multiprocessors / per_row).max(1);
        let geometry = Geometry::new(matrix, per * matrix.blocks(), gated, warps, places);
        let shared = geometry.shared(1);
        if shared + 1024 > card.shared_memory {
            return Err(Trouble::Odd(format!("rows of {} do not fit into shared memory", matrix.cols)));
        }
        let kernel = library.kernel("product.cu", "product", &geometry.options(matrix, norm, true))?;
        kernel.allow_shared(shared)?;
        Ok(Product { kernel, tiled: Some(geometry) })
    }

    /// Multiplies with the first of these stacks, or with both at once.
    fn launch(
        &self,
        m: &Machine,
        experts: &Experts,
        group: &Group,
        stacks: &[(&Stack, u64)],
        w: Work,
    ) -> Result<(), CudaError> {
        let Some((first, out)) = stacks.first() else { return Ok(()) };
        let factors = |i: usize| stacks.get(i).map_or(0, |(stack, _)| stack.factors.at());
        let chosen = ExpertsArgs {
            routes: w.routes,
            places: group.places.at(),
            factors: [factors(0), factors(1)],
            per_row: experts.per_row as i32,
            per_input: w.per_input as i32,
            blocks: first.matrix.blocks() as i32,
            early: 0,
        };
        let Some(tiled) = self.tiled else {
            let (matrix, to, cols) = (first.matrix.tiles().codes, first.output(*out), first.matrix.cols as i32);
            let grid = Grid { blocks: [first.matrix.rows.div_ceil(8), w.pairs, 1], ..Grid::new(1, 256) };
            // SAFETY: the stack holds f32 rows of all experts, `Op::Route` writes only ids of experts, and the buffers have
            // a row for each pair.
            return unsafe { self.kernel.launch(&m.stream, grid, args![matrix, to, w.plain_x, cols, chosen]) };
        };
        let mut parts = PartsArgs { count: stacks.len() as i32, ..PartsArgs::default() };
        for (part, (stack, out)) in parts.part.iter_mut().zip(stacks) {
            *part = PartArgs { matrix: stack.matrix.tiles(), to: stack.output(*out), first: 0 };
        }
        let (one, each, more, handed) = (1i32, tiled.each, tiled.more, Handed::default());
        let grid = Grid { blocks: [tiled.grid, w.pairs, 1], threads: tiled.warps * 32, shared: tiled.shared(1) };
        // SAFETY: as above, with whole blocks of tiles for each expert; the block has its shared memory.
        unsafe {
            self.kernel.launch(&m.stream, grid, args![parts, w.x, one, w.norm, each, more, w.act, handed, chosen])
        }
    }
}

impl Joined {
    /// Where experts are stored alike and their rows are whole tiles, of which each warp gets as many as the others.
    fn new(c: &Compiler<'_>, experts: &Experts) -> Result<Option<Joined>, CudaError> {
        let [group] = &experts.groups[..] else { return Ok(None) };
        let [stack] = &group.stacks[..] else { return Ok(None) };
        let (library, matrix) = (c.library, &stack.matrix);
        if matrix.layout == Layout::Plain {
            return Ok(None);
        }
        let card = library.card();
        let geometry = Geometry::joined(matrix, experts.per_row, card.multiprocessors);
        let Some(geometry) = geometry.filter(|g| g.shared(1) + 1024 <= card.shared_memory) else { return Ok(None) };
        let kernel = library.kernel("product.cu", "product", &geometry.options(matrix, NormArgs::default(), true))?;
        kernel.allow_shared(geometry.shared(1))?;
        Ok(Some(Joined { kernel, geometry, early: c.routed.get() == Some(experts.routes) }))
    }

    /// Multiplies so many rows.
    fn launch(
        &self,
        m: &Machine,
        experts: &Experts,
        to: Output,
        [x, routes]: [u64; 2],
        rows: usize,
    ) -> Result<(), CudaError> {
        for (group, stack) in experts.groups.iter().flat_map(|g| g.stacks.iter().map(move |s| (g, s))) {
            let chosen = ExpertsArgs {
                routes,
                places: group.places.at(),
                factors: [stack.factors.at(), 0],
                per_row: experts.per_row as i32,
                per_input: 1,
                blocks: stack.matrix.blocks() as i32,
                early: i32::from(self.early),
            };
            let mut parts = PartsArgs { count: 1, ..PartsArgs::default() };
            parts.part[0] = PartArgs {
                matrix: stack.matrix.tiles(),
                to: Output { bias: address(stack.bias.as_ref()), ..to },
                first: 0,
            };
            let g = self.geometry;
            let (one, norm, each, more, act) = (1i32, NormArgs::default(), g.each, g.more, ActArgs::none());
            let handed = Handed::default();
            let grid = Grid { blocks: [g.grid, rows, 1], threads: g.warps * 32, shared: g.shared(1) };
            // SAFETY: the stack holds whole blocks of tiles of all experts, `Op::Route` writes only ids of experts, and x has a row of
            // all slots for each row; the block has its shared memory.
            unsafe {
                self.kernel.launch(&m.stream, grid, args![parts, x, one, norm, each, more, act, handed, chosen])?;
            };
        }
        Ok(())
    }
}

impl Experts {
    /// Whether all products are tiled: then routes were written before the last of them began.
    fn all_tiled(&self) -> bool {
        self.groups.iter().flat_map(|g| &g.products).all(|p| p.tiled.is_some())
    }

    /// Brings all experts to the card. Where `gated`, two roles are multiplied in one kernel if both are stored alike everywhere.
    fn new(
        c: &Compiler<'_>,
        routes: Buf,
        roles: &[Role<'_>],
        norm: NormArgs,
        gated: bool,
    ) -> Result<(Experts, bool), Trouble> {
        let count = roles.first().map_or(0, Vec::len);
        let layouts = |e: usize| roles.iter().map(|r| Layout::new(r[e].0.storage())).collect::<Vec<_>>();
        let mut kinds: Vec<(Vec<Layout>, Vec<usize>)> = Vec::new();
        for e in 0..count {
            let of = layouts(e);
            match kinds.iter_mut().find(|(kind, _)| *kind == of) {
                Some((_, members)) => members.push(e),
                None => kinds.push((of, vec![e])),
            }
        }
        let alike = |kind: &[Layout]| kind[0] != Layout::Plain && kind.iter().all(|l| *l == kind[0]);
        let fused = gated && roles.len() == 2 && kinds.iter().all(|(kind, _)| alike(kind));
        let per_row = c.program.buf(routes).width / 2;
        let mut groups = Vec::new();
        for (_, members) in kinds {
            let mut places = vec![-1i32; count];
            members.iter().enumerate().for_each(|(place, e)| places[*e] = place as i32);
            let places: Vec<u8> = places.iter().flat_map(|p| p.to_le_bytes()).collect();
            let stacks = roles.iter().map(|role| Stack::new(c, role, &members)).collect::<Result<Vec<_>, _>>()?;
            let product = |s: &Stack| Product::new(c.library, &s.matrix, per_row, norm, fused);
            let products = stacks.iter().take(if fused { 1 } else { 2 }).map(product).collect::<Result<_, _>>()?;
            let places = Memory::of(&c.library.card().context, "experts", &places)?;
            groups.push(Group { places, stacks, products });
        }
        Ok((Experts { routes, per_row, groups }, fused))
    }

    /// Calls `part` with the first row and the number of rows of each part of a step.
    fn in_parts(
        &self,
        rows: usize,
        mut part: impl FnMut(usize, usize) -> Result<(), CudaError>,
    ) -> Result<(), CudaError> {
        let at_once = EXPERT_ROWS.min(MOST_PAIRS / self.per_row).max(1);
        (0..rows).step_by(at_once).try_for_each(|first| part(first, at_once.min(rows - first)))
    }

    fn routes(&self, m: &Machine, first: usize) -> u64 {
        m.at(self.routes) + (first * 2 * self.per_row * 4) as u64
    }
}

/// `ExpertsUp`.
pub(crate) struct ExpertsUp {
    input: Input,
    experts: Experts,
    /// Whether gate and up are one kernel.
    fused: bool,
    act: ActArgs,
    out: Buf,
    combine: Kernel,
}

impl ExpertsUp {
    pub(crate) fn new(
        c: &Compiler<'_>,
        input: Input,
        routes: Buf,
        roles: &[Role<'_>],
        act: ActArgs,
        out: Buf,
    ) -> Result<ExpertsUp, Trouble> {
        let (experts, fused) = Experts::new(c, routes, roles, NormArgs::of(input.norm.as_ref()), true)?;
        let (cols, width) = (c.program.buf(input.x).width, c.program.buf(out).width);
        c.gather.need(|n| if fused { n.input = n.input.max(cols * 4) } else { n.experts_up(cols, width) });
        let combine = c.library.kernel("elementwise.cu", "gate", &[])?;
        c.routed.set(experts.all_tiled().then_some(routes));
        Ok(ExpertsUp { input, experts, fused, act, out, combine })
    }

    fn part(&self, m: &Machine, first: usize, rows: usize, w: Work) -> Result<(), CudaError> {
        let skip = (first * m.buf(self.out).width * 4) as u64;
        let outs = [m.at(self.out) + skip, m.scratch.up.at() + skip];
        let cols = (first * m.buf(self.input.x).width * 4) as u64;
        let pairs = rows * self.experts.per_row;
        let w = Work { x: w.x + cols, plain_x: w.plain_x + cols, routes: self.experts.routes(m, first), pairs, ..w };
        for group in &self.experts.groups {
            let stacks: Vec<_> = group.stacks.iter().zip(outs).collect();
            let each = if self.fused { stacks.len() } else { 1 };
            for (product, stacks) in group.products.iter().zip(stacks.chunks(each)) {
                product.launch(m, &self.experts, group, stacks, w)?;
            }
        }
        Ok(())
    }
}

impl Ready for ExpertsUp {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        let rows = m.rows(self.input.x, shape);
        let plain = self.experts.groups.iter().flat_map(|g| &g.products).any(|p| p.tiled.is_none());
        let w = Work {
            x: m.input(self.input.x, shape),
            plain_x: if plain { self.input.f32(m, shape)? } else { 0 },
            norm: NormArgs::of(self.input.norm.as_ref()),
            act: self.act,
            routes: 0,
            pairs: 0,
            per_input: self.experts.per_row,
        };
        self.experts.in_parts(rows, |first, rows| self.part(m, first, rows, w))?;
        if self.fused {
            return Ok(());
        }
        let both = self.experts.groups.iter().all(|g| g.stacks.len() == 2);
        let (out, up) = (m.at(self.out), if both { m.scratch.up.at() } else { 0 });
        // SAFETY: both hold that many floats.
        unsafe { combine(&self.combine, m, [out, up], self.act, rows * m.buf(self.out).width) }
    }
}

/// `ExpertsDown`.
pub(crate) struct ExpertsDown {
    x: Buf,
    experts: Experts,
    scale: f32,
    add: Option<Buf>,
    out: Buf,
    joined: Option<Joined>,
    sum: Kernel,
}

impl ExpertsDown {
    pub(crate) fn new(
        c: &Compiler<'_>,
        [x, routes, out]: [Buf; 3],
        role: Role<'_>,
        scale: f32,
        add: Option<Buf>,
    ) -> Result<ExpertsDown, Trouble> {
        let (experts, _) = Experts::new(c, routes, &[role], NormArgs::default(), false)?;
        let width = c.program.buf(out).width;
        let joined = Joined::new(c, &experts)?;
        if joined.is_none() {
            c.gather.need(|n| n.experts_down(experts.per_row, width));
        }
        let sum = c.library.kernel("route.cu", "sum_experts", &[])?;
        Ok(ExpertsDown { x, experts, scale, add, out, joined, sum })
    }

    fn part(&self, m: &Machine, first: usize, rows: usize) -> Result<(), CudaError> {
        let (products, routes) = (m.scratch.products.at(), self.experts.routes(m, first));
        let at = |buf: Buf| m.at(buf) + (first * m.buf(buf).width * 4) as u64;
        let x = at(self.x);
        if let Some(joined) = &self.joined {
            let rows_of = m.buf(self.out).width as i32;
            let to =
                Output { bias: 0, out: at(self.out), add: self.add.map_or(0, at), scale: self.scale, rows: rows_of };
            return joined.launch(m, &self.experts, to, [x, routes], rows);
        }
        let w = Work {
            x,
            plain_x: x,
            norm: NormArgs::default(),
            act: ActArgs::none(),
            routes,
            pairs: rows * self.experts.per_row,
            per_input: 1,
        };
        for group in &self.experts.groups {
            for (product, stack) in group.products.iter().zip(&group.stacks) {
                product.launch(m, &self.experts, group, &[(stack, products)], w)?;
            }
        }
        let (out, add, scale) = (at(self.out), self.add.map_or(0, at), self.scale);
        let (slots, width) = (self.experts.per_row as i32, m.buf(self.out).width);
        let grid = Grid { blocks: [width.div_ceil(256), rows, 1], ..Grid::new(1, 256) };
        let cols = width as i32;
        // SAFETY: the scratch has the products of all pairs of these rows; each number is read before it is written.
        unsafe { self.sum.launch(&m.stream, grid, args![products, routes, add, out, scale, slots, cols]) }
    }
}

impl Ready for ExpertsDown {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        self.experts.in_parts(m.rows(self.x, shape), |first, rows| self.part(m, first, rows))
    }
}
