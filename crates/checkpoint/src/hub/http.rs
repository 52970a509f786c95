//! Requests to the Hub and the hosts that it sends us to. The token goes to the Hub alone.

use std::io::Read;
use std::net::ToSocketAddrs;
use std::sync::Arc;

use ureq::http::{HeaderMap, HeaderValue, Method, Request, Uri, header};
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, Body, BodyReader, SendBody};

use super::environment::Remote;
use super::error::HubError;
use super::failure::{Failure, failure};

const MOST_REDIRECTS: usize = 10;
const OPEN: &str = "it redirects to an address without encryption";
/// From so many bytes on the server is asked first whether it wants them: an address may have expired.
const WORTH_ASKING: u64 = 64 << 10;
/// How much longer than for the next bytes an answer is waited for to something that was sent: a commit takes its time.
const STALLS_FOR_AN_ANSWER: u32 = 6;
const USER_AGENT: &str = concat!("ffai/", env!("CARGO_PKG_VERSION"));

/// What is sent along with a request.
pub(super) struct Content<'a> {
    pub(super) kind: Kind,
    /// How many bytes.
    pub(super) length: u64,
    /// The bytes, from the first one on each time.
    pub(super) open: &'a dyn Fn() -> Box<dyn Read + 'a>,
}

/// What something that is sent is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Json,
    /// JSON of git-lfs.
    Lfs,
    /// JSON objects, one on each line.
    Lines,
    /// Bytes of an object, whose address was signed without a media type.
    Object,
}

impl Kind {
    fn media_type(self) -> Option<&'static str> {
        match self {
            Kind::Json => Some("application/json"),
            Kind::Lfs => Some("application/vnd.git-lfs+json"),
            Kind::Lines => Some("application/x-ndjson"),
            Kind::Object => None,
        }
    }
}

