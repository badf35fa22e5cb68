//! The byte stream of an HTTP/1.1 connection, as hyper sees it.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

use super::super::stream::ClientStream;
use super::activity::Activity;
use super::bare::Bare;
use crate::clock;
use crate::net::{Layer, Output};

/// The most bytes read ahead while checking whether the client closed its side.
const AHEAD: usize = 1024;

/// The layer that tells an [`Activity`] about reads and writes.
pub(super) struct Watched<'a> {
    pub(super) stream: &'a mut ClientStream,
    pub(super) activity: &'a Activity,
    pub(super) bare: Bare,
}

impl Watched<'_> {
    /// Checks whether the client has closed its side, or reset the connection, while its answer is
    /// being made or sent. Hyper does not read then: it would take a half-close for a disconnect
    /// (RFC 9112 §9.6). Bytes that the client has sent meanwhile are put back. While such bytes
    /// wait, nothing more is read.
    ///
    /// # Errors
    /// Returns the error of a connection that was reset: no client waits for the answer.
    fn look_for_end(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if !self.activity.state().awaits_close() || self.stream.has_unread() {
            return Ok(());
        }
        let mut bytes = [MaybeUninit::uninit(); AHEAD];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        let Poll::Ready(read) = Pin::new(&mut *self.stream).poll_read(cx, &mut buffer) else {
            return Ok(());
        };
        read?;
        if buffer.filled().is_empty() {
            self.activity.state().half_closed(clock::monotonic());
        } else {
            self.stream.unread(Bytes::copy_from_slice(buffer.filled()));
        }
        Ok(())
    }

    /// Returns the bytes to write in place of a refusal by the parser itself, with a correct date.
    /// Bytes that are written while no answer is owed are such a refusal. A refusal that waits
    /// behind an unread answer stays as it is.
    fn redated(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.activity.state().owes_answer() {
            None
        } else {
            self.bare.redated(bytes)
        }
    }
}

impl Layer for Watched<'_> {
    type Below = ClientStream;

    fn below(&mut self) -> io::Result<Pin<&mut ClientStream>> {
        Ok(Pin::new(&mut *self.stream))
    }

    fn read(&mut self, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(self.activity.turn.poll(cx));
        let before = buffer.filled().len();
        let result = Pin::new(&mut *self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.activity.turn.count(buffer.filled().len() - before);
            self.activity.received();
        }
        result
    }

    fn write(&mut self, cx: &mut Context<'_>, output: Output<'_>) -> Poll<io::Result<usize>> {
        let redated = output.single().and_then(|bytes| self.redated(bytes));
        let output = redated.as_deref().map_or(output, Output::One);
        let result = output.write_to(Pin::new(&mut *self.stream), cx);
        self.activity.wrote(&result, self.stream.sent());
        result
    }

    /// Flushes the stream. Hyper calls this at every poll, even if there is nothing to write, so
    /// that this is the place to look for the client's close.
    fn flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut *self.stream).poll_flush(cx);
        self.activity.flushed(&result, self.stream.sent());
        ready!(result)?;
        self.activity.drained();
        Poll::Ready(self.look_for_end(cx))
    }

    /// Sends the end of TLS only. The socket is closed afterwards, or shut down by the lingering
    /// close.
    fn shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.activity.state().closing();
        self.stream.poll_close(cx)
    }
}
