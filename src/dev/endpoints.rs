//! The HTTP endpoints of the embedded issuer: codes, tokens, clients, metadata and keys.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, AUTHORIZATION, CACHE_CONTROL,
    CONTENT_TYPE, LOCATION, ORIGIN, PRAGMA, SERVER, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::authorization::{Context, authorize};
use super::embedded::{EmbeddedIssuer, TokenAnswer};
use super::grant::{Parts, TokenRequest};
use super::grant_error::GrantError;
use super::host::is_local;
use super::memory::Memory;
use super::metadata::{AUTHORIZE, JWKS, REGISTER, TOKEN, metadata};
use super::redirect::RedirectRules;
use super::registration::register;
use crate::clock;

/// The `Server` field, by which `scopegate token` recognises a dev issuer.
pub const SERVER_NAME: &str = "scopegate-dev";
/// The largest body of a request in bytes.
const BODY_BYTES: usize = 64 << 10;
/// The time limit for receiving that body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The names of the metadata: that of RFC 8414 §3 and that of OpenID Connect Discovery §4.
const METADATA: [&str; 2] = [
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
];

/// The characters of an issuer's name that stand for themselves in a URL.
const IN_NAME: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The issuers of the current configuration, and what they keep over reloads.
pub(super) struct Issuers {
    current: ArcSwap<Vec<Arc<EmbeddedIssuer>>>,
    memory: Mutex<Memory>,
    redirect_rules: RedirectRules,
    /// The URL that the issuers' paths start from.
    base: Box<str>,
}

/// An endpoint of an issuer.
#[derive(Clone, Copy)]
enum Endpoint {
    Token,
    Authorize,
    Register,
    Metadata,
    Jwks,
}

/// The endpoint that a request is for.
struct Found {
    endpoint: Endpoint,
    issuer: Arc<EmbeddedIssuer>,
    /// The URL of the issuer, as the client has it.
    url: String,
}

impl Endpoint {
    /// Returns the endpoint of a path, and the path of its issuer.
    fn of(path: &str) -> Option<(Self, &str)> {
        for (end, endpoint) in [
            (TOKEN, Self::Token),
            (AUTHORIZE, Self::Authorize),
            (REGISTER, Self::Register),
            (JWKS, Self::Jwks),
        ] {
            if let Some(prefix) = path.strip_suffix(end) {
                return Some((endpoint, prefix));
            }
        }
        for name in METADATA {
            // RFC 8414 §3.1 puts the name before the path of the issuer, OpenID Connect behind it.
            if let Some(prefix) = path.strip_suffix(name).or(path.strip_prefix(name)) {
                return Some((Self::Metadata, prefix));
            }
        }
        None
    }

    /// Returns whether any page may read the answers, which are the same for everybody.
    fn is_public(self) -> bool {
        matches!(self, Self::Metadata | Self::Jwks)
    }

    fn methods(self) -> &'static [Method] {
        match self {
            Self::Token | Self::Register => &[Method::POST],
            Self::Authorize | Self::Metadata | Self::Jwks => &[Method::GET, Method::HEAD],
        }
    }
}

impl Issuers {
    pub(super) fn new(base: &str, redirect_rules: RedirectRules) -> Self {
        Self {
            current: ArcSwap::default(),
            memory: Mutex::default(),
            redirect_rules,
            base: base.into(),
        }
    }

    pub(super) fn replace(&self, issuers: Vec<Arc<EmbeddedIssuer>>) {
        self.current.store(Arc::new(issuers));
    }

    /// Returns the URL of an issuer.
    pub(super) fn url_of(&self, name: &str) -> String {
        format!("{}/{}", self.base, utf8_percent_encode(name, IN_NAME))
    }

    fn find(&self, path: &str) -> Option<Found> {
        let (endpoint, prefix) = Endpoint::of(path)?;
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let issuer = self.at(prefix)?;
        let url = match prefix {
            "" => self.base.to_string(),
            _ => self.url_of(&issuer.name),
        };
        Some(Found {
            endpoint,
            issuer,
            url,
        })
    }

