//! The responses to refused requests: the one map from causes to HTTP.
//!
//! A response never repeats the token. Until the signature has verified, every error of a token has
//! the same wording. After that the caller has shown that the token is genuine, and learns which
//! check failed (requirements.md#t20).

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use super::refusal::join;
use super::{Barred, Cause, Refusal};
use crate::config::ErrorDetail;
use crate::policy::{Denial, Scope};
use crate::route::{Ambiguity, TargetError};
use crate::snapshot::{Resource, Route, Snapshot};
use crate::telemetry::push_json;
use crate::token::TokenError;
use crate::upstream::Fault;

/// The field with the id of a request, in requests and responses.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The value of `Retry-After`, in seconds, when the gateway is overloaded.
const OVERLOADED_RETRY_AFTER: u64 = 1;

/// The content of a refusal's response: a status, a stable code, a sentence, and what the status
/// requires besides.
#[derive(Debug, PartialEq)]
struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    challenge: Option<String>,
    allow: Option<String>,
    /// The value of `Retry-After`, in seconds.
    retry_after: Option<u64>,
    missing: Vec<Scope>,
}

impl Problem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            challenge: None,
            allow: None,
            retry_after: None,
            missing: Vec::new(),
        }
    }

    fn with_challenge(self, challenge: String) -> Self {
        Self {
            challenge: Some(challenge),
            ..self
        }
    }

    fn with_retry_after(self, seconds: u64) -> Self {
        Self {
            retry_after: Some(seconds),
            ..self
        }
    }
}

/// Returns the response to a refused request.
#[must_use]
pub fn to(snapshot: &Snapshot, refusal: &Refusal<'_>, request_id: &HeaderValue) -> Response<Bytes> {
    let problem = problem(&refusal.cause, snapshot.config.errors);
    let metadata_url = match refusal.route {
        Some(route) => snapshot.metadata_url(route),
        None => None,
    };
    let mut response = respond(problem, metadata_url, request_id);
    if refusal.cause.closes() {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// Returns the sentence that a refused client gets.
pub(crate) fn detail(snapshot: &Snapshot, refusal: &Refusal<'_>) -> String {
    let problem = problem(&refusal.cause, snapshot.config.errors);
    problem.detail.into_owned()
}

/// An answer of the gateway itself that is no refusal.
#[derive(Debug)]
pub enum OwnAnswer<'s> {
    /// The metadata of a protected resource (RFC 9728 §3).
    Metadata(&'s Resource),
    /// The answer to a browser's preflight for another request.
    Preflight {
        /// The route that the other request would match.
        route: &'s Route,
        /// The header fields of the response.
        headers: HeaderMap,
    },
}

impl<'s> OwnAnswer<'s> {
    /// Returns the route that the answer is about.
    #[must_use]
    pub fn route(&self) -> Option<&'s Route> {
        match self {
            Self::Metadata(_) => None,
            Self::Preflight { route, .. } => Some(route),
        }
    }
}

/// Returns the response that is an answer of the gateway itself; `None` for an empty body.
pub(crate) fn own(answer: OwnAnswer<'_>, request_id: &HeaderValue) -> Response<Option<Bytes>> {
    let mut response = match answer {
        OwnAnswer::Metadata(resource) => metadata(resource),
        OwnAnswer::Preflight { headers, .. } => preflight(headers),
    };
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, request_id.clone());
    response
}

/// Returns the response to a preflight, which has header fields alone.
fn preflight(headers: HeaderMap) -> Response<Option<Bytes>> {
    let mut response = Response::new(None);
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.headers_mut() = headers;
    response
}

fn respond(
    problem: Problem,
    metadata_url: Option<&str>,
    request_id: &HeaderValue,
) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body(&problem, request_id)));
    *response.status_mut() = problem.status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(challenge) = problem.challenge {
        let challenge = match metadata_url {
            // The metadata lets a client find its authorization server (RFC 9728 §5.1).
            Some(url) => [&challenge, r#", resource_metadata=""#, url, "\""].concat(),
            None => challenge,
        };
        set(headers, WWW_AUTHENTICATE, challenge);
    }
    if let Some(allow) = problem.allow {
        set(headers, ALLOW, allow);
    }
    if let Some(seconds) = problem.retry_after {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        headers.insert(name, value);
    }
}

/// The initial capacity of a problem's body, in bytes: enough for most.
const BODY_CAPACITY: usize = 384;

