//! One worker's connections to one endpoint of an upstream. Workers share only the connection limit
//! and the state of the endpoint.

mod acquire;
mod counted_stream;
mod download;
mod flood_guard;
mod http1;
mod http2;
mod sending;
mod upload;

use std::cell::{Cell, RefCell};
use std::error::Error as StdError;
use std::hash::{BuildHasher as _, RandomState};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Response;
use http_body::Body;
use tokio::sync::{Mutex, Notify, oneshot};
use tokio::time::timeout_at;

use self::acquire::Acquired;
use self::counted_stream::{CountedStream, OpenConnection};
pub(super) use self::download::Download;
pub use self::download::Switched;
use self::http1::Http1;
use self::http2::{Http2, Http2Stream};
use super::dns::ReuseLimit;
use super::exchange::{Failed, Outgoing};
use super::{Endpoint, Fault, Protocol, Upstream};
use crate::clock;
use crate::net::{self, DialError, Stage};

/// A worker's connections to one endpoint, for requests with bodies of type `B`.
pub(super) struct Pool<B> {
    upstream: Arc<Upstream>,
    endpoint: Arc<Endpoint>,
    /// The unused HTTP/1.1 connections. The last used is used next, so that the others grow old and
    /// are closed.
    idle: RefCell<Vec<Idle<B>>>,
    /// The HTTP/2 connections, which carry many exchanges at a time.
    multiplexed: RefCell<Vec<Rc<Http2<B>>>>,
    /// Set if a new connection is expected to use HTTP/2: then one is dialled at a time, and
    /// requests that wait meanwhile try to use it.
    expects_http2: Cell<bool>,
    dialling: Mutex<()>,
    /// The number of connections that were dialled, by which the addresses of a name take turns.
    dials: Cell<usize>,
    /// Set when the configuration of the pool is no longer in force: then no connection is kept.
    is_retired: Cell<bool>,
    /// The requests of this pool that wait for a connection.
    waiting: Cell<usize>,
    freed: Rc<Notify>,
    /// Present while a task watches the idle connections; dropping it ends the task.
    watch: RefCell<Option<oneshot::Sender<()>>>,
    /// Woken by events on an idle connection.
    watcher: RefCell<Waker>,
}

struct Idle<B> {
    connection: Box<Http1<B>>,
    since: Instant,
}

/// The connection or stream of an exchange.
enum Carrier<B> {
    Connection(Box<Http1<B>>),
    Http2Stream(Http2Stream<B>),
}

