//! Keys and values of all heads from one latent vector a token.

use super::{Interpreter, attention::rotate};
use crate::{Buf, HeadMatrices, Op, StepInputs};

impl Interpreter {
    pub(super) fn head_project(&mut self, x: Buf, m: HeadMatrices, out: Buf) {
        let share = self.tensor(m.w).rows() / m.heads;
        let (from, to) = m.widths(self.tensor(m.w).cols());
        let (x_dim, out_dim) = (self.width(x) / m.heads, self.width(out) / m.heads);
        let heads = self.get(x).len() / x_dim;
        let mut result = Vec::with_capacity(heads * out_dim);
        for (i, x) in self.get(x).chunks_exact(x_dim).enumerate() {
            let (head, rest) = x.split_at(from);
            result.extend(self.one_head(m, i % m.heads * share + m.first, head, to));
            result.extend_from_slice(rest);
        }
        self.bufs[out.0 as usize] = result;
    }

    /// The matrix that begins at row `first`, times the coordinates of one head.
    fn one_head(&self, m: HeadMatrices, first: usize, x: &[f32], to: usize) -> Vec<f32> {
        let mut row = vec![0.0; self.tensor(m.w).cols()];
        let mut y = vec![0.0f64; to];
        for i in 0..m.rows {
            self.tensor(m.w).decode_row(first + i, &mut row);
            if m.transposed {
                y.iter_mut().zip(&row).for_each(|(y, w)| *y += f64::from(x[i]) * f64::from(*w));
            } else {
                y[i] = super::linear::dot(x, &row);
            }
        }
        y.into_iter().map(|y| y as f32).collect()
    }

    pub(super) fn latent_append(&mut self, op: &Op, inputs: &StepInputs) {
        let Op::LatentAppend { q, key, heads, norm, rope, kv } = op else { return };
        let (norm, rope) = (self.norm(*norm), self.program.ropes[rope.0].clone());
        let latent = heads.dim - rope.width;
        let mut row = 0;
        for seq in &inputs.seqs {
            let table = rope.table(seq.length_class);
            for place in seq.past..seq.past + seq.rows {
                let position = inputs.positions[row];
                let width = heads.q * heads.dim;
                for head in self.bufs[q.0 as usize][row * width..][..width].chunks_exact_mut(heads.dim) {
                    rotate(&mut head[latent..], position, rope.pairing, &table);
                }
                let mut key = self.get(*key)[row * heads.dim..][..heads.dim].to_vec();
                norm.apply(&mut key[..latent]);
                rotate(&mut key[latent..], position, rope.pairing, &table);
                let at = self.place(seq, *kv, 0, place).0;
                self.kv[kv.group][at..][..heads.dim].copy_from_slice(&key);
                row += 1;
            }
        }
    }
}
