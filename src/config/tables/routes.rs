//! All routes of the file, and the checks that compare them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::errors::Errors;
use super::group::group;
use super::group_answers::{self, Group};
use super::header_rules::check_claims;
use super::mapping::{refuse_tokens, refuse_tokens_in_answer};
use super::names::Names;
use super::route::{Inherited, LocatedRoute, Resource, Route, route};
use super::shared::defaults;
use crate::config::context::Context;
use crate::config::language::{Problem, Reader, quoted};
use crate::net::Url;
use crate::route::{HostPattern, MethodPattern, Segment, Tail};

/// The tables of the file about routes.
pub(super) struct Tables<'a> {
    pub(super) defaults: Reader<'a>,
    pub(super) routes: Vec<Reader<'a>>,
    pub(super) groups: Vec<Reader<'a>>,
}

/// The routes of the file, and the settings of groups for paths that no route has.
pub(super) struct Routes {
    pub(super) routes: Vec<Route>,
    pub(super) groups: Vec<Group>,
}

pub(super) fn routes(
    file: &Reader<'_>,
    tables: Tables<'_>,
    names: &Names,
    public_url: Option<&Url>,
    errors: &Arc<Errors>,
) -> Routes {
    let context = file.context;
    let shared = defaults(tables.defaults, names);
    if tables.routes.is_empty() && tables.groups.is_empty() {
        let problem = Problem::at(
            file.span(),
            "there is no route: every request would be answered with 404",
        );
        context.problem(
            problem.hint("write [[routes]] with a path, an upstream and an authorization"),
        );
    }
    let inherited = Inherited {
        shared,
        resource: public_url.map(|url| Resource::of_gateway(url, None)),
        errors: Arc::clone(errors),
        ..Inherited::default()
    };
    let mut all = Vec::new();
    for reader in tables.routes {
        all.extend(route(reader, &inherited, names));
    }
    let mut groups = Vec::new();
    for (number, reader) in tables.groups.into_iter().enumerate() {
        let parts = group(reader, number, &inherited, public_url, names);
        all.extend(parts.routes);
        groups.extend(parts.answers);
    }
    all.sort_by_key(|located| located.header);
    check_conflicts(context, &all);
    check_claim_rules(context, &all);
    check_token_references(context, &all);
    Routes {
        routes: all.into_iter().map(|located| located.route).collect(),
        groups: group_answers::merge(context, &groups, errors),
    }
}

/// Reports header rules for fields in which some route forwards a claim.
fn check_claim_rules(context: &Context, all: &[LocatedRoute]) {
    let mut claims = Vec::new();
    let mut rules = Vec::new();
    for located in all {
        for claim in &located.route.forward {
            claims.push(claim.header.clone());
        }
        if let Some(own) = &located.request_rules {
            rules.push((format!("route \"{}\"", located.route.pattern), own.clone()));
        }
    }
    check_claims(context, &rules, &claims);
}

/// Reports templates that would copy a token.
fn check_token_references(context: &Context, all: &[LocatedRoute]) {
    let mut known = HashSet::new();
    let mut sources = Vec::new();
    for source in all.iter().flat_map(|located| &located.route.token_from) {
        if known.insert(source) {
            sources.push(source.clone());
        }
    }
    for located in all {
        let route = &located.route.pattern;
        if let Some(rewrite) = &located.route.heads.rewrite {
            for reference in rewrite.references() {
                refuse_tokens(context, route, &sources, reference, located.rewrite);
            }
        }
        let rules = located.request_rules.iter();
        for (reference, span) in rules.flat_map(|rules| rules.references()) {
            refuse_tokens(context, route, &sources, reference, span);
        }
        for (reference, span) in &located.answered {
            refuse_tokens_in_answer(context, route, &sources, reference, *span);
        }
    }
}

/// The properties that no two routes may share: host and pattern, without the names of parameters.
#[derive(PartialEq, Eq, Hash)]
struct Shape<'r> {
    host: Option<&'r HostPattern>,
    /// The text of each literal segment; `None` for a parameter.
    segments: Vec<Option<&'r str>>,
    tail: Option<std::mem::Discriminant<Tail>>,
}

impl<'r> Shape<'r> {
    fn of(route: &'r Route) -> Self {
        let mut segments = Vec::new();
        for segment in route.pattern.segments() {
            segments.push(match segment {
                Segment::Literal(text) => Some(&**text),
                Segment::Param(_) => None,
            });
        }
        Self {
            host: route.host.as_ref(),
            segments,
            tail: route.pattern.tail().map(std::mem::discriminant),
        }
    }
}

/// Reports routes that answer the same methods of the same paths.
fn check_conflicts(context: &Context, all: &[LocatedRoute]) {
    let mut known: HashMap<Shape<'_>, Vec<(&MethodPattern, &LocatedRoute)>> = HashMap::new();
    for located in all {
        let earlier = known.entry(Shape::of(&located.route)).or_default();
        let mut first = None;
        let mut repeated = Vec::new();
        for (method, _) in &located.route.methods {
            if let Some((_, other)) = earlier.iter().find(|(known, _)| *known == method) {
                first.get_or_insert(*other);
                repeated.push(method.to_string());
            }
        }
        if let Some(first) = first {
            report_conflict(context, located, first, &repeated);
        }
        for (method, _) in &located.route.methods {
            earlier.push((method, located));
        }
    }
}

fn report_conflict(
    context: &Context,
    located: &LocatedRoute,
    first: &LocatedRoute,
    methods: &[String],
) {
    let message = format!(
        "route \"{}\": route \"{}\" with the same host and pattern already answers {}",
        located.route.pattern,
        first.route.pattern,
        quoted(methods, "and"),
    );
    context.problem(
        Problem::at(located.path, message)
            .label("and again here")
            .related(first.path, "first defined here"),
    );
}