impl<B> Pool<B> {
    /// Keeps a connection for another exchange, unless it cannot be used again or is not needed.
    fn keep(&self, mut connection: Box<Http1<B>>) {
        let now = clock::monotonic();
        let mut idle = self.idle.borrow_mut();
        let is_kept = !self.is_retired.get() && idle.len() < self.upstream.settings.max_idle;
        if !is_kept || !connection.is_good(now, &self.watcher()) || self.is_wanted_elsewhere() {
            return;
        }
        connection.shrink();
        idle.push(Idle {
            connection,
            since: now,
        });
        if self.waiting.get() > 0 {
            self.freed.notify_one();
        }
    }
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Returns the endpoint.
    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Creates a pool without connections.
    pub(super) fn new(upstream: Arc<Upstream>, endpoint: Arc<Endpoint>) -> Rc<Self> {
        let expects_http2 = match upstream.settings.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => endpoint.url.is_tls(),
        };
        Rc::new(Self {
            upstream,
            endpoint,
            idle: RefCell::default(),
            multiplexed: RefCell::default(),
            expects_http2: Cell::new(expects_http2),
            dialling: Mutex::default(),
            dials: Cell::new(0),
            is_retired: Cell::new(false),
            waiting: Cell::new(0),
            freed: Rc::default(),
            watch: RefCell::default(),
            watcher: RefCell::new(Waker::noop().clone()),
        })
    }

    /// Sends a request and waits for the head of its response.
    ///
    /// The upstream may have closed an open connection at this very moment. A request that may be
    /// sent again is then sent on another connection; if possible, on none that has refused it.
    ///
    /// # Errors
    /// [`Failed`]
    pub(super) async fn exchange(
        self: &Rc<Self>,
        request: &mut Outgoing<B>,
    ) -> Result<Response<Download<B>>, Failed> {
        if let Some(avoided) = request.avoids()
            && let Some(carrier) = self.take(request.departed, avoided)
        {
            self.upstream.metrics.reused.inc();
            match self.send(carrier, request).await {
                // A connection that refused the request was not closed. The caller decides on which
                // endpoint the request is tried next.
                Err(failed) if failed.refusal.is_none() && request.may_go_again(&failed) => {}
                result => return result,
            }
        }
        // Boxed: the state of this seldom polled future would make that of every request five times
        // as large.
        match Box::pin(self.connect(request.avoids())).await {
            Ok(carrier) => self.send(carrier, request).await,
            Err(fault) => Err(Failed::unsent(fault)),
        }
    }

    async fn send(
        self: &Rc<Self>,
        carrier: Carrier<B>,
        request: &mut Outgoing<B>,
    ) -> Result<Response<Download<B>>, Failed> {
        match carrier {
            Carrier::Connection(mut connection) => {
                let response = connection.send(request).await?;
                Ok(response.map(|()| Download::connection(connection, self.clone())))
            }
            Carrier::Http2Stream(mut stream) => {
                let response = stream.send(request, self.endpoint.url.is_tls()).await?;
                Ok(response.map(|incoming| Download::stream(incoming, stream)))
            }
        }
    }

    /// Takes an open connection or a stream that is usable and not to be avoided.
    fn take(&self, now: Instant, avoided: &[u64]) -> Option<Carrier<B>> {
        if let Some(stream) = self.take_stream(avoided) {
            return Some(Carrier::Http2Stream(stream));
        }
        let settings = &self.upstream.settings;
        loop {
            let Idle {
                mut connection,
                since,
            } = self.idle.borrow_mut().pop()?;
            if now.duration_since(since) <= settings.idle_timeout
                && connection.is_good(now, Waker::noop())
            {
                return Some(Carrier::Connection(connection));
            }
        }
    }

    fn take_stream(&self, avoided: &[u64]) -> Option<Http2Stream<B>> {
        let mut multiplexed = self.multiplexed.borrow_mut();
        if multiplexed.is_empty() {
            return None;
        }
        let now = clock::monotonic();
        // A connection that is removed here stays open until its streams have ended.
        multiplexed.retain(|connection| connection.is_good(now));
        for connection in &*multiplexed {
            if avoided.contains(&connection.id()) {
                continue;
            }
            if let Some(stream) = connection.open() {
                return Some(stream);
            }
        }
        None
    }

    /// Opens a connection, one at a time if it is expected to use HTTP/2; requests that wait for it
    /// meanwhile then try to use it.
    async fn connect(self: &Rc<Self>, avoided: Option<&[u64]>) -> Result<Carrier<B>, Fault> {
        if !self.expects_http2.get() {
            return self.dial().await;
        }
        let timeouts = self.upstream.settings.dial_timeouts;
        let deadline = clock::monotonic() + timeouts.connect + timeouts.handshake;
        let Ok(_turn) = timeout_at(deadline.into(), self.dialling.lock()).await else {
            return Err(self.timed_out(Stage::Waiting));
        };
        if let Some(avoided) = avoided
            && let Some(stream) = self.take_stream(avoided)
        {
            return Ok(Carrier::Http2Stream(stream));
        }
        self.dial().await
    }

    /// Waits for a permit, and opens a connection.
    async fn dial(self: &Rc<Self>) -> Result<Carrier<B>, Fault> {
        let permit = match self.acquire().await? {
            Acquired::New(permit) => permit,
            Acquired::Freed(carrier) => return Ok(carrier),
        };
        let Upstream { settings, tls, .. } = &*self.upstream;
        let url = &self.endpoint.url;
        let addresses = self.addresses().await?;
        let stream = net::dial_addresses(url, &addresses, tls, settings.dial_timeouts)
            .await
            .map_err(Fault::of_dial)?;
        let is_http2 = settings.protocol.is_http2(&stream);
        self.expects_http2.set(is_http2);
        if is_http2 && url.is_tls() && !stream.agreed_on_http2() {
            return Err(self.no_http2());
        }
        let expiry = clock::monotonic() + spread(settings.connection_age);
        let reuse_limit = ReuseLimit::new(&self.endpoint, &stream, expiry);
        let open = OpenConnection::new(self.upstream.clone(), permit);
        let stream = CountedStream::new(stream, open);
        if is_http2 {
            return self.begin_http2(stream, reuse_limit).await;
        }
        let connection = Http1::new(stream, reuse_limit, settings.response_head);
        Ok(Carrier::Connection(Box::new(connection)))
    }

    /// Returns the addresses of the endpoint. Its name is resolved here only until the control
    /// thread has resolved it.
    async fn addresses(&self) -> Result<Vec<SocketAddr>, Fault> {
        let url = &self.endpoint.url;
        let deadline = clock::monotonic() + self.upstream.settings.dial_timeouts.connect;
        let turn = self.dials.replace(self.dials.get().wrapping_add(1));
        let rotated = self.endpoint.addresses.rotated(turn);
        if url.socket().is_some() {
            return Ok(Vec::new());
        }
        if let Some(addresses) = rotated {
            return Ok(addresses);
        }
        let resolve = net::resolve(url.host_name(), url.port());
        match timeout_at(deadline.into(), resolve).await {
            Ok(resolved) => resolved.map_err(Fault::of_dial),
            Err(_) => Err(self.timed_out(Stage::Resolving)),
        }
    }

    /// Begins HTTP/2 on a new connection, and opens its first stream.
    async fn begin_http2(
        &self,
        stream: CountedStream,
        reuse_limit: ReuseLimit,
    ) -> Result<Carrier<B>, Fault> {
        let deadline = clock::monotonic() + self.upstream.settings.dial_timeouts.handshake;
        let begin = Http2::begin(
            self.upstream.clone(),
            stream,
            self.freed.clone(),
            reuse_limit,
            deadline,
        );
        let connection = begin.await?.ok_or_else(|| self.no_http2())?;
        let stream = connection.open().ok_or_else(|| self.no_http2())?;
        if !self.is_retired.get() {
            self.multiplexed.borrow_mut().push(connection);
        }
        Ok(Carrier::Http2Stream(stream))
    }

    fn no_http2(&self) -> Fault {
        Fault::Connect(DialError::Http2 {
            authority: self.endpoint.url.authority().into(),
        })
    }

    fn timed_out(&self, stage: Stage) -> Fault {
        Fault::of_dial(DialError::Timeout {
            authority: self.endpoint.url.authority().into(),
            stage,
        })
    }

    /// Closes the connections that no request uses, and from now on each after its exchange.
    /// Requests that began under an earlier configuration can hold on to the pool for hours.
    pub(super) fn retire(&self) {
        self.is_retired.set(true);
        self.idle.borrow_mut().clear();
        self.multiplexed.borrow_mut().clear();
    }

    /// Closes connections that were not used for the idle timeout, or are too old. The oldest are
    /// at the front of the list.
    pub(super) fn sweep(&self) {
        let now = clock::monotonic();
        let limit = self.upstream.settings.idle_timeout;
        let watcher = self.watcher();
        self.idle.borrow_mut().retain_mut(|idle| {
            now.duration_since(idle.since) <= limit && idle.connection.is_good(now, &watcher)
        });
        self.multiplexed.borrow_mut().retain(|connection| {
            let is_fresh = match connection.idle_since() {
                Some(since) => now.duration_since(since) <= limit,
                None => true,
            };
            is_fresh && connection.is_good(now)
        });
    }
}

/// Returns the age plus or minus up to a tenth, so that connections that were made together do not
/// end together.
fn spread(age: Duration) -> Duration {
    // The hashers of the standard library have random keys.
    let random = RandomState::new().hash_one(0) % 201;
    age / 1000 * u32::try_from(900 + random).unwrap_or(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_do_not_grow_old_together() {
        let age = Duration::from_secs(1000);
        let ages: Vec<_> = (0..50).map(|_| spread(age)).collect();
        assert!(
            ages.iter().all(|age| (900..=1100).contains(&age.as_secs())),
            "{ages:?}"
        );
        assert!(ages.iter().any(|other| *other != ages[0]), "{ages:?}");
    }
}
