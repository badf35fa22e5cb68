//! Parses and validates the configuration, `gateway.toml`.
//!
//! The document is the content of the files, with the position of each key and value. [`Config`] is
//! the valid configuration; its types cannot hold an invalid one. All problems of all files are
//! found in one pass. Single values are parsed by their types in the other modules; this module
//! knows their positions in the file and the conditions between them.

mod access;
mod context;
mod files;
mod language;
mod links;
mod load;
mod notes;
mod overrides;
mod policy_text;
mod schema;
mod tables;
#[cfg(test)]
mod tests;
mod token_places;
#[cfg(test)]
mod vectors;

pub use access::{RouteMethod, rules};
pub use files::ReadFile;
pub use language::json_schema::schema;
pub use language::problem::{Problem, Problems};
pub use language::reference::reference;
pub use links::Links;
pub use overrides::Overrides;
pub use policy_text::effective_policy;
pub use token_places::{TokenPlaces, unjudged};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use context::{Consistency, Context};

use crate::issuer;
use crate::net::{Address, TrustedProxies, Url};
use crate::policy::Requirement;
use crate::route::{Ambiguities, Distinct, HostPattern, MethodPattern, Pattern};
use crate::tls::Acceptor;
use crate::token::{ForwardedClaim, Rules, Source};
use crate::transform::{Cors, HeaderRules, Origins, Rewrite};
use crate::upstream;

/// The greatest number of readings for one load, when files change while they are read. A symbolic
/// link that is swapped counts as one change.
const MAX_READINGS: usize = 5;

/// A valid configuration.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[issuers.<name>]`, each tenant by itself, in the order of their names.
    pub issuers: Vec<Issuer>,
    /// `[upstreams.<name>]`, in the order of their names.
    pub upstreams: Vec<upstream::Settings>,
    /// Every route, those of groups included, in the order of the file. Never empty; no two
    /// conflict.
    pub routes: Vec<Route>,
    /// `[token_cache]`
    pub token_cache: TokenCache,
    /// `[reload]`
    pub reload: Reload,
    /// `[errors]`: the detail of the error messages for refused clients.
    pub errors: ErrorDetail,
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
    /// Remarks on settings that are valid but deserve attention, such as `audience = "any"`;
    /// rendered, one per line.
    pub notes: Vec<String>,
}

impl Config {
    /// Reads a configuration and every file that it names. Reads them again when one of them
    /// changes meanwhile, so that all contents belong to one generation.
    ///
    /// # Errors
    /// Returns every problem of every file.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self, Problems> {
        let mut left = MAX_READINGS;
        loop {
            let context = Context::new().with_stand_ins(overrides.stand_ins);
            let lowered = read_and_lower(&context, path, overrides);
            left -= 1;
            match (context.consistency(), left) {
                // All contents are of one generation, at worst the one before the current: the next
                // look at the files notices that the link was swapped.
                (Consistency::Unchanged, _) | (Consistency::LinkMoved, 0) => {
                    return Self::of(context, lowered);
                }
                (Consistency::FileChanged, 0) => return Err(context.into_unsettled(MAX_READINGS)),
                (Consistency::LinkMoved | Consistency::FileChanged, _) => {}
            }
        }
    }

    /// Parses the text of a configuration. Files that it names are read relative to `name`, as if
    /// the text were the content of that file.
    ///
    /// # Errors
    /// Returns every problem.
    pub fn parse(text: &str, name: &str) -> Result<Self, Problems> {
        let context = Context::new();
        let file = context.add_source(name, text);
        let lowered = lower_document(&context, file, &Overrides::default());
        Self::of(context, lowered)
    }

    /// Returns the configuration if it was lowered without problems, with the record of its files.
    fn of(context: Context, lowered: Option<tables::Lowered>) -> Result<Self, Problems> {
        let Some(lowered) = lowered.filter(|_| !context.has_problems()) else {
            return Err(context.into_problems());
        };
        let record = context.into_record();
        Ok(Self {
            server: lowered.server,
            issuers: lowered.issuers,
            upstreams: lowered.upstreams,
            routes: lowered.routes,
            token_cache: lowered.token_cache,
            reload: lowered.reload,
            errors: lowered.errors,
            log: lowered.log,
            dev: lowered.dev,
            files: record.files,
            hash: record.hash,
            notes: record.notes,
        })
    }
}

