use ffai_program::{Builder, Op, Rows, Sampling, Seen};

use super::*;

/// A program whose sequences keep pages of two kinds.
fn program() -> Program {
    let weights = vec![ffai_model::WeightDecl {
        role: "table".to_owned(),
        shape: ffai_model::Shape::Matrix { rows: 50, cols: 8 },
    }];
    let mut b = Builder::new(weights, Vec::new());
    let (out, table) = (b.buf("x", Rows::Step, 8), b.w("table"));
    b.push("embed".to_owned(), Op::Embed { table, scale: 1.0, out });
    b.finish(out, 50, 4096)
}

fn plan() -> Plan {
    Plan { page_tokens: 16, ..Plan::new(&program(), 8, 64, 8) }
}

fn sample(sampling: Sampling, position: u64) -> Want {
    Want::Sample(Box::new(SampleInputs { sampling, position, ..SampleInputs::default() }))
}

/// Sequences of some pasts, whose pages hold just what the step needs; all of them draw.
fn step(pasts: &[usize]) -> StepInputs {
    let seq = |past: &usize| {
        let pages: Vec<u32> = (0..=*past as u32 / 16).collect();
        let lists = vec![PageList::from(pages), PageList { first: past / 16, pages: vec![9] }];
        SeqStep { rows: 1, past: *past, pages: lists, ..SeqStep::default() }
    };
    let want = |(row, past): (usize, &usize)| Wanted { row, what: sample(Sampling::default(), *past as u64 + 1) };
    StepInputs {
        tokens: vec![7; pasts.len()],
        positions: pasts.iter().map(|past| *past as u32).collect(),
        seqs: pasts.iter().map(seq).collect(),
        want: pasts.iter().enumerate().map(want).collect(),
    }
}

/// What follows a step, with the tokens that came of it.
fn foretold(inputs: &StepInputs) -> Option<StepInputs> {
    let next = following(inputs, &program(), &plan())?;
    assert_eq!(next.rows(), inputs.rows());
    Some(StepInputs { tokens: vec![7; next.rows()], ..next })
}

#[test]
fn what_follows_a_step_is_the_next_of_each_sequence() {
    let next = foretold(&step(&[3, 17])).unwrap();
    assert!(is_foretold(&next, &step(&[4, 18])));
    let third = foretold(&step(&[4, 18])).unwrap();
    assert!(is_foretold(&third, &step(&[5, 19])));
    assert!(!is_foretold(&next, &step(&[5, 19])));
}

#[test]
fn nothing_runs_ahead_of_a_page_that_is_not_named_or_of_the_context() {
    assert!(foretold(&step(&[15])).is_none());
    assert!(foretold(&step(&[3, 31])).is_none());
    assert!(foretold(&step(&[14])).is_some());
    let mut last = step(&[63]);
    last.seqs[0].pages.iter_mut().for_each(|list| list.pages.push(1));
    assert!(foretold(&last).is_none());
}

#[test]
fn a_step_with_other_tokens_pages_places_or_draws_is_not_what_was_foretold() {
    let next = foretold(&step(&[3, 17])).unwrap();
    let changed = |change: fn(&mut StepInputs)| {
        let mut inputs = step(&[4, 18]);
        change(&mut inputs);
        is_foretold(&next, &inputs)
    };
    assert!(changed(|_| {}));
    assert!(!changed(|s| s.tokens[1] = 8));
    assert!(!changed(|s| s.positions[0] += 1));
    assert!(!changed(|s| s.seqs[0].past += 1));
    assert!(!changed(|s| s.seqs[0].length_class = 1));
    assert!(!changed(|s| s.seqs[1].pages[0].pages[0] = 5));
    assert!(!changed(|s| s.want[0].what = Want::Logits));
    assert!(!changed(|s| s.want[0].what = sample(Sampling { seed: 1, ..Sampling::default() }, 5)));
    assert!(!changed(|s| s.want[0].what = sample(Sampling::default(), 6)));
    assert!(!is_foretold(&next, &step(&[4])));
    assert!(!is_foretold(&next, &step(&[4, 18, 2])));
}

#[test]
fn pages_that_are_gone_change_nothing() {
    let mut two = step(&[17]);
    two.seqs[0].pages[1] = PageList { first: 0, pages: vec![4, 9] };
    let next = foretold(&two).unwrap();
    assert!(is_foretold(&next, &step(&[18])));
    let mut other = step(&[18]);
    other.seqs[0].pages[1].pages[0] = 4;
    assert!(!is_foretold(&next, &other));
}

#[test]
fn a_greedy_draw_is_the_same_at_every_place() {
    let greedy = |past: usize, position| StepInputs {
        want: vec![Wanted { row: 0, what: sample(Sampling::greedy(), position) }],
        ..step(&[past])
    };
    let next = foretold(&greedy(3, 0)).unwrap();
    assert!(is_foretold(&next, &greedy(4, 0)));
}

#[test]
fn prompts_logits_and_penalties_are_waited_for() {
    let logits = StepInputs { want: vec![Wanted { row: 0, what: Want::Logits }], ..step(&[3]) };
    assert!(foretold(&logits).is_none());
    assert!(foretold(&StepInputs { want: Vec::new(), ..step(&[3]) }).is_none());
    let penalties = Sampling { presence_penalty: 0.5, ..Sampling::default() };
    let mut seen = step(&[3]);
    seen.want[0].what = Want::Sample(Box::new(SampleInputs {
        sampling: penalties,
        seen: vec![Seen { token: 3, generated: 1 }],
        position: 4,
    }));
    assert!(foretold(&seen).is_none());
    let mut prompt = step(&[3]);
    prompt.seqs[0].rows = 2;
    prompt.tokens.push(7);
    prompt.positions.push(4);
    assert!(foretold(&prompt).is_none());
    assert!(foretold(&step(&[1, 2, 3, 4, 5])).is_none());
}
