//! The errors of a request's token.

use std::time::Duration;

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
    /// The names of all results of a verification, "valid" first: the label values of metrics, and
    /// the reasons in logs.
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

    /// Returns the index of this error in [`TokenError::RESULTS`].
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

    /// Returns the name of this error in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::RESULTS
            .get(self.index())
            .copied()
            .unwrap_or("token_error")
    }
}

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
