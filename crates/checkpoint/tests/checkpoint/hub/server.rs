//! A server that speaks as much of the Hub's API as we use, on this machine, with faults on demand.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use crate::host::{self, COMMIT, etag_of};

pub(crate) const NEXT_COMMIT: &str = "88d8a1b2c3d4e5f60718293a4b5c6d7e8f901234";

/// Something that goes wrong, once, for a request whose path contains a text.
#[derive(Clone)]
pub(crate) enum Fault {
    /// The connection closes after so many bytes of the body.
    Cut(usize),
    /// This status with these headers.
    Status(u16, &'static str),
    /// The bytes are all there, but one of them is another.
    Flip,
    /// The headers announce this length.
    Length(u64),
    /// Nothing comes for a while.
    Stall,
    /// The whole file comes, whatever range was asked for.
    IgnoreRange,
    /// More comes than the file has, without a length.
    Endless,
}

#[derive(Clone)]
pub(crate) struct Seen {
    pub(crate) host: &'static str,
    pub(crate) line: String,
    pub(crate) authorization: Option<String>,
    pub(crate) range: Option<String>,
}

struct RepoFile {
    name: String,
    bytes: Vec<u8>,
    lfs: bool,
    /// The size that the list claims.
    claim: u64,
}

struct State {
    files: Vec<RepoFile>,
    commit: &'static str,
    /// Whether the list tells sizes and hashes.
    details: bool,
    faults: Vec<(String, VecDeque<Fault>)>,
    seen: Vec<Seen>,
    storage: String,
}

/// A Hub with one repository, `org/repo`, and a second host that serves its large files.
#[derive(Clone)]
pub(crate) struct Hub {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Hub {
    pub(crate) fn new() -> Hub {
        let state = |[_, storage]: [String; 2]| State {
            files: vec![],
            commit: COMMIT,
            details: true,
            faults: vec![],
            seen: vec![],
            storage,
        };
        let (endpoint, state) = host::start(state, serve);
        Hub { endpoint, state }
    }

