//! What has to be sent: the Hub says how it keeps each file, and what it has.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::hub::digest::Digest;
use crate::hub::http::Kind;

use super::UploadEvent;
use super::error::UploadError;
use super::files::Local;
use super::target::Target;

/// As many files as Python's client asks about at once.
const AT_ONCE: usize = 256;
/// Larger files do not fit into a commit, whatever the Hub says.
const LARGEST_INLINE: u64 = 64 << 20;

/// How the Hub keeps a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// In the commit itself.
    Inline,
    /// As an object of its storage, which the commit names by its hash.
    Object,
}

/// A file that the repository lacks, or has otherwise.
pub(super) struct Change<'a> {
    pub(super) file: &'a Local,
    pub(super) way: Way,
    /// SHA-256 of an object, git's hash of a file in the commit.
    pub(super) hash: String,
}

/// What has to be sent.
pub(super) struct Plan<'a> {
    pub(super) changes: Vec<Change<'a>>,
    pub(super) unchanged: usize,
}

impl<'a> Plan<'a> {
    pub(super) fn objects(&self) -> Vec<&Change<'a>> {
        self.changes.iter().filter(|change| change.way == Way::Object).collect()
    }

    pub(super) fn object_bytes(&self) -> u64 {
        self.objects().iter().map(|change| change.file.size).fold(0, u64::saturating_add)
    }
}

/// What the Hub says about a file.
pub(super) struct Verdict {
    way: Way,
    /// The repository's own rules leave it out.
    ignored: bool,
    /// The hash of what the repository has under this name.
    pub(super) has: Option<String>,
}

/// Asks the Hub about all files, and hashes them.
pub(super) fn make<'a>(
    target: &Target<'_>,
    files: &'a [Local],
    on: &mut dyn FnMut(UploadEvent),
) -> Result<Plan<'a>, UploadError> {
    let all: Vec<&Local> = files.iter().collect();
    let verdicts = ask(target, &all)?;
    let total = files.iter().map(|file| file.size).fold(0, u64::saturating_add);
    let mut done = 0;
    let mut plan = Plan { changes: Vec::new(), unchanged: 0 };
    for (file, verdict) in files.iter().zip(verdicts).filter(|(_, verdict)| !verdict.ignored) {
        let digest = if verdict.way == Way::Object { Digest::sha256() } else { Digest::git(file.size) };
        let hash = file.hash(digest, &mut |bytes| {
            done += bytes;
            on(UploadEvent::Hashing { done, total });
        })?;
        match verdict.has.is_some_and(|has| has == hash) {
            true => plan.unchanged += 1,
            false => plan.changes.push(Change { file, way: verdict.way, hash }),
        }
    }
    Ok(plan)
}

/// What the Hub says about each of the files, in their order.
pub(super) fn ask(target: &Target<'_>, files: &[&Local]) -> Result<Vec<Verdict>, UploadError> {
    let mut verdicts = Vec::with_capacity(files.len());
    for some in files.chunks(AT_ONCE) {
        let about = |file: &&Local| -> Result<Value, UploadError> {
            Ok(json!({"path": file.name, "size": file.size, "sample": STANDARD.encode(file.sample()?)}))
        };
        let body = json!({"files": some.iter().map(about).collect::<Result<Vec<Value>, _>>()?}).to_string();
        let path = format!("/api/models/{}/preupload/main", target.id);
        let answer = target.ask("prepare the upload", &path, Kind::Json, body.as_bytes())?;
        let listed = answer.get("files").and_then(Value::as_array).into_iter().flatten();
        let said: HashMap<&str, &Value> = listed.filter_map(|said| Some((said.get("path")?.as_str()?, said))).collect();
        for file in some {
            verdicts.push(verdict(file, said.get(file.name.as_str()).copied()).map_err(|text| target.nonsense(text))?);
        }
    }
    Ok(verdicts)
}

fn verdict(file: &Local, said: Option<&Value>) -> Result<Verdict, String> {
    let name = &file.name;
    let said = said.ok_or_else(|| format!("it does not say how {name} is to be uploaded"))?;
    let way = match said.get("uploadMode").and_then(Value::as_str) {
        // An object of no bytes cannot be stored.
        Some("lfs") if file.size > 0 => Way::Object,
        Some("lfs" | "regular") if file.size <= LARGEST_INLINE => Way::Inline,
        Some("regular") => return Err(format!("it wants the {} bytes of {name} inside the commit", file.size)),
        _ => return Err(format!("it wants {name} in a way that is unknown")),
    };
    let ignored = said.get("shouldIgnore").and_then(Value::as_bool).unwrap_or(false);
    Ok(Verdict { way, ignored, has: said.get("oid").and_then(Value::as_str).map(str::to_owned) })
}
