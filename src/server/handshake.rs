//! The steps before HTTP on a connection: the PROXY header and the TLS handshake. Each has a
//! deadline, so that a client that does not finish costs one connection and no more
//! (requirements.md#x04).

use std::time::Duration;

use bytes::BytesMut;
use http::HeaderValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::LazyConfigAcceptor;

use super::failure::Failure;
use super::proxy_protocol::{self, Announced, Header};
use super::stream::ClientStream;
use super::tls_error::TlsError;
use crate::config::Listener;
use crate::net::{Peer, Session};
use crate::telemetry::ConnectionError;
use crate::tls::{Acceptor, Fingerprint};

/// The most bytes that are read at once in search of a PROXY header. Bytes behind the header are
/// put back.
const PIECE: usize = 1024;

/// The first byte of a TLS handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// The answer to a client that speaks plain HTTP to a TLS port.
const PLAIN: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 29\r\n\
                       Connection: close\r\n\r\nThis port speaks HTTPS only.\n";

/// The protocol of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// Not known yet: the first bytes of the client tell it.
    Sniff,
    /// HTTP/1.1 (ALPN `http/1.1`).
    Http1,
    /// HTTP/2 (ALPN `h2`).
    Http2,
}

/// A connection that is ready for HTTP.
pub(super) struct Ready {
    pub(super) stream: ClientStream,
    pub(super) peer: Peer,
    pub(super) protocol: Protocol,
}

/// Returns whether a connection has a step before HTTP. Most have none.
pub(super) fn is_needed(peer: &Peer, listener: &Listener) -> bool {
    listener.tls.is_some() || expects_proxy_header(peer, listener)
}

/// Performs the steps before HTTP. The PROXY header has to arrive within the time `head`.
///
/// # Errors
/// Returns the failure of the connection, if it is not ready for HTTP. It is `None` if the client
/// left before its first byte: load balancers check a server by opening a connection and closing it
/// at once, with an end or a reset.
pub(super) async fn perform(
    mut stream: ClientStream,
    mut peer: Peer,
    listener: &Listener,
    head: Duration,
) -> Result<Ready, Option<Failure>> {
    if expects_proxy_header(&peer, listener) {
        let announced = await_proxy_header(&mut stream, head).await;
        let announced =
            announced.map_err(|error| error.map(|error| Failure::new(error, peer.address)))?;
        if let Some(announced) = announced {
            peer = Peer::new(announced.client);
            peer.announced_port = Some(announced.destination.port())
                .filter(|port| *port != 0)
                .map(HeaderValue::from);
        }
    }
    match &listener.tls {
        Some(acceptor) => await_tls(stream, peer, acceptor).await,
        None => Ok(Ready {
            stream,
            peer,
            protocol: Protocol::Sniff,
        }),
    }
}

/// Returns whether the peer is a load balancer that has to send a PROXY header.
fn expects_proxy_header(peer: &Peer, listener: &Listener) -> bool {
    let Some(address) = peer.address else {
        return false;
    };
    listener
        .proxy_protocol_from
        .iter()
        .any(|network| network.contains(&address.ip()))
}

/// Waits for the PROXY header, and returns the connection that it announces.
async fn await_proxy_header(
    stream: &mut ClientStream,
    limit: Duration,
) -> Result<Option<Announced>, Option<ConnectionError>> {
    let mut bytes = BytesMut::with_capacity(PIECE);
    match timeout(limit, read_proxy_header(stream, &mut bytes)).await {
        Ok(result) => result,
        Err(_) if bytes.is_empty() => Err(Some(ConnectionError::IdleTimeout)),
        Err(_) => Err(Some(ConnectionError::ProxyHeaderTimeout)),
    }
}

/// Reads the PROXY header into `bytes`, and puts back what follows it.
async fn read_proxy_header(
    stream: &mut ClientStream,
    bytes: &mut BytesMut,
) -> Result<Option<Announced>, Option<ConnectionError>> {
    loop {
        match stream.read_buf(bytes).await {
            Ok(1..) => {}
            Ok(0) | Err(_) if bytes.is_empty() => return Err(None),
            Ok(0) | Err(_) => return Err(Some(ConnectionError::LeftInHandshake)),
        }
        match proxy_protocol::parse(bytes) {
            Header::Partial => {}
            Header::Bad if proxy_protocol::begins(bytes) => {
                return Err(Some(ConnectionError::ProxyHeaderMalformed));
            }
            Header::Bad => return Err(Some(ConnectionError::ProxyHeaderMissing)),
            Header::Whole(length, announced) => {
                stream.unread(bytes.split_off(length).freeze());
                return Ok(announced);
            }
        }
    }
}

