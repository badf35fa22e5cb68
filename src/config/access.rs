//! The rules of the route table: the requirement of each method of each route, and how two of them
//! compare.

use std::collections::HashMap;
use std::sync::Arc;

use super::{Handler, Heads, Route};
use crate::policy::Requirement;
use crate::route::{Access, Ambiguities, Rule};
use crate::token::Source;
use crate::transform::{Origin, Origins};

/// The value of a rule in the route table: a route, and the requirement of one of its methods.
#[derive(Clone, Debug)]
pub struct RouteMethod {
    /// The index into the configuration's routes.
    pub route: usize,
    /// The requirement of the method.
    pub requirement: Requirement,
    callers: Arc<Callers>,
    allow: Ambiguities,
    class: usize,
}

/// The issuers, token sources and answerer of a route, and the pages whose requests it takes.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Callers {
    application: Application,
    issuers: Vec<Arc<str>>,
    token_from: Vec<Source>,
    pages: Pages,
}

/// The application that a route leads to.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Application {
    /// That of the upstream of this name.
    Upstream(Arc<str>),
    /// No application: the gateway answers itself. Nothing is protected by such a route, and no
    /// application is reached by it.
    Gateway,
    /// Each one: the route denies every request, and names no upstream.
    All,
}

impl Application {
    fn of(handler: &Handler) -> Self {
        match handler {
            Handler::Upstream(name) => Self::Upstream(name.clone()),
            Handler::Respond(_) => Self::Gateway,
            Handler::Nobody => Self::All,
        }
    }

    /// Returns whether a request for `other` may reach what this one protects.
    fn is_reached_by(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Gateway, _) | (_, Self::Gateway) => false,
            (Self::All, _) | (_, Self::All) => true,
            (Self::Upstream(own), Self::Upstream(other)) => own == other,
        }
    }
}

/// The pages of other origins that may send a token in a cookie.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Pages {
    /// Every page. This is also the value of a route that takes no token from a cookie: a browser
    /// adds only cookies to a request by itself.
    Any,
    /// The pages of `cookie_origins`, and those that the CORS settings name individually.
    These(Vec<Origin>),
}

/// Returns the rules of the route table, in the order of the routes.
#[must_use]
pub fn rules(routes: &[Arc<Route>]) -> Vec<Rule<RouteMethod>> {
    let mut callers = Vec::with_capacity(routes.len());
    for route in routes {
        callers.push(Arc::new(Callers::of(route)));
    }
    let mut classes = HashMap::new();
    let mut rules = Vec::with_capacity(routes.len());
    for (index, (route, callers)) in routes.iter().zip(&callers).enumerate() {
        for (method, requirement) in &route.methods {
            let next = classes.len();
            let class = *classes.entry((requirement, &**callers)).or_insert(next);
            rules.push(Rule {
                host: route.host.clone(),
                pattern: route.pattern.clone(),
                method: method.clone(),
                method_fallthrough: route.method_fallthrough,
                head: route.head,
                distinct: route.distinct,
                value: RouteMethod {
                    route: index,
                    requirement: requirement.clone(),
                    callers: callers.clone(),
                    allow: route.allow,
                    class,
                },
            });
        }
    }
    rules
}

impl Callers {
    /// Takes the conditions of a route. Every field is named, so that a new one does not compile
    /// before it is decided whether it is a condition: one that is forgotten here would leave paths
    /// of a stricter route open.
    fn of(route: &Route) -> Self {
        let Route {
            handler,
            issuers,
            token_from,
            // The pages, with the CORS settings in `heads`.
            cookie_origins: _,
            heads,
            // The table compares these itself, as fields of `Rule` and `RouteMethod`.
            host: _,
            pattern: _,
            methods: _,
            allow: _,
            distinct: _,
            method_fallthrough: _,
            head: _,
            // These admit and refuse no caller.
            strip: _,
            forward_token: _,
            forward_authorization: _,
            resource: _,
            forward: _,
            body_bytes: _,
            response_timeout: _,
            websocket: _,
            errors: _,
            place: _,
        } = route;
        let Heads {
            cors: _,
            request: _,
            response: _,
            rewrite: _,
            method: _,
            request_timeout: _,
            idle_body: _,
        } = heads;
        Self {
            application: Application::of(handler),
            issuers: issuers.clone(),
            token_from: token_from.clone(),
            pages: Pages::of(route),
        }
    }

    /// Returns whether this route takes every token of another route, from the same sources and the
    /// same pages.
    fn take_all_of(&self, other: &Self) -> bool {
        // Every field is named here as well.
        let Self {
            application: _,
            issuers,
            token_from,
            pages,
        } = self;
        contains_all(issuers, &other.issuers)
            && contains_all(token_from, &other.token_from)
            && (!takes_cookies(&other.token_from) || pages.contain(&other.pages))
    }
}

fn contains_all<T: PartialEq>(all: &[T], some: &[T]) -> bool {
    some.iter().all(|item| all.contains(item))
}

