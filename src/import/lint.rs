//! The comparison of a configuration with a document: what one of them has and the other has not,
//! and where the configuration asks for less.
//!
//! A route and an operation are compared on a path that both match, so that a special route inside
//! the path of an operation counts as well. Scopes are compared, and no other condition: a document
//! does not say which issuers and clients a route takes.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;

use super::lint_paths::{Documented, look_up, meeting, sample};
use crate::config::{Config, Route, RouteMethod, rules};
use crate::policy::Requirement;
use crate::route::{ANY, Conflict, Distinct, HostPattern, MethodPattern, Pattern, Rule, Table};

/// A host that no configuration names (RFC 6761 §6.4), for the routes of all other hosts.
const OTHER_HOST: &str = "other.invalid";

/// A document, as far as it is compared.
#[derive(Clone, Debug, Default)]
pub struct Contract<P> {
    /// The operations, in the order of the document.
    pub operations: Vec<Operation<P>>,
    /// The scopes that its security schemes define.
    pub defined: BTreeMap<String, P>,
    /// The names of its servers.
    pub hosts: Vec<String>,
    /// The path before those of the document, which stands for the same path with a slash after
    /// it; `None` if nothing is before them.
    pub root: Option<Pattern>,
    /// Set if a method that a path lacks is looked up in less specific paths, as on API Gateway.
    pub falls_through: bool,
}

/// An operation of a document. `P` is a place in it.
#[derive(Clone, Debug)]
pub struct Operation<P> {
    /// The method.
    pub method: MethodPattern,
    /// The path, with the base path of the document.
    pub pattern: Pattern,
    /// The requirement; `None` if no requirement of a route says the same.
    pub requirement: Option<Requirement>,
    /// The place of the operation.
    pub place: P,
}

/// A difference between a configuration and a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference<P> {
    /// What it is.
    pub kind: Kind,
    /// The methods, if it is about a path.
    pub methods: Vec<Method>,
    /// The path of the operation, or of the route if there is no operation; or the scope.
    pub subject: String,
    /// The path of the route that asks for less, or that asks for the scope.
    pub route: Option<String>,
    /// What the document asks for, and what the route asks for, if it is less.
    pub asked: Option<[String; 2]>,
    /// The place in the document, if it is there.
    pub place: Option<P>,
}

/// The kind of a [`Difference`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A route admits callers whom the operation refuses.
    WeakerRoute,
    /// No route answers an operation.
    OperationWithoutRoute,
    /// No operation describes what a route answers.
    RouteWithoutOperation,
    /// A route asks for a scope that the document neither defines nor uses.
    UnknownScope,
    /// An operation asks for a scope that the document's schemes do not define.
    UndefinedScope,
    /// No route asks for a scope of the document.
    UnusedScope,
}

impl Kind {
    /// Returns its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WeakerRoute => "weaker_route",
            Self::OperationWithoutRoute => "operation_without_route",
            Self::RouteWithoutOperation => "route_without_operation",
            Self::UnknownScope => "unknown_scope",
            Self::UndefinedScope => "undefined_scope",
            Self::UnusedScope => "unused_scope",
        }
    }
}

/// Returns the differences, those that matter most first.
///
/// # Errors
/// Returns the indices of two operations with the same method and path.
pub fn lint<P: Clone>(
    config: &Config,
    contract: &Contract<P>,
) -> Result<Vec<Difference<P>>, Conflict> {
    let comparison = Comparison::new(config, contract)?;
    let mut all = comparison.weaker_routes();
    all.extend(comparison.operations_without_route());
    all.extend(comparison.routes_without_operation());
    all.extend(comparison.scopes());
    all.sort_by_key(|difference| difference.kind);
    Ok(all)
}

/// Returns the number of operations that a route denies.
///
/// # Errors
/// Returns the indices of two operations with the same method and path.
pub fn denied<P: Clone>(config: &Config, contract: &Contract<P>) -> Result<usize, Conflict> {
    let comparison = Comparison::new(config, contract)?;
    let mut denied = contract.operations.iter().enumerate().collect::<Vec<_>>();
    denied.retain(|(index, operation)| comparison.is_denied(*index, operation));
    Ok(denied.len())
}

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

struct Comparison<'a, P> {
    config: &'a Config,
    contract: &'a Contract<P>,
    documents: Table<Documented>,
    routes: Table<RouteMethod>,
    hosts: Vec<String>,
    /// The path before those of the document, without a slash at its end.
    root: Option<String>,
}

impl<'a, P: Clone> Comparison<'a, P> {
    fn new(config: &'a Config, contract: &'a Contract<P>) -> Result<Self, Conflict> {
        Ok(Self {
            config,
            contract,
            documents: Table::new(documented(contract))?,
            routes: Table::new(rules(&config.routes)).unwrap_or_default(),
            hosts: hosts(config, contract),
            root: contract.root.as_ref().map(sample),
        })
    }

    fn operation(&self, method: &Method, path: &str) -> Option<usize> {
        let found = match self.is_root(path) {
            true => look_up(&self.documents, method, OTHER_HOST, &format!("{path}/")),
            false => look_up(&self.documents, method, OTHER_HOST, path),
        };
        found.map(|found| found.0)
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
        let mut paths = BTreeSet::from([sample(&operation.pattern)]);
        for route in &self.config.routes {
            paths.extend(meeting(&operation.pattern, &route.pattern));
        }
        if let Some(root) = &self.root
            && paths.contains(&format!("{root}/"))
        {
            paths.insert(root.clone());
        }
        paths
    }

