//! Every case of the conformance table, at every level of this machine.

use ffai_cpu::Level;
use ffai_program::conform;

/// Products are sums of up to some hundred terms in f32, rounded at each step: a relative error of about 1e-7 times the root
/// of their number, and attention passes one more exponential. Anything that is wrong rather than rounded is 1e-3 and more.
const BOUND: f64 = 2e-5;

/// Activations of sixteen bits: half a step is 1.5e-5 of a group's greatest number. Most cases differ by less than 1e-4; those whose
/// output is one number see it against what is left of a sum of opposites.
const BOUND_IN_WHOLE_NUMBERS: f64 = 8e-4;

fn check(level: Level, bound: f64) {
    if !level.is_available() {
        eprintln!("skipped: this machine has no {level}");
        return;
    }
    let cpu = crate::cpu(level, 2);
    let (mut wrong, mut worst) = (Vec::new(), 0.0f64);
    for case in conform::cases() {
        match case.compare(&cpu) {
            Ok(differences) => {
                worst = differences.iter().map(|d| d.error).fold(worst, f64::max);
                let bad = differences.iter().filter(|d| d.error.is_nan() || d.error > bound);
                wrong.extend(bad.map(|d| format!("{}: {} {} is off by {:e}", case.name, d.tag, d.buf, d.error)));
            }
            Err(error) => wrong.push(format!("{}: {error}", case.name)),
        }
    }
    eprintln!("{level}: worst {worst:e}");
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
