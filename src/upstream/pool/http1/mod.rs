//! An HTTP/1.1 connection, which carries one exchange at a time (RFC 9112).
//!
//! It has no task and no queue: the future that waits for the response drives it, so that an
//! exchange costs a write, a read, and no wake-up of another task. The `httparse` crate parses the
//! grammar; framing and order are implemented here.

mod coding;
mod fields;
mod framing;
mod head;

use std::error::Error as StdError;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::{Buf as _, Bytes, BytesMut};
use http::{HeaderMap, Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};
use tokio::task::unconstrained;

use self::coding::Coding;
use self::fields::Malformed;
use self::framing::{Framing, Next};
use self::head::Head;
use super::super::exchange::{Content, Failed, Outgoing};
use super::super::replay_body::ReplayBody;
use super::super::reuse_limit::ReuseLimit;
use super::super::{Fault, HeadLimits, StreamError};
use super::counted_stream::CountedStream;

/// The bytes that are read at a time, at first and at most.
const LEAST_READ: usize = 8 * 1024;
const MOST_READ: usize = 64 * 1024;

/// The most interim responses before the final one. They are not relayed, and more than a few are
/// an attack.
const MAX_INTERIM: usize = 32;

/// A connection.
pub(super) struct Http1<B> {
    stream: CountedStream,
    limits: HeadLimits,
    /// The limit of its reuse.
    reuse_limit: ReuseLimit,
    /// The bytes that were read and not parsed yet.
    read: BytesMut,
    read_size: usize,
    /// Set when the read buffer has more memory than most exchanges need.
    is_roomy: bool,
    /// The output: heads and chunk lines in `out`, followed by a part of the body in `piece`.
    out: Vec<u8>,
    written: usize,
    piece: Bytes,
    upload: RequestBody<B>,
    /// Set when anything of the request was written, or its body was taken.
    has_begun: bool,
    /// Set when everything that was written was flushed.
    flushed: bool,
    framing: Framing,
    /// Set while another exchange may follow.
    persists: bool,
}

/// The body of a request, while it is sent.
enum RequestBody<B> {
    Unfinished(B, Coding),
    Ended,
    /// The upstream did not accept the rest of it.
    Interrupted,
    /// Reading it from the client failed.
    Failed,
}

/// The reason why a request was not sent completely.
enum UploadError {
    /// Reading its body from the client failed.
    Body,
    Io(io::Error),
}

impl From<io::Error> for UploadError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// The progress in reading a response head.
#[derive(Default)]
struct HeadProgress {
    /// The bytes that were searched for the end of the head.
    scanned: usize,
    /// The number of interim responses.
    interim: usize,
}

impl From<Malformed> for Fault {
    fn from(Malformed(why): Malformed) -> Self {
        Self::Protocol(why.into())
    }
}

impl<B> Http1<B> {
    pub(super) fn new(stream: CountedStream, reuse_limit: ReuseLimit, limits: HeadLimits) -> Self {
        Self {
            stream,
            limits,
            reuse_limit,
            read: BytesMut::new(),
            read_size: LEAST_READ,
            is_roomy: false,
            out: Vec::new(),
            written: 0,
            piece: Bytes::new(),
            upload: RequestBody::Ended,
            has_begun: false,
            flushed: true,
            framing: Framing::Ended,
            persists: true,
        }
    }

    /// Returns whether the connection may be used again, as far as is known. An upstream may close
    /// it at any time, and bytes that arrive between two exchanges belong to none of them.
    /// `watcher` is woken when either happens.
    pub(super) fn is_good(&mut self, now: Instant, watcher: &Waker) -> bool {
        self.persists
            && self.read.is_empty()
            && self.reuse_limit.holds(now)
            && self.is_silent(watcher)
    }

    /// Returns whether nothing has arrived, not even the end. The check runs outside the budget of
    /// tokio's cooperative scheduling, under which a task that has done much is told of any socket
    /// that it is not ready.
    fn is_silent(&mut self, watcher: &Waker) -> bool {
        let look = pin!(unconstrained(poll_fn(|cx| self.poll_read(cx, 1))));
        look.poll(&mut Context::from_waker(watcher)).is_pending()
    }

