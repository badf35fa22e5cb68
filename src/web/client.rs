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
use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, HOST, LOCATION, PROXY_AUTHORIZATION, USER_AGENT,
};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::Full;
use tokio::time::timeout;

use super::freshness;
use super::send::{Answer, Protocol, ReadError, send};
use crate::clock;
use crate::net::{
    DialError, DialTimeouts, Nearness, Proxies, Proxy, Stream, Url, dial_addresses, dial_through,
    resolve,
};
use crate::tls::{Tls, TlsError};

/// The most redirects that are followed, all on the same origin.
const MAX_REDIRECTS: usize = 3;

/// A client for documents of the control plane.
#[derive(Clone, Debug)]
pub struct Client {
    tls: Tls,
    proxies: Proxies,
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
    /// The fetch through this proxy failed.
    Proxied(Box<str>, Box<FetchError>),
}

/// The result of one request.
enum Fetch {
    Document(Fetched),
    /// A redirect, with its target.
    Elsewhere(Box<str>),
}

/// The parts of a fetch that its redirects, which stay on one origin, have in common.
#[derive(Clone, Copy)]
struct Way<'a> {
    bounds: Bounds,
    proxy: Option<&'a Proxy>,
    authorization: Option<&'a HeaderValue>,
}

impl Client {
    /// Returns a client that connects directly, with this TLS configuration.
    #[must_use]
    pub fn new(tls: Tls) -> Self {
        Self {
            tls,
            proxies: Proxies::none(),
        }
    }

    /// Returns a client that trusts these PEM certificates, or else the roots of the system, and
    /// connects through the proxies that `proxies` has for a host.
    ///
    /// # Errors
    /// Returns a [`TlsError`] if a certificate is malformed.
    pub fn through(roots: Option<&str>, proxies: Proxies) -> Result<Self, TlsError> {
        let tls = roots.map_or_else(|| Ok(Tls::system()), Tls::with_roots)?;
        Ok(Self { tls, proxies })
    }

    /// Fetches a document.
    ///
    /// # Errors
    /// Returns a [`FetchError`] if there is none within the bounds.
    pub async fn get(&self, url: &Url, bounds: Bounds) -> Result<Fetched, FetchError> {
        self.get_as(url, bounds, None).await
    }

    /// Fetches a document with this value of `Authorization`, which is sent over TLS or to this
    /// machine only.
    ///
    /// # Errors
    /// Returns a [`FetchError`] if there is none within the bounds.
    pub async fn get_as(
        &self,
        url: &Url,
        bounds: Bounds,
        authorization: Option<&HeaderValue>,
    ) -> Result<Fetched, FetchError> {
        let way = Way {
            bounds: Bounds {
                allow_http: bounds.allow_http && authorization.is_none(),
                ..bounds
            },
            proxy: self.proxies.find(url),
            authorization,
        };
        let fetched = timeout(bounds.timeout, self.follow(url, way))
            .await
            .unwrap_or(Err(FetchError::Timeout));
        fetched.map_err(|error| match way.proxy {
            Some(proxy) => FetchError::Proxied(proxy.to_string().into(), Box::new(error)),
            None => error,
        })
    }

    async fn follow(&self, url: &Url, way: Way<'_>) -> Result<Fetched, FetchError> {
        let mut url = url.clone();
        for _ in 0..=MAX_REDIRECTS {
            match self.ask(&url, way).await? {
                Fetch::Document(fetched) => return Ok(fetched),
                Fetch::Elsewhere(location) => url = redirect(&url, &location)?,
            }
        }
        Err(FetchError::Redirects)
    }

    async fn ask(&self, url: &Url, way: Way<'_>) -> Result<Fetch, FetchError> {
        let (stream, nearness) = match way.proxy {
            Some(proxy) => self.connect_through(proxy, url, way.bounds).await?,
            None => self.connect(url, way.bounds).await?,
        };
        let answer = send(stream, Protocol::Http1, request(url, way)?)
            .await
            .map_err(FetchError::Http)?;
        match answer.status() {
            StatusCode::OK => document(answer, way.bounds, nearness).await,
            status if status.is_redirection() => location(answer.headers())
                .map(Fetch::Elsewhere)
                .ok_or(FetchError::Status(status)),
            status => Err(FetchError::Status(status)),
        }
    }

