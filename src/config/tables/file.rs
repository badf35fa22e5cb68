//! The top level of the file: reads every table, and then checks what concerns several of them.
//!
//! An invalid value is reported once and replaced, so that the rest can be checked as well. No
//! replacement leaves this module: a single problem means that there is no `Config`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::dev::{self, Dev};
use super::errors::{self, Errors};
use super::group_answers::Group;
use super::issuer::{self, Issuer};
use super::log::{self, Log};
use super::names::Names;
use super::reload::{self, Reload};
use super::route::{self, Route};
use super::routes::Routes;
use super::server::{self, Server};
use super::tenants;
use super::token_cache::{self, TokenCache};
use super::{group, routes, shared, upstream, variables};
use crate::config::context::Context;
use crate::config::language::document;
use crate::config::language::{
    Key, NamedTables, Problem, Reader, StrList, Subtable, Subtables, Table,
};
use crate::config::notes::route_table::RouteTable;
use crate::config::notes::{detours, heads, mcp, unjudged};
use crate::config::{Overrides, ReadFile, Variable};
use crate::upstream::{Protocol, Settings};

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[issuers.<name>]`, each tenant by itself, in the order of their names.
    pub issuers: Vec<Issuer>,
    /// `[upstreams.<name>]`, in the order of their names.
    pub upstreams: Vec<Settings>,
    /// Every route, those of groups included, in the order of the file. Never empty; no two
    /// conflict.
    pub routes: Vec<Arc<Route>>,
    /// The settings of groups for paths that no route has; no two for the same host and prefix.
    pub groups: Vec<Group>,
    /// `[token_cache]`
    pub token_cache: TokenCache,
    /// `[reload]`
    pub reload: Reload,
    /// `[errors]`: the form of the answers to refused clients.
    pub errors: Arc<Errors>,
    /// `[log]`
    pub log: Log,
    /// `[dev]`
    pub dev: Dev,
    /// Every path whose change changes the configuration: the file itself, includes and their
    /// patterns, key sets, certificates, secrets.
    pub files: Vec<ReadFile>,
    /// The SHA-256 of the contents of all files, in hexadecimal, as `scopegate_config_info` shows
    /// it.
    pub hash: Box<str>,
    /// `[variables]`, and those that only the command line or the environment has: the values in
    /// effect.
    pub variables: Vec<Variable>,
    /// Remarks on settings that are valid but deserve attention, such as `audience = "any"`;
    /// rendered, one per line.
    pub notes: Vec<String>,
}

pub(in crate::config) static TABLE: Table = Table {
    path: "",
    doc: "The whole configuration is one file; `include` can distribute issuers, upstreams, \
          routes and groups over several.",
    keys: &[
        &INCLUDE,
        &variables::VARIABLES,
        &SERVER,
        &ISSUERS,
        &UPSTREAMS,
        &DEFAULTS,
        &ROUTES,
        &GROUPS,
        &TOKEN_CACHE,
        &RELOAD,
        &ERRORS,
        &LOG,
        &DEV,
    ],
    refused: &[],
};

const INCLUDE: Key<StrList> = Key::new("include", StrList)
    .absent("nothing is included")
    .doc(
        "Further files, relative to this one. They may hold `issuers`, `upstreams`, `routes` and \
         `groups`. A `*` stands for any part of a file name, not of a directory name; matches are \
         read in the order of their names.",
    )
    .example(r#"["routes/*.toml"]"#);

const SERVER: Key<Subtable> = Key::new("server", Subtable(&server::TABLE))
    .absent("its defaults")
    .doc("Listeners, deadlines, limits.")
    .example("[server]");

const ISSUERS: Key<NamedTables> = Key::new("issuers", NamedTables(&issuer::TABLE))
    .absent("no issuer: every route is public")
    .doc("The authorization servers whose tokens are accepted.")
    .not(&["issuer"])
    .example("[issuers.idp]");

const UPSTREAMS: Key<NamedTables> = Key::new("upstreams", NamedTables(&upstream::TABLE))
    .absent("no upstream")
    .doc("The servers to which requests are forwarded.")
    .not(&["upstream", "backends", "services"])
    .example("[upstreams.orders]");

const DEFAULTS: Key<Subtable> = Key::new("defaults", Subtable(&shared::DEFAULTS))
    .absent("its defaults")
    .doc("Settings for all routes and groups.")
    .example("[defaults]");

const ROUTES: Key<Subtables> = Key::new("routes", Subtables(&route::TABLE))
    .absent("only the routes of groups")
    .doc("The scopes that paths and methods require. A file without any route is an error.")
    .not(&["route"])
    .example("[[routes]]");

const GROUPS: Key<Subtables> = Key::new("groups", Subtables(&group::TABLE))
    .absent("no group")
    .doc("Routes that share settings.")
    .not(&["group"])
    .example("[[groups]]");

const TOKEN_CACHE: Key<Subtable> = Key::new("token_cache", Subtable(&token_cache::TABLE))
    .absent("its defaults")
    .doc("The cache of verified tokens.")
    .not(&["cache"])
    .example("[token_cache]");

const RELOAD: Key<Subtable> = Key::new("reload", Subtable(&reload::TABLE))
    .absent("its defaults")
    .doc("The reloading of changed files.")
    .example("[reload]");

const ERRORS: Key<Subtable> = Key::new("errors", Subtable(&errors::TABLE))
    .absent("its defaults")
    .doc("The form of the answers to refused clients.")
    .example("[errors]");

const LOG: Key<Subtable> = Key::new("log", Subtable(&log::TABLE))
    .absent("its defaults")
    .doc("The content of the logs.")
    .not(&["logging"])
    .example("[log]");

const DEV: Key<Subtable> = Key::new("dev", Subtable(&dev::TABLE))
    .absent("its defaults")
    .doc("Settings of `scopegate dev`.")
    .example("[dev]");

/// Lowers a document. Problems and notes are added to the context, and the record of the files is
/// left empty.
pub(in crate::config) fn lower(
    context: &Context,
    root: &document::Table,
    overrides: &Overrides,
) -> Config {
    let mut file = Reader::new(context, &TABLE, root, "the file");
    // Includes were merged before; only the type of the key is checked here.
    file.find(&INCLUDE);
    // Variables were filled in before.
    file.value(&variables::VARIABLES);
    let server = server::server(file.table(&SERVER, "server"), overrides);
    let (issuer_tables, upstream_tables) = (file.named(&ISSUERS), file.named(&UPSTREAMS));
    let mut names = Names::new(&issuer_tables, &upstream_tables);
    let issuers = issuer::issuers(context, &issuer_tables);
    for issuer in &issuers {
        names.learn(&issuer.name, &issuer.entry.issuer);
    }
    let upstreams = upstream::upstreams(context, &upstream_tables);
    let tables = routes::Tables {
        defaults: file.table(&DEFAULTS, "defaults"),
        routes: file.tables(&ROUTES, "route"),
        groups: file.tables(&GROUPS, "group"),
    };
    let errors = errors::errors(file.table(&ERRORS, "errors"));
    let Routes { mut routes, groups } =
        routes::routes(&file, tables, &names, server.public_url.as_ref(), &errors);
    note_unused(context, &names, &routes);
    complete(&mut routes, &server, &issuers, &upstreams);
    check_websockets(context, &names, &routes, &upstreams);
    let routes: Vec<_> = routes.into_iter().map(Arc::new).collect();
    if !context.has_problems() {
        let table = RouteTable::new(&routes);
        detours::note(context, &table, &upstreams);
        heads::note(context, &table);
        unjudged::note(context, &routes, &upstreams);
        mcp::note(context, &routes);
    }
    let config = Config {
        server,
        issuers,
        upstreams,
        routes,
        groups,
        token_cache: token_cache::token_cache(file.table(&TOKEN_CACHE, "token_cache")),
        reload: reload::reload(file.table(&RELOAD, "reload"), overrides),
        errors,
        log: log::log(
            file.table(&LOG, "log"),
            overrides.log_level,
            overrides.access_log,
        ),
        dev: dev::dev(file.table(&DEV, "dev")),
        files: Vec::new(),
        hash: Box::default(),
        variables: context
            .variables()
            .map_or_else(Vec::new, |all| all.list().to_vec()),
        notes: Vec::new(),
    };
    file.finish();
    config
}

/// Completes routes with the settings of the server, the issuers and the upstreams.
fn complete(routes: &mut [Route], server: &Server, issuers: &[Issuer], upstreams: &[Settings]) {
    let upstreams = by_name(upstreams);
    let tenants = tenants_by_entry(issuers);
    for route in routes {
        apply_settings(route, server, &upstreams);
        name_tenants(route, &tenants);
    }
}

fn by_name(upstreams: &[Settings]) -> HashMap<&str, &Settings> {
    let mut by_name = HashMap::with_capacity(upstreams.len());
    for upstream in upstreams {
        by_name.insert(&*upstream.name, upstream);
    }
    by_name
}

/// Returns the settings of a route's upstream, if it has one.
fn settings_of<'s>(route: &Route, upstreams: &HashMap<&str, &'s Settings>) -> Option<&'s Settings> {
    upstreams.get(&**route.upstream()?).copied()
}

/// Applies the settings of the server and the upstream to a route, where neither the route nor its
/// group nor `[defaults]` has its own.
fn apply_settings(route: &mut Route, server: &Server, upstreams: &HashMap<&str, &Settings>) {
    route.body_bytes = route.body_bytes.or(server.limits.body_bytes);
    if let Some(upstream) = settings_of(route, upstreams) {
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
        all.entry(tenants::entry_of(&issuer.name))
            .or_default()
            .push(&issuer.name);
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

/// Reports routes with WebSockets whose upstream may use HTTP/2: a WebSocket begins with `Upgrade`,
/// which HTTP/2 does not have.
fn check_websockets(context: &Context, names: &Names, routes: &[Route], upstreams: &[Settings]) {
    let upstreams = by_name(upstreams);
    for route in routes.iter().filter(|route| route.websocket) {
        let Some(upstream) = settings_of(route, &upstreams) else {
            continue;
        };
        let Some(span) = names.upstreams.span(&upstream.name) else {
            continue;
        };
        if upstream.protocol == Protocol::Http1 {
            continue;
        }
        let message = format!(
            "upstream \"{}\" may speak HTTP/2, and route \"{}\" has \"websocket\", which goes to \
             upstreams over HTTP/1.1",
            upstream.name, route.pattern
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
        upstreams.extend(route.upstream().map(|name| &**name));
        for issuer in &route.issuers {
            issuers.insert(&**issuer);
        }
    }
    names.upstreams.note_unused(context, "upstream", &upstreams);
    names.issuers.note_unused(context, "issuer", &issuers);
}