    /// A Hub with a small model in two shards.
    pub(crate) fn with_model() -> Hub {
        let index =
            r#"{"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}"#;
        Hub::new()
            .file("README.md", b"not needed")
            .file("config.json", br#"{"model_type": "llama"}"#)
            .file("tokenizer.json", b"{}")
            .file("chat_templates/tool_use.jinja", b"{{ tools }}")
            .file("model.safetensors.index.json", index.as_bytes())
            .large("model-00001-of-00002.safetensors", &noise(300_000, 1))
            .large("model-00002-of-00002.safetensors", &noise(200_000, 2))
            .large("pytorch_model.bin", &noise(1000, 3))
    }

    pub(crate) fn file(self, name: &str, bytes: &[u8]) -> Hub {
        self.lock().files.push(RepoFile {
            name: name.into(),
            bytes: bytes.into(),
            lfs: false,
            claim: bytes.len() as u64,
        });
        self
    }

    pub(crate) fn large(self, name: &str, bytes: &[u8]) -> Hub {
        self.lock().files.push(RepoFile {
            name: name.into(),
            bytes: bytes.into(),
            lfs: true,
            claim: bytes.len() as u64,
        });
        self
    }

    /// A list as mirrors may give it, without sizes and hashes.
    pub(crate) fn without_details(self) -> Hub {
        self.lock().details = false;
        self
    }

    /// The list claims another size.
    pub(crate) fn claim(&self, name: &str, size: u64) {
        for file in self.lock().files.iter_mut().filter(|file| file.name == name) {
            file.claim = size;
        }
    }

    /// The repository moves on.
    pub(crate) fn commit(&self, commit: &'static str) {
        self.lock().commit = commit;
    }

    /// Faults for the next requests whose path contains `path`.
    pub(crate) fn fault(self, path: &str, faults: impl IntoIterator<Item = Fault>) -> Hub {
        self.lock().faults.push((path.into(), faults.into_iter().collect()));
        self
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.lock().seen.clone()
    }

    /// How many requests had `text` in their path.
    pub(crate) fn count(&self, text: &str) -> usize {
        self.seen().iter().filter(|seen| seen.line.contains(text)).count()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

/// Bytes that look like weights.
pub(crate) fn noise(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(count).collect()
}

fn serve(mut stream: TcpStream, host: &'static str, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (line, mut headers) = host::head(&mut reader)?;
    let [authorization, range] = ["authorization", "range"].map(|name| headers.remove(name));
    let mut state = state.lock().unwrap();
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let start = range.as_deref().and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    state.seen.push(Seen { host, line: line.trim().into(), authorization, range });
    // A large file answers twice, here and at the storage; faults are those of the second answer.
    let answers = host == "storage" || !state.files.iter().any(|file| file.lfs && path.ends_with(&file.name));
    let fault = state.faults.iter_mut().find(|(text, faults)| path.contains(text) && !faults.is_empty());
    let fault = fault.and_then(|(_, faults)| {
        let is_status = matches!(faults.front(), Some(Fault::Status(..)));
        (answers || is_status).then(|| faults.pop_front())?
    });
    let answer = match fault {
        Some(Fault::Status(status, headers)) => {
            let body = r#"{"error": "something\nhappened"}"#;
            Answer { status, headers: headers.into(), body: body.into(), ..Answer::default() }
        }
        _ => answer(&state, host, &path, start.unwrap_or(0), matches!(fault, Some(Fault::IgnoreRange))),
    };
    drop(state);
    answer.send(&mut stream, fault.as_ref(), line.starts_with("HEAD"))
}

#[derive(Default)]
struct Answer {
    status: u16,
    headers: String,
    body: Vec<u8>,
    /// For HEAD of a redirect: no body, but other lengths.
    chunked: bool,
}

impl Answer {
    fn send(mut self, stream: &mut TcpStream, fault: Option<&Fault>, head: bool) -> std::io::Result<()> {
        let mut length = self.body.len() as u64;
        match fault {
            Some(Fault::Length(other)) => length = *other,
            Some(Fault::Flip) => self.body[0] ^= 1,
            Some(Fault::Stall) => thread::sleep(Duration::from_millis(900)),
            Some(Fault::Endless) => {
                self.chunked = true;
                self.body.extend([0; 100_000]);
            }
            _ => {}
        }
        let length = if self.chunked { String::new() } else { format!("Content-Length: {length}\r\n") };
        write!(stream, "HTTP/1.1 {} X\r\nConnection: close\r\n{length}{}\r\n", self.status, self.headers)?;
        if head {
            return Ok(());
        }
        match fault {
            Some(Fault::Cut(after)) => stream.write_all(&self.body[..*after]),
            _ => stream.write_all(&self.body),
        }
    }
}

fn answer(state: &State, host: &str, path: &str, start: usize, whole: bool) -> Answer {
    let known = [format!("/{}/", state.commit), "/main/".into()];
    let is_list = path.starts_with("/api/models/org/repo/revision/");
    let revision = path.split('?').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let file = state.files.iter().find(|file| path.ends_with(&format!("/{}", file.name)));
    match file {
        _ if path.starts_with("/api/models/") && !is_list => {
            Answer { status: 404, headers: "X-Error-Code: RepoNotFound\r\n".into(), ..Answer::default() }
        }
        _ if is_list && ["main", state.commit, "refs%2Fpr%2F1"].contains(&revision) => list(state),
        _ if is_list => {
            Answer { status: 404, headers: "X-Error-Code: RevisionNotFound\r\n".into(), ..Answer::default() }
        }
        Some(file) if host == "storage" || known.iter().any(|part| path.contains(part.as_str())) => {
            content(state, host, file, start, whole)
        }
        _ => Answer { status: 404, headers: "X-Error-Code: EntryNotFound\r\n".into(), ..Answer::default() },
    }
}

fn list(state: &State) -> Answer {
    let entry = |file: &RepoFile| {
        let name = serde_json::to_string(&file.name).unwrap();
        let (size, etag) = (file.claim, etag(file));
        match (state.details, file.lfs) {
            (false, _) => format!(r#"{{"rfilename": {name}}}"#),
            (true, false) => format!(r#"{{"rfilename": {name}, "size": {size}, "blobId": "{etag}"}}"#),
            (true, true) => format!(
                r#"{{"rfilename": {name}, "size": {size}, "blobId": "00", "lfs": {{"sha256": "{etag}", "size": {size}, "pointerSize": 134}}}}"#
            ),
        }
    };
    let files: Vec<String> = state.files.iter().map(entry).collect();
    let body = format!(r#"{{"id": "org/repo", "sha": "{}", "siblings": [{}]}}"#, state.commit, files.join(", "));
    Answer { status: 200, headers: "Content-Type: application/json\r\n".into(), body: body.into(), chunked: false }
}

fn content(state: &State, host: &str, file: &RepoFile, start: usize, whole: bool) -> Answer {
    let mut headers = format!("X-Repo-Commit: {}\r\nETag: \"{}\"\r\n", state.commit, etag(file));
    if file.lfs && host == "hub" {
        let (etag, size) = (etag(file), file.bytes.len());
        write!(headers, "X-Linked-Etag: \"{etag}\"\r\nX-Linked-Size: {size}\r\n").unwrap();
        write!(headers, "Location: {}/signed/{}\r\n", state.storage, file.name).unwrap();
        return Answer { status: 302, headers, ..Answer::default() };
    }
    let total = file.bytes.len();
    match file.bytes.get(start..) {
        _ if whole || start == 0 => Answer { status: 200, headers, body: file.bytes.clone(), chunked: false },
        Some(rest) if !rest.is_empty() => {
            write!(headers, "Content-Range: bytes {start}-{}/{total}\r\n", total - 1).unwrap();
            Answer { status: 206, headers, body: rest.into(), chunked: false }
        }
        _ => Answer { status: 416, ..Answer::default() },
    }
}

fn etag(file: &RepoFile) -> String {
    etag_of(&file.bytes, file.lfs)
}
