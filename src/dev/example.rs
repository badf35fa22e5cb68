//! Example command lines for the routes of the configuration, which a user can try first.
//!
//! They need only `curl` and `cut`, and can be pasted without changes.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use percent_encoding::{AsciiSet, CONTROLS, NON_ALPHANUMERIC, utf8_percent_encode};

use super::client::{CLIENT_ID, CLIENT_SECRET};
use crate::config::{Config, Errors, Handler, Route};
use crate::policy::{Requirement, Rule, Scope, ScopeSet};
use crate::route::{HostPattern, MethodPattern};
use crate::token::Source;

/// A command line and its result.
#[derive(Debug, PartialEq, Eq)]
pub struct Example {
    /// The result as one clause, without a full stop.
    pub about: String,
    /// The command line.
    pub line: String,
}

/// The characters of a path that curl or a shell would interpret, or that a URL cannot contain.
const IN_PATH: &AsciiSet = &CONTROLS
    .add(b'[')
    .add(b']')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'`')
    .add(b'^')
    .add(b'|')
    .add(b'\'');
const IN_FORM: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'.')
    .remove(b'_')
    .remove(b'-')
    .remove(b'~')
    .remove(b'/')
    .remove(b':');

/// Extracts the token from the answer of the embedded issuer, which has it first.
const CUT: &str = "cut -d '\"' -f 4";

/// One method of one route.
#[derive(Clone, Copy)]
struct Call<'a> {
    route: &'a Route,
    method: &'a str,
    requirement: &'a Requirement,
}

/// Returns the statuses of refusals, which depend on the form of a route's answers.
#[derive(Clone, Copy)]
pub struct Refusals {
    /// Returns the status for a request without a token.
    pub without_token: fn(&Errors) -> u16,
    /// Returns the status for a token that lacks a scope.
    pub without_scope: fn(&Errors) -> u16,
}

/// The addresses in the command lines, and the results of refused ones.
struct Addresses {
    refusals: Refusals,
    gateway: String,
    issuer: String,
    /// Set if there are several issuers, each of which has its own path.
    several: bool,
}

/// Returns example lines: a token, a call that is allowed, one without the scope, one without a
/// token; then the other kinds of routes that the configuration has.
#[must_use]
pub fn examples(
    config: &Config,
    gateway: SocketAddr,
    issuer: SocketAddr,
    refusals: Refusals,
) -> Vec<Example> {
    let addresses = Addresses {
        refusals,
        gateway: format!("http://{}", reachable(gateway)),
        issuer: format!("http://{}", reachable(issuer)),
        several: config.issuers.len() > 1,
    };
    let calls = calls(config);
    let mut lines = Vec::new();
    let scoped = calls.iter().filter(|call| call.rule().is_some());
    let simplest = scoped.min_by_key(|call| call.effort());
    if let Some(call) = simplest.or(find(&calls, &Requirement::Authenticated)) {
        lines.extend(addresses.protected(call, &calls));
    }
    if let Some(call) = find(&calls, &Requirement::Public) {
        lines.push(Example {
            about: "200, because the route is public".into(),
            line: addresses.request(call, None),
        });
    }
    if let Some(call) = calls.iter().find(|call| call.takes_raw_tokens()) {
        lines.extend(addresses.raw(call));
    }
    lines
}

fn find<'c, 'a>(calls: &'c [Call<'a>], requirement: &Requirement) -> Option<&'c Call<'a>> {
    calls.iter().find(|call| call.requirement == requirement)
}

impl Call<'_> {
    fn errors(&self) -> &Errors {
        &self.route.errors
    }

    fn rule(&self) -> Option<&Rule> {
        match self.requirement {
            Requirement::Scopes(rule) => Some(rule),
            Requirement::Public | Requirement::Authenticated | Requirement::Denied => None,
        }
    }

    /// Returns how much the call differs from the simplest one: a GET with a bearer token to a
    /// fixed path.
    fn effort(&self) -> usize {
        let is_bearer = self.route.token_from.contains(&Source::Bearer);
        let is_fixed = !self.route.pattern.as_str().contains(['{', '*']);
        let is_plain = is_fixed && self.route.host.is_none();
        usize::from(!is_bearer) + usize::from(self.method != "GET") + usize::from(!is_plain)
    }

    fn takes_raw_tokens(&self) -> bool {
        self.rule().is_some() && self.route.token_from.contains(&Source::Raw)
    }

    /// Returns the smallest set of scopes that is allowed; `None` if no scope is required.
    fn scopes(&self) -> Option<Vec<Scope>> {
        self.rule().map(|rule| rule.missing(&ScopeSet::default()))
    }

    fn source(&self) -> Option<&Source> {
        let sources = &self.route.token_from;
        let bearer = sources.iter().find(|source| **source == Source::Bearer);
        bearer.or(sources.first())
    }

    /// Returns a call that a token of the same issuer with these scopes is refused for, preferably
    /// one of the same route.
    fn refused_with<'c, 'a>(
        &self,
        granted: &ScopeSet,
        calls: &'c [Call<'a>],
    ) -> Option<&'c Call<'a>> {
        let mut found = None;
        for other in calls {
            let is_refused = other.rule().is_some_and(|rule| !rule.holds(granted));
            let has_same_issuer = other.route.issuers.first() == self.route.issuers.first();
            if !is_refused || !has_same_issuer {
                continue;
            }
            if std::ptr::eq(other.route, self.route) {
                return Some(other);
            }
            found = found.or(Some(other));
        }
        found
    }
}

