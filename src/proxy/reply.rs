//! The responses to refused requests: the one map from causes to HTTP.
//!
//! A response never repeats the token. Until the signature has verified, every error of a token has
//! the same wording. After that the caller has shown that the token is genuine, and learns which
//! check failed (requirements.md#t20).

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::body::ReplySource;
use super::refusal::join;
use super::{Barred, Cause, Refusal};
use crate::config::ErrorDetail;
use crate::policy::{Denial, Scope};
use crate::snapshot::{Resource, Snapshot};
use crate::telemetry::push_json;
use crate::token::{Rejection, TokenError};
use crate::upstream::Fault;

/// The value of `Retry-After`, in seconds, when the gateway is overloaded.
const OVERLOADED_RETRY_AFTER: u64 = 1;

/// The content of a refusal's response: a status, a stable code, a sentence, and what the status
/// requires besides.
#[derive(Debug, PartialEq)]
struct Reply {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    challenge: Option<String>,
    allow: Option<String>,
    retry_after: Option<u64>,
    missing: Vec<Scope>,
}

impl Reply {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        let (challenge, allow, retry_after, missing) = (None, None, None, Vec::new());
        Self {
            status,
            code,
            detail: detail.into(),
            challenge,
            allow,
            retry_after,
            missing,
        }
    }
}

