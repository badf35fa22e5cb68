//! `[defaults]`, `[[routes]]` and `[[groups]]`: every route with the settings of its group and of
//! the defaults applied.

use std::collections::HashMap;
use std::sync::Arc;

use super::Names;
use super::header_rules::{LocatedRules, check_claims};
use super::public_url::{below, is_for, public_url};
use super::requirement::{MethodRequirement, methods_of, stated};
use super::shared::Shared;
use crate::config::context::Context;
use crate::config::language::document::Table;
use crate::config::language::problem::Problem;
use crate::config::language::reader::Reader;
use crate::config::language::source::Span;
use crate::config::schema::{self, DEFAULTS, GROUP, GROUP_ROUTE, ROUTE};
use crate::config::{Heads, Route};
use crate::net::Url;
use crate::policy::Requirement;
use crate::route::{HostPattern, MethodPattern, Pattern, Segment, Tail};
use crate::token::Source;
use crate::transform::{HeaderRules, Rewrite};

/// The settings that a route takes from its group and from `[defaults]`.
#[derive(Default)]
struct Inherited {
    prefix: Option<String>,
    strip: bool,
    host: Option<HostPattern>,
    requirement: Option<Requirement>,
    method_fallthrough: Option<usize>,
    resource: Option<Resource>,
    shared: Shared,
    /// Set if the prefix or the host is invalid, so that the routes have no known address.
    is_broken: bool,
}

/// The URL under which clients reach the routes of a group.
struct Resource {
    url: Url,
    /// Set if the group itself states the URL, which then holds for every host of the group.
    is_own: bool,
}

/// A route, with the positions for the checks that compare several routes.
struct LocatedRoute {
    route: Route,
    header: Span,
    path: Span,
    /// The header rules for requests, which must not name a field of a forwarded claim.
    request_rules: Option<Arc<LocatedRules>>,
}

impl Inherited {
    /// Returns the URL under which clients reach a route of this host.
    fn resource_of(&self, host: Option<&HostPattern>) -> Option<Url> {
        let resource = self.resource.as_ref()?;
        let is_reached = resource.is_own || is_for(&resource.url, host);
        is_reached.then(|| resource.url.clone())
    }

    /// Returns the prefix that is removed before forwarding.
    fn stripped_prefix(&self) -> Option<Box<str>> {
        let prefix = self.prefix.as_deref().filter(|_| self.strip)?;
        Some(prefix.into())
    }
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
        context.problem(
            problem.hint("write [[routes]] with a path, an upstream and an authorization"),
        );
    }
    let inherited = Inherited {
        shared: defaults,
        resource: public_url.map(|url| Resource {
            url: below(url, None),
            is_own: false,
        }),
        ..Inherited::default()
    };
    let mut all = Vec::new();
    for table in &routes {
        let reader = Reader::new(context, &ROUTE, table, "route");
        all.extend(route(reader, &inherited, names));
    }
    for (number, table) in groups.iter().enumerate() {
        let reader = Reader::new(context, &GROUP, table, "group");
        all.extend(group(reader, number, &inherited.shared, public_url, names));
    }
    all.sort_by_key(|located| located.header);
    check_conflicts(context, &all);
    check_claim_rules(context, &all);
    all.into_iter().map(|located| located.route).collect()
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

fn defaults(context: &Context, table: &Table, names: &Names) -> Shared {
    let mut reader = Reader::new(context, &DEFAULTS, table, "defaults");
    let shared = Shared::read(&mut reader, names);
    reader.finish();
    shared
}

fn group(
    mut reader: Reader<'_>,
    number: usize,
    defaults: &Shared,
    gateway_url: Option<&Url>,
    names: &Names,
) -> Vec<LocatedRoute> {
    let (prefix, host) = (prefix(&mut reader), host(&mut reader));
    let inherited = Inherited {
        resource: resource(&mut reader, gateway_url, prefix.as_deref()),
        strip: strip(&mut reader),
        is_broken: reader.has("prefix") && prefix.is_none() || reader.has("host") && host.is_none(),
        host,
        requirement: stated(&mut reader),
        method_fallthrough: match reader.flag("method_fallthrough") {
            Some(true) => Some(number),
            _ => None,
        },
        shared: Shared::read(&mut reader, names).within(defaults),
        prefix,
    };
    let tables = reader.tables("routes");
    if tables.is_empty() && reader.has("routes") {
        reader.problem(
            reader.value_span("routes"),
            "\"routes\" is empty: a group has at least one route",
        );
    }
    let mut routes = Vec::new();
    for table in &tables {
        let reader = Reader::new(reader.context, &GROUP_ROUTE, table, "route");
        routes.extend(route(reader, &inherited, names));
    }
    reader.finish();
    routes
}