    fn weaker_routes(&self) -> Vec<Difference<P>> {
        let mut found = Vec::new();
        for (index, operation) in self.contract.operations.iter().enumerate() {
            for ((route, asks), methods) in self.weaker_routes_of(index, operation) {
                found.push(Difference {
                    kind: Kind::WeakerRoute,
                    methods,
                    subject: operation.pattern.to_string(),
                    route: self.config.routes.get(route).map(|route| name(route)),
                    asked: Some([shown(operation.requirement.as_ref()), asks]),
                    place: Some(operation.place.clone()),
                });
            }
        }
        found
    }

    /// Returns the routes that ask for less than an operation, each with what it asks for, and the
    /// methods for which it does.
    fn weaker_routes_of(
        &self,
        index: usize,
        operation: &Operation<P>,
    ) -> BTreeMap<(usize, String), Vec<Method>> {
        let mut weaker = BTreeMap::<_, Vec<Method>>::new();
        for path in self.meetings(operation) {
            for method in methods(&operation.method) {
                if self.operation(&method, &path) != Some(index) {
                    continue;
                }
                for host in &self.hosts {
                    let Some(rule) = self.route(&method, host, &path) else {
                        continue;
                    };
                    if admits_more(&rule.requirement, operation.requirement.as_ref()) {
                        let key = (rule.route, rule.requirement.to_string());
                        let methods = weaker.entry(key).or_default();
                        if !methods.contains(&method) {
                            methods.push(method.clone());
                        }
                    }
                }
            }
        }
        weaker
    }

    fn operations_without_route(&self) -> Vec<Difference<P>> {
        let mut found = Vec::new();
        for (index, operation) in self.contract.operations.iter().enumerate() {
            let path = sample(&operation.pattern);
            let mut missing = methods(&operation.method);
            missing.retain(|method| {
                self.operation(method, &path) == Some(index) && !self.is_answered(method, &path)
            });
            if !missing.is_empty() {
                found.push(Difference {
                    kind: Kind::OperationWithoutRoute,
                    methods: missing,
                    subject: operation.pattern.to_string(),
                    route: None,
                    asked: None,
                    place: Some(operation.place.clone()),
                });
            }
        }
        found
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
            is_own && routes.any(|route| route.requirement == Requirement::Denied)
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

    fn routes_without_operation(&self) -> Vec<Difference<P>> {
        let mut found = Vec::new();
        for (index, route) in self.config.routes.iter().enumerate() {
            let missing = self.undocumented(index, route);
            if !missing.is_empty() {
                found.push(Difference {
                    kind: Kind::RouteWithoutOperation,
                    methods: missing,
                    subject: name(route),
                    route: None,
                    asked: None,
                    place: None,
                });
            }
        }
        found
    }

    /// Returns the methods of a route that no operation describes. What the route denies needs no
    /// description.
    fn undocumented(&self, index: usize, route: &Route) -> Vec<Method> {
        let path = sample(&route.pattern);
        let mut missing = Vec::new();
        let Some(host) = self.host_of(route) else {
            return missing;
        };
        for (method, requirement) in &route.methods {
            if *requirement == Requirement::Denied {
                continue;
            }
            for method in methods(method) {
                let rule = self.route(&method, &host, &path);
                let is_own = rule.is_some_and(|rule| rule.route == index);
                let is_described = self.operation(&method, &path).is_some();
                if is_own && !is_described && !missing.contains(&method) {
                    missing.push(method);
                }
            }
        }
        missing
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

    fn scopes(&self) -> Vec<Difference<P>> {
        let asked = self.asked_scopes();
        let mut used = BTreeMap::new();
        for operation in &self.contract.operations {
            let requirement = operation.requirement.iter();
            for scope in requirement.flat_map(Requirement::scopes) {
                used.entry(scope.as_str()).or_insert(&operation.place);
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
            if !asked.contains_key(scope) {
                found.push(Difference::of_scope(Kind::UnusedScope, scope, Some(place)));
            }
        }
        found
    }

    /// Returns the scopes that routes ask for, with the first route of each.
    fn asked_scopes(&self) -> BTreeMap<&str, String> {
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
            route: None,
            asked: None,
            place: place.cloned(),
        }
    }
}

/// Returns the methods on which a rule is compared. HEAD is compared where it is named: a
/// configuration derives it from GET, and API Gateway does not.
fn methods(pattern: &MethodPattern) -> Vec<Method> {
    match pattern {
        MethodPattern::One(method) => vec![method.clone()],
        MethodPattern::Any => {
            let all = ANY.into_iter();
            all.filter(|method| *method != Method::HEAD).collect()
        }
    }
}

/// Returns whether a route admits a caller whom an operation refuses. Of an operation whose
/// requirement cannot be translated, only that it has one is known.
fn admits_more(route: &Requirement, operation: Option<&Requirement>) -> bool {
    match operation {
        None => *route == Requirement::Public,
        Some(operation) => *route != Requirement::Denied && !operation.admits_all_of(route),
    }
}

fn shown(requirement: Option<&Requirement>) -> String {
    requirement.map_or_else(
        || "a requirement that no route has".to_owned(),
        Requirement::to_string,
    )
}

/// Returns the host and path of a route.
fn name(route: &Route) -> String {
    match &route.host {
        Some(host) => format!("{host}{}", route.pattern),
        None => route.pattern.to_string(),
    }
}

#[cfg(test)]
#[path = "lint_tests.rs"]
mod tests;