/// Returns the response to a refused request.
#[must_use]
pub fn to(snapshot: &Snapshot, refusal: &Refusal, request_id: &HeaderValue) -> Response<Bytes> {
    let reply = reply(&refusal.cause, snapshot.config.errors);
    let mut response = respond(reply, snapshot.metadata_url(refusal.route), request_id);
    if refusal.closes() {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Returns the sentence that a refused client gets.
pub(super) fn detail(snapshot: &Snapshot, refusal: &Refusal) -> String {
    reply(&refusal.cause, snapshot.config.errors)
        .detail
        .into_owned()
}

/// Returns the response to a preflight, which has header fields alone.
pub(super) fn preflight(headers: HeaderMap, request_id: &HeaderValue) -> Response<ReplySource> {
    let mut response = Response::new(ReplySource::Own(None));
    *response.status_mut() = StatusCode::NO_CONTENT;
    *response.headers_mut() = headers;
    response
        .headers_mut()
        .insert(super::headers::REQUEST_ID, request_id.clone());
    response
}

fn respond(reply: Reply, metadata_url: Option<&str>, request_id: &HeaderValue) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(problem(&reply, request_id)));
    *response.status_mut() = reply.status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    let told = |challenge: String| match metadata_url {
        // The metadata lets a client find its authorization server (RFC 9728 §5.1).
        Some(url) => [&challenge, r#", resource_metadata=""#, url, "\""].concat(),
        None => challenge,
    };
    set(headers, WWW_AUTHENTICATE, reply.challenge.map(told));
    set(headers, ALLOW, reply.allow);
    set(
        headers,
        RETRY_AFTER,
        reply.retry_after.map(|seconds| seconds.to_string()),
    );
    response
}

/// The initial capacity of a problem's body, in bytes: enough for most.
const PROBLEM: usize = 384;

/// Writes a problem of RFC 9457 §3 as JSON, with extension members: `code` is stable, `detail` is
/// for people.
///
/// A refused client may send requests at a high rate, so the body is written by hand: a serializer
/// takes twice as long.
fn problem(reply: &Reply, request_id: &HeaderValue) -> Vec<u8> {
    let mut body = Vec::with_capacity(PROBLEM);
    body.extend_from_slice(br#"{"type":"about:blank","title":"#);
    push_json(
        &mut body,
        reply.status.canonical_reason().unwrap_or("Error"),
    );
    body.extend_from_slice(br#","status":"#);
    body.extend_from_slice(reply.status.as_str().as_bytes());
    body.extend_from_slice(br#","detail":"#);
    push_json(&mut body, &reply.detail);
    body.extend_from_slice(br#","code":"#);
    push_json(&mut body, reply.code);
    for (index, scope) in reply.missing.iter().enumerate() {
        body.extend_from_slice(if index == 0 {
            br#","missing_scopes":["#
        } else {
            b","
        });
        push_json(&mut body, scope.as_str());
    }
    body.extend_from_slice(if reply.missing.is_empty() { b"" } else { b"]" });
    body.extend_from_slice(br#","request_id":"#);
    push_json(&mut body, request_id.to_str().unwrap_or_default());
    body.extend_from_slice(b"}\n");
    body
}

/// Returns the metadata of a protected resource. The metadata is public, so browsers may read it
/// from any origin.
pub(super) fn metadata(resource: &Resource, request_id: &HeaderValue) -> Response<ReplySource> {
    let mut response = Response::new(ReplySource::Own(Some(resource.metadata.clone())));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(
        CACHE_CONTROL,
        HeaderValue::from_static("public, max-age=300"),
    );
    headers.insert(super::headers::REQUEST_ID, request_id.clone());
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    response
}

fn set(headers: &mut HeaderMap, name: http::HeaderName, value: Option<String>) {
    if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
        headers.insert(name, value);
    }
}

fn reply(cause: &Cause, told: ErrorDetail) -> Reply {
    use crate::route::TargetError as T;
    use StatusCode as S;
    match cause {
        Cause::Target(T::TooLong) => Reply::new(
            S::URI_TOO_LONG,
            "target_too_long",
            "The request target is too long.",
        ),
        Cause::Target(T::Form) => Reply::new(
            S::BAD_REQUEST,
            "malformed_target",
            "The request target is not a path of this server.",
        ),
        Cause::Target(T::Host) => Reply::new(
            S::BAD_REQUEST,
            "invalid_host",
            "The Host field is missing, repeated or invalid.",
        ),
        Cause::Ambiguous { what, barred } => {
            let why = match barred {
                Barred::NotAllowed => "which is not allowed here",
                Barred::NoRoute => "and nothing here answers to it",
                Barred::Shadowed(_) => "and one of them is not allowed here",
            };
            Reply::new(
                S::BAD_REQUEST,
                "ambiguous_path",
                format!("The path can be read in more than one way ({what}), {why}."),
            )
        }
        Cause::Shadowed { .. } => Reply::new(
            S::NOT_FOUND,
            "shadowed_path",
            "No route serves this spelling of the path.",
        ),
        Cause::Misdirected => Reply::new(
            S::MISDIRECTED_REQUEST,
            "misdirected",
            "This connection is for another host; open one for this host.",
        ),
        Cause::NotFound => Reply::new(S::NOT_FOUND, "no_route", "There is nothing at this path."),
        Cause::Method { allow } => Reply {
            allow: Some(allow.to_string()),
            ..Reply::new(
                S::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                format!("This path answers to {allow}."),
            )
        },
        Cause::Token { rejection, needed } => token(rejection, needed, told),
        // A 403 may have a challenge if other credentials would be enough (RFC 9110 §11.6.1): a
        // page that may use a token itself sends it in another place.
        Cause::CrossSite => Reply {
            challenge: Some(challenge(None, "", "")),
            ..Reply::new(
                S::FORBIDDEN,
                "cross_site_request",
                "The access token is in a cookie, and pages of this origin may not use it here.",
            )
        },
        Cause::Denied(Denial::Anonymous) => token(&TokenError::Missing.into(), &[], told),
        Cause::Denied(Denial::InsufficientScope { missing, .. }) => {
            insufficient_scope(missing, told)
        }
        Cause::Framing => Reply::new(
            S::BAD_REQUEST,
            "invalid_framing",
            "The request uses a transfer coding other than chunked.",
        ),
        Cause::Padded => Reply::new(
            S::BAD_REQUEST,
            "malformed_field",
            "A field of the request begins or ends with white space.",
        ),
        Cause::BodyMalformed | Cause::BodyCut => Reply::new(
            S::BAD_REQUEST,
            "malformed_body",
            "The request body broke its framing, or ended before its end.",
        ),
        Cause::BodyTooLarge => Reply::new(
            S::PAYLOAD_TOO_LARGE,
            "body_too_large",
            "The request body is longer than is allowed here.",
        ),
        Cause::BodyStalled => Reply::new(
            S::REQUEST_TIMEOUT,
            "body_timeout",
            "The request body stopped coming.",
        ),
        Cause::Fields => Reply::new(
            S::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "too_many_fields",
            "The request has more fields than are allowed here.",
        ),
        Cause::Overloaded => Reply {
            retry_after: Some(OVERLOADED_RETRY_AFTER),
            ..Reply::new(S::SERVICE_UNAVAILABLE, "overloaded", "The gateway is busy.")
        },
        Cause::Deadline(_) => Reply::new(
            S::GATEWAY_TIMEOUT,
            "request_timeout",
            "The request took too long.",
        ),
        Cause::Upgrade => Reply::new(
            S::NOT_IMPLEMENTED,
            "upgrade_not_allowed",
            "There is no WebSocket at this path.",
        ),
        Cause::Upstream(fault) if fault.is_timeout() => Reply::new(
            S::GATEWAY_TIMEOUT,
            "upstream_timeout",
            "The upstream did not answer in time.",
        ),
        Cause::Upstream(Fault::Overloaded | Fault::Full) => Reply {
            retry_after: Some(1),
            ..Reply::new(
                S::SERVICE_UNAVAILABLE,
                "upstream_overloaded",
                "Too many requests wait for the upstream; try again later.",
            )
        },
        Cause::Defect => Reply::new(
            S::INTERNAL_SERVER_ERROR,
            "internal_error",
            "The gateway failed.",
        ),
        Cause::Upstream(_) => Reply::new(
            S::BAD_GATEWAY,
            "upstream_failed",
            "The upstream did not answer.",
        ),
    }
}

/// Returns the response to an error of a token, with the error code and the status of RFC 6750
/// §3.1.
fn token(rejection: &Rejection, needed: &[Scope], told: ErrorDetail) -> Reply {
    let error = rejection.error;
    let scope = join(needed);
    match error {
        // A client without credentials gets no error code, only the scopes that it needs (RFC 6750
        // §3.1).
        TokenError::Missing => Reply {
            challenge: Some(challenge(None, "", &scope)),
            ..Reply::new(
                StatusCode::UNAUTHORIZED,
                "missing_token",
                "This needs an access token, and the request has none.",
            )
        },
        TokenError::Several => {
            let detail = "The request holds more than one access token.";
            Reply {
                challenge: Some(challenge(Some("invalid_request"), detail, &scope)),
                ..Reply::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
            }
        }
        // Without keys there is no verdict: the caller's token may be valid.
        TokenError::KeysUnavailable { retry_after } => Reply {
            // Whole seconds, rounded up: an earlier retry would meet the same state (RFC 9110
            // §10.2.3).
            retry_after: Some(retry_after.as_secs() + u64::from(retry_after.subsec_nanos() > 0)),
            ..Reply::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "keys_unavailable",
                "The token cannot be verified now: its issuer's keys cannot be had.",
            )
        },
        _ => {
            let (code, detail) = if error.is_genuine() && told == ErrorDetail::Full {
                (error.name(), sentence(error))
            } else {
                ("invalid_token", "The access token is not valid.")
            };
            let description = if told == ErrorDetail::Full {
                detail
            } else {
                ""
            };
            Reply {
                challenge: Some(challenge(Some("invalid_token"), description, &scope)),
                ..Reply::new(StatusCode::UNAUTHORIZED, code, detail)
            }
        }
    }
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

fn insufficient_scope(missing: &[Scope], told: ErrorDetail) -> Reply {
    let scope = join(missing);
    let description = match told {
        ErrorDetail::Full => "The access token does not carry the scopes that this needs.",
        ErrorDetail::Minimal => "",
    };
    Reply {
        challenge: Some(challenge(Some("insufficient_scope"), description, &scope)),
        missing: missing.to_vec(),
        ..Reply::new(
            StatusCode::FORBIDDEN,
            "insufficient_scope",
            format!("The access token lacks: {scope}."),
        )
    }
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
    use std::time::Duration;

    use super::*;

    fn scopes(text: &str) -> Vec<Scope> {
        text.split(' ')
            .map(|scope| Scope::parse(scope).unwrap())
            .collect()
    }

    fn refused(error: TokenError) -> Reply {
        reply(
            &Cause::Token {
                rejection: error.into(),
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
        let denied = reply(
            &Cause::Denied(Denial::InsufficientScope {
                missing: scopes("b"),
                issuer: "idp".into(),
            }),
            ErrorDetail::Full,
        );
        assert_eq!(denied.status, 403);
        assert!(denied.challenge.unwrap().ends_with(r#", scope="b""#));
    }

    #[test]
    fn until_the_signature_has_verified_all_faults_have_one_wording() {
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
                rejection: error.into(),
                needed: scopes("a"),
            };
            let reply = reply(&cause, ErrorDetail::Minimal);
            assert_eq!(reply.code, "invalid_token");
            let expected = r#"Bearer realm="scopegate", error="invalid_token", scope="a""#;
            assert_eq!(reply.challenge.as_deref(), Some(expected), "{error:?}");
        }
        let missing = scopes("b");
        let denied = Cause::Denied(Denial::InsufficientScope {
            missing,
            issuer: "idp".into(),
        });
        let expected = r#"Bearer realm="scopegate", error="insufficient_scope", scope="b""#;
        assert_eq!(
            reply(&denied, ErrorDetail::Minimal).challenge.as_deref(),
            Some(expected)
        );
    }

    #[test]
    fn keys_that_cannot_be_had_are_not_the_callers_fault() {
        let reply = refused(TokenError::KeysUnavailable {
            retry_after: Duration::from_millis(2500),
        });
        assert_eq!((reply.status.as_u16(), reply.retry_after), (503, Some(3)));
        assert_eq!(reply.challenge, None);
    }

    #[test]
    fn the_body_is_a_problem_with_a_stable_code() {
        let cause = Cause::Denied(Denial::InsufficientScope {
            missing: scopes("b c"),
            issuer: "idp".into(),
        });
        let url = "https://api.example.com/.well-known/oauth-protected-resource";
        let response = respond(
            reply(&cause, ErrorDetail::Full),
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
            let reply = Reply::new(StatusCode::NOT_FOUND, "no_route", detail);
            let body = problem(&reply, &HeaderValue::from_static("id-1"));
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(
                (&body["detail"], body.get("missing_scopes")),
                (&detail.into(), None)
            );
        }
    }
}