/// Returns the URL of a group: its own, or that of the gateway with the prefix of the group.
fn resource(
    reader: &mut Reader<'_>,
    gateway_url: Option<&Url>,
    prefix: Option<&str>,
) -> Option<Resource> {
    if let Some(url) = public_url(reader) {
        return Some(Resource {
            url: below(&url, None),
            is_own: true,
        });
    }
    Some(Resource {
        url: below(gateway_url?, prefix),
        is_own: false,
    })
}

/// Returns a prefix, unless it is invalid. The group is named by it in messages from here on.
fn prefix(reader: &mut Reader<'_>) -> Option<String> {
    let text = reader.text("prefix")?;
    reader.subject = format!("group \"{}\"", text.text);
    let pattern = reader.accept(text.span, "\"prefix\"", Pattern::parse(&text.text))?;
    if !is_literal(&pattern) {
        reader.problem(
            text.span,
            "\"prefix\" holds a parameter or wildcard: write literal segments only",
        );
        return None;
    }
    if !text.text.ends_with('/') {
        return Some(text.text);
    }
    let message = "\"prefix\" ends with a slash, but the paths of its routes begin with one";
    let hint = match text.text.trim_end_matches('/') {
        "" => "leave it out".to_owned(),
        shorter => format!("write prefix = \"{shorter}\""),
    };
    reader.problem_with_hint(text.span, message, hint);
    None
}

fn is_literal(pattern: &Pattern) -> bool {
    let mut segments = pattern.segments().iter();
    pattern.tail().is_none() && segments.all(|segment| matches!(segment, Segment::Literal(_)))
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
    let subject = format_args!("\"host\" is \"{}\"", text.text);
    reader.accept(text.span, subject, HostPattern::parse(&text.text))
}

fn route(mut reader: Reader<'_>, inherited: &Inherited, names: &Names) -> Option<LocatedRoute> {
    let pattern = pattern(&mut reader, inherited);
    let host = host(&mut reader);
    let is_broken = inherited.is_broken || reader.has("host") && host.is_none();
    let methods = methods_of(&mut reader, inherited.requirement.as_ref());
    let shared = Shared::read(&mut reader, names).within(&inherited.shared);
    check_shared(&reader, &shared, &methods);
    let issuers = issuers(&reader, &methods, &shared, names);
    let rewrite = rewrite(&mut reader, pattern.as_ref());
    if let Some(pattern) = &pattern {
        refuse_distinct(&reader, pattern);
    }
    let (header, path) = (reader.span(), reader.value_span("path"));
    reader.finish();
    if is_broken {
        return None;
    }
    let host = host.or_else(|| inherited.host.clone());
    let resource = match is_public(&methods) {
        true => None,
        false => inherited.resource_of(host.as_ref()),
    };
    let heads = heads(&shared, rewrite);
    let route = Route {
        host,
        resource,
        pattern: pattern?,
        methods,
        upstream: shared.upstream?.text.into(),
        strip: inherited.stripped_prefix(),
        issuers,
        token_from: shared.token_from.unwrap_or_default(),
        forward_token: shared.forward_token,
        forward_authorization: shared.forward_authorization.unwrap_or_default(),
        cookie_origins: shared.cookie_origins,
        forward: shared.forward.unwrap_or_default(),
        allow: shared.allow.unwrap_or_default(),
        distinct: shared.distinct.unwrap_or_default(),
        method_fallthrough: inherited.method_fallthrough,
        body_bytes: shared.body_bytes,
        response_timeout: shared.response_timeout,
        websocket: shared.websocket.unwrap_or_default(),
        heads,
    };
    Some(LocatedRoute {
        route,
        header,
        path,
        request_rules: shared.request_headers,
    })
}

fn heads(shared: &Shared, rewrite: Option<Rewrite>) -> Heads {
    Heads {
        request: rules(shared.request_headers.as_ref()),
        response: rules(shared.response_headers.as_ref()),
        cors: shared.cors.clone(),
        rewrite,
        request_timeout: shared.request_timeout,
        idle_body: shared.idle_body,
    }
}

fn is_public(methods: &[MethodRequirement]) -> bool {
    methods
        .iter()
        .all(|(_, requirement)| *requirement == Requirement::Public)
}

