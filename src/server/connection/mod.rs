//! A client connection. Hyper speaks the protocol; this module enforces the deadlines and decides
//! how the connection ends.

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

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use self::activity::{Activity, Due};
use self::deadline::Deadline;
use super::connections::{GRACE, Registration, Registry};
use super::end::End;
use super::handshake::{self, Protocol};
use super::stream::ClientStream;
use crate::clock;
use crate::config::Listener;
use crate::net::Peer;
use crate::proxy::Worker;

/// The parts that are shared by the requests of a connection: worker, peer and activity.
struct ConnectionContext {
    worker: Rc<Worker>,
    peer: Peer,
    activity: Rc<Activity>,
}

impl ConnectionContext {
    /// Counts and logs the error that ended the connection, if there was one.
    fn ended(&self, end: Option<End>) {
        let Some(end) = end else { return };
        self.worker
            .metrics()
            .connection_errors
            .increment(end.index());
        let is_http2 = self.activity.is_multiplexed();
        refused::log(&self.worker, self.peer.address, end, is_http2);
    }

    /// Counts and logs an HTTP/2 stream that was reset because it is not a valid request.
    fn refused_stream(&self) {
        self.worker.metrics().refused_streams.inc();
        refused::log(&self.worker, self.peer.address, End::Parse, true);
    }
}

/// A client connection. It is not moved while it is served: every async function that takes it by
/// value would reserve space for it in the task.
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

    /// Performs the steps before HTTP that the listener requires. Returns `None` if the connection
    /// ended.
    pub(super) async fn handshake(mut self, listener: &Listener, head: Duration) -> Option<Self> {
        let address = self.context.peer.address;
        let result = tokio::select! {
            biased;
            result = handshake::perform(self.stream, self.context.peer, listener, head) => result,
            () = self.deadline.registration.closing() => return None,
        };
        match result {
            Ok(ready) => {
                self.stream = ready.stream;
                self.context.peer = ready.peer;
                self.protocol = ready.protocol;
            }
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
        self.context.activity.handshake_done();
        Some(self)
    }

    /// Returns whether the listener requires a step before HTTP. Most require none.
    pub(super) fn needs_handshake(&self, listener: &Listener) -> bool {
        handshake::is_needed(&self.context.peer, listener)
    }

    /// Serves an HTTP/1.1 connection to its end. Returns true, with nothing served, if the client
    /// speaks HTTP/2: [`Self::serve_http2`] is a much larger future, which the caller boxes.
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

    /// Serves an HTTP/2 connection to its end.
    pub(super) async fn serve_http2(self) {
        http2::serve(self.stream, self.context, self.deadline).await;
    }
}

/// A connection of hyper, of either protocol.
trait Served: Future<Output = hyper::Result<()>> {
    /// Stops taking requests, and lets those that have begun finish.
    fn finish(self: Pin<&mut Self>);
}

/// Drives a connection until it ends or may be parked.
async fn drive(
    mut connection: Pin<&mut impl Served>,
    activity: &Activity,
    deadline: &mut Deadline,
) -> Option<End> {
    let active = deadline.registration.activate();
    std::future::poll_fn(|cx| {
        activity.begin_turn();
        if let Some(grace) = deadline.poll_drain_begun(cx) {
            activity.wind_down(grace);
        }
        loop {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(result.err().map(|error| End::of(&error)));
            }
            if activity.wants_finish() {
                activity.finish_announced();
                connection.as_mut().finish();
                continue;
            }
            if active.is_one_of_many() && activity.may_park_at_once() {
                activity.park();
                return Poll::Ready(None);
            }
            ready!(deadline.poll_due(activity));
            match activity.due(clock::monotonic()) {
                Due::Nothing => {}
                Due::Park => {
                    activity.park();
                    return Poll::Ready(None);
                }
                Due::End if activity.is_half_closed() => return Poll::Ready(Some(End::Aborted)),
                Due::End => return Poll::Ready(Some(End::Timeout)),
                Due::Finish if activity.is_open() => activity.wind_down(GRACE),
                Due::Finish => {
                    activity.finish_announced();
                    connection.as_mut().finish();
                }
            }
        }
    })
    .await
}
