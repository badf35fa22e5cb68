//! Operations that are open by another spelling of their path, on an upstream that may be the same
//! application under another name.
//!
//! The gateway refuses a request for another spelling of a protected path if the route that matches
//! it leads to the same upstream. Two aliases of a function, or two ports of a host, are two
//! upstreams: whether one application is behind both is not in the document. API Gateway forwards
//! such requests, and so does the output; the findings are for the reader, who knows.

use std::collections::HashMap;

use http::Method;

use super::finding::{Code, Finding, Untranslated};
use super::lint::paths::{find, sample};
use super::plan::{Access, Plan, Route, Rule, Upstream};
use crate::config::{Config, Handler, RouteMethod, rules};
use crate::net::Url;
use crate::route::{ANY, MethodPattern, Pattern, Segment, Table};

/// A host of no route: those of an output have no host.
const ANY_HOST: &str = "host.invalid";

/// Returns the findings about a configuration, which was written from a plan.
pub(super) fn findings(config: &Config, plan: &Plan) -> Vec<Finding> {
    let twins = twins(&plan.upstreams);
    let table = match twins.is_empty() {
        true => return Vec::new(),
        false => Table::new(rules(&config.routes)).unwrap_or_default(),
    };
    let search = Search {
        config,
        plan,
        twins,
        table,
    };
    let mut findings: Vec<Finding> = Vec::new();
    for (index, route) in plan.group.routes.iter().enumerate() {
        for rule in &route.methods {
            let found = search.detour(index, rule);
            let finding = found.map(|found| found.finding(rule));
            // The root of a stage has two routes, and one operation.
            if let Some(finding) = finding
                && findings.last().is_none_or(|last| !is_same(last, &finding))
            {
                findings.push(finding);
            }
        }
    }
    findings
}

fn is_same(one: &Finding, other: &Finding) -> bool {
    (one.place, &one.operation) == (other.place, &other.operation)
}

/// What an upstream is, but for what may be another way to the same.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Application<'u> {
    /// A function, without its qualifier.
    Function(&'u str),
    /// A host, without scheme and port.
    Host(String),
}

impl<'u> Application<'u> {
    fn of(upstream: &'u Upstream) -> Option<Self> {
        if let Some(lambda) = &upstream.lambda {
            let name = lambda.function.split(':').next();
            return name.map(Self::Function);
        }
        let url = Url::parse(&upstream.url).ok()?;
        Some(Self::Host(url.host().trim_end_matches('.').to_owned()))
    }
}

/// Returns for the name of each upstream that has a twin the number of its application.
fn twins(upstreams: &[Upstream]) -> HashMap<&str, usize> {
    let mut by_application: HashMap<_, Vec<&str>> = HashMap::new();
    for upstream in upstreams {
        if let Some(application) = Application::of(upstream) {
            let names = by_application.entry(application).or_default();
            names.push(&upstream.name);
        }
    }
    let mut twins = HashMap::new();
    let several = by_application.into_values().filter(|names| names.len() > 1);
    for (number, names) in several.enumerate() {
        twins.extend(names.into_iter().map(|name| (name, number)));
    }
    twins
}

struct Search<'s> {
    config: &'s Config,
    plan: &'s Plan,
    twins: HashMap<&'s str, usize>,
    table: Table<RouteMethod>,
}

/// A spelling of a path that leads around a rule.
struct Detour<'s> {
    path: String,
    /// The rule that answers it.
    by: &'s Rule,
    /// The upstream of that rule, and the one that it may be.
    upstreams: [&'s str; 2],
}

