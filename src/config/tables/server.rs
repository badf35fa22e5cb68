//! `[server]`: the addresses of the gateway, and how it starts and stops.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::http2::{self, Http2};
use super::limits::{self, Limits};
use super::listeners::{
    self, Listener, LocatedListener, PROXY_PROTOCOL_FROM, UNIX_MODE, ip_address,
};
use super::public_url::public_url;
use super::timeouts::{self, Timeouts};
use super::tls;
use crate::config::Overrides;
use crate::config::language::document::{Kind, Value};
use crate::config::language::{
    Choice, Count, DefaultKey, Key, Reader, Str, StrList, Subtable, Subtables, Table, Time,
};
use crate::config::notes::exposure;
use crate::net::{Address, TrustedProxies, Url};
use crate::transform::Place;

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

/// The condition, besides listening with a configuration, under which `/readyz` reports ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// The keys of each issuer were fetched, or the fetch was tried, at least once.
    Tried,
    /// Each issuer has keys.
    Keys,
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
    pub fn replace_addresses(&mut self, addresses: &[Address]) {
        let Some(first) = self.listeners.first().cloned() else {
            return;
        };
        self.listeners.clear();
        for address in addresses {
            self.listeners.push(Listener {
                address: address.clone(),
                ..first.clone()
            });
        }
    }
}

pub(super) static TABLE: Table = Table {
    path: "server",
    doc: "The addresses of the gateway, and how it starts and stops.",
    keys: &[
        &LISTEN,
        &TLS,
        &PROXY_PROTOCOL_FROM,
        &UNIX_MODE,
        &LISTENERS,
        &ADMIN,
        &ADMIN_HOSTS,
        &TRUSTED_PROXIES,
        &FORWARDED,
        &WORKERS,
        &PUBLIC_URL,
        &DRAIN,
        &HANDOVER,
        &READY,
        &TIMEOUTS,
        &LIMITS,
        &HTTP2,
    ],
    refused: &[],
};

