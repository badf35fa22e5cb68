//! The parts that are shared by the requests of a connection.

use std::rc::Rc;

use super::super::failure::Failure;
use super::activity::Activity;
use crate::net::Peer;
use crate::proxy::Worker;
use crate::telemetry::ConnectionError;

/// The worker, the peer and the activity of a connection.
pub(super) struct ConnectionContext {
    pub(super) worker: Rc<Worker>,
    pub(super) peer: Peer,
    pub(super) activity: Rc<Activity>,
}

impl ConnectionContext {
    /// Counts and logs the error that ended the connection, if there was one.
    pub(super) fn ended(&self, end: Option<ConnectionError>) {
        self.record(self.reason(end));
    }

    /// Returns the reason of an error while the state of the connection is still that of its end.
    /// The departure of a client is no error between two requests.
    pub(super) fn reason(&self, end: Option<ConnectionError>) -> Option<ConnectionError> {
        match end {
            Some(ConnectionError::LeftInRequest) => self.activity.state().departure(),
            end => end,
        }
    }

    /// Counts and logs a reason for the end of the connection.
    pub(super) fn record(&self, reason: Option<ConnectionError>) {
        if let Some(error) = reason {
            self.failure(error).record(&self.worker);
        }
    }

    /// Counts and logs an HTTP/2 stream that the parser refused.
    pub(super) fn refused_stream(&self, error: ConnectionError) {
        self.failure(error).record_stream(&self.worker);
    }

    fn failure(&self, error: ConnectionError) -> Failure {
        Failure::new(error, self.peer.address)
    }
}
