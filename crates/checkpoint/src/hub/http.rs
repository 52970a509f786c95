//! Requests to the Hub and the hosts that it sends us to. The token goes to the Hub alone.

use std::io::Read;
use std::net::ToSocketAddrs;
use std::sync::Arc;
use std::time::Duration;

use ureq::http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, BodyReader};

use super::environment::Remote;
use super::error::HubError;

const MOST_REDIRECTS: usize = 10;
const USER_AGENT: &str = concat!("ffai/", env!("CARGO_PKG_VERSION"));

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

/// An answer, redirects followed.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) host: String,
    pub(super) headers: HeaderMap,
    body: Body,
}

impl Reply {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.header(name)?.trim().parse().ok()
    }

    pub(super) fn body(self) -> BodyReader<'static> {
        self.body.into_reader()
    }

    /// The body, of at most `longest` bytes.
    pub(super) fn bytes(self, longest: u64) -> Result<Vec<u8>, Failure> {
        let (host, mut bytes) = (self.host.clone(), Vec::new());
        let read = self.body().take(longest + 1).read_to_end(&mut bytes);
        read.map_err(|error| Failure::Passing { reason: error.to_string(), busy: None })?;
        if bytes.len() as u64 > longest {
            let problem = format!("it is longer than {longest} bytes");
            return Err(Failure::Final(HubError::Answer { host, problem }));
        }
        Ok(bytes)
    }
}

/// A connection to the Hub.
pub(super) struct Client<'a> {
    agent: Agent,
    pub(super) remote: &'a Remote,
    /// Where the token may go.
    home: Origin,
    authorization: Option<HeaderValue>,
}

impl<'a> Client<'a> {
    pub(super) fn new(remote: &'a Remote) -> Result<Client<'a>, HubError> {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let stall = Some(remote.patience.stall);
        let config = Agent::config_builder()
            .tls_config(tls)
            .proxy(remote.proxy.0.clone())
            .http_status_as_error(false)
            // Redirects are followed here, where it is decided who sees the token.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(USER_AGENT)
            // Sizes and hashes are those of the plain bytes.
            .accept_encoding("identity")
            .timeout_resolve(stall)
            .timeout_connect(stall)
            .timeout_recv_response(stall)
            .timeout_per_read(stall)
            .build();
        let home = Origin::of(&parse(&remote.endpoint, &remote.endpoint)?);
        Ok(Client { agent: config.new_agent(), remote, home, authorization: authorization(remote)? })
    }

    /// The host of the Hub, for messages.
    pub(super) fn host(&self) -> &str {
        &self.home.host
    }

    /// The bytes at `path` of the Hub from `start` on.
    pub(super) fn get(&self, path: &str, start: u64) -> Result<Reply, Failure> {
        self.send(&Method::GET, path, start)
    }

    /// The headers at `path` of the Hub; of the first answer that leads to another host, where one does.
    pub(super) fn head(&self, path: &str) -> Result<Reply, Failure> {
        self.send(&Method::HEAD, path, 0)
    }

    fn send(&self, method: &Method, path: &str, start: u64) -> Result<Reply, Failure> {
        let mut uri = parse(&format!("{}{path}", self.remote.endpoint), &self.home.host)?;
        let mut at_home = true;
        for _ in 0..=MOST_REDIRECTS {
            let origin = Origin::of(&uri);
            // Once away, it does not come back: no other host can make us send the token anywhere.
            at_home &= origin == self.home;
            let reply = self.once(method, &uri, start, at_home)?;
            let Some(next) = location(&reply, &uri)? else { return Ok(reply) };
            let away = Origin::of(&next) != self.home;
            if away && *method == Method::HEAD {
                return Ok(reply);
            }
            if origin.scheme == "https" && next.scheme_str() != Some("https") {
                let problem = "it redirects to an address without encryption".into();
                return Err(HubError::Answer { host: origin.host, problem }.into());
            }
            uri = next;
        }
        let problem = format!("it redirects more than {MOST_REDIRECTS} times");
        Err(HubError::Answer { host: self.home.host.clone(), problem }.into())
    }

    fn once(&self, method: &Method, uri: &Uri, start: u64, at_home: bool) -> Result<Reply, Failure> {
        let host = Origin::of(uri).host;
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(token) = self.authorization.as_ref().filter(|_| at_home) {
            request = request.header(header::AUTHORIZATION, token);
        }
        if start > 0 {
            request = request.header(header::RANGE, format!("bytes={start}-"));
        }
        let unusable = |problem: String| HubError::Answer { host: host.clone(), problem };
        let request = request.body(()).map_err(|error| unusable(error.to_string()))?;
        let answer = self.agent.run(request).map_err(|error| match failure(error, &host) {
            Failure::Passing { .. } if !self.can_resolve(uri) => {
                Failure::Unreachable { host: host.clone(), reason: "its name cannot be resolved".into() }
            }
            failure => failure,
        });
        let (parts, body) = answer?.into_parts();
        Ok(Reply { status: parts.status.as_u16(), host, headers: parts.headers, body })
    }
}

impl Client<'_> {
    /// Whether the host has an address. The system's failure to find one has no kind of its own, so that it is asked
    /// for again; a proxy finds addresses by itself.
    fn can_resolve(&self, uri: &Uri) -> bool {
        let Origin { host, port, .. } = Origin::of(uri);
        self.remote.proxy.0.is_some() || (host.trim_matches(['[', ']']), port).to_socket_addrs().is_ok()
    }
}

fn authorization(remote: &Remote) -> Result<Option<HeaderValue>, HubError> {
    let Some(token) = &remote.token else { return Ok(None) };
    let malformed = || HubError::TokenMalformed { origin: token.origin().into() };
    if !token.secret().chars().all(|c| c.is_ascii_graphic()) {
        return Err(malformed());
    }
    let mut value = HeaderValue::try_from(format!("Bearer {}", token.secret())).map_err(|_| malformed())?;
    value.set_sensitive(true);
    Ok(Some(value))
}

/// Scheme, host and port: the token may go where all three are the endpoint's.
#[derive(PartialEq, Eq)]
struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    fn of(uri: &Uri) -> Origin {
        let scheme = uri.scheme_str().unwrap_or("https").to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(if scheme == "http" { 80 } else { 443 });
        Origin { scheme, host: uri.host().unwrap_or_default().to_ascii_lowercase(), port }
    }
}

/// An absolute address of the web. Messages name the host alone, because addresses may carry signatures.
fn parse(address: &str, host: &str) -> Result<Uri, HubError> {
    let unusable = || HubError::Answer { host: host.into(), problem: "this is not a web address".into() };
    let uri: Uri = address.parse().map_err(|_| unusable())?;
    let web = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some_and(|host| !host.is_empty());
    if web { Ok(uri) } else { Err(unusable()) }
}

/// Where a redirect leads; `None` where the answer is none.
fn location(reply: &Reply, from: &Uri) -> Result<Option<Uri>, HubError> {
    if !matches!(reply.status, 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let unusable = || HubError::Answer { host: reply.host.clone(), problem: "it redirects to nowhere".into() };
    let target = reply.header("location").ok_or_else(unusable)?;
    let scheme = from.scheme_str().unwrap_or("https");
    let absolute = match (target.strip_prefix("//"), from.authority()) {
        (Some(_), _) => format!("{scheme}:{target}"),
        (None, Some(authority)) if target.starts_with('/') => format!("{scheme}://{authority}{target}"),
        _ => target.to_owned(),
    };
    parse(&absolute, &reply.host).map(Some).map_err(|_| unusable())
}

fn failure(error: ureq::Error, host: &str) -> Failure {
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
