//! State of fixed size, token by token: convolutions and the three recurrences. A state is f32 between tokens, as everywhere; within a
//! token sums are f64.

use super::{Interpreter, linear};
use crate::{Buf, Op, SeqStep, SlotRef, StepInputs, W};

impl Interpreter {
    /// Runs `token(row, state)` for each row of each sequence in order, `state` being its part of the sequence's slot, and fills
    /// `out` with what it gives.
    fn each_token(
        &mut self,
        inputs: &StepInputs,
        part: SlotRef,
        out: Buf,
        token: impl Fn(&Interpreter, usize, &mut [f32]) -> Vec<f32>,
    ) {
        let mut row = 0;
        let mut rows = Vec::new();
        for seq in &inputs.seqs {
            let mut state = self.read_state(seq, part);
            for _ in 0..seq.rows {
                rows.extend(token(self, row, &mut state));
                row += 1;
            }
            self.write_state(seq, part, state);
        }
        self.bufs[out.0 as usize] = rows;
    }

    fn read_state(&self, seq: &SeqStep, part: SlotRef) -> Vec<f32> {
        match seq.slot.and_then(|slot| slot.read) {
            Some(slot) => self.slots[slot as usize][part.0].clone(),
            None => vec![0.0; self.program.slots[part.0].width],
        }
    }

    fn write_state(&mut self, seq: &SeqStep, part: SlotRef, state: Vec<f32>) {
        if let Some(slot) = seq.slot {
            self.slots[slot.write as usize][part.0] = state;
        }
    }

    fn row(&self, buf: Buf, row: usize) -> &[f32] {
        let width = self.width(buf);
        &self.get(buf)[row * width..][..width]
    }

    fn numbers(&self, w: W) -> Vec<f64> {
        self.vector(w).into_iter().map(f64::from).collect()
    }

    /// The state is the last inputs, `[kernel - 1, channels]`, the oldest first.
    pub(super) fn conv(&mut self, op: &Op, inputs: &StepInputs) {
        let Op::Conv { x, taps, bias, act, out, state } = op else { return };
        let (channels, kernel) = (self.tensor(*taps).rows(), self.tensor(*taps).cols());
        let (taps, bias) = (self.numbers(*taps), bias.map(|w| self.numbers(w)));
        self.each_token(inputs, *state, *out, |this, row, state| {
            let window = [state, this.row(*x, row)].concat();
            let channel = |c: usize| {
                let products = (0..kernel).map(|j| taps[c * kernel + j] * f64::from(window[j * channels + c]));
                let sum = (products.sum::<f64>() + bias.as_ref().map_or(0.0, |bias| bias[c])) as f32;
                act.map_or(sum, |act| linear::gated(act, sum, None))
            };
            let y = (0..channels).map(channel).collect();
            state.copy_from_slice(&window[channels..]);
            y
        });
    }

    /// The state is `[channels, state]`.
    pub(super) fn scan(&mut self, op: &Op, inputs: &StepInputs) {
        let Op::Scan { x, dt, b, c, decay, d, out, state } = op else { return };
        let kept = self.width(*b);
        let (decay, d) = (self.numbers(*decay), self.numbers(*d));
        self.each_token(inputs, *state, *out, |this, row, h| {
            let [x, dt, b, c] = [x, dt, b, c].map(|buf| wide(this.row(*buf, row)));
            let channel = |i: usize| {
                let dt = softplus(dt[i]);
                let mut y = d[i] * x[i];
                for n in 0..kept {
                    let at = i * kept + n;
                    h[at] = ((dt * decay[at]).exp() * f64::from(h[at]) + dt * x[i] * b[n]) as f32;
                    y += f64::from(h[at]) * c[n];
                }
                y as f32
            };
            (0..x.len()).map(channel).collect()
        });
    }

