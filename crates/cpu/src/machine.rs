//! What the ops of a compiled program share: buffers, pages, threads and their scratch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ffai_checkpoint::Float;
use ffai_program::{Buf, KvLayout, Op, Plan, Program, Rounding, Rows, StepInputs, Tagged};

use crate::floats::Floats;
use crate::kernels::{attend, chunk, tile};
use crate::ops::experts::Pairs;
use crate::ops::multiply::FEW;
use crate::pages::Pages;
use crate::pool::Pool;
use crate::rope::Turns;
use crate::select::Kernels;
use crate::simd::MOST_LANES;
use crate::simd::load::Order;
use crate::slots::Slots;

/// Rows of a matrix that a thread decodes at once, for steps of several rows.
pub(crate) const PANEL_ROWS: usize = 32;
/// Columns of them: such that activations and weights of a block of sums lie in the first cache.
pub(crate) const PANEL_COLS: usize = 512;
/// Rows of activations that go through a panel before the next is decoded: the sums lie in the second cache.
pub(crate) const BATCH: usize = 96;
/// Rows of a prompt that attend together.
pub(crate) const ATTEND_ROWS: usize = 16;

/// The machine that ops run on.
pub(crate) struct Machine {
    pub(crate) pool: Arc<Pool>,
    pub(crate) kernels: Kernels,
    /// `[capacity, width]` each.
    pub(crate) bufs: Vec<Buffer>,
    /// The pages of each state group.
    pub(crate) kv: Vec<Pages>,
    pub(crate) layouts: Vec<KvLayout>,
    pub(crate) slots: Slots,
    /// Whether recurrences may take prompts in chunks.
    pub(crate) chunked: bool,
    /// Whether inputs of products with quantized weights have eight bits.
    pub(crate) fast: bool,
    /// Angles of the step's rows.
    pub(crate) turns: Turns,
    /// The input of the current product, in each order that a matrix wants.
    inputs: [Floats; Order::COUNT],
    /// The rows of the current mixture by expert.
    pairs: Mutex<Pairs>,
    /// One for each thread.
    pub(crate) scratch: Vec<Scratch>,
}

/// One of the program's buffers.
pub(crate) struct Buffer {
    pub(crate) rows: Rows,
    pub(crate) width: usize,
    pub(crate) floats: Floats,
}

/// What a thread needs for itself.
pub(crate) struct Scratch {
    /// Decoded scales of the rows at work, which may be two stretches.
    pub(crate) scales: [Floats; 2],
    /// Decoded weights, `[PANEL_ROWS, PANEL_COLS]`.
    pub(crate) panel: Floats,
    /// Unfinished sums of a panel.
    pub(crate) sums: Floats,
    /// A product before it is finished, `[BATCH, PANEL_ROWS]` or one longer row.
    pub(crate) product: Floats,
    /// The second factor of a gated product.
    pub(crate) up: Floats,
    /// A row that is normed.
    pub(crate) normed: Floats,
    /// Of attention.
    pub(crate) attend: Floats,
    /// A head of a batch of rows, in each order.
    pub(crate) head: Floats,
    /// Of a recurrence.
    pub(crate) recurrence: Floats,
}

/// What the program's ops need at most.
#[derive(Clone, Copy, Default)]
pub(crate) struct Needs {
    /// Floats for the scales of a panel of any matrix.
    pub(crate) scales: usize,
    /// The most experts of a mixture.
    pub(crate) experts: usize,
    /// The longest norm of an op of its own, or scores of a router.
    pub(crate) normed: usize,
    /// Query heads of a key head.
    pub(crate) heads: usize,
    /// Columns of any matrix that belongs to one head.
    pub(crate) head: usize,
    /// The orders that matrices want, by number.
    pub(crate) orders: [bool; Order::COUNT],
}

impl Needs {
    /// Whether inputs are made in an order: all are first made in the natural one.
    fn wants(&self, order: Order) -> bool {
        order == Order::Natural || self.orders[order as usize]
    }
}

impl Machine {
    pub(crate) fn new(
        program: &Program,
        plan: &Plan,
        needs: Needs,
        pool: Arc<Pool>,
        kernels: Kernels,
        kv: Float,
    ) -> Machine {
        let layouts: Vec<_> = program.states.iter().map(|g| KvLayout::new(g, plan.page_tokens)).collect();
        let buffer = |b: &ffai_program::BufDecl| Buffer {
            rows: b.rows,
            width: b.width,
            floats: Floats::new(b.width * plan.capacity(b.rows)),
        };
        let input = |order: Order| Floats::new(if needs.wants(order) { inputs(program, plan, order) } else { 0 });
        Machine {
            bufs: program.bufs.iter().map(buffer).collect(),
            kv: layouts.iter().zip(&plan.pages).map(|(l, pages)| Pages::new(l.page() * pages, kv)).collect(),
            layouts,
            slots: Slots::new(program, plan.slots),
            chunked: chunked(plan),
            fast: plan.rounding == Rounding::Int8,
            turns: Turns::new(&program.ropes, plan.rows),
            inputs: Order::ALL.map(input),
            pairs: Mutex::new(Pairs::new(plan.rows * slots(program), needs.experts)),
            scratch: (0..pool.threads()).map(|_| Scratch::new(program, plan, needs)).collect(),
            pool,
            kernels,
        }
    }

