//! `[[groups]]`: routes that share settings.

use std::collections::HashSet;

use super::errors::{GROUP_ERRORS, group_errors};
use super::group_answers::LocatedGroup;
use super::names::Names;
use super::public_url::{below, public_url};
use super::requirement::{AUTHENTICATED, DENY, PUBLIC, SCOPES, Statement};
use super::route::{self, HEAD, HOST, Inherited, LocatedRoute, Resource, host, route};
use super::shared::{
    ALLOW, BODY_BYTES, COOKIE_ORIGINS, CORS, DISTINCT, FORWARD, FORWARD_AUTHORIZATION,
    FORWARD_TOKEN, IDLE_BODY, ISSUER, REQUEST_HEADERS, REQUEST_TIMEOUT, RESPONSE_HEADERS,
    RESPONSE_TIMEOUT, Shared, TOKEN_FROM, UPSTREAM, WEBSOCKET,
};
use crate::config::language::{DefaultKey, Flag, Key, Reader, Str, Subtables, Table};
use crate::net::Url;
use crate::route::{Pattern, Segment};
use crate::transform::Place;

pub(super) static TABLE: Table = Table {
    path: "groups[]",
    doc: "Routes that share a prefix, a host, an authorization or other settings: an API Gateway \
          stage, for instance.",
    keys: &[
        &PREFIX,
        &STRIP,
        &HOST.absent("every host that no route names"),
        &UPSTREAM.absent("that of `[defaults]`"),
        &SCOPES.absent("each route states its own"),
        &AUTHENTICATED.absent("each route states its own"),
        &PUBLIC.absent("each route states its own"),
        &DENY.absent("each route states its own"),
        &ISSUER.absent("that of `[defaults]`"),
        &TOKEN_FROM.absent("that of `[defaults]`"),
        &FORWARD_TOKEN.absent("that of `[defaults]`"),
        &FORWARD_AUTHORIZATION.absent("that of `[defaults]`"),
        &COOKIE_ORIGINS.absent("those of `[defaults]`"),
        &FORWARD.absent("that of `[defaults]`"),
        &ALLOW.absent("that of `[defaults]`"),
        &DISTINCT.absent("that of `[defaults]`"),
        &BODY_BYTES.absent("that of `[defaults]`"),
        &RESPONSE_TIMEOUT.absent("that of `[defaults]`"),
        &WEBSOCKET.absent("that of `[defaults]`"),
        &REQUEST_TIMEOUT.absent("that of `[defaults]`"),
        &IDLE_BODY.absent("that of `[defaults]`"),
        &REQUEST_HEADERS.absent("those of `[defaults]`"),
        &RESPONSE_HEADERS.absent("those of `[defaults]`"),
        &CORS.absent("that of `[defaults]`"),
        &GROUP_ERRORS,
        &PUBLIC_URL,
        &METHOD_FALLTHROUGH,
        &HEAD.absent("`GET` answers `HEAD`"),
        &ROUTES,
    ],
    refused: &[(
        "methods",
        "a group has no methods of its own: write them in its routes",
    )],
};

