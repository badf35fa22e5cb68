//! The content of a refusal's answer: what the client may hear. The profile `rfc6750` answers with
//! it as it is.

use std::borrow::Cow;
use std::time::Duration;

use http::header::{ALLOW, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::form::{Form, set};
use super::refusal::{AmbiguityRefusal, Cause, join};
use crate::config::ErrorDetail;
use crate::lambda::AnswerError;
use crate::policy::{Denial, Scope};
use crate::route::Ambiguity;
use crate::telemetry::push_json;
use crate::token::{AcceptedKind, TokenError};
use crate::upstream::Fault;

/// The error code of RFC 6750 §3.1 for a token that does not authenticate its request.
const INVALID_TOKEN: &str = "invalid_token";
/// The sentence about each token that does not authenticate its request, where the client may not
/// hear why.
const NOT_VALID: &str = "The access token is not valid.";

/// The sentence of a challenge about a token without the scopes of its route.
const LACKS_SCOPES: &str = "The access token does not carry the scopes that this needs.";

/// The value of `Retry-After`, in seconds, when the gateway is overloaded.
const OVERLOADED_RETRY_AFTER: u64 = 1;

/// The content of a refusal's response: a status, a stable code, a sentence, and what the status
/// requires besides.
#[derive(Debug, PartialEq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) detail: Cow<'static, str>,
    challenge: Option<String>,
    allow: Option<String>,
    /// The value of `Retry-After`, in seconds.
    pub(super) retry_after: Option<u64>,
    missing: Vec<Scope>,
    /// The kind of token that sentences are about. It is that of the route, whatever token the
    /// request has: it tells nothing of the token.
    kind: AcceptedKind,
}

impl Problem {
    /// Returns what the client may hear of a refusal by a route that accepts this kind of token.
    pub(super) fn of(cause: &Cause, level: ErrorDetail, kind: AcceptedKind) -> Self {
        let problem = Self::new(cause, kind);
        match cause {
            Cause::Ambiguous { what, barred } => problem.ambiguous(*what, barred),
            Cause::Method { allow } => problem.method_not_allowed(allow),
            Cause::Token { error, needed } => problem.token(error, needed, level),
            Cause::Denied(Denial::Anonymous) => {
                problem.token(&TokenError::Missing(Box::default()), &[], level)
            }
            Cause::Denied(Denial::InsufficientScope { needed, missing }) => {
                problem.insufficient_scope(needed, missing, level)
            }
            // A 403 may have a challenge if other credentials would be enough (RFC 9110 §11.6.1): a
            // page that may use a token itself sends it in another place.
            Cause::CrossSite => problem.with_challenge(challenge(None, "", "")),
            Cause::Overloaded
            | Cause::Upstream(Fault::Overloaded | Fault::Full)
            | Cause::Function(AnswerError::Throttled) => {
                problem.with_retry_after(OVERLOADED_RETRY_AFTER)
            }
            _ => problem,
        }
    }

    /// Returns the answer of the profile `rfc6750`: a problem of RFC 9457. `metadata_url` lets a
    /// client find the authorization server of the resource (RFC 9728 §5.1).
    pub(super) fn form(self, metadata_url: Option<&str>, request_id: &HeaderValue) -> Form {
        let mut headers = HeaderMap::new();
        if let Some(allow) = &self.allow {
            set(&mut headers, ALLOW, allow);
        }
        if let Some(challenge) = &self.challenge {
            let challenge = with_metadata(challenge, metadata_url);
            set(&mut headers, WWW_AUTHENTICATE, &challenge);
        }
        Form {
            status: self.status,
            content_type: "application/problem+json",
            headers,
            body: self.body(request_id),
            message: self.detail,
        }
    }