    /// Bytes beside buffers and pages: the inputs of products, and what each thread keeps.
    pub(crate) fn scratch_bytes(program: &Program, plan: &Plan, threads: usize, wanted: &[Order]) -> u64 {
        let mut needs = Needs::default();
        wanted.iter().for_each(|order| needs.orders[*order as usize] = true);
        let wanted = Order::ALL.into_iter().filter(|order| needs.wants(*order));
        let inputs: usize = wanted.map(|order| inputs(program, plan, order)).sum();
        let rows = PANEL_ROWS.next_multiple_of(tile::ROWS);
        let thread = rows * PANEL_COLS + rows * BATCH * MOST_LANES + 2 * PANEL_ROWS * BATCH;
        let of_head = |op: &Tagged| match &op.op {
            Op::HeadProject { matrices: m, .. } if !m.transposed => program.weight(m.w).shape.dims().1,
            _ => 0,
        };
        let thread = thread + head_floats(plan, program.ops.iter().map(of_head).max().unwrap_or(0));
        let thread = thread + recurrence(program, plan);
        ((inputs + threads * thread) * size_of::<f32>()) as u64
    }

    /// Where the input of the current product lies in an order: room for `n` rows of `cols` numbers.
    ///
    /// # Panics
    /// Where there is less room.
    pub(crate) fn input(&self, order: Order, n: usize, cols: usize) -> *const f32 {
        let floats = &self.inputs[order as usize];
        assert!(n * order.stride(cols) <= floats.len(), "room for {n} rows of {cols}");
        floats.ptr()
    }

    /// Room for sorting the rows of a mixture. Ops run one after the other, so nobody waits.
    pub(crate) fn pairs(&self) -> MutexGuard<'_, Pairs> {
        self.pairs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Rows of a buffer in this step.
    pub(crate) fn rows(&self, buf: Buf, inputs: &StepInputs) -> usize {
        match self.buf(buf).rows {
            Rows::Step => inputs.rows(),
            Rows::Wanted => inputs.want.len(),
        }
    }

    pub(crate) fn buf(&self, buf: Buf) -> &Buffer {
        &self.bufs[buf.0 as usize]
    }

    /// The first float of a buffer.
    pub(crate) fn ptr(&self, buf: Buf) -> *mut f32 {
        self.buf(buf).floats.ptr()
    }
}

/// Floats for a head of a batch of rows in both orders; none where no matrix belongs to a head.
fn head_floats(plan: &Plan, cols: usize) -> usize {
    if cols == 0 { 0 } else { 2 * plan.rows.min(BATCH) * Order::Natural.stride(cols) }
}

/// Floats for the input of any product in one order: rows of the widest, and of mixtures as many as rows have experts.
fn inputs(program: &Program, plan: &Plan, order: Order) -> usize {
    let row = program.weights.iter().map(|w| order.stride(w.shape.dims().1)).max().unwrap_or(0);
    let mixture = |op: &Op| match op {
        Op::ExpertsUp { x, routes, .. } => program.buf(*routes).width / 2 * order.stride(program.buf(*x).width),
        Op::ExpertsDown { x, routes, .. } => {
            let slots = program.buf(*routes).width / 2;
            slots * order.stride(program.buf(*x).width / slots)
        }
        _ => 0,
    };
    let mixtures = program.ops.iter().map(|t| mixture(&t.op)).max().unwrap_or(0);
    let rows = plan.rows.max(plan.wanted);
    let rows = if order.is_of_few_rows() { rows.min(FEW) } else { rows };
    (rows * row).max(plan.rows * mixtures)
}

/// The most experts that a row goes to.
fn slots(program: &Program) -> usize {
    let of = |op: &Op| if let Op::Route { out, .. } = op { program.buf(*out).width / 2 } else { 0 };
    program.ops.iter().map(|t| of(&t.op)).max().unwrap_or(0)
}

/// Whether any step can have a whole chunk, and results may depend on which it has.
fn chunked(plan: &Plan) -> bool {
    !plan.deterministic && plan.rows >= chunk::CHUNK
}

/// Floats that a recurrence needs for a head.
fn recurrence(program: &Program, plan: &Plan) -> usize {
    let of = |op: &Op| match op {
        Op::Delta { heads, .. } if chunked(plan) => chunk::delta::scratch(heads.k_dim, heads.v_dim),
        Op::Delta { heads, .. } => 2 * heads.k_dim,
        Op::Ssd { heads, .. } if chunked(plan) => chunk::ssd::scratch(heads.state),
        _ => 0,
    };
    program.ops.iter().map(|t| of(&t.op)).max().unwrap_or(0)
}

impl Scratch {
    fn new(program: &Program, plan: &Plan, needs: Needs) -> Scratch {
        Scratch {
            scales: [(); 2].map(|()| Floats::new(needs.scales)),
            panel: Floats::new(PANEL_ROWS.next_multiple_of(tile::ROWS) * PANEL_COLS),
            sums: Floats::new(PANEL_ROWS.next_multiple_of(tile::ROWS) * BATCH * MOST_LANES),
            product: Floats::new(PANEL_ROWS * BATCH),
            up: Floats::new(PANEL_ROWS * BATCH),
            normed: Floats::new(needs.normed),
            attend: Floats::new(attend::scratch(ATTEND_ROWS, needs.heads, plan.page_tokens)),
            head: Floats::new(head_floats(plan, needs.head)),
            recurrence: Floats::new(recurrence(program, plan)),
        }
    }
}
