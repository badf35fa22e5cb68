//! Points a configuration at the issuer and the echo of this process.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};

use super::client::Client;
use super::echo;
use super::embedded::EmbeddedIssuer;
use super::endpoints::{self, Issuers};
use super::key::KeyRing;
use super::server::Server;
use crate::config::Config;
use crate::issuer::KeySource;
use crate::net::Url;
use crate::policy::Scope;
use crate::tls::TlsSettings;
use crate::upstream::{EndpointSettings, Protocol};

/// The embedded issuer and the echo, which run until this is dropped.
pub struct Sandbox {
    pub(super) issuers: Arc<Issuers>,
    /// The keys by the issuer's name. They are kept across reloads, so that tokens stay valid.
    keys: Mutex<BTreeMap<Arc<str>, KeyRing>>,
    issuer: Server,
    echo: Server,
    echo_url: Url,
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
    /// Starts the issuer at this address, and the echo at an address that the system chooses. The
    /// issuer has no names before the first [`Sandbox::rewire`].
    ///
    /// # Errors
    /// [`SandboxError`], usually because the port is in use.
    pub fn start(issuer: SocketAddr) -> Result<Self, SandboxError> {
        let issuers = Arc::new(Issuers::default());
        let issuer = start_issuer(issuer, Arc::clone(&issuers))
            .map_err(|e| SandboxError::Issuer(issuer, e))?;
        let (echo, echo_url) = start_echo().map_err(SandboxError::Echo)?;
        Ok(Self {
            issuers,
            keys: Mutex::default(),
            issuer,
            echo,
            echo_url,
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
        self.echo.address()
    }

    /// Returns the configuration with listeners on this machine only, every issuer's keys replaced
    /// by embedded ones and every upstream by the echo. The embedded issuer issues tokens for its
    /// issuers and routes from now on, even if the gateway then rejects the configuration.
    #[must_use]
    pub fn rewire(&self, mut config: Config) -> Config {
        let scopes = named_scopes(&config);
        let clients = Client::all(&config.dev.clients, &scopes);
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let mut embedded = Vec::new();
        for issuer in &mut config.issuers {
            let ring = keys.entry(Arc::clone(&issuer.entry.name)).or_default();
            let stand_in = EmbeddedIssuer::new(issuer, ring, clients.clone(), scopes.clone());
            issuer.entry.keys = KeySource::Static(stand_in.jwks().to_string().into());
            embedded.push(Arc::new(stand_in));
        }
        self.issuers.replace(embedded);
        for upstream in &mut config.upstreams {
            upstream.url = self.echo_url.clone();
            upstream.endpoints = EndpointSettings::alone(self.echo_url.clone());
            upstream.terms = TlsSettings::default();
            upstream.protocol = Protocol::Http1;
        }
        keep_to_loopback(&mut config);
        config
    }
}

/// The port of a gateway without TCP listeners.
const FALLBACK_PORT: u16 = 8080;

/// Moves the listeners to the loopback address, with the same ports, so that other machines cannot
/// connect. TLS is turned off, because a laptop has no certificate.
fn keep_to_loopback(config: &mut Config) {
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
    config.server.replace_addresses(&listen);
    for listener in &mut config.server.listeners {
        listener.tls = None;
        listener.proxy_protocol_from = Vec::new();
    }
    config.server.admin = config.server.admin.map(inward);
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

fn start_issuer(address: SocketAddr, issuers: Arc<Issuers>) -> io::Result<Server> {
    let listener = TcpListener::bind(address)?;
    let base: Arc<str> = format!("http://{}", listener.local_addr()?).into();
    Server::start("dev-issuer", listener, move |request| {
        endpoints::answer(Arc::clone(&issuers), Arc::clone(&base), request)
    })
}

fn start_echo() -> io::Result<(Server, Url)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let url =
        Url::parse(&format!("http://{}/", listener.local_addr()?)).map_err(io::Error::other)?;
    Ok((Server::start("dev-echo", listener, echo::answer)?, url))
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