impl Addresses {
    /// Returns the lines for one call: the token, 200, 403 and 401.
    fn protected(&self, call: &Call<'_>, calls: &[Call<'_>]) -> Vec<Example> {
        let scopes = call.scopes();
        let about = match &scopes {
            Some(scopes) => format!("a token with {}", list(scopes)),
            None => "a token".into(),
        };
        let mut lines = vec![
            Example {
                about,
                line: format!("TOKEN=$({})", self.token(call, scopes.as_deref())),
            },
            Example {
                about: "200".into(),
                line: self.request(call, call.source()),
            },
        ];
        lines.extend(self.forbidden(call, scopes.as_deref().unwrap_or_default(), calls));
        let status = (self.refusals.without_token)(call.errors());
        lines.push(Example {
            about: format!("{status}, without a token"),
            line: self.request(call, None),
        });
        lines
    }

    /// Returns a call that is refused with the same token, preferably on the same route; otherwise
    /// a call with another token.
    fn forbidden(&self, call: &Call<'_>, scopes: &[Scope], calls: &[Call<'_>]) -> Option<Example> {
        let granted = ScopeSet::of(scopes.iter().map(Scope::as_str));
        let Some(other) = call.refused_with(&granted, calls) else {
            return self.forbidden_with_less(call, calls);
        };
        let missing = other.rule()?.missing(&granted);
        let status = (self.refusals.without_scope)(other.errors());
        Some(Example {
            about: format!("{status}, because the token lacks {}", list(&missing)),
            line: self.request(other, other.source()),
        })
    }

    /// Returns the same call with a token that has a single scope, which does not suffice.
    fn forbidden_with_less(&self, call: &Call<'_>, calls: &[Call<'_>]) -> Option<Example> {
        let rule = call.rule()?;
        let mut named = calls.iter().flat_map(|call| call.requirement.scopes());
        let scope = named.find(|scope| !rule.holds(&only(scope)))?;
        let token = self.token(call, Some(std::slice::from_ref(scope)));
        let request = self.request(call, call.source());
        let status = (self.refusals.without_scope)(call.errors());
        Some(Example {
            about: format!("{status}, because a token with only {scope} does not suffice"),
            line: request.replace("$TOKEN", &format!("$({token})")),
        })
    }

    /// Returns the lines in the style of API Gateway: the parameters in the query, the token
    /// without a scheme.
    fn raw(&self, call: &Call<'_>) -> [Example; 2] {
        let endpoint = self.token_endpoint(call);
        let mut url = format!("{endpoint}?grant_type=client_credentials");
        if let Some(scopes) = call.scopes() {
            let _ = write!(url, "&scope={}", encode(&scopes));
        }
        let post = format!("curl -s -X POST -u {CLIENT_ID}:{CLIENT_SECRET} '{url}' | {CUT}");
        let token = Example {
            about: format!(
                "a token for {}, requested as from Cognito",
                call.route.pattern
            ),
            line: format!("TOKEN=$({post})"),
        };
        let bare = Example {
            about: "200, with the bare token".into(),
            line: self.request(call, Some(&Source::Raw)),
        };
        [token, bare]
    }

    fn token_endpoint(&self, call: &Call<'_>) -> String {
        match call.route.issuers.first() {
            Some(name) if self.several => format!("{}/{name}/oauth2/token", self.issuer),
            _ => format!("{}/oauth2/token", self.issuer),
        }
    }

    /// Returns the command that prints a token.
    fn token(&self, call: &Call<'_>, scopes: Option<&[Scope]>) -> String {
        let mut line = format!("curl -s -u {CLIENT_ID}:{CLIENT_SECRET}");
        push(&mut line, "-d grant_type=client_credentials");
        if let Some(scopes) = scopes {
            push(&mut line, &format!("-d scope={}", encode(scopes)));
        }
        push(&mut line, &self.token_endpoint(call));
        push(&mut line, &format!("| {CUT}"));
        line
    }

    /// Returns the call, with `$TOKEN` in the source if there is one.
    fn request(&self, call: &Call<'_>, source: Option<&Source>) -> String {
        let mut line = String::from("curl -i");
        match call.method {
            "GET" => {}
            "HEAD" => line = "curl -I".into(),
            other => push(&mut line, &format!("-X {}", word(other))),
        }
        match &call.route.host {
            Some(HostPattern::Exact(name)) => push(&mut line, &format!("-H 'Host: {name}'")),
            Some(HostPattern::Wildcard(name)) => push(&mut line, &format!("-H 'Host: www.{name}'")),
            None => {}
        }
        if let Some(field) = source.and_then(token_field) {
            push(&mut line, &format!("-H \"{field}\""));
        }
        let path = sample(call.route.pattern.as_str());
        push(&mut line, &word(&format!("{}{path}", self.gateway)));
        if let Some(Source::Query(name)) = source {
            let _ = write!(line, "\"?{name}=$TOKEN\"");
        }
        line
    }
}

