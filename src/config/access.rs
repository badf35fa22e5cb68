//! The lines of the route table: what each method of each route asks, and how two of them compare.

use std::collections::HashMap;
use std::sync::Arc;

use super::Route;
use crate::policy::Requirement;
use crate::route::{Access, Rule};
use crate::token::Source;

/// A value of the table: a route, and the requirement of one of its methods.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Index into the configuration's routes.
    pub route: usize,
    /// The authorization.
    pub requirement: Requirement,
    callers: Arc<Callers>,
    class: usize,
}

/// The issuers, token sources and upstream of a route.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Callers {
    upstream: Arc<str>,
    issuers: Vec<Arc<str>>,
    token_from: Vec<Source>,
}

/// The lines of the route table, in the order of the routes.
#[must_use]
pub fn rules(routes: &[Route]) -> Vec<Rule<Entry>> {
    let callers: Vec<_> = routes.iter().map(|route| Arc::new(Callers::of(route))).collect();
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
                distinct: route.distinct,
                value: Entry {
                    route: index,
                    requirement: requirement.clone(),
                    callers: callers.clone(),
                    class,
                },
            });
        }
    }
    rules
}

impl Callers {
    fn of(route: &Route) -> Self {
        Self {
            upstream: route.upstream.clone(),
            issuers: route.issuers.clone(),
            token_from: route.token_from.clone(),
        }
    }

    /// Whether every token that another route would take is taken here, from where it is.
    fn take_all_of(&self, other: &Self) -> bool {
        other.issuers.iter().all(|issuer| self.issuers.contains(issuer))
            && other.token_from.iter().all(|source| self.token_from.contains(source))
    }
}

impl Access for Entry {
    fn same_upstream(&self, other: &Self) -> bool {
        self.callers.upstream == other.callers.upstream
    }

    fn admits_all_of(&self, other: &Self) -> bool {
        self.class == other.class
            || self.requirement == Requirement::Public
            || self.requirement.admits_all_of(&other.requirement) && self.callers.take_all_of(&other.callers)
    }

    fn class(&self) -> usize {
        self.class
    }
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::*;

    /// Whether the second route of a file admits every caller that the first admits.
    fn admits(first: &str, second: &str) -> bool {
        let issuer = |name: &str| {
            format!("[issuers.{name}]\nissuer = \"https://{name}.example.com/\"\naudience = \"api\"\n")
        };
        let route = |path: &str, asked: &str| format!("[[routes]]\npath = \"{path}\"\n{asked}\n");
        let text = format!(
            "{}{}[upstreams.u]\nurl = \"http://u\"\n[defaults]\nupstream = \"u\"\nissuer = [\"a\", \"b\"]\n{}{}",
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
            ("scopes = \"a\"\ntoken_from = \"cookie:c\"", "scopes = \"a\"", false),
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
