//! How much of everything a compiled program may use: the one place that sizes come from, for backends and for `inspect`.

use ffai_checkpoint::{Float, Storage};

use crate::{Op, Program, Rows, StateGroup, Values};

/// Capacities of a compiled program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Most rows (tokens) in a step.
    pub rows: usize,
    /// Most rows in a step that outputs are wanted of.
    pub wanted: usize,
    /// Most sequences in a step.
    pub seqs: usize,
    /// Longest sequence, in tokens.
    pub context: usize,
    /// Tokens in a page.
    pub page_tokens: usize,
    /// Pages, for each of the program's state groups.
    pub pages: Vec<usize>,
    /// Slots; 0 where the program's sequences need none. [`Plan::new`] has one more than sequences in a step: for one that is read while
    /// others wait. Those beyond hold snapshots: [`Plan::with_snapshots`].
    pub slots: usize,
    /// Whether what a sequence gets is the same bits however its tokens are cut into steps. Recurrences then run token by token; otherwise
    /// backends may take several tokens of a prompt at once in another form, whose results are within 1e-4 (relative, in f32) of that
    /// and may depend on where steps begin and end.
    pub deterministic: bool,
    /// How products may round their inputs, where a backend has kernels that are faster for it; others go on as they would.
    pub rounding: Rounding,
}

/// How products may round their inputs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rounding {
    /// To no fewer than 16 bits.
    #[default]
    Exact,
    /// To bf16 in MLPs with bf16 weights.
    Bf16,
    /// To bf16 wherever weights are bf16, and to whole numbers of eight bits, with a scale for each group of weights, where they are quantized.
    Int8,
}

impl Rounding {
    /// What programs run with unless somebody decides otherwise: [`Rounding::Bf16`], but [`Rounding::Exact`] where a router chooses experts, for
    /// a number that is a little off may choose others.
    pub fn usual(program: &Program) -> Rounding {
        let routes = program.ops.iter().any(|tagged| matches!(tagged.op, Op::Route { .. }));
        if routes { Rounding::Exact } else { Rounding::Bf16 }
    }
}

/// Bytes that a program needs under a plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// Weights as stored.
    pub weights: u64,
    /// Keys and values.
    pub kv: u64,
    /// Slots.
    pub slots: u64,
    /// Activations.
    pub buffers: u64,
    /// What the backend keeps for itself: [`crate::Backend::footprint`].
    pub scratch: u64,
}

impl Plan {
    /// Tokens in a page unless somebody decides otherwise.
    pub const PAGE_TOKENS: usize = 32;

    /// What keys and values are kept as unless somebody decides otherwise, for weights of these storages: f32 where all of them are, so that what
    /// is exact in the file stays exact; else f16, which rounds eight times less than bf16 in as many bytes.
    pub fn kv(storages: impl IntoIterator<Item = Storage>) -> Float {
        let exact = |storage| storage == Storage::Dense(Float::F32);
        if storages.into_iter().all(exact) { Float::F32 } else { Float::F16 }
    }

    /// Prompts of programs with slots are cut at multiples of it, so that a recurrence may take its rows in blocks of as many or of a part of
    /// as many: the blocks are then at the same places in every sequence.
    pub const GRID: usize = 64;

    /// A plan for `seqs` sequences of at most `context` tokens each, in steps of at most `rows` rows.
    pub fn new(program: &Program, seqs: usize, context: usize, rows: usize) -> Plan {
        let mut plan = Plan {
            rows: rows.max(seqs),
            wanted: rows.min(64).max(seqs),
            seqs,
            context,
            page_tokens: Self::PAGE_TOKENS,
            pages: Vec::new(),
            slots: if program.slots.is_empty() { 0 } else { seqs + 1 },
            deterministic: false,
            rounding: Rounding::default(),
        };
        plan.pages = program.states.iter().map(|group| seqs * plan.pages_of(group, context)).collect();
        plan
    }

    /// The same with slots for this many more states, where the program's sequences have slots at all.
    #[must_use]
    pub fn with_snapshots(self, snapshots: usize) -> Plan {
        let more = if self.slots == 0 { 0 } else { snapshots };
        Plan { slots: self.slots.saturating_add(more), ..self }
    }

    /// Most pages of a group that a sequence of `tokens` tokens holds at once. With a window that is what covers the rows of a step
    /// and the keys they see, wherever pages begin; one key more than that stays, so that the last row can be run again.
    pub fn pages_of(&self, group: &StateGroup, tokens: usize) -> usize {
        let all = tokens.div_ceil(self.page_tokens);
        let seen = |window: usize| window.saturating_add(self.rows).saturating_sub(1).div_ceil(self.page_tokens) + 1;
        group.window.map_or(all, |window| all.min(seen(window)))
    }

    /// A plan for one sequence of `tokens` tokens in one step that wants every row.
    pub fn for_tokens(program: &Program, tokens: usize) -> Plan {
        Plan { wanted: tokens, ..Plan::new(program, 1, tokens, tokens) }
    }

    /// What the plan costs a backend that keeps nothing for itself. Buffers and keys are counted as f32.
    pub fn footprint(&self, program: &Program, weights: u64) -> Footprint {
        let float = size_of::<f32>() as u64;
        let kv = |(group, pages): (&StateGroup, &usize)| {
            KvLayout::new(group, self.page_tokens).page() as u64 * *pages as u64
        };
        let buffers = program.bufs.iter().map(|b| (b.width as u64) * self.capacity(b.rows) as u64);
        Footprint {
            weights,
            kv: program.states.iter().zip(&self.pages).map(kv).sum::<u64>() * float,
            slots: program.slot_width() as u64 * self.slots as u64 * float,
            buffers: buffers.sum::<u64>() * float,
            scratch: 0,
        }
    }

    /// Most rows of a buffer.
    pub fn capacity(&self, rows: Rows) -> usize {
        match rows {
            Rows::Step => self.rows,
            Rows::Wanted => self.wanted,
        }
    }
}

impl Footprint {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.weights + self.kv + self.slots + self.buffers + self.scratch
    }
}

/// Where a key or value lies in the pages of a group, in elements: `[page][layer][k | v][head][token][dim]`, without the part of
/// v where values are part of the keys. A page is contiguous, so copying or freeing it is one range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvLayout {
    /// Layers in the group.
    pub layers: usize,
    /// Key heads.
    pub heads: usize,
    /// Tokens in a page.
    pub tokens: usize,
    /// From token to token: the width of a key.
    pub dim: usize,
    /// Where the values are.
    pub values: Values,
}

impl KvLayout {
    /// The layout of a group.
    pub fn new(group: &StateGroup, page_tokens: usize) -> Self {
        KvLayout {
            layers: group.layers,
            heads: group.kv_heads,
            tokens: page_tokens,
            dim: group.dim,
            values: group.values,
        }
    }

    /// Elements of a page.
    pub fn page(&self) -> usize {
        self.layers * self.layer()
    }

    /// Where the keys `[tokens, dim]` of one head begin.
    pub fn keys(&self, page: u32, layer: usize, head: usize) -> usize {
        page as usize * self.page() + layer * self.layer() + head * self.tokens * self.dim
    }

    /// Where the values of one head begin, `dim` from token to token.
    pub fn values(&self, page: u32, layer: usize, head: usize) -> usize {
        self.keys(page, layer, head) + self.layer() - self.half()
    }

    fn layer(&self) -> usize {
        match self.values {
            Values::Own => 2 * self.half(),
            Values::OfKeys(_) => self.half(),
        }
    }

    fn half(&self) -> usize {
        self.heads * self.tokens * self.dim
    }
}
