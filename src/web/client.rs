//! A client that fetches one small document, for the control plane. It opens a connection for each
//! fetch, and is not for traffic.
//!
//! The pooled client of hyper-util would replace the handshake alone: the addresses that are judged
//! have to be those that are dialled, so that its connector would be the code of this file.
//!
//! The server is trusted for the content of the document only. Memory, time and redirects are
//! bounded.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::Full;
use tokio::time::timeout;

use super::freshness;
use super::send::{Answer, Protocol, ReadError, send};
use crate::clock;
use crate::net::{DialError, DialTimeouts, Nearness, Stream, Url, dial_addresses, resolve};
use crate::tls::Tls;

/// The most redirects that are followed, all on the same origin.
const MAX_REDIRECTS: usize = 3;

/// A client for documents of the control plane.
#[derive(Clone, Debug)]
pub struct Client {
    tls: Tls,
}

/// The limits of a fetch.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The time for the whole fetch, from the name to the last byte, with redirects.
    pub timeout: Duration,
    /// The most bytes of the document.
    pub max_bytes: u64,
    /// Set if `http` is allowed with hosts other than this machine.
    pub allow_http: bool,
    /// The nearest address that may be dialled. [`Nearness::Machine`] allows every address, for a
    /// URL that the operator chose.
    pub nearest: Nearness,
}

/// A complete document.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The document.
    pub body: Bytes,
    /// The time for which it stays fresh by its cache headers; `None` if it has none.
    pub lifetime: Option<Duration>,
    /// The nearness of the address that it came from.
    pub nearness: Nearness,
}

/// The reason for which a fetch failed. It quotes nothing of a body.
#[derive(Debug)]
pub enum FetchError {
    /// The scheme is `http`, which is not allowed, and the host is not this machine.
    Scheme,
    /// The host has this address, which is nearer than is allowed.
    Near(IpAddr),
    /// The connection cannot be opened.
    Dial(DialError),
    /// The connection broke, or the response is not HTTP.
    Http(hyper::Error),
    /// The fetch took longer than the timeout.
    Timeout,
    /// The status is neither 200 nor that of a redirect.
    Status(StatusCode),
    /// The redirect leads to another origin, or to no valid URL. Has the start of its target.
    Redirect(Box<str>),
    /// There were more redirects than are followed.
    Redirects,
    /// The document has more than this number of bytes.
    TooLarge(u64),
    /// The document is an HTML or XML page.
    Html,
}

/// The result of one request.
enum Fetch {
    Document(Fetched),
    /// A redirect, with its target.
    Elsewhere(Box<str>),
}

impl Client {
    /// Returns a client that connects with this TLS configuration.
    #[must_use]
    pub fn new(tls: Tls) -> Self {
        Self { tls }
    }

    /// Fetches a document.
    ///
    /// # Errors
    /// Returns a [`FetchError`] if there is none within the bounds.
    pub async fn get(&self, url: &Url, bounds: Bounds) -> Result<Fetched, FetchError> {
        timeout(bounds.timeout, self.follow(url, bounds))
            .await
            .unwrap_or(Err(FetchError::Timeout))
    }

    async fn follow(&self, url: &Url, bounds: Bounds) -> Result<Fetched, FetchError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            match self.ask(&url, bounds).await? {
                Fetch::Document(fetched) => return Ok(fetched),
                Fetch::Elsewhere(location) => url = redirect(&url, &location)?,
            }
        }
        Err(FetchError::Redirects)
    }

    async fn ask(&self, url: &Url, bounds: Bounds) -> Result<Fetch, FetchError> {
        let stream = self.connect(url, bounds).await?;
        let peer = stream.peer_address();
        let nearness = peer.map_or(Nearness::Public, |peer| Nearness::of(peer.ip()));
        let answer = send(stream, Protocol::Http1, request(url)?)
            .await
            .map_err(FetchError::Http)?;
        match answer.status() {
            StatusCode::OK => document(answer, bounds, nearness).await,
            status if status.is_redirection() => location(answer.headers())
                .map(Fetch::Elsewhere)
                .ok_or(FetchError::Status(status)),
            status => Err(FetchError::Status(status)),
        }
    }

    /// Opens a connection to one of the addresses that may be dialled.
    async fn connect(&self, url: &Url, bounds: Bounds) -> Result<Stream, FetchError> {
        let addresses = resolve(url.host_name(), url.port())
            .await
            .map_err(FetchError::Dial)?;
        let addresses = bounds.permitted(url, &addresses)?;
        let timeouts = DialTimeouts::each(bounds.timeout);
        dial_addresses(url, &addresses, &self.tls, timeouts)
            .await
            .map_err(FetchError::Dial)
    }
}

