//! The checks of a token in the order in which they are made, with the result for the token at
//! hand.

use super::claims::TokenView;
use super::report::{Outcome, Report};
use super::shown::{all_quoted, list, moment, quoted, value_of};
use crate::telemetry::Quoted;
use crate::token::{AcceptedKind, Audience, ClaimDemand, Rules, TokenError, Verifier};

/// A check of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Check {
    Token,
    Form,
    Issuer,
    Algorithm,
    Key,
    Signature,
    Time,
    Kind,
    Audience,
    Client,
    Claims,
    Binding,
}

/// All checks, in order.
const ALL: [Check; 12] = [
    Check::Token,
    Check::Form,
    Check::Issuer,
    Check::Algorithm,
    Check::Key,
    Check::Signature,
    Check::Time,
    Check::Kind,
    Check::Audience,
    Check::Client,
    Check::Claims,
    Check::Binding,
];

impl Check {
    /// Returns the check that produces an error.
    pub(super) fn of(error: &TokenError) -> Self {
        match error {
            TokenError::Missing(_)
            | TokenError::WrongScheme(_)
            | TokenError::Several
            | TokenError::TooLong { .. }
            | TokenError::Placeholder(_) => Self::Token,
            TokenError::Opaque | TokenError::Encrypted | TokenError::Malformed(_) => Self::Form,
            TokenError::UnknownIssuer(_) => Self::Issuer,
            TokenError::Algorithm(_) => Self::Algorithm,
            TokenError::UnknownKey(_) | TokenError::KeysUnavailable { .. } => Self::Key,
            TokenError::Signature(_) => Self::Signature,
            TokenError::Expired { .. } | TokenError::NotYetValid { .. } => Self::Time,
            TokenError::NotAccessToken(_) => Self::Kind,
            TokenError::Audience(_) => Self::Audience,
            TokenError::Client(_) => Self::Client,
            TokenError::RequiredClaim(_) => Self::Claims,
            TokenError::SenderConstrained | TokenError::ClientCertificate { .. } => Self::Binding,
        }
    }

    /// Returns the name of the step.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Form => "form",
            Self::Issuer => "issuer",
            Self::Algorithm => "algorithm",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Time => "time",
            Self::Kind => "kind",
            Self::Audience => "audience",
            Self::Client => "client",
            Self::Claims => "claims",
            Self::Binding => "binding",
        }
    }
}

/// The facts about a token that passed some of the checks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passing<'a> {
    /// The places of the request that hold it.
    pub(super) places: &'a str,
    pub(super) view: Option<&'a TokenView<'a>>,
    /// The verifier that made the checks; `None` if the issuer was not looked for.
    pub(super) verifier: Option<&'a Verifier>,
}

impl Passing<'_> {
    /// Adds the checks that passed: all of them, or those before one.
    pub(super) fn report(&self, report: &mut Report, failed: Option<Check>) {
        for check in ALL {
            if failed.is_some_and(|failed| check >= failed) {
                return;
            }
            // A token whose algorithm no issuer may use is refused before its issuer is looked for.
            if check == Check::Issuer && self.verifier.is_none() {
                return;
            }
            report.step(check.name(), Outcome::Passed, self.says(check));
        }
    }

    fn says(&self, check: Check) -> String {
        if check == Check::Token {
            return format!("present in {}", self.places);
        }
        let (Some(view), Some(verifier)) = (self.view, self.verifier) else {
            return "a signed JWT with an object of claims".to_owned();
        };
        let outline = &view.outline;
        let rules = verifier.rules();
        let name = verifier.name();
        match check {
            Check::Token => self.places.to_owned(),
            Check::Form => "a signed JWT with an object of claims".to_owned(),
            Check::Issuer => format!("{} is {name}", quoted(outline.issuer.as_deref())),
            Check::Algorithm => {
                let algorithm = outline.algorithm.as_deref().unwrap_or_default();
                format!("{} is allowed for {name}", Quoted(algorithm))
            }
            Check::Key => match outline.key_id.as_deref() {
                Some(kid) => format!("{name} has a key for {}", Quoted(kid)),
                None => format!("the token names none, and {name} has one that fits"),
            },
            Check::Signature => format!("made with a key of {name}"),
            Check::Time => time(view),
            Check::Kind => kind(view, rules),
            Check::Audience => match &rules.audience {
                Audience::Any => "not checked (audience = \"any\")".to_owned(),
                Audience::OneOf(accepted) => audience(view, rules, accepted),
            },
            Check::Client => {
                let client = quoted(outline.client.as_deref());
                match rules.client_ids.is_empty() {
                    true => format!("{client}; every client is accepted"),
                    false => format!("{client} is accepted"),
                }
            }
            Check::Claims => required(view, rules),
            Check::Binding => match &outline.confirmation {
                None => "the token is bound to no key".to_owned(),
                Some(_) => "to the certificate that the client shows".to_owned(),
            },
        }
    }
}

fn audience(view: &TokenView<'_>, rules: &Rules, accepted: &[Box<str>]) -> String {
    let Some((claim, found)) = rules.audience_claim(&view.outline.claims) else {
        return "absent".to_owned();
    };
    let mut named = found.as_texts().unwrap_or_default();
    named.retain(|one| accepted.iter().any(|other| **other == **one));
    let named = all_quoted(named);
    match claim {
        "aud" => format!("{named} is accepted"),
        _ => format!("{named} in {} is accepted", Quoted(claim)),
    }
}

fn time(view: &TokenView<'_>) -> String {
    let expires = view.outline.expires.unwrap_or_default();
    let until = format!("expires at {}", moment(expires, view.now()));
    match view.outline.not_before {
        Some(start) => format!("{until}; valid from {}", moment(start, view.now())),
        None => until,
    }
}

fn kind(view: &TokenView<'_>, rules: &Rules) -> String {
    let typ = match view.outline.typ.as_deref() {
        Some(typ) => format!("typ {}", Quoted(typ)),
        None => "no typ".to_owned(),
    };
    match &rules.token_use {
        Some(wanted) => format!("{typ}, token_use {}", Quoted(wanted)),
        None if rules.accepted_kind() == AcceptedKind::Any => {
            format!("a token of any kind ({typ})")
        }
        None => format!("an access token ({typ})"),
    }
}

fn required(view: &TokenView<'_>, rules: &Rules) -> String {
    if rules.required_claims.is_empty() {
        return "none is required".to_owned();
    }
    let claims = &view.outline.claims;
    list(rules.required_claims.iter().map(|required| {
        let found = value_of(claims.find(&required.claim));
        match required.demand {
            ClaimDemand::Present => format!("{} is there", required.claim),
            ClaimDemand::OneOf(_) => format!("{} is {found}", required.claim),
        }
    }))
}
