//! Does a model fit? Answered from the plan that allocates, before any weight is touched.

use ffai_program::{Backend, CompileError, Executable, Footprint, Plan, Program, Progress, WeightSource};

use crate::Description;

impl Description {
    /// Bytes that the model takes on a backend under a plan. Weights of the CPU backend stay in the mapped file; the system may drop
    /// them and read them again.
    pub fn footprint(&self, backend: &dyn Backend, plan: &Plan) -> Footprint {
        backend.footprint(&self.program, &self.weights, plan)
    }
}

/// A backend that refuses what would take more memory than it may. All that loads a model compiles it, so nothing gets by.
pub(crate) struct Limited {
    inner: Box<dyn Backend>,
    limit: Option<u64>,
}

impl Limited {
    pub(crate) fn new(inner: Box<dyn Backend>, limit: Option<u64>) -> Limited {
        Limited { inner, limit }
    }
}

impl Backend for Limited {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn footprint(&self, program: &Program, weights: &dyn WeightSource, plan: &Plan) -> Footprint {
        self.inner.footprint(program, weights, plan)
    }

    fn prompt_rows(&self) -> usize {
        self.inner.prompt_rows()
    }

    fn free_memory(&self) -> Option<u64> {
        self.inner.free_memory()
    }

    fn read_bandwidth(&self) -> Option<f64> {
        self.inner.read_bandwidth()
    }

    fn compile(
        &self,
        program: &Program,
        weights: &dyn WeightSource,
        plan: &Plan,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Box<dyn Executable>, CompileError> {
        check(self.inner.footprint(program, weights, plan), self.limit, self.inner.free_memory())?;
        self.inner.compile(program, weights, plan, progress)
    }
}

/// Refuses a footprint beyond the limit or the device's own free memory. Where there is neither, the system's available memory
/// counts; a limit stands instead of that, since the system only estimates it.
fn check(footprint: Footprint, limit: Option<u64>, device: Option<u64>) -> Result<(), CompileError> {
    let system = available().filter(|_| limit.is_none() && device.is_none());
    let bounds = [(limit, "the limit"), (device, "the device's free memory"), (system, "the available memory")];
    let exceeded = |(bound, what): (Option<u64>, _)| Some((bound.filter(|&bound| footprint.total() > bound)?, what));
    match bounds.into_iter().find_map(exceeded) {
        Some((limit, what)) => Err(CompileError::Memory { footprint, limit, what }),
        None => Ok(()),
    }
}

/// Memory that a new process could have, as Linux estimates it; none on other systems.
fn available() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_and_the_devices_memory_both_hold() {
        let footprint = Footprint { weights: 10, ..Footprint::default() };
        let what = |limit, device| match check(footprint, limit, device) {
            Err(CompileError::Memory { what, .. }) => what,
            _ => "fits",
        };
        assert_eq!(what(Some(9), Some(100)), "the limit");
        assert_eq!(what(Some(100), Some(9)), "the device's free memory");
        assert_eq!(what(None, Some(9)), "the device's free memory");
        assert_eq!(what(Some(10), Some(10)), "fits");
    }
}
