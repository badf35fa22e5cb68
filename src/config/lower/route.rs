//! `[defaults]`, `[[routes]]` and `[[groups]]`: every route with the settings of its group and of
//! the defaults applied.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::document::Table;
use super::super::load::Context;
use super::super::problem::Problem;
use super::super::reader::Reader;
use super::super::schema::{self, DEFAULTS, GROUP, GROUP_ROUTE, ROUTE};
use super::super::source::Span;
use super::super::{Heads, Route};
use super::Names;
use super::header_rules::{LocatedRules, check_claims};
use super::public_url::{below, is_for, public_url};
use super::requirement::{MethodRequirement, methods_of, stated};
use super::shared::Shared;
use crate::net::Url;
use crate::policy::Requirement;
use crate::route::{HeaderRules, HostPattern, MethodPattern, Pattern, Rewrite, Segment, Tail};
use crate::token::Source;

/// The settings that a route takes from its group and from `[defaults]`.
#[derive(Default)]
struct Surroundings {
    prefix: Option<String>,
    strip: bool,
    host: Option<HostPattern>,
    requirement: Option<Requirement>,
    method_fallthrough: Option<usize>,
    /// The URL under which clients reach the routes, and whether the group itself states it.
    resource: Option<(Url, bool)>,
    shared: Shared,
    /// Set if the prefix or the host is invalid, so that the routes have no known address.
    broken: bool,
}

/// A route, with the positions for the checks that compare several routes.
struct LocatedRoute {
    route: Route,
    header: Span,
    path: Span,
    /// The header rules for requests, which must not name a field of a forwarded claim.
    located: Option<Arc<LocatedRules>>,
}

pub(super) fn routes(file: &mut Reader<'_>, names: &Names, public_url: Option<&Url>) -> Vec<Route> {
    let context = file.context;
    let defaults = defaults(context, &file.table("defaults"), names);
    let (routes, groups) = (file.tables("routes"), file.tables("groups"));
    if routes.is_empty() && groups.is_empty() {
        let problem = Problem::at(
            file.span(),
            "there is no route: every request would be answered with 404",
        );
        context.problem(problem.hint(
            "write [[routes]] with a path, an upstream and an \
                                      authorization",
        ));
    }
    let resource = public_url.map(|url| (below(url, None), false));
    let outer = Surroundings {
        shared: defaults,
        resource,
        ..Surroundings::default()
    };
    let mut all: Vec<LocatedRoute> = routes
        .iter()
        .filter_map(|table| route(Reader::new(context, &ROUTE, table, ""), &outer, names))
        .collect();
    for (number, table) in groups.iter().enumerate() {
        group(
            context,
            (number, table),
            (&outer.shared, public_url),
            names,
            &mut all,
        );
    }
    all.sort_by_key(|placed| placed.header);
    check_conflicts(context, &all);
    let claims: Vec<_> = all
        .iter()
        .flat_map(|placed| &placed.route.forward)
        .map(|claim| claim.header.clone())
        .collect();
    let located = |placed: &LocatedRoute| {
        Some((
            format!("route \"{}\"", placed.route.pattern),
            placed.located.clone()?,
        ))
    };
    check_claims(
        context,
        &all.iter().filter_map(located).collect::<Vec<_>>(),
        &claims,
    );
    all.into_iter().map(|placed| placed.route).collect()
}

fn defaults(context: &Context, table: &Table, names: &Names) -> Shared {
    let mut reader = Reader::new(context, &DEFAULTS, table, "defaults");
    let shared = Shared::read(&mut reader, names);
    reader.finish();
    shared
}

