//! Text to valid values.
//!
//! The document is what the file says, with spans; [`Config`] is what is valid, and its types
//! cannot hold anything else; all problems of a file are found at once. Parsing of single values
//! lives with their types in the other rooms: here are only places in the file and what the parts
//! must be to each other.

mod access;
mod document;
mod files;
mod json_schema;
mod links;
mod load;
mod lower;
mod overrides;
mod policy_text;
mod problem;
mod reader;
mod reference;
mod schema;
mod source;
mod suggestion;
#[cfg(test)]
mod tests;
mod token_places;
mod units;
#[cfg(test)]
mod vectors;

pub use access::{RouteMethod, rules};
pub use files::ReadFile;
pub use json_schema::schema;
pub use links::Links;
pub use overrides::Overrides;
pub use policy_text::effective_policy;
pub use problem::{Problem, Problems};
pub use reference::reference;
pub use token_places::{TokenPlaces, unjudged};

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use load::Stillness;

use crate::issuer;
use crate::net::{Acceptor, Address, TrustedProxies, Url};
use crate::policy::Requirement;
use crate::route::{
    Ambiguities, Cors, Distinct, HeaderRules, HostPattern, MethodPattern, Origins, Pattern, Rewrite,
};
use crate::token::{ForwardedClaim, Rules, Source};
use crate::upstream;

/// The most readings, at once, of files that change while they are read. A swapped link is one
/// change.
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
    /// `[errors]`: what refused clients are told.
    pub errors: ErrorDetail,
    /// `[log]`
    pub log: Log,
    /// `[dev]`
    pub dev: Dev,
    /// Every path whose change is a change of the configuration: the file itself, includes and
    /// their patterns, key sets, certificates, secrets.
    pub files: Vec<ReadFile>,
    /// Hexadecimal SHA-256 over the contents of all files: what `scopegate_config_info` shows.
    pub hash: Box<str>,
    /// What is allowed but worth a look, such as `audience = "any"`; rendered.
    pub notes: Vec<String>,
}

impl Config {
    /// Reads a configuration and all that it names, again where its files change meanwhile: what is
    /// read is of one generation.
    ///
    /// # Errors
    /// Every problem of every file, at once.
    pub fn load(path: &Path, overrides: &Overrides) -> Result<Self, Problems> {
        let mut left = MAX_READINGS;
        loop {
            let context = load::Context::new().with_stand_ins(overrides.stand_ins);
            let lowered = match context.read_source(path) {
                Ok(file) => lower_document(&context, file, overrides),
                Err(error) => {
                    context.problem(Problem::without_span(error));
                    None
                }
            };
            left -= 1;
            match (context.stillness(), left) {
                // A generation whole, at worst the one before the last: the next look at the files
                // finds the swap of the link.
                (Stillness::Still, _) | (Stillness::Moved, 0) => return Self::of(context, lowered),
                (Stillness::Changed, 0) => return Err(context.into_restlessness(MAX_READINGS)),
                (Stillness::Moved | Stillness::Changed, _) => {}
            }
        }
    }

    /// The configuration of a text. What it names is read relative to `name`, as if the text were
    /// that file's.
    ///
    /// # Errors
    /// Every problem, at once.
    pub fn parse(text: &str, name: &str) -> Result<Self, Problems> {
        let context = load::Context::new();
        let file = context.add_source(name, text);
        let lowered = lower_document(&context, file, &Overrides::default());
        Self::of(context, lowered)
    }

    /// The configuration that was lowered without problems, and the account of its files.
    fn of(context: load::Context, lowered: Option<lower::Lowered>) -> Result<Self, Problems> {
        let Some(lowered) = lowered.filter(|_| !context.has_problems()) else {
            return Err(context.into_problems());
        };
        let account = context.into_account();
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
            files: account.files,
            hash: account.hash,
            notes: account.notes,
        })
    }
}

/// Lowers a file and all that it includes; problems are left in the context.
fn lower_document(
    context: &load::Context,
    file: usize,
    overrides: &Overrides,
) -> Option<lower::Lowered> {
    let document = load::document(context, file);
    // The meaning of a broken text could only be guessed, and problems of guesses do not help.
    if context.has_problems() {
        return None;
    }
    Some(lower::lower(context, &document, overrides))
}

