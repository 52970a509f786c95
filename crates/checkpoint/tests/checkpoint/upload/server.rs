//! A server that speaks as much of the Hub's upload API as we use, on this machine, with faults on demand; and the storage that it
//! sends objects to.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::host::{self, COMMIT, etag_of};

/// Objects of more bytes go in parts.
pub(crate) const PART: usize = 100_000;

/// Something that goes wrong, once, for a request whose line contains a text.
#[derive(Clone)]
pub(crate) enum Fault {
    /// The connection closes after so many bytes of the body have been read.
    Cut(usize),
    /// It does what it should, and closes the connection without an answer.
    Silent,
    /// This status, with these headers and this body; before the body is read, where the client asks first.
    Status(u16, &'static str, &'static str),
    /// This body instead of the right one.
    Says(Value),
    /// Nothing comes for a while.
    Stall,
}

#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) host: &'static str,
    pub(crate) line: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) exists: bool,
    pub(crate) private: bool,
    /// The files of the last commit, and how they are kept: `file` or `lfsFile`.
    pub(crate) files: BTreeMap<String, (String, Vec<u8>)>,
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    pub(crate) commits: Vec<Value>,
    /// Where the parts of an object wait.
    parts: BTreeMap<(String, usize), Vec<u8>>,
    faults: Vec<(String, VecDeque<Fault>)>,
    seen: Vec<Seen>,
    hub: String,
    storage: String,
}

/// A Hub on which `org/repo` may be made, and a second host that stores large files.
#[derive(Clone)]
pub(crate) struct Hub {
    pub(crate) endpoint: String,
    state: Arc<Mutex<State>>,
}

impl Hub {
    pub(crate) fn new() -> Hub {
        let (endpoint, state) = host::start(|[hub, storage]| State { hub, storage, ..State::default() }, serve);
        Hub { endpoint, state }
    }

    /// With a repository, private or not.
    pub(crate) fn existing(private: bool) -> Hub {
        let hub = Hub::new();
        (hub.state().exists, hub.state().private) = (true, private);
        hub
    }

    /// Faults for the next requests whose line contains `text`.
    pub(crate) fn fault(self, text: &str, faults: impl IntoIterator<Item = Fault>) -> Hub {
        self.state().faults.push((text.into(), faults.into_iter().collect()));
        self
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// The requests with `text` in their line.
    pub(crate) fn with(&self, text: &str) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| seen.line.contains(text)).collect()
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
}

