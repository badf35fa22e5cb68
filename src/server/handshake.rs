//! What comes before HTTP on a connection: a PROXY header, a TLS handshake. Each has a deadline,
//! and whoever does not keep it costs a connection and no more (requirements.md#x04).

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use http::HeaderValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::connection::{End, Protocol};
use super::proxy_protocol::{self, Header};
use super::stream::ClientStream;
use crate::config::Listener;
use crate::net::{Acceptor, Fingerprint, Peer, Session};

/// Bytes that are read at once in search of a PROXY header; what is beyond it is put back.
const PIECE: usize = 1024;

/// The first byte of a TLS handshake (RFC 8446 §5.1).
const HANDSHAKE: u8 = 22;

/// What who speaks plain HTTP to a TLS port is told, in the one protocol that it understands.
const PLAIN: &[u8] =
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 29\r\n\
                       Connection: close\r\n\r\nThis port speaks HTTPS only.\n";

/// Whether anything comes before HTTP. Most connections have nothing to wait for.
pub(super) fn is_needed(peer: &Peer, listener: &Listener) -> bool {
    listener.tls.is_some() || expects_proxy_header(peer, listener)
}

/// A connection that is ready for HTTP, and whose it is.
///
/// # Errors
/// How it ended before that.
pub(super) async fn perform(
    mut stream: ClientStream,
    mut peer: Peer,
    listener: &Listener,
    head: Duration,
) -> Result<(ClientStream, Peer, Protocol), End> {
    if expects_proxy_header(&peer, listener) {
        let announced = timeout(head, read_proxy_header(&mut stream)).await;
        if let Some((client, own)) = announced.map_err(|_| End::Timeout)?? {
            peer = Peer::new(client);
            peer.announced_port = Some(own.port())
                .filter(|port| *port != 0)
                .map(HeaderValue::from);
        }
    }
    let Some(acceptor) = &listener.tls else {
        return Ok((stream, peer, Protocol::Sniff));
    };
    // Boxed: connections in the clear are many, and not to be as large as this.
    let handshake = timeout(
        acceptor.handshake_timeout(),
        Box::pin(accept_tls(stream, acceptor)),
    )
    .await;
    let (stream, session, protocol) = handshake.map_err(|_| End::Tls)??;
    peer.tls = Some(session);
    Ok((stream, peer, protocol))
}

fn expects_proxy_header(peer: &Peer, listener: &Listener) -> bool {
    let Some(address) = peer.address else {
        return false;
    };
    listener
        .proxy_protocol_from
        .iter()
        .any(|network| network.contains(&address.ip()))
}

/// Whom the PROXY header announces: the client, and what it connected to.
async fn read_proxy_header(
    stream: &mut ClientStream,
) -> Result<Option<(SocketAddr, SocketAddr)>, End> {
    let mut bytes = BytesMut::with_capacity(PIECE);
    loop {
        match stream.read_buf(&mut bytes).await {
            // A connection that is closed at once is how balancers look whether anybody is there.
            Ok(0) if bytes.is_empty() => return Err(End::Aborted),
            Ok(0) => return Err(End::ProxyProtocol),
            Ok(_) => {}
            Err(_) => return Err(End::Aborted),
        }
        match proxy_protocol::parse(&bytes) {
            Header::Partial => {}
            Header::Bad => return Err(End::ProxyProtocol),
            Header::Whole(length, ends) => {
                stream.unread(bytes.split_off(length).freeze());
                return Ok(ends);
            }
        }
    }
}

async fn accept_tls(
    mut stream: ClientStream,
    acceptor: &Acceptor,
) -> Result<(ClientStream, Session, Protocol), End> {
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
    let session = Session {
        server_name: connection
            .server_name()
            .map(|name| name.to_ascii_lowercase().into()),
        client_certificate: connection
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|leaf| Fingerprint::of(leaf)),
        certificates: acceptor.certificates(),
    };
    let protocol = match connection.alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        Some(_) => Protocol::Http1,
        None => Protocol::Sniff,
    };
    Ok((ClientStream::tls(stream), session, protocol))
}

/// Tells who speaks HTTP what is spoken here; whoever speaks something else is told nothing.
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
