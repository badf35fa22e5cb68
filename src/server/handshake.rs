//! The steps before HTTP on a connection: the PROXY header and the TLS handshake. Each has a
//! deadline, so that a client that does not finish costs one connection and no more
//! (requirements.md#x04).

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use http::HeaderValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::end::End;
use super::proxy_protocol::{self, Announced, Header};
use super::stream::ClientStream;
use crate::config::Listener;
use crate::net::{Peer, Session};
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
/// Returns how the connection ended, if it is not ready for HTTP.
pub(super) async fn perform(
    mut stream: ClientStream,
    mut peer: Peer,
    listener: &Listener,
    head: Duration,
) -> Result<Ready, End> {
    if expects_proxy_header(&peer, listener) {
        let announced = timeout(head, read_proxy_header(&mut stream)).await;
        if let Some(announced) = announced.map_err(|_| End::Timeout)?? {
            peer = Peer::new(announced.client);
            peer.announced_port = Some(announced.destination.port())
                .filter(|port| *port != 0)
                .map(HeaderValue::from);
        }
    }
    let Some(acceptor) = &listener.tls else {
        return Ok(Ready {
            stream,
            peer,
            protocol: Protocol::Sniff,
        });
    };
    // Boxed: plain connections need no handshake, and their tasks stay small.
    let handshake = Box::pin(accept_tls(stream, peer, acceptor));
    timeout(acceptor.handshake_timeout(), handshake)
        .await
        .map_err(|_| End::Tls)?
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

/// Reads the PROXY header, and returns the connection that it announces.
async fn read_proxy_header(stream: &mut ClientStream) -> Result<Option<Announced>, End> {
    let mut bytes = BytesMut::with_capacity(PIECE);
    loop {
        match stream.read_buf(&mut bytes).await {
            // Load balancers check a server by opening a connection and closing it at once.
            Ok(0) if bytes.is_empty() => return Err(End::Aborted),
            Ok(0) => return Err(End::ProxyProtocol),
            Ok(_) => {}
            Err(_) => return Err(End::Aborted),
        }
        match proxy_protocol::parse(&bytes) {
            Header::Partial => {}
            Header::Bad => return Err(End::ProxyProtocol),
            Header::Whole(length, announced) => {
                stream.unread(bytes.split_off(length).freeze());
                return Ok(announced);
            }
        }
    }
}

/// Performs a TLS handshake.
async fn accept_tls(
    mut stream: ClientStream,
    mut peer: Peer,
    acceptor: &Acceptor,
) -> Result<Ready, End> {
    let mut first = BytesMut::with_capacity(PIECE);
    match stream.read_buf(&mut first).await {
        Ok(1..) => {}
        Ok(0) | Err(_) => return Err(End::Aborted),
    }
    if first.first() != Some(&HANDSHAKE) {
        refuse_plain(stream, &first).await;
        return Err(End::Tls);
    }
    stream.unread(first.freeze());
    let accepted: io::Result<_> = TlsAcceptor::from(acceptor.config()).accept(stream).await;
    let stream = accepted.map_err(|error| {
        tracing::debug!(%error, "a TLS handshake failed");
        End::Tls
    })?;
    let (_, connection) = stream.get_ref();
    let leaf = connection
        .peer_certificates()
        .and_then(|chain| chain.first());
    peer.tls = Some(Session {
        server_name: connection
            .server_name()
            .map(|name| name.to_ascii_lowercase().into()),
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

/// Answers a client that speaks plain HTTP, which begins with the letters of a method. Other
/// protocols get no answer.
async fn refuse_plain(mut stream: ClientStream, first: &[u8]) {
    if first.first().is_some_and(u8::is_ascii_uppercase) && stream.write_all(PLAIN).await.is_ok() {
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