impl<'s> Search<'s> {
    /// Returns the first spelling of a route's path by which a method gets around its rule.
    fn detour(&self, index: usize, rule: &Rule) -> Option<Detour<'s>> {
        let route = self.config.routes.get(index)?;
        let own_upstream = self.upstream(index)?;
        if rule.access == Access::Public || !self.twins.contains_key(own_upstream) {
            return None;
        }
        let path = sample(&route.pattern);
        let spellings = spellings(&route.pattern, &path);
        for method in methods(rule.method) {
            let own = self.answer(&method, &path);
            let Some(own) = own.filter(|own| own.route == index) else {
                continue;
            };
            for spelling in &spellings {
                if let Some(by) = self.around(own, &method, spelling) {
                    return Some(Detour {
                        path: spelling.clone(),
                        upstreams: [self.upstream(by.route)?, own_upstream],
                        by: rule_of(self.plan.group.routes.get(by.route)?, &method)?,
                    });
                }
            }
        }
        None
    }

    /// Returns what answers a path, if it admits callers whom a rule refuses, on a twin of the
    /// rule's upstream.
    fn around(&self, own: &RouteMethod, method: &Method, path: &str) -> Option<&RouteMethod> {
        use crate::route::Access as _;
        let found = self.answer(method, path)?;
        let [own_upstream, upstream] = [self.upstream(own.route)?, self.upstream(found.route)?];
        let number = self.twins.get(upstream);
        let is_twin = upstream != own_upstream && number == self.twins.get(own_upstream);
        (is_twin && !own.admits_all_of(found)).then_some(found)
    }

    /// Returns what answers a request; `None` if it is refused.
    fn answer(&self, method: &Method, path: &str) -> Option<&RouteMethod> {
        find(&self.table, method, ANY_HOST, path)?.ok()
    }

    fn upstream(&self, route: usize) -> Option<&'s str> {
        match &self.config.routes.get(route)?.handler {
            Handler::Upstream(name) => Some(name),
            Handler::Respond(_) | Handler::Nobody => None,
        }
    }
}

impl Detour<'_> {
    fn finding(&self, rule: &Rule) -> Finding {
        let [by, own] = self.upstreams;
        let answered = &self.by.operation;
        let about = format!(
            "{:?} is {answered}, on {by:?} and not on {own:?}",
            self.path
        );
        Untranslated::new(Code::TwinUpstream, rule.place, about).of(&rule.operation)
    }
}

/// Returns the rule of a route that answers a method.
fn rule_of<'r>(route: &'r Route, method: &Method) -> Option<&'r Rule> {
    let own = route
        .methods
        .iter()
        .find(|rule| rule.method == method.as_str());
    own.or_else(|| route.methods.iter().find(|rule| rule.method == "ANY"))
}

fn methods(text: &str) -> Vec<Method> {
    match MethodPattern::parse(text) {
        Ok(MethodPattern::One(method)) => vec![method],
        Ok(MethodPattern::Any) => ANY.to_vec(),
        Err(_) => Vec::new(),
    }
}

/// Returns other spellings of a path: with a slash at the end or without it, and with each literal
/// in another case.
fn spellings(pattern: &Pattern, path: &str) -> Vec<String> {
    let mut spellings = vec![match path.strip_suffix('/') {
        Some("") | None => format!("{path}/"),
        Some(bare) => bare.to_owned(),
    }];
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    for (index, segment) in pattern.segments().iter().enumerate() {
        if let Segment::Literal(text) = segment
            && !text.is_empty()
        {
            let changed = segments.iter().enumerate();
            let changed = changed.map(|(at, part)| match at == index {
                true => respelled(part),
                false => (*part).to_owned(),
            });
            let spelling = changed.fold(String::new(), |path, part| path + "/" + &part);
            spellings.push(spelling);
        }
    }
    spellings
}

/// Returns a segment in another case, or with a dot after it if it has no letters.
fn respelled(segment: &str) -> String {
    let upper = segment.to_ascii_uppercase();
    let lower = segment.to_ascii_lowercase();
    match [upper, lower] {
        [upper, _] if upper != segment => upper,
        [_, lower] if lower != segment => lower,
        _ => format!("{segment}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_other_spellings() {
        for (pattern, expected) in [
            ("/dev/Admin", "/dev/Admin/ /DEV/Admin /dev/ADMIN"),
            ("/ADMIN/", "/ADMIN /admin/"),
            ("/1/{id}", "/1/0any0value0/ /1./0any0value0"),
        ] {
            let pattern = Pattern::parse(pattern).unwrap();
            let found = spellings(&pattern, &sample(&pattern));
            assert_eq!(found.join(" "), expected);
        }
    }
}
