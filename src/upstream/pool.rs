//! One worker's connections to one upstream. Nothing here is shared with another worker.

use std::cell::{Cell, RefCell};
use std::error::Error as StdError;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tokio::time::timeout_at;

use super::{Fault, Upstream};
use crate::clock;
use crate::net::dial;

/// Bytes of an upstream connection's buffer, and so of a response head. It also bounds how long an upstream that sends
/// 1xx without end keeps a worker to itself: tokio makes a task yield by the number of its reads, not by their size.
const BUFFER: usize = 64 * 1024;

/// A worker's connections to one upstream, for requests with bodies of type `B`.
pub struct Pool<B> {
    upstream: Arc<Upstream>,
    /// The last used is used next, so that the others can grow old and be closed.
    idle: RefCell<Vec<Idle<B>>>,
}

struct Idle<B> {
    connection: Connection<B>,
    since: Instant,
}

/// A connection, which closes when this is dropped. Left to itself it would first send what is left of an upload, and an
/// upstream that takes nothing would keep it, and the client's body with it, for ever.
struct Connection<B> {
    sender: SendRequest<B>,
    _held: oneshot::Sender<()>,
}

/// A connection on which a response is being read. It goes back to the pool when told that the exchange is over; when
/// it is dropped instead it closes, since what is left on it belongs to nobody.
pub struct Lease<B> {
    connection: Connection<B>,
    pool: Rc<Pool<B>>,
}

impl<B> Lease<B> {
    /// Both messages of the exchange have ended: the connection is fit for another.
    pub fn release(self) {
        let Self { connection, pool } = self;
        let settings = &pool.upstream.settings;
        let mut idle = pool.idle.borrow_mut();
        if !connection.sender.is_closed() && idle.len() < settings.max_idle {
            idle.push(Idle { connection, since: clock::monotonic() });
        }
    }
}

/// How far a request with a body has got; shared between the body and who waits for the response.
#[derive(Clone, Debug, Default)]
pub struct Sent(Rc<Cell<Progress>>);

/// Whose turn it is in an upload.
#[derive(Clone, Copy, Debug, Default)]
enum Progress {
    /// The next piece has not come: its lateness is its body's to notice.
    #[default]
    Awaited,
    /// A piece was handed over at this time, and the upstream has not asked for another.
    Taken(Instant),
    /// The last one was.
    Ended(Instant),
}

impl Sent {
    /// Notes that the next piece is waited for.
    pub fn awaited(&self) {
        self.0.set(Progress::Awaited);
    }

    /// Notes that a piece was handed over.
    pub fn taken(&self) {
        self.0.set(Progress::Taken(clock::monotonic()));
    }

    /// Notes that the last piece was.
    pub fn ended(&self) {
        self.0.set(Progress::Ended(clock::monotonic()));
    }

