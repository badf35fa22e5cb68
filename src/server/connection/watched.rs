//! The byte stream of an HTTP/1.1 connection, as hyper sees it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::ClientStream;
use super::activity::Activity;
use super::bare::Bare;

/// The most bytes read ahead while checking whether the client closed its side.
const AHEAD: usize = 1024;

/// A stream that tells its [`Activity`] about reads and writes.
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
        if !self.activity.awaits_end() || self.stream.has_unread() {
            return Ok(());
        }
        let mut bytes = [MaybeUninit::uninit(); AHEAD];
        let mut buffer = ReadBuf::uninit(&mut bytes);
        let Poll::Ready(read) = Pin::new(&mut *self.stream).poll_read(cx, &mut buffer) else {
            return Ok(());
        };
        read?;
        if buffer.filled().is_empty() {
            self.activity.half_close();
        } else {
            self.stream.unread(Bytes::copy_from_slice(buffer.filled()));
        }
        Ok(())
    }

    /// Returns the bytes to write in place of a refusal by the parser itself, with a correct date.
    /// Bytes that are written while no answer is owed are such a refusal. A refusal that waits
    /// behind an unread answer stays as it is.
    fn redated(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        if self.activity.owes_answer() {
            None
        } else {
            self.bare.redated(bytes)
        }
    }
}

impl AsyncRead for Watched<'_> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.activity.poll_turn(cx));
        let before = buffer.filled().len();
        let result = Pin::new(&mut *this.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            this.activity.read(buffer.filled().len() - before);
            this.activity.received();
        }
        result
    }
}

impl AsyncWrite for Watched<'_> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let redated = this.redated(bytes);
        let result =
            Pin::new(&mut *this.stream).poll_write(cx, redated.as_deref().unwrap_or(bytes));
        this.activity.wrote(&result, this.stream.sent());
        result
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let redated = match slices {
            [alone] => this.redated(alone),
            _ => None,
        };
        let result = match redated {
            Some(bytes) => Pin::new(&mut *this.stream).poll_write(cx, &bytes),
            None => Pin::new(&mut *this.stream).poll_write_vectored(cx, slices),
        };
        this.activity.wrote(&result, this.stream.sent());
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Flushes the stream. Hyper calls this at every poll, even if there is nothing to write, so
    /// that this is the place to look for the client's close.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let result = Pin::new(&mut *this.stream).poll_flush(cx);
        this.activity.flushed(&result, this.stream.sent());
        ready!(result)?;
        this.activity.drained();
        Poll::Ready(this.look_for_end(cx))
    }

    /// Sends the end of TLS only. The socket is closed afterwards, or shut down by the lingering
    /// close.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.activity.closing();
        this.stream.poll_close(cx)
    }
}
