//! The parts that are shared by the requests of a connection.

use std::rc::Rc;

use super::super::end::End;
use super::activity::Activity;
use super::refused;
use crate::net::Peer;
use crate::proxy::Worker;

/// The worker, the peer and the activity of a connection.
pub(super) struct ConnectionContext {
    pub(super) worker: Rc<Worker>,
    pub(super) peer: Peer,
    pub(super) activity: Rc<Activity>,
}

impl ConnectionContext {
    /// Counts and logs the error that ended the connection, if there was one.
    pub(super) fn ended(&self, end: Option<End>) {
        let Some(end) = end else { return };
        self.worker
            .metrics()
            .connection_errors
            .increment(end.kind());
        let is_http2 = self.activity.state().is_http2();
        refused::log(&self.worker, self.peer.address, end, is_http2);
    }

    /// Counts and logs an HTTP/2 stream that was reset because it is not a valid request.
    pub(super) fn refused_stream(&self) {
        self.worker.metrics().refused_streams.inc();
        refused::log(&self.worker, self.peer.address, End::Parse, true);
    }
}
