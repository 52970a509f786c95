//! The gated product of an MLP.
#![expect(unsafe_code, reason = "launches")]

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use super::chain::Place;
use super::input::Input;
use super::product::{Around, FEW_ROWS, Few, Handed, Many, bare};
use super::{ActArgs, NormArgs, Ready, address};
use crate::CudaError;
use crate::kernels::{Grid, Kernel, Library, args};
use crate::machine::{Gather, Machine, Shape};
use crate::matrix::{Matrix, TILE_COLS};
use crate::memory::Memory;
use crate::storage::Layout;
use ffai_program::Buf;

/// The op.
pub(crate) struct GateUp {
    pub(super) input: Input,
    pub(super) gate: (Rc<Matrix>, Option<Memory>, Many),
    pub(super) up: Option<(Rc<Matrix>, Option<Memory>, Many)>,
    pub(super) act: ActArgs,
    pub(super) out: Buf,
    few: Option<Few>,
    combine: Kernel,
    /// Most rows whose results are handed over in parts to the product that comes next.
    hands: Cell<usize>,
    /// The chain that it belongs to.
    pub(super) chain: OnceCell<Place>,
}

impl GateUp {
    pub(crate) fn new(
        library: &Library,
        gather: &Gather,
        input: Input,
        gate: (Rc<Matrix>, Option<Memory>),
        up: Option<(Rc<Matrix>, Option<Memory>)>,
        act: ActArgs,
        out: Buf,
    ) -> Result<GateUp, CudaError> {
        let with_many = |(matrix, bias): (Rc<Matrix>, Option<Memory>)| {
            let many = Many::new(library, gather, &matrix)?;
            Ok::<_, CudaError>((matrix, bias, many))
        };
        let alike = up.as_ref().filter(|up| up.0.layout == gate.0.layout && gate.0.layout != Layout::Plain);
        let few = match alike {
            Some(_) => Few::new(library, &gate.0, 2 * gate.0.blocks(), NormArgs::of(input.norm.as_ref()), true)?,
            None => None,
        };
        gather.need(|n| n.second_factor(gate.0.rows));
        let up = up.map(with_many).transpose()?;
        let combine = library.kernel("elementwise.cu", "gate", &[])?;
        let (hands, chain) = (Cell::new(0), OnceCell::new());
        Ok(GateUp { input, gate: with_many(gate)?, up, act, out, few, combine, hands, chain })
    }

    /// Whether results are from now on handed to `next`, which multiplies `input` with a matrix: where it is them that it wants, and both
    /// matrices are codes. (16-bit matrices are so many bytes that nothing is gained.)
    pub(crate) fn hands_to(&self, input: &Input, matrix: &Matrix, next: &Few) -> bool {
        let (own, Some(few)) = (&self.gate.0, &self.few) else { return false };
        let fits = input.x == self.out && matrix.cols == own.rows && matrix.cols.is_multiple_of(TILE_COLS);
        let codes = |layout| matches!(layout, Layout::Codes(_));
        if fits && codes(own.layout) && codes(matrix.layout) {
            self.hands.set(few.most_rows().min(next.wants_parts()));
        }
        self.hands.get() > 0
    }

    /// Where the results of so many rows are in parts; null where they are not.
    pub(crate) fn handed(&self, m: &Machine, shape: &Shape, rows: usize) -> u64 {
        if shape.fused && rows <= self.hands.get() { m.scratch.up.at() } else { 0 }
    }
}

/// `out = act(out) * second`, or `act(out)` where there is no second.
///
/// # Safety
/// Both addresses, where they are not null, are those of `count` floats.
pub(super) unsafe fn combine(
    kernel: &Kernel,
    m: &Machine,
    [out, second]: [u64; 2],
    act: ActArgs,
    count: usize,
) -> Result<(), CudaError> {
    let n = count as u64;
    // SAFETY: the caller's promise.
    unsafe { kernel.launch(&m.stream, Grid::over(count), args![out, second, act, n]) }
}

impl Ready for Rc<GateUp> {
    fn launch(&self, m: &Machine, shape: &Shape) -> Result<(), CudaError> {
        if let Some(place) = self.chain.get()
            && place.launch(m, shape)?
        {
            return Ok(());
        }
        let rows = m.rows(self.input.x, shape);
        let (gate, gate_bias, many) = &self.gate;
        let out = m.at(self.out);
        let to_gate = bare(out, address(gate_bias.as_ref()), gate.rows);
        let mut second = 0;
        if let Some((up, up_bias, many_up)) = &self.up {
            let up_bias = address(up_bias.as_ref());
            if let Some(few) = self.few.as_ref().filter(|_| rows <= FEW_ROWS) {
                let parts = [(&**gate, to_gate), (&**up, bare(0, up_bias, up.rows))];
                let handed = Handed { to: self.handed(m, shape, rows), from: 0 };
                let around = Around { norm: NormArgs::of(self.input.norm.as_ref()), act: self.act, handed };
                return few.launch(m, &parts, m.input(self.input.x, shape), rows, around);
            }
            second = m.scratch.up.at();
            many_up.launch(m, &self.input, shape, bare(second, up_bias, up.rows))?;
        }
        many.launch(m, &self.input, shape, to_gate)?;
        // SAFETY: both hold that many floats.
        unsafe { combine(&self.combine, m, [out, second], self.act, rows * gate.rows) }
    }
}
