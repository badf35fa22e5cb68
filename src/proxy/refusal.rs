//! Every way in which a request is not forwarded, joined from the rooms' own errors.

use std::time::Duration;

use crate::policy::{Denial, Scope};
use crate::route::{Ambiguity, TargetError};
use crate::token::{Rejection, TokenError};
use crate::upstream::Fault;

/// A request that the gateway answers itself.
#[derive(Debug)]
pub struct Refusal {
    /// Why.
    pub cause: Cause,
    /// The route that would have spoken for it, an index into the snapshot's.
    pub route: Option<usize>,
}

/// Why a request is refused.
#[derive(Debug)]
pub enum Cause {
    /// No target that could be looked up.
    Target(TargetError),
    /// Two readers could disagree about the path, and the route does not allow it.
    Ambiguous(Ambiguity),
    /// No route has the path.
    NotFound,
    /// The path is there for other methods.
    Method {
        /// The value of `Allow`.
        allow: Box<str>,
    },
    /// The token authenticates nobody.
    Token {
        /// What is wrong with it.
        rejection: Rejection,
        /// The scopes that a token for this route needs at least.
        needed: Vec<Scope>,
    },
    /// The caller may not.
    Denied(Denial),
    /// Framing that two readers could take differently.
    Framing,
    /// The request's body broke its framing, or ended before its end.
    BodyMalformed,
    /// The request's body is longer than the limit.
    BodyTooLarge,
    /// The request's body stopped coming.
    BodyStalled,
    /// The whole request took longer than the limit.
    Deadline(Duration),
    /// A CONNECT for a WebSocket (RFC 8441) where the route has none.
    Upgrade,
    /// The upstream can't.
    Upstream(Fault),
    /// The gateway can't: a panic, which is a defect of ours.
    Defect,
}

impl Refusal {
    pub(super) fn at(route: usize, cause: Cause) -> Self {
        Self { cause, route: Some(route) }
    }

    pub(super) fn unrouted(cause: Cause) -> Self {
        Self { cause, route: None }
    }

    /// The index of the reason in [`REASONS`].
    #[must_use]
    pub fn reason_index(&self) -> usize {
        match &self.cause {
            Cause::Token { rejection, .. } => OWN + rejection.error.index(),
            Cause::Target(TargetError::TooLong) => 0,
            Cause::Target(TargetError::Form) => 1,
            Cause::Target(TargetError::Host) => 2,
            Cause::Ambiguous(_) => 3,
            Cause::NotFound => 4,
            Cause::Method { .. } => 5,
            Cause::Denied(Denial::InsufficientScope { .. }) => 6,
            Cause::Denied(Denial::Anonymous) => OWN + TokenError::Missing.index(),
            Cause::Framing => 7,
            Cause::BodyTooLarge => 8,
            Cause::BodyStalled => 9,
            Cause::Deadline(_) => 10,
            Cause::Upstream(Fault::Connect(_)) => 11,
            Cause::Upstream(Fault::ConnectTimeout(_)) => 12,
            Cause::Upstream(Fault::ResponseTimeout(_)) => 13,
            Cause::Upstream(Fault::Closed(_)) => 14,
            Cause::Upstream(Fault::Protocol(_)) => 15,
            Cause::Defect => 16,
            Cause::BodyMalformed => 17,
            Cause::Upgrade => 18,
        }
    }

