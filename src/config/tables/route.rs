//! `[[routes]]`, and `[[groups.routes]]`: a route with the settings of its group and of the
//! defaults applied.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use serde_json::json;

use super::errors::Errors;
use super::handler::{Handler, handler};
use super::header_rules::LocatedRules;
use super::lambda::refuse_for_functions;
use super::mapping::{
    REWRITE, UPSTREAM_METHOD, check_parameters, refuse_claims, rewrite, upstream_method,
};
use super::names::Names;
use super::public_url::{below, is_for};
use super::requirement::{
    AUTHENTICATED, DENY, METHOD, METHODS, MethodRequirement, PUBLIC, SCOPES, Statement, is_denied,
    methods_of, needs_token,
};
use super::respond::{RESPOND, RouteFacts, respond};
use super::route_issuers::issuers;
use super::shared::{
    ALLOW, BODY_BYTES, COOKIE_ORIGINS, CORS, DISTINCT, FORWARD, FORWARD_AUTHORIZATION,
    FORWARD_TOKEN, IDLE_BODY, ISSUER, REQUEST_HEADERS, REQUEST_TIMEOUT, RESPONSE_HEADERS,
    RESPONSE_TIMEOUT, Shared, TOKEN_FROM, UPSTREAM, WEBSOCKET,
};
use super::without_effect::{
    note_without_effect, refuse_cookie_keys, refuse_distinct, refuse_forward_authorization,
    refuse_without_effect,
};
use crate::config::language::document::Kind;
use crate::config::language::{AnyKey, Custom, Flag, Key, Reader, Span, Str, Table};
use crate::config::notes::limits::{Set, note_beyond_request};
use crate::net::Url;
use crate::policy::Requirement;
use crate::route::{Ambiguities, Distinct, HostPattern, MethodPattern, Pattern};
use crate::token::{ForwardedClaim, Source};
use crate::transform::{Cors, HeaderRules, Origins, Reference, Rewrite};

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
    /// Set if `GET` answers `HEAD` where no route of the path names it.
    pub head: bool,
    /// The limit on the bytes of a request body: that of the server, unless the route has its own.
    pub body_bytes: Option<u64>,
    /// The `response_timeout` of the upstream, unless the route has its own.
    pub response_timeout: Option<Duration>,
    /// Set if requests may become WebSockets.
    pub websocket: bool,
    /// The changes to heads, and the deadlines.
    pub heads: Heads,
    /// The form of the answers to refused requests.
    pub errors: Arc<Errors>,
    /// The place of its path in the file, such as `gateway.toml:12:8`.
    pub place: Box<str>,
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
    /// The method that the upstream gets instead of the client's method.
    pub method: Option<Method>,
    /// For a whole request; `None` for no limit, the default.
    pub request_timeout: Option<Duration>,
    /// Between two pieces of a body: the deadline of the server, unless the route has its own.
    pub idle_body: Option<Duration>,
}

impl Heads {
    /// Returns whether a header rule or the rewrite refers to the request.
    #[must_use]
    pub fn has_templates(&self) -> bool {
        !self.request.templates.is_empty()
            || !self.response.templates.is_empty()
            || self.rewrite.as_ref().is_some_and(Rewrite::is_template)
    }
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

    /// Returns the pattern by which the route answers a method: the one that fits it most closely.
    /// `None` if the route does not answer it.
    #[must_use]
    pub fn answering(&self, method: &Method) -> Option<&MethodPattern> {
        let patterns = self.methods.iter().map(|(pattern, _)| pattern);
        let fitting = patterns.filter(|pattern| pattern.fit(method, self.head).is_some());
        fitting.max_by_key(|pattern| pattern.fit(method, self.head))
    }
}

