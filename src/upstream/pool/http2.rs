//! An HTTP/2 connection, which carries many exchanges at a time (RFC 9113).

use std::cell::{Cell, RefCell};
use std::error::Error as StdError;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, HOST, UPGRADE};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, Uri, Version, uri};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{self, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout_at;

use super::super::exchange::{AddedFields, Failed, Outgoing, Refusal, origin_form};
use super::super::reuse_limit::ReuseLimit;
use super::super::{Fault, HeadLimits, Upstream};
use super::counted_stream::{CountedStream, Traffic};
use super::flood_guard::GuardedStream;
use super::hyper_order::{Gate, Tasks};
use super::upload::Upload;
use crate::clock;
use crate::net::Layered;

/// The most streams on one connection, even if the peer allows more: they share one window and the
/// packet losses of one TCP connection.
const MAX_STREAMS: usize = 256;

/// The receive window of a stream: the most bytes of one response that are buffered before the
/// client reads them.
const STREAM_WINDOW: u32 = 64 * 1024;

/// The receive window of a connection. It is larger than the windows of all its streams together,
/// so that clients that do not read their responses do not hold back the others. Half of it is also
/// the most that the h2 crate buffers in small frames, each of which it counts as 256 bytes; beyond
/// that it ends the connection.
const CONNECTION_WINDOW: u32 = 64 * 1024 * 1024;

/// The most bytes of one upload that are buffered before the peer has granted a window for them.
const SEND_BUFFER: usize = 64 * 1024;

/// The time that a connection without streams has for closing cleanly.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// The time after which a connection is not used any more, if exchanges on it were given up and
/// nothing at all was received: the peer may have gone without closing it. A PING is not used to
/// find out, since gRPC servers treat more than a few of them in five minutes as abuse, and close
/// the connection.
const SILENCE: Duration = Duration::from_secs(5);

/// The message for fields one of which has [an invalid name](has_misnamed).
pub(super) const MISNAMED: &str = "a field has an invalid name";

/// hyper's connection future, until it has ended.
type Driven<B> = Rc<RefCell<Option<Connection<TokioIo<Layered<GuardedStream>>, Upload<B>, Tasks>>>>;

/// A connection.
pub(super) struct Http2<B> {
    id: u64,
    upstream: Arc<Upstream>,
    sender: RefCell<SendRequest<Upload<B>>>,
    /// Returns the number of streams that the peer allows. It hides the type of hyper's connection,
    /// whose bounds on `B` every user of a pool would have to repeat.
    peer_limit: Box<dyn Fn() -> usize>,
    tasks: Tasks,
    traffic: Arc<Traffic>,
    streams: Cell<usize>,
    last_used: Cell<Instant>,
    /// Set when no new stream may be opened.
    is_spent: Cell<bool>,
    /// The start of the earliest stream that was given up since the last read, and the read counter
    /// at that time.
    silence: Cell<Option<(Instant, usize)>>,
    reuse_limit: ReuseLimit,
    /// Notified when a stream ends.
    freed: Rc<Notify>,
    _held: oneshot::Sender<()>,
}

/// A stream. Dropping it cancels what is still under way in either direction.
pub(super) struct Http2Stream<B> {
    connection: Rc<Http2<B>>,
    gate: Rc<Gate>,
    began: Instant,
    traffic: usize,
}

impl<B> Drop for Http2Stream<B> {
    fn drop(&mut self) {
        self.gate.close();
        let connection = &self.connection;
        let now = clock::monotonic();
        if connection.traffic.count() == self.traffic {
            connection.note_silence(self.began, self.traffic, now);
        }
        let left = connection.streams.get().saturating_sub(1);
        connection.streams.set(left);
        connection.last_used.set(now);
        connection.freed.notify_one();
        let limit = &connection.upstream.connection_limit;
        if left == 0 && limit.pending.get() > 0 {
            limit.wanted.notify_waiters();
        }
    }
}

impl<B> Http2<B> {
    /// Notes that a stream was given up and nothing was received since it began. The time counts
    /// over several streams, each of which may have waited for a short time only.
    fn note_silence(&self, began: Instant, traffic: usize, now: Instant) {
        let since = match self.silence.get() {
            Some((since, before)) if before == traffic => since.min(began),
            _ => began,
        };
        self.silence.set(Some((since, traffic)));
        if now.duration_since(since) > SILENCE {
            self.is_spent.set(true);
        }
    }
}

impl<B> Http2<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Begins HTTP/2, and waits for the peer's SETTINGS, which say how many streams it allows and
    /// prove that it speaks HTTP/2 at all. Returns `None` if they do not arrive before the
    /// deadline.
    pub(super) async fn begin(
        upstream: Arc<Upstream>,
        stream: CountedStream,
        freed: Rc<Notify>,
        reuse_limit: ReuseLimit,
        deadline: Instant,
    ) -> Result<Option<Rc<Self>>, Fault> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let traffic = Arc::new(Traffic::default());
        let tasks = Tasks::default();
        let max_head = u32::try_from(upstream.settings.response_head.bytes).unwrap_or(u32::MAX);
        let guarded = GuardedStream::new(stream, traffic.clone());
        let (sender, connection) = http2::Builder::new(tasks.clone())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(max_head)
            .max_send_buf_size(SEND_BUFFER)
            // No stream is opened before the SETTINGS have arrived.
            .initial_max_send_streams(0)
            .handshake(TokioIo::new(Layered(guarded)))
            .await
            .map_err(Fault::of_handshake)?;
        let connection = Rc::new(RefCell::new(Some(connection)));
        let (held, released) = oneshot::channel::<()>();
        let driver = drive(connection.clone(), tasks.clone(), traffic.clone(), released);
        tokio::task::spawn_local(driver);
        let this = Rc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            upstream,
            sender: RefCell::new(sender),
            peer_limit: Box::new(move || peer_limit(&connection)),
            tasks,
            traffic,
            streams: Cell::new(0),
            last_used: Cell::new(clock::monotonic()),
            is_spent: Cell::new(false),
            silence: Cell::new(None),
            reuse_limit,
            freed,
            _held: held,
        });
        let has_settings = timeout_at(deadline.into(), this.settings_arrive()).await;
        Ok(has_settings.unwrap_or(false).then_some(this))
    }

    /// Waits for the peer's SETTINGS. Returns false if the connection ends without them.
    async fn settings_arrive(&self) -> bool {
        while !self.is_closed() && self.limit() == 0 {
            self.traffic.more.notified().await;
        }
        !self.is_closed()
    }

    /// Returns a number that no other connection of this process has.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Returns the number of streams that may be open at a time.
    fn limit(&self) -> usize {
        (self.peer_limit)().min(MAX_STREAMS)
    }

    fn is_closed(&self) -> bool {
        self.sender.borrow().is_closed()
    }

    /// Returns whether streams may be opened on it, now or after others have ended.
    pub(super) fn is_good(&self, now: Instant) -> bool {
        !self.is_spent.get() && !self.is_closed() && self.reuse_limit.holds(now)
    }

    /// Returns the time since which it has no streams; `None` if it has some.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.streams.get() == 0).then(|| self.last_used.get())
    }

    /// Opens a stream, if the peer allows another.
    pub(super) fn open(self: &Rc<Self>) -> Option<Http2Stream<B>> {
        if self.streams.get() >= self.limit() {
            return None;
        }
        self.streams.set(self.streams.get() + 1);
        Some(Http2Stream {
            connection: self.clone(),
            gate: Rc::default(),
            began: clock::monotonic(),
            traffic: self.traffic.count(),
        })
    }
}

