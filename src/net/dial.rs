//! Dialling: from a URL to an open connection, by DNS, TCP and, for `https`, TLS.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;

use super::{Presence, Stream, TunnelFault, Url};
use crate::clock;
use crate::tls::{HandshakeFault, Tls, TlsError};

/// The most addresses of one name that are tried. With more, none would have time to answer.
const MAX_ADDRESSES: usize = 8;

/// The delay after which the next address is tried, beside the attempts that have not ended (RFC
/// 8305 §8).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// The TCP keep-alive of dialled connections.
const PRESENCE: Presence = Presence {
    idle: Duration::from_secs(30),
    interval: Duration::from_secs(10),
};

/// The reason for which a connection cannot be opened.
#[derive(Debug)]
pub enum DialError {
    /// The name has no address.
    Resolve {
        /// The name.
        host: Box<str>,
        /// The error of the resolver.
        error: io::Error,
    },
    /// The last address that was tried refused, or cannot be reached.
    Connect {
        /// The address.
        address: SocketAddr,
        /// The error of the system.
        error: io::Error,
    },
    /// The Unix socket does not exist, or no process listens on it.
    Socket {
        /// The path.
        path: Box<Path>,
        /// The error of the system.
        error: io::Error,
    },
    /// The connection was not open within the timeout.
    Timeout {
        /// Host and port.
        authority: Box<str>,
        /// The step that took too long.
        stage: Stage,
    },
    /// The TLS handshake failed for the peer's certificate, its name, or its protocol.
    Handshake {
        /// Host and port.
        authority: Box<str>,
        /// The error of the TLS library.
        error: io::Error,
    },
    /// The host is no name that a certificate can have.
    Name {
        /// The host.
        host: Box<str>,
    },
    /// HTTP/2 is required, and the peer does not speak it.
    Http2 {
        /// Host and port.
        authority: Box<str>,
    },
    /// The trusted roots cannot be used.
    Roots(TlsError),
    /// A forward proxy has opened no tunnel.
    Tunnel(TunnelFault),
}

/// A step of dialling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Waiting until another connection is within the limit.
    Waiting,
    /// Resolving the name.
    Resolving,
    /// Connecting.
    Connecting,
    /// The TLS handshake.
    Handshaking,
}

/// The timeouts of the steps of dialling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialTimeouts {
    /// The time to resolve the name, and again the time to connect.
    pub connect: Duration,
    /// The time for the TLS handshake.
    pub handshake: Duration,
}

impl DialTimeouts {
    /// Returns the same timeout for each step.
    #[must_use]
    pub fn each(timeout: Duration) -> Self {
        Self {
            connect: timeout,
            handshake: timeout,
        }
    }
}

/// Opens a connection to the host and port of `url`, or to its Unix socket, within `timeout`.
///
/// # Errors
/// Returns a [`DialError`] if a step fails or takes too long.
pub async fn dial(url: &Url, tls: &Tls, timeout: Duration) -> Result<Stream, DialError> {
    let deadline = Instant::from_std(clock::monotonic()) + timeout;
    timeout_at(deadline, resolve_and_dial(url, tls, timeout))
        .await
        .unwrap_or_else(|_| Err(too_late(url, Stage::Connecting)))
}

async fn resolve_and_dial(url: &Url, tls: &Tls, timeout: Duration) -> Result<Stream, DialError> {
    let addresses = match url.socket() {
        Some(_) => Vec::new(),
        None => resolve(url.host_name(), url.port()).await?,
    };
    dial_addresses(url, &addresses, tls, DialTimeouts::each(timeout)).await
}

/// Opens a connection to one of the addresses of `url`'s host, or to its Unix socket if it has one.
///
/// # Errors
/// Returns a [`DialError`] if a step fails or takes too long.
pub async fn dial_addresses(
    url: &Url,
    addresses: &[SocketAddr],
    tls: &Tls,
    dial_timeouts: DialTimeouts,
) -> Result<Stream, DialError> {
    let deadline = Instant::from_std(clock::monotonic()) + dial_timeouts.connect;
    if let Some(path) = url.socket() {
        let connected = timeout_at(deadline, connect_socket(path)).await;
        return connected.unwrap_or_else(|_| Err(too_late(url, Stage::Connecting)));
    }
    #[cfg(test)]
    if turmoil::in_simulation() {
        let connected = timeout_at(deadline, super::simulated::connect(addresses)).await;
        return connected.unwrap_or_else(|_| Err(too_late(url, Stage::Connecting)));
    }
    let tcp = connect(addresses, deadline)
        .await
        .unwrap_or_else(|| Err(too_late(url, Stage::Connecting)))?;
    set_options(&tcp);
    if !url.is_tls() {
        return Ok(Stream::Tcp(tcp));
    }
    let deadline = Instant::from_std(clock::monotonic()) + dial_timeouts.handshake;
    timeout_at(deadline, handshake(url, tls, tcp))
        .await
        .unwrap_or_else(|_| Err(too_late(url, Stage::Handshaking)))
}