pub(super) static TABLE: Table = Table {
    path: "routes[]",
    doc: "The scopes that a path and its methods require, and the upstream. A route states its \
          authorization: scopes (in `methods` or `scopes`), `authenticated`, `public` or `deny`. A \
          route without authorization is an error.",
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

static ROUTE_KEYS: [&dyn AnyKey; 29] = [
    &PATH,
    &HOST,
    &UPSTREAM,
    &RESPOND,
    &METHODS,
    &METHOD,
    &HEAD,
    &SCOPES,
    &AUTHENTICATED,
    &PUBLIC,
    &DENY,
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
    &UPSTREAM_METHOD,
];

/// The keys of a route that are about requests on their way to an upstream.
const KEYS_OF_FORWARDING: [&dyn AnyKey; 9] = [
    &FORWARD_TOKEN,
    &BODY_BYTES,
    &RESPONSE_TIMEOUT,
    &WEBSOCKET,
    &REQUEST_TIMEOUT,
    &IDLE_BODY,
    &REQUEST_HEADERS,
    &REWRITE,
    &UPSTREAM_METHOD,
];

/// A string that may be empty.
const PATH_TEXT: Custom = Custom {
    words: "a string",
    json_schema: || json!({ "type": "string" }),
};

const PATH: Key<Custom> = Key::new("path", PATH_TEXT)
    .doc(
        "`/orders` is exact, `/orders/{id}` one segment, `/files/{rest+}` one or more segments, \
         `/admin/**` a subtree with its root. The most specific match wins, whatever the order of \
         the file. In a group with a prefix, `\"\"` is the prefix itself, without a slash.",
    )
    .example(r#""/orders/{id}""#);

pub(super) const HEAD: Key<Flag> = Key::new("head", Flag)
    .absent("that of the group, or else `true`")
    .doc(
        "If false, `GET` does not answer `HEAD`: the response to `HEAD` is 405, unless a route of \
         the path names `HEAD` or `ANY`, or the method falls through.",
    )
    .example("false");

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
    pub(super) head: Option<bool>,
    pub(super) resource: Option<Resource>,
    pub(super) shared: Shared,
    pub(super) errors: Arc<Errors>,
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
    /// The position of `rewrite`, or of the route without one.
    pub(super) rewrite: Span,
    /// The header rules for requests, which must not name a field of a forwarded claim.
    pub(super) request_rules: Option<Arc<LocatedRules>>,
    /// The references of `respond`, with their positions.
    pub(super) answered: Vec<(Reference, Span)>,
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
    let head = head(&mut reader, &methods).or(inherited.head);
    let shared = Shared::read(&mut reader, names).within(&inherited.shared);
    let facts = RouteFacts {
        pattern: pattern.as_ref(),
        needs_token: needs_token(&methods),
    };
    let answer = respond(&mut reader, &facts);
    let (respond, answered) = match answer {
        Some(located) => (Some(located.respond), located.references),
        None => (None, Vec::new()),
    };
    let handler = handler(&reader, &shared, &methods, respond);
    check_shared(&reader, &shared, &methods);
    refuse_for_functions(&reader, &shared, names, &[&REWRITE, &UPSTREAM_METHOD]);
    let issuers = issuers(&reader, &methods, &shared, names);
    let rewrite = rewrite(&mut reader, pattern.as_ref());
    let method = upstream_method(&mut reader, &shared);
    if let Some(pattern) = &pattern {
        refuse_distinct(&reader, pattern);
        check_parameters(&reader, pattern, &shared);
    }
    if !methods.is_empty() && !needs_token(&methods) {
        refuse_claims(&reader, &shared, rewrite.as_ref());
    }
    let (header, path) = (reader.span(), reader.value_span(&PATH));
    let place = reader.context.place(path);
    let rewrite_span = reader.value_span(&REWRITE);
    reader.finish();
    if is_broken {
        return None;
    }
    let host = host.or_else(|| inherited.host.clone());
    let resource = match needs_token(&methods) {
        false => None,
        true => inherited.resource_of(host.as_ref()),
    };
    let mut route = Route {
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
        head: head.unwrap_or(true),
        body_bytes: shared.body_bytes,
        response_timeout: shared.response_timeout,
        websocket: shared.takes_websockets(),
        heads: Heads {
            method,
            ..heads(&shared, rewrite)
        },
        errors: Arc::clone(&inherited.errors),
        place,
        handler: handler?,
        cookie_origins: shared.cookie_origins,
        forward: shared.forward.unwrap_or_default(),
        allow: shared.allow.unwrap_or_default(),
        distinct: shared.distinct.unwrap_or_default(),
    };
    if route.upstream().is_none() {
        clear_forwarding(&mut route);
    }
    Some(LocatedRoute {
        route,
        header,
        path,
        rewrite: rewrite_span,
        request_rules: shared.request_headers,
        answered,
    })
}

/// Clears the settings of a group or of `[defaults]` that are about upstreams.
fn clear_forwarding(route: &mut Route) {
    route.forward.clear();
    route.forward_token = None;
    route.forward_authorization = false;
    route.body_bytes = None;
    route.response_timeout = None;
    route.websocket = false;
    route.heads = Heads {
        response: std::mem::take(&mut route.heads.response),
        cors: route.heads.cors.take(),
        ..Heads::default()
    };
}

fn heads(shared: &Shared, rewrite: Option<Rewrite>) -> Heads {
    Heads {
        request: rules(shared.request_headers.as_ref()),
        response: rules(shared.response_headers.as_ref()),
        cors: shared.cors.clone(),
        rewrite,
        method: None,
        request_timeout: shared.request_timeout,
        idle_body: shared.idle_body,
    }
}

/// Returns whether `GET` answers `HEAD`, if the route itself states it, and reports the key where
/// it has no effect.
fn head(reader: &mut Reader<'_>, methods: &[MethodRequirement]) -> Option<bool> {
    let head = reader.find(&HEAD)?;
    let why = match (names(methods, Method::GET), names(methods, Method::HEAD)) {
        _ if methods.is_empty() => return Some(head),
        (false, _) => "it is about \"GET\", which the route does not name",
        (true, true) => "the route names \"HEAD\" itself",
        (true, false) => return Some(head),
    };
    reader.problem(
        reader.key_span(&HEAD),
        format!("\"head\" has no effect: {why}"),
    );
    Some(head)
}

fn names(methods: &[MethodRequirement], method: Method) -> bool {
    let wanted = MethodPattern::One(method);
    methods.iter().any(|(pattern, _)| *pattern == wanted)
}

/// Reports keys without effect.
fn check_shared(reader: &Reader<'_>, shared: &Shared, methods: &[MethodRequirement]) {
    if is_denied(methods) {
        note_without_effect(
            reader,
            &KEYS_OF_FORWARDING,
            "the route denies every request",
        );
        return;
    }
    if reader.has(&RESPOND) {
        let why = "the gateway answers itself (\"respond\")";
        refuse_without_effect(reader, &KEYS_OF_FORWARDING, why);
        let others: [&dyn AnyKey; 3] = [&FORWARD, &FORWARD_AUTHORIZATION, &DISTINCT];
        refuse_without_effect(reader, &others, why);
    } else {
        note_deadlines(reader, shared);
    }
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
    let value = reader.value(&PATH)?;
    let Kind::Text(text) = &value.kind else {
        reader.mismatched(&PATH, value);
        return None;
    };
    let prefix = inherited.prefix.as_deref().unwrap_or_default();
    reader.subject = format!("route \"{prefix}{text}\"");
    let parsed = match (&**text, prefix) {
        ("", "") => {
            report_empty_path(reader, inherited, value.span);
            return None;
        }
        ("", prefix) => Pattern::parse(prefix),
        (path, prefix) => Pattern::parse(path).and_then(|_| Pattern::join(prefix, path)),
    };
    reader.accept(value.span, "\"path\"", parsed)
}

fn report_empty_path(reader: &Reader<'_>, inherited: &Inherited, span: Span) {
    // The prefix of the group is reported by itself.
    if !inherited.is_broken {
        reader.problem_with_hint(
            span,
            "\"path\" is empty",
            "write \"/\" for the root; \"\" is the prefix of a group that has one",
        );
    }
}

fn rules(located: Option<&Arc<LocatedRules>>) -> HeaderRules {
    located
        .map(|located| located.rules.clone())
        .unwrap_or_default()
}
