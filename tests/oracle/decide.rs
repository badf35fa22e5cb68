//! The decision about a request, from the documents alone: which route, and which answer.

use std::collections::BTreeSet;

use scopegate::config::Route;
use scopegate::policy::Requirement;

use crate::reading::Path;
use crate::scopes::{admits_all_of, authorize};
use crate::shadows::shadows;

/// A request with a valid token. Its hosts are its own, `*.` with the parent, and "".
pub(crate) struct Request<'r> {
    pub(crate) method: &'r str,
    pub(crate) hosts: &'r [String; 3],
    pub(crate) path: &'r Path,
    pub(crate) scopes: Option<&'r [&'r str]>,
}

/// A method of a route, of whose path `{}` is `{id}` and `{+}` is `{rest+}`. A *pattern* is all
/// entries with one host and path.
pub(crate) struct Entry<'c> {
    pub(crate) host: String,
    pub(crate) path: Path,
    pub(crate) method: String,
    pub(crate) route: &'c Route,
    pub(crate) asks: &'c Requirement,
}

/// The route forwards the request, or it is refused: a status, a reason, and, if it has a
/// challenge, the sets of scopes of which the challenge names one.
pub(crate) enum Answer<'c> {
    Forward(&'c Route),
    Refuse(u16, &'static str, Vec<BTreeSet<String>>),
}

/// Decides about a request. The entries of a more specific path stand before those of others.
pub(crate) fn decide<'c>(entries: &[Entry<'c>], request: &Request<'_>) -> Answer<'c> {
    let refuse = |status, reason| Answer::Refuse(status, reason, Vec::new());
    // The first of the hosts that any route has is final.
    let mut hosts = request.hosts.iter();
    let host = hosts.find(|host| entries.iter().any(|entry| entry.host == **host));
    let patterns = entries.chunk_by(|a, b| a.host == b.host && a.path.segments == b.path.segments);
    let here: Vec<_> = patterns
        .filter(|pattern| Some(&pattern[0].host) == host)
        .collect();
    let is_fitting = |pattern: &&[_]| fits(path_of(pattern), &request.path.segments);
    let fitting: Vec<_> = here.iter().copied().filter(is_fitting).collect();
    let found = find(&fitting, request.method);
    // An ambiguity that the route does not allow goes before 404 and 405.
    let ambiguities = &request.path.ambiguities;
    let allow = found.map(|entry| entry.route.allow).unwrap_or_default();
    let is_allowed = |name: &&str| allow.iter().any(|allowed| allowed.name() == *name);
    if !ambiguities.iter().all(is_allowed) {
        return refuse(400, "ambiguous_path");
    }
    let is_denied = |entry: &Entry<'_>| *entry.asks == Requirement::Denied;
    match (found, fitting.first()) {
        (None, None) => refuse(404, "no_route"),
        (None, Some(nearest)) if nearest.iter().all(is_denied) => refuse(403, "route_denied"),
        (None, Some(_)) => refuse(405, "method_not_allowed"),
        (Some(found), _) if here.iter().any(|other| shadows(other, found, request)) => {
            match ambiguities.is_empty() {
                true => refuse(404, "shadowed_path"),
                false => refuse(400, "ambiguous_path"),
            }
        }
        (Some(found), _) => authorize(found, request.scopes),
    }
}

/// Finds the entry of the most specific pattern. Where that lacks the method, and its group falls
/// through, less specific patterns of the group are tried: until a pattern outside of the group
/// lacks the method, and not behind one that is stricter.
fn find<'e, 'c>(fitting: &[&'e [Entry<'c>]], method: &str) -> Option<&'e Entry<'c>> {
    let (nearest, others) = fitting.split_first()?;
    if let Some(entry) = answering(nearest, method) {
        return Some(entry);
    }
    let (own, mut outside) = (group(nearest)?, Vec::<&Entry<'_>>::new());
    for pattern in others {
        match answering(pattern, method) {
            Some(entry) if entry.route.method_fallthrough == Some(own) => {
                let is_open = outside.iter().all(|other| admits_all_of(other, entry));
                return is_open.then_some(entry);
            }
            Some(entry) => outside.push(entry),
            None if group(pattern) == Some(own) => {}
            None => return None,
        }
    }
    None
}

/// Returns the entry for a method: the one that names it, `GET` for `HEAD`, or `ANY`.
pub(crate) fn answering<'e, 'c>(pattern: &'e [Entry<'c>], method: &str) -> Option<&'e Entry<'c>> {
    let named = |name| pattern.iter().find(|entry| entry.method == name);
    let by_get = named("GET").filter(|entry| method == "HEAD" && entry.route.head);
    let any = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    named(method)
        .or(by_get)
        .or(named("ANY").filter(|_| any.contains(&method)))
}

/// Returns the group that falls through, if all routes of a pattern are in it.
pub(crate) fn group(pattern: &[Entry<'_>]) -> Option<usize> {
    let group = pattern[0].route.method_fallthrough;
    let is_own = |entry: &Entry<'_>| entry.route.method_fallthrough == group;
    group.filter(|_| pattern.iter().all(is_own))
}

pub(crate) fn path_of<'e>(pattern: &'e [Entry<'_>]) -> &'e [String] {
    &pattern[0].path.segments
}

/// Returns whether a pattern fits the segments of a path.
pub(crate) fn fits(pattern: &[String], path: &[String]) -> bool {
    match (pattern, path) {
        ([tail], _) if tail == "**" => true,
        ([tail], [first, ..]) if tail == "{+}" => !first.is_empty(),
        ([own, pattern @ ..], [first, path @ ..]) if own == first => fits(pattern, path),
        ([own, pattern @ ..], [first, path @ ..]) if own == "{}" => {
            !first.is_empty() && fits(pattern, path)
        }
        _ => pattern.is_empty() && path.is_empty(),
    }
}