/// A request before it is known where it goes.
struct Call<'a, 'b> {
    method: &'a Method,
    start: u64,
    content: Option<&'a Content<'b>>,
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
            .timeout_per_write(stall)
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
        self.send(&Call { method: &Method::GET, start, content: None }, path)
    }

    /// The headers at `path` of the Hub; of the first answer that leads to another host, where one does.
    pub(super) fn head(&self, path: &str) -> Result<Reply, Failure> {
        self.send(&Call { method: &Method::HEAD, start: 0, content: None }, path)
    }

    /// Sends to `path` of the Hub.
    pub(super) fn post(&self, path: &str, content: &Content<'_>) -> Result<Reply, Failure> {
        self.send(&Call { method: &Method::POST, start: 0, content: Some(content) }, path)
    }

    /// Sends `bytes` to `path` of the Hub.
    pub(super) fn post_bytes(&self, path: &str, kind: Kind, bytes: &[u8]) -> Result<Reply, Failure> {
        let open = || -> Box<dyn Read + '_> { Box::new(bytes) };
        self.post(path, &Content { kind, length: bytes.len() as u64, open: &open })
    }

    /// Sends `bytes` to an address that the Hub gave. The token goes along where the address is one of the Hub itself.
    pub(super) fn post_bytes_to(&self, address: &str, kind: Kind, bytes: &[u8]) -> Result<Reply, Failure> {
        let uri = self.given(address)?;
        let at_home = Origin::of(&uri) == self.home;
        let open = || -> Box<dyn Read + '_> { Box::new(bytes) };
        let content = Content { kind, length: bytes.len() as u64, open: &open };
        self.once(&Call { method: &Method::POST, start: 0, content: Some(&content) }, &uri, at_home)
    }

    /// Stores bytes at an address that the Hub gave and that carries a signature: the token never goes along.
    pub(super) fn put_to(&self, address: &str, content: &Content<'_>) -> Result<Reply, Failure> {
        let uri = self.given(address)?;
        self.once(&Call { method: &Method::PUT, start: 0, content: Some(content) }, &uri, false)
    }

    fn send(&self, call: &Call<'_, '_>, path: &str) -> Result<Reply, Failure> {
        let mut uri = parse(&format!("{}{path}", self.remote.endpoint), &self.home.host)?;
        let mut at_home = true;
        for _ in 0..=MOST_REDIRECTS {
            let origin = Origin::of(&uri);
            // Once away, it does not come back: no other host can make us send the token anywhere.
            at_home &= origin == self.home;
            let reply = self.once(call, &uri, at_home)?;
            let Some(next) = location(&reply, &uri)? else { return Ok(reply) };
            let away = Origin::of(&next) != self.home;
            if away && *call.method == Method::HEAD {
                return Ok(reply);
            }
            let problem = match call.content {
                _ if is_open(&origin.scheme, &next) => Some(OPEN),
                // What is sent is meant for the Hub, and a 303 would want it left out.
                Some(_) if away || !matches!(reply.status, 307 | 308) => Some("it redirects what it was sent"),
                _ => None,
            };
            if let Some(problem) = problem {
                return Err(HubError::Answer { host: origin.host, problem: problem.into() }.into());
            }
            uri = next;
        }
        let problem = format!("it redirects more than {MOST_REDIRECTS} times");
        Err(HubError::Answer { host: self.home.host.clone(), problem }.into())
    }

    /// An address in an answer of the Hub.
    fn given(&self, address: &str) -> Result<Uri, HubError> {
        let unusable = |problem: &str| HubError::Answer { host: self.home.host.clone(), problem: problem.into() };
        let uri = parse(address, &self.home.host).map_err(|_| unusable("it names no web address to send to"))?;
        if is_open(&self.home.scheme, &uri) { Err(unusable(OPEN)) } else { Ok(uri) }
    }

    fn once(&self, call: &Call<'_, '_>, uri: &Uri, at_home: bool) -> Result<Reply, Failure> {
        let host = Origin::of(uri).host;
        let mut request = Request::builder().method(call.method).uri(uri);
        if let Some(token) = self.authorization.as_ref().filter(|_| at_home) {
            request = request.header(header::AUTHORIZATION, token);
        }
        if call.start > 0 {
            request = request.header(header::RANGE, format!("bytes={}-", call.start));
        }
        let unusable = |error: ureq::http::Error| HubError::Answer { host: host.clone(), problem: error.to_string() };
        let answer = match call.content {
            None => self.agent.run(request.body(()).map_err(unusable)?),
            Some(content) => {
                request = request.header(header::CONTENT_LENGTH, content.length);
                if let Some(kind) = content.kind.media_type() {
                    request = request.header(header::CONTENT_TYPE, kind);
                }
                if content.kind == Kind::Lfs {
                    request = request.header(header::ACCEPT, "application/vnd.git-lfs+json");
                }
                if content.length >= WORTH_ASKING {
                    request = request.header(header::EXPECT, "100-continue");
                }
                let mut bytes = (content.open)();
                let request = request.body(SendBody::from_reader(&mut bytes)).map_err(unusable)?;
                let patience = Some(self.remote.patience.stall * STALLS_FOR_AN_ANSWER);
                let request = self.agent.configure_request(request);
                self.agent.run(request.timeout_recv_response(patience).timeout_per_read(patience).build())
            }
        };
        let (parts, body) = answer.map_err(|error| self.explain(error, uri, &host))?.into_parts();
        Ok(Reply { status: parts.status.as_u16(), host, headers: parts.headers, body })
    }

    fn explain(&self, error: ureq::Error, uri: &Uri, host: &str) -> Failure {
        match failure(error, host) {
            Failure::Passing { .. } if !self.can_resolve(uri) => {
                Failure::Unreachable { host: host.into(), reason: "its name cannot be resolved".into() }
            }
            failure => failure,
        }
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

/// Whether `next` is without encryption where an address of `scheme` has one.
fn is_open(scheme: &str, next: &Uri) -> bool {
    scheme == "https" && next.scheme_str() != Some("https")
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
