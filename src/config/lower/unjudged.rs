//! Notes on credentials from which some routes take their tokens and others do not: where they are
//! removed because they are not judged, and where they are forwarded because the application has a
//! second name.

use std::collections::HashMap;

use super::super::load::Context;
use super::super::problem::Problem;
use super::super::token_places::asks_for_token;
use super::super::{Route, TokenPlaces};
use super::detours;
use crate::token::Source;
use crate::upstream::Settings;

/// Places of one upstream, or of one address, that are looked at for notes. Each is compared with
/// each route.
const MOST_PLACES: usize = 16;

/// Notes what becomes of credentials that a route does not judge.
pub(super) fn note(context: &Context, routes: &[Route], upstreams: &[Settings]) {
    let places = TokenPlaces::of(routes);
    let mut protected: HashMap<&str, Vec<&Route>> = HashMap::new();
    for route in routes.iter().filter(|route| asks_for_token(route)) {
        protected.entry(&route.upstream).or_default().push(route);
    }
    for upstream in upstreams {
        let routes = protected
            .get(&*upstream.name)
            .map(|routes| &**routes)
            .unwrap_or_default();
        note_removed(context, routes, places.at(&upstream.name));
    }
    for group in at_one_address(upstreams) {
        note_forwarded(context, &group, &protected, &places);
    }
}

/// Notes which of the places of their upstream the routes to it do not forward.
fn note_removed(context: &Context, routes: &[&Route], places: &[Source]) {
    let mut noted: Vec<&Source> = Vec::new();
    for place in places.iter().take(MOST_PLACES) {
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
            "\"{place}\", from which routes to upstream \"{}\" take tokens, is removed where it is not judged: on route \
             \"{}\"{}",
            first.upstream,
            detours::label(first),
            and_others(removing.count()),
        );
        context.note(Problem::without_span(message));
    }
}

/// Notes which places of one upstream others at the same address get unjudged.
fn note_forwarded(
    context: &Context,
    group: &[&Settings],
    protected: &HashMap<&str, Vec<&Route>>,
    places: &TokenPlaces<'_>,
) {
    let mut noted: Vec<&Source> = Vec::new();
    for (owner, place) in group.iter().flat_map(|owner| {
        places
            .at(&owner.name)
            .iter()
            .map(move |place| (owner, place))
    }) {
        if noted.len() == MOST_PLACES {
            return;
        }
        if covers(noted.iter().copied(), place) {
            continue;
        }
        noted.push(place);
        let mut forwarding = group.iter().filter(|upstream| {
            protected.contains_key(&*upstream.name) && !covers(places.at(&upstream.name), place)
        });
        let Some(first) = forwarding.next() else {
            continue;
        };
        let message = format!(
            "\"{place}\", from which routes to upstream \"{}\" take tokens, reaches the same address unjudged on routes \
             to \"{}\"{}",
            owner.name,
            first.name,
            and_others(forwarding.count()),
        );
        context.note(Problem::without_span(message));
    }
}

/// Whether one of the sources reads what is in a place.
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

/// The upstreams that have an address in common, in groups of two or more.
fn at_one_address(upstreams: &[Settings]) -> Vec<Vec<&Settings>> {
    let (places, shared) = detours::places(upstreams);
    if !shared {
        return Vec::new();
    }
    let mut groups: Vec<Vec<&Settings>> = vec![Vec::new(); upstreams.len()];
    for upstream in upstreams {
        if let Some(group) = places
            .get(&*upstream.name)
            .and_then(|place| groups.get_mut(*place))
        {
            group.push(upstream);
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}
