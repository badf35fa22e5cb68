//! Points a configuration at the issuer and the echo of this process.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;

use super::echo;
use super::embedded::{Common, EmbeddedIssuer};
use super::endpoints::{self, Issuers};
use super::example::reachable;
use super::function;
use super::key::KeyRing;
use super::redirect::RedirectRules;
use super::resource::move_here;
use super::server::Server;
use crate::config::Config;
use crate::issuer::KeySource;
use crate::net::{Address, Url};
use crate::policy::Scope;
use crate::tls::TlsSettings;
use crate::upstream::{EndpointSettings, Protocol, Settings as UpstreamSettings};

/// The embedded issuer and the echo, which run until this is dropped.
pub struct Sandbox {
    pub(super) issuers: Arc<Issuers>,
    /// The keys by `iss`, since entries with one issuer have the same keys. They are kept across
    /// reloads, so that tokens stay valid.
    keys: Mutex<BTreeMap<Arc<str>, KeyRing>>,
    /// Keys that no issuer publishes, for tokens that ought to be refused.
    other_keys: Arc<KeyRing>,
    issuer: Server,
    echo: Echo,
    /// The echo in place of functions.
    function: Echo,
    upstreams: Vec<LocalUpstream>,
}

/// An echo, at an address that the system chose.
struct Echo {
    server: Server,
    url: Url,
}

/// The settings of a sandbox from the command line.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// The address of the issuer.
    pub issuer: SocketAddr,
    /// The redirect URIs to which the issuer sends a browser, besides those of this machine.
    pub redirect_uris: Vec<Box<str>>,
    /// The upstreams that the echo does not replace.
    pub upstreams: Vec<LocalUpstream>,
}

/// An upstream on this machine, in place of the one with this name in the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalUpstream {
    /// The name in the configuration.
    pub name: Box<str>,
    /// The URL on this machine.
    pub url: Url,
}

/// An error that prevents the start of a sandbox.
#[derive(Debug)]
pub enum SandboxError {
    /// The issuer cannot listen on its address.
    Issuer(SocketAddr, io::Error),
    /// The echo cannot listen on any port.
    Echo(io::Error),
}

impl Sandbox {
    /// Starts the issuer, and the echo at an address that the system chooses. The issuer has no
    /// names before the first [`Sandbox::rewire`].
    ///
    /// # Errors
    /// [`SandboxError`], usually because the port is in use.
    pub fn start(settings: SandboxSettings) -> Result<Self, SandboxError> {
        let rules = RedirectRules {
            named: settings.redirect_uris,
        };
        let (issuer, issuers) = start_issuer(settings.issuer, rules)
            .map_err(|e| SandboxError::Issuer(settings.issuer, e))?;
        let echo = Echo::start("dev-echo", echo::answer).map_err(SandboxError::Echo)?;
        let function = Echo::start("dev-function", function::answer).map_err(SandboxError::Echo)?;
        Ok(Self {
            issuers,
            keys: Mutex::default(),
            other_keys: Arc::default(),
            issuer,
            echo,
            function,
            upstreams: settings.upstreams,
        })
    }

    /// Returns the address of the issuer.
    #[must_use]
    pub fn issuer_address(&self) -> SocketAddr {
        self.issuer.address()
    }

    /// Returns the address of the echo.
    #[must_use]
    pub fn echo_address(&self) -> SocketAddr {
        self.echo.server.address()
    }

    /// Returns the configuration with every issuer's keys replaced by embedded ones and every
    /// upstream by the echo, or by one on this machine. The resources are at the first listener,
    /// and their metadata names the embedded issuer. The embedded issuer issues tokens for its
    /// issuers and routes from now on, even if the gateway then rejects the configuration.
    #[must_use]
    pub fn rewire(&self, mut config: Config) -> Config {
        let common = Arc::new(Common {
            clients: config.dev.clients.clone(),
            scopes: named_scopes(&config),
            resources: move_here(&mut config),
            other_keys: Arc::clone(&self.other_keys),
        });
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let mut embedded = Vec::new();
        for issuer in &mut config.issuers {
            let name = &issuer.name;
            let ring = keys.entry(Arc::clone(&issuer.entry.issuer)).or_default();
            let stand_in = EmbeddedIssuer::new(issuer, ring, Arc::clone(&common));
            let url = self.issuers.url_of(name);
            config.dev.issuer_urls.insert(Arc::clone(name), url.into());
            issuer.entry.keys = KeySource::Static(stand_in.jwks().to_string().into());
            embedded.push(Arc::new(stand_in));
        }
        self.issuers.replace(embedded);
        for upstream in &mut config.upstreams {
            self.replace(upstream);
        }
        config
    }

