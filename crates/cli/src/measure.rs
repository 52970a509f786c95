//! `ffai bench`, `verify`, `perplexity` and `compare`.

use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use anyhow::{Context, Result, ensure};
use ffai::{
    Capability, Description, Device, GenerateOptions, LoadOptions, Program, Prompt, Rounding,
    measure::{
        self, Affine, Agreement, Backend, Bench, BenchReport, Comparison, Float, Perplexity, RandomModel, Spread,
        Storage, Subject, Thresholds, Verification, VerifyOptions, WeightSource, Window,
    },
};
use serde_json::{Value, json};

use crate::{
    args::{BenchArgs, CompareArgs, OverArgs, PerplexityArgs, VerifyArgs},
    plan::load,
    progress::{Bar, LoadProgress},
    units::{bytes, table},
};

/// Public domain: the beginning of Lewis Carroll's "Alice's Adventures in Wonderland" (1865).
const TEXT: &str = include_str!("alice.txt");

pub(crate) fn bench(args: &BenchArgs) -> Result<ExitCode> {
    let options = load(&args.load)?;
    let backend = backend(&options)?;
    let context = args.context.unwrap_or(args.prompt + args.decode);
    let bench = Bench {
        prompt: args.prompt,
        decode: args.decode,
        batches: args.batch.clone(),
        runs: args.runs,
        chunk: options.chunk.unwrap_or_else(|| backend.prompt_rows()).min(context),
        context,
    };
    let mut bar = Bar::new("timing");
    let mut progress = |done, total| bar.at(done, total);
    let (name, report) = match &args.config {
        Some(config) => {
            let storage = storage(args);
            let model = RandomModel::open(config, storage, 1)?;
            model.weights.make_all();
            let subject = subject(&model.program, &model.weights, &*backend, &options);
            let report = measure::bench(subject, &bench, &mut progress)?;
            (format!("{}, random {storage}", config.display()), report)
        }
        None => {
            let name = args.model.clone().unwrap_or_default();
            let model = open(&name)?;
            let subject = subject(&model.program, &model.weights, &*backend, &options);
            (name, measure::bench(subject, &bench, &mut progress)?)
        }
    };
    drop(bar);
    print(args.format.json, || bench_json(&name, &bench, &report), || bench_text(&name, &bench, &report))
}

fn storage(args: &BenchArgs) -> Storage {
    match (args.gguf, args.mode, args.bits) {
        (Some(block), ..) => Storage::Block(block),
        (_, Some(micro), _) => Storage::Microscaled(micro),
        (.., 16) => Storage::Dense(Float::BF16),
        (.., 32) => Storage::Dense(Float::F32),
        (.., bits) => Storage::Affine(Affine { bits, group: args.group_size, scales: Float::BF16 }),
    }
}

