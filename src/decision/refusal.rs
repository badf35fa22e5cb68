//! The causes for which a request is not forwarded, joined from the errors of the other modules.

use std::borrow::Cow;
use std::time::Duration;

use super::reason::Reason;
use crate::config::{Errors, Group};
use crate::lambda::AnswerError;
use crate::policy::{Denial, Scope};
use crate::route::{Ambiguity, TargetError};
use crate::snapshot::{Route, RouteMethod, Snapshot};
use crate::token::{AcceptedKind, LoggedClaims, SeenToken, TokenError, Verifier};
use crate::upstream::Fault;

/// A request that the gateway answers itself.
#[derive(Debug)]
pub struct Refusal<'s> {
    /// The cause of the refusal.
    pub cause: Cause,
    /// The route that the request matched.
    pub route: Option<&'s Route>,
    /// The group that the request belongs to, if no route was chosen for it.
    pub group: Option<&'s Group>,
    /// The rule of the route, if the refusal is about what it requires.
    pub rule: Option<&'s RouteMethod>,
    /// The verifier of the issuer that the token is of, or claims to be of.
    pub verifier: Option<&'s Verifier>,
    /// The token, if the log may describe it.
    pub token: Option<SeenToken>,
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
        barred: AmbiguityRefusal,
    },
    /// The rewrite of the route, or a URL of its own answer, has no path for the request: a value
    /// is absent, or cannot stand in a path.
    Unmappable(Box<str>),
    /// A tolerant application could read the path as one of a stricter route.
    Shadowed {
        /// The label of that route.
        by: Box<str>,
    },
    /// No route matches the path.
    NotFound,
    /// The path is one of metadata (RFC 9728 §3), and has neither metadata nor a route.
    NoMetadata,
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
    /// The event for the function is longer than the limit.
    EventTooLarge,
    /// The function was not invoked, failed, or returned what cannot be forwarded.
    Function(AnswerError),
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
pub enum AmbiguityRefusal {
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
            group: None,
            rule: None,
            verifier: None,
            token: None,
        }
    }
}

impl<'s> Refusal<'s> {
    pub(crate) fn at(route: &'s Route, cause: Cause) -> Self {
        Self {
            cause,
            route: Some(route),
            group: None,
            rule: None,
            verifier: None,
            token: None,
        }
    }

    /// Returns the reason of the refusal.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.cause.reason()
    }

    /// Returns the settings for the form of the answer: those of the route, or else of the group,
    /// or else of `[errors]`.
    #[must_use]
    pub fn errors(&self, snapshot: &'s Snapshot) -> &'s Errors {
        match (self.route, self.group) {
            (Some(route), _) => &route.config.errors,
            (None, Some(group)) => &group.errors,
            (None, None) => &snapshot.config.errors,
        }
    }

    /// Returns the kind of token that the route accepts.
    pub(super) fn accepted_kind(&self) -> AcceptedKind {
        match self.route {
            Some(route) => route.accepted_kind(),
            None => AcceptedKind::Any,
        }
    }

    /// Returns every scope that the rule of the route names.
    pub(super) fn scopes(&self) -> Vec<&'s Scope> {
        match self.rule {
            Some(rule) => rule.requirement.scopes(),
            None => Vec::new(),
        }
    }
}

impl Cause {
    /// Returns the reason of the refusal.
    #[must_use]
    pub fn reason(&self) -> Reason {
        match self {
            Self::TargetTooLong => Reason::TargetTooLong,
            Self::Target(TargetError::Form) => Reason::MalformedTarget,
            Self::Target(TargetError::Host) => Reason::InvalidHost,
            Self::Ambiguous { .. } => Reason::AmbiguousPath,
            Self::Unmappable(_) => Reason::UnmappableRequest,
            Self::Shadowed { .. } => Reason::ShadowedPath,
            Self::NotFound | Self::NoMetadata => Reason::NoRoute,
            Self::Method { .. } => Reason::MethodNotAllowed,
            Self::Token { error, .. } => token_reason(error),
            Self::CrossSite => Reason::CrossSiteRequest,
            Self::Denied(Denial::InsufficientScope { .. }) => Reason::InsufficientScope,
            Self::Denied(Denial::Anonymous) => Reason::MissingToken,
            Self::Denied(Denial::RouteDenied) => Reason::RouteDenied,
            Self::Framing => Reason::InvalidFraming,
            Self::Padded => Reason::MalformedField,
            Self::BodyMalformed | Self::BodyCut => Reason::MalformedBody,
            Self::BodyTooLarge => Reason::BodyTooLarge,
            Self::BodyStalled => Reason::BodyTimeout,
            Self::Deadline(_) => Reason::RequestTimeout,
            Self::Upgrade => Reason::UpgradeNotAllowed,
            Self::Misdirected => Reason::Misdirected,
            Self::Upstream(fault) => fault_reason(fault),
            Self::EventTooLarge => Reason::EventTooLarge,
            Self::Function(error) => answer_reason(error),
            Self::Fields => Reason::TooManyFields,
            Self::Overloaded => Reason::Overloaded,
            Self::Defect => Reason::InternalError,
        }
    }

