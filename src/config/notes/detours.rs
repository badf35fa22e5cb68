//! Notes on requests that bypass a route in ways that the route table cannot refuse: through
//! another host, through another path that reaches the same upstream path, or through a spelling
//! that the rule *Tolerant reading* does not cover.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, Uri, Version, header};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::config::context::Context;
use crate::config::language::Problem;
use crate::config::{Handler, Route, RouteMethod, rules};
use crate::route::{
    Access, HostPattern, MethodPattern, Pattern, Rule, Segment, Table, Tail, Target,
};
use crate::upstream::Settings;

/// The limit on the requests that are tried for the notes of one file. A file needs one for each
/// route and each way to its upstream; more of them would delay a reload.
const MAX_TRIALS: usize = 50_000;

/// A segment that occurs in no route.
const ANY_SEGMENT: &str = "~";

/// A host that occurs in no route.
const ANY_HOST: &str = "none.invalid";

const IN_SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Adds a note for each pair of routes of which the second lets requests bypass the first.
pub(crate) fn note(context: &Context, routes: &[Arc<Route>], upstreams: &[Settings]) {
    let detours = Detours::new(routes, upstreams);
    if !detours.may_exist() {
        return;
    }
    // A conflict between routes was reported already.
    let Ok(table) = Table::new(rules(routes)) else {
        return;
    };
    let mut noted = BTreeSet::new();
    let mut left = MAX_TRIALS;
    for rule in rules(routes) {
        for trial in detours.trials(&rule) {
            let Some(fewer) = left.checked_sub(1) else {
                return;
            };
            left = fewer;
            let Some(admitting) = trial.admitting(&detours, &table, &rule) else {
                continue;
            };
            if noted.insert((rule.host.clone(), admitting)) {
                let message = trial.message(routes, &rule, admitting);
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
    mappings: HashMap<usize, Vec<PathMapping<'c>>>,
    /// Set if two upstreams share an address.
    shared: bool,
}

/// The mapping from the client's path to the upstream's path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PathMapping<'c> {
    Unchanged,
    Strip(&'c str),
    Rewrite(&'c Pattern, &'c str),
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
            let mappings = detours.mappings.entry(address).or_default();
            let own = PathMapping::of(route);
            if !mappings.contains(&own) {
                mappings.push(own);
            }
        }
        detours
    }

    /// Returns whether a detour is possible at all. There is none in a file with one host whose
    /// paths are forwarded unchanged.
    fn may_exist(&self) -> bool {
        let has_hosts = self.hosts.values().any(|hosts| hosts.len() > 1);
        let mut mappings = self.mappings.values();
        let changes_paths = mappings.any(|mappings| *mappings != [PathMapping::Unchanged]);
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
        let upstream_path = upstream_path_of(route, path);
        let mut trials = Vec::new();
        for host in self.hosts.get(&address).into_iter().flatten() {
            for mapping in self.mappings.get(&address).into_iter().flatten() {
                for by in mapping.paths_for(&upstream_path) {
                    if *host != route.host.as_ref() || by != path {
                        trials.push(Trial {
                            host: *host,
                            path: by,
                            upstream_path: Some(upstream_path.clone()),
                        });
                    }
                }
            }
        }
        trials
    }
}

impl<'c> PathMapping<'c> {
    fn of(route: &'c Route) -> Self {
        match (&route.heads.rewrite, &route.strip) {
            (Some(rewrite), _) => Self::Rewrite(&route.pattern, rewrite.as_str()),
            (None, Some(prefix)) => Self::Strip(prefix),
            (None, None) => Self::Unchanged,
        }
    }

    /// Returns the client's paths for which the upstream gets `upstream_path`, and perhaps others.
    fn paths_for(self, upstream_path: &str) -> Vec<String> {
        let path = match self {
            Self::Unchanged => Some(upstream_path.to_owned()),
            Self::Strip(prefix) => Some(format!("{prefix}{upstream_path}")),
            Self::Rewrite(pattern, template) => invert_rewrite(pattern, template, upstream_path),
        };
        let mut paths: Vec<String> = path.into_iter().collect();
        // A prefix, or the root of a subtree, is forwarded as "/" with and without its slash.
        if let Some(root) = paths.first().and_then(|path| path.strip_suffix('/'))
            && upstream_path == "/"
            && !root.is_empty()
        {
            paths.push(root.to_owned());
        }
        paths
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
            Some(path) => upstream_path_of(other, &self.path) == *path,
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

/// Returns a path that matches a pattern.
pub(super) fn sample(pattern: &Pattern) -> String {
    let mut path = String::new();
    for segment in pattern.segments() {
        match segment {
            Segment::Literal(text) => push(&mut path, &encoded(text)),
            Segment::Param(_) => push(&mut path, ANY_SEGMENT),
        }
    }
    if let Some(Tail::Rest(_)) = pattern.tail() {
        push(&mut path, ANY_SEGMENT);
    }
    or_root(path)
}

/// Returns a literal segment in its percent-encoded form.
fn encoded(text: &str) -> String {
    utf8_percent_encode(text, IN_SEGMENT).to_string()
}

fn push(path: &mut String, segment: &str) {
    path.push('/');
    path.push_str(segment);
}

fn or_root(path: String) -> String {
    match path.as_str() {
        "" => "/".to_owned(),
        _ => path,
    }
}

/// Returns the path that the upstream of a route gets for a client's path.
fn upstream_path_of(route: &Route, path: &str) -> String {
    match (&route.heads.rewrite, &route.strip) {
        // A path that depends on values of the request is compared with none.
        (Some(rewrite), _) => rewrite.apply(path).unwrap_or_default(),
        (None, Some(prefix)) => {
            let rest = path.strip_prefix(&**prefix).unwrap_or(path);
            or_root(rest.to_owned())
        }
        (None, None) => path.to_owned(),
    }
}

/// Returns a client's path that matches `pattern` and that `template` rewrites to `path`.
fn invert_rewrite(pattern: &Pattern, template: &str, path: &str) -> Option<String> {
    let template = Pattern::parse(template).ok()?;
    let segments: Vec<_> = path.strip_prefix('/')?.split('/').collect();
    let filled = parameters(&template, &segments)?;
    let rest = segments
        .get(template.segments().len()..)
        .unwrap_or_default();
    if template.tail().is_none() && !rest.is_empty() {
        return None;
    }
    let mut path = String::new();
    for segment in pattern.segments() {
        match segment {
            Segment::Literal(text) => push(&mut path, &encoded(text)),
            Segment::Param(name) => {
                let value = filled.get(&**name).copied();
                push(&mut path, value.unwrap_or(ANY_SEGMENT));
            }
        }
    }
    for segment in rest {
        push(&mut path, segment);
    }
    Some(or_root(path))
}

/// Returns the parameters of a template in the segments of a path; `None` if the path does not
/// begin with the template.
fn parameters<'p>(
    template: &'p Pattern,
    segments: &[&'p str],
) -> Option<HashMap<&'p str, &'p str>> {
    let mut filled = HashMap::new();
    for (index, part) in template.segments().iter().enumerate() {
        let segment = segments.get(index).copied()?;
        match part {
            Segment::Literal(text) if encoded(text) != segment => return None,
            Segment::Literal(_) => {}
            Segment::Param(name) => {
                filled.insert(&**name, segment);
            }
        }
    }
    Some(filled)
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