/// Reads a file and lowers it. Problems are added to the context.
fn read_and_lower(
    context: &Context,
    path: &Path,
    overrides: &Overrides,
) -> Option<tables::Lowered> {
    match context.read_source(path) {
        Ok(file) => lower_document(context, file, overrides),
        Err(error) => {
            context.problem(Problem::without_span(error));
            None
        }
    }
}

/// Lowers a file and everything that it includes. Problems are added to the context.
fn lower_document(
    context: &Context,
    file: usize,
    overrides: &Overrides,
) -> Option<tables::Lowered> {
    let document = load::document(context, file);
    // Without a valid syntax the meaning could only be guessed, and problems that follow from a
    // guess do not help.
    if context.has_problems() {
        return None;
    }
    Some(tables::lower(context, &document, overrides))
}

/// `[server]`: listeners, limits and deadlines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The listeners; never empty, no two with the same address.
    pub listeners: Vec<Listener>,
    /// The admin listener; `None` for `admin = "off"`.
    pub admin: Option<SocketAddr>,
    /// The host names, without ports, that the admin listener accepts besides IP addresses and
    /// `localhost`.
    pub admin_hosts: Vec<Box<str>>,
    /// Worker threads; at least 1.
    pub workers: usize,
    /// The time that connections get to finish after SIGTERM.
    pub drain: Duration,
    /// The path of the Unix socket on which a successor process asks for the listening sockets.
    pub handover: Option<PathBuf>,
    /// The condition under which `/readyz` reports that the gateway is ready.
    pub ready: Ready,
    /// The URL under which clients reach the gateway, without a slash at the end.
    pub public_url: Option<Url>,
    /// The proxies in front of the gateway whose statements about the origin of a request are
    /// trusted.
    pub trusted_proxies: TrustedProxies,
    /// The fields that tell upstreams the origin of a request.
    pub forwarded: ForwardedFields,
    /// `[server.timeouts]`
    pub timeouts: Timeouts,
    /// `[server.limits]`
    pub limits: Limits,
    /// `[server.http2]`
    pub http2: Http2,
}

/// The fields that tell upstreams the origin of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedFields {
    /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
    Common,
    /// `Forwarded` (RFC 7239).
    Standard,
    /// Both kinds.
    Both,
}

/// A listener: an address, and how connections to it begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address.
    pub address: Address,
    /// The TLS settings; `None` for a listener without TLS.
    pub tls: Option<Acceptor>,
    /// The networks whose connections begin with a PROXY header. Connections from elsewhere have
    /// none.
    pub proxy_protocol_from: Vec<ipnet::IpNet>,
    /// The file mode of a Unix-domain socket.
    pub unix_mode: u32,
}

impl Server {
    /// Returns whether `[::]` accepts IPv6 connections only: this is so when another listener, the
    /// admin listener included, has the same port on IPv4. Otherwise `[::]` accepts both families,
    /// as far as the system supports it.
    #[must_use]
    pub fn is_for_ipv6_alone(&self, address: &Address) -> bool {
        let Address::Ip(address) = address else {
            return false;
        };
        if !address.is_ipv6() || !address.ip().is_unspecified() || address.port() == 0 {
            return false;
        }
        let listeners = self.listeners.iter();
        let mut all = listeners
            .filter_map(|listener| listener.address.ip())
            .chain(self.admin);
        all.any(|other| other.port() == address.port() && other.ip().to_canonical().is_ipv4())
    }

    /// Replaces all listeners with listeners on these addresses, which have the other settings of
    /// the first listener. Used for addresses that override the file.
    pub fn readdress(&mut self, addresses: &[SocketAddr]) {
        let Some(first) = self.listeners.first().cloned() else {
            return;
        };
        self.listeners.clear();
        for address in addresses {
            self.listeners.push(Listener {
                address: Address::Ip(*address),
                ..first.clone()
            });
        }
    }
}

/// The condition, besides listening with a configuration, under which `/readyz` reports ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// The keys of each issuer were fetched, or the fetch was tried, at least once.
    Tried,
    /// Each issuer has keys.
    Keys,
}

/// Deadlines of client connections.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For a request head, from its first byte.
    pub request_head: Duration,
    /// For a connection between requests.
    pub idle: Duration,
    /// Between two pieces of a body, in either direction.
    pub idle_body: Duration,
    /// For a whole request, from its head to the end of its response; `None` for no limit, the
    /// default.
    pub request: Option<Duration>,
    /// For a WebSocket on which neither side sends anything.
    pub tunnel: Duration,
    /// For a connection as a whole, plus or minus a tenth; `None` for no limit, the default.
    pub connection_age: Option<Duration>,
}

