//! Why a request's token does not authenticate it.

use std::fmt;
use std::time::Duration;

/// Everything that can be wrong with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// No token where the route looks for one.
    Missing,
    /// More than one token (RFC 6750 §3.1 `invalid_request`).
    Several,
    /// Longer than the limit.
    TooLong,
    /// Not a JWS in compact serialization with a JSON object of claims (RFC 7515 §3.1), or critical
    /// extensions.
    Malformed,
    /// `alg` is none of the issuer's.
    Algorithm,
    /// `iss` is none of the route's issuers.
    UnknownIssuer,
    /// No key of the issuer has this `kid` and algorithm.
    UnknownKey,
    /// The signature is not the key's.
    Signature,
    /// There are no keys to tell by: not the caller's fault.
    KeysUnavailable {
        /// When it is worth trying again.
        retry_after: Duration,
    },
    /// `exp` has passed.
    Expired,
    /// `nbf` has not come.
    NotYetValid,
    /// `aud` does not name this API.
    Audience,
    /// The client is none of those whose tokens are taken.
    Client,
    /// `token_use`, `typ`, or its claims say that it is no access token.
    NotAccessToken,
    /// A claim that the issuer's entry requires is absent or another.
    RequiredClaim,
    /// `cnf`: bound to a key whose possession is not checked here (RFC 7800 §3.1).
    SenderConstrained,
    /// `cnf`: bound to a client certificate that the connection does not have (RFC 8705 §3).
    ClientCertificate,
}

impl TokenError {
    /// The names of all results of a verification, the good one first: label values of metrics, and
    /// reasons in logs.
    pub const RESULTS: [&'static str; 18] = [
        "valid",
        "missing_token",
        "several_tokens",
        "token_too_long",
        "malformed_token",
        "algorithm_not_allowed",
        "unknown_issuer",
        "unknown_key",
        "bad_signature",
        "keys_unavailable",
        "token_expired",
        "token_not_yet_valid",
        "wrong_audience",
        "wrong_client",
        "not_an_access_token",
        "sender_constrained_token",
        "required_claim",
        "wrong_client_certificate",
    ];

    /// The index of this error in [`TokenError::RESULTS`].
    #[must_use]
    pub fn index(self) -> usize {
        match self {
            Self::Missing => 1,
            Self::Several => 2,
            Self::TooLong => 3,
            Self::Malformed => 4,
            Self::Algorithm => 5,
            Self::UnknownIssuer => 6,
            Self::UnknownKey => 7,
            Self::Signature => 8,
            Self::KeysUnavailable { .. } => 9,
            Self::Expired => 10,
            Self::NotYetValid => 11,
            Self::Audience => 12,
            Self::Client => 13,
            Self::NotAccessToken => 14,
            Self::SenderConstrained => 15,
            Self::RequiredClaim => 16,
            Self::ClientCertificate => 17,
        }
    }

    /// The name of this error in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::RESULTS
            .get(self.index())
            .copied()
            .unwrap_or("token_error")
    }

    /// Whether the signature had been verified: only then may the caller learn what was wrong
    /// (requirements.md#t20).
    #[must_use]
    pub fn is_genuine(self) -> bool {
        matches!(
            self,
            Self::Expired
                | Self::NotYetValid
                | Self::Audience
                | Self::Client
                | Self::NotAccessToken
                | Self::RequiredClaim
                | Self::SenderConstrained
                | Self::ClientCertificate
        )
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "there is no token where this route looks for one",
            Self::Several => "the request holds more than one token",
            Self::TooLong => "the token is longer than the limit",
            Self::Malformed => "the token is not a JWT with an object of claims",
            Self::Algorithm => "the token's alg is none that its issuer may use",
            Self::UnknownIssuer => "the token's iss is none of the route's issuers",
            Self::UnknownKey => "no key of the issuer has the token's kid and alg",
            Self::Signature => "the token's signature is not that of the issuer's key",
            Self::KeysUnavailable { .. } => "the issuer's keys could not be fetched",
            Self::Expired => "the token has expired",
            Self::NotYetValid => "the token is not yet valid",
            Self::Audience => "the token is for another audience",
            Self::Client => "the token's client is none that this API takes",
            Self::NotAccessToken => "the token is not an access token",
            Self::RequiredClaim => "a claim that the issuer's entry requires is absent or another",
            Self::SenderConstrained => {
                "the token is bound to a key whose possession is not checked here"
            }
            Self::ClientCertificate => {
                "the token is bound to a client certificate, and the connection has another or none"
            }
        })
    }
}

impl std::error::Error for TokenError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_has_a_name_of_its_own() {
        let all = [
            TokenError::Missing,
            TokenError::Several,
            TokenError::TooLong,
            TokenError::Malformed,
            TokenError::Algorithm,
            TokenError::UnknownIssuer,
            TokenError::UnknownKey,
            TokenError::Signature,
            TokenError::KeysUnavailable {
                retry_after: Duration::ZERO,
            },
            TokenError::Expired,
            TokenError::NotYetValid,
            TokenError::Audience,
            TokenError::Client,
            TokenError::NotAccessToken,
            TokenError::SenderConstrained,
            TokenError::RequiredClaim,
            TokenError::ClientCertificate,
        ];
        let names: std::collections::BTreeSet<_> = all.iter().map(|error| error.name()).collect();
        assert_eq!(names.len(), all.len());
        assert_eq!(TokenError::RESULTS.len(), all.len() + 1);
    }
}
