//! The two forms of recurrences: that for prompts, and the one of token by token.

use ffai_program::Backend;
use ffai_program::conform::{Case, recurrence, relative_error};
use proptest::prelude::*;

use crate::{cpu, levels};

/// What a chunked form may be off.
const BOUND: f64 = 1e-4;

/// What the recurrence wrote in each step.
fn outputs(case: &Case, backend: &dyn Backend, deterministic: bool) -> Vec<Vec<f32>> {
    let plan = ffai_program::Plan { deterministic, ..case.plan.clone() };
    let mut run = backend.compile(&case.program, &case.weights, &plan, &mut |_| {}).expect("a case that compiles");
    let mut written = Vec::new();
    for step in &case.steps {
        let mut see = |t: ffai_program::Traced<'_>| {
            if t.buf == "out" {
                written.push(t.data.to_vec());
            }
        };
        run.step_traced(step, Some(&mut see)).expect("a step that runs");
    }
    written
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn chunked_forms_are_within_their_bound_of_the_step_form(seed in any::<u64>(), level in 0usize..4) {
        let levels = levels();
        let (case, cpu) = (recurrence(seed), cpu(levels[level % levels.len()], 2));
        let pairs = outputs(&case, &cpu, false).into_iter().zip(outputs(&case, &cpu, true));
        for (i, (chunked, steps)) in pairs.enumerate() {
            let error = relative_error(&chunked, &steps);
            prop_assert!(error <= BOUND, "{}, step {i}: {error:e}", case.name);
        }
    }
}

#[test]
fn prompts_run_in_another_form_unless_results_shall_not_depend_on_steps() {
    let cpu = cpu(ffai_cpu::Level::best(), 2);
    for op in ["delta", "ssd"] {
        let mut cases = ffai_program::conform::cases().into_iter();
        let case = cases.find(|c| c.name.starts_with(op) && c.steps[0].seqs.len() == 3 && c.plan.rows > 300);
        let case = case.expect("a case of long prompts");
        assert!(outputs(&case, &cpu, false) != outputs(&case, &cpu, true), "{}", case.name);
    }
}