fn serve(mut stream: TcpStream, host: &'static str, state: &Mutex<State>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (line, headers) = host::head(&mut reader)?;
    let fault = take_fault(&mut state.lock().unwrap(), &line);
    if let Some(Fault::Stall) = fault {
        thread::sleep(Duration::from_millis(3500));
    }
    let mut body = Vec::new();
    let refuses = matches!(fault, Some(Fault::Status(..)));
    if headers.contains_key("expect") && !refuses {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    let length: u64 = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    let most = match fault {
        Some(Fault::Cut(after)) => length.min(after as u64),
        _ if refuses && headers.contains_key("expect") => 0,
        _ => length,
    };
    reader.take(most).read_to_end(&mut body)?;
    let mut state = state.lock().unwrap();
    state.seen.push(Seen { host, line: line.trim().into(), headers, body: body.clone() });
    match fault {
        Some(Fault::Cut(_)) => return Ok(()),
        Some(Fault::Status(status, extra, text)) => return answer(&mut stream, status, extra, text.as_bytes()),
        _ => {}
    }
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let reply = if host == "hub" { state.hub(method, path, &body) } else { state.storage(path, &body) };
    drop(state);
    let (status, extra, text) = match (reply, fault) {
        (_, Some(Fault::Silent)) => return Ok(()),
        (_, Some(Fault::Says(json))) => (200, String::new(), json.to_string()),
        (reply, _) => reply,
    };
    answer(&mut stream, status, &extra, text.as_bytes())
}

fn take_fault(state: &mut State, line: &str) -> Option<Fault> {
    let fault = state.faults.iter_mut().find(|(text, faults)| line.contains(text.as_str()) && !faults.is_empty());
    fault.and_then(|(_, faults)| faults.pop_front())
}

fn answer(stream: &mut TcpStream, status: u16, extra: &str, body: &[u8]) -> std::io::Result<()> {
    write!(stream, "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n{extra}\r\n", body.len())?;
    stream.write_all(body)
}

type Reply = (u16, String, String);

fn says(json: &Value) -> Reply {
    (200, String::new(), json.to_string())
}

impl State {
    fn hub(&mut self, method: &str, path: &str, body: &[u8]) -> Reply {
        let json = || serde_json::from_slice::<Value>(body).unwrap();
        match (method, path) {
            ("POST", "/api/repos/create") if self.exists => (409, String::new(), String::new()),
            ("POST", "/api/repos/create") => {
                self.exists = true;
                self.private = json()["private"] == true;
                says(&json!({"url": "x"}))
            }
            _ if !self.exists => (404, "X-Error-Code: RepoNotFound\r\n".into(), String::new()),
            ("GET", "/api/models/org/repo") => {
                let files: Vec<Value> = self.files.keys().map(|name| json!({"rfilename": name})).collect();
                says(&json!({"id": "org/repo", "private": self.private, "siblings": files}))
            }
            ("POST", "/api/models/org/repo/preupload/main") => self.preupload(&json()),
            ("POST", "/org/repo.git/info/lfs/objects/batch") => self.batch(&json()),
            ("POST", "/complete") => self.complete(&json()),
            ("POST", "/verify") => {
                let there = self.objects.get(json()["oid"].as_str().unwrap());
                let right = there.is_some_and(|bytes| json()["size"] == bytes.len());
                (if right { 200 } else { 404 }, String::new(), String::new())
            }
            ("POST", "/api/models/org/repo/commit/main") => self.commit(body),
            _ => (404, String::new(), String::new()),
        }
    }

    fn preupload(&self, asked: &Value) -> Reply {
        let files = asked["files"].as_array().unwrap().iter().map(|file| {
            let name = file["path"].as_str().unwrap();
            let has = self.files.get(name).map(|(kind, bytes)| etag_of(bytes, kind == "lfsFile"));
            let mode = if name.ends_with(".safetensors") { "lfs" } else { "regular" };
            json!({"path": name, "uploadMode": mode, "shouldIgnore": name == "ignored.txt", "oid": has})
        });
        says(&json!({"files": files.collect::<Vec<_>>(), "commitOid": COMMIT}))
    }

    fn batch(&self, asked: &Value) -> Reply {
        let object = &asked["objects"][0];
        let (oid, size) = (object["oid"].as_str().unwrap(), object["size"].as_u64().unwrap());
        let mut answer = json!({"oid": oid, "size": size});
        if !self.objects.contains_key(oid) {
            let signed = |part: usize| format!("{}/signed/{oid}/{part}?signature=x", self.storage);
            let upload = if size as usize <= PART {
                json!({"href": signed(0)})
            } else {
                let count = (size as usize).div_ceil(PART);
                let mut header: serde_json::Map<String, Value> =
                    (1..=count).map(|part| (format!("{part:05}"), signed(part).into())).collect();
                header.insert("chunk_size".into(), PART.to_string().into());
                json!({"href": format!("{}/complete", self.hub), "header": header})
            };
            answer["actions"] = json!({"upload": upload, "verify": {"href": format!("{}/verify", self.hub)}});
        }
        says(&json!({"transfer": "multipart", "objects": [answer]}))
    }

    fn storage(&mut self, path: &str, body: &[u8]) -> Reply {
        let steps: Vec<&str> = path.split(['/', '?']).collect();
        let (oid, part) = (steps[2].to_owned(), steps[3].parse::<usize>().unwrap());
        if part > 0 {
            self.parts.insert((oid, part), body.into());
        } else if etag_of(body, true) == oid {
            self.objects.insert(oid, body.into());
        } else {
            return (400, String::new(), "<Error><Code>BadDigest</Code><Message>wrong bytes</Message></Error>".into());
        }
        (200, format!("ETag: \"etag-{part}\"\r\n"), String::new())
    }

    fn complete(&mut self, asked: &Value) -> Reply {
        let oid = asked["oid"].as_str().unwrap();
        let mut whole = Vec::new();
        for (part, number) in asked["parts"].as_array().unwrap().iter().zip(1..) {
            assert_eq!(part["etag"], format!("\"etag-{number}\""));
            match self.parts.remove(&(oid.to_owned(), number)) {
                Some(bytes) => whole.extend(bytes),
                None => return (404, String::new(), r#"{"error": "no such upload"}"#.into()),
            }
        }
        if etag_of(&whole, true) != oid {
            return (400, String::new(), r#"{"error": "the sha256 is another"}"#.into());
        }
        self.objects.insert(oid.to_owned(), whole);
        says(&json!({"success": true}))
    }

    fn commit(&mut self, body: &[u8]) -> Reply {
        let lines = str::from_utf8(body).unwrap().lines();
        let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
        let mut files = self.files.clone();
        for line in &lines[1..] {
            let (kind, value) = (line["key"].as_str().unwrap(), &line["value"]);
            let content = match kind {
                "lfsFile" => self.objects.get(value["oid"].as_str().unwrap()).cloned(),
                _ => Some(decoded(value["content"].as_str().unwrap())),
            };
            let Some(content) = content else { return (400, String::new(), r#"{"error": "no such object"}"#.into()) };
            files.insert(value["path"].as_str().unwrap().into(), (kind.into(), content));
        }
        assert_eq!(lines[0]["key"], "header");
        self.commits.push(lines[0]["value"].clone());
        self.files = files;
        says(&json!({"commitOid": COMMIT, "commitUrl": "x"}))
    }
}

/// Base64, plainly.
fn decoded(text: &str) -> Vec<u8> {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digits = text
        .bytes()
        .filter(|&letter| letter != b'=')
        .map(|letter| LETTERS.iter().position(|&known| known == letter).unwrap() as u32);
    let digits: Vec<u32> = digits.collect();
    let bytes = |four: &[u32]| {
        let number = four.iter().fold(0, |number, digit| number << 6 | digit) << (6 * (4 - four.len()));
        number.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(bytes).collect()
}
