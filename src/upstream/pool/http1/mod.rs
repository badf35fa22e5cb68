//! A connection for one exchange at a time (RFC 9112).
//!
//! It has no task and no queue of its own: whoever waits for the response drives it, so that an
//! exchange costs a write, a read, and no wake-up between. The grammar is the `httparse` crate's;
//! framing and order are here.

mod coding;
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
use self::framing::{Framing, Malformed, Next};
use self::head::Head;
use super::super::dns::ReuseLimit;
use super::super::exchange::{Content, Failed, Outgoing};
use super::super::kept::Kept;
use super::super::{Broken, Fault, HeadLimits};
use super::counted_stream::CountedStream;

/// What is read at a time: at first, and at most.
const LEAST_READ: usize = 8 * 1024;
const MOST_READ: usize = 64 * 1024;

/// Interim responses before the final one. None is relayed, and more than a few are an attack.
const MAX_INTERIM: usize = 32;

/// A connection.
pub(super) struct Http1<B> {
    wire: CountedStream,
    limits: HeadLimits,
    /// For how long it is used again.
    term: ReuseLimit,
    /// What came and was not taken yet.
    read: BytesMut,
    read_size: usize,
    /// Whether the memory for that is more than an exchange needs that is like most.
    is_roomy: bool,
    /// What goes out: heads and the framing of pieces, then a piece.
    out: Vec<u8>,
    written: usize,
    piece: Bytes,
    upload: RequestBody<B>,
    /// Whether anything of the request was written.
    has_begun: bool,
    /// Whether everything that was written has left us.
    flushed: bool,
    framing: Framing,
    /// Whether another exchange may follow.
    persists: bool,
}

/// A request body on its way.
enum RequestBody<B> {
    Going(B, Coding),
    Ended,
    /// The upstream took no more of it.
    Cut,
    /// It failed on its way here.
    Failed,
}

/// Why a request did not go out whole.
enum UploadError {
    /// Its body failed on its way here.
    Body,
    CountedStream(io::Error),
}

