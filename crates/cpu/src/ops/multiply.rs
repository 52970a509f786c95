//! The product of some rows of a matrix with some rows of an input: one kernel for one row, another for many, the same bits.
#![expect(unsafe_code, reason = "kernels work on raw parts")]

use std::ops::Range;

use super::input::Prepared;
use super::piece::Piece;
use crate::floats::Floats;
use crate::grouped::{self, Grouped, Unpacking, activation_bytes, slabs, weight_bytes};
use crate::halves::{self, Halves, UNIT_BYTES};
use crate::kernels::decode::Patch;
use crate::kernels::dot::{Dots, Stream};
use crate::kernels::tile::Block;
use crate::machine::{BATCH, Machine, PANEL_COLS, PANEL_ROWS, Scratch};
use crate::matrix::Matrix;
use crate::simd::UNIT;

/// Most rows of activations that go through whole numbers one by one: measured.
pub(crate) const FEW: usize = 4;

/// `out[i, j] = x[batch.start + i] . matrix[row j of the piece]`, `[batch, piece]` without gaps. A piece for rows that do not go
/// [one by one](one_by_one) has one stretch.
///
/// # Panics
/// Where the batch, the rows or the scratch do not fit.
pub(crate) fn multiply(
    machine: &Machine,
    thread: usize,
    matrix: &Matrix,
    piece: &Piece,
    x: &Prepared,
    batch: Range<usize>,
    out: &Floats,
) {
    assert!(batch.end <= x.n && piece.len() * batch.len() <= out.len());
    let [(_, rows), (_, none)] = piece.stretches();
    let scratch = &machine.scratch[thread];
    let [_, alone] = matrix.orders();
    if one_by_one(matrix, batch.len()) && x.has(alone) {
        for (i, row) in batch.enumerate() {
            let out = out.ptr().wrapping_add(i * piece.len());
            one(scratch, matrix, &piece.halved(), x.row(row, alone), out);
        }
        return;
    }
    assert!(none.is_empty(), "two stretches for many rows");
    match (&matrix.grouped, &matrix.halves) {
        (Some(grouped), _) => many_in_slabs(scratch, matrix, grouped, rows, x, batch, out),
        (None, Some(halves)) => many_in_halves(scratch, matrix, halves, rows, x, batch, out),
        (None, None) => many(machine, scratch, matrix, rows, x, batch, out),
    }
}

/// Whether so many rows are multiplied one after the other, from weights that the first brought near: codes that are brought into columns
/// for all at once cost more than that, the less so the more scales they have.
pub(crate) fn one_by_one(matrix: &Matrix, rows: usize) -> bool {
    let most = |grouped: &Grouped| if grouped.group == 64 { FEW } else { FEW - 1 };
    rows <= matrix.grouped.as_ref().map_or(1, most)
}

/// A panel of each stretch at a time, for the sake of their scales.
fn one(scratch: &Scratch, matrix: &Matrix, piece: &Piece, x: *const f32, out: *mut f32) {
    let stretches = piece.stretches();
    let stored = matrix.grouped.as_ref().is_some_and(|grouped| grouped.one.stored_scales);
    // Where nothing is decoded for them, all at once.
    let decoded = !stored && matrix.scratch(PANEL_ROWS) > 0;
    let at_once = if decoded { PANEL_ROWS } else { stretches[0].1.len().max(1) };
    for done in (0..stretches[0].1.len()).step_by(at_once) {
        let stream = |i: usize| {
            let (before, rows) = &stretches[i];
            let panel = (rows.start + done).min(rows.end)..(rows.start + done + at_once).min(rows.end);
            let (rows, out) = (panel.len(), out.wrapping_add(before + done));
            let matrix = if stored { matrix.stored(panel) } else { matrix.source(panel, &scratch.scales[i]) };
            Stream { rows, out, matrix }
        };
        let dots = Dots { x, streams: [stream(0), stream(1)] };
        // SAFETY: the sources have that many rows, the second no more than the first; the input is padded (see `Input::prepare`);
        // the room for results was checked and is this thread's.
        unsafe { matrix.dot()(&dots) };
    }
}

