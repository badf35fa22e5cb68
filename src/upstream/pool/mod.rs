//! One worker's connections to one endpoint of an upstream. Workers share only the connection limit
//! and the state of the endpoint.

mod acquire;
mod connections;
mod counted_stream;
mod download;
mod flood_guard;
mod http1;
mod http2;
mod hyper_order;
mod sending;
mod upload;

use std::cell::Cell;
use std::error::Error as StdError;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Response;
use http_body::Body;
use tokio::sync::Mutex;
use tokio::time::timeout_at;

use self::acquire::{Acquired, acquire};
use self::connections::{Carrier, Connections};
use self::counted_stream::{CountedStream, OpenConnection};
pub(super) use self::download::Download;
pub(super) use self::download::UpgradedConnection;
use self::http1::Http1;
use self::http2::Http2;
use super::exchange::{Failed, Outgoing};
use super::reuse_limit::ReuseLimit;
use super::{Endpoint, Fault, Protocol, Upstream};
use crate::clock;
use crate::net::{self, DialError, Stage, random};

/// A worker's connections to one endpoint, for requests with bodies of type `B`.
pub(super) struct Pool<B> {
    connections: Rc<Connections<B>>,
    /// Set if a new connection is expected to use HTTP/2: then one is dialled at a time, and
    /// requests that wait meanwhile try to use it.
    expects_http2: Cell<bool>,
    dialling: Mutex<()>,
    /// The number of connections that were dialled, by which the addresses of a name take turns.
    dials: Cell<usize>,
}

impl<B> Pool<B>
where
    B: Body<Data = Bytes> + Unpin + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    /// Returns the endpoint.
    pub(super) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.connections.endpoint
    }

    /// Creates a pool without connections.
    pub(super) fn new(upstream: Arc<Upstream>, endpoint: Arc<Endpoint>) -> Rc<Self> {
        let expects_http2 = match upstream.settings.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Auto => endpoint.url.is_tls(),
        };
        Rc::new(Self {
            connections: Connections::new(upstream, endpoint),
            expects_http2: Cell::new(expects_http2),
            dialling: Mutex::default(),
            dials: Cell::new(0),
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
        &self,
        request: &mut Outgoing<B>,
    ) -> Result<Response<Download<B>>, Failed> {
        let connections = &self.connections;
        if let Some(avoided) = request.avoids()
            && let Some(carrier) = connections.take(request.departed, avoided)
        {
            connections.upstream.metrics.reused.inc();
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
        &self,
        carrier: Carrier<B>,
        request: &mut Outgoing<B>,
    ) -> Result<Response<Download<B>>, Failed> {
        match carrier {
            Carrier::Connection(mut connection) => {
                let response = connection.send(request).await?;
                let connections = self.connections.clone();
                Ok(response.map(|()| Download::connection(connection, connections)))
            }
            Carrier::Http2Stream(mut stream) => {
                let is_tls = self.endpoint().url.is_tls();
                let response = stream.send(request, is_tls).await?;
                Ok(response.map(|incoming| Download::stream(incoming, stream)))
            }
        }
    }

    /// Opens a connection, one at a time if it is expected to use HTTP/2; requests that wait for it
    /// meanwhile then try to use it.
    async fn connect(&self, avoided: Option<&[u64]>) -> Result<Carrier<B>, Fault> {
        if !self.expects_http2.get() {
            return self.dial().await;
        }
        let timeouts = self.connections.upstream.settings.dial_timeouts;
        let deadline = clock::monotonic() + timeouts.connect + timeouts.handshake;
        let Ok(_turn) = timeout_at(deadline.into(), self.dialling.lock()).await else {
            return Err(self.connections.timed_out(Stage::Waiting));
        };
        if let Some(avoided) = avoided
            && let Some(stream) = self.connections.take_stream(avoided)
        {
            return Ok(Carrier::Http2Stream(stream));
        }
        self.dial().await
    }

    /// Waits for a permit, and opens a connection.
    async fn dial(&self) -> Result<Carrier<B>, Fault> {
        let permit = match acquire(&self.connections).await? {
            Acquired::New(permit) => permit,
            Acquired::Freed(carrier) => return Ok(carrier),
        };
        let Upstream { settings, tls, .. } = &*self.connections.upstream;
        let url = &self.endpoint().url;
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
        let reuse_limit = ReuseLimit::new(self.endpoint(), &stream, expiry);
        let open = OpenConnection::new(self.connections.upstream.clone(), permit);
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
        let url = &self.endpoint().url;
        let timeouts = self.connections.upstream.settings.dial_timeouts;
        let deadline = clock::monotonic() + timeouts.connect;
        let turn = self.dials.replace(self.dials.get().wrapping_add(1));
        let rotated = self.endpoint().addresses.rotated(turn);
        if url.socket().is_some() {
            return Ok(Vec::new());
        }
        if let Some(addresses) = rotated {
            return Ok(addresses);
        }
        let resolve = net::resolve(url.host_name(), url.port());
        match timeout_at(deadline.into(), resolve).await {
            Ok(resolved) => resolved.map_err(Fault::of_dial),
            Err(_) => Err(self.connections.timed_out(Stage::Resolving)),
        }
    }

    /// Begins HTTP/2 on a new connection, and opens its first stream.
    async fn begin_http2(
        &self,
        stream: CountedStream,
        reuse_limit: ReuseLimit,
    ) -> Result<Carrier<B>, Fault> {
        let connections = &self.connections;
        let timeouts = connections.upstream.settings.dial_timeouts;
        let deadline = clock::monotonic() + timeouts.handshake;
        let begin = Http2::begin(
            connections.upstream.clone(),
            stream,
            connections.freed.clone(),
            reuse_limit,
            deadline,
        );
        let connection = begin.await?.ok_or_else(|| self.no_http2())?;
        let stream = connection.open().ok_or_else(|| self.no_http2())?;
        connections.share(connection);
        Ok(Carrier::Http2Stream(stream))
    }

    fn no_http2(&self) -> Fault {
        Fault::Connect(DialError::Http2 {
            authority: self.endpoint().url.authority().into(),
        })
    }

    /// Closes the connections that no request uses, and from now on each after its exchange.
    pub(super) fn retire(&self) {
        self.connections.retire();
    }

    /// Closes connections that were not used for the idle timeout, or are too old.
    pub(super) fn sweep(&self) {
        self.connections.sweep();
    }
}

/// Returns the age plus or minus up to a tenth, so that connections that were made together do not
/// end together.
fn spread(age: Duration) -> Duration {
    let part = random() % 201;
    age / 1000 * u32::try_from(900 + part).unwrap_or(1000)
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