    /// Returns the explanation for operators, in one sentence: that of the reason, with the values
    /// that only the cause has.
    #[must_use]
    pub fn explanation(&self) -> Cow<'static, str> {
        self.detail(LoggedClaims::ALL)
    }

    /// Returns the explanation for the log, which shows only these claims of a token.
    #[must_use]
    pub fn detail(&self, shown: LoggedClaims) -> Cow<'static, str> {
        let sentence = self.reason().operator();
        match self {
            Self::Token { error, .. } => error.sentence(shown).to_string().into(),
            Self::Ambiguous { what, barred } => match barred {
                AmbiguityRefusal::NotAllowed | AmbiguityRefusal::NoRoute => {
                    format!("{sentence} {what}").into()
                }
                AmbiguityRefusal::Shadowed(by) => format!(
                    "{sentence} {what}; an application may take it for the stricter \"{by}\""
                )
                .into(),
            },
            Self::Unmappable(what) => format!("{sentence} {what}").into(),
            Self::Shadowed { by } => format!("{sentence} \"{by}\"").into(),
            Self::Method { allow } => format!("{sentence} {allow}").into(),
            Self::Denied(Denial::InsufficientScope { missing, .. }) => {
                format!("{sentence} {}", join_some(missing)).into()
            }
            Self::Denied(Denial::Anonymous) => "the caller is anonymous".into(),
            Self::BodyCut => "the client closed its side of the connection \
                              in the middle of the request body"
                .into(),
            Self::Deadline(limit) => format!("{sentence} {limit:?}").into(),
            Self::Upstream(fault) => fault.to_string().into(),
            Self::Function(error) => error.to_string().into(),
            _ => sentence.into(),
        }
    }
}

fn token_reason(error: &TokenError) -> Reason {
    match error {
        TokenError::Missing(_) => Reason::MissingToken,
        TokenError::WrongScheme(_) => Reason::WrongScheme,
        TokenError::Several => Reason::SeveralTokens,
        TokenError::TooLong { .. } => Reason::TokenTooLong,
        TokenError::Placeholder(_) => Reason::PlaceholderToken,
        TokenError::Opaque => Reason::OpaqueToken,
        TokenError::Encrypted => Reason::EncryptedToken,
        TokenError::Malformed(_) => Reason::MalformedToken,
        TokenError::Algorithm(_) => Reason::AlgorithmNotAllowed,
        TokenError::UnknownIssuer(_) => Reason::UnknownIssuer,
        TokenError::UnknownKey(_) => Reason::UnknownKey,
        TokenError::Signature(_) => Reason::BadSignature,
        TokenError::KeysUnavailable { .. } => Reason::KeysUnavailable,
        TokenError::Expired { .. } => Reason::TokenExpired,
        TokenError::NotYetValid { .. } => Reason::TokenNotYetValid,
        TokenError::Audience(_) => Reason::WrongAudience,
        TokenError::Client(_) => Reason::WrongClient,
        TokenError::NotAccessToken(_) => Reason::NotAnAccessToken,
        TokenError::RequiredClaim(_) => Reason::RequiredClaim,
        TokenError::SenderConstrained => Reason::SenderConstrainedToken,
        TokenError::ClientCertificate { .. } => Reason::WrongClientCertificate,
    }
}

fn answer_reason(error: &AnswerError) -> Reason {
    match error {
        AnswerError::Failed { .. } => Reason::FunctionError,
        AnswerError::Throttled => Reason::FunctionThrottled,
        AnswerError::Refused(_) => Reason::InvocationRefused,
        AnswerError::TooLong
        | AnswerError::NotJson
        | AnswerError::NotAnObject(_)
        | AnswerError::UnknownMember(_)
        | AnswerError::Twice(_)
        | AnswerError::Mistyped { .. }
        | AnswerError::Status(_)
        | AnswerError::Base64
        | AnswerError::FieldName(_)
        | AnswerError::FieldValue(_)
        | AnswerError::FieldTwice(_)
        | AnswerError::TooManyFields
        | AnswerError::FieldsTooLong => Reason::FunctionAnswer,
    }
}

