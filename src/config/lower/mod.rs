//! The document to a [`Config`]: part by part, with all problems at once.
//!
//! A value that is broken is reported once and something takes its place, so that the rest is looked at as well.
//! Nothing of that leaves here: one problem, and there is no `Config`.

mod heads;
mod issuer;
mod keys;
mod listeners;
mod public_url;
mod required_claims;
mod requirement;
mod route;
mod server;
mod shared;
mod tenants;
mod upstream;

use std::sync::Arc;

use super::catalogue::FILE;
use super::document::Table;
use super::load::Context;
use super::problem::Problem;
use super::reader::{Reader, Text};
use super::{Dev, ErrorDetail, Issuer, Log, Overrides, Reload, Route, Server, TokenCache};
use crate::upstream::{Protocol, Settings};

/// Everything of a `Config` but the account of the files.
pub(super) struct Lowered {
    pub(super) server: Server,
    pub(super) issuers: Vec<Issuer>,
    pub(super) upstreams: Vec<Settings>,
    pub(super) routes: Vec<Route>,
    pub(super) token_cache: TokenCache,
    pub(super) reload: Reload,
    pub(super) errors: ErrorDetail,
    pub(super) log: Log,
    pub(super) dev: Dev,
}

/// The names that routes can refer to: all that the file has, be they good or not, so that a broken issuer does
/// not make every route wrong as well.
struct Names {
    issuers: Vec<Text>,
    upstreams: Vec<Text>,
}

/// Lowers a document; problems and notes are left in the context.
pub(super) fn lower(context: &Context, root: &Table, overrides: &Overrides) -> Lowered {
    let mut file = Reader::new(context, &FILE, root, "the file");
    // Followed when the document was put together; here only its type is looked at.
    file.texts("include");
    let server = server::server(context, &file.table("server"), overrides);
    let (issuer_tables, upstream_tables) = (file.named("issuers"), file.named("upstreams"));
    let names = Names {
        issuers: issuer_tables.iter().map(|(name, _)| name.clone()).collect(),
        upstreams: upstream_tables.iter().map(|(name, _)| name.clone()).collect(),
    };
    let issuers = issuer::issuers(context, &issuer_tables);
    let upstreams = upstream::upstreams(context, &upstream_tables);
    let mut routes = route::routes(&mut file, &names, server.public_url.as_ref());
    note_unused(context, &names, &routes);
    check_websockets(context, &names, &routes, &upstreams);
    routes.iter_mut().for_each(|route| settle(route, &server, &upstreams));
    routes.iter_mut().for_each(|route| name_tenants(route, &issuers));
    let lowered = Lowered {
        server,
        issuers,
        upstreams,
        routes,
        token_cache: server::token_cache(context, &file.table("token_cache")),
        reload: server::reload(context, &file.table("reload"), overrides),
        errors: server::errors(context, &file.table("errors")),
        log: server::log(context, &file.table("log"), overrides),
        dev: server::dev(context, &file.table("dev")),
    };
    file.finish();
    lowered
}

/// What neither a route nor anything around it says, the server and the upstream say.
fn settle(route: &mut Route, server: &Server, upstreams: &[Settings]) {
    let upstream = upstreams.iter().find(|upstream| upstream.name == route.upstream);
    route.body_bytes = route.body_bytes.or(server.limits.body_bytes);
    let heads = &mut route.heads;
    heads.idle_body = heads.idle_body.or(Some(server.timeouts.idle_body));
    heads.request_timeout =
        heads.request_timeout.or(server.timeouts.request).filter(|limit| !limit.is_zero());
    route.response_timeout = route.response_timeout.or(upstream.map(|upstream| upstream.response_timeout));
}

/// A route names an entry of the file, and takes the tokens of all its tenants.
fn name_tenants(route: &mut Route, issuers: &[Issuer]) {
    let of = |name: &Arc<str>| {
        let names = issuers.iter().map(|issuer| issuer.entry.name.clone());
        names.filter(|issuer| tenants::is_of(name, issuer)).collect::<Vec<_>>()
    };
    route.issuers = route.issuers.iter().flat_map(of).collect();
}

/// A name becomes a label of metrics and a part of addresses of `scopegate dev`.
fn check_name(reader: &Reader<'_>, name: &Text) {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.text.is_empty() || !name.text.chars().all(plain) {
        reader.problem(name.place, "a name is made of letters, digits, \"-\", \"_\" and \".\"");
    }
}

/// A WebSocket begins by `Upgrade`, which HTTP/2 does not have.
fn check_websockets(context: &Context, names: &Names, routes: &[Route], upstreams: &[Settings]) {
    for route in routes.iter().filter(|route| route.websocket) {
        let is_its = |upstream: &&Settings| upstream.name == route.upstream;
        let speaks_http2 = |upstream: &Settings| upstream.protocol != Protocol::Http1;
        let name = names.upstreams.iter().find(|name| *name.text == *route.upstream);
        if let Some(name) = name.filter(|_| upstreams.iter().find(is_its).is_some_and(speaks_http2)) {
            let message = format!(
                "upstream \"{}\" may speak HTTP/2, and route \"{}\" has \"websocket\", which goes to upstreams over \
                 HTTP/1.1",
                name.text, route.pattern
            );
            let hint =
                "leave \"protocol\" out, or give WebSockets an upstream of their own with the same \"url\"";
            context.problem(Problem::at(name.place, message).hint(hint));
        }
    }
}

fn note_unused(context: &Context, names: &Names, routes: &[Route]) {
    for name in &names.upstreams {
        if !routes.iter().any(|route| *route.upstream == *name.text) {
            let message = format!("upstream \"{}\" is used by no route", name.text);
            context.note(Problem::at(name.place, message));
        }
    }
    for name in &names.issuers {
        if !routes.iter().flat_map(|route| &route.issuers).any(|issuer| **issuer == *name.text) {
            let message = format!("issuer \"{}\" is used by no route", name.text);
            context.note(Problem::at(name.place, message));
        }
    }
}
