//! What the Hub says about a repository: its commit and its files.

use std::path::{Component, Path};

use serde_json::Value;

use super::digest::Etag;
use super::error::HubError;
use super::failure::Failure;
use super::http::Client;
use super::name::HubName;
use super::retry::Pauses;
use super::status;

/// More than the list of the largest repositories takes.
const LONGEST_LIST: u64 = 32 << 20;

/// The files of a repository at a commit.
pub(super) struct Listing {
    pub(super) commit: String,
    pub(super) files: Vec<Listed>,
}

/// A file as the list has it; mirrors may leave out size and hash.
pub(super) struct Listed {
    pub(super) name: String,
    size: Option<u64>,
    etag: Option<Etag>,
}

/// A file of which everything is known.
#[derive(Clone, Debug)]
pub(super) struct RemoteFile {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) etag: Etag,
}

impl Listing {
    /// Asks the Hub. A host that is not there is not asked twice: then the cache may do.
    pub(super) fn fetch(client: &Client<'_>, wanted: &HubName<'_>) -> Result<Listing, Failure> {
        let revision = encode(wanted.revision_or_main(), false);
        let path = format!("/api/models/{}/revision/{revision}?blobs=true", wanted.id);
        let bytes = again(client, || {
            let reply = status::success(client.get(&path, 0)?, client, wanted, None)?;
            reply.bytes(LONGEST_LIST)
        })?;
        Listing::parse(&bytes).map_err(|fault| match fault {
            Fault::Unsafe(file) => HubError::UnsafeName { file }.into(),
            Fault::Problem(problem) => HubError::Answer { host: client.host().into(), problem }.into(),
        })
    }

    fn parse(bytes: &[u8]) -> Result<Listing, Fault> {
        let problem = |text: &str| Fault::Problem(text.into());
        let json: Value = serde_json::from_slice(bytes).map_err(|error| Fault::Problem(error.to_string()))?;
        let commit = json.get("sha").and_then(Value::as_str).filter(|sha| is_commit(sha));
        let commit = commit.ok_or_else(|| problem("`sha` is no commit"))?.to_owned();
        let files = json.get("siblings").and_then(Value::as_array).ok_or_else(|| problem("`siblings` is no list"))?;
        let files = files.iter().map(listed).collect::<Result<_, _>>()?;
        Ok(Listing { commit, files })
    }

    pub(super) fn names(&self) -> Vec<&str> {
        self.files.iter().map(|file| file.name.as_str()).collect()
    }

    /// Everything about the file `name`, asked for where the list does not say it.
    pub(super) fn file(&self, client: &Client<'_>, wanted: &HubName<'_>, name: &str) -> Result<RemoteFile, Failure> {
        let listed = self.files.iter().find(|file| file.name == name);
        let listed = listed.ok_or_else(|| HubError::NoFile { file: name.into() })?;
        if let (Some(size), Some(etag)) = (listed.size, listed.etag.clone()) {
            return Ok(RemoteFile { name: name.into(), size, etag });
        }
        let reply = again(client, || {
            let reply = client.head(&self.path(wanted, name))?;
            if (300..400).contains(&reply.status) {
                Ok(reply)
            } else {
                status::success(reply, client, wanted, Some(name))
            }
        })?;
        let header = |linked, plain| reply.header(linked).or_else(|| reply.header(plain));
        let size = reply.number("x-linked-size").or_else(|| reply.number("content-length"));
        let etag = header("x-linked-etag", "etag").and_then(Etag::parse);
        let problem = format!("it does not tell the size and the hash of {name}");
        let (size, etag) = size.zip(etag).ok_or_else(|| HubError::Answer { host: reply.host.clone(), problem })?;
        Ok(RemoteFile { name: name.into(), size, etag })
    }

    /// Where the bytes of a file are.
    pub(super) fn path(&self, wanted: &HubName<'_>, name: &str) -> String {
        format!("/{}/resolve/{}/{}", wanted.id, self.commit, encode(name, true))
    }
}