    /// Moves an upstream to a server on this machine. One that the command line names keeps its
    /// other settings, so that it is asked as in production; the echo knows HTTP/1.1 alone.
    fn replace(&self, upstream: &mut UpstreamSettings) {
        let mut named = self.upstreams.iter();
        let url = match named.find(|named| *named.name == *upstream.name) {
            Some(named) => &named.url,
            None => {
                upstream.protocol = Protocol::Http1;
                match upstream.lambda {
                    Some(_) => &self.function.url,
                    None => &self.echo.url,
                }
            }
        };
        upstream.url = url.clone();
        upstream.endpoints = EndpointSettings::alone(url.clone());
        upstream.terms = TlsSettings::default();
    }
}

/// The port of a gateway without TCP listeners.
const FALLBACK_PORT: u16 = 8080;

/// Returns the configuration with its listeners at the loopback address, with the same ports, so
/// that other machines cannot connect. TLS is turned off, because a laptop has no certificate.
#[must_use]
pub fn keep_to_loopback(mut config: Config) -> Config {
    let mut listen: Vec<SocketAddr> = Vec::new();
    for listener in &config.server.listeners {
        let Some(address) = listener.address.ip().map(inward) else {
            continue;
        };
        // Two addresses with the same port may have become equal.
        if address.port() == 0 || !listen.contains(&address) {
            listen.push(address);
        }
    }
    // All listeners are Unix-domain sockets, whose directories may not exist on a laptop.
    if listen.is_empty() {
        listen.push(loopback(FALLBACK_PORT));
    }
    // A sandbox never takes over the sockets of another gateway.
    config.server.handover = None;
    let listen: Vec<_> = listen.into_iter().map(Address::Ip).collect();
    config.server.replace_addresses(&listen);
    for listener in &mut config.server.listeners {
        listener.tls = None;
        listener.proxy_protocol_from = Vec::new();
    }
    config.server.admin = config.server.admin.map(inward);
    config
}

fn inward(address: SocketAddr) -> SocketAddr {
    if address.ip().is_loopback() {
        address
    } else {
        // IPv6 addresses become IPv4, because not every laptop has `::1`.
        loopback(address.port())
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// Returns every scope that the routes name, in the order of the file.
fn named_scopes(config: &Config) -> Vec<Scope> {
    let mut scopes = Vec::new();
    let requirements = config.routes.iter().flat_map(|route| &route.methods);
    for scope in requirements.flat_map(|(_, requirement)| requirement.scopes()) {
        if !scopes.contains(scope) {
            scopes.push(scope.clone());
        }
    }
    scopes
}

fn start_issuer(address: SocketAddr, rules: RedirectRules) -> io::Result<(Server, Arc<Issuers>)> {
    let listener = TcpListener::bind(address)?;
    let base = format!("http://{}", reachable(listener.local_addr()?));
    let issuers = Arc::new(Issuers::new(&base, rules));
    let shared = Arc::clone(&issuers);
    let server = Server::start("dev-issuer", listener, move |request| {
        endpoints::answer(Arc::clone(&shared), request)
    })?;
    Ok((server, issuers))
}

impl Echo {
    fn start<A, F>(thread_name: &str, answer: A) -> io::Result<Self>
    where
        A: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Response<Full<Bytes>>> + 'static,
    {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let url =
            Url::parse(&format!("http://{}/", listener.local_addr()?)).map_err(io::Error::other)?;
        let server = Server::start(thread_name, listener, answer)?;
        Ok(Self { server, url })
    }
}

impl fmt::Display for SandboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Issuer(address, error) => write!(
                f,
                "the embedded issuer cannot listen on {address}: {error}; choose another address \
                 with --issuer-listen"
            ),
            Self::Echo(error) => write!(
                f,
                "the echo upstream cannot listen on this machine: {error}"
            ),
        }
    }
}

impl std::error::Error for SandboxError {}
