//! The commit that gives everything its name: one JSON object on each line, sent as a stream.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::hub::api::is_commit;
use crate::hub::failure::Failure;
use crate::hub::http::{Content, Kind, Reply};
use crate::hub::retry::Pauses;

use super::UploadEvent;
use super::error::UploadError;
use super::files::Local;
use super::plan::{self, Change, Plan, Way};
use super::target::{Answer, CONFLICT, Target};

/// A multiple of three, whose encoding needs no padding.
const CHUNK: usize = 3 << 14;

/// Commits the changes of a plan; the commit, or `None` where nothing was left to change.
pub(super) fn publish(
    target: &Target<'_>,
    plan: &Plan<'_>,
    message: &str,
    on: &mut dyn FnMut(UploadEvent),
) -> Result<Option<String>, UploadError> {
    let mut changes: Vec<&Change<'_>> = plan.changes.iter().collect();
    let mut pauses = Pauses::new(target.client.remote.patience);
    while !changes.is_empty() {
        changes.iter().try_for_each(|change| change.file.check())?;
        let failure = match attempt(target, &Body::new(&changes, message))? {
            Ok(Answer::Success(answer)) => return commit(target, &answer).map(Some),
            Ok(Answer::Refusal(reply)) if CONFLICT.contains(&reply.status) => {
                Failure::Passing { reason: "somebody else commits at the same time".into(), busy: None }
            }
            Ok(Answer::Refusal(reply)) => return Err(target.refused(reply, "commit the upload")),
            Err(failure) => failure,
        };
        let reason = target.pause(failure, "the commit", &mut pauses)?;
        on(UploadEvent::Retrying { file: "the commit".into(), reason });
        // The commit may be there, and its answer lost.
        changes = pending(target, changes)?;
    }
    Ok(None)
}

fn attempt(target: &Target<'_>, body: &Body<'_>) -> Result<Result<Answer, Failure>, UploadError> {
    let path = format!("/api/models/{}/commit/main", target.id);
    let open = || -> Box<dyn Read + '_> { Box::new(body.reader()) };
    let content = Content { kind: Kind::Lines, length: body.length, open: &open };
    let answer = target.client.post(&path, &content).and_then(|reply: Reply| target.read(reply));
    body.fault.take().map_or(Ok(answer), Err)
}

fn commit(target: &Target<'_>, answer: &[u8]) -> Result<String, UploadError> {
    let json = target.json(answer)?;
    let commit = json.get("commitOid").and_then(Value::as_str).filter(|commit| is_commit(commit));
    commit.map(str::to_owned).ok_or_else(|| target.nonsense("`commitOid` is no commit"))
}

/// Those of the changes that the repository still lacks.
fn pending<'a, 'b>(target: &Target<'_>, changes: Vec<&'b Change<'a>>) -> Result<Vec<&'b Change<'a>>, UploadError> {
    let files: Vec<&Local> = changes.iter().map(|change| change.file).collect();
    let verdicts = plan::ask(target, &files)?;
    let lacks = |(change, verdict): (&'b Change<'a>, plan::Verdict)| {
        (verdict.has.as_deref() != Some(&change.hash)).then_some(change)
    };
    Ok(changes.into_iter().zip(verdicts).filter_map(lacks).collect())
}

/// Text, or a file that becomes text.
enum Piece<'a> {
    Text(Vec<u8>),
    Encoded(&'a Local),
}

/// The body of the request.
struct Body<'a> {
    pieces: Vec<Piece<'a>>,
    length: u64,
    /// Why a file could not be read, behind the connection's back.
    fault: RefCell<Option<UploadError>>,
}

impl<'a> Body<'a> {
    fn new(changes: &[&Change<'a>], message: &str) -> Body<'a> {
        let line = |key: &str, value: Value| format!("{}\n", json!({"key": key, "value": value})).into_bytes();
        let mut pieces = vec![Piece::Text(line("header", json!({"summary": message, "description": ""})))];
        for Change { file, way, hash } in changes {
            let path = Value::from(file.name.as_str());
            match way {
                Way::Object => {
                    let value = json!({"path": path, "algo": "sha256", "oid": hash, "size": file.size});
                    pieces.push(Piece::Text(line("lfsFile", value)));
                }
                Way::Inline => {
                    let start = format!(r#"{{"key":"file","value":{{"path":{path},"encoding":"base64","content":""#);
                    let end = "\"}}\n".to_owned();
                    pieces.extend([
                        Piece::Text(start.into_bytes()),
                        Piece::Encoded(file),
                        Piece::Text(end.into_bytes()),
                    ]);
                }
            }
        }
        let length = pieces.iter().map(Piece::length).fold(0, u64::saturating_add);
        Body { pieces, length, fault: RefCell::new(None) }
    }

    fn reader(&self) -> Reader<'_, 'a> {
        Reader { body: self, next: 0, file: None, ready: Vec::new(), at: 0 }
    }
}

impl Piece<'_> {
    fn length(&self) -> u64 {
        match self {
            Piece::Text(text) => text.len() as u64,
            Piece::Encoded(file) => file.size.div_ceil(3).saturating_mul(4),
        }
    }
}

struct Reader<'b, 'a> {
    body: &'b Body<'a>,
    /// The piece that comes next.
    next: usize,
    /// The file that is being encoded, and how much of it is left.
    file: Option<(File, &'a Local, u64)>,
    ready: Vec<u8>,
    at: usize,
}

impl Reader<'_, '_> {
    /// Makes some bytes be ready; whether there are any.
    fn fill(&mut self) -> Result<bool, UploadError> {
        (self.ready, self.at) = (Vec::new(), 0);
        if let Some((mut file, local, left)) = self.file.take() {
            let size = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK);
            let mut bytes = vec![0; size];
            file.read_exact(&mut bytes).map_err(|_| local.changed())?;
            self.ready = STANDARD.encode(&bytes).into_bytes();
            let left = left - size as u64;
            self.file = (left > 0).then_some((file, local, left));
            return Ok(true);
        }
        let Some(piece) = self.body.pieces.get(self.next) else { return Ok(false) };
        self.next += 1;
        match piece {
            Piece::Text(text) => self.ready.clone_from(text),
            Piece::Encoded(local) if local.size > 0 => self.file = Some((local.open(0)?, local, local.size)),
            Piece::Encoded(_) => {}
        }
        Ok(true)
    }
}

impl Read for Reader<'_, '_> {
    fn read(&mut self, mut into: &mut [u8]) -> io::Result<usize> {
        while self.at == self.ready.len() {
            let filled = self.fill().map_err(|error| {
                *self.body.fault.borrow_mut() = Some(error);
                io::Error::other("a file cannot be read")
            })?;
            if !filled {
                return Ok(0);
            }
        }
        let written = io::Write::write(&mut into, self.ready.get(self.at..).unwrap_or_default())?;
        self.at += written;
        Ok(written)
    }
}