    /// Whether the last piece was handed over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.0.get(), Progress::Ended(_))
    }
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// An empty pool.
    #[must_use]
    pub fn new(upstream: Arc<Upstream>) -> Rc<Self> {
        Rc::new(Self { upstream, idle: RefCell::default() })
    }

    /// The upstream it is for.
    #[must_use]
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstream
    }

    /// Sends a request and waits for the head of its response: at most `limit` from when the request had left, or from
    /// when the upstream last took a piece of it, which `sent` tells for one that has a body; and never beyond `until`.
    ///
    /// A connection that was idle may have been closed by the upstream at this very moment. What it has not begun to
    /// send goes over another connection; what may have arrived does so only if `again` gives it a second time, which
    /// is for requests that are safe to repeat (RFC 9110 §9.2.2, checklist U02 and U03).
    ///
    /// # Errors
    /// [`Fault`]
    pub async fn send(
        self: &Rc<Self>,
        request: Request<B>,
        again: impl FnOnce() -> Option<Request<B>>,
        (limit, until): (Duration, Option<Instant>),
        sent: Option<&Sent>,
    ) -> Result<(Response<Incoming>, Lease<B>), Fault> {
        let mut exchange = pin!(self.exchange(request, again));
        let capped = |deadline: Instant| until.map_or(deadline, |until| until.min(deadline));
        let mut deadline = capped(clock::monotonic() + limit);
        let result = loop {
            if let Ok(result) = timeout_at(deadline.into(), &mut exchange).await {
                break result;
            }
            let now = clock::monotonic();
            if until.is_some_and(|until| until <= now) {
                break Err(Fault::ResponseTimeout(limit));
            }
            // An upload may take longer than an answer, but not an upstream that takes nothing of it.
            deadline = capped(match sent.map(|sent| sent.0.get()) {
                Some(Progress::Awaited) => now + limit,
                Some(Progress::Taken(at) | Progress::Ended(at)) if at + limit > now => at + limit,
                _ => break Err(Fault::ResponseTimeout(limit)),
            });
        };
        // A body that failed on its way here is not the upstream's fault.
        if let Err(fault) = &result
            && !fault.is_of_the_request()
        {
            self.upstream.metrics.faults.increment(fault.index());
        }
        result
    }

    async fn exchange(
        self: &Rc<Self>,
        mut request: Request<B>,
        again: impl FnOnce() -> Option<Request<B>>,
    ) -> Result<(Response<Incoming>, Lease<B>), Fault> {
        if let Some(mut connection) = self.take().await {
            self.upstream.metrics.reused.inc();
            match connection.sender.try_send_request(request).await {
                Ok(response) => return Ok((response, self.lease(connection))),
                Err(mut error) => match error.take_message().or_else(again) {
                    Some(unsent) => request = unsent,
                    None => return Err(Fault::of_exchange(error.into_error())),
                },
            }
        }
        let mut connection = self.connect().await?;
        match connection.sender.send_request(request).await {
            Ok(response) => Ok((response, self.lease(connection))),
            Err(error) => Err(Fault::of_exchange(error)),
        }
    }

    fn lease(self: &Rc<Self>, connection: Connection<B>) -> Lease<B> {
        Lease { connection, pool: self.clone() }
    }

    /// An idle connection that is still good.
    async fn take(&self) -> Option<Connection<B>> {
        loop {
            let Idle { mut connection, since } = self.idle.borrow_mut().pop()?;
            if clock::monotonic().duration_since(since) > self.upstream.settings.idle_timeout {
                continue;
            }
            let sender = &mut connection.sender;
            if sender.is_ready() || (!sender.is_closed() && sender.ready().await.is_ok()) {
                return Some(connection);
            }
        }
    }

    async fn connect(&self) -> Result<Connection<B>, Fault> {
        let Upstream { settings, tls, metrics, .. } = &*self.upstream;
        let stream = dial(&settings.url, tls, settings.connect_timeout).await.map_err(Fault::of_dial)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(Fault::of_exchange)?;
        metrics.opened.inc();
        let open = Open::new(self.upstream.clone());
        let (held, released) = oneshot::channel();
        tokio::task::spawn_local(async move {
            // How it ended shows in the exchange that it ended, or concerns nobody.
            tokio::select! {
                biased;
                _ = connection => {}
                _ = released => {}
            }
            drop(open);
        });
        Ok(Connection { sender, _held: held })
    }

    /// Closes connections that nobody has used for long. The oldest are at the bottom.
    pub fn sweep(&self) {
        let now = clock::monotonic();
        let limit = self.upstream.settings.idle_timeout;
        self.idle
            .borrow_mut()
            .retain(|idle| !idle.connection.sender.is_closed() && now.duration_since(idle.since) <= limit);
    }
}

/// Whether a request of this method may be sent twice when nobody knows whether it arrived (RFC 9110 §9.2.2).
#[must_use]
pub fn is_idempotent(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE)
}

/// Counts a connection while it is open.
struct Open(Arc<Upstream>);

impl Open {
    fn new(upstream: Arc<Upstream>) -> Self {
        upstream.metrics.open.inc();
        Self(upstream)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.metrics.open.dec();
    }
}