/// Listeners, limits and deadlines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where requests are taken; never empty, no two alike.
    pub listeners: Vec<Listener>,
    /// The admin listener; `None` for `admin = "off"`.
    pub admin: Option<SocketAddr>,
    /// The names that the admin listener may be asked by, besides addresses and `localhost`;
    /// without ports.
    pub admin_hosts: Vec<Box<str>>,
    /// Worker threads; at least 1.
    pub workers: usize,
    /// How long connections may finish after SIGTERM.
    pub drain: Duration,
    /// Where the next gateway asks for the listening sockets of this one.
    pub handover: Option<PathBuf>,
    /// What `/readyz` asks for.
    pub ready: Ready,
    /// How clients reach the gateway, without a slash at the end.
    pub public_url: Option<Url>,
    /// The proxies before the gateway, whose word of where a request came from is taken.
    pub trusted_proxies: TrustedProxies,
    /// How upstreams are told where a request came from.
    pub forwarded: ForwardedFields,
    /// `[server.timeouts]`
    pub timeouts: Timeouts,
    /// `[server.limits]`
    pub limits: Limits,
    /// `[server.http2]`
    pub http2: Http2,
}

/// The fields in which upstreams are told where a request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForwardedFields {
    /// `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`.
    Common,
    /// `Forwarded` (RFC 7239).
    Standard,
    /// All of them.
    Both,
}

/// Where requests are taken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The address.
    pub address: Address,
    /// TLS, where it is spoken.
    pub tls: Option<Acceptor>,
    /// The networks whose connections begin with a PROXY header, and no others do.
    pub proxy_protocol_from: Vec<ipnet::IpNet>,
    /// The mode of the file of a Unix-domain socket.
    pub unix_mode: u32,
}

impl Server {
    /// Whether `[::]` is for IPv6 alone: where a listener, the admin's included, has its port for
    /// IPv4. By itself it is for both families, as far as the system is for that.
    #[must_use]
    pub fn is_for_ipv6_alone(&self, address: &Address) -> bool {
        let Address::Ip(address) = address else {
            return false;
        };
        let is_ipv4 = |other: &SocketAddr| {
            other.port() == address.port()
                && other.port() != 0
                && other.ip().to_canonical().is_ipv4()
        };
        let all = self
            .listeners
            .iter()
            .filter_map(|listener| listener.address.ip())
            .chain(self.admin);
        address.is_ipv6()
            && address.ip().is_unspecified()
            && all.into_iter().any(|other| is_ipv4(&other))
    }

    /// Takes requests at these addresses and no others, as the first listener does: what goes
    /// before the file.
    pub fn readdress(&mut self, addresses: &[SocketAddr]) {
        let Some(first) = self.listeners.first().cloned() else {
            return;
        };
        let at = |address: &SocketAddr| Listener {
            address: Address::Ip(*address),
            ..first.clone()
        };
        self.listeners = addresses.iter().map(at).collect();
    }
}

/// What `/readyz` asks for besides listening with a configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// Each issuer was tried once.
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
    /// For a whole request, from its head to the end of its response; none by default.
    pub request: Option<Duration>,
    /// For a WebSocket on which neither side says anything.
    pub tunnel: Duration,
    /// For a connection as a whole, give or take a tenth; none by default.
    pub connection_age: Option<Duration>,
}

/// `[server.http2]`: bounds of client connections that speak HTTP/2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http2 {
    /// Streams that a client may have open.
    pub streams: u32,
    /// Bytes that a client may send on a stream before they are taken.
    pub stream_window: u32,
    /// Bytes that a client may send on all streams of a connection.
    pub connection_window: u32,
    /// Streams that a client may reset before they are looked at.
    pub pending_resets: usize,
    /// Streams that a client may make the gateway reset.
    pub error_resets: usize,
}

/// Bounds on what a client may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a request head: 431 beyond it.
    pub head_bytes: usize,
    /// Fields of a request head: 431 beyond it.
    pub head_fields: usize,
    /// Bytes of a request target: 414 beyond it.
    pub target_bytes: usize,
    /// Bytes of a request body: 413 beyond it; none by default. Routes may differ.
    pub body_bytes: Option<u64>,
    /// Bytes of a token: 401 beyond it.
    pub token_bytes: usize,
    /// Open client connections; accepting pauses beyond it.
    pub connections: usize,
    /// Requests of one connection, after which it ends.
    pub connection_requests: usize,
    /// Requests that are answered at a time: 503 beyond it.
    pub requests: usize,
    /// Bytes of an answer that wait for its client, of a connection of HTTP/1.1 or a stream of
    /// HTTP/2.
    pub write_buffer: usize,
}

