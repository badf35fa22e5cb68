//! From a URL to an open connection: resolve, connect, and TLS where the URL says so.

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Tls, TlsError, Url};
use crate::clock;

/// Addresses of one name that are tried. More would leave none of them time to answer.
const MAX_ADDRESSES: usize = 8;

/// An open connection, plain or TLS.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Plain(TcpStream),
    /// TLS over TCP; boxed, because it is many times the size.
    Tls(Box<TlsStream<TcpStream>>),
}

/// Why there is no connection.
#[derive(Debug)]
pub enum DialError {
    /// The name has no address.
    Resolve {
        /// The name.
        host: Box<str>,
        /// What the resolver said.
        error: io::Error,
    },
    /// The last address that was tried refused, or cannot be reached.
    Connect {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        error: io::Error,
    },
    /// Not done within the timeout.
    Timeout {
        /// Host and port.
        authority: Box<str>,
        /// What was being done.
        stage: Stage,
    },
    /// No TLS with this peer: its certificate, its name, or its protocol.
    Handshake {
        /// Host and port.
        authority: Box<str>,
        /// What the TLS library said.
        error: io::Error,
    },
    /// The host is no name that a certificate can have.
    Name {
        /// The host.
        host: Box<str>,
    },
    /// The trusted roots cannot be used.
    Roots(TlsError),
}

/// A step of dialling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// From the name to its addresses.
    Resolving,
    /// TCP.
    Connecting,
    /// TLS.
    Handshaking,
}

/// Opens a connection to the host and port of `url`. The `timeout` is for all of it.
///
/// # Errors
/// [`DialError`]
pub async fn dial(url: &Url, tls: &Tls, timeout: Duration) -> Result<Stream, DialError> {
    let deadline = Instant::from_std(clock::monotonic()) + timeout;
    let late = |stage| DialError::Timeout { authority: url.authority().into(), stage };
    let addresses =
        timeout_at(deadline, resolve(url)).await.unwrap_or_else(|_| Err(late(Stage::Resolving)))?;
    let tcp = connect(&addresses, deadline).await.unwrap_or_else(|| Err(late(Stage::Connecting)))?;
    // A request is written whole; waiting to fill a segment only delays it. A peer that is gone shows elsewhere.
    let _ = tcp.set_nodelay(true);
    if !url.is_tls() {
        return Ok(Stream::Plain(tcp));
    }
    timeout_at(deadline, secure(url, tls, tcp)).await.unwrap_or_else(|_| Err(late(Stage::Handshaking)))
}

async fn resolve(url: &Url) -> Result<Vec<SocketAddr>, DialError> {
    let failed = |error| DialError::Resolve { host: url.host().into(), error };
    let addresses: Vec<_> =
        lookup_host((url.host_name(), url.port())).await.map_err(failed)?.take(MAX_ADDRESSES).collect();
    if addresses.is_empty() {
        return Err(failed(io::Error::from(io::ErrorKind::AddrNotAvailable)));
    }
    Ok(addresses)
}

/// Tries one address after the other; `None` when time ran out. Each gets its share of the time that is left, so
/// that one that swallows packets does not keep the next from being tried.
async fn connect(addresses: &[SocketAddr], deadline: Instant) -> Option<Result<TcpStream, DialError>> {
    let mut last = None;
    for (tried, &address) in addresses.iter().enumerate() {
        let now = Instant::from_std(clock::monotonic());
        let left = u32::try_from(addresses.len() - tried).unwrap_or(u32::MAX);
        let share = now + deadline.saturating_duration_since(now) / left;
        match timeout_at(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Some(Ok(stream)),
            Ok(Err(error)) => last = Some(Err(DialError::Connect { address, error })),
            Err(_) => {}
        }
    }
    last
}

async fn secure(url: &Url, tls: &Tls, tcp: TcpStream) -> Result<Stream, DialError> {
    let config = tls.config().map_err(DialError::Roots)?;
    let name = ServerName::try_from(url.host_name().to_owned())
        .map_err(|_| DialError::Name { host: url.host().into() })?;
    match TlsConnector::from(config).connect(name, tcp).await {
        Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
        Err(error) => Err(DialError::Handshake { authority: url.authority().into(), error }),
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl fmt::Display for DialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve { host, error } => write!(f, "\"{host}\" cannot be resolved: {error}"),
            Self::Connect { address, error } => write!(f, "no connection to {address}: {error}"),
            Self::Timeout { authority, stage } => write!(f, "{stage} \"{authority}\" took too long"),
            Self::Handshake { authority, error } => write!(f, "no TLS with \"{authority}\": {error}"),
            Self::Name { host } => write!(f, "\"{host}\" is no name that a certificate can have"),
            Self::Roots(error) => write!(f, "the trusted roots cannot be used: {error}"),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolving => "resolving",
            Self::Connecting => "connecting to",
            Self::Handshaking => "the TLS handshake with",
        })
    }
}

