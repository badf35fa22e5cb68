//! `[[routes]]`, and `[[groups.routes]]`: a route with the settings of its group and of the
//! defaults applied.

use std::sync::Arc;
use std::time::Duration;

use super::handler::Handler;
use super::header_rules::LocatedRules;
use super::names::Names;
use super::public_url::{below, is_for};
use super::requirement::{
    AUTHENTICATED, METHOD, METHODS, MethodRequirement, PUBLIC, SCOPES, Statement, methods_of,
};
use super::shared::{
    ALLOW, BODY_BYTES, COOKIE_ORIGINS, CORS, DISTINCT, FORWARD, FORWARD_AUTHORIZATION,
    FORWARD_TOKEN, IDLE_BODY, ISSUER, REQUEST_HEADERS, REQUEST_TIMEOUT, RESPONSE_HEADERS,
    RESPONSE_TIMEOUT, Shared, TOKEN_FROM, UPSTREAM, WEBSOCKET,
};
use crate::config::language::{AnyKey, Key, Reader, Span, Str, Table, quoted};
use crate::config::notes::limits::{Set, note_beyond_request};
use crate::net::Url;
use crate::policy::Requirement;
use crate::route::{Ambiguities, Distinct, HostPattern, MethodPattern, Pattern, Tail};
use crate::token::{ForwardedClaim, Source};
use crate::transform::{Cors, HeaderRules, Origins, Rewrite};

/// A route. The settings of its group and of `[defaults]` are already applied.
#[derive(Clone, Debug)]
pub struct Route {
    /// The host that the route serves; `None` for every host that no other route names.
    pub host: Option<HostPattern>,
    /// The path as clients write it: the prefix of the group and the path of the route.
    pub pattern: Pattern,
    /// The methods with the requirement of each; never empty, no method twice.
    pub methods: Vec<(MethodPattern, Requirement)>,
    /// The answerer of permitted requests.
    pub handler: Handler,
    /// The prefix of the group, if it is removed before forwarding: as many segments as the prefix
    /// has are cut, and nothing else is changed.
    pub strip: Option<Box<str>>,
    /// The names of the issuers whose tokens the route accepts, each tenant by itself. Empty only
    /// if no method needs a token.
    pub issuers: Vec<Arc<str>>,
    /// The places in a request that may hold the token; never empty.
    pub token_from: Vec<Source>,
    /// Set if the file says whether the token is forwarded to the upstream. `None` forwards a token
    /// from `Authorization` and no other.
    pub forward_token: Option<bool>,
    /// Set if the upstream gets an `Authorization` field that the gateway did not verify.
    pub forward_authorization: bool,
    /// The origins whose pages may use a token in a cookie, in addition to the origin of the route
    /// itself and the origins of its CORS settings.
    pub cookie_origins: Option<Origins>,
    /// The protected resource that the route is a part of, if clients can discover it (RFC 9728
    /// §1.2).
    pub resource: Option<Url>,
    /// The claims that the upstream gets in request fields.
    pub forward: Vec<ForwardedClaim>,
    /// The ambiguities of paths that the route lets through.
    pub allow: Ambiguities,
    /// The differences between paths that the upstream distinguishes. A request is then not refused
    /// for a path that differs from the route's in this way alone.
    pub distinct: Distinct,
    /// The number of the group, if a method that this route does not have may match a less specific
    /// path of the group, as in API Gateway.
    pub method_fallthrough: Option<usize>,
    /// The limit on the bytes of a request body: that of the server, unless the route has its own.
    pub body_bytes: Option<u64>,
    /// The `response_timeout` of the upstream, unless the route has its own.
    pub response_timeout: Option<Duration>,
    /// Set if requests may become WebSockets.
    pub websocket: bool,
    /// The changes to heads, and the deadlines.
    pub heads: Heads,
}

/// The changes that a route makes to heads, and the deadlines for the bodies that follow.
#[derive(Clone, Debug, Default)]
pub struct Heads {
    /// The header rules for requests.
    pub request: HeaderRules,
    /// The header rules for responses.
    pub response: HeaderRules,
    /// The CORS settings: the pages of other origins that may read the responses.
    pub cors: Option<Arc<Cors>>,
    /// The path that the upstream gets instead of the client's path.
    pub rewrite: Option<Rewrite>,
    /// For a whole request; `None` for no limit, the default.
    pub request_timeout: Option<Duration>,
    /// Between two pieces of a body: the deadline of the server, unless the route has its own.
    pub idle_body: Option<Duration>,
}

impl Route {
    /// Returns the name of the upstream; `None` if the gateway answers itself.
    #[must_use]
    pub fn upstream(&self) -> Option<&Arc<str>> {
        self.handler.upstream()
    }

    /// Returns whether any method of the route needs a token.
    #[must_use]
    pub fn needs_token(&self) -> bool {
        needs_token(&self.methods)
    }
}

pub(super) static TABLE: Table = Table {
    path: "routes[]",
    doc: "The scopes that a path and its methods require, and the upstream. A route states its \
          authorization: scopes (in `methods` or `scopes`), `authenticated` or `public`. A route \
          without authorization is an error.",
    keys: &ROUTE_KEYS,
    refused: &[],
};

