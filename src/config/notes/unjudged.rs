//! Notes on places from which some routes take their tokens and other routes do not. On the others
//! the gateway removes such a credential, because it does not verify it; but it forwards the
//! credential if those routes use another upstream entry for the same application.

use std::collections::HashMap;
use std::sync::Arc;

use super::detours;
use crate::config::context::Context;
use crate::config::language::Problem;
use crate::config::{Route, TokenPlaces};
use crate::token::Source;
use crate::upstream::Settings;

/// The limit on the places of one upstream, or of one address, that are checked for notes. Each is
/// compared with each route.
const MAX_PLACES: usize = 16;

/// Adds notes on the treatment of credentials that a route does not verify.
pub(crate) fn note(context: &Context, routes: &[Arc<Route>], upstreams: &[Settings]) {
    let places = TokenPlaces::of(routes);
    let mut protected: HashMap<&str, Vec<&Route>> = HashMap::new();
    for route in routes.iter().filter(|route| route.needs_token()) {
        if let Some(upstream) = route.upstream() {
            protected.entry(upstream).or_default().push(route);
        }
    }
    for upstream in upstreams {
        if let Some(routes) = protected.get(&*upstream.name) {
            note_removed(context, &upstream.name, routes, places.at(&upstream.name));
        }
    }
    for group in at_one_address(upstreams) {
        note_forwarded(context, &group, &protected, &places);
    }
}

/// Notes the places of an upstream that some routes to it do not forward.
fn note_removed(context: &Context, upstream: &str, routes: &[&Route], places: &[Source]) {
    let mut noted: Vec<&Source> = Vec::new();
    for place in places.iter().take(MAX_PLACES) {
        if covers(noted.iter().copied(), place) {
            continue;
        }
        noted.push(place);
        let mut removing = routes
            .iter()
            .filter(|route| !covers(&route.token_from, place));
        let Some(first) = removing.next() else {
            continue;
        };
        let message = format!(
            "\"{place}\", from which routes to upstream \"{}\" take tokens, is removed where it is \
             not verified: on route \"{}\"{}",
            upstream,
            detours::label(first),
            and_others(removing.count()),
        );
        context.note(Problem::without_span(message));
    }
}

/// Notes the places of an upstream that other upstreams at the same address get unverified.
fn note_forwarded(
    context: &Context,
    group: &[&Settings],
    protected: &HashMap<&str, Vec<&Route>>,
    places: &TokenPlaces<'_>,
) {
    let mut noted: Vec<&Source> = Vec::new();
    for owner in group {
        for place in places.at(&owner.name) {
            if noted.len() == MAX_PLACES {
                return;
            }
            if covers(noted.iter().copied(), place) {
                continue;
            }
            noted.push(place);
            let mut forwarding = Vec::new();
            for upstream in group {
                let name = &*upstream.name;
                if protected.contains_key(name) && !covers(places.at(name), place) {
                    forwarding.push(name);
                }
            }
            if let [first, others @ ..] = forwarding.as_slice() {
                let message = format!(
                    "\"{place}\", from which routes to upstream \"{}\" take tokens, reaches the \
                     same address unverified on routes to \"{first}\"{}",
                    owner.name,
                    and_others(others.len()),
                );
                context.note(Problem::without_span(message));
            }
        }
    }
}

/// Returns whether one of the sources reads a place.
fn covers<'s>(sources: impl IntoIterator<Item = &'s Source>, place: &Source) -> bool {
    sources.into_iter().any(|source| source.covers(place))
}

fn and_others(count: usize) -> String {
    match count {
        0 => String::new(),
        1 => " and one other".to_owned(),
        count => format!(" and {count} others"),
    }
}

/// Returns the upstreams that share an address, in groups of two or more.
fn at_one_address(upstreams: &[Settings]) -> Vec<Vec<&Settings>> {
    let addresses = detours::addresses(upstreams);
    if !addresses.shared {
        return Vec::new();
    }
    let mut groups: Vec<Vec<&Settings>> = vec![Vec::new(); upstreams.len()];
    for upstream in upstreams {
        let Some(address) = addresses.by_name.get(&*upstream.name) else {
            continue;
        };
        if let Some(group) = groups.get_mut(*address) {
            group.push(upstream);
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}