    /// The state is `[channels]`.
    pub(super) fn lru(&mut self, op: &Op, inputs: &StepInputs) {
        let Op::Lru { x, input, gate, input_bias, gate_bias, decay, out, state } = op else { return };
        let [input_bias, gate_bias, decay] = [input_bias, gate_bias, decay].map(|w| self.numbers(*w));
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        self.each_token(inputs, *state, *out, |this, row, h| {
            let [x, input, gate] = [x, input, gate].map(|buf| wide(this.row(*buf, row)));
            for i in 0..x.len() {
                let log = decay[i] * sigmoid(gate[i] + gate_bias[i]);
                let first = inputs.positions[row] == 0;
                let (keeps, share) = if first { (0.0, 1.0) } else { (log.exp(), (-(2.0 * log).exp_m1()).sqrt()) };
                let new = x[i] * sigmoid(input[i] + input_bias[i]);
                h[i] = (keeps * f64::from(h[i]) + share * new) as f32;
            }
            h.to_vec()
        });
    }

    /// The state is `[heads, dim, state]`.
    pub(super) fn ssd(&mut self, op: &Op, inputs: &StepInputs) {
        let Op::Ssd { xbc, dt, step, decay, d, heads, limits, out, state } = op else { return };
        let [step, decay, d] = [step, decay, d].map(|w| self.numbers(*w));
        let (inner, bc) = (heads.count * heads.dim, heads.groups * heads.state);
        self.each_token(inputs, *state, *out, |this, row, s| {
            let (xbc, dt) = (wide(this.row(*xbc, row)), wide(this.row(*dt, row)));
            let (x, b, c) = (&xbc[..inner], &xbc[inner..inner + bc], &xbc[inner + bc..]);
            let mut y = Vec::with_capacity(inner);
            for (h, dt) in dt.iter().enumerate() {
                let dt = softplus(dt + step[h]).clamp(f64::from(limits[0]), f64::from(limits[1]));
                let kept = (dt * decay[h]).exp();
                let group = h / (heads.count / heads.groups) * heads.state;
                for i in h * heads.dim..(h + 1) * heads.dim {
                    let mut sum = d[if d.len() == inner { i } else { h }] * x[i];
                    for n in 0..heads.state {
                        let at = i * heads.state + n;
                        s[at] = (kept * f64::from(s[at]) + dt * x[i] * b[group + n]) as f32;
                        sum += f64::from(s[at]) * c[group + n];
                    }
                    y.push(sum as f32);
                }
            }
            y
        });
    }

    /// The state is `[value heads, k_dim, v_dim]`.
    pub(super) fn delta(&mut self, op: &Op, inputs: &StepInputs) {
        let Op::Delta { q, k, v, b, a, step, decay, heads, out, state } = op else { return };
        let [step, decay] = [step, decay].map(|w| self.numbers(*w));
        let (dk, dv) = (heads.k_dim, heads.v_dim);
        self.each_token(inputs, *state, *out, |this, row, s| {
            let [q, k, v, b, a] = [q, k, v, b, a].map(|buf| wide(this.row(*buf, row)));
            let mut y = Vec::with_capacity(v.len());
            for h in 0..heads.v {
                let s = &mut s[h * dk * dv..][..dk * dv];
                let of_key = |x: &[f64]| unit(&x[heads.key_of(h) * dk..][..dk]);
                let (q, k) = (of_key(&q), of_key(&k));
                let forget = (decay[h] * softplus(a[h] + step[h])).exp();
                let beta = 1.0 / (1.0 + (-b[h]).exp());
                for j in 0..dv {
                    let old: Vec<f64> = (0..dk).map(|i| forget * f64::from(s[i * dv + j])).collect();
                    let known: f64 = old.iter().zip(&k).map(|(s, k)| s * k).sum();
                    let new = beta * (v[h * dv + j] - known);
                    (0..dk).for_each(|i| s[i * dv + j] = (old[i] + k[i] * new) as f32);
                    let sum: f64 = (0..dk).map(|i| f64::from(s[i * dv + j]) * q[i]).sum();
                    y.push((sum / (dk as f64).sqrt()) as f32);
                }
            }
            y
        });
    }
}

fn wide(x: &[f32]) -> Vec<f64> {
    x.iter().map(|x| f64::from(*x)).collect()
}

/// `ln(1 + e^x)`
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// Of length 1, but for what keeps zeros from being divided by zero.
fn unit(x: &[f64]) -> Vec<f64> {
    let length = (x.iter().map(|x| x * x).sum::<f64>() + 1e-6).sqrt();
    x.iter().map(|x| x / length).collect()
}
