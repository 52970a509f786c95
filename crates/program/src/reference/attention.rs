//! Rotation, pages, attention.

use ffai_model::{Growth, Pairing, RopeTable};

use super::{Interpreter, linear};
use crate::{Buf, Heads, KvRef, NormW, Op, RopeRef, SeqStep, StepInputs};

impl Interpreter {
    pub(super) fn rotate_append(&mut self, op: &Op, inputs: &StepInputs) {
        let Op::RotateAppend { q, k, v, heads, q_norm, k_norm, rope, growth, kv } = op else { return };
        self.turn(*q, heads.dim, *q_norm, *rope, inputs);
        if let Some(growth) = growth {
            self.grow(*q, *growth, &inputs.positions);
        }
        self.turn(*k, heads.dim, *k_norm, *rope, inputs);
        let mut row = 0;
        for seq in &inputs.seqs {
            for i in 0..seq.rows {
                for head in 0..heads.kv {
                    let from = (row * heads.kv + head) * heads.dim;
                    let (keys, values) = self.place(seq, *kv, head, seq.past + i);
                    let (k, v) =
                        (self.get(*k)[from..][..heads.dim].to_vec(), self.get(*v)[from..][..heads.dim].to_vec());
                    self.kv[kv.group][keys..][..heads.dim].copy_from_slice(&k);
                    self.kv[kv.group][values..][..heads.dim].copy_from_slice(&v);
                }
                row += 1;
            }
        }
    }

    /// Where the key and the value of one head at one place of a sequence lie.
    pub(super) fn place(&self, seq: &SeqStep, kv: KvRef, head: usize, at: usize) -> (usize, usize) {
        let layout = &self.layouts[kv.group];
        let page = seq.pages[kv.group].page(at / layout.tokens);
        let within = at % layout.tokens * layout.dim;
        (layout.keys(page, kv.layer, head) + within, layout.values(page, kv.layer, head) + within)
    }

    pub(super) fn grow(&mut self, q: Buf, growth: Growth, positions: &[u32]) {
        let width = self.width(q);
        for (row, position) in self.bufs[q.0 as usize].chunks_exact_mut(width).zip(positions) {
            let factor = growth.factor(*position);
            row.iter_mut().for_each(|x| *x *= factor);
        }
    }

    pub(super) fn turn(
        &mut self,
        buf: Buf,
        dim: usize,
        norm: Option<NormW>,
        rope: Option<RopeRef>,
        inputs: &StepInputs,
    ) {
        let norm = norm.map(|n| self.norm(n));
        let rope = rope.map(|r| self.program.ropes[r.0].clone());
        let width = self.width(buf);
        let classes = inputs.seqs.iter().flat_map(|s| std::iter::repeat_n(s.length_class, s.rows));
        let rows = self.bufs[buf.0 as usize].chunks_exact_mut(width);
        for ((row, position), class) in rows.zip(&inputs.positions).zip(classes) {
            let table = rope.as_ref().map(|r| (r.pairing, r.table(class)));
            for head in row.chunks_exact_mut(dim) {
                if let Some(norm) = &norm {
                    norm.apply(head);
                }
                if let Some((pairing, table)) = &table {
                    rotate(head, *position, *pairing, table);
                }
            }
        }
    }

    pub(super) fn attend(&mut self, op: &Op, inputs: &StepInputs) {
        let Op::Attend { q, heads, kv, scale, cap, window, sinks, out } = op else { return };
        let sinks = sinks.map(|w| self.vector(w));
        let capped = |s: f64| cap.map_or(s, |cap| f64::from(cap) * (s / f64::from(cap)).tanh());
        let score = |dot: f64| capped(dot * f64::from(*scale));
        let width = self.program.states[kv.group].value_dim();
        let mut row = 0;
        for seq in &inputs.seqs {
            for i in seq.past..seq.past + seq.rows {
                let first = window.map_or(0, |w| (i + 1).saturating_sub(w));
                for head in 0..heads.q {
                    let at = (row * heads.q + head) * heads.dim;
                    let q = &self.get(*q)[at..][..heads.dim];
                    let y = self.attend_one(
                        q,
                        seq,
                        *kv,
                        *heads,
                        head,
                        first..i + 1,
                        &score,
                        sinks.as_ref().map(|s| s[head]),
                    );
                    self.bufs[out.0 as usize][(row * heads.q + head) * width..][..width].copy_from_slice(&y);
                }
                row += 1;
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the arguments of the formula")]
    fn attend_one(
        &self,
        q: &[f32],
        seq: &SeqStep,
        kv: KvRef,
        heads: Heads,
        head: usize,
        visible: std::ops::Range<usize>,
        score: &dyn Fn(f64) -> f64,
        sink: Option<f32>,
    ) -> Vec<f32> {
        let pages = &self.kv[kv.group];
        let kv_head = head / (heads.q / heads.kv);
        let place = |at| self.place(seq, kv, kv_head, at);
        let scores: Vec<f64> =
            visible.clone().map(|j| score(linear::dot(q, &pages[place(j).0..][..heads.dim]))).collect();
        let sink = sink.map_or(f64::NEG_INFINITY, f64::from);
        let most = scores.iter().copied().fold(sink, f64::max);
        let weights: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
        let total = weights.iter().sum::<f64>() + (sink - most).exp();
        let mut y = vec![0.0f64; self.program.states[kv.group].value_dim()];
        for (j, weight) in visible.zip(&weights) {
            let value = &pages[place(j).1..][..y.len()];
            y.iter_mut().zip(value).for_each(|(y, v)| *y += weight / total * f64::from(*v));
        }
        y.into_iter().map(|y| y as f32).collect()
    }
}

/// Turns the pairs of one head. The angle is rounded to f32, as the reference implementation has it.
pub(super) fn rotate(head: &mut [f32], position: u32, pairing: Pairing, table: &RopeTable) {
    let pairs = table.freqs.len();
    for (i, freq) in table.freqs.iter().enumerate() {
        let (a, b) = match pairing {
            Pairing::Half => (i, i + pairs),
            Pairing::Adjacent => (2 * i, 2 * i + 1),
        };
        let angle = position as f32 * freq;
        let (sin, cos) = (angle.sin() * table.scale, angle.cos() * table.scale);
        (head[a], head[b]) = (head[a] * cos - head[b] * sin, head[b] * cos + head[a] * sin);
    }
}
