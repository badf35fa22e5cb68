//! The rule for a target.

use super::{AmbiguityRefusal, Cause, Refusal};
use crate::policy::Denial;
use crate::route::{Miss, Target};
use crate::snapshot::{Route, RouteMethod, Snapshot, is_metadata_path};

/// A rule of a snapshot, and the route that it belongs to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rule<'s> {
    pub(super) entry: &'s RouteMethod,
    pub(super) route: &'s Route,
}

/// Finds the rule for a target. An ambiguous path is refused unless the matched route allows it,
/// and before "not found" is answered: for a path with two readings, "not found" would be true of
/// one of them only.
pub(super) fn find<'s>(
    snapshot: &'s Snapshot,
    target: &Target<'_>,
) -> Result<Rule<'s>, Refusal<'s>> {
    let found = snapshot.table.find(target);
    let matched = match &found {
        Ok(entry) | Err(Miss::Shadowed { found: entry, .. }) => snapshot.routes.get(entry.route),
        Err(_) => None,
    };
    if let Some(cause) = ambiguity(target, matched) {
        let group = match matched {
            Some(_) => None,
            None => snapshot.groups.find(target),
        };
        return Err(Refusal {
            route: matched,
            group,
            ..Refusal::unrouted(cause)
        });
    }
    match (found, matched) {
        (Ok(entry), Some(route)) => Ok(Rule { entry, route }),
        (Err(Miss::Method { allow, nearest }), _) => Err(Refusal {
            route: snapshot.routes.get(nearest.route),
            ..Refusal::unrouted(other_methods(&allow))
        }),
        (Err(Miss::Shadowed { by, .. }), Some(route)) => {
            Err(Refusal::at(route, shadowed(snapshot, target, by)))
        }
        (Ok(_) | Err(_), _) => Err(Refusal {
            group: snapshot.groups.find(target),
            ..Refusal::unrouted(not_found(target))
        }),
    }
}

/// Returns the cause for a path that lacks the method of a request. If every method that it has is
/// denied, so is this one: a client can do nothing with a 405 that permits no method.
fn other_methods(allow: &str) -> Cause {
    if allow.is_empty() {
        return Cause::Denied(Denial::RouteDenied);
    }
    Cause::Method {
        allow: allow.into(),
    }
}

fn not_found(target: &Target<'_>) -> Cause {
    if is_metadata_path(target.path()) {
        Cause::NoMetadata
    } else {
        Cause::NotFound
    }
}

/// Returns the cause for a path with an ambiguity that its route does not allow.
fn ambiguity(target: &Target<'_>, route: Option<&Route>) -> Option<Cause> {
    let (allowed, barred) = match route {
        Some(route) => (route.config.allow, AmbiguityRefusal::NotAllowed),
        None => (Default::default(), AmbiguityRefusal::NoRoute),
    };
    let what = target.ambiguities().first_beyond(allowed)?;
    Some(Cause::Ambiguous { what, barred })
}

/// Returns the cause for a path that a tolerant application may read as one of a stricter route. If
/// the path is ambiguous, the matched route allows that, and the cause is the ambiguity: the
/// spelling is answered as if it were not allowed.
fn shadowed(snapshot: &Snapshot, target: &Target<'_>, by: &RouteMethod) -> Cause {
    let by = match snapshot.routes.get(by.route) {
        Some(route) => route.label.clone(),
        None => Box::default(),
    };
    match target.ambiguities().iter().next() {
        Some(what) => Cause::Ambiguous {
            what,
            barred: AmbiguityRefusal::Shadowed(by),
        },
        None => Cause::Shadowed { by },
    }
}