    /// Opens a connection to one of the addresses that may be dialled.
    async fn connect(&self, url: &Url, bounds: Bounds) -> Result<(Stream, Nearness), FetchError> {
        let addresses = resolve(url.host_name(), url.port())
            .await
            .map_err(FetchError::Dial)?;
        let addresses = bounds.permitted(url, &addresses)?;
        let timeouts = DialTimeouts::each(bounds.timeout);
        let stream = dial_addresses(url, &addresses, &self.tls, timeouts)
            .await
            .map_err(FetchError::Dial)?;
        let peer = stream.peer_address();
        let nearness = peer.map_or(Nearness::Public, |peer| Nearness::of(peer.ip()));
        Ok((stream, nearness))
    }

    /// Opens a connection through a proxy. The proxy resolves the name, so that its addresses are
    /// judged by the proxy; an address in the URL is judged here.
    async fn connect_through(
        &self,
        proxy: &Proxy,
        url: &Url,
        bounds: Bounds,
    ) -> Result<(Stream, Nearness), FetchError> {
        if !url.is_tls() && !bounds.allow_http {
            return Err(FetchError::Scheme);
        }
        let nearness = bounds.permit_proxied(url).await?;
        let stream = dial_through(proxy, url, &self.tls, bounds.timeout)
            .await
            .map_err(FetchError::Dial)?;
        Ok((stream, nearness))
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

    /// Checks a host that a proxy is asked for, and returns its nearness. The addresses behind a
    /// name are not known, and count as public.
    ///
    /// # Errors
    /// Returns [`FetchError::Near`] for an address or a name that is nearer than is allowed, and
    /// [`FetchError::Dial`] for a number that is no address.
    async fn permit_proxied(&self, url: &Url) -> Result<Nearness, FetchError> {
        let host = url.host_name();
        if !is_address(host) && !is_localhost(host) {
            return Ok(Nearness::Public);
        }
        // No query leaves the machine for these.
        let addresses = resolve(host, url.port()).await.map_err(FetchError::Dial)?;
        let mut nearest = Nearness::Public;
        for address in addresses {
            let nearness = Nearness::of(address.ip());
            if nearness > self.nearest {
                return Err(FetchError::Near(address.ip()));
            }
            nearest = nearest.max(nearness);
        }
        Ok(nearest)
    }
}

/// Returns whether a host is, or may be taken for, an address: its last label is a number.
fn is_address(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next();
    let last = last.unwrap_or_default();
    let is_hexadecimal = last.starts_with("0x") || last.starts_with("0X");
    host.contains(':') || is_hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns whether a name means this machine (RFC 6761 §6.3).
fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.');
    host == "localhost" || host.ends_with(".localhost")
}

/// Returns the request for a document.
fn request(url: &Url, way: Way<'_>) -> Result<Request<Full<Bytes>>, FetchError> {
    // Without a tunnel the proxy reads the request (RFC 9112 §3.2.2).
    let proxy = way.proxy.filter(|_| !url.is_tls());
    let mut request = match proxy {
        Some(_) => Request::get(url.to_string()),
        None => Request::get(url.path_and_query()),
    };
    if let Some(credentials) = proxy.and_then(Proxy::authorization) {
        request = request.header(PROXY_AUTHORIZATION, credentials);
    }
    if let Some(authorization) = way.authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    request
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

impl FetchError {
    /// Returns the error of the server, also if it was reached through a proxy.
    #[must_use]
    pub fn of_server(&self) -> &Self {
        match self {
            Self::Proxied(_, error) => error.of_server(),
            error => error,
        }
    }
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
            Self::Proxied(proxy, error) => write!(f, "through the proxy {proxy}: {error}"),
        }
    }
}

impl std::error::Error for FetchError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Dial(error) => Some(error),
            Self::Http(error) => Some(error),
            Self::Proxied(_, error) => Some(&**error),
            _ => None,
        }
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