/// Returns the field with the token; `None` if it is in the query.
fn token_field(source: &Source) -> Option<String> {
    match source {
        Source::Bearer => Some("Authorization: Bearer $TOKEN".into()),
        Source::Raw => Some("Authorization: $TOKEN".into()),
        Source::Header(name) => Some(format!("{name}: $TOKEN")),
        Source::Cookie(name) => Some(format!("Cookie: {name}=$TOKEN")),
        Source::Query(_) => None,
    }
}

fn push(line: &mut String, part: &str) {
    line.push(' ');
    line.push_str(part);
}

fn calls(config: &Config) -> Vec<Call<'_>> {
    let mut calls = Vec::new();
    for route in config.routes.iter().filter(|route| answers_200(route)) {
        for (method, requirement) in &route.methods {
            let method = match method {
                MethodPattern::One(method) => method.as_str(),
                MethodPattern::Any => "GET",
            };
            calls.push(Call {
                route,
                method,
                requirement,
            });
        }
    }
    calls
}

/// Returns whether the answer to a permitted request is 200, as that of the echo is.
fn answers_200(route: &Route) -> bool {
    match &route.handler {
        Handler::Upstream(_) => true,
        Handler::Respond(respond) => respond.status() == 200,
        Handler::Nobody => false,
    }
}

/// Returns a path that the pattern matches.
fn sample(pattern: &str) -> String {
    let segments = pattern.split('/').map(|segment| match segment {
        "**" => "x",
        rest if rest.ends_with("+}") => "a/b",
        param if param.starts_with('{') => "42",
        literal => literal,
    });
    utf8_percent_encode(&segments.collect::<Vec<_>>().join("/"), IN_PATH).to_string()
}

/// Returns an address to connect to: a listener on all addresses is also reachable on this machine.
pub(super) fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        return SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port());
    }
    address
}

fn only(scope: &Scope) -> ScopeSet {
    ScopeSet::of([scope.as_str()])
}

/// Returns the value of a `scope` parameter, form-encoded, so that it fits a body, a query and a
/// shell.
fn encode(scopes: &[Scope]) -> String {
    let encoded = scopes
        .iter()
        .map(|scope| utf8_percent_encode(scope.as_str(), IN_FORM).to_string());
    encoded.collect::<Vec<_>>().join("+")
}

fn list(scopes: &[Scope]) -> String {
    scopes
        .iter()
        .map(Scope::as_str)
        .collect::<Vec<_>>()
        .join(" and ")
}

