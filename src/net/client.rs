//! GET one small document, as the control plane does. Never for traffic: a connection per fetch.
//!
//! The server is trusted to state keys, and with nothing else: not with our memory, our time, or
//! where we go next.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, HOST, LOCATION, USER_AGENT};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Body, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::time::timeout;

use super::{DialError, DialTimeouts, Nearness, Tls, Url, dial_addresses, freshness, resolve};
use crate::clock;

/// Redirects that are followed, all of them on the host that was asked.
const MAX_REDIRECTS: usize = 3;

/// Bytes of a response head.
const MAX_HEAD: usize = 32 * 1024;

/// Bytes that are read ahead.
const MAX_BUFFER: usize = 64 * 1024;

/// A client for documents of the control plane.
#[derive(Clone, Debug)]
pub struct Client {
    tls: Tls,
}

/// What a fetch may cost, and where it may go.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// For all of it: name, connection, redirects, last byte.
    pub timeout: Duration,
    /// Bytes of the document; one more is an error.
    pub max_bytes: u64,
    /// Whether `http` is spoken with hosts other than this machine.
    pub allow_http: bool,
    /// The nearest address that may be dialled. [`Nearness::Machine`] is any, for a place that the
    /// operator chose.
    pub nearest: Nearness,
}

/// A document that arrived whole.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The document.
    pub body: Bytes,
    /// How long it stays fresh by its cache headers; `None` when they are silent.
    pub lifetime: Option<Duration>,
    /// The nearness of the address that it came from.
    pub nearness: Nearness,
}

/// Why there is no document. Quotes nothing of a body.
#[derive(Debug)]
pub enum FetchError {
    /// `http`, and neither this machine nor allowed.
    Scheme,
    /// The place leads to this address, which is nearer than it may be.
    Near(IpAddr),
    /// No connection.
    Dial(DialError),
    /// The connection broke, or what came is not HTTP.
    Http(hyper::Error),
    /// Not within the timeout.
    Timeout,
    /// Another status than 200, or than a redirect.
    Status(StatusCode),
    /// A redirect to another origin, or to nowhere; with the place it named.
    Redirect(Box<str>),
    /// More redirects than are followed.
    Redirects,
    /// A document larger than this many bytes.
    TooLarge(u64),
    /// A page for people.
    Html,
}

enum Fetch {
    Document(Fetched),
    Elsewhere(Box<str>),
}

impl Client {
    /// A client that trusts these roots.
    #[must_use]
    pub fn new(tls: Tls) -> Self {
        Self { tls }
    }

    /// Fetches a document.
    ///
    /// # Errors
    /// [`FetchError`]
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
        let addresses = resolve(url.host_name(), url.port())
            .await
            .map_err(FetchError::Dial)?;
        let addresses = bounds.permitted(url, &addresses)?;
        let dial_timeouts = DialTimeouts {
            connect: bounds.timeout,
            handshake: bounds.timeout,
        };
        let stream = dial_addresses(url, &addresses, &self.tls, dial_timeouts)
            .await
            .map_err(FetchError::Dial)?;
        let peer = stream.peer_address();
        let nearness = peer.map_or(Nearness::Public, |peer| Nearness::of(peer.ip()));
        let io = TokioIo::new(stream);
        let mut http = http1::Builder::new();
        http.max_buf_size(MAX_BUFFER).max_header_size(MAX_HEAD);
        let (sender, connection) = http.handshake(io).await.map_err(FetchError::Http)?;
        let mut answer = pin!(exchange(sender, url, bounds, nearness));
        tokio::select! {
            answer = &mut answer => answer,
            // The connection may end before its last bytes are read: they are with the answer, as
            // its error is.
            _ = connection => answer.await,
        }
    }
}

impl Bounds {
    /// The addresses of `url` that may be dialled. Addresses are judged, and not how the URL writes
    /// them: `127.1`, a number, and a name in the DNS of others all lead to this machine. Those
    /// that are judged are those that are dialled, so that a second answer of the DNS changes
    /// nothing.
    ///
    /// # Errors
    /// [`FetchError::Near`] and [`FetchError::Scheme`], where there is none.
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

async fn exchange(
    mut sender: http1::SendRequest<Empty<Bytes>>,
    url: &Url,
    bounds: Bounds,
    nearness: Nearness,
) -> Result<Fetch, FetchError> {
    let request = Request::get(url.path_and_query())
        .header(HOST, url.authority())
        .header(ACCEPT, "application/json")
        .header(USER_AGENT, concat!("scopegate/", env!("CARGO_PKG_VERSION")))
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(|_| FetchError::Redirect(shown(url.path_and_query())))?;
    let (head, body) = sender
        .send_request(request)
        .await
        .map_err(FetchError::Http)?
        .into_parts();
    match head.status {
        StatusCode::OK => {}
        status if status.is_redirection() => {
            return location(&head.headers)
                .map(Fetch::Elsewhere)
                .ok_or(FetchError::Status(status));
        }
        status => return Err(FetchError::Status(status)),
    }
    let body = read(body, bounds.max_bytes).await?;
    if body.trim_ascii_start().starts_with(b"<") {
        return Err(FetchError::Html);
    }
    let lifetime = freshness::lifetime(&head.headers, clock::now().unix);
    Ok(Fetch::Document(Fetched {
        body,
        lifetime,
        nearness,
    }))
}

/// Reads a body while it is within bounds. The content type is not asked: issuers send keys as
/// text, too.
async fn read(mut body: Incoming, max_bytes: u64) -> Result<Bytes, FetchError> {
    // A length that is announced need not be awaited.
    if body.size_hint().lower() > max_bytes {
        return Err(FetchError::TooLarge(max_bytes));
    }
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(FetchError::Http)?.into_data() else {
            continue;
        };
        if (bytes.len() + piece.len()) as u64 > max_bytes {
            return Err(FetchError::TooLarge(max_bytes));
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.into())
}

fn location(headers: &HeaderMap) -> Option<Box<str>> {
    headers
        .get(LOCATION)
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into())
}

/// The URL that a redirect leads to, which must be of the same origin: an issuer that sends us
/// elsewhere could send us into our own network, or to whoever it was asked for in the clear
/// (attacks.md#row-17, requirements.md#k08).
fn redirect(from: &Url, location: &str) -> Result<Url, FetchError> {
    let refused = || FetchError::Redirect(shown(location));
    let target = location.split('#').next().unwrap_or_default();
    if target.starts_with('/') && !target.starts_with("//") {
        return Ok(from.with_path(target));
    }
    let to = Url::parse(target).map_err(|_| refused())?;
    let same = to.is_tls() == from.is_tls() && to.host() == from.host() && to.port() == from.port();
    if same { Ok(to) } else { Err(refused()) }
}

/// As much of a peer's text as a log line needs.
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
                "it leads to {address}, which is nearer to this machine than the issuer is; if that is meant, set \
                 \"jwks_uri\" in the configuration"
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
