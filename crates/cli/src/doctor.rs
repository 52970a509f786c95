//! `ffai doctor` and `ffai selftest`: this machine, and every kernel on it.

use std::{collections::BTreeMap, fs, process::ExitCode};

use anyhow::Result;
use ffai::{
    LoadOptions,
    cache::{CacheDirs, cached},
    measure::{self, Finding},
};
use serde_json::{Value, json};

use crate::{
    args::{DoctorArgs, SelftestArgs},
    measure::{backend, print},
    plan::device,
    progress::Bar,
    units::{bytes, table},
};

fn fact(name: &str, value: impl Into<String>) -> Finding {
    Finding { name: name.to_owned(), value: value.into(), advice: None }
}

pub(crate) fn doctor(args: &DoctorArgs) -> Result<ExitCode> {
    let findings = findings()?;
    let as_json = || {
        let pairs = findings.iter().map(|f| (f.name.clone(), json!({"value": f.value, "advice": f.advice})));
        Value::Object(pairs.collect())
    };
    let as_text = || {
        let rows: Vec<_> = findings.iter().map(|f| vec![f.name.clone(), f.value.clone()]).collect();
        let advice: String =
            findings.iter().filter_map(|f| Some(format!("\n{}: {}", f.name, f.advice.as_ref()?))).collect();
        let verdict = if advice.is_empty() { "\nnothing is missing".to_owned() } else { advice };
        format!("{}{verdict}\n", table(&rows, &[]))
    };
    print(args.format.json, as_json, as_text)
}

fn findings() -> Result<Vec<Finding>> {
    let backend = backend(&LoadOptions::default())?;
    let dirs = CacheDirs::from_env();
    let models = cached(&dirs);
    let bandwidth = backend.read_bandwidth().map_or("unknown".to_owned(), |b| format!("{}/s", bytes(b as u64)));
    let mut findings = vec![
        fact("ffai", env!("CARGO_PKG_VERSION")),
        fact("system", format!("{} {}", std::env::consts::OS, std::env::consts::ARCH)),
        processor(),
        fact("backend", backend.name()),
        level(),
        memory(),
        fact("read bandwidth", bandwidth),
    ];
    findings.extend(measure::accelerators());
    findings.extend([
        python(),
        fact("Hub cache", dirs.hub.display().to_string()),
        fact("ffai cache", dirs.ffai.display().to_string()),
        fact("cached models", format!("{}, {}", models.len(), bytes(models.iter().map(|m| m.bytes).sum()))),
    ]);
    Ok(findings)
}

fn processor() -> Finding {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|l| l.strip_prefix("model name")?.split_once(':'));
    fact("processor", model.map_or("unknown", |(_, name)| name.trim()))
}

fn level() -> Finding {
    let extensions = measure::Level::extensions().join(", ");
    let extensions =
        if extensions.is_empty() { extensions } else { format!(" (also there, not used yet: {extensions})") };
    let best = measure::Level::best();
    let advice = (best == measure::Level::Scalar).then_some(
        "no vector instructions were found; kernels for AVX2 and AVX-512 exist, others run in plain code and are slow",
    );
    Finding { advice: advice.map(str::to_owned), ..fact("vector instructions", format!("{best}{extensions}")) }
}

fn memory() -> Finding {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| -> Option<u64> {
        let line = info.lines().find_map(|l| l.strip_prefix(name))?;
        line.trim_start_matches(':').trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kb| kb * 1024)
    };
    match (field("MemAvailable"), field("MemTotal")) {
        (Some(free), Some(all)) => fact("memory", format!("{} available of {}", bytes(free), bytes(all))),
        _ => fact("memory", "unknown"),
    }
}

fn python() -> Finding {
    let version = std::process::Command::new("python3").args(["-m", "pip", "--version"]).output();
    match version {
        Ok(output) if output.status.success() => {
            let text = String::from_utf8_lossy(&output.stdout);
            fact("pip", text.split(" from ").next().unwrap_or_default().trim())
        }
        _ => Finding {
            advice: Some(
                "aliases such as smollm2 are fetched with it: install python3 and python3-pip (Debian: apt install python3-pip)"
                    .to_owned(),
            ),
            ..fact("pip", "not found")
        },
    }
}

/// The cases of one op and storage.
#[derive(Default)]
struct Row {
    cases: usize,
    worst: f64,
    failed: Vec<String>,
}

/// Kernels sum in another order than the interpreter, and activations of sixteen bits leave up to 6e-4 where terms cancel; more than
/// this is a wrong result.
const BOUND: f64 = 1e-3;

pub(crate) fn selftest(args: &SelftestArgs) -> Result<ExitCode> {
    let backend = backend(&device(&args.device)?)?;
    let cases = measure::conform::cases();
    let mut bar = Bar::new("testing kernels");
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for (i, case) in cases.iter().enumerate() {
        bar.at(i, cases.len());
        let row = rows.entry(kind(&case.name).to_owned()).or_default();
        row.cases += 1;
        match case.compare(&*backend) {
            Ok(differences) => {
                let worst = differences.iter().map(|d| d.error).fold(0.0, f64::max);
                row.worst = row.worst.max(worst);
                // Written so that NaN fails.
                if !differences.iter().all(|d| d.error <= BOUND) {
                    row.failed.push(case.name.clone());
                }
            }
            Err(error) => row.failed.push(format!("{}: {error}", case.name)),
        }
    }
    drop(bar);
    let failed: Vec<&String> = rows.values().flat_map(|r| &r.failed).collect();
    print(
        args.format.json,
        || selftest_json(&backend.name(), &rows),
        || selftest_text(&backend.name(), &rows, &failed),
    )?;
    Ok(if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Op and storage without the shape: `linear affine 4-bit g64 (bf16 scales)`.
fn kind(name: &str) -> &str {
    match (name.split_once(" ["), name.split_once(' ')) {
        (Some((kind, _)), _) => kind,
        (None, Some((op @ ("attention" | "cap" | "norm"), _))) => op,
        _ => name,
    }
}

fn selftest_text(backend: &str, rows: &BTreeMap<String, Row>, failed: &[&String]) -> String {
    let mut lines = vec![["op and storage", "cases", "worst error", ""].map(str::to_owned).to_vec()];
    for (kind, row) in rows {
        let verdict = if row.failed.is_empty() { "ok".to_owned() } else { format!("{} FAILED", row.failed.len()) };
        lines.push(vec![kind.clone(), row.cases.to_string(), format!("{:.1e}", row.worst), verdict]);
    }
    let cases: usize = rows.values().map(|r| r.cases).sum();
    let names: String = failed.iter().map(|name| format!("FAILED: {name}\n")).collect();
    format!(
        "{backend} against the interpreter, error bound {BOUND:e}\n\n{}\n{names}{} passed, {} failed\n",
        table(&lines, &[1, 2]),
        cases - failed.len(),
        failed.len()
    )
}

fn selftest_json(backend: &str, rows: &BTreeMap<String, Row>) -> Value {
    let rows =
        rows.iter().map(|(kind, r)| json!({"kind": kind, "cases": r.cases, "worst": r.worst, "failed": r.failed}));
    json!({"backend": backend, "bound": BOUND, "rows": rows.collect::<Vec<_>>()})
}
