//! What a program takes on a card, told before anything is allocated: by the formulas that allocate.

use ffai_checkpoint::{Float, Storage};
use ffai_program::{Footprint, Op, Plan, Program, W, WeightSource};

use crate::machine::Needs;
use crate::matrix::bytes;
use crate::ops::chain::exchanged;
use crate::slots;
use crate::storage::Layout;

/// Bytes of a program under a plan; keys and values are f32 if `kv_f32`, or if nobody says and all weights are f32.
pub(crate) fn footprint(program: &Program, weights: &dyn WeightSource, plan: &Plan, kv_f32: Option<bool>) -> Footprint {
    let storage = |w: usize| weights.weight(&program.weights[w].role).map(|t| t.storage());
    let storages: Vec<Option<Storage>> = (0..program.weights.len()).map(storage).collect();
    let kv_f32 = kv_f32.unwrap_or_else(|| Plan::kv(storages.iter().flatten().copied()) == Float::F32);
    let mut layouts: Vec<_> = storages.into_iter().map(|s| s.map_or(Layout::Plain, Layout::new)).collect();
    for tagged in &program.ops {
        if let Op::Conv { taps: w, .. } | Op::Scan { decay: w, .. } = &tagged.op {
            // Not tiles, but f32.
            layouts[w.0 as usize] = Layout::Plain;
        }
    }
    let shape = |w: usize| program.weights[w].shape.dims();
    // A weight without a tensor is refused later; vectors are f32.
    let all = layouts.iter().enumerate().map(|(w, layout)| match shape(w) {
        (1, cols) => cols * 4,
        (rows, cols) => bytes(*layout, rows, cols),
    });
    let general = plan.footprint(program, all.map(|bytes| bytes as u64).sum());
    let kv = if kv_f32 { general.kv } else { general.kv / 2 };
    let (slots, scratch) = (slots::bytes(program, plan) as u64, needs(program, &layouts).bytes(plan) as u64);
    Footprint { kv, slots, scratch, ..general }
}

/// What the ops will need at most.
fn needs(program: &Program, layouts: &[Layout]) -> Needs {
    let mut needs = Needs::default();
    let width = |buf| program.buf(buf).width;
    let product = |needs: &mut Needs, w: W| {
        let (rows, cols) = program.weight(w).shape.dims();
        needs.product(layouts[w.0 as usize], rows, cols);
    };
    for tagged in &program.ops {
        match &tagged.op {
            Op::Project { outs, .. } => outs.iter().for_each(|p| product(&mut needs, p.w)),
            Op::Linear { proj, .. } => product(&mut needs, proj.w),
            Op::GateUp { x, gate, up, out, .. } => {
                [Some(*gate), *up].into_iter().flatten().for_each(|w| product(&mut needs, w));
                needs.second_factor(width(*out));
                needs.exchange(exchanged(width(*x), width(*out)));
            }
            Op::ExpertsUp { x, out, .. } => needs.experts_up(width(*x), width(*out)),
            Op::ExpertsDown { routes, out, .. } => needs.experts_down(width(*routes) / 2, width(*out)),
            Op::Attend { heads, out, .. } => needs.attend(heads.q, width(*out) / heads.q, heads.q),
            _ => {}
        }
    }
    needs
}

#[cfg(test)]
mod tests {
    use ffai_program::conform::cases;

    use super::*;

    #[test]
    fn half_as_many_bytes_are_kept_of_keys_and_values_in_f16() {
        let case = cases().into_iter().find(|c| !c.program.states.is_empty()).unwrap();
        let kv = |f32| footprint(&case.program, &case.weights, &case.plan, Some(f32)).kv;
        assert!(kv(true) > 0);
        assert_eq!(kv(true), 2 * kv(false));
    }

    #[test]
    fn weights_of_recurrences_are_counted_as_f32_and_slots_with_their_padding() {
        let taps = |op: &Op| if let Op::Conv { taps, .. } = op { Some(*taps) } else { None };
        let conv = |c: &ffai_program::conform::Case| {
            let taps = c.program.ops.iter().find_map(|t| taps(&t.op))?;
            let dense = c.weights.weight(&c.program.weight(taps).role)?.storage() != Storage::Dense(Float::F32);
            let (channels, kernel) = c.program.weight(taps).shape.dims();
            (dense && kernel > 2).then(|| (c.clone(), channels, kernel))
        };
        let (case, channels, kernel) = cases().iter().find_map(conv).unwrap();
        let found = footprint(&case.program, &case.weights, &case.plan, None);
        let vectors = |w: &ffai_model::WeightDecl| w.shape.dims().0 * w.shape.dims().1 * 4;
        assert_eq!(found.weights, case.program.weights.iter().map(vectors).sum::<usize>() as u64, "{}", case.name);
        let slot = ((kernel - 1) * channels * 4).next_multiple_of(128);
        assert_eq!(found.slots, (slot * case.plan.slots) as u64);
    }

    #[test]
    fn scratch_grows_with_the_rows_of_a_step_where_experts_are_summed() {
        let of = |c: &ffai_program::conform::Case| {
            let routed = |op: &Op| matches!(op, Op::ExpertsDown { .. });
            c.program.ops.iter().any(|t| routed(&t.op)).then(|| c.clone())
        };
        let case = cases().iter().find_map(of).unwrap();
        let scratch = |rows| {
            let plan = Plan { rows, wanted: 1, ..case.plan.clone() };
            footprint(&case.program, &case.weights, &plan, None).scratch
        };
        assert!(scratch(200) > 2 * scratch(50), "{} {}", scratch(200), scratch(50));
    }
}
