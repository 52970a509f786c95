//! A test harness that can say "skipped". The standard one counts a test that finds no card as passed, and hides what it prints.

use std::panic::catch_unwind;
use std::path::Path;
use std::process::ExitCode;

use ffai_cuda::{Cuda, CudaError, CudaOptions, find_nvrtc};

/// Runs tests that need a card, by the names that were asked for on the command line, or all. Without a card or NVRTC each of them
/// is skipped, with the reason.
pub(crate) fn main(tests: &[(&str, fn())]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let filters: Vec<&String> = arguments.iter().filter(|a| !a.starts_with('-')).collect();
    let asked = |name: &str| filters.is_empty() || filters.iter().any(|f| name.contains(f.as_str()));
    let tests: Vec<_> = tests.iter().filter(|(name, _)| asked(name)).collect();
    if arguments.iter().any(|a| a == "--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    println!("\nrunning {} tests on a card", tests.len());
    match missing() {
        Some(why) => skip(&tests, &why),
        None => run(&tests),
    }
}

/// Kernels are kept, so that a second run is quick, and NVRTC is found where `.ci/run` puts it.
pub(crate) fn options() -> CudaOptions {
    let cache = Some(std::env::temp_dir().join("ffai-test-kernels"));
    let roots = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/nvrtc")];
    CudaOptions { cache, roots, ..CudaOptions::default() }
}

fn missing() -> Option<CudaError> {
    let options = options();
    let nvrtc = find_nvrtc(&options.roots).err();
    Cuda::new(options).err().or(nvrtc)
}

fn skip(tests: &[&(&str, fn())], why: &CudaError) -> ExitCode {
    tests.iter().for_each(|(name, _)| println!("test {name} ... skipped"));
    println!("\ntest result: ok. 0 passed; 0 failed; {} skipped, no CUDA device: {why}\n", tests.len());
    ExitCode::SUCCESS
}

fn run(tests: &[&(&str, fn())]) -> ExitCode {
    let mut failed = 0;
    for (name, test) in tests {
        println!("test {name} ...");
        let ok = catch_unwind(test).is_ok();
        failed += usize::from(!ok);
        println!("test {name} ... {}", if ok { "ok" } else { "FAILED" });
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("\ntest result: {verdict}. {} passed; {failed} failed; 0 skipped\n", tests.len() - failed);
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
