//! The places in requests from which the routes to an upstream take their tokens.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::Route;
use crate::token::Source;

/// For each upstream, the fields, cookies and parameters from which its protected routes take
/// tokens.
///
/// The application trusts a token in such a place, because the gateway has verified it there. On a
/// route that takes its token from elsewhere the place is not verified, and the application would
/// accept a token that the client forged. `Authorization` is not among the places:
/// `forward_authorization` decides about it.
#[derive(Debug)]
pub struct TokenPlaces<'c> {
    by_upstream: HashMap<&'c str, Arc<[Source]>>,
}

impl<'c> TokenPlaces<'c> {
    /// Collects the places of all routes, in their order. Takes time linear in the number of
    /// routes.
    #[must_use]
    pub fn of(routes: &'c [Arc<Route>]) -> Self {
        let mut known = HashSet::new();
        let mut places: HashMap<&str, Vec<Source>> = HashMap::new();
        for route in routes.iter().filter(|route| route.needs_token()) {
            let Some(upstream) = route.upstream() else {
                continue;
            };
            for source in other_sources(route) {
                if known.insert((&**upstream, source)) {
                    let places = places.entry(upstream).or_default();
                    places.push(source.clone());
                }
            }
        }
        let mut by_upstream: HashMap<&str, Arc<[Source]>> = HashMap::with_capacity(places.len());
        for (upstream, places) in places {
            by_upstream.insert(upstream, places.into());
        }
        Self { by_upstream }
    }

    /// Returns the places of an upstream, by its name.
    #[must_use]
    pub fn at(&self, upstream: &str) -> &[Source] {
        match self.by_upstream.get(upstream) {
            Some(places) => places,
            None => &[],
        }
    }

    /// Returns the places of a route's upstream, its own among them. Returns `None` for a route
    /// that reads all of them, or that needs no token.
    #[must_use]
    pub fn beyond(&self, route: &Route) -> Option<&Arc<[Source]>> {
        let all = self.by_upstream.get(&**route.upstream()?)?;
        // Each of the route's own places is in the list, once.
        (route.needs_token() && all.len() > other_sources(route).count()).then_some(all)
    }
}

/// Returns the places that a route with the sources `own` does not read.
pub fn unjudged<'p>(places: &'p [Source], own: &'p [Source]) -> impl Iterator<Item = &'p Source> {
    places
        .iter()
        .filter(|place| !own.iter().any(|own| own.covers(place)))
}

/// Returns the sources of a route other than `Authorization`.
fn other_sources(route: &Route) -> impl Iterator<Item = &Source> {
    route
        .token_from
        .iter()
        .filter(|source| !source.is_authorization())
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    const ROUTES: &str = r#"
[issuers.idp]
issuer   = "https://idp.example.com/"
audience = "api"

[upstreams.shop]
url = "http://shop"

[upstreams.other]
url = "http://other"

[defaults]
upstream = "shop"

[[groups]]
prefix     = "/browser"
token_from = "cookie:session"
scopes     = "a"
routes     = [{ path = "/a" }, { path = "/b", token_from = ["authorization:bearer", "cookie:session", "query:t"] }]

[[routes]]
path   = "/api"
scopes = "a"

[[routes]]
path       = "/mixed"
methods    = { GET = { public = true }, POST = "a" }
token_from = ["authorization:raw", "header:x-token"]

[[groups]]
prefix     = "/public"
token_from = "cookie:public"
routes     = [{ path = "/", public = true }, { path = "/else", upstream = "other", scopes = "a" }]

[[routes]]
path     = "/other"
upstream = "other"
scopes   = "a"
token_from = "cookie:public"

[[routes]]
path       = "/all"
scopes     = "a"
token_from = ["query:t", "header:x-token", "cookie:session"]
"#;

    fn texts<'s>(sources: impl IntoIterator<Item = &'s Source>) -> Vec<String> {
        sources.into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn routes_to_one_upstream_know_the_places_of_each_other() {
        let config = Config::parse(ROUTES, "gateway.toml")
            .unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        let places = TokenPlaces::of(&config.routes);
        assert_eq!(
            texts(places.at("shop")),
            ["cookie:session", "query:t", "header:x-token"]
        );
        assert_eq!(texts(places.at("other")), ["cookie:public"]);
        assert_eq!(places.at("none"), []);
        let unjudged_by = |path: &str| {
            let route = config
                .routes
                .iter()
                .find(|route| route.pattern.to_string() == path)
                .unwrap();
            places
                .beyond(route)
                .map(|all| texts(unjudged(all, &route.token_from)))
        };
        for (path, expected) in [
            ("/browser/a", Some(&["query:t", "header:x-token"][..])),
            ("/browser/b", Some(&["header:x-token"])),
            (
                "/api",
                Some(&["cookie:session", "query:t", "header:x-token"]),
            ),
            ("/mixed", Some(&["cookie:session", "query:t"])),
            ("/public/", None),
            ("/public/else", None),
            ("/other", None),
            ("/all", None),
        ] {
            let expected =
                expected.map(|texts| texts.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(unjudged_by(path), expected, "{path}");
        }
    }
}
