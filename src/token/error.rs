//! The errors of a request's token.

use std::time::Duration;

use crate::telemetry::Verification;

/// The reason for which a token does not authenticate its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// There is no token in the places where the route looks for one.
    Missing,
    /// The request has more than one token (RFC 6750 §3.1 `invalid_request`).
    Several,
    /// The token is longer than the limit.
    TooLong,
    /// The token is not a JWS in compact serialization with a JSON object of claims (RFC 7515
    /// §3.1), or has critical extensions.
    Malformed,
    /// The issuer may not use the algorithm in `alg`.
    Algorithm,
    /// `iss` is not one of the route's issuers.
    UnknownIssuer,
    /// No key of the issuer has this `kid` and algorithm.
    UnknownKey,
    /// The signature does not verify with the key.
    Signature,
    /// The issuer's keys are not available, which is not the caller's fault.
    KeysUnavailable {
        /// The time after which a retry is worthwhile.
        retry_after: Duration,
    },
    /// `exp` has passed.
    Expired,
    /// `nbf` is in the future.
    NotYetValid,
    /// `aud` does not name this API.
    Audience,
    /// The client is none of those whose tokens are accepted.
    Client,
    /// `token_use`, `typ`, or the other claims show that it is not an access token.
    NotAccessToken,
    /// A claim that the issuer's entry requires is absent or has another value.
    RequiredClaim,
    /// `cnf`: the token is bound to a key whose possession is not checked here (RFC 7800 §3.1).
    SenderConstrained,
    /// `cnf`: the token is bound to a client certificate that the connection does not have (RFC
    /// 8705 §3).
    ClientCertificate,
}

impl TokenError {
    /// Returns the result of the verification in metrics.
    #[must_use]
    pub fn verification(self) -> Verification {
        match self {
            Self::Missing => Verification::Missing,
            Self::Several => Verification::Several,
            Self::TooLong => Verification::TooLong,
            Self::Malformed => Verification::Malformed,
            Self::Algorithm => Verification::Algorithm,
            Self::UnknownIssuer => Verification::UnknownIssuer,
            Self::UnknownKey => Verification::UnknownKey,
            Self::Signature => Verification::Signature,
            Self::KeysUnavailable { .. } => Verification::KeysUnavailable,
            Self::Expired => Verification::Expired,
            Self::NotYetValid => Verification::NotYetValid,
            Self::Audience => Verification::Audience,
            Self::Client => Verification::Client,
            Self::NotAccessToken => Verification::NotAccessToken,
            Self::RequiredClaim => Verification::RequiredClaim,
            Self::SenderConstrained => Verification::SenderConstrained,
            Self::ClientCertificate => Verification::ClientCertificate,
        }
    }
}
