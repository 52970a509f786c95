//! What a plan counts.

use ffai_program::{KvLayout, Plan, StateGroup, Values};

fn group(window: Option<usize>) -> StateGroup {
    StateGroup { kv_heads: 1, dim: 4, values: Values::Own, window, layers: 5 }
}

#[test]
fn a_window_counts_what_it_can_hold_at_once_and_never_more_than_the_sequence() {
    let plan = Plan {
        rows: 256,
        wanted: 1,
        seqs: 1,
        context: 32_768,
        page_tokens: 32,
        pages: Vec::new(),
        slots: 0,
        deterministic: false,
        rounding: ffai_program::Rounding::Exact,
    };
    assert_eq!(plan.pages_of(&group(None), 32_768), 1024);
    // 767 places from the middle of a page on.
    assert_eq!(plan.pages_of(&group(Some(512)), 32_768), 25);
    assert_eq!(plan.pages_of(&group(Some(512)), 100), 4);
    assert_eq!(plan.pages_of(&group(Some(usize::MAX)), 100), 4);
    let step = Plan { rows: 1, page_tokens: 1, ..plan };
    assert_eq!(step.pages_of(&group(Some(1)), 9), 2, "its own place and the one that may be run again");
}

#[test]
fn values_that_are_part_of_keys_take_no_room() {
    let latent = StateGroup { kv_heads: 1, dim: 576, values: Values::OfKeys(512), window: None, layers: 3 };
    let layout = KvLayout::new(&latent, 32);
    assert_eq!(layout.page(), 3 * 32 * 576);
    assert_eq!(layout.values(2, 1, 0), layout.keys(2, 1, 0));
    assert_eq!(latent.value_dim(), 512);
}
