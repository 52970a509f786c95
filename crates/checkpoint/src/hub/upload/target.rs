//! The repository that is written to, and how the Hub is asked about it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::hub::api::again;
use crate::hub::environment::{Remote, Token};
use crate::hub::error::HubError;
use crate::hub::failure::{Busy, Failure};
use crate::hub::http::{Client, Kind, Reply};
use crate::hub::name::is_id;
use crate::hub::retry::Pauses;
use crate::hub::status;

use super::error::UploadError;
use super::{UploadEvent, UploadOptions};

/// More than the addresses for the most parts of one object take.
const LONGEST_ANSWER: u64 = 32 << 20;
/// How soon a pause notices that it is no longer needed.
const SLICE: Duration = Duration::from_millis(50);
/// Somebody else has made it, or has committed since.
pub(super) const CONFLICT: [u16; 2] = [409, 412];

/// A repository, and the connection to it.
pub(super) struct Target<'a> {
    pub(super) client: Client<'a>,
    pub(super) id: String,
    token: &'a Token,
    /// The names of the files that it has.
    pub(super) files: Vec<String>,
    /// Set when something has failed for good.
    pub(super) stop: AtomicBool,
}

/// What the Hub says about a repository.
struct Found {
    private: bool,
    files: Vec<String>,
}

/// An answer that is no wish to be asked again.
pub(super) enum Answer {
    /// A success, and its body.
    Success(Vec<u8>),
    /// Anything else.
    Refusal(Reply),
}

/// Whether an upload could begin: a name, a token, and no order to stay offline.
pub(super) fn check<'a>(name: &str, remote: &'a Remote) -> Result<&'a Token, UploadError> {
    if name.split('/').count() != 2 || !is_id(name) {
        return Err(UploadError::Name { name: name.into() });
    }
    if remote.offline {
        return Err(UploadError::Offline);
    }
    remote.token.as_ref().ok_or_else(|| UploadError::NoToken { endpoint: remote.endpoint.clone() })
}