impl Bounds {
    /// Returns the addresses of `url` that may be dialled. The check is of addresses and not of the
    /// host in the URL: `127.1`, a number, and a name in a foreign DNS zone can all lead to this
    /// machine. The checked addresses are dialled, so that a second DNS answer cannot differ.
    ///
    /// # Errors
    /// Returns [`FetchError::Near`] or [`FetchError::Scheme`] if no address may be dialled.
    fn permitted(
        &self,
        url: &Url,
        addresses: &[SocketAddr],
    ) -> Result<Vec<SocketAddr>, FetchError> {
        let is_clear = !url.is_tls() && !self.allow_http;
        let mut permitted = Vec::new();
        let mut refused = FetchError::Scheme;
        for address in addresses {
            let nearness = Nearness::of(address.ip());
            if nearness > self.nearest {
                refused = FetchError::Near(address.ip());
            } else if !is_clear || nearness == Nearness::Machine {
                permitted.push(*address);
            }
        }
        if permitted.is_empty() {
            Err(refused)
        } else {
            Ok(permitted)
        }
    }
}

/// Returns the request for a document.
fn request(url: &Url) -> Result<Request<Full<Bytes>>, FetchError> {
    Request::get(url.path_and_query())
        .header(HOST, url.authority())
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("scopegate/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Full::default())
        .map_err(|_| FetchError::Redirect(shown(url.path_and_query())))
}

/// Reads the document. Its content type is ignored: some issuers send keys as text.
async fn document(answer: Answer, bounds: Bounds, nearness: Nearness) -> Result<Fetch, FetchError> {
    let lifetime = freshness::lifetime(answer.headers(), clock::now().unix);
    let body = match answer.read(bounds.max_bytes).await {
        Ok(body) => body,
        Err(ReadError::Http(error)) => return Err(FetchError::Http(error)),
        Err(ReadError::TooLarge) => return Err(FetchError::TooLarge(bounds.max_bytes)),
    };
    if body.trim_ascii_start().starts_with(b"<") {
        return Err(FetchError::Html);
    }
    Ok(Fetch::Document(Fetched {
        body,
        lifetime,
        nearness,
    }))
}

/// Returns the target of a redirect.
fn location(headers: &HeaderMap) -> Option<Box<str>> {
    let value = headers.get(LOCATION)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into())
}

/// Returns the URL to which a redirect leads. It must be of the same origin: a redirect elsewhere
/// could lead into the gateway's own network, or from `https` to an unprotected connection
/// (attacks.md#row-17, requirements.md#k08).
fn redirect(from: &Url, location: &str) -> Result<Url, FetchError> {
    let target = location.split('#').next().unwrap_or_default();
    if target.starts_with('/') && !target.starts_with("//") {
        return Ok(from.with_path(target));
    }
    match Url::parse(target) {
        Ok(to)
            if to.is_tls() == from.is_tls()
                && to.host() == from.host()
                && to.port() == from.port() =>
        {
            Ok(to)
        }
        _ => Err(FetchError::Redirect(shown(location))),
    }
}

/// Returns the start of a peer's text, for a log line.
fn shown(text: &str) -> Box<str> {
    text.chars().take(120).collect::<String>().into()
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => {
                f.write_str("http is for this machine only, unless \"allow_http\" is set")
            }
            Self::Near(address) => write!(
                f,
                "it leads to {address}, which is nearer to this machine than the issuer is; \
                 if that is meant, set \"jwks_uri\" in the configuration"
            ),
            Self::Dial(error) => write!(f, "{error}"),
            Self::Http(error) => match std::error::Error::source(error) {
                Some(source) => write!(f, "the exchange failed: {error}: {source}"),
                None => write!(f, "the exchange failed: {error}"),
            },
            Self::Timeout => f.write_str("the fetch took too long"),
            Self::Status(status) => write!(f, "the answer was {}, not 200", status.as_u16()),
            Self::Redirect(to) => write!(
                f,
                "a redirect to {to:?} is not followed: it leaves the origin"
            ),
            Self::Redirects => write!(f, "more than {MAX_REDIRECTS} redirects"),
            Self::TooLarge(max) => write!(f, "the document has more than {max} bytes"),
            Self::Html => f.write_str("the answer is an HTML or XML page, not JSON"),
        }
    }
}

impl std::error::Error for FetchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Dial(error) => Some(error),
            Self::Http(error) => Some(error),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
