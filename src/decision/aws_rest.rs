//! The answers of the profile `aws-rest`: those of a REST API of Amazon API Gateway.
//!
//! They have no challenge. The fields `x-amzn-requestid` and `x-amz-apigw-id` are added where the
//! ids of a request are known.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use super::form::Form;
use super::reason::Reason;
use super::refusal::Refusal;
use crate::config::ErrorDetail;

/// The field with the type of an error.
pub const ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// The answer to a reason.
pub(super) struct Row {
    pub(super) status: StatusCode,
    pub(super) body: Body,
    /// The value of `x-amzn-errortype`; empty if the answer does not have the field.
    error_type: &'static str,
}

/// The body of an answer. Amazon API Gateway writes some bodies with a blank after the colon.
#[derive(Clone, Copy)]
pub(super) enum Body {
    /// `{"message":"…"}`
    Compact(&'static str),
    /// `{"message": "…"}`
    Spaced(&'static str),
    /// Plain text.
    Text(&'static str),
    /// The plain text that names the limit of a request's body.
    TooLarge,
}

const UNAUTHORIZED: Row = Row {
    status: StatusCode::UNAUTHORIZED,
    body: Body::Compact("Unauthorized"),
    error_type: "UnauthorizedException",
};

const FORBIDDEN: Row = Row {
    status: StatusCode::FORBIDDEN,
    body: Body::Compact("Forbidden"),
    error_type: "ForbiddenException",
};

const BAD_REQUEST: Row = Row {
    status: StatusCode::BAD_REQUEST,
    body: Body::Spaced("Bad Request"),
    error_type: "BadRequestException",
};

const SERVICE_UNAVAILABLE: Row = Row {
    status: StatusCode::SERVICE_UNAVAILABLE,
    body: Body::Spaced("Service Unavailable"),
    error_type: "ServiceUnavailableException",
};

/// Returns the answer to a reason.
pub(super) fn row(reason: Reason) -> &'static Row {
    match reason {
        Reason::MissingToken
        | Reason::WrongScheme
        | Reason::SeveralTokens
        | Reason::TokenTooLong
        | Reason::PlaceholderToken
        | Reason::OpaqueToken
        | Reason::EncryptedToken
        | Reason::MalformedToken
        | Reason::AlgorithmNotAllowed
        | Reason::UnknownIssuer
        | Reason::UnknownKey
        | Reason::BadSignature
        | Reason::TokenNotYetValid
        | Reason::WrongAudience
        | Reason::WrongClient
        | Reason::NotAnAccessToken
        | Reason::RequiredClaim
        | Reason::WrongClientCertificate
        | Reason::SenderConstrainedToken
        | Reason::InsufficientScope => &UNAUTHORIZED,
        Reason::TokenExpired => &Row {
            body: Body::Compact("The incoming token has expired"),
            ..UNAUTHORIZED
        },
        Reason::CrossSiteRequest | Reason::RouteDenied => &FORBIDDEN,
        Reason::NoRoute | Reason::ShadowedPath | Reason::MethodNotAllowed => &Row {
            status: StatusCode::FORBIDDEN,
            body: Body::Compact("Missing Authentication Token"),
            error_type: "MissingAuthenticationTokenException",
        },
        Reason::AmbiguousPath
        | Reason::UnmappableRequest
        | Reason::MalformedTarget
        | Reason::InvalidHost
        | Reason::InvalidFraming
        | Reason::MalformedField
        | Reason::MalformedBody => &BAD_REQUEST,
        Reason::TargetTooLong => &Row {
            status: StatusCode::URI_TOO_LONG,
            body: Body::Text("Request URI too long"),
            error_type: "",
        },
        Reason::BodyTooLarge => &Row {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            body: Body::TooLarge,
            error_type: "",
        },
        Reason::EventTooLarge => &Row {
            status: StatusCode::PAYLOAD_TOO_LARGE,
            body: Body::Spaced("Request Entity Too Large"),
            ..BAD_REQUEST
        },
        Reason::BodyTimeout => &Row {
            status: StatusCode::REQUEST_TIMEOUT,
            body: Body::Spaced("Request Timeout"),
            ..BAD_REQUEST
        },
        // Clients open another connection after this status alone.
        Reason::Misdirected => &Row {
            status: StatusCode::MISDIRECTED_REQUEST,
            body: Body::Spaced("Misdirected Request"),
            ..BAD_REQUEST
        },
        Reason::TooManyFields => &Row {
            status: StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            body: Body::Spaced("Request Header Fields Too Large"),
            ..BAD_REQUEST
        },
        Reason::UpgradeNotAllowed => &Row {
            status: StatusCode::NOT_IMPLEMENTED,
            body: Body::Spaced("Not Implemented"),
            ..BAD_REQUEST
        },
        Reason::KeysUnavailable
        | Reason::UpstreamOverloaded
        | Reason::FunctionThrottled
        | Reason::Overloaded => &SERVICE_UNAVAILABLE,
        Reason::RequestTimeout | Reason::UpstreamTimeout => &Row {
            status: StatusCode::GATEWAY_TIMEOUT,
            body: Body::Spaced("Endpoint request timed out"),
            error_type: "InternalServerErrorException",
        },
        Reason::UpstreamUnreachable
        | Reason::UpstreamClosed
        | Reason::UpstreamRefused
        | Reason::UpstreamConnectTimeout => &Row {
            status: StatusCode::GATEWAY_TIMEOUT,
            body: Body::Spaced("Network error communicating with endpoint"),
            error_type: "InternalServerErrorException",
        },
        Reason::UpstreamProtocolError
        | Reason::FunctionError
        | Reason::FunctionAnswer
        | Reason::InvocationRefused => &Row {
            status: StatusCode::BAD_GATEWAY,
            body: Body::Spaced("Internal server error"),
            error_type: "InternalServerErrorException",
        },
        Reason::InternalError => &Row {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            body: Body::Spaced("Internal server error"),
            error_type: "InternalServerErrorException",
        },
    }
}

/// Returns the answer to a refusal.
pub(super) fn form(refusal: &Refusal<'_>, level: ErrorDetail) -> Form {
    let row = match (refusal.reason(), level) {
        // The operator wants clients to hear no check that failed.
        (Reason::TokenExpired, ErrorDetail::Minimal) => &UNAUTHORIZED,
        (reason, _) => row(reason),
    };
    let mut headers = HeaderMap::new();
    if !row.error_type.is_empty() {
        headers.insert(ERROR_TYPE, HeaderValue::from_static(row.error_type));
    }
    let limit = match refusal.route {
        Some(route) => route.config.body_bytes,
        None => None,
    };
    Form {
        status: row.status,
        content_type: row.body.content_type(),
        headers,
        body: row.body.text(limit).into_bytes(),
        message: row.body.message(limit),
    }
}

impl Body {
    fn content_type(self) -> &'static str {
        match self {
            Self::Compact(_) | Self::Spaced(_) => "application/json",
            Self::Text(_) | Self::TooLarge => "text/plain",
        }
    }

    /// Returns the body as it is sent. `limit` is that of the request's body.
    fn text(self, limit: Option<u64>) -> String {
        match self {
            // No message has a character that JSON escapes.
            Self::Compact(message) => [r#"{"message":""#, message, r#""}"#].concat(),
            Self::Spaced(message) => [r#"{"message": ""#, message, r#""}"#].concat(),
            Self::Text(_) | Self::TooLarge => self.message(limit).into_owned(),
        }
    }

    fn message(self, limit: Option<u64>) -> Cow<'static, str> {
        match (self, limit) {
            (Self::Compact(message) | Self::Spaced(message) | Self::Text(message), _) => {
                message.into()
            }
            (Self::TooLarge, Some(limit)) => {
                format!("HTTP content length exceeded {limit} bytes.").into()
            }
            (Self::TooLarge, None) => "HTTP content length exceeded the limit.".into(),
        }
    }

    /// Returns the body as the documentation shows it.
    #[cfg(test)]
    pub(super) fn shown(self) -> String {
        match self {
            Self::TooLarge => "HTTP content length exceeded 10485760 bytes.".to_owned(),
            _ => self.text(None),
        }
    }
}
