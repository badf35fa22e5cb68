//! The differences between the operations of a document and the routes of a configuration.
//!
//! A route and an operation are compared on paths that both match, so that a special route inside
//! the path of an operation counts as well. Requirements, issuers and the kind of tokens are
//! compared, and no other condition of a route.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;

use super::callers::{Finding, findings};
use super::model::{Contract, Difference, Kind, Operation, RouteName};
use super::paths::{Documented, look_up, meetings, readable, sample, samples};
use super::pattern_tree::PatternTree;
use crate::config::{Config, Issuer, Route, RouteMethod, rules};
use crate::policy::Requirement;
use crate::route::{ANY, Conflict, Distinct, HostPattern, MethodPattern, Pattern, Rule, Table};

/// A host that no configuration names (RFC 6761 §6.4), for the routes of all other hosts.
const OTHER_HOST: &str = "other.invalid";

fn documented<P>(contract: &Contract<P>) -> Vec<Rule<Documented>> {
    let operations = contract.operations.iter().enumerate();
    let rule = |(index, operation): (usize, &Operation<P>)| Rule {
        host: None,
        pattern: operation.pattern.clone(),
        method: operation.method.clone(),
        method_fallthrough: contract.falls_through.then_some(0),
        // API Gateway derives no HEAD from GET.
        head: !contract.falls_through,
        distinct: Distinct::default(),
        value: Documented(index),
    };
    operations.map(rule).collect()
}

/// Returns the hosts whose routes are compared: those of the document's servers, or all if the
/// configuration names none of these.
fn hosts<P>(config: &Config, contract: &Contract<P>) -> Vec<String> {
    let mut all = BTreeSet::new();
    for route in &config.routes {
        all.insert(match &route.host {
            None => OTHER_HOST.to_owned(),
            Some(HostPattern::Exact(name)) => name.to_string(),
            Some(HostPattern::Wildcard(parent)) => format!("other-host.{parent}"),
        });
    }
    let mut named = Vec::new();
    for name in &contract.hosts {
        let mut routes = config.routes.iter();
        if routes.any(|route| is_of(route.host.as_ref(), name)) {
            named.push(name.clone());
        }
    }
    match named.is_empty() {
        true => all.into_iter().collect(),
        false => named,
    }
}

fn is_of(host: Option<&HostPattern>, name: &str) -> bool {
    match host {
        None => false,
        Some(HostPattern::Exact(own)) => **own == *name,
        Some(HostPattern::Wildcard(parent)) => name
            .split_once('.')
            .is_some_and(|(_, rest)| rest == &**parent),
    }
}

/// The comparison of one configuration with one document.
pub(super) struct Comparison<'a, P> {
    config: &'a Config,
    contract: &'a Contract<P>,
    documents: Table<Documented>,
    routes: Table<RouteMethod>,
    /// The patterns of all routes.
    patterns: PatternTree<'a>,
    hosts: Vec<String>,
    /// The path before those of the document, without a slash at its end.
    root: Option<String>,
    /// One segment more than any pattern has.
    depth: usize,
}

/// The methods, and the paths of an operation or a route, to which a difference applies.
#[derive(Default)]
struct Lacking {
    methods: Vec<Method>,
    paths: BTreeSet<String>,
}

impl<'a, P: Clone> Comparison<'a, P> {
    pub(super) fn new(config: &'a Config, contract: &'a Contract<P>) -> Result<Self, Conflict> {
        Ok(Self {
            config,
            contract,
            documents: Table::new(documented(contract))?,
            routes: Table::new(rules(&config.routes)).unwrap_or_default(),
            patterns: PatternTree::of(config.routes.iter().map(|route| &route.pattern)),
            hosts: hosts(config, contract),
            root: contract.root.as_ref().map(sample),
            depth: depth(config, contract),
        })
    }

    fn operation(&self, method: &Method, path: &str) -> Option<usize> {
        let found = match self.is_root(path) {
            true => look_up(&self.documents, method, OTHER_HOST, &format!("{path}/")),
            false => look_up(&self.documents, method, OTHER_HOST, path),
        };
        found.map(|found| found.0)
    }