fn group(
    context: &Context,
    (number, table): (usize, &Table),
    (defaults, gateway): (&Shared, Option<&Url>),
    names: &Names,
    all: &mut Vec<LocatedRoute>,
) {
    let mut reader = Reader::new(context, &GROUP, table, "group");
    let (prefix, host) = (prefix(&mut reader), host(&mut reader));
    let own = public_url(&mut reader).map(|url| (below(&url, None), true));
    let gateway = || gateway.map(|url| (below(url, prefix.as_deref()), false));
    let outer = Surroundings {
        resource: own.or_else(gateway),
        strip: strip(&mut reader),
        broken: reader.has("prefix") && prefix.is_none() || reader.has("host") && host.is_none(),
        host,
        requirement: stated(&mut reader),
        method_fallthrough: reader
            .flag("method_fallthrough")
            .unwrap_or_default()
            .then_some(number),
        shared: Shared::read(&mut reader, names).within(defaults),
        prefix,
    };
    let routes = reader.tables("routes");
    if routes.is_empty() && reader.has("routes") {
        reader.problem(
            reader.value_place("routes"),
            "\"routes\" is empty: a group has at least one route",
        );
    }
    let routes = routes.iter();
    all.extend(
        routes.filter_map(|table| {
            route(Reader::new(context, &GROUP_ROUTE, table, ""), &outer, names)
        }),
    );
    reader.finish();
}

/// Returns a prefix, unless it is invalid. The group is named by it in messages from here on.
fn prefix(reader: &mut Reader<'_>) -> Option<String> {
    let text = reader.text("prefix")?;
    reader.subject = format!("group \"{}\"", text.text);
    let pattern = match Pattern::parse(&text.text) {
        Ok(pattern) => pattern,
        Err(error) => {
            reader.problem(text.span, format!("\"prefix\": {error}"));
            return None;
        }
    };
    let literal = |segment: &Segment| matches!(segment, Segment::Literal(_));
    if pattern.tail().is_some() || !pattern.segments().iter().all(literal) {
        reader.problem(
            text.span,
            "\"prefix\" holds a parameter or wildcard: write literal segments only",
        );
    } else if text.text.ends_with('/') {
        let problem = reader.problem_at(
            text.span,
            "\"prefix\" ends with a slash, but the paths of its routes begin with one",
        );
        let shorter = text.text.trim_end_matches('/');
        reader.context.problem(problem.hint(match shorter {
            "" => "leave it out".to_owned(),
            shorter => format!("write prefix = \"{shorter}\""),
        }));
    } else {
        return Some(text.text);
    }
    None
}

fn strip(reader: &mut Reader<'_>) -> bool {
    let strip = reader.flag("strip");
    if strip.is_some() && !reader.has("prefix") {
        reader.problem(
            reader.key_span("strip"),
            "\"strip\" has no effect without a \"prefix\"",
        );
    }
    strip.unwrap_or(true)
}

fn host(reader: &mut Reader<'_>) -> Option<HostPattern> {
    let text = reader.text("host")?;
    let parsed = HostPattern::parse(&text.text);
    parsed
        .map_err(|error| {
            reader.problem(text.span, format!("\"host\" is \"{}\": {error}", text.text));
        })
        .ok()
}

fn route(mut reader: Reader<'_>, outer: &Surroundings, names: &Names) -> Option<LocatedRoute> {
    reader.subject = "route".into();
    let pattern = pattern(&mut reader, outer);
    let host = host(&mut reader);
    let broken = outer.broken || reader.has("host") && host.is_none();
    let methods_of = methods_of(&mut reader, outer.requirement.as_ref());
    let shared = Shared::read(&mut reader, names).within(&outer.shared);
    if shared.upstream.is_none() && !reader.has("upstream") {
        let problem = reader.problem_at(reader.span(), "it names no upstream");
        reader
            .context
            .problem(problem.hint("write upstream = \"..\" in the route, its group or [defaults]"));
    }
    let is_public = methods_of
        .iter()
        .all(|(_, requirement)| *requirement == Requirement::Public);
    if !is_public {
        refuse_cookie_keys(&reader, &shared);
        refuse_forward_authorization(&reader, &shared);
    }
    let issuers = issuers(&reader, &methods_of, &shared, names);
    let rewrite = pattern
        .as_ref()
        .and_then(|pattern| rewrite(&mut reader, pattern));
    if let Some(pattern) = &pattern {
        refuse_distinct(&reader, pattern);
    }
    if pattern.is_none() {
        // Read it, so that it is not reported as a key that the program never reads.
        reader.text("rewrite");
    }
    let (header, path) = (reader.span(), reader.value_place("path"));
    reader.finish();
    if broken {
        return None;
    }
    let host = host.or_else(|| outer.host.clone());
    let reached = |(url, own): &(Url, bool)| !is_public && (*own || is_for(url, host.as_ref()));
    let resource = outer.resource.clone().filter(reached).map(|(url, _)| url);
    let route = Route {
        host,
        resource,
        pattern: pattern?,
        methods: methods_of,
        upstream: shared.upstream?.text.into(),
        strip: outer
            .prefix
            .as_deref()
            .filter(|_| outer.strip)
            .map(Box::from),
        issuers,
        token_from: shared.token_from.unwrap_or_default(),
        forward_token: shared.forward_token,
        forward_authorization: shared.forward_authorization.unwrap_or_default(),
        cookie_origins: shared.cookie_origins,
        forward: shared.forward.unwrap_or_default(),
        allow: shared.allow.unwrap_or_default(),
        distinct: shared.distinct.unwrap_or_default(),
        method_fallthrough: outer.method_fallthrough,
        body_bytes: shared.body_bytes,
        response_timeout: shared.response_timeout,
        websocket: shared.websocket.unwrap_or_default(),
        heads: Heads {
            request: rules(shared.request_headers.as_ref()),
            response: rules(shared.response_headers.as_ref()),
            cors: shared.cors,
            rewrite,
            request_timeout: shared.request_timeout,
            idle_body: shared.idle_body,
        },
    };
    Some(LocatedRoute {
        route,
        header,
        path,
        located: shared.request_headers,
    })
}

