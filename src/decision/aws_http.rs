//! The answers of the profile `aws-http`: those of an HTTP API of Amazon API Gateway.
//!
//! The parameters of a challenge stand without commas between them. That is not the grammar of
//! RFC 9110 §11.6.1, so no other profile does the same. The field `apigw-requestid` is added where
//! the ids of a request are known.

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, StatusCode};

use super::form::{Form, set};
use super::problem::Problem;
use super::reason::Reason;
use super::refusal::{Cause, Refusal, join};
use crate::config::ErrorDetail;
use crate::token::{Malformation, TokenError};

/// The answer to a reason.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) status: StatusCode,
    pub(super) message: &'static str,
    challenge: Challenge,
}

/// The challenge of an answer.
#[derive(Clone, Copy)]
enum Challenge {
    None,
    /// `Bearer` alone.
    Bare,
    /// An error with this description; with the sentence of the gateway's own answer if it is
    /// empty.
    Error(&'static str, &'static str),
    /// The scopes that the route expects.
    Scopes,
}

/// The error of RFC 6750 §3.1 for a token that does not authenticate its request.
const INVALID_TOKEN: Challenge = Challenge::Error("invalid_token", "");

/// The challenge to a text that does not have the three parts of a token, which its sender can
/// count itself.
const SEGMENTS: Challenge = Challenge::Error(
    "invalid_token",
    "token contains an invalid number of segments",
);

const UNAUTHORIZED: Row = Row {
    status: StatusCode::UNAUTHORIZED,
    message: "Unauthorized",
    challenge: INVALID_TOKEN,
};

const FORBIDDEN: Row = Row {
    status: StatusCode::FORBIDDEN,
    message: "Forbidden",
    challenge: Challenge::Scopes,
};

const BAD_REQUEST: Row = plain(StatusCode::BAD_REQUEST, "Bad Request");

const fn plain(status: StatusCode, message: &'static str) -> Row {
    Row {
        status,
        message,
        challenge: Challenge::None,
    }
}

