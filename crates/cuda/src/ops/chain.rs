//! The products between two attentions as one kernel, `chain.cu`, where they are what most models have: o onto the residual stream, a
//! gated product behind a norm, down onto the stream, and the products of the next layer, or the head, behind a norm.
#![expect(unsafe_code, reason = "launches")]

use std::rc::Rc;

use super::gate_up::GateUp;
use super::product::Products;
use super::{ActArgs, NormArgs, address};
use crate::kernels::{Grid, Kernel, Library, args, define};
use crate::machine::{Gather, Machine, Shape};
use crate::matrix::{Matrix, TILE_COLS, TILE_ROWS, Tiles};
use crate::memory::Memory;
use crate::storage::Layout;
use crate::{Arch, CudaError};
use ffai_program::{Buf, Op, Tagged};

const LINKS: usize = 4;
const MEMBERS: usize = 3;
/// Warps that share a block of rows.
const WARPS: usize = 8;
/// Blocks of rows whose results a block of threads keeps: `BATCH` of `chain.cu`.
const BATCH: usize = 12;
/// Most parts that the columns of o and of down are shared in.
pub(crate) const MOST_PARTS: usize = 4;
/// Wider codes were measured to run faster one product after the other: 5, 6 and 8 bits.
const MOST_BITS: usize = 4;
/// Tiles of a row whose activations a warp keeps in registers.
const KEPT_TILES: usize = 5;
/// Bytes of a slot of the ring at most, and of slots that are under way. Fewer bytes under way leave the memory idle; behind more, what
/// blocks tell each other waits.
const SLOT_BYTES: usize = 24 << 10;
const UNDER_WAY: usize = 48 << 10;
/// Shared memory that is left to the blocks of attention, should registers let them run beside a chain that fetches ahead.
const LEFT: usize = 28 << 10;
const SLOTS: std::ops::RangeInclusive<usize> = 3..=16;
/// Bytes that a multiprocessor reads in the time that one more part costs, or a tile whose activations no warp keeps.
const PART_BYTES: usize = 4 << 10;

/// An op that may be a link.
pub(crate) enum Member {
    Products(Rc<Products>),
    GateUp(Rc<GateUp>),
}

/// What an op is in a chain.
pub(crate) enum Place {
    /// It launches the kernel.
    First(Box<Chain>),
    /// Its work has been done, if that of the first has.
    Later {
        /// The input that must be all rows of the step, where that is a question.
        gathered: Option<Buf>,
    },
}

impl Place {
    /// Does the op's work; false where the op has to do it by itself.
    pub(crate) fn launch(&self, m: &Machine, shape: &Shape) -> Result<bool, CudaError> {
        let gathered = match self {
            Place::First(chain) => chain.gathered,
            Place::Later { gathered } => *gathered,
        };
        if !shape.chained || gathered.is_some_and(|buf| !m.skips_gather(buf, shape)) {
            return Ok(false);
        }
        if let Place::First(chain) = self {
            chain.launch(m)?;
        }
        Ok(true)
    }
}

/// A chain ready to be launched.
pub(crate) struct Chain {
    kernel: Kernel,
    grid: Grid,
    links: [LinkArgs; LINKS],
    /// Where the products of each link go.
    outs: [[Option<Buf>; MEMBERS]; LINKS],
    input: Buf,
    stream: Buf,
    act: ActArgs,
    gathered: Option<Buf>,
    /// Floats that are exchanged, by the largest chain; this one's place there, and that of the next.
    exchanged: usize,
    sets: [usize; 2],
}

/// `Member` of `chain.cu`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct MemberArgs {
    matrix: Tiles,
    bias: u64,
    out: u64,
    first: i32,
}

/// `LinkArgs` of `chain.cu`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct LinkArgs {
    member: [MemberArgs; MEMBERS],
    count: i32,
    each: i32,
    more: i32,
    scale: f32,
    norm: NormArgs,
}

/// `Chain` of `chain.cu`.
#[repr(C)]
struct ChainArgs {
    link: [LinkArgs; LINKS],
    input: u64,
    stream: u64,
    exchange: u64,
    clear: u64,
    cleared: i32,
    act: ActArgs,
}

/// One product of a chain: its matrices with biases and outputs.
struct Link<'a> {
    matrices: Vec<(&'a Matrix, Option<&'a Memory>, Option<Buf>)>,
    norm: NormArgs,
    scale: f32,
    pairs: bool,
}

