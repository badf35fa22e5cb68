//! The requests that a worker has under way at an endpoint.

use std::cell::Cell;
use std::rc::Rc;

/// The number of requests under way. Those of other workers are not included: a counter that all
/// workers write would cost each request more than its value is worth.
pub(super) type ActiveRequests = Rc<Cell<usize>>;

/// One request under way at an endpoint, counted until it is dropped.
pub(super) struct ActiveRequest(ActiveRequests);

impl ActiveRequest {
    pub(super) fn new(active_requests: &ActiveRequests) -> Self {
        active_requests.set(active_requests.get() + 1);
        Self(active_requests.clone())
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}
