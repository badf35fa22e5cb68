//! Requests that have a route, and differ in one thing from a request that has none.

use std::collections::BTreeSet;
use std::fmt;

use http::header::HOST;
use http::{HeaderMap, HeaderValue, Method, Uri, Version};

use super::spelling::{Spelled, spelled_as};
use crate::route::{ANY, Access as _, HostPattern, MethodPattern, Miss, Pattern, Rule, Target};
use crate::snapshot::{RouteMethod, Snapshot};
use crate::telemetry::Quoted;

/// The most requests that are shown.
const MAX_SHOWN: usize = 5;

/// A host that no configuration names (RFC 6761 §6.4), for the routes of all other hosts.
const OTHER_HOST: &str = "other.invalid";

/// A request that has a route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NearMiss {
    pub(super) difference: Difference,
    pub(super) path: String,
    /// The label of the route.
    pub(super) route: String,
    /// The methods of the route, if it is not for that of the request.
    pub(super) allow: Option<String>,
    /// Set if the route denies the request.
    pub(super) is_denied: bool,
}

/// The one thing in which a request differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// It has no slash at the end.
    WithoutSlash,
    /// It has a slash at the end.
    WithSlash,
    /// Its path is in another case.
    Case,
    /// A segment of its path is spelled in a similar way.
    Spelling,
    /// It is below the prefix of a group.
    Below(String),
    /// It lacks this beginning of the path.
    Without(String),
    /// It is for another host.
    Host(String),
    /// Its method is in capitals.
    Method(Method),
    /// Only the more specific path, which lacks the method, goes before it.
    LessSpecific,
}

impl Difference {
    /// Returns the name in JSON.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::WithoutSlash | Self::WithSlash => "slash",
            Self::Case => "case",
            Self::Spelling => "spelling",
            Self::Below(_) | Self::Without(_) => "prefix",
            Self::Host(_) => "host",
            Self::Method(_) => "method",
            Self::LessSpecific => "less_specific",
        }
    }
}

/// The request without a route.
#[derive(Clone, Copy, Debug)]
struct Request<'a> {
    method: &'a Method,
    host: Option<&'a str>,
    path: &'a str,
}

/// Returns requests that have a route, the nearest first.
pub(super) fn near_misses(snapshot: &Snapshot, target: &Target<'_>) -> Vec<NearMiss> {
    let request = Request {
        method: target.method(),
        host: target.host(),
        path: target.path(),
    };
    let nearest = match look_up(snapshot, request) {
        Some(Found::OtherMethods(nearest, _)) => Some(nearest),
        _ => None,
    };
    let mut search = Search {
        snapshot,
        request,
        nearest,
        found: Vec::new(),
    };
    let rules = snapshot.table.in_match_order();
    search.try_method();
    search.try_slash();
    search.try_spellings(&rules);
    search.try_prefixes();
    search.try_hosts(&rules);
    search.try_less_specific(&rules);
    search.found.truncate(MAX_SHOWN);
    search.found
}

struct Search<'a> {
    snapshot: &'a Snapshot,
    request: Request<'a>,
    /// The rule of the path, if it is for other methods.
    nearest: Option<&'a RouteMethod>,
    found: Vec<NearMiss>,
}

