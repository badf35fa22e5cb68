//! Lowers the document to a [`Config`](super::Config), part by part, and collects all problems.
//!
//! An invalid value is reported once and replaced, so that the rest can be checked as well. No
//! replacement leaves this module: a single problem means that there is no `Config`.

mod header_rules;
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

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::config::context::Context;
use crate::config::language::document::Table;
use crate::config::language::problem::Problem;
use crate::config::language::reader::{Reader, Text};
use crate::config::language::source::Span;
use crate::config::language::suggestion::did_you_mean;
use crate::config::schema::FILE;
use crate::config::{Dev, ErrorDetail, Issuer, Log, Overrides, Reload, Route, Server, TokenCache};
use crate::upstream::{Protocol, Settings};

/// The parts of a `Config`, except for the record of its files.
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

/// The names that routes can refer to. They include entries with problems, so that a broken issuer
/// does not make every route invalid as well.
struct Names {
    issuers: Defined,
    upstreams: Defined,
}

/// The limit on the misspelled names that get a suggestion: each is compared with every defined
/// name.
const MAX_SUGGESTIONS: usize = 100;

/// The defined names of one kind, in the order of the file. Lookups are by hash, because every
/// route refers to some of them.
struct Defined {
    list: Vec<Text>,
    spans: HashMap<String, Span>,
    suggestions: RefCell<HashMap<String, String>>,
}

