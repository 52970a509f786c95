//! The CPU backend through its public face.

mod allocation;
mod conform;
mod idle;
mod invariance;
mod model;
mod recurrences;
mod step;

use ffai_checkpoint::Float;
use ffai_cpu::{Cpu, CpuOptions, Level};

/// The backend at a level with some threads.
fn cpu(level: Level, threads: usize) -> Cpu {
    cpu_with(level, threads, None)
}

/// The same, keys and values kept as `kv`.
fn cpu_with(level: Level, threads: usize, kv: Option<Float>) -> Cpu {
    Cpu::new(CpuOptions { threads: Some(threads), level: Some(level), kv }).expect("a level of this machine")
}

/// The levels of this machine.
fn levels() -> Vec<Level> {
    Level::ALL.into_iter().filter(|level| level.is_available()).collect()
}