    /// Frees memory that most exchanges do not need.
    pub(super) fn shrink(&mut self) {
        // The remaining capacity does not tell its size: the parts that were split off share the
        // same memory.
        if std::mem::take(&mut self.is_roomy) {
            self.read = BytesMut::new();
        }
        self.read_size = LEAST_READ;
        self.out.shrink_to(LEAST_READ);
    }

    /// Frees the memory for the next part of the body. A part that was taken shares that memory,
    /// which is used again after the part was dropped; while a client reads nothing, it would be
    /// kept in vain.
    pub(super) fn release_buffer(&mut self) {
        // Bytes that are not parsed yet are copied, if they are few compared to the buffer.
        if self.is_roomy && self.read.len() <= MOST_READ / 2 {
            self.read = BytesMut::from(&*self.read);
            self.is_roomy = self.read.len() > LEAST_READ;
        }
    }

    /// Returns whether both messages of the exchange have ended, and another exchange may follow.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.upload, RequestBody::Ended)
            && self.has_left()
            && self.persists
            && self.framing.has_ended()
            && self.read.is_empty()
    }

    /// Returns whether a part of the request is still to be sent.
    pub(super) fn is_sending(&self) -> bool {
        matches!(self.upload, RequestBody::Unfinished(..)) || !self.has_left()
    }

    /// Returns whether the response has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.framing.has_ended()
    }

    /// Returns the number of bytes of the response that are still to come, if known.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.framing.size_hint()
    }

    /// Returns the connection after it has switched to another protocol, and the bytes that were
    /// read after the response head.
    pub(super) fn into_switched(self) -> (CountedStream, Bytes) {
        (self.stream, self.read.freeze())
    }

    /// Returns whether all output was written and flushed.
    fn has_left(&self) -> bool {
        self.flushed && !self.has_output()
    }

    fn has_output(&self) -> bool {
        self.written < self.out.len() || !self.piece.is_empty()
    }

    /// Reads what is available; returns 0 at the end of the connection.
    fn poll_read(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        self.read.reserve(room);
        self.is_roomy |= self.read.capacity() > LEAST_READ;
        pin!(self.stream.read_buf(&mut self.read)).poll(cx)
    }

    /// Returns the size of the next read. It grows for an upstream that fills what it is offered.
    fn next_read_size(&self) -> usize {
        match self.framing {
            Framing::Length(left) => usize::try_from(left)
                .unwrap_or(MOST_READ)
                .clamp(LEAST_READ, MOST_READ),
            _ => self.read_size,
        }
    }

    /// Writes the queued output. Ready when all of it was written.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.has_output() {
            let out = self.out.get(self.written..).unwrap_or_default();
            let slices = [IoSlice::new(out), IoSlice::new(&self.piece)];
            let stream = Pin::new(&mut self.stream);
            let count = match (out.is_empty(), self.piece.is_empty()) {
                (false, false) => ready!(stream.poll_write_vectored(cx, &slices))?,
                (false, true) => ready!(stream.poll_write(cx, out))?,
                (true, _) => ready!(stream.poll_write(cx, &self.piece))?,
            };
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.has_begun = true;
            self.flushed = false;
            let of_out = count.min(self.out.len() - self.written);
            self.written += of_out;
            self.piece.advance(count - of_out);
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.flushed {
            ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
            self.flushed = true;
        }
        Poll::Ready(Ok(()))
    }
}