const PREFIX: Key<Str> = Key::new("prefix", Str)
    .absent("no prefix")
    .doc("The beginning of the paths of its routes: literal segments, without a slash at the end.")
    .example(r#""/dev""#);

const STRIP: Key<Flag> = Key::new("strip", Flag)
    .absent("`true` if there is a prefix")
    .doc("If true, the prefix is removed from the path before forwarding.")
    .example("false");

const PUBLIC_URL: Key<Str> = Key::new("public_url", Str)
    .absent("`server.public_url` with the prefix, unless the group is for another host")
    .takes(&Place::SETTING)
    .doc(
        "The URL under which clients reach the group, for its protected-resource metadata (RFC \
         9728).",
    )
    .example(r#""https://mcp.example.com""#);

const METHOD_FALLTHROUGH: DefaultKey<Flag> = Key::new("method_fallthrough", Flag)
    .doc(
        "If true, a method that the most specific path does not have may match a less specific \
         path of this group, as in API Gateway; otherwise the response is 405. It never bypasses \
         a stricter route outside of the group.",
    )
    .example("true")
    .or(false);

const ROUTES: Key<Subtables> = Key::new("routes", Subtables(&route::GROUP_TABLE))
    .doc("The group's routes; at least one.")
    .not(&["route"])
    .example("[[groups.routes]]");

/// The settings of a group.
pub(super) struct GroupParts {
    pub(super) routes: Vec<LocatedRoute>,
    /// The settings for paths that no route has; `None` if the prefix or the host is invalid.
    pub(super) answers: Option<LocatedGroup>,
}

pub(super) fn group(
    mut reader: Reader<'_>,
    number: usize,
    outer: &Inherited,
    gateway_url: Option<&Url>,
    names: &Names,
) -> GroupParts {
    let (prefix, host) = (prefix(&mut reader), host(&mut reader));
    let inherited = Inherited {
        resource: resource(&mut reader, gateway_url, prefix.as_deref()),
        strip: strip(&mut reader),
        is_broken: reader.has(&PREFIX) && prefix.is_none() || reader.has(&HOST) && host.is_none(),
        host,
        statement: Statement::read(&mut reader),
        method_fallthrough: reader.get(&METHOD_FALLTHROUGH).then_some(number),
        head: reader.find(&HEAD),
        shared: Shared::read(&mut reader, names).within(&outer.shared),
        errors: group_errors(&mut reader, &outer.errors),
        prefix,
    };
    let tables = reader.tables(&ROUTES, "route");
    if tables.is_empty() && reader.has(&ROUTES) {
        reader.problem(
            reader.value_span(&ROUTES),
            "\"routes\" is empty: a group has at least one route",
        );
    }
    let mut routes = Vec::new();
    for reader in tables {
        routes.extend(route(reader, &inherited, names));
    }
    let answers = answers(&reader, inherited, &routes);
    reader.finish();
    GroupParts { routes, answers }
}

/// Returns the settings of a group for paths that no route has.
fn answers(
    reader: &Reader<'_>,
    inherited: Inherited,
    routes: &[LocatedRoute],
) -> Option<LocatedGroup> {
    if inherited.is_broken {
        return None;
    }
    let mut route_hosts = HashSet::new();
    for located in routes {
        if let Some(host) = &located.route.host
            && inherited.host.as_ref() != Some(host)
        {
            route_hosts.insert(host.clone());
        }
    }
    Some(LocatedGroup {
        host: inherited.host,
        route_hosts: route_hosts.into_iter().collect(),
        prefix: inherited.prefix,
        errors: inherited.errors,
        response: inherited.shared.response_headers,
        cors: inherited.shared.cors,
        subject: reader.subject.clone(),
        span: reader.span(),
    })
}

/// Returns the URL of a group: its own, or that of the gateway with the prefix of the group.
fn resource(
    reader: &mut Reader<'_>,
    gateway_url: Option<&Url>,
    prefix: Option<&str>,
) -> Option<Resource> {
    if let Some(url) = public_url(reader, &PUBLIC_URL) {
        return Some(Resource {
            url: below(&url, None),
            is_own: true,
        });
    }
    Some(Resource::of_gateway(gateway_url?, prefix))
}

/// Returns a prefix, unless it is invalid. The group is named by it in messages from here on.
fn prefix(reader: &mut Reader<'_>) -> Option<String> {
    let text = reader.find(&PREFIX)?;
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
    let strip = reader.find(&STRIP);
    if strip.is_some() && !reader.has(&PREFIX) {
        reader.problem(
            reader.key_span(&STRIP),
            "\"strip\" has no effect without a \"prefix\"",
        );
    }
    strip.unwrap_or(true)
}