/// Returns the number of streams that the peer allows; 0 when the connection has ended.
fn peer_limit<B>(connection: &Driven<B>) -> usize
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    match &*connection.borrow() {
        Some(connection) => connection.current_max_send_streams(),
        None => 0,
    }
}

/// Drives a connection: polls hyper's request loop until it ends, waits until no pool and no stream
/// holds the connection, and then gives it a short time to close cleanly.
async fn drive<B>(
    connection: Driven<B>,
    tasks: Tasks,
    traffic: Arc<Traffic>,
    released: oneshot::Receiver<()>,
) where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    // An error of the connection shows in the exchanges on it; without an exchange it does not
    // matter.
    let _ = poll_fn(|cx| match &mut *connection.borrow_mut() {
        Some(connection) => Pin::new(connection).poll(cx),
        None => Poll::Ready(Ok(())),
    })
    .await;
    let ended = connection.take();
    drop(ended);
    traffic.more.notify_one();
    let _ = released.await;
    tokio::time::sleep(CLOSE_GRACE).await;
    tasks.abort();
}

impl<B> Http2Stream<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    pub(super) async fn send(
        &mut self,
        request: &mut Outgoing<B>,
        is_tls: bool,
    ) -> Result<Response<Incoming>, Failed> {
        let Http2 {
            sender,
            tasks,
            upstream,
            traffic,
            ..
        } = &*self.connection;
        let Some(head) = to_http2(&request.head, &request.own, is_tls) else {
            return Err(malformed(
                "the Host of the request is not a valid authority",
            ));
        };
        let kept = request.body.keep(upstream.settings.resend_bytes);
        let body = Upload::new(kept.clone(), tasks.clone(), self.gate.clone());
        let written = traffic.written();
        let response = sender
            .borrow_mut()
            .try_send_request(Request::from_parts(head, body));
        let response = match response.await {
            Ok(response) => response,
            Err(_) if kept.is_some_and(|kept| kept.has_failed()) => {
                return Err(Failed::sent(Fault::Request));
            }
            Err(error) => return Err(self.failed(error, traffic.written() == written)),
        };
        if let Some(kept) = kept {
            kept.release();
        }
        if has_misnamed(response.headers()) {
            return Err(malformed(MISNAMED));
        }
        if response.headers().len() > upstream.settings.response_head.fields {
            return Err(malformed(HeadLimits::TOO_MANY));
        }
        Ok(response)
    }

    /// Returns the failure of a stream without a response. `is_unwritten` tells that nothing was
    /// written on the connection since the stream was opened.
    fn failed(&self, mut error: TrySendError<Request<Upload<B>>>, is_unwritten: bool) -> Failed {
        let fault = match error.take_message() {
            Some(_) => Fault::Unprocessed(error.into_error()),
            None => Fault::of_stream(error.into_error()),
        };
        let is_unsent = is_unwritten || matches!(fault, Fault::Unprocessed(_));
        let is_ending = !fault.is_refused_stream();
        if is_unsent && is_ending {
            self.connection.is_spent.set(true);
        }
        let refusal = is_unsent.then(|| Refusal {
            connection: self.connection.id,
            is_ending,
        });
        Failed {
            fault,
            is_unsent,
            is_unanswered: true,
            refusal,
        }
    }
}

