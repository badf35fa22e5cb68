//! A worker's open connections to one endpoint, and the requests that wait for one.

use std::cell::{Cell, RefCell};
use std::error::Error as StdError;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;
use http_body::Body;
use tokio::sync::{Notify, oneshot};

use super::super::{Endpoint, Fault, Upstream};
use super::http1::Http1;
use super::http2::{Http2, Http2Stream};
use crate::clock;
use crate::net::{DialError, Stage};

/// A worker's open connections to one endpoint.
pub(super) struct Connections<B> {
    pub(super) upstream: Arc<Upstream>,
    pub(super) endpoint: Arc<Endpoint>,
    /// The unused HTTP/1.1 connections. The last used is used next, so that the others grow old and
    /// are closed.
    idle: RefCell<Vec<Idle<B>>>,
    /// The HTTP/2 connections, which carry many exchanges at a time.
    multiplexed: RefCell<Vec<Rc<Http2<B>>>>,
    /// Set when the configuration of the pool is no longer in force: then no connection is kept.
    is_retired: Cell<bool>,
    /// The requests of this worker that wait for a connection.
    pub(super) waiting: Cell<usize>,
    /// Notified when a connection or a stream becomes free.
    pub(super) freed: Rc<Notify>,
    /// Present while a task watches the idle connections; dropping it ends the task.
    pub(super) watch: RefCell<Option<oneshot::Sender<()>>>,
    /// Woken by events on an idle connection.
    pub(super) watcher: RefCell<Waker>,
}

struct Idle<B> {
    connection: Box<Http1<B>>,
    since: Instant,
}

/// The connection or stream of an exchange.
pub(super) enum Carrier<B> {
    Connection(Box<Http1<B>>),
    Http2Stream(Http2Stream<B>),
}

impl<B> Connections<B> {
    /// Keeps a connection for another exchange, unless it cannot be used again or is not needed.
    pub(super) fn keep(&self, mut connection: Box<Http1<B>>) {
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

    /// Returns the waker that is woken by events on an idle connection.
    fn watcher(&self) -> Waker {
        self.watcher.borrow().clone()
    }

    /// Returns whether another worker has requests that wait for a connection, and this one has
    /// none.
    fn is_wanted_elsewhere(&self) -> bool {
        let pending = &self.upstream.connection_limit.pending;
        self.waiting.get() == 0 && pending.get() > 0
    }
}

impl<B> Connections<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Creates the list without connections.
    pub(super) fn new(upstream: Arc<Upstream>, endpoint: Arc<Endpoint>) -> Rc<Self> {
        Rc::new(Self {
            upstream,
            endpoint,
            idle: RefCell::default(),
            multiplexed: RefCell::default(),
            is_retired: Cell::new(false),
            waiting: Cell::new(0),
            freed: Rc::default(),
            watch: RefCell::default(),
            watcher: RefCell::new(Waker::noop().clone()),
        })
    }

    /// Returns the number of unused HTTP/1.1 connections.
    #[cfg(test)]
    pub(super) fn idle_count(&self) -> usize {
        self.idle.borrow().len()
    }

    /// Shares a new HTTP/2 connection with later requests.
    pub(super) fn share(&self, connection: Rc<Http2<B>>) {
        if !self.is_retired.get() {
            self.multiplexed.borrow_mut().push(connection);
        }
    }

    /// Takes an open connection or a stream that is usable and not to be avoided.
    pub(super) fn take(&self, now: Instant, avoided: &[u64]) -> Option<Carrier<B>> {
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

    /// Opens a stream on an HTTP/2 connection that is usable and not to be avoided.
    pub(super) fn take_stream(&self, avoided: &[u64]) -> Option<Http2Stream<B>> {
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

    /// Closes the connection that was unused for longest, if another worker needs its permit.
    pub(super) fn give_up_one(&self) {
        if !self.is_wanted_elsewhere() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        if !idle.is_empty() {
            idle.remove(0);
            return;
        }
        drop(idle);
        let mut multiplexed = self.multiplexed.borrow_mut();
        let unused = multiplexed
            .iter()
            .position(|connection| connection.idle_since().is_some());
        if let Some(unused) = unused {
            multiplexed.remove(unused);
        }
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

    /// Returns the fault of a step that took too long.
    pub(super) fn timed_out(&self, stage: Stage) -> Fault {
        Fault::of_dial(DialError::Timeout {
            authority: self.endpoint.url.authority().into(),
            stage,
        })
    }
}