/// The four ops of a chain.
struct Ops<'a> {
    o: &'a Products,
    gated: &'a GateUp,
    down: &'a Products,
    last: &'a Products,
    /// What gathers the input of the last, if anything does: from and to.
    gather: Option<(Buf, Buf)>,
}

/// Floats that a chain of such widths exchanges at most.
pub(crate) fn exchanged(hidden: usize, inner: usize) -> usize {
    2 * MOST_PARTS * hidden + inner
}

/// Sets of exchanged numbers: one is made ready while another is in use; where chains are odd in number, a third for the last.
pub(crate) const SETS: usize = 3;

/// Joins ops to chains. `members` are those that may be, by their place among the ops.
pub(crate) fn join(
    library: &Library,
    gather: &Gather,
    ops: &[Tagged],
    members: &[(usize, Member)],
) -> Result<(), CudaError> {
    let mut found = Vec::new();
    let mut rest = members;
    while let [(_, o), (a, g), (b, d), (c, l), ..] = rest {
        rest = &rest[1..];
        let (Member::Products(o), Member::GateUp(gated), Member::Products(down), Member::Products(last)) = (o, g, d, l)
        else {
            continue;
        };
        let gather = match &ops[*c - 1].op {
            Op::Gather { x, out } => Some((*x, *out)),
            _ => None,
        };
        let ops_of = Ops { o, gated, down, last, gather };
        if *b != a + 1 || *c != b + 1 + usize::from(gather.is_some()) {
            continue;
        }
        let Some(chain) = Chain::new(library, &ops_of)? else { continue };
        found.push((chain, [o, down, last], gated));
        // The last op is no first one.
        rest = &rest[3..];
    }
    let (count, exchanged) = (found.len(), found.iter().map(|(chain, ..)| chain.exchanged).max().unwrap_or(0));
    if count < 2 {
        return Ok(());
    }
    gather.need(|n| n.exchange(exchanged));
    let set = |n: usize| if count % 2 == 1 && n + 1 == count { 2 } else { n % 2 };
    for (n, (mut chain, [o, down, last], gated)) in found.into_iter().enumerate() {
        (chain.exchanged, chain.sets) = (exchanged, [set(n), set((n + 1) % count)]);
        let gathered = chain.gathered;
        gated.chain.get_or_init(|| Place::Later { gathered });
        for products in [down, last] {
            products.chain.get_or_init(|| Place::Later { gathered });
        }
        o.chain.get_or_init(|| Place::First(Box::new(chain)));
    }
    Ok(())
}

impl<'a> Ops<'a> {
    /// The links, if the ops are a chain.
    fn links(&self) -> Option<[Link<'a>; LINKS]> {
        let Ops { o, gated, down, last, gather } = *self;
        let alone = |p: &'a Products| (p.parts.len() == 1 && p.input.norm.is_none()).then(|| &p.parts[0]);
        let (to_stream, from_gated) = (alone(o)?, alone(down)?);
        let stream = to_stream.out;
        let (up, up_bias, _) = gated.up.as_ref()?;
        let fits = to_stream.add == Some(stream)
            && gated.input.x == stream
            && down.input.x == gated.out
            && (from_gated.add, from_gated.out) == (Some(stream), stream)
            && gather.map_or(last.input.x == stream, |gather| gather == (stream, last.input.x))
            && last.parts.len() <= MEMBERS
            && last.parts.iter().all(|p| p.add.is_none() && p.scale.to_bits() == last.parts[0].scale.to_bits());
        let norms = [&gated.input, &last.input].map(|input| NormArgs::of(input.norm.as_ref()));
        // Root mean squares.
        if !fits || norms.iter().any(|norm| norm.kind() != 1) {
            return None;
        }
        let none = NormArgs::default();
        let of_part = |p: &'a super::product::Part| (&*p.matrix, p.bias.as_ref(), Some(p.out));
        let gate = (&*gated.gate.0, gated.gate.1.as_ref(), Some(gated.out));
        let pair = vec![gate, (&**up, up_bias.as_ref(), None)];
        let parts = last.parts.iter().map(of_part).collect();
        Some([
            Link { matrices: vec![of_part(to_stream)], norm: none, scale: to_stream.scale, pairs: false },
            Link { matrices: pair, norm: norms[0], scale: 1.0, pairs: true },
            Link { matrices: vec![of_part(from_gated)], norm: none, scale: from_gated.scale, pairs: false },
            Link { matrices: parts, norm: norms[1], scale: last.parts[0].scale, pairs: false },
        ])
    }
}

