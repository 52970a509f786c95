//! How many threads are worth having.

/// Physical cores that this process may use: a second thread on a core finds its units and its share of memory taken.
pub(crate) fn physical() -> usize {
    let logical = std::thread::available_parallelism().map_or(1, usize::from);
    cores_of_allowed_cpus().map_or(logical, |cores| cores.clamp(1, logical))
}

/// Distinct cores among the processors that the system lets this process run on, as Linux tells.
fn cores_of_allowed_cpus() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let mut cores = Vec::new();
    for cpu in parse_list(allowed) {
        let topology = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        cores.push(std::fs::read_to_string(topology).ok()?);
    }
    cores.sort_unstable();
    cores.dedup();
    Some(cores.len())
}

/// `0-3,8,10-11` as numbers; what does not parse is left out.
fn parse_list(list: &str) -> Vec<usize> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_lists_are_read() {
        assert_eq!(parse_list("\t0-3,8,10-11\n"), [0, 1, 2, 3, 8, 10, 11]);
        assert_eq!(parse_list("x,5"), [5]);
    }

    #[test]
    fn there_is_at_least_one_core_and_no_more_than_processors() {
        let logical = std::thread::available_parallelism().map_or(1, usize::from);
        assert!((1..=logical).contains(&physical()));
    }
}
