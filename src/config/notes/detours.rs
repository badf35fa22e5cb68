//! Notes on requests that bypass a route in ways that the route table cannot refuse: through
//! another host, through another path that reaches the same upstream path, or through a spelling
//! that the rule *Tolerant reading* does not cover.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Uri, Version, header};

use super::path_mappings::PathMappings;
use super::rewritten_path::{may_reach, upstream_path_of};
use super::route_table::RouteTable;
use super::sample_path::{ANY_SEGMENT, sample};
use crate::config::context::Context;
use crate::config::language::Problem;
use crate::config::{Handler, Route, RouteMethod};
use crate::route::{Access, HostPattern, MethodPattern, Rule, Table, Target};
use crate::upstream::Settings;

/// The limit on the requests that are tried for the notes of one file. A file needs one for each
/// route and each way to its upstream; more of them would delay a reload.
const MAX_TRIALS: usize = 50_000;

/// A host that occurs in no route.
const ANY_HOST: &str = "none.invalid";

/// Adds a note for each pair of routes of which the second lets requests bypass the first.
pub(crate) fn note(context: &Context, table: &RouteTable<'_>, upstreams: &[Settings]) {
    let routes = table.routes;
    let detours = Detours::new(routes, upstreams);
    if !detours.may_exist() {
        return;
    }
    let Some(table) = table.get() else {
        return;
    };
    let mut noted = BTreeSet::new();
    let mut left = MAX_TRIALS;
    for rule in table.rules() {
        for trial in detours.trials(rule) {
            let Some(fewer) = left.checked_sub(1) else {
                return;
            };
            left = fewer;
            let Some(admitting) = trial.admitting(&detours, table, rule) else {
                continue;
            };
            if noted.insert((rule.host.clone(), admitting)) {
                let message = trial.message(routes, rule, admitting);
                context.note(Problem::without_span(message));
            }
        }
    }
}

/// The hosts and path prefixes through which an upstream is reachable.
struct Detours<'c> {
    routes: &'c [Arc<Route>],
    /// For the name of each upstream a number, which upstreams at the same address share.
    addresses: HashMap<&'c str, usize>,
    /// For each such number, the hosts through which the upstream is reached.
    hosts: HashMap<usize, BTreeSet<Option<&'c HostPattern>>>,
    /// For each such number, the mappings by which the routes to it change paths.
    mappings: HashMap<usize, PathMappings<'c>>,
    /// Set if two upstreams share an address.
    shared: bool,
}

/// A request that may bypass a route.
struct Trial<'c> {
    host: Option<&'c HostPattern>,
    path: String,
    /// The path that the upstream gets; `None` for a spelling that the application may treat as the
    /// route's path.
    upstream_path: Option<String>,
}

impl<'c> Detours<'c> {
    fn new(routes: &'c [Arc<Route>], upstreams: &'c [Settings]) -> Self {
        let Addresses { by_name, shared } = addresses(upstreams);
        let mut detours = Self {
            routes,
            addresses: by_name,
            hosts: HashMap::new(),
            mappings: HashMap::new(),
            shared,
        };
        for route in routes {
            let Some(address) = detours.address(route) else {
                continue;
            };
            let hosts = detours.hosts.entry(address).or_default();
            hosts.insert(route.host.as_ref());
            detours.mappings.entry(address).or_default().insert(route);
        }
        detours
    }

    /// Returns whether a detour is possible at all. There is none in a file with one host whose
    /// paths are forwarded unchanged.
    fn may_exist(&self) -> bool {
        let has_hosts = self.hosts.values().any(|hosts| hosts.len() > 1);
        let mut mappings = self.mappings.values();
        let changes_paths = mappings.any(PathMappings::change_paths);
        self.shared || has_hosts || changes_paths
    }

    fn address(&self, route: &Route) -> Option<usize> {
        self.addresses.get(&**route.upstream()?).copied()
    }

    /// Returns the requests that may bypass a rule.
    fn trials(&self, rule: &Rule<RouteMethod>) -> Vec<Trial<'c>> {
        let Some(route) = self.routes.get(rule.value.route) else {
            return Vec::new();
        };
        let path = sample(&route.pattern);
        let mut trials = match (self.address(route), &route.handler) {
            (Some(address), _) => self.other_ways(route, address, &path),
            // The path for an upstream is not known.
            (None, Handler::Nobody) => Vec::new(),
            (None, _) => return Vec::new(),
        };
        if self.shared {
            for path in spellings(route, &path) {
                trials.push(Trial {
                    host: route.host.as_ref(),
                    path,
                    upstream_path: None,
                });
            }
        }
        trials
    }

    /// Returns the requests by which a route's upstream path is reached through other hosts and
    /// mappings.
    fn other_ways(&self, route: &Route, address: usize, path: &str) -> Vec<Trial<'c>> {
        let Some(upstream_path) = upstream_path_of(route, path) else {
            return Vec::new();
        };
        let mappings = self.mappings.get(&address);
        let paths = mappings.map(|mappings| mappings.paths_for(&upstream_path));
        let paths = paths.unwrap_or_default();
        let mut trials = Vec::new();
        for host in self.hosts.get(&address).into_iter().flatten() {
            for by in &paths {
                if *host != route.host.as_ref() || by != path {
                    trials.push(Trial {
                        host: *host,
                        path: by.clone(),
                        upstream_path: Some(upstream_path.clone()),
                    });
                }
            }
        }
        trials
    }
}