impl Defined {
    fn new(tables: &[(Text, Table)]) -> Self {
        let mut list = Vec::with_capacity(tables.len());
        let mut spans = HashMap::with_capacity(tables.len());
        for (name, _) in tables {
            list.push(name.clone());
            spans.insert(name.text.clone(), name.span);
        }
        Self {
            list,
            spans,
            suggestions: RefCell::default(),
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.list.iter().map(|name| name.text.as_str())
    }

    fn span(&self, name: &str) -> Option<Span> {
        self.spans.get(name).copied()
    }

    /// Notes each name that no route uses.
    fn note_unused(&self, context: &Context, kind: &str, used: &HashSet<&str>) {
        for name in &self.list {
            if !used.contains(&*name.text) {
                let message = format!("{kind} \"{}\" is used by no route", name.text);
                context.note(Problem::at(name.span, message));
            }
        }
    }

    /// Returns `; did you mean "…"?` for a name that is not defined, or an empty string.
    fn suggestion(&self, name: &str) -> String {
        let mut known = self.suggestions.borrow_mut();
        if let Some(suggestion) = known.get(name) {
            return suggestion.clone();
        }
        if known.len() >= MAX_SUGGESTIONS {
            return String::new();
        }
        let suggestion = did_you_mean(name, self.names());
        known.insert(name.to_owned(), suggestion.clone());
        suggestion
    }
}

/// Lowers a document. Problems and notes are added to the context.
pub(super) fn lower(context: &Context, root: &Table, overrides: &Overrides) -> Lowered {
    let mut file = Reader::new(context, &FILE, root, "the file");
    // Includes were merged before; only the type of the key is checked here.
    file.texts("include");
    let server = server::server(context, &file.table("server"), overrides);
    let (issuer_tables, upstream_tables) = (file.named("issuers"), file.named("upstreams"));
    let names = Names {
        issuers: Defined::new(&issuer_tables),
        upstreams: Defined::new(&upstream_tables),
    };
    let issuers = issuer::issuers(context, &issuer_tables);
    let upstreams = upstream::upstreams(context, &upstream_tables);
    let mut routes = route::routes(&mut file, &names, server.public_url.as_ref());
    note_unused(context, &names, &routes);
    let by_name = by_name(&upstreams);
    check_websockets(context, &names, &routes, &by_name);
    let tenants = tenants_by_entry(&issuers);
    for route in &mut routes {
        apply_settings(route, &server, &by_name);
        name_tenants(route, &tenants);
    }
    if !context.has_problems() {
        crate::config::notes::detours::note(context, &routes, &upstreams);
        crate::config::notes::unjudged::note(context, &routes, &upstreams);
    }
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

fn by_name(upstreams: &[Settings]) -> HashMap<&str, &Settings> {
    let mut by_name = HashMap::with_capacity(upstreams.len());
    for upstream in upstreams {
        by_name.insert(&*upstream.name, upstream);
    }
    by_name
}

/// Applies the settings of the server and the upstream to a route, where neither the route nor its
/// group nor `[defaults]` has its own.
fn apply_settings(route: &mut Route, server: &Server, upstreams: &HashMap<&str, &Settings>) {
    route.body_bytes = route.body_bytes.or(server.limits.body_bytes);
    if let Some(upstream) = upstreams.get(&*route.upstream) {
        route
            .response_timeout
            .get_or_insert(upstream.response_timeout);
    }
    let heads = &mut route.heads;
    heads.idle_body.get_or_insert(server.timeouts.idle_body);
    let request_timeout = heads.request_timeout.or(server.timeouts.request);
    heads.request_timeout = request_timeout.filter(|limit| !limit.is_zero());
}

/// Returns the names of the issuers of each entry of the file.
fn tenants_by_entry(issuers: &[Issuer]) -> HashMap<&str, Vec<&Arc<str>>> {
    let mut all: HashMap<&str, Vec<&Arc<str>>> = HashMap::new();
    for issuer in issuers {
        all.entry(tenants::entry_of(&issuer.entry.name))
            .or_default()
            .push(&issuer.entry.name);
    }
    all
}

/// Replaces each entry that a route names by the names of all its issuers: a route accepts the
/// tokens of every tenant.
fn name_tenants(route: &mut Route, tenants: &HashMap<&str, Vec<&Arc<str>>>) {
    let mut issuers = Vec::new();
    for entry in &route.issuers {
        for issuer in tenants.get(&**entry).into_iter().flatten() {
            issuers.push(Arc::clone(issuer));
        }
    }
    route.issuers = issuers;
}

/// Checks the characters of a name, which becomes a label of metrics and a part of addresses of
/// `scopegate dev`.
fn check_name(reader: &Reader<'_>, name: &Text) {
    if name.text.is_empty() || !name.text.chars().all(is_name_character) {
        reader.problem(
            name.span,
            "a name is made of letters, digits, \"-\", \"_\" and \".\"",
        );
    }
}

fn is_name_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// Reports routes with WebSockets whose upstream may use HTTP/2: a WebSocket begins with `Upgrade`,
/// which HTTP/2 does not have.
fn check_websockets(
    context: &Context,
    names: &Names,
    routes: &[Route],
    upstreams: &HashMap<&str, &Settings>,
) {
    for route in routes.iter().filter(|route| route.websocket) {
        let Some(upstream) = upstreams.get(&*route.upstream) else {
            continue;
        };
        let Some(span) = names.upstreams.span(&route.upstream) else {
            continue;
        };
        if upstream.protocol == Protocol::Http1 {
            continue;
        }
        let message = format!(
            "upstream \"{}\" may speak HTTP/2, and route \"{}\" has \"websocket\", which goes to \
             upstreams over HTTP/1.1",
            route.upstream, route.pattern
        );
        let hint = "leave \"protocol\" out, or give WebSockets an upstream of their own with the \
                    same \"url\"";
        context.problem(Problem::at(span, message).hint(hint));
    }
}

/// Notes each upstream and issuer that no route uses.
fn note_unused(context: &Context, names: &Names, routes: &[Route]) {
    let mut upstreams = HashSet::new();
    let mut issuers = HashSet::new();
    for route in routes {
        upstreams.insert(&*route.upstream);
        for issuer in &route.issuers {
            issuers.insert(&**issuer);
        }
    }
    names.upstreams.note_unused(context, "upstream", &upstreams);
    names.issuers.note_unused(context, "issuer", &issuers);
}