/// Reports a missing upstream, and keys without effect on a route that requires a token.
fn check_shared(reader: &Reader<'_>, shared: &Shared, methods: &[MethodRequirement]) {
    if shared.upstream.is_none() && !reader.has("upstream") {
        reader.problem_with_hint(
            reader.span(),
            "it names no upstream",
            "write upstream = \"..\" in the route, its group or [defaults]",
        );
    }
    if !is_public(methods) {
        refuse_cookie_keys(reader, shared);
        refuse_forward_authorization(reader, shared);
    }
}

/// Returns the whole pattern, with the prefix of the group. The route is named by it in messages
/// from here on.
fn pattern(reader: &mut Reader<'_>, inherited: &Inherited) -> Option<Pattern> {
    let text = reader.text("path")?;
    let prefix = inherited.prefix.as_deref().unwrap_or_default();
    reader.subject = format!("route \"{prefix}{}\"", text.text);
    let parsed = Pattern::parse(&text.text).and_then(|_| Pattern::join(prefix, &text.text));
    reader.accept(text.span, "\"path\"", parsed)
}

fn rewrite(reader: &mut Reader<'_>, pattern: Option<&Pattern>) -> Option<Rewrite> {
    // Read even without a pattern, so that it is not reported as a key that is never read.
    let text = reader.text("rewrite")?;
    let parsed = Rewrite::parse(&text.text, pattern?);
    reader.accept(text.span, "\"rewrite\"", parsed)
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
    methods: &[MethodRequirement],
    shared: &Shared,
    names: &Names,
) -> Vec<Arc<str>> {
    if is_public(methods) {
        refuse_token_keys(reader, methods);
        return Vec::new();
    }
    if let Some(named) = &shared.issuers {
        return named.iter().map(|name| name.text.as_str().into()).collect();
    }
    // A broken "issuer" was reported already.
    match reader.has("issuer") {
        true => Vec::new(),
        false => only_issuer(reader, names).into_iter().collect(),
    }
}

/// Returns the only issuer that is defined, or reports that there is none, or several.
fn only_issuer(reader: &Reader<'_>, names: &Names) -> Option<Arc<str>> {
    match names.issuers.list.as_slice() {
        [only] => return Some(only.text.as_str().into()),
        [] => reader.problem_with_hint(
            reader.span(),
            "it requires a token, and no issuer is defined",
            "write [issuers.<name>] with \"issuer\" and \"audience\"",
        ),
        several => {
            let several: Vec<_> = several.iter().map(|name| name.text.as_str()).collect();
            let known = schema::quoted(&several, "and");
            reader.problem_with_hint(
                reader.span(),
                "it names no issuer, and several are defined",
                format!(
                    "write issuer = \"..\" in the route, its group or [defaults]; there are {known}"
                ),
            );
        }
    }
    None
}

/// Refuses keys about tokens on a route whose methods are all public: they would have no effect.
fn refuse_token_keys(reader: &Reader<'_>, methods: &[MethodRequirement]) {
    if methods.is_empty() {
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
    reader.problem_with_hint(
        reader.key_span("distinct"),
        format!("\"distinct\" has no effect: \"{pattern}\" accepts every path unchanged"),
        "write it in the stricter route, whose paths the application distinguishes",
    );
}

/// Refuses `forward_authorization` where every token comes from `Authorization`, and the key has no
/// effect.
fn refuse_forward_authorization(reader: &Reader<'_>, shared: &Shared) {
    let sources = shared.token_from.as_deref().unwrap_or(&[Source::Bearer]);
    if reader.has("forward_authorization") && sources.iter().all(Source::is_authorization) {
        reader.problem(
            reader.key_span("forward_authorization"),
            "\"forward_authorization\" has no effect: tokens come from \"Authorization\" alone",
        );
    }
}

/// Refuses `cookie_origins` where no token comes from a cookie, and the key has no effect.
fn refuse_cookie_keys(reader: &Reader<'_>, shared: &Shared) {
    let mut sources = shared.token_from.iter().flatten();
    let has_cookie = sources.any(|source| matches!(source, Source::Cookie(_)));
    if reader.has("cookie_origins") && !has_cookie {
        reader.problem(
            reader.key_span("cookie_origins"),
            "\"cookie_origins\" has no effect: \"token_from\" names no cookie",
        );
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
        schema::quoted(methods, "and"),
    );
    context.problem(
        Problem::at(located.path, message)
            .label("and again here")
            .related(first.path, "first defined here"),
    );
}