impl<B> Http1<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Sends a request and waits for the head of its response.
    pub(super) async fn send(&mut self, request: &mut Outgoing<B>) -> Result<Response<()>, Failed> {
        if let Content::Replayable(kept) = &request.body {
            let kept = kept.clone();
            self.begin_again(request, &kept)?;
        } else {
            self.begin(request);
        }
        let (method, mut fields) = request.spend();
        let mut progress = HeadProgress::default();
        let head = poll_fn(|cx| self.poll_exchange(cx, method, &mut fields, &mut progress));
        let head = match head.await {
            Ok(head) => head,
            Err(fault) => return Err(self.failed(fault, &progress)),
        };
        self.framing = head.framing;
        let has_switched = head.response.status() == StatusCode::SWITCHING_PROTOCOLS;
        self.persists &= head.persists && !has_switched;
        Ok(head.response)
    }

    /// Returns the failure of an exchange without a response head.
    fn failed(&self, fault: Fault, progress: &HeadProgress) -> Failed {
        let has_received = progress.interim > 0 || !self.read.is_empty();
        Failed {
            is_unsent: !self.has_begun,
            is_unanswered: !has_received && matches!(fault, Fault::Closed(_)),
            refusal: None,
            fault,
        }
    }

    /// Queues the head of a request.
    #[inline]
    fn begin(&mut self, request: &mut Outgoing<B>) {
        let body = request.body.take().untouched();
        let Some(body) = body else {
            head::write(&request.head, &request.own, None, &mut self.out);
            self.has_begun = false;
            self.upload = RequestBody::Ended;
            return;
        };
        let coding = Coding::of(body.size_hint(), &request.head.headers);
        head::write(&request.head, &request.own, Some(&coding), &mut self.out);
        self.has_begun = true;
        self.upload = RequestBody::Unfinished(body, coding);
    }

    /// Queues the head of a request, and the part of its body that was already sent over HTTP/2.
    #[cold]
    fn begin_again(&mut self, request: &Outgoing<B>, kept: &ReplayBody<B>) -> Result<(), Failed> {
        let failed = Failed::sent(Fault::Request);
        let Some(body) = kept.take_back() else {
            return Err(failed);
        };
        let mut coding = Coding::of(body.hint, &request.head.headers);
        head::write(&request.head, &request.own, Some(&coding), &mut self.out);
        self.has_begun = true;
        let data = Some(Frame::data(body.bytes));
        let trailers = body.trailers.map(Frame::trailers);
        for frame in data.into_iter().chain(trailers) {
            let Some(piece) = coding.encode(frame, &mut self.out) else {
                return Err(failed);
            };
            self.out.extend_from_slice(&piece);
        }
        if !body.has_ended {
            self.upload = RequestBody::Unfinished(body.body, coding);
            return Ok(());
        }
        self.upload = RequestBody::Ended;
        if coding.finish(&mut self.out) {
            Ok(())
        } else {
            Err(failed)
        }
    }

    /// Sends as much of the request as possible, and polls the head of the response.
    fn poll_exchange(
        &mut self,
        cx: &mut Context<'_>,
        method: &Method,
        fields: &mut impl FnMut() -> HeaderMap,
        progress: &mut HeadProgress,
    ) -> Poll<Result<Head, Fault>> {
        let broken = match self.poll_upload(cx) {
            Poll::Ready(Err(UploadError::Body)) => return Poll::Ready(Err(Fault::Request)),
            Poll::Ready(Err(UploadError::Io(error))) => Some(error),
            Poll::Ready(Ok(())) | Poll::Pending => None,
        };
        let head = ready!(self.poll_head(cx, method, fields, progress));
        Poll::Ready(match (head, broken) {
            // A response that arrived before the connection failed takes precedence over the
            // failure.
            (Err(Fault::Closed(_)), Some(error)) => Err(Fault::Closed(StreamError::Io(error))),
            (head, _) => head,
        })
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        method: &Method,
        fields: &mut impl FnMut() -> HeaderMap,
        progress: &mut HeadProgress,
    ) -> Poll<Result<Head, Fault>> {
        loop {
            let scanned = &mut progress.scanned;
            if let Some(head) =
                head::take(&mut self.read, scanned, method, self.limits, &mut *fields)?
            {
                let status = head.response.status();
                if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(head));
                }
                progress.interim += 1;
                if progress.interim > MAX_INTERIM {
                    return Poll::Ready(Err(Malformed("too many interim responses").into()));
                }
                continue;
            }
            match ready!(self.poll_read(cx, LEAST_READ)) {
                Ok(0) => return Poll::Ready(Err(Fault::Closed(StreamError::Ended))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(Fault::Closed(StreamError::Io(error)))),
            }
        }
    }

    /// Polls the next frame of the response body, and sends what is left of the request.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        if self.is_sending() {
            let _ = self.poll_rest(cx);
        }
        self.poll_response(cx)
    }

    /// Sends the rest of the request. Ready when no more will be sent; the reason does not matter,
    /// since the response may still end well. After a failure the connection is not used again.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_upload(cx).map(|_| ())
    }

    /// Polls the next frame of the response body.
    pub(super) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        loop {
            match self.framing.next(&mut self.read) {
                Ok(Next::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Next::End) => return Poll::Ready(None),
                Ok(Next::More) => {}
                Err(Malformed(why)) => return self.fail(StreamError::Malformed(why)),
            }
            let size = self.next_read_size();
            match self.poll_read(cx, size) {
                // The upstream may wait for the rest of the request, which will not come, while the
                // gateway waits for the rest of the response.
                Poll::Pending if matches!(self.upload, RequestBody::Failed) => {
                    return self.fail(StreamError::Request);
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) if self.framing.close() => {}
                Poll::Ready(Ok(0)) => return self.fail(StreamError::Ended),
                Poll::Ready(Ok(count)) if count < size => self.read_size = LEAST_READ,
                Poll::Ready(Ok(_)) => self.read_size = MOST_READ.min(size * 2),
                Poll::Ready(Err(error)) => return self.fail(StreamError::Io(error)),
            }
        }
    }

    fn fail(&mut self, broken: StreamError) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.persists = false;
        Poll::Ready(Some(Err(broken)))
    }

    /// Sends as much of the request as has arrived and the upstream accepts. Ready when all of it
    /// was sent, or no more will be.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        let sent = ready!(self.poll_send(cx));
        if let Err(error) = &sent {
            self.abort_upload(error);
        }
        Poll::Ready(sent)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        let mut waits = false;
        loop {
            // The first part is written together with the head, if it is available.
            if !waits && self.piece.is_empty() {
                match self.poll_piece(cx) {
                    Poll::Ready(queued) => queued?,
                    Poll::Pending => waits = true,
                }
            }
            if self.has_output() {
                ready!(self.poll_write(cx))?;
                continue;
            }
            ready!(self.poll_flush(cx))?;
            match self.upload {
                RequestBody::Unfinished(..) if waits => return Poll::Pending,
                // The last part was empty: the body is polled again, since nothing would wake the
                // task.
                RequestBody::Unfinished(..) => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Queues the next part of the request body, if there is one.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        let RequestBody::Unfinished(body, coding) = &mut self.upload else {
            return Poll::Ready(Ok(()));
        };
        match ready!(Pin::new(body).poll_frame(cx)) {
            Some(Ok(frame)) => match coding.encode(frame, &mut self.out) {
                Some(piece) => self.piece = piece,
                None => return Poll::Ready(Err(UploadError::Body)),
            },
            None if coding.finish(&mut self.out) => self.upload = RequestBody::Ended,
            None | Some(Err(_)) => return Poll::Ready(Err(UploadError::Body)),
        }
        Poll::Ready(Ok(()))
    }

    fn abort_upload(&mut self, error: &UploadError) {
        self.upload = match error {
            UploadError::Body => RequestBody::Failed,
            UploadError::Io(_) => RequestBody::Interrupted,
        };
        self.persists = false;
        self.out.clear();
        self.written = 0;
        self.piece = Bytes::new();
        self.flushed = true;
    }
}

#[cfg(test)]
mod again_tests;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod hyper_tests;
#[cfg(test)]
pub(super) mod tests;