/// Returns the whole pattern, with the prefix of the group. The route is named by it in messages
/// from here on.
fn pattern(reader: &mut Reader<'_>, outer: &Surroundings) -> Option<Pattern> {
    let text = reader.text("path")?;
    let prefix = outer.prefix.as_deref().unwrap_or_default();
    reader.subject = format!("route \"{prefix}{}\"", text.text);
    let parsed = Pattern::parse(&text.text).and_then(|_| Pattern::join(prefix, &text.text));
    parsed
        .map_err(|error| reader.problem(text.span, format!("\"path\": {error}")))
        .ok()
}

fn rewrite(reader: &mut Reader<'_>, pattern: &Pattern) -> Option<Rewrite> {
    let text = reader.text("rewrite")?;
    let parsed = Rewrite::parse(&text.text, pattern);
    parsed
        .map_err(|error| reader.problem(text.span, format!("\"rewrite\": {error}")))
        .ok()
}

fn rules(located: Option<&Arc<LocatedRules>>) -> HeaderRules {
    located
        .map(|located| located.rules.clone())
        .unwrap_or_default()
}

/// Returns the issuers whose tokens a route accepts: those that it names, or the only one that is
/// defined.
fn issuers(
    reader: &Reader<'_>,
    methods_of: &[MethodRequirement],
    shared: &Shared,
    names: &Names,
) -> Vec<Arc<str>> {
    let public = |(_, requirement): &MethodRequirement| *requirement == Requirement::Public;
    if methods_of.iter().all(public) {
        refuse_token_keys(reader, methods_of);
        return Vec::new();
    }
    if let Some(named) = &shared.issuers {
        return named.iter().map(|name| name.text.as_str().into()).collect();
    }
    if reader.has("issuer") {
        return Vec::new();
    }
    match names.issuers.list.as_slice() {
        [only] => return vec![only.text.as_str().into()],
        [] => {
            let problem = reader.problem_at(
                reader.span(),
                "it requires a token, and no issuer is defined",
            );
            reader
                .context
                .problem(problem.hint("write [issuers.<name>] with \"issuer\" and \"audience\""));
        }
        several => {
            let several: Vec<_> = several.iter().map(|name| name.text.as_str()).collect();
            let known = schema::quoted(&several, "and");
            let problem =
                reader.problem_at(reader.span(), "it names no issuer, and several are defined");
            let hint = format!(
                "write issuer = \"..\" in the route, its group or [defaults]; there are {known}"
            );
            reader.context.problem(problem.hint(hint));
        }
    }
    Vec::new()
}

/// Refuses keys about tokens on a route whose methods are all public: they would have no effect.
fn refuse_token_keys(reader: &Reader<'_>, methods_of: &[MethodRequirement]) {
    if methods_of.is_empty() {
        return;
    }
    let names = [
        "issuer",
        "token_from",
        "forward",
        "forward_authorization",
        "cookie_origins",
    ];
    for name in names.into_iter().filter(|name| reader.has(name)) {
        let message = format!("\"{name}\" has no effect: the route is public and reads no token");
        reader.problem(reader.key_span(name), message);
    }
}

