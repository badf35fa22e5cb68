//! The reasons for refusing a token request (RFC 6749 §5.2), an authorization request (§4.1.2.1) or
//! a registration (RFC 7591 §3.2.2).

use std::fmt;

use http::StatusCode;

use super::form::FormError;
use crate::policy::Scope;

/// The reason why no token and no code is issued, or no client registered.
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
    NoScope,
    Algorithm,
    /// A parameter that changes a token cannot be read, for this reason.
    Changes(&'static str),
    /// The resource is none of this gateway (RFC 8707 §2).
    Resource,
    NoClient,
    NoRedirectUri,
    RedirectUri,
    ResponseType,
    ResponseMode,
    /// There is no code challenge, or not one by `S256` (RFC 7636 §4.4.1).
    Challenge,
    NoCode,
    Code,
    Verifier,
    /// A registration without a redirect URI that this issuer would use.
    Registration,
    /// The body of a registration is not what RFC 7591 says.
    RegistrationBody,
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
            | Self::Algorithm
            | Self::Changes(_)
            | Self::NoClient
            | Self::NoRedirectUri
            | Self::RedirectUri
            | Self::ResponseMode
            | Self::Challenge
            | Self::NoCode => "invalid_request",
            Self::NoAuthentication | Self::Authentication => "invalid_client",
            Self::GrantType => "unsupported_grant_type",
            Self::ResponseType => "unsupported_response_type",
            Self::ScopeSyntax | Self::Scope(_) | Self::NoScope => "invalid_scope",
            Self::Resource => "invalid_target",
            Self::Code | Self::Verifier => "invalid_grant",
            Self::Registration => "invalid_redirect_uri",
            Self::RegistrationBody => "invalid_client_metadata",
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
            Self::GrantType => "grant_type is neither client_credentials nor authorization_code",
            Self::ScopeSyntax => {
                "scope must be a list of scopes, separated by spaces (RFC 6749 section 3.3)"
            }
            Self::Scope(scope) => return write!(f, "the client may not have the scope {scope}"),
            Self::NoScope => "the client may have none of these scopes",
            Self::Algorithm => "alg is no algorithm of JSON Web Signature, such as ES256",
            Self::Changes(what) => what,
            Self::Resource => {
                "resource is neither a resource of this gateway nor an audience of the issuer"
            }
            Self::NoClient => "no client has this client_id; the client of dev is dev",
            Self::NoRedirectUri => "redirect_uri is missing",
            Self::RedirectUri => {
                "redirect_uri is neither the registered one nor on this machine; another one is \
                 allowed by scopegate dev --redirect-uri"
            }
            Self::ResponseType => "the only response_type here is code",
            Self::ResponseMode => "the only response_mode here is query",
            Self::Challenge => "PKCE is required, with code_challenge_method=S256",
            Self::NoCode => "code or code_verifier is missing",
            Self::Code => {
                "the code is unknown, expired, used, or of another client or redirect_uri"
            }
            Self::Verifier => "code_verifier does not fit the code_challenge of the code",
            Self::Registration => {
                "redirect_uris has none on this machine; others are allowed by scopegate dev \
                 --redirect-uri"
            }
            Self::RegistrationBody => "the body is not the JSON of a client (RFC 7591 section 2)",
            Self::Signing => "the token could not be signed",
        })
    }
}