    fn new(cause: &Cause, kind: AcceptedKind) -> Self {
        let reason = cause.reason();
        Self {
            status: reason.status(),
            code: reason.code(),
            detail: sentence(cause, kind),
            challenge: None,
            allow: None,
            retry_after: None,
            missing: Vec::new(),
            kind,
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

    fn ambiguous(self, what: Ambiguity, barred: &AmbiguityRefusal) -> Self {
        let why = match barred {
            AmbiguityRefusal::NotAllowed => "which is not allowed here",
            AmbiguityRefusal::NoRoute => "and nothing here answers to it",
            AmbiguityRefusal::Shadowed(_) => "and one of them is not allowed here",
        };
        Self {
            detail: format!("{} ({what}), {why}.", self.detail).into(),
            ..self
        }
    }

    fn method_not_allowed(self, allow: &str) -> Self {
        Self {
            detail: format!("{} {allow}.", self.detail).into(),
            allow: Some(allow.to_owned()),
            ..self
        }
    }

    /// Adds what RFC 6750 §3.1 demands of the answer to a token.
    fn token(self, error: &TokenError, needed: &[Scope], level: ErrorDetail) -> Self {
        let scope = join(needed);
        match error {
            // A client without credentials, or with some of another scheme, gets no error code,
            // only the scopes that it needs (RFC 6750 §3.1).
            TokenError::Missing(_) | TokenError::WrongScheme(_) => {
                self.with_challenge(challenge(None, "", &scope))
            }
            TokenError::Several => {
                let challenge = challenge(Some(self.code), &self.detail, &scope);
                self.with_challenge(challenge)
            }
            // Without keys there is no verdict: the caller's token may be valid.
            TokenError::KeysUnavailable { retry_after } => {
                self.with_retry_after(rounded_up(*retry_after))
            }
            _ if level == ErrorDetail::Full => {
                let challenge = challenge(Some(INVALID_TOKEN), &self.detail, &scope);
                self.with_challenge(challenge)
            }
            _ => Self {
                code: INVALID_TOKEN,
                detail: self.kind.in_place_of_access(NOT_VALID),
                ..self.with_challenge(challenge(Some(INVALID_TOKEN), "", &scope))
            },
        }
    }

    /// Adds the challenge and the scopes that the token lacks. The challenge names those that it
    /// has, too: a client that asks for exactly the scopes of the challenge keeps what it had.
    fn insufficient_scope(self, needed: &[Scope], missing: &[Scope], level: ErrorDetail) -> Self {
        let description = match level {
            ErrorDetail::Full => self.kind.in_place_of_access(LACKS_SCOPES),
            ErrorDetail::Minimal => "".into(),
        };
        let challenge = challenge(Some(self.code), &description, &join(needed));
        Self {
            detail: format!("{} {}.", self.detail, join(missing)).into(),
            missing: missing.to_vec(),
            ..self.with_challenge(challenge)
        }
    }

    /// Writes a problem of RFC 9457 §3 as JSON, with extension members: `code` is stable, `detail`
    /// is for people.
    ///
    /// A refused client may send requests at a high rate, so the body is written by hand: a
    /// serializer takes twice as long.
    fn body(&self, request_id: &HeaderValue) -> Vec<u8> {
        let mut body = Vec::with_capacity(BODY_CAPACITY);
        let title = self.status.canonical_reason().unwrap_or("Error");
        body.extend_from_slice(br#"{"type":"about:blank","title":"#);
        push_json(&mut body, title);
        body.extend_from_slice(br#","status":"#);
        body.extend_from_slice(self.status.as_str().as_bytes());
        body.extend_from_slice(br#","detail":"#);
        push_json(&mut body, &self.detail);
        body.extend_from_slice(br#","code":"#);
        push_json(&mut body, self.code);
        if !self.missing.is_empty() {
            body.extend_from_slice(br#","missing_scopes":"#);
            push_scopes(&mut body, &self.missing);
        }
        body.extend_from_slice(br#","request_id":"#);
        push_json(&mut body, request_id.to_str().unwrap_or_default());
        body.extend_from_slice(b"}\n");
        body
    }
}

/// Returns the client's sentence about a cause, or the fixed beginning of it.
fn sentence(cause: &Cause, kind: AcceptedKind) -> Cow<'static, str> {
    match cause {
        // The signature has verified: the client may hear what the entry of its issuer accepts.
        Cause::Token {
            error: TokenError::NotAccessToken(other),
            ..
        } => format!("The token is {}.", other.accepted.contrary()).into(),
        _ => kind.in_place_of_access(cause.reason().client()),
    }
}

/// Adds the URL of the metadata to a challenge: the metadata lets a client find its authorization
/// server (RFC 9728 §5.1).
fn with_metadata(challenge: &str, metadata_url: Option<&str>) -> String {
    match metadata_url {
        Some(url) => [challenge, r#", resource_metadata=""#, url, "\""].concat(),
        None => challenge.to_owned(),
    }
}

/// The initial capacity of a problem's body, in bytes: enough for most.
const BODY_CAPACITY: usize = 384;

/// Writes a list of scopes as JSON.
fn push_scopes(body: &mut Vec<u8>, scopes: &[Scope]) {
    for (index, scope) in scopes.iter().enumerate() {
        body.push(if index == 0 { b'[' } else { b',' });
        push_json(body, scope.as_str());
    }
    body.push(b']');
}

/// Returns whole seconds, rounded up: an earlier retry would meet the same state (RFC 9110
/// §10.2.3).
fn rounded_up(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
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
    use crate::clock::UnixTime;
    use crate::decision::Reason;
    use crate::token::fixture::{FOUND, WANTED, has_texts, is_unverified, token_errors};
    use crate::token::{KindFault, OtherKind};

    fn scopes(text: &str) -> Vec<Scope> {
        text.split(' ')
            .map(|scope| Scope::parse(scope).unwrap())
            .collect()
    }

    fn refused(error: TokenError) -> Problem {
        Problem::of(
            &Cause::Token {
                error,
                needed: scopes("a b"),
            },
            ErrorDetail::Full,
            AcceptedKind::Access,
        )
    }

    #[test]
    fn challenges_are_those_of_rfc_6750() {
        let missing = refused(TokenError::Missing(Box::default()));
        assert_eq!(missing.status, 401);
        assert_eq!(
            missing.challenge.as_deref(),
            Some(r#"Bearer realm="scopegate", scope="a b""#)
        );
        let at = UnixTime(0);
        let expired = refused(TokenError::Expired { at, now: at });
        assert_eq!(expired.status, 401);
        assert_eq!(
            expired.challenge.as_deref(),
            Some(
                r#"Bearer realm="scopegate", error="invalid_token", error_description="The access token has expired.", scope="a b""#
            )
        );
        assert_eq!(refused(TokenError::Several).status, 400);
        let denied = Problem::of(
            &Cause::Denied(Denial::InsufficientScope {
                needed: scopes("a b"),
                missing: scopes("b"),
            }),
            ErrorDetail::Full,
            AcceptedKind::Access,
        );
        assert_eq!(denied.status, 403);
        assert!(denied.challenge.unwrap().ends_with(r#", scope="a b""#));
        assert_eq!(denied.missing, scopes("b"));
    }

    #[test]
    fn until_the_signature_has_verified_all_errors_have_one_wording() {
        let first = refused(TokenError::Opaque);
        let (mut before, mut after) = (0, 0);
        for error in token_errors() {
            match error {
                TokenError::Missing(_) | TokenError::WrongScheme(_) | TokenError::Several => {}
                TokenError::KeysUnavailable { .. } => {}
                _ if is_unverified(&error) => {
                    before += 1;
                    assert_eq!(refused(error.clone()), first, "{error:?}");
                }
                _ => {
                    after += 1;
                    assert_ne!(refused(error.clone()), first, "{error:?}");
                }
            }
        }
        assert!(before >= 9 && after >= 8, "{before} {after}");
    }

    #[test]
    fn a_sentence_is_about_the_kind_of_token_that_the_route_accepts() {
        let denied = || {
            Cause::Denied(Denial::InsufficientScope {
                needed: scopes("a"),
                missing: scopes("a"),
            })
        };
        let errors = token_errors().into_iter().map(|error| Cause::Token {
            error,
            needed: scopes("a"),
        });
        for cause in errors.chain([denied(), Cause::CrossSite]) {
            // This one is about the entry of the token's issuer.
            let is_of_entry = cause.reason() == Reason::NotAnAccessToken;
            for level in [ErrorDetail::Full, ErrorDetail::Minimal] {
                for kind in [AcceptedKind::Id, AcceptedKind::Any] {
                    let Problem {
                        detail, challenge, ..
                    } = Problem::of(&cause, level, kind);
                    let said = format!("{detail} {}", challenge.unwrap_or_default());
                    let is_kept = is_of_entry && level == ErrorDetail::Full;
                    assert_eq!(said.contains("access token"), is_kept, "{said}");
                }
            }
        }
    }

    #[test]
    fn a_token_of_another_kind_is_told_what_its_issuer_s_entry_accepts() {
        for (accepted, expected) in [
            (AcceptedKind::Access, "The token is not an access token."),
            (AcceptedKind::Id, "The token is not an ID token."),
            (
                AcceptedKind::Any,
                "The token is neither an access token nor an ID token.",
            ),
        ] {
            let fault = KindFault::Logout;
            let other = OtherKind { accepted, fault };
            let refused = refused(TokenError::NotAccessToken(Box::new(other)));
            assert_eq!(refused.detail, expected);
            assert!(refused.challenge.unwrap().contains(expected));
        }
    }

    #[test]
    fn a_credential_of_another_scheme_is_answered_like_none() {
        for error in token_errors() {
            if matches!(error, TokenError::WrongScheme(_)) {
                assert_eq!(refused(error), refused(TokenError::Missing(Box::default())));
            }
        }
    }

    #[test]
    fn a_client_never_hears_the_values_of_a_token() {
        for error in token_errors() {
            let refused = refused(error.clone());
            let sent = refused.body(&HeaderValue::from_static("id-1"));
            let sent = String::from_utf8(sent).unwrap() + &refused.challenge.unwrap_or_default();
            assert!(!sent.contains(FOUND) && !sent.contains(WANTED), "{sent}");
            let said = error.to_string();
            let has_values = said.contains(FOUND) || said.contains(WANTED);
            assert_eq!(has_values, has_texts(&error), "{said}");
        }
    }

    #[test]
    fn who_wants_to_tell_less_tells_the_code_alone() {
        for error in token_errors() {
            if matches!(
                error,
                TokenError::Missing(_)
                    | TokenError::WrongScheme(_)
                    | TokenError::Several
                    | TokenError::KeysUnavailable { .. }
            ) {
                continue;
            }
            let cause = Cause::Token {
                error: error.clone(),
                needed: scopes("a"),
            };
            let refused = Problem::of(&cause, ErrorDetail::Minimal, AcceptedKind::Access);
            assert_eq!(refused.code, "invalid_token");
            let expected = r#"Bearer realm="scopegate", error="invalid_token", scope="a""#;
            assert_eq!(refused.challenge.as_deref(), Some(expected), "{error:?}");
        }
        let denied = Cause::Denied(Denial::InsufficientScope {
            needed: scopes("b"),
            missing: scopes("b"),
        });
        let expected = r#"Bearer realm="scopegate", error="insufficient_scope", scope="b""#;
        assert_eq!(
            Problem::of(&denied, ErrorDetail::Minimal, AcceptedKind::Access)
                .challenge
                .as_deref(),
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
            needed: scopes("a b c"),
            missing: scopes("b c"),
        });
        let url = "https://api.example.com/.well-known/oauth-protected-resource";
        let problem = Problem::of(&cause, ErrorDetail::Full, AcceptedKind::Access);
        let form = problem.form(Some(url), &HeaderValue::from_static("id-1"));
        let challenge = form.headers[WWW_AUTHENTICATE].to_str().unwrap();
        assert!(
            challenge.ends_with(&format!(r#", resource_metadata="{url}""#)),
            "{challenge}"
        );
        let body: serde_json::Value = serde_json::from_slice(&form.body).unwrap();
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
        assert_eq!(form.content_type, "application/problem+json");
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
            let problem = Problem {
                detail: detail.into(),
                ..Problem::new(&Cause::NotFound, AcceptedKind::Any)
            };
            let body = problem.body(&HeaderValue::from_static("id-1"));
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(
                (&body["detail"], body.get("missing_scopes")),
                (&detail.into(), None)
            );
        }
    }
}