impl<'a> Target<'a> {
    pub(super) fn open(
        name: &str,
        options: &UploadOptions,
        remote: &'a Remote,
        on: &mut dyn FnMut(UploadEvent),
    ) -> Result<Target<'a>, UploadError> {
        let token = check(name, remote)?;
        let (client, stop) = (Client::new(remote)?, AtomicBool::new(false));
        let mut target = Target { client, id: name.into(), token, files: Vec::new(), stop };
        let found = match target.find()? {
            Some(found) => found,
            None => {
                if target.create(options.private)? {
                    on(UploadEvent::Created { url: target.url() });
                }
                // What it is now is asked where it matters: nothing may be seen that should be private.
                let found = if options.private { target.find()? } else { None };
                found.unwrap_or(Found { private: false, files: Vec::new() })
            }
        };
        if options.private && !found.private {
            return Err(UploadError::Public { repository: name.into() });
        }
        target.files = found.files;
        Ok(target)
    }

    pub(super) fn url(&self) -> String {
        format!("{}/{}", self.client.remote.endpoint, self.id)
    }

    /// What the Hub knows about the repository; `None` where there is none.
    fn find(&self) -> Result<Option<Found>, UploadError> {
        let path = format!("/api/models/{}", self.id);
        let is_missing = |reply: &Reply| {
            let code = reply.header("x-error-code");
            reply.status == 404 || (reply.status == 401 && code == Some("RepoNotFound"))
        };
        let body = match self.first(|| self.client.get(&path, 0))? {
            Answer::Success(body) => body,
            Answer::Refusal(reply) if is_missing(&reply) => return Ok(None),
            Answer::Refusal(reply) => return Err(self.refused(reply, "read the repository")),
        };
        let json = self.json(&body)?;
        let private = json.get("private").and_then(Value::as_bool).unwrap_or(false);
        let names = json.get("siblings").and_then(Value::as_array).into_iter().flatten();
        let files = names.filter_map(|file| Some(file.get("rfilename")?.as_str()?.to_owned())).collect();
        Ok(Some(Found { private, files }))
    }

    /// Makes the repository; whether it was not there.
    fn create(&self, private: bool) -> Result<bool, UploadError> {
        let (organization, name) = self.id.split_once('/').unwrap_or_default();
        let mut body = json!({"type": "model", "organization": organization, "name": name});
        if private {
            body["private"] = true.into();
        }
        let body = body.to_string().into_bytes();
        match self.first(|| self.client.post_bytes("/api/repos/create", Kind::Json, &body))? {
            Answer::Success(_) => Ok(true),
            Answer::Refusal(reply) if CONFLICT.contains(&reply.status) => Ok(false),
            Answer::Refusal(reply) => Err(self.refused(reply, "create the repository")),
        }
    }

    /// A request at the beginning, where a host that is not there is not asked twice.
    fn first(&self, request: impl Fn() -> Result<Reply, Failure>) -> Result<Answer, UploadError> {
        let read = || self.read(request()?);
        again(&self.client, read).map_err(|failure| self.ended(failure, "the connection", 1))
    }

    /// Posts to `path` of the Hub, again where that may help, and reads the answer.
    pub(super) fn ask(&self, what: &str, path: &str, kind: Kind, body: &[u8]) -> Result<Value, UploadError> {
        match self.patiently(what, || self.client.post_bytes(path, kind, body))? {
            Answer::Success(body) => self.json(&body),
            Answer::Refusal(reply) => Err(self.refused(reply, what)),
        }
    }

    /// The answer to a request that is repeated while that may help.
    pub(super) fn patiently(
        &self,
        what: &str,
        request: impl Fn() -> Result<Reply, Failure>,
    ) -> Result<Answer, UploadError> {
        let mut pauses = Pauses::new(self.client.remote.patience);
        loop {
            match request().and_then(|reply| self.read(reply)) {
                Ok(answer) => return Ok(answer),
                Err(failure) => self.pause(failure, what, &mut pauses).map(drop)?,
            }
        }
    }

    pub(super) fn read(&self, reply: Reply) -> Result<Answer, Failure> {
        let reply = status::settled(reply, &self.client)?;
        Ok(if status::is_success(&reply) {
            Answer::Success(reply.bytes(LONGEST_ANSWER)?)
        } else {
            Answer::Refusal(reply)
        })
    }

    /// Waits after a failure; an error where waiting no longer helps.
    pub(super) fn pause(&self, failure: Failure, what: &str, pauses: &mut Pauses) -> Result<String, UploadError> {
        let busy = match &failure {
            Failure::Passing { busy, .. } => busy.as_ref(),
            Failure::Unreachable { .. } => None,
            _ => return Err(self.ended(failure, what, 1)),
        };
        let Some(pause) = pauses.next(busy) else { return Err(self.ended(failure, what, pauses.failures())) };
        self.sleep(pause)?;
        Ok(match failure {
            Failure::Passing { reason, .. } => reason,
            Failure::Unreachable { host, reason } => format!("{host}: {reason}"),
            _ => String::new(),
        })
    }

    fn sleep(&self, mut pause: Duration) -> Result<(), UploadError> {
        while !pause.is_zero() {
            self.go_on()?;
            let slice = pause.min(SLICE);
            std::thread::sleep(slice);
            pause -= slice;
        }
        self.go_on()
    }

    /// # Errors
    /// Where another file has failed, whose error is the one that counts.
    pub(super) fn go_on(&self) -> Result<(), UploadError> {
        let stopped = || self.ended(Failure::Stopped, "the upload", 1);
        if self.stop.load(Ordering::Relaxed) { Err(stopped()) } else { Ok(()) }
    }

    pub(super) fn ended(&self, failure: Failure, what: &str, attempts: u32) -> UploadError {
        match failure {
            Failure::Final(error) => error.into(),
            Failure::Unreachable { host, reason } => UploadError::Unreachable { host, reason },
            Failure::Passing { reason, busy: Some(Busy { host, .. }) } => {
                HubError::Busy { host, reason, token: true }.into()
            }
            Failure::Passing { reason, busy: None } => UploadError::Interrupted { file: what.into(), reason, attempts },
            Failure::Stopped => {
                UploadError::Interrupted { file: what.into(), reason: "it was stopped".into(), attempts }
            }
        }
    }

    /// What it means that the Hub refuses to do `what`.
    pub(super) fn refused(&self, reply: Reply, what: &str) -> UploadError {
        let (status, host) = (reply.status, reply.host.clone());
        let (endpoint, origin) = (self.client.remote.endpoint.clone(), self.token.origin().to_owned());
        let (what, repository, at_home) = (what.to_owned(), self.id.clone(), host == self.client.host());
        let message = status::message(reply);
        match status {
            401 if at_home => HubError::TokenRefused { endpoint, origin }.into(),
            403 if at_home => UploadError::Forbidden { origin, what, repository, endpoint, message },
            404 if at_home => UploadError::NoRepository { endpoint, repository, origin },
            _ => UploadError::Refused { host, what: format!("to {what}"), status, message },
        }
    }

    pub(super) fn json(&self, bytes: &[u8]) -> Result<Value, UploadError> {
        serde_json::from_slice(bytes).map_err(|error| self.nonsense(error.to_string()))
    }

    /// An answer of the Hub that makes no sense.
    pub(super) fn nonsense(&self, problem: impl Into<String>) -> UploadError {
        HubError::Answer { host: self.client.host().into(), problem: problem.into() }.into()
    }
}