/// Quotes one word for a POSIX shell.
fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:%@+,=".contains(c);
    if text.chars().all(plain) {
        return text.into();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::header::HOST;
    use http::{HeaderMap, HeaderValue, Method, Version};

    use super::super::fixture::{cognito, config, route};
    use super::*;
    use crate::route::{Table, Target};

    const TOKEN: &str = "TOKEN=$(curl -s -u dev:dev-secret -d grant_type=client_credentials \
                         -d scope=orders.read http://127.0.0.1:9400/oauth2/token | cut -d '\"' -f \
                         4)";

    fn lines(config: &Config) -> Vec<String> {
        let (gateway, issuer) = (
            "0.0.0.0:8080".parse().unwrap(),
            "127.0.0.1:9400".parse().unwrap(),
        );
        let refusals = Refusals {
            without_token: |_| 401,
            without_scope: |_| 403,
        };
        examples(config, gateway, issuer, refusals)
            .into_iter()
            .map(|example| example.line)
            .collect()
    }

    fn orders() -> Route {
        route(
            "/orders",
            &[("GET", "orders.read"), ("POST", "orders.write")],
        )
    }

    #[test]
    fn a_person_sees_200_and_403_and_401() {
        let routes = vec![
            route("/orders/{id}", &[("GET", "orders.read")]),
            orders(),
            route("/healthz", &[("GET", "")]),
        ];
        assert_eq!(
            lines(&config(vec![cognito("idp")], routes)),
            [
                TOKEN,
                "curl -i -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8080/orders",
                "curl -i -X POST -H \"Authorization: Bearer $TOKEN\" http://127.0.0.1:8080/orders",
                "curl -i http://127.0.0.1:8080/orders",
                "curl -i http://127.0.0.1:8080/healthz",
            ]
        );
    }

    #[test]
    fn a_raw_token_is_shown_as_the_walk_through_has_it() {
        let mut tests = route("/dev/tests", &[("GET", "com.test.test/test.read")]);
        tests.token_from = vec![Source::Raw, Source::Bearer];
        let lines = lines(&config(vec![cognito("idp")], vec![orders(), tests]));
        assert_eq!(
            lines[4..],
            [
                "TOKEN=$(curl -s -X POST -u dev:dev-secret 'http://127.0.0.1:9400/oauth2/token\
                 ?grant_type=client_credentials&scope=com.test.test/test.read' | cut -d '\"' -f 4)",
                "curl -i -H \"Authorization: $TOKEN\" http://127.0.0.1:8080/dev/tests",
            ]
        );
    }

    #[test]
    fn each_source_of_a_token_has_its_form() {
        for (source, expected) in [
            (
                "header:x-token",
                "curl -i -H \"x-token: $TOKEN\" http://127.0.0.1:8080/orders",
            ),
            (
                "cookie:session",
                "curl -i -H \"Cookie: session=$TOKEN\" http://127.0.0.1:8080/orders",
            ),
            (
                "query:token",
                "curl -i http://127.0.0.1:8080/orders\"?token=$TOKEN\"",
            ),
        ] {
            let mut orders = orders();
            orders.token_from = vec![Source::parse(source).unwrap()];
            assert_eq!(
                lines(&config(vec![cognito("idp")], vec![orders]))[1],
                expected
            );
        }
    }

    #[test]
    fn without_another_route_a_403_has_a_token_of_its_own() {
        let mut config = config(vec![cognito("idp")], vec![route("/a", &[("GET", "a")])]);
        assert_eq!(
            lines(&config).len(),
            3,
            "no scope that could be too little, no 403"
        );
        let both = vec![Scope::parse("a").unwrap(), Scope::parse("b").unwrap()];
        let all = Rule::All(both.into_iter().map(crate::policy::Term::Scope).collect());
        Arc::make_mut(&mut config.routes[0]).methods[0].1 = Requirement::Scopes(all);
        let lines = lines(&config);
        assert!(lines[0].contains(" -d scope=a+b "), "{}", lines[0]);
        assert!(
            lines[2].contains("Bearer $(curl -s") && lines[2].contains(" -d scope=a "),
            "{}",
            lines[2]
        );
    }

    #[test]
    fn with_several_issuers_the_token_is_the_routes_own() {
        let other = route("/other", &[("GET", "other")]);
        let lines = lines(&config(
            vec![cognito("a"), cognito("idp")],
            vec![orders(), other],
        ));
        assert!(
            lines[0].contains("http://127.0.0.1:9400/idp/oauth2/token"),
            "{}",
            lines[0]
        );
    }

    #[test]
    fn a_line_says_nothing_else_to_a_shell() {
        let mut odd = route(
            "/it's/[x]/$HOME/{a}/{rest+}",
            &[("GET", "a&b;$(c)"), ("X-'", "d")],
        );
        odd.host = Some(HostPattern::parse("*.example.com").unwrap());
        let lines = lines(&config(vec![cognito("idp")], vec![odd]));
        assert!(
            lines[0].contains(" -d scope=a%26b%3B%24%28c%29 "),
            "{}",
            lines[0]
        );
        assert_eq!(
            lines[1],
            "curl -i -H 'Host: www.example.com' -H \"Authorization: Bearer $TOKEN\" \
             'http://127.0.0.1:8080/it%27s/%5Bx%5D/$HOME/42/a/b'"
        );
        assert!(lines[2].contains(r"-X 'X-'\'''"), "{}", lines[2]);
    }

    #[test]
    fn a_sample_path_is_one_of_the_pattern() {
        for pattern in [
            "/",
            "/a/",
            "/a/{id}/b",
            "/f/{rest+}",
            "/admin/**",
            "/a%20b/ä",
            "/[x]",
        ] {
            let route = route(pattern, &[("GET", "orders.read")]);
            let table = Table::new(crate::config::rules(&[Arc::new(route)])).unwrap();
            let uri = sample(pattern).parse().unwrap();
            let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_static("127.0.0.1"))]);
            let target = Target::parse(&Method::GET, &uri, Version::HTTP_11, &headers);
            assert!(
                table.find(&target.unwrap()).is_ok(),
                "{pattern}: {}",
                sample(pattern)
            );
        }
    }
}