    /// Returns the issuer of `/<name>`; the empty path is valid if there is only one.
    fn at(&self, prefix: &str) -> Option<Arc<EmbeddedIssuer>> {
        let issuers = self.current.load();
        if let ([only], "") = (issuers.as_slice(), prefix) {
            return Some(Arc::clone(only));
        }
        let name = percent_decode_str(prefix.strip_prefix('/')?)
            .decode_utf8()
            .ok()?;
        issuers.iter().find(|issuer| *issuer.name == *name).cloned()
    }

    /// Returns the origin whose pages may read an answer.
    fn page(&self, origin: Option<HeaderValue>, is_public: bool) -> Option<HeaderValue> {
        if is_public {
            return Some(HeaderValue::from_static("*"));
        }
        let origin = origin?;
        let is_allowed = self.redirect_rules.allow_page(origin.to_str().ok()?);
        is_allowed.then_some(origin)
    }

    fn names(&self) -> Vec<Arc<str>> {
        let issuers = self.current.load();
        issuers
            .iter()
            .map(|issuer| Arc::clone(&issuer.name))
            .collect()
    }
}

/// Answers one request.
pub(super) async fn answer<B>(issuers: Arc<Issuers>, request: Request<B>) -> Response<Full<Bytes>>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let origin = request.headers().get(ORIGIN).cloned();
    let is_ours = is_local(&request);
    let found = match is_ours {
        true => issuers.find(request.uri().path()),
        false => None,
    };
    let is_public = found
        .as_ref()
        .is_some_and(|found| found.endpoint.is_public());
    let mut response = match found {
        None if !is_ours => misdirected(),
        _ if request.method() == Method::OPTIONS => preflight(),
        None => not_found(&issuers),
        Some(found) => {
            let methods = found.endpoint.methods();
            if methods.contains(request.method()) {
                found.answer(&issuers, request).await
            } else {
                method_not_allowed(methods)
            }
        }
    };
    let headers = response.headers_mut();
    headers.insert(SERVER, HeaderValue::from_static(SERVER_NAME));
    headers.insert(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = issuers.page(origin, is_public) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static("WWW-Authenticate");
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    response
}

impl Found {
    async fn answer<B>(&self, issuers: &Issuers, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match self.endpoint {
            Endpoint::Metadata => reply(StatusCode::OK, &metadata(&self.issuer, &self.url)),
            Endpoint::Jwks => reply(StatusCode::OK, &self.issuer.jwks()),
            Endpoint::Authorize => {
                let query = request.uri().query().unwrap_or_default();
                match self.authorize(issuers, query) {
                    Ok(location) => redirect(&location),
                    Err(error) => uncached(reply(StatusCode::BAD_REQUEST, &described(&error))),
                }
            }
            Endpoint::Token => match token(issuers, &self.issuer, request).await {
                Ok(granted) => token_response(&granted),
                Err(error) => refused(&error),
            },
            Endpoint::Register => match registered(issuers, request).await {
                Ok(client) => uncached(reply(StatusCode::CREATED, &client)),
                Err(error) => refused(&error),
            },
        }
    }

    fn authorize(&self, issuers: &Issuers, query: &str) -> Result<String, GrantError> {
        let context = Context {
            issuer: &self.issuer,
            issuer_url: &self.url,
            rules: &issuers.redirect_rules,
            now: clock::now().unix,
        };
        let mut memory = issuers
            .memory
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        authorize(&context, query, &mut memory)
    }
}

async fn token<B>(
    issuers: &Issuers,
    issuer: &EmbeddedIssuer,
    request: Request<B>,
) -> Result<TokenAnswer, GrantError>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (head, body) = request.into_parts();
    let body = read(body).await?;
    let authorization = head.headers.get_all(AUTHORIZATION).iter();
    let content_type = head.headers.get(CONTENT_TYPE);
    let request = TokenRequest::parse(&Parts {
        authorization: authorization.map(HeaderValue::as_bytes).collect(),
        content_type: content_type.and_then(|value| value.to_str().ok()),
        query: head.uri.query().unwrap_or_default(),
        body: &body,
    })?;
    let mut memory = issuers
        .memory
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    issuer.grant(&request, &mut memory, clock::now().unix)
}