async fn connect_socket(path: &Path) -> Result<Stream, DialError> {
    match UnixStream::connect(path).await {
        Ok(stream) => Ok(Stream::Unix(stream)),
        Err(error) => Err(DialError::Socket {
            path: path.into(),
            error,
        }),
    }
}

/// Returns the error of a step that took too long.
fn too_late(url: &Url, stage: Stage) -> DialError {
    DialError::Timeout {
        authority: url.authority().into(),
        stage,
    }
}

/// Returns the addresses of a host, which may be an address itself. The resolver and its timeout
/// are the system's.
///
/// # Errors
/// Returns [`DialError::Resolve`], also if the host has no address.
pub async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
    #[cfg(test)]
    if let Some(address) = super::simulated::resolve(host) {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let error = match lookup_host((host, port)).await {
        Ok(addresses) => {
            let addresses: Vec<_> = addresses.collect();
            if !addresses.is_empty() {
                return Ok(addresses);
            }
            io::ErrorKind::AddrNotAvailable.into()
        }
        Err(error) => error,
    };
    Err(DialError::Resolve {
        host: host.into(),
        error,
    })
}

/// Sets the options of a new connection. Requests are written in one piece, so that waiting to fill
/// a segment only delays them. Keep-alive detects a peer that has vanished.
fn set_options(tcp: &TcpStream) {
    let _ = tcp.set_nodelay(true);
    PRESENCE.ask(&SockRef::from(tcp));
}