    /// Returns the operation by which the requests of a method are judged. A HEAD that no operation
    /// describes is judged like GET: servers answer it with the fields of the response to GET.
    fn judge(&self, method: &Method, path: &str) -> Option<usize> {
        match self.operation(method, path) {
            None if *method == Method::HEAD => self.operation(&Method::GET, path),
            found => found,
        }
    }

    /// Returns whether a path is the root of the document without its slash.
    fn is_root(&self, path: &str) -> bool {
        self.root.as_deref() == Some(path)
    }

    fn route(&self, method: &Method, host: &str, path: &str) -> Option<&RouteMethod> {
        look_up(&self.routes, method, host, path)
    }

    /// Returns the paths on which an operation is compared: where it meets each route.
    fn meetings(&self, operation: &Operation<P>) -> BTreeSet<String> {
        let mut paths: BTreeSet<_> = samples(&operation.pattern, self.depth)
            .into_iter()
            .collect();
        for pattern in self.patterns.near(&operation.pattern) {
            paths.extend(meetings(&operation.pattern, pattern, self.depth));
        }
        if let Some(root) = &self.root
            && paths.contains(&format!("{root}/"))
        {
            paths.insert(root.clone());
        }
        paths
    }

    /// Returns the differences about the callers of operations.
    pub(super) fn other_callers(&self) -> Vec<Difference<P>> {
        let mut found = Vec::new();
        for (index, operation) in self.contract.operations.iter().enumerate() {
            for (finding, mut methods) in self.other_callers_of(index, operation) {
                drop_derived_head(&mut methods);
                let route = self.config.routes.get(finding.route);
                found.push(Difference {
                    kind: finding.kind,
                    methods,
                    subject: operation.pattern.to_string(),
                    example: None,
                    route: route.map(|route| name(route)),
                    asked: Some(finding.asked),
                    place: Some(operation.place.clone()),
                });
            }
        }
        found
    }

    /// Returns what routes take in place of an operation, with the methods for which they do.
    fn other_callers_of(
        &self,
        index: usize,
        operation: &Operation<P>,
    ) -> BTreeMap<Finding, Vec<Method>> {
        let mut found = BTreeMap::<_, Vec<Method>>::new();
        for path in self.meetings(operation) {
            for method in with_head(&operation.method) {
                if self.judge(&method, &path) != Some(index) {
                    continue;
                }
                for host in &self.hosts {
                    let Some(rule) = self.route(&method, host, &path) else {
                        continue;
                    };
                    for finding in findings(rule, &self.issuers(rule.route), &operation.callers) {
                        let methods = found.entry(finding).or_default();
                        if !methods.contains(&method) {
                            methods.push(method.clone());
                        }
                    }
                }
            }
        }
        found
    }

    fn issuers(&self, route: usize) -> Vec<&Issuer> {
        let names = self.config.routes.get(route).map(|route| &route.issuers);
        let all = self.config.issuers.iter();
        all.filter(|issuer| names.is_some_and(|names| names.contains(&issuer.name)))
            .collect()
    }

    pub(super) fn operations_without_route(&self) -> Vec<Difference<P>> {
        let mut found = Vec::new();
        for (index, operation) in self.contract.operations.iter().enumerate() {
            let paths = samples(&operation.pattern, self.depth);
            let mut lacking = Lacking::default();
            for path in &paths {
                for method in methods(&operation.method) {
                    let is_own = self.operation(&method, path) == Some(index);
                    if is_own && !self.is_answered(&method, path) {
                        lacking.add(method, path);
                    }
                }
            }
            if !lacking.methods.is_empty() {
                found.push(Difference {
                    kind: Kind::OperationWithoutRoute,
                    example: lacking.example(paths.len()),
                    methods: lacking.methods(),
                    subject: operation.pattern.to_string(),
                    route: None,
                    asked: None,
                    place: Some(operation.place.clone()),
                });
            }
        }
        found
    }

