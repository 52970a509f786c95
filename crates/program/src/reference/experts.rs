//! Mixtures of experts: who goes where, and the sum of what comes back.

use ffai_model::{Groups, Routing, Score};

use super::Interpreter;
use crate::Op;

impl Interpreter {
    pub(super) fn route(&mut self, op: &Op) {
        let Op::Route { logits, correction, factors, routing, out } = op else { return };
        let (correction, factors) = (correction.map(|w| self.vector(w)), factors.map(|w| self.vector(w)));
        let (experts, slots) = (self.width(*logits), self.width(*out) / 2);
        let rows = self.get(*logits).chunks_exact(experts).map(|row| {
            let mut routes = routes(row, correction.as_deref(), *routing, slots);
            if let Some(factors) = &factors {
                routes.iter_mut().for_each(|(id, gate)| *gate *= f64::from(factors[*id]));
            }
            let ids = routes.iter().map(|(id, _)| *id as f32);
            let gates = routes.iter().map(|(_, gate)| *gate as f32);
            ids.chain(gates).collect::<Vec<_>>()
        });
        self.bufs[out.0 as usize] = rows.flatten().collect();
    }

    pub(super) fn experts_up(&mut self, op: &Op) {
        let Op::ExpertsUp { x, norm, routes, experts, act, out } = op else { return };
        let (cols, width) = (self.width(*x), self.width(*routes));
        let x = self.normed(*x, *norm);
        let mut y = Vec::new();
        for (x, routes) in x.chunks_exact(cols).zip(self.get(*routes).chunks_exact(width)) {
            for id in &routes[..width / 2] {
                y.extend(self.gate_up(x, &experts[*id as usize], *act));
            }
        }
        self.bufs[out.0 as usize] = y;
    }

    pub(super) fn experts_down(&mut self, op: &Op) {
        let Op::ExpertsDown { x, routes, experts, scale, add, out } = op else { return };
        let (width, routes_width) = (self.width(*out), self.width(*routes));
        let (slots, inner) = (routes_width / 2, self.width(*x) * 2 / routes_width);
        let mut y = Vec::new();
        for (x, routes) in self.get(*x).chunks_exact(slots * inner).zip(self.get(*routes).chunks_exact(routes_width)) {
            let mut sum = vec![0.0f64; width];
            for (slot, x) in x.chunks_exact(inner).enumerate() {
                let expert = experts[routes[slot] as usize];
                let product = self.product(x, expert.w, expert.bias);
                let gate = f64::from(routes[slots + slot]);
                sum.iter_mut().zip(product).for_each(|(sum, p)| *sum += gate * f64::from(p));
            }
            y.extend(sum.into_iter().map(|sum| (f64::from(*scale) * sum) as f32));
        }
        if let Some(add) = add {
            y.iter_mut().zip(self.get(*add)).for_each(|(y, a)| *y += a);
        }
        self.bufs[out.0 as usize] = y;
    }
}

/// The experts of one row and their gates, the best first.
fn routes(logits: &[f32], correction: Option<&[f32]>, routing: Routing, slots: usize) -> Vec<(usize, f64)> {
    let logits: Vec<f64> = logits.iter().map(|l| f64::from(*l)).collect();
    if let Score::SparseMixer { jitter } = routing.score {
        return sparse_mixer(&logits, f64::from(jitter), slots);
    }
    let scores: Vec<f64> = match routing.score {
        Score::Sigmoid => logits.iter().map(|l| 1.0 / (1.0 + (-l).exp())).collect(),
        _ => softmax(&logits),
    };
    let corrected: Vec<f64> = match correction {
        Some(correction) => scores.iter().zip(correction).map(|(s, c)| s + f64::from(*c)).collect(),
        None if routing.groups.is_some() => scores.clone(),
        // The scores have the order of the logits, which are not rounded.
        None => logits,
    };
    let open = kept(&corrected, routing.groups);
    let chosen = best(&corrected, slots, |id| open[id]);
    let sum: f64 = chosen.iter().map(|id| scores[*id]).sum();
    let divisor = routing.normalise.map_or(1.0, |eps| sum + f64::from(eps));
    chosen.into_iter().map(|id| (id, scores[id] / divisor * f64::from(routing.scale))).collect()
}

/// Which experts may be chosen: those of the best groups.
fn kept(corrected: &[f64], groups: Option<Groups>) -> Vec<bool> {
    let Some(Groups { count, keep }) = groups else { return vec![true; corrected.len()] };
    let size = corrected.len() / count;
    let score = |group: &[f64]| best(group, 2, |_| true).into_iter().map(|i| group[i]).sum::<f64>();
    let of_groups: Vec<f64> = corrected.chunks_exact(size).map(score).collect();
    let kept = best(&of_groups, keep, |_| true);
    (0..corrected.len()).map(|id| kept.contains(&(id / size))).collect()
}

/// The indices of the `n` greatest values among those open, the greatest first; of equal ones the lower first. What is not a
/// number is less than any.
fn best(values: &[f64], n: usize, open: impl Fn(usize) -> bool) -> Vec<usize> {
    let key = |i: usize| if values[i].is_nan() { f64::NEG_INFINITY } else { values[i] };
    let mut order: Vec<usize> = (0..values.len()).filter(|i| open(*i)).collect();
    order.sort_by(|a, b| (key(*b) + 0.0).total_cmp(&(key(*a) + 0.0)));
    order.truncate(n);
    order
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|l| (l - most).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|p| p / sum).collect()
}

fn sparse_mixer(logits: &[f64], jitter: f64, slots: usize) -> Vec<(usize, f64)> {
    let mut routes: Vec<(usize, f64)> = Vec::new();
    for _ in 0..slots {
        let left = |id: usize| routes.iter().all(|(chosen, _)| *chosen != id);
        let id = best(logits, 1, left)[0];
        let most = logits[id];
        let near = |s: f64| {
            let distance = (most - s) / s.abs().max(most);
            // All that count may be 0, at no distance.
            distance <= 2.0 * jitter || distance.is_nan()
        };
        let sum: f64 =
            (0..logits.len()).filter(|i| left(*i) && near(logits[*i])).map(|i| (logits[i] - most).exp()).sum();
        routes.push((id, 1.0 / sum));
    }
    routes
}