/// Writes a problem of RFC 9457 §3 as JSON, with extension members: `code` is stable, `detail` is
/// for people.
///
/// A refused client may send requests at a high rate, so the body is written by hand: a serializer
/// takes twice as long.
fn body(problem: &Problem, request_id: &HeaderValue) -> Vec<u8> {
    let mut body = Vec::with_capacity(BODY_CAPACITY);
    let title = problem.status.canonical_reason().unwrap_or("Error");
    body.extend_from_slice(br#"{"type":"about:blank","title":"#);
    push_json(&mut body, title);
    body.extend_from_slice(br#","status":"#);
    body.extend_from_slice(problem.status.as_str().as_bytes());
    body.extend_from_slice(br#","detail":"#);
    push_json(&mut body, &problem.detail);
    body.extend_from_slice(br#","code":"#);
    push_json(&mut body, problem.code);
    if !problem.missing.is_empty() {
        body.extend_from_slice(br#","missing_scopes":"#);
        push_scopes(&mut body, &problem.missing);
    }
    body.extend_from_slice(br#","request_id":"#);
    push_json(&mut body, request_id.to_str().unwrap_or_default());
    body.extend_from_slice(b"}\n");
    body
}

/// Writes a list of scopes as JSON.
fn push_scopes(body: &mut Vec<u8>, scopes: &[Scope]) {
    for (index, scope) in scopes.iter().enumerate() {
        body.push(if index == 0 { b'[' } else { b',' });
        push_json(body, scope.as_str());
    }
    body.push(b']');
}

/// Returns the metadata of a protected resource. The metadata is public, so browsers may read it
/// from any origin.
fn metadata(resource: &Resource) -> Response<Option<Bytes>> {
    let mut response = Response::new(Some(resource.metadata.clone()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=300"),
    );
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn problem(cause: &Cause, level: ErrorDetail) -> Problem {
    match cause {
        Cause::TargetTooLong => Problem::new(
            StatusCode::URI_TOO_LONG,
            "target_too_long",
            "The request target is too long.",
        ),
        Cause::Target(error) => target(error),
        Cause::Ambiguous { what, barred } => ambiguous(*what, barred),
        Cause::Shadowed { .. } => Problem::new(
            StatusCode::NOT_FOUND,
            "shadowed_path",
            "No route serves this spelling of the path.",
        ),
        Cause::Misdirected => Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected",
            "This connection is for another host; open one for this host.",
        ),
        Cause::NotFound => Problem::new(
            StatusCode::NOT_FOUND,
            "no_route",
            "There is nothing at this path.",
        ),
        Cause::Method { allow } => method_not_allowed(allow),
        Cause::Token { error, needed } => token(*error, needed, level),
        // A 403 may have a challenge if other credentials would be enough (RFC 9110 §11.6.1): a
        // page that may use a token itself sends it in another place.
        Cause::CrossSite => Problem::new(
            StatusCode::FORBIDDEN,
            "cross_site_request",
            "The access token is in a cookie, and pages of this origin may not use it here.",
        )
        .with_challenge(challenge(None, "", "")),
        Cause::Denied(Denial::Anonymous) => token(TokenError::Missing, &[], level),
        Cause::Denied(Denial::InsufficientScope { missing }) => insufficient_scope(missing, level),
        Cause::Framing => Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_framing",
            "The request uses a transfer coding other than chunked.",
        ),
        Cause::Padded => Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed_field",
            "A field of the request begins or ends with white space.",
        ),
        Cause::BodyMalformed | Cause::BodyCut => Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed_body",
            "The request body broke its framing, or ended before its end.",
        ),
        Cause::BodyTooLarge => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "The request body is longer than is allowed here.",
        ),
        Cause::BodyStalled => Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            "The request body stopped coming.",
        ),
        Cause::Fields => Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "too_many_fields",
            "The request has more fields than are allowed here.",
        ),
        Cause::Overloaded => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "The gateway is busy.",
        )
        .with_retry_after(OVERLOADED_RETRY_AFTER),
        Cause::Deadline(_) => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "request_timeout",
            "The request took too long.",
        ),
        Cause::Upgrade => Problem::new(
            StatusCode::NOT_IMPLEMENTED,
            "upgrade_not_allowed",
            "There is no WebSocket at this path.",
        ),
        Cause::Upstream(fault) => upstream(fault),
        Cause::Defect => Problem::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "The gateway failed.",
        ),
    }
}

fn target(error: &TargetError) -> Problem {
    match error {
        TargetError::Form => Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed_target",
            "The request target is not a path of this server.",
        ),
        TargetError::Host => Problem::new(
            StatusCode::BAD_REQUEST,
            "invalid_host",
            "The Host field is missing, repeated or invalid.",
        ),
    }
}

fn ambiguous(what: Ambiguity, barred: &Barred) -> Problem {
    let why = match barred {
        Barred::NotAllowed => "which is not allowed here",
        Barred::NoRoute => "and nothing here answers to it",
        Barred::Shadowed(_) => "and one of them is not allowed here",
    };
    Problem::new(
        StatusCode::BAD_REQUEST,
        "ambiguous_path",
        format!("The path can be read in more than one way ({what}), {why}."),
    )
}