fn malformed(why: &str) -> Failed {
    Failed::sent(Fault::Protocol(why.into()))
}

/// Returns whether a field has a name that HTTP/1.1 cannot represent. The `http` crate allows a
/// quotation mark in names, which no field name may contain (RFC 9110 §5.1, RFC 9113 §8.2.1).
pub(super) fn has_misnamed(fields: &HeaderMap) -> bool {
    fields.keys().any(|name| name.as_str().contains('"'))
}

/// Converts a head to HTTP/2: the host becomes the authority (RFC 9113 §8.3.1), and the fields
/// about the connection are removed (§8.2.2). Returns `None` if the host is not a valid authority.
fn to_http2(head: &Parts, own: &AddedFields, is_tls: bool) -> Option<Parts> {
    let mut head = head.clone();
    let host = head.headers.remove(HOST)?;
    for name in [CONNECTION, UPGRADE] {
        head.headers.remove(name);
    }
    head.headers.extend(own.iter().cloned());
    let mut uri = uri::Parts::default();
    uri.scheme = Some(if is_tls { Scheme::HTTPS } else { Scheme::HTTP });
    uri.authority = Some(Authority::try_from(host.as_bytes()).ok()?);
    uri.path_and_query = Some(PathAndQuery::try_from(&*origin_form(&head.uri)).ok()?);
    head.uri = Uri::from_parts(uri).ok()?;
    head.version = Version::HTTP_2;
    Some(head)
}

#[cfg(test)]
#[path = "http2_tests.rs"]
mod tests;