    /// Returns the number of operations that a route denies.
    pub(super) fn denied(&self) -> usize {
        let operations = self.contract.operations.iter().enumerate();
        let denied = operations.filter(|(index, operation)| self.is_denied(*index, operation));
        denied.count()
    }

    /// Returns whether a route denies one of the methods of an operation.
    fn is_denied(&self, index: usize, operation: &Operation<P>) -> bool {
        let path = sample(&operation.pattern);
        methods(&operation.method).iter().any(|method| {
            let is_own = self.operation(method, &path) == Some(index);
            let mut routes = self
                .hosts
                .iter()
                .filter_map(|host| self.route(method, host, &path));
            is_own && routes.any(|route| route.requirement.is_denied())
        })
    }

    /// Returns whether a route answers a request, or `cors` answers OPTIONS.
    fn is_answered(&self, method: &Method, path: &str) -> bool {
        let mut hosts = self.hosts.iter();
        hosts.any(|host| {
            self.route(method, host, path).is_some()
                || *method == Method::OPTIONS && self.has_cors(host, path)
        })
    }

    fn has_cors(&self, host: &str, path: &str) -> bool {
        ANY.iter().any(|method| {
            let rule = self.route(method, host, path);
            let route = rule.and_then(|rule| self.config.routes.get(rule.route));
            route.is_some_and(|route| route.heads.cors.is_some())
        })
    }

    pub(super) fn routes_without_operation(&self) -> Vec<Difference<P>> {
        let mut found = Vec::new();
        for (index, route) in self.config.routes.iter().enumerate() {
            let paths = samples(&route.pattern, self.depth);
            let lacking = self.undocumented(index, route, &paths);
            if !lacking.methods.is_empty() {
                found.push(Difference {
                    kind: Kind::RouteWithoutOperation,
                    example: lacking.example(paths.len()),
                    methods: lacking.methods(),
                    subject: name(route).path,
                    route: Some(name(route)),
                    asked: None,
                    place: None,
                });
            }
        }
        found
    }

    /// Returns the methods of a route that no operation describes. What the route denies needs no
    /// description.
    fn undocumented(&self, index: usize, route: &Route, paths: &[String]) -> Lacking {
        let mut lacking = Lacking::default();
        let Some(host) = self.host_of(route) else {
            return lacking;
        };
        let admitted = route.methods.iter();
        let admitted = admitted.filter(|(_, requirement)| !requirement.is_denied());
        let all: Vec<_> = admitted.flat_map(|(method, _)| methods(method)).collect();
        for path in paths {
            for method in &all {
                let rule = self.route(method, &host, path);
                let is_own = rule.is_some_and(|rule| rule.route == index);
                // A HEAD that ANY answers is derived, as that of GET.
                let is_derived = *method == Method::HEAD && !names_head(route);
                if is_own && !is_derived && self.operation(method, path).is_none() {
                    lacking.add(method.clone(), path);
                }
            }
        }
        lacking
    }

    /// Returns the host on which a route is compared; `None` if it is for another one than those
    /// of the document.
    fn host_of(&self, route: &Route) -> Option<String> {
        let mut hosts = self.hosts.iter();
        let found = match &route.host {
            None => hosts.find(|host| *host == OTHER_HOST),
            Some(_) => hosts.find(|host| is_of(route.host.as_ref(), host)),
        };
        found.cloned()
    }