impl<B> Http1<B> {
    pub(super) fn new(wire: CountedStream, term: ReuseLimit, limits: HeadLimits) -> Self {
        Self {
            wire,
            limits,
            term,
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

    /// Whether it may be used again, as far as is known. An upstream that closes says so at any
    /// time, and whatever else it says between two exchanges belongs to none. `watcher` is woken
    /// when it does.
    pub(super) fn is_good(&mut self, now: Instant, watcher: &Waker) -> bool {
        self.persists && self.read.is_empty() && self.term.holds(now) && self.is_silent(watcher)
    }

    /// Whether nothing has come, not even the end. A task that has done much in its turn is told so
    /// of any socket (tokio's budget), which is not what is asked here.
    fn is_silent(&mut self, watcher: &Waker) -> bool {
        let look = pin!(unconstrained(poll_fn(|cx| self.poll_read(cx, 1))));
        look.poll(&mut Context::from_waker(watcher)).is_pending()
    }

    /// Keeps no more memory than an exchange needs that is like most.
    pub(super) fn shrink(&mut self) {
        // What is left of the capacity does not tell: what was split off belongs to the same
        // memory.
        if std::mem::take(&mut self.is_roomy) {
            self.read = BytesMut::new();
        }
        self.read_size = LEAST_READ;
        self.out.shrink_to(LEAST_READ);
    }

    /// Gives back the memory that the next piece would be read into. A piece that was taken shares
    /// it, and it is read into again when that piece is gone; while a client takes nothing it would
    /// be kept for that alone.
    pub(super) fn release_buffer(&mut self) {
        // What is left to parse is copied if it is little beside the memory it is in.
        if self.is_roomy && self.read.len() <= MOST_READ / 2 {
            self.read = BytesMut::from(&*self.read);
            self.is_roomy = self.read.len() > LEAST_READ;
        }
    }

    /// Whether both messages of the exchange have ended, and another may follow.
    pub(super) fn is_over(&self) -> bool {
        let is_sent = matches!(self.upload, RequestBody::Ended) && self.has_left();
        is_sent && self.persists && self.framing.has_ended() && self.read.is_empty()
    }

    /// Whether something of the request is still to go out.
    pub(super) fn is_sending(&self) -> bool {
        matches!(self.upload, RequestBody::Going(..)) || !self.has_left()
    }

    /// Whether nothing of the response is still to come.
    pub(super) fn has_ended(&self) -> bool {
        self.framing.has_ended()
    }

    /// How much of the response is still to come.
    pub(super) fn size_hint(&self) -> SizeHint {
        self.framing.size_hint()
    }

    /// The connection of an exchange that switched, and what came on it behind the head.
    pub(super) fn into_switched(self) -> (CountedStream, Bytes) {
        (self.wire, self.read.freeze())
    }

    /// Whether nothing waits here that was to go out.
    fn has_left(&self) -> bool {
        self.flushed && !self.has_output()
    }

    fn has_output(&self) -> bool {
        self.written < self.out.len() || !self.piece.is_empty()
    }

    /// Reads what there is; zero bytes at the end of the connection.
    fn poll_read(&mut self, cx: &mut Context<'_>, room: usize) -> Poll<io::Result<usize>> {
        self.read.reserve(room);
        self.is_roomy |= self.read.capacity() > LEAST_READ;
        pin!(self.wire.read_buf(&mut self.read)).poll(cx)
    }

    /// Room for a piece of the body. Who fills what is offered is offered more.
    fn acquire(&self) -> usize {
        match self.framing {
            Framing::Length(left) => usize::try_from(left)
                .unwrap_or(MOST_READ)
                .clamp(LEAST_READ, MOST_READ),
            _ => self.read_size,
        }
    }

    /// Writes what is queued; whether all of it could be.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.has_output() {
            let out = self.out.get(self.written..).unwrap_or_default();
            let slices = [IoSlice::new(out), IoSlice::new(&self.piece)];
            let wire = Pin::new(&mut self.wire);
            let count = match (out.is_empty(), self.piece.is_empty()) {
                (false, false) => ready!(wire.poll_write_vectored(cx, &slices))?,
                (false, true) => ready!(wire.poll_write(cx, out))?,
                (true, _) => ready!(wire.poll_write(cx, &self.piece))?,
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
            ready!(Pin::new(&mut self.wire).poll_flush(cx))?;
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
        if let Content::Kept(kept) = &request.body {
            let kept = kept.clone();
            self.begin_again(request, &kept)?;
        } else {
            self.begin(request);
        }
        let (method, mut fields) = request.spend();
        let (mut scanned, mut interim) = (0, 0);
        let result = poll_fn(|cx| {
            let broken = match self.poll_upload(cx) {
                Poll::Ready(Err(UploadError::Body)) => return Poll::Ready(Err(Fault::Request)),
                Poll::Ready(Err(UploadError::CountedStream(error))) => Some(error),
                Poll::Ready(Ok(())) | Poll::Pending => None,
            };
            self.poll_head(cx, method, &mut fields, &mut scanned, &mut interim)
                .map(|head| {
                    match (head, broken) {
                        // What it said before it closed says more than that it closed.
                        (Err(Fault::Closed(_)), Some(error)) => {
                            Err(Fault::Closed(Broken::Io(error)))
                        }
                        (head, _) => head,
                    }
                })
        });
        let Head {
            response,
            framing,
            persists,
        } = match result.await {
            Ok(head) => head,
            Err(fault) => {
                let is_unanswered =
                    interim == 0 && self.read.is_empty() && matches!(fault, Fault::Closed(_));
                return Err(Failed {
                    fault,
                    is_unsent: !self.has_begun,
                    is_unanswered,
                    refusal: None,
                });
            }
        };
        self.framing = framing;
        self.persists &= persists && response.status() != StatusCode::SWITCHING_PROTOCOLS;
        Ok(response)
    }

    /// Queues the head of a request.
    #[inline]
    fn begin(&mut self, request: &mut Outgoing<B>) {
        let body = request.body.take().untouched();
        let coding = body
            .as_ref()
            .map(|body| Coding::of(body.size_hint(), &request.head.headers));
        head::write(&request.head, &request.own, coding.as_ref(), &mut self.out);
        self.has_begun = body.is_some();
        self.upload = body
            .zip(coding)
            .map_or(RequestBody::Ended, |(body, coding)| {
                RequestBody::Going(body, coding)
            });
    }

    /// Queues the head of a request and what was sent of its body elsewhere.
    #[cold]
    fn begin_again(&mut self, request: &Outgoing<B>, kept: &Kept<B>) -> Result<(), Failed> {
        let cut = || Failed::sent(Fault::Request);
        let body = kept.take_back().ok_or_else(cut)?;
        let mut coding = Coding::of(body.hint, &request.head.headers);
        head::write(&request.head, &request.own, Some(&coding), &mut self.out);
        self.has_begun = true;
        let frames = [
            Some(Frame::data(body.bytes)),
            body.trailers.map(Frame::trailers),
        ];
        for frame in frames.into_iter().flatten() {
            let piece = coding.encode(frame, &mut self.out).ok_or_else(cut)?;
            self.out.extend_from_slice(&piece);
        }
        let is_whole = !body.has_ended || coding.finish(&mut self.out);
        self.upload = if body.has_ended {
            RequestBody::Ended
        } else {
            RequestBody::Going(body.body, coding)
        };
        if is_whole { Ok(()) } else { Err(cut()) }
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        method: &Method,
        fields: &mut impl FnMut() -> HeaderMap,
        scanned: &mut usize,
        interim: &mut usize,
    ) -> Poll<Result<Head, Fault>> {
        let malformed = |Malformed(why)| Fault::Protocol(why.into());
        loop {
            while let Some(head) =
                head::take(&mut self.read, scanned, method, self.limits, &mut *fields)
                    .map_err(malformed)?
            {
                let status = head.response.status();
                if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(head));
                }
                *interim += 1;
                if *interim > MAX_INTERIM {
                    return Poll::Ready(Err(malformed(Malformed("interim responses without end"))));
                }
            }
            match ready!(self.poll_read(cx, LEAST_READ)) {
                Ok(0) => return Poll::Ready(Err(Fault::Closed(Broken::Ended))),
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(Fault::Closed(Broken::Io(error)))),
            }
        }
    }

    /// The next of the response body, and what is left of the request's.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.is_sending() {
            let _ = self.poll_rest(cx);
        }
        self.poll_response(cx)
    }

    /// Sends the rest of the request. Ready when nothing more will go: the response may end well
    /// all the same; then its connection is not used again.
    pub(super) fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_upload(cx).map(|_| ())
    }

    /// The next of the response body.
    pub(super) fn poll_response(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        loop {
            match self.framing.next(&mut self.read) {
                Ok(Next::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Next::End) => return Poll::Ready(None),
                Ok(Next::More) => {}
                Err(Malformed(why)) => return self.fail(Broken::Malformed(why)),
            }
            let room = self.acquire();
            let Poll::Ready(read) = self.poll_read(cx, room) else {
                // The upstream may wait for the rest of the request as long as we for the rest of
                // the response.
                return if matches!(self.upload, RequestBody::Failed) {
                    self.fail(Broken::Request)
                } else {
                    Poll::Pending
                };
            };
            match read {
                Ok(0) if self.framing.close() => {}
                Ok(0) => return self.fail(Broken::Ended),
                Ok(count) => {
                    self.read_size = if count < room {
                        LEAST_READ
                    } else {
                        MOST_READ.min(room * 2)
                    }
                }
                Err(error) => return self.fail(Broken::Io(error)),
            }
        }
    }

    fn fail(&mut self, broken: Broken) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.persists = false;
        Poll::Ready(Some(Err(broken)))
    }

    /// Sends the request as far as it has come and the upstream takes it. Ready when all of it has
    /// gone.
    fn poll_upload(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), UploadError>> {
        let mut waits = false;
        loop {
            // The first piece goes with the head, if it is there.
            if !waits
                && self.piece.is_empty()
                && let RequestBody::Going(body, coding) = &mut self.upload
            {
                match Pin::new(body).poll_frame(cx) {
                    Poll::Pending => waits = true,
                    Poll::Ready(Some(Ok(frame))) => match coding.encode(frame, &mut self.out) {
                        Some(piece) => self.piece = piece,
                        None => return self.cut(UploadError::Body),
                    },
                    Poll::Ready(None) if coding.finish(&mut self.out) => {
                        self.upload = RequestBody::Ended;
                    }
                    Poll::Ready(None | Some(Err(_))) => return self.cut(UploadError::Body),
                }
            }
            if self.has_output() {
                if let Err(error) = ready!(self.poll_write(cx)) {
                    return self.cut(UploadError::CountedStream(error));
                }
                continue;
            }
            if let Err(error) = ready!(self.poll_flush(cx)) {
                return self.cut(UploadError::CountedStream(error));
            }
            match self.upload {
                RequestBody::Going(..) if waits => return Poll::Pending,
                // The last piece was empty: whoever returns now is not woken.
                RequestBody::Going(..) => {}
                _ => return Poll::Ready(Ok(())),
            }
        }
    }

    fn cut(&mut self, error: UploadError) -> Poll<Result<(), UploadError>> {
        self.upload = match error {
            UploadError::Body => RequestBody::Failed,
            UploadError::CountedStream(_) => RequestBody::Cut,
        };
        self.persists = false;
        self.out.clear();
        self.written = 0;
        self.piece = Bytes::new();
        self.flushed = true;
        Poll::Ready(Err(error))
    }
}

#[cfg(test)]
mod again_tests;
#[cfg(test)]
mod hyper_tests;
#[cfg(test)]
pub(super) mod tests;