/// Returns the answer to a reason.
pub(super) fn row(reason: Reason) -> Row {
    match reason {
        Reason::MissingToken | Reason::WrongScheme => Row {
            challenge: Challenge::Bare,
            ..UNAUTHORIZED
        },
        Reason::SeveralTokens => Row {
            challenge: Challenge::Error("invalid_request", ""),
            ..UNAUTHORIZED
        },
        Reason::PlaceholderToken | Reason::OpaqueToken | Reason::EncryptedToken => Row {
            challenge: SEGMENTS,
            ..UNAUTHORIZED
        },
        Reason::TokenTooLong
        | Reason::MalformedToken
        | Reason::AlgorithmNotAllowed
        | Reason::UnknownIssuer
        | Reason::UnknownKey
        | Reason::BadSignature
        | Reason::TokenExpired
        | Reason::TokenNotYetValid
        | Reason::WrongClient
        | Reason::RequiredClaim
        | Reason::WrongClientCertificate
        | Reason::SenderConstrainedToken => UNAUTHORIZED,
        Reason::WrongAudience => Row {
            challenge: Challenge::Error(
                "invalid_token",
                "the token does not have a valid audience",
            ),
            ..UNAUTHORIZED
        },
        Reason::NotAnAccessToken | Reason::InsufficientScope => FORBIDDEN,
        Reason::CrossSiteRequest => Row {
            challenge: Challenge::Bare,
            ..FORBIDDEN
        },
        Reason::RouteDenied => plain(StatusCode::FORBIDDEN, "Forbidden"),
        Reason::NoRoute | Reason::ShadowedPath | Reason::MethodNotAllowed => {
            plain(StatusCode::NOT_FOUND, "Not Found")
        }
        Reason::AmbiguousPath
        | Reason::UnmappableRequest
        | Reason::MalformedTarget
        | Reason::InvalidHost
        | Reason::InvalidFraming
        | Reason::MalformedField
        | Reason::MalformedBody => BAD_REQUEST,
        Reason::TargetTooLong => plain(StatusCode::URI_TOO_LONG, "URI Too Long"),
        Reason::BodyTooLarge | Reason::EventTooLarge => {
            plain(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large")
        }
        Reason::BodyTimeout => plain(StatusCode::REQUEST_TIMEOUT, "Request Timeout"),
        // Clients open another connection after this status alone.
        Reason::Misdirected => plain(StatusCode::MISDIRECTED_REQUEST, "Misdirected Request"),
        Reason::TooManyFields => plain(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "Request Header Fields Too Large",
        ),
        Reason::UpgradeNotAllowed => plain(StatusCode::NOT_IMPLEMENTED, "Not Implemented"),
        Reason::KeysUnavailable
        | Reason::UpstreamUnreachable
        | Reason::UpstreamClosed
        | Reason::UpstreamRefused
        | Reason::UpstreamOverloaded
        | Reason::FunctionThrottled
        | Reason::Overloaded => plain(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
        Reason::RequestTimeout | Reason::UpstreamTimeout | Reason::UpstreamConnectTimeout => {
            plain(StatusCode::GATEWAY_TIMEOUT, "Gateway Timeout")
        }
        Reason::UpstreamProtocolError
        | Reason::FunctionError
        | Reason::FunctionAnswer
        | Reason::InvocationRefused => plain(StatusCode::BAD_GATEWAY, "Internal Server Error"),
        Reason::InternalError => plain(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"),
    }
}

/// Returns the answer to a refusal. `problem` has the gateway's own words.
pub(super) fn form(refusal: &Refusal<'_>, problem: &Problem, level: ErrorDetail) -> Form {
    let row = row_of(refusal);
    let mut headers = HeaderMap::new();
    if let Some(challenge) = row.challenge.text(refusal, problem, level) {
        set(&mut headers, WWW_AUTHENTICATE, &challenge);
    }
    Form {
        status: row.status,
        content_type: "application/json",
        headers,
        body: row.body().into_bytes(),
        message: row.message.into(),
    }
}

impl Row {
    fn body(self) -> String {
        // No message has a character that JSON escapes.
        [r#"{"message":""#, self.message, r#""}"#].concat()
    }

    /// Returns the body as the documentation shows it.
    #[cfg(test)]
    pub(super) fn shown(self) -> String {
        self.body()
    }
}

/// Returns the answer to a refusal, which is that of its reason, but for what the reason does not
/// tell.
fn row_of(refusal: &Refusal<'_>) -> Row {
    match &refusal.cause {
        Cause::Token {
            error: TokenError::Malformed(malformation),
            ..
        } if matches!(**malformation, Malformation::Parts(_)) => Row {
            challenge: SEGMENTS,
            ..UNAUTHORIZED
        },
        // Where no scopes are asked for, none are missing.
        Cause::Token {
            error: TokenError::NotAccessToken(_),
            needed,
        } if needed.is_empty() => UNAUTHORIZED,
        _ => row(refusal.reason()),
    }
}

impl Challenge {
    fn text(self, refusal: &Refusal<'_>, problem: &Problem, level: ErrorDetail) -> Option<String> {
        let (scope, error, description) = match self {
            Self::None => return None,
            Self::Bare => return Some("Bearer".to_owned()),
            Self::Error(error, "") => (String::new(), error, problem.detail.to_string()),
            Self::Error(error, description) => (String::new(), error, description.to_owned()),
            Self::Scopes => {
                let scopes = join(refusal.scopes());
                let description = format!("expected scopes: [{scopes}]");
                (scopes, "insufficient_scope", description)
            }
        };
        let mut text = format!(r#"Bearer scope="{scope}" error="{error}""#);
        if level == ErrorDetail::Full {
            text += &format!(r#" error_description="{description}""#);
        }
        Some(text)
    }
}
