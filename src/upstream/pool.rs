//! One worker's connections to one endpoint of an upstream. Nothing here is shared with another worker.

use std::cell::RefCell;
use std::error::Error as StdError;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use super::{Endpoint, Fault, Upstream};
use crate::clock;
use crate::net::{dial_addresses, resolve};

/// Bytes of an upstream connection's buffer, and so of a response head. It also bounds how long an upstream that sends
/// 1xx without end keeps a worker to itself: tokio makes a task yield by the number of its reads, not by their size.
const BUFFER: usize = 64 * 1024;

/// A worker's connections to one endpoint, for requests with bodies of type `B`.
pub(super) struct Pool<B> {
    upstream: Arc<Upstream>,
    endpoint: Arc<Endpoint>,
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

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// An empty pool.
    pub(super) fn new(upstream: Arc<Upstream>, endpoint: Arc<Endpoint>) -> Rc<Self> {
        Rc::new(Self { upstream, endpoint, idle: RefCell::default() })
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// A connection that was idle may have been closed by the upstream at this very moment. What it has not begun to
    /// send goes over another connection; what may have arrived does so only if `again` gives it a second time, which
    /// is for requests that are safe to repeat (RFC 9110 §9.2.2, checklist U02 and U03).
    ///
    /// # Errors
    /// [`Fault`]
    pub(super) async fn exchange(
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
        let url = &self.endpoint.url;
        let addresses = match url.socket() {
            Some(_) => Vec::new(),
            None => resolve(url.host_name(), url.port()).await.map_err(Fault::of_dial)?,
        };
        let dialled = dial_addresses(url, &addresses, tls, settings.patience).await;
        let stream = dialled.map_err(Fault::of_dial)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(Fault::of_exchange)?;
        metrics.opened.inc();
        let open = Open::new(self.upstream.clone());
        let (held, released) = oneshot::channel();
        // A connection that switches is handed to whoever asked for it, and this task is over.
        let connection = connection.with_upgrades();
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
    pub(super) fn sweep(&self) {
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
