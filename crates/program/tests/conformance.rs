//! The case table holds together, and the interpreter agrees with itself where it must.

use ffai_program::{Backend, Output, Reference, Want, conform::cases};

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
