//! The scopes of a token: which callers pass, and what a challenge asks for.

use std::collections::BTreeSet;

use scopegate::policy::{Requirement, Rule, Scope, Term};

use crate::decide::{Answer, Entry};

/// Decides about a caller: without a token, or with one that has these scopes.
pub(crate) fn authorize<'c>(found: &Entry<'c>, scopes: Option<&[&str]>) -> Answer<'c> {
    let sets = sets(found.asks);
    let refuse =
        |status, reason, granted| Answer::Refuse(status, reason, challenges(found.asks, granted));
    match (found.asks, scopes) {
        (Requirement::Denied, _) => Answer::Refuse(403, "route_denied", Vec::new()),
        (Requirement::Public, _) => Answer::Forward(found.route),
        (_, None) => refuse(401, "missing_token", &[]),
        (_, Some(granted)) if has_one(granted, &sets) => Answer::Forward(found.route),
        (_, Some(granted)) => refuse(403, "insufficient_scope", granted),
    }
}

/// Returns whether an entry lets every caller pass whom another one lets pass.
pub(crate) fn admits_all_of(own: &Entry<'_>, other: &Entry<'_>) -> bool {
    match (own.asks, other.asks) {
        (Requirement::Public, _) | (_, Requirement::Denied) => true,
        (Requirement::Denied, _) | (_, Requirement::Public) => false,
        (own, other) => sets(other)
            .iter()
            .all(|granted| has_one(granted, &sets(own))),
    }
}

fn has_one(granted: &[&str], sets: &[Vec<&str>]) -> bool {
    sets.iter().any(|set| lacking(set, granted) == 0)
}

/// Returns the sets of scopes of which a token has to have one.
fn sets(asks: &Requirement) -> Vec<Vec<&str>> {
    match asks {
        Requirement::Scopes(Rule::All(terms)) => terms.iter().fold(vec![vec![]], |sets, term| {
            let options = options(term);
            let with = |set: &Vec<_>| {
                options
                    .iter()
                    .map(|option| [&set[..], option].concat())
                    .collect()
            };
            sets.iter().flat_map::<Vec<_>, _>(with).collect()
        }),
        Requirement::Scopes(Rule::Any(terms)) => terms.iter().flat_map(options).collect(),
        _ => vec![vec![]],
    }
}

fn options(term: &Term) -> Vec<Vec<&str>> {
    match term {
        Term::Scope(scope) => vec![vec![scope.as_str()]],
        Term::All(scopes) => vec![scopes.iter().map(Scope::as_str).collect()],
        Term::Any(scopes) => scopes.iter().map(|scope| vec![scope.as_str()]).collect(),
    }
}

/// Returns the number of scopes of a set that are not granted.
fn lacking(set: &[&str], granted: &[&str]) -> usize {
    let set: BTreeSet<_> = set.iter().collect();
    set.into_iter()
        .filter(|scope| !granted.contains(scope))
        .count()
}

/// Returns the sets that a challenge may name; the order of their scopes means nothing. With `any`
/// it is the first of those that lack the fewest scopes, or a part of it that would do as well;
/// with
/// `all` a smallest one of those.
fn challenges(asks: &Requirement, granted: &[&str]) -> Vec<BTreeSet<String>> {
    let sets = sets(asks);
    let first = sets.iter().min_by_key(|set| lacking(set, granted));
    let is_part = |set: &&Vec<&str>| first.is_some_and(|first| lacking(set, first) == 0);
    let cost = |set: &Vec<&str>| (lacking(set, granted), lacking(set, &[]));
    let (kept, count): (Vec<_>, _) = match asks {
        Requirement::Scopes(Rule::Any(_)) => (sets.iter().filter(is_part).collect(), 1),
        _ => (sets.iter().collect(), sets.len()),
    };
    let least = kept.iter().map(|set| cost(set)).min();
    let nearest = kept
        .into_iter()
        .filter(|set| Some(cost(set)) == least)
        .take(count);
    nearest
        .map(|set| set.iter().map(ToString::to_string).collect())
        .collect()
}
