//! The code that depends on the order in which hyper and h2 read, poll, wake, write and drop.
//!
//! Their documentation does not promise this order. Each item states its assumptions, and each
//! assumption has a test in `hyper_order_tests.rs`, which fails when hyper or h2 does otherwise.
//! `Cargo.toml` holds both at a minor version: before a newer one is used, these tests run and this
//! file is read. Other files depend on single facts about the libraries. The same tests check them.

use std::cell::Cell;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::task::yield_now;

use super::super::stream::ClientStream;
use super::activity::Activity;
use super::bare::Bare;
use super::position::MalformedLine;
use crate::clock;
use crate::net::{Layer, Output};

/// The most bytes read ahead while checking whether the client closed its side.
const AHEAD: usize = 1024;

/// The layer over the stream of an HTTP/1.1 connection, which hyper sees. It tells the [`Activity`]
/// of the connection about reads and writes.
///
/// It assumes that hyper
/// - flushes at every poll, even if there is nothing to write: that is the place to look for the
///   client's close;
/// - reads nothing while an answer is being made or sent and no body is open, so that bytes which
///   were read ahead are put back in front of those that hyper reads next;
/// - writes while no answer is owed only if its parser refuses the client's bytes, and ends the
///   head of such a refusal with the date;
/// - calls the service as soon as it has read a head, before it reads on: so it is known where the
///   body begins, of which it must not have read anything;
/// - drops the body of an answer, which ends the request, when the last piece is queued, and
///   flushes after that: when a flush succeeds, nothing of the answer is left.
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

    /// Reads to the end of a head or body at most. Bytes behind it are put back.
    ///
    /// # Errors
    /// `InvalidData`, as hyper's decoder, if readers could find another end of a body in chunks.
    fn read_part(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut position = self.activity.position.get();
        if self.stream.has_unread() {
            let bytes = self.stream.unread_bytes();
            let room = bytes.len().min(buffer.remaining());
            let count = checked(position.advance(bytes.get(..room).unwrap_or_default()))?;
            self.stream.read_again(count, buffer);
        } else {
            let before = buffer.filled().len();
            ready!(Pin::new(&mut *self.stream).poll_read(cx, buffer))?;
            let read = buffer.filled().get(before..).unwrap_or_default();
            let part = checked(position.advance(read));
            let behind = read.get(*part.as_ref().unwrap_or(&0)..);
            self.stream
                .unread(Bytes::copy_from_slice(behind.unwrap_or_default()));
            buffer.set_filled(before);
            let count = part?;
            buffer.set_filled(before + count);
        }
        self.activity.position.set(position);
        Poll::Ready(Ok(()))
    }

    /// Returns the bytes to write in place of a refusal by the parser itself, with a correct date.
    /// A refusal that waits behind an unread answer stays as it is.
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
        let result = self.read_part(cx, buffer);
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

    /// Flushes the stream, and looks for the client's close.
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

fn checked(part: Result<usize, MalformedLine>) -> io::Result<usize> {
    part.map_err(|MalformedLine| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            "a line of a body in chunks is malformed",
        )
    })
}

/// Lets hyper discard the part of an unread body that has arrived over HTTP/1.1. If the body goes
/// on, the connection has to end after its answer, and the head of the answer says so only if hyper
/// knows it before (RFC 9112 §9.6).
///
/// It assumes that hyper looks at the body of a request, and gives it up if it was dropped, before
/// it polls the walk again.
pub(super) async fn discard_unread_body() {
    yield_now().await;
}

/// The last step of the task of an HTTP/2 stream. All streams of a connection share one cell: a
/// worker has one thread, and the cell is set and read within one poll.
///
/// It assumes that the task of a stream
/// - polls the walk, or then the body, in each of its polls, unless it waits for the client: h2
///   does not ask for more of a body while its client reads nothing of it;
/// - starts the task of a tunnel within the poll in which the walk was ready.
#[derive(Clone, Default)]
pub(super) struct StreamStep {
    step: Rc<Cell<Step>>,
    /// Set if the next task that the library starts belongs to a tunnel, which has a deadline of
    /// its own.
    tunnel: Rc<Cell<bool>>,
}

/// A step of the task of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Step {
    /// The task polled neither the answer nor its body: it waits for the client.
    #[default]
    Client,
    /// The task waits for the answer, which has deadlines of its own.
    Answer,
    /// The task was given a piece of the answer.
    Piece,
}

impl StreamStep {
    /// Notes the result of polling the answer or its body.
    pub(super) fn watch<T>(&self, poll: Poll<T>) -> Poll<T> {
        self.step.set(if poll.is_pending() {
            Step::Answer
        } else {
            Step::Piece
        });
        poll
    }

    /// Notes that the task is given a piece of the answer.
    pub(super) fn piece(&self) {
        self.step.set(Step::Piece);
    }

    /// Notes that the next task that the library starts is the sending side of a tunnel.
    pub(super) fn begin_tunnel(&self) {
        self.tunnel.set(true);
    }

    /// Returns, once, whether the task that the library starts now belongs to a tunnel.
    pub(super) fn takes_tunnel(&self) -> bool {
        self.tunnel.take()
    }

    /// Polls the task of a stream, and returns its step if it is not ready.
    pub(super) fn of_poll(&self, poll: impl FnOnce() -> Poll<()>) -> Option<Step> {
        self.step.set(Step::Client);
        poll().is_pending().then(|| self.step.get())
    }
}

#[cfg(test)]
#[path = "hyper_order_tests.rs"]
mod tests;
