//! The case table holds together, and the interpreter agrees with itself where it must.

use ffai_program::{Backend, Output, Plan, Reference, SlotUse, StepInputs, Want, conform::cases};

#[test]
fn every_case_runs_on_the_interpreter_and_gives_finite_numbers() {
    for case in cases() {
        let differences = case.compare(&Reference).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        assert!(!differences.is_empty(), "{}", case.name);
        for d in differences {
            assert_eq!(d.error, 0.0, "{}: {} {}", case.name, d.tag, d.buf);
        }
    }
}

#[test]
fn case_names_are_unique() {
    let mut names: Vec<_> = cases().into_iter().map(|c| c.name).collect();
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all);
}

#[test]
fn a_step_that_does_not_fit_is_refused_with_numbers() {
    let case = &cases()[0];
    let mut executable = Reference.compile(&case.program, &case.weights, &case.plan, &mut |_| {}).unwrap();
    let mut step = case.steps[0].clone();
    step.tokens[0] = 1_000_000;
    assert_eq!(executable.step(&step).unwrap_err().to_string(), "token 1000000 is outside the vocabulary of 61");
    let mut step = case.steps[0].clone();
    step.seqs[0].rows += 1;
    assert_eq!(executable.step(&step).unwrap_err().to_string(), "step inputs: sequences bring 2 rows, tokens are 1");
    let mut step = case.steps[0].clone();
    step.want[0].row = 9;
    assert_eq!(executable.step(&step).unwrap_err().to_string(), "step inputs: a wanted row is past the end");
}

#[test]
fn a_copied_page_holds_the_same_keys() {
    let case = cases().into_iter().find(|c| c.name.starts_with("attention 1 over 1") && c.steps.len() > 2).unwrap();
    let run = |copy: bool| {
        let mut executable = Reference.compile(&case.program, &case.weights, &case.plan, &mut |_| {}).unwrap();
        executable.step(&case.steps[0]).unwrap();
        let mut next = case.steps[1].clone();
        if copy {
            let to = case.plan.pages[0] as u32 - 1;
            executable.copy_page(0, next.seqs[0].pages[0].pages[0], to);
            next.seqs[0].pages[0].pages[0] = to;
        }
        executable.step(&next).unwrap()
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn two_continuations_of_one_state_are_those_of_two_sequences() {
    let case = cases().into_iter().find(|c| c.name.starts_with("delta of 2")).unwrap();
    let plan = Plan { slots: 3, seqs: 2, ..case.plan.clone() };
    let [first, next] = [&case.steps[0], &case.steps[1]];
    let go_on = |step: &StepInputs, read: u32, write: u32| {
        let mut step = step.clone();
        step.seqs[0].slot = Some(SlotUse { read: Some(read), write });
        step
    };
    let mut forked = Reference.compile(&case.program, &case.weights, &plan, &mut |_| {}).unwrap();
    forked.step(first).unwrap();
    let outputs = [(0, 1), (0, 2), (0, 0)].map(|(read, write)| forked.step(&go_on(next, read, write)).unwrap());
    let mut alone = Reference.compile(&case.program, &case.weights, &plan, &mut |_| {}).unwrap();
    alone.step(first).unwrap();
    let expected = alone.step(&go_on(next, 0, 0)).unwrap();
    assert!(outputs.iter().all(|output| *output == expected));
}

#[test]
fn slots_that_contradict_each_other_are_refused() {
    let case = cases().into_iter().find(|c| c.name.starts_with("ssd") && c.steps[0].seqs.len() > 1).unwrap();
    let refused = |change: &dyn Fn(&mut StepInputs)| {
        let mut step = case.steps[0].clone();
        change(&mut step);
        step.check(&case.program, &case.plan).unwrap_err().to_string()
    };
    let both = refused(&|step| step.seqs[1].slot = step.seqs[0].slot);
    assert!(both.ends_with("slot 0 is written, and used by another sequence of the step"), "{both}");
    let none = refused(&|step| step.seqs[0].slot = None);
    assert!(none.ends_with("sequences have slots if and only if the program has"), "{none}");
    let fresh = refused(&|step| step.seqs[0].slot = Some(SlotUse { read: Some(0), write: 0 }));
    assert!(fresh.ends_with("a state is read if and only if there is a past"), "{fresh}");
    let past = refused(&|step| step.seqs[0].slot = Some(SlotUse { read: None, write: 99 }));
    assert!(past.contains("a slot past the end"), "{past}");
}

#[test]
fn asking_for_a_token_gives_the_best_logit_when_greedy() {
    let case = &cases()[0];
    let mut executable = Reference.compile(&case.program, &case.weights, &case.plan, &mut |_| {}).unwrap();
    let mut step = case.steps[0].clone();
    let Output::Logits(logits) = executable.step(&step).unwrap().remove(0) else { panic!("logits were wanted") };
    let greedy = ffai_program::SampleInputs { sampling: ffai_program::Sampling::greedy(), ..Default::default() };
    step.want[0].what = Want::Sample(Box::new(greedy));
    let best = (0..logits.len()).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).unwrap();
    assert_eq!(executable.step(&step).unwrap(), [Output::Token(best as u32)]);
}
