//! The HTTP endpoints of the embedded issuer: tokens, metadata and keys.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA, SERVER, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Value, json};

use super::embedded::{EmbeddedIssuer, Grant};
use super::grant::{Parts, TokenRequest};
use super::grant_error::GrantError;
use crate::clock;

/// The `Server` field, by which `scopegate token` recognises a dev issuer.
pub const SERVER_NAME: &str = "scopegate-dev";
/// The largest body of a token request in bytes.
const BODY_BYTES: usize = 64 << 10;
/// The time limit for receiving that body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

const TOKEN: &str = "/oauth2/token";
const METADATA: &str = "/.well-known/openid-configuration";
const JWKS: &str = "/.well-known/jwks.json";

/// The issuers of the current configuration.
#[derive(Default)]
pub(super) struct Issuers(ArcSwap<Vec<Arc<EmbeddedIssuer>>>);

impl Issuers {
    pub(super) fn replace(&self, issuers: Vec<Arc<EmbeddedIssuer>>) {
        self.0.store(Arc::new(issuers));
    }

    /// Returns the issuer of a path that ends in this endpoint.
    fn of(&self, path: &str, endpoint: &str) -> Option<Arc<EmbeddedIssuer>> {
        self.at(path.strip_suffix(endpoint)?)
    }

    /// Returns the issuer of `/<name>`; the empty path is valid if there is only one.
    fn at(&self, prefix: &str) -> Option<Arc<EmbeddedIssuer>> {
        let issuers = self.0.load();
        if let ([only], "") = (issuers.as_slice(), prefix) {
            return Some(Arc::clone(only));
        }
        let name = percent_decode_str(prefix.strip_prefix('/')?)
            .decode_utf8()
            .ok()?;
        issuers.iter().find(|issuer| *issuer.name == *name).cloned()
    }

    fn names(&self) -> Vec<Arc<str>> {
        self.0
            .load()
            .iter()
            .map(|issuer| Arc::clone(&issuer.name))
            .collect()
    }
}

/// Answers one request. `base` is the URL that the issuers' paths start from.
pub(super) async fn answer<B>(
    issuers: Arc<Issuers>,
    base: Arc<str>,
    request: Request<B>,
) -> Response<Full<Bytes>>
where
    B: Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let path = request.uri().path();
    if let Some(issuer) = issuers.of(path, TOKEN) {
        if request.method() != Method::POST {
            return method_not_allowed(&[Method::POST]);
        }
        return match token(&issuer, request).await {
            Ok(grant) => granted(&grant),
            Err(error) => refused(&error),
        };
    }
    let document = if let Some(issuer) = issuers.of(path, METADATA) {
        issuer.metadata(&format!("{base}/{}", issuer.name))
    } else if let Some(issuer) = issuers.of(path, JWKS) {
        issuer.jwks()
    } else {
        return not_found(&issuers);
    };
    let allowed = [Method::GET, Method::HEAD];
    if allowed.contains(request.method()) {
        reply(StatusCode::OK, &document)
    } else {
        method_not_allowed(&allowed)
    }
}

async fn token<B>(issuer: &EmbeddedIssuer, request: Request<B>) -> Result<Grant, GrantError>
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
    issuer.grant(&request, clock::now().unix)
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
fn granted(grant: &Grant) -> Response<Full<Bytes>> {
    #[derive(Serialize)]
    struct TokenResponse<'a> {
        access_token: &'a str,
        expires_in: u64,
        token_type: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        scope: Option<&'a str>,
    }
    let answer = TokenResponse {
        access_token: &grant.access_token,
        expires_in: grant.expires_in,
        token_type: "Bearer",
        scope: grant.scope.as_deref(),
    };
    uncached(reply(StatusCode::OK, &answer))
}

/// Formats an error response (RFC 6749 §5.2).
fn refused(error: &GrantError) -> Response<Full<Bytes>> {
    let answer = json!({ "error": error.code(), "error_description": error.to_string() });
    let mut response = uncached(reply(error.status(), &answer));
    if error.status() == StatusCode::UNAUTHORIZED {
        let challenge =
            HeaderValue::from_static("Basic realm=\"scopegate dev\", charset=\"UTF-8\"");
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
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
    let answer = json!({ "error": "not_found", "token_endpoints": endpoints });
    reply(StatusCode::NOT_FOUND, &answer)
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
    headers.insert(SERVER, HeaderValue::from_static(SERVER_NAME));
    response
}
