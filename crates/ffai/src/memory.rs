//! Does a model fit? Answered from the plan that allocates, before any weight is touched.

use ffai_program::{Backend, Footprint, Plan};

use crate::{Description, Error};

impl Description {
    /// Bytes that the model takes on a backend under a plan. Weights of the CPU backend stay in the mapped file; the system may drop
    /// them and read them again.
    pub fn footprint(&self, backend: &dyn Backend, plan: &Plan) -> Footprint {
        let scratch = backend.scratch(&self.program, plan);
        Footprint { scratch, ..plan.footprint(&self.program, self.weights.bytes()) }
    }
}

/// Refuses a footprint beyond the limit, or beyond the memory that is available where there is no limit.
pub(crate) fn check(footprint: Footprint, limit: Option<u64>) -> Result<(), Error> {
    let (limit, what) = match (limit, available()) {
        (Some(limit), _) => (limit, "the limit"),
        (None, Some(available)) => (available, "the available memory"),
        (None, None) => return Ok(()),
    };
    if footprint.total() <= limit { Ok(()) } else { Err(Error::Memory { footprint, limit, what }) }
}

/// Memory that a new process could have, as Linux estimates it; none on other systems.
fn available() -> Option<u64> {
    let info = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
