//! The byte stream of a client connection, over TCP, a Unix socket or TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;
use tokio::io::{AsyncRead as _, AsyncWrite as _, Interest, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::net::{Layer, Layered, Output, Stream, Unread};

/// The stream of an accepted connection. Bytes that were read to detect the protocol can be put
/// back.
pub(super) type ClientStream = Layered<Client>;

/// The layer that puts bytes back, and counts those that are written.
#[derive(Debug)]
pub(super) struct Client {
    stream: Stream<TlsStream<ClientStream>>,
    /// Bytes that are read again first.
    unread: Unread,
    /// The number of bytes that were written.
    sent: u64,
}

impl ClientStream {
    pub(super) fn tcp(stream: TcpStream) -> Self {
        Self::new(Stream::Tcp(stream))
    }

    pub(super) fn unix(stream: UnixStream) -> Self {
        Self::new(Stream::Unix(stream))
    }

    #[cfg(test)]
    pub(super) fn simulated(stream: turmoil::net::TcpStream) -> Self {
        Self::new(Stream::Simulated(stream))
    }

    pub(super) fn tls(stream: TlsStream<Self>) -> Self {
        Self::new(Stream::Tls(Box::new(stream)))
    }

    fn new(stream: Stream<TlsStream<Self>>) -> Self {
        Layered(Client {
            stream,
            unread: Unread::default(),
            sent: 0,
        })
    }

    /// Puts bytes back, in front of the bytes that are not read yet.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        self.0.unread.put_back(bytes);
    }

    /// Returns whether bytes were put back that have not been read again.
    pub(super) fn has_unread(&self) -> bool {
        !self.0.unread.is_empty()
    }

    /// Returns the bytes that were put back and have not been read again.
    pub(super) fn unread_bytes(&self) -> &[u8] {
        self.0.unread.bytes()
    }

    /// Reads at most `count` of the bytes that were put back.
    pub(super) fn read_again(&mut self, count: usize, buffer: &mut ReadBuf<'_>) {
        self.0.unread.read_at_most(count, buffer);
    }

    /// Sends the `close_notify` of TLS. The socket itself stays open until it is dropped.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.0.stream {
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Waits until the socket has failed.
    pub(super) async fn failed(&self) {
        match &self.0.stream {
            Stream::Tcp(stream) => drop(stream.ready(Interest::ERROR).await),
            // On a Unix socket the next write fails at once.
            Stream::Unix(_) => std::future::pending().await,
            Stream::Tls(stream) => Box::pin(stream.get_ref().0.failed()).await,
            #[cfg(test)]
            Stream::Simulated(_) => std::future::pending().await,
        }
    }

    /// Returns the number of bytes that the socket has accepted since the connection began.
    pub(super) fn sent(&self) -> u64 {
        match &self.0.stream {
            Stream::Tls(stream) => stream.get_ref().0.sent(),
            _ => self.0.sent,
        }
    }

    /// Limits the buffer of TLS for bytes that the socket does not accept yet. A stream without TLS
    /// has no such buffer.
    pub(super) fn bound_tls(&mut self, limit: usize) {
        if let Stream::Tls(stream) = &mut self.0.stream {
            stream.get_mut().1.set_buffer_limit(Some(limit));
        }
    }

    /// Sets that the connection is closed with a reset.
    pub(super) fn reset_at_end(&self) {
        let socket = match &self.0.stream {
            Stream::Tcp(stream) => SockRef::from(stream),
            Stream::Unix(stream) => SockRef::from(stream),
            Stream::Tls(stream) => return stream.get_ref().0.reset_at_end(),
            #[cfg(test)]
            Stream::Simulated(_) => return,
        };
        // An error means that the socket has failed already.
        let _ = socket.set_linger(Some(Duration::ZERO));
    }
}

impl Layer for Client {
    type Below = Stream<TlsStream<ClientStream>>;

    fn below(&mut self) -> io::Result<Pin<&mut Self::Below>> {
        Ok(Pin::new(&mut self.stream))
    }

    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.unread.read(buffer) {
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        read.map(end_of_tls)
    }

    fn write(&mut self, cx: &mut Context<'_>, output: Output<'_>) -> Poll<io::Result<usize>> {
        let written = output.write_to(Pin::new(&mut self.stream), cx);
        if let Poll::Ready(Ok(count)) = written {
            self.sent = self.sent.wrapping_add(count as u64);
        }
        written
    }
}

/// Treats the end of a TLS stream without `close_notify` as an orderly end. Many clients do not
/// send it. A truncation is detected without it: HTTP messages are framed, and WebSockets have
/// close frames.
fn end_of_tls(read: io::Result<()>) -> io::Result<()> {
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
        other => other,
    }
}