impl Trial<'_> {
    /// Returns the route that the request matches, if that route admits callers that the rule
    /// refuses.
    fn admitting(
        &self,
        detours: &Detours<'_>,
        table: &Table<RouteMethod>,
        rule: &Rule<RouteMethod>,
    ) -> Option<usize> {
        let method = match &rule.method {
            MethodPattern::One(method) => method,
            MethodPattern::Any => &Method::POST,
        };
        let found = find(table, method, self.host, &self.path)?;
        let (own, other) = (
            detours.routes.get(rule.value.route)?,
            detours.routes.get(found.route)?,
        );
        let address = detours.address(other)?;
        let is_same_address = match &own.handler {
            Handler::Nobody => true,
            _ => detours.address(own) == Some(address),
        };
        let is_other = found.route != rule.value.route && is_same_address;
        if !is_other || rule.value.admits_all_of(found) {
            return None;
        }
        let leads_there = match &self.upstream_path {
            Some(path) => may_reach(other, &self.path, path),
            // The table refuses all other spellings, except those that the operator has written.
            None => own.upstream() != other.upstream(),
        };
        leads_there.then_some(found.route)
    }

    fn message(&self, routes: &[Arc<Route>], rule: &Rule<RouteMethod>, admitting: usize) -> String {
        let own = routes
            .get(rule.value.route)
            .map(|route| label(route))
            .unwrap_or_default();
        let other = routes
            .get(admitting)
            .map(|route| label(route))
            .unwrap_or_default();
        let path = &self.path;
        let what = match self.upstream_path {
            Some(_) => format!("\"{path}\" reaches the same path of the same application"),
            None => {
                let name = match path.ends_with('/') {
                    true => "slash",
                    false => "case",
                };
                format!(
                    "an application may read \"{path}\" as the same path; if it does not, write \
                     distinct = [\"{name}\"] in the first route, else give \"{path}\" a route of its \
                     own"
                )
            }
        };
        format!(
            "route \"{own}\" refuses callers that route \"{other}\" admits, and through that route \
             {what}"
        )
    }
}

/// The addresses of upstreams.
pub(crate) struct Addresses<'c> {
    /// A number for the address of each upstream, by name.
    pub(crate) by_name: HashMap<&'c str, usize>,
    /// Set if two upstreams share an address.
    pub(crate) shared: bool,
}

/// Numbers the addresses of upstreams.
pub(crate) fn addresses(upstreams: &[Settings]) -> Addresses<'_> {
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut addresses = Addresses {
        by_name: HashMap::with_capacity(upstreams.len()),
        shared: false,
    };
    for (index, upstream) in upstreams.iter().enumerate() {
        let endpoints = upstream.endpoints.iter();
        let own: Vec<_> = endpoints.map(|one| one.url.authority()).collect();
        let known = own.iter().find_map(|authority| numbers.get(authority));
        let address = known.copied().unwrap_or(index);
        addresses.shared |= known.is_some();
        addresses.by_name.insert(&*upstream.name, address);
        for authority in own {
            numbers.insert(authority, address);
        }
    }
    addresses
}

/// Returns the host and path of a route, for messages.
pub(crate) fn label(route: &Route) -> String {
    match &route.host {
        Some(host) => format!("{host}{}", route.pattern),
        None => route.pattern.to_string(),
    }
}

/// Returns other spellings of a path that an application may treat as the same path, without those
/// that the route's `distinct` names.
fn spellings(route: &Route, path: &str) -> Vec<String> {
    let mut spellings = Vec::new();
    let upper = path.to_ascii_uppercase();
    if !route.distinct.case && upper != path {
        spellings.push(upper);
    }
    let is_exact = route.pattern.tail().is_none() && !path.ends_with('/');
    if !route.distinct.slash && is_exact {
        spellings.push(format!("{path}/"));
    }
    spellings
}

pub(super) fn find<'t>(
    table: &'t Table<RouteMethod>,
    method: &Method,
    host: Option<&HostPattern>,
    path: &str,
) -> Option<&'t RouteMethod> {
    let host = match host {
        Some(HostPattern::Exact(name)) => name.to_string(),
        Some(HostPattern::Wildcard(name)) => format!("{ANY_SEGMENT}.{name}").replace('~', "any"),
        None => ANY_HOST.to_owned(),
    };
    let uri: Uri = path.parse().ok()?;
    let headers = HeaderMap::from_iter([(header::HOST, HeaderValue::try_from(host).ok()?)]);
    let target = Target::parse(method, &uri, Version::HTTP_11, &headers).ok()?;
    if !target.ambiguities().is_empty() {
        return None;
    }
    table.find(&target).ok()
}