impl Search<'_> {
    /// Keeps a request if it has a route.
    fn try_one(&mut self, difference: Difference, request: Request<'_>) {
        let is_known = |known: &NearMiss| known.path == request.path;
        let is_of_path = request.host == self.request.host;
        if is_of_path && self.found.iter().any(is_known) || self.found.len() >= MAX_SHOWN {
            return;
        }
        let (entry, allow) = match look_up(self.snapshot, request) {
            Some(Found::Route(entry)) => (entry, None),
            // The path itself has a route for other methods.
            Some(Found::OtherMethods(_, _)) if self.nearest.is_some() => return,
            Some(Found::OtherMethods(entry, allow)) => (entry, Some(allow)),
            None => return,
        };
        let Some(route) = self.snapshot.routes.get(entry.route) else {
            return;
        };
        self.found.push(NearMiss {
            difference,
            path: request.path.to_owned(),
            route: route.label.to_string(),
            is_denied: is_denied(entry, allow.as_deref()),
            allow,
        });
    }

    fn try_path(&mut self, difference: Difference, path: &str) {
        self.try_one(
            difference,
            Request {
                path,
                ..self.request
            },
        );
    }

    /// Tries the method in capitals: methods are case-sensitive (RFC 9110 §9.1).
    fn try_method(&mut self) {
        let capitals = self.request.method.as_str().to_ascii_uppercase();
        let Ok(method) = Method::from_bytes(capitals.as_bytes()) else {
            return;
        };
        if method != *self.request.method {
            let request = Request {
                method: &method,
                ..self.request
            };
            self.try_one(Difference::Method(method.clone()), request);
        }
    }

    fn try_slash(&mut self) {
        let path = self.request.path;
        match path.strip_suffix('/') {
            Some("") => {}
            Some(shorter) => self.try_path(Difference::WithoutSlash, shorter),
            None => self.try_path(Difference::WithSlash, &format!("{path}/")),
        }
    }

    fn try_spellings(&mut self, rules: &[&Rule<RouteMethod>]) {
        let path = self.request.path;
        let other_slash = match path.strip_suffix('/') {
            Some(shorter) => shorter.to_owned(),
            None => format!("{path}/"),
        };
        for is_case in [true, false] {
            for path in [path, &other_slash] {
                for rule in rules {
                    self.try_spelling(&rule.pattern, path, is_case);
                }
            }
        }
    }

    fn try_spelling(&mut self, pattern: &Pattern, path: &str, is_case: bool) {
        match spelled_as(pattern, path) {
            Some(Spelled::InCase(path)) if is_case => self.try_path(Difference::Case, &path),
            Some(Spelled::Similar(path)) if !is_case => {
                self.try_path(Difference::Spelling, &path);
            }
            _ => {}
        }
    }

    /// Tries the path below the prefixes of groups, and without its own beginning.
    fn try_prefixes(&mut self) {
        let path = self.request.path;
        let mut prefixes = BTreeSet::new();
        for route in &self.snapshot.routes {
            if let Some(prefix) = &route.config.strip {
                prefixes.insert(&**prefix);
            }
        }
        for prefix in prefixes {
            let below = Difference::Below(prefix.to_owned());
            self.try_path(below, &format!("{prefix}{path}"));
        }
        for (end, _) in path.match_indices('/').skip(1).take(2) {
            let (front, rest) = path.split_at(end);
            self.try_path(Difference::Without(front.to_owned()), rest);
        }
    }

    fn try_hosts(&mut self, rules: &[&Rule<RouteMethod>]) {
        let hosts: BTreeSet<_> = rules.iter().map(|rule| rule.host.as_ref()).collect();
        for host in hosts {
            let (name, shown) = match host {
                Some(HostPattern::Exact(name)) => (name.to_string(), name.to_string()),
                Some(HostPattern::Wildcard(name)) => (format!("any.{name}"), format!("*.{name}")),
                None => (OTHER_HOST.to_owned(), "any other".to_owned()),
            };
            let request = Request {
                host: Some(&name),
                ..self.request
            };
            self.try_one(Difference::Host(shown), request);
        }
    }

    /// Tries the patterns behind the most specific one, which lacks the method.
    fn try_less_specific(&mut self, rules: &[&Rule<RouteMethod>]) {
        let request = self.request;
        let Some(nearest) = self.nearest else {
            return;
        };
        let routes = &self.snapshot.routes;
        let host = routes
            .get(nearest.route)
            .and_then(|route| route.config.host.as_ref());
        for rule in rules {
            let takes_method = match &rule.method {
                MethodPattern::One(method) => method == request.method,
                MethodPattern::Any => ANY.contains(request.method),
            };
            let is_same_host = rule.host.as_ref() == host;
            let fits = spelled_as(&rule.pattern, request.path) == Some(Spelled::AsWritten);
            if takes_method
                && is_same_host
                && fits
                && self.found.len() < MAX_SHOWN
                && let Some(route) = routes.get(rule.value.route)
            {
                return self.found.push(NearMiss {
                    difference: Difference::LessSpecific,
                    path: request.path.to_owned(),
                    route: route.label.to_string(),
                    allow: None,
                    is_denied: rule.value.is_denied(),
                });
            }
        }
    }
}