fn fault_reason(fault: &Fault) -> Reason {
    match fault {
        Fault::Connect(_) => Reason::UpstreamUnreachable,
        Fault::ConnectTimeout(_) => Reason::UpstreamConnectTimeout,
        Fault::ResponseTimeout(_) | Fault::AnswerTimeout(_) => Reason::UpstreamTimeout,
        Fault::Closed(_) | Fault::Request => Reason::UpstreamClosed,
        Fault::Protocol(_) => Reason::UpstreamProtocolError,
        Fault::Unprocessed(_) => Reason::UpstreamRefused,
        Fault::Overloaded | Fault::Full => Reason::UpstreamOverloaded,
    }
}

/// Joins scopes with spaces, as the `scope` parameter of a challenge does.
pub(super) fn join<'a>(scopes: impl IntoIterator<Item = &'a Scope>) -> String {
    let mut text = String::new();
    for scope in scopes {
        text.push_str(if text.is_empty() { "" } else { " " });
        text.push_str(scope.as_str());
    }
    text
}

/// The most characters of the scopes in a sentence, as in the member `scope` of a line.
const MAX_SCOPE_CHARS: usize = 500;

/// Joins the first of some scopes with spaces, and says how many more there are.
fn join_some(scopes: &[Scope]) -> String {
    let mut text = String::new();
    for (index, scope) in scopes.iter().enumerate() {
        if text.len() + 1 + scope.as_str().len() > MAX_SCOPE_CHARS {
            return format!("{text} and {} more", scopes.len() - index)
                .trim_start()
                .to_owned();
        }
        text.push_str(if text.is_empty() { "" } else { " " });
        text.push_str(scope.as_str());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Label as _;
    use crate::token::fixture::{FOUND, has_texts, token_errors};

    #[test]
    fn a_tokens_error_has_one_name_in_refusals_and_verifications() {
        for error in token_errors() {
            assert_eq!(token_reason(&error).name(), error.verification().name());
        }
    }

    #[test]
    fn a_tokens_error_has_one_line_of_bounded_length() {
        for error in token_errors() {
            for shown in [LoggedClaims::ALL, LoggedClaims::NONE] {
                let needed = Vec::new();
                let error = error.clone();
                let detail = Cause::Token { error, needed }.detail(shown);
                assert_eq!(detail.lines().count(), 1, "{detail}");
                assert!(detail.len() < 512, "{detail}");
            }
        }
    }

    #[test]
    fn of_many_missing_scopes_the_sentence_has_the_first() {
        let scopes = |count: usize| -> Vec<Scope> {
            let names = (0..count).map(|number| format!("{number:049}"));
            names.map(|name| Scope::parse(&name).unwrap()).collect()
        };
        let detail = |missing: Vec<Scope>| {
            let denial = Denial::InsufficientScope {
                missing,
                needed: Vec::new(),
            };
            Cause::Denied(denial).detail(LoggedClaims::ALL).into_owned()
        };
        let (ten, many) = (detail(scopes(10)), detail(scopes(100)));
        assert!(ten.ends_with(&format!(" {:049}", 9)), "{ten}");
        assert_eq!(many, format!("{ten} and 90 more"));
        let long = Scope::parse(&"x".repeat(600)).unwrap();
        assert!(detail(vec![long]).ends_with(": and 1 more"));
    }

    #[test]
    fn with_no_claims_a_sentence_has_nothing_of_the_token() {
        for error in token_errors() {
            let has_texts = has_texts(&error);
            let needed = Vec::new();
            let cause = Cause::Token { error, needed };
            let (all, none) = (
                cause.detail(LoggedClaims::ALL),
                cause.detail(LoggedClaims::NONE),
            );
            assert!(!none.contains(FOUND), "{none}");
            assert!(
                !has_texts || all.contains(FOUND) || all.contains("no client"),
                "{all}"
            );
        }
    }

    // Refusals are returned through every function of the walk.
    #[test]
    fn a_tokens_error_is_small() {
        assert!(size_of::<TokenError>() <= 24);
    }
}