    pub(super) fn scopes(&self) -> Vec<Difference<P>> {
        let asked = self.asked_scopes();
        let mut used = BTreeMap::new();
        // The scopes of operations that are denied for another reason wait for a route.
        let mut waiting = BTreeSet::new();
        for (index, operation) in self.contract.operations.iter().enumerate() {
            let is_denied = self.is_denied(index, operation);
            let requirement = operation.callers.requirement.iter();
            for scope in requirement.flat_map(Requirement::scopes) {
                used.entry(scope.as_str()).or_insert(&operation.place);
                if is_denied {
                    waiting.insert(scope.as_str());
                }
            }
        }
        let defined = &self.contract.defined;
        let mut found = Vec::new();
        for (scope, route) in &asked {
            if !used.contains_key(scope) && !defined.contains_key(*scope) {
                let difference = Difference::of_scope(Kind::UnknownScope, scope, None);
                found.push(Difference {
                    route: Some(route.clone()),
                    ..difference
                });
            }
        }
        for (scope, place) in &used {
            if !defined.is_empty() && !defined.contains_key(*scope) {
                found.push(Difference::of_scope(
                    Kind::UndefinedScope,
                    scope,
                    Some(*place),
                ));
            }
        }
        for (scope, place) in defined {
            used.insert(scope, place);
        }
        for (scope, place) in used {
            if !asked.contains_key(scope) && !waiting.contains(scope) {
                found.push(Difference::of_scope(Kind::UnusedScope, scope, Some(place)));
            }
        }
        found
    }

    /// Returns the scopes that routes ask for, with the first route of each.
    fn asked_scopes(&self) -> BTreeMap<&str, RouteName> {
        let mut asked = BTreeMap::new();
        for route in &self.config.routes {
            for scope in route
                .methods
                .iter()
                .flat_map(|(_, requirement)| requirement.scopes())
            {
                asked.entry(scope.as_str()).or_insert_with(|| name(route));
            }
        }
        asked
    }
}

impl<P: Clone> Difference<P> {
    fn of_scope(kind: Kind, scope: &str, place: Option<&P>) -> Self {
        Self {
            kind,
            methods: Vec::new(),
            subject: scope.to_owned(),
            example: None,
            route: None,
            asked: None,
            place: place.cloned(),
        }
    }
}

impl Lacking {
    fn add(&mut self, method: Method, path: &str) {
        if !self.methods.contains(&method) {
            self.methods.push(method);
        }
        self.paths.insert(readable(path));
    }

    /// Returns a path, if the methods are lacking on a part of this many paths.
    fn example(&self, of: usize) -> Option<String> {
        let is_part = self.paths.len() < of;
        self.paths.first().filter(|_| is_part).cloned()
    }

    fn methods(mut self) -> Vec<Method> {
        drop_derived_head(&mut self.methods);
        self.methods
    }
}

/// Returns one segment more than any pattern of both has.
fn depth<P>(config: &Config, contract: &Contract<P>) -> usize {
    let routes = config.routes.iter().map(|route| &route.pattern);
    let operations = contract.operations.iter();
    let all = routes.chain(operations.map(|operation| &operation.pattern));
    let counts = all.map(|pattern: &Pattern| pattern.segments().len());
    counts.max().unwrap_or_default() + 1
}

/// Returns the methods on which a rule is compared.
fn methods(pattern: &MethodPattern) -> Vec<Method> {
    match pattern {
        MethodPattern::One(method) => vec![method.clone()],
        MethodPattern::Any => ANY.to_vec(),
    }
}

/// Returns the methods that an operation judges: HEAD beside GET.
fn with_head(pattern: &MethodPattern) -> Vec<Method> {
    let mut all = methods(pattern);
    if all == [Method::GET] {
        all.push(Method::HEAD);
    }
    all
}

/// Removes HEAD where the same is said of GET.
fn drop_derived_head(methods: &mut Vec<Method>) {
    if methods.contains(&Method::GET) {
        methods.retain(|method| *method != Method::HEAD);
    }
}

fn names_head(route: &Route) -> bool {
    let mut methods = route.methods.iter();
    methods.any(|(method, _)| *method == MethodPattern::One(Method::HEAD))
}

/// Returns the host and path of a route, and its place.
fn name(route: &Route) -> RouteName {
    RouteName {
        path: match &route.host {
            Some(host) => format!("{host}{}", route.pattern),
            None => route.pattern.to_string(),
        },
        place: route.place.clone(),
    }
}