impl std::error::Error for DialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Resolve { error, .. } | Self::Connect { error, .. } | Self::Handshake { error, .. } => {
                Some(error)
            }
            Self::Timeout { .. } | Self::Name { .. } => None,
            Self::Roots(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::ServerConfig;
    use rustls::crypto::aws_lc_rs;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A TLS server for the name `localhost`: its port, and its certificate as a root.
    async fn tls_server(versions: &[&'static rustls::SupportedProtocolVersion]) -> (u16, String) {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                // A client that does not trust us breaks off.
                let Ok(mut stream) = acceptor.accept(tcp).await else { continue };
                stream.write_all(b"hello").await.unwrap();
                let _ = stream.shutdown().await;
            }
        });
        (port, made.cert.pem())
    }

    async fn dial_to(url: String, tls: &Tls) -> Result<Stream, DialError> {
        dial(&Url::parse(&url).unwrap(), tls, PATIENCE).await
    }

    // K13
    #[tokio::test]
    async fn tls_is_spoken_with_whom_the_roots_vouch_for() {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let (port, root) = tls_server(&[version]).await;
            let tls = Tls::with_roots(&root).unwrap();
            let mut stream = dial_to(format!("https://localhost:{port}/"), &tls).await.unwrap();
            let Stream::Tls(tls) = &stream else { panic!("{stream:?}") };
            // We speak no HTTP/2 to upstreams: a server that prefers it must not be let.
            assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
            let mut hello = [0; 5];
            stream.read_exact(&mut hello).await.unwrap();
            assert_eq!(&hello, b"hello");
        }
    }

    // K13
    #[tokio::test]
    async fn another_name_or_another_root_is_no_tls() {
        let (port, root) = tls_server(&[&rustls::version::TLS13]).await;
        let (_, other) = tls_server(&[&rustls::version::TLS13]).await;
        for (host, tls) in [
            ("127.0.0.1", Tls::with_roots(&root).unwrap()),
            ("localhost", Tls::with_roots(&other).unwrap()),
            ("localhost", Tls::system()),
        ] {
            let error = dial_to(format!("https://{host}:{port}/"), &tls).await.unwrap_err();
            assert!(matches!(error, DialError::Handshake { .. }), "{host} {tls:?}: {error:?}");
            assert!(error.to_string().contains(&format!("{host}:{port}")), "{error}");
        }
    }

    #[tokio::test]
    async fn a_silent_peer_costs_the_timeout_and_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = Url::parse(&format!("https://127.0.0.1:{port}/")).unwrap();
        let error = dial(&url, &Tls::system(), Duration::from_millis(50)).await.unwrap_err();
        assert!(matches!(error, DialError::Timeout { stage: Stage::Handshaking, .. }), "{error:?}");
    }

    #[tokio::test]
    async fn the_next_address_is_tried_when_one_refuses() {
        // Bound, so that nobody else gets the port, and not listening.
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let refusing = socket.local_addr().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let open = listener.local_addr().unwrap();
        let deadline = Instant::from_std(clock::monotonic()) + PATIENCE;
        assert!(connect(&[refusing, open], deadline).await.unwrap().is_ok());
        let error = connect(&[refusing, refusing], deadline).await.unwrap().unwrap_err();
        assert!(matches!(error, DialError::Connect { address, .. } if address == refusing), "{error:?}");
    }

    #[tokio::test]
    async fn a_name_without_address_is_named() {
        // RFC 6761 §6.4: never resolves.
        let error = dial_to("http://nowhere.invalid/".to_owned(), &Tls::system()).await.unwrap_err();
        assert!(matches!(error, DialError::Resolve { .. } | DialError::Timeout { .. }), "{error:?}");
        assert!(error.to_string().contains("nowhere.invalid"), "{error}");
    }
}
