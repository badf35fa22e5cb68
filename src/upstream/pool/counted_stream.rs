//! A connection to an upstream that is counted while it is open, and holds its connection permit.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::super::Upstream;
use super::super::connection_limit::ConnectionPermit;
use crate::net::{Layer, Layered, Stream};

/// A connection to an upstream. It is counted until it is closed, including the time as a tunnel
/// after it switched to another protocol.
pub(super) type CountedStream = Layered<Counted>;

/// The layer that counts a connection.
pub(super) struct Counted {
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
        Layered(Counted {
            stream,
            _open: open,
        })
    }

    /// Returns whether a write that fails may have written something: the TLS layer buffers data
    /// and writes it in several steps.
    pub(super) fn may_have_written(&self) -> bool {
        matches!(self.0.stream, Stream::Tls(_))
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

impl Layer for Counted {
    type Below = Stream;

    fn below(&mut self) -> io::Result<Pin<&mut Stream>> {
        Ok(Pin::new(&mut self.stream))
    }
}