/// Connects to one of the addresses. Returns `None` at the deadline.
async fn connect(
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Option<Result<TcpStream, DialError>> {
    match addresses {
        [address] => timeout_at(deadline, connect_to(*address)).await.ok(),
        _ => race(addresses, deadline).await,
    }
}

async fn connect_to(address: SocketAddr) -> Result<TcpStream, DialError> {
    TcpStream::connect(address)
        .await
        .map_err(|error| DialError::Connect { address, error })
}

/// Tries the addresses, with the families in turn. The next address is tried when an attempt fails
/// or takes longer than [`ATTEMPT_DELAY`], beside the attempts that have not ended. The first
/// connection wins, and the other attempts are dropped (RFC 8305 §5). Returns `None` at the
/// deadline.
async fn race(addresses: &[SocketAddr], deadline: Instant) -> Option<Result<TcpStream, DialError>> {
    let mut rest = interleaved(addresses).take(MAX_ADDRESSES).peekable();
    let mut attempts = JoinSet::new();
    let mut last = None;
    loop {
        if let Some(address) = rest.next() {
            attempts.spawn(connect_to(address));
        }
        let stagger = Instant::from_std(clock::monotonic()) + ATTEMPT_DELAY;
        let until = if rest.peek().is_some() {
            stagger.min(deadline)
        } else {
            deadline
        };
        match timeout_at(until, attempts.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => return Some(Ok(stream)),
            Ok(Some(Ok(Err(error)))) => last = Some(Err(error)),
            // An attempt neither panics nor is cancelled.
            Ok(Some(Err(_))) => {}
            Ok(None) => return last,
            Err(_) if until >= deadline => return last,
            Err(_) => {}
        }
    }
}

/// Returns the addresses with the two families in turn, beginning with the family of the first: the
/// resolver puts the preferred address first (RFC 8305 §4).
fn interleaved(addresses: &[SocketAddr]) -> impl Iterator<Item = SocketAddr> {
    let preferred = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let mut first = addresses
        .iter()
        .copied()
        .filter(move |address| address.is_ipv6() == preferred);
    let mut second = addresses
        .iter()
        .copied()
        .filter(move |address| address.is_ipv6() != preferred);
    let mut turn = false;
    std::iter::from_fn(move || {
        turn = !turn;
        if turn {
            first.next().or_else(|| second.next())
        } else {
            second.next().or_else(|| first.next())
        }
    })
}

/// Performs the TLS handshake.
pub(super) async fn handshake(url: &Url, tls: &Tls, tcp: TcpStream) -> Result<Stream, DialError> {
    let config = tls.config().map_err(DialError::Roots)?;
    let name = match tls.server_name() {
        Some(name) => name.clone(),
        None => ServerName::try_from(url.host_name().to_owned()).map_err(|_| DialError::Name {
            host: url.host().into(),
        })?,
    };
    match TlsConnector::from(config).connect(name, tcp).await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) => Err(DialError::Handshake {
            authority: url.authority().into(),
            error,
        }),
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { host, error } => write!(f, "\"{host}\" cannot be resolved: {error}"),
            Self::Connect { address, error } => write!(f, "no connection to {address}: {error}"),
            Self::Socket { path, error } => {
                write!(f, "no connection to \"unix:{}\": {error}", path.display())
            }
            Self::Timeout { authority, stage } => {
                write!(f, "{stage} \"{authority}\" took too long")
            }
            Self::Handshake { authority, error } => {
                let fault = HandshakeFault(error);
                write!(f, "no TLS with \"{authority}\": {fault}")?;
                let hint = if fault.is_unknown_ca() {
                    "; \"ca_file\" names one"
                } else {
                    ""
                };
                f.write_str(hint)
            }
            Self::Name { host } => write!(f, "\"{host}\" is no name that a certificate can have"),
            Self::Http2 { authority } => write!(f, "\"{authority}\" does not speak HTTP/2"),
            Self::Roots(error) => write!(f, "the trusted roots cannot be used: {error}"),
            Self::Tunnel(fault) => write!(f, "no tunnel: {fault}"),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Waiting => "waiting for a connection to",
            Self::Resolving => "resolving",
            Self::Connecting => "connecting to",
            Self::Handshaking => "the TLS handshake with",
        })
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Resolve { error, .. }
            | Self::Connect { error, .. }
            | Self::Socket { error, .. }
            | Self::Handshake { error, .. } => Some(error),
            Self::Tunnel(TunnelFault::Io(error)) => Some(error),
            Self::Timeout { .. } | Self::Name { .. } | Self::Http2 { .. } | Self::Tunnel(_) => None,
            Self::Roots(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
    use rustls::ServerConfig;
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// Starts a TLS server for the name `localhost`, and returns its port and its certificate.
    async fn tls_server(versions: &[&'static rustls::SupportedProtocolVersion]) -> (u16, String) {
        tls_server_with(IsCa::NoCa, versions).await
    }

    async fn tls_server_with(
        is_ca: IsCa,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> (u16, String) {
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.is_ca = is_ca;
        let signing_key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&signing_key).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let mut config =
            ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(versions)
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![certificate.der().clone()], key)
                .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                // A client that does not trust the certificate breaks the handshake off.
                let Ok(mut stream) = acceptor.accept(tcp).await else {
                    continue;
                };
                stream.write_all(b"hello").await.unwrap();
                let _ = stream.shutdown().await;
            }
        });
        (port, certificate.pem())
    }

    async fn dial_to(url: String, tls: &Tls) -> Result<Stream, DialError> {
        dial(&Url::parse(&url).unwrap(), tls, TIMEOUT).await
    }

    #[tokio::test]
    async fn tls_is_spoken_with_whom_the_roots_vouch_for() {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let (port, root) = tls_server(&[version]).await;
            let tls = Tls::with_roots(&root).unwrap();
            let mut stream = dial_to(format!("https://localhost:{port}/"), &tls)
                .await
                .unwrap();
            let Stream::Tls(tls) = &stream else {
                panic!("{stream:?}")
            };
            // The server prefers HTTP/2, which was not offered.
            assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            let mut hello = [0; 5];
            stream.read_exact(&mut hello).await.unwrap();
            assert_eq!(&hello, b"hello");
        }
    }

    #[tokio::test]
    async fn another_name_or_another_root_is_no_tls() {
        let (port, root) = tls_server(&[&rustls::version::TLS13]).await;
        let (_, other) = tls_server(&[&rustls::version::TLS13]).await;
        for (host, tls) in [
            ("127.0.0.1", Tls::with_roots(&root).unwrap()),
            ("localhost", Tls::with_roots(&other).unwrap()),
            ("localhost", Tls::system()),
        ] {
            let error = dial_to(format!("https://{host}:{port}/"), &tls)
                .await
                .unwrap_err();
            assert!(
                matches!(error, DialError::Handshake { .. }),
                "{host} {tls:?}: {error:?}"
            );
            let text = error.to_string();
            assert!(text.contains(&format!("{host}:{port}")), "{text}");
            for word in ["UnknownIssuer", "BadSignature"] {
                assert!(!text.contains(word), "{text}");
            }
            let names_ca = text.ends_with("; \"ca_file\" names one");
            assert_eq!(names_ca, host == "localhost", "{text}");
        }
    }

    // `openssl req -x509` marks what it signs as a CA.
    #[tokio::test]
    async fn a_self_signed_certificate_is_its_own_root_unless_it_is_that_of_a_ca() {
        let versions = [&rustls::version::TLS13];
        for (is_ca, is_served) in [
            (IsCa::NoCa, true),
            (IsCa::ExplicitNoCa, true),
            (IsCa::Ca(BasicConstraints::Unconstrained), false),
        ] {
            let (port, root) = tls_server_with(is_ca, &versions).await;
            let tls = Tls::with_roots(&root).unwrap();
            let dialled = dial_to(format!("https://localhost:{port}/"), &tls).await;
            let Err(error) = dialled else {
                assert!(is_served);
                continue;
            };
            assert_eq!(
                error.to_string(),
                format!(
                    "no TLS with \"localhost:{port}\": the certificate shown is that of a CA itself \
                     (basicConstraints CA:TRUE), as \"openssl req -x509\" makes it: show one that the \
                     CA has signed, or a self-signed one with CA:FALSE"
                )
            );
            assert!(!is_served);
        }
    }

    #[tokio::test]
    async fn a_silent_peer_costs_the_timeout_and_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = Url::parse(&format!("https://127.0.0.1:{port}/")).unwrap();
        let error = dial(&url, &Tls::system(), Duration::from_millis(50))
            .await
            .unwrap_err();
        assert!(matches!(error, DialError::Timeout { .. }), "{error:?}");
        let addresses = resolve("127.0.0.1", port).await.unwrap();
        let dial_timeouts = DialTimeouts {
            connect: TIMEOUT,
            handshake: Duration::from_millis(50),
        };
        let error = dial_addresses(&url, &addresses, &Tls::system(), dial_timeouts)
            .await
            .unwrap_err();
        assert!(
            matches!(
                error,
                DialError::Timeout {
                    stage: Stage::Handshaking,
                    ..
                }
            ),
            "{error:?}"
        );
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_peer_that_is_gone_without_a_word_is_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let Stream::Tcp(tcp) = dial_to(url, &Tls::system()).await.unwrap() else {
            panic!("it is of TCP")
        };
        let socket = SockRef::from(&tcp);
        assert_eq!(socket.tcp_keepalive_time().unwrap(), PRESENCE.idle);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(PRESENCE.limit()));
    }

    // RFC 8305.
    #[tokio::test]
    async fn an_address_that_swallows_packets_delays_the_next_no_longer_than_a_moment() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        // A socket whose backlog is full answers no SYN.
        let full = tokio::net::TcpSocket::new_v4().unwrap();
        full.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = full.listen(1).unwrap();
        let silent = full.local_addr().unwrap();
        let mut held = Vec::new();
        while let Ok(Ok(stream)) =
            tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(silent)).await
        {
            held.push(stream);
        }
        let deadline = Instant::from_std(clock::monotonic()) + TIMEOUT;
        let stream = connect(&[silent, open], deadline).await.unwrap().unwrap();
        assert_eq!(stream.peer_addr().unwrap(), open);
        assert!(
            Instant::from_std(clock::monotonic()) < deadline - TIMEOUT / 2,
            "it was not tried beside the first"
        );
    }

    // RFC 8305 section 4.
    #[test]
    fn families_are_tried_in_turn() {
        let all =
            ["[::1]:1", "[::1]:2", "[::1]:3", "127.0.0.1:1"].map(|text| text.parse().unwrap());
        let order: Vec<_> = interleaved(&all)
            .map(|address: SocketAddr| address.to_string())
            .collect();
        assert_eq!(order, ["[::1]:1", "127.0.0.1:1", "[::1]:2", "[::1]:3"]);
    }

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_refuses() {
        // Bound, so that no other process gets the port, but not listening.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let refusing = socket.local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let deadline = Instant::from_std(clock::monotonic()) + TIMEOUT;
        assert!(connect(&[refusing, open], deadline).await.unwrap().is_ok());
        let error = connect(&[refusing, refusing], deadline)
            .await
            .unwrap()
            .unwrap_err();
        assert!(
            matches!(error, DialError::Connect { address, .. } if address == refusing),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn a_name_without_address_is_named() {
        // RFC 6761 §6.4: never resolves.
        let error = dial_to("http://nowhere.invalid/".to_owned(), &Tls::system())
            .await
            .unwrap_err();
        assert!(
            matches!(error, DialError::Resolve { .. } | DialError::Timeout { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("nowhere.invalid"), "{error}");
    }
}
