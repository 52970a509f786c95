//! What an answer that is no success means.

use std::time::Duration;

use super::error::HubError;
use super::failure::{Busy, Failure};
use super::http::{Client, Reply};
use super::name::HubName;

/// Who is told to wait longer than this is told to come back later.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const LONGEST_MESSAGE: usize = 200;
const LONGEST_BODY: u64 = 64 << 10;

/// The answer where it is a success; else what it means for the repository, or for its `file`.
pub(super) fn success(
    reply: Reply,
    client: &Client<'_>,
    wanted: &HubName<'_>,
    file: Option<&str>,
) -> Result<Reply, Failure> {
    let reply = settled(reply, client)?;
    if is_success(&reply) { Ok(reply) } else { Err(Failure::Final(meaning(reply, client, wanted, file))) }
}

/// The answer, unless it is that the server cannot answer now.
pub(super) fn settled(reply: Reply, client: &Client<'_>) -> Result<Reply, Failure> {
    match reply.status {
        408 | 429 | 500 | 502 | 503 | 504 => Err(busy(&reply, client)),
        _ => Ok(reply),
    }
}

pub(super) fn is_success(reply: &Reply) -> bool {
    (200..300).contains(&reply.status)
}

fn busy(reply: &Reply, client: &Client<'_>) -> Failure {
    let after = reply.number("retry-after").map(Duration::from_secs);
    let reason = match (reply.status, after) {
        (429, Some(after)) => format!("too many requests, wait {} s", after.as_secs()),
        (429, None) => "too many requests".into(),
        (status, _) => format!("status {status}"),
    };
    if after.is_some_and(|after| after > LONGEST_WAIT) {
        let token = client.remote.token.is_some();
        return Failure::Final(HubError::Busy { host: reply.host.clone(), reason, token });
    }
    Failure::Passing { reason, busy: Some(Busy { host: reply.host.clone(), after }) }
}

fn meaning(reply: Reply, client: &Client<'_>, wanted: &HubName<'_>, file: Option<&str>) -> HubError {
    let code = reply.header("x-error-code").unwrap_or_default().to_owned();
    let (status, host, endpoint) = (reply.status, reply.host.clone(), client.remote.endpoint.clone());
    let token = client.remote.token.as_ref();
    let at_home = host == client.host();
    match (status, code.as_str()) {
        (_, "GatedRepo") => HubError::Gated { url: format!("{endpoint}/{}", wanted.id), token: token.is_some() },
        (_, "RevisionNotFound") => HubError::NoRevision { revision: wanted.revision_or_main().into() },
        (_, "EntryNotFound") => HubError::NoFile { file: file.unwrap_or_default().into() },
        (401, code) if at_home => match token {
            None => HubError::Unauthorized { endpoint },
            Some(_) if code == "RepoNotFound" => HubError::NoRepository { endpoint },
            Some(token) => HubError::TokenRefused { endpoint, origin: token.origin().into() },
        },
        (403, _) if at_home => HubError::Forbidden { message: message(reply) },
        (404, _) if at_home => match file {
            Some(file) if code != "RepoNotFound" => HubError::NoFile { file: file.into() },
            _ => HubError::NoRepository { endpoint },
        },
        _ => HubError::Status { host, status, message: message(reply) },
    }
}

/// What the server says about it, as one short line that a terminal can show.
pub(super) fn message(reply: Reply) -> String {
    let header = reply.header("x-error-message").map(str::to_owned);
    let text = header.or_else(|| in_body(&reply.bytes(LONGEST_BODY).ok()?));
    let clean = text.unwrap_or_default().replace(char::is_control, " ");
    clean.trim().chars().take(LONGEST_MESSAGE).collect()
}

/// `error` or `message` of JSON, as the Hub has them, or the `Message` of XML, as storages have it.
fn in_body(body: &[u8]) -> Option<String> {
    if let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) {
        let error = json.get("error").or_else(|| json.get("message"))?;
        return error.as_str().or_else(|| error.get("message")?.as_str()).map(str::to_owned);
    }
    let text = str::from_utf8(body).ok()?;
    text.split_once("<Message>")?.1.split_once("</Message>").map(|(message, _)| message.to_owned())
}
