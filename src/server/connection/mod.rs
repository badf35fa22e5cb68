//! One client connection: its protocol by hyper, its deadlines and its ends by us.

mod activity;
mod backlog;
mod bare;
mod deadline;
mod flood_guard;
mod head;
mod http1;
mod http2;
mod lingering_close;
mod parked;
mod refused;
mod sniff;
mod tracked_body;
mod watched;
mod write_timeout;

use std::error::Error as _;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use self::activity::{Activity, Due};
use self::deadline::Deadline;
use super::connections::{GRACE, Registration};
use super::handshake;
use super::stream::ClientStream;
use crate::clock;
use crate::config::Listener;
use crate::net::Peer;
use crate::proxy::Worker;
use crate::telemetry::GatewayMetrics;

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    /// The first bytes tell.
    Sniff,
    /// HTTP/1.1 (ALPN `http/1.1`).
    Http1,
    /// HTTP/2 (ALPN `h2`).
    Http2,
}

/// The error that a connection ended with: an index into `GatewayMetrics::CONNECTION_ERRORS`, but
/// for the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Parse = 0,
    TooLarge = 1,
    Timeout = 2,
    Aborted = 3,
    Other = 4,
    Flood = 5,
    /// No TLS where it is spoken, or none in time.
    Tls = 6,
    /// No PROXY header where one is required, or a broken one.
    ProxyProtocol = 7,
    /// Counted as [`End::TooLarge`]: the target alone is longer than the parser takes.
    TargetTooLong,
}

impl End {
    fn of(error: &hyper::Error) -> Self {
        if let Some(error) = error
            .source()
            .and_then(|source| source.downcast_ref::<h2::Error>())
        {
            return Self::of_http2(error);
        }
        if error.is_parse_too_large() {
            // The library tells the one from the other by its words alone.
            if error.to_string().starts_with("URI") {
                Self::TargetTooLong
            } else {
                Self::TooLarge
            }
        } else if error.is_parse() {
            Self::Parse
        } else if error.is_timeout() {
            Self::Timeout
        } else if error.is_incomplete_message()
            || error.is_closed()
            || error.is_body_write_aborted()
            || has_left(error)
        {
            Self::Aborted
        } else {
            Self::Other
        }
    }

    fn index(self) -> usize {
        match self {
            Self::TargetTooLong => Self::TooLarge as usize,
            end => end as usize,
        }
    }

    fn of_http2(error: &h2::Error) -> Self {
        if error.is_io() || error.is_remote() {
            Self::Aborted
        } else if error.reason() == Some(h2::Reason::ENHANCE_YOUR_CALM) {
            Self::Flood
        } else if error.is_library() {
            Self::Parse
        } else {
            Self::Other
        }
    }
}

/// Whether the connection failed because its client is gone.
fn has_left(error: &hyper::Error) -> bool {
    use io::ErrorKind as Kind;
    let source = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>());
    let gone = [
        Kind::ConnectionReset,
        Kind::BrokenPipe,
        Kind::ConnectionAborted,
        Kind::TimedOut,
    ];
    source.is_some_and(|error| gone.contains(&error.kind()))
}

/// Who the connection is with, and what serves it.
struct ConnectionContext {
    worker: Rc<Worker>,
    peer: Peer,
    activity: Rc<Activity>,
}

impl ConnectionContext {
    fn ended(&self, end: Option<End>) {
        if let Some(end) = end {
            self.worker
                .metrics()
                .connection_errors
                .increment(end.index());
            refused::log(
                &self.worker,
                self.peer.address,
                end,
                self.activity.is_multiplexed(),
            );
        }
    }

    /// A stream of HTTP/2 was reset that is no request.
    fn refused_stream(&self) {
        self.worker.metrics().refused_streams.inc();
        refused::log(&self.worker, self.peer.address, End::Parse, true);
    }
}

/// One client connection. It stays where it is while it is served: each hand that it goes through
/// would keep a place for it.
pub(super) struct Connection {
    stream: ClientStream,
    protocol: Protocol,
    context: ConnectionContext,
    deadline: Deadline,
}

