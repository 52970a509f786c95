//! Asking Python where its packages are.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// A Python that hangs, on a network folder say, must not hang us.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(5);

/// The folders from which `python3` imports; none where there is no Python.
pub(super) fn sites() -> Vec<PathBuf> {
    // Python itself starts from an empty entry, the current folder: that is nobody's site.
    let text = ask("python3", "import sys; print('\\n'.join(sys.path))", PATIENCE).unwrap_or_default();
    text.lines().filter(|line| !line.is_empty()).map(PathBuf::from).collect()
}

/// What a script prints, if it ends in time and well.
fn ask(python: &str, script: &str, patience: Duration) -> Option<String> {
    let mut command = Command::new(python);
    command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().ok()?;
    if !ends_well(&mut child, patience) {
        return None;
    }
    // It has ended, so all of it lies in the pipe.
    let mut text = String::new();
    child.stdout.take()?.read_to_string(&mut text).ok()?;
    Some(text)
}

fn ends_well(child: &mut Child, patience: Duration) -> bool {
    let began = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if began.elapsed() < patience => sleep(POLL),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_python_that_is_missing_or_fails_or_hangs_is_none() {
        assert_eq!(ask("no-such-python", "", PATIENCE), None);
        assert_eq!(ask("python3", "raise SystemExit(1)", PATIENCE), None);
        let began = Instant::now();
        assert_eq!(ask("python3", "import time; time.sleep(60)", Duration::from_millis(50)), None);
        assert!(began.elapsed() < Duration::from_secs(30));
    }
}
