//! Hundreds of requests, many of them given up half way, leave no memory behind.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, thread};

use ffai::{Capability, GenerateOptions, LoadOptions, Model, Prompt};

/// Memory of this process that no file backs.
fn anonymous() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

/// The request with this number: prompts, settings and ends of all kinds. Says how many events came before it was given up or done.
fn request(model: &Model, number: usize) -> usize {
    let vocab = model.spec().vocab;
    let prompt: Vec<u32> = (0..1 + number * 7 % 40).map(|i| ((i * 31 + number) % vocab) as u32).collect();
    let mut options = GenerateOptions::default().seed(number as u64).max_tokens(1 + number * 5 % 24);
    options.temperature = Some(if number.is_multiple_of(3) { 0.0 } else { 0.9 });
    options.top_k = number.is_multiple_of(4).then_some(5);
    options.repetition_penalty = number.is_multiple_of(5).then_some(1.1);
    let events = model.generate(Prompt::Tokens(prompt), &options).unwrap();
    // Dropping what is left of it is how a request is cancelled.
    let wanted = if number.is_multiple_of(2) { usize::MAX } else { number % 5 };
    events.take(wanted).map(Result::unwrap).count()
}

/// Requests from `numbers`, four at a time.
fn run(model: &Model, numbers: std::ops::Range<usize>) -> usize {
    let counts = thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let mine = numbers.clone().filter(move |number| number % 4 == worker);
                scope.spawn(move || mine.map(|number| request(model, number)).sum::<usize>())
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    counts.into_iter().sum()
}

#[test]
fn five_hundred_requests_with_cancellations_leave_memory_flat() {
    let folder = format!("{}/../../tests/golden/llama/mlx_8bit_g64_bf16", env!("CARGO_MANIFEST_DIR"));
    let options = LoadOptions {
        enable: Some(vec![Capability::Tokens]),
        parallel: 4,
        context: Some(64),
        threads: Some(1),
        ..LoadOptions::default()
    };
    let model = Model::load_with(&folder, &options, &mut |_| {}).unwrap();
    run(&model, 0..200);
    let before = anonymous();
    let events = run(&model, 200..700);
    let grown = anonymous().saturating_sub(before);
    assert!(events > 2000, "only {events} events");
    assert!(grown < 2 << 20, "{grown} bytes more after 500 requests");
}