enum Fault {
    Unsafe(String),
    Problem(String),
}

fn listed(file: &Value) -> Result<Listed, Fault> {
    let name = file.get("rfilename").and_then(Value::as_str);
    let name = name.ok_or_else(|| Fault::Problem("a file without `rfilename`".into()))?.to_owned();
    if !is_inside(&name) {
        return Err(Fault::Unsafe(name));
    }
    let lfs = file.get("lfs").filter(|lfs| lfs.is_object());
    let etag = match lfs {
        Some(lfs) => lfs.get("sha256").or_else(|| lfs.get("oid")),
        None => file.get("blobId"),
    };
    let size = lfs.and_then(|lfs| lfs.get("size")).or_else(|| file.get("size")).and_then(Value::as_u64);
    Ok(Listed { name, size, etag: etag.and_then(Value::as_str).and_then(Etag::parse) })
}

/// Whether a file of this name lies in the folder that it is joined to, on every system.
pub(super) fn is_inside(name: &str) -> bool {
    let plain = |part: Component<'_>| matches!(part, Component::Normal(_));
    let steps = name.split('/').all(|step| !step.is_empty() && step != "." && step != "..");
    steps && !name.contains(['\\', '\0']) && Path::new(name).components().all(plain)
}

pub(super) fn is_commit(sha: &str) -> bool {
    sha.len() == 40 && sha.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// Percent-encodes for a path of an address; slashes stay where they part folders.
fn encode(text: &str, slashes: bool) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (slashes && byte == b'/');
    let one = |byte: u8| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(one).collect()
}

/// Repeats a short request while that may help.
pub(super) fn again<T>(client: &Client<'_>, mut request: impl FnMut() -> Result<T, Failure>) -> Result<T, Failure> {
    let mut pauses = Pauses::new(client.remote.patience);
    loop {
        match request() {
            Err(Failure::Passing { reason, busy }) => match pauses.next(busy.as_ref()) {
                Some(pause) => std::thread::sleep(pause),
                None => return Err(given_up(client, reason, busy.map(|busy| busy.host))),
            },
            result => return result,
        }
    }
}

fn given_up(client: &Client<'_>, reason: String, busy: Option<String>) -> Failure {
    match busy {
        Some(host) => HubError::Busy { host, reason, token: client.remote.token.is_some() }.into(),
        None => Failure::Unreachable { host: client.host().into(), reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_leave_the_folder_are_seen() {
        for name in ["a", "a/b.c", "..a", "a b", "chat_templates/x.jinja"] {
            assert!(is_inside(name), "{name}");
        }
        for name in ["", "/a", "../a", "a/../b", "a//b", "a/", "./a", "a\\b", "a\0b", ".."] {
            assert!(!is_inside(name), "{name}");
        }
    }

    #[test]
    fn addresses_are_encoded() {
        assert_eq!(encode("refs/pr/1", false), "refs%2Fpr%2F1");
        assert_eq!(encode("a b/c?d#e%.gguf", true), "a%20b/c%3Fd%23e%25.gguf");
    }

    #[test]
    fn lists_that_make_no_sense_are_errors() {
        let commit = "a".repeat(40);
        for bad in [
            "",
            "[]",
            r#"{"sha": "main", "siblings": []}"#,
            r#"{"sha": "../../../../../../../../../../../../../x", "siblings": []}"#,
        ] {
            assert!(Listing::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        let list = |file: &str| Listing::parse(format!(r#"{{"sha": "{commit}", "siblings": [{file}]}}"#).as_bytes());
        assert!(list(r#"{"rfilename": "a", "size": 3, "blobId": "b"}"#).is_ok());
        assert!(matches!(list(r#"{"rfilename": "../a"}"#), Err(Fault::Unsafe(name)) if name == "../a"));
        assert!(list("3").is_err() && list(r#"{"rfilename": 3}"#).is_err());
    }
}
