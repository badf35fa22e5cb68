//! A connection to an upstream that is counted while it is open, and holds its connection permit.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::Notify;

use super::super::Upstream;
use super::super::connection_limit::ConnectionPermit;
use crate::net::Stream;

/// A connection to an upstream. It is counted until it is closed, including the time as a tunnel
/// after it switched to another protocol.
pub(super) struct CountedStream {
    stream: Stream,
    _open: OpenConnection,
}

/// Counters of the reads of a connection and of the bytes written to it.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    reads: AtomicUsize,
    written: AtomicUsize,
    /// Notified of each read.
    pub(super) more: Notify,
}

impl Traffic {
    /// Returns a number that changes with each read.
    pub(super) fn count(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }

    /// Returns a number that changes with each write.
    pub(super) fn written(&self) -> usize {
        self.written.load(Ordering::Relaxed)
    }

    pub(super) fn note_written(&self, bytes: usize) {
        self.written.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn note(&self) {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.more.notify_one();
    }
}

impl CountedStream {
    pub(super) fn new(stream: Stream, open: OpenConnection) -> Self {
        Self {
            stream,
            _open: open,
        }
    }

    /// Returns whether a write that fails may have written something: the TLS layer buffers data
    /// and writes it in several steps.
    pub(super) fn may_have_written(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}

/// Counts a connection while it is open, and holds its permit.
pub(super) struct OpenConnection {
    upstream: Arc<Upstream>,
    _permit: ConnectionPermit,
}

impl OpenConnection {
    pub(super) fn new(upstream: Arc<Upstream>, permit: ConnectionPermit) -> Self {
        upstream.metrics.opened.inc();
        upstream.metrics.open.inc();
        Self {
            upstream,
            _permit: permit,
        }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.upstream.metrics.open.dec();
    }
}

impl AsyncRead for CountedStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
