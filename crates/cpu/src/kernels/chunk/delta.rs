//! The gated delta rule, a chunk at a time (Yang et al., 2024).
//!
//! With `G[t]` the sum of the logarithms of what stays, up to row `t`, the state behind row `t` is `e^G[t] S + sum over s <= t of
//! e^(G[t] - G[s]) k[s] u[s]^T`, where `u[t] = beta[t] (v[t] - e^G[t] S^T k[t] - sum over s < t of e^(G[t] - G[s]) (k[t] . k[s]) u[s])`: a
//! triangle of equations, solved row by row.

use super::{CHUNK, Product, add_lower, left, multiply, scale, solve, times, transpose, triangle};
use crate::kernels::delta::{Delta, gates, unit};
use crate::simd::{Kernel, Simd};

/// The kernel of [`Delta`] for `CHUNK` rows; its scratch holds [`scratch`] floats.
pub(crate) struct DeltaChunk;

/// Floats for a head: queries, keys, transposed keys, two triangles, what comes in.
pub(crate) fn scratch(k_dim: usize, v_dim: usize) -> usize {
    CHUNK * (3 * k_dim + 2 * CHUNK + v_dim)
}

impl Kernel for DeltaChunk {
    type Args = Delta;

    #[inline(always)]
    unsafe fn run<S: Simd>(a: &Delta) {
        let q = a.scratch;
        let k = q.add(CHUNK * a.k_dim);
        let columns = k.add(CHUNK * a.k_dim);
        let among_keys = columns.add(CHUNK * a.k_dim);
        let of_queries = among_keys.add(CHUNK * CHUNK);
        let new = of_queries.add(CHUNK * CHUNK);
        let (mut logs, mut betas) = ([0.0f64; CHUNK], [0.0f32; CHUNK]);
        let mut sum = 0.0;
        for t in 0..CHUNK {
            let (log, beta) = gates(a, t);
            sum += f64::from(log);
            (logs[t], betas[t]) = (sum, beta);
            unit::<S>(a.q.add(t * a.k_stride), a.k_dim, 1.0 / (a.k_dim as f32).sqrt(), q.add(t * a.k_dim));
            unit::<S>(a.k.add(t * a.k_stride), a.k_dim, 1.0, k.add(t * a.k_dim));
            std::ptr::copy_nonoverlapping(a.v.add(t * a.v_stride), new.add(t * a.v_dim), a.v_dim);
        }
        transpose(k, a.k_dim, a.k_dim, columns);
        triangle::<S>((k, a.k_dim), columns, a.k_dim, among_keys);
        triangle::<S>((q, a.k_dim), columns, a.k_dim, of_queries);
        for t in 0..CHUNK {
            let (left, since) = (left::<S>(&logs, t), (logs[t] as f32).exp());
            times::<S>(of_queries.add(t * CHUNK), &left);
            times::<S>(among_keys.add(t * CHUNK), &left);
            scale::<S>(among_keys.add(t * CHUNK), -1.0, t);
            scale::<S>(q.add(t * a.k_dim), since, a.k_dim);
            scale::<S>(k.add(t * a.k_dim), -since, a.k_dim);
        }
        multiply::<S>(&with_state(a, k, (new, a.v_dim), 1.0));
        solve::<S>(among_keys, &betas, new, a.v_dim);
        multiply::<S>(&with_state(a, q, (a.out, a.v_stride), 0.0));
        add_lower::<S>(of_queries, (new, a.v_dim), (a.out, a.v_stride), a.v_dim);
        let left = left::<S>(&logs, CHUNK - 1);
        for i in 0..a.k_dim {
            times::<S>(columns.add(i * CHUNK), &left);
        }
        multiply::<S>(&Product {
            a: columns,
            a_stride: CHUNK,
            b: new,
            b_stride: a.v_dim,
            c: a.state,
            c_stride: a.v_dim,
            rows: a.k_dim,
            inner: CHUNK,
            cols: a.v_dim,
            keep: (logs[CHUNK - 1] as f32).exp(),
        });
    }
}

/// `c = keep * c + rows S`
#[inline(always)]
unsafe fn with_state(a: &Delta, rows: *const f32, (c, c_stride): (*mut f32, usize), keep: f32) -> Product {
    Product {
        a: rows,
        a_stride: a.k_dim,
        b: a.state,
        b_stride: a.v_dim,
        c,
        c_stride,
        rows: CHUNK,
        inner: a.k_dim,
        cols: a.v_dim,
        keep,
    }
}