impl Pages {
    fn of(route: &Route) -> Self {
        if !takes_cookies(&route.token_from) || route.cookie_origins == Some(Origins::Any) {
            return Self::Any;
        }
        let mut pages = Vec::new();
        if let Some(origins) = &route.cookie_origins {
            pages.extend_from_slice(listed(origins));
        }
        if let Some(cors) = &route.heads.cors {
            let named = listed(&cors.origins).iter();
            pages.extend(named.filter(|origin| !origin.is_pattern()).cloned());
        }
        Self::These(pages)
    }

    /// Returns whether this list contains another list. A wildcard is compared as it is written.
    fn contain(&self, others: &Self) -> bool {
        match (self, others) {
            (Self::Any, _) => true,
            (Self::These(_), Self::Any) => false,
            (Self::These(own), Self::These(others)) => contains_all(own, others),
        }
    }
}

/// Returns the origins of a list; none for `any`.
fn listed(origins: &Origins) -> &[Origin] {
    match origins {
        Origins::Any => &[],
        Origins::These(list) => list,
    }
}

fn takes_cookies(sources: &[Source]) -> bool {
    sources
        .iter()
        .any(|source| matches!(source, Source::Cookie(_)))
}

impl Access for RouteMethod {
    fn allows(&self) -> Ambiguities {
        self.allow
    }

    fn same_upstream(&self, other: &Self) -> bool {
        let (own, other) = (&self.callers.application, &other.callers.application);
        own.is_reached_by(other)
    }

    fn is_denied(&self) -> bool {
        self.requirement.is_denied()
    }

    fn admits_all_of(&self, other: &Self) -> bool {
        self.class == other.class
            || matches!(self.requirement, Requirement::Public)
            || other.is_denied()
            || self.requirement.admits_all_of(&other.requirement)
                && self.callers.take_all_of(&other.callers)
    }

    fn class(&self) -> usize {
        self.class
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    /// Returns whether the second route of a file admits every caller that the first admits.
    fn admits(first: &str, second: &str) -> bool {
        let issuer = |name: &str| {
            format!(
                "[issuers.{name}]\nissuer = \"https://{name}.example.com/\"\naudience = \"api\"\n"
            )
        };
        let route = |path: &str, asked: &str| format!("[[routes]]\npath = \"{path}\"\n{asked}\n");
        let text = format!(
            "{}{}[upstreams.u]\nurl = \"http://u\"\n[defaults]\nupstream = \"u\"\n\
             issuer = [\"a\", \"b\"]\n{}{}",
            issuer("a"),
            issuer("b"),
            route("/first", first),
            route("/second", second)
        );
        let config = Config::parse(&text, "gateway.toml")
            .unwrap_or_else(|problems| panic!("{}", problems.render(false)));
        let rules = rules(&config.routes);
        rules[1].value.admits_all_of(&rules[0].value)
    }

    #[test]
    fn routes_that_take_cookies_are_compared_by_the_pages_that_may_send_them() {
        let cookie = |lines: &str| format!("scopes = \"a\"\ntoken_from = \"cookie:c\"\n{lines}");
        let cors = |origins: &str| format!("cors = {{ origins = {origins} }}");
        let list = "cookie_origins = [\"https://a.example\"]";
        let longer = "cookie_origins = [\"https://b.example\", \"https://a.example\"]";
        for (first, second, expected) in [
            ("", "", true),
            ("cookie_origins = \"any\"", "", false),
            ("", "cookie_origins = \"any\"", true),
            (list, "", false),
            (list, longer, true),
            (longer, list, false),
            (list, &cors("[\"https://a.example\"]"), true),
            (&cors("[\"https://a.example\"]"), "", false),
            (&cors("\"any\""), "", true),
            (&cors("[\"https://*.example\"]"), "", true),
        ] {
            assert_eq!(
                admits(&cookie(first), &cookie(second)),
                expected,
                "{first} | {second}"
            );
        }
        let both = "scopes = \"a\"\ntoken_from = [\"authorization:bearer\", \"cookie:c\"]";
        assert!(admits("scopes = \"a\"", both));
        assert!(!admits(&format!("{both}\ncookie_origins = \"any\""), both));
    }

    #[test]
    fn routes_are_compared_by_scopes_issuers_and_where_a_token_is() {
        for (first, second, expected) in [
            ("public = true", "public = true", true),
            ("scopes = \"a\"", "public = true", true),
            ("public = true", "scopes = \"a\"", false),
            ("scopes = \"a\"", "scopes = { any = [\"a\", \"b\"] }", true),
            ("scopes = { any = [\"a\", \"b\"] }", "scopes = \"a\"", false),
            ("authenticated = true", "scopes = \"a\"", false),
            ("scopes = \"a\"", "authenticated = true", true),
            ("scopes = \"a\"", "scopes = \"a\"\nissuer = \"b\"", false),
            ("scopes = \"a\"\nissuer = \"b\"", "scopes = \"a\"", true),
            (
                "scopes = \"a\"\ntoken_from = \"cookie:c\"",
                "scopes = \"a\"",
                false,
            ),
            (
                "scopes = \"a\"\ntoken_from = \"cookie:c\"",
                "scopes = \"a\"\ntoken_from = [\"authorization:bearer\", \"cookie:c\"]",
                true,
            ),
        ] {
            assert_eq!(admits(first, second), expected, "{first} | {second}");
        }
    }
}