impl Link<'_> {
    fn cols(&self) -> usize {
        self.matrices[0].0.cols
    }

    /// Blocks of rows, or pairs of them.
    fn units(&self) -> usize {
        let matrices = if self.pairs { &self.matrices[..1] } else { &self.matrices[..] };
        matrices.iter().map(|(matrix, ..)| matrix.blocks()).sum()
    }

    fn args(&self, groups: usize) -> LinkArgs {
        let mut link = LinkArgs {
            count: self.matrices.len() as i32,
            each: (self.units() / groups) as i32,
            more: (self.units() % groups) as i32,
            scale: self.scale,
            norm: self.norm,
            ..LinkArgs::default()
        };
        let mut first = 0;
        for (to, (matrix, bias, _)) in link.member.iter_mut().zip(&self.matrices) {
            *to = MemberArgs { matrix: matrix.tiles(), bias: address(*bias), out: 0, first };
            first += matrix.blocks() as i32;
        }
        link
    }
}

/// How a chain lies on the card and in shared memory.
struct Geometry {
    /// Parts of the columns of o and down.
    parts: [usize; 2],
    grid: usize,
    chunk: usize,
    slots: usize,
    under_way: usize,
    teams: usize,
    shared: usize,
}

impl Geometry {
    /// None where there is no room, or where what is copied would not be whole.
    fn new(links: &[Link<'_>; LINKS], layout: Layout, [multiprocessors, memory]: [usize; 2]) -> Option<Geometry> {
        let (group, row_scales) = match layout {
            Layout::Codes(codes) if !codes.scales.has_supers() && codes.bits <= MOST_BITS => {
                (codes.group, TILE_ROWS * codes.scales.size())
            }
            Layout::Dense { .. } => (TILE_COLS, 0),
            _ => return None,
        };
        // Tiles that come together, so that groups are whole.
        let together = (group / TILE_COLS).max(1);
        let row_bytes = |tiles: usize| tiles * layout.tile_bytes() + (tiles * TILE_COLS).div_ceil(group) * row_scales;
        let cut = |link: &Link<'_>| {
            let (tiles, units) = (link.cols() / TILE_COLS, link.units());
            let fits = |parts: &usize| tiles.is_multiple_of(*parts * together);
            let cost = |parts: &usize| {
                let most = units.div_ceil((multiprocessors / parts).max(1));
                let read_again = (tiles / parts).div_ceil(WARPS).saturating_sub(KEPT_TILES);
                most * row_bytes(tiles / parts) + (parts + read_again) * PART_BYTES
            };
            (1..=MOST_PARTS).filter(fits).min_by_key(cost)
        };
        let parts = [cut(&links[0])?, cut(&links[2])?];
        let parts_of = [parts[0], 1, parts[1], 1];
        let step = (1..=parts[0] * parts[1]).find(|n| parts.iter().all(|parts| n.is_multiple_of(*parts)))?;
        let room = links.iter().zip(parts_of).map(|(link, parts)| link.units() * parts).min()?;
        let grid = multiprocessors.min(room) / step * step;
        let share = (links[1].cols() / TILE_COLS).div_ceil(WARPS);
        let small = |chunk: &usize| {
            share.is_multiple_of(*chunk)
                && (chunk * WARPS).is_multiple_of(together)
                && row_bytes(chunk * WARPS) <= SLOT_BYTES
        };
        let chunk = (1..=share).rev().find(small)?;
        let slot = row_bytes(chunk * WARPS).next_multiple_of(128);
        // What `Shared` holds beside the ring.
        let most = links.iter().zip(parts_of).map(|(link, parts)| {
            let fair = (link.cols() / TILE_COLS / parts).div_ceil(WARPS);
            fair.next_multiple_of(chunk.min(fair))
        });
        let most = most.max()?;
        let groups = (TILE_COLS / group).max(1);
        // Codes are work for more warps than 16-bit numbers.
        let teams = if matches!(layout, Layout::Codes(_)) { 2 } else { 1 };
        let pieces = (share * 16).div_ceil(32 * teams);
        let others = WARPS * (2 * (most * TILE_COLS + 8) * 2 + most * groups * 4) + 2 * BATCH * WARPS * 16 * 4;
        let others = others + teams * WARPS * (pieces * 32 * 16 + 2 * 4) + 16 * SLOTS.end() + 512;
        let slots = (memory.saturating_sub(LEFT + others) / slot).min(*SLOTS.end());
        let under_way = (UNDER_WAY / slot).clamp(1, slots.max(1));
        let fits = grid > 0 && SLOTS.contains(&slots);
        fits.then_some(Geometry { parts, grid, chunk, slots, under_way, teams, shared: others + slots * slot })
    }
}

