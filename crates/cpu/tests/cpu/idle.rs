//! An idle backend costs no processor time.

use std::time::Duration;

use ffai_checkpoint::{Float, Storage};
use ffai_cpu::Level;
use ffai_program::StepInputs;

use crate::cpu;
use crate::model::Model;

/// Ticks of processor time, by name, that the threads of this process named as workers have used, and how many they are.
/// None where the system does not tell.
fn ticks_of_workers(names: &str) -> Option<(usize, u64)> {
    let mut total = (0, 0);
    for task in std::fs::read_dir("/proc/self/task").ok()? {
        let stat = std::fs::read_to_string(task.ok()?.path().join("stat")).ok()?;
        let (name, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        if name.contains(names) {
            total.0 += 1;
            total.1 += fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
        }
    }
    Some(total)
}

#[test]
fn workers_use_no_processor_time_between_steps() {
    let model = Model::new(Storage::Dense(Float::F32));
    let backend = cpu(Level::best(), 41);
    let mut run = model.compile(&backend);
    run.step(&StepInputs::prompt(&model.program, &model.plan, &[1, 2, 3])).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    // The fortieth worker exists in this test alone.
    let Some(before) = ticks_of_workers("ffai-cpu-40") else { return };
    std::thread::sleep(Duration::from_millis(300));
    let after = ticks_of_workers("ffai-cpu-40").unwrap();
    assert_eq!(before.0, 1, "the worker is there");
    assert!(after.1 - before.1 <= 1, "{} ticks of 10 ms in 300 ms", after.1 - before.1);
}
