//! The input of a product, made once for all its matrices.
#![expect(unsafe_code, reason = "kernels work on raw parts")]

use ffai_program::{Buf, StepInputs};

use super::Norm;
use super::multiply::FEW;
use crate::grouped::Spread;
use crate::kernels::prepare::Prepare;
use crate::machine::Machine;
use crate::matrix::Matrix;
use crate::simd::load::Order;
use crate::simd::{Entry, UNIT};

/// Rows that a thread takes at once.
const CHUNK: usize = 8;

/// Which buffer, and what becomes of it.
pub(crate) struct Input {
    pub(crate) x: Buf,
    pub(crate) norm: Option<Norm>,
    /// Whether a matrix wants the even numbers before the odd ones.
    even_odd: bool,
    /// The whole numbers or halves that matrices want of several rows, and what makes them.
    many: Slabs,
    /// Of one row.
    one: Slabs,
}

/// Orders of whole numbers or halves, each with what makes them.
type Slabs = Vec<(Order, Entry<Spread>)>;

/// How rows are multiplied.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Company {
    /// One by one.
    Alone,
    /// Several at once.
    Together,
    /// Some so, some so.
    Both,
}

/// A step's input: `[n, stride]` in each order.
#[derive(Clone, Copy)]
pub(crate) struct Prepared {
    pub(crate) n: usize,
    cols: usize,
    /// Whether one row is the input of all `n` products.
    shared: bool,
    /// Null where no matrix wants the order.
    orders: [*const f32; Order::COUNT],
}

// SAFETY: threads only read through the pointers while an op runs, which owns what they point to.
unsafe impl Sync for Prepared {}

impl Input {
    pub(crate) fn new<'a>(x: Buf, norm: Option<Norm>, matrices: impl IntoIterator<Item = &'a Matrix>) -> Input {
        let mut input = Input { x, norm, even_odd: false, many: Vec::new(), one: Vec::new() };
        for matrix in matrices {
            let [many, one] = matrix.orders();
            input.even_odd |= many == Order::EvenOdd;
            if let Some(spreads) = matrix.spreads() {
                add(&mut input.many, many, spreads[0]);
                add(&mut input.one, one, spreads[1]);
            }
        }
        input
    }

    /// Norms, pads and orders the rows. One row that needs none of it stays where it is.
    pub(crate) fn prepare(&self, machine: &Machine, inputs: &StepInputs) -> Prepared {
        let (n, cols) = (machine.rows(self.x, inputs), machine.buf(self.x).width);
        let ordered = self.even_odd || !self.many.is_empty();
        if n == 1 && self.norm.is_none() && !ordered && cols.is_multiple_of(UNIT) {
            return Prepared::new(n, cols, machine.ptr(self.x), std::ptr::null());
        }
        let company = match n {
            1 => Company::Alone,
            2..=FEW => Company::Both,
            _ => Company::Together,
        };
        self.gather(machine, n, cols, company, |row| row)
    }

    /// The same for `n` rows of `cols` numbers, the i-th of them being row `from(i)` of the buffer taken as such rows.
    pub(crate) fn gather(
        &self,
        machine: &Machine,
        n: usize,
        cols: usize,
        company: Company,
        from: impl Fn(usize) -> usize + Sync,
    ) -> Prepared {
        let mut out = Prepared::new(n, cols, machine.input(Order::Natural, n, cols), std::ptr::null());
        if self.even_odd {
            out.orders[Order::EvenOdd as usize] = machine.input(Order::EvenOdd, n, cols);
        }
        for (order, _) in self.slabs(company) {
            out.orders[*order as usize] = machine.input(*order, n, cols);
        }
        machine.pool.each(n.div_ceil(CHUNK), &|_, chunk| {
            for row in chunk * CHUNK..((chunk + 1) * CHUNK).min(n) {
                self.row(machine, from(row), row, company, &out);
            }
        });
        out
    }

    /// What is made of the rows.
    fn slabs(&self, company: Company) -> impl Iterator<Item = &(Order, Entry<Spread>)> {
        let many = if company == Company::Alone { &[][..] } else { &self.many };
        let one = if company == Company::Together { &[][..] } else { &self.one };
        let twice = |order: &Order| many.iter().any(|(there, _)| there == order);
        many.iter().chain(one.iter().filter(move |(order, _)| !twice(order)))
    }

    fn row(&self, machine: &Machine, from: usize, row: usize, company: Company, out: &Prepared) {
        let cols = out.cols;
        assert!((from + 1) * cols <= machine.buf(self.x).floats.len(), "row {from} of the input");
        let natural = out.row(row, Order::Natural).cast_mut();
        let args = Prepare {
            x: machine.ptr(self.x).wrapping_add(from * cols),
            cols,
            norm: self.norm.as_ref().map(Norm::parts),
            natural,
            even_odd: if self.even_odd { out.row(row, Order::EvenOdd).cast_mut() } else { std::ptr::null_mut() },
        };
        // SAFETY: the row lies in its buffer, the weight has `cols` floats (the program's builder saw to it), and the outputs
        // have room for a padded row that is this thread's alone (`Machine::input`).
        unsafe { (machine.kernels.prepare)(&args) };
        for (order, spread) in self.slabs(company) {
            let group = order.group().unwrap_or(cols);
            let out = out.row(row, *order).cast_mut().cast();
            let args = Spread { x: natural, cols, group, fast: machine.fast, out };
            // SAFETY: the row was just written, its length is a multiple of the group since a matrix in such groups is as wide,
            // and the output is this thread's alone.
            unsafe { spread(&args) };
        }
    }
}

fn add(slabs: &mut Slabs, order: Order, spread: Entry<Spread>) {
    if !slabs.iter().any(|(there, _)| *there == order) {
        slabs.push((order, spread));
    }
}

impl Prepared {
    /// Rows that lie somewhere, a stride apart; null where no matrix wants the even ones first.
    pub(crate) fn new(n: usize, cols: usize, natural: *const f32, even_odd: *const f32) -> Prepared {
        let mut orders = [std::ptr::null(); Order::COUNT];
        orders[Order::Natural as usize] = natural;
        orders[Order::EvenOdd as usize] = even_odd;
        Prepared { n, cols, shared: false, orders }
    }

    /// One row as the input of `n` products.
    pub(crate) fn shared_by(self, n: usize) -> Prepared {
        Prepared { n, shared: true, ..self }
    }

    /// Floats from row to row.
    pub(crate) fn stride(&self, order: Order) -> usize {
        if self.shared { 0 } else { order.stride(self.cols) }
    }

    /// Whether rows are there in an order.
    pub(crate) fn has(&self, order: Order) -> bool {
        !self.orders[order as usize].is_null()
    }

    /// Row `row`, in the order that a matrix wants.
    pub(crate) fn row(&self, row: usize, order: Order) -> *const f32 {
        self.orders[order as usize].wrapping_add(row * self.stride(order))
    }
}