const LISTEN: DefaultKey<StrList> = Key::new("listen", StrList)
    .doc(
        "The addresses on which requests are accepted: IP addresses with ports, or `unix:` and \
         the path of a socket. `[::]` also accepts IPv4, unless another listener has the same \
         port on IPv4. The default accepts requests from this machine only.",
    )
    .not(&["address", "bind", "port"])
    .example(r#"["0.0.0.0:8080", "[::1]:8080"]"#)
    .or(&["127.0.0.1:8080"]);

const TLS: Key<Subtable> = Key::new("tls", Subtable(&tls::TABLE))
    .absent("no TLS")
    .doc("Serves all addresses of `listen` over HTTPS.")
    .example("[server.tls]");

const LISTENERS: Key<Subtables> = Key::new("listeners", Subtables(&listeners::TABLE))
    .absent("only the addresses of `listen`")
    .doc(
        "Listeners with other settings than those of `listen`. If `listen` is absent, they are \
         the only ones.",
    )
    .not(&["listener"])
    .example("[[server.listeners]]");

const ADMIN: DefaultKey<Str> = Key::new("admin", Str)
    .doc(
        "The address of the admin listener (metrics, health, effective policy), or \"off\". It \
         must differ from the addresses of `listen`. A change takes effect at the next start.",
    )
    .example(r#""127.0.0.1:9100""#)
    .or("127.0.0.1:9090");

const TRUSTED_PROXIES: Key<StrList> = Key::new("trusted_proxies", StrList)
    .absent("none")
    .doc(
        "Proxies in front of the gateway: addresses, networks, or `unix` for all clients of a \
         Unix socket. Their `X-Forwarded-*` and `Forwarded` fields are kept and extended, if they \
         are well-formed; those of other clients are replaced. The `client` in the access log is \
         the nearest address of `X-Forwarded-For` that belongs to none of them.",
    )
    .not(&["trust_proxy", "real_ip"])
    .example(r#"["10.0.0.0/8", "::1", "unix"]"#);

const FORWARDED: DefaultKey<Choice<ForwardedFields>> = Key::new(
    "forwarded",
    Choice(&[
        ("x-forwarded", ForwardedFields::Common),
        ("forwarded", ForwardedFields::Standard),
        ("both", ForwardedFields::Both),
    ]),
)
.doc(
    "The fields about the origin of a request that the gateway writes for upstreams and reads \
     from trusted proxies: `X-Forwarded-For`, `-Proto`, `-Host` and `-Port`, `Forwarded` (RFC \
     7239), or both.",
)
.example(r#""both""#)
.or(ForwardedFields::Common);

/// The greatest number of workers.
pub(in crate::config) const MAX_WORKERS: usize = 1024;

const WORKERS: Key<Count<usize>> = Key::new("workers", Count::new(1, MAX_WORKERS as u64))
    .absent("the number of CPUs")
    .doc(
        "Worker threads. Each has its own connections to upstreams. A change takes effect at the \
         next start.",
    )
    .not(&["threads"])
    .example("4");

const PUBLIC_URL: Key<Str> = Key::new("public_url", Str)
    .absent("no metadata is served, unless a group has a `public_url`")
    .takes(&Place::SETTING)
    .doc(
        "The URL under which clients reach this gateway. With it, protected-resource metadata \
         (RFC 9728) is served at `/.well-known/oauth-protected-resource` for the routes outside \
         of groups, and at that path followed by the group's prefix for each group. Challenges \
         point to the metadata, so that a client finds its authorization server by itself. The \
         URL is never derived from the `Host` of a request.",
    )
    .not(&["external_url", "base_url"])
    .example(r#""https://api.example.com""#);

const DRAIN: DefaultKey<Time> = Key::new("drain", Time::ANY)
    .doc("The time that open connections get to finish after SIGTERM.")
    .not(&["grace", "shutdown_timeout"])
    .or("20s");

const READY: DefaultKey<Choice<Ready>> = Key::new(
    "ready",
    Choice(&[("issuers", Ready::Tried), ("keys", Ready::Keys)]),
)
.doc(
    "The condition of `/readyz`. `issuers`: the keys of each issuer were fetched, or a fetch \
     was tried; `keys`: each issuer has keys.",
)
.example(r#""keys""#)
.or(Ready::Tried);

const TIMEOUTS: Key<Subtable> = Key::new("timeouts", Subtable(&timeouts::TABLE))
    .absent("its defaults")
    .doc("Deadlines of client connections.")
    .example("[server.timeouts]");

const LIMITS: Key<Subtable> = Key::new("limits", Subtable(&limits::TABLE))
    .absent("its defaults")
    .doc("Limits on what a client may send.")
    .example("[server.limits]");

const HTTP2: Key<Subtable> = Key::new("http2", Subtable(&http2::TABLE))
    .absent("its defaults")
    .doc("Limits of client connections that use HTTP/2.")
    .not(&["h2"])
    .example("[server.http2]");

const ADMIN_HOSTS: Key<StrList> = Key::new("admin_hosts", StrList)
    .absent("IP addresses and `localhost`")
    .doc(
        "Host names that the admin listener accepts, besides IP addresses and `localhost`. A \
         request for any other host is answered with 421: a web page could have pointed a name of \
         its own to this address (DNS rebinding).",
    )
    .not(&["admin_host"])
    .example(r#"["gateway", "metrics.internal"]"#);

const HANDOVER: Key<Str> = Key::new("handover", Str)
    .absent("a gateway that starts binds its sockets itself")
    .doc(
        "The absolute path of a Unix socket on which the running gateway waits for a successor \
         that runs as the same user. The successor takes over the listening sockets; when it is \
         ready, the old gateway drains and ends. A change takes effect at the next start.",
    )
    .not(&["hand_over"])
    .example(r#""/run/scopegate/handover.sock""#);

/// The longest path of the handover socket, in bytes. Every system can bind it, and also the
/// temporary path beside it that ends in a process number.
const MAX_HANDOVER_PATH: usize = 90;

pub(super) fn server(mut reader: Reader<'_>, overrides: &Overrides) -> Server {
    let listeners = listeners(&mut reader, overrides);
    let admin = admin(&mut reader, overrides, &listeners);
    let admin_hosts = admin_hosts(&mut reader);
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let workers = reader.find(&WORKERS).unwrap_or(cpus);
    let drain = reader.get(&DRAIN);
    let server = Server {
        listeners: listeners
            .into_iter()
            .map(|located| located.listener)
            .collect(),
        admin,
        admin_hosts,
        workers: overrides.workers.map_or(workers, usize::from),
        drain: overrides.drain.unwrap_or(drain),
        handover: handover(&mut reader),
        ready: reader.get(&READY),
        public_url: public_url(&mut reader, &PUBLIC_URL),
        trusted_proxies: trusted_proxies(&mut reader),
        forwarded: reader.get(&FORWARDED),
        timeouts: timeouts::timeouts(reader.table(&TIMEOUTS, "server.timeouts")),
        limits: limits::limits(reader.table(&LIMITS, "server.limits")),
        http2: http2::http2(reader.table(&HTTP2, "server.http2")),
    };
    reader.finish();
    server
}

/// Returns every listener; never empty in a valid file.
fn listeners(reader: &mut Reader<'_>, overrides: &Overrides) -> Vec<LocatedListener> {
    let common = listeners::Common::read(reader, &TLS, &tls::COMMON);
    let own = reader.tables(&LISTENERS, "listener");
    let texts = match listeners::is_port(reader, &LISTEN) {
        true => Vec::new(),
        false => reader.get(&LISTEN),
    };
    let mut all = Vec::new();
    // The default of `listen` does not apply beside `listeners`.
    let is_listen_used = reader.has(&LISTEN) || own.is_empty();
    if overrides.listen.is_empty() && is_listen_used {
        for text in &texts {
            if let Some(address) = listeners::address(reader, &LISTEN, text) {
                all.push(common.at(address, text.span));
            }
        }
    }
    for address in &overrides.listen {
        let span = reader.value_span(&LISTEN);
        all.push(common.at(address.clone(), span));
    }
    for reader in own {
        let own = listeners::listener(reader);
        all.extend(own.filter(|_| overrides.listen.is_empty()));
    }
    refuse_overlaps(reader, &all);
    all
}

fn refuse_overlaps(reader: &Reader<'_>, all: &[LocatedListener]) {
    for (index, LocatedListener { listener, span }) in all.iter().enumerate() {
        let address = &listener.address;
        let mut before = all.iter().take(index);
        let Some(first) = before.find(|first| first.listener.address.overlaps(address)) else {
            continue;
        };
        let first_address = &first.listener.address;
        let message = match first_address == address {
            true => format!("\"{address}\" is in \"listen\" twice"),
            false => {
                format!("\"{address}\" and \"{first_address}\" in \"listen\" overlap: keep one")
            }
        };
        match first.span == *span {
            true => reader.problem(*span, message),
            false => reader.problem_with_related(*span, message, first.span, "first here"),
        }
    }
}

fn handover(reader: &mut Reader<'_>) -> Option<PathBuf> {
    let text = reader.find(&HANDOVER)?;
    let path = text.text.as_str();
    if path.starts_with('/') && !path.ends_with('/') && path.len() <= MAX_HANDOVER_PATH {
        return Some(PathBuf::from(path));
    }
    reader.problem_with_hint(
        text.span,
        format!("\"handover\" is \"{path}\""),
        format!(
            "write an absolute path of at most {MAX_HANDOVER_PATH} bytes, for example \
             \"/run/scopegate/handover.sock\""
        ),
    );
    None
}

fn trusted_proxies(reader: &mut Reader<'_>) -> TrustedProxies {
    let mut proxies = TrustedProxies::default();
    for text in reader.find(&TRUSTED_PROXIES).unwrap_or_default() {
        if !proxies.add(&text.text) {
            let message = format!(
                "\"trusted_proxies\" has \"{}\": write an IP address, a network such as \
                 \"10.0.0.0/8\", or \"unix\"",
                text.text
            );
            reader.problem(text.span, message);
        }
    }
    exposure::note_trusted_proxies(reader, &TRUSTED_PROXIES, proxies.networks());
    proxies
}

fn admin(
    reader: &mut Reader<'_>,
    overrides: &Overrides,
    listeners: &[LocatedListener],
) -> Option<SocketAddr> {
    let written = match listeners::is_port(reader, &ADMIN) {
        true => None,
        false => written_admin(reader),
    };
    let admin = overrides.admin.unwrap_or(written)?;
    refuse_shared_address(reader, admin, listeners);
    exposure::note_admin(reader, &ADMIN, admin);
    Some(admin)
}

/// Returns the address of the admin listener that the file states; `None` for "off".
fn written_admin(reader: &mut Reader<'_>) -> Option<SocketAddr> {
    if let Some(Value {
        kind: Kind::Flag(false),
        span,
    }) = reader.value(&ADMIN)
    {
        reader.problem(
            *span,
            "\"admin\" is a string: write admin = \"off\" for no admin listener",
        );
        return None;
    }
    let text = reader.get(&ADMIN);
    match text.text.as_str() {
        "off" => None,
        _ => ip_address(reader, &ADMIN, &text),
    }
}

/// Reports a listener with the address of the admin listener.
fn refuse_shared_address(reader: &Reader<'_>, admin: SocketAddr, listeners: &[LocatedListener]) {
    let address = Address::Ip(admin);
    let mut all = listeners.iter();
    let Some(public) = all.find(|public| public.listener.address.overlaps(&address)) else {
        return;
    };
    // Point at the side that the file states.
    let span = match reader.has(&ADMIN) {
        true => reader.value_span(&ADMIN),
        false => public.span,
    };
    let message = format!(
        "\"admin\" is \"{admin}\", where \"listen\" takes requests (\"{}\")",
        public.listener.address
    );
    reader.problem_with_hint(
        span,
        message,
        "give the admin listener a port of its own, or write admin = \"off\"",
    );
}

/// Returns host names without ports, since the port differs behind a tunnel or a published port.
fn admin_hosts(reader: &mut Reader<'_>) -> Vec<Box<str>> {
    let mut hosts = Vec::new();
    for text in reader.find(&ADMIN_HOSTS).unwrap_or_default() {
        if !is_host_name(&text.text) {
            let message = format!(
                "\"admin_hosts\" has \"{}\", which is not a host name",
                text.text
            );
            let hint = "write names alone, without a port, for example \"metrics.internal\"";
            reader.problem_with_hint(text.span, message, hint);
        }
        let name = text.text.trim_end_matches('.').to_ascii_lowercase();
        hosts.push(name.into());
    }
    hosts
}

fn is_host_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    !text.is_empty() && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}
