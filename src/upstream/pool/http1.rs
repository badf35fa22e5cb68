//! A connection for one exchange at a time.

use std::error::Error as StdError;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;

use super::super::Fault;
use super::super::names::Term;
use super::Failed;
use super::wire::Wire;

/// Bytes of an upstream connection's buffer, and so of a response head. It also bounds how long an upstream that sends
/// 1xx without end keeps a worker to itself: tokio makes a task yield by the number of its reads, not by their size.
const BUFFER: usize = 64 * 1024;

/// A connection, which closes when this is dropped. Left to itself it would first send what is left of an upload, and an
/// upstream that takes nothing would keep it, and the client's body with it, for ever.
pub(super) struct Http1<B> {
    sender: SendRequest<B>,
    /// For how long it is used again.
    term: Term,
    _held: oneshot::Sender<()>,
}

impl<B> Http1<B> {
    /// Whether it may be used again, as far as is known.
    pub(super) fn is_good(&self, now: Instant) -> bool {
        !self.sender.is_closed() && self.term.holds(now)
    }
}

impl<B> Http1<B>
where
    B: Body<Data = Bytes> + 'static,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    pub(super) async fn begin(wire: Wire, term: Term) -> Result<Self, Fault> {
        let mut http = http1::Builder::new();
        let handshake = http.max_buf_size(BUFFER).handshake(TokioIo::new(wire));
        let (sender, connection) = handshake.await.map_err(Fault::of_exchange)?;
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
        });
        Ok(Self { sender, term, _held: held })
    }

    /// Waits until the last exchange has left it; false when it is closed.
    pub(super) async fn ready(&mut self) -> bool {
        self.sender.is_ready() || (!self.sender.is_closed() && self.sender.ready().await.is_ok())
    }

    pub(super) async fn send(&mut self, request: Request<B>) -> Result<Response<Incoming>, Failed<B>> {
        self.sender.try_send_request(request).await.map_err(|mut error| match error.take_message() {
            Some(unsent) => Failed { unsent: Some(unsent), fault: Fault::Unprocessed(error.into_error()) },
            None => Failed { unsent: None, fault: Fault::of_exchange(error.into_error()) },
        })
    }
}
