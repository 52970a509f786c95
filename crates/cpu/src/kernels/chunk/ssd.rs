//! The selective scan with a state for each head, a chunk at a time (Dao and Gu, 2024).
//!
//! With `G[t]` the sum of `dt * decay` up to row `t`: `out[t] = d x[t] + e^G[t] S c[t] + sum over s <= t of e^(G[t] - G[s]) dt[s] (c[t] .
//! b[s]) x[s]`, quadratic within the chunk; between chunks goes the state.

use super::{CHUNK, Product, add_lower, left, multiply, scale, times, transpose, triangle};
use crate::kernels::ssd::{Ssd, step_of};
use crate::kernels::{load, store};
use crate::simd::{Kernel, Simd};

/// The kernel of [`Ssd`] for `CHUNK` rows; its scratch holds [`scratch`] floats.
pub(crate) struct SsdChunk;

/// Floats for a head: `c`, transposed `b`, a triangle.
pub(crate) fn scratch(kept: usize) -> usize {
    CHUNK * (2 * kept + CHUNK)
}

impl Kernel for SsdChunk {
    type Args = Ssd;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Ssd) {
        let c = a.scratch;
        let columns = c.add(CHUNK * a.kept);
        let among = columns.add(CHUNK * a.kept);
        let (mut logs, mut steps) = ([0.0f64; CHUNK], [0.0f32; CHUNK]);
        let mut sum = 0.0;
        for t in 0..CHUNK {
            steps[t] = step_of(a, t);
            sum += f64::from(steps[t] * a.decay);
            logs[t] = sum;
        }
        transpose(a.b, a.stride, a.kept, columns);
        triangle::<S>((a.c, a.stride), columns, a.kept, among);
        for t in 0..CHUNK {
            times::<S>(among.add(t * CHUNK), &left::<S>(&logs, t));
            times::<S>(among.add(t * CHUNK), &steps);
            std::ptr::copy_nonoverlapping(a.c.add(t * a.stride), c.add(t * a.kept), a.kept);
            scale::<S>(c.add(t * a.kept), (logs[t] as f32).exp(), a.kept);
            skip::<S>(a, t);
        }
        multiply::<S>(&Product {
            a: c,
            a_stride: a.kept,
            b: a.state,
            b_stride: a.dim,
            c: a.out,
            c_stride: a.out_stride,
            rows: CHUNK,
            inner: a.kept,
            cols: a.dim,
            keep: 1.0,
        });
        add_lower::<S>(among, (a.x, a.stride), (a.out, a.out_stride), a.dim);
        let left = left::<S>(&logs, CHUNK - 1);
        for i in 0..a.kept {
            times::<S>(columns.add(i * CHUNK), &left);
            times::<S>(columns.add(i * CHUNK), &steps);
        }
        multiply::<S>(&Product {
            a: columns,
            a_stride: CHUNK,
            b: a.x,
            b_stride: a.stride,
            c: a.state,
            c_stride: a.dim,
            rows: a.kept,
            inner: CHUNK,
            cols: a.dim,
            keep: (logs[CHUNK - 1] as f32).exp(),
        });
    }
}

/// `out = d * x` in row `t`.
#[inline(always)]
unsafe fn skip<S: Simd>(a: &Ssd, t: usize) {
    let (x, out) = (a.x.add(t * a.stride), a.out.add(t * a.out_stride));
    let mut at = 0;
    while at < a.dim {
        let n = a.dim - at;
        store::<S>(out.add(at), n, S::mul(load::<S>(a.d.add(at), n), load::<S>(x.add(at), n)));
        at += S::LANES;
    }
}
