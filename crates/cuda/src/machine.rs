//! What the ops of a compiled program share: the card, its stream, buffers, pages, and a description of the step.

use std::cell::Cell;
use std::sync::Arc;

use cudarc::driver::CudaStream;
use ffai_program::{Buf, KvLayout, Op, Plan, Program, Rows, StepInputs, Want};

use crate::CudaError;
use crate::kernels::Library;
use crate::matrix::{TILE_COLS, TILE_ROWS};
use crate::memory::Memory;
use crate::ops::chain::SETS;
use crate::sampler::rows::is_best;
use crate::slots::Slots;
use crate::step::StepInfo;
use crate::storage::Layout;

/// Rows of a prompt that attend together.
pub(crate) const ATTEND_ROWS: usize = 64;
/// Most rows of a step whose attentions may be split into several ranges of keys.
pub(crate) const SPLIT_ROWS: usize = 16;
/// Most ranges.
pub(crate) const MOST_RANGES: usize = 64;
/// Most rows whose experts are summed at once.
pub(crate) const EXPERT_ROWS: usize = 256;
/// Most bytes of expanded weights at once.
const EXPAND_BYTES: usize = 256 << 20;
/// Keys that are worth a range of their own.
const RANGE_KEYS: usize = 64;
/// Ranges that read each other's results, where the card can: as many blocks as every such card lets form a cluster.
pub(crate) const CLUSTER: usize = 8;
/// Keys of a range that are worth a cluster's quick end.
const CLUSTER_KEYS: usize = 256;

/// The machine that ops run on.
pub(crate) struct Machine {
    pub(crate) library: Library,
    pub(crate) stream: Arc<CudaStream>,
    pub(crate) bufs: Vec<Buffer>,
    /// The pages of each state group.
    pub(crate) kv: Vec<Memory>,
    pub(crate) layouts: Vec<KvLayout>,
    /// The recurrent states.
    pub(crate) slots: Slots,
    /// Whether keys and values are f32, not f16.
    pub(crate) kv_f32: bool,
    pub(crate) info: StepInfo,
    /// The buffers of the program's `Gather`, if it has one.
    gathered: Option<(Buf, Buf)>,
    pub(crate) scratch: Scratch,
}

/// One of the program's buffers, `[capacity, width]` f32.
pub(crate) struct Buffer {
    pub(crate) rows: Rows,
    pub(crate) width: usize,
    pub(crate) memory: Memory,
}

/// What ops use one after the other.
pub(crate) struct Scratch {
    /// Normed activations of products of many rows.
    pub(crate) input: Memory,
    /// Expanded weights.
    pub(crate) weights: Memory,
    /// The second factor of a gated product; or, in steps of few rows, the product in parts: `Handed` of `product.cu`.
    pub(crate) up: Memory,
    /// Products of a row's experts.
    pub(crate) products: Memory,
    /// Unfinished attentions.
    pub(crate) partials: Memory,
    /// How many ranges of each have ended; zero between kernels.
    pub(crate) arrived: Memory,
    /// What the blocks of a chain tell each other: `exchange.cuh`. The set of the next chain is zeros.
    pub(crate) exchange: Memory,
}

/// What the ops of a program need at most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Needs {
    /// Bytes of an input, for each row.
    pub(crate) input: usize,
    /// Bytes of expanded weights.
    pub(crate) weights: usize,
    /// Bytes of a second factor, for each row.
    pub(crate) up: usize,
    /// Bytes of the products of experts, for each row.
    pub(crate) products: usize,
    /// Floats of a range's result, of all heads of a row.
    pub(crate) partial: usize,
    /// Key heads, times the blocks of query heads that share one.
    pub(crate) arrived: usize,
    /// Floats that a chain exchanges.
    pub(crate) exchange: usize,
}