/// `[server.http2]`: limits of client connections that use HTTP/2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2 {
    /// Streams that a client may have open at a time.
    pub streams: u32,
    /// Bytes that a client may send on a stream before the gateway has consumed them.
    pub stream_window: u32,
    /// Bytes that a client may send on all streams of a connection before they are consumed.
    pub connection_window: u32,
    /// Streams that a client may reset before the gateway has processed them.
    pub pending_resets: usize,
    /// Streams that the gateway has to reset because of errors of the client.
    pub error_resets: usize,
}

/// `[server.limits]`: limits on the requests and connections of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head; a longer one is answered with 431.
    pub head_bytes: usize,
    /// Fields of a request head; more of them are answered with 431.
    pub head_fields: usize,
    /// Bytes of a request target; a longer one is answered with 414.
    pub target_bytes: usize,
    /// Bytes of a request body; a longer one is answered with 413. `None` for no limit, the
    /// default. Routes may have their own limit.
    pub body_bytes: Option<u64>,
    /// Bytes of a token; a longer one is answered with 401.
    pub token_bytes: usize,
    /// Open client connections; at the limit the acceptor pauses.
    pub connections: usize,
    /// Requests of one connection; the connection closes after the last of them.
    pub connection_requests: usize,
    /// Requests in progress at a time; further ones are answered with 503.
    pub requests: usize,
    /// Bytes of a response that are buffered for a slow client, for each HTTP/1.1 connection or
    /// HTTP/2 stream.
    pub write_buffer: usize,
}

/// `[token_cache]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCache {
    /// Bytes of the level that all workers share; 0 turns the whole cache off.
    pub bytes: u64,
    /// Tokens that each worker keeps in its own level.
    pub per_worker: usize,
}

/// `[reload]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Set when the files are watched for changes; SIGHUP reloads in either case.
    pub watch: bool,
    /// The time without further changes after which changed files are read.
    pub settle: Duration,
}

/// The detail of the error message for a client whose genuine token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorDetail {
    /// The message names the check that failed.
    Full,
    /// The message holds the error code of RFC 6750 §3.1 alone.
    Minimal,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The level of the gateway's own events.
    pub level: tracing::Level,
    /// The requests that get a line in the access log, on standard output.
    pub access: AccessLog,
}

/// The requests that get a line in the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// No request.
    Off,
    /// Requests that the gateway refused.
    Refusals,
    /// Every request.
    All,
}

/// `[dev]`: settings that only `scopegate dev` reads.
#[derive(Clone, Debug, Default)]
pub struct Dev {
    /// `[dev.clients.<id>]`: clients of the embedded issuer, in addition to `dev`.
    pub clients: Vec<DevClient>,
}

/// A client of the embedded issuer of `scopegate dev`.
#[derive(Clone, Debug)]
pub struct DevClient {
    /// Its `client_id`.
    pub id: Box<str>,
    /// Its secret.
    pub secret: Secret,
    /// The scopes that the client may obtain; `None` for every scope that the routes name.
    pub scopes: Option<Vec<crate::policy::Scope>>,
}

/// A secret text. Its `Debug` output does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// Returns the text. Callers use it for one comparison or message, and never log it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// `[issuers.<name>]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The name, the `iss` and the keys.
    pub entry: issuer::IssuerSettings,
    /// The conditions on the claims of the issuer's tokens.
    pub rules: Rules,
}

/// A route. The settings of its group and of `[defaults]` are already applied.
#[derive(Clone, Debug)]
pub struct Route {
    /// The host that the route serves; `None` for every host that no other route names.
    pub host: Option<HostPattern>,
    /// The path as clients write it: the prefix of the group and the path of the route.
    pub pattern: Pattern,
    /// The methods with the requirement of each; never empty, no method twice.
    pub methods: Vec<(MethodPattern, Requirement)>,
    /// The name of the upstream.
    pub upstream: Arc<str>,
    /// The prefix of the group, if it is removed before forwarding: as many segments as the prefix
    /// has are cut, and nothing else is changed.
    pub strip: Option<Box<str>>,
    /// The names of the issuers whose tokens the route accepts, each tenant by itself. Empty only
    /// if every method is public.
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
