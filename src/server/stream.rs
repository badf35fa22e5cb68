//! The byte stream of a client connection, over TCP, a Unix socket or TLS.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf as _, Bytes};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio_rustls::server::TlsStream;

/// The stream of an accepted connection. Bytes that were read to detect the protocol can be put
/// back.
#[derive(Debug)]
pub(super) struct ClientStream {
    transport: Transport,
    /// Bytes that were put back and are read again first.
    ahead: Bytes,
    /// The number of bytes that the socket has accepted.
    sent: u64,
}

/// The layer below the stream.
#[derive(Debug)]
enum Transport {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
    Tls(Box<TlsStream<ClientStream>>),
}

impl ClientStream {
    pub(super) fn tcp(stream: TcpStream) -> Self {
        Self {
            transport: Transport::Tcp(stream),
            ahead: Bytes::new(),
            sent: 0,
        }
    }

    #[cfg(unix)]
    pub(super) fn unix(stream: UnixStream) -> Self {
        Self {
            transport: Transport::Unix(stream),
            ahead: Bytes::new(),
            sent: 0,
        }
    }

    pub(super) fn tls(stream: TlsStream<Self>) -> Self {
        Self {
            transport: Transport::Tls(Box::new(stream)),
            ahead: Bytes::new(),
            sent: 0,
        }
    }

    /// Puts bytes back, in front of the bytes that are not read yet.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        // An empty piece is not kept: it may keep a large buffer in memory.
        if !bytes.is_empty() {
            self.ahead = if self.ahead.is_empty() {
                bytes
            } else {
                [&*bytes, &*self.ahead].concat().into()
            };
        }
    }

    /// Returns whether bytes were put back that have not been read again.
    pub(super) fn has_unread(&self) -> bool {
        !self.ahead.is_empty()
    }

    /// Sends the `close_notify` of TLS. The socket itself stays open until it is dropped.
    pub(super) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Waits until the socket has failed.
    pub(super) async fn failed(&self) {
        match &self.transport {
            Transport::Tcp(stream) => drop(stream.ready(Interest::ERROR).await),
            // On a Unix socket the next write fails at once.
            #[cfg(unix)]
            Transport::Unix(_) => std::future::pending().await,
            Transport::Tls(stream) => Box::pin(stream.get_ref().0.failed()).await,
        }
    }

    /// Returns the number of bytes that the socket has accepted since the connection began.
    pub(super) fn sent(&self) -> u64 {
        match &self.transport {
            Transport::Tls(stream) => stream.get_ref().0.sent,
            _ => self.sent,
        }
    }

    /// Limits the buffer of TLS for bytes that the socket does not accept yet. A stream without TLS
    /// has no such buffer.
    pub(super) fn bound_tls(&mut self, limit: usize) {
        if let Transport::Tls(stream) = &mut self.transport {
            stream.get_mut().1.set_buffer_limit(Some(limit));
        }
    }

    /// Counts the bytes that the socket has accepted.
    fn count_sent(&mut self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(count)) = written {
            self.sent = self.sent.wrapping_add(*count as u64);
        }
    }

    /// Returns the socket, to set its options.
    pub(super) fn socket(&self) -> SockRef<'_> {
        match &self.transport {
            Transport::Tcp(stream) => SockRef::from(stream),
            #[cfg(unix)]
            Transport::Unix(stream) => SockRef::from(stream),
            Transport::Tls(stream) => stream.get_ref().0.socket(),
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.ahead.has_remaining() {
            let count = this.ahead.len().min(buffer.remaining());
            buffer.put_slice(&this.ahead.split_to(count));
            return Poll::Ready(Ok(()));
        }
        match &mut this.transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            #[cfg(unix)]
            Transport::Unix(stream) => Pin::new(stream).poll_read(cx, buffer),
            Transport::Tls(stream) => Pin::new(stream).poll_read(cx, buffer).map(end_of_tls),
        }
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

impl AsyncWrite for ClientStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match &mut this.transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            #[cfg(unix)]
            Transport::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Transport::Tls(stream) => return Pin::new(stream).poll_write(cx, bytes),
        };
        this.count_sent(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = match &mut this.transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            #[cfg(unix)]
            Transport::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Transport::Tls(stream) => return Pin::new(stream).poll_write_vectored(cx, slices),
        };
        this.count_sent(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Tcp(stream) => stream.is_write_vectored(),
            #[cfg(unix)]
            Transport::Unix(stream) => stream.is_write_vectored(),
            Transport::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            #[cfg(unix)]
            Transport::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().transport {
            Transport::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            #[cfg(unix)]
            Transport::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Transport::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