fn method_not_allowed(allow: &str) -> Problem {
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("This path answers to {allow}."),
    );
    Problem {
        allow: Some(allow.to_owned()),
        ..problem
    }
}

fn upstream(fault: &Fault) -> Problem {
    match fault {
        fault if fault.is_timeout() => Problem::new(
            StatusCode::GATEWAY_TIMEOUT,
            "upstream_timeout",
            "The upstream did not answer in time.",
        ),
        Fault::Overloaded | Fault::Full => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "upstream_overloaded",
            "Too many requests wait for the upstream; try again later.",
        )
        .with_retry_after(OVERLOADED_RETRY_AFTER),
        _ => Problem::new(
            StatusCode::BAD_GATEWAY,
            "upstream_failed",
            "The upstream did not answer.",
        ),
    }
}

/// Returns the problem for an error of a token, with the error code and the status of RFC 6750
/// §3.1.
fn token(error: TokenError, needed: &[Scope], level: ErrorDetail) -> Problem {
    let scope = join(needed);
    match error {
        // A client without credentials gets no error code, only the scopes that it needs (RFC 6750
        // §3.1).
        TokenError::Missing => Problem::new(
            StatusCode::UNAUTHORIZED,
            "missing_token",
            "This needs an access token, and the request has none.",
        )
        .with_challenge(challenge(None, "", &scope)),
        TokenError::Several => {
            let detail = "The request holds more than one access token.";
            Problem::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
                .with_challenge(challenge(Some("invalid_request"), detail, &scope))
        }
        // Without keys there is no verdict: the caller's token may be valid.
        TokenError::KeysUnavailable { retry_after } => Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "keys_unavailable",
            "The token cannot be verified now: its issuer's keys are not available.",
        )
        .with_retry_after(rounded_up(retry_after)),
        _ => invalid_token(error, &scope, level),
    }
}

/// Returns whole seconds, rounded up: an earlier retry would meet the same state (RFC 9110
/// §10.2.3).
fn rounded_up(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

fn invalid_token(error: TokenError, scope: &str, level: ErrorDetail) -> Problem {
    let is_detailed = level == ErrorDetail::Full;
    let (code, detail) = if error.is_genuine() && is_detailed {
        (error.name(), sentence(error))
    } else {
        ("invalid_token", "The access token is not valid.")
    };
    let description = if is_detailed { detail } else { "" };
    Problem::new(StatusCode::UNAUTHORIZED, code, detail).with_challenge(challenge(
        Some("invalid_token"),
        description,
        scope,
    ))
}

fn sentence(error: TokenError) -> &'static str {
    match error {
        TokenError::Expired => "The access token has expired.",
        TokenError::NotYetValid => "The access token is not yet valid.",
        TokenError::Audience => "The access token is for another audience.",
        TokenError::Client => "The access token was issued to a client that may not use this API.",
        TokenError::NotAccessToken => "The token is not an access token.",
        TokenError::RequiredClaim => {
            "The access token does not have a claim that this API requires."
        }
        TokenError::SenderConstrained => {
            "The access token is bound to a key, and proof of possession is not supported here."
        }
        TokenError::ClientCertificate => {
            "The access token is bound to a client certificate that this connection does not have."
        }
        _ => "The access token is not valid.",
    }
}

fn insufficient_scope(missing: &[Scope], level: ErrorDetail) -> Problem {
    let scope = join(missing);
    let description = match level {
        ErrorDetail::Full => "The access token does not carry the scopes that this needs.",
        ErrorDetail::Minimal => "",
    };
    let detail = format!("The access token lacks: {scope}.");
    let problem = Problem::new(StatusCode::FORBIDDEN, "insufficient_scope", detail);
    Problem {
        missing: missing.to_vec(),
        ..problem
    }
    .with_challenge(challenge(Some("insufficient_scope"), description, &scope))
}