fn many(
    machine: &Machine,
    scratch: &Scratch,
    matrix: &Matrix,
    rows: Range<usize>,
    x: &Prepared,
    batch: Range<usize>,
    out: &Floats,
) {
    assert!(rows.len() <= PANEL_ROWS && batch.len() <= BATCH);
    let source = matrix.source(rows.clone(), &scratch.scales[0]);
    for col in (0..matrix.cols()).step_by(PANEL_COLS) {
        let cols = PANEL_COLS.min(matrix.cols() - col);
        let (panel, stride) = (scratch.panel.ptr(), PANEL_COLS);
        let patch =
            Patch { matrix: source, rows: rows.len(), col, cols, out: panel, stride, ahead: 4 * source.row_bytes };
        // SAFETY: rows and columns lie in the matrix; the columns begin at a multiple of every group and end at one or with the
        // row; the panel holds them padded.
        unsafe { (matrix.kernels.decode)(&patch) };
        let block = Block {
            w: panel,
            w_stride: stride,
            rows: rows.len(),
            x: x.row(batch.start, matrix.kernels.order).wrapping_add(col),
            x_stride: x.stride(matrix.kernels.order),
            n: batch.len(),
            cols: cols.next_multiple_of(UNIT),
            sums: scratch.sums.ptr(),
            first: col == 0,
            out: (col + cols == matrix.cols()).then_some(out.ptr()),
            out_stride: rows.len(),
        };
        // SAFETY: the panel and the input hold that many rows and padded columns; the sums have room for a whole panel and
        // batch, the output for the product (checked by the caller).
        unsafe { (machine.kernels.tile)(&block) };
    }
}

/// The same in whole numbers.
fn many_in_slabs(
    scratch: &Scratch,
    matrix: &Matrix,
    grouped: &Grouped,
    rows: Range<usize>,
    x: &Prepared,
    batch: Range<usize>,
    out: &Floats,
) {
    assert!(rows.len() <= PANEL_ROWS && batch.len() <= BATCH);
    let (source, [order, _]) = (matrix.source(rows.clone(), &scratch.scales[0]), matrix.orders());
    let (all, panel) = (slabs(matrix.cols(), grouped.group), scratch.panel.ptr().cast::<u8>());
    let at_once = scratch.panel.len() * size_of::<f32>() / (PANEL_ROWS * weight_bytes(grouped.group));
    let x_stride = x.stride(order) * size_of::<f32>();
    for slab in (0..all).step_by(at_once) {
        let slabs = at_once.min(all - slab);
        let unpacking = Unpacking { matrix: source, rows: rows.len(), slab, slabs, out: panel };
        let block = grouped::Block {
            w: panel,
            rows: rows.len(),
            slabs,
            x: x.row(batch.start, order).cast::<u8>().wrapping_add(slab * activation_bytes(grouped.group)),
            x_stride,
            n: batch.len(),
            sums: scratch.sums.ptr(),
            first: slab == 0,
            out: (slab + slabs == all).then_some(out.ptr()),
            out_stride: rows.len(),
        };
        // SAFETY: rows and slabs lie in the matrix, the panel has room for them and the input as many; the sums have room for a
        // whole panel and batch, the output for the product (checked by the caller).
        unsafe {
            (grouped.unpack)(&unpacking);
            (grouped.tile)(&block);
        }
    }
}

/// The same in halves, from where the weights lie.
fn many_in_halves(
    scratch: &Scratch,
    matrix: &Matrix,
    halves: &Halves,
    rows: Range<usize>,
    x: &Prepared,
    batch: Range<usize>,
    out: &Floats,
) {
    assert!(rows.len() <= PANEL_ROWS && batch.len() <= BATCH);
    let (source, [order, _]) = (matrix.stored(rows.clone()), matrix.orders());
    for col in (0..matrix.cols()).step_by(PANEL_COLS) {
        let cols = PANEL_COLS.min(matrix.cols() - col);
        let block = halves::Block {
            matrix: source,
            rows: rows.len(),
            col,
            cols,
            x: x.row(batch.start, order).cast::<u8>().wrapping_add(col / UNIT * UNIT_BYTES),
            x_stride: x.stride(order) * size_of::<f32>(),
            n: batch.len(),
            sums: scratch.sums.ptr(),
            out: (col + cols == matrix.cols()).then_some(out.ptr()),
            out_stride: rows.len(),
        };
        // SAFETY: rows and columns lie in the matrix, the input has as many in whole units; the sums have room for a whole panel and
        // batch, the output for the product (checked by the caller).
        unsafe { (halves.tile)(&block) };
    }
}