    /// The reason as logs and metrics name it: more than the client is told.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        REASONS.get(self.reason_index()).copied().unwrap_or("refused")
    }

    /// Whether nothing may follow on the client's connection: where the request ends is in doubt, or it does not end.
    #[must_use]
    pub(super) fn closes(&self) -> bool {
        matches!(
            self.cause,
            Cause::Target(_)
                | Cause::Framing
                | Cause::BodyMalformed
                | Cause::BodyTooLarge
                | Cause::BodyStalled
                | Cause::Deadline(_)
        )
    }

    /// One sentence for the log.
    #[must_use]
    pub fn explanation(&self) -> String {
        match &self.cause {
            Cause::Target(error) => error.to_string(),
            Cause::Ambiguous(what) => format!("the path is ambiguous: {what}"),
            Cause::NotFound => "no route has this path".to_owned(),
            Cause::Method { allow } => format!("the route is there for other methods: {allow}"),
            Cause::Token { rejection, .. } => rejection.error.to_string(),
            Cause::Denied(Denial::Anonymous) => "the caller is anonymous".to_owned(),
            Cause::Denied(Denial::InsufficientScope { missing, .. }) => {
                format!("the token lacks: {}", join(missing))
            }
            Cause::Framing => "the transfer coding is none but \"chunked\"".to_owned(),
            Cause::BodyMalformed => "the request body broke its framing, or was cut".to_owned(),
            Cause::BodyTooLarge => "the request body is longer than the limit".to_owned(),
            Cause::BodyStalled => "the request body stopped coming".to_owned(),
            Cause::Deadline(limit) => format!("the request was not done within {limit:?}"),
            Cause::Upgrade => "the route has no \"websocket\"".to_owned(),
            Cause::Upstream(fault) => fault.to_string(),
            Cause::Defect => "the gateway panicked; standard error has the place".to_owned(),
        }
    }

    /// The issuer of the token, where one of the route's is meant.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        match &self.cause {
            Cause::Token { rejection, .. } => rejection.issuer.as_deref(),
            Cause::Denied(Denial::InsufficientScope { issuer, .. }) => Some(issuer),
            _ => None,
        }
    }
}

/// Scopes as a `scope` parameter lists them.
pub(super) fn join(scopes: &[Scope]) -> String {
    scopes.iter().map(Scope::as_str).collect::<Vec<_>>().join(" ")
}

/// Reasons that are not about a token.
const OWN: usize = 19;

/// Every reason code, in the order of [`Refusal::reason_index`]: the closed list of label values.
pub const REASONS: [&str; OWN + TokenError::RESULTS.len()] = {
    let own: [&str; OWN] = [
        "target_too_long",
        "malformed_target",
        "invalid_host",
        "ambiguous_path",
        "no_route",
        "method_not_allowed",
        "insufficient_scope",
        "invalid_framing",
        "body_too_large",
        "body_timeout",
        "request_timeout",
        "upstream_unreachable",
        "upstream_connect_timeout",
        "upstream_timeout",
        "upstream_closed",
        "upstream_protocol_error",
        "internal_error",
        "malformed_body",
        "upgrade_not_allowed",
    ];
    let mut all = [""; OWN + TokenError::RESULTS.len()];
    let mut index = 0;
    while index < all.len() {
        #[expect(
            clippy::indexing_slicing,
            reason = "evaluated by the compiler, which refuses to go beyond the end"
        )]
        {
            all[index] = if index < OWN { own[index] } else { TokenError::RESULTS[index - OWN] };
        }
        index += 1;
    }
    all
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_a_code_of_its_own() {
        let unique: std::collections::BTreeSet<_> = REASONS.iter().collect();
        assert_eq!(unique.len(), REASONS.len());
        assert_eq!(Refusal::unrouted(Cause::NotFound).reason(), "no_route");
        let rejection = Rejection::from(TokenError::Expired);
        let refusal = Refusal::at(0, Cause::Token { rejection, needed: Vec::new() });
        assert_eq!(refusal.reason(), "token_expired");
        assert_eq!(Refusal::unrouted(Cause::BodyStalled).reason(), "body_timeout");
        assert_eq!(Refusal::unrouted(Cause::BodyMalformed).reason(), "malformed_body");
        assert_eq!(
            Refusal::unrouted(Cause::Upstream(Fault::Protocol("".into()))).reason(),
            "upstream_protocol_error"
        );
    }

    #[test]
    fn each_reason_is_explained_to_operators() {
        let page = include_str!("../../docs/answers.md");
        // "valid" is the one result of a verification that refuses nobody.
        for reason in REASONS.iter().filter(|reason| **reason != TokenError::RESULTS[0]) {
            assert!(page.contains(&format!("\n| `{reason}` | ")), "docs/answers.md has no line for {reason}");
        }
    }
}
