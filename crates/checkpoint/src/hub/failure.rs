//! Ways in which a request does not succeed.

use std::time::Duration;

use super::error::HubError;

/// Why a request, or the reading of its answer, did not succeed.
pub(super) enum Failure {
    /// No connection came about.
    Unreachable { host: String, reason: String },
    /// It may succeed when it is tried again.
    Passing { reason: String, busy: Option<Busy> },
    /// Trying again would change nothing.
    Final(HubError),
    /// Another file has failed, and this one was given up for that.
    Stopped,
}

/// The server itself said that it cannot answer now.
pub(super) struct Busy {
    pub(super) host: String,
    /// When it wants to be asked again.
    pub(super) after: Option<Duration>,
}

impl From<HubError> for Failure {
    fn from(error: HubError) -> Failure {
        Failure::Final(error)
    }
}

/// What an error of the connection to `host` means.
pub(super) fn failure(error: ureq::Error, host: &str) -> Failure {
    use ureq::{Error, Timeout};
    let host = host.to_owned();
    let insecure = |reason: String| Failure::Final(HubError::Insecure { host: host.clone(), reason });
    match error {
        Error::Rustls(reason) => insecure(reason.to_string()),
        Error::Tls(reason) => insecure(reason.into()),
        // A certificate that is not trusted arrives as an error of the connection.
        Error::Io(reason) if reason.get_ref().is_some_and(|inner| inner.is::<rustls::Error>()) => {
            insecure(reason.to_string())
        }
        Error::Timeout(Timeout::Resolve | Timeout::Connect) => {
            Failure::Unreachable { host, reason: "no connection in time".into() }
        }
        Error::Timeout(_) => Failure::Passing { reason: "no answer in time".into(), busy: None },
        Error::HostNotFound => Failure::Unreachable { host, reason: "its name cannot be resolved".into() },
        Error::ConnectionFailed | Error::InvalidProxyUrl | Error::ConnectProxyFailed(_) => {
            Failure::Unreachable { host, reason: error.to_string() }
        }
        Error::Io(reason) if is_unreachable(reason.kind()) => Failure::Unreachable { host, reason: reason.to_string() },
        Error::Io(reason) => Failure::Passing { reason: reason.to_string(), busy: None },
        other => Failure::Passing { reason: other.to_string(), busy: None },
    }
}

fn is_unreachable(kind: std::io::ErrorKind) -> bool {
    use std::io::ErrorKind::{AddrNotAvailable, ConnectionRefused, HostUnreachable, NetworkDown, NetworkUnreachable};
    matches!(kind, AddrNotAvailable | ConnectionRefused | HostUnreachable | NetworkDown | NetworkUnreachable)
}
