//! The causes for which a request is not forwarded, joined from the errors of the other modules.

use std::borrow::Cow;
use std::time::Duration;

use crate::policy::{Denial, Scope};
use crate::route::{Ambiguity, TargetError};
use crate::snapshot::Route;
use crate::token::{TokenError, Verifier};
use crate::upstream::Fault;

/// A request that the gateway answers itself.
#[derive(Debug)]
pub struct Refusal<'s> {
    /// The cause of the refusal.
    pub cause: Cause,
    /// The route that the request matched.
    pub route: Option<&'s Route>,
    /// The verifier of the issuer that the token is of, or claims to be of.
    pub verifier: Option<&'s Verifier>,
}

/// The cause of a refusal.
#[derive(Debug)]
pub enum Cause {
    /// The request target is longer than the limit.
    TargetTooLong,
    /// The request target is malformed, or its host is invalid.
    Target(TargetError),
    /// The path is ambiguous: two parsers could read it differently.
    Ambiguous {
        /// The first ambiguity that is not allowed.
        what: Ambiguity,
        /// The reason for which the ambiguity is not allowed.
        barred: Barred,
    },
    /// A tolerant application could read the path as one of a stricter route.
    Shadowed {
        /// The label of that route.
        by: Box<str>,
    },
    /// No route matches the path.
    NotFound,
    /// The path has routes, but none for the method.
    Method {
        /// The value of `Allow`.
        allow: Box<str>,
    },
    /// The token is missing or not valid.
    Token {
        /// The error of the token.
        error: TokenError,
        /// The scopes that a token for this route needs at least.
        needed: Vec<Scope>,
    },
    /// The token is in a cookie, and a page of another site may have made the request.
    CrossSite,
    /// The policy denies the request.
    Denied(Denial),
    /// The framing is one that two parsers could read differently.
    Framing,
    /// A field of an HTTP/2 request begins or ends with white space (RFC 9113 §8.2.1).
    Padded,
    /// The request's body broke its framing.
    BodyMalformed,
    /// The client closed the connection, or its sending side alone, in the middle of the request's
    /// body.
    BodyCut,
    /// The request's body is longer than the limit.
    BodyTooLarge,
    /// The next piece of the request's body did not arrive in time.
    BodyStalled,
    /// The whole request took longer than the limit.
    Deadline(Duration),
    /// The request is a CONNECT for a WebSocket (RFC 8441), and its route allows none.
    Upgrade,
    /// The TLS connection was opened for another host.
    Misdirected,
    /// The upstream failed to answer.
    Upstream(Fault),
    /// An HTTP/2 request has more fields than the limit. For HTTP/1.1 the parser refuses such a
    /// request.
    Fields,
    /// The gateway already handles as many requests as the limit allows.
    Overloaded,
    /// The gateway panicked, which is a defect of the gateway.
    Defect,
}

/// The reason for which an ambiguous path is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Barred {
    /// The matched route does not allow the ambiguity.
    NotAllowed,
    /// No route matches the path, so there is none that could allow the ambiguity.
    NoRoute,
    /// The matched route allows the ambiguity, but a tolerant application could read the path as
    /// one of this stricter route.
    Shadowed(Box<str>),
}

impl Refusal<'static> {
    pub(crate) fn unrouted(cause: Cause) -> Self {
        Self {
            cause,
            route: None,
            verifier: None,
        }
    }
}

impl<'s> Refusal<'s> {
    pub(crate) fn at(route: &'s Route, cause: Cause) -> Self {
        Self {
            cause,
            route: Some(route),
            verifier: None,
        }
    }

    /// Returns the reason as logs and metrics name it, which is more exact than the client's code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.cause.reason()
    }
}

impl Cause {
    /// Returns the index of the reason in [`REASONS`].
    #[must_use]
    pub fn reason_index(&self) -> usize {
        let reason = self.reason();
        // A reason that is missing in the list would be counted as the first one.
        REASONS
            .iter()
            .position(|known| *known == reason)
            .unwrap_or_default()
    }