/// Returns whether a look-up leads to a route that denies the request: by its rule, or because the
/// path has no method that is not denied.
fn is_denied(entry: &RouteMethod, allow: Option<&str>) -> bool {
    match allow {
        None => entry.is_denied(),
        Some(allow) => allow.is_empty(),
    }
}

/// The result of a look-up.
enum Found<'s> {
    Route(&'s RouteMethod),
    /// The route of the path, and its methods, which are others.
    OtherMethods(&'s RouteMethod, String),
}

fn look_up<'s>(snapshot: &'s Snapshot, request: Request<'_>) -> Option<Found<'s>> {
    let uri: Uri = request.path.parse().ok()?;
    let mut headers = HeaderMap::new();
    // A request of HTTP/1.0 may have no host.
    let mut version = Version::HTTP_10;
    if let Some(host) = request.host {
        headers.insert(HOST, HeaderValue::from_str(host).ok()?);
        version = Version::HTTP_11;
    }
    let target = Target::parse(request.method, &uri, version, &headers).ok()?;
    if !target.ambiguities().is_empty() {
        return None;
    }
    match snapshot.table.find(&target) {
        Ok(entry) => Some(Found::Route(entry)),
        Err(Miss::Method { allow, nearest }) => Some(Found::OtherMethods(nearest, allow)),
        Err(_) => None,
    }
}

impl fmt::Display for NearMiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = Quoted(&self.path);
        let route = &self.route;
        match &self.difference {
            Difference::WithoutSlash => write!(f, "without the slash at the end: {path}")?,
            Difference::WithSlash => write!(f, "with a slash at the end: {path}")?,
            Difference::Case => write!(f, "with these capital and small letters: {path}")?,
            Difference::Spelling => write!(f, "spelled like this: {path}")?,
            Difference::Below(prefix) => {
                write!(f, "below the prefix {}: {path}", Quoted(prefix))?;
            }
            Difference::Without(front) => write!(f, "without {}: {path}", Quoted(front))?,
            Difference::Host(host) => write!(f, "for the host {}: {path}", Quoted(host))?,
            Difference::Method(method) => write!(f, "with the method {method}: {path}")?,
            Difference::LessSpecific => {
                let takes = if self.is_denied { "denies" } else { "takes" };
                return write!(
                    f,
                    "the route {route} {takes} the method, and is less specific: methods fall \
                     through to it only with method_fallthrough"
                );
            }
        }
        write!(f, " is for the route {route}")?;
        match &self.allow {
            _ if self.is_denied => f.write_str(", which is denied"),
            Some(allow) => write!(f, ", which takes {allow}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::decision::Reason;
    use crate::telemetry::{Label as _, Metrics};

    const FILE: &str = "[upstreams.u]\nurl = \"http://u\"\n[defaults]\nupstream = \"u\"\n\
                        [[routes]]\npath = \"/orders\"\npublic = true\n\
                        methods = [\"GET\", \"POST\"]\n\
                        [[routes]]\npath = \"/orders/{id}/Items\"\npublic = true\n\
                        methods = [\"GET\"]\n\
                        [[routes]]\npath = \"/tree/\"\npublic = true\nmethods = [\"GET\"]\n\
                        [[routes]]\npath = \"/admin/x\"\npublic = true\nmethods = [\"GET\"]\n\
                        [[routes]]\npath = \"/admin/**\"\npublic = true\nmethods = \"ANY\"\n\
                        [[routes]]\npath = \"/closed\"\ndeny = true\nmethods = [\"GET\"]\n\
                        [[routes]]\npath = \"/closed/a/b\"\npublic = true\nmethods = [\"GET\"]\n\
                        [[routes]]\npath = \"/closed/**\"\ndeny = true\n\
                        [[routes]]\npath = \"/cars\"\nhost = \"a.test\"\npublic = true\n\
                        methods = [\"GET\"]\n\
                        [[routes]]\npath = \"/cars\"\nhost = \"*.b.test\"\npublic = true\n\
                        methods = [\"PUT\"]\n\
                        [[groups]]\nprefix = \"/dev\"\npublic = true\n\
                        [[groups.routes]]\npath = \"/tests\"\nmethods = [\"GET\"]\n";

    fn near(method: &str, host: &str, path: &str) -> Vec<String> {
        let config = Config::parse(FILE, "gateway.toml");
        let config = config.unwrap_or_else(|problems| panic!("{problems}"));
        let metrics = Metrics::new(Reason::NAMES).unwrap();
        let snapshot = Snapshot::compile(config, &metrics, None).unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let uri: Uri = path.parse().unwrap();
        let headers = HeaderMap::from_iter([(HOST, HeaderValue::from_str(host).unwrap())]);
        let target = Target::parse(&method, &uri, Version::HTTP_11, &headers).unwrap();
        assert!(snapshot.table.find(&target).is_err(), "{method} {path}");
        let found = near_misses(&snapshot, &target);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_request_that_differs_in_one_thing_is_named() {
        for (method, host, path, says) in [
            (
                "GET",
                "x",
                "/orders/",
                "without the slash at the end: \"/orders\" is for the route /orders",
            ),
            (
                "GET",
                "x",
                "/tree",
                "with a slash at the end: \"/tree/\" is for the route /tree/",
            ),
            (
                "GET",
                "x",
                "/Orders",
                "with these capital and small letters: \"/orders\" is for the route /orders",
            ),
            (
                "GET",
                "x",
                "/ORDERS/",
                "with these capital and small letters: \"/orders\" is for the route /orders",
            ),
            (
                "GET",
                "x",
                "/orders/7/items",
                "with these capital and small letters: \"/orders/7/Items\" is for the route \
                 /orders/{id}/Items",
            ),
            (
                "GET",
                "x",
                "/order",
                "spelled like this: \"/orders\" is for the route /orders",
            ),
            (
                "GET",
                "x",
                "/tests",
                "below the prefix \"/dev\": \"/dev/tests\" is for the route /dev/tests",
            ),
            (
                "GET",
                "x",
                "/api/orders",
                "without \"/api\": \"/orders\" is for the route /orders",
            ),
            (
                "GET",
                "x",
                "/api/v1/orders",
                "without \"/api/v1\": \"/orders\" is for the route /orders",
            ),
            (
                "GET",
                "x",
                "/cars",
                "for the host \"a.test\": \"/cars\" is for the route a.test/cars",
            ),
            (
                "GET",
                "x",
                "/cars",
                "for the host \"*.b.test\": \"/cars\" is for the route *.b.test/cars, which takes \
                 PUT",
            ),
            (
                "GET",
                "a.test",
                "/orders",
                "for the host \"any other\": \"/orders\" is for the route /orders",
            ),
            (
                "GET",
                "x",
                "/CLOSED",
                "with these capital and small letters: \"/closed\" is for the route /closed, which \
                 is denied",
            ),
            (
                "PUT",
                "x",
                "/CLOSED",
                "with these capital and small letters: \"/closed\" is for the route /closed, which \
                 is denied",
            ),
            (
                "POST",
                "x",
                "/closed/a/b",
                "the route /closed/** denies the method, and is less specific: methods fall \
                 through to it only with method_fallthrough",
            ),
            (
                "get",
                "x",
                "/orders",
                "with the method GET: \"/orders\" is for the route /orders",
            ),
            (
                "PUT",
                "x",
                "/orders/",
                "without the slash at the end: \"/orders\" is for the route /orders, which takes \
                 GET, HEAD, POST",
            ),
            (
                "POST",
                "a.test",
                "/admin/x",
                "for the host \"any other\": \"/admin/x\" is for the route /admin/x, which takes \
                 GET, HEAD",
            ),
            (
                "POST",
                "x",
                "/admin/x",
                "the route /admin/** takes the method, and is less specific: methods fall through \
                 to it only with method_fallthrough",
            ),
        ] {
            let found = near(method, host, path);
            assert!(
                found.iter().any(|one| one == says),
                "{method} {path}: {found:#?}"
            );
        }
    }

    #[test]
    fn a_request_that_is_far_from_all_routes_has_no_near_miss() {
        for path in ["/", "/x", "/warehouse", "/orders/1/2/3", "/%2e%2e/orders/x"] {
            assert_eq!(near("GET", "x", path), Vec::<String>::new(), "{path}");
        }
        assert_eq!(near("PUT", "x", "/orders"), Vec::<String>::new());
    }
}