impl Needs {
    /// Of the product of many rows with a matrix.
    pub(crate) fn product(&mut self, layout: Layout, rows: usize, cols: usize) {
        let stride = cols.next_multiple_of(TILE_COLS);
        if layout == Layout::Plain {
            self.input = self.input.max(cols * 4);
            return;
        }
        let block = TILE_ROWS * stride * 2;
        self.input = self.input.max(stride * 2);
        self.weights = self.weights.max((rows.div_ceil(TILE_ROWS) * block).min(EXPAND_BYTES.max(block)));
    }

    /// Of a gated product of so many columns: its second factor, or all of it as the next product wants it.
    pub(crate) fn second_factor(&mut self, width: usize) {
        self.up = self.up.max(width * 4 + width / 16 * 4);
    }

    /// Of the first products of experts, as if they were stored in several ways.
    pub(crate) fn experts_up(&mut self, cols: usize, width: usize) {
        self.input = self.input.max(cols * 4);
        self.second_factor(width);
    }

    /// Of the last products of so many experts a row.
    pub(crate) fn experts_down(&mut self, per_row: usize, width: usize) {
        self.products = self.products.max(per_row * width * 4);
    }

    /// Of attention with values of some width, whose heads are so many blocks.
    pub(crate) fn attend(&mut self, heads: usize, values: usize, blocks: usize) {
        self.partial = self.partial.max(heads * (values + 2));
        self.arrived = self.arrived.max(blocks);
    }

    /// Of a chain of products.
    pub(crate) fn exchange(&mut self, floats: usize) {
        self.exchange = self.exchange.max(floats);
    }

    /// Bytes of the scratch under a plan.
    pub(crate) fn bytes(&self, plan: &Plan) -> usize {
        self.parts(plan).iter().sum()
    }

    /// Bytes of input, weights, second factors, products of experts, partial attentions, of the counts of those that arrived, and of what
    /// chains exchange.
    fn parts(&self, plan: &Plan) -> [usize; 7] {
        let most = plan.rows.max(plan.wanted);
        let split = most.min(SPLIT_ROWS);
        [
            self.input * most,
            self.weights,
            self.up * most,
            self.products * most.min(EXPERT_ROWS),
            split * MOST_RANGES * self.partial * 4,
            split * self.arrived * 4,
            SETS * self.exchange * 4,
        ]
    }
}

/// The shape of a step: what launches depend on. Two steps of one shape are the same launches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Shape {
    pub(crate) rows: usize,
    pub(crate) seqs: usize,
    pub(crate) wanted: usize,
    /// Tiles of rows of prompts; none when every sequence brings one row.
    pub(crate) tiles: usize,
    /// Ranges of keys, a power of two, at most so many.
    pub(crate) ranges: usize,
    /// Whether ops may do the work of those before them.
    pub(crate) fused: bool,
    /// Whether chains of products are one kernel, whose blocks must all run at once: nobody else's do.
    pub(crate) chained: bool,
    /// Whether a token is wanted that is not the best of the plain logits.
    pub(crate) sampled: bool,
}

impl Shape {
    pub(crate) fn of(inputs: &StepInputs) -> Shape {
        let prompt = inputs.seqs.iter().any(|s| s.rows > 1);
        let longest = inputs.seqs.iter().map(|s| s.past + s.rows).max().unwrap_or(1);
        let rows = inputs.rows();
        let ranges = longest.div_ceil(RANGE_KEYS).next_power_of_two().min(MOST_RANGES);
        let ranges = if longest <= CLUSTER * CLUSTER_KEYS { ranges.min(CLUSTER) } else { ranges };
        Shape {
            rows,
            seqs: inputs.seqs.len(),
            wanted: inputs.want.len(),
            tiles: if prompt { inputs.seqs.iter().map(|s| s.rows.div_ceil(ATTEND_ROWS)).sum() } else { 0 },
            ranges: if rows > SPLIT_ROWS { 1 } else { ranges },
            fused: !prompt,
            chained: false,
            sampled: inputs.want.iter().any(|wanted| matches!(&wanted.what, Want::Sample(s) if !is_best(s))),
        }
    }