    /// Returns the reason as logs and metrics name it, which is more exact than the client's code.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Cause::Token { error, .. } => error.name(),
            Cause::TargetTooLong => "target_too_long",
            Cause::Target(error) => target_reason(error),
            Cause::Ambiguous { .. } => "ambiguous_path",
            Cause::Shadowed { .. } => "shadowed_path",
            Cause::NotFound => "no_route",
            Cause::Method { .. } => "method_not_allowed",
            Cause::CrossSite => "cross_site_request",
            Cause::Denied(Denial::InsufficientScope { .. }) => "insufficient_scope",
            Cause::Denied(Denial::Anonymous) => TokenError::Missing.name(),
            Cause::Framing => "invalid_framing",
            Cause::Padded => "malformed_field",
            Cause::BodyTooLarge => "body_too_large",
            Cause::BodyStalled => "body_timeout",
            Cause::BodyMalformed | Cause::BodyCut => "malformed_body",
            Cause::Deadline(_) => "request_timeout",
            Cause::Upstream(fault) => fault_reason(fault),
            Cause::Defect => "internal_error",
            Cause::Upgrade => "upgrade_not_allowed",
            Cause::Fields => "too_many_fields",
            Cause::Overloaded => "overloaded",
            Cause::Misdirected => "misdirected",
        }
    }

    /// Returns whether the client's connection must close: the end of the request is in doubt, or
    /// the client does not send it.
    #[must_use]
    pub(super) fn closes(&self) -> bool {
        matches!(
            self,
            Cause::TargetTooLong
                | Cause::Target(_)
                | Cause::Framing
                | Cause::BodyMalformed
                | Cause::BodyCut
                | Cause::BodyTooLarge
                | Cause::BodyStalled
                | Cause::Deadline(_)
        )
    }

    /// Returns the explanation for the log, in one sentence.
    #[must_use]
    pub fn explanation(&self) -> Cow<'static, str> {
        match self {
            Cause::TargetTooLong => "the request target is too long".into(),
            Cause::Target(error) => error.to_string().into(),
            Cause::Ambiguous { what, barred } => ambiguous(*what, barred).into(),
            Cause::Shadowed { by } => {
                format!("an application may take the path for one of the stricter \"{by}\"").into()
            }
            Cause::NotFound => "no route has this path".into(),
            Cause::Method { allow } => {
                format!("the route is there for other methods: {allow}").into()
            }
            Cause::Token { error, .. } => error.to_string().into(),
            Cause::CrossSite => "the token is in a cookie, \
                                 and a page of another origin may have made the request"
                .into(),
            Cause::Denied(Denial::Anonymous) => "the caller is anonymous".into(),
            Cause::Denied(Denial::InsufficientScope { missing }) => {
                format!("the token lacks: {}", join(missing)).into()
            }
            Cause::Framing => "the transfer coding is not \"chunked\" alone".into(),
            Cause::Padded => "a field begins or ends with white space".into(),
            Cause::BodyMalformed => "the request body broke its framing".into(),
            Cause::BodyCut => "the client closed its side of the connection \
                               in the middle of the request body"
                .into(),
            Cause::BodyTooLarge => "the request body is longer than the limit".into(),
            Cause::BodyStalled => "the request body stopped coming".into(),
            Cause::Deadline(limit) => format!("the request was not done within {limit:?}").into(),
            Cause::Upgrade => "the route has no \"websocket\"".into(),
            Cause::Fields => "the request has more fields than the limit".into(),
            Cause::Overloaded => {
                "as many requests as \"limits.requests\" allows are being answered".into()
            }
            Cause::Misdirected => "the TLS connection was opened for another host".into(),
            Cause::Upstream(fault) => fault.to_string().into(),
            Cause::Defect => "the gateway panicked; standard error names the place".into(),
        }
    }
}

fn ambiguous(what: Ambiguity, barred: &Barred) -> String {
    match barred {
        Barred::Shadowed(by) => format!(
            "the path is ambiguous: {what}; an application may take it for the stricter \"{by}\""
        ),
        Barred::NotAllowed | Barred::NoRoute => format!("the path is ambiguous: {what}"),
    }
}

fn target_reason(error: &TargetError) -> &'static str {
    match error {
        TargetError::Form => "malformed_target",
        TargetError::Host => "invalid_host",
    }
}

fn fault_reason(fault: &Fault) -> &'static str {
    match fault {
        Fault::Connect(_) => "upstream_unreachable",
        Fault::ConnectTimeout(_) => "upstream_connect_timeout",
        Fault::ResponseTimeout(_) => "upstream_timeout",
        Fault::Closed(_) | Fault::Request => "upstream_closed",
        Fault::Protocol(_) => "upstream_protocol_error",
        Fault::Unprocessed(_) => "upstream_refused",
        Fault::Overloaded | Fault::Full => "upstream_overloaded",
    }
}

/// Joins scopes with spaces, as the `scope` parameter of a challenge does.
pub(super) fn join(scopes: &[Scope]) -> String {
    let mut text = String::new();
    for scope in scopes {
        text.push_str(if text.is_empty() { "" } else { " " });
        text.push_str(scope.as_str());
    }
    text
}

/// The reasons that are not about a token.
const OWN: &[&str] = &[
    "target_too_long",
    "malformed_target",
    "invalid_host",
    "ambiguous_path",
    "no_route",
    "shadowed_path",
    "method_not_allowed",
    "insufficient_scope",
    "cross_site_request",
    "invalid_framing",
    "malformed_field",
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
    "too_many_fields",
    "overloaded",
    "upstream_refused",
    "upstream_overloaded",
    "misdirected",
];

/// All reasons: the closed list of label values for metrics.
pub const REASONS: [&str; OWN.len() + TokenError::RESULTS.len()] = {
    let mut all = [""; OWN.len() + TokenError::RESULTS.len()];
    let mut index = 0;
    while index < all.len() {
        #[expect(
            clippy::indexing_slicing,
            reason = "evaluated by the compiler, which refuses to go beyond the end"
        )]
        {
            all[index] = if index < OWN.len() {
                OWN[index]
            } else {
                TokenError::RESULTS[index - OWN.len()]
            };
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
        assert_eq!(Cause::NotFound.reason(), "no_route");
        let expired = Cause::Token {
            error: TokenError::Expired,
            needed: Vec::new(),
        };
        assert_eq!(expired.reason(), "token_expired");
        assert_eq!(Cause::BodyStalled.reason(), "body_timeout");
        assert_eq!(Cause::BodyMalformed.reason(), "malformed_body");
        assert_eq!(
            Cause::Upstream(Fault::Protocol("".into())).reason(),
            "upstream_protocol_error"
        );
    }

    #[test]
    fn each_reason_is_explained_to_operators() {
        let page = include_str!("../../docs/answers.md");
        // "valid" is the one result of a verification that is no refusal.
        for reason in REASONS
            .iter()
            .filter(|reason| **reason != TokenError::RESULTS[0])
        {
            assert!(
                page.contains(&format!("\n| `{reason}` | ")),
                "docs/answers.md has no line for {reason}"
            );
        }
    }
}
