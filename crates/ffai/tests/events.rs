//! What a library user is told while a model is loaded. Bytes of downloads are tested where downloads are.

use ffai::{LoadEvent, LoadOptions, Model};

fn golden(name: &str) -> String {
    format!("{}/../../tests/golden/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn load(name: &str, options: &LoadOptions) -> (Option<String>, Vec<LoadEvent>) {
    let mut events = Vec::new();
    let error = Model::load_with(name, options, &mut |event| events.push(event)).err();
    (error.map(|error| error.to_string()), events)
}

#[test]
fn weights_are_counted_up_to_their_number_and_then_the_model_is_ready() {
    let (error, events) = load(&golden("llama/gguf_q4_1"), &LoadOptions { threads: Some(1), ..LoadOptions::default() });
    assert_eq!((error, events.last()), (None, Some(&LoadEvent::Ready)));
    let counts: Vec<_> = events
        .iter()
        .filter_map(|event| if let LoadEvent::Loading { done, total } = event { Some((*done, *total)) } else { None })
        .collect();
    let (done, total) = *counts.last().unwrap();
    assert_eq!(done, total);
    assert!(counts.is_sorted() && total > 10, "{counts:?}");
}

#[test]
fn a_failure_is_told_once_in_the_words_of_the_error() {
    for (name, options) in [
        (golden("llama/no_such_folder"), LoadOptions::default()),
        (golden("llama/gguf_q4_1"), LoadOptions { memory_limit: Some(1), ..LoadOptions::default() }),
    ] {
        let (error, events) = load(&name, &options);
        let told: Vec<_> = events.iter().filter(|event| matches!(event, LoadEvent::Failed { .. })).collect();
        assert_eq!(told, [&LoadEvent::Failed { why: error.unwrap() }]);
        assert!(!events.contains(&LoadEvent::Ready));
    }
}