async fn registered<B>(issuers: &Issuers, request: Request<B>) -> Result<Value, GrantError>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    // Another type is one that a page may send without asking first.
    if !request.headers().get(CONTENT_TYPE).is_some_and(is_json) {
        return Err(GrantError::RegistrationBody);
    }
    let body = read(request.into_body()).await?;
    let mut memory = issuers
        .memory
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    register(
        &body,
        &issuers.redirect_rules,
        &mut memory,
        clock::now().unix,
    )
}

fn is_json(content_type: &HeaderValue) -> bool {
    let text = content_type.to_str().unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

async fn read<B>(body: B) -> Result<Bytes, GrantError>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let body = Limited::new(body, BODY_BYTES).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(GrantError::BodyTooLarge),
        Ok(Err(_)) | Err(_) => Err(GrantError::BodyUnfinished),
    }
}

/// Formats a token response (RFC 6749 §5.1). The token comes first, so that `cut -d '"' -f 4`
/// extracts it.
fn token_response(granted: &TokenAnswer) -> Response<Full<Bytes>> {
    #[derive(Serialize)]
    struct TokenResponse<'a> {
        access_token: &'a str,
        expires_in: u64,
        token_type: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        scope: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        id_token: Option<&'a str>,
    }
    let answer = TokenResponse {
        access_token: &granted.access_token,
        expires_in: granted.expires_in,
        token_type: "Bearer",
        scope: granted.scope.as_deref(),
        id_token: granted.id_token.as_deref(),
    };
    uncached(reply(StatusCode::OK, &answer))
}

/// Returns the body of an error response (RFC 6749 §5.2).
fn described(error: &GrantError) -> Value {
    json!({ "error": error.code(), "error_description": error.to_string() })
}

/// Formats an error response.
fn refused(error: &GrantError) -> Response<Full<Bytes>> {
    let mut response = uncached(reply(error.status(), &described(error)));
    if error.status() == StatusCode::UNAUTHORIZED {
        let challenge =
            HeaderValue::from_static("Basic realm=\"scopegate dev\", charset=\"UTF-8\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// Sends the browser to a redirect URI (RFC 6749 §4.1.2).
fn redirect(location: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::FOUND;
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(LOCATION, location);
    }
    uncached(response)
}

/// Lets a page send any request.
fn preflight() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::NO_CONTENT;
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "*, Authorization"),
        (ACCESS_CONTROL_MAX_AGE, "300"),
    ] {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn uncached(mut response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

fn not_found(issuers: &Issuers) -> Response<Full<Bytes>> {
    let names = issuers.names();
    let mut endpoints = Vec::new();
    if names.len() == 1 {
        endpoints.push(TOKEN.to_owned());
    }
    for name in names {
        endpoints.push(format!("/{name}{TOKEN}"));
    }
    let mut answer = Map::new();
    answer.insert("error".into(), "not_found".into());
    if !endpoints.is_empty() {
        answer.insert("token_endpoints".into(), json!(endpoints));
    }
    reply(StatusCode::NOT_FOUND, &answer)
}

/// Refuses a host by which a page of any origin may have been led here.
fn misdirected() -> Response<Full<Bytes>> {
    let answer = json!({
        "error": "misdirected_request",
        "error_description": "ask the dev issuer by an IP address or localhost",
    });
    reply(StatusCode::MISDIRECTED_REQUEST, &answer)
}

fn method_not_allowed(allowed: &[Method]) -> Response<Full<Bytes>> {
    let names: Vec<_> = allowed.iter().map(Method::as_str).collect();
    let answer = json!({ "error": "method_not_allowed" });
    let mut response = reply(StatusCode::METHOD_NOT_ALLOWED, &answer);
    if let Ok(value) = HeaderValue::from_str(&names.join(", ")) {
        response.headers_mut().insert(ALLOW, value);
    }
    response
}

/// Returns a JSON response that ends in a line end, for terminals.
fn reply(status: StatusCode, answer: &impl Serialize) -> Response<Full<Bytes>> {
    let value = serde_json::to_string(answer).unwrap_or_else(|_| Value::Null.to_string());
    let mut response = Response::new(Full::from(value + "\n"));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/json;charset=UTF-8"),
    );
    response
}