impl Chain {
    /// None where the ops are none, or this card or their storages have no kernel for it.
    fn new(library: &Library, ops: &Ops<'_>) -> Result<Option<Chain>, CudaError> {
        let card = library.card();
        let Some(links) = ops.links() else { return Ok(None) };
        let layout = links[0].matrices[0].0.layout;
        let alike = links.iter().flat_map(|link| &link.matrices).all(|(matrix, ..)| matrix.layout == layout);
        let whole = links.iter().all(|link| link.cols().is_multiple_of(TILE_COLS));
        let hidden = links[1].cols();
        let widths = links[0].matrices[0].0.rows == hidden && links[2].matrices[0].0.rows == hidden;
        if !alike || !whole || !widths || card.arch < (Arch { major: 9, minor: 0 }) {
            return Ok(None);
        }
        let Some(g) = Geometry::new(&links, layout, [card.multiprocessors, card.shared_memory]) else {
            return Ok(None);
        };
        let kernel = library.kernel("chain.cu", "chain", &g.options(&links, layout))?;
        kernel.allow_shared(g.shared)?;
        let parts = [g.parts[0], 1, g.parts[1], 1];
        let args = |i: usize| links[i].args(g.grid / parts[i]);
        let outs = |i: usize| {
            let mut outs = [None; MEMBERS];
            outs.iter_mut().zip(&links[i].matrices).for_each(|(to, (_, _, out))| *to = *out);
            outs
        };
        Ok(Some(Chain {
            kernel,
            grid: Grid { shared: g.shared, ..Grid::new(g.grid, (g.teams * WARPS + 1) * 32) },
            links: [args(0), args(1), args(2), args(3)],
            outs: [outs(0), outs(1), outs(2), outs(3)],
            input: ops.o.input.x,
            stream: ops.gated.input.x,
            act: ops.gated.act,
            gathered: ops.gather.map(|(_, to)| to),
            exchanged: exchanged(hidden, links[2].cols()),
            sets: [0; 2],
        }))
    }

    fn launch(&self, m: &Machine) -> Result<(), CudaError> {
        let mut link = self.links;
        for (link, outs) in link.iter_mut().zip(&self.outs) {
            for (member, out) in link.member.iter_mut().zip(outs) {
                member.out = out.map_or(0, |out| m.at(out));
            }
        }
        let set = |n: usize| m.scratch.exchange.at() + (n * self.exchanged * 4) as u64;
        let chain = ChainArgs {
            link,
            input: m.at(self.input),
            stream: m.at(self.stream),
            exchange: set(self.sets[0]),
            clear: set(self.sets[1]),
            cleared: (self.exchanged / 4) as i32,
            act: self.act,
        };
        // SAFETY: buffers have a row, matrices the blocks that the links count, the exchange its sets (`Needs::exchange`); there are no more
        // blocks than multiprocessors, and no other chain runs (`Shape::chained`), so all of them run at once.
        unsafe { self.kernel.launch(&m.stream, self.grid, args![chain]) }
    }
}

impl Geometry {
    fn options(&self, links: &[Link<'_>; LINKS], layout: Layout) -> Vec<String> {
        let mut options = layout.options();
        options.extend([
            define("INPUT", links[0].cols()),
            define("HIDDEN", links[1].cols()),
            define("INNER", links[2].cols()),
            define("SPLIT_O", self.parts[0]),
            define("SPLIT_DOWN", self.parts[1]),
            define("WARPS", WARPS),
            define("TEAMS", self.teams),
            define("CHUNK", self.chunk),
            define("RING", self.slots),
            define("DEPTH", self.under_way),
            define("KEPT", KEPT_TILES),
        ]);
        options
    }
}