/// How far a TLS handshake came.
#[derive(Default)]
struct Progress {
    /// Set when a byte has arrived.
    has_begun: bool,
    /// The name that the client asked for, until the handshake succeeds.
    server_name: Option<Box<str>>,
}

/// Waits for a TLS handshake.
async fn await_tls(
    stream: ClientStream,
    peer: Peer,
    acceptor: &Acceptor,
) -> Result<Ready, Option<Failure>> {
    let address = peer.address;
    let mut progress = Progress::default();
    // Boxed: plain connections need no handshake, and their tasks stay small.
    let handshake = Box::pin(accept_tls(stream, peer, acceptor, &mut progress));
    let error = match timeout(acceptor.handshake_timeout(), handshake).await {
        Ok(Ok(ready)) => return Ok(ready),
        Ok(Err(None)) => return Err(None),
        Ok(Err(Some(error))) => error,
        Err(_) if progress.has_begun => ConnectionError::TlsTimeout.into(),
        Err(_) => ConnectionError::IdleTimeout.into(),
    };
    let mut failure = Failure::new(error.error, address);
    if error.error == ConnectionError::TlsCertificateRefused
        && let Some(name) = &progress.server_name
        && !acceptor.certificates().has_name(name)
    {
        failure.error = ConnectionError::TlsUnknownName;
    }
    failure.server_name = progress.server_name;
    failure.cause = error.cause;
    Err(Some(failure))
}

/// Performs a TLS handshake.
///
/// # Errors
/// Returns the cause; `None` if the client left before its first byte.
async fn accept_tls(
    mut stream: ClientStream,
    mut peer: Peer,
    acceptor: &Acceptor,
    progress: &mut Progress,
) -> Result<Ready, Option<TlsError>> {
    let mut first = BytesMut::with_capacity(PIECE);
    match stream.read_buf(&mut first).await {
        Ok(1..) => progress.has_begun = true,
        Ok(0) | Err(_) => return Err(None),
    }
    if let Some(error) = no_handshake(&first) {
        if error == ConnectionError::TlsPlainHttp {
            refuse_plain(stream).await;
        }
        return Err(Some(error.into()));
    }
    stream.unread(first.freeze());
    let hello = LazyConfigAcceptor::new(rustls::server::Acceptor::default(), stream)
        .await
        .map_err(|error| TlsError::of(&error))?;
    progress.server_name = hello
        .client_hello()
        .server_name()
        .map(|name| name.to_ascii_lowercase().into());
    let stream = hello
        .into_stream(acceptor.config())
        .await
        .map_err(|error| TlsError::of(&error))?;
    let (_, connection) = stream.get_ref();
    let leaf = connection
        .peer_certificates()
        .and_then(|chain| chain.first());
    peer.tls = Some(Session {
        server_name: progress.server_name.take(),
        client_certificate: leaf.map(|leaf| Fingerprint::of(leaf)),
        certificates: acceptor.certificates(),
    });
    let protocol = match connection.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        Some(_) => Protocol::Http1,
        None => Protocol::Sniff,
    };
    Ok(Ready {
        stream: ClientStream::tls(stream),
        peer,
        protocol,
    })
}

/// Returns the reason why the first bytes are no TLS handshake; `None` if they may be one.
fn no_handshake(first: &[u8]) -> Option<ConnectionError> {
    if first.first() == Some(&HANDSHAKE) {
        None
    } else if proxy_protocol::begins(first) {
        Some(ConnectionError::ProxyHeaderUnexpected)
    } else if first.first().is_some_and(u8::is_ascii_uppercase) {
        Some(ConnectionError::TlsPlainHttp)
    } else {
        Some(ConnectionError::TlsNoHandshake)
    }
}

/// Answers a client that speaks plain HTTP. Other protocols get no answer.
async fn refuse_plain(mut stream: ClientStream) {
    if stream.write_all(PLAIN).await.is_ok() {
        let _ = stream.shutdown().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_plain_http_is_framed_right() {
        let text = str::from_utf8(PLAIN).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}", body.len())));
    }
}
