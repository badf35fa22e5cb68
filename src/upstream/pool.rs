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
use tokio::time::timeout_at;

use super::{Fault, Upstream};
use crate::clock;
use crate::net::dial;

/// A worker's connections to one upstream, for requests with bodies of type `B`.
pub struct Pool<B> {
    upstream: Arc<Upstream>,
    /// The last used is used next, so that the others can grow old and be closed.
    idle: RefCell<Vec<Idle<B>>>,
}

struct Idle<B> {
    sender: SendRequest<B>,
    since: Instant,
}

/// A connection on which a response is being read. It goes back to the pool when told that the exchange is over; when
/// it is dropped instead it closes, since what is left on it belongs to nobody.
pub struct Lease<B> {
    sender: SendRequest<B>,
    pool: Rc<Pool<B>>,
}

impl<B> Lease<B> {
    /// Both messages of the exchange have ended: the connection is fit for another.
    pub fn release(self) {
        let Self { sender, pool } = self;
        let settings = &pool.upstream.settings;
        let mut idle = pool.idle.borrow_mut();
        if !sender.is_closed() && idle.len() < settings.max_idle {
            idle.push(Idle { sender, since: clock::monotonic() });
        }
    }
}

/// When the last byte of a request with a body left; shared between the body and who waits for the response.
#[derive(Clone, Debug, Default)]
pub struct Sent(Rc<Cell<Option<Instant>>>);

impl Sent {
    /// Notes that the last byte was handed over.
    pub fn set(&self) {
        self.0.set(Some(clock::monotonic()));
    }

    /// When it was.
    #[must_use]
    pub fn at(&self) -> Option<Instant> {
        self.0.get()
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

    /// Sends a request and waits for the head of its response: at most `limit` from when the request had left, which
    /// `sent` tells for one that has a body.
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
        limit: Duration,
        sent: Option<&Sent>,
    ) -> Result<(Response<Incoming>, Lease<B>), Fault> {
        let mut exchange = pin!(self.exchange(request, again));
        let mut deadline = clock::monotonic() + limit;
        let result = loop {
            if let Ok(result) = timeout_at(deadline.into(), &mut exchange).await {
                break result;
            }
            // An upload may take longer than an answer; its own stalls are its body's to notice.
            deadline = match sent.map(Sent::at) {
                Some(None) => clock::monotonic() + limit,
                Some(Some(at)) if at + limit > clock::monotonic() => at + limit,
                _ => break Err(Fault::ResponseTimeout(limit)),
            };
        };
        if let Err(fault) = &result {
            self.upstream.metrics.faults.increment(fault.index());
        }
        result
    }

    async fn exchange(
        self: &Rc<Self>,
        mut request: Request<B>,
        again: impl FnOnce() -> Option<Request<B>>,
    ) -> Result<(Response<Incoming>, Lease<B>), Fault> {
        if let Some(mut sender) = self.take().await {
            self.upstream.metrics.reused.inc();
            match sender.try_send_request(request).await {
                Ok(response) => return Ok((response, self.lease(sender))),
                Err(mut error) => match error.take_message().or_else(again) {
                    Some(unsent) => request = unsent,
                    None => return Err(Fault::of_exchange(error.into_error())),
                },
            }
        }
        let mut sender = self.connect().await?;
        match sender.send_request(request).await {
            Ok(response) => Ok((response, self.lease(sender))),
            Err(error) => Err(Fault::of_exchange(error)),
        }
    }

    fn lease(self: &Rc<Self>, sender: SendRequest<B>) -> Lease<B> {
        Lease { sender, pool: self.clone() }
    }

    /// An idle connection that is still good.
    async fn take(&self) -> Option<SendRequest<B>> {
        loop {
            let Idle { mut sender, since } = self.idle.borrow_mut().pop()?;
            if clock::monotonic().duration_since(since) > self.upstream.settings.idle_timeout {
                continue;
            }
            if sender.is_ready() || (!sender.is_closed() && sender.ready().await.is_ok()) {
                return Some(sender);
            }
        }
    }

    async fn connect(&self) -> Result<SendRequest<B>, Fault> {
        let Upstream { settings, tls, metrics, .. } = &*self.upstream;
        let stream = dial(&settings.url, tls, settings.connect_timeout).await.map_err(Fault::of_dial)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(Fault::of_exchange)?;
        metrics.opened.inc();
        let open = Open::new(self.upstream.clone());
        tokio::task::spawn_local(async move {
            // How it ended shows in the exchange that it ended, or concerns nobody.
            let _ = connection.await;
            drop(open);
        });
        Ok(sender)
    }

    /// Closes connections that nobody has used for long. The oldest are at the bottom.
    pub fn sweep(&self) {
        let now = clock::monotonic();
        let limit = self.upstream.settings.idle_timeout;
        self.idle
            .borrow_mut()
            .retain(|idle| !idle.sender.is_closed() && now.duration_since(idle.since) <= limit);
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
