//! The reasons for refusing a token request (RFC 6749 §5.2).

use std::fmt;

use http::StatusCode;

use super::form::FormError;
use crate::policy::Scope;

/// The reason why no token is issued.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum GrantError {
    BodyTooLarge,
    BodyUnfinished,
    MediaType,
    Parameters(FormError),
    CredentialsInQuery,
    TwoAuthentications,
    NoAuthentication,
    Authentication,
    NoGrantType,
    GrantType,
    ScopeSyntax,
    Scope(Scope),
    Algorithm,
    Signing,
}

impl GrantError {
    /// Returns the `error` code of RFC 6749 §5.2.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::BodyTooLarge
            | Self::BodyUnfinished
            | Self::MediaType
            | Self::Parameters(_)
            | Self::CredentialsInQuery
            | Self::TwoAuthentications
            | Self::NoGrantType
            | Self::Algorithm => "invalid_request",
            Self::NoAuthentication | Self::Authentication => "invalid_client",
            Self::GrantType => "unsupported_grant_type",
            Self::ScopeSyntax | Self::Scope(_) => "invalid_scope",
            // §5.2 has no code for a failure of the server; RFC 6749 §4.1.2.1 defines this one.
            Self::Signing => "server_error",
        }
    }

    /// Returns the status of the response.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::NoAuthentication | Self::Authentication => StatusCode::UNAUTHORIZED,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyUnfinished => StatusCode::REQUEST_TIMEOUT,
            Self::Signing => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// Writes the `error_description` in the characters that RFC 6749 §5.2 allows: no quotes, no
/// backslash.
impl fmt::Display for GrantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BodyTooLarge => "the body is larger than 64 KiB",
            Self::BodyUnfinished => "the body is incomplete",
            Self::MediaType => "the body must be application/x-www-form-urlencoded",
            Self::Parameters(FormError::Repeated) => "a parameter occurs more than once",
            Self::Parameters(FormError::Encoding) => "a parameter is not UTF-8",
            Self::CredentialsInQuery => {
                "client credentials belong in Authorization or the body, never in the URL"
            }
            Self::TwoAuthentications => {
                "a client must authenticate in one way only: by Authorization or in the body"
            }
            Self::NoAuthentication => {
                "the client does not authenticate; the client of dev is dev:dev-secret"
            }
            Self::Authentication => {
                "no client has these credentials; the client of dev is dev:dev-secret"
            }
            Self::NoGrantType => "grant_type is missing; write grant_type=client_credentials",
            Self::GrantType => "the only grant_type here is client_credentials",
            Self::ScopeSyntax => {
                "scope must be a list of scopes, separated by spaces (RFC 6749 section 3.3)"
            }
            Self::Scope(scope) => return write!(f, "the client may not have the scope {scope}"),
            Self::Algorithm => {
                "alg is not one of the algorithms that the configuration allows for this issuer"
            }
            Self::Signing => "the token could not be signed",
        })
    }
}