/// `[token_cache]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenCache {
    /// Bytes of the shared level; 0 turns the whole cache off.
    pub bytes: u64,
    /// Tokens that each worker keeps for itself.
    pub per_worker: usize,
}

/// `[reload]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reload {
    /// Whether files are watched; SIGHUP works in either case.
    pub watch: bool,
    /// How long edits must have settled.
    pub settle: Duration,
}

/// What the bearer of a genuine token is told when it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorDetail {
    /// Which check failed.
    Full,
    /// The error code of RFC 6750 §3.1 alone.
    Minimal,
}

/// `[log]`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// The gateway's own events.
    pub level: tracing::Level,
    /// Which requests get a line on standard output.
    pub access: AccessLog,
}

/// Which requests get a line in the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessLog {
    /// None.
    Off,
    /// Those that the gateway refused.
    Refusals,
    /// All.
    All,
}

/// `[dev]`: read by `scopegate dev` alone.
#[derive(Clone, Debug, Default)]
pub struct Dev {
    /// `[dev.clients.<id>]`: clients of the embedded issuer besides `dev`.
    pub clients: Vec<DevClient>,
}

/// A client of the embedded issuer.
#[derive(Clone, Debug)]
pub struct DevClient {
    /// Its `client_id`.
    pub id: Box<str>,
    /// Its secret.
    pub secret: Secret,
    /// What it may have; `None` for every scope that the routes name.
    pub scopes: Option<Vec<crate::policy::Scope>>,
}

/// A text that appears in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Keeps a text secret.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The text, for the one comparison or message it is for.
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
    /// Name, `iss`, keys.
    pub entry: issuer::IssuerSettings,
    /// What its tokens must say.
    pub rules: Rules,
}

/// One route, with its group's and the defaults' settings worked in.
#[derive(Clone, Debug)]
pub struct Route {
    /// The host it is for; `None` for every host that no other route names.
    pub host: Option<HostPattern>,
    /// The path as clients write it: the group's prefix and the route's own path.
    pub pattern: Pattern,
    /// Its methods and what each asks; never empty, no method twice.
    pub methods: Vec<(MethodPattern, Requirement)>,
    /// The name of its upstream.
    pub upstream: Arc<str>,
    /// The group's prefix, when it is stripped before forwarding: so many segments are cut, and
    /// nothing else.
    pub strip: Option<Box<str>>,
    /// The names of the issuers whose tokens it takes, each tenant by itself; empty only when every
    /// method is public.
    pub issuers: Vec<Arc<str>>,
    /// Where its token is looked for; never empty.
    pub token_from: Vec<Source>,
    /// Whether the upstream gets the token: `None` for one in `Authorization` and no other.
    pub forward_token: Option<bool>,
    /// Whether the upstream gets an `Authorization` that was not judged.
    pub forward_authorization: bool,
    /// The origins whose pages may use a token in a cookie, beside the route's own and those of its
    /// CORS.
    pub cookie_origins: Option<Origins>,
    /// The protected resource that it is part of, where clients can be told (RFC 9728 §1.2).
    pub resource: Option<Url>,
    /// The claims its upstream gets.
    pub forward: Vec<ForwardedClaim>,
    /// The ambiguities of paths it lets through.
    pub allow: Ambiguities,
    /// The differences that its upstream tells apart, so that no request is refused for a path that
    /// is like the route's.
    pub distinct: Distinct,
    /// The number of its group, where a method that is not here may match a less specific path of
    /// the group (API Gateway's way).
    pub method_fallthrough: Option<usize>,
    /// Bytes of a request body; the server's unless the route says otherwise.
    pub body_bytes: Option<u64>,
    /// The upstream's `response_timeout`, unless the route says otherwise.
    pub response_timeout: Option<Duration>,
    /// Whether requests may become WebSockets.
    pub websocket: bool,
    /// What it does to heads, and its deadlines.
    pub heads: Heads,
}

/// What a route does to heads, and how long it waits for what follows them.
#[derive(Clone, Debug, Default)]
pub struct Heads {
    /// Changes of requests.
    pub request: HeaderRules,
    /// Changes of answers.
    pub response: HeaderRules,
    /// Which pages of other origins may read its answers.
    pub cors: Option<Arc<Cors>>,
    /// The path that its upstream gets, in place of the one that came.
    pub rewrite: Option<Rewrite>,
    /// For a whole request; none by default.
    pub request_timeout: Option<Duration>,
    /// Between two pieces of a body: the server's, unless the route says otherwise.
    pub idle_body: Option<Duration>,
}