    pub(crate) fn rows_of(&self, rows: Rows) -> usize {
        match rows {
            Rows::Step => self.rows,
            Rows::Wanted => self.wanted,
        }
    }
}

impl Machine {
    pub(crate) fn new(
        library: Library,
        stream: Arc<CudaStream>,
        program: &Program,
        plan: &Plan,
        needs: Needs,
        kv_f32: bool,
    ) -> Result<Machine, CudaError> {
        let context = &library.card().context;
        let layouts: Vec<_> = program.states.iter().map(|g| KvLayout::new(g, plan.page_tokens)).collect();
        let bufs = program.bufs.iter().map(|b| {
            let memory = Memory::zeroed(context, "activations", b.width * plan.capacity(b.rows) * 4)?;
            Ok(Buffer { rows: b.rows, width: b.width, memory })
        });
        let kv = layouts.iter().zip(&plan.pages);
        let kv = kv.map(|(l, pages)| Memory::zeroed(context, "keys and values", l.page() * pages * kv_bytes(kv_f32)));
        let [input, weights, up, products, partials, arrived, exchange] = needs.parts(plan);
        Ok(Machine {
            bufs: bufs.collect::<Result<_, CudaError>>()?,
            kv: kv.collect::<Result<_, CudaError>>()?,
            info: StepInfo::new(context, program, plan)?,
            scratch: Scratch {
                input: Memory::new(context, "activations", input)?,
                weights: Memory::new(context, "expanded weights", weights)?,
                up: Memory::new(context, "activations", up)?,
                products: Memory::new(context, "activations", products)?,
                partials: Memory::new(context, "attention", partials)?,
                arrived: Memory::zeroed(context, "attention", arrived)?,
                exchange: Memory::zeroed(context, "activations", exchange)?,
            },
            gathered: program.ops.iter().find_map(|t| match t.op {
                // Rows that leave the program have to be where it says.
                Op::Gather { x, out } if out != program.logits => Some((x, out)),
                _ => None,
            }),
            slots: Slots::new(context, program, plan)?,
            layouts,
            kv_f32,
            stream,
            library,
        })
    }

    pub(crate) fn buf(&self, buf: Buf) -> &Buffer {
        &self.bufs[buf.0 as usize]
    }

    /// The address of an input: that of the rows that were gathered into it where they are all rows of the step.
    pub(crate) fn input(&self, buf: Buf, shape: &Shape) -> u64 {
        match self.gathered {
            Some((from, to)) if to == buf && self.skips_gather(buf, shape) => self.at(from),
            _ => self.at(buf),
        }
    }

    /// Whether nothing need be gathered into `out`, for the wanted rows are the rows of the step.
    pub(crate) fn skips_gather(&self, out: Buf, shape: &Shape) -> bool {
        shape.fused && shape.wanted == shape.rows && self.gathered.is_some_and(|(_, to)| to == out)
    }

    /// The address of a buffer.
    pub(crate) fn at(&self, buf: Buf) -> u64 {
        self.buf(buf).memory.at()
    }

    /// Rows of a buffer in a step.
    pub(crate) fn rows(&self, buf: Buf, shape: &Shape) -> usize {
        shape.rows_of(self.buf(buf).rows)
    }
}

/// Bytes of a key's or value's coordinate, f32 or f16.
pub(crate) fn kv_bytes(kv_f32: bool) -> usize {
    if kv_f32 { 4 } else { 2 }
}

/// What a program will need, gathered while its ops are made ready.
#[derive(Default)]
pub(crate) struct Gather(Cell<Needs>);

impl Gather {
    pub(crate) fn need(&self, change: impl FnOnce(&mut Needs)) {
        let mut needs = self.0.get();
        change(&mut needs);
        self.0.set(needs);
    }

    pub(crate) fn needs(&self) -> Needs {
        self.0.get()
    }
}