/// Refuses `distinct` on a route for every path of a host, where it has no effect: such a route
/// accepts every path unchanged.
fn refuse_distinct(reader: &Reader<'_>, pattern: &Pattern) {
    if !reader.has("distinct")
        || !pattern.segments().is_empty()
        || pattern.tail() != Some(&Tail::Subtree)
    {
        return;
    }
    let problem = reader.problem_at(
        reader.key_span("distinct"),
        format!("\"distinct\" has no effect: \"{pattern}\" accepts every path unchanged"),
    );
    reader.context.problem(
        problem.hint("write it in the stricter route, whose paths the application distinguishes"),
    );
}

/// Refuses `forward_authorization` where every token comes from `Authorization`, and the key has no
/// effect.
fn refuse_forward_authorization(reader: &Reader<'_>, shared: &Shared) {
    let sources = shared.token_from.as_deref().unwrap_or(&[Source::Bearer]);
    let is_elsewhere = |source: &Source| !matches!(source, Source::Bearer | Source::Raw);
    if reader.has("forward_authorization") && !sources.iter().any(is_elsewhere) {
        reader.problem(
            reader.key_span("forward_authorization"),
            "\"forward_authorization\" has no effect: tokens come from \"Authorization\" alone",
        );
    }
}

/// Refuses `cookie_origins` where no token comes from a cookie, and the key has no effect.
fn refuse_cookie_keys(reader: &Reader<'_>, shared: &Shared) {
    let sources = shared.token_from.as_deref().unwrap_or_default();
    if reader.has("cookie_origins")
        && !sources
            .iter()
            .any(|source| matches!(source, Source::Cookie(_)))
    {
        let problem = reader.problem_at(
            reader.key_span("cookie_origins"),
            "\"cookie_origins\" has no effect: \"token_from\" names no cookie",
        );
        reader.context.problem(problem);
    }
}

/// The properties that no two routes may share: host and pattern, without the names of parameters.
type Shape<'r> = (
    Option<&'r HostPattern>,
    Vec<Option<&'r str>>,
    Option<std::mem::Discriminant<Tail>>,
);

fn shape(route: &Route) -> Shape<'_> {
    fn literal(segment: &Segment) -> Option<&str> {
        match segment {
            Segment::Literal(text) => Some(text),
            Segment::Param(_) => None,
        }
    }
    let segments = route.pattern.segments().iter().map(literal).collect();
    (
        route.host.as_ref(),
        segments,
        route.pattern.tail().map(std::mem::discriminant),
    )
}

fn check_conflicts(context: &Context, all: &[LocatedRoute]) {
    let mut known: HashMap<Shape<'_>, Vec<(&MethodPattern, &LocatedRoute)>> = HashMap::new();
    for placed in all {
        let methods = known.entry(shape(&placed.route)).or_default();
        let claimed = |(method, _): &(MethodPattern, Requirement)| {
            let (_, first) = methods.iter().find(|(other, _)| *other == method)?;
            Some((method.to_string(), *first))
        };
        let conflicts: Vec<_> = placed.route.methods.iter().filter_map(claimed).collect();
        if let Some((_, first)) = conflicts.first() {
            report_conflict(context, placed, first, &conflicts);
        }
        methods.extend(
            placed
                .route
                .methods
                .iter()
                .map(|(method, _)| (method, placed)),
        );
    }
}

fn report_conflict(
    context: &Context,
    placed: &LocatedRoute,
    first: &LocatedRoute,
    conflicts: &[(String, &LocatedRoute)],
) {
    let methods: Vec<_> = conflicts
        .iter()
        .map(|(method, _)| method.as_str())
        .collect();
    let message = format!(
        "route \"{}\": route \"{}\" with the same host and pattern already answers {}",
        placed.route.pattern,
        first.route.pattern,
        schema::quoted(&methods, "and"),
    );
    context.problem(
        Problem::at(placed.path, message)
            .label("and again here")
            .related(first.path, "first defined here"),
    );
}
