//! A client connection. Hyper speaks the protocol; this module enforces the deadlines and decides
//! how the connection ends.

mod activity;
mod bare;
mod context;
mod drive;
mod flood_guard;
#[cfg(test)]
mod fuzz;
mod head;
mod http1;
mod http2;
mod hyper_order;
mod lingering_close;
mod parked;
mod position;
mod refused_stream;
mod single_head;
mod sniff;
mod state;
mod tracked_body;
mod turn;
mod write_buffer;
mod write_timeout;

use std::rc::Rc;
use std::time::Duration;

pub use single_head::{HeadRefusal, ParsedHead, parse_head};

use self::activity::Activity;
use self::context::ConnectionContext;
use self::state::FIRST_PARK;
use super::connections::Registration;
use super::handshake::{self, Protocol};
use super::stream::ClientStream;
use crate::clock;
use crate::config::Listener;
use crate::net::Peer;
use crate::proxy::Worker;
use crate::telemetry::ConnectionProtocol;

/// A client connection. It is not moved while it is served: every async function that takes it by
/// value would reserve space for it in the task.
pub(super) struct Connection {
    stream: ClientStream,
    protocol: Protocol,
    context: ConnectionContext,
    registration: Registration,
}

impl Connection {
    pub(super) fn new(
        stream: ClientStream,
        peer: Peer,
        worker: Rc<Worker>,
        registration: Registration,
    ) -> Self {
        let activity = Activity::new(&worker.view().snapshot.config.server);
        // Set now, so that the first request need not move it.
        registration.timer.set_by(clock::monotonic() + FIRST_PARK);
        Self {
            stream,
            protocol: Protocol::Sniff,
            context: ConnectionContext {
                worker,
                peer,
                activity,
            },
            registration,
        }
    }

    /// Performs the steps before HTTP that the listener requires. Returns `None` if the connection
    /// ended.
    pub(super) async fn handshake(mut self, listener: &Listener, head: Duration) -> Option<Self> {
        let result = tokio::select! {
            biased;
            result = handshake::perform(self.stream, self.context.peer, listener, head) => result,
            () = self.registration.closing() => return None,
        };
        match result {
            Ok(ready) => {
                self.stream = ready.stream;
                self.context.peer = ready.peer;
                self.protocol = ready.protocol;
            }
            Err(failure) => {
                if let Some(failure) = failure {
                    failure.record(&self.context.worker);
                }
                return None;
            }
        }
        let activity = &self.context.activity;
        activity.state().handshake_done(clock::monotonic());
        Some(self)
    }

    /// Returns whether the listener requires a step before HTTP. Most require none.
    pub(super) fn needs_handshake(&self, listener: &Listener) -> bool {
        handshake::is_needed(&self.context.peer, listener)
    }

    /// Serves an HTTP/1.1 connection to its end. Returns true, with nothing served, if the client
    /// speaks HTTP/2: [`Self::serve_http2`] is a much larger future, which the caller boxes.
    pub(super) async fn serve(&mut self) -> bool {
        let Self {
            stream,
            protocol,
            context,
            registration,
        } = self;
        let is_http2 = match protocol {
            Protocol::Http1 => false,
            Protocol::Http2 => true,
            Protocol::Sniff => {
                match sniff::is_http2(stream, &context.activity, registration).await {
                    Ok(is_http2) => is_http2,
                    Err(end) => {
                        context.ended(end);
                        return false;
                    }
                }
            }
        };
        let protocols = &context.worker.metrics().protocols;
        protocols.increment(if is_http2 {
            ConnectionProtocol::Http2
        } else {
            ConnectionProtocol::Http1
        });
        if !is_http2 {
            stream.bound_tls(context.activity.write_buffer.tls_buffer());
            http1::serve(stream, context, registration).await;
        }
        is_http2
    }

    /// Serves an HTTP/2 connection to its end.
    pub(super) async fn serve_http2(self) {
        http2::serve(self.stream, self.context, self.registration).await;
    }
}