/// Returns a challenge of RFC 6750 §3. Nothing needs escaping: the descriptions are constants of
/// the gateway, and scopes hold no quotes and backslashes.
fn challenge(error: Option<&str>, description: &str, scope: &str) -> String {
    let parts = [
        [r#"Bearer realm="scopegate""#, "", ""],
        parameter(r#", error=""#, error.unwrap_or_default()),
        parameter(r#", error_description=""#, description),
        parameter(r#", scope=""#, scope),
    ];
    parts.as_flattened().concat()
}

/// Returns the three parts of a challenge's parameter; all are empty if it has no value.
fn parameter<'a>(start: &'a str, value: &'a str) -> [&'a str; 3] {
    if value.is_empty() {
        [""; 3]
    } else {
        [start, value, "\""]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> Vec<Scope> {
        text.split(' ')
            .map(|scope| Scope::parse(scope).unwrap())
            .collect()
    }

    fn refused(error: TokenError) -> Problem {
        problem(
            &Cause::Token {
                error,
                needed: scopes("a b"),
            },
            ErrorDetail::Full,
        )
    }

    #[test]
    fn challenges_are_those_of_rfc_6750() {
        let missing = refused(TokenError::Missing);
        assert_eq!(missing.status, 401);
        assert_eq!(
            missing.challenge.as_deref(),
            Some(r#"Bearer realm="scopegate", scope="a b""#)
        );
        let expired = refused(TokenError::Expired);
        assert_eq!(expired.status, 401);
        assert_eq!(
            expired.challenge.as_deref(),
            Some(
                r#"Bearer realm="scopegate", error="invalid_token", error_description="The access token has expired.", scope="a b""#
            )
        );
        assert_eq!(refused(TokenError::Several).status, 400);
        let denied = problem(
            &Cause::Denied(Denial::InsufficientScope {
                missing: scopes("b"),
            }),
            ErrorDetail::Full,
        );
        assert_eq!(denied.status, 403);
        assert!(denied.challenge.unwrap().ends_with(r#", scope="b""#));
    }

    #[test]
    fn until_the_signature_has_verified_all_errors_have_one_wording() {
        let first = refused(TokenError::Malformed);
        for error in [
            TokenError::TooLong,
            TokenError::Algorithm,
            TokenError::UnknownIssuer,
            TokenError::UnknownKey,
            TokenError::Signature,
        ] {
            assert_eq!(refused(error), first, "{error:?}");
        }
        assert_ne!(refused(TokenError::Audience), first);
    }

    #[test]
    fn who_wants_to_tell_less_tells_the_code_alone() {
        for error in [
            TokenError::Expired,
            TokenError::Audience,
            TokenError::Malformed,
        ] {
            let cause = Cause::Token {
                error,
                needed: scopes("a"),
            };
            let refused = problem(&cause, ErrorDetail::Minimal);
            assert_eq!(refused.code, "invalid_token");
            let expected = r#"Bearer realm="scopegate", error="invalid_token", scope="a""#;
            assert_eq!(refused.challenge.as_deref(), Some(expected), "{error:?}");
        }
        let missing = scopes("b");
        let denied = Cause::Denied(Denial::InsufficientScope { missing });
        let expected = r#"Bearer realm="scopegate", error="insufficient_scope", scope="b""#;
        assert_eq!(
            problem(&denied, ErrorDetail::Minimal).challenge.as_deref(),
            Some(expected)
        );
    }

    #[test]
    fn missing_keys_are_not_the_callers_fault() {
        let unavailable = refused(TokenError::KeysUnavailable {
            retry_after: Duration::from_millis(2500),
        });
        assert_eq!(
            (unavailable.status.as_u16(), unavailable.retry_after),
            (503, Some(3))
        );
        assert_eq!(unavailable.challenge, None);
    }

    #[test]
    fn the_body_is_a_problem_with_a_stable_code() {
        let cause = Cause::Denied(Denial::InsufficientScope {
            missing: scopes("b c"),
        });
        let url = "https://api.example.com/.well-known/oauth-protected-resource";
        let response = respond(
            problem(&cause, ErrorDetail::Full),
            Some(url),
            &HeaderValue::from_static("id-1"),
        );
        let challenge = response.headers()[WWW_AUTHENTICATE].to_str().unwrap();
        assert!(
            challenge.ends_with(&format!(r#", resource_metadata="{url}""#)),
            "{challenge}"
        );
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        // RFC 9457 §4.2.1: a problem without a type of its own has the title of its status.
        assert_eq!(
            (&body["type"], &body["title"]),
            (&"about:blank".into(), &"Forbidden".into())
        );
        assert_eq!(
            (&body["status"], &body["detail"]),
            (&403.into(), &"The access token lacks: b c.".into())
        );
        assert_eq!(body["code"], "insufficient_scope");
        assert_eq!(body["missing_scopes"], serde_json::json!(["b", "c"]));
        assert_eq!(body["request_id"], "id-1");
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json"
        );
    }

    #[test]
    fn a_detail_is_escaped_where_json_asks_for_it() {
        for detail in [
            "plain",
            "a \"quote\"",
            "back\\slash",
            "a\nline",
            "\u{7f} \u{e9} \u{2028}",
        ] {
            let problem = Problem::new(StatusCode::NOT_FOUND, "no_route", detail);
            let body = body(&problem, &HeaderValue::from_static("id-1"));
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(
                (&body["detail"], body.get("missing_scopes")),
                (&detail.into(), None)
            );
        }
    }
}
