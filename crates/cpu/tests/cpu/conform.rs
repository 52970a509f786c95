//! Every case of the conformance table, at every level of this machine.

use ffai_checkpoint::Float;
use ffai_cpu::Level;
use ffai_program::conform;

/// Products are sums of up to some hundred terms in f32, rounded at each step: a relative error of about 1e-7 times the root
/// of their number, and attention passes one more exponential. Anything that is wrong rather than rounded is 1e-3 and more.
const BOUND: f64 = 2e-5;

/// Activations of sixteen bits: half a step is 1.5e-5 of a group's greatest number. Most cases differ by less than 1e-4; those whose
/// output is one number see it against what is left of a sum of opposites.
const BOUND_IN_WHOLE_NUMBERS: f64 = 8e-4;

/// Keys and values of eleven and of eight bits: half a step of each, and some more where scores are large.
const BOUND_IN_F16: f64 = 2e-3;
const BOUND_IN_BF16: f64 = 1.6e-2;

fn check(level: Level, bound: f64) {
    compare(level, Float::F32, bound, |_| true);
}

fn compare(level: Level, kv: Float, bound: f64, wanted: impl Fn(&str) -> bool) {
    if !level.is_available() {
        eprintln!("skipped: this machine has no {level}");
        return;
    }
    let cpu = crate::cpu_with(level, 2, Some(kv));
    let (mut wrong, mut worst) = (Vec::new(), 0.0f64);
    for case in conform::cases().into_iter().filter(|case| wanted(&case.name)) {
        match case.compare(&cpu) {
            Ok(differences) => {
                worst = differences.iter().map(|d| d.error).fold(worst, f64::max);
                let bad = differences.iter().filter(|d| d.error.is_nan() || d.error > bound);
                wrong.extend(bad.map(|d| format!("{}: {} {} is off by {:e}", case.name, d.tag, d.buf, d.error)));
            }
            Err(error) => wrong.push(format!("{}: {error}", case.name)),
        }
    }
    eprintln!("{level}, {kv}: worst {worst:e}");
    assert!(wrong.is_empty(), "{} differences at {level}:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn every_case_agrees_with_the_interpreter_in_scalar_code() {
    check(Level::Scalar, BOUND);
}

#[test]
fn every_case_agrees_with_the_interpreter_in_avx2() {
    check(Level::Avx2, BOUND);
}

#[test]
fn every_case_agrees_with_the_interpreter_in_avx512() {
    check(Level::Avx512, BOUND);
}

#[test]
fn every_case_agrees_with_the_interpreter_in_avx512_vnni() {
    check(Level::Avx512Vnni, BOUND_IN_WHOLE_NUMBERS);
}

#[test]
fn every_case_agrees_with_the_interpreter_in_avx512_bf16() {
    check(Level::Avx512Bf16, BOUND_IN_WHOLE_NUMBERS);
}

#[test]
fn attention_agrees_with_the_interpreter_where_keys_and_values_are_halves() {
    for level in crate::levels() {
        for (kv, bound) in [(Float::F16, BOUND_IN_F16), (Float::BF16, BOUND_IN_BF16)] {
            compare(level, kv, bound, |name| name.contains("attention"));
        }
    }
}