fn bench_text(name: &str, bench: &Bench, report: &BenchReport) -> String {
    let heading = ["batch", "prefill tok/s", "decode tok/s", "first token", "latency", "p99", "bytes/step", "share"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for r in &report.results {
        rows.push(vec![
            r.batch.to_string(),
            spread(&r.prefill),
            spread(&r.decode),
            format!("{:.3} s", r.first_token.median),
            format!("{:.2} ms", r.latency * 1e3),
            format!("{:.2} ms", r.latency_p99 * 1e3),
            bytes(r.bytes_per_step as u64),
            r.share.map_or("-".to_owned(), |s| format!("{:.0} %", s * 100.0)),
        ]);
    }
    let bandwidth = report.read_bandwidth.map_or(String::new(), |b| format!("; read bandwidth {}/s", bytes(b as u64)));
    format!(
        "{name} on {}\nweights {}, {} of them read in a step; {} of keys and values a token{bandwidth}\n\
         prompt {}, decode {}, median of {} runs (least to most)\n\n{}{}",
        report.backend,
        bytes(report.weight_bytes),
        bytes(report.step_weight_bytes),
        bytes(report.kv_token_bytes),
        bench.prompt,
        bench.decode,
        bench.runs,
        table(&rows, &[0, 1, 2, 3, 4, 5, 6, 7]),
        peak_memory().map_or(String::new(), |b| format!("\npeak memory {}\n", bytes(b))),
    )
}

fn spread(s: &Spread) -> String {
    let digits = if s.median >= 100.0 { 0 } else { 1 };
    format!("{:.digits$} ({:.digits$} to {:.digits$})", s.median, s.min, s.max)
}

fn bench_json(name: &str, bench: &Bench, report: &BenchReport) -> Value {
    json!({
        "model": name, "prompt": bench.prompt, "decode": bench.decode, "runs": bench.runs,
        "report": report, "peak_memory_bytes": peak_memory(),
    })
}

/// The most memory that this process had, mapped weights included, as Linux tells it.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|l| l.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

pub(crate) fn verify(args: &VerifyArgs) -> Result<ExitCode> {
    let model = open(&args.name.model)?;
    let options = load(&args.load)?;
    let tokens = verify_tokens(args, &model)?;
    let (fast, slow) = (backend(&options)?, backend(&LoadOptions { device: Device::Reference, ..options.clone() })?);
    let subject = |backend| subject(&model.program, &model.weights, backend, &options);
    let mut bar = Bar::new("verifying");
    let thresholds = if options.rounding == Some(Rounding::Int8) { Thresholds::FAST } else { Thresholds::default() };
    let how = VerifyOptions { thresholds, ..VerifyOptions::default() };
    let result = measure::verify(subject(&*fast), subject(&*slow), &tokens, &how, &mut |d, t| {
        bar.at(d, t);
    })?;
    drop(bar);
    print(
        args.format.json,
        || json!({"model": args.name.model, "backend": fast.name(), "result": &result}),
        || {
            let text = verify_text(&args.name.model, &fast.name(), &result);
            let kept = options.kv == Some(Float::F32) && options.rounding == Some(Rounding::Exact);
            let rounded = fast.name().starts_with("cpu") && !kept;
            let hint = "Keys, values and activations may have been rounded: if it passes with --exact --kv f32, that is all that is wrong.\n";
            if rounded && !result.passed { text + hint } else { text }
        },
    )?;
    Ok(if result.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The text's tokens; random ones from a fixed seed when the model has no tokenizer.
fn verify_tokens(args: &VerifyArgs, model: &Description) -> Result<Vec<u32>> {
    ensure!(args.tokens >= 4, "--tokens must be at least 4");
    let most = args.tokens.min(model.spec.context);
    if !model.capabilities()?.contains(&Capability::Text) {
        ensure!(args.text.is_none(), "--text needs a tokenizer, and {} has none", args.name.model);
        let mut rng = measure::conform::Rng(1);
        return Ok((0..most).map(|_| rng.below(model.spec.vocab) as u32).collect());
    }
    let text = args.text.as_deref().map_or_else(|| Ok(TEXT.to_owned()), read)?;
    let mut tokens = model.encode(&Prompt::Raw(text), &GenerateOptions::default())?;
    ensure!(tokens.len() >= 4, "the text has only {} tokens, at least 4 are needed", tokens.len());
    tokens.truncate(most);
    Ok(tokens)
}

fn verify_text(name: &str, backend: &str, result: &Verification) -> String {
    let heading = ["path", "positions", "logit error", "mean KL", "max KL", "other best token", ""];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(result.agreements.iter().map(agreement_row));
    let verdict = match (&result.culprit, result.passed) {
        (_, true) => "passed: the model computes what its files mean\n".to_owned(),
        (Some(c), _) => format!(
            "FAILED: the first op that is off is {} (writes {}, {:?} path): error {:.1e}, worst element {:.1e}\n",
            c.tag, c.buf, c.path, c.error, c.element_error
        ),
        (None, _) => "FAILED: logits are off, though no single op is\n".to_owned(),
    };
    let t = result.thresholds;
    format!(
        "{name} on {backend} against the interpreter, {} tokens\n\n{}\nallowed: logit error {:e}, mean KL {:e}, other best token {:.0} % of the decided\n{verdict}",
        result.tokens,
        table(&rows, &[1, 2, 3, 4, 5]),
        t.logit_error,
        t.mean_kl,
        t.disagreement * 100.0
    )
}

fn agreement_row(a: &Agreement) -> Vec<String> {
    vec![
        format!("{:?}", a.path).to_lowercase(),
        a.positions.to_string(),
        format!("{:.1e}", a.logit_error),
        format!("{:.1e}", a.mean_kl),
        format!("{:.1e}", a.max_kl),
        format!("{} of {}", a.disagreements, a.decided),
        if a.passed { "ok".to_owned() } else { "FAILED".to_owned() },
    ]
}

pub(crate) fn perplexity(args: &PerplexityArgs) -> Result<ExitCode> {
    let model = open(&args.name.model)?;
    let window = window(&args.over, &model, &args.name.model)?;
    let tokens = tokens_of(&model, &args.over)?;
    let options = load(&args.load)?;
    let backend = backend(&options)?;
    let subject = subject(&model.program, &model.weights, &*backend, &options);
    let mut bar = Bar::new("reading");
    let result = measure::perplexity(subject, &tokens, window, &mut |d, t| bar.at(d, t))?;
    drop(bar);
    print(
        args.format.json,
        || json!({"model": args.name.model, "backend": backend.name(), "result": &result}),
        || format!("{}on {}\n", perplexity_line(&args.name.model, &result), backend.name()),
    )
}

fn perplexity_line(name: &str, p: &Perplexity) -> String {
    format!(
        "{name}: perplexity {:.4} (95 %: {:.4} to {:.4}) over {} tokens\n",
        p.perplexity, p.interval.0, p.interval.1, p.tokens
    )
}

pub(crate) fn compare(args: &CompareArgs) -> Result<ExitCode> {
    let (a, b) = (open(&args.a)?, open(&args.b)?);
    window(&args.over, &b, &args.b)?;
    let window = window(&args.over, &a, &args.a)?;
    let tokens = tokens_of(&a, &args.over)?;
    ensure!(
        tokens == tokens_of(&b, &args.over)?,
        "the two models cut this text into different tokens: only models with the same tokenizer can be compared"
    );
    let options = load(&args.load)?;
    let backend = backend(&options)?;
    let first = subject(&a.program, &a.weights, &*backend, &options);
    let second = subject(&b.program, &b.weights, &*backend, &options);
    let mut bar = Bar::new("reading");
    let result = measure::compare(first, second, &tokens, window, &mut |d, t| bar.at(d, t))?;
    drop(bar);
    print(
        args.format.json,
        || json!({"a": args.a, "b": args.b, "backend": backend.name(), "result": &result}),
        || format!("{}on {}\n", compare_text(args, &result), backend.name()),
    )
}

fn compare_text(args: &CompareArgs, c: &Comparison) -> String {
    let percent = |x: f64| format!("{:.2} %", x * 100.0);
    format!(
        "{}{}KL divergence of the second from the first: mean {:.5} +- {:.5}, 99th percentile {:.4}, most {:.3} nats\n\
         same best token: {} +- {}\n",
        perplexity_line(&args.a, &c.a),
        perplexity_line(&args.b, &c.b),
        c.mean_kl.0,
        c.mean_kl.1,
        c.kl_p99,
        c.max_kl,
        percent(c.agreement.0),
        percent(c.agreement.1),
    )
}

fn window(over: &OverArgs, model: &Description, name: &str) -> Result<Window> {
    let most = model.spec.context;
    let context = over.context.unwrap_or(most.min(512));
    ensure!(context <= most, "--context is {context}, {name} was made for at most {most} tokens");
    Ok(Window { context, stride: over.stride.unwrap_or(context) })
}

fn tokens_of(model: &Description, over: &OverArgs) -> Result<Vec<u32>> {
    Ok(model.encode(&Prompt::Raw(read(&over.text)?), &GenerateOptions::default())?)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path)
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(|e| anyhow::anyhow!("{e:#}"))
}

/// A model on a backend, as the options want it.
fn subject<'a>(
    program: &'a Program,
    weights: &'a dyn WeightSource,
    backend: &'a dyn Backend,
    options: &LoadOptions,
) -> Subject<'a> {
    Subject { program, weights, backend, deterministic: options.deterministic, rounding: options.rounding }
}

/// The backend for a device; says on standard error what was passed over.
pub(crate) fn backend(options: &LoadOptions) -> Result<Box<dyn Backend>> {
    let mut progress = LoadProgress::default();
    Ok(measure::backend_with(options, &mut |event| progress.on(&event))?)
}

fn open(name: &str) -> Result<Description> {
    let mut progress = LoadProgress::default();
    Ok(Description::open(name, &mut |event| progress.on(&event))?)
}

/// Prints one or the other.
pub(crate) fn print(as_json: bool, json: impl FnOnce() -> Value, text: impl FnOnce() -> String) -> Result<ExitCode> {
    let text = if as_json { format!("{:#}\n", json()) } else { text() };
    io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}