impl Connection {
    pub(super) fn new(
        stream: ClientStream,
        peer: Peer,
        worker: Rc<Worker>,
        registration: Registration,
    ) -> Self {
        let activity = Activity::new(&worker.view().snapshot.config.server);
        let deadline = Deadline::new(registration);
        Self {
            stream,
            protocol: Protocol::Sniff,
            context: ConnectionContext {
                worker,
                peer,
                activity,
            },
            deadline,
        }
    }

    /// Goes through what comes before HTTP on this listener; `None` where it came to its end.
    pub(super) async fn handshake(mut self, listener: &Listener, head: Duration) -> Option<Self> {
        let address = self.context.peer.address;
        let greeted = tokio::select! {
            biased;
            greeted = handshake::perform(self.stream, self.context.peer, listener, head) => greeted,
            () = self.deadline.registration.closing() => return None,
        };
        match greeted {
            Ok(greeted) => (self.stream, self.context.peer, self.protocol) = greeted,
            Err(end) => {
                self.context
                    .worker
                    .metrics()
                    .connection_errors
                    .increment(end.index());
                refused::log(&self.context.worker, address, end, false);
                return None;
            }
        }
        self.context.activity.greeted();
        Some(self)
    }

    /// Whether anything comes before HTTP on this listener: most have nothing to wait for.
    pub(super) fn needs_handshake(&self, listener: &Listener) -> bool {
        handshake::is_needed(&self.context.peer, listener)
    }

    /// Serves it until it ends, runs out of time, or is drained. What speaks HTTP/2 is given back,
    /// for it is served by what is much larger.
    pub(super) async fn serve(&mut self) -> bool {
        let is_http2 = match self.protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Sniff => {
                match sniff::is_http2(&mut self.stream, &self.context.activity, &mut self.deadline)
                    .await
                {
                    Ok(is_http2) => is_http2,
                    Err(end) => {
                        self.context.ended(end);
                        return false;
                    }
                }
            }
        };
        self.context
            .worker
            .metrics()
            .protocols
            .increment(usize::from(is_http2));
        if !is_http2 {
            self.stream
                .bound_tls(self.context.activity.backlog().tls_buffer());
            http1::serve(self).await;
        }
        is_http2
    }

    /// The same for one that speaks HTTP/2.
    pub(super) async fn serve_http2(self) {
        http2::serve(self.stream, self.context, self.deadline).await;
    }
}

/// A connection as hyper serves it.
trait Served: Future<Output = hyper::Result<()>> {
    /// Lets what is under way end, and takes nothing more.
    fn finish(self: Pin<&mut Self>);
}

/// Drives a connection to its end, or until it may rest.
async fn drive(
    mut connection: Pin<&mut impl Served>,
    activity: &Activity,
    deadline: &mut Deadline,
) -> Option<End> {
    let active = deadline.registration.activate();
    std::future::poll_fn(|cx| {
        activity.take_turn();
        if let Some(grace) = deadline.poll_drain_begun(cx) {
            activity.part(grace);
        }
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(result.err().map(|error| End::of(&error)));
            }
            if activity.is_spent() {
                activity.finishing();
                connection.as_mut().finish();
                continue;
            }
            if active.is_one_of_many() && activity.may_rest_at_once() {
                activity.rest();
                return Poll::Ready(None);
            }
            ready!(deadline.poll_due(activity));
            match activity.due(clock::monotonic()) {
                Due::Nothing => {}
                Due::Park => {
                    activity.rest();
                    return Poll::Ready(None);
                }
                Due::End if activity.is_half_closed() => return Poll::Ready(Some(End::Aborted)),
                Due::End => return Poll::Ready(Some(End::Timeout)),
                Due::Finish if activity.is_open() => activity.part(GRACE),
                Due::Finish => {
                    activity.finishing();
                    connection.as_mut().finish();
                }
            }
        }
    })
    .await
}

const _: () = assert!(GatewayMetrics::CONNECTION_ERRORS.len() == End::ProxyProtocol as usize + 1);