pub(super) static GROUP_TABLE: Table = Table {
    path: "groups[].routes[]",
    doc: "A route of the group, with the keys of `[[routes]]`. Its path follows the prefix of the \
          group. Its own settings replace those of the group.",
    keys: &ROUTE_KEYS,
    refused: &[],
};

static ROUTE_KEYS: [&dyn AnyKey; 25] = [
    &PATH,
    &HOST,
    &UPSTREAM,
    &METHODS,
    &METHOD,
    &SCOPES,
    &AUTHENTICATED,
    &PUBLIC,
    &ISSUER,
    &TOKEN_FROM,
    &FORWARD_TOKEN,
    &FORWARD_AUTHORIZATION,
    &COOKIE_ORIGINS,
    &FORWARD,
    &ALLOW,
    &DISTINCT,
    &BODY_BYTES,
    &RESPONSE_TIMEOUT,
    &WEBSOCKET,
    &REQUEST_TIMEOUT,
    &IDLE_BODY,
    &REQUEST_HEADERS,
    &RESPONSE_HEADERS,
    &CORS,
    &REWRITE,
];

const PATH: Key<Str> = Key::new("path", Str)
    .doc(
        "`/orders` is exact, `/orders/{id}` one segment, `/files/{rest+}` one or more segments, \
         `/admin/**` a subtree with its root. The most specific match wins, whatever the order of \
         the file.",
    )
    .example(r#""/orders/{id}""#);

const REWRITE: Key<Str> = Key::new("rewrite", Str)
    .absent("the client's path, without the group's prefix if that is stripped")
    .doc(
        "The path that the upstream gets, made of literal segments and the parameters of the \
         route's path (with the group's prefix); `{rest+}` or `**` at its end if the route's path \
         ends with it. It replaces the effect of `strip`. The query is kept.",
    )
    .example(r#""/v2/orders/{id}""#);

pub(super) const HOST: Key<Str> = Key::new("host", Str)
    .absent("the host of the group, or else every host that no route names")
    .doc(
        "The host that the route serves; `*.example.com` matches exactly one label more. The \
         first matching host is final: a request for a host that some route names never matches a \
         route without a host.",
    )
    .example(r#""api.example.com""#);

/// The settings that a route takes from its group and from `[defaults]`.
#[derive(Default)]
pub(super) struct Inherited {
    pub(super) prefix: Option<String>,
    pub(super) strip: bool,
    pub(super) host: Option<HostPattern>,
    pub(super) statement: Statement,
    pub(super) method_fallthrough: Option<usize>,
    pub(super) resource: Option<Resource>,
    pub(super) shared: Shared,
    /// Set if the prefix or the host is invalid, so that the routes have no known address.
    pub(super) is_broken: bool,
}

/// The URL under which clients reach the routes of a group.
pub(super) struct Resource {
    pub(super) url: Url,
    /// Set if the group itself states the URL, which then holds for every host of the group.
    pub(super) is_own: bool,
}

/// A route, with the positions for the checks that compare several routes.
pub(super) struct LocatedRoute {
    pub(super) route: Route,
    pub(super) header: Span,
    pub(super) path: Span,
    /// The header rules for requests, which must not name a field of a forwarded claim.
    pub(super) request_rules: Option<Arc<LocatedRules>>,
}

impl Resource {
    /// Returns the URL of the gateway, or of a group of it.
    pub(super) fn of_gateway(url: &Url, prefix: Option<&str>) -> Self {
        Self {
            url: below(url, prefix),
            is_own: false,
        }
    }
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

pub(super) fn host(reader: &mut Reader<'_>) -> Option<HostPattern> {
    let text = reader.find(&HOST)?;
    let subject = format_args!("\"host\" is \"{}\"", text.text);
    reader.accept(text.span, subject, HostPattern::parse(&text.text))
}

pub(super) fn route(
    mut reader: Reader<'_>,
    inherited: &Inherited,
    names: &Names,
) -> Option<LocatedRoute> {
    let pattern = pattern(&mut reader, inherited);
    let host = host(&mut reader);
    let is_broken = inherited.is_broken || reader.has(&HOST) && host.is_none();
    let methods = methods_of(&mut reader, &inherited.statement);
    let shared = Shared::read(&mut reader, names).within(&inherited.shared);
    check_shared(&reader, &shared, &methods);
    let issuers = issuers(&reader, &methods, &shared, names);
    let rewrite = rewrite(&mut reader, pattern.as_ref());
    if let Some(pattern) = &pattern {
        refuse_distinct(&reader, pattern);
    }
    let (header, path) = (reader.span(), reader.value_span(&PATH));
    reader.finish();
    if is_broken {
        return None;
    }
    let host = host.or_else(|| inherited.host.clone());
    let resource = match needs_token(&methods) {
        false => None,
        true => inherited.resource_of(host.as_ref()),
    };
    let route = Route {
        host,
        resource,
        pattern: pattern?,
        methods,
        strip: inherited.stripped_prefix(),
        issuers,
        token_from: shared.token_sources(),
        forward_token: shared.forward_token,
        forward_authorization: shared.forwards_authorization(),
        method_fallthrough: inherited.method_fallthrough,
        body_bytes: shared.body_bytes,
        response_timeout: shared.response_timeout,
        websocket: shared.takes_websockets(),
        heads: heads(&shared, rewrite),
        handler: Handler::Upstream(shared.upstream?.text.into()),
        cookie_origins: shared.cookie_origins,
        forward: shared.forward.unwrap_or_default(),
        allow: shared.allow.unwrap_or_default(),
        distinct: shared.distinct.unwrap_or_default(),
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

fn needs_token(methods: &[MethodRequirement]) -> bool {
    methods
        .iter()
        .any(|(_, requirement)| requirement.needs_token())
}

/// Reports a missing upstream, and keys without effect on a route that requires a token.
fn check_shared(reader: &Reader<'_>, shared: &Shared, methods: &[MethodRequirement]) {
    let is_known = reader.has(&UPSTREAM) || shared.misspelled.upstream;
    if shared.upstream.is_none() && !is_known {
        reader.problem_with_hint(
            reader.span(),
            "it names no upstream",
            "write upstream = \"..\" in the route, its group or [defaults]",
        );
    }
    note_deadlines(reader, shared);
    if needs_token(methods) {
        refuse_cookie_keys(reader, shared);
        refuse_forward_authorization(reader, shared);
    }
}

fn note_deadlines(reader: &Reader<'_>, shared: &Shared) {
    let request = Set::new(&REQUEST_TIMEOUT, shared.request_timeout);
    let response = Set::new(&RESPONSE_TIMEOUT, shared.response_timeout);
    note_beyond_request(reader, &response, &request);
    note_beyond_request(reader, &Set::new(&IDLE_BODY, shared.idle_body), &request);
}

/// Returns the whole pattern, with the prefix of the group. The route is named by it in messages
/// from here on.
fn pattern(reader: &mut Reader<'_>, inherited: &Inherited) -> Option<Pattern> {
    let text = reader.find(&PATH)?;
    let prefix = inherited.prefix.as_deref().unwrap_or_default();
    reader.subject = format!("route \"{prefix}{}\"", text.text);
    let parsed = Pattern::parse(&text.text).and_then(|_| Pattern::join(prefix, &text.text));
    reader.accept(text.span, "\"path\"", parsed)
}

fn rewrite(reader: &mut Reader<'_>, pattern: Option<&Pattern>) -> Option<Rewrite> {
    // Read even without a pattern, so that it is not reported as a key that is never read.
    let text = reader.find(&REWRITE)?;
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
    if !needs_token(methods) {
        refuse_token_keys(reader, methods);
        return Vec::new();
    }
    if let Some(named) = &shared.issuers {
        return named.iter().map(|name| name.text.as_str().into()).collect();
    }
    // A broken or misspelled "issuer" is reported by itself.
    match reader.has(&ISSUER) || shared.misspelled.issuer {
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
            let known = quoted(&several, "and");
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
    let keys: [&dyn AnyKey; 5] = [
        &ISSUER,
        &TOKEN_FROM,
        &FORWARD,
        &FORWARD_AUTHORIZATION,
        &COOKIE_ORIGINS,
    ];
    for key in keys.into_iter().filter(|key| reader.has(*key)) {
        let name = key.name();
        let message = format!("\"{name}\" has no effect: the route is public and reads no token");
        reader.problem(reader.key_span(key), message);
    }
}

/// Refuses `distinct` on a route for every path of a host, where it has no effect: such a route
/// accepts every path unchanged.
fn refuse_distinct(reader: &Reader<'_>, pattern: &Pattern) {
    if !reader.has(&DISTINCT)
        || !pattern.segments().is_empty()
        || pattern.tail() != Some(&Tail::Subtree)
    {
        return;
    }
    reader.problem_with_hint(
        reader.key_span(&DISTINCT),
        format!("\"distinct\" has no effect: \"{pattern}\" accepts every path unchanged"),
        "write it in the stricter route, whose paths the application distinguishes",
    );
}

/// Refuses `forward_authorization` where every token comes from `Authorization`, and the key has no
/// effect.
fn refuse_forward_authorization(reader: &Reader<'_>, shared: &Shared) {
    let sources = shared.token_sources();
    if reader.has(&FORWARD_AUTHORIZATION) && sources.iter().all(Source::is_authorization) {
        reader.problem(
            reader.key_span(&FORWARD_AUTHORIZATION),
            "\"forward_authorization\" has no effect: tokens come from \"Authorization\" alone",
        );
    }
}

/// Refuses `cookie_origins` where no token comes from a cookie, and the key has no effect.
fn refuse_cookie_keys(reader: &Reader<'_>, shared: &Shared) {
    let mut sources = shared.token_from.iter().flatten();
    let has_cookie = sources.any(|source| matches!(source, Source::Cookie(_)));
    if reader.has(&COOKIE_ORIGINS) && !has_cookie {
        reader.problem(
            reader.key_span(&COOKIE_ORIGINS),
            "\"cookie_origins\" has no effect: \"token_from\" names no cookie",
        );
    }
}
