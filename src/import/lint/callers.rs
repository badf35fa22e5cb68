//! The callers whom one rule of the route table admits, beside those of an operation.

use std::collections::BTreeSet;

use super::model::{Callers, Kind, TokenKind};
use crate::config::{Issuer, RouteMethod};
use crate::token::TypPolicy;

/// What a route takes in place of an operation.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Finding {
    pub(super) kind: Kind,
    /// The index of the route.
    pub(super) route: usize,
    /// What the operation takes, and what the route takes.
    pub(super) asked: [String; 2],
}

/// Returns how the callers whom a rule with these issuers admits differ from those of an operation.
pub(super) fn findings(rule: &RouteMethod, issuers: &[&Issuer], callers: &Callers) -> Vec<Finding> {
    let mut found = Vec::new();
    if callers.are_exceeded_by(&rule.requirement) {
        found.push(Finding {
            kind: Kind::WeakerRoute,
            route: rule.route,
            asked: [callers.shown(), rule.requirement.to_string()],
        });
    }
    if rule.requirement.needs_token() {
        found.extend(other_issuers(rule.route, issuers, callers));
        found.extend(other_tokens(rule.route, issuers, callers));
    }
    found
}

/// Returns the difference if a route takes tokens of an issuer that is none of the operation's.
fn other_issuers(route: usize, issuers: &[&Issuer], callers: &Callers) -> Option<Finding> {
    let known = callers.issuers.as_ref()?;
    let mut others = BTreeSet::new();
    for issuer in issuers {
        let iss = issuer.entry.issuer.to_string();
        if !known.contains(&iss) {
            others.insert(iss);
        }
    }
    let listed = |all: &BTreeSet<String>| all.iter().cloned().collect::<Vec<_>>().join(" or ");
    (!others.is_empty()).then(|| Finding {
        kind: Kind::OtherIssuer,
        route,
        asked: [listed(known), listed(&others)],
    })
}

/// Returns the difference if a route takes tokens of another kind than the operation.
fn other_tokens(route: usize, issuers: &[&Issuer], callers: &Callers) -> Option<Finding> {
    let known = callers.tokens?;
    let mut kinds = issuers.iter().map(|issuer| token_kind(issuer));
    let other = kinds.find(|kind| !known.includes(*kind))?;
    Some(Finding {
        kind: Kind::OtherTokens,
        route,
        asked: [known, other].map(|kind| kind.name().to_owned()),
    })
}

fn token_kind(issuer: &Issuer) -> TokenKind {
    let rules = &issuer.rules;
    match (rules.token_use.as_deref(), rules.typ) {
        (Some("id"), _) => TokenKind::Id,
        (None, TypPolicy::Any) => TokenKind::Both,
        _ => TokenKind::Access,
    }
}
